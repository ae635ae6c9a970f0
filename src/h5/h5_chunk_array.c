/* h5_chunk_array.c - chunk indexes that are arrays (FF VII.C, VII.D): an entry a chunk, by number.
 *
 * ENTRY            address; with filters also stored size and u32 filter mask
 * FIXED ARRAY      header FAHD, one data block FADB: entries, or a bitmap of the pages in use and then
 *                  pages of 2^page_bits entries, each summed
 * EXTENSIBLE       header EAHD, index block EAIB: the first entries, then addresses of data blocks
 *   ARRAY          EADB (entries, or pages), then of secondary blocks EASB, which hold addresses of
 *                  data blocks. Secondary block u has 2^(u/2) data blocks of 2^((u+1)/2) times the
 *                  smallest number of entries; those of the first few hang on the index block.
 *
 * A block is read only if it has entries between the first and the last of the box asked for. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define HEADER_BYTES_MAX 96
#define PAGE_BITS_MAX 32
#define LEVELS_MAX 128 /* secondary blocks of an extensible array */

struct array {
    const struct bs_h5_chunk_walk *walk;
    struct bs_h5_grid grid;
    uint64_t address;               /* of the header: every block says it again */
    size_t entry_bytes, size_bytes; /* size_bytes: of the stored size in an entry */
    size_t offset_bytes;            /* extensible: of a block's place in the array */
    uint64_t raw_bytes;
    uint64_t entry_first, entry_last; /* wanted, inclusive */
    uint64_t page_entries;
    uint64_t loaded_bytes; /* of all blocks; at most the file's */
};

static basalt_status bad_array(
    const struct array *array, uint64_t at, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(array->walk->h5, at),
        "the block at %" PRIu64 " of a chunk index %s", at, what);
}

/* ---- what both share -------------------------------------------------------------------------- */

static basalt_status array_begin(
    const struct bs_h5_chunk_walk *walk, struct array *array, basalt_error *err)
{
    size_t raw_bytes = 0;

    memset(array, 0, sizeof *array);
    array->walk = walk;
    array->address = walk->object->dataset->address;
    array->entry_last = UINT64_MAX;
    basalt_status status = bs_h5_chunk_grid(walk->object, &array->grid, err);
    if (!status) status = bs_h5_chunk_raw_bytes(walk->h5, walk->object, &raw_bytes, err);
    array->raw_bytes = raw_bytes;
    return status;
}

static void choose_entries(struct array *array)
{
    if (!bs_h5_chunk_span(array->walk->object, &array->grid, array->walk->box, &array->entry_first,
            &array->entry_last)) {
        array->entry_first = UINT64_MAX; /* none: nothing is before it */
        array->entry_last = 0;
    }
}

static basalt_status set_entry(
    struct array *array, uint8_t client, size_t entry_bytes, basalt_error *err)
{
    const size_t address_bytes = array->walk->h5->superblock.offset_bytes;
    const bool filtered = array->walk->object->dataset->pipeline.count > 0;
    const size_t fixed_bytes = address_bytes + (filtered ? 4 : 0);

    if (client != (filtered ? 1 : 0) || entry_bytes < fixed_bytes ||
        (!filtered && entry_bytes != fixed_bytes) || entry_bytes - fixed_bytes > 8 ||
        (filtered && entry_bytes == fixed_bytes))
        return bad_array(array, array->address, "has entries of another kind than its chunks", err);
    array->entry_bytes = entry_bytes;
    array->size_bytes = entry_bytes - fixed_bytes;
    choose_entries(array);
    return BASALT_OK;
}

static bool is_wanted(const struct array *array, uint64_t first, uint64_t count)
{
    if (array->walk->block) return true;
    return count && first <= array->entry_last && array->entry_first <= array->entry_last &&
        count - 1 >= array->entry_first - BS_MIN(first, array->entry_first);
}

