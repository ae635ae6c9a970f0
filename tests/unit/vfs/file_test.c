/* file_test.c - what every file system promises, tried on each. */
#include "tests/unit/vfs/vfs_cases.h"

TEST_BOTH(bytes_come_back_at_their_places)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    uint8_t out[8];
    size_t got = 99;
    uint64_t size = 0;
    REQUIRE(file);
    CHECK_OK(bs_file_write_at(file, "world", 5, 5, err));
    CHECK_OK(bs_file_write_at(file, "hello", 5, 0, err));
    CHECK_OK(bs_file_sync(file, err));
    CHECK_OK(bs_file_size(file, &size, err));
    CHECK_EQ(size, 10);
    CHECK_OK(bs_file_read_all_at(file, out, 8, 1, err));
    CHECK(!memcmp(out, "elloworl", 8));
    CHECK_OK(file->ops->read_at(file, out, 8, 7, &got, err));
    CHECK_EQ(got, 3);
    CHECK(!memcmp(out, "rld", 3));
    bs_file_close(file);
}

TEST_BOTH(a_hole_reads_as_zeros)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    uint8_t out[3] = {9, 9, 9};
    REQUIRE(file);
    CHECK_OK(bs_file_write_at(file, "a", 1, 100000, err));
    CHECK_OK(bs_file_read_all_at(file, out, 3, 99998, err));
    CHECK(out[0] == 0 && out[1] == 0 && out[2] == 'a');
    CHECK_OK(file->ops->set_size(file, 10, err));
    CHECK_OK(file->ops->set_size(file, 100001, err));
    CHECK_OK(bs_file_read_all_at(file, out, 3, 99998, err));
    CHECK_EQ(out[2], 0); /* what was cut off does not come back */
    bs_file_close(file);
}

TEST_BOTH(reads_past_the_end_are_short_and_writes_too_far_refused)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    uint8_t out[4];
    size_t got = 99;
    REQUIRE(file);
    CHECK_OK(bs_file_write_at(file, "abc", 3, 0, err));
    CHECK_OK(file->ops->read_at(file, out, 4, 3, &got, err));
    CHECK_EQ(got, 0);
    CHECK_OK(file->ops->read_at(file, out, 4, UINT64_MAX - 1, &got, err));
    CHECK_EQ(got, 0);
    CHECK_OK(file->ops->read_at(file, out, 4, INT64_MAX - 1, &got, err));
    CHECK_EQ(got, 0);
    CHECK_EQ(bs_file_write_at(file, "abc", 3, UINT64_MAX - 1, &at->error), BASALT_NO_SPACE);
    CHECK_EQ(at->error.file_offset, UINT64_MAX - 1);
    CHECK_EQ(file->ops->set_size(file, UINT64_MAX, &at->error), BASALT_NO_SPACE);
    CHECK_EQ(file->ops->reserve(file, UINT64_MAX, &at->error), BASALT_NO_SPACE);
    CHECK_EQ(bs_file_read_all_at(file, out, 4, 1, &at->error), BASALT_CORRUPT);
    CHECK_EQ(at->error.file_offset, 1);
    CHECK(strstr(at->error.message, "ends at 3, 4 bytes were expected at 1"));
    bs_file_close(file);
}

