/* filter_lz4.c - filter 32004: blocks of LZ4. Parameter: bytes of a block before coding.
 *
 * A CHUNK, big-endian
 *    0  u64  bytes before coding
 *    8  u32  bytes of a block before coding; the last one may be shorter
 *   12       of each block: u32 bytes stored, and those; as many as before coding: not coded */
#include "codec/codec_internal.h"

#include <lz4.h>

#define HEADER_BYTES ((size_t)12)
#define BLOCK_BYTES_DEFAULT ((size_t)1 << 30)

static size_t block_bytes(const struct bs_filter *filter)
{
    const size_t asked = bs_filter_parameter(filter, 0, 0);
    return asked > 0 && asked <= LZ4_MAX_INPUT_SIZE ? asked : BLOCK_BYTES_DEFAULT;
}

static bool decode_block(struct bs_cursor *from, uint8_t *out, size_t bytes)
{
    const uint8_t *size = bs_cursor_bytes(from, 4);
    const size_t stored_bytes = size ? bs_load_u32_big(size) : 0;
    const uint8_t *stored = bs_cursor_bytes(from, stored_bytes);
    if (!size || !stored) return false;
    if (stored_bytes == bytes) {
        memcpy(out, stored, bytes);
        return true;
    }
    return stored_bytes <= LZ4_MAX_INPUT_SIZE && bytes <= LZ4_MAX_INPUT_SIZE &&
        LZ4_decompress_safe((const char *)stored, (char *)out, (int)stored_bytes, (int)bytes) ==
        (int)bytes;
}

static basalt_status lz4_decode(struct bs_filter_job *job, basalt_error *err)
{
    struct bs_cursor from = bs_cursor_make(job->input, job->input_bytes, BASALT_NO_OFFSET);
    const uint8_t *header = bs_cursor_bytes(&from, HEADER_BYTES);
    if (!header) return bs_filter_damaged(job, err);
    const uint64_t bytes = bs_load_u64_big(header);
    const size_t block = bs_load_u32_big(header + 8);
    if (bytes > job->capacity) return bs_filter_overflow(job, err);
    if (block == 0) return bs_filter_damaged(job, err);
    for (size_t at = 0; at < bytes; at += block) {
        if (!decode_block(&from, job->out + at, BS_MIN(block, (size_t)bytes - at))) {
            return bs_filter_damaged(job, err);
        }
    }
    job->out_bytes = (size_t)bytes;
    return BASALT_OK;
}

static basalt_status lz4_encode(struct bs_filter_job *job, basalt_error *err)
{
    const size_t block = BS_MIN(block_bytes(job->filter), job->input_bytes);
    size_t made = HEADER_BYTES;
    (void)err;
    if (job->capacity < HEADER_BYTES || block == 0) return BASALT_OK;
    bs_store_u64_big(job->out, job->input_bytes);
    bs_store_u32_big(job->out + 8, (uint32_t)block);
    for (size_t at = 0; at < job->input_bytes; at += block) {
        const size_t bytes = BS_MIN(block, job->input_bytes - at);
        if (job->capacity - made < 4) return BASALT_OK;
        const size_t room = BS_MIN(job->capacity - made - 4, bytes - 1);
        size_t stored = (size_t)LZ4_compress_default(
            (const char *)job->input + at, (char *)job->out + made + 4, (int)bytes, (int)room);
        if (stored == 0) {
            if (job->capacity - made - 4 < bytes) return BASALT_OK;
            memcpy(job->out + made + 4, job->input + at, bytes);
            stored = bytes;
        }
        bs_store_u32_big(job->out + made, (uint32_t)stored);
        made += 4 + stored;
    }
    job->out_bytes = made;
    return BASALT_OK;
}

static size_t lz4_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    return raw_bytes + HEADER_BYTES + 4 * (raw_bytes / block_bytes(filter) + 1);
}

const struct bs_filter_kind bs_filter_lz4 = {
    .id = BS_FILTER_LZ4,
    .name = "lz4",
    .bound = lz4_bound,
    .decode = lz4_decode,
    .encode = lz4_encode,
};
