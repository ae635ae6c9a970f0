/* write_node.c - the writer's tree of groups and datasets. */
#include "h5/writer_internal.h"

basalt_status bs_node_create(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    enum bs_node_kind kind, const char *name, struct bs_h5_node **out_node, basalt_error *err)
{
    struct bs_h5_node *node = bs_alloc_zeroed(1, sizeof *node);
    *out_node = NULL;
    if (!node) return bs_fail_memory(err, sizeof *node);
    node->kind = kind;
    node->writer = writer;
    node->parent = parent;
    node->address = node->next_address = BS_H5_UNDEFINED;
    node->block.address = node->next_block.address = BS_H5_UNDEFINED;
    if (kind == BS_NODE_FIXED) node->as.fixed.address = BS_H5_UNDEFINED;
    node->name = bs_copy_string(name);
    if (!node->name) {
        bs_node_free(node);
        return bs_fail_memory(err, strlen(name) + 1);
    }
    *out_node = node;
    return BASALT_OK;
}

static void free_content(struct bs_h5_node *node)
{
    switch (node->kind) {
    case BS_NODE_GROUP:
        bs_symbols_free(node->as.group.symbols);
        bs_free(node->as.group.children);
        break;
    case BS_NODE_COLUMN: bs_column_free(node->as.column); break;
    case BS_NODE_LINK: bs_bytes_free(&node->as.link.target); break;
    case BS_NODE_ARRAY: bs_array_free(node->as.array); break;
    case BS_NODE_FIXED:
    case BS_NODE_TYPE:
    case BS_NODE_ALIAS:
    case BS_NODE_FOREIGN: break;
    }
    bs_node_attributes_free(node);
    bs_extents_free(&node->old_blocks);
    bs_bytes_free(&node->kept);
    bs_free(node->name);
    bs_free(node);
}

/* Without recursion into what the caller made: depth is bounded by BS_H5_DEPTH_MAX. */
void bs_node_free(struct bs_h5_node *node)
{
    if (!node) return;
    if (node->kind == BS_NODE_GROUP) {
        for (size_t i = 0; i < node->as.group.count; i++) bs_node_free(node->as.group.children[i]);
    }
    free_content(node);
}

static unsigned depth_of(const struct bs_h5_node *node)
{
    unsigned depth = 0;
    for (; node->parent; node = node->parent) depth++;
    return depth;
}

/* Where `name` is among the children, or belongs. */
static size_t child_position(const struct bs_h5_node *group, const char *name, bool *out_found)
{
    size_t low = 0, high = group->as.group.count;
    *out_found = false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, group->as.group.children[middle]->name);
        if (order == 0) {
            *out_found = true;
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct bs_h5_node *bs_node_find(const struct bs_h5_node *group, const char *name)
{
    bool found;
    const size_t at = child_position(group, name, &found);
    return found ? group->as.group.children[at] : NULL;
}

basalt_status bs_node_attach(struct bs_h5_node *node, basalt_error *err)
{
    struct bs_h5_node *group = node->parent;
    bool found;
    size_t at = group->as.group.count;
    if (at > 0 && strcmp(group->as.group.children[at - 1]->name, node->name) >= 0) {
        at = child_position(group, node->name, &found);
        if (found) {
            return bs_fail(err, BASALT_EXISTS, BASALT_NO_OFFSET,
                "the group has a link called \"%.100s\" already", node->name);
        }
    }
    if (group->as.group.count == group->as.group.capacity) {
        const size_t capacity = BS_MAX(group->as.group.capacity * 2, (size_t)4);
        void *grown = bs_realloc(group->as.group.children, capacity * sizeof(void *));
        if (!grown) return bs_fail_memory(err, capacity * sizeof(void *));
        group->as.group.children = grown;
        group->as.group.capacity = capacity;
    }
    struct bs_h5_node **children = group->as.group.children;
    memmove(children + at + 1, children + at, (group->as.group.count - at) * sizeof(void *));
    children[at] = node;
    group->as.group.count++;
    return BASALT_OK;
}

void bs_node_detach(struct bs_h5_node *node)
{
    struct bs_h5_node *group = node->parent;
    bool found;
    const size_t at = child_position(group, node->name, &found);
    assert(found && group->as.group.children[at] == node);
    struct bs_h5_node **children = group->as.group.children;
    group->as.group.count--;
    memmove(children + at, children + at + 1, (group->as.group.count - at) * sizeof(void *));
}

void bs_node_dirty(struct bs_h5_node *node)
{
    struct bs_h5_writer *writer = node->writer;
    bs_mutex_lock(&writer->lock);
    for (; node && !node->dirty; node = node->parent) node->dirty = true;
    bs_mutex_unlock(&writer->lock);
}

/* ---- the calls ----------------------------------------------------------------------------- */

struct bs_h5_node *bs_h5_root(struct bs_h5_writer *writer)
{
    return writer->root;
}

bool bs_h5_is_group(const struct bs_h5_node *node)
{
    return node->kind == BS_NODE_GROUP;
}

static basalt_status group_check(const struct bs_h5_node *group, basalt_error *err)
{
    if (group->kind == BS_NODE_GROUP) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "\"%.100s\" is a dataset, not a group", group->name);
}

