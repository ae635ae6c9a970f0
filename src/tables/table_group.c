/* table_group.c - a group of one-dimensional datasets of one length is a table.
 *
 * The length is that of most of them, of as many that of the one first in name. The columns are in the
 * order of names, or those of an attribute "column-order" in its order. What else is in the group and is
 * a dataset is left out: the schema's metadata names it in "basalt.left_out", a JSON list. One column
 * is enough; a group without one is no table. Soft links and groups are not looked at. */
#include "tables/tables_internal.h"

#include <stdlib.h>

#define LINKS_MAX BS_FIELDS_MAX /* a group with more is no table */
#define OBJECT_BYTES_FREE_MAX ((uint64_t)1 << 20)

struct member {
    char *name;
    struct bs_h5_object *object; /* NULL once the table has it, or if it can't be opened */
    uint64_t rows;
    bool fits; /* one dimension */
};

struct members {
    struct bs_h5_file *h5;
    struct member *list;
    size_t count, capacity;
    uint64_t object_bytes;
    bool too_many;
};

static void members_free(struct members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        bs_free(members->list[i].name);
        bs_h5_object_close(members->list[i].object);
    }
    bs_free(members->list);
}

static basalt_status keep(
    struct members *members, const char *name, struct bs_h5_object *object, basalt_error *err)
{
    if (members->count == members->capacity) {
        const size_t capacity = BS_MAX(members->capacity * 2, 16);
        struct member *larger = bs_realloc(members->list, capacity * sizeof *larger);
        if (!larger) return bs_fail_memory(err, capacity * sizeof *larger);
        members->list = larger;
        members->capacity = capacity;
    }
    char *copy = bs_copy_string(name);
    if (!copy) return bs_fail_memory(err, strlen(name));
    const struct bs_h5_dataset *dataset = object ? bs_h5_object_dataset(object) : NULL;
    members->list[members->count++] =
        (struct member){copy, object, dataset ? bs_dataset_rows(dataset) : 0,
            dataset && dataset->space.rank == 1 && !dataset->space.null};
    return BASALT_OK;
}

/* Each dataset is open while the table is. They are apart in an honest file; many links to one large header
 * would take its memory as often. */
