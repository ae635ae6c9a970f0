/* tables_test.c - tables out of files that libhdf5 and the store made. That every type comes out value
 * for value is shown by tests/interop/tables.py; here memory runs short and bytes are damaged. */
#include "tables/tables.h"
#include "tests/unit/store/store_help.h"

#include <hdf5.h>

/* ---- a file with one of each ---------------------------------------------------------------- */

static void put(hid_t parent, const char *name, hid_t type, int rank, const hsize_t *dims,
    const void *data, hid_t properties)
{
    const hid_t space = H5Screate_simple(rank, dims, NULL);
    const hid_t set = H5Dcreate2(parent, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    CHECK(set >= 0);
    CHECK(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static void put_attribute(
    hid_t object, const char *name, hid_t type, hsize_t count, const void *data)
{
    const hid_t space = count ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Awrite(attribute, type, data) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
}

static hid_t text_type(size_t bytes)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, bytes ? bytes : H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static hid_t make_group(hid_t parent, const char *name, const char *encoding)
{
    const hid_t group = H5Gcreate2(parent, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (encoding) {
        const hid_t type = text_type(strlen(encoding));
        put_attribute(group, "encoding-type", type, 0, encoding);
        H5Tclose(type);
    }
    return group;
}

#define ROWS 40

struct record {
    int32_t number;
    double value;
    char text[4];
};

static void put_records(hid_t file)
{
    static struct record records[ROWS];
    const hsize_t dims[] = {ROWS};
    const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof records[0]), text = text_type(4);
    for (int i = 0; i < ROWS; i++) records[i] = (struct record){i, i / 2.0, "abc"};
    H5Tinsert(type, "number", HOFFSET(struct record, number), H5T_NATIVE_INT32);
    H5Tinsert(type, "value", HOFFSET(struct record, value), H5T_NATIVE_DOUBLE);
    H5Tinsert(type, "text", HOFFSET(struct record, text), text);
    put(file, "records", type, 1, dims, records, H5P_DEFAULT);
    H5Tclose(text);
    H5Tclose(type);
}

static void put_frame(hid_t file)
{
    static const char *const categories[] = {"red", "green"}, *const order[] = {"colour", "maybe"};
    int8_t codes[ROWS], mask[ROWS];
    int64_t numbers[ROWS];
    const hsize_t rows[] = {ROWS}, two[] = {2};
    const hid_t text = text_type(0), name = text_type(5);
    const hid_t frame = make_group(file, "frame", "dataframe");
    const hid_t colour = make_group(frame, "colour", "categorical");
    const hid_t maybe = make_group(frame, "maybe", "nullable-integer");
    for (int i = 0; i < ROWS; i++) {
        codes[i] = (int8_t)(i % 3 - 1);
        mask[i] = i % 4 == 0;
        numbers[i] = i;
    }
    put_attribute(frame, "_index", name, 0, "index");
    put_attribute(frame, "column-order", text, 2, order);
    put(frame, "index", H5T_NATIVE_INT64, 1, rows, numbers, H5P_DEFAULT);
    put(colour, "codes", H5T_NATIVE_INT8, 1, rows, codes, H5P_DEFAULT);
    put(colour, "categories", text, 1, two, categories, H5P_DEFAULT);
    put(maybe, "values", H5T_NATIVE_INT64, 1, rows, numbers, H5P_DEFAULT);
    put(maybe, "mask", H5T_NATIVE_INT8, 1, rows, mask, H5P_DEFAULT);
    H5Gclose(maybe);
    H5Gclose(colour);
    H5Gclose(frame);
    H5Tclose(name);
    H5Tclose(text);
}

static void put_datasets(hid_t file)
{
    static int32_t numbers[ROWS * 6];
    static const char *texts[ROWS];
    const hsize_t rows[] = {ROWS}, cube[] = {ROWS, 2, 3}, chunk[] = {7};
    const hid_t text = text_type(0), chunked = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(chunked, 1, chunk);
    H5Pset_shuffle(chunked);
    H5Pset_deflate(chunked, 4);
    for (int i = 0; i < ROWS * 6; i++) numbers[i] = i;
    for (int i = 0; i < ROWS; i++) texts[i] = i % 2 ? "odd \xC3\xA4" : "";
    put(file, "chunked", H5T_NATIVE_INT32, 1, rows, numbers, chunked);
    put(file, "cube", H5T_NATIVE_INT32, 3, cube, numbers, H5P_DEFAULT);
    put(file, "texts", text, 1, rows, texts, H5P_DEFAULT);
    H5Pclose(chunked);
    H5Tclose(text);
}

/* Records in records, a list, a dictionary, a reference, an array. */
static void put_nested(hid_t file)
{
    struct nested {
        int16_t colour;
        hobj_ref_t where;
        hvl_t list;
        float grid[4];
        struct record inner;
    };
    static struct nested rows[ROWS];
    static int32_t items[3] = {1, 2, 3};
    const int16_t red = 3, blue = -7;
    const hsize_t dims[] = {ROWS}, four[] = {2, 2};
    const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof rows[0]), text = text_type(4);
    const hid_t inner = H5Tcreate(H5T_COMPOUND, sizeof(struct record));
    const hid_t colour = H5Tenum_create(H5T_NATIVE_INT16), list = H5Tvlen_create(H5T_NATIVE_INT32);
    const hid_t grid = H5Tarray_create2(H5T_NATIVE_FLOAT, 2, four);
    H5Tenum_insert(colour, "red", &red);
    H5Tenum_insert(colour, "blue", &blue);
    H5Tinsert(inner, "number", HOFFSET(struct record, number), H5T_NATIVE_INT32);
    H5Tinsert(inner, "text", HOFFSET(struct record, text), text);
    for (int i = 0; i < ROWS; i++) {
        rows[i].colour = i % 3 ? red : blue;
        rows[i].list = (hvl_t){(size_t)(i % 4), items};
        if (i % 2) H5Rcreate(&rows[i].where, file, "/cube", H5R_OBJECT, -1);
    }
    H5Tinsert(type, "colour", HOFFSET(struct nested, colour), colour);
    H5Tinsert(type, "where", HOFFSET(struct nested, where), H5T_STD_REF_OBJ);
    H5Tinsert(type, "list", HOFFSET(struct nested, list), list);
    H5Tinsert(type, "grid", HOFFSET(struct nested, grid), grid);
    H5Tinsert(type, "inner", HOFFSET(struct nested, inner), inner);
    put(file, "nested", type, 1, dims, rows, H5P_DEFAULT);
    H5Tclose(grid);
    H5Tclose(list);
    H5Tclose(colour);
    H5Tclose(inner);
    H5Tclose(text);
    H5Tclose(type);
}

static void put_word(hid_t object, const char *name, const char *word)
{
    const hid_t type = text_type(strlen(word));
    put_attribute(object, name, type, 0, word);
    H5Tclose(type);
}

static void put_sparse(hid_t file)
{
    double values[ROWS];
    int32_t columns[ROWS], pointers[12];
    const hsize_t entries[] = {ROWS}, majors[] = {12};
    const hid_t group = make_group(file, "sparse", "csr_matrix");
    for (int i = 0; i < ROWS; i++) {
        values[i] = i / 2.0;
        columns[i] = i % 5;
    }
    for (int i = 0; i < 12; i++) pointers[i] = i < 3 ? 0 : (i - 2) * 4 < ROWS ? (i - 2) * 4 : ROWS;
    pointers[11] = ROWS;
    put(group, "data", H5T_NATIVE_DOUBLE, 1, entries, values, H5P_DEFAULT);
    put(group, "indices", H5T_NATIVE_INT32, 1, entries, columns, H5P_DEFAULT);
    put(group, "indptr", H5T_NATIVE_INT32, 1, majors, pointers, H5P_DEFAULT);
    H5Gclose(group);
}

/* A variable of 4 times and 10 places, the first of which has no coordinates. */
static void put_variable(hid_t file)
{
    static const char bare[] = "This is a netCDF dimension but not a netCDF variable.        10";
    int16_t values[ROWS];
    double times[4] = {0, 1, 2, 3};
    float nothing[10] = {0};
    const int16_t fill = 7;
    hobj_ref_t scales[2];
    hvl_t lists[2] = {{1, &scales[0]}, {1, &scales[1]}};
    const hsize_t both[] = {4, 10};
    const hid_t group = make_group(file, "climate", NULL);
    const hid_t list = H5Tvlen_create(H5T_STD_REF_OBJ);
    for (int i = 0; i < ROWS; i++) values[i] = (int16_t)i;
    put(group, "time", H5T_NATIVE_DOUBLE, 1, &both[0], times, H5P_DEFAULT);
    put(group, "place", H5T_NATIVE_FLOAT, 1, &both[1], nothing, H5P_DEFAULT);
    put(group, "t", H5T_NATIVE_INT16, 2, both, values, H5P_DEFAULT);
    const hid_t place = H5Dopen2(group, "place", H5P_DEFAULT),
                t = H5Dopen2(group, "t", H5P_DEFAULT);
    put_word(place, "CLASS", "DIMENSION_SCALE");
    put_word(place, "NAME", bare);
    H5Rcreate(&scales[0], group, "time", H5R_OBJECT, -1);
    H5Rcreate(&scales[1], group, "place", H5R_OBJECT, -1);
    put_attribute(t, "DIMENSION_LIST", list, 2, lists);
    put_attribute(t, "_FillValue", H5T_NATIVE_INT16, 1, &fill);
    put_word(t, "units", "K");
    H5Dclose(place);
    H5Dclose(t);
    H5Tclose(list);
    H5Gclose(group);
}

static void put_pandas(hid_t file)
{
    static const char names[2][2] = {"b", "a"}, columns[2][2] = {"a", "b"};
    double values[ROWS * 2];
    int64_t index[ROWS];
    const int64_t blocks = 1;
    const hsize_t rows[] = {ROWS}, two[] = {2}, both[] = {ROWS, 2};
    const hid_t group = make_group(file, "pandas", NULL), text = text_type(2);
    for (int i = 0; i < ROWS; i++) values[2 * i] = values[2 * i + 1] = (double)(index[i] = i);
    put_word(group, "pandas_type", "frame");
    put_attribute(group, "nblocks", H5T_NATIVE_INT64, 0, &blocks);
    put(group, "axis0", text, 1, two, columns, H5P_DEFAULT);
    put(group, "axis1", H5T_NATIVE_INT64, 1, rows, index, H5P_DEFAULT);
    put(group, "block0_items", text, 1, two, names, H5P_DEFAULT);
    put(group, "block0_values", H5T_NATIVE_DOUBLE, 2, both, values, H5P_DEFAULT);
    const hid_t axis = H5Dopen2(group, "axis1", H5P_DEFAULT);
    put_word(axis, "kind", "datetime64[ns]");
    H5Dclose(axis);
    H5Tclose(text);
    H5Gclose(group);
}

/* What the other conventions make of datasets, in a file of its own. */
static const char *conventions_file(void)
{
    static char path[512];
    int32_t cube[6] = {0};
    const hsize_t dims[] = {1, 2, 3};
    if (path[0]) return path;
    snprintf(path, sizeof path, "%s", test_path("conventions.h5"));
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    put(file, "cube", H5T_NATIVE_INT32, 3, dims, cube, H5P_DEFAULT);
    put_nested(file);
    put_sparse(file);
    put_variable(file);
    put_pandas(file);
    H5Fclose(file);
    return path;
}

/* The path of a file made by libhdf5; the same for all tests of a run. */
static const char *foreign_file(void)
{
    static char path[512];
    static const double numbers[] = {1.5, -2};
    static const char *const text = "a \"text\"";
    if (path[0]) return path;
    snprintf(path, sizeof path, "%s", test_path("foreign.h5"));
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t type = text_type(0);
    put_datasets(file);
    put_records(file);
    put_frame(file);
    put_attribute(file, "numbers", H5T_NATIVE_DOUBLE, 2, numbers);
    put_attribute(file, "text", type, 0, &text);
    H5Lcreate_hard(file, "/", file, "frame/up again", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/cube", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
    H5Fclose(file);
    return path;
}

/* ---- using all of it ------------------------------------------------------------------------- */

struct tour {
    char paths[64][64]; /* of objects, as far as they fit */
    unsigned objects, links, attributes;
    uint64_t rows;
};

static bool note_entry(void *context, const basalt_hdf5_entry *entry)
{
    struct tour *tour = context;
    if (entry->kind == BASALT_HDF5_SOFT_LINK || entry->kind == BASALT_HDF5_EXTERNAL_LINK) {
        tour->links++;
        return true;
    }
    if (tour->objects < 64 && strlen(entry->path) < 64) {
        memcpy(tour->paths[tour->objects++], entry->path, strlen(entry->path) + 1);
    }
    return true;
}

static bool note_attribute(void *context, const char *name, const char *type, const char *value)
{
    struct tour *tour = context;
    tour->attributes += strlen(name) > 0 && strlen(type) > 0 && strlen(value) > 0;
    return true;
}

static basalt_status scan(struct bs_hdf5 *file, const char *path, uint64_t first, uint64_t count,
    struct ArrowArrayStream *stream, basalt_error *error)
{
    const basalt_hdf5_scan_options options = {.first_row = first,
        .row_count = count,
        .missing_as_null = true,
        .without_dictionaries = strlen(path) % 2 == 0}; /* both, of several paths */
    return bs_hdf5_scan(file, path, &options, stream, error);
}

/* Pulls a stream to its end. */
static basalt_status drain(struct ArrowArrayStream *stream, uint64_t *rows, basalt_error *error)
{
    struct ArrowSchema schema = {0};
    struct ArrowArray array;
    bool end = false;
    if (stream->get_schema(stream, &schema)) {
        stream->release(stream);
        return bs_fail(error, BASALT_NO_MEMORY, BASALT_NO_OFFSET, "no schema");
    }
    CHECK_EQ(schema.n_children > 0, 1);
    schema.release(&schema);
    basalt_status status = BASALT_OK;
    while (!status && !end) {
        status = bs_stream_next(stream, &array, &end, error);
        if (!status && !end) {
            *rows += (uint64_t)array.length;
            array.release(&array);
        }
    }
    stream->release(stream);
    return status;
}

static bool is_expected(basalt_status status)
{
    return status == BASALT_UNSUPPORTED; /* of a group that is no table */
}

/* Walks, reads every attribute, scans every path. Stops at the first failure that is not expected. */
static basalt_status look_at_all(
    struct bs_vfs *vfs, const char *path, struct tour *tour, basalt_error *error)
{
    struct bs_hdf5 *file = NULL;
    memset(tour, 0, sizeof *tour);
    basalt_status status = bs_hdf5_open(vfs, path, &file, error);
    if (status) return status;
    status = bs_hdf5_walk(file, "/", 100, note_entry, tour, error);
    for (unsigned i = 0; !status && i < tour->objects; i++) {
        struct ArrowArrayStream stream;
        status = bs_hdf5_each_attribute(file, tour->paths[i], note_attribute, tour, error);
        if (status) break;
        status = scan(file, tour->paths[i], 0, UINT64_MAX, &stream, error);
        if (!status) status = drain(&stream, &tour->rows, error);
        if (is_expected(status)) status = BASALT_OK;
    }
    bs_hdf5_close(file);
    return status;
}

TEST(tables, everything_is_met_once)
{
    struct bs_vfs *vfs = NULL;
    struct tour tour;
    const char *path = foreign_file();
    const int64_t before = test_live_allocations();
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    CHECK_OK(look_at_all(vfs, path, &tour, err));
    /* The root, 4 datasets, the frame with its index and two columns of two datasets each. */
    CHECK_EQ(tour.objects, 13);
    CHECK_EQ(tour.links, 1);
    CHECK_EQ(tour.attributes, 7);
    /* The root, 4 datasets, the frame and its 2 columns, the 5 datasets in it, 2 categories. */
    CHECK_EQ(tour.rows, ROWS + 4 * ROWS + 3 * ROWS + 4 * ROWS + 2);
    bs_vfs_free(vfs);
    CHECK_EQ(test_live_allocations(), before);
}

static const char *const tables_expected[][2] = {
    {"/nested", "records"},
    {"/sparse", "sparse matrix (CSR)"},
    {"/climate/t", "netCDF variable"},
    {"/pandas", "pandas frame"},
    {"/climate/time", "dataset"},
    {"/climate", "group"},
};

TEST(tables, each_convention_is_known)
{
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    const int64_t before = test_live_allocations();
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_hdf5_open(vfs, conventions_file(), &file, err));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(tables_expected); i++) {
        basalt_hdf5_table table;
        CHECK_OK(bs_hdf5_describe_table(file, tables_expected[i][0], &table, err));
        CHECK(table.kind && !strcmp(table.kind, tables_expected[i][1]));
        CHECK_EQ(table.rows, i < 4 ? ROWS : 4);
    }
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
    CHECK_EQ(test_live_allocations(), before);
}

/* Every allocation refused in turn; *out_tour is that of the run that none was. */
static void look_without_memory(const char *path, struct tour *out_tour)
{
    struct bs_vfs *vfs = NULL;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        basalt_error why = {0};
        const basalt_status status = look_at_all(vfs, path, out_tour, &why);
        fault_stop();
        if (status && status != BASALT_NO_MEMORY) {
            test_fail(__FILE__, __LINE__, "step %" PRIu64 ": %d %s", step, status, why.message);
        }
        CHECK_EQ(test_live_allocations(), before);
    }
    bs_vfs_free(vfs);
}

