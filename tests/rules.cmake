find_package(Python3 REQUIRED COMPONENTS Interpreter)
foreach(name layering layering_test std_includes std_includes_test log_rules log_rules_test check_test
             commit_messages_test exit_statuses exit_statuses_test
             documents documents_test lab_faults_test rule_test slowest_test)
  add_test(NAME ${name} COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/${name}.py)
endforeach()
