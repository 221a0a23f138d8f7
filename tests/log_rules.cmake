find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME log_rules COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/log_rules.py)
add_test(NAME log_rules_test COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/log_rules_test.py)
