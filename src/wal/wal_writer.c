/* wal_writer.c - starts a log and appends to it.
 *
 * Three marks: written (stored in the log's pages), durable (synced), and in wal_sync.c the target
 * of the sync under way. Bytes: wal_format.c. Reading them back: wal_reader.c.
 *
 * INVARIANTS
 *   (1) durable <= written, and neither ever shrinks.
 *   (2) Only bytes before `durable` may be promised against power loss, only bytes before
 *       `written` against the death of the process.
 *   (3) There is no hole before `written`: appends are serialised, and `written` moves, with
 *       release, after the whole append has been copied. A reservation by fetch_add is faster on
 *       paper; a thread preempted between reserving and copying then stalls all the others, or
 *       leaves a hole when it is killed.
 *   (4) A leader takes its target before it syncs and publishes exactly that.
 *   (5) The first failed write or sync breaks the log for good, and no mark moves after it. A sync
 *       is not retried: the kernel may have dropped the pages it failed to write and would then
 *       report success. For the same reason every sync of a segment in use is the leader's: of two
 *       at once on one descriptor only one might be told of the failure.
 *   (6) A frame lies in one segment. Where it does not fit the rest stays unused, and the next
 *       segment starts at the same position. A transaction may span segments.
 *   (7) The newest story is durable in a file that exists: the first of its epoch, which holds
 *       nothing else (wal_story.c), is not in the list of segments and goes with the log as a whole.
 *   (8) What a new epoch continues is durable before the epoch begins: recovery may have read it
 *       from pages that the process before never synced. Unless the caller takes that upon itself
 *       (older_unsynced): then a power loss may leave a hole before the new epoch.
 *
 * LOCKS  `lock`: lists of segments. `sync_lock`: leadership, waiters, first failure. Neither is held
 * across I/O or together with the other. The appender holds the caller's lock, so while memory is
 * lent it only copies, and takes `lock` for a moment when it changes segments. */
#include "wal/wal_internal.h"

#include <inttypes.h>

/* ---- opening ----------------------------------------------------------------------------------- */

static basalt_status writer_prepare(struct bs_wal_writer *writer, const char *data_path,
    const struct bs_wal_options *options, const struct bs_wal_story *story, basalt_error *err)
{
    writer->segment_bytes =
        options->segment_bytes ? options->segment_bytes : BS_WAL_SEGMENT_BYTES_DEFAULT;
    if (writer->segment_bytes < BS_WAL_SEGMENT_BYTES_MIN || options->mode > 2) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "log segments of %zu bytes in mode %" PRIu32 ": at least %zu bytes and mode 0 to 2",
            writer->segment_bytes, options->mode, BS_WAL_SEGMENT_BYTES_MIN);
    }
    writer->segment_bytes &= ~(BS_WAL_HEADER_BYTES - 1);
    writer->mode = options->mode;
    writer->data_path = bs_copy_string(data_path);
    writer->directory = bs_path_directory(data_path);
    writer->staging = bs_alloc(BS_WAL_STAGING_BYTES);
    if (!writer->data_path || !writer->directory || !writer->staging) {
        return bs_fail_memory(err, BS_WAL_STAGING_BYTES);
    }
    memcpy(writer->identity.store_uuid, story->store_uuid, sizeof story->store_uuid);
    memcpy(writer->identity.holder, options->holder, BS_WAL_HOLDER_BYTES);
    writer->identity.holder[BS_WAL_HOLDER_BYTES - 1] = 0;
    while (!writer->identity.epoch) {
        bs_random_bytes(&writer->identity.epoch, sizeof writer->identity.epoch);
    }
    return BASALT_OK;
}

static basalt_status sync_found(struct bs_wal_writer *writer, uint64_t number, basalt_error *err)
{
    struct bs_file *file = NULL;
    char *path = bs_wal_segment_path(writer->data_path, number);
    if (!path) return bs_fail_memory(err, strlen(writer->data_path));
    basalt_status status = bs_file_open(writer->vfs, path, BS_OPEN_READ, &file, err);
    if (!status) status = bs_file_sync(file, err);
    bs_file_close(file);
    bs_free(path);
    return status;
}

/* Invariant 8, and the first number that is free. */
static basalt_status settle_older(struct bs_wal_writer *writer, bool sync, basalt_error *err)
{
    struct bs_wal_found_list list;
    basalt_status status = bs_wal_find_segments(writer->vfs, writer->data_path, &list, err);
    if (status) return status;
    writer->next_number = 1;
    for (size_t i = 0; i < list.count; i++) {
        const struct bs_wal_found *found = &list.items[i];
        writer->next_number = found->number + 1;
        if (!found->active) continue;
        if (memcmp(found->identity.store_uuid, writer->identity.store_uuid, 16) != 0) {
            status = bs_fail(err, BASALT_CONFLICT, 16,
                "the log segment %" PRIu64 " beside %s belongs to another store; move it away",
                found->number, writer->data_path);
            goto out;
        }
        if (sync) BS_TRY(sync_found(writer, found->number, err));
    }
out:
    bs_wal_found_list_free(&list);
    return status;
}

