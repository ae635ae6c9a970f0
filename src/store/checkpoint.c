/* checkpoint.c - moving the memtable into the file.
 *
 * One checkpoint has one cut C. The active memtable is frozen at C = the position appended so far: a
 * view {root, frozen, new active} is published, then, under the commit lock, the old one is sealed
 * and commits go to the new one. If sync commits before C are not durable yet, the log is synced
 * first: a checkpoint never shows what a power cut could take back. Then every family's rows and
 * every attribute up to C are written and the root is flipped (file_flip.c). After that a view
 * {new root, active} is published, and the log before C may go.
 *
 * The flips of a clean close say that the file is closed, all others that it is not: story.c.
 *
 * A failure before the flip's syncs (a full disk, no memory) leaves the frozen memtable where it is;
 * the writer of the file is thrown away, and the next attempt begins again at the last root. */
#include "store/store_internal.h"

#define RETRY_NS ((uint64_t)1000000000u) /* between attempts that nobody asked for */

/* ---- freezing --------------------------------------------------------------------------------- */

static basalt_status wait_until_visible(struct bs_store *store, bs_lsn cut, basalt_error *err)
{
    basalt_error why = {0};
    if (atomic_load_explicit(&store->visible, memory_order_acquire) >= cut) return BASALT_OK;
    const basalt_status status = bs_wal_sync_to(store->wal, cut, &why);
    bs_mutex_lock(&store->commit_lock);
    if (status) {
        bs_store_poison(store, &why);
    } else {
        bs_store_settle_pending(store, BS_MAX(bs_wal_durable(store->wal), cut));
    }
    bs_mutex_unlock(&store->commit_lock);
    if (status && err) *err = why;
    return status;
}

/* Nothing to freeze is a success with store->frozen NULL. */
static basalt_status freeze(struct bs_store *store, basalt_error *err)
{
    struct bs_memtable *next = NULL;
    struct bs_view *view = NULL, *now = NULL;
    basalt_status status = BASALT_OK;
    bs_mutex_lock(&store->commit_lock);
    const bool empty = !store->active->last_end;
    bs_mutex_unlock(&store->commit_lock);
    if (empty) return BASALT_OK;
    BS_TRY(bs_memtable_create(store->parts.budget, ++store->memtables_made, &next, err));
    now = bs_view_current(store);
    BS_TRY(bs_view_create(now->root, store->active, next, &view, err));
    bs_published_set(&store->view, &view->shared);
    bs_mutex_lock(&store->commit_lock);
    atomic_store_explicit(&store->active->sealed, store->appended, memory_order_release);
    store->frozen = store->active;
    store->active = next;
    next = NULL;
    bs_pace_frozen(store);
    bs_mutex_unlock(&store->commit_lock);
out:
    bs_view_release(now);
    bs_memtable_release(next);
    return status;
}

/* ---- writing what is frozen ---------------------------------------------------------------------- */

static void drop_writer(struct bs_store *store)
{
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family;
         family = atomic_load(&family->next)) {
        bs_family_file_free(family->file);
        family->file = NULL;
    }
    bs_h5_writer_close(store->writer);
    store->writer = NULL;
}

static basalt_status need_writer(struct bs_store *store, basalt_error *err)
{
    if (store->writer) return BASALT_OK;
    const basalt_status status =
        bs_h5_writer_open(store->file, store->superblock, &store->writer, err);
    if (!status) bs_file_note_open(store);
    return status;
}

static basalt_status write_creations(
    const struct bs_file_work *work, struct bs_memtable *memtable, bs_lsn cut, basalt_error *err)
{
    for (struct bs_op *op = bs_op_first(&memtable->creations.first, cut); op;
         op = bs_op_next(op, cut)) {
        const basalt_status status = bs_family_file_create(work, op->family, err);
        if (status) return status;
    }
    return BASALT_OK;
}

