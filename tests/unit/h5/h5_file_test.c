/* h5_file_test.c - which files open, and what is said of those that do not. */
#include "tests/unit/h5/h5_fixture.h"

#include <stdlib.h>
#include <unistd.h>

static void write_file(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, count, file) == count);
    if (file) fclose(file);
}

static uint8_t *read_file(const char *path, size_t *out_count)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    *out_count = 0;
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    *out_count = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*out_count + 1);
    if (fread(bytes, 1, *out_count, file) != *out_count) *out_count = 0;
    fclose(file);
    return bytes;
}

static void expect_refusal(const char *path, basalt_status expected, const char *words)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    basalt_error fault = {0};

    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    CHECK_OK(bs_file_open(vfs, path, BS_OPEN_READ, &file, err));
    if (file) CHECK_EQ(bs_h5_file_open(file, &h5, &fault), expected);
    CHECK(!h5);
    CHECK_EQ(fault.status, expected);
    if (!strstr(fault.message, words)) test_fail(__FILE__, __LINE__, "%s", fault.message);
    bs_h5_file_close(h5);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(h5_file, what_is_not_hdf5_is_named)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *words;
    } cases[] = {
        {"", 0, "it is empty"},
        {"\x1f\x8b\x08 and more of it", 18, "gzip data"},
        {"PK\x03\x04 and more of it", 18, "a zip archive"},
        {"\x89PNG\r\n\x1a\n and so on", 17, "a PNG picture"},
        {"time,value\n1,2\n", 15, "text"},
        {"{\"a\": 1}", 8, "JSON"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", 12, "zero bytes"},
        {"\x01\x02\x03\x04\x05\x06\x07\x08\x09", 9, "not of a kind that is known"},
        {"\x89HDF\n\x1a\n and so on", 17, "a transfer in text mode"},
    };
    for (size_t i = 0; i < BS_ARRAY_LENGTH(cases); i++) {
        const char *path = test_path("not-hdf5");
        write_file(path, cases[i].bytes, cases[i].count);
        expect_refusal(path, BASALT_NOT_HDF5, cases[i].words);
    }
}

TEST(h5_file, truncated_anywhere_is_refused)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        const hsize_t dims[1] = {100};
        size_t count = 0;
        const char *path = test_path("cut.h5");
        fixture_begin(&fixture, (enum fixture_age)age);
        fixture_count_up(&fixture, "data", 1, dims, NULL, H5P_DEFAULT);
        H5Fclose(fixture.file);
        uint8_t *bytes = read_file(fixture.path, &count);
        REQUIRE(bytes && count > 60);
        write_file(path, bytes, count - 1);
        expect_refusal(path, BASALT_CORRUPT, "truncated");
        write_file(path, bytes, 60);
        expect_refusal(path, BASALT_CORRUPT, age == FIXTURE_LATEST ? "truncated" : "cut short");
        if (age == FIXTURE_LATEST) {
            bytes[20] ^= 1; /* a superblock that no writer mends */
            write_file(path, bytes, count);
            expect_refusal(path, BASALT_CORRUPT, "checksum of the superblock");
        }
        free(bytes);
    }
}

TEST(h5_file, newer_formats_are_named)
{
    uint8_t bytes[200] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 9};
    const char *path = test_path("newer.h5");
    write_file(path, bytes, sizeof bytes);
    expect_refusal(path, BASALT_UNSUPPORTED, "superblock version 9 is newer");
}

struct creation {
    const char *what;
    hsize_t user_block;
    size_t offset_bytes, length_bytes;
    unsigned group_k, leaf_k, chunk_k;
};

static void check_creation(enum fixture_age age, const struct creation *creation)
{
    struct fixture fixture;
    const hsize_t dims[1] = {500}, chunk[1] = {2};
    hid_t create = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);

    memset(&fixture, 0, sizeof fixture);
    fixture.path = test_path(creation->what);
    H5Pset_chunk(chunked, 1, chunk);
    H5Pset_deflate(chunked, 1);
    H5Pset_userblock(create, creation->user_block);
    H5Pset_sizes(create, creation->offset_bytes, creation->length_bytes);
    if (creation->group_k) H5Pset_sym_k(create, creation->group_k, creation->leaf_k);
    if (creation->chunk_k) H5Pset_istore_k(create, creation->chunk_k);
    if (age == FIXTURE_LATEST) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    fixture.file = H5Fcreate(fixture.path, H5F_ACC_TRUNC, create, access);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "data %d", i);
        fixture_count_up(&fixture, name, 1, dims, NULL, i % 2 ? chunked : H5P_DEFAULT);
    }
    H5Pclose(create);
    H5Pclose(access);
    H5Pclose(chunked);
    if (fixture_open(&fixture)) {
        CHECK_EQ(bs_h5_file_superblock(fixture.h5)->base, creation->user_block);

        fixture_check_counts_up(&fixture, "data 7");
        fixture_check_counts_up(&fixture, "data 38");
        fixture_check_sound(&fixture, true);
    }
    fixture_end(&fixture);
}

