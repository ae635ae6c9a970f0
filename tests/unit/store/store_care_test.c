/* store_care_test.c - backup, verify, attributes, projections, and the limits that the headers name. */
#include "tests/unit/store/store_help.h"

#include <stdio.h>
#include <stdlib.h>

static struct bs_store *open_store(struct help_env *env, const char *path, basalt_access access)
{
    const basalt_store_options options = help_options(access);
    struct bs_store *store = NULL;
    CHECK_OK(bs_store_open(&env->parts, path, &options, &store, err));
    return store;
}

static bool stop_at_half(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    unsigned *calls = context;
    ++*calls;
    return done_bytes * 2 < all_bytes;
}

static bool count_calls(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    CHECK(done_bytes <= all_bytes);
    ++*(unsigned *)context;
    return true;
}

static basalt_status count_name(void *context, const char *name, basalt_error *err)
{
    (void)err;
    *(unsigned *)context += strstr(name, "copy") != NULL;
    return BASALT_OK;
}

TEST(store_care, a_backup_of_a_live_store_has_the_rows_of_its_log)
{
    struct help_env env;
    struct help_schema schema;
    unsigned calls = 0, names = 0;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, HELP_ALL_TYPES);
    struct bs_store *store = open_store(&env, "/live.h5", BASALT_CREATE_NEW);
    REQUIRE(store);
    basalt_family_options options;
    bs_family_options_fill(&options, NULL);
    options.compression_level = 0;
    options.row_index = false;
    options.chunk_rows = 1000;
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, &options, err));
    CHECK_OK(bs_store_family_create(store, "empty", &schema.root, NULL, err));
    CHECK_OK(help_append(store, "a", &schema, 0, 3000, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_checkpoint(store, err));
    CHECK_OK(help_append(store, "a", &schema, 3000, 456, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_set_attribute(store, "a", "operator", "me", err));
    CHECK_OK(bs_store_set_attribute(store, NULL, "site", "here", err));
    CHECK_EQ(bs_store_backup(&env.parts, "/live.h5", "/live.h5", NULL, NULL, NULL), BASALT_EXISTS);
    CHECK_EQ(
        bs_store_backup(&env.parts, "/none.h5", "/copy.h5", NULL, NULL, NULL), BASALT_NOT_FOUND);
    CHECK_EQ(bs_store_backup(&env.parts, "/live.h5", "/copy.h5", stop_at_half, &calls, NULL),
        BASALT_CANCELLED);
    CHECK_OK(env.parts.vfs->ops->list(env.parts.vfs, "/", count_name, &names, err));
    CHECK_EQ(names, 0); /* nothing is left of it */
    calls = 0;
    CHECK_OK(bs_store_backup(&env.parts, "/live.h5", "/copy.h5", count_calls, &calls, err));
    CHECK(calls > 0);
    CHECK_OK(bs_store_close(&store, err));
    store = open_store(&env, "/copy.h5", BASALT_READ_WRITE);
    REQUIRE(store);
    help_check_rows(store, NULL, "a", &schema, 3456);
    help_check_rows(store, NULL, "empty", &schema, 0);
    basalt_family_info info;
    CHECK_OK(bs_store_family_info(store, "a", &info, err));
    CHECK_EQ(info.compression_level, 0);
    CHECK_EQ(info.chunk_rows, 1000);
    char *text = NULL;
    CHECK_OK(bs_store_get_attribute(store, "a", "operator", &text, err));
    CHECK_TEXT(text, "me");
    bs_free(text);
    CHECK_OK(bs_store_get_attribute(store, NULL, "site", &text, err));
    CHECK_TEXT(text, "here");
    bs_free(text);
    CHECK_OK(bs_store_close(&store, err));
    uint64_t faults = 1;
    CHECK_OK(bs_store_verify(&env.parts, "/copy.h5", NULL, NULL, NULL, &faults, err));
    CHECK_EQ(faults, 0);
    help_schema_close(&schema);
    help_env_close(&env);
}

static void make_part(struct help_env *env, const char *path, struct bs_store **out_store)
{
    struct help_schema schema;
    help_schema_open(&schema, HELP_ALL_TYPES);
    *out_store = open_store(env, path, BASALT_CREATE_NEW);
    REQUIRE(*out_store);
    CHECK_OK(bs_store_family_create(*out_store, "a", &schema.root, NULL, err));
    CHECK_OK(help_append(*out_store, "a", &schema, 0, 10, BASALT_BUFFERED, err));
    help_schema_close(&schema);
}

static void back_up(struct help_env *env)
{
    CHECK_OK(bs_store_backup(&env->parts, "/live.h5", "/copy.h5", NULL, NULL, err));
    CHECK_OK(env->parts.vfs->ops->remove(env->parts.vfs, "/copy.h5", err));
}

TEST(store_care, what_a_killed_backup_left_goes_with_the_next)
{
    static const char *const PARTS[] = {"/copy.h5.part-0000000000000001", /* killed */
        "/copy.h5.part-0000000000000002", /* killed between its close and its rename */
        "/copy.h5.part-0000000000000003", /* being written */
        "/copy.h5.part-0000000000000004", /* being put in place */
        "/copy.h5.part-5", "/other.h5.part-0000000000000006", /* of another name */
        "/copy.h5.part-0000000000000007"};                    /* not a store */
    struct help_env env;
    struct bs_store *stores[6] = {0}, *live = NULL;
    struct bs_file *held = NULL, *text = NULL;
    help_env_open(&env, NULL, 0);
    struct bs_vfs *vfs = env.parts.vfs;
    make_part(&env, "/live.h5", &live);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(stores); i++) {
        make_part(&env, PARTS[i], &stores[i]);
        if (i == 0) bs_store_abandon(stores[i]);
        if (i != 0 && i != 2) CHECK_OK(bs_store_close(&stores[i], err));
    }
    CHECK(help_exists(vfs, "/copy.h5.part-0000000000000001-log.1"));
    REQUIRE_OK(bs_file_open(vfs, PARTS[3], BS_OPEN_READ, &held, err));
    CHECK_OK(held->ops->lock(held, BS_LOCK_SHARED, ((uint64_t)1 << 62) - 2, 1, err));
    REQUIRE_OK(bs_file_open(vfs, PARTS[6], BS_OPEN_WRITE | BS_OPEN_CREATE, &text, err));
    CHECK_OK(bs_file_write_at(text, "mine", 4, 0, err));
    bs_file_close(text);
    back_up(&env);
    CHECK(!help_exists(vfs, PARTS[0]) && !help_exists(vfs, PARTS[1]));
    CHECK(!help_exists(vfs, "/copy.h5.part-0000000000000001-log.1"));
    for (size_t i = 2; i < BS_ARRAY_LENGTH(PARTS); i++) CHECK(help_exists(vfs, PARTS[i]));
    CHECK_OK(bs_store_close(&stores[2], err));
    bs_file_close(held);
    back_up(&env);
    CHECK(!help_exists(vfs, PARTS[2]) && !help_exists(vfs, PARTS[3]));
    for (size_t i = 4; i < BS_ARRAY_LENGTH(PARTS); i++) CHECK(help_exists(vfs, PARTS[i]));
    CHECK_OK(bs_store_close(&live, err));
    help_env_close(&env);
}

