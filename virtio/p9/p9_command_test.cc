#include "virtio/p9/p9_command.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

class P9RequestTest : public testing::Test {
 protected:
  // Parses `bytes` cut into buffers of at most `piece` bytes.
  const P9Command& Parse(const Bytes& bytes, size_t piece = 4096) {
    driver_.StartAt(0);
    auto ring = SplitQueue::Create(
        *memory_, {512, driver_.descriptor_table(), driver_.driver_area(), driver_.device_area()},
        {}, error_);
    CHECK(ring != nullptr);
    auto builder = driver_.Chain();
    for (size_t at = 0; at < bytes.size(); at += piece) {
      builder.Readable(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    }
    builder.Writable(16).Offer();
    driver_.Publish();
    storage_.resize(512);
    chain_.SetStorage(storage_);
    CHECK(ring->Pop(chain_) == SplitQueue::PopResult::kChain);
    ParseP9Request(chain_, command_);
    return command_;
  }
  HostError Error(uint8_t type, const P9Bytes& arguments, int size_error = 0) {
    return Parse(arguments.Message(type, 7, size_error)).error;
  }
  static P9Bytes WalkOf(uint16_t count) { return P9Bytes().Number(1U).Number(2U).Number(count); }

  std::unique_ptr<base::GuestMemory> memory_ =
      *base::GuestMemory::Create({.thp = false}, {{0, 4 << 20, nullptr}});
  FakeDriver driver_{*memory_, {.size = 512, .data_bytes = 0x100000}};
  std::vector<iovec> storage_;
  Chain chain_;
  P9Command command_;
  QueueError error_;
};

TEST_F(P9RequestTest, EveryFramingGivesTheSameCommand) {
  const Bytes bytes = WalkOf(3).String("some").String("").String("name").Message(kP9Walk, 77);
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{40}, size_t{4096}}) {
    const P9Command& command = Parse(bytes, piece);
    EXPECT_TRUE(command.has_header);
    EXPECT_EQ(command.error, 0);
    EXPECT_EQ(command.type, kP9Walk);
    EXPECT_EQ(command.tag, 77U);
    EXPECT_EQ(command.fid, 1U);
    EXPECT_EQ(command.new_fid, 2U);
    ASSERT_EQ(command.name_count, 3U);
    EXPECT_EQ(command.name(0), "some");
    EXPECT_EQ(command.name(1), "");
    EXPECT_EQ(command.name(2), "name");
  }
}

TEST_F(P9RequestTest, WalksHaveAtMostSixteenNames) {
  P9Bytes longest = WalkOf(16);
  for (int i = 0; i < 16; ++i) longest.String(std::string(255, static_cast<char>('a' + i)));
  EXPECT_EQ(Error(kP9Walk, longest), 0);
  EXPECT_EQ(command_.name_count, 16U);
  EXPECT_EQ(command_.name(15), std::string(255, 'p'));
  P9Bytes more = WalkOf(17);
  for (int i = 0; i < 17; ++i) more.String("a");
  EXPECT_EQ(Error(kP9Walk, more), EINVAL);
  EXPECT_EQ(Error(kP9Walk, WalkOf(0xffff)), EINVAL);
  EXPECT_EQ(Error(kP9Walk, WalkOf(0)), 0);
  EXPECT_EQ(command_.name_count, 0U);
}

TEST_F(P9RequestTest, TooLongAndTruncatedNamesAreRefused) {
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).String(std::string(255, 'x'))), 0);
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).String(std::string(256, 'x'))), ENAMETOOLONG);
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).String(std::string(4096, 'x'))), ENAMETOOLONG);
  EXPECT_EQ(Error(kP9Walk, WalkOf(2).String("a")), EINVAL);  // a name is missing
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).Number(uint16_t{3}).Number(uint8_t{1})), EINVAL);  // cut off
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).String(absl::string_view("a\0/", 3))), 0);  // for HostTree
  EXPECT_EQ(command_.name(0), absl::string_view("a\0/", 3));
}

