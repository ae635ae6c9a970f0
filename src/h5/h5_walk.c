/* h5_walk.c - everything that the root reaches: objects, and the extents of their structures.
 *
 * Objects wait in a list (no recursion: a chain of groups may be as long as the file), each address
 * once. Extents of an honest file lie apart, so their sum is at most the file: that bounds the walk
 * over files whose structures point into each other. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define NAME_KEPT_BYTES 48 /* of each name, for the path in a fault's sentence */
#define PATH_PARTS_SHOWN_MAX 8
#define NO_PARENT UINT32_MAX
#define PENDING_MAX UINT32_MAX

struct address_set { /* open addressing; BS_H5_UNDEFINED marks a free slot */
    uint64_t *slots;
    size_t room, count; /* room: a power of two */
};

struct pending {
    uint64_t address;
    uint32_t parent;
    bool header_only; /* the superblock extension is no object */
    char name[NAME_KEPT_BYTES];
};

struct walker {
    struct bs_h5_file *h5;
    struct bs_h5_walk_hooks hooks;
    bool complete, in_chunk;
    uint64_t bytes; /* of all extents so far */
    struct address_set objects, collections;
    struct pending *list;
    size_t count, room, at; /* at: the one being walked */
    const struct bs_h5_object *object;
    struct bs_codec_scratch *scratch;
    struct bs_h5_heap *heap;
    uint8_t *chunk; /* memory for one, of the object being walked */
};

/* ---- sets and lists --------------------------------------------------------------------------- */

static size_t slot_of(const struct address_set *set, uint64_t address)
{
    size_t at = (size_t)((address * 0x9E3779B97F4A7C15u) >> 20) & (set->room - 1);
    while (set->slots[at] != BS_H5_UNDEFINED && set->slots[at] != address)
        at = (at + 1) & (set->room - 1);
    return at;
}

static basalt_status set_grow(struct address_set *set, basalt_error *err)
{
    const struct address_set old = *set;
    const size_t room = old.room ? old.room * 2 : 64;

    uint64_t *slots = bs_alloc(room * sizeof *slots);
    if (!slots) return bs_fail_memory(err, room * sizeof *slots);
    for (size_t i = 0; i < room; i++) slots[i] = BS_H5_UNDEFINED;
    set->slots = slots;
    set->room = room;
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i] != BS_H5_UNDEFINED) slots[slot_of(set, old.slots[i])] = old.slots[i];
    bs_free(old.slots);
    return BASALT_OK;
}

static basalt_status set_add(
    struct address_set *set, uint64_t address, bool *out_new, basalt_error *err)
{
    *out_new = false;
    if (set->count * 2 >= set->room) {
        basalt_status status = set_grow(set, err);
        if (status) return status;
    }
    const size_t at = slot_of(set, address);
    if (set->slots[at] == address) return BASALT_OK;
    set->slots[at] = address;
    set->count++;
    *out_new = true;
    return BASALT_OK;
}

static basalt_status enqueue(
    struct walker *walker, uint64_t address, const char *name, bool header_only, basalt_error *err)
{
    bool is_new = false;
    basalt_status status = bs_h5_check_range(walker->h5, address, 1, "an object header", err);

    if (!status) status = set_add(&walker->objects, address, &is_new, err);
    if (status || !is_new) return status;
    if (walker->count == walker->room) {
        const size_t room = walker->room ? walker->room * 2 : 64;
        void *grown = walker->room < PENDING_MAX / 2
            ? bs_realloc(walker->list, room * sizeof *walker->list)
            : NULL;
        if (!grown) return bs_fail_memory(err, room * sizeof *walker->list);
        walker->list = grown;
        walker->room = room;
    }
    struct pending *item = &walker->list[walker->count];
    *item = (struct pending){.address = address,
        .header_only = header_only,
        .parent = walker->count ? (uint32_t)walker->at : NO_PARENT};
    const size_t kept = BS_MIN(strlen(name), sizeof item->name - 1);
    memcpy(item->name, name, kept);
    walker->count++;
    return BASALT_OK;
}

/* ---- faults ----------------------------------------------------------------------------------- */