TEST(tables, no_memory_for_a_convention_is_no_crash)
{
    struct tour tour;
    look_without_memory(conventions_file(), &tour);
    CHECK(tour.rows > 4 * ROWS);
}

TEST(tables, no_memory_is_no_crash)
{
    struct tour tour;
    look_without_memory(foreign_file(), &tour);
    CHECK_EQ(tour.rows, 12 * ROWS + 2);
}

/* ---- bytes that somebody damaged ---------------------------------------------------------------- */

static uint8_t *load_file(struct bs_vfs *vfs, const char *path, size_t *out_count)
{
    struct bs_file *file = NULL;
    uint64_t count = 0;
    CHECK_OK(bs_file_open(vfs, path, BS_OPEN_READ, &file, err));
    CHECK_OK(bs_file_size(file, &count, err));
    uint8_t *bytes = bs_alloc((size_t)count);
    CHECK_OK(bs_file_read_all_at(file, bytes, (size_t)count, 0, err));
    bs_file_close(file);
    *out_count = (size_t)count;
    return bytes;
}

static void store_file(struct bs_vfs *vfs, const char *path, const uint8_t *bytes, size_t count)
{
    struct bs_file *file = NULL;
    REQUIRE_OK(
        bs_file_open(vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_TRUNCATE, &file, err));
    CHECK_OK(bs_file_write_at(file, bytes, count, 0, err));
    bs_file_close(file);
}

