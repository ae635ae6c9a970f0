/* wal_segment.c - segment files: made ahead of need, taken into use, removed.
 *
 * A segment is reserved, mapped and marked with its identity, its directory entry synced, before
 * the appender can see it, by a thread of its own: the first touch of unwritten extents stalls for
 * tens of milliseconds, and a disk that is full is then found out while nobody stores into memory
 * that has no disk behind it. Where somebody waits for syncs the file itself is synced too, so that
 * the first of them does not write a segment full of zeros; where nobody does, those zeros, and the
 * frames over them, never need to reach the device: a checkpoint is there before. Taking a segment
 * into use is a pointer switch and one sector (the activation). The first sync of frames in it makes
 * identity and activation durable with them: all are in one file.
 *
 * A segment lives as long as a list or a sync under way refers to it. A made-ahead segment that
 * was never used stays behind on close and is removed with the rest of the log; its number is
 * never used again, as numbers start above all that exist. */
#include "wal/wal_internal.h"

#include <inttypes.h>

#define AHEAD_OF_THE_FAST 2u /* segments, once an appender had to wait for one */

/* ---- one segment ------------------------------------------------------------------------------- */

void bs_wal_segment_free(struct bs_wal_segment *segment)
{
    if (!segment) return;
    if (segment->file && segment->memory.bytes) {
        segment->file->ops->return_log(segment->file, &segment->memory);
    }
    bs_file_close(segment->file);
    bs_free(segment->path);
    bs_free(segment);
}

static basalt_status sync_directory(struct bs_vfs *vfs, const char *directory, basalt_error *err)
{
#ifdef BASALT_MUTANT_no_directory_sync
    (void)vfs;
    (void)directory;
    (void)err;
    return BASALT_OK;
#else
    return vfs->ops->sync_directory(vfs, directory, err);
#endif
}

/* Space first, so that no later store can run out of it; then memory, if it is wanted and lent. */
static basalt_status reserve(
    struct bs_wal_writer *writer, struct bs_wal_segment *segment, basalt_error *err)
{
    struct bs_file *file = segment->file;
    basalt_status status = file->ops->reserve(file, segment->file_bytes, err);
    const bool reserved = status == BASALT_OK;
    if (status == BASALT_UNSUPPORTED && writer->mode != 2) {
        status = file->ops->set_size(file, segment->file_bytes, err);
    }
    if (status || !reserved || writer->mode == 1) return status;
    status = file->ops->lend_log(file, segment->file_bytes, &segment->memory, err);
    if (status == BASALT_UNSUPPORTED && writer->mode != 2) {
        segment->memory.bytes = NULL;
        return BASALT_OK;
    }
    return status;
}

static basalt_status write_identity(
    struct bs_wal_writer *writer, struct bs_wal_segment *segment, basalt_error *err)
{
    uint8_t sector[BS_WAL_SECTOR_BYTES];
    struct bs_wal_identity identity = writer->identity;
    identity.number = segment->number;
    identity.segment_bytes = segment->file_bytes;
    bs_wal_identity_encode(&identity, sector);
    return bs_wal_segment_store(segment, BS_WAL_IDENTITY_AT, sector, sizeof sector, err);
}

basalt_status bs_wal_segment_make(struct bs_wal_writer *writer, uint64_t number, bool sync,
    struct bs_wal_segment **out_segment, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    bool created = false;
    *out_segment = NULL;
    struct bs_wal_segment *segment = bs_alloc_zeroed(1, sizeof *segment);
    if (!segment) return bs_fail_memory(err, sizeof *segment);
    segment->number = number;
    segment->references = 1;
    segment->file_bytes = writer->segment_bytes;
    segment->path = bs_wal_segment_path(writer->data_path, number);
    if (!segment->path) {
        status = bs_fail_memory(err, strlen(writer->data_path));
        goto out;
    }
    BS_TRY(bs_file_open(writer->vfs, segment->path,
        BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_EXCLUSIVE, &segment->file, err));
    created = true;
    BS_TRY(reserve(writer, segment, err));
    BS_TRY(write_identity(writer, segment, err));
    if (sync) BS_TRY(bs_file_sync(segment->file, err));
    BS_TRY(sync_directory(writer->vfs, writer->directory, err));
    *out_segment = segment;
    segment = NULL;
out:
    if (status) bs_error_prefix(err, "the log segment %" PRIu64 " cannot be made", number);
    if (segment && created) {
        /* The failure counts; a file that stays is no more than an unused made-ahead segment. */
        basalt_status ignored = writer->vfs->ops->remove(writer->vfs, segment->path, NULL);
        (void)ignored;
    }
    bs_wal_segment_free(segment);
    return status;
}

basalt_status bs_wal_segment_store(
    struct bs_wal_segment *segment, size_t at, const void *bytes, size_t count, basalt_error *err)
{
    assert(at <= segment->file_bytes && count <= segment->file_bytes - at);
    if (!segment->memory.bytes) return bs_file_write_at(segment->file, bytes, count, at, err);
    memcpy(segment->memory.bytes + at, bytes, count);
    segment->file->ops->mark_dirty(segment->file, &segment->memory, at, count);
    return BASALT_OK;
}