static basalt_status write_attributes(
    const struct bs_file_work *work, struct bs_memtable *memtable, bs_lsn cut, basalt_error *err)
{
    for (struct bs_op *op = bs_op_first(&memtable->attributes.first, cut); op;
         op = bs_op_next(op, cut)) {
        basalt_status status = op->family ? bs_family_file_open(work, op->family, err) : BASALT_OK;
        if (!status) {
            status = bs_h5_set_attribute_text(work->writer,
                op->family ? op->family->file->group : bs_h5_root(work->writer), op->name,
                op->value, err);
        }
        if (status) return status;
    }
    return BASALT_OK;
}

static basalt_status write_rows(struct bs_store *store, const struct bs_file_work *work,
    struct bs_memtable *memtable, bs_lsn cut, basalt_error *err)
{
    for (struct bs_part *part = atomic_load(&memtable->parts); part;
         part = atomic_load(&part->next)) {
        struct bs_family *family = part->family;
        if (!bs_op_first(&part->first, cut)) continue;
        basalt_status status = bs_family_file_open(work, family, err);
        if (!status) status = bs_family_file_append(work, family, part, cut, err);
        if (!status) status = bs_family_file_grow(work, family, err);
        if (!status) status = bs_statistics_flush(work, family, err);
        if (status) {
            bs_error_prefix(err, "writing family \"%.60s\"", family->name);
            return status;
        }
        family->raw_tails = store->tails_pending = true;
    }
    return BASALT_OK;
}

static basalt_status finish_tails(
    struct bs_store *store, const struct bs_file_work *work, basalt_error *err)
{
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family;
         family = atomic_load(&family->next)) {
        if (!family->raw_tails || family->fault) continue;
        basalt_status status = bs_family_file_open(work, family, err);
        if (!status) status = bs_family_file_finish(work, family, err);
        if (status) return status;
    }
    return BASALT_OK;
}

static basalt_status write_everything(
    struct bs_store *store, struct bs_memtable *frozen, bs_lsn cut, bool finish, basalt_error *err)
{
    struct bs_view *view = bs_view_current(store);
    const struct bs_file_work work = {
        store->writer, view->root->h5, store->parts.sched, &store->scratches};
    basalt_status status = BASALT_OK;
#ifdef BASALT_MUTANT_cut_off_by_one
    const bs_lsn rows_cut = cut - 1;
#else
    const bs_lsn rows_cut = cut;
#endif
    if (frozen) {
        status = write_creations(&work, frozen, cut, err);
        if (!status) status = write_rows(store, &work, frozen, rows_cut, err);
        if (!status) status = write_attributes(&work, frozen, cut, err);
    }
    if (!status && finish) status = finish_tails(store, &work, err);
    bs_view_release(view);
    return status;
}

/* ---- after the flip ------------------------------------------------------------------------------ */

/* What root_rows in view.c relies on: the commit first, then the rows. */
static void note_rows(struct bs_store *store, struct bs_memtable *frozen)
{
    if (!frozen) return;
    for (struct bs_part *part = atomic_load(&frozen->parts); part;
         part = atomic_load(&part->next)) {
        if (!part->family->file) continue;
        atomic_store_explicit(&part->family->file_commit, store->commit, memory_order_release);
        atomic_store_explicit(
            &part->family->file_rows, part->family->file->rows, memory_order_release);
    }
}

static void forget_tails(struct bs_store *store)
{
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family;
         family = atomic_load(&family->next)) {
        family->raw_tails = false;
    }
    store->tails_pending = false;
}

static void time_checkpoint(struct bs_store *store, uint64_t began_ns)
{
    const uint64_t took_ns = bs_now_ns() - began_ns;
    atomic_fetch_add(&store->checkpoints, 1);
    atomic_store(&store->checkpoint_last_ns, took_ns);
    bs_atomic_max(&store->checkpoint_max_ns, took_ns);
}

static void publish(struct bs_store *store, struct bs_view *view, bs_lsn cut)
{
    struct bs_memtable *frozen = store->frozen;
    bs_published_set(&store->view, &view->shared);
    atomic_store(&store->cut, cut);
    bs_mutex_lock(&store->commit_lock);
    store->frozen = NULL;
    bs_condition_broadcast(&store->room);
    bs_mutex_unlock(&store->commit_lock);
    bs_memtable_release(frozen);
    if (bs_wal_remove_below(store->wal, cut, NULL)) atomic_fetch_add(&store->warnings, 1);
    if (bs_log_remove_old(store, NULL)) atomic_fetch_add(&store->warnings, 1);
}

