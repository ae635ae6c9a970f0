/* h5_heap.c - the global heap (FF III.E): what variable-length elements refer to.
 *
 * COLLECTION  "GCOL", version, 3 reserved, size, then objects up to that size
 * OBJECT      u16 index (0: the free rest), u16 references, 4 reserved, size, bytes padded to 8
 *
 * A heap keeps the collections that it met, in the order of their addresses. Those of an honest
 * file lie apart, so a new one that overlaps a known one is refused: together they are then no
 * larger than the file, however often elements change between them.
 *
 * Elements that a virtual dataset takes from another file refer to the heap of that one. So that they can
 * be told apart, the address in each gets the number of the file above its 48 low bits, when it is read;
 * what it leads to gets the same number on the way out. Such a file stays open with the first one, and
 * has a heap of its own here. */
#include "h5/h5_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define COLLECTION_BYTES_MIN 16
#define CACHE_BYTES_MAX                                                                            \
    ((uint64_t)32 << 20)    /* beyond it the contents are dropped, not the places */
#define OBJECT_HEAD_BYTES 8 /* and a length */

struct slot { /* where an object's head is in its collection */
    uint32_t index, at;
};

struct collection {
    uint64_t address, bytes;
    uint8_t *data;      /* NULL: dropped */
    struct slot *slots; /* by index */
    size_t slot_count;
};

#define GIVEN_BYTES_FREE_MAX ((uint64_t)64 << 20) /* elements with a fill value share one object */
#define GIVEN_TO_FILE_MAX 8

struct bs_h5_heap {
    struct bs_h5_file *h5;
    uint64_t file_id;             /* of an elsewhere one; 0: the file that was asked */
    struct bs_h5_heap *elsewhere; /* a list: heaps of other files; of the first heap only */
    struct bs_h5_heap *next;
    uint8_t *marked;                /* the last sequence that was marked */
    size_t count, room, last;       /* last: the one used before */
    struct collection *collections; /* by address */
    uint64_t cached_bytes;
    uint64_t given_bytes; /* by the resolving at hand */
};

static void drop(struct bs_h5_heap *heap, struct collection *collection)
{
    if (collection->data) heap->cached_bytes -= collection->bytes;
    bs_free(collection->data);
    bs_free(collection->slots);
    collection->data = NULL;
    collection->slots = NULL;
    collection->slot_count = 0;
}

basalt_status bs_h5_heap_open(
    struct bs_h5_file *h5, struct bs_h5_heap **out_heap, basalt_error *err)
{
    *out_heap = bs_alloc_zeroed(1, sizeof **out_heap);
    if (!*out_heap) return bs_fail_memory(err, sizeof **out_heap);
    (*out_heap)->h5 = h5;
    return BASALT_OK;
}

void bs_h5_heap_close(struct bs_h5_heap *heap)
{
    if (!heap) return;
    while (heap->elsewhere) {
        struct bs_h5_heap *other = heap->elsewhere;
        heap->elsewhere = other->next;
        bs_h5_heap_close(other);
    }
    bs_free(heap->marked);
    for (size_t i = 0; i < heap->count; i++) drop(heap, &heap->collections[i]);
    bs_free(heap->collections);
    bs_free(heap);
}

basalt_status bs_h5_collection_bytes(
    struct bs_h5_file *h5, uint64_t address, uint64_t *out_bytes, basalt_error *err)
{
    uint8_t head[COLLECTION_BYTES_MIN];
    const size_t count = 8 + (size_t)h5->superblock.length_bytes;

    *out_bytes = 0;
    basalt_status status = bs_h5_read_at(h5, address, head, count, "a global heap collection", err);
    if (status) return status;
    struct bs_cursor cursor = bs_h5_cursor(h5, head, count, address);
    status = bs_h5_expect(&cursor, "GCOL", "global heap collection", err);
    if (status) return status;
    const uint8_t version = bs_cursor_u8(&cursor);
    bs_cursor_skip(&cursor, 3);
    const uint64_t bytes = bs_h5_length(h5, &cursor);
    if (version != 1 || bytes < count || bytes > UINT32_MAX)
        return bs_fail(err, BASALT_CORRUPT, cursor.file_offset,
            "the global heap collection at %" PRIu64 " has an impossible version or size", address);
    status = bs_h5_check_range(h5, address, bytes, "a global heap collection", err);
    if (!status) *out_bytes = bytes;
    return status;
}

