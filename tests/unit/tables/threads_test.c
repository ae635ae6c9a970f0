/* threads_test.c - many threads, each with small reads of many kinds over many files, with handles of their
 * own and shared ones, beside a store that grows: all that they see is right. */
#include "tables/tables.h"
#include "tests/unit/store/store_help.h"

#include <hdf5.h>

#define FILES 20 /* the last one is the store's */
#define READERS 16
#define READS 200
#define NUMBERS 5000
#define TEXTS 300
#define SLICE 10
#define WRITES 40
#define WRITE_ROWS 50

static int32_t number_at(unsigned file, uint64_t index)
{
    return (int32_t)(file * 1000003u + index * 7);
}

/* ---- files ------------------------------------------------------------------------------------- */

static void put_numbers(hid_t file, unsigned which)
{
    const hsize_t dims[1] = {NUMBERS}, chunk[1] = {97};
    static int32_t values[NUMBERS];
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, dims, NULL);

    for (unsigned i = 0; i < NUMBERS; i++) values[i] = number_at(which, i);
    H5Pset_chunk(properties, 1, chunk);
    if (which % 3) H5Pset_shuffle(properties);
    if (which % 3) H5Pset_deflate(properties, 4);
    if (which % 3 == 2) H5Pset_fletcher32(properties);
    hid_t dataset =
        H5Dcreate2(file, "numbers", H5T_STD_I32BE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    CHECK(H5Dwrite(dataset, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(properties);
}

static void text_of(unsigned which, uint64_t index, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "file %u, text %" PRIu64, which, index);
}

static void put_texts(hid_t file, unsigned which)
{
    const hsize_t dims[1] = {TEXTS};
    static char texts[TEXTS][40];
    const char *pointers[TEXTS];
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, dims, NULL);
    hid_t scalar = H5Screate(H5S_SCALAR);

    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    for (unsigned i = 0; i < TEXTS; i++) {
        text_of(which, i, texts[i], sizeof texts[i]);
        pointers[i] = texts[i];
    }
    hid_t dataset = H5Dcreate2(file, "texts", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers) >= 0);
    hid_t attribute = H5Acreate2(dataset, "first", type, scalar, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Awrite(attribute, type, pointers) >= 0);
    H5Aclose(attribute);
    H5Dclose(dataset);
    H5Sclose(scalar);
    H5Sclose(space);
    H5Tclose(type);
}

static void make_file(const char *path, unsigned which)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (which % 2) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    put_numbers(file, which);
    put_texts(file, which);
    H5Pclose(access);
    H5Fclose(file);
}

/* ---- readers ----------------------------------------------------------------------------------- */

struct place {
    struct bs_vfs *vfs;
    char paths[FILES][300];
    struct bs_hdf5 *shared[FILES];
    struct help_schema schema;
    _Atomic uint64_t rows; /* that a checkpoint has shown */
};

struct reader {
    struct place *place;
    struct bs_hdf5 *own[FILES];
    uint64_t seed, wrong, done[4];
};

static bool slice_is_right(struct bs_hdf5 *file, unsigned which, uint64_t first)
{
    struct bs_hdf5_dataset *dataset = NULL;
    const uint64_t count = SLICE;
    int32_t values[SLICE];
    const basalt_hdf5_read_options how = {
        .select = BASALT_HDF5_HYPERSLAB, .start = &first, .count = &count, .type = "<i4"};

    basalt_status status = bs_hdf5_dataset_open(file, "/numbers", &dataset, NULL);
    if (!status) status = bs_hdf5_read(dataset, &how, values, sizeof values, NULL);
    bs_hdf5_dataset_close(dataset);
    for (unsigned i = 0; !status && i < SLICE; i++)
        if (values[i] != number_at(which, first + i)) status = BASALT_CORRUPT;
    return !status;
}

/* The first array of the rows of a table. */
static basalt_status first_array(
    struct bs_hdf5 *file, const char *path, uint64_t first, uint64_t count, struct ArrowArray *out)
{
    const basalt_hdf5_scan_options options = {.first_row = first, .row_count = count};
    struct ArrowArrayStream stream;
    bool end = false;

    memset(out, 0, sizeof *out);
    basalt_status status = bs_hdf5_scan(file, path, &options, &stream, NULL);
    if (status) return status;
    status = bs_stream_next(&stream, out, &end, NULL);
    stream.release(&stream);
    return status;
}

static bool text_is_right(struct bs_hdf5 *file, unsigned which, uint64_t index)
{
    struct ArrowArray array;
    char expected[40];
    bool right = false;

    if (first_array(file, "/texts", index, 3, &array)) return false;
    text_of(which, index, expected, sizeof expected);
    if (array.release && array.n_children == 1 && array.length > 0) {
        const int32_t *offsets = array.children[0]->buffers[1];
        const char *bytes = array.children[0]->buffers[2];
        right = (size_t)(offsets[1] - offsets[0]) == strlen(expected) &&
            !memcmp(bytes + offsets[0], expected, strlen(expected));
    }
    if (array.release) array.release(&array);
    return right;
}

static bool note_first(void *context, const char *name, const char *type, const char *value)
{
    (void)type;
    if (!strcmp(name, "first")) snprintf(context, 64, "%s", value);
    return true;
}

static bool attribute_is_right(struct bs_hdf5 *file, unsigned which)
{
    char found[64] = "", expected[64], text[40];
    text_of(which, 0, text, sizeof text);
    snprintf(expected, sizeof expected, "\"%s\"", text);
    return !bs_hdf5_each_attribute(file, "/texts", note_first, found, NULL) &&
        !strcmp(found, expected);
}

