/* h5_cache_image.c - the metadata cache image (FF II.A, message 0x18; III.K): what a writer had in its
 * cache when it closed the file, written as one block. Its entries override the bytes of the file at
 * their addresses, which may be old.
 *
 * IMAGE  "MDCI", u8 version, u8 flags, length, u32 entries, the entries, checksum
 * ENTRY  u8 type, flags, ring, age; u16 children, dirty children, parents; i32 rank; address, length,
 *        an address for each parent, the bytes */
#include "h5/h5_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define ENTRY_FIXED_BYTES 14 /* up to the address */
#define IMAGE_NAME "the metadata cache image"

void bs_h5_cache_image_free(struct bs_h5_cache_image *image)
{
    if (!image) return;
    bs_free(image->data);
    bs_free(image->entries);
    bs_free(image);
}

static basalt_status bad_image(
    const struct bs_h5_file *h5, uint64_t address, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, address),
        "the metadata cache image at %" PRIu64 " %s", address, what);
}

static int compare_entries(const void *a, const void *b)
{
    const struct bs_h5_image_entry *left = a, *right = b;
    return (left->address > right->address) - (left->address < right->address);
}

static basalt_status decode_entry(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_h5_image_entry *entry, basalt_error *err)
{
    bs_cursor_skip(cursor, 8);
    const uint16_t parents = bs_cursor_u16(cursor);
    bs_cursor_skip(cursor, ENTRY_FIXED_BYTES - 10);
    entry->address = bs_h5_address(h5, cursor);
    entry->bytes = bs_h5_length(h5, cursor);
    bs_cursor_skip(cursor, (size_t)parents * h5->superblock.offset_bytes);
    if (entry->bytes > bs_cursor_left(cursor)) cursor->failed = true;
    entry->data = bs_cursor_bytes(cursor, cursor->failed ? 0 : (size_t)entry->bytes);
    basalt_status status = bs_cursor_check(cursor, IMAGE_NAME, err);
    if (status) return status;
    return bs_h5_check_range(h5, entry->address, entry->bytes, "a cached piece of metadata", err);
}

static basalt_status decode_entries(
    struct bs_h5_file *h5, struct bs_h5_cache_image *image, basalt_error *err)
{
    struct bs_cursor cursor =
        bs_h5_cursor(h5, image->data, (size_t)image->bytes - 4, image->address);
    const size_t fixed =
        ENTRY_FIXED_BYTES + (size_t)h5->superblock.offset_bytes + h5->superblock.length_bytes;

    basalt_status status = bs_h5_expect(&cursor, "MDCI", "metadata cache image", err);
    if (status) return status;
    const uint8_t version = bs_cursor_u8(&cursor);
    bs_cursor_skip(&cursor, 1 + (size_t)h5->superblock.length_bytes);
    const uint32_t count = bs_cursor_u32(&cursor);
    if (version) return bad_image(h5, image->address, "has an unknown version", err);
    if (cursor.failed || count > bs_cursor_left(&cursor) / fixed)
        return bad_image(h5, image->address, "claims more entries than it holds", err);
    if (!count) return BASALT_OK;
    image->entries = bs_alloc_zeroed(count, sizeof *image->entries);
    if (!image->entries) return bs_fail_memory(err, count * sizeof *image->entries);
    image->count = count;
    for (size_t i = 0; !status && i < count; i++)
        status = decode_entry(h5, &cursor, &image->entries[i], err);
    if (status) return status;
    if (count) qsort(image->entries, count, sizeof *image->entries, compare_entries);
    for (size_t i = 1; i < count; i++)
        if (image->entries[i - 1].bytes > image->entries[i].address - image->entries[i - 1].address)
            return bad_image(h5, image->address, "has entries that overlap", err);
    return BASALT_OK;
}

basalt_status bs_h5_cache_image_open(
    struct bs_h5_file *h5, const struct bs_h5_message *message, basalt_error *err)
{
    struct bs_cursor cursor = bs_h5_message_cursor(h5, message);
    struct bs_h5_cache_image *image = NULL;
    basalt_status status = BASALT_OK;

    bs_cursor_skip(&cursor, 1); /* version */
    const uint64_t address = bs_h5_address(h5, &cursor);
    const uint64_t bytes = bs_h5_length(h5, &cursor);
    status = bs_cursor_check(&cursor, "the cache image message", err);
    if (status || address == BS_H5_UNDEFINED) return status;
    if (bytes < 8 || h5->image) return bad_image(h5, address, "is named wrongly", err);
    image = bs_alloc_zeroed(1, sizeof *image);
    if (!image) return bs_fail_memory(err, sizeof *image);
    image->address = address;
    image->bytes = bytes;
    BS_TRY(bs_h5_load(h5, address, bytes, IMAGE_NAME, &image->data, err));
    BS_TRY(bs_h5_check_sum(h5, image->data, (size_t)bytes, address, IMAGE_NAME, err));
    BS_TRY(decode_entries(h5, image, err));
    h5->image = image; /* from here on reads see its entries */
    image = NULL;
out:
    bs_h5_cache_image_free(image);
    return status;
}

basalt_status bs_h5_cache_image_extent(
    struct bs_h5_file *h5, bs_h5_extent_fn each, void *context, basalt_error *err)
{
    if (!h5->image) return BASALT_OK;
    const struct bs_h5_extent extent = {h5->image->address, h5->image->bytes};
    return each(context, extent, "metadata cache image", err);
}
