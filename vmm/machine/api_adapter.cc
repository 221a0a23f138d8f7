#include "vmm/machine/api_adapter.h"

#include <memory>
#include <string>
#include <utility>

#include "vmm/config/print_config.h"

namespace vmm {
namespace {

const char* ToString(Controller::State state) {
  switch (state) {
    case Controller::State::kCreated:
      return "Created";
    case Controller::State::kRunning:
      return "Running";
    case Controller::State::kPaused:
      return "Paused";
    case Controller::State::kShutdown:
      return "Shutdown";
  }
  return "Shutdown";
}

// Answers of the devices' loops, gathered on the control loop.
struct Gathering {
  std::vector<DeviceCounters> result;
  size_t missing = 0;
  absl::AnyInvocable<void(std::vector<DeviceCounters>)> done;
};

}  // namespace

VmInfo ApiAdapter::Info() {
  return {.config_json = PrintVmConfig(controller_.config(), PrintStyle::kCompact),
          .state = ToString(controller_.state()),
          .memory_actual_size_bytes = host_.memory().total_bytes()};
}

void ApiAdapter::Counters(absl::AnyInvocable<void(std::vector<DeviceCounters>)> done) {
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  if (Machine* machine = controller_.machine(); machine != nullptr) {
    gathering->result.push_back({"_vcpus", machine->ExitCounts()});
  }
  gathering->missing = host_.devices().size();
  for (const PlacedDevice& placed : host_.devices()) {
    virtio::Device& device = *placed.device;
    device.loop().Post([this, &device, gathering] {
      const virtio::Counters counters = device.counters();
      DeviceCounters answer{std::string(device.id()), {counters.begin(), counters.end()}};
      control_loop_.Post([gathering, answer = std::move(answer)]() mutable {
        gathering->result.push_back(std::move(answer));
        if (--gathering->missing == 0) gathering->done(std::move(gathering->result));
      });
    });
  }
  if (gathering->missing == 0) gathering->done(std::move(gathering->result));
}

void ApiAdapter::PressPowerButton(Done done) {
  if (controller_.state() != Controller::State::kRunning) {
    return done(absl::FailedPreconditionError("the VM is not running"));
  }
  controller_.PressPowerButton();
  done(absl::OkStatus());
}

void ApiAdapter::ShutdownVmm(Done done) {
  done(absl::OkStatus());
  controller_.ForceEnd("vmm.shutdown");
}

}  // namespace vmm
