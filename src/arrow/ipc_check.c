/* ipc_check.c - a first look at the metadata of an Arrow IPC message.
 *
 * Flatbuffers refer to their parts by offset, so parts may be shared: a list type whose two children
 * are the same field, sixty levels deep, is a few hundred bytes that decode to 2^60 fields, and a
 * verifier that walks them never ends. Basalt stores no nested type, so one flat pass over the
 * fields finds all that could multiply, and can name the field that is not supported as well.
 *
 * A message (FlatBuffers' binary format; Schema.fbs and Message.fbs of Arrow), all little-endian:
 *    root     u32 position of the root table
 *    table    i32 back to its vtable: u16 bytes of vtable, u16 bytes of table, u16 a slot; then values
 *    vector   u32 count, then elements; strings likewise; a table element is a u32 forward offset */
#include "arrow/ipc_internal.h"

#define SHARING_MAX 16 /* the parts of a message may be this many times as long as the message */

/* Numbers of slots, from the order of fields in Message.fbs and Schema.fbs. */
enum { MESSAGE_HEADER_TYPE = 1, MESSAGE_HEADER = 2, MESSAGE_METADATA = 4 };
enum { SCHEMA_FIELDS = 1, SCHEMA_METADATA = 2 };
enum {
    FIELD_NAME = 0,
    FIELD_TYPE_TYPE = 2,
    FIELD_TYPE = 3,
    FIELD_DICTIONARY = 4,
    FIELD_CHILDREN = 5,
    FIELD_METADATA = 6
};
enum { TIMESTAMP_ZONE = 1, TYPE_TIMESTAMP = 10 };
enum {
    HEADER_SCHEMA = 1,
    HEADER_DICTIONARY = 2,
    HEADER_BATCH = 3,
    HEADER_TENSOR = 4,
    HEADER_SPARSE_TENSOR = 5
};

/* By the number of the union member; NULL: Basalt stores it. */
static const char *const foreign_types[] = {
    [1] = "null",
    [7] = "decimal",
    [11] = "interval",
    [12] = "list",
    [13] = "struct",
    [14] = "union",
    [16] = "fixed_size_list",
    [17] = "map",
    [21] = "large_list",
    [22] = "run_end_encoded",
    [23] = "binary_view",
    [24] = "string_view",
    [25] = "list_view",
    [26] = "large_list_view",
};

struct look {
    const uint8_t *bytes;
    uint64_t count;
    uint64_t parts_bytes; /* of all vectors and strings met so far, shared ones each time */
    bool failed;
};

/* The little-endian number at `at`; 0 and `failed` if it is not inside. */
static uint32_t number(struct look *look, uint64_t at, unsigned width_bytes)
{
    if (look->failed || at > look->count || look->count - at < width_bytes) {
        look->failed = true;
        return 0;
    }
    const uint8_t *bytes = look->bytes + at;
    return width_bytes == 4 ? bs_load_u32(bytes) : width_bytes == 2 ? bs_load_u16(bytes) : *bytes;
}

/* Position of a slot's value in the table at `table`, or 0 if the table does not have it. */
static uint64_t slot(struct look *look, uint64_t table, unsigned index)
{
    const int64_t back = (int32_t)number(look, table, 4);
    const int64_t vtable = (int64_t)table - back;
    if (vtable < 0) look->failed = true;
    if (look->failed) return 0;
    const uint32_t bytes = number(look, (uint64_t)vtable, 2);
    if (4 + 2 * (index + 1) > bytes) return 0;
    const uint32_t offset = number(look, (uint64_t)vtable + 4 + 2 * (uint64_t)index, 2);
    return offset ? table + offset : 0;
}

/* What the slot's forward offset leads to: a table, vector or string; or 0. */
static uint64_t follow(struct look *look, uint64_t table, unsigned index)
{
    const uint64_t at = slot(look, table, index);
    return at ? at + number(look, at, 4) : 0;
}

/* Count of the vector or string at `at`, which must be inside; 0 for `at` 0. */
static uint32_t vector_count(struct look *look, uint64_t at, unsigned element_bytes)
{
    if (at == 0) return 0;
    const uint32_t count = number(look, at, 4);
    const uint64_t bytes = (uint64_t)count * element_bytes;
    if (!look->failed && look->count - at - 4 < bytes) look->failed = true;
    look->parts_bytes += 4 + bytes;
    return look->failed ? 0 : count;
}

