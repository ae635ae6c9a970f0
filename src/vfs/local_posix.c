/* local_posix.c - files of this machine, through the system calls of POSIX and Linux.
 *
 * Every descriptor is opened with O_CLOEXEC: a child that execs must not keep a store's locks
 * alive. Only regular files are opened; O_NONBLOCK keeps the open of a FIFO from waiting for its
 * other end before that can be found out, and changes nothing for a regular file.
 *
 * Positions come from files that may be damaged, so one that no file can have is no error for a
 * read (it is past the end) and EFBIG for a write. */
#include "vfs/local_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

#define TRANSFER_BYTES_MAX ((size_t)1 << 30) /* a call; the kernel stops a little below 2 GiB */
#define LINKS_FOLLOWED_MAX 40                /* as the kernel */
#define PERMISSIONS ((uint32_t)07777)

static basalt_status fail_errno(const char *what, const char *path, basalt_error *err)
{
    return bs_fail_os(err, errno, BASALT_NO_OFFSET, "cannot %s " SHOWN, what, path);
}

/* ---- one file ---------------------------------------------------------------------------------- */

static void local_close(struct bs_file *file)
{
    struct bs_local_file *self = bs_local_file_of(file);
    if (self->descriptor >= 0) close(self->descriptor);
    bs_free(file->path);
    bs_free(self);
}

static basalt_status local_read_at(struct bs_file *file, void *out, size_t count, uint64_t offset,
    size_t *out_count, basalt_error *err)
{
    const int descriptor = bs_local_file_of(file)->descriptor;
    uint8_t *bytes = out;
    size_t done = 0;

    *out_count = 0;
    if (offset > BS_FILE_OFFSET_MAX) return BASALT_OK;
    count = (size_t)BS_MIN((uint64_t)count, BS_FILE_OFFSET_MAX - offset);
    while (done < count) {
        const size_t wanted = BS_MIN(count - done, TRANSFER_BYTES_MAX);
        const ssize_t got = pread(descriptor, bytes + done, wanted, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            return bs_fail_os(err, errno, offset + done, "cannot read " SHOWN, file->path);
        }
        if (got == 0) break;
        done += (size_t)got;
    }
    *out_count = done;
    return BASALT_OK;
}

static basalt_status local_write_at(
    struct bs_file *file, const void *data, size_t count, uint64_t offset, basalt_error *err)
{
    const struct bs_local_file *self = bs_local_file_of(file);
    const uint8_t *bytes = data;
    size_t done = 0;

    if (!self->writable) return bs_vfs_fail_read_only(file, err);
    if (offset > BS_FILE_OFFSET_MAX || count > BS_FILE_OFFSET_MAX - offset) {
        return bs_fail_os(err, EFBIG, offset, "cannot write " SHOWN, file->path);
    }
    while (done < count) {
        const size_t wanted = BS_MIN(count - done, TRANSFER_BYTES_MAX);
        const ssize_t put = pwrite(self->descriptor, bytes + done, wanted, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) { /* 0 is not defined for a regular file: never spin on it */
            return bs_fail_os(
                err, put < 0 ? errno : EIO, offset + done, "cannot write " SHOWN, file->path);
        }
        done += (size_t)put;
    }
    return BASALT_OK;
}

/* A failure to write shows itself in the sync. */
static void local_write_behind(struct bs_file *file, uint64_t offset, uint64_t count)
{
#ifdef SYNC_FILE_RANGE_WRITE
    (void)sync_file_range(
        bs_local_file_of(file)->descriptor, (off_t)offset, (off_t)count, SYNC_FILE_RANGE_WRITE);
#else
    (void)file;
    (void)offset;
    (void)count;
#endif
}

static basalt_status local_sync(struct bs_file *file, basalt_error *err)
{
    if (fdatasync(bs_local_file_of(file)->descriptor) == 0) return BASALT_OK;
    return fail_errno("sync", file->path, err);
}

