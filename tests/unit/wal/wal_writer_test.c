/* wal_writer_test.c - what callers may believe after each outcome of open, append and close. */
#include "tests/unit/wal/wal_test.h"

static const uint32_t modes[] = {0, 1, 2};

TEST(wal_writer, what_is_appended_is_replayed)
{
    for (size_t m = 0; m < BS_ARRAY_LENGTH(modes); m++) {
        struct bs_vfs *vfs = test_memory_vfs();
        struct bs_wal_writer *writer = NULL;
        static struct heard heard;
        bs_lsn end = 0, last = 0;
        const struct log_setup setup = {.mode = modes[m], .start = 1000};
        REQUIRE_OK(open_log(vfs, &setup, &writer, err));
        for (uint64_t i = 0; i < 50; i++) {
            REQUIRE_OK(append_one(writer, i, 1 + (size_t)(i * 37 % 3000), i % 3 == 2, &end, err));
            CHECK(end > last);
            last = end;
        }
        CHECK_EQ(bs_wal_written(writer), end);
        CHECK_OK(bs_wal_sync_to(writer, end, err));
        CHECK_EQ(bs_wal_durable(writer), end);
        REQUIRE_OK(hear(vfs, LOG_PATH, 1000, &heard, err));
        CHECK_EQ(heard.count, 50);
        for (uint64_t i = 0; i < 50; i++) {
            CHECK(heard_is(&heard, (size_t)i, i, 1 + (size_t)(i * 37 % 3000), i % 3 == 2));
        }
        CHECK_EQ(heard.records[0].start, 1000);
        /* The last two records belong to no whole transaction. */
        CHECK_EQ(heard.out_end, heard.records[47].end);
        bs_wal_writer_close(writer);
        bs_vfs_free(vfs);
    }
}

TEST(wal_writer, a_local_log_survives_the_writer)
{
    struct bs_vfs *vfs = NULL;
    struct bs_wal_writer *writer = NULL;
    static struct heard heard;
    struct bs_wal_stats stats;
    bs_lsn end = 0;
    const char *path = test_path("local.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    for (size_t m = 0; m < 2; m++) {
        const struct log_setup setup = {.path = path, .mode = modes[m]};
        REQUIRE_OK(open_log(vfs, &setup, &writer, err));
        for (uint64_t i = 0; i < 300; i++) {
            REQUIRE_OK(append_one(writer, i, 700, true, &end, err));
        }
        bs_wal_stats(writer, &stats);
        CHECK_EQ(stats.appends, 300);
        CHECK_EQ(stats.written_bytes, 300 * 728);
        CHECK(!stats.mapped || m == 0);
        bs_wal_writer_close(writer); /* without a sync: the pages are the kernel's by now */
        REQUIRE_OK(hear(vfs, path, 0, &heard, err));
        CHECK_EQ(heard.count, 300);
        CHECK_EQ(heard.out_end, end);
        CHECK(heard_is(&heard, 299, 299, 700, true));
        CHECK_OK(bs_wal_remove_all(vfs, path, 0, err));
        CHECK_EQ(count_segments(vfs, path), 0);
    }
    bs_vfs_free(vfs);
}

TEST(wal_writer, one_append_spans_segments_all_or_none)
{
    for (size_t m = 0; m < BS_ARRAY_LENGTH(modes); m++) {
        enum { RECORDS = 12, BYTES = 50000 }; /* one a segment: 11 changes in one append */
        struct bs_vfs *vfs = test_memory_vfs();
        struct bs_wal_writer *writer = NULL;
        static struct heard heard;
        static uint8_t bytes[RECORDS][BYTES];
        struct bs_wal_record records[RECORDS];
        basalt_error why = {0};
        bs_lsn end = 0;
        unsigned busy = 0;
        const struct log_setup setup = {.mode = modes[m]};
        REQUIRE_OK(open_log(vfs, &setup, &writer, err));
        for (unsigned i = 0; i < RECORDS; i++) {
            fill_record(bytes[i], BYTES, i);
            records[i] = (struct bs_wal_record){
                bytes[i], BYTES, bs_crc32c(0, bytes[i], BYTES), i == RECORDS - 1};
        }
        basalt_status status;
        while ((status = bs_wal_append(writer, records, RECORDS, &end, &why)) == BASALT_BUSY) {
            CHECK_EQ(end, 0);
            CHECK_EQ(bs_wal_written(writer), 0); /* none of it */
            REQUIRE(!bs_wal_wait_segment(writer, (size_t)RECORDS * BYTES, &why));
            REQUIRE(++busy < 100);
        }
        CHECK_EQ(status, BASALT_OK);
        CHECK(busy > 0);
        CHECK_OK(bs_wal_sync_to(writer, end, err));
        REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
        CHECK_EQ(heard.count, RECORDS);
        CHECK_EQ(heard.out_end, end);
        for (unsigned i = 0; i < RECORDS; i++) {
            CHECK(heard_is(&heard, i, i, BYTES, i == RECORDS - 1));
        }
        bs_wal_writer_close(writer);
        bs_vfs_free(vfs);
    }
}

