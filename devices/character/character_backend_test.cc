// Tests all modes of character backend on a real event loop: that bytes pass, and what happens when
// no program reads.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "base/uring_event_loop.h"
#include "devices/character/create_backend.h"
#include "devices/character/output_ring.h"
#include "devices/character/terminal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

using ::testing::HasSubstr;

constexpr size_t kFloodBytes = 10 << 20;

bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// Takes up to `room` bytes of input.
class Client : public CharacterClient {
 public:
  size_t OnInput(std::span<const uint8_t> bytes) override {
    base::MutexLock lock(mutex_);
    const size_t taken = std::min(bytes.size(), room_);
    room_ -= taken;
    input_.append(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    return taken;
  }
  void OnResize(uint16_t columns, uint16_t rows) override {
    size_ = uint32_t{columns} << 16 | rows;
  }
  void SetRoom(size_t room) {
    base::MutexLock lock(mutex_);
    room_ = room;
  }
  std::string input() {
    base::MutexLock lock(mutex_);
    return input_;
  }
  uint32_t size() const { return size_; }

 private:
  base::Mutex mutex_;
  size_t room_ ABSL_GUARDED_BY(mutex_) = ~size_t{0};
  std::string input_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint32_t> size_ = 0;
};

class CharacterBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/character_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    auto loop = base::UringEventLoop::Create({.fixed_files = false});
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = std::move(*loop);
  }
  void TearDown() override {
    StopLoop();
    backend_.reset();
    loop_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Start(CharacterBackendOptions options) {
    options.name = "console";
    auto backend = CreateCharacterBackend(std::move(options), *loop_);
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = std::move(*backend);
    backend_->SetClient(&client_);
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void StopLoop() {
    if (!thread_.joinable()) return;
    loop_->Stop();
    thread_.join();
  }
  std::string Error(CharacterBackendOptions options) {
    options.name = "console";
    return std::string(CreateCharacterBackend(std::move(options), *loop_).status().message());
  }
  void Print(const std::string& text) {
    backend_->Write(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }
  // Prints kFloodBytes in small pieces, as a guest does. The test hangs here if printing waits for
  // a sink that takes nothing.
  void Flood() {
    const std::string line(61, 'f');
    for (size_t bytes = 0; bytes < kFloodBytes; bytes += line.size()) Print(line);
  }
  // Call it after Flood() into a sink that took nothing beyond its own buffers. Expects that most
  // output was dropped, and that a reader now finds the kept output, the mark and the end.
  void ExpectDropsThenMark(int fd) {
    EXPECT_GT(backend_->dropped_bytes(), kFloodBytes / 2);
    EXPECT_FALSE(backend_->drained());
    Print("THE END");
    const std::string text = ReadUntil(fd, "THE END");
    EXPECT_NE(text.find("bytes dropped]\r\n"), std::string::npos) << text.size();
    EXPECT_LT(text.size(), kFloodBytes / 2);
    EXPECT_GT(text.size(), OutputRing::kCapacityBytes / 2);
    EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  }
  static std::string ReadUntil(int fd, const std::string& end) {
    std::string text;
    while (text.size() < end.size() || text.compare(text.size() - end.size(), end.size(), end)) {
      pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&poll_fd, 1, 60'000) != 1) break;
      char buffer[4096];
      const ssize_t count = read(fd, buffer, sizeof(buffer));
      if (count <= 0) break;
      text.append(buffer, static_cast<size_t>(count));
    }
    return text;
  }
  static std::string ReadFile(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Ends the backend as the end of the VM does, while no program reads.
  void FinishUnread() {
    Flood();
    Print("THE END");
    EXPECT_FALSE(backend_->drained());
    backend_->FinishOutput();
    EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
    StopLoop();
    backend_.reset();
  }
  // Call it after FinishUnread(). Expects that a reader finds the oldest output, the mark and the
  // guest's last output.
  static void ExpectMarkAndLastOutput(int fd) {
    const std::string text = ReadUntil(fd, "no such text");
    const size_t mark = text.find("bytes dropped]\r\n");
    ASSERT_NE(mark, std::string::npos) << text.size();
    EXPECT_GE(text.size() - mark, OutputRing::kCapacityBytes);
    EXPECT_EQ(text.substr(text.size() - 7), "THE END");
  }
  base::UniqueFd Connect(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  std::string directory_;
  Client client_;
  std::unique_ptr<base::UringEventLoop> loop_;
  std::unique_ptr<CharacterBackend> backend_;
  std::thread thread_;
};

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
  base::UniqueFd read_end, write_end;
};

void Send(int fd, const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t count = write(fd, text.data() + sent, text.size() - sent);
    ASSERT_GT(count, 0) << strerror(errno);
    sent += static_cast<size_t>(count);
  }
}

TEST_F(CharacterBackendTest, NullTakesEverything) {
  Start({.mode = CharacterMode::kNull});
  Flood();
  EXPECT_TRUE(backend_->drained());
  EXPECT_EQ(backend_->dropped_bytes(), 0u);
}

TEST_F(CharacterBackendTest, FileGetsAllOutput) {
  const std::string path = directory_ + "/out";
  std::ofstream(path) << "old contents";
  Start({.mode = CharacterMode::kFile, .path = path});
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    Print(line);
    expected += line;
  }
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), expected);
  EXPECT_EQ(backend_->host_path(), path);
}

