// Interrupts and doorbells that remember what was asked of them. Any thread.
#ifndef TESTS_FAKES_FAKE_INTERRUPTS_H_
#define TESTS_FAKES_FAKE_INTERRUPTS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/mutex.h"
#include "devices/doorbell_mapper.h"
#include "devices/interrupt.h"

namespace devices {

class FakeMsiController final : public MsiController {
 public:
  // How often a message with this `data` has arrived, over an interrupt's route or by itself.
  uint64_t delivered(uint32_t data);
  // Everything that has arrived.
  uint64_t delivered();
  // Messages sent by themselves; changes of routes; interrupts in use.
  uint64_t sent() const { return sent_; }
  uint64_t route_changes() const { return route_changes_; }
  int in_use() const { return in_use_; }

  // Lets CreateInterrupt, or SetMessage, fail from now on.
  void FailCreate(bool fail) { fail_create_ = fail; }
  void FailRoute(bool fail) { fail_route_ = fail; }

  // Delivers what was signalled in eventfds that are connected, as the host's kernel does. No
  // interrupt may be destroyed meanwhile.
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
  std::map<uint32_t, uint64_t> delivered_ ABSL_GUARDED_BY(mutex_);  // by data
  std::set<Interrupt*> interrupts_ ABSL_GUARDED_BY(mutex_);
};

class FakeDoorbellMapper final : public DoorbellMapper {
 public:
  // The guest writes at `address`: signals what is mapped there. False if nothing is.
  bool Ring(uint64_t address);
  std::map<uint64_t, int> mapped();
  // Maps and unmaps so far: each costs a real host a grace period.
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