struct during {
    struct help_env *env;
    bool locked;
};

static void look_at_lock(struct during *during, const char *path)
{
    struct bs_file *file = NULL;
    struct bs_lock_holder holder = {0};
    REQUIRE_OK(bs_file_open(during->env->parts.vfs, path, BS_OPEN_READ, &file, err));
    CHECK_OK(file->ops->probe(file, BS_LOCK_EXCLUSIVE, ((uint64_t)1 << 62) - 2, 1, &holder, err));
    during->locked = holder.held;
    bs_file_close(file);
}

static basalt_status look_at_part(void *context, const char *name, basalt_error *unused)
{
    char path[64];
    (void)unused;
    snprintf(path, sizeof path, "/%s", name);
    if (strstr(name, ".part-") && !strstr(name, "-log.")) look_at_lock(context, path);
    return BASALT_OK;
}

static bool look_during(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct during *during = context;
    struct bs_vfs *vfs = during->env->parts.vfs;
    (void)done_bytes;
    (void)all_bytes;
    CHECK_OK(vfs->ops->list(vfs, "/", look_at_part, during, err));
    return true;
}

TEST(store_care, a_backup_holds_the_lock_of_its_copy)
{
    struct help_env env;
    struct bs_store *live = NULL;
    help_env_open(&env, NULL, 0);
    struct during during = {.env = &env};
    make_part(&env, "/live.h5", &live);
    CHECK_OK(bs_store_backup(&env.parts, "/live.h5", "/copy.h5", look_during, &during, err));
    CHECK(during.locked);
    CHECK_OK(bs_store_close(&live, err));
    help_env_close(&env);
}

