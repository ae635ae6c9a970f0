/* filter_bits.c - numbers of any width, packed highest bit first: what nbit and scaleoffset store.
 *
 * Numbers in elements of 1, 2, 4 and 8 bytes are taken by one load of eight bytes (and a ninth where
 * the number straddles it); others byte by byte. */
#include "codec/codec_internal.h"

#define WINDOW_BYTES ((size_t)9)

bool bs_bit_field_valid(const struct bs_bit_field *field)
{
    const uint64_t bits = (uint64_t)field->element_bytes * 8;
    return field->element_bytes > 0 && field->width > 0 && field->width <= bits &&
        field->offset <= bits - field->width;
}

/* `width` (1 to 64) bits from bit `at` on of bytes of which WINDOW_BYTES may be read. */
static inline uint64_t take_window(const uint8_t *window, unsigned at, uint32_t width)
{
    uint64_t value = bs_load_u64_big(window) << at;
    if (at) value |= (uint64_t)window[8] >> (8 - at);
    return value >> (64 - width);
}

/* The same anywhere inside the bytes. */
static uint64_t take(const struct bs_bits *bits, uint64_t at, uint32_t width)
{
    uint8_t window[WINDOW_BYTES] = {0};
    const size_t byte = (size_t)(at / 8);
    memcpy(window, bits->bytes + byte, BS_MIN(WINDOW_BYTES, bits->count - byte));
    return take_window(window, at % 8, width);
}

static inline void put(uint64_t value, size_t element_bytes, bool big_endian, uint8_t *out)
{
    if (big_endian) value = __builtin_bswap64(value) >> (64 - 8 * element_bytes);
    switch (element_bytes) {
    case 1: *out = (uint8_t)value; break;
    case 2: bs_store_u16(out, (uint16_t)value); break;
    case 4: bs_store_u32(out, (uint32_t)value); break;
    default: bs_store_u64(out, value); break;
    }
}

/* Inlined for each size. */
static inline void unpack(struct bs_bits *bits, const struct bs_bit_field *field, size_t count,
    size_t element_bytes, uint8_t *out)
{
    const uint32_t width = field->width, offset = field->offset;
    const bool big_endian = field->big_endian;
    uint64_t at = bits->at;
    size_t i = 0;
    if (bits->count >= WINDOW_BYTES) {
        const uint64_t last =
            (uint64_t)(bits->count - WINDOW_BYTES + 1) * 8; /* a window still fits */
        for (; i < count && at < last; i++, at += width) {
            put(take_window(bits->bytes + at / 8, at % 8, width) << offset, element_bytes,
                big_endian, out + i * element_bytes);
        }
    }
    for (; i < count; i++, at += width) {
        put(take(bits, at, width) << offset, element_bytes, big_endian, out + i * element_bytes);
    }
    bits->at = at;
}

/* Any size: the bytes that have bits of the number, from its highest to its lowest. */
static void unpack_wide(struct bs_bits *bits, const struct bs_bit_field *field, uint8_t *out)
{
    const uint32_t end = field->offset + field->width;
    memset(out, 0, field->element_bytes);
    for (uint32_t byte = (end - 1) / 8 + 1; byte-- > field->offset / 8;) {
        const uint32_t low = field->offset > 8 * byte ? field->offset - 8 * byte : 0;
        const uint32_t high = BS_MIN(8u, end - 8 * byte);
        const uint64_t value = take(bits, bits->at, high - low) << low;
        bits->at += high - low;
        out[field->big_endian ? field->element_bytes - 1 - byte : byte] = (uint8_t)value;
    }
}

bool bs_bits_unpack(
    struct bs_bits *bits, const struct bs_bit_field *field, size_t count, uint8_t *out)
{
    const uint64_t left = (uint64_t)bits->count * 8 - bits->at;
    if (count > left / field->width) return false;
    switch (field->element_bytes) {
    case 1: unpack(bits, field, count, 1, out); break;
    case 2: unpack(bits, field, count, 2, out); break;
    case 4: unpack(bits, field, count, 4, out); break;
    case 8: unpack(bits, field, count, 8, out); break;
    default:
        for (size_t i = 0; i < count; i++) {
            unpack_wide(bits, field, out + i * field->element_bytes);
        }
        break;
    }
    return true;
}
