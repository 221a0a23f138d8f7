// Runs vmmctl against a real server on a real event loop.

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/loop_thread.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "vmm/api/api_server.h"
#include "vmm/api/testing/api_handler_fixtures.h"

namespace vmm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Outcome {
  int status;
  std::string output;  // of stdout and stderr
};

Outcome RunVmmctl(const std::string& arguments) {
  const std::string command = VMMCTL_PROGRAM " " + arguments + " 2>&1";
  FILE* pipe = popen(command.c_str(), "re");
  std::string output;
  char buffer[4096];
  size_t bytes;
  while ((bytes = fread(buffer, 1, sizeof(buffer), pipe)) > 0) output.append(buffer, bytes);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

class VmmctlTest : public testing::Test {
 protected:
  VmmctlTest() {
    char name[] = "/tmp/vmmctl_test.XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/api.sock";
    thread_ = base::LoopThread::Create("control", {.fixed_files = false}).value();
    server_ =
        ApiServer::Create(thread_->loop(), handler_, base::UnixListener::Listen(path_).value())
            .value();
  }
  ~VmmctlTest() override {
    if (thread_ != nullptr) thread_->Stop();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }
  Outcome Ask(const std::string& command) {
    return RunVmmctl("--api-socket " + path_ + " " + command);
  }

  std::string directory_;
  std::string path_;
  FakeApiHandler handler_;
  std::unique_ptr<base::LoopThread> thread_;
  std::unique_ptr<ApiServer> server_;
};

TEST_F(VmmctlTest, PrintsAnswersAsIndentedJson) {
  ASSERT_TRUE(thread_->Start().ok());
  Outcome outcome = Ask("ping");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output,
              testing::StartsWith("{\n  \"build_version\": \"v" VMM_VERSION "\",\n"));
  outcome = Ask("info");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output, HasSubstr("\n  \"state\": \"Running\",\n"));
  outcome = Ask("counters");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output, HasSubstr("\n    \"read_bytes\": 5,\n"));
  outcome = Ask("reload-closures");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.output, "{\n  \"_fs0\": {\n    \"paths_added\": 2\n  }\n}\n");
}

TEST_F(VmmctlTest, CommandsPrintNothing) {
  ASSERT_TRUE(thread_->Start().ok());
  for (const char* command : {"pause", "resume", "power-button", "reboot", "shutdown"}) {
    const Outcome outcome = Ask(command);
    EXPECT_EQ(outcome.status, 0) << command;
    EXPECT_EQ(outcome.output, "") << command;
  }
  thread_->Stop();
  EXPECT_THAT(handler_.calls, ElementsAre("pause", "resume", "power-button", "reboot", "shutdown"));
}

TEST_F(VmmctlTest, SetsRateLimits) {
  ASSERT_TRUE(thread_->Start().ok());
  Outcome outcome = Ask(R"(set-rate-limit _net0 '{"ops": {"size": 100, "refill_time": 1000}}')");
  EXPECT_EQ(outcome.output, "");
  EXPECT_EQ(outcome.status, 0);
  outcome = Ask("set-rate-limit _net0 '{'");
  EXPECT_EQ(outcome.status, 2);
  outcome = Ask("set-rate-limit _net0");
  EXPECT_EQ(outcome.status, 2);
  outcome = Ask(R"(set-rate-limit _net0 '{"ops": {"size": 100}}')");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(
      outcome.output,
      "vmmctl: vm.set-rate-limit: request body: rate_limiter_config.ops.refill_time: missing; "
      "give the milliseconds in which size may pass (HTTP 400)\n");
  thread_->Stop();
  EXPECT_THAT(handler_.calls, ElementsAre("set-rate-limit"));
  EXPECT_EQ(handler_.rate_limit.id, "_net0");
  EXPECT_EQ(handler_.rate_limit.rate_limiter_config.ops,
            (TokenBucketConfig{.size = 100, .one_time_burst = {}, .refill_time = 1000}));
}

