/* filters.c - the table of filters: which there are, what they are called, how a user adds his.
 *
 * A registry is an array that only grows: a slot is filled before `count` says that it is there, so
 * looking in it takes no lock. */
#include "codec/codec_internal.h"

#define NAME_BYTES_MAX 64

static const struct bs_filter_kind *const table[] = {
    &bs_filter_deflate,
    &bs_filter_shuffle,
    &bs_filter_fletcher32,
    &bs_filter_szip,
    &bs_filter_nbit,
    &bs_filter_scaleoffset,
    &bs_filter_bzip2,
    &bs_filter_lzf,
    &bs_filter_blosc,
    &bs_filter_lz4,
    &bs_filter_bitshuffle,
    &bs_filter_zstd,
};

/* Registered with the HDF Group and not built in: for names, and for clear refusals. */
static const struct {
    uint16_t id;
    const char *name;
} known[] = {
    {305, "lzo"},
    {32002, "mafisc"},
    {32003, "snappy"},
    {32005, "apax"},
    {32006, "cbf"},
    {32007, "jpeg-xr"},
    {32009, "spdp"},
    {32010, "lpc-rice"},
    {32011, "ccsds-123"},
    {32012, "jpeg-ls"},
    {32013, "zfp"},
    {32014, "fpzip"},
    {32016, "b3d"},
    {32017, "sz"},
    {32018, "fcidecomp"},
    {32019, "jpeg"},
    {32020, "vbz"},
    {32021, "fapec"},
    {32022, "bitgroom"},
    {32023, "granular bitround"},
    {32024, "sz3"},
    {32025, "delta-rice"},
    {32026, "blosc2"},
    {32027, "flac"},
    {32028, "sperr"},
    {32029, "trpx"},
    {32030, "ffmpeg"},
    {32033, "htj2k"},
};

struct bs_registered_filter {
    uint16_t id;
    char name[NAME_BYTES_MAX];
    basalt_filter_fn decode, encode;
    void *context;
};

struct bs_filter_registry {
    bs_mutex lock; /* of those who add */
    _Atomic size_t count;
    struct bs_registered_filter filters[BS_FILTERS_REGISTERED_MAX];
};

static const struct bs_filter_kind *built_in(uint16_t id)
{
    for (size_t i = 0; i < BS_ARRAY_LENGTH(table); i++) {
        if (table[i]->id == id) return table[i];
    }
    return NULL;
}

const char *bs_filter_name(uint16_t id)
{
    const struct bs_filter_kind *kind = built_in(id);
    if (kind) return kind->name;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(known); i++) {
        if (known[i].id == id) return known[i].name;
    }
    return NULL;
}

/* ---- parameters -------------------------------------------------------------------------------- */

const uint32_t *bs_filter_parameters(const struct bs_filter *filter)
{
    return filter->parameter_count > BS_FILTER_PARAMETERS_MAX ? filter->long_parameters
                                                              : filter->parameters;
}

uint32_t bs_filter_parameter(const struct bs_filter *filter, unsigned index, uint32_t otherwise)
{
    return index < filter->parameter_count ? bs_filter_parameters(filter)[index] : otherwise;
}

void bs_pipeline_clear(struct bs_pipeline *pipeline)
{
    for (unsigned i = 0; i < BS_FILTERS_MAX; i++) {
        struct bs_filter *filter = &pipeline->filters[i];
        if (filter->parameter_count > BS_FILTER_PARAMETERS_MAX) bs_free(filter->long_parameters);
    }
    memset(pipeline, 0, sizeof *pipeline);
}

/* ---- what decoders say -------------------------------------------------------------------------- */

basalt_status bs_filter_damaged(const struct bs_filter_job *job, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the %s data (%zu bytes) is damaged",
        job->kind->name, job->input_bytes);
}

basalt_status bs_filter_overflow(const struct bs_filter_job *job, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the %s data expands to more than the chunk's %zu bytes", job->kind->name, job->capacity);
}

/* ---- filters of the user ------------------------------------------------------------------------ */

basalt_status bs_filter_registry_create(struct bs_filter_registry **out_registry, basalt_error *err)
{
    struct bs_filter_registry *registry = bs_alloc_zeroed(1, sizeof *registry);
    *out_registry = registry;
    if (!registry) return bs_fail_memory(err, sizeof *registry);
    bs_mutex_init(&registry->lock);
    return BASALT_OK;
}

void bs_filter_registry_free(struct bs_filter_registry *registry)
{
    if (!registry) return;
    bs_mutex_destroy(&registry->lock);
    bs_free(registry);
}

