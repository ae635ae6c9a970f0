/* filter_scaleoffset.c - HDF5's filter 6: numbers as their distance from the smallest one.
 *
 * PARAMETERS
 *   0  what is scaled: 0 floats by decimal digits, 1 floats by binary ones (nobody writes that), 2
 *      integers                 1  digits, or bits an integer may take (0: as many as it needs)
 *   2  elements of a chunk      3  0 integer, 1 float       4  bytes of one
 *   5  1: signed                6  0 little-endian, 1 big   7  1: there is a fill value
 *   8  and following: its bytes, little-endian
 * A CHUNK, little-endian
 *    0  u32  bits of a number; all bits of an element: the elements follow as they are
 *    4  u8   bytes of the smallest value, at most 8 count
 *    5       the smallest value (of floats its bits)
 *   21       the numbers, highest bit first
 * A number with all bits set stands for the fill value if there is one. */
#include "codec/codec_internal.h"

#include <math.h>

#define PARAMETERS_MIN 8
#define HEADER_BYTES ((size_t)21)
#define DIGITS_MAX 400 /* more would be infinite or 0 for any float */

enum { SCALE, DIGITS, ELEMENTS, CLASS, BYTES, SIGN, ORDER, HAS_FILL, FILL };
enum { FLOAT_DECIMAL, FLOAT_BINARY, INTEGER };

struct scaling {
    size_t count;
    uint32_t bits;
    uint64_t smallest;
    bool has_fill;
    uint64_t fill, fill_mark; /* the number that stands for it */
};

static basalt_status scale_check(const struct bs_filter *filter, basalt_error *err)
{
    const uint32_t *p = bs_filter_parameters(filter);
    if (filter->parameter_count < PARAMETERS_MIN || p[SCALE] > INTEGER || p[CLASS] > 1 ||
        p[ORDER] > 1 || p[BYTES] == 0 || p[BYTES] > 8 || (p[BYTES] & (p[BYTES] - 1)) ||
        (p[CLASS] == 1) != (p[SCALE] != INTEGER) || (p[CLASS] == 1 && p[BYTES] < 4)) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the scaleoffset filter has parameters that cannot be");
    }
    if (p[SCALE] != FLOAT_BINARY) return BASALT_OK;
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "filter scaleoffset (6) scales by binary digits, which nothing can read");
}

static uint64_t all_ones(uint32_t bits)
{
    return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

static inline uint64_t load(const uint8_t *at, size_t bytes)
{
    switch (bytes) {
    case 1: return *at;
    case 2: return bs_load_u16(at);
    case 4: return bs_load_u32(at);
    default: return bs_load_u64(at);
    }
}

static inline void store(uint8_t *at, size_t bytes, uint64_t value)
{
    switch (bytes) {
    case 1: *at = (uint8_t)value; break;
    case 2: bs_store_u16(at, (uint16_t)value); break;
    case 4: bs_store_u32(at, (uint32_t)value); break;
    default: bs_store_u64(at, value); break;
    }
}

/* Inlined for each size. */
static inline void offset_integers(const struct scaling *scaling, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < scaling->count; i++) {
        const uint64_t number = load(out + i * bytes, bytes);
        const bool fill = scaling->has_fill && number == scaling->fill_mark;
        store(out + i * bytes, bytes, fill ? scaling->fill : number + scaling->smallest);
    }
}

/* As libhdf5 computes it: in the type of the elements. */
static void scale_floats(const struct scaling *scaling, int digits, uint8_t *out)
{
    const float power = (float)pow(10.0, digits);
    const uint32_t smallest_bits = (uint32_t)scaling->smallest;
    float smallest;
    memcpy(&smallest, &smallest_bits, sizeof smallest);
    for (size_t i = 0; i < scaling->count; i++) {
        const uint32_t number = bs_load_u32(out + 4 * i);
        const float value = (float)(int32_t)number / power + smallest;
        if (scaling->has_fill && number == (uint32_t)scaling->fill_mark) {
            bs_store_u32(out + 4 * i, (uint32_t)scaling->fill);
        } else {
            memcpy(out + 4 * i, &value, sizeof value);
        }
    }
}

