// Copies little-endian integers and wire structures between values and byte vectors.
#ifndef BOOT_WIRE_H_
#define BOOT_WIRE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "base/endian.h"

namespace boot {

using Bytes = std::vector<uint8_t>;

// Returns the `T` at `offset` of `bytes`. Bytes past the end count as zero, so that a parser can
// read first and check the length afterwards.
template <typename T>
T LoadWire(std::span<const uint8_t> bytes, size_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  if (offset >= bytes.size()) return value;
  const size_t length = std::min(sizeof(T), bytes.size() - offset);
  std::memcpy(static_cast<void*>(&value), bytes.data() + offset, length);
  return value;
}

// Appends the bytes of `value`: a structure of fixed-endian fields, or an integer (little-endian).
template <typename T>
void AppendWire(Bytes& out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto* begin = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), begin, begin + sizeof(T));
}

// Writes `value` at `offset`. `out` must have room for it.
template <typename T>
void StoreWire(std::span<uint8_t> out, size_t offset, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(out.subspan(offset, sizeof(T)).data(), &value, sizeof(T));
}

inline void AppendBytes(Bytes& out, std::span<const uint8_t> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Returns the byte that makes the sum of `bytes` and of the byte itself zero modulo 256.
inline uint8_t ZeroSumChecksum(std::span<const uint8_t> bytes) {
  uint8_t sum = 0;
  for (const uint8_t byte : bytes) sum = static_cast<uint8_t>(sum + byte);
  return static_cast<uint8_t>(-sum);
}

}  // namespace boot

#endif  // BOOT_WIRE_H_
