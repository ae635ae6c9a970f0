/* table_pandas.c - what pandas' HDFStore wrote through PyTables.
 *
 *   pandas_type            the group has
 *   frame_table,           table: records of "index", data columns, and values_block_N, arrays of the
 *     series_table, …      columns of one type. What they are called, and in which order the frame has
 *                          them, are pickled attributes (pickle.c). Where those are more than plain texts
 *                          and numbers they come as "values_block_N[K]"; "basalt.not_read" says so.
 *                          Categories are in a table of their own, meta/MEMBER/meta
 *   frame                  axis0: names of columns; axis1: the index; blockN_items: the names that
 *                          blockN_values, a matrix of rows and columns, has. A block of objects is
 *                          pickled: its columns are left out, by name in "basalt.left_out"
 *   series                 index, values
 * Times are told by the plain texts of attributes (kind, value_type, NAME_dtype, index_kind). */
#include "tables/pickle.h"
#include "tables/tables_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define BLOCKS_MAX 4096

static basalt_status text_of(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const char *name, char **out_text, basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(object, name);
    *out_text = NULL;
    if (!attribute || attribute->space.null ||
        (attribute->type->kind != BS_H5_STRING && !attribute->type->variable_string)) {
        return BASALT_OK;
    }
    return bs_h5_attribute_text(h5, attribute, out_text, err);
}

/* Gives a column the type that a word of NumPy's says: times, and bool where a byte holds it. */
static basalt_status apply_word(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *object, const char *attribute, basalt_error *err)
{
    char *word = NULL;
    basalt_status status = text_of(table->h5, object, attribute, &word, err);
    if (status || !word) return status;
    const bool is_bool = !strcmp(word, "bool") || !strcmp(word, "boolean");
    if (is_bool && column->value.kind == BS_VALUE_FIXED && column->value.element_bytes == 1) {
        column->value.kind = BS_VALUE_BOOL;
        column->value.format[0] = 'b';
    } else {
        status = bs_column_set_time(column, word, err);
    }
    bs_free(word);
    return status;
}

/* ---- format "table" ---------------------------------------------------------------------------- */

struct records {
    const struct bs_h5_object *group, *object;
    struct bs_pickle *info; /* of each member by name: index_name, tz, ordered; or NULL */
    size_t block;
    bool unnamed;
};

/* What a pickled attribute holds. NULL: there is none, or it has more than plain data. */
static basalt_status pickle_of(const struct bs_h5_object *object, const char *name,
    struct bs_pickle **out_pickle, basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(object, name);
    *out_pickle = NULL;
    if (!attribute || attribute->space.null || attribute->type->kind != BS_H5_STRING) {
        return BASALT_OK;
    }
    const basalt_status status =
        bs_pickle_read(attribute->bytes, attribute->byte_count, out_pickle, NULL);
    return status == BASALT_NO_MEMORY ? bs_fail_memory(err, attribute->byte_count) : BASALT_OK;
}

/* What info says of a member under a key, as text; *out_text is NULL if nothing. */
static basalt_status info_text(const struct records *records, const char *member, const char *key,
    char **out_text, basalt_error *err)
{
    struct bs_bytes text = {0};
    *out_text = NULL;
    if (!records->info) return BASALT_OK;
    const size_t of_member = bs_pickle_get(records->info, bs_pickle_root(records->info), member);
    const size_t value = bs_pickle_get(records->info, of_member, key);
    if (bs_pickle_kind(records->info, value) != BS_PICKLE_TEXT ||
        !bs_pickle_label(records->info, value, &text)) {
        bs_bytes_free(&text);
        return BASALT_OK;
    }
    bs_bytes_u8(&text, 0);
    const basalt_status status = bs_bytes_check(&text, err);
    if (status) {
        bs_bytes_free(&text);
        return status;
    }
    *out_text = (char *)text.data;
    return BASALT_OK;
}

/* A zone that is no text but something built, as Python's timezone.utc: the instants are in UTC. */
static const char *built_zone(const struct records *records, const char *member)
{
    if (!records->info) return NULL;
    const size_t of_member = bs_pickle_get(records->info, bs_pickle_root(records->info), member);
    const size_t zone = bs_pickle_get(records->info, of_member, "tz");
    const bool built =
        zone != BS_PICKLE_NOTHING && bs_pickle_kind(records->info, zone) == BS_PICKLE_OPAQUE;
    return built ? "UTC" : NULL;
}

