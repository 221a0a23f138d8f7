// An ApiHandler for tests. It remembers the calls and can hold its answers back.
#ifndef VMM_API_TESTING_API_HANDLER_FIXTURES_H_
#define VMM_API_TESTING_API_HANDLER_FIXTURES_H_

#include <string>
#include <utility>
#include <vector>

#include "vmm/api/api_handler.h"

namespace vmm {

class FakeApiHandler final : public ApiHandler {
 public:
  VmInfo Info() override {
    calls.push_back("info");
    return {.config_json = config_json, .state = "Running", .memory_actual_size_bytes = 1 << 20};
  }
  void Counters(absl::AnyInvocable<void(std::vector<DeviceCounters>)> done) override {
    calls.push_back("counters");
    done({{"_disk0", {{"read_bytes", 5}, {"write_bytes", ~uint64_t{0}}}}, {"_console0", {}}});
  }
  void ReloadClosures(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<DeviceCounters>>)> done) override {
    calls.push_back("reload-closures");
    if (!status.ok()) return done(status);
    done(std::vector<DeviceCounters>{{"_fs0", {{"paths_added", 2}}}});
  }
  void SetRateLimit(const RateLimitGroupConfig& change, Done done) override {
    rate_limit = change;
    Answer("set-rate-limit", std::move(done));
  }
  void SetLink(const LinkChange& change, Done done) override {
    link = change;
    Answer("set-link", std::move(done));
  }
  void Pause(Done done) override { Answer("pause", std::move(done)); }
  void Resume(Done done) override { Answer("resume", std::move(done)); }
  void PressPowerButton(Done done) override { Answer("power-button", std::move(done)); }
  void Reboot(Done done) override { Answer("reboot", std::move(done)); }
  void ShutdownVmm(Done done) override { Answer("shutdown", std::move(done)); }

  std::vector<std::string> calls;
  RateLimitGroupConfig rate_limit;  // of the last SetRateLimit
  LinkChange link;                  // of the last SetLink
  std::string config_json = "{\"memory\":{\"size\":1048576}}";
  absl::Status status;     // of each answer
  bool keep_back = false;  // answers go to `kept` instead
  std::vector<Done> kept;

 private:
  void Answer(const char* name, Done done) {
    calls.push_back(name);
    if (keep_back) return kept.push_back(std::move(done));
    done(status);
  }
};

}  // namespace vmm

#endif  // VMM_API_TESTING_API_HANDLER_FIXTURES_H_
