/* scan_bind.c - what a query over files is: its parameters, its files, its columns. */
#include "scan.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

/* What a chunk of a small file may take, if the budget has it: how much that is the user said to DuckDB. */
#define CHUNK_BYTES_MAX ((uint64_t)1 << 30)
#define CACHE_BYTES_FREE ((uint64_t)12 << 20) /* basalt_hdf5_options, cache_bytes */
#define CACHE_TO_FILE 3

static void part_clear(struct scan_part *part)
{
    for (size_t i = 0; part->columns && i < part->column_count; i++) free(part->columns[i].name);
    free(part->columns);
    labels_free(&part->major);
    labels_free(&part->minor);
    if (part->free_context) part->free_context(part->context);
    if (part->schema.release) part->schema.release(&part->schema);
    basalt_hdf5_table_close(&part->table);
    basalt_hdf5_close(&part->file);
    free(part->path);
}

static void count_bytes(struct scan_counters *counters, basalt_hdf5 *file)
{
    basalt_hdf5_stats stats;
    if (!file) return;
    basalt_hdf5_get_stats(file, &stats);
    counter_add(&counters->bytes_read, stats.bytes_read);
    counter_add(&counters->bytes_decoded, stats.bytes_decoded);
}

static void maps_free(struct scan_parts *parts)
{
    const size_t count = parts->maps ? parts->count * parts->column_count : 0;
    for (size_t i = 0; i < count; i++) enum_map_free(&parts->maps[i]);
    free(parts->maps);
    parts->maps = NULL;
}

void parts_free(struct scan_parts *parts)
{
    if (!parts) return;
    for (size_t i = 0; i < parts->count; i++) {
        count_bytes(parts->counters, parts->parts[i].file);
        part_clear(&parts->parts[i]);
    }
    counters_release(parts->counters);
    maps_free(parts);
    free(parts->parts);
    free(parts->column_of);
    free(parts);
}

void request_free(struct scan_request *request)
{
    if (!request) return;
    files_clear(&request->files);
    free(request->path);
    free(request->argument);
    where_free(request->where);
    counters_release(request->counters);
    free(request);
}

void plan_free(void *data)
{
    struct scan_plan *plan = data;
    if (!plan) return;
    parts_free(atomic_load(&plan->opened));
    for (size_t i = 0; i < plan->column_count; i++) {
        free(plan->columns[i].name);
        enum_values_free(&plan->columns[i].values);
    }
    free(plan->columns);
    request_free(plan->request);
    free(plan);
}

/* ---- one file ------------------------------------------------------------------------------- */

/* Gives the column its name, or one with a number that no column before it has. */
static bool set_name(struct part_column *column, const char *name, struct name_set *met)
{
    bool is_new = false;
    if (!name || !*name) name = "column";
    char *made = name_set_has(met, name) ? name_numbered(met, name) : copy_text(name);
    free(column->name);
    column->name = made;
    return made && name_set_add(met, made, &is_new);
}

bool name_columns(struct scan_part *part, struct failure *failure)
{
    struct name_set met = {0};
    bool fine = true;
    part->column_count = (size_t)part->schema.n_children;
    part->columns = calloc(part->column_count + 1, sizeof *part->columns);
    if (!part->columns) return fail_memory(failure);
    for (size_t i = 0; fine && i < part->column_count; i++) {
        part->columns[i].table = i;
        fine = set_name(&part->columns[i], part->schema.children[i]->name, &met);
    }
    name_set_free(&met);
    return fine ? true : fail_memory(failure);
}

bool rename_columns(
    struct scan_part *part, size_t first, const struct labels *labels, struct failure *failure)
{
    struct name_set met = {0};
    bool fine = true;
    for (size_t i = 0; fine && i < labels->count && first + i < part->column_count; i++) {
        fine = set_name(&part->columns[first + i], labels->texts[i], &met);
    }
    name_set_free(&met);
    return fine ? true : fail_memory(failure);
}

