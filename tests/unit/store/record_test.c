/* record_test.c - what goes into a log record comes out, and nothing else does. */
#include "store/store_internal.h"
#include "tests/unit/store/store_help.h"

struct seen {
    struct bs_record_op ops[8];
    size_t count;
};

static basalt_status see(void *context, const struct bs_record_op *op, basalt_error *err)
{
    struct seen *seen = context;
    (void)err;
    if (seen->count < BS_ARRAY_LENGTH(seen->ops)) seen->ops[seen->count++] = *op;
    return BASALT_OK;
}

static void make_record(struct bs_bytes *record)
{
    const uint8_t block[24] = {1, 2, 3};
    size_t name_at, value_at;
    const struct bs_record_creation creation = {"family", block, sizeof block, 6, 512, true, 99};
    bs_record_begin(record);
    bs_record_creation_put(record, 7, &creation);
    for (unsigned i = 0; i < 2; i++) {
        const size_t at = bs_record_op_begin(record, BS_OP_APPEND, 7 + i);
        bs_bytes_u64(record, 10 + i);
        bs_bytes_put(record, block, sizeof block - 8 * i);
        bs_record_op_end(record, at);
    }
    bs_record_attribute_put(record, 0, "name", "value", &name_at, &value_at);
    CHECK_TEXT((const char *)record->data + name_at, "name");
    CHECK_TEXT((const char *)record->data + value_at, "value");
    bs_record_finish(record, 4, 2);
    bs_record_set_first_row(record, 2, 0, 1000);
    bs_record_set_first_row(record, 2, 1, 2000);
}

TEST(record, operations_come_back)
{
    struct bs_bytes record = {0};
    struct seen seen = {0};
    make_record(&record);
    REQUIRE_OK(bs_record_each(record.data, record.count, see, &seen, err));
    REQUIRE(seen.count == 4);
    CHECK_EQ(seen.ops[0].kind, BS_OP_CREATE);
    CHECK_TEXT(seen.ops[0].creation.name, "family");
    CHECK_EQ(seen.ops[0].creation.schema_bytes, 24);
    CHECK_EQ(seen.ops[0].creation.compression_level, 6);
    CHECK_EQ(seen.ops[0].creation.chunk_rows, 512);
    CHECK_EQ(seen.ops[0].creation.created_wall_ns, 99);
    CHECK(seen.ops[0].creation.row_index);
    CHECK_EQ(seen.ops[1].family_id, 7);
    CHECK_EQ(seen.ops[1].first_row, 1000);
    CHECK_EQ(seen.ops[1].rows, 10);
    CHECK_EQ(seen.ops[1].block_bytes, 24);
    CHECK_EQ((uintptr_t)seen.ops[1].block % 8, 0);
    CHECK_EQ(seen.ops[2].first_row, 2000);
    CHECK_EQ(seen.ops[2].block_bytes, 16);
    CHECK_TEXT(seen.ops[3].name, "name");
    CHECK_TEXT(seen.ops[3].value, "value");
    bs_bytes_free(&record);
}

TEST(record, damaged_bytes_are_an_error_or_other_operations_but_never_more)
{
    struct bs_bytes record = {0};
    uint64_t state = 1;
    make_record(&record);
    for (size_t count = 0; count < record.count; count++) {
        struct seen seen = {0};
        uint8_t *cut =
            bs_copy_bytes(record.data, count); /* exact, so that a sanitizer sees over-reads */
        CHECK_EQ(bs_record_each(cut, count, see, &seen, NULL), BASALT_CORRUPT);
        bs_free(cut);
    }
    for (unsigned i = 0; i < 50000; i++) {
        struct seen seen = {0};
        uint8_t *damaged = bs_copy_bytes(record.data, record.count);
        for (unsigned k = 0; k <= i % 4; k++) {
            damaged[test_random(&state) % record.count] = (uint8_t)test_random(&state);
        }
        const basalt_status status = bs_record_each(damaged, record.count, see, &seen, NULL);
        CHECK(status == BASALT_OK || status == BASALT_CORRUPT);
        for (size_t k = 0; k < seen.count; k++) {
            if (seen.ops[k].kind != BS_OP_APPEND) continue;
            CHECK(seen.ops[k].block >= damaged);
            CHECK(seen.ops[k].block + seen.ops[k].block_bytes <= damaged + record.count);
        }
        bs_free(damaged);
    }
    bs_bytes_free(&record);
}
