/* write_array.c - arrays of any rank, committed types and links: what a file is made of that is written
 * as a whole, at once.
 *
 * The size of a header does not depend on addresses. So all headers are placed before any data is
 * written (bs_h5_place), and elements and attributes may refer to any object; the headers themselves are
 * written by the commit, when the addresses of data and indexes are known.
 *
 *   (1) After bs_h5_place no message is added, and none changes its size.
 *   (2) An address of a committed type that somebody shares is filled in by bs_h5_place.
 *   (3) Chunks come in the order of their numbers, so the index only grows at its right edge. */
#include "h5/writer_internal.h"

#define COMPACT_BYTES_MAX 65000u /* the message has 16 bits for its size */
#define LAYOUT_VERSION 3u
#define LINK_SOFT 1u
#define LINK_EXTERNAL 64u

void bs_array_free(struct bs_array *array)
{
    if (!array) return;
    bs_index_free(&array->index);
    bs_bytes_free(&array->compact);
    bs_free(array);
}

/* ---- messages ------------------------------------------------------------------------------ */

void bs_array_put_layout(const struct bs_array *array, struct bs_bytes *out)
{
    if (array->layout == BS_H5_CONTIGUOUS) {
        bs_put_contiguous_layout(out, array->extent.address, array->extent.bytes);
        return;
    }
    const bool chunked = array->layout == BS_H5_CHUNKED;
    bs_put_prefix(out, BS_H5_MESSAGE_LAYOUT,
        chunked ? 15 + 4 * (size_t)array->rank : 4 + array->compact.count, 0);
    bs_bytes_u8(out, LAYOUT_VERSION);
    bs_bytes_u8(out, (uint8_t)array->layout);
    if (!chunked) {
        bs_bytes_u16(out, (uint16_t)array->compact.count);
        if (array->compact.count) bs_bytes_put(out, array->compact.data, array->compact.count);
        return;
    }
    bs_bytes_u8(out, (uint8_t)(array->rank + 1)); /* the element's bytes are the last dimension */
    bs_bytes_u64(out, bs_index_root_next(&array->index));
    for (unsigned i = 0; i < array->rank; i++) bs_bytes_u32(out, (uint32_t)array->chunk_dims[i]);
    bs_bytes_u32(out, array->element_bytes);
}

/* Whoever shares a type is one more link to it, as libhdf5 counts: it removes what has none. */
void bs_node_add_link(struct bs_h5_node *node)
{
    assert(!node->placed);
    node->links = node->links ? node->links + 1 : 2;
    bs_node_dirty(node);
}

static basalt_status put_type(struct bs_h5_node *node, const struct bs_h5_type *type,
    struct bs_h5_node *type_node, basalt_error *err)
{
    struct bs_bytes body = {0};
    basalt_status status = BASALT_OK;
    if (type_node) {
        bs_put_shared(&body);
        bs_put_prefix(&node->kept, BS_H5_MESSAGE_TYPE, body.count, 2); /* shared */
        node->as.array->type_node = type_node;
        node->as.array->type_at = node->kept.count + BS_SHARED_ADDRESS_AT;
        bs_bytes_put(&node->kept, body.data, body.count);
    } else {
        status = bs_encode_type(type, &body, err);
        if (!status) bs_put_message(&node->kept, BS_H5_MESSAGE_TYPE, body.data, body.count);
    }
    node->kept.failed |= body.failed;
    bs_bytes_free(&body);
    return status;
}

static basalt_status put_messages(
    struct bs_h5_node *node, const struct bs_h5_array_spec *spec, basalt_error *err)
{
    static const enum bs_fill_when when[] = {[BS_H5_COMPACT] = BS_FILL_EARLY,
        [BS_H5_CONTIGUOUS] = BS_FILL_LATE,
        [BS_H5_CHUNKED] = BS_FILL_INCREMENTAL};
    struct bs_array *array = node->as.array;
    struct bs_bytes body = {0};
    bs_put_dataspace(&body, &spec->space);
    bs_put_message(&node->kept, BS_H5_MESSAGE_SPACE, body.data, body.count);
    node->kept.failed |= body.failed;
    bs_bytes_free(&body);
    basalt_status status = put_type(node, spec->type, spec->type_node, err);
    if (status) return status;
    bs_put_fill(&node->kept, spec->fill, array->element_bytes, when[spec->layout]);
    array->fill_bytes = spec->fill ? array->element_bytes : 0;
    array->fill_at = node->kept.count - array->fill_bytes;
    if (spec->layout == BS_H5_CHUNKED && spec->pipeline.count) {
        bs_put_pipeline(&node->kept, &spec->pipeline);
    }
    bs_put_attribute_info(&node->kept);
    return bs_bytes_check(&node->kept, err);
}

