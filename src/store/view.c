/* view.c - what a reader sees: a root of the file, and the rows behind it in up to two memtables.
 *
 * A snapshot is a view and a position. The view is taken first, without a lock; then `visible` is
 * read. Between the two the active memtable of that view may have been sealed at S and a younger one
 * begun, which the view does not have: so the position is cut to S. A view in which the memtable is
 * already called frozen, and the younger one active, is published before the sealing, so that
 * whoever returned from a commit finds its rows in any view taken afterwards.
 *
 * Roots are listed, oldest first, because space that a root can see must not be reused while any
 * view of it lives. */
#include "store/store_internal.h"

/* ---- roots --------------------------------------------------------------------------------- */

static void root_destroy(struct bs_shared *shared)
{
    struct bs_root *root = (struct bs_root *)(void *)shared;
    struct bs_store *store = root->store;
    bs_mutex_lock(&store->roots_lock);
    if (root->older) root->older->younger = root->younger;
    if (root->younger) root->younger->older = root->older;
    if (store->roots_oldest == root) store->roots_oldest = root->younger;
    if (store->roots_youngest == root) store->roots_youngest = root->older;
    bs_mutex_unlock(&store->roots_lock);
    bs_h5_file_close(root->h5);
    bs_free(root);
}

basalt_status bs_root_create(struct bs_store *store, struct bs_h5_file *h5, uint64_t commit,
    bs_lsn cut, struct bs_root **out_root, basalt_error *err)
{
    struct bs_root *root = bs_alloc_zeroed(1, sizeof *root);
    *out_root = NULL;
    if (!root) {
        bs_h5_file_close(h5);
        return bs_fail_memory(err, sizeof *root);
    }
    bs_shared_init(&root->shared, root_destroy);
    root->store = store;
    root->h5 = h5;
    root->commit = commit;
    root->cut = cut;
    bs_mutex_lock(&store->roots_lock);
    root->older = store->roots_youngest;
    if (root->older) root->older->younger = root;
    store->roots_youngest = root;
    if (!store->roots_oldest) store->roots_oldest = root;
    bs_mutex_unlock(&store->roots_lock);
    *out_root = root;
    return BASALT_OK;
}

uint64_t bs_roots_oldest(struct bs_store *store)
{
    bs_mutex_lock(&store->roots_lock);
    const uint64_t commit = store->roots_oldest ? store->roots_oldest->commit : UINT64_MAX;
    bs_mutex_unlock(&store->roots_lock);
    return commit;
}

/* ---- views --------------------------------------------------------------------------------- */

static void view_destroy(struct bs_shared *shared)
{
    struct bs_view *view = (struct bs_view *)(void *)shared;
    bs_memtable_release(view->active);
    bs_memtable_release(view->frozen);
    bs_shared_release(&view->root->shared);
    bs_free(view);
}

basalt_status bs_view_create(struct bs_root *root, struct bs_memtable *frozen,
    struct bs_memtable *active, struct bs_view **out_view, basalt_error *err)
{
    struct bs_view *view = bs_alloc_zeroed(1, sizeof *view);
    *out_view = NULL;
    if (!view) return bs_fail_memory(err, sizeof *view);
    bs_shared_init(&view->shared, view_destroy);
    bs_shared_retain(&root->shared);
    view->root = root;
    if (frozen) bs_shared_retain(&frozen->shared);
    view->frozen = frozen;
    bs_shared_retain(&active->shared);
    view->active = active;
    *out_view = view;
    return BASALT_OK;
}

struct bs_view *bs_view_current(struct bs_store *store)
{
    return (struct bs_view *)(void *)bs_published_take(&store->view);
}

void bs_view_take(struct bs_store *store, struct bs_view **out_view, bs_lsn *out_position)
{
    struct bs_view *view = bs_view_current(store);
    assert(view);
    const bs_lsn visible = atomic_load_explicit(&store->visible, memory_order_acquire);
    const bs_lsn sealed = atomic_load_explicit(&view->active->sealed, memory_order_acquire);
    *out_view = view;
    *out_position = BS_MIN(visible, sealed);
}

