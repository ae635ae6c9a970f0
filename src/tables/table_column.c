/* table_column.c - one column of a table: a dataset, or a group as AnnData encodes columns.
 *
 *   dataset                       its elements; further dimensions are lists
 *   "categorical"                 {codes, categories}: the categories' values, null for a code below 0
 *   dataset with an attribute     the same, as AnnData wrote it before version 0.8: a reference to
 *     "categories"                the categories
 *   "nullable-integer", -boolean  {values, mask}: null where the mask is true
 *   "nullable-string-array" */
#include "tables/tables_internal.h"

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

void bs_column_close(struct bs_table_column *column)
{
    bs_h5_object_close(column->values);
    bs_h5_object_close(column->mask);
    if (column->categories.release) column->categories.release(&column->categories);
    memset(column, 0, sizeof *column);
}

uint64_t bs_column_rows(const struct bs_table_column *column)
{
    return bs_dataset_rows(bs_h5_object_dataset(column->values));
}

bool bs_column_nullable(const struct bs_table_column *column)
{
    return column->mask || column->categories.release;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static basalt_status not_a_column(const char *why, basalt_error *err)
{
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "it %s", why);
}

/* Elements that one row of the dataset has. */
static basalt_status count_list(const struct bs_h5_dataset *dataset,
    const struct bs_element *element, uint64_t *out_count, basalt_error *err)
{
    uint64_t count = element->array_count;
    for (unsigned i = 1; i < dataset->space.rank; i++) {
        const uint64_t dim = dataset->space.dims[i];
        if (dim > INT32_MAX || (dim > 0 && count > INT32_MAX / dim)) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "a row has more than %d values",
                INT32_MAX);
        }
        count *= dim;
    }
    *out_count = count;
    return BASALT_OK;
}

static basalt_status open_dataset(struct bs_table_column *column, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(column->values);
    uint64_t row_bytes = 0;
    if (!dataset) return not_a_column("is not a dataset", err);
    basalt_status status = bs_element_find(dataset->type, &column->element, err);
    if (!status) status = count_list(dataset, &column->element, &column->list_count, err);
    if (!status && !dataset->space.null) status = bs_h5_row_bytes(column->values, &row_bytes, err);
    if (!status && row_bytes > BS_TABLE_ROW_BYTES_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a row has %" PRIu64 " bytes; at most %" PRIu64 " are possible", row_bytes,
            BS_TABLE_ROW_BYTES_MAX);
    }
    return status;
}

/* All values of the categories, as an array with the one column. */
static basalt_status read_categories(struct bs_h5_file *h5, const struct bs_h5_object *categories,
    struct bs_table_column *column, basalt_error *err)
{
    struct ArrowSchema child = {.format = column->element.format, .name = "", .flags = 0};
    struct bs_schema *schema = NULL;
    struct bs_array_builder *builder = NULL;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(categories);
    const uint64_t count = bs_dataset_rows(dataset);
    if (count > BS_TABLE_CATEGORIES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "it has %" PRIu64 " categories; at most %" PRIu64 " are possible", count,
            BS_TABLE_CATEGORIES_MAX);
    }
    basalt_status status = bs_schema_of(&child, 1, &schema, err);
    if (status) return status;
    BS_TRY(bs_array_builder_create(schema, count, &builder, err));
    BS_TRY(bs_element_read(h5, &column->element, categories, 0, count, 1, builder, 0, err));
    BS_TRY(bs_array_builder_finish(&builder, &column->categories, err));
out:
    bs_array_builder_free(builder);
    bs_schema_release(schema);
    return status;
}

/* column->values are the codes. Takes over `categories`. */
static basalt_status set_categories(struct bs_h5_file *h5, struct bs_h5_object *categories,
    struct bs_table_column *column, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(categories);
    basalt_status status = open_dataset(column, err);
    if (status) goto out;
    column->code = column->element;
    if (column->list_count != 1 || !strchr("csilCSIL", column->code.format[0])) {
        status = not_a_column("has codes that are not one integer a row", err);
        goto out;
    }
    if (!dataset || dataset->space.rank != 1) {
        status = not_a_column("has categories that are not a row of values", err);
        goto out;
    }
    BS_TRY(bs_element_find(dataset->type, &column->element, err));
    if (column->element.array_count != 1) {
        status = not_a_column("has categories that are arrays", err);
        goto out;
    }
    BS_TRY(read_categories(h5, categories, column, err));
out:
    bs_h5_object_close(categories);
    return status;
}

