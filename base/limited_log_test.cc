#include "base/limited_log.h"

#include <string>

#include "gtest/gtest.h"

namespace base {
namespace {

// One place in the source, from which several devices report.
void Report(const std::string& id) { LOG_LIMITED(Error, 3600, id) << id << " failed"; }

TEST(LimitedLog, EachDeviceHasALimitOfItsOwnForTheLifeOfTheProcess) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 1000; ++i) Report("_disk0");
  Report("_disk1");  // must not be hidden by the flood
  for (int i = 0; i < 1000; ++i) Report("_disk1");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "vmm: error: _disk0 failed\nvmm: error: _disk1 failed\n");
}

TEST(LimitedLog, PlacesDoNotHideEachOther) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 10; ++i) {
    LOG_LIMITED(Error, 3600, "_disk0") << "read";
    LOG_LIMITED(Error, 3600, "_disk0") << "write";
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "vmm: error: read\nvmm: error: write\n");
}

TEST(LimitedLog, CountsSuppressedLinesPerDevice) {
  RateLimits limits;
  uint64_t suppressed = 0;
  EXPECT_TRUE(limits.Allow("a", 3600, suppressed));
  EXPECT_FALSE(limits.Allow("a", 3600, suppressed));
  EXPECT_TRUE(limits.Allow("b", 3600, suppressed));
  EXPECT_EQ(suppressed, 0u);
  // A period of 0 s has always passed, so every line is printed.
  RateLimits none;
  EXPECT_TRUE(none.Allow("a", 0, suppressed));
  EXPECT_TRUE(none.Allow("a", 0, suppressed));
  EXPECT_EQ(suppressed, 0u);
}

TEST(LimitedLog, DoesNotEvaluateLinesBelowTheLevel) {
  SetLogLevel(LogLevel::kError);
  int made = 0;
  LOG_LIMITED(Info, 3600, "_disk0") << ++made;
  SetLogLevel(LogLevel::kInfo);
  LOG_LIMITED(Info, 3600, "_disk0") << ++made;
  EXPECT_EQ(made, 1);
}

}  // namespace
}  // namespace base
