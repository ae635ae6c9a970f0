/* filter_bzip2.c - PyTables' filter 307: one bzip2 stream. Parameter: size of its blocks, 1 to 9. */
#include "codec/codec_internal.h"

#include <bzlib.h>
#include <limits.h>

#define LEVEL_DEFAULT 9u

static basalt_status too_large(const struct bs_filter_job *job, basalt_error *err)
{
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "filter bzip2 takes chunks below 4 GiB, not %zu bytes", job->input_bytes);
}

/* The library reads through pointers that are not const, and writes through none of them. */
static char *unconst(const uint8_t *bytes)
{
    char *result;
    memcpy(&result, &bytes, sizeof result);
    return result;
}

static basalt_status bzip2_decode(struct bs_filter_job *job, basalt_error *err)
{
    unsigned made = (unsigned)BS_MIN(job->capacity, (size_t)UINT_MAX);
    if (job->input_bytes > UINT_MAX) return too_large(job, err);
    switch (BZ2_bzBuffToBuffDecompress(
        (char *)job->out, &made, unconst(job->input), (unsigned)job->input_bytes, 0, 0)) {
    case BZ_OK: job->out_bytes = made; return BASALT_OK;
    case BZ_MEM_ERROR: return bs_fail_memory(err, 4u << 20);
    case BZ_OUTBUFF_FULL: return bs_filter_overflow(job, err);
    default: return bs_filter_damaged(job, err);
    }
}

static basalt_status bzip2_encode(struct bs_filter_job *job, basalt_error *err)
{
    const uint32_t level = bs_filter_parameter(job->filter, 0, LEVEL_DEFAULT);
    unsigned made = (unsigned)BS_MIN(job->capacity, (size_t)UINT_MAX);
    if (level < 1 || level > 9) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "filter bzip2 has block size %u; 1 to 9 are possible", (unsigned)level);
    }
    if (job->input_bytes > UINT_MAX) return too_large(job, err);
    switch (BZ2_bzBuffToBuffCompress((char *)job->out, &made, unconst(job->input),
        (unsigned)job->input_bytes, (int)level, 0, 0)) {
    case BZ_OK: job->out_bytes = made; return BASALT_OK;
    case BZ_OUTBUFF_FULL: return BASALT_OK;
    default: return bs_fail_memory(err, 8u << 20);
    }
}

static size_t bzip2_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + raw_bytes / 100 + 600; /* as its manual says */
}

const struct bs_filter_kind bs_filter_bzip2 = {
    .id = BS_FILTER_BZIP2,
    .name = "bzip2",
    .bound = bzip2_bound,
    .decode = bzip2_decode,
    .encode = bzip2_encode,
};
