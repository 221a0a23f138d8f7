// Fuzzes the kernel loader with a valid vmlinux whose fields are spoiled.
#include "tests/fuzz/boot_kernel_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzFixture(boot::MakeElf(), FuzzInput(data, size));
  return 0;
}