static const struct bs_registered_filter *registered(
    const struct bs_filter_registry *registry, uint16_t id)
{
    const size_t count =
        registry ? atomic_load_explicit(&registry->count, memory_order_acquire) : 0;
    for (size_t i = 0; i < count; i++) {
        if (registry->filters[i].id == id) return &registry->filters[i];
    }
    return NULL;
}

basalt_status bs_filter_registry_add(struct bs_filter_registry *registry, uint16_t id,
    const char *name, basalt_filter_fn decode, basalt_filter_fn encode, void *context,
    basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (!name[0] || strlen(name) >= NAME_BYTES_MAX) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the name of filter %u must have 1 to %d bytes", (unsigned)id, NAME_BYTES_MAX - 1);
    }
    if (built_in(id)) {
        return bs_fail(err, BASALT_EXISTS, BASALT_NO_OFFSET,
            "filter %u is built in (%s) and cannot be replaced", (unsigned)id, built_in(id)->name);
    }
    bs_mutex_lock(&registry->lock);
    const size_t count = atomic_load_explicit(&registry->count, memory_order_relaxed);
    const struct bs_registered_filter *there = registered(registry, id);
    if (there) {
        status = bs_fail(err, BASALT_EXISTS, BASALT_NO_OFFSET,
            "filter %u is registered already, as \"%s\"", (unsigned)id, there->name);
    } else if (count == BS_FILTERS_REGISTERED_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "%d filters are registered already; no more are possible", BS_FILTERS_REGISTERED_MAX);
    } else {
        struct bs_registered_filter *slot = &registry->filters[count];
        slot->id = id;
        memcpy(slot->name, name, strlen(name) + 1);
        slot->decode = decode;
        slot->encode = encode;
        slot->context = context;
        atomic_store_explicit(&registry->count, count + 1, memory_order_release);
    }
    bs_mutex_unlock(&registry->lock);
    return status;
}

/* The user's function says what is wrong, or we do. */
static basalt_status call_registered(
    struct bs_filter_job *job, basalt_filter_fn function, const char *verb, basalt_error *err)
{
    const struct bs_registered_filter *there = job->registered;
    basalt_error theirs = {.file_offset = BASALT_NO_OFFSET};
    size_t made = 0;
    const basalt_status status = function(there->context,
        job->filter->parameter_count ? job->parameters : NULL, job->filter->parameter_count,
        job->input, job->input_bytes, job->out, job->capacity, &made, &theirs);
    if (status) {
        theirs.message[sizeof theirs.message - 1] = 0;
        return bs_fail(err, status, BASALT_NO_OFFSET, "filter %s (%u) cannot %s a chunk%s%s",
            there->name, (unsigned)there->id, verb, theirs.message[0] ? ": " : "", theirs.message);
    }
    if (made > job->capacity) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "filter %s (%u) says that it wrote %zu bytes where %zu fit", there->name,
            (unsigned)there->id, made, job->capacity);
    }
    job->out_bytes = made;
    return BASALT_OK;
}

static basalt_status registered_decode(struct bs_filter_job *job, basalt_error *err)
{
    return call_registered(job, job->registered->decode, "decode", err);
}

static basalt_status registered_encode(struct bs_filter_job *job, basalt_error *err)
{
    return call_registered(job, job->registered->encode, "encode", err);
}

/* Nobody knows how a stranger's filter grows what it cannot shrink. */
static size_t registered_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + raw_bytes / 4 + 4096;
}

static const struct bs_filter_kind registered_kind = {
    .name = "registered",
    .bound = registered_bound,
    .decode = registered_decode,
    .encode = registered_encode,
};
static const struct bs_filter_kind registered_reader = {
    .name = "registered",
    .bound = registered_bound,
    .decode = registered_decode,
};

/* ---- finding and checking ----------------------------------------------------------------------- */

basalt_status bs_filter_find(struct bs_filter_job *job, basalt_error *err)
{
    const uint16_t id = job->filter->id;
    job->parameters = bs_filter_parameters(job->filter);
    job->kind = built_in(id);
    job->registered =
        job->kind ? NULL : registered(job->scratch ? job->scratch->registry : NULL, id);
    if (job->registered) {
        job->kind = job->registered->encode ? &registered_kind : &registered_reader;
    }
    if (!job->kind) {
        const char *name = bs_filter_name(id);
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "filter %s (%u) is not built in: basalt_env_register_filter takes it",
            name ? name : "of an unknown name", (unsigned)id);
    }
    return job->kind->check ? job->kind->check(job->filter, err) : BASALT_OK;
}

size_t bs_filter_bound(const struct bs_filter_job *job, size_t raw_bytes)
{
    return job->kind->bound ? job->kind->bound(job->filter, raw_bytes) : raw_bytes;
}
