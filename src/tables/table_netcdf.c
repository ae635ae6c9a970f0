/* table_netcdf.c - a variable of a netCDF-4 file (or of any file with dimension scales) as a table.
 *
 * The attribute DIMENSION_LIST has for each dimension references to its scales, datasets of CLASS
 * DIMENSION_SCALE. A row is one element of the variable: a column for the coordinate along each
 * dimension, named as its scale, or the index where the dimension has no values of its own; then the
 * value. Attributes that netCDF shows (units, long_name …) are the metadata of the column. scale_factor
 * and add_offset are told there and not applied. */
#include "tables/tables_internal.h"

bool bs_netcdf_hides(const char *attribute)
{
    static const char *const hidden[] = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST",
        "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict", "_NCProperties", "_NetCDF4Dimid",
        "_NetCDF4Coordinates"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(hidden); i++) {
        if (!strcmp(hidden[i], attribute)) return true;
    }
    return false;
}

static const struct bs_h5_attribute *dimension_list(const struct bs_h5_object *object)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const struct bs_h5_attribute *list = bs_h5_attribute_find(object, "DIMENSION_LIST");
    if (!list || dataset->space.rank == 0 || dataset->space.null) return NULL;
    const struct bs_h5_type *type = list->type;
    const bool references = type->kind == BS_H5_VARIABLE && !type->variable_string &&
        type->base->kind == BS_H5_REFERENCE && type->base->size_bytes == 8;
    const bool all = list->space.rank == 1 && list->space.dims[0] == dataset->space.rank &&
        list->byte_count >= (uint64_t)dataset->space.rank * type->size_bytes;
    return references && all ? list : NULL;
}

bool bs_is_variable(const struct bs_h5_object *object)
{
    return dimension_list(object) != NULL;
}

/* ---- metadata, missing values ------------------------------------------------------------------ */

static basalt_status describe(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *object, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; !status && i < bs_h5_attribute_count(object); i++) {
        const struct bs_h5_attribute *attribute = bs_h5_attribute_at(object, i);
        struct bs_bytes value = {0};
        char *text = NULL;
        if (bs_netcdf_hides(attribute->name)) continue;
        const bool is_text =
            (attribute->type->kind == BS_H5_STRING || attribute->type->variable_string) &&
            attribute->space.rank == 0 && !attribute->space.null;
        if (is_text) {
            status = bs_h5_attribute_text(table->h5, attribute, &text, err);
            if (!status) bs_metadata_put(&column->metadata, attribute->name, text, strlen(text));
        } else {
            status = bs_attribute_json(NULL, table->h5, attribute, &value, err);
            if (!status) status = bs_bytes_check(&value, err);
            if (!status) {
                bs_metadata_put(&column->metadata, attribute->name, value.data, value.count);
            }
        }
        bs_bytes_free(&value);
        bs_free(text);
    }
    return status ? status : bs_bytes_check(&column->metadata, err);
}

basalt_status bs_column_set_missing(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *dataset, basalt_error *err)
{
    static const char *const names[] = {"_FillValue", "missing_value"};
    struct bs_bytes values = {0};
    if (!table->options.missing_as_null || column->value.kind != BS_VALUE_FIXED) return BASALT_OK;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(names); i++) {
        const struct bs_h5_attribute *attribute = bs_h5_attribute_find(dataset, names[i]);
        if (!attribute || !bs_h5_type_equal(attribute->type, column->value.type)) continue;
        const size_t width = (size_t)column->value.element_bytes;
        bs_bytes_put(&values, attribute->bytes, attribute->byte_count / width * width);
    }
    if (!values.count) return BASALT_OK;
    column->missing_count = values.count / (size_t)column->value.element_bytes;
    column->missing = values.data;
    column->nullable = true;
    return bs_bytes_check(&values, err);
}

/* ---- dimensions -------------------------------------------------------------------------------- */

static basalt_status take_reference(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    uint64_t *addresses = context;
    (void)err;
    addresses[index] = count >= 8 ? bs_load_u64(bytes) : BS_H5_UNDEFINED;
    return BASALT_OK;
}

basalt_status bs_is_bare_dimension(
    struct bs_h5_file *h5, const struct bs_h5_object *scale, bool *out_bare, basalt_error *err)
{
    static const char words[] = "This is a netCDF dimension but not a netCDF variable.";
    return bs_text_begins(
        h5, bs_h5_attribute_find(scale, "NAME"), words, sizeof words - 1, out_bare, err);
}

static basalt_status load_elements(
    struct bs_table *table, struct bs_column_of *column, uint64_t count, basalt_error *err)
{
    const uint64_t width = column->value.element_bytes;
    if (count > BS_TABLE_COORDINATE_BYTES_MAX / BS_MAX(width, 1)) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the coordinates are more than %" PRIu64 " bytes", BS_TABLE_COORDINATE_BYTES_MAX);
    }
    struct bs_room room = {bs_table_room(table) / 2};
    const basalt_status status = bs_room_take(&room, count * width, err);
    if (status) return status;
    column->elements = bs_alloc((size_t)(count * width));
    if (!column->elements) return bs_fail_memory(err, (size_t)(count * width));
    return bs_h5_read(
        bs_h5_object_file(column->object), column->object, 0, count, column->elements, err);
}

