/* write_attribute.c - attributes: fixed-length strings and numbers, scalar or in a row. */
#include "h5/writer_internal.h"

#define ATTRIBUTES_MAX 60000 /* of one object; readers become slow long before */
#define MESSAGE_BYTES_MAX 65535

void bs_node_attributes_free(struct bs_h5_node *node)
{
    for (size_t i = 0; i < node->attribute_count; i++) {
        bs_free(node->attributes[i].name);
        bs_free(node->attributes[i].body);
    }
    bs_free(node->attributes);
    node->attributes = NULL;
    node->attribute_count = 0;
}

struct bs_node_attribute *bs_node_attribute(const struct bs_h5_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++) {
        if (!strcmp(node->attributes[i].name, name)) return &node->attributes[i];
    }
    return NULL;
}

static basalt_status attribute_check(const struct bs_h5_node *node, const char *name,
    const struct bs_h5_type *type, const struct bs_h5_space *space, uint64_t *out_bytes,
    basalt_error *err)
{
    const bool plain = node->writer->plain;
    uint64_t count = 0;
    if (!plain && (name[0] == 0 || !bs_utf8_valid(name, strlen(name)))) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the name of an attribute is empty or not UTF-8");
    }
    if (!plain &&
        (type->kind == BS_H5_VARIABLE || type->kind == BS_H5_REFERENCE || space->rank > 1)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the attribute \"%.100s\" is not a number or fixed-length string, alone or in a row: "
            "others are read but not written",
            name);
    }
    basalt_status status = bs_h5_space_count(space, &count, err);
    if (status) return status;
    if (type->size_bytes == 0) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the type of the attribute \"%.100s\" has no bytes", name);
    }
    if ((!plain && strlen(name) > 1000) || count > BS_H5_ATTRIBUTE_BYTES_MAX / type->size_bytes) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the attribute \"%.60s\" has more than %d bytes, or its name more than 1,000: store it as "
            "a dataset",
            name, BS_H5_ATTRIBUTE_BYTES_MAX);
    }
    *out_bytes = count * type->size_bytes;
    return BASALT_OK;
}

/* Version 3 of the message: the first that says which characters its name has. */
static basalt_status attribute_encode(const char *name, const struct bs_h5_type *type,
    bool type_shared, const struct bs_h5_space *space, const void *data, size_t bytes,
    struct bs_bytes *out, basalt_error *err)
{
    struct bs_bytes type_body = {0}, space_body = {0};
    basalt_status status = BASALT_OK;
    if (type_shared) {
        bs_put_shared(&type_body);
    } else {
        BS_TRY(bs_h5_type_encode(type, &type_body, err));
    }
    bs_put_dataspace(&space_body, space);
    BS_TRY(bs_bytes_check(&space_body, err));
    bs_bytes_u8(out, 3);
    bs_bytes_u8(out, type_shared); /* flags */
    bs_bytes_u16(out, (uint16_t)(strlen(name) + 1));
    bs_bytes_u16(out, (uint16_t)type_body.count);
    bs_bytes_u16(out, (uint16_t)space_body.count);
    bs_bytes_u8(out, bs_utf8_valid(name, strlen(name)));
    bs_bytes_put(out, name, strlen(name) + 1);
    bs_bytes_put(out, type_body.data, type_body.count);
    bs_bytes_put(out, space_body.data, space_body.count);
    if (bytes) bs_bytes_put(out, data, bytes);
    BS_TRY(bs_bytes_check(out, err));
    if (out->count > MESSAGE_BYTES_MAX || type_body.count > UINT16_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the attribute \"%.60s\" takes more than 65,535 bytes with its type", name);
    }
out:
    bs_bytes_free(&type_body);
    bs_bytes_free(&space_body);
    return status;
}

basalt_status bs_node_put_attribute(
    struct bs_h5_node *node, const char *name, uint8_t *body, size_t body_bytes, basalt_error *err)
{
    struct bs_node_attribute *there = bs_node_attribute(node, name);
    if (there) {
        bs_free(there->body);
        there->body = body;
        there->body_bytes = (uint16_t)body_bytes;
        return BASALT_OK;
    }
    if (node->attribute_count >= ATTRIBUTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "an object can have at most %d attributes", ATTRIBUTES_MAX);
    }
    char *copy = bs_copy_string(name);
    if (!copy) return bs_fail_memory(err, strlen(name) + 1);
    const size_t bytes = (node->attribute_count + 1) * sizeof *node->attributes;
    void *grown = bs_realloc(node->attributes, bytes);
    if (!grown) {
        bs_free(copy);
        return bs_fail_memory(err, bytes);
    }
    node->attributes = grown;
    node->attributes[node->attribute_count++] =
        (struct bs_node_attribute){.name = copy, .body = body, .body_bytes = (uint16_t)body_bytes};
    return BASALT_OK;
}

