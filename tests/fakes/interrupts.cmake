vmm_library(fake_interrupts SOURCES ${CMAKE_CURRENT_LIST_DIR}/fake_interrupts.cc DEPS base)
