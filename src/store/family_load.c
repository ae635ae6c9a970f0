/* family_load.c - finds the families of a file and says what each is.
 *
 * A group of the root is a family if it has a group .basalt with a number `id`. Everything else in
 * the file is somebody else's and left alone. Another program may have changed a family since: one
 * whose columns no longer fit together keeps its place and its name, and its rows are refused in one
 * sentence. */
#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Attributes that are ours and not the user's to set or list. */
static const char *const LAYOUT_ATTRIBUTES[] = {
    "encoding-type", "encoding-version", "_index", "column-order", "created_timestamp_ns"};

bool bs_attribute_is_layout(const char *name)
{
    for (size_t i = 0; i < BS_ARRAY_LENGTH(LAYOUT_ATTRIBUTES); i++) {
        if (!strcmp(name, LAYOUT_ATTRIBUTES[i])) return true;
    }
    return false;
}

static basalt_status load_attribute_names(
    const struct bs_h5_object *object, struct bs_name_set *names, basalt_error *err)
{
    for (size_t i = 0; i < bs_h5_attribute_count(object); i++) {
        const char *name = bs_h5_attribute_at(object, i)->name;
        if (bs_attribute_is_layout(name)) continue;
        const basalt_status status = bs_name_set_add(names, name, err);
        if (status) return status;
    }
    return BASALT_OK;
}

static basalt_status own_number(
    const struct bs_h5_object *own, const char *name, uint64_t *out_value, basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(own, name);
    *out_value = 0;
    if (!attribute) {
        return bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the attribute \"%s\" is missing", name);
    }
    return bs_h5_attribute_u64(attribute, out_value, err);
}

static basalt_status load_schema(struct bs_h5_file *h5, const struct bs_h5_object *own,
    struct bs_schema **out_schema, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    uint8_t *bytes = NULL;
    uint64_t address, count;
    basalt_status status = bs_h5_group_find(h5, own, "ipc_schema", &address, err);
    if (status) return status;
    BS_TRY(bs_h5_object_open(h5, address, &object, err));
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    if (!dataset || dataset->type->size_bytes != 1 || dataset->space.rank != 1) {
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "ipc_schema is not a row of bytes");
        goto out;
    }
    count = dataset->space.dims[0];
    if (count > BS_WAL_RECORD_BYTES_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "ipc_schema has over 16 MiB");
        goto out;
    }
    bytes = bs_alloc((size_t)count);
    if (!bytes) {
        status = bs_fail_memory(err, (size_t)count);
        goto out;
    }
    BS_TRY(bs_h5_read(h5, object, 0, count, bytes, err));
    BS_TRY(bs_schema_decode(bytes, (size_t)count, out_schema, err));
out:
    bs_free(bytes);
    bs_h5_object_close(object);
    return status;
}

/* ---- do the columns fit together? ------------------------------------------------------------ */

struct named_field {
    const char *link;
    size_t field;
};
struct column_check {
    struct bs_h5_file *h5;
    struct bs_family *family;
    struct named_field *fields; /* by link */
    size_t found;
    uint64_t rows;
    bool have_rows;
    char fault[200];
};

static int compare_fields(const void *a, const void *b)
{
    return strcmp(((const struct named_field *)a)->link, ((const struct named_field *)b)->link);
}

static void check_dataset(struct column_check *check, const struct bs_h5_object *object,
    const struct bs_h5_type *type, const char *link)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    if (!dataset || dataset->space.rank != 1 || !bs_h5_type_equal(dataset->type, type)) {
        snprintf(check->fault, sizeof check->fault,
            "its column \"%.60s\" no longer has the type that Basalt gave it", link);
    } else if (check->have_rows && dataset->space.dims[0] != check->rows) {
        snprintf(check->fault, sizeof check->fault,
            "its column \"%.60s\" has %llu rows where another has %llu", link,
            (unsigned long long)dataset->space.dims[0], (unsigned long long)check->rows);
    } else {
        check->rows = dataset->space.dims[0];
        check->have_rows = true;
    }
}

static basalt_status check_part(struct column_check *check, const struct bs_h5_object *group,
    const char *part, const struct bs_h5_type *type, const char *link, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    uint64_t address;
    basalt_status status = bs_h5_group_find(check->h5, group, part, &address, err);
    if (status == BASALT_NOT_FOUND) {
        snprintf(
            check->fault, sizeof check->fault, "its column \"%.60s\" has no \"%s\"", link, part);
        return BASALT_OK;
    }
    if (!status) status = bs_h5_object_open(check->h5, address, &object, err);
    if (status) return status;
    check_dataset(check, object, type, link);
    bs_h5_object_close(object);
    return BASALT_OK;
}

