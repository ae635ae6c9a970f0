/* h5_dense.c - dense links and attributes: a version-2 B-tree by name over a fractal heap. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define KIND_LINK_NAME 5
#define KIND_LINK_ORDER 6
#define KIND_ATTRIBUTE_NAME 8
#define KIND_ATTRIBUTE_ORDER 9
#define ATTRIBUTE_ID_BYTES 8
#define FLAG_SHARED 0x02

struct lister {
    struct bs_h5_file *h5;
    struct bs_h5_fractal_heap *heap;
    bs_h5_dense_fn each;
    void *context;
    struct bs_bytes memory; /* of a huge object */
    uint32_t hash;          /* of the name that is looked for */
};

static basalt_status give_object(struct lister *lister, struct bs_cursor id, basalt_error *err)
{
    struct bs_cursor object = {0};
    basalt_status status =
        bs_h5_fractal_heap_object(lister->heap, id, &lister->memory, &object, err);
    return status ? status : lister->each(lister->context, object, err);
}

static basalt_status take_id(struct lister *lister, struct bs_cursor *record, size_t id_bytes,
    struct bs_cursor *out_id, basalt_error *err)
{
    const uint64_t offset = bs_cursor_offset(record);
    const uint8_t *id = bs_cursor_bytes(record, id_bytes);

    if (!id || id_bytes != bs_h5_fractal_heap_id_bytes(lister->heap))
        return bs_fail(err, BASALT_CORRUPT, offset,
            "the record at %" PRIu64 " has a name of another width than its fractal heap", offset);
    *out_id = bs_cursor_make(id, id_bytes, offset);
    return BASALT_OK;
}

/* u32 hash of the name, heap ID */
static basalt_status link_record(void *context, struct bs_cursor record, basalt_error *err)
{
    struct lister *lister = context;
    struct bs_cursor id = {0};

    bs_cursor_skip(&record, 4);
    basalt_status status = take_id(lister, &record, bs_cursor_left(&record), &id, err);
    return status ? status : give_object(lister, id, err);
}

/* heap ID, u8 message flags, u32 creation order, u32 hash of the name */
static basalt_status attribute_record(void *context, struct bs_cursor record, basalt_error *err)
{
    struct lister *lister = context;
    struct bs_cursor id = {0};

    basalt_status status = take_id(lister, &record, ATTRIBUTE_ID_BYTES, &id, err);
    if (status) return status;
    if (!(bs_cursor_u8(&record) & FLAG_SHARED)) return give_object(lister, id, err);
    struct bs_h5_body body = {0};
    status = bs_h5_shared_object(lister->h5, BS_H5_MESSAGE_ATTRIBUTE, id, &body, err);
    if (!status) status = lister->each(lister->context, body.cursor, err);
    bs_h5_body_free(&body);
    return status;
}

/* Which of the two it is, the tree says itself. */
static basalt_status kind_of(
    struct bs_h5_file *h5, uint64_t tree, uint8_t *out_kind, basalt_error *err)
{
    uint8_t start[6];
    basalt_status status = bs_h5_read_at(h5, tree, start, sizeof start, "a version-2 B-tree", err);
    *out_kind = status ? 0 : start[5];
    return status;
}

basalt_status bs_h5_dense_each(struct bs_h5_file *h5, uint64_t heap, uint64_t names,
    bs_h5_dense_fn each, void *context, basalt_error *err)
{
    struct lister lister = {.h5 = h5, .each = each, .context = context};
    struct bs_h5_btree2_visit visit = {.context = &lister};
    basalt_status status = kind_of(h5, names, &visit.kind, err);

    if (status) return status;
    if (visit.kind != KIND_LINK_NAME) visit.kind = KIND_ATTRIBUTE_NAME;
    visit.record = visit.kind == KIND_LINK_NAME ? link_record : attribute_record;
    status = bs_h5_fractal_heap_open(h5, heap, &lister.heap, err);
    if (!status) status = bs_h5_btree2_each(h5, names, &visit, err);
    bs_bytes_free(&lister.memory);
    bs_h5_fractal_heap_close(lister.heap);
    return status;
}

/* ---- one link --------------------------------------------------------------------------------- */

static int side_of_hash(void *context, struct bs_cursor record)
{
    const struct lister *lister = context;
    const uint32_t hash = bs_cursor_u32(&record);
    return (hash > lister->hash) - (hash < lister->hash);
}

static basalt_status hashed_record(void *context, struct bs_cursor record, basalt_error *err)
{
    struct lister *lister = context;
    struct bs_cursor id = {0};

    if (side_of_hash(context, record)) return BASALT_OK;
    bs_cursor_skip(&record, 4);
    basalt_status status = take_id(lister, &record, bs_cursor_left(&record), &id, err);
    if (!status) status = bs_h5_fractal_heap_look_at(lister->heap, id, err);
    return status ? status : give_object(lister, id, err);
}

basalt_status bs_h5_dense_find(struct bs_h5_file *h5, uint64_t heap, uint64_t names,
    const char *name, bs_h5_dense_fn each, void *context, basalt_error *err)
{
    struct lister lister = {
        .h5 = h5, .each = each, .context = context, .hash = bs_lookup3(name, strlen(name), 0)};
    const struct bs_h5_btree2_visit visit = {
        .kind = KIND_LINK_NAME, .record = hashed_record, .side = side_of_hash, .context = &lister};

    basalt_status status = bs_h5_fractal_heap_peek(h5, heap, &lister.heap, err);
    if (!status) status = bs_h5_btree2_each(h5, names, &visit, err);
    bs_bytes_free(&lister.memory);
    bs_h5_fractal_heap_close(lister.heap);
    return status;
}

/* ---- extents ---------------------------------------------------------------------------------- */

static basalt_status order_extents(
    struct bs_h5_file *h5, uint64_t order, bs_h5_extent_fn each, void *context, basalt_error *err)
{
    struct bs_h5_btree2_visit visit = {.block = each, .context = context};

    if (order == BS_H5_UNDEFINED) return BASALT_OK;
    basalt_status status = kind_of(h5, order, &visit.kind, err);
    if (status) return status;
    if (visit.kind != KIND_LINK_ORDER) visit.kind = KIND_ATTRIBUTE_ORDER;
    return bs_h5_btree2_each(h5, order, &visit, err);
}

basalt_status bs_h5_dense_extents(struct bs_h5_file *h5, uint64_t heap, uint64_t names,
    uint64_t order, bs_h5_extent_fn each, void *context, basalt_error *err)
{
    struct bs_h5_fractal_heap *opened = NULL;
    struct bs_h5_btree2_visit visit = {.block = each, .context = context};

    basalt_status status = kind_of(h5, names, &visit.kind, err);
    if (status) return status;
    if (visit.kind != KIND_LINK_NAME) visit.kind = KIND_ATTRIBUTE_NAME;
    status = bs_h5_fractal_heap_open(h5, heap, &opened, err);
    if (!status) status = bs_h5_fractal_heap_extents(opened, each, context, err);
    if (!status) status = bs_h5_btree2_each(h5, names, &visit, err);
    if (!status) status = order_extents(h5, order, each, context, err);
    bs_h5_fractal_heap_close(opened);
    return status;
}
