// SMBIOS tables, which identify the machine and carry OEM strings for the guest. [DMTF DSP0134
// 3.3.0]
#ifndef BOOT_SMBIOS_H_
#define BOOT_SMBIOS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "boot/memory_map.h"

namespace boot {

struct SmbiosConfig {
  MemoryRange area;                   // where the bytes go; Linux searches [0xF0000, 0x100000)
  std::array<uint8_t, 16> uuid = {};  // in the order of its text form: 00112233-4455-...
  std::string manufacturer = "vmm";   // an empty string is left out
  std::string product_name = "vmm";
  std::string version;
  std::string serial_number;
  std::string sku_number;
  std::string family;
  std::string chassis_asset_tag;
  std::vector<std::string> oem_strings;  // at most 255, none of them empty
};

// Returns the bytes for the start of `area`: the 64-bit entry point, then the structures of types
// 0, 1, 3 (if there is an asset tag), 11 (if there are OEM strings) and 127. Fails if a string
// contains a NUL or the tables do not fit.
absl::StatusOr<std::vector<uint8_t>> BuildSmbios(const SmbiosConfig& config);

}  // namespace boot

#endif  // BOOT_SMBIOS_H_
