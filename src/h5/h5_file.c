/* h5_file.c - opening: where the superblock is, what the file is if there is none, what it needs. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define SUPERBLOCK_TRIES_MAX 101 /* the first, and 100 that a writer may cause */
#define RETRY_NS 1000000u
#define SUPERBLOCK_READ_BYTES 256 /* version 1 with 8-byte offsets takes 100 */
#define VERSION_AT 8              /* in a superblock; from version 2 on there is a checksum */
#define FIRST_USER_BLOCK_BYTES 512
#define DRIVER_ID_BYTES 8
#define DRIVER_HEAD_BYTES 8 /* of its information: version, size */

/* ---- what a file is that has no superblock ---------------------------------------------------- */

static const struct {
    const char *bytes;
    size_t count, at;
    const char *what;
} known_files[] = {
    {"\x1f\x8b", 2, 0, "gzip data"},
    {"PK\x03\x04", 4, 0, "a zip archive"},
    {"\x28\xb5\x2f\xfd", 4, 0, "zstd data"},
    {"BZh", 3, 0, "bzip2 data"},
    {"\xfd"
     "7zXZ",
        5, 0, "xz data"},
    {"\x89PNG", 4, 0, "a PNG picture"},
    {"\xff\xd8\xff", 3, 0, "a JPEG picture"},
    {"II*\0", 4, 0, "a TIFF picture"},
    {"MM\0*", 4, 0, "a TIFF picture"},
    {"%PDF", 4, 0, "a PDF document"},
    {"CDF\x01", 4, 0, "a classic netCDF file (version 3)"},
    {"CDF\x02", 4, 0, "a classic netCDF file (64-bit offsets)"},
    {"CDF\x05", 4, 0, "a classic netCDF file (64-bit data)"},
    {"\x0e\x03\x13\x01", 4, 0, "an HDF4 file"},
    {"PAR1", 4, 0, "a Parquet file"},
    {"ARROW1", 6, 0, "an Arrow IPC file"},
    {"\x93NUMPY", 6, 0, "a NumPy array file"},
    {"SQLite format 3", 15, 0, "an SQLite database"},
    {"\x7f"
     "ELF",
        4, 0, "an ELF program"},
    {"MATLAB 5.0 MAT-file", 19, 0, "a MATLAB 5 file"},
    {"SIMPLE  =", 9, 0, "a FITS file"},
    {"version https://git-lfs", 23, 0, "a Git LFS pointer: the file itself was not downloaded"},
    {"<!DOCTYPE html", 14, 0, "an HTML page"},
    {"<html", 5, 0, "an HTML page"},
    {"{", 1, 0, "JSON text"},
    {"ustar", 5, 257, "a tar archive"},
};

static bool looks_like_text(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] < 0x20 && !strchr("\t\n\r\f", bytes[i])) return false;
    return count > 0;
}

static basalt_status not_hdf5(struct bs_file *file, uint64_t size_bytes, basalt_error *err)
{
    uint8_t start[FIRST_USER_BLOCK_BYTES];
    const size_t count = (size_t)BS_MIN(size_bytes, sizeof start);
    const char *what = "not of a kind that is known here";
    bool zeros = true;

    if (!count) return bs_fail(err, BASALT_NOT_HDF5, 0, "the file is not HDF5: it is empty");
    basalt_status status = bs_file_read_all_at(file, start, count, 0, err);
    if (status) return status;
    for (size_t i = 0; i < count; i++) zeros &= start[i] == 0;
    if (zeros)
        what = "nothing but zero bytes where its start should be";
    else if (looks_like_text(start, count))
        what = "text";
    for (size_t i = 0; i < BS_ARRAY_LENGTH(known_files); i++) {
        if (known_files[i].at + known_files[i].count > count) continue;
        if (memcmp(start + known_files[i].at, known_files[i].bytes, known_files[i].count) != 0)
            continue;
        what = known_files[i].what;
        break;
    }
    if (count >= 4 && !memcmp(start + 1, "HDF", 3))
        what = "an HDF5 file that was changed on its way, as by a transfer in text mode";
    return bs_fail(err, BASALT_NOT_HDF5, 0, "the file is not HDF5: it is %s", what);
}

/* ---- opening ---------------------------------------------------------------------------------- */

