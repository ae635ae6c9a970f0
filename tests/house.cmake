# The command, the examples, the installation, the rules of the house.
foreach(example hello append read)
    add_executable(example_${example} ${PROJECT_SOURCE_DIR}/examples/${example}.c)
    target_link_libraries(example_${example} PRIVATE basalt_static basalt_flags)
endforeach()
add_test(NAME examples COMMAND ${BASALT_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/cli/examples_test.py
    $<TARGET_FILE:example_hello> $<TARGET_FILE:example_append> $<TARGET_FILE:example_read>)

if(TARGET basalt_command)
    add_test(NAME cli COMMAND ${BASALT_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/cli/cli_test.py
        $<TARGET_FILE:basalt_command>)
    set_tests_properties(cli PROPERTIES TIMEOUT 600 LABELS sanitize)
    if(NOT BASALT_SANITIZE)
        add_test(NAME demo COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/demo_test
            $<TARGET_FILE:basalt_command> ${BASALT_PYTHON})
        add_test(NAME install COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install/install_test ${PROJECT_BINARY_DIR})
        set_tests_properties(demo install PROPERTIES TIMEOUT 300)
    endif()
endif()
if(NOT BASALT_SANITIZE)
    add_test(NAME tidy COMMAND ${PROJECT_SOURCE_DIR}/tools/check --fast)
    set_tests_properties(tidy PROPERTIES TIMEOUT 120)
endif()
