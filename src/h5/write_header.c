/* write_header.c - object headers (FF IV.A.1.b), the version that 1.8 brought.
 *
 *   OHDR, version 2, flags, attribute storage 65535/0, size, messages, checksum
 *
 * The first block holds what moves with the commits (links, the dataspace, the address of the index);
 * attributes lie in one continuation block (OCHK) that successive versions of the header share. Every
 * header has an Attribute Info message and every group Link Info and Group Info, or h5repack loses
 * attributes; "65535 stay compact, at 0 dense ends" keeps libhdf5 from making ours dense. */
#include "h5/writer_internal.h"

#define FLAG_STORES_PHASE_CHANGE 0x10u
#define COMPACT_MAX 65535u
#define CHECKSUM_BYTES 4u

void bs_put_message(
    struct bs_bytes *out, enum bs_h5_message_type type, const void *body, size_t count)
{
    assert(count <= UINT16_MAX);
    bs_bytes_u8(out, (uint8_t)type);
    bs_bytes_u16(out, (uint16_t)count);
    bs_bytes_u8(out, 0);
    if (count) bs_bytes_put(out, body, count);
}

/* The prefix of a message of `count` bytes that the caller puts itself. */
void bs_put_prefix(struct bs_bytes *out, enum bs_h5_message_type type, size_t count, uint8_t flags)
{
    bs_put_message(out, type, NULL, 0);
    if (out->failed) return;
    bs_store_u16(out->data + out->count - 3, (uint16_t)count);
    out->data[out->count - 1] = flags;
}

/* FF IV.A.2, shared messages, version 3: in the header of a committed datatype. */
void bs_put_shared(struct bs_bytes *out)
{
    bs_bytes_u8(out, 3);
    bs_bytes_u8(out, 2);
    bs_bytes_u64(out, BS_H5_UNDEFINED);
}

static void put_prefix(struct bs_bytes *out, enum bs_h5_message_type type, size_t count)
{
    bs_put_prefix(out, type, count, 0);
}

void bs_put_dataspace(struct bs_bytes *out, const struct bs_h5_space *space)
{
    bool limits = false;
    for (unsigned i = 0; i < space->rank; i++) limits |= space->max_dims[i] != space->dims[i];
    bs_bytes_u8(out, 2);
    bs_bytes_u8(out, space->null ? 0 : space->rank);
    bs_bytes_u8(out, limits);
    bs_bytes_u8(out, space->null ? 2 : space->rank ? 1 : 0);
    for (unsigned i = 0; i < space->rank; i++) bs_bytes_u64(out, space->dims[i]);
    for (unsigned i = 0; limits && i < space->rank; i++) bs_bytes_u64(out, space->max_dims[i]);
}

void bs_put_attribute_info(struct bs_bytes *out)
{
    put_prefix(out, BS_H5_MESSAGE_ATTRIBUTE_INFO, 18);
    bs_bytes_u16(out, 0); /* version 0, no creation order */
    bs_bytes_u64(out, BS_H5_UNDEFINED);
    bs_bytes_u64(out, BS_H5_UNDEFINED);
}

void bs_put_contiguous_layout(struct bs_bytes *out, uint64_t address, uint64_t bytes)
{
    put_prefix(out, BS_H5_MESSAGE_LAYOUT, 18);
    bs_bytes_u8(out, 3);
    bs_bytes_u8(out, BS_H5_CONTIGUOUS);
    bs_bytes_u64(out, address);
    bs_bytes_u64(out, bytes);
}

void bs_put_fill(struct bs_bytes *out, const void *fill, size_t bytes, enum bs_fill_when when)
{
    put_prefix(out, BS_H5_MESSAGE_FILL, 8 + (fill ? bytes : 0));
    bs_bytes_u8(out, 2);
    bs_bytes_u8(out, (uint8_t)when);
    bs_bytes_u8(out, 2);                           /* filled if the user has set a value */
    bs_bytes_u8(out, 1);                           /* defined: */
    bs_bytes_u32(out, fill ? (uint32_t)bytes : 0); /* 0 bytes are the library's zeros */
    if (fill) bs_bytes_put(out, fill, bytes);
}

/* Version 1, which the oldest readers know. With the filters' names: libhdf5 1.10 reads a message
 * without them, but copies it (h5repack, h5copy) into one that it cannot read. */
