// The block device on the real event loop in its own thread, and the driver in another thread.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <map>
#include <random>
#include <utility>

#include "base/loop_thread.h"
#include "virtio/block/testing/block_fixtures.h"

namespace virtio {
namespace {

constexpr uint64_t kDiskBytes = 8 << 20;
constexpr uint32_t kBlockBytes = 4096;
constexpr uint16_t kQueueSize = 64;

class EventFdNotifier final : public DriverNotifier {
 public:
  void NotifyQueue(uint16_t /*index*/) override { eventfd_write(interrupt.get(), 1); }
  absl::StatusOr<int> QueueInterruptFd(uint16_t /*index*/) override {
    return absl::UnimplementedError("a test");
  }
  void NeedsReset(absl::string_view /*why*/) override { broken = true; }
  base::UniqueFd interrupt{eventfd(0, EFD_CLOEXEC)};
  std::atomic<bool> broken = false;
};

// Runs `function` on the loop and waits until `function` calls its argument.
void RunOn(base::LoopThread& thread, absl::AnyInvocable<void(Device::Done)> function) {
  base::UniqueFd done(eventfd(0, EFD_CLOEXEC));
  thread.loop().Post([&] { function([&] { eventfd_write(done.get(), 1); }); });
  eventfd_t value;
  ASSERT_EQ(eventfd_read(done.get(), &value), 0);
}

struct LoopCase {
  const char* name;
  bool direct;
  base::UringEventLoop::Options loop;
};

class BlockLoopTest : public testing::TestWithParam<LoopCase> {
 protected:
  void SetUp() override {
    if (GetParam().direct && !HasDirectIo(testing::TempDir())) {
      GTEST_SKIP() << "no O_DIRECT on the file system of " << testing::TempDir();
    }
  }
};

// The rings are much smaller than the queue: a full ring delays requests but loses none.
INSTANTIATE_TEST_SUITE_P(
    Loops, BlockLoopTest,
    testing::Values(
        LoopCase{"Buffered", false, {}}, LoopCase{"Direct", true, {}},
        LoopCase{"BufferedFullRings", false, {.submission_entries = 2, .completion_entries = 4}},
        LoopCase{"DirectFullRings", true, {.submission_entries = 2, .completion_entries = 4}}),
    [](const auto& value) { return value.param.name; });

TEST_P(BlockLoopTest, WrittenDataSurvivePausesAndResets) {
  const TemporaryImage file(testing::TempDir(), kDiskBytes);
  auto image = BlockImage::Open({.name = "disk", .path = file.path(), .direct = GetParam().direct});
  ASSERT_TRUE(image.ok()) << image.status();
  auto memory = *base::GuestMemory::Create({.thp = false}, {{0, 32 << 20, nullptr}});
  auto thread = *base::LoopThread::Create("io", GetParam().loop);
  auto device = *BlockDevice::Create({.id = "d", .queue_size = kQueueSize},
                                     std::move(image).value(), thread->loop(), *memory);
  EventFdNotifier notifier;
  base::UniqueFd doorbell(eventfd(0, EFD_CLOEXEC));
  const base::LoopFile doorbell_file = thread->loop().AddFile(doorbell.get()).value();
  ASSERT_TRUE(thread->Start().ok());
  std::mt19937_64 random(1);
  std::map<uint64_t, Bytes> content;

  for (int round = 0; round < 3; ++round) {
    FakeDriver driver(*memory, {.size = kQueueSize, .event_idx = true});
    RunOn(*thread, [&](Device::Done done) {
      QueueError error;
      auto ring = SplitQueue::Create(
          *memory,
          {kQueueSize, driver.descriptor_table(), driver.driver_area(), driver.device_area()},
          {.event_idx = true, .indirect = true}, error);
      device->Activate(device->features(), notifier);
      device->StartQueue({0, std::move(ring), doorbell_file});
      done();
    });
    struct Request {
      uint64_t block;
      bool write;
      bool flush;
    };
    std::map<uint16_t, Request> in_flight;
    std::map<uint64_t, bool> busy;
    int left = 500;
    bool paused = false;
    while (left > 0 || !in_flight.empty()) {
      while (left > 0 && driver.free_descriptors() >= 4) {
        const uint64_t block = random() % (kDiskBytes / kBlockBytes);
        if (busy[block]) continue;
        Request request = {block, random() % 2 == 0, random() % 50 == 0};
        auto builder = driver.Chain();
        if (request.flush) {
          builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0));
        } else if (request.write) {
          content[block] = RandomBytes(kBlockBytes, random());
          builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_OUT, block * 8)).Readable(content[block]);
        } else {
          builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_IN, block * 8)).Writable(kBlockBytes);
        }
        if (!request.flush) busy[block] = true;
        in_flight[builder.Writable(1).Offer()] = request;
        --left;
        if (driver.Publish()) eventfd_write(doorbell.get(), 1);
      }
      if (left < 250 && !std::exchange(paused, true)) {
        RunOn(*thread, [&](Device::Done done) { device->Pause(std::move(done)); });
        RunOn(*thread, [&](Device::Done done) {
          device->Resume();
          done();
        });
      }
      while (const auto used = driver.PopUsed()) {
        const auto head = static_cast<uint16_t>(used->id);
        const Request request = in_flight.at(head);
        in_flight.erase(head);
        Bytes data = driver.WritableBytes(head);
        ASSERT_EQ(data.back(), VIRTIO_BLK_S_OK);
        if (request.flush) continue;
        busy[request.block] = false;
        if (request.write) continue;
        data.pop_back();
        const auto it = content.find(request.block);
        ASSERT_EQ(data, it == content.end() ? Bytes(kBlockBytes) : it->second);
      }
      if (in_flight.empty() || !driver.EnableInterrupts()) continue;
      pollfd wait = {.fd = notifier.interrupt.get(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(poll(&wait, 1, 60000), 1) << "an interrupt was lost";
      eventfd_t value;
      eventfd_read(notifier.interrupt.get(), &value);
    }
    RunOn(*thread, [&](Device::Done done) { device->StopQueue(0, std::move(done)); });
    RunOn(*thread, [&](Device::Done done) {
      device->Deactivate();
      done();
    });
  }
  EXPECT_FALSE(notifier.broken);
  thread->Stop();
  for (const auto& [block, bytes] : content) {
    ASSERT_EQ(file.Read(block * kBlockBytes, kBlockBytes), bytes);
  }
}

