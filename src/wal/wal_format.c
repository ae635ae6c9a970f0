/* wal_format.c - the bytes of a log, both ways.
 *
 * SEGMENT FILE "PATH-log.N", N = 1, 2, ... decimal; all values little-endian
 *    sector 0      identity     written and synced before anything else
 *    sector 1      activation   written when the segment comes into use; blank in one made ahead
 *    sectors 2, 3  story slots  story number s is in slot s % 2
 *    to 4095       zeros
 *    from 4096     frames; after the last one zeros
 *
 * Sectors are of 512 bytes, and each ends with the crc32c of its first 508:
 *    identity      0 magic "BSWALSEG", 8 u32 format version, 12 u32 features that a reader must
 *                  know, 16 store uuid, 32 u32 epoch, 36 zero, 40 u64 N, 48 u64 bytes of the file,
 *                  56 holder (160, NUL-padded)
 *    activation    0 magic "BSWALACT", 8 u64 position of the frame at 4096, 16 u32 epoch
 *    story         0 magic "BSWALSTO", 8 u64 story number, 16 u32 epoch, 20 zero, 24 store uuid,
 *                  40 u64 commit, 48 superblock in force, 96 superblock a flip may write
 *
 * FRAME, starts on a multiple of 8 of its file, lies in one segment
 *    0  u32  record_bytes   1 .. BS_WAL_RECORD_BYTES_MAX; bit 31: ends a transaction
 *    4  u32  payload_crc    crc32c of the record
 *    8  u64  lsn            position of this frame
 *   16  u32  epoch          of the log: changes each time it is opened for writing
 *   20  u32  header_crc     crc32c of bytes 0 .. 20
 *   24       record, then zeros up to a multiple of 8
 *
 * Epoch and position in every frame keep leftovers, and copies of other logs, from passing for
 * frames. A sector is taken whole or not at all, so no torn write can invent a start or a story.
 * docs/format/log.md tells the same to other programs. */
#include "wal/wal_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define FORMAT_VERSION 1u
#define FEATURES_KNOWN 0u
#define MAGIC_BYTES 8
#define SUM_AT (BS_WAL_SECTOR_BYTES - 4)
#define COMMIT_BIT 0x80000000u
#define FRAME_SUMMED_BYTES 20
#define NUMBER_DIGITS_MAX 18 /* fits in 64 bits */

static const char identity_magic[] = "BSWALSEG";
static const char activation_magic[] = "BSWALACT";
static const char story_magic[] = "BSWALSTO";

/* ---- sectors ----------------------------------------------------------------------------------- */

static void sector_begin(uint8_t *sector, const char *magic)
{
    memset(sector, 0, BS_WAL_SECTOR_BYTES);
    memcpy(sector, magic, MAGIC_BYTES);
}

static void sector_end(uint8_t *sector)
{
    bs_store_u32(sector + SUM_AT, bs_crc32c(0, sector, SUM_AT));
}

static bool sector_whole(const uint8_t *sector, const char *magic)
{
    return !memcmp(sector, magic, MAGIC_BYTES) &&
        bs_load_u32(sector + SUM_AT) == bs_crc32c(0, sector, SUM_AT);
}

bool bs_wal_sector_blank(const uint8_t *sector)
{
    for (size_t i = 0; i < BS_WAL_SECTOR_BYTES; i++) {
        if (sector[i]) return false;
    }
    return true;
}

void bs_wal_identity_encode(const struct bs_wal_identity *identity, uint8_t *out_sector)
{
    sector_begin(out_sector, identity_magic);
    bs_store_u32(out_sector + 8, FORMAT_VERSION);
    bs_store_u32(out_sector + 12, FEATURES_KNOWN);
    memcpy(out_sector + 16, identity->store_uuid, 16);
    bs_store_u32(out_sector + 32, identity->epoch);
    bs_store_u64(out_sector + 40, identity->number);
    bs_store_u64(out_sector + 48, identity->segment_bytes);
    memcpy(out_sector + 56, identity->holder, BS_WAL_HOLDER_BYTES);
    sector_end(out_sector);
}

basalt_status bs_wal_identity_decode(const uint8_t *sector, const char *path,
    struct bs_wal_identity *out_identity, basalt_error *err)
{
    memset(out_identity, 0, sizeof *out_identity);
    if (bs_wal_sector_blank(sector)) {
        return bs_fail(err, BASALT_NOT_FOUND, 0, "the log segment %s was never finished", path);
    }
    if (!sector_whole(sector, identity_magic)) {
        return bs_fail(
            err, BASALT_CORRUPT, 0, "%s is no log segment, or its first sector is damaged", path);
    }
    const uint32_t version = bs_load_u32(sector + 8);
    const uint32_t features = bs_load_u32(sector + 12);
    if (version != FORMAT_VERSION) {
        return bs_fail(err, BASALT_UNSUPPORTED, 8,
            "the log segment %s is of format version %" PRIu32 ", this build reads version %u",
            path, version, FORMAT_VERSION);
    }
    if (features & ~FEATURES_KNOWN) {
        return bs_fail(err, BASALT_UNSUPPORTED, 12,
            "the log segment %s uses features 0x%" PRIx32 " that this build does not know", path,
            features & ~FEATURES_KNOWN);
    }
    memcpy(out_identity->store_uuid, sector + 16, 16);
    out_identity->epoch = bs_load_u32(sector + 32);
    out_identity->number = bs_load_u64(sector + 40);
    out_identity->segment_bytes = bs_load_u64(sector + 48);
    memcpy(out_identity->holder, sector + 56, BS_WAL_HOLDER_BYTES);
    out_identity->holder[BS_WAL_HOLDER_BYTES - 1] = 0;
    return BASALT_OK;
}

