/* writer.c - writes HDF5 by copy-on-write; the commit.
 *
 *   bytes 0 .. 4095      superblock version 2 (FF II.A) and nothing else
 *   from 4096 on         object headers, indexes, chunks, collections, wherever there was room
 *   /.basalt             a group whose attributes are the file's identity; a plain file has none
 *
 * The tree of groups and datasets is in memory. A change marks the object and all groups above as
 * dirty, for every header that is written anew has a new address, which its parent must say. Raw data
 * is written when it is appended, metadata when a commit is prepared.
 *
 * INVARIANTS
 *   (1) A byte that the committed root reaches is never written, but for the 20 bytes of the
 *       superblock that say where root and end are: write_space.c keeps what a commit gives up until
 *       the commit is durable and nobody can be looking any more; tails grow behind their rows.
 *   (2) bs_h5_prepare changes nothing that a failure would have to undo: new addresses wait in next_*
 *       until bs_h5_settle. After a failed prepare all is as before, and it may be tried again.
 *   (3) Between the first successful prepare and settle nothing may be changed (bs_writer_check).
 *   (4) The superblock on disk is `current`, until bs_h5_flip makes it `next`. The caller syncs
 *       between prepare and flip, and after flip, and checks bs_h5_check_unchanged before it.
 *   (5) The file is at least as long as any end-of-file address it has said.
 *   (6) A new file has zeros for root, end and checksum until its first flip: it becomes HDF5 with
 *       that write.
 *
 * LOCKS: `lock` for `dirty`, space.lock for extents; each for a few steps in memory, never both,
 * never during I/O. All else belongs to the thread that calls, a column to the thread that appends. */
#include "h5/writer_internal.h"

#define IDENTITY_NAME ".basalt"
#define FORMAT_VERSION 1u
#define WRITE_BYTES_MAX ((size_t)4 << 20)
#define FLIP_AT 28u
#define FLIP_BYTES 20u
#define AHEAD_BYTES_MIN ((uint64_t)256 << 10) /* of the size of a live file before its end */
#define AHEAD_FLIPS 4u                        /* and by how many flips of the last growth */
#define OFFSET_BYTES 8u

basalt_status bs_writer_check(const struct bs_h5_writer *writer, basalt_error *err)
{
    switch (writer->state) {
    case BS_WRITER_READY: return BASALT_OK;
    case BS_WRITER_ABANDONED:
        return bs_fail(err, BASALT_IO_ERROR, BASALT_NO_OFFSET,
            "a commit to %s was abandoned: open it again to write to it", writer->file->path);
    case BS_WRITER_PREPARED:
    case BS_WRITER_FLIPPED: break;
    }
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "%s cannot be changed between the preparation of a commit and its end", writer->file->path);
}

