// Internal to boot/acpi: the byte code of the DSDT.
#ifndef BOOT_ACPI_DSDT_H_
#define BOOT_ACPI_DSDT_H_

#include "boot/acpi/acpi_tables.h"
#include "boot/acpi/aml.h"

namespace boot {

// Returns the definition block of the DSDT, without the table header.
Aml BuildDsdtBody(const AcpiConfig& config);

}  // namespace boot

#endif  // BOOT_ACPI_DSDT_H_
