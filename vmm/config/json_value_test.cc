#include "vmm/config/json_value.h"

#include <gtest/gtest.h>

#include <string>

namespace vmm {
namespace {

std::string ErrorOf(absl::string_view text) {
  return std::string(ParseJson(text).status().message());
}

TEST(ParseJson, KeepsOrderAndTypes) {
  const auto parsed = ParseJson(R"({"b": [1, true, null, "x"], "a": {"c": -1.5e3}})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const JsonObject& object = *parsed->get<JsonObject>();
  ASSERT_EQ(object.size(), 2U);
  EXPECT_EQ(object[0].name, "b");
  EXPECT_EQ(object[0].value, JsonValue{(JsonArray{JsonValue{uint64_t{1}}, JsonValue{true},
                                                  JsonValue{}, JsonValue{std::string("x")}})});
  const JsonObject& inner = *object[1].value.get<JsonObject>();
  EXPECT_EQ(inner[0].value, JsonValue{OtherNumber{"-1.5e3"}});
}

TEST(ParseJson, KeepsTheLargestInteger) {
  EXPECT_EQ(*ParseJson("18446744073709551615"), JsonValue{UINT64_MAX});
  EXPECT_EQ(*ParseJson("18446744073709551616"), JsonValue{OtherNumber{"18446744073709551616"}});
}

TEST(ParseJson, CountsLinesAndColumns) {
  EXPECT_EQ(ErrorOf("{\n  \"a\": 1,\n}").substr(0, 17), "line 3, column 1:");
  EXPECT_EQ(ErrorOf("]").substr(0, 17), "line 1, column 1:");
}

TEST(ParseJson, NamesTheDuplicateKeyByItsPath) {
  EXPECT_EQ(ErrorOf(R"({"a": [0, {"b": {"c": 1, "c": 1}}]})"), "a[1].b.c: given twice; keep one");
  EXPECT_EQ(ErrorOf(R"({"a": 1, "b": 2, "a": 3})"), "a: given twice; keep one");
}

// If each key were compared with all keys before it, there would be 1.25 * 10^10 comparisons of
// strings. The test takes a moment if it passes; if it fails, it takes minutes, and ctest's time
// limit ends it.
TEST(ParseJson, TimeDoesNotGrowWithTheSquareOfTheKeys) {
  std::string text = "{\"0\":0";
  size_t keys = 1;
  for (; text.size() < kMaxJsonBytes - 16; ++keys) {
    text += ",\"" + std::to_string(keys) + "\":0";
  }
  EXPECT_GT(keys, 80000u);
  EXPECT_EQ(ParseJson(text + "}")->get<JsonObject>()->size(), keys);
  EXPECT_EQ(ErrorOf(text + ",\"1\":0}"), "1: given twice; keep one");
}

TEST(ParseJson, SameKeyInTwoObjectsIsNoDuplicate) {
  EXPECT_TRUE(ParseJson(R"([{"a": 1}, {"a": 1}, {"a": {"a": 1}}])").ok());
}

TEST(ParseJson, LimitsDepth) {
  EXPECT_TRUE(ParseJson(std::string(16, '[') + std::string(16, ']')).ok());
  EXPECT_EQ(ErrorOf(std::string(17, '[') + std::string(17, ']')), "nested deeper than 16 levels");
  EXPECT_EQ(ErrorOf(std::string(1000000, '[')), "nested deeper than 16 levels");
}

TEST(ParseJson, LimitsSize) {
  const std::string text = "\"" + std::string(kMaxJsonBytes - 2, 'x') + "\"";
  EXPECT_TRUE(ParseJson(text).ok());
  EXPECT_EQ(ErrorOf(text + " "), "larger than 1048576 bytes, the most that is read");
}

TEST(ParseJson, RefusesInvalidUtf8) {
  EXPECT_FALSE(ParseJson("\"\xff\"").ok());
  EXPECT_FALSE(ParseJson("\"\xc0\x80\"").ok());
  EXPECT_FALSE(ParseJson("\"\xed\xa0\x80\"").ok());
  EXPECT_TRUE(ParseJson("\"\xc3\xa9\"").ok());
}

TEST(ParseJson, ErrorsStayOnOneShortLine) {
  for (const std::string& text : {std::string("{\"a\n\": 1}"), "\"" + std::string(5000, 'a'),
                                  std::string("\x1b[31m"), std::string("\0", 1)}) {
    const std::string error = ErrorOf(text);
    EXPECT_FALSE(error.empty());
    EXPECT_LT(error.size(), 300U);
    EXPECT_EQ(error.find_first_of("\n\x1b"), std::string::npos) << error;
  }
}

TEST(PrintJson, ParsesBackToTheSameValue) {
  const std::string text = R"({"b":[1,true,null,"\"\\\n\u0000é"],"a":{},"c":[]})";
  const auto parsed = ParseJson(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(PrintJson(*parsed, 0), text);
  EXPECT_EQ(*ParseJson(PrintJson(*parsed, 2)), *parsed);
}

TEST(PrintJson, ReplacesInvalidUtf8) {
  EXPECT_EQ(PrintJson(JsonValue{std::string("a\xff")}, 0), "\"a\uFFFD\"");
}

}  // namespace
}  // namespace vmm
