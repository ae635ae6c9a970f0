/* h5_hostile_test.c - files made to crash readers, files with changed bytes, and every fault on the way:
 * an error, never a crash, a leak or a hang (the sanitizers and the time limit of ctest watch). */
#include "tests/harness/faulty_vfs.h"
#include "tests/harness/harness_memory.h"
#include "tests/unit/h5/h5_exercise.h"
#include "tests/unit/h5/h5_fixture.h"

#include <dirent.h>
#include <stdlib.h>

#define MUTATIONS 1500

struct image {
    uint8_t *bytes;
    size_t count;
};

static struct image load_image(const char *path)
{
    struct image image = {0};
    FILE *file = fopen(path, "rb");
    if (!file) return image;
    fseek(file, 0, SEEK_END);
    image.count = (size_t)ftell(file);
    rewind(file);
    image.bytes = harness_zeroed(1, image.count + 1);
    if (fread(image.bytes, 1, image.count, file) != image.count) image.count = 0;
    fclose(file);
    return image;
}

/* The image as a file in memory. */
static basalt_status exercise_image(const struct image *image, basalt_error *err)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    basalt_status status = BASALT_OK;

    BS_TRY(bs_vfs_memory_create(&vfs, err));
    BS_TRY(bs_file_open(vfs, "image", BS_OPEN_WRITE | BS_OPEN_CREATE, &file, err));
    BS_TRY(bs_file_write_at(file, image->bytes, image->count, 0, err));
    BS_TRY(h5_exercise(file, err));
out:
    bs_file_close(file);
    bs_vfs_free(vfs);
    return status;
}

TEST(h5_hostile, files_made_to_crash_readers)
{
    char path[1024];
    const char *root = getenv("BASALT_CORPUS");
    unsigned files = 0, refused = 0;

    snprintf(path, sizeof path, "%s/hostile", root ? root : "../shared/corpus");
    DIR *folder = opendir(path);
    if (!folder) {
        test_skip("no hostile files at %s (set BASALT_CORPUS)", path);
        CHECK(!root); /* who names a place means it */
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        basalt_error fault = {0};
        if (!strstr(entry->d_name, ".h5")) continue;
        snprintf(
            path, sizeof path, "%s/hostile/%s", root ? root : "../shared/corpus", entry->d_name);
        struct image image = load_image(path);
        const int64_t live = test_live_allocations();
        const basalt_status status = exercise_image(&image, &fault);
        files++;
        refused += status != BASALT_OK;
        CHECK_EQ(test_live_allocations(), live);
        harness_free(image.bytes);
    }
    closedir(folder);
    printf("FIGURE hostile files: %u read, %u with an error\n", files, refused);
    CHECK(files > 0);
}

