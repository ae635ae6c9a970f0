/* filter_bitshuffle.c - filter 32008: the bits of the elements, plane by plane, and LZ4 or zstd inside.
 *
 * PARAMETERS: two versions, bytes of an element, elements of a block (0: about 8 KiB), codec (0 none,
 * 2 lz4, 3 zstd), level of zstd.
 * A BLOCK has n elements, a multiple of 8. Bit j of byte b of element e becomes bit e % 8 of byte
 * (8 b + j) * n / 8 + e / 8. The last block has what is left, down to a multiple of 8; the elements
 * after it are kept as they are.
 * A CHUNK without a codec is its blocks end to end. With one, big-endian:
 *    0  u64  bytes before coding
 *    8  u32  bytes of a block before coding
 *   12       of each block: u32 bytes stored, and those; then the elements kept as they are
 *
 * Turning bits: eight rows of a byte's bits, 16 bytes of each as vectors, are an 8 x 8 square of bits
 * in every lane, transposed by three exchanges of halves; three weavings (see filter_shuffle.c) then
 * put the bytes of 128 elements in order. The rest is a shuffle of bytes. */
#include "codec/codec_internal.h"

#include <lz4.h>

#define HEADER_BYTES ((size_t)12)
#define BLOCK_BYTES_TARGET ((size_t)8192)
#define BLOCK_ELEMENTS_MIN ((size_t)128)

enum { ELEMENT_BYTES = 2, BLOCK_ELEMENTS = 3, CODEC = 4 };
enum { NO_CODEC = 0, LZ4 = 2, ZSTD = 3 };

/* ---- bits -------------------------------------------------------------------------------------- */

typedef uint64_t words __attribute__((vector_size(16)));

BS_ALWAYS_INLINE static inline void exchange(words *low, words *high, int shift, uint64_t mask)
{
    const words moved = ((*low >> shift) ^ *high) & mask;
    *high ^= moved;
    *low ^= moved << shift;
}

/* In every lane, bit j of row i becomes bit i of row j; so twice is nothing. */
BS_ALWAYS_INLINE static inline void transpose(words rows[8])
{
    BS_UNROLL
    for (int i = 0; i < 4; i++) exchange(&rows[i], &rows[i + 4], 4, 0x0F0F0F0F0F0F0F0Fu);
    BS_UNROLL
    for (int i = 0; i < 8; i += i % 4 == 1 ? 3 : 1) {
        exchange(&rows[i], &rows[i + 2], 2, 0x3333333333333333u);
    }
    BS_UNROLL
    for (int i = 0; i < 8; i += 2) exchange(&rows[i], &rows[i + 1], 1, 0x5555555555555555u);
}

/* The same square in one word: byte i is row i. */
static uint64_t transpose_word(uint64_t word)
{
    uint64_t moved = (word ^ word >> 7) & 0x00AA00AA00AA00AAu;
    word ^= moved ^ moved << 7;
    moved = (word ^ word >> 14) & 0x0000CCCC0000CCCCu;
    word ^= moved ^ moved << 14;
    moved = (word ^ word >> 28) & 0x00000000F0F0F0F0u;
    return word ^ moved ^ moved << 28;
}

/* Eight rows of `row_bytes` to one plane of 8 x row_bytes bytes. */
static void rows_to_plane(const uint8_t *rows, size_t row_bytes, uint8_t *plane)
{
    size_t at = 0;
    for (; at + BS_LANES <= row_bytes; at += BS_LANES) {
        words square[8];
        bs_lanes bytes[8];
        BS_UNROLL
        for (size_t i = 0; i < 8; i++) memcpy(&square[i], rows + i * row_bytes + at, BS_LANES);
        transpose(square);
        memcpy(bytes, square, sizeof bytes);
        BS_UNROLL
        for (int i = 0; i < 3; i++) bs_weave(bytes, 8);
        memcpy(plane + 8 * at, bytes, sizeof bytes);
    }
    for (; at < row_bytes; at++) {
        uint64_t word = 0;
        for (size_t i = 0; i < 8; i++) word |= (uint64_t)rows[i * row_bytes + at] << (8 * i);
        bs_store_u64(plane + 8 * at, transpose_word(word));
    }
}

