#include "vmm/config/config_reader.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "vmm/config/config_fields.h"
#include "vmm/config/key_path.h"

namespace vmm {
namespace {

// Returns what a message calls a value of the wrong type.
std::string DescribeValue(const JsonValue& value) {
  if (value.is_null()) return "null";
  if (const auto* flag = value.get<bool>()) return *flag ? "true" : "false";
  if (const auto* number = value.get<uint64_t>()) return absl::StrCat(*number);
  if (const auto* number = value.get<OtherNumber>()) return Printable(number->text);
  if (const auto* text = value.get<std::string>())
    return absl::StrCat("\"", Printable(*text), "\"");
  return value.get<JsonArray>() != nullptr ? "a list" : "an object";
}

// Reads digits with at most one suffix. Returns nullopt if `text` has another form or does not fit.
std::optional<uint64_t> ParseSize(absl::string_view text) {
  constexpr absl::string_view kSuffixes = "KMGT";
  int shift = 0;
  if (const size_t suffix = text.empty() ? absl::string_view::npos : kSuffixes.find(text.back());
      suffix != absl::string_view::npos) {
    shift = 10 * (static_cast<int>(suffix) + 1);
    text.remove_suffix(1);
  }
  uint64_t number = 0;
  const bool digits_only = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c >= '0' && c <= '9';
  });
  if (!digits_only || !absl::SimpleAtoi(text, &number)) return std::nullopt;
  if (number > (UINT64_MAX >> shift)) return std::nullopt;
  return number << shift;
}

std::string DescribeRange(const IntegerRules& rules) {
  if (!rules.is_size) {
    return absl::StrCat(rules.power_of_two ? "a power of two" : "a whole number", " from ",
                        rules.min, " to ", rules.max);
  }
  return absl::StrCat("a size in bytes or such as \"512M\", ",
                      rules.power_of_two ? "a power of two " : "", "from ", FormatSize(rules.min),
                      " to ", FormatSize(rules.max));
}

bool IsUuid(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0)
      return false;
  }
  return true;
}

bool IsPrintableAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

// Returns what is wrong with `text`, or "" if nothing is.
std::string CheckText(absl::string_view text, const TextRules& rules) {
  if (text.empty() && !rules.may_be_empty)
    return "must not be empty; give it a value or leave it out";
  if (text.find('\0') != absl::string_view::npos) return "contains a NUL character; remove it";
  if (rules.kind == TextKind::kUuid && !IsUuid(text)) {
    return absl::StrCat("must be a UUID such as \"8d4e8f6a-3c1b-4e0e-9d0a-0f1e2d3c4b5a\", not \"",
                        Printable(text), "\"");
  }
  if (text.size() > rules.max_bytes) {
    return absl::StrCat("is ", text.size(), " bytes long; the most is ", rules.max_bytes);
  }
  if (rules.kind == TextKind::kAscii && !IsPrintableAscii(text)) {
    return absl::StrCat("must be printable ASCII, not \"", Printable(text), "\"");
  }
  return "";
}

// Checks the value of a key that is accepted only at its default. An empty list counts as absent.
// Of an object only the members that were given are compared.
absl::Status CheckIsDefault(const std::string& path, const JsonValue& value,
                            const JsonValue& wanted) {
  if (value.is_null() || value == wanted) return absl::OkStatus();
  if (const auto* array = value.get<JsonArray>(); array != nullptr && array->empty()) {
    if (wanted.is_null()) return absl::OkStatus();
  }
  const auto* object = value.get<JsonObject>();
  const auto* wanted_object = wanted.get<JsonObject>();
  if (object != nullptr && wanted_object != nullptr) {
    for (const JsonMember& member : *object) {
      const std::string member_path = JoinKey(path, member.name);
      const JsonValue* wanted_member = FindMember(*wanted_object, member.name);
      if (wanted_member == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(member_path, ": unknown key; remove it"));
      }
      RETURN_IF_ERROR(CheckIsDefault(member_path, member.value, *wanted_member));
    }
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": not supported; leave it out",
                   wanted.is_null() ? "" : absl::StrCat(" or set it to ", PrintJson(wanted, 0))));
}

