/* builder_test.c - arrays built value by value, and by several threads at once. */
#include "tests/unit/arrow/kit.h"

TEST(builder, values_in_place_and_texts_one_by_one)
{
    static const char *const formats[] = {"b", "l", "u", "Z"};
    uint64_t seed = 1;
    struct bs_schema *schema = kit_schema(formats, 4, true, &seed);
    struct bs_array_builder *builder = NULL;
    struct ArrowArray array;
    void *room;
    REQUIRE_OK(bs_array_builder_create(schema, 3000, &builder, err));
    for (unsigned i = 0; i < 3000; i++) {
        char text[16];
        CHECK_OK(bs_array_builder_reserve(builder, 0, 1, &room, err));
        *(uint8_t *)room = i % 3 == 0;
        CHECK_OK(bs_array_builder_reserve(builder, 1, 1, &room, err));
        *(int64_t *)room = i;
        const int count = snprintf(text, sizeof text, "%u", i);
        CHECK_OK(bs_array_builder_put_text(builder, 2, text, (size_t)count, err));
        CHECK_OK(bs_array_builder_put_text(builder, 3, text, i % 2, err));
        if (i % 7 == 0) CHECK_OK(bs_array_builder_set_null(builder, 1, i, err));
        if (i % 7 == 0) CHECK_OK(bs_array_builder_set_null(builder, 1, i, err));
    }
    CHECK_OK(bs_array_builder_set_null(builder, 0, 2999, err));
    REQUIRE_OK(bs_array_builder_finish(&builder, &array, err));
    CHECK(builder == NULL);
    CHECK_EQ(array.length, 3000);
    CHECK_EQ(array.children[0]->null_count, 1);
    CHECK_EQ(array.children[1]->null_count, 429);
    CHECK_EQ(array.children[2]->null_count, 0);
    CHECK(array.children[2]->buffers[0] == NULL);
    for (unsigned i = 0; i < 3000; i++) {
        struct cell cell;
        char text[16];
        const int count = snprintf(text, sizeof text, "%u", i);
        kit_read(&schema->fields[0], array.children[0], i, &cell);
        CHECK_EQ(cell.bytes[0], i < 2999 && i % 3 == 0);
        kit_read(&schema->fields[1], array.children[1], i, &cell);
        CHECK_EQ(cell.null, i % 7 == 0);
        CHECK_EQ(bs_load_u64(cell.bytes), i % 7 ? i : 0);
        kit_read(&schema->fields[2], array.children[2], i, &cell);
        CHECK(cell.count == count && !memcmp(cell.bytes, text, (size_t)count));
        kit_read(&schema->fields[3], array.children[3], i, &cell);
        CHECK(cell.count == i % 2);
    }
    struct ArrowArray moved = *array.children[2]; /* a child may outlive its parent */
    array.children[2]->release = NULL;
    array.release(&array);
    struct cell cell;
    kit_read(&schema->fields[2], &moved, 2999, &cell);
    CHECK(!memcmp(cell.bytes, "2999", 4));
    moved.release(&moved);
    bs_schema_release(schema);
}

TEST(builder, an_empty_array_has_its_buffers)
{
    uint64_t seed = 2;
    struct bs_schema *schema = kit_schema(kit_formats, BS_ARRAY_LENGTH(kit_formats), true, &seed);
    struct bs_array_builder *builder = NULL;
    struct ArrowArray array;
    REQUIRE_OK(bs_array_builder_create(schema, 0, &builder, err));
    REQUIRE_OK(bs_array_builder_finish(&builder, &array, err));
    CHECK_EQ(array.length, 0);
    for (int64_t i = 0; i < array.n_children; i++) {
        CHECK(array.children[i]->buffers[1] != NULL);
        if (array.children[i]->n_buffers == 3) {
            CHECK(array.children[i]->buffers[2] != NULL);
            CHECK_EQ(*(const int32_t *)array.children[i]->buffers[1], 0);
        }
    }
    array.release(&array);
    bs_schema_release(schema);
}

TEST(builder, without_fields_there_are_still_rows)
{
    uint64_t seed = 3;
    struct bs_schema *schema = kit_schema(NULL, 0, true, &seed);
    struct bs_array_builder *builder = NULL;
    struct ArrowArray array;
    REQUIRE_OK(bs_array_builder_create(schema, 12, &builder, err));
    REQUIRE_OK(bs_array_builder_finish(&builder, &array, err));
    CHECK_EQ(array.length, 12);
    array.release(&array);
    bs_schema_release(schema);
}