static basalt_status give_entry(
    const struct array *array, uint64_t index, struct bs_cursor *entries, basalt_error *err)
{
    struct bs_h5_chunk chunk = {
        .address = bs_h5_address(array->walk->h5, entries), .stored_bytes = array->raw_bytes};

    if (array->size_bytes) {
        chunk.stored_bytes = bs_cursor_uint(entries, array->size_bytes);
        chunk.filter_mask = bs_cursor_u32(entries);
    }
    if (chunk.address == BS_H5_UNDEFINED || index < array->entry_first || index > array->entry_last)
        return BASALT_OK;
    if (!bs_h5_chunk_place(array->walk->object, &array->grid, index, &chunk)) return BASALT_OK;
    return bs_h5_chunk_give(array->walk, &chunk, err);
}

/* Those that are wanted; the cursor is left behind all of them. */
static basalt_status give_entries(const struct array *array, uint64_t first, uint64_t count,
    struct bs_cursor *entries, basalt_error *err)
{
    const uint64_t skip =
        array->entry_first > first ? BS_MIN(array->entry_first - first, count) : 0;
    basalt_status status = BASALT_OK;
    uint64_t i = skip;

    bs_cursor_skip(entries, (size_t)skip * array->entry_bytes);
    for (; !status && i < count && first + i <= array->entry_last; i++)
        status = give_entry(array, first + i, entries, err);
    if (!status) bs_cursor_skip(entries, (size_t)(count - i) * array->entry_bytes);
    return status ? status : bs_cursor_check(entries, "a chunk index", err);
}

/* Loads `sum_bytes` of a block that has `bytes`, checks signature, sum and owner. The cursor is left
 * behind the owner's address. */
static basalt_status load_block(struct array *array, uint64_t address, uint64_t sum_bytes,
    uint64_t bytes, const char signature[4], uint8_t **out_bytes, struct bs_cursor *out_cursor,
    basalt_error *err)
{
    struct bs_h5_file *h5 = array->walk->h5;

    *out_bytes = NULL;
    basalt_status status = bs_h5_check_range(h5, address, bytes, "a chunk index", err);
    if (status) return status;
    if (bytes > h5->bytes - array->loaded_bytes)
        return bad_array(array, address, "overlaps others", err);
    array->loaded_bytes += bytes;
    status = bs_h5_load(h5, address, sum_bytes, "a chunk index", out_bytes, err);
    if (status) return status;
    *out_cursor = bs_h5_cursor(h5, *out_bytes, (size_t)sum_bytes, address);
    status = bs_h5_expect(out_cursor, signature, "block of a chunk index", err);
    if (!status)
        status = bs_h5_check_sum(h5, *out_bytes, (size_t)sum_bytes, address, "a chunk index", err);
    if (status) return status;
    bs_cursor_skip(out_cursor, 2); /* version, client */
    if (bs_h5_address(h5, out_cursor) != array->address)
        return bad_array(array, address, "belongs to another index", err);
    return array->walk->block ? array->walk->block(array->walk->context,
                                    (struct bs_h5_extent){address, bytes}, "chunk index", err)
                              : BASALT_OK;
}

/* ---- pages ------------------------------------------------------------------------------------ */

static bool bit_is_set(const uint8_t *bits, uint64_t index)
{
    return bits[index / 8] & (0x80u >> (index % 8));
}

static basalt_status visit_page(
    struct array *array, uint64_t address, uint64_t first, uint64_t count, basalt_error *err)
{
    uint8_t *bytes = NULL;
    const uint64_t size = count * array->entry_bytes + 4;
    struct bs_h5_file *h5 = array->walk->h5;

    basalt_status status = bs_h5_load(h5, address, size, "a page of a chunk index", &bytes, err);
    if (!status)
        status = bs_h5_check_sum(h5, bytes, (size_t)size, address, "a page of a chunk index", err);
    struct bs_cursor entries = bs_h5_cursor(h5, bytes, status ? 0 : (size_t)size - 4, address);
    if (!status) status = give_entries(array, first, count, &entries, err);
    bs_free(bytes);
    return status;
}