/* The view is made before the flip: nothing that can fail may stand between the two. */
basalt_status bs_checkpoint_show(struct bs_store *store, bs_lsn cut, basalt_error *err)
{
    struct bs_root *root = NULL;
    struct bs_view *view = NULL;
    basalt_status status = bs_root_create(store, NULL, store->commit + 1, cut, &root, err);
    if (status) return status;
    BS_TRY(bs_view_create(root, NULL, store->active, &view, err));
    BS_TRY(bs_file_flip(store, cut, &root->h5, err));
    note_rows(store, store->frozen);
    publish(store, view, cut);
    view = NULL;
out:
    bs_view_release(view);
    bs_shared_release(&root->shared);
    return status;
}

static basalt_status flush(struct bs_store *store, bool finish, basalt_error *err)
{
    struct bs_memtable *frozen = store->frozen;
    const uint64_t began_ns = bs_now_ns();
    const uint64_t frozen_bytes = frozen ? atomic_load(&frozen->bytes) : 0;
    basalt_status status = BASALT_OK;
    bs_mutex_lock(&store->commit_lock);
    const bs_lsn cut = frozen ? atomic_load(&frozen->sealed) : store->appended;
    bs_mutex_unlock(&store->commit_lock);
    status = wait_until_visible(store, cut, err);
    if (!status) status = bs_file_check_ours(store, err); /* before anything is written to it */
    if (status) return status;
    status = need_writer(store, err);
    if (!status) {
        bs_file_reclaim(store);
        if (bs_h5_shorten(store->writer, NULL)) atomic_fetch_add(&store->warnings, 1);
        status = write_everything(store, frozen, cut, finish, err);
    }
    if (!status) status = bs_checkpoint_show(store, cut, err);
    if (status) {
        basalt_error why = {0};
        drop_writer(store);
        if (status != BASALT_CORRUPT && status != BASALT_NOT_HDF5) return status;
        if (bs_file_check_ours(store, &why) != BASALT_CONFLICT) return status;
        if (err) *err = why; /* what is corrupt is not ours */
        return BASALT_CONFLICT;
    }
    if (finish) forget_tails(store);
    if (frozen || finish) time_checkpoint(store, began_ns);
    bs_mutex_lock(&store->commit_lock);
    bs_pace_note(store, frozen_bytes, bs_now_ns() - began_ns);
    bs_mutex_unlock(&store->commit_lock);
    return BASALT_OK;
}

basalt_status bs_checkpoint_run(struct bs_store *store, bool closing, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    bs_mutex_lock(&store->commit_lock);
    const bs_lsn target = store->appended;
    if (store->poison.status) status = bs_store_fail_poisoned(store, err);
    bs_mutex_unlock(&store->commit_lock);
    while (!status) {
        if (!store->frozen) status = freeze(store, err);
        if (status) break;
        bs_mutex_lock(&store->commit_lock);
        const bool finish = closing && !store->active->last_end;
        const bool open_wanted = store->open_wanted;
        bs_mutex_unlock(&store->commit_lock);
        const int mark = atomic_load(&store->mark);
        store->finishing = finish;
        if (!store->frozen && !(finish && (store->tails_pending || mark == BS_MARK_OPEN)) &&
            !(!closing && open_wanted && mark != BS_MARK_OPEN)) {
            break;
        }
        status = flush(store, finish, err);
        if (!status && !closing && atomic_load(&store->cut) >= target) break;
    }
    return status;
}

static basalt_status rebuild_families(struct bs_store *store, basalt_error *err)
{
    struct bs_view *view = bs_view_current(store);
    const struct bs_file_work work = {
        store->writer, view->root->h5, store->parts.sched, &store->scratches};
    basalt_status status = BASALT_OK;
    *store->rebuilt_chunks = 0;
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family && !status;
         family = atomic_load(&family->next)) {
        uint64_t chunks = 0;
        if (family->fault) continue;
        status = bs_statistics_rebuild(&work, family, &chunks, err);
        if (status) bs_error_prefix(err, "family \"%.60s\"", family->name);
        *store->rebuilt_chunks += chunks;
    }
    bs_view_release(view);
    return status;
}

