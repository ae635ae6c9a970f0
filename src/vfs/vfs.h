/* vfs.h - files and directories, whatever holds them.   floor 4: may include base, sched, codec
 *
 * All calls to the operating system about files are behind this table. Implementations:
 * local_posix.c (this machine), memory.c (nothing survives the process), and in tests/harness/ the
 * faulty and the power-loss file system, which wrap or replace them. A caller never asks which one
 * it has; it asks `traits`.
 *
 * Threads: a bs_vfs and a bs_file may be used by any number of threads at once; read_at and
 * write_at carry their own position. Paths are absolute or relative to the process, UTF-8. */
#ifndef BS_VFS_H
#define BS_VFS_H

#include "base/base.h"

struct bs_vfs;
struct bs_file;

enum bs_open_flags {
    BS_OPEN_READ = 0,
    BS_OPEN_WRITE = 1,     /* and read */
    BS_OPEN_CREATE = 2,    /* with WRITE: make it if it is absent */
    BS_OPEN_EXCLUSIVE = 4, /* with CREATE: EXISTS if it is there */
    BS_OPEN_TRUNCATE = 8,
    BS_OPEN_NO_LINKS =
        16 /* UNSUPPORTED if a part of the path is a symbolic link: for a path that was
                           * found to have none, and may have been changed since */
};

struct bs_file_info {
    uint64_t size_bytes;
    uint64_t device, inode; /* together the identity of the file */
    uint64_t links;         /* hard links */
    uint64_t modified_ns;   /* when bytes were written */
    uint64_t changed_ns;    /* when anything of it was changed; 0: not known */
    uint32_t mode;          /* permission bits */
    bool directory;
    bool owned; /* we may change its permission bits */
};

/* Byte-range locks are on the open file description (OFD), never classic POSIX ones: closing
 * another descriptor of the file would drop those. */
enum bs_lock_kind { BS_LOCK_NONE, BS_LOCK_SHARED, BS_LOCK_EXCLUSIVE };

struct bs_lock_holder {
    bool held; /* somebody else holds a lock that conflicts with the one asked for */
    enum bs_lock_kind kind;
    uint64_t start, length;
};

/* Memory that is a log file's content: storing into `bytes` and calling mark_dirty survives the
 * death of the process; bs_file_sync after it survives power loss. `bytes` is NULL where the file
 * system cannot lend such memory: then write_at is the way. */
struct bs_log_memory {
    uint8_t *bytes;
    size_t capacity_bytes;
};

/* Bytes of a file as memory, read-only. Whoever shortens the file meanwhile makes a touch of what was
 * cut off fatal (SIGBUS). */
struct bs_file_map {
    const uint8_t *bytes;
    void *start; /* of what the operating system mapped */
    size_t start_bytes;
};

struct bs_file_ops {
    void (*close)(struct bs_file *file);
    /* Reads up to `count` bytes; *out_count is short only at the end of the file. Retries EINTR and
     * short reads. */
    basalt_status (*read_at)(struct bs_file *file, void *out, size_t count, uint64_t offset,
        size_t *out_count, basalt_error *err);
    basalt_status (*write_at)(
        struct bs_file *file, const void *bytes, size_t count, uint64_t offset, basalt_error *err);
    /* May begin to write these bytes to the device, since a sync of them follows: promises nothing,
     * reports nothing. NULL where there is nothing to begin. */
    void (*write_behind)(struct bs_file *file, uint64_t offset, uint64_t count);
    /* Data and the size needed to read it back (fdatasync). Never retried by anybody. */
    basalt_status (*sync)(struct bs_file *file, basalt_error *err);
    basalt_status (*info)(struct bs_file *file, struct bs_file_info *out_info, basalt_error *err);
    basalt_status (*set_size)(struct bs_file *file, uint64_t bytes, basalt_error *err);
    /* Reserves disk for [0, bytes) and grows the file to it, so that later stores cannot run out of
     * space. UNSUPPORTED where the file system reserves nothing. */
    basalt_status (*reserve)(struct bs_file *file, uint64_t bytes, basalt_error *err);
    basalt_status (*set_mode)(struct bs_file *file, uint32_t mode, basalt_error *err);
    /* After reserve: populated and ready for stores. UNSUPPORTED where there is no such memory. */
    basalt_status (*lend_log)(struct bs_file *file, size_t capacity_bytes,
        struct bs_log_memory *out_memory, basalt_error *err);
    void (*mark_dirty)(
        struct bs_file *file, const struct bs_log_memory *memory, size_t at, size_t count);
    void (*return_log)(struct bs_file *file, struct bs_log_memory *memory); /* sets bytes NULL */
    /* Sets (or with NONE drops) a lock on a byte range; never blocks: BUSY if refused. */
    basalt_status (*lock)(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
        uint64_t length, basalt_error *err);
    /* Would a lock of this kind be refused, and because of what? Takes nothing. */
    basalt_status (*probe)(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
        uint64_t length, struct bs_lock_holder *out_holder, basalt_error *err);
    /* The whole-file lock that libhdf5 takes (flock): SHARED or NONE only, see design section 4. */
    basalt_status (*share)(struct bs_file *file, enum bs_lock_kind kind, basalt_error *err);
    /* How many other holders of a shared whole-file lock are listed; UNSUPPORTED if that cannot be
     * asked here (another pid namespace, a network file system, another operating system). */
    basalt_status (*count_sharers)(struct bs_file *file, unsigned *out_count, basalt_error *err);
    /* Bytes [offset, offset + count), which the file has. Both NULL where a file cannot be memory. */
    basalt_status (*map)(struct bs_file *file, uint64_t offset, size_t count,
        struct bs_file_map *out_map, basalt_error *err);
    void (*unmap)(struct bs_file *file, struct bs_file_map *map);
};

