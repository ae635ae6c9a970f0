/* memory_file_test.c - locks as every file system has them, and threads over the one in memory. */
#include "tests/unit/vfs/vfs_cases.h"

#define BYTE_62 ((uint64_t)1 << 62)

struct opened {
    struct bs_file *a, *b;
};

static bool open_twice(struct vfs_case *at, struct opened *two)
{
    two->a = case_open(at, "x", CASE_CREATE);
    two->b = case_open(at, "x", CASE_CREATE);
    return two->a && two->b;
}

static void close_both(struct opened *two)
{
    bs_file_close(two->a);
    bs_file_close(two->b);
}

TEST_BOTH(an_exclusive_lock_excludes_other_opens_only)
{
    struct opened two;
    struct bs_lock_holder holder;
    REQUIRE(open_twice(at, &two));
    CHECK_OK(two.a->ops->lock(two.a, BS_LOCK_EXCLUSIVE, BYTE_62 - 1, 1, err));
    CHECK_OK(two.a->ops->lock(two.a, BS_LOCK_EXCLUSIVE, BYTE_62 - 1, 1, err));
    CHECK_EQ(two.b->ops->lock(two.b, BS_LOCK_EXCLUSIVE, BYTE_62 - 1, 1, &at->error), BASALT_BUSY);
    CHECK_EQ(at->error.file_offset, BYTE_62 - 1);
    CHECK_EQ(two.b->ops->lock(two.b, BS_LOCK_SHARED, BYTE_62 - 1, 1, NULL), BASALT_BUSY);
    CHECK_OK(two.b->ops->lock(two.b, BS_LOCK_EXCLUSIVE, BYTE_62, 1, err));
    CHECK_OK(two.b->ops->probe(two.b, BS_LOCK_SHARED, 0, BYTE_62, &holder, err));
    CHECK(holder.held);
    CHECK_EQ(holder.kind, BS_LOCK_EXCLUSIVE);
    CHECK_EQ(holder.start, BYTE_62 - 1);
    CHECK_EQ(holder.length, 1);
    CHECK_OK(two.a->ops->probe(two.a, BS_LOCK_EXCLUSIVE, 0, BYTE_62, &holder, err));
    CHECK(!holder.held); /* one's own lock is no obstacle */
    CHECK_OK(two.a->ops->lock(two.a, BS_LOCK_NONE, BYTE_62 - 1, 1, err));
    CHECK_OK(two.b->ops->lock(two.b, BS_LOCK_EXCLUSIVE, BYTE_62 - 1, 1, err));
    close_both(&two);
}

TEST_BOTH(shared_locks_pin_and_a_range_query_finds_the_lowest)
{
    static const uint64_t pins[] = {5000, 7, 100};
    struct bs_file *readers[3];
    struct bs_lock_holder holder;
    struct bs_file *writer = case_open(at, "x", CASE_CREATE);
    REQUIRE(writer);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(pins); i++) {
        readers[i] = case_open(at, "x", BS_OPEN_READ);
        REQUIRE(readers[i]);
        CHECK_OK(readers[i]->ops->lock(readers[i], BS_LOCK_SHARED, BYTE_62 + pins[i], 1, err));
    }
    CHECK_OK(writer->ops->probe(writer, BS_LOCK_EXCLUSIVE, BYTE_62, 7, &holder, err));
    CHECK(!holder.held);
    CHECK_OK(writer->ops->probe(writer, BS_LOCK_EXCLUSIVE, BYTE_62, 8, &holder, err));
    CHECK(holder.held && holder.kind == BS_LOCK_SHARED && holder.start == BYTE_62 + 7);
    CHECK_OK(writer->ops->probe(writer, BS_LOCK_SHARED, BYTE_62, 10000, &holder, err));
    CHECK(!holder.held); /* shared ones do not refuse each other */
    bs_file_close(readers[1]);
    CHECK_OK(writer->ops->probe(writer, BS_LOCK_EXCLUSIVE, BYTE_62, UINT64_MAX, &holder, err));
    CHECK(holder.held);
    bs_file_close(readers[0]);
    bs_file_close(readers[2]);
    CHECK_OK(writer->ops->probe(writer, BS_LOCK_EXCLUSIVE, BYTE_62, UINT64_MAX, &holder, err));
    CHECK(!holder.held);
    bs_file_close(writer);
}

