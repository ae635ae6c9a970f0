/* h5_reference.c - where references lead: objects, parts of datasets, attributes (FF IV.A.2.d, class 7).
 *
 * KIND     ELEMENT                                   IN THE GLOBAL HEAP
 * 0        address of the object
 * 1        address of a heap collection, u32 index   address of the object, selection
 * 2 to 4   u8 kind, u8 flags, then an object's as    the token; if it leads into another file that one's
 *          u8 size of the token, token; others as    name; a region as u32 bytes, u32 rank, selection; an
 *          u32 bytes, collection address, u32 index  attribute as its name. Names are u16 length, text
 *
 * The type of the newer ones says one kind, each element its own. A token is an address. All zero, or an
 * address that is undefined, is a reference that leads nowhere. */
#include "h5/h5_virtual.h"

#include <inttypes.h>

#define FLAG_ELSEWHERE 1
#define PLACES_MAX ((uint64_t)1 << 20) /* of an irregular region: numbers of all coordinates */

void bs_h5_reference_clear(struct bs_h5_reference *reference)
{
    bs_free(reference->attribute);
    bs_free(reference->coordinates);
    *reference = (struct bs_h5_reference){.address = BS_H5_UNDEFINED};
}

/* ---- regions ------------------------------------------------------------------------------------ */

static basalt_status as_points(
    const struct bs_h5_selected *selected, struct bs_h5_reference *reference, basalt_error *err)
{
    const uint64_t count = bs_h5_selected_count(selected);
    struct bs_h5_selection *region = &reference->region;

    region->kind = BS_H5_SELECT_POINTS;
    if (count > PLACES_MAX / BS_MAX(region->rank, 1u))
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a reference to an irregular region of over %" PRIu64 " coordinates is not read",
            PLACES_MAX);
    if (!count) return BASALT_OK;
    reference->coordinates = bs_alloc((size_t)count * region->rank * sizeof(uint64_t));
    if (!reference->coordinates) return bs_fail_memory(err, (size_t)count * region->rank * 8);
    for (uint64_t i = 0; i < count; i++)
        (void)bs_h5_selected_find(selected, i, reference->coordinates + i * region->rank);
    region->coordinates = reference->coordinates;
    region->coordinate_count = count;
    return BASALT_OK;
}

/* A region without an end has that of its dataset. */
static basalt_status clip(struct bs_h5_file *h5, uint64_t address, struct bs_h5_strip *axis,
    unsigned dimension, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    basalt_status status = bs_h5_object_open(h5, address, &object, err);

    if (status) return status;
    if (!object->dataset || object->dataset->space.rank <= dimension)
        status = bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, address),
            "a reference to a region leads to an object that has none");
    else
        axis->length = bs_h5_strip_clip(axis, object->dataset->space.dims[dimension]) /
            axis->block * axis->block;
    bs_h5_object_close(object);
    return status;
}

static basalt_status take_region(struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_h5_reference *reference, basalt_error *err)
{
    struct bs_h5_selected selected;
    struct bs_h5_selection *region = &reference->region;
    basalt_status status = bs_h5_selected_decode(cursor, &selected, err);

    if (status) return status;
    reference->has_region = true;
    region->rank = selected.rank;
    if (selected.all) {
        region->kind = BS_H5_SELECT_ALL;
        goto out;
    }
    if (selected.listed) {
        status = as_points(&selected, reference, err);
        goto out;
    }
    region->kind = BS_H5_SELECT_HYPERSLAB;
    for (unsigned i = 0; i < selected.rank; i++) {
        struct bs_h5_strip *axis = &selected.axes[i];
        if ((int)i == selected.unlimited) BS_TRY(clip(h5, reference->address, axis, i, err));
        region->start[i] = axis->start;
        region->stride[i] = axis->stride;
        region->block[i] = axis->block;
        region->count[i] = axis->block ? axis->length / axis->block : 0;
    }
out:
    bs_h5_selected_free(&selected);
    return status;
}

