/* where.c - where_column, min, max: rows whose values are in ranges; others are not read if need not be.
 *
 * DuckDB's stable C API does not tell a table function of the filters behind it, so the user does. A bound
 * is made into a number of the unit in which DuckDB has the column (days, microseconds …), rounded into the
 * range: a bound of 0.5 lets no 0 in, one that the type does not reach lets in all or nothing. Then, since
 * files may store a column in units of their own, into one of what each file has. The library does the rest
 * (basalt/hdf5.h, rows by their values). */
#include "scan.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

enum value_class { FLAG, NUMBER_WHOLE, NUMBER_SINGLE, NUMBER_DOUBLE, TIME_OF_DAY, INSTANT };

struct where_column {
    char *name;
    duckdb_value min, max; /* as they were given, until the column's type is known; or NULL */
    size_t column;         /* of the result */
    enum value_class kind;
    int64_t unit_us, units_each_us; /* of an instant: one of them is 1 */
    basalt_hdf5_bound low, high;    /* in that unit */
};

struct where {
    size_t count;
    struct where_column *columns;
};

void where_free(struct where *where)
{
    if (!where) return;
    for (size_t i = 0; where->columns && i < where->count; i++) {
        free(where->columns[i].name);
        if (where->columns[i].min) duckdb_destroy_value(&where->columns[i].min);
        if (where->columns[i].max) duckdb_destroy_value(&where->columns[i].max);
    }
    free(where->columns);
    free(where);
}

/* ---- what was given ------------------------------------------------------------------------- */

static duckdb_type type_of(duckdb_value value)
{
    return duckdb_get_type_id(duckdb_get_value_type(value));
}

struct given {
    duckdb_value column, min, max; /* or NULL */
};

static void given_free(struct given *given)
{
    if (given->column) duckdb_destroy_value(&given->column);
    if (given->min) duckdb_destroy_value(&given->min);
    if (given->max) duckdb_destroy_value(&given->max);
}

static bool take_name(duckdb_value value, char **out_name, struct failure *failure)
{
    *out_name = NULL;
    if (duckdb_is_null_value(value) || type_of(value) != DUCKDB_TYPE_VARCHAR) {
        return fail(failure, "where_column is the name of a column, or a list of names");
    }
    char *text = duckdb_get_varchar(value);
    *out_name = text ? copy_text(text) : NULL;
    duckdb_free(text);
    return *out_name ? true : fail_memory(failure);
}

/* Bounds of a list of columns: NULL, or a list of as many. */
static bool check_list(duckdb_value bounds, const char *name, idx_t count, struct failure *failure)
{
    if (!bounds || duckdb_is_null_value(bounds)) return true;
    if (type_of(bounds) != DUCKDB_TYPE_LIST) {
        return fail(failure, "where_column is a list, so %s must be one of as many bounds", name);
    }
    if (duckdb_get_list_size(bounds) == count) return true;
    return fail(failure, "where_column names %u columns, %s has %u bounds", (unsigned)count, name,
        (unsigned)duckdb_get_list_size(bounds));
}

static duckdb_value bound_in(duckdb_value bounds, idx_t index)
{
    return bounds && !duckdb_is_null_value(bounds) ? duckdb_get_list_child(bounds, index) : NULL;
}

static bool take_list(struct where *where, const struct given *given, struct failure *failure)
{
    const idx_t count = duckdb_get_list_size(given->column);
    if (!count) return fail(failure, "where_column names no column");
    if (!check_list(given->min, "min", count, failure)) return false;
    if (!check_list(given->max, "max", count, failure)) return false;
    where->columns = calloc(count, sizeof *where->columns);
    if (!where->columns) return fail_memory(failure);
    for (idx_t i = 0; i < count; i++) {
        struct where_column *column = &where->columns[where->count++];
        duckdb_value name = duckdb_get_list_child(given->column, i);
        const bool fine = take_name(name, &column->name, failure);
        duckdb_destroy_value(&name);
        if (!fine) return false;
        column->min = bound_in(given->min, i);
        column->max = bound_in(given->max, i);
    }
    return true;
}

static bool take_one(struct where *where, struct given *given, struct failure *failure)
{
    where->columns = calloc(1, sizeof *where->columns);
    if (!where->columns) return fail_memory(failure);
    where->count = 1;
    where->columns[0].min = given->min;
    where->columns[0].max = given->max;
    given->min = given->max = NULL;
    return take_name(given->column, &where->columns[0].name, failure);
}