basalt_status bs_writer_pipeline(struct bs_h5_writer *writer, const struct bs_pipeline *pipeline,
    const struct bs_pipeline **out_shared, basalt_error *err)
{
    *out_shared = NULL;
    for (struct bs_pipeline_shared *at = writer->pipelines; at; at = at->next) {
        const size_t bytes = pipeline->count * sizeof pipeline->filters[0];
        if (at->pipeline.count == pipeline->count &&
            memcmp(at->pipeline.filters, pipeline->filters, bytes) == 0) {
            *out_shared = &at->pipeline;
            return BASALT_OK;
        }
    }
    struct bs_pipeline_shared *shared = bs_alloc(sizeof *shared);
    if (!shared) return bs_fail_memory(err, sizeof *shared);
    shared->pipeline = *pipeline;
    shared->next = writer->pipelines;
    writer->pipelines = shared;
    *out_shared = &shared->pipeline;
    return BASALT_OK;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void plan_reset(struct bs_plan *plan)
{
    bs_free(plan->blocks);
    bs_extents_free(&plan->given_up);
    *plan = (struct bs_plan){0};
}

void bs_h5_writer_close(struct bs_h5_writer *writer)
{
    if (!writer) return;
    bs_node_free(writer->root);
    plan_reset(&writer->plan);
    while (writer->pipelines) {
        struct bs_pipeline_shared *next = writer->pipelines->next;
        bs_free(writer->pipelines);
        writer->pipelines = next;
    }
    bs_space_destroy(&writer->space);
    bs_mutex_destroy(&writer->lock);
    bs_free(writer);
}

static basalt_status writer_new(
    struct bs_file *file, struct bs_h5_writer **out_writer, basalt_error *err)
{
    struct bs_h5_writer *writer = bs_alloc_zeroed(1, sizeof *writer);
    *out_writer = writer;
    if (!writer) return bs_fail_memory(err, sizeof *writer);
    writer->file = file;
    bs_mutex_init(&writer->lock);
    bs_space_init(&writer->space, BS_H5_HEADER_SPACE_BYTES);
    return bs_node_create(writer, NULL, BS_NODE_GROUP, "", &writer->root, err);
}

static basalt_status identity_attributes(
    struct bs_h5_node *node, const struct bs_h5_identity *identity, basalt_error *err)
{
    const struct bs_h5_space row = {.rank = 1, .dims = {16}, .max_dims = {16}};
    struct bs_h5_type *byte = bs_h5_type_integer(1, false);
    if (!byte) return bs_fail_memory(err, sizeof *byte);
    basalt_status status =
        bs_node_set_attribute(node, "store_uuid", byte, &row, identity->store_uuid, err);
    bs_h5_type_free(byte);
    if (status) return status;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"format_version", identity->format_version},
        {"feature_compatible", identity->feature_compatible},
        {"feature_read_only", identity->feature_read_only},
        {"feature_refuse", identity->feature_refuse},
        {"commit", identity->commit},
        {"log_position", identity->log_position},
        {"root_address", identity->root},
        {"end_of_file", identity->end_of_file},
        {"closed", identity->closed},
        {"statistics_commit", identity->statistics_commit},
        {"statistics_since", identity->statistics_since},
    };
    for (size_t i = 0; !status && i < BS_ARRAY_LENGTH(numbers); i++) {
        status = bs_node_set_u64(node, numbers[i].name, numbers[i].value, err);
    }
    return status;
}

static basalt_status identity_create(struct bs_h5_writer *writer, basalt_error *err)
{
    basalt_status status =
        bs_h5_make_group(writer, writer->root, IDENTITY_NAME, &writer->identity_node, err);
    if (status) return status;
    writer->identity_node->attributes_inline = true;
    return identity_attributes(writer->identity_node, &writer->identity, err);
}

basalt_status bs_h5_writer_create(struct bs_file *file, const struct bs_h5_identity *identity,
    struct bs_h5_writer **out_writer, basalt_error *err)
{
    struct bs_h5_writer *writer = NULL;
    uint64_t size = 0;
    *out_writer = NULL;
    basalt_status status = bs_file_size(file, &size, err);
    if (status) return status;
    if (size != 0) {
        return bs_fail(err, BASALT_EXISTS, BASALT_NO_OFFSET,
            "%s has %" PRIu64 " bytes already: a new file must be empty", file->path, size);
    }
    BS_TRY(writer_new(file, &writer, err));
    writer->is_new = true;
    writer->plain = writer->closed = !identity;
    if (identity) writer->identity = *identity;
    writer->identity.commit = 0;
    if (writer->identity.format_version == 0) writer->identity.format_version = FORMAT_VERSION;
    bs_put_attribute_info(&writer->root->kept);
    BS_TRY(bs_bytes_check(&writer->root->kept, err));
    bs_node_dirty(writer->root);
    if (identity) BS_TRY(identity_create(writer, err));
    writer->root->attributes_inline = writer->plain;
    *out_writer = writer;
    writer = NULL;
out:
    bs_h5_writer_close(writer);
    return status;
}

static basalt_status superblock_check(const struct bs_h5_superblock *superblock, basalt_error *err)
{
    if (superblock->version != 2 || superblock->base != 0 || superblock->offset_bytes != 8 ||
        superblock->length_bytes != 8) {
        return bs_fail(err, BASALT_UNSUPPORTED, 0,
            "only files with a superblock of version 2 at 0 and 8-byte addresses, as Basalt makes "
            "them, are written to");
    }
    if (superblock->group_leaf_k != 4 || superblock->group_internal_k != 16 ||
        superblock->chunk_k != 32) {
        return bs_fail(err, BASALT_UNSUPPORTED, 0,
            "the file has B-trees of unusual width: it is not written to");
    }
    return BASALT_OK;
}

