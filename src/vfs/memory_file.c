/* memory_file.c - an open file of the file system in memory: its bytes and its locks.
 *
 * LENT MEMORY is the file's own buffer. While any is lent the buffer neither moves nor grows; a
 * write that would need that is UNSUPPORTED. The borrower stores without a lock, as into a mapped
 * file, so a read meanwhile copies whatever bytes are there; copy_racing says so to the thread
 * sanitizer. Log records carry checksums for exactly this.
 *
 * BYTE-RANGE LOCKS behave as open-file-description locks: they belong to the bs_file, replace what
 * the same bs_file held on the range, conflict only with other bs_files, and end at close. */
#include "vfs/memory_internal.h"

#include <errno.h>

#define BUFFER_BYTES_MIN ((size_t)4096)
#define BUFFER_BYTES_MAX ((uint64_t)1 << 40) /* no allocator is asked for more */

/* ---- one file: bytes --------------------------------------------------------------------------- */

/* Copies bytes that a borrower of log memory may be storing at this moment. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACES_BY_DESIGN __attribute__((no_sanitize("thread")))
#endif
#elif defined(__SANITIZE_THREAD__)
#define RACES_BY_DESIGN __attribute__((no_sanitize("thread")))
#endif
#ifndef RACES_BY_DESIGN
#define RACES_BY_DESIGN
#endif
RACES_BY_DESIGN static void copy_racing(uint8_t *out, const uint8_t *bytes, size_t count)
{
    const volatile uint8_t *from = bytes; /* volatile: not turned into a call of memcpy */
    for (size_t i = 0; i < count; i++) out[i] = from[i];
}

/* Under node->lock: room for `capacity` bytes. */
static basalt_status buffer_grow(struct bs_file *file, size_t capacity, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    if (capacity <= node->capacity) return BASALT_OK;
    if (node->lent) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            SHOWN " cannot grow past %zu bytes while its memory is lent", file->path,
            node->capacity);
    }
    if (capacity > BUFFER_BYTES_MAX) return bs_fail_memory(err, capacity);
    const size_t doubled = node->capacity > SIZE_MAX / 2 ? SIZE_MAX : node->capacity * 2;
    const size_t wanted = BS_MAX(BS_MAX(capacity, doubled), BUFFER_BYTES_MIN);
    uint8_t *bytes = bs_realloc(node->bytes, wanted);
    if (!bytes) return bs_fail_memory(err, wanted);
    memset(bytes + node->capacity, 0, wanted - node->capacity);
    node->bytes = bytes;
    node->capacity = wanted;
    return BASALT_OK;
}

static basalt_status memory_read_at(struct bs_file *file, void *out, size_t count, uint64_t offset,
    size_t *out_count, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    (void)err;
    *out_count = 0;
    bs_mutex_lock(&node->lock);
    if (offset < node->size) {
        const size_t at = (size_t)offset;
        const size_t got = BS_MIN(count, node->size - at);
        if (node->lent) {
            copy_racing(out, node->bytes + at, got);
        } else if (got) {
            memcpy(out, node->bytes + at, got);
        }
        *out_count = got;
    }
    bs_mutex_unlock(&node->lock);
    return BASALT_OK;
}

static basalt_status memory_write_at(
    struct bs_file *file, const void *bytes, size_t count, uint64_t offset, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    basalt_status status = BASALT_OK;

    if (!bs_memory_file_of(file)->writable) return bs_vfs_fail_read_only(file, err);
    if (offset > BS_FILE_OFFSET_MAX || count > BS_FILE_OFFSET_MAX - offset) {
        return bs_fail_os(err, EFBIG, offset, "cannot write " SHOWN, file->path);
    }
    if (!count) return BASALT_OK;
    bs_mutex_lock(&node->lock);
    const size_t at = (size_t)offset;
    BS_TRY(buffer_grow(file, at + count, err));
    memcpy(node->bytes + at, bytes, count);
    node->size = BS_MAX(node->size, at + count);
    node->modified_ns = bs_wall_ns();
out:
    bs_mutex_unlock(&node->lock);
    return status;
}

static basalt_status memory_sync(struct bs_file *file, basalt_error *err)
{
    (void)file; /* nothing here outlives the process, so there is nothing to wait for */
    (void)err;
    return BASALT_OK;
}

static basalt_status memory_file_info(
    struct bs_file *file, struct bs_file_info *out_info, basalt_error *err)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(file->vfs);
    (void)err;
    bs_mutex_lock(&self->lock);
    bs_memory_info_of(self, bs_memory_file_of(file)->node, out_info);
    bs_mutex_unlock(&self->lock);
    return BASALT_OK;
}

