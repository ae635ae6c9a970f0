/* hdf5_dataset.c - the elements of one dataset into the caller's memory. */
#include "tables/tables_internal.h"

#define CACHE_BYTES_FREE_MAX ((uint64_t)12 << 20) /* whatever the file: docs/format/coverage.md */
#define CACHE_TO_FILE_MAX 3

struct bs_hdf5_dataset {
    struct bs_hdf5 *file;
    struct bs_h5_object *object;
    struct bs_bytes path, type; /* with their NULs */
};

/* ---- what a file has of its own ---------------------------------------------------------------- */

basalt_status bs_hdf5_sched(struct bs_hdf5 *file, struct bs_sched **out_sched, basalt_error *err)
{
    const unsigned others = bs_processor_count() - 1; /* the caller is the first */
    basalt_status status = BASALT_OK;

    *out_sched = file->lent ? file->lent : atomic_load(&file->sched);
    if (*out_sched || !others) return BASALT_OK;
    bs_mutex_lock(&file->mutex);
    *out_sched = atomic_load(&file->sched);
    if (!*out_sched) {
        status = bs_sched_create(BS_MIN(others, BS_SCHED_THREADS_MAX), out_sched, err);
        if (!status) atomic_store(&file->sched, *out_sched);
    }
    bs_mutex_unlock(&file->mutex);
    return status;
}

uint64_t bs_hdf5_cache_bytes_free(const struct bs_h5_file *h5)
{
    return BS_MIN(
        BS_HDF5_CACHE_BYTES, CACHE_BYTES_FREE_MAX + CACHE_TO_FILE_MAX * bs_h5_file_bytes(h5));
}

/* A small file that claims to be large gets little, unless its user has said how much. */
static uint64_t cache_bytes(const struct bs_hdf5 *file)
{
    if (file->cache_bytes_max != BS_HDF5_CACHE_BYTES) return file->cache_bytes_max;
    return BS_MIN(file->cache_bytes_max, bs_hdf5_cache_bytes_free(file->h5));
}

basalt_status bs_hdf5_cache(struct bs_hdf5 *file, struct bs_h5_cache **out_cache, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    *out_cache = atomic_load(&file->cache);
    if (*out_cache) return BASALT_OK;
    bs_mutex_lock(&file->mutex);
    *out_cache = atomic_load(&file->cache);
    if (!*out_cache) {
        status = bs_h5_cache_create(cache_bytes(file), out_cache, err);
        if (!status) atomic_store(&file->cache, *out_cache);
    }
    bs_mutex_unlock(&file->mutex);
    return status;
}

void bs_hdf5_get_stats(struct bs_hdf5 *file, basalt_hdf5_stats *out_stats)
{
    struct bs_h5_cache *cache = atomic_load(&file->cache);
    struct bs_h5_cache_stats stats = {.bytes_max = cache_bytes(file)};

    if (cache) bs_h5_cache_stats(cache, &stats);
    *out_stats = (basalt_hdf5_stats){.cache_bytes = stats.bytes,
        .cache_bytes_max = stats.bytes_max,
        .chunks_cached = stats.chunks,
        .chunks_decoded = stats.decoded,
        .chunks_served = stats.served};
    bs_h5_file_traffic(file->h5, &out_stats->bytes_read, &out_stats->bytes_decoded);
}

/* ---- opening ------------------------------------------------------------------------------------ */

basalt_status bs_hdf5_dataset_open(
    struct bs_hdf5 *file, const char *path, struct bs_hdf5_dataset **out_dataset, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_hdf5_dataset *dataset = bs_alloc_zeroed(1, sizeof *dataset);

    *out_dataset = NULL;
    if (!dataset) return bs_fail_memory(err, sizeof *dataset);
    dataset->file = file;
    BS_TRY(bs_path_open(file->h5, path, &dataset->path, &dataset->object, err));
    if (bs_h5_object_kind(dataset->object) != BS_H5_DATASET) {
        status = bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "\"%.100s\" is not a dataset", path);
        goto out;
    }
    BS_TRY(bs_h5_type_text(bs_h5_object_type(dataset->object), &dataset->type, err));
    bs_bytes_u8(&dataset->type, 0);
    BS_TRY(bs_bytes_check(&dataset->type, err));
    *out_dataset = dataset;
    dataset = NULL;
out:
    bs_hdf5_dataset_close(dataset);
    return status;
}

