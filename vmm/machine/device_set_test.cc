// Tests the set of devices with a new kind of device. A new kind needs a config, a class and a
// factory.
#include "vmm/machine/device_set.h"

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/device_fixtures.h"
#include "tests/fakes/fake_event_loop.h"
#include "virtio/queue/device_queue.h"
#include "virtio/queue/queued_device.h"
#include "virtio/queue/request_slab.h"
#include "vmm/machine/counter_gatherer.h"

namespace vmm {
namespace {

using testing::ElementsAre;
using std::chrono_literals::operator""s;

constexpr uint16_t kQueueSize = 8;

// --- A new kind of device begins here: its config ... ---

struct MailboxConfig {
  std::string id;
  std::optional<uint32_t> pci_device_id = 5;
  std::optional<uint64_t> features_mask = {};
};

// --- ... its folder below virtio/ ... ---

struct MailboxRequest : virtio::Chain {};

// Keeps each chain until the test takes it.
class MailboxQueue final : public virtio::DeviceQueue {
 public:
  MailboxQueue(base::EventLoop& loop, base::GuestMemory& memory)
      : DeviceQueue(loop, memory, 0),
        slab_(*virtio::RequestSlab<MailboxRequest>::Create(kQueueSize)) {}

  void TakeAll() {
    for (virtio::Chain* chain : std::exchange(kept_, {})) Complete(*chain, 0);
  }

 private:
  virtio::Chain* AcquireChain() override { return slab_.Acquire(); }
  void ReleaseChain(virtio::Chain& chain) override {
    slab_.Release(static_cast<MailboxRequest&>(chain));
  }
  void Start(virtio::Chain& chain) override { kept_.push_back(&chain); }

  virtio::RequestSlab<MailboxRequest> slab_;
  std::vector<virtio::Chain*> kept_;
};

class MailboxDevice final : public virtio::QueuedDevice {
 public:
  MailboxDevice(std::string id, base::EventLoop& loop, base::GuestMemory& memory)
      : QueuedDevice({.id = std::move(id), .type = 42}, loop), queue(loop, memory) {
    AddQueue(queue, kQueueSize);
  }
  ~MailboxDevice() override { ++destroyed; }

  MailboxQueue queue;
  static inline int destroyed = 0;

 private:
  void AddCounters(virtio::Counters& /*counters*/) const override {}
};

// --- ... and its factory. ---

class MailboxHostSide final : public HostSide {
 public:
  explicit MailboxHostSide(HostFile file) : file_(std::move(file)) {}
  ~MailboxHostSide() override { log += "~"; }
  const HostFile* file() const override { return &file_; }
  void Reread() override { log += "reread "; }
  bool has_closure() const override { return true; }
  void ReloadClosure(ClosureReport report) override { report(7); }
  void Unlock() override { log += "unlock "; }

  static inline std::string log;

 private:
  const HostFile file_;
};

absl::StatusOr<PlacedDevice> CreateMailbox(const MailboxConfig& config,
                                           const DeviceContext& context) {
  if (config.id == "bad") return absl::NotFoundError("mailboxes[0].path: none: cannot open");
  auto device = std::make_unique<MailboxDevice>(config.id, context.next_loop(), context.memory);
  if (config.id == "plain") return Place(std::move(device), config);
  return Place(std::move(device), config,
               std::make_unique<MailboxHostSide>(HostFile{.key = "path", .path = config.id}));
}

// --- It ends here. ---

class DeviceSetTest : public testing::Test {
 protected:
  DeviceSetTest() {
    MailboxDevice::destroyed = 0;
    MailboxHostSide::log.clear();
  }

  absl::Status Add(const std::string& id) {
    const auto next_loop = [this]() -> base::EventLoop& { return harness_.loop(); };
    return set_.Add(CreateMailbox({.id = id}, {harness_.memory(), next_loop, set_}));
  }
  MailboxDevice& Mailbox(const std::string& id) {
    return static_cast<MailboxDevice&>(*set_.Find(id)->device);
  }
  void Run() {
    harness_.loop().RunUntilIdle();
    control_.RunUntilIdle();
  }
  // Offers a chain to the device that has a driver.
  void Send() {
    harness_.driver(0).Chain().Readable(1).Offer();
    harness_.Publish(0);
  }

