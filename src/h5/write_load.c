/* write_load.c - the writer's tree of a file that is there already, and what is free in it.
 *
 * An object may be moved if it is of the form that Basalt writes: a version-2 header without times or
 * creation order, nothing shared, dense or external, and one hard link. All others keep their place
 * and are only linked to; so does what lies below such a group. Messages that are not written anew are
 * kept byte by byte. */
#include "h5/writer_internal.h"

#define HEADER_FLAGS_FOREIGN 0x24u /* creation order, times */
#define LAYOUT_VERSION 3u

struct address_set { /* open addressing; 0, which is the superblock's, marks a free slot */
    uint64_t *slots;
    size_t room, count;
};

struct load {
    struct bs_h5_writer *writer;
    struct bs_h5_file *h5;
    struct address_set seen; /* headers that may be moved */
    unsigned depth;
};

/* ---- each header once ---------------------------------------------------------------------- */

static uint64_t *slot_of(const struct address_set *set, uint64_t address)
{
    size_t at = (size_t)(address * 0x9E3779B97F4A7C15u >> 16) & (set->room - 1);
    while (set->slots[at] && set->slots[at] != address) at = (at + 1) & (set->room - 1);
    return &set->slots[at];
}

static basalt_status seen_add(struct address_set *set, uint64_t address, basalt_error *err)
{
    if (2 * set->count >= set->room) {
        struct address_set grown = {.room = set->room ? 2 * set->room : 256, .count = set->count};
        grown.slots = bs_alloc_zeroed(grown.room, sizeof *grown.slots);
        if (!grown.slots) return bs_fail_memory(err, grown.room * sizeof *grown.slots);
        for (size_t i = 0; i < set->room; i++) {
            if (set->slots[i]) *slot_of(&grown, set->slots[i]) = set->slots[i];
        }
        bs_free(set->slots);
        *set = grown;
    }
    uint64_t *slot = slot_of(set, address);
    if (*slot == address) {
        return bs_fail(err, BASALT_CORRUPT, address,
            "the object at %" PRIu64 " has a second hard link but does not say so: run verify",
            address);
    }
    *slot = address;
    set->count++;
    return BASALT_OK;
}

/* ---- what may be moved --------------------------------------------------------------------- */

static bool message_kept(const struct bs_h5_message *message)
{
    switch (message->type) {
    case BS_H5_MESSAGE_SPACE:
    case BS_H5_MESSAGE_LINK_INFO:
    case BS_H5_MESSAGE_TYPE:
    case BS_H5_MESSAGE_FILL_OLD:
    case BS_H5_MESSAGE_FILL:
    case BS_H5_MESSAGE_LINK:
    case BS_H5_MESSAGE_LAYOUT:
    case BS_H5_MESSAGE_GROUP_INFO:
    case BS_H5_MESSAGE_PIPELINE:
    case BS_H5_MESSAGE_ATTRIBUTE:
    case BS_H5_MESSAGE_SYMBOL_TABLE:
    case BS_H5_MESSAGE_ATTRIBUTE_INFO:
    case BS_H5_MESSAGE_LINK_COUNT: return !message->shared;
    default: return false;
    }
}

static bool may_move(const struct bs_h5_object *object)
{
    const struct bs_h5_header *header = object->header;
    if (header->version != 2 || header->links != 1 || object->kind == BS_H5_COMMITTED_TYPE ||
        (header->blocks[0].data[5] & HEADER_FLAGS_FOREIGN) ||
        object->attribute_heap != BS_H5_UNDEFINED ||
        (object->kind == BS_H5_GROUP && object->form.dense_heap != BS_H5_UNDEFINED) ||
        object->committed.count > 0) {
        return false;
    }
    for (size_t i = 0; i < header->message_count; i++) {
        if (!message_kept(&header->messages[i])) return false;
    }
    return true;
}

/* Nothing in it may lead anywhere. */
static bool is_record(const struct bs_h5_type *type)
{
    for (size_t i = 0; i < type->member_count; i++) {
        if (type->members[i].type->kind != BS_H5_INTEGER) return false;
    }
    return true;
}

static bool is_column(const struct bs_h5_object *object)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    const struct bs_h5_type *type = dataset->type;
    const struct bs_h5_message *layout = bs_h5_header_find(object->header, BS_H5_MESSAGE_LAYOUT);
    if (dataset->layout != BS_H5_CHUNKED || dataset->chunk_index != 0 || dataset->space.null ||
        dataset->space.rank != 1 || dataset->space.max_dims[0] != BS_H5_UNDEFINED || !layout ||
        layout->size_bytes < 1 || layout->data[0] != LAYOUT_VERSION || type->size_bytes == 0 ||
        dataset->chunk_dims[0] == 0 ||
        dataset->chunk_dims[0] > BS_CHUNK_BYTES_MAX / type->size_bytes ||
        bs_pipeline_check(&dataset->pipeline, NULL)) {
        return false;
    }
    switch (type->kind) {
    case BS_H5_VARIABLE:
        return !dataset->fill && (type->variable_string || type->base->size_bytes == 1);
    case BS_H5_COMPOUND: return is_record(type);
    case BS_H5_ARRAY:
    case BS_H5_REFERENCE: return false; /* may hold variable-length parts */
    default: return true;
    }
}

