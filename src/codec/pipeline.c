/* pipeline.c - filters in a row, over two buffers that take turns. */
#include "codec/codec_internal.h"

#define CHECKSUM_BYTES 4u

const char *bs_filter_name(uint16_t id)
{
    switch (id) {
    case BS_FILTER_DEFLATE: return "deflate";
    case BS_FILTER_SHUFFLE: return "shuffle";
    case BS_FILTER_FLETCHER32: return "fletcher32";
    case BS_FILTER_SZIP: return "szip";
    case BS_FILTER_NBIT: return "nbit";
    case BS_FILTER_SCALEOFFSET: return "scaleoffset";
    case 32000: return "lzf";
    case 32001: return "blosc";
    case 32004: return "lz4";
    case 32008: return "bitshuffle";
    case 32013: return "zfp";
    case 32015: return "zstd";
    case 32017: return "sz";
    case 32026: return "blosc2";
    default: return "unknown";
    }
}

static basalt_status filter_check(const struct bs_filter *filter, basalt_error *err)
{
    switch (filter->id) {
    case BS_FILTER_FLETCHER32: return BASALT_OK;
    case BS_FILTER_DEFLATE:
        if (filter->parameter_count >= 1) return BASALT_OK;
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the deflate filter has no level");
    case BS_FILTER_SHUFFLE:
        if (filter->parameter_count >= 1 && filter->parameters[0] > 0) return BASALT_OK;
        return bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the shuffle filter has no element size");
    default:
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "filter %u (%s) is not built in: only deflate, shuffle and fletcher32 are",
            (unsigned)filter->id, bs_filter_name(filter->id));
    }
}

basalt_status bs_pipeline_check(const struct bs_pipeline *pipeline, basalt_error *err)
{
    if (pipeline->count > BS_FILTERS_MAX) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the filter pipeline has %u filters; at most %u are possible",
            (unsigned)pipeline->count, (unsigned)BS_FILTERS_MAX);
    }
    for (unsigned i = 0; i < pipeline->count; i++) {
        const basalt_status status = filter_check(&pipeline->filters[i], err);
        if (status) return status;
    }
    return BASALT_OK;
}

static size_t filter_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    if (filter->id == BS_FILTER_DEFLATE) return bs_deflate_bound(raw_bytes);
    return filter->id == BS_FILTER_FLETCHER32 ? raw_bytes + CHECKSUM_BYTES : raw_bytes;
}

size_t bs_pipeline_bound(const struct bs_pipeline *pipeline, size_t raw_bytes)
{
    size_t bound = raw_bytes;
    for (unsigned i = 0; i < pipeline->count; i++) {
        bound = filter_bound(&pipeline->filters[i], bound);
    }
    return bound;
}

/* ---- scratch ------------------------------------------------------------------------------- */

basalt_status bs_codec_scratch_create(struct bs_codec_scratch **out_scratch, basalt_error *err)
{
    *out_scratch = bs_alloc_zeroed(1, sizeof **out_scratch);
    return *out_scratch ? BASALT_OK : bs_fail_memory(err, sizeof **out_scratch);
}

void bs_codec_scratch_free(struct bs_codec_scratch *scratch)
{
    if (!scratch) return;
    bs_deflate_scratch_free(scratch);
    bs_free(scratch->buffers[0].bytes);
    bs_free(scratch->buffers[1].bytes);
    bs_free(scratch->lent.bytes);
    bs_free(scratch);
}

static basalt_status buffer_reserve(struct bs_codec_buffer *buffer, size_t bytes, basalt_error *err)
{
    if (bytes <= buffer->capacity) return BASALT_OK;
    bs_free(buffer->bytes);
    buffer->capacity = 0;
    buffer->bytes = bs_alloc(bytes);
    if (!buffer->bytes) return bs_fail_memory(err, bytes);
    buffer->capacity = bytes;
    return BASALT_OK;
}

basalt_status bs_codec_scratch_lend(
    struct bs_codec_scratch *scratch, size_t bytes, uint8_t **out_memory, basalt_error *err)
{
    const basalt_status status = buffer_reserve(&scratch->lent, bytes, err);
    *out_memory = status ? NULL : scratch->lent.bytes;
    return status;
}

/* The buffer that does not hold `at`. */
static struct bs_codec_buffer *other_buffer(struct bs_codec_scratch *scratch, const void *at)
{
    return &scratch->buffers[at && at == scratch->buffers[0].bytes];
}

/* ---- encoding ------------------------------------------------------------------------------ */

/* Applies one filter to *bytes, *count. *out_skipped: it is optional and did not shrink. */
static basalt_status filter_encode(const struct bs_filter *filter, struct bs_codec_scratch *scratch,
    const void **bytes, size_t *count, bool *out_skipped, basalt_error *err)
{
    struct bs_codec_buffer *to = other_buffer(scratch, *bytes);
    const size_t bound = filter_bound(filter, *count);
    size_t made = bound;
    basalt_status status = buffer_reserve(to, bound, err);
    *out_skipped = false;
    if (status) return status;
    switch (filter->id) {
    case BS_FILTER_DEFLATE: {
        const bool optional = filter->flags & 1;
        status = bs_deflate_encode(scratch, filter->parameters[0], *bytes, *count, to->bytes,
            optional ? *count : bound, &made, err);
        if (status) return status;
        if (made == 0 && !optional) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "deflate made more than %zu bytes of %zu", bound, *count);
        }
        *out_skipped = made == 0;
        if (made == 0) return BASALT_OK;
        break;
    }
    case BS_FILTER_SHUFFLE:
        bs_shuffle_encode(*bytes, *count, filter->parameters[0], to->bytes);
        break;
    default: /* fletcher32: bs_pipeline_check lets nothing else pass */
        memcpy(to->bytes, *bytes, *count);
        bs_store_u32(to->bytes + *count, bs_fletcher32(*bytes, *count));
        break;
    }
    *bytes = to->bytes;
    *count = made;
    return BASALT_OK;
}

