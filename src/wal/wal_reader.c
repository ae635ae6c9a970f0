/* wal_reader.c - what lies beside a data file, and replay.
 *
 * The chain is followed by position, never by guess:
 *   (1) Reading begins in the newest segment that starts at or before the position asked for.
 *   (2) Where a newer segment starts exactly at the position reached, reading goes on in it. So the
 *       unused rest of a segment is skipped, and a new epoch cuts off what an older one left
 *       behind an unfinished transaction.
 *   (3) Else the frame at the position must be whole: both sums, the position and the epoch of its
 *       segment. The first that is not ends the log. A hole, left by a power loss that kept a newer
 *       segment and not all of an older one, ends it too: no start matches.
 * A segment without an activation was made ahead and never used. Bytes here are read from disk and
 * trusted no further than their sums; a length is believed only under the header's sum, and no
 * buffer grows beyond one record. */
#include "wal/wal_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define WINDOW_BYTES ((size_t)1 << 20)
#define HEADER_TRIES_MAX 4 /* a live writer may be writing the sector that we read */
#define HEADER_RETRY_NS 1000000u

/* ---- finding segments -------------------------------------------------------------------------- */

struct name_search {
    const char *data_name;
    struct bs_wal_found_list *list;
    size_t capacity;
};

static basalt_status note_name(void *context, const char *name, basalt_error *err)
{
    struct name_search *search = context;
    struct bs_wal_found_list *list = search->list;
    uint64_t number;
    if (!bs_wal_segment_number(name, search->data_name, &number)) return BASALT_OK;
    if (list->count == BS_WAL_SEGMENTS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "more than %zu log segments lie beside %s", BS_WAL_SEGMENTS_MAX, search->data_name);
    }
    if (list->count == search->capacity) {
        const size_t capacity = BS_MAX((size_t)8, search->capacity * 2);
        struct bs_wal_found *items = bs_realloc(list->items, capacity * sizeof *items);
        if (!items) return bs_fail_memory(err, capacity * sizeof *items);
        list->items = items;
        search->capacity = capacity;
    }
    list->items[list->count++] = (struct bs_wal_found){.number = number};
    return BASALT_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    const struct bs_wal_found *left = a, *right = b;
    return (left->number > right->number) - (left->number < right->number);
}

static void take_newer_story(struct bs_wal_found *found, const uint8_t *sector)
{
    struct bs_wal_story story;
    uint64_t sequence;
    if (!bs_wal_story_decode(sector, found->identity.epoch, &story, &sequence)) return;
    if (memcmp(story.store_uuid, found->identity.store_uuid, sizeof story.store_uuid) != 0) return;
    const bool newer = !found->has_story || story.commit > found->story.commit ||
        (story.commit == found->story.commit && sequence > found->story_sequence);
    if (!newer) return;
    found->has_story = true;
    found->story = story;
    found->story_sequence = sequence;
}

/* An unfinished file is a success with `whole` false. */
static basalt_status parse_header(
    const uint8_t *sectors, const char *path, struct bs_wal_found *found, basalt_error *err)
{
    basalt_status status =
        bs_wal_identity_decode(sectors + BS_WAL_IDENTITY_AT, path, &found->identity, err);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    /* A kill within the store of the first sector leaves some of its words. Nothing was appended to a
     * segment that was never activated, so nothing is lost by passing over it. */
    if (status == BASALT_CORRUPT && bs_wal_sector_blank(sectors + BS_WAL_ACTIVATION_AT)) {
        return BASALT_OK;
    }
    if (status) return status;
    if (found->identity.number != found->number) {
        return bs_fail(err, BASALT_CONFLICT, 40,
            "the log segment %s was renamed: it is number %" PRIu64, path, found->identity.number);
    }
    found->whole = true;
    found->active = bs_wal_activation_decode(
        sectors + BS_WAL_ACTIVATION_AT, found->identity.epoch, &found->start);
    for (size_t i = 0; i < BS_WAL_STORY_SLOTS; i++) {
        take_newer_story(found, sectors + BS_WAL_STORY_AT + i * BS_WAL_SECTOR_BYTES);
    }
    return BASALT_OK;
}

