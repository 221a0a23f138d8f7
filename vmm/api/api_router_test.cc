#include "vmm/api/api_router.h"

#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "vmm/api/testing/api_handler_fixtures.h"
#include "vmm/config/json_value.h"

namespace vmm {
namespace {

using testing::ElementsAre;

class ApiRouterTest : public testing::Test {
 protected:
  HttpResponse Ask(const std::string& method, const std::string& target,
                   const std::string& body = "") {
    std::optional<HttpResponse> response;
    RouteApiRequest({.method = method, .target = target, .body = body}, handler_,
                    [&](HttpResponse answer) { response = std::move(answer); });
    return response.value_or(HttpResponse{.status = 0, .body = "no answer"});
  }
  FakeApiHandler handler_;
};

TEST_F(ApiRouterTest, PingReturnsVersionPidAndFeatures) {
  const HttpResponse response = Ask("GET", "/api/v1/vmm.ping");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "{\"build_version\":\"v" VMM_VERSION "\",\"version\":\"" VMM_VERSION
                           "\",\"pid\":" +
                               std::to_string(getpid()) + ",\"features\":[]}");
}

TEST_F(ApiRouterTest, InfoAndCountersAreJson) {
  EXPECT_EQ(Ask("GET", "/api/v1/vm.info").body,
            "{\"config\":{\"memory\":{\"size\":1048576}},\"state\":\"Running\","
            "\"memory_actual_size\":1048576}");
  const HttpResponse counters = Ask("GET", "/api/v1/vm.counters");
  EXPECT_EQ(counters.status, 200);
  EXPECT_EQ(counters.body,
            "{\"_disk0\":{\"read_bytes\":5,\"write_bytes\":18446744073709551615},"
            "\"_console0\":{}}");
  EXPECT_TRUE(ParseJson(counters.body).ok());
}

TEST_F(ApiRouterTest, ReloadingClosuresReturnsHowManyPathsEachShareGained) {
  const HttpResponse response = Ask("PUT", "/api/v1/vm.reload-closures");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "{\"_fs0\":{\"paths_added\":2}}");
  handler_.status = absl::FailedPreconditionError("_fs0: lists x");
  const HttpResponse refused = Ask("PUT", "/api/v1/vm.reload-closures");
  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(refused.body, "[\"_fs0: lists x\"]");
  EXPECT_EQ(Ask("PUT", "/api/v1/vm.reload-closures", "{}").status, 400);
  EXPECT_THAT(handler_.calls, ElementsAre("reload-closures", "reload-closures"));
}

TEST_F(ApiRouterTest, SetRateLimitReadsItsBody) {
  const auto set = [this](const std::string& body) {
    return Ask("PUT", "/api/v1/vm.set-rate-limit", body);
  };
  EXPECT_EQ(set(R"({"id": "_net0", "rate_limiter_config":
                    {"bandwidth": {"size": "1M", "refill_time": 100}}})")
                .status,
            204);
  EXPECT_EQ(handler_.rate_limit.id, "_net0");
  EXPECT_EQ(handler_.rate_limit.rate_limiter_config.bandwidth,
            (TokenBucketConfig{.size = 1 << 20, .one_time_burst = {}, .refill_time = 100}));
  EXPECT_EQ(handler_.rate_limit.rate_limiter_config.ops, TokenBucketConfig());
  // Without limits, there is no limit any more.
  EXPECT_EQ(set(R"({"id": "_net0"})").status, 204);
  EXPECT_EQ(handler_.rate_limit.rate_limiter_config, RateLimiterConfig());
  EXPECT_THAT(handler_.calls, ElementsAre("set-rate-limit", "set-rate-limit"));
  for (const auto& [body, answer] : std::vector<std::pair<std::string, std::string>>{
           {R"({"rate_limiter_config": {}})",
            "request body: id: missing; name a device or a group of rate_limit_groups"},
           {R"({"id": "a", "rate_limiter_config": {"ops": {"size": 1}}})",
            "request body: rate_limiter_config.ops.refill_time: missing; give the milliseconds in "
            "which size may pass"},
           {R"({"id": "a", "rate_limiter_config": {"ops": {"size": 0, "refill_time": 1}}})",
            "request body: rate_limiter_config.ops.size: must be a whole number from 1 to "
            "18446744073709551615, not 0"},
           {"[]", "request body: must be a JSON object such as {\\\"id\\\": \\\"_net0\\\"}"},
       }) {
    const HttpResponse response = set(body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(response.body, "[\"" + answer + "\"]");
  }
  EXPECT_EQ(set("").status, 400);
  EXPECT_EQ(set("{").status, 400);
  EXPECT_THAT(handler_.calls, ElementsAre("set-rate-limit", "set-rate-limit"));
  handler_.status = absl::NotFoundError("_net7: no such device");
  EXPECT_EQ(set(R"({"id": "_net7"})").status, 404);
}

