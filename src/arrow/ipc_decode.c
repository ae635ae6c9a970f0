/* ipc_decode.c - reads the metadata of Arrow IPC messages, which anybody may have made.
 *
 * A message is a flatbuffer (FlatBuffers' binary format; Schema.fbs and Message.fbs of Arrow), all
 * little-endian:
 *    root     u32 position of the root table
 *    table    i32 back to its vtable: u16 bytes of vtable, u16 bytes of table, u16 a slot; then values
 *    vector   u32 count, then elements; strings likewise, and a NUL; references are u32 forward
 *
 * INVARIANTS
 *   (1) Every number is read through number() or number_64(), which read nothing outside the message.
 *       The first that does not fit makes the look `failed`, and from then on all are 0.
 *   (2) Parts may be shared, so few bytes can stand for much: a list whose two children are the same
 *       field, sixty levels deep, is 2^60 fields. Nested types are refused before their children are
 *       looked at, and all vectors and texts together, shared ones counted each time, may be
 *       SHARING_MAX times as long as the message. */
#include "arrow/ipc_internal.h"

#define SHARING_MAX 16

/* Numbers of slots and union members, from the order in Message.fbs and Schema.fbs. */
enum {
    MESSAGE_VERSION = 0,
    MESSAGE_HEADER_TYPE = 1,
    MESSAGE_HEADER = 2,
    MESSAGE_BODY_BYTES = 3,
    SCHEMA_ENDIANNESS = 0,
    SCHEMA_FIELDS = 1,
    SCHEMA_METADATA = 2,
    FIELD_NAME = 0,
    FIELD_NULLABLE = 1,
    FIELD_TYPE_NUMBER = 2,
    FIELD_TYPE = 3,
    FIELD_DICTIONARY = 4,
    FIELD_CHILDREN = 5,
    FIELD_METADATA = 6,
    BATCH_ROWS = 0,
    BATCH_NODES = 1,
    BATCH_BUFFERS = 2,
    BATCH_COMPRESSION = 3
};
enum { HEADER_DICTIONARY = 2, HEADER_TENSOR = 4, HEADER_SPARSE_TENSOR = 5, VERSION_4 = 3 };

/* By the number of the type; NULL: Basalt stores it. */
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

/* ---- flatbuffers ------------------------------------------------------------------------------- */

struct look {
    const uint8_t *bytes;
    uint64_t count;
    uint64_t parts_bytes; /* of all vectors and texts met so far */
    bool failed;
};

/* The unsigned number of 1, 2, 4 or 8 bytes at `at`. */
static uint64_t number_64(struct look *look, uint64_t at, unsigned width_bytes)
{
    if (look->failed || at > look->count || look->count - at < width_bytes) {
        look->failed = true;
        return 0;
    }
    const uint8_t *bytes = look->bytes + at;
    switch (width_bytes) {
    case 8: return bs_load_u64(bytes);
    case 4: return bs_load_u32(bytes);
    case 2: return bs_load_u16(bytes);
    default: return *bytes;
    }
}

