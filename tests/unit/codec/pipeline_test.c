/* pipeline_test.c - filters there and back, against damage, and against libhdf5's own sums. */
#include "codec/codec_internal.h"
#include "tests/harness/test.h"

static const struct bs_filter deflate6 = {BS_FILTER_DEFLATE, 1, 1, {{6}}};
static const struct bs_filter shuffle8 = {BS_FILTER_SHUFFLE, 1, 1, {{8}}};
static const struct bs_filter fletcher = {BS_FILTER_FLETCHER32, 0, 0, {{0}}};

static void fill(uint8_t *bytes, size_t count, uint64_t seed, unsigned noise)
{
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)((i / 128) + test_random(&seed) % noise);
}

TEST(pipeline, every_combination_comes_back)
{
    static const size_t sizes[] = {0, 1, 7, 8, 15, 16, 63, 64, 65, 1000, 4096, 100003};
    static const uint32_t elements[] = {1, 2, 3, 4, 8, 16, 24};
    uint8_t *raw = bs_alloc(100003), *back = bs_alloc(100003);
    struct bs_codec_scratch *scratch = NULL;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (unsigned shape = 0; shape < 64 * BS_ARRAY_LENGTH(elements); shape++) {
        struct bs_pipeline pipeline = {0};
        for (unsigned kind = shape % 64; kind; kind /= 4) {
            if (kind % 4 == 0) continue;
            pipeline.filters[pipeline.count] = kind % 4 == 1 ? deflate6
                : kind % 4 == 2                              ? shuffle8
                                                             : fletcher;
            if (kind % 4 == 2) {
                pipeline.filters[pipeline.count].parameters[0] = elements[shape / 64];
            }
            pipeline.count++;
        }
        for (size_t i = 0; i < BS_ARRAY_LENGTH(sizes); i++) {
            const void *stored;
            size_t stored_bytes;
            uint32_t mask;
            fill(raw, sizes[i], shape + i, 3);
            CHECK_OK(bs_pipeline_encode(
                &pipeline, scratch, raw, sizes[i], &stored, &stored_bytes, &mask, err));
            CHECK(stored_bytes <= bs_pipeline_bound(&pipeline, sizes[i]));
            void *kept = bs_copy_bytes(stored, stored_bytes);
            memset(back, 0xEE, 100003);
            CHECK_OK(bs_pipeline_decode(
                &pipeline, mask, scratch, kept, stored_bytes, back, sizes[i], err));
            CHECK(memcmp(raw, back, sizes[i]) == 0);
            bs_free(kept);
        }
    }
    bs_codec_scratch_free(scratch);
    bs_free(raw);
    bs_free(back);
}

/* Planes written out by hand: 10 elements of 8 bytes, two of them past the fast path. */
TEST(pipeline, shuffle_lays_bytes_plane_by_plane)
{
    const struct bs_pipeline pipeline = {1, {shuffle8}};
    struct bs_codec_scratch *scratch = NULL;
    uint8_t raw[85];
    const void *stored;
    size_t count;
    uint32_t mask;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (unsigned i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)i;
    CHECK_OK(bs_pipeline_encode(&pipeline, scratch, raw, sizeof raw, &stored, &count, &mask, err));
    CHECK_EQ(count, sizeof raw);
    const uint8_t *bytes = stored;
    for (unsigned plane = 0; plane < 8; plane++) {
        for (unsigned i = 0; i < 10; i++) CHECK_EQ(bytes[plane * 10 + i], i * 8 + plane);
    }
    for (unsigned i = 80; i < 85; i++) CHECK_EQ(bytes[i], i);
    bs_codec_scratch_free(scratch);
}

