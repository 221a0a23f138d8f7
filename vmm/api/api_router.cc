#include "vmm/api/api_router.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "vmm/config/json_value.h"
#include "vmm/config/load_config.h"

namespace vmm {
namespace {

constexpr absl::string_view kRoot = "/api/v1/";

using Action = void (*)(ApiHandler& handler, ApiReply reply);
// For endpoints that have a body.
using BodyAction = void (*)(const std::string& body, ApiHandler& handler, ApiReply reply);

struct Endpoint {
  absl::string_view name;
  absl::string_view method;
  bool has_body;
  Action action;       // null: not supported yet, unless there is a body_action
  bool waits = false;  // the answer waits for the VM or a device
  BodyAction body_action = nullptr;
};

HttpResponse StatusResponse(const absl::Status& status) {
  int code = 500;
  if (status.code() == absl::StatusCode::kInvalidArgument) code = 400;
  if (status.code() == absl::StatusCode::kNotFound) code = 404;
  if (status.code() == absl::StatusCode::kAlreadyExists) code = 409;
  if (status.code() == absl::StatusCode::kResourceExhausted) code = 429;
  if (status.code() == absl::StatusCode::kUnimplemented) code = 501;
  return ErrorResponse(code, status.message());
}

ApiHandler::Done NoContent(ApiReply reply) {
  return [reply = std::move(reply)](const absl::Status& status) mutable {
    reply(status.ok() ? HttpResponse{} : StatusResponse(status));
  };
}

HttpResponse Json(const JsonValue& value) { return {.status = 200, .body = PrintJson(value, 0)}; }

void Ping(ApiHandler& /*handler*/, ApiReply reply) {
  const std::string version = VMM_VERSION;
  reply(Json(JsonValue{JsonObject{
      {"build_version", JsonValue{absl::StrCat("v", version)}},
      {"version", JsonValue{version}},
      {"pid", JsonValue{static_cast<uint64_t>(getpid())}},
      {"features", JsonValue{JsonArray{}}},
  }}));
}

void Info(ApiHandler& handler, ApiReply reply) {
  const VmInfo info = handler.Info();
  reply({.status = 200,
         .body = absl::StrCat("{\"config\":", info.config_json,
                              ",\"state\":", PrintJson(JsonValue{info.state}, 0),
                              ",\"memory_actual_size\":", info.memory_actual_size_bytes, "}")});
}

HttpResponse Json(std::vector<DeviceCounters> devices) {
  JsonObject all;
  for (DeviceCounters& device : devices) {
    JsonObject counters;
    for (auto& [name, value] : device.counters) {
      counters.push_back({std::move(name), JsonValue{value}});
    }
    all.push_back({std::move(device.device), JsonValue{std::move(counters)}});
  }
  return Json(JsonValue{std::move(all)});
}

void Counters(ApiHandler& handler, ApiReply reply) {
  handler.Counters([reply = std::move(reply)](std::vector<DeviceCounters> devices) mutable {
    reply(Json(std::move(devices)));
  });
}

void ReloadClosures(ApiHandler& handler, ApiReply reply) {
  handler.ReloadClosures(
      [reply = std::move(reply)](absl::StatusOr<std::vector<DeviceCounters>> shares) mutable {
        reply(shares.ok() ? Json(*std::move(shares)) : StatusResponse(shares.status()));
      });
}

void SetRateLimit(const std::string& body, ApiHandler& handler, ApiReply reply) {
  const absl::StatusOr<RateLimitGroupConfig> change = ParseRateLimit(body, "request body");
  if (!change.ok()) return reply(StatusResponse(change.status()));
  handler.SetRateLimit(*change, NoContent(std::move(reply)));
}

void SetLink(const std::string& body, ApiHandler& handler, ApiReply reply) {
  const absl::StatusOr<LinkChange> change = ParseLinkChange(body, "request body");
  if (!change.ok()) return reply(StatusResponse(change.status()));
  handler.SetLink(*change, NoContent(std::move(reply)));
}

template <void (ApiHandler::*kFunction)(ApiHandler::Done)>
void Command(ApiHandler& handler, ApiReply reply) {
  (handler.*kFunction)(NoContent(std::move(reply)));
}

constexpr auto kEndpoints = std::to_array<Endpoint>({
    {"vmm.ping", "GET", false, Ping},
    {"vmm.shutdown", "PUT", false, Command<&ApiHandler::ShutdownVmm>},
    {"vm.info", "GET", false, Info},
    {"vm.counters", "GET", false, Counters, true},
    {"vm.reload-closures", "PUT", false, ReloadClosures, true},
    {"vm.set-rate-limit", "PUT", true, nullptr, false, SetRateLimit},
    {"vm.set-link", "PUT", true, nullptr, false, SetLink},
    {"vm.pause", "PUT", false, Command<&ApiHandler::Pause>, true},
    {"vm.resume", "PUT", false, Command<&ApiHandler::Resume>, true},
    {"vm.power-button", "PUT", false, Command<&ApiHandler::PressPowerButton>},
    {"vm.reboot", "PUT", false, Command<&ApiHandler::Reboot>, true},
    // The rest of cloud-hypervisor's API, which is not supported.
    {"vm.create", "PUT", true, nullptr},
    {"vm.delete", "PUT", false, nullptr},
    {"vm.boot", "PUT", false, nullptr},
    {"vm.shutdown", "PUT", false, nullptr},
    {"vm.nmi", "PUT", false, nullptr},
    {"vm.resize", "PUT", true, nullptr},
    {"vm.resize-disk", "PUT", true, nullptr},
    {"vm.resize-zone", "PUT", true, nullptr},
    {"vm.add-device", "PUT", true, nullptr},
    {"vm.add-disk", "PUT", true, nullptr},
    {"vm.add-fs", "PUT", true, nullptr},
    {"vm.add-generic-vhost-user", "PUT", true, nullptr},
    {"vm.add-net", "PUT", true, nullptr},
    {"vm.add-pmem", "PUT", true, nullptr},
    {"vm.add-user-device", "PUT", true, nullptr},
    {"vm.add-vdpa", "PUT", true, nullptr},
    {"vm.add-vsock", "PUT", true, nullptr},
    {"vm.remove-device", "PUT", true, nullptr},
    {"vm.snapshot", "PUT", true, nullptr},
    {"vm.restore", "PUT", true, nullptr},
    {"vm.send-migration", "PUT", true, nullptr},
    {"vm.receive-migration", "PUT", true, nullptr},
    {"vm.coredump", "PUT", true, nullptr},
});

// Returns the path of `target`, without the query. Also removes the host of the absolute form,
// which every server has to accept. [RFC 9112 §3.2.2]
absl::string_view PathOf(absl::string_view target) {
  target = target.substr(0, target.find('?'));
  constexpr absl::string_view kScheme = "http://";
  if (!absl::StartsWithIgnoreCase(target, kScheme)) return target;
  const size_t slash = target.find('/', kScheme.size());
  return slash == absl::string_view::npos ? "/" : target.substr(slash);
}

// The end of the path, and the endpoint that it names if there is one.
struct Route {
  absl::string_view name;
  const Endpoint* endpoint = nullptr;
};
Route Find(const HttpRequest& request) {
  absl::string_view name = PathOf(request.target);
  if (!absl::ConsumePrefix(&name, kRoot)) return {};
  const auto found = std::find_if(kEndpoints.begin(), kEndpoints.end(),
                                  [name](const Endpoint& e) { return e.name == name; });
  return {name, found == kEndpoints.end() ? nullptr : &*found};
}

// Returns the answer that refuses `request`, or nullopt if the request can be executed.
std::optional<HttpResponse> Refusal(const HttpRequest& request, const Route& route) {
  const auto& [name, endpoint] = route;
  if (endpoint == nullptr) {
    return ErrorResponse(404, absl::StrCat(request.target, ": no such endpoint"));
  }
  if (request.method != endpoint->method) {
    return ErrorResponse(
        400, absl::StrCat(name, ": the method is ", endpoint->method, ", not ", request.method));
  }
  if (endpoint->action == nullptr && endpoint->body_action == nullptr) {
    return ErrorResponse(501, absl::StrCat(name, ": not supported"));
  }
  if (!endpoint->has_body && !request.body.empty()) {
    return ErrorResponse(400, absl::StrCat(name, ": takes no body"));
  }
  return std::nullopt;
}

}  // namespace

bool IsAnsweredAtOnce(const HttpRequest& request) {
  const Route route = Find(request);
  return Refusal(request, route).has_value() || !route.endpoint->waits;
}

void RouteApiRequest(const HttpRequest& request, ApiHandler& handler, ApiReply reply) {
  const Route route = Find(request);
  if (std::optional<HttpResponse> refusal = Refusal(request, route)) {
    return reply(*std::move(refusal));
  }
  if (const BodyAction action = route.endpoint->body_action; action != nullptr) {
    return action(request.body, handler, std::move(reply));
  }
  route.endpoint->action(handler, std::move(reply));
}

}  // namespace vmm
