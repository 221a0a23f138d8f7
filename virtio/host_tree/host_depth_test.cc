// Tests directories at depths beyond the number that may be held open, so requests open them again.

#include <errno.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/testing/host_changes_fixtures.h"

namespace virtio {
namespace {

class HostDepthTest : public HostChangesTest {
 protected:
  // Makes `depth` directories below each other and returns them. The first is called `top`, all
  // others `name`.
  std::vector<NodeId> MakeChain(absl::string_view top, absl::string_view name, int depth) {
    std::vector<NodeId> chain = {MakeDirectory(kRootNode, top).id};
    while (static_cast<int>(chain.size()) < depth) {
      chain.push_back(MakeDirectory(chain.back(), name).id);
    }
    return chain;
  }
  // Uses so many other directories that most of the chain is closed.
  void UseOthers() {
    for (int i = 0; i < 16; ++i) {
      const NodeId other = Find(kRootNode, absl::StrCat("other", i));
      EXPECT_EQ(LookupError(other, "x"), ENOENT);
    }
  }
  void MakeOthers() {
    for (int i = 0; i < 16; ++i) host_.Directory(absl::StrCat("root/other", i));
  }
};

TEST_F(HostDepthTest, ALookupOpensFewDirectories) {
  MakeOthers();
  Open(true, 8, 100'000);
  const auto chain = MakeChain("top", "d", 1600);
  for (const size_t at : {1599U, 1598U, 1500U, 3U}) {
    UseOthers();
    const uint64_t before = tree_->opens();
    EXPECT_EQ(LookupError(chain[at], "x"), ENOENT);
    EXPECT_LE(tree_->opens() - before, 1U) << at;
  }
}

TEST_F(HostDepthTest, ALookupBelowLongNamesOpensOneDirectoryInFifteen) {
  MakeOthers();
  Open(true, 8, 100'000);
  const auto chain = MakeChain("top", std::string(255, 'n'), 300);
  UseOthers();
  uint64_t before = tree_->opens();
  EXPECT_EQ(LookupError(chain.back(), "x"), ENOENT);
  EXPECT_LE(tree_->opens() - before, 20U);
  // A 9p client that walks up from there finds the directories above open or near an open one.
  before = tree_->opens();
  EXPECT_EQ(LookupError(chain[297], "x"), ENOENT);
  EXPECT_LE(tree_->opens() - before, 1U);
}

TEST_F(HostDepthTest, DirectoriesThatTheHostPutsInTheWayAreStale) {
  MakeOthers();
  Open(true, 8, 100'000);
  const auto chain = MakeChain("top", "d", 40);
  std::string middle = "root/top";
  for (int i = 0; i < 20; ++i) middle += "/d";
  std::string below;
  for (int i = 0; i < 19; ++i) below += "/d";
  // Other directories have the same names.
  host_.Rename(middle, "root/away");
  host_.Directory(middle + below);
  UseOthers();
  EXPECT_EQ(LookupError(chain.back(), "x"), ESTALE);
  // A link leads to the right directories.
  host_.Rename(middle, "root/away2");
  host_.Link("/" + host_.Path("root/away"), middle);
  UseOthers();
  EXPECT_EQ(LookupError(chain.back(), "x"), ESTALE);
  // The right directories are back.
  ASSERT_EQ(unlink(host_.Path(middle).c_str()), 0);
  host_.Rename("root/away", middle);
  UseOthers();
  EXPECT_EQ(LookupError(chain.back(), "x"), ENOENT);
}

TEST_F(HostDepthTest, ARemovedDirectoryIsNotMistakenForANewOneOfTheHost) {
  MakeOthers();
  Open(true, 8, 100'000);
  const auto chain = MakeChain("top", "d", 4);
  ASSERT_EQ(tree_->RemoveDirectory(chain[2], "d"), 0);
  host_.Directory("root/top/d/d/d");
  UseOthers();
  EXPECT_EQ(LookupError(chain[3], "x"), ESTALE);
}

}  // namespace
}  // namespace virtio
