// An operation that records how it completed, and functions for files that its tests need.
#ifndef TESTS_FAKES_OPERATION_RECORDER_H_
#define TESTS_FAKES_OPERATION_RECORDER_H_

#include <sys/mman.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace base {

struct OperationRecorder final : Operation {
  void OnComplete(int32_t result) override {
    results.push_back(result);
    pending_in_callback = pending();
    if (then) then();
  }
  std::vector<int32_t> results;
  bool pending_in_callback = false;
  std::function<void()> then;
};

// Returns an unnamed file with `content`. Its position is at the end.
inline UniqueFd TemporaryFile(const std::string& content = "") {
  UniqueFd fd(memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  return fd;
}

inline void SignalEventFd(const UniqueFd& eventfd) {
  const uint64_t one = 1;
  ASSERT_EQ(write(eventfd.get(), &one, sizeof(one)), 8);
}

}  // namespace base

#endif  // TESTS_FAKES_OPERATION_RECORDER_H_
