/* h5_header.c - object headers, versions 1 and 2, with their continuation blocks (FF IV.A.1).
 *
 * A header is a first block and continuations; in version 2 each is summed. The blocks of one header
 * never overlap, so that together they are no larger than the file: which also ends a cycle. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define PREFIX_BYTES_MAX 48 /* of version 2, with times, phase change and a size of 8 */
#define OLD_PREFIX_BYTES 16 /* version 1, padded to 8 */
#define OLD_MESSAGE_HEAD_BYTES 8
#define HEADER_BYTES_MAX ((uint64_t)256 << 20) /* all blocks */
#define MESSAGE_TYPE_MAX 0x18

#define FLAG_SHARED 0x02
#define FLAG_FAIL_IF_UNKNOWN 0x80
#define HEADER_FLAG_ORDER 0x04 /* messages carry a creation order */
#define HEADER_FLAG_PHASE 0x10
#define HEADER_FLAG_TIMES 0x20

struct loader {
    struct bs_h5_file *h5;
    struct bs_h5_header *header;
    size_t block_room, message_room;
    uint64_t bytes; /* of the blocks so far */
    uint8_t flags;  /* version 2 */
    size_t next;    /* block whose messages are parsed next */
};

void bs_h5_header_free(struct bs_h5_header *header)
{
    if (!header) return;
    for (size_t i = 0; i < header->block_count; i++) bs_free(header->blocks[i].data);
    bs_free(header->blocks);
    bs_free(header->messages);
    bs_free(header);
}

const struct bs_h5_message *bs_h5_header_find(
    const struct bs_h5_header *header, enum bs_h5_message_type type)
{
    for (size_t i = 0; i < header->message_count; i++)
        if (header->messages[i].type == (uint16_t)type) return &header->messages[i];
    return NULL;
}

struct bs_cursor bs_h5_message_cursor(
    const struct bs_h5_file *h5, const struct bs_h5_message *message)
{
    return bs_h5_cursor(h5, message->data, message->size_bytes, message->address);
}

/* ---- blocks ----------------------------------------------------------------------------------- */

static basalt_status grow(
    void **items, size_t *room, size_t count, size_t item_bytes, basalt_error *err)
{
    if (count < *room) return BASALT_OK;
    const size_t wanted = *room ? *room * 2 : 8;
    void *grown = bs_realloc(*items, wanted * item_bytes);
    if (!grown) return bs_fail_memory(err, wanted * item_bytes);
    *items = grown;
    *room = wanted;
    return BASALT_OK;
}

static basalt_status add_block(
    struct loader *loader, uint64_t address, uint64_t bytes, basalt_error *err)
{
    struct bs_h5_header *header = loader->header;
    void *blocks = header->blocks;

    basalt_status status = bs_h5_check_range(loader->h5, address, bytes, "an object header", err);
    if (status) return status;
    loader->bytes += bytes;
    if (loader->bytes > loader->h5->bytes)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(loader->h5, header->address),
            "the blocks of the object header at %" PRIu64 " are a cycle", header->address);
    if (loader->bytes > HEADER_BYTES_MAX)
        return bs_fail(err, BASALT_TOO_LARGE, bs_h5_offset(loader->h5, header->address),
            "the object header at %" PRIu64 " has over %" PRIu64 " bytes", header->address,
            HEADER_BYTES_MAX);
    status = grow(&blocks, &loader->block_room, header->block_count, sizeof *header->blocks, err);
    if (status) return status;
    header->blocks = blocks;
    struct bs_h5_block *block = &header->blocks[header->block_count];
    status = bs_h5_load(loader->h5, address, bytes, "an object header", &block->data, err);
    if (status) return status;
    block->address = address;
    block->bytes = bytes;
    header->block_count++;
    return BASALT_OK;
}

/* ---- messages --------------------------------------------------------------------------------- */

static basalt_status add_continuation(
    struct loader *loader, const struct bs_h5_message *message, basalt_error *err)
{
    struct bs_cursor cursor = bs_h5_message_cursor(loader->h5, message);
    const uint64_t address = bs_h5_address(loader->h5, &cursor);
    const uint64_t bytes = bs_h5_length(loader->h5, &cursor);

