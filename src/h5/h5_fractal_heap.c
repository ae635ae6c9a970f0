/* h5_fractal_heap.c - fractal heaps (FF III.G): the objects of dense groups and attributes.
 *
 * A heap is an address space of its own. Blocks fill it in rows of `width`: row 0 and 1 of the start
 * size, each further row of twice the one before. Small rows are direct blocks with objects in them,
 * larger ones indirect blocks, which are rows again. A root that is a direct block is the whole heap.
 *
 * OBJECT ID  byte 0: bits 4-5 say the kind
 *   managed  offset in the heap's space, length       tiny  the object itself
 *   huge     address and length, or the key of a record in a version-2 B-tree
 *
 * With filters, each direct block and huge object is stored filtered: what refers to it says how many
 * bytes that are, and which filters were left out.
 *
 * Opening loads and checks every block; together they are no larger than the file. From then on
 * nothing changes: any thread may look up objects. Who wants one object peeks: only the blocks on the way
 * to it are loaded then. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define HEADER_BYTES_MAX 256
#define FILTER_BYTES_AT 7 /* in a header: how long the description of the filters is */
#define ROWS_MAX 128
#define KIND_MANAGED 0 /* of objects */
#define KIND_HUGE 1
#define KIND_TINY 2
#define KIND_HUGE_BY_KEY 1 /* B-tree record types: huge objects; one more with filters */
#define KIND_HUGE_BY_PLACE 3
#define FLAG_CHECKED_BLOCKS 0x02
#define TINY_SHORT_BYTES_MAX 16
#define DECODED_BYTES_FREE_MAX ((uint64_t)16 << 20) /* and twice the file, by filters */

struct direct_block {
    uint64_t start, bytes, address; /* start: in the heap's space */
    uint64_t stored_bytes;          /* differs from `bytes` with filters */
    uint8_t *data;
};

struct huge_object {
    uint64_t address, bytes, key; /* bytes: as stored */
    uint64_t raw_bytes;
    uint32_t mask;
};

struct bs_h5_fractal_heap {
    struct bs_h5_file *h5;
    uint64_t address;
    size_t header_bytes, id_bytes, offset_bytes, length_bytes;
    uint8_t flags;
    uint64_t width, start_bytes, direct_bytes_max, root;
    unsigned root_rows;           /* 0: the root is a direct block */
    struct bs_pipeline *pipeline; /* NULL: no filters */
    uint64_t root_stored_bytes;   /* with filters, of a root that is a direct block */
    uint32_t root_mask;
    uint64_t decoded_bytes; /* by filters, so far */
    uint64_t huge_tree, free_space;
    uint64_t loaded_bytes; /* of all blocks; at most the file's */
    bool peeking;          /* only blocks around `wanted`, in the heap's space, are loaded */
    uint64_t wanted;
    size_t direct_count, direct_room, huge_count, huge_room, indirect_count, indirect_room;
    struct direct_block *direct; /* in the order of `start` */
    struct bs_h5_extent *indirect;
    struct huge_object *huge; /* in the order of the tree: by key */
};

void bs_h5_fractal_heap_close(struct bs_h5_fractal_heap *heap)
{
    if (!heap) return;
    for (size_t i = 0; i < heap->direct_count; i++) bs_free(heap->direct[i].data);
    bs_free(heap->direct);
    bs_free(heap->indirect);
    bs_free(heap->huge);
    if (heap->pipeline) bs_pipeline_clear(heap->pipeline);
    bs_free(heap->pipeline);
    bs_free(heap);
}

size_t bs_h5_fractal_heap_id_bytes(const struct bs_h5_fractal_heap *heap)
{
    return heap->id_bytes;
}

static basalt_status bad_heap(
    const struct bs_h5_fractal_heap *heap, basalt_error *err, const char *what)
{
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(heap->h5, heap->address),
        "the fractal heap at %" PRIu64 " %s", heap->address, what);
}

