// What the data path of every device relies on: no kick is lost, one interrupt per turn, turns are
// bounded, and stop and pause wait for requests in flight.
#include "virtio/queue/device_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "tests/fakes/device_fixtures.h"
#include "virtio/queue/request_slab.h"

namespace virtio {
namespace {

constexpr uint16_t kSize = 8;

struct EchoRequest : Chain, base::Operation {
  explicit EchoRequest(class EchoQueue& owner) : queue(owner) {}
  void OnComplete(int32_t result) override;
  class EchoQueue& queue;
};

// Completes chains at once, when the test calls CompleteOne, or after a timeout.
class EchoQueue final : public DeviceQueue {
 public:
  EchoQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t requests = kSize)
      : DeviceQueue(loop, memory, 0), slab_(*RequestSlab<EchoRequest>::Create(requests)) {}

  using DeviceQueue::Serve;
  enum class Mode { kAtOnce, kHeld, kTimed };
  void CompleteOne() {
    Chain& chain = *held.front();
    held.erase(held.begin());
    Complete(chain, 0);
  }
  void CompleteTimed(EchoRequest& request) { Complete(request, 0); }

  Mode mode = Mode::kAtOnce;
  bool wants = true;
  bool cancelled = false;
  std::vector<Chain*> held;
  std::function<void()> on_start;
  std::function<void()> on_release;

 private:
  Chain* AcquireChain() override { return slab_.Acquire(*this); }
  void ReleaseChain(Chain& chain) override {
    slab_.Release(static_cast<EchoRequest&>(chain));
    if (on_release) on_release();
  }
  void Start(Chain& chain) override {
    if (on_start) on_start();
    if (mode == Mode::kAtOnce) return Complete(chain, 0);
    if (mode == Mode::kHeld) return held.push_back(&chain);
    loop().Timeout(static_cast<EchoRequest&>(chain), std::chrono::milliseconds(1));
  }
  void CancelRequests() override {
    cancelled = true;
    slab_.ForEachInUse([this](EchoRequest& request) { loop().Cancel(request); });
  }
  bool WantsChains() const override { return wants; }

  RequestSlab<EchoRequest> slab_;
};

void EchoRequest::OnComplete(int32_t /*result*/) { queue.CompleteTimed(*this); }

// A driver that acts in its interrupt handler, before the device's turn is over.
class AnsweringNotifier final : public DriverNotifier {
 public:
  void NotifyQueue(uint16_t /*index*/) override { interrupted(); }
  absl::StatusOr<int> QueueInterruptFd(uint16_t /*index*/) override {
    return absl::UnimplementedError("a test");
  }
  void NeedsReset(absl::string_view /*why*/) override { ADD_FAILURE(); }
  std::function<void()> interrupted = [] {};
};

class DeviceQueueTest : public testing::TestWithParam<bool> {
 protected:
  ~DeviceQueueTest() override {
    if (queue_ == nullptr || !queue_->started()) return;
    queue_->on_start = queue_->on_release = nullptr;  // may refer to the test's variables
    queue_->Resume();
    while (!queue_->held.empty()) queue_->CompleteOne();
    queue_->mode = EchoQueue::Mode::kAtOnce;
    queue_->Stop([] {});
    loop_.RunUntilIdle();
  }

  void Make(uint16_t requests = kSize) {
    queue_ = std::make_unique<EchoQueue>(loop_, *memory_, requests);
  }
  void StartServing() {
    driver_ = std::make_unique<FakeDriver>(
        *memory_, FakeDriver::Options{.size = kSize, .event_idx = GetParam()});
    queue_->StartServing({0, MakeRing(), NewDoorbell()}, notifier_);
  }
  base::LoopFile NewDoorbell() { return NewDoorbell(loop_, 0); }
  base::LoopFile NewDoorbell(base::FakeEventLoop& loop, unsigned kicks) {
    doorbell_.reset(eventfd(kicks, EFD_CLOEXEC | EFD_NONBLOCK));
    return loop.AddFile(doorbell_.get()).value();
  }
  std::unique_ptr<SplitQueue> MakeRing() {
    QueueError error;
    return SplitQueue::Create(
        *memory_,
        {kSize, driver_->descriptor_table(), driver_->driver_area(), driver_->device_area()},
        {.event_idx = GetParam(), .indirect = true}, error);
  }
  void Offer(int chains) {
    for (int i = 0; i < chains; ++i) driver_->Chain().Readable(1).Offer();
  }
  void Publish() {
    if (driver_->Publish()) eventfd_write(doorbell_.get(), 1);
  }
  int TakeUsed() {
    int used = 0;
    while (driver_->PopUsed()) ++used;
    return used;
  }
  uint64_t interrupts() const {
    return notifier_.queue_interrupts.empty() ? 0 : notifier_.queue_interrupts[0];
  }

