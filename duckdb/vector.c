/* vector.c - types and values of Arrow become DuckDB's.
 *
 *   bool, integers, float, double      the same; half: FLOAT
 *   utf8                               VARCHAR;   binary, fixed-size binary: BLOB
 *   date32, date64                     DATE
 *   time32, time64                     TIME, to the microsecond
 *   timestamp                          TIMESTAMP_S, _MS, TIMESTAMP, TIMESTAMP_NS; with a zone TIMESTAMPTZ,
 *                                      to the microsecond. The smallest number (pandas' NaT) is null
 *   duration                           INTERVAL, to the microsecond
 *   list                               LIST
 *   fixed-size list                    ARRAY, one in the other for several dimensions; LIST if a row has
 *                                      more items than an ARRAY may have
 *   struct                             STRUCT
 *   dictionary                         ENUM where its values allow it, else their type
 *
 * Values are copied once, a vector (2,048 rows) at a time, so they are still in the cache. */
#include "extension.h"

#include <stdlib.h>

#define ARRAY_ITEMS_MAX 100000 /* DuckDB's limit */
#define SHAPE_RANK_MAX 32
#define NO_TIME INT64_MIN

/* ---- what a format means -------------------------------------------------------------------- */

static bool is_list(const struct ArrowSchema *schema)
{
    return !strcmp(schema->format, "+l");
}

static uint64_t fixed_items(const struct ArrowSchema *schema) /* 0: it is no fixed-size list */
{
    return strncmp(schema->format, "+w:", 3) ? 0 : strtoull(schema->format + 3, NULL, 10);
}

/* The plain types, by the first letters of Arrow's format. */
static duckdb_type plain_type(const char *format)
{
    static const struct {
        const char *format;
        duckdb_type type;
    } known[] = {
        {"b", DUCKDB_TYPE_BOOLEAN},
        {"c", DUCKDB_TYPE_TINYINT},
        {"C", DUCKDB_TYPE_UTINYINT},
        {"s", DUCKDB_TYPE_SMALLINT},
        {"S", DUCKDB_TYPE_USMALLINT},
        {"i", DUCKDB_TYPE_INTEGER},
        {"I", DUCKDB_TYPE_UINTEGER},
        {"l", DUCKDB_TYPE_BIGINT},
        {"L", DUCKDB_TYPE_UBIGINT},
        {"e", DUCKDB_TYPE_FLOAT},
        {"f", DUCKDB_TYPE_FLOAT},
        {"g", DUCKDB_TYPE_DOUBLE},
        {"u", DUCKDB_TYPE_VARCHAR},
        {"U", DUCKDB_TYPE_VARCHAR},
        {"z", DUCKDB_TYPE_BLOB},
        {"Z", DUCKDB_TYPE_BLOB},
        {"tdD", DUCKDB_TYPE_DATE},
        {"tdm", DUCKDB_TYPE_DATE},
        {"tts", DUCKDB_TYPE_TIME},
        {"ttm", DUCKDB_TYPE_TIME},
        {"ttu", DUCKDB_TYPE_TIME},
        {"ttn", DUCKDB_TYPE_TIME},
        {"tss:", DUCKDB_TYPE_TIMESTAMP_S},
        {"tsm:", DUCKDB_TYPE_TIMESTAMP_MS},
        {"tsu:", DUCKDB_TYPE_TIMESTAMP},
        {"tsn:", DUCKDB_TYPE_TIMESTAMP_NS},
        {"tDs", DUCKDB_TYPE_INTERVAL},
        {"tDm", DUCKDB_TYPE_INTERVAL},
        {"tDu", DUCKDB_TYPE_INTERVAL},
        {"tDn", DUCKDB_TYPE_INTERVAL},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (!strcmp(known[i].format, format)) return known[i].type;
    }
    if (!strncmp(format, "ts", 2)) return DUCKDB_TYPE_TIMESTAMP_TZ;
    return !strncmp(format, "w:", 2) ? DUCKDB_TYPE_BLOB : DUCKDB_TYPE_INVALID;
}

