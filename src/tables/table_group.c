/* table_group.c - the groups that are tables: a family that Basalt wrote, and AnnData's dataframe.
 *
 * A Basalt family has its Arrow schema in .basalt/ipc_schema, so its columns come back with the types
 * that they went in with; what of it lies where is in store/family_file.c. Any other program may have
 * changed the file since, so every dataset is held against the schema. A dataframe names its columns
 * in the attribute "column-order" and its index in "_index". */
#include "store/store.h"
#include "tables/tables_internal.h"

#include <stdio.h>

/* ---- Basalt ------------------------------------------------------------------------------------ */

static basalt_status read_schema(struct bs_h5_file *h5, const struct bs_h5_object *own,
    struct bs_schema **out_schema, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    uint8_t *bytes = NULL;
    basalt_status status = bs_open_child(h5, own, "ipc_schema", &object, err);
    if (status) return status;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    if (!dataset || dataset->space.rank != 1 || dataset->type->size_bytes != 1 ||
        dataset->space.dims[0] > BS_TABLE_ROW_BYTES_MAX) {
        status = bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "its .basalt/ipc_schema is not a row of bytes");
        goto out;
    }
    const size_t count = (size_t)dataset->space.dims[0];
    bytes = bs_alloc(count);
    if (!bytes) {
        status = bs_fail_memory(err, count);
        goto out;
    }
    BS_TRY(bs_h5_read(h5, object, 0, count, bytes, err));
    BS_TRY(bs_schema_decode(bytes, count, out_schema, err));
out:
    bs_free(bytes);
    bs_h5_object_close(object);
    return status;
}

/* The Arrow format of what lies in the file for a field. */
static void stored_format(const struct bs_field *field, char out[32])
{
    const uint32_t width = field->width_bytes;
    const int index = width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;
    switch (field->kind) {
    case BS_KIND_BOOL: snprintf(out, 32, "b"); break;
    case BS_KIND_UINT: snprintf(out, 32, "%c", "CSIL"[index]); break;
    case BS_KIND_FLOAT: snprintf(out, 32, "%c", width == 2 ? 'e' : width == 4 ? 'f' : 'g'); break;
    case BS_KIND_TEXT: snprintf(out, 32, "u"); break;
    case BS_KIND_BINARY: snprintf(out, 32, "z"); break;
    case BS_KIND_FIXED: snprintf(out, 32, "w:%" PRIu32, width); break;
    default: snprintf(out, 32, "%c", "csil"[index]); break;
    }
}

static basalt_status open_family_column(struct bs_table *table, const struct bs_h5_object *group,
    const struct bs_h5_object *own, size_t index, const char *link, basalt_error *err)
{
    const struct bs_field *field = &table->schema->fields[index];
    struct bs_table_column *column = &table->columns[index];
    struct bs_h5_object *object = NULL;
    char expected[32];
    struct bs_bytes validity = {0};
    basalt_status status = bs_open_child(table->h5, group, link, &object, err);
    if (!status) status = bs_column_open(table->h5, object, column, err);
    if (status) return status;
    stored_format(field, expected);
    if (strcmp(column->element.format, expected) != 0 || column->list_count != 1 ||
        column->categories.release || (column->mask && !field->nullable)) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "it is not of the type that the family's schema names: another program changed it");
    }
    if (!field->nullable || column->mask) return BASALT_OK;
    bs_bytes_text(&validity, "validity:%s", link);
    bs_bytes_u8(&validity, 0);
    status = bs_bytes_check(&validity, err);
    if (!status) {
        status = bs_open_child(table->h5, own, (const char *)validity.data, &object, err);
    }
    bs_bytes_free(&validity);
    if (status == BASALT_NOT_FOUND) return BASALT_OK; /* no null yet */
    return status ? status : bs_column_set_mask(column, object, false, err);
}

static basalt_status open_family(struct bs_table *table, const struct bs_h5_object *group,
    const struct bs_h5_object *own, basalt_error *err)
{
    char **links = NULL;
    basalt_status status = read_schema(table->h5, own, &table->schema, err);
    if (status) return status;
    const size_t count = table->schema->field_count;
    BS_TRY(bs_table_reserve(table, count, err));
    BS_TRY(bs_links_create(table->schema, &links, err));
    for (size_t i = 0; i < count; i++) {
        status = open_family_column(table, group, own, i, links[i], err);
        if (status) {
            bs_error_prefix(err, "column \"%.80s\"", links[i]);
            goto out;
        }
    }
out:
    bs_links_free(links, count);
    return status;
}

/* ---- AnnData ----------------------------------------------------------------------------------- */

/* Texts of an attribute, each with its NUL. */
struct names {
    struct bs_bytes texts;
    uint64_t count;
};

static basalt_status add_name(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    struct names *names = context;
    (void)index;
    while (count > 0 && ((const char *)bytes)[count - 1] == 0) count--;
    if (memchr(bytes, 0, count)) {
        return bs_fail(
            err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "a column's name has a NUL byte in it");
    }
    bs_bytes_put(&names->texts, bytes, count);
    bs_bytes_u8(&names->texts, 0);
    names->count++;
    if (names->count > BS_FIELDS_MAX || names->texts.count > BS_JSON_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "there are more than %d columns",
            BS_FIELDS_MAX);
    }
    return bs_bytes_check(&names->texts, err);
}