/* The failure that led here counts; what stays if this fails too is replayed as nothing. */
static void abandon(struct bs_wal_writer *writer)
{
    basalt_status ignored = BASALT_OK;
    if (writer->active) {
        ignored = writer->vfs->ops->remove(writer->vfs, writer->active->path, NULL);
        bs_wal_segment_free(writer->active);
        writer->oldest = writer->active = NULL;
    }
    if (writer->story_file) {
        ignored = writer->vfs->ops->remove(writer->vfs, writer->story_path, NULL);
    }
    (void)ignored;
}

/* The story and the first segment, in use and durable before anybody sees the log. */
static basalt_status start_segment(
    struct bs_wal_writer *writer, const struct bs_wal_story *story, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_wal_segment *segment = NULL;
    BS_TRY(bs_wal_story_open(writer, writer->next_number++, story, err));
    BS_TRY(bs_wal_segment_make(writer, writer->next_number++, false, &segment, err));
    segment->start = writer->start;
    writer->oldest = writer->active = segment;
    BS_TRY(bs_wal_segment_activate(writer, segment, writer->start, err));
    status = bs_file_sync(segment->file, err);
out:
    return status;
}

basalt_status bs_wal_writer_open(struct bs_vfs *vfs, const char *data_path,
    const struct bs_wal_options *options, const struct bs_wal_story *story, bs_lsn start,
    struct bs_wal_writer **out_writer, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    static const struct bs_wal_options defaults = {0};
    *out_writer = NULL;
    if (start > BS_WAL_LSN_MAX / 2) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "a log cannot start at position %" PRIu64, start);
    }
    struct bs_wal_writer *writer = bs_alloc_zeroed(1, sizeof *writer);
    if (!writer) return bs_fail_memory(err, sizeof *writer);
    writer->vfs = vfs;
    writer->start = start;
    writer->wanted_count = writer->ahead_count = 1;
    writer->run_at = BS_WAL_HEADER_BYTES;
    atomic_init(&writer->written, start);
    atomic_init(&writer->durable, start);
    bs_mutex_init(&writer->lock);
    bs_mutex_init(&writer->sync_lock);
    bs_condition_init(&writer->maker_wake);
    bs_condition_init(&writer->made);
    BS_TRY(writer_prepare(writer, data_path, options ? options : &defaults, story, err));
    BS_TRY(settle_older(writer, !options->older_unsynced, err));
    BS_TRY(start_segment(writer, story, err));
    BS_TRY(bs_wal_maker_start(writer, err));
    *out_writer = writer;
    writer = NULL;
out:
    if (writer) abandon(writer);
    bs_wal_writer_close(writer);
    return status;
}

static void free_segments(struct bs_wal_segment *segment)
{
    while (segment) {
        struct bs_wal_segment *next = segment->next;
        bs_wal_segment_free(segment);
        segment = next;
    }
}

void bs_wal_writer_close(struct bs_wal_writer *writer)
{
    if (!writer) return;
    if (writer->maker) bs_wal_maker_stop(writer);
    assert(!writer->first_waiter && !writer->leading);
    free_segments(writer->oldest);
    free_segments(writer->ready);
    bs_wal_story_close(writer);
    bs_condition_destroy(&writer->made);
    bs_condition_destroy(&writer->maker_wake);
    bs_mutex_destroy(&writer->sync_lock);
    bs_mutex_destroy(&writer->lock);
    bs_free(writer->staging);
    bs_free(writer->directory);
    bs_free(writer->data_path);
    bs_free(writer);
}

uint32_t bs_wal_epoch(const struct bs_wal_writer *writer)
{
    return writer->identity.epoch;
}

/* ---- appending --------------------------------------------------------------------------------- */

/* How many segments beyond the active one the records need, from `at` on. */
static basalt_status count_rotations(const struct bs_wal_writer *writer,
    const struct bs_wal_record *records, size_t count, size_t at, unsigned *out_rotations,
    basalt_error *err)
{
    *out_rotations = 0;
    for (size_t i = 0; i < count; i++) {
        assert(records[i].count > 0 && records[i].count <= BS_WAL_RECORD_BYTES_MAX);
        const size_t frame = bs_wal_frame_bytes(records[i].count);
        if (frame > writer->segment_bytes - BS_WAL_HEADER_BYTES) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "a record of %zu bytes does not fit into a log segment of %zu bytes",
                records[i].count, writer->segment_bytes);
        }
        if (frame <= writer->segment_bytes - at) {
            at += frame;
            continue;
        }
        at = BS_WAL_HEADER_BYTES + frame;
        if (++*out_rotations > BS_WAL_AHEAD_MAX) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "the records need more than %u log segments of %zu bytes", BS_WAL_AHEAD_MAX,
                writer->segment_bytes);
        }
    }
    return BASALT_OK;
}