TEST_F(VmmctlTest, SetsTheLink) {
  ASSERT_TRUE(thread_->Start().ok());
  const Outcome down = Ask("set-link _net0 down");
  const Outcome wrong = Ask("set-link _net0 off");
  thread_->Stop();
  EXPECT_EQ(down.output, "");
  EXPECT_EQ(down.status, 0);
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(handler_.calls, ElementsAre("set-link"));
  EXPECT_EQ(handler_.link.id, "_net0");
  EXPECT_FALSE(handler_.link.up);
}

TEST_F(VmmctlTest, PrintsTheServersErrors) {
  handler_.status = absl::FailedPreconditionError("the VM is \"paused\"");
  ASSERT_TRUE(thread_->Start().ok());
  const Outcome outcome = Ask("pause");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output, "vmmctl: vm.pause: the VM is \"paused\" (HTTP 500)\n");
}

TEST_F(VmmctlTest, SaysWhyItCannotReachAServer) {
  Outcome outcome = RunVmmctl("--api-socket " + directory_ + "/none info");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output, "vmmctl: " + directory_ +
                                "/none: no such socket; is vmm running with --api-socket " +
                                directory_ + "/none?\n");
  outcome = RunVmmctl("--api-socket " + directory_ + " info");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output,
            "vmmctl: " + directory_ + ": not a socket; name the one given to vmm --api-socket\n");
  // The loop does not run: vmmctl can connect, but gets no answer.
  outcome = RunVmmctl("--api-socket " + path_ + " --timeout 0.3 info");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output, "vmmctl: " + path_ + ": no answer in time; see --timeout\n");
  std::filesystem::rename(path_, directory_ + "/stale");
  server_.reset();
  thread_.reset();
  outcome = RunVmmctl("--api-socket " + directory_ + "/stale info");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output,
            "vmmctl: " + directory_ +
                "/stale: no program listens; the vmm that made the socket has ended\n");
  thread_ = base::LoopThread::Create("unused", {}).value();
}

TEST_F(VmmctlTest, BadUsageIsStatus2AndHelpIsStatus0) {
  EXPECT_EQ(RunVmmctl("info").status, 2);
  EXPECT_EQ(Ask("").status, 2);
  EXPECT_EQ(Ask("explode").status, 2);
  EXPECT_EQ(Ask("--timeout 0 info").status, 2);
  EXPECT_EQ(Ask("--timeout nan info").output,
            "vmmctl: --timeout nan: must be more than 0 and at most 86400 seconds\n");
  EXPECT_EQ(Ask("set-link _net0").output,
            "vmmctl: set-link: STATE is missing; usage: vmmctl --api-socket PATH set-link ID "
            "STATE\n");
  EXPECT_EQ(Ask("--completion csh").output,
            "vmmctl: --completion csh: must be bash, zsh or fish\n");
  const Outcome outcome = RunVmmctl("--help");
  EXPECT_EQ(outcome.status, 0);
  for (const char* text : {"power-button", "--api-socket PATH", "Exit status", "Examples:"}) {
    EXPECT_THAT(outcome.output, HasSubstr(text));
  }
}

// While one client is slow and one sends garbage, other clients are answered at once.
TEST_F(VmmctlTest, IsServedWhileOtherClientsMisbehave) {
  ASSERT_TRUE(thread_->Start().ok());
  const std::string connect =
      "import socket,time;s=socket.socket(socket.AF_UNIX);s.connect('" + path_ + "');";
  FILE* slow =
      popen(("exec python3 -c \"" + connect + "s.send(b'G');time.sleep(3)\"").c_str(), "we");
  FILE* wrong =
      popen(("exec python3 -c \"" + connect + "\nwhile 1: s.send(b'x'*4096)\" 2>/dev/null").c_str(),
            "we");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(RunVmmctl("--timeout 4 --api-socket " + path_ + " ping").status, 0);
  }
  thread_->Stop();
  server_.reset();
  thread_.reset();  // operations in flight keep the clients' sockets open until the ring is gone
  pclose(wrong);
  pclose(slow);
}

}  // namespace
}  // namespace vmm
