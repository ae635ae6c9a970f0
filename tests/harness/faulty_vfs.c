/* faulty_vfs.c - asks before every operation whether it must fail, then passes it on. */
#include "tests/harness/faulty_vfs.h"

#include "tests/harness/harness_memory.h"
#include "tests/harness/test.h"

#include <errno.h>

struct faulty_vfs {
    struct bs_vfs vfs; /* first: a bs_vfs is cast to this */
    struct bs_vfs *inner;
    struct faulty_options options;
    _Atomic uint64_t failures;
};

struct faulty_file {
    struct bs_file file; /* first: a bs_file is cast to this */
    struct bs_file *inner;
};

static struct faulty_vfs *self_of(struct bs_vfs *vfs)
{
    return (struct faulty_vfs *)(void *)vfs;
}

static struct bs_file *inner_of(struct bs_file *file)
{
    return ((struct faulty_file *)(void *)file)->inner;
}

static bool must_fail(struct bs_vfs *vfs, enum faulty_operation operation)
{
    struct faulty_vfs *self = self_of(vfs);
    if (self->options.operations && !(self->options.operations & operation)) return false;
    if (!fault_point()) return false;
    atomic_fetch_add(&self->failures, 1);
    return true;
}

static basalt_status fail(struct bs_vfs *vfs, const char *what, const char *path, basalt_error *err)
{
    return bs_fail_os(err, self_of(vfs)->options.os_errno, BASALT_NO_OFFSET,
        "made to fail: cannot %s \"%.120s\"", what, path);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void faulty_close(struct bs_file *file)
{
    inner_of(file)->ops->close(inner_of(file));
    harness_free(file->path);
    harness_free(file);
}

static basalt_status faulty_read_at(struct bs_file *file, void *out, size_t count, uint64_t offset,
    size_t *out_count, basalt_error *err)
{
    if (must_fail(file->vfs, FAULTY_READ)) {
        if (!self_of(file->vfs)->options.cut_reads) {
            *out_count = 0;
            return fail(file->vfs, "read", file->path, err);
        }
        count /= 2;
    }
    return inner_of(file)->ops->read_at(inner_of(file), out, count, offset, out_count, err);
}

static basalt_status faulty_write_at(
    struct bs_file *file, const void *bytes, size_t count, uint64_t offset, basalt_error *err)
{
    struct bs_file *inner = inner_of(file);
    if (!must_fail(file->vfs, FAULTY_WRITE)) {
        return inner->ops->write_at(inner, bytes, count, offset, err);
    }
    if (self_of(file->vfs)->options.partial_writes) {
        const basalt_status status = inner->ops->write_at(inner, bytes, count / 2, offset, err);
        if (status) return status;
    }
    return fail(file->vfs, "write", file->path, err);
}

static basalt_status faulty_sync(struct bs_file *file, basalt_error *err)
{
    if (must_fail(file->vfs, FAULTY_SYNC)) return fail(file->vfs, "sync", file->path, err);
    return inner_of(file)->ops->sync(inner_of(file), err);
}

static basalt_status faulty_file_info(
    struct bs_file *file, struct bs_file_info *out_info, basalt_error *err)
{
    *out_info = (struct bs_file_info){0};
    if (must_fail(file->vfs, FAULTY_INFO)) return fail(file->vfs, "inspect", file->path, err);
    return inner_of(file)->ops->info(inner_of(file), out_info, err);
}

static basalt_status faulty_set_size(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    if (must_fail(file->vfs, FAULTY_SET_SIZE)) {
        return fail(file->vfs, "change the size of", file->path, err);
    }
    return inner_of(file)->ops->set_size(inner_of(file), bytes, err);
}

static basalt_status faulty_reserve(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    if (self_of(file->vfs)->options.no_reserve) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "this file system reserves nothing for \"%.120s\"", file->path);
    }
    if (must_fail(file->vfs, FAULTY_RESERVE)) {
        return fail(file->vfs, "reserve disk for", file->path, err);
    }
    return inner_of(file)->ops->reserve(inner_of(file), bytes, err);
}