static const char *plain_name(duckdb_type type)
{
    switch (type) {
    case DUCKDB_TYPE_BOOLEAN: return "BOOLEAN";
    case DUCKDB_TYPE_TINYINT: return "TINYINT";
    case DUCKDB_TYPE_UTINYINT: return "UTINYINT";
    case DUCKDB_TYPE_SMALLINT: return "SMALLINT";
    case DUCKDB_TYPE_USMALLINT: return "USMALLINT";
    case DUCKDB_TYPE_INTEGER: return "INTEGER";
    case DUCKDB_TYPE_UINTEGER: return "UINTEGER";
    case DUCKDB_TYPE_BIGINT: return "BIGINT";
    case DUCKDB_TYPE_UBIGINT: return "UBIGINT";
    case DUCKDB_TYPE_FLOAT: return "FLOAT";
    case DUCKDB_TYPE_DOUBLE: return "DOUBLE";
    case DUCKDB_TYPE_VARCHAR: return "VARCHAR";
    case DUCKDB_TYPE_BLOB: return "BLOB";
    case DUCKDB_TYPE_DATE: return "DATE";
    case DUCKDB_TYPE_TIME: return "TIME";
    case DUCKDB_TYPE_TIMESTAMP_S: return "TIMESTAMP_S";
    case DUCKDB_TYPE_TIMESTAMP_MS: return "TIMESTAMP_MS";
    case DUCKDB_TYPE_TIMESTAMP: return "TIMESTAMP";
    case DUCKDB_TYPE_TIMESTAMP_NS: return "TIMESTAMP_NS";
    case DUCKDB_TYPE_TIMESTAMP_TZ: return "TIMESTAMP WITH TIME ZONE";
    case DUCKDB_TYPE_INTERVAL: return "INTERVAL";
    default: return "UNKNOWN";
    }
}

/* ---- the shape of a fixed-size list --------------------------------------------------------- */

struct shape {
    unsigned rank;
    uint64_t dims[SHAPE_RANK_MAX]; /* their product is the list's items */
};

static int32_t metadata_number(const char **at)
{
    int32_t number;
    memcpy(&number, *at, sizeof number);
    *at += sizeof number;
    return number;
}

const char *metadata_find(const char *metadata, const char *key, size_t *out_bytes)
{
    const char *at = metadata;
    if (!at) return NULL;
    for (int32_t left = metadata_number(&at); left > 0; left--) {
        const size_t key_bytes = (size_t)metadata_number(&at);
        const bool same = key_bytes == strlen(key) && !memcmp(at, key, key_bytes);
        at += key_bytes;
        *out_bytes = (size_t)metadata_number(&at);
        if (same) return at;
        at += *out_bytes;
    }
    return NULL;
}

/* The numbers in "[2,3]", or in {"shape":[2,3]}, if they are those of so many items. */
static bool parse_shape(const char *text, size_t bytes, uint64_t items, struct shape *out)
{
    uint64_t all = 1;
    out->rank = 0;
    if (!text) return false;
    const char *at = memchr(text, '[', bytes);
    const char *const end = text + bytes;
    while (at && ++at < end && out->rank < SHAPE_RANK_MAX) {
        uint64_t number = 0;
        while (at < end && *at >= '0' && *at <= '9') number = number * 10 + (uint64_t)(*at++ - '0');
        if (!number || number > items) return false;
        out->dims[out->rank++] = number;
        all *= number;
        if (at >= end || *at != ',') break;
    }
    return out->rank > 0 && all == items;
}

static struct shape shape_of(const struct ArrowSchema *schema)
{
    const uint64_t items = fixed_items(schema);
    struct shape shape = {0};
    size_t bytes = 0;
    const char *text = metadata_find(schema->metadata, "ARROW:extension:metadata", &bytes);
    if (!text) text = metadata_find(schema->metadata, "basalt.shape", &bytes);
    if (!parse_shape(text, text ? bytes : 0, items, &shape)) {
        shape.rank = 1;
        shape.dims[0] = items;
    }
    return shape;
}

static bool is_array(const struct ArrowSchema *schema)
{
    const uint64_t items = fixed_items(schema);
    return items > 0 && items <= ARRAY_ITEMS_MAX;
}

/* ---- types ---------------------------------------------------------------------------------- */

struct text {
    char *at, *end;
};

static void put(struct text *text, const char *word)
{
    const size_t room = (size_t)(text->end - text->at), count = strlen(word);
    const size_t fits = MIN_OF(count, room - 1);
    memcpy(text->at, word, fits);
    text->at += fits;
    *text->at = 0;
}

static bool put_type(struct text *text, const struct ArrowSchema *schema, struct failure *failure);