void bs_wal_activation_encode(bs_lsn start, uint32_t epoch, uint8_t *out_sector)
{
    sector_begin(out_sector, activation_magic);
    bs_store_u64(out_sector + 8, start);
    bs_store_u32(out_sector + 16, epoch);
    sector_end(out_sector);
}

bool bs_wal_activation_decode(const uint8_t *sector, uint32_t epoch, bs_lsn *out_start)
{
    *out_start = 0;
    if (!sector_whole(sector, activation_magic) || bs_load_u32(sector + 16) != epoch) return false;
    const bs_lsn start = bs_load_u64(sector + 8);
    if (start > BS_WAL_LSN_MAX) return false;
    *out_start = start;
    return true;
}

void bs_wal_story_encode(
    const struct bs_wal_story *story, uint64_t sequence, uint32_t epoch, uint8_t *out_sector)
{
    sector_begin(out_sector, story_magic);
    bs_store_u64(out_sector + 8, sequence);
    bs_store_u32(out_sector + 16, epoch);
    memcpy(out_sector + 24, story->store_uuid, 16);
    bs_store_u64(out_sector + 40, story->commit);
    memcpy(out_sector + 48, story->current, BS_WAL_SUPERBLOCK_BYTES);
    memcpy(out_sector + 96, story->next, BS_WAL_SUPERBLOCK_BYTES);
    sector_end(out_sector);
}

bool bs_wal_story_decode(
    const uint8_t *sector, uint32_t epoch, struct bs_wal_story *out_story, uint64_t *out_sequence)
{
    memset(out_story, 0, sizeof *out_story);
    *out_sequence = 0;
    if (!sector_whole(sector, story_magic) || bs_load_u32(sector + 16) != epoch) return false;
    *out_sequence = bs_load_u64(sector + 8);
    memcpy(out_story->store_uuid, sector + 24, 16);
    out_story->commit = bs_load_u64(sector + 40);
    memcpy(out_story->current, sector + 48, BS_WAL_SUPERBLOCK_BYTES);
    memcpy(out_story->next, sector + 96, BS_WAL_SUPERBLOCK_BYTES);
    return true;
}

/* ---- frames ------------------------------------------------------------------------------------ */

size_t bs_wal_frame_bytes(size_t record_bytes)
{
    return (BS_WAL_FRAME_HEADER_BYTES + record_bytes + BS_WAL_FRAME_ALIGN_BYTES - 1) &
        ~(BS_WAL_FRAME_ALIGN_BYTES - 1);
}

void bs_wal_frame_encode(const struct bs_wal_frame *frame, uint8_t *out_header)
{
    assert(frame->record_bytes > 0 && frame->record_bytes <= BS_WAL_RECORD_BYTES_MAX);
    bs_store_u32(out_header, frame->record_bytes | (frame->commit ? COMMIT_BIT : 0));
    bs_store_u32(out_header + 4, frame->payload_crc);
    bs_store_u64(out_header + 8, frame->lsn);
    bs_store_u32(out_header + 16, frame->epoch);
    bs_store_u32(out_header + 20, bs_crc32c(0, out_header, FRAME_SUMMED_BYTES));
}

bool bs_wal_frame_decode(
    const uint8_t *header, bs_lsn lsn, uint32_t epoch, struct bs_wal_frame *out_frame)
{
    const uint32_t length = bs_load_u32(header);
    out_frame->commit = (length & COMMIT_BIT) != 0;
    out_frame->record_bytes = length & ~COMMIT_BIT;
    out_frame->payload_crc = bs_load_u32(header + 4);
    out_frame->lsn = bs_load_u64(header + 8);
    out_frame->epoch = bs_load_u32(header + 16);
    return out_frame->record_bytes > 0 && out_frame->record_bytes <= BS_WAL_RECORD_BYTES_MAX &&
        out_frame->lsn == lsn && out_frame->epoch == epoch &&
        bs_load_u32(header + 20) == bs_crc32c(0, header, FRAME_SUMMED_BYTES);
}

/* ---- names ------------------------------------------------------------------------------------- */

static const char name_middle[] = "-log.";

char *bs_wal_segment_path(const char *data_path, uint64_t number)
{
    const size_t bytes = strlen(data_path) + sizeof name_middle + 24;
    char *path = bs_alloc(bytes);
    if (path) snprintf(path, bytes, "%s%s%" PRIu64, data_path, name_middle, number);
    return path;
}

bool bs_wal_segment_number(const char *name, const char *data_name, uint64_t *out_number)
{
    const size_t data_count = strlen(data_name), middle_count = sizeof name_middle - 1;
    *out_number = 0;
    if (strncmp(name, data_name, data_count) != 0) return false;
    if (strncmp(name + data_count, name_middle, middle_count) != 0) return false;
    const char *digits = name + data_count + middle_count;
    const size_t digit_count = strlen(digits);
    if (!digit_count || digit_count > NUMBER_DIGITS_MAX || digits[0] == '0') return false;
    uint64_t number = 0;
    for (size_t i = 0; i < digit_count; i++) {
        if (digits[i] < '0' || digits[i] > '9') return false;
        number = number * 10 + (uint64_t)(digits[i] - '0');
    }
    *out_number = number;
    return true;
}
