/* shuffle.c - HDF5's filter 2: the bytes of the elements, plane by plane.
 *
 * Elements of 2, 4, 8 and 16 bytes go through vectors, 16 elements at a time, without a lookup. Byte b
 * of element e stands at address e * width + b of the block and has to stand at b * 16 + e: in binary
 * that turns the digits of the address by four places. Weaving the first half of the block with the
 * second, byte by byte, turns them by one, so four weavings shuffle. The way back turns them by as
 * many places as the width has digits. */
#include "codec/codec_internal.h"

#define BLOCK_ELEMENTS ((size_t)256) /* each plane's pass finds them in the cache */
#define LANES ((size_t)16)
#define WIDTH_MAX ((size_t)16)

typedef uint8_t lanes __attribute__((vector_size(16)));

static inline void weave(lanes *block, size_t width)
{
    lanes woven[WIDTH_MAX];
    for (size_t i = 0; i < width / 2; i++) {
        const lanes a = block[i], b = block[i + width / 2];
        woven[2 * i] =
            __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        woven[2 * i + 1] = __builtin_shufflevector(
            a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (size_t i = 0; i < width; i++) block[i] = woven[i];
}

/* Inlined for each width, so that the block stays in registers. */
static inline size_t shuffle_blocks(const uint8_t *raw, size_t elements, size_t width, uint8_t *out)
{
    size_t at = 0;
    for (; at + LANES <= elements; at += LANES) {
        lanes block[WIDTH_MAX];
        memcpy(block, raw + width * at, width * LANES);
        for (int i = 0; i < 4; i++) weave(block, width);
        for (size_t i = 0; i < width; i++) memcpy(out + i * elements + at, &block[i], LANES);
    }
    return at;
}

static inline size_t unshuffle_blocks(
    const uint8_t *stored, size_t elements, size_t width, uint8_t *out)
{
    size_t at = 0;
    for (; at + LANES <= elements; at += LANES) {
        lanes block[WIDTH_MAX];
        for (size_t i = 0; i < width; i++) memcpy(&block[i], stored + i * elements + at, LANES);
        for (size_t digits = width; digits > 1; digits /= 2) weave(block, width);
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