static bool put_struct(struct text *text, const struct ArrowSchema *schema, struct failure *failure)
{
    put(text, "STRUCT(");
    for (int64_t i = 0; i < schema->n_children; i++) {
        put(text, i ? ", " : "");
        put(text, schema->children[i]->name);
        put(text, " ");
        if (!put_type(text, schema->children[i], failure)) return false;
    }
    put(text, ")");
    return true;
}

static bool put_type(struct text *text, const struct ArrowSchema *schema, struct failure *failure)
{
    const duckdb_type plain = plain_type(schema->format);
    if (schema->dictionary) return put_type(text, schema->dictionary, failure);
    if (!strcmp(schema->format, "+s")) return put_struct(text, schema, failure);
    if (is_list(schema) || fixed_items(schema)) {
        const struct shape shape = shape_of(schema);
        if (!put_type(text, schema->children[0], failure)) return false;
        for (unsigned i = shape.rank; is_array(schema) && i > 0; i--) {
            char dim[32];
            snprintf(dim, sizeof dim, "[%" PRIu64 "]", shape.dims[i - 1]);
            put(text, dim);
        }
        if (!is_array(schema)) put(text, "[]");
        return true;
    }
    if (plain == DUCKDB_TYPE_INVALID) {
        return fail(failure, "DuckDB has no type for Arrow's \"%.40s\"", schema->format);
    }
    put(text, plain_name(plain));
    return true;
}

bool type_text(
    const struct ArrowSchema *schema, char *out, size_t out_bytes, struct failure *failure)
{
    struct text text = {out, out + out_bytes};
    *out = 0;
    return put_type(&text, schema, failure);
}

static duckdb_logical_type make_struct(const struct ArrowSchema *schema, struct failure *failure)
{
    const size_t count = (size_t)schema->n_children;
    duckdb_logical_type made = NULL;
    duckdb_logical_type *types = calloc(count + 1, sizeof *types);
    const char **names = calloc(count + 1, sizeof *names);
    size_t i = 0;
    if (!count) (void)fail(failure, "DuckDB has no STRUCT without members");
    if (!types || !names) (void)fail_memory(failure);
    for (; types && names && i < count; i++) {
        names[i] = schema->children[i]->name;
        types[i] = type_make(schema->children[i], failure);
        if (!types[i]) break;
    }
    if (count && i == count) made = duckdb_create_struct_type(types, names, count);
    for (size_t k = 0; types && k < i; k++) duckdb_destroy_logical_type(&types[k]);
    free(types);
    free(names);
    return made;
}

static duckdb_logical_type make_list(const struct ArrowSchema *schema, struct failure *failure)
{
    const struct shape shape = shape_of(schema);
    duckdb_logical_type type = type_make(schema->children[0], failure);
    if (!type) return NULL;
    for (unsigned i = is_array(schema) ? shape.rank : 1; i > 0; i--) {
        duckdb_logical_type outer = is_array(schema)
            ? duckdb_create_array_type(type, shape.dims[i - 1])
            : duckdb_create_list_type(type);
        duckdb_destroy_logical_type(&type);
        type = outer;
    }
    return type;
}

const char *array_text(const struct ArrowSchema *schema, const struct ArrowArray *array,
    uint64_t row, size_t *out_bytes)
{
    uint64_t start, end;
    if (schema->format[0] == 'U' || schema->format[0] == 'Z') {
        start = (uint64_t)((const int64_t *)array->buffers[1])[row];
        end = (uint64_t)((const int64_t *)array->buffers[1])[row + 1];
    } else {
        start = (uint64_t)((const int32_t *)array->buffers[1])[row];
        end = (uint64_t)((const int32_t *)array->buffers[1])[row + 1];
    }
    *out_bytes = (size_t)(end - start);
    return end > start ? (const char *)array->buffers[2] + start : "";
}

duckdb_logical_type type_make(const struct ArrowSchema *schema, struct failure *failure)
{
    char text[256];
    if (schema->dictionary) return type_make(schema->dictionary, failure);
    if (!strcmp(schema->format, "+s")) return make_struct(schema, failure);
    if (is_list(schema) || fixed_items(schema)) return make_list(schema, failure);
    if (!type_text(schema, text, sizeof text, failure)) return NULL;
    return duckdb_create_logical_type(plain_type(schema->format));
}

/* ---- values --------------------------------------------------------------------------------- */

bool array_is_valid(const struct ArrowArray *array, uint64_t row)
{
    const uint8_t *map = array->n_buffers > 0 ? array->buffers[0] : NULL;
    return !map || (map[row >> 3] >> (row & 7) & 1);
}