    basalt_status status = bs_cursor_check(&cursor, "a continuation message", err);
    if (status) return status;
    if (!bytes)
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(&cursor),
            "the object header at %" PRIu64 " continues in a block of no bytes",
            loader->header->address);
    return add_block(loader, address, bytes, err);
}

static basalt_status add_message(
    struct loader *loader, const struct bs_h5_message *message, basalt_error *err)
{
    struct bs_h5_header *header = loader->header;
    void *messages = header->messages;

    if (message->type == BS_H5_MESSAGE_NIL) return BASALT_OK;
    if (message->type == BS_H5_MESSAGE_CONTINUATION) return add_continuation(loader, message, err);
    if (message->type > MESSAGE_TYPE_MAX && (message->flags & FLAG_FAIL_IF_UNKNOWN))
        return bs_fail(err, BASALT_UNSUPPORTED, bs_h5_offset(loader->h5, message->address),
            "message type %u in the object header at %" PRIu64
            " is unknown, and says that it must be understood",
            message->type, header->address);
    basalt_status status = grow(
        &messages, &loader->message_room, header->message_count, sizeof *header->messages, err);
    if (status) return status;
    header->messages = messages;
    header->messages[header->message_count++] = *message;
    return BASALT_OK;
}

/* Fewer bytes than a message's head are a gap. */
static size_t message_head_bytes(const struct loader *loader)
{
    if (loader->header->version == 1) return OLD_MESSAGE_HEAD_BYTES;
    return loader->flags & HEADER_FLAG_ORDER ? 6 : 4;
}

static basalt_status parse_messages(
    struct loader *loader, struct bs_cursor cursor, uint64_t address, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    const bool old = loader->header->version == 1;
    const size_t head_bytes = message_head_bytes(loader);

    while (!status && bs_cursor_left(&cursor) >= head_bytes) {
        struct bs_h5_message message = {0};
        message.type = old ? bs_cursor_u16(&cursor) : bs_cursor_u8(&cursor);
        message.size_bytes = bs_cursor_u16(&cursor);
        message.flags = bs_cursor_u8(&cursor);
        message.shared = message.flags & FLAG_SHARED;
        bs_cursor_skip(&cursor, head_bytes - (old ? 5 : 4));
        message.address = address + (uint64_t)(cursor.at - cursor.start);
        message.data = bs_cursor_bytes(&cursor, message.size_bytes);
        status = bs_cursor_check(&cursor, "a message of an object header", err);
        if (!status) status = add_message(loader, &message, err);
    }
    return status;
}

/* Messages begin `skip` bytes into the block and end `sum_bytes` before its end. */
static basalt_status parse_block(
    struct loader *loader, const struct bs_h5_block *block, size_t skip, basalt_error *err)
{
    const size_t sum_bytes = loader->header->version == 1 ? 0 : 4;

    if (block->bytes < skip + sum_bytes)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(loader->h5, block->address),
            "a block of the object header at %" PRIu64 " is too small", loader->header->address);
    if (sum_bytes) {
        basalt_status status = bs_h5_check_sum(
            loader->h5, block->data, (size_t)block->bytes, block->address, "an object header", err);
        if (status) return status;
    }
    const uint64_t address = block->address + skip;
    return parse_messages(loader,
        bs_h5_cursor(
            loader->h5, block->data + skip, (size_t)block->bytes - skip - sum_bytes, address),
        address, err);
}

static basalt_status parse_continuations(struct loader *loader, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    const bool old = loader->header->version == 1;

    for (loader->next = 1; !status && loader->next < loader->header->block_count; loader->next++) {
        const struct bs_h5_block block = loader->header->blocks[loader->next];
        struct bs_cursor cursor =
            bs_h5_cursor(loader->h5, block.data, (size_t)block.bytes, block.address);
        if (!old) status = bs_h5_expect(&cursor, "OCHK", "header continuation", err);
        if (!status) status = parse_block(loader, &block, old ? 0 : 4, err);
    }
    return status;
}

/* ---- the first block -------------------------------------------------------------------------- */

static basalt_status load_version_1(
    struct loader *loader, struct bs_cursor cursor, basalt_error *err)
{
    struct bs_h5_header *header = loader->header;