void bs_hdf5_dataset_close(struct bs_hdf5_dataset *dataset)
{
    if (!dataset) return;
    bs_h5_object_close(dataset->object);
    bs_bytes_free(&dataset->path);
    bs_bytes_free(&dataset->type);
    bs_free(dataset);
}

void bs_hdf5_dataset_info(const struct bs_hdf5_dataset *dataset, basalt_hdf5_shape *out_shape)
{
    const struct bs_h5_dataset *known = bs_h5_object_dataset(dataset->object);

    memset(out_shape, 0, sizeof *out_shape);
    out_shape->type = (const char *)dataset->type.data;
    out_shape->element_bytes = known->type->size_bytes;
    out_shape->rank = known->space.rank;
    memcpy(out_shape->dims, known->space.dims, sizeof out_shape->dims);
    memcpy(out_shape->max_dims, known->space.max_dims, sizeof out_shape->max_dims);
    if (known->layout == BS_H5_CHUNKED)
        memcpy(out_shape->chunk_dims, known->chunk_dims, sizeof out_shape->chunk_dims);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static basalt_status take_slab(const basalt_hdf5_read_options *options, unsigned rank,
    struct bs_h5_selection *selection, basalt_error *err)
{
    if (!options->start || !options->count)
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "a hyperslab needs `start` and `count`");
    for (unsigned i = 0; i < rank; i++) {
        selection->start[i] = options->start[i];
        selection->count[i] = options->count[i];
        selection->block[i] = options->block ? options->block[i] : 1;
        selection->stride[i] = options->stride ? options->stride[i] : 1;
    }
    return BASALT_OK;
}

static basalt_status take_selection(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, struct bs_h5_selection *selection, basalt_error *err)
{
    selection->rank = bs_h5_object_dataset(dataset->object)->space.rank;
    selection->coordinates = options->coordinates;
    selection->coordinate_count = options->coordinate_count;
    if (options->coordinate_count && !options->coordinates)
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "`coordinate_count` needs `coordinates`");
    switch (options->select) {
    case BASALT_HDF5_ALL: selection->kind = BS_H5_SELECT_ALL; return BASALT_OK;
    case BASALT_HDF5_POINTS: selection->kind = BS_H5_SELECT_POINTS; return BASALT_OK;
    case BASALT_HDF5_ROWS: selection->kind = BS_H5_SELECT_ROWS; return BASALT_OK;
    case BASALT_HDF5_HYPERSLAB:
        selection->kind = BS_H5_SELECT_HYPERSLAB;
        return take_slab(options, selection->rank, selection, err);
    }
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "there is no selection of kind %d",
        (int)options->select);
}

/* Has the type, or a type inside it, elements that lie elsewhere? */
static bool is_variable(const struct bs_h5_type *type)
{
    if (type->kind == BS_H5_VARIABLE) return true;
    for (size_t i = 0; type->kind == BS_H5_COMPOUND && i < type->member_count; i++)
        if (is_variable(type->members[i].type)) return true;
    return type->kind == BS_H5_ARRAY && is_variable(type->base);
}

static const struct bs_h5_type *wanted_type(
    const struct bs_hdf5_dataset *dataset, const basalt_hdf5_read_options *options)
{
    const struct bs_h5_type *type = bs_h5_object_type(dataset->object);

    for (size_t depth = 0; depth < options->member_count; depth++) {
        const struct bs_h5_type *inner = NULL;
        for (size_t i = 0; type->kind == BS_H5_COMPOUND && i < type->member_count; i++)
            if (!strcmp(type->members[i].name, options->members[depth]))
                inner = type->members[i].type;
        if (!inner) return type; /* the read says so */
        type = inner;
    }
    return type;
}

static basalt_status check_fixed(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, basalt_error *err)
{
    if (!is_variable(wanted_type(dataset, options))) return BASALT_OK;
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "%.100s has elements of variable length: basalt_hdf5_read_variable gives them one by one",
        (const char *)dataset->path.data);
}

/* `how` and `selection` as the options say; the type in *out_as is the caller's to free. */
static basalt_status take_options(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, struct bs_h5_selection *selection,
    struct bs_h5_read_how *how, struct bs_h5_type **out_as, basalt_error *err)
{
    *out_as = NULL;
    if (options->member_count && !options->members)
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "`member_count` needs `members`");
    basalt_status status = take_selection(dataset, options, selection, err);
    if (!status && options->type) status = bs_h5_type_parse(options->type, out_as, err);
    *how = (struct bs_h5_read_how){.members = options->members,
        .member_count = options->member_count,
        .as = *out_as,
        .clip = options->clip,
        .cancel = bs_cancel_of(options->cancel),
        .path = (const char *)dataset->path.data};
    return status;
}