static basalt_status make_room(
    void **items, size_t *room, size_t count, size_t item_bytes, basalt_error *err)
{
    if (count < *room) return BASALT_OK;
    const size_t wanted = *room ? *room * 2 : 8;
    void *grown = bs_realloc(*items, wanted * item_bytes);
    if (!grown) return bs_fail_memory(err, wanted * item_bytes);
    *items = grown;
    *room = wanted;
    return BASALT_OK;
}

/* ---- the header ------------------------------------------------------------------------------- */

static unsigned log2_of(uint64_t value)
{
    unsigned bits = 0;
    while (value >>= 1) bits++;
    return bits;
}

static bool is_power_of_2(uint64_t value)
{
    return value && !(value & (value - 1));
}

static basalt_status check_shape(struct bs_h5_fractal_heap *heap, unsigned space_bits,
    uint64_t object_bytes_max, basalt_error *err)
{
    if (!is_power_of_2(heap->width) || !is_power_of_2(heap->start_bytes) ||
        !is_power_of_2(heap->direct_bytes_max) || heap->start_bytes > heap->direct_bytes_max ||
        heap->direct_bytes_max > UINT32_MAX || !space_bits || space_bits > 64 ||
        heap->root_rows > ROWS_MAX)
        return bad_heap(heap, err, "has blocks of impossible sizes");
    heap->offset_bytes = (space_bits + 7) / 8;
    heap->length_bytes =
        BS_MIN(((size_t)log2_of(heap->direct_bytes_max) + 7) / 8, bs_h5_width_of(object_bytes_max));
    return BASALT_OK;
}

static basalt_status parse_filters(struct bs_h5_fractal_heap *heap, struct bs_cursor *cursor,
    uint16_t filter_bytes, basalt_error *err)
{
    heap->root_stored_bytes = bs_h5_length(heap->h5, cursor);
    heap->root_mask = bs_cursor_u32(cursor);
    const uint64_t offset = bs_cursor_offset(cursor);
    const uint8_t *bytes = bs_cursor_bytes(cursor, filter_bytes);
    if (!bytes) return bad_heap(heap, err, "is cut short");
    heap->pipeline = bs_alloc_zeroed(1, sizeof *heap->pipeline);
    if (!heap->pipeline) return bs_fail_memory(err, sizeof *heap->pipeline);
    struct bs_cursor filters = bs_cursor_make(bytes, filter_bytes, offset);
    return bs_h5_pipeline_decode(&filters, heap->pipeline, err);
}

static basalt_status parse_header(
    struct bs_h5_fractal_heap *heap, struct bs_cursor cursor, basalt_error *err)
{
    struct bs_h5_file *h5 = heap->h5;
    const size_t length = h5->superblock.length_bytes;

    const uint8_t version = bs_cursor_u8(&cursor);
    heap->id_bytes = bs_cursor_u16(&cursor);
    if (!cursor.failed && !heap->id_bytes) return bad_heap(heap, err, "has names of no bytes");
    const uint16_t filter_bytes = bs_cursor_u16(&cursor);
    heap->flags = bs_cursor_u8(&cursor);
    const uint32_t object_bytes_max = bs_cursor_u32(&cursor);
    bs_cursor_skip(&cursor, length); /* next key of a huge object */
    heap->huge_tree = bs_h5_address(h5, &cursor);
    bs_cursor_skip(&cursor, length); /* free bytes */
    heap->free_space = bs_h5_address(h5, &cursor);
    bs_cursor_skip(&cursor, 8 * length); /* sizes and numbers of objects */
    heap->width = bs_cursor_u16(&cursor);
    heap->start_bytes = bs_h5_length(h5, &cursor);
    heap->direct_bytes_max = bs_h5_length(h5, &cursor);
    const uint16_t space_bits = bs_cursor_u16(&cursor);
    bs_cursor_skip(&cursor, 2); /* rows that a root begins with */
    heap->root = bs_h5_address(h5, &cursor);
    heap->root_rows = bs_cursor_u16(&cursor);
    basalt_status status = bs_cursor_check(&cursor, "a fractal heap", err);
    if (status) return status;
    if (version) return bad_heap(heap, err, "has an unknown version");
    if (filter_bytes) status = parse_filters(heap, &cursor, filter_bytes, err);
    if (status) return status;
    heap->header_bytes = (size_t)(cursor.at - cursor.start) + 4;
    return check_shape(heap, space_bits, object_bytes_max, err);
}

