/* deflate.c - HDF5's filter 1: deflate in zlib's framing (RFC 1950), by libdeflate. */
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
size_t bs_deflate_bound(size_t raw_bytes)
{
    return raw_bytes + 5 * (raw_bytes / 5000 + 2) + 32;
}

basalt_status bs_deflate_encode(struct bs_codec_scratch *scratch, uint32_t level, const void *raw,
    size_t raw_bytes, void *out, size_t capacity, size_t *out_count, basalt_error *err)
{
    *out_count = 0;
    if (level > LEVEL_MAX) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the deflate filter has level %u; 0 to 9 are possible", (unsigned)level);
    }
    if (level > 0) *out_count = bs_deflate_runs(raw, raw_bytes, out, capacity);
    if (*out_count > 0) return BASALT_OK;
    if (scratch->compressor && scratch->level != level) {
        libdeflate_free_compressor(scratch->compressor);
        scratch->compressor = NULL;
    }
    if (!scratch->compressor) {
        scratch->compressor = libdeflate_alloc_compressor(library_level(level));
        scratch->level = level;
    }
    if (!scratch->compressor) return bs_fail_memory(err, 1u << 20);
    *out_count = libdeflate_zlib_compress(scratch->compressor, raw, raw_bytes, out, capacity);
    return BASALT_OK;
}

basalt_status bs_deflate_decode(struct bs_codec_scratch *scratch, const void *stored,
    size_t stored_bytes, void *out, size_t capacity, size_t *out_count, basalt_error *err)
{
    *out_count = 0;
    if (!scratch->decompressor) scratch->decompressor = libdeflate_alloc_decompressor();
    if (!scratch->decompressor) return bs_fail_memory(err, 1u << 14);
    switch (libdeflate_zlib_decompress(
        scratch->decompressor, stored, stored_bytes, out, capacity, out_count)) {
    case LIBDEFLATE_SUCCESS: return BASALT_OK;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the deflate data expands to more than the chunk's %zu bytes", capacity);
    case LIBDEFLATE_SHORT_OUTPUT:
    case LIBDEFLATE_BAD_DATA: break;
    }
    *out_count = 0;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the deflate data (%zu bytes) is damaged",
        stored_bytes);
}

void bs_deflate_scratch_free(struct bs_codec_scratch *scratch)
{
    libdeflate_free_compressor(scratch->compressor); /* both take NULL */
    libdeflate_free_decompressor(scratch->decompressor);
}
