/* writer_hostile_test.c - files with any byte changed: opening them, and writing to what opens, gives
 * an error or works, and never reads or writes where it must not. */
#include "h5/writer_internal.h"
#include "tests/unit/h5/writer_fixture.h"

static basalt_status make_small(struct fixture *fixture, struct bs_vfs *vfs, basalt_error *err)
{
    struct bs_h5_node *group = NULL, *column = NULL, *texts = NULL;
    struct bs_h5_type *text_type = bs_h5_type_variable_string();
    const uint32_t offsets[] = {0, 3, 3, 9};
    const struct bs_h5_piece piece = {"onethreee", offsets, 3};
    const struct bs_h5_column_spec spec = {
        .type = text_type, .chunk_rows = 2, .pipeline = make_pipeline(PLAIN, 16)};
    basalt_status status = fixture_create(fixture, vfs, "small.h5", err);
    struct bs_h5_writer *writer = fixture->writer;
    if (!status) status = bs_h5_make_group(writer, bs_h5_root(writer), "g", &group, err);
    if (!status) status = bs_h5_set_attribute_text(writer, group, "a", "text", err);
    for (unsigned i = 0; !status && i < 4; i++) {
        char name[2] = {(char)('a' + i), 0};
        status = make_column(fixture, group, name, i, 4, &column, err);
        if (!status) status = append_rows(fixture, column, 7, 1, err);
    }
    if (!status) status = bs_h5_make_column(writer, group, "t", &spec, &texts, err);
    if (!status) status = bs_h5_append(writer, texts, fixture->scratch, &piece, 1, err);
    if (!status) status = fixture_commit(fixture, err);
    bs_h5_type_free(text_type);
    return status;
}

static basalt_status change_each(
    void *context, const char *name, struct bs_h5_node *node, basalt_error *err)
{
    struct fixture *fixture = context;
    const uint32_t offsets[] = {0, 2, 3};
    const struct bs_h5_piece texts = {"xyz", offsets, 2};
    int64_t numbers[2] = {1, 2};
    const struct bs_h5_piece piece = {numbers, NULL, 2};
    basalt_error ignored;
    (void)err;
    (void)name;
    if (node->kind != BS_NODE_COLUMN) return BASALT_OK;
    /* The caller knows the type of what it appends to, and looks whether it still is that. */
    if (node->as.column->variable || node->as.column->element_bytes <= 8) {
        (void)!bs_h5_append(fixture->writer, node, fixture->scratch,
            node->as.column->variable ? &texts : &piece, 1, &ignored);
    }
    (void)!bs_h5_finish_tail(fixture->writer, node, fixture->scratch, &ignored);
    (void)!bs_h5_rechunk(
        fixture->writer, node, fixture->scratch, 2 * BS_MIN(bs_h5_chunk_rows(node), 99u), &ignored);
    return BASALT_OK;
}

/* All that a writer can do to the file; each step may be refused. */
static void use(struct bs_vfs *vfs)
{
    struct fixture fixture = {0};
    struct bs_h5_node *group = NULL;
    basalt_error err;
    if (!fixture_open(&fixture, vfs, "small.h5", &err)) {
        fixture.unsynced = true;
        bs_h5_reclaim(fixture.writer, UINT64_MAX);
        struct bs_h5_node *root = bs_h5_root(fixture.writer);
        if (!bs_h5_child(fixture.writer, root, "g", &group, NULL) && bs_h5_is_group(group)) {
            (void)!bs_h5_children(fixture.writer, group, change_each, &fixture, &err);
            (void)!bs_h5_set_attribute_u64(fixture.writer, group, "a", 1, &err);
        }
        (void)!bs_h5_unlink(fixture.writer, root, "g", &err);
        (void)!fixture_commit(&fixture, &err);
        (void)!bs_h5_shorten(fixture.writer, &err);
    }
    fixture_close(&fixture);
}

static void put(struct bs_vfs *vfs, const uint8_t *bytes, size_t count)
{
    struct bs_file *file = NULL;
    REQUIRE_OK(bs_file_open(
        vfs, "small.h5", BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_TRUNCATE, &file, err));
    CHECK_OK(bs_file_write_at(file, bytes, count, 0, err));
    bs_file_close(file);
}

/* Sums that fit, so that the damage behind them is met. */
static void mend_sums(uint8_t *bytes, size_t count)
{
    for (size_t at = 4096; at + 16 < count; at += 8) {
        uint64_t size = 0;
        if (!memcmp(bytes + at, "OHDR", 4)) {
            const size_t width = (size_t)1 << (bytes[at + 5] & 3);
            for (size_t i = width; i-- > 0;) size = size << 8 | bytes[at + 10 + i];
            size += 10 + width;
        }
        if (size < 8 || size > count - at - 4) continue;
        bs_store_u32(bytes + at + size, bs_lookup3(bytes + at, (size_t)size, 0));
    }
}

TEST(writer_hostile, any_byte_changed)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_file *file = NULL;
    uint64_t size = 0, seed = 9;
    REQUIRE_OK(bs_vfs_memory_create(&vfs, err));
    REQUIRE_OK(make_small(&fixture, vfs, err));
    fixture_close(&fixture);
    REQUIRE_OK(bs_file_open(vfs, "small.h5", BS_OPEN_READ, &file, err));
    REQUIRE_OK(bs_file_size(file, &size, err));
    uint8_t *whole = bs_alloc((size_t)size), *changed = bs_alloc((size_t)size);
    REQUIRE_OK(bs_file_read_all_at(file, whole, (size_t)size, 0, err));
    bs_file_close(file);
    const int64_t before = test_live_allocations();
    for (unsigned round = 0; round < 3000; round++) {
        static const uint8_t likely[] = {0, 1, 0xFF, 0x10, 8, 0x40};
        memcpy(changed, whole, (size_t)size);
        for (uint64_t i = 0; i <= round % 3; i++) {
            const size_t at = 4096 + (size_t)(test_random(&seed) % (size - 4096));
            changed[at] = round % 2 ? likely[test_random(&seed) % 6] : (uint8_t)test_random(&seed);
        }
        mend_sums(changed, (size_t)size);
        put(vfs, changed, (size_t)size);
        use(vfs);
        CHECK_EQ(test_live_allocations(), before);
    }
    put(vfs, whole, (size_t)size);
    use(vfs);
    check_verified(vfs, "small.h5");
    bs_free(whole);
    bs_free(changed);
    bs_vfs_free(vfs);
}
