/* h5_read_test.c - selections of what libhdf5 wrote: alone, shared with workers, through a cache, on
 * many threads, with faults, damage and cancelling. Values against h5py: tests/interop/selections.py. */
#include "tests/unit/h5/h5_fixture.h"

#include <stdlib.h>

#define SIDE 60
#define FILES 20
#define READERS 16
#define READS 200

/* Two dimensions of int32 that count up, in chunks of 7 x 11. */
static void add_square(struct fixture *fixture, const char *name, const char *filters, int limits)
{
    const hsize_t dims[2] = {SIDE, SIDE}, chunk[2] = {7, 11};
    const hsize_t unlimited[2] = {H5S_UNLIMITED, limits > 1 ? H5S_UNLIMITED : (hsize_t)SIDE};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    if (*filters != 'c') H5Pset_chunk(properties, 2, chunk);
    if (strchr(filters, 's')) H5Pset_shuffle(properties);
    if (strchr(filters, 'g')) H5Pset_deflate(properties, 1);
    fixture_count_up(fixture, name, 2, dims, limits ? unlimited : NULL, properties);
    H5Pclose(properties);
}

static const struct {
    const char *name, *filters;
    int limits;
} squares[] = {{"contiguous", "c", 0}, {"fixed", "", 0}, {"fixed g", "sg", 0}, {"grows", "g", 1},
    {"grows raw", "", 1}, {"tree", "g", 2}, {"tree raw", "", 2}};

static void add_squares(struct fixture *fixture)
{
    for (size_t i = 0; i < BS_ARRAY_LENGTH(squares); i++)
        add_square(fixture, squares[i].name, squares[i].filters, squares[i].limits);
}

/* What a fixed seed chooses, and the values that it must give. */
struct chosen {
    struct bs_h5_selection selection;
    uint64_t coordinates[64];
    int32_t expected[SIDE * SIDE];
    uint64_t count;
};

static void choose_slab(struct chosen *chosen, uint64_t *seed)
{
    uint64_t places[2][SIDE], counts[2] = {0, 0};
    struct bs_h5_selection *slab = &chosen->selection;

    for (unsigned d = 0; d < 2; d++) {
        slab->start[d] = test_random(seed) % SIDE;
        const uint64_t left = SIDE - slab->start[d];
        slab->block[d] = 1 + test_random(seed) % BS_MIN(left, (uint64_t)4);
        slab->stride[d] = slab->block[d] + test_random(seed) % 20;
        slab->count[d] = 1 + test_random(seed) % ((left - slab->block[d]) / slab->stride[d] + 1);
        for (uint64_t i = 0; i < slab->count[d]; i++)
            for (uint64_t j = 0; j < slab->block[d]; j++)
                places[d][counts[d]++] = slab->start[d] + i * slab->stride[d] + j;
    }
    for (uint64_t i = 0; i < counts[0]; i++)
        for (uint64_t j = 0; j < counts[1]; j++)
            chosen->expected[chosen->count++] = (int32_t)(places[0][i] * SIDE + places[1][j]);
}

static void choose(struct chosen *chosen, uint64_t *seed)
{
    memset(chosen, 0, sizeof *chosen);
    chosen->selection.kind = (enum bs_h5_selection_kind)(test_random(seed) % 4);
    chosen->selection.rank = 2;
    chosen->selection.coordinates = chosen->coordinates;
    for (unsigned i = 0; i < BS_ARRAY_LENGTH(chosen->coordinates); i++)
        chosen->coordinates[i] = test_random(seed) % SIDE;
    switch (chosen->selection.kind) {
    case BS_H5_SELECT_ALL:
        for (int32_t i = 0; i < SIDE * SIDE; i++) chosen->expected[chosen->count++] = i;
        return;
    case BS_H5_SELECT_HYPERSLAB: choose_slab(chosen, seed); return;
    case BS_H5_SELECT_POINTS:
        chosen->selection.coordinate_count = 32;
        for (unsigned i = 0; i < 32; i++)
            chosen->expected[chosen->count++] =
                (int32_t)(chosen->coordinates[2 * i] * SIDE + chosen->coordinates[2 * i + 1]);
        return;
    case BS_H5_SELECT_ROWS:
        chosen->selection.coordinate_count = 9;
        for (unsigned i = 0; i < 9; i++)
            for (unsigned j = 0; j < SIDE; j++)
                chosen->expected[chosen->count++] = (int32_t)(chosen->coordinates[i] * SIDE + j);
        return;
    }
}

