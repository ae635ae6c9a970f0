/* h5_shared.c - messages that lie elsewhere: in a committed datatype, or in the file's table of shared
 * messages (SOHM, FF III.I and IV.A.2.p).
 *
 * MASTER TABLE  "SMTB", for each index: what kinds of message it has, where its list or B-tree and
 *               its fractal heap are
 * MESSAGE       "in the heap" and an 8-byte heap ID: the kind of the message says which heap
 *
 * A reader needs the heaps alone; lists and B-trees serve writers, and are walked for their extents.
 * The heaps are opened with the file and stay as they are, so that any thread may read of them. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define INDEXES_MAX 8
#define INDEX_FIXED_BYTES 14 /* of an index in the table, without its two addresses */
#define FORM_LIST 0
#define KIND_SHARED 7 /* of the records in an index's B-tree */
#define IN_HEAP 1     /* kinds of shared message, version 3 */
#define HEAP_ID_BYTES 8

struct shared_index {
    uint16_t kinds; /* bit of each message type */
    uint8_t form;   /* list or B-tree */
    uint16_t list_room;
    uint64_t index, heap_address;
    struct bs_h5_fractal_heap *heap; /* NULL: could not be opened, which is told to who needs it */
};

struct bs_h5_shared {
    uint64_t address, bytes;
    unsigned count;
    struct shared_index indexes[INDEXES_MAX];
};

void bs_h5_shared_free(struct bs_h5_shared *shared)
{
    for (unsigned i = 0; shared && i < shared->count; i++)
        bs_h5_fractal_heap_close(shared->indexes[i].heap);
    bs_free(shared);
}

/* ---- the table -------------------------------------------------------------------------------- */

static void decode_index(
    const struct bs_h5_file *h5, struct bs_cursor *cursor, struct shared_index *index)
{
    bs_cursor_skip(cursor, 1); /* version */
    index->form = bs_cursor_u8(cursor);
    index->kinds = bs_cursor_u16(cursor);
    bs_cursor_skip(cursor, 4); /* the smallest message that is shared */
    index->list_room = bs_cursor_u16(cursor);
    bs_cursor_skip(cursor, 4); /* when it becomes a list again, number of messages */
    index->index = bs_h5_address(h5, cursor);
    index->heap_address = bs_h5_address(h5, cursor);
}

static basalt_status read_table(
    struct bs_h5_file *h5, struct bs_h5_shared *shared, basalt_error *err)
{
    uint8_t *bytes = NULL;
    const char *what = "the table of shared messages";

    shared->bytes = 4 + shared->count * (INDEX_FIXED_BYTES + 2u * h5->superblock.offset_bytes) + 4u;
    basalt_status status = bs_h5_load(h5, shared->address, shared->bytes, what, &bytes, err);
    if (status) return status;
    struct bs_cursor cursor = bs_h5_cursor(h5, bytes, (size_t)shared->bytes, shared->address);
    BS_TRY(bs_h5_expect(&cursor, "SMTB", "table of shared messages", err));
    BS_TRY(bs_h5_check_sum(h5, bytes, (size_t)shared->bytes, shared->address, what, err));
    for (unsigned i = 0; i < shared->count; i++) decode_index(h5, &cursor, &shared->indexes[i]);
    BS_TRY(bs_cursor_check(&cursor, what, err));
out:
    bs_free(bytes);
    return status;
}

static basalt_status open_heaps(
    struct bs_h5_file *h5, struct bs_h5_shared *shared, basalt_error *err)
{
    for (unsigned i = 0; i < shared->count; i++) {
        struct shared_index *index = &shared->indexes[i];
        if (index->heap_address == BS_H5_UNDEFINED) continue;
        const basalt_status status =
            bs_h5_fractal_heap_open(h5, index->heap_address, &index->heap, err);
        if (status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR) return status;
    }
    return BASALT_OK;
}

basalt_status bs_h5_shared_open(
    struct bs_h5_file *h5, const struct bs_h5_message *message, basalt_error *err)
{
    struct bs_cursor cursor = bs_h5_message_cursor(h5, message);
    struct bs_h5_shared *shared = bs_alloc_zeroed(1, sizeof *shared);
    basalt_status status = BASALT_OK;

    if (!shared) return bs_fail_memory(err, sizeof *shared);
    const uint8_t version = bs_cursor_u8(&cursor);
    shared->address = bs_h5_address(h5, &cursor);
    shared->count = bs_cursor_u8(&cursor);
    BS_TRY(bs_cursor_check(&cursor, "the shared message table message", err));
    if (version || !shared->count || shared->count > INDEXES_MAX || h5->shared) {
        shared->count = 0;
        status = bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(&cursor),
            "the shared message table message at %" PRIu64 " is not valid", message->address);
        goto out;
    }
    BS_TRY(read_table(h5, shared, err));
    BS_TRY(open_heaps(h5, shared, err));
    h5->shared = shared;
    shared = NULL;
out:
    bs_h5_shared_free(shared);
    return status;
}

basalt_status bs_h5_shared_extents(
    struct bs_h5_file *h5, bs_h5_extent_fn each, void *context, basalt_error *err)
{
    const struct bs_h5_btree2_visit visit = {
        .kind = KIND_SHARED, .block = each, .context = context};
    const struct bs_h5_shared *shared = h5->shared;
    const uint64_t place_bytes = 4u + h5->superblock.offset_bytes;
    const uint64_t record_bytes = 1 + 4 + BS_MAX(4 + (uint64_t)HEAP_ID_BYTES, place_bytes);