static basalt_status check_column(struct column_check *check, const struct bs_h5_link *link,
    const struct bs_field *field, basalt_error *err)
{
    struct bs_h5_type *type = NULL, *mask = NULL;
    struct bs_h5_object *object = NULL;
    basalt_status status = bs_field_type(field, &type, err);
    if (status) return status;
    BS_TRY(bs_h5_object_open(check->h5, link->address, &object, err));
    if (bs_field_form(field) == BS_FORM_PLAIN) {
        check_dataset(check, object, type, link->name);
    } else if (bs_h5_object_kind(object) != BS_H5_GROUP) {
        snprintf(check->fault, sizeof check->fault, "its column \"%.60s\" is no longer a group",
            link->name);
    } else {
        mask = bs_h5_type_bool();
        if (!mask) {
            status = bs_fail_memory(err, sizeof *mask);
            goto out;
        }
        BS_TRY(check_part(check, object, "values", type, link->name, err));
        BS_TRY(check_part(check, object, "mask", mask, link->name, err));
    }
out:
    bs_h5_object_close(object);
    bs_h5_type_free(mask);
    bs_h5_type_free(type);
    return status;
}

static basalt_status check_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct column_check *check = context;
    const struct named_field key = {link->name, 0};
    const struct named_field *found = bsearch(
        &key, check->fields, check->family->schema->field_count, sizeof key, compare_fields);
    if (!found || link->kind != BS_H5_LINK_HARD || check->fault[0]) return BASALT_OK;
    check->found++;
    return check_column(check, link, &check->family->schema->fields[found->field], err);
}

static basalt_status check_columns(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct bs_family *family, uint64_t *out_rows, basalt_error *err)
{
    const size_t count = family->schema->field_count;
    struct column_check check = {.h5 = h5, .family = family};
    char **links = NULL;
    basalt_status status = bs_links_create(family->schema, &links, err);
    if (status) return status;
    check.fields = bs_alloc_zeroed(count, sizeof *check.fields);
    if (!check.fields) {
        status = bs_fail_memory(err, count * sizeof *check.fields);
        goto out;
    }
    for (size_t i = 0; i < count; i++) check.fields[i] = (struct named_field){links[i], i};
    qsort(check.fields, count, sizeof *check.fields, compare_fields);
    BS_TRY(bs_h5_group_each(h5, group, check_link, &check, err));
    if (!check.fault[0] && check.found < count) {
        snprintf(
            check.fault, sizeof check.fault, "%zu of its columns are gone", count - check.found);
    }
    if (check.fault[0]) {
        family->fault = bs_copy_string(check.fault);
        if (!family->fault) status = bs_fail_memory(err, sizeof check.fault);
    }
    *out_rows = check.rows;
out:
    bs_free(check.fields);
    bs_links_free(links, count);
    return status;
}

/* ---- one family ---------------------------------------------------------------------------- */

static basalt_status make_family(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const struct bs_h5_object *own, const char *name, struct bs_family **out_family,
    basalt_error *err)
{
    struct bs_schema *schema = NULL;
    struct bs_family *family = NULL;
    uint64_t id, level, chunk_rows, row_index, created_ns, rows = 0, statistics;
    basalt_status status = BASALT_OK;
    BS_TRY(own_number(own, "id", &id, err));
    BS_TRY(own_number(own, "compression_level", &level, err));
    BS_TRY(own_number(own, "chunk_rows", &chunk_rows, err));
    BS_TRY(own_number(own, "row_index", &row_index, err));
    BS_TRY(own_number(own, "created_ns", &created_ns, err));
    if (!id || id >= UINT32_MAX || level > 9) {
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "its attributes are out of range");
        goto out;
    }
    BS_TRY(load_schema(h5, own, &schema, err));
    const basalt_family_options options = {.struct_bytes = sizeof options,
        .compression_level = (int)level,
        .chunk_rows = chunk_rows,
        .row_index = row_index != 0};
    BS_TRY(bs_family_new(name, (uint32_t)id, schema, &options, &family, err));
    family->created_wall_ns = created_ns;
    BS_TRY(load_attribute_names(group, &family->attributes, err));
    BS_TRY(check_columns(h5, group, family, &rows, err));
    family->has_statistics = !bs_h5_group_find(h5, own, BS_STATISTICS_NAME, &statistics, NULL);
    family->next_row = rows;
    atomic_store(&family->file_rows, rows);
    *out_family = family;
    family = NULL;