static void info_from_stat(const struct stat *from, struct bs_file_info *out_info)
{
    const uid_t user = geteuid();
    *out_info = (struct bs_file_info){.size_bytes = (uint64_t)from->st_size,
        .device = (uint64_t)from->st_dev,
        .inode = (uint64_t)from->st_ino,
        .links = (uint64_t)from->st_nlink,
        .modified_ns =
            (uint64_t)from->st_mtim.tv_sec * 1000000000u + (uint64_t)from->st_mtim.tv_nsec,
        .changed_ns =
            (uint64_t)from->st_ctim.tv_sec * 1000000000u + (uint64_t)from->st_ctim.tv_nsec,
        .mode = (uint32_t)from->st_mode & PERMISSIONS,
        .directory = S_ISDIR(from->st_mode),
        .owned = user == 0 || user == from->st_uid};
}

static basalt_status local_file_info(
    struct bs_file *file, struct bs_file_info *out_info, basalt_error *err)
{
    struct stat info;
    *out_info = (struct bs_file_info){0};
    if (fstat(bs_local_file_of(file)->descriptor, &info) != 0) {
        return fail_errno("inspect", file->path, err);
    }
    info_from_stat(&info, out_info);
    return BASALT_OK;
}

static basalt_status local_set_size(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    const struct bs_local_file *self = bs_local_file_of(file);
    if (!self->writable) return bs_vfs_fail_read_only(file, err);
    if (bytes > BS_FILE_OFFSET_MAX) {
        return bs_fail_os(
            err, EFBIG, BASALT_NO_OFFSET, "cannot change the size of " SHOWN, file->path);
    }
    int result;
    do {
        result = ftruncate(self->descriptor, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? BASALT_OK : fail_errno("change the size of", file->path, err);
}

static basalt_status local_set_mode(struct bs_file *file, uint32_t mode, basalt_error *err)
{
    if (fchmod(bs_local_file_of(file)->descriptor, (mode_t)(mode & PERMISSIONS)) == 0) {
        return BASALT_OK;
    }
    return fail_errno("change the permissions of", file->path, err);
}

static basalt_status local_map(struct bs_file *file, uint64_t offset, size_t count,
    struct bs_file_map *out_map, basalt_error *err)
{
    const uint64_t before = offset % (uint64_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = count + (size_t)before;
    void *start = mmap(NULL, bytes, PROT_READ, MAP_SHARED, bs_local_file_of(file)->descriptor,
        (off_t)(offset - before));

    if (start == MAP_FAILED) return fail_errno("map", file->path, err);
    *out_map = (struct bs_file_map){(const uint8_t *)start + before, start, bytes};
    return BASALT_OK;
}

static void local_unmap(struct bs_file *file, struct bs_file_map *map)
{
    (void)file;
    (void)munmap(map->start, map->start_bytes);
}

static const struct bs_file_ops local_file_ops = {
    .close = local_close,
    .read_at = local_read_at,
    .write_at = local_write_at,
    .write_behind = local_write_behind,
    .sync = local_sync,
    .info = local_file_info,
    .set_size = local_set_size,
    .reserve = bs_local_reserve,
    .set_mode = local_set_mode,
    .lend_log = bs_local_lend_log,
    .mark_dirty = bs_local_mark_dirty,
    .return_log = bs_local_return_log,
    .lock = bs_local_lock,
    .probe = bs_local_probe,
    .share = bs_local_share,
    .count_sharers = bs_local_count_sharers,
    .map = local_map,
    .unmap = local_unmap,
};

/* ---- the file system --------------------------------------------------------------------------- */

static void local_free(struct bs_vfs *vfs)
{
    bs_free(vfs);
}

static int open_flags(unsigned flags)
{
    int result = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    result |= flags & BS_OPEN_WRITE ? O_RDWR : O_RDONLY;
    if (flags & BS_OPEN_CREATE) result |= O_CREAT;
    if (flags & BS_OPEN_EXCLUSIVE) result |= O_EXCL;
    if (flags & BS_OPEN_TRUNCATE) result |= O_TRUNC;
    return result;
}

static basalt_status check_regular(const struct bs_local_file *self, basalt_error *err)
{
    struct stat info;
    if (fstat(self->descriptor, &info) != 0) return fail_errno("inspect", self->file.path, err);
    if (S_ISREG(info.st_mode)) return BASALT_OK;
    if (S_ISDIR(info.st_mode)) {
        return bs_vfs_fail_open(EISDIR, 0, self->file.path, err);
    }
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        SHOWN " is a pipe, socket or device, not a file", self->file.path);
}

/* Without that system call the last part of the path alone is looked at. */
static int open_without_links(const char *path, int flags)
{
#ifdef SYS_openat2
    struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_NO_SYMLINKS};
    const long descriptor = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (descriptor >= 0 || (errno != ENOSYS && errno != EPERM)) return (int)descriptor;
#endif
    return open(path, flags | O_NOFOLLOW);
}

static basalt_status fail_open(const char *path, unsigned flags, basalt_error *err)
{
    if (errno != ELOOP || !(flags & BS_OPEN_NO_LINKS))
        return bs_vfs_fail_open(errno, flags, path, err);
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        SHOWN " is reached through a symbolic link, which was not there a moment ago", path);
}