/* Any bytes give rows or an error; ASan sees every byte that is read. */
static void damage(const uint8_t *bytes, size_t count, unsigned runs, uint64_t seed)
{
    struct bs_vfs *memory = NULL;
    struct tour tour;
    unsigned refusals = 0;
    REQUIRE_OK(bs_vfs_memory_create(&memory, err));
    const int64_t before = test_live_allocations();
    for (unsigned run = 0; run < runs; run++) {
        uint8_t *copy = bs_copy_bytes(bytes, count);
        for (uint64_t left = 1 + test_random(&seed) % 6; left > 0; left--) {
            const uint8_t wild[] = {(uint8_t)test_random(&seed), 0, 1, 0x7F, 0xFF};
            copy[test_random(&seed) % count] = wild[test_random(&seed) % sizeof wild];
        }
        store_file(memory, "/damaged.h5", copy, count);
        refusals += look_at_all(memory, "/damaged.h5", &tour, NULL) != BASALT_OK;
        CHECK_OK(memory->ops->remove(memory, "/damaged.h5", err));
        bs_free(copy);
    }
    CHECK(refusals > 0);
    CHECK_EQ(test_live_allocations(), before);
    bs_vfs_free(memory);
}

TEST(tables, damaged_files_are_refused_or_harmless)
{
    struct bs_vfs *vfs = NULL;
    size_t count;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    uint8_t *bytes = load_file(vfs, foreign_file(), &count);
    damage(bytes, count, 1000, 1);
    bs_free(bytes);
    bytes = load_file(vfs, conventions_file(), &count);
    damage(bytes, count, 1000, 3);
    bs_free(bytes);
    bs_vfs_free(vfs);
}

