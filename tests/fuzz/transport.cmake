vmm_fuzzer(pci_config_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/pci_config_fuzz.cc
           DEPS devices_pci fake_interrupts)
vmm_fuzzer(transport_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/transport_fuzz.cc
           DEPS virtio_transport fake_event_loop fake_interrupts)