TEST_BOTH(open_flags_mean_what_they_say)
{
    struct bs_file *file = NULL;
    uint64_t size = 9;
    const char *path = case_path(at, "x");
    CHECK_EQ(bs_file_open(at->vfs, path, BS_OPEN_READ, &file, &at->error), BASALT_NOT_FOUND);
    CHECK(strstr(at->error.message, path));
    CHECK(!file);
    CHECK_EQ(bs_file_open(at->vfs, path, BS_OPEN_WRITE, &file, NULL), BASALT_NOT_FOUND);
    file = case_open(at, "x", CASE_CREATE | BS_OPEN_EXCLUSIVE);
    REQUIRE(file);
    CHECK_OK(bs_file_write_at(file, "abc", 3, 0, err));
    bs_file_close(file);
    CHECK_EQ(bs_file_open(at->vfs, path, CASE_CREATE | BS_OPEN_EXCLUSIVE, &file, &at->error),
        BASALT_EXISTS);
    file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_OK(bs_file_size(file, &size, err));
    CHECK_EQ(size, 3);
    bs_file_close(file);
    file = case_open(at, "x", BS_OPEN_WRITE | BS_OPEN_TRUNCATE);
    REQUIRE(file);
    CHECK_OK(bs_file_size(file, &size, err));
    CHECK_EQ(size, 0);
    bs_file_close(file);
    CHECK_EQ(bs_file_open(at->vfs, "", BS_OPEN_READ, &file, &at->error), BASALT_BAD_ARGUMENT);
}

TEST_BOTH(a_file_opened_for_reading_takes_no_change)
{
    struct bs_log_memory memory;
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    bs_file_close(file);
    file = case_open(at, "x", BS_OPEN_READ);
    REQUIRE(file);
    CHECK_EQ(bs_file_write_at(file, "a", 1, 0, &at->error), BASALT_READ_ONLY);
    CHECK_EQ(file->ops->set_size(file, 0, NULL), BASALT_READ_ONLY);
    CHECK_EQ(file->ops->reserve(file, 1, NULL), BASALT_READ_ONLY);
    CHECK_EQ(file->ops->lend_log(file, 1, &memory, NULL), BASALT_READ_ONLY);
    CHECK_EQ(file->ops->lock(file, BS_LOCK_EXCLUSIVE, 0, 1, NULL), BASALT_READ_ONLY);
    CHECK_OK(file->ops->lock(file, BS_LOCK_SHARED, 0, 1, err));
    bs_file_close(file);
}

TEST_BOTH(a_directory_is_no_file_and_a_file_no_directory)
{
    struct bs_file *file = NULL;
    CHECK_EQ(
        bs_file_open(at->vfs, at->directory, BS_OPEN_READ, &file, &at->error), BASALT_BAD_ARGUMENT);
    CHECK(strstr(at->error.message, " is a directory"));
    CHECK_EQ(bs_file_open(at->vfs, at->directory, CASE_CREATE, &file, NULL), BASALT_BAD_ARGUMENT);
    bs_file_close(case_open(at, "x", CASE_CREATE));
    CHECK_EQ(
        bs_file_open(at->vfs, case_path(at, "x/y"), CASE_CREATE, &file, NULL), BASALT_IO_ERROR);
    CHECK_EQ(bs_file_open(at->vfs, case_path(at, "absent/y"), CASE_CREATE, &file, NULL),
        BASALT_NOT_FOUND);
    CHECK(!file);
}

TEST_BOTH(a_name_too_long_is_one_clear_sentence)
{
    struct bs_file *file = NULL;
    char path[12000] = "/";
    memset(path + 1, 'n', 10000);
    CHECK_EQ(bs_file_open(at->vfs, path, CASE_CREATE, &file, &at->error), BASALT_IO_ERROR);
    CHECK(strstr(at->error.message, "too long"));
}

TEST_BOTH(info_identifies_a_file)
{
    struct bs_file_info one, same, other;
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    bs_file_close(case_open(at, "y", CASE_CREATE));
    CHECK_OK(bs_file_write_at(file, "abc", 3, 0, err));
    CHECK_OK(file->ops->set_mode(file, 0640, err));
    CHECK_OK(file->ops->info(file, &one, err));
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "x"), &same, err));
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "y"), &other, err));
    CHECK(one.inode == same.inode && one.device == same.device);
    CHECK(one.inode != other.inode);
    CHECK_EQ(same.size_bytes, 3);
    CHECK_EQ(same.links, 1);
    CHECK_EQ(same.mode, 0640);
    CHECK(same.owned && !same.directory);
    CHECK(same.modified_ns > 1000000000000000000u);
    CHECK_OK(at->vfs->ops->remove(at->vfs, case_path(at, "x"), err));
    CHECK_OK(file->ops->info(file, &one, err));
    CHECK_EQ(one.links, 0); /* and still readable */
    CHECK_EQ(at->vfs->ops->info(at->vfs, case_path(at, "x"), &same, NULL), BASALT_NOT_FOUND);
    CHECK_OK(bs_file_write_at(file, "d", 1, 3, err));
    bs_file_close(file);
    CHECK_OK(at->vfs->ops->info(at->vfs, at->directory, &one, err));
    CHECK(one.directory);
}

