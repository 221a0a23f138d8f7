// Applies any text as --set to a valid config: each line of the input is one assignment.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "vmm/config/load_config.h"
#include "vmm/config/print_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr absl::string_view kConfig =
      R"({"payload": {"kernel": "/k"}, "disks": [{"path": "/a"}], "rng": null})";
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> assignments = absl::StrSplit(text, '\n');
  const auto config = vmm::ParseVmConfig(kConfig, {.overrides = assignments});
  if (!config.ok()) {
    if (config.status().message().size() > 1000) __builtin_trap();
    return 0;
  }
  const auto again = vmm::ParseVmConfig(vmm::PrintVmConfig(*config, vmm::PrintStyle::kCompact), {});
  if (!again.ok() || *again != *config) __builtin_trap();
  return 0;
}
