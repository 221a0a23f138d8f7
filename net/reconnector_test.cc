#include "net/reconnector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <vector>

namespace net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

TEST(BackOffTest, PausesDoubleUpToFiveSeconds) {
  BackOff back_off;
  std::vector<long> pauses;
  for (int i = 0; i < 8; ++i) pauses.push_back(back_off.Next({}).count());
  EXPECT_THAT(pauses, ElementsAre(100, 200, 400, 800, 1600, 3200, 5000, 5000));
}

TEST(BackOffTest, OnlyAConnectionThatLastedBeginsAnew) {
  BackOff back_off;
  for (int i = 0; i < 3; ++i) back_off.Next({});
  EXPECT_EQ(back_off.Next(BackOff::kGood - milliseconds(1)), milliseconds(800));
  EXPECT_EQ(back_off.Next(BackOff::kGood), milliseconds(100));
  EXPECT_EQ(back_off.Next({}), milliseconds(200));
}

// Counts attempts. The first `failures` of them fail.
struct Attempts {
  explicit Attempts(int failures) : failures_left(failures) {}

  Reconnector::Functions Functions() {
    return {.open = [this]() -> absl::StatusOr<base::UniqueFd> {
              if (failures_left-- > 0) return absl::UnavailableError("nobody is there");
              return base::UniqueFd(eventfd(0, EFD_CLOEXEC));
            },
            .opened =
                [this](base::UniqueFd fd) {
                  EXPECT_TRUE(fd.valid());
                  opened.set_value();
                },
            .failed =
                [this](const absl::Status& status) {
                  EXPECT_EQ(status.message(), "nobody is there");
                  ++failed;
                }};
  }

  std::atomic<int> failures_left;
  std::atomic<int> failed = 0;
  std::promise<void> opened;
};

TEST(ReconnectorTest, TriesUntilThereIsAConnection) {
  Attempts attempts(2);
  const auto reconnector = Reconnector::Start(attempts.Functions());
  ASSERT_TRUE(reconnector.ok());
  (*reconnector)->loss().Report();
  ASSERT_EQ(attempts.opened.get_future().wait_for(seconds(30)), std::future_status::ready);
  EXPECT_EQ(attempts.failed, 2);
}

TEST(ReconnectorTest, EndsWhileItTries) {
  Attempts attempts(1 << 30);
  auto reconnector = Reconnector::Start(attempts.Functions());
  ASSERT_TRUE(reconnector.ok());
  const Reconnector::Loss loss = (*reconnector)->loss();
  loss.Report();
  while (attempts.failed == 0) std::this_thread::yield();
  reconnector->reset();
  const int failed = attempts.failed;
  loss.Report();  // nobody listens any more
  EXPECT_EQ(attempts.failed, failed);
}

TEST(ReconnectorTest, EndsWithoutALoss) {
  Attempts attempts(0);
  ASSERT_TRUE(Reconnector::Start(attempts.Functions()).ok());
}

}  // namespace
}  // namespace net