TEST(pipeline, shuffle_of_every_width)
{
    static const uint32_t widths[] = {2, 3, 4, 7, 8, 12, 16, 24};
    struct bs_codec_scratch *scratch = NULL;
    static uint8_t raw[24 * 100 + 12], back[sizeof raw];
    const void *stored;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    fill(raw, sizeof raw, 3, 256);
    for (size_t w = 0; w < BS_ARRAY_LENGTH(widths); w++) {
        const size_t width = widths[w];
        const struct bs_pipeline pipeline = {1, {{BS_FILTER_SHUFFLE, 1, 1, {{widths[w]}}}}};
        for (size_t elements = 1; elements <= 100; elements++) {
            const size_t bytes = elements * width + width / 2;
            size_t count;
            uint32_t mask;
            CHECK_OK(
                bs_pipeline_encode(&pipeline, scratch, raw, bytes, &stored, &count, &mask, err));
            const uint8_t *at = stored;
            for (size_t e = 0; e < elements; e++) {
                for (size_t b = 0; b < width; b++)
                    CHECK_EQ(at[b * elements + e], raw[e * width + b]);
            }
            void *kept = bs_copy_bytes(stored, bytes);
            CHECK_OK(bs_pipeline_decode(&pipeline, 0, scratch, kept, bytes, back, bytes, err));
            CHECK(memcmp(raw, back, bytes) == 0);
            bs_free(kept);
        }
    }
    bs_codec_scratch_free(scratch);
}

static void count_up(uint8_t *bytes, size_t count, uint64_t first)
{
    for (size_t i = 0; i + 8 <= count; i += 8) bs_store_u64(bytes + i, first + i / 8);
}

/* Row numbers, constants, a cycle, and those with a few other bytes strewn in: deflated by runs. */
TEST(deflate, repetitive_input_comes_back)
{
    const struct bs_pipeline pipeline = {2, {shuffle8, {BS_FILTER_DEFLATE, 0, 1, {{1}}}}};
    static const size_t sizes[] = {16384, 16385, 65536 + 3, 1 << 20, (1 << 20) + 777};
    struct bs_codec_scratch *scratch = NULL;
    uint8_t *raw = bs_alloc(2 << 20), *back = bs_alloc(2 << 20);
    uint64_t random = 8;
    unsigned small = 0, runs = 0;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (unsigned kind = 0; kind < 4 * BS_ARRAY_LENGTH(sizes); kind++) {
        const size_t bytes = sizes[kind % BS_ARRAY_LENGTH(sizes)];
        const void *stored;
        size_t count;
        uint32_t mask;
        memset(raw, (int)(kind * 77), bytes);
        if (kind % 4 != 0) count_up(raw, bytes, (uint64_t)kind << (kind % 40));
        for (unsigned i = 0; kind % 4 > 1 && i < kind; i++) {
            raw[test_random(&random) % bytes] = (uint8_t)test_random(&random);
        }
        uint8_t direct[40000];
        const size_t by_runs = bs_deflate_runs(raw, bytes, direct, sizeof direct);
        runs += by_runs > 0;
        if (by_runs > 0) {
            CHECK(by_runs <= bytes / 64);
            const struct bs_pipeline plain = {1, {{BS_FILTER_DEFLATE, 0, 1, {{1}}}}};
            CHECK_OK(bs_pipeline_decode(&plain, 0, scratch, direct, by_runs, back, bytes, err));
            CHECK(memcmp(raw, back, bytes) == 0);
        }
        CHECK_OK(bs_pipeline_encode(&pipeline, scratch, raw, bytes, &stored, &count, &mask, err));
        small += count < bytes / 20;
        void *kept = bs_copy_bytes(stored, count);
        CHECK_OK(bs_pipeline_decode(&pipeline, mask, scratch, kept, count, back, bytes, err));
        CHECK(memcmp(raw, back, bytes) == 0);
        bs_free(kept);
    }
    CHECK_EQ(small, 4 * BS_ARRAY_LENGTH(sizes));
    CHECK(runs >= BS_ARRAY_LENGTH(sizes));
    fill(raw, 1 << 20, 9, 256);
    uint8_t none[40000];
    CHECK_EQ(bs_deflate_runs(raw, 1 << 20, none, sizeof none), 0); /* noise is not for it */
    memset(raw, 0, (1 << 20) - 70000); /* and noise that the probes may not see */
    CHECK_EQ(bs_deflate_runs(raw, 1 << 20, none, sizeof none), 0);
    CHECK_EQ(bs_deflate_runs(raw, 100, none, sizeof none), 0);
    bs_codec_scratch_free(scratch);
    bs_free(raw);
    bs_free(back);
}

