/* h5_variable_test.c - elements with parts inside parts, in their flat form; without memory, and damaged.
 * Values against h5py, and sources in other files: tests/interop/variable.py. */
#include "tests/unit/h5/h5_fixture.h"

#include <stdlib.h>

#define ROWS 3

struct inner {
    const char *text;
    int32_t number;
};

/* Sequences of records with a text; sequences of sequences of int16. */
static void add_nested(struct fixture *fixture)
{
    static const struct inner first[] = {{"ab", 1}, {"", -1}};
    static int16_t numbers[] = {1, 2, 3};
    static hvl_t lists[] = {{2, numbers}, {0, NULL}, {3, numbers}};
    const hvl_t records[ROWS] = {
        {2, (void *)(uintptr_t)first}, {0, NULL}, {1, (void *)(uintptr_t)first}};
    const hvl_t deep[ROWS] = {{3, lists}, {0, NULL}, {1, lists}};
    const hsize_t rows[] = {ROWS};
    const hid_t text = H5Tcopy(H5T_C_S1), record = H5Tcreate(H5T_COMPOUND, sizeof(struct inner));
    H5Tset_size(text, H5T_VARIABLE);
    H5Tinsert(record, "text", HOFFSET(struct inner, text), text);
    H5Tinsert(record, "number", HOFFSET(struct inner, number), H5T_NATIVE_INT32);
    const hid_t of_records = H5Tvlen_create(record), list = H5Tvlen_create(H5T_NATIVE_INT16);
    const hid_t of_lists = H5Tvlen_create(list), space = H5Screate_simple(1, rows, NULL);
    hid_t set = H5Dcreate2(
        fixture->file, "records", of_records, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Dwrite(set, of_records, H5S_ALL, H5S_ALL, H5P_DEFAULT, records) >= 0);
    H5Dclose(set);
    set =
        H5Dcreate2(fixture->file, "lists", of_lists, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Dwrite(set, of_lists, H5S_ALL, H5S_ALL, H5P_DEFAULT, deep) >= 0);
    H5Dclose(set);
    H5Sclose(space);
    const hid_t types[] = {text, record, of_records, list, of_lists};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(types); i++) H5Tclose(types[i]);
}

struct gathered {
    struct bs_bytes all;
    uint64_t ends[ROWS], count;
};

static basalt_status gather(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    struct gathered *gathered = context;
    (void)err;
    CHECK_EQ(index, gathered->count);
    bs_bytes_put(&gathered->all, bytes, count);
    if (gathered->count < ROWS) gathered->ends[gathered->count++] = gathered->all.count;
    return BASALT_OK;
}

static basalt_status read_all(
    struct bs_h5_file *h5, const char *path, struct gathered *gathered, basalt_error *err)
{
    const struct bs_h5_selection all = {.kind = BS_H5_SELECT_ALL};
    const struct bs_h5_read_how how = {.path = path};
    struct bs_h5_object *object = NULL;
    gathered->count = 0;
    gathered->all.count = 0;
    basalt_status status = bs_h5_object_open_path(h5, path, &object, err);
    if (!status) status = bs_h5_read_variable(h5, object, &all, &how, gather, gathered, err);
    bs_h5_object_close(object);
    return status;
}

static void put(struct bs_bytes *out, uint64_t number, const char *bytes, size_t count)
{
    bs_bytes_put(out, &number, sizeof number);
    bs_bytes_put(out, bytes, count);
}

