/* h5_variable.c - elements of variable length, one after the other, wherever they lie.
 *
 * The elements of a dataset refer to objects of the global heap, of this file or, by way of a virtual
 * dataset, of another one (h5_heap.c). A selection is read in pieces, so that only the references of one
 * piece are in memory, and every element is put together when its turn comes:
 *
 *   FLAT FORM  what has a fixed size, as it lies in the file; a text or sequence inside as its number of
 *              items, a u64, then the items; records and arrays as their parts in order, no padding.
 *              The outermost text or sequence has no number: where it ends is known.
 *
 * A hostile file may let many references lead to one object, nested ones too. So an element is refused
 * when its flat form is out of proportion to the file. */
#include "h5/read_internal.h"

#include <inttypes.h>

#define PIECE_BYTES ((uint64_t)1 << 20)
#define FLAT_BYTES_MIN ((uint64_t)64 << 20) /* of one element, or 8 times the file */

/* ---- one element ------------------------------------------------------------------------------ */

struct flattener {
    struct bs_h5_heap *heap;
    uint64_t bytes_max;
    struct bs_bytes flat;
};

static basalt_status check_flat(const struct flattener *flattener, basalt_error *err)
{
    if (flattener->flat.count > flattener->bytes_max)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "an element of variable length has over %" PRIu64 " bytes in all its parts",
            flattener->bytes_max);
    return bs_bytes_check(&flattener->flat, err);
}

static basalt_status flatten(struct flattener *flattener, const struct bs_h5_type *type,
    const uint8_t *bytes, bool outermost, basalt_error *err);

struct items { /* of a sequence, copied out of the heap: its parts need the heap too */
    uint8_t *bytes;
    size_t count;
};

static basalt_status keep_items(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    struct items *items = context;

    (void)index;
    items->count = count;
    items->bytes = bs_alloc(BS_MAX(count, (size_t)1));
    if (items->bytes) memcpy(items->bytes, bytes, count);
    return items->bytes ? BASALT_OK : bs_fail_memory(err, count);
}

static basalt_status flatten_sequence(struct flattener *flattener, const struct bs_h5_type *type,
    const uint8_t *bytes, bool outermost, basalt_error *err)
{
    const size_t item_bytes = BS_MAX(type->base->size_bytes, 1u);
    struct items items = {0};
    basalt_status status =
        bs_h5_heap_resolve(flattener->heap, type, bytes, 1, keep_items, &items, err);

    if (status) return status;
    const uint64_t count = items.count / item_bytes;
    if (!outermost) bs_bytes_put(&flattener->flat, &count, sizeof count);
    if (!bs_h5_refers_to_heap(type->base) || type->base->kind == BS_H5_REFERENCE)
        bs_bytes_put(&flattener->flat, items.bytes, items.count);
    else
        for (uint64_t i = 0; !status && i < count; i++)
            status = flatten(flattener, type->base, items.bytes + i * item_bytes, false, err);
    bs_free(items.bytes);
    return status ? status : check_flat(flattener, err);
}

static basalt_status flatten(struct flattener *flattener, const struct bs_h5_type *type,
    const uint8_t *bytes, bool outermost, basalt_error *err)
{
    uint64_t count = 1;
    basalt_status status = BASALT_OK;

    switch (type->kind) {
    case BS_H5_VARIABLE: return flatten_sequence(flattener, type, bytes, outermost, err);
    case BS_H5_COMPOUND:
        for (size_t i = 0; !status && i < type->member_count; i++)
            status = flatten(
                flattener, type->members[i].type, bytes + type->members[i].offset, false, err);
        break;
    case BS_H5_ARRAY:
        for (unsigned i = 0; i < type->rank; i++) count *= type->dims[i];
        for (uint64_t i = 0; !status && i < count; i++)
            status = flatten(flattener, type->base, bytes + i * type->base->size_bytes, false, err);
        break;
    default: bs_bytes_put(&flattener->flat, bytes, type->size_bytes); break;
    }
    return status ? status : check_flat(flattener, err);
}

/* ---- the pieces of a selection ------------------------------------------------------------------ */

struct pieces {
    struct bs_h5_selection whole; /* a list, or blocks */
    uint64_t row;                 /* elements a place along the first dimension */
    uint64_t places, each, next;  /* along it; coordinates of a list */
};

/* The selection as blocks; a scalar has none. */
static void as_blocks(const struct bs_h5_space *space, struct bs_h5_selection *selection)
{
    if (selection->kind != BS_H5_SELECT_ALL || !space->rank) return;
    selection->kind = BS_H5_SELECT_HYPERSLAB;
    selection->rank = space->rank;
    for (unsigned i = 0; i < space->rank; i++) {
        selection->start[i] = 0;
        selection->count[i] = 1;
        selection->stride[i] = selection->block[i] = space->dims[i];
    }
}