// The kernel cancels requests: a queue that is stopped with many requests in flight stops, and the
// file stays intact.
TEST_P(BlockLoopTest, StopEndsWithRequestsInFlight) {
  const TemporaryImage file(testing::TempDir(), kDiskBytes);
  auto image = BlockImage::Open({.name = "disk", .path = file.path(), .direct = GetParam().direct});
  ASSERT_TRUE(image.ok()) << image.status();
  auto memory = *base::GuestMemory::Create({.thp = false}, {{0, 32 << 20, nullptr}});
  auto thread = *base::LoopThread::Create("io", GetParam().loop);
  auto device = *BlockDevice::Create({.id = "d", .queue_size = kQueueSize},
                                     std::move(image).value(), thread->loop(), *memory);
  EventFdNotifier notifier;
  base::UniqueFd doorbell(eventfd(0, EFD_CLOEXEC));
  const base::LoopFile doorbell_file = thread->loop().AddFile(doorbell.get()).value();
  ASSERT_TRUE(thread->Start().ok());
  for (int round = 0; round < 50; ++round) {
    FakeDriver driver(*memory, {.size = kQueueSize, .event_idx = true});
    for (uint64_t i = 0; i < 16; ++i) {
      auto builder = driver.Chain();
      if (i % 4 == 0) {
        builder.Readable(BlockHeaderBytes(VIRTIO_BLK_T_FLUSH, 0));
      } else {
        builder.Readable(
            BlockHeaderBytes(i % 2 == 0 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, i * 256));
        if (i % 2 == 0) {
          builder.Readable(64 << 10);
        } else {
          builder.Writable(64 << 10);
        }
      }
      builder.Writable(1).Offer();
    }
    driver.Publish();
    RunOn(*thread, [&](Device::Done done) {
      QueueError error;
      auto ring = SplitQueue::Create(
          *memory,
          {kQueueSize, driver.descriptor_table(), driver.driver_area(), driver.device_area()},
          {.event_idx = true, .indirect = true}, error);
      device->Activate(device->features(), notifier);
      device->StartQueue({0, std::move(ring), doorbell_file});
      if (round % 2 == 0) return device->StopQueue(0, std::move(done));
      done();
    });
    if (round % 2 != 0) {
      RunOn(*thread, [&](Device::Done done) { device->StopQueue(0, std::move(done)); });
    }
    RunOn(*thread, [&](Device::Done done) {
      device->Deactivate();
      done();
    });
  }
  EXPECT_FALSE(notifier.broken);
  thread->Stop();
}

}  // namespace
}  // namespace virtio
