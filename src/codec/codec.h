/* codec.h - filters of chunks, bytes to bytes.   floor 3: may include base, sched
 *
 * A filter is known by the number that the HDF Group registered for it. Each is a pure function
 * of its input; any thread may call. One that is not built in is UNSUPPORTED and says so. */
#ifndef BS_CODEC_H
#define BS_CODEC_H

#include "base/base.h"

#define BS_FILTERS_MAX 32 /* in one pipeline (HDF5 H5Z_MAX_NFILTERS) */
#define BS_FILTER_PARAMETERS_MAX 64

enum bs_filter_id {
    BS_FILTER_DEFLATE = 1,
    BS_FILTER_SHUFFLE = 2,
    BS_FILTER_FLETCHER32 = 3,
    BS_FILTER_SZIP = 4,
    BS_FILTER_NBIT = 5,
    BS_FILTER_SCALEOFFSET = 6
};

struct bs_filter {
    uint16_t id;
    uint16_t flags; /* as stored: bit 0 set means optional */
    uint16_t parameter_count;
    uint32_t parameters[BS_FILTER_PARAMETERS_MAX]; /* deflate: level; shuffle: element bytes */
};

struct bs_pipeline {
    uint16_t count;
    struct bs_filter filters[BS_FILTERS_MAX]; /* in the order in which writing applies them */
};

const char *bs_filter_name(uint16_t id); /* "deflate"; "filter 32015" style is the caller's */
/* UNSUPPORTED, naming the first filter that this build cannot undo (or apply, for writing). */
BS_MUST_USE basalt_status bs_pipeline_check(const struct bs_pipeline *pipeline, basalt_error *err);

/* Most bytes that applying the pipeline to `raw_bytes` can give. */
size_t bs_pipeline_bound(const struct bs_pipeline *pipeline, size_t raw_bytes);

/* Memory and compressor state reused from chunk to chunk; one thread at a time. */
struct bs_codec_scratch;
BS_MUST_USE basalt_status bs_codec_scratch_create(
    struct bs_codec_scratch **out_scratch, basalt_error *err);
void bs_codec_scratch_free(struct bs_codec_scratch *scratch); /* NULL is fine */
/* Lends `bytes` of memory for a chunk to be gathered in: the caller's until it asks again; encoding
 * and decoding leave it alone. */
BS_MUST_USE basalt_status bs_codec_scratch_lend(
    struct bs_codec_scratch *scratch, size_t bytes, uint8_t **out_memory, basalt_error *err);

/* Applies every filter. *out_bytes points into `scratch` (or is `raw` itself if the pipeline is
 * empty) and lives until the scratch is used again. *out_mask gets bit i set for an optional
 * filter i that was left out because it did not shrink or could not run. */
BS_MUST_USE basalt_status bs_pipeline_encode(const struct bs_pipeline *pipeline,
    struct bs_codec_scratch *scratch, const void *raw, size_t raw_bytes, const void **out_bytes,
    size_t *out_count, uint32_t *out_mask, basalt_error *err);

/* Undoes, last filter first, those whose bit in `mask` is clear, into `out`. CORRUPT if the result
 * is not exactly `raw_bytes`, or a checksum differs. Never allocates more than 2 x raw_bytes. */
BS_MUST_USE basalt_status bs_pipeline_decode(const struct bs_pipeline *pipeline, uint32_t mask,
    struct bs_codec_scratch *scratch, const void *stored, size_t stored_bytes, void *out,
    size_t raw_bytes, basalt_error *err);

/* HDF5's fletcher32 of `count` bytes, as the filter appends it (little-endian, 4 bytes). */
uint32_t bs_fletcher32(const void *bytes, size_t count);

/* The same sum over bytes that arrive in parts of any length. Zero-initialised is empty. */
struct bs_fletcher {
    uint64_t sum, sum_of_sums; /* reduced modulo 65,535; 0 only while every byte was 0 */
    uint64_t count;            /* bytes seen; while it is odd the last one is `odd` */
    uint8_t odd;
};
void bs_fletcher_update(struct bs_fletcher *state, const void *bytes, size_t count);
uint32_t bs_fletcher_value(const struct bs_fletcher *state);

#endif
