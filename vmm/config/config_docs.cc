// Makes the key tables of docs/vm-json.md and of --help from the description of the keys.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "vmm/config/config_fields.h"
#include "vmm/config/json_value.h"
#include "vmm/config/key_path.h"
#include "vmm/config/print_config.h"

namespace vmm {
namespace {

// The texts about one key of vm.json.
struct Row {
  std::string path;  // such as `disks[].path`
  std::string type;
  std::string default_value;  // "" if there is none
  std::string doc;
};

struct Rows {
  std::vector<Row> supported;
  std::vector<Row> at_default_only;
};

class RowCollector : public FieldVisitor {
 public:
  Rows Collect() {
    VmConfig defaults;
    Describe(*this, defaults);
    return std::move(rows_);
  }

  void Bool(const KeyInfo& key, bool& value) override {
    Add(key, "true or false", value ? "true" : "false");
  }
  void TextList(const KeyInfo& key, const TextRules& rules, size_t max_count,
                std::vector<std::string>& /*value*/) override {
    Add(key,
        absl::StrCat("list of at most ", max_count, " strings of at most ", rules.max_bytes,
                     " bytes"),
        "[]");
  }
  void IntegerList(const KeyInfo& key, const IntegerRules& rules, size_t max_count,
                   std::vector<uint64_t>& /*value*/) override {
    Add(key,
        absl::StrCat("list of at most ", max_count, " integers, ", rules.min, " to ", rules.max),
        "[]");
  }
  void AtDefaultOnly(const char* name, const char* default_json) override {
    rows_.at_default_only.push_back({JoinKey(path_, name), "", default_json, ""});
  }

 protected:
  void VisitInteger(const KeyInfo& key, const IntegerRules& rules,
                    std::optional<uint64_t>& value) override {
    const auto format = [&](uint64_t n) {
      return rules.is_size ? absl::StrCat("\"", FormatSize(n), "\"") : absl::StrCat(n);
    };
    std::string type = rules.is_size ? "bytes" : "integer";
    if (rules.power_of_two) absl::StrAppend(&type, ", power of two");
    if (rules.max != UINT64_MAX) {
      absl::StrAppend(&type, ", ", format(rules.min), " to ", format(rules.max));
    }
    const bool has_default = value.has_value() && *value >= rules.min;
    Add(key, std::move(type), has_default ? format(*value) : "");
  }
  void VisitText(const KeyInfo& key, const TextRules& rules,
                 std::optional<std::string>& value) override {
    std::string type = TypeOf(rules);
    if (rules.max_bytes < 4095) absl::StrAppend(&type, ", at most ", rules.max_bytes, " bytes");
    Add(key, std::move(type), value.has_value() ? absl::StrCat("\"", *value, "\"") : "");
  }
  void VisitEnum(const KeyInfo& key, const EnumRules& rules, size_t& index) override {
    Add(key, absl::StrJoin(rules.names, ", "), PrintJson(EnumValue(rules.names[index]), 0));
  }
  void VisitObject(const KeyInfo& key, absl::FunctionRef<void()> describe) override {
    Add(key, "object", "");
    Within(JoinKey(path_, key.name), describe);
  }
  void VisitList(const KeyInfo& key, const ObjectList& list) override {
    Add(key, absl::StrCat("list of at most ", list.max_count, " objects"), "[]");
    Within(absl::StrCat(JoinKey(path_, key.name), "[]"), list.describe_prototype);
  }
  void VisitMap(const KeyInfo& key, const ObjectMap& map) override {
    Add(key, absl::StrCat("object of at most ", map.list.max_count, " objects, by name"), "{}");
    Within(JoinKey(JoinKey(path_, key.name), map.name_placeholder), map.list.describe_prototype);
  }

 private:
  static std::string TypeOf(const TextRules& rules) {
    switch (rules.kind) {
      case TextKind::kPath:
      case TextKind::kSocketPath:
        return "path";
      case TextKind::kAscii:
        return "ASCII string";
      case TextKind::kUuid:
        return "UUID";
      case TextKind::kText:
        break;
    }
    return "string";
  }
  void Within(std::string path, absl::FunctionRef<void()> describe) {
    std::string outer = std::exchange(path_, std::move(path));
    describe();
    path_ = std::move(outer);
  }
  void Add(const KeyInfo& key, std::string type, std::string default_value) {
    std::string doc = absl::StrCat(key.doc, key.required ? " Required." : "");
    if (key.alias != nullptr) absl::StrAppend(&doc, " Also read as `", key.alias, "`.");
    rows_.supported.push_back(
        {JoinKey(path_, key.name), std::move(type), std::move(default_value), std::move(doc)});
  }

  std::string path_;
  Rows rows_;
};

std::string Code(absl::string_view text) {
  return text.empty() ? std::string() : absl::StrCat("`", text, "`");
}

}  // namespace

std::string VmConfigDocsTables() {
  const Rows rows = RowCollector().Collect();
  std::string out = "| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const Row& row : rows.supported) {
    absl::StrAppend(&out, "| ", Code(row.path), " | ", row.type, " | ", Code(row.default_value),
                    " | ", row.doc, " |\n");
  }
  absl::StrAppend(&out, "\n## Accepted at the default only\n\n| key | default |\n|---|---|\n");
  for (const Row& row : rows.at_default_only) {
    absl::StrAppend(&out, "| ", Code(row.path), " | ", Code(row.default_value), " |\n");
  }
  return out;
}

std::string VmConfigHelp() {
  constexpr size_t kDocColumn = 32;
  constexpr size_t kWidth = 100;
  std::string out;
  for (const Row& row : RowCollector().Collect().supported) {
    std::string line = absl::StrCat("  ", row.path);
    for (const absl::string_view word : absl::StrSplit(row.doc, ' ')) {
      if (std::max(kDocColumn, line.size() + 1) + word.size() > kWidth) {
        absl::StrAppend(&out, line, "\n");
        line.clear();
      }
      line.resize(std::max(kDocColumn, line.size() + 1), ' ');
      absl::StrAppend(&line, word);
    }
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

}  // namespace vmm