// One object of the JSON text, while it is read.
struct Level {
  std::string path;
  const JsonObject& object;
  std::vector<absl::string_view> supported = {};
  std::vector<absl::string_view> at_default_only = {};
};

class Reader : public FieldVisitor {
 public:
  explicit Reader(const PathRules& path_rules) : path_rules_(path_rules) {}

  template <typename T>
  absl::Status Read(const JsonObject& object, T& config) {
    ReadObject("", object, [&] { Describe(*this, config); });
    return status_;
  }

  void Bool(const KeyInfo& key, bool& value) override {
    const JsonValue* given = Find(key);
    if (given == nullptr) return;
    if (const bool* flag = given->get<bool>()) {
      value = *flag;
    } else {
      Fail(key, absl::StrCat("must be true or false, not ", DescribeValue(*given)));
    }
  }

  void TextList(const KeyInfo& key, const TextRules& rules, size_t max_count,
                std::vector<std::string>& value) override {
    ReadList(key, max_count, value, [&](const std::string& path, const JsonValue& element) {
      return ReadText(path, element, rules);
    });
  }

  void IntegerList(const KeyInfo& key, const IntegerRules& rules, size_t max_count,
                   std::vector<uint64_t>& value) override {
    ReadList(key, max_count, value, [&](const std::string& path, const JsonValue& element) {
      return ReadInteger(path, element, rules);
    });
  }

  void AtDefaultOnly(const char* name, const char* default_json) override {
    Level& level = levels_.back();
    level.at_default_only.push_back(name);
    const JsonValue* given = FindMember(level.object, name);
    if (given == nullptr || !status_.ok()) return;
    const absl::StatusOr<JsonValue> wanted = ParseJson(default_json);
    Update(CheckIsDefault(JoinKey(level.path, name), *given, wanted.value()));
  }

 protected:
  void VisitInteger(const KeyInfo& key, const IntegerRules& rules,
                    std::optional<uint64_t>& value) override {
    const JsonValue* given = Find(key);
    if (given == nullptr) return;
    if (const auto number = ReadInteger(PathOf(key), *given, rules)) value = number;
  }

  void VisitText(const KeyInfo& key, const TextRules& rules,
                 std::optional<std::string>& value) override {
    const JsonValue* given = Find(key);
    if (given == nullptr) return;
    if (std::optional<std::string> text = ReadText(PathOf(key), *given, rules)) {
      value = std::move(text);
    }
  }

  void VisitEnum(const KeyInfo& key, const EnumRules& rules, size_t& index) override {
    const JsonValue* given = Find(key);
    if (given == nullptr) return;
    const auto* text = given->get<std::string>();
    const bool* const flag = given->get<bool>();
    const std::string flag_name = flag != nullptr && *flag ? "true" : "false";
    if (flag != nullptr) text = &flag_name;
    const std::string choices = absl::StrJoin(rules.names, ", ");
    if (text != nullptr) {
      const auto found = std::find(rules.names.begin(), rules.names.end(), *text);
      if (found != rules.names.end()) {
        index = static_cast<size_t>(found - rules.names.begin());
        return;
      }
      if (std::find(rules.not_supported.begin(), rules.not_supported.end(), *text) !=
          rules.not_supported.end()) {
        Fail(key, absl::StrCat("not supported: \"", *text, "\"; use one of ", choices));
        return;
      }
    }
    Fail(key, absl::StrCat("must be one of ", choices, ", not ", DescribeValue(*given)));
  }

  void VisitObject(const KeyInfo& key, absl::FunctionRef<void()> describe) override {
    const JsonValue* given = Find(key);
    if (given == nullptr) return;
    if (const auto* object = given->get<JsonObject>()) {
      ReadObject(PathOf(key), *object, describe);
    } else {
      Fail(key, absl::StrCat("must be an object, not ", DescribeValue(*given)));
    }
  }

