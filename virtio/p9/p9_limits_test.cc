// Bounds on what a guest takes of the host by 9P, and promises that the host must keep.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fakes/fake_event_loop.h"
#include "virtio/p9/p9_server.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

using Kind = base::FakeEventLoop::Kind;
using What = base::FakeEventLoop::Event::What;

constexpr uint32_t kRoot = P9Harness::kRoot;

void Fill(const TemporaryTree& host) {
  host.Write("root/file", "content");
  host.Write("root/other", "other");
}

// --- Extended attributes -------------------------------------------------------------------------

P9Harness::Result XattrWalk(P9Harness& p9, uint32_t fid, uint32_t new_fid, absl::string_view name) {
  return p9.Do(kP9XattrWalk, P9Bytes().Number(fid).Number(new_fid).String(name));
}

P9Harness::Result XattrCreate(P9Harness& p9, uint32_t fid, uint64_t size) {
  return p9.Do(kP9XattrCreate, P9Bytes().Number(fid).String("user.x").Number(size).Number(0U));
}

TEST(P9Limits, FidsOfExtendedAttributesAreBoundedAndReleased) {
  P9Harness p9({.max_fids = 20'000, .writable = true}, Fill);
  if (setxattr(p9.HostPath("file").c_str(), "user.empty", "", 0, 0) != 0) {
    GTEST_SKIP() << "the file system has no extended attributes";
  }
  const uint32_t file = p9.Find({"file"});
  for (int round = 0; round < 2; ++round) {
    uint32_t count = 0;
    int error = 0;
    while (count < 5000 && error == 0) {
      error = XattrWalk(p9, file, 10'000 + count, "user.empty").error;
      if (error == 0) ++count;
    }
    EXPECT_EQ(error, ENOMEM);
    EXPECT_GE(count, 500U);
    EXPECT_LE(count, 1024U);
    EXPECT_EQ(p9.Clunk(10'000 + count).error, EBADF);  // there is no such fid
    EXPECT_EQ(XattrCreate(p9, p9.Find({"other"}), 0).error, ENOMEM);
    for (uint32_t i = 0; i < count; ++i) EXPECT_EQ(p9.Clunk(10'000 + i).error, 0);
  }
  EXPECT_EQ(XattrWalk(p9, file, 50, "user.empty").error, 0);
}

TEST(P9Limits, MemoryOfLargeExtendedAttributesIsReleased) {
  P9Harness p9({.writable = true}, Fill);
  if (setxattr(p9.HostPath("file").c_str(), "user.host", "value", 5, 0) != 0) {
    GTEST_SKIP() << "the file system has no extended attributes";
  }
  for (int round = 0; round < 3; ++round) {
    std::vector<uint32_t> fids;
    while (fids.size() < 50) {
      const uint32_t fid = p9.Find({"file"});
      if (XattrCreate(p9, fid, 65536).error != 0) break;
      fids.push_back(fid);
    }
    EXPECT_EQ(fids.size(), 15U);
    for (const uint32_t fid : fids) EXPECT_EQ(p9.Clunk(fid).error, EINVAL);  // nothing was written
  }
}

TEST(P9Limits, AFailedWriteAddsNothingToAnExtendedAttribute) {
  const TemporaryTree host(testing::TempDir());
  host.Write("root/file", "content");
  if (setxattr(host.Path("root/file").c_str(), "user.host", "value", 5, 0) != 0) {
    GTEST_SKIP() << "the file system has no extended attributes";
  }
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host.Path("root");
  options.writable = true;
  const auto tree = *HostTree::Open(std::move(options));
  base::FakeEventLoop loop;
  P9Server server(*tree, loop, P9Versions::kNone, {.fids = 10, .open_files = 10});
  Chain nothing;
  const auto execute = [&](uint8_t type, auto set) {
    P9Command command;
    command.type = type;
    command.fid = 1;
    set(command);
    return server.Execute(command, 4096, nothing).error;
  };
  const auto name = [](P9Command& command, absl::string_view text) {
    std::copy(text.begin(), text.end(), command.name_bytes.begin());
    command.name_count = 1;
    command.name_ends[1] = static_cast<uint16_t>(text.size());
  };
  EXPECT_EQ(execute(kP9Version,
                    [](P9Command& command) {
                      command.max_message_bytes = 8192;
                      command.known_dialect = true;
                    }),
            0);
  EXPECT_EQ(execute(kP9Attach, [](P9Command&) {}), 0);
  EXPECT_EQ(execute(kP9Walk,
                    [&](P9Command& command) {
                      command.new_fid = 1;
                      name(command, "file");
                    }),
            0);
  EXPECT_EQ(execute(kP9XattrCreate,
                    [&](P9Command& command) {
                      command.size_bytes = 4;
                      name(command, "user.zeroes");
                    }),
            0);
  EXPECT_EQ(execute(kP9Write, [](P9Command& command) { command.count = 4; }), EINVAL);
  EXPECT_EQ(execute(kP9Clunk, [](P9Command&) {}), EINVAL);
  EXPECT_LT(getxattr(host.Path("root/file").c_str(), "user.zeroes", nullptr, 0), 0);
  server.EndSession();
}

// --- Messages ------------------------------------------------------------------------------------

TEST(P9Limits, MessagesLargerThanTheAgreedSizeAreRefused) {
  P9Harness p9({.writable = true}, Fill);
  EXPECT_EQ(p9.Version(4096).error, 0);
  EXPECT_EQ(p9.Attach(kRoot).error, 0);
  const uint32_t file = p9.Created("new");
  const int most = 4096 - 23;  // a WRITE has 23 bytes before its data
  const std::string data(static_cast<size_t>(most) + 1, 'x');
  EXPECT_EQ(p9.Write(file, 0, data), -EMSGSIZE);
  EXPECT_EQ(p9.HostText("new"), "");
  EXPECT_EQ(p9.Write(file, 0, data.substr(1)), most);
  EXPECT_EQ(p9.counter("malformed_requests"), 1U);
}

TEST(P9Limits, BeforeVersionLargeMessagesAreRefused) {
  P9Harness p9({.attach = false}, Fill);
  EXPECT_EQ(p9.Version(1 << 20, std::string(4096, 'x')).error, EMSGSIZE);
  EXPECT_EQ(p9.Version(1 << 20, std::string(4000, 'x')).error, 0);
}

// --- Descriptors ---------------------------------------------------------------------------------

TEST(P9Limits, FidsAndOpenFilesCountAsMemoryOfNodes) {
  P9Harness p9({.max_fids = 100'000, .writable = true}, Fill);
  const uint64_t before = p9.counter("node_bytes");
  constexpr uint64_t kFids = 10'000;
  for (uint32_t i = 0; i < kFids; ++i) ASSERT_EQ(p9.Walk(kRoot, 1000 + i, {"file"}).error, 0);
  EXPECT_GE(p9.counter("node_bytes") - before, kFids * 50);
  const uint64_t walked = p9.counter("node_bytes");
  EXPECT_EQ(p9.Open(1000, O_RDWR).error, 0);
  EXPECT_GE(p9.counter("node_bytes") - walked, 100U);
  for (uint32_t i = 0; i < kFids; ++i) ASSERT_EQ(p9.Clunk(1000 + i).error, 0);
  EXPECT_LT(p9.counter("node_bytes"), before + 100'000);
  EXPECT_EQ(p9.Do(kP9Version, P9Bytes().Number(8192U).String("9P2000.L")).error, 0);
  EXPECT_LE(p9.counter("node_bytes"), before);
}

TEST(P9Limits, FidsBeyondTheMemoryAreRefused) {
  P9Harness p9({.max_fids = 100'000, .max_node_bytes = 1 << 20}, Fill);
  uint32_t fids = 0;
  int error = 0;
  while (error == 0 && fids < 100'000) error = p9.Walk(kRoot, 1000 + fids++, {"file"}).error;
  EXPECT_EQ(error, ENFILE);
  EXPECT_GT(fids, 1000U);
  EXPECT_LE(p9.counter("node_bytes"), uint64_t{1} << 20);
  EXPECT_EQ(p9.Clunk(1000).error, 0);
  EXPECT_EQ(p9.Walk(kRoot, 1000, {"file"}).error, 0);
}

size_t Descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

TEST(P9Limits, DescriptorsOfFilesAndLocksAreBounded) {
  P9Harness p9({.max_open_files = 24, .writable = true}, [](const TemporaryTree&) {});
  const size_t before = Descriptors();
  for (int i = 0; i < 40; ++i) {
    const uint32_t file = p9.Created(absl::StrCat(i));
    EXPECT_EQ(p9.Write(file, 0, "x"), 1);
    EXPECT_EQ(p9.Lock(file, kP9WriteLock, 0, 0, 1), i < 3 ? kP9LockSuccess : kP9LockError);
    EXPECT_LE(Descriptors(), before + 24);
  }
}

TEST(P9Limits, AShareCanAlwaysOpenOneFile) {
  for (const uint32_t most : {1U, 2U, 3U, 4U}) {
    P9Harness p9({.max_open_files = most, .writable = true}, Fill);
    for (const char* name : {"file", "other", "file"}) {
      const uint32_t file = p9.Find({name});
      EXPECT_EQ(p9.Open(file, O_RDWR).error, 0);
      EXPECT_EQ(p9.Write(file, 0, "x"), 1);
    }
    EXPECT_EQ(p9.counter("open_files"), most < 3 ? 1U : 2U);
  }
}

// While the process has no descriptor left, nobody can tell whether a file could be opened again.
// The file must not count as lost: later it can be opened.
TEST(P9Limits, AFileIsOpenedAgainAfterALackOfDescriptors) {
  P9Harness p9({.max_open_files = 2, .writable = true}, Fill);
  const uint32_t file = p9.Find({"file"});
  const uint32_t other = p9.Find({"other"});
  EXPECT_EQ(p9.Open(file, O_RDWR).error, 0);
  EXPECT_EQ(p9.SetAttributes(file, {.valid = kP9SetMode, .mode = 0400}).error, 0);
  EXPECT_EQ(p9.SetAttributes(file, {.valid = kP9SetMode, .mode = 0600}).error, 0);
  struct rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const int next = dup(0);
  ASSERT_GE(next, 0);
  close(next);
  const struct rlimit none = {static_cast<rlim_t>(next), limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const int error = p9.Open(other, O_RDWR).error;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(error, EMFILE);
  EXPECT_EQ(p9.Open(other, O_RDWR).error, 0);
  EXPECT_EQ(p9.counter("open_files"), 1U);
  EXPECT_EQ(p9.Write(file, 0, "x"), 1);
}

// --- Promises ------------------------------------------------------------------------------------

// Returns the writes and flushes that completed after the first `from` events, in order.
std::vector<Kind> Ended(P9Harness& p9, size_t from) {
  std::vector<Kind> kinds;
  const auto& events = p9.loop().events();
  for (size_t i = from; i < events.size(); ++i) {
    const bool counts = events[i].kind == Kind::kWrite || events[i].kind == Kind::kFsync ||
                        events[i].kind == Kind::kFdatasync;
    if (counts && events[i].what == What::kCompleted) kinds.push_back(events[i].kind);
  }
  return kinds;
}

std::vector<Kind> WriteEnds(P9Harness& p9, uint32_t fid) {
  const size_t from = p9.loop().events().size();
  EXPECT_EQ(p9.Write(fid, 0, "data"), 4);
  return Ended(p9, from);
}

TEST(P9Promises, SynchronousWritesAreFlushed) {
  P9Harness p9({.max_open_files = 2, .writable = true}, Fill);
  const std::vector<Kind> plain = {Kind::kWrite};
  const std::vector<Kind> data = {Kind::kWrite, Kind::kFdatasync};
  const std::vector<Kind> all = {Kind::kWrite, Kind::kFsync};
  const auto opened = [&](uint32_t flags) {
    const uint32_t fid = p9.Find({"file"});
    EXPECT_EQ(p9.Open(fid, flags).error, 0);
    return fid;
  };
  // The fids share one descriptor, but each write flushes only what its own fid asks for.
  const uint32_t none = opened(O_WRONLY);
  const uint32_t with_data = opened(O_WRONLY | O_DSYNC);
  const uint32_t with_all = opened(O_WRONLY | O_SYNC | O_APPEND);
  const uint32_t created =
      p9.Created("new", O_WRONLY | O_CREAT | O_EXCL | O_SYNC);  // closes "file"
  EXPECT_EQ(WriteEnds(p9, created), all);
  EXPECT_EQ(WriteEnds(p9, none), plain);
  EXPECT_EQ(WriteEnds(p9, with_data), data);
  EXPECT_EQ(WriteEnds(p9, with_all), all);
  EXPECT_EQ(WriteEnds(p9, created), all);  // "new" was closed in between
  EXPECT_EQ(p9.HostText("new"), "data");
}

TEST(P9Promises, AFailedFlushFailsTheWrite) {
  P9Harness p9({.writable = true}, Fill);
  const uint32_t file = p9.Find({"file"});
  EXPECT_EQ(p9.Open(file, O_WRONLY | O_DSYNC).error, 0);
  p9.loop().FailNext(Kind::kFdatasync, EIO);
  EXPECT_EQ(p9.Write(file, 0, "data"), -EIO);
  EXPECT_EQ(p9.counter("host_errors"), 1U);
  // A write that continues after a short write is flushed once, at its end.
  p9.loop().ShortenNext(Kind::kWrite, 2);
  const size_t from = p9.loop().events().size();
  EXPECT_EQ(p9.Write(file, 0, "data"), 4);
  EXPECT_EQ(Ended(p9, from), (std::vector<Kind>{Kind::kWrite, Kind::kWrite, Kind::kFdatasync}));
  EXPECT_EQ(p9.Write(file, 0, ""), 0);
}

TEST(P9Promises, AnInterruptedSynchronousWriteSucceedsOnlyIfFlushed) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    P9Harness p9({.harness = {.loop = {.seed = seed}, .queue_size = 64}, .writable = true}, Fill);
    const uint32_t file = p9.Created("new", O_WRONLY | O_SYNC);
    p9.driver().EnableInterrupts();
    const uint16_t head = p9.Offer(kP9Write, 1, P9Harness::WriteArguments(file, 0, "data"), 64);
    if (p9.driver().Publish()) p9.harness().Kick(0);
    for (uint64_t turn = 0; turn < seed % 5; ++turn) p9.loop().RunTurn();
    if (seed % 2 == 0) {
      EXPECT_TRUE(p9.Stop());
      continue;
    }
    p9.Offer(kP9Flush, 2, P9Bytes().Number(uint16_t{1}), 64);
    p9.harness().Publish(0);
    const auto result = p9.Take(head, kP9Write, 1);
    if (result.error == 0) {
      const size_t from = 0;
      EXPECT_EQ(Ended(p9, from).back(), Kind::kFsync);
    } else {
      EXPECT_EQ(result.error, EINTR);
    }
    EXPECT_TRUE(p9.driver().PopUsed().has_value());
    EXPECT_EQ(p9.Clunk(file).error, 0);
    EXPECT_EQ(p9.counter("open_files"), 0U);
  }
}

TEST(P9Promises, TruncationByUsersTakesSetIdBitsOff) {
  P9Harness p9({.writable = true}, Fill);
  const auto mode_after = [&](uint32_t uid, auto change) {
    EXPECT_EQ(p9.Attach(10, "", uid).error, 0);
    EXPECT_EQ(p9.Walked(10, 11, {"file"}), 1);
    EXPECT_EQ(chmod(p9.HostPath("file").c_str(), 06755), 0);
    change(11U);
    const uint32_t mode = p9.HostStatus("file").st_mode & 07777;
    EXPECT_EQ(p9.Clunk(11).error, 0);
    EXPECT_EQ(p9.Clunk(10).error, 0);
    return mode;
  };
  const auto set_size = [&](uint32_t fid) {
    EXPECT_EQ(p9.SetAttributes(fid, {.valid = kP9SetSize, .size_bytes = 3}).error, 0);
  };
  const auto open = [&](uint32_t fid) { EXPECT_EQ(p9.Open(fid, O_WRONLY | O_TRUNC).error, 0); };
  const auto write_nothing = [&](uint32_t fid) {
    EXPECT_EQ(p9.Open(fid, O_WRONLY).error, 0);
    EXPECT_EQ(p9.Write(fid, 0, ""), 0);
  };
  // Truncates by a CREATE of an existing file.
  const auto create = [&](uint32_t) {
    EXPECT_EQ(p9.Walked(10, 12, {}), 0);
    EXPECT_EQ(p9.Create(12, "file", O_WRONLY | O_TRUNC, 0644).error, 0);
    EXPECT_EQ(p9.GetAttributes(12).As<P9AttributesReply>().size_bytes.value(), 0U);
    EXPECT_EQ(p9.Clunk(12).error, 0);
  };
  EXPECT_EQ(mode_after(1234, set_size), 0755U);
  EXPECT_EQ(mode_after(1234, open), 0755U);
  EXPECT_EQ(mode_after(1234, create), 0755U);
  EXPECT_EQ(mode_after(1234, write_nothing), 06755U);
  if (geteuid() != 0) return;  // changes by an unprivileged process always take the bits off
  EXPECT_EQ(mode_after(0, set_size), 06755U);
  EXPECT_EQ(mode_after(0, open), 06755U);
  EXPECT_EQ(mode_after(0, create), 06755U);
}

// O_TRUNC takes set-id bits off existing files only. A new file has the mode that was asked for.
TEST(P9Promises, NewFilesKeepTheirSetIdBits) {
  if (geteuid() != 0) GTEST_SKIP() << "needs to give files away";
  P9Harness p9({.writable = true}, Fill);
  EXPECT_EQ(p9.Attach(10, "", 1234).error, 0);
  EXPECT_EQ(p9.Create(10, "new", O_WRONLY | O_CREAT | O_TRUNC, 06755, 1234).error, 0);
  EXPECT_EQ(p9.HostStatus("new").st_mode & 07777, 06755U);
}

}  // namespace
}  // namespace virtio