    if (!shared) return BASALT_OK;
    basalt_status status = each(context, (struct bs_h5_extent){shared->address, shared->bytes},
        "table of shared messages", err);
    for (unsigned i = 0; !status && i < shared->count; i++) {
        const struct shared_index *index = &shared->indexes[i];
        const struct bs_h5_extent list = {index->index, 4 + index->list_room * record_bytes + 4};
        if (index->index != BS_H5_UNDEFINED)
            status = index->form == FORM_LIST ? each(context, list, "list of shared messages", err)
                                              : bs_h5_btree2_each(h5, index->index, &visit, err);
        if (!status && index->heap)
            status = bs_h5_fractal_heap_extents(index->heap, each, context, err);
    }
    return status;
}

/* ---- one message ------------------------------------------------------------------------------ */

void bs_h5_body_free(struct bs_h5_body *body)
{
    bs_h5_header_free(body->header);
    bs_bytes_free(&body->memory);
    memset(body, 0, sizeof *body);
}

basalt_status bs_h5_shared_object(struct bs_h5_file *h5, enum bs_h5_message_type type,
    struct bs_cursor id, struct bs_h5_body *out_body, basalt_error *err)
{
    struct bs_h5_fractal_heap *heap = NULL;
    const struct shared_index *index = NULL;

    for (unsigned i = 0; h5->shared && !index && i < h5->shared->count; i++)
        if (h5->shared->indexes[i].kinds & 1u << type) index = &h5->shared->indexes[i];
    if (!index || index->heap_address == BS_H5_UNDEFINED)
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(&id),
            "a message of type %d is in the file's table of shared messages (SOHM), which has none "
            "of that type",
            (int)type);
    if (index->heap)
        return bs_h5_fractal_heap_object(
            index->heap, id, &out_body->memory, &out_body->cursor, err);
    basalt_status status = bs_h5_fractal_heap_open(h5, index->heap_address, &heap, err);
    bs_h5_fractal_heap_close(heap);
    return status ? status
                  : bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(&id),
                        "a heap of shared messages changed while the file was open");
}

static basalt_status find_in_header(struct bs_h5_file *h5, enum bs_h5_message_type type,
    uint64_t address, struct bs_h5_body *body, basalt_error *err)
{
    basalt_status status = bs_h5_header_load(h5, address, &body->header, err);

    if (status) return status;
    const struct bs_h5_message *message = bs_h5_header_find(body->header, type);
    if (!message || message->shared)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, address),
            "the object at %" PRIu64 " should have a message of type %d that others share, and has "
            "none",
            address, (int)type);
    body->cursor = bs_h5_message_cursor(h5, message);
    body->committed = address;
    return BASALT_OK;
}

basalt_status bs_h5_body_find(struct bs_h5_file *h5, enum bs_h5_message_type type,
    struct bs_cursor cursor, bool shared, struct bs_h5_body *out_body, basalt_error *err)
{
    *out_body = (struct bs_h5_body){.cursor = cursor, .committed = BS_H5_UNDEFINED};
    if (!shared) return BASALT_OK;
    const uint8_t version = bs_cursor_u8(&cursor);
    const uint8_t kind = bs_cursor_u8(&cursor);
    if (!cursor.failed && (version < 1 || version > 3))
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(&cursor),
            "the message at %" PRIu64 " is shared in an unknown version", cursor.file_offset);
    if (version == 1) bs_cursor_skip(&cursor, 6 + (size_t)h5->superblock.length_bytes);
    if (version == 3 && kind == IN_HEAP) {
        const uint64_t at = bs_cursor_offset(&cursor);
        const uint8_t *id = bs_cursor_bytes(&cursor, HEAP_ID_BYTES);
        if (!id) return bs_cursor_check(&cursor, "a shared message", err);
        basalt_status status =
            bs_h5_shared_object(h5, type, bs_cursor_make(id, HEAP_ID_BYTES, at), out_body, err);
        if (status) bs_h5_body_free(out_body);
        return status;
    }
    const uint64_t address = bs_h5_address(h5, &cursor);
    basalt_status status = bs_cursor_check(&cursor, "a shared message", err);
    if (!status) status = find_in_header(h5, type, address, out_body, err);
    if (status) bs_h5_body_free(out_body);
    return status;
}

basalt_status bs_h5_message_body(struct bs_h5_file *h5, const struct bs_h5_message *message,
    struct bs_h5_body *out_body, basalt_error *err)
{
    return bs_h5_body_find(h5, (enum bs_h5_message_type)message->type,
        bs_h5_message_cursor(h5, message), message->shared, out_body, err);
}

basalt_status bs_h5_type_follow(struct bs_h5_file *h5, struct bs_cursor *cursor, bool shared,
    struct bs_bytes *committed, struct bs_h5_type **out_type, basalt_error *err)
{
    struct bs_h5_body body;

    *out_type = NULL;
    basalt_status status = bs_h5_body_find(h5, BS_H5_MESSAGE_TYPE, *cursor, shared, &body, err);
    if (status) return status;
    status = bs_h5_type_decode(&body.cursor, out_type, err);
    if (body.committed != BS_H5_UNDEFINED) bs_bytes_u64(committed, body.committed);
    bs_h5_body_free(&body);
    return status ? status : bs_bytes_check(committed, err);
}
