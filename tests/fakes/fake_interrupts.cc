#include "tests/fakes/fake_interrupts.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/unique_fd.h"

namespace devices {

class FakeMsiController::Interrupt final : public MsiInterrupt {
 public:
  explicit Interrupt(FakeMsiController& controller) : controller_(controller) {
    ++controller_.in_use_;
    base::MutexLock lock(controller_.mutex_);
    controller_.interrupts_.insert(this);
  }
  ~Interrupt() override {
    --controller_.in_use_;
    base::MutexLock lock(controller_.mutex_);
    controller_.interrupts_.erase(this);
  }

  absl::Status SetMessage(const MsiMessage& message) override {
    if (controller_.fail_route_) return absl::InternalError("no route");
    base::MutexLock lock(mutex_);
    if (!(message == message_)) ++controller_.route_changes_;
    message_ = message;
    connected_ = true;
    return absl::OkStatus();
  }

  void Trigger() override {
    MsiMessage message;
    {
      base::MutexLock lock(mutex_);
      message = message_;
    }
    controller_.Deliver(message);
  }
  int event_fd() const override { return event_fd_.get(); }
  void Disconnect() override {
    base::MutexLock lock(mutex_);
    connected_ = false;
  }
  // Does what a host's kernel does with signalled eventfds.
  void DeliverSignals() {
    eventfd_t signals;
    base::MutexLock lock(mutex_);
    if (connected_ && eventfd_read(event_fd_.get(), &signals) == 0) controller_.Deliver(message_);
  }

 private:
  FakeMsiController& controller_;
  const base::UniqueFd event_fd_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  base::Mutex mutex_;
  MsiMessage message_ ABSL_GUARDED_BY(mutex_);
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::StatusOr<std::unique_ptr<MsiInterrupt>> FakeMsiController::CreateInterrupt() {
  if (fail_create_) return absl::ResourceExhaustedError("no interrupt left");
  return std::make_unique<Interrupt>(*this);
}

void FakeMsiController::DeliverSignals() {
  std::set<Interrupt*> interrupts;
  {
    base::MutexLock lock(mutex_);
    interrupts = interrupts_;
  }
  for (Interrupt* interrupt : interrupts) interrupt->DeliverSignals();
}

void FakeMsiController::Send(const MsiMessage& message) {
  ++sent_;
  Deliver(message);
}

void FakeMsiController::Deliver(const MsiMessage& message) {
  base::MutexLock lock(mutex_);
  ++delivered_[message.data];
}

uint64_t FakeMsiController::delivered(uint32_t data) {
  base::MutexLock lock(mutex_);
  return delivered_[data];
}

uint64_t FakeMsiController::delivered() {
  base::MutexLock lock(mutex_);
  uint64_t sum = 0;
  for (const auto& [data, count] : delivered_) sum += count;
  return sum;
}

bool FakeDoorbellMapper::Ring(uint64_t address) {
  base::MutexLock lock(mutex_);
  const auto found = mapped_.find(address);
  if (found == mapped_.end()) return false;
  const uint64_t one = 1;
  return write(found->second, &one, sizeof(one)) == sizeof(one);
}

std::map<uint64_t, int> FakeDoorbellMapper::mapped() {
  base::MutexLock lock(mutex_);
  return mapped_;
}

absl::Status FakeDoorbellMapper::Map(uint64_t address, int event_fd) {
  if (fail_map_) return absl::ResourceExhaustedError("no doorbell left");
  ++changes_;
  base::MutexLock lock(mutex_);
  if (!mapped_.emplace(address, event_fd).second) {
    return absl::AlreadyExistsError("a doorbell is mapped there");
  }
  return absl::OkStatus();
}

void FakeDoorbellMapper::Unmap(uint64_t address, int event_fd) {
  ++changes_;
  base::MutexLock lock(mutex_);
  const auto found = mapped_.find(address);
  CHECK(found != mapped_.end() && found->second == event_fd);
  mapped_.erase(found);
}

}  // namespace devices
