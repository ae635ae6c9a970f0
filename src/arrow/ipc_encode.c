/* ipc_encode.c - the metadata of Arrow IPC messages, as flatbuffers.
 *
 * Written here and not by nanoarrow, whose encoder ends every text at its first NUL byte and, when
 * memory is short at one place, returns a broken message as a good one: a schema is what makes stored
 * rows readable, so neither will do.
 *
 * A flatbuffer is written front to back: a table comes after its vtable and before
 * what it refers to, since offsets point forward; a reference is filled in when its target's place is
 * known. Positions count from the start of the message, which is a multiple of 8 in the stream. */
#include "arrow/ipc_internal.h"

#define SLOTS_MAX 7

struct message {
    struct bs_bytes *out;
    size_t start; /* of the message in `out` */
};

/* A table that has been written: where the values of its slots are. */
struct table {
    size_t at;
    size_t slots[SLOTS_MAX];
};

static size_t position(const struct message *message)
{
    return message->out->count - message->start;
}

/* Zeros until the position is `rest` beyond a multiple of 8. */
static void pad_to(struct message *message, size_t rest)
{
    bs_bytes_zeros(message->out, (rest - position(message)) & 7);
}

static void set(struct message *message, size_t at, uint64_t value, unsigned width_bytes)
{
    if (message->out->failed) return;
    uint8_t *place = message->out->data + message->start + at;
    for (unsigned i = 0; i < width_bytes; i++) place[i] = (uint8_t)(value >> (8 * i));
}

/* The reference at `at` leads to what is written next. */
static void refer(struct message *message, size_t at)
{
    set(message, at, position(message) - at, 4);
}

/* A table with values of `widths[0..count)` bytes, 0 for a slot that is absent; all are 0 so far. The
 * first value is on a multiple of 8. */
static struct table put_table(struct message *message, const uint8_t *widths, unsigned count)
{
    struct table table = {0};
    size_t offsets[SLOTS_MAX] = {0}, end = 4;
    assert(count <= SLOTS_MAX);
    for (unsigned i = 0; i < count; i++) {
        if (widths[i] == 0) continue;
        end = ((end - 4 + widths[i] - 1) & ~(size_t)(widths[i] - 1)) + 4;
        offsets[i] = end;
        end += widths[i];
    }
    const size_t vtable_bytes = 4 + 2 * (size_t)count;
    pad_to(message, (4 - vtable_bytes) & 7); /* the table follows, 4 beyond a multiple of 8 */
    bs_bytes_u16(message->out, (uint16_t)vtable_bytes);
    bs_bytes_u16(message->out, (uint16_t)end);
    for (unsigned i = 0; i < count; i++) bs_bytes_u16(message->out, (uint16_t)offsets[i]);
    table.at = position(message);
    for (unsigned i = 0; i < count; i++) table.slots[i] = table.at + offsets[i];
    bs_bytes_u32(message->out, (uint32_t)vtable_bytes);
    bs_bytes_zeros(message->out, end - 4);
    return table;
}

static void put_text(struct message *message, const char *text, size_t count)
{
    pad_to(message, (position(message) + 3) & 4);
    bs_bytes_u32(message->out, (uint32_t)count);
    bs_bytes_put(message->out, text, count);
    bs_bytes_u8(message->out, 0);
}

/* A text that the reference at `at` leads to. */
static void refer_to_text(struct message *message, size_t at, const char *text, size_t count)
{
    pad_to(message, (position(message) + 3) & 4);
    refer(message, at);
    put_text(message, text, count);
}

/* A vector of `count` references that the reference at `at` leads to. Gives where its first one is. */
static size_t refer_to_vector(struct message *message, size_t at, size_t count)
{
    pad_to(message, (position(message) + 3) & 4);
    refer(message, at);
    bs_bytes_u32(message->out, (uint32_t)count);
    const size_t first = position(message);
    bs_bytes_zeros(message->out, count * 4);
    return first;
}

static struct table refer_to_table(
    struct message *message, size_t at, const uint8_t *widths, unsigned count)
{
    const struct table table = put_table(message, widths, count);
    set(message, at, table.at - at, 4);
    return table;
}

/* ---- schema ------------------------------------------------------------------------------------ */