static void look_at_metadata(struct look *look, uint64_t vector)
{
    const uint32_t pairs = vector_count(look, vector, 4);
    for (uint32_t i = 0; i < pairs && !look->failed; i++) {
        const uint64_t element = vector + 4 + 4 * (uint64_t)i;
        const uint64_t pair = element + number(look, element, 4);
        vector_count(look, follow(look, pair, 0), 1);
        vector_count(look, follow(look, pair, 1), 1);
        if (look->parts_bytes > look->count * SHARING_MAX) look->failed = true;
    }
}

static basalt_status refuse(struct look *look, uint64_t field, const char *type, basalt_error *err)
{
    char name[BS_SHOWN_BYTES_MAX + 1] = "";
    const uint64_t at = follow(look, field, FIELD_NAME);
    const uint32_t count = vector_count(look, at, 1);
    if (count > 0) memcpy(name, look->bytes + at + 4, BS_MIN(count, sizeof name - 1));
    if (!bs_utf8_valid(name, strlen(name))) name[bs_shown(name) / 2] = 0;
    if (!bs_utf8_valid(name, strlen(name))) name[0] = 0;
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "field \"%s\" has the type %s, which Basalt does not store", name, type);
}

static basalt_status look_at_field(struct look *look, uint64_t field, basalt_error *err)
{
    const uint64_t type_at = slot(look, field, FIELD_TYPE_TYPE);
    const uint32_t type = type_at ? number(look, type_at, 1) : 0;
    if (look->failed) return BASALT_OK;
    if (type < BS_ARRAY_LENGTH(foreign_types) && foreign_types[type]) {
        return refuse(look, field, foreign_types[type], err);
    }
    if (slot(look, field, FIELD_DICTIONARY)) return refuse(look, field, "dictionary", err);
    if (vector_count(look, follow(look, field, FIELD_CHILDREN), 4) > 0) look->failed = true;
    vector_count(look, follow(look, field, FIELD_NAME), 1);
    look_at_metadata(look, follow(look, field, FIELD_METADATA));
    if (type == TYPE_TIMESTAMP) {
        const uint64_t timestamp = follow(look, field, FIELD_TYPE);
        if (timestamp) vector_count(look, follow(look, timestamp, TIMESTAMP_ZONE), 1);
    }
    if (look->parts_bytes > look->count * SHARING_MAX) look->failed = true;
    return BASALT_OK;
}

static basalt_status look_at_schema(struct look *look, uint64_t schema, basalt_error *err)
{
    const uint64_t fields = follow(look, schema, SCHEMA_FIELDS);
    const uint32_t count = vector_count(look, fields, 4);
    if (count > BS_FIELDS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the schema has %" PRIu32 " columns; at most %d are possible", count, BS_FIELDS_MAX);
    }
    for (uint32_t i = 0; i < count && !look->failed; i++) {
        const uint64_t element = fields + 4 + 4 * (uint64_t)i;
        const basalt_status status = look_at_field(look, element + number(look, element, 4), err);
        if (status) return status;
    }
    look_at_metadata(look, follow(look, schema, SCHEMA_METADATA));
    return BASALT_OK;
}

basalt_status bs_ipc_check_message(const uint8_t *message, size_t count, basalt_error *err)
{
    struct look look = {.bytes = message, .count = count};
    const uint64_t root = number(&look, 0, 4);
    const uint64_t kind_at = slot(&look, root, MESSAGE_HEADER_TYPE);
    const uint32_t kind = kind_at ? number(&look, kind_at, 1) : 0;
    const uint64_t header = follow(&look, root, MESSAGE_HEADER);
    look_at_metadata(&look, follow(&look, root, MESSAGE_METADATA));
    if (!look.failed && kind == HEADER_DICTIONARY) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow stream has dictionaries, which Basalt does not store: decode them first");
    }
    if (!look.failed && (kind == HEADER_TENSOR || kind == HEADER_SPARSE_TENSOR)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow stream has a tensor message, which Basalt does not store");
    }
    if (header == 0 || (kind != HEADER_SCHEMA && kind != HEADER_BATCH)) look.failed = true;
    if (!look.failed && kind == HEADER_SCHEMA) {
        const basalt_status status = look_at_schema(&look, header, err);
        if (status) return status;
    }
    if (!look.failed) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "a message of the Arrow stream has metadata that makes no sense");
}