/* Instants of a column of times are shown in their zone. */
static basalt_status set_zone(struct bs_column_of *column, const char *zone, basalt_error *err)
{
    struct bs_bytes format = {0};
    if (!zone || !column->format || strncmp(column->format, "ts", 2) != 0) return BASALT_OK;
    bs_bytes_text(&format, "%.4s%s", column->format, zone);
    bs_bytes_u8(&format, 0);
    const basalt_status status = bs_bytes_check(&format, err);
    if (status) {
        bs_bytes_free(&format);
        return status;
    }
    bs_free(column->format);
    column->format = (char *)format.data;
    return BASALT_OK;
}

/* Texts that stand for a missing one. */
static basalt_status set_missing_text(struct bs_table *table, const struct bs_h5_object *object,
    struct bs_column_of *column, basalt_error *err)
{
    char *text = NULL;
    const size_t width = (size_t)column->value.element_bytes;
    if (column->value.kind != BS_VALUE_TEXT || column->value.type->kind != BS_H5_STRING) {
        return BASALT_OK;
    }
    basalt_status status = text_of(table->h5, object, "nan_rep", &text, err);
    const char *word = text ? text : "nan";
    if (!status && strlen(word) <= width) {
        column->missing = bs_alloc_zeroed(1, width + 1);
        if (!column->missing) status = bs_fail_memory(err, width);
        if (!status) memcpy(column->missing, word, strlen(word));
        column->missing_count = !status;
        column->nullable = true;
    }
    bs_free(text);
    return status;
}

/* The categories of codes are in a table of their own. Where they are not, the codes stay numbers. */
static basalt_status set_categories(struct bs_table *table, const struct records *records,
    const char *member, struct bs_column_of *column, basalt_error *err)
{
    struct bs_h5_object *categories = NULL;
    char path[512];
    bool ordered = false;
    if (!bs_value_is_integer(&column->value) || strchr(member, '/')) return BASALT_OK;
    snprintf(path, sizeof path, "meta/%.200s/meta/table", member);
    basalt_status status =
        bs_h5_object_open_from(table->h5, records->group, path, &categories, NULL);
    if (status) {
        return status == BASALT_NO_MEMORY ? bs_fail_memory(err, sizeof path) : BASALT_OK;
    }
    if (records->info) {
        const struct bs_pickle *info = records->info;
        const size_t of_member = bs_pickle_get(info, bs_pickle_root(info), member);
        const size_t value = bs_pickle_get(info, of_member, "ordered");
        ordered = bs_pickle_kind(info, value) == BS_PICKLE_BOOL && bs_pickle_integer(info, value);
    }
    return bs_column_set_dictionary_member(table, column, categories, "values", ordered, err);
}

static basalt_status add_part(struct bs_table *table, const struct records *records,
    const struct bs_h5_member *member, const char *name, const struct bs_h5_type *type,
    uint64_t offset, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const bool is_index = !strcmp(member->name, "index");
    bool is_category = false;
    struct bs_value value = {0};
    struct bs_column_of *column = NULL;
    char attribute[256], *zone = NULL;
    basalt_status status = bs_value_of(type, &options, &value, err);
    if (status) return status;
    status = bs_table_add_column(
        table, name, &value, records->block, member->offset + offset, &column, err);
    if (status) return status;
    snprintf(attribute, sizeof attribute, "%.200s_%s", member->name, is_index ? "kind" : "dtype");
    status = apply_word(table, column, records->object, attribute, err);
    if (!status) status = info_text(records, member->name, "tz", &zone, err);
    if (!status) status = set_zone(column, zone ? zone : built_zone(records, member->name), err);
    bs_free(zone);
    if (status || is_index) return status;
    snprintf(attribute, sizeof attribute, "%.200s_meta", member->name);
    status = bs_has_text(table->h5, records->object, attribute, "category", &is_category, err);
    if (status) return status;
    return is_category ? set_categories(table, records, member->name, column, err)
                       : set_missing_text(table, records->group, column, err);
}

