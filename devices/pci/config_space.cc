#include "devices/pci/config_space.h"

#include <atomic>

#include "base/log.h"

namespace devices {
namespace {

std::atomic_ref<uint32_t> PageWord(uint8_t* page, uint32_t offset) {
  // SAFETY: the page is page aligned and outlives the reference; the offset is masked to a word.
  return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(page + (offset & ~3u)));
}

}  // namespace

void ConfigSpace::Clear(uint8_t* page) {
  // ORDERING: pairs with Show, and with the guest's loads. Ascending, each store after those before
  // it: the word of the vendor id first, and all of this before what a later function stores.
  for (uint32_t at = 0; at < kSizeBytes; at += 4) {
    PageWord(page, at).store(~0u, std::memory_order_release);
  }
}

void ConfigSpace::Show(uint8_t* page) {
  // ORDERING: pairs with the guest's loads. Descending, each store after those before it: the word
  // of the vendor id last.
  for (uint32_t at = kSizeBytes; at > 0;) {
    at -= 4;
    const uint32_t value = at < kConventionalBytes ? defaults_[at / 4] : 0;
    PageWord(page, at).store(value, std::memory_order_release);
  }
  page_ = page;
}

uint32_t ConfigSpace::Load32(uint32_t offset) const {
  if (page_ == nullptr) return defaults_[offset / 4];
  return PageWord(page_, offset).load(std::memory_order_relaxed);
}

uint16_t ConfigSpace::Load16(uint32_t offset) const {
  return static_cast<uint16_t>(Load32(offset) >> (offset % 4 * 8));
}

uint8_t ConfigSpace::Load8(uint32_t offset) const {
  return static_cast<uint8_t>(Load32(offset) >> (offset % 4 * 8));
}

void ConfigSpace::Merge(uint32_t offset, uint32_t value, uint32_t mask) {
  DCHECK(offset < kConventionalBytes);
  const uint32_t merged = (Load32(offset) & ~mask) | (value & mask);
  if (page_ == nullptr) {
    defaults_[offset / 4] = merged;
  } else {
    PageWord(page_, offset).store(merged, std::memory_order_relaxed);
  }
}

void ConfigSpace::Store8(uint32_t offset, uint8_t value) {
  const uint32_t shift = offset % 4 * 8;
  Merge(offset, uint32_t{value} << shift, 0xffu << shift);
}

void ConfigSpace::Store16(uint32_t offset, uint16_t value) {
  const uint32_t shift = offset % 4 * 8;
  Merge(offset, uint32_t{value} << shift, 0xffffu << shift);
}

void ConfigSpace::Store32(uint32_t offset, uint32_t value) { Merge(offset, value, ~0u); }

void ConfigSpace::GuestRead(uint32_t offset, std::span<uint8_t> data) const {
  for (uint8_t& byte : data) byte = Load8(offset++);
}

void ConfigSpace::GuestWrite(uint32_t offset, std::span<const uint8_t> data) {
  size_t i = 0;
  while (i < data.size() && offset < kConventionalBytes) {
    // One store for all bytes that fall in the same word.
    const uint32_t word = offset & ~3u;
    uint32_t value = 0;
    uint32_t written = 0;
    for (; i < data.size() && (offset & ~3u) == word; ++i, ++offset) {
      const uint32_t shift = offset % 4 * 8;
      value |= uint32_t{data[i]} << shift;
      written |= 0xffu << shift;
    }
    Merge(word, value, written & writable_[word / 4]);
  }
}

void ConfigSpace::RestoreDefaults() {
  for (uint32_t i = 0; i < kWords; ++i) Store32(i * 4, defaults_[i]);
}

}  // namespace devices
