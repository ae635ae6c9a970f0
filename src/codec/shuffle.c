/* shuffle.c - HDF5's filter 2: the bytes of the elements, plane by plane. */
#include "codec/codec_internal.h"

#define BLOCK_ELEMENTS ((size_t)256) /* each plane's pass finds them in the cache */

/* Byte j of word i becomes byte i of word j. */
static void transpose_8x8(uint64_t word[8])
{
    static const uint64_t mask[3] = {0x00FF00FF00FF00FFu, 0x0000FFFF0000FFFFu, 0x00000000FFFFFFFFu};
    for (unsigned round = 0; round < 3; round++) {
        const unsigned step = 1u << round, shift = 8u << round;
        for (unsigned i = 0; i < 8; i++) {
            if (i & step) continue;
            const uint64_t swap = ((word[i] >> shift) ^ word[i + step]) & mask[round];
            word[i + step] ^= swap;
            word[i] ^= swap << shift;
        }
    }
}

static size_t shuffle_8(const uint8_t *raw, size_t elements, uint8_t *out)
{
    size_t at = 0;
    for (; at + 8 <= elements; at += 8) {
        uint64_t word[8];
        for (size_t i = 0; i < 8; i++) word[i] = bs_load_u64(raw + 8 * (at + i));
        transpose_8x8(word);
        for (size_t i = 0; i < 8; i++) bs_store_u64(out + i * elements + at, word[i]);
    }
    return at;
}

static size_t unshuffle_8(const uint8_t *stored, size_t elements, uint8_t *out)
{
    size_t at = 0;
    for (; at + 8 <= elements; at += 8) {
        uint64_t word[8];
        for (size_t i = 0; i < 8; i++) word[i] = bs_load_u64(stored + i * elements + at);
        transpose_8x8(word);
        for (size_t i = 0; i < 8; i++) bs_store_u64(out + 8 * (at + i), word[i]);
    }
    return at;
}

void bs_shuffle_encode(const uint8_t *raw, size_t count, size_t element_bytes, uint8_t *out)
{
    const size_t elements = count / element_bytes;
    size_t from = 0;
    if (element_bytes == 1 || elements < 2) {
        memcpy(out, raw, count);
        return;
    }
    if (element_bytes == 8) from = shuffle_8(raw, elements, out);
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
    size_t from = 0;
    if (element_bytes == 1 || elements < 2) {
        memcpy(out, stored, count);
        return;
    }
    if (element_bytes == 8) from = unshuffle_8(stored, elements, out);
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
