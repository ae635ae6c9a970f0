/* write_strings.c - variable-length elements in global heap collections (FF III.E).
 *
 *   0  "GCOL", version 1, 3 zero bytes, size u64 (4,096 at least)
 *  16  objects: index u16, references u16, 4 zero bytes, size u64, bytes up to a multiple of 8;
 *      index 0 is the free rest, if it has room for this head
 *
 * A collection is written once, aims at 64 KB, and belongs to one chunk of one column, so that it can
 * go when the chunk goes. A tail that grows by a few rows a commit has many small ones; when much of
 * their space is waste, all strings of the tail are packed into full ones. An element in the chunk is
 * a reference: length u32, collection u64, index u32; all zeros if it is empty. */
#include "h5/writer_internal.h"

#define COLLECTION_BYTES ((size_t)64 << 10)
#define COLLECTION_BYTES_MIN ((size_t)4096)
#define COLLECTION_OBJECTS_MAX 65535u
#define COLLECTION_BYTES_MAX ((uint64_t)1 << 33) /* one element of 4 GiB, and heads */
#define HEAD_BYTES 16u
#define WASTE_BYTES_MIN ((uint64_t)64 << 10)

static uint64_t padded(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

/* ---- one collection ------------------------------------------------------------------------ */

void bs_collection_begin(struct bs_bytes *out)
{
    out->count = 0;
    bs_bytes_put(out, "GCOL\1\0\0\0", 8);
    bs_bytes_u64(out, 0);
}

uint64_t bs_collection_object_bytes(uint64_t bytes)
{
    return HEAD_BYTES + padded(bytes);
}

void bs_collection_put(struct bs_bytes *out, unsigned index, const void *bytes, size_t count)
{
    bs_bytes_u16(out, (uint16_t)index);
    bs_bytes_zeros(out, 6);
    bs_bytes_u64(out, count);
    if (count) bs_bytes_put(out, bytes, count);
    bs_bytes_zeros(out, (size_t)(padded(count) - count));
}

void bs_collection_end(struct bs_bytes *out)
{
    if (out->count < COLLECTION_BYTES_MIN) {
        const size_t rest = COLLECTION_BYTES_MIN - out->count;
        const size_t head = out->count;
        bs_bytes_zeros(out, rest);
        if (rest >= HEAD_BYTES && !out->failed) bs_store_u64(out->data + head + 8, rest);
    }
    if (!out->failed) bs_store_u64(out->data + 8, out->count);
}

/* ---- writing ------------------------------------------------------------------------------- */

struct packer {
    struct bs_h5_writer *writer;
    struct bs_bytes bytes; /* the collection that is being filled */
    unsigned objects;
    uint8_t *references; /* the next to be given out */
    uint8_t *first_open; /* the first whose collection has no address yet */
    struct bs_extents *collections;
    uint64_t used;
};

static void packer_start(struct packer *packer)
{
    packer->objects = 0;
    packer->first_open = packer->references;
    bs_collection_begin(&packer->bytes);
}

static basalt_status packer_flush(struct packer *packer, basalt_error *err)
{
    struct bs_bytes *bytes = &packer->bytes;
    if (packer->objects == 0) return BASALT_OK;
    packer->used += bytes->count;
    bs_collection_end(bytes);
    basalt_status status = bs_bytes_check(bytes, err);
    if (status) return status;
    const uint64_t address = bs_space_take(&packer->writer->space, bytes->count);
    status = bs_file_write_at(packer->writer->file, bytes->data, bytes->count, address, err);
    if (!status) status = bs_extents_add(packer->collections, address, bytes->count, err);
    if (status) {
        bs_space_untake(&packer->writer->space, address, bytes->count);
        return status;
    }
    for (uint8_t *at = packer->first_open; at < packer->references; at += BS_H5_VARIABLE_BYTES) {
        if (bs_load_u32(at) > 0) bs_store_u64(at + 4, address);
    }
    packer_start(packer);
    return BASALT_OK;
}

/* `length` is what the reference says: bytes of a text, elements of a sequence; here both are bytes. */
static basalt_status packer_put(
    struct packer *packer, const uint8_t *element, uint32_t length, basalt_error *err)
{
    struct bs_bytes *bytes = &packer->bytes;
    basalt_status status = BASALT_OK;
    if (length == 0) {
        memset(packer->references, 0, BS_H5_VARIABLE_BYTES);
        packer->references += BS_H5_VARIABLE_BYTES;
        return BASALT_OK;
    }
    if (packer->objects == COLLECTION_OBJECTS_MAX ||
        bytes->count + bs_collection_object_bytes(length) > COLLECTION_BYTES) {
        status = packer_flush(packer, err);
        if (status) return status;
    }
    bs_collection_put(bytes, ++packer->objects, element, length);
    bs_store_u32(packer->references, length);
    bs_store_u64(packer->references + 4, 0);
    bs_store_u32(packer->references + 12, packer->objects);
    packer->references += BS_H5_VARIABLE_BYTES;
    return bs_bytes_check(bytes, err);
}

static struct packer packer_make(
    struct bs_h5_writer *writer, uint8_t *references, struct bs_extents *collections)
{
    struct packer packer = {.writer = writer, .references = references, .collections = collections};
    packer_start(&packer);
    return packer;
}

static basalt_status piece_check(
    const struct bs_h5_node *node, const struct bs_h5_piece *piece, uint64_t row, basalt_error *err)
{
    if (piece->offsets && piece->offsets[row + 1] >= piece->offsets[row]) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "rows for the variable-length column \"%.100s\" have no offsets, or falling ones",
        node->name);
}

