// Turns vmmctl's command line into a request, and prints the help. Pure.
#ifndef TOOLS_VMMCTL_ARGUMENTS_H_
#define TOOLS_VMMCTL_ARGUMENTS_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/vmmctl/commands.h"

namespace vmmctl {

struct Invocation {
  bool help = false;       // print Help() and end
  std::string completion;  // the shell, or empty
  std::string api_socket;  // a path
  std::chrono::milliseconds timeout{60'000};
  const Command* command = nullptr;  // null only with `help` or `completion`
  std::string body;                  // the request's JSON, or empty
};

// Parses the arguments behind the program's name. Options may stand before or behind the command.
// Errors: InvalidArgument, one line that starts with the wrong argument.
absl::StatusOr<Invocation> ParseArguments(const std::vector<std::string>& arguments);

// Returns the text of --help, several lines with a final newline.
std::string Help();

// Returns "NAME ARGUMENT..." of a command.
std::string Usage(const Command& command);

}  // namespace vmmctl

#endif  // TOOLS_VMMCTL_ARGUMENTS_H_