TEST_BOTH(a_lock_can_be_cut_and_changed)
{
    struct opened two;
    REQUIRE(open_twice(at, &two));
    CHECK_OK(two.a->ops->lock(two.a, BS_LOCK_EXCLUSIVE, 10, 10, err));
    CHECK_OK(two.a->ops->lock(two.a, BS_LOCK_NONE, 14, 2, err));
    CHECK_OK(two.b->ops->lock(two.b, BS_LOCK_EXCLUSIVE, 14, 2, err));
    CHECK_EQ(two.b->ops->lock(two.b, BS_LOCK_SHARED, 13, 1, NULL), BASALT_BUSY);
    CHECK_EQ(two.b->ops->lock(two.b, BS_LOCK_SHARED, 16, 1, NULL), BASALT_BUSY);
    CHECK_OK(two.a->ops->lock(two.a, BS_LOCK_SHARED, 16, 4, err));
    CHECK_OK(two.b->ops->lock(two.b, BS_LOCK_SHARED, 16, 1, err));
    /* A refused change leaves what was held. */
    CHECK_EQ(two.a->ops->lock(two.a, BS_LOCK_EXCLUSIVE, 16, 4, NULL), BASALT_BUSY);
    CHECK_EQ(two.b->ops->lock(two.b, BS_LOCK_EXCLUSIVE, 17, 1, NULL), BASALT_BUSY);
    close_both(&two);
}

TEST_BOTH(closing_another_open_of_the_file_drops_no_lock)
{
    struct opened two;
    REQUIRE(open_twice(at, &two));
    CHECK_OK(two.a->ops->lock(two.a, BS_LOCK_EXCLUSIVE, 0, 1, err));
    bs_file_close(two.b);
    two.b = case_open(at, "x", CASE_CREATE);
    REQUIRE(two.b);
    CHECK_EQ(two.b->ops->lock(two.b, BS_LOCK_EXCLUSIVE, 0, 1, NULL), BASALT_BUSY);
    close_both(&two);
}

TEST_BOTH(sharers_of_the_whole_file_are_counted)
{
    struct opened two;
    unsigned count = 99;
    REQUIRE(open_twice(at, &two));
    const basalt_status asked = two.a->ops->count_sharers(two.a, &count, &at->error);
    if (asked == BASALT_UNSUPPORTED) { /* in a container: said, and no number given */
        CHECK_EQ(count, 0);
        close_both(&two);
        test_skip("who shares a file cannot be asked here");
        return;
    }
    CHECK_EQ(asked, BASALT_OK);
    CHECK_EQ(count, 0);
    CHECK_OK(two.a->ops->share(two.a, BS_LOCK_SHARED, err));
    CHECK_OK(two.a->ops->count_sharers(two.a, &count, err));
    CHECK_EQ(count, 0);
    CHECK_OK(two.b->ops->count_sharers(two.b, &count, err));
    CHECK_EQ(count, 1);
    CHECK_OK(two.b->ops->share(two.b, BS_LOCK_SHARED, err));
    CHECK_OK(two.b->ops->share(two.b, BS_LOCK_SHARED, err));
    CHECK_OK(two.a->ops->count_sharers(two.a, &count, err));
    CHECK_EQ(count, 1);
    /* Byte ranges, ours above all, are not sharers of the whole file. */
    CHECK_OK(two.b->ops->lock(two.b, BS_LOCK_SHARED, BYTE_62 + 3, 1, err));
    CHECK_OK(two.a->ops->count_sharers(two.a, &count, err));
    CHECK_EQ(count, 1);
    CHECK_OK(two.b->ops->share(two.b, BS_LOCK_NONE, err));
    CHECK_OK(two.a->ops->count_sharers(two.a, &count, err));
    CHECK_EQ(count, 0);
    CHECK_EQ(two.a->ops->share(two.a, BS_LOCK_EXCLUSIVE, NULL), BASALT_BAD_ARGUMENT);
    close_both(&two);
}