/* ---- one collection --------------------------------------------------------------------------- */

/* Counts the objects; with `slots` notes where they are. */
static basalt_status scan_objects(const struct bs_h5_heap *heap,
    const struct collection *collection, struct slot *slots, size_t *out_count, basalt_error *err)
{
    const struct bs_h5_file *h5 = heap->h5;
    struct bs_cursor cursor =
        bs_h5_cursor(h5, collection->data, (size_t)collection->bytes, collection->address);
    const size_t head_bytes = OBJECT_HEAD_BYTES + (size_t)h5->superblock.length_bytes;
    size_t count = 0;

    bs_cursor_skip(&cursor, 8 + (size_t)h5->superblock.length_bytes);
    while (bs_cursor_left(&cursor) >= head_bytes) {
        const uint32_t at = (uint32_t)(cursor.at - cursor.start);
        const uint16_t index = bs_cursor_u16(&cursor);
        bs_cursor_skip(&cursor, 6);
        const uint64_t bytes = bs_h5_length(h5, &cursor);
        if (!index) break; /* the rest is free */
        if (bytes > bs_cursor_left(&cursor))
            return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(&cursor),
                "object %u of the global heap collection at %" PRIu64 " reaches past its end",
                index, collection->address);
        if (slots) slots[count] = (struct slot){index, at};
        count++;
        bs_cursor_skip(
            &cursor, BS_MIN((size_t)((bytes + 7) & ~(uint64_t)7), bs_cursor_left(&cursor)));
    }
    *out_count = count;
    return BASALT_OK;
}

static int compare_slots(const void *a, const void *b)
{
    const uint32_t left = ((const struct slot *)a)->index, right = ((const struct slot *)b)->index;
    return (left > right) - (left < right);
}

static void sort_slots(struct slot *slots, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (slots[i - 1].index <= slots[i].index) continue; /* as writers leave them */
        qsort(slots, count, sizeof *slots, compare_slots);
        return;
    }
}

static const struct slot *find_slot(const struct collection *collection, uint32_t index)
{
    const struct slot key = {.index = index};

    if (index && index <= collection->slot_count && collection->slots[index - 1].index == index)
        return &collection->slots[index - 1]; /* none was ever removed */
    return bsearch(&key, collection->slots, collection->slot_count, sizeof key, compare_slots);
}

static basalt_status fill(struct bs_h5_heap *heap, struct collection *collection, basalt_error *err)
{
    size_t count = 0;

    if (heap->cached_bytes + collection->bytes > CACHE_BYTES_MAX)
        for (size_t i = 0; i < heap->count; i++) drop(heap, &heap->collections[i]);
    basalt_status status = bs_h5_load(heap->h5, collection->address, collection->bytes,
        "a global heap collection", &collection->data, err);
    if (status) return status;
    heap->cached_bytes += collection->bytes;
    BS_TRY(scan_objects(heap, collection, NULL, &count, err));
    collection->slots = bs_alloc_zeroed(BS_MAX(count, (size_t)1), sizeof *collection->slots);
    if (!collection->slots) {
        status = bs_fail_memory(err, count * sizeof *collection->slots);
        goto out;
    }
    BS_TRY(scan_objects(heap, collection, collection->slots, &count, err));
    sort_slots(collection->slots, count);
    collection->slot_count = count;
out:
    if (status) drop(heap, collection);
    return status;
}

/* ---- all that were met ------------------------------------------------------------------------ */