basalt_status bs_h5_child(struct bs_h5_writer *writer, struct bs_h5_node *group, const char *name,
    struct bs_h5_node **out_node, basalt_error *err)
{
    (void)writer;
    *out_node = NULL;
    basalt_status status = group_check(group, err);
    if (status) return status;
    struct bs_h5_node *node = bs_node_find(group, name);
    if (!node) {
        return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET,
            "there is no link called \"%.100s\" in the group", name);
    }
    if (node->kind == BS_NODE_FOREIGN || node->kind == BS_NODE_LINK ||
        node->kind == BS_NODE_ALIAS) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "\"%.100s\" is a link or an object of another program, or has a second hard link: it "
            "keeps its place and is not written to",
            name);
    }
    *out_node = node;
    return BASALT_OK;
}

basalt_status bs_h5_children(struct bs_h5_writer *writer, struct bs_h5_node *group,
    bs_h5_child_fn each, void *context, basalt_error *err)
{
    (void)writer;
    basalt_status status = group_check(group, err);
    for (size_t i = 0; !status && i < group->as.group.count; i++) {
        struct bs_h5_node *child = group->as.group.children[i];
        if (child->kind == BS_NODE_FOREIGN || child->kind == BS_NODE_LINK) continue;
        status = each(context, child->name, child, err);
    }
    return status;
}

static basalt_status name_check(
    const struct bs_h5_node *parent, const char *name, basalt_error *err)
{
    basalt_status status = group_check(parent, err);
    if (status) return status;
    if (name[0] == 0 || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..")) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "\"%.100s\" cannot be the name of a link: it is empty, a dot, or has a slash", name);
    }
    if (!parent->writer->plain && !bs_utf8_valid(name, strlen(name))) {
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the name of a link is not UTF-8");
    }
    if (strlen(name) > BS_LINK_NAME_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the name of a link has %zu bytes; at most %d are possible", strlen(name),
            BS_LINK_NAME_BYTES_MAX);
    }
    if (depth_of(parent) + 1 >= BS_H5_DEPTH_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "groups can be nested at most %d deep", BS_H5_DEPTH_MAX);
    }
    return BASALT_OK;
}

basalt_status bs_node_begin(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    enum bs_node_kind kind, const char *name, struct bs_h5_node **out_node, basalt_error *err)
{
    *out_node = NULL;
    basalt_status status = bs_writer_check(writer, err);
    if (!status) status = name_check(parent, name, err);
    if (status) return status;
    if (bs_node_find(parent, name)) {
        return bs_fail(err, BASALT_EXISTS, BASALT_NO_OFFSET,
            "the group has a link called \"%.100s\" already", name);
    }
    return bs_node_create(writer, parent, kind, name, out_node, err);
}