basalt_status bs_node_set_attribute(struct bs_h5_node *node, const char *name,
    const struct bs_h5_type *type, const struct bs_h5_space *space, const void *data,
    basalt_error *err)
{
    struct bs_bytes body = {0};
    uint64_t bytes = 0;
    basalt_status status = attribute_check(node, name, type, space, &bytes, err);
    if (status) return status;
    BS_TRY(attribute_encode(name, type, false, space, data, (size_t)bytes, &body, err));
    BS_TRY(bs_node_put_attribute(node, name, body.data, body.count, err));
    body = (struct bs_bytes){0};
    node->attributes_dirty = true;
    bs_node_dirty(node);
out:
    bs_bytes_free(&body);
    return status;
}

basalt_status bs_node_set_u64(
    struct bs_h5_node *node, const char *name, uint64_t value, basalt_error *err)
{
    const struct bs_h5_space scalar = {0};
    uint8_t bytes[8];
    struct bs_h5_type *type = bs_h5_type_integer(8, false);
    if (!type) return bs_fail_memory(err, sizeof *type);
    bs_store_u64(bytes, value);
    const basalt_status status = bs_node_set_attribute(node, name, type, &scalar, bytes, err);
    bs_h5_type_free(type);
    return status;
}

void bs_node_change_u64(struct bs_h5_node *node, const char *name, uint64_t value)
{
    struct bs_node_attribute *there = bs_node_attribute(node, name);
    assert(there && there->body_bytes >= 8);
    bs_store_u64(there->body + there->body_bytes - 8, value);
}

basalt_status bs_h5_make_attribute(struct bs_h5_writer *writer, struct bs_h5_node *node,
    const char *name, const struct bs_h5_type *type, struct bs_h5_node *type_node,
    const struct bs_h5_space *space, const void *data, basalt_error *err)
{
    struct bs_bytes body = {0};
    uint64_t bytes = 0;
    basalt_status status = bs_writer_check(writer, err);
    if (!status) status = attribute_check(node, name, type, space, &bytes, err);
    if (status) return status;
    BS_TRY(attribute_encode(name, type, type_node, space, data, (size_t)bytes, &body, err));
    BS_TRY(bs_node_put_attribute(node, name, body.data, body.count, err));
    body = (struct bs_bytes){0};
    struct bs_node_attribute *attribute = bs_node_attribute(node, name);
    attribute->type_node = type_node;
    if (type_node) bs_node_add_link(type_node);
    attribute->type_at = (uint16_t)(9 + strlen(name) + 1 + BS_SHARED_ADDRESS_AT);
    node->attributes_dirty = true;
    bs_node_dirty(node);
out:
    bs_bytes_free(&body);
    return status;
}

void bs_h5_change_attribute(
    struct bs_h5_node *node, const char *name, const void *data, size_t bytes)
{
    struct bs_node_attribute *there = bs_node_attribute(node, name);
    assert(there && there->body_bytes >= bytes);
    if (bytes) memcpy(there->body + there->body_bytes - bytes, data, bytes);
}

/* ---- the calls ----------------------------------------------------------------------------- */

static basalt_status target_check(
    const struct bs_h5_writer *writer, const struct bs_h5_node *node, basalt_error *err)
{
    if (node == writer->identity_node) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the attributes of /.basalt are the file's identity and are set by commits");
    }
    return bs_writer_check(writer, err);
}

basalt_status bs_h5_set_attribute(struct bs_h5_writer *writer, struct bs_h5_node *node,
    const char *name, const struct bs_h5_type *type, const struct bs_h5_space *space,
    const void *data, basalt_error *err)
{
    const basalt_status status = target_check(writer, node, err);
    return status ? status : bs_node_set_attribute(node, name, type, space, data, err);
}

basalt_status bs_h5_set_attribute_text(struct bs_h5_writer *writer, struct bs_h5_node *node,
    const char *name, const char *text, basalt_error *err)
{
    const struct bs_h5_space scalar = {0};
    const size_t count = BS_MAX(strlen(text), (size_t)1); /* no string type has 0 bytes */
    if (count > BS_H5_ATTRIBUTE_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the text of the attribute \"%.60s\" has %zu bytes; at most %d are possible", name,
            count, BS_H5_ATTRIBUTE_BYTES_MAX);
    }
    if (!bs_utf8_valid(text, strlen(text))) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the text of the attribute \"%.60s\" is not UTF-8", name);
    }
    struct bs_h5_type *type = bs_h5_type_string((uint32_t)count);
    if (!type) return bs_fail_memory(err, sizeof *type);
    const basalt_status status = bs_h5_set_attribute(writer, node, name, type, &scalar, text, err);
    bs_h5_type_free(type);
    return status;
}

basalt_status bs_h5_set_attribute_u64(struct bs_h5_writer *writer, struct bs_h5_node *node,
    const char *name, uint64_t value, basalt_error *err)
{
    const basalt_status status = target_check(writer, node, err);
    return status ? status : bs_node_set_u64(node, name, value, err);
}
