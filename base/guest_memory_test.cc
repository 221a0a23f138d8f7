#include "base/guest_memory.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace base {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHigh = uint64_t{4} << 30;
constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

// Has two regions with a hole between them, like RAM below and above 4 GiB.
class GuestMemoryTest : public testing::Test {
 protected:
  std::unique_ptr<GuestMemory> memory_ =
      GuestMemory::Create({}, {{0, 4 * kPage, nullptr}, {kHigh, 2 * kPage, nullptr}}).value();
  uint8_t* low() { return memory_->regions()[0].host; }
  bool Contains(uint64_t start, uint64_t size) {
    return memory_->Contains(GuestRange::Create(start, size).value());
  }
};

TEST(GuestRange, RefusesToWrapAround) {
  EXPECT_FALSE(GuestRange::Create(kMax, 1).has_value());
  EXPECT_FALSE(GuestRange::Create(1, kMax).has_value());
  EXPECT_FALSE(GuestRange::Create(kMax, kMax).has_value());
  const GuestRange last = GuestRange::Create(kMax - 1, 1).value();
  EXPECT_EQ(last.end(), kMax);
  EXPECT_EQ(GuestRange::Create(5, 0)->end(), 5u);
}

TEST(GuestMemory, LargeRegionsStartAtAMultipleOfAHugePage) {
  for (const uint64_t bytes : {kPage, 512 * kPage, 1537 * kPage}) {
    // A single mapping is aligned by chance in one of 512 cases.
    for (int i = 0; i < 4; ++i) {
      const auto memory = GuestMemory::Create({}, {{0, bytes, nullptr}}).value();
      uint8_t* const host = memory->regions()[0].host;
      if (bytes > kPage) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(host) % (512 * kPage), 0u);
      }
      host[0] = host[bytes - 1] = 1;
    }
  }
}

TEST_F(GuestMemoryTest, ContainsWholeRangesOnly) {
  EXPECT_EQ(memory_->total_bytes(), 6 * kPage);
  EXPECT_TRUE(Contains(0, 4 * kPage));
  EXPECT_FALSE(Contains(0, 4 * kPage + 1));
  EXPECT_FALSE(Contains(4 * kPage, 1)) << "the hole";
  EXPECT_FALSE(Contains(4 * kPage - 1, kHigh)) << "over the hole into the next region";
  EXPECT_FALSE(Contains(kHigh - 1, 2));
  EXPECT_TRUE(Contains(kHigh, 2 * kPage));
  EXPECT_FALSE(Contains(kHigh + 2 * kPage, 1));
  EXPECT_FALSE(Contains(kMax, 0));
  EXPECT_TRUE(Contains(4 * kPage, 0)) << "an empty range at the end";
}

TEST_F(GuestMemoryTest, ReadsAndWritesEverySizeAtEveryAlignment) {
  std::array<uint8_t, 40> from, to;
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint8_t>(i + 1);
  for (size_t size = 0; size <= from.size(); ++size) {
    for (uint64_t addr = 100; addr < 117; ++addr) {
      ASSERT_TRUE(memory_->Zero().ok());
      ASSERT_TRUE(memory_->Write(addr, std::span(from).first(size)));
      to.fill(0);
      ASSERT_TRUE(memory_->Read(addr, std::span(to).first(size)));
      ASSERT_TRUE(std::equal(to.begin(), to.begin() + static_cast<ptrdiff_t>(size), from.begin()));
      ASSERT_EQ(low()[addr - 1], 0);
      ASSERT_EQ(low()[addr + size], 0);
    }
  }
}

TEST_F(GuestMemoryTest, RefusesAccessOutsideAndCopiesNothing) {
  std::array<uint8_t, 8> bytes;
  bytes.fill(0xaa);
  for (const uint64_t addr : {4 * kPage - 4, 4 * kPage, kHigh - 4, kHigh + 2 * kPage - 7, kMax,
                              kMax - 3, uint64_t{1} << 63}) {
    EXPECT_FALSE(memory_->Write(addr, bytes)) << addr;
    EXPECT_FALSE(memory_->Read(addr, bytes)) << addr;
    EXPECT_FALSE(memory_->Load<Le64>(addr).has_value()) << addr;
    EXPECT_FALSE(memory_->Store(addr, Le64(1))) << addr;
  }
  EXPECT_EQ(bytes, (std::array<uint8_t, 8>{0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa}));
  EXPECT_EQ(low()[4 * kPage - 1], 0);
}

TEST_F(GuestMemoryTest, LoadsAndStoresWireObjects) {
  struct Wire {
    Le32 a;
    Be16 b;
    uint8_t c[3];
  };
  ASSERT_TRUE(memory_->Store(kHigh + 1, Wire{.a = 0x01020304, .b = 0x0506, .c = {7, 8, 9}}));
  const Wire wire = memory_->Load<Wire>(kHigh + 1).value();
  EXPECT_EQ(wire.a.value(), 0x01020304u);
  EXPECT_EQ(wire.b.value(), 0x0506);
  EXPECT_EQ(wire.c[2], 9);
  EXPECT_EQ(memory_->Load<Le16>(kHigh + 5)->value(), 0x0605);
}

