// What a device knows of interrupts. vmm/kvm implements these on irqfd and MSI routes; tests fake
// them.
#ifndef DEVICES_INTERRUPT_H_
#define DEVICES_INTERRUPT_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace devices {

// A wire into the interrupt controller (an IOAPIC pin on x86_64). Any thread.
class InterruptLine {
 public:
  virtual ~InterruptLine() = default;
  // Drives the line. An edge-triggered pin fires on every change from false to true.
  virtual void Set(bool asserted) = 0;
};

// [PCI 3.0 §6.8.1]: a write of `data` to `address` is the interrupt.
struct MsiMessage {
  uint64_t address = 0;
  uint32_t data = 0;
  friend bool operator==(const MsiMessage&, const MsiMessage&) = default;
};

// One message-signalled interrupt source with a route of its own.
class MsiInterrupt {
 public:
  virtual ~MsiInterrupt() = default;
  // Sets where Trigger goes, and connects the eventfd. Takes effect before it returns; costs a host
  // call only if `message` changed or the eventfd was not connected.
  virtual absl::Status SetMessage(const MsiMessage& message) = 0;
  // Sends the message once. Any thread; never blocks.
  virtual void Trigger() = 0;
  // An eventfd, valid as long as this. While it is connected, which it is not at first, a signal is
  // as good as Trigger: for what the host's kernel interrupts by itself (vhost, VFIO). Any thread.
  virtual int event_fd() const = 0;
  // Signals of the eventfd wait in it from now on, until SetMessage connects it again.
  virtual void Disconnect() = 0;
};

// Makes MSI sources and sends single messages. Any thread.
class MsiController {
 public:
  virtual ~MsiController() = default;
  virtual absl::StatusOr<std::unique_ptr<MsiInterrupt>> CreateInterrupt() = 0;
  virtual void Send(const MsiMessage& message) = 0;
};

}  // namespace devices

#endif  // DEVICES_INTERRUPT_H_
