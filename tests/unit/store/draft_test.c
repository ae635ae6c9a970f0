/* draft_test.c - a file is what it was until the one that replaces it is whole, whatever fails. */
#include "tests/harness/faulty_vfs.h"
#include "tests/unit/store/store_help.h"

#include <errno.h>

#define OLD_ROWS 700
#define NEW_ROWS 3000
#define TARGET "/x.h5"

static basalt_status write_draft(
    struct help_env *env, const struct help_schema *schema, uint64_t rows, basalt_error *error)
{
    const basalt_store_options options = help_options(BASALT_CREATE_NEW);
    struct bs_draft *draft = NULL;
    basalt_status status = bs_part_target_check(env->parts.vfs, TARGET, true, error);
    if (!status) status = bs_draft_open(&env->parts, TARGET, &options, &draft, error);
    if (!status) {
        status = bs_store_family_create(bs_draft_store(draft), "a", &schema->root, NULL, error);
    }
    for (uint64_t at = 0; !status && at < rows; at += 500) {
        const uint64_t count = BS_MIN(500, rows - at);
        status = help_append(bs_draft_store(draft), "a", schema, at, count, BASALT_VOLATILE, error);
    }
    if (!status) status = bs_draft_place(&draft, true, error);
    bs_draft_discard(draft);
    return status;
}

static uint64_t rows_of(struct help_env *env, const struct help_schema *schema)
{
    const basalt_store_options options = help_options(BASALT_READ_CHECKPOINT);
    struct bs_store *store = NULL;
    basalt_family_info info = {0};
    CHECK_OK(bs_store_open(&env->parts, TARGET, &options, &store, err));
    if (!store) return 0;
    CHECK_OK(bs_store_family_info(store, "a", &info, err));
    help_check_rows(store, NULL, "a", schema, info.rows);
    CHECK_OK(bs_store_close(&store, err));
    return info.rows;
}

static basalt_status count_file(void *context, const char *name, basalt_error *unused)
{
    (void)name;
    (void)unused;
    ++*(unsigned *)context;
    return BASALT_OK;
}

static unsigned files_in(struct bs_vfs *vfs)
{
    unsigned count = 0;
    CHECK_OK(vfs->ops->list(vfs, "/", count_file, &count, err));
    return count;
}

TEST(draft, replaces_a_file_when_it_is_whole)
{
    struct help_env env;
    struct help_schema schema;
    struct bs_draft *draft = NULL;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g?,note:u");
    REQUIRE_OK(write_draft(&env, &schema, OLD_ROWS, err));
    CHECK_EQ(rows_of(&env, &schema), OLD_ROWS);
    REQUIRE_OK(bs_draft_open(&env.parts, TARGET, NULL, &draft, err));
    CHECK_OK(bs_store_family_create(bs_draft_store(draft), "a", &schema.root, NULL, err));
    CHECK_OK(help_append(bs_draft_store(draft), "a", &schema, 0, 100, BASALT_VOLATILE, err));
    CHECK_EQ(rows_of(&env, &schema), OLD_ROWS);
    bs_draft_discard(draft);
    CHECK_EQ(files_in(env.parts.vfs), 1);
    CHECK_EQ(rows_of(&env, &schema), OLD_ROWS);
    CHECK_OK(write_draft(&env, &schema, NEW_ROWS, err));
    CHECK_EQ(rows_of(&env, &schema), NEW_ROWS);
    CHECK_EQ(files_in(env.parts.vfs), 1);
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(draft, what_is_in_use_is_not_replaced)
{
    struct help_env env;
    const basalt_store_options options = help_options(BASALT_READ_WRITE);
    struct help_schema schema;
    struct bs_store *store = NULL;
    help_env_open(&env, NULL, 0);
    struct bs_vfs *vfs = env.parts.vfs;
    help_schema_open(&schema, "t:l");
    REQUIRE_OK(write_draft(&env, &schema, OLD_ROWS, err));
    REQUIRE_OK(bs_store_open(&env.parts, TARGET, &options, &store, err));
    CHECK_EQ(bs_part_target_check(vfs, TARGET, true, NULL), BASALT_BUSY);
    CHECK_OK(help_append(store, "a", &schema, OLD_ROWS, 5, BASALT_BUFFERED, err));
    bs_store_abandon(store); /* its log stays */
    CHECK_EQ(bs_part_target_check(vfs, TARGET, true, NULL), BASALT_CONFLICT);
    CHECK_EQ(bs_part_target_check(vfs, TARGET, false, NULL), BASALT_EXISTS);
    CHECK_OK(vfs->ops->make_directory(vfs, "/folder", err));
    CHECK_EQ(bs_part_target_check(vfs, "/folder", true, NULL), BASALT_BAD_ARGUMENT);
    CHECK_OK(bs_part_target_check(vfs, "/none", true, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

static void fail_each(const struct faulty_options *options)
{
    unsigned failed = 0;
    struct bs_vfs *memory = NULL;
    struct help_env env;
    struct help_schema schema;
    REQUIRE_OK(bs_vfs_memory_create(&memory, err));
    help_env_open(&env, faulty_create(memory, options), 0);
    help_schema_open(&schema, "t:l,x:g?,note:u");
    REQUIRE_OK(write_draft(&env, &schema, OLD_ROWS, err));
    EACH_FAULT (step) {
        const int64_t before = test_live_allocations();
        basalt_error why = {0};
        const basalt_status status = write_draft(&env, &schema, NEW_ROWS, &why);
        fault_stop();
        failed += status != BASALT_OK;
        if (status) CHECK_EQ(why.status, status);
        const uint64_t rows = rows_of(&env, &schema);
        /* Only a directory that could not be synced is no success, and yet the new file. */
        CHECK(rows == NEW_ROWS || (status && rows == OLD_ROWS));
        CHECK_OK(write_draft(&env, &schema, OLD_ROWS, err)); /* nothing is in its way */
        CHECK_EQ(rows_of(&env, &schema), OLD_ROWS);
        CHECK_EQ(files_in(memory), 1);
        CHECK_EQ(test_live_allocations(), before);
        CHECK_EQ(bs_budget_taken(env.parts.budget), 0);
    }
    CHECK(failed > 50);
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(draft, each_step_may_fail)
{
    fail_each(NULL);
}

TEST(draft, half_writes_and_a_full_disk)
{
    const struct faulty_options options = {.os_errno = ENOSPC,
        .operations = FAULTY_WRITE | FAULTY_SET_SIZE | FAULTY_RESERVE | FAULTY_SYNC,
        .partial_writes = true,
        .no_log_memory = true};
    fail_each(&options);
}
