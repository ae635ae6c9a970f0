/* pull_test.c - many queries at once over the tables of many files, one of which is being written:
 * each with as many threads as it is given, which take the next piece by a counter, as the scan of
 * the DuckDB extension does. Some queries share tables, some have opened their own, some are
 * cancelled and some end early. What is read is right, and the thread sanitizer has nothing to say. */
#include "sched/sched.h"
#include "tables/tables.h"
#include "tests/unit/store/store_help.h"

#include <hdf5.h>

#define FILES 32 /* the last one is the store's */
#define QUERIES 8
#define PULLERS_MAX 16
#define ROUNDS 32
#define ROWS 1200
#define CHUNK_ROWS 256
#define WRITE_ROWS 50
#define WRITES_MAX 4000

static int64_t value_at(unsigned file, uint64_t row)
{
    return (int64_t)(row * 31 + file * 1000003u);
}

static void make_file(const char *path, unsigned which)
{
    const hsize_t dims[1] = {ROWS}, chunk[1] = {CHUNK_ROWS};
    static int64_t values[ROWS];
    for (unsigned i = 0; i < ROWS; i++) values[i] = value_at(which, i);
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t made = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, dims, NULL);
    H5Pset_chunk(made, 1, chunk);
    if (which % 2) H5Pset_deflate(made, 1);
    const hid_t dataset =
        H5Dcreate2(file, "t", H5T_NATIVE_INT64, space, H5P_DEFAULT, made, H5P_DEFAULT);
    CHECK(H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(made);
    H5Fclose(file);
}

/* ---- tables ------------------------------------------------------------------------------------ */

struct place {
    struct bs_vfs *vfs;
    char paths[FILES][300];
    struct help_schema schema;
    _Atomic uint64_t rows; /* that a checkpoint has shown */
    atomic_bool ending;
};

struct tables {
    struct bs_hdf5 *files[FILES];
    struct bs_table *tables[FILES];
    uint64_t rows[FILES], pieces; /* pieces: of all of them, CHUNK_ROWS rows each */
};

static basalt_status tables_open(struct place *place, const struct basalt_cancel *cancel,
    struct tables *out, basalt_error *error)
{
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX, .cancel = cancel};
    basalt_status status = BASALT_OK;
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; !status && i < FILES; i++) {
        basalt_hdf5_table_info info = {0};
        status = bs_hdf5_open(place->vfs, place->paths[i], &out->files[i], error);
        if (!status) {
            status = bs_hdf5_table_open(
                out->files[i], i < FILES - 1 ? "/t" : "/live", &options, &out->tables[i], error);
        }
        if (status) break;
        bs_table_info(out->tables[i], &info);
        out->rows[i] = info.rows;
        out->pieces += (info.rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
    }
    return status;
}

static void tables_close(struct tables *tables)
{
    for (unsigned i = 0; i < FILES; i++) {
        bs_table_free(tables->tables[i]);
        bs_hdf5_close(tables->files[i]);
    }
}

/* The table that a piece is of, and which of its pieces it is. */
static unsigned table_of(const struct tables *tables, uint64_t *piece)
{
    unsigned at = 0;
    for (; at < FILES - 1; at++) {
        const uint64_t pieces = (tables->rows[at] + CHUNK_ROWS - 1) / CHUNK_ROWS;
        if (*piece < pieces) break;
        *piece -= pieces;
    }
    return at;
}

/* ---- a query ----------------------------------------------------------------------------------- */

struct query {
    struct place *place;
    struct tables *tables; /* shared, or its own */
    struct basalt_cancel cancel;
    unsigned pullers;
    uint64_t cancel_at, end_at; /* pieces; UINT64_MAX: never */
    _Atomic uint64_t next, rows, wrong, failed;
};

static uint64_t wrong_rows(
    const struct place *place, unsigned which, uint64_t first, const struct ArrowArray *array)
{
    const int64_t *values = array->children[0]->buffers[1];
    uint64_t wrong = 0;
    for (int64_t i = 0; i < array->length; i++) {
        const uint64_t row = first + (uint64_t)i;
        wrong += which < FILES - 1 ? values[i] != value_at(which, row)
                                   : !help_value_is(&place->schema.schema->fields[0], 0,
                                         array->children[0], (uint64_t)i, row);
    }
    return wrong;
}

/* A cursor is of one table; it is closed when the next piece is of another. */
static void pull(void *context)
{
    struct query *query = context;
    const struct tables *tables = query->tables;
    struct bs_table_cursor *cursor = NULL;
    unsigned open = FILES;
    basalt_status status = BASALT_OK;
    for (;;) {
        uint64_t piece = atomic_fetch_add(&query->next, 1);
        if (piece >= tables->pieces || piece >= query->end_at) break;
        if (piece >= query->cancel_at) bs_cancel_request(&query->cancel.cancel);
        const unsigned which = table_of(tables, &piece);
        const uint64_t first = piece * CHUNK_ROWS;
        const uint64_t rows = BS_MIN((uint64_t)CHUNK_ROWS, tables->rows[which] - first);
        struct ArrowArray array = {0};
        if (open != which) {
            bs_cursor_close(cursor);
            cursor = NULL;
            open = which;
            status = bs_hdf5_cursor_open(
                tables->files[which], tables->tables[which], NULL, 0, &cursor, NULL);
        }
        if (!status) status = bs_cursor_read(cursor, first, rows, &array, NULL);
        if (status) break;
        atomic_fetch_add(&query->wrong, wrong_rows(query->place, which, first, &array));
        atomic_fetch_add(&query->rows, rows);
        array.release(&array);
    }
    bs_cursor_close(cursor);
    const bool cancelled = status == BASALT_CANCELLED && query->cancel_at != UINT64_MAX;
    if (status && !cancelled) atomic_fetch_add(&query->failed, 1);
}

