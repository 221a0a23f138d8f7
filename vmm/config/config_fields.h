// Every key of vm.json, described once.
//
// Describe(visitor, config) calls the visitor for each key, with the key's description and the
// member that holds its value. Reading, printing, the JSON Schema, the docs table and --help are
// visitors. A key is therefore added by adding a member to vm_config.h and one line to
// config_fields.cc. Nothing is built before main(): the descriptions are on the stack while
// Describe runs.
#ifndef VMM_CONFIG_CONFIG_FIELDS_H_
#define VMM_CONFIG_CONFIG_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/functional/function_ref.h"
#include "vmm/config/vm_config.h"

namespace vmm {

// Returns `bytes` with the largest suffix of K, M, G, T that keeps the number whole, such as
// "512M".
std::string FormatSize(uint64_t bytes);

// A key and one sentence of documentation about it.
struct KeyInfo {
  const char* name;
  const char* doc;
  // A second name that is read too, but never printed; or null.
  const char* alias = nullptr;
  // For the schema and the docs only: CompleteAndValidate checks that the key is present.
  bool required = false;
};

struct IntegerRules {
  uint64_t min = 0;
  uint64_t max = UINT64_MAX;
  bool power_of_two = false;
  // A number of bytes: strings such as "512M" are read too. The suffixes K, M, G, T stand for 2^10
  // to 2^40.
  bool is_size = false;
};

enum class TextKind : uint8_t {
  kText,        // any UTF-8 without NUL
  kAscii,       // printable ASCII only
  kPath,        // made absolute by the reader
  kSocketPath,  // a path that must fit into sockaddr_un
  kUuid,        // 8-4-4-4-12 hexadecimal digits
};

struct TextRules {
  TextKind kind = TextKind::kText;
  size_t max_bytes = 4095;
  bool may_be_empty = false;
};

struct EnumRules {
  // Indexed by the value. "true" and "false" are written without quotes in JSON.
  std::span<const char* const> names;
  // Names that cloud-hypervisor supports and this program does not.
  std::span<const char* const> not_supported = {};
};

// A list of objects. The visitor resizes the list and describes each element in turn.
struct ObjectList {
  size_t max_count;
  size_t count;
  absl::FunctionRef<void(size_t)> resize;
  absl::FunctionRef<void(size_t)> describe_element;
  // Describes a default element that belongs to no list, for documentation.
  absl::FunctionRef<void()> describe_prototype;
};

// An object whose keys are names that the config chooses. The values are objects, kept as a list.
struct ObjectMap {
  ObjectList list;
  const char* name_placeholder;  // stands for a name in documentation
  absl::FunctionRef<std::string&(size_t)> name;
};

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;

  virtual void Bool(const KeyInfo& key, bool& value) = 0;
  virtual void TextList(const KeyInfo& key, const TextRules& rules, size_t max_count,
                        std::vector<std::string>& value) = 0;
  virtual void IntegerList(const KeyInfo& key, const IntegerRules& rules, size_t max_count,
                           std::vector<uint64_t>& value) = 0;
  // A key of cloud-hypervisor that is accepted only at its default, which is `default_json`.
  virtual void AtDefaultOnly(const char* name, const char* default_json) = 0;

  // T is uint32_t, uint64_t, or an optional of one of them. rules.max must fit into T.
  template <typename T>
  void Integer(const KeyInfo& key, const IntegerRules& rules, T& member) {
    if constexpr (std::is_integral_v<T>) {
      std::optional<uint64_t> value = member;
      VisitInteger(key, rules, value);
      member = static_cast<T>(value.value_or(member));
    } else {
      std::optional<uint64_t> value = member;
      VisitInteger(key, rules, value);
      member = value.has_value() ? T(static_cast<typename T::value_type>(*value)) : std::nullopt;
    }
  }

  void Text(const KeyInfo& key, const TextRules& rules, std::string& member) {
    std::optional<std::string> value;
    if (!member.empty()) value = member;
    VisitText(key, rules, value);
    member = value.value_or("");
  }
  void Text(const KeyInfo& key, const TextRules& rules, std::optional<std::string>& member) {
    VisitText(key, rules, member);
  }