/* ---- arrays -------------------------------------------------------------------------------- */

static basalt_status chunks_check(
    const struct bs_h5_array_spec *spec, const char *name, basalt_error *err)
{
    const struct bs_h5_space *space = &spec->space;
    uint64_t bytes = spec->type->size_bytes;
    bool fits = space->rank > 0 && !space->null;
    for (unsigned i = 0; i < space->rank; i++) {
        fits = fits && spec->chunk_dims[i] > 0 && bs_h5_multiply(&bytes, spec->chunk_dims[i]) &&
            bytes <= UINT32_MAX;
    }
    if (fits) return BASALT_OK;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the chunks of \"%.100s\" would be empty, or of 4 GiB or more", name);
}

static basalt_status array_check(
    const struct bs_h5_array_spec *spec, const char *name, uint64_t *out_bytes, basalt_error *err)
{
    const struct bs_h5_space *space = &spec->space;
    bool fixed = true;
    *out_bytes = 0;
    for (unsigned i = 0; i < space->rank; i++) fixed &= space->max_dims[i] == space->dims[i];
    basalt_status status = bs_h5_space_count(space, out_bytes, err);
    if (!status && !bs_h5_multiply(out_bytes, spec->type->size_bytes)) *out_bytes = UINT64_MAX;
    if (status) return status;
    if (spec->fill && spec->type->size_bytes > UINT16_MAX - 8u) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the fill value of \"%.100s\" takes %u bytes, which do not fit a message", name,
            (unsigned)spec->type->size_bytes);
    }
    if (spec->layout == BS_H5_CHUNKED) return chunks_check(spec, name, err);
    if (!fixed || spec->layout == BS_H5_VIRTUAL) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "\"%.100s\" can grow: only a chunked dataset can", name);
    }
    if (*out_bytes <= (spec->layout == BS_H5_COMPACT ? COMPACT_BYTES_MAX : INT64_MAX)) {
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "\"%.100s\" would have %" PRIu64 " bytes, more than its layout can hold", name, *out_bytes);
}

static basalt_status array_create(
    const struct bs_h5_array_spec *spec, struct bs_array **out_array, basalt_error *err)
{
    struct bs_array *array = bs_alloc_zeroed(1, sizeof *array);
    *out_array = array;
    if (!array) return bs_fail_memory(err, sizeof *array);
    array->layout = spec->layout;
    array->rank = spec->space.rank;
    array->element_bytes = spec->type->size_bytes;
    array->extent.address = BS_H5_UNDEFINED;
    array->index.loaded_root = BS_H5_UNDEFINED;
    if (spec->layout != BS_H5_CHUNKED) return BASALT_OK;
    array->chunks = 1;
    for (unsigned i = 0; i < array->rank; i++) {
        const uint64_t dim = spec->space.dims[i], chunk = spec->chunk_dims[i];
        array->chunk_dims[i] = chunk;
        array->grid[i] = dim / chunk + (dim % chunk != 0);
        if (!bs_h5_multiply(&array->chunks, array->grid[i])) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "a dataset would have more chunks than 64 bits count");
        }
    }
    return BASALT_OK;
}

