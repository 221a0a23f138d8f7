// Builds AML byte code: each function returns the bytes of one term. The functions are pure. Names
// are not checked, because they come from this program. [ACPI 6.5 §20.2]
#ifndef BOOT_ACPI_AML_H_
#define BOOT_ACPI_AML_H_

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "absl/strings/string_view.h"

namespace boot {

using Aml = std::vector<uint8_t>;

// Returns the terms in sequence.
Aml AmlConcat(std::initializer_list<Aml> terms);

// Names and data. A path is like "\\_SB.PCI0": segments of at most 4 characters, padded with "_".
Aml AmlPath(absl::string_view path);
Aml AmlInteger(uint64_t value);
Aml AmlString(absl::string_view text);
Aml AmlEisaId(absl::string_view id);  // "PNP0501" as the compressed integer
Aml AmlUuid(absl::string_view uuid);  // ToUUID(): turns 36 characters into a 16-byte buffer
Aml AmlBuffer(const Aml& bytes);
Aml AmlPackage(std::initializer_list<Aml> elements);

// Named objects.
Aml AmlName(absl::string_view path, const Aml& value);
Aml AmlScope(absl::string_view path, const Aml& body);
Aml AmlDevice(absl::string_view path, const Aml& body);
Aml AmlMethod(absl::string_view path, uint8_t argument_count, const Aml& body);  // serialized
Aml AmlIoRegion(absl::string_view path, uint16_t port, uint8_t size_bytes);      // SystemIO
// Returns a field `name` of one byte at the start of region `region`.
Aml AmlByteField(absl::string_view region, absl::string_view name);

// Statements and expressions. An empty target means that the result is not stored.
Aml AmlArg(uint8_t index);    // 0 to 6
Aml AmlLocal(uint8_t index);  // 0 to 7
Aml AmlStore(const Aml& value, const Aml& target);
Aml AmlAnd(const Aml& a, const Aml& b, const Aml& target = {});
Aml AmlOr(const Aml& a, const Aml& b, const Aml& target = {});
Aml AmlEqual(const Aml& a, const Aml& b);
Aml AmlNot(const Aml& a);
Aml AmlIf(const Aml& condition, const Aml& body);
Aml AmlElse(const Aml& body);
Aml AmlReturn(const Aml& value);
Aml AmlNotify(const Aml& object, uint64_t value);
Aml AmlCreateDwordField(const Aml& buffer, uint64_t byte_offset, absl::string_view name);

// Resource descriptors [ACPI 6.5 §6.4]. AmlResources wraps them and adds the end tag.
Aml AmlResources(std::initializer_list<Aml> descriptors);
Aml AmlIoPorts(uint16_t first, uint8_t count);
Aml AmlEdgeIrq(uint8_t irq);         // ISA interrupt 0 to 15: edge, active high, exclusive
Aml AmlEdgeInterrupt(uint32_t gsi);  // any GSI: edge, active high, exclusive
Aml AmlFixedMemory32(uint32_t base, uint32_t size_bytes);
// The windows that a bridge passes on to its bus; `first` and `last` are inclusive.
Aml AmlBusWindow(uint16_t first, uint16_t last);
Aml AmlMemoryWindow32(uint32_t first, uint32_t last);
Aml AmlMemoryWindow64(uint64_t first, uint64_t last);

}  // namespace boot

#endif  // BOOT_ACPI_AML_H_
