/* story.c - do a file and the log beside it belong together?
 *
 * The file's root says whether it was closed cleanly (the attribute `closed` of /.basalt), the log's
 * newest story which superblock the file has. So:
 *   (1) Before the first record of a session goes into the log, the file says that it is not closed, and
 *       that is durable (bs_store_mark_open). It says "closed" again with a flip behind which no record
 *       comes, and only when that is durable is the log removed. Hence a file that says "closed" needs
 *       nothing else, and one that does not has a log with a story somewhere.
 *   (2) The superblock in force is `current` or `next` of the newest story (file_flip.c, step 3). A torn
 *       one is neither, and the log knows what it was; but no crash makes a file shorter than both say.
 * A reader beside a live writer looks at the superblock, then at the log, then at the superblock again:
 * if that has not moved, the verdict is of one moment, for a story changes before its flip and a log is
 * removed after it. A story that is being moved to a younger segment may be missed: so a bad verdict is
 * asked for again. */
#include "store/store_internal.h"

#include <stdio.h>

#define LOOKS_MAX 3u
#define LOOK_AGAIN_NS 1000000u

enum bs_mark bs_mark_of(const struct bs_h5_identity *identity)
{
    if (!(identity->feature_read_only & BS_H5_FEATURE_CLOSED_MARK)) return BS_MARK_NONE;
    return identity->closed ? BS_MARK_CLOSED : BS_MARK_OPEN;
}

basalt_status bs_log_look(
    struct bs_vfs *vfs, const char *path, struct bs_wal_inventory *out_log, basalt_error *err)
{
    basalt_error why = {0};
    const basalt_status status = bs_wal_inspect(vfs, path, out_log, &why);
    if (status) memset(out_log, 0, sizeof *out_log);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    if (status && err) *err = why;
    return status;
}

static uint64_t end_of(const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES])
{
    struct bs_h5_superblock decoded;
    if (bs_h5_superblock_decode(superblock, BS_H5_SUPERBLOCK_BYTES, &decoded, NULL)) return 0;
    return decoded.end_of_file;
}

bool bs_story_allows_torn(const struct bs_wal_story *story, uint64_t file_bytes)
{
    return file_bytes >= BS_MIN(end_of(story->current), end_of(story->next));
}

/* HDF5, and of a version that Basalt never wrote: not what a torn write leaves. */
static bool is_old_hdf5(const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES])
{
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    return !memcmp(superblock, signature, sizeof signature) && superblock[8] < 2;
}

enum bs_bond bs_bond_of(const struct bs_bond_file *file, const struct bs_wal_inventory *log)
{
    const struct bs_wal_story *story = &log->story;
    struct bs_h5_superblock decoded;
    if (!log->has_story) return file->open ? BS_BOND_MISSING : BS_BOND_NONE;
    if (is_old_hdf5(file->superblock)) return BS_BOND_PARTED;
    if (bs_h5_superblock_decode(file->superblock, BS_H5_SUPERBLOCK_BYTES, &decoded, NULL)) {
        return bs_story_allows_torn(story, file->bytes) ? BS_BOND_FITS : BS_BOND_PARTED;
    }
    if (file->uuid && memcmp(story->store_uuid, file->uuid, sizeof story->store_uuid) != 0) {
        return BS_BOND_STRANGER;
    }
    if (memcmp(file->superblock, story->current, BS_H5_SUPERBLOCK_BYTES) != 0 &&
        memcmp(file->superblock, story->next, BS_H5_SUPERBLOCK_BYTES) != 0) {
        return BS_BOND_PARTED;
    }
    return BS_BOND_FITS;
}

basalt_status bs_bond_look(struct bs_vfs *vfs, const char *path, const struct bs_bond_file *file,
    struct bs_wal_inventory *out_log, enum bs_bond *out_bond, basalt_error *err)
{
    *out_bond = BS_BOND_NONE;
    for (unsigned looks = 0; looks < LOOKS_MAX; looks++) {
        if (looks) bs_sleep_ns(LOOK_AGAIN_NS);
        const basalt_status status = bs_log_look(vfs, path, out_log, err);
        if (status) return status;
        *out_bond = bs_bond_of(file, out_log);
        if (*out_bond == BS_BOND_NONE || *out_bond == BS_BOND_FITS) break;
    }
    return BASALT_OK;
}

basalt_status bs_bond_fail(enum bs_bond bond, const char *path, basalt_error *err)
{
    const char *name = bs_path_name(path);
    switch (bond) {
    case BS_BOND_NONE:
    case BS_BOND_FITS: break;
    case BS_BOND_MISSING:
        return bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
            "%.44s was not closed and its log is missing: put back %.30s-log.* (rename it if it has"
            " the file's old name); `cat` reads the last checkpoint, `recover --without-log` goes on",
            path, name);
    case BS_BOND_STRANGER:
        return bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
            "the log beside %.100s belongs to another store: nothing was changed; move %.40s-log.*"
            " away, to the file that it was written for",
            path, name);
    case BS_BOND_PARTED:
        return bs_fail(err, BASALT_CONFLICT, 0,
            "%.48s is not as the log beside it left it: another file, or changed since; `basalt cat`"
            " reads its last checkpoint; put the right file here, or move %.36s-log.* away",
            path, name);
    }
    return BASALT_OK;
}

/* Once a session. Who is first waits for the checkpoint thread, which alone flips. */
basalt_status bs_store_mark_open(struct bs_store *store, basalt_error *err)
{
#ifdef BASALT_MUTANT_no_open_mark
    (void)store;
    (void)err;
    return BASALT_OK;
#else
    if (atomic_load_explicit(&store->mark, memory_order_acquire) == BS_MARK_OPEN) return BASALT_OK;
    bs_mutex_lock(&store->commit_lock);
    store->open_wanted = true;
    bs_mutex_unlock(&store->commit_lock);
    const basalt_status status = bs_checkpoint_request(store, err);
    if (status || atomic_load(&store->mark) == BS_MARK_OPEN) return status;
    return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET, "%.150s is being closed", store->path);
#endif
}
