/* local_fault_test.c - system calls that are interrupted, come up short, refuse or lie.
 *
 * The linker sends the calls of the local file system here (-Wl,--wrap); one call at a time is told
 * to misbehave, so the tests of this file run on one thread. */
#include "tests/unit/vfs/vfs_cases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum behaviour { REFUSES, COMES_UP_SHORT, LIES };

static struct {
    const char *call; /* NULL: all behave */
    enum behaviour behaviour;
    int reason;     /* errno of a refusal */
    unsigned times; /* how often yet */
    unsigned met;
} told;

static void tell(const char *call, enum behaviour behaviour, int reason, unsigned times)
{
    told.call = call;
    told.behaviour = behaviour;
    told.reason = reason;
    told.times = times;
    told.met = 0;
}

static bool misbehaves(const char *call)
{
    if (!told.call || strcmp(told.call, call) != 0 || !told.times) return false;
    told.times--;
    told.met++;
    errno = told.reason;
    return true;
}

/* The declarations that -Wmissing-prototypes asks for, and the C library's own under __real. */
#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

WRAP(ssize_t, pread64, int file, void *out, size_t count, off_t at)
{
    if (!misbehaves("pread")) return __real_pread64(file, out, count, at);
    if (told.behaviour == REFUSES) return -1;
    return __real_pread64(file, out, (count + 1) / 2, at);
}

WRAP(ssize_t, pwrite64, int file, const void *bytes, size_t count, off_t at)
{
    if (!misbehaves("pwrite")) return __real_pwrite64(file, bytes, count, at);
    if (told.behaviour == REFUSES) return -1;
    if (told.behaviour == LIES) return 0;
    return __real_pwrite64(file, bytes, (count + 1) / 2, at);
}

WRAP(int, fallocate64, int file, int mode, off_t at, off_t count)
{
    if (!misbehaves("fallocate")) return __real_fallocate64(file, mode, at, count);
    /* As a disk that is full half-way, or one that promises without keeping: the size is there. */
    if (ftruncate(file, at + count) != 0) return -1;
    errno = told.reason;
    return told.behaviour == LIES ? 0 : -1;
}

WRAP(int, ftruncate64, int file, off_t size)
{
    return misbehaves("ftruncate") ? -1 : __real_ftruncate64(file, size);
}

WRAP(int, fdatasync, int file)
{
    return misbehaves("fdatasync") ? -1 : __real_fdatasync(file);
}

WRAP(int, fsync, int file)
{
    return misbehaves("fsync") ? -1 : __real_fsync(file);
}

WRAP(int, flock, int file, int operation)
{
    return misbehaves("flock") ? -1 : __real_flock(file, operation);
}

WRAP(int, madvise, void *memory, size_t count, int advice)
{
    return misbehaves("madvise") ? -1 : __real_madvise(memory, count, advice);
}

WRAP(void *, mmap64, void *at, size_t count, int protection, int flags, int file, off_t offset)
{
    if (misbehaves("mmap")) return MAP_FAILED;
    return __real_mmap64(at, count, protection, flags, file, offset);
}

WRAP(int, renameat2, int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    return misbehaves("renameat2") ? -1 : __real_renameat2(from_at, from, to_at, to, flags);
}

WRAP(int, fstatfs64, int file, struct statfs *out)
{
    const int result = __real_fstatfs64(file, out);
    if (misbehaves("fstatfs")) out->f_type = told.reason; /* another kind of file system */
    return result;
}

int __real_fcntl64(int file, int command, ...);
int __wrap_fcntl64(int file, int command, ...);
int __wrap_fcntl64(int file, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return misbehaves("fcntl") ? -1 : __real_fcntl64(file, command, argument);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return misbehaves("open") ? -1 : __real_open64(path, flags, mode);
}

/* ------------------------------------------------------------------------------------------------ */

TEST_LOCAL(interrupted_and_short_transfers_are_finished)
{
    uint8_t out[1000], bytes[1000];
    size_t got = 0;
    struct bs_file *file = NULL;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
    tell("open", REFUSES, EINTR, 2);
    file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_EQ(told.met, 2);
    tell("pwrite", REFUSES, EINTR, 3);
    CHECK_OK(bs_file_write_at(file, bytes, 500, 0, err));
    CHECK_EQ(told.met, 3);
    tell("pwrite", COMES_UP_SHORT, 0, 5);
    CHECK_OK(bs_file_write_at(file, bytes + 500, 500, 500, err));
    CHECK_EQ(told.met, 5);
    tell("pread", COMES_UP_SHORT, 0, 6);
    CHECK_OK(bs_file_read_all_at(file, out, sizeof out, 0, err));
    CHECK_EQ(told.met, 6);
    CHECK(!memcmp(out, bytes, sizeof out));
    tell("pread", REFUSES, EINTR, 2);
    CHECK_OK(file->ops->read_at(file, out, sizeof out, 10, &got, err));
    CHECK_EQ(got, 990);
    tell("ftruncate", REFUSES, EINTR, 1);
    CHECK_OK(file->ops->set_size(file, 10, err));
    tell(NULL, REFUSES, 0, 0);
    bs_file_close(file);
}