TEST(builder, misuse_is_refused)
{
    static const char *const formats[] = {"i", "u"};
    uint64_t seed = 4;
    struct bs_schema *schema = kit_schema(formats, 2, true, &seed);
    struct bs_array_builder *builder = NULL;
    struct ArrowArray array;
    basalt_error why = {0};
    void *room;
    REQUIRE_OK(bs_array_builder_create(schema, 2, &builder, err));
    CHECK_EQ(bs_array_builder_reserve(builder, 0, 3, &room, &why), BASALT_BAD_ARGUMENT);
    CHECK(room == NULL);
    CHECK_EQ(bs_array_builder_reserve(builder, 0, UINT64_MAX, &room, &why), BASALT_BAD_ARGUMENT);
    CHECK_OK(bs_array_builder_reserve(builder, 0, 2, &room, err));
    memset(room, 0, 8);
    CHECK_EQ(bs_array_builder_reserve(builder, 0, 1, &room, &why), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_array_builder_put_text(builder, 1, "\xFF", 1, &why), BASALT_CORRUPT);
    CHECK_OK(bs_array_builder_put_text(builder, 1, "a", 1, err));
    CHECK_EQ(bs_array_builder_finish(&builder, &array, &why), BASALT_BAD_ARGUMENT);
    CHECK_TEXT(why.message, "column \"f1\" has 1 rows, the first column 2");
    CHECK(builder == NULL && array.release == NULL);
    bs_schema_release(schema);
}

TEST(builder, two_gib_of_text_need_large_offsets)
{
    static const char *const formats[] = {"z", "Z"};
    const size_t piece = (size_t)1 << 20;
    uint64_t seed = 5;
    struct bs_schema *schema = kit_schema(formats, 2, true, &seed);
    struct bs_array_builder *builder = NULL;
    basalt_error why = {0};
    uint8_t *bytes = bs_alloc_zeroed(1, piece);
    const uint32_t offsets[] = {0, INT32_MAX, UINT32_MAX};
    const struct bs_column wild = {.values = bytes, .offsets = offsets};
    REQUIRE_OK(bs_array_builder_create(schema, 3000, &builder, err));
    CHECK_OK(bs_array_builder_put_text(builder, 0, bytes, piece, err));
    CHECK_EQ(bs_array_builder_put(builder, 0, &wild, 0, 1, &why), BASALT_TOO_LARGE);
    CHECK(strstr(why.message, "2 GiB") != NULL);
    CHECK_EQ(
        bs_array_builder_put_text(builder, 0, bytes, (size_t)INT32_MAX, &why), BASALT_TOO_LARGE);
    bs_array_builder_free(builder);
    bs_free(bytes);
    bs_schema_release(schema);
}

struct share {
    struct bs_array_builder *builder;
    size_t field;
    basalt_status status;
};

static void fill_one_column(void *argument)
{
    struct share *share = argument;
    basalt_error why = {0};
    void *room;
    for (unsigned i = 0; i < 2000 && !share->status; i++) {
        share->status = bs_array_builder_reserve(share->builder, share->field, 1, &room, &why);
        if (share->status) return;
        *(uint32_t *)room = i;
        if (i % 5 == 0) {
            share->status = bs_array_builder_set_null(share->builder, share->field, i, &why);
        }
    }
}

TEST(builder, columns_by_different_threads)
{
    static const char *const formats[] = {"i", "I", "f", "i"};
    uint64_t seed = 6;
    struct bs_schema *schema = kit_schema(formats, 4, true, &seed);
    struct bs_array_builder *builder = NULL;
    struct bs_thread *threads[4] = {NULL};
    struct share shares[4];
    struct ArrowArray array;
    REQUIRE_OK(bs_array_builder_create(schema, 2000, &builder, err));
    for (size_t i = 0; i < 4; i++) {
        shares[i] = (struct share){builder, i, BASALT_OK};
        REQUIRE_OK(bs_thread_start("column", fill_one_column, &shares[i], &threads[i], err));
    }
    for (size_t i = 0; i < 4; i++) bs_thread_join(threads[i]);
    for (size_t i = 0; i < 4; i++) CHECK_EQ(shares[i].status, BASALT_OK);
    REQUIRE_OK(bs_array_builder_finish(&builder, &array, err));
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(array.children[i]->null_count, 400);
        CHECK_EQ(((const uint32_t *)array.children[i]->buffers[1])[1999], 1999);
    }
    array.release(&array);
    bs_schema_release(schema);
}

TEST(builder, no_memory_is_no_crash)
{
    static const char *const formats[] = {"i", "u", "b"};
    uint64_t seed = 7;
    struct bs_schema *schema = kit_schema(formats, 3, true, &seed);
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_array_builder *builder = NULL;
        struct ArrowArray array = {0};
        basalt_error why = {0};
        void *room;
        basalt_status status = bs_array_builder_create(schema, 500, &builder, &why);
        for (unsigned i = 0; !status && i < 500; i++) {
            status = bs_array_builder_put_text(builder, 1, "abcdefgh", i % 9, &why);
            if (!status) status = bs_array_builder_reserve(builder, 0, 1, &room, &why);
            if (!status) memset(room, 7, 4);
            if (!status) status = bs_array_builder_reserve(builder, 2, 1, &room, &why);
            if (!status) memset(room, 1, 1);
            if (!status) status = bs_array_builder_set_null(builder, 1, i, &why);
        }
        if (!status) status = bs_array_builder_finish(&builder, &array, &why);
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        CHECK_EQ(status, why.status);
        fault_stop();
        if (array.release) array.release(&array);
        bs_array_builder_free(builder);
        CHECK_EQ(test_live_allocations(), before);
    }
    bs_schema_release(schema);
}
