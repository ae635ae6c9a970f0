/* local_lock_posix.c - locks on this machine: byte ranges, the whole file, and who else has one.
 *
 * Two families of locks that never meet:
 *   byte ranges   F_OFD_SETLK, owned by the open file description. A classic POSIX lock is owned by
 *                 the process and lost when *any* descriptor of the file is closed, so a reader in
 *                 the same process would silently unlock a writer.
 *   whole file    flock, what libhdf5 takes: shared by its readers, exclusive by its writers. Here
 *                 only ever shared. Trying an exclusive one is not a harmless question: when the
 *                 upgrade is refused, Linux has already dropped the shared lock.
 *
 * WHO ELSE HAS THE FILE OPEN is read from /proc/locks, which names a file by device and inode. It is
 * believed only if (1) this process is in the initial pid namespace, since others are shown a
 * part of the list, (2) the file system is local, since other machines' locks are not in it, and
 * (3) our own lock is found there, where we hold one: on some file systems (btrfs, overlay) stat
 * and /proc/locks name a device differently. The kernel hands the list out a page at a time and
 * may skip a row when others come and go meanwhile, so it is read twice and the larger count is
 * taken: too many sharers only delays the reuse of space. */
#include "vfs/local_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define INITIAL_PID_NAMESPACE ((ino_t)0xEFFFFFFC) /* PROC_PID_INIT_INO of the Linux ABI */
#define LOCK_LIST_PASSES 2
#define LOCK_LINE_BYTES_MAX 256 /* a row has about 70 */

/* ---- the file system under a descriptor -------------------------------------------------------- */

struct bs_local_traits bs_local_traits_of(int descriptor)
{
    static const struct {
        unsigned long magic;
        struct bs_local_traits traits;
    } known[] = {
        {0xEF53, {true, true, true}},       /* ext2, ext3, ext4 */
        {0x58465342, {true, true, true}},   /* XFS */
        {0x01021994, {true, true, true}},   /* tmpfs */
        {0xF2F52010, {true, true, true}},   /* F2FS */
        {0x794C7630, {true, false, true}},  /* overlay: as the layer under it */
        {0x9123683E, {true, false, false}}, /* Btrfs: a store may need a fresh block */
        {0x2FC12FC1, {true, false, false}}, /* ZFS: likewise */
        {0xCA451A4E, {true, false, false}}, /* bcachefs: likewise */
    };
    struct statfs info;
    if (fstatfs(descriptor, &info) != 0) return (struct bs_local_traits){0};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(known); i++) {
        if (((unsigned long)info.f_type & 0xFFFFFFFFu) == known[i].magic) return known[i].traits;
    }
    return (struct bs_local_traits){0}; /* network, FUSE, or unknown: nothing is promised */
}

/* ---- byte ranges ------------------------------------------------------------------------------- */

static short lock_type(enum bs_lock_kind kind)
{
    if (kind == BS_LOCK_EXCLUSIVE) return F_WRLCK;
    return kind == BS_LOCK_SHARED ? F_RDLCK : F_UNLCK;
}

static struct flock range_make(enum bs_lock_kind kind, uint64_t start, uint64_t length)
{
    const bool to_the_end = length > BS_FILE_OFFSET_MAX - start; /* the kernel's word for it is 0 */
    assert(length > 0);
    assert(start <= BS_FILE_OFFSET_MAX);
    return (struct flock){.l_type = lock_type(kind),
        .l_whence = SEEK_SET,
        .l_start = (off_t)start,
        .l_len = to_the_end ? 0 : (off_t)length};
}

static basalt_status fail_lock(const struct bs_file *file, int reason, basalt_error *err)
{
    if (reason == ENOLCK || reason == EINVAL || reason == EOPNOTSUPP || reason == ENOSYS) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the file system of " SHOWN " has no locks", file->path);
    }
    return bs_fail_os(err, reason, BASALT_NO_OFFSET, "cannot lock " SHOWN, file->path);
}

basalt_status bs_local_lock(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, basalt_error *err)
{
    struct bs_local_file *self = bs_local_file_of(file);
    struct flock range = range_make(kind, start, length);

    if (kind == BS_LOCK_EXCLUSIVE && !self->writable) return bs_vfs_fail_read_only(file, err);
    if (fcntl(self->descriptor, F_OFD_SETLK, &range) == 0) return BASALT_OK;
    if (errno == EAGAIN || errno == EACCES) return bs_vfs_fail_locked(file, start, length, err);
    return fail_lock(file, errno, err);
}