basalt_status bs_wal_segment_activate(
    struct bs_wal_writer *writer, struct bs_wal_segment *segment, bs_lsn start, basalt_error *err)
{
    uint8_t sector[BS_WAL_SECTOR_BYTES];
    bs_wal_activation_encode(start, writer->identity.epoch, sector);
    return bs_wal_segment_store(segment, BS_WAL_ACTIVATION_AT, sector, sizeof sector, err);
}

/* ---- the list of those in use ------------------------------------------------------------------ */

void bs_wal_segment_release(struct bs_wal_writer *writer, struct bs_wal_segment *segment)
{
    bs_mutex_lock(&writer->lock);
    const bool last = --segment->references == 0;
    bs_mutex_unlock(&writer->lock);
    if (last) bs_wal_segment_free(segment);
}

struct bs_wal_segment *bs_wal_segment_take(
    struct bs_wal_writer *writer, bs_lsn from, bs_lsn target, bs_lsn *out_end)
{
    struct bs_wal_segment *segment;
    *out_end = target;
    bs_mutex_lock(&writer->lock);
    for (segment = writer->oldest; segment; segment = segment->next) {
        const bs_lsn end = segment->next ? segment->next->start : BS_WAL_LSN_MAX;
        if (segment->start >= target || from >= target) {
            segment = NULL;
            break;
        }
        if (end > from) {
            segment->references++;
            *out_end = BS_MIN(end, target);
            break;
        }
    }
    bs_mutex_unlock(&writer->lock);
    return segment;
}

bool bs_wal_segments_ready(struct bs_wal_writer *writer, unsigned count)
{
    bs_mutex_lock(&writer->lock);
    const bool ready = writer->ready_count >= count;
    if (!ready) writer->ahead_count = AHEAD_OF_THE_FAST;
    if (!ready && writer->wanted_count < count) writer->wanted_count = count;
    if (!ready) bs_condition_signal(&writer->maker_wake);
    bs_mutex_unlock(&writer->lock);
    return ready;
}

struct bs_wal_segment *bs_wal_segment_rotate(struct bs_wal_writer *writer, bs_lsn start)
{
    bs_mutex_lock(&writer->lock);
    struct bs_wal_segment *segment = writer->ready;
    assert(segment); /* the appender has asked bs_wal_segments_ready */
    writer->ready = segment->next;
    if (!writer->ready) writer->ready_last = NULL;
    writer->ready_count--;
    segment->next = NULL;
    segment->start = start;
    writer->active->next = segment;
    writer->active = segment;
    writer->wanted_count = writer->ahead_count;
    bs_condition_signal(&writer->maker_wake);
    bs_mutex_unlock(&writer->lock);
    return segment;
}

/* ---- the maker --------------------------------------------------------------------------------- */

/* Waits for work; false when it is time to stop. Called and left with the lock held. */
static bool maker_await(struct bs_wal_writer *writer)
{
    for (;;) {
        if (writer->stopping) return false;
        /* After a failure only somebody who waits makes it try again. */
        const bool may_try = !writer->make_failure.status || writer->make_retry;
        if (may_try && writer->ready_count < writer->wanted_count) return true;
        bs_condition_wait(&writer->maker_wake, &writer->lock);
    }
}

static void maker_run(void *argument)
{
    struct bs_wal_writer *writer = argument;
    bs_mutex_lock(&writer->lock);
    while (maker_await(writer)) {
        basalt_error failure = {0};
        struct bs_wal_segment *segment = NULL;
        const uint64_t number = writer->next_number++;
        writer->make_retry = false;
        bs_mutex_unlock(&writer->lock);
        const bool sync = atomic_load_explicit(&writer->syncs_asked, memory_order_relaxed);
        const basalt_status status = bs_wal_segment_make(writer, number, sync, &segment, &failure);
        bs_mutex_lock(&writer->lock);
        if (status) {
            writer->make_failures++;
        } else {
            if (writer->ready_last)
                writer->ready_last->next = segment;
            else
                writer->ready = segment;
            writer->ready_last = segment;
            writer->ready_count++;
        }
        writer->make_failure = failure;
        writer->make_failure.status = status;
        bs_condition_broadcast(&writer->made);
    }
    bs_mutex_unlock(&writer->lock);
}

basalt_status bs_wal_maker_start(struct bs_wal_writer *writer, basalt_error *err)
{
    return bs_thread_start("basalt-log", maker_run, writer, &writer->maker, err);
}

void bs_wal_maker_stop(struct bs_wal_writer *writer)
{
    bs_mutex_lock(&writer->lock);
    writer->stopping = true;
    bs_condition_broadcast(&writer->maker_wake);
    bs_mutex_unlock(&writer->lock);
    bs_thread_join(writer->maker);
    writer->maker = NULL;
}

