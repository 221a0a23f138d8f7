vmm_fuzzer(http_fuzz SOURCES http_fuzz.cc DEPS vmm_api)