bool where_take(duckdb_bind_info info, struct where **out_where, struct failure *failure)
{
    struct given given = {.column = duckdb_bind_get_named_parameter(info, "where_column"),
        .min = duckdb_bind_get_named_parameter(info, "min"),
        .max = duckdb_bind_get_named_parameter(info, "max")};
    struct where *where = NULL;
    bool fine = true;
    *out_where = NULL;
    if (!given.column && (given.min || given.max)) {
        fine = fail(failure, "min and max are bounds of a column: name it by where_column");
    } else if (given.column && !given.min && !given.max) {
        fine = fail(failure, "where_column needs a bound: min, max or both");
    } else if (given.column) {
        where = calloc(1, sizeof *where);
        fine = where ? true : fail_memory(failure);
        if (fine && type_of(given.column) == DUCKDB_TYPE_LIST) {
            fine = take_list(where, &given, failure);
        } else if (fine) {
            fine = take_one(where, &given, failure);
        }
    }
    given_free(&given);
    if (fine) {
        *out_where = where;
    } else {
        where_free(where);
    }
    return fine;
}

/* ---- bounds of numbers ---------------------------------------------------------------------- */

static basalt_hdf5_bound float_bound(double number)
{
    return (basalt_hdf5_bound){BASALT_HDF5_BOUND_FLOAT, {.as_float = number}};
}

static basalt_hdf5_bound signed_bound(int64_t number)
{
    return (basalt_hdf5_bound){BASALT_HDF5_BOUND_SIGNED, {.as_signed = number}};
}

/* A whole number of this sign; what 64 bits do not hold is beyond all. */
static basalt_hdf5_bound whole_bound(bool negative, uint64_t size, bool too_large)
{
    const uint64_t largest = negative ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;
    if (too_large || size > largest) return float_bound(negative ? -INFINITY : (double)INFINITY);
    if (negative) return signed_bound(size ? -(int64_t)(size - 1) - 1 : 0);
    return (basalt_hdf5_bound){BASALT_HDF5_BOUND_UNSIGNED, {.as_unsigned = size}};
}

/* "-12.50" to a whole number, up or down; false: the text is of another form. */
static bool parse_whole(const char *text, bool up, basalt_hdf5_bound *out)
{
    const bool negative = *text == '-';
    bool too_large = false, fraction = false;
    uint64_t size = 0;
    const char *at = text + (*text == '-' || *text == '+');
    if (*at < '0' || *at > '9') return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        too_large |= __builtin_mul_overflow(size, 10, &size);
        too_large |= __builtin_add_overflow(size, (uint64_t)(*at - '0'), &size);
    }
    if (*at == '.') at++;
    for (; *at >= '0' && *at <= '9'; at++) fraction |= *at != '0';
    if (*at) return false;
    if (fraction && up != negative) too_large |= __builtin_add_overflow(size, 1, &size);
    *out = whole_bound(negative, size, too_large);
    return true;
}

static bool parse_float(const char *text, basalt_hdf5_bound *out)
{
    char *end = NULL;
    *out = float_bound(strtod(text, &end));
    return end != text && !*end;
}

static bool parse_flag(const char *text, basalt_hdf5_bound *out)
{
    const bool is_true = !strcasecmp(text, "true");
    *out = signed_bound(is_true);
    return is_true || !strcasecmp(text, "false");
}

static bool is_number(duckdb_type type)
{
    switch (type) {
    case DUCKDB_TYPE_BOOLEAN:
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_DECIMAL: return true;
    default: return false;
    }
}

/* As DuckDB casts it; what a float does not reach is rounded into the range. */
static double single_of(double number, bool up)
{
    const float rounded = (float)number;
    const bool outside = isinf(rounded) && !isinf(number) && (up ? rounded < 0 : rounded > 0);
    return (double)(outside ? nextafterf(rounded, 0) : rounded);
}

