#include "virtio/vsock/vsock_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <vector>

#include "virtio/vsock/testing/vsock_fixtures.h"

namespace virtio {
namespace {

TEST_F(VsockTest, GuestReadsItsAddress) {
  base::Le64 cid;
  device_->ReadConfig(0, base::WritableBytesOf(cid));
  EXPECT_EQ(cid.value(), kGuestCid);
  EXPECT_EQ(device_->config_size(), 8u);
}

TEST_F(VsockTest, GuestTalksToAProgramThatListens) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  ASSERT_TRUE(host.valid());
  Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf("hello"));
  EXPECT_EQ(Read(host), "hello");
  Write(host, "and back");
  const auto packet = Take();
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->operation(), unsigned{VIRTIO_VSOCK_OP_RW});
  EXPECT_EQ(packet->data, BytesOf("and back"));
  EXPECT_EQ(packet->header.source_cid.value(), kHostCid);
  EXPECT_EQ(packet->header.destination_cid.value(), kGuestCid);
  EXPECT_EQ(packet->header.source_port.value(), 1024u);
  EXPECT_EQ(packet->header.destination_port.value(), 700u);
  EXPECT_EQ(packet->header.forwarded.value(), 5u);
  EXPECT_EQ(packet->header.buffer_bytes.value(), VsockConnection::kBufferBytes);
}

TEST_F(VsockTest, HostTalksToAPortOfTheGuest) {
  const base::UniqueFd client = Client();
  const uint32_t port = ConnectHost(client, 22);
  EXPECT_GE(port, VsockMux::kFirstHostPort);
  Send(Header(VIRTIO_VSOCK_OP_RW, 22, port), BytesOf("SSH-2.0"));
  EXPECT_EQ(Read(client), "SSH-2.0");
  Write(client, "SSH-2.0-client");
  EXPECT_EQ(Take()->data, BytesOf("SSH-2.0-client"));
}

// What a client sends behind its line belongs to the connection.
TEST_F(VsockTest, DataBehindTheLineOfAClientIsNotLost) {
  const base::UniqueFd client = Client();
  Write(client, "CONNE");
  Write(client, "CT 22\nearly");
  const auto request = Take();
  ASSERT_TRUE(request.has_value());
  const uint32_t port = request->header.source_port.value();
  EXPECT_FALSE(Take().has_value()) << "the guest has not accepted yet";
  Send(Header(VIRTIO_VSOCK_OP_RESPONSE, 22, port));
  EXPECT_EQ(Take()->data, BytesOf("early"));
}

TEST_F(VsockTest, GuestThatRefusesEndsTheClientsConnection) {
  const base::UniqueFd client = Client();
  Write(client, "CONNECT 9\n");
  const auto request = Take();
  ASSERT_TRUE(request.has_value());
  Send(Header(VIRTIO_VSOCK_OP_RST, 9, request->header.source_port.value()));
  EXPECT_EQ(Read(client), "<end>");
  EXPECT_EQ(Counter("connections"), 0u);
}

TEST_F(VsockTest, ClientThatGivesUpBeforeTheAnswerIsForgotten) {
  base::UniqueFd client = Client();
  Write(client, "CONNECT 9\n");
  ASSERT_TRUE(Take().has_value());
  client.reset();
  Run();
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  EXPECT_EQ(Counter("connections"), 0u);
}

TEST_F(VsockTest, PortOnWhichNobodyListensIsReset) {
  Send(Header(VIRTIO_VSOCK_OP_REQUEST, 700, 4000));
  const auto answer = Take();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  EXPECT_EQ(answer->header.source_port.value(), 4000u);
  EXPECT_EQ(answer->header.destination_port.value(), 700u);
  EXPECT_EQ(Counter("refused_by_host"), 1u);
}

TEST_F(VsockTest, EndOfTheHostsDataReachesTheGuestAtOnce) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  Write(host, "last");
  ASSERT_EQ(shutdown(host.get(), SHUT_WR), 0);
  Run();
  EXPECT_EQ(Take()->data, BytesOf("last"));
  const auto end = Take();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->operation(), unsigned{VIRTIO_VSOCK_OP_SHUTDOWN});
  EXPECT_EQ(end->header.flags.value(), unsigned{VIRTIO_VSOCK_SHUTDOWN_SEND});
  // The other direction goes on.
  Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf("answer"));
  EXPECT_EQ(Read(host), "answer");
}

TEST_F(VsockTest, EndOfTheGuestsDataReachesTheHostAtOnce) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  VsockHeader header = Header(VIRTIO_VSOCK_OP_SHUTDOWN, 700, 1024);
  header.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
  Send(header);
  EXPECT_EQ(Read(host), "<end>");
  Write(host, "answer");
  EXPECT_EQ(Take()->data, BytesOf("answer"));
  header.flags = VIRTIO_VSOCK_SHUTDOWN_RCV;
  Send(header);
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  EXPECT_EQ(Counter("connections"), 0u);
}

