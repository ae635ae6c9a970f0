/* batch_test.c - whatever array comes in, the block holds its rows; whatever block comes in, decode
 * gives right rows or says no. */
#include "tests/unit/arrow/kit.h"

/* Encodes rows [first, first + count), decodes, builds an array again and compares. */
static void round_trip(
    const struct rows *rows, const struct ArrowArray *array, uint64_t first, uint64_t count)
{
    struct bs_bytes block = {0};
    struct bs_batch batch = {0};
    struct bs_array_builder *builder = NULL;
    struct ArrowArray out = {0};
    bs_bytes_u8(&block, 42); /* so that alignment has work to do */
    REQUIRE_OK(bs_batch_encode(rows->schema, array, first, count, &block, err));
    CHECK_EQ(block.count % 8, 0);
    REQUIRE_OK(bs_batch_decode(rows->schema, block.data + 8, block.count - 8, &batch, err));
    CHECK_EQ(batch.rows, count);
    REQUIRE_OK(bs_array_builder_create(rows->schema, count, &builder, err));
    for (size_t i = 0; i < rows->schema->field_count; i++) {
        const uint64_t half = count / 3;
        CHECK_OK(bs_array_builder_put(builder, i, &batch.columns[i], 0, half, err));
        CHECK_OK(bs_array_builder_put(builder, i, &batch.columns[i], half, count - half, err));
    }
    REQUIRE_OK(bs_array_builder_finish(&builder, &out, err));
    kit_compare(rows, first, count, &out, 64);
    out.release(&out);
    bs_batch_clear(&batch);
    bs_bytes_free(&block);
}

TEST(batch, random_arrays_round_trip)
{
    const int64_t before = test_live_allocations();
    for (uint64_t run = 0; run < 300; run++) {
        uint64_t seed = run;
        struct ArrowArray array;
        struct bs_schema *schema =
            kit_schema(NULL, kit_below(&seed, 12), kit_below(&seed, 4) > 0, &seed);
        const uint64_t count = kit_below(&seed, run % 10 ? 40 : 600);
        struct rows rows = kit_rows(schema, count, kit_below(&seed, 3) > 0, &seed);
        kit_array(&rows, &seed, &array);
        round_trip(&rows, &array, 0, count);
        const uint64_t first = kit_below(&seed, count + 1);
        round_trip(&rows, &array, first, kit_below(&seed, count - first + 1));
        array.release(&array);
        free(rows.cells);
        bs_schema_release(schema);
    }
    CHECK_EQ(test_live_allocations(), before);
}

TEST(batch, every_type_by_itself)
{
    for (size_t i = 0; i < BS_ARRAY_LENGTH(kit_formats); i++) {
        uint64_t seed = i;
        struct ArrowArray array;
        struct bs_schema *schema = kit_schema(&kit_formats[i], 1, true, &seed);
        struct rows rows = kit_rows(schema, 100, true, &seed);
        kit_array(&rows, &seed, &array);
        round_trip(&rows, &array, 0, 100);
        round_trip(&rows, &array, 37, 0);
        array.release(&array);
        free(rows.cells);
        bs_schema_release(schema);
    }
}

TEST(batch, fit_is_exact)
{
    for (uint64_t run = 0; run < 60; run++) {
        uint64_t seed = run + 1000, fits = 0;
        struct ArrowArray array;
        struct bs_schema *schema = kit_schema(NULL, 1 + kit_below(&seed, 6), true, &seed);
        struct rows rows = kit_rows(schema, 50, true, &seed);
        kit_array(&rows, &seed, &array);
        const uint64_t first = kit_below(&seed, 50);
        const size_t limit = (size_t)kit_below(&seed, 3000);
        basalt_error why = {0};
        const basalt_status status = bs_batch_fit(schema, &array, first, limit, &fits, &why);
        struct bs_bytes block = {0};
        if (status) {
            CHECK_EQ(status, BASALT_TOO_LARGE);
            CHECK_EQ(fits, 0);
        } else {
            CHECK(fits > 0);
            CHECK_OK(bs_batch_encode(schema, &array, first, fits, &block, err));
            CHECK(block.count <= limit);
            bs_bytes_free(&block);
        }
        if (first + fits < 50) {
            CHECK_OK(bs_batch_encode(schema, &array, first, fits + 1, &block, err));
            CHECK(block.count > limit);
            bs_bytes_free(&block);
        }
        array.release(&array);
        free(rows.cells);
        bs_schema_release(schema);
    }
}