/* The definition, word by word and folded as often as it likes. */
static uint32_t fletcher_slow(const uint8_t *bytes, size_t count)
{
    uint32_t a = 0, b = 0;
    for (size_t i = 0; i < count; i += 2) {
        a += (uint32_t)bytes[i] << 8 | (i + 1 < count ? bytes[i + 1] : 0u);
        a = (a & 0xFFFF) + (a >> 16);
        b += a;
        b = (b & 0xFFFF) + (b >> 16);
    }
    return b << 16 | a;
}

TEST(fletcher32, is_the_sum_by_definition)
{
    const size_t bytes_max = ((size_t)5 << 20) + 3;
    uint8_t *bytes = bs_alloc(bytes_max);
    uint64_t seed = 5;
    REQUIRE(bytes);
    CHECK_EQ(bs_fletcher32("", 0), 0);
    CHECK_EQ(bs_fletcher32("abcde", 5), 0x4FF029C7u);
    for (size_t count = 0; count < 300; count++) {
        fill(bytes, count, count, 256);
        CHECK_EQ(bs_fletcher32(bytes, count), fletcher_slow(bytes, count));
    }
    memset(bytes, 0xFF, bytes_max);
    CHECK_EQ(bs_fletcher32(bytes, bytes_max), fletcher_slow(bytes, bytes_max));
    memset(bytes, 0, bytes_max);
    CHECK_EQ(bs_fletcher32(bytes, bytes_max), 0);
    fill(bytes, bytes_max, 1, 256);
    const uint32_t whole = fletcher_slow(bytes, bytes_max);
    struct bs_fletcher state = {0};
    for (size_t at = 0; at < bytes_max;) {
        const size_t part = BS_MIN(bytes_max - at, test_random(&seed) % 100000);
        bs_fletcher_update(&state, bytes + at, part);
        at += part;
    }
    CHECK_EQ(bs_fletcher_value(&state), whole);
    bs_free(bytes);
}

TEST(pipeline, damage_is_an_error)
{
    const struct bs_pipeline pipeline = {3, {shuffle8, deflate6, fletcher}};
    const struct bs_pipeline no_sum = {2, {shuffle8, deflate6}};
    struct bs_codec_scratch *scratch = NULL;
    uint8_t raw[2000], back[2000];
    const void *stored;
    size_t count;
    uint32_t mask;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    fill(raw, sizeof raw, 9, 4);
    CHECK_OK(bs_pipeline_encode(&pipeline, scratch, raw, sizeof raw, &stored, &count, &mask, err));
    REQUIRE(mask == 0);
    uint8_t *kept = bs_copy_bytes(stored, count);
    for (size_t i = 0; i < count; i++) {
        kept[i] ^= 0x10;
        CHECK_EQ(bs_pipeline_decode(&pipeline, 0, scratch, kept, count, back, sizeof back, NULL),
            BASALT_CORRUPT);
        kept[i] ^= 0x10;
    }
    for (size_t cut = 0; cut < count; cut++) { /* a cut stream without its sum */
        CHECK_EQ(bs_pipeline_decode(&no_sum, 0, scratch, kept, cut, back, sizeof back, NULL),
            cut < count - 4 ? BASALT_CORRUPT : BASALT_OK);
    }
    CHECK_EQ(
        bs_pipeline_decode(&pipeline, 0, scratch, kept, count, back, 1999, NULL), BASALT_CORRUPT);
    CHECK_EQ(
        bs_pipeline_decode(&pipeline, 7, scratch, raw, 1999, back, 2000, NULL), BASALT_CORRUPT);
    CHECK_OK(bs_pipeline_decode(&pipeline, 7, scratch, raw, 2000, back, 2000, err));
    CHECK(memcmp(raw, back, sizeof raw) == 0);
    bs_free(kept);
    bs_codec_scratch_free(scratch);
}