TEST(h5_file, user_blocks_widths_and_node_sizes)
{
    static const struct creation creations[] = {
        {"plain", 0, 8, 8, 0, 0, 0},
        {"user block", 512, 8, 8, 0, 0, 0},
        {"larger user block", 4096, 8, 8, 0, 0, 0},
        {"4-byte addresses", 0, 4, 4, 0, 0, 0},
        {"4-byte addresses, 8-byte lengths", 0, 4, 8, 0, 0, 0},
        {"small nodes", 0, 8, 8, 2, 2, 0},
        {"large nodes", 0, 8, 8, 64, 20, 0},
        {"large chunk nodes", 512, 8, 8, 0, 0, 100},
        {"small chunk nodes", 0, 8, 8, 3, 1, 2},
    };
    for (int age = 0; age < FIXTURE_AGES; age++)
        for (size_t i = 0; i < BS_ARRAY_LENGTH(creations); i++)
            check_creation((enum fixture_age)age, &creations[i]);
}

struct mender { /* makes a superblock whole while somebody waits for that */
    const char *path;
    uint8_t byte;
};

static void mend(void *argument)
{
    const struct mender *mender = argument;
    FILE *file = fopen(mender->path, "r+b");
    bs_sleep_ns(20000000);
    if (!file) return;
    fseek(file, 20, SEEK_SET);
    fputc(mender->byte, file);
    fclose(file);
}

TEST(h5_file, a_superblock_being_written_is_waited_for)
{
    struct fixture fixture, again;
    struct bs_thread *thread = NULL;
    size_t count = 0;

    fixture_begin(&fixture, FIXTURE_LATEST);
    H5Fclose(fixture.file);
    uint8_t *bytes = read_file(fixture.path, &count);
    REQUIRE(bytes && count > 48);
    struct mender mender = {fixture.path, bytes[20]};
    bytes[20] ^= 1;
    write_file(fixture.path, bytes, count);
    REQUIRE_OK(bs_thread_start("mender", mend, &mender, &thread, err));
    CHECK(fixture_open_path(&again, fixture.path));
    bs_thread_join(thread);
    fixture_end(&again);
    free(bytes);
}

/* A view of a superblock that is not the one on disk. */
TEST(h5_file, open_at_shows_another_root)
{
    struct fixture fixture;
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    struct bs_h5_file *view = NULL;
    uint64_t address = 0;
    const hsize_t dims[1] = {3};

    fixture_begin(&fixture, FIXTURE_EARLIEST);
    H5Gclose(H5Gcreate2(fixture.file, "inner", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    fixture_count_up(&fixture, "inner/data", 1, dims, NULL, H5P_DEFAULT);
    if (fixture_open(&fixture)) {
        struct bs_h5_object *root = fixture_object(&fixture, "/"), *data = NULL;
        CHECK_OK(bs_h5_group_find(fixture.h5, root, "inner", &address, err));
        struct bs_h5_superblock inner = *bs_h5_file_superblock(fixture.h5);
        inner.root = address;
        bs_h5_superblock_encode(&inner, superblock);
        CHECK_OK(bs_h5_file_open_at(fixture.bytes, superblock, &view, err));
        CHECK_OK(bs_h5_object_open_path(view, "/data", &data, err));
        bs_h5_object_close(data);
        bs_h5_object_close(root);
        bs_h5_file_close(view);
        superblock[30] ^= 1;
        CHECK_EQ(bs_h5_file_open_at(fixture.bytes, superblock, &view, NULL), BASALT_CORRUPT);
        struct bs_h5_identity identity;
        CHECK_EQ(bs_h5_identity_read(fixture.h5, &identity, NULL), BASALT_NOT_FOUND);
    }
    fixture_end(&fixture);
}
