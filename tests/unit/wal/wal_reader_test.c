/* wal_reader_test.c - replay gives exactly what is whole, whatever lies on the disk. */
#include "tests/unit/wal/wal_test.h"

static struct heard heard;

/* A log of three small records, a transaction of two among them: its one segment's bytes. */
#define SMALL_LOG_RECORDS 4
static const size_t small_log_bytes[SMALL_LOG_RECORDS] = {5, 16, 1, 40};
static const bool small_log_commits[SMALL_LOG_RECORDS] = {true, false, true, true};

static uint8_t *small_log(size_t *out_count, size_t *out_end)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_writer *writer = NULL;
    uint8_t *bytes = NULL;
    bs_lsn end = 0;
    const struct log_setup setup = {.start = 4242};
    CHECK_OK(open_log(vfs, &setup, &writer, err));
    for (size_t i = 0; i < SMALL_LOG_RECORDS; i++) {
        CHECK_OK(append_one(writer, i, small_log_bytes[i], small_log_commits[i], &end, err));
    }
    *out_end = BS_WAL_HEADER_BYTES + (size_t)(end - 4242);
    bs_wal_writer_close(writer);
    CHECK_OK(read_file(vfs, LOG_PATH "-log.2", &bytes, out_count, err));
    bs_vfs_free(vfs);
    return bytes;
}

/* The first `count` of the records are heard, and nothing else. */
static void check_small_log(const struct heard *what, size_t count)
{
    bs_lsn commit_end = 4242;
    CHECK_EQ(what->count, count);
    for (size_t i = 0; i < count; i++) {
        CHECK(heard_is(what, i, i, small_log_bytes[i], small_log_commits[i]));
        if (small_log_commits[i]) commit_end = what->records[i].end;
    }
    CHECK_EQ(what->out_end, commit_end);
}

static size_t whole_records(size_t file_bytes)
{
    size_t at = BS_WAL_HEADER_BYTES, whole = 0;
    while (whole < SMALL_LOG_RECORDS) {
        /* Padding is not needed to read a record. */
        if (at + BS_WAL_FRAME_HEADER_BYTES + small_log_bytes[whole] > file_bytes) break;
        at += bs_wal_frame_bytes(small_log_bytes[whole++]);
    }
    return whole;
}

TEST(wal_reader, every_prefix_of_a_log)
{
    size_t count = 0, end = 0;
    uint8_t *bytes = small_log(&count, &end);
    struct bs_vfs *vfs = test_memory_vfs();
    for (size_t cut = BS_WAL_HEADER_BYTES; cut <= end; cut++) {
        REQUIRE_OK(write_file(vfs, LOG_PATH "-log.2", bytes, cut, err));
        REQUIRE_OK(hear(vfs, LOG_PATH, 4242, &heard, err));
        check_small_log(&heard, whole_records(cut));
    }
    /* Cut inside its header a segment was never finished: nothing is in it. */
    for (size_t cut = 0; cut < BS_WAL_HEADER_BYTES; cut += 128) {
        struct bs_wal_inventory inventory;
        REQUIRE_OK(write_file(vfs, LOG_PATH "-log.2", bytes, cut, err));
        REQUIRE_OK(hear(vfs, LOG_PATH, 4242, &heard, err));
        CHECK_EQ(heard.count, 0);
        CHECK_EQ(heard.out_end, 4242);
        REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
        CHECK_EQ(inventory.segment_count, 1);
        CHECK(!inventory.has_story);
    }
    bs_vfs_free(vfs);
    bs_free(bytes);
}

TEST(wal_reader, every_prefix_followed_by_zeros)
{
    size_t count = 0, end = 0;
    uint8_t *bytes = small_log(&count, &end);
    uint8_t *torn = bs_alloc_zeroed(1, count);
    struct bs_vfs *vfs = test_memory_vfs();
    REQUIRE(bytes && torn);
    for (size_t cut = BS_WAL_HEADER_BYTES; cut <= end; cut++) {
        memcpy(torn, bytes, cut);
        REQUIRE_OK(write_file(vfs, LOG_PATH "-log.2", torn, count, err));
        REQUIRE_OK(hear(vfs, LOG_PATH, 4242, &heard, err));
        const size_t least = whole_records(cut);
        /* A record may end in a zero, so one more can be whole by chance. */
        CHECK(heard.count >= least && heard.count <= least + 1);
        for (size_t i = 0; i < heard.count; i++) {
            CHECK(heard_is(&heard, i, i, small_log_bytes[i], small_log_commits[i]));
        }
    }
    bs_vfs_free(vfs);
    bs_free(torn);
    bs_free(bytes);
}

