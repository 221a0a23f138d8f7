#include "virtio/host_tree/closure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ParseClosure, AcceptsOnePathPerLine) {
  EXPECT_THAT(*ParseClosure("/nix/store/a-x\n/nix/store/b-y\n"), ElementsAre("a-x", "b-y"));
  EXPECT_THAT(*ParseClosure("/nix/store/a-x\n\n/nix/store/b-y"), ElementsAre("a-x", "b-y"));
  EXPECT_THAT(*ParseClosure("/nix/store/a-x"), ElementsAre("a-x"));
  EXPECT_THAT(*ParseClosure("/flat"), ElementsAre("flat"));
  EXPECT_THAT(*ParseClosure(""), IsEmpty());
}

TEST(ParseClosure, AcceptsARegistration) {
  // As `nix-store --dump-db` writes it. References are no entries of their own, and a deriver may
  // be empty.
  const absl::string_view text =
      "/nix/store/a-x\nsha256:00\n120\n/nix/store/d.drv\n2\n/nix/store/a-x\n/nix/store/b-y\n"
      "/nix/store/b-y\nsha256:11\n240\n\n0\n";
  EXPECT_THAT(*ParseClosure(text), ElementsAre("a-x", "b-y"));
}

TEST(ParseClosure, ErrorsNameTheLine) {
  const auto error = [](absl::string_view text) {
    return std::string(ParseClosure(text).status().message());
  };
  EXPECT_THAT(error("/s/a\nb\n"), HasSubstr("line 2: "));
  EXPECT_THAT(error("a\n"), HasSubstr("line 1: no absolute path"));
  EXPECT_THAT(error("/s/a\n/s/..\n"), HasSubstr("line 2: the path does not end in"));
  EXPECT_THAT(error("/s/a\n/s/\n"), HasSubstr("line 2: the path does not end in"));
  EXPECT_THAT(error("/\n"), HasSubstr("line 1: the path does not end in"));
  EXPECT_THAT(error(absl::StrCat("/s/", std::string(256, 'x'))), HasSubstr("line 1"));
  EXPECT_THAT(error(absl::string_view("/s/a\0b", 6)), HasSubstr("line 1"));
  // The last part of a path below a store path must not become visible as a store path.
  EXPECT_THAT(error("/s/a\n/s/a/bin/sh\n"), HasSubstr("line 2: not in the same directory"));
  EXPECT_THAT(error("/s/a\nsha256:0\n120\n\n1\n"), HasSubstr("cut short"));
  EXPECT_THAT(error("/s/a\nsha256:0\n120\n\nmany\n"), HasSubstr("line 5: the number"));
  EXPECT_THAT(error("/s/a\nsha256:0\n120\n\n18446744073709551615\n"), HasSubstr("cut short"));
}

TEST(NameSet, GrowsAndKeepsNumbers) {
  NameSet names;
  names.Add({"b", "a", "b"});
  EXPECT_EQ(names.size(), 2U);
  names.Add({"a", "c"});
  EXPECT_EQ(names.size(), 3U);
  EXPECT_EQ(names[0], "b");
  EXPECT_EQ(names[1], "a");
  EXPECT_EQ(names[2], "c");
  EXPECT_TRUE(names.Contains("c"));
  EXPECT_FALSE(names.Contains(""));
  EXPECT_FALSE(names.Contains("ab"));
}

TEST(ClosureFile, IsOpenedAgainByNameInItsDirectory) {
  TemporaryTree tree(testing::TempDir());
  tree.Write("dir/paths", "one");
  const auto file = ClosureFile::Open("fs[0].closure", tree.Path("dir/paths"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(*file->Read(), "one");
  tree.Write("dir/new", "two");
  tree.Rename("dir/new", "dir/paths");
  EXPECT_EQ(*file->Read(), "two");
  // The directory that was opened counts, even if another one has its name now.
  tree.Rename("dir", "moved");
  tree.Write("dir/paths", "another");
  EXPECT_EQ(*file->Read(), "two");
}

TEST(ClosureFile, ErrorsNameTheKeyAndTheProblem) {
  TemporaryTree tree(testing::TempDir());
  EXPECT_THAT(ClosureFile::Open("fs[0].closure", tree.Path("no/paths")).status().message(),
              HasSubstr("fs[0].closure: "));
  const auto missing = ClosureFile::Open("fs[0].closure", tree.Path("paths"));
  ASSERT_TRUE(missing.ok());
  EXPECT_THAT(missing->Read().status().message(), HasSubstr("(ENOENT)"));
  tree.Directory("paths");
  EXPECT_THAT(missing->Read().status().message(), HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace virtio
