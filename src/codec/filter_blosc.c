/* filter_blosc.c - PyTables' filter 32001: one buffer of Blosc 1, whatever codec is inside.
 *
 * PARAMETERS: two versions, bytes of an element, bytes of a chunk, level, shuffle (0 none, 1 bytes, 2
 * bits), codec (0 blosclz, 1 lz4, 2 lz4hc, 3 snappy, 4 zlib, 5 zstd). Reading needs none of them. */
#include "codec/codec_internal.h"

#include <blosc.h>

#define LEVEL_DEFAULT 5u

enum { ELEMENT_BYTES = 2, LEVEL = 4, SHUFFLE = 5, CODEC = 6 };

static basalt_status blosc_decode(struct bs_filter_job *job, basalt_error *err)
{
    size_t bytes = 0;
    if (job->input_bytes < BLOSC_MIN_HEADER_LENGTH ||
        blosc_cbuffer_validate(job->input, job->input_bytes, &bytes) < 0) {
        return bs_filter_damaged(job, err);
    }
    if (bytes > job->capacity) return bs_filter_overflow(job, err);
    if (bytes == 0) return BASALT_OK;
    const int made = blosc_decompress_ctx(job->input, job->out, bytes, 1);
    if (made < 0 || (size_t)made != bytes) return bs_filter_damaged(job, err);
    job->out_bytes = bytes;
    return BASALT_OK;
}

static basalt_status blosc_encode(struct bs_filter_job *job, basalt_error *err)
{
    const struct bs_filter *filter = job->filter;
    const uint32_t element = bs_filter_parameter(filter, ELEMENT_BYTES, 1);
    const uint32_t level = bs_filter_parameter(filter, LEVEL, LEVEL_DEFAULT);
    const uint32_t shuffle = bs_filter_parameter(filter, SHUFFLE, BLOSC_SHUFFLE);
    const uint32_t codec = bs_filter_parameter(filter, CODEC, BLOSC_BLOSCLZ);
    const char *name = NULL;
    if (level > 9 || shuffle > BLOSC_BITSHUFFLE || codec > BLOSC_ZSTD ||
        blosc_compcode_to_compname((int)codec, &name) < 0) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "filter blosc cannot have level %u, shuffle %u and codec %u", (unsigned)level,
            (unsigned)shuffle, (unsigned)codec);
    }
    if (job->input_bytes > BLOSC_MAX_BUFFERSIZE) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "filter blosc takes chunks below 2 GiB, not %zu bytes", job->input_bytes);
    }
    const int made = blosc_compress_ctx((int)level, (int)shuffle,
        element > 0 && element <= BLOSC_MAX_TYPESIZE ? element : 1, job->input_bytes, job->input,
        job->out, job->capacity, name, 0, 1);
    if (made < 0) return bs_fail_memory(err, job->input_bytes);
    job->out_bytes = (size_t)made;
    return BASALT_OK;
}

static size_t blosc_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + BLOSC_MAX_OVERHEAD;
}

const struct bs_filter_kind bs_filter_blosc = {
    .id = BS_FILTER_BLOSC,
    .work_times = 3,
    .name = "blosc",
    .bound = blosc_bound,
    .decode = blosc_decode,
    .encode = blosc_encode,
};
