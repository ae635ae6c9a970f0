/* h5_dataset_test.c - what libhdf5 wrote, in every layout and both generations, is what we read. */
#include "tests/unit/h5/h5_fixture.h"

#define ROWS 1000

static void add_chunked(struct fixture *fixture, const char *name, int rank, const hsize_t *dims,
    const hsize_t *chunk, const char *filters)
{
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t unlimited[4] = {H5S_UNLIMITED, H5S_UNLIMITED, H5S_UNLIMITED, H5S_UNLIMITED};
    H5Pset_chunk(properties, rank, chunk);
    if (strchr(filters, 's')) H5Pset_shuffle(properties);
    if (strchr(filters, 'g')) H5Pset_deflate(properties, 6);
    if (strchr(filters, 'f')) H5Pset_fletcher32(properties);
    /* The newest format indexes by how many dimensions are unlimited: one (1, or 2 for the last one)
     * an extensible array, all (u) a tree, none a fixed array, or nothing if space is early (e). */
    for (int i = 0; i < rank; i++)
        if ((strchr(filters, '1') && i > 0) || (strchr(filters, '2') && i < rank - 1))
            unlimited[i] = dims[i];
    if (strchr(filters, 'e')) H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
    fixture_count_up(
        fixture, name, rank, dims, strpbrk(filters, "12u") ? unlimited : NULL, properties);
    H5Pclose(properties);
}

TEST(h5_dataset, compact_and_contiguous)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        const hsize_t dims[2] = {ROWS, 3};
        hid_t compact = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_layout(compact, H5D_COMPACT);
        fixture_begin(&fixture, (enum fixture_age)age);
        fixture_count_up(&fixture, "compact", 1, dims, NULL, compact);
        fixture_count_up(&fixture, "contiguous", 2, dims, NULL, H5P_DEFAULT);
        H5Pclose(compact);
        if (fixture_open(&fixture)) {
            fixture_check_counts_up(&fixture, "compact");
            fixture_check_counts_up(&fixture, "/contiguous");
            fixture_check_sound(&fixture, true);
        }
        fixture_end(&fixture);
    }
}

TEST(h5_dataset, chunked_of_one_to_four_dimensions)
{
    static const char *const filters[] = {"", "g", "sg", "f", "sgf"};
    const hsize_t dims[4] = {97, 13, 5, 3}, chunk[4] = {10, 4, 5, 2};
    struct fixture fixture;

    fixture_begin(&fixture, FIXTURE_EARLIEST);
    for (int rank = 1; rank <= 4; rank++)
        for (size_t i = 0; i < BS_ARRAY_LENGTH(filters); i++) {
            char name[32];
            snprintf(name, sizeof name, "d%d%s", rank, filters[i]);
            add_chunked(&fixture, name, rank, dims, chunk, filters[i]);
        }
    if (fixture_open(&fixture)) {
        for (int rank = 1; rank <= 4; rank++)
            for (size_t i = 0; i < BS_ARRAY_LENGTH(filters); i++) {
                char name[32];
                snprintf(name, sizeof name, "d%d%s", rank, filters[i]);
                fixture_check_counts_up(&fixture, name);
            }
        fixture_check_sound(&fixture, true);
    }
    fixture_end(&fixture);
}

TEST(h5_dataset, every_chunk_index_of_the_newest_format)
{
    static const char *const forms[] = {"", "e", "g", "1", "1g", "1sgf", "2", "2g", "u", "ug"};
    static const unsigned char kinds[] = {3, 2, 3, 4, 4, 4, 4, 4, 5, 5};
    const hsize_t dims[3] = {97, 13, 5}, chunk[3] = {2, 4, 3};
    struct fixture fixture;

    fixture_begin(&fixture, FIXTURE_LATEST);
    for (int rank = 2; rank <= 3; rank++)
        for (size_t i = 0; i < BS_ARRAY_LENGTH(forms); i++) {
            char name[32];
            snprintf(name, sizeof name, "d%d%s", rank, forms[i]);
            add_chunked(&fixture, name, rank, dims, chunk, forms[i]);
        }
    add_chunked(&fixture, "single", 2, dims, dims, "g");
    add_chunked(&fixture, "single raw", 2, dims, dims, "");
    if (fixture_open(&fixture)) {
        for (int rank = 2; rank <= 3; rank++)
            for (size_t i = 0; i < BS_ARRAY_LENGTH(forms); i++) {
                char name[32];
                snprintf(name, sizeof name, "d%d%s", rank, forms[i]);
                struct bs_h5_object *object = fixture_object(&fixture, name);
                if (object) CHECK_EQ(bs_h5_object_dataset(object)->chunk_index, kinds[i]);
                bs_h5_object_close(object);
                fixture_check_counts_up(&fixture, name);
            }
        fixture_check_counts_up(&fixture, "single");
        fixture_check_counts_up(&fixture, "single raw");
        fixture_check_sound(&fixture, true);
    }
    fixture_end(&fixture);
}

