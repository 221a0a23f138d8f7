// Fuzzes the kernel loader with any bytes.
#include "tests/fuzz/boot_kernel_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const uint64_t ram_mib = 2 + uint64_t{input.Take<uint8_t>()};
  CheckKernel(input.rest(), boot::TestWindow(ram_mib));
  return 0;
}
