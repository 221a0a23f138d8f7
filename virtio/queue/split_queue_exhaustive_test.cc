// Compares SplitQueue with a model written from the specification, for every descriptor table that
// the search below can reach: same verdict, same bytes, same order, no access outside RAM, no
// endless walk.
//
// Only descriptors that can be reached from the head matter. The search therefore walks the chain
// as a device would and branches only on the descriptor that it has reached: flags {NEXT, WRITE,
// INDIRECT} x next x length {0, 1, max} x address {RAM, hole, wrap}, up to size + 1 descriptors, at
// index 0 and 65535, with 0 to size + 1 chains made available. A descriptor for which the chain is
// refused is tried with every next, but the descriptors behind it are not varied, since the device
// does not read them. The sizes are 1, 2 and 4 (3 is not a queue size). Size 4 with an indirect
// table, and builds with sanitizers, use fewer lengths and addresses. The test prints how many
// chains it has tried.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>
#include <span>
#include <vector>

#include "base/log.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/queue/split_queue.h"

namespace virtio {
namespace {

constexpr uint64_t kRamBytes = 4 << 20;
constexpr uint64_t kTable = 0x20000;  // the indirect table
constexpr uint64_t kGood = 0x30000;
constexpr uint64_t kHole = kRamBytes;
constexpr uint64_t kWrap = 0xffffffffffffffff;
constexpr uint32_t kMaxLength = 0xffffffff;

struct Choices {
  std::vector<uint16_t> flags;
  std::vector<uint32_t> lens;
  std::vector<uint64_t> addrs;
};

// What the specification says about a chain. Written independently of the device's code.
struct Verdict {
  bool ok = false;
  std::vector<FakeDriver::Buffer> readable;
  std::vector<FakeDriver::Buffer> writable;
};

using Table = std::vector<FakeDriver::Descriptor>;

bool InRam(uint64_t addr, uint64_t len) { return addr < kRamBytes && len <= kRamBytes - addr; }

// `entry`: the descriptors of both tables, [0] the queue's own, [1] the indirect one.
Verdict Judge(const std::array<Table, 2>& entry, uint16_t head, uint16_t size, bool indirect_ok) {
  Verdict verdict;
  size_t table = 0;
  uint32_t index = head;
  uint64_t total = 0;
  uint32_t buffers = 0;
  while (true) {
    if (index >= entry[table].size()) return {};
    const FakeDriver::Descriptor& d = entry[table][index];
    const bool next = (d.flags & 1) != 0;
    const bool write = (d.flags & 2) != 0;
    if ((d.flags & 4) != 0) {
      if (!indirect_ok || table == 1 || next) return {};
      if (d.len == 0 || d.len % 16 != 0 || !InRam(d.addr, d.len)) return {};
      CHECK(d.addr == kTable && d.len == 16 * entry[1].size());
      table = 1;
      index = 0;
      continue;
    }
    if (++buffers > size) return {};
    if (!write && !verdict.writable.empty()) return {};
    total += d.len;
    if (total > 0xffffffff) return {};
    if (d.len > 0 && !InRam(d.addr, d.len)) return {};
    (write ? verdict.writable : verdict.readable).push_back({d.addr, d.len});
    if (!next) break;
    index = d.next;
  }
  verdict.ok = true;
  return verdict;
}

class Search {
 public:
  Search(uint16_t size, bool indirect, uint16_t start)
      : size_(size),
        indirect_(indirect),
        start_(start),
        driver_(*memory_, {.size = size}),
        storage_(size) {
    chain_.SetStorage(storage_);
    tables_[0].resize(size);
    set_[0].resize(size);
    tables_[1].resize(size);
    set_[1].resize(size);
  }

  // Tries all chains from every head. Returns the number of chains.
  uint64_t Run(const Choices& choices) {
    choices_ = choices;
    for (uint16_t head = 0; head <= size_; ++head) {  // size itself is out of range
      head_ = head;
      for (uint16_t slot = 0; slot < size_; ++slot) driver_.SetAvailEntry(slot, head);
      Extend(0, head, {});
      if (testing::Test::HasFailure()) break;
    }
    return tried_;
  }

 private:
  // What matters of the descriptors chosen so far.
  struct Prefix {
    uint32_t buffers = 0;
    bool writable = false;
  };

