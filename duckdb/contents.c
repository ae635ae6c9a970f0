/* contents.c - which tables a file has. */
#include "contents.h"

/* A walk over the file; each table that is met is told. */
struct walk {
    basalt_hdf5 *file;
    table_fn *each;
    void *context;
    unsigned inside; /* depth of the table at hand; UINT32_MAX: none */
    unsigned group;  /* the same of a plain group: its datasets are its columns */
};

/* A group of which each dataset is a column. */
static bool is_whole(const struct walk *walk, const char *path)
{
    basalt_hdf5_table *table = NULL;
    struct ArrowSchema schema = {0};
    size_t bytes;
    bool whole = false;
    if (!basalt_hdf5_table_open(walk->file, path, NULL, &table, NULL) &&
        !basalt_hdf5_table_schema(table, &schema, NULL)) {
        whole = !metadata_find(schema.metadata, "basalt.left_out", &bytes);
    }
    if (schema.release) schema.release(&schema);
    basalt_hdf5_table_close(&table);
    return whole;
}

static bool look_at(void *context, const basalt_hdf5_entry *entry)
{
    struct walk *walk = context;
    basalt_hdf5_table_info info;
    const bool is_group = entry->kind == BASALT_HDF5_GROUP;
    if (entry->depth > walk->inside) return true;
    walk->inside = UINT32_MAX;
    if (entry->depth <= walk->group) walk->group = UINT32_MAX;
    if (!is_group && entry->kind != BASALT_HDF5_DATASET) return true;
    if (!is_group && walk->group != UINT32_MAX && entry->depth == walk->group + 1) return true;
    if (strstr(entry->path, "/.basalt")) return true; /* what Basalt keeps for itself */
    if (basalt_hdf5_describe_table(walk->file, entry->path, &info, NULL)) return true;
    if (is_group && !strcmp(info.kind, "group")) {
        if (!is_whole(walk, entry->path)) return true;
        walk->group = entry->depth;
    } else {
        walk->inside = entry->depth;
    }
    return walk->each(walk->context, entry->path);
}

bool each_table(basalt_hdf5 *file, const char *file_name, table_fn *each, void *context,
    struct failure *failure)
{
    struct walk walk = {file, each, context, UINT32_MAX, UINT32_MAX};
    basalt_error error = {0};
    if (!basalt_hdf5_walk(file, "/", UINT32_MAX, look_at, &walk, &error)) return true;
    return fail_file(failure, file_name, &error);
}
