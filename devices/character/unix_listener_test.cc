#include "devices/character/unix_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

using ::testing::HasSubstr;

class UnixListenerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/unix_listener_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    path_ = directory_ + "/socket";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  bool Connects() {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    const base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  std::string directory_, path_;
};

TEST_F(UnixListenerTest, ListensPrivatelyAndRemovesItsPath) {
  {
    auto listener = UnixListener::Create(path_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    struct stat status;
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode, S_IFSOCK | 0600u);
    EXPECT_TRUE(Connects());
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, StaleSocketIsReplaced) {
  const std::string saved = path_ + ".saved";
  {
    auto listener = UnixListener::Create(path_);
    ASSERT_TRUE(listener.ok());
    ASSERT_EQ(link(path_.c_str(), saved.c_str()), 0);
  }
  ASSERT_EQ(rename(saved.c_str(), path_.c_str()), 0);
  ASSERT_FALSE(Connects());
  auto listener = UnixListener::Create(path_);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(Connects());
}

TEST_F(UnixListenerTest, LiveSocketIsAnErrorAndStays) {
  auto first = UnixListener::Create(path_);
  ASSERT_TRUE(first.ok());
  auto second = UnixListener::Create(path_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(path_ + ": another process listens on this socket"));
  EXPECT_TRUE(Connects());
}

TEST_F(UnixListenerTest, OtherFilesAreNeverRemoved) {
  const base::UniqueFd file(open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  auto listener = UnixListener::Create(path_);
  EXPECT_THAT(std::string(listener.status().message()), HasSubstr("exists and is not a socket"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, PathThatIsSomebodyElsesByNowStays) {
  auto first = UnixListener::Create(path_);
  ASSERT_TRUE(first.ok());
  unlink(path_.c_str());
  auto second = UnixListener::Create(path_);
  ASSERT_TRUE(second.ok());
  { const UnixListener gone = std::move(*first); }
  EXPECT_TRUE(Connects());
}

TEST_F(UnixListenerTest, ErrorsNameThePath) {
  EXPECT_THAT(
      std::string(UnixListener::Create("/nonexistent/x").status().message()),
      HasSubstr("/nonexistent/x: cannot create socket (make its folder first): No such file"));
  EXPECT_EQ(UnixListener::Create(std::string(200, 'a')).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(UnixListener::Create("").ok());
}

}  // namespace
}  // namespace devices