static void plane_to_rows(const uint8_t *plane, size_t row_bytes, uint8_t *rows)
{
    size_t at = 0;
    for (; at + BS_LANES <= row_bytes; at += BS_LANES) {
        words square[8];
        bs_lanes bytes[8];
        memcpy(bytes, plane + 8 * at, sizeof bytes);
        BS_UNROLL
        for (int i = 0; i < 4; i++) bs_weave(bytes, 8);
        memcpy(square, bytes, sizeof square);
        transpose(square);
        BS_UNROLL
        for (size_t i = 0; i < 8; i++) memcpy(rows + i * row_bytes + at, &square[i], BS_LANES);
    }
    for (; at < row_bytes; at++) {
        const uint64_t word = transpose_word(bs_load_u64(plane + 8 * at));
        for (size_t i = 0; i < 8; i++) rows[i * row_bytes + at] = (uint8_t)(word >> (8 * i));
    }
}

/* ---- blocks ------------------------------------------------------------------------------------ */

/* How a chunk is cut. */
struct cut {
    size_t element_bytes;
    size_t block_bytes;  /* a multiple of 8 elements */
    size_t blocks_bytes; /* all blocks; the rest is kept as it is */
    uint8_t *planes;     /* memory for one block */
};

static basalt_status cut_chunk(struct bs_filter_job *job, size_t bytes, size_t block_bytes,
    struct cut *out_cut, basalt_error *err)
{
    const size_t element = job->parameters[ELEMENT_BYTES];
    out_cut->element_bytes = element;
    out_cut->block_bytes = BS_MIN(block_bytes, bytes / (8 * element) * (8 * element));
    out_cut->blocks_bytes = bytes / (8 * element) * (8 * element);
    const basalt_status status = bs_codec_reserve(&job->scratch->work, out_cut->block_bytes, err);
    out_cut->planes = job->scratch->work.bytes;
    return status;
}

static size_t block_bytes_asked(const struct bs_filter *filter)
{
    const size_t element = bs_filter_parameters(filter)[ELEMENT_BYTES];
    const size_t asked = bs_filter_parameter(filter, BLOCK_ELEMENTS, 0);
    if (asked) return asked * element;
    return BS_MAX(BLOCK_BYTES_TARGET / element / 8 * 8, BLOCK_ELEMENTS_MIN) * element;
}

/* `rows` and `out` may not overlap `planes`; they may be the same. */
static void decode_block(const struct cut *cut, const uint8_t *rows, size_t bytes, uint8_t *out)
{
    const size_t plane_bytes = bytes / cut->element_bytes;
    for (size_t at = 0; at < bytes; at += plane_bytes) {
        rows_to_plane(rows + at, plane_bytes / 8, cut->planes + at);
    }
    bs_shuffle_decode(cut->planes, bytes, cut->element_bytes, out);
}

static void encode_block(const struct cut *cut, const uint8_t *raw, size_t bytes, uint8_t *rows)
{
    const size_t plane_bytes = bytes / cut->element_bytes;
    bs_shuffle_encode(raw, bytes, cut->element_bytes, cut->planes);
    for (size_t at = 0; at < bytes; at += plane_bytes) {
        plane_to_rows(cut->planes + at, plane_bytes / 8, rows + at);
    }
}

/* ---- decoding ---------------------------------------------------------------------------------- */

static basalt_status decode_plain(struct bs_filter_job *job, basalt_error *err)
{
    const size_t bytes = job->input_bytes;
    struct cut cut;
    if (bytes > job->capacity) return bs_filter_overflow(job, err);
    const basalt_status status = cut_chunk(job, bytes, block_bytes_asked(job->filter), &cut, err);
    if (status) return status;
    for (size_t at = 0; at < cut.blocks_bytes; at += cut.block_bytes) {
        const size_t now = BS_MIN(cut.block_bytes, cut.blocks_bytes - at);
        decode_block(&cut, job->input + at, now, job->out + at);
    }
    memcpy(job->out + cut.blocks_bytes, job->input + cut.blocks_bytes, bytes - cut.blocks_bytes);
    job->out_bytes = bytes;
    return BASALT_OK;
}

