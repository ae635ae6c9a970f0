/* file.c - calls through the tables of a file system, with the checks that every caller needs. */
#include "vfs/vfs_internal.h"

#include <errno.h>

void bs_vfs_free(struct bs_vfs *vfs)
{
    if (vfs) vfs->ops->free(vfs);
}

basalt_status bs_vfs_fail_read_only(const struct bs_file *file, basalt_error *err)
{
    return bs_fail(
        err, BASALT_READ_ONLY, BASALT_NO_OFFSET, SHOWN " was opened for reading only", file->path);
}

basalt_status bs_vfs_fail_locked(
    const struct bs_file *file, uint64_t start, uint64_t length, basalt_error *err)
{
    return bs_fail(err, BASALT_BUSY, start,
        "somebody else holds a lock on %" PRIu64 " bytes at %" PRIu64 " of " SHOWN, length, start,
        file->path);
}

basalt_status bs_vfs_fail_share(const struct bs_file *file, basalt_error *err)
{
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "the whole-file lock on " SHOWN " may only be shared", file->path);
}

basalt_status bs_vfs_fail_open(int os_errno, unsigned flags, const char *path, basalt_error *err)
{
    const bool creating = (flags & BS_OPEN_CREATE) != 0;
    if (os_errno == EISDIR) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%.150s is a directory", path);
    }
    const basalt_status status = bs_fail_os(
        err, os_errno, BASALT_NO_OFFSET, "cannot %s " SHOWN, creating ? "create" : "open", path);
    if (!creating || (os_errno != EACCES && os_errno != EPERM)) return status;
    if (err) err->status = BASALT_READ_ONLY;
    return BASALT_READ_ONLY;
}

basalt_status bs_file_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err)
{
    assert(vfs && path && out_file);
    assert(!(flags & (BS_OPEN_CREATE | BS_OPEN_TRUNCATE)) || (flags & BS_OPEN_WRITE));
    assert(!(flags & BS_OPEN_EXCLUSIVE) || (flags & BS_OPEN_CREATE));
    *out_file = NULL;
    if (!path[0]) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the path of a file is empty");
    }
    return vfs->ops->open(vfs, path, flags, out_file, err);
}

void bs_file_close(struct bs_file *file)
{
    if (file) file->ops->close(file);
}

basalt_status bs_file_read_all_at(
    struct bs_file *file, void *out, size_t count, uint64_t offset, basalt_error *err)
{
    size_t got = 0;
    const basalt_status status = file->ops->read_at(file, out, count, offset, &got, err);
    if (status || got == count) return status;

    uint64_t size = 0;
    const basalt_status size_status = bs_file_size(file, &size, err);
    if (size_status) return size_status;
    return bs_fail(err, BASALT_CORRUPT, offset,
        SHOWN " ends at %" PRIu64 ", %zu bytes were expected at %" PRIu64, file->path, size, count,
        offset);
}

basalt_status bs_file_write_at(
    struct bs_file *file, const void *bytes, size_t count, uint64_t offset, basalt_error *err)
{
    return file->ops->write_at(file, bytes, count, offset, err);
}

basalt_status bs_file_sync(struct bs_file *file, basalt_error *err)
{
    return file->ops->sync(file, err);
}

basalt_status bs_file_size(struct bs_file *file, uint64_t *out_bytes, basalt_error *err)
{
    struct bs_file_info info = {0};
    const basalt_status status = file->ops->info(file, &info, err);
    *out_bytes = status ? 0 : info.size_bytes;
    return status;
}

const char *bs_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *bs_path_directory(const char *path)
{
    const char *name = bs_path_name(path);
    if (name == path) return bs_copy_string(".");
    while (name > path + 1 && name[-1] == '/') name--; /* but "/" of "/name" stays */

    const size_t count = (size_t)(name - path);
    char *directory = bs_alloc(count + 1);
    if (!directory) return NULL;
    memcpy(directory, path, count);
    directory[count] = '\0';
    return directory;
}

basalt_status bs_file_map(struct bs_file *file, uint64_t offset, uint64_t count,
    struct bs_file_map *out_map, basalt_error *err)
{
    uint64_t size = 0;

    *out_map = (struct bs_file_map){0};
    if (!file->ops->map) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            SHOWN " is of a kind that cannot be mapped", file->path);
    }
    const basalt_status status = bs_file_size(file, &size, err);
    if (status) return status;
    if (offset > size || count > size - offset || count > SIZE_MAX) {
        return bs_fail(err, BASALT_CORRUPT, offset,
            SHOWN " ends at %" PRIu64 ", %" PRIu64 " bytes were expected at %" PRIu64, file->path,
            size, count, offset);
    }
    return count ? file->ops->map(file, offset, (size_t)count, out_map, err) : BASALT_OK;
}

void bs_file_unmap(struct bs_file *file, struct bs_file_map *map)
{
    if (map->start) file->ops->unmap(file, map);
    *map = (struct bs_file_map){0};
}
