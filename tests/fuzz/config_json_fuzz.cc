// Parses any bytes as vm.json. Must hold: the result is an error of one short line, or a config
// whose printed text parses to the same config. After a first byte 1, bytes above 0x7f stand for
// pieces of configs.

#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "tests/fuzz/tokens.h"
#include "vmm/config/load_config.h"
#include "vmm/config/print_config.h"

namespace {

constexpr absl::string_view kWords[] = {
    R"({"payload": {"kernel": "/k"})",
    R"(, "cpus": {)",
    R"(, "memory": {)",
    R"(, "disks": [{"path": "/d"}, {)",
    R"(, "rng": {)",
    R"(, "console": {)",
    R"(, "serial": {)",
    R"(, "payload": {)",
    R"(, "platform": {)",
    R"(, "pci_segments": )",
    R"(, "net": )",
    R"(, "fs": )",
    R"(, "balloon": )",
    R"(, "pmem": )",
    R"("boot_vcpus": )",
    R"("max_vcpus": )",
    R"("nested": )",
    R"("topology": {"threads_per_core": 1})",
    R"("size": )",
    R"("hugepages": )",
    R"("shared": )",
    R"("prefault": )",
    R"("path": )",
    R"("readonly": )",
    R"("direct": )",
    R"("sparse": )",
    R"("num_queues": )",
    R"("queue_size": )",
    R"("serial": )",
    R"("id": )",
    R"("pci_device_id": )",
    R"("features_mask": )",
    R"("src": )",
    R"("mode": )",
    R"("socket": )",
    R"("file": )",
    R"("kernel": )",
    R"("initramfs": )",
    R"("cmdline": )",
    R"("Tty")",
    R"("Off")",
    R"("Socket")",
    R"("File")",
    R"("Pty")",
    R"("Null")",
    R"("/a")",
    R"("512M")",
    R"("1G")",
    "true",
    "false",
    "null",
    "18446744073709551615",
    "-1",
    "1e3",
    "128",
    "}, {",
    "}]",
    "}}",
    R"(\u0000)",
    "\xf0\x9f\x98\x80",
};

void Require(bool condition) {
  if (!condition) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> input(data, size);
  const std::string text = size > 0 && data[0] == 1 ? ExpandTokens(input.subspan(1), kWords)
                                                    : std::string(input.begin(), input.end());
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
