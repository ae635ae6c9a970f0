/* local_log_posix.c - disk reserved ahead, and a log file's content lent as memory.
 *
 * WHY THIS ORDER. A store into a mapped file that has no disk block behind it allocates one inside
 * the page fault: on a full disk that fault is a SIGBUS, on an idle one a stall of tens of
 * milliseconds. So lent memory is (1) reserved by fallocate, which fails with ENOSPC while failing
 * is harmless, and (2) populated for writing, so that no store faults on an unwritten extent. A sync
 * before the first store would write the zeros and convert the extents, so that the first sync of
 * the log does not pay for that: the log asks for it where syncs are waited for.
 *
 * The C library's posix_fallocate is not used: where the file system cannot reserve, it writes
 * zeros, and pages filled by write are large folios, of which every later sync of 128 bytes writes
 * a megabyte. For the same reason the memory of a recycled file is never lent again.
 *
 * mark_dirty does nothing here: the kernel sees stores into a shared mapping, keeps them when the
 * process dies, and fdatasync writes them. */
#include "vfs/local_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older kernels answer EINVAL */
#endif

#define STAT_BLOCK_BYTES ((uint64_t)512) /* the unit of st_blocks, whatever the file system */

static basalt_status fail_reserves_nothing(const struct bs_file *file, basalt_error *err)
{
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "the file system of " SHOWN " cannot reserve disk ahead", file->path);
}

static bool is_backed(const struct stat *info, uint64_t bytes)
{
    return (uint64_t)info->st_blocks >= bytes / STAT_BLOCK_BYTES;
}

/* Gives back what a failed fallocate may have left. That it can fail too changes nothing: the
 * caller already reports the first failure. */
static void undo_growth(int descriptor, off_t size)
{
    if (ftruncate(descriptor, size) != 0) return;
}

basalt_status bs_local_reserve(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    struct bs_local_file *self = bs_local_file_of(file);
    struct stat before, after;

    if (!self->writable) return bs_vfs_fail_read_only(file, err);
    if (!bytes) return BASALT_OK;
    if (bytes > BS_FILE_OFFSET_MAX) {
        return bs_fail_os(
            err, EFBIG, BASALT_NO_OFFSET, "cannot reserve disk for " SHOWN, file->path);
    }
    if (fstat(self->descriptor, &before) != 0) {
        return bs_fail_os(err, errno, BASALT_NO_OFFSET, "cannot inspect " SHOWN, file->path);
    }
    if (!bs_local_traits_of(self->descriptor).reserves) return fail_reserves_nothing(file, err);

    int result;
    do {
        result = fallocate(self->descriptor, 0, 0, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    const int reason = result == 0 ? 0 : errno;
    if (reason) undo_growth(self->descriptor, before.st_size);
    if (reason == EOPNOTSUPP || reason == ENOSYS) return fail_reserves_nothing(file, err);
    if (reason) {
        return bs_fail_os(err, reason, BASALT_NO_OFFSET,
            "cannot reserve %" PRIu64 " bytes of disk for " SHOWN, bytes, file->path);
    }
    if (fstat(self->descriptor, &after) != 0) {
        return bs_fail_os(err, errno, BASALT_NO_OFFSET, "cannot inspect " SHOWN, file->path);
    }
    if (!is_backed(&after, bytes)) {
        undo_growth(self->descriptor, before.st_size);
        return fail_reserves_nothing(file, err);
    }
    return BASALT_OK;
}

/* For kernels without MADV_POPULATE_WRITE: a store of what is there into every page. */
static void touch_pages(uint8_t *bytes, size_t count)
{
    const long page = sysconf(_SC_PAGESIZE);
    const size_t step = page > 0 ? (size_t)page : 4096;
    for (size_t at = 0; at < count; at += step) {
        volatile uint8_t *byte = bytes + at;
        *byte = *byte;
    }
}

static int populate(uint8_t *bytes, size_t count)
{
    if (madvise(bytes, count, MADV_POPULATE_WRITE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return errno;
    touch_pages(bytes, count);
    return 0;
}

basalt_status bs_local_lend_log(struct bs_file *file, size_t capacity_bytes,
    struct bs_log_memory *out_memory, basalt_error *err)
{
    struct bs_local_file *self = bs_local_file_of(file);
    struct stat info;

    assert(capacity_bytes > 0);
    *out_memory = (struct bs_log_memory){0};
    if (!self->writable) return bs_vfs_fail_read_only(file, err);
    if (fstat(self->descriptor, &info) != 0) {
        return bs_fail_os(err, errno, BASALT_NO_OFFSET, "cannot inspect " SHOWN, file->path);
    }
    if ((uint64_t)info.st_size < capacity_bytes || !is_backed(&info, capacity_bytes) ||
        !bs_local_traits_of(self->descriptor).reserves) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "memory of " SHOWN " cannot be lent: its disk is not reserved", file->path);
    }
    void *memory =
        mmap(NULL, capacity_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->descriptor, 0);
    if (memory == MAP_FAILED) {
        const int reason = errno;
        if (reason == ENODEV || reason == EINVAL) {
            return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "the file system of " SHOWN " cannot map files", file->path);
        }
        return bs_fail_os(err, reason, BASALT_NO_OFFSET, "cannot map " SHOWN, file->path);
    }
    const int reason = populate(memory, capacity_bytes);
    if (reason) {
        munmap(memory, capacity_bytes);
        return bs_fail_os(
            err, reason, BASALT_NO_OFFSET, "cannot make the memory of " SHOWN " ready", file->path);
    }
    *out_memory = (struct bs_log_memory){.bytes = memory, .capacity_bytes = capacity_bytes};
    return BASALT_OK;
}

void bs_local_mark_dirty(
    struct bs_file *file, const struct bs_log_memory *memory, size_t at, size_t count)
{
    (void)file;
    (void)memory;
    (void)at;
    (void)count;
    assert(at <= memory->capacity_bytes && count <= memory->capacity_bytes - at);
}

void bs_local_return_log(struct bs_file *file, struct bs_log_memory *memory)
{
    (void)file;
    if (memory->bytes) munmap(memory->bytes, memory->capacity_bytes);
    *memory = (struct bs_log_memory){0};
}
