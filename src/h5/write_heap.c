/* write_heap.c - objects of the global heap (FF III.E) for elements of any shape.
 *
 * A collection takes its place before its first object: so an object may be named, by an element or by
 * another object that holds elements, as soon as it is put. What the collection did not need is given
 * back when it is written. Its form, and that of write_strings.c, which fills collections for columns:
 * see there. */
#include "h5/writer_internal.h"

#define COLLECTION_BYTES ((size_t)64 << 10)
#define COLLECTION_OBJECTS_MAX 65535u

struct bs_h5_packer {
    struct bs_h5_writer *writer;
    struct bs_bytes bytes; /* the collection that is being filled; empty: none */
    uint64_t address, room;
    unsigned objects;
};

basalt_status bs_h5_packer_create(
    struct bs_h5_writer *writer, struct bs_h5_packer **out_packer, basalt_error *err)
{
    *out_packer = bs_alloc_zeroed(1, sizeof **out_packer);
    if (!*out_packer) return bs_fail_memory(err, sizeof **out_packer);
    (*out_packer)->writer = writer;
    return BASALT_OK;
}

void bs_h5_packer_free(struct bs_h5_packer *packer)
{
    if (!packer) return;
    bs_bytes_free(&packer->bytes);
    bs_free(packer);
}

basalt_status bs_h5_packer_flush(struct bs_h5_packer *packer, basalt_error *err)
{
    struct bs_bytes *bytes = &packer->bytes;
    struct bs_space *space = &packer->writer->space;
    if (bytes->count == 0) return BASALT_OK;
    bs_collection_end(bytes);
    basalt_status status = bs_bytes_check(bytes, err);
    if (status) return status;
    status =
        bs_file_write_at(packer->writer->file, bytes->data, bytes->count, packer->address, err);
    if (status) return status;
    if (packer->room > bytes->count) {
        bs_space_untake(space, packer->address + bytes->count, packer->room - bytes->count);
    }
    bytes->count = 0;
    packer->objects = 0;
    return BASALT_OK;
}

basalt_status bs_h5_pack(struct bs_h5_packer *packer, const void *bytes, size_t count,
    uint8_t *out_place, basalt_error *err)
{
    const uint64_t needed = bs_collection_object_bytes(count);
    if (packer->bytes.count > 0 &&
        (packer->objects == COLLECTION_OBJECTS_MAX ||
            needed > packer->room - packer->bytes.count)) {
        const basalt_status status = bs_h5_packer_flush(packer, err);
        if (status) return status;
    }
    if (packer->bytes.count == 0) {
        packer->room = BS_MAX(COLLECTION_BYTES, bs_collection_object_bytes(0) + needed);
        packer->address = bs_space_take(&packer->writer->space, packer->room);
        bs_collection_begin(&packer->bytes);
    }
    bs_collection_put(&packer->bytes, ++packer->objects, bytes, count);
    bs_store_u64(out_place, packer->address);
    bs_store_u32(out_place + 8, packer->objects);
    return bs_bytes_check(&packer->bytes, err);
}