TEST(h5_dataset, large_array_indexes_have_pages)
{
    static const char *const forms[] = {"", "g", "1", "1g", "u"};
    const hsize_t dims[1] = {60000}, chunk[1] = {5};
    struct fixture fixture;

    fixture_begin(&fixture, FIXTURE_LATEST);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(forms); i++) {
        char name[32];
        snprintf(name, sizeof name, "d%s", forms[i]);
        add_chunked(&fixture, name, 1, dims, chunk, forms[i]);
    }
    if (fixture_open(&fixture)) {
        for (size_t i = 0; i < BS_ARRAY_LENGTH(forms); i++) {
            char name[32];
            snprintf(name, sizeof name, "d%s", forms[i]);
            fixture_check_counts_up(&fixture, name);
        }
        fixture_check_sound(&fixture, true);
    }
    fixture_end(&fixture);
}

TEST(h5_dataset, a_deep_index_of_many_chunks)
{
    struct fixture fixture;
    const hsize_t dims[1] = {30000}, chunk[1] = {3};

    fixture_begin(&fixture, FIXTURE_EARLIEST);
    add_chunked(&fixture, "many", 1, dims, chunk, "u");
    if (fixture_open(&fixture)) {
        fixture_check_counts_up(&fixture, "many");
        fixture_check_sound(&fixture, true);
    }
    fixture_end(&fixture);
}

static void check_value(struct fixture *fixture, const char *name, uint64_t row, double expected)
{
    double value = 0;
    struct bs_h5_object *object = fixture_object(fixture, name);
    REQUIRE(object);
    CHECK_OK(bs_h5_read(fixture->h5, object, row, 1, &value, err));
    if (!(value == expected)) test_fail(__FILE__, __LINE__, "%s[%d]: %g", name, (int)row, value);
    bs_h5_object_close(object);
}

TEST(h5_dataset, what_is_not_stored_is_the_fill_value)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        const hsize_t dims[1] = {100}, chunk[1] = {10}, at[1] = {55};
        const double fill = 2.5, written = 7;
        hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, dims, NULL);
        hid_t one = H5Screate(H5S_SCALAR);
        fixture_begin(&fixture, (enum fixture_age)age);
        H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &fill);
        H5Dclose(H5Dcreate2(fixture.file, "contiguous", H5T_IEEE_F64LE, space, H5P_DEFAULT,
            properties, H5P_DEFAULT));
        H5Pset_chunk(properties, 1, chunk);
        hid_t chunked = H5Dcreate2(
            fixture.file, "chunked", H5T_IEEE_F64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
        H5Sselect_elements(space, H5S_SELECT_SET, 1, at);
        H5Dwrite(chunked, H5T_NATIVE_DOUBLE, one, space, H5P_DEFAULT, &written);
        H5Dclose(chunked);
        H5Pclose(properties);
        H5Sclose(space);
        H5Sclose(one);
        if (fixture_open(&fixture)) {
            check_value(&fixture, "contiguous", 99, 2.5);
            check_value(&fixture, "chunked", 0, 2.5);
            check_value(&fixture, "chunked", 54, 2.5);
            check_value(&fixture, "chunked", 55, 7);
            check_value(&fixture, "chunked", 99, 2.5);
            fixture_check_sound(&fixture, true);
        }
        fixture_end(&fixture);
    }
}

TEST(h5_dataset, rows_outside_are_refused)
{
    struct fixture fixture;
    const hsize_t dims[1] = {10};
    int32_t value = 0;

    fixture_begin(&fixture, FIXTURE_EARLIEST);
    fixture_count_up(&fixture, "d", 1, dims, NULL, H5P_DEFAULT);
    if (fixture_open(&fixture)) {
        struct bs_h5_object *object = fixture_object(&fixture, "d");
        CHECK_EQ(bs_h5_read(fixture.h5, object, 10, 1, &value, NULL), BASALT_BAD_ARGUMENT);
        CHECK_EQ(bs_h5_read(fixture.h5, object, 2, UINT64_MAX, &value, NULL), BASALT_BAD_ARGUMENT);
        CHECK_EQ(bs_h5_read(fixture.h5, object, 10, 0, &value, NULL), BASALT_OK);
        bs_h5_object_close(object);
    }
    fixture_end(&fixture);
}