static void put_axis(const struct bs_h5_selection *region, unsigned i, struct bs_bytes *out)
{
    const uint64_t start = region->start[i], stride = region->stride[i], block = region->block[i];
    const uint64_t count = region->count[i];
    const uint64_t end = count ? start + (count - 1) * stride + block : start;

    if (end == start + 1) {
        bs_bytes_text(out, "%" PRIu64, start);
        return;
    }
    bs_bytes_text(out, "%" PRIu64 ":%" PRIu64, start, end);
    if (count <= 1 || stride == block) return;
    bs_bytes_text(out, ":%" PRIu64, stride);
    if (block > 1) bs_bytes_text(out, "x%" PRIu64, block);
}

/* Points that are neighbours along the last dimension are one piece. */
static void put_points(const struct bs_h5_selection *region, struct bs_bytes *out)
{
    const unsigned rank = region->rank;
    const uint64_t *at = region->coordinates;

    bs_bytes_u8(out, '{');
    for (uint64_t i = 0, run; i < region->coordinate_count; i += run, at += run * rank) {
        const uint64_t last = at[rank - 1];
        for (run = 1; i + run < region->coordinate_count; run++) {
            const uint64_t *next = at + run * rank;
            if (memcmp(next, at, (rank - 1) * sizeof *at) || next[rank - 1] != last + run) break;
        }
        bs_bytes_text(out, "%s[", i ? ", " : "");
        for (unsigned d = 0; d + 1 < rank; d++) bs_bytes_text(out, "%" PRIu64 ", ", at[d]);
        bs_bytes_text(out, "%" PRIu64, last);
        if (run > 1) bs_bytes_text(out, ":%" PRIu64, last + run);
        bs_bytes_u8(out, ']');
    }
    bs_bytes_u8(out, '}');
}

void bs_h5_region_text(const struct bs_h5_selection *region, struct bs_bytes *out)
{
    if (region->kind == BS_H5_SELECT_POINTS) {
        put_points(region, out);
        return;
    }
    bs_bytes_u8(out, '[');
    if (region->kind == BS_H5_SELECT_ALL) bs_bytes_text(out, "...");
    for (unsigned i = 0; region->kind != BS_H5_SELECT_ALL && i < region->rank; i++) {
        if (i) bs_bytes_text(out, ", ");
        put_axis(region, i, out);
    }
    bs_bytes_u8(out, ']');
}

/* ---- elements ----------------------------------------------------------------------------------- */

struct decoder {
    struct bs_h5_file *h5;
    struct bs_h5_heap *heap;
};

static uint64_t token_of(struct bs_cursor *cursor)
{
    const size_t bytes = bs_cursor_u8(cursor);
    if (bytes && bytes <= 8) return bs_h5_cursor_address(cursor, bytes);
    bs_cursor_skip(cursor, bytes);
    return BS_H5_UNDEFINED;
}

static basalt_status find_object(
    struct decoder *decoder, struct bs_cursor *cursor, struct bs_cursor *out, basalt_error *err)
{
    const uint64_t address = bs_h5_address(decoder->h5, cursor);
    const uint32_t index = bs_cursor_u32(cursor);
    basalt_status status = bs_cursor_check(cursor, "a reference", err);

    *out = (struct bs_cursor){0};
    if (status || !address || address == BS_H5_UNDEFINED) return status;
    return bs_h5_heap_object(decoder->heap, address, index, out, err);
}

static basalt_status decode_region(struct decoder *decoder, struct bs_cursor *cursor,
    struct bs_h5_reference *out, basalt_error *err)
{
    struct bs_cursor object;
    basalt_status status = find_object(decoder, cursor, &object, err);

    if (status || !object.start) return status;
    out->address = bs_h5_address(decoder->h5, &object);
    return take_region(decoder->h5, &object, out, err);
}