static uint32_t number(struct look *look, uint64_t at, unsigned width_bytes)
{
    return (uint32_t)number_64(look, at, width_bytes);
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

/* A slot's number, or `otherwise` if the table does not have it. */
static uint64_t value(
    struct look *look, uint64_t table, unsigned index, unsigned width_bytes, uint64_t otherwise)
{
    const uint64_t at = slot(look, table, index);
    return at ? number_64(look, at, width_bytes) : otherwise;
}

/* What a reference leads to. */
static uint64_t target(struct look *look, uint64_t at)
{
    return at + number(look, at, 4);
}

/* What a slot's reference leads to, a table, vector or text; or 0. */
static uint64_t follow(struct look *look, uint64_t table, unsigned index)
{
    const uint64_t at = slot(look, table, index);
    return at ? target(look, at) : 0;
}

/* Elements of the vector at `at`, all of which are inside; 0 for `at` 0. */
static uint32_t vector_count(struct look *look, uint64_t at, unsigned element_bytes)
{
    if (at == 0) return 0;
    const uint32_t count = number(look, at, 4);
    const uint64_t bytes = (uint64_t)count * element_bytes;
    if (!look->failed && look->count - at - 4 < bytes) look->failed = true;
    look->parts_bytes += 4 + bytes;
    if (look->parts_bytes > look->count * SHARING_MAX) look->failed = true;
    return look->failed ? 0 : count;
}

/* The text at `at`, NUL-terminated and lent; "" for `at` 0. */
static const char *text(struct look *look, uint64_t at, uint32_t *out_count)
{
    *out_count = vector_count(look, at, 1);
    if (at == 0 || look->failed) return "";
    if (number(look, at + 4 + *out_count, 1) != 0) look->failed = true;
    if (!look->failed) return (const char *)look->bytes + at + 4;
    *out_count = 0;
    return "";
}

static basalt_status senseless(basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "a message of the Arrow stream has metadata that makes no sense");
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* The place of the message's header, which must be of the type `wanted`. */
static basalt_status find_header(
    struct look *look, unsigned wanted, uint64_t *out_header, basalt_error *err)
{
    const uint64_t root = number(look, 0, 4);
    const uint64_t version = value(look, root, MESSAGE_VERSION, 2, 0);
    const uint64_t kind = value(look, root, MESSAGE_HEADER_TYPE, 1, 0);
    *out_header = follow(look, root, MESSAGE_HEADER);
    if (look->failed || *out_header == 0) return senseless(err);
    if (version != VERSION_4 && version != BS_IPC_VERSION_5) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow stream has metadata of version %" PRIu64 "; Basalt reads versions 4 and 5",
            version + 1);
    }
    if (kind == HEADER_DICTIONARY) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow stream has dictionaries, which Basalt does not store: decode them first");
    }
    if (kind == HEADER_TENSOR || kind == HEADER_SPARSE_TENSOR) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow stream has a tensor message, which Basalt does not store");
    }
    if (kind != BS_IPC_HEADER_SCHEMA && kind != BS_IPC_HEADER_BATCH) return senseless(err);
    if (kind != wanted) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            wanted == BS_IPC_HEADER_SCHEMA
                ? "the Arrow stream does not begin with a schema"
                : "the Arrow stream has a second schema; a stream has one");
    }
    return BASALT_OK;
}

/* ---- types ------------------------------------------------------------------------------------- */

/* Unit of Time, Timestamp and Duration as a letter of the format string, 0 if there is none such. */
static char unit_letter(struct look *look, uint64_t type, uint64_t otherwise)
{
    const uint64_t unit = value(look, type, 0, 2, otherwise);
    return unit < 4 ? "smun"[unit] : 0;
}

static const char *integer_format(struct look *look, uint64_t type)
{
    const bool is_signed = value(look, type, 1, 1, 0) != 0;
    switch (value(look, type, 0, 4, 0)) {
    case 8: return is_signed ? "c" : "C";
    case 16: return is_signed ? "s" : "S";
    case 32: return is_signed ? "i" : "I";
    case 64: return is_signed ? "l" : "L";
    default: return NULL;
    }
}

static const char *float_format(struct look *look, uint64_t type)
{
    switch (value(look, type, 0, 2, 0)) {
    case 0: return "e";
    case 1: return "f";
    case 2: return "g";
    default: return NULL;
    }
}

static const char *time_format(struct look *look, uint64_t type)
{
    const uint64_t bits = value(look, type, 1, 4, 32);
    switch (unit_letter(look, type, 1)) {
    case 's': return bits == 32 ? "tts" : NULL;
    case 'm': return bits == 32 ? "ttm" : NULL;
    case 'u': return bits == 64 ? "ttu" : NULL;
    case 'n': return bits == 64 ? "ttn" : NULL;
    default: return NULL;
    }
}

/* The format string of a type without a parameter in it, or NULL. */
static const char *plain_format(struct look *look, uint64_t number_of_type, uint64_t type)
{
    switch (number_of_type) {
    case BS_IPC_INT: return integer_format(look, type);
    case BS_IPC_FLOAT: return float_format(look, type);
    case BS_IPC_BINARY: return "z";
    case BS_IPC_UTF8: return "u";
    case BS_IPC_BOOL: return "b";
    case BS_IPC_DATE: return value(look, type, 0, 2, 1) == 0 ? "tdD" : "tdm";
    case BS_IPC_TIME: return time_format(look, type);
    case BS_IPC_LARGE_BINARY: return "Z";
    case BS_IPC_LARGE_UTF8: return "U";
    default: return NULL;
    }
}