  std::unique_ptr<base::GuestMemory> memory_ =
      *base::GuestMemory::Create({.thp = false}, {{0, 32 << 20, nullptr}});
  base::FakeEventLoop loop_;
  FakeNotifier notifier_;
  AnsweringNotifier answering_;
  std::unique_ptr<FakeDriver> driver_;
  base::UniqueFd doorbell_;
  std::unique_ptr<EchoQueue> queue_;
};

INSTANTIATE_TEST_SUITE_P(EventIdx, DeviceQueueTest, testing::Bool());

TEST_P(DeviceQueueTest, ServesWhatWasAvailableBeforeItStarted) {
  Make();
  queue_->mode = EchoQueue::Mode::kHeld;
  driver_ = std::make_unique<FakeDriver>(
      *memory_, FakeDriver::Options{.size = kSize, .event_idx = GetParam()});
  Offer(2);
  driver_->Publish();
  queue_->StartServing({0, MakeRing(), NewDoorbell()}, notifier_);
  EXPECT_EQ(queue_->held.size(), 2u);
}

TEST_P(DeviceQueueTest, SendsOneInterruptPerBatch) {
  Make();
  StartServing();
  Offer(5);
  Publish();
  loop_.RunUntilIdle();
  EXPECT_EQ(TakeUsed(), 5);
  EXPECT_EQ(interrupts(), 1u);
  EXPECT_EQ(queue_->queue_counters().chains.value(), 5u);
}

TEST_P(DeviceQueueTest, ServesEachBatchWithOneInterrupt) {
  Make();
  StartServing();
  for (int i = 0; i < 1000; ++i) {
    driver_->EnableInterrupts();
    Offer(1 + i % kSize);
    Publish();
    loop_.RunUntilIdle();
    ASSERT_EQ(TakeUsed(), 1 + i % kSize) << i;
    ASSERT_EQ(interrupts(), static_cast<uint64_t>(i) + 1);
  }
}

// The driver does not kick for a chain that it offers while the queue is being served, but the
// queue finds the chain.
TEST_P(DeviceQueueTest, ChainAddedWhileServingIsNotMissed) {
  Make();
  StartServing();
  int more = 5;
  bool kicked = false;
  queue_->on_start = [&] {
    if (more-- <= 0) return;
    Offer(1);
    kicked |= driver_->Publish();
  };
  Offer(1);
  Publish();
  loop_.RunUntilIdle();
  EXPECT_EQ(TakeUsed(), 6);
  EXPECT_FALSE(kicked);
}

// The same for a chain offered after Pop has found the queue empty and before kicks are enabled.
TEST_P(DeviceQueueTest, ChainAddedBeforeKicksAreEnabledIsNotMissed) {
  Make();
  StartServing();
  loop_.RunUntilIdle();
  Offer(1);
  Publish();
  int calls = 0;
  // The first call is for the request's own chain, the second for the empty queue.
  queue_->on_release = [&] {
    if (++calls != 2) return;
    Offer(1);
    EXPECT_FALSE(driver_->Publish()) << "kicks are still suppressed";
  };
  loop_.RunUntilIdle();
  EXPECT_EQ(TakeUsed(), 2);
}

// A driver that answers the interrupt before the turn ends is served in the same turn, without a
// kick. The loop submits the work for these chains with its next system call, the one that waits.
TEST_P(DeviceQueueTest, ChainsOfferedAtTheInterruptAreServedInTheSameTurnWithoutAKick) {
  Make();
  queue_->mode = EchoQueue::Mode::kHeld;
  driver_ = std::make_unique<FakeDriver>(
      *memory_, FakeDriver::Options{.size = kSize, .event_idx = GetParam()});
  queue_->StartServing({0, MakeRing(), NewDoorbell()}, answering_);
  Offer(2);
  Publish();
  loop_.RunUntilIdle();
  int kicks = 0;
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(queue_->held.size(), 2u) << round;
    answering_.interrupted = [&] {
      EXPECT_EQ(TakeUsed(), 2);
      driver_->EnableInterrupts();
      Offer(2);
      kicks += driver_->Publish() ? 1 : 0;
    };
    driver_->EnableInterrupts();
    queue_->CompleteOne();
    queue_->CompleteOne();
    loop_.RunTurn();
  }
  EXPECT_EQ(queue_->held.size(), 2u);
  EXPECT_EQ(kicks, 0);
  // The driver kicks again for chains that it offers later.
  Offer(1);
  EXPECT_TRUE(driver_->Publish());
  EXPECT_EQ(queue_->queue_counters().kicks.value(), 1u);
  answering_.interrupted = [] {};
}