bool open_table(struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    basalt_hdf5_scan_options options;
    basalt_hdf5_table_info info;
    basalt_error error = {0};
    basalt_hdf5_scan_options_init(&options, sizeof options);
    options.layout = request->layout;
    options.missing_as_null = true;
    options.units = request->units;
    options.bounds = request->counters->bounds;
    if (basalt_hdf5_table_open(part->file, request->path, &options, &part->table, &error) ||
        basalt_hdf5_table_schema(part->table, &part->schema, &error)) {
        return fail_file(failure, part->path, &error);
    }
    basalt_hdf5_table_get_info(part->table, &info);
    part->rows = info.rows;
    part->source = &table_source;
    return name_columns(part, failure);
}

/* A quarter of the budget is for the chunks that files keep decoded: each an equal share, and no more than
 * the library gives a file of its size. */
static uint64_t cache_share(const struct scan_request *request, const char *path)
{
    const uint64_t share = request->budget_bytes / 4 / MAX_OF(request->files.count, 1);
    struct stat found;
    if (stat(path, &found) || found.st_size < 0) return share;
    return MIN_OF(share, CACHE_BYTES_FREE + CACHE_TO_FILE * (uint64_t)found.st_size);
}

static bool open_part(struct scan_part *part, const struct scan_request *request, const char *path,
    struct failure *failure)
{
    basalt_error error = {0};
    part->explode = 1;
    part->path = copy_text(path);
    if (!part->path) return fail_memory(failure);
    basalt_hdf5_options options;
    basalt_hdf5_options_init(&options, sizeof options);
    options.cache_bytes = MIN_OF(options.cache_bytes, cache_share(request, path));
    options.chunk_memory_bytes = MIN_OF(request->budget_bytes / 2, CHUNK_BYTES_MAX);
    if (basalt_hdf5_open_with(path, &options, &part->file, &error)) {
        return fail_file(failure, path, &error);
    }
    return request->open(part, request, failure);
}

/* ---- columns of all files ------------------------------------------------------------------- */

static const struct ArrowSchema *schema_of(const struct scan_part *part, size_t column)
{
    const struct ArrowSchema *schema = part->schema.children[part->columns[column].table];
    return part->exploded ? schema->children[0] : schema;
}

/* The values of a column's dictionary: those of no rows. */
static bool read_values(
    const struct scan_part *part, size_t column, struct ArrowArray *out, struct failure *failure)
{
    void *reader = NULL;
    basalt_error error = {0};
    memset(out, 0, sizeof *out);
    if (!part->source->open(part, &part->columns[column].table, 1, &reader, failure)) return false;
    const basalt_status status = part->source->read(reader, 0, 0, out, &error);
    part->source->close(reader);
    return status ? fail_file(failure, part->path, &error) : true;
}

/* The texts that the part's column has codes of; `array` is what read_values gave, if it did. */
static struct enum_source enum_source_of(
    const struct scan_part *part, size_t column, const struct ArrowArray *array)
{
    struct enum_source source = {.labels = part->columns[column].labels};
    if (source.labels) return source;
    source.schema = schema_of(part, column)->dictionary;
    source.array = array->children[0]->dictionary;
    return source;
}

bool part_column_is_read(const struct part_column *column)
{
    return column->kind == PART_VALUES || column->kind == PART_INDEX;
}

/* What the part's column would be as a column of the result; *out_array is its dictionary's, to be
 * released, if it may be an ENUM. `out` is empty before. */
