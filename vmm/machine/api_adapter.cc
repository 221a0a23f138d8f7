#include "vmm/machine/api_adapter.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/gather.h"
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

// Collects the answers of the shares about their closures. Runs on the control loop.
struct Reload {
  std::vector<DeviceCounters> gained;
  std::vector<std::string> errors;

  void Add(const std::string& share, const absl::StatusOr<size_t>& added) {
    if (added.ok()) {
      gained.push_back({share, {{"paths_added", *added}}});
    } else {
      errors.push_back(
          absl::StrCat(share, ": the closure stays as it was: ", added.status().message()));
    }
  }
};

}  // namespace

ApiAdapter::ApiAdapter(Controller& controller, HostResources& host, base::EventLoop& control_loop)
    : controller_(controller),
      host_(host),
      control_loop_(control_loop),
      counters_(host.devices(), control_loop) {}

VmInfo ApiAdapter::Info() {
  // Clients of cloud-hypervisor read the name of a pty from the key `file`.
  VmConfig config = controller_.config();
  if (config.console.mode == ConsoleMode::kPty) {
    config.console.file = host_.consoles().console()->host_path();
  }
  if (config.serial.mode == ConsoleMode::kPty) {
    config.serial.file = host_.consoles().serial()->host_path();
  }
  for (const auto& entry : rate_limits_) {
    // A lambda of clang 14 cannot use structured bindings.
    const std::string& id = entry.first;
    const RateLimiterConfig& limits = entry.second;
    const auto set = [&](auto& list) {
      for (auto& element : list) {
        if (element.id == id) element.rate_limiter_config = limits;
      }
    };
    set(config.disks);
    set(config.net);
    set(config.rate_limit_groups);
  }
  return {.config_json = PrintVmConfig(config, PrintStyle::kCompact),
          .state = ToString(controller_.state()),
          .memory_actual_size_bytes = host_.memory().total_bytes()};
}

void ApiAdapter::Counters(absl::AnyInvocable<void(std::vector<DeviceCounters>)> done) {
  std::vector<DeviceCounters> of_machine;
  if (Machine* machine = controller_.machine(); machine != nullptr) {
    of_machine.push_back({"_vcpus", machine->ExitCounts()});
    of_machine.push_back({"_debug_port", machine->BootTimes()});
  }
  if (devices::CharacterBackend* serial = host_.consoles().serial(); serial != nullptr) {
    of_machine.push_back({"_serial",
                          {{"tx_bytes", serial->written_bytes()},
                           {"dropped_bytes", serial->dropped_bytes()},
                           {"removed_bytes", serial->removed_bytes()}}});
  }
  counters_.Gather(std::move(of_machine), std::move(done));
}

void ApiAdapter::ReloadClosures(
    absl::AnyInvocable<void(absl::StatusOr<std::vector<DeviceCounters>>)> done) {
  auto reload = std::make_shared<Reload>();
  base::Gather gather([reload, done = std::move(done)]() mutable {
    if (reload->errors.empty()) return done(std::move(reload->gained));
    done(absl::FailedPreconditionError(absl::StrJoin(reload->errors, "; ")));
  });
  host_.devices().ReloadClosures([&](absl::string_view share) -> HostSide::ClosureReport {
    return [&loop = control_loop_, reload, share = std::string(share),
            answered = gather.Add()](absl::StatusOr<size_t> added) mutable {
      loop.Post(
          [reload, share, added = std::move(added), answered = std::move(answered)]() mutable {
            reload->Add(share, added);
            answered();
          });
    };
  });
}

void ApiAdapter::SetRateLimit(const RateLimitGroupConfig& change, Done done) {
  const absl::Status status = host_.SetRateLimits(change.id, change.rate_limiter_config);
  if (status.ok()) rate_limits_[change.id] = change.rate_limiter_config;
  done(status);
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