static basalt_status faulty_set_mode(struct bs_file *file, uint32_t mode, basalt_error *err)
{
    if (must_fail(file->vfs, FAULTY_SET_MODE)) {
        return fail(file->vfs, "change the permissions of", file->path, err);
    }
    return inner_of(file)->ops->set_mode(inner_of(file), mode, err);
}

static basalt_status faulty_lend_log(struct bs_file *file, size_t capacity_bytes,
    struct bs_log_memory *out_memory, basalt_error *err)
{
    *out_memory = (struct bs_log_memory){0};
    if (self_of(file->vfs)->options.no_log_memory) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "this file system lends no memory of \"%.120s\"", file->path);
    }
    if (must_fail(file->vfs, FAULTY_LEND_LOG)) return fail(file->vfs, "map", file->path, err);
    return inner_of(file)->ops->lend_log(inner_of(file), capacity_bytes, out_memory, err);
}

static void faulty_mark_dirty(
    struct bs_file *file, const struct bs_log_memory *memory, size_t at, size_t count)
{
    inner_of(file)->ops->mark_dirty(inner_of(file), memory, at, count);
}

static void faulty_return_log(struct bs_file *file, struct bs_log_memory *memory)
{
    inner_of(file)->ops->return_log(inner_of(file), memory);
}

static basalt_status faulty_lock(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, basalt_error *err)
{
    if (must_fail(file->vfs, FAULTY_LOCK)) return fail(file->vfs, "lock", file->path, err);
    return inner_of(file)->ops->lock(inner_of(file), kind, start, length, err);
}

static basalt_status faulty_probe(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, struct bs_lock_holder *out_holder, basalt_error *err)
{
    if (must_fail(file->vfs, FAULTY_LOCK)) {
        *out_holder = (struct bs_lock_holder){0};
        return fail(file->vfs, "ask for locks on", file->path, err);
    }
    return inner_of(file)->ops->probe(inner_of(file), kind, start, length, out_holder, err);
}

static basalt_status faulty_share(struct bs_file *file, enum bs_lock_kind kind, basalt_error *err)
{
    if (must_fail(file->vfs, FAULTY_SHARE)) return fail(file->vfs, "share", file->path, err);
    return inner_of(file)->ops->share(inner_of(file), kind, err);
}

static basalt_status faulty_count_sharers(
    struct bs_file *file, unsigned *out_count, basalt_error *err)
{
    if (must_fail(file->vfs, FAULTY_SHARE)) {
        *out_count = 0;
        return fail(file->vfs, "ask for readers of", file->path, err);
    }
    return inner_of(file)->ops->count_sharers(inner_of(file), out_count, err);
}

static const struct bs_file_ops file_ops = {
    .close = faulty_close,
    .read_at = faulty_read_at,
    .write_at = faulty_write_at,
    .sync = faulty_sync,
    .info = faulty_file_info,
    .set_size = faulty_set_size,
    .reserve = faulty_reserve,
    .set_mode = faulty_set_mode,
    .lend_log = faulty_lend_log,
    .mark_dirty = faulty_mark_dirty,
    .return_log = faulty_return_log,
    .lock = faulty_lock,
    .probe = faulty_probe,
    .share = faulty_share,
    .count_sharers = faulty_count_sharers,
};

/* ---- the file system ------------------------------------------------------------------------- */

static void faulty_free(struct bs_vfs *vfs)
{
    bs_vfs_free(self_of(vfs)->inner);
    harness_free(vfs);
}

static basalt_status faulty_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err)
{
    *out_file = NULL;
    if (must_fail(vfs, FAULTY_OPEN)) return fail(vfs, "open", path, err);
    struct bs_file *inner = NULL;
    struct bs_vfs *inner_vfs = self_of(vfs)->inner;
    const basalt_status status = inner_vfs->ops->open(inner_vfs, path, flags, &inner, err);
    if (status) return status;
    struct faulty_file *file = harness_zeroed(1, sizeof *file);
    file->file = (struct bs_file){&file_ops, vfs, harness_text(path)};
    file->inner = inner;
    *out_file = &file->file;
    return BASALT_OK;
}

