/* codec.h - filters of chunks, bytes to bytes.   floor 3: may include base, sched
 *
 * A filter is known by the number that the HDF Group registered for it. Each is a pure function
 * of its input; any thread may call. One that is neither built in nor registered by the user is
 * UNSUPPORTED and says which it is. To build one in: a file filter_NAME.c, a row in filters.c. */
#ifndef BS_CODEC_H
#define BS_CODEC_H

#include "base/base.h"
#include "basalt/environment.h"

#define BS_FILTERS_MAX 32           /* in one pipeline (HDF5 H5Z_MAX_NFILTERS) */
#define BS_FILTER_PARAMETERS_MAX 64 /* inside a struct bs_filter */

enum bs_filter_id {
    BS_FILTER_DEFLATE = 1,
    BS_FILTER_SHUFFLE = 2,
    BS_FILTER_FLETCHER32 = 3,
    BS_FILTER_SZIP = 4,
    BS_FILTER_NBIT = 5,
    BS_FILTER_SCALEOFFSET = 6,
    BS_FILTER_BZIP2 = 307,
    BS_FILTER_LZF = 32000,
    BS_FILTER_BLOSC = 32001,
    BS_FILTER_LZ4 = 32004,
    BS_FILTER_BITSHUFFLE = 32008,
    BS_FILTER_ZSTD = 32015
};

struct bs_filter {
    uint16_t id;
    uint16_t flags; /* as stored: bit 0 set means optional */
    uint16_t parameter_count;
    union {
        uint32_t parameters[BS_FILTER_PARAMETERS_MAX]; /* deflate: level; shuffle: element bytes */
        uint32_t *long_parameters;                     /* if there are more (nbit): owned */
    };
};

struct bs_pipeline {
    uint16_t count;
    struct bs_filter filters[BS_FILTERS_MAX]; /* in the order in which writing applies them */
};

/* All of them. A filter that has more than BS_FILTER_PARAMETERS_MAX can be undone, not applied. */
const uint32_t *bs_filter_parameters(const struct bs_filter *filter);
void bs_pipeline_clear(struct bs_pipeline *pipeline); /* frees long parameters; empty afterwards */

/* "deflate", also of many that are not built in; NULL: nobody knows, "filter 4711" is the caller's. */
const char *bs_filter_name(uint16_t id);
/* UNSUPPORTED, naming the first filter that this build cannot both apply and undo. */
BS_MUST_USE basalt_status bs_pipeline_check(const struct bs_pipeline *pipeline, basalt_error *err);

/* "none", or names with their parameters: "shuffle,deflate:6,fletcher32", "bitshuffle:zstd:3",
 * "blosc:lz4:5". BAD_ARGUMENT says what there is. */
BS_MUST_USE basalt_status bs_pipeline_parse(const char *text, uint64_t element_bytes,
    uint64_t chunk_bytes, struct bs_pipeline *out_pipeline, basalt_error *err);

/* ---- filters of the user ------------------------------------------------------------------- */

#define BS_FILTERS_REGISTERED_MAX 64

/* Grows only; any thread may add, and look in it at the same time. */
struct bs_filter_registry;
BS_MUST_USE basalt_status bs_filter_registry_create(
    struct bs_filter_registry **out_registry, basalt_error *err);
void bs_filter_registry_free(struct bs_filter_registry *registry); /* NULL is fine */
/* As basalt_env_register_filter. */
BS_MUST_USE basalt_status bs_filter_registry_add(struct bs_filter_registry *registry, uint16_t id,
    const char *name, basalt_filter_fn decode, basalt_filter_fn encode, void *context,
    basalt_error *err);

/* ---- pipelines ------------------------------------------------------------------------------ */

/* Most bytes that applying the pipeline to `raw_bytes` can give. */
size_t bs_pipeline_bound(const struct bs_pipeline *pipeline, size_t raw_bytes);

/* Memory and compressor state reused from chunk to chunk; one thread at a time. */
struct bs_codec_scratch;
BS_MUST_USE basalt_status bs_codec_scratch_create(
    struct bs_codec_scratch **out_scratch, basalt_error *err);
/* One that finds the filters of `registry` too: borrowed, must outlive it; may be NULL. */
BS_MUST_USE basalt_status bs_codec_scratch_create_with(const struct bs_filter_registry *registry,
    struct bs_codec_scratch **out_scratch, basalt_error *err);
void bs_codec_scratch_free(struct bs_codec_scratch *scratch); /* NULL is fine */
/* The buffers that it holds; NULL is fine. */
size_t bs_codec_scratch_bytes(const struct bs_codec_scratch *scratch);
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
 * is not exactly `raw_bytes`, or a checksum differs; UNSUPPORTED, naming the filter, if one cannot be
 * undone. Allocates at most two buffers of 2 x raw_bytes + 64 KiB, and what a library needs for itself
 * (bzip2: 4 MB). */
BS_MUST_USE basalt_status bs_pipeline_decode(const struct bs_pipeline *pipeline, uint32_t mask,
    struct bs_codec_scratch *scratch, const void *stored, size_t stored_bytes, void *out,
    size_t raw_bytes, basalt_error *err);

/* Memory that decoding takes at most beside `out`: buffers between filters, and what the library of a
 * filter needs for itself. SIZE_MAX if a filter is not known. */
size_t bs_pipeline_work_bytes(const struct bs_pipeline *pipeline, uint32_t mask,
    struct bs_codec_scratch *scratch, size_t raw_bytes);

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