TEST(batch, fit_of_nothing_is_nothing)
{
    uint64_t seed = 1, fits = 7;
    struct ArrowArray array;
    struct bs_schema *schema = kit_schema(NULL, 3, true, &seed);
    struct rows rows = kit_rows(schema, 4, true, &seed);
    kit_array(&rows, &seed, &array);
    CHECK_OK(bs_batch_fit(schema, &array, 4, 0, &fits, err));
    CHECK_EQ(fits, 0);
    array.release(&array);
    free(rows.cells);
    bs_schema_release(schema);
}

/* One damage to a good array of {int32, utf8}, and what encode must say of it. */
static void refused(
    void (*damage)(struct ArrowArray *), bool nullable, basalt_status expected, const char *word)
{
    static const char *const formats[] = {"i", "u"};
    uint64_t seed = 5;
    struct ArrowArray array;
    struct bs_bytes block = {0};
    basalt_error why = {0};
    struct bs_schema *schema = kit_schema(formats, 2, nullable, &seed);
    struct rows rows = kit_rows(schema, 20, false, &seed);
    kit_array(&rows, &seed, &array);
    array.children[0]->null_count = 0;
    const struct ArrowArray good[3] = {array, *array.children[0], *array.children[1]};
    const void *buffers[2][3];
    for (int i = 0; i < 2; i++) memcpy(buffers[i], array.children[i]->buffers, sizeof buffers[i]);
    damage(&array);
    CHECK_EQ(bs_batch_encode(schema, &array, 0, 20, &block, &why), expected);
    CHECK_EQ(why.status, expected);
    if (!strstr(why.message, word)) test_fail(__FILE__, __LINE__, "says: %s", why.message);
    CHECK_EQ(block.count, 0);
    uint64_t fits;
    const basalt_status fit = bs_batch_fit(schema, &array, 0, 100000, &fits, &why);
    CHECK(fit == expected || strstr(word, "UTF-8"));
    bs_bytes_free(&block);
    array = good[0];
    for (int i = 0; i < 2; i++) {
        *array.children[i] = good[1 + i];
        memcpy(array.children[i]->buffers, buffers[i], sizeof buffers[i]);
    }
    array.release(&array);
    free(rows.cells);
    bs_schema_release(schema);
}

static void damage_length(struct ArrowArray *array)
{
    array->length = -1;
}
static void damage_offset(struct ArrowArray *array)
{
    array->offset = INT64_MAX;
}
static void damage_released(struct ArrowArray *array)
{
    array->release = NULL;
}
static void damage_children(struct ArrowArray *array)
{
    array->n_children = 1;
}
static void damage_short(struct ArrowArray *array)
{
    array->children[0]->length = 19;
}
static void damage_child(struct ArrowArray *array)
{
    array->children[1]->release = NULL;
}
static void damage_child_length(struct ArrowArray *array)
{
    array->children[1]->length = -4;
}
static void damage_child_offset(struct ArrowArray *array)
{
    array->children[1]->offset = INT64_MAX;
}
static void damage_buffers(struct ArrowArray *array)
{
    array->children[1]->n_buffers = 2;
}
static void damage_values(struct ArrowArray *array)
{
    array->children[0]->buffers[1] = NULL;
}
static void damage_offsets(struct ArrowArray *array)
{
    array->children[1]->buffers[1] = NULL;
}
static void damage_text(struct ArrowArray *array)
{
    array->children[1]->buffers[2] = NULL;
}
static void damage_dictionary(struct ArrowArray *array)
{
    array->children[0]->dictionary = array->children[1];
}
static void damage_null_count(struct ArrowArray *array)
{
    free((void *)array->children[0]->buffers[0]);
    array->children[0]->buffers[0] = NULL;
    array->children[0]->null_count = 3;
}
static void damage_order(struct ArrowArray *array)
{
    const struct ArrowArray *child = array->children[1];
    int32_t *offsets = (int32_t *)child->buffers[1];
    offsets[child->offset + array->offset + 7] += 1 << 20;
}
static void damage_negative(struct ArrowArray *array)
{
    const struct ArrowArray *child = array->children[1];
    int32_t *offsets = (int32_t *)child->buffers[1];
    offsets[child->offset + array->offset] = -1;
}