static basalt_status find_superblock(
    struct bs_file *file, uint64_t size_bytes, uint64_t *out_at, basalt_error *err)
{
    uint8_t bytes[sizeof bs_h5_signature];
    uint64_t at = 0;

    *out_at = 0;
    while (at <= size_bytes && sizeof bytes <= size_bytes - at) {
        basalt_status status = bs_file_read_all_at(file, bytes, sizeof bytes, at, err);
        if (status) return status;
        if (!memcmp(bytes, bs_h5_signature, sizeof bytes)) {
            *out_at = at;
            return BASALT_OK;
        }
        if (at > UINT64_MAX / 4) break;
        at = at ? at * 2 : FIRST_USER_BLOCK_BYTES;
    }
    return not_hdf5(file, size_bytes, err);
}

static basalt_status read_superblock(
    struct bs_file *file, uint64_t at, struct bs_h5_superblock *out_superblock, basalt_error *err)
{
    uint8_t bytes[SUPERBLOCK_READ_BYTES];
    uint64_t size_bytes = 0;
    basalt_status status = BASALT_OK;

    for (unsigned tried = 0; tried < SUPERBLOCK_TRIES_MAX; tried++) {
        if (tried) bs_sleep_ns(RETRY_NS);
        status = bs_file_size(file, &size_bytes, err);
        if (status) return status;
        const size_t count = size_bytes > at ? (size_t)BS_MIN(size_bytes - at, sizeof bytes) : 0;
        status = bs_file_read_all_at(file, bytes, count, at, err);
        if (!status)
            status =
                bs_h5_superblock_decode_at(bs_cursor_make(bytes, count, at), out_superblock, err);
        /* Only a sum that differs can be a writer's half-done write. */
        if (status != BASALT_CORRUPT || count <= VERSION_AT || bytes[VERSION_AT] < 2) break;
    }
    return status;
}

/* A file that got (or lost) a user block after it was written is read where it now begins. */
static void move_base(struct bs_h5_superblock *superblock, uint64_t at)
{
    superblock->end_of_file = superblock->end_of_file - superblock->base + at;
    superblock->base = at;
}

static basalt_status read_k_values(
    struct bs_h5_file *h5, const struct bs_h5_message *message, basalt_error *err)
{
    struct bs_cursor cursor = bs_h5_message_cursor(h5, message);
    struct bs_h5_superblock *superblock = &h5->superblock;

    const uint8_t version = bs_cursor_u8(&cursor);
    superblock->chunk_k = bs_cursor_u16(&cursor);
    superblock->group_internal_k = bs_cursor_u16(&cursor);
    superblock->group_leaf_k = bs_cursor_u16(&cursor);
    basalt_status status = bs_cursor_check(&cursor, "the B-tree K message", err);
    if (status) return status;
    if (version || !superblock->chunk_k || !superblock->group_internal_k ||
        !superblock->group_leaf_k)
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(&cursor),
            "the B-tree K message of the superblock extension is not valid");
    return BASALT_OK;
}

static basalt_status read_driver_message(struct bs_h5_file *h5, const struct bs_h5_message *message,
    uint64_t size_bytes, basalt_error *err)
{
    struct bs_cursor cursor = bs_h5_message_cursor(h5, message);
    struct bs_bytes info = {0};

    bs_cursor_skip(&cursor, 1); /* version */
    bs_bytes_put(&info, bs_cursor_bytes(&cursor, DRIVER_ID_BYTES), DRIVER_ID_BYTES);
    const size_t count = bs_cursor_u16(&cursor);
    const uint8_t *bytes = bs_cursor_bytes(&cursor, count);
    basalt_status status = bs_cursor_check(&cursor, "the driver message", err);
    if (!status) bs_bytes_put(&info, bytes, count);
    if (!status) status = bs_bytes_check(&info, err);
    if (!status)
        status = bs_h5_driver_open(
            h5, bs_h5_cursor(h5, info.data, info.count, message->address), size_bytes, err);
    bs_bytes_free(&info);
    return status;
}