void bs_put_pipeline(struct bs_bytes *out, const struct bs_pipeline *pipeline)
{
    struct bs_bytes body = {0};
    bs_bytes_u8(&body, 1);
    bs_bytes_u8(&body, (uint8_t)pipeline->count);
    bs_bytes_zeros(&body, 6);
    for (unsigned i = 0; i < pipeline->count; i++) {
        const struct bs_filter *filter = &pipeline->filters[i];
        const char *name = bs_filter_name(filter->id);
        const size_t name_bytes = name ? (strlen(name) + 8) / 8 * 8 : 0; /* with its NUL */
        bs_bytes_u16(&body, filter->id);
        bs_bytes_u16(&body, (uint16_t)name_bytes);
        bs_bytes_u16(&body, filter->flags);
        bs_bytes_u16(&body, filter->parameter_count);
        if (name) bs_bytes_put(&body, name, strlen(name));
        bs_bytes_zeros(&body, name_bytes - (name ? strlen(name) : 0));
        for (unsigned k = 0; k < filter->parameter_count; k++) {
            bs_bytes_u32(&body, bs_filter_parameters(filter)[k]);
        }
        if (filter->parameter_count % 2) bs_bytes_zeros(&body, 4);
    }
    bs_put_message(out, BS_H5_MESSAGE_PIPELINE, body.data, body.count);
    out->failed |= body.failed;
    bs_bytes_free(&body);
}

basalt_status bs_encode_type(const struct bs_h5_type *type, struct bs_bytes *out, basalt_error *err)
{
    const basalt_status status = bs_h5_type_encode(type, out, err);
    if (status || out->count <= UINT16_MAX) return status;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the datatype takes %zu bytes; a message has at most 65,535", out->count);
}

basalt_status bs_put_dataset_messages(struct bs_bytes *out, const struct bs_h5_type *type,
    const struct bs_pipeline *pipeline, const void *fill, bool chunked, basalt_error *err)
{
    struct bs_bytes body = {0};
    basalt_status status = bs_encode_type(type, &body, err);
    if (!status && fill && type->size_bytes > UINT16_MAX - 8u) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a fill value of %u bytes does not fit a message", (unsigned)type->size_bytes);
    }
    if (!status) {
        bs_put_message(out, BS_H5_MESSAGE_TYPE, body.data, body.count);
        bs_put_fill(out, fill, type->size_bytes, chunked ? BS_FILL_INCREMENTAL : BS_FILL_LATE);
        if (pipeline->count) bs_put_pipeline(out, pipeline);
        bs_put_attribute_info(out);
    }
    bs_bytes_free(&body);
    return status ? status : bs_bytes_check(out, err);
}

/* ---- groups -------------------------------------------------------------------------------- */

static void put_link(struct bs_bytes *out, const struct bs_h5_node *child)
{
    const size_t name_bytes = strlen(child->name);
    const size_t width = name_bytes > UINT8_MAX ? 2 : 1;
    const bool hard = child->kind != BS_NODE_LINK, utf8 = bs_utf8_valid(child->name, name_bytes);
    const size_t value = hard ? 8 : 2 + child->as.link.target.count;
    put_prefix(out, BS_H5_MESSAGE_LINK, 3 + (hard ? 0u : 1u) + width + name_bytes + value);
    bs_bytes_u8(out, 1);
    /* flags: width of the name's length, kind if not hard, character set */
    bs_bytes_u8(out, (uint8_t)((width - 1) | (hard ? 0u : 8u) | 0x10u));
    if (!hard) bs_bytes_u8(out, child->as.link.type);
    bs_bytes_u8(out, utf8);
    bs_bytes_uint(out, name_bytes, width);
    bs_bytes_put(out, child->name, name_bytes);
    if (hard) {
        bs_bytes_u64(out, bs_node_next(child));
    } else {
        bs_bytes_u16(out, (uint16_t)child->as.link.target.count);
        bs_bytes_put(out, child->as.link.target.data, child->as.link.target.count);
    }
}

static void put_links(struct bs_bytes *out, const struct bs_h5_node *group)
{
    put_prefix(out, BS_H5_MESSAGE_LINK_INFO, 18);
    bs_bytes_u16(out, 0); /* version 0, no creation order */
    bs_bytes_u64(out, BS_H5_UNDEFINED);
    bs_bytes_u64(out, BS_H5_UNDEFINED);
    put_prefix(out, BS_H5_MESSAGE_GROUP_INFO, 6);
    bs_bytes_u8(out, 0);
    bs_bytes_u8(out, 1); /* the phase change is stored */
    bs_bytes_u16(out, COMPACT_MAX);
    bs_bytes_u16(out, 0);
    for (size_t i = 0; i < group->as.group.count; i++) put_link(out, group->as.group.children[i]);
}