/* ---- what only memory does ------------------------------------------------------------------- */

TEST(vfs_memory, permission_bits_are_asked_as_of_an_ordinary_user)
{
    struct vfs_case at;
    struct bs_file *other = NULL;
    REQUIRE(case_begin(&at, false, "modes"));
    struct bs_file *file = case_open(&at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_OK(file->ops->set_mode(file, 0444, err));
    CHECK_OK(bs_file_write_at(file, "a", 1, 0, err)); /* what is open stays open */
    CHECK_EQ(bs_file_open(at.vfs, case_path(&at, "x"), BS_OPEN_WRITE, &other, &at.error),
        BASALT_IO_ERROR);
    CHECK(!other);
    other = case_open(&at, "x", BS_OPEN_READ);
    REQUIRE(other);
    CHECK_OK(other->ops->set_mode(other, 0, err));
    bs_file_close(other);
    CHECK_EQ(
        bs_file_open(at.vfs, case_path(&at, "x"), BS_OPEN_READ, &other, NULL), BASALT_IO_ERROR);
    bs_file_close(file);
    bs_vfs_free(at.vfs);
}

TEST(vfs_memory, a_lent_buffer_stays_where_it_is)
{
    struct vfs_case at;
    struct bs_log_memory memory;
    REQUIRE(case_begin(&at, false, "lent"));
    struct bs_file *file = case_open(&at, "x", CASE_CREATE);
    REQUIRE(file);
    REQUIRE_OK(file->ops->reserve(file, 10000, err));
    REQUIRE_OK(file->ops->lend_log(file, 10000, &memory, err));
    CHECK_EQ(bs_file_write_at(file, "a", 1, 1 << 20, &at.error), BASALT_UNSUPPORTED);
    CHECK(strstr(at.error.message, "lent"));
    CHECK_EQ(file->ops->reserve(file, 1 << 20, NULL), BASALT_UNSUPPORTED);
    CHECK_OK(file->ops->set_size(file, 0, err));
    memory.bytes[9999] = 1; /* still ours */
    file->ops->return_log(file, &memory);
    CHECK_OK(bs_file_write_at(file, "a", 1, 1 << 20, err));
    bs_file_close(file);
    bs_vfs_free(at.vfs);
}

TEST(vfs_memory, a_size_beyond_memory_is_an_error)
{
    struct vfs_case at;
    REQUIRE(case_begin(&at, false, "huge"));
    struct bs_file *file = case_open(&at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_EQ(file->ops->set_size(file, INT64_MAX - 10, &at.error), BASALT_NO_MEMORY);
    CHECK_EQ(bs_file_write_at(file, "a", 1, INT64_MAX - 10, &at.error), BASALT_NO_MEMORY);
    bs_file_close(file);
    bs_vfs_free(at.vfs);
}

TEST(vfs_memory, deep_trees_are_freed_without_depth)
{
    struct bs_vfs *vfs = NULL;
    const int64_t live = test_live_allocations();
    char path[4000] = "";
    REQUIRE_OK(bs_vfs_memory_create(&vfs, err));
    for (size_t depth = 0; depth < 1000; depth++) {
        snprintf(path + strlen(path), sizeof path - strlen(path), "/d");
        CHECK_OK(vfs->ops->make_directory(vfs, path, err));
    }
    bs_vfs_free(vfs);
    CHECK_EQ(test_live_allocations(), live);
}

enum { WORKERS = 4, ROUNDS = 300 };

struct worker {
    struct vfs_case *at;
    unsigned number;
    atomic_uint *inside;
};

/* Files come, go and move; an exclusive byte admits one thread at a time. */
static void work(void *context)
{
    struct worker *self = context;
    struct bs_vfs *vfs = self->at->vfs;
    char own[400], moved[400], shared[400];
    snprintf(own, sizeof own, "%s/own%u", self->at->directory, self->number);
    snprintf(moved, sizeof moved, "%s/moved%u", self->at->directory, self->number);
    snprintf(shared, sizeof shared, "%s/shared", self->at->directory);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct bs_file *file = NULL;
        uint64_t found = 0;
        const uint64_t value = ((uint64_t)self->number << 32) | round;
        CHECK_OK(bs_file_open(vfs, own, CASE_CREATE | BS_OPEN_EXCLUSIVE, &file, err));
        CHECK_OK(bs_file_write_at(file, &value, sizeof value, round, err));
        CHECK_OK(vfs->ops->rename(vfs, own, moved, true, err));
        CHECK_OK(bs_file_read_all_at(file, &found, sizeof found, round, err));
        CHECK(found == value);
        bs_file_close(file);

        CHECK_OK(bs_file_open(vfs, shared, CASE_CREATE, &file, err));
        if (file->ops->lock(file, BS_LOCK_EXCLUSIVE, 0, 1, NULL) == BASALT_OK) {
            CHECK_EQ(atomic_fetch_add(self->inside, 1), 0);
            CHECK_OK(bs_file_write_at(file, &value, sizeof value, 8 * (round % 16), err));
            atomic_fetch_sub(self->inside, 1);
        }
        bs_file_close(file);
        CHECK_OK(vfs->ops->remove(vfs, moved, err));
    }
}

TEST(vfs_memory, threads_may_do_anything_at_once)
{
    struct vfs_case at;
    struct worker workers[WORKERS];
    struct bs_thread *threads[WORKERS] = {0};
    atomic_uint inside = 0;
    REQUIRE(case_begin(&at, false, "threads"));
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){&at, i, &inside};
        CHECK_OK(bs_thread_start("worker", work, &workers[i], &threads[i], err));
    }
    for (unsigned i = 0; i < WORKERS; i++) bs_thread_join(threads[i]);
    bs_vfs_free(at.vfs);
}