static bool describe(const struct scan_plan *plan, const struct scan_part *part, size_t column,
    struct scan_column *out, struct ArrowArray *out_array, struct failure *failure)
{
    const struct part_column *of = &part->columns[column];
    memset(out_array, 0, sizeof *out_array);
    out->by_label = of->labels != NULL;
    if (!of->labels && of->kind != PART_VALUES) {
        snprintf(out->type, sizeof out->type, "BIGINT");
        out->is_number = true;
        return true;
    }
    const struct ArrowSchema *schema = of->labels ? NULL : schema_of(part, column);
    if (!schema) {
        snprintf(out->type, sizeof out->type, "VARCHAR");
    } else {
        if (plan->request->decode_times) out->epoch = epoch_of(schema);
        if (out->epoch.known) {
            snprintf(out->type, sizeof out->type, "TIMESTAMP");
            return true;
        }
        if (!type_text(schema, out->type, sizeof out->type, failure)) return false;
        if (!schema->dictionary) return true;
        if (!read_values(part, column, out_array, failure)) return false;
        if (out_array->n_children != 1 || !out_array->children[0]->dictionary) return true;
    }
    const struct enum_source source = enum_source_of(part, column, out_array);
    out->as_enum = enum_source_fits(&source);
    return true;
}

static void column_clear(struct scan_column *column)
{
    free(column->name);
    enum_values_free(&column->values);
    memset(column, 0, sizeof *column);
}

static struct scan_column *push_column(struct scan_plan *plan)
{
    if (plan->column_count == plan->column_capacity) {
        const size_t capacity = MAX_OF(plan->column_capacity * 2, 16);
        struct scan_column *larger = realloc(plan->columns, capacity * sizeof *larger);
        if (!larger) return NULL;
        plan->columns = larger;
        plan->column_capacity = capacity;
    }
    struct scan_column *column = &plan->columns[plan->column_count++];
    memset(column, 0, sizeof *column);
    return column;
}

/* Names of a part's columns, sorted, to find them by. */
struct name_index {
    size_t count;
    struct name_entry {
        const char *name;
        size_t column;
    } entries[];
};

static int compare_entries(const void *a, const void *b)
{
    return strcasecmp(((const struct name_entry *)a)->name, ((const struct name_entry *)b)->name);
}

static struct name_index *index_names(const struct scan_part *part)
{
    struct name_index *index =
        malloc(sizeof *index + (part->column_count + 1) * sizeof index->entries[0]);
    if (!index) return NULL;
    index->count = 0;
    for (size_t i = 0; i < part->column_count; i++) {
        if (!part->columns[i].name) continue;
        index->entries[index->count++] = (struct name_entry){part->columns[i].name, i};
    }
    qsort(index->entries, index->count, sizeof index->entries[0], compare_entries);
    return index;
}

static size_t find_name(const struct name_index *index, const char *name)
{
    const struct name_entry key = {name, 0};
    const struct name_entry *found =
        bsearch(&key, index->entries, index->count, sizeof key, compare_entries);
    return found ? found->column : SIZE_MAX;
}

static bool same_epoch_of(const struct epoch *a, const struct epoch *b)
{
    return a->known == b->known &&
        (!a->known || (a->unit_us == b->unit_us && a->start_us == b->start_us));
}

/* `found` is what column `index` of the result is in the part. A type that differs is a failure; values
 * that can't be in one ENUM with the others make the column one of texts. */
static bool agree(struct scan_column *column, const struct scan_column *found,
    const struct scan_part *first, const struct scan_part *part, struct failure *failure)
{
    const bool same_epoch = same_epoch_of(&found->epoch, &column->epoch);
    if (strcmp(found->type, column->type) != 0 || !same_epoch) {
        return fail(failure, "column \"%s\" is %.200s in %s, but %.200s%s in %s", column->name,
            column->type, first->path, found->type, same_epoch ? "" : " with other units",
            part->path);
    }
    column->as_enum &= found->as_enum && column->by_label == found->by_label;
    return true;
}

static bool join_values(struct scan_column *column, const struct scan_part *part, size_t own,
    const struct ArrowArray *array, struct enum_map *out_map, struct failure *failure)
{
    const struct enum_source source = enum_source_of(part, own, array);
    const enum enum_join joined = enum_join(&column->values, &source, true, out_map);
    if (joined == ENUM_TOO_MANY) column->as_enum = false;
    return joined == ENUM_NO_MEMORY ? fail_memory(failure) : true;
}

/* ---- which columns -------------------------------------------------------------------------- */