TEST_F(ApiRouterTest, SetLinkReadsItsBody) {
  const auto set = [this](const std::string& body) {
    return Ask("PUT", "/api/v1/vm.set-link", body);
  };
  EXPECT_EQ(set(R"({"id": "_net0", "up": false})").status, 204);
  EXPECT_EQ(handler_.link.id, "_net0");
  EXPECT_FALSE(handler_.link.up);
  EXPECT_EQ(set(R"({"id": "_net1"})").status, 204);
  EXPECT_EQ(handler_.link.id, "_net1");
  EXPECT_TRUE(handler_.link.up);
  EXPECT_EQ(set(R"({"up": false})").body,
            R"(["request body: id: missing; name a network device"])");
  EXPECT_EQ(set(R"({"id": "_net0", "up": 0})").body,
            R"(["request body: up: must be true or false, not 0"])");
  EXPECT_THAT(handler_.calls, ElementsAre("set-link", "set-link"));
}

TEST_F(ApiRouterTest, CommandsReachTheHandlerAndAnswer204) {
  for (const char* name :
       {"vm.pause", "vm.resume", "vm.power-button", "vm.reboot", "vmm.shutdown"}) {
    const HttpResponse response = Ask("PUT", std::string("/api/v1/") + name);
    EXPECT_EQ(response.status, 204) << name;
    EXPECT_EQ(response.body, "") << name;
  }
  EXPECT_THAT(handler_.calls, ElementsAre("pause", "resume", "power-button", "reboot", "shutdown"));
}

TEST_F(ApiRouterTest, ErrorsOfTheHandlerHaveCloudHypervisorsCodes) {
  const auto code_of = [this](absl::Status status) {
    handler_.status = std::move(status);
    return Ask("PUT", "/api/v1/vm.pause").status;
  };
  EXPECT_EQ(code_of(absl::InvalidArgumentError("x")), 400);
  EXPECT_EQ(code_of(absl::NotFoundError("x")), 404);
  EXPECT_EQ(code_of(absl::AlreadyExistsError("x")), 409);
  EXPECT_EQ(code_of(absl::ResourceExhaustedError("x")), 429);
  EXPECT_EQ(code_of(absl::UnimplementedError("x")), 501);
  EXPECT_EQ(code_of(absl::FailedPreconditionError("x")), 500);
  EXPECT_EQ(code_of(absl::DeadlineExceededError("x")), 500);
  EXPECT_EQ(Ask("PUT", "/api/v1/vm.pause").body, "[\"x\"]");
}

TEST_F(ApiRouterTest, UnknownPathsAre404) {
  for (const char* target : {"/", "/api/v1/", "/api/v1/vm.nothing", "/api/v2/vm.info", "vm.info",
                             "/api/v1/vm.info/", "/api/v1//vm.info", "/?/api/v1/vm.info", "*",
                             "http://x", "http://api/v1/vm.info", "ftp://x/api/v1/vm.info"}) {
    EXPECT_EQ(Ask("GET", target).status, 404) << target;
  }
  EXPECT_EQ(Ask("GET", "/api/v1/vm.nothing").body, "[\"/api/v1/vm.nothing: no such endpoint\"]");
  EXPECT_TRUE(handler_.calls.empty());
}

