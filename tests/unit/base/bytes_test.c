/* bytes_test.c - what was appended is what a cursor reads back, or the buffer says it failed. */
#include "tests/harness/test.h"

static void build(struct bs_bytes *bytes)
{
    bs_bytes_u8(bytes, 1);
    bs_bytes_u16(bytes, 0x0203);
    bs_bytes_u32(bytes, 0x04050607);
    bs_bytes_u64(bytes, 0x08090A0B0C0D0E0F);
    bs_bytes_uint(bytes, 0x123456, 3);
    bs_bytes_align(bytes, 16);
    bs_bytes_align(bytes, 16);
    bs_bytes_put(bytes, "abc", 3);
    bs_bytes_put(bytes, NULL, 0);
    bs_bytes_text(bytes, "%d rows of %s", 17, "thermometer");
    bs_bytes_zeros(bytes, 1000);
    uint8_t *lent = bs_bytes_grow(bytes, 2);
    if (lent) memcpy(lent, "zz", 2);
}

TEST(bytes, what_goes_in_comes_out)
{
    struct bs_bytes bytes = {0};
    build(&bytes);
    CHECK_OK(bs_bytes_check(&bytes, err));
    struct bs_cursor cursor = bs_cursor_make(bytes.data, bytes.count, 0);
    CHECK_EQ(bs_cursor_u8(&cursor), 1);
    CHECK_EQ(bs_cursor_u16(&cursor), 0x0203);
    CHECK_EQ(bs_cursor_u32(&cursor), 0x04050607);
    CHECK_EQ(bs_cursor_u64(&cursor), 0x08090A0B0C0D0E0F);
    CHECK_EQ(bs_cursor_uint(&cursor, 3), 0x123456);
    for (size_t i = 18; i < 32; i++) CHECK_EQ(bs_cursor_u8(&cursor), 0);
    CHECK_EQ(memcmp(bs_cursor_bytes(&cursor, 25), "abc17 rows of thermometer", 25), 0);
    for (size_t i = 0; i < 1000; i++) CHECK_EQ(bs_cursor_u8(&cursor), 0);
    CHECK_EQ(memcmp(bs_cursor_bytes(&cursor, 2), "zz", 2), 0);
    CHECK_EQ(bs_cursor_left(&cursor), 0);
    CHECK(!cursor.failed);
    bs_bytes_free(&bytes);
    CHECK(bytes.data == NULL && bytes.count == 0);
}

TEST(bytes, memory_that_is_refused_is_told_once)
{
    const int64_t before = test_live_allocations();
    unsigned failed = 0;
    EACH_FAULT (step) {
        struct bs_bytes bytes = {0};
        build(&bytes);
        basalt_error err = {0};
        if (bs_bytes_check(&bytes, &err)) {
            failed++;
            CHECK_EQ(err.status, BASALT_NO_MEMORY);
            CHECK(bytes.failed);
            CHECK(bs_bytes_grow(&bytes, 1) == NULL); /* stays failed */
        }
        bs_bytes_free(&bytes);
        CHECK_EQ(test_live_allocations(), before);
    }
    CHECK_EQ(failed, 2); /* allocations: of 64 bytes, then of 2,048 */
}

TEST(bytes, sizes_that_overflow_fail)
{
    struct bs_bytes bytes = {0};
    bs_bytes_u8(&bytes, 1);
    CHECK(bs_bytes_grow(&bytes, SIZE_MAX) == NULL);
    CHECK(bytes.failed);
    CHECK_EQ(bytes.count, 1);
    bs_bytes_free(&bytes);
    CHECK(bs_bytes_grow(&bytes, 0) != NULL); /* empty again, and 0 bytes are lent */
    bs_bytes_text(&bytes, "%s", "");
    CHECK_EQ(bytes.count, 0);
    bs_bytes_free(&bytes);
}