basalt_status bs_strings_put(struct bs_h5_node *node, struct bs_row_source *source, uint64_t rows,
    uint8_t *out, basalt_error *err)
{
    struct bs_column *column = node->as.column;
    struct packer packer = packer_make(node->writer, out, &column->collections);
    basalt_status status = BASALT_OK;
    while (!status && rows > 0) {
        const struct bs_h5_piece *piece = &source->pieces[source->piece];
        if (source->row == piece->rows) {
            source->piece++;
            source->row = 0;
            continue;
        }
        status = piece_check(node, piece, source->row, err);
        if (status) break;
        const uint32_t from = piece->offsets[source->row], to = piece->offsets[source->row + 1];
        status = packer_put(&packer, (const uint8_t *)piece->values + from, to - from, err);
        source->row++;
        rows--;
    }
    if (!status) status = packer_flush(&packer, err);
    column->collections_used += packer.used;
    bs_bytes_free(&packer.bytes);
    return status;
}

bool bs_strings_wasteful(const struct bs_column *column)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < column->collections.count; i++) {
        bytes += column->collections.items[i].bytes;
    }
    return column->collections.count > 1 && bytes > WASTE_BYTES_MIN &&
        bytes - column->collections_used > bytes / 2;
}

/* ---- reading back -------------------------------------------------------------------------- */

struct collection {
    uint64_t address;
    struct bs_bytes bytes;
    uint32_t *objects; /* where the head of object i is; 0: there is none */
    size_t object_count;
};

static void collection_free(struct collection *collection)
{
    bs_bytes_free(&collection->bytes);
    bs_free(collection->objects);
    *collection = (struct collection){.address = BS_H5_UNDEFINED};
}

static basalt_status collection_size(
    struct bs_h5_writer *writer, uint64_t address, uint64_t *out_bytes, basalt_error *err)
{
    uint8_t head[HEAD_BYTES];
    if (address > INT64_MAX) {
        return bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "a string is said to lie outside of the file");
    }
    basalt_status status = bs_file_read_all_at(writer->file, head, HEAD_BYTES, address, err);
    if (status) return status;
    *out_bytes = bs_load_u64(head + 8);
    if (memcmp(head, "GCOL\1", 5) != 0 || *out_bytes < COLLECTION_BYTES_MIN ||
        *out_bytes > COLLECTION_BYTES_MAX || *out_bytes > bs_space_end(&writer->space)) {
        return bs_fail(
            err, BASALT_CORRUPT, address, "there is no collection of strings at %" PRIu64, address);
    }
    return BASALT_OK;
}

