/* store_history.c - the families, their rows, and what is done to them. */
#include "tests/crash/store_history.h"

#include "h5/h5.h"
#include "tests/harness/harness_memory.h"
#include "tests/harness/test.h"

#include <stdlib.h>

#define BUDGET_BYTES ((uint64_t)1 << 30)
#define ROUND_ROWS 500 /* of a commit in history_rotate: some 20 KiB of log */
#define ROUND_COMMITS 3

const struct family_sketch family_sketches[FAMILIES] = {
    [PAIR_A] = {"pair_a", {"seq", "value"}, {"l", "g"}, {false, false}, 64, 4},
    [PAIR_B] = {"pair_b", {"seq", "text"}, {"l", "u"}, {false, true}, 32, 4},
    [SOLO] = {"solo", {"seq", "flag"}, {"l", "b"}, {false, false}, 100, 0},
    [LATE] = {"late", {"seq", "level"}, {"l", "i"}, {false, true}, 128, 1},
};

/* ---- rows ------------------------------------------------------------------------------------ */

int64_t row_sequence(unsigned family, uint64_t row)
{
    return (int64_t)(row * FAMILIES + family);
}

double row_value(uint64_t row)
{
    return (double)row * 0.5 - 100;
}

bool row_text(uint64_t row, char out[ROW_TEXT_BYTES])
{
    snprintf(out, ROW_TEXT_BYTES, "row %llu%.*s", (unsigned long long)row, (int)(row % 30),
        "..............................");
    return row % 7 != 3;
}

bool row_flag(uint64_t row)
{
    return row % 3 == 0;
}

bool row_level(uint64_t row, int32_t *out)
{
    *out = (int32_t)(row * 17) - 1000;
    return row % 5 != 0;
}

static void release_sketch(struct ArrowSchema *schema)
{
    schema->release = NULL; /* its parts are on the stack of make_schema */
}

static basalt_status make_schema(
    const struct family_sketch *sketch, struct bs_schema **out_schema, basalt_error *err)
{
    struct ArrowSchema fields[2], *children[2];
    for (size_t i = 0; i < 2; i++) {
        fields[i] = (struct ArrowSchema){.format = sketch->formats[i],
            .name = sketch->columns[i],
            .flags = sketch->nullable[i] ? ARROW_FLAG_NULLABLE : 0,
            .release = release_sketch};
        children[i] = &fields[i];
    }
    const struct ArrowSchema schema = {.format = "+s",
        .name = "",
        .n_children = 2,
        .children = children,
        .release = release_sketch};
    return bs_schema_import(&schema, out_schema, err);
}

/* The second column; the first is always the sequence. */
static basalt_status put_second(struct bs_array_builder *builder, unsigned family, uint64_t first,
    uint64_t count, basalt_error *err)
{
    void *values = NULL;
    basalt_status status = BASALT_OK;
    if (family != PAIR_B) status = bs_array_builder_reserve(builder, 1, count, &values, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        const uint64_t row = first + i;
        char text[ROW_TEXT_BYTES];
        bool there = true;
        switch (family) {
        case PAIR_A: ((double *)values)[i] = row_value(row); break;
        case SOLO: ((uint8_t *)values)[i] = row_flag(row); break;
        case LATE: there = row_level(row, &((int32_t *)values)[i]); break;
        default:
            there = row_text(row, text);
            status = bs_array_builder_put_text(builder, 1, text, there ? strlen(text) : 0, err);
            break;
        }
        if (!status && !there) status = bs_array_builder_set_null(builder, 1, i, err);
    }
    return status;
}

static basalt_status make_rows(struct history *history, unsigned family, uint64_t first,
    uint64_t count, struct ArrowArray *out_array, basalt_error *err)
{
    struct bs_array_builder *builder = NULL;
    void *values = NULL;
    basalt_status status = bs_array_builder_create(history->schemas[family], count, &builder, err);
    if (status) return status;
    BS_TRY(bs_array_builder_reserve(builder, 0, count, &values, err));
    for (uint64_t i = 0; i < count; i++) {
        ((int64_t *)values)[i] = row_sequence(family, first + i);
    }
    BS_TRY(put_second(builder, family, first, count, err));
    BS_TRY(bs_array_builder_finish(&builder, out_array, err));
out:
    bs_array_builder_free(builder);
    return status;
}

/* ---- promises: all under the lock ------------------------------------------------------------ */

static struct promise *present(struct history *history)
{
    return &history->promises[history->promise_count - 1];
}

/* Makes the present promise, which the caller has just changed, known to the trace. */
static void mark(struct history *history)
{
    assert(history->promise_count < PROMISES_MAX);
    powerloss_mark(history->vfs, history->promise_count - 1);
    history->promises[history->promise_count] = *present(history);
    history->promise_count++;
}

