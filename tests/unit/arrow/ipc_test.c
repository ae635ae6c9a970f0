/* ipc_test.c - IPC streams that are right come through; all others are refused, and cost no more than
 * they are long. That other programs agree is shown by tests/interop/arrow_ipc.py. */
#include "tests/unit/arrow/kit.h"

#include <errno.h>

/* ---- streams made of rows ----------------------------------------------------------------------- */

struct arrays {
    const struct rows *rows;
    uint64_t seed;
    unsigned left;
};

static basalt_status next_array(void *context, struct ArrowArray *out, basalt_error *error)
{
    struct arrays *arrays = context;
    (void)error;
    if (arrays->left == 0) return BASALT_OK;
    arrays->left--;
    kit_array(arrays->rows, &arrays->seed, out);
    return BASALT_OK;
}

static const struct bs_stream_source source = {.next = next_array};

static int append(void *context, const void *bytes, size_t count)
{
    bs_bytes_put(context, bytes, count);
    return ((struct bs_bytes *)context)->failed ? ENOMEM : 0;
}

/* `count` arrays of the rows as an IPC stream. */
static basalt_status write_rows(const struct rows *rows, unsigned count, uint64_t seed,
    struct bs_bytes *out, basalt_error *error)
{
    struct arrays arrays = {rows, seed, count};
    struct ArrowArrayStream stream;
    const basalt_status status = bs_stream_create(rows->schema, &source, &arrays, &stream, error);
    return status ? status : bs_ipc_write(&stream, append, out, error);
}

/* Reads a whole stream, looking at every value, and counts its arrays. */
static basalt_status read_all(
    const struct bs_bytes *bytes, size_t count, unsigned *out_arrays, basalt_error *error)
{
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    struct bs_schema *schema = NULL;
    struct bs_bytes block = {0};
    bool end = false;
    *out_arrays = 0;
    basalt_status status = bs_ipc_read_bytes(bytes->data, count, &stream, error);
    if (status) return status;
    status = bs_stream_schema(&stream, &schema, error);
    while (!status && !end) {
        status = bs_stream_next(&stream, &array, &end, error);
        if (status || end) continue;
        *out_arrays += 1;
        block.count = 0;
        status = bs_batch_encode(schema, &array, 0, (uint64_t)array.length, &block, error);
        array.release(&array);
    }
    bs_bytes_free(&block);
    bs_schema_release(schema);
    stream.release(&stream);
    return status;
}

TEST(ipc, random_streams_round_trip)
{
    const int64_t before = test_live_allocations();
    for (uint64_t run = 0; run < 100; run++) {
        uint64_t seed = run;
        struct bs_bytes bytes = {0};
        struct ArrowArrayStream stream;
        struct ArrowArray array;
        struct bs_schema *found = NULL;
        bool end = false;
        unsigned arrays = 0;
        struct bs_schema *schema =
            kit_schema(NULL, kit_below(&seed, 10), kit_below(&seed, 3) > 0, &seed);
        struct rows rows = kit_rows(schema, kit_below(&seed, 70), true, &seed);
        const unsigned count = (unsigned)kit_below(&seed, 4);
        CHECK_OK(write_rows(&rows, count, seed, &bytes, err));
        REQUIRE_OK(bs_ipc_read_bytes(bytes.data, bytes.count, &stream, err));
        CHECK_OK(bs_stream_schema(&stream, &found, err));
        CHECK_OK(bs_schema_match(schema, found, err));
        for (;;) {
            REQUIRE_OK(bs_stream_next(&stream, &array, &end, err));
            if (end) break;
            kit_compare(&rows, 0, rows.count, &array, 8);
            array.release(&array);
            arrays++;
        }
        CHECK_EQ(arrays, count);
        bs_schema_release(found);
        stream.release(&stream);
        bs_bytes_free(&bytes);
        free(rows.cells);
        bs_schema_release(schema);
    }
    CHECK_EQ(test_live_allocations(), before);
}

