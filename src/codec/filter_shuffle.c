/* filter_shuffle.c - HDF5's filter 2: the bytes of the elements, plane by plane.
 *
 * Elements of 2, 4, 8 and 16 bytes go through vectors, 16 elements at a time, without a lookup. Byte b
 * of element e stands at address e * width + b of the block and has to stand at b * 16 + e: in binary
 * that turns the digits of the address by four places. Weaving the first half of the block with the
 * second, byte by byte, turns them by one, so four weavings shuffle. The way back turns them by as
 * many places as the width has digits. */
#include "codec/codec_internal.h"

#define BLOCK_ELEMENTS ((size_t)256) /* each plane's pass finds them in the cache */
#define LANES BS_LANES
#define WIDTH_MAX BS_WEAVE_MAX

typedef bs_lanes lanes;

/* Inlined for each width, so that the block stays in registers. */
BS_ALWAYS_INLINE static inline size_t shuffle_blocks(
    const uint8_t *raw, size_t elements, size_t width, uint8_t *out)
{
    size_t at = 0;
    for (; at + LANES <= elements; at += LANES) {
        lanes block[WIDTH_MAX];
        memcpy(block, raw + width * at, width * LANES);
        BS_UNROLL
        for (int i = 0; i < 4; i++) bs_weave(block, width);
        BS_UNROLL
        for (size_t i = 0; i < width; i++) memcpy(out + i * elements + at, &block[i], LANES);
    }
    return at;
}

BS_ALWAYS_INLINE static inline size_t unshuffle_blocks(
    const uint8_t *stored, size_t elements, size_t width, uint8_t *out)
{
    size_t at = 0;
    for (; at + LANES <= elements; at += LANES) {
        lanes block[WIDTH_MAX];
        BS_UNROLL
        for (size_t i = 0; i < width; i++) memcpy(&block[i], stored + i * elements + at, LANES);
        BS_UNROLL
        for (size_t digits = width; digits > 1; digits /= 2) bs_weave(block, width);
        memcpy(out + width * at, block, width * LANES);
    }
    return at;
}

/* The elements that were done; the rest is the caller's. */
static size_t shuffle_vectors(const uint8_t *raw, size_t elements, size_t width, uint8_t *out)
{
    switch (width) {
    case 2: return shuffle_blocks(raw, elements, 2, out);
    case 4: return shuffle_blocks(raw, elements, 4, out);
    case 8: return shuffle_blocks(raw, elements, 8, out);
    case 16: return shuffle_blocks(raw, elements, 16, out);
    default: return 0;
    }
}

static size_t unshuffle_vectors(const uint8_t *stored, size_t elements, size_t width, uint8_t *out)
{
    switch (width) {
    case 2: return unshuffle_blocks(stored, elements, 2, out);
    case 4: return unshuffle_blocks(stored, elements, 4, out);
    case 8: return unshuffle_blocks(stored, elements, 8, out);
    case 16: return unshuffle_blocks(stored, elements, 16, out);
    default: return 0;
    }
}

void bs_shuffle_encode(const uint8_t *raw, size_t count, size_t element_bytes, uint8_t *out)
{
    const size_t elements = count / element_bytes;
    if (element_bytes == 1 || elements < 2) {
        memcpy(out, raw, count);
        return;
    }
    size_t from = shuffle_vectors(raw, elements, element_bytes, out);
    for (; from < elements; from += BS_MIN(BLOCK_ELEMENTS, elements - from)) {
        const size_t to = from + BS_MIN(BLOCK_ELEMENTS, elements - from);
        for (size_t plane = 0; plane < element_bytes; plane++) {
            uint8_t *row = out + plane * elements;
            for (size_t i = from; i < to; i++) row[i] = raw[i * element_bytes + plane];
        }
    }
    memcpy(out + elements * element_bytes, raw + elements * element_bytes, count % element_bytes);
}

void bs_shuffle_decode(const uint8_t *stored, size_t count, size_t element_bytes, uint8_t *out)
{
    const size_t elements = count / element_bytes;
    if (element_bytes == 1 || elements < 2) {
        memcpy(out, stored, count);
        return;
    }
    size_t from = unshuffle_vectors(stored, elements, element_bytes, out);
    for (; from < elements; from += BS_MIN(BLOCK_ELEMENTS, elements - from)) {
        const size_t to = from + BS_MIN(BLOCK_ELEMENTS, elements - from);
        for (size_t plane = 0; plane < element_bytes; plane++) {
            const uint8_t *row = stored + plane * elements;
            for (size_t i = from; i < to; i++) out[i * element_bytes + plane] = row[i];
        }
    }
    memcpy(
        out + elements * element_bytes, stored + elements * element_bytes, count % element_bytes);
}

/* ---- the filter ----------------------------------------------------------------------------- */

static basalt_status shuffle_check(const struct bs_filter *filter, basalt_error *err)
{
    if (filter->parameter_count >= 1 && bs_filter_parameters(filter)[0] > 0) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the shuffle filter has no element size");
}

static basalt_status shuffle_decode(struct bs_filter_job *job, basalt_error *err)
{
    if (job->input_bytes > job->capacity) return bs_filter_overflow(job, err);
    bs_shuffle_decode(job->input, job->input_bytes, job->parameters[0], job->out);
    job->out_bytes = job->input_bytes;
    return BASALT_OK;
}

static basalt_status shuffle_encode(struct bs_filter_job *job, basalt_error *err)
{
    (void)err;
    bs_shuffle_encode(job->input, job->input_bytes, job->parameters[0], job->out);
    job->out_bytes = job->input_bytes;
    return BASALT_OK;
}

const struct bs_filter_kind bs_filter_shuffle = {
    .id = BS_FILTER_SHUFFLE,
    .name = "shuffle",
    .keeps_size = true,
    .check = shuffle_check,
    .decode = shuffle_decode,
    .encode = shuffle_encode,
};