TEST_F(CharacterBackendTest, FileIsCreatedWithMode0600) {
  const std::string path = directory_ + "/out";
  Start({.mode = CharacterMode::kFile, .path = path});
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

// Makes writes to the file fail as on a full disk.
TEST_F(CharacterBackendTest, FileErrorsDropOutputUntilWritingWorksAgain) {
  const std::string path = directory_ + "/out";
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 5, .rlim_max = before.rlim_max};
  Start({.mode = CharacterMode::kFile, .path = path});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Print("12345678");
  EXPECT_TRUE(Eventually([this] { return backend_->dropped_bytes() == 3; }));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  Print("again");
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            "12345\r\n[vmm: 3 bytes dropped]\r\nagain");
}

constexpr uint64_t kLimitBytes = 64 * 1024;

TEST_F(CharacterBackendTest, FileStaysWithinItsLimitHoweverMuchTheGuestPrints) {
  const std::string path = directory_ + "/out";
  Start({.mode = CharacterMode::kFile, .path = path, .max_file_bytes = kLimitBytes});
  std::string expected;
  for (int i = 0; i < 10'000; ++i) {  // 100 bytes each: 15 files full
    std::string line = "line " + std::to_string(i) + " ";
    line.resize(99, '.');
    line += '\n';
    expected += line;
    Print(line);
    // Prints no faster than the file takes the output, so that nothing is dropped.
    if (i % 100 == 0) {
      ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
    }
    EXPECT_LE(std::filesystem::file_size(path), kLimitBytes);
    EXPECT_LE(std::filesystem::file_size(path + ".old"), kLimitBytes);
  }
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  const std::string kept = ReadFile(path + ".old") + ReadFile(path);
  EXPECT_GT(kept.size(), kLimitBytes);
  EXPECT_EQ(kept, expected.substr(expected.size() - kept.size()));
  EXPECT_EQ(backend_->dropped_bytes(), 0u);
  EXPECT_EQ(backend_->removed_bytes(), expected.size() - kept.size());
}

TEST_F(CharacterBackendTest, FullFileWithoutAPredecessorIsEmptiedAndMarksTheLoss) {
  const std::string path = directory_ + "/out";
  std::filesystem::create_directory(path + ".old");
  Start({.mode = CharacterMode::kFile, .path = path, .max_file_bytes = kLimitBytes});
  const std::string full(kLimitBytes, 'a');
  Print(full);
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  EXPECT_EQ(std::filesystem::file_size(path), kLimitBytes);
  Print("THE END");
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  EXPECT_EQ(ReadFile(path), "\r\n[vmm: 65536 bytes dropped]\r\nTHE END");
  EXPECT_EQ(backend_->dropped_bytes(), kLimitBytes);
}