/* The store's file as it is now: as many rows as the last checkpoint gave, or more. */
static bool live_is_right(struct place *place, uint64_t at)
{
    const uint64_t shown = atomic_load(&place->rows);
    struct bs_hdf5 *file = NULL;
    basalt_hdf5_table_info table;
    struct ArrowArray array;

    if (!shown) return true;
    basalt_status status = bs_hdf5_open(place->vfs, place->paths[FILES - 1], &file, NULL);
    if (!status) status = bs_hdf5_describe_table(file, "/live", &table, NULL);
    if (!status && table.rows < shown) status = BASALT_CORRUPT;
    if (!status) status = first_array(file, "/live", at % shown, 1, &array);
    if (!status) {
        const bool right = array.release && array.length == 1 &&
            help_value_is(&place->schema.schema->fields[0], 0, array.children[0], 0, at % shown);
        if (!right) status = BASALT_CORRUPT;
        if (array.release) array.release(&array);
    }
    bs_hdf5_close(file);
    return !status;
}

static void read_many(void *context)
{
    struct reader *reader = context;
    struct place *place = reader->place;

    for (unsigned i = 0; i < READS; i++) {
        const unsigned which = (unsigned)(test_random(&reader->seed) % FILES);
        const uint64_t chance = test_random(&reader->seed);
        struct bs_hdf5 *file = place->shared[which];
        bool right = true;

        if (which == FILES - 1) {
            reader->done[3]++;
            reader->wrong += !live_is_right(place, chance);
            continue;
        }
        if (chance >> 40 & 1) { /* a handle of this thread's own */
            if (!reader->own[which])
                right = !bs_hdf5_open(place->vfs, place->paths[which], &reader->own[which], NULL);
            file = reader->own[which];
        }
        const unsigned kind = (unsigned)(chance % 3);
        if (right && kind == 0) right = slice_is_right(file, which, chance % (NUMBERS - SLICE));
        if (right && kind == 1) right = text_is_right(file, which, chance % TEXTS);
        if (right && kind == 2) right = attribute_is_right(file, which);
        reader->done[kind]++;
        reader->wrong += !right;
    }
    for (unsigned i = 0; i < FILES; i++) bs_hdf5_close(reader->own[i]);
}

/* ---- the store that grows ------------------------------------------------------------------------ */

struct growth {
    struct place *place;
    struct help_env *env;
    basalt_status status;
};

static void grow(void *context)
{
    struct growth *growth = context;
    const basalt_store_options options = help_options(BASALT_READ_WRITE_CREATE);
    struct place *place = growth->place;
    struct bs_store *store = NULL;
    basalt_status status =
        bs_store_open(&growth->env->parts, place->paths[FILES - 1], &options, &store, NULL);

    if (!status) status = bs_store_family_create(store, "live", &place->schema.root, NULL, NULL);
    for (uint64_t i = 0; !status && i < WRITES; i++) {
        status = help_append(
            store, "live", &place->schema, i * WRITE_ROWS, WRITE_ROWS, BASALT_BUFFERED, NULL);
        if (!status) status = bs_store_checkpoint(store, NULL);
        if (!status) atomic_store(&place->rows, (i + 1) * WRITE_ROWS);
    }
    bs_store_abandon(store); /* a clean close would wait for readers */
    growth->status = status;
}

TEST(tables_threads, sixteen_threads_read_twenty_files_beside_a_writer)
{
    static struct place place;
    static struct reader readers[READERS];
    struct bs_thread *threads[READERS + 1] = {NULL};
    struct help_env env;
    struct growth growth = {&place, &env, BASALT_OK};
    uint64_t done[4] = {0};

    REQUIRE_OK(bs_vfs_local_create(&place.vfs, err));
    help_env_open(&env, place.vfs, 0);
    help_schema_open(&place.schema, "t:l");
    for (unsigned i = 0; i < FILES; i++) {
        char name[20];
        snprintf(name, sizeof name, "%u.h5", i);
        snprintf(place.paths[i], sizeof place.paths[i], "%s", test_path(name));
        if (i == FILES - 1) break;
        make_file(place.paths[i], i);
        REQUIRE_OK(bs_hdf5_open(place.vfs, place.paths[i], &place.shared[i], err));
    }
    CHECK_OK(bs_thread_start("writer", grow, &growth, &threads[READERS], err));
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.place = &place, .seed = 500 + i};
        CHECK_OK(bs_thread_start("reader", read_many, &readers[i], &threads[i], err));
    }
    for (unsigned i = 0; i <= READERS; i++) bs_thread_join(threads[i]);
    CHECK_EQ(growth.status, BASALT_OK);
    for (unsigned i = 0; i < READERS; i++) {
        CHECK_EQ(readers[i].wrong, 0);
        for (unsigned k = 0; k < 4; k++) done[k] += readers[i].done[k];
    }
    CHECK_EQ(done[0] + done[1] + done[2] + done[3], (uint64_t)READERS * READS);
    for (unsigned k = 0; k < 4; k++) CHECK(done[k] > 0);
    CHECK(live_is_right(&place, 1) && atomic_load(&place.rows) == WRITES * WRITE_ROWS);
    for (unsigned i = 0; i < FILES; i++) bs_hdf5_close(place.shared[i]);
    help_schema_close(&place.schema);
    help_env_close(&env);
}
