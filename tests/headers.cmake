# The target headers_alone compiles every header by itself. A header that some source includes first is compiled alone
# by that source already; this target is for the others: `ninja headers_alone`, a part of `tools/check clang`.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
     ${CMAKE_SOURCE_DIR}/base/*.h ${CMAKE_SOURCE_DIR}/boot/*.h ${CMAKE_SOURCE_DIR}/devices/*.h
     ${CMAKE_SOURCE_DIR}/net/*.h ${CMAKE_SOURCE_DIR}/tests/*.h ${CMAKE_SOURCE_DIR}/tools/*.h ${CMAKE_SOURCE_DIR}/virtio/*.h
     ${CMAKE_SOURCE_DIR}/vmm/*.h)
set(alone)
foreach(header ${headers})
  string(REGEX REPLACE "\\.h$" "" stem ${header})
  set(first)
  foreach(source ${stem}.cc ${stem}_test.cc)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${source})
      file(STRINGS ${CMAKE_SOURCE_DIR}/${source} include REGEX "^#include" LIMIT_COUNT 1)
      list(APPEND first ${include})
    endif()
  endforeach()
  if(NOT "#include \"${header}\"" IN_LIST first)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/headers/${stem}.cc)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n")
    list(APPEND alone ${source})
  endif()
endforeach()
add_library(headers_alone OBJECT EXCLUDE_FROM_ALL ${alone})
target_link_libraries(headers_alone PRIVATE vmm_flags GTest::gmock)
target_compile_definitions(headers_alone PRIVATE VMM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
target_compile_options(headers_alone PRIVATE -O0)