TEST(wal_reader, every_flipped_byte)
{
    size_t count = 0, end = 0;
    uint8_t *bytes = small_log(&count, &end);
    struct bs_vfs *vfs = test_memory_vfs();
    REQUIRE_OK(write_file(vfs, LOG_PATH "-log.2", bytes, count, err));
    struct bs_file *file = NULL;
    REQUIRE_OK(bs_file_open(vfs, LOG_PATH "-log.2", BS_OPEN_WRITE, &file, err));
    size_t at = BS_WAL_HEADER_BYTES;
    for (size_t record = 0; record < SMALL_LOG_RECORDS; record++) {
        const size_t covered = BS_WAL_FRAME_HEADER_BYTES + small_log_bytes[record];
        for (size_t i = 0; i < covered; i++) {
            const uint8_t flipped = (uint8_t)(bytes[at + i] ^ (1u << (i % 8)));
            REQUIRE_OK(bs_file_write_at(file, &flipped, 1, at + i, err));
            REQUIRE_OK(hear(vfs, LOG_PATH, 4242, &heard, err));
            check_small_log(&heard, record);
            REQUIRE_OK(bs_file_write_at(file, bytes + at + i, 1, at + i, err));
        }
        at += bs_wal_frame_bytes(small_log_bytes[record]);
    }
    for (size_t i = 0; i < BS_WAL_SECTOR_BYTES; i++) { /* the identity: refused, never guessed */
        const uint8_t flipped = (uint8_t)(bytes[i] ^ 0x40);
        basalt_error why = {0};
        REQUIRE_OK(bs_file_write_at(file, &flipped, 1, i, err));
        CHECK_EQ(hear(vfs, LOG_PATH, 4242, &heard, &why), BASALT_CORRUPT);
        CHECK_EQ(heard.count, 0);
        REQUIRE_OK(bs_file_write_at(file, bytes + i, 1, i, err));
    }
    for (size_t i = 0; i < BS_WAL_SECTOR_BYTES; i++) { /* the activation: torn, so never in use */
        const size_t where = BS_WAL_ACTIVATION_AT + i;
        const uint8_t flipped = (uint8_t)(bytes[where] ^ 0x02);
        REQUIRE_OK(bs_file_write_at(file, &flipped, 1, where, err));
        REQUIRE_OK(hear(vfs, LOG_PATH, 4242, &heard, err));
        CHECK_EQ(heard.count, 0);
        REQUIRE_OK(bs_file_write_at(file, bytes + where, 1, where, err));
    }
    REQUIRE_OK(hear(vfs, LOG_PATH, 4242, &heard, err));
    check_small_log(&heard, SMALL_LOG_RECORDS);
    bs_file_close(file);
    bs_vfs_free(vfs);
    bs_free(bytes);
}

TEST(wal_reader, a_log_that_is_something_else)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_inventory inventory;
    basalt_error why = {0};
    static uint8_t bytes[8192];
    CHECK_EQ(bs_wal_inspect(vfs, LOG_PATH, &inventory, &why), BASALT_NOT_FOUND);
    REQUIRE_OK(hear(vfs, LOG_PATH, 7, &heard, err));
    CHECK_EQ(heard.out_end, 7);
    /* Names that only look like a segment's. */
    static const char *const strangers[] = {"/x.h5-log.", "/x.h5-log.01", "/x.h5-log.1x",
        "/x.h5-log.0", "/xx.h5-log.1", "/x.h5-log.1234567890123456789", "/x.h5-log.-1", "/x.h5"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(strangers); i++) {
        REQUIRE_OK(write_file(vfs, strangers[i], "x", 1, err));
    }
    CHECK_EQ(bs_wal_inspect(vfs, LOG_PATH, &inventory, &why), BASALT_NOT_FOUND);
    memset(bytes, 'z', sizeof bytes);
    REQUIRE_OK(write_file(vfs, LOG_PATH "-log.3", bytes, sizeof bytes, err));
    CHECK_EQ(bs_wal_inspect(vfs, LOG_PATH, &inventory, &why), BASALT_CORRUPT);
    CHECK_EQ(bs_wal_remove_all(vfs, LOG_PATH, 0, &why), BASALT_CORRUPT);
    CHECK(file_exists(vfs, LOG_PATH "-log.3"));
    bs_vfs_free(vfs);
}