TEST_F(P9RequestTest, WrongSizesAreRefused) {
  const P9Bytes fid = P9Bytes().Number(1U);
  EXPECT_EQ(Error(kP9Clunk, fid), 0);
  EXPECT_EQ(Error(kP9Clunk, fid, 1), EINVAL);
  EXPECT_EQ(Error(kP9Clunk, fid, -1), EINVAL);
  for (const uint8_t type :
       {kP9Clunk,    kP9FSync,       kP9GetAttr, kP9ReadLink, kP9Remove, kP9StatFs,  kP9XattrWalk,
        kP9Open,     kP9Read,        kP9ReadDir, kP9Walk,     kP9Attach, kP9Version, kP9Write,
        kP9Create,   kP9MkDir,       kP9MkNod,   kP9SymLink,  kP9Link,   kP9Rename,  kP9RenameAt,
        kP9UnlinkAt, kP9XattrCreate, kP9SetAttr, kP9Lock,     kP9GetLock}) {
    EXPECT_EQ(Error(type, P9Bytes().Number(uint16_t{1}).Number(uint8_t{1})), EINVAL) << int{type};
  }
  EXPECT_EQ(Error(kP9Flush, P9Bytes().Number(uint8_t{1})), EINVAL);
  EXPECT_EQ(Error(kP9Read, P9Bytes().Number(1U).Number(uint64_t{2}).Number(uint8_t{1})), EINVAL);
  for (size_t size = 1; size < sizeof(P9Header); ++size) {
    const P9Command& command = Parse(Bytes(size, 0xff));
    EXPECT_FALSE(command.has_header);
    EXPECT_EQ(command.error, EINVAL);
  }
}

TEST_F(P9RequestTest, OnlyOneDialectIsKnown) {
  const auto known = [this](absl::string_view dialect) {
    EXPECT_EQ(Error(kP9Version, P9Bytes().Number(8192U).String(dialect)), 0);
    return command_.known_dialect;
  };
  EXPECT_TRUE(known("9P2000.L"));
  for (const absl::string_view other : {"9P2000", "9P2000.u", "9P2000.l", "9P2000.L2", "", "x"}) {
    EXPECT_FALSE(known(other)) << other;
  }
  EXPECT_FALSE(known(std::string(60000, '9')));
  EXPECT_EQ(Error(kP9Version, P9Bytes().Number(8192U).Number(uint16_t{9}).Number(uint64_t{0})),
            EINVAL);
}

TEST_F(P9RequestTest, AttachTakesTheNameOfTheTree) {
  const auto attach = [] { return P9Bytes().Number(5U).Number(kP9NoFid); };
  EXPECT_EQ(Error(kP9Attach, attach().String("root").String("tree").Number(7U)), 0);
  EXPECT_EQ(command_.fid, 5U);
  EXPECT_EQ(command_.name(0), "tree");
  EXPECT_EQ(command_.uid, 7U);
  EXPECT_EQ(Error(kP9Attach, attach().String("").String("").Number(0U)), 0);
  EXPECT_EQ(command_.name(0), "");
  EXPECT_EQ(Error(kP9Attach, attach().String("root").String("tree")), EINVAL);
  EXPECT_EQ(Error(kP9Attach, attach().String("root")), EINVAL);
  EXPECT_EQ(Error(kP9Attach, attach().String(std::string(256, 'x')).String("")), ENAMETOOLONG);
}

// --- Changes -------------------------------------------------------------------------------------

TEST_F(P9RequestTest, CreationsHaveNameModeAndOwner) {
  const auto named = [] { return P9Bytes().Number(5U).String("new"); };
  EXPECT_EQ(Error(kP9Create, named().Number(0102U).Number(0640U).Number(9U)), 0);
  EXPECT_EQ(command_.fid, 5U);
  EXPECT_EQ(command_.name(0), "new");
  EXPECT_EQ(command_.flags, 0102U);
  EXPECT_EQ(command_.mode, 0640U);
  EXPECT_EQ(command_.gid, 9U);
  EXPECT_EQ(Error(kP9MkDir, named().Number(0755U).Number(10U)), 0);
  EXPECT_EQ(command_.mode, 0755U);
  EXPECT_EQ(command_.gid, 10U);
  EXPECT_EQ(Error(kP9MkNod, named().Number(0020644U).Number(4U).Number(64U).Number(11U)), 0);
  EXPECT_EQ(command_.mode, 0020644U);
  EXPECT_EQ(command_.device_major, 4U);
  EXPECT_EQ(command_.device_minor, 64U);
  EXPECT_EQ(command_.gid, 11U);
  for (const uint8_t type : {kP9Create, kP9MkDir, kP9MkNod}) {
    EXPECT_EQ(Error(type, named()), EINVAL);
    EXPECT_EQ(Error(type, P9Bytes().Number(5U).String(std::string(256, 'x'))), ENAMETOOLONG);
  }
}

