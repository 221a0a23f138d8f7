#include "virtio/block/block_write_order.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <set>
#include <vector>

namespace virtio {
namespace {

constexpr uint64_t kBlock = 4096;

struct Write : OrderedWrite {};

class BlockWriteOrderTest : public testing::Test {
 protected:
  bool Whole(Write& write, uint64_t first, uint64_t blocks) {
    return order_.Enter(write, first * kBlock, (first + blocks) * kBlock, false);
  }
  bool Part(Write& write, uint64_t first, uint64_t blocks = 1) {
    return order_.Enter(write, first * kBlock, (first + blocks) * kBlock, true);
  }

  BlockWriteOrder order_;
  Write a_, b_, c_, d_;
};

TEST_F(BlockWriteOrderTest, WholeBlockWritesRunConcurrently) {
  EXPECT_TRUE(Whole(a_, 0, 4));
  EXPECT_TRUE(Whole(b_, 0, 4)) << "two whole writes of a block at once may end in any order";
  order_.Leave(a_);
  order_.Leave(b_);
  EXPECT_EQ(order_.TakeReady(), nullptr);
}

TEST_F(BlockWriteOrderTest, PartialWritesRunOneAtATime) {
  EXPECT_TRUE(Part(a_, 0));
  EXPECT_FALSE(Part(b_, 0));
  EXPECT_FALSE(Part(c_, 9));
  EXPECT_EQ(order_.TakeReady(), nullptr);
  order_.Leave(a_);
  EXPECT_EQ(order_.TakeReady(), &b_);
  EXPECT_EQ(order_.TakeReady(), nullptr);
  order_.Leave(b_);
  EXPECT_EQ(order_.TakeReady(), &c_);
  order_.Leave(c_);
}

TEST_F(BlockWriteOrderTest, PartialWriteWaitsForOverlappingWholeBlocks) {
  EXPECT_TRUE(Whole(a_, 0, 4));
  EXPECT_TRUE(Whole(b_, 3, 1));
  EXPECT_TRUE(Whole(c_, 4, 1));
  EXPECT_FALSE(Part(d_, 3));
  order_.Leave(c_);
  EXPECT_EQ(order_.TakeReady(), nullptr);
  order_.Leave(a_);
  EXPECT_EQ(order_.TakeReady(), nullptr);
  order_.Leave(b_);
  EXPECT_EQ(order_.TakeReady(), &d_);
  order_.Leave(d_);
}

TEST_F(BlockWriteOrderTest, WholeBlocksWaitForTheOverlappingPartialWrite) {
  EXPECT_TRUE(Part(a_, 3));
  EXPECT_TRUE(Whole(b_, 4, 2));
  EXPECT_FALSE(Whole(c_, 0, 4));
  order_.Leave(a_);
  EXPECT_EQ(order_.TakeReady(), &c_);
  order_.Leave(b_);
  order_.Leave(c_);
}

TEST_F(BlockWriteOrderTest, WholeBlocksDoNotOvertakeAWaitingPartialWrite) {
  EXPECT_TRUE(Whole(a_, 0, 1));
  EXPECT_FALSE(Part(b_, 0));
  EXPECT_FALSE(Whole(c_, 0, 1)) << "the part would have to wait for this write, too";
  order_.Leave(a_);
  EXPECT_EQ(order_.TakeReady(), &b_);
  order_.Leave(b_);
  EXPECT_EQ(order_.TakeReady(), &c_);
  order_.Leave(c_);
}

TEST_F(BlockWriteOrderTest, WaitingWritesCanBeGivenUp) {
  EXPECT_TRUE(Whole(a_, 0, 1));
  EXPECT_FALSE(Part(b_, 0));
  EXPECT_FALSE(Part(c_, 0));
  EXPECT_TRUE(b_.waits() && c_.waits());
  order_.Leave(b_);
  EXPECT_FALSE(b_.entered());
  EXPECT_EQ(order_.TakeReady(), nullptr) << "c must wait for a, as b did";
  order_.Leave(a_);
  EXPECT_EQ(order_.TakeReady(), &c_);
  order_.Leave(c_);
  order_.Leave(c_);  // does nothing
  EXPECT_TRUE(Part(d_, 0));
  order_.Leave(d_);
}

// Random writes end in random order. A partial write is never under way beside an overlapping
// write, and all writes begin eventually.
TEST_F(BlockWriteOrderTest, NoWriteOverlapsAPartialWriteAndNoneStarves) {
  std::mt19937_64 random(1);
  struct Known {
    Write write;
    uint64_t start = 0, end = 0;
    bool partial = false, running = false;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<Known> writes(40);
    std::set<size_t> inside;
    size_t next = 0;
    const auto run = [&](size_t i) {
      for (const size_t j : inside) {
        if (j == i || !writes[j].running) continue;
        const bool overlap = writes[i].start < writes[j].end && writes[j].start < writes[i].end;
        ASSERT_FALSE(overlap && (writes[i].partial || writes[j].partial));
      }
      writes[i].running = true;
    };
    while (next < writes.size() || !inside.empty()) {
      if (next < writes.size() && random() % 2 == 0) {
        Known& known = writes[next];
        known.start = random() % 6;
        known.end = known.start + 1 + random() % 3;
        known.partial = random() % 3 == 0;
        inside.insert(next);
        if (order_.Enter(known.write, known.start, known.end, known.partial)) run(next);
        ++next;
      } else if (!inside.empty()) {
        std::vector<size_t> candidates;
        for (const size_t i : inside) {
          if (writes[i].running || random() % 8 == 0)
            candidates.push_back(i);  // or is given up while it waits
        }
        if (candidates.empty()) {
          bool any_running = false;
          for (const size_t i : inside) any_running |= writes[i].running;
          ASSERT_TRUE(any_running) << "all writes wait for each other";
          continue;
        }
        const size_t i = candidates[random() % candidates.size()];
        order_.Leave(writes[i].write);
        inside.erase(i);
      }
      while (OrderedWrite* ready = order_.TakeReady()) {
        for (const size_t i : inside) {
          if (&writes[i].write == ready) run(i);
        }
      }
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace virtio
