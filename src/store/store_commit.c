/* store_commit.c - the life of a row on its way in.
 *
 *   before the lock   rows are encoded into log records (txn.c), sums taken, memory charged
 *   commit_lock       number the rows, copy the records into the log, link them into the memtable,
 *                     move `visible` if nothing stands before
 *   after the lock    a sync commit waits for the device; a commit that stands behind one that is
 *                     not durable yet waits until it can be seen
 *
 * INVARIANTS
 *   (1) Order in the log = order in the memtables = order of row numbers: all under commit_lock.
 *   (2) visible <= appended; everything up to `visible` is in memtables or the file, and no sync
 *       commit before it is undurable: nobody sees what a power cut could still take back from a
 *       commit that asked for more.
 *   (3) pending_first .. pending_last are the sync commits between visible and appended, in order;
 *       visible stops at the start of the first. Each is on its thread's stack, and that thread
 *       does not return before it is off the list.
 *   (4) Who returned OK sees its own rows: a buffered commit behind a pending one waits for
 *       `visible`, which a running thread, the one that syncs, is certain to move or to poison.
 *   (5) After a failure of the log or of the checkpoint's syncs the store is poisoned: nothing more
 *       is taken, `visible` stays, reads go on. */
#include "store/store_internal.h"

#define ROOM_LOOK_NS ((uint64_t)1000000000u) /* then the reason for waiting is looked at again */
#define ROOM_WAIT_NS_MAX ((uint64_t)5000000000u) /* for memory; then NO_MEMORY */

