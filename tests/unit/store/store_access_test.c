/* store_access_test.c - who may open what: writers, readers beside them, crashed and foreign files. */
#include "tests/unit/store/store_help.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void local_env(struct help_env *env)
{
    struct bs_vfs *vfs = NULL;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    help_env_open(env, vfs, 0);
}

static basalt_status try_open(
    struct help_env *env, const char *path, basalt_access access, basalt_error *out_err)
{
    const basalt_store_options options = help_options(access);
    struct bs_store *store = NULL;
    const basalt_status status = bs_store_open(&env->parts, path, &options, &store, out_err);
    if (!status) CHECK_OK(bs_store_close(&store, err));
    return status;
}

static struct bs_store *make(
    struct help_env *env, const char *path, const struct help_schema *schema, uint64_t rows)
{
    basalt_store_options options = help_options(BASALT_CREATE_NEW);
    struct bs_store *store = NULL;
    CHECK_OK(bs_store_open(&env->parts, path, &options, &store, err));
    if (!store) return NULL;
    CHECK_OK(bs_store_family_create(store, "a", &schema->root, NULL, err));
    CHECK_OK(help_append(store, "a", schema, 0, rows, BASALT_BUFFERED, err));
    return store;
}

static void write_file(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file);
    CHECK_EQ(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

TEST(store_access, access_modes)
{
    struct help_env env;
    struct help_schema schema;
    const char *path = test_path("modes.h5");
    local_env(&env);
    help_schema_open(&schema, "t:l");
    CHECK_EQ(try_open(&env, path, BASALT_READ_WRITE, NULL), BASALT_NOT_FOUND);
    CHECK_EQ(try_open(&env, path, BASALT_READ_CHECKPOINT, NULL), BASALT_NOT_FOUND);
    CHECK_EQ(try_open(&env, path, BASALT_READ_FRESH, NULL), BASALT_NOT_FOUND);
    CHECK_OK(try_open(&env, path, BASALT_READ_WRITE_CREATE, err));
    CHECK_EQ(try_open(&env, path, BASALT_CREATE_NEW, NULL), BASALT_EXISTS);
    CHECK_OK(try_open(&env, path, BASALT_READ_WRITE, err));
    CHECK_OK(try_open(&env, path, BASALT_READ_CHECKPOINT, err));
    CHECK_OK(try_open(&env, path, BASALT_READ_FRESH, err));
    CHECK_EQ(try_open(&env, test_directory(), BASALT_READ_WRITE, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(try_open(&env, test_directory(), BASALT_READ_CHECKPOINT, NULL), BASALT_BAD_ARGUMENT);
    const basalt_store_options reading = help_options(BASALT_READ_FRESH);
    struct bs_store *store = NULL;
    REQUIRE_OK(bs_store_open(&env.parts, path, &reading, &store, err));
    CHECK_EQ(bs_store_family_create(store, "x", &schema.root, NULL, NULL), BASALT_READ_ONLY);
    CHECK_EQ(bs_store_checkpoint(store, NULL), BASALT_READ_ONLY);
    CHECK_EQ(bs_store_sync(store, NULL), BASALT_READ_ONLY);
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

/* Locks are between open file descriptions, so two opens in one process are as two processes. */
TEST(store_access, a_second_writer_is_refused_by_any_name)
{
    struct help_env env;
    struct help_schema schema;
    basalt_error why = {0};
    const char *path = test_path("one.h5"), *link_path = test_path("link.h5");
    local_env(&env);
    help_schema_open(&schema, "t:l");
    struct bs_store *store = make(&env, path, &schema, 10);
    REQUIRE(store);
    CHECK_EQ(try_open(&env, path, BASALT_READ_WRITE, &why), BASALT_BUSY);
    CHECK(strstr(why.message, "process "));
    REQUIRE(!symlink(path, link_path));
    CHECK_EQ(try_open(&env, link_path, BASALT_READ_WRITE, &why), BASALT_BUSY);
    CHECK(strstr(why.message, "process "));
    REQUIRE(!unlink(link_path));
    REQUIRE(!link(path, link_path));
    CHECK_EQ(try_open(&env, link_path, BASALT_READ_WRITE, &why), BASALT_UNSUPPORTED);
    basalt_store_options options = help_options(BASALT_READ_WRITE);
    options.allow_hard_links = true;
    struct bs_store *second = NULL;
    CHECK_EQ(bs_store_open(&env.parts, link_path, &options, &second, &why), BASALT_BUSY);
    basalt_inspection inspection;
    CHECK_OK(bs_store_inspect(env.parts.vfs, path, &inspection, err));
    CHECK(inspection.writing);
    CHECK(!inspection.crashed);
    CHECK(strstr(inspection.holder, "process "));
    REQUIRE(!unlink(link_path));
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store_access, a_forked_child_is_refused)
{
    struct help_env env;
    struct help_schema schema;
    local_env(&env);
    help_schema_open(&schema, "t:l");
    struct bs_store *store = make(&env, test_path("fork.h5"), &schema, 10);
    REQUIRE(store);
    const pid_t child = fork();
    if (!child) {
        struct bs_snapshot *snapshot = NULL;
        const bool right =
            help_append(store, "a", &schema, 10, 1, BASALT_BUFFERED, NULL) == BASALT_BAD_ARGUMENT &&
            bs_snapshot_create(store, &snapshot, NULL) == BASALT_BAD_ARGUMENT &&
            bs_store_checkpoint(store, NULL) == BASALT_BAD_ARGUMENT &&
            bs_store_close(&store, NULL) == BASALT_BAD_ARGUMENT && store;
        _exit(right ? 0 : 1);
    }
    int code = 1;
    waitpid(child, &code, 0);
    CHECK_EQ(code, 0);
    help_check_rows(store, NULL, "a", &schema, 10);
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store_access, readers_beside_a_writer)
{
    struct help_env env;
    struct help_schema schema;
    const char *path = test_path("beside.h5");
    local_env(&env);
    help_schema_open(&schema, "t:l,x:g?,note:u?");
    struct bs_store *store = make(&env, path, &schema, 1000);
    REQUIRE(store);
    CHECK_OK(bs_store_checkpoint(store, err));
    CHECK_OK(help_append(store, "a", &schema, 1000, 500, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_set_attribute(store, "a", "k", "v", err));
    const basalt_store_options checkpoint = help_options(BASALT_READ_CHECKPOINT);
    const basalt_store_options fresh = help_options(BASALT_READ_FRESH);
    struct bs_store *old = NULL, *new = NULL;
    REQUIRE_OK(bs_store_open(&env.parts, path, &checkpoint, &old, err));
    REQUIRE_OK(bs_store_open(&env.parts, path, &fresh, &new, err));
    help_check_rows(old, NULL, "a", &schema, 1000);
    help_check_rows(new, NULL, "a", &schema, 1500);
    char *value = NULL;
    CHECK_EQ(bs_store_get_attribute(old, "a", "k", &value, NULL), BASALT_NOT_FOUND);
    CHECK_OK(bs_store_get_attribute(new, "a", "k", &value, err));
    CHECK_TEXT(value, "v");
    bs_free(value);
    /* What the readers have pinned stays, however often the writer flips. */
    for (unsigned i = 0; i < 20; i++) {
        CHECK_OK(help_append(store, "a", &schema, 1500 + i * 900, 900, BASALT_BUFFERED, err));
        CHECK_OK(bs_store_checkpoint(store, err));
        help_check_rows(old, NULL, "a", &schema, 1000);
        help_check_rows(new, NULL, "a", &schema, 1500);
    }
    CHECK_OK(bs_store_close(&old, err));
    CHECK_OK(bs_store_close(&new, err));
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store_access, a_crashed_store_is_read_without_a_change)
{
    struct help_env env;
    struct help_schema schema;
    struct bs_file_info before, after;
    const char *path = test_path("crashed.h5");
    local_env(&env);
    help_schema_open(&schema, "t:l,x:g?");
    struct bs_store *store = make(&env, path, &schema, 1000);
    REQUIRE(store);
    bs_store_abandon(store);
    REQUIRE_OK(env.parts.vfs->ops->info(env.parts.vfs, path, &before, err));
    CHECK_EQ(before.mode & 0222, 0); /* protected while a log exists */
    const basalt_store_options fresh = help_options(BASALT_READ_FRESH);
    REQUIRE_OK(bs_store_open(&env.parts, path, &fresh, &store, err));
    help_check_rows(store, NULL, "a", &schema, 1000);
    CHECK_OK(bs_store_close(&store, err));
    REQUIRE_OK(env.parts.vfs->ops->info(env.parts.vfs, path, &after, err));
    CHECK_EQ(before.size_bytes, after.size_bytes);
    CHECK_EQ(before.modified_ns, after.modified_ns);
    /* A torn first sector: what the log tells of is read, and recovery mends it. */
    struct bs_file *file = NULL;
    uint8_t garbage[512];
    memset(garbage, 0xA5, sizeof garbage);
    CHECK(!chmod(path, 0644));
    REQUIRE_OK(bs_file_open(env.parts.vfs, path, BS_OPEN_WRITE, &file, err));
    CHECK_OK(bs_file_write_at(file, garbage, sizeof garbage, 0, err));
    bs_file_close(file);
    REQUIRE_OK(bs_store_open(&env.parts, path, &fresh, &store, err));
    help_check_rows(store, NULL, "a", &schema, 1000);
    CHECK_OK(bs_store_close(&store, err));
    basalt_recovery recovery;
    CHECK_OK(bs_store_recover(&env.parts, path, false, &recovery, err));
    CHECK(recovery.superblock_restored);
    CHECK_EQ(recovery.rows_replayed, 1000);
    CHECK_OK(env.parts.vfs->ops->info(env.parts.vfs, path, &after, err));
    CHECK_EQ(after.mode & 0200, 0200);
    help_schema_close(&schema);
    help_env_close(&env);
}

/* Every file of the log, as a user would who moves a store. */
static void move_log(const char *from, const char *to)
{
    unsigned moved = 0;
    for (unsigned number = 1; number < 10; number++) {
        char old_name[4096], new_name[4096];
        snprintf(old_name, sizeof old_name, "%s-log.%u", from, number);
        snprintf(new_name, sizeof new_name, "%s-log.%u", to, number);
        moved += rename(old_name, new_name) == 0;
    }
    CHECK(moved > 0);
}

TEST(store_access, a_file_replaced_under_a_writer_poisons_it)
{
    struct help_env env;
    struct help_schema schema;
    basalt_error why = {0};
    const char *path = test_path("moved.h5"), *away = test_path("away.h5");
    local_env(&env);
    help_schema_open(&schema, "t:l");
    struct bs_store *store = make(&env, path, &schema, 10);
    REQUIRE(store);
    REQUIRE(!rename(path, away));
    CHECK_EQ(bs_store_checkpoint(store, &why), BASALT_CONFLICT);
    CHECK_EQ(help_append(store, "a", &schema, 10, 10, BASALT_BUFFERED, &why), BASALT_CONFLICT);
    help_check_rows(store, NULL, "a", &schema, 10); /* reads go on */
    CHECK_EQ(bs_store_close(&store, &why), BASALT_CONFLICT);
    CHECK(!store);
    /* A log without its file, then the two together again. */
    CHECK_EQ(try_open(&env, path, BASALT_READ_WRITE_CREATE, &why), BASALT_CONFLICT);
    move_log(path, away);
    /* All of it: rows whose first log file is gone are not passed over. */
    const char *first = test_path("away.h5-log.1"), *aside = test_path("aside");
    REQUIRE(!rename(first, aside));
    CHECK_EQ(try_open(&env, away, BASALT_READ_WRITE, &why), BASALT_CONFLICT);
    CHECK(strstr(why.message, "put back") != NULL);
    REQUIRE(!rename(aside, first));
    const basalt_store_options options = help_options(BASALT_READ_WRITE);
    REQUIRE_OK(bs_store_open(&env.parts, away, &options, &store, err));
    help_check_rows(store, NULL, "a", &schema, 10);
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store_access, a_log_of_another_store_is_refused)
{
    struct help_env env;
    struct help_schema schema;
    basalt_error why = {0};
    struct stat unchanged, now;
    const char *path = test_path("mine.h5"), *other = test_path("other.h5");
    local_env(&env);
    help_schema_open(&schema, "t:l");
    CHECK_OK(try_open(&env, other, BASALT_CREATE_NEW, err));
    struct bs_store *store = make(&env, path, &schema, 10);
    REQUIRE(store);
    bs_store_abandon(store);
    move_log(path, other);
    REQUIRE(!stat(other, &unchanged));
    CHECK_EQ(try_open(&env, other, BASALT_READ_WRITE, &why), BASALT_CONFLICT);
    REQUIRE(!stat(other, &now));
    CHECK_EQ(unchanged.st_mtim.tv_nsec, now.st_mtim.tv_nsec);
    CHECK_EQ(unchanged.st_size, now.st_size);
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store_access, what_is_no_store_is_refused_by_name)
{
    struct help_env env;
    struct help_schema schema;
    basalt_error why = {0};
    const char *path = test_path("bad.h5"), *good = test_path("good.h5");
    local_env(&env);
    help_schema_open(&schema, "t:l,note:u");
    static const char TEXT[] = "t,x\n1,2\n3,4\n";
    write_file(path, TEXT, sizeof TEXT - 1);
    CHECK_EQ(try_open(&env, path, BASALT_READ_WRITE, &why), BASALT_NOT_HDF5);
    CHECK_EQ(try_open(&env, path, BASALT_READ_CHECKPOINT, &why), BASALT_NOT_HDF5);
    write_file(path, "", 0);
    CHECK_EQ(try_open(&env, path, BASALT_READ_WRITE, &why), BASALT_NOT_HDF5);
    struct bs_store *store = make(&env, good, &schema, 1000);
    REQUIRE(store);
    CHECK_OK(bs_store_close(&store, err));
    struct bs_file_info info;
    REQUIRE_OK(env.parts.vfs->ops->info(env.parts.vfs, good, &info, err));
    uint8_t *bytes = malloc(info.size_bytes);
    FILE *file = fopen(good, "rb");
    REQUIRE(file && bytes);
    CHECK_EQ(fread(bytes, 1, info.size_bytes, file), info.size_bytes);
    fclose(file);
    for (uint64_t cut = 1; cut < info.size_bytes; cut += info.size_bytes / 13) {
        write_file(path, bytes, cut);
        const basalt_status status = try_open(&env, path, BASALT_READ_WRITE, &why);
        CHECK(status == BASALT_CORRUPT || status == BASALT_NOT_HDF5);
        CHECK(why.message[0]);
        CHECK_EQ(try_open(&env, path, BASALT_READ_CHECKPOINT, &why), status);
    }
    free(bytes);
    help_schema_close(&schema);
    help_env_close(&env);
}
