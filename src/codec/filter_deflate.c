/* filter_deflate.c - HDF5's filter 1: deflate in zlib's framing (RFC 1950), by libdeflate. */
#include "codec/codec_internal.h"

#include <libdeflate.h>

#define LEVEL_MAX 9u /* as zlib and so HDF5 count them */

/* zlib matches lazily from its level 4 on, libdeflate from 5: at 4 its chunks would be the larger. */
static int library_level(uint32_t level)
{
    return level == 4 ? 5 : (int)level;
}

/* What libdeflate promises for any input: 5 bytes a stored block of at least 5,000, the end of the
 * stream and zlib's 6 bytes. Kept here so that the bound needs no compressor. */
static size_t deflate_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + 5 * (raw_bytes / 5000 + 2) + 32;
}

static basalt_status deflate_check(const struct bs_filter *filter, basalt_error *err)
{
    if (filter->parameter_count >= 1) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the deflate filter has no level");
}

static basalt_status deflate_encode(struct bs_filter_job *job, basalt_error *err)
{
    struct bs_codec_scratch *scratch = job->scratch;
    const uint32_t level = job->parameters[0];
    if (level > LEVEL_MAX) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the deflate filter has level %u; 0 to 9 are possible", (unsigned)level);
    }
    if (level > 0) {
        job->out_bytes = bs_deflate_runs(job->input, job->input_bytes, job->out, job->capacity);
    }
    if (job->out_bytes > 0) return BASALT_OK;
    if (scratch->compressor && scratch->level != level) {
        libdeflate_free_compressor(scratch->compressor);
        scratch->compressor = NULL;
    }
    if (!scratch->compressor) {
        scratch->compressor = libdeflate_alloc_compressor(library_level(level));
        scratch->level = level;
    }
    if (!scratch->compressor) return bs_fail_memory(err, 1u << 20);
    job->out_bytes = libdeflate_zlib_compress(
        scratch->compressor, job->input, job->input_bytes, job->out, job->capacity);
    return BASALT_OK;
}

static basalt_status deflate_decode(struct bs_filter_job *job, basalt_error *err)
{
    struct bs_codec_scratch *scratch = job->scratch;
    size_t made = 0;
    if (!scratch->decompressor) scratch->decompressor = libdeflate_alloc_decompressor();
    if (!scratch->decompressor) return bs_fail_memory(err, 1u << 14);
    switch (libdeflate_zlib_decompress(
        scratch->decompressor, job->input, job->input_bytes, job->out, job->capacity, &made)) {
    case LIBDEFLATE_SUCCESS: job->out_bytes = made; return BASALT_OK;
    case LIBDEFLATE_INSUFFICIENT_SPACE: return bs_filter_overflow(job, err);
    case LIBDEFLATE_SHORT_OUTPUT:
    case LIBDEFLATE_BAD_DATA: break;
    }
    return bs_filter_damaged(job, err);
}

void bs_deflate_scratch_free(struct bs_codec_scratch *scratch)
{
    libdeflate_free_compressor(scratch->compressor); /* both take NULL */
    libdeflate_free_decompressor(scratch->decompressor);
}

const struct bs_filter_kind bs_filter_deflate = {
    .id = BS_FILTER_DEFLATE,
    .name = "deflate",
    .check = deflate_check,
    .bound = deflate_bound,
    .decode = deflate_decode,
    .encode = deflate_encode,
};