TEST_F(VsockTest, HostThatClosesShutsBothDirectionsDown) {
  base::UnixListener listener = Listen(1024);
  base::UniqueFd host = ConnectGuest(700, listener, 1024);
  host.reset();
  Run();
  const auto end = Take();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->operation(), unsigned{VIRTIO_VSOCK_OP_SHUTDOWN});
  EXPECT_EQ(end->header.flags.value(),
            unsigned{VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV});
  Send(Header(VIRTIO_VSOCK_OP_RST, 700, 1024));
  EXPECT_EQ(Counter("connections"), 0u);
}

TEST_F(VsockTest, HostThatClosesAfterItsEndShutsTheOtherDirectionDown) {
  base::UnixListener listener = Listen(1024);
  base::UniqueFd host = ConnectGuest(700, listener, 1024);
  ASSERT_EQ(shutdown(host.get(), SHUT_WR), 0);
  Run();
  EXPECT_EQ(Take()->header.flags.value(), unsigned{VIRTIO_VSOCK_SHUTDOWN_SEND});
  host.reset();
  Run();
  EXPECT_EQ(Take()->header.flags.value(),
            unsigned{VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV});
}

TEST_F(VsockTest, DataThatTheHostDoesNotReadAreKeptUpToTheCredit) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  const std::string part(32 << 10, 'x');
  size_t sent = 0;
  // The guest obeys its credit: what the device says that it holds and has passed on.
  uint32_t forwarded = 0;
  for (int i = 0; i < 100; ++i) {
    Send(Header(VIRTIO_VSOCK_OP_CREDIT_REQUEST, 700, 1024));
    while (const auto packet = Take()) forwarded = packet->header.forwarded.value();
    if (sent + part.size() - forwarded > VsockConnection::kBufferBytes) break;
    Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf(part));
    sent += part.size();
  }
  EXPECT_GE(sent, size_t{VsockConnection::kBufferBytes});
  EXPECT_EQ(Counter("resets"), 0u);
  size_t got = 0;
  for (std::string text = Read(host); !text.empty(); text = Read(host)) {
    got += text.size();
    Run();
  }
  EXPECT_EQ(got, sent);
  while (const auto update = Take()) {
    EXPECT_EQ(update->operation(), unsigned{VIRTIO_VSOCK_OP_CREDIT_UPDATE});
    forwarded = update->header.forwarded.value();
  }
  EXPECT_LT(sent - forwarded, VsockConnection::kBufferBytes / 2) << "the guest must know of room";
}

TEST_F(VsockTest, GuestThatExceedsItsCreditIsReset) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  const Bytes part(60 << 10);
  for (int i = 0; i < 20; ++i) Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), part);
  bool reset = false;
  while (const auto packet = Take()) reset |= packet->operation() == VIRTIO_VSOCK_OP_RST;
  EXPECT_TRUE(reset);
}

TEST_F(VsockTest, HostsDataWaitForTheGuestsCredit) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  const std::string data(kCredit + 5000, 'x');
  Write(host, data);
  size_t got = 0;
  bool asked = false;
  while (const auto packet = Take()) {
    got += packet->data.size();
    asked |= packet->operation() == VIRTIO_VSOCK_OP_CREDIT_REQUEST;
  }
  EXPECT_EQ(got, kCredit);
  EXPECT_TRUE(asked);
  VsockHeader update = Header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 700, 1024);
  update.forwarded = static_cast<uint32_t>(got);
  Send(update);
  while (const auto packet = Take()) got += packet->data.size();
  EXPECT_EQ(got, data.size());
}