/* One stored block to its rows, at the place where its elements will be. */
static basalt_status decode_stored(struct bs_filter_job *job, struct bs_cursor *from, uint8_t *rows,
    size_t bytes, basalt_error *err)
{
    const uint8_t *size = bs_cursor_bytes(from, 4);
    const size_t stored_bytes = size ? bs_load_u32_big(size) : 0;
    const uint8_t *stored = bs_cursor_bytes(from, stored_bytes);
    if (!size || !stored || stored_bytes > LZ4_MAX_INPUT_SIZE || bytes > LZ4_MAX_INPUT_SIZE) {
        return bs_filter_damaged(job, err);
    }
    if (job->parameters[CODEC] == ZSTD) {
        return bs_zstd_decode_block(job, stored, stored_bytes, rows, bytes, err);
    }
    const int made =
        LZ4_decompress_safe((const char *)stored, (char *)rows, (int)stored_bytes, (int)bytes);
    return made == (int)bytes ? BASALT_OK : bs_filter_damaged(job, err);
}

static basalt_status decode_coded(struct bs_filter_job *job, basalt_error *err)
{
    struct bs_cursor from = bs_cursor_make(job->input, job->input_bytes, BASALT_NO_OFFSET);
    const uint8_t *header = bs_cursor_bytes(&from, HEADER_BYTES);
    struct cut cut;
    if (!header) return bs_filter_damaged(job, err);
    const uint64_t bytes = bs_load_u64_big(header);
    const size_t block = bs_load_u32_big(header + 8);
    if (bytes > job->capacity) return bs_filter_overflow(job, err);
    if (block == 0 || block % (8 * (size_t)job->parameters[ELEMENT_BYTES])) {
        return bs_filter_damaged(job, err);
    }
    basalt_status status = cut_chunk(job, (size_t)bytes, block, &cut, err);
    for (size_t at = 0; !status && at < cut.blocks_bytes; at += cut.block_bytes) {
        const size_t now = BS_MIN(cut.block_bytes, cut.blocks_bytes - at);
        status = decode_stored(job, &from, job->out + at, now, err);
        if (!status) decode_block(&cut, job->out + at, now, job->out + at);
    }
    if (status) return status;
    const size_t kept_bytes = (size_t)bytes - cut.blocks_bytes;
    const uint8_t *kept = bs_cursor_bytes(&from, kept_bytes);
    if (!kept) return bs_filter_damaged(job, err);
    memcpy(job->out + cut.blocks_bytes, kept, kept_bytes);
    job->out_bytes = (size_t)bytes;
    return BASALT_OK;
}

static basalt_status bitshuffle_decode(struct bs_filter_job *job, basalt_error *err)
{
    return bs_filter_parameter(job->filter, CODEC, NO_CODEC) == NO_CODEC ? decode_plain(job, err)
                                                                         : decode_coded(job, err);
}

/* ---- encoding ---------------------------------------------------------------------------------- */

static void encode_plain(struct bs_filter_job *job, const struct cut *cut)
{
    if (job->capacity < job->input_bytes) return;
    for (size_t at = 0; at < cut->blocks_bytes; at += cut->block_bytes) {
        const size_t now = BS_MIN(cut->block_bytes, cut->blocks_bytes - at);
        encode_block(cut, job->input + at, now, job->out + at);
    }
    memcpy(job->out + cut->blocks_bytes, job->input + cut->blocks_bytes,
        job->input_bytes - cut->blocks_bytes);
    job->out_bytes = job->input_bytes;
}

/* 0 bytes made: it does not fit. */
static basalt_status encode_stored(struct bs_filter_job *job, const uint8_t *rows, size_t bytes,
    uint8_t *out, size_t capacity, size_t *out_bytes, basalt_error *err)
{
    if (job->parameters[CODEC] == ZSTD) {
        return bs_zstd_encode_block(job, rows, bytes, out, capacity, out_bytes, err);
    }
    *out_bytes = (size_t)LZ4_compress_default((const char *)rows, (char *)out, (int)bytes,
        (int)BS_MIN(capacity, (size_t)LZ4_MAX_INPUT_SIZE));
    return BASALT_OK;
}