static uint64_t all_rows(const struct tables *tables)
{
    uint64_t rows = 0;
    for (unsigned i = 0; i < FILES; i++) rows += tables->rows[i];
    return rows;
}

/* With tables of its own if it has none yet. */
static void run_query(void *context)
{
    struct query *query = context;
    struct bs_thread *threads[PULLERS_MAX] = {NULL};
    struct tables own;
    const bool shares = query->tables != NULL;
    const uint64_t shown = atomic_load(&query->place->rows);
    if (!shares) {
        query->tables = &own;
        if (tables_open(query->place, &query->cancel, &own, NULL)) {
            atomic_fetch_add(&query->failed, 1);
            tables_close(&own);
            return;
        }
        if (own.rows[FILES - 1] < shown) atomic_fetch_add(&query->wrong, 1);
    }
    for (unsigned i = 0; i < query->pullers; i++) {
        if (bs_thread_start("puller", pull, query, &threads[i], NULL)) break;
    }
    for (unsigned i = 0; i < query->pullers; i++) bs_thread_join(threads[i]);
    const bool whole = query->cancel_at == UINT64_MAX && query->end_at == UINT64_MAX;
    if (whole && atomic_load(&query->rows) != all_rows(query->tables)) {
        atomic_fetch_add(&query->wrong, 1);
    }
    if (!shares) tables_close(&own);
}

/* Eight at once: 1 to 16 threads each; of those with tables of their own every other is cancelled, of those
 * that share them every other ends early. */
static void run_round(struct place *place, struct tables *shared, unsigned round)
{
    static struct query queries[QUERIES];
    struct bs_thread *threads[QUERIES] = {NULL};
    for (unsigned i = 0; i < QUERIES; i++) {
        struct query *query = &queries[i];
        memset(query, 0, sizeof *query);
        query->place = place;
        query->tables = i % 2 ? shared : NULL;
        query->pullers = (round * QUERIES + i) * 5 % PULLERS_MAX + 1;
        query->cancel_at = i % 4 == 2 ? 20 + i : UINT64_MAX;
        query->end_at = i % 4 == 3 ? 30 + i : UINT64_MAX;
        CHECK_OK(bs_thread_start("query", run_query, query, &threads[i], err));
    }
    for (unsigned i = 0; i < QUERIES; i++) {
        bs_thread_join(threads[i]);
        CHECK_EQ(queries[i].wrong, 0);
        CHECK_EQ(queries[i].failed, 0);
        CHECK(queries[i].rows > 0);
    }
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
    for (uint64_t i = 0; !status && i < WRITES_MAX && !atomic_load(&place->ending); i++) {
        status = help_append(
            store, "live", &place->schema, i * WRITE_ROWS, WRITE_ROWS, BASALT_BUFFERED, NULL);
        if (!status) status = bs_store_checkpoint(store, NULL);
        if (!status) atomic_store(&place->rows, (i + 1) * WRITE_ROWS);
    }
    growth->status = status;
    atomic_store(&place->ending, true);
    bs_store_abandon(store); /* a clean close would wait for readers */
}

TEST(tables_pull, eight_queries_of_up_to_sixteen_threads_beside_a_writer)
{
    static struct place place;
    struct bs_thread *writer = NULL;
    struct help_env env;
    struct growth growth = {&place, &env, BASALT_OK};
    uint64_t seen = 0, grown = 0;
    REQUIRE_OK(bs_vfs_local_create(&place.vfs, err));
    help_env_open(&env, place.vfs, 0);
    help_schema_open(&place.schema, "t:l");
    for (unsigned i = 0; i < FILES; i++) {
        char name[20];
        snprintf(name, sizeof name, "pull-%u.h5", i);
        snprintf(place.paths[i], sizeof place.paths[i], "%s", test_path(name));
        if (i < FILES - 1) make_file(place.paths[i], i);
    }
    CHECK_OK(bs_thread_start("writer", grow, &growth, &writer, err));
    while (!atomic_load(&place.rows) && !atomic_load(&place.ending)) bs_thread_yield();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct tables shared;
        basalt_error error = {0};
        const basalt_status status = tables_open(&place, NULL, &shared, &error);
        if (status) test_fail(__FILE__, __LINE__, "%s", error.message);
        if (!status) run_round(&place, &shared, round);
        grown += shared.rows[FILES - 1] > seen;
        seen = shared.rows[FILES - 1];
        tables_close(&shared);
    }
    atomic_store(&place.ending, true);
    bs_thread_join(writer);
    CHECK_EQ(growth.status, BASALT_OK);
    CHECK(grown > 1);
    help_schema_close(&place.schema);
    help_env_close(&env);
}