static basalt_status read_header(struct bs_h5_fractal_heap *heap, basalt_error *err)
{
    uint8_t start[FILTER_BYTES_AT + 2];
    uint8_t *bytes = NULL;
    struct bs_h5_file *h5 = heap->h5;

    basalt_status status =
        bs_h5_read_at(h5, heap->address, start, sizeof start, "a fractal heap", err);
    if (status) return status;
    const uint64_t count = BS_MIN(bs_h5_room_at(h5, heap->address),
        (uint64_t)HEADER_BYTES_MAX + bs_load_u16(start + FILTER_BYTES_AT));
    status = bs_h5_load(h5, heap->address, count, "a fractal heap", &bytes, err);
    if (status) return status;
    struct bs_cursor cursor = bs_h5_cursor(h5, bytes, (size_t)count, heap->address);
    BS_TRY(bs_h5_expect(&cursor, "FRHP", "fractal heap", err));
    BS_TRY(parse_header(heap, cursor, err));
    if (heap->header_bytes > count)
        status = bad_heap(heap, err, "is cut short");
    else
        status =
            bs_h5_check_sum(h5, bytes, heap->header_bytes, heap->address, "a fractal heap", err);
out:
    bs_free(bytes);
    return status;
}

/* ---- blocks ----------------------------------------------------------------------------------- */

static uint64_t row_bytes(const struct bs_h5_fractal_heap *heap, unsigned row)
{
    const unsigned shift = row ? row - 1 : 0;
    return shift >= 40 ? 0 : heap->start_bytes << shift; /* 0: no file is that large */
}

static uint64_t row_start(const struct bs_h5_fractal_heap *heap, unsigned row)
{
    return row ? row_bytes(heap, row) * heap->width : 0;
}

/* What `bytes` of the file are with the filters undone: `raw_bytes` of fresh memory. */
static basalt_status decode_filtered(const struct bs_h5_fractal_heap *heap, const uint8_t *bytes,
    uint64_t count, uint32_t mask, uint64_t raw_bytes, uint8_t **out_raw, basalt_error *err)
{
    struct bs_codec_scratch *scratch = NULL;
    basalt_status status = BASALT_OK;

    *out_raw = bs_alloc((size_t)raw_bytes);
    if (!*out_raw) return bs_fail_memory(err, (size_t)raw_bytes);
    BS_TRY(bs_codec_scratch_create_with(heap->h5->filters, &scratch, err));
    BS_TRY(bs_pipeline_decode(
        heap->pipeline, mask, scratch, bytes, (size_t)count, *out_raw, (size_t)raw_bytes, err));
out:
    bs_codec_scratch_free(scratch);
    if (status) {
        bs_error_prefix(err, "the fractal heap at %" PRIu64, heap->address);
        bs_free(*out_raw);
        *out_raw = NULL;
    }
    return status;
}

static basalt_status unfilter_block(struct bs_h5_fractal_heap *heap, uint64_t stored_bytes,
    uint32_t mask, uint64_t bytes, uint8_t **block, basalt_error *err)
{
    uint8_t *raw = NULL;

    heap->decoded_bytes += bytes;
    if (heap->decoded_bytes > DECODED_BYTES_FREE_MAX && heap->decoded_bytes / 2 > heap->h5->bytes)
        return bs_fail(err, BASALT_TOO_LARGE, bs_h5_offset(heap->h5, heap->address),
            "the fractal heap at %" PRIu64
            " is over 16 MiB without its filters, and more than twice as large as the whole file",
            heap->address);
    basalt_status status = decode_filtered(heap, *block, stored_bytes, mask, bytes, &raw, err);
    if (status) return status;
    bs_free(*block);
    *block = raw;
    return BASALT_OK;
}