static void put_metadata(struct message *message, size_t at, const char *metadata)
{
    static const uint8_t key_value[] = {4, 4};
    const uint32_t pairs = bs_load_u32(metadata);
    const size_t vector = refer_to_vector(message, at, pairs);
    metadata += 4;
    for (uint32_t i = 0; i < pairs; i++) {
        const struct table pair = refer_to_table(message, vector + 4 * (size_t)i, key_value, 2);
        for (unsigned part = 0; part < 2; part++) {
            const uint32_t count = bs_load_u32(metadata);
            refer_to_text(message, pair.slots[part], metadata + 4, count);
            metadata += 4 + count;
        }
    }
}

uint8_t bs_ipc_type_number(const struct bs_field *field)
{
    const bool large = field->format[0] == 'U' || field->format[0] == 'Z';
    switch (field->kind) {
    case BS_KIND_BOOL: return BS_IPC_BOOL;
    case BS_KIND_INT:
    case BS_KIND_UINT: return BS_IPC_INT;
    case BS_KIND_FLOAT: return BS_IPC_FLOAT;
    case BS_KIND_TEXT: return large ? BS_IPC_LARGE_UTF8 : BS_IPC_UTF8;
    case BS_KIND_BINARY: return large ? BS_IPC_LARGE_BINARY : BS_IPC_BINARY;
    case BS_KIND_FIXED: return BS_IPC_FIXED;
    case BS_KIND_DATE: return BS_IPC_DATE;
    case BS_KIND_TIME: return BS_IPC_TIME;
    case BS_KIND_TIMESTAMP: return BS_IPC_TIMESTAMP;
    case BS_KIND_DURATION: return BS_IPC_DURATION;
    }
    return 0;
}

/* TimeUnit: s, ms, us, ns; DateUnit: day, ms. */
static uint64_t unit_number(const struct bs_field *field)
{
    switch (field->unit[0]) {
    case 'm': return 1;
    case 'u': return 2;
    case 'n': return 3;
    default: return 0;
    }
}

/* The table of the field's type: up to a number of 4 bytes, one of 2 and a flag or text. */
static void put_type(struct message *message, size_t at, const struct bs_field *field)
{
    static const uint8_t integer[] = {4, 1}, number[] = {4}, small[] = {2}, time[] = {2, 4},
                         zoned[] = {2, 4};
    struct table type;
    switch (field->kind) {
    case BS_KIND_INT:
    case BS_KIND_UINT:
        type = refer_to_table(message, at, integer, 2);
        set(message, type.slots[0], field->width_bytes * 8, 4);
        set(message, type.slots[1], field->kind == BS_KIND_INT, 1);
        break;
    case BS_KIND_FIXED:
        type = refer_to_table(message, at, number, 1);
        set(message, type.slots[0], field->width_bytes, 4);
        break;
    case BS_KIND_FLOAT:
        type = refer_to_table(message, at, small, 1);
        set(message, type.slots[0], field->width_bytes / 4, 2); /* half, single, double */
        break;
    case BS_KIND_DATE:
    case BS_KIND_DURATION:
        type = refer_to_table(message, at, small, 1);
        set(message, type.slots[0], unit_number(field), 2);
        break;
    case BS_KIND_TIME:
        type = refer_to_table(message, at, time, 2);
        set(message, type.slots[0], unit_number(field), 2);
        set(message, type.slots[1], field->width_bytes * 8, 4);
        break;
    case BS_KIND_TIMESTAMP:
        type = refer_to_table(message, at, zoned, field->zone ? 2 : 1);
        set(message, type.slots[0], unit_number(field), 2);
        if (field->zone) {
            refer_to_text(message, type.slots[1], field->zone, strlen(field->zone));
        }
        break;
    default: refer_to_table(message, at, NULL, 0); break;
    }
}

static void put_field(struct message *message, size_t at, const struct bs_field *field)
{
    /* name, nullable, number of the type, type, dictionary, children, metadata */
    const uint8_t widths[] = {4, 1, 1, 4, 0, 4, field->metadata ? 4 : 0};
    const struct table table = refer_to_table(message, at, widths, 7);
    set(message, table.slots[1], field->nullable, 1);
    set(message, table.slots[2], bs_ipc_type_number(field), 1);
    refer_to_text(message, table.slots[0], field->name, strlen(field->name));
    put_type(message, table.slots[3], field);
    refer_to_vector(message, table.slots[5], 0);
    if (field->metadata) put_metadata(message, table.slots[6], field->metadata);
}