// However a turn ends, the queue either asks for kicks or is certain to look again.
TEST_P(DeviceQueueTest, KicksAreAskedForAfterEveryKindOfTurn) {
  Make(/*requests=*/2);
  StartServing();
  for (const auto mode : {EchoQueue::Mode::kAtOnce, EchoQueue::Mode::kHeld}) {
    for (int chains = 1; chains <= 5; ++chains) {
      queue_->mode = mode;
      driver_->EnableInterrupts();
      Offer(chains);
      ASSERT_TRUE(driver_->Publish()) << chains;
      eventfd_write(doorbell_.get(), 1);
      loop_.RunUntilIdle();
      while (!queue_->held.empty()) {
        queue_->CompleteOne();
        loop_.RunUntilIdle();
      }
      ASSERT_EQ(TakeUsed(), chains);
    }
  }
  queue_->Pause([] {});
  loop_.RunUntilIdle();
  queue_->Resume();
  Offer(1);
  EXPECT_TRUE(driver_->Publish());
}

// A driver that adds chains forever takes its share of a turn but cannot keep the loop busy.
TEST_P(DeviceQueueTest, TurnsAreBounded) {
  Make();
  StartServing();
  loop_.RunUntilIdle();
  int started = 0;
  bool endless = true;
  driver_->WriteDescriptor(0, {0x8000, 1, 0, 0});
  // The device completes at once, so each head is free again when the next one is offered.
  queue_->on_start = [&] {
    ++started;
    if (endless) {
      static uint16_t head = 0;
      head = static_cast<uint16_t>((head + 1) % kSize);
      driver_->WriteDescriptor(head, {0x8000, 1, 0, 0});
      driver_->OfferRaw(head);
    }
  };
  driver_->OfferRaw(0);
  eventfd_write(doorbell_.get(), 1);
  loop_.RunTurn();
  const int most = base::TurnBudget::kSteps;  // each chain is one descriptor
  EXPECT_EQ(started, most);
  for (int turn = 0; turn < 10; ++turn) {
    const int before = started;
    loop_.RunTurn();
    loop_.RunTurn();
    EXPECT_GT(started, before) << "no progress";
    EXPECT_LE(started, before + 2 * most);
  }
  endless = false;
  loop_.RunUntilIdle();
}

TEST_P(DeviceQueueTest, PopsMoreChainsWhenARequestIsFreeAgain) {
  Make(/*requests=*/2);
  queue_->mode = EchoQueue::Mode::kHeld;
  StartServing();
  Offer(5);
  Publish();
  loop_.RunUntilIdle();
  EXPECT_EQ(queue_->held.size(), 2u);
  for (int i = 0; i < 5; ++i) {
    ASSERT_FALSE(queue_->held.empty());
    queue_->CompleteOne();
    loop_.RunUntilIdle();
  }
  EXPECT_EQ(TakeUsed(), 5);
}