static void note_fault(void *context, basalt_finding finding, const char *sentence)
{
    CHECK_EQ(finding, BASALT_FINDING_FAULT);
    CHECK(sentence[0]);
    ++*(unsigned *)context;
}

TEST(store_care, verify_finds_a_changed_byte)
{
    struct help_env env;
    struct help_schema schema;
    uint64_t state = 3;
    unsigned found = 0;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g");
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_CREATE_NEW);
    REQUIRE(store);
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    CHECK_OK(help_append(store, "a", &schema, 0, 20000, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_close(&store, err));
    struct bs_file *file = NULL;
    uint64_t bytes = 0;
    REQUIRE_OK(bs_file_open(env.parts.vfs, "/a.h5", BS_OPEN_WRITE, &file, err));
    REQUIRE_OK(bs_file_size(file, &bytes, err));
    for (unsigned i = 0; i < 60; i++) {
        const uint64_t at = 4096 + test_random(&state) % (bytes - 4096);
        uint8_t byte, changed;
        unsigned sentences = 0;
        uint64_t faults = 0;
        REQUIRE_OK(bs_file_read_all_at(file, &byte, 1, at, err));
        changed = byte ^ 0x10;
        CHECK_OK(bs_file_write_at(file, &changed, 1, at, err));
        const basalt_status status =
            bs_store_verify(&env.parts, "/a.h5", note_fault, NULL, &sentences, &faults, NULL);
        CHECK(status == BASALT_OK || status == BASALT_UNSUPPORTED);
        CHECK_EQ(faults, sentences);
        found += status || faults;
        CHECK_OK(bs_file_write_at(file, &byte, 1, at, err));
    }
    CHECK(found > 20); /* what is free may change unseen */
    bs_file_close(file);
    help_schema_close(&schema);
    help_env_close(&env);
}

static bool go_on_so_often(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    unsigned *left = context;
    CHECK(done_bytes <= all_bytes);
    return *left && (*left)--;
}

TEST(store_care, verify_ends_when_it_is_told_to)
{
    struct help_env env;
    struct help_schema schema;
    uint64_t faults = 0;
    unsigned left = 100;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g");
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_CREATE_NEW);
    REQUIRE(store);
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    for (uint64_t i = 0; i < 20; i++)
        CHECK_OK(help_append(store, "a", &schema, i * 20000, 20000, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_close(&store, err));
    CHECK_OK(bs_store_verify(&env.parts, "/a.h5", NULL, go_on_so_often, &left, &faults, err));
    CHECK_EQ(faults, 0);
    const unsigned asked = 100 - left;
    CHECK(asked > 3);
    for (unsigned i = 0; i + 1 < asked; i++) { /* at the end there is nothing left to stop */
        basalt_error why = {0};
        left = i;
        CHECK_EQ(bs_store_verify(&env.parts, "/a.h5", NULL, go_on_so_often, &left, &faults, &why),
            BASALT_CANCELLED);
        CHECK(strstr(why.message, "cancelled"));
    }
    help_schema_close(&schema);
    help_env_close(&env);
}