static basalt_status encode_coded(
    struct bs_filter_job *job, const struct cut *cut, uint8_t *rows, basalt_error *err)
{
    size_t made = HEADER_BYTES;
    if (job->capacity < HEADER_BYTES) return BASALT_OK;
    bs_store_u64_big(job->out, job->input_bytes);
    bs_store_u32_big(job->out + 8, (uint32_t)block_bytes_asked(job->filter));
    for (size_t at = 0; at < cut->blocks_bytes; at += cut->block_bytes) {
        const size_t now = BS_MIN(cut->block_bytes, cut->blocks_bytes - at);
        size_t stored = 0;
        if (job->capacity - made < 4) return BASALT_OK;
        encode_block(cut, job->input + at, now, rows);
        const basalt_status status = encode_stored(
            job, rows, now, job->out + made + 4, job->capacity - made - 4, &stored, err);
        if (status || stored == 0) return status;
        bs_store_u32_big(job->out + made, (uint32_t)stored);
        made += 4 + stored;
    }
    const size_t kept = job->input_bytes - cut->blocks_bytes;
    if (job->capacity - made < kept) return BASALT_OK;
    memcpy(job->out + made, job->input + cut->blocks_bytes, kept);
    job->out_bytes = made + kept;
    return BASALT_OK;
}

static basalt_status bitshuffle_encode(struct bs_filter_job *job, basalt_error *err)
{
    struct cut cut;
    if (bs_filter_parameter(job->filter, CODEC, NO_CODEC) == NO_CODEC) {
        const basalt_status status =
            cut_chunk(job, job->input_bytes, block_bytes_asked(job->filter), &cut, err);
        if (!status) encode_plain(job, &cut);
        return status;
    }
    if (block_bytes_asked(job->filter) > LZ4_MAX_INPUT_SIZE) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "filter bitshuffle has blocks of %zu bytes; at most %d are possible",
            block_bytes_asked(job->filter), LZ4_MAX_INPUT_SIZE);
    }
    basalt_status status =
        cut_chunk(job, job->input_bytes, block_bytes_asked(job->filter), &cut, err);
    if (!status) status = bs_codec_reserve(&job->scratch->work, 2 * cut.block_bytes, err);
    if (status) return status;
    cut.planes = job->scratch->work.bytes;
    return encode_coded(job, &cut, cut.planes + cut.block_bytes, err);
}

/* ---- the filter -------------------------------------------------------------------------------- */

static basalt_status bitshuffle_check(const struct bs_filter *filter, basalt_error *err)
{
    const uint32_t *p = bs_filter_parameters(filter);
    if (filter->parameter_count <= ELEMENT_BYTES || p[ELEMENT_BYTES] == 0 ||
        bs_filter_parameter(filter, BLOCK_ELEMENTS, 0) % 8) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the bitshuffle filter has parameters that cannot be");
    }
    const uint32_t codec = bs_filter_parameter(filter, CODEC, NO_CODEC);
    if (codec == NO_CODEC || codec == LZ4 || codec == ZSTD) return BASALT_OK;
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "filter bitshuffle (32008) has codec %u inside; only lz4 (2) and zstd (3) are built in",
        (unsigned)codec);
}

static size_t bitshuffle_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    const size_t blocks = raw_bytes / block_bytes_asked(filter) + 2;
    if (bs_filter_parameter(filter, CODEC, NO_CODEC) == NO_CODEC) return raw_bytes;
    return raw_bytes + raw_bytes / 128 + HEADER_BYTES + blocks * 128; /* zstd and lz4 need less */
}

const struct bs_filter_kind bs_filter_bitshuffle = {
    .id = BS_FILTER_BITSHUFFLE,
    .work_times = 2,
    .name = "bitshuffle",
    .check = bitshuffle_check,
    .bound = bitshuffle_bound,
    .decode = bitshuffle_decode,
    .encode = bitshuffle_encode,
};
