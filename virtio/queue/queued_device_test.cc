// What all devices have in common, tested with a device whose queues are served on loops of their
// own.
#include "virtio/queue/queued_device.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <array>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/loop_thread.h"
#include "base/unique_fd.h"
#include "tests/fakes/device_fixtures.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fake_event_loop.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/request_slab.h"

namespace virtio {
namespace {

constexpr uint16_t kSize = 8;

struct EchoRequest : Chain {};

// Completes chains at once, or when the test calls CompleteAll.
class EchoQueue final : public DeviceQueue {
 public:
  EchoQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index)
      : DeviceQueue(loop, memory, index), slab_(*RequestSlab<EchoRequest>::Create(kSize)) {}
  ~EchoQueue() override = default;

  void CompleteAll() {
    while (!held.empty()) {
      Chain& chain = *held.back();
      held.pop_back();
      Complete(chain, 0);
    }
  }

  bool hold = false;
  std::vector<Chain*> held;

 private:
  Chain* AcquireChain() override { return slab_.Acquire(); }
  void ReleaseChain(Chain& chain) override { slab_.Release(static_cast<EchoRequest&>(chain)); }
  void Start(Chain& chain) override {
    if (hold) return held.push_back(&chain);
    Complete(chain, 0);
  }

  RequestSlab<EchoRequest> slab_;
};

class EchoDevice final : public QueuedDevice {
 public:
  // `loops`: the loop of each queue.
  EchoDevice(base::EventLoop& loop, std::vector<base::EventLoop*> loops, base::GuestMemory& memory)
      : QueuedDevice({.id = "_echo", .type = 42, .features = 5}, loop) {
    for (base::EventLoop* queue_loop : loops) {
      const auto index = static_cast<uint16_t>(queues.size());
      queues.push_back(std::make_unique<EchoQueue>(*queue_loop, memory, index));
      AddQueue(*queues.back(), kSize);
    }
  }

  std::vector<std::unique_ptr<EchoQueue>> queues;
  std::string orders;
  std::optional<Done> stopped;  // the `done` of the last StopQueue, if the test runs it itself
  bool slow_stop = false;

 private:
  std::span<const uint8_t> config_bytes() const override { return config_; }
  void OnActivated(uint64_t features) override { orders += "on" + std::to_string(features) + " "; }
  void OnQueueStarted() override { orders += "start "; }
  void OnQueueStopped(Done done) override {
    orders += "stop ";
    if (slow_stop) {
      stopped = std::move(done);
      return;
    }
    done();
  }
  void OnDeactivated() override { orders += "off "; }
  void AddCounters(Counters& counters) const override { counters["own"] = 7; }

  std::array<uint8_t, 3> config_ = {1, 2, 3};
};

// The rings and the doorbell of a queue.
struct Ring {
  Ring(base::GuestMemory& memory, uint16_t index)
      : driver(memory, {.size = kSize,
                        .base = 0x10000 + uint64_t{index} * 0x10000,
                        .data = 0x100000 + uint64_t{index} * 0x100000,
                        .data_bytes = 0x100000}),
        doorbell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  EnabledQueue Enabled(base::GuestMemory& memory, uint16_t index, base::LoopFile file) {
    QueueError error;
    return {
        index,
        SplitQueue::Create(
            memory, {kSize, driver.descriptor_table(), driver.driver_area(), driver.device_area()},
            {.event_idx = true, .indirect = true}, error),
        file};
  }

  FakeDriver driver;
  base::UniqueFd doorbell;
};

class QueuedDeviceTest : public testing::Test {
 protected:
  ~QueuedDeviceTest() override {
    for (const auto& queue : device_.queues) queue->CompleteAll();
    device_.Resume();
    Run();
    for (uint16_t i = 0; i < 2; ++i) device_.StopQueue(i, [] {});
    Run();
  }