static basalt_status open_categorical(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct bs_table_column *column, basalt_error *err)
{
    struct bs_h5_object *categories = NULL;
    basalt_status status = bs_open_child(h5, group, "codes", &column->values, err);
    if (!status) status = bs_open_child(h5, group, "categories", &categories, err);
    return status ? status : set_categories(h5, categories, column, err);
}

basalt_status bs_column_set_mask(struct bs_table_column *column, struct bs_h5_object *mask,
    bool means_missing, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(mask);
    column->mask = mask;
    column->mask_means_missing = means_missing;
    if (dataset && dataset->space.rank == 1 && dataset->type->size_bytes == 1) return BASALT_OK;
    return not_a_column("has a mask that is not a row of bytes", err);
}

static basalt_status open_masked(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct bs_table_column *column, basalt_error *err)
{
    struct bs_h5_object *mask = NULL;
    basalt_status status = bs_open_child(h5, group, "values", &column->values, err);
    if (!status) status = open_dataset(column, err);
    if (!status) status = bs_open_child(h5, group, "mask", &mask, err);
    return status ? status : bs_column_set_mask(column, mask, true, err);
}

basalt_status bs_group_encoding(struct bs_h5_file *h5, const struct bs_h5_object *group,
    enum bs_encoding *out_encoding, basalt_error *err)
{
    static const struct {
        const char *name;
        enum bs_encoding encoding;
    } known[] = {
        {"dataframe", BS_ENCODING_FRAME},
        {"categorical", BS_ENCODING_CATEGORICAL},
        {"nullable-integer", BS_ENCODING_MASKED},
        {"nullable-boolean", BS_ENCODING_MASKED},
        {"nullable-string-array", BS_ENCODING_MASKED},
    };
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(group, "encoding-type");
    char *text = NULL;
    *out_encoding = BS_ENCODING_NONE;
    if (!attribute ||
        (attribute->type->kind != BS_H5_STRING && !attribute->type->variable_string)) {
        return BASALT_OK;
    }
    const basalt_status status = bs_h5_attribute_text(h5, attribute, &text, err);
    for (size_t i = 0; !status && i < BS_ARRAY_LENGTH(known); i++) {
        if (!strcmp(known[i].name, text)) *out_encoding = known[i].encoding;
    }
    bs_free(text);
    return status;
}

static basalt_status open_group(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct bs_table_column *column, basalt_error *err)
{
    enum bs_encoding encoding;
    const basalt_status status = bs_group_encoding(h5, group, &encoding, err);
    if (status) return status;
    if (encoding == BS_ENCODING_CATEGORICAL) return open_categorical(h5, group, column, err);
    if (encoding == BS_ENCODING_MASKED) return open_masked(h5, group, column, err);
    return not_a_column("is a group that is no column", err);
}

/* The categories that an attribute of the codes refers to, or NULL. */
static basalt_status old_categories(struct bs_h5_file *h5, const struct bs_h5_object *codes,
    struct bs_h5_object **out_categories, basalt_error *err)
{
    const struct bs_h5_attribute *reference = bs_h5_attribute_find(codes, "categories");
    *out_categories = NULL;
    if (!reference || reference->type->kind != BS_H5_REFERENCE ||
        reference->type->reference_kind != 0 || reference->byte_count != 8) {
        return BASALT_OK;
    }
    return bs_h5_object_open(h5, bs_load_u64(reference->bytes), out_categories, err);
}

