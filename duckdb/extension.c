/* extension.c - where DuckDB enters: its functions get their names here. */
#define DUCKDB_EXTENSION_NAME basalt
#include "extension.h"

DUCKDB_CAPI_ENTRY_VISIBILITY bool basalt_init_c_api(
    duckdb_extension_info info, struct duckdb_extension_access *access);

DUCKDB_EXTENSION_ENTRYPOINT(duckdb_connection connection, duckdb_extension_info info,
    struct duckdb_extension_access *access)
{
    static bool (*const all[])(duckdb_connection) = {
        register_read, register_inspect, register_anndata, register_anndata_info};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (all[i](connection)) continue;
        access->set_error(info, "DuckDB did not take a function of the extension basalt");
        return false;
    }
    register_replacement(*access->get_database(info));
    return true;
}
