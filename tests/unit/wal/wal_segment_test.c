/* wal_segment_test.c - segments made ahead, removed, and the story they carry. */
#include "tests/unit/wal/wal_test.h"

#include <stdio.h>

static struct heard heard;

/* One record a segment, `count` of them; ends[i] is where record i ends. */
static struct bs_wal_writer *tall_log(struct bs_vfs *vfs, uint32_t mode, size_t count, bs_lsn *ends)
{
    struct bs_wal_writer *writer = NULL;
    const struct log_setup setup = {.mode = mode};
    CHECK_OK(open_log(vfs, &setup, &writer, err));
    for (size_t i = 0; i < count && writer; i++) {
        CHECK_OK(append_one(writer, i, 40000, true, &ends[i], err));
    }
    return writer;
}

TEST(wal_segment, names_are_synced_before_use_and_segments_once_syncs_are_asked_for)
{
    struct bs_vfs *vfs = test_memory_vfs();
    bs_lsn ends[5], end = 0;
    patch_vfs(vfs);
    struct bs_wal_writer *writer = tall_log(vfs, 0, 5, ends);
    REQUIRE(writer);
    CHECK(atomic_load(&wal_patch.directory_syncs) >= 5);
    CHECK_EQ(atomic_load(&wal_patch.syncs), 2); /* the story and the first segment */
    CHECK_OK(bs_wal_wait_segment(writer, 1, err));
    CHECK_OK(bs_wal_sync_to(writer, ends[4], err));
    const unsigned syncs = atomic_load(&wal_patch.syncs);
    CHECK(syncs >= 2 + 5);
    for (uint64_t i = 5; i < 9; i++) CHECK_OK(append_one(writer, i, 40000, true, &end, err));
    CHECK(atomic_load(&wal_patch.syncs) >= syncs + 2); /* two may have been made before */
    bs_wal_writer_close(writer);
    bs_vfs_free(vfs);
}

TEST(wal_segment, a_full_disk_is_no_poison)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_writer *writer = NULL;
    static uint8_t bytes[60000];
    basalt_error why = {0};
    bs_lsn end = 0, kept = 0;
    const struct log_setup setup = {0};
    patch_vfs(vfs);
    atomic_store(&wal_patch.fail_reserve_at, 1);
    CHECK_EQ(open_log(vfs, &setup, &writer, &why), BASALT_NO_SPACE);
    CHECK_EQ(count_segments(vfs, LOG_PATH), 0);
    atomic_store(&wal_patch.fail_reserve_at, 3); /* that of the first made ahead */
    REQUIRE_OK(open_log(vfs, &setup, &writer, err));
    CHECK_OK(append_one(writer, 1, sizeof bytes, true, &kept, err));
    const struct bs_wal_record record = {
        bytes, sizeof bytes, bs_crc32c(0, bytes, sizeof bytes), true};
    while (atomic_load(&wal_patch.reserves) < 3) bs_thread_yield();
    CHECK_EQ(bs_wal_append(writer, &record, 1, &end, &why), BASALT_BUSY);
    atomic_store(&wal_patch.fail_reserve_at, 4);
    basalt_status status = bs_wal_wait_segment(writer, sizeof bytes, &why);
    /* The wait may still meet the first failure on its way, or the second one: both are reported. */
    CHECK_EQ(status, BASALT_NO_SPACE);
    CHECK(strstr(why.message, "cannot be made") != NULL);
    CHECK_EQ(why.os_errno, 28);
    CHECK_OK(bs_wal_check(writer, err));
    CHECK_OK(bs_wal_sync_to(writer, kept, err));
    atomic_store(&wal_patch.fail_reserve_at, 0);
    do { /* there is room again */
        status = bs_wal_wait_segment(writer, sizeof bytes, &why);
    } while (status == BASALT_NO_SPACE && atomic_load(&wal_patch.reserves) <= 4);
    CHECK_EQ(status, BASALT_OK);
    CHECK_OK(bs_wal_append(writer, &record, 1, &end, err));
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, 2);
    bs_wal_writer_close(writer);
    bs_vfs_free(vfs);
}

TEST(wal_segment, removal_keeps_what_is_needed)
{
    for (uint32_t mode = 1; mode <= 2; mode++) {
        struct bs_vfs *vfs = test_memory_vfs();
        struct bs_wal_inventory inventory;
        bs_lsn ends[6];
        struct bs_wal_writer *writer = tall_log(vfs, mode, 6, ends);
        REQUIRE(writer);
        CHECK_OK(bs_wal_remove_below(writer, ends[0] - 1, err));
        CHECK(file_exists(vfs, LOG_PATH "-log.2"));
        CHECK_OK(bs_wal_remove_below(writer, ends[0], err)); /* it held the story */
        CHECK(!file_exists(vfs, LOG_PATH "-log.2"));
        CHECK(file_exists(vfs, LOG_PATH "-log.3"));
        REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
        CHECK(inventory.has_story);
        CHECK_EQ(inventory.story.commit, 1);
        CHECK_EQ(inventory.first, ends[0]);
        CHECK_EQ(inventory.last, ends[5]);
        CHECK_OK(bs_wal_remove_below(writer, ends[5], err)); /* all but the active one */
        REQUIRE_OK(hear(vfs, LOG_PATH, ends[5], &heard, err));
        CHECK_EQ(heard.count, 0);
        REQUIRE_OK(hear(vfs, LOG_PATH, ends[4], &heard, err));
        CHECK_EQ(heard.count, 1);
        basalt_error why = {0};
        CHECK_EQ(hear(vfs, LOG_PATH, ends[3], &heard, &why), BASALT_CONFLICT);
        bs_wal_writer_close(writer);
        bs_vfs_free(vfs);
    }
}

