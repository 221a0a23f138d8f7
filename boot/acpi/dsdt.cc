#include "boot/acpi/dsdt.h"

#include <string>

#include "absl/strings/str_format.h"

namespace boot {
namespace {

constexpr uint64_t kNotifyPowerButtonPressed = 0x80;  // [ACPI 6.5 §5.6.6]
constexpr uint16_t kRtcPort = 0x70;
constexpr uint8_t kRtcPorts = 2;
constexpr uint8_t kSerialPorts = 8;

Aml HardwareId(absl::string_view eisa_id) { return AmlName("_HID", AmlEisaId(eisa_id)); }

Aml UniqueId(uint64_t id) { return AmlName("_UID", AmlInteger(id)); }

Aml SleepStates() {
  return AmlName("\\_S5", AmlPackage({AmlInteger(kAcpiSleepTypeS5), AmlInteger(0), AmlInteger(0),
                                      AmlInteger(0)}));
}

Aml SerialDevice(const AcpiSerialPort& serial) {
  return AmlDevice("COM1", AmlConcat({HardwareId("PNP0501"), UniqueId(1),
                                      AmlName("_CRS", AmlResources({
                                                          AmlIoPorts(serial.port, kSerialPorts),
                                                          AmlEdgeIrq(serial.irq),
                                                      }))}));
}

Aml RtcDevice() {
  return AmlDevice("RTC",
                   AmlConcat({HardwareId("PNP0B00"),
                              AmlName("_CRS", AmlResources({AmlIoPorts(kRtcPort, kRtcPorts)}))}));
}

Aml PowerButtonDevice() { return AmlDevice("PWRB", HardwareId("PNP0C0C")); }

// LINUX: without a 0xCF8 mechanism Linux uses ECAM only if a motherboard resource covers it.
// (arch/x86/pci/mmconfig-shared.c, is_mmconf_reserved())
Aml MotherboardDevice(const MemoryRange& ecam) {
  return AmlDevice("MBRD", AmlConcat({HardwareId("PNP0C02"), UniqueId(0),
                                      AmlName("_CRS", AmlResources({AmlFixedMemory32(
                                                          static_cast<uint32_t>(ecam.start),
                                                          static_cast<uint32_t>(ecam.size))}))}));
}

// The generic event device has one interrupt for all events; the event register says which events
// are pending. A further event needs a further bit, and an AmlIf after the first. [ACPI 6.5 §5.6.9]
Aml EventDevice(const AcpiConfig& config) {
  const Aml pending = AmlLocal(0);
  const Aml on_event = AmlConcat({
      AmlStore(AmlPath("EVNT"), pending),
      AmlIf(AmlAnd(pending, AmlInteger(kAcpiEventPowerButton)),
            AmlNotify(AmlPath("\\_SB.PWRB"), kNotifyPowerButtonPressed)),
  });
  return AmlDevice(
      "GED", AmlConcat({AmlName("_HID", AmlString("ACPI0013")), UniqueId(0),
                        AmlName("_CRS", AmlResources({AmlEdgeInterrupt(config.event_gsi)})),
                        AmlIoRegion("EVRG", config.event_port, 1), AmlByteField("EVRG", "EVNT"),
                        AmlMethod("_EVT", 1, on_event)}));
}

// Grants the guest's requests for native hot-plug, power management events, error reporting and the
// capability structure. There are no standard hot-plug controllers. [PCI Firmware 3.3 §4.5.1]
Aml HostBridgeOsc() {
  constexpr absl::string_view kPciHostBridgeUuid = "33DB4D5B-1FF7-401C-9657-7441C03DD766";
  constexpr uint64_t kGranted = 0x1D;
  constexpr uint64_t kErrorUuid = 1 << 2;
  constexpr uint64_t kErrorRevision = 1 << 3;
  constexpr uint64_t kMasked = 1 << 4;
  const Aml status = AmlPath("CDW1");
  const Aml control = AmlPath("CDW3");
  const Aml buffer = AmlArg(3);
  const auto add_status = [&](uint64_t bit) { return AmlOr(status, AmlInteger(bit), status); };
  const Aml known_uuid = AmlConcat({
      AmlCreateDwordField(buffer, 8, "CDW3"),
      AmlIf(AmlNot(AmlEqual(AmlArg(1), AmlInteger(1))), add_status(kErrorRevision)),
      AmlAnd(control, AmlInteger(kGranted), AmlLocal(0)),
      AmlIf(AmlNot(AmlEqual(AmlLocal(0), control)), add_status(kMasked)),
      AmlStore(AmlLocal(0), control),
  });
  return AmlMethod("_OSC", 4,
                   AmlConcat({AmlCreateDwordField(buffer, 0, "CDW1"),
                              AmlIf(AmlEqual(AmlArg(0), AmlUuid(kPciHostBridgeUuid)), known_uuid),
                              AmlElse(add_status(kErrorUuid)), AmlReturn(buffer)}));
}

Aml PciWindows(const AcpiConfig& config) {
  const auto first32 = static_cast<uint32_t>(config.pci_mmio32.start);
  const auto last32 = static_cast<uint32_t>(config.pci_mmio32.end() - 1);
  const Aml bus = AmlBusWindow(0, 0);
  const Aml window32 = AmlMemoryWindow32(first32, last32);
  if (config.pci_mmio64.size == 0) return AmlResources({bus, window32});
  return AmlResources(
      {bus, window32, AmlMemoryWindow64(config.pci_mmio64.start, config.pci_mmio64.end() - 1)});
}

// There is no _CBA, because the MCFG table gives the ECAM of segment 0. There is no _PRT, because
// devices use only MSI-X. There is no I/O window, because there is no 0xCF8 mechanism and no BAR
// requests ports.
Aml HostBridgeDevice(const AcpiConfig& config) {
  return AmlDevice(
      "PCI0", AmlConcat({HardwareId("PNP0A08"), AmlName("_CID", AmlEisaId("PNP0A03")), UniqueId(0),
                         AmlName("_SEG", AmlInteger(0)), AmlName("_BBN", AmlInteger(0)),
                         AmlName("_CRS", PciWindows(config)), HostBridgeOsc()}));
}

// Appends the processor devices, named C000, C001, ... in hexadecimal.
void AppendProcessors(size_t count, Aml& out) {
  const Aml hardware_id = AmlName("_HID", AmlString("ACPI0007"));
  for (size_t i = 0; i < count; ++i) {
    const std::string name = absl::StrFormat("C%03X", i);
    const Aml device = AmlDevice(name, AmlConcat({hardware_id, UniqueId(i)}));
    out.insert(out.end(), device.begin(), device.end());
  }
}

}  // namespace

Aml BuildDsdtBody(const AcpiConfig& config) {
  Aml devices;
  AppendProcessors(config.apic_ids.size(), devices);
  if (config.serial) devices = AmlConcat({devices, SerialDevice(*config.serial)});
  if (config.cmos_rtc) devices = AmlConcat({devices, RtcDevice()});
  devices = AmlConcat({devices, PowerButtonDevice(), EventDevice(config),
                       MotherboardDevice(config.ecam), HostBridgeDevice(config)});
  return AmlConcat({SleepStates(), AmlScope("\\_SB", devices)});
}

}  // namespace boot
