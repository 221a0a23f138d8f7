vmm_fuzzer(config_json_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/config_json_fuzz.cc DEPS vmm_config)
vmm_fuzzer(config_set_fuzz SOURCES ${CMAKE_CURRENT_LIST_DIR}/config_set_fuzz.cc DEPS vmm_config)
