// The interrupts that a device can raise. vmm/kvm implements them with irqfd and MSI routes; tests
// have fakes.
#ifndef DEVICES_INTERRUPT_H_
#define DEVICES_INTERRUPT_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace devices {

// A wire into the interrupt controller (an IOAPIC pin on x86_64). Any thread.
class InterruptLine {
 public:
  virtual ~InterruptLine() = default;
  // Drives the line. An edge-triggered pin raises an interrupt on every change from false to true.
  virtual void Set(bool asserted) = 0;
};

// A message-signalled interrupt: the device writes `data` to `address`. [PCI 3.0 §6.8.1]
struct MsiMessage {
  uint64_t address = 0;
  uint32_t data = 0;
  friend bool operator==(const MsiMessage&, const MsiMessage&) = default;
};

// One source of message-signalled interrupts, with its own route.
class MsiInterrupt {
 public:
  virtual ~MsiInterrupt() = default;
  // Sets the message that Trigger sends, and connects the eventfd. Takes effect before it returns.
  // Makes a host call only if `message` changed or the eventfd was not connected.
  virtual absl::Status SetMessage(const MsiMessage& message) = 0;
  // Sends the message once. Any thread; never blocks.
  virtual void Trigger() = 0;
  // Returns an eventfd, valid as long as this object. While the eventfd is connected, which it is
  // not at first, signalling it does the same as Trigger. For interrupts that the host's kernel
  // raises by itself (vhost, VFIO). Any thread.
  virtual int event_fd() const = 0;
  // Disconnects the eventfd: signals wait in it until SetMessage connects it again.
  virtual void Disconnect() = 0;
};

// Makes MSI sources and sends single messages. Any thread.
class MsiController {
 public:
  virtual ~MsiController() = default;
  virtual absl::StatusOr<std::unique_ptr<MsiInterrupt>> CreateInterrupt() = 0;
  virtual void Send(const MsiMessage& message) = 0;
};

// Learns which messages of an interrupt controller in user space are level-triggered. The host's
// kernel reports the end of a level-triggered interrupt only for messages that it has a route for.
class LevelRoutes {
 public:
  virtual ~LevelRoutes() = default;
  // Says that pin `pin` now sends `message` level-triggered; nullopt means that it no longer sends
  // any. Called before the pin sends, when a pin is unmasked and its message has changed, and
  // called by a reset. Masking alone calls nothing, because changing a route is slow and the last
  // interrupt may not have ended.
  virtual void SetLevelRoute(unsigned pin, std::optional<MsiMessage> message) = 0;
};

}  // namespace devices

#endif  // DEVICES_INTERRUPT_H_