basalt_status bs_column_open(struct bs_h5_file *h5, struct bs_h5_object *object,
    struct bs_table_column *column, basalt_error *err)
{
    struct bs_h5_object *categories = NULL;
    basalt_status status;
    if (bs_h5_object_kind(object) == BS_H5_GROUP) {
        status = open_group(h5, object, column, err);
        bs_h5_object_close(object);
        return status;
    }
    column->values = object;
    status = old_categories(h5, object, &categories, err);
    if (status) return status;
    return categories ? set_categories(h5, categories, column, err) : open_dataset(column, err);
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* Value `index` of the categories; `code` is what the file says, for the message. */
static basalt_status put_category(const struct bs_table_column *column, uint64_t index,
    struct bs_array_builder *builder, size_t field, basalt_error *err)
{
    const struct ArrowArray *values = column->categories.children[0];
    const uint32_t width = column->element.width_bytes;
    void *room;
    if (width == 0) {
        const int32_t *offsets = values->buffers[1];
        return bs_array_builder_put_text(builder, field,
            (const uint8_t *)values->buffers[2] + offsets[index],
            (size_t)(offsets[index + 1] - offsets[index]), err);
    }
    const basalt_status status = bs_array_builder_reserve(builder, field, 1, &room, err);
    if (status) return status;
    const uint8_t *bytes = values->buffers[1];
    if (column->element.format[0] == 'b') {
        *(uint8_t *)room = bytes[index >> 3] >> (index & 7) & 1;
    } else {
        memcpy(room, bytes + index * width, width);
    }
    return BASALT_OK;
}

static basalt_status put_missing(const struct bs_table_column *column, uint64_t row,
    struct bs_array_builder *builder, size_t field, basalt_error *err)
{
    void *room;
    basalt_status status;
    if (column->element.width_bytes == 0) {
        status = bs_array_builder_put_text(builder, field, "", 0, err);
    } else {
        status = bs_array_builder_reserve(builder, field, 1, &room, err);
    }
    return status ? status : bs_array_builder_set_null(builder, field, row, err);
}

static int64_t load_code(const struct bs_element *code, const uint8_t *bytes)
{
    uint64_t value = 0;
    const unsigned bits = code->width_bytes * 8;
    memcpy(&value, bytes, code->width_bytes);
    const bool is_signed = strchr("csil", code->format[0]) != NULL;
    if (!is_signed) return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    return (int64_t)(value << (64 - bits)) >> (64 - bits);
}

static basalt_status read_categorical(struct bs_h5_file *h5, const struct bs_table_column *column,
    uint64_t first, uint64_t count, struct bs_array_builder *builder, size_t field,
    basalt_error *err)
{
    const size_t width = column->code.width_bytes;
    const uint64_t category_count = (uint64_t)column->categories.length;
    uint8_t *codes = bs_alloc((size_t)count * width);
    if (!codes) return bs_fail_memory(err, (size_t)count * width);
    basalt_status status = bs_h5_read(h5, column->values, first, count, codes, err);
    if (!status) bs_element_convert(&column->code, codes, count);
    for (uint64_t i = 0; !status && i < count; i++) {
        const int64_t code = load_code(&column->code, codes + i * width);
        if (code < 0) {
            status = put_missing(column, i, builder, field, err);
        } else if ((uint64_t)code < category_count) {
            status = put_category(column, (uint64_t)code, builder, field, err);
        } else {
            status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "row %" PRIu64 " has the code %" PRId64 ", but there are %" PRIu64 " categories",
                first + i, code, category_count);
        }
    }
    bs_free(codes);
    return status;
}

/* Rows that the mask does not have are there. */
static basalt_status read_mask(struct bs_h5_file *h5, const struct bs_table_column *column,
    uint64_t first, uint64_t count, struct bs_array_builder *builder, size_t field,
    basalt_error *err)
{
    const uint64_t rows = bs_dataset_rows(bs_h5_object_dataset(column->mask));
    if (first >= rows) return BASALT_OK;
    count = BS_MIN(count, rows - first);
    uint8_t *mask = bs_alloc((size_t)count);
    if (!mask) return bs_fail_memory(err, (size_t)count);
    basalt_status status = bs_h5_read(h5, column->mask, first, count, mask, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        if ((mask[i] != 0) != column->mask_means_missing) continue;
        status = bs_array_builder_set_null(builder, field, i, err);
    }
    bs_free(mask);
    return status;
}

basalt_status bs_column_read(struct bs_h5_file *h5, const struct bs_table_column *column,
    uint64_t first, uint64_t count, struct bs_array_builder *builder, size_t field,
    basalt_error *err)
{
    if (count == 0) return BASALT_OK;
    if (column->categories.release) {
        return read_categorical(h5, column, first, count, builder, field, err);
    }
    const basalt_status status = bs_element_read(h5, &column->element, column->values, first, count,
        column->list_count, builder, field, err);
    if (status || !column->mask) return status;
    return read_mask(h5, column, first, count, builder, field, err);
}
