/* enums.c - the values of an ENUM, out of the dictionaries or labels of one file or more.
 *
 * Files number their categories each by itself. The ENUM of a column has the values of the first file in
 * their order, then those of each further file that are new; a map says for each file which of its codes
 * is which of the ENUM's. */
#include "enums.h"

#include <stdlib.h>

/* ---- texts, each once ----------------------------------------------------------------------- */

void enum_values_free(struct enum_values *values)
{
    free(values->bytes);
    free(values->starts);
    free(values->slots);
    memset(values, 0, sizeof *values);
}

const char *enum_text(const struct enum_values *values, size_t code)
{
    return values->bytes + values->starts[code];
}

static uint64_t hash_text(const char *text, size_t bytes)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001B3u;
    return hash;
}

/* Where the text is, or may be put. */
static size_t slot_of(const struct enum_values *values, const char *text, size_t bytes)
{
    size_t at = (size_t)hash_text(text, bytes) & (values->slot_count - 1);
    for (; values->slots[at]; at = (at + 1) & (values->slot_count - 1)) {
        const char *other = enum_text(values, values->slots[at] - 1);
        if (strlen(other) == bytes && !memcmp(other, text, bytes)) break;
    }
    return at;
}

uint32_t enum_code(const struct enum_values *values, const char *text, size_t bytes)
{
    if (!values->slot_count) return UINT32_MAX;
    return values->slots[slot_of(values, text, bytes)] - 1;
}

static bool grow_slots(struct enum_values *values)
{
    struct enum_values larger = *values;
    larger.slot_count = MAX_OF(values->slot_count * 2, 64);
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots) return false;
    for (size_t i = 0; i < values->count; i++) {
        const char *text = enum_text(values, i);
        larger.slots[slot_of(&larger, text, strlen(text))] = (uint32_t)i + 1;
    }
    free(values->slots);
    *values = larger;
    return true;
}

static bool put_text(struct enum_values *values, const char *text, size_t bytes)
{
    if (values->count == values->capacity) {
        const size_t capacity = MAX_OF(values->capacity * 2, 64);
        size_t *larger = realloc(values->starts, capacity * sizeof *larger);
        if (!larger) return false;
        values->starts = larger;
        values->capacity = capacity;
    }
    if (values->byte_count + bytes + 1 > values->byte_capacity) {
        const size_t capacity =
            MAX_OF(values->byte_capacity * 2, values->byte_count + bytes + 1024);
        char *larger = realloc(values->bytes, capacity);
        if (!larger) return false;
        values->bytes = larger;
        values->byte_capacity = capacity;
    }
    memcpy(values->bytes + values->byte_count, text, bytes);
    values->bytes[values->byte_count + bytes] = 0;
    values->starts[values->count++] = values->byte_count;
    values->byte_count += bytes + 1;
    return true;
}

bool enum_add(struct enum_values *values, const char *text, size_t bytes, uint32_t *out_code)
{
    if (values->count * 2 >= values->slot_count && !grow_slots(values)) return false;
    const size_t at = slot_of(values, text, bytes);
    if (!values->slots[at]) {
        if (!put_text(values, text, bytes)) return false;
        values->slots[at] = (uint32_t)values->count;
    }
    *out_code = values->slots[at] - 1;
    return true;
}

duckdb_logical_type enum_type(const struct enum_values *values)
{
    const char **texts = calloc(values->count + 1, sizeof *texts);
    if (!texts) return NULL;
    for (size_t i = 0; i < values->count; i++) texts[i] = enum_text(values, i);
    duckdb_logical_type type = duckdb_create_enum_type(texts, values->count);
    free(texts);
    return type;
}

/* ---- one file's ----------------------------------------------------------------------------- */

static size_t source_count(const struct enum_source *source)
{
    return source->labels ? source->labels->count : (size_t)source->array->length;
}

static const char *source_text(const struct enum_source *source, size_t index, size_t *out_bytes)
{
    if (!source->labels) return array_text(source->schema, source->array, index, out_bytes);
    *out_bytes = strlen(source->labels->texts[index]);
    return source->labels->texts[index];
}

static size_t values_max(const struct enum_source *source)
{
    return source->labels ? ENUM_LABELS_MAX : ENUM_VALUES_MAX;
}

bool enum_source_fits(const struct enum_source *source)
{
    const size_t count = source_count(source);
    struct enum_values met = {0};
    bool fits = count <= values_max(source);
    if (source->labels) return fits && source->labels->unique;
    if (!fits || source->array->null_count) return false;
    if (!strchr("uU", source->schema->format[0])) return false;
    for (size_t i = 0; fits && i < count; i++) {
        size_t bytes = 0;
        uint32_t code = 0;
        const char *text = source_text(source, i, &bytes);
        /* A NUL inside would end it. Without memory: texts then, which need less. */
        fits = !memchr(text, 0, bytes) && enum_add(&met, text, bytes, &code) && code == i;
    }
    enum_values_free(&met);
    return fits;
}

enum enum_join enum_join(struct enum_values *values, const struct enum_source *source, bool may_add,
    struct enum_map *out_map)
{
    const size_t count = source_count(source);
    enum enum_join result = ENUM_JOINED;
    bool same = true;
    *out_map = (struct enum_map){count, malloc((count + 1) * sizeof *out_map->codes)};
    if (!out_map->codes) return ENUM_NO_MEMORY;
    for (size_t i = 0; result == ENUM_JOINED && i < count; i++) {
        size_t bytes = 0;
        uint32_t code = 0;
        const char *text = source_text(source, i, &bytes);
        if (!may_add) {
            code = enum_code(values, text, bytes);
            if (code == UINT32_MAX) result = ENUM_UNKNOWN;
        } else if (!enum_add(values, text, bytes, &code)) {
            result = ENUM_NO_MEMORY;
        } else if (values->count > values_max(source)) {
            result = ENUM_TOO_MANY;
        }
        out_map->codes[i] = code;
        same &= code == i;
    }
    if (same || result != ENUM_JOINED) {
        free(out_map->codes);
        out_map->codes = NULL;
    }
    return result;
}

void enum_map_free(struct enum_map *map)
{
    free(map->codes);
    *map = (struct enum_map){0, NULL};
}