/* Pages of `count` entries from `first` on; `bits` says from `bit` on which are in use. */
static basalt_status visit_pages(struct array *array, uint64_t address, uint64_t first,
    uint64_t count, const uint8_t *bits, uint64_t bit, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    const uint64_t page_bytes = array->page_entries * array->entry_bytes + 4;

    if (!array->walk->each) return BASALT_OK;
    for (uint64_t at = 0; !status && at < count; at += array->page_entries, bit++) {
        const uint64_t now = BS_MIN(array->page_entries, count - at);
        if (bit_is_set(bits, bit) && is_wanted(array, first + at, now))
            status = visit_page(array, address, first + at, now, err);
        address += page_bytes;
    }
    return status;
}

/* ---- fixed array ------------------------------------------------------------------------------ */

static basalt_status visit_fixed_block(
    struct array *array, uint64_t address, uint64_t count, basalt_error *err)
{
    uint8_t *bytes = NULL;
    struct bs_cursor cursor = {0};
    const bool paged = count > array->page_entries;
    const uint64_t pages =
        paged ? count / array->page_entries + (count % array->page_entries != 0) : 0;
    const uint64_t head = 6 + (uint64_t)array->walk->h5->superblock.offset_bytes + 4;
    uint64_t sum_bytes = head + (pages + 7) / 8, rest = 0;

    if (count > array->walk->h5->bytes / array->entry_bytes)
        return bad_array(array, address, "claims more entries than the file has room for", err);
    if (paged)
        rest = count * array->entry_bytes + 4 * pages;
    else
        sum_bytes += count * array->entry_bytes;
    basalt_status status =
        load_block(array, address, sum_bytes, sum_bytes + rest, "FADB", &bytes, &cursor, err);
    if (!status && paged)
        status = visit_pages(array, address + sum_bytes, 0, count, cursor.at, 0, err);
    else if (!status && array->walk->each)
        status = give_entries(array, 0, count, &cursor, err);
    bs_free(bytes);
    return status;
}

/* Reads a header of `count` bytes and checks it; the cursor is left behind the version. */
static basalt_status read_header(struct array *array, uint8_t *bytes, size_t count,
    const char signature[4], struct bs_cursor *out_cursor, basalt_error *err)
{
    struct bs_h5_file *h5 = array->walk->h5;

    assert(count <= HEADER_BYTES_MAX);
    basalt_status status = bs_h5_read_at(h5, array->address, bytes, count, "a chunk index", err);
    if (status) return status;
    *out_cursor = bs_h5_cursor(h5, bytes, count, array->address);
    status = bs_h5_expect(out_cursor, signature, "chunk index", err);
    if (!status) status = bs_h5_check_sum(h5, bytes, count, array->address, "a chunk index", err);
    if (!status && bs_cursor_u8(out_cursor))
        status = bad_array(array, array->address, "has an unknown version", err);
    if (status || !array->walk->block) return status;
    return array->walk->block(
        array->walk->context, (struct bs_h5_extent){array->address, count}, "chunk index", err);
}

basalt_status bs_h5_fixed_array_walk(const struct bs_h5_chunk_walk *walk, basalt_error *err)
{
    struct array array;
    uint8_t bytes[HEADER_BYTES_MAX];
    struct bs_cursor cursor = {0};
    const struct bs_h5_superblock *superblock = &walk->h5->superblock;

    basalt_status status = array_begin(walk, &array, err);
    if (!status)
        status = read_header(&array, bytes,
            (size_t)8 + superblock->length_bytes + superblock->offset_bytes + 4, "FAHD", &cursor,
            err);
    if (status) return status;
    const uint8_t client = bs_cursor_u8(&cursor);
    const uint8_t entry_bytes = bs_cursor_u8(&cursor);
    const uint8_t page_bits = bs_cursor_u8(&cursor);
    const uint64_t count = bs_h5_length(walk->h5, &cursor);
    const uint64_t block = bs_h5_address(walk->h5, &cursor);
    if (page_bits > PAGE_BITS_MAX)
        return bad_array(&array, array.address, "has pages of an impossible size", err);
    array.page_entries = (uint64_t)1 << page_bits;
    status = set_entry(&array, client, entry_bytes, err);
    if (status || block == BS_H5_UNDEFINED) return status;
    return visit_fixed_block(&array, block, count, err);
}

