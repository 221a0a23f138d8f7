// Changes that must be on the disk before they are answered. The loop flushes them. No descriptor
// is O_SYNC, since such a descriptor would flush within the write and hold up the thread.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "virtio/fs/testing/fs_fixtures.h"

namespace virtio {
namespace {

using Event = base::FakeEventLoop::Event;
using Kind = base::FakeEventLoop::Kind;

class FsFlushTest : public testing::Test {
 protected:
  FsFlushTest()
      : fs_({.cache = FsCache::kAuto, .writable = true}, [](const TemporaryTree& host) {
          host.Write("root/from", "content");
          host.Write("root/to", "old");
        }) {
    from_ = fs_.Find(1, "from");
    to_ = fs_.Find(1, "to");
  }
  uint64_t Open(uint64_t node, uint32_t flags) {
    const auto result = fs_.Do(FUSE_OPEN, node, BytesOf(fuse_open_in{flags, 0}));
    EXPECT_EQ(result.error, 0);
    return result.As<fuse_open_out>().fh;
  }
  int Write(uint64_t handle, uint32_t flags = 0) {
    fuse_write_in in = {};
    in.fh = handle;
    in.size = 4;
    in.flags = flags;
    return fs_.Do(FUSE_WRITE, to_, Join(BytesOf(in), Bytes(4, 'x'))).error;
  }
  int Allocate(uint64_t handle) {
    fuse_fallocate_in in = {};
    in.fh = handle;
    in.length = 100;
    return fs_.Do(FUSE_FALLOCATE, to_, BytesOf(in)).error;
  }
  FsHarness::Result Copy(uint64_t handle, uint64_t bytes = 7, uint32_t room = 4096) {
    if (from_handle_ == 0) from_handle_ = Open(from_, O_RDONLY);
    fuse_copy_file_range_in in = {};
    in.fh_in = from_handle_;
    in.nodeid_out = to_;
    in.fh_out = handle;
    in.len = bytes;
    return fs_.Do(FUSE_COPY_FILE_RANGE, from_, BytesOf(in), room);
  }
  // Returns the operations that the loop has completed during `function`, in order.
  template <typename Function>
  std::vector<Kind> Done(Function function) {
    const size_t from = fs_.loop().events().size();
    function();
    std::vector<Kind> kinds;
    for (size_t i = from; i < fs_.loop().events().size(); ++i) {
      const Event& event = fs_.loop().events()[i];
      if (event.what == Event::What::kCompleted && event.kind != Kind::kPollMultishot) {
        kinds.push_back(event.kind);
      }
    }
    return kinds;
  }
  // Returns how many descriptors of the share's files are O_SYNC or O_DSYNC.
  int SynchronousDescriptors() {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      const auto target = std::filesystem::read_symlink(entry.path(), error);
      if (error || target.string().find(fs_.host().path()) != 0) continue;
      const int flags = fcntl(std::stoi(entry.path().filename()), F_GETFL);
      if (flags >= 0 && (flags & (O_SYNC | O_DSYNC)) != 0) ++count;
    }
    return count;
  }

