# libhdf5 is the oracle of the tests and never part of the library: a test that compares against it
# links the target libhdf5. Debian calls it hdf5_serial, others hdf5.
find_library(HDF5_ORACLE_LIBRARY NAMES hdf5_serial hdf5)
find_path(HDF5_ORACLE_INCLUDE hdf5.h PATH_SUFFIXES hdf5/serial)
if(NOT HDF5_ORACLE_LIBRARY OR NOT HDF5_ORACLE_INCLUDE)
    message(FATAL_ERROR "the tests compare against libhdf5, which is not there: "
        "run `tools/setup test`, or configure with -DBASALT_TESTS=OFF")
endif()
add_library(libhdf5 INTERFACE)
target_include_directories(libhdf5 SYSTEM INTERFACE ${HDF5_ORACLE_INCLUDE})
target_link_libraries(libhdf5 INTERFACE ${HDF5_ORACLE_LIBRARY})