basalt_status bs_local_probe(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, struct bs_lock_holder *out_holder, basalt_error *err)
{
    struct bs_local_file *self = bs_local_file_of(file);
    struct flock range = range_make(kind, start, length);

    assert(kind != BS_LOCK_NONE);
    *out_holder = (struct bs_lock_holder){0};
    if (fcntl(self->descriptor, F_OFD_GETLK, &range) != 0) return fail_lock(file, errno, err);
    if (range.l_type == F_UNLCK) return BASALT_OK;
    const uint64_t at = (uint64_t)range.l_start;
    *out_holder = (struct bs_lock_holder){.held = true,
        .kind = range.l_type == F_WRLCK ? BS_LOCK_EXCLUSIVE : BS_LOCK_SHARED,
        .start = at,
        .length = range.l_len ? (uint64_t)range.l_len : BS_FILE_OFFSET_MAX - at + 1};
    return BASALT_OK;
}

/* ---- the whole file ---------------------------------------------------------------------------- */

basalt_status bs_local_share(struct bs_file *file, enum bs_lock_kind kind, basalt_error *err)
{
    struct bs_local_file *self = bs_local_file_of(file);
    const bool take = kind == BS_LOCK_SHARED;

    if (kind == BS_LOCK_EXCLUSIVE) return bs_vfs_fail_share(file, err);
    if (flock(self->descriptor, take ? LOCK_SH | LOCK_NB : LOCK_UN) == 0) {
        atomic_store(&self->shared, take);
        return BASALT_OK;
    }
    if (errno == EWOULDBLOCK) {
        return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
            "another program has " SHOWN " open for writing", file->path);
    }
    return fail_lock(file, errno, err);
}

/* One row: "12: FLOCK  ADVISORY  READ 4711 fe:00:1310724 0 EOF"; waiters have "->" after "12:". */
static bool row_is_sharer(const char *row, const struct stat *file)
{
    char class[16], range_end[24];
    unsigned device_major = 0, device_minor = 0;
    unsigned long long inode = 0, range_start = 0;
    const int fields = sscanf(row, "%*s %15s %*s %*s %*s %x:%x:%llu %llu %23s", class,
        &device_major, &device_minor, &inode, &range_start, range_end);
    if (fields != 6) return false;
    if (strcmp(class, "FLOCK") != 0 && strcmp(class, "POSIX") != 0) return false;
    return range_start == 0 && strcmp(range_end, "EOF") == 0 && inode == file->st_ino &&
        device_major == major(file->st_dev) && device_minor == minor(file->st_dev);
}

/* Number of rows of the list that hold the whole file; -1 with errno set if it cannot be read. */
static int count_rows(const struct stat *file)
{
    char page[4096], row[LOCK_LINE_BYTES_MAX];
    size_t row_bytes = 0;
    int rows = 0;
    const int list = open("/proc/locks", O_RDONLY | O_CLOEXEC);
    if (list < 0) return -1;

    ssize_t got = 0;
    while ((got = read(list, page, sizeof page)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) break;
        for (ssize_t i = 0; i < got; i++) {
            if (page[i] != '\n') {
                if (row_bytes < sizeof row - 1) row[row_bytes++] = page[i];
                continue;
            }
            row[row_bytes] = '\0';
            row_bytes = 0;
            rows += row_is_sharer(row, file);
        }
    }
    const int reason = got < 0 ? errno : 0;
    close(list);
    errno = reason;
    return reason ? -1 : rows;
}

static bool in_initial_pid_namespace(void)
{
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 && info.st_ino == INITIAL_PID_NAMESPACE;
}

basalt_status bs_local_count_sharers(struct bs_file *file, unsigned *out_count, basalt_error *err)
{
    struct bs_local_file *self = bs_local_file_of(file);
    const struct bs_local_traits traits = bs_local_traits_of(self->descriptor);
    const int own = atomic_load(&self->shared) ? 1 : 0;
    struct stat info;
    int rows = 0;

    *out_count = 0;
    if (!traits.local || (!traits.plain_devices && !own) || !in_initial_pid_namespace()) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "who else has " SHOWN " open cannot be asked here", file->path);
    }
    if (fstat(self->descriptor, &info) != 0) {
        return bs_fail_os(err, errno, BASALT_NO_OFFSET, "cannot inspect " SHOWN, file->path);
    }
    for (int pass = 0; pass < LOCK_LIST_PASSES; pass++) {
        const int found = count_rows(&info);
        if (found < 0 || found < own) {
            return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "/proc/locks does not tell who else has " SHOWN " open", file->path);
        }
        rows = BS_MAX(rows, found);
    }
    *out_count = (unsigned)(rows - own);
    return BASALT_OK;
}
