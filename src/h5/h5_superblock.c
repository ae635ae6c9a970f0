/* h5_superblock.c - the superblock, versions 0 to 3 (FF II.A), as bytes and as a struct. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define SUPERBLOCK_VERSION_MAX 3
#define GROUP_LEAF_K 4
#define GROUP_INTERNAL_K 16
#define CHUNK_K 32

const uint8_t bs_h5_signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

void bs_h5_superblock_encode(
    const struct bs_h5_superblock *superblock, uint8_t out[BS_H5_SUPERBLOCK_BYTES])
{
    memcpy(out, bs_h5_signature, sizeof bs_h5_signature);
    out[8] = 2;
    out[9] = 8;  /* bytes of an offset */
    out[10] = 8; /* bytes of a length */
    out[11] = 0; /* consistency flags: never set, a writer that dies would leave them */
    bs_store_u64(out + 12, superblock->base);
    bs_store_u64(out + 20, superblock->extension);
    bs_store_u64(out + 28, superblock->end_of_file);
    bs_store_u64(out + 36, superblock->root);
    bs_store_u32(out + 44, bs_lookup3(out, 44, 0));
}

static bool width_is_read(uint8_t bytes)
{
    return bytes == 2 || bytes == 4 || bytes == 8;
}

static basalt_status check_widths(
    const struct bs_h5_superblock *superblock, uint64_t at, basalt_error *err)
{
    const uint8_t offset = superblock->offset_bytes, length = superblock->length_bytes;
    if (width_is_read(offset) && width_is_read(length)) return BASALT_OK;
    if ((offset == 16 || offset == 32 || width_is_read(offset)) &&
        (length == 16 || length == 32 || width_is_read(length)))
        return bs_fail(err, BASALT_UNSUPPORTED, at,
            "the superblock says that addresses take %u and lengths %u bytes: over 8 is not read",
            offset, length);
    return bs_fail(err, BASALT_CORRUPT, at,
        "the superblock says that addresses take %u and lengths %u bytes, which cannot be", offset,
        length);
}

static basalt_status decode_old(
    struct bs_cursor *cursor, struct bs_h5_superblock *out, basalt_error *err)
{
    const uint8_t free_space_version = bs_cursor_u8(cursor);
    const uint8_t root_version = bs_cursor_u8(cursor);
    bs_cursor_skip(cursor, 1);
    const uint8_t shared_version = bs_cursor_u8(cursor);
    out->offset_bytes = bs_cursor_u8(cursor);
    out->length_bytes = bs_cursor_u8(cursor);
    bs_cursor_skip(cursor, 1);
    out->group_leaf_k = bs_cursor_u16(cursor);
    out->group_internal_k = bs_cursor_u16(cursor);
    bs_cursor_skip(cursor, 4); /* consistency flags, unused in these versions */
    if (out->version == 1) {
        out->chunk_k = bs_cursor_u16(cursor);
        bs_cursor_skip(cursor, 2);
    }
    basalt_status status = bs_cursor_check(cursor, "the superblock", err);
    if (status) return status;
    if (free_space_version || root_version || shared_version)
        return bs_fail(err, BASALT_CORRUPT, cursor->file_offset,
            "the superblock names versions of its parts that do not exist");
    status = check_widths(out, cursor->file_offset, err);
    if (status) return status;
    if (!out->group_leaf_k || !out->group_internal_k || !out->chunk_k)
        return bs_fail(err, BASALT_CORRUPT, cursor->file_offset,
            "the superblock says that an index node has no room for any entry");

    out->base = bs_h5_cursor_address(cursor, out->offset_bytes);
    bs_cursor_skip(cursor, out->offset_bytes); /* free-space information: never stored */
    out->end_of_file = bs_h5_cursor_address(cursor, out->offset_bytes);
    out->driver = bs_h5_cursor_address(cursor, out->offset_bytes);
    bs_cursor_skip(cursor, out->length_bytes); /* name of the root: empty */
    out->root = bs_h5_cursor_address(cursor, out->offset_bytes);
    return bs_cursor_check(cursor, "the superblock", err);
}

