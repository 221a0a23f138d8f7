#include "base/turn_budget.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <chrono>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "base/testing/uring_event_loop_fixtures.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_event_loop.h"
#include "tests/fakes/operation_recorder.h"

namespace base {
namespace {

using namespace std::chrono_literals;  // NOLINT: the times of this test

class Hook final : public TurnHook {
 public:
  explicit Hook(std::function<void()> f) : f_(std::move(f)) {}
  void OnTurnEnd() override { f_(); }

 private:
  std::function<void()> f_;
};

TEST(TurnBudget, IsSpentByStepsEvenIfNoTimePasses) {
  FakeEventLoop loop;
  TurnBudget& budget = loop.turn_budget();
  budget.Renew();
  budget.Spend(TurnBudget::kSteps - 1);
  EXPECT_FALSE(budget.Spent());
  budget.Spend(1);
  EXPECT_TRUE(budget.Spent());
  budget.Spend(UINT32_MAX);
  EXPECT_TRUE(budget.Spent()) << "the count must not wrap";
  budget.Renew();
  EXPECT_FALSE(budget.Spent());
}

TEST(TurnBudget, IsSpentByTimeEvenAfterFewSteps) {
  FakeEventLoop loop;
  TurnBudget& budget = loop.turn_budget();
  budget.Renew();
  EXPECT_FALSE(budget.Spent());
  loop.Elapse(TurnBudget::kTime);
  EXPECT_FALSE(budget.Spent()) << "the clock is not read for each step";
  budget.Spend(TurnBudget::kStepsPerLook);
  EXPECT_TRUE(budget.Spent());
  budget.Renew();
  EXPECT_FALSE(budget.Spent());
}

TEST(TurnBudget, CountsTheTimeFromTheFirstHostCall) {
  FakeEventLoop loop;
  TurnBudget& budget = loop.turn_budget();
  budget.Renew();
  budget.SpendHostCall();
  loop.Elapse(TurnBudget::kTime - 1ns);
  EXPECT_FALSE(budget.Spent());
  budget.SpendHostCall();
  loop.Elapse(1ns);
  EXPECT_TRUE(budget.Spent());
}

// A hook that spends the budget goes to the end of the line, so no hook waits for more than one
// turn of each other hook.
TEST(TurnBudget, HooksThatSpendTheBudgetTakeTurns) {
  FakeEventLoop loop;
  std::string order;
  std::deque<Hook> hooks;
  for (const char name : {'a', 'b', 'c'}) {
    hooks.emplace_back([&, name, self = hooks.size()] {
      order += name;
      loop.turn_budget().Spend(TurnBudget::kSteps);
      if (order.size() < 9) loop.AtTurnEnd(hooks[self]);
    });
  }
  for (Hook& hook : hooks) loop.AtTurnEnd(hook);
  for (size_t turn = 1; turn <= 9; ++turn) {
    loop.Post([&] { order += '.'; });
    loop.RunTurn();
  }
  loop.RunUntilIdle();
  EXPECT_EQ(order.substr(0, 12), ".a.b.c.a.b.c");
}

class TurnBudgetOfARing : public UringEventLoopFixture {};
INSTANTIATE_TEST_SUITE_P(Files, TurnBudgetOfARing, testing::Bool(), FixtureName);

TEST_P(TurnBudgetOfARing, HooksThatSpendTheBudgetAlternateWithPostedFunctions) {
  std::string order;
  std::deque<Hook> hooks;
  std::function<void()> post = [&] {
    order += '.';
    if (order.size() < 12) return loop_->Post(post);
    loop_->Stop();
  };
  for (const char name : {'a', 'b', 'c'}) {
    hooks.emplace_back([&, name, self = hooks.size()] {
      order += name;
      loop_->turn_budget().Spend(TurnBudget::kSteps);
      loop_->AtTurnEnd(hooks[self]);
    });
  }
  for (Hook& hook : hooks) loop_->AtTurnEnd(hook);
  loop_->Post(post);
  Run();
  EXPECT_EQ(order.substr(0, 12), ".a.b.c.a.b.c");
}

// The completions that do not fit into a turn's budget run in the next turn, which does not sleep.
// A posted function runs in between.
TEST_P(TurnBudgetOfARing, CompletionsThatSpendTheBudgetAlternateWithPostedFunctions) {
  const UniqueFd fd = TemporaryFile("abc");
  const LoopFile file = Add(fd);
  std::deque<OperationRecorder> reads(5);
  std::string order;
  char byte;
  iovec to = {&byte, 1};
  for (OperationRecorder& op : reads) {
    op.then = [&] {
      order += 'r';
      loop_->turn_budget().Spend(TurnBudget::kSteps);
      loop_->Post([&] {
        order += '.';
        if (order.size() == 2 * reads.size()) loop_->Stop();
      });
    };
    loop_->ReadV(op, file, std::span(&to, 1), 0);
  }
  Run();
  EXPECT_EQ(order, "r.r.r.r.r.");
}

}  // namespace
}  // namespace base
