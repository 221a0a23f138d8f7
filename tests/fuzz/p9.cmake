vmm_fuzzer(p9_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/p9_fuzz.cc
           DEPS virtio_p9 fake_driver fake_event_loop)