static bool number_bound(
    const struct where_column *column, duckdb_value value, bool up, basalt_hdf5_bound *out)
{
    const duckdb_type type = type_of(value);
    const bool whole = column->kind == NUMBER_WHOLE || column->kind == FLAG;
    if (type == DUCKDB_TYPE_BOOLEAN) {
        *out = signed_bound(duckdb_get_bool(value));
    } else if (is_number(type) &&
        (!whole || type == DUCKDB_TYPE_FLOAT || type == DUCKDB_TYPE_DOUBLE)) {
        *out = float_bound(duckdb_get_double(value));
    } else if (is_number(type) || type == DUCKDB_TYPE_VARCHAR) { /* by its digits: all of them */
        char *text = duckdb_get_varchar(value);
        const bool fine = text &&
            ((column->kind == FLAG && parse_flag(text, out)) ||
                (whole && parse_whole(text, up, out)) || parse_float(text, out));
        duckdb_free(text);
        if (!fine) return false;
    } else {
        return false;
    }
    if (column->kind == NUMBER_SINGLE && out->kind == BASALT_HDF5_BOUND_FLOAT) {
        out->value.as_float = single_of(out->value.as_float, up);
    }
    return true;
}

/* ---- bounds of times ------------------------------------------------------------------------ */

/* value * multiply / divide, rounded into the range. */
static int64_t scaled(int64_t value, int64_t multiply, int64_t divide, bool up)
{
    int64_t large = 0;
    if (multiply != 1) {
        if (!__builtin_mul_overflow(value, multiply, &large)) return large;
        return value < 0 ? INT64_MIN : INT64_MAX;
    }
    const int64_t rest = value % divide, cut = value / divide;
    if (up) return cut + (rest > 0);
    return cut - (rest < 0);
}

static bool is_instant(duckdb_type type)
{
    switch (type) {
    case DUCKDB_TYPE_DATE:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
    case DUCKDB_TYPE_VARCHAR: return true;
    default: return false;
    }
}

static bool instant_bound(
    const struct where_column *column, duckdb_value value, bool up, basalt_hdf5_bound *out)
{
    const duckdb_type type = type_of(value);
    const bool fine_unit = column->units_each_us > 1;
    if (!is_instant(type)) return false;
    if (type == DUCKDB_TYPE_TIMESTAMP_NS || (fine_unit && type == DUCKDB_TYPE_VARCHAR)) {
        const int64_t ns = duckdb_get_timestamp_ns(value).nanos;
        if (ns != INT64_MIN) {
            *out = signed_bound(
                fine_unit ? ns : scaled(scaled(ns, 1, 1000, up), 1, column->unit_us, up));
            return true;
        }
    }
    const int64_t us = type == DUCKDB_TYPE_TIMESTAMP_TZ ? duckdb_get_timestamp_tz(value).micros
                                                        : duckdb_get_timestamp(value).micros;
    if (us == INT64_MIN) return false;
    *out = signed_bound(scaled(us, column->units_each_us, column->unit_us, up));
    return true;
}

static bool time_bound(duckdb_value value, basalt_hdf5_bound *out)
{
    const duckdb_type type = type_of(value);
    if (type != DUCKDB_TYPE_TIME && type != DUCKDB_TYPE_VARCHAR) return false;
    const int64_t us = duckdb_get_time(value).micros;
    *out = signed_bound(us);
    return us != INT64_MIN;
}

/* ---- columns -------------------------------------------------------------------------------- */

/* False: values of this type (as type_text says it) have no ranges here. */
static bool classify(struct where_column *column, const char *type)
{
    static const struct {
        const char *type;
        enum value_class kind;
        int64_t unit_us, units_each_us;
    } known[] = {{"BOOLEAN", FLAG, 1, 1}, {"TINYINT", NUMBER_WHOLE, 1, 1},
        {"SMALLINT", NUMBER_WHOLE, 1, 1}, {"INTEGER", NUMBER_WHOLE, 1, 1},
        {"BIGINT", NUMBER_WHOLE, 1, 1}, {"UTINYINT", NUMBER_WHOLE, 1, 1},
        {"USMALLINT", NUMBER_WHOLE, 1, 1}, {"UINTEGER", NUMBER_WHOLE, 1, 1},
        {"UBIGINT", NUMBER_WHOLE, 1, 1}, {"FLOAT", NUMBER_SINGLE, 1, 1},
        {"DOUBLE", NUMBER_DOUBLE, 1, 1}, {"TIME", TIME_OF_DAY, 1, 1},
        {"DATE", INSTANT, 86400000000, 1}, {"TIMESTAMP_S", INSTANT, 1000000, 1},
        {"TIMESTAMP_MS", INSTANT, 1000, 1}, {"TIMESTAMP", INSTANT, 1, 1},
        {"TIMESTAMP WITH TIME ZONE", INSTANT, 1, 1}, {"TIMESTAMP_NS", INSTANT, 1, 1000}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (strcmp(known[i].type, type) != 0) continue;
        column->kind = known[i].kind;
        column->unit_us = known[i].unit_us;
        column->units_each_us = known[i].units_each_us;
        return true;
    }
    return false;
}

