// Fuzzes the placement of an initramfs: any size, any kernel and any command line.
#include <algorithm>
#include <string>

#include "boot/payload.h"
#include "tests/fuzz/boot_fuzz_input.h"

namespace {

void FuzzInitrd(FuzzInput& input) {
  const boot::MemoryRange window{input.TakeScaled(), input.TakeScaled()};
  boot::LoadPlan kernel;
  kernel.occupied = {input.TakeScaled(), input.TakeScaled()};
  kernel.initrd_addr_max = input.TakeScaled();
  kernel.initrd_addr_max -= input.Take<uint8_t>();
  const uint64_t size = input.TakeScaled();
  if (window.Wraps() || kernel.occupied.Wraps()) return;  // PlanKernelLoad returns no such plan
  const auto place = boot::PlaceInitrd(size, "I", kernel, window);
  if (!place.ok()) return;
  Require(place->size == size && size > 0 && !place->Wraps() && place->start % 4096 == 0);
  Require(window.Contains(*place) && place->start >= kernel.occupied.end());
  Require(place->end() - 1 <= kernel.initrd_addr_max);
}

void FuzzCommandLine(FuzzInput& input) {
  const auto max_bytes = input.Take<uint8_t>();
  const std::string text = input.TakeString();
  const auto bytes = boot::EncodeCommandLine(text, max_bytes);
  if (!bytes.ok()) return;
  Require(bytes->size() == text.size() + 1 && text.size() <= max_bytes);
  Require(std::find(bytes->begin(), bytes->end(), 0) == bytes->end() - 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  FuzzInitrd(input);
  FuzzCommandLine(input);
  return 0;
}
