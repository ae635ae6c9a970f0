/* table_build.c - columns and blocks put into a table, for the files that know what they are. */
#include "tables/tables_internal.h"

#include <stdio.h>

uint64_t bs_dataset_rows(const struct bs_h5_dataset *dataset)
{
    if (dataset->space.null) return 0;
    return dataset->space.rank == 0 ? 1 : dataset->space.dims[0];
}

basalt_status bs_open_child(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *name, struct bs_h5_object **out_child, basalt_error *err)
{
    return bs_h5_object_open_from(h5, group, name, out_child, err);
}

basalt_status bs_find_child(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *name, struct bs_h5_object **out_child, basalt_error *err)
{
    const basalt_status status = bs_open_child(h5, group, name, out_child, err);
    return status == BASALT_NOT_FOUND ? BASALT_OK : status;
}

basalt_status bs_text_begins(struct bs_h5_file *h5, const struct bs_h5_attribute *attribute,
    const char *value, size_t count, bool *out_begins, basalt_error *err)
{
    basalt_error fault = {0};
    char *text = NULL;
    *out_begins = false;
    if (!attribute) return BASALT_OK;
    if (attribute->type->kind != BS_H5_STRING && !attribute->type->variable_string) {
        return BASALT_OK;
    }
    const basalt_status status = bs_h5_attribute_text(h5, attribute, &text, &fault);
    if (!status) *out_begins = !strncmp(text, value, count);
    bs_free(text);
    /* Another shape of text, or a damaged one, is not that text; the rest is nobody's word. */
    if (status != BASALT_NO_MEMORY && status != BASALT_IO_ERROR) return BASALT_OK;
    if (err) *err = fault;
    return status;
}

basalt_status bs_has_text(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const char *name, const char *value, bool *out_has, basalt_error *err)
{
    return bs_text_begins(
        h5, bs_h5_attribute_find(object, name), value, strlen(value) + 1, out_has, err);
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static basalt_status push_block(
    struct bs_table *table, const struct bs_block *block, basalt_error *err)
{
    if (table->block_count == table->block_capacity) {
        const size_t capacity = BS_MAX(table->block_capacity * 2, 8);
        struct bs_block *larger = bs_realloc(table->blocks, capacity * sizeof *larger);
        if (!larger) return bs_fail_memory(err, capacity * sizeof *larger);
        table->blocks = larger;
        table->block_capacity = capacity;
    }
    table->blocks[table->block_count++] = *block;
    return BASALT_OK;
}

static basalt_status check_block(
    const struct bs_table *table, const struct bs_block *block, basalt_error *err)
{
    if (block->row_bytes > BS_TABLE_ROW_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a row has %" PRIu64 " bytes; at most %" PRIu64 " are possible", block->row_bytes,
            BS_TABLE_ROW_BYTES_MAX);
    }
    if (!table->has_rows || block->rows == table->rows) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "it has %" PRIu64 " rows, the first column %" PRIu64, block->rows, table->rows);
}

static basalt_status make_block(
    struct bs_h5_object *object, struct bs_block *block, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    *block = (struct bs_block){.object = object, .rows_each = 1};
    if (!dataset) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "it is not a dataset");
    }
    block->rows = bs_dataset_rows(dataset);
    if (dataset->space.null) {
        block->row_bytes = dataset->type->size_bytes;
        return BASALT_OK;
    }
    return bs_h5_row_bytes(object, &block->row_bytes, err);
}

basalt_status bs_table_add_block(
    struct bs_table *table, struct bs_h5_object *object, size_t *out_block, basalt_error *err)
{
    struct bs_block block;
    *out_block = table->block_count;
    basalt_status status = make_block(object, &block, err);
    if (!status) status = check_block(table, &block, err);
    if (!status) status = push_block(table, &block, err);
    if (status) {
        bs_h5_object_close(object);
        return status;
    }
    table->rows = block.rows;
    table->has_rows = true;
    return BASALT_OK;
}

/* ---- columns ----------------------------------------------------------------------------------- */