static basalt_status features_check(const struct bs_h5_identity *identity, basalt_error *err)
{
    if (identity->format_version > FORMAT_VERSION) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the file is of format version %u, this version of Basalt writes up to %u",
            (unsigned)identity->format_version, FORMAT_VERSION);
    }
    if (identity->feature_refuse == 0 &&
        (identity->feature_read_only & ~BS_H5_FEATURES_READ_ONLY) == 0) {
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "the file has features (masks %x and %x) that this version of Basalt does not know: it is "
        "not written to",
        (unsigned)identity->feature_refuse, (unsigned)identity->feature_read_only);
}

static basalt_status identity_find(struct bs_h5_writer *writer, basalt_error *err)
{
    struct bs_h5_node *node = bs_node_find(writer->root, IDENTITY_NAME);
    if (!node || node->kind != BS_NODE_GROUP) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the group /.basalt is not of the form that Basalt writes");
    }
    node->attributes_inline = true;
    writer->identity_node = node;
    /* Anew: what another program made of them need not have the form that commits change. */
    return identity_attributes(node, &writer->identity, err);
}

basalt_status bs_h5_writer_open(struct bs_file *file,
    const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES], struct bs_h5_writer **out_writer,
    basalt_error *err)
{
    struct bs_h5_writer *writer = NULL;
    struct bs_h5_file *h5 = NULL;
    *out_writer = NULL;
    basalt_status status = bs_h5_file_open_at(file, superblock, &h5, err);
    if (status) return status;
    BS_TRY(superblock_check(bs_h5_file_superblock(h5), err));
    BS_TRY(writer_new(file, &writer, err));
    BS_TRY(bs_h5_identity_read(h5, &writer->identity, err));
    BS_TRY(features_check(&writer->identity, err));
    if (!bs_h5_identity_is_last(bs_h5_file_superblock(h5), &writer->identity)) {
        writer->identity.statistics_since = writer->identity.commit + 1;
    }
    memcpy(writer->current, superblock, BS_H5_SUPERBLOCK_BYTES);
    writer->space.end = (bs_h5_file_superblock(h5)->end_of_file + 7) & ~(uint64_t)7;
    BS_TRY(bs_writer_find_free(writer, h5, err));
    BS_TRY(bs_writer_load(writer, h5, err));
    BS_TRY(identity_find(writer, err));
    *out_writer = writer;
    writer = NULL;
out:
    bs_h5_writer_close(writer);
    bs_h5_file_close(h5);
    return status;
}

const struct bs_h5_identity *bs_h5_writer_identity(const struct bs_h5_writer *writer)
{
    return &writer->identity;
}

void bs_h5_set_closed(struct bs_h5_writer *writer, bool closed)
{
    writer->closed = closed;
}

/* ---- planning a commit --------------------------------------------------------------------- */

basalt_status bs_plan_add(struct bs_plan *plan, enum bs_block_kind kind, void *owner,
    struct bs_h5_node *node, uint64_t address, uint64_t bytes, basalt_error *err)
{
    if (plan->count == plan->capacity) {
        const size_t capacity = BS_MAX(plan->capacity * 2, (size_t)64);
        void *grown = bs_realloc(plan->blocks, capacity * sizeof *plan->blocks);
        if (!grown) return bs_fail_memory(err, capacity * sizeof *plan->blocks);
        plan->blocks = grown;
        plan->capacity = capacity;
    }
    plan->blocks[plan->count++] =
        (struct bs_block){kind, owner, node, address, bytes, address == BS_H5_UNDEFINED};
    return BASALT_OK;
}

basalt_status bs_plan_give_up(
    struct bs_plan *plan, uint64_t address, uint64_t bytes, basalt_error *err)
{
    if (address == BS_H5_UNDEFINED || bytes == 0) return BASALT_OK;
    return bs_extents_add(&plan->given_up, address, bytes, err);
}

