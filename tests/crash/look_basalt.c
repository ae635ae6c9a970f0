/* look_basalt.c - opens the store as after a crash and reads everything. */
#include "store/store_internal.h"
#include "tests/crash/look.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

static bool is_there(const struct ArrowArray *column, int64_t at)
{
    const uint8_t *bits = column->buffers[0];
    at += column->offset;
    return !bits || (bits[at / 8] >> (at % 8) & 1);
}

static bool text_is(const struct ArrowArray *column, int64_t at, const char *expected)
{
    const int32_t *offsets = column->buffers[1];
    at += column->offset;
    const size_t count = (size_t)(offsets[at + 1] - offsets[at]);
    return count == strlen(expected) &&
        (!count || !memcmp((const char *)column->buffers[2] + offsets[at], expected, count));
}

static bool second_is_right(
    const struct ArrowArray *column, unsigned family, int64_t at, uint64_t row)
{
    const int64_t i = at + column->offset;
    char text[ROW_TEXT_BYTES];
    int32_t level = 0;
    switch (family) {
    case PAIR_A: return ((const double *)column->buffers[1])[i] == row_value(row);
    case SOLO:
        return (((const uint8_t *)column->buffers[1])[i / 8] >> (i % 8) & 1) == row_flag(row);
    case LATE:
        if (row_level(row, &level) != is_there(column, at)) return false;
        return !is_there(column, at) || ((const int32_t *)column->buffers[1])[i] == level;
    default:
        if (row_text(row, text) != is_there(column, at)) return false;
        return !is_there(column, at) || text_is(column, at, text);
    }
}

static basalt_status check_array(
    const struct ArrowArray *array, unsigned family, uint64_t first, basalt_error *err)
{
    const struct ArrowArray *sequence = array->children[0];
    for (int64_t i = 0; i < array->length; i++) {
        const uint64_t row = first + (uint64_t)i;
        const int64_t found = ((const int64_t *)sequence->buffers[1])[i + sequence->offset];
        if (found != row_sequence(family, row)) {
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "row %" PRIu64 " of %s has sequence %" PRId64, row, family_sketches[family].name,
                found);
        }
        if (!second_is_right(array->children[1], family, i, row)) {
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "row %" PRIu64 " of %s has another %s", row, family_sketches[family].name,
                family_sketches[family].columns[1]);
        }
    }
    return BASALT_OK;
}

static basalt_status read_family(struct bs_store *store, struct bs_snapshot *snapshot,
    unsigned family, uint64_t *out_rows, basalt_error *err)
{
    struct ArrowArrayStream stream = {0};
    uint64_t rows = 0, expected = 0;
    bool end = false;
    const char *name = family_sketches[family].name;
    *out_rows = UINT64_MAX;
    basalt_status status = bs_snapshot_rows(snapshot, name, &expected, err);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    if (!status) status = bs_store_scan(store, snapshot, name, NULL, &stream, err);
    if (status) return status;
    while (!end) {
        struct ArrowArray array = {0};
        BS_TRY(bs_stream_next(&stream, &array, &end, err));
        if (end) break;
        status = check_array(&array, family, rows, err);
        rows += (uint64_t)array.length;
        array.release(&array);
        if (status) goto out;
    }
    if (rows != expected) {
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a scan of %s gives %" PRIu64 " rows, the snapshot has %" PRIu64, name, rows, expected);
    }
    *out_rows = rows;
out:
    stream.release(&stream);
    return status;
}

static void note_finding(void *context, const char *sentence)
{
    basalt_error *why = context;
    (void)bs_fail(why, BASALT_CORRUPT, BASALT_NO_OFFSET, "%s", sentence);
}

/* Counting all values anew is as long as all else together: one image of 32, or all in `make soak`. */
static bool is_turn_of_statistics(void)
{
    static atomic_uint images;
    return getenv("BASALT_FAULTS") || atomic_fetch_add(&images, 1) % 32 == 0;
}

/* What the root says of its chunks is what they are. */
static basalt_status check_statistics(struct bs_store *store, basalt_error *err)
{
    basalt_error why = {0};
    struct bs_view *view = bs_view_current(store);
    basalt_status status = BASALT_OK;
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family && !status;
         family = atomic_load(&family->next)) {
        if (family->created > view->root->cut) continue;
        status = bs_statistics_verify(view->root->h5, family, note_finding, &why, err);
    }
    bs_view_release(view);
    if (!status && why.status && err) *err = why;
    return status ? status : why.status;
}

static basalt_status read_step(struct bs_store *store, uint64_t *out_step, basalt_error *err)
{
    char *text = NULL;
    *out_step = 0;
    const basalt_status status = bs_store_get_attribute(store, NULL, "step", &text, err);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    if (!status) *out_step = strtoull(text, NULL, 10);
    bs_free(text);
    return status;
}

static basalt_status read_all(struct bs_store *store, struct seen *out_seen, basalt_error *err)
{
    struct bs_snapshot *snapshot = NULL;
    basalt_status status = bs_snapshot_create(store, &snapshot, err);
    for (unsigned f = 0; !status && f < FAMILIES; f++) {
        status = read_family(store, snapshot, f, &out_seen->rows[f], err);
    }
    if (!status) status = read_step(store, &out_seen->step, err);
    bs_snapshot_close(&snapshot);
    return status;
}

basalt_status look_with_basalt(struct bs_vfs *vfs, struct bs_budget *budget, bool fresh, bool close,
    struct seen *out_seen, basalt_error *err)
{
    const struct bs_env_parts parts = {.budget = budget, .vfs = vfs};
    basalt_store_options options;
    struct bs_store *store = NULL;
    history_options(&options);
    if (fresh) options.access = BASALT_READ_FRESH;
    *out_seen = (struct seen){0};
    basalt_status status = bs_store_open(&parts, STORE_PATH, &options, &store, err);
    if (status) {
        bs_error_prefix(err, fresh ? "open to read" : "open");
        return status;
    }
    status = read_all(store, out_seen, err);
    if (!status && is_turn_of_statistics()) status = check_statistics(store, err);
    if (status || !close) {
        bs_store_abandon(store);
        return status;
    }
    status = bs_store_close(&store, err);
    if (status) bs_error_prefix(err, "close");
    return status;
}

basalt_status look_without_log(struct bs_vfs *vfs, struct bs_budget *budget, bool without_log,
    struct seen *out_seen, basalt_error *err)
{
    const struct bs_env_parts parts = {.budget = budget, .vfs = vfs};
    basalt_recovery recovery;
    basalt_status status = bs_wal_remove_all(vfs, STORE_PATH, 0, err);
    if (!status && without_log) status = bs_store_recover(&parts, STORE_PATH, true, &recovery, err);
    return status ? status : look_with_basalt(vfs, budget, false, true, out_seen, err);
}
