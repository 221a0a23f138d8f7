#include "virtio/host_tree/guest_file_handles.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/uio.h>

#include <memory>
#include <utility>

#include "tests/fakes/fake_event_loop.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

class GuestFileHandlesTest : public testing::Test {
 protected:
  GuestFileHandlesTest() {
    host_.Write("root/file", "content");
    HostTree::Options options;
    options.path = host_.Path("root");
    options.writable = true;
    options.uids = MapToOwn(geteuid(), {0});
    options.gids = MapToOwn(getegid(), {0});
    tree_ = *HostTree::Open(std::move(options));
    FoundNode found;
    EXPECT_EQ(tree_->Lookup(kRootNode, "file", found), 0);
    node_ = found.id;
  }
  GuestFileHandles::Handle* Open() {
    std::unique_ptr<HostFile> file;
    EXPECT_EQ(tree_->OpenFile(node_, O_RDWR, file), 0);
    GuestFileHandles::Handle* handle = nullptr;
    return handles_.Add(std::move(file), FileSync::kNone, handle) == 0 ? handle : nullptr;
  }

  TemporaryTree host_{testing::TempDir()};
  base::FakeEventLoop loop_;
  std::unique_ptr<HostTree> tree_;
  GuestFileHandles handles_{loop_, 2};
  NodeId node_;
};

TEST_F(GuestFileHandlesTest, ANumberIsForOneNodeAndUsedOnce) {
  GuestFileHandles::Handle* first = Open();
  ASSERT_NE(first, nullptr);
  const uint64_t number = first->number;
  EXPECT_EQ(handles_.Find(number, node_), first);
  EXPECT_EQ(handles_.Find(number, kRootNode), nullptr);
  for (const uint64_t other : {uint64_t{0}, number + 1, UINT64_MAX}) {
    EXPECT_EQ(handles_.Find(other, node_), nullptr);
    handles_.Close(other);
  }
  handles_.Close(number);
  EXPECT_EQ(handles_.Find(number, node_), nullptr);
  EXPECT_NE(Open()->number, number);
}

TEST_F(GuestFileHandlesTest, ClosesWhenTheLastUseEnds) {
  GuestFileHandles::Handle* handle = Open();
  Open();
  EXPECT_TRUE(handles_.full());
  EXPECT_EQ(Open(), nullptr);
  handles_.Use(*handle);
  handles_.Use(*handle);
  const uint64_t number = handle->number;
  handles_.Close(number);
  handles_.Close(number);
  EXPECT_EQ(handles_.Find(number, node_), nullptr);
  handles_.Release(*handle);
  EXPECT_EQ(handles_.size(), 2U);  // one use is left
  handles_.Release(*handle);
  EXPECT_EQ(handles_.size(), 1U);
  handles_.CloseAll();
  EXPECT_EQ(handles_.size(), 0U);
  tree_->Forget(node_, 1);
  EXPECT_EQ(tree_->node_count(), 1U);
}

TEST_F(GuestFileHandlesTest, CloseAllKeepsHandlesThatAreInUse) {
  GuestFileHandles::Handle* used = Open();
  const uint64_t number = used->number;
  handles_.Use(*used);
  const uint64_t other = Open()->number;
  handles_.CloseAll();
  EXPECT_EQ(handles_.Find(number, node_), nullptr);
  EXPECT_EQ(handles_.Find(other, node_), nullptr);
  EXPECT_EQ(handles_.size(), 1U);
  handles_.CloseAll();
  EXPECT_EQ(handles_.size(), 1U);
  EXPECT_FALSE(handles_.full());
  EXPECT_NE(Open()->number, other);
  EXPECT_TRUE(handles_.full());
  handles_.Release(*used);
  EXPECT_FALSE(handles_.full());
  handles_.CloseAll();
  EXPECT_EQ(handles_.size(), 0U);
}

}  // namespace
}  // namespace virtio