static basalt_status plan_attributes(
    struct bs_h5_node *node, struct bs_bytes *scratch, struct bs_plan *plan, basalt_error *err)
{
    if (!node->attributes_dirty || node->attributes_inline) return BASALT_OK;
    basalt_status status = bs_plan_give_up(plan, node->block.address, node->block.bytes, err);
    node->next_block = (struct bs_h5_extent){BS_H5_UNDEFINED, 0};
    if (status || node->attribute_count == 0) return status;
    scratch->count = 0;
    bs_attribute_block_encode(node, scratch);
    node->next_block.bytes = scratch->count;
    return bs_plan_add(plan, BS_BLOCK_ATTRIBUTES, node, node, BS_H5_UNDEFINED, scratch->count, err);
}

/* What `node` and all dirty objects below need written, children first. */
static basalt_status plan_node(
    struct bs_h5_node *node, struct bs_bytes *scratch, struct bs_plan *plan, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (node->kind == BS_NODE_GROUP) {
        for (size_t i = 0; i < node->as.group.count; i++) {
            struct bs_h5_node *child = node->as.group.children[i];
            if (!child->dirty) continue;
            status = plan_node(child, scratch, plan, err);
            if (status) return status;
        }
        if (node->as.group.symbols) status = bs_symbols_plan(node, plan, err);
    } else if (node->kind == BS_NODE_COLUMN ||
        (node->kind == BS_NODE_ARRAY && node->as.array->layout == BS_H5_CHUNKED)) {
        status = bs_index_plan(node, plan, err);
    }
    if (!status) status = plan_attributes(node, scratch, plan, err);
    if (status) return status;
    scratch->count = 0;
    bs_header_encode(node, scratch);
    status = bs_bytes_check(scratch, err);
    if (status) return status;
    assert(!node->placed || node->next_header_bytes == scratch->count);
    node->next_header_bytes = scratch->count;
    status = bs_plan_add(plan, BS_BLOCK_HEADER, node, node,
        node->placed ? node->next_address : BS_H5_UNDEFINED, scratch->count, err);
    if (!status) status = bs_plan_give_up(plan, node->address, node->header_bytes, err);
    for (size_t i = 0; !status && i < node->old_blocks.count; i++) {
        status = bs_plan_give_up(
            plan, node->old_blocks.items[i].address, node->old_blocks.items[i].bytes, err);
    }
    return status;
}

static void block_place(struct bs_block *block)
{
    struct bs_h5_node *node = block->owner;
    struct bs_index_node *index = block->owner;
    struct bs_symbol_node *symbol = block->owner;
    struct bs_symbols *symbols = block->owner;
    switch (block->kind) {
    case BS_BLOCK_HEADER: node->next_address = block->address; break;
    case BS_BLOCK_ATTRIBUTES: node->next_block.address = block->address; break;
    case BS_BLOCK_INDEX: index->next_address = block->address; break;
    case BS_BLOCK_SYMBOLS: symbol->next_address = block->address; break;
    case BS_BLOCK_HEAP: symbols->next_heap.address = block->address; break;
    case BS_BLOCK_NAMES: symbols->next_names.address = block->address; break;
    case BS_BLOCK_NEW_NAMES: break;
    }
}

/* All in one extent, if one is free; else each where it fits. */
static void plan_place(struct bs_h5_writer *writer)
{
    struct bs_plan *plan = &writer->plan;
    uint64_t bytes = 0;
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->blocks[i].to_place) bytes += (plan->blocks[i].bytes + 7) & ~(uint64_t)7;
    }
    uint64_t at = writer->compacting ? BS_H5_UNDEFINED : bs_space_take_free(&writer->space, bytes);
    for (size_t i = 0; i < plan->count; i++) {
        struct bs_block *block = &plan->blocks[i];
        if (!block->to_place) continue;
        if (at == BS_H5_UNDEFINED) {
            block->address = bs_space_take(&writer->space, block->bytes);
        } else {
            block->address = at;
            at += (block->bytes + 7) & ~(uint64_t)7;
        }
        block_place(block);
    }
}

/* ---- writing a commit ---------------------------------------------------------------------- */

