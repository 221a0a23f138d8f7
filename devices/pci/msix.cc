#include "devices/pci/msix.h"

#include <linux/pci_regs.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <utility>

#include "base/limited_log.h"
#include "base/log.h"
#include "base/status.h"

namespace devices {
namespace {

constexpr uint32_t kControlWord = PCI_MSIX_ENTRY_VECTOR_CTRL / 4;

}  // namespace

MsixTable::MsixTable(MsiController& controller, uint16_t vectors, absl::string_view name)
    : controller_(controller),
      count_(vectors),
      name_(name),
      vectors_(std::make_unique<Vector[]>(vectors)) {
  CHECK(vectors >= 1 && vectors <= kMaxVectors);
  for (Vector& vector : std::span(vectors_.get(), count_)) {
    vector.entry[kControlWord] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
  }
}

MsixTable::~MsixTable() = default;

void MsixTable::ReadTable(uint64_t offset, std::span<uint8_t> data) {
  base::MutexLock lock(table_mutex_);
  for (uint8_t& byte : data) {
    byte = 0;
    if (offset < table_bytes()) {
      const uint32_t word = vectors_[offset / kEntryBytes].entry[offset % kEntryBytes / 4];
      byte = static_cast<uint8_t>(word >> (offset % 4 * 8));
    }
    ++offset;
  }
}

void MsixTable::WriteTable(uint64_t offset, std::span<const uint8_t> data) {
  base::MutexLock lock(table_mutex_);
  size_t i = 0;
  while (i < data.size() && offset < table_bytes()) {
    // All bytes of one entry first, so that a wide write is one change of route. Narrow writes are
    // undefined by the specification and merged here.
    const uint64_t index = offset / kEntryBytes;
    Vector& vector = vectors_[index];
    for (; i < data.size() && offset / kEntryBytes == index; ++i, ++offset) {
      uint32_t& word = vector.entry[offset % kEntryBytes / 4];
      const uint64_t shift = offset % 4 * 8;
      word = (word & ~(0xffu << shift)) | (uint32_t{data[i]} << shift);
    }
    vector.entry[PCI_MSIX_ENTRY_LOWER_ADDR / 4] &= ~3u;
    vector.entry[kControlWord] &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
    Update(vector);
  }
}

void MsixTable::ReadPba(uint64_t offset, std::span<uint8_t> data) {
  for (uint8_t& byte : data) {
    byte = 0;
    for (unsigned bit = 0; bit < 8 && offset < pba_bytes(); ++bit) {
      const uint64_t index = offset * 8 + bit;
      if (index >= count_) break;
      Vector& vector = vectors_[index];
      base::MutexLock lock(vector.mutex);
      if (IsPending(vector)) byte = static_cast<uint8_t>(byte | (1u << bit));
    }
    ++offset;
  }
}

void MsixTable::SetControl(bool enabled, bool all_masked) {
  base::MutexLock lock(table_mutex_);
  if (enabled == enabled_.load(std::memory_order_relaxed) && all_masked == all_masked_) return;
  enabled_.store(enabled, std::memory_order_release);
  all_masked_ = all_masked;
  for (Vector& vector : std::span(vectors_.get(), count_)) {
    Update(vector);
    if (!enabled) {
      // ORDERING: Trigger looks at enabled_ under the vector's lock; after this it sees false.
      base::MutexLock vector_lock(vector.mutex);
      ForgetPending(vector);
    }
  }
}

void MsixTable::Update(Vector& vector) {
  const bool open = enabled_.load(std::memory_order_relaxed) && !all_masked_ &&
                    (vector.entry[kControlWord] & PCI_MSIX_ENTRY_CTRL_MASKBIT) == 0;
  if (!open) {
    MsiInterrupt* shared;
    {
      base::MutexLock lock(vector.mutex);
      vector.open = false;
      shared = vector.shared ? vector.interrupt.get() : nullptr;
    }
    if (shared == nullptr) return;
    // LIFETIME: interrupts are replaced under the table's lock only.
    shared->Disconnect();
    vector.routed = false;
    return;
  }
  const MsiMessage message = {
      .address = vector.entry[PCI_MSIX_ENTRY_LOWER_ADDR / 4] |
                 (uint64_t{vector.entry[PCI_MSIX_ENTRY_UPPER_ADDR / 4]} << 32),
      .data = vector.entry[PCI_MSIX_ENTRY_DATA / 4],
  };
  Route(vector, message);
  base::MutexLock lock(vector.mutex);
  vector.open = true;
  if (std::exchange(vector.pending, false)) Send(vector);
}

void MsixTable::Route(Vector& vector, const MsiMessage& message) {
  std::unique_ptr<MsiInterrupt> interrupt;
  bool shared;
  {
    base::MutexLock lock(vector.mutex);
    if (vector.routed && vector.message == message) return;
    vector.open = false;  // whatever is triggered while the route changes stays pending
    vector.message = message;
    interrupt = std::move(vector.interrupt);
    shared = std::exchange(vector.shared, false);
  }
  vector.routed = true;
  if (interrupt == nullptr && !std::exchange(vector.asked, true)) interrupt = NewInterrupt();
  if (interrupt != nullptr) {
    if (const absl::Status status = interrupt->SetMessage(message); !status.ok()) {
      LOG_LIMITED(Warning, 10, name_)
          << name_ << ": cannot route an interrupt, sending single messages: " << status.message();
      // An eventfd that others have stays valid; what they signal waits in it.
      if (!shared) interrupt.reset();
    }
  }
  base::MutexLock lock(vector.mutex);
  vector.interrupt = std::move(interrupt);
  vector.shared = shared;
}

std::unique_ptr<MsiInterrupt> MsixTable::NewInterrupt() {
  absl::StatusOr<std::unique_ptr<MsiInterrupt>> made = controller_.CreateInterrupt();
  if (made.ok()) return *std::move(made);
  LOG_LIMITED(Warning, 10, name_) << name_ << ": no interrupt of its own, sending single messages: "
                                  << made.status().message();
  return nullptr;
}

absl::StatusOr<int> MsixTable::EventFd(uint16_t index) {
  if (index >= count_) return absl::InvalidArgumentError("the driver gave it no vector");
  base::MutexLock lock(table_mutex_);
  Vector& vector = vectors_[index];
  {
    base::MutexLock vector_lock(vector.mutex);
    vector.shared = vector.interrupt != nullptr;
    if (vector.shared) return vector.interrupt->event_fd();
  }
  // Never unmasked so far, or the host had none left then.
  ASSIGN_OR_RETURN(std::unique_ptr<MsiInterrupt> made, controller_.CreateInterrupt());
  const int event_fd = made->event_fd();
  {
    base::MutexLock vector_lock(vector.mutex);
    vector.interrupt = std::move(made);
    vector.shared = true;
  }
  vector.asked = true;
  vector.routed = false;
  Update(vector);
  return event_fd;
}

bool MsixTable::IsPending(const Vector& vector) {
  if (vector.pending || vector.open || !vector.shared) return vector.pending;
  pollfd signalled = {.fd = vector.interrupt->event_fd(), .events = POLLIN, .revents = 0};
  return poll(&signalled, 1, 0) > 0;
}

void MsixTable::ForgetPending(Vector& vector) {
  vector.pending = false;
  if (!vector.shared) return;
  eventfd_t signals;
  eventfd_read(vector.interrupt->event_fd(), &signals);  // fails if there are none
}

void MsixTable::Send(Vector& vector) {
  if (vector.interrupt != nullptr) {
    vector.interrupt->Trigger();
  } else {
    controller_.Send(vector.message);
  }
}

void MsixTable::Trigger(uint16_t index) {
  if (index >= count_) return;
  Vector& vector = vectors_[index];
  base::MutexLock lock(vector.mutex);
  if (vector.open) {
    Send(vector);
  } else if (enabled()) {
    vector.pending = true;
  }
}

void MsixTable::ClearPending() {
  for (Vector& vector : std::span(vectors_.get(), count_)) {
    base::MutexLock lock(vector.mutex);
    ForgetPending(vector);
  }
}

void MsixTable::Reset() {
  SetControl(false, false);
  base::MutexLock lock(table_mutex_);
  for (Vector& vector : std::span(vectors_.get(), count_)) {
    vector.entry = {};
    vector.entry[kControlWord] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
    vector.asked = vector.routed = false;
    base::MutexLock vector_lock(vector.mutex);
    vector.shared = false;
    vector.interrupt.reset();
    vector.message = {};
  }
}

}  // namespace devices
