#include "virtio/share/share_counters.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <string>

namespace virtio {
namespace {

TEST(ShareCounters, OnlyErrorsThatTheGuestDidNotCauseAreCountedAndLogged) {
  ShareCounters counters = {.id = "_fs0"};
  testing::internal::CaptureStderr();
  for (const HostError error : {HostError(EBADF), HostError(EFBIG), HostError(EINVAL),
                                HostError(EOPNOTSUPP), HostError(EPERM), HostError(ESPIPE)}) {
    counters.NoteError(TransferStep::kWrite, error);
  }
  EXPECT_EQ(counters.host_errors, 0U);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  counters.NoteError(TransferStep::kAllocate, ENOSPC);
  EXPECT_EQ(counters.host_errors, 1U);
  EXPECT_NE(testing::internal::GetCapturedStderr().find(
                "share _fs0: allocation failed: No space left on device; the guest sees the error"),
            std::string::npos);
}

TEST(ShareCounters, EachCounterHasItsName) {
  ShareCounters share = {.id = "_fs0",
                         .read_bytes = 1,
                         .written_bytes = 2,
                         .host_errors = 3,
                         .short_transfers = 4,
                         .retries = 5,
                         .without_room = 6};
  Counters counters;
  share.AddTo(counters);
  EXPECT_EQ(counters, (Counters{{"read_bytes", 1},
                                {"written_bytes", 2},
                                {"host_errors", 3},
                                {"short_transfers", 4},
                                {"retries", 5},
                                {"requests_without_room", 6}}));
}

}  // namespace
}  // namespace virtio