TEST(batch, a_bad_array_is_refused_by_name)
{
    refused(damage_length, true, BASALT_BAD_ARGUMENT, "wild length");
    refused(damage_offset, true, BASALT_BAD_ARGUMENT, "wild length");
    refused(damage_released, true, BASALT_BAD_ARGUMENT, "empty");
    refused(damage_children, true, BASALT_SCHEMA_MISMATCH, "columns");
    refused(damage_short, true, BASALT_BAD_ARGUMENT, "\"f0\" of the Arrow array has fewer rows");
    refused(damage_child, true, BASALT_BAD_ARGUMENT, "\"f1\"");
    refused(damage_child_length, true, BASALT_BAD_ARGUMENT, "\"f1\"");
    refused(damage_child_offset, true, BASALT_BAD_ARGUMENT, "\"f1\"");
    refused(damage_buffers, true, BASALT_SCHEMA_MISMATCH, "\"f1\"");
    refused(damage_values, true, BASALT_BAD_ARGUMENT, "\"f0\" of the Arrow array has no values");
    refused(damage_offsets, true, BASALT_BAD_ARGUMENT, "\"f1\" of the Arrow array has no offsets");
    refused(damage_text, true, BASALT_BAD_ARGUMENT, "\"f1\" of the Arrow array has no values");
    refused(damage_dictionary, true, BASALT_SCHEMA_MISMATCH, "\"f0\"");
    refused(damage_order, true, BASALT_BAD_ARGUMENT, "fall at row");
    refused(damage_negative, true, BASALT_BAD_ARGUMENT, "fall at row 0");
}

TEST(batch, nulls_without_validity_are_refused)
{
    static const char *const formats[] = {"i", "u"};
    uint64_t seed = 6;
    struct ArrowArray array;
    struct bs_bytes block = {0};
    struct bs_schema *schema = kit_schema(formats, 2, true, &seed);
    struct rows rows = kit_rows(schema, 20, false, &seed);
    kit_array(&rows, &seed, &array);
    damage_null_count(&array);
    CHECK_EQ(bs_batch_encode(schema, &array, 0, 20, &block, NULL), BASALT_BAD_ARGUMENT);
    array.release(&array);
    free(rows.cells);
    bs_schema_release(schema);
}

