// MSI-X: the vector table, the pending bits, and the interrupts behind them. [PCI 3.0 §6.8.2]
#ifndef DEVICES_PCI_MSIX_H_
#define DEVICES_PCI_MSIX_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "devices/interrupt.h"

namespace devices {

// Changing an interrupt's route costs the host a grace period, so a vector gets its interrupt when
// it is first unmasked, and a new message only when it is unmasked with one that differs.
//
// Table and control accesses come from vCPU threads and may wait for the host; Trigger comes from
// any thread and never waits for them: while a route changes, the vector counts as masked and its
// interrupt is pending.
class MsixTable {
 public:
  static constexpr uint16_t kMaxVectors = 2048;
  static constexpr uint32_t kEntryBytes = 16;

  // `vectors` in [1, kMaxVectors]. `controller` must outlive this. `name` is for logs.
  MsixTable(MsiController& controller, uint16_t vectors, absl::string_view name);
  ~MsixTable();
  MsixTable(const MsixTable&) = delete;
  MsixTable& operator=(const MsixTable&) = delete;

  uint16_t vectors() const { return count_; }
  uint32_t table_bytes() const { return count_ * kEntryBytes; }
  uint32_t pba_bytes() const { return (count_ + 63u) / 64 * 8; }

  // Table and pending bit array as the guest sees them. Any offset and size; beyond the end reads
  // are 0 and writes are dropped. vCPU threads.
  void ReadTable(uint64_t offset, std::span<uint8_t> data);
  void WriteTable(uint64_t offset, std::span<const uint8_t> data);
  void ReadPba(uint64_t offset, std::span<uint8_t> data);

  // Follows the capability's message control register. Disabling clears all pending bits. vCPU
  // threads.
  void SetControl(bool enabled, bool all_masked);
  bool enabled() const { return enabled_.load(std::memory_order_acquire); }

  // Sends the vector's message, or makes it pending while it is masked. No effect if MSI-X is
  // disabled or there is no such vector. Any thread; never blocks.
  void Trigger(uint16_t vector);

  // Returns an eventfd that the host's kernel signals to send the vector's message (vhost, VFIO).
  // While the vector is masked signals wait in it, as pending interrupts do. It is valid until
  // Reset; Trigger may be used beside it. Errors: there is no such vector, or the host has no
  // interrupt left. Any thread but one that must not wait for the host.
  absl::StatusOr<int> EventFd(uint16_t vector);

  // Forgets pending interrupts.
  void ClearPending();
  // Back to power-on: disabled, all masked, all interrupts given back. No vCPU may be running.
  void Reset();

 private:
  struct Vector {
    // The guest's view, under table_mutex_.
    std::array<uint32_t, kEntryBytes / 4> entry = {};
    bool asked = false;   // for an interrupt
    bool routed = false;  // `message` counts, and the interrupt is connected

    // What Trigger needs. `interrupt` is null when the host had none left: then each message is
    // sent by itself.
    base::Mutex mutex;
    bool open ABSL_GUARDED_BY(mutex) = false;
    bool pending ABSL_GUARDED_BY(mutex) = false;
    // Others than Trigger signal the interrupt's eventfd; what is pending may be in it.
    bool shared ABSL_GUARDED_BY(mutex) = false;
    std::unique_ptr<MsiInterrupt> interrupt ABSL_GUARDED_BY(mutex);
    MsiMessage message ABSL_GUARDED_BY(mutex);
  };

  // Makes the vector's state follow its entry and the control register.
  void Update(Vector& vector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_mutex_);
  void Route(Vector& vector, const MsiMessage& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_mutex_);
  std::unique_ptr<MsiInterrupt> NewInterrupt();
  static bool IsPending(const Vector& vector) ABSL_SHARED_LOCKS_REQUIRED(vector.mutex);
  static void ForgetPending(Vector& vector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(vector.mutex);
  void Send(Vector& vector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(vector.mutex);

  MsiController& controller_;
  const uint16_t count_;
  const std::string name_;
  std::atomic<bool> enabled_{false};

  // Lock order: table_mutex_, then a vector's.
  base::Mutex table_mutex_;
  bool all_masked_ ABSL_GUARDED_BY(table_mutex_) = false;
  const std::unique_ptr<Vector[]> vectors_;
};

}  // namespace devices

#endif  // DEVICES_PCI_MSIX_H_