/* ---- messages and attributes --------------------------------------------------------------- */

static bool written_anew(const struct bs_h5_node *node, uint16_t type)
{
    switch (type) {
    case BS_H5_MESSAGE_ATTRIBUTE:
    case BS_H5_MESSAGE_LINK_COUNT:
    case BS_H5_MESSAGE_LINK_INFO:
    case BS_H5_MESSAGE_GROUP_INFO:
    case BS_H5_MESSAGE_LINK:
    case BS_H5_MESSAGE_SYMBOL_TABLE: return true;
    case BS_H5_MESSAGE_SPACE:
    case BS_H5_MESSAGE_LAYOUT: return node->kind == BS_NODE_COLUMN;
    default: return false;
    }
}

static basalt_status attribute_load(
    struct bs_h5_node *node, const struct bs_h5_message *message, basalt_error *err)
{
    struct bs_cursor cursor = bs_cursor_make(message->data, message->size_bytes, message->address);
    const uint8_t version = bs_cursor_u8(&cursor);
    bs_cursor_skip(&cursor, 1);
    const uint16_t name_bytes = bs_cursor_u16(&cursor);
    bs_cursor_skip(&cursor, version == 3 ? 5 : 4);
    struct bs_cursor text = cursor;
    text.end = name_bytes <= bs_cursor_left(&cursor) ? cursor.at + name_bytes : cursor.at;
    const char *name = bs_cursor_string(&text);
    if (!name || version < 1 || version > 3) {
        return bs_fail(err, BASALT_CORRUPT, message->address,
            "the attribute message at %" PRIu64 " has no name", message->address);
    }
    uint8_t *body = bs_copy_bytes(message->data, message->size_bytes);
    if (!body) return bs_fail_memory(err, message->size_bytes);
    const basalt_status status = bs_node_put_attribute(node, name, body, message->size_bytes, err);
    if (status) bs_free(body);
    return status;
}

static bool lies_in(const struct bs_h5_block *block, const struct bs_h5_message *message)
{
    return message->address >= block->address && message->address - block->address < block->bytes;
}

/* One continuation block that has all attributes and nothing else stays as it is; other forms are
 * brought into that one when the header is written. */
static basalt_status blocks_load(
    struct bs_h5_node *node, const struct bs_h5_header *header, basalt_error *err)
{
    bool ours = header->block_count == 2;
    basalt_status status = BASALT_OK;
    node->header_bytes = header->blocks[0].bytes;
    for (size_t i = 0; ours && i < header->message_count; i++) {
        const bool is_attribute = header->messages[i].type == BS_H5_MESSAGE_ATTRIBUTE;
        ours = is_attribute == lies_in(&header->blocks[1], &header->messages[i]);
    }
    if (ours && !node->attributes_inline) {
        node->block = (struct bs_h5_extent){header->blocks[1].address, header->blocks[1].bytes};
        return BASALT_OK;
    }
    node->attributes_dirty = header->block_count > 1 || node->attribute_count > 0;
    for (size_t i = 1; !status && i < header->block_count; i++) {
        status = bs_extents_add(
            &node->old_blocks, header->blocks[i].address, header->blocks[i].bytes, err);
    }
    return status;
}

static basalt_status messages_load(
    struct bs_h5_node *node, const struct bs_h5_header *header, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; !status && i < header->message_count; i++) {
        const struct bs_h5_message *message = &header->messages[i];
        if (message->type == BS_H5_MESSAGE_ATTRIBUTE) {
            status = attribute_load(node, message, err);
        } else if (!written_anew(node, message->type)) {
            bs_put_message(&node->kept, (enum bs_h5_message_type)message->type, message->data,
                message->size_bytes);
        }
    }
    if (!status && !bs_h5_header_find(header, BS_H5_MESSAGE_ATTRIBUTE_INFO)) {
        bs_put_attribute_info(&node->kept);
    }
    if (!status) status = bs_bytes_check(&node->kept, err);
    return status ? status : blocks_load(node, header, err);
}

/* ---- datasets ------------------------------------------------------------------------------ */

