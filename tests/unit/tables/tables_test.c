/* tables_test.c - tables out of files that libhdf5 and the store made. That every type comes out value
 * for value is shown by tests/interop/tables.py; here memory runs short and bytes are damaged. */
#include "tests/unit/store/store_help.h"
#include "tests/unit/tables/tables_fixture.h"

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
    /* The root, 4 datasets, the frame with its index and two columns, of two datasets each, or three. */
    CHECK_EQ(tour.objects, 15);
    CHECK_EQ(tour.links, 1);
    CHECK_EQ(tour.attributes, 8);
    /* The root, 4 datasets, the frame and its 2 columns, the 5 datasets in it, 2 categories. */
    CHECK_EQ(tour.rows, ROWS + 4 * ROWS + 3 * ROWS + 4 * ROWS + 6);
    bs_vfs_free(vfs);
    CHECK_EQ(test_live_allocations(), before);
}

struct chunk_count {
    unsigned count, stop_at;
    uint64_t bytes, last;
};

static bool note_chunk(void *context, const basalt_hdf5_chunk *chunk)
{
    struct chunk_count *seen = context;
    CHECK_EQ(chunk->rank, 1);
    CHECK(chunk->file_offset > 0);
    seen->bytes += chunk->stored_bytes;
    seen->last = chunk->offset[0];
    return ++seen->count != seen->stop_at;
}

TEST(tables, chunks_are_listed)
{
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct chunk_count all = {0}, two = {.stop_at = 2};
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_hdf5_open(vfs, foreign_file(), &file, err));
    CHECK_OK(bs_hdf5_each_chunk(file, "/chunked", note_chunk, &all, err));
    CHECK_EQ(all.count, (ROWS + 6) / 7);
    CHECK_EQ(all.last, ROWS / 7 * 7);
    CHECK(all.bytes > 0);
    CHECK_OK(bs_hdf5_each_chunk(file, "/chunked", note_chunk, &two, err));
    CHECK_EQ(two.count, 2);
    CHECK_EQ(bs_hdf5_each_chunk(file, "/cube", note_chunk, &all, NULL), BASALT_UNSUPPORTED);
    CHECK_EQ(bs_hdf5_each_chunk(file, "/frame", note_chunk, &all, NULL), BASALT_UNSUPPORTED);
    CHECK_EQ(bs_hdf5_each_chunk(file, "/none", note_chunk, &all, NULL), BASALT_NOT_FOUND);
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
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
        basalt_hdf5_table_info table;
        CHECK_OK(bs_hdf5_describe_table(file, tables_expected[i][0], &table, err));
        CHECK(table.kind && !strcmp(table.kind, tables_expected[i][1]));
        CHECK_EQ(table.rows, i < 4 ? ROWS : 4);
    }
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
    CHECK_EQ(test_live_allocations(), before);
}

/* The formats of the columns of "/times", which a fixture has in the order of names. */
TEST(tables, a_unit_and_a_zone_are_an_instant)
{
    static const char *const formats[3][5] = {
        {"l", "tsu:Europe/Berlin", "l", "l", "tsn:"},    /* BASALT_HDF5_UNITS_ZONED */
        {"tsm:", "tsu:Europe/Berlin", "l", "l", "tsn:"}, /* _ALL */
        {"l", "l", "l", "l", "l"}};                      /* _NONE */
    basalt_hdf5 *file = NULL;
    REQUIRE_OK(basalt_hdf5_open(conventions_file(), &file, err));
    for (int how = 0; how < 3; how++) {
        basalt_hdf5_scan_options options;
        basalt_hdf5_table *table = NULL;
        struct ArrowSchema schema = {0};
        basalt_hdf5_scan_options_init(&options, sizeof options);
        options.units = (basalt_hdf5_units)how;
        REQUIRE_OK(basalt_hdf5_table_open(file, "/times", &options, &table, err));
        REQUIRE_OK(basalt_hdf5_table_schema(table, &schema, err));
        CHECK_EQ(schema.n_children, 5);
        for (int64_t i = 0; i < 5 && i < schema.n_children; i++) {
            CHECK_TEXT(schema.children[i]->format, formats[how][i]);
        }
        CHECK(schema.n_children == 5 && schema.children[2]->metadata != NULL);
        schema.release(&schema);
        basalt_hdf5_table_close(&table);
    }
    basalt_hdf5_close(&file);
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
    CHECK_EQ(tour.rows, 12 * ROWS + 6);
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

/* What a reader sees is not reused while it looks: the writer finds its lock. */
TEST(tables, a_file_of_basalt_is_pinned_while_it_is_open)
{
    struct help_env env;
    struct help_schema schema;
    struct bs_hdf5 *file = NULL;
    struct bs_file *other = NULL;
    struct bs_lock_holder holder;
    make_family(&env, &schema, 60);
    REQUIRE_OK(bs_hdf5_open(env.parts.vfs, "/a.h5", &file, err));
    REQUIRE_OK(bs_file_open(env.parts.vfs, "/a.h5", BS_OPEN_READ, &other, err));
    CHECK_OK(
        other->ops->probe(other, BS_LOCK_EXCLUSIVE, BS_LOCK_PIN, UINT64_MAX / 4, &holder, err));
    CHECK(holder.held);
    CHECK(holder.start > BS_LOCK_PIN);
    bs_hdf5_close(file);
    CHECK_OK(
        other->ops->probe(other, BS_LOCK_EXCLUSIVE, BS_LOCK_PIN, UINT64_MAX / 4, &holder, err));
    CHECK(!holder.held);
    bs_file_close(other);
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