struct stored_block { /* where a block is, and what it is with its filters undone */
    uint64_t address, stored_bytes, bytes, start;
    uint32_t mask;
    bool filtered;
};

static basalt_status load_block(struct bs_h5_fractal_heap *heap, const struct stored_block *place,
    const char signature[4], uint8_t **out_bytes, struct bs_cursor *out_cursor, basalt_error *err)
{
    struct bs_h5_file *h5 = heap->h5;
    const uint64_t count = place->filtered ? place->stored_bytes : place->bytes;

    *out_bytes = NULL;
    basalt_status status =
        bs_h5_check_range(h5, place->address, count, "a block of a fractal heap", err);
    if (status) return status;
    heap->loaded_bytes += count;
    if (heap->loaded_bytes > h5->bytes) return bad_heap(heap, err, "has blocks that overlap");
    status = bs_h5_load(h5, place->address, count, "a block of a fractal heap", out_bytes, err);
    if (!status && place->filtered)
        status = unfilter_block(heap, count, place->mask, place->bytes, out_bytes, err);
    if (status) return status;
    *out_cursor = bs_h5_cursor(h5, *out_bytes, (size_t)place->bytes, place->address);
    status = bs_h5_expect(out_cursor, signature, "block of a fractal heap", err);
    if (status) return status;
    bs_cursor_skip(out_cursor, 1); /* version */
    const uint64_t owner = bs_h5_address(h5, out_cursor);
    const uint64_t offset = bs_cursor_uint(out_cursor, heap->offset_bytes);
    if (out_cursor->failed || owner != heap->address || offset != place->start)
        return bad_heap(heap, err, "has a block that belongs elsewhere");
    return BASALT_OK;
}

/* The sum covers the whole block with zeros in the sum's place. */
static basalt_status check_direct(const struct bs_h5_fractal_heap *heap, uint8_t *bytes,
    uint64_t count, struct bs_cursor cursor, basalt_error *err)
{
    if (!(heap->flags & FLAG_CHECKED_BLOCKS)) return BASALT_OK;
    uint8_t *place = bytes + (cursor.at - cursor.start);
    const uint32_t stored = bs_cursor_u32(&cursor);
    if (cursor.failed) return bad_heap(heap, err, "has a block without room for its checksum");
    memset(place, 0, 4);
    const bool right = bs_lookup3_is(bytes, (size_t)count, stored);
    bs_store_u32(place, stored);
    return right ? BASALT_OK : bad_heap(heap, err, "has a block whose checksum does not match");
}

static basalt_status add_direct(
    struct bs_h5_fractal_heap *heap, const struct stored_block *place, basalt_error *err)
{
    struct bs_cursor cursor = {0};
    void *items = heap->direct;
    basalt_status status =
        make_room(&items, &heap->direct_room, heap->direct_count, sizeof *heap->direct, err);

    if (status) return status;
    heap->direct = items;
    struct direct_block *block = &heap->direct[heap->direct_count];
    *block = (struct direct_block){.start = place->start,
        .bytes = place->bytes,
        .stored_bytes = place->filtered ? place->stored_bytes : place->bytes,
        .address = place->address};
    heap->direct_count++; /* whatever follows, closing frees its data */
    status = load_block(heap, place, "FHDB", &block->data, &cursor, err);
    return status ? status : check_direct(heap, block->data, place->bytes, cursor, err);
}

static basalt_status add_indirect(struct bs_h5_fractal_heap *heap, uint64_t address, unsigned rows,
    uint64_t start, unsigned depth, basalt_error *err);

static bool row_is_direct(const struct bs_h5_fractal_heap *heap, unsigned row)
{
    const uint64_t bytes = row_bytes(heap, row);
    return bytes && bytes <= heap->direct_bytes_max;
}

