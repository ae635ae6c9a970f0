/* recorder_cases.h - what the tests of the recorder share: an environment, batches, a held thread. */
#ifndef BS_RECORDER_CASES_H
#define BS_RECORDER_CASES_H

#include "recorder/recorder.h"
#include "tests/harness/test.h"

struct stage { /* an environment in parts */
    struct bs_env_parts parts;
    struct bs_budget *budget;
    struct bs_vfs *vfs;
};

static inline basalt_status stage_open(struct stage *stage, bool memory, basalt_error *err)
{
    *stage = (struct stage){.vfs = NULL};
    basalt_status status = bs_budget_create(NULL, "test", (uint64_t)1 << 30, &stage->budget, err);
    if (!status) {
        status =
            memory ? bs_vfs_memory_create(&stage->vfs, err) : bs_vfs_local_create(&stage->vfs, err);
    }
    stage->parts = (struct bs_env_parts){.budget = stage->budget, .vfs = stage->vfs};
    return status;
}

static inline void stage_close(struct stage *stage)
{
    bs_vfs_free(stage->vfs);
    if (stage->budget) bs_budget_free(stage->budget);
}

static inline basalt_recorder_options default_options(void)
{
    basalt_recorder_options options = {0};
    if (bs_recorder_options_fill(&options, NULL, NULL)) options.struct_bytes = 0;
    options.store.log_segment_bytes = (uint64_t)1 << 20;
    options.store.grace_ms = 0;
    return options;
}