TEST(wal_segment, a_segment_that_stays_is_harmless)
{
    struct bs_vfs *vfs = test_memory_vfs();
    bs_lsn ends[4], end = 0;
    basalt_error why = {0};
    patch_vfs(vfs);
    struct bs_wal_writer *writer = tall_log(vfs, 0, 4, ends);
    REQUIRE(writer);
    atomic_store(&wal_patch.fail_remove_at, 2);
    CHECK_EQ(bs_wal_remove_below(writer, ends[2], &why), BASALT_IO_ERROR);
    CHECK(strstr(why.message, "stays") != NULL);
    CHECK(!file_exists(vfs, LOG_PATH "-log.2"));
    CHECK(file_exists(vfs, LOG_PATH "-log.3"));
    CHECK(!file_exists(vfs, LOG_PATH "-log.4"));
    CHECK_OK(append_one(writer, 9, 10, true, &end, err));
    REQUIRE_OK(hear(vfs, LOG_PATH, ends[2], &heard, err));
    CHECK_EQ(heard.count, 2);
    CHECK_OK(bs_wal_remove_below(writer, ends[2], err)); /* nothing more to do */
    bs_wal_writer_close(writer);
    CHECK_OK(bs_wal_remove_all(vfs, LOG_PATH, 0, err));
    CHECK_EQ(count_segments(vfs, LOG_PATH), 0);
    bs_vfs_free(vfs);
}

TEST(wal_segment, stories_take_turns_and_survive_a_torn_one)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_writer *writer = NULL;
    struct bs_wal_inventory inventory;
    struct bs_file *file = NULL;
    const struct log_setup setup = {0};
    REQUIRE_OK(open_log(vfs, &setup, &writer, err));
    for (uint64_t number = 1; number <= 5; number++) {
        struct bs_wal_story story = test_story(number);
        memset(story.next, 0x77, sizeof story.next); /* a flip begins */
        CHECK_OK(bs_wal_write_story(writer, &story, err));
        REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
        CHECK_EQ(inventory.story.commit, number);
        CHECK_EQ(inventory.story.next[0], 0x77);
        CHECK_EQ(inventory.story.current[47], number);
    }
    CHECK(!memcmp(inventory.story.store_uuid, "0123456789abcdef", 16));
    /* The same commit told again, later: the later one counts. */
    const struct bs_wal_story done = test_story(5);
    CHECK_OK(bs_wal_write_story(writer, &done, err));
    REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
    CHECK_EQ(inventory.story.next[0], 5);
    bs_wal_writer_close(writer);
    /* That was the seventh story, in slot 1: tear it. */
    REQUIRE_OK(bs_file_open(vfs, LOG_PATH "-log.1", BS_OPEN_WRITE, &file, err));
    const size_t slot = BS_WAL_STORY_AT + BS_WAL_SECTOR_BYTES;
    REQUIRE_OK(bs_file_write_at(file, "torn", 4, slot + 60, err));
    REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
    CHECK_EQ(inventory.story.commit, 5);
    CHECK_EQ(inventory.story.next[0], 0x77);
    REQUIRE_OK(bs_file_write_at(file, "torn", 4, slot - BS_WAL_SECTOR_BYTES + 60, err));
    REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
    CHECK(!inventory.has_story);
    CHECK(!memcmp(inventory.story.store_uuid, "0123456789abcdef", 16)); /* still known */
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(wal_segment, a_new_log_begins_above_all_others)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_wal_inventory inventory;
    bs_lsn ends[2];
    struct bs_wal_writer *writer = tall_log(vfs, 0, 2, ends);
    REQUIRE(writer);
    CHECK_OK(bs_wal_wait_segment(writer, 1, err));
    bs_wal_writer_close(writer);
    char last[64], first[64]; /* of the old log, of the new one */
    const unsigned count = count_segments(vfs, LOG_PATH);
    CHECK(count == 4 || count == 5); /* the story, two in use, one or two made ahead */
    snprintf(last, sizeof last, "%s-log.%u", LOG_PATH, count);
    snprintf(first, sizeof first, "%s-log.%u", LOG_PATH, count + 1);
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, 2);
    patch_vfs(vfs);
    const struct log_setup setup = {.start = ends[1]};
    REQUIRE_OK(open_log(vfs, &setup, &writer, err));
    CHECK(file_exists(vfs, first));
    /* What the new epoch continues was synced: two segments, and its own twice. */
    CHECK(atomic_load(&wal_patch.syncs) >= 4);
    CHECK_OK(append_one(writer, 2, 10, true, &ends[1], err));
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, 3);
    CHECK_OK(bs_wal_remove_all(vfs, LOG_PATH, bs_wal_epoch(writer), err));
    CHECK(!file_exists(vfs, last));
    CHECK(file_exists(vfs, first));
    CHECK_OK(append_one(writer, 3, 60000, true, &ends[1], err));
    REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
    CHECK_EQ(inventory.last, ends[1]);
    bs_wal_writer_close(writer);
    bs_vfs_free(vfs);
}

TEST(wal_segment, an_unsynced_older_log_is_an_error_at_open)
{
    struct bs_vfs *vfs = test_memory_vfs();
    bs_lsn ends[1];
    basalt_error why = {0};
    struct bs_wal_writer *writer = tall_log(vfs, 0, 1, ends);
    bs_wal_writer_close(writer);
    patch_vfs(vfs);
    atomic_store(&wal_patch.fail_sync_at, 1);
    const struct log_setup setup = {.start = ends[0]};
    CHECK_EQ(open_log(vfs, &setup, &writer, &why), BASALT_IO_ERROR);
    CHECK(!writer);
    bs_vfs_free(vfs);
}
