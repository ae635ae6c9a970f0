/* faulty_vfs_test.c - each operation fails in its turn, with the reason asked for, and the rest pass. */
#include "tests/harness/faulty_vfs.h"

#include "tests/harness/test.h"

#include <errno.h>

static basalt_status ignore_name(void *context, const char *name, basalt_error *err)
{
    (void)context;
    (void)name;
    (void)err;
    return BASALT_OK;
}

static basalt_status use_vfs(struct bs_vfs *vfs, struct bs_file **out_file, basalt_error *err)
{
    struct bs_file_info info = {0};
    basalt_status status = BASALT_OK;
    char *path = NULL;
    BS_TRY(vfs->ops->make_directory(vfs, "/d", err));
    BS_TRY(bs_file_open(vfs, "/d/a", BS_OPEN_WRITE | BS_OPEN_CREATE, out_file, err));
    BS_TRY(vfs->ops->sync_directory(vfs, "/d", err));
    BS_TRY(vfs->ops->rename(vfs, "/d/a", "/d/b", true, err));
    BS_TRY(vfs->ops->info(vfs, "/d/b", &info, err));
    BS_TRY(vfs->ops->list(vfs, "/d", ignore_name, NULL, err));
    BS_TRY(vfs->ops->real_path(vfs, "/d/b", &path, err));
    BS_TRY(vfs->ops->remove(vfs, "/d/b", err));
out:
    bs_free(path);
    return status;
}

static basalt_status use_file(struct bs_file *file, basalt_error *err)
{
    const struct bs_file_ops *ops = file->ops;
    struct bs_log_memory memory = {0};
    struct bs_lock_holder holder;
    struct bs_file_info info;
    char text[8];
    size_t got = 0;
    unsigned sharers = 0;
    basalt_status status = BASALT_OK;
    BS_TRY(ops->share(file, BS_LOCK_SHARED, err));
    BS_TRY(ops->count_sharers(file, &sharers, err));
    BS_TRY(ops->lock(file, BS_LOCK_EXCLUSIVE, 1, 1, err));
    BS_TRY(ops->probe(file, BS_LOCK_SHARED, 1, 1, &holder, err));
    BS_TRY(bs_file_write_at(file, "12345678", 8, 0, err));
    BS_TRY(ops->read_at(file, text, 8, 0, &got, err));
    BS_TRY(bs_file_sync(file, err));
    BS_TRY(ops->info(file, &info, err));
    BS_TRY(ops->set_size(file, 100, err));
    BS_TRY(ops->reserve(file, 4096, err));
    BS_TRY(ops->set_mode(file, 0600, err));
    BS_TRY(ops->lend_log(file, 4096, &memory, err));
    ops->mark_dirty(file, &memory, 0, 1);
out:
    if (memory.bytes) ops->return_log(file, &memory);
    return status;
}

TEST(faulty, every_operation_fails_in_turn)
{
    const int64_t before = test_live_allocations();
    uint64_t failed = 0, runs = 0;
    EACH_FAULT (step) {
        struct bs_vfs *memory = NULL;
        struct bs_file *file = NULL;
        basalt_error error = {0};
        if (bs_vfs_memory_create(&memory, NULL)) continue;
        struct bs_vfs *vfs = faulty_create(memory, &(struct faulty_options){.os_errno = ENOSPC});
        basalt_status status = use_vfs(vfs, &file, &error);
        if (!status) status = use_file(file, &error);
        if (faulty_failures(vfs)) {
            failed++;
            CHECK_EQ(faulty_failures(vfs), 1);
            CHECK_EQ(status, BASALT_NO_SPACE);
            CHECK_EQ(error.os_errno, ENOSPC);
        }
        bs_file_close(file);
        bs_vfs_free(vfs);
        CHECK_EQ(test_live_allocations(), before);
        runs++;
    }
    CHECK_EQ(failed, 20); /* operations in the two functions above */
    CHECK(runs > failed);
}

TEST(faulty, only_the_chosen_operations_fail)
{
    uint64_t failed = 0;
    EACH_FAULT (step) {
        struct bs_vfs *memory = NULL;
        struct bs_file *file = NULL;
        if (bs_vfs_memory_create(&memory, NULL)) continue;
        struct bs_vfs *vfs =
            faulty_create(memory, &(struct faulty_options){.operations = FAULTY_SYNC});
        basalt_error error = {0};
        basalt_status status = use_vfs(vfs, &file, &error);
        if (!status) status = use_file(file, &error);
        if (faulty_failures(vfs)) {
            failed++;
            CHECK(strstr(error.message, "sync") != NULL);
            CHECK_EQ(error.os_errno, EIO);
        }
        bs_file_close(file);
        bs_vfs_free(vfs);
    }
    CHECK_EQ(failed, 1);
}

TEST(faulty, reads_are_cut_and_writes_are_done_in_part)
{
    EACH_FAULT (step) {
        struct bs_vfs *memory = NULL;
        struct bs_file *file = NULL;
        if (bs_vfs_memory_create(&memory, NULL)) continue;
        struct bs_vfs *vfs = faulty_create(memory,
            &(struct faulty_options){.operations = FAULTY_READ | FAULTY_WRITE,
                .cut_reads = true,
                .partial_writes = true});
        if (!bs_file_open(vfs, "/x", BS_OPEN_WRITE | BS_OPEN_CREATE, &file, NULL)) {
            char text[8] = "";
            size_t got = 0;
            const basalt_status status = bs_file_write_at(file, "12345678", 8, 0, NULL);
            const uint64_t failed = faulty_failures(vfs);
            if (failed) CHECK_EQ(status, BASALT_IO_ERROR);
            if (failed || !status) {
                CHECK_EQ(file->ops->read_at(file, text, 8, 0, &got, NULL), BASALT_OK);
                CHECK_EQ(got, faulty_failures(vfs) ? 4 : 8);
                CHECK_EQ(memcmp(text, "12345678", got), 0);
            }
        }
        bs_file_close(file);
        bs_vfs_free(vfs);
    }
}

TEST(faulty, abilities_can_be_refused)
{
    struct bs_vfs *memory = NULL;
    struct bs_file *file = NULL;
    struct bs_log_memory lent;
    REQUIRE_OK(bs_vfs_memory_create(&memory, err));
    struct bs_vfs *vfs =
        faulty_create(memory, &(struct faulty_options){.no_log_memory = true, .no_reserve = true});
    CHECK(!vfs->traits.log_memory);
    REQUIRE_OK(bs_file_open(vfs, "/x", BS_OPEN_WRITE | BS_OPEN_CREATE, &file, err));
    CHECK_EQ(file->ops->reserve(file, 10, NULL), BASALT_UNSUPPORTED);
    CHECK_EQ(file->ops->lend_log(file, 10, &lent, NULL), BASALT_UNSUPPORTED);
    CHECK(lent.bytes == NULL);
    bs_file_close(file);
    bs_vfs_free(vfs);
}