TEST(ipc, arrays_and_columns_outlive_their_stream)
{
    static const char *const formats[] = {"l", "u"};
    uint64_t seed = 1;
    struct bs_bytes bytes = {0};
    struct ArrowArrayStream stream;
    struct ArrowArray array, moved;
    struct cell cell;
    bool end;
    struct bs_schema *schema = kit_schema(formats, 2, true, &seed);
    struct rows rows = kit_rows(schema, 9, true, &seed);
    const int64_t before = test_live_allocations();
    REQUIRE_OK(write_rows(&rows, 1, seed, &bytes, err));
    REQUIRE_OK(bs_ipc_read_bytes(bytes.data, bytes.count, &stream, err));
    REQUIRE_OK(bs_stream_next(&stream, &array, &end, err));
    stream.release(&stream);
    bs_bytes_free(&bytes);
    moved = *array.children[1];
    array.children[1]->release = NULL;
    array.release(&array);
    for (uint64_t row = 0; row < 9; row++) {
        kit_read(&schema->fields[1], &moved, row, &cell);
        const struct cell *expected = kit_cell(&rows, 1, row);
        CHECK(cell.null == expected->null);
        if (!cell.null) CHECK(!memcmp(&cell, expected, sizeof cell));
    }
    moved.release(&moved);
    CHECK_EQ(test_live_allocations(), before);
    free(rows.cells);
    bs_schema_release(schema);
}

TEST(ipc, every_cut_is_said_to_be_one)
{
    static const char *const formats[] = {"b", "u", "w:5"};
    uint64_t seed = 2;
    struct bs_bytes bytes = {0};
    unsigned arrays, ends = 0;
    struct bs_schema *schema = kit_schema(formats, 3, true, &seed);
    struct rows rows = kit_rows(schema, 30, true, &seed);
    REQUIRE_OK(write_rows(&rows, 2, seed, &bytes, err));
    for (size_t cut = 0; cut < bytes.count; cut++) {
        basalt_error why = {0};
        uint8_t *copy = bs_copy_bytes(bytes.data, cut + 1); /* so that ASan sees a read too many */
        const struct bs_bytes part = {.data = copy};
        const basalt_status status = read_all(&part, cut, &arrays, &why);
        if (status) {
            CHECK_EQ(status, BASALT_CORRUPT);
            CHECK(strstr(why.message, cut ? "cut short" : "empty") != NULL);
        } else {
            ends++; /* at the end of a message, where a stream may end without saying so */
        }
        bs_free(copy);
    }
    CHECK_EQ(ends, 3);
    bs_bytes_free(&bytes);
    free(rows.cells);
    bs_schema_release(schema);
}

TEST(ipc, damaged_streams_are_refused_or_harmless)
{
    static const char *const formats[] = {"b", "u", "Z", "i", "tsn:UTC"};
    uint64_t seed = 3;
    struct bs_bytes bytes = {0};
    unsigned arrays, refusals = 0;
    struct bs_schema *schema = kit_schema(formats, 5, true, &seed);
    struct rows rows = kit_rows(schema, 13, true, &seed);
    REQUIRE_OK(write_rows(&rows, 2, seed, &bytes, err));
    const int64_t before = test_live_allocations();
    for (unsigned run = 0; run < 20000; run++) {
        basalt_error why = {0};
        struct bs_bytes copy = {.data = bs_copy_bytes(bytes.data, bytes.count)};
        for (uint64_t left = 1 + kit_below(&seed, 3); left > 0; left--) {
            const uint8_t wild[] = {(uint8_t)test_random(&seed), 0, 0xFF, 0x7F, 0x80};
            copy.data[kit_below(&seed, bytes.count)] = wild[kit_below(&seed, sizeof wild)];
        }
        const basalt_status status = read_all(&copy, bytes.count, &arrays, &why);
        CHECK(status == BASALT_OK || status == BASALT_CORRUPT || status == BASALT_UNSUPPORTED ||
            status == BASALT_TOO_LARGE || status == BASALT_BAD_ARGUMENT ||
            status == BASALT_SCHEMA_MISMATCH);
        if (status) CHECK(why.message[0] != 0);
        refusals += status != BASALT_OK;
        bs_free(copy.data);
    }
    CHECK(refusals > 5000);
    CHECK_EQ(test_live_allocations(), before);
    bs_bytes_free(&bytes);
    free(rows.cells);
    bs_schema_release(schema);
}