TEST_F(VsockTest, PacketsOfNoConnectionAreReset) {
  for (const unsigned operation :
       {VIRTIO_VSOCK_OP_RESPONSE, VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_SHUTDOWN,
        VIRTIO_VSOCK_OP_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_REQUEST}) {
    Send(Header(operation, 1, 2));
    const auto answer = Take();
    ASSERT_TRUE(answer.has_value()) << operation;
    EXPECT_EQ(answer->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  }
  Send(Header(VIRTIO_VSOCK_OP_RST, 1, 2));
  EXPECT_FALSE(Take().has_value()) << "a reset is not answered";
}

TEST_F(VsockTest, OtherDestinationsAndTypesAreReset) {
  base::UnixListener listener = Listen(1024);
  VsockHeader header = Header(VIRTIO_VSOCK_OP_REQUEST, 1, 1024);
  header.destination_cid = 77;
  Send(header);
  EXPECT_EQ(Take()->header.source_cid.value(), 77u);
  header = Header(VIRTIO_VSOCK_OP_REQUEST, 1, 1024);
  header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
  Send(header);
  const auto answer = Take();
  EXPECT_EQ(answer->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  EXPECT_EQ(answer->header.type.value(), unsigned{VIRTIO_VSOCK_TYPE_SEQPACKET});
}

TEST_F(VsockTest, PacketsInAnotherGuestsNameAreDropped) {
  base::UnixListener listener = Listen(1024);
  VsockHeader header = Header(VIRTIO_VSOCK_OP_REQUEST, 1, 1024);
  header.source_cid = 9;
  Send(header);
  EXPECT_FALSE(Take().has_value());
  EXPECT_EQ(Counter("dropped_malformed"), 1u);
}

TEST_F(VsockTest, LengthBeyondThePacketIsMalformed) {
  VsockHeader header = Header(VIRTIO_VSOCK_OP_RW, 1, 2);
  header.length = 100;
  SendRaw(header, Bytes(99));
  EXPECT_FALSE(Take().has_value());
  EXPECT_EQ(Counter("dropped_malformed"), 1u);
}

// A guest that asks without end and takes no answer stops itself, and nothing grows.
TEST_F(VsockTest, GuestThatTakesNoAnswersIsNotServed) {
  constexpr uint32_t kMore = 10;
  for (uint32_t i = 0; i < VsockMux::kMaxReplies + kMore; ++i) {
    Send(Header(VIRTIO_VSOCK_OP_RW, i, 2));
  }
  EXPECT_EQ(Counter("chains"), VsockMux::kMaxReplies);
  size_t answers = 0;
  while (Take().has_value()) ++answers;
  EXPECT_EQ(answers, VsockMux::kMaxReplies + kMore);
}

class FewConnectionsTest : public VsockTest {
 protected:
  FewConnectionsTest() : VsockTest({.queue_size = 64}, 3) {}
};

TEST_F(FewConnectionsTest, ConnectionsOfBothSidesAreBounded) {
  base::UnixListener listener = Listen(1024);
  std::vector<base::UniqueFd> hosts;
  for (uint32_t i = 0; i < 2; ++i) hosts.push_back(ConnectGuest(700 + i, listener, 1024));
  const base::UniqueFd client = Client();
  ConnectHost(client, 22);
  const base::UniqueFd refused = Client();
  Write(refused, "CONNECT 22\n");
  EXPECT_EQ(Read(refused), "<end>");
  Send(Header(VIRTIO_VSOCK_OP_REQUEST, 800, 1024));
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  Send(Header(VIRTIO_VSOCK_OP_RST, 700, 1024));
  hosts.push_back(ConnectGuest(800, listener, 1024));
}

TEST_F(VsockTest, ManyConnectionsGetTheirTurn) {
  base::UnixListener listener = Listen(1024);
  std::vector<base::UniqueFd> hosts;
  for (uint32_t i = 0; i < 20; ++i) hosts.push_back(ConnectGuest(700 + i, listener, 1024));
  for (const base::UniqueFd& host : hosts) Write(host, std::string(20'000, 'x'));
  std::vector<size_t> got(hosts.size());
  for (int i = 0; i < 20; ++i) {
    const auto packet = Take();
    ASSERT_TRUE(packet.has_value());
    ++got[packet->header.destination_port.value() - 700];
  }
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], 1u) << i;
}

// A connection without data has little credit. Another connection gets the same buffers then, and
// all of them.
TEST_F(VsockTest, CreditOfOneConnectionLimitsNoOther) {
  base::UnixListener listener = Listen(1024);
  VsockHeader request = Header(VIRTIO_VSOCK_OP_REQUEST, 700, 1024);
  request.buffer_bytes = 10;
  Send(request);
  ASSERT_TRUE(Take().has_value());
  const base::UniqueFd poor(accept(listener.fd(), nullptr, nullptr));
  const base::UniqueFd rich = ConnectGuest(701, listener, 1024);
  std::string data(3000, 0);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i % 251);
  Write(poor, "12345");
  Write(rich, data);
  Bytes got;
  while (got.size() < data.size()) {
    harness_.driver(kRx).Chain().Writable(144).Writable(200).Writable(300).Offer();
    harness_.Publish(kRx);
    const auto packet = Take();
    ASSERT_TRUE(packet.has_value());
    if (packet->header.destination_port.value() != 701) continue;
    EXPECT_EQ(packet->data.size(), std::min<size_t>(600, data.size() - got.size()));
    got.insert(got.end(), packet->data.begin(), packet->data.end());
  }
  EXPECT_EQ(got, BytesOf(data));
}

TEST_F(VsockTest, HostsWritesFailWhenTheGuestReadsNoMore) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  VsockHeader header = Header(VIRTIO_VSOCK_OP_SHUTDOWN, 700, 1024);
  header.flags = VIRTIO_VSOCK_SHUTDOWN_RCV;
  Send(header);
  EXPECT_EQ(send(host.get(), "x", 1, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf("still sent"));
  EXPECT_EQ(Read(host), "still sent");
}

// A guest that has closed gives up after some seconds. A host that reads slowly still gets all.
TEST_F(VsockTest, DataOfAGuestThatHasClosedReachASlowHost) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  const std::string part(50'000, 'x');
  size_t sent = 0;
  while (Counter("kept_bytes") < 100'000 && sent < 1'000'000) {
    Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf(part));
    sent += part.size();
  }
  ASSERT_GT(Counter("kept_bytes"), 0u);
  VsockHeader header = Header(VIRTIO_VSOCK_OP_SHUTDOWN, 700, 1024);
  header.flags = VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV;
  Send(header);
  Send(Header(VIRTIO_VSOCK_OP_RST, 700, 1024));
  size_t got = 0;
  for (std::string text = Read(host); text != "<end>" && !text.empty(); text = Read(host)) {
    got += text.size();
    Run();
  }
  EXPECT_EQ(got, sent);
  while (Take().has_value()) {
  }
  EXPECT_EQ(Counter("connections"), 0u);
  EXPECT_EQ(Counter("kept_bytes"), 0u);
}

