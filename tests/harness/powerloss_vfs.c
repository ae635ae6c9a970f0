/* powerloss_vfs.c - passes everything on to a file system in memory and writes down what changes. */
#include "tests/harness/powerloss_internal.h"

#include "tests/harness/harness_memory.h"

#include <errno.h>

struct powerloss_open {
    struct bs_file file; /* first: a bs_file is cast to this */
    struct bs_file *inner;
    size_t node;
};

static struct powerloss_vfs *self_of(struct bs_vfs *vfs)
{
    return (struct powerloss_vfs *)(void *)vfs;
}

static struct powerloss_open *open_of(struct bs_file *file)
{
    return (struct powerloss_open *)(void *)file;
}

static struct bs_file *inner_of(struct bs_file *file)
{
    return open_of(file)->inner;
}

/* ---- the trace: all under the lock ----------------------------------------------------------- */

static void record(struct powerloss_vfs *self, struct powerloss_event event)
{
    if (self->event_count == self->event_capacity) {
        self->event_capacity = self->event_capacity ? 2 * self->event_capacity : 256;
        self->events = harness_resize(self->events, self->event_capacity * sizeof self->events[0]);
    }
    self->events[self->event_count++] = event;
}

static size_t node_of(struct powerloss_vfs *self, uint64_t inode)
{
    for (size_t i = 0; i < self->node_count; i++) {
        if (self->inodes[i] == inode) return i;
    }
    self->inodes = harness_resize(self->inodes, (self->node_count + 1) * sizeof self->inodes[0]);
    self->inodes[self->node_count] = inode;
    return self->node_count++;
}

static size_t node_at(struct powerloss_vfs *self, const char *path)
{
    struct bs_file_info info = {0};
    (void)!self->inner->ops->info(self->inner, path, &info, NULL);
    return node_of(self, info.inode);
}

static bool exists(struct powerloss_vfs *self, const char *path)
{
    struct bs_file_info info = {0};
    return self->inner->ops->info(self->inner, path, &info, NULL) == BASALT_OK;
}

/* The resolved path in memory of the harness. */
static char *resolve(struct powerloss_vfs *self, const char *path)
{
    char *resolved = NULL;
    if (self->inner->ops->real_path(self->inner, path, &resolved, NULL)) return harness_text(path);
    char *copy = harness_text(resolved);
    bs_free(resolved);
    return copy;
}

static void record_entry(struct powerloss_vfs *self, enum powerloss_event_kind kind, size_t node,
    const char *path, const char *to)
{
    record(self,
        (struct powerloss_event){.kind = kind,
            .node = node,
            .path = resolve(self, path),
            .to = to ? resolve(self, to) : NULL});
}

static void record_number(
    struct powerloss_vfs *self, enum powerloss_event_kind kind, size_t node, uint64_t number)
{
    record(self, (struct powerloss_event){.kind = kind, .node = node, .offset = number});
}

static void record_bytes(struct bs_file *file, enum powerloss_event_kind kind, const void *bytes,
    size_t count, uint64_t offset)
{
    record(self_of(file->vfs),
        (struct powerloss_event){.kind = kind,
            .node = open_of(file)->node,
            .offset = offset,
            .count = count,
            .bytes = harness_copy(bytes, count)});
}

static basalt_status check_alive(
    const struct powerloss_vfs *self, const char *path, basalt_error *err)
{
    if (!self->dead) return BASALT_OK;
    return bs_fail_os(err, EIO, BASALT_NO_OFFSET, "dead before \"%.120s\"", path);
}

/* ---- files that change ----------------------------------------------------------------------- */

static basalt_status powerloss_write_at(
    struct bs_file *file, const void *bytes, size_t count, uint64_t offset, basalt_error *err)
{
    struct powerloss_vfs *self = self_of(file->vfs);
    bs_mutex_lock(&self->lock);
    basalt_status status = check_alive(self, file->path, err);
    if (!status) status = inner_of(file)->ops->write_at(inner_of(file), bytes, count, offset, err);
    if (!status && count) record_bytes(file, POWERLOSS_WRITE, bytes, count, offset);
    bs_mutex_unlock(&self->lock);
    return status;
}

static void powerloss_mark_dirty(
    struct bs_file *file, const struct bs_log_memory *memory, size_t at, size_t count)
{
    struct powerloss_vfs *self = self_of(file->vfs);
    bs_mutex_lock(&self->lock);
    inner_of(file)->ops->mark_dirty(inner_of(file), memory, at, count);
    if (count) record_bytes(file, POWERLOSS_STORE, memory->bytes + at, count, at);
    bs_mutex_unlock(&self->lock);
}

