// Checks what must hold for every kernel plan, whatever the file contains.
#ifndef TESTS_FUZZ_BOOT_KERNEL_CHECK_H_
#define TESTS_FUZZ_BOOT_KERNEL_CHECK_H_

#include <cstring>
#include <span>

#include "boot/kernel_image.h"
#include "boot/testing/kernel_fixtures.h"
#include "tests/fuzz/boot_fuzz_input.h"

inline void CheckKernel(std::span<const uint8_t> file, boot::MemoryRange window) {
  const boot::MemoryByteSource source(file);
  const auto plan = boot::PlanKernelLoad(source, "K", window);
  if (!plan.ok()) {
    Require(plan.status().message().substr(0, 3) == "K: ");
    return;
  }
  Require(!plan->occupied.Wraps() && window.Contains(plan->occupied));
  Require(plan->occupied.Contains({plan->entry_addr, 1}));
  Require(!plan->segments.empty() && plan->setup_header.size() <= 0x290 - 0x1f1);
  for (size_t i = 0; i < plan->segments.size(); ++i) {
    const boot::LoadSegment& segment = plan->segments[i];
    Require(segment.file_bytes <= segment.memory_bytes);
    Require(segment.file_bytes == 0 || (segment.file_offset <= file.size() &&
                                        segment.file_bytes <= file.size() - segment.file_offset));
    Require(plan->occupied.Contains(segment.memory()));
    for (size_t j = 0; j < i; ++j) {
      Require(!segment.memory().Overlaps(plan->segments[j].memory()));
    }
  }
}

// Spoils a valid kernel as the input says: up to 16 fields, and the length. Almost valid files
// reach deeper code than random bytes. Values are 2^n plus a small number, or arbitrary.
inline void FuzzFixture(boot::Bytes file, FuzzInput input) {
  const boot::MemoryRange window = boot::TestWindow(2 + uint64_t{input.Take<uint16_t>()});
  const auto keep = input.Take<uint16_t>();
  for (int i = 0; i < 16 && !input.empty(); ++i) {
    const auto width_log2 = input.Take<uint8_t>();
    const size_t width = size_t{1} << (width_log2 % 4);
    const size_t offset = input.Take<uint16_t>() % (file.size() - width);
    uint64_t value = input.TakeScaled();
    value += static_cast<uint64_t>(input.Take<int8_t>());
    std::memcpy(file.data() + offset, &value, width);
  }
  if (keep != 0) file.resize(keep % file.size());
  CheckKernel(file, window);
}

#endif  // TESTS_FUZZ_BOOT_KERNEL_CHECK_H_