struct bs_file {
    const struct bs_file_ops *ops;
    struct bs_vfs *vfs;
    char *path; /* as opened; for messages */
};

struct bs_vfs_traits {
    bool locks;      /* byte-range locks work between processes */
    bool log_memory; /* lend_log works */
    bool persistent; /* outlives the process */
};

struct bs_vfs_ops {
    void (*free)(struct bs_vfs *vfs);
    basalt_status (*open)(struct bs_vfs *vfs, const char *path, unsigned flags,
        struct bs_file **out_file, basalt_error *err);
    basalt_status (*info)(
        struct bs_vfs *vfs, const char *path, struct bs_file_info *out_info, basalt_error *err);
    basalt_status (*remove)(struct bs_vfs *vfs, const char *path, basalt_error *err);
    /* With `replace` takes the place of `to`; without, EXISTS if `to` is there. */
    basalt_status (*rename)(
        struct bs_vfs *vfs, const char *from, const char *to, bool replace, basalt_error *err);
    basalt_status (*make_directory)(struct bs_vfs *vfs, const char *path, basalt_error *err);
    /* Calls `each` for every name in the directory, in no order; stops at the first failure. */
    basalt_status (*list)(struct bs_vfs *vfs, const char *directory,
        basalt_status (*each)(void *context, const char *name, basalt_error *err), void *context,
        basalt_error *err);
    /* Makes creations, renames and removals in the directory survive power loss. */
    basalt_status (*sync_directory)(struct bs_vfs *vfs, const char *directory, basalt_error *err);
    /* The path with every symbolic link resolved; of a file that is absent, its directory's. The
     * caller frees it with bs_free. */
    basalt_status (*real_path)(
        struct bs_vfs *vfs, const char *path, char **out_path, basalt_error *err);
    uint64_t (*free_bytes)(struct bs_vfs *vfs, const char *directory); /* UINT64_MAX: unknown */
};

struct bs_vfs {
    const struct bs_vfs_ops *ops;
    struct bs_vfs_traits traits;
};

/* ---- implementations --------------------------------------------------------------------- */

BS_MUST_USE basalt_status bs_vfs_local_create(struct bs_vfs **out_vfs, basalt_error *err);
BS_MUST_USE basalt_status bs_vfs_memory_create(struct bs_vfs **out_vfs, basalt_error *err);
void bs_vfs_free(struct bs_vfs *vfs); /* NULL is fine; no file may be open */

/* ---- calls through the tables, with the checks that every caller would write ---------------- */

BS_MUST_USE basalt_status bs_file_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err);
void bs_file_close(struct bs_file *file); /* NULL is fine */
/* CORRUPT "the file ends at N, M bytes were expected at K" if it is shorter. */
BS_MUST_USE basalt_status bs_file_read_all_at(
    struct bs_file *file, void *out, size_t count, uint64_t offset, basalt_error *err);
BS_MUST_USE basalt_status bs_file_write_at(
    struct bs_file *file, const void *bytes, size_t count, uint64_t offset, basalt_error *err);
BS_MUST_USE basalt_status bs_file_sync(struct bs_file *file, basalt_error *err);
/* UNSUPPORTED where files cannot be memory; CORRUPT if the file is shorter. */
BS_MUST_USE basalt_status bs_file_map(struct bs_file *file, uint64_t offset, uint64_t count,
    struct bs_file_map *out_map, basalt_error *err);
void bs_file_unmap(struct bs_file *file, struct bs_file_map *map); /* an empty one is fine */
BS_MUST_USE basalt_status bs_file_size(
    struct bs_file *file, uint64_t *out_bytes, basalt_error *err);
/* "dir" of "dir/name", "." of "name"; the caller frees it with bs_free; NULL if no memory. */
BS_MUST_USE char *bs_path_directory(const char *path);
const char *bs_path_name(const char *path); /* lends the part after the last slash */

#endif