static basalt_status local_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_local_file *self = bs_alloc_zeroed(1, sizeof *self);

    *out_file = NULL;
    if (!self) return bs_fail_memory(err, sizeof *self);
    self->file.ops = &local_file_ops;
    self->file.vfs = vfs;
    self->descriptor = -1;
    self->writable = (flags & BS_OPEN_WRITE) != 0;
    atomic_init(&self->shared, false);
    self->file.path = bs_copy_string(path);
    if (!self->file.path) {
        status = bs_fail_memory(err, strlen(path) + 1);
        goto out;
    }
    do {
        self->descriptor = flags & BS_OPEN_NO_LINKS ? open_without_links(path, open_flags(flags))
                                                    : open(path, open_flags(flags), 0666);
    } while (self->descriptor < 0 && errno == EINTR);
    if (self->descriptor < 0) {
        status = fail_open(path, flags, err);
        goto out;
    }
    BS_TRY(check_regular(self, err));
    *out_file = &self->file;
    self = NULL;
out:
    if (self) local_close(&self->file);
    return status;
}

static basalt_status local_info(
    struct bs_vfs *vfs, const char *path, struct bs_file_info *out_info, basalt_error *err)
{
    struct stat info;
    (void)vfs;
    *out_info = (struct bs_file_info){0};
    if (stat(path, &info) != 0) return fail_errno("inspect", path, err);
    info_from_stat(&info, out_info);
    return BASALT_OK;
}

static basalt_status local_remove(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    (void)vfs;
    return remove(path) == 0 ? BASALT_OK : fail_errno("remove", path, err);
}

/* Where renameat2 cannot refuse an existing name: link does. The file has both names for a moment,
 * which is safe: neither name is ever missing. */
static int rename_by_link(const char *from, const char *to)
{
    if (link(from, to) != 0) return errno;
    return unlink(from) == 0 ? 0 : errno;
}

static basalt_status local_rename(
    struct bs_vfs *vfs, const char *from, const char *to, bool replace, basalt_error *err)
{
    (void)vfs;
    int reason = 0;
    if (replace) {
        reason = rename(from, to) == 0 ? 0 : errno;
    } else if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0) {
        reason = errno;
        if (reason == EINVAL || reason == ENOSYS) reason = rename_by_link(from, to);
    }
    if (!reason) return BASALT_OK;
    return bs_fail_os(
        err, reason, BASALT_NO_OFFSET, "cannot rename \"%.70s\" to \"%.70s\"", from, to);
}

static basalt_status local_make_directory(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    (void)vfs;
    return mkdir(path, 0777) == 0 ? BASALT_OK : fail_errno("make the directory", path, err);
}

static basalt_status local_list(struct bs_vfs *vfs, const char *directory,
    basalt_status (*each)(void *context, const char *name, basalt_error *err), void *context,
    basalt_error *err)
{
    basalt_status status = BASALT_OK;
    (void)vfs;
    DIR *handle = opendir(directory);
    if (!handle) return fail_errno("list", directory, err);
    for (;;) {
        errno = 0; /* the only way to tell the end from a failure */
        const struct dirent *entry = readdir(handle);
        if (!entry && errno) status = fail_errno("list", directory, err);
        if (!entry) break;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        status = each(context, entry->d_name, err);
        if (status) break;
    }
    closedir(handle);
    return status;
}

