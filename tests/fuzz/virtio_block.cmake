vmm_fuzzer(queue_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/queue_fuzz.cc
           DEPS virtio_queue fake_driver fake_event_loop)
vmm_fuzzer(block_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/block_fuzz.cc
           DEPS virtio_block fake_driver fake_event_loop)
