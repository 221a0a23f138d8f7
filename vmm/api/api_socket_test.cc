#include "vmm/api/api_socket.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

using testing::HasSubstr;

class ApiSocketTest : public testing::Test {
 protected:
  ApiSocketTest() {
    char name[] = "/tmp/api_socket_test.XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/api.sock";
  }
  ~ApiSocketTest() override { std::filesystem::remove_all(directory_); }

  int Connect() {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path_.data(), path_.size());
    client_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return connect(client_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
  std::string ErrorOf(const std::string& path) {
    return std::string(ApiSocket::Listen(path).status().message());
  }

  std::string directory_;
  std::string path_;
  base::UniqueFd client_;
};

TEST_F(ApiSocketTest, ListensWithMode0600WhateverTheUmask) {
  const mode_t before = umask(0);
  const auto api = ApiSocket::Listen(path_);
  umask(before);
  ASSERT_TRUE(api.ok()) << api.status();
  struct stat status;
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  ASSERT_EQ(stat((path_ + ".lock").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(fcntl(api->fd(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(Connect(), 0);
}

TEST_F(ApiSocketTest, RemovesItsNamesAtTheEnd) {
  { ASSERT_TRUE(ApiSocket::Listen(path_).ok()); }
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  EXPECT_TRUE(ApiSocket::Listen(path_).ok()) << "and can be had again";
}

TEST_F(ApiSocketTest, RefusesAPathThatAnotherVmmHolds) {
  const auto first = ApiSocket::Listen(path_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(ErrorOf(path_), "--api-socket: " + path_ + ": in use by a running vmm, which holds " +
                                path_ + ".lock; choose another path");
  EXPECT_EQ(Connect(), 0) << "the first is unharmed";
}

TEST_F(ApiSocketTest, RefusesASocketThatAnotherProgramListensOn) {
  base::UniqueFd other(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path_.data(), path_.size());
  ASSERT_EQ(bind(other.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(other.get(), 0), 0);
  EXPECT_EQ(ErrorOf(path_), "--api-socket: " + path_ +
                                ": in use: another program listens on it; choose another path");
  // Now its backlog is full: a probe may not block.
  EXPECT_THAT(ErrorOf(path_), HasSubstr("another program listens"));
}

TEST_F(ApiSocketTest, ReplacesAStaleSocketAndLock) {
  {
    base::UniqueFd dead(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  std::ofstream(path_ + ".lock") << "";
  EXPECT_TRUE(ApiSocket::Listen(path_).ok());
}

TEST_F(ApiSocketTest, LeavesAFileThatIsNoSocketAlone) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(ErrorOf(path_), "--api-socket: " + path_ +
                                ": exists and is not a socket; choose another path or remove it");
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
}

TEST_F(ApiSocketTest, LeavesASocketThatReplacedItsOwnAlone) {
  {
    auto api = ApiSocket::Listen(path_);
    ASSERT_TRUE(api.ok());
    std::filesystem::remove(path_);
    std::ofstream(path_) << "someone else's";
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(ApiSocketTest, SaysWhatIsWrongWithAPath) {
  EXPECT_EQ(ErrorOf(std::string(108, 'x')),
            "--api-socket: " + std::string(108, 'x') + ": the name of a socket has 1 to 107 bytes");
  EXPECT_THAT(ErrorOf(""), HasSubstr("1 to 107 bytes"));
  EXPECT_EQ(ErrorOf(directory_ + "/no/api.sock"),
            "--api-socket: " + directory_ +
                "/no/api.sock.lock: cannot open: No such file or directory (ENOENT); make the "
                "folder first");
}

TEST_F(ApiSocketTest, AdoptsAListeningSocketOnly) {
  auto listening = ApiSocket::Listen(path_);
  ASSERT_TRUE(listening.ok());
  const int copy = dup(listening->fd());
  EXPECT_EQ(fcntl(copy, F_GETFD), 0);
  {
    const auto adopted = ApiSocket::Adopt(copy);
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    EXPECT_EQ(adopted->fd(), copy);
    EXPECT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_TRUE(std::filesystem::exists(path_)) << "its name belongs to whoever made it";

  base::UniqueFd plain(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(ApiSocket::Adopt(plain.get()).status().message(),
            "--api-socket: fd=" + std::to_string(plain.get()) +
                ": not a listening Unix stream socket; let the unit's socket pass one");
  base::UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_THAT(std::string(ApiSocket::Adopt(file.get()).status().message()),
              HasSubstr("not a listening Unix stream socket; let the unit's socket pass one"));
  EXPECT_EQ(
      ApiSocket::Adopt(999).status().message(),
      "--api-socket: fd=999: whoever started vmm did not pass it: Bad file descriptor (EBADF)");
}

}  // namespace
}  // namespace vmm
