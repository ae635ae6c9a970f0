/* read_hdf5.c - read_hdf5(files, path): a path of HDF5 files as a table. */
#include "extension.h"

static void bind(duckdb_bind_info info)
{
    static const char *const layouts[] = {"auto", "plain", "wide"};
    size_t layout = 0;
    struct scan_request *request = request_new(info);
    if (!request) return;
    if (!request_word(info, "layout", layouts, COUNT_OF(layouts), &layout)) {
        request_free(request);
        return;
    }
    request->layout = (basalt_hdf5_layout)layout;
    scan_bind(info, request);
}

bool register_read(duckdb_connection connection)
{
    duckdb_table_function function = scan_function("read_hdf5", 2, bind);
    add_named_parameter(function, "layout", DUCKDB_TYPE_VARCHAR);
    return register_and_free(connection, function);
}