static basalt_status memory_set_size(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    basalt_status status = BASALT_OK;

    if (!bs_memory_file_of(file)->writable) return bs_vfs_fail_read_only(file, err);
    if (bytes > BS_FILE_OFFSET_MAX) {
        return bs_fail_os(
            err, EFBIG, BASALT_NO_OFFSET, "cannot change the size of " SHOWN, file->path);
    }
    bs_mutex_lock(&node->lock);
    const size_t size = (size_t)bytes;
    BS_TRY(buffer_grow(file, size, err));
    if (size < node->size) memset(node->bytes + size, 0, node->size - size);
    node->size = size;
    node->modified_ns = bs_wall_ns();
out:
    bs_mutex_unlock(&node->lock);
    return status;
}

static basalt_status memory_reserve(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    basalt_status status = BASALT_OK;

    if (!bs_memory_file_of(file)->writable) return bs_vfs_fail_read_only(file, err);
    if (bytes > BS_FILE_OFFSET_MAX) {
        return bs_fail_os(
            err, EFBIG, BASALT_NO_OFFSET, "cannot reserve disk for " SHOWN, file->path);
    }
    bs_mutex_lock(&node->lock);
    BS_TRY(buffer_grow(file, (size_t)bytes, err));
    node->size = BS_MAX(node->size, (size_t)bytes);
out:
    bs_mutex_unlock(&node->lock);
    return status;
}

static basalt_status memory_set_mode(struct bs_file *file, uint32_t mode, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    (void)err;
    bs_mutex_lock(&node->lock);
    node->mode = mode & BS_MEMORY_PERMISSIONS;
    bs_mutex_unlock(&node->lock);
    return BASALT_OK;
}

static basalt_status memory_lend_log(struct bs_file *file, size_t capacity_bytes,
    struct bs_log_memory *out_memory, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    basalt_status status = BASALT_OK;

    assert(capacity_bytes > 0);
    *out_memory = (struct bs_log_memory){0};
    if (!bs_memory_file_of(file)->writable) return bs_vfs_fail_read_only(file, err);
    bs_mutex_lock(&node->lock);
    if (node->size < capacity_bytes) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "memory of " SHOWN " cannot be lent: it is not reserved", file->path);
        goto out;
    }
    node->lent++;
    *out_memory = (struct bs_log_memory){.bytes = node->bytes, .capacity_bytes = capacity_bytes};
out:
    bs_mutex_unlock(&node->lock);
    return status;
}

static void memory_mark_dirty(
    struct bs_file *file, const struct bs_log_memory *memory, size_t at, size_t count)
{
    (void)file; /* the store itself has already changed the file */
    (void)memory;
    (void)at;
    (void)count;
    assert(at <= memory->capacity_bytes && count <= memory->capacity_bytes - at);
}

static void memory_return_log(struct bs_file *file, struct bs_log_memory *memory)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    if (memory->bytes) {
        bs_mutex_lock(&node->lock);
        assert(node->lent > 0);
        node->lent--;
        bs_mutex_unlock(&node->lock);
    }
    *memory = (struct bs_log_memory){0};
}

/* ---- one file: locks --------------------------------------------------------------------------- */

static struct bs_memory_lock range_make(
    const struct bs_file *owner, enum bs_lock_kind kind, uint64_t start, uint64_t length)
{
    assert(length > 0);
    assert(start <= BS_FILE_OFFSET_MAX);
    const uint64_t end_max = BS_FILE_OFFSET_MAX + 1;
    const uint64_t end = length > end_max - start ? end_max : start + length;
    return (struct bs_memory_lock){.owner = owner, .kind = kind, .start = start, .end = end};
}

static bool ranges_meet(const struct bs_memory_lock *a, const struct bs_memory_lock *b)
{
    return a->start < b->end && b->start < a->end;
}

/* Under node->lock. Lends the lowest lock of somebody else that refuses `wanted`; NULL if none. */
static const struct bs_memory_lock *conflict_of(
    const struct bs_memory_node *node, const struct bs_memory_lock *wanted)
{
    const struct bs_memory_lock *found = NULL;
    for (size_t i = 0; i < node->lock_count; i++) {
        const struct bs_memory_lock *held = &node->locks[i];
        const bool exclusive = held->kind == BS_LOCK_EXCLUSIVE || wanted->kind == BS_LOCK_EXCLUSIVE;
        if (held->owner == wanted->owner || !exclusive || !ranges_meet(held, wanted)) continue;
        if (!found || held->start < found->start) found = held;
    }
    return found;
}

/* Under node->lock, with room for two more locks: cuts the range out of what its owner holds. A
 * lock cut in the middle leaves two parts. */
static void locks_cut(struct bs_memory_node *node, const struct bs_memory_lock *range)
{
    const size_t count = node->lock_count; /* parts added at the end need no second look */
    for (size_t i = count; i-- > 0;) {
        struct bs_memory_lock *held = &node->locks[i];
        if (held->owner != range->owner || !ranges_meet(held, range)) continue;
        const struct bs_memory_lock whole = *held;
        *held = node->locks[--node->lock_count];
        if (whole.start < range->start) {
            node->locks[node->lock_count++] =
                (struct bs_memory_lock){whole.owner, whole.kind, whole.start, range->start};
        }
        if (whole.end > range->end) {
            node->locks[node->lock_count++] =
                (struct bs_memory_lock){whole.owner, whole.kind, range->end, whole.end};
        }
    }
}