void bs_view_release(struct bs_view *view)
{
    if (view) bs_shared_release(&view->shared);
}

basalt_status bs_view_family(struct bs_store *store, bs_lsn position, const char *name,
    struct bs_family **out_family, basalt_error *err)
{
    struct bs_family *family = bs_catalogue_find(&store->catalogue, name);
    *out_family = NULL;
    if (!family || family->created > position) {
        return bs_fail(
            err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "there is no family \"%.100s\"", name);
    }
    *out_family = family;
    return BASALT_OK;
}

/* One past the last row of the part at `position`; 0: no row of it is visible. */
static uint64_t part_end(const struct bs_part *part, bs_lsn position)
{
    uint64_t end = 0;
    for (const struct bs_op *op = bs_op_first(&part->first, position); op;
         op = bs_op_next(op, position)) {
        end = op->first_row + op->rows;
    }
    return end;
}

/* Rows of the family in the file of this root. */
static basalt_status root_rows(const struct bs_root *root, const struct bs_family *family,
    uint64_t *out_rows, basalt_error *err)
{
    *out_rows = 0;
    if (family->created > root->cut) return BASALT_OK; /* it is not in that file yet */
    const uint64_t before = atomic_load_explicit(&family->file_commit, memory_order_acquire);
    const uint64_t rows = atomic_load_explicit(&family->file_rows, memory_order_acquire);
    const uint64_t after = atomic_load_explicit(&family->file_commit, memory_order_acquire);
    if (before == after && before <= root->commit) {
        *out_rows = rows;
        return BASALT_OK;
    }
    return bs_family_file_rows(root->h5, family, out_rows, err);
}

basalt_status bs_view_rows(struct bs_view *view, bs_lsn position, struct bs_family *family,
    uint64_t *out_rows, basalt_error *err)
{
    struct bs_memtable *const memtables[] = {view->active, view->frozen};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(memtables); i++) {
        const struct bs_part *part = memtables[i] ? bs_memtable_part(memtables[i], family) : NULL;
        const uint64_t end = part ? part_end(part, position) : 0;
        if (end) {
            *out_rows = end;
            return BASALT_OK;
        }
    }
    return root_rows(view->root, family, out_rows, err);
}

/* ---- snapshots ----------------------------------------------------------------------------- */

basalt_status bs_snapshot_create(
    struct bs_store *store, struct bs_snapshot **out_snapshot, basalt_error *err)
{
    struct bs_snapshot *snapshot = NULL;
    const basalt_status status = bs_store_check(store, false, err);
    *out_snapshot = NULL;
    if (status) return status;
    snapshot = bs_alloc_zeroed(1, sizeof *snapshot);
    if (!snapshot) return bs_fail_memory(err, sizeof *snapshot);
    snapshot->store = store;
    atomic_fetch_add(&store->handles, 1);
    bs_view_take(store, &snapshot->view, &snapshot->position);
    *out_snapshot = snapshot;
    return BASALT_OK;
}

void bs_snapshot_close(struct bs_snapshot **snapshot)
{
    if (!snapshot || !*snapshot) return;
    struct bs_store *store = (*snapshot)->store;
    bs_view_release((*snapshot)->view);
    bs_free(*snapshot);
    *snapshot = NULL;
    atomic_fetch_sub(&store->handles, 1);
}

basalt_status bs_snapshot_rows(
    struct bs_snapshot *snapshot, const char *family, uint64_t *out_rows, basalt_error *err)
{
    struct bs_family *found = NULL;
    *out_rows = 0;
    basalt_status status = bs_store_check(snapshot->store, false, err);
    if (!status) status = bs_view_family(snapshot->store, snapshot->position, family, &found, err);
    if (!status) {
        status = bs_view_rows(snapshot->view, snapshot->position, found, out_rows, err);
    }
    return status;
}

const struct bs_store *bs_snapshot_store(const struct bs_snapshot *snapshot)
{
    return snapshot->store;
}
