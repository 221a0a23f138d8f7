foreach(name boot_bzimage_fuzz boot_elf_fuzz boot_initrd_fuzz boot_kernel_fuzz boot_tables_fuzz)
  vmm_fuzzer(${name} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.cc DEPS boot)
endforeach()