  FsHarness fs_;
  uint64_t from_ = 0;
  uint64_t to_ = 0;
  uint64_t from_handle_ = 0;
};

TEST_F(FsFlushTest, TheLoopFlushesChangesBySynchronousHandles) {
  const uint64_t handle = Open(to_, O_RDWR | O_SYNC);
  const uint64_t data = Open(to_, O_RDWR | O_DSYNC);
  EXPECT_EQ(SynchronousDescriptors(), 0);
  EXPECT_EQ(Done([&] { EXPECT_EQ(Write(handle), 0); }),
            (std::vector<Kind>{Kind::kWrite, Kind::kFsync}));
  EXPECT_EQ(Done([&] { EXPECT_EQ(Write(data), 0); }),
            (std::vector<Kind>{Kind::kWrite, Kind::kFdatasync}));
  EXPECT_EQ(Done([&] { EXPECT_EQ(Allocate(handle), 0); }),
            (std::vector<Kind>{Kind::kFallocate, Kind::kFsync}));
  EXPECT_EQ(Done([&] { EXPECT_EQ(Copy(handle).As<fuse_write_out>().size, 7U); }),
            std::vector<Kind>{Kind::kFsync});
  EXPECT_EQ(Done([&] { EXPECT_EQ(Copy(data).As<fuse_write_out>().size, 7U); }),
            std::vector<Kind>{Kind::kFdatasync});
}

TEST_F(FsFlushTest, TheLoopFlushesFilesThatAreCreatedSynchronous) {
  const fuse_create_in in = {O_RDWR | O_SYNC, S_IFREG | 0644, 0, 0};
  const auto made = fs_.Do(FUSE_CREATE, 1, Join(BytesOf(in), NameBytes({"new"})));
  ASSERT_EQ(made.error, 0);
  fuse_open_out open = {};
  std::memcpy(&open, made.data.data() + sizeof(fuse_entry_out), sizeof(open));
  to_ = made.As<fuse_entry_out>().nodeid;
  EXPECT_EQ(SynchronousDescriptors(), 0);
  EXPECT_EQ(Done([&] { EXPECT_EQ(Write(open.fh), 0); }),
            (std::vector<Kind>{Kind::kWrite, Kind::kFsync}));
}

TEST_F(FsFlushTest, PlainHandlesAndEmptyCopiesAreNotFlushed) {
  const uint64_t handle = Open(to_, O_RDWR);
  EXPECT_EQ(Done([&] { EXPECT_EQ(Write(handle), 0); }), std::vector<Kind>{Kind::kWrite});
  EXPECT_EQ(Done([&] { EXPECT_EQ(Allocate(handle), 0); }), std::vector<Kind>{Kind::kFallocate});
  EXPECT_EQ(Done([&] { EXPECT_EQ(Copy(handle).error, 0); }), std::vector<Kind>());
  const uint64_t synchronous = Open(to_, O_RDWR | O_SYNC);
  EXPECT_EQ(Done([&] { EXPECT_EQ(Copy(synchronous, 0).error, 0); }), std::vector<Kind>());
}

// pwritev2 with RWF_DSYNC does this, and so do all writes of a mount with the option `sync`.
TEST_F(FsFlushTest, ASingleWriteCanAskForAFlush) {
  const uint64_t handle = Open(to_, O_RDWR);
  EXPECT_EQ(Done([&] { EXPECT_EQ(Write(handle, O_DSYNC), 0); }),
            (std::vector<Kind>{Kind::kWrite, Kind::kFdatasync}));
  EXPECT_EQ(Done([&] { EXPECT_EQ(Write(handle, O_SYNC), 0); }),
            (std::vector<Kind>{Kind::kWrite, Kind::kFsync}));
}

TEST_F(FsFlushTest, AFailedFlushIsAnError) {
  const uint64_t handle = Open(to_, O_RDWR | O_DSYNC);
  fs_.loop().FailNext(Kind::kFdatasync, EIO, 3);
  EXPECT_EQ(Write(handle), EIO);
  EXPECT_EQ(Allocate(handle), EIO);
  EXPECT_EQ(Copy(handle).error, EIO);
  EXPECT_EQ(fs_.counter("host_errors"), 3U);
  // A write that continues after a short write is flushed once, at its end.
  fs_.loop().ShortenNext(Kind::kWrite, 2);
  EXPECT_EQ(Done([&] { EXPECT_EQ(Write(handle), 0); }),
            (std::vector<Kind>{Kind::kWrite, Kind::kWrite, Kind::kFdatasync}));
}

TEST_F(FsFlushTest, ACopyWithoutRoomForItsAnswerCopiesNothing) {
  const uint64_t handle = Open(to_, O_RDWR);
  EXPECT_EQ(Copy(handle, 7, 4).error, EINVAL);
  EXPECT_EQ(fs_.Read(to_, 0, 100, handle).Text(), "old");
}

TEST_F(FsFlushTest, AResetEndsTheFlushAfterACopy) {
  for (int turns = 0; turns < 4; ++turns) {
    to_ = fs_.Find(1, "to");
    const uint64_t handle = Open(to_, O_RDWR | O_SYNC);
    from_handle_ = Open(fs_.Find(1, "from"), O_RDONLY);
    fuse_copy_file_range_in in = {};
    in.fh_in = from_handle_;
    in.nodeid_out = to_;
    in.fh_out = handle;
    in.len = 7;
    fs_.driver()
        .Chain()
        .Readable(fs_.Request(FUSE_COPY_FILE_RANGE, fs_.Find(1, "from"), BytesOf(in)))
        .Writable(100)
        .Offer();
    if (fs_.driver().Publish()) fs_.harness().Kick(FsHarness::kRequests);
    for (int i = 0; i < turns; ++i) fs_.loop().RunTurn();
    ASSERT_TRUE(fs_.Stop());
    EXPECT_EQ(fs_.counter("open_files"), 0U);
    fs_.Start();
  }
}

}  // namespace
}  // namespace virtio
