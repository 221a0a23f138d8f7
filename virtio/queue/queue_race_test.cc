// The driver and the device run on separate threads, the device on the real event loop. No kick,
// interrupt or chain may be lost, whatever the interleaving. Run it under TSan, too.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <span>
#include <utility>

#include "base/loop_thread.h"
#include "base/turn_budget.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/request_slab.h"

namespace virtio {
namespace {

constexpr uint64_t kChains = 30000;

// Signals interrupts through an eventfd, as a transport does.
class EventFdNotifier final : public DriverNotifier {
 public:
  void NotifyQueue(uint16_t /*index*/) override {
    interrupts.fetch_add(1, std::memory_order_relaxed);
    eventfd_write(interrupt.get(), 1);
  }
  absl::StatusOr<int> QueueInterruptFd(uint16_t /*index*/) override {
    return absl::UnimplementedError("a test");
  }
  void NeedsReset(absl::string_view /*why*/) override { broken = true; }

  base::UniqueFd interrupt{eventfd(0, EFD_CLOEXEC)};
  std::atomic<uint64_t> interrupts = 0;
  std::atomic<bool> broken = false;
};

struct Request : Chain {};

// Copies each chain's readable bytes to its writable bytes, at once or a turn later. Some chains
// spend the turn's budget, so that the other available chains wait for the next turn.
class EchoQueue final : public DeviceQueue {
 public:
  EchoQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t size)
      : DeviceQueue(loop, memory, 0), slab_(*RequestSlab<Request>::Create(size)) {}

 private:
  Chain* AcquireChain() override { return slab_.Acquire(); }
  void ReleaseChain(Chain& chain) override { slab_.Release(static_cast<Request&>(chain)); }
  void Start(Chain& chain) override {
    ++count_;
    if (count_ % 5 == 0) loop().turn_budget().Spend(base::TurnBudget::kSteps);
    if (count_ % 3 != 0) return Echo(chain);
    loop().Post([this, &chain] { Echo(chain); });
  }
  void Echo(Chain& chain) {
    uint8_t bytes[8];
    chain.PopReadable(bytes);
    Complete(chain, static_cast<uint32_t>(chain.PushWritable(memory(), bytes)));
  }

  uint64_t count_ = 0;
  RequestSlab<Request> slab_;
};

class QueueRaceTest : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(EventIdx, QueueRaceTest, testing::Bool());

TEST_P(QueueRaceTest, NoChainAndNoInterruptIsLost) {
  auto memory = *base::GuestMemory::Create({.thp = false}, {{0, 32 << 20, nullptr}});
  auto thread = *base::LoopThread::Create("io", {});
  FakeDriver driver(*memory, {.size = 16, .event_idx = GetParam()});
  EchoQueue queue(thread->loop(), *memory, 16);
  EventFdNotifier notifier;
  base::UniqueFd doorbell(eventfd(0, EFD_CLOEXEC));
  const base::LoopFile doorbell_file = thread->loop().AddFile(doorbell.get()).value();
  QueueError error;
  auto ring = SplitQueue::Create(
      *memory, {16, driver.descriptor_table(), driver.driver_area(), driver.device_area()},
      {.event_idx = GetParam(), .indirect = true}, error);
  ASSERT_TRUE(thread->Start().ok());
  thread->loop().Post([&, r = std::move(ring)]() mutable {
    queue.StartServing({0, std::move(r), doorbell_file}, notifier);
  });

  uint64_t offered = 0;
  uint64_t returned = 0;
  std::map<uint16_t, uint64_t> values;
  while (returned < kChains) {
    while (offered < kChains && driver.free_descriptors() >= 2 &&
           offered - returned < 1 + offered % 8) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(&offered);
      const uint16_t head = driver.Chain().Readable(std::span(bytes, 8)).Writable(8).Offer();
      values[head] = offered++;
      if (driver.Publish()) eventfd_write(doorbell.get(), 1);
    }
    bool any = false;
    while (const auto used = driver.PopUsed()) {
      any = true;
      ASSERT_EQ(used->len, 8u);
      const auto head = static_cast<uint16_t>(used->id);
      uint64_t value;
      memcpy(&value, driver.WritableBytes(head).data(), 8);
      ASSERT_EQ(value, values.at(head));
      ++returned;
    }
    if (any) continue;
    if (!driver.EnableInterrupts()) continue;
    pollfd wait = {.fd = notifier.interrupt.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&wait, 1, 60'000), 1) << "lost after " << returned << " of " << offered;
    uint64_t signals;
    eventfd_read(notifier.interrupt.get(), &signals);
    driver.DisableInterrupts();
  }
  EXPECT_FALSE(notifier.broken);

  base::UniqueFd stopped(eventfd(0, EFD_CLOEXEC));
  thread->loop().Post([&] { queue.Stop([&] { eventfd_write(stopped.get(), 1); }); });
  uint64_t value;
  eventfd_read(stopped.get(), &value);
  thread->Stop();
  std::printf("%llu chains, %llu kicks seen, %llu interrupts\n",
              static_cast<unsigned long long>(kChains),
              static_cast<unsigned long long>(queue.queue_counters().kicks.value()),
              static_cast<unsigned long long>(notifier.interrupts.load()));
}

// Behaves like the console of Linux: one chain at a time, and the driver learns that a chain is
// done only by polling the used ring.
TEST_P(QueueRaceTest, NoKickOfAPollingDriverIsLost) {
  auto memory = *base::GuestMemory::Create({.thp = false}, {{0, 32 << 20, nullptr}});
  auto thread = *base::LoopThread::Create("io", {});
  FakeDriver driver(*memory, {.size = 16, .event_idx = GetParam()});
  EchoQueue queue(thread->loop(), *memory, 16);
  EventFdNotifier notifier;
  base::UniqueFd doorbell(eventfd(0, EFD_CLOEXEC));
  const base::LoopFile doorbell_file = thread->loop().AddFile(doorbell.get()).value();
  QueueError error;
  auto ring = SplitQueue::Create(
      *memory, {16, driver.descriptor_table(), driver.driver_area(), driver.device_area()},
      {.event_idx = GetParam(), .indirect = true}, error);
  ASSERT_TRUE(thread->Start().ok());
  thread->loop().Post([&, r = std::move(ring)]() mutable {
    queue.StartServing({0, std::move(r), doorbell_file}, notifier);
  });
  for (uint64_t i = 0; i < kChains; ++i) {
    driver.Chain().Readable(std::span(reinterpret_cast<const uint8_t*>(&i), 8)).Writable(8).Offer();
    if (driver.Publish()) eventfd_write(doorbell.get(), 1);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!driver.PopUsed()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "lost after " << i;
    }
  }
  base::UniqueFd stopped(eventfd(0, EFD_CLOEXEC));
  thread->loop().Post([&] { queue.Stop([&] { eventfd_write(stopped.get(), 1); }); });
  uint64_t value;
  eventfd_read(stopped.get(), &value);
  thread->Stop();
}

}  // namespace
}  // namespace virtio