TEST_F(ApiRouterTest, QueriesAreIgnoredAndTheAbsoluteFormIsUnderstood) {
  for (const char* target :
       {"/api/v1/vm.info?", "/api/v1/vm.info?x=/y", "http://localhost/api/v1/vm.info",
        "HTTP://localhost:80/api/v1/vm.info?x=http://y/z"}) {
    EXPECT_EQ(Ask("GET", target).status, 200) << target;
  }
  EXPECT_EQ(Ask("GET", "http://x/api/v1/vm.pause?y").body,
            "[\"vm.pause: the method is PUT, not GET\"]");
}

TEST_F(ApiRouterTest, RequestsAnsweredAtOnceNeverWaitForTheVm) {
  const auto at_once = [](const std::string& method, const std::string& name) {
    return IsAnsweredAtOnce({.method = method, .target = "/api/v1/" + name, .body = ""});
  };
  EXPECT_TRUE(at_once("GET", "vmm.ping"));
  EXPECT_TRUE(at_once("GET", "vm.info"));
  EXPECT_TRUE(at_once("PUT", "vmm.shutdown"));
  EXPECT_TRUE(at_once("PUT", "vm.power-button"));
  EXPECT_TRUE(at_once("PUT", "vm.set-rate-limit"));
  EXPECT_TRUE(at_once("PUT", "vm.set-link"));
  EXPECT_TRUE(at_once("GET", "vm.pause")) << "a wrong method is refused at once";
  EXPECT_TRUE(at_once("PUT", "vm.create")) << "an unsupported command is refused at once";
  for (const char* name : {"vm.pause", "vm.resume", "vm.reboot", "vm.reload-closures"}) {
    EXPECT_FALSE(at_once("PUT", name)) << name;
  }
  EXPECT_FALSE(at_once("GET", "vm.counters"));
}

TEST_F(ApiRouterTest, WrongMethodsAre400) {
  EXPECT_EQ(Ask("GET", "/api/v1/vm.pause").status, 400);
  EXPECT_EQ(Ask("PUT", "/api/v1/vm.info").status, 400);
  EXPECT_EQ(Ask("POST", "/api/v1/vm.pause").body, "[\"vm.pause: the method is PUT, not POST\"]");
  EXPECT_EQ(Ask("get", "/api/v1/vm.info").status, 400);
  EXPECT_TRUE(handler_.calls.empty());
}

TEST_F(ApiRouterTest, BodiesForCommandsWithoutOneAre400) {
  EXPECT_EQ(Ask("PUT", "/api/v1/vm.pause", "{}").body, "[\"vm.pause: takes no body\"]");
  EXPECT_EQ(Ask("GET", "/api/v1/vm.info", "x").status, 400);
  EXPECT_TRUE(handler_.calls.empty());
}

TEST_F(ApiRouterTest, UnsupportedCommandsAre501WithTheirNames) {
  for (const char* name : {"vm.create",
                           "vm.delete",
                           "vm.boot",
                           "vm.shutdown",
                           "vm.nmi",
                           "vm.resize",
                           "vm.resize-disk",
                           "vm.resize-zone",
                           "vm.add-device",
                           "vm.add-disk",
                           "vm.add-fs",
                           "vm.add-generic-vhost-user",
                           "vm.add-pmem",
                           "vm.add-net",
                           "vm.add-user-device",
                           "vm.add-vdpa",
                           "vm.add-vsock",
                           "vm.remove-device",
                           "vm.snapshot",
                           "vm.restore",
                           "vm.send-migration",
                           "vm.receive-migration",
                           "vm.coredump"}) {
    const HttpResponse response = Ask("PUT", std::string("/api/v1/") + name, "{}");
    EXPECT_EQ(response.status, 501) << name;
    EXPECT_EQ(response.body, std::string("[\"") + name + ": not supported\"]");
    EXPECT_EQ(Ask("GET", std::string("/api/v1/") + name).status, 400);
  }
}

}  // namespace
}  // namespace vmm
