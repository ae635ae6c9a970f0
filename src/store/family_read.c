/* family_read.c - a column of the file into an Arrow array that is being built.
 *
 * The file may have been changed by another program since Basalt wrote it, so types and lengths are
 * checked when a column is opened, and the rows asked for are within what was checked. */
#include "store/store_internal.h"

static basalt_status wrong_column(
    const struct bs_family *family, size_t field, const char *how, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the column \"%.60s\" of family \"%.60s\" %s: another program changed it",
        family->schema->fields[field].name, family->name, how);
}

static basalt_status check_dataset(const struct bs_h5_object *object, const struct bs_h5_type *type,
    uint64_t rows, const struct bs_family *family, size_t field, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    if (!dataset || dataset->space.rank != 1) {
        return wrong_column(family, field, "is not a row of values", err);
    }
    if (!bs_h5_type_equal(dataset->type, type)) {
        return wrong_column(family, field, "has another type", err);
    }
    if (dataset->space.dims[0] < rows) return wrong_column(family, field, "is too short", err);
    return BASALT_OK;
}

static basalt_status open_masked(struct bs_column_reader *reader, const struct bs_family *family,
    size_t field, const char *link, const struct bs_h5_type *type, uint64_t rows, basalt_error *err)
{
    struct bs_h5_type *mask = bs_h5_type_bool();
    basalt_status status = BASALT_OK;
    if (!mask) return bs_fail_memory(err, sizeof *mask);
    BS_TRY(bs_family_links_column(reader->links, link, "values", &reader->values, err));
    BS_TRY(check_dataset(reader->values, type, rows, family, field, err));
    BS_TRY(bs_family_links_column(reader->links, link, "mask", &reader->mask, err));
    BS_TRY(check_dataset(reader->mask, mask, rows, family, field, err));
    reader->mask_rows = rows;
    reader->mask_means_missing = true;
out:
    bs_h5_type_free(mask);
    return status;
}

static basalt_status open_plain(struct bs_column_reader *reader, const struct bs_family *family,
    size_t field, const char *link, const struct bs_h5_type *type, uint64_t rows, basalt_error *err)
{
    struct bs_h5_type *byte = NULL;
    basalt_error absent = {.status = BASALT_OK};
    basalt_status status = BASALT_OK;
    BS_TRY(bs_family_links_column(reader->links, link, NULL, &reader->values, err));
    BS_TRY(check_dataset(reader->values, type, rows, family, field, err));
    if (!reader->field->nullable) goto out;
    status = bs_family_links_validity(reader->links, link, &reader->mask, &absent);
    if (status == BASALT_NOT_FOUND) { /* no null yet; `err` must not speak of it */
        status = BASALT_OK;
        goto out;
    }
    if (status) {
        if (err) *err = absent;
        goto out;
    }
    byte = bs_h5_type_integer(1, false);
    if (!byte) {
        status = bs_fail_memory(err, sizeof *byte);
        goto out;
    }
    BS_TRY(check_dataset(reader->mask, byte, 0, family, field, err));
    reader->mask_rows = bs_h5_object_dataset(reader->mask)->space.dims[0];
out:
    bs_h5_type_free(byte);
    return status;
}

basalt_status bs_column_reader_open(struct bs_h5_file *h5, const struct bs_family_links *links,
    const struct bs_family *family, size_t field, const char *link, uint64_t rows,
    struct bs_column_reader *out_reader, basalt_error *err)
{
    struct bs_h5_type *type = NULL;
    *out_reader = (struct bs_column_reader){
        .h5 = h5, .links = links, .field = &family->schema->fields[field]};
    basalt_status status = bs_field_type(out_reader->field, &type, err);
    if (status) return status;
    status = bs_field_form(out_reader->field) == BS_FORM_MASKED
        ? open_masked(out_reader, family, field, link, type, rows, err)
        : open_plain(out_reader, family, field, link, type, rows, err);
    bs_h5_type_free(type);
    out_reader->links = NULL;
    if (status) bs_column_reader_close(out_reader);
    return status;
}