/* Changes a little-endian u32 of the identity and sums the sector again. */
static void patch_identity(uint8_t *sector, size_t at, uint32_t value)
{
    bs_store_u32(sector + at, value);
    bs_store_u32(sector + BS_WAL_SECTOR_BYTES - 4, bs_crc32c(0, sector, BS_WAL_SECTOR_BYTES - 4));
}

TEST(wal_reader, newer_formats_are_refused)
{
    size_t count = 0, end = 0;
    uint8_t *bytes = small_log(&count, &end);
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_inventory inventory;
    basalt_error why = {0};
    patch_identity(bytes, 8, 2);
    REQUIRE_OK(write_file(vfs, LOG_PATH "-log.2", bytes, count, err));
    CHECK_EQ(bs_wal_inspect(vfs, LOG_PATH, &inventory, &why), BASALT_UNSUPPORTED);
    CHECK(strstr(why.message, "version 2") != NULL);
    patch_identity(bytes, 8, 1);
    patch_identity(bytes, 12, 0x80);
    REQUIRE_OK(write_file(vfs, LOG_PATH "-log.2", bytes, count, err));
    CHECK_EQ(bs_wal_inspect(vfs, LOG_PATH, &inventory, &why), BASALT_UNSUPPORTED);
    CHECK(strstr(why.message, "0x80") != NULL);
    bs_vfs_free(vfs);
    bs_free(bytes);
}

TEST(wal_reader, foreign_and_renamed_segments_are_conflicts)
{
    size_t count = 0, end = 0;
    uint8_t *bytes = small_log(&count, &end);
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_inventory inventory;
    basalt_error why = {0};
    REQUIRE_OK(write_file(vfs, LOG_PATH "-log.2", bytes, count, err));
    REQUIRE_OK(write_file(vfs, LOG_PATH "-log.3", bytes, count, err));
    CHECK_EQ(bs_wal_inspect(vfs, LOG_PATH, &inventory, &why), BASALT_CONFLICT); /* a copy */
    patch_identity(bytes, 40, 3);
    patch_identity(bytes, 16, 0x11111111);
    REQUIRE_OK(write_file(vfs, LOG_PATH "-log.3", bytes, count, err));
    CHECK_EQ(bs_wal_inspect(vfs, LOG_PATH, &inventory, &why), BASALT_CONFLICT); /* another store */
    CHECK(strstr(why.message, "different stores") != NULL);
    CHECK_EQ(hear(vfs, LOG_PATH, 4242, &heard, &why), BASALT_CONFLICT);
    REQUIRE_OK(vfs->ops->remove(vfs, LOG_PATH "-log.2", err));
    struct bs_wal_writer *writer = NULL;
    const struct log_setup setup = {0};
    CHECK_EQ(open_log(vfs, &setup, &writer, &why), BASALT_CONFLICT);
    bs_vfs_free(vfs);
    bs_free(bytes);
}

/* Writes `segments` segments of two records each; record i of seed i. Leaves the files. */
static void long_log(struct bs_vfs *vfs, size_t segments)
{
    struct bs_wal_writer *writer = NULL;
    bs_lsn end = 0;
    const struct log_setup setup = {0};
    CHECK_OK(open_log(vfs, &setup, &writer, err));
    for (uint64_t i = 0; i < segments * 2; i++) {
        CHECK_OK(append_one(writer, i, 30000, true, &end, err));
    }
    bs_wal_writer_close(writer);
}

#define LONG_FRAME_BYTES ((bs_lsn)30024)

