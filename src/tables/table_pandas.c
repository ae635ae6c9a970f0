/* table_pandas.c - what pandas' HDFStore wrote through PyTables.
 *
 *   pandas_type            the group has
 *   frame_table,           table: records of "index", data columns by their names, and values_block_N,
 *     series_table, …      arrays of the other columns. Their names are in a pickled attribute, which is
 *                          not read: they come as "values_block_N[K]"; the schema's metadata says so in
 *                          "basalt.not_read"
 *   frame                  axis0: names of columns; axis1: the index; blockN_items: the names that
 *                          blockN_values, a matrix of rows and columns, has. A block of objects is
 *                          pickled: its columns are left out, by name in "basalt.left_out"
 *   series                 index, values
 * Times are told by the plain texts of attributes (kind, value_type, NAME_dtype, index_kind). A time
 * zone and the category of a code are not in plain text: instants are UTC without a zone, codes numbers. */
#include "tables/tables_internal.h"

#include <stdio.h>

#define BLOCKS_MAX 4096

static basalt_status text_of(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const char *name, char **out_text, basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(object, name);
    *out_text = NULL;
    if (!attribute || attribute->space.null ||
        (attribute->type->kind != BS_H5_STRING && !attribute->type->variable_string)) {
        return BASALT_OK;
    }
    return bs_h5_attribute_text(h5, attribute, out_text, err);
}

/* Gives a column the type that a word of NumPy's says: times, and bool where a byte holds it. */
static basalt_status apply_word(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *object, const char *attribute, basalt_error *err)
{
    char *word = NULL;
    basalt_status status = text_of(table->h5, object, attribute, &word, err);
    if (status || !word) return status;
    const bool is_bool = !strcmp(word, "bool") || !strcmp(word, "boolean");
    if (is_bool && column->value.kind == BS_VALUE_FIXED && column->value.element_bytes == 1) {
        column->value.kind = BS_VALUE_BOOL;
        column->value.format[0] = 'b';
    } else {
        status = bs_column_set_time(column, word, err);
    }
    bs_free(word);
    return status;
}

/* ---- format "table" ---------------------------------------------------------------------------- */

struct member {
    const struct bs_h5_member *member;
    const struct bs_h5_object *object; /* the records */
    size_t block;
};

/* Texts that stand for a missing one. */
static basalt_status set_missing_text(struct bs_table *table, const struct bs_h5_object *object,
    struct bs_column_of *column, basalt_error *err)
{
    char *text = NULL;
    const size_t width = (size_t)column->value.element_bytes;
    if (column->value.kind != BS_VALUE_TEXT || column->value.type->kind != BS_H5_STRING) {
        return BASALT_OK;
    }
    basalt_status status = text_of(table->h5, object, "nan_rep", &text, err);
    const char *word = text ? text : "nan";
    if (!status && strlen(word) <= width) {
        column->missing = bs_alloc_zeroed(1, width + 1);
        if (!column->missing) status = bs_fail_memory(err, width);
        if (!status) memcpy(column->missing, word, strlen(word));
        column->missing_count = !status;
        column->nullable = true;
    }
    bs_free(text);
    return status;
}

static basalt_status add_part(struct bs_table *table, const struct member *from, const char *name,
    const struct bs_h5_type *type, uint64_t offset, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    struct bs_value value = {0};
    struct bs_column_of *column = NULL;
    char attribute[256];
    basalt_status status = bs_value_of(type, &options, &value, err);
    if (status) return status;
    const uint64_t at = from->member->offset + offset;
    status = bs_table_add_column(table, name, &value, from->block, at, &column, err);
    if (status) return status;
    const bool is_index = !strcmp(from->member->name, "index");
    snprintf(
        attribute, sizeof attribute, "%.200s_%s", from->member->name, is_index ? "kind" : "dtype");
    status = apply_word(table, column, from->object, attribute, err);
    return status || is_index ? status : set_missing_text(table, from->object, column, err);
}

static basalt_status add_member(
    struct bs_table *table, const struct member *from, bool *out_unnamed, basalt_error *err)
{
    const struct bs_h5_member *member = from->member;
    const struct bs_h5_type *type = member->type;
    const bool is_block = !strncmp(member->name, "values_block_", 13);
    basalt_status status = BASALT_OK;
    if (type->kind != BS_H5_ARRAY || type->rank != 1) {
        return add_part(table, from, member->name, type, 0, err);
    }
    *out_unnamed |= is_block;
    for (uint32_t i = 0; !status && i < type->dims[0]; i++) {
        char name[256];
        if (is_block || type->dims[0] > 1) {
            snprintf(name, sizeof name, "%.200s[%" PRIu32 "]", member->name, i);
        } else {
            snprintf(name, sizeof name, "%.200s", member->name);
        }
        status = add_part(table, from, name, type->base, (uint64_t)i * type->base->size_bytes, err);
    }
    return status;
}