    bs_cursor_skip(&cursor, 1 + 1 + 2); /* version, reserved, number of messages */
    header->version = 1;
    header->links = bs_cursor_u32(&cursor);
    const uint32_t bytes = bs_cursor_u32(&cursor);
    basalt_status status = bs_cursor_check(&cursor, "an object header", err);
    if (!status)
        status = add_block(loader, header->address, OLD_PREFIX_BYTES + (uint64_t)bytes, err);
    if (status) return status;
    const struct bs_h5_block block = header->blocks[0];
    return parse_block(loader, &block, OLD_PREFIX_BYTES, err);
}

static basalt_status load_version_2(
    struct loader *loader, struct bs_cursor cursor, basalt_error *err)
{
    struct bs_h5_header *header = loader->header;

    bs_cursor_skip(&cursor, 4);
    header->version = bs_cursor_u8(&cursor);
    loader->flags = bs_cursor_u8(&cursor);
    if (!cursor.failed && header->version != 2)
        return bs_fail(err, BASALT_UNSUPPORTED, cursor.file_offset,
            "the object header at %" PRIu64 " is of version %u, newer than this reader",
            header->address, header->version);
    header->links = 1; /* a message says so if there are more */
    if (loader->flags & HEADER_FLAG_TIMES) bs_cursor_skip(&cursor, 16);
    if (loader->flags & HEADER_FLAG_PHASE) bs_cursor_skip(&cursor, 4);
    const uint64_t bytes = bs_cursor_uint(&cursor, (size_t)1 << (loader->flags & 3));
    basalt_status status = bs_cursor_check(&cursor, "an object header", err);
    if (status) return status;
    const size_t prefix_bytes = (size_t)(cursor.at - cursor.start);
    if (bytes > loader->h5->bytes) /* before the sum below can overflow */
        return bs_h5_check_range(loader->h5, header->address, bytes, "an object header", err);
    status = add_block(loader, header->address, prefix_bytes + bytes + 4, err);
    if (status) return status;
    const struct bs_h5_block block = header->blocks[0];
    return parse_block(loader, &block, prefix_bytes, err);
}

static basalt_status read_link_count(struct loader *loader, basalt_error *err)
{
    const struct bs_h5_message *message =
        bs_h5_header_find(loader->header, BS_H5_MESSAGE_LINK_COUNT);

    if (!message) return BASALT_OK;
    struct bs_cursor cursor = bs_h5_message_cursor(loader->h5, message);
    bs_cursor_skip(&cursor, 1); /* version */
    loader->header->links = bs_cursor_u32(&cursor);
    return bs_cursor_check(&cursor, "a link count", err);
}

static basalt_status load(struct loader *loader, basalt_error *err)
{
    uint8_t start[PREFIX_BYTES_MAX];
    struct bs_h5_file *h5 = loader->h5;
    const uint64_t address = loader->header->address;
    const uint64_t room = bs_h5_room_at(h5, address);
    const size_t count = room ? (size_t)BS_MIN(room, sizeof start) : OLD_PREFIX_BYTES;

    basalt_status status = bs_h5_read_at(h5, address, start, count, "an object header", err);
    if (status) return status;
    struct bs_cursor cursor = bs_h5_cursor(h5, start, count, address);
    if (count >= 4 && !memcmp(start, "OHDR", 4))
        status = load_version_2(loader, cursor, err);
    else if (start[0] == 1)
        status = load_version_1(loader, cursor, err);
    else
        return bs_fail(err, BASALT_CORRUPT, cursor.file_offset,
            "there is no object header at %" PRIu64, address);
    if (!status) status = parse_continuations(loader, err);
    return status ? status : read_link_count(loader, err);
}

basalt_status bs_h5_header_load(
    struct bs_h5_file *h5, uint64_t address, struct bs_h5_header **out_header, basalt_error *err)
{
    struct loader loader = {.h5 = h5};

    *out_header = NULL;
    loader.header = bs_alloc_zeroed(1, sizeof *loader.header);
    if (!loader.header) return bs_fail_memory(err, sizeof *loader.header);
    loader.header->address = address;
    basalt_status status = load(&loader, err);
    if (status)
        bs_h5_header_free(loader.header);
    else
        *out_header = loader.header;
    return status;
}
