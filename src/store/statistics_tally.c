/* statistics_tally.c - nulls, NaNs and bounds of rows, as they are written or read back.
 *
 * A column that is being written keeps a tally of the chunk that grows. What a session finds in a chunk
 * that an earlier one began is read from the last root when that chunk is full or the store closes, once:
 * all of it was committed before. */
#include "store/store_internal.h"

#include <math.h>

/* ---- bounds of values without nulls ---------------------------------------------------------------- */

/* Four values at a time, whose minima do not wait for each other. */
#define LANE_MIN_MAX(lane)                                                                         \
    min##lane = value##lane < min##lane ? value##lane : min##lane;                                 \
    max##lane = value##lane > max##lane ? value##lane : max##lane;

#define FOUR_VALUES(type)                                                                          \
    type value0, value1, value2, value3;                                                           \
    memcpy(&value0, bytes, sizeof value0);                                                         \
    memcpy(&value1, bytes + sizeof value0, sizeof value0);                                         \
    memcpy(&value2, bytes + 2 * sizeof value0, sizeof value0);                                     \
    memcpy(&value3, bytes + 3 * sizeof value0, sizeof value0);                                     \
    LANE_MIN_MAX(0) LANE_MIN_MAX(1) LANE_MIN_MAX(2) LANE_MIN_MAX(3)

#define JOIN_LANES                                                                                 \
    min0 = min1 < min0 ? min1 : min0;                                                              \
    min2 = min3 < min2 ? min3 : min2;                                                              \
    min0 = min2 < min0 ? min2 : min0;                                                              \
    max0 = max1 > max0 ? max1 : max0;                                                              \
    max2 = max3 > max2 ? max3 : max2;                                                              \
    max0 = max2 > max0 ? max2 : max0;

#define DEFINE_BOUNDS(name, type, member)                                                          \
    static void name(const uint8_t *bytes, uint64_t count, struct bs_chunk_statistics *into)       \
    {                                                                                              \
        type min0, min1, min2, min3, max0, max1, max2, max3;                                       \
        memcpy(&min0, bytes, sizeof min0);                                                         \
        min1 = min2 = min3 = max0 = max1 = max2 = max3 = min0;                                     \
        for (; count >= 4; count -= 4, bytes += 4 * sizeof min0) {                                 \
            FOUR_VALUES(type)                                                                      \
        }                                                                                          \
        for (; count; count--, bytes += sizeof min0) {                                             \
            type value0;                                                                           \
            memcpy(&value0, bytes, sizeof value0);                                                 \
            LANE_MIN_MAX(0)                                                                        \
        }                                                                                          \
        JOIN_LANES                                                                                 \
        if (!into->has_bounds || min0 < into->min.member) into->min.member = min0;                 \
        if (!into->has_bounds || max0 > into->max.member) into->max.member = max0;                 \
        into->has_bounds = true;                                                                   \
    }

DEFINE_BOUNDS(bounds_of_i8, int8_t, i)
DEFINE_BOUNDS(bounds_of_i16, int16_t, i)
DEFINE_BOUNDS(bounds_of_i32, int32_t, i)
DEFINE_BOUNDS(bounds_of_i64, int64_t, i)
DEFINE_BOUNDS(bounds_of_u8, uint8_t, u)
DEFINE_BOUNDS(bounds_of_u16, uint16_t, u)
DEFINE_BOUNDS(bounds_of_u32, uint32_t, u)
DEFINE_BOUNDS(bounds_of_u64, uint64_t, u)

static void widen(struct bs_chunk_statistics *into, double min, double max)
{
    if (min > max) return; /* nothing but NaN */
    if (!into->has_bounds || min < into->min.f) into->min.f = min;
    if (!into->has_bounds || max > into->max.f) into->max.f = max;
    into->has_bounds = true;
}

/* A comparison with NaN is false: NaN changes no bound. */
#define DEFINE_FLOAT_BOUNDS(name, type)                                                            \
    static void name(const uint8_t *bytes, uint64_t count, struct bs_chunk_statistics *into)       \
    {                                                                                              \
        type min0 = (type)INFINITY, min1 = min0, min2 = min0, min3 = min0;                         \
        type max0 = (type)-INFINITY, max1 = max0, max2 = max0, max3 = max0;                        \
        bool nan = false;                                                                          \
        for (; count >= 4; count -= 4, bytes += 4 * sizeof min0) {                                 \
            FOUR_VALUES(type)                                                                      \
            nan |= isunordered(value0, value1) | isunordered(value2, value3);                      \
        }                                                                                          \
        for (; count; count--, bytes += sizeof min0) {                                             \
            type value0;                                                                           \
            memcpy(&value0, bytes, sizeof value0);                                                 \
            LANE_MIN_MAX(0)                                                                        \
            nan |= value0 != value0;                                                               \
        }                                                                                          \
        JOIN_LANES                                                                                 \
        widen(into, (double)min0, (double)max0);                                                   \
        into->has_nan |= nan;                                                                      \
    }