/* The pickled names of what a member holds, one for each; none of them, if one is no plain name. */
static basalt_status member_names(const struct records *records, const struct bs_h5_member *member,
    uint32_t count, struct bs_names *names, basalt_error *err)
{
    struct bs_pickle *pickle = NULL;
    char attribute[256];
    uint32_t found = 0;
    bool plain = true;
    snprintf(attribute, sizeof attribute, "%.200s_kind", member->name);
    basalt_status status = pickle_of(records->object, attribute, &pickle, err);
    if (status || !pickle) return status;
    size_t at = bs_pickle_first(pickle, bs_pickle_root(pickle)), value;
    while (at && plain && found++ < count) {
        const size_t before = names->texts.count;
        at = bs_pickle_next(pickle, at, &value);
        plain = bs_pickle_label(pickle, value, &names->texts) && !names->texts.failed &&
            !memchr(names->texts.data + before, 0, names->texts.count - before);
        bs_bytes_u8(&names->texts, 0);
    }
    status = bs_bytes_check(&names->texts, err);
    names->count = plain && !at && found == count ? count : 0;
    bs_pickle_free(pickle);
    return status;
}

static basalt_status add_named(struct bs_table *table, struct records *records,
    const struct bs_h5_member *member, const struct bs_names *names, basalt_error *err)
{
    const struct bs_h5_type *type = member->type;
    const bool is_array = type->kind == BS_H5_ARRAY && type->rank == 1;
    const uint32_t count = is_array ? type->dims[0] : 1;
    const bool is_block = !strncmp(member->name, "values_block_", 13);
    const char *next = (const char *)names->texts.data;
    basalt_status status = BASALT_OK;
    records->unnamed |= is_block && !names->count;
    if (is_array) type = type->base;
    for (uint32_t i = 0; !status && i < count; i++) {
        char name[256];
        if (is_array && (is_block || count > 1)) {
            snprintf(name, sizeof name, "%.200s[%" PRIu32 "]", member->name, i);
        } else {
            snprintf(name, sizeof name, "%.200s", member->name);
        }
        status = add_part(table, records, member, names->count ? next : name, type,
            (uint64_t)i * type->size_bytes, err);
        if (names->count) next += strlen(next) + 1;
    }
    return status;
}

static basalt_status add_member(struct bs_table *table, struct records *records,
    const struct bs_h5_member *member, basalt_error *err)
{
    const struct bs_h5_type *type = member->type;
    const uint32_t count = type->kind == BS_H5_ARRAY && type->rank == 1 ? type->dims[0] : 1;
    struct bs_names names = {0};
    char *index_name = NULL;
    basalt_status status = BASALT_OK;
    if (!strcmp(member->name, "index")) {
        status = info_text(records, "index", "index_name", &index_name, err);
        if (index_name) {
            bs_bytes_put(&names.texts, index_name, strlen(index_name) + 1);
            names.count = count == 1;
        }
        bs_free(index_name);
        if (!status) status = bs_bytes_check(&names.texts, err);
    } else {
        status = member_names(records, member, count, &names, err);
    }
    if (!status) status = add_named(table, records, member, &names, err);
    bs_bytes_free(&names.texts);
    return status;
}

struct ranked { /* a column and where it should be */
    const char *name;
    size_t column, rank;
};

static int compare_named(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    const int order = strcmp(left->name, right->name);
    return order ? order : (left->column > right->column) - (left->column < right->column);
}

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->rank != right->rank) return left->rank < right->rank ? -1 : 1;
    return (left->column > right->column) - (left->column < right->column);
}

/* The first of a name that has no rank yet gets this one. */
static void give_rank(struct ranked *ranked, size_t count, const char *name, size_t rank)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(ranked[middle].name, name);
        if (order < 0 || (!order && ranked[middle].rank != SIZE_MAX)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < count && !strcmp(ranked[low].name, name)) ranked[low].rank = rank;
}

static void move_columns(struct bs_table *table, struct ranked *ranked, struct bs_column_of *spare)
{
    memcpy(spare, table->columns, table->column_count * sizeof *spare);
    for (size_t i = 0; i < table->column_count; i++) table->columns[i] = spare[ranked[i].column];
}