static basalt_status add_names(struct bs_h5_file *h5, const struct bs_h5_attribute *attribute,
    struct names *names, basalt_error *err)
{
    const struct bs_h5_type *type = attribute->type;
    uint64_t count;
    basalt_status status = bs_h5_space_count(&attribute->space, &count, err);
    if (status || count == 0) return status; /* an empty list is stored as numbers */
    if ((type->kind != BS_H5_STRING && !type->variable_string) ||
        count > attribute->byte_count / type->size_bytes) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "its attribute \"%.40s\" is not text", attribute->name);
    }
    if (type->variable_string) {
        return bs_h5_resolve(h5, type, attribute->bytes, count, add_name, names, err);
    }
    for (uint64_t i = 0; !status && i < count; i++) {
        const uint8_t *text = attribute->bytes + i * type->size_bytes;
        status = add_name(names, i, text, bs_text_bytes(type, text), err);
    }
    return status;
}

static bool has_name(const struct names *names, const char *name)
{
    const char *at = (const char *)names->texts.data;
    for (uint64_t i = 0; i < names->count; i++, at += strlen(at) + 1) {
        if (!strcmp(at, name)) return true;
    }
    return false;
}

/* The index, unless it is one of the columns, and the columns in order. */
static basalt_status list_columns(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct names *out_names, basalt_error *err)
{
    const struct bs_h5_attribute *order = bs_h5_attribute_find(group, "column-order");
    const struct bs_h5_attribute *index = bs_h5_attribute_find(group, "_index");
    struct names columns = {0};
    char *index_name = NULL;
    basalt_status status = BASALT_OK;
    if (order) BS_TRY(add_names(h5, order, &columns, err));
    if (index) {
        BS_TRY(bs_h5_attribute_text(h5, index, &index_name, err));
        if (!has_name(&columns, index_name)) {
            BS_TRY(add_name(out_names, 0, index_name, strlen(index_name), err));
        }
    }
    bs_bytes_put(&out_names->texts, columns.texts.data, columns.texts.count);
    out_names->count += columns.count;
    BS_TRY(bs_bytes_check(&out_names->texts, err));
out:
    bs_free(index_name);
    bs_bytes_free(&columns.texts);
    return status;
}

static basalt_status open_frame_column(struct bs_table *table, const struct bs_h5_object *group,
    const char *name, struct bs_table_column *column, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    basalt_status status = bs_open_child(table->h5, group, name, &object, err);
    if (!status) status = bs_column_open(table->h5, object, column, err);
    if (!status && column->list_count != 1 && !column->categories.release) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "it has several values a row; read it by its own path");
    }
    if (status) bs_error_prefix(err, "column \"%.80s\"", name);
    return status;
}

static basalt_status open_frame(
    struct bs_table *table, const struct bs_h5_object *group, basalt_error *err)
{
    struct names names = {0};
    struct ArrowSchema *children = NULL;
    basalt_status status = list_columns(table->h5, group, &names, err);
    if (status) goto out;
    BS_TRY(bs_table_reserve(table, (size_t)names.count, err));
    children = bs_alloc_zeroed((size_t)names.count + 1, sizeof *children);
    if (!children) {
        status = bs_fail_memory(err, (size_t)names.count * sizeof *children);
        goto out;
    }
    const char *name = (const char *)names.texts.data;
    for (size_t i = 0; i < names.count; i++, name += strlen(name) + 1) {
        struct bs_table_column *column = &table->columns[i];
        BS_TRY(open_frame_column(table, group, name, column, err));
        children[i].name = name;
        children[i].format = column->element.format;
        children[i].flags = bs_column_nullable(column) ? ARROW_FLAG_NULLABLE : 0;
    }
    BS_TRY(bs_schema_of(children, (size_t)names.count, &table->schema, err));
out:
    bs_free(children);
    bs_bytes_free(&names.texts);
    return status;
}

/* ---- which of them ----------------------------------------------------------------------------- */

/* The family's own group, if the group is a family; else NULL. */
static basalt_status find_own(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct bs_h5_object **out_own, basalt_error *err)
{
    uint64_t address;
    basalt_status status = bs_open_child(h5, group, ".basalt", out_own, err);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    if (status) return status;
    if (bs_h5_object_kind(*out_own) == BS_H5_GROUP) {
        status = bs_h5_group_find(h5, *out_own, "ipc_schema", &address, err);
        if (status == BASALT_OK) return BASALT_OK;
    }
    bs_h5_object_close(*out_own);
    *out_own = NULL;
    return status == BASALT_NOT_FOUND ? BASALT_OK : status;
}

basalt_status bs_table_open_group(
    struct bs_table *table, const struct bs_h5_object *group, bool *out_found, basalt_error *err)
{
    struct bs_h5_object *own = NULL;
    enum bs_encoding encoding = BS_ENCODING_NONE;
    *out_found = false;
    basalt_status status = find_own(table->h5, group, &own, err);
    if (!status && !own) status = bs_group_encoding(table->h5, group, &encoding, err);
    if (status) return status;
    *out_found = own || encoding == BS_ENCODING_FRAME;
    if (own) {
        status = open_family(table, group, own, err);
        bs_h5_object_close(own);
    } else if (encoding == BS_ENCODING_FRAME) {
        status = open_frame(table, group, err);
    }
    return status;
}