TEST_LOCAL(a_refused_transfer_names_file_and_place)
{
    uint8_t out[10];
    size_t got = 9;
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_OK(bs_file_write_at(file, "0123456789", 10, 0, err));
    tell("pread", REFUSES, EIO, 1);
    CHECK_EQ(file->ops->read_at(file, out, 10, 3, &got, &at->error), BASALT_IO_ERROR);
    CHECK_EQ(got, 0);
    CHECK_EQ(at->error.os_errno, EIO);
    CHECK_EQ(at->error.file_offset, 3);
    CHECK(strstr(at->error.message, "/x\""));
    tell("pwrite", REFUSES, ENOSPC, 1);
    CHECK_EQ(bs_file_write_at(file, "a", 1, 7, &at->error), BASALT_NO_SPACE);
    tell("pwrite", LIES, 0, 1); /* nothing written and no reason: must not be tried for ever */
    CHECK_EQ(bs_file_write_at(file, "a", 1, 7, &at->error), BASALT_IO_ERROR);
    CHECK_EQ(told.met, 1);
    tell("fdatasync", REFUSES, EIO, 1);
    CHECK_EQ(bs_file_sync(file, &at->error), BASALT_IO_ERROR);
    tell("fsync", REFUSES, EIO, 1);
    CHECK_EQ(at->vfs->ops->sync_directory(at->vfs, at->directory, &at->error), BASALT_IO_ERROR);
    tell("ftruncate", REFUSES, EIO, 1);
    CHECK_EQ(file->ops->set_size(file, 1, &at->error), BASALT_IO_ERROR);
    tell(NULL, REFUSES, 0, 0);
    bs_file_close(file);
}

TEST_LOCAL(where_there_are_no_locks_it_is_unsupported_and_not_busy)
{
    static const int none[] = {ENOLCK, EINVAL, EOPNOTSUPP, ENOSYS};
    struct bs_lock_holder holder;
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(none); i++) {
        tell("fcntl", REFUSES, none[i], 2);
        CHECK_EQ(file->ops->lock(file, BS_LOCK_EXCLUSIVE, 5, 1, &at->error), BASALT_UNSUPPORTED);
        CHECK(strstr(at->error.message, "has no locks"));
        CHECK_EQ(
            file->ops->probe(file, BS_LOCK_EXCLUSIVE, 5, 1, &holder, NULL), BASALT_UNSUPPORTED);
        CHECK(!holder.held);
        tell("flock", REFUSES, none[i], 1);
        CHECK_EQ(file->ops->share(file, BS_LOCK_SHARED, &at->error), BASALT_UNSUPPORTED);
    }
    tell("fcntl", REFUSES, EACCES, 1);
    CHECK_EQ(file->ops->lock(file, BS_LOCK_EXCLUSIVE, 5, 1, NULL), BASALT_BUSY);
    tell("fcntl", REFUSES, EIO, 1);
    CHECK_EQ(file->ops->lock(file, BS_LOCK_EXCLUSIVE, 5, 1, NULL), BASALT_IO_ERROR);
    tell("flock", REFUSES, EWOULDBLOCK, 1);
    CHECK_EQ(file->ops->share(file, BS_LOCK_SHARED, NULL), BASALT_BUSY);
    tell(NULL, REFUSES, 0, 0);
    bs_file_close(file);
}

TEST_LOCAL(a_reserve_that_fails_or_lies_leaves_the_size_alone)
{
    uint64_t size = 0;
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_OK(bs_file_write_at(file, "abc", 3, 0, err));
    tell("fallocate", REFUSES, ENOSPC, 1);
    CHECK_EQ(file->ops->reserve(file, 1 << 20, &at->error), BASALT_NO_SPACE);
    CHECK_OK(bs_file_size(file, &size, err));
    CHECK_EQ(size, 3);
    tell("fallocate", REFUSES, EOPNOTSUPP, 1);
    CHECK_EQ(file->ops->reserve(file, 1 << 20, &at->error), BASALT_UNSUPPORTED);
    tell("fallocate", LIES, 0, 1); /* says yes, and no block is there */
    CHECK_EQ(file->ops->reserve(file, 1 << 20, &at->error), BASALT_UNSUPPORTED);
    CHECK_EQ(told.met, 1);
    CHECK_OK(bs_file_size(file, &size, err));
    CHECK_EQ(size, 3);
    tell("fallocate", REFUSES, EINTR, 2);
    CHECK_OK(file->ops->reserve(file, 1 << 20, err));
    CHECK_EQ(told.met, 2);
    tell(NULL, REFUSES, 0, 0);
    bs_file_close(file);
}