/* ---- bytes in and out --------------------------------------------------------------------------- */

struct script {
    const uint8_t *bytes;
    size_t left;
    size_t asked_max;
    int code; /* given at the end */
};

static int read_script(void *context, void *out, size_t capacity, size_t *out_count)
{
    struct script *script = context;
    const size_t step = BS_MIN(capacity, script->left);
    script->asked_max = BS_MAX(script->asked_max, capacity);
    memcpy(out, script->bytes, step);
    script->bytes += step;
    script->left -= step;
    *out_count = step;
    return step == 0 ? script->code : 0;
}

/* The 8 bytes of a wild body length in the batch of a stream: each byte in turn becomes 0x7F. */
TEST(ipc, wild_lengths_cost_one_step)
{
    static const char *const formats[] = {"i"};
    uint64_t seed = 4;
    struct bs_bytes bytes = {0};
    struct bs_schema *schema = kit_schema(formats, 1, true, &seed);
    struct rows rows = kit_rows(schema, 5, false, &seed);
    size_t asked_max = 0;
    REQUIRE_OK(write_rows(&rows, 1, seed, &bytes, err));
    for (size_t i = 0; i < bytes.count; i++) {
        struct ArrowArrayStream stream;
        struct ArrowArray array = {0};
        bool end;
        const uint8_t kept = bytes.data[i];
        bytes.data[i] = 0x7F;
        struct script script = {bytes.data, bytes.count, 0, 0};
        if (!bs_ipc_read(read_script, &script, &stream, NULL)) {
            if (!bs_stream_next(&stream, &array, &end, NULL) && !end) array.release(&array);
            stream.release(&stream);
        }
        asked_max = BS_MAX(asked_max, script.asked_max);
        bytes.data[i] = kept;
    }
    CHECK_EQ(asked_max, (size_t)64 << 20); /* reached, so the wild length was met; never more */
    bs_bytes_free(&bytes);
    free(rows.cells);
    bs_schema_release(schema);
}

TEST(ipc, a_failing_source_says_why)
{
    struct ArrowArrayStream stream;
    basalt_error why = {0};
    struct script script = {(const uint8_t *)"", 0, 0, EIO};
    CHECK_EQ(bs_ipc_read(read_script, &script, &stream, &why), BASALT_IO_ERROR);
    CHECK_EQ(why.os_errno, EIO);
    CHECK(strstr(why.message, "reading the Arrow stream failed") != NULL);
    CHECK(stream.release == NULL);
}

static int refuse_to_write(void *context, const void *bytes, size_t count)
{
    (void)bytes;
    size_t *left = context;
    if (count > *left) return ENOSPC;
    *left -= count;
    return 0;
}

TEST(ipc, a_full_disk_is_no_space)
{
    static const char *const formats[] = {"i"};
    uint64_t seed = 5;
    struct bs_schema *schema = kit_schema(formats, 1, true, &seed);
    struct rows rows = kit_rows(schema, 5, false, &seed);
    struct bs_bytes bytes = {0};
    REQUIRE_OK(write_rows(&rows, 1, seed, &bytes, err));
    const int64_t before = test_live_allocations();
    for (size_t room = 0; room < bytes.count; room += 9) {
        struct arrays arrays = {&rows, seed, 1};
        struct ArrowArrayStream stream;
        size_t left = room;
        REQUIRE_OK(bs_stream_create(schema, &source, &arrays, &stream, err));
        CHECK_EQ(bs_ipc_write(&stream, refuse_to_write, &left, NULL), BASALT_NO_SPACE);
        CHECK(stream.release == NULL);
    }
    CHECK_EQ(test_live_allocations(), before);
    bs_bytes_free(&bytes);
    free(rows.cells);
    bs_schema_release(schema);
}

