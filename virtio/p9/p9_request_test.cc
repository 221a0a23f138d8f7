#include "virtio/p9/p9_request.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "virtio/p9/p9_test_harness.h"

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
  int Error(uint8_t type, const P9Bytes& arguments, int size_error = 0) {
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

TEST_F(P9RequestTest, FramingMeansNothing) {
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

TEST_F(P9RequestTest, NamesAreBoundedAndWhole) {
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).String(std::string(255, 'x'))), 0);
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).String(std::string(256, 'x'))), ENAMETOOLONG);
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).String(std::string(4096, 'x'))), ENAMETOOLONG);
  EXPECT_EQ(Error(kP9Walk, WalkOf(2).String("a")), EINVAL);  // one is missing
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).Number(uint16_t{3}).Number(uint8_t{1})), EINVAL);  // is short
  EXPECT_EQ(Error(kP9Walk, WalkOf(1).String(absl::string_view("a\0/", 3))), 0);  // the tree's
  EXPECT_EQ(command_.name(0), absl::string_view("a\0/", 3));
}

TEST_F(P9RequestTest, SizesMustBeTrue) {
  const P9Bytes fid = P9Bytes().Number(1U);
  EXPECT_EQ(Error(kP9Clunk, fid), 0);
  EXPECT_EQ(Error(kP9Clunk, fid, 1), EINVAL);
  EXPECT_EQ(Error(kP9Clunk, fid, -1), EINVAL);
  for (const uint8_t type :
       {kP9Clunk, kP9FSync, kP9GetAttr, kP9ReadLink, kP9Remove, kP9StatFs, kP9XattrWalk, kP9Open,
        kP9Read, kP9ReadDir, kP9Walk, kP9Attach, kP9Version}) {
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

TEST_F(P9RequestTest, VersionsAreKnownOrNot) {
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
  EXPECT_EQ(Error(kP9Attach, attach().String("root").String("tree").Number(0U)), 0);
  EXPECT_EQ(command_.fid, 5U);
  EXPECT_EQ(command_.name(0), "tree");
  EXPECT_EQ(Error(kP9Attach, attach().String("").String("")), 0);
  EXPECT_EQ(command_.name(0), "");
  EXPECT_EQ(Error(kP9Attach, attach().String("root")), EINVAL);
  EXPECT_EQ(Error(kP9Attach, attach().String(std::string(256, 'x')).String("")), ENAMETOOLONG);
}

}  // namespace
}  // namespace virtio