TEST_BOTH(rename_replaces_or_refuses)
{
    struct bs_file_info before, after;
    bs_file_close(case_open(at, "a", CASE_CREATE));
    bs_file_close(case_open(at, "b", CASE_CREATE));
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "a"), &before, err));
    const char *from = case_path(at, "a"), *to = case_path(at, "b");
    CHECK_EQ(at->vfs->ops->rename(at->vfs, from, to, false, &at->error), BASALT_EXISTS);
    CHECK_OK(at->vfs->ops->rename(at->vfs, from, to, true, err));
    CHECK_OK(at->vfs->ops->info(at->vfs, to, &after, err));
    CHECK_EQ(after.inode, before.inode);
    CHECK_EQ(at->vfs->ops->rename(at->vfs, from, to, true, NULL), BASALT_NOT_FOUND);
    CHECK_OK(at->vfs->ops->rename(at->vfs, to, from, false, err));
    CHECK_EQ(
        at->vfs->ops->rename(at->vfs, from, case_path(at, "no/c"), false, NULL), BASALT_NOT_FOUND);
    CHECK_OK(at->vfs->ops->make_directory(at->vfs, case_path(at, "d"), err));
    CHECK_EQ(at->vfs->ops->rename(at->vfs, from, case_path(at, "d"), true, NULL), BASALT_IO_ERROR);
    CHECK_EQ(at->vfs->ops->rename(at->vfs, case_path(at, "d"), case_path(at, "d/e"), true, NULL),
        BASALT_IO_ERROR);
    CHECK_OK(at->vfs->ops->rename(at->vfs, from, case_path(at, "d/c"), false, err));
    CHECK_OK(at->vfs->ops->rename(at->vfs, case_path(at, "d"), case_path(at, "e"), false, err));
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "e/c"), &after, err));
    CHECK_EQ(after.inode, before.inode);
}

struct listing {
    unsigned count, stop_at;
    char names[200];
};

static basalt_status listing_add(void *context, const char *name, basalt_error *err)
{
    struct listing *listing = context;
    const size_t used = strlen(listing->names);
    snprintf(listing->names + used, sizeof listing->names - used, "[%s]", name);
    if (++listing->count != listing->stop_at) return BASALT_OK;
    return bs_fail(err, BASALT_CANCELLED, BASALT_NO_OFFSET, "enough");
}

TEST_BOTH(list_gives_every_name_once_and_stops_when_told)
{
    struct listing all = {0}, one = {.stop_at = 1};
    CHECK_OK(at->vfs->ops->list(at->vfs, at->directory, listing_add, &all, err));
    CHECK_EQ(all.count, 0);
    bs_file_close(case_open(at, "a", CASE_CREATE));
    bs_file_close(case_open(at, "b", CASE_CREATE));
    CHECK_OK(at->vfs->ops->make_directory(at->vfs, case_path(at, "c"), err));
    CHECK_EQ(at->vfs->ops->make_directory(at->vfs, case_path(at, "c"), NULL), BASALT_EXISTS);
    CHECK_OK(at->vfs->ops->list(at->vfs, at->directory, listing_add, &all, err));
    CHECK_EQ(all.count, 3);
    CHECK(strstr(all.names, "[a]") && strstr(all.names, "[b]") && strstr(all.names, "[c]"));
    CHECK_EQ(at->vfs->ops->list(at->vfs, at->directory, listing_add, &one, &at->error),
        BASALT_CANCELLED);
    CHECK_EQ(one.count, 1);
    CHECK_EQ(at->vfs->ops->list(at->vfs, case_path(at, "no"), listing_add, &one, NULL),
        BASALT_NOT_FOUND);
    CHECK_EQ(
        at->vfs->ops->list(at->vfs, case_path(at, "a"), listing_add, &one, NULL), BASALT_IO_ERROR);
    CHECK_OK(at->vfs->ops->sync_directory(at->vfs, at->directory, err));
    CHECK_EQ(at->vfs->ops->sync_directory(at->vfs, case_path(at, "no"), NULL), BASALT_NOT_FOUND);
}

