/* h5_attribute.c - attributes: messages of versions 1 to 3, their texts and numbers. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define TYPE_SHARED 1
#define SPACE_SHARED 2

void bs_h5_attribute_clear(struct bs_h5_attribute *attribute)
{
    bs_free(attribute->name);
    bs_h5_type_free(attribute->type);
    bs_free(attribute->bytes);
    memset(attribute, 0, sizeof *attribute);
}

/* ---- decoding --------------------------------------------------------------------------------- */

struct parts { /* of the message: each in a cursor of its own */
    uint8_t version, flags;
    const uint8_t *name;
    size_t name_bytes;
    struct bs_cursor type, space;
};

static struct bs_cursor take(struct bs_cursor *cursor, size_t count, bool padded)
{
    struct bs_cursor part = *cursor;
    const uint64_t offset = bs_cursor_offset(cursor);
    const uint8_t *bytes = bs_cursor_bytes(cursor, count);

    if (padded && count % 8) bs_cursor_skip(cursor, 8 - count % 8);
    if (bytes) return bs_cursor_make(bytes, count, offset);
    part.failed = true;
    return part;
}

static basalt_status split(struct bs_cursor *cursor, struct parts *parts, basalt_error *err)
{
    parts->version = bs_cursor_u8(cursor);
    parts->flags = bs_cursor_u8(cursor);
    parts->name_bytes = bs_cursor_u16(cursor);
    const size_t type_bytes = bs_cursor_u16(cursor);
    const size_t space_bytes = bs_cursor_u16(cursor);
    const bool padded = parts->version == 1;
    if (padded) parts->flags = 0;
    if (!cursor->failed && (parts->version < 1 || parts->version > 3))
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor),
            "the attribute at %" PRIu64 " has the unknown version %u", cursor->file_offset,
            parts->version);
    if (parts->version == 3) bs_cursor_skip(cursor, 1); /* character set of the name */
    struct bs_cursor name = take(cursor, parts->name_bytes, padded);
    parts->name = name.start;
    parts->type = take(cursor, type_bytes, padded);
    parts->space = take(cursor, space_bytes, padded);
    return bs_cursor_check(cursor, "an attribute", err);
}

static basalt_status copy_name(const struct parts *parts, char **out_name, basalt_error *err)
{
    const uint8_t *end = memchr(parts->name, 0, parts->name_bytes);
    const size_t count = end ? (size_t)(end - parts->name) : parts->name_bytes;

    *out_name = bs_alloc(count + 1);
    if (!*out_name) return bs_fail_memory(err, count + 1);
    memcpy(*out_name, parts->name, count);
    (*out_name)[count] = 0;
    return BASALT_OK;
}

static basalt_status copy_data(
    struct bs_cursor *cursor, struct bs_h5_attribute *attribute, basalt_error *err)
{
    uint64_t count = 0;
    basalt_status status = bs_h5_space_count(&attribute->space, &count, err);
    if (status) return status;
    if (count > bs_cursor_left(cursor) / attribute->type->size_bytes)
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor),
            "the attribute \"%.60s\" is cut short", attribute->name);
    attribute->byte_count = (size_t)count * attribute->type->size_bytes;
    attribute->bytes =
        bs_copy_bytes(bs_cursor_bytes(cursor, attribute->byte_count), attribute->byte_count);
    return attribute->bytes ? BASALT_OK : bs_fail_memory(err, attribute->byte_count);
}

basalt_status bs_h5_attribute_decode(struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_bytes *committed, struct bs_h5_attribute *out_attribute, basalt_error *err)
{
    struct parts parts = {0};
    struct bs_h5_body space = {0};

    const size_t committed_before = committed->count;
    memset(out_attribute, 0, sizeof *out_attribute);
    out_attribute->type_address = BS_H5_UNDEFINED;
    basalt_status status = split(cursor, &parts, err);
    if (status) return status;
    BS_TRY(copy_name(&parts, &out_attribute->name, err));
    BS_TRY(bs_h5_type_follow(
        h5, &parts.type, parts.flags & TYPE_SHARED, committed, &out_attribute->type, err));
    if (committed->count > committed_before)
        out_attribute->type_address = bs_load_u64(committed->data + committed_before);
    BS_TRY(bs_h5_body_find(
        h5, BS_H5_MESSAGE_SPACE, parts.space, parts.flags & SPACE_SHARED, &space, err));
    BS_TRY(bs_h5_space_decode(h5, &space.cursor, &out_attribute->space, err));
    BS_TRY(copy_data(cursor, out_attribute, err));
out:
    bs_h5_body_free(&space);
    if (status) bs_h5_attribute_clear(out_attribute);
    return status;
}

/* ---- all attributes of an object -------------------------------------------------------------- */

struct collector {
    struct bs_h5_file *h5;
    struct bs_h5_object *object;
    size_t room;
};

static basalt_status collect(void *context, struct bs_cursor cursor, basalt_error *err)
{
    struct collector *collector = context;
    struct bs_h5_object *object = collector->object;

    if (object->attribute_count == collector->room) {
        const size_t room = collector->room ? collector->room * 2 : 4;
        void *grown = bs_realloc(object->attributes, room * sizeof *object->attributes);
        if (!grown) return bs_fail_memory(err, room * sizeof *object->attributes);
        object->attributes = grown;
        collector->room = room;
    }
    basalt_status status = bs_h5_attribute_decode(collector->h5, &cursor, &object->committed,
        &object->attributes[object->attribute_count], err);
    if (!status) object->attribute_count++;
    return status;
}