TEST_F(GuestMemoryTest, ArraysAreCheckedOnceForBoundsAndAlignment) {
  const auto array = memory_->Array<uint32_t>(kPage, 1024);
  ASSERT_TRUE(array.has_value());
  EXPECT_TRUE(array->valid());
  EXPECT_EQ(array->count(), 1024u);
  array->Store(1023, 77);
  EXPECT_EQ(array->Load(1023), 77u);
  EXPECT_EQ(memory_->Load<Le32>(2 * kPage - 4)->value(), 77u);
  array->StoreAtomic(3, 5, std::memory_order_release);
  EXPECT_EQ(array->LoadAtomic(3, std::memory_order_acquire), 5u);

  EXPECT_FALSE(memory_->Array<uint32_t>(kPage + 2, 1).has_value()) << "not aligned";
  EXPECT_FALSE(memory_->Array<uint16_t>(kPage + 1, 1).has_value()) << "not aligned";
  EXPECT_FALSE(memory_->Array<uint32_t>(3 * kPage, 1025).has_value());
  EXPECT_FALSE(memory_->Array<uint64_t>(kMax - 7, 2).has_value());
  EXPECT_FALSE(memory_->Array<uint64_t>(0, std::numeric_limits<uint32_t>::max()).has_value());
  EXPECT_FALSE(GuestArray<uint32_t>().valid());
}

TEST_F(GuestMemoryTest, IoVecsPointAtTheSameBytes) {
  const iovec iov = memory_->IoVec(GuestRange::Create(kHigh + 10, 20).value()).value();
  EXPECT_EQ(iov.iov_len, 20u);
  EXPECT_EQ(iov.iov_base, memory_->regions()[1].host + 10);
  static_cast<uint8_t*>(iov.iov_base)[0] = 42;
  EXPECT_EQ(memory_->Load<uint8_t>(kHigh + 10), 42);
  EXPECT_FALSE(memory_->IoVec(GuestRange::Create(4 * kPage - 1, 2).value()).has_value());
}

TEST_F(GuestMemoryTest, ZeroZeroesEverything) {
  ASSERT_TRUE(memory_->Store<uint64_t>(0, 1));
  ASSERT_TRUE(memory_->Store<uint64_t>(kHigh + kPage, 2));
  EXPECT_TRUE(memory_->Zero().ok());
  EXPECT_EQ(memory_->Load<uint64_t>(0), 0u);
  EXPECT_EQ(memory_->Load<uint64_t>(kHigh + kPage), 0u);
}

TEST_F(GuestMemoryTest, FindsTheGuestAddressOfHostAddresses) {
  EXPECT_EQ(memory_->GuestAddressOf(low()), 0u);
  EXPECT_EQ(memory_->GuestAddressOf(low() + 4 * kPage - 1), 4 * kPage - 1);
  EXPECT_EQ(memory_->GuestAddressOf(memory_->regions()[1].host + kPage), kHigh + kPage);
  int elsewhere;
  EXPECT_FALSE(memory_->GuestAddressOf(&elsewhere).has_value());
}

TEST_F(GuestMemoryTest, WordsNeverTearUnderAWriter) {
  // The guest changes an index while the host reads it. The host must see the old or the new index,
  // never a mix.
  std::atomic<bool> stop{false};
  std::thread guest([&] {
    for (uint32_t value = 0; !stop; value = ~value) {
      CopyToGuest(low() + 64, &value, sizeof(value));
    }
  });
  for (int i = 0; i < 100'000; ++i) {
    const uint32_t value = memory_->Load<uint32_t>(64).value();
    ASSERT_TRUE(value == 0 || value == ~0u) << value;
  }
  stop = true;
  guest.join();
}

TEST(GuestMemory, PagesAppearWhenTouchedAndPrefaultTouchesThem) {
  const auto resident_pages = [] {
    FILE* statm = fopen("/proc/self/statm", "r");
    long size = 0, resident = 0;
    EXPECT_EQ(fscanf(statm, "%ld %ld", &size, &resident), 2);
    fclose(statm);
    return resident;
  };
  constexpr uint64_t kBytes = 64 << 20;
  const long before = resident_pages();
  const auto lazy = GuestMemory::Create({}, {{0, kBytes, nullptr}}).value();
  EXPECT_LT(resident_pages() - before, 1000);
  const auto touched = GuestMemory::Create({.prefault = true}, {{0, kBytes, nullptr}}).value();
  // The kernel's count is not exact: each CPU adds its part only from time to time.
  EXPECT_GE(resident_pages() - before, static_cast<long>(kBytes / kPage / 10 * 9));
}

size_t ResidentPages(const GuestMemory& memory) {
  size_t resident = 0;
  for (const GuestMemory::Region& region : memory.regions()) {
    std::vector<unsigned char> pages(region.size_bytes / kPage);
    EXPECT_EQ(mincore(region.host, region.size_bytes, pages.data()), 0);
    for (const unsigned char page : pages) resident += page & 1;
  }
  return resident;
}

