/* fixture_test.c - the helpers that h5_fixture.h declares. */
#include "tests/unit/h5/h5_fixture.h"

#include <stdlib.h>

void fixture_begin(struct fixture *fixture, enum fixture_age age)
{
    static unsigned number;
    char name[32];
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);

    memset(fixture, 0, sizeof *fixture);
    snprintf(name, sizeof name, "fixture-%u.h5", number++);
    fixture->path = test_path(name);
    if (age == FIXTURE_LATEST) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    fixture->file = H5Fcreate(fixture->path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    CHECK(fixture->file >= 0);
    H5Pclose(access);
}

bool fixture_open_path(struct fixture *fixture, const char *path)
{
    basalt_error fault = {0};

    memset(fixture, 0, sizeof *fixture);
    fixture->file = -1;
    fixture->path = path;
    basalt_status status = bs_vfs_local_create(&fixture->vfs, &fault);
    if (!status) status = bs_file_open(fixture->vfs, path, BS_OPEN_READ, &fixture->bytes, &fault);
    if (!status) status = bs_h5_file_open(fixture->bytes, &fixture->h5, &fault);
    if (status) test_fail(__FILE__, __LINE__, "%s: %s", path, fault.message);
    return !status;
}

bool fixture_open(struct fixture *fixture)
{
    H5Fclose(fixture->file);
    return fixture_open_path(fixture, fixture->path);
}

void fixture_end(struct fixture *fixture)
{
    if (fixture->file > 0) H5Fclose(fixture->file);
    bs_h5_file_close(fixture->h5);
    bs_file_close(fixture->bytes);
    bs_vfs_free(fixture->vfs);
}

struct bs_h5_object *fixture_object(struct fixture *fixture, const char *path)
{
    struct bs_h5_object *object = NULL;
    basalt_error fault = {0};

    if (bs_h5_object_open_path(fixture->h5, path, &object, &fault))
        test_fail(__FILE__, __LINE__, "%s: %s", path, fault.message);
    return object;
}

void fixture_count_up(struct fixture *fixture, const char *name, int rank, const hsize_t *dims,
    const hsize_t *max_dims, hid_t properties)
{
    size_t count = 1;
    for (int i = 0; i < rank; i++) count *= dims[i];
    int32_t *values = calloc(count ? count : 1, sizeof *values);
    for (size_t i = 0; i < count; i++) values[i] = (int32_t)i;
    hid_t space = H5Screate_simple(rank, dims, max_dims);
    hid_t dataset =
        H5Dcreate2(fixture->file, name, H5T_STD_I32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    CHECK(dataset >= 0);
    CHECK(H5Dwrite(dataset, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    free(values);
}

static void check_range(struct fixture *fixture, const struct bs_h5_object *object, uint64_t first,
    uint64_t count, uint64_t row)
{
    int32_t *values = malloc((size_t)(count * row * 4 + 4));
    values[count * row] = -77;
    CHECK_OK(bs_h5_read(fixture->h5, object, first, count, values, err));
    for (uint64_t i = 0; i < count * row; i++)
        if (values[i] != (int32_t)(first * row + i)) {
            CHECK_EQ(values[i], first * row + i);
            break;
        }
    CHECK_EQ(values[count * row], -77);
    free(values);
}

void fixture_check_counts_up(struct fixture *fixture, const char *name)
{
    uint64_t row_bytes = 0, seed = 7;
    struct bs_h5_object *object = fixture_object(fixture, name);

    REQUIRE(object);
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    REQUIRE(dataset);
    const uint64_t rows = dataset->space.dims[0];
    CHECK_OK(bs_h5_row_bytes(object, &row_bytes, err));
    check_range(fixture, object, 0, rows, row_bytes / 4);
    for (unsigned i = 0; i < (rows < 2000 ? 50 : 6); i++) {
        const uint64_t first = test_random(&seed) % rows;
        check_range(fixture, object, first, test_random(&seed) % (rows - first + 1), row_bytes / 4);
    }
    bs_h5_object_close(object);
}

struct soundness {
    size_t count, room;
    struct bs_h5_extent *extents;
};

static basalt_status keep(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    struct soundness *soundness = context;
    (void)purpose, (void)err;
    if (soundness->count == soundness->room) {
        soundness->room = soundness->room * 2 + 16;
        soundness->extents =
            realloc(soundness->extents, soundness->room * sizeof *soundness->extents);
    }
    soundness->extents[soundness->count++] = extent;
    return BASALT_OK;
}

static int compare(const void *a, const void *b)
{
    const struct bs_h5_extent *x = a, *y = b;
    return (x->address > y->address) - (x->address < y->address);
}

static void report_fault(void *context, bool fault, const char *sentence)
{
    (void)fault;
    (void)context;
    test_fail(__FILE__, __LINE__, "verify: %s", sentence);
}

void fixture_check_sound(struct fixture *fixture, bool complete)
{
    struct soundness soundness = {0};
    bool is_complete = false;
    uint64_t faults = 0;

    CHECK_OK(bs_h5_walk_extents(fixture->h5, keep, &soundness, &is_complete, err));
    CHECK_EQ(is_complete, complete);
    if (soundness.count)
        qsort(soundness.extents, soundness.count, sizeof *soundness.extents, compare);
    for (size_t i = 1; i < soundness.count; i++)
        CHECK(soundness.extents[i - 1].address + soundness.extents[i - 1].bytes <=
            soundness.extents[i].address);
    CHECK_OK(bs_h5_verify(fixture->h5, report_fault, NULL, NULL, &faults, err));
    CHECK_EQ(faults, 0);
    free(soundness.extents);
}
