// The configuration space of one PCI function: 4 KiB that a guest may read straight from memory at
// any time, and a mask of the bits it may write. [PCI 3.0 §6.1]
//
// A page without a function holds all ones. The registers are put together elsewhere and shown in
// the page when they are complete, the vendor id last; the vendor id is also what disappears first.
// So a guest that finds a vendor id before and after reading a function has read all of it.
#ifndef DEVICES_PCI_CONFIG_SPACE_H_
#define DEVICES_PCI_CONFIG_SPACE_H_

#include <array>
#include <cstdint>
#include <span>

namespace devices {

// Not locked: the PCI root's lock covers it. Stores are whole 32-bit words, so that a vCPU reading
// the page without an exit never sees half a register.
class ConfigSpace {
 public:
  static constexpr uint32_t kSizeBytes = 4096;
  // Everything a guest can write, and all we put in, lies in the conventional part.
  static constexpr uint32_t kConventionalBytes = 256;

  // Fills `page` (kSizeBytes, page aligned) with what a guest reads where no function is.
  static void Clear(uint8_t* page);

  // All registers are 0 and in no page.
  ConfigSpace() = default;

  // Shows the registers in `page`, and keeps the present contents as those after power-on. The page
  // is as Clear leaves it, or no vCPU sees it yet; it stays the caller's and outlives this. Once.
  void Show(uint8_t* page);
  // Clears the page. The registers are gone: nothing but the destructor may be called.
  void Hide() { Clear(page_); }

  // Reads or sets a register whatever its mask says. `offset` is aligned to the size and below
  // kSizeBytes (reads) or kConventionalBytes (writes).
  uint8_t Load8(uint32_t offset) const;
  uint16_t Load16(uint32_t offset) const;
  uint32_t Load32(uint32_t offset) const;
  void Store8(uint32_t offset, uint8_t value);
  void Store16(uint32_t offset, uint16_t value);
  void Store32(uint32_t offset, uint32_t value);

  // Makes the bits of `mask` in the word at `offset` writable by the guest, in addition to others.
  void AllowWrites(uint32_t offset, uint32_t mask) { writable_[offset / 4] |= mask; }

  // What the guest does, after Show: any offset and size within the page.
  void GuestRead(uint32_t offset, std::span<uint8_t> data) const;
  void GuestWrite(uint32_t offset, std::span<const uint8_t> data);

  // Goes back to the contents after power-on. No vCPU may be running.
  void RestoreDefaults();

 private:
  static constexpr uint32_t kWords = kConventionalBytes / 4;

  // Replaces the bits of `mask` in the word that holds `offset`.
  void Merge(uint32_t offset, uint32_t value, uint32_t mask);

  uint8_t* page_ = nullptr;  // null before Show: the registers are in defaults_
  std::array<uint32_t, kWords> writable_ = {};
  std::array<uint32_t, kWords> defaults_ = {};
};

}  // namespace devices

#endif  // DEVICES_PCI_CONFIG_SPACE_H_
