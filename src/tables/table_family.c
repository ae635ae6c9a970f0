/* table_family.c - a group that Basalt wrote.
 *
 * A family has its Arrow schema in .basalt/ipc_schema, so its columns come back with the types that they
 * went in with; what of it lies where is in store/family_file.c. Any other program may have changed the
 * file since, so every dataset is held against the schema. */
#include "store/store.h"
#include "tables/tables_internal.h"

#include <stdio.h>

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

static basalt_status check_column(
    const struct bs_column_of *column, const struct bs_field *field, basalt_error *err)
{
    char expected[32];
    stored_format(field, expected);
    if (!strcmp(column->value.format, expected) && column->value.kind <= BS_VALUE_TEXT) {
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "it is not of the type that the family's schema names: another program changed it");
}

/* The field as it was given: name, type, metadata. */
static basalt_status set_field(
    struct bs_column_of *column, const struct bs_field *field, basalt_error *err)
{
    char *name = bs_copy_string(field->name);
    bs_free(column->name);
    column->name = name;
    column->format = bs_copy_string(field->format);
    column->nullable = field->nullable;
    column->value.large = field->format[0] == 'U' || field->format[0] == 'Z';
    if (field->metadata) {
        bs_bytes_put(&column->metadata, field->metadata, field->metadata_bytes);
    }
    if (!column->name || !column->format) return bs_fail_memory(err, strlen(field->name));
    return bs_bytes_check(&column->metadata, err);
}

static basalt_status add_column(struct bs_table *table, const struct bs_h5_object *group,
    const struct bs_h5_object *own, const struct bs_field *field, const char *link,
    basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_column_of *column = NULL;
    struct bs_bytes validity = {0};
    basalt_status status = bs_open_child(table->h5, group, link, &object, err);
    if (status) return status;
    const bool encoded = bs_h5_object_kind(object) == BS_H5_GROUP;
    status = encoded ? bs_table_add_encoded(table, link, object, err)
                     : bs_table_add_dataset(table, link, object, NULL, err);
    if (status) return status;
    column = &table->columns[table->column_count - 1];
    const size_t mask = column->mask;
    status = column->dictionary ? bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                                      "it is a categorical column: another program changed it")
                                : check_column(column, field, err);
    if (!status && mask != SIZE_MAX && !field->nullable) {
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "it may have nulls and the family's schema says that it has none");
    }
    if (!status) status = set_field(column, field, err);
    if (status || !field->nullable || mask != SIZE_MAX) return status;
    bs_bytes_text(&validity, "validity:%s", link);
    bs_bytes_u8(&validity, 0);
    status = bs_bytes_check(&validity, err);
    if (!status) status = bs_find_child(table->h5, own, (const char *)validity.data, &object, err);
    bs_bytes_free(&validity);
    if (status || !object) return status; /* no null yet */
    return bs_column_set_mask(table, table->column_count - 1, object, false, err);
}

/* `only`: the link of the one column that is wanted; NULL: all. *out_found is false if there is none. */
static basalt_status open_family(struct bs_table *table, const struct bs_h5_object *group,
    const struct bs_h5_object *own, const char *only, bool *out_found, basalt_error *err)
{
    char **links = NULL;
    struct bs_schema *schema = NULL;
    basalt_status status = read_schema(table->h5, own, &schema, err);
    if (status) return status;
    const size_t count = schema->field_count;
    size_t first = 0, end = count;
    BS_TRY(bs_links_create(schema, &links, err));
    while (only && first < count && strcmp(links[first], only) != 0) first++;
    if (only) end = first < count ? first + 1 : first;
    *out_found = !only || first < end;
    if (!*out_found) goto out;
    table->kind = only ? "family column" : "family";
    if (schema->metadata) bs_bytes_put(&table->metadata, schema->metadata, schema->metadata_bytes);
    BS_TRY(bs_bytes_check(&table->metadata, err));
    for (size_t i = first; i < end; i++) {
        status = add_column(table, group, own, &schema->fields[i], links[i], err);
        if (status) {
            bs_error_prefix(err, "column \"%.80s\"", links[i]);
            goto out;
        }
        table->columns[table->column_count - 1].field = i;
    }
    table->schema = bs_schema_retain(schema);
out:
    bs_links_free(links, count);
    bs_schema_release(schema);
    return status;
}

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