static void put_path(const struct walker *walker, struct bs_bytes *out)
{
    uint32_t parts[PATH_PARTS_SHOWN_MAX];
    size_t count = 0;
    uint32_t at = (uint32_t)walker->at;

    while (
        at != NO_PARENT && walker->list[at].parent != NO_PARENT && count < PATH_PARTS_SHOWN_MAX) {
        parts[count++] = at;
        at = walker->list[at].parent;
    }
    if (!count) bs_bytes_text(out, "/");
    if (count == PATH_PARTS_SHOWN_MAX && walker->list[at].parent != NO_PARENT)
        bs_bytes_text(out, "/…");
    while (count-- > 0) bs_bytes_text(out, "/%s", walker->list[parts[count]].name);
    bs_bytes_u8(out, 0);
}

static bool is_about_the_file(basalt_status status)
{
    return status == BASALT_CORRUPT || status == BASALT_UNSUPPORTED || status == BASALT_TOO_LARGE;
}

/* What a failed step means for the walk: OK to go on. */
static basalt_status settle(
    struct walker *walker, basalt_status status, const basalt_error *fault, basalt_error *err)
{
    struct bs_bytes path = {0};

    if (!status) return BASALT_OK;
    if (is_about_the_file(status)) walker->complete = false;
    if (!walker->hooks.fault || !is_about_the_file(status)) {
        if (walker->hooks.fault || status == BASALT_CORRUPT || !is_about_the_file(status)) {
            if (err) *err = *fault;
            return status;
        }
        return BASALT_OK; /* only not listed */
    }
    put_path(walker, &path);
    status = bs_bytes_check(&path, err);
    if (!status)
        status = walker->hooks.fault(
            walker->hooks.context, (const char *)path.data, walker->in_chunk, fault, err);
    bs_bytes_free(&path);
    return status;
}

/* ---- extents ---------------------------------------------------------------------------------- */

static basalt_status report(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    struct walker *walker = context;

    if (!extent.bytes) return BASALT_OK;
    basalt_status status =
        bs_h5_check_range(walker->h5, extent.address, extent.bytes, purpose, err);
    if (status) return status;
    if (extent.bytes > walker->h5->bytes - walker->bytes)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(walker->h5, extent.address),
            "the structures of the file overlap: with the %s at %" PRIu64
            " they are together larger than the file",
            purpose, extent.address);
    walker->bytes += extent.bytes;
    return walker->hooks.extent ? walker->hooks.extent(walker->hooks.context, extent, purpose, err)
                                : BASALT_OK;
}

/* ---- references into the global heap ---------------------------------------------------------- */

static basalt_status add_collection(struct walker *walker, uint64_t address, basalt_error *err)
{
    bool is_new = false;
    uint64_t bytes = 0;
    basalt_status status = set_add(&walker->collections, address, &is_new, err);

    if (!status && is_new) status = bs_h5_collection_bytes(walker->h5, address, &bytes, err);
    if (!status && is_new)
        status = report(walker, (struct bs_h5_extent){address, bytes}, "global heap", err);
    return status;
}

static basalt_status scan_element(struct walker *walker, const struct bs_h5_type *type,
    const uint8_t *element, basalt_error *err);

static basalt_status scan_parts(
    struct walker *walker, const struct bs_h5_type *type, const uint8_t *element, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    if (type->kind == BS_H5_ARRAY) {
        const uint32_t part_bytes = type->base->size_bytes;
        for (uint32_t at = 0; !status && at < type->size_bytes; at += part_bytes)
            status = scan_element(walker, type->base, element + at, err);
        return status;
    }
    for (size_t i = 0; !status && i < type->member_count; i++)
        if (bs_h5_refers_to_heap(type->members[i].type))
            status =
                scan_element(walker, type->members[i].type, element + type->members[i].offset, err);
    return status;
}

static basalt_status scan_element(
    struct walker *walker, const struct bs_h5_type *type, const uint8_t *element, basalt_error *err)
{
    struct bs_cursor cursor = bs_cursor_make(element, type->size_bytes, BASALT_NO_OFFSET);
    uint32_t length = 1;

    if (type->kind == BS_H5_ARRAY || type->kind == BS_H5_COMPOUND)
        return scan_parts(walker, type, element, err);
    if (type->kind == BS_H5_VARIABLE) {
        if (bs_h5_refers_to_heap(type->base))
            walker->complete = false; /* deeper ones are not followed */
        length = bs_cursor_u32(&cursor);
    } else if (type->reference_kind > 1) {
        walker->complete = false;
        return BASALT_OK;
    }
    const uint64_t address = bs_h5_address(walker->h5, &cursor);
    basalt_status status = bs_cursor_check(&cursor, "a reference into the global heap", err);
    if (status || !length || !address || address == BS_H5_UNDEFINED) return status;
    return add_collection(walker, address, err);
}

