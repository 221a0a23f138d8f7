// Input and output on every kind of file, for loops with fixed and with plain files.
#include <fcntl.h>
#include <poll.h>
#include <sys/un.h>

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/testing/uring_event_loop_fixtures.h"

namespace base {
namespace {

using Recorder = OperationRecorder;

class UringEventLoopIoTest : public UringEventLoopFixture {};

INSTANTIATE_TEST_SUITE_P(Files, UringEventLoopIoTest, testing::Bool(), FixtureName);

TEST_P(UringEventLoopIoTest, ReadsAndWritesOneAndSeveralVectors) {
  UniqueFd fd = TemporaryFile("0123456789");
  const LoopFile file = Add(fd);
  char a[4] = {}, b[3] = {}, c[2] = {};
  const iovec several[] = {{a, 3}, {b, 2}};
  const iovec one[] = {{c, 2}};
  char text[] = "AB";
  const iovec from[] = {{text, 1}, {text + 1, 1}};
  const iovec from_one[] = {{text, 1}};
  Recorder reads[2], writes[2];
  loop_->ReadV(reads[0], file, several, 1);
  loop_->ReadV(reads[1], file, one, 8);
  loop_->WriteV(writes[0], file, from, 20);
  EXPECT_TRUE(reads[0].pending());
  loop_->WriteV(writes[1], file, from_one, 30);
  RunUntilAll({&reads[0], &reads[1], &writes[0], &writes[1]});
  EXPECT_EQ(reads[0].results, std::vector<int32_t>{5});
  EXPECT_EQ(reads[1].results, std::vector<int32_t>{2});
  EXPECT_EQ(writes[0].results, std::vector<int32_t>{2});
  EXPECT_EQ(writes[1].results, std::vector<int32_t>{1});
  EXPECT_FALSE(reads[0].pending_in_callback);
  EXPECT_STREQ(a, "123");
  EXPECT_STREQ(b, "45");
  EXPECT_EQ(std::string(c, 2), "89");
  char back[2];
  EXPECT_EQ(pread(fd.get(), back, 2, 20), 2);
  EXPECT_EQ(std::string(back, 2), "AB");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 31);
}

TEST_P(UringEventLoopIoTest, ReportsShortReadsAndErrors) {
  UniqueFd fd = TemporaryFile("abc");
  char buffer[10];
  const iovec to[] = {{buffer, 10}};
  Recorder at_end, beyond, bad;
  loop_->ReadV(at_end, Add(fd), to, 1);
  loop_->ReadV(beyond, Add(fd), to, 100);
  UniqueFd write_only(open("/dev/null", O_WRONLY | O_CLOEXEC));
  loop_->ReadV(bad, Add(write_only), to, 0);
  RunUntilAll({&at_end, &beyond, &bad});
  EXPECT_EQ(at_end.results, std::vector<int32_t>{2});
  EXPECT_EQ(beyond.results, std::vector<int32_t>{0});
  EXPECT_EQ(bad.results, std::vector<int32_t>{-EBADF});
}

TEST_P(UringEventLoopIoTest, ReadCachedReadsWhatIsCached) {
  const bool fixed = GetParam();
  UniqueFd fd = TemporaryFile("0123456789");
  const LoopFile file = Add(fd);
  char a[2] = {}, b[3] = {};
  const iovec to[] = {{a, 2}, {b, 3}};
  // Not every file system supports RWF_NOWAIT.
  const bool tells = preadv2(fd.get(), to, 2, 0, RWF_NOWAIT) >= 0;
  const auto expected = [&](int32_t result) { return fixed || !tells ? -EAGAIN : result; };
  EXPECT_EQ(loop_->ReadCached(file, to, 4), expected(5));
  if (expected(0) == 0) {
    EXPECT_EQ(std::string(a, 2) + std::string(b, 3), "45678");
  }
  EXPECT_EQ(loop_->ReadCached(file, to, 8), expected(2));
  EXPECT_EQ(loop_->ReadCached(file, to, 10), expected(0));
  UniqueFd write_only(open("/dev/null", O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(loop_->ReadCached(Add(write_only), to, 0), fixed ? -EAGAIN : -EBADF);
}

TEST_P(UringEventLoopIoTest, FallocatePunchesAndGrowsAndFdatasyncSucceeds) {
  UniqueFd fd = TemporaryFile(std::string(8192, 'x'));
  const LoopFile file = Add(fd);
  Recorder sync, punch, grow;
  loop_->Fallocate(punch, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
  punch.then = [&] { loop_->Fallocate(grow, file, 0, 0, 16384); };
  grow.then = [&] {
    sync.then = [&] { loop_->Stop(); };
    loop_->Fdatasync(sync, file);
  };
  Run();
  EXPECT_EQ(punch.results, std::vector<int32_t>{0});
  EXPECT_EQ(grow.results, std::vector<int32_t>{0});
  EXPECT_EQ(sync.results, std::vector<int32_t>{0});
  char byte = 1;
  EXPECT_EQ(pread(fd.get(), &byte, 1, 100), 1);
  EXPECT_EQ(byte, 0);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 16384);
}

TEST_P(UringEventLoopIoTest, AppendsAtTheCurrentEnd) {
  UniqueFd fd = TemporaryFile("content");
  const LoopFile file = Add(fd);
  char bytes[] = "abcdef";
  const iovec one[] = {{bytes, 1}};
  const iovec two[] = {{bytes + 1, 2}, {bytes + 3, 3}};
  Recorder first, second, sync;
  loop_->AppendV(first, file, one);
  first.then = [&] {
    EXPECT_EQ(ftruncate(fd.get(), 3), 0);
    loop_->AppendV(second, file, two);
  };
  second.then = [&] {
    sync.then = [&] { loop_->Stop(); };
    loop_->Fsync(sync, file);
  };
  Run();
  EXPECT_EQ(first.results, std::vector<int32_t>{1});
  EXPECT_EQ(second.results, std::vector<int32_t>{5});
  EXPECT_EQ(sync.results, std::vector<int32_t>{0});
  char content[16] = {};
  EXPECT_EQ(pread(fd.get(), content, sizeof(content), 0), 8);
  EXPECT_STREQ(content, "conbcdef");
}

TEST_P(UringEventLoopIoTest, AcceptsAndPassesDescriptors) {
  if (GetParam()) return;  // a loop with fixed files cannot take the accepted descriptor
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;  // autobind: the kernel chooses an abstract name
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  socklen_t length = sizeof(address);
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
  UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

  Recorder accept, receive, send;
  loop_->Accept(accept, Add(listener));
  loop_->Post(
      [&] { ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), length), 0); });
  UniqueFd server;
  char buffer[10] = {};
  iovec to = {buffer, sizeof(buffer)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr received = {};
  received.msg_iov = &to;
  received.msg_iovlen = 1;
  received.msg_control = control;
  received.msg_controllen = sizeof(control);

  char text[] = "hi";
  iovec from = {text, 2};
  alignas(cmsghdr) char sent_control[CMSG_SPACE(sizeof(int))] = {};
  msghdr sent = {};
  sent.msg_iov = &from;
  sent.msg_iovlen = 1;
  sent.msg_control = sent_control;
  sent.msg_controllen = sizeof(sent_control);
  cmsghdr* rights = CMSG_FIRSTHDR(&sent);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int passed = client.get();
  memcpy(CMSG_DATA(rights), &passed, sizeof(int));

  accept.then = [&] {
    server.reset(accept.results.at(0));
    loop_->RecvMsg(receive, loop_->AddTemporaryFile(server.get()).value(), received);
    loop_->SendMsg(send, loop_->AddTemporaryFile(client.get()).value(), sent);
  };
  size_t left = 2;
  send.then = receive.then = [&] {
    if (--left == 0) loop_->Stop();
  };
  Run();
  ASSERT_TRUE(server.valid());
  EXPECT_EQ(fcntl(server.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_NE(fcntl(server.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(send.results, std::vector<int32_t>{2});
  EXPECT_EQ(receive.results, std::vector<int32_t>{2});
  EXPECT_STREQ(buffer, "hi");
  ASSERT_NE(CMSG_FIRSTHDR(&received), nullptr);
  int fd = -1;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&received)), sizeof(int));
  UniqueFd owned(fd);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

TEST_P(UringEventLoopIoTest, SendingToAClosedPeerIsAnErrorAndNoSignal) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd a(pair[0]);
  close(pair[1]);
  char text[] = "x";
  iovec from = {text, 1};
  msghdr message = {};
  message.msg_iov = &from;
  message.msg_iovlen = 1;
  Recorder op;
  loop_->SendMsg(op, Add(a), message);
  RunUntil(op);
  EXPECT_EQ(op.results, std::vector<int32_t>{-EPIPE});
}

TEST_P(UringEventLoopIoTest, AThousandOperationsBeforeAndAfterRunFitAnyRing) {
  UniqueFd fd = TemporaryFile(std::string(1000, 'x'));
  const LoopFile file = Add(fd);
  struct Slot {
    Recorder op;
    char byte = 0;
    iovec to = {&byte, 1};
  };
  std::deque<Slot> before(1000), after(1000);
  size_t done = 0;
  const auto start = [&](std::deque<Slot>& slots) {
    const size_t done_before = done;
    uint64_t offset = 0;
    for (Slot& slot : slots) {
      slot.op.then = [&] {
        if (++done == 2000) loop_->Stop();
      };
      loop_->ReadV(slot.op, file, std::span(&slot.to, 1), offset++);
    }
    EXPECT_EQ(done, done_before) << "no OnComplete from inside the call that starts";
  };
  start(before);
  loop_->Post([&] { start(after); });
  Run();
  EXPECT_EQ(done, 2000u);
  for (const Slot& slot : before) EXPECT_EQ(slot.byte, 'x');
  for (const Slot& slot : after) EXPECT_EQ(slot.op.results, std::vector<int32_t>{1});
}

TEST_P(UringEventLoopIoTest, OnlyALoopWithoutATableTakesTemporaryFiles) {
  if (GetParam()) {
    const UniqueFd fd = TemporaryFile("abc");
    EXPECT_EQ(loop_->AddTemporaryFile(fd.get()).status(),
              absl::FailedPreconditionError("event loop: it takes no temporary files"));
    EXPECT_EQ(loop_->LendFile(fd.get()).status(),
              absl::FailedPreconditionError("event loop: it takes no temporary files"));
    return;
  }
  UniqueFd fd = TemporaryFile("abc");
  int rounds = 0;
  char byte;
  iovec to = {&byte, 1};
  Recorder op;
  LoopFile file;
  const auto next = [&] {
    file = loop_->AddTemporaryFile(fd.get()).value();
    loop_->ReadV(op, file, std::span(&to, 1), 0);
  };
  op.then = [&] {
    EXPECT_EQ(op.results.back(), 1);
    loop_->RemoveFile(file);
    if (++rounds == 1000) return loop_->Stop();
    next();
  };
  loop_->Post(next);
  Run();
  EXPECT_EQ(rounds, 1000);
}

TEST_P(UringEventLoopIoTest, RemoveFileLeavesALentFileOpen) {
  if (GetParam()) return;  // a loop with fixed files takes no lent files
  const UniqueFd fd = TemporaryFile("abc");
  char byte = 0;
  iovec to = {&byte, 1};
  Recorder op;
  LoopFile file;
  loop_->Post([&] {
    file = loop_->LendFile(fd.get()).value();
    EXPECT_EQ(file.index(), fd.get());  // the loop has no descriptor of its own
    loop_->ReadV(op, file, std::span(&to, 1), 1);
  });
  op.then = [&] {
    loop_->RemoveFile(file);
    EXPECT_DEATH(loop_->RemoveFile(file), "temporary_files_");
    loop_->Stop();
  };
  Run();
  EXPECT_EQ(op.results, std::vector<int32_t>{1});
  EXPECT_EQ(byte, 'b');
  EXPECT_GE(fcntl(fd.get(), F_GETFD), 0);  // RemoveFile did not close it
}

TEST_P(UringEventLoopIoTest, TheLoopKeepsItsOwnReferenceToAFile) {
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  UniqueFd reader(pipe_fds[0]);
  LoopFile file;
  {
    UniqueFd writer(pipe_fds[1]);
    file = Add(writer);
  }
  char text[] = "x";
  iovec from = {text, 1};
  Recorder op;
  loop_->WriteV(op, file, std::span(&from, 1), 0);
  RunUntil(op);
  EXPECT_EQ(op.results, std::vector<int32_t>{1});
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 1);
}

// If a file could leave the table, the kernel might keep its memory for as long as the ring lives.
TEST_P(UringEventLoopIoTest, PermanentFilesCannotBeAddedOrRemovedWhileTheLoopRuns) {
  const UniqueFd fd = TemporaryFile("abc");
  const LoopFile file = Add(fd);
  loop_->Post([&] {
    EXPECT_EQ(loop_->AddFile(fd.get()).status(),
              absl::FailedPreconditionError("event loop: it runs; its files are fixed"));
    loop_->Stop();
  });
  Run();
  EXPECT_DEATH(loop_->RemoveFile(file), "temporary_files_");
}

TEST_P(UringEventLoopIoTest, RemoveFileClosesAFileThatTheLoopTookOver) {
  if (GetParam()) return;  // a loop with fixed files takes none over
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  UniqueFd reader(pipe_fds[0]);
  const LoopFile file = loop_->TakeFile(UniqueFd(pipe_fds[1])).value();
  char text[] = "x";
  iovec from = {text, 1};
  Recorder op;
  loop_->WriteV(op, file, std::span(&from, 1), 0);
  RunUntil(op);
  EXPECT_EQ(op.results, std::vector<int32_t>{1});
  loop_->RemoveFile(file);
  char bytes[2];
  EXPECT_EQ(read(reader.get(), bytes, sizeof(bytes)), 1);
  EXPECT_EQ(read(reader.get(), bytes, sizeof(bytes)), 0);  // no descriptor for writing is left
}

TEST(UringEventLoop, AddFileFailsWhenTheTableIsFull) {
  UringEventLoop::Options options;
  options.max_files = 2;  // one is for the loop's own eventfd
  auto loop = UringEventLoop::Create(options).value();
  UniqueFd fd = TemporaryFile();
  EXPECT_TRUE(loop->AddFile(fd.get()).ok());
  EXPECT_EQ(loop->AddFile(fd.get()).status(),
            absl::ResourceExhaustedError("event loop: more than 2 files"));
}

}  // namespace
}  // namespace base
