/* checksum_test.c - published vectors, and the ways of computing a sum held against each other. */
#include "tests/harness/test.h"

#include "base/base_internal.h"

TEST(checksum, crc32c_of_the_published_vectors)
{
    uint8_t bytes[32];
    CHECK_EQ(bs_crc32c(0, "123456789", 9), 0xE3069283u);
    memset(bytes, 0, 32); /* RFC 3720, B.4 */
    CHECK_EQ(bs_crc32c(0, bytes, 32), 0x8A9136AAu);
    memset(bytes, 0xFF, 32);
    CHECK_EQ(bs_crc32c(0, bytes, 32), 0x62A8AB43u);
    for (uint8_t i = 0; i < 32; i++) bytes[i] = i;
    CHECK_EQ(bs_crc32c(0, bytes, 32), 0x46DD794Eu);
    for (uint8_t i = 0; i < 32; i++) bytes[i] = (uint8_t)(31 - i);
    CHECK_EQ(bs_crc32c(0, bytes, 32), 0x113FDB5Cu);
    CHECK_EQ(bs_crc32c(0, NULL, 0), 0);
}

static uint32_t crc_by_bits(const uint8_t *at, size_t count)
{
    uint32_t crc = ~0u;
    while (count-- > 0) {
        crc ^= *at++;
        for (unsigned bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

TEST(checksum, crc32c_each_way_and_in_pieces)
{
    static uint8_t bytes[20000];
    uint64_t random = 2;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)test_random(&random);
    for (size_t start = 0; start < 9; start++) {
        for (size_t count = 0; count < 280; count++) {
            const uint32_t expected = crc_by_bits(bytes + start, count);
            const size_t first = count ? test_random(&random) % count : 0;
            CHECK_EQ(bs_crc32c(0, bytes + start, count), expected);
            CHECK_EQ(bs_crc32c_by_table(0, bytes + start, count), expected);
            const uint32_t half = bs_crc32c(0, bytes + start, first);
            CHECK_EQ(bs_crc32c(half, bytes + start + first, count - first), expected);
        }
    }
    for (size_t count = 3000; count < 19000; count += 1 + test_random(&random) % 200) {
        const size_t start = count % 9;
        const uint32_t expected = crc_by_bits(bytes + start, count);
        CHECK_EQ(bs_crc32c(0, bytes + start, count), expected);
        CHECK_EQ(bs_crc32c_by_table(0, bytes + start, count), expected);
    }
}

TEST(checksum, lookup3_of_the_published_vectors)
{
    const char *text = "Four score and seven years ago"; /* from its author's own self-test */
    CHECK_EQ(bs_lookup3("", 0, 0), 0xDEADBEEFu);
    CHECK_EQ(bs_lookup3("", 0, 0xDEADBEEFu), 0xBD5B7DDEu);
    CHECK_EQ(bs_lookup3(text, 30, 0), 0x17770551u);
    CHECK_EQ(bs_lookup3(text, 30, 1), 0xCD628161u);
}

TEST(checksum, lookup3_of_a_superblock)
{
    /* Version 2, made by libhdf5 1.10.8: signature to root address, then the sum it stored. */
    static const uint8_t superblock[48] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n', 2, 8, 8, 0,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0xF4, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x61, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x29, 0x23, 0x58, 0xAD};
    CHECK_EQ(bs_lookup3(superblock, 44, 0), bs_load_u32(superblock + 44));
}

TEST(checksum, lookup3_depends_on_every_byte)
{
    uint8_t bytes[40] = {0};
    for (size_t count = 1; count <= sizeof bytes; count++) {
        const uint32_t sum = bs_lookup3(bytes, count, 0);
        for (size_t i = 0; i < count; i++) {
            bytes[i] ^= 0x10;
            CHECK(bs_lookup3(bytes, count, 0) != sum);
            bytes[i] ^= 0x10;
        }
        CHECK(bs_lookup3(bytes, count - 1, 0) != sum);
    }
}
