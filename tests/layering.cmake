find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME layering COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/layering.py)
add_test(NAME layering_test COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/layering_test.py)