/* Index of the first collection that begins behind `address`. */
static size_t upper_bound(const struct bs_h5_heap *heap, uint64_t address)
{
    size_t low = 0, high = heap->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (heap->collections[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static basalt_status insert(struct bs_h5_heap *heap, size_t at, uint64_t address, basalt_error *err)
{
    uint64_t bytes = 0;
    basalt_status status = bs_h5_collection_bytes(heap->h5, address, &bytes, err);

    if (status) return status;
    const struct collection *before = at ? &heap->collections[at - 1] : NULL;
    const struct collection *after = at < heap->count ? &heap->collections[at] : NULL;
    if ((before && before->bytes > address - before->address) ||
        (after && bytes > after->address - address))
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(heap->h5, address),
            "the global heap collection at %" PRIu64 " overlaps another one", address);
    if (heap->count == heap->room) {
        const size_t room = heap->room ? heap->room * 2 : 8;
        void *grown = bs_realloc(heap->collections, room * sizeof *heap->collections);
        if (!grown) return bs_fail_memory(err, room * sizeof *heap->collections);
        heap->collections = grown;
        heap->room = room;
    }
    memmove(heap->collections + at + 1, heap->collections + at,
        (heap->count - at) * sizeof *heap->collections);
    heap->collections[at] = (struct collection){.address = address, .bytes = bytes};
    heap->count++;
    return BASALT_OK;
}

static basalt_status find(struct bs_h5_heap *heap, uint64_t address,
    struct collection **out_collection, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    if (heap->last >= heap->count || heap->collections[heap->last].address != address) {
        size_t at = upper_bound(heap, address);
        if (at && heap->collections[at - 1].address == address)
            at--;
        else
            status = insert(heap, at, address, err);
        if (status) return status;
        heap->last = at;
    }
    *out_collection = &heap->collections[heap->last];
    return (*out_collection)->data ? BASALT_OK : fill(heap, *out_collection, err);
}

/* The heap that a marked address means, and the address in it. */
static basalt_status find_heap(struct bs_h5_heap **heap, uint64_t *address, basalt_error *err)
{
    const uint64_t id = *address >> BS_H5_HEAP_ADDRESS_BITS;
    struct bs_h5_heap *first = *heap, *other = NULL;

    if (!id || *address == BS_H5_UNDEFINED) return BASALT_OK;
    *address &= ((uint64_t)1 << BS_H5_HEAP_ADDRESS_BITS) - 1;
    for (other = first->elsewhere; other && other->file_id != id;) other = other->next;
    if (!other) {
        struct bs_h5_file *h5 = bs_h5_other_pinned(first->h5, id);
        if (!h5)
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "an element refers to a global heap beyond the end of any file");
        const basalt_status status = bs_h5_heap_open(h5, &other, err);
        if (status) return status;
        other->file_id = id;
        other->next = first->elsewhere;
        first->elsewhere = other;
    }
    *heap = other;
    return BASALT_OK;
}

basalt_status bs_h5_heap_object(struct bs_h5_heap *heap, uint64_t address, uint32_t index,
    struct bs_cursor *out_object, basalt_error *err)
{
    struct collection *collection = NULL;
    basalt_status status = find_heap(&heap, &address, err);

    if (!status) status = find(heap, address, &collection, err);
    if (status) return status;
    const struct slot *slot = find_slot(collection, index);
    if (!slot)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(heap->h5, address),
            "the global heap collection at %" PRIu64 " has no object %" PRIu32, address, index);
    const uint32_t at = slot->at;
    struct bs_cursor cursor =
        bs_h5_cursor(heap->h5, collection->data + at, (size_t)collection->bytes - at, address + at);
    bs_cursor_skip(&cursor, 8);
    const uint64_t bytes = bs_h5_length(heap->h5, &cursor);
    *out_object = bs_cursor_make(cursor.at, (size_t)bytes, bs_cursor_offset(&cursor));
    return BASALT_OK;
}

bool bs_h5_refers_to_heap(const struct bs_h5_type *type)
{
    if (type->kind == BS_H5_VARIABLE) return true;
    if (type->kind == BS_H5_REFERENCE) return type->reference_kind >= 1;
    if (type->kind == BS_H5_ARRAY) return bs_h5_refers_to_heap(type->base);
    for (size_t i = 0; type->kind == BS_H5_COMPOUND && i < type->member_count; i++)
        if (bs_h5_refers_to_heap(type->members[i].type)) return true;
    return false;
}

static void mark_address(uint8_t *bytes, uint64_t file_id)
{
    const uint64_t address = bs_load_u64(bytes);
    if (address >> BS_H5_HEAP_ADDRESS_BITS) return; /* it has one, or is undefined */
    bs_store_u64(bytes, address | file_id << BS_H5_HEAP_ADDRESS_BITS);
}

/* One element, of 8-byte addresses. */
static void mark(const struct bs_h5_type *type, uint8_t *bytes, uint64_t file_id)
{
    uint64_t count = 1;

    switch (type->kind) {
    case BS_H5_VARIABLE:
        if (type->size_bytes >= BS_H5_VARIABLE_BYTES) mark_address(bytes + 4, file_id);
        break;
    case BS_H5_COMPOUND:
        for (size_t i = 0; i < type->member_count; i++)
            mark(type->members[i].type, bytes + type->members[i].offset, file_id);
        break;
    case BS_H5_ARRAY:
        for (unsigned i = 0; i < type->rank; i++) count *= type->dims[i];
        bs_h5_heap_mark(type->base, bytes, count, file_id);
        break;
    default: break;
    }
}