static basalt_status check_bytes(
    struct members *members, const struct bs_h5_object *object, basalt_error *err)
{
    if (object) members->object_bytes += bs_h5_object_bytes(object);
    if (members->object_bytes <= OBJECT_BYTES_FREE_MAX + bs_h5_file_bytes(members->h5)) {
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the headers of the group's datasets are together larger than the file");
}

static basalt_status look_at(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct members *members = context;
    struct bs_h5_object *object = NULL;
    if (link->kind != BS_H5_LINK_HARD || members->too_many) return BASALT_OK;
    members->too_many = members->count >= LINKS_MAX;
    basalt_status status = bs_h5_object_open(members->h5, link->address, &object, err);
    if (status && status != BASALT_UNSUPPORTED) return status;
    bool is_bare = object && !bs_h5_object_dataset(object);
    status = BASALT_OK;
    if (object && !is_bare) status = bs_is_bare_dimension(members->h5, object, &is_bare, err);
    if (!status && !is_bare) status = check_bytes(members, object, err);
    if (!status && !is_bare) status = keep(members, link->name, object, err);
    if (status || is_bare) bs_h5_object_close(object);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static int compare_rows(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* How many rows most of the datasets have; the members are in the order of names. */
static basalt_status find_rows(
    const struct members *members, bool *out_found, uint64_t *out_rows, basalt_error *err)
{
    size_t count = 0, best = 0;
    uint64_t *rows = bs_alloc_zeroed(members->count + 1, sizeof *rows);
    *out_found = false;
    *out_rows = 0;
    if (!rows) return bs_fail_memory(err, members->count * sizeof *rows);
    for (size_t i = 0; i < members->count; i++) {
        if (members->list[i].fits) rows[count++] = members->list[i].rows;
    }
    qsort(rows, count, sizeof *rows, compare_rows);
    for (size_t i = 0, run = 0; i < count; i++) {
        run = i > 0 && rows[i] == rows[i - 1] ? run + 1 : 1;
        best = BS_MAX(best, run);
    }
    for (size_t i = 0; !*out_found && i < members->count; i++) { /* the first name among equals */
        const struct member *member = &members->list[i];
        size_t same = 0;
        for (size_t k = 0; member->fits && k < count; k++) same += rows[k] == member->rows;
        if (!member->fits || same != best) continue;
        *out_found = true;
        *out_rows = member->rows;
    }
    bs_free(rows);
    return BASALT_OK;
}

static void leave_out(struct bs_bytes *left_out, const char *name)
{
    bs_bytes_u8(left_out, left_out->count ? ',' : '[');
    bs_json_string(left_out, name, strlen(name));
}

/* Adds the member, or names it as left out. */
static basalt_status add_member(struct bs_table *table, struct member *member, uint64_t rows,
    struct bs_bytes *left_out, basalt_error *err)
{
    struct bs_h5_object *object = member->object;
    if (!member->fits || member->rows != rows || !object) {
        leave_out(left_out, member->name);
        return BASALT_OK;
    }
    member->object = NULL;
    struct bs_column_of *column = NULL;
    basalt_status status = bs_table_add_dataset(table, member->name, object, &column, err);
    if (!status) return bs_column_set_units(table, column, object, err);
    if (status != BASALT_UNSUPPORTED && status != BASALT_TOO_LARGE) return status;
    leave_out(left_out, member->name);
    return BASALT_OK;
}

static basalt_status add_in_order(struct bs_table *table, const struct bs_h5_attribute *order,
    struct members *members, uint64_t rows, struct bs_bytes *left_out, basalt_error *err)
{
    struct bs_names names = {0};
    basalt_status status = bs_names_of_attribute(table->h5, order, &names, err);
    const char *name = (const char *)names.texts.data;
    for (uint64_t i = 0; !status && i < names.count; i++, name += strlen(name) + 1) {
        struct member *found = NULL;
        const struct member key = {.name = (char *)(uintptr_t)name};
        if (members->count > 0) {
            found = bsearch(&key, members->list, members->count, sizeof key, compare_names);
        }
        if (!found || !found->object) continue;
        status = add_member(table, found, rows, left_out, err);
    }
    for (size_t i = 0; !status && i < members->count; i++) {
        if (members->list[i].object) leave_out(left_out, members->list[i].name);
    }
    bs_bytes_free(&names.texts);
    return status;
}

static basalt_status add_members(struct bs_table *table, const struct bs_h5_object *group,
    struct members *members, uint64_t rows, basalt_error *err)
{
    const struct bs_h5_attribute *order = bs_h5_attribute_find(group, "column-order");
    struct bs_bytes left_out = {0};
    basalt_status status = BASALT_OK;
    if (order) status = add_in_order(table, order, members, rows, &left_out, err);
    for (size_t i = 0; !order && !status && i < members->count; i++) {
        status = add_member(table, &members->list[i], rows, &left_out, err);
    }
    if (!status && left_out.count) {
        bs_bytes_u8(&left_out, ']');
        bs_metadata_put(&table->metadata, "basalt.left_out", left_out.data, left_out.count);
        status = bs_bytes_check(&left_out, err);
    }
    bs_bytes_free(&left_out);
    return status ? status : bs_bytes_check(&table->metadata, err);
}

basalt_status bs_table_open_group(
    struct bs_table *table, const struct bs_h5_object *group, bool *out_found, basalt_error *err)
{
    struct members members = {.h5 = table->h5};
    uint64_t rows;
    *out_found = false;
    table->kind = "group";
    basalt_status status = bs_h5_group_each(table->h5, group, look_at, &members, err);
    if (status || members.too_many || !members.count) goto out;
    qsort(members.list, members.count, sizeof *members.list, compare_names);
    BS_TRY(find_rows(&members, out_found, &rows, err));
    if (*out_found) BS_TRY(add_members(table, group, &members, rows, err));
    *out_found = table->column_count > 0;
out:
    members_free(&members);
    return status;
}
