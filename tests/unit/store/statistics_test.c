/* statistics_test.c - what a file says of its chunks: records, trust, and what the store writes. */
#include "store/store_internal.h"
#include "tests/harness/faulty_vfs.h"
#include "tests/unit/store/store_help.h"

#include <errno.h>

#define COLUMN 3u

static const struct bs_field FLOAT_FIELD = {.kind = BS_KIND_FLOAT, .width_bytes = 8};

static struct bs_statistics_record record_of(uint64_t first_row, uint64_t rows, double min)
{
    return (struct bs_statistics_record){.column = COLUMN,
        .first_row = first_row,
        .address = 4096 + first_row,
        .stored_bytes = rows * 3,
        .values = {.rows = rows,
            .null_count = 2,
            .kind = BS_BOUNDS_FLOAT,
            .has_bounds = true,
            .min.f = min,
            .max.f = min + 1,
            .crc32c = 77}};
}

TEST(statistics, a_record_comes_back_and_a_changed_one_does_not)
{
    uint8_t bytes[BS_STATISTICS_RECORD_BYTES];
    struct bs_statistics_record record = record_of(8192, 100, -1.5), found;
    bs_statistics_encode(&record, bytes);
    CHECK(bs_statistics_decode(bytes, &found));
    CHECK_EQ(found.column, COLUMN);
    CHECK_EQ(found.first_row, 8192);
    CHECK_EQ(found.values.rows, 100);
    CHECK_EQ(found.values.null_count, 2);
    CHECK(found.values.has_bounds && !found.values.has_nan && found.values.min.f == -1.5);
    for (size_t i = 0; i < sizeof bytes * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK(!bs_statistics_decode(bytes, &found));
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    record.values.max.f = -2; /* below the minimum, with a sum that is right */
    bs_statistics_encode(&record, bytes);
    CHECK(!bs_statistics_decode(bytes, &found));
    record.values.has_bounds = false;
    record.values.null_count = 101;
    bs_statistics_encode(&record, bytes);
    CHECK(!bs_statistics_decode(bytes, &found));
}

/* ---- a file of such records ----------------------------------------------------------------------- */

struct made {
    struct bs_vfs *vfs;
    struct bs_file *file;
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
};

static void make_file(struct made *made, const struct bs_statistics_record *records, size_t count,
    uint64_t dataset_commit)
{
    struct bs_h5_writer *writer = NULL;
    struct bs_codec_scratch *scratch = NULL;
    struct bs_h5_node *own, *node;
    struct bs_h5_identity identity = {0};
    struct bs_h5_type *type = bs_statistics_type();
    const struct bs_h5_column_spec spec = {.type = type, .chunk_rows = 4};
    uint8_t bytes[16 * BS_STATISTICS_RECORD_BYTES];
    REQUIRE_OK(bs_vfs_memory_create(&made->vfs, err));
    REQUIRE_OK(bs_file_open(
        made->vfs, "/a.h5", BS_OPEN_READ | BS_OPEN_WRITE | BS_OPEN_CREATE, &made->file, err));
    REQUIRE_OK(bs_h5_writer_create(made->file, &identity, &writer, err));
    REQUIRE_OK(bs_codec_scratch_create(&scratch, err));
    REQUIRE_OK(bs_h5_make_group(writer, bs_h5_root(writer), "own", &own, err));
    REQUIRE_OK(bs_h5_make_column(writer, own, BS_STATISTICS_NAME, &spec, &node, err));
    REQUIRE_OK(bs_h5_set_attribute_u64(writer, node, "commit", dataset_commit, err));
    for (size_t i = 0; i < count; i++) {
        bs_statistics_encode(&records[i], bytes + i * BS_STATISTICS_RECORD_BYTES);
    }
    const struct bs_h5_piece piece = {bytes, NULL, count};
    REQUIRE_OK(bs_h5_append(writer, node, scratch, &piece, 1, err));
    REQUIRE_OK(bs_h5_prepare(writer, 1, 0, made->superblock, err));
    REQUIRE_OK(bs_h5_flip(writer, err));
    bs_h5_settle(writer);
    bs_h5_type_free(type);
    bs_codec_scratch_free(scratch);
    bs_h5_writer_close(writer);
}

static void close_file(struct made *made)
{
    bs_file_close(made->file);
    bs_vfs_free(made->vfs);
}

static basalt_status open_statistics(
    struct made *made, size_t column, struct bs_statistics **out, basalt_error *err)
{
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_object *own = NULL;
    *out = NULL;
    basalt_status status = bs_h5_file_open(made->file, &h5, err);
    if (!status) status = bs_h5_object_open_path(h5, "/own", &own, err);
    if (!status) status = bs_statistics_open(h5, own, column, &FLOAT_FIELD, out, err);
    bs_h5_object_close(own);
    bs_h5_file_close(h5);
    return status;
}

TEST(statistics, are_found_by_place_size_and_rows_and_the_last_counts)
{
    struct bs_statistics_record records[6];
    struct bs_chunk_statistics found;
    struct bs_statistics *statistics;
    struct made made;
    for (size_t i = 0; i < 5; i++) records[i] = record_of(i * 10, 10, (double)i);
    records[5] = record_of(20, 10, 99);
    make_file(&made, records, 6, 1);
    CHECK_OK(open_statistics(&made, COLUMN, &statistics, err));
    CHECK(statistics != NULL);
    CHECK(bs_statistics_find(statistics, 10, 10, 4106, 30, &found));
    CHECK(found.min.f == 1 && found.null_count == 2);
    CHECK(bs_statistics_find(statistics, 20, 10, 4116, 30, &found) && found.min.f == 99);
    CHECK(!bs_statistics_find(statistics, 10, 9, 4106, 30, &found));
    CHECK(!bs_statistics_find(statistics, 10, 10, 4107, 30, &found));
    CHECK(!bs_statistics_find(statistics, 10, 10, 4106, 31, &found));
    CHECK(!bs_statistics_find(statistics, 11, 10, 4106, 30, &found));
    CHECK(!bs_statistics_find(NULL, 10, 10, 4106, 30, &found));
    bs_statistics_free(statistics);
    CHECK_OK(open_statistics(&made, COLUMN + 1, &statistics, err));
    CHECK(statistics == NULL);
    close_file(&made);
}

TEST(statistics, of_a_root_that_somebody_else_wrote_are_not_trusted)
{
    const struct bs_statistics_record record = record_of(0, 10, 1);
    struct bs_h5_superblock decoded;
    struct bs_statistics *statistics;
    struct made made;
    make_file(&made, &record, 1, 1);
    REQUIRE_OK(bs_h5_superblock_decode(made.superblock, sizeof made.superblock, &decoded, err));
    decoded.end_of_file += 8; /* as another program leaves it */
    bs_h5_superblock_encode(&decoded, made.superblock);
    REQUIRE_OK(bs_file_write_at(made.file, "12345678", 8, decoded.end_of_file - 8, err));
    REQUIRE_OK(bs_file_write_at(made.file, made.superblock, sizeof made.superblock, 0, err));
    CHECK_OK(open_statistics(&made, COLUMN, &statistics, err));
    CHECK(statistics == NULL);
    close_file(&made);
    make_file(&made, &record, 1, 2); /* from a commit that there is not yet */
    CHECK_OK(open_statistics(&made, COLUMN, &statistics, err));
    CHECK(statistics == NULL);
    close_file(&made);
}

/* ---- what the store says of what it wrote --------------------------------------------------------- */

struct expected {
    uint64_t nulls, values, nans;
    double min_f, max_f;
    int64_t min_i, max_i;
    uint64_t min_u, max_u;
};

/* One value, by the generator's own number: nothing of the code under test. */
static void expect_value(
    struct expected *expected, const struct bs_field *field, size_t column, uint64_t row)
{
    uint8_t bytes[8] = {0};
    float narrow;
    double f = 0;
    if (help_is_null(field, column, row)) {
        expected->nulls++;
        return;
    }
    if (bs_bounds_kind_of(field) == BS_BOUNDS_NONE) return;
    help_fixed(field, column, row, bytes);
    const uint64_t u = bs_load_u64(bytes);
    const unsigned shift = 64 - field->width_bytes * 8;
    const int64_t i = (int64_t)(u << shift) >> shift;
    if (field->kind == BS_KIND_FLOAT && field->width_bytes == 8) memcpy(&f, bytes, 8);
    if (field->kind == BS_KIND_FLOAT && field->width_bytes == 4) {
        memcpy(&narrow, bytes, 4);
        f = (double)narrow;
    }
    if (field->kind == BS_KIND_FLOAT && field->width_bytes == 2) f = bs_half((uint16_t)u);
    if (f != f) {
        expected->nans++;
        return;
    }
    const bool first = !expected->values++;
    expected->min_f = first || f < expected->min_f ? f : expected->min_f;
    expected->max_f = first || f > expected->max_f ? f : expected->max_f;
    expected->min_i = first || i < expected->min_i ? i : expected->min_i;
    expected->max_i = first || i > expected->max_i ? i : expected->max_i;
    expected->min_u = first || u < expected->min_u ? u : expected->min_u;
    expected->max_u = first || u > expected->max_u ? u : expected->max_u;
}

static bool is_expected(const struct bs_chunk_statistics *found, const struct expected *expected)
{
    if (found->null_count != expected->nulls) return false;
    if (found->kind == BS_BOUNDS_NONE) return !found->has_bounds;
    if (found->has_bounds != (expected->values > 0)) return false;
    if (found->has_nan != (expected->nans > 0)) return false;
    if (!found->has_bounds) return true;
    switch (found->kind) {
    case BS_BOUNDS_FLOAT: return found->min.f == expected->min_f && found->max.f == expected->max_f;
    case BS_BOUNDS_SIGNED:
        return found->min.i == expected->min_i && found->max.i == expected->max_i;
    default: return found->min.u == expected->min_u && found->max.u == expected->max_u;
    }
}

struct comparing {
    const struct bs_field *field;
    size_t column;
    const struct bs_statistics *statistics;
    uint64_t rows, chunk_rows, first;
    uint64_t chunks, found, wrong;
};

static basalt_status compare_chunk(
    void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    struct comparing *comparing = context;
    struct bs_chunk_statistics found;
    struct expected expected = {0};
    const uint64_t first = chunk->offset[0];
    const uint64_t rows = BS_MIN(comparing->chunk_rows, comparing->rows - first);
    (void)err;
    comparing->chunks++;
    if (!bs_statistics_find(
            comparing->statistics, first, rows, chunk->address, chunk->stored_bytes, &found)) {
        return BASALT_OK;
    }
    comparing->found++;
    for (uint64_t row = first; row < first + rows; row++) {
        expect_value(&expected, comparing->field, comparing->column, row);
    }
    comparing->wrong += !is_expected(&found, &expected);
    return BASALT_OK;
}

/* Chunks, chunks with statistics, and wrong ones, of all columns of family "a". */
static void compare_file(struct help_env *env, const struct help_schema *schema,
    uint64_t *out_chunks, uint64_t *out_found, uint64_t *out_wrong)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_object *own = NULL;
    *out_chunks = *out_found = *out_wrong = 0;
    REQUIRE_OK(bs_file_open(env->parts.vfs, "/a.h5", BS_OPEN_READ, &file, err));
    REQUIRE_OK(bs_h5_file_open(file, &h5, err));
    REQUIRE_OK(bs_h5_object_open_path(h5, "/a/.basalt", &own, err));
    for (size_t i = 0; i < schema->schema->field_count; i++) {
        struct comparing comparing = {.field = &schema->schema->fields[i], .column = i};
        struct bs_statistics *statistics = NULL;
        struct bs_h5_object *object = NULL;
        char path[64];
        snprintf(path, sizeof path, "/a/%s%s", comparing.field->name,
            bs_field_form(comparing.field) == BS_FORM_MASKED ? "/values" : "");
        REQUIRE_OK(bs_statistics_open(h5, own, i, comparing.field, &statistics, err));
        REQUIRE_OK(bs_h5_object_open_path(h5, path, &object, err));
        comparing.statistics = statistics;
        comparing.rows = bs_h5_object_dataset(object)->space.dims[0];
        comparing.chunk_rows = bs_h5_object_dataset(object)->chunk_dims[0];
        CHECK_OK(bs_h5_chunks_each(h5, object, compare_chunk, &comparing, err));
        *out_chunks += comparing.chunks;
        *out_found += comparing.found;
        *out_wrong += comparing.wrong;
        bs_h5_object_close(object);
        bs_statistics_free(statistics);
    }
    bs_h5_object_close(own);
    bs_h5_file_close(h5);
    bs_file_close(file);
}

