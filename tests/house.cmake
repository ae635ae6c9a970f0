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
if(TARGET basalt_command AND TARGET basalt_duckdb AND NOT BASALT_SANITIZE MATCHES thread)
    # DuckDB itself is not watched, so the thread sanitizer would take its locks for none.
    add_executable(basalt_without_sql ${cli_sources})
    target_link_libraries(basalt_without_sql PRIVATE basalt_static basalt_flags m)
    if(BASALT_SANITIZE)
        set(sanitized sanitized)
    endif()
    add_test(NAME cli_sql COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/cli/sql_test.py $<TARGET_FILE:basalt_command> ${BASALT_DUCKDB_EXTENSION}
        $<TARGET_FILE:basalt_without_sql> ${sanitized})
    set_tests_properties(cli_sql PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600 LABELS sanitize)
endif()
# A Python without the sanitizer loads no library with it, unless the sanitizer's own is loaded first.
if(TARGET basalt_duckdb AND BASALT_SANITIZE MATCHES address)
    set(asan_library libasan.so)
    if(CMAKE_C_COMPILER_ID MATCHES Clang)
        set(asan_library libclang_rt.asan-${CMAKE_SYSTEM_PROCESSOR}.so)
    endif()
    foreach(library ${asan_library} libstdc++.so.6)
        execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=${library} OUTPUT_VARIABLE path
            OUTPUT_STRIP_TRAILING_WHITESPACE)
        list(APPEND sanitizer_libraries ${path})
    endforeach()
    list(JOIN sanitizer_libraries "," sanitizer_libraries)
    file(GLOB sql_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/sql/*.test)
    set(sql_sanitized ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/sanitized.py ${sanitizer_libraries})
    add_test(NAME sql_asan COMMAND ${sql_sanitized} ${CMAKE_CURRENT_SOURCE_DIR}/sql/run
        ${BASALT_DUCKDB_EXTENSION} $<TARGET_FILE:basalt_command> ${sql_tests})
    add_test(NAME sql_asan_hostile COMMAND ${sql_sanitized} ${CMAKE_CURRENT_SOURCE_DIR}/sql/hostile.py
        ${BASALT_DUCKDB_EXTENSION} ${fixtures_folder} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(sql_asan sql_asan_hostile PROPERTIES LABELS sanitize SKIP_RETURN_CODE 77 TIMEOUT 600)
    set_tests_properties(sql_asan PROPERTIES ENVIRONMENT "ASAN_OPTIONS=fast_unwind_on_malloc=0")
    set_tests_properties(sql_asan_hostile PROPERTIES FIXTURES_REQUIRED h5_fixtures
        ENVIRONMENT "BASALT_CORPUS=${PROJECT_SOURCE_DIR}/../shared/corpus/hostile")
endif()
if(TARGET basalt_duckdb AND NOT BASALT_SANITIZE)
    file(GLOB sql_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/sql/*.test)
    set(sql_run ${CMAKE_CURRENT_SOURCE_DIR}/sql/run ${BASALT_DUCKDB_EXTENSION} $<TARGET_FILE:basalt_command>)
    add_test(NAME sql COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON} ${sql_run} ${sql_tests})
    add_test(NAME sql_versions COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sql/versions
        ${PROJECT_SOURCE_DIR}/tools/duckdb-versions.txt ${PROJECT_SOURCE_DIR}/build/duckdb-versions
        ${BASALT_PYTHON} ${sql_run} ${sql_tests})
    add_test(NAME sql_node COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run node
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/run.mjs ${PROJECT_SOURCE_DIR}/build/node ${BASALT_PYTHON}
        ${BASALT_DUCKDB_EXTENSION} $<TARGET_FILE:basalt_command> ${sql_tests})
    add_test(NAME sql_differential COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/differential.py ${BASALT_DUCKDB_EXTENSION}
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    add_test(NAME sql_generations COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/generations.py ${BASALT_DUCKDB_EXTENSION}
        ${PROJECT_SOURCE_DIR}/tools/anndata-versions.txt ${PROJECT_SOURCE_DIR}/build/anndata-versions)
    add_test(NAME sql_where COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/where_differential.py ${BASALT_DUCKDB_EXTENSION} $<TARGET_FILE:basalt_command> 1
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    add_test(NAME sql_hostile COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/hostile.py ${BASALT_DUCKDB_EXTENSION} ${fixtures_folder} ${bombs_folder}
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(sql_hostile PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600
        FIXTURES_REQUIRED "h5_fixtures;h5_bombs")
    add_test(NAME sql_concurrent COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/many_queries.py ${BASALT_DUCKDB_EXTENSION}
        $<TARGET_FILE:basalt_command> 16)
    add_test(NAME sql_snapshot COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/snapshot.py ${BASALT_DUCKDB_EXTENSION} $<TARGET_FILE:basalt_command>)
    add_test(NAME sql_interrupts COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/interrupts.py ${BASALT_DUCKDB_EXTENSION} 40)
    add_test(NAME sql_copies COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/copies.py ${BASALT_DUCKDB_EXTENSION}
        $<TARGET_FILE:basalt_command> 12)
    add_test(NAME sql_budget COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/interop/run ${BASALT_PYTHON}
        ${CMAKE_CURRENT_SOURCE_DIR}/sql/budget.py ${BASALT_DUCKDB_EXTENSION})
    set_tests_properties(sql_budget sql sql_versions sql_node sql_differential sql_where sql_generations
        sql_concurrent sql_interrupts sql_copies sql_snapshot PROPERTIES
        SKIP_RETURN_CODE 77 TIMEOUT 600)
    set_tests_properties(sql_concurrent sql_snapshot PROPERTIES PROCESSORS 2)
endif()
if(NOT BASALT_SANITIZE)
    add_test(NAME tidy COMMAND ${PROJECT_SOURCE_DIR}/tools/check --fast)
    set_tests_properties(tidy PROPERTIES TIMEOUT 120)
endif()
