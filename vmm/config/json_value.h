// A JSON text as a tree of values. Only json_value.cc knows the JSON library.
#ifndef VMM_CONFIG_JSON_VALUE_H_
#define VMM_CONFIG_JSON_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vmm {

inline constexpr size_t kMaxJsonBytes = size_t{1} << 20;
inline constexpr int kMaxJsonDepth = 16;

struct JsonValue;
struct JsonMember;
using JsonArray = std::vector<JsonValue>;
using JsonObject = std::vector<JsonMember>;  // in the order of the text; names are unique

// A number that does not fit into uint64_t (negative, fractional or too large), in its spelling. No
// key accepts it, so it appears only in messages.
struct OtherNumber {
  std::string text;
  bool operator==(const OtherNumber&) const = default;
};

struct JsonValue {
  using Variant =
      std::variant<std::nullptr_t, bool, uint64_t, OtherNumber, std::string, JsonArray, JsonObject>;

  JsonValue();  // null
  explicit JsonValue(Variant variant);
  JsonValue(const JsonValue&);
  JsonValue(JsonValue&&) noexcept;
  JsonValue& operator=(const JsonValue&);
  JsonValue& operator=(JsonValue&&) noexcept;
  ~JsonValue();

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value); }
  template <typename T>
  const T* get() const {
    return std::get_if<T>(&value);
  }
  template <typename T>
  T* get() {
    return std::get_if<T>(&value);
  }
  bool operator==(const JsonValue& other) const;

  Variant value;
};

struct JsonMember {
  std::string name;
  JsonValue value;
  bool operator==(const JsonMember&) const = default;
};

// Defined here, because a variant of JsonObject can be made and destroyed only where JsonMember is
// complete.
inline JsonValue::JsonValue() : value(nullptr) {}
inline JsonValue::JsonValue(Variant variant) : value(std::move(variant)) {}
inline JsonValue::JsonValue(const JsonValue&) = default;
inline JsonValue::JsonValue(JsonValue&&) noexcept = default;
inline JsonValue& JsonValue::operator=(const JsonValue&) = default;
inline JsonValue& JsonValue::operator=(JsonValue&&) noexcept = default;
inline JsonValue::~JsonValue() = default;
inline bool JsonValue::operator==(const JsonValue& other) const { return value == other.value; }

// Return the member called `name`, or null if there is none.
const JsonValue* FindMember(const JsonObject& object, absl::string_view name);
JsonValue* FindMember(JsonObject& object, absl::string_view name);

// Parses one JSON text of at most kMaxJsonBytes, nested at most kMaxJsonDepth deep. Errors are
// "line L, column C: ..." for syntax and "KEY.PATH: given twice..." for duplicate keys.
absl::StatusOr<JsonValue> ParseJson(absl::string_view text);

// Returns `value` as JSON text without a final newline: on one line if `indent` is 0, otherwise on
// several lines with `indent` spaces per level. Bytes that are not UTF-8 are replaced by U+FFFD.
std::string PrintJson(const JsonValue& value, int indent);

// Returns the JSON of a name of an enum: a boolean for "true" and "false", otherwise a string.
JsonValue EnumValue(absl::string_view name);

}  // namespace vmm

#endif  // VMM_CONFIG_JSON_VALUE_H_