basalt_status bs_node_end(struct bs_h5_node *node, struct bs_h5_node **out_node, basalt_error *err)
{
    basalt_status status = bs_bytes_check(&node->kept, err);
    if (!status && node->parent->as.group.count >= BS_LINK_MESSAGES_MAX &&
        !node->parent->as.group.symbols) {
        status = bs_symbols_create(node->parent, err);
    }
    if (!status) status = bs_node_attach(node, err);
    if (status) {
        bs_node_free(node);
        return status;
    }
    if (node->kind == BS_NODE_LINK || node->kind == BS_NODE_ALIAS) {
        bs_node_dirty(node->parent); /* they have no header of their own */
    } else {
        bs_node_dirty(node);
    }
    node->attributes_inline = node->writer->plain;
    *out_node = node;
    return BASALT_OK;
}

basalt_status bs_h5_make_group(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, struct bs_h5_node **out_group, basalt_error *err)
{
    struct bs_h5_node *node;
    *out_group = NULL;
    basalt_status status = bs_node_begin(writer, parent, BS_NODE_GROUP, name, &node, err);
    if (status) return status;
    bs_put_attribute_info(&node->kept);
    return bs_node_end(node, out_group, err);
}

static basalt_status type_check(const struct bs_h5_type *type, const char *what, basalt_error *err)
{
    if (type->size_bytes == 0) {
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the type of %s has no bytes", what);
    }
    if (type->kind == BS_H5_REFERENCE) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "references are not written: the objects of a live file move");
    }
    return BASALT_OK;
}

static basalt_status fixed_write(
    struct bs_h5_node *node, uint64_t bytes, const void *data, basalt_error *err)
{
    struct bs_h5_writer *writer = node->writer;
    if (bytes == 0) return BASALT_OK;
    const uint64_t address = bs_space_take(&writer->space, bytes);
    const basalt_status status = bs_file_write_at(writer->file, data, (size_t)bytes, address, err);
    if (status) {
        bs_space_untake(&writer->space, address, bytes);
        return status;
    }
    node->as.fixed = (struct bs_h5_extent){address, bytes};
    return BASALT_OK;
}

basalt_status bs_h5_make_fixed(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, const struct bs_h5_type *type, const struct bs_h5_space *space,
    const void *data, struct bs_h5_node **out_dataset, basalt_error *err)
{
    struct bs_h5_node *node;
    uint64_t count = 0;
    *out_dataset = NULL;
    basalt_status status = type_check(type, "a dataset", err);
    if (!status) status = bs_h5_space_count(space, &count, err);
    if (status) return status;
    if (type->kind == BS_H5_VARIABLE) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "variable-length elements are written to columns only, not to \"%.100s\"", name);
    }
    if (count > (uint64_t)INT64_MAX / type->size_bytes) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the dataset \"%.100s\" would have more than 2^63 bytes", name);
    }
    status = bs_node_begin(writer, parent, BS_NODE_FIXED, name, &node, err);
    if (status) return status;
    const struct bs_pipeline none = {0};
    struct bs_bytes body = {0};
    bs_put_dataspace(&body, space);
    bs_put_message(&node->kept, BS_H5_MESSAGE_SPACE, body.data, body.count);
    node->kept.failed |= body.failed;
    bs_bytes_free(&body);
    status = bs_put_dataset_messages(&node->kept, type, &none, NULL, false, err);
    if (!status) status = fixed_write(node, count * type->size_bytes, data, err);
    if (status) {
        bs_node_free(node);
        return status;
    }
    bs_put_contiguous_layout(&node->kept, node->as.fixed.address, count * type->size_bytes);
    const struct bs_h5_extent extent = node->as.fixed;
    status = bs_node_end(node, out_dataset, err);
    if (status) bs_space_untake(&writer->space, extent.address, extent.bytes);
    return status;
}