static basalt_status take_name(struct bs_cursor *cursor, char **out_name, basalt_error *err)
{
    const size_t count = bs_cursor_u16(cursor);
    const uint8_t *bytes = bs_cursor_bytes(cursor, count);
    basalt_status status = bs_cursor_check(cursor, "a reference", err);

    if (status) return status;
    *out_name = bs_alloc_zeroed(count + 1, 1);
    if (!*out_name) return bs_fail_memory(err, count + 1);
    if (count) memcpy(*out_name, bytes, count);
    return BASALT_OK;
}

static basalt_status decode_apart(struct decoder *decoder, uint8_t kind, uint8_t flags,
    struct bs_cursor *cursor, struct bs_h5_reference *out, basalt_error *err)
{
    struct bs_cursor object;
    char *file = NULL;

    bs_cursor_skip(cursor, 4); /* bytes of the object */
    basalt_status status = find_object(decoder, cursor, &object, err);
    if (status || !object.start) return status;
    out->address = token_of(&object);
    if (flags & FLAG_ELSEWHERE) {
        status = take_name(&object, &file, err);
        if (!status)
            status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "a reference leads into another file, \"%.80s\", where references are not followed",
                file);
        bs_free(file);
    } else if (kind == BS_H5_REFERENCE_ATTRIBUTE) {
        status = take_name(&object, &out->attribute, err);
    } else if (kind == BS_H5_REFERENCE_REGION_2) {
        bs_cursor_skip(&object, 8); /* bytes, rank */
        status = take_region(decoder->h5, &object, out, err);
    }
    return status;
}

static basalt_status decode_newer(struct decoder *decoder, struct bs_cursor *cursor,
    struct bs_h5_reference *out, basalt_error *err)
{
    const uint8_t kind = bs_cursor_u8(cursor), flags = bs_cursor_u8(cursor);

    if (!cursor->failed && !kind) return BASALT_OK;
    if (kind > BS_H5_REFERENCE_ATTRIBUTE || kind < BS_H5_REFERENCE_OBJECT_2)
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor),
            "a reference is of kind %u, which there is not", kind);
    if (kind != BS_H5_REFERENCE_OBJECT_2 || flags & FLAG_ELSEWHERE)
        return decode_apart(decoder, kind, flags, cursor, out, err);
    out->address = token_of(cursor);
    return BASALT_OK;
}

static basalt_status decode(struct decoder *decoder, const struct bs_h5_type *type,
    const uint8_t *element, struct bs_h5_reference *out, basalt_error *err)
{
    struct bs_cursor cursor = bs_cursor_make(element, type->size_bytes, BASALT_NO_OFFSET);
    basalt_status status = BASALT_OK;

    *out = (struct bs_h5_reference){.address = BS_H5_UNDEFINED};
    if (type->reference_kind == BS_H5_REFERENCE_OBJECT)
        out->address = bs_h5_address(decoder->h5, &cursor);
    else if (type->reference_kind == BS_H5_REFERENCE_REGION)
        status = decode_region(decoder, &cursor, out, err);
    else
        status = decode_newer(decoder, &cursor, out, err);
    if (!out->address) out->address = BS_H5_UNDEFINED;
    return status ? status : bs_cursor_check(&cursor, "a reference", err);
}

basalt_status bs_h5_references_each(struct bs_h5_file *h5, const struct bs_h5_type *type,
    const void *elements, uint64_t stride, uint64_t count, bs_h5_reference_fn each, void *context,
    basalt_error *err)
{
    struct decoder decoder = {.h5 = h5};
    const uint8_t *element = elements;

    assert(type->kind == BS_H5_REFERENCE);
    basalt_status status = bs_h5_heap_open(h5, &decoder.heap, err);
    for (uint64_t i = 0; !status && i < count; i++, element += stride) {
        struct bs_h5_reference reference;
        status = decode(&decoder, type, element, &reference, err);
        if (!status) status = each(context, i, &reference, err);
        bs_h5_reference_clear(&reference);
    }
    bs_h5_heap_close(decoder.heap);
    return status;
}