static struct promise promise_now(struct history *history)
{
    bs_mutex_lock(&history->lock);
    const struct promise now = *present(history);
    bs_mutex_unlock(&history->lock);
    return now;
}

/* All that was acknowledged `then` is on the disk now, and with `shown` in the file. */
static void note_synced(struct history *history, const struct promise *then, bool shown)
{
    struct promise *now = present(history);
    for (unsigned f = 0; f < FAMILIES; f++) {
        now->made_synced[f] |= then->made_buffered[f];
        now->synced[f] = BS_MAX(now->synced[f], then->buffered[f]);
        if (shown) now->shown[f] = BS_MAX(now->shown[f], then->buffered[f]);
    }
    now->step_synced = BS_MAX(now->step_synced, then->step_buffered);
}

/* ---- what is done ---------------------------------------------------------------------------- */

/* `count` rows of each family of the set commit as one. Each family has one thread that appends. */
static basalt_status commit_rows(struct history *history, const unsigned *families, size_t set,
    uint64_t count, basalt_durability durability, basalt_error *err)
{
    struct bs_txn *txn = NULL;
    struct ArrowArray array = {0};
    bs_mutex_lock(&history->lock);
    for (size_t i = 0; i < set; i++) present(history)->attempted[families[i]] += count;
    mark(history);
    struct promise then = *present(history);
    bs_mutex_unlock(&history->lock);

    basalt_status status = bs_txn_begin(history->store, &txn, err);
    for (size_t i = 0; !status && i < set; i++) {
        const unsigned family = families[i];
        status = make_rows(history, family, then.attempted[family] - count, count, &array, err);
        if (status) break;
        status = bs_txn_append(txn, family_sketches[family].name, &array, NULL, err);
        array.release(&array);
    }
    if (status) {
        bs_txn_rollback(&txn);
        return status;
    }
    status = bs_txn_commit(&txn, durability, err);
    if (status) return status;

    bs_mutex_lock(&history->lock);
    for (size_t i = 0; i < set; i++) {
        present(history)->buffered[families[i]] = then.attempted[families[i]];
        then.buffered[families[i]] = then.attempted[families[i]];
    }
    if (durability == BASALT_SYNC) note_synced(history, &then, false);
    mark(history);
    bs_mutex_unlock(&history->lock);
    return BASALT_OK;
}

static basalt_status make_family(struct history *history, unsigned family, basalt_error *err)
{
    const struct family_sketch *sketch = &family_sketches[family];
    const basalt_family_options options = {.struct_bytes = sizeof options,
        .compression_level = sketch->compression_level,
        .chunk_rows = sketch->chunk_rows,
        .row_index = family != LATE};
    struct ArrowSchema schema = {0};
    basalt_status status = bs_schema_export(history->schemas[family], &schema, err);
    if (status) return status;
    bs_mutex_lock(&history->lock);
    present(history)->made_attempted[family] = true;
    mark(history);
    bs_mutex_unlock(&history->lock);
    status = bs_store_family_create(history->store, sketch->name, &schema, &options, err);
    schema.release(&schema);
    if (status) return status;
    bs_mutex_lock(&history->lock);
    present(history)->made_buffered[family] = true;
    mark(history);
    bs_mutex_unlock(&history->lock);
    return BASALT_OK;
}

static basalt_status count_step(struct history *history, basalt_error *err)
{
    char text[32];
    bs_mutex_lock(&history->lock);
    const uint64_t step = ++present(history)->step_attempted;
    mark(history);
    bs_mutex_unlock(&history->lock);
    snprintf(text, sizeof text, "%llu", (unsigned long long)step);
    const basalt_status status = bs_store_set_attribute(history->store, NULL, "step", text, err);
    if (status) return status;
    bs_mutex_lock(&history->lock);
    present(history)->step_buffered = step;
    mark(history);
    bs_mutex_unlock(&history->lock);
    return BASALT_OK;
}

static basalt_status settle(struct history *history, bool checkpoint, basalt_error *err)
{
    const struct promise then = promise_now(history);
    const basalt_status status =
        checkpoint ? bs_store_checkpoint(history->store, err) : bs_store_sync(history->store, err);
    if (status) return status;
    bs_mutex_lock(&history->lock);
    note_synced(history, &then, checkpoint);
    mark(history);
    bs_mutex_unlock(&history->lock);
    return BASALT_OK;
}

static basalt_status commit_pair(
    struct history *history, uint64_t count, basalt_durability durability, basalt_error *err)
{
    static const unsigned pair[] = {PAIR_A, PAIR_B};
    return commit_rows(history, pair, 2, count, durability, err);
}