  void VisitList(const KeyInfo& key, const ObjectList& list) override {
    const JsonValue* given = Find(key);
    if (given == nullptr) return;
    const JsonArray* array = FindArray(key, *given, list.max_count);
    if (array == nullptr) return;
    list.resize(array->size());
    for (size_t i = 0; i < array->size() && status_.ok(); ++i) {
      const std::string path = JoinIndex(PathOf(key), i);
      if (const auto* object = (*array)[i].get<JsonObject>()) {
        ReadObject(path, *object, [&] { list.describe_element(i); });
      } else {
        FailAt(path, absl::StrCat("must be an object, not ", DescribeValue((*array)[i])));
      }
    }
  }
  void VisitMap(const KeyInfo& key, const ObjectMap& map) override {
    const JsonValue* given = Find(key);
    if (given == nullptr) return;
    const auto* members = given->get<JsonObject>();
    if (members == nullptr) {
      Fail(key, absl::StrCat("must be an object, not ", DescribeValue(*given)));
      return;
    }
    if (members->size() > map.list.max_count) {
      Fail(key, absl::StrCat("has ", members->size(), " keys; the most is ", map.list.max_count));
      return;
    }
    map.list.resize(members->size());
    for (size_t i = 0; i < members->size() && status_.ok(); ++i) {
      const JsonMember& member = (*members)[i];
      map.name(i) = member.name;
      const std::string path = JoinKey(PathOf(key), member.name);
      if (const auto* object = member.value.get<JsonObject>()) {
        ReadObject(path, *object, [&] { map.list.describe_element(i); });
      } else {
        // The value may be the secret itself, so the message does not show it.
        FailAt(path, "must be an object such as {\"file\": \"PATH\"}");
      }
    }
  }

 private:
  void ReadObject(std::string path, const JsonObject& object, absl::FunctionRef<void()> describe) {
    levels_.push_back(Level{.path = std::move(path), .object = object});
    describe();
    CheckUnknownKeys(levels_.back());
    levels_.pop_back();
  }