struct target {
    duckdb_vector vector;
    idx_t at;
    uint64_t *validity; /* once there is a null */
};

static void set_null(struct target *target, idx_t row)
{
    if (!target->validity) {
        duckdb_vector_ensure_validity_writable(target->vector);
        target->validity = duckdb_vector_get_validity(target->vector);
    }
    duckdb_validity_set_row_invalid(target->validity, target->at + row);
}

static void write_nulls(const struct ArrowArray *array, uint64_t first, uint64_t step, idx_t count,
    struct target *target)
{
    if (array->n_buffers < 1 || !array->buffers[0]) return;
    for (idx_t i = 0; i < count; i++) {
        if (!array_is_valid(array, first + i * step)) set_null(target, i);
    }
}

static void copy_apart(
    uint8_t *out, const uint8_t *values, size_t width, uint64_t step, idx_t count)
{
    if (step == 1) {
        memcpy(out, values, count * width);
        return;
    }
    for (idx_t i = 0; i < count; i++) memcpy(out + i * width, values + i * step * width, width);
}

static void write_bools(const struct ArrowArray *array, uint64_t first, uint64_t step, idx_t count,
    struct target *target)
{
    bool *out = (bool *)duckdb_vector_get_data(target->vector) + target->at;
    const uint8_t *bits = array->buffers[1];
    for (idx_t i = 0; i < count; i++) {
        const uint64_t row = first + i * step;
        out[i] = bits[row >> 3] >> (row & 7) & 1;
    }
}

