/* hdf5_reference.c - where references lead, for people and for reads: "/a/b", "/a/b[0:10:2, 3]" for a part
 * of a dataset, "/a/b@name" for an attribute. A reference says an address; the path to it is looked up
 * among all of the file, which are listed when the first one asks, and kept (paths.c). */
#include "tables/tables_internal.h"

basalt_status bs_reference_text(struct bs_h5_file *h5, struct bs_paths **paths,
    const struct bs_h5_reference *reference, struct bs_bytes *out, bool *out_found,
    basalt_error *err)
{
    const char *path = NULL;
    basalt_status status = BASALT_OK;
    *out_found = false;
    if (reference->address != BS_H5_UNDEFINED) {
        status = bs_paths_find(h5, paths, reference->address, &path, err);
    }
    if (status || !path) return status;
    *out_found = true;
    bs_bytes_put(out, path, strlen(path));
    if (reference->has_region) bs_h5_region_text(&reference->region, out);
    if (reference->attribute) bs_bytes_text(out, "@%s", reference->attribute);
    return bs_bytes_check(out, err);
}

/* ---- paths of a file, kept with it --------------------------------------------------------------- */

basalt_status bs_hdf5_paths(
    struct bs_hdf5 *file, struct bs_h5_file *h5, struct bs_hdf5_paths *out_paths, basalt_error *err)
{
    const char *root = NULL;
    *out_paths = (struct bs_hdf5_paths){0};
    if (!file || h5 != file->h5) return BASALT_OK;
    out_paths->paths = atomic_load(&file->paths);
    out_paths->kept = out_paths->paths;
    if (out_paths->kept) return BASALT_OK;
    /* Two threads may both list them: one is thrown away. */
    basalt_status status = bs_paths_find(h5, &out_paths->paths, 0, &root, err);
    struct bs_paths *none = NULL;
    if (!status && atomic_compare_exchange_strong(&file->paths, &none, out_paths->paths)) {
        out_paths->kept = out_paths->paths;
    }
    return status;
}

void bs_hdf5_paths_end(struct bs_hdf5_paths *paths)
{
    if (paths->paths != paths->kept) bs_paths_free(paths->paths);
    *paths = (struct bs_hdf5_paths){0};
}

/* ---- one reference, for a read --------------------------------------------------------------------- */

struct resolved {
    struct bs_h5_reference reference;
    struct bs_bytes path, text; /* with their NULs */
    uint64_t start[BS_H5_RANK_MAX], count[BS_H5_RANK_MAX], stride[BS_H5_RANK_MAX],
        block[BS_H5_RANK_MAX];
};

void bs_hdf5_target_release(basalt_hdf5_target *target)
{
    struct resolved *resolved = target->private_data;
    if (resolved) {
        bs_h5_reference_clear(&resolved->reference);
        bs_bytes_free(&resolved->path);
        bs_bytes_free(&resolved->text);
    }
    bs_free(resolved);
    memset(target, 0, sizeof *target);
}

static basalt_status take_over(
    void *context, uint64_t index, struct bs_h5_reference *reference, basalt_error *err)
{
    struct resolved *resolved = context;
    (void)index, (void)err;
    resolved->reference = *reference;
    memset(reference, 0, sizeof *reference);
    return BASALT_OK;
}

static void show_region(struct resolved *resolved, basalt_hdf5_read_options *options)
{
    static const basalt_hdf5_select kinds[] = {[BS_H5_SELECT_ALL] = BASALT_HDF5_ALL,
        [BS_H5_SELECT_HYPERSLAB] = BASALT_HDF5_HYPERSLAB,
        [BS_H5_SELECT_POINTS] = BASALT_HDF5_POINTS,
        [BS_H5_SELECT_ROWS] = BASALT_HDF5_ROWS};
    const struct bs_h5_selection *region = &resolved->reference.region;
    options->select = kinds[region->kind];
    options->coordinates = region->coordinates;
    options->coordinate_count = region->coordinate_count;
    if (region->kind != BS_H5_SELECT_HYPERSLAB) return;
    for (unsigned i = 0; i < region->rank; i++) {
        resolved->start[i] = region->start[i];
        resolved->count[i] = region->count[i];
        resolved->stride[i] = region->stride[i];
        resolved->block[i] = region->block[i];
    }
    options->start = resolved->start;
    options->count = resolved->count;
    options->stride = resolved->stride;
    options->block = resolved->block;
}

static basalt_status describe(struct bs_hdf5 *file, struct bs_h5_file *h5,
    struct resolved *resolved, basalt_hdf5_target *out, basalt_error *err)
{
    struct bs_h5_reference object = {.address = resolved->reference.address};
    struct bs_hdf5_paths paths = {0};
    bool found = false;
    basalt_status status = bs_hdf5_paths(file, h5, &paths, err);
    if (!status) {
        status = bs_reference_text(h5, &paths.paths, &object, &resolved->path, &found, err);
    }
    if (!status) {
        status =
            bs_reference_text(h5, &paths.paths, &resolved->reference, &resolved->text, &found, err);
    }
    bs_hdf5_paths_end(&paths);
    if (status || !found) return status;
    bs_bytes_u8(&resolved->path, 0);
    bs_bytes_u8(&resolved->text, 0);
    status = bs_bytes_check(&resolved->path, err);
    if (!status) status = bs_bytes_check(&resolved->text, err);
    if (status) return status;
    out->path = (const char *)resolved->path.data;
    out->text = (const char *)resolved->text.data;
    out->attribute = resolved->reference.attribute;
    out->has_region = resolved->reference.has_region;
    if (out->has_region) show_region(resolved, &out->region);
    return BASALT_OK;
}

basalt_status bs_hdf5_resolve(struct bs_hdf5 *file, const struct bs_h5_object *dataset,
    const struct bs_h5_type *type, const void *element, basalt_hdf5_target *out_target,
    basalt_error *err)
{
    struct bs_h5_file *h5 = bs_h5_object_file(dataset);
    memset(out_target, 0, sizeof *out_target);
    struct resolved *resolved = bs_alloc_zeroed(1, sizeof *resolved);
    if (!resolved) return bs_fail_memory(err, sizeof *resolved);
    out_target->private_data = resolved;
    out_target->region.struct_bytes = sizeof out_target->region;
    basalt_status status = bs_h5_references_each(h5, type, element, 0, 1, take_over, resolved, err);
    if (!status) status = describe(file, h5, resolved, out_target, err);
    if (status) bs_hdf5_target_release(out_target);
    return status;
}
