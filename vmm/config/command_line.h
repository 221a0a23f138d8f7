// The command line of `vmm`.
#ifndef VMM_CONFIG_COMMAND_LINE_H_
#define VMM_CONFIG_COMMAND_LINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/log.h"

namespace vmm {

struct CommandLine {
  enum class Action : uint8_t {
    kRun,
    kCheck,        // load the config, say whether it is good, exit
    kPrintConfig,  // load the config, print it whole, exit
    kPrintText,    // print `text` on standard output, exit: --help, --version, --print-schema
  };
  enum class OnReboot : uint8_t {
    kReset,  // reset the guest in place
    kExit,   // exit with status 133
  };

  Action action = Action::kRun;
  std::string text;
  std::string config_path;  // "-" means standard input
  std::vector<std::string> overrides;
  std::optional<std::string> api_socket_path;
  // inherited; at most one of api_socket and api_socket_fd is set
  std::optional<int> api_socket_fd;
  bool stats = false;  // print the devices' counters at the end
  OnReboot on_reboot = OnReboot::kReset;
  uint32_t stop_timeout_seconds = 90;
  base::LogLevel log_level = base::LogLevel::kInfo;
};

// Parses the arguments of main(). An error is one line to print on stderr before exiting with
// status 2.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

}  // namespace vmm

#endif  // VMM_CONFIG_COMMAND_LINE_H_
