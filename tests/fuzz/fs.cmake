vmm_fuzzer(fs_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/fs_fuzz.cc
           DEPS virtio_fs fake_driver fake_event_loop)
vmm_fuzzer(fs_closure_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/fs_closure_fuzz.cc
           DEPS virtio_host_tree)