/* ---- nested and coded columns ------------------------------------------------------------------ */

static void put_decimal(struct message *message, size_t at, const struct bs_ipc_node *node)
{
    static const uint8_t decimal[] = {4, 4, 4};
    const struct table type = refer_to_table(message, at, decimal, 3);
    set(message, type.slots[0], (uint32_t)node->precision, 4);
    set(message, type.slots[1], (uint32_t)node->scale, 4);
    set(message, type.slots[2], node->width_bytes * 8, 4);
}

/* Sparse, with the ids of its members. */
static void put_union(struct message *message, size_t at, const struct bs_ipc_node *node)
{
    static const uint8_t widths[] = {2, 4};
    const struct table type = refer_to_table(message, at, widths, 2);
    const size_t ids = refer_to_vector(message, type.slots[1], node->child_count);
    for (size_t i = 0; i < node->child_count; i++)
        set(message, ids + 4 * i, node->member_ids[i], 4);
}

static void put_node_type(struct message *message, size_t at, const struct bs_ipc_node *node)
{
    static const uint8_t number[] = {4}, small[] = {2}, flag[] = {1};
    struct table type;
    switch (node->type) {
    case BS_IPC_DECIMAL: put_decimal(message, at, node); break;
    case BS_IPC_INTERVAL:
        type = refer_to_table(message, at, small, 1);
        set(message, type.slots[0], node->interval_unit, 2);
        break;
    case BS_IPC_FIXED_LIST:
        type = refer_to_table(message, at, number, 1);
        set(message, type.slots[0], node->list_size, 4);
        break;
    case BS_IPC_MAP:
        type = refer_to_table(message, at, flag, 1);
        set(message, type.slots[0], node->keys_sorted, 1);
        break;
    case BS_IPC_UNION: put_union(message, at, node); break;
    case BS_IPC_NULL:
    case BS_IPC_LIST:
    case BS_IPC_LARGE_LIST:
    case BS_IPC_STRUCT: refer_to_table(message, at, NULL, 0); break;
    default: put_type(message, at, &node->field);
    }
}

/* DictionaryEncoding: id, type of the codes, whether their order means something. */
static void put_coding(struct message *message, size_t at, const struct bs_ipc_node *node)
{
    static const uint8_t widths[] = {8, 4, 1};
    const struct table coding = refer_to_table(message, at, widths, 3);
    set(message, coding.slots[0], (uint64_t)node->dictionary_id, 8);
    set(message, coding.slots[2], node->ordered, 1);
    put_type(message, coding.slots[1], &node->field);
}

static void put_node(struct message *message, size_t at, const struct bs_ipc_node *node)
{
    const struct bs_field *field = &node->field;
    const struct bs_ipc_node *values = node->dictionary ? node->dictionary : node;
    const uint8_t widths[] = {4, 1, 1, 4, node->dictionary ? 4 : 0, 4, field->metadata ? 4 : 0};
    const struct table table = refer_to_table(message, at, widths, 7);
    set(message, table.slots[1], field->nullable, 1);
    set(message, table.slots[2], values->type, 1);
    refer_to_text(message, table.slots[0], field->name, strlen(field->name));
    put_node_type(message, table.slots[3], values);
    if (node->dictionary) put_coding(message, table.slots[4], node);
    const size_t children = refer_to_vector(message, table.slots[5], values->child_count);
    for (size_t i = 0; i < values->child_count; i++) {
        put_node(message, children + 4 * i, &values->children[i]);
    }
    if (field->metadata) put_metadata(message, table.slots[6], field->metadata);
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* Prefix and root of a message whose header comes next. Gives the place of the reference to it. */
static size_t begin(struct message *message, uint8_t header_type, uint64_t body_bytes)
{
    static const uint8_t widths[] = {2, 1, 4, 8}; /* version, header type, header, body length */
    bs_bytes_align(message->out, 8);
    bs_bytes_u32(message->out, BS_IPC_CONTINUATION);
    bs_bytes_u32(message->out, 0);
    message->start = message->out->count;
    bs_bytes_u32(message->out, 0);
    const struct table table = refer_to_table(message, 0, widths, 4);
    set(message, table.slots[0], BS_IPC_VERSION_5, 2);
    set(message, table.slots[1], header_type, 1);
    set(message, table.slots[3], body_bytes, 8);
    return table.slots[2];
}

static basalt_status end(struct message *message, basalt_error *err)
{
    pad_to(message, 0);
    const basalt_status status = bs_bytes_check(message->out, err);
    if (status) return status;
    if (position(message) > BS_IPC_METADATA_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the schema takes %zu bytes as an Arrow message; at most %zu are possible",
            position(message), BS_IPC_METADATA_BYTES_MAX);
    }
    bs_store_u32(message->out->data + message->start - 4, (uint32_t)position(message));
    return BASALT_OK;
}

