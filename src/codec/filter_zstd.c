/* filter_zstd.c - filter 32015: one frame of Zstandard. Parameter: level. */
#include "codec/codec_internal.h"

#include <zstd.h>

basalt_status bs_zstd_decode_block(struct bs_filter_job *job, const uint8_t *input,
    size_t input_bytes, uint8_t *out, size_t out_bytes, basalt_error *err)
{
    struct bs_codec_scratch *scratch = job->scratch;
    if (!scratch->zstd_decompressor) scratch->zstd_decompressor = ZSTD_createDCtx();
    if (!scratch->zstd_decompressor) return bs_fail_memory(err, 1u << 18);
    const size_t made =
        ZSTD_decompressDCtx(scratch->zstd_decompressor, out, out_bytes, input, input_bytes);
    if (ZSTD_isError(made) || made != out_bytes) return bs_filter_damaged(job, err);
    return BASALT_OK;
}

basalt_status bs_zstd_encode_block(struct bs_filter_job *job, const uint8_t *input,
    size_t input_bytes, uint8_t *out, size_t capacity, size_t *out_bytes, basalt_error *err)
{
    const bool own = job->filter->id == BS_FILTER_ZSTD;
    const int32_t asked = (int32_t)bs_filter_parameter(job->filter, own ? 0 : 5, 0);
    const int level = BS_MAX(BS_MIN((int)asked, ZSTD_maxCLevel()), ZSTD_minCLevel());
    struct bs_codec_scratch *scratch = job->scratch;
    *out_bytes = 0;
    if (!scratch->zstd_compressor) scratch->zstd_compressor = ZSTD_createCCtx();
    if (!scratch->zstd_compressor) return bs_fail_memory(err, 1u << 20);
    const size_t made = ZSTD_compressCCtx(scratch->zstd_compressor, out, capacity, input,
        input_bytes, level ? level : ZSTD_CLEVEL_DEFAULT);
    if (!ZSTD_isError(made)) *out_bytes = made;
    return BASALT_OK;
}

static basalt_status zstd_decode(struct bs_filter_job *job, basalt_error *err)
{
    struct bs_codec_scratch *scratch = job->scratch;
    if (!scratch->zstd_decompressor) scratch->zstd_decompressor = ZSTD_createDCtx();
    if (!scratch->zstd_decompressor) return bs_fail_memory(err, 1u << 18);
    const size_t made = ZSTD_decompressDCtx(
        scratch->zstd_decompressor, job->out, job->capacity, job->input, job->input_bytes);
    if (ZSTD_isError(made)) return bs_filter_damaged(job, err);
    job->out_bytes = made;
    return BASALT_OK;
}

static basalt_status zstd_encode(struct bs_filter_job *job, basalt_error *err)
{
    return bs_zstd_encode_block(
        job, job->input, job->input_bytes, job->out, job->capacity, &job->out_bytes, err);
}

static size_t zstd_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return ZSTD_COMPRESSBOUND(raw_bytes) + 64;
}

void bs_zstd_scratch_free(struct bs_codec_scratch *scratch)
{
    ZSTD_freeCCtx(scratch->zstd_compressor); /* both take NULL */
    ZSTD_freeDCtx(scratch->zstd_decompressor);
}

const struct bs_filter_kind bs_filter_zstd = {
    .id = BS_FILTER_ZSTD,
    .name = "zstd",
    .bound = zstd_bound,
    .decode = zstd_decode,
    .encode = zstd_encode,
};
