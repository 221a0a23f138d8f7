// Fuzzes the kernel loader with a valid bzImage whose fields are spoiled.
#include "tests/fuzz/boot_kernel_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzFixture(boot::MakeBzImage(), FuzzInput(data, size));
  return 0;
}