TEST_F(CharacterBackendTest, FileThatWasMovedAwayKeepsItsContentsAndGetsNoMore) {
  const std::string path = directory_ + "/out", saved = directory_ + "/saved";
  Start({.mode = CharacterMode::kFile, .path = path, .max_file_bytes = kLimitBytes});
  Print(std::string(kLimitBytes, 'a'));
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::filesystem::rename(path, saved);
  Print("more");
  EXPECT_TRUE(Eventually([this] { return backend_->dropped_bytes() == 4; }));
  EXPECT_EQ(ReadFile(saved), std::string(kLimitBytes, 'a'));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(backend_->drained());
}

TEST_F(CharacterBackendTest, RegularFileAsStandardOutputStaysWithinTheLimit) {
  const std::string path = directory_ + "/log";
  const base::UniqueFd log(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const base::UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Start({.mode = CharacterMode::kTty,
         .max_file_bytes = kLimitBytes,
         .input_fd = null.get(),
         .output_fd = log.get()});
  Flood();
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  Print("more");
  EXPECT_TRUE(backend_->drained());
  const uint64_t stored = std::filesystem::file_size(path);
  EXPECT_LE(stored, kLimitBytes);
  EXPECT_GT(stored, kLimitBytes / 2);
  EXPECT_FALSE(std::filesystem::exists(path + ".old"));
}

// logrotate's copytruncate empties a file like this.
TEST_F(CharacterBackendTest, OutputToAnEmptiedFileContinuesAtItsBeginning) {
  const std::string path = directory_ + "/out";
  Start({.mode = CharacterMode::kFile, .path = path});
  Print("before");
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::filesystem::resize_file(path, 0);
  Print("after");
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  EXPECT_EQ(ReadFile(path), "after");
}

// A pipe stores nothing, so its reader may take any amount.
TEST_F(CharacterBackendTest, FifoHasNoLimit) {
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const base::UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  Start({.mode = CharacterMode::kFile, .path = fifo, .max_file_bytes = kLimitBytes});
  const std::string piece(kLimitBytes / 2, 'p');
  for (int i = 0; i < 10; ++i) {
    Print(piece + std::to_string(i));
    EXPECT_EQ(ReadUntil(reader.get(), std::to_string(i)), piece + std::to_string(i));
  }
  EXPECT_FALSE(std::filesystem::exists(fifo + ".old"));
}

TEST_F(CharacterBackendTest, FullDeviceDropsOutputButNeverBlocks) {
  Start({.mode = CharacterMode::kFile, .path = "/dev/full"});
  Flood();
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  EXPECT_GE(backend_->dropped_bytes(), kFloodBytes);
}

TEST_F(CharacterBackendTest, ErrorsNameKeyAndPath) {
  EXPECT_EQ(
      Error({.mode = CharacterMode::kFile, .path = "/nonexistent/x"}),
      "console.file: /nonexistent/x: cannot open for writing (make its folder first): No such "
      "file or directory (ENOENT)");
  EXPECT_THAT(Error({.mode = CharacterMode::kSocket, .path = "/nonexistent/x"}),
              HasSubstr("console.socket: /nonexistent/x.lock: cannot open"));
  EXPECT_THAT(Error({.mode = CharacterMode::kTty, .output_fd = 999}),
              HasSubstr("console: standard output is not open"));
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(Error({.mode = CharacterMode::kFile, .path = fifo}),
              HasSubstr("a FIFO needs its reader first"));
}

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

TEST_F(CharacterBackendTest, RegularFileAsStandardOutputIsAppendedTo) {
  const std::string path = directory_ + "/log";
  std::ofstream(path) << "before\n";
  const base::UniqueFd log(open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  const base::UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Start({.mode = CharacterMode::kTty, .input_fd = null.get(), .output_fd = log.get()});
  Print("from the guest\n");
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "before\nfrom the guest\n");
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
  while (client_.input().size() < text.size()) {
    const size_t before = client_.input().size();
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

class SocketTest : public CharacterBackendTest {
 protected:
  void SetUp() override {
    CharacterBackendTest::SetUp();
    path_ = directory_ + "/console.sock";
  }
  void StartSocket() { Start({.mode = CharacterMode::kSocket, .path = path_}); }
  std::string path_;
};

TEST_F(SocketTest, CarriesInputAndOutputAndKeepsEarlierOutput) {
  StartSocket();
  Print("early ");
  const base::UniqueFd user = Connect(path_);
  Print("login: ");
  EXPECT_EQ(ReadUntil(user.get(), "login: "), "early login: ");
  Send(user.get(), "root\n");
  EXPECT_TRUE(Eventually([this] { return client_.input() == "root\n"; }));
}

TEST_F(SocketTest, OutputWithoutAClientDropsTheOldest) {
  StartSocket();
  Flood();
  EXPECT_TRUE(backend_->drained()) << "no client is connected that could be waited for";
  EXPECT_GE(backend_->dropped_bytes(), kFloodBytes - OutputRing::kCapacityBytes);
  const base::UniqueFd user = Connect(path_);
  Print("THE END");
  const std::string text = ReadUntil(user.get(), "THE END");
  EXPECT_EQ(text.substr(0, 8), "\r\n[vmm: ");
  EXPECT_LE(text.size(), OutputRing::kCapacityBytes + OutputRing::kMinTakeBytes);
}

TEST_F(SocketTest, UnreadClientDropsTheOldestOutput) {
  StartSocket();
  const base::UniqueFd user = Connect(path_);
  Print("hello");
  EXPECT_EQ(ReadUntil(user.get(), "hello"), "hello");
  Flood();
  ExpectDropsThenMark(user.get());
}

TEST_F(SocketTest, NextClientIsServedWhenTheFirstLeaves) {
  StartSocket();
  base::UniqueFd first = Connect(path_);
  Print("one");
  EXPECT_EQ(ReadUntil(first.get(), "one"), "one");
  for (int i = 0; i < 20; ++i) {
    const base::UniqueFd second = Connect(path_);
    first.reset();
    Send(second.get(), "x");
    EXPECT_TRUE(Eventually([&] { return client_.input().size() == static_cast<size_t>(i) + 1; }));
    Print("two");
    EXPECT_EQ(ReadUntil(second.get(), "two"), "two");
    first.reset(dup(second.get()));
  }
}

TEST_F(SocketTest, NextClientIsServedWhenAStalledOneLeaves) {
  StartSocket();
  base::UniqueFd first = Connect(path_);
  Flood();
  first.reset();
  const base::UniqueFd second = Connect(path_);
  Print("THE END");
  EXPECT_THAT(ReadUntil(second.get(), "THE END"), HasSubstr("THE END"));
}

TEST_F(SocketTest, ClientThatOnlyReadsIsServedUntilAnotherConnects) {
  StartSocket();
  const base::UniqueFd first = Connect(path_);
  ASSERT_EQ(shutdown(first.get(), SHUT_WR), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Print("one");
  EXPECT_EQ(ReadUntil(first.get(), "one"), "one");
  const base::UniqueFd second = Connect(path_);
  EXPECT_EQ(ReadUntil(first.get(), "end of file"), "");
  Print("two");
  EXPECT_EQ(ReadUntil(second.get(), "two"), "two");
}

TEST_F(SocketTest, UnreadClientHoldsMarkAndLastLinesAtTheEnd) {
  StartSocket();
  const base::UniqueFd user = Connect(path_);
  Print("hello");
  EXPECT_EQ(ReadUntil(user.get(), "hello"), "hello");
  FinishUnread();
  loop_.reset();
  ExpectMarkAndLastOutput(user.get());
}

TEST_F(SocketTest, PathIsRemovedAtTheEnd) {
  StartSocket();
  EXPECT_TRUE(std::filesystem::exists(path_));
  StopLoop();
  backend_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace devices
