/* copy_test.c - copies of files that libhdf5 made: settings, faults, cancelling, crashes. What every kind
 * of file becomes is compared value by value in tests/interop/hdf5_copy.py. */
#include "copy/copy.h"
#include "tests/harness/faulty_vfs.h"
#include "tests/harness/powerloss_vfs.h"
#include "tests/harness/test.h"

#include <hdf5.h>
#include <stdlib.h>

#define ROWS 500
#define COLUMNS 40

/* ---- a source with one of each ---------------------------------------------------------------- */

static void put_numbers(hid_t file, const char *name, bool chunked, int32_t base)
{
    const hsize_t dims[2] = {ROWS, COLUMNS}, chunk[2] = {64, 16};
    const hid_t space = H5Screate_simple(2, dims, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
    int32_t *values = malloc(ROWS * COLUMNS * sizeof *values);
    REQUIRE(values);
    for (int i = 0; i < ROWS * COLUMNS; i++) values[i] = base + i;
    if (chunked) {
        H5Pset_chunk(how, 2, chunk);
        H5Pset_shuffle(how);
        H5Pset_deflate(how, 4);
    }
    const hid_t set = H5Dcreate2(file, name, H5T_STD_I32LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
    CHECK(H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    free(values);
    H5Dclose(set);
    H5Pclose(how);
    H5Sclose(space);
}

static void put_texts(hid_t file, const char *name, hsize_t count)
{
    const hsize_t chunk = 7;
    const hid_t space = H5Screate_simple(1, &count, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t type = H5Tcopy(H5T_C_S1);
    const char **texts = malloc((size_t)count * sizeof *texts);
    REQUIRE(texts);
    H5Tset_size(type, H5T_VARIABLE);
    H5Pset_chunk(how, 1, &chunk);
    for (hsize_t i = 0; i < count; i++) texts[i] = i % 3 ? "some text" : "";
    const hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    CHECK(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) >= 0);
    free(texts);
    H5Dclose(set);
    H5Tclose(type);
    H5Pclose(how);
    H5Sclose(space);
}

static void put_references(hid_t file, const char *name)
{
    const hsize_t count = 3;
    const hid_t space = H5Screate_simple(1, &count, NULL);
    hobj_ref_t references[3] = {0};
    CHECK(H5Rcreate(&references[0], file, "/a/numbers", H5R_OBJECT, -1) >= 0);
    CHECK(H5Rcreate(&references[2], file, "/b", H5R_OBJECT, -1) >= 0);
    const hid_t set =
        H5Dcreate2(file, name, H5T_STD_REF_OBJ, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Dwrite(set, H5T_STD_REF_OBJ, H5S_ALL, H5S_ALL, H5P_DEFAULT, references) >= 0);
    const hid_t attribute =
        H5Acreate2(set, "list", H5T_STD_REF_OBJ, space, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Awrite(attribute, H5T_STD_REF_OBJ, references) >= 0);
    H5Aclose(attribute);
    H5Dclose(set);
    H5Sclose(space);
}

static const char *make_source(void)
{
    const char *path = test_path("source.h5");
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Gclose(H5Gcreate2(file, "b", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    put_numbers(file, "a/numbers", true, 0);
    put_numbers(file, "plain", false, 7);
    put_texts(file, "texts", 40);
    put_references(file, "b/references");
    CHECK(H5Lcreate_hard(file, "a/numbers", file, "b/again", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    CHECK(H5Lcreate_soft("/a", file, "b/soft", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    return path;
}

/* The file of the local file system as one in memory. */
static void bring(struct bs_vfs *vfs, const char *from, const char *to)
{
    struct bs_file *file = NULL;
    FILE *stream = fopen(from, "rb");
    static uint8_t bytes[1 << 20];
    REQUIRE(stream);
    const size_t count = fread(bytes, 1, sizeof bytes, stream);
    fclose(stream);
    CHECK(count < sizeof bytes);
    CHECK_OK(bs_file_open(vfs, to, BS_OPEN_WRITE | BS_OPEN_CREATE, &file, err));
    CHECK_OK(bs_file_write_at(file, bytes, count, 0, err));
    CHECK_OK(bs_file_sync(file, err));
    bs_file_close(file);
    CHECK_OK(vfs->ops->sync_directory(vfs, "/", err));
}

static basalt_hdf5_copy_options options_of(const char *chunks, const char *filters)
{
    return (basalt_hdf5_copy_options){
        .struct_bytes = sizeof(basalt_hdf5_copy_options), .chunks = chunks, .filters = filters};
}

/* ---- what a copy has -------------------------------------------------------------------------- */

static basalt_status check_numbers(
    struct bs_h5_file *h5, const char *path, int32_t base, basalt_error *err)
{
    static int32_t values[ROWS * COLUMNS];
    struct bs_h5_object *object = NULL;
    basalt_status status = bs_h5_object_open_path(h5, path, &object, err);
    if (!status) status = bs_h5_read(h5, object, 0, ROWS, values, err);
    for (int i = 0; !status && i < ROWS * COLUMNS; i++) {
        if (values[i] == base + i) continue;
        status = bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET, "%s has a wrong value", path);
    }
    bs_h5_object_close(object);
    return status;
}

/* Whole: every structure, both arrays of numbers, and references that lead to them. */
static basalt_status check_copy(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_object *object = NULL, *numbers = NULL;
    uint8_t references[24];
    uint64_t faults = 0;
    basalt_status status = bs_file_open(vfs, path, BS_OPEN_READ, &file, err);
    if (status) return status;
    BS_TRY(bs_h5_file_open(file, &h5, err));
    BS_TRY(bs_h5_verify(h5, NULL, NULL, NULL, &faults, err));
    CHECK_EQ(faults, 0);
    BS_TRY(check_numbers(h5, "/a/numbers", 0, err));
    BS_TRY(check_numbers(h5, "/plain", 7, err));
    BS_TRY(check_numbers(h5, "/b/again", 0, err));
    BS_TRY(bs_h5_object_open_path(h5, "/b/references", &object, err));
    BS_TRY(bs_h5_object_open_path(h5, "/a/numbers", &numbers, err));
    BS_TRY(bs_h5_read(h5, object, 0, 3, references, err));
    CHECK_EQ(bs_load_u64(references), bs_h5_object_address(numbers));
    CHECK_EQ(bs_load_u64(references + 8), 0);
    CHECK_EQ(bs_h5_object_links(numbers), 2);
    const struct bs_h5_attribute *list = bs_h5_attribute_find(object, "list");
    CHECK(list && list->byte_count == 24 && !memcmp(list->bytes, references, 24));
out:
    bs_h5_object_close(object);
    bs_h5_object_close(numbers);
    bs_h5_file_close(h5);
    bs_file_close(file);
    return status;
}

static basalt_status count_names(void *context, const char *name, basalt_error *err)
{
    (void)name;
    (void)err;
    ++*(unsigned *)context;
    return BASALT_OK;
}

static unsigned names_in(struct bs_vfs *vfs)
{
    unsigned count = 0;
    CHECK_OK(vfs->ops->list(vfs, "/", count_names, &count, err));
    return count;
}

static basalt_status note_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    (void)err;
    *(uint64_t *)context = chunk->address;
    return BASALT_OK;
}

/* ---- tests ------------------------------------------------------------------------------------ */

TEST(copy, has_what_the_source_has_with_every_setting)
{
    static const char *const settings[][2] = {{NULL, NULL}, {"auto", "shuffle,deflate:6"},
        {"32,7", "zstd:3,fletcher32"}, {"4Ki", "bitshuffle:lz4"}, {"keep", "none"},
        {"contiguous", "none"}, {"auto", "blosc:lz4:5"}, {"100,40", "lzf"}, {"8Ki", "bzip2,lz4"}};
    const struct bs_h5_dataset *dataset;
    struct bs_vfs *vfs = NULL;
    struct bs_sched *sched = NULL;
    CHECK_OK(bs_vfs_memory_create(&vfs, err));
    CHECK_OK(bs_sched_create(3, &sched, err));
    bring(vfs, make_source(), "/source.h5");
    const struct bs_copy_parts parts = {.vfs = vfs, .sched = sched};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(settings); i++) {
        basalt_hdf5_copy_options options = options_of(settings[i][0], settings[i][1]);
        basalt_hdf5_copy_report report;
        options.overwrite = true;
        CHECK_OK(bs_copy(&parts, "/source.h5", "/copy.h5", &options, &report, err));
        CHECK_OK(check_copy(vfs, "/copy.h5", err));
        CHECK_EQ(report.datasets, 4);
        CHECK_EQ(report.groups, 3);
        CHECK_EQ(report.links, 1);
        CHECK_EQ(report.references_nulled, 0);
        CHECK_EQ(report.chunks_as_stored > 0, i == 0);
        CHECK_EQ(names_in(vfs), 2);
    }
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_object *object = NULL;
    const basalt_hdf5_copy_rule rules[] = {{"/", "auto", "lz4"}, {"/a", "50,40", NULL}};
    basalt_hdf5_copy_options options = options_of("keep", "keep");
    options.rules = rules;
    options.rule_count = 2;
    CHECK_OK(bs_copy(&parts, "/source.h5", "/ruled.h5", &options, NULL, err));
    CHECK_OK(bs_file_open(vfs, "/ruled.h5", BS_OPEN_READ, &file, err));
    CHECK_OK(bs_h5_file_open(file, &h5, err));
    CHECK_OK(bs_h5_object_open_path(h5, "/a/numbers", &object, err));
    dataset = bs_h5_object_dataset(object);
    CHECK(dataset->chunk_dims[0] == 50 && dataset->chunk_dims[1] == 40);
    CHECK_EQ(dataset->pipeline.filters[0].id, BS_FILTER_LZ4);
    bs_h5_object_close(object);
    bs_h5_file_close(h5);
    bs_file_close(file);
    bs_sched_free(sched);
    bs_vfs_free(vfs);
}

TEST(copy, parts_of_a_file_have_null_for_what_is_not_there)
{
    static const char *const paths[] = {"/b/references", "texts"};
    static const char *const absent[] = {"/b/refer"};
    struct bs_vfs *vfs = NULL;
    basalt_hdf5_copy_options options = options_of(NULL, NULL);
    basalt_hdf5_copy_report report;
    CHECK_OK(bs_vfs_memory_create(&vfs, err));
    bring(vfs, make_source(), "/source.h5");
    const struct bs_copy_parts parts = {.vfs = vfs};
    options.paths = paths;
    options.path_count = 2;
    CHECK_OK(bs_copy(&parts, "/source.h5", "/copy.h5", &options, &report, err));
    CHECK_EQ(report.groups, 2); /* the root and /b */
    CHECK_EQ(report.datasets, 2);
    CHECK_EQ(report.links, 0);
    CHECK_EQ(
        report.references_nulled, 2); /* to the numbers: an element, and one of the attribute */
    options.paths = absent;
    options.path_count = 1;
    CHECK_EQ(bs_copy(&parts, "/source.h5", "/none.h5", &options, &report, NULL), BASALT_NOT_FOUND);
    CHECK_EQ(names_in(vfs), 2);
    bs_vfs_free(vfs);
}

TEST(copy, refuses_what_makes_no_sense)
{
    static const char *const wrong[][2] = {{"0,4", NULL}, {"big", NULL}, {"2000Mi", NULL},
        {"4,,4", NULL}, {NULL, "gnip"}, {NULL, "deflate:10"}, {NULL, "shuffle,"},
        {"contiguous", "lz4"}, {NULL, "zstd:3:3"}, {NULL, "bitshuffle:lz4:3"}};
    struct bs_vfs *vfs = NULL;
    CHECK_OK(bs_vfs_memory_create(&vfs, err));
    bring(vfs, make_source(), "/source.h5");
    const struct bs_copy_parts parts = {.vfs = vfs};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(wrong); i++) {
        const basalt_hdf5_copy_options options = options_of(wrong[i][0], wrong[i][1]);
        CHECK_EQ(
            bs_copy(&parts, "/source.h5", "/copy.h5", &options, NULL, NULL), BASALT_BAD_ARGUMENT);
    }
    basalt_hdf5_copy_options options = options_of(NULL, NULL);
    CHECK_EQ(bs_copy(&parts, "/source.h5", "/source.h5", &options, NULL, NULL), BASALT_EXISTS);
    CHECK_EQ(bs_copy(&parts, "/nothing.h5", "/copy.h5", &options, NULL, NULL), BASALT_NOT_FOUND);
    CHECK_EQ(names_in(vfs), 1);
    options.overwrite = true; /* onto itself, too */
    CHECK_OK(bs_copy(&parts, "/source.h5", "/source.h5", &options, NULL, err));
    CHECK_OK(check_copy(vfs, "/source.h5", err));
    CHECK_EQ(names_in(vfs), 1);
    bs_vfs_free(vfs);
}

/* Damage is copied with a chunk that is not looked at; a check refuses it. */
TEST(copy, checks_what_it_does_not_decode)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_object *object = NULL;
    uint64_t address = 0;
    basalt_error error = {0};
    CHECK_OK(bs_vfs_memory_create(&vfs, err));
    bring(vfs, make_source(), "/source.h5");
    CHECK_OK(bs_file_open(vfs, "/source.h5", BS_OPEN_WRITE, &file, err));
    CHECK_OK(bs_h5_file_open(file, &h5, err));
    CHECK_OK(bs_h5_object_open_path(h5, "/a/numbers", &object, err));
    CHECK_OK(bs_h5_chunks_each(h5, object, note_chunk, &address, err));
    bs_h5_object_close(object);
    bs_h5_file_close(h5);
    CHECK_OK(bs_file_write_at(file, "damaged", 7, address + 2, err));
    bs_file_close(file);
    const struct bs_copy_parts parts = {.vfs = vfs};
    basalt_hdf5_copy_options options = options_of(NULL, NULL);
    CHECK_OK(bs_copy(&parts, "/source.h5", "/copy.h5", &options, NULL, err));
    options.check = true;
    CHECK_EQ(bs_copy(&parts, "/source.h5", "/checked.h5", &options, NULL, &error), BASALT_CORRUPT);
    CHECK(strstr(error.message, "/a/numbers"));
    CHECK_EQ(names_in(vfs), 2);
    bs_vfs_free(vfs);
}

struct stopping {
    struct bs_cancel cancel;
    unsigned calls, stop_at; /* 0: says no instead */
};

static bool stop(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct stopping *stopping = context;
    CHECK(done_bytes <= all_bytes);
    stopping->calls++;
    if (stopping->calls != stopping->stop_at) return stopping->stop_at != 0;
    bs_cancel_request(&stopping->cancel);
    return true;
}

TEST(copy, that_is_cancelled_leaves_nothing)
{
    struct bs_vfs *vfs = NULL;
    struct bs_sched *sched = NULL;
    CHECK_OK(bs_vfs_memory_create(&vfs, err));
    CHECK_OK(bs_sched_create(2, &sched, err));
    bring(vfs, make_source(), "/source.h5");
    for (unsigned at = 0; at < 3; at++) {
        struct stopping stopping = {.stop_at = at};
        const struct bs_copy_parts parts = {.vfs = vfs, .sched = sched, .cancel = &stopping.cancel};
        basalt_hdf5_copy_options options = options_of("4Ki", "deflate:1");
        options.progress = stop;
        options.context = &stopping;
        CHECK_EQ(bs_copy(&parts, "/source.h5", "/copy.h5", &options, NULL, NULL), BASALT_CANCELLED);
        CHECK(stopping.calls > 0);
        CHECK_EQ(names_in(vfs), 1);
    }
    bs_sched_free(sched);
    bs_vfs_free(vfs);
}

/* What a kill leaves goes with the next copy, unless it does not look like one of ours. */
TEST(copy, removes_what_a_kill_has_left)
{
    static const char *const names[] = {
        "/copy.h5.part-0123456789abcdef", "/copy.h5.part-0123456789abcdee", "/copy.h5.part-short"};
    struct bs_vfs *vfs = NULL;
    basalt_hdf5_copy_options options = options_of(NULL, NULL);
    CHECK_OK(bs_vfs_local_create(&vfs, err)); /* where locks are real */
    const struct bs_copy_parts parts = {.vfs = vfs};
    const char *source = make_source();
    char target[4096];
    snprintf(target, sizeof target, "%s", test_path("copy.h5"));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(names); i++) {
        FILE *file = fopen(test_path(names[i] + 1), "wb");
        REQUIRE(file);
        static const char zeros[100], text[100] = "mine";
        fwrite(i == 1 ? text : zeros, 1, sizeof zeros, file);
        fclose(file);
    }
    CHECK_OK(bs_copy(&parts, source, target, &options, NULL, err));
    struct bs_file_info info;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(names); i++) {
        CHECK_EQ(vfs->ops->info(vfs, test_path(names[i] + 1), &info, NULL),
            i == 0 ? BASALT_NOT_FOUND : BASALT_OK);
    }
    CHECK_OK(check_copy(vfs, target, err));
    bs_vfs_free(vfs);
}

/* ---- every fallible step fails in turn -------------------------------------------------------- */

static void each_fault(const char *chunks, const char *filters, bool overwrite)
{
    struct bs_vfs *inner = NULL;
    basalt_hdf5_copy_options options = options_of(chunks, filters);
    CHECK_OK(bs_vfs_memory_create(&inner, err));
    struct bs_vfs *vfs = faulty_create(inner, NULL);
    const struct bs_copy_parts parts = {.vfs = vfs};
    bring(vfs, make_source(), "/source.h5");
    if (overwrite) bring(vfs, make_source(), "/copy.h5");
    options.overwrite = overwrite;
    EACH_FAULT (step) {
        const int64_t before = test_live_allocations();
        basalt_error error = {0};
        const basalt_status status =
            bs_copy(&parts, "/source.h5", "/copy.h5", &options, NULL, &error);
        fault_stop();
        CHECK_EQ(status, error.status);
        if (!status || overwrite) CHECK_OK(check_copy(vfs, "/copy.h5", err));
        if (!overwrite) { /* what failed after the rename is there and whole */
            const basalt_status ignored = vfs->ops->remove(vfs, "/copy.h5", NULL);
            (void)ignored;
            CHECK_EQ(test_live_allocations(), before);
        }
    }
    bs_vfs_free(vfs);
}

TEST(copy, no_fault_leaks_or_leaves_half)
{
    each_fault(NULL, NULL, false);
}

TEST(copy, no_fault_of_a_repack_harms_the_old_target)
{
    each_fault("100,40", "shuffle,deflate:1", true);
}

/* ---- power loss ------------------------------------------------------------------------------- */

struct looking {
    bool overwrite;
    uint64_t whole, old, absent;
};

/* At every instant the target is absent, or as it was, or whole. */
static bool look(void *context, const struct powerloss_image *image)
{
    struct looking *looking = context;
    struct bs_vfs *vfs = powerloss_create_from(image);
    basalt_error error = {0};
    const struct powerloss_file *file = powerloss_find(image, "/copy.h5");
    if (!file) {
        CHECK(!looking->overwrite);
        looking->absent++;
    } else if (file->size == 3 && !memcmp(file->bytes, "old", 3)) {
        looking->old++;
    } else if (check_copy(vfs, "/copy.h5", &error)) {
        test_fail(__FILE__, __LINE__, "%s at event %" PRIu64 ": %s",
            powerloss_kind_name(image->kind), image->cut, error.message);
    } else {
        looking->whole++;
    }
    bs_vfs_free(vfs);
    return true;
}

static void each_crash(bool overwrite)
{
    struct bs_vfs *vfs = powerloss_create();
    struct looking looking = {.overwrite = overwrite};
    basalt_hdf5_copy_options options = options_of("auto", "deflate:1");
    bring(vfs, make_source(), "/source.h5");
    if (overwrite) {
        struct bs_file *file = NULL;
        CHECK_OK(bs_file_open(vfs, "/copy.h5", BS_OPEN_WRITE | BS_OPEN_CREATE, &file, err));
        CHECK_OK(bs_file_write_at(file, "old", 3, 0, err));
        CHECK_OK(bs_file_sync(file, err));
        bs_file_close(file);
        CHECK_OK(vfs->ops->sync_directory(vfs, "/", err));
    }
    const uint64_t from = powerloss_event_count(vfs);
    const struct bs_copy_parts parts = {.vfs = vfs};
    options.overwrite = overwrite;
    CHECK_OK(bs_copy(&parts, "/source.h5", "/copy.h5", &options, NULL, err));
    powerloss_images(vfs, from, powerloss_event_count(vfs), NULL, look, &looking);
    CHECK(looking.whole > 0);
    CHECK((overwrite ? looking.old : looking.absent) > 0);
    bs_vfs_free(vfs);
}

TEST(copy, a_crash_leaves_no_target_or_all_of_it)
{
    each_crash(false);
}

TEST(copy, a_crash_leaves_the_old_target_or_all_of_the_new)
{
    each_crash(true);
}
