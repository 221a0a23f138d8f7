// Fuzzes the entropy device with a hostile driver, on the kernel's generator and on a file.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "tests/fuzz/device_program.h"
#include "virtio/entropy/entropy_device.h"

namespace virtio {
namespace {

// A small file, so that reads reach its end. It is named through /proc, so that no file is left
// behind.
const std::string& SourcePath() {
  static const std::string path = [] {
    static const base::UniqueFd fd(memfd_create("source", MFD_CLOEXEC));
    CHECK(ftruncate(fd.get(), 3000) == 0);
    return absl::StrCat("/proc/self/fd/", fd.get());
  }();
  return path;
}

void Run(FuzzInput input) {
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  const std::string source = input.Byte() % 2 == 0 ? "/dev/urandom" : SourcePath();
  auto rng =
      EntropyDevice::Create({.id = "_rng", .source = source}, harness.loop(), harness.memory());
  CHECK(rng.ok());
  program.Start(**rng);
  for (int steps = 0; !input.empty() && steps < 400; ++steps) program.Step(**rng, input.Byte());
  program.Finish(**rng);
  Counters counters = (*rng)->counters();
  CHECK(counters["bytes"] <= counters["requests"] * kEntropyMaxRequestBytes);
}

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::SetLogLevel(base::LogLevel::kFatal);
  virtio::Run(virtio::FuzzInput(data, size));
  return 0;
}