basalt_status bs_h5_make_array(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, const struct bs_h5_array_spec *spec, struct bs_h5_node **out_dataset,
    basalt_error *err)
{
    struct bs_h5_node *node;
    uint64_t bytes;
    *out_dataset = NULL;
    basalt_status status = array_check(spec, name, &bytes, err);
    if (!status) status = bs_node_begin(writer, parent, BS_NODE_ARRAY, name, &node, err);
    if (status) return status;
    status = array_create(spec, &node->as.array, err);
    if (!status) status = put_messages(node, spec, err);
    if (!status && spec->layout == BS_H5_COMPACT) {
        bs_bytes_zeros(&node->as.array->compact, (size_t)bytes);
        status = bs_bytes_check(&node->as.array->compact, err);
    }
    if (status) {
        bs_node_free(node);
        return status;
    }
    if (spec->type_node) bs_node_add_link(spec->type_node);
    /* The size is said even where nothing is stored, as libhdf5 does. */
    node->as.array->extent.bytes = spec->layout == BS_H5_CONTIGUOUS ? bytes : 0;
    if (spec->layout == BS_H5_CONTIGUOUS && spec->stored && bytes > 0) {
        node->as.array->extent.address = bs_space_take(&writer->space, bytes);
    }
    return bs_node_end(node, out_dataset, err);
}

/* ---- types and links ----------------------------------------------------------------------- */

basalt_status bs_h5_make_type(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, const struct bs_h5_type *type, struct bs_h5_node **out_type,
    basalt_error *err)
{
    struct bs_h5_node *node;
    struct bs_bytes body = {0};
    *out_type = NULL;
    basalt_status status = bs_encode_type(type, &body, err);
    if (!status) status = bs_node_begin(writer, parent, BS_NODE_TYPE, name, &node, err);
    if (status) {
        bs_bytes_free(&body);
        return status;
    }
    bs_put_message(&node->kept, BS_H5_MESSAGE_TYPE, body.data, body.count);
    bs_put_attribute_info(&node->kept);
    bs_bytes_free(&body);
    return bs_node_end(node, out_type, err);
}

static void put_target(struct bs_bytes *out, const struct bs_h5_link *link)
{
    if (link->kind == BS_H5_LINK_SOFT) {
        bs_bytes_put(out, link->target, strlen(link->target));
        return;
    }
    bs_bytes_u8(out, 0); /* version and flags */
    bs_bytes_put(out, link->target, link->path_at - 1);
    bs_bytes_u8(out, 0);
    bs_bytes_put(out, link->target + link->path_at, strlen(link->target + link->path_at) + 1);
}

basalt_status bs_h5_make_link(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const struct bs_h5_link *link, basalt_error *err)
{
    struct bs_h5_node *node;
    assert(link->kind == BS_H5_LINK_SOFT || link->kind == BS_H5_LINK_EXTERNAL);
    if (link->kind == BS_H5_LINK_EXTERNAL && parent->kind == BS_NODE_GROUP &&
        parent->as.group.symbols) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "a group with external links (\"%.100s\") cannot have more than %d links", link->name,
            BS_LINK_MESSAGES_MAX);
    }
    basalt_status status = bs_node_begin(writer, parent, BS_NODE_LINK, link->name, &node, err);
    if (status) return status;
    node->as.link.type = link->kind == BS_H5_LINK_SOFT ? LINK_SOFT : LINK_EXTERNAL;
    put_target(&node->as.link.target, link);
    status = bs_bytes_check(&node->as.link.target, err);
    if (!status && node->as.link.target.count + strlen(link->name) > BS_LINK_NAME_BYTES_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the link \"%.100s\" takes more than %d bytes with its target", link->name,
            BS_LINK_NAME_BYTES_MAX);
    }
    if (status) {
        bs_node_free(node);
        return status;
    }
    return bs_node_end(node, &node, err);
}

basalt_status bs_h5_make_alias(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, struct bs_h5_node *object, basalt_error *err)
{
    struct bs_h5_node *node;
    assert(object->kind != BS_NODE_LINK && object->kind != BS_NODE_ALIAS && !object->placed);
    basalt_status status = bs_node_begin(writer, parent, BS_NODE_ALIAS, name, &node, err);
    if (status) return status;
    node->as.alias = object;
    status = bs_node_end(node, &node, err);
    if (status) return status;
    bs_node_add_link(object);
    return BASALT_OK;
}

/* ---- places -------------------------------------------------------------------------------- */

