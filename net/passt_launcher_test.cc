#include "net/passt_launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace net {
namespace {

using ::testing::HasSubstr;

// Runs shell scripts in passt's place.
class PasstLauncherTest : public testing::Test {
 protected:
  PasstLauncherTest() {
    std::string pattern = testing::TempDir() + "vmm-passt-XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  ~PasstLauncherTest() override { std::filesystem::remove_all(folder_); }

  std::string Script(const std::string& lines) {
    std::string path = folder_ + "/passt";
    std::ofstream(path) << "#!/bin/sh\n" << lines;
    EXPECT_EQ(chmod(path.c_str(), 0755), 0);
    return path;
  }
  std::string Read(const std::string& name) {
    std::ifstream file(folder_ + "/" + name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  // Waits for a file that a script writes at once.
  pid_t PidIn(const std::string& name) {
    while (Read(name).find('\n') == std::string::npos) std::this_thread::yield();
    return static_cast<pid_t>(std::stol(Read(name)));
  }
  static bool Ends(pid_t process) {
    while (kill(process, 0) == 0) std::this_thread::yield();
    return errno == ESRCH;
  }

  std::string folder_;
};

// Reads the frame of WaitUntilItReads, says so, and stays.
constexpr char kReads[] = "head -c 64 <&3 >/dev/null; printf hello >&3; exec sleep 1000\n";

TEST_F(PasstLauncherTest, ReturnsAConnectionToTheProgramWithItsArguments) {
  const auto launcher = PasstLauncher::Start(
      Script("echo \"$*\" >" + folder_ + "/arguments\n" + kReads), {"--tcp-ports", "none"});
  ASSERT_TRUE(launcher.ok()) << launcher.status();
  const auto socket = (*launcher)->Launch();
  ASSERT_TRUE(socket.ok()) << socket.status();
  char text[6] = {};
  EXPECT_EQ(recv(socket->get(), text, 5, MSG_WAITALL), 5);
  EXPECT_STREQ(text, "hello");
  EXPECT_EQ(Read("arguments"), "--foreground --quiet --fd 3 --tcp-ports none\n");
}

TEST_F(PasstLauncherTest, ProgramHasNothingElseOfThisProcess) {
  const int fds[] = {dup(0), open("/dev/null", O_RDONLY)};
  const auto launcher =
      PasstLauncher::Start(Script("ls -x /proc/self/fd >" + folder_ + "/fds\n" + kReads), {});
  ASSERT_TRUE((*launcher)->Launch().ok());
  // ls has the folder at 4.
  EXPECT_EQ(Read("fds"), "0  1  2  3  4\n");
  for (const int fd : fds) close(fd);
}

TEST_F(PasstLauncherTest, NextProgramReplacesTheOneBefore) {
  const auto launcher = PasstLauncher::Start(Script("echo $$ >" + folder_ + "/$$\n" + kReads), {});
  const auto first = (*launcher)->Launch();
  ASSERT_TRUE(first.ok());
  std::string name;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().filename() != "passt") name = entry.path().filename();
  }
  ASSERT_TRUE((*launcher)->Launch().ok());
  EXPECT_TRUE(Ends(PidIn(name)));
}

TEST_F(PasstLauncherTest, ProgramEndsWithTheLauncher) {
  auto launcher = PasstLauncher::Start(Script("echo $$ >" + folder_ + "/pid\n" + kReads), {});
  ASSERT_TRUE((*launcher)->Launch().ok());
  launcher->reset();
  EXPECT_TRUE(Ends(PidIn("pid")));
}

TEST_F(PasstLauncherTest, ErrorsSayWhatToDo) {
  EXPECT_EQ((*PasstLauncher::Start("no-such-passt", {}))->Launch().status().message(),
            "no-such-passt: cannot start: No such file or directory (ENOENT); install it");
  for (const char* script : {"exit 1\n", "exec head -c 3 <&3 >/dev/null\n"}) {
    EXPECT_THAT(
        std::string((*PasstLauncher::Start(Script(script), {}))->Launch().status().message()),
        HasSubstr("ended at once; see its messages, and check its version"));
  }
}

// An end while it starts is an error, and the next start works.
TEST_F(PasstLauncherTest, StartsAgainAfterAProgramThatFailed) {
  const auto launcher = PasstLauncher::Start(
      Script("[ -e " + folder_ + "/again ] || { touch " + folder_ + "/again; exit 1; }\n" + kReads),
      {});
  EXPECT_FALSE((*launcher)->Launch().ok());
  EXPECT_TRUE((*launcher)->Launch().ok());
}

// An answer that comes after its request was given up is not taken for the answer to the next one.
TEST_F(PasstLauncherTest, StartsAgainAfterALauncherThatWasSlow) {
  const auto launcher = PasstLauncher::Start(
      Script("[ -e " + folder_ + "/parent ] || echo $PPID >" + folder_ + "/parent\n" + kReads), {},
      std::chrono::milliseconds(200));
  const auto works = [&] {  // on a busy machine not at the first try
    for (int i = 0; i < 50; ++i) {
      if ((*launcher)->Launch().ok()) return true;
    }
    return false;
  };
  ASSERT_TRUE(works());
  const pid_t process = PidIn("parent");
  ASSERT_EQ(kill(process, SIGSTOP), 0);
  EXPECT_THAT(std::string((*launcher)->Launch().status().message()),
              HasSubstr("its launcher is silent"));
  ASSERT_EQ(kill(process, SIGCONT), 0);
  EXPECT_TRUE(works());
}

}  // namespace
}  // namespace net