  void Start() {
    device_.Activate(5, notifier_);
    for (uint16_t i = 0; i < 2; ++i) {
      const base::LoopFile file = queue_loops_[i].AddFile(rings_[i].doorbell.get()).value();
      device_.StartQueue(rings_[i].Enabled(*memory_, i, file));
    }
    Run();
  }
  // Makes a chain available in each queue.
  void Offer() {
    for (Ring& ring : rings_) {
      ring.driver.Chain().Readable(1).Offer();
      if (ring.driver.Publish()) CHECK(eventfd_write(ring.doorbell.get(), 1) == 0);
    }
  }
  void Run() {
    for (int turn = 0; turn < 3; ++turn) {
      loop_.RunUntilIdle();
      for (base::FakeEventLoop& queue_loop : queue_loops_) queue_loop.RunUntilIdle();
    }
  }

  std::unique_ptr<base::GuestMemory> memory_ =
      *base::GuestMemory::Create({.thp = false}, {{0, 4 << 20, nullptr}});
  base::FakeEventLoop loop_{base::FakeEventLoop::Options{}};
  std::array<base::FakeEventLoop, 2> queue_loops_ = {
      base::FakeEventLoop(base::FakeEventLoop::Options{}),
      base::FakeEventLoop(base::FakeEventLoop::Options{})};
  FakeNotifier notifier_;
  std::array<Ring, 2> rings_ = {Ring(*memory_, 0), Ring(*memory_, 1)};
  EchoDevice device_{loop_, {&queue_loops_[0], &queue_loops_[1]}, *memory_};
};

TEST_F(QueuedDeviceTest, ShowsItsIdentityAndQueues) {
  EXPECT_EQ(device_.id(), "_echo");
  EXPECT_EQ(device_.type(), 42);
  EXPECT_EQ(device_.features(), 5 | kRingFeatures);
  ASSERT_EQ(device_.queue_sizes().size(), 2u);
  EXPECT_EQ(device_.queue_sizes()[1], kSize);
  EXPECT_EQ(&device_.loop(), &loop_);
  EXPECT_EQ(&device_.queue_loop(1), &queue_loops_[1]);
}

TEST_F(QueuedDeviceTest, ConfigurationReadsAsZeroBeyondItsEnd) {
  EXPECT_EQ(device_.config_size(), 3u);
  std::array<uint8_t, 4> bytes = {9, 9, 9, 9};
  device_.ReadConfig(1, bytes);
  EXPECT_EQ(bytes, (std::array<uint8_t, 4>{2, 3, 0, 0}));
  device_.ReadConfig(UINT32_MAX, bytes);
  EXPECT_EQ(bytes, (std::array<uint8_t, 4>{0, 0, 0, 0}));
}

TEST_F(QueuedDeviceTest, EachQueueIsServedOnItsOwnLoop) {
  Start();
  EXPECT_EQ(device_.orders, "on5 start start ");
  Offer();
  queue_loops_[1].RunUntilIdle();
  EXPECT_FALSE(rings_[0].driver.PopUsed());
  EXPECT_TRUE(rings_[1].driver.PopUsed());
  Run();
  EXPECT_TRUE(rings_[0].driver.PopUsed());
  const Counters counters = device_.counters();
  EXPECT_EQ(counters.at("own"), 7u);
  EXPECT_EQ(counters.at("chains"), 2u);
  EXPECT_EQ(counters.at("kicks"), 2u);
  EXPECT_EQ(counters.at("interrupts"), 2u);
}

TEST_F(QueuedDeviceTest, StopIsReportedOnTheDevicesLoop) {
  Start();
  bool done = false;
  device_.StopQueue(1, [&] { done = true; });
  queue_loops_[1].RunUntilIdle();
  EXPECT_FALSE(done) << "StopQueue reported on the queue's loop";
  loop_.RunUntilIdle();
  EXPECT_TRUE(done);
  EXPECT_FALSE(device_.queues[1]->started());
  EXPECT_TRUE(device_.queues[0]->started());
}

TEST_F(QueuedDeviceTest, DeviceCanDelayTheEndOfAStop) {
  Start();
  device_.slow_stop = true;
  bool done = false;
  device_.StopQueue(0, [&] { done = true; });
  Run();
  EXPECT_FALSE(done);
  (*device_.stopped)();
  EXPECT_TRUE(done);
  device_.slow_stop = false;
}

TEST_F(QueuedDeviceTest, PauseWaitsForAllQueues) {
  Start();
  device_.queues[1]->hold = true;
  Offer();
  Run();
  bool quiet = false;
  device_.Pause([&] { quiet = true; });
  Run();
  EXPECT_FALSE(quiet);
  device_.queues[1]->CompleteAll();
  Run();
  EXPECT_TRUE(quiet);
}

TEST_F(QueuedDeviceTest, PauseThatEndsAfterResumeIsDropped) {
  Start();
  bool quiet = false;
  device_.Pause([&] { quiet = true; });
  for (base::FakeEventLoop& queue_loop : queue_loops_) queue_loop.RunUntilIdle();
  device_.Resume();  // before the queues' answers have arrived
  Run();
  EXPECT_FALSE(quiet);
  Offer();
  Run();
  EXPECT_TRUE(rings_[0].driver.PopUsed()) << "the queue does not serve again";
}

using QueuedDeviceDeathTest = QueuedDeviceTest;
TEST_F(QueuedDeviceDeathTest, NonexistentQueueIsABug) {
  device_.Activate(5, notifier_);
  EXPECT_DEATH(device_.StopQueue(2, [] {}), "");
  EXPECT_DEATH(device_.StartQueue({2, nullptr, {}}), "");
  device_.Deactivate();
}

// Uses threads, so that the thread sanitizer can check them.
TEST(QueuedDeviceThreadTest, QueuesOnThreadsStartServePauseAndStop) {
  std::array<std::unique_ptr<base::LoopThread>, 3> threads;
  for (auto& thread : threads) thread = *base::LoopThread::Create("test", {});
  auto memory = *base::GuestMemory::Create({.thp = false}, {{0, 4 << 20, nullptr}});
  std::array<Ring, 2> rings = {Ring(*memory, 0), Ring(*memory, 1)};
  std::array<base::LoopFile, 2> files;
  EchoDevice device(threads[2]->loop(), {&threads[0]->loop(), &threads[1]->loop()}, *memory);
  for (uint16_t i = 0; i < 2; ++i) {
    files[i] = threads[i]->loop().AddFile(rings[i].doorbell.get()).value();
  }
  for (auto& thread : threads) ASSERT_TRUE(thread->Start().ok());

  class CountingNotifier final : public DriverNotifier {
   public:
    void NotifyQueue(uint16_t index) override { interrupts[index].Increment(); }
    absl::StatusOr<int> QueueInterruptFd(uint16_t /*index*/) override {
      return absl::UnimplementedError("a test");
    }
    void NeedsReset(absl::string_view why) override { ADD_FAILURE() << why; }
    std::array<QueueCounter, 2> interrupts;
  } notifier;
  // Runs `give` on the device's loop and waits until it has called its argument.
  const auto order = [&](std::function<void(Device::Done)> give) {
    std::promise<void> ended;
    threads[2]->loop().Post([&] { give([&ended] { ended.set_value(); }); });
    ended.get_future().wait();
  };

  for (int round = 0; round < 50; ++round) {
    for (Ring& ring : rings) ring.driver.StartAt(0);
    order([&](Device::Done done) {
      device.Activate(0, notifier);
      for (uint16_t i = 0; i < 2; ++i) {
        device.StartQueue(rings[i].Enabled(*memory, i, files[i]));
      }
      done();
    });
    for (Ring& ring : rings) {
      ring.driver.Chain().Readable(1).Offer();
      if (ring.driver.Publish()) CHECK(eventfd_write(ring.doorbell.get(), 1) == 0);
    }
    order([&](Device::Done done) { device.Pause(std::move(done)); });
    order([&](Device::Done done) {
      device.Resume();
      done();
    });
    while (device.counters().at("chains") < 2u * (round + 1)) std::this_thread::yield();
    for (uint16_t i = 0; i < 2; ++i) {
      order([&](Device::Done done) { device.StopQueue(i, std::move(done)); });
      EXPECT_TRUE(rings[i].driver.PopUsed());
    }
    order([&](Device::Done done) {
      device.Deactivate();
      done();
    });
  }
  for (auto& thread : threads) thread->Stop();
}

}  // namespace
}  // namespace virtio