static basalt_status column_load(struct load *load, struct bs_h5_node *node,
    const struct bs_h5_dataset *dataset, basalt_error *err)
{
    struct bs_column *column = bs_alloc_zeroed(1, sizeof *column);
    if (!column) return bs_fail_memory(err, sizeof *column);
    node->as.column = column;
    column->rows = dataset->space.dims[0];
    column->chunk_rows = dataset->chunk_dims[0];
    column->element_bytes = dataset->type->size_bytes;
    column->variable = dataset->type->kind == BS_H5_VARIABLE;
    column->index.loaded_root = dataset->address;
    if (dataset->fill) {
        column->fill = bs_copy_bytes(dataset->fill, column->element_bytes);
        if (!column->fill) return bs_fail_memory(err, column->element_bytes);
    }
    return bs_writer_pipeline(load->writer, &dataset->pipeline, &column->pipeline, err);
}

/* ---- groups -------------------------------------------------------------------------------- */

static basalt_status object_load(struct load *load, struct bs_h5_node *parent, const char *name,
    uint64_t address, basalt_error *err);

static basalt_status link_load(struct load *load, struct bs_h5_node *group, const char *name,
    uint8_t type, const void *target, size_t target_bytes, basalt_error *err)
{
    struct bs_h5_node *node = NULL;
    basalt_status status = bs_node_create(load->writer, group, BS_NODE_LINK, name, &node, err);
    if (status) return status;
    node->as.link.type = type;
    bs_bytes_put(&node->as.link.target, target, target_bytes);
    status = bs_bytes_check(&node->as.link.target, err);
    if (!status) status = bs_node_attach(node, err);
    if (status) bs_node_free(node);
    return status;
}

/* FF IV.A.2.g */
static basalt_status link_message_load(struct load *load, struct bs_h5_node *group,
    const struct bs_h5_message *message, basalt_error *err)
{
    struct bs_cursor cursor = bs_cursor_make(message->data, message->size_bytes, message->address);
    bs_cursor_skip(&cursor, 1);
    const uint8_t flags = bs_cursor_u8(&cursor);
    const uint8_t type = flags & 8 ? bs_cursor_u8(&cursor) : 0;
    if (flags & 4) bs_cursor_skip(&cursor, 8);
    if (flags & 16) bs_cursor_skip(&cursor, 1);
    const uint64_t name_bytes = bs_cursor_uint(&cursor, (size_t)1 << (flags & 3));
    const uint8_t *text = bs_cursor_bytes(&cursor, (size_t)BS_MIN(name_bytes, UINT16_MAX));
    const uint64_t address = type == 0 ? bs_cursor_u64(&cursor) : 0;
    const uint16_t target_bytes = type == 0 ? 0 : bs_cursor_u16(&cursor);
    const uint8_t *target = bs_cursor_bytes(&cursor, target_bytes);
    basalt_status status = bs_cursor_check(&cursor, "a link message", err);
    if (status) return status;
    if (type != 0 && type != 1 && type != 64) {
        return bs_fail(err, BASALT_UNSUPPORTED, message->address,
            "a link of kind %u is in a group that must be written: remove it first",
            (unsigned)type);
    }
    char *name = bs_alloc((size_t)name_bytes + 1);
    if (!name) return bs_fail_memory(err, (size_t)name_bytes + 1);
    memcpy(name, text, (size_t)name_bytes);
    name[name_bytes] = 0;
    status = type == 0 ? object_load(load, group, name, address, err)
                       : link_load(load, group, name, type, target, target_bytes, err);
    bs_free(name);
    return status;
}

struct table_load {
    struct load *load;
    struct bs_h5_node *group;
};

static basalt_status table_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    const struct table_load *job = context;
    if (link->kind == BS_H5_LINK_HARD) {
        return object_load(job->load, job->group, link->name, link->address, err);
    }
    return link_load(job->load, job->group, link->name, 1, link->target, strlen(link->target), err);
}

static basalt_status group_load(struct load *load, struct bs_h5_node *node,
    const struct bs_h5_object *object, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (++load->depth > BS_H5_DEPTH_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "groups are nested more than %d deep", BS_H5_DEPTH_MAX);
    }
    if (object->form.tree != BS_H5_UNDEFINED) {
        struct table_load job = {load, node};
        status = bs_h5_symbol_table_each(load->h5, &object->form, table_link, &job, err);
        if (!status) status = bs_symbols_create(node, err);
        if (!status) status = bs_symbols_note_old(node, load->h5, &object->form, err);
    }
    for (size_t i = 0; !status && i < object->header->message_count; i++) {
        const struct bs_h5_message *message = &object->header->messages[i];
        if (message->type != BS_H5_MESSAGE_LINK) continue;
        status = link_message_load(load, node, message, err);
    }
    load->depth--;
    return status;
}

/* ---- objects ------------------------------------------------------------------------------- */