DEFINE_FLOAT_BOUNDS(bounds_of_f4, float)
DEFINE_FLOAT_BOUNDS(bounds_of_f8, double)

static void bounds_of_half(const uint8_t *bytes, uint64_t count, struct bs_chunk_statistics *into)
{
    for (uint64_t at = 0; at < count; at++) {
        const double value = bs_half(bs_load_u16(bytes + at * 2));
        into->has_nan |= value != value;
        if (value == value) widen(into, value, value);
    }
}

typedef void (*bounds_fn)(const uint8_t *bytes, uint64_t count, struct bs_chunk_statistics *into);

static bounds_fn bounds_of(const struct bs_field *field)
{
    const size_t width = field->width_bytes == 8 ? 3 : field->width_bytes / 2u;
    static const bounds_fn SIGNED[] = {bounds_of_i8, bounds_of_i16, bounds_of_i32, bounds_of_i64};
    static const bounds_fn UNSIGNED[] = {bounds_of_u8, bounds_of_u16, bounds_of_u32, bounds_of_u64};
    static const bounds_fn FLOAT[] = {NULL, bounds_of_half, bounds_of_f4, bounds_of_f8};
    switch (bs_bounds_kind_of(field)) {
    case BS_BOUNDS_SIGNED: return SIGNED[width];
    case BS_BOUNDS_UNSIGNED: return UNSIGNED[width];
    case BS_BOUNDS_FLOAT: return FLOAT[width];
    default: return NULL;
    }
}

/* ---- rows ------------------------------------------------------------------------------------------- */

static bool is_there(const uint8_t *validity, uint64_t row)
{
    return (validity[row / 8] >> (row % 8)) & 1;
}

void bs_statistics_add(struct bs_chunk_statistics *into, const struct bs_field *field,
    const uint8_t *values, const uint8_t *validity, uint64_t first, uint64_t count)
{
    const bounds_fn bounds = bounds_of(field);
    const size_t width = field->width_bytes;
    into->kind = bs_bounds_kind_of(field);
    into->rows += count;
    if (!validity) {
        if (bounds && count) bounds(values, count, into);
        return;
    }
    for (uint64_t at = 0; at < count;) {
        uint64_t end = at;
        while (end < count && is_there(validity, first + end)) end++;
        if (bounds && end > at) bounds(values + at * width, end - at, into);
        for (at = end; at < count && !is_there(validity, first + at); at++) into->null_count++;
    }
}

void bs_statistics_merge(struct bs_chunk_statistics *into, const struct bs_chunk_statistics *from)
{
    into->kind = from->kind;
    into->rows += from->rows;
    into->null_count += from->null_count;
    into->has_nan |= from->has_nan;
    if (!from->has_bounds) return;
    if (!into->has_bounds) {
        into->min = from->min;
        into->max = from->max;
        into->has_bounds = true;
        return;
    }
    switch (from->kind) {
    case BS_BOUNDS_SIGNED:
        into->min.i = BS_MIN(into->min.i, from->min.i);
        into->max.i = BS_MAX(into->max.i, from->max.i);
        break;
    case BS_BOUNDS_UNSIGNED:
        into->min.u = BS_MIN(into->min.u, from->min.u);
        into->max.u = BS_MAX(into->max.u, from->max.u);
        break;
    default: widen(into, from->min.f, from->max.f); break;
    }
}

/* ---- rows of the file -------------------------------------------------------------------------- */

static basalt_status read_validity(struct bs_column_reader *reader, uint64_t first, uint64_t count,
    uint8_t **out_validity, basalt_error *err)
{
    uint8_t *bytes = NULL, *bits = NULL;
    basalt_status status = BASALT_OK;
    *out_validity = NULL;
    if (!reader->mask || first >= reader->mask_rows) return BASALT_OK;
    const uint64_t masked = BS_MIN(count, reader->mask_rows - first);
    const size_t bit_bytes = (size_t)(count + 7) / 8;
    bytes = bs_alloc((size_t)masked);
    bits = bs_alloc(bit_bytes);
    if (!bytes || !bits) {
        status = bs_fail_memory(err, (size_t)masked);
        goto out;
    }
    memset(bits, 0xFF, bit_bytes);
    BS_TRY(bs_h5_read(reader->h5, reader->mask, first, masked, bytes, err));
    for (uint64_t row = 0; row < masked; row++) {
        if ((bytes[row] != 0) == reader->mask_means_missing) {
            bits[row / 8] &= (uint8_t) ~(1u << (row % 8));
        }
    }
    *out_validity = bits;
    bits = NULL;
out:
    bs_free(bits);
    bs_free(bytes);
    return status;
}

