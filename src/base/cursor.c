/* cursor.c - bounded reading of bytes that somebody else wrote. */
#include "base/base.h"

#include <inttypes.h>
#include <math.h>

uint16_t bs_load_u16(const void *bytes)
{
    const uint8_t *at = bytes;
    return (uint16_t)(at[0] | at[1] << 8);
}

double bs_half(uint16_t bits)
{
    const int exponent = bits >> 10 & 31;
    const double fraction = (double)(bits & 1023) / 1024;
    const double sign = bits >> 15 & 1 ? -1 : 1;
    if (exponent == 31) return fraction != 0 ? NAN : sign * INFINITY;
    return exponent ? sign * ldexp(1 + fraction, exponent - 15) : sign * ldexp(fraction, -14);
}

uint32_t bs_load_u32(const void *bytes)
{
    const uint8_t *at = bytes;
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t bs_load_u64(const void *bytes)
{
    const uint8_t *at = bytes;
    return bs_load_u32(at) | (uint64_t)bs_load_u32(at + 4) << 32;
}

struct bs_cursor bs_cursor_make(const void *bytes, size_t count, uint64_t file_offset)
{
    const uint8_t *start = bytes;
    return (struct bs_cursor){start, start, count ? start + count : start, file_offset, false};
}

const uint8_t *bs_cursor_bytes(struct bs_cursor *cursor, size_t count)
{
    if (cursor->failed || count > (size_t)(cursor->end - cursor->at)) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *bytes = cursor->at;
    if (count) cursor->at += count;
    return bytes;
}

uint8_t bs_cursor_u8(struct bs_cursor *cursor)
{
    const uint8_t *at = bs_cursor_bytes(cursor, 1);
    return at ? *at : 0;
}

uint16_t bs_cursor_u16(struct bs_cursor *cursor)
{
    const uint8_t *at = bs_cursor_bytes(cursor, 2);
    return at ? bs_load_u16(at) : 0;
}

uint32_t bs_cursor_u32(struct bs_cursor *cursor)
{
    const uint8_t *at = bs_cursor_bytes(cursor, 4);
    return at ? bs_load_u32(at) : 0;
}

uint64_t bs_cursor_u64(struct bs_cursor *cursor)
{
    const uint8_t *at = bs_cursor_bytes(cursor, 8);
    return at ? bs_load_u64(at) : 0;
}

uint64_t bs_cursor_uint(struct bs_cursor *cursor, size_t width_bytes)
{
    assert(width_bytes >= 1 && width_bytes <= 8);
    const uint8_t *at = bs_cursor_bytes(cursor, width_bytes);
    uint64_t value = 0;
    for (size_t i = 0; at && i < width_bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void bs_cursor_skip(struct bs_cursor *cursor, size_t count)
{
    (void)bs_cursor_bytes(cursor, count);
}

void bs_cursor_align(struct bs_cursor *cursor, size_t alignment)
{
    assert(alignment > 0);
    const size_t over = (size_t)(cursor->at - cursor->start) % alignment;
    if (over) bs_cursor_skip(cursor, alignment - over);
}

const char *bs_cursor_string(struct bs_cursor *cursor)
{
    const size_t left = bs_cursor_left(cursor);
    const uint8_t *nul = left ? memchr(cursor->at, 0, left) : NULL;
    if (!nul) {
        cursor->failed = true;
        return NULL;
    }
    return (const char *)bs_cursor_bytes(cursor, (size_t)(nul - cursor->at) + 1);
}

size_t bs_cursor_left(const struct bs_cursor *cursor)
{
    return cursor->failed ? 0 : (size_t)(cursor->end - cursor->at);
}

uint64_t bs_cursor_offset(const struct bs_cursor *cursor)
{
    if (cursor->file_offset == BASALT_NO_OFFSET) return BASALT_NO_OFFSET;
    return cursor->file_offset + (uint64_t)(cursor->at - cursor->start);
}

basalt_status bs_cursor_check(const struct bs_cursor *cursor, const char *what, basalt_error *err)
{
    if (!cursor->failed) return BASALT_OK;
    if (cursor->file_offset == BASALT_NO_OFFSET) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "%s is cut short", what);
    }
    return bs_fail(err, BASALT_CORRUPT, cursor->file_offset,
        "%s at offset %" PRIu64 " is cut short", what, cursor->file_offset);
}