static basalt_status ignore_text(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    (void)context, (void)index, (void)bytes, (void)count, (void)err;
    return BASALT_OK;
}

static basalt_status scan_elements(struct walker *walker, const struct bs_h5_type *type,
    const uint8_t *elements, uint64_t count, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    if (!bs_h5_refers_to_heap(type)) return BASALT_OK;
    for (uint64_t i = 0; !status && i < count; i++)
        status = scan_element(walker, type, elements + i * type->size_bytes, err);
    if (!status && walker->hooks.deep && type->kind == BS_H5_VARIABLE)
        status = bs_h5_heap_resolve(walker->heap, type, elements, count, ignore_text, NULL, err);
    return status;
}

/* ---- data of datasets ------------------------------------------------------------------------- */

/* What lies behind the dataset's edge in a chunk is nobody's: only rows inside are scanned. */
static basalt_status scan_chunk(
    struct walker *walker, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = walker->object->dataset;
    const unsigned last = dataset->space.rank - 1;
    const uint32_t element = dataset->type->size_bytes;
    const uint8_t *line = walker->chunk;
    uint64_t lines = 1;

    for (unsigned i = 0; i < last; i++) lines *= dataset->chunk_dims[i];
    if (chunk->offset[last] >= dataset->space.dims[last]) return BASALT_OK;
    const uint64_t run =
        BS_MIN(dataset->chunk_dims[last], dataset->space.dims[last] - chunk->offset[last]);
    for (uint64_t i = 0; i < lines; i++, line += dataset->chunk_dims[last] * element) {
        bool inside = true;
        uint64_t rest = i;
        for (unsigned d = last; d-- > 0;) {
            const uint64_t place = chunk->offset[d] + rest % dataset->chunk_dims[d];
            inside = inside && place < dataset->space.dims[d];
            rest /= dataset->chunk_dims[d];
        }
        basalt_status status =
            inside ? scan_elements(walker, dataset->type, line, run, err) : BASALT_OK;
        if (status) return status;
    }
    return BASALT_OK;
}

static basalt_status read_chunk(
    struct walker *walker, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    size_t raw_bytes = 0;
    basalt_status status = bs_h5_chunk_raw_bytes(walker->h5, walker->object, &raw_bytes, err);

    if (status) return status;
    status = bs_h5_chunk_check_work(walker->object, 0, raw_bytes, raw_bytes, err);
    if (status) return status;
    if (!walker->chunk) walker->chunk = bs_alloc(raw_bytes);
    if (!walker->chunk) return bs_fail_memory(err, raw_bytes);
    status = bs_h5_chunk_read(
        walker->h5, walker->object, chunk, &walker->scratch, walker->chunk, raw_bytes, err);
    return status ? status : scan_chunk(walker, chunk, err);
}

static basalt_status walk_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    struct walker *walker = context;
    basalt_error fault = {0};
    const struct bs_h5_dataset *dataset = walker->object->dataset;
    const struct bs_h5_extent extent = {chunk->address, chunk->stored_bytes};
    const bool raw = dataset->pipeline.count && chunk->stored_bytes &&
        bs_h5_chunk_mask(walker->object, chunk) ==
            bs_h5_chunk_mask(walker->object, &(struct bs_h5_chunk){.filter_mask = UINT32_MAX});

    basalt_status status = report(walker, extent, raw ? "raw chunk" : "chunk", err);
    if (status) return status; /* an overlap ends the walk of this index */
    if (walker->hooks.deep || bs_h5_refers_to_heap(dataset->type))
        status = read_chunk(walker, chunk, &fault);
    walker->in_chunk = true;
    status = settle(walker, status, &fault, err);
    walker->in_chunk = false;
    return status;
}

