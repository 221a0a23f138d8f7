// Tests the program from outside, as systemd and a shell use it: descriptors, signals, exit
// statuses. Needs /dev/kvm.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "boot/testing/kernel_fixtures.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

using Code = std::vector<uint8_t>;

// 32-bit code: prints 'R' on COM1, reads the event register until the power button is set in it,
// then powers off.
const Code kReadyThenWait = {0xB0, 'R',  0x66, 0xBA, 0xF8, 0x03, 0xEE, 0x66,
                             0xBA, 0x04, 0x06, 0xEC, 0xA8, 0x01, 0x74, 0xFB,
                             0xB0, 0x34, 0x66, 0xBA, 0x00, 0x06, 0xEE, 0xF4};
// Prints 'R' and halts for ever.
const Code kReadyThenHalt = {0xB0, 'R', 0x66, 0xBA, 0xF8, 0x03, 0xEE, 0xF4, 0xEB, 0xFD};
// Prints 'R' `count` times and powers off.
Code PrintThenPowerOff(uint32_t count) {
  const auto byte = [count](int shift) { return static_cast<uint8_t>(count >> shift); };
  return {0xB9, byte(0), byte(8), byte(16), byte(24), 0xB0, 'R',  0x66, 0xBA, 0xF8, 0x03,
          0xEE, 0xE2,    0xFD,    0xB0,     0x34,     0x66, 0xBA, 0x00, 0x06, 0xEE, 0xF4};
}

class MainTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "vmm-main-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::ofstream(folder_ + "/disk") << std::string(1 << 16, 'x');
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Writes a config whose kernel is this `code`, and returns its path.
  std::string WriteConfig(const Code& code, const std::string& payload_key = "kernel") const {
    boot::Bytes elf = boot::MakeElf();
    std::copy(code.begin(), code.end(), elf.begin() + boot::kElfCodeOffset + 0x10);
    std::ofstream(folder_ + "/kernel", std::ios::binary)
        .write(reinterpret_cast<const char*>(elf.data()), static_cast<std::streamsize>(elf.size()));
    std::string config = folder_ + "/vm.json";
    std::ofstream(config) << R"({"memory": {"size": "64M"}, "payload": {")" << payload_key
                          << R"(": "kernel"}, "disks": [{"path": "disk"}],
        "console": {"mode": "Null"}, "serial": {"mode": "File", "file": "out"}})";
    return config;
  }
  // Starts the program. `prepare` runs in the new process before.
  void Start(
      const Code& code, const std::string& payload_key = "kernel",
      const std::function<void()>& prepare = [] {}) {
    const std::string config = WriteConfig(code, payload_key);
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      prepare();
      execl(VMM_PROGRAM, VMM_PROGRAM, "--config", config.c_str(), nullptr);
      _exit(99);
    }
  }
  // Waits until the output of the guest or of the program contains `text`.
  void WaitFor(const char* file, const std::string& text) {
    for (int i = 0; i < 60'000 && Read(file).find(text) == std::string::npos; ++i) usleep(1000);
  }
  void WaitUntilReady() { WaitFor("/out", "R"); }
  // Waits until the guest has printed 'R' on the socket `name`. Returns false if the program ends
  // before.
  bool ReadyOnSocket(const char* name) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, (folder_ + name).c_str(), sizeof(address.sun_path) - 1);
    siginfo_t ended = {};
    while (waitid(P_PID, static_cast<id_t>(child_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           ended.si_pid == 0) {
      const base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      char byte = 0;
      if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
          read(fd.get(), &byte, 1) == 1 && byte == 'R') {
        return true;
      }
      usleep(1000);
    }
    return false;
  }
  void SendMessagesToFile() const {
    const int fd = open((folder_ + "/err").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    dup2(fd, STDERR_FILENO);
  }
  // Returns the exit status, or the negative number of the signal that killed the program.
  int Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string Read(const char* name) const {
    std::ifstream file(folder_ + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;
  pid_t child_ = -1;
};

TEST_F(MainTest, SigtermPressesThePowerButton) {
  Start(kReadyThenWait);
  WaitUntilReady();
  kill(child_, SIGTERM);
  EXPECT_EQ(Wait(), 0);
}

TEST_F(MainTest, SecondSigtermForcesTheEnd) {
  Start(kReadyThenHalt, "kernel", [this] { SendMessagesToFile(); });
  WaitUntilReady();
  kill(child_, SIGTERM);
  // Two pending signals would count as one, so wait until the first has been handled.
  WaitFor("/err", "SIGTERM: asking the guest to power off");
  kill(child_, SIGTERM);
  EXPECT_EQ(Wait(), 3);
  EXPECT_NE(Read("/err").find("second stop request"), std::string::npos) << Read("/err");
}

TEST_F(MainTest, SigtermDuringTheStartEndsTheProgram) {
  Start(kReadyThenHalt);
  int status = 0;
  while (waitpid(child_, &status, WNOHANG) == 0) {
    kill(child_, SIGTERM);
    usleep(500);
  }
  // The signal may come before vmm has blocked it (the kernel then kills the process) or later.
  EXPECT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) ||
              (WIFEXITED(status) && WEXITSTATUS(status) == 3))
      << status;
}

