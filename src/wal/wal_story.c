/* wal_story.c - what the data file is, kept beside the log.
 *
 * The story has a file of its own, a segment of nothing but a header and the first of its epoch:
 * it is synced at every checkpoint, and in a segment that takes frames that sync would write them
 * to the device too, each of them twice for nothing. Two slots are written in turn, so one is whole
 * whatever happens to the other. The file goes when the log goes.
 *
 * Its syncs are the only ones of this file and are made by one thread at a time; a failed one
 * breaks the log like any other. */
#include "wal/wal_internal.h"

static basalt_status write_slot(
    struct bs_wal_writer *writer, const struct bs_wal_story *story, basalt_error *err)
{
    uint8_t sector[BS_WAL_SECTOR_BYTES];
    const uint64_t sequence = ++writer->story_sequence;
    const size_t slot = (size_t)(sequence % BS_WAL_STORY_SLOTS);
    bs_wal_story_encode(story, sequence, writer->identity.epoch, sector);
    basalt_status status = bs_file_write_at(writer->story_file, sector, sizeof sector,
        BS_WAL_STORY_AT + slot * BS_WAL_SECTOR_BYTES, err);
    if (!status) status = bs_file_sync(writer->story_file, err);
    return status;
}

static basalt_status write_header(struct bs_wal_writer *writer, uint64_t number, basalt_error *err)
{
    uint8_t header[BS_WAL_HEADER_BYTES] = {0};
    struct bs_wal_identity identity = writer->identity;
    identity.number = number;
    identity.segment_bytes = sizeof header;
    bs_wal_identity_encode(&identity, header + BS_WAL_IDENTITY_AT);
    return bs_file_write_at(writer->story_file, header, sizeof header, 0, err);
}

basalt_status bs_wal_story_open(struct bs_wal_writer *writer, uint64_t number,
    const struct bs_wal_story *story, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    writer->story_path = bs_wal_segment_path(writer->data_path, number);
    if (!writer->story_path) return bs_fail_memory(err, strlen(writer->data_path));
    BS_TRY(bs_file_open(writer->vfs, writer->story_path,
        BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_EXCLUSIVE, &writer->story_file, err));
    BS_TRY(write_header(writer, number, err));
    status = write_slot(writer, story, err);
out:
    if (status) bs_error_prefix(err, "the log's story cannot be written");
    return status;
}

void bs_wal_story_close(struct bs_wal_writer *writer)
{
    bs_file_close(writer->story_file);
    bs_free(writer->story_path);
    writer->story_file = NULL;
    writer->story_path = NULL;
}

basalt_status bs_wal_write_story(
    struct bs_wal_writer *writer, const struct bs_wal_story *story, basalt_error *err)
{
    basalt_error failure = {0};
    const basalt_status status = bs_wal_check(writer, err);
    if (status) return status;
    assert(!memcmp(story->store_uuid, writer->identity.store_uuid, sizeof story->store_uuid));
    if (!write_slot(writer, story, &failure)) return BASALT_OK;
    bs_wal_poison(writer, &failure);
    return bs_wal_check(writer, err);
}