  // The chain so far leads to descriptor `index` of `table`. Tries every value for this descriptor,
  // unless the descriptor has a value already (a loop) or does not exist.
  void Extend(size_t table, uint32_t index, Prefix prefix) {
    if (index >= tables_[table].size() || set_[table][index]) return Try();
    set_[table][index] = true;
    for (const uint16_t flags : choices_.flags) {
      for (const uint32_t len : choices_.lens) {
        for (const uint64_t addr : choices_.addrs) {
          Choose(table, index, prefix, {addr, len, flags, 0});
          if (testing::Test::HasFailure()) return;
        }
      }
    }
    set_[table][index] = false;
  }

  void Choose(size_t table, uint32_t index, Prefix prefix, FakeDriver::Descriptor d) {
    if ((d.flags & 4) != 0) {
      // The descriptor refers to a table: an empty one, one of valid length (in RAM or not), or one
      // of invalid length.
      if (d.len == 1) d.len = 16u * size_;
      if (d.len == kMaxLength) d.len = 24;
      if (d.addr == kGood) d.addr = kTable;
    }
    const bool enters_table =
        (d.flags & 5) == 4 && indirect_ && table == 0 && d.len == 16u * size_ && d.addr == kTable;
    const bool refused = !enters_table && Refuses(prefix, d);
    const uint16_t last_next = (d.flags & 1) != 0 ? size_ : 0;
    for (d.next = 0; d.next <= last_next; ++d.next) {
      tables_[table][index] = d;
      Write(table, index, d);
      if (enters_table) {
        Extend(1, 0, prefix);
      } else if (refused || (d.flags & 1) == 0) {
        Try();
      } else {
        const Prefix longer = {prefix.buffers + 1, prefix.writable || (d.flags & 2) != 0};
        Extend(table, d.next, longer);
      }
      if (testing::Test::HasFailure()) return;
    }
  }

  // True if every chain that continues with `d` is refused.
  bool Refuses(Prefix prefix, const FakeDriver::Descriptor& d) const {
    return (d.flags & 4) != 0 || prefix.buffers == size_ ||
           (prefix.writable && (d.flags & 2) == 0) || (d.len > 0 && !InRam(d.addr, d.len));
  }

  void Write(size_t table, uint32_t index, const FakeDriver::Descriptor& d) {
    if (table == 0) {
      driver_.WriteDescriptor(static_cast<uint16_t>(index), d);
    } else {
      driver_.WriteDescriptorAt(kTable + 16 * uint64_t{index}, d);
    }
  }

  void Try() {
    ++tried_;
    const Verdict want = head_ < size_ ? Judge(tables_, head_, size_, indirect_) : Verdict();
    for (uint16_t delta = first_delta_; delta <= last_delta_; ++delta) TryAvailable(delta, want);
  }

  // All of the `delta` ring entries refer to the same chain.
  void TryAvailable(uint16_t delta, const Verdict& want) {
    QueueError error;
    const auto queue = SplitQueue::Create(
        *memory_, {size_, driver_.descriptor_table(), driver_.driver_area(), driver_.device_area()},
        {.event_idx = false, .indirect = indirect_}, error);
    queue->set_positions({start_, start_});
    driver_.SetAvailIndex(static_cast<uint16_t>(start_ + delta));
    const bool ok = want.ok && delta <= size_;
    for (uint16_t popped = 0; popped < delta; ++popped) {
      const SplitQueue::PopResult result = queue->Pop(chain_);
      ASSERT_EQ(result == SplitQueue::PopResult::kChain, ok) << ToString(queue->error());
      if (!ok) {
        ASSERT_EQ(result, SplitQueue::PopResult::kBroken);
        return;
      }
      Compare(chain_.readable(), want.readable);
      Compare(chain_.writable(), want.writable);
      queue->PushUsed(chain_, 0);
    }
    ASSERT_EQ(queue->Pop(chain_), SplitQueue::PopResult::kEmpty);
  }

  void Compare(std::span<const iovec> got, const std::vector<FakeDriver::Buffer>& want) {
    size_t i = 0;
    for (const FakeDriver::Buffer& buffer : want) {
      if (buffer.len == 0) continue;
      ASSERT_LT(i, got.size());
      ASSERT_EQ(memory_->GuestAddressOf(got[i].iov_base), buffer.addr);
      ASSERT_EQ(got[i].iov_len, buffer.len);
      ++i;
    }
    ASSERT_EQ(i, got.size());
  }

