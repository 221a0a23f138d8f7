#include "vmm/config/config_override.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "vmm/config/key_path.h"

namespace vmm {
namespace {

// Reads the value as JSON, or as a plain string if it is no JSON. So `=true` and `="true"` differ,
// and `=root.raw` needs no quotes.
absl::StatusOr<JsonValue> ParseValue(absl::string_view text) {
  if (absl::StatusOr<JsonValue> value = ParseJson(text); value.ok()) return value;
  JsonValue value{std::string(text)};
  // PrintJson replaces bytes that are not UTF-8, so only valid text is equal after printing and
  // parsing.
  if (const absl::StatusOr<JsonValue> printed = ParseJson(PrintJson(value, 0));
      !printed.ok() || *printed != value) {
    return absl::InvalidArgumentError("the value is not UTF-8 text");
  }
  return value;
}

// Removes the next name, which ends at a dot or bracket, from `path` and returns it.
absl::string_view CutName(absl::string_view& path) {
  const absl::string_view name = path.substr(0, path.find_first_of(".[]"));
  path.remove_prefix(name.size());
  return name;
}

// Removes `[N]` from `path` and returns N.
absl::StatusOr<size_t> CutIndex(absl::string_view& path) {
  const size_t end = path.find(']');
  uint32_t index = 0;
  if (end == absl::string_view::npos || !absl::SimpleAtoi(path.substr(1, end - 1), &index)) {
    return absl::InvalidArgumentError("an index is written [N], with a whole number N");
  }
  path.remove_prefix(end + 1);
  return index;
}

// Returns the member `name` of `node`, which is made if missing. A null node first becomes an
// object.
absl::StatusOr<JsonValue*> EnterKey(JsonValue* node, absl::string_view name,
                                    const std::string& path) {
  if (name.empty()) return absl::InvalidArgumentError("the path has an empty key");
  if (node->is_null()) node->value = JsonObject();
  auto* object = node->get<JsonObject>();
  if (object == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.empty() ? "the top" : path, " is no object, it has no keys"));
  }
  if (JsonValue* found = FindMember(*object, name)) return found;
  return &object->emplace_back(JsonMember{std::string(name), {}}).value;
}

// Returns element `index` of `node`, which is made if it is the next after the last. A null node
// first becomes a list.
absl::StatusOr<JsonValue*> EnterIndex(JsonValue* node, size_t index, const std::string& path) {
  if (node->is_null()) node->value = JsonArray();
  auto* array = node->get<JsonArray>();
  if (array == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no list, it has no index"));
  }
  if (index > array->size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", array->size(), " elements; the next index is ", array->size()));
  }
  if (index == array->size()) array->emplace_back();
  return &(*array)[index];
}

absl::Status CheckForm(absl::string_view assignment) {
  if (assignment.find('=') != absl::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError("write it as KEY.PATH=VALUE, such as memory.size=1G");
}

absl::Status Apply(absl::string_view assignment, JsonValue& root) {
  RETURN_IF_ERROR(CheckForm(assignment));
  const size_t equals = assignment.find('=');
  absl::string_view rest = assignment.substr(0, equals);
  std::string path = Printable(CutName(rest));
  ASSIGN_OR_RETURN(JsonValue * node,
                   EnterKey(&root, assignment.substr(0, equals - rest.size()), ""));
  while (!rest.empty()) {
    if (rest.front() == '[') {
      ASSIGN_OR_RETURN(const size_t index, CutIndex(rest));
      ASSIGN_OR_RETURN(node, EnterIndex(node, index, path));
      path = JoinIndex(path, index);
    } else if (rest.front() == '.') {
      rest.remove_prefix(1);
      const absl::string_view name = CutName(rest);
      ASSIGN_OR_RETURN(node, EnterKey(node, name, path));
      path = JoinKey(path, name);
    } else {
      return absl::InvalidArgumentError("after ] comes a dot, [ or =");
    }
  }
  ASSIGN_OR_RETURN(*node, ParseValue(assignment.substr(equals + 1)));
  return absl::OkStatus();
}

// Returns `status` with the assignment's text in front of its message.
absl::Status Named(absl::string_view assignment, const absl::Status& status) {
  return base::Annotate(status, absl::StrCat("--set ", Printable(assignment)));
}

}  // namespace

absl::Status CheckOverrideForm(absl::string_view assignment) {
  return Named(assignment, CheckForm(assignment));
}

absl::Status ApplyOverride(absl::string_view assignment, JsonValue& root) {
  return Named(assignment, Apply(assignment, root));
}

}  // namespace vmm