/* Hands over what run_put has gathered: to the disk's pages, or as a dirty range. */
static basalt_status run_end(struct bs_wal_writer *writer, basalt_error *err)
{
    struct bs_wal_segment *segment = writer->active;
    const size_t at = writer->run_at, bytes = writer->run_bytes;
    writer->run_at = at + bytes;
    writer->run_bytes = 0;
    if (!bytes) return BASALT_OK;
    if (!segment->memory.bytes) {
        return bs_file_write_at(segment->file, writer->staging, bytes, at, err);
    }
    segment->file->ops->mark_dirty(segment->file, &segment->memory, at, bytes);
    return BASALT_OK;
}

static basalt_status run_put(
    struct bs_wal_writer *writer, const void *bytes, size_t count, basalt_error *err)
{
    struct bs_wal_segment *segment = writer->active;
    if (segment->memory.bytes) {
        memcpy(segment->memory.bytes + writer->run_at + writer->run_bytes, bytes, count);
        writer->run_bytes += count;
        return BASALT_OK;
    }
    if (count > BS_WAL_STAGING_BYTES - writer->run_bytes) {
        const basalt_status status = run_end(writer, err);
        if (status) return status;
    }
    if (count > BS_WAL_STAGING_BYTES) {
        const size_t at = writer->run_at;
        writer->run_at += count;
        return bs_file_write_at(segment->file, bytes, count, at, err);
    }
    memcpy(writer->staging + writer->run_bytes, bytes, count);
    writer->run_bytes += count;
    return BASALT_OK;
}

static basalt_status put_frame(
    struct bs_wal_writer *writer, const struct bs_wal_record *record, bs_lsn at, basalt_error *err)
{
    static const uint8_t zeros[BS_WAL_FRAME_ALIGN_BYTES];
    uint8_t header[BS_WAL_FRAME_HEADER_BYTES];
    const struct bs_wal_frame frame = {
        .record_bytes = (uint32_t)record->count,
        .payload_crc = record->sum,
        .lsn = at,
        .epoch = writer->identity.epoch,
        .commit = record->commit,
    };
    const size_t padding =
        bs_wal_frame_bytes(record->count) - BS_WAL_FRAME_HEADER_BYTES - record->count;
    bs_wal_frame_encode(&frame, header);
    basalt_status status = run_put(writer, header, sizeof header, err);
    if (!status) status = run_put(writer, record->bytes, record->count, err);
    if (!status && padding) status = run_put(writer, zeros, padding, err);
    return status;
}

static basalt_status change_segment(struct bs_wal_writer *writer, bs_lsn at, basalt_error *err)
{
    const basalt_status status = run_end(writer, err);
    if (status) return status;
    struct bs_wal_segment *segment = bs_wal_segment_rotate(writer, at);
    writer->run_at = BS_WAL_HEADER_BYTES;
    return bs_wal_segment_activate(writer, segment, at, err);
}

static basalt_status put_records(struct bs_wal_writer *writer, const struct bs_wal_record *records,
    size_t count, bs_lsn *at, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; i < count && !status; i++) {
        const size_t frame = bs_wal_frame_bytes(records[i].count);
        if (frame > writer->segment_bytes - (writer->run_at + writer->run_bytes)) {
            status = change_segment(writer, *at, err);
        }
        if (!status) status = put_frame(writer, &records[i], *at, err);
        *at += frame;
    }
    if (!status) status = run_end(writer, err);
    return status;
}

basalt_status bs_wal_append(struct bs_wal_writer *writer, const struct bs_wal_record *records,
    size_t count, bs_lsn *out_end, basalt_error *err)
{
    unsigned rotations = 0;
    basalt_error failure = {0};
    *out_end = 0;
    assert(count > 0);
    basalt_status status = bs_wal_check(writer, err);
    if (status) return status;
    bs_lsn at = atomic_load_explicit(&writer->written, memory_order_relaxed);
    status = count_rotations(writer, records, count, writer->run_at, &rotations, err);
    if (status) return status;
    if (rotations && !bs_wal_segments_ready(writer, rotations)) {
        return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET, "the next log segment is not ready");
    }
    status = put_records(writer, records, count, &at, &failure);
    if (status) {
        bs_wal_poison(writer, &failure);
        return bs_wal_check(writer, err);
    }
    /* Last: readers of the log and leaders may be looking. */
    atomic_store_explicit(&writer->written, at, memory_order_release);
    atomic_fetch_add_explicit(&writer->appends, 1, memory_order_relaxed);
    *out_end = at;
    return BASALT_OK;
}

bs_lsn bs_wal_written(struct bs_wal_writer *writer)
{
    return atomic_load_explicit(&writer->written, memory_order_acquire);
}

bs_lsn bs_wal_durable(struct bs_wal_writer *writer)
{
    return atomic_load_explicit(&writer->durable, memory_order_acquire);
}