static basalt_status powerloss_sync(struct bs_file *file, basalt_error *err)
{
    struct powerloss_vfs *self = self_of(file->vfs);
    const uint64_t ns = atomic_load(&self->sync_ns);
    if (ns) bs_sleep_ns(ns);
    bs_mutex_lock(&self->lock);
    if (open_of(file)->node == self->dying_node && self->dies_in && --self->dies_in == 0) {
        self->dead = true;
    }
    basalt_status status = check_alive(self, file->path, err);
    if (status) {
        bs_mutex_unlock(&self->lock);
        return status;
    }
    const bool fails = self->sync_fails_in && --self->sync_fails_in == 0;
    if (fails) {
        status = bs_fail_os(err, EIO, BASALT_NO_OFFSET, "cannot sync \"%.120s\"", file->path);
    } else {
        status = inner_of(file)->ops->sync(inner_of(file), err);
    }
    record_number(self, status ? POWERLOSS_SYNC_FAILED : POWERLOSS_SYNC, open_of(file)->node, 0);
    bs_mutex_unlock(&self->lock);
    return status;
}

/* The three operations whose argument is one number. */
static basalt_status change(
    struct bs_file *file, enum powerloss_event_kind kind, uint64_t number, basalt_error *err)
{
    struct powerloss_vfs *self = self_of(file->vfs);
    const struct bs_file_ops *ops = inner_of(file)->ops;
    bs_mutex_lock(&self->lock);
    basalt_status status = check_alive(self, file->path, err);
    if (status) {
        bs_mutex_unlock(&self->lock);
        return status;
    }
    if (kind == POWERLOSS_SET_SIZE) {
        status = ops->set_size(inner_of(file), number, err);
    } else if (kind == POWERLOSS_RESERVE) {
        status = ops->reserve(inner_of(file), number, err);
    } else {
        status = ops->set_mode(inner_of(file), (uint32_t)number, err);
    }
    if (!status) record_number(self, kind, open_of(file)->node, number);
    bs_mutex_unlock(&self->lock);
    return status;
}

static basalt_status powerloss_set_size(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    return change(file, POWERLOSS_SET_SIZE, bytes, err);
}

static basalt_status powerloss_reserve(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    return change(file, POWERLOSS_RESERVE, bytes, err);
}

static basalt_status powerloss_set_mode(struct bs_file *file, uint32_t mode, basalt_error *err)
{
    return change(file, POWERLOSS_SET_MODE, mode, err);
}

/* ---- files that are only asked --------------------------------------------------------------- */

static void powerloss_close(struct bs_file *file)
{
    bs_file_close(inner_of(file));
    harness_free(file->path);
    harness_free(file);
}

static basalt_status powerloss_read_at(struct bs_file *file, void *out, size_t count,
    uint64_t offset, size_t *out_count, basalt_error *err)
{
    return inner_of(file)->ops->read_at(inner_of(file), out, count, offset, out_count, err);
}

static basalt_status powerloss_file_info(
    struct bs_file *file, struct bs_file_info *out_info, basalt_error *err)
{
    return inner_of(file)->ops->info(inner_of(file), out_info, err);
}

static basalt_status powerloss_lend_log(struct bs_file *file, size_t capacity_bytes,
    struct bs_log_memory *out_memory, basalt_error *err)
{
    return inner_of(file)->ops->lend_log(inner_of(file), capacity_bytes, out_memory, err);
}

static void powerloss_return_log(struct bs_file *file, struct bs_log_memory *memory)
{
    inner_of(file)->ops->return_log(inner_of(file), memory);
}

static basalt_status powerloss_lock(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, basalt_error *err)
{
    return inner_of(file)->ops->lock(inner_of(file), kind, start, length, err);
}

static basalt_status powerloss_probe(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, struct bs_lock_holder *out_holder, basalt_error *err)
{
    return inner_of(file)->ops->probe(inner_of(file), kind, start, length, out_holder, err);
}

static basalt_status powerloss_share(
    struct bs_file *file, enum bs_lock_kind kind, basalt_error *err)
{
    return inner_of(file)->ops->share(inner_of(file), kind, err);
}

static basalt_status powerloss_count_sharers(
    struct bs_file *file, unsigned *out_count, basalt_error *err)
{
    return inner_of(file)->ops->count_sharers(inner_of(file), out_count, err);
}

static const struct bs_file_ops file_ops = {
    .close = powerloss_close,
    .read_at = powerloss_read_at,
    .write_at = powerloss_write_at,
    .sync = powerloss_sync,
    .info = powerloss_file_info,
    .set_size = powerloss_set_size,
    .reserve = powerloss_reserve,
    .set_mode = powerloss_set_mode,
    .lend_log = powerloss_lend_log,
    .mark_dirty = powerloss_mark_dirty,
    .return_log = powerloss_return_log,
    .lock = powerloss_lock,
    .probe = powerloss_probe,
    .share = powerloss_share,
    .count_sharers = powerloss_count_sharers,
};