out:
    bs_family_free(family);
    bs_schema_release(schema);
    return status;
}

struct loading {
    struct bs_h5_file *h5;
    struct bs_family **families;
    size_t count, capacity;
};

static basalt_status keep(struct loading *loading, struct bs_family *family, basalt_error *err)
{
    if (loading->count == loading->capacity) {
        const size_t capacity = loading->capacity ? loading->capacity * 2 : 16;
        void *grown = bs_realloc(loading->families, capacity * sizeof *loading->families);
        if (!grown) {
            bs_family_free(family);
            return bs_fail_memory(err, capacity * sizeof *loading->families);
        }
        loading->families = grown;
        loading->capacity = capacity;
    }
    loading->families[loading->count++] = family;
    return BASALT_OK;
}

static basalt_status load_group(
    struct loading *loading, const struct bs_h5_object *group, const char *link, basalt_error *err)
{
    struct bs_h5_object *own = NULL;
    struct bs_family *family = NULL;
    struct bs_bytes name = {0};
    uint64_t address, repeat;
    basalt_error why = {0};
    basalt_status status = bs_h5_group_find(loading->h5, group, ".basalt", &address, &why);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    if (status) {
        if (err) *err = why;
        return status;
    }
    BS_TRY(bs_h5_object_open(loading->h5, address, &own, err));
    if (!bs_h5_attribute_find(own, "id")) goto out;
    status = bs_name_unescape(link, &name, &repeat, err);
    if (status == BASALT_BAD_ARGUMENT || (!status && repeat != 1)) { /* not a link of ours */
        status = BASALT_OK;
        goto out;
    }
    if (status) goto out;
    bs_bytes_u8(&name, 0);
    BS_TRY(bs_bytes_check(&name, err));
    status = make_family(loading->h5, group, own, (const char *)name.data, &family, err);
    if (status) {
        bs_error_prefix(err, "the family \"%.80s\" of the file is damaged", link);
        goto out;
    }
    status = keep(loading, family, err);
out:
    bs_bytes_free(&name);
    bs_h5_object_close(own);
    return status;
}

static basalt_status load_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct loading *loading = context;
    struct bs_h5_object *object = NULL;
    if (link->kind != BS_H5_LINK_HARD || !strcmp(link->name, ".basalt")) return BASALT_OK;
    basalt_status status = bs_h5_object_open(loading->h5, link->address, &object, err);
    if (status) return status;
    if (bs_h5_object_kind(object) == BS_H5_GROUP) {
        status = load_group(loading, object, link->name, err);
    }
    bs_h5_object_close(object);
    return status;
}

static int compare_ids(const void *a, const void *b)
{
    const uint32_t left = (*(struct bs_family *const *)a)->id;
    const uint32_t right = (*(struct bs_family *const *)b)->id;
    return (left > right) - (left < right);
}

basalt_status bs_catalogue_load(struct bs_h5_file *h5, struct bs_catalogue *into,
    struct bs_name_set *root_attributes, basalt_error *err)
{
    struct loading loading = {.h5 = h5};
    struct bs_h5_object *root = NULL;
    basalt_status status = bs_h5_object_open_path(h5, "/", &root, err);
    size_t added = 0;
    if (status) return status;
    atomic_store(&into->id_next, 1);
    BS_TRY(load_attribute_names(root, root_attributes, err));
    BS_TRY(bs_h5_group_each(h5, root, load_link, &loading, err));
    if (loading.count > 1) {
        qsort(loading.families, loading.count, sizeof *loading.families, compare_ids);
    }
    for (; added < loading.count; added++) {
        if (added && loading.families[added]->id == loading.families[added - 1]->id) {
            status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "the families \"%.60s\" and \"%.60s\" have the same number",
                loading.families[added - 1]->name, loading.families[added]->name);
            goto out;
        }
        bs_catalogue_add(into, loading.families[added]);
    }
out:
    for (; added < loading.count; added++) bs_family_free(loading.families[added]);
    bs_free(loading.families);
    bs_h5_object_close(root);
    return status;
}
