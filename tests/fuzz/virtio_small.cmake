vmm_fuzzer(console_fuzz SOURCES console_fuzz.cc
  DEPS virtio_console fake_driver fake_event_loop)
vmm_fuzzer(entropy_fuzz SOURCES entropy_fuzz.cc
  DEPS virtio_entropy fake_driver fake_event_loop)