static basalt_status add_child(struct bs_h5_fractal_heap *heap, const struct stored_block *place,
    unsigned row, unsigned depth, basalt_error *err)
{
    if (!place->bytes) return bad_heap(heap, err, "has a row of blocks larger than any file");
    if (row_is_direct(heap, row)) return add_direct(heap, place, err);
    const unsigned first_row = log2_of(heap->start_bytes) + log2_of(heap->width);
    const unsigned bits = log2_of(place->bytes);
    if (bits < first_row) return bad_heap(heap, err, "has an indirect block smaller than a row");
    return add_indirect(heap, place->address, bits - first_row + 1, place->start, depth + 1, err);
}

static basalt_status add_children(struct bs_h5_fractal_heap *heap, struct bs_cursor *children,
    unsigned rows, uint64_t start, unsigned depth, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    for (unsigned row = 0; !status && row < rows; row++)
        for (uint64_t column = 0; !status && column < heap->width; column++) {
            struct stored_block place = {.bytes = row_bytes(heap, row),
                .start = start + row_start(heap, row) + column * row_bytes(heap, row),
                .filtered = heap->pipeline && row_is_direct(heap, row)};
            place.address = bs_h5_address(heap->h5, children);
            if (place.filtered) {
                place.stored_bytes = bs_h5_length(heap->h5, children);
                place.mask = bs_cursor_u32(children);
            }
            if (children->failed) return bad_heap(heap, err, "has an indirect block cut short");
            if (place.address == BS_H5_UNDEFINED) continue;
            if (heap->peeking && heap->wanted - place.start >= place.bytes) continue;
            status = add_child(heap, &place, row, depth, err);
        }
    return status;
}

static uint64_t indirect_bytes(const struct bs_h5_fractal_heap *heap, unsigned rows)
{
    const struct bs_h5_superblock *superblock = &heap->h5->superblock;
    uint64_t count = 4 + 1 + superblock->offset_bytes + heap->offset_bytes +
        (uint64_t)rows * heap->width * superblock->offset_bytes + 4;

    for (unsigned row = 0; heap->pipeline && row < rows; row++)
        if (row_is_direct(heap, row)) count += heap->width * (superblock->length_bytes + 4u);
    return count;
}

static basalt_status add_indirect(struct bs_h5_fractal_heap *heap, uint64_t address, unsigned rows,
    uint64_t start, unsigned depth, basalt_error *err)
{
    uint8_t *bytes = NULL;
    struct bs_cursor cursor = {0};
    struct bs_h5_file *h5 = heap->h5;
    void *items = heap->indirect;
    const struct stored_block place = {
        .address = address, .bytes = indirect_bytes(heap, rows), .start = start};

    if (depth >= BS_H5_DEPTH_MAX) return bad_heap(heap, err, "is nested too deeply");
    basalt_status status =
        make_room(&items, &heap->indirect_room, heap->indirect_count, sizeof *heap->indirect, err);
    if (status) return status;
    heap->indirect = items;
    heap->indirect[heap->indirect_count++] = (struct bs_h5_extent){address, place.bytes};
    status = load_block(heap, &place, "FHIB", &bytes, &cursor, err);
    if (!status)
        status = bs_h5_check_sum(
            h5, bytes, (size_t)place.bytes, address, "a block of a fractal heap", err);
    if (!status) status = add_children(heap, &cursor, rows, start, depth, err);
    bs_free(bytes);
    return status;
}

/* ---- huge objects ----------------------------------------------------------------------------- */

/* Names that have room for what a record says hold it. */
static bool huge_by_place(const struct bs_h5_fractal_heap *heap)
{
    const struct bs_h5_superblock *superblock = &heap->h5->superblock;
    size_t place = (size_t)superblock->offset_bytes + superblock->length_bytes;
    if (heap->pipeline) place += 4u + superblock->length_bytes;
    return heap->id_bytes - 1 >= place;
}