static bool read_is_right(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const struct bs_h5_read_how *how, struct chosen *chosen)
{
    int32_t out[SIDE * SIDE];
    basalt_error fault = {0};
    uint64_t count = 0;

    if (bs_h5_selection_count(object, &chosen->selection, &count, &fault) ||
        count != chosen->count ||
        bs_h5_read_selection(h5, object, &chosen->selection, how, out, count * 4, &fault)) {
        test_fail(__FILE__, __LINE__, "%s: %d elements", fault.message, (int)count);
        return false;
    }
    return !memcmp(out, chosen->expected, (size_t)count * 4);
}

static void check_square(
    struct fixture *fixture, const char *name, struct bs_sched *sched, struct bs_h5_cache *cache)
{
    static struct chosen chosen;
    uint64_t seed = 11;
    struct bs_h5_object *object = fixture_object(fixture, name);

    for (unsigned round = 0; object && round < 150; round++) {
        const struct bs_h5_read_how how = {
            .sched = round % 2 ? sched : NULL, .cache = round % 3 ? cache : NULL};
        choose(&chosen, &seed);
        CHECK(read_is_right(fixture->h5, object, &how, &chosen));
    }
    bs_h5_object_close(object);
}

TEST(h5_read, every_selection_of_every_storage)
{
    struct bs_sched *sched = NULL;

    REQUIRE_OK(bs_sched_create(2, &sched, err));
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        struct bs_h5_cache *cache = NULL;
        fixture_begin(&fixture, (enum fixture_age)age);
        add_squares(&fixture);
        CHECK_OK(bs_h5_cache_create(40000, &cache, err)); /* does not hold one dataset */
        if (fixture_open(&fixture))
            for (size_t i = 0; i < BS_ARRAY_LENGTH(squares); i++)
                check_square(&fixture, squares[i].name, sched, cache);
        bs_h5_cache_free(cache);
        fixture_end(&fixture);
    }
    bs_sched_free(sched);
}

/* More chunks than one batch has, so that there is a job. */
static void add_long(struct fixture *fixture)
{
    const hsize_t dims[1] = {300000}, chunk[1] = {1000};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 1, chunk);
    H5Pset_deflate(properties, 1);
    fixture_count_up(fixture, "long", 1, dims, NULL, properties);
    H5Pclose(properties);
}

TEST(h5_read, a_long_one_is_shared_and_converted)
{
    static double out[300000];
    struct fixture fixture;
    struct bs_sched *sched = NULL;
    struct bs_h5_type *type = bs_h5_type_float(8);
    const struct bs_h5_selection all = {.kind = BS_H5_SELECT_ALL};

    REQUIRE(type);
    REQUIRE_OK(bs_sched_create(3, &sched, err));
    fixture_begin(&fixture, FIXTURE_LATEST);
    add_long(&fixture);
    if (fixture_open(&fixture)) {
        const struct bs_h5_read_how how = {.sched = sched, .as = type};
        struct bs_h5_object *object = fixture_object(&fixture, "long");
        CHECK_OK(bs_h5_read_selection(fixture.h5, object, &all, &how, out, sizeof out, err));
        unsigned wrong = 0;
        for (int i = 0; i < 300000; i++) wrong += (int)out[i] != i;
        CHECK_EQ(wrong, 0);
        bs_h5_object_close(object);
    }
    bs_h5_type_free(type);
    fixture_end(&fixture);
    bs_sched_free(sched);
}

TEST(h5_read, a_large_unfiltered_chunk_is_shared)
{
    const hsize_t dims[1] = {(5 << 20) / 4 + 3};
    struct fixture fixture;
    struct bs_sched *sched = NULL;
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);

    REQUIRE_OK(bs_sched_create(2, &sched, err));
    H5Pset_chunk(properties, 1, dims);
    fixture_begin(&fixture, FIXTURE_LATEST);
    fixture_count_up(&fixture, "one", 1, dims, NULL, properties);
    H5Pclose(properties);
    if (fixture_open(&fixture)) {
        bs_h5_file_set_helpers(fixture.h5, sched, NULL);
        fixture_check_counts_up(&fixture, "one");
    }
    fixture_end(&fixture);
    bs_sched_free(sched);
}

TEST(h5_read, a_cancelled_read_says_so)
{
    static int32_t out[300000];
    struct fixture fixture;
    struct bs_sched *sched = NULL;
    struct bs_cancel cancel = {0};
    const struct bs_h5_selection all = {.kind = BS_H5_SELECT_ALL};

    REQUIRE_OK(bs_sched_create(2, &sched, err));
    fixture_begin(&fixture, FIXTURE_EARLIEST);
    add_long(&fixture);
    if (fixture_open(&fixture)) {
        const struct bs_h5_read_how how = {.sched = sched, .cancel = &cancel, .path = "/long"};
        struct bs_h5_object *object = fixture_object(&fixture, "long");
        CHECK_OK(bs_h5_read_selection(fixture.h5, object, &all, &how, out, sizeof out, err));
        bs_cancel_request(&cancel);
        CHECK_EQ(bs_h5_read_selection(fixture.h5, object, &all, &how, out, sizeof out, NULL),
            BASALT_CANCELLED);
        bs_h5_object_close(object);
    }
    fixture_end(&fixture);
    bs_sched_free(sched);
}

