// REMOVE and RENAME of a fid act on the name that the fid was walked by.

#include "virtio/p9/p9_places.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "virtio/p9/testing/p9_changes_fixtures.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

class P9PlacesTest : public P9ChangesTest {
 protected:
  P9PlacesTest() { std::filesystem::create_hard_link(p9_.HostPath("file"), p9_.HostPath("other")); }

  int Remove(uint32_t fid) { return p9_.OfFid(kP9Remove, fid).error; }
  int Rename(uint32_t fid, uint32_t directory, absl::string_view name) {
    return p9_.Do(kP9Rename, P9Bytes().Number(fid).Number(directory).String(name)).error;
  }
};

TEST_F(P9PlacesTest, P9_remove_RemovesTheNameThatTheFidWasWalkedBy) {
  const uint32_t file = p9_.Find({"file"});
  const uint32_t other = p9_.Find({"other"});  // the node now has this name
  EXPECT_EQ(Remove(file), 0);
  EXPECT_FALSE(IsOnHost("file"));
  EXPECT_TRUE(IsOnHost("other"));
  EXPECT_EQ(Remove(other), 0);
  EXPECT_FALSE(IsOnHost("other"));
}

TEST_F(P9PlacesTest, P9_rename_RenamesTheNameThatTheFidWasWalkedBy) {
  const uint32_t file = p9_.Find({"file"});
  const uint32_t other = p9_.Find({"other"});
  EXPECT_EQ(Rename(file, p9_.Find({"dir"}), "moved"), 0);
  EXPECT_TRUE(IsOnHost("dir/moved"));
  EXPECT_TRUE(IsOnHost("other"));
  EXPECT_FALSE(IsOnHost("file"));
  // The fid and its copies follow the file, even if its directory is renamed.
  EXPECT_EQ(p9_.Walked(file, 70, {}), 0);
  EXPECT_EQ(p9_.RenameAt(kRoot, "dir", kRoot, "renamed").error, 0);
  EXPECT_EQ(Remove(70), 0);
  EXPECT_FALSE(IsOnHost("renamed/moved"));
  EXPECT_EQ(Remove(file), ESTALE);
  EXPECT_TRUE(IsOnHost("other"));
  EXPECT_EQ(Remove(other), 0);
}

TEST_F(P9PlacesTest, FidsFollowTheirFileAfterARenameByName) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.RenameAt(kRoot, "file", p9_.Find({"dir"}), "by-name").error, 0);
  p9_.Find({"other"});
  EXPECT_EQ(Remove(file), 0);
  EXPECT_FALSE(IsOnHost("dir/by-name"));
  EXPECT_TRUE(IsOnHost("other"));
}

TEST_F(P9PlacesTest, RenamingOntoAnotherNameOfTheFileMovesNothing) {
  const uint32_t file = p9_.Find({"file"});
  const uint32_t other = p9_.Find({"other"});
  EXPECT_EQ(Rename(file, kRoot, "other"), 0);  // does nothing, like rename(2)
  EXPECT_EQ(Rename(file, kRoot, "file"), 0);
  EXPECT_EQ(Remove(file), 0);
  EXPECT_FALSE(IsOnHost("file"));
  EXPECT_EQ(Remove(other), 0);
  EXPECT_FALSE(IsOnHost("other"));
}

TEST_F(P9PlacesTest, AFidDoesNotActOnAFileThatTookItsName) {
  // The guest gives the name to another file.
  const uint32_t inner = p9_.Find({"dir", "inner"});
  const uint32_t replaced = p9_.Find({"file"});
  EXPECT_EQ(Rename(inner, kRoot, "file"), 0);
  EXPECT_EQ(Remove(replaced), ESTALE);
  EXPECT_EQ(p9_.HostText("file"), "inner content");
  // The host gives the name to another file.
  const uint32_t other = p9_.Find({"other"});
  std::filesystem::remove(p9_.HostPath("other"));
  p9_.host().Write("root/other", "of the host");
  EXPECT_EQ(Rename(other, kRoot, "mine"), ESTALE);
  EXPECT_EQ(Remove(other), ESTALE);
  EXPECT_EQ(p9_.HostText("other"), "of the host");
  EXPECT_EQ(Remove(inner), 0);
  EXPECT_FALSE(IsOnHost("file"));
}

TEST_F(P9PlacesTest, ANewFileHasThePlaceWhereItWasMade) {
  const uint32_t made = p9_.Find({"dir"});
  ASSERT_EQ(p9_.Create(made, "new", O_RDWR, 0644).error, 0);
  EXPECT_EQ(p9_.Link(kRoot, made, "linked").error, 0);  // found below: the node's name then
  p9_.Find({"linked"});
  EXPECT_EQ(Remove(made), 0);
  EXPECT_FALSE(IsOnHost("dir/new"));
  EXPECT_TRUE(IsOnHost("linked"));
}

TEST_F(P9PlacesTest, PlacesAreGivenUpWithTheirFids) {
  for (int round = 0; round < 50; ++round) {
    const uint32_t file = p9_.Find({"dir", "inner"});
    EXPECT_EQ(p9_.Walked(file, 70, {}), 0);
    EXPECT_EQ(p9_.Walked(kRoot, 71, {"dir", "inner", "below"}), 2);  // the walk fails: no fid
    EXPECT_EQ(p9_.Clunk(file).error, 0);
    EXPECT_EQ(p9_.Clunk(70).error, 0);
  }
  EXPECT_EQ(p9_.counter("nodes"), 1U);
}

// Names take memory of the host, so the size of all names together is bounded, also after renames.
TEST(P9Places, NamesOfPlacesAreBounded) {
  TemporaryTree host(testing::TempDir());
  host.Directory("root");
  HostTree::Options options;
  options.path = host.Path("root");
  const auto tree = *HostTree::Open(std::move(options));
  P9Places places(*tree, 300);
  P9Places::Place* one = places.Acquire(kRootNode, "one");
  P9Places::Place* two = places.Acquire(kRootNode, "two");
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(places.Acquire(kRootNode, std::string(295, 'x')), nullptr);
  places.Move(kRootNode, "one", kRootNode, std::string(255, 'x'));
  EXPECT_EQ(one->name(), std::string(255, 'x'));
  places.Move(kRootNode, "two", kRootNode, std::string(255, 'y'));
  EXPECT_FALSE(two->is_there());
  EXPECT_NE(places.Acquire(kRootNode, std::string(45, 'z')), nullptr);
  EXPECT_EQ(places.Acquire(kRootNode, "z"), nullptr);
  places.Release(*one);
  places.Release(*two);
  EXPECT_EQ(places.size(), 1U);
  EXPECT_NE(places.Acquire(kRootNode, std::string(250, 'x')), nullptr);
}

}  // namespace
}  // namespace virtio
