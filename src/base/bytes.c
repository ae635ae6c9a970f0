/* bytes.c - byte buffers that grow, and little-endian stores. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

#define FIRST_CAPACITY_BYTES ((size_t)64)

void bs_store_u16(void *bytes, uint16_t value)
{
    uint8_t *at = bytes;
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

void bs_store_u32(void *bytes, uint32_t value)
{
    uint8_t *at = bytes;
    bs_store_u16(at, (uint16_t)value);
    bs_store_u16(at + 2, (uint16_t)(value >> 16));
}

void bs_store_u64(void *bytes, uint64_t value)
{
    uint8_t *at = bytes;
    bs_store_u32(at, (uint32_t)value);
    bs_store_u32(at + 4, (uint32_t)(value >> 32));
}

void bs_bytes_free(struct bs_bytes *bytes)
{
    bs_free(bytes->data);
    *bytes = (struct bs_bytes){0};
}

static bool reserve(struct bs_bytes *bytes, size_t count)
{
    if (bytes->failed) return false;
    if (count <= bytes->capacity - bytes->count) return true;
    const size_t wanted = bytes->count + count;
    size_t capacity = BS_MAX(bytes->capacity, FIRST_CAPACITY_BYTES);
    while (capacity < wanted && capacity <= SIZE_MAX / 2) capacity *= 2;
    uint8_t *data =
        wanted >= count && capacity >= wanted ? bs_realloc(bytes->data, capacity) : NULL;
    if (!data) {
        bytes->failed = true;
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

uint8_t *bs_bytes_grow(struct bs_bytes *bytes, size_t count)
{
    if (!reserve(bytes, BS_MAX(count, 1))) return NULL; /* a pointer even to 0 bytes */
    uint8_t *grown = bytes->data + bytes->count;
    bytes->count += count;
    return grown;
}

void bs_bytes_put(struct bs_bytes *bytes, const void *data, size_t count)
{
    uint8_t *at = bs_bytes_grow(bytes, count);
    if (at && count) memcpy(at, data, count);
}

void bs_bytes_u8(struct bs_bytes *bytes, uint8_t value)
{
    bs_bytes_uint(bytes, value, 1);
}

void bs_bytes_u16(struct bs_bytes *bytes, uint16_t value)
{
    bs_bytes_uint(bytes, value, 2);
}

void bs_bytes_u32(struct bs_bytes *bytes, uint32_t value)
{
    bs_bytes_uint(bytes, value, 4);
}

void bs_bytes_u64(struct bs_bytes *bytes, uint64_t value)
{
    bs_bytes_uint(bytes, value, 8);
}

void bs_bytes_uint(struct bs_bytes *bytes, uint64_t value, size_t width_bytes)
{
    assert(width_bytes >= 1 && width_bytes <= 8);
    assert(width_bytes == 8 || value >> (8 * width_bytes) == 0);
    uint8_t *at = bs_bytes_grow(bytes, width_bytes);
    for (size_t i = 0; at && i < width_bytes; i++) at[i] = (uint8_t)(value >> (8 * i));
}

void bs_bytes_zeros(struct bs_bytes *bytes, size_t count)
{
    uint8_t *at = bs_bytes_grow(bytes, count);
    if (at) memset(at, 0, count);
}

void bs_bytes_align(struct bs_bytes *bytes, size_t alignment)
{
    assert(alignment > 0);
    const size_t over = bytes->count % alignment;
    if (over) bs_bytes_zeros(bytes, alignment - over);
}

void bs_bytes_text(struct bs_bytes *bytes, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    if (length < 0) bytes->failed = true;
    if (length >= 0 && reserve(bytes, (size_t)length + 1)) { /* vsnprintf writes a NUL */
        vsnprintf((char *)bytes->data + bytes->count, (size_t)length + 1, format, again);
        bytes->count += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

basalt_status bs_bytes_check(const struct bs_bytes *bytes, basalt_error *err)
{
    return bytes->failed ? bs_fail_memory(err, bytes->count) : BASALT_OK;
}