static basalt_status content_load(struct load *load, struct bs_h5_node *node,
    const struct bs_h5_object *object, basalt_error *err)
{
    basalt_status status = seen_add(&load->seen, node->address, err);
    if (!status) status = messages_load(node, object->header, err);
    if (status) return status;
    switch (node->kind) {
    case BS_NODE_GROUP: return group_load(load, node, object, err);
    case BS_NODE_COLUMN: return column_load(load, node, object->dataset, err);
    default:
        if (object->dataset->layout == BS_H5_CONTIGUOUS) {
            node->as.fixed =
                (struct bs_h5_extent){object->dataset->address, object->dataset->stored_bytes};
        }
        return BASALT_OK;
    }
}

static enum bs_node_kind kind_of(const struct bs_h5_object *object)
{
    if (!may_move(object)) return BS_NODE_FOREIGN;
    if (object->kind == BS_H5_GROUP) return BS_NODE_GROUP;
    return is_column(object) ? BS_NODE_COLUMN : BS_NODE_FIXED;
}

static basalt_status object_load(struct load *load, struct bs_h5_node *parent, const char *name,
    uint64_t address, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_h5_node *node = NULL;
    enum bs_node_kind kind = BS_NODE_FOREIGN;
    basalt_status status = bs_h5_object_open(load->h5, address, &object, err);
    if (status == BASALT_UNSUPPORTED || status == BASALT_TOO_LARGE) {
        status = BASALT_OK; /* what cannot be read need not be moved */
    } else if (!status) {
        kind = kind_of(object);
    }
    if (!status) status = bs_node_create(load->writer, parent, kind, name, &node, err);
    if (!status) {
        node->address = node->next_address = address;
        if (kind != BS_NODE_FOREIGN) status = content_load(load, node, object, err);
    }
    if (!status) status = bs_node_attach(node, err);
    if (status) bs_node_free(node);
    bs_h5_object_close(object);
    return status;
}

static basalt_status root_load(struct load *load, uint64_t address, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_h5_node *root = load->writer->root;
    basalt_status status = bs_h5_object_open(load->h5, address, &object, err);
    if (status) return status;
    if (kind_of(object) != BS_NODE_GROUP) {
        status = bs_fail(err, BASALT_UNSUPPORTED, address,
            "the root group is not of the form that Basalt writes, or has a second hard link: the "
            "file is not written to");
    } else {
        root->address = root->next_address = address;
        status = content_load(load, root, object, err);
    }
    bs_h5_object_close(object);
    return status;
}

basalt_status bs_writer_load(struct bs_h5_writer *writer, struct bs_h5_file *h5, basalt_error *err)
{
    struct load load = {.writer = writer, .h5 = h5};
    basalt_status status = root_load(&load, h5->superblock.root, err);
    bs_free(load.seen.slots);
    return status;
}

/* ---- what is free -------------------------------------------------------------------------- */

static basalt_status reached(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    (void)purpose;
    return bs_extents_add(context, extent.address, extent.bytes, err);
}

static int by_address(const void *a, const void *b)
{
    const uint64_t left = ((const struct bs_h5_extent *)a)->address;
    const uint64_t right = ((const struct bs_h5_extent *)b)->address;
    return left < right ? -1 : left > right;
}

/* What lies between the extents is retired as of the commit in force: a reader of an older root, or of
 * none any more, may still be looking. */
static basalt_status gaps_retire(
    struct bs_space *space, const struct bs_extents *extents, uint64_t commit, basalt_error *err)
{
    uint64_t end = BS_H5_HEADER_SPACE_BYTES;
    for (size_t i = 0; i < extents->count; i++) {
        if (extents->items[i].address % 8) space->aligned = false;
    }
    for (size_t i = 0; i <= extents->count; i++) {
        const uint64_t next = i < extents->count ? extents->items[i].address : space->end;
        if (next < end) {
            return bs_fail(err, BASALT_CORRUPT, next,
                "two structures of the file overlap at %" PRIu64 ": run verify", next);
        }
        const uint64_t from = (end + 7) & ~(uint64_t)7, to = next & ~(uint64_t)7;
        if (to > from) bs_space_give_up(space, from, to - from);
        if (i < extents->count) end = next + extents->items[i].bytes;
    }
    bs_space_retire(space, commit);
    return BASALT_OK;
}

basalt_status bs_writer_find_free(
    struct bs_h5_writer *writer, struct bs_h5_file *h5, basalt_error *err)
{
    struct bs_extents extents = {0};
    bool complete = false;
    basalt_status status = BASALT_OK;
    BS_TRY(bs_h5_walk_extents(h5, reached, &extents, &complete, err));
    if (extents.count) qsort(extents.items, extents.count, sizeof *extents.items, by_address);
    if (complete) {
        BS_TRY(gaps_retire(&writer->space, &extents, writer->identity.commit, err));
    } else {
        writer->space.aligned = false;
        bs_space_retire(&writer->space, writer->identity.commit);
    }
out:
    bs_extents_free(&extents);
    return status;
}