TEST(h5_dataset, scalars_empty_and_null)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        const int32_t seven = 7;
        int32_t value = 0;
        const hsize_t none[2] = {0, 4};
        hid_t scalar = H5Screate(H5S_SCALAR), null = H5Screate(H5S_NULL);
        hid_t empty = H5Screate_simple(2, none, NULL);
        fixture_begin(&fixture, (enum fixture_age)age);
        hid_t dataset = H5Dcreate2(
            fixture.file, "scalar", H5T_STD_I32BE, scalar, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Dwrite(dataset, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, &seven);
        H5Dclose(dataset);
        H5Dclose(H5Dcreate2(
            fixture.file, "null", H5T_STD_I32LE, null, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        H5Dclose(H5Dcreate2(
            fixture.file, "empty", H5T_STD_I32LE, empty, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        H5Sclose(scalar);
        H5Sclose(null);
        H5Sclose(empty);
        if (fixture_open(&fixture)) {
            struct bs_h5_object *object = fixture_object(&fixture, "scalar");
            CHECK_OK(bs_h5_read(fixture.h5, object, 0, 1, &value, err));
            bs_h5_type_to_little_endian(bs_h5_object_type(object), &value, 1);
            CHECK_EQ(value, 7);
            bs_h5_object_close(object);
            object = fixture_object(&fixture, "null");
            CHECK_OK(bs_h5_read(fixture.h5, object, 0, 0, &value, err));
            CHECK_EQ(bs_h5_read(fixture.h5, object, 0, 1, &value, NULL), BASALT_BAD_ARGUMENT);
            bs_h5_object_close(object);
            object = fixture_object(&fixture, "empty");
            CHECK_OK(bs_h5_read(fixture.h5, object, 0, 0, &value, err));
            bs_h5_object_close(object);
            fixture_check_sound(&fixture, true);
        }
        fixture_end(&fixture);
    }
}

struct texts {
    size_t count;
    bool wrong;
};

static basalt_status check_text(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    struct texts *texts = context;
    char expected[64];
    const int length = snprintf(expected, sizeof expected, "text number %d", (int)index);
    (void)err;
    texts->count++;
    texts->wrong |= index % 7 == 0 ? count != 0
                                   : count != (size_t)length || memcmp(bytes, expected, count) != 0;
    return BASALT_OK;
}

TEST(h5_dataset, variable_length_texts)
{
    struct fixture fixture;
    static char memory[ROWS][64];
    static const char *texts[ROWS];
    static uint8_t elements[ROWS * 16];
    const hsize_t dims[1] = {ROWS}, chunk[1] = {128};
    hid_t type = H5Tcopy(H5T_C_S1), properties = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(1, dims, NULL);

    H5Tset_size(type, H5T_VARIABLE);
    H5Pset_chunk(properties, 1, chunk);
    H5Pset_deflate(properties, 1);
    for (int i = 0; i < ROWS; i++) {
        snprintf(memory[i], sizeof memory[i], "text number %d", i);
        texts[i] = i % 7 ? memory[i] : "";
    }
    fixture_begin(&fixture, FIXTURE_EARLIEST);
    hid_t dataset =
        H5Dcreate2(fixture.file, "texts", type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts);
    H5Dclose(dataset);
    H5Tclose(type);
    H5Pclose(properties);
    H5Sclose(space);
    if (fixture_open(&fixture)) {
        struct texts seen = {0};
        struct bs_h5_object *object = fixture_object(&fixture, "texts");
        CHECK_OK(bs_h5_read(fixture.h5, object, 0, ROWS, elements, err));
        CHECK_OK(bs_h5_resolve(
            fixture.h5, bs_h5_object_type(object), elements, ROWS, check_text, &seen, err));
        CHECK_EQ(seen.count, ROWS);
        CHECK(!seen.wrong);
        bs_h5_object_close(object);
        fixture_check_sound(&fixture, true);
    }
    fixture_end(&fixture);
}

/* ---- threads ---------------------------------------------------------------------------------- */

struct thread_reader {
    struct bs_h5_file *h5;
    const struct bs_h5_object *object;
    unsigned seed, wrong;
};

static void read_ranges(void *argument)
{
    struct thread_reader *reader = argument;
    static const uint64_t rows = 2000;
    uint64_t seed = reader->seed;
    int32_t values[100];

    for (unsigned i = 0; i < 200; i++) {
        struct bs_h5_object *root = NULL;
        const uint64_t first = test_random(&seed) % (rows - 100);
        reader->wrong += bs_h5_read(reader->h5, reader->object, first, 100, values, NULL) != 0;
        for (uint64_t at = 0; at < 100; at++) reader->wrong += values[at] != (int32_t)(first + at);
        reader->wrong += bs_h5_object_open_path(reader->h5, "/", &root, NULL) != 0;
        bs_h5_object_close(root);
    }
}

TEST(h5_dataset, threads_share_a_file_and_an_object)
{
    struct fixture fixture;
    const hsize_t dims[1] = {2000}, chunk[1] = {64};

    fixture_begin(&fixture, FIXTURE_EARLIEST);
    add_chunked(&fixture, "shared", 1, dims, chunk, "sg");
    if (fixture_open(&fixture)) {
        struct bs_h5_object *object = fixture_object(&fixture, "shared");
        struct thread_reader readers[4];
        struct bs_thread *threads[4] = {0};
        for (unsigned i = 0; i < 4; i++) {
            readers[i] = (struct thread_reader){fixture.h5, object, i, 0};
            CHECK_OK(bs_thread_start("reader", read_ranges, &readers[i], &threads[i], err));
        }
        for (unsigned i = 0; i < 4; i++) {
            bs_thread_join(threads[i]);
            CHECK_EQ(readers[i].wrong, 0);
        }
        bs_h5_object_close(object);
    }
    fixture_end(&fixture);
}

/* ---- filters ------------------------------------------------------------------------------------ */

#define MEMBERS 40

/* A compound of numbers of few bits through nbit: over 64 parameters, and less than half of the bits,
 * which newer libraries do not write. */
static void make_narrow(struct fixture *fixture, uint32_t (*rows)[MEMBERS])
{
    const hsize_t count = 50, chunk = 16;
    char name[16];
    hid_t compound = H5Tcreate(H5T_COMPOUND, 4 * MEMBERS),
          space = H5Screate_simple(1, &count, NULL);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    uint64_t random = 4;
    for (unsigned m = 0; m < MEMBERS; m++) {
        hid_t number = H5Tcopy(H5T_STD_U32LE);
        snprintf(name, sizeof name, "m%u", m);
        CHECK(H5Tset_precision(number, 1 + m % 30) >= 0);
        CHECK(H5Tset_offset(number, m % 3) >= 0);
        CHECK(H5Tinsert(compound, name, 4 * m, number) >= 0);
        H5Tclose(number);
        for (unsigned row = 0; row < count; row++) {
            const uint64_t mask = ((uint64_t)1 << (1 + m % 30)) - 1;
            rows[row][m] = (uint32_t)((test_random(&random) & mask) << m % 3);
        }
    }
    CHECK(H5Pset_chunk(properties, 1, &chunk) >= 0 && H5Pset_nbit(properties) >= 0);
    hid_t dataset =
        H5Dcreate2(fixture->file, "narrow", compound, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    CHECK(H5Dwrite(dataset, compound, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Dclose(dataset);
    H5Pclose(properties);
    H5Sclose(space);
    H5Tclose(compound);
}

TEST(h5_dataset, filters_with_many_parameters)
{
    static uint32_t rows[50][MEMBERS], back[50][MEMBERS];
    for (enum fixture_age age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        fixture_begin(&fixture, age);
        make_narrow(&fixture, rows);
        REQUIRE(fixture_open(&fixture));
        const int64_t before = test_live_allocations();
        uint64_t address = 0;
        struct bs_h5_object *root = fixture_object(&fixture, "/");
        CHECK_OK(bs_h5_group_find(fixture.h5, root, "narrow", &address, err));
        bs_h5_object_close(root);
        EACH_FAULT (step) {
            struct bs_h5_object *object = NULL;
            basalt_error fault = {0};
            basalt_status status = bs_h5_object_open(fixture.h5, address, &object, &fault);
            memset(back, 0xEE, sizeof back);
            if (!status) {
                CHECK(bs_h5_object_dataset(object)->pipeline.filters[0].parameter_count > 64);
                status = bs_h5_read(fixture.h5, object, 0, 50, back, &fault);
            }
            if (!status) CHECK(memcmp(rows, back, sizeof rows) == 0);
            CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
            bs_h5_object_close(object);
            CHECK_EQ(test_live_allocations(), before);
        }
        fixture_end(&fixture);
    }
}
