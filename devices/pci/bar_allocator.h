// Gives out guest addresses for BARs, before the guest runs.
#ifndef DEVICES_PCI_BAR_ALLOCATOR_H_
#define DEVICES_PCI_BAR_ALLOCATOR_H_

#include <cstdint>
#include <optional>

namespace devices {

// A range of guest physical addresses [start, start + size) that does not wrap.
struct AddressWindow {
  uint64_t start = 0;
  uint64_t size = 0;

  bool Contains(uint64_t address, uint64_t bytes) const {
    return address >= start && bytes <= size && address - start <= size - bytes;
  }
};

// Ascending, naturally aligned, never taken back: the same devices in the same order always get the
// same addresses.
class BarAllocator {
 public:
  explicit BarAllocator(AddressWindow window) : window_(window), next_(window.start) {}

  // Returns the address of `size` bytes (a power of two). nullopt when the window is full.
  std::optional<uint64_t> Allocate(uint64_t size) {
    uint64_t address;
    if (__builtin_add_overflow(next_, size - 1, &address)) return std::nullopt;
    address &= ~(size - 1);
    if (!window_.Contains(address, size)) return std::nullopt;
    next_ = address + size;
    return address;
  }

 private:
  AddressWindow window_;
  uint64_t next_;
};

}  // namespace devices

#endif  // DEVICES_PCI_BAR_ALLOCATOR_H_