static void scale_doubles(const struct scaling *scaling, int digits, uint8_t *out)
{
    const double power = pow(10.0, digits);
    double smallest;
    memcpy(&smallest, &scaling->smallest, sizeof smallest);
    for (size_t i = 0; i < scaling->count; i++) {
        const uint64_t number = bs_load_u64(out + 8 * i);
        const double value = (double)(int64_t)number / power + smallest;
        if (scaling->has_fill && number == scaling->fill_mark) {
            bs_store_u64(out + 8 * i, scaling->fill);
        } else {
            memcpy(out + 8 * i, &value, sizeof value);
        }
    }
}

static void swap_elements(size_t count, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t value = load(out + i * bytes, bytes);
        store(out + i * bytes, bytes, __builtin_bswap64(value) >> (64 - 8 * bytes));
    }
}

static void add_smallest(const struct scaling *scaling, const uint32_t *parameters, uint8_t *out)
{
    const int digits = (int)(int32_t)parameters[DIGITS];
    const int bounded = BS_MAX(BS_MIN(digits, DIGITS_MAX), -DIGITS_MAX);
    const bool integers = parameters[CLASS] == 0;
    switch (parameters[BYTES]) {
    case 1: offset_integers(scaling, 1, out); break;
    case 2: offset_integers(scaling, 2, out); break;
    case 4:
        if (integers) {
            offset_integers(scaling, 4, out);
        } else {
            scale_floats(scaling, bounded, out);
        }
        break;
    default:
        if (integers) {
            offset_integers(scaling, 8, out);
        } else {
            scale_doubles(scaling, bounded, out);
        }
        break;
    }
}

static void read_scaling(const struct bs_filter_job *job, struct scaling *scaling)
{
    const uint32_t *p = job->parameters;
    const size_t smallest_bytes = BS_MIN(job->input[4], sizeof scaling->smallest);
    scaling->count = p[ELEMENTS];
    scaling->bits = bs_load_u32(job->input);
    scaling->smallest = 0;
    for (size_t i = smallest_bytes; i-- > 0;) {
        scaling->smallest = scaling->smallest << 8 | job->input[5 + i];
    }
    scaling->has_fill = p[HAS_FILL] == 1;
    scaling->fill = (uint64_t)bs_filter_parameter(job->filter, FILL + 1, 0) << 32 |
        bs_filter_parameter(job->filter, FILL, 0);
    scaling->fill_mark = all_ones(scaling->bits);
}

static basalt_status copy_through(struct bs_filter_job *job, basalt_error *err)
{
    if (job->input_bytes > job->capacity) return bs_filter_overflow(job, err);
    memcpy(job->out, job->input, job->input_bytes);
    job->out_bytes = job->input_bytes;
    return BASALT_OK;
}

static basalt_status scale_decode(struct bs_filter_job *job, basalt_error *err)
{
    const uint32_t *p = job->parameters;
    const uint32_t bytes = p[BYTES];
    struct scaling scaling;
    /* Integers that may take all their bits are not touched at all. */
    if (p[SCALE] == INTEGER && p[DIGITS] == 8 * bytes) return copy_through(job, err);
    if (job->input_bytes < HEADER_BYTES) return bs_filter_damaged(job, err);
    read_scaling(job, &scaling);
    if (scaling.bits > 8 * bytes) return bs_filter_damaged(job, err);
    if (scaling.count > job->capacity / bytes) return bs_filter_overflow(job, err);
    struct bs_bits bits = {
        .bytes = job->input + HEADER_BYTES, .count = job->input_bytes - HEADER_BYTES};
    const struct bs_bit_field field = {.element_bytes = bytes, .width = scaling.bits};
    if (scaling.bits == 8 * bytes) {
        if (scaling.count > bits.count / bytes) return bs_filter_damaged(job, err);
        memcpy(job->out, bits.bytes, scaling.count * bytes);
    } else {
        if (scaling.bits == 0) {
            memset(job->out, 0, scaling.count * bytes);
        } else if (!bs_bits_unpack(&bits, &field, scaling.count, job->out)) {
            return bs_filter_damaged(job, err);
        }
        add_smallest(&scaling, p, job->out);
    }
    if (p[ORDER] == 1) swap_elements(scaling.count, bytes, job->out);
    job->out_bytes = scaling.count * bytes;
    return BASALT_OK;
}

static size_t scale_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + HEADER_BYTES + 1;
}

const struct bs_filter_kind bs_filter_scaleoffset = {
    .id = BS_FILTER_SCALEOFFSET,
    .name = "scaleoffset",
    .check = scale_check,
    .bound = scale_bound,
    .decode = scale_decode,
};
