/* statistics_test.c - what a file says of its chunks: records, trust, and what the store writes. */
#include "store/store_internal.h"
#include "tests/unit/store/store_help.h"

#define COLUMN 3u

static const struct bs_field FLOAT_FIELD = {.kind = BS_KIND_FLOAT, .width_bytes = 8};

static struct bs_statistics_record record_of(uint64_t first_row, uint64_t rows, double min)
{
    return (struct bs_statistics_record){.column = COLUMN,
        .first_row = first_row,
        .address = 4096 + first_row,
        .stored_bytes = rows * 3,
        .values = {.rows = rows,
            .null_count = 2,
            .kind = BS_BOUNDS_FLOAT,
            .has_bounds = true,
            .min.f = min,
            .max.f = min + 1,
            .crc32c = 77}};
}

TEST(statistics, a_record_comes_back_and_a_changed_one_does_not)
{
    uint8_t bytes[BS_STATISTICS_RECORD_BYTES];
    struct bs_statistics_record record = record_of(8192, 100, -1.5), found;
    bs_statistics_encode(&record, bytes);
    CHECK(bs_statistics_decode(bytes, &found));
    CHECK_EQ(found.column, COLUMN);
    CHECK_EQ(found.first_row, 8192);
    CHECK_EQ(found.values.rows, 100);
    CHECK_EQ(found.values.null_count, 2);
    CHECK(found.values.has_bounds && !found.values.has_nan && found.values.min.f == -1.5);
    for (size_t i = 0; i < sizeof bytes * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK(!bs_statistics_decode(bytes, &found));
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    record.values.max.f = -2; /* below the minimum, with a sum that is right */
    bs_statistics_encode(&record, bytes);
    CHECK(!bs_statistics_decode(bytes, &found));
    record.values.has_bounds = false;
    record.values.null_count = 101;
    bs_statistics_encode(&record, bytes);
    CHECK(!bs_statistics_decode(bytes, &found));
}

/* ---- a file of such records ----------------------------------------------------------------------- */

struct made {
    struct bs_vfs *vfs;
    struct bs_file *file;
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
};

static void make_file(struct made *made, const struct bs_statistics_record *records, size_t count,
    uint64_t dataset_commit)
{
    struct bs_h5_writer *writer = NULL;
    struct bs_codec_scratch *scratch = NULL;
    struct bs_h5_node *own, *node;
    struct bs_h5_identity identity = {0};
    struct bs_h5_type *type = bs_statistics_type();
    const struct bs_h5_column_spec spec = {.type = type, .chunk_rows = 4};
    uint8_t bytes[16 * BS_STATISTICS_RECORD_BYTES];
    REQUIRE_OK(bs_vfs_memory_create(&made->vfs, err));
    REQUIRE_OK(bs_file_open(
        made->vfs, "/a.h5", BS_OPEN_READ | BS_OPEN_WRITE | BS_OPEN_CREATE, &made->file, err));
    REQUIRE_OK(bs_h5_writer_create(made->file, &identity, &writer, err));
    REQUIRE_OK(bs_codec_scratch_create(&scratch, err));
    REQUIRE_OK(bs_h5_make_group(writer, bs_h5_root(writer), "own", &own, err));
    REQUIRE_OK(bs_h5_make_column(writer, own, BS_STATISTICS_NAME, &spec, &node, err));
    REQUIRE_OK(bs_h5_set_attribute_u64(writer, node, "commit", dataset_commit, err));
    for (size_t i = 0; i < count; i++) {
        bs_statistics_encode(&records[i], bytes + i * BS_STATISTICS_RECORD_BYTES);
    }
    const struct bs_h5_piece piece = {bytes, NULL, count};
    REQUIRE_OK(bs_h5_append(writer, node, scratch, &piece, 1, err));
    REQUIRE_OK(bs_h5_prepare(writer, 1, 0, made->superblock, err));
    REQUIRE_OK(bs_h5_flip(writer, err));
    bs_h5_settle(writer);
    bs_h5_type_free(type);
    bs_codec_scratch_free(scratch);
    bs_h5_writer_close(writer);
}

static void close_file(struct made *made)
{
    bs_file_close(made->file);
    bs_vfs_free(made->vfs);
}

static basalt_status open_statistics(
    struct made *made, size_t column, struct bs_statistics **out, basalt_error *err)
{
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_object *own = NULL;
    *out = NULL;
    basalt_status status = bs_h5_file_open(made->file, &h5, err);
    if (!status) status = bs_h5_object_open_path(h5, "/own", &own, err);
    if (!status) status = bs_statistics_open(h5, own, column, &FLOAT_FIELD, out, err);
    bs_h5_object_close(own);
    bs_h5_file_close(h5);
    return status;
}

TEST(statistics, are_found_by_place_size_and_rows_and_the_last_counts)
{
    struct bs_statistics_record records[6];
    struct bs_chunk_statistics found;
    struct bs_statistics *statistics;
    struct made made;
    for (size_t i = 0; i < 5; i++) records[i] = record_of(i * 10, 10, (double)i);
    records[5] = record_of(20, 10, 99);
    make_file(&made, records, 6, 1);
    CHECK_OK(open_statistics(&made, COLUMN, &statistics, err));
    CHECK(statistics != NULL);
    CHECK(bs_statistics_find(statistics, 10, 10, 4106, 30, &found));
    CHECK(found.min.f == 1 && found.null_count == 2);
    CHECK(bs_statistics_find(statistics, 20, 10, 4116, 30, &found) && found.min.f == 99);
    CHECK(!bs_statistics_find(statistics, 10, 9, 4106, 30, &found));
    CHECK(!bs_statistics_find(statistics, 10, 10, 4107, 30, &found));
    CHECK(!bs_statistics_find(statistics, 10, 10, 4106, 31, &found));
    CHECK(!bs_statistics_find(statistics, 11, 10, 4106, 30, &found));
    CHECK(!bs_statistics_find(NULL, 10, 10, 4106, 30, &found));
    bs_statistics_free(statistics);
    CHECK_OK(open_statistics(&made, COLUMN + 1, &statistics, err));
    CHECK(statistics == NULL);
    close_file(&made);
}

TEST(statistics, of_a_root_that_somebody_else_wrote_are_not_trusted)
{
    const struct bs_statistics_record record = record_of(0, 10, 1);
    struct bs_h5_superblock decoded;
    struct bs_statistics *statistics;
    struct made made;
    make_file(&made, &record, 1, 1);
    REQUIRE_OK(bs_h5_superblock_decode(made.superblock, sizeof made.superblock, &decoded, err));
    decoded.end_of_file += 8; /* as another program leaves it */
    bs_h5_superblock_encode(&decoded, made.superblock);
    REQUIRE_OK(bs_file_write_at(made.file, "12345678", 8, decoded.end_of_file - 8, err));
    REQUIRE_OK(bs_file_write_at(made.file, made.superblock, sizeof made.superblock, 0, err));
    CHECK_OK(open_statistics(&made, COLUMN, &statistics, err));
    CHECK(statistics == NULL);
    close_file(&made);
    make_file(&made, &record, 1, 2); /* from a commit that there is not yet */
    CHECK_OK(open_statistics(&made, COLUMN, &statistics, err));
    CHECK(statistics == NULL);
    close_file(&made);
}