static basalt_status local_sync_directory(
    struct bs_vfs *vfs, const char *directory, basalt_error *err)
{
    (void)vfs;
    const int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return fail_errno("open the directory", directory, err);
    const int reason = fsync(descriptor) == 0 ? 0 : errno;
    close(descriptor);
    if (!reason) return BASALT_OK;
    return bs_fail_os(err, reason, BASALT_NO_OFFSET, "cannot sync the directory " SHOWN, directory);
}

/* Appends the name of `path` to the real path of its directory. */
static basalt_status real_path_of_absent(const char *path, char *out_path, basalt_error *err)
{
    char directory[PATH_MAX];
    const char *name = bs_path_name(path);
    const size_t directory_bytes = (size_t)(name - path);

    if (!name[0] || directory_bytes + 1 > sizeof directory) {
        errno = name[0] ? ENAMETOOLONG : ENOENT;
        return fail_errno("find", path, err);
    }
    memcpy(directory, directory_bytes ? path : ".", directory_bytes ? directory_bytes : 1);
    directory[directory_bytes ? directory_bytes : 1] = '\0';
    if (!realpath(directory, out_path)) return fail_errno("find the directory of", path, err);
    const size_t used = strlen(out_path);
    const char *slash = used && out_path[used - 1] == '/' ? "" : "/";
    const int more = snprintf(out_path + used, PATH_MAX - used, "%s%s", slash, name);
    if (more < 0 || (size_t)more >= PATH_MAX - used) {
        errno = ENAMETOOLONG;
        return fail_errno("find", path, err);
    }
    return BASALT_OK;
}

/* If `path` is a symbolic link, replaces it by what it points to. */
static bool follow_link(char *path)
{
    char target[PATH_MAX];
    const ssize_t count = readlink(path, target, sizeof target - 1);
    if (count <= 0) return false;
    target[count] = '\0';
    const size_t directory_bytes = target[0] == '/' ? 0 : (size_t)(bs_path_name(path) - path);
    if (directory_bytes + (size_t)count >= PATH_MAX) return false;
    memcpy(path + directory_bytes, target, (size_t)count + 1);
    return true;
}

static basalt_status local_real_path(
    struct bs_vfs *vfs, const char *path, char **out_path, basalt_error *err)
{
    char found[PATH_MAX], at[PATH_MAX];
    (void)vfs;

    *out_path = NULL;
    const size_t count = strlen(path);
    if (count >= sizeof at) {
        errno = ENAMETOOLONG;
        return fail_errno("find", path, err);
    }
    memcpy(at, path, count + 1);
    for (unsigned links = 0; !realpath(at, found); links++) {
        if (errno != ENOENT) return fail_errno("find", path, err);
        /* A link to a file that is absent: the file will be made where the link points. */
        if (links < LINKS_FOLLOWED_MAX && follow_link(at)) continue;
        const basalt_status status = real_path_of_absent(at, found, err);
        if (status) return status;
        break;
    }
    *out_path = bs_copy_string(found);
    return *out_path ? BASALT_OK : bs_fail_memory(err, strlen(found) + 1);
}

static uint64_t local_free_bytes(struct bs_vfs *vfs, const char *directory)
{
    struct statvfs info;
    (void)vfs;
    if (statvfs(directory, &info) != 0) return UINT64_MAX;
    return (uint64_t)info.f_bavail * info.f_frsize;
}

static const struct bs_vfs_ops local_ops = {
    .free = local_free,
    .open = local_open,
    .info = local_info,
    .remove = local_remove,
    .rename = local_rename,
    .make_directory = local_make_directory,
    .list = local_list,
    .sync_directory = local_sync_directory,
    .real_path = local_real_path,
    .free_bytes = local_free_bytes,
};

basalt_status bs_vfs_local_create(struct bs_vfs **out_vfs, basalt_error *err)
{
    *out_vfs = bs_alloc_zeroed(1, sizeof **out_vfs);
    if (!*out_vfs) return bs_fail_memory(err, sizeof **out_vfs);
    (*out_vfs)->ops = &local_ops;
    (*out_vfs)->traits =
        (struct bs_vfs_traits){.locks = true, .log_memory = true, .persistent = true};
    return BASALT_OK;
}
