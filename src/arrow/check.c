/* check.c - bit maps, and the checks of offsets and text that every way in shares. */
#include "arrow/arrow_internal.h"

static unsigned ones(uint64_t word)
{
#if defined(__GNUC__) || defined(__clang__)
    return (unsigned)__builtin_popcountll(word);
#else
    unsigned count = 0;
    for (; word; word &= word - 1) count++;
    return count;
#endif
}

/* Bits [from, from + count) of a map as one number, count 1 to 8. Reads no byte beyond the last. */
static uint8_t bits_at(const uint8_t *bits, uint64_t from, unsigned count)
{
    const unsigned shift = from & 7;
    const uint8_t *at = bits + (from >> 3);
    unsigned value = (unsigned)at[0] >> shift;
    if (shift + count > 8) value |= (unsigned)at[1] << (8 - shift);
    return (uint8_t)(value & ((1u << count) - 1));
}

uint64_t bs_bits_count(const uint8_t *bits, uint64_t from, uint64_t count)
{
    uint64_t total = 0, word;
    while (count > 0 && (from & 7)) {
        total += bs_bit(bits, from++);
        count--;
    }
    for (; count >= 64; count -= 64, from += 64) {
        memcpy(&word, bits + (from >> 3), sizeof word);
        total += ones(word);
    }
    for (; count > 0; count--) total += bs_bit(bits, from++);
    return total;
}

uint64_t bs_bits_copy(uint8_t *out, const uint8_t *bits, uint64_t from, uint64_t count)
{
    const uint64_t whole = count / 8;
    const unsigned rest = (unsigned)(count % 8);
    if ((from & 7) == 0) {
        if (whole) memcpy(out, bits + from / 8, whole);
    } else {
        for (uint64_t i = 0; i < whole; i++) out[i] = bits_at(bits, from + i * 8, 8);
    }
    if (rest) out[whole] = bits_at(bits, from + whole * 8, rest);
    return bs_bits_count(out, 0, count);
}

int64_t bs_offset_at(const void *offsets, size_t width_bytes, uint64_t index)
{
    const uint8_t *at = (const uint8_t *)offsets + index * width_bytes;
    if (width_bytes == 4) {
        int32_t narrow;
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    int64_t wide;
    memcpy(&wide, at, sizeof wide);
    return wide;
}

bool bs_offsets_monotone(const void *offsets, size_t width_bytes, uint64_t count, uint64_t *out_bad)
{
    int64_t before = bs_offset_at(offsets, width_bytes, 0);
    *out_bad = 0;
    if (before < 0) return false;
    for (uint64_t i = 0; i < count; i++) {
        const int64_t after = bs_offset_at(offsets, width_bytes, i + 1);
        *out_bad = i;
        if (after < before) return false;
        before = after;
    }
    *out_bad = count;
    return true;
}

/* The text as a whole is valid: then each value is, if none begins inside a character. */
static bool boundaries_valid(
    const uint8_t *text, const void *offsets, size_t width_bytes, uint64_t count)
{
    const int64_t end = bs_offset_at(offsets, width_bytes, count);
    bool inside = false;
    for (uint64_t i = 0; i < count; i++) {
        const int64_t at = bs_offset_at(offsets, width_bytes, i);
        inside |= at < end && (text[at] & 0xC0) == 0x80;
    }
    return !inside;
}

bool bs_texts_valid(
    const uint8_t *text, const void *offsets, size_t width_bytes, uint64_t count, uint64_t *out_bad)
{
    const int64_t first = bs_offset_at(offsets, width_bytes, 0);
    const int64_t end = bs_offset_at(offsets, width_bytes, count);
    *out_bad = count;
    if (first == end) return true;
    if (bs_utf8_valid((const char *)text + first, (size_t)(end - first)) &&
        boundaries_valid(text, offsets, width_bytes, count)) {
        return true;
    }
    for (uint64_t i = 0; i < count; i++) {
        const int64_t from = bs_offset_at(offsets, width_bytes, i);
        const int64_t to = bs_offset_at(offsets, width_bytes, i + 1);
        if (!bs_utf8_valid((const char *)text + from, (size_t)(to - from))) {
            *out_bad = i;
            return false;
        }
    }
    return true;
}
