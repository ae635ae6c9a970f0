/* h5_bytes.c - bounded reads of the file: every byte that the reader looks at comes through here. */
#include "h5/h5_internal.h"

#include <inttypes.h>

uint64_t bs_h5_offset(const struct bs_h5_file *h5, uint64_t address)
{
    return address > UINT64_MAX - h5->superblock.base ? BASALT_NO_OFFSET
                                                      : h5->superblock.base + address;
}

uint64_t bs_h5_room_at(const struct bs_h5_file *h5, uint64_t address)
{
    for (unsigned i = 0; i < h5->range_count; i++)
        if (address >= h5->ranges[i].address &&
            address - h5->ranges[i].address < h5->ranges[i].bytes)
            return h5->ranges[i].bytes - (address - h5->ranges[i].address);
    return !h5->range_count && address < h5->bytes ? h5->bytes - address : 0;
}

basalt_status bs_h5_check_range(const struct bs_h5_file *h5, uint64_t address, uint64_t count,
    const char *what, basalt_error *err)
{
    const uint64_t room = bs_h5_room_at(h5, address);

    if (count <= room && (room || (!h5->range_count && address == h5->bytes))) return BASALT_OK;
    if (address == BS_H5_UNDEFINED)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the address of %s is missing", what);
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, address),
        "%s at %" PRIu64 " (%" PRIu64 " bytes) reaches past the end of the file, which has %" PRIu64
        " bytes",
        what, address, count, h5->bytes);
}

/* Puts what the cache image says in place of `count` bytes at `address`. */
static void patch(
    const struct bs_h5_cache_image *image, uint64_t address, uint8_t *bytes, size_t count)
{
    size_t low = 0, high = image->count;

    while (low < high) { /* the first entry that ends behind the address */
        const size_t middle = low + (high - low) / 2;
        if (image->entries[middle].address + image->entries[middle].bytes <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < image->count && image->entries[low].address < address + count; low++) {
        const struct bs_h5_image_entry *entry = &image->entries[low];
        const uint64_t from = BS_MAX(entry->address, address);
        const uint64_t to = BS_MIN(entry->address + entry->bytes, address + count);
        memcpy(
            bytes + (from - address), entry->data + (from - entry->address), (size_t)(to - from));
    }
}

/* ---- views that count ------------------------------------------------------------------------- */

#define METER_BYTES_FREE ((uint64_t)64 << 20)
#define METER_TO_FILE 16
#define READ_COST 256 /* of one more read, in bytes */

basalt_status bs_h5_view_create(
    struct bs_h5_file *h5, struct bs_h5_file **out_view, basalt_error *err)
{
    struct bs_h5_file *view = bs_alloc_zeroed(1, sizeof *view + sizeof *view->meter);

    *out_view = view;
    if (!view) return bs_fail_memory(err, sizeof *view + sizeof *view->meter);
    view->meter = (struct bs_h5_meter *)(view + 1);
    view->meter->left = METER_BYTES_FREE + METER_TO_FILE * h5->bytes;
    view->file = h5->file;
    view->filters = h5->filters;
    view->superblock = h5->superblock;
    view->bytes = h5->bytes;
    view->free_space = h5->free_space;
    view->range_count = h5->range_count;
    memcpy(view->ranges, h5->ranges, sizeof view->ranges);
    view->parts = h5->parts; /* lent: a view is not closed, but freed */
    view->family_bytes = h5->family_bytes;
    view->shared = h5->shared;
    view->image = h5->image;
    view->follow = h5->follow;
    view->first = h5->first;
    return BASALT_OK;
}

void bs_h5_view_free(struct bs_h5_file *view)
{
    bs_free(view);
}

static basalt_status spend(struct bs_h5_meter *meter, uint64_t count, basalt_error *err)
{
    if (meter->left >= count + READ_COST) {
        meter->left -= count + READ_COST;
        return BASALT_OK;
    }
    meter->left = 0;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the structures of the file lead to the same bytes again and again: over 16 times the file "
        "was read");
}