/* ---- the file system ------------------------------------------------------------------------- */

static void powerloss_free(struct bs_vfs *vfs)
{
    struct powerloss_vfs *self = self_of(vfs);
    for (size_t i = 0; i < self->event_count; i++) {
        harness_free(self->events[i].bytes);
        harness_free(self->events[i].path);
        harness_free(self->events[i].to);
    }
    for (size_t i = 0; i < self->base_count; i++) {
        harness_free(self->base[i].path);
        harness_free(self->base[i].bytes);
    }
    harness_free(self->events);
    harness_free(self->base);
    harness_free(self->inodes);
    bs_vfs_free(self->inner);
    bs_mutex_destroy(&self->lock);
    harness_free(self);
}

static basalt_status powerloss_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err)
{
    struct powerloss_vfs *self = self_of(vfs);
    struct bs_file *inner = NULL;
    *out_file = NULL;
    bs_mutex_lock(&self->lock);
    const bool existed = exists(self, path), changes = !existed || flags & BS_OPEN_TRUNCATE;
    basalt_status status = changes ? check_alive(self, path, err) : BASALT_OK;
    if (!status) status = self->inner->ops->open(self->inner, path, flags, &inner, err);
    if (!status) {
        struct powerloss_open *file = harness_zeroed(1, sizeof *file);
        file->file = (struct bs_file){&file_ops, vfs, harness_text(path)};
        file->inner = inner;
        file->node = node_at(self, path);
        if (!existed) {
            record_entry(self, POWERLOSS_CREATE, file->node, path, NULL);
        } else if (flags & BS_OPEN_TRUNCATE) {
            record_number(self, POWERLOSS_SET_SIZE, file->node, 0);
        }
        *out_file = &file->file;
    }
    bs_mutex_unlock(&self->lock);
    return status;
}

static basalt_status powerloss_info(
    struct bs_vfs *vfs, const char *path, struct bs_file_info *out_info, basalt_error *err)
{
    return self_of(vfs)->inner->ops->info(self_of(vfs)->inner, path, out_info, err);
}

static basalt_status powerloss_remove(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    char *resolved = resolve(self, path);
    basalt_status status = check_alive(self, path, err);
    if (!status) status = self->inner->ops->remove(self->inner, path, err);
    if (!status) record_entry(self, POWERLOSS_REMOVE, NO_NODE, resolved, NULL);
    harness_free(resolved);
    bs_mutex_unlock(&self->lock);
    return status;
}

static basalt_status powerloss_rename(
    struct bs_vfs *vfs, const char *from, const char *to, bool replace, basalt_error *err)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    char *resolved = resolve(self, from);
    const size_t node = exists(self, from) ? node_at(self, from) : 0;
    basalt_status status = check_alive(self, from, err);
    if (!status) status = self->inner->ops->rename(self->inner, from, to, replace, err);
    if (!status) record_entry(self, POWERLOSS_RENAME, node, resolved, to);
    harness_free(resolved);
    bs_mutex_unlock(&self->lock);
    return status;
}

static basalt_status powerloss_make_directory(
    struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    basalt_status status = check_alive(self, path, err);
    if (!status) status = self->inner->ops->make_directory(self->inner, path, err);
    if (!status) record_entry(self, POWERLOSS_MAKE_DIRECTORY, node_at(self, path), path, NULL);
    bs_mutex_unlock(&self->lock);
    return status;
}

static basalt_status powerloss_list(struct bs_vfs *vfs, const char *directory,
    basalt_status (*each)(void *context, const char *name, basalt_error *err), void *context,
    basalt_error *err)
{
    return self_of(vfs)->inner->ops->list(self_of(vfs)->inner, directory, each, context, err);
}

static basalt_status powerloss_sync_directory(
    struct bs_vfs *vfs, const char *directory, basalt_error *err)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    basalt_status status = check_alive(self, directory, err);
    if (!status) status = self->inner->ops->sync_directory(self->inner, directory, err);
    if (!status) record_entry(self, POWERLOSS_SYNC_DIRECTORY, NO_NODE, directory, NULL);
    bs_mutex_unlock(&self->lock);
    return status;
}

static basalt_status powerloss_real_path(
    struct bs_vfs *vfs, const char *path, char **out_path, basalt_error *err)
{
    return self_of(vfs)->inner->ops->real_path(self_of(vfs)->inner, path, out_path, err);
}

static uint64_t powerloss_free_bytes(struct bs_vfs *vfs, const char *directory)
{
    return self_of(vfs)->inner->ops->free_bytes(self_of(vfs)->inner, directory);
}

