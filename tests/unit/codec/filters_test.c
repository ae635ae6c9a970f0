/* filters_test.c - each filter there and back, cut short at every byte, damaged, and short of memory;
 * those that are only read, from chunks laid out by hand; filters of the user. */
#include "codec/codec_internal.h"
#include "tests/harness/test.h"

#include <szlib.h>

#define RAW_BYTES_MAX ((size_t)70000)

struct written { /* a pipeline that can be applied, and its kind of data */
    const char *name;
    struct bs_pipeline pipeline;
};

#define ONE(id, count, ...)                                                                        \
    {                                                                                              \
        1,                                                                                         \
        {                                                                                          \
            {                                                                                      \
                id, 0, count,                                                                      \
                {                                                                                  \
                    {                                                                              \
                        __VA_ARGS__                                                                \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

static const struct written written[] = {
    {"deflate", ONE(BS_FILTER_DEFLATE, 1, 6)},
    {"shuffle", ONE(BS_FILTER_SHUFFLE, 1, 8)},
    {"fletcher32", ONE(BS_FILTER_FLETCHER32, 0, 0)},
    {"bzip2", ONE(BS_FILTER_BZIP2, 1, 1)},
    {"lzf", ONE(BS_FILTER_LZF, 0, 0)},
    {"lz4", ONE(BS_FILTER_LZ4, 0, 0)},
    {"lz4 in blocks", ONE(BS_FILTER_LZ4, 1, 100)},
    {"zstd", ONE(BS_FILTER_ZSTD, 1, 3)},
    {"blosc", ONE(BS_FILTER_BLOSC, 7, 2, 2, 8, 0, 5, 1, 0)},
    {"blosc lz4", ONE(BS_FILTER_BLOSC, 7, 2, 2, 4, 0, 5, 2, 1)},
    {"blosc lz4hc", ONE(BS_FILTER_BLOSC, 7, 2, 2, 2, 0, 9, 0, 2)},
    {"blosc zlib", ONE(BS_FILTER_BLOSC, 7, 2, 2, 8, 0, 3, 1, 4)},
    {"blosc zstd", ONE(BS_FILTER_BLOSC, 7, 2, 2, 1, 0, 3, 1, 5)},
    {"bitshuffle", ONE(BS_FILTER_BITSHUFFLE, 5, 0, 4, 4, 0, 0)},
    {"bitshuffle of 1", ONE(BS_FILTER_BITSHUFFLE, 3, 0, 4, 1)},
    {"bitshuffle of 3", ONE(BS_FILTER_BITSHUFFLE, 5, 0, 4, 3, 40, 0)},
    {"bitshuffle lz4", ONE(BS_FILTER_BITSHUFFLE, 5, 0, 4, 8, 0, 2)},
    {"bitshuffle zstd", ONE(BS_FILTER_BITSHUFFLE, 6, 0, 4, 2, 64, 3, 4)},
    {"bitshuffle zstd shuffle lz4 sum",
        {4,
            {{BS_FILTER_SHUFFLE, 0, 1, {{4}}}, {BS_FILTER_BITSHUFFLE, 0, 6, {{0, 4, 2, 64, 3, 4}}},
                {BS_FILTER_LZ4, 0, 1, {{500}}}, {BS_FILTER_FLETCHER32, 0, 0, {{0}}}}}},
};

static void fill(uint8_t *bytes, size_t count, uint64_t seed, unsigned noise)
{
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)((i / 64) + test_random(&seed) % noise);
}

TEST(filters, each_comes_back)
{
    static const size_t sizes[] = {1, 7, 8, 63, 64, 65, 1000, 1024, 8192, 12345, RAW_BYTES_MAX};
    uint8_t *raw = bs_alloc(RAW_BYTES_MAX), *back = bs_alloc(RAW_BYTES_MAX);
    struct bs_codec_scratch *scratch = NULL;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (size_t w = 0; w < BS_ARRAY_LENGTH(written); w++) {
        for (size_t i = 0; i < 3 * BS_ARRAY_LENGTH(sizes); i++) {
            struct bs_pipeline pipeline = written[w].pipeline;
            const size_t bytes = sizes[i / 3];
            const void *stored;
            size_t count;
            uint32_t mask;
            fill(raw, bytes, i, i % 3 == 0 ? 256 : 3); /* noise: left out if it may be */
            pipeline.filters[0].flags = pipeline.count == 1 && i % 3 == 2;
            if (i % 3 == 0) pipeline.filters[pipeline.count - 1].flags = 1;
            CHECK_OK(bs_pipeline_check(&pipeline, err));
            basalt_error fault = {0};
            const basalt_status status =
                bs_pipeline_encode(&pipeline, scratch, raw, bytes, &stored, &count, &mask, &fault);
            /* LZF has no form for what it cannot shrink. */
            if (status == BASALT_TOO_LARGE && strcmp(written[w].name, "lzf") == 0 && bytes < 8)
                continue;
            if (status)
                test_fail(
                    __FILE__, __LINE__, "%s of %zu: %s", written[w].name, bytes, fault.message);
            if (status) continue;
            CHECK(count <= bs_pipeline_bound(&pipeline, bytes));
            void *kept = bs_copy_bytes(stored, count);
            memset(back, 0xEE, bytes);
            CHECK_OK(bs_pipeline_decode(&pipeline, mask, scratch, kept, count, back, bytes, err));
            if (memcmp(raw, back, bytes) != 0)
                test_fail(
                    __FILE__, __LINE__, "%s of %zu comes back otherwise", written[w].name, bytes);
            bs_free(kept);
        }
    }
    bs_codec_scratch_free(scratch);
    bs_free(raw);
    bs_free(back);
}

/* ---- chunks made for those that are only read ------------------------------------------------- */

struct bit_writer {
    uint8_t bytes[4096];
    size_t at; /* bit */
};

static void put_bits(struct bit_writer *writer, uint64_t value, unsigned width)
{
    for (unsigned i = width; i-- > 0; writer->at++) {
        if (value >> i & 1) writer->bytes[writer->at / 8] |= (uint8_t)(0x80 >> writer->at % 8);
    }
}

struct chunk {
    struct bs_pipeline pipeline;
    uint8_t stored[4096], raw[4096];
    size_t stored_bytes, raw_bytes;
};

/* 100 numbers of every width in 2 bytes, little-endian and big. */
static void make_nbit(struct chunk *chunk, uint32_t width, uint32_t offset, uint32_t big_endian,
    uint32_t element_bytes)
{
    struct bit_writer writer = {.at = 0};
    uint64_t random = width * 100 + offset;
    *chunk = (struct chunk){.raw_bytes = 100 * element_bytes,
        .pipeline = {1,
            {{BS_FILTER_NBIT, 0, 8, {{8, 0, 100, 1, element_bytes, big_endian, width, offset}}}}}};
    for (size_t i = 0; i < 100; i++) {
        const uint64_t value = test_random(&random) >> (64 - width);
        put_bits(&writer, value, width);
        for (size_t b = 0; b < element_bytes; b++) {
            const uint64_t shifted = b < 8 ? (value << offset) >> (8 * b) : 0;
            const size_t place = big_endian ? element_bytes - 1 - b : b;
            chunk->raw[i * element_bytes + place] = (uint8_t)shifted;
        }
    }
    chunk->stored_bytes = (writer.at + 7) / 8;
    memcpy(chunk->stored, writer.bytes, chunk->stored_bytes);
}

static void make_scaled(struct chunk *chunk, uint32_t width, bool has_fill)
{
    struct bit_writer writer = {.at = 0};
    uint64_t random = width;
    *chunk = (struct chunk){.raw_bytes = 100 * 4,
        .pipeline = {1,
            {{BS_FILTER_SCALEOFFSET, 0, 10, {{2, 0, 100, 0, 4, 1, 0, has_fill, 0xFFFFFF85u, 0}}}}}};
    for (size_t i = 0; i < 100; i++) {
        const uint32_t number = (uint32_t)(test_random(&random) >> (64 - width));
        const bool fill = has_fill && number == ((uint64_t)1 << width) - 1;
        put_bits(&writer, number, width);
        bs_store_u32(chunk->raw + 4 * i, fill ? 0xFFFFFF85u : number + (uint32_t)-1000);
    }
    bs_store_u32(chunk->stored, width);
    chunk->stored[4] = 8;
    bs_store_u64(chunk->stored + 5, (uint64_t)-1000);
    chunk->stored_bytes = 21 + (writer.at + 7) / 8;
    memcpy(chunk->stored + 21, writer.bytes, chunk->stored_bytes - 21);
}

static void make_szip(struct chunk *chunk)
{
    SZ_com_t how = {.options_mask = 32 | 8 | 128,
        .bits_per_pixel = 16,
        .pixels_per_block = 16,
        .pixels_per_scanline = 40};
    *chunk = (struct chunk){
        .raw_bytes = 2000, .pipeline = ONE(BS_FILTER_SZIP, 4, 32 | 8 | 128, 16, 16, 40)};
    fill(chunk->raw, chunk->raw_bytes, 1, 3);
    size_t made = sizeof chunk->stored - 4;
    CHECK_EQ(
        SZ_BufftoBuffCompress(chunk->stored + 4, &made, chunk->raw, chunk->raw_bytes, &how), SZ_OK);
    bs_store_u32(chunk->stored, (uint32_t)chunk->raw_bytes);
    chunk->stored_bytes = made + 4;
}

static void check_decodes(const struct chunk *chunk, struct bs_codec_scratch *scratch)
{
    uint8_t back[4096];
    void *exact = bs_copy_bytes(chunk->stored, chunk->stored_bytes); /* reads beyond it are found */
    CHECK_OK(bs_pipeline_decode(
        &chunk->pipeline, 0, scratch, exact, chunk->stored_bytes, back, chunk->raw_bytes, err));
    CHECK(memcmp(back, chunk->raw, chunk->raw_bytes) == 0);
    bs_free(exact);
}

TEST(filters, nbit_of_every_width)
{
    static const uint32_t sizes[] = {1, 2, 3, 4, 8, 12};
    struct bs_codec_scratch *scratch = NULL;
    struct chunk chunk;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (size_t s = 0; s < BS_ARRAY_LENGTH(sizes); s++) {
        const uint32_t bits = BS_MIN(8 * sizes[s], 64u);
        for (uint32_t width = 1; width <= bits; width++) {
            for (uint32_t offset = 0; offset <= bits - width; offset++) {
                make_nbit(&chunk, width, offset, offset % 2, sizes[s]);
                check_decodes(&chunk, scratch);
            }
        }
    }
    bs_codec_scratch_free(scratch);
}

TEST(filters, scaleoffset_of_every_width)
{
    struct bs_codec_scratch *scratch = NULL;
    struct chunk chunk;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (uint32_t width = 1; width < 32; width++) {
        make_scaled(&chunk, width, width % 2);
        check_decodes(&chunk, scratch);
    }
    make_szip(&chunk);
    check_decodes(&chunk, scratch);
    bs_codec_scratch_free(scratch);
}

/* Bit by bit, from the description at the top of filter_bitshuffle.c. */
TEST(filters, bitshuffle_lays_bits_plane_by_plane)
{
    static const uint32_t widths[] = {1, 2, 3, 4, 8, 16};
    static uint8_t raw[16 * 264 + 100];
    struct bs_codec_scratch *scratch = NULL;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    fill(raw, sizeof raw, 9, 256);
    for (size_t w = 0; w < BS_ARRAY_LENGTH(widths); w++) {
        for (size_t n = 8; n <= 264; n += 8) {
            const struct bs_pipeline pipeline =
                ONE(BS_FILTER_BITSHUFFLE, 4, 0, 4, widths[w], (uint32_t)n);
            const size_t bytes = n * widths[w] + widths[w] * 5;
            const void *stored;
            size_t count, wrong = 0;
            uint32_t mask;
            CHECK_OK(
                bs_pipeline_encode(&pipeline, scratch, raw, bytes, &stored, &count, &mask, err));
            CHECK_EQ(count, bytes);
            const uint8_t *rows = stored;
            for (size_t bit = 0; bit < 8 * widths[w] * n; bit++) {
                const size_t e = bit % n, b = bit / n / 8, j = bit / n % 8;
                const unsigned got = rows[(8 * b + j) * n / 8 + e / 8] >> (e % 8) & 1;
                wrong += got != (raw[e * widths[w] + b] >> j & 1u);
            }
            CHECK_EQ(wrong, 0);
            CHECK(memcmp(rows + n * widths[w], raw + n * widths[w], widths[w] * 5) == 0);
        }
    }
    bs_codec_scratch_free(scratch);
}

/* ---- damage -------------------------------------------------------------------------------------- */

/* Whatever the bytes: OK with exactly as many bytes, or CORRUPT with a sentence. */
static void check_answer(const struct chunk *chunk, struct bs_codec_scratch *scratch,
    const uint8_t *stored, size_t count, bool must_fail)
{
    basalt_error err = {0};
    uint8_t *exact = bs_copy_bytes(stored, count), *back = bs_alloc(chunk->raw_bytes);
    const basalt_status status = bs_pipeline_decode(
        &chunk->pipeline, 0, scratch, exact, count, back, chunk->raw_bytes, &err);
    CHECK(status == BASALT_OK || status == BASALT_CORRUPT);
    if (status) CHECK(err.message[0]);
    if (must_fail && status == BASALT_OK) CHECK(memcmp(back, chunk->raw, chunk->raw_bytes) != 0);
    bs_free(exact);
    bs_free(back);
}

static void damage(const struct chunk *chunk, struct bs_codec_scratch *scratch, bool lossless)
{
    uint8_t bytes[4096];
    for (size_t cut = 0; cut < chunk->stored_bytes; cut++) {
        check_answer(chunk, scratch, chunk->stored, cut, lossless);
    }
    for (size_t at = 0; at < 8 * chunk->stored_bytes; at += at < 512 ? 1 : 5) {
        memcpy(bytes, chunk->stored, chunk->stored_bytes);
        bytes[at / 8] ^= (uint8_t)(1u << at % 8);
        check_answer(chunk, scratch, bytes, chunk->stored_bytes, false);
    }
    struct chunk other = *chunk;
    for (int less = -1; less <= 1; less += 2) {
        other.raw_bytes = chunk->raw_bytes + (size_t)less;
        basalt_error err = {0};
        uint8_t *back = bs_alloc(other.raw_bytes);
        CHECK_EQ(bs_pipeline_decode(&other.pipeline, 0, scratch, other.stored, other.stored_bytes,
                     back, other.raw_bytes, &err),
            BASALT_CORRUPT);
        bs_free(back);
    }
}

TEST(filters, damage_and_truncation_are_answered)
{
    struct bs_codec_scratch *scratch = NULL;
    struct chunk chunk;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (size_t w = 0; w < BS_ARRAY_LENGTH(written); w++) {
        const void *stored;
        uint32_t mask;
        chunk = (struct chunk){.pipeline = written[w].pipeline, .raw_bytes = 1100};
        fill(chunk.raw, chunk.raw_bytes, w, 3);
        CHECK_OK(bs_pipeline_encode(&chunk.pipeline, scratch, chunk.raw, chunk.raw_bytes, &stored,
            &chunk.stored_bytes, &mask, err));
        memcpy(chunk.stored, stored, chunk.stored_bytes);
        damage(&chunk, scratch, false);
    }
    make_nbit(&chunk, 11, 3, 1, 2);
    damage(&chunk, scratch, true);
    make_scaled(&chunk, 9, true);
    damage(&chunk, scratch, true);
    make_szip(&chunk);
    damage(&chunk, scratch, false);
    bs_codec_scratch_free(scratch);
}

/* Each parameter of each filter made extreme: an answer, soon, and no memory that is not ours. */
TEST(filters, parameters_that_cannot_be)
{
    static const uint32_t extremes[] = {
        0, 1, 2, 3, 5, 7, 8, 64, 255, 65536, 0x7FFFFFFF, 0x80000000u, UINT32_MAX};
    static const uint16_t ids[] = {1, 2, 3, 4, 5, 6, 307, 32000, 32001, 32004, 32008, 32015};
    struct bs_codec_scratch *scratch = NULL;
    uint8_t stored[300], back[400];
    uint64_t random = 3;
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (unsigned i = 0; i < 60000; i++) {
        struct bs_pipeline pipeline = {1, {{.id = ids[i % BS_ARRAY_LENGTH(ids)]}}};
        pipeline.filters[0].parameter_count = (uint16_t)(test_random(&random) % 40);
        for (unsigned p = 0; p < pipeline.filters[0].parameter_count; p++) {
            pipeline.filters[0].parameters[p] =
                extremes[test_random(&random) % (i % 3 ? 8 : BS_ARRAY_LENGTH(extremes))];
        }
        fill(stored, sizeof stored, i, i % 2 ? 256 : 2);
        basalt_error err = {0};
        const basalt_status status = bs_pipeline_decode(
            &pipeline, 0, scratch, stored, sizeof stored, back, sizeof back, &err);
        CHECK(status == BASALT_OK || status == BASALT_CORRUPT || status == BASALT_UNSUPPORTED);
    }
    bs_codec_scratch_free(scratch);
}

/* A compound of arrays of compounds that take no bits, all over each other: refused in no time. */
TEST(filters, nbit_does_not_work_for_nothing)
{
    static uint8_t back[1 << 20], stored[16];
    uint32_t parameters[3 + 3 + 65000];
    struct bs_pipeline pipeline = {1, {{.id = BS_FILTER_NBIT, .parameter_count = 65006}}};
    struct bs_codec_scratch *scratch = NULL;
    pipeline.filters[0].long_parameters = parameters;
    memcpy(parameters, (uint32_t[]){65006, 0, sizeof back, 3, 1, 13000}, 24);
    for (size_t i = 0; i < 13000; i++) /* an array of 1 byte made of numbers of 4: of none */
        memcpy(parameters + 6 + 5 * i, (uint32_t[]){0, 2, 1, 3, 4}, 20);
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    CHECK_EQ(
        bs_pipeline_decode(&pipeline, 0, scratch, stored, sizeof stored, back, sizeof back, NULL),
        BASALT_CORRUPT);
    bs_codec_scratch_free(scratch);
}

TEST(filters, a_row_of_filters_that_grow_is_bounded)
{
    struct bs_pipeline pipeline = {.count = BS_FILTERS_MAX};
    struct bs_codec_scratch *scratch = NULL;
    uint8_t stored[100] = {0}, back[100];
    for (unsigned i = 0; i < BS_FILTERS_MAX; i++)
        pipeline.filters[i] = (struct bs_filter){BS_FILTER_LZ4, 0, 1, {{1}}};
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    CHECK_EQ(
        bs_pipeline_decode(&pipeline, 0, scratch, stored, sizeof stored, back, sizeof back, NULL),
        BASALT_CORRUPT);
    CHECK(scratch->buffers[0].capacity <= 2 * sizeof back + 65536);
    CHECK(scratch->buffers[1].capacity <= 2 * sizeof back + 65536);
    bs_codec_scratch_free(scratch);
}

TEST(filters, nothing_at_all)
{
    struct bs_codec_scratch *scratch = NULL;
    uint8_t none[1], back[1];
    CHECK_OK(bs_codec_scratch_create(&scratch, err));
    for (size_t w = 0; w < BS_ARRAY_LENGTH(written); w++) {
        struct bs_pipeline pipeline = {.count = 4};
        for (unsigned i = 0; i < pipeline.count; i++) {
            pipeline.filters[i] =
                i % 2 ? written[1].pipeline.filters[0] : written[w].pipeline.filters[0];
        }
        const basalt_status status =
            bs_pipeline_decode(&pipeline, 0, scratch, none, 0, back, 0, NULL);
        CHECK(status == BASALT_OK || status == BASALT_CORRUPT);
    }
    bs_codec_scratch_free(scratch);
}

TEST(filters, no_fault_leaks)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_codec_scratch *scratch = NULL;
        struct bs_filter_registry *registry = NULL;
        basalt_error err = {0};
        uint8_t raw[1000], kept[4096], back[1000];
        fill(raw, sizeof raw, 3, 3);
        basalt_status status = bs_filter_registry_create(&registry, &err);
        if (!status) status = bs_codec_scratch_create_with(registry, &scratch, &err);
        for (size_t w = 0; !status && w < BS_ARRAY_LENGTH(written); w++) {
            const struct bs_pipeline *pipeline = &written[w].pipeline;
            const void *stored;
            size_t count;
            uint32_t mask;
            status = bs_pipeline_encode(
                pipeline, scratch, raw, sizeof raw, &stored, &count, &mask, &err);
            if (status) break;
            memcpy(kept, stored, count);
            status =
                bs_pipeline_decode(pipeline, mask, scratch, kept, count, back, sizeof back, &err);
        }
        CHECK_EQ(status, err.status);
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        bs_codec_scratch_free(scratch);
        bs_filter_registry_free(registry);
        CHECK_EQ(test_live_allocations(), before);
    }
}

/* ---- filters of the user -------------------------------------------------------------------------- */

struct adder { /* adds its parameter to every byte, and counts */
    unsigned calls;
    size_t claims; /* more than it wrote */
    basalt_status status;
};

static basalt_status add_bytes(void *context, const uint32_t *parameters, size_t parameter_count,
    const void *input, size_t input_bytes, void *out, size_t out_bytes_max, size_t *out_bytes,
    basalt_error *err)
{
    struct adder *adder = context;
    const uint8_t *from = input;
    uint8_t *to = out;
    adder->calls++;
    if (adder->status) {
        snprintf(err->message, sizeof err->message, "no adding today");
        return adder->status;
    }
    if (parameter_count != 1 || input_bytes > out_bytes_max) return BASALT_CORRUPT;
    for (size_t i = 0; i < input_bytes; i++) to[i] = (uint8_t)(from[i] + parameters[0]);
    *out_bytes = input_bytes + adder->claims;
    return BASALT_OK;
}

static basalt_status subtract_bytes(void *context, const uint32_t *parameters,
    size_t parameter_count, const void *input, size_t input_bytes, void *out, size_t out_bytes_max,
    size_t *out_bytes, basalt_error *err)
{
    const uint32_t negative = parameter_count == 1 ? 0u - parameters[0] : 0;
    return add_bytes(context, &negative, 1, input, input_bytes, out, out_bytes_max, out_bytes, err);
}

TEST(filters, the_user_brings_one)
{
    const struct bs_pipeline pipeline = {
        2, {{4711, 0, 1, {{77}}}, {BS_FILTER_FLETCHER32, 0, 0, {{0}}}}};
    struct bs_filter_registry *registry = NULL;
    struct bs_codec_scratch *scratch = NULL;
    struct adder adder = {0};
    uint8_t raw[100], kept[104], back[100];
    const void *stored;
    size_t count;
    uint32_t mask;
    basalt_error fault = {0};
    fill(raw, sizeof raw, 1, 256);
    CHECK_OK(bs_filter_registry_create(&registry, err));
    CHECK_OK(bs_codec_scratch_create_with(registry, &scratch, err));
    CHECK_EQ(
        bs_pipeline_decode(&pipeline, 0, scratch, kept, 104, back, 100, NULL), BASALT_UNSUPPORTED);
    CHECK_OK(
        bs_filter_registry_add(registry, 4711, "adder", add_bytes, subtract_bytes, &adder, err));
    CHECK_OK(bs_pipeline_encode(&pipeline, scratch, raw, 100, &stored, &count, &mask, err));
    REQUIRE(count == 104);
    memcpy(kept, stored, count);
    CHECK_EQ(kept[5], (uint8_t)(raw[5] - 77));
    CHECK_OK(bs_pipeline_decode(&pipeline, 0, scratch, kept, 104, back, 100, err));
    CHECK(memcmp(raw, back, 100) == 0);
    CHECK_EQ(adder.calls, 2);
    adder.status = BASALT_CORRUPT;
    CHECK_EQ(
        bs_pipeline_decode(&pipeline, 0, scratch, kept, 104, back, 100, &fault), BASALT_CORRUPT);
    CHECK_TEXT(fault.message, "filter adder (4711) cannot decode a chunk: no adding today");
    adder = (struct adder){.claims = 1};
    CHECK_EQ(bs_pipeline_decode(&pipeline, 0, scratch, kept, 104, back, 100, &fault),
        BASALT_BAD_ARGUMENT);
    bs_codec_scratch_free(scratch);
    bs_filter_registry_free(registry);
}

TEST(filters, the_registry_has_limits)
{
    struct bs_filter_registry *registry = NULL;
    basalt_error fault = {0};
    char longest[65];
    memset(longest, 'n', 64);
    longest[64] = 0;
    CHECK_OK(bs_filter_registry_create(&registry, err));
    CHECK_EQ(
        bs_filter_registry_add(registry, 1, "x", add_bytes, NULL, NULL, &fault), BASALT_EXISTS);
    CHECK(strstr(fault.message, "deflate") != NULL);
    CHECK_EQ(bs_filter_registry_add(registry, 400, "", add_bytes, NULL, NULL, NULL),
        BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_filter_registry_add(registry, 400, longest, add_bytes, NULL, NULL, NULL),
        BASALT_BAD_ARGUMENT);
    CHECK_OK(bs_filter_registry_add(registry, 400, longest + 1, add_bytes, NULL, NULL, err));
    CHECK_EQ(
        bs_filter_registry_add(registry, 400, "y", add_bytes, NULL, NULL, &fault), BASALT_EXISTS);
    for (uint16_t i = 1; i < BS_FILTERS_REGISTERED_MAX; i++)
        CHECK_OK(
            bs_filter_registry_add(registry, (uint16_t)(400 + i), "z", add_bytes, NULL, NULL, err));
    CHECK_EQ(
        bs_filter_registry_add(registry, 999, "z", add_bytes, NULL, NULL, NULL), BASALT_TOO_LARGE);
    bs_filter_registry_free(registry);
}

static void add_many(void *argument)
{
    for (uint16_t i = 1; i < BS_FILTERS_REGISTERED_MAX; i++) { /* one is there */
        CHECK_OK(bs_filter_registry_add(
            argument, (uint16_t)(400 + i), "late", subtract_bytes, NULL, NULL, err));
    }
}

/* Nobody waits: a filter is there whole, or not yet. */
TEST(filters, one_is_registered_while_others_decode)
{
    struct bs_filter_registry *registry = NULL;
    struct bs_codec_scratch *scratch = NULL;
    struct bs_thread *thread = NULL;
    struct adder adder = {0};
    uint8_t stored[8] = {0}, back[8];
    CHECK_OK(bs_filter_registry_create(&registry, err));
    CHECK_OK(bs_codec_scratch_create_with(registry, &scratch, err));
    CHECK_EQ(
        bs_filter_registry_add(registry, 399, "first", add_bytes, NULL, &adder, NULL), BASALT_OK);
    REQUIRE_OK(bs_thread_start("registers", add_many, registry, &thread, err));
    for (unsigned i = 0; i < 1000; i++) {
        const uint16_t id = (uint16_t)(464 + i % 2);
        const struct bs_pipeline first = ONE(399, 1, 3), never = {1, {{.id = id}}};
        CHECK_OK(bs_pipeline_decode(&first, 0, scratch, stored, 8, back, 8, err));
        CHECK_EQ(
            bs_pipeline_decode(&never, 0, scratch, stored, 8, back, 8, NULL), BASALT_UNSUPPORTED);
    }
    bs_thread_join(thread);
    CHECK_EQ(adder.calls, 1000);
    bs_codec_scratch_free(scratch);
    bs_filter_registry_free(registry);
}
