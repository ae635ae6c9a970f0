/* deflate_runs.c - deflate at the speed of a comparison, for bytes that repeat themselves.
 *
 * Row numbers, masks and constant columns, shuffled, are long runs of one byte and of one cycle of
 * 256; a compressor for any input hashes its way through them at a fraction of the speed at which
 * they can be seen. Here a match is looked for in two places only, one byte back and 256 back, and
 * written in the fixed codes of RFC 1951 section 3.2.6, which any inflater reads. Input that this
 * does not suit is given up after a small part of it. */
#include "codec/codec_internal.h"

#include <libdeflate.h>

#define MATCH_MIN ((size_t)4) /* a shorter one is not worth its distance */
#define MATCH_MAX ((size_t)258)
#define CYCLE ((size_t)256)
#define SHRINK_MIN ((size_t)64) /* to a 64th, or it is the compressor's job */
#define INPUT_MIN ((size_t)16384)
#define PROBES ((size_t)64)

struct bits {
    uint8_t *out;
    size_t count, capacity; /* bytes; some more may be written beyond `capacity` */
    uint64_t pending;
    unsigned pending_count;
};

static void put(struct bits *bits, uint32_t value, unsigned count)
{
    bits->pending |= (uint64_t)value << bits->pending_count;
    bits->pending_count += count;
    if (bits->pending_count < 32) return;
    bs_store_u32(bits->out + bits->count, (uint32_t)bits->pending);
    bits->count += 4;
    bits->pending >>= 32;
    bits->pending_count -= 32;
}

/* Huffman codes go in from their highest bit. */
static uint32_t reversed(uint32_t code, unsigned count)
{
    uint32_t result = 0;
    while (count-- > 0) {
        result = result << 1 | (code & 1);
        code >>= 1;
    }
    return result;
}

static void put_symbol(struct bits *bits, unsigned symbol)
{
    if (symbol < 144) {
        put(bits, reversed(0x30 + symbol, 8), 8);
    } else if (symbol < 256) {
        put(bits, reversed(0x190 + symbol - 144, 9), 9);
    } else if (symbol < 280) {
        put(bits, reversed(symbol - 256, 7), 7);
    } else {
        put(bits, reversed(0xC0 + symbol - 280, 8), 8);
    }
}

/* One match of 3 to 258 bytes. */
static void put_match(struct bits *bits, size_t length, size_t distance)
{
    const unsigned past = (unsigned)length - 3;
    if (length == MATCH_MAX) {
        put_symbol(bits, 285);
    } else if (past < 8) {
        put_symbol(bits, 257 + past);
    } else {
        unsigned extra = 1;
        while (past >> (extra + 3)) extra++;
        put_symbol(bits, 257 + 4 * extra + (past >> extra));
        put(bits, past & ((1u << extra) - 1), extra);
    }
    if (distance == 1) {
        put(bits, 0, 5); /* code 0: 1 */
    } else {
        put(bits, reversed(15, 5), 5); /* code 15: 193 and 6 more bits */
        put(bits, (uint32_t)(CYCLE - 193), 6);
    }
}

/* How many bytes from `at` on are as those `distance` before them. */
static size_t match_length(const uint8_t *bytes, size_t at, size_t count, size_t distance)
{
    const size_t start = at;
    for (; count - at >= 8; at += 8) {
        const uint64_t differs = bs_load_u64(bytes + at) ^ bs_load_u64(bytes + at - distance);
        if (differs) return at - start + (size_t)__builtin_ctzll(differs) / 8;
    }
    while (at < count && bytes[at] == bytes[at - distance]) at++;
    return at - start;
}

/* A match of any length, as many of 258 and a rest; what is shorter than 3 is left over. */
static size_t put_run(struct bits *bits, size_t length, size_t distance)
{
    size_t done = 0;
    while (length - done >= 3 && bits->count < bits->capacity) {
        const size_t part = BS_MIN(length - done, MATCH_MAX);
        put_match(bits, part, distance);
        done += part;
    }
    return done;
}

static bool put_all(struct bits *bits, const uint8_t *raw, size_t count)
{
    for (size_t at = 0; at < count;) {
        size_t distance = 1, length = at > 0 ? match_length(raw, at, count, 1) : 0;
        if (length < MATCH_MIN && at >= CYCLE) {
            distance = CYCLE;
            length = match_length(raw, at, count, CYCLE);
        }
        if (length < MATCH_MIN) {
            put_symbol(bits, raw[at++]);
        } else {
            at += put_run(bits, length, distance);
        }
        if (bits->count >= bits->capacity) return false;
    }
    return true;
}

/* Looks at a few places before anything is written: of what this suits nearly all repeat. */
static bool looks_repetitive(const uint8_t *raw, size_t count)
{
    unsigned others = 0;
    for (size_t i = 0; i < PROBES; i++) {
        const uint8_t *at = raw + CYCLE + (count - CYCLE - 8) / PROBES * i;
        const uint64_t here = bs_load_u64(at);
        others += here != bs_load_u64(at - 1) && here != bs_load_u64(at - CYCLE);
    }
    return others <= PROBES / 16;
}

size_t bs_deflate_runs(const void *raw, size_t raw_bytes, void *out, size_t capacity)
{
    const size_t room = BS_MIN(capacity, raw_bytes / SHRINK_MIN);
    struct bits bits = {.out = (uint8_t *)out + 2};
    if (raw_bytes < INPUT_MIN || room < INPUT_MIN / SHRINK_MIN) return 0;
    if (!looks_repetitive(raw, raw_bytes)) return 0;
    bits.capacity = room - 32; /* for what is pending, the end and the sum */
    bs_store_u16(out, 0x0178); /* RFC 1950: deflate, window of 32 KiB, fastest */
    put(&bits, 3, 3);          /* the last block, fixed codes */
    if (!put_all(&bits, raw, raw_bytes)) return 0;
    put_symbol(&bits, 256);
    while (bits.pending_count > 0) {
        bits.out[bits.count++] = (uint8_t)bits.pending;
        bits.pending >>= 8;
        bits.pending_count -= BS_MIN(bits.pending_count, 8u);
    }
    const uint32_t sum = libdeflate_adler32(1, raw, raw_bytes);
    for (unsigned i = 0; i < 4; i++) bits.out[bits.count++] = (uint8_t)(sum >> (24 - 8 * i));
    return bits.count + 2;
}
