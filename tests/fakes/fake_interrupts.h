// Fake interrupts and doorbells that record how they are used. Any thread.
#ifndef TESTS_FAKES_FAKE_INTERRUPTS_H_
#define TESTS_FAKES_FAKE_INTERRUPTS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>

#include "base/mutex.h"
#include "devices/doorbell_mapper.h"
#include "devices/interrupt.h"

namespace devices {

class FakeMsiController final : public MsiController {
 public:
  // Returns how often a message with this `data` has arrived, over a route or by Send.
  uint64_t delivered(uint32_t data);
  // Returns how many messages have arrived in all.
  uint64_t delivered();
  // Return how many messages Send has sent, how often routes changed, and how many interrupts
  // exist.
  uint64_t sent() const { return sent_; }
  uint64_t route_changes() const { return route_changes_; }
  int in_use() const { return in_use_; }

  // Makes CreateInterrupt or SetMessage fail from now on.
  void FailCreate(bool fail) { fail_create_ = fail; }
  void FailRoute(bool fail) { fail_route_ = fail; }

  // Delivers the signals that wait in connected eventfds, as the host's kernel does. No interrupt
  // may be destroyed meanwhile.
  void DeliverSignals();

  absl::StatusOr<std::unique_ptr<MsiInterrupt>> CreateInterrupt() override;
  void Send(const MsiMessage& message) override;

 private:
  class Interrupt;
  void Deliver(const MsiMessage& message);

  std::atomic<bool> fail_create_{false};
  std::atomic<bool> fail_route_{false};
  std::atomic<uint64_t> sent_{0};
  std::atomic<uint64_t> route_changes_{0};
  std::atomic<int> in_use_{0};
  base::Mutex mutex_;
  std::map<uint32_t, uint64_t> delivered_ ABSL_GUARDED_BY(mutex_);  // the key is the message's data
  std::set<Interrupt*> interrupts_ ABSL_GUARDED_BY(mutex_);
};

class FakeDoorbellMapper final : public DoorbellMapper {
 public:
  // Acts as a guest that writes to `address`: signals the eventfd that is mapped there. Returns
  // false if none is.
  bool Ring(uint64_t address);
  std::map<uint64_t, int> mapped();
  // Returns how often doorbells were mapped and unmapped. Each time costs a real host a grace
  // period.
  uint64_t changes() const { return changes_; }
  void FailMap(bool fail) { fail_map_ = fail; }

  absl::Status Map(uint64_t address, int event_fd) override;
  void Unmap(uint64_t address, int event_fd) override;

 private:
  std::atomic<bool> fail_map_{false};
  std::atomic<uint64_t> changes_{0};
  base::Mutex mutex_;
  std::map<uint64_t, int> mapped_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace devices

#endif  // TESTS_FAKES_FAKE_INTERRUPTS_H_