struct listed {
    char names[16][64];
    char values[16][64];
    unsigned count;
};

static bool list_attribute(void *context, const char *name, const char *value)
{
    struct listed *listed = context;
    if (listed->count == 16) return false;
    snprintf(listed->names[listed->count], 64, "%s", name);
    snprintf(listed->values[listed->count++], 64, "%s", value);
    return true;
}

static const char *value_of(const struct listed *listed, const char *name)
{
    const char *value = NULL;
    for (unsigned i = 0; i < listed->count; i++) {
        if (strcmp(listed->names[i], name) != 0) continue;
        CHECK(!value); /* each name once */
        value = listed->values[i];
    }
    return value ? value : "(none)";
}

TEST(store_care, attributes_from_memory_and_file)
{
    struct help_env env;
    struct help_schema schema;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l");
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_CREATE_NEW);
    REQUIRE(store);
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    for (unsigned round = 0; round < 3; round++) {
        struct listed listed = {0};
        CHECK_OK(bs_store_set_attribute(store, "a", "one", round ? "1b" : "1a", err));
        CHECK_OK(bs_store_set_attribute(store, "a", "one", round ? "1d" : "1c", err));
        if (round == 1) CHECK_OK(bs_store_set_attribute(store, "a", "two", "", err));
        CHECK_OK(bs_store_each_attribute(store, "a", list_attribute, &listed, err));
        CHECK_EQ(listed.count, round ? 4 : 3);
        CHECK_TEXT(value_of(&listed, "one"), round ? "1d" : "1c");
        CHECK_TEXT(value_of(&listed, "instrument_id"), "a");
        CHECK_TEXT(value_of(&listed, "two"), round ? "" : "(none)");
        CHECK(strlen(value_of(&listed, "created_at")) > 20);
        CHECK_OK(bs_store_checkpoint(store, err));
        listed = (struct listed){0};
        CHECK_OK(bs_store_each_attribute(store, "a", list_attribute, &listed, err));
        CHECK_TEXT(value_of(&listed, "one"), round ? "1d" : "1c");
    }
    CHECK_EQ(bs_store_set_attribute(store, "a", "encoding-type", "x", NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_store_set_attribute(store, "b", "k", "x", NULL), BASALT_NOT_FOUND);
    CHECK_EQ(bs_store_set_attribute(store, "a", "", "x", NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_store_set_attribute(store, "a", "\xFF", "x", NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_store_set_attribute(store, "a", "k", "\xFF", NULL), BASALT_BAD_ARGUMENT);
    char *large = calloc(1, 65000);
    REQUIRE(large);
    memset(large, 'x', 64000);
    CHECK_EQ(bs_store_set_attribute(store, NULL, "k", large, NULL), BASALT_TOO_LARGE);
    large[64000 - 1] = '\0';
    CHECK_OK(bs_store_set_attribute(store, NULL, "k", large, err));
    free(large);
    for (unsigned i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        const basalt_status status = bs_store_set_attribute(store, "a", name, "v", NULL);
        CHECK_EQ(status, i < 1000 - 4 ? BASALT_OK : BASALT_TOO_LARGE); /* 4 are there already */
    }
    CHECK_OK(bs_store_close(&store, err));
    store = open_store(&env, "/a.h5", BASALT_READ_WRITE);
    REQUIRE(store);
    CHECK_EQ(bs_store_set_attribute(store, "a", "one more", "v", NULL), BASALT_TOO_LARGE);
    CHECK_OK(bs_store_set_attribute(store, "a", "n7", "changed", err));
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store_care, projections_and_ranges)
{
    struct help_env env;
    struct help_schema schema, part;
    struct ArrowArrayStream stream = {0};
    basalt_scan_options options;
    static const char *const COLUMNS[] = {"note", "x"}, *const WRONG[] = {"x", "y"};
    static const size_t MAP[] = {2, 1};
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g?,note:u?");
    help_schema_open(&part, "note:u,x:g"); /* for its format only */
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_CREATE_NEW);
    REQUIRE(store);
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    for (unsigned i = 0; i < 4; i++) {
        CHECK_OK(help_append(store, "a", &schema, i * 250, 250, BASALT_BUFFERED, err));
        if (i == 1) CHECK_OK(bs_store_checkpoint(store, err));
    }
    bs_scan_options_fill(&options, NULL);
    options.columns = COLUMNS;
    options.column_count = 2;
    options.first_row = 123;
    options.row_count = 700;
    options.batch_rows = 64;
    struct bs_schema *wanted = NULL;
    const size_t indices[] = {2, 1};
    REQUIRE_OK(bs_schema_project(schema.schema, indices, 2, &wanted, err));
    REQUIRE_OK(bs_store_scan(store, NULL, "a", &options, &stream, err));
    help_check_stream(&stream, wanted, MAP, 123, 700);
    options.first_row = 5000;
    REQUIRE_OK(bs_store_scan(store, NULL, "a", &options, &stream, err));
    help_check_stream(&stream, wanted, MAP, 5000, 0);
    options.first_row = 990;
    REQUIRE_OK(bs_store_scan(store, NULL, "a", &options, &stream, err));
    help_check_stream(&stream, wanted, MAP, 990, 10);
    options.columns = WRONG;
    CHECK_EQ(bs_store_scan(store, NULL, "a", &options, &stream, NULL), BASALT_NOT_FOUND);
    CHECK(!stream.release);
    CHECK_EQ(bs_store_scan(store, NULL, "b", NULL, &stream, NULL), BASALT_NOT_FOUND);
    bs_schema_release(wanted);
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&part);
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store_care, limits_and_mismatches)
{
    struct help_env env;
    struct help_schema schema, other;
    struct ArrowArray array = {0};
    basalt_error why = {0};
    basalt_family_options options;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g");
    help_schema_open(&other, "t:l,x:f");
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_CREATE_NEW);
    REQUIRE(store);
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    CHECK_EQ(bs_store_family_create(store, "a", &schema.root, NULL, NULL), BASALT_EXISTS);
    CHECK_EQ(bs_store_family_create(store, "", &schema.root, NULL, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_store_family_create(store, "\xC3", &schema.root, NULL, NULL), BASALT_BAD_ARGUMENT);
    char *name = calloc(1, 10001);
    REQUIRE(name);
    memset(name, 'n', 10000);
    CHECK_EQ(bs_store_family_create(store, name, &schema.root, NULL, &why), BASALT_TOO_LARGE);
    name[4096] = '\0';
    CHECK_OK(bs_store_family_create(store, name, &schema.root, NULL, err));
    bs_family_options_fill(&options, NULL);
    options.compression_level = 10;
    CHECK_EQ(bs_store_family_create(store, "c", &schema.root, &options, NULL), BASALT_BAD_ARGUMENT);
    options.compression_level = 9;
    options.chunk_rows = (uint64_t)1 << 40;
    CHECK_EQ(bs_store_family_create(store, "c", &schema.root, &options, NULL), BASALT_TOO_LARGE);
    REQUIRE_OK(help_array(other.schema, 0, 3, &array, err));
    CHECK_EQ(bs_store_append(store, "a", &array, &other.root, BASALT_SYNC, &why),
        BASALT_SCHEMA_MISMATCH);
    CHECK(strstr(why.message, "x"));
    CHECK_EQ(bs_store_append(store, "none", &array, NULL, BASALT_SYNC, NULL), BASALT_NOT_FOUND);
    array.release(&array);
    CHECK_OK(help_append(store, name, &schema, 0, 5, BASALT_SYNC, err));
    CHECK_OK(bs_store_close(&store, err));
    store = open_store(&env, "/a.h5", BASALT_READ_WRITE);
    REQUIRE(store);
    help_check_rows(store, NULL, name, &schema, 5);
    CHECK_OK(bs_store_close(&store, err));
    free(name);
    help_schema_close(&other);
    help_schema_close(&schema);
    help_env_close(&env);
}
