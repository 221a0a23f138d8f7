#include "vmm/machine/counter_gatherer.h"

#include <memory>
#include <span>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_event_loop.h"

namespace vmm {
namespace {

using std::chrono_literals::operator""ms;
using testing::ElementsAre;

// A device that hangs until the test runs its loop.
class CountingDevice final : public virtio::Device {
 public:
  explicit CountingDevice(std::string id) : id_(std::move(id)) {}
  absl::string_view id() const override { return id_; }
  uint16_t type() const override { return 0; }
  uint64_t features() const override { return 0; }
  std::span<const uint16_t> queue_sizes() const override { return {}; }
  base::FakeEventLoop& loop() override { return loop_; }
  base::FakeEventLoop& queue_loop(uint16_t /*index*/) override { return loop_; }
  uint32_t config_size() const override { return 0; }
  void ReadConfig(uint32_t /*offset*/, std::span<uint8_t> /*to*/) override {}
  void Activate(uint64_t /*features*/, virtio::DriverNotifier& /*notifier*/) override {}
  void StartQueue(virtio::EnabledQueue /*queue*/) override {}
  void StopQueue(uint16_t /*index*/, Done done) override { done(); }
  void Deactivate() override {}
  void Pause(Done done) override { done(); }
  void Resume() override {}
  virtio::Counters counters() const override { return {{"asked", ++asked_}}; }

  uint64_t asked() const { return asked_; }

 private:
  const std::string id_;
  base::FakeEventLoop loop_;
  mutable uint64_t asked_ = 0;
};

class CounterGathererTest : public testing::Test {
 protected:
  void Gather() {
    gatherer_.Gather({{"_vcpus", {}}}, [this](std::vector<DeviceCounters> all) {
      ++answers_;
      answer_.clear();
      for (const DeviceCounters& one : all) {
        std::string text = one.device;
        for (const auto& [name, value] : one.counters) {
          text += " " + name + "=" + std::to_string(value);
        }
        answer_.push_back(text);
      }
    });
  }
  void Run(CountingDevice& device) {
    device.loop().RunUntilIdle();
    control_.RunUntilIdle();
  }

  CountingDevice& Add(const char* id) {
    EXPECT_TRUE(devices_.Add(PlacedDevice{.device = std::make_unique<CountingDevice>(id)}).ok());
    return static_cast<CountingDevice&>(*devices_.Find(id)->device);
  }

  base::FakeEventLoop control_;
  DeviceSet devices_;
  CountingDevice& disk_ = Add("_disk0");
  CountingDevice& share_ = Add("_fs0");
  CounterGatherer gatherer_{devices_, control_};
  int answers_ = 0;
  std::vector<std::string> answer_;
};

TEST_F(CounterGathererTest, AnswersInDeviceOrderWhenAllDevicesHaveAnswered) {
  Gather();
  Run(share_);
  EXPECT_EQ(answers_, 0);
  Run(disk_);
  EXPECT_EQ(answers_, 1);
  EXPECT_THAT(answer_, ElementsAre("_vcpus", "_disk0 asked=1", "_fs0 asked=1"));
  EXPECT_EQ(control_.in_flight(), 0u) << "the timer of the deadline is cancelled";
}

TEST_F(CounterGathererTest, ListsDevicesThatDoNotAnswerWithinASecondAsSilent) {
  Gather();
  Run(disk_);
  control_.AdvanceTime(999ms);
  EXPECT_EQ(answers_, 0);
  control_.AdvanceTime(1ms);
  EXPECT_EQ(answers_, 1);
  EXPECT_THAT(answer_, ElementsAre("_vcpus", "_disk0 asked=1", "_silent _fs0=1000"));
  // No gathering waits for the late answer.
  Run(share_);
  EXPECT_EQ(answers_, 1);
  Gather();
  Run(disk_);
  Run(share_);
  EXPECT_THAT(answer_, ElementsAre("_vcpus", "_disk0 asked=2", "_fs0 asked=2"));
}

TEST_F(CounterGathererTest, HangingDeviceIsAskedOnceForAllGatherings) {
  for (int i = 0; i < 1000; ++i) {
    Gather();
    Run(disk_);
    control_.AdvanceTime(1000ms);
    ASSERT_EQ(answers_, i + 1);
  }
  EXPECT_THAT(answer_, ElementsAre("_vcpus", "_disk0 asked=1000", "_silent _fs0=1000000"));
  Gather();
  Gather();
  Run(disk_);
  Run(share_);
  EXPECT_EQ(answers_, 1002) << "one answer serves all gatherings";
  EXPECT_EQ(share_.asked(), 1u);
  EXPECT_EQ(control_.in_flight(), 0u);
}

}  // namespace
}  // namespace vmm