static void block_encode(const struct bs_block *block, struct bs_bytes *out)
{
    switch (block->kind) {
    case BS_BLOCK_HEADER: bs_header_encode(block->owner, out); break;
    case BS_BLOCK_ATTRIBUTES: bs_attribute_block_encode(block->owner, out); break;
    case BS_BLOCK_INDEX: bs_index_encode(block->node, block->owner, out); break;
    case BS_BLOCK_SYMBOLS: bs_symbol_node_encode(block->owner, out); break;
    case BS_BLOCK_HEAP: bs_symbol_heap_encode(block->owner, out); break;
    case BS_BLOCK_NAMES:
    case BS_BLOCK_NEW_NAMES: bs_symbol_names_encode(block->owner, out); break;
    }
}

static int by_address(const void *a, const void *b)
{
    const uint64_t left = ((const struct bs_block *)a)->address;
    const uint64_t right = ((const struct bs_block *)b)->address;
    return left < right ? -1 : left > right;
}

/* Neighbours go out in one write. */
static basalt_status plan_write(struct bs_h5_writer *writer, basalt_error *err)
{
    struct bs_plan *plan = &writer->plan;
    struct bs_bytes out = {0};
    uint64_t start = 0;
    basalt_status status = BASALT_OK;
    if (plan->count) qsort(plan->blocks, plan->count, sizeof *plan->blocks, by_address);
    for (size_t i = 0; i < plan->count; i++) {
        const struct bs_block *block = &plan->blocks[i];
        if (out.count == 0) start = block->address;
        const size_t before = out.count;
        block_encode(block, &out);
        BS_TRY(bs_bytes_check(&out, err));
        assert(out.count - before == block->bytes);
        (void)before;
        bs_bytes_align(&out, OFFSET_BYTES);
        const bool last = i + 1 == plan->count;
        if (!last && out.count < WRITE_BYTES_MAX && start + out.count == block[1].address) continue;
        BS_TRY(bs_bytes_check(&out, err));
        /* The padding behind the last block belongs to it: extents are multiples of 8. */
        BS_TRY(bs_file_write_at(writer->file, out.data, out.count, start, err));
        out.count = 0;
    }
out:
    bs_bytes_free(&out);
    return status;
}

static void superblock_make(struct bs_h5_writer *writer)
{
    struct bs_h5_superblock superblock = {.version = 2,
        .offset_bytes = 8,
        .length_bytes = 8,
        .extension = BS_H5_UNDEFINED,
        .group_leaf_k = 4,
        .group_internal_k = 16,
        .chunk_k = 32};
    if (!writer->is_new) superblock.extension = bs_load_u64(writer->current + 20);
    superblock.root = writer->next_identity.root;
    superblock.end_of_file = writer->next_identity.end_of_file;
    bs_h5_superblock_encode(&superblock, writer->next);
}

static void identity_change(struct bs_h5_writer *writer)
{
    const struct bs_h5_identity *identity = &writer->next_identity;
    if (!writer->identity_node) return;
    bs_node_change_u64(writer->identity_node, "feature_compatible", identity->feature_compatible);
    bs_node_change_u64(writer->identity_node, "statistics_commit", identity->statistics_commit);
    bs_node_change_u64(writer->identity_node, "feature_read_only", identity->feature_read_only);
    bs_node_change_u64(writer->identity_node, "closed", identity->closed);
    bs_node_change_u64(writer->identity_node, "commit", identity->commit);
    bs_node_change_u64(writer->identity_node, "log_position", identity->log_position);
    bs_node_change_u64(writer->identity_node, "root_address", identity->root);
    bs_node_change_u64(writer->identity_node, "end_of_file", identity->end_of_file);
}

/* A stock reader asks for the size of the file first and reads the superblock then: a flip between the
 * two that ends the file behind that size makes it say "truncated". So the size of a live file is
 * ahead of its end, by more than the next flips will add, at no cost in disk. That of a closed one
 * is not. */
static uint64_t size_ahead(const struct bs_h5_writer *writer, uint64_t end)
{
    const uint64_t before = writer->is_new ? end : bs_load_u64(writer->current + FLIP_AT);
    if (writer->closed) return 0;
    return BS_MAX(AHEAD_BYTES_MIN, end > before ? AHEAD_FLIPS * (end - before) : 0);
}