static void check_nested(struct bs_h5_file *h5)
{
    struct gathered got = {0};
    struct bs_bytes wanted = {0};
    CHECK_OK(read_all(h5, "/records", &got, err));
    put(&wanted, 2, "ab\1\0\0\0", 6);
    put(&wanted, 0, "\xff\xff\xff\xff", 4);
    CHECK_EQ(got.ends[0], wanted.count);
    CHECK_EQ(got.ends[1], wanted.count);
    put(&wanted, 2, "ab\1\0\0\0", 6);
    CHECK_EQ(got.all.count, wanted.count);
    CHECK(!memcmp(got.all.data, wanted.data, wanted.count));
    wanted.count = 0;
    CHECK_OK(read_all(h5, "/lists", &got, err));
    put(&wanted, 2, "\1\0\2\0", 4);
    put(&wanted, 0, "", 0);
    put(&wanted, 3, "\1\0\2\0\3\0", 6);
    CHECK_EQ(got.ends[1], wanted.count);
    put(&wanted, 2, "\1\0\2\0", 4);
    CHECK_EQ(got.all.count, wanted.count);
    CHECK(!memcmp(got.all.data, wanted.data, wanted.count));
    bs_bytes_free(&wanted);
    bs_bytes_free(&got.all);
}

TEST(h5_variable, parts_inside_parts_come_in_their_flat_form)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        fixture_begin(&fixture, (enum fixture_age)age);
        add_nested(&fixture);
        if (fixture_open(&fixture)) check_nested(fixture.h5);
        fixture_end(&fixture);
    }
}

TEST(h5_variable, no_memory_is_no_crash)
{
    struct fixture fixture;
    fixture_begin(&fixture, FIXTURE_LATEST);
    add_nested(&fixture);
    REQUIRE(fixture_open(&fixture));
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        basalt_error err = {0};
        struct gathered got = {0};
        const basalt_status status = read_all(fixture.h5, "/records", &got, &err);
        CHECK(!status || status == BASALT_NO_MEMORY);
        CHECK_EQ(status, err.status);
        bs_bytes_free(&got.all);
        CHECK_EQ(test_live_allocations(), before);
    }
    fixture_end(&fixture);
}

static uint8_t *load(struct bs_vfs *vfs, const char *path, uint64_t *out_bytes)
{
    struct bs_file *file = NULL;
    uint8_t *bytes = NULL;
    if (!bs_file_open(vfs, path, BS_OPEN_READ, &file, NULL) &&
        !bs_file_size(file, out_bytes, NULL)) {
        bytes = bs_alloc((size_t)*out_bytes);
        if (bytes) CHECK_OK(bs_file_read_all_at(file, bytes, (size_t)*out_bytes, 0, err));
    }
    bs_file_close(file);
    return bytes;
}

/* Every byte of the file another one: right, or refused; and nothing is out of proportion. */
TEST(h5_variable, damage_is_refused_or_harmless)
{
    struct fixture fixture;
    struct bs_vfs *memory = NULL;
    struct bs_file *copy = NULL;
    uint64_t count = 0, random = 5;
    fixture_begin(&fixture, FIXTURE_LATEST);
    add_nested(&fixture);
    REQUIRE(fixture_open(&fixture));
    uint8_t *bytes = load(fixture.vfs, fixture.path, &count);
    REQUIRE(bytes);
    REQUIRE_OK(bs_vfs_memory_create(&memory, err));
    REQUIRE_OK(bs_file_open(memory, "/x.h5", BS_OPEN_WRITE | BS_OPEN_CREATE, &copy, err));
    CHECK_OK(bs_file_write_at(copy, bytes, (size_t)count, 0, err));
    for (uint64_t at = 0; at < count; at++) {
        struct bs_h5_file *h5 = NULL;
        struct gathered got = {0};
        const uint8_t changed = (uint8_t)(bytes[at] ^ (1 + test_random(&random) % 255));
        CHECK_OK(bs_file_write_at(copy, &changed, 1, at, err));
        if (!bs_h5_file_open(copy, &h5, NULL)) {
            (void)!read_all(h5, "/records", &got, NULL);
            (void)!read_all(h5, "/lists", &got, NULL);
            CHECK(got.all.count <= count * 8 + ((size_t)64 << 20));
        }
        bs_bytes_free(&got.all);
        bs_h5_file_close(h5);
        CHECK_OK(bs_file_write_at(copy, &bytes[at], 1, at, err));
    }
    bs_file_close(copy);
    bs_vfs_free(memory);
    bs_free(bytes);
    fixture_end(&fixture);
}