basalt_status bs_schema_encode(
    const struct bs_schema *schema, struct bs_bytes *out, basalt_error *err)
{
    struct message message = {out, 0};
    const uint8_t widths[] = {2, 4, schema->metadata ? 4 : 0}; /* endianness, fields, metadata */
    const size_t before = out->count;
    const size_t header = begin(&message, BS_IPC_HEADER_SCHEMA, 0);
    const struct table table = refer_to_table(&message, header, widths, 3);
    const size_t fields = refer_to_vector(&message, table.slots[1], schema->field_count);
    for (size_t i = 0; i < schema->field_count; i++) {
        put_field(&message, fields + 4 * i, &schema->fields[i]);
    }
    if (schema->metadata) put_metadata(&message, table.slots[2], schema->metadata);
    const basalt_status status = end(&message, err);
    if (status) out->count = before;
    return status;
}

basalt_status bs_ipc_encode_nodes(
    const struct bs_ipc_node *root, struct bs_bytes *out, basalt_error *err)
{
    struct message message = {out, 0};
    const uint8_t widths[] = {2, 4, root->field.metadata ? 4 : 0};
    const size_t before = out->count;
    const size_t header = begin(&message, BS_IPC_HEADER_SCHEMA, 0);
    const struct table table = refer_to_table(&message, header, widths, 3);
    const size_t fields = refer_to_vector(&message, table.slots[1], root->child_count);
    for (size_t i = 0; i < root->child_count; i++) {
        put_node(&message, fields + 4 * i, &root->children[i]);
    }
    if (root->field.metadata) put_metadata(&message, table.slots[2], root->field.metadata);
    const basalt_status status = end(&message, err);
    if (status) out->count = before;
    return status;
}

/* A vector of pairs of 8-byte numbers. */
static void put_pairs(
    struct message *message, size_t at, const struct bs_ipc_pair *pairs, size_t count)
{
    pad_to(message, 4);
    refer(message, at);
    bs_bytes_u32(message->out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        bs_bytes_u64(message->out, pairs[i].first);
        bs_bytes_u64(message->out, pairs[i].second);
    }
}

/* RecordBatch: rows, nodes, buffers. */
static void put_batch(struct message *message, size_t at, const struct bs_ipc_batch *batch)
{
    static const uint8_t widths[] = {8, 4, 4};
    const struct table table = refer_to_table(message, at, widths, 3);
    set(message, table.slots[0], batch->rows, 8);
    put_pairs(message, table.slots[1], batch->nodes, batch->node_count);
    put_pairs(message, table.slots[2], batch->buffers, batch->buffer_count);
}

basalt_status bs_ipc_encode_batch(
    const struct bs_ipc_batch *batch, struct bs_bytes *out, basalt_error *err)
{
    struct message message = {out, 0};
    put_batch(&message, begin(&message, BS_IPC_HEADER_BATCH, batch->body_bytes), batch);
    return end(&message, err);
}

/* DictionaryBatch: id, values, and no flag: they take the place of those before. */
basalt_status bs_ipc_encode_dictionary(
    int64_t id, const struct bs_ipc_batch *batch, struct bs_bytes *out, basalt_error *err)
{
    static const uint8_t widths[] = {8, 4};
    struct message message = {out, 0};
    const size_t header = begin(&message, BS_IPC_HEADER_DICTIONARY, batch->body_bytes);
    const struct table table = refer_to_table(&message, header, widths, 2);
    set(&message, table.slots[0], (uint64_t)id, 8);
    put_batch(&message, table.slots[1], batch);
    return end(&message, err);
}
