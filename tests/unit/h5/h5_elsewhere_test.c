/* h5_elsewhere_test.c - what lies in other files: which may be opened, where they are looked for, circles
 * of files; and what changed bytes of files that need others can do. Values: tests/interop/fixtures.py. */
#include "tests/harness/faulty_vfs.h"
#include "tests/harness/harness_memory.h"
#include "tests/unit/h5/h5_exercise.h"
#include "tests/unit/h5/h5_fixture.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT 12

/* ---- what may be followed --------------------------------------------------------------------- */

struct place { /* FOLDER/inner/file.h5 and what is around it */
    char inner[1024], outside[1024], file[1100];
};

static void make_target(const char *folder, const char *name)
{
    char path[1200];
    const hsize_t dims[1] = {COUNT};
    int32_t values[COUNT];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (int i = 0; i < COUNT; i++) values[i] = i;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, dims, NULL);
    hid_t dataset =
        H5Dcreate2(file, "data", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Dwrite(dataset, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Fclose(file);
}

static void put_outsider(hid_t file, const char *name, bool raw, const char *target)
{
    const hsize_t dims[1] = {COUNT};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, dims, NULL);

    if (raw)
        CHECK(H5Pset_external(properties, target, 0, COUNT * 4) >= 0);
    else
        CHECK(H5Pset_virtual(properties, space, target, "data", space) >= 0);
    H5Dclose(H5Dcreate2(file, name, H5T_STD_I32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(properties);
}

static void make_place(struct place *place, const char *outside, const char *inner)
{
    char link[1200], secret[1200];

    snprintf(place->outside, sizeof place->outside, "%s", test_path(outside));
    snprintf(place->inner, sizeof place->inner, "%s", test_path(inner));
    snprintf(place->file, sizeof place->file, "%s/file.h5", place->inner);
    CHECK(!mkdir(place->outside, 0700) && !mkdir(place->inner, 0700));
    make_target(place->outside, "secret.h5");
    make_target(place->inner, "beside.h5");
    snprintf(secret, sizeof secret, "%s/secret.h5", place->outside);
    snprintf(link, sizeof link, "%s/symbolic.h5", place->inner);
    CHECK(!symlink(secret, link));
    hid_t file = H5Fcreate(place->file, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("beside.h5", "/data", file, "beside", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(secret, "/data", file, "absolute", H5P_DEFAULT, H5P_DEFAULT);
    snprintf(link, sizeof link, "../%s/secret.h5", outside);
    H5Lcreate_external(link, "/data", file, "above", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("symbolic.h5", "/data", file, "symbolic", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("/moved/away/beside.h5", "/data", file, "moved", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("file.h5", "/itself", file, "itself", H5P_DEFAULT, H5P_DEFAULT);
    put_outsider(file, "raw", true, secret);
    put_outsider(file, "virtual", false, link);
    H5Fclose(file);
}

static basalt_status read_at(struct bs_h5_file *h5, const char *path, basalt_error *err)
{
    int32_t values[COUNT];
    struct bs_h5_object *object = NULL;
    basalt_status status = bs_h5_object_open_path(h5, path, &object, err);

    if (!status) status = bs_h5_read(h5, object, 0, COUNT, values, err);
    bs_h5_object_close(object);
    return status;
}

static void check_rule(const struct place *place, enum bs_h5_follow follow, basalt_status beside,
    basalt_status outside)
{
    static const char *const inner[] = {"/beside", "/moved"};
    static const char *const outer[] = {"/absolute", "/above", "/symbolic", "/raw", "/virtual"};
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;

    CHECK_OK(bs_vfs_local_create(&vfs, err));
    CHECK_OK(bs_file_open(vfs, place->file, BS_OPEN_READ, &file, err));
    CHECK_OK(bs_h5_file_open_with(file, follow, &h5, err));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(inner); i++)
        CHECK_EQ(read_at(h5, inner[i], NULL), beside);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(outer); i++) {
        basalt_error fault = {0};
        const basalt_status status = read_at(h5, outer[i], &fault);
        if (status != outside) test_fail(__FILE__, __LINE__, "%s: %s", outer[i], fault.message);
        if (status) CHECK(fault.message[0]);
    }
    CHECK_EQ(read_at(h5, "/itself", NULL),
        follow == BS_H5_FOLLOW_NOWHERE ? BASALT_UNSUPPORTED : BASALT_TOO_LARGE);
    bs_h5_file_close(h5);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(h5_elsewhere, only_files_that_may_be_followed_are)
{
    struct place place;
    make_place(&place, "outside", "inner");
    const int64_t live = test_live_allocations();
    check_rule(&place, BS_H5_FOLLOW_BESIDE, BASALT_OK, BASALT_UNSUPPORTED);
    check_rule(&place, BS_H5_FOLLOW_NOWHERE, BASALT_UNSUPPORTED, BASALT_UNSUPPORTED);
    check_rule(&place, BS_H5_FOLLOW_ANYWHERE, BASALT_OK, BASALT_OK);
    CHECK_EQ(test_live_allocations(), live);
}

static struct place swapped; /* whose files change while they are looked for */
static basalt_status (*real_path_before)(
    struct bs_vfs *vfs, const char *path, char **out_path, basalt_error *err);

/* Just after a file was found to lie beside, it is a link to a secret. */
static basalt_status real_path_then_swap(
    struct bs_vfs *vfs, const char *path, char **out_path, basalt_error *err)
{
    char beside[1200], secret[1200];
    const basalt_status status = real_path_before(vfs, path, out_path, err);

    snprintf(beside, sizeof beside, "%s/beside.h5", swapped.inner);
    snprintf(secret, sizeof secret, "%s/secret.h5", swapped.outside);
    if (status || strcmp(bs_path_name(path), "file.h5") != 0) return status;
    (void)unlink(beside); /* the folder of the file itself is what is asked for last */
    CHECK(!symlink(secret, beside));
    return status;
}

TEST(h5_elsewhere, a_file_that_is_swapped_for_a_link_is_not_followed)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;

    make_place(&swapped, "outside then", "inner then");
    CHECK_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE(vfs);
    struct bs_vfs_ops ops = *vfs->ops;
    const struct bs_vfs_ops *before = vfs->ops;
    CHECK_OK(bs_file_open(vfs, swapped.file, BS_OPEN_READ, &file, err));
    CHECK_OK(bs_h5_file_open(file, &h5, err));
    real_path_before = ops.real_path;
    ops.real_path = real_path_then_swap;
    vfs->ops = &ops;
    CHECK_EQ(read_at(h5, "/beside", NULL), BASALT_UNSUPPORTED);
    vfs->ops = before;
    bs_h5_file_close(h5);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(h5_elsewhere, a_part_of_a_file_is_no_way_out)
{
    char name[1000], part[1100], elsewhere[1100];
    struct bs_vfs *vfs = NULL;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    const hsize_t dims[1] = {COUNT};

    snprintf(name, sizeof name, "%s/split", test_path("parts"));
    snprintf(part, sizeof part, "%s-r.h5", name);
    snprintf(elsewhere, sizeof elsewhere, "%s", test_path("elsewhere.h5"));
    REQUIRE(!mkdir(test_path("parts"), 0700));
    CHECK(H5Pset_fapl_split(access, "-m.h5", H5P_DEFAULT, "-r.h5", H5P_DEFAULT) >= 0);
    hid_t made = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    hid_t space = H5Screate_simple(1, dims, NULL);
    H5Dclose(H5Dcreate2(made, "data", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    H5Fclose(made);
    H5Pclose(access);
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    snprintf(name, sizeof name, "%s/split-m.h5", test_path("parts"));
    for (unsigned i = 0; i < 2; i++) {
        struct bs_file *file = NULL;
        struct bs_h5_file *h5 = NULL;
        if (i) CHECK(!rename(part, elsewhere) && !symlink(elsewhere, part));
        CHECK_OK(bs_file_open(vfs, name, BS_OPEN_READ, &file, err));
        CHECK_EQ(bs_h5_file_open(file, &h5, NULL), i ? BASALT_UNSUPPORTED : BASALT_OK);
        bs_h5_file_close(h5);
        h5 = NULL;
        CHECK_EQ(bs_h5_file_open_with(file, BS_H5_FOLLOW_ANYWHERE, &h5, NULL), BASALT_OK);
        bs_h5_file_close(h5);
        bs_file_close(file);
    }
    bs_vfs_free(vfs);
}

/* ---- families that do not say so ---------------------------------------------------------------- */

#define MEMBER_BYTES 600

/* PATH cut into PREFIX0.h5, PREFIX1.h5 and so on. */
static void cut_file(const char *path, const char *prefix)
{
    char member[1200];
    static uint8_t bytes[MEMBER_BYTES];
    FILE *whole = fopen(path, "rb");

    REQUIRE(whole);
    for (int i = 0;; i++) {
        const size_t count = fread(bytes, 1, sizeof bytes, whole);
        if (!count) break;
        snprintf(member, sizeof member, "%s%d.h5", prefix, i);
        FILE *part = fopen(member, "wb");
        REQUIRE(part);
        CHECK_EQ(fwrite(bytes, 1, count, part), count);
        CHECK(!fclose(part));
    }
    fclose(whole);
}

static basalt_status read_cut(const char *prefix, enum bs_h5_follow follow, basalt_error *err)
{
    char path[1200];
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;

    snprintf(path, sizeof path, "%s0.h5", prefix);
    basalt_status status = bs_vfs_local_create(&vfs, err);
    if (!status) status = bs_file_open(vfs, path, BS_OPEN_READ, &file, err);
    if (!status) status = bs_h5_file_open_with(file, follow, &h5, err);
    if (!status) status = read_at(h5, "/data", err);
    bs_h5_file_close(h5);
    bs_file_close(file);
    bs_vfs_free(vfs);
    return status;
}

/* libhdf5 1.6 wrote nothing of the driver; a file that was cut short is all the same no family of the next
 * numbered file. */
TEST(h5_elsewhere, old_families_are_found_by_their_names)
{
    char path[1100], prefix[1000], member[1200];
    basalt_error fault = {0};

    snprintf(prefix, sizeof prefix, "%s", test_path("run"));
    snprintf(path, sizeof path, "%s/whole.h5", prefix);
    CHECK(!mkdir(prefix, 0700));
    make_target(prefix, "whole.h5");
    const int64_t live = test_live_allocations();
    cut_file(path, prefix);
    CHECK_OK(read_cut(prefix, BS_H5_FOLLOW_BESIDE, err));
    CHECK_EQ(read_cut(prefix, BS_H5_FOLLOW_NOWHERE, &fault), BASALT_CORRUPT);
    CHECK(strstr(fault.message, "truncated"));
    snprintf(member, sizeof member, "%s1.h5", prefix);
    CHECK(!rename(path, member));
    CHECK_EQ(read_cut(prefix, BS_H5_FOLLOW_BESIDE, &fault), BASALT_CORRUPT);
    CHECK(strstr(fault.message, "truncated"));
    CHECK(!unlink(member));
    CHECK_EQ(read_cut(prefix, BS_H5_FOLLOW_BESIDE, &fault), BASALT_CORRUPT);
    CHECK(strstr(fault.message, "truncated"));
    CHECK_EQ(test_live_allocations(), live);
}

/* ---- virtual datasets in circles -------------------------------------------------------------- */

TEST(h5_elsewhere, virtual_datasets_in_circles_end)
{
    struct fixture fixture;
    const hsize_t dims[1] = {COUNT};

    fixture_begin(&fixture, FIXTURE_EARLIEST);
    for (int i = 0; i < 2; i++) {
        hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, dims, NULL);
        for (int times = 0; times < 4; times++) {
            const hsize_t start[1] = {(hsize_t)times * 3}, three[1] = {3};
            CHECK(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, three, NULL) >= 0);
            CHECK(H5Pset_virtual(properties, space, ".", i ? "/a" : "/b", space) >= 0);
        }
        H5Dclose(H5Dcreate2(fixture.file, i ? "b" : "a", H5T_STD_I32LE, space, H5P_DEFAULT,
            properties, H5P_DEFAULT));
        H5Sclose(space);
        H5Pclose(properties);
    }
    const int64_t live = test_live_allocations();
    if (fixture_open(&fixture)) {
        basalt_error fault = {0};
        CHECK_EQ(read_at(fixture.h5, "/a", &fault), BASALT_TOO_LARGE);
        CHECK(strstr(fault.message, "cycle") || strstr(fault.message, "too often"));
    }
    fixture_end(&fixture);
    CHECK_EQ(test_live_allocations(), live);
}

/* ---- changed bytes ---------------------------------------------------------------------------- */

#define FILES_MAX 256
#define FILE_BYTES_MAX 131072
#define MUTATIONS_DEFAULT 12

struct held { /* a file of the folder, in memory */
    char name[300];
    uint8_t *bytes;
    size_t count;
};

static struct held held[FILES_MAX];
static size_t held_count;

static void hold_folder(const char *root, const char *below)
{
    char path[1400];

    snprintf(path, sizeof path, "%s/%s", root, below);
    DIR *folder = opendir(path);
    if (!folder) return;
    for (struct dirent *entry; (entry = readdir(folder)) && held_count < FILES_MAX;) {
        struct held *file = &held[held_count];
        if (entry->d_name[0] == '.') continue;
        snprintf(file->name, sizeof file->name, "%s%s%s", below, *below ? "/" : "", entry->d_name);
        snprintf(path, sizeof path, "%s/%s", root, file->name);
        FILE *in = strstr(entry->d_name, ".h5") ? fopen(path, "rb") : NULL;
        if (!in) continue;
        file->bytes = harness_zeroed(1, FILE_BYTES_MAX + 1);
        file->count = fread(file->bytes, 1, FILE_BYTES_MAX + 1, in);
        fclose(in);
        if (file->count && file->count <= FILE_BYTES_MAX)
            held_count++;
        else
            harness_free(file->bytes);
    }
    closedir(folder);
}

static void store(struct bs_vfs *vfs, const char *name, const uint8_t *bytes, size_t count)
{
    struct bs_file *file = NULL;
    CHECK_OK(
        bs_file_open(vfs, name, BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_TRUNCATE, &file, err));
    if (!file) return;
    CHECK_OK(bs_file_write_at(file, bytes, count, 0, err));
    bs_file_close(file);
}

static basalt_status exercise(struct bs_vfs *vfs, const char *name)
{
    struct bs_file *file = NULL;
    basalt_error fault = {0};
    basalt_status status = bs_file_open(vfs, name, BS_OPEN_READ, &file, &fault);

    if (!status) status = h5_exercise(file, &fault);
    bs_file_close(file);
    return status;
}

/* A superblock whose sum is wrong would be waited for; the places of metadata get right sums. */
static void change(uint8_t *bytes, size_t count, uint64_t *seed)
{
    for (unsigned i = 0; i < 1 + test_random(seed) % 3; i++) {
        const size_t at = 48 + test_random(seed) % (count > 56 ? count - 48 : 1);
        if (at + 8 > count) continue;
        switch (test_random(seed) % 4) {
        case 0: bytes[at] ^= (uint8_t)(1u << test_random(seed) % 8); break;
        case 1: bytes[at] = (uint8_t)test_random(seed); break;
        case 2: memset(bytes + at, 0xff, test_random(seed) % 8); break;
        default: memmove(bytes + at, bytes + test_random(seed) % (count - 8), 8);
        }
    }
}

TEST(h5_elsewhere, changed_bytes_of_every_part)
{
    const char *root = getenv("BASALT_FIXTURES"), *asked = getenv("BASALT_MUTATIONS");
    const unsigned mutations = asked ? (unsigned)strtoul(asked, NULL, 10) : MUTATIONS_DEFAULT;
    struct bs_vfs *vfs = NULL;
    uint64_t seed = 20261121;
    unsigned read = 0, refused = 0;

    if (!root) {
        test_skip("no fixtures (set BASALT_FIXTURES to a folder that make_fixtures filled)");
        return;
    }
    hold_folder(root, "");
    hold_folder(root, "folder");
    CHECK(held_count > 40);
    CHECK_OK(bs_vfs_memory_create(&vfs, err));
    REQUIRE(vfs);
    CHECK_OK(vfs->ops->make_directory(vfs, "folder", err));
    for (size_t i = 0; i < held_count; i++) store(vfs, held[i].name, held[i].bytes, held[i].count);
    uint8_t *changed = harness_zeroed(1, FILE_BYTES_MAX);
    for (size_t i = 0; i < held_count; i++) {
        const int64_t live = test_live_allocations();
        for (unsigned m = 0; m < mutations; m++) {
            memcpy(changed, held[i].bytes, held[i].count);
            change(changed, held[i].count, &seed);
            store(vfs, held[i].name, changed, held[i].count);
            read++;
            refused += exercise(vfs, held[i].name) != BASALT_OK;
        }
        store(vfs, held[i].name, held[i].bytes, held[i].count);
        CHECK_EQ(test_live_allocations(), live);
    }
    printf("FIGURE changed fixtures: %zu files, %u read, %u with an error\n", held_count, read,
        refused);
    for (size_t i = 0; i < held_count; i++) harness_free(held[i].bytes);
    harness_free(changed);
    bs_vfs_free(vfs);
}

TEST(h5_elsewhere, every_fault_in_other_files_is_told)
{
    struct place place;
    const int64_t live = test_live_allocations();

    make_place(&place, "out there", "in here");
    EACH_FAULT (step) {
        basalt_error fault = {0};
        struct bs_vfs *memory = NULL, *vfs = NULL;
        struct bs_file *file = NULL;
        struct bs_h5_file *h5 = NULL;
        basalt_status status = bs_vfs_local_create(&memory, &fault);
        if (!status) {
            vfs = faulty_create(memory, &(struct faulty_options){.operations = FAULTY_READ});
            status = bs_file_open(vfs, place.file, BS_OPEN_READ, &file, &fault);
        }
        if (!status) status = bs_h5_file_open_with(file, BS_H5_FOLLOW_ANYWHERE, &h5, &fault);
        if (!status) status = read_at(h5, "/beside", &fault);
        if (!status) status = read_at(h5, "/raw", &fault);
        if (!status) status = read_at(h5, "/virtual", &fault);
        if (fault_points_seen() >= step)
            CHECK(status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR);
        else
            CHECK_EQ(status, BASALT_OK);
        bs_h5_file_close(h5);
        bs_file_close(file);
        bs_vfs_free(vfs ? vfs : memory);
        CHECK_EQ(test_live_allocations(), live);
    }
}