TEST(wal_writer, records_at_the_edge_of_a_segment)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_writer *writer = NULL;
    static struct heard heard;
    static uint8_t bytes[SMALL_SEGMENT_BYTES];
    basalt_error why = {0};
    bs_lsn end = 0;
    const size_t most = SMALL_CAPACITY_BYTES - BS_WAL_FRAME_HEADER_BYTES;
    const struct log_setup setup = {0};
    REQUIRE_OK(open_log(vfs, &setup, &writer, err));
    CHECK_OK(append_one(writer, 1, most, true, &end, err)); /* fills the first segment */
    CHECK_EQ(end, SMALL_CAPACITY_BYTES);
    CHECK_OK(append_one(writer, 2, most - 8, true, &end, err)); /* leaves 8 bytes of the second */
    CHECK_OK(append_one(writer, 3, 1, true, &end, err));
    const struct bs_wal_record large = {bytes, most + 1, bs_crc32c(0, bytes, most + 1), true};
    CHECK_EQ(bs_wal_append(writer, &large, 1, &end, &why), BASALT_TOO_LARGE);
    CHECK_EQ(end, 0);
    CHECK_OK(append_one(writer, 4, 1, true, &end, err)); /* and the log goes on */
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, 4);
    CHECK(heard_is(&heard, 3, 4, 1, true));
    CHECK_EQ(heard.out_end, end);
    bs_wal_writer_close(writer);
    bs_vfs_free(vfs);
}

TEST(wal_writer, what_spans_too_many_segments_is_refused)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_writer *writer = NULL;
    static uint8_t bytes[40000];
    static struct bs_wal_record records[BS_WAL_AHEAD_MAX + 2];
    basalt_error why = {0};
    bs_lsn end = 0;
    const struct log_setup setup = {0};
    REQUIRE_OK(open_log(vfs, &setup, &writer, err));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(records); i++) {
        records[i] = (struct bs_wal_record){bytes, sizeof bytes, 0, false};
    }
    CHECK_EQ(
        bs_wal_append(writer, records, BS_ARRAY_LENGTH(records), &end, &why), BASALT_TOO_LARGE);
    CHECK_EQ(bs_wal_wait_segment(writer, sizeof bytes * BS_ARRAY_LENGTH(records), &why),
        BASALT_TOO_LARGE);
    CHECK_EQ(bs_wal_written(writer), 0);
    bs_wal_writer_close(writer);
    bs_vfs_free(vfs);
}

TEST(wal_writer, where_nothing_is_reserved_or_lent_it_writes)
{
    for (int lends = 0; lends < 2; lends++) {
        struct bs_vfs *vfs = test_memory_vfs();
        struct bs_wal_writer *writer = NULL;
        static struct heard heard;
        struct bs_wal_stats stats;
        basalt_error why = {0};
        bs_lsn end = 0;
        patch_vfs(vfs);
        atomic_store(lends ? &wal_patch.reserves_nothing : &wal_patch.lends_nothing, true);
        const struct log_setup forced = {.mode = 2};
        CHECK_EQ(open_log(vfs, &forced, &writer, &why), BASALT_UNSUPPORTED);
        CHECK(!writer);
        CHECK_EQ(count_segments(vfs, LOG_PATH), 0);
        const struct log_setup setup = {0};
        REQUIRE_OK(open_log(vfs, &setup, &writer, err));
        bs_wal_stats(writer, &stats);
        CHECK(!stats.mapped);
        for (uint64_t i = 0; i < 5; i++) {
            REQUIRE_OK(append_one(writer, i, 30000, true, &end, err));
        }
        REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
        CHECK_EQ(heard.count, 5);
        bs_wal_writer_close(writer);
        bs_vfs_free(vfs);
    }
}