basalt_status bs_checkpoint_rebuild(struct bs_store *store, basalt_error *err)
{
    basalt_status status = bs_file_check_ours(store, err);
    if (!status) status = need_writer(store, err);
    if (status) return status;
    bs_file_reclaim(store);
    status = rebuild_families(store, err);
    if (!status) status = bs_checkpoint_show(store, atomic_load(&store->cut), err);
    if (status) drop_writer(store);
    return status;
}

/* ---- the thread ---------------------------------------------------------------------------------- */

/* Under commit_lock. When must it run next? 0: now; UINT64_MAX: when something happens. */
static uint64_t due_at(const struct bs_store *store, uint64_t now)
{
    const basalt_store_options *options = &store->options;
    const struct bs_memtable *active = store->active;
    uint64_t at = UINT64_MAX;
    if (store->requested > store->completed) return 0;
    if (store->poison.status) return UINT64_MAX;
    if (store->frozen) {
        at = 0; /* left over from an attempt that failed */
    } else if (!active->last_end) {
        return UINT64_MAX;
    } else if (atomic_load_explicit(&active->bytes, memory_order_relaxed) >=
            bs_pace_threshold(store) ||
        store->appended - atomic_load(&store->cut) >= options->checkpoint_log_bytes) {
        at = 0;
    } else if (options->checkpoint_age_ms) {
        at = active->oldest_ns + options->checkpoint_age_ms * 1000000u;
    }
    if (at != UINT64_MAX && store->checkpoint_failed_at_ns) {
        at = BS_MAX(at, store->checkpoint_failed_at_ns + RETRY_NS);
    }
    return at <= now ? 0 : at;
}

static void run_once(struct bs_store *store)
{
    const uint64_t requested = store->requested;
    basalt_error why = {0};
    bs_mutex_unlock(&store->commit_lock);
    const basalt_status status = bs_checkpoint_run(store, false, &why);
    bs_mutex_lock(&store->commit_lock);
    store->checkpoint_error = why;
    store->checkpoint_error.status = status;
    store->checkpoint_failed_at_ns = status ? bs_now_ns() : 0;
    store->checkpoint_failures += status != BASALT_OK;
    store->completed = requested;
    bs_condition_broadcast(&store->done);
    bs_condition_broadcast(&store->room);
}

static void body(void *argument)
{
    struct bs_store *store = argument;
    bs_thread_lower_priority();
    bs_mutex_lock(&store->commit_lock);
    while (!store->stop) {
        const uint64_t at = due_at(store, bs_now_ns());
        if (!at) {
            run_once(store);
        } else if (at == UINT64_MAX) {
            bs_condition_wait(&store->work, &store->commit_lock);
        } else {
            (void)bs_condition_wait_until(&store->work, &store->commit_lock, at);
        }
    }
    bs_mutex_unlock(&store->commit_lock);
}

basalt_status bs_checkpoint_start(struct bs_store *store, basalt_error *err)
{
    store->stop = false;
    return bs_thread_start("basalt-flush", body, store, &store->thread, err);
}

void bs_checkpoint_stop(struct bs_store *store)
{
    bs_mutex_lock(&store->commit_lock);
    store->stop = true;
    bs_condition_broadcast(&store->work);
    bs_condition_broadcast(&store->room);
    bs_mutex_unlock(&store->commit_lock);
    bs_thread_join(store->thread);
    store->thread = NULL;
}

basalt_status bs_checkpoint_request(struct bs_store *store, basalt_error *err)
{
    bs_mutex_lock(&store->commit_lock);
    const uint64_t mine = ++store->requested;
    bs_condition_signal(&store->work);
    while (store->completed < mine && !store->stop) {
        bs_condition_wait(&store->done, &store->commit_lock);
    }
    const basalt_status status = store->checkpoint_error.status;
    if (status && err) *err = store->checkpoint_error;
    bs_mutex_unlock(&store->commit_lock);
    return status;
}