static inline void no_release(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

/* {t: int64, v: double, label: utf8}, or with `other` v a float. Plain data: need not be released. */
struct test_schema {
    struct ArrowSchema fields[3], *children[3], root;
};

static inline void test_schema_make(struct test_schema *schema, bool other)
{
    static const char *const names[] = {"t", "v", "label"};
    const char *const formats[] = {"l", other ? "f" : "g", "u"};
    for (size_t i = 0; i < 3; i++) {
        schema->fields[i] =
            (struct ArrowSchema){.format = formats[i], .name = names[i], .release = no_release};
        schema->children[i] = &schema->fields[i];
    }
    schema->root = (struct ArrowSchema){.format = "+s",
        .name = "",
        .n_children = 3,
        .children = schema->children,
        .release = no_release};
}

/* Rows first, first + 1, ...: t is the number, v half of it, label "row N", or bytes that are not
 * UTF-8 if `spoiled`. */
static inline basalt_status fill_batch(
    struct bs_array_builder *builder, uint64_t first, uint64_t rows, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    void *t = NULL, *v = NULL;
    BS_TRY(bs_array_builder_reserve(builder, 0, rows, &t, err));
    BS_TRY(bs_array_builder_reserve(builder, 1, rows, &v, err));
    for (uint64_t i = 0; i < rows; i++) {
        char text[32];
        ((int64_t *)t)[i] = (int64_t)(first + i);
        ((double *)v)[i] = (double)(first + i) / 2;
        const int count = snprintf(text, sizeof text, "row %" PRIu64, first + i);
        BS_TRY(bs_array_builder_put_text(builder, 2, text, (size_t)count, err));
    }
out:
    return status;
}

static inline basalt_status make_batch(
    uint64_t first, uint64_t rows, bool spoiled, struct ArrowArray *out_array, basalt_error *err)
{
    struct test_schema arrow;
    struct bs_schema *schema = NULL;
    struct bs_array_builder *builder = NULL;
    basalt_status status = BASALT_OK;
    out_array->release = NULL;
    test_schema_make(&arrow, false);
    BS_TRY(bs_schema_import(&arrow.root, &schema, err));
    BS_TRY(bs_array_builder_create(schema, rows, &builder, err));
    BS_TRY(fill_batch(builder, first, rows, err));
    BS_TRY(bs_array_builder_finish(&builder, out_array, err));
    if (spoiled) memset((void *)(uintptr_t)out_array->children[2]->buffers[2], 0xff, 3);
out:
    bs_array_builder_free(builder);
    bs_schema_release(schema);
    return status;
}

/* Sends rows; on failure releases the array, after checking that it stayed the caller's. */
static inline basalt_status send_rows(struct bs_recorder *recorder, const char *instrument,
    uint64_t first, uint64_t rows, basalt_done_fn done, void *context, basalt_error *err)
{
    struct ArrowArray array;
    struct test_schema schema;
    test_schema_make(&schema, false);
    basalt_status status = make_batch(first, rows, false, &array, err);
    if (status) return status;
    status = bs_recorder_write(recorder, instrument, &array, &schema.root, done, context, err);
    CHECK((array.release == NULL) == (status == BASALT_OK));
    if (array.release) array.release(&array);
    return status;
}

/* ---- what the file says, after the recorder is gone ------------------------------------------ */

static inline uint64_t rows_in_file(const struct stage *stage, const char *path, const char *family)
{
    basalt_store_options options;
    struct bs_store *store = NULL;
    struct bs_snapshot *snapshot = NULL;
    uint64_t rows = UINT64_MAX;
    basalt_error error = {0};
    bs_store_options_fill(&options, NULL);
    options.access = BASALT_READ_CHECKPOINT;
    basalt_status status = bs_store_open(&stage->parts, path, &options, &store, &error);
    if (!status) status = bs_snapshot_create(store, &snapshot, &error);
    if (!status) status = bs_snapshot_rows(snapshot, family, &rows, &error);
    bs_snapshot_close(&snapshot);
    if (store && bs_store_close(&store, NULL)) rows = UINT64_MAX;
    if (status) fprintf(stderr, "    %s: %s\n", family, error.message);
    return status ? UINT64_MAX : rows;
}

/* bs_free it; NULL if there is none. */
static inline char *attribute_in_file(
    const struct stage *stage, const char *path, const char *family, const char *name)
{
    basalt_store_options options;
    struct bs_store *store = NULL;
    char *value = NULL;
    bs_store_options_fill(&options, NULL);
    options.access = BASALT_READ_CHECKPOINT;
    if (!bs_store_open(&stage->parts, path, &options, &store, NULL)) {
        if (bs_store_get_attribute(store, family, name, &value, NULL)) value = NULL;
        if (bs_store_close(&store, NULL)) test_fail(__FILE__, __LINE__, "close failed");
    }
    return value;
}

#define CHECK_ATTRIBUTE(stage, path, family, name, expected)                                       \
    do {                                                                                           \
        char *found_ = attribute_in_file(stage, path, family, name);                               \
        CHECK_TEXT(found_, expected);                                                              \
        bs_free(found_);                                                                           \
    } while (0)

/* ---- a gate that holds the recorder's thread in a callback ----------------------------------- */

struct gate {
    bs_mutex lock;
    bs_condition changed;
    bool open, reached;
    unsigned done, failed;
    basalt_status last_failure;
};

static inline void gate_init(struct gate *gate)
{
    *gate = (struct gate){.open = false};
    bs_mutex_init(&gate->lock);
    bs_condition_init(&gate->changed);
}

static inline void gate_destroy(struct gate *gate)
{
    bs_condition_destroy(&gate->changed);
    bs_mutex_destroy(&gate->lock);
}

/* A callback: stays until the gate is open. */
static inline void gate_hold(void *context, const basalt_error *error)
{
    struct gate *gate = context;
    bs_mutex_lock(&gate->lock);
    gate->reached = true;
    if (error->status) gate->failed++;
    bs_condition_broadcast(&gate->changed);
    while (!gate->open) bs_condition_wait(&gate->changed, &gate->lock);
    bs_mutex_unlock(&gate->lock);
}

static inline void gate_wait_reached(struct gate *gate)
{
    bs_mutex_lock(&gate->lock);
    while (!gate->reached) bs_condition_wait(&gate->changed, &gate->lock);
    bs_mutex_unlock(&gate->lock);
}

static inline void gate_open(struct gate *gate)
{
    bs_mutex_lock(&gate->lock);
    gate->open = true;
    bs_condition_broadcast(&gate->changed);
    bs_mutex_unlock(&gate->lock);
}

/* A callback that only counts. */
static inline void gate_count(void *context, const basalt_error *error)
{
    struct gate *gate = context;
    bs_mutex_lock(&gate->lock);
    gate->done++;
    if (error->status) {
        gate->failed++;
        gate->last_failure = error->status;
    }
    bs_condition_broadcast(&gate->changed);
    bs_mutex_unlock(&gate->lock);
}

#endif
