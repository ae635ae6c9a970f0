/* codec_internal.h - the single filters, shared by pipeline.c alone. */
#ifndef BS_CODEC_INTERNAL_H
#define BS_CODEC_INTERNAL_H

#include "codec/codec.h"

/* A buffer that only grows; what is in it is lost when it does. */
struct bs_codec_buffer {
    uint8_t *bytes;
    size_t capacity;
};

struct bs_codec_scratch {
    struct bs_codec_buffer buffers[2];
    struct bs_codec_buffer lent;
    struct libdeflate_compressor *compressor;
    struct libdeflate_decompressor *decompressor;
    uint32_t level; /* of `compressor` */
};

size_t bs_deflate_bound(size_t raw_bytes);
/* *out_count is 0 if the result does not fit `capacity`. */
BS_MUST_USE basalt_status bs_deflate_encode(struct bs_codec_scratch *scratch, uint32_t level,
    const void *raw, size_t raw_bytes, void *out, size_t capacity, size_t *out_count,
    basalt_error *err);
/* CORRUPT if the stream is bad or gives more than `capacity` bytes. */
BS_MUST_USE basalt_status bs_deflate_decode(struct bs_codec_scratch *scratch, const void *stored,
    size_t stored_bytes, void *out, size_t capacity, size_t *out_count, basalt_error *err);
/* zlib framing too. 0: not the kind of input that this is for. */
size_t bs_deflate_runs(const void *raw, size_t raw_bytes, void *out, size_t capacity);
void bs_deflate_scratch_free(struct bs_codec_scratch *scratch);

/* Whole elements are split into byte planes; bytes left over are copied. `element_bytes` > 0. */
void bs_shuffle_encode(const uint8_t *raw, size_t count, size_t element_bytes, uint8_t *out);
void bs_shuffle_decode(const uint8_t *stored, size_t count, size_t element_bytes, uint8_t *out);

#endif