/* Columns in the order of the frame, whose blocks gather those of one type; the index comes first. */
static basalt_status order_columns(
    struct bs_table *table, const struct bs_pickle *axes, basalt_error *err)
{
    const size_t count = table->column_count;
    struct bs_bytes label = {0};
    size_t pair = BS_PICKLE_NOTHING, labels = BS_PICKLE_NOTHING, rank = 0, value;
    basalt_status status = BASALT_OK;
    size_t at = bs_pickle_first(axes, bs_pickle_root(axes)); /* [(axis, [label, …])] */
    if (at) (void)bs_pickle_next(axes, at, &pair);
    at = bs_pickle_first(axes, pair);
    if (at) at = bs_pickle_next(axes, at, &value);
    if (at) (void)bs_pickle_next(axes, at, &labels);
    struct ranked *ranked = bs_alloc_zeroed(count + 1, sizeof *ranked);
    struct bs_column_of *spare = bs_alloc_zeroed(count + 1, sizeof *spare);
    if (!ranked || !spare) {
        status = bs_fail_memory(err, count * sizeof *spare);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        ranked[i] = (struct ranked){table->columns[i].name, i, i ? SIZE_MAX : 0};
    }
    if (count > 1) qsort(ranked + 1, count - 1, sizeof *ranked, compare_named);
    for (at = bs_pickle_first(axes, labels); at;) {
        at = bs_pickle_next(axes, at, &value);
        label.count = 0;
        if (!bs_pickle_label(axes, value, &label)) continue;
        bs_bytes_u8(&label, 0);
        BS_TRY(bs_bytes_check(&label, err));
        give_rank(ranked + 1, count - 1, (const char *)label.data, ++rank);
    }
    qsort(ranked, count, sizeof *ranked, compare_ranked);
    move_columns(table, ranked, spare);
out:
    bs_bytes_free(&label);
    bs_free(ranked);
    bs_free(spare);
    return status;
}

static basalt_status add_records(struct bs_table *table, struct records *records, basalt_error *err)
{
    static const char not_read[] =
        "names of the columns of values_block_N: they are pickled, and no plain texts or numbers";
    const struct bs_h5_type *type = bs_h5_object_type(records->object);
    struct bs_pickle *axes = NULL;
    basalt_status status = BASALT_OK;
    for (size_t i = 0; !status && i < type->member_count; i++) {
        status = add_member(table, records, &type->members[i], err);
        if (status) bs_error_prefix(err, "member \"%.80s\"", type->members[i].name);
    }
    if (status) return status;
    if (records->unnamed) {
        bs_metadata_put(&table->metadata, "basalt.not_read", not_read, sizeof not_read - 1);
        return bs_bytes_check(&table->metadata, err);
    }
    if (!type->member_count || strcmp(type->members[0].name, "index") != 0) return BASALT_OK;
    status = pickle_of(records->group, "non_index_axes", &axes, err);
    if (!status && axes) status = order_columns(table, axes, err);
    bs_pickle_free(axes);
    return status;
}

static basalt_status open_records(struct bs_table *table, const struct bs_h5_object *group,
    struct bs_h5_object *object, basalt_error *err)
{
    struct records records = {.group = group, .object = object};
    if (!bs_h5_object_dataset(object) || bs_h5_object_type(object)->kind != BS_H5_COMPOUND) {
        bs_h5_object_close(object);
        return bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "its \"table\" is not a dataset of records");
    }
    table->kind = "pandas table";
    basalt_status status = bs_table_add_block(table, object, &records.block, err);
    if (!status) status = pickle_of(group, "info", &records.info, err);
    if (!status) status = add_records(table, &records, err);
    bs_pickle_free(records.info);
    return status;
}

/* ---- format "fixed" ---------------------------------------------------------------------------- */

static basalt_status apply_zone(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *object, basalt_error *err)
{
    char *zone = NULL;
    basalt_status status = text_of(table->h5, object, "tz", &zone, err);
    if (!status) status = set_zone(column, zone, err);
    bs_free(zone);
    return status;
}

/* An index has the name that the frame gives it, if that is a text. */
static basalt_status name_index(
    struct bs_column_of *column, const struct bs_h5_object *object, basalt_error *err)
{
    struct bs_pickle *pickle = NULL;
    struct bs_bytes name = {0};
    basalt_status status = pickle_of(object, "name", &pickle, err);
    if (status || !pickle) return status;
    const size_t root = bs_pickle_root(pickle);
    if (bs_pickle_kind(pickle, root) == BS_PICKLE_TEXT && bs_pickle_label(pickle, root, &name)) {
        bs_bytes_u8(&name, 0);
        status = bs_bytes_check(&name, err);
        if (!status) {
            bs_free(column->name);
            column->name = (char *)name.data;
            name.data = NULL;
        }
    }
    bs_bytes_free(&name);
    bs_pickle_free(pickle);
    return status;
}

static basalt_status add_axis(struct bs_table *table, const struct bs_h5_object *group,
    const char *link, const char *word, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_column_of *column = NULL;
    basalt_status status = bs_open_child(table->h5, group, link, &object, err);
    if (!status) {
        status = bs_table_add_dataset(
            table, strcmp(link, "values") ? "index" : "values", object, &column, err);
    }
    if (!status) status = apply_word(table, column, object, word, err);
    if (!status) status = apply_zone(table, column, object, err);
    if (!status && strcmp(link, "values") != 0) status = name_index(column, object, err);
    if (status) bs_error_prefix(err, "its %s", link);
    return status;
}