/* Finds the objects; what does not parse ends the list, and a reference to it is an error. */
static basalt_status collection_index(struct collection *collection, basalt_error *err)
{
    struct bs_cursor cursor =
        bs_cursor_make(collection->bytes.data, collection->bytes.count, collection->address);
    bs_free(collection->objects);
    collection->object_count = COLLECTION_OBJECTS_MAX + 1;
    collection->objects = bs_alloc_zeroed(collection->object_count, sizeof(uint32_t));
    if (!collection->objects) return bs_fail_memory(err, COLLECTION_OBJECTS_MAX);
    bs_cursor_skip(&cursor, HEAD_BYTES);
    while (bs_cursor_left(&cursor) >= HEAD_BYTES) {
        const size_t at = collection->bytes.count - bs_cursor_left(&cursor);
        const uint16_t number = bs_cursor_u16(&cursor);
        bs_cursor_skip(&cursor, 6);
        const uint64_t size = bs_cursor_u64(&cursor);
        if (number == 0 || size > bs_cursor_left(&cursor) || at > UINT32_MAX) break;
        collection->objects[number] = (uint32_t)at;
        bs_cursor_skip(&cursor, BS_MIN((size_t)padded(size), bs_cursor_left(&cursor)));
    }
    return BASALT_OK;
}

static basalt_status collection_read(
    struct bs_h5_writer *writer, uint64_t address, struct collection *out, basalt_error *err)
{
    uint64_t bytes = 0;
    if (out->address == address && address != BS_H5_UNDEFINED) return BASALT_OK;
    out->address = BS_H5_UNDEFINED;
    basalt_status status = collection_size(writer, address, &bytes, err);
    if (status) return status;
    out->bytes.count = 0;
    uint8_t *to = bs_bytes_grow(&out->bytes, (size_t)bytes);
    if (!to) return bs_bytes_check(&out->bytes, err);
    status = bs_file_read_all_at(writer->file, to, (size_t)bytes, address, err);
    if (!status) status = collection_index(out, err);
    if (!status) out->address = address;
    return status;
}

/* The bytes of one element; NULL and 0 if it is empty. */
static basalt_status element_find(struct bs_h5_writer *writer, const uint8_t *reference,
    struct collection *collection, const uint8_t **out_bytes, uint32_t *out_length,
    basalt_error *err)
{
    const uint32_t length = bs_load_u32(reference), number = bs_load_u32(reference + 12);
    const uint64_t address = bs_load_u64(reference + 4);
    *out_bytes = NULL;
    *out_length = 0;
    if (length == 0 || address == 0) return BASALT_OK;
    basalt_status status = collection_read(writer, address, collection, err);
    if (status) return status;
    const uint32_t at = number < collection->object_count ? collection->objects[number] : 0;
    if (at == 0 || bs_load_u64(collection->bytes.data + at + 8) < length) {
        return bs_fail(err, BASALT_CORRUPT, address,
            "the collection at %" PRIu64 " has no object %u of %u bytes", address, (unsigned)number,
            (unsigned)length);
    }
    *out_bytes = collection->bytes.data + at + HEAD_BYTES;
    *out_length = length;
    return BASALT_OK;
}

basalt_status bs_strings_repack(struct bs_h5_node *node, uint8_t *references, uint64_t rows,
    struct bs_extents *out_collections, uint64_t *out_used, basalt_error *err)
{
    struct bs_h5_writer *writer = node->writer;
    struct collection collection = {.address = BS_H5_UNDEFINED};
    struct packer packer = packer_make(writer, references, out_collections);
    basalt_status status = BASALT_OK;
    for (uint64_t i = 0; i < rows; i++) {
        const uint8_t *bytes;
        uint32_t length;
        BS_TRY(element_find(writer, packer.references, &collection, &bytes, &length, err));
        BS_TRY(packer_put(&packer, bytes, length, err));
    }
    BS_TRY(packer_flush(&packer, err));
    *out_used = packer.used;
out:
    collection_free(&collection);
    bs_bytes_free(&packer.bytes);
    return status;
}

static bool listed(const struct bs_extents *extents, uint64_t address)
{
    for (size_t i = extents->count; i-- > 0;) { /* the last one is the likeliest */
        if (extents->items[i].address == address) return true;
    }
    return false;
}

basalt_status bs_strings_collections(struct bs_h5_writer *writer, const uint8_t *references,
    uint64_t rows, struct bs_extents *out, uint64_t *out_used, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (uint64_t i = 0; !status && i < rows; i++) {
        const uint8_t *at = references + i * BS_H5_VARIABLE_BYTES;
        const uint64_t address = bs_load_u64(at + 4);
        uint64_t bytes = 0;
        if (bs_load_u32(at) == 0 || address == 0) continue;
        *out_used += HEAD_BYTES + padded(bs_load_u32(at));
        if (listed(out, address)) continue;
        status = collection_size(writer, address, &bytes, err);
        if (!status) status = bs_extents_add(out, address, bytes, err);
    }
    return status;
}
