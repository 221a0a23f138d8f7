// PCI bus 0 behind ECAM: finds functions by slot, serves their configuration space, and decides
// what the BARs decode. [PCI 3.0 §6], [PCIe 4.0 §7.2.2]
//
// Configuration space lives in host memory that the machine maps into the guest read-only: reads
// cost no exit, writes exit and come to Write. docs/adr/0002-ecam-in-read-only-memory.md says why.
#ifndef DEVICES_PCI_PCI_ROOT_H_
#define DEVICES_PCI_PCI_ROOT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "devices/bus.h"
#include "devices/pci/bar_allocator.h"
#include "devices/pci/pci_function.h"

namespace devices {

// One function per slot. Put it on the MMIO bus over [ecam base, + kEcamBytes), and have vCPUs
// reach it through that bus. All functions: any thread, unless they say otherwise.
//
// Slots are filled and emptied while vCPUs run. A guest that scans the bus meanwhile, by exits or
// straight from memory, never sees a part of a function: see ConfigSpace.
class PciRoot final : public BusDevice {
 public:
  static constexpr unsigned kSlots = 32;
  static constexpr uint64_t kSlotBytes = 8 * ConfigSpace::kSizeBytes;
  static constexpr uint64_t kEcamBytes = kSlots * kSlotBytes;

  struct Options {
    AddressWindow window_32bit = {};  // below 4 GiB; nothing else may be in it
    AddressWindow window_64bit = {};  // may be empty
    // Takes the read-only mapping of FastReads() away, for good. Called at most once between
    // resets, on a vCPU thread, when the guest uses something whose reads have to be seen.
    absl::AnyInvocable<void()> disable_fast_reads = nullptr;
  };

  // `mmio` must outlive the root, the root every function in it. Errors: ResourceExhausted when
  // memory cannot be had.
  static absl::StatusOr<std::unique_ptr<PciRoot>> Create(Bus& mmio, Options options);
  ~PciRoot() override;
  PciRoot(const PciRoot&) = delete;
  PciRoot& operator=(const PciRoot&) = delete;

  // Adds a function at `slot`, its BARs at free addresses in the windows, decoding off. `handler`
  // and `spec.msix` must stay until Remove has returned. Not from within an access to a bus
  // (CHECK). Errors, naming the handler and the slot: InvalidArgument, AlreadyExists,
  // ResourceExhausted (no address left).
  absl::Status Add(unsigned slot, const PciFunctionSpec& spec, PciHandler& handler);
  // Takes the function in `slot` out if it is `handler`'s, and its addresses back. When Remove
  // returns, no vCPU is in `handler` any more and none will be. So Remove must not be called from
  // within an access to a bus (CHECK), nor with a lock held that a handler takes.
  void Remove(unsigned slot, const PciHandler& handler);

  // Returns the memory of all slots up to the highest one in use, for the machine to map read-only
  // at the ECAM base. Page aligned, constant address, valid as long as the root. Before vCPUs run.
  std::span<uint8_t> FastReads();
  // Asks for every configuration read to exit from now on.
  void DisableFastReads();

  // ECAM accesses that exit.
  absl::string_view name() const override { return "pci"; }
  void Read(uint64_t offset, std::span<uint8_t> data) override;
  void Write(uint64_t offset, std::span<const uint8_t> data) override;

  // For functions' handlers. Reads or sets the registers of the function in `slot`; `offset` is a
  // multiple of 4 below 256. An empty slot reads as all ones.
  uint32_t LoadConfig(unsigned slot, uint32_t offset);
  void StoreConfig(unsigned slot, uint32_t offset, uint32_t value);
  void SetInterruptStatus(unsigned slot, bool asserted);

  // All functions as at power-on. No vCPU may be running.
  void Reset();

 private:
  PciRoot(Bus& mmio, Options options, uint8_t* pages);

  uint8_t* Page(unsigned slot) { return pages_ + slot * kSlotBytes; }
  BarAllocator& Allocator(bool is_64bit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return is_64bit && window_64bit_.size != 0 ? allocator_64bit_ : allocator_32bit_;
  }
  // Gives every BAR an address. On failure those that have one keep it.
  absl::Status AllocateBars(PciFunction& function) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreeBars(PciFunction& function) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Returns the function whose page holds ECAM offset `offset`.
  PciFunction* Find(uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadFunction(uint64_t offset, std::span<uint8_t> data);
  void WriteFunction(uint64_t offset, std::span<const uint8_t> data);

  // Makes the MMIO bus follow the BAR registers.
  void Redecode() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<uint64_t> WantedAddress(const PciFunction& function,
                                        const PciFunction::Bar& bar) const;
  void Map(PciFunction::Bar& bar, uint64_t address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unmap(PciFunction::Bar& bar) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EvictUnused(uint64_t address, uint64_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Bus& mmio_;
  uint8_t* const pages_;  // kEcamBytes
  const AddressWindow window_32bit_;
  const AddressWindow window_64bit_;

  // Held while a slot is filled or emptied, and never by vCPUs: a slot is not filled again before
  // the accesses to its last function have ended. Lock order: slots_mutex_, mutex_.
  base::Mutex slots_mutex_;
  base::Mutex mutex_;
  BarAllocator allocator_32bit_ ABSL_GUARDED_BY(mutex_);
  BarAllocator allocator_64bit_ ABSL_GUARDED_BY(mutex_);
  std::array<std::unique_ptr<PciFunction>, kSlots> functions_ ABSL_GUARDED_BY(mutex_);
  uint64_t fast_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool fast_reads_disabled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::AnyInvocable<void()> disable_fast_reads_;
};

}  // namespace devices

#endif  // DEVICES_PCI_PCI_ROOT_H_