static void show_finding(void *context, basalt_finding finding, const char *sentence)
{
    (void)context;
    (void)finding;
    printf("%s\n", sentence);
}

static void check_verified(struct help_env *env, uint64_t faults_expected)
{
    uint64_t faults = UINT64_MAX;
    CHECK_OK(bs_store_verify(
        &env->parts, "/a.h5", faults_expected ? NULL : show_finding, NULL, NULL, &faults, err));
    CHECK_EQ(faults, faults_expected);
}

struct plan {
    uint64_t step, steps; /* rows of a checkpoint, checkpoints of a session */
    unsigned sessions;
    uint64_t chunk_rows;
    int level;
    unsigned threads;
};

/* Sessions that end with a clean close; one in three is killed first, after its rows were committed. */
static void run_plan(
    struct help_env *env, const struct help_schema *schema, const struct plan *plan)
{
    uint64_t rows = 0;
    for (unsigned session = 0; session < plan->sessions; session++) {
        basalt_store_options options =
            help_options(session ? BASALT_READ_WRITE : BASALT_CREATE_NEW);
        struct bs_store *store = NULL;
        options.log_segment_bytes = 64 << 20;
        options.grace_ms = 0;
        REQUIRE_OK(bs_store_open(&env->parts, "/a.h5", &options, &store, err));
        if (!session) {
            basalt_family_options family;
            bs_family_options_fill(&family, NULL);
            family.chunk_rows = plan->chunk_rows;
            family.compression_level = plan->level;
            REQUIRE_OK(bs_store_family_create(store, "a", &schema->root, &family, err));
        }
        for (uint64_t i = 0; i < plan->steps; i++, rows += plan->step) {
            CHECK_OK(help_append(store, "a", schema, rows, plan->step, BASALT_BUFFERED, err));
            CHECK_OK(bs_store_checkpoint(store, err));
        }
        if (session % 3 == 1) {
            bs_store_abandon(store);
            check_verified(env, 0);
            REQUIRE_OK(bs_store_open(&env->parts, "/a.h5", &options, &store, err));
        }
        CHECK_OK(bs_store_close(&store, err));
        check_verified(env, 0);
    }
}

