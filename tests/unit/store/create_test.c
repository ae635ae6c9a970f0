/* create_test.c - what a process that died while it made a store has left. */
#include "tests/unit/store/store_help.h"

static void put(struct bs_vfs *vfs, const char *path, const void *bytes, size_t count)
{
    struct bs_file *file = NULL;
    REQUIRE_OK(bs_file_open(vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE, &file, err));
    if (count) CHECK_OK(bs_file_write_at(file, bytes, count, 0, err));
    bs_file_close(file);
}

static void open_and_close(struct help_env *env, const char *path, basalt_access access)
{
    const basalt_store_options options = help_options(access);
    struct bs_store *store = NULL;
    REQUIRE_OK(bs_store_open(&env->parts, path, &options, &store, err));
    CHECK_OK(bs_store_close(&store, err));
}

TEST(create, leftovers_of_dead_creations_go)
{
    static const uint8_t begun[48] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 2, 8, 8};
    static const uint8_t zeros[5000];
    static const char TEXT[] = "somebody's own";
    static const char *const STAY[] = {"/a.h5.new-00000000000000ff", "/a.h5.new-0", "/a.h5.new-",
        "/a.h5.new-00000000000000FF", "/b.h5.new-0000000000000001", "/a.h5.new-0000000000000004"};
    struct help_env env;
    help_env_open(&env, NULL, 0);
    struct bs_vfs *vfs = env.parts.vfs;
    for (unsigned round = 0; round < 2; round++) {
        struct bs_file *held = NULL;
        put(vfs, "/a.h5.new-0000000000000001", NULL, 0);
        put(vfs, "/a.h5.new-0000000000000002", zeros, sizeof zeros);
        put(vfs, "/a.h5.new-0000000000000003", begun, sizeof begun);
        for (size_t i = 1; i < BS_ARRAY_LENGTH(STAY); i++) put(vfs, STAY[i], NULL, 0);
        put(vfs, STAY[0], TEXT, sizeof TEXT);
        REQUIRE_OK(bs_file_open(vfs, STAY[5], BS_OPEN_WRITE, &held, err)); /* at work */
        CHECK_OK(held->ops->lock(held, BS_LOCK_EXCLUSIVE, ((uint64_t)1 << 62) - 1, 1, err));
        open_and_close(&env, "/a.h5", round ? BASALT_READ_WRITE : BASALT_CREATE_NEW);
        CHECK(!help_exists(vfs, "/a.h5.new-0000000000000001"));
        CHECK(!help_exists(vfs, "/a.h5.new-0000000000000002"));
        CHECK(!help_exists(vfs, "/a.h5.new-0000000000000003"));
        for (size_t i = 0; i < BS_ARRAY_LENGTH(STAY); i++) CHECK(help_exists(vfs, STAY[i]));
        bs_file_close(held);
    }
    open_and_close(&env, "/a.h5", BASALT_READ_WRITE);
    CHECK(!help_exists(vfs, STAY[5])); /* nobody is at work any more */
    help_env_close(&env);
}

TEST(create, a_failure_names_the_file_that_was_asked_for)
{
    struct help_env env;
    struct bs_vfs *vfs = NULL;
    basalt_error why = {0};
    struct bs_store *store = NULL;
    const basalt_store_options options = help_options(BASALT_CREATE_NEW);
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    help_env_open(&env, vfs, 0);
    const char *path = "/proc/basalt-cannot-be-made.h5"; /* nobody makes a file there */
    CHECK(bs_store_open(&env.parts, path, &options, &store, &why) != BASALT_OK);
    CHECK(strstr(why.message, path) && !strstr(why.message, ".new-"));
    CHECK(why.os_errno != 0);
    help_env_close(&env);
}
