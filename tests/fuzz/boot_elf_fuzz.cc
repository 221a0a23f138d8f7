// A valid vmlinux with spoiled fields.
#include "tests/fuzz/boot_kernel_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzFixture(boot::MakeElf(), FuzzInput(data, size));
  return 0;
}