/* ---- extensible array ------------------------------------------------------------------------- */

struct extensible {
    struct array array;
    uint64_t index_entries;     /* in the index block */
    uint64_t block_entries_min; /* of the smallest data block */
    uint64_t direct_blocks;     /* data blocks that hang on the index block */
    unsigned levels, direct_levels;
};

static uint64_t level_blocks(unsigned level)
{
    return (uint64_t)1 << (level / 2);
}

static uint64_t level_entries(const struct extensible *extensible, unsigned level)
{
    return ((uint64_t)1 << ((level + 1) / 2)) * extensible->block_entries_min;
}

static basalt_status visit_data_block(struct extensible *extensible, uint64_t address,
    uint64_t first, uint64_t count, const uint8_t *bits, uint64_t bit, basalt_error *err)
{
    struct array *array = &extensible->array;
    uint8_t *bytes = NULL;
    struct bs_cursor cursor = {0};
    const bool paged = count > array->page_entries;
    const uint64_t head =
        6 + (uint64_t)array->walk->h5->superblock.offset_bytes + array->offset_bytes + 4;
    uint64_t sum_bytes = head, rest = 0;

    if (address == BS_H5_UNDEFINED || !is_wanted(array, first, count)) return BASALT_OK;
    if (count > array->walk->h5->bytes / array->entry_bytes)
        return bad_array(array, address, "claims more entries than the file has room for", err);
    if (paged && !bits) return bad_array(array, address, "has pages where none can be", err);
    if (paged)
        rest = count * array->entry_bytes + 4 * (count / array->page_entries);
    else
        sum_bytes += count * array->entry_bytes;
    basalt_status status =
        load_block(array, address, sum_bytes, sum_bytes + rest, "EADB", &bytes, &cursor, err);
    bs_cursor_skip(&cursor, array->offset_bytes);
    if (!status && paged)
        status = visit_pages(array, address + sum_bytes, first, count, bits, bit, err);
    else if (!status && array->walk->each)
        status = give_entries(array, first, count, &cursor, err);
    bs_free(bytes);
    return status;
}

static basalt_status visit_secondary(struct extensible *extensible, uint64_t address,
    unsigned level, uint64_t first, basalt_error *err)
{
    struct array *array = &extensible->array;
    uint8_t *bytes = NULL;
    struct bs_cursor cursor = {0};
    struct bs_h5_file *h5 = array->walk->h5;
    const uint64_t blocks = level_blocks(level), entries = level_entries(extensible, level);
    const uint64_t pages = entries > array->page_entries ? entries / array->page_entries : 0;
    const size_t address_bytes = h5->superblock.offset_bytes;

    if (address == BS_H5_UNDEFINED || !is_wanted(array, first, blocks * entries)) return BASALT_OK;
    if (blocks > h5->bytes / address_bytes || pages > h5->bytes)
        return bad_array(array, address, "claims more blocks than the file has room for", err);
    const uint64_t bitmap_bytes = blocks * ((pages + 7) / 8);
    const uint64_t size =
        6 + address_bytes + array->offset_bytes + bitmap_bytes + blocks * address_bytes + 4;
    basalt_status status = load_block(array, address, size, size, "EASB", &bytes, &cursor, err);
    bs_cursor_skip(&cursor, array->offset_bytes);
    const uint8_t *bits = status ? NULL : bs_cursor_bytes(&cursor, (size_t)bitmap_bytes);
    for (uint64_t i = 0; !status && i < blocks; i++)
        status = visit_data_block(extensible, bs_h5_address(h5, &cursor), first + i * entries,
            entries, bits, i * pages, err);
    bs_free(bytes);
    return status;
}

static basalt_status visit_index_block(
    struct extensible *extensible, uint64_t address, basalt_error *err)
{
    struct array *array = &extensible->array;
    uint8_t *bytes = NULL;
    struct bs_cursor cursor = {0};
    struct bs_h5_file *h5 = array->walk->h5;
    const size_t address_bytes = h5->superblock.offset_bytes;
    const uint64_t size = 6 + address_bytes + extensible->index_entries * array->entry_bytes +
        (extensible->direct_blocks + extensible->levels - extensible->direct_levels) *
            address_bytes +
        4;
    uint64_t first = extensible->index_entries;

