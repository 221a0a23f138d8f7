#include "virtio/fs/fs_command.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "virtio/fs/testing/fs_fixtures.h"

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

TEST_F(FsRequestTest, EveryFramingGivesTheSameCommand) {
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
  EXPECT_EQ(error(absl::string_view("\0", 1)), 0);  // HostTree refuses empty names
  EXPECT_EQ(error(std::string(255, 'x') + '\0'), 0);
  EXPECT_EQ(error(std::string(256, 'x') + '\0'), ENAMETOOLONG);
  EXPECT_EQ(error(std::string(4096, 'x')), ENAMETOOLONG);
}

TEST_F(FsRequestTest, WrongLengthsAreRefused) {
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

TEST_F(FsRequestTest, EachOfTwoNamesEndsInOneNul) {
  const auto rename = [this](absl::string_view names) {
    return Parse(Request(FUSE_RENAME, Join(BytesOf(fuse_rename_in{5}), Name(names))));
  };
  const FsCommand good = rename(absl::string_view("from\0to\0", 8));
  EXPECT_EQ(good.error, 0);
  EXPECT_EQ(good.name(), "from");
  EXPECT_EQ(good.second(), "to");
  EXPECT_EQ(good.rename.newdir, 5U);
  EXPECT_EQ(good.rename.flags, 0U);
  EXPECT_EQ(rename("").error, EINVAL);
  EXPECT_EQ(rename(absl::string_view("from\0", 5)).error, EINVAL);
  EXPECT_EQ(rename(absl::string_view("from\0to", 7)).error, EINVAL);
  EXPECT_EQ(rename(absl::string_view("from\0to\0x", 9)).error, EINVAL);
  EXPECT_EQ(rename(absl::string_view("from\0to\0\0", 9)).error, EINVAL);
  const std::string most(255, 'x');
  EXPECT_EQ(rename(most + '\0' + most + '\0').error, 0);
  EXPECT_EQ(rename(most + "y\0" + '\0').error, ENAMETOOLONG);
  EXPECT_EQ(rename(std::string("x\0", 2) + most + "y" + '\0').error, ENAMETOOLONG);
  EXPECT_EQ(rename(std::string(4000, 'x')).error, ENAMETOOLONG);
  const auto symlink = [this](size_t target) {
    return Parse(
        Request(FUSE_SYMLINK, Name(std::string("name\0", 5) + std::string(target, 't') + '\0')));
  };
  EXPECT_EQ(symlink(4095).error, 0);
  EXPECT_EQ(symlink(4095).second().size(), 4095U);
  EXPECT_EQ(symlink(4096).error, ENAMETOOLONG);
}

TEST_F(FsRequestTest, ValuesMayHaveAnyBytesAndMustHaveTheirLength) {
  const auto set = [this](uint32_t size, absl::string_view text) {
    const Bytes start = Join(virtio::BytesOf(base::Le32(size)), virtio::BytesOf(base::Le32(2)));
    return Parse(Request(FUSE_SETXATTR, Join(start, Name(text))));
  };
  const FsCommand good = set(3, absl::string_view("user.a\0\0x\0", 10));
  EXPECT_EQ(good.error, 0);
  EXPECT_EQ(good.name(), "user.a");
  EXPECT_EQ(good.second(), absl::string_view("\0x\0", 3));
  EXPECT_EQ(good.xattr_flags, 2U);
  EXPECT_EQ(set(0, absl::string_view("user.a\0", 7)).error, 0);
  EXPECT_EQ(set(1, absl::string_view("user.a\0", 7)).error, EINVAL);
  EXPECT_EQ(set(0xffffffff, absl::string_view("user.a\0x", 8)).error, EINVAL);
  EXPECT_EQ(set(6, "user.a").error, EINVAL);
  EXPECT_EQ(set(70000, std::string("a\0", 2) + std::string(70000, 'x')).error, E2BIG);
}

TEST_F(FsRequestTest, DataStayInTheChain) {
  fuse_write_in write = {};
  write.size = 100;
  const auto parse = [this, &write](size_t bytes) {
    return Parse(Request(FUSE_WRITE, Join(BytesOf(write), Bytes(bytes, 'x'))), 33);
  };
  EXPECT_EQ(parse(100).error, 0);
  EXPECT_EQ(chain_.readable_bytes(), 100U);
  EXPECT_EQ(parse(99).error, EINVAL);
  EXPECT_EQ(parse(101).error, EINVAL);
  EXPECT_EQ(parse(0).error, EINVAL);
}

TEST_F(FsRequestTest, MalformedRequestsWithoutAnswersAreRecognised) {
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
