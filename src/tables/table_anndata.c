/* table_anndata.c - AnnData's data frames and their columns.
 *
 *   "dataframe"                   names its columns in the attribute "column-order" and its index in
 *                                 "_index"; every column is one of the following
 *   dataset                       its elements; further dimensions are lists
 *   "categorical"                 {codes, categories}: a dictionary, null for a code below 0; the
 *                                 categories may be a nullable array, of which none is missing
 *   dataset with an attribute     the same, as AnnData wrote it before version 0.8: a reference to
 *     "categories"                the categories
 *   "nullable-integer", -boolean  {values, mask}: null where the mask is true
 *   "nullable-string-array"
 * What it wrote before version 0.7 is in table_compound.c. */
#include "tables/tables_internal.h"

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
        {"csr_matrix", BS_ENCODING_CSR},
        {"csc_matrix", BS_ENCODING_CSC},
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

/* ---- columns ----------------------------------------------------------------------------------- */

static bool is_ordered(const struct bs_h5_object *object)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(object, "ordered");
    return attribute && bs_is_bool(attribute->type) && attribute->byte_count > 0 &&
        attribute->bytes[0];
}

static basalt_status open_categories(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct bs_h5_object **out_categories, basalt_error *err)
{
    struct bs_h5_object *categories = NULL;
    enum bs_encoding encoding = BS_ENCODING_NONE;
    *out_categories = NULL;
    basalt_status status = bs_open_child(h5, group, "categories", &categories, err);
    if (!status && bs_h5_object_kind(categories) == BS_H5_GROUP) {
        status = bs_group_encoding(h5, categories, &encoding, err);
    }
    if (!status && encoding == BS_ENCODING_MASKED) {
        status = bs_open_child(h5, categories, "values", out_categories, err);
    } else if (!status) {
        *out_categories = categories;
        return BASALT_OK;
    }
    bs_h5_object_close(categories);
    return status;
}

static basalt_status add_categorical(
    struct bs_table *table, const char *name, const struct bs_h5_object *group, basalt_error *err)
{
    struct bs_h5_object *codes = NULL, *categories = NULL;
    struct bs_column_of *column = NULL;
    basalt_status status = bs_open_child(table->h5, group, "codes", &codes, err);
    if (!status) status = bs_table_add_dataset(table, name, codes, &column, err);
    if (!status) status = open_categories(table->h5, group, &categories, err);
    if (status) return status;
    return bs_column_set_dictionary(table, column, categories, is_ordered(group), err);
}

static basalt_status add_masked(
    struct bs_table *table, const char *name, const struct bs_h5_object *group, basalt_error *err)
{
    struct bs_h5_object *values = NULL, *mask = NULL;
    basalt_status status = bs_open_child(table->h5, group, "values", &values, err);
    if (!status) status = bs_table_add_dataset(table, name, values, NULL, err);
    if (!status) status = bs_open_child(table->h5, group, "mask", &mask, err);
    if (status) return status;
    return bs_column_set_mask(table, table->column_count - 1, mask, true, err);
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

static basalt_status add_group(
    struct bs_table *table, const char *name, const struct bs_h5_object *group, basalt_error *err)
{
    enum bs_encoding encoding;
    const basalt_status status = bs_group_encoding(table->h5, group, &encoding, err);
    if (status) return status;
    if (encoding == BS_ENCODING_CATEGORICAL) return add_categorical(table, name, group, err);
    if (encoding == BS_ENCODING_MASKED) return add_masked(table, name, group, err);
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "it is a group that is no column");
}

basalt_status bs_table_add_encoded(
    struct bs_table *table, const char *name, struct bs_h5_object *object, basalt_error *err)
{
    struct bs_h5_object *categories = NULL;
    struct bs_column_of *column = NULL;
    basalt_status status;
    if (bs_h5_object_kind(object) == BS_H5_GROUP) {
        status = add_group(table, name, object, err);
        bs_h5_object_close(object);
        return status;
    }
    status = old_categories(table->h5, object, &categories, err);
    if (status) {
        bs_h5_object_close(object);
        return status;
    }
    status = bs_table_add_dataset(table, name, object, &column, err);
    if (!categories) return status ? status : bs_column_set_units(table, column, object, err);
    if (status) {
        bs_h5_object_close(categories);
        return status;
    }
    return bs_column_set_dictionary(table, column, categories, is_ordered(categories), err);
}

/* ---- frames ------------------------------------------------------------------------------------ */

static bool has_name(const struct bs_names *names, const char *name)
{
    const char *at = (const char *)names->texts.data;
    for (uint64_t i = 0; i < names->count; i++, at += strlen(at) + 1) {
        if (!strcmp(at, name)) return true;
    }
    return false;
}

/* The index, unless it is one of the columns, and the columns in order. */
static basalt_status list_columns(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct bs_names *out_names, basalt_error *err)
{
    const struct bs_h5_attribute *order = bs_h5_attribute_find(group, "column-order");
    const struct bs_h5_attribute *index = bs_h5_attribute_find(group, "_index");
    struct bs_names columns = {0};
    char *index_name = NULL;
    basalt_status status = BASALT_OK;
    if (order) BS_TRY(bs_names_of_attribute(h5, order, &columns, err));
    if (index) {
        BS_TRY(bs_h5_attribute_text(h5, index, &index_name, err));
        if (!has_name(&columns, index_name)) {
            BS_TRY(bs_names_add(out_names, index_name, strlen(index_name), err));
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

static basalt_status open_frame(
    struct bs_table *table, const struct bs_h5_object *group, basalt_error *err)
{
    struct bs_names names = {0};
    basalt_status status = list_columns(table->h5, group, &names, err);
    const char *name = (const char *)names.texts.data;
    for (uint64_t i = 0; !status && i < names.count; i++, name += strlen(name) + 1) {
        struct bs_h5_object *object = NULL;
        status = bs_open_child(table->h5, group, name, &object, err);
        if (!status) status = bs_table_add_encoded(table, name, object, err);
        if (status) bs_error_prefix(err, "column \"%.80s\"", name);
    }
    bs_bytes_free(&names.texts);
    return status;
}

basalt_status bs_table_open_anndata(
    struct bs_table *table, const struct bs_h5_object *group, bool *out_found, basalt_error *err)
{
    enum bs_encoding encoding;
    *out_found = false;
    const basalt_status status = bs_group_encoding(table->h5, group, &encoding, err);
    if (status) return status;
    *out_found = true;
    const char *last = strrchr(table->path, '/');
    const char *name = last ? last + 1 : table->path;
    switch (encoding) {
    case BS_ENCODING_FRAME: table->kind = "AnnData dataframe"; return open_frame(table, group, err);
    case BS_ENCODING_CATEGORICAL:
        table->kind = "AnnData categorical";
        return add_categorical(table, name, group, err);
    case BS_ENCODING_MASKED:
        table->kind = "AnnData nullable";
        return add_masked(table, name, group, err);
    default: break;
    }
    *out_found = false;
    return BASALT_OK;
}