static uint8_t huge_kind(const struct bs_h5_fractal_heap *heap)
{
    const uint8_t kind = huge_by_place(heap) ? KIND_HUGE_BY_PLACE : KIND_HUGE_BY_KEY;
    return heap->pipeline ? kind + 1 : kind;
}

/* Without filters an object is stored as it is. */
static void read_place(
    const struct bs_h5_fractal_heap *heap, struct bs_cursor *cursor, struct huge_object *out_huge)
{
    out_huge->address = bs_h5_address(heap->h5, cursor);
    out_huge->bytes = out_huge->raw_bytes = bs_h5_length(heap->h5, cursor);
    if (!heap->pipeline) return;
    out_huge->mask = bs_cursor_u32(cursor);
    out_huge->raw_bytes = bs_h5_length(heap->h5, cursor);
}

static basalt_status keep_huge(void *context, struct bs_cursor record, basalt_error *err)
{
    struct bs_h5_fractal_heap *heap = context;
    void *items = heap->huge;
    basalt_status status =
        make_room(&items, &heap->huge_room, heap->huge_count, sizeof *heap->huge, err);

    if (status) return status;
    heap->huge = items;
    struct huge_object *huge = &heap->huge[heap->huge_count];
    memset(huge, 0, sizeof *huge);
    read_place(heap, &record, huge);
    if (!huge_by_place(heap)) huge->key = bs_h5_length(heap->h5, &record);
    status = bs_cursor_check(&record, "a huge object's record", err);
    if (!status) heap->huge_count++;
    return status;
}

static basalt_status load_huge(struct bs_h5_fractal_heap *heap, basalt_error *err)
{
    const struct bs_h5_btree2_visit visit = {
        .kind = huge_kind(heap), .record = keep_huge, .context = heap};
    if (heap->huge_tree == BS_H5_UNDEFINED) return BASALT_OK;
    return bs_h5_btree2_each(heap->h5, heap->huge_tree, &visit, err);
}

/* ---- opening ---------------------------------------------------------------------------------- */

static basalt_status load_blocks(struct bs_h5_fractal_heap *heap, basalt_error *err)
{
    const struct stored_block root = {.address = heap->root,
        .bytes = heap->start_bytes,
        .stored_bytes = heap->root_stored_bytes,
        .mask = heap->root_mask,
        .filtered = heap->pipeline != NULL};

    if (heap->root == BS_H5_UNDEFINED) return BASALT_OK;
    return heap->root_rows ? add_indirect(heap, heap->root, heap->root_rows, 0, 0, err)
                           : add_direct(heap, &root, err);
}

static basalt_status open_heap(struct bs_h5_file *h5, uint64_t address, bool peeking,
    struct bs_h5_fractal_heap **out_heap, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_h5_fractal_heap *heap = bs_alloc_zeroed(1, sizeof *heap);

    *out_heap = NULL;
    if (!heap) return bs_fail_memory(err, sizeof *heap);
    heap->h5 = h5;
    heap->address = address;
    heap->peeking = peeking;
    BS_TRY(read_header(heap, err));
    if (!peeking) BS_TRY(load_blocks(heap, err));
    if (!peeking) BS_TRY(load_huge(heap, err));
    *out_heap = heap;
    heap = NULL;
out:
    bs_h5_fractal_heap_close(heap);
    return status;
}

basalt_status bs_h5_fractal_heap_open(struct bs_h5_file *h5, uint64_t address,
    struct bs_h5_fractal_heap **out_heap, basalt_error *err)
{
    return open_heap(h5, address, false, out_heap, err);
}

basalt_status bs_h5_fractal_heap_peek(struct bs_h5_file *h5, uint64_t address,
    struct bs_h5_fractal_heap **out_heap, basalt_error *err)
{
    return open_heap(h5, address, true, out_heap, err);
}

static void forget_blocks(struct bs_h5_fractal_heap *heap)
{
    while (heap->direct_count) bs_free(heap->direct[--heap->direct_count].data);
    heap->indirect_count = heap->huge_count = 0;
    heap->loaded_bytes = heap->decoded_bytes = 0;
}