  template <typename E>
  void Enum(const KeyInfo& key, const EnumRules& rules, E& member) {
    size_t index = static_cast<size_t>(member);
    VisitEnum(key, rules, index);
    member = static_cast<E>(index);
  }

  template <typename T>
  void Object(const KeyInfo& key, T& member) {
    VisitObject(key, [&] { Describe(*this, member); });
  }
  // An object that means something even if it has no keys.
  template <typename T>
  void Object(const KeyInfo& key, std::optional<T>& member) {
    VisitOptionalObject(key, member.has_value(), [&] {
      if (!member.has_value()) member.emplace();
      Describe(*this, *member);
    });
  }

  template <typename T>
  void List(const KeyInfo& key, size_t max_count, std::vector<T>& member) {
    VisitList(key, ObjectList{.max_count = max_count,
                              .count = member.size(),
                              .resize = [&](size_t count) { member.resize(count); },
                              .describe_element = [&](size_t i) { Describe(*this, member[i]); },
                              .describe_prototype =
                                  [&] {
                                    T prototype;
                                    Describe(*this, prototype);
                                  }});
  }

  // T has a member `name`, which holds the key.
  template <typename T>
  void Map(const KeyInfo& key, size_t max_count, std::vector<T>& member) {
    VisitMap(key,
             ObjectMap{.list = {.max_count = max_count,
                                .count = member.size(),
                                .resize = [&](size_t count) { member.resize(count); },
                                .describe_element = [&](size_t i) { Describe(*this, member[i]); },
                                .describe_prototype =
                                    [&] {
                                      T prototype;
                                      Describe(*this, prototype);
                                    }},
                       .name_placeholder = "NAME",
                       .name = [&](size_t i) -> std::string& { return member[i].name; }});
  }

 protected:
  virtual void VisitInteger(const KeyInfo& key, const IntegerRules& rules,
                            std::optional<uint64_t>& value) = 0;
  // For the visitor, an empty std::string member is nullopt.
  virtual void VisitText(const KeyInfo& key, const TextRules& rules,
                         std::optional<std::string>& value) = 0;
  virtual void VisitEnum(const KeyInfo& key, const EnumRules& rules, size_t& index) = 0;
  virtual void VisitObject(const KeyInfo& key, absl::FunctionRef<void()> describe) = 0;
  // `given` says whether the config has the object. Calling `describe` gives it one.
  virtual void VisitOptionalObject(const KeyInfo& key, bool /*given*/,
                                   absl::FunctionRef<void()> describe) {
    VisitObject(key, describe);
  }
  virtual void VisitList(const KeyInfo& key, const ObjectList& list) = 0;
  virtual void VisitMap(const KeyInfo& key, const ObjectMap& map) = 0;
};

void Describe(FieldVisitor& visitor, CpusConfig& config);
void Describe(FieldVisitor& visitor, MemoryConfig& config);
void Describe(FieldVisitor& visitor, PayloadConfig& config);
void Describe(FieldVisitor& visitor, BandwidthConfig& config);
void Describe(FieldVisitor& visitor, OpsConfig& config);
void Describe(FieldVisitor& visitor, RateLimiterConfig& config);
void Describe(FieldVisitor& visitor, RateLimitGroupConfig& config);
void Describe(FieldVisitor& visitor, DiskConfig& config);
void Describe(FieldVisitor& visitor, ForwardConfig& config);
void Describe(FieldVisitor& visitor, PasstConfig& config);
void Describe(FieldVisitor& visitor, NetConfig& config);
void Describe(FieldVisitor& visitor, LinkChange& change);
void Describe(FieldVisitor& visitor, IdRangeConfig& config);
void Describe(FieldVisitor& visitor, FsConfig& config);
void Describe(FieldVisitor& visitor, VsockConfig& config);
void Describe(FieldVisitor& visitor, RngConfig& config);
void Describe(FieldVisitor& visitor, ConsoleConfig& config);
void Describe(FieldVisitor& visitor, SerialConfig& config);
void Describe(FieldVisitor& visitor, CredentialConfig& config);
void Describe(FieldVisitor& visitor, PlatformConfig& config);
void Describe(FieldVisitor& visitor, VmConfig& config);

}  // namespace vmm

#endif  // VMM_CONFIG_CONFIG_FIELDS_H_
