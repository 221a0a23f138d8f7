// Tests ptys, pipes, sockets as standard output, and the terminal: that bytes pass, and what
// happens when no program reads.

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
#include "base/uring_event_loop.h"
#include "devices/character/testing/character_fixtures.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

TEST_F(CharacterBackendTest, PtyCarriesInputAndOutput) {
  Start({.mode = CharacterMode::kPty});
  const base::UniqueFd user(open(backend_->host_path().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(user.valid()) << backend_->host_path();
  Print("login: ");
  EXPECT_EQ(ReadUntil(user.get(), "login: "), "login: ");
  Send(user.get(), "root\x03");  // raw mode: no signals, no echo, no line editing
  EXPECT_TRUE(Eventually([this] { return client_.input() == "root\x03"; }));
}

TEST_F(CharacterBackendTest, PtyWorksAgainAfterItsUserLeaves) {
  Start({.mode = CharacterMode::kPty});
  for (int i = 0; i < 3; ++i) {
    const base::UniqueFd user(open(backend_->host_path().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    Print("again");
    EXPECT_EQ(ReadUntil(user.get(), "again"), "again");
  }
}

TEST_F(CharacterBackendTest, UnreadPtyDropsTheOldestOutput) {
  Start({.mode = CharacterMode::kPty});
  Flood();
  const base::UniqueFd user(open(backend_->host_path().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  ExpectDropsThenMark(user.get());
}

TEST_F(CharacterBackendTest, UnreadPipeDropsTheOldestOutput) {
  Pipe out, in;
  Start({.mode = CharacterMode::kTty,
         .input_fd = in.read_end.get(),
         .output_fd = out.write_end.get()});
  Flood();
  EXPECT_EQ(fcntl(out.write_end.get(), F_GETFL) & O_NONBLOCK, 0) << "other programs share the pipe";
  ExpectDropsThenMark(out.read_end.get());
}

TEST_F(CharacterBackendTest, UnreadPipeHoldsMarkAndLastLinesAtTheEnd) {
  Pipe out, in;
  Start({.mode = CharacterMode::kTty,
         .input_fd = in.read_end.get(),
         .output_fd = out.write_end.get()});
  FinishUnread();
  out.write_end.reset();
  loop_.reset();
  ExpectMarkAndLastOutput(out.read_end.get());
}

TEST_F(CharacterBackendTest, UnreadFifoHoldsMarkAndLastLinesAtTheEnd) {
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const base::UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  Start({.mode = CharacterMode::kFile, .path = fifo});
  FinishUnread();
  loop_.reset();
  ExpectMarkAndLastOutput(reader.get());
}

TEST_F(CharacterBackendTest, UnreadSocketHoldsMarkAndLastLinesAtTheEnd) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  base::UniqueFd ours(fds[0]);
  const base::UniqueFd theirs(fds[1]);
  Pipe in;
  Start({.mode = CharacterMode::kTty, .input_fd = in.read_end.get(), .output_fd = ours.get()});
  FinishUnread();
  ours.reset();
  loop_.reset();
  ExpectMarkAndLastOutput(theirs.get());
}

TEST_F(CharacterBackendTest, PipeWithoutAReaderDropsOutput) {
  Pipe out, in;
  Start({.mode = CharacterMode::kTty,
         .input_fd = in.read_end.get(),
         .output_fd = out.write_end.get()});
  out.read_end.reset();
  signal(SIGPIPE, SIG_IGN);
  Print("anybody?");
  EXPECT_TRUE(Eventually([this] { return backend_->dropped_bytes() == 8; }));
  Flood();
  EXPECT_TRUE(backend_->drained());
  EXPECT_GT(backend_->dropped_bytes(), kFloodBytes);
}

TEST_F(CharacterBackendTest, UnreadSocketAsStandardOutputDropsTheOldestOutput) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const base::UniqueFd ours(fds[0]), theirs(fds[1]);
  Pipe in;
  Start({.mode = CharacterMode::kTty, .input_fd = in.read_end.get(), .output_fd = ours.get()});
  Flood();
  ExpectDropsThenMark(theirs.get());
}

// The socket keeps packets apart, so the number of packets is the number of writes.
TEST_F(CharacterBackendTest, SingleBytesAreWrittenTogether) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
  const base::UniqueFd ours(fds[0]), theirs(fds[1]);
  Pipe in;
  Start({.mode = CharacterMode::kTty, .input_fd = in.read_end.get(), .output_fd = ours.get()});
  int packets = 0;
  size_t bytes = 0;
  std::thread reader([&] {
    char buffer[8192];
    for (bool ended = false; !ended;) {
      const ssize_t count = recv(theirs.get(), buffer, sizeof(buffer), 0);
      if (count <= 0) break;
      ++packets;
      bytes += static_cast<size_t>(count);
      ended = buffer[count - 1] == '!';
    }
  });
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 3000; ++i) {
    Print("x");
    std::this_thread::sleep_for(std::chrono::microseconds(5));
  }
  Print("!");
  reader.join();
  const auto elapsed = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(bytes, 3001u);
  EXPECT_LE(packets, elapsed / std::chrono::milliseconds(1) + 2);
}

TEST_F(CharacterBackendTest, PipedInputIsPassedThroughWithoutEscapes) {
  Pipe out, in;
  bool escaped = false;
  Start({.mode = CharacterMode::kTty,
         .on_escape = [&escaped] { escaped = true; },
         .input_fd = in.read_end.get(),
         .output_fd = out.write_end.get()});
  Send(in.write_end.get(), "a\x01x");
  EXPECT_TRUE(Eventually([this] { return client_.input() == "a\x01x"; }));
  StopLoop();
  EXPECT_FALSE(escaped);
}

TEST_F(CharacterBackendTest, InputWaitsForTheGuest) {
  Pipe out, in;
  client_.SetRoom(5);
  Start({.mode = CharacterMode::kTty,
         .input_fd = in.read_end.get(),
         .output_fd = out.write_end.get()});
  const std::string text(40000, 'i');
  Send(in.write_end.get(), text);
  EXPECT_TRUE(Eventually([this] { return client_.input().size() == 5; }));
  int waiting = 0;
  ASSERT_EQ(ioctl(in.read_end.get(), FIONREAD, &waiting), 0);
  EXPECT_GT(waiting, 30000) << "input that the guest does not take must not be read";
  // One look at the input both ends the loop and says where it was: between two looks the last byte
  // may arrive, and then no more input comes.
  for (size_t before = 5; before < text.size(); before = client_.input().size()) {
    client_.SetRoom(1000);
    backend_->ResumeInput();
    ASSERT_TRUE(Eventually([&] { return client_.input().size() > before; }));
  }
  EXPECT_EQ(client_.input(), text);
}

// The loop's thread must sleep, not spin, when no more input can come.
TEST_F(CharacterBackendTest, EndOfInputDoesNotSpin) {
  Pipe out, in;
  Start({.mode = CharacterMode::kTty,
         .input_fd = in.read_end.get(),
         .output_fd = out.write_end.get()});
  Send(in.write_end.get(), "last");
  in.write_end.reset();
  EXPECT_TRUE(Eventually([this] { return client_.input() == "last"; }));
  rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  getrusage(RUSAGE_SELF, &after);
  const auto microseconds = [](const timeval& t) { return t.tv_sec * 1000000 + t.tv_usec; };
  EXPECT_LT(microseconds(after.ru_utime) + microseconds(after.ru_stime) -
                microseconds(before.ru_utime) - microseconds(before.ru_stime),
            50000);
  Print("still there");
  EXPECT_EQ(ReadUntil(out.read_end.get(), "still there"), "still there");
}

class TtyTest : public CharacterBackendTest {
 protected:
  void SetUp() override {
    CharacterBackendTest::SetUp();
    user_.reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_EQ(unlockpt(user_.get()), 0);
    terminal_.reset(ioctl(user_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    SetSize(80, 25);
  }
  void SetSize(uint16_t columns, uint16_t rows) {
    const winsize size = {.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ASSERT_EQ(ioctl(user_.get(), TIOCSWINSZ, &size), 0);
  }
  bool Canonical() {
    termios mode = {};
    EXPECT_EQ(tcgetattr(terminal_.get(), &mode), 0);
    return (mode.c_lflag & ICANON) != 0;
  }
  CharacterBackendOptions Options() {
    return {.mode = CharacterMode::kTty,
            .on_escape = [this] { escaped_ = true; },
            .input_fd = terminal_.get(),
            .output_fd = terminal_.get()};
  }
  base::UniqueFd user_, terminal_;
  std::atomic<bool> escaped_ = false;
};

TEST_F(TtyTest, IsRawWhileTheBackendLivesAndRestoredAfterwards) {
  Start(Options());
  EXPECT_FALSE(Canonical());
  StopLoop();
  backend_.reset();
  EXPECT_TRUE(Canonical());
}

TEST_F(TtyTest, CarriesInputAndOutputAndFindsTheEscape) {
  Start(Options());
  Print("login: ");
  EXPECT_EQ(ReadUntil(user_.get(), "login: "), "login: ");
  Send(user_.get(), "root\r");
  EXPECT_TRUE(Eventually([this] { return client_.input() == "root\r"; }));
  EXPECT_FALSE(escaped_);
  Send(user_.get(), "\x01x");
  EXPECT_TRUE(Eventually([this] { return escaped_.load(); }));
  EXPECT_EQ(client_.input(), "root\r");
}

// `stty` in another shell changes the mode like this.
TEST_F(TtyTest, InputContinuesWhenAnotherProgramChangesTheMode) {
  Start(Options());
  termios mode = {};
  ASSERT_EQ(tcgetattr(terminal_.get(), &mode), 0);
  for (int i = 0; i < 3; ++i) {
    mode.c_lflag ^= ECHOE;
    ASSERT_EQ(tcsetattr(terminal_.get(), TCSANOW, &mode), 0);
    Send(user_.get(), "x");
    ASSERT_TRUE(Eventually([&] { return client_.input().size() == static_cast<size_t>(i) + 1; }));
  }
}

TEST_F(TtyTest, EscapeWorksWhenTheGuestTakesNoInput) {
  client_.SetRoom(0);
  Start(Options());
  for (int i = 0; i < 200; ++i) Send(user_.get(), std::string(1000, 'k'));
  Send(user_.get(), "\x01x");
  EXPECT_TRUE(Eventually([this] { return escaped_.load(); }));
}

TEST_F(TtyTest, ClientGetsTheSizeAtStartAndAtChanges) {
  Start(Options());
  EXPECT_TRUE(Eventually([this] { return client_.size() == (80 << 16 | 25); }));
  SetSize(132, 50);
  backend_->NotifyTerminal();
  EXPECT_TRUE(Eventually([this] { return client_.size() == (132 << 16 | 50); }));
}

TEST_F(TtyTest, UnreadTerminalDropsTheOldestOutput) {
  Start(Options());
  Flood();
  ExpectDropsThenMark(user_.get());
}

TEST_F(TtyTest, HangUpEndsInputAndDropsOutput) {
  Start(Options());
  user_.reset();
  Print("hello?");
  EXPECT_TRUE(Eventually([this] { return backend_->dropped_bytes() == 6; }));
  EXPECT_TRUE(backend_->drained());
}

TEST_F(TtyTest, SecondDeviceIsAnError) {
  Start(Options());
  auto other = base::UringEventLoop::Create({.fixed_files = false});
  CharacterBackendOptions options = Options();
  options.name = "serial";
  EXPECT_EQ(std::string(CreateCharacterBackend(std::move(options), **other).status().message()),
            "serial: only one device can have the terminal (mode Tty)");
  EXPECT_FALSE(Canonical());  // the terminal still belongs to the first device
}

}  // namespace
}  // namespace devices