static void share_types(struct bs_h5_node *node)
{
    if (node->kind == BS_NODE_ARRAY && node->as.array->type_node) {
        const struct bs_array *array = node->as.array;
        bs_store_u64(node->kept.data + array->type_at, array->type_node->next_address);
    }
    for (size_t i = 0; i < node->attribute_count; i++) {
        const struct bs_node_attribute *attribute = &node->attributes[i];
        if (!attribute->type_node) continue;
        bs_store_u64(attribute->body + attribute->type_at, attribute->type_node->next_address);
    }
}

/* Recursion is as deep as groups are nested: BS_H5_DEPTH_MAX. Twice: first all places, then what names
 * them. */
static basalt_status place_node(
    struct bs_h5_node *node, bool share, struct bs_bytes *scratch, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (node->kind == BS_NODE_LINK || node->kind == BS_NODE_ALIAS) return BASALT_OK;
    if (share) {
        share_types(node);
    } else {
        scratch->count = 0;
        bs_header_encode(node, scratch);
        status = bs_bytes_check(scratch, err);
        if (status) return status;
        node->next_header_bytes = scratch->count;
        node->next_address = bs_space_take(&node->writer->space, scratch->count);
        node->placed = true;
    }
    for (size_t i = 0; !status && node->kind == BS_NODE_GROUP && i < node->as.group.count; i++) {
        status = place_node(node->as.group.children[i], share, scratch, err);
    }
    return status;
}

basalt_status bs_h5_place(struct bs_h5_writer *writer, basalt_error *err)
{
    struct bs_bytes scratch = {0};
    assert(writer->plain && writer->is_new);
    basalt_status status = bs_writer_check(writer, err);
    if (!status) status = place_node(writer->root, false, &scratch, err);
    if (!status) status = place_node(writer->root, true, &scratch, err);
    bs_bytes_free(&scratch);
    return status;
}

uint64_t bs_h5_node_address(const struct bs_h5_node *node)
{
    assert(node->placed);
    return node->next_address;
}

/* ---- data ---------------------------------------------------------------------------------- */

void bs_h5_change_fill(struct bs_h5_node *node, const void *fill)
{
    const struct bs_array *array = node->as.array;
    assert(node->kind == BS_NODE_ARRAY && array->fill_bytes > 0);
    memcpy(node->kept.data + array->fill_at, fill, array->fill_bytes);
}

basalt_status bs_h5_put_chunk(struct bs_h5_writer *writer, struct bs_h5_node *node, uint64_t number,
    const void *stored, size_t count, uint32_t mask, basalt_error *err)
{
    struct bs_array *array = node->as.array;
    assert(node->kind == BS_NODE_ARRAY && array->layout == BS_H5_CHUNKED);
    assert(number < array->chunks && (array->index.depth == 0 || number > array->index.last));
    basalt_status status = bs_writer_check(writer, err);
    if (status) return status;
    if (count > UINT32_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a chunk of \"%.100s\" takes %zu bytes; 4 GiB and more are not possible", node->name,
            count);
    }
    const uint64_t address = bs_space_take(&writer->space, count);
    const struct bs_index_entry entry = {number, address, (uint32_t)count, mask};
    status = bs_file_write_at(writer->file, stored, count, address, err);
    if (!status) status = bs_index_push(node, &array->index, &entry, err);
    if (status) bs_space_untake(&writer->space, address, count);
    return status;
}

basalt_status bs_h5_put_bytes(struct bs_h5_writer *writer, struct bs_h5_node *node, uint64_t at,
    const void *bytes, size_t count, basalt_error *err)
{
    struct bs_array *array = node->as.array;
    assert(node->kind == BS_NODE_ARRAY && array->layout != BS_H5_CHUNKED);
    basalt_status status = bs_writer_check(writer, err);
    if (status || count == 0) return status;
    if (array->layout == BS_H5_COMPACT) {
        assert(at <= array->compact.count && count <= array->compact.count - at);
        memcpy(array->compact.data + at, bytes, count);
        return BASALT_OK;
    }
    assert(array->extent.address != BS_H5_UNDEFINED);
    assert(at <= array->extent.bytes && count <= array->extent.bytes - at);
    return bs_file_write_at(writer->file, bytes, count, array->extent.address + at, err);
}