basalt_status bs_table_open_family(
    struct bs_table *table, const struct bs_h5_object *group, bool *out_found, basalt_error *err)
{
    struct bs_h5_object *own = NULL;
    basalt_status status = find_own(table->h5, group, &own, err);
    *out_found = own != NULL;
    if (status || !own) return status;
    table->own = own;
    return open_family(table, group, own, NULL, out_found, err);
}

basalt_status bs_table_open_family_column(struct bs_table *table, const char *path,
    const struct bs_h5_object *object, bool *out_found, basalt_error *err)
{
    struct bs_h5_file *given = table->h5;
    struct bs_h5_object *group = NULL, *own = NULL;
    const char *link = strrchr(path, '/');
    *out_found = false;
    if (!link || link == path) return BASALT_OK; /* the root is no family */
    char *above = bs_copy_bytes(path, (size_t)(link - path) + 1);
    if (!above) return bs_fail_memory(err, (size_t)(link - path) + 1);
    above[link - path] = 0;
    basalt_status status = bs_h5_object_open_path(given, above, &group, err);
    struct bs_h5_file *h5 = status ? NULL : bs_h5_object_file(group);
    if (!status && h5 == bs_h5_object_file(object) && bs_h5_object_kind(group) == BS_H5_GROUP) {
        status = find_own(h5, group, &own, err);
    }
    if (!status && own) {
        table->h5 = h5;
        status = open_family(table, group, own, link + 1, out_found, err);
    }
    if (!*out_found) table->h5 = given;
    if (*out_found)
        table->own = own;
    else
        bs_h5_object_close(own);
    bs_h5_object_close(group);
    bs_free(above);
    return status;
}

/* ---- statistics --------------------------------------------------------------------------------- */

/* Those of the column linked as `link`. A family that is damaged says nothing of its chunks. */
static basalt_status column_statistics(struct bs_h5_file *h5, const struct bs_h5_object *own,
    const char *link, struct bs_statistics **out_statistics, basalt_error *err)
{
    struct bs_schema *schema = NULL;
    char **links = NULL;
    basalt_error why = {0};
    basalt_status status = read_schema(h5, own, &schema, &why);
    if (!status) status = bs_links_create(schema, &links, &why);
    for (size_t i = 0; !status && i < schema->field_count; i++) {
        if (strcmp(links[i], link) != 0) continue;
        status = bs_statistics_open(h5, own, i, &schema->fields[i], out_statistics, &why);
        break;
    }
    bs_links_free(links, schema ? schema->field_count : 0);
    bs_schema_release(schema);
    if (status != BASALT_NO_MEMORY && status != BASALT_IO_ERROR) return BASALT_OK;
    if (err) *err = why;
    return status;
}

/* Cuts the last name off; it, or NULL if there is none above. */
static char *cut_name(char *path)
{
    char *link = strrchr(path, '/');
    if (!link || link == path) return NULL;
    *link = 0;
    return link + 1;
}

basalt_status bs_family_statistics(struct bs_h5_file *h5, const char *path,
    const struct bs_h5_object *dataset, struct bs_statistics **out_statistics, basalt_error *err)
{
    struct bs_h5_object *group = NULL, *own = NULL;
    *out_statistics = NULL;
    if (bs_h5_object_file(dataset) != h5) return BASALT_OK;
    char *above = bs_copy_string(path);
    if (!above) return bs_fail_memory(err, strlen(path));
    const char *link = cut_name(above);
    basalt_status status = BASALT_OK;
    if (link && !strcmp(link, "values")) { /* of a column, unless the column itself is called so */
        BS_TRY(bs_h5_object_open_path(h5, above, &group, err));
        BS_TRY(find_own(h5, group, &own, err));
        if (!own) link = cut_name(above);
        bs_h5_object_close(group);
        group = NULL;
    }
    if (!link) goto out;
    if (!own) {
        BS_TRY(bs_h5_object_open_path(h5, above, &group, err));
        if (bs_h5_object_file(group) == h5) BS_TRY(find_own(h5, group, &own, err));
    }
    if (own) BS_TRY(column_statistics(h5, own, link, out_statistics, err));
out:
    bs_h5_object_close(own);
    bs_h5_object_close(group);
    bs_free(above);
    return status;
}