basalt_status bs_pipeline_encode(const struct bs_pipeline *pipeline,
    struct bs_codec_scratch *scratch, const void *raw, size_t raw_bytes, const void **out_bytes,
    size_t *out_count, uint32_t *out_mask, basalt_error *err)
{
    const void *bytes = raw;
    size_t count = raw_bytes;
    uint32_t mask = 0;
    *out_bytes = NULL;
    *out_count = 0;
    *out_mask = 0;
    basalt_status status = bs_pipeline_check(pipeline, err);
    if (status) return status;
    for (unsigned i = 0; i < pipeline->count; i++) {
        bool skipped = false;
        status = filter_encode(&pipeline->filters[i], scratch, &bytes, &count, &skipped, err);
        if (status) return status;
        if (skipped) mask |= 1u << i;
    }
    *out_bytes = bytes;
    *out_count = count;
    *out_mask = mask;
    return BASALT_OK;
}

/* ---- decoding ------------------------------------------------------------------------------ */

/* Sums written by a big-endian library before 1.6.3 have their bytes swapped in pairs. */
static bool checksum_fits(uint32_t stored, uint32_t sum)
{
    const uint32_t swapped = (sum & 0x00FF00FFu) << 8 | (sum >> 8 & 0x00FF00FFu);
    return stored == sum || stored == swapped;
}

static basalt_status checksum_decode(const void *bytes, size_t *count, basalt_error *err)
{
    if (*count < CHECKSUM_BYTES) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a chunk with fletcher32 has only %zu bytes", *count);
    }
    *count -= CHECKSUM_BYTES;
    const uint32_t stored = bs_load_u32((const uint8_t *)bytes + *count);
    if (checksum_fits(stored, bs_fletcher32(bytes, *count))) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the chunk's fletcher32 checksum does not fit its bytes");
}

/* Undoes one filter. `size_max` is what it may give; `out` is where the last one writes. */
static basalt_status filter_decode(const struct bs_filter *filter, struct bs_codec_scratch *scratch,
    const void **bytes, size_t *count, size_t size_max, uint8_t *last_out, basalt_error *err)
{
    const bool shuffle = filter->id == BS_FILTER_SHUFFLE;
    struct bs_codec_buffer *buffer = other_buffer(scratch, *bytes);
    basalt_status status = BASALT_OK;
    if (filter->id == BS_FILTER_FLETCHER32) return checksum_decode(*bytes, count, err);
    if (shuffle && *count > size_max) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a chunk has %zu bytes instead of %zu", *count, size_max);
    }
    if (!last_out) {
        status = buffer_reserve(buffer, shuffle ? *count : size_max, err);
        if (status) return status;
    }
    uint8_t *to = last_out ? last_out : buffer->bytes;
    if (shuffle) {
        bs_shuffle_decode(*bytes, *count, filter->parameters[0], to);
    } else {
        status = bs_deflate_decode(scratch, *bytes, *count, to, size_max, count, err);
    }
    *bytes = to;
    return status;
}

/* Where the pipeline's undoing writes last: the first filter that moves bytes. */
static unsigned last_mover(const struct bs_pipeline *pipeline, uint32_t mask)
{
    for (unsigned i = 0; i < pipeline->count; i++) {
        if (!(mask >> i & 1) && pipeline->filters[i].id != BS_FILTER_FLETCHER32) return i;
    }
    return BS_FILTERS_MAX;
}

basalt_status bs_pipeline_decode(const struct bs_pipeline *pipeline, uint32_t mask,
    struct bs_codec_scratch *scratch, const void *stored, size_t stored_bytes, void *out,
    size_t raw_bytes, basalt_error *err)
{
    size_t size_max[BS_FILTERS_MAX]; /* of what undoing filter i may give */
    size_t bound = raw_bytes;
    const void *bytes = stored;
    size_t count = stored_bytes;
    basalt_status status = bs_pipeline_check(pipeline, err);
    if (status) return status;
    const unsigned mover = last_mover(pipeline, mask);
    for (unsigned i = 0; i < pipeline->count; i++) {
        size_max[i] = bound;
        if (!(mask >> i & 1)) bound = filter_bound(&pipeline->filters[i], bound);
    }
    for (unsigned i = pipeline->count; i-- > 0;) {
        if (mask >> i & 1) continue;
        /* A checksum under the last mover lies behind the data: `out` has no room for it. */
        uint8_t *last_out = i == mover && size_max[i] == raw_bytes ? out : NULL;
        status = filter_decode(
            &pipeline->filters[i], scratch, &bytes, &count, size_max[i], last_out, err);
        if (status) return status;
    }
    if (count != raw_bytes) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a chunk has %zu bytes instead of %zu", count, raw_bytes);
    }
    if (bytes != out) memcpy(out, bytes, count);
    return BASALT_OK;
}