/* One level: a MultiIndex has datasets of other names. */
static basalt_status check_axes(
    struct bs_h5_file *h5, const struct bs_h5_object *group, basalt_error *err)
{
    static const char *const names[] = {"axis0_variety", "axis1_variety", "index_variety"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(names); i++) {
        bool is_multi = false;
        const basalt_status status = bs_has_text(h5, group, names[i], "multi", &is_multi, err);
        if (status) return status;
        if (is_multi) {
            return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "it is a pandas frame with an index of several levels");
        }
    }
    return BASALT_OK;
}

struct frame {
    const struct bs_h5_object *group;
    struct bs_names names;          /* of the columns, in order */
    struct bs_names items;          /* of the blocks, one after the other */
    uint64_t places[BS_FIELDS_MAX]; /* of each item: block << 32 | column in it */
    uint64_t blocks[BLOCKS_MAX];    /* block of the table, or UINT64_MAX: pickled */
};

/* Texts, or integers as text. */
static basalt_status read_labels(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *link, struct bs_names *names, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    uint8_t *raw = NULL;
    basalt_status status = bs_open_child(h5, group, link, &object, err);
    if (status) return status;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const bool integers = dataset && dataset->type->kind == BS_H5_INTEGER &&
        dataset->space.rank == 1 && dataset->type->size_bytes <= 8 &&
        dataset->type->bit_precision == dataset->type->size_bytes * 8;
    if (!integers) {
        status = bs_names_of_dataset(h5, object, names, err);
        goto out;
    }
    const uint64_t count = bs_dataset_rows(dataset);
    if (count > BS_FIELDS_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "there are more than %d columns",
            BS_FIELDS_MAX);
        goto out;
    }
    raw = bs_alloc((size_t)count * dataset->type->size_bytes);
    if (!raw) {
        status = bs_fail_memory(err, (size_t)count * dataset->type->size_bytes);
        goto out;
    }
    BS_TRY(bs_h5_read(bs_h5_object_file(object), object, 0, count, raw, err));
    for (uint64_t i = 0; i < count; i++) {
        char text[24];
        snprintf(text, sizeof text, "%" PRId64,
            bs_value_integer(dataset->type, raw + i * dataset->type->size_bytes));
        BS_TRY(bs_names_add(names, text, strlen(text), err));
    }
out:
    bs_free(raw);
    bs_h5_object_close(object);
    if (status) bs_error_prefix(err, "its %s", link);
    return status;
}

static basalt_status add_frame_block(
    struct bs_table *table, struct frame *frame, unsigned index, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    char link[32];
    size_t block;
    const uint64_t first = frame->items.count;
    snprintf(link, sizeof link, "block%u_items", index);
    basalt_status status = read_labels(table->h5, frame->group, link, &frame->items, err);
    snprintf(link, sizeof link, "block%u_values", index);
    if (!status) status = bs_open_child(table->h5, frame->group, link, &object, err);
    if (status) return status;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const uint64_t items = frame->items.count - first;
    frame->blocks[index] = UINT64_MAX;
    if (dataset && dataset->space.rank == 2 && dataset->space.dims[1] == items) {
        status = bs_table_add_block(table, object, &block, err);
        if (!status) frame->blocks[index] = block;
    } else if (dataset && dataset->type->kind == BS_H5_VARIABLE) {
        bs_h5_object_close(object);
    } else {
        bs_h5_object_close(object);
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "%s is not a matrix with a column for each of its names", link);
    }
    for (uint64_t i = 0; !status && i < items; i++) {
        frame->places[first + i] = (uint64_t)index << 32 | i;
    }
    return status;
}

/* Where the column `name` is; each item is used once. */
static bool find_item(const struct frame *frame, bool *used, const char *name, uint64_t *out_place)
{
    const char *at = (const char *)frame->items.texts.data;
    for (uint64_t i = 0; i < frame->items.count; i++, at += strlen(at) + 1) {
        if (used[i] || strcmp(at, name) != 0) continue;
        used[i] = true;
        *out_place = frame->places[i];
        return true;
    }
    return false;
}

