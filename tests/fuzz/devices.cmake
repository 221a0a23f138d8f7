vmm_fuzzer(devices_serial_fuzz SOURCES devices_serial_fuzz.cc DEPS devices)
vmm_fuzzer(devices_ioapic_fuzz SOURCES devices_ioapic_fuzz.cc DEPS devices)
