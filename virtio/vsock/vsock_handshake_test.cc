// What programs of the host say at the socket, before a stream begins.

#include "virtio/vsock/vsock_handshake.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "virtio/vsock/testing/vsock_fixtures.h"

namespace virtio {
namespace {

TEST(ParseConnectLine, TakesWhatFirecrackerTakes) {
  EXPECT_EQ(ParseConnectLine("CONNECT 22"), 22u);
  EXPECT_EQ(ParseConnectLine("CONNECT 0"), 0u);
  EXPECT_EQ(ParseConnectLine("CONNECT 4294967295"), 4294967295u);
  EXPECT_EQ(ParseConnectLine("connect 22"), 22u);
  EXPECT_EQ(ParseConnectLine("  CONNECT \t 022 \r"), 22u);
}

TEST(ParseConnectLine, RefusesEverythingElse) {
  for (const char* line :
       {"", " ", "CONNECT", "CONNECT ", "CONNECT22", "CONNECT -1", "CONNECT +1", "CONNECT 0x16",
        "CONNECT 4294967296", "CONNECT 99999999999999999999", "CONNECT 22 now", "CONNECTED 22",
        "GET / HTTP/1.1", "22", "CONNECT 2\v2"}) {
    EXPECT_EQ(ParseConnectLine(line), std::nullopt) << line;
  }
  EXPECT_EQ(ParseConnectLine(absl::string_view("CONNECT 2\0", 10)), std::nullopt);
}

TEST_F(VsockTest, WrongLinesOfClientsEndTheirConnections) {
  int count = 0;
  for (const char* line : {"GET / HTTP/1.1\r\n", "CONNECT\n", "CONNECT -1\n", "\n",
                           "CONNECT 4294967296\n", "CONNECT 000000000000000000000000"}) {
    const base::UniqueFd client = Client();
    Write(client, line);
    EXPECT_EQ(Read(client), "<end>") << line;
    EXPECT_EQ(Counter("rejected_clients"), static_cast<uint64_t>(++count)) << line;
  }
  EXPECT_FALSE(Take().has_value());
}

TEST_F(VsockTest, AMegabyteWithoutALineIsNotRead) {
  const base::UniqueFd client = Client();
  const std::string text(1 << 20, 'C');
  EXPECT_GT(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT), 0);
  Run();
  EXPECT_EQ(Read(client), "<end>");
  EXPECT_EQ(Counter("rejected_clients"), 1u);
}

TEST_F(VsockTest, ALineMayComeInPieces) {
  const base::UniqueFd client = Client();
  for (const char* piece : {"C", "ONNECT", " ", "2", "2"}) Write(client, piece);
  EXPECT_FALSE(Take().has_value());
  Write(client, "\n");
  const auto request = Take();
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->header.destination_port.value(), 22u);
}

TEST_F(VsockTest, ClientThatLeavesBeforeItsLineIsForgotten) {
  base::UniqueFd client = Client();
  Write(client, "CONNECT 2");
  client.reset();
  Run();
  EXPECT_EQ(Counter("rejected_clients"), 1u);
  EXPECT_FALSE(Take().has_value());
}

TEST_F(VsockTest, ClientsThatSayNothingAreBounded) {
  std::vector<base::UniqueFd> clients;
  for (size_t i = 0; i < VsockMux::kMaxHandshakes + 3; ++i) clients.push_back(Client());
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(Read(clients[i]), "<end>") << i;
  EXPECT_EQ(Read(clients[3]), "");
  ConnectHost(clients.back(), 22);
}

TEST_F(VsockTest, ManyClientsAtOnceAreBounded) {
  std::vector<base::UniqueFd> clients;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 100; ++i) {
      clients.push_back(base::ConnectUnix(path_, std::chrono::seconds(1)).value());
    }
    Run();
    if (clients.size() > 500) clients.erase(clients.begin(), clients.begin() + 100);
  }
  size_t waiting = 0;
  for (const base::UniqueFd& client : clients) waiting += Read(client).empty() ? 1 : 0;
  EXPECT_EQ(waiting, VsockMux::kMaxHandshakes);
  ConnectHost(clients.back(), 22);
}

}  // namespace
}  // namespace virtio
