/* memory.c - how much memory the extension may take: DuckDB lends none, so its limit is asked for. */
#include "extension.h"

#include <math.h>
#include <stdlib.h>

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

uint64_t thread_count(duckdb_client_context context)
{
    if (!host_has_new_functions()) return 0;
    char *text = read_option(context, "threads");
    const uint64_t count = text ? strtoull(text, NULL, 10) : 0;
    duckdb_free(text);
    return count;
}
