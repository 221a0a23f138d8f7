#include "virtio/queue/chain.h"

#include <gtest/gtest.h>
#include <sys/uio.h>

#include <string>
#include <vector>

#include "virtio/queue/iovecs.h"
#include "virtio/queue/request_slab.h"

namespace virtio {
namespace {

struct Request : Chain {
  explicit Request(int* made) { ++*made; }
};

TEST(RequestSlabTest, HandsOutEachRequestOnceAndReusesTheLastReleased) {
  auto slab = RequestSlab<Request>::Create(4);
  ASSERT_TRUE(slab.ok());
  int made = 0;
  Request* a = slab->Acquire(&made);
  Request* b = slab->Acquire(&made);
  ASSERT_NE(a, b);
  slab->Release(*a);
  EXPECT_EQ(slab->Acquire(&made), a);
  EXPECT_EQ(made, 2) << "a request is constructed only when none can be reused";
  Request* c = slab->Acquire(&made);
  Request* d = slab->Acquire(&made);
  EXPECT_EQ(slab->Acquire(&made), nullptr);
  EXPECT_EQ(slab->in_use(), 4u);
  for (Request* request : {a, b, c, d}) slab->Release(*request);
  EXPECT_EQ(slab->in_use(), 0u);
}

TEST(RequestSlabTest, CapacityIsBounded) {
  auto slab = RequestSlab<Request>::Create(kMaxQueueSize);
  ASSERT_TRUE(slab.ok());
  EXPECT_EQ(slab->capacity(), kMaxChainSegments);
}

TEST(RequestSlabTest, VisitsRequestsInUse) {
  auto slab = RequestSlab<Request>::Create(4);
  int made = 0;
  Request* a = slab->Acquire(&made);
  Request* b = slab->Acquire(&made);
  slab->Release(*a);
  int visited = 0;
  slab->ForEachInUse([&](Request& request) {
    ++visited;
    EXPECT_EQ(&request, b);
  });
  EXPECT_EQ(visited, 1);
  slab->Release(*b);
}

TEST(IovecsTest, KeepFrontShortensAndConsumeFrontDrops) {
  char bytes[100];
  std::vector<iovec> buffers = {
      {bytes, 10}, {bytes + 20, 0}, {bytes + 30, 10}, {bytes + 40, 10}, {bytes + 60, 0}};
  std::span<iovec> left = buffers;
  KeepFront(left, 25);
  ASSERT_EQ(left.size(), 4U);
  EXPECT_EQ(left[3].iov_len, 5U);
  ConsumeFront(left, 10);
  EXPECT_EQ(left[0].iov_base, bytes + 30) << "the empty buffer is dropped, too";
  std::string pieces;
  ConsumeFront(left, 12, [&](const iovec& piece) {
    pieces += std::to_string(static_cast<char*>(piece.iov_base) - bytes) + "+" +
              std::to_string(piece.iov_len) + " ";
  });
  EXPECT_EQ(pieces, "30+10 40+2 ");
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].iov_base, bytes + 42);
  ConsumeFront(left, 100);
  EXPECT_TRUE(left.empty());
  left = buffers;
  KeepFront(left, 0);
  EXPECT_TRUE(left.empty());
}

}  // namespace
}  // namespace virtio