static basalt_status read_header(
    struct bs_file *file, struct bs_wal_found *found, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    uint8_t sectors[BS_WAL_SECTORS_BYTES];
    for (unsigned tries = 1;; tries++) {
        size_t count = 0;
        status = bs_file_size(file, &found->file_bytes, err);
        if (status || found->file_bytes < BS_WAL_HEADER_BYTES) return status;
        status = file->ops->read_at(file, sectors, sizeof sectors, 0, &count, err);
        if (status || count < sizeof sectors) return status;
        status = parse_header(sectors, file->path, found, err);
        if (status != BASALT_CORRUPT || tries == HEADER_TRIES_MAX) return status;
        bs_sleep_ns(HEADER_RETRY_NS);
    }
}

static basalt_status open_segment(struct bs_vfs *vfs, const char *data_path, uint64_t number,
    struct bs_file **out_file, basalt_error *err)
{
    *out_file = NULL;
    char *path = bs_wal_segment_path(data_path, number);
    if (!path) return bs_fail_memory(err, strlen(data_path));
    const basalt_status status = bs_file_open(vfs, path, BS_OPEN_READ, out_file, err);
    bs_free(path);
    return status;
}

static basalt_status load_headers(
    struct bs_vfs *vfs, const char *data_path, struct bs_wal_found_list *list, basalt_error *err)
{
    const struct bs_wal_found *known = NULL;
    for (size_t i = 0; i < list->count; i++) {
        struct bs_wal_found *found = &list->items[i];
        struct bs_file *file = NULL;
        basalt_status status = open_segment(vfs, data_path, found->number, &file, err);
        if (status == BASALT_NOT_FOUND) continue; /* a live writer has just removed it */
        if (!status) status = read_header(file, found, err);
        bs_file_close(file);
        if (status) return status;
        if (!found->whole) continue;
        if (!known) known = found;
        if (memcmp(known->identity.store_uuid, found->identity.store_uuid, 16) != 0) {
            return bs_fail(err, BASALT_CONFLICT, 16,
                "the log segments %" PRIu64 " and %" PRIu64
                " beside %s belong to different stores; move the foreign one away",
                known->number, found->number, data_path);
        }
    }
    return BASALT_OK;
}

basalt_status bs_wal_find_segments(struct bs_vfs *vfs, const char *data_path,
    struct bs_wal_found_list *out_list, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    *out_list = (struct bs_wal_found_list){0};
    struct name_search search = {bs_path_name(data_path), out_list, 0};
    char *directory = bs_path_directory(data_path);
    if (!directory) return bs_fail_memory(err, strlen(data_path));
    BS_TRY(vfs->ops->list(vfs, directory, note_name, &search, err));
    if (out_list->count) {
        qsort(out_list->items, out_list->count, sizeof *out_list->items, compare_numbers);
    }
    BS_TRY(load_headers(vfs, data_path, out_list, err));
out:
    bs_free(directory);
    if (status) bs_wal_found_list_free(out_list);
    return status;
}

void bs_wal_found_list_free(struct bs_wal_found_list *list)
{
    bs_free(list->items);
    *list = (struct bs_wal_found_list){0};
}

/* ---- following the chain ----------------------------------------------------------------------- */

struct chain {
    struct bs_vfs *vfs;
    const char *data_path;
    const struct bs_wal_found_list *list;
    size_t current;       /* index of the segment read from; list->count: none yet */
    struct bs_file *file; /* of `current` */
    uint64_t file_bytes;
    uint8_t *window; /* a piece of the file */
    size_t window_capacity, window_count;
    uint64_t window_at;
};

static void chain_close(struct chain *chain)
{
    bs_file_close(chain->file);
    bs_free(chain->window);
    chain->file = NULL;
    chain->window = NULL;
}

static const struct bs_wal_found *chain_segment(const struct chain *chain)
{
    return &chain->list->items[chain->current];
}

static basalt_status chain_enter(struct chain *chain, size_t index, basalt_error *err)
{
    bs_file_close(chain->file);
    chain->file = NULL;
    chain->current = index;
    chain->window_count = 0;
    basalt_status status = open_segment(
        chain->vfs, chain->data_path, chain->list->items[index].number, &chain->file, err);
    if (!status) status = bs_file_size(chain->file, &chain->file_bytes, err);
    return status;
}