static void check_plan(const char *spec, const struct plan *plan)
{
    struct help_env env;
    struct help_schema schema;
    uint64_t chunks, found, wrong;
    help_env_open(&env, NULL, plan->threads);
    help_schema_open(&schema, spec);
    run_plan(&env, &schema, plan);
    compare_file(&env, &schema, &chunks, &found, &wrong);
    CHECK(chunks >= schema.schema->field_count);
    CHECK_EQ(found, chunks); /* of a closed file: of every chunk */
    CHECK_EQ(wrong, 0);
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(statistics, of_all_types_equal_what_the_rows_are)
{
    for (int level = 0; level < 2; level++) {
        const struct plan plan = {.step = 733,
            .steps = 4,
            .sessions = 5,
            .chunk_rows = 1000,
            .level = level,
            .threads = 2};
        check_plan(HELP_ALL_TYPES, &plan);
    }
}

TEST(statistics, of_chunks_that_fill_over_many_sessions)
{
    for (int level = 0; level < 2; level++) {
        const struct plan plan = {
            .step = 90, .steps = 1, .sessions = 18, .chunk_rows = 500, .level = level};
        check_plan("t:l,x:g?,n:i?,s:u?,b:b", &plan);
    }
}

TEST(statistics, go_on_after_the_chunks_have_grown)
{
    const struct plan plan = {.step = 131000, .steps = 3, .sessions = 2, .level = 1, .threads = 2};
    check_plan("t:l,x:g?,n:s?,b:b?,s:u", &plan);
}

/* As another program would: the rows and the sum behind them. */
static basalt_status edit_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    uint8_t bytes[8004];
    struct bs_file *file = context;
    CHECK_EQ(chunk->stored_bytes, sizeof bytes);
    basalt_status status = bs_file_read_all_at(file, bytes, sizeof bytes, chunk->address, err);
    bs_store_u64(bytes + 80, UINT64_MAX / 2);
    bs_store_u32(bytes + 8000, bs_fletcher32(bytes, 8000));
    return status ? status : bs_file_write_at(file, bytes, sizeof bytes, chunk->address, err);
}