TEST_P(DeviceQueueTest, PopsNoChainsWhileItWantsNone) {
  Make();
  queue_->wants = false;
  StartServing();
  Offer(3);
  Publish();
  loop_.RunUntilIdle();
  EXPECT_EQ(TakeUsed(), 0);
  queue_->wants = true;
  queue_->Serve();
  loop_.RunUntilIdle();
  EXPECT_EQ(TakeUsed(), 3);
}

TEST_P(DeviceQueueTest, BrokenRingIsReportedOnce) {
  Make();
  StartServing();
  loop_.RunUntilIdle();
  driver_->SetAvailIndex(1000);
  for (int i = 0; i < 3; ++i) {
    eventfd_write(doorbell_.get(), 1);
    loop_.RunUntilIdle();
  }
  EXPECT_EQ(notifier_.needs_reset, 1u);
  EXPECT_EQ(notifier_.last_reason, "queue 0: more chains made available than the queue holds");
}

// "The device MUST handle spurious notifications from the driver."
TEST_P(DeviceQueueTest, Queue_2_7_10_2_SpuriousKicksDoNothing) {
  Make();
  StartServing();
  for (int i = 0; i < 10; ++i) {
    eventfd_write(doorbell_.get(), 1);
    loop_.RunUntilIdle();
  }
  EXPECT_EQ(interrupts(), 0u);
  EXPECT_EQ(notifier_.needs_reset, 0u);
}

TEST_P(DeviceQueueTest, StopOfIdleQueueWaitsForTheDoorbellWatch) {
  Make();
  StartServing();
  loop_.RunUntilIdle();
  bool done = false;
  queue_->Stop([&] { done = true; });
  EXPECT_FALSE(done) << "the doorbell is still watched";
  loop_.RunUntilIdle();
  EXPECT_TRUE(done);
  EXPECT_FALSE(queue_->started());
  EXPECT_EQ(loop_.in_flight(), 0u);
}

TEST_P(DeviceQueueTest, StopWaitsForRequestsInFlight) {
  Make();
  queue_->mode = EchoQueue::Mode::kHeld;
  StartServing();
  Offer(2);
  Publish();
  loop_.RunUntilIdle();
  bool done = false;
  queue_->Stop([&] { done = true; });
  Offer(1);
  eventfd_write(doorbell_.get(), 1);
  driver_->Publish();
  loop_.RunUntilIdle();
  EXPECT_TRUE(queue_->cancelled);
  EXPECT_EQ(queue_->held.size(), 2u) << "no new pops";
  queue_->CompleteOne();
  loop_.RunUntilIdle();
  EXPECT_FALSE(done);
  queue_->CompleteOne();
  loop_.RunUntilIdle();
  EXPECT_TRUE(done);
}

TEST_P(DeviceQueueTest, StopCancelsWhatCanBeCancelled) {
  Make();
  queue_->mode = EchoQueue::Mode::kTimed;
  StartServing();
  Offer(4);
  Publish();
  loop_.RunUntilIdle();
  bool done = false;
  queue_->Stop([&] { done = true; });
  loop_.RunUntilIdle();  // the fake clock does not advance, so only Cancel can end the requests
  EXPECT_TRUE(done);
}

// Completions come in random order: the last request may end before or after the watch of the
// doorbell.
TEST_P(DeviceQueueTest, StopWaitsForTheDoorbellInAnyOrder) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    base::FakeEventLoop loop({.seed = seed});
    EchoQueue queue(loop, *memory_);
    queue.mode = EchoQueue::Mode::kTimed;
    driver_ = std::make_unique<FakeDriver>(
        *memory_, FakeDriver::Options{.size = kSize, .event_idx = GetParam()});
    Offer(4);
    driver_->Publish();
    queue.StartServing({0, MakeRing(), NewDoorbell(loop, 1)}, notifier_);
    loop.RunTurn();
    bool done = false;
    queue.Stop([&] {
      done = true;
      EXPECT_EQ(loop.in_flight(), 0u);
    });
    loop.RunUntilIdle();
    EXPECT_TRUE(done);
  }
}

TEST_P(DeviceQueueTest, RepeatedStopsRunEveryDone) {
  Make();
  StartServing();
  int done = 0;
  queue_->Stop([&] { ++done; });
  queue_->Stop([&] { ++done; });
  loop_.RunUntilIdle();
  EXPECT_EQ(done, 2);
  queue_->Stop([&] { ++done; });
  EXPECT_EQ(done, 3) << "must run at once: the queue is not started";
}