static float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 31, mantissa = half & 1023u, bits;
    if (exponent == 31) {
        bits = sign | 0x7F800000u | mantissa << 13;
    } else if (exponent || !mantissa) {
        bits = exponent ? sign | (exponent + 112) << 23 | mantissa << 13 : sign;
    } else {
        exponent = 113;
        while (!(mantissa & 1024u)) {
            mantissa <<= 1;
            exponent--;
        }
        bits = sign | exponent << 23 | (mantissa & 1023u) << 13;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void write_halves(const struct ArrowArray *array, uint64_t first, uint64_t step, idx_t count,
    struct target *target)
{
    float *out = (float *)duckdb_vector_get_data(target->vector) + target->at;
    const uint16_t *values = array->buffers[1];
    for (idx_t i = 0; i < count; i++) out[i] = float_of_half(values[first + i * step]);
}

static void write_texts(
    const struct values *values, uint64_t first, uint64_t step, idx_t count, struct target *target)
{
    for (idx_t i = 0; i < count; i++) {
        size_t bytes = 0;
        const uint64_t row = first + i * step;
        if (!array_is_valid(values->array, row)) continue;
        const char *text = array_text(values->schema, values->array, row, &bytes);
        duckdb_vector_assign_string_element_len(target->vector, target->at + i, text, bytes);
    }
}

static void write_fixed_bytes(
    const struct values *values, uint64_t first, uint64_t step, idx_t count, struct target *target)
{
    const size_t width = (size_t)strtoull(values->schema->format + 2, NULL, 10);
    const char *bytes = values->array->buffers[1];
    for (idx_t i = 0; i < count; i++) {
        duckdb_vector_assign_string_element_len(
            target->vector, target->at + i, bytes + (first + i * step) * width, width);
    }
}

/* ---- times ---------------------------------------------------------------------------------- */

/* value * multiply / divide, rounded down; false if that is too large. */
static bool scale(int64_t value, int64_t multiply, int64_t divide, int64_t *out)
{
    if (multiply != 1) return !__builtin_mul_overflow(value, multiply, out);
    *out = value / divide - (value % divide < 0);
    return true;
}

static int64_t integer_at(const struct ArrowArray *array, size_t width, uint64_t row)
{
    if (width == 4) return ((const int32_t *)array->buffers[1])[row];
    return ((const int64_t *)array->buffers[1])[row];
}

struct clock clock_of(const char *format)
{
    const char unit = format[2];
    struct clock clock = {8, 1, 1};
    if (format[1] == 'd') {
        clock.divide = 86400000;
        return clock;
    }
    if (format[1] == 't' && (unit == 's' || unit == 'm')) clock.width = 4;
    if (unit == 's') clock.multiply = 1000000;
    if (unit == 'm') clock.multiply = 1000;
    if (unit == 'n') clock.divide = 1000;
    return clock;
}

static bool write_times(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    struct target *target, struct failure *failure)
{
    const char *format = values->schema->format;
    const duckdb_type type = plain_type(format);
    const struct clock clock = clock_of(format);
    void *out = duckdb_vector_get_data(target->vector);
    for (idx_t i = 0; i < count; i++) {
        const uint64_t row = first + i * step;
        const int64_t value = integer_at(values->array, clock.width, row);
        int64_t scaled = 0;
        if (!array_is_valid(values->array, row)) continue;
        if (value == NO_TIME) {
            set_null(target, i);
        } else if (!scale(value, clock.multiply, clock.divide, &scaled)) {
            return fail(failure, "the time %" PRId64 " is beyond what DuckDB's %s holds", value,
                plain_name(type));
        }
        if (type == DUCKDB_TYPE_DATE) {
            ((int32_t *)out)[target->at + i] = (int32_t)scaled;
        } else if (type == DUCKDB_TYPE_INTERVAL) {
            ((duckdb_interval *)out)[target->at + i] = (duckdb_interval){0, 0, scaled};
        } else {
            ((int64_t *)out)[target->at + i] = scaled;
        }
    }
    return true;
}

/* Numbers that DuckDB counts in the same unit. */
static void write_instants(const struct ArrowArray *array, uint64_t first, uint64_t step,
    idx_t count, struct target *target)
{
    int64_t *out = (int64_t *)duckdb_vector_get_data(target->vector) + target->at;
    copy_apart((uint8_t *)out, (const uint8_t *)array->buffers[1] + first * 8, 8, step, count);
    for (idx_t i = 0; i < count; i++) {
        if (out[i] == NO_TIME) set_null(target, i);
    }
}

/* ---- lists, structs, dictionaries ----------------------------------------------------------- */

static bool write_array(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    struct target *target, struct failure *failure)
{
    const struct shape shape = shape_of(values->schema);
    const uint64_t items = fixed_items(values->schema);
    const struct values inner = {
        .schema = values->schema->children[0], .array = values->array->children[0]};
    duckdb_vector child = target->vector;
    for (unsigned i = 0; i < shape.rank; i++) child = duckdb_array_vector_get_child(child);
    if (step == 1) {
        return vector_write(
            &inner, first * items, 1, count * items, child, target->at * items, failure);
    }
    for (idx_t i = 0; i < count; i++) {
        const uint64_t from = (first + i * step) * items;
        if (!vector_write(&inner, from, 1, items, child, (target->at + i) * items, failure)) {
            return false;
        }
    }
    return true;
}

/* Where the items of a row are, in a list of any kind. */
static void items_of(
    const struct values *values, uint64_t row, uint64_t *out_first, uint64_t *out_count)
{
    const uint64_t items = fixed_items(values->schema);
    *out_first = row * items;
    *out_count = items;
    if (items) return;
    const int32_t *offsets = values->array->buffers[1];
    *out_first = (uint64_t)offsets[row];
    *out_count = (uint64_t)(offsets[row + 1] - offsets[row]);
}

static bool write_list(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    struct target *target, struct failure *failure)
{
    const struct values inner = {
        .schema = values->schema->children[0], .array = values->array->children[0]};
    idx_t size = duckdb_list_vector_get_size(target->vector);
    uint64_t from = 0, items = 0;
    for (idx_t i = 0; i < count; i++) {
        items_of(values, first + i * step, &from, &items);
        if (!array_is_valid(values->array, first + i * step)) items = 0;
        if (duckdb_list_vector_reserve(target->vector, size + items) == DuckDBError ||
            duckdb_list_vector_set_size(target->vector, size + items) == DuckDBError) {
            return fail_memory(failure);
        }
        duckdb_list_entry *entries = duckdb_vector_get_data(target->vector);
        entries[target->at + i] = (duckdb_list_entry){size, items};
        duckdb_vector child = duckdb_list_vector_get_child(target->vector);
        if (items && !vector_write(&inner, from, 1, items, child, size, failure)) return false;
        size += items;
    }
    return true;
}

static bool write_struct(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    struct target *target, struct failure *failure)
{
    for (int64_t i = 0; i < values->schema->n_children; i++) {
        const struct values inner = {
            .schema = values->schema->children[i], .array = values->array->children[i]};
        duckdb_vector child = duckdb_struct_vector_get_child(target->vector, (idx_t)i);
        if (!vector_write(&inner, first, step, count, child, target->at, failure)) return false;
    }
    return true;
}

uint64_t array_code(const struct ArrowSchema *schema, const struct ArrowArray *array, uint64_t row)
{
    const void *codes = array->buffers[1];
    switch (schema->format[0]) {
    case 'c':
    case 'C': return ((const uint8_t *)codes)[row];
    case 's':
    case 'S': return ((const uint16_t *)codes)[row];
    case 'i':
    case 'I': return ((const uint32_t *)codes)[row];
    default: return ((const uint64_t *)codes)[row];
    }
}

void enum_write(void *out, idx_t row, size_t enum_count, uint64_t code)
{
    if (enum_count <= 255) {
        ((uint8_t *)out)[row] = (uint8_t)code;
    } else if (enum_count <= 65535) {
        ((uint16_t *)out)[row] = (uint16_t)code;
    } else {
        ((uint32_t *)out)[row] = (uint32_t)code;
    }
}

static bool write_codes(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    struct target *target, struct failure *failure)
{
    void *out = duckdb_vector_get_data(target->vector);
    const uint64_t members = (uint64_t)values->array->dictionary->length;
    for (idx_t i = 0; i < count; i++) {
        const uint64_t row = first + i * step;
        uint64_t code = 0; /* of a null, whatever it is */
        if (array_is_valid(values->array, row)) {
            code = array_code(values->schema, values->array, row);
            if (code >= members) {
                return fail(failure,
                    "a row has the code %" PRIu64 ", but there are %" PRIu64 " categories", code,
                    members);
            }
            if (values->enum_codes) code = values->enum_codes[code];
        }
        enum_write(out, target->at + i, values->enum_count, code);
    }
    return true;
}

static bool write_named(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    struct target *target, struct failure *failure)
{
    const struct values inner = {
        .schema = values->schema->dictionary, .array = values->array->dictionary};
    if (values->enum_count) return write_codes(values, first, step, count, target, failure);
    for (idx_t i = 0; i < count; i++) {
        const uint64_t row = first + i * step;
        if (!array_is_valid(values->array, row)) continue;
        const uint64_t code = array_code(values->schema, values->array, row);
        if (!vector_write(&inner, code, 1, 1, target->vector, target->at + i, failure))
            return false;
    }
    return true;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static size_t plain_bytes(duckdb_type type)
{
    switch (type) {
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_UTINYINT: return 1;
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_USMALLINT: return 2;
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DATE: return 4;
    default: return 8;
    }
}

static bool write_plain(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    struct target *target, struct failure *failure)
{
    const char *format = values->schema->format;
    const duckdb_type type = plain_type(format);
    const size_t width = plain_bytes(type);
    switch (type) {
    case DUCKDB_TYPE_BOOLEAN: write_bools(values->array, first, step, count, target); return true;
    case DUCKDB_TYPE_VARCHAR: write_texts(values, first, step, count, target); return true;
    case DUCKDB_TYPE_BLOB:
        if (format[0] == 'w') {
            write_fixed_bytes(values, first, step, count, target);
        } else {
            write_texts(values, first, step, count, target);
        }
        return true;
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_NS:
        write_instants(values->array, first, step, count, target);
        return true;
    case DUCKDB_TYPE_DATE:
        if (format[2] == 'D') break;
        return write_times(values, first, step, count, target, failure);
    case DUCKDB_TYPE_TIME:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
    case DUCKDB_TYPE_INTERVAL: return write_times(values, first, step, count, target, failure);
    case DUCKDB_TYPE_INVALID:
        return fail(failure, "DuckDB has no type for Arrow's \"%.40s\"", format);
    default: break;
    }
    if (format[0] == 'e') {
        write_halves(values->array, first, step, count, target);
        return true;
    }
    copy_apart((uint8_t *)duckdb_vector_get_data(target->vector) + target->at * width,
        (const uint8_t *)values->array->buffers[1] + first * width, width, step, count);
    return true;
}

bool vector_write(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    duckdb_vector out, idx_t at, struct failure *failure)
{
    struct target target = {out, at, NULL};
    const struct ArrowSchema *schema = values->schema;
    if (!count) return true;
    write_nulls(values->array, first, step, count, &target);
    if (schema->dictionary) return write_named(values, first, step, count, &target, failure);
    if (is_array(schema)) return write_array(values, first, step, count, &target, failure);
    if (is_list(schema) || fixed_items(schema)) {
        return write_list(values, first, step, count, &target, failure);
    }
    if (!strcmp(schema->format, "+s")) {
        return write_struct(values, first, step, count, &target, failure);
    }
    return write_plain(values, first, step, count, &target, failure);
}