  const uint16_t size_;
  const bool indirect_;
  const uint16_t start_;
  // Tries every number of available chains for the sizes that leave time for it.
  const uint16_t first_delta_ = size_ == 4 ? 1 : 0;
  const uint16_t last_delta_ = size_ == 4 ? uint16_t{1} : static_cast<uint16_t>(size_ + 1);
  std::unique_ptr<base::GuestMemory> memory_ =
      *base::GuestMemory::Create({.thp = false}, {{0, kRamBytes, nullptr}});
  FakeDriver driver_;
  std::vector<iovec> storage_;
  Chain chain_;
  Choices choices_;
  uint16_t head_ = 0;
  std::array<Table, 2> tables_;
  std::array<std::vector<bool>, 2> set_;
  uint64_t tried_ = 0;
};

const std::vector<uint16_t> kFlags = {0, 1, 2, 3, 4, 5, 6, 7};
const Choices kAll = {kFlags, {0, 1, kMaxLength}, {kGood, kHole, kWrap}};
const Choices kFew = {kFlags, {0, 1}, {kGood, kWrap}};

#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__) || \
    HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer)
constexpr bool kSlow = true;  // about ten times slower
#else
constexpr bool kSlow = false;
#endif

TEST(SplitQueueExhaustiveTest, ChainsAreServedAsTheModelSays) {
  struct Case {
    uint16_t size;
    bool indirect;
    const Choices& choices;
    const char* name;
  };
  const Choices& large = kSlow ? kFew : kAll;
  const Case cases[] = {
      {1, false, kAll, "all"}, {1, true, kAll, "all"},    {2, false, kAll, "all"},
      {2, true, kAll, "all"},  {4, false, large, "most"}, {4, true, kFew, "few"},
  };
  for (const Case& c : cases) {
    if (kSlow && c.size == 4 && c.indirect) continue;
    for (const uint16_t start : {uint16_t{0}, uint16_t{0xffff}}) {
      if (start == 0 && c.size == 4 && c.indirect) continue;  // index 65535 is enough
      Search search(c.size, c.indirect, start);
      const uint64_t tried = search.Run(c.choices);
      std::printf("size %u, indirect %d, choices %s, index %u: %llu chains\n", c.size, c.indirect,
                  c.name, start, static_cast<unsigned long long>(tried));
      ASSERT_FALSE(HasFailure());
    }
  }
}

// Tries every avail index that a driver can write, at both ends of the index's range.
TEST(SplitQueueExhaustiveTest, AvailIndicesUpToTheQueueSizeAreAccepted) {
  auto memory = *base::GuestMemory::Create({.thp = false}, {{0, kRamBytes, nullptr}});
  for (const uint16_t size : {uint16_t{1}, uint16_t{2}, uint16_t{4}}) {
    FakeDriver driver(*memory, {.size = size});
    for (uint16_t i = 0; i < size; ++i) {
      driver.WriteDescriptor(i, {kGood, 2, 0, 0});
      driver.SetAvailEntry(i, i);
    }
    for (const uint16_t start : {uint16_t{0}, uint16_t{0xffff}}) {
      for (uint32_t delta = 0; delta <= 0xffff; ++delta) {
        QueueError error;
        auto queue = SplitQueue::Create(
            *memory, {size, driver.descriptor_table(), driver.driver_area(), driver.device_area()},
            {}, error);
        queue->set_positions({start, start});
        driver.SetAvailIndex(static_cast<uint16_t>(start + delta));
        std::array<iovec, 4> storage;
        std::array<Chain, 5> chains;
        uint32_t popped = 0;
        SplitQueue::PopResult result;
        while (true) {
          chains[popped].SetStorage(storage);
          result = queue->Pop(chains[popped]);
          if (result != SplitQueue::PopResult::kChain) break;
          ASSERT_LT(++popped, chains.size());
        }
        ASSERT_EQ(popped, delta <= size ? delta : 0);
        ASSERT_EQ(result,
                  delta <= size ? SplitQueue::PopResult::kEmpty : SplitQueue::PopResult::kBroken);
      }
    }
  }
}

}  // namespace
}  // namespace virtio