void bs_atomic_max(_Atomic uint64_t *at, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(at, memory_order_relaxed);
    while (seen < value &&
        !atomic_compare_exchange_weak_explicit(
            at, &seen, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void bs_store_note_stall(struct bs_store *store, uint64_t began_ns)
{
    atomic_fetch_add_explicit(&store->stalls, 1, memory_order_relaxed);
    bs_atomic_max(&store->stall_max_ns, bs_now_ns() - began_ns);
}

uint64_t bs_store_memtable_bytes(const struct bs_store *store)
{
    uint64_t bytes = atomic_load_explicit(&store->active->bytes, memory_order_relaxed);
    if (store->frozen) bytes += atomic_load_explicit(&store->frozen->bytes, memory_order_relaxed);
    return bytes;
}

/* ---- poison ------------------------------------------------------------------------------------ */

void bs_store_poison(struct bs_store *store, const basalt_error *why)
{
    if (!store->poison.status) {
        store->poison = *why;
        if (!store->poison.status) store->poison.status = BASALT_IO_ERROR;
    }
    bs_condition_broadcast(&store->visible_changed);
    bs_condition_broadcast(&store->room);
    bs_condition_broadcast(&store->work);
    bs_condition_broadcast(&store->done);
}

basalt_status bs_store_fail_poisoned(const struct bs_store *store, basalt_error *err)
{
    const basalt_status status = bs_fail(err, store->poison.status, store->poison.file_offset,
        "the store takes no more changes since an earlier failure: %.150s", store->poison.message);
    if (err) err->os_errno = store->poison.os_errno;
    return status;
}

static basalt_status outcome_unknown(const struct bs_store *store, basalt_error *err)
{
    const basalt_status status = bs_fail(err, BASALT_OUTCOME_UNKNOWN, BASALT_NO_OFFSET,
        "the log failed during the commit, reopen the store to know its outcome: %.120s",
        store->poison.message);
    if (err) err->os_errno = store->poison.os_errno;
    return status;
}

/* ---- visible ----------------------------------------------------------------------------------- */

static void show_up_to(struct bs_store *store, bs_lsn position, uint64_t rows)
{
    if (position <= atomic_load_explicit(&store->visible, memory_order_relaxed)) return;
    if (position > store->visible_max) return;
    atomic_store_explicit(&store->rows_visible, rows, memory_order_relaxed);
    atomic_store_explicit(&store->visible, position, memory_order_release);
    bs_condition_broadcast(&store->visible_changed);
}

void bs_store_settle_pending(struct bs_store *store, bs_lsn durable)
{
    while (store->pending_first && store->pending_first->end <= durable) {
        store->pending_first = store->pending_first->next;
    }
    if (!store->pending_first) {
        store->pending_last = NULL;
        show_up_to(store, store->appended, store->rows_appended);
    } else {
        show_up_to(store, store->pending_first->start, store->pending_first->rows_before);
    }
}

/* Takes a failed one off the list; it and what is behind it is never shown. */
static void drop_pending(struct bs_store *store, const struct bs_pending *gone)
{
    struct bs_pending **at = &store->pending_first;
    struct bs_pending *before = NULL;
    while (*at && *at != gone) {
        before = *at;
        at = &(*at)->next;
    }
    if (!*at) return;
    *at = gone->next;
    if (store->pending_last == gone) store->pending_last = before;
    store->visible_max = BS_MIN(store->visible_max, gone->start);
}

static void add_pending(struct bs_store *store, struct bs_pending *pending)
{
    pending->next = NULL;
    if (store->pending_last) {
        store->pending_last->next = pending;
    } else {
        store->pending_first = pending;
    }
    store->pending_last = pending;
}

/* ---- one commit -------------------------------------------------------------------------------- */

struct commit {
    struct bs_store *store;
    struct bs_txn *txn;
    struct bs_wal_record *records; /* sums without the row numbers, until those are known */
    uint32_t *sums;                /* of each record up to its row numbers */
    uint64_t log_bytes;
    basalt_durability durability;
    struct bs_pending pending;
    bs_lsn end;
};

static size_t number_bytes(const struct commit *commit, size_t record)
{
    return (size_t)commit->txn->fills[record].appends * 8;
}

/* Everything long: headers, sums, memory. */
static basalt_status seal(struct commit *commit, basalt_error *err)
{
    struct bs_bundle *bundle = commit->txn->bundle;
    const size_t count = bundle->record_count;
    commit->records = bs_alloc_zeroed(count, sizeof *commit->records);
    commit->sums = bs_alloc_zeroed(count, sizeof *commit->sums);
    if (!commit->records || !commit->sums) {
        return bs_fail_memory(err, count * sizeof *commit->records);
    }
    for (size_t i = 0; i < count; i++) {
        struct bs_bytes *record = &bundle->records[i];
        bs_record_finish(record, commit->txn->fills[i].operations, commit->txn->fills[i].appends);
        const basalt_status status = bs_bytes_check(record, err);
        if (status) return status;
        commit->sums[i] = bs_crc32c(0, record->data, record->count - number_bytes(commit, i));
        commit->records[i] = (struct bs_wal_record){record->data, record->count, 0, i + 1 == count};
        commit->log_bytes += record->count;
    }
    bs_bundle_resolve(bundle);
    return BASALT_OK;
}

/* Under commit_lock: waits until a checkpoint has made room, or has failed to. Not for its last steps,
 * which remove log segments. */
static basalt_status wait_for_room(
    struct bs_store *store, uint64_t deadline_ns, bool *out_failed, basalt_error *err)
{
    const uint64_t failures = store->checkpoint_failures;
    const uint64_t completed = store->completed;
    const bs_lsn cut = atomic_load(&store->cut);
    *out_failed = false;
    store->requested++;
    bs_condition_signal(&store->work);
    while (!store->poison.status && !store->closing && store->checkpoint_failures == failures &&
        store->completed == completed && atomic_load(&store->cut) == cut) {
        if (!bs_condition_wait_until(&store->room, &store->commit_lock, deadline_ns)) break;
    }
    if (store->checkpoint_failures != failures) {
        *out_failed = true;
        if (err) *err = store->checkpoint_error;
        return store->checkpoint_error.status;
    }
    return BASALT_OK;
}

/* Charges the transaction's memory; over the budget it waits for a checkpoint to give some back. */
static basalt_status charge(struct bs_store *store, struct bs_bundle *bundle, basalt_error *err)
{
    const uint64_t bytes = bs_bundle_memory(bundle), began_ns = bs_now_ns();
    basalt_status status = BASALT_OK;
    bool failed;
    if (!store->parts.budget) {
        bundle->charged_bytes = bytes;
        return BASALT_OK;
    }
    while ((status = bs_budget_take(store->parts.budget, bytes, err)) == BASALT_NO_MEMORY) {
        bs_mutex_lock(&store->commit_lock);
        const bool hopeless = !bs_store_memtable_bytes(store) || store->poison.status ||
            store->closing || bs_now_ns() - began_ns > ROOM_WAIT_NS_MAX;
        if (!hopeless) {
            (void)wait_for_room(store, began_ns + ROOM_WAIT_NS_MAX, &failed, NULL);
        }
        bs_mutex_unlock(&store->commit_lock);
        if (hopeless) return status;
        bs_store_note_stall(store, began_ns);
    }
    if (!status) bundle->charged_bytes = bytes;
    return status;
}

basalt_status bs_store_wait_recovered(struct bs_store *store, basalt_error *err)
{
    bool failed = false;
    basalt_status status = BASALT_OK;
    if (atomic_load(&store->cut) >= store->recovered_end) return status;
    const uint64_t began_ns = bs_now_ns();
    bs_mutex_lock(&store->commit_lock);
    while (!status && !store->poison.status && !store->closing &&
        atomic_load(&store->cut) < store->recovered_end) {
        status = wait_for_room(store, bs_now_ns() + ROOM_LOOK_NS, &failed, err);
    }
    bs_mutex_unlock(&store->commit_lock);
    bs_store_note_stall(store, began_ns);
    return status;
}

/* ---- under the lock ----------------------------------------------------------------------------- */

static basalt_status check_creations(struct commit *commit, basalt_error *err)
{
    for (size_t i = 0; i < commit->txn->created_count; i++) {
        const char *name = commit->txn->created[i]->name;
        if (bs_catalogue_find(&commit->store->catalogue, name)) {
            return bs_fail(err, BASALT_EXISTS, BASALT_NO_OFFSET,
                "the family \"%.100s\" is there already", name);
        }
    }
    return BASALT_OK;
}

/* New attribute names are added at once: a name too many after a failed append does no harm. */
static basalt_status count_attributes(struct commit *commit, basalt_error *err)
{
    const struct bs_bundle *bundle = commit->txn->bundle;
    for (size_t i = 0; i < bundle->op_count; i++) {
        const struct bs_op *op = &bundle->ops[i];
        if (op->kind != BS_OP_ATTRIBUTE) continue;
        struct bs_name_set *set =
            op->family ? &op->family->attributes : &commit->store->root_attributes;
        if (bs_name_set_has(set, op->name)) continue;
        if (set->count >= BS_STORE_ATTRIBUTES_MAX) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "%s has %d attributes already, no more are allowed",
                op->family ? op->family->name : "the root", BS_STORE_ATTRIBUTES_MAX);
        }
        const basalt_status status = bs_name_set_add(set, op->name, err);
        if (status) return status;
    }
    return BASALT_OK;
}

static basalt_status touch_families(struct commit *commit, basalt_error *err)
{
    const struct bs_bundle *bundle = commit->txn->bundle;
    for (size_t i = 0; i < bundle->op_count; i++) {
        if (bundle->ops[i].kind != BS_OP_APPEND) continue;
        const basalt_status status =
            bs_memtable_touch(commit->store->active, bundle->ops[i].family, err);
        if (status) return status;
    }
    return BASALT_OK;
}

static void number_rows(struct commit *commit)
{
    struct bs_bundle *bundle = commit->txn->bundle;
    uint32_t index = 0;
    size_t record = 0;
    for (size_t i = 0; i < bundle->op_count; i++) {
        struct bs_op *op = &bundle->ops[i];
        if (op->kind != BS_OP_APPEND) continue;
        if (op->record != record) {
            record = op->record;
            index = 0;
        }
        op->first_row = op->family->next_row;
        op->family->next_row += op->rows;
        bs_record_set_first_row(
            &bundle->records[record], commit->txn->fills[record].appends, index++, op->first_row);
    }
    for (size_t i = 0; i < bundle->record_count; i++) {
        const size_t bytes = number_bytes(commit, i);
        const struct bs_bytes *at = &bundle->records[i];
        commit->records[i].sum = bytes
            ? bs_crc32c(commit->sums[i], at->data + at->count - bytes, bytes)
            : commit->sums[i];
    }
}

static void undo_numbers(struct commit *commit)
{
    const struct bs_bundle *bundle = commit->txn->bundle;
    for (size_t i = 0; i < bundle->op_count; i++) {
        const struct bs_op *op = &bundle->ops[i];
        if (op->kind == BS_OP_APPEND) op->family->next_row -= op->rows;
    }
}

/* The log has it: it is in the memtable with the next few instructions, none of which can fail. */
static void link_in(struct commit *commit)
{
    struct bs_store *store = commit->store;
    struct bs_txn *txn = commit->txn;
    struct bs_bundle *bundle = txn->bundle;
    const bs_lsn start = store->appended;
    const uint64_t rows_before = store->rows_appended;
    const bool was_empty = !store->active->last_end;
    for (size_t i = 0; i < txn->created_count; i++) {
        txn->created[i]->created = commit->end;
        bs_catalogue_add(&store->catalogue, txn->created[i]);
    }
    txn->created_count = 0;
    store->rows_appended += bundle->rows;
    store->appended = commit->end;
    txn->bundle = NULL;
    bs_memtable_insert(store->active, bundle, commit->end);
    if (commit->durability == BASALT_SYNC) {
        commit->pending = (struct bs_pending){NULL, start, commit->end, rows_before};
        add_pending(store, &commit->pending);
    } else if (!store->pending_first) {
        show_up_to(store, commit->end, store->rows_appended);
    }
    const bs_lsn cut = atomic_load_explicit(&store->cut, memory_order_relaxed);
    if (was_empty ||
        atomic_load_explicit(&store->active->bytes, memory_order_relaxed) >=
            bs_pace_threshold(store) ||
        store->appended - cut >= store->options.checkpoint_log_bytes) {
        bs_condition_signal(&store->work);
    }
}

/* One try. BUSY: the next segment is not ready. */
static basalt_status place(struct commit *commit, basalt_error *err)
{
    struct bs_store *store = commit->store;
    basalt_status status = BASALT_OK;
    if (store->poison.status) return bs_store_fail_poisoned(store, err);
    BS_TRY(check_creations(commit, err));
    BS_TRY(count_attributes(commit, err));
    BS_TRY(touch_families(commit, err));
    number_rows(commit);
    status = bs_wal_append(
        store->wal, commit->records, commit->txn->bundle->record_count, &commit->end, err);
    if (!status) {
        link_in(commit);
        goto out;
    }
    undo_numbers(commit);
    if (status != BASALT_BUSY && status != BASALT_NO_MEMORY) {
        basalt_error why = {0};
        if (bs_wal_check(store->wal, &why)) {
            bs_store_poison(store, &why);
            status = outcome_unknown(store, err);
        }
    }
out:
    return status;
}

/* Called and left with commit_lock held. */
static bool slow_down(struct commit *commit)
{
    struct bs_store *store = commit->store;
    const uint64_t delay_ns = bs_pace_delay_ns(store, commit->log_bytes);
    if (!delay_ns) return false;
    bs_mutex_unlock(&store->commit_lock);
    bs_sleep_ns(delay_ns);
    bs_mutex_lock(&store->commit_lock);
    return true;
}

static basalt_status place_when_possible(struct commit *commit, basalt_error *err)
{
    struct bs_store *store = commit->store;
    const uint64_t began_ns = bs_now_ns();
    bool failed = false;
    basalt_status status = BASALT_OK;
    bs_mutex_lock(&store->commit_lock);
    bool stalled = slow_down(commit);
    for (;;) {
        while (!status && !store->poison.status && bs_pace_is_full(store)) {
            stalled = true;
            status = wait_for_room(store, bs_now_ns() + ROOM_LOOK_NS, &failed, err);
        }
        if (!status) status = place(commit, err);
        if (status != BASALT_BUSY || failed) break;
        stalled = true;
        bs_mutex_unlock(&store->commit_lock);
        status = bs_wal_wait_segment(store->wal, (size_t)commit->log_bytes, err);
        bs_mutex_lock(&store->commit_lock);
        if (status) break;
    }
    bs_mutex_unlock(&store->commit_lock);
    if (stalled) bs_store_note_stall(store, began_ns);
    return status;
}

/* ---- after the lock --------------------------------------------------------------------------- */

static basalt_status wait_durable(struct commit *commit, basalt_error *err)
{
    struct bs_store *store = commit->store;
    basalt_error why = {0};
    const basalt_status synced = bs_wal_sync_to(store->wal, commit->end, &why);
    basalt_status status = BASALT_OK;
    bs_mutex_lock(&store->commit_lock);
    if (synced) {
        bs_store_poison(store, &why);
        drop_pending(store, &commit->pending);
        status = outcome_unknown(store, err);
    } else {
        const bs_lsn durable = bs_wal_durable(store->wal);
        bs_store_settle_pending(store, BS_MAX(durable, commit->end));
    }
    bs_mutex_unlock(&store->commit_lock);
    return status;
}

static basalt_status wait_visible(struct commit *commit, basalt_error *err)
{
    struct bs_store *store = commit->store;
    basalt_status status = BASALT_OK;
    if (atomic_load_explicit(&store->visible, memory_order_acquire) >= commit->end) return status;
    bs_mutex_lock(&store->commit_lock);
    while (atomic_load_explicit(&store->visible, memory_order_relaxed) < commit->end) {
        if (store->poison.status) {
            status = outcome_unknown(store, err);
            break;
        }
        bs_condition_wait(&store->visible_changed, &store->commit_lock);
    }
    bs_mutex_unlock(&store->commit_lock);
    return status;
}

basalt_status bs_txn_commit(struct bs_txn **txn, basalt_durability durability, basalt_error *err)
{
    struct commit commit = {.store = (*txn)->store, .txn = *txn, .durability = durability};
    struct bs_store *store = commit.store;
    struct bs_bundle *bundle = (*txn)->bundle;
    basalt_status status = bs_store_check(store, true, err);
    uint64_t batches = 0;
    if (status) goto out;
    if (!bundle->op_count) {
        if (durability == BASALT_SYNC) status = bs_store_sync(store, err);
        goto out;
    }
    for (size_t i = 0; i < bundle->record_count; i++) batches += (*txn)->fills[i].appends;
    if (durability == BASALT_SYNC) BS_TRY(bs_store_wait_recovered(store, err));
    BS_TRY(bs_store_mark_open(store, err));
    BS_TRY(seal(&commit, err));
    BS_TRY(charge(store, bundle, err));
    BS_TRY(place_when_possible(&commit, err));
    atomic_fetch_add_explicit(&store->commits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->batches, batches, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->bytes, commit.log_bytes, memory_order_relaxed);
    if (durability == BASALT_SYNC) {
        BS_TRY(wait_durable(&commit, err));
    } else {
        BS_TRY(wait_visible(&commit, err));
    }
out:
    bs_free(commit.sums);
    bs_free(commit.records);
    bs_txn_rollback(txn);
    return status;
}

/* ---- transactions of one operation ------------------------------------------------------------------ */

basalt_status bs_store_append(struct bs_store *store, const char *family,
    const struct ArrowArray *array, const struct ArrowSchema *schema, basalt_durability durability,
    basalt_error *err)
{
    struct bs_txn *txn = NULL;
    basalt_status status = bs_txn_begin(store, &txn, err);
    if (!status) status = bs_txn_append(txn, family, array, schema, err);
    if (!status) status = bs_txn_commit(&txn, durability, err);
    bs_txn_rollback(&txn);
    return status;
}

basalt_status bs_store_family_create(struct bs_store *store, const char *name,
    const struct ArrowSchema *schema, const basalt_family_options *options, basalt_error *err)
{
    struct bs_txn *txn = NULL;
    basalt_status status = bs_txn_begin(store, &txn, err);
    if (!status) status = bs_txn_create_family(txn, name, schema, options, err);
    if (!status) status = bs_txn_commit(&txn, BASALT_BUFFERED, err);
    bs_txn_rollback(&txn);
    return status;
}

basalt_status bs_store_set_attribute(struct bs_store *store, const char *family, const char *name,
    const char *value, basalt_error *err)
{
    struct bs_txn *txn = NULL;
    basalt_status status = bs_txn_begin(store, &txn, err);
    if (!status) status = bs_txn_set_attribute(txn, family, name, value, err);
    if (!status) status = bs_txn_commit(&txn, BASALT_BUFFERED, err);
    bs_txn_rollback(&txn);
    return status;
}

/* Makes the family if it is absent, and refuses a stream whose schema is another: its arrays have
 * that schema. */
static basalt_status match_stream(struct bs_store *store, const char *name,
    struct ArrowArrayStream *stream, const basalt_family_options *options, basalt_error *err)
{
    struct bs_schema *schema = NULL;
    struct ArrowSchema arrow = {0};
    basalt_status status = bs_stream_schema(stream, &schema, err);
    if (status) return status;
    if (!bs_catalogue_find(&store->catalogue, name)) {
        BS_TRY(bs_schema_export(schema, &arrow, err));
        status = bs_store_family_create(store, name, &arrow, options, err);
        if (status && status != BASALT_EXISTS) goto out; /* EXISTS: another thread was faster */
    }
    const struct bs_family *family = bs_catalogue_find(&store->catalogue, name);
    status = bs_schema_match(family->schema, schema, err);
out:
    if (arrow.release) arrow.release(&arrow);
    bs_schema_release(schema);
    return status;
}

basalt_status bs_store_append_stream(struct bs_store *store, const char *family,
    struct ArrowArrayStream *stream, const basalt_family_options *options,
    basalt_durability durability, uint64_t *out_rows, basalt_error *err)
{
    bool end = false;
    basalt_status status = bs_store_check(store, true, err);
    *out_rows = 0;
    if (!status) status = match_stream(store, family, stream, options, err);
    while (!status && !end) {
        struct ArrowArray array = {0};
        status = bs_stream_next(stream, &array, &end, err);
        if (!status && !end) {
            status = bs_store_append(store, family, &array, NULL, durability, err);
            if (!status) *out_rows += (uint64_t)array.length;
        }
        if (array.release) array.release(&array);
    }
    if (stream->release) stream->release(stream);
    return status;
}

basalt_status bs_store_sync(struct bs_store *store, basalt_error *err)
{
    basalt_error why = {0};
    basalt_status status = bs_store_check(store, true, err);
    if (!status) status = bs_store_wait_recovered(store, err);
    if (status) return status;
    bs_mutex_lock(&store->commit_lock);
    const bs_lsn end = store->appended;
    if (store->poison.status) status = bs_store_fail_poisoned(store, err);
    bs_mutex_unlock(&store->commit_lock);
    if (status) return status;
    const basalt_status synced = bs_wal_sync_to(store->wal, end, &why);
    bs_mutex_lock(&store->commit_lock);
    if (synced) {
        bs_store_poison(store, &why);
        status = outcome_unknown(store, err);
    } else {
        bs_store_settle_pending(store, BS_MAX(bs_wal_durable(store->wal), end));
    }
    bs_mutex_unlock(&store->commit_lock);
    return status;
}
