// The commands of vmmctl as data. Parsing, help, requests, shell completion and the tests of the
// documents all read this one table.
#ifndef TOOLS_VMMCTL_COMMANDS_H_
#define TOOLS_VMMCTL_COMMANDS_H_

#include <vector>

#include "absl/strings/string_view.h"

namespace vmmctl {

// How the text of an argument becomes a value of the request's JSON object.
enum class ArgumentKind {
  kText,    // a string
  kJson,    // any JSON text, as it is
  kUpDown,  // "up" is true and "down" is false
};

struct Argument {
  const char* name;   // in usage texts
  const char* field;  // the member of the request's JSON object
  ArgumentKind kind;
  const char* help;
};

struct Command {
  const char* name;
  const char* method;    // of HTTP
  const char* endpoint;  // behind /api/v1/
  const char* help;
  std::vector<Argument> arguments;  // all are required, in this order
};

struct Option {
  const char* name;   // with its dashes
  const char* value;  // the name of its value; empty for an option without one
  const char* help;
};

const std::vector<Command>& Commands();
const std::vector<Option>& Options();

// Return the entry called `name`, or null.
const Command* FindCommand(absl::string_view name);
const Option* FindOption(absl::string_view name);

}  // namespace vmmctl

#endif  // TOOLS_VMMCTL_COMMANDS_H_
