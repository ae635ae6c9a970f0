/* draft.c - a new store that gets its name when it is whole: what a backup and a client that replaces a
 * file write to.
 *
 * Its file is TARGET.part-HEX (16 random digits) until the clean close; then one rename gives it its
 * name. A crash leaves nothing that looks like the target. A kill leaves that file and its log, which the
 * next draft of the same target removes: unless somebody holds its writer's lock, or the lock of the
 * backup, which spans the time from the first one's release to the rename. */
#include "store/store_internal.h"

struct bs_draft {
    struct bs_vfs *vfs;
    char *target;
    struct bs_bytes part; /* its name until then */
    bool made;            /* the file, whether or not the store could be opened then */
    struct bs_store *store;
    struct bs_file *guard; /* holds the lock of the backup */
};

/* ---- what others left -------------------------------------------------------------------------- */

static void remove_partial(struct bs_vfs *vfs, const char *path)
{
    basalt_status ignored = bs_wal_remove_all(vfs, path, 0, NULL);
    (void)ignored; /* the failure that led here counts; the name says what is left over */
    ignored = vfs->ops->remove(vfs, path, NULL);
    (void)ignored;
}

static bool is_dead(struct bs_vfs *vfs, const char *path)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_identity identity;
    if (bs_file_open(vfs, path, BS_OPEN_READ, &file, NULL)) return false;
    const bool dead = !bs_h5_file_open(file, &h5, NULL) &&
        !bs_h5_identity_read(h5, &identity, NULL) && !bs_part_is_held(file);
    bs_h5_file_close(h5);
    bs_file_close(file);
    return dead;
}

static bool remove_dead(struct bs_vfs *vfs, const char *path)
{
    if (is_dead(vfs, path)) remove_partial(vfs, path);
    return true;
}

/* ---- a draft ----------------------------------------------------------------------------------- */

static void draft_free(struct bs_draft *draft)
{
    bs_file_close(draft->guard);
    bs_bytes_free(&draft->part);
    bs_free(draft->target);
    bs_free(draft);
}

static const char *part_name(const struct bs_draft *draft)
{
    return (const char *)draft->part.data;
}

static basalt_status guard(struct bs_draft *draft, basalt_error *err)
{
    basalt_status status =
        bs_file_open(draft->vfs, part_name(draft), BS_OPEN_READ, &draft->guard, err);
    if (status) return status;
    status = draft->guard->ops->lock(draft->guard, BS_LOCK_SHARED, BS_LOCK_BACKUP, 1, err);
    return status == BASALT_UNSUPPORTED ? BASALT_OK : status; /* nor can anybody probe it then */
}

basalt_status bs_draft_open(const struct bs_env_parts *parts, const char *target,
    const basalt_store_options *options, struct bs_draft **out_draft, basalt_error *err)
{
    basalt_store_options own;
    basalt_status status = BASALT_OK;
    struct bs_draft *draft = bs_alloc_zeroed(1, sizeof *draft);
    *out_draft = NULL;
    if (!draft) return bs_fail_memory(err, sizeof *draft);
    bs_store_options_fill(&own, options);
    own.access = BASALT_CREATE_NEW;
    own.checkpoint_age_ms = 0;
    own.grace_ms = 0; /* nobody knows the file yet */
    draft->vfs = parts->vfs;
    draft->target = bs_copy_string(target);
    if (!draft->target) {
        status = bs_fail_memory(err, strlen(target));
        goto out;
    }
    BS_TRY(bs_part_path(target, &draft->part, err));
    const unsigned left = bs_part_leftovers_remove(parts->vfs, target, remove_dead);
    (void)left; /* what stays has a name that says what it is */
    status = bs_store_open(parts, part_name(draft), &own, &draft->store, err);
    draft->made = status != BASALT_EXISTS;
    if (status) goto out;
    BS_TRY(guard(draft, err));
    *out_draft = draft;
    draft = NULL;
out:
    if (draft && draft->part.data && !draft->part.failed) {
        bs_error_cut(err, part_name(draft) + strlen(target));
    }
    bs_draft_discard(draft);
    return status;
}

struct bs_store *bs_draft_store(const struct bs_draft *draft)
{
    return draft->store;
}

basalt_status bs_draft_place(struct bs_draft **draft, bool replace, basalt_error *err)
{
    struct bs_draft *gone = *draft;
    basalt_status status = bs_store_close(&gone->store, err);
    if (gone->store) return status; /* busy, or a forked child's: it stays */
    *draft = NULL;
    if (!status) status = bs_part_place(gone->vfs, part_name(gone), gone->target, replace, err);
    if (status) {
        remove_partial(gone->vfs, part_name(gone));
        bs_error_cut(err, part_name(gone) + strlen(gone->target));
    }
    draft_free(gone);
    return status;
}

void bs_draft_discard(struct bs_draft *draft)
{
    if (!draft) return;
    bs_store_abandon(draft->store);
    if (draft->made) remove_partial(draft->vfs, part_name(draft));
    draft_free(draft);
}