static basalt_status faulty_info(
    struct bs_vfs *vfs, const char *path, struct bs_file_info *out_info, basalt_error *err)
{
    *out_info = (struct bs_file_info){0};
    if (must_fail(vfs, FAULTY_INFO)) return fail(vfs, "inspect", path, err);
    return self_of(vfs)->inner->ops->info(self_of(vfs)->inner, path, out_info, err);
}

static basalt_status faulty_remove(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    if (must_fail(vfs, FAULTY_REMOVE)) return fail(vfs, "remove", path, err);
    return self_of(vfs)->inner->ops->remove(self_of(vfs)->inner, path, err);
}

static basalt_status faulty_rename(
    struct bs_vfs *vfs, const char *from, const char *to, bool replace, basalt_error *err)
{
    if (must_fail(vfs, FAULTY_RENAME)) return fail(vfs, "rename", from, err);
    return self_of(vfs)->inner->ops->rename(self_of(vfs)->inner, from, to, replace, err);
}

static basalt_status faulty_make_directory(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    if (must_fail(vfs, FAULTY_MAKE_DIRECTORY)) return fail(vfs, "make", path, err);
    return self_of(vfs)->inner->ops->make_directory(self_of(vfs)->inner, path, err);
}

static basalt_status faulty_list(struct bs_vfs *vfs, const char *directory,
    basalt_status (*each)(void *context, const char *name, basalt_error *err), void *context,
    basalt_error *err)
{
    if (must_fail(vfs, FAULTY_LIST)) return fail(vfs, "list", directory, err);
    return self_of(vfs)->inner->ops->list(self_of(vfs)->inner, directory, each, context, err);
}

static basalt_status faulty_sync_directory(
    struct bs_vfs *vfs, const char *directory, basalt_error *err)
{
    if (must_fail(vfs, FAULTY_SYNC_DIRECTORY)) return fail(vfs, "sync", directory, err);
    return self_of(vfs)->inner->ops->sync_directory(self_of(vfs)->inner, directory, err);
}

static basalt_status faulty_real_path(
    struct bs_vfs *vfs, const char *path, char **out_path, basalt_error *err)
{
    *out_path = NULL;
    if (must_fail(vfs, FAULTY_REAL_PATH)) return fail(vfs, "find", path, err);
    return self_of(vfs)->inner->ops->real_path(self_of(vfs)->inner, path, out_path, err);
}

static uint64_t faulty_free_bytes(struct bs_vfs *vfs, const char *directory)
{
    return self_of(vfs)->inner->ops->free_bytes(self_of(vfs)->inner, directory);
}

static const struct bs_vfs_ops vfs_ops = {
    .free = faulty_free,
    .open = faulty_open,
    .info = faulty_info,
    .remove = faulty_remove,
    .rename = faulty_rename,
    .make_directory = faulty_make_directory,
    .list = faulty_list,
    .sync_directory = faulty_sync_directory,
    .real_path = faulty_real_path,
    .free_bytes = faulty_free_bytes,
};

struct bs_vfs *faulty_create(struct bs_vfs *inner, const struct faulty_options *options)
{
    struct faulty_vfs *self = harness_zeroed(1, sizeof *self);
    self->vfs = (struct bs_vfs){.ops = &vfs_ops, .traits = inner->traits};
    self->inner = inner;
    if (options) self->options = *options;
    if (!self->options.os_errno) self->options.os_errno = EIO;
    if (self->options.no_log_memory) self->vfs.traits.log_memory = false;
    return &self->vfs;
}

uint64_t faulty_failures(const struct bs_vfs *vfs)
{
    return atomic_load(&((const struct faulty_vfs *)(const void *)vfs)->failures);
}
