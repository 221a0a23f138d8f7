#include "base/lazy_memory.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "base/thread.h"

namespace base {
namespace {

// Returns the line of /proc/self/smaps that begins with `key`, of the mapping of `address`.
std::string SmapsLine(const void* address, const std::string& key) {
  std::ifstream smaps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long start, end;
    if (sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) {
      inside = start <= wanted && wanted < end;
    } else if (inside && line.starts_with(key)) {
      return line;
    }
  }
  return "";
}

TEST(LazyMemoryTest, OneTouchMakesOnePageResident) {
  constexpr size_t kBytes = 8 << 20;  // covers whole huge pages wherever it lies
  auto* const memory = static_cast<uint8_t*>(MapLazily(kBytes));
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(memory[kBytes - 1], 0);
  memory[kBytes / 2] = 1;
  EXPECT_EQ(SmapsLine(memory, "Anonymous:"), "Anonymous:             4 kB");
  EXPECT_NE(SmapsLine(memory, "VmFlags:").find(" nh"), std::string::npos) << "no huge pages";
  munmap(memory, kBytes);
}

TEST(LazyMemoryTest, MoreThanThereIsIsRefused) { EXPECT_EQ(MapLazily(size_t{1} << 62), nullptr); }

TEST(LazyMemoryTest, StacksOfThreadsAreTooSmallForHugePages) {
  size_t bytes = 0;
  auto thread = StartThread("test", [&bytes] {
    pthread_attr_t attributes;
    void* start;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &start, &bytes);
    pthread_attr_destroy(&attributes);
  });
  ASSERT_TRUE(thread.ok());
  thread->join();
  EXPECT_GE(bytes, size_t{512} << 10);
  EXPECT_LT(bytes, size_t{2} << 20);
}

}  // namespace
}  // namespace base