    basalt_status status = load_block(array, address, size, size, "EAIB", &bytes, &cursor, err);
    if (!status && array->walk->each)
        status = give_entries(array, 0, extensible->index_entries, &cursor, err);
    else if (!status)
        bs_cursor_skip(&cursor, (size_t)extensible->index_entries * array->entry_bytes);
    for (unsigned level = 0; !status && level < extensible->levels; level++) {
        const uint64_t entries = level_entries(extensible, level);
        const uint64_t blocks = level_blocks(level);
        if (level >= extensible->direct_levels)
            status = visit_secondary(extensible, bs_h5_address(h5, &cursor), level, first, err);
        for (uint64_t i = 0; !status && level < extensible->direct_levels && i < blocks; i++)
            status = visit_data_block(
                extensible, bs_h5_address(h5, &cursor), first + i * entries, entries, NULL, 0, err);
        if (entries > (UINT64_MAX - first) / blocks) break; /* no dataset is that large */
        first += blocks * entries;
    }
    bs_free(bytes);
    return status;
}

static unsigned log2_of(uint64_t value)
{
    unsigned bits = 0;
    while (value >>= 1) bits++;
    return bits;
}

static bool is_power_of_2(uint64_t value)
{
    return value && !(value & (value - 1));
}

static basalt_status set_shape(
    struct extensible *extensible, struct bs_cursor *cursor, basalt_error *err)
{
    struct array *array = &extensible->array;
    const uint8_t entry_bits = bs_cursor_u8(cursor);
    extensible->index_entries = bs_cursor_u8(cursor);
    extensible->block_entries_min = bs_cursor_u8(cursor);
    const uint8_t pointers_min = bs_cursor_u8(cursor);
    const uint8_t page_bits = bs_cursor_u8(cursor);
    const unsigned smallest = log2_of(extensible->block_entries_min);

    if (!is_power_of_2(extensible->block_entries_min) || !is_power_of_2(pointers_min) ||
        pointers_min < 2 || page_bits > PAGE_BITS_MAX || entry_bits > 64 || entry_bits < smallest)
        return bad_array(array, array->address, "has blocks of impossible sizes", err);
    array->page_entries = (uint64_t)1 << page_bits;
    array->offset_bytes = ((size_t)entry_bits + 7) / 8;
    extensible->levels = 1 + entry_bits - smallest;
    extensible->direct_levels = 2 * log2_of(pointers_min);
    extensible->direct_blocks = 2 * ((uint64_t)pointers_min - 1);
    if (extensible->direct_levels > extensible->levels || extensible->levels > LEVELS_MAX)
        return bad_array(array, array->address, "has blocks of impossible sizes", err);
    return BASALT_OK;
}

basalt_status bs_h5_extensible_array_walk(const struct bs_h5_chunk_walk *walk, basalt_error *err)
{
    struct extensible extensible = {0};
    uint8_t bytes[HEADER_BYTES_MAX];
    struct bs_cursor cursor = {0};
    const struct bs_h5_superblock *superblock = &walk->h5->superblock;
    const size_t count = 12 + 6 * (size_t)superblock->length_bytes + superblock->offset_bytes + 4;

    basalt_status status = array_begin(walk, &extensible.array, err);
    if (!status) status = read_header(&extensible.array, bytes, count, "EAHD", &cursor, err);
    if (status) return status;
    const uint8_t client = bs_cursor_u8(&cursor);
    const uint8_t entry_bytes = bs_cursor_u8(&cursor);
    status = set_shape(&extensible, &cursor, err);
    if (!status) status = set_entry(&extensible.array, client, entry_bytes, err);
    if (status) return status;
    bs_cursor_skip(&cursor, 6 * (size_t)superblock->length_bytes); /* statistics */
    const uint64_t block = bs_h5_address(walk->h5, &cursor);
    return block == BS_H5_UNDEFINED ? BASALT_OK : visit_index_block(&extensible, block, err);
}