TEST_F(VsockTest, ClientThatClosesAfterTheAnswerIsNoticed) {
  base::UniqueFd client = Client();
  ConnectHost(client, 22);
  client.reset();
  Run();
  const auto end = Take();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->operation(), unsigned{VIRTIO_VSOCK_OP_SHUTDOWN});
  EXPECT_EQ(end->header.flags.value(),
            unsigned{VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV});
}

TEST_F(VsockTest, FailedAcceptsAreTriedAgainLater) {
  harness_.loop().FailNext(base::FakeEventLoop::Kind::kAccept, EMFILE);
  const base::UniqueFd client = Client();
  Write(client, "CONNECT 22\n");
  EXPECT_FALSE(Take().has_value());
  harness_.loop().AdvanceTime(VsockMux::kAcceptRetryDelay);
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_REQUEST});
}

TEST_F(VsockTest, ResetWhileAFailedAcceptWaits) {
  harness_.loop().FailNext(base::FakeEventLoop::Kind::kAccept, EMFILE);
  const base::UniqueFd client = Client();
  ASSERT_TRUE(harness_.Stop(*device_));
  harness_.Start(*device_, ~uint64_t{0});
  ConnectHost(client, 22);
}

// Before the driver is there, clients wait to be accepted.
TEST_F(VsockTest, ClientsWaitForTheDriver) {
  ASSERT_TRUE(harness_.Stop(*device_));
  const base::UniqueFd client = Client();
  EXPECT_EQ(Read(client), "");
  harness_.Start(*device_, ~uint64_t{0});
  ConnectHost(client, 22);
}

TEST_F(VsockTest, PauseLosesNothing) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  ASSERT_TRUE(harness_.Pause(*device_));
  Write(host, "for the guest");
  Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf("for the host"));
  OfferBuffers(1);
  EXPECT_EQ(Read(host), "");
  EXPECT_FALSE(harness_.driver(kRx).PopUsed().has_value());
  device_->Resume();
  Run();
  EXPECT_EQ(Read(host), "for the host");
  EXPECT_EQ(Take()->data, BytesOf("for the guest"));
}

// A queue may be reset alone. The connections stay.
TEST_F(VsockTest, ResetOfOneQueueEndsNoConnection) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  for (const uint16_t queue : {kRx, kTx}) {
    ASSERT_TRUE(harness_.StopQueue(*device_, queue));
    Write(host, "kept");
    harness_.StartQueue(*device_, queue);
    Run();
    EXPECT_EQ(Take()->data, BytesOf("kept"));
    Send(Header(VIRTIO_VSOCK_OP_RW, 700, 1024), BytesOf("sent"));
    EXPECT_EQ(Read(host), "sent");
  }
}

TEST_F(VsockTest, ResetOfTheDeviceEndsAllConnections) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  const base::UniqueFd client = Client();
  ConnectHost(client, 22);
  const base::UniqueFd silent = Client();
  ASSERT_TRUE(harness_.Stop(*device_));
  for (const base::UniqueFd* socket : {&host, &client, &silent}) {
    EXPECT_EQ(Read(*socket), "<end>");
  }
  EXPECT_EQ(Counter("connections"), 0u);
  harness_.Start(*device_, ~uint64_t{0});
  const base::UniqueFd again = Client();
  ConnectHost(again, 22);
}

}  // namespace
}  // namespace virtio
