// Sends a command to a running vmm over its control socket, and prints the answer.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

#include "tools/vmmctl/api_client.h"
#include "tools/vmmctl/arguments.h"
#include "tools/vmmctl/completion.h"
#include "vmm/config/json_value.h"

namespace vmmctl {
namespace {

int Fail(int exit_status, absl::string_view message) {
  const std::string text(message.data(), message.size());
  fprintf(stderr, "vmmctl: %s\n", text.c_str());
  return exit_status;
}

// Returns the exit status. A reader that has seen enough, such as head, is no error.
int Show(const std::string& text) {
  signal(SIGPIPE, SIG_IGN);
  const bool written = fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if ((written && fflush(stdout) == 0) || errno == EPIPE) return 0;
  return Fail(1, std::string("standard output: cannot write: ") + strerror(errno));
}

int Run(const std::vector<std::string>& arguments) {
  const absl::StatusOr<Invocation> invocation = ParseArguments(arguments);
  if (!invocation.ok()) return Fail(2, invocation.status().message());
  if (invocation->help) return Show(Help());
  if (!invocation->completion.empty()) return Show(Completion(invocation->completion));
  const Command& command = *invocation->command;
  const absl::StatusOr<std::string> answer =
      CallApi(invocation->api_socket, invocation->timeout, command.method, command.endpoint,
              invocation->body);
  if (!answer.ok()) return Fail(1, answer.status().message());
  if (answer->empty()) return 0;
  // The JSON reader has a limit, so a larger answer is printed as it came.
  if (answer->size() > vmm::kMaxJsonBytes) return Show(*answer + "\n");
  const absl::StatusOr<vmm::JsonValue> json = vmm::ParseJson(*answer);
  if (!json.ok()) {
    return Fail(1, std::string(command.endpoint) + ": the answer: " +
                       std::string(json.status().message().data(), json.status().message().size()));
  }
  return Show(vmm::PrintJson(*json, 2) + "\n");
}

}  // namespace
}  // namespace vmmctl

int main(int argc, char** argv) {
  return vmmctl::Run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