TEST(statistics, of_a_file_that_was_edited_in_place_are_found_and_mended)
{
    const struct plan plan = {
        .step = 5000, .steps = 2, .sessions = 1, .chunk_rows = 1000, .level = 0};
    struct help_env env;
    struct help_schema schema;
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_object *object = NULL;
    uint64_t chunks, found, wrong, records;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g?");
    run_plan(&env, &schema, &plan);
    REQUIRE_OK(bs_file_open(env.parts.vfs, "/a.h5", BS_OPEN_READ | BS_OPEN_WRITE, &file, err));
    REQUIRE_OK(bs_h5_file_open(file, &h5, err));
    REQUIRE_OK(bs_h5_object_open_path(h5, "/a/t", &object, err));
    CHECK_OK(bs_h5_chunks_each(h5, object, edit_chunk, file, err));
    bs_h5_object_close(object);
    bs_h5_file_close(h5);
    bs_file_close(file);
    check_verified(&env, 10); /* a chunk of column t each */
    CHECK_OK(bs_store_rebuild_statistics(&env.parts, "/a.h5", &records, err));
    check_verified(&env, 0);
    compare_file(&env, &schema, &chunks, &found, &wrong);
    CHECK_EQ(records, chunks);
    CHECK_EQ(found, chunks);
    CHECK_EQ(wrong, 10); /* rows are no longer the generator's, and statistics are the rows' */
    help_schema_close(&schema);
    help_env_close(&env);
}

