// Every descriptor table, as far as its size allows, against a model written from the
// specification: same verdict, same bytes, same order, no access outside RAM, no endless walk.
//
// What can be reached from the head decides, so the search walks the chain as a device would and
// branches only on the descriptor it has reached: flags {NEXT, WRITE, INDIRECT} x next x length {0,
// 2, max} x address {RAM, hole, wrap}. Sizes 1 and 2 are done wholly; size 4 (3 is no queue size)
// with fewer values of what does not interact with the shape, with an indirect table only if
// VMM_FULL_CHECK is set. The test prints how far it went.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <cstdio>
#include <vector>

#include "base/log.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/queue/split_queue.h"

namespace virtio {
namespace {

constexpr uint64_t kRamBytes = 4 << 20;
constexpr uint64_t kTable = 0x20000;  // the indirect table

struct Choices {
  std::vector<uint16_t> flags;
  std::vector<uint32_t> lens;
  std::vector<uint64_t> addrs;
};

// What the specification says of a chain, written down without regard to how the device does it.
struct Verdict {
  bool ok = false;
  std::vector<FakeDriver::Buffer> readable;
  std::vector<FakeDriver::Buffer> writable;
};

using Table = std::vector<FakeDriver::Descriptor>;

bool InRam(uint64_t addr, uint64_t len) { return addr < kRamBytes && len <= kRamBytes - addr; }

// `entry`: the descriptors by table, [0] the queue's own, [1] the indirect one.
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

  // Tries all chains from every head. Returns how many.
  uint64_t Run(const Choices& choices) {
    choices_ = choices;
    for (uint16_t head = 0; head <= size_; ++head) {  // size itself is out of range
      head_ = head;
      Extend(0, head, 0);
      if (testing::Test::HasFailure()) break;
    }
    return tried_;
  }

 private:
  // The chain so far leads to descriptor `index` of `table`: gives it every value, unless it has
  // one (a loop) or does not exist.
  void Extend(size_t table, uint32_t index, uint32_t depth) {
    if (index >= tables_[table].size() || set_[table][index] || depth > size_) return Try();
    set_[table][index] = true;
    FakeDriver::Descriptor& d = tables_[table][index];
    for (const uint16_t flags : choices_.flags) {
      for (const uint32_t len : choices_.lens) {
        for (const uint64_t addr : choices_.addrs) {
          d = {addr, len, flags, 0};
          if ((flags & 4) != 0 && indirect_ && table == 0 && (flags & 1) == 0) {
            // A good table for one of the combinations, a bad one for the others.
            if (len == choices_.lens.back() && addr == choices_.addrs.front()) {
              d.addr = kTable;
              d.len = 16u * size_;
              Write(table, index, d);
              Extend(1, 0, depth);
              continue;
            }
            if (len != 0) d.len = 24;
          }
          if ((flags & 1) == 0) {
            Write(table, index, d);
            Try();
            continue;
          }
          for (uint16_t next = 0; next <= size_; ++next) {
            d.next = next;
            Write(table, index, d);
            Extend(table, next, depth + 1);
            if (testing::Test::HasFailure()) return;
          }
        }
      }
    }
    set_[table][index] = false;
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
    QueueError error;
    const auto queue = SplitQueue::Create(
        *memory_, {size_, driver_.descriptor_table(), driver_.driver_area(), driver_.device_area()},
        {.event_idx = false, .indirect = indirect_}, error);
    queue->set_positions({start_, start_});
    driver_.SetAvailEntry(start_, head_);
    driver_.SetAvailIndex(static_cast<uint16_t>(start_ + 1));
    const SplitQueue::PopResult result = queue->Pop(chain_);
    ASSERT_EQ(result == SplitQueue::PopResult::kChain, want.ok) << ToString(queue->error());
    if (!want.ok) return;
    Compare(chain_.readable(), want.readable);
    Compare(chain_.writable(), want.writable);
    queue->PushUsed(chain_, 0);
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

constexpr uint64_t kGood = 0x30000;
constexpr uint64_t kHole = kRamBytes - 1;  // the last byte: any two are too many
constexpr uint64_t kWrap = 0xffffffffffffffff;

const Choices kAll = {{0, 1, 2, 3, 4, 5, 6, 7}, {0, 0xffffffff, 2}, {kGood, kHole, kWrap}};
// Without 5, 6, 7: flags that Walk treats like 4. One bad address.
const Choices kFew = {{0, 1, 2, 3, 4}, {0, 2}, {kGood, kWrap}};
const Choices kFewest = {{0, 1, 2, 3, 4}, {0, 2}, {kGood}};

TEST(SplitQueueExhaustiveTest, AllChains) {
  struct Case {
    uint16_t size;
    bool indirect;
    const Choices& choices;
    const char* name;
  };
  const Case cases[] = {
      {1, false, kAll, "all"}, {1, true, kAll, "all"},  {2, false, kAll, "all"},
      {2, true, kAll, "all"},  {4, false, kFew, "few"}, {4, true, kFewest, "fewest"},
  };
  for (const Case& c : cases) {
    for (const uint16_t start : {uint16_t{0}, uint16_t{0xffff}}) {
      const bool large = c.size == 4 || (c.size == 2 && c.indirect);
      if (start != 0 && large) continue;  // positions and tables do not interact
      if (c.size == 4 && c.indirect && getenv("VMM_FULL_CHECK") == nullptr) continue;
      Search search(c.size, c.indirect, start);
      const uint64_t tried = search.Run(c.choices);
      std::printf("size %u, indirect %d, choices %s, index %u: %llu chains\n", c.size, c.indirect,
                  c.name, start, static_cast<unsigned long long>(tried));
      ASSERT_FALSE(HasFailure());
    }
  }
}

// Every avail index a driver can write, at both ends of the index's range.
TEST(SplitQueueExhaustiveTest, AllAvailIndices) {
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
