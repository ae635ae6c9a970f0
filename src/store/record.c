/* record.c - what a log record holds: the operations of a transaction.
 *
 * RECORD, little-endian, starts on a multiple of 8 in memory
 *    0  u32  magic "BSR1"
 *    4  u32  operations
 *    8  u32  appends         of them, i.e. row numbers at the end
 *   12  u32  0
 *   16       operations
 *    .       u64 first row, one for each append in order
 *
 * OPERATION, starts on a multiple of 8
 *    0  u32  kind            1 create a family, 2 append rows, 3 set an attribute
 *    4  u32  family          its number, from 1; 0: the root
 *    8  u64  body bytes      zeros follow up to a multiple of 8
 *   16       body
 *
 *   create:    i32 compression level, u32 flags (1: row index), u64 chunk rows, u64 wall clock in
 *              ns, u32 name bytes, u32 schema bytes, name with its NUL, Arrow IPC schema message
 *   append:    u64 rows, encoded batch (arrow/batch.c)
 *   attribute: u32 name bytes, u32 value bytes, name and value, each with its NUL
 *
 * The row numbers stand at the end because they are known last, under the commit lock, when the
 * checksum of all that stands before them has been taken already. */
#include "store/store_internal.h"

#define RECORD_MAGIC 0x31525342u
#define OP_HEADER_BYTES ((size_t)16)
#define CREATE_ROW_INDEX 1u

void bs_record_begin(struct bs_bytes *record)
{
    bs_bytes_zeros(record, BS_RECORD_HEADER_BYTES);
}

size_t bs_record_op_begin(struct bs_bytes *record, enum bs_op_kind kind, uint32_t family_id)
{
    const size_t at = record->count;
    bs_bytes_u32(record, (uint32_t)kind);
    bs_bytes_u32(record, family_id);
    bs_bytes_u64(record, 0);
    return at;
}

void bs_record_op_end(struct bs_bytes *record, size_t at)
{
    if (record->failed) return;
    bs_store_u64(record->data + at + 8, record->count - at - OP_HEADER_BYTES);
    bs_bytes_align(record, 8);
}

void bs_record_creation_put(
    struct bs_bytes *record, uint32_t family_id, const struct bs_record_creation *creation)
{
    const size_t name_bytes = strlen(creation->name) + 1;
    const size_t at = bs_record_op_begin(record, BS_OP_CREATE, family_id);
    bs_bytes_u32(record, (uint32_t)creation->compression_level);
    bs_bytes_u32(record, creation->row_index ? CREATE_ROW_INDEX : 0);
    bs_bytes_u64(record, creation->chunk_rows);
    bs_bytes_u64(record, creation->created_wall_ns);
    bs_bytes_u32(record, (uint32_t)name_bytes);
    bs_bytes_u32(record, (uint32_t)creation->schema_bytes);
    bs_bytes_put(record, creation->name, name_bytes);
    bs_bytes_put(record, creation->schema, creation->schema_bytes);
    bs_record_op_end(record, at);
}

void bs_record_attribute_put(struct bs_bytes *record, uint32_t family_id, const char *name,
    const char *value, size_t *out_name_offset, size_t *out_value_offset)
{
    const size_t name_bytes = strlen(name) + 1, value_bytes = strlen(value) + 1;
    const size_t at = bs_record_op_begin(record, BS_OP_ATTRIBUTE, family_id);
    bs_bytes_u32(record, (uint32_t)name_bytes);
    bs_bytes_u32(record, (uint32_t)value_bytes);
    *out_name_offset = record->count;
    bs_bytes_put(record, name, name_bytes);
    *out_value_offset = record->count;
    bs_bytes_put(record, value, value_bytes);
    bs_record_op_end(record, at);
}

void bs_record_finish(struct bs_bytes *record, uint32_t operations, uint32_t appends)
{
    bs_bytes_zeros(record, (size_t)appends * 8);
    if (record->failed) return;
    bs_store_u32(record->data, RECORD_MAGIC);
    bs_store_u32(record->data + 4, operations);
    bs_store_u32(record->data + 8, appends);
    bs_store_u32(record->data + 12, 0);
}

void bs_record_set_first_row(
    struct bs_bytes *record, uint32_t appends, uint32_t index, uint64_t first_row)
{
    assert(index < appends);
    bs_store_u64(record->data + record->count - (size_t)(appends - index) * 8, first_row);
}

