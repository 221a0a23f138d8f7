// pvpanic-pci: how a guest kernel says that it has panicked. [QEMU docs/specs/pvpanic.rst]
#ifndef DEVICES_PCI_PVPANIC_H_
#define DEVICES_PCI_PVPANIC_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "devices/pci/pci_root.h"

namespace devices {

// One byte of MMIO in BAR 0: reads say which events are understood, writes report them.
class Pvpanic final : public PciHandler {
 public:
  static constexpr uint8_t kPanicked = 1 << 0;     // the guest has panicked and will stay so
  static constexpr uint8_t kCrashLoaded = 1 << 1;  // it has panicked and deals with it (kdump)
  static constexpr uint8_t kShutdown = 1 << 2;     // it is shutting down in an orderly way
  static constexpr uint8_t kCapabilities = kPanicked | kCrashLoaded | kShutdown;

  // `on_event` gets the understood bits of each write that has any, on the vCPU thread, one call at
  // a time per vCPU but possibly several vCPUs at once. `root` must outlive this.
  using EventFunction = absl::AnyInvocable<void(uint8_t events)>;
  static absl::StatusOr<std::unique_ptr<Pvpanic>> Create(PciRoot& root, unsigned slot,
                                                         EventFunction on_event);
  ~Pvpanic() override;

  absl::string_view name() const override { return "_pvpanic"; }
  void ReadBar(unsigned bar, uint64_t offset, std::span<uint8_t> data) override;
  void WriteBar(unsigned bar, uint64_t offset, std::span<const uint8_t> data) override;

 private:
  Pvpanic(PciRoot& root, unsigned slot, EventFunction on_event);

  PciRoot& root_;
  const unsigned slot_;
  EventFunction on_event_;
};

}  // namespace devices

#endif  // DEVICES_PCI_PVPANIC_H_