/* A file with a bit of everything: groups, dense and not, attributes, chunks, texts. */
static struct image make_image(enum fixture_age age)
{
    struct fixture fixture;
    const hsize_t dims[2] = {50, 4}, chunk[2] = {8, 3};
    const hsize_t unlimited[2] = {H5S_UNLIMITED, 4};
    const char *texts[2] = {"a text", "another"};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), text = H5Tcopy(H5T_C_S1);
    const hsize_t two[1] = {2};
    hid_t space = H5Screate_simple(1, two, NULL);

    fixture_begin(&fixture, age);
    fixture_count_up(&fixture, "contiguous", 2, dims, NULL, H5P_DEFAULT);
    H5Pset_chunk(properties, 2, chunk);
    fixture_count_up(&fixture, "chunked", 2, dims, NULL, properties);
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 6);
    H5Pset_fletcher32(properties);
    fixture_count_up(&fixture, "filtered", 2, dims, unlimited, properties);
    H5Gclose(H5Gcreate2(fixture.file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Tset_size(text, H5T_VARIABLE);
    hid_t dataset =
        H5Dcreate2(fixture.file, "texts", text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(dataset, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts);
    for (int i = 0; i < 12; i++) {
        char name[16];
        snprintf(name, sizeof name, "attribute %d", i);
        hid_t attribute = H5Acreate2(dataset, name, text, space, H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(attribute, text, texts);
        H5Aclose(attribute);
        snprintf(name, sizeof name, "group/%d", i);
        H5Gclose(H5Gcreate2(fixture.file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(text);
    H5Pclose(properties);
    H5Fclose(fixture.file);
    return load_image(fixture.path);
}

/* Puts the right sum behind metadata that begins with `at`, so that changes get past the sums. */
static void mend_sums(const struct image *image, uint64_t *seed)
{
    static const char *const signatures[] = {
        "OHDR", "OCHK", "FRHP", "FHDB", "BTHD", "BTLF", "FAHD", "FADB", "EAHD", "EAIB"};
    for (size_t at = 0; at + 64 < image->count; at++)
        for (size_t s = 0; s < BS_ARRAY_LENGTH(signatures); s++) {
            if (memcmp(image->bytes + at, signatures[s], 4) != 0) continue;
            /* Where the sum is, the structure says; a few guesses find it often enough. */
            const size_t count = 16 + test_random(seed) % 300;
            if (at + count + 4 > image->count) continue;
            bs_store_u32(image->bytes + at + count, bs_lookup3(image->bytes + at, count, 0));
        }
}

static void mutate(struct image *image, uint64_t *seed, const struct image *whole)
{
    const unsigned changes = 1 + (unsigned)(test_random(seed) % 4);

    memcpy(image->bytes, whole->bytes, whole->count);
    image->count = whole->count;
    for (unsigned i = 0; i < changes; i++) {
        const uint64_t kind = test_random(seed) % 4;
        const size_t at = test_random(seed) % image->count;
        if (kind == 0)
            image->bytes[at] ^= (uint8_t)(1u << (test_random(seed) % 8));
        else if (kind == 1)
            image->bytes[at] = (uint8_t)test_random(seed);
        else if (kind == 2)
            image->bytes[at] = test_random(seed) % 2 ? 0xff : 0;
        else if (at + 8 < image->count) {
            const size_t from = test_random(seed) % (image->count - 8);
            memmove(image->bytes + at, image->bytes + from, 8);
        }
    }
    if (test_random(seed) % 8 == 0) mend_sums(image, seed);
    if (test_random(seed) % 16 == 0) image->count -= test_random(seed) % image->count;
}

TEST(h5_hostile, changed_bytes)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        uint64_t seed = 20260131 + (uint64_t)age;
        unsigned refused = 0;
        const struct image whole = make_image((enum fixture_age)age);
        struct image image = {harness_copy(whole.bytes, whole.count), whole.count};
        CHECK_EQ(exercise_image(&whole, NULL), BASALT_OK);
        const int64_t live = test_live_allocations();
        for (unsigned i = 0; i < MUTATIONS; i++) {
            mutate(&image, &seed, &whole);
            /* A checksum that differs would be waited for: leave the superblock of version 3. */
            if (age == FIXTURE_LATEST) memcpy(image.bytes, whole.bytes, 48);
            refused += exercise_image(&image, NULL) != BASALT_OK;
        }
        CHECK_EQ(test_live_allocations(), live);
        CHECK(refused > MUTATIONS / 20);
        harness_free(image.bytes);
        harness_free(whole.bytes);
    }
}

/* Every allocation and every read fails in turn: the failure is told, and nothing is left behind. */
TEST(h5_hostile, every_fault_is_told)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        const struct image whole = make_image((enum fixture_age)age);
        struct bs_vfs *memory = NULL;
        struct bs_file *file = NULL;
        uint64_t runs = 0;
        const char *path = test_path("faults.h5");
        FILE *copy = fopen(path, "wb");
        REQUIRE(copy && fwrite(whole.bytes, 1, whole.count, copy) == whole.count);
        fclose(copy);
        const int64_t live = test_live_allocations();
        EACH_FAULT (step) {
            basalt_error fault = {0};
            struct bs_vfs *vfs = NULL;
            file = NULL;
            basalt_status status = bs_vfs_local_create(&memory, &fault);
            if (!status) {
                vfs = faulty_create(memory, &(struct faulty_options){.operations = FAULTY_READ});
                status = bs_file_open(vfs, path, BS_OPEN_READ, &file, &fault);
            }
            if (!status) status = h5_exercise(file, &fault);
            if (fault_points_seen() >= step) {
                /* The plain attempts of the exercise swallow some; none turns into corruption. */
                CHECK(!status || status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR);
                if (status) CHECK(fault.message[0]);
            } else {
                CHECK_EQ(status, BASALT_OK);
            }
            bs_file_close(file);
            bs_vfs_free(vfs ? vfs : memory);
            CHECK_EQ(test_live_allocations(), live);
            runs++;
        }
        CHECK(runs > 100);
        harness_free(whole.bytes);
    }
}

/* ---- laziness --------------------------------------------------------------------------------- */

struct counting_file { /* counts what is read of another one */
    struct bs_file face;
    struct bs_file *inner;
    uint64_t bytes, reads;
};

static basalt_status counting_read(struct bs_file *face, void *out, size_t count, uint64_t offset,
    size_t *out_count, basalt_error *err)
{
    struct counting_file *file = (struct counting_file *)face;
    file->bytes += count;
    file->reads++;
    return file->inner->ops->read_at(file->inner, out, count, offset, out_count, err);
}

static basalt_status counting_info(
    struct bs_file *face, struct bs_file_info *out_info, basalt_error *err)
{
    struct counting_file *file = (struct counting_file *)face;
    return file->inner->ops->info(file->inner, out_info, err);
}

TEST(h5_dataset, one_element_of_100_000_chunks_reads_little)
{
    static const struct bs_file_ops ops = {.read_at = counting_read, .info = counting_info};
    struct fixture fixture;
    const hsize_t dims[1] = {400000}, chunk[1] = {4};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(properties, 1, chunk);
    fixture_begin(&fixture, FIXTURE_EARLIEST);
    fixture_count_up(&fixture, "data", 1, dims, NULL, properties);
    H5Pclose(properties);
    if (fixture_open(&fixture)) {
        struct counting_file counting = {.face = *fixture.bytes, .inner = fixture.bytes};
        struct bs_h5_file *h5 = NULL;
        struct bs_h5_object *object = NULL;
        int32_t value = 0;
        counting.face.ops = &ops;
        CHECK_OK(bs_h5_file_open(&counting.face, &h5, err));
        CHECK_OK(bs_h5_object_open_path(h5, "data", &object, err));
        CHECK_OK(bs_h5_read(h5, object, 123456, 1, &value, err));
        CHECK_EQ(value, 123456);
        CHECK(counting.bytes < 32768); /* the index alone has over 3 MB */
        CHECK(counting.reads < 100);
        bs_h5_object_close(object);
        bs_h5_file_close(h5);
    }
    fixture_end(&fixture);
}