static bool settle_bound(const struct where_column *column, const char *type, duckdb_value value,
    bool up, basalt_hdf5_bound *out, struct failure *failure)
{
    bool fine;
    *out = (basalt_hdf5_bound){0};
    if (!value || duckdb_is_null_value(value)) return true;
    if (column->kind == INSTANT) {
        fine = instant_bound(column, value, up, out);
    } else if (column->kind == TIME_OF_DAY) {
        fine = time_bound(value, out);
    } else {
        fine = number_bound(column, value, up, out);
    }
    if (fine) return true;
    char *text = duckdb_get_varchar(value);
    (void)fail(failure, "%s is '%.60s', but column \"%.80s\" is %s", up ? "min" : "max",
        text ? text : "?", column->name, type);
    duckdb_free(text);
    return false;
}

static bool refuse(const struct where_column *column, const char *what, struct failure *failure)
{
    return fail(failure,
        "where_column \"%.80s\" is %.120s: it takes numbers, BOOLEAN, DATE, TIME and TIMESTAMP as "
        "they are stored; use WHERE",
        column->name, what);
}

/* Whether the part has the column as values of a table, which the library can compare. */
static bool check_part(const struct where_column *column, const struct scan_parts *parts,
    size_t index, struct failure *failure)
{
    const struct scan_part *part = &parts->parts[index];
    const size_t own = parts->column_of[index * parts->column_count + column->column];
    if (own == SIZE_MAX) return true;
    const struct part_column *of = &part->columns[own];
    if (part->exploded) return refuse(column, "of a dense matrix in long form", failure);
    if (part->source != &table_source) {
        return refuse(column, "of a sparse matrix in wide form", failure);
    }
    if (!part_column_is_read(of) || of->labels) {
        return refuse(column, "a name of rows or columns", failure);
    }
    if (part->schema.children[of->table]->dictionary) return refuse(column, "categorical", failure);
    return true;
}

static bool settle_column(struct where_column *column, const struct scan_plan *plan,
    const struct scan_parts *parts, struct failure *failure)
{
    const struct scan_column *of = NULL;
    for (size_t i = 0; i < plan->column_count; i++) {
        if (strcasecmp(plan->columns[i].name, column->name) != 0) continue;
        of = &plan->columns[i];
        column->column = i;
        break;
    }
    if (!of) {
        return fail(failure, "where_column: there is no column \"%.80s\"%s", column->name,
            parts->count > 1 ? " that the files give" : "");
    }
    if (of->kind == SCAN_ROW) {
        return fail(failure, "where_column \"%.80s\" is the number of the row: use start and stop",
            column->name);
    }
    if (of->kind == SCAN_FILE) {
        return fail(failure, "where_column \"%.80s\" is the name of the file: name the files",
            column->name);
    }
    for (size_t i = 0; i < parts->count; i++) {
        if (!check_part(column, parts, i, failure)) return false;
    }
    if (!classify(column, of->type)) return refuse(column, of->type, failure);
    return settle_bound(column, of->type, column->min, true, &column->low, failure) &&
        settle_bound(column, of->type, column->max, false, &column->high, failure);
}

bool where_settle(struct where *where, const struct scan_plan *plan, const struct scan_parts *parts,
    struct failure *failure)
{
    for (size_t i = 0; where && i < where->count; i++) {
        if (!settle_column(&where->columns[i], plan, parts, failure)) return false;
    }
    return true;
}

/* ---- ranges of a file ----------------------------------------------------------------------- */

/* netCDF's times rise with the numbers that they are made of. So the smallest number that gives a time of
 * at least `instant_us` is found by halving: of doubles, numbered in their order, or of integers. */
