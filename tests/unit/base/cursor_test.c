/* cursor_test.c - nothing past the end is ever read, and one check at the end tells. */
#include "tests/harness/test.h"

#include <stdlib.h>

static const uint8_t sample[] = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'h', 'i', 0, 255};

TEST(cursor, values_are_little_endian)
{
    struct bs_cursor cursor = bs_cursor_make(sample, sizeof sample, 1000);
    CHECK_EQ(bs_cursor_u8(&cursor), 1);
    CHECK_EQ(bs_cursor_u16(&cursor), 0x0302);
    CHECK_EQ(bs_cursor_u32(&cursor), 0x07060504);
    CHECK_EQ(bs_cursor_u64(&cursor), 0x0F0E0D0C0B0A0908);
    CHECK_EQ(bs_cursor_offset(&cursor), 1015);
    CHECK_TEXT(bs_cursor_string(&cursor), "hi");
    CHECK_EQ(bs_cursor_left(&cursor), 1);
    CHECK(bs_cursor_string(&cursor) == NULL); /* no NUL is left */
    CHECK_EQ(bs_cursor_left(&cursor), 0);
    basalt_error err = {0};
    CHECK_EQ(bs_cursor_check(&cursor, "the header", &err), BASALT_CORRUPT);
    CHECK_TEXT(err.message, "the header at offset 1000 is cut short");
    CHECK_EQ(err.file_offset, 1000);
}

TEST(cursor, every_width_at_every_length)
{
    for (size_t length = 0; length <= 8; length++) {
        uint8_t *exact = malloc(length ? length : 1); /* a sanitizer guards its end */
        REQUIRE(exact != NULL);
        memcpy(exact, sample, length);
        for (size_t width = 1; width <= 8; width++) {
            struct bs_cursor cursor = bs_cursor_make(exact, length, 0);
            uint64_t expected = 0;
            for (size_t i = width; i-- > 0;) expected = expected << 8 | sample[i];
            CHECK_EQ(bs_cursor_uint(&cursor, width), width <= length ? expected : 0);
            CHECK_EQ(cursor.failed, width > length);
        }
        struct bs_cursor cursor = bs_cursor_make(exact, length, 0);
        bs_cursor_skip(&cursor, SIZE_MAX);
        CHECK(cursor.failed);
        CHECK_EQ(bs_cursor_u8(&cursor), 0); /* failed for good, though a byte is there */
        CHECK(bs_cursor_bytes(&cursor, 0) == NULL);
        free(exact);
    }
}

TEST(cursor, alignment_is_relative_to_the_start)
{
    struct bs_cursor cursor = bs_cursor_make(sample + 1, 9, 3);
    bs_cursor_align(&cursor, 8);
    CHECK_EQ(bs_cursor_left(&cursor), 9);
    bs_cursor_skip(&cursor, 1);
    bs_cursor_align(&cursor, 8);
    CHECK_EQ(bs_cursor_u8(&cursor), sample[9]);
    CHECK_OK(bs_cursor_check(&cursor, "x", err));
    bs_cursor_align(&cursor, 8);
    CHECK(cursor.failed);
}

TEST(cursor, nothing_at_all)
{
    struct bs_cursor cursor = bs_cursor_make(NULL, 0, BASALT_NO_OFFSET);
    CHECK_EQ(bs_cursor_left(&cursor), 0);
    CHECK_EQ(bs_cursor_offset(&cursor), BASALT_NO_OFFSET);
    bs_cursor_align(&cursor, 8);
    bs_cursor_skip(&cursor, 0);
    CHECK(!cursor.failed);
    CHECK_EQ(bs_cursor_u32(&cursor), 0);
    basalt_error err = {0};
    CHECK_EQ(bs_cursor_check(&cursor, "the message", &err), BASALT_CORRUPT);
    CHECK_TEXT(err.message, "the message is cut short");
    CHECK_EQ(err.file_offset, BASALT_NO_OFFSET);
}

TEST(cursor, loads_and_stores_are_inverse)
{
    uint64_t random = 1;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t bytes[11] = {0};
        const uint64_t value = test_random(&random);
        bs_store_u64(bytes + 1, value);
        CHECK_EQ(bs_load_u64(bytes + 1), value);
        CHECK_EQ(bytes[1], value & 0xFF);
        bs_store_u32(bytes + 3, (uint32_t)value);
        CHECK_EQ(bs_load_u32(bytes + 3), (uint32_t)value);
        bs_store_u16(bytes + 9, (uint16_t)value);
        CHECK_EQ(bs_load_u16(bytes + 9), (uint16_t)value);
    }
}