TEST_F(MainTest, OtherFilesNeverTakeTheNumbersOfClosedStandardFiles) {
  Start(kReadyThenWait, "kernel", [] {
    for (const int fd : {0, 1, 2}) close(fd);
  });
  WaitUntilReady();
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(child_) + "/fd/2"),
            "/dev/null");
  kill(child_, SIGTERM);  // makes vmm log a line
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(Read("/disk"), std::string(1 << 16, 'x'));
}

TEST_F(MainTest, ApiSocketNumberThatWasNotPassedIsRefused) {
  const Code power_off = {0xB0, 0x34, 0x66, 0xBA, 0x00, 0x06, 0xEE, 0xF4};
  const std::string config = folder_ + "/vm.json";
  const std::string console = R"(console={"mode":"Socket","socket":")" + folder_ + R"(/console"})";
  for (int number = 3; number < 25; ++number) {
    const std::string socket = "fd=" + std::to_string(number);
    Start(power_off, "kernel", [&] {
      close(2);
      execl(VMM_PROGRAM, VMM_PROGRAM, "--config", config.c_str(), "--set", console.c_str(),
            "--api-socket", socket.c_str(), nullptr);
    });
    EXPECT_EQ(Wait(), 1) << socket;
  }
}

// LINUX: the sockets of a killed process are closed only when its rings are destroyed, some
// milliseconds after the process has gone.
TEST_F(MainTest, StartsOnTheSocketsOfAProcessThatWasJustKilled) {
  const std::string config = folder_ + "/vm.json", api = folder_ + "/api";
  const auto socket = [this](const std::string& key) {
    return key + R"(={"mode":"Socket","socket":")" + folder_ + "/" + key + R"("})";
  };
  const std::string console = socket("console"), serial = socket("serial");
  for (int i = 0; i < 6; ++i) {
    Start(kReadyThenHalt, "kernel", [&] {
      execl(VMM_PROGRAM, VMM_PROGRAM, "--config", config.c_str(), "--set", console.c_str(), "--set",
            serial.c_str(), "--api-socket", api.c_str(), nullptr);
    });
    ASSERT_TRUE(ReadyOnSocket("/serial")) << "start " << i;
    kill(child_, SIGKILL);
    EXPECT_EQ(Wait(), -SIGKILL);
  }
}

// Both outputs go to one terminal, as in an interactive session, or to one journal.
TEST_F(MainTest, PowerOffIsLoggedAfterTheGuestsLastOutput) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd read_end(ends[0]);
  base::UniqueFd write_end(ends[1]);
  const std::string config = folder_ + "/vm.json";
  Start(PrintThenPowerOff(2000), "kernel", [&] {
    dup2(write_end.get(), STDOUT_FILENO);
    dup2(write_end.get(), STDERR_FILENO);
    execl(VMM_PROGRAM, VMM_PROGRAM, "--config", config.c_str(), "--set", R"(serial={"mode":"Tty"})",
          nullptr);
  });
  write_end.reset();
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(read_end.get(), buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(count));
  }
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(text.substr(0, 2000), std::string(2000, 'R'));
  EXPECT_NE(text.find("guest powered off\n"), std::string::npos) << text;
}