static double double_of_place(int64_t place)
{
    const uint64_t bits = place >= 0 ? (uint64_t)place : (uint64_t)~place | (uint64_t)1 << 63;
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

#define PLACE_OF_INFINITY INT64_C(0x7FF0000000000000)

static int64_t first_place(const struct epoch *epoch, bool is_float, int64_t instant_us, bool after)
{
    int64_t low = is_float ? -PLACE_OF_INFINITY - 1 : INT64_MIN;
    int64_t high = is_float ? PLACE_OF_INFINITY : INT64_MAX;
    while (low < high) {
        const int64_t middle = (int64_t)((uint64_t)low + ((uint64_t)high - (uint64_t)low) / 2);
        const int64_t at =
            epoch_instant(epoch, is_float ? double_of_place(middle) : (double)middle);
        if (after ? at > instant_us : at >= instant_us) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void epoch_range(const struct epoch *epoch, char format, basalt_hdf5_range *range)
{
    const bool is_float = format == 'f' || format == 'g';
    const bool has_min = range->min.kind != BASALT_HDF5_BOUND_NONE;
    const bool has_max = range->max.kind != BASALT_HDF5_BOUND_NONE;
    const int64_t min_us = range->min.value.as_signed, max_us = range->max.value.as_signed;
    if (is_float) range->max = float_bound((double)INFINITY); /* NaN is null */
    if (has_min) {
        const int64_t place = first_place(epoch, is_float, min_us, false);
        range->min = is_float ? float_bound(double_of_place(place)) : signed_bound(place);
    }
    if (has_max && max_us < INT64_MAX) {
        const int64_t place = first_place(epoch, is_float, max_us, true) - 1;
        range->max = is_float ? float_bound(double_of_place(place)) : signed_bound(place);
    }
}

/* DuckDB's unit to the file's. The smallest number is no time. */
static void time_range(const struct ArrowSchema *schema, basalt_hdf5_range *range)
{
    const char *format = schema->format;
    const bool same = !strcmp(format, "tdD") || (format[1] == 's' && !format[4]);
    const struct clock clock = same ? (struct clock){8, 1, 1} : clock_of(format);
    int64_t low = INT64_MIN + 1;
    if (range->min.kind != BASALT_HDF5_BOUND_NONE) {
        const int64_t min = range->min.value.as_signed;
        low = clock.divide > 1 ? scaled(min, clock.divide, 1, true)
                               : scaled(min, 1, clock.multiply, true);
    }
    range->min = signed_bound(MAX_OF(low, INT64_MIN + 1));
    if (range->max.kind == BASALT_HDF5_BOUND_NONE) return;
    int64_t high = range->max.value.as_signed;
    if (clock.divide == 1) {
        high = scaled(high, 1, clock.multiply, false);
    } else { /* all that is cut down to it */
        high = high == INT64_MAX ? high : scaled(high + 1, clock.divide, 1, true);
        high -= high > INT64_MIN && high < INT64_MAX;
    }
    range->max = signed_bound(high);
}

bool where_has_rows(const struct where *where, const struct scan_parts *parts, size_t part)
{
    for (size_t i = 0; where && i < where->count; i++) {
        const size_t column = where->columns[i].column;
        if (parts->column_of[part * parts->column_count + column] == SIZE_MAX) return false;
    }
    return true;
}

bool where_set(const struct where *where, const struct scan_plan *plan,
    const struct scan_parts *parts, size_t part, void *reader, struct failure *failure)
{
    const struct scan_part *of = &parts->parts[part];
    basalt_error error = {0};
    for (size_t i = 0; i < where->count; i++) { /* a prepared statement may meet another file */
        if (!check_part(&where->columns[i], parts, part, failure)) return false;
    }
    basalt_hdf5_range *ranges = calloc(where->count, sizeof *ranges);
    if (!ranges) return fail_memory(failure);
    for (size_t i = 0; i < where->count; i++) {
        const struct where_column *column = &where->columns[i];
        const size_t own = parts->column_of[part * parts->column_count + column->column];
        const struct ArrowSchema *schema = of->schema.children[of->columns[own].table];
        const struct epoch *epoch = &plan->columns[column->column].epoch;
        ranges[i] = (basalt_hdf5_range){of->columns[own].table, column->low, column->high};
        if (epoch->known) {
            epoch_range(epoch, schema->format[0], &ranges[i]);
        } else if (schema->format[0] == 't') {
            time_range(schema, &ranges[i]);
        }
    }
    const basalt_status status =
        basalt_hdf5_cursor_set_ranges(reader, ranges, where->count, &error);
    free(ranges);
    return status ? fail_file(failure, of->path, &error) : true;
}
