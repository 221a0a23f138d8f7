#include "base/gather.h"

#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

namespace base {
namespace {

TEST(GatherTest, RunsDoneWhenTheLastOperationHasEnded) {
  int runs = 0;
  std::optional<Gather> gather([&] { ++runs; });
  Gather::Done first = gather->Add();
  Gather::Done second = gather->Add();
  first();
  gather.reset();
  EXPECT_EQ(runs, 0);
  second();
  EXPECT_EQ(runs, 1);
}

TEST(GatherTest, DoesNotRunDoneBeforeAllOperationsAreAdded) {
  int runs = 0;
  {
    Gather gather([&] { ++runs; });
    gather.Add()();  // the operation ends at once
    EXPECT_EQ(runs, 0);
    gather.Add()();
    EXPECT_EQ(runs, 0);
  }
  EXPECT_EQ(runs, 1);
}

TEST(GatherTest, RunsDoneAtOnceWithoutOperations) {
  int runs = 0;
  {
    Gather gather([&] { ++runs; });
  }
  EXPECT_EQ(runs, 1);
}

TEST(GatherTest, NeverRunsDoneIfAnOperationIsGivenUp) {
  int runs = 0;
  {
    Gather gather([&] { ++runs; });
    gather.Add()();
    gather.Add();  // destroyed without a call
  }
  EXPECT_EQ(runs, 0);
}

TEST(GatherTest, RunsDoneOnceIfOperationsEndOnManyThreads) {
  int sum = 0;
  std::vector<std::thread> threads;
  std::vector<int> parts(8, 0);
  {
    Gather gather([&] {
      for (const int part : parts) sum += part;
    });
    for (int& part : parts) {
      threads.emplace_back([&part, done = gather.Add()]() mutable {
        part = 1;
        done();
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 8);
}

}  // namespace
}  // namespace base