static basalt_status file_grow(struct bs_h5_writer *writer, basalt_error *err)
{
    const uint64_t end = writer->next_identity.end_of_file, ahead = size_ahead(writer, end);
    uint64_t size = 0;
    basalt_status status = bs_file_size(writer->file, &size, err);
    if (status || size >= end + ahead / 2) return status;
    return writer->file->ops->set_size(writer->file, end + ahead, err);
}

/* Of a new file: all but the 20 bytes that make it HDF5. */
static basalt_status first_block_write(struct bs_h5_writer *writer, basalt_error *err)
{
    uint8_t block[BS_H5_HEADER_SPACE_BYTES] = {0};
    if (!writer->is_new) return BASALT_OK;
    memcpy(block, writer->next, FLIP_AT);
    return bs_file_write_at(writer->file, block, sizeof block, 0, err);
}

/* As if nothing had been prepared. */
static void plan_undo(struct bs_h5_writer *writer)
{
    for (size_t i = 0; i < writer->plan.count; i++) {
        const struct bs_block *block = &writer->plan.blocks[i];
        if (block->to_place) bs_space_untake(&writer->space, block->address, block->bytes);
    }
    plan_reset(&writer->plan);
}

basalt_status bs_h5_prepare(struct bs_h5_writer *writer, uint64_t commit, uint64_t log_position,
    uint8_t out_superblock[BS_H5_SUPERBLOCK_BYTES], basalt_error *err)
{
    struct bs_bytes scratch = {0};
    memset(out_superblock, 0, BS_H5_SUPERBLOCK_BYTES);
    basalt_status status = bs_writer_check(writer, err);
    if (status) return status;
    writer->next_identity = writer->identity;
    writer->next_identity.commit = commit;
    writer->next_identity.log_position = log_position;
    writer->next_identity.feature_read_only |= BS_H5_FEATURE_CLOSED_MARK;
    writer->next_identity.closed = writer->closed;
    writer->next_identity.feature_compatible |= BS_H5_FEATURE_STATISTICS;
    writer->next_identity.statistics_commit = commit;
    if (writer->identity_node) bs_node_dirty(writer->identity_node);
    BS_TRY(plan_node(writer->root, &scratch, &writer->plan, err));
#ifdef BASALT_MUTANT_reuse_one_commit_early
    for (size_t i = 0; i < writer->plan.given_up.count; i++) {
        const struct bs_h5_extent extent = writer->plan.given_up.items[i];
        bs_space_give_up(&writer->space, extent.address, extent.bytes);
    }
    writer->plan.given_up.count = 0;
#endif
    plan_place(writer);
    writer->next_identity.root = writer->root->next_address;
    writer->next_identity.end_of_file = bs_space_trim(&writer->space);
    identity_change(writer);
    superblock_make(writer);
    BS_TRY(plan_write(writer, err));
    BS_TRY(first_block_write(writer, err));
    BS_TRY(file_grow(writer, err));
    writer->state = BS_WRITER_PREPARED;
    memcpy(out_superblock, writer->next, BS_H5_SUPERBLOCK_BYTES);
out:
    if (status) plan_undo(writer);
    bs_bytes_free(&scratch);
    return status;
}

basalt_status bs_h5_flip(struct bs_h5_writer *writer, basalt_error *err)
{
    if (writer->state != BS_WRITER_PREPARED) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "no commit to %s is prepared",
            writer->file->path);
    }
    writer->state = BS_WRITER_FLIPPED; /* even if the write fails: what is on disk is not known */
    return bs_file_write_at(writer->file, writer->next + FLIP_AT, FLIP_BYTES, FLIP_AT, err);
}

static void block_settle(const struct bs_block *block)
{
    if (block->kind == BS_BLOCK_HEADER) {
        struct bs_h5_node *node = block->owner;
        if (node->attributes_dirty && !node->attributes_inline) node->block = node->next_block;
        node->attributes_dirty = false;
        node->address = node->next_address;
        node->header_bytes = node->next_header_bytes;
        node->dirty = false;
        node->old_blocks.count = 0;
        if (node->kind == BS_NODE_COLUMN) {
            bs_index_settle(&node->as.column->index);
            node->as.column->tail_is_new = false;
        }
        if (node->kind == BS_NODE_GROUP && node->as.group.symbols) {
            bs_symbols_settle(node->as.group.symbols);
        }
    }
}