/* Appends the format string of the type and its NUL; fails the look if there is none. */
static void put_format(
    struct look *look, uint64_t number_of_type, uint64_t type, struct bs_bytes *out)
{
    const char *plain = plain_format(look, number_of_type, type);
    uint32_t zone_bytes;
    char unit;
    if (plain) {
        bs_bytes_text(out, "%s", plain);
    } else if (number_of_type == BS_IPC_FIXED) {
        bs_bytes_text(out, "w:%" PRIu32, (uint32_t)value(look, type, 0, 4, 0));
    } else if (number_of_type == BS_IPC_DURATION && (unit = unit_letter(look, type, 1)) != 0) {
        bs_bytes_text(out, "tD%c", unit);
    } else if (number_of_type == BS_IPC_TIMESTAMP && (unit = unit_letter(look, type, 0)) != 0) {
        const char *zone = text(look, follow(look, type, 1), &zone_bytes);
        if (memchr(zone, 0, zone_bytes)) look->failed = true;
        bs_bytes_text(out, "ts%c:", unit);
        bs_bytes_put(out, zone, zone_bytes);
    } else {
        look->failed = true;
    }
    bs_bytes_u8(out, 0);
}

/* ---- schema ------------------------------------------------------------------------------------ */

/* The pairs in the vector at `vector` as the C data interface lays them out. */
static basalt_status take_metadata(
    struct look *look, uint64_t vector, char **out_metadata, size_t *out_bytes, basalt_error *err)
{
    struct bs_bytes out = {0};
    const uint32_t pairs = vector_count(look, vector, 4);
    if (pairs == 0) return look->failed ? senseless(err) : BASALT_OK;
    bs_bytes_u32(&out, pairs);
    for (uint32_t i = 0; i < pairs && !look->failed; i++) {
        const uint64_t pair = target(look, vector + 4 + 4 * (uint64_t)i);
        for (unsigned part = 0; part < 2; part++) {
            uint32_t count;
            const char *bytes = text(look, follow(look, pair, part), &count);
            bs_bytes_u32(&out, count);
            bs_bytes_put(&out, bytes, count);
        }
    }
    basalt_status status = look->failed ? senseless(err) : bs_bytes_check(&out, err);
    if (!status && out.count > BS_METADATA_BYTES_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "schema metadata is larger than %zu bytes", BS_METADATA_BYTES_MAX);
    }
    if (status) {
        bs_bytes_free(&out);
        return status;
    }
    *out_metadata = (char *)out.data;
    *out_bytes = out.count;
    return BASALT_OK;
}

static basalt_status check_field(
    struct look *look, uint64_t at, const char *name, uint32_t name_bytes, basalt_error *err)
{
    const uint64_t type = value(look, at, FIELD_TYPE_NUMBER, 1, 0);
    const char *foreign = type < BS_ARRAY_LENGTH(foreign_types) ? foreign_types[type] : NULL;
    if (look->failed) return senseless(err);
    if (slot(look, at, FIELD_DICTIONARY)) foreign = "dictionary";
    if (foreign) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "field \"%.*s\" has the type %s, which Basalt does not store", bs_shown(name), name,
            foreign);
    }
    if (memchr(name, 0, name_bytes)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the name of field \"%.*s\" goes on after a NUL byte, which Basalt does not store",
            bs_shown(name), name);
    }
    if (vector_count(look, follow(look, at, FIELD_CHILDREN), 4) > 0) return senseless(err);
    return look->failed ? senseless(err) : BASALT_OK;
}

static basalt_status take_field(struct look *look, uint64_t at, size_t index,
    struct bs_bytes *format, struct bs_field *field, basalt_error *err)
{
    uint32_t name_bytes;
    const char *name = text(look, follow(look, at, FIELD_NAME), &name_bytes);
    basalt_status status = check_field(look, at, name, name_bytes, err);
    if (status) return status;
    const uint64_t type = follow(look, at, FIELD_TYPE);
    if (type == 0) return senseless(err);
    format->count = 0;
    put_format(look, value(look, at, FIELD_TYPE_NUMBER, 1, 0), type, format);
    if (look->failed) return senseless(err);
    status = bs_bytes_check(format, err);
    if (status) return status;
    const bool nullable = value(look, at, FIELD_NULLABLE, 1, 0) != 0;
    status = bs_field_make(field, index, name, (const char *)format->data, nullable, err);
    if (status) return status;
    return take_metadata(
        look, follow(look, at, FIELD_METADATA), &field->metadata, &field->metadata_bytes, err);
}