static basalt_status push_column(
    struct bs_table *table, const char *name, struct bs_column_of **out_column, basalt_error *err)
{
    if (table->column_count >= BS_FIELDS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "there are more than %d columns",
            BS_FIELDS_MAX);
    }
    if (table->column_count == table->column_capacity) {
        const size_t capacity = BS_MAX(table->column_capacity * 2, 8);
        struct bs_column_of *larger = bs_realloc(table->columns, capacity * sizeof *larger);
        if (!larger) return bs_fail_memory(err, capacity * sizeof *larger);
        table->columns = larger;
        table->column_capacity = capacity;
    }
    char *copy = bs_copy_string(name);
    if (!copy) return bs_fail_memory(err, strlen(name));
    *out_column = &table->columns[table->column_count++];
    **out_column = (struct bs_column_of){
        .name = copy, .mask = SIZE_MAX, .divide = 1, .modulo = UINT64_MAX, .field = SIZE_MAX};
    return BASALT_OK;
}

basalt_status bs_table_add_column(struct bs_table *table, const char *name, struct bs_value *value,
    size_t block, uint64_t offset, struct bs_column_of **out_column, basalt_error *err)
{
    struct bs_column_of *column = NULL;
    const basalt_status status = push_column(table, name, &column, err);
    if (out_column) *out_column = column;
    if (status) {
        bs_value_clear(value);
        return status;
    }
    column->value = *value;
    column->nullable = bs_value_has_nulls(value);
    column->block = block;
    column->offset = offset;
    memset(value, 0, sizeof *value);
    return BASALT_OK;
}

basalt_status bs_table_add_dataset(struct bs_table *table, const char *name,
    struct bs_h5_object *object, struct bs_column_of **out_column, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    struct bs_value value = {0};
    size_t block;
    basalt_status status = BASALT_OK;
    if (out_column) *out_column = NULL;
    if (dataset && dataset->space.rank > 1) {
        status = bs_value_array_of(dataset->type, dataset->space.dims + 1, dataset->space.rank - 1u,
            &options, &value, err);
    } else if (dataset) {
        status = bs_value_of(dataset->type, &options, &value, err);
    }
    if (status) {
        bs_h5_object_close(object);
        return status;
    }
    status = bs_table_add_block(table, object, &block, err);
    if (status) {
        bs_value_clear(&value);
        return status;
    }
    return bs_table_add_column(table, name, &value, block, 0, out_column, err);
}

basalt_status bs_table_add_number(
    struct bs_table *table, const char *name, enum bs_column_kind kind, basalt_error *err)
{
    struct bs_column_of *column = NULL;
    const basalt_status status = push_column(table, name, &column, err);
    if (status) return status;
    column->kind = kind;
    column->value.format[0] = 'l';
    return BASALT_OK;
}

/* ---- what a column may have more --------------------------------------------------------------- */

void bs_dictionary_free(struct bs_dictionary *dictionary)
{
    if (!dictionary) return;
    struct bs_dictionary_values *values = atomic_load(&dictionary->values);
    if (values) bs_shared_release(&values->shared);
    bs_value_clear(&dictionary->value);
    bs_h5_object_close(dictionary->object);
    bs_free(dictionary);
}

basalt_status bs_column_set_dictionary(struct bs_table *table, struct bs_column_of *column,
    struct bs_h5_object *categories, bool ordered, basalt_error *err)
{
    return bs_column_set_dictionary_member(table, column, categories, NULL, ordered, err);
}

basalt_status bs_column_set_dictionary_member(struct bs_table *table, struct bs_column_of *column,
    struct bs_h5_object *categories, const char *member, bool ordered, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(categories);
    struct bs_dictionary *dictionary = bs_alloc_zeroed(1, sizeof *dictionary);
    if (!dictionary) {
        bs_h5_object_close(categories);
        return bs_fail_memory(err, sizeof *dictionary);
    }
    dictionary->object = categories;
    dictionary->ordered = ordered;
    bs_dictionary_free(column->dictionary);
    column->dictionary = dictionary;
    column->nullable = true;
    if (!bs_value_is_integer(&column->value)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "it has codes that are not one integer a row");
    }
    if (!dataset || dataset->space.rank != 1) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "it has categories that are not a row of values");
    }
    const struct bs_h5_type *type = dataset->type;
    for (size_t i = 0; member && i < dataset->type->member_count; i++) {
        if (strcmp(dataset->type->members[i].name, member) != 0) continue;
        type = dataset->type->members[i].type;
        dictionary->offset = dataset->type->members[i].offset;
    }
    const basalt_status status = bs_value_of(type, &options, &dictionary->value, err);
    if (status || dictionary->value.kind <= BS_VALUE_TEXT) return status;
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "it has categories that are neither numbers nor texts");
}