static basalt_status decode_new(
    struct bs_cursor *cursor, struct bs_h5_superblock *out, basalt_error *err)
{
    out->offset_bytes = bs_cursor_u8(cursor);
    out->length_bytes = bs_cursor_u8(cursor);
    out->flags = bs_cursor_u8(cursor);
    basalt_status status = bs_cursor_check(cursor, "the superblock", err);
    /* The widths say where the checksum is; whatever they are, a wrong sum is told as that. */
    const size_t summed = 12 + (size_t)4 * out->offset_bytes;
    if (!status && width_is_read(out->offset_bytes)) {
        struct bs_cursor tail = *cursor;
        bs_cursor_skip(&tail, (size_t)4 * out->offset_bytes);
        const uint32_t stored = bs_cursor_u32(&tail);
        status = bs_cursor_check(&tail, "the superblock", err);
        if (!status && !bs_lookup3_is(cursor->start, summed, stored))
            status = bs_fail(err, BASALT_CORRUPT, cursor->file_offset,
                "the checksum of the superblock at %" PRIu64 " does not match",
                cursor->file_offset);
    }
    if (!status) status = check_widths(out, cursor->file_offset, err);
    if (status) return status;
    out->base = bs_h5_cursor_address(cursor, out->offset_bytes);
    out->extension = bs_h5_cursor_address(cursor, out->offset_bytes);
    out->end_of_file = bs_h5_cursor_address(cursor, out->offset_bytes);
    out->root = bs_h5_cursor_address(cursor, out->offset_bytes);
    return bs_cursor_check(cursor, "the superblock", err);
}

static basalt_status check_addresses(
    const struct bs_h5_superblock *superblock, uint64_t at, basalt_error *err)
{
    if (superblock->end_of_file == BS_H5_UNDEFINED || superblock->base == BS_H5_UNDEFINED ||
        superblock->base > superblock->end_of_file)
        return bs_fail(
            err, BASALT_CORRUPT, at, "the superblock does not say where the file begins and ends");
    /* In a file of several parts the end is that of one of them. */
    const bool in_parts =
        superblock->extension != BS_H5_UNDEFINED || superblock->driver != BS_H5_UNDEFINED;
    if (superblock->root >= superblock->end_of_file && !in_parts)
        return bs_fail(
            err, BASALT_CORRUPT, at, "the superblock puts the root group outside the file");
    return BASALT_OK;
}

basalt_status bs_h5_superblock_decode_at(
    struct bs_cursor cursor, struct bs_h5_superblock *out_superblock, basalt_error *err)
{
    struct bs_h5_superblock found = {.extension = BS_H5_UNDEFINED,
        .driver = BS_H5_UNDEFINED,
        .group_leaf_k = GROUP_LEAF_K,
        .group_internal_k = GROUP_INTERNAL_K,
        .chunk_k = CHUNK_K};
    const uint8_t *signature = bs_cursor_bytes(&cursor, sizeof bs_h5_signature);

    memset(out_superblock, 0, sizeof *out_superblock);
    if (!signature || memcmp(signature, bs_h5_signature, sizeof bs_h5_signature) != 0)
        return bs_fail(err, BASALT_NOT_HDF5, cursor.file_offset,
            "there is no HDF5 signature at %" PRIu64, cursor.file_offset);
    found.version = bs_cursor_u8(&cursor);
    if (found.version > SUPERBLOCK_VERSION_MAX)
        return bs_fail(err, BASALT_UNSUPPORTED, cursor.file_offset,
            "superblock version %u is newer than this reader, which knows 0 to %d", found.version,
            SUPERBLOCK_VERSION_MAX);
    basalt_status status =
        found.version < 2 ? decode_old(&cursor, &found, err) : decode_new(&cursor, &found, err);
    if (!status) status = check_addresses(&found, cursor.file_offset, err);
    if (!status) *out_superblock = found;
    return status;
}

basalt_status bs_h5_superblock_decode(
    const void *bytes, size_t count, struct bs_h5_superblock *out_superblock, basalt_error *err)
{
    return bs_h5_superblock_decode_at(bs_cursor_make(bytes, count, 0), out_superblock, err);
}
