// Reads a fuzzer's input as a list of accesses of eleven bytes each, so that a mutation changes
// only one access.
#ifndef TESTS_FUZZ_PCI_OPERATIONS_H_
#define TESTS_FUZZ_PCI_OPERATIONS_H_

#include <cstdint>
#include <cstring>
#include <span>

struct PciOperation {
  uint8_t kind;      // the fuzzer defines the low five bits
  uint16_t where;    // offset
  uint8_t value[8];  // bytes to write
  size_t size() const { return size_t{1} << (kind >> 5 & 3); }  // 1, 2, 4 or 8
  std::span<const uint8_t> bytes() const { return std::span(value).first(size()); }
};

// Takes the next operation off `input`. Returns false if none is left.
inline bool TakeOperation(std::span<const uint8_t>& input, PciOperation& operation) {
  constexpr size_t kBytes = 11;
  if (input.size() < kBytes) return false;
  operation.kind = input[0];
  memcpy(&operation.where, &input[1], 2);
  memcpy(operation.value, &input[3], 8);
  input = input.subspan(kBytes);
  return true;
}

#endif  // TESTS_FUZZ_PCI_OPERATIONS_H_