static bool locks_reserve(struct bs_memory_node *node, size_t more)
{
    const size_t wanted = node->lock_count + more;
    if (wanted <= node->lock_capacity) return true;
    const size_t capacity = BS_MAX(wanted, node->lock_capacity * 2);
    struct bs_memory_lock *locks = bs_realloc(node->locks, capacity * sizeof *locks);
    if (!locks) return false;
    node->locks = locks;
    node->lock_capacity = capacity;
    return true;
}

static basalt_status memory_lock(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    const struct bs_memory_lock wanted = range_make(file, kind, start, length);
    basalt_status status = BASALT_OK;

    if (kind == BS_LOCK_EXCLUSIVE && !bs_memory_file_of(file)->writable) {
        return bs_vfs_fail_read_only(file, err);
    }
    bs_mutex_lock(&node->lock);
    if (kind != BS_LOCK_NONE && conflict_of(node, &wanted)) {
        status = bs_vfs_fail_locked(file, start, length, err);
        goto out;
    }
    if (!locks_reserve(node, 3)) {
        status = bs_fail_memory(err, (node->lock_count + 3) * sizeof *node->locks);
        goto out;
    }
    locks_cut(node, &wanted);
    if (kind != BS_LOCK_NONE) node->locks[node->lock_count++] = wanted;
out:
    bs_mutex_unlock(&node->lock);
    return status;
}

static basalt_status memory_probe(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, struct bs_lock_holder *out_holder, basalt_error *err)
{
    struct bs_memory_node *node = bs_memory_file_of(file)->node;
    const struct bs_memory_lock wanted = range_make(file, kind, start, length);
    (void)err;

    assert(kind != BS_LOCK_NONE);
    *out_holder = (struct bs_lock_holder){0};
    bs_mutex_lock(&node->lock);
    const struct bs_memory_lock *held = conflict_of(node, &wanted);
    if (held) {
        *out_holder = (struct bs_lock_holder){.held = true,
            .kind = held->kind,
            .start = held->start,
            .length = held->end - held->start};
    }
    bs_mutex_unlock(&node->lock);
    return BASALT_OK;
}

static basalt_status memory_share(struct bs_file *file, enum bs_lock_kind kind, basalt_error *err)
{
    struct bs_memory_file *self = bs_memory_file_of(file);
    const bool take = kind == BS_LOCK_SHARED;

    if (kind == BS_LOCK_EXCLUSIVE) return bs_vfs_fail_share(file, err);
    bs_mutex_lock(&self->node->lock);
    if (take && !self->shared) self->node->sharers++;
    if (!take && self->shared) self->node->sharers--;
    self->shared = take;
    bs_mutex_unlock(&self->node->lock);
    return BASALT_OK;
}

static basalt_status memory_count_sharers(
    struct bs_file *file, unsigned *out_count, basalt_error *err)
{
    struct bs_memory_file *self = bs_memory_file_of(file);
    (void)err;
    bs_mutex_lock(&self->node->lock);
    *out_count = self->node->sharers - (self->shared ? 1 : 0);
    bs_mutex_unlock(&self->node->lock);
    return BASALT_OK;
}

static void memory_close(struct bs_file *file)
{
    struct bs_memory_file *self = bs_memory_file_of(file);
    struct bs_memory_vfs *vfs = bs_memory_vfs_of(file->vfs);
    struct bs_memory_node *node = self->node;
    const struct bs_memory_lock everything = range_make(file, BS_LOCK_NONE, 0, UINT64_MAX);

    bs_mutex_lock(&node->lock);
    locks_cut(node, &everything); /* leaves no parts, so needs no room */
    if (self->shared) node->sharers--;
    bs_mutex_unlock(&node->lock);

    bs_mutex_lock(&vfs->lock);
    bs_memory_node_release(node);
    bs_mutex_unlock(&vfs->lock);
    bs_free(file->path);
    bs_free(self);
}

const struct bs_file_ops bs_memory_file_ops = {
    .close = memory_close,
    .read_at = memory_read_at,
    .write_at = memory_write_at,
    .sync = memory_sync,
    .info = memory_file_info,
    .set_size = memory_set_size,
    .reserve = memory_reserve,
    .set_mode = memory_set_mode,
    .lend_log = memory_lend_log,
    .mark_dirty = memory_mark_dirty,
    .return_log = memory_return_log,
    .lock = memory_lock,
    .probe = memory_probe,
    .share = memory_share,
    .count_sharers = memory_count_sharers,
};