static basalt_status open_records(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    static const char not_read[] = "names of the columns of values_block_N: they are pickled";
    const struct bs_h5_type *type = bs_h5_object_type(object);
    struct member from = {.object = object};
    bool unnamed = false;
    if (!bs_h5_object_dataset(object) || type->kind != BS_H5_COMPOUND) {
        bs_h5_object_close(object);
        return bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "its \"table\" is not a dataset of records");
    }
    table->kind = "pandas table";
    basalt_status status = bs_table_add_block(table, object, &from.block, err);
    for (size_t i = 0; !status && i < type->member_count; i++) {
        from.member = &type->members[i];
        status = add_member(table, &from, &unnamed, err);
        if (status) bs_error_prefix(err, "member \"%.80s\"", from.member->name);
    }
    if (!status && unnamed) {
        bs_metadata_put(&table->metadata, "basalt.not_read", not_read, sizeof not_read - 1);
        status = bs_bytes_check(&table->metadata, err);
    }
    return status;
}

/* ---- format "fixed" ---------------------------------------------------------------------------- */

static basalt_status add_axis(struct bs_table *table, const struct bs_h5_object *group,
    const char *link, const char *word, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_column_of *column = NULL;
    basalt_status status = bs_open_child(table->h5, group, link, &object, err);
    if (!status) {
        status = bs_table_add_dataset(
            table, strcmp(link, "values") ? "index" : "values", object, &column, err);
    }
    if (!status) status = apply_word(table, column, object, word, err);
    if (status) bs_error_prefix(err, "its %s", link);
    return status;
}

/* One level: a MultiIndex has datasets of other names. */
static basalt_status check_axes(
    struct bs_h5_file *h5, const struct bs_h5_object *group, basalt_error *err)
{
    static const char *const names[] = {"axis0_variety", "axis1_variety", "index_variety"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(names); i++) {
        bool is_multi = false;
        const basalt_status status = bs_has_text(h5, group, names[i], "multi", &is_multi, err);
        if (status) return status;
        if (is_multi) {
            return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "it is a pandas frame with an index of several levels");
        }
    }
    return BASALT_OK;
}

struct frame {
    const struct bs_h5_object *group;
    struct bs_names names;          /* of the columns, in order */
    struct bs_names items;          /* of the blocks, one after the other */
    uint64_t places[BS_FIELDS_MAX]; /* of each item: block << 32 | column in it */
    uint64_t blocks[BLOCKS_MAX];    /* block of the table, or UINT64_MAX: pickled */
};

/* Texts, or integers as text. */
static basalt_status read_labels(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *link, struct bs_names *names, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    uint8_t *raw = NULL;
    basalt_status status = bs_open_child(h5, group, link, &object, err);
    if (status) return status;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const bool integers = dataset && dataset->type->kind == BS_H5_INTEGER &&
        dataset->space.rank == 1 && dataset->type->size_bytes <= 8 &&
        dataset->type->bit_precision == dataset->type->size_bytes * 8;
    if (!integers) {
        status = bs_names_of_dataset(h5, object, names, err);
        goto out;
    }
    const uint64_t count = bs_dataset_rows(dataset);
    if (count > BS_FIELDS_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "there are more than %d columns",
            BS_FIELDS_MAX);
        goto out;
    }
    raw = bs_alloc((size_t)count * dataset->type->size_bytes);
    if (!raw) {
        status = bs_fail_memory(err, (size_t)count * dataset->type->size_bytes);
        goto out;
    }
    BS_TRY(bs_h5_read(bs_h5_object_file(object), object, 0, count, raw, err));
    for (uint64_t i = 0; i < count; i++) {
        char text[24];
        snprintf(text, sizeof text, "%" PRId64,
            bs_value_integer(dataset->type, raw + i * dataset->type->size_bytes));
        BS_TRY(bs_names_add(names, text, strlen(text), err));
    }
out:
    bs_free(raw);
    bs_h5_object_close(object);
    if (status) bs_error_prefix(err, "its %s", link);
    return status;
}

static basalt_status add_frame_block(
    struct bs_table *table, struct frame *frame, unsigned index, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    char link[32];
    size_t block;
    const uint64_t first = frame->items.count;
    snprintf(link, sizeof link, "block%u_items", index);
    basalt_status status = read_labels(table->h5, frame->group, link, &frame->items, err);
    snprintf(link, sizeof link, "block%u_values", index);
    if (!status) status = bs_open_child(table->h5, frame->group, link, &object, err);
    if (status) return status;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const uint64_t items = frame->items.count - first;
    frame->blocks[index] = UINT64_MAX;
    if (dataset && dataset->space.rank == 2 && dataset->space.dims[1] == items) {
        status = bs_table_add_block(table, object, &block, err);
        if (!status) frame->blocks[index] = block;
    } else if (dataset && dataset->type->kind == BS_H5_VARIABLE) {
        bs_h5_object_close(object);
    } else {
        bs_h5_object_close(object);
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "%s is not a matrix with a column for each of its names", link);
    }
    for (uint64_t i = 0; !status && i < items; i++) {
        frame->places[first + i] = (uint64_t)index << 32 | i;
    }
    return status;
}