static const struct bs_vfs_ops vfs_ops = {
    .free = powerloss_free,
    .open = powerloss_open,
    .info = powerloss_info,
    .remove = powerloss_remove,
    .rename = powerloss_rename,
    .make_directory = powerloss_make_directory,
    .list = powerloss_list,
    .sync_directory = powerloss_sync_directory,
    .real_path = powerloss_real_path,
    .free_bytes = powerloss_free_bytes,
};

struct bs_vfs *powerloss_create(void)
{
    struct powerloss_vfs *self = harness_zeroed(1, sizeof *self);
    const basalt_status status = bs_vfs_memory_create(&self->inner, NULL);
    assert(!status);
    (void)status;
    bs_mutex_init(&self->lock);
    self->vfs = (struct bs_vfs){.ops = &vfs_ops, .traits = self->inner->traits};
    self->vfs.traits.persistent = true; /* as far as anybody above can tell */
    return &self->vfs;
}

/* Puts one file of an image into the file system below, and remembers it as synced. */
static void base_add(struct powerloss_vfs *self, const struct powerloss_file *file)
{
    struct bs_file *open = NULL;
    basalt_status status = BASALT_OK;
    if (file->directory) {
        status = self->inner->ops->make_directory(self->inner, file->path, NULL);
    } else {
        status = bs_file_open(self->inner, file->path, BS_OPEN_WRITE | BS_OPEN_CREATE, &open, NULL);
        if (!status) status = bs_file_write_at(open, file->bytes, file->size, 0, NULL);
        if (!status) status = open->ops->set_mode(open, file->mode, NULL);
    }
    assert(!status);
    (void)status;
    bs_file_close(open);
    self->base[self->base_count++] = (struct powerloss_base){.path = harness_text(file->path),
        .bytes = file->directory ? NULL : harness_copy(file->bytes, file->size),
        .size = file->size,
        .mode = file->mode,
        .directory = file->directory,
        .node = node_at(self, file->path)};
}

struct bs_vfs *powerloss_create_from(const struct powerloss_image *image)
{
    struct powerloss_vfs *self = self_of(powerloss_create());
    self->base = harness_zeroed(image->file_count, sizeof self->base[0]);
    for (size_t i = 0; i < image->file_count; i++) { /* directories come before what is in them */
        base_add(self, &image->files[i]);
    }
    return &self->vfs;
}

uint64_t powerloss_event_count(struct bs_vfs *vfs)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    const uint64_t count = self->event_count;
    bs_mutex_unlock(&self->lock);
    return count;
}

void powerloss_mark(struct bs_vfs *vfs, uint64_t mark)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    record_number(self, POWERLOSS_MARK, NO_NODE, mark);
    bs_mutex_unlock(&self->lock);
}

void powerloss_fail_sync(struct bs_vfs *vfs, uint64_t count)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    self->sync_fails_in = count;
    bs_mutex_unlock(&self->lock);
}

void powerloss_die_at_sync(struct bs_vfs *vfs, const char *path, uint64_t count)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    self->dying_node = node_at(self, path);
    self->dies_in = count;
    bs_mutex_unlock(&self->lock);
}

static bool set_dead(struct bs_vfs *vfs, bool keep)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    const bool dead = self->dead;
    self->dead = dead && keep;
    bs_mutex_unlock(&self->lock);
    return dead;
}

bool powerloss_is_dead(struct bs_vfs *vfs)
{
    return set_dead(vfs, true);
}

void powerloss_revive(struct bs_vfs *vfs)
{
    (void)set_dead(vfs, false);
}

struct powerloss_step powerloss_step_at(struct bs_vfs *vfs, uint64_t index, const char *path)
{
    struct powerloss_vfs *self = self_of(vfs);
    bs_mutex_lock(&self->lock);
    assert(index < self->event_count);
    const struct powerloss_event *event = &self->events[index];
    const struct powerloss_step step = {.kind = event->kind,
        .offset = event->offset,
        .count = event->count,
        .path = event->path,
        .to = event->to,
        .of_this_file = !event->path && event->node != NO_NODE && exists(self, path) &&
            event->node == node_at(self, path)};
    bs_mutex_unlock(&self->lock);
    return step;
}

void powerloss_slow_sync(struct bs_vfs *vfs, uint64_t ns)
{
    atomic_store(&self_of(vfs)->sync_ns, ns);
}

const char *powerloss_event_name(enum powerloss_event_kind kind)
{
    static const char *const names[POWERLOSS_EVENT_KINDS] = {"write", "store", "set_size",
        "reserve", "set_mode", "sync", "sync_failed", "create", "rename", "remove",
        "make_directory", "sync_directory", "mark", "end"};
    return names[kind];
}

const char *powerloss_kind_name(enum powerloss_kind kind)
{
    static const char *const names[POWERLOSS_KINDS] = {"killed", "killed_torn", "none", "all",
        "prefix", "missing", "alone", "subset", "torn", "garbage"};
    return names[kind];
}