void bs_h5_count_bytes(struct bs_h5_file *h5, uint64_t read, uint64_t decoded)
{
    if (read) atomic_fetch_add_explicit(&h5->first->bytes_read, read, memory_order_relaxed);
    if (decoded) {
        atomic_fetch_add_explicit(&h5->first->bytes_decoded, decoded, memory_order_relaxed);
    }
}

void bs_h5_file_traffic(
    const struct bs_h5_file *h5, uint64_t *out_bytes_read, uint64_t *out_bytes_decoded)
{
    *out_bytes_read = atomic_load_explicit(&h5->first->bytes_read, memory_order_relaxed);
    *out_bytes_decoded = atomic_load_explicit(&h5->first->bytes_decoded, memory_order_relaxed);
}

basalt_status bs_h5_read_at(struct bs_h5_file *h5, uint64_t address, void *out, size_t count,
    const char *what, basalt_error *err)
{
    basalt_status status = bs_h5_check_range(h5, address, count, what, err);
    if (!status && h5->meter) status = spend(h5->meter, count, err);
    if (status || !count) return status;
    status = bs_file_read_all_at(h5->file, out, count, bs_h5_offset(h5, address), err);
    bs_h5_count_bytes(h5, count, 0);
    if (status)
        bs_error_prefix(err, "%s", what);
    else if (h5->image)
        patch(h5->image, address, out, count);
    return status;
}

basalt_status bs_h5_load(struct bs_h5_file *h5, uint64_t address, uint64_t count, const char *what,
    uint8_t **out_bytes, basalt_error *err)
{
    *out_bytes = NULL;
    basalt_status status = bs_h5_check_range(h5, address, count, what, err);
    if (status) return status;
    uint8_t *bytes = bs_alloc((size_t)count);
    if (!bytes) return bs_fail_memory(err, (size_t)count);
    status = bs_h5_read_at(h5, address, bytes, (size_t)count, what, err);
    if (status)
        bs_free(bytes);
    else
        *out_bytes = bytes;
    return status;
}

struct bs_cursor bs_h5_cursor(
    const struct bs_h5_file *h5, const void *bytes, size_t count, uint64_t address)
{
    return bs_cursor_make(bytes, count, bs_h5_offset(h5, address));
}

uint64_t bs_h5_cursor_address(struct bs_cursor *cursor, size_t width_bytes)
{
    const uint64_t value = bs_cursor_uint(cursor, width_bytes);
    if (width_bytes < 8 && value == ((uint64_t)1 << (8 * width_bytes)) - 1) return BS_H5_UNDEFINED;
    return value;
}

uint64_t bs_h5_address(const struct bs_h5_file *h5, struct bs_cursor *cursor)
{
    return bs_h5_cursor_address(cursor, h5->superblock.offset_bytes);
}

uint64_t bs_h5_length(const struct bs_h5_file *h5, struct bs_cursor *cursor)
{
    return bs_h5_cursor_address(cursor, h5->superblock.length_bytes);
}

basalt_status bs_h5_expect(
    struct bs_cursor *cursor, const char signature[4], const char *what, basalt_error *err)
{
    const uint64_t at = bs_cursor_offset(cursor);
    const uint8_t *bytes = bs_cursor_bytes(cursor, 4);

    if (bytes && !memcmp(bytes, signature, 4)) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, at,
        "there is no %s at offset %" PRIu64 ": its signature %.4s is missing", what, at, signature);
}

basalt_status bs_h5_check_sum(const struct bs_h5_file *h5, const void *bytes, size_t count,
    uint64_t address, const char *what, basalt_error *err)
{
    if (count >= 4 &&
        bs_lookup3_is(bytes, count - 4, bs_load_u32((const uint8_t *)bytes + count - 4)))
        return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, address),
        "the checksum of %s at %" PRIu64 " does not match", what, address);
}