struct log_writer {
    struct bs_log_memory memory;
};

static void store_bytes(void *context)
{
    const struct log_writer *self = context;
    for (size_t i = 0; i < self->memory.capacity_bytes; i++) self->memory.bytes[i] = 7;
}

/* A log is read while it is written, as through a mapping: never torn beyond a byte. */
TEST_BOTH(a_log_is_read_while_its_memory_is_stored_into)
{
    struct log_writer writer;
    struct bs_thread *thread = NULL;
    static uint8_t out[65536];
    struct bs_file *file = case_open(at, "log", CASE_CREATE);
    REQUIRE(file);
    REQUIRE_OK(file->ops->reserve(file, sizeof out, err));
    REQUIRE_OK(file->ops->lend_log(file, sizeof out, &writer.memory, err));
    REQUIRE_OK(bs_thread_start("writer", store_bytes, &writer, &thread, err));
    for (unsigned round = 0; round < 20; round++) {
        CHECK_OK(bs_file_read_all_at(file, out, sizeof out, 0, err));
        for (size_t i = 0; i < sizeof out; i++) CHECK(out[i] == 0 || out[i] == 7);
    }
    bs_thread_join(thread);
    CHECK_OK(bs_file_read_all_at(file, out, sizeof out, 0, err));
    CHECK_EQ(out[sizeof out - 1], 7);
    file->ops->return_log(file, &writer.memory);
    bs_file_close(file);
}