static bool add_named(struct scan_plan *plan, enum scan_column_kind kind, const char *name,
    const char *type, struct failure *failure)
{
    struct scan_column *column = push_column(plan);
    if (!column) return fail_memory(failure);
    column->kind = kind;
    column->name = copy_text(name);
    snprintf(column->type, sizeof column->type, "%s", type);
    return column->name ? true : fail_memory(failure);
}

static bool add_columns_of(
    struct scan_plan *plan, const struct scan_part *part, struct failure *failure)
{
    struct name_index *known = NULL;
    struct scan_part so_far = {.column_count = plan->column_count};
    bool fine = true;
    so_far.columns = calloc(plan->column_count + 1, sizeof *so_far.columns);
    if (!so_far.columns) return fail_memory(failure);
    for (size_t i = 0; i < plan->column_count; i++) so_far.columns[i].name = plan->columns[i].name;
    known = index_names(&so_far);
    if (!known) fine = fail_memory(failure);
    for (size_t i = 0; fine && i < part->column_count; i++) {
        const char *name = part->columns[i].name;
        if (!name || find_name(known, name) != SIZE_MAX) continue;
        fine = add_named(plan, SCAN_COLUMN, name, "", failure);
    }
    free(known);
    free(so_far.columns);
    return fine;
}

/* Which of the part's columns the columns of the result are. */
static bool place_columns(const struct scan_plan *plan, const struct scan_part *part,
    size_t *column_of, struct failure *failure)
{
    struct name_index *index = index_names(part);
    if (!index) return fail_memory(failure);
    for (size_t i = 0; i < plan->column_count; i++) {
        const struct scan_column *column = &plan->columns[i];
        column_of[i] = column->kind == SCAN_COLUMN ? find_name(index, column->name) : SIZE_MAX;
    }
    free(index);
    return true;
}

static bool place_all(
    const struct scan_plan *plan, struct scan_parts *parts, struct failure *failure)
{
    const size_t places = parts->count * plan->column_count;
    maps_free(parts);
    free(parts->column_of);
    parts->column_count = plan->column_count;
    parts->column_of = calloc(places + 1, sizeof *parts->column_of);
    parts->maps = calloc(places + 1, sizeof *parts->maps);
    if (!parts->column_of || !parts->maps) return fail_memory(failure);
    for (size_t i = 0; i < parts->count; i++) {
        size_t *own = parts->column_of + i * plan->column_count;
        if (!place_columns(plan, &parts->parts[i], own, failure)) return false;
    }
    return true;
}

/* Without union_schema only the columns that all files have are left. */
static void drop_missing(struct scan_plan *plan, const struct scan_parts *parts)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->column_count; i++) {
        bool everywhere = true;
        for (size_t k = 0; k < parts->count; k++) {
            everywhere &= parts->column_of[k * parts->column_count + i] != SIZE_MAX;
        }
        if (everywhere || plan->columns[i].kind != SCAN_COLUMN || plan->request->union_schema) {
            plan->columns[kept++] = plan->columns[i];
        } else {
            column_clear(&plan->columns[i]);
        }
    }
    plan->column_count = kept;
}

/* Column `index` of the result as part `at` has it; `first` is the part that had it first. */
static bool settle_part(struct scan_plan *plan, const struct scan_parts *parts, size_t index,
    size_t at, size_t first, struct failure *failure)
{
    struct scan_column *column = &plan->columns[index];
    const struct scan_part *part = &parts->parts[at];
    const size_t place = at * parts->column_count + index;
    const size_t own = parts->column_of[place];
    struct scan_column found = {0};
    struct ArrowArray array;
    bool fine = describe(plan, part, own, &found, &array, failure);
    if (!fine) {
        char why[sizeof failure->message];
        memcpy(why, failure->message, sizeof why);
        (void)fail(failure, "%s: column \"%s\": %.700s", part->path, column->name, why);
    } else if (at == first) {
        found.kind = column->kind;
        found.name = column->name;
        *column = found;
    } else {
        fine = agree(column, &found, &parts->parts[first], part, failure);
    }
    if (fine && column->as_enum) {
        fine = join_values(column, part, own, &array, &parts->maps[place], failure);
    }
    if (array.release) array.release(&array);
    return fine;
}

