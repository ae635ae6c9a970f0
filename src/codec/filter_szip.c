/* filter_szip.c - HDF5's filter 4: the extended Rice coding of CCSDS 121.0, by libaec.
 *
 * PARAMETERS: options, pixels of a block, bits of a pixel, pixels of a scan line.
 * A CHUNK: u32 little-endian bytes before coding, then the coded pixels. */
#include "codec/codec_internal.h"

#include <szlib.h>

#define PARAMETERS_MIN 4
#define SIZE_BYTES ((size_t)4)
#define PIXEL_BITS_MAX 24u /* of one that is coded whole; others by bytes, 4 or 8 each */

enum { OPTIONS, BLOCK_PIXELS, PIXEL_BITS, LINE_PIXELS };

static basalt_status szip_check(const struct bs_filter *filter, basalt_error *err)
{
    const uint32_t *p = bs_filter_parameters(filter);
    if (filter->parameter_count < PARAMETERS_MIN || p[BLOCK_PIXELS] < 2 || p[BLOCK_PIXELS] % 2 ||
        p[BLOCK_PIXELS] > SZ_MAX_PIXELS_PER_BLOCK || p[PIXEL_BITS] == 0 ||
        (p[PIXEL_BITS] > PIXEL_BITS_MAX && p[PIXEL_BITS] != 32 && p[PIXEL_BITS] != 64) ||
        p[LINE_PIXELS] < p[BLOCK_PIXELS] ||
        p[LINE_PIXELS] > SZ_MAX_BLOCKS_PER_SCANLINE * p[BLOCK_PIXELS]) {
        return bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the szip filter has parameters that cannot be");
    }
    return BASALT_OK;
}

static basalt_status szip_decode(struct bs_filter_job *job, basalt_error *err)
{
    const uint32_t *p = job->parameters;
    SZ_com_t how = {.options_mask = (int)p[OPTIONS],
        .bits_per_pixel = (int)p[PIXEL_BITS],
        .pixels_per_block = (int)p[BLOCK_PIXELS],
        .pixels_per_scanline = (int)p[LINE_PIXELS]};
    if (job->input_bytes < SIZE_BYTES) return bs_filter_damaged(job, err);
    const size_t wanted = bs_load_u32(job->input);
    size_t made = wanted;
    if (wanted > job->capacity) return bs_filter_overflow(job, err);
    const int result = SZ_BufftoBuffDecompress(
        job->out, &made, job->input + SIZE_BYTES, job->input_bytes - SIZE_BYTES, &how);
    if (result == SZ_MEM_ERROR) return bs_fail_memory(err, wanted);
    if (result != SZ_OK || made != wanted) return bs_filter_damaged(job, err);
    job->out_bytes = made;
    return BASALT_OK;
}

static size_t szip_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + SIZE_BYTES; /* libhdf5 leaves a chunk alone that szip would make larger */
}

const struct bs_filter_kind bs_filter_szip = {
    .id = BS_FILTER_SZIP,
    .work_times = 2,
    .name = "szip",
    .check = szip_check,
    .bound = szip_bound,
    .decode = szip_decode,
};
