#include "vmm/api/api_server.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_event_loop.h"
#include "vmm/api/testing/api_handler_fixtures.h"

namespace vmm {
namespace {

using std::chrono_literals::operator""s;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kInfo[] = "GET /api/v1/vm.info HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr char kPause[] = "PUT /api/v1/vm.pause HTTP/1.1\r\n\r\n";

class Client {
 public:
  explicit Client(const std::string& path) {
    fd_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  // Sends `bytes` and returns how many the socket took.
  size_t Send(const std::string& bytes) {
    const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }
  // Returns what has arrived so far.
  std::string Received() {
    std::string all;
    char buffer[65536];
    ssize_t bytes;
    while ((bytes = recv(fd_.get(), buffer, sizeof(buffer), 0)) > 0) {
      all.append(buffer, static_cast<size_t>(bytes));
    }
    at_end_ = bytes == 0 || errno == ECONNRESET;
    return all;
  }
  // Returns whether the server has hung up. Drops what has arrived.
  bool HungUp() {
    Received();
    return at_end_;
  }
  ssize_t SendMessage(const msghdr& message) { return sendmsg(fd_.get(), &message, MSG_NOSIGNAL); }
  void ShutdownWrite() { shutdown(fd_.get(), SHUT_WR); }
  void Close() { fd_.reset(); }

 private:
  base::UniqueFd fd_;
  bool at_end_ = false;
};

int CountOf(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

// Every test runs with completions in order, and with several random orders.
class ApiServerTest : public testing::TestWithParam<uint64_t> {
 protected:
  ApiServerTest() : loop_({.seed = GetParam()}) {
    char name[] = "/tmp/api_server_test.XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/api.sock";
    server_ = ApiServer::Create(loop_, handler_, base::UnixListener::Listen(path_).value()).value();
  }
  ~ApiServerTest() override { std::filesystem::remove_all(directory_); }

  std::string Ask(Client& client, const std::string& request) {
    EXPECT_EQ(client.Send(request), request.size());
    loop_.RunUntilIdle();
    return client.Received();
  }
  // Checks that a new client is served, whatever other clients do.
  void ExpectServed() {
    Client client(path_);
    EXPECT_THAT(Ask(client, kInfo), StartsWith("HTTP/1.1 200 OK\r\n"));
  }

  std::string directory_;
  std::string path_;
  base::FakeEventLoop loop_;
  FakeApiHandler handler_;
  std::unique_ptr<ApiServer> server_;
};

INSTANTIATE_TEST_SUITE_P(Orders, ApiServerTest, testing::Values(0, 1, 2, 3));

TEST_P(ApiServerTest, AnswersSeveralRequestsOnOneConnection) {
  Client client(path_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Ask(client, kInfo), testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                                                   HasSubstr("\"state\":\"Running\"")));
  }
  EXPECT_THAT(Ask(client, kPause), StartsWith("HTTP/1.1 204 No Content\r\n"));
  EXPECT_FALSE(client.HungUp());
  EXPECT_EQ(server_->client_count(), 1u);
  client.Close();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_->client_count(), 0u);
}

TEST_P(ApiServerTest, ClosesWhenTheClientRequestsIt) {
  Client client(path_);
  EXPECT_THAT(Ask(client, "GET /api/v1/vmm.ping HTTP/1.1\r\nConnection: close\r\n\r\n"),
              HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(client.HungUp());
}

TEST_P(ApiServerTest, TakesARequestByteByByte) {
  Client client(path_);
  const std::string request = kInfo;
  for (size_t i = 0; i + 1 < request.size(); ++i) {
    EXPECT_THAT(Ask(client, request.substr(i, 1)), IsEmpty());
  }
  EXPECT_THAT(Ask(client, request.substr(request.size() - 1)), StartsWith("HTTP/1.1 200"));
}

TEST_P(ApiServerTest, CutsOffAClientThatSendsARequestTooSlowly) {
  Client slow(path_);
  for (int second = 0; second < 29; ++second) {
    slow.Send("G");  // each byte is progress, but the request is not complete in time
    loop_.AdvanceTime(1s);
    ASSERT_FALSE(slow.HungUp());
    if (second % 10 == 0) ExpectServed();
  }
  loop_.AdvanceTime(2s);
  EXPECT_TRUE(slow.HungUp());
  EXPECT_EQ(server_->client_count(), 0u);
}

TEST_P(ApiServerTest, CutsOffClientsThatAreSilentFromTheStartOrLater) {
  Client silent(path_), idle(path_);
  EXPECT_THAT(Ask(idle, kInfo), StartsWith("HTTP/1.1 200"));
  loop_.AdvanceTime(20s);
  EXPECT_THAT(Ask(idle, kInfo), StartsWith("HTTP/1.1 200"));
  loop_.AdvanceTime(15s);
  EXPECT_TRUE(silent.HungUp());
  EXPECT_FALSE(idle.HungUp()) << "the time limit starts again with each answer";
  loop_.AdvanceTime(20s);
  EXPECT_TRUE(idle.HungUp());
  EXPECT_EQ(loop_.in_flight(base::FakeEventLoop::Kind::kTimeout), 0u);
}

TEST_P(ApiServerTest, AnswersGarbageAndCloses) {
  Client client(path_);
  const std::string answer = Ask(client, "\x16\x03\x01 this is no HTTP\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_TRUE(client.HungUp());
  ExpectServed();
}

TEST_P(ApiServerTest, RefusesAnOversizedHeaderWithoutStoringIt) {
  Client client(path_);
  client.Send("GET / HTTP/1.1\r\nX: ");
  std::string answer;
  for (int i = 0; i < 100; ++i) {
    client.Send(std::string(4096, 'x'));
    loop_.RunUntilIdle();
    answer += client.Received();
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 431 "));
  EXPECT_EQ(CountOf(answer, "HTTP/1.1"), 1);
  client.Close();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_->client_count(), 0u);
}

TEST_P(ApiServerTest, ARefusedClientThatDoesNotHangUpIsCutOff) {
  Client client(path_);
  Ask(client, "garbage\r\n\r\n");
  EXPECT_EQ(server_->client_count(), 1u);
  loop_.AdvanceTime(3s);
  EXPECT_EQ(server_->client_count(), 0u);
}

TEST_P(ApiServerTest, AnswersPipelinedRequestsInOrderAndOneAtATime) {
  handler_.keep_back = true;
  Client client(path_);
  EXPECT_THAT(
      Ask(client, std::string(kPause) + kInfo + "PUT /api/v1/vm.resume HTTP/1.1\r\n\r\n" + kInfo),
      IsEmpty());
  EXPECT_THAT(handler_.calls, testing::ElementsAre("pause"));
  handler_.kept[0](absl::OkStatus());
  loop_.RunUntilIdle();
  std::string answers = client.Received();
  EXPECT_THAT(answers, StartsWith("HTTP/1.1 204"));
  EXPECT_EQ(CountOf(answers, "HTTP/1.1 200"), 1);
  EXPECT_THAT(handler_.calls, testing::ElementsAre("pause", "info", "resume"));
  handler_.kept[1](absl::FailedPreconditionError("not paused"));
  loop_.RunUntilIdle();
  answers = client.Received();
  EXPECT_THAT(answers, StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(answers, HasSubstr("[\"not paused\"]"));
  EXPECT_EQ(CountOf(answers, "HTTP/1.1 200"), 1);
}

TEST_P(ApiServerTest, AThousandPipelinedRequestsAreAnswered) {
  Client client(path_);
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += kPause;
  std::string answers;
  for (size_t sent = 0; sent < requests.size();) {
    sent += client.Send(requests.substr(sent));
    loop_.RunUntilIdle();
    answers += client.Received();
  }
  for (std::string more; !(more = Ask(client, "")).empty();) answers += more;
  EXPECT_EQ(CountOf(answers, "HTTP/1.1 204"), 1000);
}

TEST_P(ApiServerTest, AHalfClosedClientGetsItsAnswer) {
  handler_.keep_back = true;
  Client client(path_);
  client.Send(kPause);
  client.ShutdownWrite();
  loop_.RunUntilIdle();
  ASSERT_EQ(handler_.kept.size(), 1u);
  handler_.kept[0](absl::OkStatus());
  loop_.RunUntilIdle();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 204"));
  EXPECT_EQ(server_->client_count(), 0u);
}

TEST_P(ApiServerTest, NoTimeLimitAppliesWhileARequestIsExecuted) {
  handler_.keep_back = true;
  Client client(path_);
  Ask(client, kPause);
  loop_.AdvanceTime(300s);
  ExpectServed();
  handler_.kept[0](absl::OkStatus());
  loop_.RunUntilIdle();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 204"));
  loop_.AdvanceTime(31s);
  EXPECT_TRUE(client.HungUp()) << "the time limit applies again after the answer";
}

TEST_P(ApiServerTest, AnAnswerToAClientThatHasGoneIsDropped) {
  handler_.keep_back = true;
  Client client(path_);
  Ask(client, kPause);
  client.Close();
  loop_.RunUntilIdle();
  handler_.kept[0](absl::OkStatus());
  loop_.RunUntilIdle();
  EXPECT_EQ(server_->client_count(), 0u);
  ExpectServed();
}

TEST_P(ApiServerTest, AClientThatNeverReadsIsCutOff) {
  handler_.config_json = "\"" + std::string(1 << 20, 'c') + "\"";
  Client deaf(path_);
  for (int i = 0; i < 1000; ++i) deaf.Send(kInfo);
  loop_.RunUntilIdle();
  EXPECT_EQ(handler_.calls.size(), 1u)
      << "the second request waits until the first answer is taken";
  ExpectServed();
  loop_.AdvanceTime(31s);
  EXPECT_EQ(server_->client_count(), 0u);
}

TEST_P(ApiServerTest, ALargeAnswerIsSentInPieces) {
  handler_.config_json = "\"" + std::string(3 << 20, 'c') + "\"";
  Client client(path_);
  std::string answer = Ask(client, kInfo);
  while (answer.size() < (3 << 20)) {
    loop_.RunUntilIdle();
    const std::string more = client.Received();
    ASSERT_FALSE(more.empty());
    answer += more;
  }
  EXPECT_THAT(answer, testing::EndsWith("\"memory_actual_size\":1048576}"));
}

TEST_P(ApiServerTest, TheTwentyFirstClientReplacesTheOneSilentForLongest) {
  std::deque<Client> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(path_);
    loop_.AdvanceTime(1s);
  }
  EXPECT_EQ(server_->client_count(), 20u);
  EXPECT_THAT(Ask(clients[0], kInfo), StartsWith("HTTP/1.1 200"));
  ExpectServed();
  EXPECT_FALSE(clients[0].HungUp()) << "this client has just sent a request";
  EXPECT_TRUE(clients[1].HungUp());
  for (size_t i = 2; i < 20; ++i) EXPECT_FALSE(clients[i].HungUp());
}

TEST_P(ApiServerTest, TheSeventeenthWaitingRequestIsRefused) {
  handler_.keep_back = true;
  std::deque<Client> clients;
  for (int i = 0; i < 16; ++i) Ask(clients.emplace_back(path_), kPause);
  EXPECT_EQ(handler_.kept.size(), 16u);
  Client extra(path_);
  const std::string answer = Ask(extra, kPause);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(answer, HasSubstr("[\"16 requests are being executed already\"]"));
  EXPECT_TRUE(extra.HungUp());
  for (auto& answer_one : handler_.kept) answer_one(absl::OkStatus());
  loop_.RunUntilIdle();
  for (Client& client : clients) EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 204"));
}

TEST_P(ApiServerTest, AFloodOfConnectionsIsBounded) {
  handler_.keep_back = true;
  std::deque<Client> clients;
  for (int i = 0; i < 200; ++i) Ask(clients.emplace_back(path_), kPause);
  EXPECT_LE(server_->client_count(), 20u);
  EXPECT_EQ(handler_.kept.size(), 16u);
  loop_.AdvanceTime(3s);
  EXPECT_EQ(server_->client_count(), 16u);
}

TEST_P(ApiServerTest, ClientsThatHangUpFreeTheirConnections) {
  handler_.keep_back = true;
  for (int i = 0; i < 100; ++i) {
    Client monitor(path_);
    Ask(monitor, "PUT /api/v1/vm.reboot HTTP/1.1\r\n\r\n");
    monitor.Close();
    loop_.RunUntilIdle();
    ASSERT_EQ(server_->client_count(), 0u);
  }
  EXPECT_EQ(handler_.kept.size(), 100u) << "no request was refused";
  EXPECT_EQ(loop_.in_flight(base::FakeEventLoop::Kind::kPollMultishot), 0u);
  ExpectServed();
  for (auto& answer : handler_.kept) answer(absl::OkStatus());
  loop_.RunUntilIdle();
}

TEST_P(ApiServerTest, AHangUpAfterClosingTheSendingHalfFreesTheConnection) {
  handler_.keep_back = true;
  Client client(path_);
  client.ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_->client_count(), 0u) << "this client can send no further request";
  Client asking(path_);
  asking.Send(kPause);
  loop_.RunUntilIdle();
  asking.ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_->client_count(), 1u);
  asking.Close();
  loop_.RunUntilIdle();
  EXPECT_EQ(server_->client_count(), 0u);
}

TEST_P(ApiServerTest, ARequestSentBeforeAHangUpIsExecuted) {
  handler_.keep_back = true;
  Client client(path_);
  client.Send(kPause);
  client.Close();
  loop_.RunUntilIdle();
  EXPECT_THAT(handler_.calls, testing::ElementsAre("pause"));
  EXPECT_EQ(server_->client_count(), 0u);
}

TEST_P(ApiServerTest, PingInfoAndShutdownAreAlwaysServed) {
  handler_.keep_back = true;
  std::deque<Client> waiting;
  for (int i = 0; i < 16; ++i) Ask(waiting.emplace_back(path_), kPause);
  // The other connections are used too: by silent clients, by one that takes no answer, and by
  // refused ones.
  std::deque<Client> others;
  handler_.config_json = "\"" + std::string(1 << 20, 'c') + "\"";
  others.emplace_back(path_).Send(kInfo);
  loop_.RunUntilIdle();
  for (int i = 0; i < 8; ++i) Ask(others.emplace_back(path_), i % 2 == 0 ? "" : kPause);
  handler_.config_json = "{}";
  for (const char* request : {"GET /api/v1/vmm.ping HTTP/1.1\r\n\r\n", kInfo}) {
    Client client(path_);
    EXPECT_THAT(Ask(client, request), StartsWith("HTTP/1.1 200")) << request;
    Ask(others.emplace_back(path_), "");
  }
  handler_.keep_back = false;
  Client last(path_);
  EXPECT_THAT(Ask(last, "PUT /api/v1/vmm.shutdown HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 204"));
  EXPECT_EQ(handler_.calls.back(), "shutdown");
  for (Client& client : waiting) EXPECT_FALSE(client.HungUp());
}

TEST_P(ApiServerTest, AFailedAcceptIsTriedAgainLater) {
  loop_.FailNext(base::FakeEventLoop::Kind::kAccept, EMFILE);
  Client client(path_);
  EXPECT_THAT(Ask(client, kInfo), IsEmpty());
  loop_.AdvanceTime(1s);
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 200"));
}

TEST_P(ApiServerTest, PassedDescriptorsAreDropped) {
  Client client(path_);
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  loop_.RunUntilIdle();
  const auto before = open_files();
  char byte = 'G';
  iovec iov = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int passed = STDIN_FILENO;
  memcpy(CMSG_DATA(rights), &passed, sizeof(int));
  EXPECT_EQ(client.SendMessage(message), 1);
  loop_.RunUntilIdle();
  EXPECT_EQ(open_files(), before);
  EXPECT_THAT(Ask(client, std::string(kInfo).substr(1)), StartsWith("HTTP/1.1 200"));
}

}  // namespace
}  // namespace vmm