TEST_F(MainTest, PipeReadAfterTheEndHasTheMarkAndTheGuestsLastOutput) {
  // Prints 200,000 bytes of memory and 'R', and powers off.
  const Code flood = {0xBE, 0x00, 0x00, 0x10, 0x00, 0xB9, 0x40, 0x0D, 0x03,
                      0x00, 0x66, 0xBA, 0xF8, 0x03, 0xF3, 0x6E, 0xB0, 'R',
                      0xEE, 0xB0, 0x34, 0x66, 0xBA, 0x00, 0x06, 0xEE, 0xF4};
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd read_end(ends[0]);
  base::UniqueFd write_end(ends[1]);
  const std::string config = folder_ + "/vm.json";
  Start(flood, "kernel", [&] {
    SendMessagesToFile();
    dup2(write_end.get(), STDOUT_FILENO);
    execl(VMM_PROGRAM, VMM_PROGRAM, "--config", config.c_str(), "--set", R"(serial={"mode":"Tty"})",
          nullptr);
  });
  write_end.reset();
  EXPECT_EQ(Wait(), 0);
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(read_end.get(), buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(count));
  }
  ASSERT_FALSE(text.empty());
  EXPECT_NE(text.find("bytes dropped]\r\n"), std::string::npos) << text.size();
  EXPECT_EQ(text.back(), 'R');
}

TEST_F(MainTest, OutputFileStaysWithinItsLimitAndALineSaysWhatWasRemoved) {
  constexpr uint32_t kBytes = 140'000, kLimit = 65'536;
  const std::string config = folder_ + "/vm.json";
  Start(PrintThenPowerOff(kBytes), "kernel", [&] {
    SendMessagesToFile();
    execl(VMM_PROGRAM, VMM_PROGRAM, "--config", config.c_str(), "--set", "serial.max_size=64K",
          nullptr);
  });
  EXPECT_EQ(Wait(), 0);
  EXPECT_LE(Read("/out").size(), kLimit);
  EXPECT_LE(Read("/out.old").size(), kLimit);
  const std::string messages = Read("/err");
  // The guest prints more than both files hold: a part was removed, or dropped if the file was
  // slow.
  EXPECT_NE(messages.find(" of 140000 bytes of output were "), std::string::npos) << messages;
}