/* Pieces of a contiguous dataset, so that its memory is bounded. */
static basalt_status read_contiguous(struct walker *walker, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = walker->object->dataset;
    const uint64_t element = dataset->type->size_bytes;
    uint64_t count = 0;
    basalt_status status = bs_h5_space_count(&dataset->space, &count, err);

    if (status) return status;
    count = BS_MIN(count, dataset->stored_bytes / element);
    const uint64_t piece = BS_MIN(count, BS_MAX((uint64_t)1, ((uint64_t)1 << 20) / element));
    if (!piece) return BASALT_OK;
    if (piece * element > walker->h5->bytes)
        return bs_h5_check_range(
            walker->h5, dataset->address, piece * element, "contiguous data", err);
    walker->chunk = bs_alloc((size_t)(piece * element));
    if (!walker->chunk) return bs_fail_memory(err, (size_t)(piece * element));
    for (uint64_t at = 0; !status && at < count; at += piece) {
        const uint64_t now = BS_MIN(piece, count - at);
        status = bs_h5_read_at(walker->h5, dataset->address + at * element, walker->chunk,
            (size_t)(now * element), "contiguous data", err);
        if (!status) status = scan_elements(walker, dataset->type, walker->chunk, now, err);
    }
    return status;
}

static basalt_status walk_contiguous(struct walker *walker, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = walker->object->dataset;

    if (walker->object->detail.external) walker->complete = false;
    if (walker->object->detail.external || dataset->address == BS_H5_UNDEFINED) return BASALT_OK;
    basalt_status status = report(walker,
        (struct bs_h5_extent){dataset->address, dataset->stored_bytes}, "contiguous data", err);
    if (!status && (walker->hooks.deep || bs_h5_refers_to_heap(dataset->type)))
        status = read_contiguous(walker, err);
    return status;
}

static basalt_status walk_dataset(struct walker *walker, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = walker->object->dataset;
    basalt_status status = BASALT_OK;

    if (dataset->fill) status = scan_elements(walker, dataset->type, dataset->fill, 1, err);
    if (status) return status;
    switch (dataset->layout) {
    case BS_H5_COMPACT:
        return scan_elements(walker, dataset->type, dataset->compact,
            dataset->stored_bytes / dataset->type->size_bytes, err);
    case BS_H5_CONTIGUOUS: return walk_contiguous(walker, err);
    case BS_H5_VIRTUAL:
        return dataset->address == BS_H5_UNDEFINED || !dataset->address
            ? BASALT_OK
            : add_collection(walker, dataset->address, err);
    case BS_H5_CHUNKED: break;
    }
    status = bs_h5_chunk_index_extents(walker->h5, walker->object, report, walker, err);
    return status ? status : bs_h5_chunks_each(walker->h5, walker->object, walk_chunk, walker, err);
}

/* ---- groups ----------------------------------------------------------------------------------- */

static basalt_status walk_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct walker *walker = context;
    basalt_error fault = {0};

    if (link->kind != BS_H5_LINK_HARD) return BASALT_OK;
    return settle(walker, enqueue(walker, link->address, link->name, false, &fault), &fault, err);
}

static basalt_status walk_group(struct walker *walker, basalt_error *err)
{
    const struct bs_h5_group_form *form = &walker->object->form;
    basalt_status status = BASALT_OK;

    if (form->tree != BS_H5_UNDEFINED)
        status = bs_h5_symbol_table_extents(walker->h5, form, report, walker, err);
    if (!status && form->dense_heap != BS_H5_UNDEFINED)
        status = bs_h5_dense_extents(walker->h5, form->dense_heap, form->dense_names,
            form->dense_order, report, walker, err);
    return status ? status : bs_h5_group_each(walker->h5, walker->object, walk_link, walker, err);
}

/* ---- objects ---------------------------------------------------------------------------------- */

static basalt_status walk_blocks(
    struct walker *walker, const struct bs_h5_header *header, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; !status && i < header->block_count; i++)
        status = report(walker,
            (struct bs_h5_extent){header->blocks[i].address, header->blocks[i].bytes},
            i ? "header continuation" : "object header", err);
    return status;
}

static basalt_status walk_attributes(struct walker *walker, basalt_error *err)
{
    const struct bs_h5_object *object = walker->object;
    basalt_status status = BASALT_OK;

    if (object->attribute_heap != BS_H5_UNDEFINED)
        status = bs_h5_dense_extents(walker->h5, object->attribute_heap, object->attribute_names,
            object->attribute_order, report, walker, err);
    for (size_t i = 0; !status && i < object->attribute_count; i++) {
        const struct bs_h5_attribute *attribute = &object->attributes[i];
        status = scan_elements(walker, attribute->type, attribute->bytes,
            attribute->byte_count / attribute->type->size_bytes, err);
    }
    for (size_t at = 0; !status && at + 8 <= object->committed.count; at += 8)
        status =
            enqueue(walker, bs_load_u64(object->committed.data + at), "(datatype)", false, err);
    return status;
}

