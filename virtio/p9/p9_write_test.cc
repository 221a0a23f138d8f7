// Writes of a 9P guest, and the number of files that are open for them.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/p9/testing/p9_changes_fixtures.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

TEST_F(P9ChangesTest, P9_write_ReportsTheWrittenBytes) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Write(file, 0, "x"), -EBADF);  // the fid is not open
  EXPECT_EQ(p9_.Open(file, O_RDWR).error, 0);
  EXPECT_EQ(p9_.Write(file, 3, "TENT"), 4);
  EXPECT_EQ(p9_.Write(file, 0, ""), 0);
  EXPECT_EQ(p9_.HostText("file"), "conTENT");
  EXPECT_EQ(p9_.Write(file, uint64_t{5} << 30, "far"), 3);
  EXPECT_EQ(p9_.HostStatus("file").st_size, (int64_t{5} << 30) + 3);
  for (const uint64_t offset : {UINT64_MAX, uint64_t{1} << 63, (uint64_t{1} << 63) - 1}) {
    EXPECT_EQ(p9_.Write(file, offset, "x"), -EFBIG) << offset;
  }
  const uint32_t reader = p9_.Opened({"file"});
  EXPECT_EQ(p9_.Write(reader, 0, "x"), -EBADF);
  EXPECT_EQ(p9_.Write(kRoot, 0, "x"), -EBADF);
  EXPECT_EQ(p9_.Open(p9_.Find({}), O_RDWR).error, EISDIR);
  EXPECT_EQ(p9_.Open(p9_.Find({"file"}), O_ACCMODE).error, EINVAL);
  EXPECT_EQ(p9_.counter("written_bytes"), 7U);
}

TEST_F(P9ChangesTest, AppendsGoToTheCurrentEnd) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Open(file, O_WRONLY | O_APPEND).error, 0);
  p9_.host().Write("root/file", "changed by the host");
  EXPECT_EQ(p9_.Write(file, 7, "!"), 1);
  EXPECT_EQ(p9_.HostText("file"), "changed by the host!");
}

TEST_F(P9ChangesTest, WritesByUsersTakeSetIdBitsOff) {
  for (const uint32_t uid : {0U, 1234U}) {
    const uint32_t root = 10 + 2 * (uid != 0 ? 1 : 0);
    EXPECT_EQ(p9_.Attach(root, "", uid).error, 0);
    EXPECT_EQ(p9_.Walked(root, root + 1, {"file"}), 1);
    EXPECT_EQ(p9_.Open(root + 1, O_WRONLY).error, 0);
    ASSERT_EQ(chmod(p9_.host().Path("root/file").c_str(), 06755), 0);
    EXPECT_EQ(p9_.Write(root + 1, 0, "x"), 1);
    if (uid != 0 || geteuid() == 0) {  // writes of an unprivileged process always take the bits off
      EXPECT_EQ(p9_.HostStatus("file").st_mode & 07777, uid == 0 ? 06755U : 0755U);
    }
  }
}

TEST_F(P9ChangesTest, OpenTruncates) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(p9_.Open(file, O_WRONLY | O_TRUNC).error, 0);
  EXPECT_EQ(p9_.HostText("file"), "");
}

TEST_F(P9ChangesTest, P9_2_7_4_1_WriteFramingMeansNothing) {
  const uint32_t file = p9_.Created("framed");
  const Bytes request = P9Harness::WriteArguments(file, 0, "0123456789").Message(kP9Write, 9);
  for (size_t first = 1; first < request.size(); ++first) {
    EXPECT_EQ(p9_.SetAttributes(file, {.valid = kP9SetSize}).error, 0);
    p9_.driver().EnableInterrupts();
    const uint16_t head = p9_.driver()
                              .Chain()
                              .Readable(std::span(request).first(first))
                              .Readable(std::span(request).subspan(first))
                              .Writable(3)
                              .Writable(8)
                              .Offer();
    p9_.harness().Publish(0);
    EXPECT_EQ(p9_.Take(head, kP9Write, 9).As<base::Le32>().value(), 10U);
    EXPECT_EQ(p9_.HostText("framed"), "0123456789") << first;
  }
}

TEST_F(P9ChangesTest, P9_write_WrongCountsAreRefused) {
  const uint32_t file = p9_.Created("counted");
  for (const uint32_t count : {0U, 1U, 3U, UINT32_MAX}) {
    const auto bytes = P9Bytes().Number(file).Number(uint64_t{0}).Number(count);
    EXPECT_EQ(p9_.Do(kP9Write, P9Bytes(bytes).Number(uint16_t{0x4141})).error, EINVAL) << count;
  }
  EXPECT_EQ(p9_.HostText("counted"), "");
}