static basalt_status read_extension_message(struct bs_h5_file *h5,
    const struct bs_h5_message *message, uint64_t size_bytes, basalt_error *err)
{
    struct bs_cursor cursor = bs_h5_message_cursor(h5, message);

    switch (message->type) {
    case BS_H5_MESSAGE_K_VALUES: return read_k_values(h5, message, err);
    case BS_H5_MESSAGE_DRIVER: return read_driver_message(h5, message, size_bytes, err);
    case BS_H5_MESSAGE_FREE_SPACE: {
        const uint8_t version = bs_cursor_u8(&cursor);
        const uint8_t strategy = bs_cursor_u8(&cursor);
        /* Version 1 says "persistent" by itself; in version 0 it is a strategy. */
        h5->free_space = version ? bs_cursor_u8(&cursor) != 0 : strategy == 1;
        return bs_cursor_check(&cursor, "the file space message", err);
    }
    default: return BASALT_OK;
    }
}

/* What needs the bytes of the whole file, and the cache image what it overrides. */
static basalt_status read_late_messages(
    struct bs_h5_file *h5, const struct bs_h5_header *header, basalt_error *err)
{
    const struct bs_h5_message *image = bs_h5_header_find(header, BS_H5_MESSAGE_CACHE_IMAGE);
    const struct bs_h5_message *shared = bs_h5_header_find(header, BS_H5_MESSAGE_SHARED_TABLE);
    basalt_status status = image ? bs_h5_cache_image_open(h5, image, err) : BASALT_OK;

    return status || !shared ? status : bs_h5_shared_open(h5, shared, err);
}

static basalt_status read_old_driver(struct bs_h5_file *h5, uint64_t size_bytes, basalt_error *err)
{
    uint8_t head[DRIVER_HEAD_BYTES];
    uint8_t *bytes = NULL;
    const uint64_t at = h5->superblock.driver;

    if (at == BS_H5_UNDEFINED) return BASALT_OK;
    basalt_status status = bs_h5_read_at(h5, at, head, sizeof head, "the driver information", err);
    if (status) return status;
    const uint64_t count = DRIVER_ID_BYTES + (uint64_t)bs_load_u32(head + 4);
    status = bs_h5_load(h5, at + DRIVER_HEAD_BYTES, count, "the driver information", &bytes, err);
    if (!status)
        status = bs_h5_driver_open(
            h5, bs_h5_cursor(h5, bytes, (size_t)count, at + DRIVER_HEAD_BYTES), size_bytes, err);
    bs_free(bytes);
    return status;
}

/* The extension of a file in parts may lie in another one, though it alone says that there are any; and
 * before version 1.8 families said nothing at all. */
static basalt_status guess_parts(struct bs_h5_file *h5, uint64_t size_bytes, basalt_error *err)
{
    const uint64_t at = h5->superblock.extension;
    const bool is_old = !h5->superblock.version && at == BS_H5_UNDEFINED;

    if (h5->parts || (!is_old && (at == BS_H5_UNDEFINED || bs_h5_room_at(h5, at))))
        return BASALT_OK;
    basalt_status status = is_old ? BASALT_OK : bs_h5_multi_guess(h5, err);
    if (status || h5->parts || size_bytes >= h5->superblock.end_of_file) return status;
    return bs_h5_family_guess(h5, size_bytes, err);
}

static basalt_status read_extension(struct bs_h5_file *h5, uint64_t size_bytes, basalt_error *err)
{
    struct bs_h5_header *header = NULL;

    basalt_status status = guess_parts(h5, size_bytes, err);
    if (status || h5->superblock.extension == BS_H5_UNDEFINED) return status;
    status = bs_h5_header_load(h5, h5->superblock.extension, &header, err);
    for (size_t i = 0; !status && i < header->message_count; i++)
        status = read_extension_message(h5, &header->messages[i], size_bytes, err);
    if (!status && !h5->parts && size_bytes < h5->superblock.end_of_file)
        status = BASALT_CORRUPT; /* which the caller says */
    if (!status) status = read_late_messages(h5, header, err);
    bs_h5_header_free(header);
    return status;
}

static basalt_status read_what_it_needs(
    struct bs_h5_file *h5, uint64_t size_bytes, basalt_error *err)
{
    const uint64_t end = h5->superblock.end_of_file;

    basalt_status status = read_old_driver(h5, size_bytes, err);
    if (!status) status = read_extension(h5, size_bytes, err);
    if ((!status || status == BASALT_CORRUPT) && !h5->parts && size_bytes < end)
        return bs_fail(err, BASALT_CORRUPT, size_bytes,
            "the file is truncated: it has %" PRIu64 " bytes, its superblock says %" PRIu64,
            size_bytes, end);
    return status ? status : bs_h5_check_range(h5, h5->superblock.root, 1, "the root group", err);
}