TEST(ipc, no_memory_is_no_crash)
{
    static const char *const formats[] = {"b", "u", "Z", "i"};
    uint64_t seed = 6;
    struct bs_bytes good = {0};
    struct bs_schema *schema = kit_schema(formats, 4, true, &seed);
    struct rows rows = kit_rows(schema, 20, true, &seed);
    REQUIRE_OK(write_rows(&rows, 2, seed, &good, err));
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        basalt_error why = {0};
        struct bs_bytes encoded = {0}, written = {0};
        struct bs_schema *decoded = NULL;
        struct ArrowArrayStream stream = {0};
        unsigned arrays = 0;
        basalt_status status = bs_schema_encode(schema, &encoded, &why);
        if (!status) status = bs_schema_decode(encoded.data, encoded.count, &decoded, &why);
        if (!status) status = read_all(&good, good.count, &arrays, &why);
        if (!status) CHECK_EQ(arrays, 2);
        if (!status) status = bs_ipc_read_bytes(good.data, good.count, &stream, &why);
        if (!status) status = bs_ipc_write(&stream, append, &written, &why);
        if (status != BASALT_OK && status != BASALT_NO_MEMORY) {
            test_fail(__FILE__, __LINE__, "step %" PRIu64 ": %d %s", step, status, why.message);
        }
        CHECK_EQ(status, why.status);
        fault_stop();
        if (!status) CHECK(written.count == good.count);
        if (stream.release) stream.release(&stream);
        bs_schema_release(decoded);
        bs_bytes_free(&encoded);
        bs_bytes_free(&written);
        CHECK_EQ(test_live_allocations(), before);
    }
    bs_bytes_free(&good);
    free(rows.cells);
    bs_schema_release(schema);
}

/* ---- schema messages ---------------------------------------------------------------------------- */

TEST(ipc, schemas_round_trip_and_damage_is_refused)
{
    uint64_t seed = 7;
    struct bs_bytes bytes = {0};
    struct bs_schema *found = NULL;
    struct bs_schema *schema = kit_schema(kit_formats, BS_ARRAY_LENGTH(kit_formats), true, &seed);
    const char metadata[] = "\1\0\0\0\2\0\0\0k\0\3\0\0\0\0v\0"; /* with NUL bytes */
    schema->fields[2].metadata = bs_copy_bytes(metadata, sizeof metadata - 1);
    schema->fields[2].metadata_bytes = sizeof metadata - 1;
    schema->metadata = bs_copy_bytes(metadata, sizeof metadata - 1);
    schema->metadata_bytes = sizeof metadata - 1;
    REQUIRE_OK(bs_schema_encode(schema, &bytes, err));
    REQUIRE_OK(bs_schema_decode(bytes.data, bytes.count, &found, err));
    CHECK_OK(bs_schema_match(schema, found, err));
    CHECK_EQ(found->fields[2].metadata_bytes, sizeof metadata - 1);
    CHECK(!memcmp(found->fields[2].metadata, metadata, sizeof metadata - 1));
    CHECK(!memcmp(found->metadata, metadata, sizeof metadata - 1));
    CHECK(found->fields[1].metadata == NULL);
    bs_schema_release(found);
    for (size_t cut = 0; cut < bytes.count; cut++) {
        uint8_t *copy = bs_copy_bytes(bytes.data, cut + 1);
        CHECK_EQ(bs_schema_decode(copy, cut, &found, NULL), BASALT_CORRUPT);
        CHECK(found == NULL);
        bs_free(copy);
    }
    const int64_t before = test_live_allocations();
    for (unsigned run = 0; run < 5000; run++) {
        uint8_t *copy = bs_copy_bytes(bytes.data, bytes.count);
        for (uint64_t left = 1 + kit_below(&seed, 3); left > 0; left--) {
            copy[kit_below(&seed, bytes.count)] = (uint8_t)test_random(&seed);
        }
        if (bs_schema_decode(copy, bytes.count, &found, NULL) == BASALT_OK) {
            bs_schema_release(found);
        } else {
            CHECK(found == NULL);
        }
        bs_free(copy);
    }
    CHECK_EQ(test_live_allocations(), before);
    bs_bytes_free(&bytes);
    bs_schema_release(schema);
}

/* Flatbuffers by hand: a table whose `slots` values are 4 bytes each; slots whose bit is not in
 * `present` are absent. Returns its position. */