TEST_F(P9ChangesTest, HostErrorsOfWritesReachTheGuest) {
  const uint32_t file = p9_.Created("failing");
  for (const int error : {EIO, ENOSPC, EDQUOT}) {
    p9_.loop().FailNext(base::FakeEventLoop::Kind::kWrite, error);
    EXPECT_EQ(p9_.Write(file, 0, "data"), -error);
  }
  p9_.loop().FailNext(base::FakeEventLoop::Kind::kWrite, EINTR, 3);
  EXPECT_EQ(p9_.Write(file, 0, "data"), 4);
  p9_.loop().FailNext(base::FakeEventLoop::Kind::kFdatasync, EIO);
  EXPECT_EQ(p9_.Do(kP9FSync, P9Bytes().Number(file).Number(1U)).error, EIO);
  EXPECT_EQ(p9_.OfFid(kP9FSync, file).error, 0);
  EXPECT_EQ(p9_.counter("host_errors"), 4U);
  // The guest caused this error. It says nothing about the host.
  p9_.loop().FailNext(base::FakeEventLoop::Kind::kWrite, EFBIG);
  EXPECT_EQ(p9_.Write(file, 0, "data"), -EFBIG);
  EXPECT_EQ(p9_.counter("host_errors"), 4U);
}

TEST_F(P9ChangesTest, P9_fsync_DirectoriesCanBeFlushed) {
  EXPECT_EQ(p9_.OfFid(kP9FSync, p9_.Opened({"dir"})).error, 0);
  EXPECT_EQ(p9_.OfFid(kP9FSync, p9_.Find({"file"})).error, 0);
  EXPECT_EQ(p9_.counter("open_files"), 0U);
}

TEST(P9WritesTest, ShortWritesAreContinued) {
  P9Harness p9({.harness = {.loop = {.seed = 5,
                                     .short_transfer_percent = 80,
                                     .short_transfer_unit_bytes = 1},
                            .queue_size = 64},
                .writable = true},
               [](const TemporaryTree&) {});
  const uint32_t file = p9.Created("long");
  std::string text;
  for (int i = 0; text.size() < 3000; ++i) absl::StrAppend(&text, i, " ");
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(p9.Write(file, i * text.size(), text), static_cast<int>(text.size()));
    EXPECT_EQ(p9.HostText("long").substr(i * text.size()), text);
  }
  EXPECT_GT(p9.counter("short_transfers"), 0U);
}

TEST(P9WritesTest, AClunkFlushVersionOrRemoveDuringAWriteIsHarmless) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    P9Harness p9({.harness = {.loop = {.seed = seed}, .queue_size = 64}, .writable = true},
                 [](const TemporaryTree&) {});
    const uint32_t file = p9.Created("file");
    p9.driver().EnableInterrupts();
    p9.Offer(kP9Write, 1, P9Harness::WriteArguments(file, 0, "data"), 64);
    p9.Offer(kP9FSync, 2, P9Bytes().Number(file).Number(0U), 64);
    p9.Offer(kP9Flush, 3, P9Bytes().Number(uint16_t{1}), 64);
    if (seed % 3 == 0) p9.Offer(kP9Clunk, 4, P9Bytes().Number(file), 64);
    if (seed % 3 == 1) p9.Offer(kP9Version, 4, P9Bytes().Number(8192U).String(kP9Dialect), 64);
    if (seed % 3 == 2) p9.Offer(kP9Remove, 4, P9Bytes().Number(file), 64);
    p9.harness().Publish(0);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(p9.driver().PopUsed().has_value());
    EXPECT_EQ(p9.counter("open_files"), 0U);
    EXPECT_EQ(p9.counter("nodes"), 1U);
  }
}

// --- Bounds --------------------------------------------------------------------------------------

TEST(P9FilesTest, FilesBeyondTheBoundAreOpenedAgain) {
  P9Harness p9({.max_open_files = 5, .writable = true}, [](const TemporaryTree&) {});
  std::vector<uint32_t> fids;
  for (int i = 0; i < 20; ++i) {
    fids.push_back(p9.Created(absl::StrCat(i)));
    EXPECT_EQ(p9.Write(fids.back(), 0, absl::StrCat("first ", i, " ")), i < 10 ? 8 : 9);
    EXPECT_LE(p9.counter("open_files"), 4U);
  }
  for (int i = 0; i < 20; ++i) {
    // The file is opened again under its new name.
    EXPECT_EQ(p9.RenameAt(kRoot, absl::StrCat(i), kRoot, absl::StrCat("moved-", i)).error, 0);
    EXPECT_EQ(p9.Write(fids[static_cast<size_t>(i)], 20, "second"), 6);
    EXPECT_LE(p9.counter("open_files"), 4U);
  }
  EXPECT_EQ(p9.HostText("moved-7").substr(0, 8), "first 7 ");
  EXPECT_EQ(p9.HostText("moved-7").substr(20), "second");
}

