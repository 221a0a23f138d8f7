// Any bytes as vm.json: an error of one short line, or a config that prints to text which parses to
// it.

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "vmm/config/load_config.h"
#include "vmm/config/print_config.h"

namespace {

void Require(bool condition) {
  if (!condition) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = vmm::ParseVmConfig(text, {.base_dir = "/base"});
  if (!config.ok()) {
    const absl::string_view message = config.status().message();
    Require(message.size() < 1000);
    for (char c : message) Require(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f);
    return 0;
  }
  for (vmm::PrintStyle style : {vmm::PrintStyle::kCompact, vmm::PrintStyle::kPretty}) {
    const auto again =
        vmm::ParseVmConfig(vmm::PrintVmConfig(*config, style), {.paths_must_be_absolute = true});
    Require(again.ok());
    Require(*again == *config);
  }
  return 0;
}
