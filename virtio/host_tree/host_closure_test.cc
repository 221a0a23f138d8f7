#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/testing/host_tree_fixtures.h"

namespace virtio {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class HostClosureTest : public HostTreeTest {};

TEST_F(HostClosureTest, ClosureHidesHowFullTheHostIs) {
  host_.Write("root/a-x", "a");
  struct statfs file_system;
  Open();
  ASSERT_EQ(tree_->GetFileSystem(kRootNode, file_system), 0);
  EXPECT_GT(file_system.f_bfree + file_system.f_bavail, 0U);
  OpenWithClosure("/nix/store/a-x\n");
  ASSERT_EQ(tree_->GetFileSystem(kRootNode, file_system), 0);
  EXPECT_EQ(file_system.f_bfree + file_system.f_bavail, 0U);
  EXPECT_EQ(file_system.f_files + file_system.f_ffree, 0U);
  EXPECT_GT(file_system.f_bsize, 0);
}

TEST_F(HostClosureTest, OnlyNamesOfTheClosureExist) {
  host_.Write("root/a-x/key", "public");
  host_.Write("root/b-y/key", "secret");
  host_.Write("root/c-z", "file");
  OpenWithClosure("/nix/store/a-x\n/nix/store/c-z\n");
  EXPECT_THAT(List(kRootNode), ElementsAre(".", "..", "a-x", "c-z"));
  EXPECT_THAT(List(kRootNode, 3), ElementsAre("c-z"));
  EXPECT_THAT(List(kRootNode, 4), ElementsAre());
  EXPECT_EQ(Content(Get({"a-x", "key"})), "public");
  EXPECT_EQ(Content(Get({"c-z"})), "file");
  EXPECT_EQ(LookupError(kRootNode, "b-y"), ENOENT);
  EXPECT_EQ(LookupError(kRootNode, "a-x/../b-y"), EINVAL);
  EXPECT_EQ(LookupError(Get({"a-x"}), "b-y"), ENOENT);
  FileAttributes attributes;
  ASSERT_EQ(tree_->GetAttributes(kRootNode, attributes), 0);
  EXPECT_EQ(attributes.links, 1U);
  EXPECT_EQ(attributes.size_bytes, 0U);
}

TEST_F(HostClosureTest, ClosureGrowsWhenReadAgain) {
  host_.Write("root/a-x", "a");
  host_.Write("root/b-y", "b");
  OpenWithClosure("/nix/store/b-y\n");
  FileAttributes before;
  FileAttributes after;
  ASSERT_EQ(tree_->GetAttributes(kRootNode, before), 0);
  EXPECT_EQ(LookupError(kRootNode, "a-x"), ENOENT);
  const NodeId b = Get({"b-y"});
  host_.Write("paths", "/nix/store/a-x\n");
  ASSERT_TRUE(tree_->RereadClosure().ok());
  EXPECT_EQ(Content(Get({"a-x"})), "a");
  EXPECT_EQ(Content(b), "b");  // a file in use stays visible
  EXPECT_THAT(List(kRootNode), ElementsAre(".", "..", "b-y", "a-x"));
  ASSERT_EQ(tree_->GetAttributes(kRootNode, after), 0);
  EXPECT_TRUE(after.modified.seconds != before.modified.seconds ||
              after.modified.nanoseconds != before.modified.nanoseconds);
  host_.Write("paths", "/nix/store/a-x\n/nix/store/no-such\n");
  EXPECT_THAT(tree_->RereadClosure().message(), HasSubstr("no-such"));
  EXPECT_EQ(List(kRootNode).size(), 4U);
}

TEST_F(HostClosureTest, LargeClosuresAreCheckedToo) {
  const std::string name(50, 'p');
  std::string text;
  for (int i = 0; i < 5000; ++i) {
    host_.Write(absl::StrCat("root/", name, i), "");
    absl::StrAppend(&text, "/nix/store/", name, i, "\n");
  }
  ASSERT_GT(text.size(), size_t{256} << 10);  // large enough for the store to be listed
  OpenWithClosure(text);
  EXPECT_EQ(List(kRootNode).size(), 5002U);
  host_.Write("paths", absl::StrCat(text, text, "/nix/store/missing\n"));
  EXPECT_THAT(tree_->RereadClosure().message(), HasSubstr("lists missing"));
  host_.Write("root/missing", "");
  EXPECT_TRUE(tree_->RereadClosure().ok());
  EXPECT_EQ(List(kRootNode).size(), 5003U);
  ASSERT_EQ(unlink(host_.Path(absl::StrCat("root/", name, 77)).c_str()), 0);
  HostTree::Options options;
  options.path = host_.Path("root");
  options.closure = host_.Path("paths");
  EXPECT_THAT(HostTree::Open(options).status().message(),
              HasSubstr(absl::StrCat("lists ", name, "77, which is not in")));
  host_.Write("paths", absl::StrCat(text, "garbled\n"));
  EXPECT_THAT(HostTree::Open(options).status().message(), HasSubstr("line 5001: "));
}

TEST_F(HostClosureTest, TheErrorNamesAPathThatIsMissing) {
  host_.Write("root/a-x", "a");
  host_.Write("paths", "/nix/store/a-x\n/nix/store/b-y\n");
  HostTree::Options options;
  options.name = "fs[3]";
  options.path = host_.Path("root");
  options.closure = host_.Path("paths");
  EXPECT_THAT(HostTree::Open(options).status().message(),
              testing::AllOf(HasSubstr("fs[3].closure: "), HasSubstr("lists b-y")));
  host_.Write("paths", "a-x\n");
  EXPECT_THAT(HostTree::Open(options).status().message(),
              HasSubstr("paths: line 1: no absolute path; list full store paths, one a line"));
  host_.Write("paths", "/nix/store/a-x\r\n");
  EXPECT_THAT(HostTree::Open(options).status().message(), HasSubstr("lists a-x\\r, which is not"));
  for (const absl::string_view nothing : {"", "\n\n"}) {
    host_.Write("paths", nothing);
    EXPECT_THAT(HostTree::Open(options).status().message(), HasSubstr("lists no store path; list"));
  }
  options.path = host_.Path("root/a-x");
  EXPECT_THAT(
      HostTree::Open(options).status().message(),
      testing::AllOf(HasSubstr("fs[3].path: "), HasSubstr("(ENOTDIR); name a directory, ")));
  options.path = host_.Path("none");
  EXPECT_THAT(HostTree::Open(options).status().message(),
              testing::AllOf(HasSubstr("none: cannot open"), HasSubstr("(ENOENT); name a dir")));
}

}  // namespace
}  // namespace virtio