static bool settle_types(
    struct scan_plan *plan, const struct scan_parts *parts, struct failure *failure)
{
    for (size_t i = 0; i < plan->column_count; i++) {
        struct scan_column *column = &plan->columns[i];
        size_t first = SIZE_MAX;
        for (size_t k = 0; column->kind == SCAN_COLUMN && k < parts->count; k++) {
            if (parts->column_of[k * parts->column_count + i] == SIZE_MAX) continue;
            if (first == SIZE_MAX) first = k;
            if (!settle_part(plan, parts, i, k, first, failure)) return false;
        }
        column->as_enum &= column->values.count > 0;
    }
    return true;
}

static bool plan_columns(struct scan_plan *plan, struct scan_parts *parts, struct failure *failure)
{
    const struct scan_request *request = plan->request;
    if (request->row_name && !add_named(plan, SCAN_ROW, request->row_name, "BIGINT", failure)) {
        return false;
    }
    for (size_t i = 0; i < parts->count; i++) {
        if (i && !request->union_schema) break;
        if (!add_columns_of(plan, &parts->parts[i], failure)) return false;
    }
    if (!place_all(plan, parts, failure)) return false;
    drop_missing(plan, parts);
    if (request->row_number && !add_named(plan, SCAN_ROW, "file_row_number", "BIGINT", failure)) {
        return false;
    }
    if (request->filename && !add_named(plan, SCAN_FILE, "filename", "VARCHAR", failure)) {
        return false;
    }
    return place_all(plan, parts, failure) && settle_types(plan, parts, failure);
}

/* Whether column `index` of the result can still be read out of the part at `at`: its type is what it was,
 * and its values are among those of the ENUM. */
static bool fits_again(struct scan_plan *plan, const struct scan_parts *parts, size_t index,
    size_t at, bool *out_fits, struct failure *failure)
{
    struct scan_column *column = &plan->columns[index];
    const struct scan_part *part = &parts->parts[at];
    const size_t place = at * parts->column_count + index;
    const size_t own = parts->column_of[place];
    struct scan_column found = {0};
    struct ArrowArray array;
    *out_fits = own != SIZE_MAX || plan->request->union_schema;
    if (own == SIZE_MAX) return true;
    bool fine = describe(plan, part, own, &found, &array, failure);
    *out_fits = fine && !strcmp(found.type, column->type) && found.by_label == column->by_label &&
        same_epoch_of(&found.epoch, &column->epoch);
    if (fine && *out_fits && column->as_enum) {
        const struct enum_source source = enum_source_of(part, own, &array);
        const enum enum_join joined = found.as_enum
            ? enum_join(&column->values, &source, false, &parts->maps[place])
            : ENUM_UNKNOWN;
        *out_fits = joined == ENUM_JOINED;
        if (joined == ENUM_NO_MEMORY) fine = fail_memory(failure);
    }
    if (array.release) array.release(&array);
    return fine;
}

/* A statement that was prepared before is run again: its files must be what they were. */
static bool check_columns(struct scan_plan *plan, struct scan_parts *parts, struct failure *failure)
{
    if (!place_all(plan, parts, failure)) return false;
    for (size_t i = 0; i < parts->count * plan->column_count; i++) {
        const size_t index = i % plan->column_count, at = i / plan->column_count;
        bool fits = true;
        if (plan->columns[index].kind != SCAN_COLUMN) continue;
        if (!fits_again(plan, parts, index, at, &fits, failure)) return false;
        if (fits) continue;
        return fail(failure,
            "%s: column \"%s\" is not what it was when the statement was prepared: prepare it "
            "again",
            parts->parts[at].path, plan->columns[index].name);
    }
    return true;
}