/* Lends `count` bytes at `at` of the current file, or NULL where it ends before. */
static basalt_status chain_look(
    struct chain *chain, uint64_t at, size_t count, const uint8_t **out_bytes, basalt_error *err)
{
    *out_bytes = NULL;
    if (at > chain->file_bytes || count > chain->file_bytes - at) return BASALT_OK;
    const bool inside = at >= chain->window_at && at - chain->window_at <= chain->window_count &&
        count <= chain->window_count - (size_t)(at - chain->window_at);
    if (!inside) {
        const uint64_t left = chain->file_bytes - at;
        const size_t wanted = (size_t)BS_MIN((uint64_t)BS_MAX(count, WINDOW_BYTES), left);
        if (wanted > chain->window_capacity) {
            uint8_t *window = bs_realloc(chain->window, wanted);
            if (!window) return bs_fail_memory(err, wanted);
            chain->window = window;
            chain->window_capacity = wanted;
        }
        chain->window_count = 0;
        const basalt_status status = chain->file->ops->read_at(
            chain->file, chain->window, wanted, at, &chain->window_count, err);
        if (status) return status;
        chain->window_at = at;
        if (chain->window_count < count) return BASALT_OK;
    }
    *out_bytes = chain->window + (at - chain->window_at);
    return BASALT_OK;
}

/* Rule 2: the newest segment after the current one that starts at `position`. */
static basalt_status chain_advance(struct chain *chain, bs_lsn position, basalt_error *err)
{
    for (size_t i = chain->list->count; i-- > chain->current + 1;) {
        const struct bs_wal_found *found = &chain->list->items[i];
        if (found->active && found->start == position) return chain_enter(chain, i, err);
    }
    return BASALT_OK;
}

struct record {
    const uint8_t *bytes; /* NULL: the log ends here */
    size_t count;
    bool commit;
    bs_lsn end;
};

/* Rule 3. */
static basalt_status chain_record(
    struct chain *chain, bs_lsn position, struct record *out_record, basalt_error *err)
{
    const struct bs_wal_found *segment = chain_segment(chain);
    const uint64_t at = BS_WAL_HEADER_BYTES + (position - segment->start);
    struct bs_wal_frame frame;
    const uint8_t *bytes;
    *out_record = (struct record){0};
    basalt_status status = chain_look(chain, at, BS_WAL_FRAME_HEADER_BYTES, &bytes, err);
    if (status || !bytes) return status;
    if (!bs_wal_frame_decode(bytes, position, segment->identity.epoch, &frame)) return BASALT_OK;
    status = chain_look(chain, at, BS_WAL_FRAME_HEADER_BYTES + frame.record_bytes, &bytes, err);
    if (status || !bytes) return status;
    bytes += BS_WAL_FRAME_HEADER_BYTES;
    if (bs_crc32c(0, bytes, frame.record_bytes) != frame.payload_crc) return BASALT_OK;
    out_record->bytes = bytes;
    out_record->count = frame.record_bytes;
    out_record->commit = frame.commit;
    out_record->end = position + bs_wal_frame_bytes(frame.record_bytes);
    return BASALT_OK;
}

/* Follows the chain from `from`, which segment `first` holds. `each` may be NULL. */
static basalt_status chain_follow(struct chain *chain, size_t first, bs_lsn from,
    bs_wal_replay_fn each, void *context, bs_lsn *out_last, bs_lsn *out_commit_end,
    basalt_error *err)
{
    bs_lsn at = from;
    *out_last = *out_commit_end = from;
    basalt_status status = chain_enter(chain, first, err);
    while (!status) {
        struct record record;
        status = chain_advance(chain, at, err);
        if (!status) status = chain_record(chain, at, &record, err);
        if (status || !record.bytes) break;
        if (each) {
            status = each(context, at, record.end, record.bytes, record.count, record.commit, err);
            if (status) break;
        }
        at = record.end;
        *out_last = at;
        if (record.commit) *out_commit_end = at;
    }
    return status;
}

/* ---- the two questions ------------------------------------------------------------------------- */

static void take_stories(
    const struct bs_wal_found_list *list, struct bs_wal_inventory *out_inventory)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct bs_wal_found *found = &list->items[i];
        out_inventory->log_bytes += found->file_bytes;
        if (!found->whole) continue;
        memcpy(out_inventory->holder, found->identity.holder, BS_WAL_HOLDER_BYTES);
        memcpy(out_inventory->story.store_uuid, found->identity.store_uuid, 16);
        /* Later epochs tell later stories, so of equal commits theirs counts. */
        if (!found->has_story) continue;
        if (out_inventory->has_story && found->story.commit < out_inventory->story.commit) continue;
        out_inventory->has_story = true;
        out_inventory->story = found->story;
    }
}

