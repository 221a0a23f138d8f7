// Takes values off a fuzzer's input; zeros once the input is used up. Write only one Take in an
// expression: the order of operands differs between compilers, and an input of the corpus must mean
// the same to all of them.
#ifndef TESTS_FUZZ_BOOT_FUZZ_INPUT_H_
#define TESTS_FUZZ_BOOT_FUZZ_INPUT_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

// Unlike assert(), checks the condition in release builds, too.
inline void Require(bool condition) {
  if (!condition) __builtin_trap();
}

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(data, size) {}

  template <typename T>
  T Take() {
    T value = 0;
    const size_t length = std::min(sizeof(T), rest_.size());
    if (length != 0) std::memcpy(&value, rest_.data(), length);
    rest_ = rest_.subspan(length);
    return value;
  }

  // Takes a number below 2^64. A mutation can easily change its magnitude, not only its low bits.
  uint64_t TakeScaled() {
    const auto shift = Take<uint8_t>();
    return uint64_t{Take<uint32_t>()} << (shift % 64);
  }

  std::string TakeString() {
    const auto wanted = Take<uint8_t>();
    const size_t length = std::min<size_t>(wanted, rest_.size());
    std::string text(rest_.begin(), rest_.begin() + static_cast<ptrdiff_t>(length));
    rest_ = rest_.subspan(length);
    return text;
  }

  bool empty() const { return rest_.empty(); }
  std::span<const uint8_t> rest() const { return rest_; }

 private:
  std::span<const uint8_t> rest_;
};

#endif  // TESTS_FUZZ_BOOT_FUZZ_INPUT_H_
