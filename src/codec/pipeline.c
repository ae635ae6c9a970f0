/* pipeline.c - filters in a row, over two buffers that take turns. */
#include "codec/codec_internal.h"

static basalt_status too_many(const struct bs_pipeline *pipeline, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the filter pipeline has %u filters; at most %u are possible", (unsigned)pipeline->count,
        (unsigned)BS_FILTERS_MAX);
}

static basalt_status find_encoder(struct bs_filter_job *job, basalt_error *err)
{
    const basalt_status status = bs_filter_find(job, err);
    if (status || (job->kind->encode && job->filter->parameter_count <= BS_FILTER_PARAMETERS_MAX))
        return status;
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "filter %s (%u) can be undone, not applied", bs_filter_name(job->filter->id),
        (unsigned)job->filter->id);
}

basalt_status bs_pipeline_check(const struct bs_pipeline *pipeline, basalt_error *err)
{
    if (pipeline->count > BS_FILTERS_MAX) return too_many(pipeline, err);
    for (unsigned i = 0; i < pipeline->count; i++) {
        struct bs_filter_job job = {.filter = &pipeline->filters[i]};
        const basalt_status status = find_encoder(&job, err);
        if (status) return status;
    }
    return BASALT_OK;
}

size_t bs_pipeline_bound(const struct bs_pipeline *pipeline, size_t raw_bytes)
{
    size_t bound = raw_bytes;
    for (unsigned i = 0; i < pipeline->count; i++) {
        struct bs_filter_job job = {.filter = &pipeline->filters[i]};
        if (!bs_filter_find(&job, NULL)) bound = bs_filter_bound(&job, bound);
    }
    return bound;
}

/* ---- scratch ------------------------------------------------------------------------------- */

basalt_status bs_codec_scratch_create_with(const struct bs_filter_registry *registry,
    struct bs_codec_scratch **out_scratch, basalt_error *err)
{
    *out_scratch = bs_alloc_zeroed(1, sizeof **out_scratch);
    if (!*out_scratch) return bs_fail_memory(err, sizeof **out_scratch);
    (*out_scratch)->registry = registry;
    return BASALT_OK;
}

basalt_status bs_codec_scratch_create(struct bs_codec_scratch **out_scratch, basalt_error *err)
{
    return bs_codec_scratch_create_with(NULL, out_scratch, err);
}

void bs_codec_scratch_free(struct bs_codec_scratch *scratch)
{
    if (!scratch) return;
    bs_deflate_scratch_free(scratch);
    bs_zstd_scratch_free(scratch);
    bs_free(scratch->buffers[0].bytes);
    bs_free(scratch->buffers[1].bytes);
    bs_free(scratch->work.bytes);
    bs_free(scratch->lent.bytes);
    bs_free(scratch);
}

size_t bs_codec_scratch_bytes(const struct bs_codec_scratch *scratch)
{
    if (!scratch) return 0;
    return scratch->buffers[0].capacity + scratch->buffers[1].capacity + scratch->work.capacity +
        scratch->lent.capacity;
}

basalt_status bs_codec_reserve(struct bs_codec_buffer *buffer, size_t bytes, basalt_error *err)
{
    if (buffer->bytes && bytes <= buffer->capacity) return BASALT_OK; /* never NULL, even for 0 */
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
    const basalt_status status = bs_codec_reserve(&scratch->lent, bytes, err);
    *out_memory = status ? NULL : scratch->lent.bytes;
    return status;
}

/* The buffer that does not hold `at`. */
static struct bs_codec_buffer *other_buffer(struct bs_codec_scratch *scratch, const void *at)
{
    return &scratch->buffers[at && at == scratch->buffers[0].bytes];
}

/* ---- encoding ------------------------------------------------------------------------------ */

/* Applies one filter to job->input. *out_skipped: it is optional and did not shrink. */
static basalt_status filter_encode(struct bs_filter_job *job, bool *out_skipped, basalt_error *err)
{
    struct bs_codec_buffer *to = other_buffer(job->scratch, job->input);
    const size_t bound = bs_filter_bound(job, job->input_bytes);
    /* Only what compresses is left out where it gains nothing. */
    const bool optional =
        job->filter->flags & 1 && !job->kind->keeps_size && !job->kind->decodes_in_place;
    *out_skipped = false;
    basalt_status status = bs_codec_reserve(to, bound, err);
    if (status) return status;
    job->out = to->bytes;
    job->capacity = optional ? BS_MIN(bound, job->input_bytes) : bound;
    job->out_bytes = 0;
    status = job->kind->encode(job, err);
    if (status) return status;
    if (job->out_bytes > 0 || job->kind->keeps_size) {
        job->input = to->bytes;
        job->input_bytes = job->out_bytes;
        return BASALT_OK;
    }
    if (!optional) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "filter %u made more than %zu bytes of %zu", (unsigned)job->filter->id, bound,
            job->input_bytes);
    }
    *out_skipped = true;
    return BASALT_OK;
}

