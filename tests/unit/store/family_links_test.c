/* family_links_test.c - the way to many columns is not gone once for each of them. */
#include "store/store_internal.h"
#include "tests/unit/store/store_help.h"

#include <stdio.h>

#define COLUMNS 60u
#define READS_A_COLUMN_MAX 16u /* values and validity: headers, chunk index, chunk; not the group */

struct counter {
    struct bs_file_ops ops; /* first: what the file is given */
    const struct bs_file_ops *inner;
    unsigned reads;
};

static basalt_status count_read(struct bs_file *file, void *out, size_t count, uint64_t offset,
    size_t *out_count, basalt_error *err)
{
    struct counter *counter = (struct counter *)(uintptr_t)file->ops;
    counter->reads++;
    return counter->inner->read_at(file, out, count, offset, out_count, err);
}

static unsigned reads_of_a_scan(
    struct help_env *env, const struct help_schema *schema, uint64_t rows)
{
    const basalt_store_options options = help_options(BASALT_READ_WRITE);
    struct bs_store *store = NULL;
    CHECK_OK(bs_store_open(&env->parts, "/a.h5", &options, &store, err));
    if (!store) return 0;
    struct counter counter = {.ops = *store->file->ops, .inner = store->file->ops};
    counter.ops.read_at = count_read;
    store->file->ops = &counter.ops;
    help_check_rows(store, NULL, "a", schema, rows);
    store->file->ops = counter.inner;
    CHECK_OK(bs_store_close(&store, err));
    return counter.reads;
}

TEST(family_links, many_columns_are_listed_once)
{
    static const char *const TYPES[] = {"l", "g?", "i?", "b?"};
    const basalt_store_options options = help_options(BASALT_CREATE_NEW);
    struct help_env env;
    struct help_schema schema;
    struct bs_store *store = NULL;
    char spec[COLUMNS * 16];
    size_t length = 0;
    for (unsigned i = 0; i < COLUMNS; i++) {
        length += (size_t)snprintf(
            spec + length, sizeof spec - length, "%sc%u:%s", i ? "," : "", i, TYPES[i % 4]);
    }
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, spec);
    REQUIRE_OK(bs_store_open(&env.parts, "/a.h5", &options, &store, err));
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    CHECK_OK(help_append(store, "a", &schema, 0, 40, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_close(&store, err));
    const unsigned reads = reads_of_a_scan(&env, &schema, 40);
    CHECK(reads > COLUMNS);
    CHECK(reads <= COLUMNS * READS_A_COLUMN_MAX);
    help_schema_close(&schema);
    help_env_close(&env);
}
