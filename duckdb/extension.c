/* extension.c - where DuckDB enters: its functions get their names here.
 *
 * DuckDB hands over a struct of functions. That of version 1.2.0 begins every later one, and that much is
 * asked for (so says the file's footer), so that one file serves DuckDB 1.3 and on. What 1.5.6 put behind
 * it is taken over where DuckDB is as new as that: host_has_new_functions() says so, and where it says no
 * those functions are NULL. */
#define DUCKDB_EXTENSION_NAME basalt
#include "counters.h"

#include <stddef.h>

duckdb_ext_api_v1 duckdb_ext_api;

DUCKDB_CAPI_ENTRY_VISIBILITY bool basalt_init_c_api(
    duckdb_extension_info info, struct duckdb_extension_access *access);

#define OLD_VERSION "v1.2.0"
#define NEW_VERSION "v1.5.6"

/* What the struct of OLD_VERSION has. The name is a macro of the header's, which is in the way here. */
#undef duckdb_create_instance_cache
enum { OLD_BYTES = offsetof(duckdb_ext_api_v1, duckdb_create_instance_cache) };

bool host_has_new_functions(void)
{
    unsigned major = 0, minor = 0, patch = 0;
    if (sscanf(duckdb_library_version(), "v%u.%u.%u", &major, &minor, &patch) != 3) return false;
    if (major != 1) return major > 1;
    return minor != 5 ? minor > 5 : patch >= 6;
}

/* False: DuckDB has noted why. */
static bool take_functions(duckdb_extension_info info, struct duckdb_extension_access *access)
{
    const void *functions = access->get_api(info, OLD_VERSION);
    if (functions == NULL) return false;
    memcpy(&duckdb_ext_api, functions, OLD_BYTES);
    if (!host_has_new_functions()) return true;
    functions = access->get_api(info, NEW_VERSION);
    if (functions == NULL) return false;
    memcpy(&duckdb_ext_api, functions, sizeof duckdb_ext_api);
    return true;
}

static bool register_all(duckdb_connection connection)
{
    static bool (*const plain[])(duckdb_connection) = {
        register_copy, register_inspect, register_attach, register_anndata_info};
    static bool (*const scanning[])(duckdb_connection, struct scan_counters *) = {
        register_read, register_anndata, register_counters};
    struct scan_counters *counters = counters_new();
    bool done = counters != NULL;
    for (size_t i = 0; done && i < COUNT_OF(plain); i++) done = plain[i](connection);
    for (size_t i = 0; done && i < COUNT_OF(scanning); i++)
        done = scanning[i](connection, counters);
    counters_release(counters); /* each function that scans holds it */
    return done;
}

bool basalt_init_c_api(duckdb_extension_info info, struct duckdb_extension_access *access)
{
    duckdb_connection connection = NULL;
    if (!take_functions(info, access)) return false;
    duckdb_database *database = access->get_database(info);
    if (database == NULL || duckdb_connect(*database, &connection) == DuckDBError) {
        access->set_error(info, "the extension basalt got no connection to the database");
        return false;
    }
    bool done = register_all(connection);
    if (done)
        register_replacement(*database);
    else
        access->set_error(info, "DuckDB did not take a function of the extension basalt");
    duckdb_disconnect(&connection);
    return done;
}