/* ---- what the store made ------------------------------------------------------------------------- */

/* A family of all types in the file /a.h5 of `env`'s file system. */
static void make_family(struct help_env *env, struct help_schema *schema, uint64_t rows)
{
    const basalt_store_options options = help_options(BASALT_READ_WRITE_CREATE);
    struct bs_store *store = NULL;
    help_env_open(env, NULL, 0);
    help_schema_open(schema, HELP_ALL_TYPES);
    REQUIRE_OK(bs_store_open(&env->parts, "/a.h5", &options, &store, err));
    CHECK_OK(bs_store_family_create(store, "all/of it", &schema->root, NULL, err));
    CHECK_OK(help_append(store, "all/of it", schema, 0, rows, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_close(&store, err));
}

TEST(tables, a_family_comes_back_as_it_went_in)
{
    struct help_env env;
    struct help_schema schema;
    struct bs_hdf5 *file = NULL;
    struct ArrowArrayStream stream;
    struct bs_schema *found = NULL;
    make_family(&env, &schema, 9000);
    REQUIRE_OK(bs_hdf5_open(env.parts.vfs, "/a.h5", &file, err));
    REQUIRE_OK(scan(file, "/all%2Fof it", 0, UINT64_MAX, &stream, err));
    CHECK_OK(bs_stream_schema(&stream, &found, err));
    CHECK_OK(bs_schema_match(schema.schema, found, err));
    bs_schema_release(found);
    help_check_stream(&stream, schema.schema, NULL, 0, 9000);
    REQUIRE_OK(scan(file, "all%2Fof it", 8100, 500, &stream, err));
    help_check_stream(&stream, schema.schema, NULL, 8100, 500);
    bs_hdf5_close(file);
    help_schema_close(&schema);
    help_env_close(&env);
}

/* By its own path a column is what it is in the table: its type, its name, its nulls. */
TEST(tables, a_column_of_a_family_comes_back_as_in_it)
{
    struct help_env env;
    struct help_schema schema;
    struct bs_hdf5 *file = NULL;
    make_family(&env, &schema, 900);
    REQUIRE_OK(bs_hdf5_open(env.parts.vfs, "/a.h5", &file, err));
    for (size_t i = 0; i < schema.schema->field_count; i++) {
        struct ArrowArrayStream stream;
        struct bs_schema *one = NULL, *found = NULL;
        char path[64];
        snprintf(path, sizeof path, "/all%%2Fof it/%s", schema.schema->fields[i].name);
        REQUIRE_OK(bs_schema_project(schema.schema, &i, 1, &one, err));
        REQUIRE_OK(scan(file, path, 100, 700, &stream, err));
        CHECK_OK(bs_stream_schema(&stream, &found, err));
        CHECK_OK(bs_schema_match(one, found, err));
        help_check_stream(&stream, one, &i, 100, 700);
        bs_schema_release(found);
        bs_schema_release(one);
    }
    bs_hdf5_close(file);
    help_schema_close(&schema);
    help_env_close(&env);
}

static basalt_status scan_family(
    struct bs_vfs *vfs, const char *path, uint64_t *rows, basalt_error *error)
{
    struct bs_hdf5 *file = NULL;
    struct ArrowArrayStream stream;
    *rows = 0;
    basalt_status status = bs_hdf5_open(vfs, "/a.h5", &file, error);
    if (!status) status = scan(file, path, 0, UINT64_MAX, &stream, error);
    if (!status) status = drain(&stream, rows, error);
    bs_hdf5_close(file);
    return status;
}

TEST(tables, a_family_without_memory_or_with_damage)
{
    struct help_env env;
    struct help_schema schema;
    uint64_t rows = 0;
    size_t count;
    make_family(&env, &schema, 60);
    const int64_t before = test_live_allocations();
    static const char *const paths[] = {"all/of it", "/all%2Fof it/nd", "all/of it/ni8"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(paths); i++) {
        EACH_FAULT (step) {
            const basalt_status status = scan_family(env.parts.vfs, paths[i], &rows, NULL);
            fault_stop();
            CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
            CHECK_EQ(test_live_allocations(), before);
        }
        CHECK_EQ(rows, 60);
    }
    uint8_t *bytes = load_file(env.parts.vfs, "/a.h5", &count);
    damage(bytes, count, 100, 2);
    bs_free(bytes);
    help_schema_close(&schema);
    help_env_close(&env);
}
