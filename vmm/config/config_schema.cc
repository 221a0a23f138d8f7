// Makes the JSON Schema of vm.json from the description of its keys.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vmm/config/config_fields.h"
#include "vmm/config/json_value.h"
#include "vmm/config/print_config.h"

namespace vmm {
namespace {

JsonValue Word(absl::string_view text) { return JsonValue{std::string(text)}; }
JsonValue Number(uint64_t number) { return JsonValue{number}; }

// Lets a schema of one type accept null too, which counts as absent.
JsonValue TypeOrNull(absl::string_view type) {
  return JsonValue{JsonArray{Word(type), Word("null")}};
}

class SchemaBuilder : public FieldVisitor {
 public:
  JsonObject Build() {
    VmConfig defaults;
    return BuildObject(Word("object"), [&] { Describe(*this, defaults); });
  }

  void Bool(const KeyInfo& key, bool& value) override {
    Add(key, {{"type", TypeOrNull("boolean")}, {"default", JsonValue{value}}});
  }

  void TextList(const KeyInfo& key, const TextRules& rules, size_t max_count,
                std::vector<std::string>& /*value*/) override {
    JsonObject element = {{"type", Word("string")}};
    AddTextRules(rules, element);
    Add(key, {{"type", TypeOrNull("array")},
              {"maxItems", Number(max_count)},
              {"items", JsonValue{std::move(element)}}});
  }

  void IntegerList(const KeyInfo& key, const IntegerRules& rules, size_t max_count,
                   std::vector<uint64_t>& /*value*/) override {
    JsonObject element = {
        {"type", Word("integer")}, {"minimum", Number(rules.min)}, {"maximum", Number(rules.max)}};
    Add(key, {{"type", TypeOrNull("array")},
              {"maxItems", Number(max_count)},
              {"items", JsonValue{std::move(element)}}});
  }

  void AtDefaultOnly(const char* name, const char* default_json) override {
    JsonValue wanted = ParseJson(default_json).value();
    JsonObject schema = {
        {"description", Word("Accepted at its default only, for clients of cloud-hypervisor.")}};
    if (wanted.is_null()) {
      schema.push_back({"enum", JsonValue{JsonArray{wanted, JsonValue{JsonArray()}}}});
    } else if (const auto* object = wanted.get<JsonObject>()) {
      JsonObject members;
      for (const JsonMember& member : *object) {
        members.push_back({member.name, JsonValue{EnumOfDefault(member.value)}});
      }
      schema.push_back({"type", TypeOrNull("object")});
      schema.push_back({"additionalProperties", JsonValue{false}});
      schema.push_back({"properties", JsonValue{std::move(members)}});
    } else {
      schema.push_back(EnumOfDefault(wanted).front());
    }
    properties_.push_back({name, JsonValue{std::move(schema)}});
  }

 protected:
  void VisitInteger(const KeyInfo& key, const IntegerRules& rules,
                    std::optional<uint64_t>& value) override {
    JsonObject schema = {
        {"type", rules.is_size ? JsonValue{JsonArray{Word("integer"), Word("string"), Word("null")}}
                               : TypeOrNull("integer")},
        {"minimum", Number(rules.min)},
        {"maximum", Number(rules.max)}};
    if (rules.power_of_two && !rules.is_size) schema.push_back({"enum", PowersOfTwo(rules)});
    if (rules.is_size) schema.push_back({"pattern", Word("^[0-9]+[KMGT]?$")});
    // 0 is no default: it stands for a default that depends on another key.
    if (value.has_value() && *value >= rules.min) schema.push_back({"default", Number(*value)});
    Add(key, std::move(schema));
  }

  void VisitText(const KeyInfo& key, const TextRules& rules,
                 std::optional<std::string>& value) override {
    JsonObject schema = {{"type", TypeOrNull("string")}};
    AddTextRules(rules, schema);
    if (value.has_value()) schema.push_back({"default", Word(*value)});
    Add(key, std::move(schema));
  }

  void VisitEnum(const KeyInfo& key, const EnumRules& rules, size_t& index) override {
    JsonArray names;
    for (const char* name : rules.names) names.push_back(EnumValue(name));
    names.emplace_back();
    Add(key, {{"enum", JsonValue{std::move(names)}}, {"default", EnumValue(rules.names[index])}});
  }

  void VisitObject(const KeyInfo& key, absl::FunctionRef<void()> describe) override {
    Add(key, BuildObject(TypeOrNull("object"), describe));
  }

  void VisitList(const KeyInfo& key, const ObjectList& list) override {
    Add(key, {{"type", TypeOrNull("array")},
              {"maxItems", Number(list.max_count)},
              {"items", JsonValue{BuildObject(Word("object"), list.describe_prototype)}}});
  }
  void VisitMap(const KeyInfo& key, const ObjectMap& map) override {
    Add(key, {{"type", TypeOrNull("object")},
              {"maxProperties", Number(map.list.max_count)},
              {"additionalProperties",
               JsonValue{BuildObject(Word("object"), map.list.describe_prototype)}}});
  }

 private:
  static JsonValue PowersOfTwo(const IntegerRules& rules) {
    JsonArray powers;
    for (uint64_t n = 1; n <= rules.max; n *= 2) {
      if (n >= rules.min) powers.push_back(Number(n));
    }
    powers.emplace_back();
    return JsonValue{std::move(powers)};
  }

  static JsonObject EnumOfDefault(const JsonValue& wanted) {
    JsonArray values = {wanted};
    if (!wanted.is_null()) values.emplace_back();
    return {{"enum", JsonValue{std::move(values)}}};
  }

  static void AddTextRules(const TextRules& rules, JsonObject& schema) {
    if (!rules.may_be_empty) schema.push_back({"minLength", Number(1)});
    schema.push_back({"maxLength", Number(rules.max_bytes)});
    if (rules.kind == TextKind::kAscii) schema.push_back({"pattern", Word("^[ -~]*$")});
    if (rules.kind == TextKind::kUuid) {
      schema.push_back({"pattern", Word("^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")});
    }
  }

  JsonObject BuildObject(JsonValue type, absl::FunctionRef<void()> describe) {
    JsonObject outer_properties = std::exchange(properties_, JsonObject());
    JsonArray outer_required = std::exchange(required_, JsonArray());
    describe();
    JsonObject properties = std::exchange(properties_, std::move(outer_properties));
    JsonArray required = std::exchange(required_, std::move(outer_required));
    JsonObject schema = {{"type", std::move(type)},
                         {"additionalProperties", JsonValue{false}},
                         {"properties", JsonValue{std::move(properties)}}};
    if (!required.empty()) schema.push_back({"required", JsonValue{std::move(required)}});
    return schema;
  }

  void Add(const KeyInfo& key, JsonObject schema) {
    schema.insert(schema.begin(), {"description", Word(key.doc)});
    if (key.required) required_.push_back(Word(key.name));
    if (key.alias != nullptr) properties_.push_back({key.alias, JsonValue{schema}});
    properties_.push_back({key.name, JsonValue{std::move(schema)}});
  }

  JsonObject properties_;  // of the object that is being described
  JsonArray required_;
};

}  // namespace

std::string VmConfigJsonSchema() {
  JsonObject schema = SchemaBuilder().Build();
  JsonObject top = {{"$schema", Word("https://json-schema.org/draft/2020-12/schema")},
                    {"title", Word("vm.json: the configuration of one virtual machine")}};
  for (JsonMember& member : schema) top.push_back(std::move(member));
  return PrintJson(JsonValue{std::move(top)}, 2) + "\n";
}

}  // namespace vmm