static basalt_status add_frame_column(struct bs_table *table, const struct frame *frame,
    const char *name, uint64_t place, basalt_error *err)
{
    const struct bs_value_options options = {
        table->options.ascii_as_binary, table->options.without_dictionaries};
    const size_t block = (size_t)frame->blocks[place >> 32];
    const struct bs_h5_object *object = table->blocks[block].object;
    const struct bs_h5_type *type = bs_h5_object_type(object);
    struct bs_value value = {0};
    struct bs_column_of *column = NULL;
    basalt_status status = bs_value_of(type, &options, &value, err);
    if (status) return status;
    const uint64_t offset = (place & UINT32_MAX) * type->size_bytes;
    status = bs_table_add_column(table, name, &value, block, offset, &column, err);
    if (!status) status = apply_word(table, column, object, "value_type", err);
    return status ? status : apply_zone(table, column, object, err);
}

static basalt_status add_frame_columns(
    struct bs_table *table, struct frame *frame, basalt_error *err)
{
    struct bs_bytes left_out = {0};
    basalt_status status = BASALT_OK;
    const char *name = (const char *)frame->names.texts.data;
    bool *used = bs_alloc_zeroed((size_t)frame->items.count + 1, sizeof *used);
    if (!used) return bs_fail_memory(err, (size_t)frame->items.count);
    for (uint64_t i = 0; !status && i < frame->names.count; i++, name += strlen(name) + 1) {
        uint64_t place;
        if (find_item(frame, used, name, &place) && frame->blocks[place >> 32] != UINT64_MAX) {
            status = add_frame_column(table, frame, name, place, err);
            if (status) bs_error_prefix(err, "column \"%.80s\"", name);
            continue;
        }
        bs_bytes_u8(&left_out, left_out.count ? ',' : '[');
        bs_json_string(&left_out, name, strlen(name));
    }
    if (!status && left_out.count) {
        bs_bytes_u8(&left_out, ']');
        bs_metadata_put(&table->metadata, "basalt.left_out", left_out.data, left_out.count);
        status = bs_bytes_check(&left_out, err);
    }
    bs_bytes_free(&left_out);
    bs_free(used);
    return status ? status : bs_bytes_check(&table->metadata, err);
}

static basalt_status open_frame(
    struct bs_table *table, const struct bs_h5_object *group, basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(group, "nblocks");
    uint64_t count = 0;
    struct frame *frame = bs_alloc_zeroed(1, sizeof *frame);
    if (!frame) return bs_fail_memory(err, sizeof *frame);
    frame->group = group;
    table->kind = "pandas frame";
    basalt_status status = check_axes(table->h5, group, err);
    if (!status && attribute) status = bs_h5_attribute_u64(attribute, &count, err);
    if (!status && count > BLOCKS_MAX) {
        status = bs_fail(
            err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "it has more than %d blocks", BLOCKS_MAX);
    }
    if (!status) status = add_axis(table, group, "axis1", "kind", err);
    if (!status) status = read_labels(table->h5, group, "axis0", &frame->names, err);
    for (unsigned i = 0; !status && i < count; i++) {
        status = add_frame_block(table, frame, i, err);
        if (status) bs_error_prefix(err, "block %u", i);
    }
    if (!status) status = add_frame_columns(table, frame, err);
    bs_bytes_free(&frame->names.texts);
    bs_bytes_free(&frame->items.texts);
    bs_free(frame);
    return status;
}

static basalt_status open_series(
    struct bs_table *table, const struct bs_h5_object *group, basalt_error *err)
{
    table->kind = "pandas series";
    basalt_status status = check_axes(table->h5, group, err);
    if (!status) status = add_axis(table, group, "index", "kind", err);
    return status ? status : add_axis(table, group, "values", "value_type", err);
}

basalt_status bs_table_open_pandas(
    struct bs_table *table, const struct bs_h5_object *group, bool *out_found, basalt_error *err)
{
    struct bs_h5_object *records = NULL;
    char *type = NULL;
    *out_found = false;
    basalt_status status = text_of(table->h5, group, "pandas_type", &type, err);
    if (status || !type) return status;
    const size_t count = strlen(type);
    const bool is_table = count > 6 && !strcmp(type + count - 6, "_table");
    *out_found = is_table || !strcmp(type, "frame") || !strcmp(type, "series");
    if (is_table) {
        status = bs_open_child(table->h5, group, "table", &records, err);
        if (!status) status = open_records(table, group, records, err);
    } else if (*out_found) {
        status = type[0] == 'f' ? open_frame(table, group, err) : open_series(table, group, err);
    }
    bs_free(type);
    return status;
}