TEST_BOTH(remove_takes_files_and_empty_directories)
{
    CHECK_OK(at->vfs->ops->make_directory(at->vfs, case_path(at, "d"), err));
    bs_file_close(case_open(at, "d/x", CASE_CREATE));
    CHECK_EQ(at->vfs->ops->remove(at->vfs, case_path(at, "d"), &at->error), BASALT_IO_ERROR);
    CHECK_OK(at->vfs->ops->remove(at->vfs, case_path(at, "d/x"), err));
    CHECK_OK(at->vfs->ops->remove(at->vfs, case_path(at, "d"), err));
    CHECK_EQ(at->vfs->ops->remove(at->vfs, case_path(at, "d"), NULL), BASALT_NOT_FOUND);
}

TEST_BOTH(real_path_of_present_and_absent_files)
{
    char *found = NULL, *directory = NULL;
    bs_file_close(case_open(at, "x", CASE_CREATE));
    REQUIRE_OK(at->vfs->ops->real_path(at->vfs, at->directory, &directory, err));
    CHECK_OK(at->vfs->ops->real_path(at->vfs,
        case_path(at,
            "./../real_path_of_present_and_"
            "absent_files//x"),
        &found, err));
    REQUIRE(found);
    CHECK_EQ(strncmp(found, directory, strlen(directory)), 0);
    CHECK_TEXT(found + strlen(directory), "/x");
    bs_free(found);
    CHECK_OK(at->vfs->ops->real_path(at->vfs, case_path(at, "./absent"), &found, err));
    REQUIRE(found);
    CHECK_EQ(strncmp(found, directory, strlen(directory)), 0);
    CHECK_TEXT(found + strlen(directory), "/absent");
    bs_free(found);
    CHECK_EQ(
        at->vfs->ops->real_path(at->vfs, case_path(at, "no/x"), &found, NULL), BASALT_NOT_FOUND);
    CHECK(!found);
    CHECK_OK(at->vfs->ops->real_path(at->vfs, "/", &found, err));
    CHECK_TEXT(found, "/");
    bs_free(found);
    bs_free(directory);
}

TEST_BOTH(reserve_grows_and_never_shrinks)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    uint64_t size = 0;
    uint8_t byte = 9;
    REQUIRE(file);
    CHECK_OK(bs_file_write_at(file, "abc", 3, 0, err));
    CHECK_OK(file->ops->reserve(file, 100000, err));
    CHECK_OK(bs_file_size(file, &size, err));
    CHECK_EQ(size, 100000);
    CHECK_OK(file->ops->reserve(file, 10, err));
    CHECK_OK(file->ops->reserve(file, 0, err));
    CHECK_OK(bs_file_size(file, &size, err));
    CHECK_EQ(size, 100000);
    CHECK_OK(bs_file_read_all_at(file, &byte, 1, 2, err));
    CHECK_EQ(byte, 'c');
    bs_file_close(file);
}