static void begin_pieces(struct pieces *pieces, const struct bs_h5_space *space,
    const struct bs_h5_selection *selection, uint64_t count, uint64_t element_bytes)
{
    const uint64_t room = BS_MAX(PIECE_BYTES / BS_MAX(element_bytes, 1), 1);

    pieces->whole = *selection;
    as_blocks(space, &pieces->whole);
    pieces->next = 0;
    switch (pieces->whole.kind) {
    case BS_H5_SELECT_HYPERSLAB:
        pieces->places = pieces->whole.count[0] * pieces->whole.block[0];
        break;
    case BS_H5_SELECT_ALL: pieces->places = 1; break;
    default: pieces->places = pieces->whole.coordinate_count; break;
    }
    pieces->row = count / pieces->places;
    pieces->each = BS_MAX(room / pieces->row, 1);
}

/* The next piece, of *out_count elements; false at the end. */
static bool next_piece(
    struct pieces *pieces, struct bs_h5_selection *out_piece, uint64_t *out_count)
{
    const struct bs_h5_selection *whole = &pieces->whole;
    uint64_t places = BS_MIN(pieces->each, pieces->places - pieces->next);

    if (!places) return false;
    *out_piece = *whole;
    if (whole->kind == BS_H5_SELECT_HYPERSLAB) {
        const uint64_t into = pieces->next % whole->block[0];
        out_piece->start[0] += pieces->next / whole->block[0] * whole->stride[0] + into;
        if (!into && places >= whole->block[0]) {
            out_piece->count[0] = places / whole->block[0];
            places = out_piece->count[0] * whole->block[0];
        } else { /* a part of one block */
            places = BS_MIN(places, whole->block[0] - into);
            out_piece->count[0] = 1;
            out_piece->block[0] = out_piece->stride[0] = places;
        }
    } else if (whole->kind != BS_H5_SELECT_ALL) {
        const uint64_t width = whole->kind == BS_H5_SELECT_POINTS ? whole->rank : 1;
        out_piece->coordinates = whole->coordinates + pieces->next * width;
        out_piece->coordinate_count = places;
    }
    pieces->next += places;
    *out_count = places * pieces->row;
    return true;
}

/* ---- entry point -------------------------------------------------------------------------------- */

struct given { /* elements of one piece */
    struct flattener *flattener;
    const struct bs_h5_type *type;
    bs_h5_text_fn each;
    void *context;
    uint64_t first;
};

static basalt_status give(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    const struct given *given = context;
    return given->each(given->context, given->first + index, bytes, count, err);
}

static basalt_status give_piece(
    const struct given *given, const uint8_t *elements, uint64_t count, basalt_error *err)
{
    const struct bs_h5_type *type = given->type;
    struct flattener *flattener = given->flattener;
    basalt_status status = BASALT_OK;

    if (type->kind == BS_H5_VARIABLE && !bs_h5_refers_to_heap(type->base)) /* as it is there */
        return bs_h5_heap_resolve(
            flattener->heap, type, elements, count, give, (void *)(uintptr_t)given, err);
    for (uint64_t i = 0; !status && i < count; i++, elements += type->size_bytes) {
        flattener->flat.count = 0;
        status = flatten(flattener, type, elements, true, err);
        if (!status)
            status = given->each(given->context, given->first + i,
                flattener->flat.data ? flattener->flat.data : (const uint8_t *)"",
                flattener->flat.count, err);
    }
    return status;
}

basalt_status bs_h5_read_variable(struct bs_h5_file *h5, const struct bs_h5_object *dataset,
    const struct bs_h5_selection *selection, const struct bs_h5_read_how *how, bs_h5_text_fn each,
    void *context, basalt_error *err)
{
    const struct bs_h5_type *type = dataset->dataset->type;
    struct flattener flattener = {
        .bytes_max = BS_MAX(FLAT_BYTES_MIN, BS_MIN(dataset->h5->bytes, UINT64_MAX / 8) * 8)};
    struct given given = {.flattener = &flattener, .each = each, .context = context};
    struct bs_h5_selection piece;
    struct pieces pieces;
    uint64_t count = 0, at = 0;
    uint8_t *elements = NULL;

    basalt_status status = bs_h5_selection_count(dataset, selection, &count, err);
    if (!status) status = bs_h5_member_find(dataset, how, &type, &at, err);
    if (status || !count) return status;
    given.type = type;
    begin_pieces(&pieces, &dataset->dataset->space, selection, count, type->size_bytes);
    const uint64_t bytes = BS_MIN(pieces.each, pieces.places) * pieces.row * type->size_bytes;
    elements = bs_alloc((size_t)BS_MAX(bytes, 1));
    if (!elements) return bs_fail_memory(err, (size_t)bytes);
    BS_TRY(bs_h5_heap_open(dataset->h5, &flattener.heap, err));
    while (next_piece(&pieces, &piece, &count)) {
        BS_TRY(bs_h5_read_selection(
            h5, dataset, &piece, how, elements, count * type->size_bytes, err));
        status = give_piece(&given, elements, count, err);
        if (status && how->path) bs_error_prefix(err, "%.100s", how->path);
        if (status) goto out;
        given.first += count;
    }
out:
    bs_h5_heap_close(flattener.heap);
    bs_bytes_free(&flattener.flat);
    bs_free(elements);
    return status;
}
