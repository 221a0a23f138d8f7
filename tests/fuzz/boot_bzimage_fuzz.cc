// A valid bzImage with spoiled fields.
#include "tests/fuzz/boot_kernel_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzFixture(boot::MakeBzImage(), FuzzInput(data, size));
  return 0;
}