TEST_LOCAL(network_file_systems_are_promised_nothing)
{
    static const int kinds[] = {0x6969 /* NFS */, 0x65735546 /* FUSE */, 0x517B /* SMB */};
    struct bs_log_memory memory;
    unsigned count = 9;
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_OK(file->ops->reserve(file, 1 << 16, err));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(kinds); i++) {
        tell("fstatfs", LIES, kinds[i], 3);
        CHECK_EQ(file->ops->reserve(file, 1 << 20, &at->error), BASALT_UNSUPPORTED);
        CHECK_EQ(file->ops->lend_log(file, 1 << 16, &memory, &at->error), BASALT_UNSUPPORTED);
        CHECK_EQ(file->ops->count_sharers(file, &count, &at->error), BASALT_UNSUPPORTED);
        CHECK_EQ(count, 0);
        CHECK_EQ(told.met, 3);
    }
    /* Where the device in /proc/locks may be another, a count needs our own row as a proof. */
    tell("fstatfs", LIES, 0x794C7630 /* overlay */, 1);
    CHECK_EQ(file->ops->count_sharers(file, &count, &at->error), BASALT_UNSUPPORTED);
    tell(NULL, REFUSES, 0, 0);
    bs_file_close(file);
}

TEST_LOCAL(log_memory_on_old_kernels_and_failing_disks)
{
    struct bs_log_memory memory;
    struct bs_file *file = case_open(at, "log", CASE_CREATE);
    REQUIRE(file);
    REQUIRE_OK(file->ops->reserve(file, 1 << 20, err));
    CHECK_OK(bs_file_write_at(file, "abc", 3, 4096, err));
    tell("madvise", REFUSES, EINVAL, 1); /* no MADV_POPULATE_WRITE: pages are touched */
    REQUIRE_OK(file->ops->lend_log(file, 1 << 20, &memory, err));
    CHECK_EQ(told.met, 1);
    CHECK(!memcmp(memory.bytes + 4096, "abc", 3));
    file->ops->return_log(file, &memory);
    tell("madvise", REFUSES, EFAULT, 1);
    CHECK_EQ(file->ops->lend_log(file, 1 << 20, &memory, &at->error), BASALT_IO_ERROR);
    tell("mmap", REFUSES, ENODEV, 1);
    CHECK_EQ(file->ops->lend_log(file, 1 << 20, &memory, &at->error), BASALT_UNSUPPORTED);
    tell("mmap", REFUSES, ENOMEM, 1);
    CHECK_EQ(file->ops->lend_log(file, 1 << 20, &memory, &at->error), BASALT_NO_MEMORY);
    CHECK(!memory.bytes && !memory.capacity_bytes);
    tell(NULL, REFUSES, 0, 0);
    bs_file_close(file);
}

TEST_LOCAL(rename_without_renameat2_still_refuses_to_replace)
{
    struct bs_file_info before, after;
    bs_file_close(case_open(at, "a", CASE_CREATE));
    bs_file_close(case_open(at, "b", CASE_CREATE));
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "a"), &before, err));
    tell("renameat2", REFUSES, ENOSYS, 2);
    CHECK_EQ(at->vfs->ops->rename(at->vfs, case_path(at, "a"), case_path(at, "b"), false, NULL),
        BASALT_EXISTS);
    CHECK_OK(at->vfs->ops->rename(at->vfs, case_path(at, "a"), case_path(at, "c"), false, err));
    CHECK_EQ(told.met, 2);
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "c"), &after, err));
    CHECK(after.inode == before.inode && after.links == 1);
    CHECK_EQ(at->vfs->ops->info(at->vfs, case_path(at, "a"), &after, NULL), BASALT_NOT_FOUND);
    tell(NULL, REFUSES, 0, 0);
}

TEST_LOCAL(a_path_beyond_what_the_system_takes)
{
    static char path[9000];
    char *real = NULL;
    memset(path, 'a', sizeof path - 1);
    for (size_t i = 0; i < sizeof path - 1; i += 100) path[i] = '/';
    CHECK_EQ(at->vfs->ops->real_path(at->vfs, path, &real, &at->error), BASALT_IO_ERROR);
    CHECK_EQ(at->error.os_errno, ENAMETOOLONG);
    CHECK_EQ(at->vfs->ops->real_path(at->vfs, "", &real, &at->error), BASALT_NOT_FOUND);
    CHECK(!real);
}
