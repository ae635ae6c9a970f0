/* codec_internal.h - what a filter is made of, shared by the files of this floor. */
#ifndef BS_CODEC_INTERNAL_H
#define BS_CODEC_INTERNAL_H

#include "codec/codec.h"

/* A buffer that only grows; what is in it is lost when it does. */
struct bs_codec_buffer {
    uint8_t *bytes;
    size_t capacity;
};
BS_MUST_USE basalt_status bs_codec_reserve(
    struct bs_codec_buffer *buffer, size_t bytes, basalt_error *err);

struct bs_codec_scratch {
    const struct bs_filter_registry *registry; /* borrowed; or NULL */
    struct bs_codec_buffer buffers[2];
    struct bs_codec_buffer work; /* of one filter, while it runs */
    struct bs_codec_buffer lent;
    struct libdeflate_compressor *compressor;
    struct libdeflate_decompressor *decompressor;
    uint32_t level; /* of `compressor` */
    struct ZSTD_CCtx_s *zstd_compressor;
    struct ZSTD_DCtx_s *zstd_decompressor;
};
void bs_deflate_scratch_free(struct bs_codec_scratch *scratch);
void bs_zstd_scratch_free(struct bs_codec_scratch *scratch);

/* ---- one filter at one chunk ----------------------------------------------------------------- */

struct bs_filter_job {
    struct bs_codec_scratch *scratch;
    const struct bs_filter_kind *kind;
    const struct bs_registered_filter *registered; /* instead of a built-in one; or NULL */
    const struct bs_filter *filter;
    const uint32_t
        *parameters;      /* filter->parameter_count of them: `check` has seen enough of them */
    const uint8_t *input; /* bytes that somebody else wrote */
    size_t input_bytes;
    uint8_t *out; /* apart from `input` */
    size_t capacity;
    size_t out_bytes; /* the result; 0 when the filter is called */
};

/* A row of the table in filters.c. Functions that are NULL: nothing to check; the bound is the
 * input's size; cannot be applied. */
struct bs_filter_kind {
    uint16_t id;
    bool decodes_in_place; /* the result is the beginning of the input: `out` is NULL */
    bool keeps_size;       /* what it gives is as long as what it gets */
    uint8_t work_times;    /* memory that undoing takes for itself: so many times what it gives */
    const char *name;
    /* CORRUPT if there are too few parameters, or one that cannot be. */
    basalt_status (*check)(const struct bs_filter *filter, basalt_error *err);
    /* The most that applying it to `raw_bytes` can give, by us or by another honest writer. */
    size_t (*bound)(const struct bs_filter *filter, size_t raw_bytes);
    /* CORRUPT if the input is damaged or gives more than `capacity`. */
    basalt_status (*decode)(struct bs_filter_job *job, basalt_error *err);
    /* `out_bytes` stays 0 if the result does not fit `capacity`. */
    basalt_status (*encode)(struct bs_filter_job *job, basalt_error *err);
};

extern const struct bs_filter_kind bs_filter_deflate, bs_filter_shuffle, bs_filter_fletcher32,
    bs_filter_szip, bs_filter_nbit, bs_filter_scaleoffset, bs_filter_bzip2, bs_filter_lzf,
    bs_filter_blosc, bs_filter_lz4, bs_filter_bitshuffle, bs_filter_zstd;

/* What decoders say: CORRUPT "the NAME data (N bytes) is damaged", or "... expands to more than ...". */
basalt_status bs_filter_damaged(const struct bs_filter_job *job, basalt_error *err);
basalt_status bs_filter_overflow(const struct bs_filter_job *job, basalt_error *err);
/* A parameter that need not be there. */
uint32_t bs_filter_parameter(const struct bs_filter *filter, unsigned index, uint32_t otherwise);

/* Fills in kind, registered and parameters of `job`, for job->filter. UNSUPPORTED: nobody knows it. */
BS_MUST_USE basalt_status bs_filter_find(struct bs_filter_job *job, basalt_error *err);
size_t bs_filter_bound(const struct bs_filter_job *job, size_t raw_bytes);

/* zlib framing too. 0: not the kind of input that this is for. */
size_t bs_deflate_runs(const void *raw, size_t raw_bytes, void *out, size_t capacity);

/* Whole elements are split into byte planes; bytes left over are copied. `element_bytes` > 0. */
void bs_shuffle_encode(const uint8_t *raw, size_t count, size_t element_bytes, uint8_t *out);
void bs_shuffle_decode(const uint8_t *stored, size_t count, size_t element_bytes, uint8_t *out);

/* One block of zstd, exactly `out_bytes` (else false); and into at most `capacity` (else 0). */
BS_MUST_USE basalt_status bs_zstd_decode_block(struct bs_filter_job *job, const uint8_t *input,
    size_t input_bytes, uint8_t *out, size_t out_bytes, basalt_error *err);
BS_MUST_USE basalt_status bs_zstd_encode_block(struct bs_filter_job *job, const uint8_t *input,
    size_t input_bytes, uint8_t *out, size_t capacity, size_t *out_bytes, basalt_error *err);

static inline uint32_t bs_load_u32_big(const uint8_t *bytes)
{
    return __builtin_bswap32(bs_load_u32(bytes));
}

static inline uint64_t bs_load_u64_big(const uint8_t *bytes)
{
    return __builtin_bswap64(bs_load_u64(bytes));
}

static inline void bs_store_u32_big(uint8_t *bytes, uint32_t value)
{
    bs_store_u32(bytes, __builtin_bswap32(value));
}

static inline void bs_store_u64_big(uint8_t *bytes, uint64_t value)
{
    bs_store_u64(bytes, __builtin_bswap64(value));
}

/* ---- numbers of any width, highest bit first (filter_bits.c) ---------------------------------- */

struct bs_bits {
    const uint8_t *bytes;
    size_t count;
    uint64_t at; /* bit */
};
/* How an element of a number's type lies in memory. */
struct bs_bit_field {
    uint32_t element_bytes;
    uint32_t width,
        offset; /* of the bits that are stored: 1 <= width, width + offset <= 8 x bytes */
    bool big_endian;
};
/* Whether `field` is one that bs_bits_unpack can take. */
bool bs_bit_field_valid(const struct bs_bit_field *field);
/* `count` numbers to elements, end to end; their other bits are 0. False: there are too few bits, and
 * nothing was done. */
BS_MUST_USE bool bs_bits_unpack(
    struct bs_bits *bits, const struct bs_bit_field *field, size_t count, uint8_t *out);

/* ---- vectors of bytes ------------------------------------------------------------------------- */

#define BS_LANES ((size_t)16)
#define BS_WEAVE_MAX ((size_t)16)

typedef uint8_t bs_lanes __attribute__((vector_size(16)));

/* In front of a loop over a block whose width is a constant: only then does a block stay in registers. */
#if defined(__clang__)
#define BS_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define BS_UNROLL _Pragma("GCC unroll 16")
#else
#define BS_UNROLL
#endif

/* The bytes of the first half of `width` vectors between those of the second: turns the binary digits
 * of a byte's address in the block by one place. */
BS_ALWAYS_INLINE static inline void bs_weave(bs_lanes *block, size_t width)
{
    bs_lanes woven[BS_WEAVE_MAX];
    BS_UNROLL
    for (size_t i = 0; i < width / 2; i++) {
        const bs_lanes a = block[i], b = block[i + width / 2];
        woven[2 * i] =
            __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        woven[2 * i + 1] = __builtin_shufflevector(
            a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    BS_UNROLL
    for (size_t i = 0; i < width; i++) block[i] = woven[i];
}

#endif