static size_t put_table(struct bs_bytes *out, unsigned slots, unsigned present)
{
    bs_bytes_align(out, 4);
    bs_bytes_u16(out, (uint16_t)(4 + 2 * slots));
    bs_bytes_u16(out, (uint16_t)(4 + 4 * slots));
    for (unsigned i = 0; i < slots; i++) {
        bs_bytes_u16(out, present >> i & 1 ? (uint16_t)(4 + 4 * i) : 0);
    }
    if (slots % 2) bs_bytes_u16(out, 0);
    const size_t table = out->count;
    bs_bytes_u32(out, 4 + 2 * slots + (slots % 2 ? 2 : 0)); /* back to the vtable */
    bs_bytes_zeros(out, (size_t)slots * 4);
    return table;
}

static void point(struct bs_bytes *out, size_t from, size_t to)
{
    bs_store_u32(out->data + from, (uint32_t)(to - from));
}

static void point_slot(struct bs_bytes *out, size_t table, unsigned slot, size_t to)
{
    point(out, table + 4 + 4 * (size_t)slot, to);
}

static size_t put_text(struct bs_bytes *out, const char *text)
{
    bs_bytes_align(out, 4);
    const size_t at = out->count;
    bs_bytes_u32(out, (uint32_t)strlen(text));
    bs_bytes_put(out, text, strlen(text) + 1);
    return at;
}

struct hand_made {
    uint32_t fields;    /* all the same one, called "f", of type bool */
    uint32_t pairs;     /* of its metadata, all the same one */
    bool value_missing; /* of that pair */
    bool type_missing;  /* of the field */
    bool child;         /* the field is its own child, twice */
    bool big_endian;
    uint8_t header_type;
};

/* A schema message with its prefix, as no writer would make it. */
static struct bs_bytes make_by_hand(struct hand_made how)
{
    struct bs_bytes out = {0};
    bs_bytes_u32(&out, 0xFFFFFFFFu);
    bs_bytes_u32(&out, 0);
    bs_bytes_u32(&out, 0);
    const size_t message = put_table(&out, 3, 7);
    bs_store_u32(out.data + 8, (uint32_t)(message - 8)); /* the root */
    bs_store_u32(out.data + message + 4, 4);             /* version V5 */
    bs_store_u32(out.data + message + 8, how.header_type);
    const size_t schema = put_table(&out, 2, 3);
    point_slot(&out, message, 2, schema);
    bs_store_u32(out.data + schema + 4, how.big_endian);
    const size_t vector = out.count;
    point_slot(&out, schema, 1, vector);
    bs_bytes_u32(&out, how.fields);
    bs_bytes_zeros(&out, (size_t)how.fields * 4);
    const size_t field =
        put_table(&out, 7, 0x45u | (how.child ? 0x20u : 0) | (how.type_missing ? 0 : 8u));
    for (size_t i = 0; i < how.fields; i++) point(&out, vector + 4 + 4 * i, field);
    out.data[field + 4 + 4 * 2] = how.child ? 12 : 6; /* list, bool */
    const size_t name = put_text(&out, "f");
    point_slot(&out, field, 0, name);
    const size_t type = put_table(&out, 0, 0);
    if (!how.type_missing) point_slot(&out, field, 3, type);
    bs_bytes_align(&out, 4);
    const size_t pairs = out.count;
    point_slot(&out, field, 6, pairs);
    bs_bytes_u32(&out, how.pairs);
    bs_bytes_zeros(&out, (size_t)how.pairs * 4);
    const size_t pair = put_table(&out, 2, how.value_missing ? 1 : 3);
    for (size_t i = 0; i < how.pairs; i++) point(&out, pairs + 4 + 4 * i, pair);
    const size_t text = put_text(&out, "t");
    point_slot(&out, pair, 0, text);
    if (!how.value_missing) point_slot(&out, pair, 1, text);
    bs_bytes_align(&out, 8);
    bs_store_u32(out.data + 4, (uint32_t)out.count - 8);
    return out;
}

static void hand_made(struct hand_made how, basalt_status expected, const char *word)
{
    struct bs_schema *schema = NULL;
    basalt_error why = {0};
    struct bs_bytes message = make_by_hand(how);
    CHECK_EQ(bs_schema_decode(message.data, message.count, &schema, &why), expected);
    if (word && !strstr(why.message, word)) test_fail(__FILE__, __LINE__, "%s", why.message);
    if (schema) CHECK_EQ(schema->field_count, how.fields);
    bs_schema_release(schema);
    bs_bytes_free(&message);
}

