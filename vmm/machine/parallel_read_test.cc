#include "vmm/machine/parallel_read.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

// A file of 32-bit numbers that count up.
base::UniqueFd MakeFile(size_t bytes) {
  std::vector<uint32_t> numbers(bytes / 4);
  std::iota(numbers.begin(), numbers.end(), 0);
  base::UniqueFd fd(memfd_create("reads", MFD_CLOEXEC));
  EXPECT_EQ(write(fd.get(), numbers.data(), bytes), static_cast<ssize_t>(bytes));
  return fd;
}

uint32_t NumberAt(const std::vector<uint8_t>& bytes, size_t offset) {
  uint32_t number;
  memcpy(&number, &bytes[offset], sizeof(number));
  return number;
}

class ParallelReadTest : public testing::TestWithParam<unsigned> {};

TEST_P(ParallelReadTest, FillsEveryByteOfEveryReadAndNoOther) {
  constexpr size_t kFileBytes = 24 << 20;
  const base::UniqueFd file = MakeFile(kFileBytes);
  std::vector<uint8_t> memory(32 << 20, 0xEE);
  // The reads do not start or end at boundaries of pages or chunks, and one is empty.
  const std::span<uint8_t> first = std::span(memory).subspan(4096 + 12, (9 << 20) + 20);
  const std::span<uint8_t> second = std::span(memory).subspan(20 << 20, 8);
  const FileRead reads[] = {{file.get(), 400, first, "first"},
                            {file.get(), 0, {}, "empty"},
                            {file.get(), kFileBytes - 8, second, "second"}};
  ASSERT_TRUE(ReadInParallel(reads, GetParam()).ok());
  size_t wrong = 0;
  for (size_t i = 0; i < first.size(); i += 4) {
    wrong += NumberAt(memory, 4096 + 12 + i) != (400 + i) / 4;
  }
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(NumberAt(memory, 20 << 20), (kFileBytes - 8) / 4);
  const auto untouched = [&memory](size_t from, size_t to) {
    return std::all_of(memory.data() + from, memory.data() + to,
                       [](uint8_t byte) { return byte == 0xEE; });
  };
  EXPECT_TRUE(untouched(0, 4096 + 12));
  EXPECT_TRUE(untouched(4096 + 12 + first.size(), 20 << 20));
  EXPECT_TRUE(untouched((20 << 20) + 8, memory.size()));
}

TEST_P(ParallelReadTest, NamesTheReadWhoseFileIsTooShort) {
  const base::UniqueFd file = MakeFile(8 << 20);
  std::vector<uint8_t> memory(16 << 20);
  const FileRead reads[] = {
      {file.get(), 0, std::span(memory).first(4 << 20), "payload.kernel: good"},
      {file.get(), 0, std::span(memory).subspan(4 << 20), "payload.initramfs: short"}};
  EXPECT_EQ(ReadInParallel(reads, GetParam()).message(),
            "payload.initramfs: short: the file became shorter while it was read");
}

TEST_P(ParallelReadTest, NamesTheReadThatFails) {
  std::vector<uint8_t> memory(8 << 20);
  const FileRead reads[] = {{-1, 0, memory, "payload.kernel: bad"}};
  EXPECT_EQ(ReadInParallel(reads, GetParam()).message(),
            "payload.kernel: bad: cannot read: Bad file descriptor (EBADF)");
}

INSTANTIATE_TEST_SUITE_P(Threads, ParallelReadTest, testing::Values(1u, 2u, 4u));

}  // namespace
}  // namespace vmm