TEST(GuestMemory, ZeroPopulatesPrefaultedPagesAgain) {
  constexpr uint64_t kPages = 1024;
  for (const bool prefault : {false, true}) {
    const auto memory = GuestMemory::Create({.thp = false, .prefault = prefault},
                                            {{0, kPages * kPage, nullptr}, {kHigh, kPage, nullptr}})
                            .value();
    const size_t wanted = prefault ? kPages + 1 : 0;
    EXPECT_EQ(ResidentPages(*memory), wanted);
    ASSERT_TRUE(memory->Store<uint64_t>(kPage, 1));
    ASSERT_TRUE(memory->Zero().ok());
    EXPECT_EQ(ResidentPages(*memory), wanted);
    EXPECT_EQ(memory->Load<uint64_t>(kPage), 0u);
  }
}

TEST(GuestMemory, ZeroFailsIfPagesCannotBeGivenBack) {
  const auto memory = GuestMemory::Create({}, {{0, 16 * kPage, nullptr}}).value();
  // Locked pages cannot be given back. The test does not call mlock(), because the runtime of a
  // sanitizer replaces it with a function that does nothing.
  ASSERT_EQ(syscall(SYS_mlock, memory->regions()[0].host, kPage), 0);
  const absl::Status status = memory->Zero();
  EXPECT_EQ(status.message(),
            "memory: cannot give back 0 MiB of guest RAM: Invalid argument (EINVAL)");
  ASSERT_EQ(syscall(SYS_munlock, memory->regions()[0].host, kPage), 0);
  EXPECT_TRUE(memory->Zero().ok());
}

// Huge pages of the default size: how many the pool has, and how many another program could take.
struct HugePages {
  uint64_t total = 0, unreserved = 0, bytes = 0;

  static HugePages Read() {
    std::ifstream file("/proc/meminfo");
    HugePages result;
    std::string key, line;
    uint64_t free = 0, reserved = 0;
    for (uint64_t value; file >> key >> value; std::getline(file, line)) {
      if (key == "HugePages_Total:") result.total = value;
      if (key == "HugePages_Free:") free = value;
      if (key == "HugePages_Rsvd:") reserved = value;
      if (key == "Hugepagesize:") result.bytes = value << 10;
    }
    result.unreserved = free - reserved;
    return result;
  }
  static void SetTotal(uint64_t total) { std::ofstream("/proc/sys/vm/nr_hugepages") << total; }
};

TEST(GuestMemory, HugePagesStayReservedAfterZero) {
  constexpr uint64_t kPages = 4;
  const HugePages before = HugePages::Read();
  if (before.unreserved < kPages) HugePages::SetTotal(before.total + kPages);
  const uint64_t bytes = kPages * before.bytes;
  for (const bool prefault : {false, true}) {
    const HugePages available = HugePages::Read();
    if (available.unreserved < kPages) GTEST_SKIP() << "no huge pages are available";
    auto memory =
        GuestMemory::Create({.prefault = prefault, .hugepages = true}, {{0, bytes, nullptr}})
            .value();
    EXPECT_EQ(HugePages::Read().unreserved, available.unreserved - kPages);
    // The guest has used two of them.
    ASSERT_TRUE(memory->Store<uint64_t>(0, ~uint64_t{0}));
    ASSERT_TRUE(memory->Store<uint64_t>(bytes - 8, ~uint64_t{0}));
    ASSERT_TRUE(memory->Zero().ok());
    EXPECT_EQ(HugePages::Read().unreserved, available.unreserved - kPages)
        << "another program could take the guest's pages";
    EXPECT_EQ(ResidentPages(*memory), (prefault ? kPages : 2) * before.bytes / kPage);
    EXPECT_EQ(memory->Load<uint64_t>(0), 0u);
    EXPECT_EQ(memory->Load<uint64_t>(bytes - 8), 0u);
  }
  if (before.unreserved < kPages) HugePages::SetTotal(before.total);
}

TEST(GuestMemory, CreateSaysWhichSizeCouldNotBeMapped) {
  const auto memory = GuestMemory::Create({}, {{0, uint64_t{1} << 50, nullptr}});
  ASSERT_FALSE(memory.ok());
  EXPECT_EQ(memory.status().message(),
            "memory: cannot map 1073741824 MiB of guest RAM: Cannot allocate memory (ENOMEM); "
            "lower memory.size, or raise the limit (ulimit -v, LimitAS=)");
}

TEST(GuestMemory, CreateFailsIfHugePagesAreMissing) {
  const auto memory = GuestMemory::Create({.hugepages = true}, {{0, uint64_t{1} << 46, nullptr}});
  ASSERT_FALSE(memory.ok());
  const std::string message(memory.status().message());
  EXPECT_THAT(message, testing::StartsWith("memory.hugepages: cannot reserve 67108864 MiB"));
  EXPECT_THAT(message, testing::EndsWith("; raise nr_hugepages of that size in "
                                         "/sys/kernel/mm/hugepages"));
}

}  // namespace
}  // namespace base
