# nanoarrow (Arrow C data and IPC) and the flatcc runtime under it, from the source package on PyPI:
# tools/dependencies puts it into build/dependencies, checked by its SHA-256. Built into the library
# with hidden names of our own; nothing of it is in this repository.
file(GLOB nanoarrow_root ${PROJECT_SOURCE_DIR}/build/dependencies/nanoarrow-*/subprojects/arrow-nanoarrow)
file(GLOB flatcc_root ${PROJECT_SOURCE_DIR}/build/dependencies/nanoarrow-*/subprojects/flatcc-*)
if(NOT nanoarrow_root OR NOT flatcc_root)
    message(FATAL_ERROR "nanoarrow is not there: run tools/dependencies once (make does)")
endif()
set(nanoarrow_generated ${PROJECT_BINARY_DIR}/nanoarrow)
set(NANOARROW_VERSION 0.9.0)
set(NANOARROW_VERSION_MAJOR 0)
set(NANOARROW_VERSION_MINOR 9)
set(NANOARROW_VERSION_PATCH 0)
set(NANOARROW_NAMESPACE_DEFINE "#define NANOARROW_NAMESPACE bs_na")
configure_file(${nanoarrow_root}/src/nanoarrow/nanoarrow_config.h.in
    ${nanoarrow_generated}/nanoarrow/nanoarrow_config.h)
file(GLOB nanoarrow_sources ${nanoarrow_root}/src/nanoarrow/common/*.c
    ${nanoarrow_root}/src/nanoarrow/ipc/*.c ${flatcc_root}/src/runtime/*.c)
list(FILTER nanoarrow_sources EXCLUDE REGEX "_test|json_|device")
add_library(nanoarrow_headers INTERFACE)
target_include_directories(nanoarrow_headers SYSTEM INTERFACE ${nanoarrow_generated}
    ${nanoarrow_root}/src ${flatcc_root}/include)
add_library(nanoarrow OBJECT ${nanoarrow_sources})
target_link_libraries(nanoarrow PRIVATE nanoarrow_headers)
target_compile_options(nanoarrow PRIVATE -w)