basalt_status bs_statistics_of_rows(struct bs_column_reader *reader, uint64_t first, uint64_t count,
    struct bs_chunk_statistics *out, basalt_error *err)
{
    uint8_t *values = NULL, *validity = NULL;
    const struct bs_field *field = reader->field;
    basalt_status status = read_validity(reader, first, count, &validity, err);
    *out = (struct bs_chunk_statistics){0};
    if (status) return status;
    if (bounds_of(field)) {
        values = bs_alloc((size_t)count * field->width_bytes);
        if (!values) {
            status = bs_fail_memory(err, (size_t)count * field->width_bytes);
            goto out;
        }
        BS_TRY(bs_h5_read(reader->h5, reader->values, first, count, values, err));
    }
    bs_statistics_add(out, field, values, validity, 0, count);
out:
    bs_free(values);
    bs_free(validity);
    return status;
}

/* ---- tallies ----------------------------------------------------------------------------------- */

void bs_tally_begin(struct bs_tally *tally, uint64_t row)
{
    tally->first_row = row;
    tally->running = (struct bs_chunk_statistics){0};
}

void bs_tally_free(struct bs_tally *tally)
{
    bs_free(tally->done);
    *tally = (struct bs_tally){0};
}

basalt_status bs_tally_put(struct bs_tally *tally, size_t column,
    const struct bs_h5_full_chunk *chunk, const struct bs_chunk_statistics *values,
    basalt_error *err)
{
    if (tally->done_count == tally->done_capacity) {
        const size_t capacity = tally->done_capacity ? tally->done_capacity * 2 : 4;
        void *grown = bs_realloc(tally->done, capacity * sizeof *tally->done);
        if (!grown) return bs_fail_memory(err, capacity * sizeof *tally->done);
        tally->done = grown;
        tally->done_capacity = capacity;
    }
    struct bs_statistics_record *record = &tally->done[tally->done_count++];
    *record = (struct bs_statistics_record){.column = (uint32_t)column,
        .first_row = chunk->first_row,
        .address = chunk->address,
        .stored_bytes = chunk->stored_bytes,
        .values = *values};
    record->values.crc32c = chunk->crc32c;
    return BASALT_OK;
}

/* Rows [first, first + count) as the last root has them. *out_known is false if that can't be told. */
static basalt_status committed_rows(const struct bs_family *family, size_t column,
    const struct bs_family_links *links, uint64_t first, uint64_t count,
    struct bs_chunk_statistics *out, bool *out_known, basalt_error *err)
{
    struct bs_column_reader reader = {0};
    basalt_error why = {0};
    *out_known = false;
    if (!links) return BASALT_OK;
    basalt_status status = bs_column_reader_open(links->h5, links, family, column,
        family->file->links[column], first + count, &reader, &why);
    if (!status) status = bs_statistics_of_rows(&reader, first, count, out, &why);
    bs_column_reader_close(&reader);
    *out_known = !status;
    if (status != BASALT_NO_MEMORY && status != BASALT_IO_ERROR) return BASALT_OK;
    if (err) *err = why;
    return status;
}

basalt_status bs_tally_end_chunk(const struct bs_family *family, size_t column,
    const struct bs_family_links *links, const struct bs_h5_full_chunk *chunk, basalt_error *err)
{
    struct bs_tally *tally = &family->file->columns[column].tally;
    struct bs_chunk_statistics values = tally->running, before;
    const uint64_t end = tally->first_row + tally->running.rows;
    bool known = tally->first_row >= chunk->first_row; /* else the chunk before was not told of */
    basalt_status status = BASALT_OK;
    if (tally->first_row > chunk->first_row) {
        status = committed_rows(family, column, links, chunk->first_row,
            tally->first_row - chunk->first_row, &before, &known, err);
        if (!status && known) bs_statistics_merge(&values, &before);
    }
    if (!status && known) status = bs_tally_put(tally, column, chunk, &values, err);
    bs_tally_begin(tally, end);
    return status;
}