static basalt_status commit_one(struct history *history, unsigned family, uint64_t count,
    basalt_durability durability, basalt_error *err)
{
    return commit_rows(history, &family, 1, count, durability, err);
}

/* ---- lives ----------------------------------------------------------------------------------- */

void history_options(basalt_store_options *out_options)
{
    bs_store_options_fill(out_options, NULL);
    out_options->log_segment_bytes = BS_WAL_SEGMENT_BYTES_MIN;
    out_options->checkpoint_log_bytes = 6 * BS_WAL_SEGMENT_BYTES_MIN;
    out_options->checkpoint_age_ms = 0;
    out_options->grace_ms = 0;
}

static void turn(struct history *history, enum turn turn)
{
    assert(history->turn_count < TURNS_MAX);
    history->turns[history->turn_count++] =
        (struct turning_point){turn, powerloss_event_count(history->vfs)};
}

basalt_status history_open(struct history *history, basalt_error *err)
{
    basalt_store_options options;
    history_options(&options);
    basalt_status status =
        bs_store_open(&history->parts, STORE_PATH, &options, &history->store, err);
    if (status) return status;
    turn(history, TURN_OPENED);
    present(history)->store = true;
    mark(history);
    for (unsigned f = PAIR_A; !status && f <= SOLO; f++) {
        if (!present(history)->made_buffered[f]) status = make_family(history, f, err);
    }
    return status;
}

basalt_status history_close(struct history *history, basalt_error *err)
{
    const struct promise then = *present(history);
    turn(history, TURN_CLOSING);
    const basalt_status status = bs_store_close(&history->store, err);
    if (status) return status;
    turn(history, TURN_CLOSED);
    note_synced(history, &then, true);
    mark(history);
    return BASALT_OK;
}

void history_kill(struct history *history)
{
    bs_store_abandon(history->store);
    history->store = NULL;
    turn(history, powerloss_is_dead(history->vfs) ? TURN_KILLED_IN_FLIP : TURN_KILLED);
    powerloss_revive(history->vfs);
}

/* Is the last change of the store's file that of its superblock, and not synced? */
static bool flip_is_unsynced(const struct history *history)
{
    for (uint64_t event = powerloss_event_count(history->vfs); event > 0; event--) {
        const struct powerloss_step step = powerloss_step_at(history->vfs, event - 1, STORE_PATH);
        if (!step.of_this_file) continue;
        return step.kind == POWERLOSS_WRITE && step.offset + step.count <= BS_H5_SUPERBLOCK_BYTES;
    }
    return false;
}

basalt_status history_kill_in_flip(struct history *history, basalt_error *err)
{
    powerloss_die_at_sync(history->vfs, STORE_PATH, 2); /* the first is that of the data */
    const basalt_status status = settle(history, true, err);
    if (!status) return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "it did not die");
    if (!powerloss_is_dead(history->vfs)) return status;
    if (!flip_is_unsynced(history)) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "it did not die in a flip");
    }
    history_kill(history);
    return BASALT_OK;
}

static basalt_status adopt_family(
    struct history *history, struct bs_snapshot *snapshot, unsigned family, basalt_error *err)
{
    struct promise *now = present(history);
    uint64_t rows = 0;
    basalt_status status = bs_snapshot_rows(snapshot, family_sketches[family].name, &rows, err);
    const bool there = status != BASALT_NOT_FOUND;
    if (there && status) return status;
    if (rows < now->buffered[family] || rows > now->attempted[family] ||
        (!there && now->made_buffered[family])) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "%s has %llu rows, %llu were acknowledged", family_sketches[family].name,
            (unsigned long long)rows, (unsigned long long)now->buffered[family]);
    }
    now->attempted[family] = rows;
    now->made_buffered[family] |= there;
    return BASALT_OK;
}

basalt_status history_adopt(struct history *history, basalt_error *err)
{
    struct bs_snapshot *snapshot = NULL;
    char *step = NULL;
    basalt_status status = bs_snapshot_create(history->store, &snapshot, err);
    for (unsigned f = 0; !status && f < FAMILIES; f++) {
        status = adopt_family(history, snapshot, f, err);
    }
    bs_snapshot_close(&snapshot);
    if (status) return status;
    if (present(history)->step_attempted) {
        status = bs_store_get_attribute(history->store, NULL, "step", &step, err);
        if (status == BASALT_NOT_FOUND) status = BASALT_OK;
        if (!status) present(history)->step_attempted = step ? strtoull(step, NULL, 10) : 0;
        bs_free(step);
    }
    if (!status) mark(history);
    return status;
}