TEST(wal_writer, a_failed_write_poisons)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_writer *writer = NULL;
    basalt_error why = {0};
    bs_lsn end = 0, kept = 0;
    const struct log_setup setup = {.mode = 1};
    patch_vfs(vfs);
    REQUIRE_OK(open_log(vfs, &setup, &writer, err));
    CHECK_OK(append_one(writer, 1, 100, true, &kept, err));
    CHECK_OK(bs_wal_check(writer, err));
    atomic_store(&wal_patch.fail_write_at, atomic_load(&wal_patch.writes) + 1);
    /* Another write of the maker may meet it first, so until it is met. */
    basalt_status status = BASALT_OK;
    for (int i = 0; i < 3 && !status; i++) {
        atomic_store(&wal_patch.fail_write_at, atomic_load(&wal_patch.writes) + 1);
        status = append_one(writer, 2, 100, true, &end, &why);
    }
    CHECK_EQ(status, BASALT_OUTCOME_UNKNOWN);
    CHECK(strstr(why.message, "the disk refused bytes") != NULL);
    CHECK_EQ(end, 0);
    CHECK_EQ(append_one(writer, 3, 100, true, &end, &why), BASALT_OUTCOME_UNKNOWN);
    CHECK_EQ(bs_wal_sync_to(writer, kept, &why), BASALT_OUTCOME_UNKNOWN);
    CHECK(strstr(why.message, "the disk refused bytes") != NULL);
    CHECK_EQ(why.os_errno, 5);
    CHECK_EQ(bs_wal_check(writer, &why), BASALT_OUTCOME_UNKNOWN);
    const struct bs_wal_story story = test_story(2);
    CHECK_EQ(bs_wal_write_story(writer, &story, &why), BASALT_OUTCOME_UNKNOWN);
    bs_wal_writer_close(writer);
    bs_vfs_free(vfs);
}

TEST(wal_writer, wrong_options_are_refused)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_writer *writer = NULL;
    basalt_error why = {0};
    const struct log_setup small = {.segment_bytes = BS_WAL_SEGMENT_BYTES_MIN - 1};
    CHECK_EQ(open_log(vfs, &small, &writer, &why), BASALT_BAD_ARGUMENT);
    const struct log_setup mode = {.mode = 3};
    CHECK_EQ(open_log(vfs, &mode, &writer, &why), BASALT_BAD_ARGUMENT);
    const struct log_setup start = {.start = UINT64_MAX};
    CHECK_EQ(open_log(vfs, &start, &writer, &why), BASALT_BAD_ARGUMENT);
    const struct log_setup place = {.path = "/no/such/x.h5"};
    CHECK_EQ(open_log(vfs, &place, &writer, &why), BASALT_NOT_FOUND);
    CHECK(!writer);
    bs_wal_writer_close(NULL);
    bs_vfs_free(vfs);
}

/* The whole life of a log: opened, three segments long, a checkpoint's story, cut, opened again. */
static basalt_status live(struct bs_vfs *vfs, uint32_t mode, basalt_error *err)
{
    struct bs_wal_writer *writer = NULL;
    struct bs_wal_story story = test_story(2);
    bs_lsn end = 0, cut = 0;
    const struct log_setup setup = {.mode = mode};
    basalt_status status = open_log(vfs, &setup, &writer, err);
    for (uint64_t i = 0; i < 6 && !status; i++) {
        status = append_one(writer, i, 25000, true, &end, err);
        if (!status && i == 3) cut = end;
        if (!status && i % 2) status = bs_wal_sync_to(writer, end, err);
    }
    if (!status) status = bs_wal_write_story(writer, &story, err);
    if (!status) status = bs_wal_remove_below(writer, cut, err);
    bs_wal_writer_close(writer);
    return status;
}

TEST(wal_writer, no_fault_leaks_or_promises_too_much)
{
    for (uint32_t mode = 1; mode <= 2; mode++) {
        EACH_FAULT (step) {
            struct bs_vfs *vfs = NULL;
            static struct heard heard;
            basalt_error why = {0};
            const int64_t before = test_live_allocations();
            basalt_status status = bs_vfs_memory_create(&vfs, &why);
            if (!status) {
                patch_vfs(vfs);
                atomic_store(&wal_patch.use_fault_points, true);
                status = live(vfs, mode, &why);
                fault_stop();
                if (status) CHECK_EQ(why.status, status);
                if (status) CHECK(why.message[0] != 0);
                if (!status) {
                    CHECK_OK(hear(vfs, LOG_PATH, 4 * 25024, &heard, err));
                    CHECK_EQ(heard.count, 2);
                }
                CHECK_OK(bs_wal_remove_all(vfs, LOG_PATH, 0, err));
            }
            bs_vfs_free(vfs);
            CHECK_EQ(test_live_allocations(), before);
        }
    }
}