static basalt_status read_info(
    const struct bs_h5_file *h5, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_h5_message *message =
        bs_h5_header_find(object->header, BS_H5_MESSAGE_ATTRIBUTE_INFO);

    object->attribute_heap = object->attribute_names = object->attribute_order = BS_H5_UNDEFINED;
    if (!message) return BASALT_OK;
    struct bs_cursor cursor = bs_h5_message_cursor(h5, message);
    const uint8_t version = bs_cursor_u8(&cursor);
    const uint8_t flags = bs_cursor_u8(&cursor);
    if (!cursor.failed && version)
        return bs_fail(err, BASALT_CORRUPT, cursor.file_offset,
            "the attribute info message at %" PRIu64 " has an unknown version", cursor.file_offset);
    if (flags & 1) bs_cursor_skip(&cursor, 2);
    object->attribute_heap = bs_h5_address(h5, &cursor);
    object->attribute_names = bs_h5_address(h5, &cursor);
    if (flags & 2) object->attribute_order = bs_h5_address(h5, &cursor);
    return bs_cursor_check(&cursor, "an attribute info message", err);
}

basalt_status bs_h5_attributes_load(
    struct bs_h5_file *h5, struct bs_h5_object *object, basalt_error *err)
{
    struct collector collector = {.h5 = h5, .object = object};
    const struct bs_h5_header *header = object->header;
    basalt_status status = read_info(h5, object, err);

    for (size_t i = 0; !status && i < header->message_count; i++) {
        const struct bs_h5_message *message = &header->messages[i];
        if (message->type != BS_H5_MESSAGE_ATTRIBUTE) continue;
        struct bs_h5_body body;
        status = bs_h5_message_body(h5, message, &body, err);
        if (!status) status = collect(&collector, body.cursor, err);
        bs_h5_body_free(&body);
    }
    if (!status && object->attribute_heap != BS_H5_UNDEFINED)
        status = bs_h5_dense_each(
            h5, object->attribute_heap, object->attribute_names, collect, &collector, err);
    return status;
}

/* ---- values ----------------------------------------------------------------------------------- */

static basalt_status copy_text(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    char **out_text = context;
    const char *end = count ? memchr(bytes, 0, count) : NULL;
    const size_t length = end ? (size_t)(end - (const char *)bytes) : count;

    (void)index;
    *out_text = bs_alloc(length + 1);
    if (!*out_text) return bs_fail_memory(err, length + 1);
    if (length) memcpy(*out_text, bytes, length);
    (*out_text)[length] = 0;
    return BASALT_OK;
}

basalt_status bs_h5_attribute_text(struct bs_h5_file *h5, const struct bs_h5_attribute *attribute,
    char **out_text, basalt_error *err)
{
    const struct bs_h5_type *type = attribute->type;
    const bool fixed = type->kind == BS_H5_STRING;

    *out_text = NULL;
    if ((!fixed && !(type->kind == BS_H5_VARIABLE && type->variable_string)) ||
        attribute->byte_count != type->size_bytes)
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "the attribute \"%.60s\" is not one text", attribute->name);
    if (!fixed) return bs_h5_resolve(h5, type, attribute->bytes, 1, copy_text, out_text, err);
    size_t count = attribute->byte_count;
    while (type->padding == 2 && count && attribute->bytes[count - 1] == ' ') count--;
    return copy_text(out_text, 0, attribute->bytes, count, err);
}

basalt_status bs_h5_attribute_u64(
    const struct bs_h5_attribute *attribute, uint64_t *out_value, basalt_error *err)
{
    const struct bs_h5_type *type = attribute->type;
    uint8_t bytes[8];

    *out_value = 0;
    if (type->kind != BS_H5_INTEGER || type->size_bytes > sizeof bytes || type->bit_offset ||
        type->bit_precision != type->size_bytes * 8 || attribute->byte_count != type->size_bytes)
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "the attribute \"%.60s\" is not one whole number", attribute->name);
    memcpy(bytes, attribute->bytes, type->size_bytes);
    bs_h5_type_to_little_endian(type, bytes, 1);
    struct bs_cursor cursor = bs_cursor_make(bytes, type->size_bytes, BASALT_NO_OFFSET);
    const uint64_t value = bs_cursor_uint(&cursor, type->size_bytes);
    if (type->is_signed && bytes[type->size_bytes - 1] & 0x80)
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "the attribute \"%.60s\" is negative", attribute->name);
    *out_value = value;
    return BASALT_OK;
}

size_t bs_h5_attribute_count(const struct bs_h5_object *object)
{
    return object->attribute_count;
}

const struct bs_h5_attribute *bs_h5_attribute_at(const struct bs_h5_object *object, size_t index)
{
    assert(index < object->attribute_count);
    return &object->attributes[index];
}

const struct bs_h5_attribute *bs_h5_attribute_find(
    const struct bs_h5_object *object, const char *name)
{
    for (size_t i = 0; i < object->attribute_count; i++)
        if (!strcmp(object->attributes[i].name, name)) return &object->attributes[i];
    return NULL;
}
