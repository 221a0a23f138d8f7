// Gives out guest addresses for BARs, and takes them back.
#ifndef DEVICES_PCI_BAR_ALLOCATOR_H_
#define DEVICES_PCI_BAR_ALLOCATOR_H_

#include <cstdint>
#include <map>
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

// Gives out the lowest free address that is naturally aligned: the same calls in the same order
// always get the same addresses. One thread at a time.
class BarAllocator {
 public:
  explicit BarAllocator(AddressWindow window) : window_(window) {}

  // Returns the address of `size` bytes (a power of two). nullopt when the window has no such room.
  std::optional<uint64_t> Allocate(uint64_t size);
  // Takes back what Allocate has returned.
  void Free(uint64_t address);

 private:
  const AddressWindow window_;
  std::map<uint64_t, uint64_t> taken_;  // size by address; they do not overlap
};

}  // namespace devices

#endif  // DEVICES_PCI_BAR_ALLOCATOR_H_