TEST(wal_reader, a_hole_ends_the_log)
{
    struct bs_vfs *vfs = test_memory_vfs();
    long_log(vfs, 4);
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, 8);
    /* The second segment lost its second frame, as when the power failed; the third is whole. */
    struct bs_file *file = NULL;
    const uint8_t zeros[64] = {0};
    REQUIRE_OK(bs_file_open(vfs, LOG_PATH "-log.3", BS_OPEN_WRITE, &file, err));
    REQUIRE_OK(
        bs_file_write_at(file, zeros, 64, BS_WAL_HEADER_BYTES + (size_t)LONG_FRAME_BYTES, err));
    bs_file_close(file);
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, 3);
    CHECK_EQ(heard.out_end, 3 * LONG_FRAME_BYTES);
    struct bs_wal_inventory inventory;
    REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
    CHECK_EQ(inventory.first, 0);
    CHECK_EQ(inventory.last, 3 * LONG_FRAME_BYTES);
    CHECK_EQ(inventory.log_bytes,
        (inventory.segment_count - 1) * SMALL_SEGMENT_BYTES + BS_WAL_HEADER_BYTES);
    /* A file whose checkpoint covers the hole reads on behind it. */
    REQUIRE_OK(hear(vfs, LOG_PATH, 4 * LONG_FRAME_BYTES, &heard, err));
    CHECK_EQ(heard.count, 4);
    /* In the hole itself there is nothing. */
    REQUIRE_OK(hear(vfs, LOG_PATH, 3 * LONG_FRAME_BYTES, &heard, err));
    CHECK_EQ(heard.count, 0);
    CHECK_EQ(heard.out_end, 3 * LONG_FRAME_BYTES);
    bs_vfs_free(vfs);
}

/* Nobody asked for a sync, and the power failed: of the segments in use the newest alone reached the
 * disk. Nothing that was promised is lost, so nothing is refused. */
TEST(wal_reader, a_segment_that_never_reached_the_disk_ends_the_log)
{
    static const size_t lost_bytes[] = {BS_WAL_SECTOR_BYTES, BS_WAL_HEADER_BYTES};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(lost_bytes); i++) {
        struct bs_vfs *vfs = test_memory_vfs();
        struct bs_file *file = NULL;
        const uint8_t zeros[BS_WAL_HEADER_BYTES] = {0};
        long_log(vfs, 4);
        REQUIRE_OK(bs_file_open(vfs, LOG_PATH "-log.2", BS_OPEN_WRITE, &file, err));
        REQUIRE_OK(
            bs_file_write_at(file, zeros, lost_bytes[i], BS_WAL_HEADER_BYTES - lost_bytes[i], err));
        REQUIRE_OK(bs_file_write_at(file, zeros, BS_WAL_SECTOR_BYTES, BS_WAL_ACTIVATION_AT, err));
        bs_file_close(file);
        REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
        CHECK_EQ(heard.count, 0);
        CHECK_EQ(heard.out_end, 0);
        REQUIRE_OK(hear(vfs, LOG_PATH, LONG_FRAME_BYTES, &heard, err));
        CHECK_EQ(heard.count, 0);
        REQUIRE_OK(hear(vfs, LOG_PATH, 2 * LONG_FRAME_BYTES, &heard, err));
        CHECK_EQ(heard.count, 6);
        bs_vfs_free(vfs);
    }
}

TEST(wal_reader, a_missing_segment_is_a_conflict)
{
    struct bs_vfs *vfs = test_memory_vfs();
    basalt_error why = {0};
    long_log(vfs, 4);
    REQUIRE_OK(vfs->ops->remove(vfs, LOG_PATH "-log.3", err));
    CHECK_EQ(hear(vfs, LOG_PATH, 2 * LONG_FRAME_BYTES + 1000 * LONG_FRAME_BYTES, &heard, &why),
        BASALT_OK);
    CHECK_EQ(heard.count, 0);
    CHECK_EQ(hear(vfs, LOG_PATH, 3 * LONG_FRAME_BYTES, &heard, &why), BASALT_CONFLICT);
    CHECK_EQ(heard.out_end, 0);
    REQUIRE_OK(vfs->ops->remove(vfs, LOG_PATH "-log.2", err));
    CHECK_EQ(hear(vfs, LOG_PATH, 0, &heard, &why), BASALT_CONFLICT);
    REQUIRE_OK(hear(vfs, LOG_PATH, 4 * LONG_FRAME_BYTES, &heard, err));
    CHECK_EQ(heard.count, 4);
    bs_vfs_free(vfs);
}

