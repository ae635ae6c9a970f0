/* table_compound.c - a dataset of records is a table with a column for each member.
 *
 * Before version 0.7 AnnData wrote /obs and /var so, with codes for categories, whose values are in
 * /uns/MEMBER_categories. */
#include "tables/tables_internal.h"

basalt_status bs_table_add_members(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const struct bs_h5_type *type = bs_h5_object_type(object);
    size_t block;
    basalt_status status = bs_table_add_block(table, object, &block, err);
    for (size_t i = 0; !status && i < type->member_count; i++) {
        const struct bs_h5_member *member = &type->members[i];
        struct bs_value value;
        status = bs_value_of(member->type, &options, &value, err);
        if (!status) {
            status =
                bs_table_add_column(table, member->name, &value, block, member->offset, NULL, err);
        }
        if (status) bs_error_prefix(err, "member \"%.80s\"", member->name);
    }
    return status;
}

/* ---- AnnData of old ---------------------------------------------------------------------------- */

static bool is_old_frame(const char *path)
{
    static const char *const known[] = {"/obs", "/var", "/raw.var", "/raw/var"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(known); i++) {
        if (!strcmp(path, known[i])) return true;
    }
    return false;
}

static basalt_status find_categories(struct bs_table *table, const struct bs_h5_object *uns,
    struct bs_column_of *column, basalt_error *err)
{
    struct bs_h5_object *categories = NULL;
    struct bs_bytes name = {0};
    bs_bytes_text(&name, "%s_categories", column->name);
    bs_bytes_u8(&name, 0);
    basalt_status status = bs_bytes_check(&name, err);
    if (!status) {
        status = bs_find_child(table->h5, uns, (const char *)name.data, &categories, err);
    }
    bs_bytes_free(&name);
    if (status || !categories) return status;
    return bs_column_set_dictionary(table, column, categories, false, err);
}

static basalt_status add_old_categories(struct bs_table *table, basalt_error *err)
{
    struct bs_h5_object *root = NULL, *uns = NULL;
    basalt_status status = bs_h5_object_open_path(table->h5, "/", &root, err);
    if (!status) status = bs_find_child(table->h5, root, "uns", &uns, err);
    if (!status && uns && bs_h5_object_kind(uns) == BS_H5_GROUP) {
        for (size_t i = 0; !status && i < table->column_count; i++) {
            struct bs_column_of *column = &table->columns[i];
            if (!bs_value_is_integer(&column->value)) continue;
            status = find_categories(table, uns, column, err);
            if (status) bs_error_prefix(err, "member \"%.80s\"", column->name);
        }
    }
    bs_h5_object_close(uns);
    bs_h5_object_close(root);
    return status;
}

basalt_status bs_table_open_compound(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    table->kind = "records";
    basalt_status status = bs_table_add_members(table, object, err);
    if (!status && is_old_frame(table->path)) {
        table->kind = "AnnData dataframe";
        status = add_old_categories(table, err);
    }
    return status;
}
