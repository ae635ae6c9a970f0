/* memory.c - how much memory the extension may take: DuckDB lends none, so its limit is asked for. */
#include "extension.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define BUDGET_BYTES_UNKNOWN ((uint64_t)512 << 20)
#define BUDGET_BYTES_MAX ((double)((uint64_t)1 << 62))
#define BUDGET_SHARE 4

/* "190.7 MiB", as DuckDB writes a size; negative: it is none. */
static double parse_size(const char *text)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    char *end = NULL;
    double bytes = strtod(text, &end);
    if (end == text || !(bytes >= 0)) return -1;
    while (*end == ' ') end++;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (!strcmp(end, units[i])) return bytes * pow(1024, (double)i);
    }
    return !*end || !strcmp(end, "byte") ? bytes : -1;
}

static char *read_option(duckdb_client_context context, const char *name)
{
    duckdb_value value =
        context ? duckdb_client_context_get_config_option(context, name, NULL) : NULL;
    char *text = value && !duckdb_is_null_value(value) ? duckdb_get_varchar(value) : NULL;
    if (value) duckdb_destroy_value(&value);
    return text;
}

uint64_t memory_budget(duckdb_client_context context)
{
    if (!host_has_new_functions()) return BUDGET_BYTES_UNKNOWN;
    char *text = read_option(context, "memory_limit");
    const double bytes = text ? parse_size(text) : -1;
    duckdb_free(text);
    if (bytes < 0) return BUDGET_BYTES_UNKNOWN;
    return (uint64_t)(MIN_OF(bytes, BUDGET_BYTES_MAX) / BUDGET_SHARE);
}

void memory_of_query(duckdb_bind_info info, uint64_t *out_budget_bytes, uint64_t *out_threads)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    duckdb_client_context context = NULL;
    *out_threads = processors > 0 ? (uint64_t)processors : 1;
    if (!host_has_new_functions()) {
        *out_budget_bytes = memory_budget(NULL);
        return;
    }
    duckdb_table_function_get_client_context(info, &context);
    *out_budget_bytes = memory_budget(context);
    char *text = read_option(context, "threads");
    const uint64_t threads = text ? strtoull(text, NULL, 10) : 0;
    if (threads) *out_threads = threads;
    duckdb_free(text);
    duckdb_destroy_client_context(&context);
}
