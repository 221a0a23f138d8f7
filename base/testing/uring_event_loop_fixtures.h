// A fixture for the tests of the event loop: a loop with files in the ring's table, or with plain
// descriptors.
#ifndef BASE_TESTING_URING_EVENT_LOOP_FIXTURES_H_
#define BASE_TESTING_URING_EVENT_LOOP_FIXTURES_H_

#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "base/uring_event_loop.h"
#include "gtest/gtest.h"
#include "tests/fakes/operation_recorder.h"

namespace base {

// The parameter says whether files are in the ring's table.
class UringEventLoopFixture : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    UringEventLoop::Options options;
    options.fixed_files = GetParam();
    auto loop = UringEventLoop::Create(options);
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = std::move(*loop);
  }
  LoopFile Add(const UniqueFd& fd) { return loop_->AddFile(fd.get()).value(); }
  // Runs the loop until `op` has completed `count` times. Fails after 5 s.
  void RunUntil(OperationRecorder& op, size_t count = 1) {
    op.then = [this, &op, count] {
      if (op.results.size() >= count) loop_->Stop();
    };
    Run();
  }
  // Runs the loop until each of `ops` has completed.
  void RunUntilAll(std::initializer_list<OperationRecorder*> ops) {
    size_t left = ops.size();
    for (OperationRecorder* op : ops) {
      op->then = [this, &left] {
        if (--left == 0) loop_->Stop();
      };
    }
    Run();
  }
  void Run() {
    loop_->Timeout(deadline_, std::chrono::seconds(5));
    deadline_.then = [this] {
      ADD_FAILURE() << "nothing happened for 5 s";
      loop_->Stop();
    };
    loop_->Run();
  }

  std::unique_ptr<UringEventLoop> loop_;
  OperationRecorder deadline_;
};

inline std::string FixtureName(const testing::TestParamInfo<bool>& value) {
  return value.param ? "Fixed" : "Plain";
}

}  // namespace base

#endif  // BASE_TESTING_URING_EVENT_LOOP_FIXTURES_H_