TEST_P(DeviceQueueTest, QueueMayBeDestroyedByDone) {
  Make();
  queue_->mode = EchoQueue::Mode::kTimed;
  StartServing();
  Offer(2);
  Publish();
  loop_.RunUntilIdle();
  queue_->Stop([this] { queue_.reset(); });
  loop_.RunUntilIdle();
  EXPECT_EQ(queue_, nullptr);
}

TEST_P(DeviceQueueTest, CanBeStartedAgain) {
  Make();
  for (int i = 0; i < 3; ++i) {
    StartServing();
    Offer(2);
    Publish();
    loop_.RunUntilIdle();
    EXPECT_EQ(TakeUsed(), 2);
    queue_->Stop([] {});
    loop_.RunUntilIdle();
    ASSERT_FALSE(queue_->started());
  }
}

TEST_P(DeviceQueueTest, PauseLosesNoChain) {
  Make();
  queue_->mode = EchoQueue::Mode::kHeld;
  StartServing();
  Offer(2);
  Publish();
  loop_.RunUntilIdle();
  bool done = false;
  queue_->Pause([&] { done = true; });
  loop_.RunUntilIdle();
  EXPECT_FALSE(done) << "two chains are still in flight";
  EXPECT_FALSE(queue_->cancelled);
  queue_->CompleteOne();
  queue_->CompleteOne();
  loop_.RunUntilIdle();
  EXPECT_TRUE(done);
  EXPECT_EQ(TakeUsed(), 2) << "the driver sees what was completed";
  Offer(3);
  Publish();
  loop_.RunUntilIdle();
  EXPECT_TRUE(queue_->held.empty());
  queue_->Resume();
  EXPECT_EQ(queue_->held.size(), 3u);
}

TEST_P(DeviceQueueTest, ResumeDropsTheDoneOfPause) {
  Make();
  queue_->mode = EchoQueue::Mode::kHeld;
  StartServing();
  Offer(1);
  Publish();
  loop_.RunUntilIdle();
  bool done = false;
  queue_->Pause([&] { done = true; });
  queue_->Resume();
  queue_->CompleteOne();
  loop_.RunUntilIdle();
  EXPECT_FALSE(done);
}

TEST_P(DeviceQueueTest, StopAndPauseBothEndWhenCombined) {
  for (const bool pause_first : {true, false}) {
    Make();
    queue_->mode = EchoQueue::Mode::kHeld;
    StartServing();
    Offer(1);
    Publish();
    loop_.RunUntilIdle();
    bool paused = false;
    bool stopped = false;
    const auto pause = [&] { queue_->Pause([&] { paused = true; }); };
    if (pause_first) pause();
    queue_->Stop([&] { stopped = true; });
    if (!pause_first) pause();
    loop_.RunUntilIdle();
    EXPECT_FALSE(paused || stopped);
    queue_->CompleteOne();
    loop_.RunUntilIdle();
    EXPECT_TRUE(paused && stopped);
    queue_->Resume();
  }
}

TEST_P(DeviceQueueTest, QueueStartedWhilePausedWaitsForResume) {
  Make();
  bool paused = false;
  queue_->Pause([&] { paused = true; });
  EXPECT_TRUE(paused);
  StartServing();
  Offer(1);
  Publish();
  loop_.RunUntilIdle();
  EXPECT_EQ(TakeUsed(), 0);
  queue_->Resume();
  loop_.RunUntilIdle();
  EXPECT_EQ(TakeUsed(), 1);
}

TEST_P(DeviceQueueTest, DoorbellFailureIsReported) {
  Make();
  StartServing();
  loop_.FailNext(base::FakeEventLoop::Kind::kPollMultishot, ENOMEM);
  eventfd_write(doorbell_.get(), 1);
  loop_.RunUntilIdle();
  EXPECT_EQ(notifier_.needs_reset, 1u);
  bool done = false;
  queue_->Stop([&] { done = true; });
  loop_.RunUntilIdle();
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace virtio
