/* filter_lzf.c - h5py's filter 32000: LZF by liblzf. */
#include "codec/codec_internal.h"

#include <limits.h>
#include <lzf.h>

static basalt_status lzf_decode(struct bs_filter_job *job, basalt_error *err)
{
    if (job->input_bytes == 0 || job->input_bytes > UINT_MAX) return bs_filter_damaged(job, err);
    job->out_bytes = lzf_decompress(job->input, (unsigned)job->input_bytes, job->out,
        (unsigned)BS_MIN(job->capacity, (size_t)UINT_MAX));
    return job->out_bytes ? BASALT_OK : bs_filter_damaged(job, err);
}

static basalt_status lzf_encode(struct bs_filter_job *job, basalt_error *err)
{
    if (job->input_bytes > UINT_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "filter lzf takes chunks below 4 GiB, not %zu bytes", job->input_bytes);
    }
    if (job->input_bytes < 2) return BASALT_OK;
    job->out_bytes = lzf_compress(job->input, (unsigned)job->input_bytes, job->out,
        (unsigned)BS_MIN(job->capacity, (size_t)UINT_MAX));
    return BASALT_OK;
}

/* A literal run of 32 bytes has one byte before it. */
static size_t lzf_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + raw_bytes / 32 + 64;
}

const struct bs_filter_kind bs_filter_lzf = {
    .id = BS_FILTER_LZF,
    .name = "lzf",
    .bound = lzf_bound,
    .decode = lzf_decode,
    .encode = lzf_encode,
};
