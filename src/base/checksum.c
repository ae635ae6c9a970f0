/* checksum.c - the two checksums of the files.
 *
 * CRC-32C: polynomial 0x1EDC6F41, reflected 0x82F63B78, start and end inverted (RFC 3720, B.4). With
 * the processor's instruction where there is one; otherwise eight bytes a step from eight tables:
 * table k gives what a byte does to the sum k bytes further on. A CRC is linear, so a table of 256 is
 * spelled by the eight entries whose index is a power of two.
 *
 * lookup3: Bob Jenkins' hashlittle of 2006, which HDF5 uses for its metadata. */
#include "base/base_internal.h"

#define BIT(index, bit, value) ((index) >> (bit)&1 ? (value) : 0u)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                           \
    (BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^     \
        BIT(i, 6, g) ^ BIT(i, 7, h))
#define FOUR(i, ...)                                                                               \
    ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__),               \
        ENTRY((i) + 3, __VA_ARGS__)
#define SIXTEEN(i, ...)                                                                            \
    FOUR(i, __VA_ARGS__), FOUR((i) + 4, __VA_ARGS__), FOUR((i) + 8, __VA_ARGS__),                  \
        FOUR((i) + 12, __VA_ARGS__)
#define QUARTER(i, ...)                                                                            \
    SIXTEEN(i, __VA_ARGS__), SIXTEEN((i) + 16, __VA_ARGS__), SIXTEEN((i) + 32, __VA_ARGS__),       \
        SIXTEEN((i) + 48, __VA_ARGS__)
#define SLICE(...)                                                                                 \
    {                                                                                              \
        QUARTER(0, __VA_ARGS__), QUARTER(64, __VA_ARGS__), QUARTER(128, __VA_ARGS__),              \
            QUARTER(192, __VA_ARGS__)                                                              \
    }

static const uint32_t slices[8][256] = {
    SLICE(0xF26B8303u, 0xE13B70F7u, 0xC79A971Fu, 0x8AD958CFu, 0x105EC76Fu, 0x20BD8EDEu, 0x417B1DBCu,
        0x82F63B78u),
    SLICE(0x13A29877u, 0x274530EEu, 0x4E8A61DCu, 0x9D14C3B8u, 0x3FC5F181u, 0x7F8BE302u, 0xFF17C604u,
        0xFBC3FAF9u),
    SLICE(0xA541927Eu, 0x4F6F520Du, 0x9EDEA41Au, 0x38513EC5u, 0x70A27D8Au, 0xE144FB14u, 0xC76580D9u,
        0x8B277743u),
    SLICE(0xDD45AAB8u, 0xBF672381u, 0x7B2231F3u, 0xF64463E6u, 0xE964B13Du, 0xD725148Bu, 0xABA65FE7u,
        0x52A0C93Fu),
    SLICE(0x38116FACu, 0x7022DF58u, 0xE045BEB0u, 0xC5670B91u, 0x8F2261D3u, 0x1BA8B557u, 0x37516AAEu,
        0x6EA2D55Cu),
    SLICE(0xEF306B19u, 0xDB8CA0C3u, 0xB2F53777u, 0x6006181Fu, 0xC00C303Eu, 0x85F4168Du, 0x0E045BEBu,
        0x1C08B7D6u),
    SLICE(0x68032CC8u, 0xD0065990u, 0xA5E0C5D1u, 0x4E2DFD53u, 0x9C5BFAA6u, 0x3D5B83BDu, 0x7AB7077Au,
        0xF56E0EF4u),
    SLICE(0x493C7D27u, 0x9278FA4Eu, 0x211D826Du, 0x423B04DAu, 0x847609B4u, 0x0D006599u, 0x1A00CB32u,
        0x34019664u),
};

static uint32_t crc_by_table(uint32_t crc, const uint8_t *at, size_t count)
{
    for (; count >= 8; count -= 8, at += 8) {
        const uint32_t low = crc ^ bs_load_u32(at), high = bs_load_u32(at + 4);
        crc = slices[7][low & 0xFF] ^ slices[6][low >> 8 & 0xFF] ^ slices[5][low >> 16 & 0xFF] ^
            slices[4][low >> 24] ^ slices[3][high & 0xFF] ^ slices[2][high >> 8 & 0xFF] ^
            slices[1][high >> 16 & 0xFF] ^ slices[0][high >> 24];
    }
    while (count-- > 0) crc = crc >> 8 ^ slices[0][(crc ^ *at++) & 0xFF];
    return crc;
}

uint32_t bs_crc32c_by_table(uint32_t seed, const void *data, size_t count)
{
    return ~crc_by_table(~seed, data, count);
}

uint32_t bs_crc32c(uint32_t seed, const void *data, size_t count)
{
    uint32_t crc = ~seed;
    if (!bs_crc32c_by_processor(&crc, data, count)) crc = crc_by_table(crc, data, count);
    return ~crc;
}

static uint32_t rotate(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

/* One of the six equal steps of the inner mixing. */
static void mix_step(uint32_t *x, uint32_t *y, uint32_t *z, unsigned bits)
{
    *x -= *z;
    *x ^= rotate(*z, bits);
    *z += *y;
}

/* One of the seven equal steps of the ending. */
static void end_step(uint32_t *x, uint32_t y, unsigned bits)
{
    *x ^= y;
    *x -= rotate(y, bits);
}

uint32_t bs_lookup3(const void *data, size_t count, uint32_t seed)
{
    const uint8_t *at = data;
    uint32_t a = 0xDEADBEEFu + (uint32_t)count + seed, b = a, c = a;
    if (count == 0) return c;
    for (; count > 12; count -= 12, at += 12) {
        a += bs_load_u32(at);
        b += bs_load_u32(at + 4);
        c += bs_load_u32(at + 8);
        mix_step(&a, &b, &c, 4);
        mix_step(&b, &c, &a, 6);
        mix_step(&c, &a, &b, 8);
        mix_step(&a, &b, &c, 16);
        mix_step(&b, &c, &a, 19);
        mix_step(&c, &a, &b, 4);
    }
    uint8_t last[12] = {0}; /* 1 to 12 bytes are left, as if zeros followed */
    memcpy(last, at, count);
    a += bs_load_u32(last);
    b += bs_load_u32(last + 4);
    c += bs_load_u32(last + 8);
    end_step(&c, b, 14);
    end_step(&a, c, 11);
    end_step(&b, a, 25);
    end_step(&c, b, 16);
    end_step(&a, c, 4);
    end_step(&b, a, 14);
    end_step(&c, b, 24);
    return c;
}

bool bs_lookup3_is(const void *data, size_t count, uint32_t sum)
{
    return bs_lookup3(data, count, 0) == sum;
}
