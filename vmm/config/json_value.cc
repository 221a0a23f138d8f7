#include "vmm/config/json_value.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/config/key_path.h"

namespace vmm {
namespace {

using Library = nlohmann::ordered_json;

// Returns "line L, column C" (from 1, counted in bytes) of the last byte read, which is the byte
// before `end`.
std::string LineAndColumn(absl::string_view text, size_t end) {
  const size_t last = std::min(end, text.size());
  size_t line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i + 1 < last; ++i) {
    if (text[i] == '\n') {
      ++line;
      line_start = i + 1;
    }
  }
  return absl::StrCat("line ", line, ", column ", std::max<size_t>(last - line_start, 1));
}

// Builds the tree from the library's events, because the library's own tree would hide duplicate
// keys and the depth of the text, and would change the spelling of numbers.
class TreeBuilder : public nlohmann::json_sax<Library> {
 public:
  explicit TreeBuilder(absl::string_view text) : text_(text) {}

  bool null() override { return Add(JsonValue{nullptr}); }
  bool boolean(bool value) override { return Add(JsonValue{value}); }
  bool number_integer(int64_t value) override {
    return Add(JsonValue{OtherNumber{absl::StrCat(value)}});
  }
  bool number_unsigned(uint64_t value) override { return Add(JsonValue{value}); }
  bool number_float(double /*value*/, const std::string& text) override {
    return Add(JsonValue{OtherNumber{text}});
  }
  bool string(std::string& value) override { return Add(JsonValue{std::move(value)}); }
  // cannot occur in JSON texts
  bool binary(Library::binary_t& /*value*/) override { return false; }

  bool start_object(size_t /*elements*/) override { return Open(JsonValue{JsonObject()}); }
  bool start_array(size_t /*elements*/) override { return Open(JsonValue{JsonArray()}); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    if (!names_.back().insert(name).second) {
      return Fail(absl::StrCat(JoinKey(Path(), name), ": given twice; keep one"));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& error) override {
    // The library's text is "[json.exception.parse_error.101] parse error at line 1, column 3:
    // syntax error while parsing value - unexpected ']'; expected ...". Only the part after the
    // last of these separators is kept.
    absl::string_view what = error.what();
    for (absl::string_view cut : {"] ", ": ", " - "}) {
      if (const size_t at = what.find(cut); at != absl::string_view::npos) {
        what.remove_prefix(at + cut.size());
      }
    }
    return Fail(absl::StrCat(LineAndColumn(text_, position), ": not JSON: ", Printable(what, 160)));
  }

  absl::StatusOr<JsonValue> Result() && {
    if (!error_.empty()) return absl::InvalidArgumentError(error_);
    return std::move(root_);
  }

 private:
  JsonValue* Place(JsonValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (auto* array = open_.back()->get<JsonArray>()) {
      return &array->emplace_back(std::move(value));
    }
    return &open_.back()->get<JsonObject>()->emplace_back(JsonMember{key_, std::move(value)}).value;
  }
  bool Add(JsonValue value) {
    Place(std::move(value));
    return true;
  }
  bool Open(JsonValue value) {
    if (open_.size() == kMaxJsonDepth) {
      return Fail(absl::StrCat("nested deeper than ", kMaxJsonDepth, " levels"));
    }
    // LIFETIME: a parent's vector does not grow while a child of it is open, so the pointers stay
    // valid.
    open_.push_back(Place(std::move(value)));
    names_.emplace_back();
    return true;
  }
  bool Close() {
    open_.pop_back();
    names_.pop_back();
    return true;
  }
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }
  std::string Path() const {
    std::string path;
    for (size_t i = 0; i + 1 < open_.size(); ++i) {
      if (const auto* array = open_[i]->get<JsonArray>()) {
        path = JoinIndex(path, array->size() - 1);
      } else {
        path = JoinKey(path, open_[i]->get<JsonObject>()->back().name);
      }
    }
    return path;
  }

  const absl::string_view text_;
  JsonValue root_;
  std::vector<JsonValue*>
      open_;  // the objects and arrays around the current place, outermost first
  // The names of each object's members so far. Searching the object itself for each name would take
  // time that grows with the square of the number of members.
  std::vector<std::set<std::string>> names_;
  std::string key_;
  std::string error_;
};

Library ToLibrary(const JsonValue& value) {
  if (const auto* flag = value.get<bool>()) return *flag;
  if (const auto* number = value.get<uint64_t>()) return *number;
  if (const auto* number = value.get<OtherNumber>()) {
    return Library::parse(number->text, nullptr, /*allow_exceptions=*/false);
  }
  if (const auto* text = value.get<std::string>()) return *text;
  if (const auto* array = value.get<JsonArray>()) {
    Library result = Library::array();
    for (const JsonValue& element : *array) result.push_back(ToLibrary(element));
    return result;
  }
  if (const auto* object = value.get<JsonObject>()) {
    Library::object_t result;  // operator[] would search the object for each name
    for (const JsonMember& member : *object) {
      result.emplace_back(member.name, ToLibrary(member.value));
    }
    return result;
  }
  return nullptr;
}

}  // namespace

const JsonValue* FindMember(const JsonObject& object, absl::string_view name) {
  for (const JsonMember& member : object) {
    if (member.name == name) return &member.value;
  }
  return nullptr;
}

JsonValue* FindMember(JsonObject& object, absl::string_view name) {
  return const_cast<JsonValue*>(FindMember(static_cast<const JsonObject&>(object), name));
}

absl::StatusOr<JsonValue> ParseJson(absl::string_view text) {
  if (text.size() > kMaxJsonBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("larger than ", kMaxJsonBytes, " bytes, the most that is read"));
  }
  TreeBuilder builder(text);
  Library::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).Result();
}

std::string PrintJson(const JsonValue& value, int indent) {
  return ToLibrary(value).dump(indent > 0 ? indent : -1, ' ', false,
                               Library::error_handler_t::replace);
}

JsonValue EnumValue(absl::string_view name) {
  const bool is_flag = name == "true" || name == "false";
  return is_flag ? JsonValue{name == "true"} : JsonValue{std::string(name)};
}

}  // namespace vmm