basalt_status bs_h5_fractal_heap_look_at(
    struct bs_h5_fractal_heap *heap, struct bs_cursor id, basalt_error *err)
{
    const unsigned kind = (bs_cursor_u8(&id) >> 4) & 3;

    assert(heap->peeking);
    forget_blocks(heap);
    heap->wanted = bs_cursor_uint(&id, heap->offset_bytes);
    if (kind == KIND_MANAGED) return load_blocks(heap, err);
    return kind == KIND_HUGE && !huge_by_place(heap) ? load_huge(heap, err) : BASALT_OK;
}

/* ---- objects ---------------------------------------------------------------------------------- */

static basalt_status managed_object(const struct bs_h5_fractal_heap *heap, struct bs_cursor *id,
    struct bs_cursor *out_object, basalt_error *err)
{
    const uint64_t start = bs_cursor_uint(id, heap->offset_bytes);
    const uint64_t bytes = bs_cursor_uint(id, heap->length_bytes);
    size_t low = 0, high = heap->direct_count;

    if (id->failed) return bad_heap(heap, err, "has an object whose name is cut short");
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (heap->direct[middle].start <= start)
            low = middle + 1;
        else
            high = middle;
    }
    const struct direct_block *block = low ? &heap->direct[low - 1] : NULL;
    if (!block || start - block->start > block->bytes ||
        bytes > block->bytes - (start - block->start))
        return bad_heap(heap, err, "has an object outside its blocks");
    *out_object = bs_h5_cursor(heap->h5, block->data + (start - block->start), (size_t)bytes,
        block->address + (start - block->start));
    return BASALT_OK;
}

static basalt_status huge_place(const struct bs_h5_fractal_heap *heap, struct bs_cursor *id,
    struct huge_object *out_place, basalt_error *err)
{
    *out_place = (struct huge_object){0};
    if (huge_by_place(heap)) {
        read_place(heap, id, out_place);
        return bs_cursor_check(id, "the name of a huge object", err);
    }
    const uint64_t key = bs_cursor_uint(id, BS_MIN(bs_cursor_left(id), (size_t)8));
    size_t low = 0, high = heap->huge_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (heap->huge[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == heap->huge_count || heap->huge[low].key != key)
        return bad_heap(heap, err, "does not have a huge object that is named");
    *out_place = heap->huge[low];
    return BASALT_OK;
}

static basalt_status huge_object(const struct bs_h5_fractal_heap *heap, struct bs_cursor *id,
    struct bs_bytes *memory, struct bs_cursor *out_object, basalt_error *err)
{
    struct huge_object place;
    uint8_t *bytes = NULL, *raw = NULL;
    basalt_status status = huge_place(heap, id, &place, err);

    if (status) return status;
    if (heap->pipeline && place.raw_bytes > DECODED_BYTES_FREE_MAX &&
        place.raw_bytes / 2 > heap->h5->bytes)
        return bad_heap(heap, err, "has a huge object that its file is too small for");
    status = bs_h5_load(heap->h5, place.address, place.bytes, "a huge object", &bytes, err);
    if (!status && heap->pipeline) {
        status = decode_filtered(heap, bytes, place.bytes, place.mask, place.raw_bytes, &raw, err);
        bs_free(bytes);
        bytes = raw;
    }
    if (status) return status;
    bs_bytes_free(memory);
    *memory = (struct bs_bytes){
        .data = bytes, .count = (size_t)place.raw_bytes, .capacity = (size_t)place.raw_bytes};
    *out_object = bs_h5_cursor(heap->h5, bytes, (size_t)place.raw_bytes, place.address);
    return BASALT_OK;
}

static basalt_status tiny_object(const struct bs_h5_fractal_heap *heap, uint8_t first,
    struct bs_cursor *id, struct bs_cursor *out_object, basalt_error *err)
{
    size_t bytes = first & 0x0f;

