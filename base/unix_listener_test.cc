#include "base/unix_listener.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace base {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class UnixListenerTest : public testing::Test {
 protected:
  UnixListenerTest() {
    char name[] = "/tmp/unix_listener_test.XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/socket";
  }
  ~UnixListenerTest() override { std::filesystem::remove_all(directory_); }

  sockaddr_un Address() const {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    return address;
  }
  bool Connects() {
    const sockaddr_un address = Address();
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  // Makes a socket at `path_` without UnixListener. The socket listens if `backlog` is not
  // negative.
  UniqueFd OtherSocket(int backlog) {
    const sockaddr_un address = Address();
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    if (backlog >= 0) {
      EXPECT_EQ(listen(fd.get(), backlog), 0);
    }
    return fd;
  }
  // Options that record the waits instead of waiting. `on_wait` runs with the number of the wait,
  // from 1.
  UnixListener::Options Options(std::function<void(size_t)> on_wait = [](size_t) {}) {
    UnixListener::Options options;
    options.wait = [this, on_wait = std::move(on_wait)](milliseconds delay) {
      waits_.push_back(delay);
      on_wait(waits_.size());
    };
    return options;
  }
  milliseconds Waited() const {
    milliseconds sum{0};
    for (const milliseconds wait : waits_) sum += wait;
    return sum;
  }
  std::string ErrorOf(const std::string& path) {
    return std::string(UnixListener::Listen(path, Options()).status().message());
  }

  std::string directory_, path_;
  std::vector<milliseconds> waits_;
};