/* A text of `bytes` bytes that ends in its only NUL. */
static const char *read_text(struct bs_cursor *cursor, uint32_t bytes)
{
    const char *text = (const char *)bs_cursor_bytes(cursor, bytes);
    if (!text || !bytes || text[bytes - 1] || strlen(text) + 1 != bytes) {
        cursor->failed = true;
        return "";
    }
    return text;
}

static void read_creation(struct bs_cursor *body, struct bs_record_op *op)
{
    struct bs_record_creation *creation = &op->creation;
    creation->compression_level = (int)bs_cursor_u32(body);
    creation->row_index = (bs_cursor_u32(body) & CREATE_ROW_INDEX) != 0;
    creation->chunk_rows = bs_cursor_u64(body);
    creation->created_wall_ns = bs_cursor_u64(body);
    const uint32_t name_bytes = bs_cursor_u32(body);
    creation->schema_bytes = bs_cursor_u32(body);
    creation->name = read_text(body, name_bytes);
    creation->schema = bs_cursor_bytes(body, creation->schema_bytes);
    if (creation->compression_level < 0 || creation->compression_level > 9) body->failed = true;
}

static void read_body(struct bs_cursor *body, struct bs_record_op *op)
{
    uint32_t name_bytes, value_bytes;
    switch (op->kind) {
    case BS_OP_CREATE: read_creation(body, op); break;
    case BS_OP_APPEND:
        op->rows = bs_cursor_u64(body);
        op->block_bytes = bs_cursor_left(body);
        op->block = bs_cursor_bytes(body, op->block_bytes);
        break;
    case BS_OP_ATTRIBUTE:
        name_bytes = bs_cursor_u32(body);
        value_bytes = bs_cursor_u32(body);
        op->name = read_text(body, name_bytes);
        op->value = read_text(body, value_bytes);
        break;
    default: body->failed = true; break;
    }
}

static basalt_status bad_record(basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "a record of the log passes its checksum but does not hold what a record must");
}

static basalt_status read_operation(struct bs_cursor *cursor, struct bs_cursor *numbers,
    uint32_t *appends_left, struct bs_record_op *op, basalt_error *err)
{
    *op = (struct bs_record_op){.kind = (enum bs_op_kind)bs_cursor_u32(cursor)};
    op->family_id = bs_cursor_u32(cursor);
    const uint64_t body_bytes = bs_cursor_u64(cursor);
    if (cursor->failed || body_bytes > bs_cursor_left(cursor)) return bad_record(err);
    const uint8_t *bytes = bs_cursor_bytes(cursor, (size_t)body_bytes);
    bs_cursor_align(cursor, 8);
    struct bs_cursor body = bs_cursor_make(bytes, (size_t)body_bytes, BASALT_NO_OFFSET);
    read_body(&body, op);
    if (op->kind == BS_OP_APPEND) {
        if (!*appends_left) return bad_record(err);
        --*appends_left;
        op->first_row = bs_cursor_u64(numbers);
    }
    if (op->kind != BS_OP_ATTRIBUTE && !op->family_id) return bad_record(err);
    return cursor->failed || body.failed || numbers->failed ? bad_record(err) : BASALT_OK;
}

basalt_status bs_record_each(
    const void *bytes, size_t count, bs_record_fn each, void *context, basalt_error *err)
{
    struct bs_cursor cursor = bs_cursor_make(bytes, count, BASALT_NO_OFFSET);
    const uint32_t magic = bs_cursor_u32(&cursor);
    const uint32_t operations = bs_cursor_u32(&cursor);
    uint32_t appends_left = bs_cursor_u32(&cursor);
    bs_cursor_skip(&cursor, 4);
    if (cursor.failed || magic != RECORD_MAGIC) return bad_record(err);
    if (appends_left > bs_cursor_left(&cursor) / 8) return bad_record(err);
    const size_t number_bytes = (size_t)appends_left * 8;
    struct bs_cursor numbers = bs_cursor_make(
        (const uint8_t *)bytes + count - number_bytes, number_bytes, BASALT_NO_OFFSET);
    cursor.end -= number_bytes;
    for (uint32_t i = 0; i < operations; i++) {
        struct bs_record_op op;
        basalt_status status = read_operation(&cursor, &numbers, &appends_left, &op, err);
        if (!status) status = each(context, &op, err);
        if (status) return status;
    }
    return appends_left || bs_cursor_left(&cursor) ? bad_record(err) : BASALT_OK;
}
