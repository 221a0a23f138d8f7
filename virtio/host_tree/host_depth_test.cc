// Directories deep below others, more of them than may be held open: each request opens them again.

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
  // Makes `depth` directories below each other, all called `name`, and returns them.
  std::vector<NodeId> MakeChain(absl::string_view top, absl::string_view name, int depth) {
    std::vector<NodeId> chain = {MakeDirectory(kRootNode, top).id};
    while (static_cast<int>(chain.size()) < depth) {
      chain.push_back(MakeDirectory(chain.back(), name).id);
    }
    return chain;
  }
  // Closes all directories but a few.
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

TEST_F(HostDepthTest, ALookupBelowLongNamesOpensOneDirectoryForFifteen) {
  MakeOthers();
  Open(true, 8, 100'000);
  const auto chain = MakeChain("top", std::string(255, 'n'), 300);
  UseOthers();
  uint64_t before = tree_->opens();
  EXPECT_EQ(LookupError(chain.back(), "x"), ENOENT);
  EXPECT_LE(tree_->opens() - before, 20U);
  // What is above it is then near, for who walks up as 9p can.
  before = tree_->opens();
  EXPECT_EQ(LookupError(chain[297], "x"), ENOENT);
  EXPECT_LE(tree_->opens() - before, 1U);
}

TEST_F(HostDepthTest, WhatTheHostPutsInTheWayLeadsNowhere) {
  MakeOthers();
  Open(true, 8, 100'000);
  const auto chain = MakeChain("top", "d", 40);
  std::string middle = "root/top";
  for (int i = 0; i < 20; ++i) middle += "/d";
  std::string below;
  for (int i = 0; i < 19; ++i) below += "/d";
  // Other directories of the same names.
  host_.Rename(middle, "root/away");
  host_.Directory(middle + below);
  UseOthers();
  EXPECT_EQ(LookupError(chain.back(), "x"), ESTALE);
  // A link to the right ones.
  host_.Rename(middle, "root/away2");
  host_.Link("/" + host_.Path("root/away"), middle);
  UseOthers();
  EXPECT_EQ(LookupError(chain.back(), "x"), ESTALE);
  // The right ones.
  ASSERT_EQ(unlink(host_.Path(middle).c_str()), 0);
  host_.Rename("root/away", middle);
  UseOthers();
  EXPECT_EQ(LookupError(chain.back(), "x"), ENOENT);
}

TEST_F(HostDepthTest, ADirectoryThatTheGuestRemovedIsNotFoundByWhatTheHostMadeInItsPlace) {
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