TEST_F(MainTest, InfoNamesThePtys) {
  const std::string config = folder_ + "/vm.json", api = folder_ + "/api";
  Start(kReadyThenWait, "kernel", [&] {
    SendMessagesToFile();
    execl(VMM_PROGRAM, VMM_PROGRAM, "--config", config.c_str(), "--api-socket", api.c_str(),
          "--set", R"(serial={"mode":"Pty"})", "--set", R"(console={"mode":"Pty"})", nullptr);
  });
  WaitFor("/err", "console: pty ");
  const std::string command =
      VMMCTL_PROGRAM " --api-socket " + api + " info >" + folder_ + "/info 2>&1";
  for (int i = 0; i < 100 && system(command.c_str()) != 0; ++i) usleep(10'000);
  EXPECT_EQ(
      system((VMMCTL_PROGRAM " --api-socket " + api + " counters >" + folder_ + "/counters 2>&1")
                 .c_str()),
      0);
  EXPECT_NE(Read("/counters").find("\"_serial\": {"), std::string::npos) << Read("/counters");
  const std::string info = Read("/info"), messages = Read("/err");
  for (const std::string key : {"console", "serial"}) {
    const std::string line = key + ": pty ";
    const size_t begin = messages.find(line) + line.size();
    const std::string name = messages.substr(begin, messages.find('\n', begin) - begin);
    ASSERT_EQ(name.substr(0, 9), "/dev/pts/") << messages;
    const size_t object = info.find("\"" + key + "\": {");
    ASSERT_NE(object, std::string::npos) << info;
    EXPECT_NE(
        info.substr(object, info.find('}', object) - object).find("\"file\": \"" + name + "\""),
        std::string::npos)
        << info;
  }
  kill(child_, SIGTERM);
  EXPECT_EQ(Wait(), 0);
}

// A shell with job control on its own terminal.
class ShellTest : public MainTest {
 protected:
  void SetUp() override {
    MainTest::SetUp();
    terminal_.reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_EQ(unlockpt(terminal_.get()), 0);
    char name[64];
    ASSERT_EQ(ptsname_r(terminal_.get(), name, sizeof(name)), 0);
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      setsid();
      // the session's first terminal becomes its controlling terminal
      const int fd = open(name, O_RDWR);
      for (const int standard : {0, 1, 2}) dup2(fd, standard);
      setenv("TERM", "dumb", 1);
      execlp("bash", "bash", "--norc", "--noprofile", "-i", nullptr);
      _exit(99);
    }
  }
  void TearDown() override {
    if (job_ > 0) kill(-job_, SIGKILL);
    terminal_.reset();  // hangs up
    Wait();
    MainTest::TearDown();
  }
  void Type(const std::string& keys) const {
    EXPECT_EQ(write(terminal_.get(), keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  // Waits until the terminal shows `text`, and forgets everything up to the end of it.
  bool Shows(const std::string& text) {
    while (shown_.find(text) == std::string::npos) {
      pollfd poll_fd = {.fd = terminal_.get(), .events = POLLIN, .revents = 0};
      char buffer[1024];
      if (poll(&poll_fd, 1, 60'000) != 1) return false;
      const ssize_t count = read(terminal_.get(), buffer, sizeof(buffer));
      if (count <= 0) return false;
      shown_.append(buffer, static_cast<size_t>(count));
    }
    shown_.erase(0, shown_.find(text) + text.size());
    return true;
  }
  // Returns whether the terminal is in the mode that vmm sets. A shell that edits a line leaves
  // signals and output processing on.
  bool IsRaw() const {
    termios mode = {};
    return tcgetattr(terminal_.get(), &mode) == 0 && (mode.c_lflag & (ISIG | ICANON)) == 0 &&
           (mode.c_oflag & OPOST) == 0;
  }
  bool Becomes(bool raw) const {
    for (int i = 0; i < 60'000 && IsRaw() != raw; ++i) usleep(1000);
    return IsRaw() == raw;
  }

  base::UniqueFd terminal_;
  std::string shown_;
  pid_t job_ = -1;  // to end the job if the test fails
};

TEST_F(ShellTest, TerminalIsConnectedInTheForegroundAndReleasedOnStop) {
  Type(std::string(VMM_PROGRAM) + " --config " + WriteConfig(kReadyThenHalt) +
       R"( --set 'console={"mode":"Tty"}' &)" + "\n");
  ASSERT_TRUE(Shows("console: started in the background")) << shown_;
  EXPECT_FALSE(IsRaw());
  // The text is for the shell; vmm must not read it.
  Type("echo $((6 * 7))\n");
  ASSERT_TRUE(Shows("42")) << shown_;
  Type("fg\n");
  ASSERT_TRUE(Becomes(/*raw=*/true)) << shown_;
  job_ = tcgetpgrp(terminal_.get());

  for (const int stop : {SIGTSTP, SIGSTOP}) {
    kill(-job_, stop);
    ASSERT_TRUE(Shows("Stopped")) << shown_;
    EXPECT_FALSE(IsRaw());
    Type("bg\n");
    Type("echo $((3 * 5))\n");
    ASSERT_TRUE(Shows("15")) << shown_;
    EXPECT_FALSE(IsRaw());
    Type("fg\n");
    ASSERT_TRUE(Becomes(/*raw=*/true)) << shown_;
  }

  Type("\x01x");
  ASSERT_TRUE(Shows("forced end: Ctrl-a x")) << shown_;
  ASSERT_TRUE(Becomes(/*raw=*/false));
  Type("echo status=$?\n");
  EXPECT_TRUE(Shows("status=3")) << shown_;
  job_ = -1;
  Type("exit\n");
}

TEST_F(MainTest, WrongUsageIsStatus2) {
  const std::string config = folder_ + "/vm.json";
  for (const char* wrong : {"--set=memory.size", "--on-reboot=halt", "--no-such-option"}) {
    Start(kReadyThenHalt, "kernel", [&] {
      close(2);
      execl(VMM_PROGRAM, VMM_PROGRAM, "--config", config.c_str(), wrong, nullptr);
    });
    EXPECT_EQ(Wait(), 2) << wrong;
  }
}

TEST_F(MainTest, BadConfigIsStatus1) {
  Start(kReadyThenHalt, "kernle", [] { close(2); });
  EXPECT_EQ(Wait(), 1);
}

}  // namespace
}  // namespace vmm