basalt_status history_live(struct history *history, unsigned steps, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (unsigned i = 0; !status && i < steps; i++) {
        const uint64_t what = test_random(&history->random) % 32;
        const uint64_t count = 1 + test_random(&history->random) % (what & 1 ? 8 : 40);
        const basalt_durability durability =
            test_random(&history->random) % 3 ? BASALT_BUFFERED : BASALT_SYNC;
        if (what < 2) {
            status = settle(history, true, err);
        } else if (what < 4) {
            status = settle(history, false, err);
        } else if (what < 6) {
            status = count_step(history, err);
        } else if (what < 18) {
            status = commit_pair(history, count, durability, err);
        } else if (what < 26) {
            status = commit_one(history, SOLO, count, durability, err);
        } else if (!present(history)->made_buffered[LATE]) {
            status = what == 31 ? make_family(history, LATE, err) : BASALT_OK;
        } else {
            status = commit_one(history, LATE, count, durability, err);
        }
    }
    return status;
}

basalt_status history_rotate(struct history *history, unsigned rounds, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (unsigned i = 0; !status && i < rounds * ROUND_COMMITS; i++) {
        status = commit_pair(history, ROUND_ROWS, BASALT_SYNC, err);
        if (!status && i % ROUND_COMMITS == ROUND_COMMITS - 1) status = settle(history, true, err);
    }
    return status;
}

struct crowd {
    struct history *history;
    unsigned steps;
    atomic_uint turn;   /* gives each thread its part */
    atomic_int failure; /* the first */
    basalt_error error;
};

static void act_in_crowd(void *argument)
{
    struct crowd *crowd = argument;
    const unsigned part = atomic_fetch_add(&crowd->turn, 1);
    for (unsigned i = 0; i < crowd->steps && !atomic_load(&crowd->failure); i++) {
        basalt_error error = {0};
        basalt_status status = BASALT_OK;
        if (part == 0) {
            status = commit_pair(crowd->history, 1 + i % 20, BASALT_SYNC, &error);
        } else if (part == 1) {
            status = commit_one(crowd->history, SOLO, 1 + i % 30, BASALT_SYNC, &error);
        } else if (i % 8 == 7) {
            status = settle(crowd->history, true, &error);
        } else {
            status = count_step(crowd->history, &error);
            if (!status) status = settle(crowd->history, false, &error);
        }
        int none = 0;
        if (status && atomic_compare_exchange_strong(&crowd->failure, &none, (int)status)) {
            crowd->error = error;
        }
    }
}

basalt_status history_live_in_a_crowd(
    struct history *history, unsigned steps, uint64_t sync_ns, basalt_error *err)
{
    struct crowd crowd = {.history = history, .steps = steps};
    struct bs_thread *threads[3] = {0};
    basalt_status status = BASALT_OK;
    powerloss_slow_sync(history->vfs, sync_ns);
    for (size_t i = 0; !status && i < BS_ARRAY_LENGTH(threads); i++) {
        status = bs_thread_start("crowd", act_in_crowd, &crowd, &threads[i], err);
    }
    for (size_t i = 0; i < BS_ARRAY_LENGTH(threads); i++) bs_thread_join(threads[i]);
    powerloss_slow_sync(history->vfs, 0);
    if (!status && atomic_load(&crowd.failure)) {
        *err = crowd.error;
        status = (basalt_status)atomic_load(&crowd.failure);
    }
    return status;
}

/* ---- a history ------------------------------------------------------------------------------- */

struct history *history_create(uint64_t seed, basalt_error *err)
{
    struct history *history = harness_zeroed(1, sizeof *history);
    history->promises = harness_zeroed(PROMISES_MAX, sizeof history->promises[0]);
    history->promise_count = 1;
    history->random = seed;
    history->vfs = powerloss_create();
    history->parts.vfs = history->vfs;
    bs_mutex_init(&history->lock);
    basalt_status status = BASALT_OK;
    for (unsigned f = 0; !status && f < FAMILIES; f++) {
        status = make_schema(&family_sketches[f], &history->schemas[f], err);
    }
    if (!status) {
        status =
            bs_budget_create(NULL, "the crash test", BUDGET_BYTES, &history->parts.budget, err);
    }
    if (!status) {
        status = history->vfs->ops->make_directory(history->vfs, STORE_DIRECTORY, err);
    }
    if (!status) status = history->vfs->ops->sync_directory(history->vfs, "/", err);
    if (status) {
        history_free(history);
        return NULL;
    }
    history->first_event = powerloss_event_count(history->vfs);
    mark(history);
    return history;
}

void history_free(struct history *history)
{
    if (!history) return;
    for (unsigned f = 0; f < FAMILIES; f++) bs_schema_release(history->schemas[f]);
    bs_budget_free(history->parts.budget);
    bs_vfs_free(history->vfs);
    bs_mutex_destroy(&history->lock);
    harness_free(history->promises);
    harness_free(history);
}
