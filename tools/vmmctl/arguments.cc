#include "tools/vmmctl/arguments.h"

#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "vmm/config/json_value.h"
#include "vmm/config/key_path.h"

namespace vmmctl {
namespace {

using vmm::Printable;

constexpr double kMaxTimeoutSeconds = 86400;

std::string CommandNames() {
  return absl::StrJoin(Commands(), ", ", [](std::string* out, const Command& command) {
    absl::StrAppend(out, command.name);
  });
}

absl::Status SetOption(const Option& option, const std::string& value, Invocation& result) {
  const absl::string_view name = option.name;
  if (name == "--help") result.help = true;
  if (name == "--api-socket") result.api_socket = value;
  if (name == "--completion") {
    if (value != "bash" && value != "zsh" && value != "fish") {
      return absl::InvalidArgumentError(
          absl::StrCat("--completion ", Printable(value), ": must be bash, zsh or fish"));
    }
    result.completion = value;
  }
  if (name == "--timeout") {
    double seconds;
    // The comparison is written so that it refuses NaN, too.
    if (!absl::SimpleAtod(value, &seconds) || !(seconds > 0 && seconds <= kMaxTimeoutSeconds)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--timeout ", Printable(value), ": must be more than 0 and at most 86400 seconds"));
    }
    result.timeout = std::chrono::milliseconds(static_cast<int64_t>(std::ceil(seconds * 1000)));
  }
  return absl::OkStatus();
}

absl::StatusOr<vmm::JsonValue> ValueOf(const Argument& argument, const std::string& text) {
  switch (argument.kind) {
    case ArgumentKind::kText:
      return vmm::JsonValue{text};
    case ArgumentKind::kJson:
      return vmm::ParseJson(text);
    case ArgumentKind::kUpDown:
      break;
  }
  if (text == "up" || text == "down") return vmm::JsonValue{text == "up"};
  return absl::InvalidArgumentError(absl::StrCat("must be up or down, not ", Printable(text)));
}

absl::Status SetCommand(const std::vector<std::string>& words, Invocation& result) {
  if (words.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("no command; give one of ", CommandNames()));
  }
  result.command = FindCommand(words[0]);
  if (result.command == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(words[0]), ": no such command; give one of ", CommandNames()));
  }
  const std::vector<Argument>& arguments = result.command->arguments;
  const std::string usage =
      absl::StrCat("; usage: vmmctl --api-socket PATH ", Usage(*result.command));
  if (words.size() - 1 > arguments.size()) {
    return absl::InvalidArgumentError(absl::StrCat(words[0], ": unexpected argument ",
                                                   Printable(words[arguments.size() + 1]), usage));
  }
  vmm::JsonObject body;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (i + 1 >= words.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(words[0], ": ", arguments[i].name, " is missing", usage));
    }
    absl::StatusOr<vmm::JsonValue> value = ValueOf(arguments[i], words[i + 1]);
    if (!value.ok()) {
      return base::Annotate(value.status(), absl::StrCat(words[0], ": ", arguments[i].name));
    }
    body.push_back({arguments[i].field, *std::move(value)});
  }
  if (!body.empty()) result.body = vmm::PrintJson(vmm::JsonValue{std::move(body)}, 0);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Invocation> ParseArguments(const std::vector<std::string>& arguments) {
  Invocation result;
  std::vector<std::string> words;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (!absl::StartsWith(word, "-")) {
      words.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name = word == "-h" ? "--help" : word.substr(0, equals);
    const Option* option = FindOption(name);
    if (option == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(Printable(name), ": no such option; see vmmctl --help"));
    }
    const bool takes_value = *option->value != '\0';
    if (!takes_value && equals != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": takes no value"));
    }
    std::string value;
    if (takes_value && equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (takes_value) {
      if (++i == arguments.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": ", option->value, " is missing; see vmmctl --help"));
      }
      value = arguments[i];
    }
    RETURN_IF_ERROR(SetOption(*option, value, result));
  }
  if (result.help || !result.completion.empty()) return result;
  RETURN_IF_ERROR(SetCommand(words, result));
  if (result.api_socket.empty()) {
    return absl::InvalidArgumentError(
        "--api-socket: missing; give the PATH that vmm --api-socket has");
  }
  return result;
}

std::string Usage(const Command& command) {
  std::string text = command.name;
  for (const Argument& argument : command.arguments) absl::StrAppend(&text, " ", argument.name);
  return text;
}

std::string Help() {
  std::string text =
      "Usage: vmmctl --api-socket PATH [--timeout SECONDS] COMMAND\n\n"
      "Sends a command to a running vmm over its control socket, and prints the answer.\n\n"
      "Options:\n";
  for (const Option& option : Options()) {
    absl::StrAppendFormat(&text, "  %-26s%s\n", absl::StrCat(option.name, " ", option.value),
                          option.help);
  }
  absl::StrAppend(&text, "\nCommands:\n");
  for (const Command& command : Commands()) {
    absl::StrAppendFormat(&text, "  %-26s%s\n", Usage(command), command.help);
    for (const Argument& argument : command.arguments) {
      absl::StrAppendFormat(&text, "  %-26s  %s: %s\n", "", argument.name, argument.help);
    }
  }
  absl::StrAppend(&text,
                  "\nExit status: 0 done; 1 vmm refused, or cannot be reached; 2 wrong usage.\n\n"
                  "Examples:\n"
                  "  vmmctl --api-socket /run/vmm/web/api.sock info\n"
                  "  vmmctl --api-socket /run/vmm/web/api.sock set-rate-limit _net0 "
                  "'{\"ops\": {\"size\": 100, \"refill_time\": 1000}}'\n");
  return text;
}

}  // namespace vmmctl