    if (heap->id_bytes - 1 > TINY_SHORT_BYTES_MAX + 1) bytes = bytes << 8 | bs_cursor_u8(id);
    bytes++;
    const uint64_t offset = bs_cursor_offset(id);
    const uint8_t *data = bs_cursor_bytes(id, bytes);
    if (!data) return bad_heap(heap, err, "has a tiny object larger than its name");
    *out_object = bs_cursor_make(data, bytes, offset);
    return BASALT_OK;
}

basalt_status bs_h5_fractal_heap_object(const struct bs_h5_fractal_heap *heap, struct bs_cursor id,
    struct bs_bytes *memory, struct bs_cursor *out_object, basalt_error *err)
{
    const uint8_t first = bs_cursor_u8(&id);

    if (id.failed || first >> 6) return bad_heap(heap, err, "has an object of an unknown version");
    switch ((first >> 4) & 3) {
    case KIND_MANAGED: return managed_object(heap, &id, out_object, err);
    case KIND_HUGE: return huge_object(heap, &id, memory, out_object, err);
    case KIND_TINY: return tiny_object(heap, first, &id, out_object, err);
    default: return bad_heap(heap, err, "has an object of an unknown kind");
    }
}

/* ---- extents ---------------------------------------------------------------------------------- */

/* The free-space manager: a header, and the list of free sections (FF III.H). */
static basalt_status free_space_extents(
    struct bs_h5_fractal_heap *heap, bs_h5_extent_fn each, void *context, basalt_error *err)
{
    uint8_t bytes[HEADER_BYTES_MAX];
    struct bs_h5_file *h5 = heap->h5;
    const size_t length = h5->superblock.length_bytes;
    const size_t count = 6 + 4 * length + 8 + length + h5->superblock.offset_bytes + 2 * length + 4;

    if (heap->free_space == BS_H5_UNDEFINED) return BASALT_OK;
    basalt_status status =
        bs_h5_read_at(h5, heap->free_space, bytes, count, "a free-space manager", err);
    if (status) return status;
    struct bs_cursor cursor = bs_h5_cursor(h5, bytes, count, heap->free_space);
    status = bs_h5_expect(&cursor, "FSHD", "free-space manager", err);
    if (status) return status;
    bs_cursor_skip(&cursor, 2 + 4 * length + 8 + length);
    const uint64_t sections = bs_h5_address(h5, &cursor);
    bs_cursor_skip(&cursor, length); /* bytes in use */
    const uint64_t allocated = bs_h5_length(h5, &cursor);
    status =
        each(context, (struct bs_h5_extent){heap->free_space, count}, "free-space manager", err);
    if (status || sections == BS_H5_UNDEFINED) return status;
    return each(context, (struct bs_h5_extent){sections, allocated}, "free-space sections", err);
}

basalt_status bs_h5_fractal_heap_extents(
    struct bs_h5_fractal_heap *heap, bs_h5_extent_fn each, void *context, basalt_error *err)
{
    const struct bs_h5_btree2_visit visit = {
        .kind = huge_kind(heap), .block = each, .context = context};
    basalt_status status = each(
        context, (struct bs_h5_extent){heap->address, heap->header_bytes}, "fractal heap", err);

    for (size_t i = 0; !status && i < heap->indirect_count; i++)
        status = each(context, heap->indirect[i], "fractal heap block", err);
    for (size_t i = 0; !status && i < heap->direct_count; i++)
        status = each(context,
            (struct bs_h5_extent){heap->direct[i].address, heap->direct[i].stored_bytes},
            "fractal heap block", err);
    for (size_t i = 0; !status && i < heap->huge_count; i++)
        status = each(context, (struct bs_h5_extent){heap->huge[i].address, heap->huge[i].bytes},
            "huge object", err);
    if (!status && heap->huge_tree != BS_H5_UNDEFINED)
        status = bs_h5_btree2_each(heap->h5, heap->huge_tree, &visit, err);
    return status ? status : free_space_extents(heap, each, context, err);
}