  // Runs after the walk, because only then all names of this object are known.
  void CheckUnknownKeys(const Level& level) {
    const auto knows = [](const std::vector<absl::string_view>& names, absl::string_view name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    for (const JsonMember& member : level.object) {
      if (knows(level.supported, member.name) || knows(level.at_default_only, member.name))
        continue;
      absl::string_view nearest = Nearest(member.name, level.supported);
      if (nearest.empty()) nearest = Nearest(member.name, level.at_default_only);
      FailAt(JoinKey(level.path, member.name),
             nearest.empty()
                 ? absl::StrCat("unknown key; known here: ", absl::StrJoin(level.supported, ", "))
                 : absl::StrCat("unknown key, did you mean \"", nearest, "\"?"));
    }
  }

  // Returns the value given for `key` or for its alias. Returns null if there is none, or after an
  // error.
  const JsonValue* Find(const KeyInfo& key) {
    Level& level = levels_.back();
    level.supported.push_back(key.name);
    const JsonValue* given = FindMember(level.object, key.name);
    if (key.alias != nullptr) {
      level.supported.push_back(key.alias);
      const JsonValue* by_alias = FindMember(level.object, key.alias);
      if (given != nullptr && by_alias != nullptr) {
        Fail(key, absl::StrCat("given twice, also as \"", key.alias, "\"; keep one"));
      }
      if (given == nullptr) given = by_alias;
    }
    return status_.ok() && given != nullptr && !given->is_null() ? given : nullptr;
  }

  // Adds the elements of a list of scalars to `value`. `read` returns an element, or nothing if it
  // is wrong and has been reported.
  template <typename T, typename Read>
  void ReadList(const KeyInfo& key, size_t max_count, std::vector<T>& value, Read read) {
    const JsonValue* given = Find(key);
    if (given == nullptr) return;
    const JsonArray* array = FindArray(key, *given, max_count);
    if (array == nullptr) return;
    for (size_t i = 0; i < array->size(); ++i) {
      std::optional<T> element = read(JoinIndex(PathOf(key), i), (*array)[i]);
      if (element.has_value()) value.push_back(*std::move(element));
    }
  }

  const JsonArray* FindArray(const KeyInfo& key, const JsonValue& given, size_t max_count) {
    const auto* array = given.get<JsonArray>();
    if (array == nullptr) {
      Fail(key, absl::StrCat("must be a list, not ", DescribeValue(given)));
    } else if (array->size() > max_count) {
      Fail(key, absl::StrCat("has ", array->size(), " elements; the most is ", max_count));
      return nullptr;
    }
    return array;
  }

  std::optional<uint64_t> ReadInteger(const std::string& path, const JsonValue& given,
                                      const IntegerRules& rules) {
    std::optional<uint64_t> number;
    if (const auto* text = given.get<std::string>(); text != nullptr && rules.is_size) {
      number = ParseSize(*text);
    } else if (const auto* integer = given.get<uint64_t>()) {
      number = *integer;
    }
    if (number.has_value() && *number >= rules.min && *number <= rules.max &&
        (!rules.power_of_two || (*number & (*number - 1)) == 0)) {
      return number;
    }
    FailAt(path, absl::StrCat("must be ", DescribeRange(rules), ", not ", DescribeValue(given)));
    return std::nullopt;
  }

  std::optional<std::string> ReadText(const std::string& path, const JsonValue& given,
                                      const TextRules& rules) {
    const auto* text = given.get<std::string>();
    if (text == nullptr) {
      FailAt(path, absl::StrCat("must be a string in double quotes, not ", DescribeValue(given)));
      return std::nullopt;
    }
    std::string result = *text;
    std::string wrong = CheckText(result, rules);
    if (wrong.empty() && (rules.kind == TextKind::kPath || rules.kind == TextKind::kSocketPath)) {
      wrong = ResolvePath(result, rules);
    }
    if (!wrong.empty()) {
      FailAt(path, wrong);
      return std::nullopt;
    }
    return result;
  }

  // Makes `path` absolute if the rules require it. Returns what is wrong with `path`, or "".
  std::string ResolvePath(std::string& path, const TextRules& rules) const {
    if (path.front() == '/') return "";
    if (path_rules_.must_be_absolute) {
      return absl::StrCat("must be an absolute path, not \"", Printable(path), "\"");
    }
    if (!path_rules_.base_dir.empty()) path = absl::StrCat(path_rules_.base_dir, "/", path);
    if (path.size() > rules.max_bytes) {
      return absl::StrCat("is ", path.size(), " bytes long as an absolute path; the most is ",
                          rules.max_bytes);
    }
    return "";
  }

  std::string PathOf(const KeyInfo& key) const { return JoinKey(levels_.back().path, key.name); }
  void Fail(const KeyInfo& key, absl::string_view what) { FailAt(PathOf(key), what); }
  void FailAt(absl::string_view path, absl::string_view what) {
    Update(absl::InvalidArgumentError(absl::StrCat(path, ": ", what)));
  }
  void Update(const absl::Status& status) {
    if (status_.ok()) status_ = status;  // the first error is the one to fix first
  }

  const PathRules& path_rules_;
  std::vector<Level> levels_;
  absl::Status status_;
};

// Reads the body of a request that names a device.
template <typename T>
absl::StatusOr<T> ReadBody(const JsonValue& root) {
  const auto* object = root.get<JsonObject>();
  if (object == nullptr) {
    return absl::InvalidArgumentError("must be a JSON object such as {\"id\": \"_net0\"}");
  }
  T body;
  RETURN_IF_ERROR(Reader(PathRules()).Read(*object, body));
  return body;
}

}  // namespace

absl::StatusOr<VmConfig> ReadVmConfig(const JsonValue& root, const PathRules& path_rules) {
  const auto* object = root.get<JsonObject>();
  if (object == nullptr) {
    return absl::InvalidArgumentError("must be a JSON object such as {\"payload\": {...}}");
  }
  VmConfig config;
  RETURN_IF_ERROR(Reader(path_rules).Read(*object, config));
  return config;
}

absl::StatusOr<RateLimitGroupConfig> ReadRateLimit(const JsonValue& root) {
  return ReadBody<RateLimitGroupConfig>(root);
}

absl::StatusOr<LinkChange> ReadLinkChange(const JsonValue& root) {
  return ReadBody<LinkChange>(root);
}

}  // namespace vmm