TEST(ipc, messages_that_share_their_parts_do_not_multiply)
{
    hand_made((struct hand_made){.fields = 3, .pairs = 2, .header_type = 1}, BASALT_OK, NULL);
    hand_made((struct hand_made){.fields = 30000, .pairs = 30000, .header_type = 1}, BASALT_CORRUPT,
        "makes no sense");
    hand_made((struct hand_made){.fields = 65537, .header_type = 1}, BASALT_TOO_LARGE, "65537");
    hand_made((struct hand_made){.fields = 2, .child = true, .header_type = 1}, BASALT_UNSUPPORTED,
        "field \"f\" has the type list");
    hand_made((struct hand_made){.fields = 1, .pairs = 1, .value_missing = true, .header_type = 1},
        BASALT_OK, NULL);
    hand_made((struct hand_made){.fields = 1, .type_missing = true, .header_type = 1},
        BASALT_CORRUPT, "makes no sense");
    hand_made((struct hand_made){.fields = 1, .big_endian = true, .header_type = 1},
        BASALT_UNSUPPORTED, "big-endian");
    hand_made(
        (struct hand_made){.fields = 1, .header_type = 2}, BASALT_UNSUPPORTED, "dictionaries");
    hand_made((struct hand_made){.fields = 1, .header_type = 4}, BASALT_UNSUPPORTED, "tensor");
    hand_made((struct hand_made){.fields = 1, .header_type = 9}, BASALT_CORRUPT, "no sense");
    hand_made((struct hand_made){.fields = 1}, BASALT_CORRUPT, "no sense");
}

TEST(ipc, what_is_not_a_stream_is_called_so)
{
    static const struct {
        const char *bytes;
        size_t count;
        basalt_status status;
        const char *word;
    } inputs[] = {
        {"time,volts\n1,2\n", 15, BASALT_CORRUPT, "not an Arrow IPC stream"},
        {"a,b\n1,2\n", 8, BASALT_CORRUPT, "(\"a,b.\")"},
        {"a\tb\tc\n", 6, BASALT_CORRUPT, "not an Arrow IPC stream"},
        {"\x89HDF\r\n\x1a\n", 8, BASALT_CORRUPT, "89 48 44 46"},
        {"PAR1....", 8, BASALT_CORRUPT, "not an Arrow IPC stream"},
        {"\x1f\x8b\x08\x00....", 8, BASALT_CORRUPT, "not an Arrow IPC stream"},
        {"\x08\0\0\0\0\0\0\0\0\0\0\0", 12, BASALT_CORRUPT, "not an Arrow IPC stream"},
        {"ARROW1\0\0", 8, BASALT_UNSUPPORTED, "file format"},
        {"\xff\xff\xff\xff\x10\0\0\0ab", 10, BASALT_CORRUPT, "cut short"},
    };
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        struct ArrowArrayStream stream;
        basalt_error why = {0};
        CHECK_EQ(
            bs_ipc_read_bytes(inputs[i].bytes, inputs[i].count, &stream, &why), inputs[i].status);
        CHECK(strstr(why.message, inputs[i].word) != NULL);
        CHECK(stream.release == NULL);
    }
}

TEST(ipc, bytes_behind_the_end_are_refused)
{
    static const char *const formats[] = {"i"};
    uint64_t seed = 5;
    struct bs_bytes bytes = {0};
    unsigned arrays;
    basalt_error why = {0};
    struct bs_schema *schema = kit_schema(formats, 1, false, &seed);
    struct rows rows = kit_rows(schema, 10, false, &seed);
    REQUIRE_OK(write_rows(&rows, 2, seed, &bytes, err));
    CHECK_OK(read_all(&bytes, bytes.count, &arrays, err));
    CHECK_EQ(arrays, 2);
    REQUIRE_OK(write_rows(&rows, 1, seed, &bytes, err));
    CHECK_EQ(read_all(&bytes, bytes.count, &arrays, &why), BASALT_CORRUPT);
    CHECK(strstr(why.message, "behind the end") != NULL);
    bs_bytes_free(&bytes);
    free(rows.cells);
    bs_schema_release(schema);
}