static void put_symbol_table(struct bs_bytes *out, const struct bs_symbols *symbols)
{
    /* A header that is placed before the table is made has its size all the same. */
    const struct bs_symbol_node *root =
        symbols->depth ? symbols->levels[symbols->depth - 1].nodes[0] : NULL;
    put_prefix(out, BS_H5_MESSAGE_SYMBOL_TABLE, 16);
    bs_bytes_u64(out, root ? root->next_address : BS_H5_UNDEFINED);
    bs_bytes_u64(out, symbols->next_heap.address);
}

/* ---- columns ------------------------------------------------------------------------------- */

static void put_column(struct bs_bytes *out, const struct bs_column *column)
{
    const struct bs_h5_space space = {
        .rank = 1, .dims = {column->rows}, .max_dims = {BS_H5_UNDEFINED}};
    struct bs_bytes body = {0};
    bs_put_dataspace(&body, &space);
    bs_put_message(out, BS_H5_MESSAGE_SPACE, body.data, body.count);
    out->failed |= body.failed;
    bs_bytes_free(&body);
    put_prefix(out, BS_H5_MESSAGE_LAYOUT, 19);
    bs_bytes_u8(out, 3);
    bs_bytes_u8(out, BS_H5_CHUNKED);
    bs_bytes_u8(out, 2); /* rank + 1: the element's bytes are the last dimension */
    bs_bytes_u64(out, bs_index_root_next(&column->index));
    bs_bytes_u32(out, (uint32_t)column->chunk_rows);
    bs_bytes_u32(out, column->element_bytes);
}

/* ---- the header ---------------------------------------------------------------------------- */

static void put_links_count(struct bs_bytes *out, uint32_t links)
{
    put_prefix(out, BS_H5_MESSAGE_LINK_COUNT, 5);
    bs_bytes_u8(out, 0); /* version */
    bs_bytes_u32(out, links);
}

static void put_attributes(struct bs_bytes *out, const struct bs_h5_node *node)
{
    for (size_t i = 0; i < node->attribute_count; i++) {
        bs_put_message(
            out, BS_H5_MESSAGE_ATTRIBUTE, node->attributes[i].body, node->attributes[i].body_bytes);
    }
}

static void put_messages(struct bs_bytes *out, const struct bs_h5_node *node)
{
    bs_bytes_put(out, node->kept.data, node->kept.count);
    if (node->links > 1) put_links_count(out, node->links);
    if (node->kind == BS_NODE_COLUMN) put_column(out, node->as.column);
    if (node->kind == BS_NODE_ARRAY) bs_array_put_layout(node->as.array, out);
    if (node->kind == BS_NODE_GROUP && node->as.group.symbols) {
        put_symbol_table(out, node->as.group.symbols);
    } else if (node->kind == BS_NODE_GROUP) {
        put_links(out, node);
    }
    if (node->attributes_inline) {
        put_attributes(out, node);
    } else if (node->attribute_count > 0) {
        const struct bs_h5_extent block = node->attributes_dirty ? node->next_block : node->block;
        put_prefix(out, BS_H5_MESSAGE_CONTINUATION, 16);
        bs_bytes_u64(out, block.address);
        bs_bytes_u64(out, block.bytes);
    }
}

static void put_checksum(struct bs_bytes *out, size_t from)
{
    if (!out->failed) bs_bytes_u32(out, bs_lookup3(out->data + from, out->count - from, 0));
}

void bs_header_encode(const struct bs_h5_node *node, struct bs_bytes *out)
{
    const size_t start = out->count;
    struct bs_bytes messages = {0};
    put_messages(&messages, node);
    const unsigned width_code = messages.count <= UINT8_MAX ? 0
        : messages.count <= UINT16_MAX                      ? 1
                                                            : 2;
    bs_bytes_put(out, "OHDR", 4);
    bs_bytes_u8(out, 2);
    bs_bytes_u8(out, (uint8_t)(FLAG_STORES_PHASE_CHANGE | width_code));
    bs_bytes_u16(out, COMPACT_MAX);
    bs_bytes_u16(out, 0);
    bs_bytes_uint(out, messages.count, (size_t)1 << width_code);
    bs_bytes_put(out, messages.data, messages.count);
    out->failed |= messages.failed;
    bs_bytes_free(&messages);
    put_checksum(out, start);
}

void bs_attribute_block_encode(const struct bs_h5_node *node, struct bs_bytes *out)
{
    const size_t start = out->count;
    bs_bytes_put(out, "OCHK", 4);
    put_attributes(out, node);
    put_checksum(out, start);
}