static basalt_status take_schema(
    struct look *look, uint64_t at, struct bs_schema **out_schema, basalt_error *err)
{
    struct bs_schema *schema = NULL;
    struct bs_bytes format = {0};
    const uint64_t fields = follow(look, at, SCHEMA_FIELDS);
    const uint32_t count = vector_count(look, fields, 4);
    if (look->failed) return senseless(err);
    if (count > BS_FIELDS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the schema has %" PRIu32 " columns; at most %d are possible", count, BS_FIELDS_MAX);
    }
    basalt_status status = bs_schema_make(count, &schema, err);
    if (status) return status;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t field = target(look, fields + 4 + 4 * (uint64_t)i);
        BS_TRY(take_field(look, field, i, &format, &schema->fields[i], err));
    }
    BS_TRY(take_metadata(
        look, follow(look, at, SCHEMA_METADATA), &schema->metadata, &schema->metadata_bytes, err));
    *out_schema = schema;
    schema = NULL;
out:
    bs_schema_release(schema);
    bs_bytes_free(&format);
    return status;
}

basalt_status bs_ipc_decode_schema(
    const uint8_t *message, size_t count, struct bs_schema **out_schema, basalt_error *err)
{
    struct look look = {.bytes = message, .count = count};
    uint64_t header;
    *out_schema = NULL;
    const basalt_status status = find_header(&look, BS_IPC_HEADER_SCHEMA, &header, err);
    if (status) return status;
    if (value(&look, header, SCHEMA_ENDIANNESS, 2, 0) != 0) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow data is big-endian, which Basalt does not read: write it as little-endian");
    }
    if (value(&look, number(&look, 0, 4), MESSAGE_BODY_BYTES, 8, 0) != 0) return senseless(err);
    return take_schema(&look, header, out_schema, err);
}

basalt_status bs_schema_decode(
    const void *bytes, size_t count, struct bs_schema **out_schema, basalt_error *err)
{
    *out_schema = NULL;
    if (count < BS_IPC_PREFIX_BYTES || count > BS_IPC_METADATA_BYTES_MAX ||
        bs_load_u32(bytes) != BS_IPC_CONTINUATION ||
        bs_load_u32((const uint8_t *)bytes + 4) > count - BS_IPC_PREFIX_BYTES) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the stored schema is not a whole Arrow IPC message");
    }
    return bs_ipc_decode_schema((const uint8_t *)bytes + BS_IPC_PREFIX_BYTES,
        bs_load_u32((const uint8_t *)bytes + 4), out_schema, err);
}

/* ---- record batches ---------------------------------------------------------------------------- */

static const struct bs_ipc_pair *pairs(struct look *look, uint64_t at, size_t *out_count)
{
    *out_count = vector_count(look, at, sizeof(struct bs_ipc_pair));
    if (*out_count > 0 && (at + 4) % 8 != 0) look->failed = true;
    return look->failed || *out_count == 0 ? NULL : (const void *)(look->bytes + at + 4);
}

basalt_status bs_ipc_decode_batch(const uint8_t *message, size_t count,
    const struct bs_schema *schema, struct bs_ipc_batch *out_batch, basalt_error *err)
{
    struct look look = {.bytes = message, .count = count};
    uint64_t header;
    size_t expected = 0;
    assert(((uintptr_t)message & 7) == 0);
    memset(out_batch, 0, sizeof *out_batch);
    const basalt_status status = find_header(&look, BS_IPC_HEADER_BATCH, &header, err);
    if (status) return status;
    const uint64_t compression = follow(&look, header, BATCH_COMPRESSION);
    if (!look.failed && compression) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow stream is compressed (%s), which Basalt does not read: write it without",
            value(&look, compression, 0, 1, 0) == 1 ? "zstd" : "lz4");
    }
    out_batch->rows = value(&look, header, BATCH_ROWS, 8, 0);
    out_batch->body_bytes = value(&look, number(&look, 0, 4), MESSAGE_BODY_BYTES, 8, 0);
    out_batch->nodes = pairs(&look, follow(&look, header, BATCH_NODES), &out_batch->node_count);
    out_batch->buffers =
        pairs(&look, follow(&look, header, BATCH_BUFFERS), &out_batch->buffer_count);
    for (size_t i = 0; i < schema->field_count; i++) {
        expected += schema->fields[i].width_bytes ? 2 : 3;
    }
    if (look.failed || out_batch->rows > INT64_MAX || out_batch->body_bytes > INT64_MAX ||
        out_batch->node_count != schema->field_count || out_batch->buffer_count != expected) {
        return senseless(err);
    }
    return BASALT_OK;
}
