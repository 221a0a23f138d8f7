#include "tools/vmmctl/commands.h"

namespace vmmctl {
namespace {

constexpr Argument kId = {"ID", "id", ArgumentKind::kText, "the id, such as _net0"};

template <typename T>
const T* Find(const std::vector<T>& table, absl::string_view name) {
  for (const T& entry : table) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

}  // namespace

// LIFETIME: the tables are never destroyed, so that they outlive every use at the program's end.
const std::vector<Command>& Commands() {
  static const auto& commands = *new std::vector<Command>{
      {"ping", "GET", "vmm.ping", "print version and process id", {}},
      {"info", "GET", "vm.info", "print configuration and state", {}},
      {"counters", "GET", "vm.counters", "print the devices' counters", {}},
      {"reload-closures",
       "PUT",
       "vm.reload-closures",
       "add the paths that the closures of shares list now",
       {}},
      {"set-rate-limit",
       "PUT",
       "vm.set-rate-limit",
       "set the rate limits of a device or a group of disks",
       {kId,
        {"LIMITS", "rate_limiter_config", ArgumentKind::kJson,
         "as rate_limiter_config in vm.json; {} removes all limits"}}},
      {"set-link",
       "PUT",
       "vm.set-link",
       "plug the cable of a network device in or out",
       {kId,
        {"STATE", "up", ArgumentKind::kUpDown,
         "up or down; up also lets the guest announce its address"}}},
      {"pause", "PUT", "vm.pause", "stop the guest's CPUs and let its I/O finish", {}},
      {"resume", "PUT", "vm.resume", "let the guest continue after pause", {}},
      {"power-button", "PUT", "vm.power-button", "ask the guest to shut down", {}},
      {"reboot", "PUT", "vm.reboot", "reset the guest", {}},
      {"shutdown", "PUT", "vmm.shutdown", "end vmm now, whatever the guest does", {}},
  };
  return commands;
}

const std::vector<Option>& Options() {
  static const auto& options = *new std::vector<Option>{
      {"--api-socket", "PATH", "the PATH given to vmm --api-socket"},
      {"--timeout", "SECONDS", "how long to wait for an answer (default: 60)"},
      {"--completion", "SHELL", "print the completion for bash, zsh or fish"},
      {"--help", "", "print this text"},
  };
  return options;
}

const Command* FindCommand(absl::string_view name) { return Find(Commands(), name); }
const Option* FindOption(absl::string_view name) { return Find(Options(), name); }

}  // namespace vmmctl