TEST(pipeline, an_optional_filter_that_does_not_shrink_is_left_out)
{
    const struct bs_pipeline pipeline = {2, {shuffle8, deflate6}};
    struct bs_codec_scratch *scratch = NULL;
    uint8_t raw[800], back[800];
    const void *stored;
    size_t count;
    uint32_t mask;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    fill(raw, sizeof raw, 3, 256);
    CHECK_OK(bs_pipeline_encode(&pipeline, scratch, raw, sizeof raw, &stored, &count, &mask, err));
    CHECK_EQ(mask, 2);
    CHECK_EQ(count, sizeof raw);
    uint8_t kept[800];
    memcpy(kept, stored, count);
    CHECK_OK(bs_pipeline_decode(&pipeline, mask, scratch, kept, count, back, sizeof back, err));
    CHECK(memcmp(raw, back, sizeof raw) == 0);
    bs_codec_scratch_free(scratch);
}

TEST(pipeline, what_is_not_built_in_is_named)
{
    const struct bs_pipeline zfp = {1, {{32013, 1, 0, {{0}}}}};
    const struct bs_pipeline nobody = {1, {{4711, 1, 0, {{0}}}}};
    const struct bs_pipeline nbit = {1, {{BS_FILTER_NBIT, 1, 2, {{2, 1}}}}};
    const struct bs_pipeline no_level = {1, {{BS_FILTER_DEFLATE, 1, 0, {{0}}}}};
    const struct bs_pipeline no_size = {1, {{BS_FILTER_SHUFFLE, 1, 1, {{0}}}}};
    struct bs_pipeline many = {BS_FILTERS_MAX + 1, {{0}}};
    basalt_error err = {0};
    CHECK_EQ(bs_pipeline_check(&zfp, &err), BASALT_UNSUPPORTED);
    CHECK(strstr(err.message, "zfp (32013)") != NULL);
    CHECK_EQ(bs_pipeline_check(&nobody, &err), BASALT_UNSUPPORTED);
    CHECK(strstr(err.message, "4711") != NULL);
    CHECK(!bs_filter_name(4711));
    CHECK_EQ(bs_pipeline_check(&nbit, &err), BASALT_UNSUPPORTED); /* it can be read */
    CHECK(strstr(err.message, "nbit (5)") != NULL);
    CHECK_EQ(bs_pipeline_check(&no_level, &err), BASALT_CORRUPT);
    CHECK_EQ(bs_pipeline_check(&no_size, &err), BASALT_CORRUPT);
    CHECK_EQ(bs_pipeline_check(&many, &err), BASALT_CORRUPT);
    CHECK_TEXT(bs_filter_name(BS_FILTER_SZIP), "szip");
}

TEST(pipeline, no_fault_leaks)
{
    const struct bs_pipeline pipeline = {2, {shuffle8, fletcher}};
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_codec_scratch *scratch = NULL;
        basalt_error err = {0};
        uint8_t raw[100] = {1}, stored_copy[200], back[100];
        const void *stored;
        size_t count;
        uint32_t mask;
        basalt_status status = bs_codec_scratch_create(&scratch, &err);
        if (!status) {
            status = bs_pipeline_encode(
                &pipeline, scratch, raw, sizeof raw, &stored, &count, &mask, &err);
        }
        if (!status) {
            memcpy(stored_copy, stored, count);
            status = bs_pipeline_decode(
                &pipeline, mask, scratch, stored_copy, count, back, sizeof back, &err);
        }
        CHECK_EQ(status, err.status);
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        bs_codec_scratch_free(scratch);
        CHECK_EQ(test_live_allocations(), before);
    }
}