  virtio::DeviceHarness harness_{{.queue_size = kQueueSize}};
  base::FakeEventLoop control_;
  DeviceSet set_;
};

TEST_F(DeviceSetTest, DeviceCanBeAddedPausedCountedAndRemoved) {
  ASSERT_TRUE(Add("_box").ok());
  ASSERT_TRUE(Add("plain").ok());
  const PlacedDevice& placed = *set_.Find("_box");
  EXPECT_EQ(placed.pci_slot, 5u);
  EXPECT_EQ(placed.features_mask, ~uint64_t{0});
  EXPECT_EQ(placed.doorbells->count(), 1);
  harness_.Start(*placed.device, virtio::kRingFeatures);
  Send();

  bool quiet = false;
  const DevicesAtWork busy(control_, set_.ids(), [&] { quiet = true; });
  EXPECT_EQ(busy.Names(), "_box, plain");
  set_.Pause(busy);
  Run();
  EXPECT_FALSE(quiet) << "a chain is in flight";
  EXPECT_EQ(busy.Names(), "_box");
  Mailbox("_box").queue.TakeAll();
  Run();
  EXPECT_TRUE(quiet);
  EXPECT_EQ(busy.Names(), "");
  Send();
  EXPECT_EQ(Mailbox("_box").queue.queue_counters().chains.value(), 1u);
  set_.Resume();
  Run();
  EXPECT_EQ(Mailbox("_box").queue.queue_counters().chains.value(), 2u);

  CounterGatherer gatherer(set_, control_);
  std::vector<DeviceCounters> counters;
  gatherer.Gather({}, [&](std::vector<DeviceCounters> all) { counters = std::move(all); });
  Run();
  ASSERT_EQ(counters.size(), 2u);
  EXPECT_EQ(counters[0].device, "_box");
  EXPECT_THAT(counters[0].counters, testing::Contains(testing::Pair("chains", 2u)));
  EXPECT_EQ(counters[1].device, "plain");
  EXPECT_THAT(set_.CountersText(), testing::StartsWith("_box: chains 2, "));
  EXPECT_THAT(set_.CountersText(), testing::EndsWith("\nplain: nothing\n"));

  Mailbox("_box").queue.TakeAll();
  EXPECT_TRUE(harness_.Stop(*placed.device));
  EXPECT_TRUE(set_.Remove("_box"));
  EXPECT_EQ(set_.Find("_box"), nullptr);
  Run();
  EXPECT_EQ(MailboxDevice::destroyed, 1);
  EXPECT_EQ(set_.ids().size(), 1u);
}

TEST_F(DeviceSetTest, RefusesASecondDeviceWithTheSameId) {
  ASSERT_TRUE(Add("_box").ok());
  const absl::Status status = Add("_box");
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status.message(), "_box: there is a device with this id already");
  EXPECT_EQ(set_.all().size(), 1u);
}

TEST_F(DeviceSetTest, AddReturnsTheErrorOfTheFactory) {
  EXPECT_EQ(Add("bad").message(), "mailboxes[0].path: none: cannot open");
  EXPECT_TRUE(set_.all().empty());
}

TEST_F(DeviceSetTest, KeepsTheOrderInWhichDevicesWereAdded) {
  for (const char* id : {"c", "a", "b"}) ASSERT_TRUE(Add(id).ok());
  EXPECT_EQ(set_.IdsOn(harness_.loop()), "c a b");
  EXPECT_EQ(set_.IdsOn(control_), "");
  EXPECT_TRUE(set_.Remove("a"));
  EXPECT_EQ(set_.IdsOn(harness_.loop()), "c b");
  EXPECT_FALSE(set_.Remove("a"));
}

// A thread of the host side may post for the device until the host side is gone.
TEST_F(DeviceSetTest, RemoveDestroysTheHostSideAtOnceAndTheDeviceAfterPostedFunctions) {
  ASSERT_TRUE(Add("_box").ok());
  std::optional<int> destroyed_before;
  harness_.loop().Post([&] { destroyed_before = MailboxDevice::destroyed; });
  set_.Remove("_box");
  EXPECT_EQ(MailboxHostSide::log, "~");
  EXPECT_EQ(MailboxDevice::destroyed, 0);
  Run();
  EXPECT_EQ(destroyed_before, 0);
  EXPECT_EQ(MailboxDevice::destroyed, 1);
}

TEST_F(DeviceSetTest, DeviceRemovedDuringAGatheringStillAnswers) {
  ASSERT_TRUE(Add("_box").ok());
  CounterGatherer gatherer(set_, control_);
  std::vector<DeviceCounters> counters;
  gatherer.Gather({}, [&](std::vector<DeviceCounters> all) { counters = std::move(all); });
  set_.Remove("_box");
  Run();
  ASSERT_EQ(counters.size(), 1u);
  EXPECT_EQ(counters[0].device, "_box");
}

TEST_F(DeviceSetTest, CallsTheHostSideOfEachDevice) {
  for (const char* id : {"a", "plain", "b"}) ASSERT_TRUE(Add(id).ok());
  set_.Reread();
  set_.Unlock();
  EXPECT_EQ(MailboxHostSide::log, "reread reread unlock unlock ");
  std::vector<std::string> reports;
  set_.ReloadClosures([&](absl::string_view id) -> HostSide::ClosureReport {
    return [&reports, id = std::string(id)](const absl::StatusOr<size_t>& added) {
      reports.push_back(id + std::to_string(*added));
    };
  });
  EXPECT_THAT(reports, ElementsAre("a7", "b7"));
}

TEST_F(DeviceSetTest, NamesEachFileThatIsNotWrittenThrough) {
  ASSERT_TRUE(Add("plain").ok());
  EXPECT_TRUE(set_.WriteThrough(1s)) << "there is no file";
  ASSERT_TRUE(Add("box.raw").ok());
  testing::internal::CaptureStderr();
  EXPECT_FALSE(set_.WriteThrough(1s)) << "its descriptor is bad";
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("box.raw: not written through"));
}

TEST(DevicesAtWorkTest, CallsDoneFromTheLoopIfThereAreNoDevices) {
  base::FakeEventLoop control;
  bool done = false;
  const DevicesAtWork none(control, {}, [&] { done = true; });
  EXPECT_EQ(none.Names(), "");
  EXPECT_FALSE(done);
  control.RunUntilIdle();
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace vmm
