/* table_compound.c - a dataset of records is a table with a column for each member. */
#include "tables/tables_internal.h"

static basalt_status open_member(struct bs_table *table, const struct bs_h5_member *member,
    size_t index, struct ArrowSchema *out, basalt_error *err)
{
    struct bs_table_column *column = &table->columns[index];
    basalt_status status = bs_element_find(member->type, &column->element, err);
    if (!status && column->element.array_count != 1) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "it has %" PRIu64 " values a row", column->element.array_count);
    }
    column->list_count = 1;
    column->member_offset = member->offset;
    out->name = member->name;
    out->format = column->element.format;
    if (status) bs_error_prefix(err, "member \"%.80s\"", member->name);
    return status;
}

basalt_status bs_table_open_compound(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const size_t count = dataset->type->member_count;
    table->compound = object;
    table->rows = bs_dataset_rows(dataset);
    if (dataset->space.rank > 1) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "it has records in %d dimensions; one is possible", dataset->space.rank);
    }
    if (dataset->type->size_bytes > BS_TABLE_ROW_BYTES_MAX || count > BS_FIELDS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "its records have %zu members and %" PRIu32 " bytes", count, dataset->type->size_bytes);
    }
    struct ArrowSchema *children = bs_alloc_zeroed(count + 1, sizeof *children);
    if (!children) return bs_fail_memory(err, count * sizeof *children);
    basalt_status status = bs_table_reserve(table, count, err);
    for (size_t i = 0; !status && i < count; i++) {
        status = open_member(table, &dataset->type->members[i], i, &children[i], err);
    }
    if (!status) status = bs_schema_of(children, count, &table->schema, err);
    bs_free(children);
    return status;
}

/* The member's elements of `count` records, one after the other. */
static void gather(const struct bs_table_column *column, const uint8_t *records,
    size_t record_bytes, uint64_t count, uint8_t *out)
{
    const size_t bytes = column->element.type->size_bytes;
    records += column->member_offset;
    for (uint64_t i = 0; i < count; i++) memcpy(out + i * bytes, records + i * record_bytes, bytes);
}

static basalt_status put_member(struct bs_table *table, size_t index, const uint8_t *records,
    uint64_t count, struct bs_array_builder *builder, basalt_error *err)
{
    const struct bs_table_column *column = &table->columns[index];
    const size_t record_bytes = bs_h5_object_type(table->compound)->size_bytes;
    if (column->element.width_bytes > 0) {
        void *values;
        const basalt_status status = bs_array_builder_reserve(builder, index, count, &values, err);
        if (status) return status;
        gather(column, records, record_bytes, count, values);
        bs_element_convert(&column->element, values, count);
        return BASALT_OK;
    }
    const size_t bytes = (size_t)count * column->element.type->size_bytes;
    uint8_t *texts = bs_alloc(bytes);
    if (!texts) return bs_fail_memory(err, bytes);
    gather(column, records, record_bytes, count, texts);
    const basalt_status status =
        bs_element_put_texts(table->h5, &column->element, texts, count, builder, index, err);
    bs_free(texts);
    return status;
}

basalt_status bs_table_read_compound(struct bs_table *table, uint64_t first, uint64_t count,
    struct bs_array_builder *builder, basalt_error *err)
{
    const size_t bytes = (size_t)count * bs_h5_object_type(table->compound)->size_bytes;
    uint8_t *records = bs_alloc(bytes);
    if (!records) return bs_fail_memory(err, bytes);
    basalt_status status = bs_h5_read(table->h5, table->compound, first, count, records, err);
    for (size_t i = 0; !status && i < table->column_count; i++) {
        status = put_member(table, i, records, count, builder, err);
        if (status) bs_error_prefix(err, "member \"%.80s\"", table->schema->fields[i].name);
    }
    bs_free(records);
    return status;
}