basalt_status bs_hdf5_read_size(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, uint64_t *out_count, uint64_t *out_element_bytes,
    basalt_error *err)
{
    struct bs_h5_selection selection;
    struct bs_h5_read_how how;
    struct bs_h5_type *as = NULL;
    basalt_status status = take_options(dataset, options, &selection, &how, &as, err);

    if (!status) status = check_fixed(dataset, options, err);
    if (!status) status = bs_h5_selection_count(dataset->object, &selection, out_count, err);
    if (!status) status = bs_h5_element_bytes(dataset->object, &how, out_element_bytes, err);
    if (status) *out_count = *out_element_bytes = 0;
    bs_h5_type_free(as);
    return status;
}

basalt_status bs_hdf5_read(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, void *out, uint64_t out_bytes, basalt_error *err)
{
    const bool alone = options->alone || out_bytes <= BS_HDF5_ALONE_BYTES;
    struct bs_h5_selection selection;
    struct bs_h5_read_how how;
    struct bs_h5_type *as = NULL;
    basalt_status status = take_options(dataset, options, &selection, &how, &as, err);

    if (!status) status = check_fixed(dataset, options, err);
    if (!status && bs_h5_object_dataset(dataset->object)->pipeline.count)
        status = bs_hdf5_cache(dataset->file, &how.cache, err);
    if (!status && !alone) status = bs_hdf5_sched(dataset->file, &how.sched, err);
    if (!status)
        status = bs_h5_read_selection(
            dataset->file->h5, dataset->object, &selection, &how, out, out_bytes, err);
    bs_h5_type_free(as);
    return status;
}

basalt_status bs_hdf5_dataset_resolve(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, const void *element, basalt_hdf5_target *out_target,
    basalt_error *err)
{
    const struct bs_h5_type *type = wanted_type(dataset, options);

    if (type->kind != BS_H5_REFERENCE)
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "%.100s holds no references where these options look",
            (const char *)dataset->path.data);
    const basalt_status status =
        bs_hdf5_resolve(dataset->file, dataset->object, type, element, out_target, err);
    if (status) bs_error_prefix(err, "%.100s", (const char *)dataset->path.data);
    return status;
}

struct stoppable {
    basalt_hdf5_element_fn each;
    void *context;
    bool stopped;
};

static basalt_status give_element(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    struct stoppable *stoppable = context;

    (void)err;
    stoppable->stopped = !stoppable->each(stoppable->context, index, bytes, count);
    return stoppable->stopped ? BASALT_CANCELLED : BASALT_OK;
}

basalt_status bs_hdf5_read_variable(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, basalt_hdf5_element_fn each, void *context,
    basalt_error *err)
{
    struct stoppable stoppable = {.each = each, .context = context};
    struct bs_h5_selection selection;
    struct bs_h5_read_how how;
    struct bs_h5_type *as = NULL;
    basalt_error why = {0};

    if (options->type)
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "elements that are given one by one cannot be converted: `type` must be NULL");
    basalt_status status = take_options(dataset, options, &selection, &how, &as, &why);
    if (!status && bs_h5_object_dataset(dataset->object)->pipeline.count)
        status = bs_hdf5_cache(dataset->file, &how.cache, &why);
    if (!status && !options->alone) status = bs_hdf5_sched(dataset->file, &how.sched, &why);
    if (!status)
        status = bs_h5_read_variable(
            dataset->file->h5, dataset->object, &selection, &how, give_element, &stoppable, &why);
    if (stoppable.stopped) return BASALT_OK;
    if (status && err) *err = why;
    return status;
}

basalt_status bs_hdf5_map(
    const struct bs_hdf5_dataset *dataset, struct bs_file_map *out_map, basalt_error *err)
{
    const basalt_status status = bs_h5_map(dataset->file->h5, dataset->object, out_map, err);
    if (status) bs_error_prefix(err, "%.100s", (const char *)dataset->path.data);
    return status;
}

void bs_hdf5_unmap(const struct bs_hdf5_dataset *dataset, struct bs_file_map *map)
{
    bs_file_unmap(dataset->file->file, map);
}
