#include "vmm/config/print_config.h"

#include <optional>
#include <utility>
#include <vector>

#include "vmm/config/config_fields.h"
#include "vmm/config/json_value.h"

namespace vmm {
namespace {

// Builds the JSON tree of a config.
class Printer : public FieldVisitor {
 public:
  JsonValue Print(VmConfig config) {
    Describe(*this, config);
    return JsonValue{std::move(object_)};
  }

  void Bool(const KeyInfo& key, bool& value) override { Add(key, JsonValue{value}); }

  void TextList(const KeyInfo& key, const TextRules& /*rules*/, size_t /*max_count*/,
                std::vector<std::string>& value) override {
    if (value.empty()) return;
    JsonArray array;
    for (const std::string& text : value) array.push_back(JsonValue{text});
    Add(key, JsonValue{std::move(array)});
  }

  void IntegerList(const KeyInfo& key, const IntegerRules& /*rules*/, size_t /*max_count*/,
                   std::vector<uint64_t>& value) override {
    if (value.empty()) return;
    JsonArray array;
    for (const uint64_t number : value) array.emplace_back().value = number;
    Add(key, JsonValue{std::move(array)});
  }

  void AtDefaultOnly(const char* /*name*/, const char* /*default_json*/) override {}

 protected:
  void VisitInteger(const KeyInfo& key, const IntegerRules& /*rules*/,
                    std::optional<uint64_t>& value) override {
    if (value.has_value()) Add(key, JsonValue{*value});
  }
  void VisitText(const KeyInfo& key, const TextRules& /*rules*/,
                 std::optional<std::string>& value) override {
    if (value.has_value()) Add(key, JsonValue{*value});
  }
  void VisitEnum(const KeyInfo& key, const EnumRules& rules, size_t& index) override {
    Add(key, EnumValue(rules.names[index]));
  }
  void VisitObject(const KeyInfo& key, absl::FunctionRef<void()> describe) override {
    JsonObject inner = PrintObject(describe);
    if (!inner.empty()) Add(key, JsonValue{std::move(inner)});
  }
  void VisitOptionalObject(const KeyInfo& key, bool given,
                           absl::FunctionRef<void()> describe) override {
    if (given) Add(key, JsonValue{PrintObject(describe)});
  }
  void VisitList(const KeyInfo& key, const ObjectList& list) override {
    if (list.count == 0) return;
    JsonArray array;
    for (size_t i = 0; i < list.count; ++i) {
      array.push_back(JsonValue{PrintObject([&] { list.describe_element(i); })});
    }
    Add(key, JsonValue{std::move(array)});
  }
  void VisitMap(const KeyInfo& key, const ObjectMap& map) override {
    if (map.list.count == 0) return;
    JsonObject members;
    for (size_t i = 0; i < map.list.count; ++i) {
      members.push_back(
          {map.name(i), JsonValue{PrintObject([&] { map.list.describe_element(i); })}});
    }
    Add(key, JsonValue{std::move(members)});
  }

 private:
  JsonObject PrintObject(absl::FunctionRef<void()> describe) {
    JsonObject outer = std::exchange(object_, JsonObject());
    describe();
    return std::exchange(object_, std::move(outer));
  }
  void Add(const KeyInfo& key, JsonValue value) { object_.push_back({key.name, std::move(value)}); }

  JsonObject object_;
};

}  // namespace

std::string PrintVmConfig(const VmConfig& config, PrintStyle style) {
  const JsonValue tree = Printer().Print(config);
  return style == PrintStyle::kPretty ? PrintJson(tree, 2) + "\n" : PrintJson(tree, 0);
}

}  // namespace vmm