TEST(h5_read, no_fault_leaks_or_hangs)
{
    static const char *const names[] = {"contiguous", "fixed g", "tree"};
    static struct chosen chosen;
    static double out[SIDE * SIDE];
    struct fixture fixture;
    struct bs_h5_type *type = bs_h5_type_float(8);

    REQUIRE(type);
    fixture_begin(&fixture, FIXTURE_LATEST);
    add_squares(&fixture);
    if (!fixture_open(&fixture)) return;
    for (size_t i = 0; i < 3 * BS_ARRAY_LENGTH(names); i++) {
        struct bs_h5_object *object = fixture_object(&fixture, names[i / 3]);
        const int64_t before = test_live_allocations();
        EACH_FAULT (step) {
            uint64_t seed = 5 + i;
            struct bs_sched *sched = NULL;
            struct bs_h5_cache *cache = NULL;
            basalt_error fault = {0};
            do choose(&chosen, &seed);
            while (chosen.selection.kind != (enum bs_h5_selection_kind)(1 + i % 3));
            basalt_status status = bs_h5_cache_create(1 << 20, &cache, &fault);
            if (!status) status = bs_sched_create(1, &sched, &fault);
            const struct bs_h5_read_how how = {
                .sched = sched, .cache = cache, .as = type, .path = names[i / 3]};
            if (!status)
                status = bs_h5_read_selection(fixture.h5, object, &chosen.selection, &how, out,
                    chosen.count * sizeof *out, &fault);
            CHECK_EQ(status, fault.status);
            for (uint64_t at = 0; !status && at < chosen.count; at++)
                if ((int32_t)out[at] != chosen.expected[at]) status = BASALT_CORRUPT;
            CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
            bs_sched_free(sched);
            bs_h5_cache_free(cache);
            CHECK_EQ(test_live_allocations(), before);
        }
        bs_h5_object_close(object);
    }
    bs_h5_type_free(type);
    fixture_end(&fixture);
}

/* ---- many at once ------------------------------------------------------------------------------- */

struct shared_file {
    struct fixture fixture;
    struct bs_h5_cache *cache;
    struct bs_h5_object *objects[BS_ARRAY_LENGTH(squares)];
};

struct many {
    struct shared_file *files;
    struct bs_sched *sched;
    uint64_t seed;
    unsigned wrong;
};

static void read_many(void *context)
{
    struct many *many = context;
    struct chosen *chosen = malloc(sizeof *chosen);

    for (unsigned i = 0; chosen && i < READS; i++) {
        struct shared_file *file = &many->files[test_random(&many->seed) % FILES];
        const size_t square = test_random(&many->seed) % BS_ARRAY_LENGTH(squares);
        const struct bs_h5_read_how how = {
            .sched = i % 2 ? many->sched : NULL, .cache = file->cache};
        choose(chosen, &many->seed);
        many->wrong += !read_is_right(file->fixture.h5, file->objects[square], &how, chosen);
    }
    free(chosen);
}

static bool open_shared(struct shared_file *file, enum fixture_age age)
{
    fixture_begin(&file->fixture, age);
    add_squares(&file->fixture);
    if (!fixture_open(&file->fixture)) return false;
    CHECK_OK(bs_h5_cache_create(100000, &file->cache, err));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(squares); i++)
        file->objects[i] = fixture_object(&file->fixture, squares[i].name);
    return file->cache != NULL;
}

TEST(h5_read, sixteen_threads_read_twenty_files)
{
    static struct shared_file files[FILES];
    static struct many many[READERS];
    struct bs_thread *threads[READERS] = {NULL};
    struct bs_sched *sched = NULL;

    REQUIRE_OK(bs_sched_create(2, &sched, err));
    for (unsigned i = 0; i < FILES; i++)
        REQUIRE(open_shared(&files[i], i % 2 ? FIXTURE_LATEST : FIXTURE_EARLIEST));
    for (unsigned i = 0; i < READERS; i++) {
        many[i] = (struct many){files, sched, 100 + i, 0};
        CHECK_OK(bs_thread_start("reader", read_many, &many[i], &threads[i], err));
    }
    for (unsigned i = 0; i < READERS; i++) {
        bs_thread_join(threads[i]);
        CHECK_EQ(many[i].wrong, 0);
    }
    for (unsigned i = 0; i < FILES; i++) {
        for (size_t j = 0; j < BS_ARRAY_LENGTH(squares); j++)
            bs_h5_object_close(files[i].objects[j]);
        fixture_end(&files[i].fixture);
        bs_h5_cache_free(files[i].cache);
    }
    bs_sched_free(sched);
}