/* The coordinate along one dimension of `count` elements, each of which covers `divide` rows. */
static basalt_status add_coordinate(struct bs_table *table, const char *name,
    struct bs_h5_object *scale, uint64_t divide, uint64_t count, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const struct bs_h5_dataset *dataset = scale ? bs_h5_object_dataset(scale) : NULL;
    struct bs_value value = {0};
    basalt_status status = BASALT_OK;
    bool is_bare = false;
    if (dataset) status = bs_is_bare_dimension(table->h5, scale, &is_bare, err);
    const bool has_values = !status && dataset && dataset->space.rank == 1 && !is_bare;
    if (has_values && bs_dataset_rows(dataset) < count) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the dimension \"%.80s\" has fewer coordinates than elements: ask for it as a dataset",
            name);
    }
    if (!status && has_values) status = bs_value_of(dataset->type, &options, &value, err);
    if (!status) status = bs_table_add_number(table, name, BS_COLUMN_ROW, err);
    if (status) {
        bs_value_clear(&value);
        bs_h5_object_close(scale);
        return status;
    }
    struct bs_column_of *column = &table->columns[table->column_count - 1];
    column->divide = BS_MAX(divide, 1);
    column->modulo = BS_MAX(count, 1);
    column->object = scale;
    if (!has_values) return BASALT_OK;
    column->kind = BS_COLUMN_COORDINATE;
    column->value = value;
    column->nullable = bs_value_has_nulls(&value);
    status = load_elements(table, column, count, err);
    return status ? status : describe(table, column, scale, err);
}

static basalt_status last_name(struct bs_table *table, uint64_t address, const char *instead,
    const char **out_name, basalt_error *err)
{
    const char *path = NULL;
    const basalt_status status = bs_paths_find(table->h5, &table->paths, address, &path, err);
    const char *last = path ? strrchr(path, '/') : NULL;
    *out_name = last && last[1] ? last + 1 : instead;
    return status;
}

static basalt_status add_dimension(struct bs_table *table, const struct bs_h5_dataset *dataset,
    unsigned index, uint64_t address, basalt_error *err)
{
    struct bs_h5_object *scale = NULL;
    struct bs_bytes instead = {0};
    const char *name = NULL;
    uint64_t divide = 1;
    for (unsigned i = index + 1; i < dataset->space.rank; i++) divide *= dataset->space.dims[i];
    bs_bytes_text(&instead, "dim_%u", index);
    bs_bytes_u8(&instead, 0);
    basalt_status status = bs_bytes_check(&instead, err);
    if (status) goto out;
    name = (const char *)instead.data;
    if (address && address != BS_H5_UNDEFINED) {
        BS_TRY(last_name(table, address, name, &name, err));
        BS_TRY(bs_h5_object_open(table->h5, address, &scale, err));
    }
    status = add_coordinate(table, name, scale, divide, dataset->space.dims[index], err);
out:
    bs_bytes_free(&instead);
    return status;
}

/* ---- the variable ------------------------------------------------------------------------------ */

static basalt_status add_values(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const char *last = strrchr(table->path, '/');
    struct bs_column_of *column = NULL;
    struct bs_value value = {0};
    size_t block;
    uint64_t count = 0;
    basalt_status status = bs_h5_space_count(&dataset->space, &count, err);
    if (!status) status = bs_value_of(dataset->type, &options, &value, err);
    if (status) {
        bs_h5_object_close(object);
        return status;
    }
    status = bs_table_add_block(table, object, &block, err);
    if (status) {
        bs_value_clear(&value);
        return status;
    }
    const uint64_t rows = dataset->space.dims[0];
    table->blocks[block].rows_each = rows && count ? count / rows : 1;
    table->blocks[block].row_bytes = dataset->type->size_bytes;
    table->blocks[block].rows = table->rows = count;
    status =
        bs_table_add_column(table, last ? last + 1 : table->path, &value, block, 0, &column, err);
    if (!status) status = describe(table, column, object, err);
    return status ? status : bs_column_set_missing(table, column, object, err);
}

basalt_status bs_table_open_variable(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const struct bs_h5_attribute *list = dimension_list(object);
    uint64_t addresses[BS_H5_RANK_MAX] = {0}, count;
    table->kind = "netCDF variable";
    basalt_status status = bs_h5_space_count(&dataset->space, &count, err);
    if (!status) {
        status = bs_h5_resolve(table->h5, list->type, list->bytes, dataset->space.rank,
            take_reference, addresses, err);
    }
    for (unsigned i = 0; !status && i < dataset->space.rank; i++) {
        status = add_dimension(table, dataset, i, addresses[i], err);
    }
    if (status) {
        bs_h5_object_close(object);
        return status;
    }
    return add_values(table, object, err);
}