static basalt_status column_check(
    const struct bs_h5_column_spec *spec, const char *name, basalt_error *err)
{
    basalt_status status = type_check(spec->type, "a column", err);
    if (!status) status = bs_pipeline_check(&spec->pipeline, err);
    if (status) return status;
    if (spec->type->kind == BS_H5_VARIABLE && spec->type->size_bytes != BS_H5_VARIABLE_BYTES) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "a variable-length element takes %d bytes", BS_H5_VARIABLE_BYTES);
    }
    if (spec->type->kind == BS_H5_VARIABLE && !spec->type->variable_string &&
        spec->type->base->size_bytes != 1) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "variable-length columns hold texts or bytes; \"%.100s\" has larger elements", name);
    }
    if (spec->type->kind == BS_H5_VARIABLE && spec->fill) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the fill value of the variable-length column \"%.100s\" can only be the empty one",
            name);
    }
    if (spec->chunk_rows == 0 || spec->chunk_rows > BS_CHUNK_BYTES_MAX / spec->type->size_bytes) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a chunk of %" PRIu64 " rows of %u bytes is not between 1 row and 256 MiB",
            spec->chunk_rows, (unsigned)spec->type->size_bytes);
    }
    return BASALT_OK;
}

static basalt_status column_create(struct bs_h5_writer *writer,
    const struct bs_h5_column_spec *spec, struct bs_column **out_column, basalt_error *err)
{
    struct bs_column *column = bs_alloc_zeroed(1, sizeof *column);
    basalt_status status = BASALT_OK;
    *out_column = NULL;
    if (!column) return bs_fail_memory(err, sizeof *column);
    column->chunk_rows = spec->chunk_rows;
    column->element_bytes = spec->type->size_bytes;
    column->variable = spec->type->kind == BS_H5_VARIABLE;
    column->collections_known = true;
    column->index.loaded_root = BS_H5_UNDEFINED;
    BS_TRY(bs_writer_pipeline(writer, &spec->pipeline, &column->pipeline, err));
    if (spec->fill) {
        column->fill = bs_copy_bytes(spec->fill, column->element_bytes);
        if (!column->fill) BS_TRY(bs_fail_memory(err, column->element_bytes));
    }
    *out_column = column;
    column = NULL;
out:
    bs_column_free(column);
    return status;
}

basalt_status bs_h5_make_column(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, const struct bs_h5_column_spec *spec, struct bs_h5_node **out_dataset,
    basalt_error *err)
{
    struct bs_h5_node *node;
    *out_dataset = NULL;
    basalt_status status = column_check(spec, name, err);
    if (!status) status = bs_node_begin(writer, parent, BS_NODE_COLUMN, name, &node, err);
    if (status) return status;
    status = column_create(writer, spec, &node->as.column, err);
    if (!status) {
        status = bs_put_dataset_messages(
            &node->kept, spec->type, &spec->pipeline, spec->fill, true, err);
    }
    if (status) {
        bs_node_free(node);
        return status;
    }
    return bs_node_end(node, out_dataset, err);
}

basalt_status bs_h5_unlink(
    struct bs_h5_writer *writer, struct bs_h5_node *parent, const char *name, basalt_error *err)
{
    basalt_status status = bs_writer_check(writer, err);
    if (!status) status = group_check(parent, err);
    if (status) return status;
    struct bs_h5_node *node = bs_node_find(parent, name);
    if (!node) {
        return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET,
            "there is no link called \"%.100s\" in the group", name);
    }
    if (node == writer->identity_node) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "/.basalt is the file's identity and cannot be removed");
    }
    status = bs_node_give_up(node, err);
    if (status) return status;
    bs_node_dirty(parent);
    bs_symbols_forget(node);
    bs_node_detach(node);
    bs_node_free(node);
    return BASALT_OK;
}