TEST_F(P9RequestTest, TargetsOfSymbolicLinksMayBeLong) {
  const auto link = [](size_t bytes) {
    return P9Bytes().Number(5U).String(std::string(255, 'n')).String(std::string(bytes, 't'));
  };
  EXPECT_EQ(Error(kP9SymLink, link(4095).Number(9U)), 0);
  EXPECT_EQ(command_.name(0), std::string(255, 'n'));
  EXPECT_EQ(command_.name(1), std::string(4095, 't'));
  EXPECT_EQ(command_.gid, 9U);
  EXPECT_EQ(Error(kP9SymLink, link(4096).Number(9U)), ENAMETOOLONG);
  EXPECT_EQ(Error(kP9SymLink, link(10)), EINVAL);
}

TEST_F(P9RequestTest, TwoFidsAndTheirNamesAreParsed) {
  for (const uint8_t type : {kP9Link, kP9Rename, kP9XattrWalk}) {
    EXPECT_EQ(Error(type, P9Bytes().Number(5U).Number(6U).String("name")), 0);
    EXPECT_EQ(command_.fid, 5U);
    EXPECT_EQ(command_.new_fid, 6U);
    EXPECT_EQ(command_.name(0), "name");
  }
  EXPECT_EQ(Error(kP9RenameAt, P9Bytes().Number(5U).String("old").Number(6U).String("new")), 0);
  EXPECT_EQ(command_.fid, 5U);
  EXPECT_EQ(command_.new_fid, 6U);
  EXPECT_EQ(command_.name(0), "old");
  EXPECT_EQ(command_.name(1), "new");
  EXPECT_EQ(Error(kP9RenameAt, P9Bytes().Number(5U).String("old").Number(6U)), EINVAL);
  EXPECT_EQ(Error(kP9UnlinkAt, P9Bytes().Number(5U).String("old").Number(0x200U)), 0);
  EXPECT_EQ(command_.name(0), "old");
  EXPECT_EQ(command_.flags, 0x200U);
}

TEST_F(P9RequestTest, DataOfWritesStayInTheChain) {
  const auto write = [](uint32_t count) {
    return P9Bytes().Number(5U).Number(uint64_t{1} << 40).Number(count).Number(uint64_t{0x4242});
  };
  EXPECT_EQ(Error(kP9Write, write(8)), 0);
  EXPECT_EQ(command_.fid, 5U);
  EXPECT_EQ(command_.offset, uint64_t{1} << 40);
  EXPECT_EQ(command_.count, 8U);
  EXPECT_EQ(chain_.readable_bytes(), 8U);
  for (const uint32_t count : {0U, 7U, 9U, UINT32_MAX})
    EXPECT_EQ(Error(kP9Write, write(count)), EINVAL);
}

TEST_F(P9RequestTest, AttributesLocksAndXattrsAreParsed) {
  P9Bytes attributes;
  attributes.Number(5U).Number(0x1ffU).Number(0644U).Number(1U).Number(2U).Number(uint64_t{3});
  for (uint64_t i = 10; i < 14; ++i) attributes.Number(i);
  EXPECT_EQ(Error(kP9SetAttr, attributes), 0);
  EXPECT_EQ(command_.fid, 5U);
  EXPECT_EQ(command_.attributes.size_bytes.value(), 3U);
  EXPECT_EQ(command_.attributes.modified.nanoseconds.value(), 13U);

  P9Bytes lock;
  lock.Number(5U).Number(uint8_t{1}).Number(1U).Number(uint64_t{7}).Number(uint64_t{8}).Number(9U);
  EXPECT_EQ(Error(kP9Lock, lock), EINVAL);
  EXPECT_EQ(Error(kP9Lock, lock.String("guest")), 0);
  EXPECT_EQ(command_.lock.type, kP9WriteLock);
  EXPECT_EQ(command_.lock.start.value(), 7U);
  EXPECT_EQ(command_.lock.length.value(), 8U);
  EXPECT_EQ(command_.lock.process.value(), 9U);
  P9Bytes question;
  question.Number(5U).Number(uint8_t{0}).Number(uint64_t{7}).Number(uint64_t{8}).Number(9U);
  EXPECT_EQ(Error(kP9GetLock, question.String("guest")), 0);
  EXPECT_EQ(command_.lock.type, kP9ReadLock);
  EXPECT_EQ(command_.lock.process.value(), 9U);
  EXPECT_EQ(command_.name(0), "guest");

  EXPECT_EQ(Error(kP9XattrCreate,
                  P9Bytes().Number(5U).String("user.a").Number(uint64_t{70000}).Number(2U)),
            0);
  EXPECT_EQ(command_.name(0), "user.a");
  EXPECT_EQ(command_.size_bytes, 70000U);
  EXPECT_EQ(command_.flags, 2U);
}

}  // namespace
}  // namespace virtio