/* Where the column `name` is; each item is used once. */
static bool find_item(const struct frame *frame, bool *used, const char *name, uint64_t *out_place)
{
    const char *at = (const char *)frame->items.texts.data;
    for (uint64_t i = 0; i < frame->items.count; i++, at += strlen(at) + 1) {
        if (used[i] || strcmp(at, name) != 0) continue;
        used[i] = true;
        *out_place = frame->places[i];
        return true;
    }
    return false;
}

static basalt_status add_frame_column(struct bs_table *table, const struct frame *frame,
    const char *name, uint64_t place, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const size_t block = (size_t)frame->blocks[place >> 32];
    const struct bs_h5_object *object = table->blocks[block].object;
    const struct bs_h5_type *type = bs_h5_object_type(object);
    struct bs_value value = {0};
    struct bs_column_of *column = NULL;
    basalt_status status = bs_value_of(type, &options, &value, err);
    if (status) return status;
    const uint64_t offset = (place & UINT32_MAX) * type->size_bytes;
    status = bs_table_add_column(table, name, &value, block, offset, &column, err);
    return status ? status : apply_word(table, column, object, "value_type", err);
}

static basalt_status add_frame_columns(
    struct bs_table *table, struct frame *frame, basalt_error *err)
{
    struct bs_bytes left_out = {0};
    basalt_status status = BASALT_OK;
    const char *name = (const char *)frame->names.texts.data;
    bool *used = bs_alloc_zeroed((size_t)frame->items.count + 1, sizeof *used);
    if (!used) return bs_fail_memory(err, (size_t)frame->items.count);
    for (uint64_t i = 0; !status && i < frame->names.count; i++, name += strlen(name) + 1) {
        uint64_t place;
        if (find_item(frame, used, name, &place) && frame->blocks[place >> 32] != UINT64_MAX) {
            status = add_frame_column(table, frame, name, place, err);
            if (status) bs_error_prefix(err, "column \"%.80s\"", name);
            continue;
        }
        bs_bytes_u8(&left_out, left_out.count ? ',' : '[');
        bs_json_string(&left_out, name, strlen(name));
    }
    if (!status && left_out.count) {
        bs_bytes_u8(&left_out, ']');
        bs_metadata_put(&table->metadata, "basalt.left_out", left_out.data, left_out.count);
        status = bs_bytes_check(&left_out, err);
    }
    bs_bytes_free(&left_out);
    bs_free(used);
    return status ? status : bs_bytes_check(&table->metadata, err);
}

static basalt_status open_frame(
    struct bs_table *table, const struct bs_h5_object *group, basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(group, "nblocks");
    uint64_t count = 0;
    struct frame *frame = bs_alloc_zeroed(1, sizeof *frame);
    if (!frame) return bs_fail_memory(err, sizeof *frame);
    frame->group = group;
    table->kind = "pandas frame";
    basalt_status status = check_axes(table->h5, group, err);
    if (!status && attribute) status = bs_h5_attribute_u64(attribute, &count, err);
    if (!status && count > BLOCKS_MAX) {
        status = bs_fail(
            err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "it has more than %d blocks", BLOCKS_MAX);
    }
    if (!status) status = add_axis(table, group, "axis1", "kind", err);
    if (!status) status = read_labels(table->h5, group, "axis0", &frame->names, err);
    for (unsigned i = 0; !status && i < count; i++) {
        status = add_frame_block(table, frame, i, err);
        if (status) bs_error_prefix(err, "block %u", i);
    }
    if (!status) status = add_frame_columns(table, frame, err);
    bs_bytes_free(&frame->names.texts);
    bs_bytes_free(&frame->items.texts);
    bs_free(frame);
    return status;
}

static basalt_status open_series(
    struct bs_table *table, const struct bs_h5_object *group, basalt_error *err)
{
    table->kind = "pandas series";
    basalt_status status = check_axes(table->h5, group, err);
    if (!status) status = add_axis(table, group, "index", "kind", err);
    return status ? status : add_axis(table, group, "values", "value_type", err);
}

basalt_status bs_table_open_pandas(
    struct bs_table *table, const struct bs_h5_object *group, bool *out_found, basalt_error *err)
{
    struct bs_h5_object *records = NULL;
    char *type = NULL;
    *out_found = false;
    basalt_status status = text_of(table->h5, group, "pandas_type", &type, err);
    if (status || !type) return status;
    const size_t count = strlen(type);
    const bool is_table = count > 6 && !strcmp(type + count - 6, "_table");
    *out_found = is_table || !strcmp(type, "frame") || !strcmp(type, "series");
    if (is_table) {
        status = bs_open_child(table->h5, group, "table", &records, err);
        if (!status) status = open_records(table, records, err);
    } else if (*out_found) {
        status = type[0] == 'f' ? open_frame(table, group, err) : open_series(table, group, err);
    }
    bs_free(type);
    return status;
}
