/* counters.c - basalt_scan_stats(): the counters of a database's scans as one row. */
#include "counters.h"

#include <stdlib.h>

struct scan_counters *counters_new(void)
{
    struct scan_counters *counters = calloc(1, sizeof *counters);
    if (!counters) return NULL;
    atomic_store(&counters->holders, 1);
    if (!basalt_hdf5_bounds_create(0, &counters->bounds, NULL)) return counters;
    free(counters);
    return NULL;
}

struct scan_counters *counters_hold(struct scan_counters *counters)
{
    atomic_fetch_add(&counters->holders, 1);
    return counters;
}

void counters_release(void *data)
{
    struct scan_counters *counters = data;
    if (!counters || atomic_fetch_sub(&counters->holders, 1) > 1) return;
    basalt_hdf5_bounds_free(&counters->bounds);
    free(counters);
}

void counter_add(_Atomic uint64_t *counter, uint64_t number)
{
    atomic_fetch_add_explicit(counter, number, memory_order_relaxed);
}

void counter_raise(_Atomic uint64_t *counter, uint64_t number)
{
    uint64_t known = atomic_load(counter);
    while (known < number && !atomic_compare_exchange_weak(counter, &known, number)) {
    }
}

/* ---- the function --------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset;
} columns[] = {
    {"scans", offsetof(struct scan_counters, scans)},
    {"rows", offsetof(struct scan_counters, rows)},
    {"pieces_read", offsetof(struct scan_counters, pieces_read)},
    {"pieces_left_out", offsetof(struct scan_counters, pieces_left_out)},
    {"bytes_read", offsetof(struct scan_counters, bytes_read)},
    {"bytes_decoded", offsetof(struct scan_counters, bytes_decoded)},
    {"memory_budget_bytes", offsetof(struct scan_counters, memory_budget_bytes)},
    {"memory_last_bytes", offsetof(struct scan_counters, memory_last_bytes)},
    {"memory_peak_bytes", offsetof(struct scan_counters, memory_peak_bytes)},
};

static void bind(duckdb_bind_info info)
{
    duckdb_logical_type type = duckdb_create_logical_type(DUCKDB_TYPE_UBIGINT);
    for (size_t i = 0; i < COUNT_OF(columns); i++) {
        duckdb_bind_add_result_column(info, columns[i].name, type);
    }
    duckdb_destroy_logical_type(&type);
    duckdb_bind_set_cardinality(info, 1, true);
}

static void begin(duckdb_init_info info)
{
    bool *given = calloc(1, sizeof *given);
    if (!given) {
        duckdb_init_set_error(info, "there is not enough memory");
        return;
    }
    duckdb_init_set_init_data(info, given, free);
}

static void give(duckdb_function_info info, duckdb_data_chunk output)
{
    const char *counters = duckdb_function_get_extra_info(info);
    bool *given = duckdb_function_get_init_data(info);
    for (size_t i = 0; i < COUNT_OF(columns) && !*given; i++) {
        const void *counter = counters + columns[i].offset;
        uint64_t *out = duckdb_vector_get_data(duckdb_data_chunk_get_vector(output, i));
        out[0] = atomic_load((const _Atomic uint64_t *)counter);
    }
    duckdb_data_chunk_set_size(output, *given ? 0 : 1);
    *given = true;
}

bool register_counters(duckdb_connection connection, struct scan_counters *counters)
{
    duckdb_table_function function = make_function("basalt_scan_stats", 0, bind);
    duckdb_table_function_set_init(function, begin);
    duckdb_table_function_set_function(function, give);
    duckdb_table_function_set_extra_info(function, counters_hold(counters), counters_release);
    return register_and_free(connection, function);
}