static basalt_status walk_kind(struct walker *walker, basalt_error *err)
{
    switch (walker->object->kind) {
    case BS_H5_GROUP: return walk_group(walker, err);
    case BS_H5_DATASET: return walk_dataset(walker, err);
    case BS_H5_COMMITTED_TYPE: break;
    }
    return BASALT_OK;
}

typedef basalt_status (*step_fn)(struct walker *walker, basalt_error *err);

static basalt_status walk_opened(struct walker *walker, basalt_error *err)
{
    static const step_fn steps[] = {walk_attributes, walk_kind};
    basalt_error fault = {0};

    basalt_status status = walk_blocks(walker, walker->object->header, &fault);
    status = settle(walker, status, &fault, err);
    for (size_t i = 0; !status && i < BS_ARRAY_LENGTH(steps); i++) {
        status = steps[i](walker, &fault);
        status = settle(walker, status, &fault, err);
    }
    return status;
}

/* An object that cannot be opened may still have a header whose extents count. */
static basalt_status walk_header_only(struct walker *walker, uint64_t address, basalt_error *err)
{
    struct bs_h5_header *header = NULL;
    basalt_status status = bs_h5_header_load(walker->h5, address, &header, err);

    if (!status) status = walk_blocks(walker, header, err);
    bs_h5_header_free(header);
    return status;
}

static basalt_status walk_object(struct walker *walker, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    basalt_error fault = {0};
    const struct pending item = walker->list[walker->at];
    basalt_status status = BASALT_OK;

    if (item.header_only) {
        status = walk_header_only(walker, item.address, &fault);
        return settle(walker, status, &fault, err);
    }
    status = bs_h5_object_open(walker->h5, item.address, &object, &fault);
    if (status) return settle(walker, status, &fault, err);
    walker->object = object;
    status = walk_opened(walker, err);
    walker->object = NULL;
    bs_free(walker->chunk);
    walker->chunk = NULL;
    bs_h5_object_close(object);
    return status;
}

static basalt_status begin(struct walker *walker, basalt_error *err)
{
    const struct bs_h5_superblock *superblock = &walker->h5->superblock;
    basalt_error fault = {0};

    walker->complete = !walker->h5->free_space && !walker->h5->parts;
    basalt_status status = enqueue(walker, superblock->root, "", false, err);
    if (!status) status = bs_h5_cache_image_extent(walker->h5, report, walker, &fault);
    if (!status) status = bs_h5_shared_extents(walker->h5, report, walker, &fault);
    if (status && fault.status) status = settle(walker, status, &fault, err);
    if (status || superblock->extension == BS_H5_UNDEFINED) return status;
    status = enqueue(walker, superblock->extension, "(superblock extension)", true, &fault);
    return settle(walker, status, &fault, err);
}

basalt_status bs_h5_walk(struct bs_h5_file *h5, const struct bs_h5_walk_hooks *hooks,
    bool *out_complete, basalt_error *err)
{
    struct walker walker = {.hooks = *hooks};
    basalt_status status = bs_h5_view_create(h5, &walker.h5, err);

    *out_complete = false;
    if (status) return status;
    BS_TRY(bs_h5_heap_open(walker.h5, &walker.heap, err));
    BS_TRY(begin(&walker, err));
    for (walker.at = 0; walker.at < walker.count; walker.at++) BS_TRY(walk_object(&walker, err));
    *out_complete = walker.complete;
out:
    bs_free(walker.objects.slots);
    bs_free(walker.collections.slots);
    bs_free(walker.list);
    bs_free(walker.chunk);
    bs_codec_scratch_free(walker.scratch);
    bs_h5_heap_close(walker.heap);
    bs_h5_view_free(walker.h5);
    return status;
}

basalt_status bs_h5_walk_extents(struct bs_h5_file *h5, bs_h5_extent_fn each, void *context,
    bool *out_complete, basalt_error *err)
{
    const struct bs_h5_walk_hooks hooks = {.extent = each, .context = context};
    return bs_h5_walk(h5, &hooks, out_complete, err);
}