TEST(P9FilesTest, FilesThatCannotBeOpenedAgainStayOpen) {
  P9Harness p9({.max_open_files = 5, .writable = true}, [](const TemporaryTree& host) {
    for (int i = 0; i < 20; ++i) host.Write(absl::StrCat("root/other-", i), "x");
  });
  const uint32_t unlinked = p9.Created("unlinked");
  const uint32_t replaced = p9.Created("replaced");
  const uint32_t forbidden = p9.Created("forbidden", O_WRONLY, 0);
  EXPECT_EQ(p9.Write(unlinked, 0, "unlinked"), 8);
  EXPECT_EQ(p9.Write(replaced, 0, "replaced"), 8);
  for (int i = 0; i < 10; ++i) p9.Opened({absl::StrCat("other-", i)});
  EXPECT_EQ(p9.Unlink(kRoot, "unlinked").error, 0);
  EXPECT_EQ(p9.RenameAt(kRoot, "other-0", kRoot, "replaced").error, 0);
  for (int i = 10; i < 20; ++i) p9.Opened({absl::StrCat("other-", i)});
  EXPECT_EQ(p9.ReadText(unlinked, 0, 10), "unlinked");
  EXPECT_EQ(p9.ReadText(replaced, 0, 10), "replaced");
  EXPECT_EQ(p9.Write(forbidden, 0, "x"), 1);
  // All four descriptors are needed now. Names can still be removed.
  const uint32_t fourth = p9.Created("fourth");
  EXPECT_EQ(p9.Unlink(kRoot, "forbidden").error, 0);
  EXPECT_EQ(p9.Unlink(kRoot, "fourth").error, 0);
  EXPECT_EQ(p9.Open(p9.Find({"other-1"}), O_RDWR).error, ENFILE);
  // A directory, or a file that is not open, can be flushed although no file can be opened.
  const auto flush = [&](uint32_t fid) { return p9.OfFid(kP9FSync, fid).error; };
  EXPECT_EQ(flush(kRoot), 0);
  EXPECT_EQ(flush(p9.Find({"other-1"})), 0);
  EXPECT_EQ(p9.counter("open_files"), 4U);
  EXPECT_EQ(p9.Walk(kRoot, 900, {}).error, 0);
  EXPECT_EQ(p9.Create(900, "fifth", O_RDWR | O_EXCL, 0644).error, ENFILE);
  EXPECT_EQ(p9.Unlink(kRoot, "fifth").error, ENOENT);
  EXPECT_EQ(p9.Unlink(kRoot, "other-2").error, 0);
  EXPECT_EQ(p9.Write(fourth, 0, "x"), 1);
  EXPECT_EQ(p9.Clunk(unlinked).error, 0);
  EXPECT_EQ(p9.Open(p9.Find({"other-1"}), O_RDWR).error, 0);
}

TEST(P9FilesTest, TransfersInFlightHoldNoMoreFilesThanMayBeOpen) {
  P9Harness p9(
      {.harness = {.loop = {.seed = 9}, .queue_size = 64}, .max_open_files = 3, .writable = true},
      [](const TemporaryTree&) {});
  std::vector<uint32_t> fids;
  fids.reserve(10);
  for (int i = 0; i < 10; ++i) fids.push_back(p9.Created(absl::StrCat(i)));
  p9.driver().EnableInterrupts();
  for (const uint32_t fid : fids) {
    p9.Offer(kP9Write, static_cast<uint16_t>(fid), P9Harness::WriteArguments(fid, 0, "data"), 64);
  }
  if (p9.driver().Publish()) p9.harness().Kick(0);
  p9.loop().RunTurn();
  EXPECT_LE(p9.loop().in_flight(base::FakeEventLoop::Kind::kWrite), 2U);
  p9.loop().RunUntilIdle();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(p9.driver().PopUsed()->len, 11U);
    EXPECT_EQ(p9.HostText(absl::StrCat(i)), "data");
  }
}

}  // namespace
}  // namespace virtio