/* The whole frames that reach into the newest epoch as far back as there is no gap. */
static basalt_status measure(struct bs_vfs *vfs, const char *data_path,
    const struct bs_wal_found_list *list, bs_lsn *out_first, bs_lsn *out_last, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct chain chain = {.vfs = vfs, .data_path = data_path, .list = list};
    uint32_t newest_epoch = 0, tried_epoch = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].active) newest_epoch = list->items[i].identity.epoch;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct bs_wal_found *found = &list->items[i];
        bs_lsn commit_end;
        if (!found->active || found->identity.epoch == tried_epoch) continue;
        tried_epoch = found->identity.epoch;
        *out_first = found->start;
        BS_TRY(chain_follow(&chain, i, found->start, NULL, NULL, out_last, &commit_end, err));
        if (chain_segment(&chain)->identity.epoch == newest_epoch) break;
    }
out:
    chain_close(&chain);
    return status;
}

basalt_status bs_wal_inspect(struct bs_vfs *vfs, const char *data_path,
    struct bs_wal_inventory *out_inventory, basalt_error *err)
{
    struct bs_wal_found_list list;
    memset(out_inventory, 0, sizeof *out_inventory);
    basalt_status status = bs_wal_find_segments(vfs, data_path, &list, err);
    if (status) return status;
    if (!list.count) {
        return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "no log lies beside %s", data_path);
    }
    out_inventory->segment_count = list.count;
    take_stories(&list, out_inventory);
    status = measure(vfs, data_path, &list, &out_inventory->first, &out_inventory->last, err);
    if (status) memset(out_inventory, 0, sizeof *out_inventory);
    bs_wal_found_list_free(&list);
    return status;
}

/* Rule 1. False: no segment starts at or before `from`. */
static bool find_start(const struct bs_wal_found_list *list, bs_lsn from, size_t *out_index)
{
    for (size_t i = list->count; i-- > 0;) {
        if (list->items[i].active && list->items[i].start <= from) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

/* The segment in use with the lowest start above `from`; NULL if there is none. */
static const struct bs_wal_found *first_above(const struct bs_wal_found_list *list, bs_lsn from)
{
    const struct bs_wal_found *lowest = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const struct bs_wal_found *found = &list->items[i];
        if (!found->active || found->start <= from) continue;
        if (!lowest || found->start < lowest->start) lowest = found;
    }
    return lowest;
}

/* Is the file right before this segment there, and says nothing? Its name was durable before it came
 * into use; its header was not before the first sync of its frames. So a power loss left it, nothing in
 * it was promised, and the log ends before it. A file that somebody took away is not there. */
static bool follows_a_hole(const struct bs_wal_found_list *list, const struct bs_wal_found *segment)
{
    const size_t at = (size_t)(segment - list->items);
    const struct bs_wal_found *before = segment - 1;
    return at > 0 && before->number + 1 == segment->number && !before->active && !before->has_story;
}

basalt_status bs_wal_replay(struct bs_vfs *vfs, const char *data_path, bs_lsn from,
    bs_wal_replay_fn each, void *context, bs_lsn *out_end, basalt_error *err)
{
    struct bs_wal_found_list list;
    struct chain chain = {.vfs = vfs, .data_path = data_path, .list = &list};
    size_t first = 0;
    bs_lsn last;
    *out_end = 0;
    basalt_status status = bs_wal_find_segments(vfs, data_path, &list, err);
    if (status) return status;
    const struct bs_wal_found *above = first_above(&list, from);
    const bool found = find_start(&list, from, &first);
    const bool reached = found &&
        from - list.items[first].start <= list.items[first].file_bytes - BS_WAL_HEADER_BYTES;
    if (!reached && above && !follows_a_hole(&list, above)) {
        /* Segments follow one another without a gap, so one that held `from` is gone. */
        status = bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
            "the log of %s begins at position %" PRIu64 ", but the file ends at %" PRIu64
            ": a log segment is missing",
            data_path, above->start, from);
        goto out;
    }
    *out_end = from;
    if (!reached) goto out;
    status = chain_follow(&chain, first, from, each, context, &last, out_end, err);
    if (status) *out_end = 0;
out:
    chain_close(&chain);
    bs_wal_found_list_free(&list);
    return status;
}
