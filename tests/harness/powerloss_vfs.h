/* powerloss_vfs.h - a file system in memory that can say what every crash would have left.
 *
 * It records each change as an event, in one order: writes, stores into lent log memory (at
 * mark_dirty), sizes, permission bits, creations, renames, removals, syncs of files and directories,
 * and marks that the workload sets. From the trace it makes images: what a machine finds after
 *   kill -9       the page cache at that event; a write may have reached some whole pages, a store
 *                 into lent memory any of its words
 *   power loss    what was synced, plus any choice of what was not. A disk writes sectors of 512
 *                 bytes whole, and a sector as the page cache had it at some moment: so of two writes
 *                 into one sector the later never arrives without the earlier. Sizes, permission bits
 *                 and directory entries arrive or do not, each for itself, until the file or the
 *                 directory is synced. A sync of a file does not keep its name.
 * An image is cheap to look at, and a new file system of this kind can be made from it, so that a
 * recovery is itself recorded and crashed.
 *
 * Locks and lent memory behave as the contract says, between several opens in this process. */
#ifndef BS_POWERLOSS_VFS_H
#define BS_POWERLOSS_VFS_H

#include "vfs/vfs.h"

enum powerloss_event_kind {
    POWERLOSS_WRITE,
    POWERLOSS_STORE, /* into lent log memory */
    POWERLOSS_SET_SIZE,
    POWERLOSS_RESERVE,
    POWERLOSS_SET_MODE,
    POWERLOSS_SYNC,
    POWERLOSS_SYNC_FAILED, /* what it should have synced may never arrive, however often one syncs */
    POWERLOSS_CREATE,
    POWERLOSS_RENAME,
    POWERLOSS_REMOVE,
    POWERLOSS_MAKE_DIRECTORY,
    POWERLOSS_SYNC_DIRECTORY,
    POWERLOSS_MARK,
    POWERLOSS_END, /* no event: the end of the trace */
    POWERLOSS_EVENT_KINDS
};

enum powerloss_kind {
    POWERLOSS_KILLED,      /* the page cache */
    POWERLOSS_KILLED_TORN, /* the page cache with the next write or store begun */
    POWERLOSS_NONE,        /* nothing that was not synced */
    POWERLOSS_ALL,         /* everything */
    POWERLOSS_PREFIX,      /* the unsynced operations up to one */
    POWERLOSS_MISSING,     /* all but one */
    POWERLOSS_ALONE,       /* only one */
    POWERLOSS_SUBSET,      /* any others */
    POWERLOSS_TORN,        /* one write with some of its sectors */
    POWERLOSS_GARBAGE,     /* the first sector of the guarded file is what nobody wrote */
    POWERLOSS_KINDS
};

struct powerloss_file {
    const char *path;
    const uint8_t *bytes;
    size_t size;
    uint32_t mode;
    bool directory;
    uint64_t hash; /* of bytes and permission bits */
};

/* Lent to the callback until it returns. */
struct powerloss_image {
    enum powerloss_kind kind;
    enum powerloss_event_kind cut_at; /* the event that did not happen any more */
    uint64_t cut;                     /* number of events before it */
    uint64_t mark;                    /* the last one set before the cut; 0: none */
    uint64_t hash;                    /* of all paths, sizes, permission bits and bytes */
    const struct powerloss_file *files;
    size_t file_count;
};

struct powerloss_options {
    unsigned all_subsets_max; /* every subset of at most so many unsynced operations; default 5 */
    unsigned each_max;        /* images of each other kind at one cut; default 24 */
    uint64_t seed;            /* of what is chosen by chance */
    const char *guarded_path; /* the file whose first sector may become garbage; NULL: none */
    bool no_kills, no_power;  /* leave those kinds out */
};

/* Never fails. */
struct bs_vfs *powerloss_create(void);
struct bs_vfs *powerloss_create_from(const struct powerloss_image *image);

uint64_t powerloss_event_count(struct bs_vfs *vfs);
/* `mark` is not less than any before. */
void powerloss_mark(struct bs_vfs *vfs, uint64_t mark);
/* The `count`-th sync of a file from now fails with EIO; 0: none does. */
void powerloss_fail_sync(struct bs_vfs *vfs, uint64_t count);
/* The process dies instead of the `count`-th sync of the file at `path` from now: that call and every
 * later one that would change something fail with EIO and change nothing, until powerloss_revive. What
 * other threads still store into lent memory counts as done before. */
void powerloss_die_at_sync(struct bs_vfs *vfs, const char *path, uint64_t count);
bool powerloss_is_dead(struct bs_vfs *vfs);
void powerloss_revive(struct bs_vfs *vfs);
/* Syncs of files take that long from now on, so that threads meet as they would on a disk. */
void powerloss_slow_sync(struct bs_vfs *vfs, uint64_t ns);
const char *powerloss_event_name(enum powerloss_event_kind kind);
const char *powerloss_kind_name(enum powerloss_kind kind);

/* Event number `index`, as far as tests need it. Paths are lent by `vfs`, NULL where there is none. */
struct powerloss_step {
    enum powerloss_event_kind kind;
    uint64_t offset; /* of a write or store; new size */
    size_t count;
    const char *path;  /* of the directory entry, or the directory synced */
    const char *to;    /* of a rename */
    bool of_this_file; /* it is about the bytes, the size or a sync of the file at `path` now */
};
struct powerloss_step powerloss_step_at(struct bs_vfs *vfs, uint64_t index, const char *path);

/* False ends the enumeration. */
typedef bool (*powerloss_fn)(void *context, const struct powerloss_image *image);

/* Calls `each` once for every distinct (hash, mark) among the images whose cut is in [from, to]; `to`
 * is at most powerloss_event_count. Kill images are made at every cut; images of a power loss before
 * every sync, and at `to`: what was unsynced at any cut between is a subset of what is then. No file
 * of `vfs` may change meanwhile. `options` NULL: all defaults. Returns the number of calls. */
uint64_t powerloss_images(struct bs_vfs *vfs, uint64_t from, uint64_t to,
    const struct powerloss_options *options, powerloss_fn each, void *context);

/* The file of that path in an image; NULL if there is none. */
const struct powerloss_file *powerloss_find(const struct powerloss_image *image, const char *path);

#endif