basalt_status bs_wal_wait_segment(struct bs_wal_writer *writer, size_t bytes, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    const size_t capacity = writer->segment_bytes - BS_WAL_HEADER_BYTES;
    /* Two neighbouring segments hold more than one's capacity, however the records fall. */
    const size_t needed = bytes <= capacity ? 1 : 1 + 2 * (bytes / capacity + 1);
    if (needed > BS_WAL_AHEAD_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "%zu bytes in one piece are more than %u log segments of %zu bytes take", bytes,
            BS_WAL_AHEAD_MAX, writer->segment_bytes);
    }
    bs_mutex_lock(&writer->lock);
    writer->wanted_count = BS_MAX(writer->wanted_count, (unsigned)needed);
    const uint64_t failures_before = writer->make_failures;
    while (writer->ready_count < writer->wanted_count && !status) {
        writer->make_retry = true;
        bs_condition_signal(&writer->maker_wake);
        bs_condition_wait(&writer->made, &writer->lock);
        if (writer->make_failures != failures_before && writer->make_failure.status) {
            const basalt_error *failure = &writer->make_failure;
            status = bs_fail(err, failure->status, failure->file_offset, "%s", failure->message);
            if (err) err->os_errno = failure->os_errno;
        }
    }
    bs_mutex_unlock(&writer->lock);
    return status;
}

/* ---- removal ----------------------------------------------------------------------------------- */

/* Detaches the segments that end at or before `cut`, oldest first. */
static struct bs_wal_segment *detach_below(struct bs_wal_writer *writer, bs_lsn cut)
{
    struct bs_wal_segment *first = NULL, *last = NULL;
    bs_mutex_lock(&writer->lock);
    while (writer->oldest != writer->active && writer->oldest->next->start <= cut) {
        struct bs_wal_segment *segment = writer->oldest;
        writer->oldest = segment->next;
        segment->next = NULL;
        if (last)
            last->next = segment;
        else
            first = segment;
        last = segment;
    }
    bs_mutex_unlock(&writer->lock);
    return first;
}

basalt_status bs_wal_remove_below(struct bs_wal_writer *writer, bs_lsn cut, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_wal_segment *segment = detach_below(writer, cut);
    if (!segment) return BASALT_OK;
    while (segment) {
        struct bs_wal_segment *next = segment->next;
        const basalt_status failed =
            writer->vfs->ops->remove(writer->vfs, segment->path, status ? NULL : err);
        if (!status) status = failed;
        bs_wal_segment_release(writer, segment);
        segment = next;
    }
    const basalt_status failed =
        writer->vfs->ops->sync_directory(writer->vfs, writer->directory, status ? NULL : err);
    return status ? status : failed;
}

/* True: one of `keep_epoch` exists. *out_below: segments under this number are to go. */
static bool removal_bound(
    const struct bs_wal_found_list *list, uint32_t keep_epoch, uint64_t *out_below)
{
    *out_below = UINT64_MAX;
    if (!keep_epoch) return true;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].whole && list->items[i].identity.epoch == keep_epoch) {
            *out_below = list->items[i].number;
            return true;
        }
    }
    return false;
}

static basalt_status remove_found(struct bs_vfs *vfs, const char *data_path,
    const struct bs_wal_found_list *list, uint64_t below, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; i < list->count && list->items[i].number < below; i++) {
        char *path = bs_wal_segment_path(data_path, list->items[i].number);
        basalt_status failed = path ? vfs->ops->remove(vfs, path, status ? NULL : err)
                                    : bs_fail_memory(status ? NULL : err, strlen(data_path));
        bs_free(path);
        if (failed == BASALT_NOT_FOUND) failed = BASALT_OK; /* gone is what was asked for */
        if (!status) status = failed;
    }
    return status;
}

basalt_status bs_wal_remove_all(
    struct bs_vfs *vfs, const char *data_path, uint32_t keep_epoch, basalt_error *err)
{
    struct bs_wal_found_list list;
    uint64_t below = 0;
    basalt_status status = bs_wal_find_segments(vfs, data_path, &list, err);
    if (status) return status;
    char *directory = bs_path_directory(data_path);
    if (!directory) {
        status = bs_fail_memory(err, strlen(data_path));
        goto out;
    }
    /* An epoch's segments are numbered above all older ones, and the maker may be at work on the
     * next: so everything below the first of the epoch goes, and nothing above. */
    if (!removal_bound(&list, keep_epoch, &below)) {
        status = bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET,
            "no log segment of epoch %" PRIu32 " lies beside %s, so none was removed", keep_epoch,
            data_path);
        goto out;
    }
    if (!list.count) goto out;
    BS_TRY(remove_found(vfs, data_path, &list, below, err));
    status = vfs->ops->sync_directory(vfs, directory, err);
out:
    bs_wal_found_list_free(&list);
    bs_free(directory);
    return status;
}