TEST_F(UnixListenerTest, ConnectUnixWaitsForALimitedTime) {
  EXPECT_EQ(ConnectUnix(path_, milliseconds(1)).status().message(),
            path_ + ": cannot connect: No such file or directory (ENOENT)");
  EXPECT_THAT(std::string(ConnectUnix(std::string(108, 'x'), milliseconds(1)).status().message()),
              HasSubstr("the name of a socket has 1 to 107 bytes"));
  const auto listener = UnixListener::Listen(path_, {.backlog = 0});
  ASSERT_TRUE(listener.ok());
  const auto first = ConnectUnix(path_, milliseconds(1));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(fcntl(first->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(ConnectUnix(path_, milliseconds(1)).status().message(),
            path_ + ": cannot connect: Resource temporarily unavailable (EAGAIN)");
}

TEST_F(UnixListenerTest, ListensWithMode0600WhateverTheUmask) {
  const mode_t before = umask(0);
  const auto listener = UnixListener::Listen(path_);
  umask(before);
  ASSERT_TRUE(listener.ok()) << listener.status();
  for (const std::string& name : {path_, path_ + ".lock"}) {
    struct stat status;
    ASSERT_EQ(stat(name.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u) << name;
  }
  EXPECT_EQ(fcntl(listener->fd(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(listener->path(), path_);
  EXPECT_TRUE(Connects());
}

TEST_F(UnixListenerTest, RemovesItsNamesWhenDestroyed) {
  { ASSERT_TRUE(UnixListener::Listen(path_).ok()); }
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  EXPECT_TRUE(UnixListener::Listen(path_).ok()) << "the names can be used again";
}

TEST_F(UnixListenerTest, FailsAfterASecondIfARunningVmmOwnsThePath) {
  const auto first = UnixListener::Listen(path_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(ErrorOf(path_), path_ + ": in use by a running vmm, which holds " + path_ +
                                ".lock; choose another path");
  EXPECT_EQ(Waited(), milliseconds(1000));
  EXPECT_TRUE(Connects()) << "the first listener still works";
}

TEST_F(UnixListenerTest, FailsAfterASecondIfAnotherProgramListens) {
  const UniqueFd other = OtherSocket(/*backlog=*/0);
  // The first look fills the other socket's backlog, so the later looks must not block.
  EXPECT_EQ(ErrorOf(path_), path_ + ": in use: another program listens on it; choose another path");
  EXPECT_EQ(Waited(), milliseconds(1000));
  EXPECT_LT(waits_.size(), 30u) << "each look is one more client for the other program";
  EXPECT_FALSE(std::filesystem::exists(path_ + ".lock"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

// Between bind and listen a socket looks as if its program had been killed. Only the lock shows
// that the program lives.
TEST_F(UnixListenerTest, KeepsASocketThatIsBoundButDoesNotListenYet) {
  auto first = UnixListener::Listen(path_);
  ASSERT_TRUE(first.ok());
  std::filesystem::remove(path_);
  const UniqueFd bound = OtherSocket(/*backlog=*/-1);
  struct stat before, after;
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  EXPECT_THAT(ErrorOf(path_), HasSubstr("in use by a running vmm"));
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
}

TEST_F(UnixListenerTest, WaitsForAListenerThatOutlivesItsProcess) {
  UniqueFd dying = OtherSocket(/*backlog=*/4);
  const auto listener = UnixListener::Listen(path_, Options([&](size_t wait) {
                                               if (wait == 3) dying.reset();
                                             }));
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(waits_.size(), 3u);
  EXPECT_TRUE(Connects());
}

TEST_F(UnixListenerTest, WaitsForTheLockOfAProcessThatIsEnding) {
  auto ending = UnixListener::Listen(path_);
  ASSERT_TRUE(ending.ok());
  const auto listener = UnixListener::Listen(path_, Options([&](size_t wait) {
                                               if (wait == 2) {
                                                 const UnixListener gone = *std::move(ending);
                                               }
                                             }));
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(waits_.size(), 2u);
  EXPECT_TRUE(Connects());
}

TEST_F(UnixListenerTest, ReplacesAStaleSocketAndLockWithoutWaiting) {
  OtherSocket(/*backlog=*/-1).reset();
  std::ofstream(path_ + ".lock") << "";
  EXPECT_TRUE(UnixListener::Listen(path_, Options()).ok());
  EXPECT_TRUE(waits_.empty());
}

TEST_F(UnixListenerTest, KeepsAFileThatIsNoSocket) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(ErrorOf(path_),
            path_ + ": exists and is not a socket; choose another path or remove it");
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
  EXPECT_TRUE(waits_.empty());
}

TEST_F(UnixListenerTest, KeepsAPathThatHasBeenReplaced) {
  {
    auto listener = UnixListener::Listen(path_);
    ASSERT_TRUE(listener.ok());
    std::filesystem::remove(path_);
    std::ofstream(path_) << "someone else's";
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, SaysWhatIsWrongWithAPath) {
  EXPECT_EQ(ErrorOf(std::string(108, 'x')),
            std::string(108, 'x') + ": the name of a socket has 1 to 107 bytes");
  EXPECT_THAT(ErrorOf(""), HasSubstr("1 to 107 bytes"));
  EXPECT_EQ(ErrorOf(directory_ + "/no/socket"),
            directory_ +
                "/no/socket.lock: cannot open: No such file or directory (ENOENT); make "
                "the folder first");
}

TEST_F(UnixListenerTest, AdoptsAListeningSocketOnly) {
  auto listening = UnixListener::Listen(path_);
  ASSERT_TRUE(listening.ok());
  const int copy = dup(listening->fd());
  EXPECT_EQ(fcntl(copy, F_GETFD), 0);
  {
    const auto adopted = UnixListener::Adopt(copy);
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    EXPECT_EQ(adopted->fd(), copy);
    EXPECT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_TRUE(std::filesystem::exists(path_))
      << "the name belongs to the program that made the socket";

  const UniqueFd plain(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(UnixListener::Adopt(plain.get()).status().message(),
            "fd=" + std::to_string(plain.get()) +
                ": not a listening Unix stream socket; let the unit's socket pass one");
  const UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_THAT(std::string(UnixListener::Adopt(file.get()).status().message()),
              HasSubstr("not a listening Unix stream socket; let the unit's socket pass one"));
  EXPECT_EQ(UnixListener::Adopt(999).status().message(),
            "fd=999: the program that started vmm did not pass it: Bad file descriptor (EBADF)");
}

}  // namespace
}  // namespace base