void bs_h5_heap_mark(
    const struct bs_h5_type *type, uint8_t *elements, uint64_t count, uint64_t file_id)
{
    if (!bs_h5_refers_to_heap(type)) return;
    for (uint64_t i = 0; i < count; i++) mark(type, elements + i * type->size_bytes, file_id);
}

/* ---- entry point ------------------------------------------------------------------------------ */

/* What lies in another file's heap, and refers to that itself, says so. */
static basalt_status mark_object(struct bs_h5_heap *heap, const struct bs_h5_type *base,
    uint64_t file_id, struct bs_cursor *object, uint64_t bytes, basalt_error *err)
{
    if (!file_id || !bs_h5_refers_to_heap(base)) return BASALT_OK;
    bs_free(heap->marked);
    heap->marked = bs_alloc((size_t)bytes);
    if (!heap->marked) return bs_fail_memory(err, (size_t)bytes);
    memcpy(heap->marked, object->at, (size_t)bytes);
    bs_h5_heap_mark(base, heap->marked, bytes / base->size_bytes, file_id);
    *object = bs_cursor_make(heap->marked, (size_t)bytes, object->file_offset);
    return BASALT_OK;
}

/* What is given out stays in proportion to the file that it lies in. */
static basalt_status count_given(struct bs_h5_heap *heap, uint64_t address, uint64_t bytes,
    const struct bs_cursor *object, basalt_error *err)
{
    basalt_status status = find_heap(&heap, &address, err);

    if (status) return status;
    heap->given_bytes += bytes;
    if (heap->given_bytes <= GIVEN_BYTES_FREE_MAX + GIVEN_TO_FILE_MAX * heap->h5->bytes)
        return BASALT_OK;
    return bs_fail(err, BASALT_TOO_LARGE, bs_cursor_offset(object),
        "many elements of variable length lead to the same bytes: together they are over 64 MiB "
        "and 8 times the file");
}

static basalt_status resolve_one(struct bs_h5_heap *heap, const struct bs_h5_type *type,
    const uint8_t *element, uint64_t at, bs_h5_text_fn each, void *context, basalt_error *err)
{
    struct bs_cursor reference = bs_cursor_make(element, type->size_bytes, BASALT_NO_OFFSET);
    struct bs_cursor object = {0};
    const uint32_t length = bs_cursor_u32(&reference);
    const uint64_t address = bs_h5_address(heap->h5, &reference);
    const uint32_t index = bs_cursor_u32(&reference);
    const uint64_t bytes = (uint64_t)length * type->base->size_bytes;

    basalt_status status = bs_cursor_check(&reference, "a variable-length element", err);
    if (status) return status;
    if (!length) return each(context, at, "", 0, err);
    status = bs_h5_heap_object(heap, address, index, &object, err);
    if (!status && bytes > bs_cursor_left(&object))
        status = bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(&object),
            "object %" PRIu32 " of the global heap collection at %" PRIu64 " is shorter than the "
            "element that refers to it",
            index, address);
    if (!status) status = count_given(heap, address, bytes, &object, err);
    if (!status)
        status =
            mark_object(heap, type->base, address >> BS_H5_HEAP_ADDRESS_BITS, &object, bytes, err);
    return status ? status : each(context, at, object.at, (size_t)bytes, err);
}

basalt_status bs_h5_heap_resolve(struct bs_h5_heap *heap, const struct bs_h5_type *type,
    const void *elements, uint64_t count, bs_h5_text_fn each, void *context, basalt_error *err)
{
    const uint8_t *element = elements;
    basalt_status status = BASALT_OK;

    assert(type->kind == BS_H5_VARIABLE);
    heap->given_bytes = 0;
    for (uint64_t i = 0; !status && i < count; i++, element += type->size_bytes)
        status = resolve_one(heap, type, element, i, each, context, err);
    return status;
}

basalt_status bs_h5_resolve(struct bs_h5_file *h5, const struct bs_h5_type *type,
    const void *elements, uint64_t count, bs_h5_text_fn each, void *context, basalt_error *err)
{
    struct bs_h5_heap *heap = NULL;
    basalt_status status = bs_h5_heap_open(h5, &heap, err);

    if (!status) status = bs_h5_heap_resolve(heap, type, elements, count, each, context, err);
    bs_h5_heap_close(heap);
    return status;
}
