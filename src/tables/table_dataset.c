/* table_dataset.c - a dataset as a table: one column named by the last part of its path, or a column
 * for each index of its second dimension.
 *
 * A dataset with an attribute "categories" that refers to another holds codes, as AnnData wrote
 * categorical columns before version 0.8. */
#include "tables/tables_internal.h"

#include <stdio.h>

static basalt_status last_part(const char *path, char **out_name, basalt_error *err)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    *out_name = bs_alloc(end - start + 1);
    if (!*out_name) return bs_fail_memory(err, end - start + 1);
    memcpy(*out_name, path + start, end - start);
    (*out_name)[end - start] = 0;
    return BASALT_OK;
}

/* Takes over `object`. */
static basalt_status open_wide(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const uint64_t columns = dataset->space.dims[1];
    const struct bs_h5_type *type = dataset->type;
    size_t block;
    table->kind = "matrix";
    basalt_status status = bs_table_add_block(table, object, &block, err);
    if (!status) status = bs_table_add_number(table, "row", BS_COLUMN_ROW, err);
    for (uint64_t i = 0; !status && i < columns; i++) {
        struct bs_value value;
        char name[24];
        snprintf(name, sizeof name, "%" PRIu64, i);
        status = bs_value_of(type, &options, &value, err);
        if (!status) {
            status =
                bs_table_add_column(table, name, &value, block, i * type->size_bytes, NULL, err);
        }
    }
    return status;
}

basalt_status bs_table_open_dataset(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    char *name = NULL;
    if (table->options.layout == BASALT_HDF5_LAYOUT_WIDE) {
        if (dataset->space.rank == 2) return open_wide(table, object, err);
        bs_h5_object_close(object);
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "it can't be a table with a column for each index: that takes two dimensions");
    }
    table->kind = "dataset";
    const basalt_status status = last_part(table->path, &name, err);
    if (status) {
        bs_h5_object_close(object);
        return status;
    }
    const basalt_status added = bs_table_add_encoded(table, name, object, err);
    bs_free(name);
    return added;
}