TEST(wal_reader, a_new_epoch_cuts_off_an_unfinished_transaction)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_writer *writer = NULL;
    struct bs_wal_inventory inventory;
    bs_lsn end = 0, whole = 0;
    const struct log_setup first = {0};
    REQUIRE_OK(open_log(vfs, &first, &writer, err));
    const uint32_t first_epoch = bs_wal_epoch(writer);
    CHECK_OK(append_one(writer, 0, 100, true, &whole, err));
    CHECK_OK(append_one(writer, 1, 40000, false, &end, err)); /* two segments of it, no end */
    CHECK_OK(append_one(writer, 2, 40000, false, &end, err));
    bs_wal_writer_close(writer);
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, 3);
    CHECK_EQ(heard.out_end, whole);

    const struct log_setup second = {.start = whole};
    REQUIRE_OK(open_log(vfs, &second, &writer, err));
    CHECK(bs_wal_epoch(writer) != first_epoch);
    CHECK_OK(append_one(writer, 3, 100, true, &end, err));
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, 2);
    CHECK(heard_is(&heard, 0, 0, 100, true));
    CHECK(heard_is(&heard, 1, 3, 100, true));
    CHECK_EQ(heard.out_end, end);
    REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
    CHECK_EQ(inventory.first, 0);
    CHECK_EQ(inventory.last, end);
    CHECK_TEXT(inventory.holder, "process 7 on host: test");

    CHECK_OK(bs_wal_remove_all(vfs, LOG_PATH, bs_wal_epoch(writer), err));
    REQUIRE_OK(hear(vfs, LOG_PATH, whole, &heard, err));
    CHECK_EQ(heard.count, 1);
    basalt_error why = {0};
    CHECK_EQ(bs_wal_remove_all(vfs, LOG_PATH, first_epoch, &why), BASALT_NOT_FOUND);
    bs_wal_writer_close(writer);
    REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
    CHECK_EQ(inventory.first, whole);
    bs_vfs_free(vfs);
}

TEST(wal_reader, a_failing_callback_stops_replay)
{
    struct bs_vfs *vfs = test_memory_vfs();
    basalt_error why = {0};
    long_log(vfs, 2);
    heard.stop_after = 2;
    CHECK_EQ(hear(vfs, LOG_PATH, 0, &heard, &why), BASALT_CANCELLED);
    CHECK_EQ(heard.count, 2);
    CHECK_EQ(heard.out_end, 0);
    heard.stop_after = 0;
    bs_vfs_free(vfs);
}

TEST(wal_reader, large_records_cross_the_window)
{
    static const size_t sizes[] = {
        1, (1 << 20) - 24, 1 << 20, BS_WAL_RECORD_BYTES_MAX, 3, 700000, 700000, 700000};
    for (uint32_t mode = 0; mode <= 1; mode++) { /* written, they cross the staging buffer too */
        struct bs_vfs *vfs = test_memory_vfs();
        struct bs_wal_writer *writer = NULL;
        bs_lsn end = 0;
        const struct log_setup setup = {.segment_bytes = (size_t)32 << 20, .mode = mode};
        REQUIRE_OK(open_log(vfs, &setup, &writer, err));
        for (size_t i = 0; i < BS_ARRAY_LENGTH(sizes); i++) {
            REQUIRE_OK(append_one(writer, i, sizes[i], true, &end, err));
        }
        REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
        CHECK_EQ(heard.count, BS_ARRAY_LENGTH(sizes));
        for (size_t i = 0; i < heard.count; i++) CHECK(heard_is(&heard, i, i, sizes[i], true));
        bs_wal_writer_close(writer);
        bs_vfs_free(vfs);
    }
}

TEST(wal_reader, no_fault_leaks)
{
    struct bs_vfs *vfs = test_memory_vfs();
    long_log(vfs, 3);
    patch_vfs(vfs);
    atomic_store(&wal_patch.use_fault_points, true);
    EACH_FAULT (step) {
        struct bs_wal_inventory inventory;
        basalt_error why = {0};
        const int64_t before = test_live_allocations();
        basalt_status status = bs_wal_inspect(vfs, LOG_PATH, &inventory, &why);
        if (!status) status = hear(vfs, LOG_PATH, 0, &heard, &why);
        CHECK_EQ(test_live_allocations(), before);
        CHECK_EQ(why.status, status);
        if (!status) CHECK_EQ(heard.count, 6);
        if (status) CHECK(status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR);
    }
    bs_vfs_free(vfs);
}