void bs_h5_settle(struct bs_h5_writer *writer)
{
    assert(writer->state == BS_WRITER_FLIPPED);
    for (size_t i = 0; i < writer->plan.count; i++) block_settle(&writer->plan.blocks[i]);
    for (size_t i = 0; i < writer->plan.given_up.count; i++) {
        const struct bs_h5_extent extent = writer->plan.given_up.items[i];
        bs_space_give_up(&writer->space, extent.address, extent.bytes);
    }
    plan_reset(&writer->plan);
    writer->identity = writer->next_identity;
    memcpy(writer->current, writer->next, BS_H5_SUPERBLOCK_BYTES);
    bs_space_retire(&writer->space, writer->identity.commit);
    writer->is_new = false;
    writer->compacting = false;
    writer->state = BS_WRITER_READY;
}

void bs_h5_abandon(struct bs_h5_writer *writer)
{
    writer->state = BS_WRITER_ABANDONED;
}

/* ---- the superblock in force --------------------------------------------------------------- */

void bs_h5_current(const struct bs_h5_writer *writer, uint8_t out[BS_H5_SUPERBLOCK_BYTES])
{
    memcpy(out, writer->current, BS_H5_SUPERBLOCK_BYTES);
}

basalt_status bs_h5_check_superblock(
    struct bs_file *file, const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES], basalt_error *err)
{
    uint8_t there[BS_H5_SUPERBLOCK_BYTES];
    uint64_t size = 0;
    const uint64_t end = bs_load_u64(superblock + FLIP_AT);
    basalt_status status = bs_file_size(file, &size, err);
    if (status) return status;
    if (size < end) {
        return bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
            "%.100s has %" PRIu64 " bytes instead of %" PRIu64
            ": somebody else has shortened it; nothing more is written",
            file->path, size, end);
    }
    status = bs_file_read_all_at(file, there, sizeof there, 0, err);
    if (status) return status;
    if (memcmp(there, superblock, sizeof there) != 0) {
        return bs_fail(err, BASALT_CONFLICT, 0,
            "the superblock of %.100s is not what was written last: somebody else has changed the"
            " file; nothing more is written",
            file->path);
    }
    return BASALT_OK;
}

basalt_status bs_h5_check_unchanged(struct bs_h5_writer *writer, basalt_error *err)
{
    const bool flipped = writer->state == BS_WRITER_FLIPPED;
    if (writer->is_new && !flipped) return BASALT_OK; /* nothing is in force yet */
    return bs_h5_check_superblock(writer->file, flipped ? writer->next : writer->current, err);
}

void bs_h5_reclaim(struct bs_h5_writer *writer, uint64_t commit)
{
    bs_space_reclaim(&writer->space, commit);
}

basalt_status bs_h5_shorten(struct bs_h5_writer *writer, basalt_error *err)
{
    uint64_t size = 0;
    const uint64_t end = bs_load_u64(writer->current + FLIP_AT);
    basalt_status status = bs_writer_check(writer, err);
    if (status || writer->is_new || writer->space.end > end) return status;
    status = bs_file_size(writer->file, &size, err);
    const uint64_t ahead = size_ahead(writer, end);
    if (status || size <= end + AHEAD_FLIPS * ahead) return status;
    return writer->file->ops->set_size(writer->file, end + ahead, err);
}

void bs_h5_space_stats(const struct bs_h5_writer *writer, struct bs_h5_space_stats *out_stats)
{
    struct bs_space *space = (struct bs_space *)&writer->space; /* the lock is part of it */
    bs_mutex_lock(&space->lock);
    uint64_t pending = 0;
    for (size_t i = 0; i < space->pending.count; i++) pending += space->pending.items[i].bytes;
    out_stats->file_bytes = space->end;
    out_stats->free_bytes = space->free_bytes;
    out_stats->retired_bytes = space->retired_bytes + pending;
    out_stats->live_bytes = space->end - space->free_bytes - out_stats->retired_bytes;
    out_stats->oldest_retired = space->retired_first < space->retired_count
        ? space->retired[space->retired_first].commit
        : 0;
    bs_mutex_unlock(&space->lock);
}
