#include "virtio/fs/fs_request.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <string>

#include "virtio/fs/fs_test_harness.h"

namespace virtio {
namespace {

class FsRequestTest : public testing::Test {
 protected:
  // Parses `bytes` cut into buffers of at most `piece` bytes.
  FsCommand Parse(const Bytes& bytes, size_t piece = 4096) {
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
    FsCommand command;
    ParseFsRequest(chain_, command);
    return command;
  }
  static Bytes Request(uint32_t opcode, const Bytes& arguments, int length_error = 0) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof(header) + arguments.size()) +
                 static_cast<uint32_t>(length_error);
    header.opcode = opcode;
    header.unique = 77;
    header.nodeid = 88;
    return Join(BytesOf(header), arguments);
  }
  static Bytes Name(absl::string_view name) { return Bytes(name.begin(), name.end()); }

  std::unique_ptr<base::GuestMemory> memory_ =
      *base::GuestMemory::Create({.thp = false}, {{0, 4 << 20, nullptr}});
  FakeDriver driver_{*memory_, {.size = 512, .data_bytes = 0x100000}};
  std::vector<iovec> storage_;
  Chain chain_;
  QueueError error_;
};

TEST_F(FsRequestTest, FramingMeansNothing) {
  const Bytes bytes = Request(FUSE_LOOKUP, Name(absl::string_view("some-name\0", 10)));
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{40}, size_t{4096}}) {
    const FsCommand command = Parse(bytes, piece);
    EXPECT_EQ(command.error, 0);
    EXPECT_EQ(command.name(), "some-name");
    EXPECT_EQ(command.unique, 77U);
    EXPECT_EQ(command.node, 88U);
    EXPECT_TRUE(command.replies);
  }
}

TEST_F(FsRequestTest, NamesEndInOneNul) {
  const auto error = [this](absl::string_view name) {
    return Parse(Request(FUSE_LOOKUP, Name(name))).error;
  };
  EXPECT_EQ(error(""), EINVAL);
  EXPECT_EQ(error("name"), EINVAL);
  EXPECT_EQ(error(absl::string_view("a\0b\0", 4)), EINVAL);
  EXPECT_EQ(error(absl::string_view("a\0\0", 3)), EINVAL);
  EXPECT_EQ(error(absl::string_view("\0", 1)), 0);  // an empty name: the tree's business
  EXPECT_EQ(error(std::string(255, 'x') + '\0'), 0);
  EXPECT_EQ(error(std::string(256, 'x') + '\0'), ENAMETOOLONG);
  EXPECT_EQ(error(std::string(4096, 'x')), ENAMETOOLONG);
}

TEST_F(FsRequestTest, LengthsMustBeTrue) {
  EXPECT_EQ(Parse(Request(FUSE_GETATTR, Bytes(16))).error, 0);
  EXPECT_EQ(Parse(Request(FUSE_GETATTR, Bytes(16), 1)).error, EINVAL);
  EXPECT_EQ(Parse(Request(FUSE_GETATTR, Bytes(16), -1)).error, EINVAL);
  EXPECT_EQ(Parse(Request(FUSE_READ, Bytes(39))).error, EINVAL);
  EXPECT_EQ(Parse(Request(FUSE_INIT, Bytes(15))).error, EINVAL);
  EXPECT_EQ(Parse(Request(FUSE_FORGET, Bytes(7))).error, EINVAL);
  EXPECT_EQ(Parse(Request(FUSE_BATCH_FORGET, Bytes(7))).error, EINVAL);
  for (size_t size = 1; size < sizeof(fuse_in_header); ++size) {
    const FsCommand command = Parse(Bytes(size, 0xff));
    EXPECT_EQ(command.error, EINVAL);
    EXPECT_EQ(command.opcode, 0U);
  }
}

TEST_F(FsRequestTest, WhatHasNoAnswerIsKnownEvenIfMalformed) {
  EXPECT_FALSE(Parse(Request(FUSE_FORGET, {})).replies);
  EXPECT_FALSE(Parse(Request(FUSE_BATCH_FORGET, {})).replies);
  EXPECT_FALSE(Parse(Request(FUSE_INTERRUPT, {})).replies);
  EXPECT_TRUE(Parse(Request(FUSE_DESTROY, {})).replies);
  EXPECT_TRUE(Parse(Request(0xffffffff, {})).replies);
}

TEST_F(FsRequestTest, ForgetsAreBounded) {
  const FsCommand command =
      Parse(Request(FUSE_BATCH_FORGET, BytesOf(fuse_batch_forget_in{0xffffffff, 0})));
  EXPECT_EQ(command.error, 0);
  EXPECT_EQ(command.forget_count, kMaxForgets);
}

}  // namespace
}  // namespace virtio
