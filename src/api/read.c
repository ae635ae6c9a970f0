/* read.c - basalt/read.h. A basalt_snapshot is a struct bs_snapshot under its public name. */
#include "api/api_internal.h"

static struct bs_snapshot *inner(basalt_snapshot *snapshot)
{
    return (struct bs_snapshot *)(void *)snapshot;
}

basalt_status basalt_snapshot_create(
    basalt_store *store, basalt_snapshot **out_snapshot, basalt_error *err)
{
    struct bs_snapshot *snapshot = NULL;
    BS_API_NEEDS(out_snapshot);
    *out_snapshot = NULL;
    BS_API_NEEDS(store);
    const basalt_status status = bs_snapshot_create(store->store, &snapshot, err);
    *out_snapshot = (basalt_snapshot *)(void *)snapshot;
    return status;
}

void basalt_snapshot_close(basalt_snapshot **snapshot)
{
    if (!snapshot || !*snapshot) return;
    struct bs_snapshot *gone = inner(*snapshot);
    *snapshot = NULL;
    bs_snapshot_close(&gone);
}

basalt_status basalt_snapshot_rows(
    basalt_snapshot *snapshot, const char *family, uint64_t *out_rows, basalt_error *err)
{
    BS_API_NEEDS(out_rows);
    *out_rows = 0;
    BS_API_NEEDS(snapshot);
    BS_API_NEEDS(family);
    return bs_snapshot_rows(inner(snapshot), family, out_rows, err);
}

void basalt_scan_options_init(basalt_scan_options *options, size_t options_bytes)
{
    basalt_scan_options defaults;
    bs_scan_options_fill(&defaults, NULL);
    defaults.struct_bytes = options_bytes;
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

basalt_status basalt_scan(basalt_store *store, basalt_snapshot *snapshot, const char *family,
    const basalt_scan_options *options, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    BS_API_NEEDS(out_stream);
    memset(out_stream, 0, sizeof *out_stream);
    BS_API_NEEDS(store);
    BS_API_NEEDS(family);
    if (snapshot && bs_snapshot_store(inner(snapshot)) != store->store) {
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the snapshot is of another store");
    }
    return bs_store_scan(store->store, inner(snapshot), family, options, out_stream, err);
}
