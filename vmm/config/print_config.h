// Writes a VmConfig, and the description of its keys, in several forms.
#ifndef VMM_CONFIG_PRINT_CONFIG_H_
#define VMM_CONFIG_PRINT_CONFIG_H_

#include <string>

#include "vmm/config/vm_config.h"

namespace vmm {

enum class PrintStyle : uint8_t {
  kCompact,  // on one line, for the API
  kPretty,   // indented by two spaces, with a final newline
};

// Returns a vm.json text from which `config` can be parsed. Keys without a value are left out;
// sizes are in bytes.
std::string PrintVmConfig(const VmConfig& config, PrintStyle style);

// Returns the JSON Schema (draft 2020-12) of vm.json, with a final newline: docs/vm.schema.json.
std::string VmConfigJsonSchema();

// Returns the Markdown tables of all keys, which are in docs/vm-json.md.
std::string VmConfigDocsTables();

// Returns each key with its description, for --help: lines of at most 100 characters, indented.
std::string VmConfigHelp();

}  // namespace vmm

#endif  // VMM_CONFIG_PRINT_CONFIG_H_