basalt_status bs_pipeline_encode(const struct bs_pipeline *pipeline,
    struct bs_codec_scratch *scratch, const void *raw, size_t raw_bytes, const void **out_bytes,
    size_t *out_count, uint32_t *out_mask, basalt_error *err)
{
    struct bs_filter_job job = {.scratch = scratch, .input = raw, .input_bytes = raw_bytes};
    uint32_t mask = 0;
    *out_bytes = NULL;
    *out_count = 0;
    *out_mask = 0;
    if (pipeline->count > BS_FILTERS_MAX) return too_many(pipeline, err);
    for (unsigned i = 0; i < pipeline->count; i++) {
        bool skipped = false;
        job.filter = &pipeline->filters[i];
        basalt_status status = find_encoder(&job, err);
        if (!status) status = filter_encode(&job, &skipped, err);
        if (status) return status;
        if (skipped) mask |= 1u << i;
    }
    *out_bytes = job.input;
    *out_count = job.input_bytes;
    *out_mask = mask;
    return BASALT_OK;
}

/* ---- decoding ------------------------------------------------------------------------------ */

/* No honest row of filters makes more of a chunk than this; a made-up one could grow without end. */
static size_t bound_max(size_t raw_bytes)
{
    return 2 * raw_bytes + 65536;
}

/* Where the undoing writes last: the first filter that moves bytes; none: BS_FILTERS_MAX. And the most
 * that undoing each may give. */
static basalt_status plan(const struct bs_pipeline *pipeline, uint32_t mask,
    struct bs_codec_scratch *scratch, size_t raw_bytes, size_t size_max[BS_FILTERS_MAX],
    unsigned *out_mover, basalt_error *err)
{
    size_t bound = raw_bytes;
    *out_mover = BS_FILTERS_MAX;
    for (unsigned i = 0; i < pipeline->count; i++) {
        struct bs_filter_job job = {.scratch = scratch, .filter = &pipeline->filters[i]};
        size_max[i] = bound;
        if (mask >> i & 1) continue;
        const basalt_status status = bs_filter_find(&job, err);
        if (status) return status;
        if (*out_mover == BS_FILTERS_MAX && !job.kind->decodes_in_place) *out_mover = i;
        bound = BS_MIN(bs_filter_bound(&job, bound), bound_max(raw_bytes));
    }
    return BASALT_OK;
}

size_t bs_pipeline_work_bytes(const struct bs_pipeline *pipeline, uint32_t mask,
    struct bs_codec_scratch *scratch, size_t raw_bytes)
{
    size_t size_max[BS_FILTERS_MAX], buffers[2] = {0}, own = 0;
    unsigned mover, next = 0;
    if (pipeline->count > BS_FILTERS_MAX || raw_bytes > SIZE_MAX / 16 ||
        plan(pipeline, mask, scratch, raw_bytes, size_max, &mover, NULL)) {
        return SIZE_MAX;
    }
    for (unsigned i = pipeline->count; i-- > 0;) {
        struct bs_filter_job job = {.scratch = scratch, .filter = &pipeline->filters[i]};
        if (mask >> i & 1 || bs_filter_find(&job, NULL)) continue;
        own = BS_MAX(own, job.kind->work_times * size_max[i]);
        if (job.kind->decodes_in_place || (i == mover && size_max[i] == raw_bytes)) continue;
        buffers[next] = BS_MAX(buffers[next], size_max[i]);
        next = !next;
    }
    return buffers[0] + buffers[1] + own;
}

/* Undoes job->filter at job->input. `last_out` is where the last one writes, else NULL. */
static basalt_status filter_decode(
    struct bs_filter_job *job, size_t size_max, uint8_t *last_out, basalt_error *err)
{
    struct bs_codec_buffer *buffer = other_buffer(job->scratch, job->input);
    basalt_status status = bs_filter_find(job, err);
    if (status) return status;
    job->out = NULL;
    job->capacity = size_max;
    job->out_bytes = 0;
    if (!job->kind->decodes_in_place) {
        const size_t room = job->kind->keeps_size ? BS_MIN(size_max, job->input_bytes) : size_max;
        if (!last_out) status = bs_codec_reserve(buffer, room, err);
        if (status) return status;
        job->out = last_out ? last_out : buffer->bytes;
    }
    status = job->kind->decode(job, err);
    if (job->out) job->input = job->out;
    job->input_bytes = job->out_bytes;
    return status;
}

basalt_status bs_pipeline_decode(const struct bs_pipeline *pipeline, uint32_t mask,
    struct bs_codec_scratch *scratch, const void *stored, size_t stored_bytes, void *out,
    size_t raw_bytes, basalt_error *err)
{
    size_t size_max[BS_FILTERS_MAX];
    struct bs_filter_job job = {.scratch = scratch, .input = stored, .input_bytes = stored_bytes};
    unsigned mover;
    if (pipeline->count > BS_FILTERS_MAX) return too_many(pipeline, err);
    basalt_status status = plan(pipeline, mask, scratch, raw_bytes, size_max, &mover, err);
    for (unsigned i = pipeline->count; !status && i-- > 0;) {
        if (mask >> i & 1) continue;
        job.filter = &pipeline->filters[i];
        /* A checksum under the last mover lies behind the data: `out` has no room for it. */
        status = filter_decode(
            &job, size_max[i], i == mover && size_max[i] == raw_bytes ? out : NULL, err);
    }
    if (status) return status;
    if (job.input_bytes != raw_bytes) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a chunk has %zu bytes instead of %zu", job.input_bytes, raw_bytes);
    }
    if (job.input != out) memcpy(out, job.input, raw_bytes);
    return BASALT_OK;
}