TEST(batch, rows_outside_the_array_are_refused)
{
    uint64_t seed = 8;
    struct ArrowArray array;
    struct bs_bytes block = {0};
    struct bs_schema *schema = kit_schema(NULL, 2, true, &seed);
    struct rows rows = kit_rows(schema, 20, true, &seed);
    kit_array(&rows, &seed, &array);
    CHECK_EQ(bs_batch_encode(schema, &array, 21, 0, &block, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_batch_encode(schema, &array, 0, 21, &block, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_batch_encode(schema, &array, 1, UINT64_MAX, &block, NULL), BASALT_BAD_ARGUMENT);
    CHECK_OK(bs_batch_encode(schema, &array, 20, 0, &block, err));
    bs_bytes_free(&block);
    array.release(&array);
    free(rows.cells);
    bs_schema_release(schema);
}

TEST(batch, a_null_in_a_column_without_nulls_is_refused)
{
    static const char *const formats[] = {"i"};
    uint64_t seed = 9;
    struct ArrowArray array;
    struct bs_bytes block = {0};
    basalt_error why = {0};
    struct bs_schema *loose = kit_schema(formats, 1, true, &seed);
    struct bs_schema *strict = kit_schema(formats, 1, false, &seed);
    struct rows rows = kit_rows(loose, 9, false, &seed);
    rows.cells[4].null = true;
    kit_array(&rows, &seed, &array);
    CHECK_EQ(bs_batch_encode(strict, &array, 0, 9, &block, &why), BASALT_SCHEMA_MISMATCH);
    CHECK_TEXT(why.message, "column \"f0\" is not nullable, but row 4 is null");
    CHECK_EQ(bs_batch_encode(strict, &array, 3, 6, &block, &why), BASALT_SCHEMA_MISMATCH);
    CHECK_TEXT(why.message, "column \"f0\" is not nullable, but row 4 is null");
    CHECK_OK(bs_batch_encode(strict, &array, 5, 4, &block, err));
    bs_bytes_free(&block);
    array.release(&array);
    free(rows.cells);
    bs_schema_release(loose);
    bs_schema_release(strict);
}

TEST(batch, rows_that_are_null_as_a_whole_are_refused)
{
    uint64_t seed = 10;
    struct ArrowArray array;
    struct bs_bytes block = {0};
    struct bs_schema *schema = kit_schema(NULL, 2, true, &seed);
    struct rows rows = kit_rows(schema, 16, true, &seed);
    kit_array(&rows, &seed, &array);
    uint8_t validity[4] = {0xFF, 0xFF, 0xFF, 0xFF};
    array.buffers[0] = validity;
    CHECK_OK(bs_batch_encode(schema, &array, 0, 16, &block, err));
    kit_set_bit(validity, (uint64_t)array.offset + 3, false);
    CHECK_EQ(bs_batch_encode(schema, &array, 0, 16, &block, NULL), BASALT_BAD_ARGUMENT);
    CHECK_OK(bs_batch_encode(schema, &array, 4, 12, &block, err));
    bs_bytes_free(&block);
    array.release(&array);
    free(rows.cells);
    bs_schema_release(schema);
}

TEST(batch, text_that_is_not_utf8_is_refused)
{
    static const char *const formats[] = {"u"};
    uint64_t seed = 11;
    struct bs_schema *schema = kit_schema(formats, 1, true, &seed);
    struct cell cells[3] = {{false, 2, "ab"}, {false, 1, "\xC3"}, {false, 1, "\xA4"}};
    struct rows rows = {schema, 3, cells};
    struct ArrowArray array;
    struct bs_bytes block = {0};
    basalt_error why = {0};
    kit_array(&rows, &seed, &array); /* valid as a whole, but a character is cut in two */
    CHECK_EQ(bs_batch_encode(schema, &array, 0, 3, &block, &why), BASALT_BAD_ARGUMENT);
    CHECK(strstr(why.message, "\"f0\" is not UTF-8 at row 1") != NULL);
    CHECK_EQ(block.count, 0);
    CHECK_OK(bs_batch_encode(schema, &array, 0, 1, &block, err));
    bs_bytes_free(&block);
    array.release(&array);
    cells[1].null = cells[2].null = true; /* under a null anything may lie */
    cells[1].count = cells[2].count = 0;
    kit_array(&rows, &seed, &array);
    CHECK_OK(bs_batch_encode(schema, &array, 0, 3, &block, err));
    bs_bytes_free(&block);
    array.release(&array);
    bs_schema_release(schema);
}

TEST(batch, offsets_count_from_anywhere)
{
    /* Positions beyond 32 bits in a large_utf8 whose text is short. */
    static const char *const formats[] = {"U"};
    uint64_t seed = 12;
    struct bs_schema *schema = kit_schema(formats, 1, false, &seed);
    int64_t offsets[4] = {1, 3, 3, 6};
    const void *buffers[3] = {NULL, offsets, "xabcde"}, *none[1] = {NULL};
    struct ArrowArray child = {.length = 3,
                          .n_buffers = 3,
                          .buffers = buffers,
                          .release = kit_release_child},
                      *children[1] = {&child};
    struct ArrowArray array = {.length = 3,
        .n_buffers = 1,
        .buffers = none,
        .n_children = 1,
        .children = children,
        .release = kit_release};
    struct bs_bytes block = {0};
    struct bs_batch batch;
    REQUIRE_OK(bs_batch_encode(schema, &array, 0, 3, &block, err));
    REQUIRE_OK(bs_batch_decode(schema, block.data, block.count, &batch, err));
    CHECK_EQ(batch.columns[0].offsets[0], 0);
    CHECK_EQ(batch.columns[0].offsets[1], 2);
    CHECK_EQ(batch.columns[0].offsets[3], 5);
    CHECK(!memcmp(batch.columns[0].values, "abcde", 5));
    bs_batch_clear(&batch);
    bs_bytes_free(&block);
    offsets[3] = (int64_t)3 << 40; /* never read: it is too large for a block */
    basalt_error why = {0};
    CHECK_EQ(bs_batch_encode(schema, &array, 0, 3, &block, &why), BASALT_TOO_LARGE);
    uint64_t fits;
    CHECK_OK(bs_batch_fit(schema, &array, 0, 1000, &fits, err));
    CHECK_EQ(fits, 2);
    CHECK_EQ(bs_batch_fit(schema, &array, 2, 1000, &fits, &why), BASALT_TOO_LARGE);
    bs_schema_release(schema);
}

/* Any block yields right rows or CORRUPT; ASan sees every byte that is read. */
TEST(batch, damaged_blocks_are_corrupt_or_harmless)
{
    static const char *const formats[] = {"b", "u", "z", "l", "w:5"};
    uint64_t seed = 13, refusals = 0;
    struct ArrowArray array;
    struct bs_bytes block = {0};
    struct bs_batch batch;
    struct bs_schema *schema = kit_schema(formats, 5, true, &seed);
    struct rows rows = kit_rows(schema, 21, true, &seed);
    kit_array(&rows, &seed, &array);
    REQUIRE_OK(bs_batch_encode(schema, &array, 0, 21, &block, err));
    for (size_t cut = 0; cut < block.count; cut++) {
        uint8_t *copy = bs_copy_bytes(block.data, cut ? cut : 1);
        CHECK_EQ(bs_batch_decode(schema, copy, cut, &batch, NULL), BASALT_CORRUPT);
        bs_free(copy);
    }
    for (unsigned run = 0; run < 20000; run++) {
        uint8_t *copy = bs_copy_bytes(block.data, block.count);
        for (uint64_t left = 1 + kit_below(&seed, 3); left > 0; left--) {
            copy[kit_below(&seed, block.count)] = (uint8_t)test_random(&seed);
        }
        const basalt_status status = bs_batch_decode(schema, copy, block.count, &batch, NULL);
        CHECK(status == BASALT_OK || status == BASALT_CORRUPT);
        refusals += status != BASALT_OK;
        bs_batch_clear(&batch);
        bs_free(copy);
    }
    CHECK(refusals > 1000);
    bs_bytes_zeros(&block, 8);
    CHECK_EQ(bs_batch_decode(schema, block.data, block.count, &batch, NULL), BASALT_CORRUPT);
    bs_bytes_free(&block);
    array.release(&array);
    free(rows.cells);
    bs_schema_release(schema);
}

TEST(batch, no_memory_is_no_crash)
{
    uint64_t seed = 14;
    struct ArrowArray array;
    struct bs_schema *schema = kit_schema(kit_formats, BS_ARRAY_LENGTH(kit_formats), true, &seed);
    struct rows rows = kit_rows(schema, 60, true, &seed);
    kit_array(&rows, &seed, &array);
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_bytes block = {0};
        struct bs_batch batch = {0};
        struct bs_array_builder *builder = NULL;
        struct ArrowArray out = {0};
        basalt_error why = {0};
        uint64_t fits = 0;
        basalt_status status = bs_batch_fit(schema, &array, 0, 4000, &fits, &why);
        if (!status) status = bs_batch_encode(schema, &array, 0, fits, &block, &why);
        if (!status) status = bs_batch_decode(schema, block.data, block.count, &batch, &why);
        if (!status) status = bs_array_builder_create(schema, fits, &builder, &why);
        for (size_t i = 0; !status && i < schema->field_count; i++) {
            status = bs_array_builder_put(builder, i, &batch.columns[i], 0, 1, &why);
            if (!status) {
                status = bs_array_builder_put(builder, i, &batch.columns[i], 1, fits - 1, &why);
            }
        }
        if (!status) status = bs_array_builder_finish(&builder, &out, &why);
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        CHECK_EQ(status, why.status);
        fault_stop();
        if (!status) kit_compare(&rows, 0, fits, &out, 64);
        if (out.release) out.release(&out);
        bs_array_builder_free(builder);
        bs_batch_clear(&batch);
        bs_bytes_free(&block);
        CHECK_EQ(test_live_allocations(), before);
    }
    array.release(&array);
    free(rows.cells);
    bs_schema_release(schema);
}
