vmm_library(fake_driver SOURCES ${CMAKE_CURRENT_LIST_DIR}/fake_driver.cc DEPS base)
