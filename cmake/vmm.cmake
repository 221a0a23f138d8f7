# Helpers used by every folder's CMakeLists.txt:
#   vmm_library(name SOURCES a.cc ... DEPS libs...)          one static library per folder
#   vmm_test(name SOURCES a_test.cc ... DEPS libs... [ENV K=V...])  a GoogleTest program run by ctest
#   vmm_fuzzer(name SOURCES x_fuzz.cc DEPS libs... [CORPUS dir])    a libFuzzer program; without VMM_FUZZ a
#                                                             plain program that replays the corpus

add_library(vmm_flags INTERFACE)
target_include_directories(vmm_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(vmm_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(vmm_flags INTERFACE -Wthread-safety)
else()
  # With optimisation GCC 12 reports overflows in std::vector::insert that are not there.
  target_compile_options(vmm_flags INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-Wno-array-bounds> $<$<NOT:$<CONFIG:Debug>>:-Wno-stringop-overflow>
    $<$<NOT:$<CONFIG:Debug>>:-Wno-stringop-overread> $<$<NOT:$<CONFIG:Debug>>:-Wno-restrict>)
endif()
if(VMM_SANITIZE)
  target_compile_options(vmm_flags INTERFACE -fsanitize=${VMM_SANITIZE} -fno-omit-frame-pointer)
  if(VMM_SANITIZE MATCHES "undefined")
    target_compile_options(vmm_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
  target_link_options(vmm_flags INTERFACE -fsanitize=${VMM_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 reports false uninitialised and dangling warnings in sanitized code.
    target_compile_options(vmm_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
else()
  # A hostile peer talks to this program: the cheap hardening is always on in what is shipped.
  target_compile_options(vmm_flags INTERFACE -fstack-protector-strong
    $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2> $<$<CONFIG:Release>:-D_GLIBCXX_ASSERTIONS>)
  target_compile_options(vmm_flags INTERFACE -ffunction-sections -fdata-sections)
  target_link_options(vmm_flags INTERFACE -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now)
endif()
if(VMM_FUZZ)
  target_compile_options(vmm_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Debian's abseil CMake targets name the shared objects; 60 of them cost milliseconds at every start,
# so the static archives are linked. The group lets the linker sort out their mutual references.
add_library(vmm_absl INTERFACE)
set(_absl_archives)
foreach(lib status statusor str_format_internal strings strings_internal cord cord_internal cordz_info
        cordz_handle cordz_functions cordz_sample_token exponential_biased synchronization
        graphcycles_internal time civil_time time_zone stacktrace symbolize debugging_internal
        demangle_internal malloc_internal base spinlock_wait throw_delegate int128 raw_logging_internal
        log_severity bad_optional_access bad_variant_access strerror hash city low_level_hash
        raw_hash_set hashtablez_sampler)
  list(APPEND _absl_archives libabsl_${lib}.a)
endforeach()
target_link_libraries(vmm_absl INTERFACE -Wl,--start-group ${_absl_archives} -Wl,--end-group)

function(vmm_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC vmm_flags ${ARG_DEPS} vmm_absl)
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE vmm_flags ${ARG_DEPS} vmm_absl)
  endif()
endfunction()

function(vmm_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;ENV" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} vmm_flags vmm_absl GTest::gmock GTest::gtest_main)
  # Only where the text names it: a path on every command line would make a compiler cache useless
  # in a second checkout.
  foreach(source ${ARG_SOURCES})
    file(STRINGS ${source} uses REGEX "VMM_SOURCE_DIR|golden_fixtures\\.h" LIMIT_COUNT 1)
    if(uses)
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_DEFINITIONS
                   VMM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    endif()
  endforeach()
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120)
  if(ARG_ENV)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "${ARG_ENV}")
  endif()
endfunction()

function(vmm_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} vmm_flags vmm_absl)

  # The corpus: seeds that have names, and an archive of what fuzzers have found (tests/fuzz/pack).
  set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  set(folders)
  file(GLOB seeds CONFIGURE_DEPENDS ${corpus}/*)
  if(seeds)
    list(APPEND folders ${corpus})
  endif()
  file(GLOB archive CONFIGURE_DEPENDS ${corpus}.tar.xz)
  if(archive)
    set(unpacked ${CMAKE_BINARY_DIR}/corpus/${name})
    list(APPEND folders ${unpacked})
    add_custom_command(
      OUTPUT ${unpacked}.unpacked
      COMMAND ${CMAKE_COMMAND} -E rm -rf ${unpacked}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${unpacked}
      COMMAND ${CMAKE_COMMAND} -E chdir ${unpacked} ${CMAKE_COMMAND} -E tar xf ${archive}
      COMMAND ${CMAKE_COMMAND} -E touch ${unpacked}.unpacked
      DEPENDS ${archive}
      COMMENT "Unpacking the corpus of ${name}"
      VERBATIM)
    add_custom_target(${name}_inputs DEPENDS ${unpacked}.unpacked)
    add_dependencies(${name} ${name}_inputs)
  endif()

  if(VMM_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name}_corpus COMMAND ${name} -runs=0 ${folders})
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME ${name}_corpus COMMAND ${name} ${folders})
  endif()
endfunction()

# Adds dir if it has a CMakeLists.txt.
function(vmm_subdirectory dir)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/CMakeLists.txt)
    add_subdirectory(${dir})
  endif()
endfunction()
