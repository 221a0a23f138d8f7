// Tests the backend on a Unix socket: its clients, and what happens when no client reads.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "devices/character/output_ring.h"
#include "devices/character/testing/character_fixtures.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

using ::testing::HasSubstr;

class SocketTest : public CharacterBackendTest {
 protected:
  void SetUp() override {
    CharacterBackendTest::SetUp();
    path_ = directory_ + "/console.sock";
  }
  void StartSocket() { Start({.mode = CharacterMode::kSocket, .path = path_}); }
  base::UniqueFd Connect() {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  std::string path_;
};

TEST_F(SocketTest, CarriesInputAndOutputAndKeepsEarlierOutput) {
  StartSocket();
  Print("early ");
  const base::UniqueFd user = Connect();
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
  const base::UniqueFd user = Connect();
  Print("THE END");
  const std::string text = ReadUntil(user.get(), "THE END");
  EXPECT_EQ(text.substr(0, 8), "\r\n[vmm: ");
  EXPECT_LE(text.size(), OutputRing::kCapacityBytes + OutputRing::kMinTakeBytes);
}

TEST_F(SocketTest, UnreadClientDropsTheOldestOutput) {
  StartSocket();
  const base::UniqueFd user = Connect();
  Print("hello");
  EXPECT_EQ(ReadUntil(user.get(), "hello"), "hello");
  Flood();
  ExpectDropsThenMark(user.get());
}

TEST_F(SocketTest, NextClientIsServedWhenTheFirstLeaves) {
  StartSocket();
  base::UniqueFd first = Connect();
  Print("one");
  EXPECT_EQ(ReadUntil(first.get(), "one"), "one");
  for (int i = 0; i < 20; ++i) {
    const base::UniqueFd second = Connect();
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
  base::UniqueFd first = Connect();
  Flood();
  first.reset();
  const base::UniqueFd second = Connect();
  Print("THE END");
  EXPECT_THAT(ReadUntil(second.get(), "THE END"), HasSubstr("THE END"));
}

TEST_F(SocketTest, ClientThatOnlyReadsIsServedUntilAnotherConnects) {
  StartSocket();
  const base::UniqueFd first = Connect();
  ASSERT_EQ(shutdown(first.get(), SHUT_WR), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Print("one");
  EXPECT_EQ(ReadUntil(first.get(), "one"), "one");
  const base::UniqueFd second = Connect();
  EXPECT_EQ(ReadUntil(first.get(), "end of file"), "");
  Print("two");
  EXPECT_EQ(ReadUntil(second.get(), "two"), "two");
}

TEST_F(SocketTest, UnreadClientHoldsMarkAndLastLinesAtTheEnd) {
  StartSocket();
  const base::UniqueFd user = Connect();
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