TEST_BOTH(lent_memory_is_the_content_of_the_file)
{
    enum { CAPACITY = 1 << 20 };
    struct bs_log_memory memory;
    uint8_t out[5];
    struct bs_file *file = case_open(at, "log", CASE_CREATE | BS_OPEN_EXCLUSIVE);
    REQUIRE(file);
    CHECK_EQ(file->ops->lend_log(file, CAPACITY, &memory, &at->error), BASALT_UNSUPPORTED);
    CHECK(!memory.bytes);
    REQUIRE_OK(file->ops->reserve(file, CAPACITY, err));
    REQUIRE_OK(file->ops->lend_log(file, CAPACITY, &memory, err));
    CHECK_EQ(memory.capacity_bytes, CAPACITY);
    CHECK_EQ(memory.bytes[CAPACITY - 1], 0);
    memcpy(memory.bytes + 70000, "hello", 5);
    file->ops->mark_dirty(file, &memory, 70000, 5);
    CHECK_OK(bs_file_read_all_at(file, out, 5, 70000, err));
    CHECK(!memcmp(out, "hello", 5));
    CHECK_OK(bs_file_write_at(file, "W", 1, 70000, err));
    CHECK_EQ(memory.bytes[70000], 'W');
    CHECK_OK(bs_file_sync(file, err));
    struct bs_file *reader = case_open(at, "log", BS_OPEN_READ);
    REQUIRE(reader);
    CHECK_OK(bs_file_read_all_at(reader, out, 5, 70000, err));
    CHECK(!memcmp(out, "Wello", 5));
    bs_file_close(reader);
    file->ops->return_log(file, &memory);
    CHECK(!memory.bytes && !memory.capacity_bytes);
    file->ops->return_log(file, &memory);
    bs_file_close(file);
}

TEST_BOTH(path_parts)
{
    static const struct {
        const char *path, *directory, *name;
    } cases[] = {{"x", ".", "x"}, {"a/x", "a", "x"}, {"/x", "/", "x"}, {"/a/b/x", "/a/b", "x"},
        {"a//x", "a", "x"}, {"a/", "a", ""}, {"//x", "/", "x"}};
    (void)at;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(cases); i++) {
        char *directory = bs_path_directory(cases[i].path);
        CHECK_TEXT(directory, cases[i].directory);
        CHECK_TEXT(bs_path_name(cases[i].path), cases[i].name);
        bs_free(directory);
    }
}

/* Every allocation of a life of a file system fails in turn: a clear error, and nothing leaks. */
static void life(bool local, uint64_t step, basalt_error *err)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    struct listing names = {0};
    char *real = NULL;
    char path[400], other[400];
    basalt_status status = BASALT_OK;

    snprintf(path, sizeof path, "%s/life-%d", local ? test_directory() : "", (int)step);
    snprintf(other, sizeof other, "%s/life-other", local ? test_directory() : "");
    BS_TRY(local ? bs_vfs_local_create(&vfs, err) : bs_vfs_memory_create(&vfs, err));
    BS_TRY(bs_file_open(vfs, path, CASE_CREATE, &file, err));
    BS_TRY(bs_file_write_at(file, "abc", 3, 0, err));
    BS_TRY(file->ops->reserve(file, 100000, err));
    BS_TRY(file->ops->lock(file, BS_LOCK_SHARED, 0, 10, err));
    BS_TRY(file->ops->lock(file, BS_LOCK_NONE, 4, 2, err));
    BS_TRY(vfs->ops->rename(vfs, path, other, true, err));
    BS_TRY(vfs->ops->list(vfs, local ? test_directory() : "/", listing_add, &names, err));
    BS_TRY(vfs->ops->real_path(vfs, other, &real, err));
    BS_TRY(vfs->ops->remove(vfs, other, err));
out:
    CHECK_EQ(status, err->status);
    CHECK(!status || status == BASALT_NO_MEMORY);
    bs_free(real);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(vfs_faults, no_allocation_that_fails_leaks_or_lies)
{
    for (int local = 0; local < 2; local++) {
        const int64_t live = test_live_allocations();
        uint64_t steps = 0;
        EACH_FAULT (step) {
            basalt_error error = {0};
            life(local, step, &error);
            CHECK_EQ(test_live_allocations(), live);
            steps = step;
        }
        CHECK(steps > 4);
    }
}