bool parts_open(struct scan_plan *plan, struct scan_parts **out_parts, struct failure *failure)
{
    const struct file_list *files = &plan->request->files;
    bool fine = true;
    struct scan_parts *parts = calloc(1, sizeof *parts);
    *out_parts = NULL;
    if (parts) {
        parts->counters = counters_hold(plan->request->counters);
        parts->parts = calloc(files->count, sizeof *parts->parts);
    }
    if (!parts || !parts->parts) {
        parts_free(parts);
        return fail_memory(failure);
    }
    for (size_t i = 0; fine && i < files->count; i++) {
        parts->count++;
        fine = open_part(&parts->parts[i], plan->request, files->paths[i], failure);
    }
    if (fine) {
        fine = plan->columns ? check_columns(plan, parts, failure)
                             : plan_columns(plan, parts, failure);
    }
    if (!fine) {
        parts_free(parts);
        return false;
    }
    *out_parts = parts;
    return true;
}

/* ---- the window of rows --------------------------------------------------------------------- */

static uint64_t clamp(int64_t place, uint64_t rows)
{
    if (place >= 0) return MIN_OF((uint64_t)place, rows);
    const uint64_t back = (uint64_t) - (place + 1) + 1;
    return back > rows ? 0 : rows - back;
}

void part_window(const struct scan_request *request, const struct scan_part *part,
    uint64_t *out_first, uint64_t *out_count)
{
    const uint64_t first = clamp(request->start, part->rows);
    const uint64_t end = clamp(request->stop, part->rows);
    *out_first = first;
    *out_count = end > first ? (end - first + request->step - 1) / request->step : 0;
}

/* ---- binding -------------------------------------------------------------------------------- */

static duckdb_logical_type column_type(const struct scan_plan *plan, const struct scan_parts *parts,
    size_t index, struct failure *failure)
{
    const struct scan_column *column = &plan->columns[index];
    size_t part = 0;
    if (column->kind == SCAN_ROW || column->is_number) {
        return duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    }
    if (column->kind == SCAN_FILE) return duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    if (column->epoch.known) return duckdb_create_logical_type(DUCKDB_TYPE_TIMESTAMP);
    while (parts->column_of[part * parts->column_count + index] == SIZE_MAX) part++;
    const size_t own = parts->column_of[part * parts->column_count + index];
    if (column->as_enum) return enum_type(&column->values);
    if (column->by_label) return duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    return type_make(schema_of(&parts->parts[part], own), failure);
}

static bool tell_columns(duckdb_bind_info info, struct scan_plan *plan,
    const struct scan_parts *parts, struct failure *failure)
{
    for (size_t i = 0; i < plan->column_count; i++) {
        duckdb_logical_type type = column_type(plan, parts, i, failure);
        if (!type) return failure->message[0] ? false : fail_memory(failure);
        duckdb_bind_add_result_column(info, plan->columns[i].name, type);
        duckdb_destroy_logical_type(&type);
    }
    if (plan->column_count) return true;
    return fail(failure,
        "%s: the files have no column in common (schema_mode := 'union' gives all)",
        plan->request->files.paths[0]);
}

void scan_bind(duckdb_bind_info info, struct scan_request *request)
{
    struct failure failure = {""};
    struct scan_parts *parts = NULL;
    struct scan_plan *plan = calloc(1, sizeof *plan);
    if (!plan) {
        request_free(request);
        duckdb_bind_set_error(info, "there is not enough memory");
        return;
    }
    plan->request = request;
    if (!parts_open(plan, &parts, &failure) || !tell_columns(info, plan, parts, &failure) ||
        !where_settle(request->where, plan, parts, &failure)) {
        duckdb_bind_set_error(info, failure.message);
        parts_free(parts);
        plan_free(plan);
        return;
    }
    for (size_t i = 0; i < parts->count; i++) {
        uint64_t first, count;
        part_window(request, &parts->parts[i], &first, &count);
        plan->rows += count * parts->parts[i].explode;
    }
    atomic_store(&plan->opened, parts);
    duckdb_bind_set_cardinality(info, plan->rows, !request->where);
    duckdb_bind_set_bind_data(info, plan, plan_free);
}