struct slicer {
    struct bs_h5_file *h5;
    struct bs_h5_object *object;
    struct bs_h5_cache *cache;
    uint64_t seed;
    unsigned wrong;
};

static void read_slices(void *context)
{
    struct slicer *slicer = context;
    const struct bs_h5_read_how how = {.cache = slicer->cache};

    for (unsigned i = 0; i < READS; i++) {
        struct bs_h5_selection slab = {.kind = BS_H5_SELECT_HYPERSLAB, .rank = 1};
        int32_t out[10];
        slab.start[0] = test_random(&slicer->seed) % 299990;
        slab.count[0] = 10;
        slab.stride[0] = slab.block[0] = 1;
        if (bs_h5_read_selection(slicer->h5, slicer->object, &slab, &how, out, sizeof out, NULL))
            slicer->wrong++;
        for (int32_t k = 0; k < 10; k++) slicer->wrong += out[k] != (int32_t)slab.start[0] + k;
    }
}

TEST(h5_read, a_chunk_is_decoded_once_for_all_threads)
{
    struct fixture fixture;
    struct slicer slicers[8];
    struct bs_thread *threads[8] = {NULL};
    struct bs_h5_cache *cache = NULL;
    struct bs_h5_cache_stats stats = {0};

    fixture_begin(&fixture, FIXTURE_LATEST);
    add_long(&fixture);
    if (!fixture_open(&fixture)) return;
    REQUIRE_OK(bs_h5_cache_create(8 << 20, &cache, err));
    struct bs_h5_object *object = fixture_object(&fixture, "long");
    for (unsigned i = 0; i < 8; i++) { /* all in the same order: they meet at each chunk */
        slicers[i] = (struct slicer){fixture.h5, object, cache, 3, 0};
        CHECK_OK(bs_thread_start("slicer", read_slices, &slicers[i], &threads[i], err));
    }
    for (unsigned i = 0; i < 8; i++) {
        bs_thread_join(threads[i]);
        CHECK_EQ(slicers[i].wrong, 0);
    }
    bs_h5_cache_stats(cache, &stats);
    CHECK_EQ(stats.decoded, stats.chunks); /* none was put out, and none decoded twice */
    CHECK(stats.chunks <= 300 && stats.bytes <= stats.bytes_max);
    CHECK(stats.served > 0);
    bs_h5_object_close(object);
    fixture_end(&fixture);
    bs_h5_cache_free(cache);
}

TEST(h5_read, contiguous_data_are_mapped_and_nothing_else)
{
    struct fixture fixture;
    struct bs_file_map map = {0};

    fixture_begin(&fixture, FIXTURE_LATEST);
    add_squares(&fixture);
    if (fixture_open(&fixture)) {
        struct bs_h5_object *object = fixture_object(&fixture, "contiguous");
        CHECK_OK(bs_h5_map(fixture.h5, object, &map, err));
        for (uint32_t i = 0; map.bytes && i < SIDE * SIDE; i++)
            if (bs_load_u32(map.bytes + 4 * i) != i) test_fail(__FILE__, __LINE__, "element %u", i);
        bs_file_unmap(fixture.bytes, &map);
        CHECK(!map.bytes);
        bs_h5_object_close(object);
        object = fixture_object(&fixture, "fixed");
        CHECK_EQ(bs_h5_map(fixture.h5, object, &map, NULL), BASALT_UNSUPPORTED);
        CHECK(!map.start);
        bs_h5_object_close(object);
    }
    fixture_end(&fixture);
}

/* ---- types by name ------------------------------------------------------------------------------ */

TEST(h5_read, types_have_the_names_that_numpy_gives_them)
{
    static const char *const good[] = {"<i1", "<u2", ">i4", "<u8", "<f2", ">f4", "<f8"};
    static const char *const bad[] = {
        "", "<", "i3", "f1", "f16", "x4", "<i4 ", "S0", "i99999999999"};

    for (size_t i = 0; i < BS_ARRAY_LENGTH(good); i++) {
        struct bs_h5_type *type = NULL;
        struct bs_bytes text = {0};
        REQUIRE_OK(bs_h5_type_parse(good[i], &type, err));
        CHECK_OK(bs_h5_type_text(type, &text, err));
        bs_bytes_u8(&text, 0);
        CHECK_TEXT((const char *)text.data + 1, good[i] + 1);
        bs_bytes_free(&text);
        bs_h5_type_free(type);
    }
    for (size_t i = 0; i < BS_ARRAY_LENGTH(bad); i++) {
        struct bs_h5_type *type = NULL;
        CHECK_EQ(bs_h5_type_parse(bad[i], &type, NULL), BASALT_BAD_ARGUMENT);
        CHECK(!type);
    }
}
