#include "virtio/queue/chain.h"

#include <gtest/gtest.h>

#include "virtio/queue/request_slab.h"

namespace virtio {
namespace {

struct Request : Chain {
  explicit Request(int* made) { ++*made; }
};

TEST(RequestSlabTest, GivesOutEachRequestOnceAndReusesTheLast) {
  auto slab = RequestSlab<Request>::Create(4);
  ASSERT_TRUE(slab.ok());
  int made = 0;
  Request* a = slab->Acquire(&made);
  Request* b = slab->Acquire(&made);
  ASSERT_NE(a, b);
  slab->Release(*a);
  EXPECT_EQ(slab->Acquire(&made), a);
  EXPECT_EQ(made, 2) << "made when first needed";
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

}  // namespace
}  // namespace virtio