basalt_status bs_column_set_mask(struct bs_table *table, size_t column, struct bs_h5_object *mask,
    bool means_missing, basalt_error *err)
{
    struct bs_block block;
    basalt_status status = make_block(mask, &block, err);
    if (!status && (bs_h5_object_dataset(mask)->space.rank != 1 || block.row_bytes != 1)) {
        status = bs_fail(
            err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "it has a mask that is not a row of bytes");
    }
    if (!status) status = push_block(table, &block, err);
    if (status) {
        bs_h5_object_close(mask);
        return status;
    }
    table->columns[column].mask = table->block_count - 1;
    table->columns[column].mask_means_missing = means_missing;
    table->columns[column].nullable = true;
    return BASALT_OK;
}

basalt_status bs_column_set_time(
    struct bs_column_of *column, const char *numpy_word, basalt_error *err)
{
    const bool instant = !strncmp(numpy_word, "datetime64", 10);
    const bool span = !strncmp(numpy_word, "timedelta64", 11);
    const char *unit = strchr(numpy_word, '[');
    char format[8];
    if ((!instant && !span) || strcmp(column->value.format, "l") != 0) return BASALT_OK;
    unit = unit ? unit + 1 : "ns";
    if (!strchr("smun", *unit) || !*unit) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "it holds times in a unit that Arrow does not have: %.40s", numpy_word);
    }
    snprintf(format, sizeof format, instant ? "ts%c:" : "tD%c", *unit);
    bs_free(column->format);
    column->format = bs_copy_string(format);
    return column->format ? BASALT_OK : bs_fail_memory(err, sizeof format);
}

/* ---- names ------------------------------------------------------------------------------------- */

static basalt_status add_name(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    (void)index;
    return bs_names_add(context, bytes, count, err);
}

basalt_status bs_names_add(
    struct bs_names *names, const void *text, size_t count, basalt_error *err)
{
    while (count > 0 && ((const char *)text)[count - 1] == 0) count--;
    if (memchr(text, 0, count) || !bs_utf8_valid(text, count)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "a column's name has a NUL byte in it or is not UTF-8");
    }
    bs_bytes_put(&names->texts, text, count);
    bs_bytes_u8(&names->texts, 0);
    names->count++;
    if (names->count > BS_FIELDS_MAX || names->texts.count > BS_JSON_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "there are more than %d columns",
            BS_FIELDS_MAX);
    }
    return bs_bytes_check(&names->texts, err);
}

static basalt_status add_texts(struct bs_h5_file *h5, const struct bs_h5_type *type,
    const uint8_t *bytes, uint64_t count, struct bs_names *names, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (type->variable_string) return bs_h5_resolve(h5, type, bytes, count, add_name, names, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        const uint8_t *text = bytes + i * type->size_bytes;
        status = bs_names_add(names, text, bs_text_bytes(type, text), err);
    }
    return status;
}

basalt_status bs_names_of_attribute(struct bs_h5_file *h5, const struct bs_h5_attribute *attribute,
    struct bs_names *names, basalt_error *err)
{
    const struct bs_h5_type *type = attribute->type;
    uint64_t count;
    basalt_status status = bs_h5_space_count(&attribute->space, &count, err);
    if (status || count == 0) return status; /* an empty list is stored as numbers */
    if ((type->kind != BS_H5_STRING && !type->variable_string) || type->size_bytes == 0 ||
        count > attribute->byte_count / type->size_bytes) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "its attribute \"%.40s\" is not text", attribute->name);
    }
    return add_texts(h5, type, attribute->bytes, count, names, err);
}

basalt_status bs_names_of_dataset(struct bs_h5_file *h5, const struct bs_h5_object *object,
    struct bs_names *names, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    if (!dataset || dataset->space.rank != 1 || dataset->type->size_bytes > BS_JSON_BYTES_MAX ||
        (dataset->type->kind != BS_H5_STRING && !dataset->type->variable_string)) {
        return bs_fail(
            err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "its names are not a row of texts");
    }
    const uint64_t count = bs_dataset_rows(dataset);
    if (count > BS_FIELDS_MAX || count > BS_TABLE_TEXT_BYTES_MAX / dataset->type->size_bytes) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "there are more than %d columns",
            BS_FIELDS_MAX);
    }
    const size_t bytes = (size_t)count * dataset->type->size_bytes;
    uint8_t *raw = bs_alloc(bytes);
    if (!raw) return bs_fail_memory(err, bytes);
    basalt_status status = bs_h5_read(bs_h5_object_file(object), object, 0, count, raw, err);
    if (!status) status = add_texts(h5, dataset->type, raw, count, names, err);
    bs_free(raw);
    return status;
}
