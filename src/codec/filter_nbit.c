/* filter_nbit.c - HDF5's filter 5: of each number only the bits that count.
 *
 * PARAMETERS
 *   0  how many there are      1  not 0: the chunk is stored as it is
 *   2  elements of a chunk     3  and following: the description of one element
 * A DESCRIPTION is a class and its size in bytes, and
 *   1  number     byte order (0 little, 1 big), precision, offset: bits
 *   2  array      the description of what it is made of
 *   3  compound   members, and of each: offset in the element, description
 *   4  anything else: all its bits
 * The bits of all numbers follow each other in the order of the description, each from its highest to
 * its lowest. Bits and bytes that nothing describes are 0. */
#include "codec/codec_internal.h"

#define PARAMETERS_MIN 5
#define DEPTH_MAX 32

enum class { NUMBER = 1, ARRAY = 2, COMPOUND = 3, OTHER = 4 };

struct nbit {
    struct bs_bits bits;
    const uint32_t *parameters;
    unsigned count;
    uint64_t steps; /* descriptions that may still be followed: bounds the work */
};

/* A parameter that is not there is 0, which nothing takes for a class, a size or a precision. */
static uint32_t next(const struct nbit *nbit, unsigned *at)
{
    return *at < nbit->count ? nbit->parameters[(*at)++] : 0;
}

static bool decode_numbers(
    struct nbit *nbit, unsigned *at, uint32_t element_bytes, size_t count, uint8_t *out)
{
    struct bs_bit_field field = {.element_bytes = element_bytes};
    const uint32_t order = next(nbit, at);
    field.big_endian = order == 1;
    field.width = next(nbit, at);
    field.offset = next(nbit, at);
    return order <= 1 && bs_bit_field_valid(&field) &&
        bs_bits_unpack(&nbit->bits, &field, count, out);
}

/* The elements that *at describes, one after the other in `bytes` of them (one only, unless `whole`);
 * *at moves behind the description. */
static bool decode_elements(
    struct nbit *nbit, unsigned *at, uint64_t bytes, bool whole, uint8_t *out, unsigned depth);

static bool decode_compound(
    struct nbit *nbit, unsigned *at, uint32_t bytes, uint8_t *out, unsigned depth)
{
    const uint32_t members = next(nbit, at);
    for (uint32_t i = 0; i < members; i++) {
        const uint32_t offset = next(nbit, at);
        if (offset >= bytes) return false;
        if (!decode_elements(nbit, at, bytes - offset, false, out + offset, depth)) return false;
    }
    return true;
}

/* libhdf5 loses its place behind an array of arrays or of compounds, writing and reading: it takes the
 * size of that element for the next offset. So the bits lie like that, and some members are lost. */
static bool decode_array(
    struct nbit *nbit, unsigned *at, uint32_t bytes, uint8_t *out, unsigned depth)
{
    const unsigned element = *at;
    const uint32_t class = element < nbit->count ? nbit->parameters[element] : 0;
    if (!decode_elements(nbit, at, bytes, true, out, depth)) return false;
    if (class == ARRAY || class == COMPOUND) *at = element + 1;
    return true;
}

static bool decode_elements(
    struct nbit *nbit, unsigned *at, uint64_t bytes, bool whole, uint8_t *out, unsigned depth)
{
    static const struct bs_bit_field octets = {.element_bytes = 1, .width = 8};
    const uint32_t class = next(nbit, at);
    const uint32_t size = next(nbit, at);
    const unsigned body = *at;
    if (size == 0 || depth == DEPTH_MAX || nbit->steps == 0) return false;
    if (!whole && size > bytes) return false;
    nbit->steps--;
    const uint64_t count = whole ? bytes / size : 1;
    switch (class) {
    case NUMBER: return decode_numbers(nbit, at, size, (size_t)count, out);
    case OTHER: return bs_bits_unpack(&nbit->bits, &octets, (size_t)(whole ? bytes : size), out);
    case ARRAY:
    case COMPOUND: break;
    default: return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *element = out + i * size;
        *at = body;
        const bool fine = class == ARRAY ? decode_array(nbit, at, size, element, depth + 1)
                                         : decode_compound(nbit, at, size, element, depth + 1);
        if (!fine) return false;
    }
    return true;
}

static basalt_status nbit_check(const struct bs_filter *filter, basalt_error *err)
{
    const uint32_t *parameters = bs_filter_parameters(filter);
    if (filter->parameter_count >= 2 && parameters[1] != 0) return BASALT_OK;
    if (filter->parameter_count >= PARAMETERS_MIN) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the nbit filter has %u parameters, too few", (unsigned)filter->parameter_count);
}

static basalt_status nbit_decode(struct bs_filter_job *job, basalt_error *err)
{
    struct nbit nbit = {.bits = {.bytes = job->input, .count = job->input_bytes},
        .parameters = job->parameters,
        .count = job->filter->parameter_count,
        .steps = 4 * ((uint64_t)job->input_bytes * 8 + job->capacity) + 64};
    unsigned at = 3;
    if (job->parameters[1]) {
        if (job->input_bytes > job->capacity) return bs_filter_overflow(job, err);
        memcpy(job->out, job->input, job->input_bytes);
        job->out_bytes = job->input_bytes;
        return BASALT_OK;
    }
    const uint64_t bytes = (uint64_t)job->parameters[2] * job->parameters[4];
    if (bytes > job->capacity) return bs_filter_overflow(job, err);
    if (bytes == 0) return bs_filter_damaged(job, err);
    memset(job->out, 0, (size_t)bytes);
    if (!decode_elements(&nbit, &at, bytes, true, job->out, 0)) return bs_filter_damaged(job, err);
    job->out_bytes = (size_t)bytes;
    return BASALT_OK;
}

/* Ends in a byte that is begun, and libhdf5 keeps one more. */
static size_t nbit_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + 1;
}

const struct bs_filter_kind bs_filter_nbit = {
    .id = BS_FILTER_NBIT,
    .name = "nbit",
    .check = nbit_check,
    .bound = nbit_bound,
    .decode = nbit_decode,
};
