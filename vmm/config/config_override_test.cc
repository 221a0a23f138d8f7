#include "vmm/config/config_override.h"

#include <gtest/gtest.h>

#include <string>

namespace vmm {
namespace {

// Returns the tree after applying `assignment`, or the error.
std::string Set(absl::string_view text, absl::string_view assignment) {
  JsonValue root = ParseJson(text).value();
  const absl::Status status = ApplyOverride(assignment, root);
  return status.ok() ? PrintJson(root, 0) : std::string(status.message());
}

TEST(ApplyOverride, ReplacesAValue) {
  EXPECT_EQ(Set(R"({"disks":[{"readonly":false}]})", "disks[0].readonly=true"),
            R"({"disks":[{"readonly":true}]})");
}

TEST(ApplyOverride, MakesMissingObjectsAndElements) {
  EXPECT_EQ(Set("{}", "memory.size=1G"), R"({"memory":{"size":"1G"}})");
  EXPECT_EQ(Set("{}", "disks[0].path=/a"), R"({"disks":[{"path":"/a"}]})");
  EXPECT_EQ(Set(R"({"disks":null})", "disks[0].path=/a"), R"({"disks":[{"path":"/a"}]})");
  EXPECT_EQ(Set(R"({"disks":[1]})", "disks[1]={\"path\": \"/a\"}"),
            R"({"disks":[1,{"path":"/a"}]})");
}

TEST(ApplyOverride, ReadsTheValueAsJsonOrElseAsAString) {
  EXPECT_EQ(Set("{}", "a=7"), R"({"a":7})");
  EXPECT_EQ(Set("{}", "a=\"7\""), R"({"a":"7"})");
  EXPECT_EQ(Set("{}", "a=null"), R"({"a":null})");
  EXPECT_EQ(Set("{}", "a=[\"x\"]"), R"({"a":["x"]})");
  EXPECT_EQ(Set("{}", "a="), R"({"a":""})");
  EXPECT_EQ(Set("{}", "a=root=/dev/vda quiet"), R"({"a":"root=/dev/vda quiet"})");
  EXPECT_EQ(Set("{}", "a={broken"), R"({"a":"{broken"})");
}

TEST(ApplyOverride, SaysWhatIsWrongWithThePath) {
  EXPECT_EQ(Set("{}", "a"), "--set a: write it as KEY.PATH=VALUE, such as memory.size=1G");
  EXPECT_EQ(Set("{}", "=1"), "--set =1: the path has an empty key");
  EXPECT_EQ(Set("{}", "a..b=1"), "--set a..b=1: the path has an empty key");
  EXPECT_EQ(Set("{}", "a.=1"), "--set a.=1: the path has an empty key");
  EXPECT_EQ(Set("{}", "a[x]=1"), "--set a[x]=1: an index is written [N], with a whole number N");
  EXPECT_EQ(Set("{}", "a[0=1"), "--set a[0=1: an index is written [N], with a whole number N");
  EXPECT_EQ(Set("{}", "a[0]b=1"), "--set a[0]b=1: after ] comes a dot, [ or =");
  EXPECT_EQ(Set("{}", "a]=1"), "--set a]=1: after ] comes a dot, [ or =");
}

TEST(ApplyOverride, SaysWhereTheTreeDoesNotFit) {
  EXPECT_EQ(Set(R"({"a":[1]})", "a.b=1"), "--set a.b=1: a is no object, it has no keys");
  EXPECT_EQ(Set(R"({"a":{"b":1}})", "a.b[0]=1"), "--set a.b[0]=1: a.b is no list, it has no index");
  EXPECT_EQ(Set(R"({"a":[1]})", "a[2]=1"), "--set a[2]=1: a has 1 elements; the next index is 1");
  EXPECT_EQ(Set(R"({})", "a[4294967296]=1"),
            "--set a[4294967296]=1: an index is written [N], with a whole number N");
  EXPECT_EQ(Set("[]", "a=1"), "--set a=1: the top is no object, it has no keys");
}

TEST(ApplyOverride, RefusesAValueThatIsNoUtf8) {
  EXPECT_EQ(Set("{}", "a=\xff"), "--set a=\xff: the value is not UTF-8 text");
}

}  // namespace
}  // namespace vmm
