/* wal_format_test.c - the bytes of docs/format/log.md. The sums were computed by another program,
 * bit by bit, from that page. */
#include "tests/unit/wal/wal_test.h"

#define EPOCH 0xdeadbeefu

static void check_sum(const uint8_t *sector, uint32_t sum)
{
    CHECK_EQ(bs_load_u32(sector + 508), sum);
}

TEST(wal_format, a_frame)
{
    static const uint8_t header[BS_WAL_FRAME_HEADER_BYTES] = {0x0a, 0x00, 0x00, 0x80, 0x66, 0x6e,
        0xfb, 0x99, 0xe2, 0x9d, 0x59, 0x15, 0xd1, 0x8c, 0x48, 0x04, 0xef, 0xbe, 0xad, 0xde, 0x58,
        0x3a, 0x9c, 0x93};
    const bs_lsn position = 0x04488cd115599de2u; /* bytes 8 to 15 */
    uint8_t made[BS_WAL_FRAME_HEADER_BYTES];
    struct bs_wal_frame frame = {10, bs_crc32c(0, "hello, log", 10), position, EPOCH, true};
    CHECK_EQ(frame.payload_crc, 0x99fb6e66);
    bs_wal_frame_encode(&frame, made);
    CHECK(!memcmp(made, header, sizeof header));
    struct bs_wal_frame read;
    CHECK(bs_wal_frame_decode(header, position, EPOCH, &read));
    CHECK_EQ(read.record_bytes, 10);
    CHECK(read.commit);
    CHECK(!bs_wal_frame_decode(header, position + 8, EPOCH, &read));
    CHECK(!bs_wal_frame_decode(header, position, EPOCH + 1, &read));
    CHECK_EQ(bs_wal_frame_bytes(1), 32);
    CHECK_EQ(bs_wal_frame_bytes(8), 32);
    CHECK_EQ(bs_wal_frame_bytes(9), 40);
}

TEST(wal_format, an_identity)
{
    uint8_t sector[BS_WAL_SECTOR_BYTES];
    struct bs_wal_identity identity = {.epoch = EPOCH, .number = 7, .segment_bytes = 65536}, read;
    memcpy(identity.store_uuid, "0123456789abcdef", 16);
    snprintf(identity.holder, sizeof identity.holder, "process 7 on host: test");
    bs_wal_identity_encode(&identity, sector);
    check_sum(sector, 0xa9f874b3);
    CHECK_OK(bs_wal_identity_decode(sector, "x", &read, err));
    CHECK(!memcmp(read.store_uuid, identity.store_uuid, 16));
    CHECK_EQ(read.epoch, EPOCH);
    CHECK_EQ(read.number, 7);
    CHECK_EQ(read.segment_bytes, 65536);
    CHECK_TEXT(read.holder, "process 7 on host: test");
}

TEST(wal_format, an_activation)
{
    uint8_t sector[BS_WAL_SECTOR_BYTES];
    bs_lsn start = 0;
    bs_wal_activation_encode(4242, EPOCH, sector);
    check_sum(sector, 0xe2690def);
    CHECK(bs_wal_activation_decode(sector, EPOCH, &start));
    CHECK_EQ(start, 4242);
    CHECK(!bs_wal_activation_decode(sector, EPOCH + 1, &start));
    bs_wal_activation_encode(BS_WAL_LSN_MAX + 1, EPOCH, sector);
    CHECK(!bs_wal_activation_decode(sector, EPOCH, &start));
    CHECK_EQ(start, 0);
}

TEST(wal_format, a_story)
{
    uint8_t sector[BS_WAL_SECTOR_BYTES];
    struct bs_wal_story story = {.commit = 9}, read;
    uint64_t sequence = 0;
    memcpy(story.store_uuid, "0123456789abcdef", 16);
    memset(story.current, 1, sizeof story.current);
    memset(story.next, 2, sizeof story.next);
    bs_wal_story_encode(&story, 3, EPOCH, sector);
    check_sum(sector, 0x1ad807af);
    CHECK(bs_wal_story_decode(sector, EPOCH, &read, &sequence));
    CHECK_EQ(sequence, 3);
    CHECK(!memcmp(&read, &story, sizeof story));
    CHECK(!bs_wal_story_decode(sector, EPOCH + 1, &read, &sequence));
    CHECK_EQ(sequence, 0);
}

TEST(wal_format, names)
{
    uint64_t number = 1;
    char *path = bs_wal_segment_path("/a/x.h5", 18446744073709551615u);
    CHECK_TEXT(path, "/a/x.h5-log.18446744073709551615");
    bs_free(path);
    CHECK(bs_wal_segment_number("x.h5-log.120", "x.h5", &number));
    CHECK_EQ(number, 120);
    CHECK(bs_wal_segment_number("x.h5-log.999999999999999999", "x.h5", &number));
    CHECK(!bs_wal_segment_number("x.h5-log.1000000000000000000", "x.h5", &number));
    CHECK(!bs_wal_segment_number("x.h5-log.0", "x.h5", &number));
    CHECK(!bs_wal_segment_number("x.h5-log.7 ", "x.h5", &number));
    CHECK(!bs_wal_segment_number("x.h5", "x.h5", &number));
    CHECK_EQ(number, 0);
}
