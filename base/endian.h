// Integers with a fixed byte order, for structures shared with guests, files and firmware tables.
#ifndef BASE_ENDIAN_H_
#define BASE_ENDIAN_H_

#include <bit>
#include <concepts>
#include <cstdint>
#include <span>
#include <type_traits>

namespace base {

static_assert(std::endian::native == std::endian::little, "hosts are little-endian");

template <std::unsigned_integral T>
constexpr T ByteSwap(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

// An unsigned integer stored in byte order `kOrder`. It is packed, so it needs no alignment. There
// is no implicit conversion to a number: `.value()` reads, construction writes.
template <std::unsigned_integral T, std::endian kOrder>
class __attribute__((packed)) FixedEndian {
 public:
  constexpr FixedEndian() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): assigning a number is the intended use
  constexpr FixedEndian(T value) : raw_(kOrder == std::endian::native ? value : ByteSwap(value)) {}
  constexpr T value() const { return kOrder == std::endian::native ? raw_ : ByteSwap(raw_); }
  friend constexpr bool operator==(FixedEndian a, FixedEndian b) { return a.value() == b.value(); }

 private:
  T raw_ = 0;
};

using Le16 = FixedEndian<uint16_t, std::endian::little>;
using Le32 = FixedEndian<uint32_t, std::endian::little>;
using Le64 = FixedEndian<uint64_t, std::endian::little>;
using Be16 = FixedEndian<uint16_t, std::endian::big>;
using Be32 = FixedEndian<uint32_t, std::endian::big>;
using Be64 = FixedEndian<uint64_t, std::endian::big>;

static_assert(sizeof(Le16) == 2 && sizeof(Le32) == 4 && sizeof(Le64) == 8 && alignof(Le64) == 1);

// A type whose bytes may cross a trust boundary: it can be copied as bytes and has no padding.
template <typename T>
concept WireType = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;

template <WireType T>
std::span<const uint8_t> BytesOf(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(T)};
}

template <WireType T>
std::span<uint8_t> WritableBytesOf(T& value) {
  return {reinterpret_cast<uint8_t*>(&value), sizeof(T)};
}

}  // namespace base

#endif  // BASE_ENDIAN_H_
