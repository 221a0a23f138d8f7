find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME conformance COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/conformance)
add_test(NAME conformance_test
         COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/conformance_test.py)