static basalt_status open_with(struct bs_file *file, const struct bs_h5_superblock *superblock,
    enum bs_h5_follow follow, struct bs_h5_file *first, struct bs_h5_file **out_h5,
    basalt_error *err)
{
    uint64_t size_bytes = 0;
    struct bs_h5_file *h5 = NULL;

    basalt_status status = bs_file_size(file, &size_bytes, err);
    if (status) return status;
    h5 = bs_alloc_zeroed(1, sizeof *h5);
    if (!h5) return bs_fail_memory(err, sizeof *h5);
    bs_mutex_init(&h5->others_mutex);
    h5->file = file;
    h5->superblock = *superblock;
    h5->follow = follow;
    h5->first = first ? first : h5;
    h5->filters = h5->first->filters;
    size_bytes = BS_MAX(size_bytes, superblock->base);
    h5->bytes = BS_MIN(superblock->end_of_file, size_bytes) - superblock->base;
    status = read_what_it_needs(h5, size_bytes, err);
    if (status)
        bs_h5_file_close(h5);
    else
        *out_h5 = h5;
    return status;
}

basalt_status bs_h5_file_open_led(struct bs_file *file, enum bs_h5_follow follow,
    struct bs_h5_file *first, struct bs_h5_file **out_h5, basalt_error *err)
{
    struct bs_h5_superblock superblock;
    uint64_t size_bytes = 0, at = 0;

    *out_h5 = NULL;
    basalt_status status = bs_file_size(file, &size_bytes, err);
    if (!status) status = find_superblock(file, size_bytes, &at, err);
    if (!status) status = read_superblock(file, at, &superblock, err);
    if (status) return status;
    move_base(&superblock, at);
    return open_with(file, &superblock, follow, first, out_h5, err);
}

basalt_status bs_h5_file_open_with(
    struct bs_file *file, enum bs_h5_follow follow, struct bs_h5_file **out_h5, basalt_error *err)
{
    return bs_h5_file_open_led(file, follow, NULL, out_h5, err);
}

basalt_status bs_h5_file_open(struct bs_file *file, struct bs_h5_file **out_h5, basalt_error *err)
{
    return bs_h5_file_open_led(file, BS_H5_FOLLOW_BESIDE, NULL, out_h5, err);
}

basalt_status bs_h5_file_open_at(struct bs_file *file,
    const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES], struct bs_h5_file **out_h5, basalt_error *err)
{
    struct bs_h5_superblock decoded;

    *out_h5 = NULL;
    basalt_status status =
        bs_h5_superblock_decode(superblock, BS_H5_SUPERBLOCK_BYTES, &decoded, err);
    return status ? status : open_with(file, &decoded, BS_H5_FOLLOW_BESIDE, NULL, out_h5, err);
}

void bs_h5_file_close(struct bs_h5_file *h5)
{
    if (!h5) return;
    bs_h5_others_free(h5);
    bs_h5_shared_free(h5->shared);
    bs_h5_cache_image_free(h5->image);
    bs_file_close(h5->parts);
    bs_mutex_destroy(&h5->others_mutex);
    bs_free(h5);
}

void bs_h5_file_set_filters(struct bs_h5_file *h5, const struct bs_filter_registry *filters)
{
    h5->filters = filters;
}

void bs_h5_file_set_chunk_memory(struct bs_h5_file *h5, uint64_t bytes)
{
    h5->chunk_memory = bytes;
}

uint64_t bs_h5_file_chunk_memory(const struct bs_h5_file *h5)
{
    return BS_MIN(BS_MAX(BS_H5_CHUNK_MEMORY, h5->first->chunk_memory), UINT64_MAX / 2);
}

const char *bs_h5_file_warning(const struct bs_h5_file *h5)
{
    if (h5->superblock.version < 3 || !h5->superblock.flags) return NULL;
    return "the file is marked as open for writing: a program writes it now, or ended without closing "
           "it, and what it had not written yet is missing";
}

uint64_t bs_h5_file_bytes(const struct bs_h5_file *h5)
{
    return h5->bytes;
}

const struct bs_h5_superblock *bs_h5_file_superblock(const struct bs_h5_file *h5)
{
    return &h5->superblock;
}