/* ---- when something fails ------------------------------------------------------------------------- */

static basalt_status count_rows(struct bs_store *store, uint64_t *out_rows, basalt_error *err)
{
    struct bs_snapshot *snapshot = NULL;
    *out_rows = 0;
    basalt_status status = bs_snapshot_create(store, &snapshot, err);
    if (!status) status = bs_snapshot_rows(snapshot, "a", out_rows, err);
    bs_snapshot_close(&snapshot);
    return status;
}

/* Goes on behind the rows that there are, which an append that failed may have left. */
static basalt_status fill(struct help_env *env, const struct help_schema *schema, basalt_error *err)
{
    basalt_store_options options = help_options(BASALT_READ_WRITE_CREATE);
    struct bs_store *store = NULL;
    uint64_t chunks, rows = 0;
    basalt_family_options family;
    bs_family_options_fill(&family, NULL);
    family.chunk_rows = 50;
    options.log_segment_bytes = 64 << 10;
    options.grace_ms = 0;
    basalt_status status = bs_store_open(&env->parts, "/a.h5", &options, &store, err);
    if (status) return status;
    status = bs_store_family_create(store, "a", &schema->root, &family, err);
    if (status == BASALT_EXISTS) status = BASALT_OK;
    if (!status) status = count_rows(store, &rows, err);
    for (unsigned i = 0; i < 2 && !status; i++, rows += 70) {
        status = help_append(store, "a", schema, rows, 70, BASALT_BUFFERED, err);
        if (!status) status = bs_store_checkpoint(store, err);
    }
    basalt_error close_err = {0};
    const basalt_status closed = bs_store_close(&store, &close_err);
    if (!status && closed && err) *err = close_err;
    if (status || closed) return status ? status : closed;
    return bs_store_rebuild_statistics(&env->parts, "/a.h5", &chunks, err);
}

static basalt_status remove_file(void *context, const char *name, basalt_error *err)
{
    struct bs_vfs *vfs = context;
    char path[256];
    snprintf(path, sizeof path, "/%s", name);
    return vfs->ops->remove(vfs, path, err);
}

static void fail_each(const struct faulty_options *options)
{
    struct bs_vfs *memory = NULL;
    struct help_env env;
    struct help_schema schema;
    REQUIRE_OK(bs_vfs_memory_create(&memory, err));
    help_env_open(&env, faulty_create(memory, options), 0);
    help_schema_open(&schema, options ? "n:i?" : "x:g?,note:u?");
    EACH_FAULT_BY (step, 17) {
        const int64_t before = test_live_allocations();
        uint64_t chunks, found, wrong;
        (void)fill(&env, &schema, NULL);
        fault_stop();
        REQUIRE_OK(fill(&env, &schema, err));
        compare_file(&env, &schema, &chunks, &found, &wrong);
        CHECK_EQ(found, chunks);
        CHECK_EQ(wrong, 0);
        check_verified(&env, 0);
        CHECK_OK(memory->ops->list(memory, "/", remove_file, memory, err));
        CHECK_EQ(test_live_allocations(), before);
    }
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(statistics, are_right_after_each_step_that_fails)
{
    fail_each(NULL);
}

TEST(statistics, are_right_after_half_writes_and_a_full_disk)
{
    const struct faulty_options options = {.os_errno = ENOSPC,
        .operations = FAULTY_WRITE | FAULTY_SET_SIZE | FAULTY_RESERVE | FAULTY_SYNC,
        .partial_writes = true,
        .no_log_memory = true};
    fail_each(&options);
}