void bs_column_reader_close(struct bs_column_reader *reader)
{
    bs_h5_object_close(reader->mask);
    bs_h5_object_close(reader->values);
    bs_free(reader->buffer);
    *reader = (struct bs_column_reader){0};
}

static basalt_status reserve_buffer(
    struct bs_column_reader *reader, size_t bytes, basalt_error *err)
{
    if (bytes <= reader->buffer_bytes) return BASALT_OK;
    void *grown = bs_realloc(reader->buffer, bytes);
    if (!grown) return bs_fail_memory(err, bytes);
    reader->buffer = grown;
    reader->buffer_bytes = bytes;
    return BASALT_OK;
}

struct text_target {
    struct bs_array_builder *builder;
    size_t field;
};

static basalt_status put_text(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    const struct text_target *target = context;
    (void)index;
    return bs_array_builder_put_text(target->builder, target->field, bytes, count, err);
}

static basalt_status read_texts(struct bs_column_reader *reader, uint64_t first, uint64_t count,
    struct bs_array_builder *builder, size_t to, basalt_error *err)
{
    struct text_target target = {builder, to};
    basalt_status status = reserve_buffer(reader, (size_t)count * 16, err);
    if (!status) status = bs_h5_read(reader->h5, reader->values, first, count, reader->buffer, err);
    if (!status) {
        status = bs_h5_resolve(reader->h5, bs_h5_object_type(reader->values), reader->buffer, count,
            put_text, &target, err);
    }
    return status;
}

static basalt_status read_nulls(struct bs_column_reader *reader, uint64_t first, uint64_t count,
    struct bs_array_builder *builder, size_t to, uint64_t at, basalt_error *err)
{
    if (!reader->mask || first >= reader->mask_rows) return BASALT_OK;
    count = BS_MIN(count, reader->mask_rows - first);
    basalt_status status = reserve_buffer(reader, (size_t)count, err);
    if (!status) status = bs_h5_read(reader->h5, reader->mask, first, count, reader->buffer, err);
    for (uint64_t row = 0; !status && row < count; row++) {
        if ((reader->buffer[row] != 0) != reader->mask_means_missing) continue;
        status = bs_array_builder_set_null(builder, to, at + row, err);
    }
    return status;
}

basalt_status bs_column_reader_read(struct bs_column_reader *reader, uint64_t first, uint64_t count,
    struct bs_array_builder *builder, size_t to, uint64_t at, basalt_error *err)
{
    basalt_status status;
    void *values;
    if (reader->field->kind == BS_KIND_TEXT || reader->field->kind == BS_KIND_BINARY) {
        status = read_texts(reader, first, count, builder, to, err);
    } else {
        status = bs_array_builder_reserve(builder, to, count, &values, err);
        if (!status) status = bs_h5_read(reader->h5, reader->values, first, count, values, err);
    }
    return status ? status : read_nulls(reader, first, count, builder, to, at, err);
}

basalt_status bs_family_file_rows(
    struct bs_h5_file *h5, const struct bs_family *family, uint64_t *out_rows, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_family_links links = {0};
    struct bs_bytes link = {0};
    const bool masked = bs_field_form(&family->schema->fields[0]) == BS_FORM_MASKED;
    basalt_status status = BASALT_OK;
    *out_rows = 0;
    bs_name_escape(
        family->schema->fields[0].name, strlen(family->schema->fields[0].name), 1, &link);
    bs_bytes_u8(&link, 0);
    BS_TRY(bs_bytes_check(&link, err));
    BS_TRY(bs_family_links_open(h5, family, 1, &links, err));
    BS_TRY(bs_family_links_column(
        &links, (const char *)link.data, masked ? "values" : NULL, &object, err));
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    if (!dataset || dataset->space.rank != 1) {
        status = wrong_column(family, 0, "is not a row of values", err);
        goto out;
    }
    *out_rows = dataset->space.dims[0];
out:
    bs_h5_object_close(object);
    bs_family_links_close(&links);
    bs_bytes_free(&link);
    return status;
}
