/* hdf5_file.c - any HDF5 file: open it, and walk over what is in it.
 *
 * A file that Basalt made may have a writer, which would reuse the space of what it replaced while it is
 * read here. So its commit is pinned as a reader of the store does (store/reader.c): lock, and look
 * whether the root has moved meanwhile. Where locks are not to be had, what protects is the writer's
 * grace time alone. */
#include "store/store.h"
#include "tables/tables_internal.h"

#include <stdlib.h>

#define PIN_TRIES_MAX 16

basalt_status bs_hdf5_open(
    struct bs_vfs *vfs, const char *path, struct bs_hdf5 **out_file, basalt_error *err)
{
    return bs_hdf5_open_following(vfs, path, BASALT_HDF5_FOLLOW_BESIDE, out_file, err);
}

const char *bs_hdf5_warning(const struct bs_hdf5 *file)
{
    return bs_h5_file_warning(file->h5);
}

static bool is_same_root(const struct bs_h5_file *a, const struct bs_h5_file *b)
{
    const struct bs_h5_superblock *one = bs_h5_file_superblock(a),
                                  *other = bs_h5_file_superblock(b);
    return one->root == other->root && one->end_of_file == other->end_of_file;
}

/* Once: *out_moved says that the root is another now, and file->h5 is the view of that. */
static basalt_status pin_once(
    struct bs_hdf5 *file, enum bs_h5_follow rule, bool *out_moved, basalt_error *err)
{
    struct bs_h5_identity identity;
    struct bs_h5_file *again = NULL;
    *out_moved = false;
    basalt_status status = bs_h5_identity_read(file->h5, &identity, NULL);
    if (status == BASALT_NO_MEMORY) return bs_fail_memory(err, sizeof identity);
    if (status) return BASALT_OK; /* not made by Basalt: nobody reuses space that is in use */
    const uint64_t pin = BS_LOCK_PIN + identity.commit;
    if (file->file->ops->lock(file->file, BS_LOCK_SHARED, pin, 1, NULL)) return BASALT_OK;
    status = bs_h5_file_open_with(file->file, rule, &again, err);
    if (status) return status;
    *out_moved = !is_same_root(file->h5, again);
    if (*out_moved) {
        (void)file->file->ops->lock(file->file, BS_LOCK_NONE, pin, 1, NULL);
        bs_h5_file_close(file->h5);
        file->h5 = again;
    } else {
        bs_h5_file_close(again);
    }
    return BASALT_OK;
}

static basalt_status pin(struct bs_hdf5 *file, enum bs_h5_follow rule, basalt_error *err)
{
    bool moved = true;
    basalt_status status = BASALT_OK;
    for (unsigned tries = 0; !status && moved && tries < PIN_TRIES_MAX; tries++) {
        status = pin_once(file, rule, &moved, err);
    }
    return status;
}

basalt_status bs_hdf5_open_following(struct bs_vfs *vfs, const char *path,
    basalt_hdf5_follow follow, struct bs_hdf5 **out_file, basalt_error *err)
{
    static const enum bs_h5_follow rules[] = {[BASALT_HDF5_FOLLOW_BESIDE] = BS_H5_FOLLOW_BESIDE,
        [BASALT_HDF5_FOLLOW_NOWHERE] = BS_H5_FOLLOW_NOWHERE,
        [BASALT_HDF5_FOLLOW_ANYWHERE] = BS_H5_FOLLOW_ANYWHERE};

    *out_file = NULL;
    struct bs_hdf5 *file = bs_alloc_zeroed(1, sizeof *file);
    if (!file) return bs_fail_memory(err, sizeof *file);
    bs_mutex_init(&file->mutex);
    file->cache_bytes_max = BS_HDF5_CACHE_BYTES;
    basalt_status status = bs_file_open(vfs, path, BS_OPEN_READ, &file->file, err);
    if (!status) bs_file_identify(file->file, &file->identity);
    if (!status) status = bs_h5_file_open_with(file->file, rules[follow], &file->h5, err);
    if (!status) status = pin(file, rules[follow], err);
    if (status) {
        bs_hdf5_close(file);
        return status;
    }
    *out_file = file;
    return BASALT_OK;
}

void bs_hdf5_set_filters(struct bs_hdf5 *file, const struct bs_filter_registry *filters)
{
    bs_h5_file_set_filters(file->h5, filters);
}

void bs_hdf5_set_cache(struct bs_hdf5 *file, uint64_t bytes_max)
{
    file->cache_bytes_max = bytes_max;
}

void bs_hdf5_set_chunk_memory(struct bs_hdf5 *file, uint64_t bytes)
{
    bs_h5_file_set_chunk_memory(file->h5, bytes);
}

void bs_hdf5_set_sched(struct bs_hdf5 *file, struct bs_sched *sched)
{
    file->lent = sched;
}

void bs_hdf5_close(struct bs_hdf5 *file)
{
    if (!file) return;
    bs_h5_file_close(file->h5);
    bs_file_close(file->file);
    bs_sched_free(atomic_load(&file->sched));
    bs_h5_cache_free(atomic_load(&file->cache));
    bs_paths_free(atomic_load(&file->paths));
    bs_mutex_destroy(&file->mutex);
    bs_free(file);
}

basalt_status bs_hdf5_each_attribute(struct bs_hdf5 *file, const char *path,
    basalt_hdf5_attribute_fn each, void *context, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_bytes found = {0}, type = {0}, value = {0};
    bool go_on = true;
    basalt_status status = bs_path_open(file->h5, path, &found, &object, err);
    bs_bytes_free(&found);
    if (status) return status;
    for (size_t i = 0; go_on && i < bs_h5_attribute_count(object); i++) {
        const struct bs_h5_attribute *attribute = bs_h5_attribute_at(object, i);
        type.count = value.count = 0;
        BS_TRY(bs_h5_type_text(attribute->type, &type, err));
        BS_TRY(bs_attribute_json(file, bs_h5_object_file(object), attribute, &value, err));
        bs_bytes_u8(&type, 0);
        bs_bytes_u8(&value, 0);
        BS_TRY(bs_bytes_check(&type, err));
        BS_TRY(bs_bytes_check(&value, err));
        go_on = each(context, attribute->name, (const char *)type.data, (const char *)value.data);
    }
out:
    bs_bytes_free(&type);
    bs_bytes_free(&value);
    bs_h5_object_close(object);
    return status;
}

/* ---- chunks ------------------------------------------------------------------------------------ */

struct chunk_tour {
    const struct bs_h5_dataset *dataset;
    uint64_t base;                          /* of addresses in the file */
    const struct bs_statistics *statistics; /* or NULL */
    basalt_hdf5_chunk_fn each;
    void *context;
};

static basalt_hdf5_bound bound_of(enum bs_bounds_kind kind, union bs_bound bound)
{
    basalt_hdf5_bound shown = {.kind = BASALT_HDF5_BOUND_UNSIGNED, .value.as_unsigned = bound.u};
    if (kind == BS_BOUNDS_SIGNED) {
        shown.kind = BASALT_HDF5_BOUND_SIGNED;
        shown.value.as_signed = bound.i;
    } else if (kind == BS_BOUNDS_FLOAT) {
        shown.kind = BASALT_HDF5_BOUND_FLOAT;
        shown.value.as_float = bound.f;
    }
    return shown;
}

static void show_statistics(
    const struct chunk_tour *tour, const struct bs_h5_chunk *chunk, basalt_hdf5_chunk *shown)
{
    const struct bs_h5_dataset *dataset = tour->dataset;
    struct bs_chunk_statistics found;
    if (!tour->statistics || dataset->space.rank != 1) return;
    const uint64_t all = dataset->space.dims[0], first = chunk->offset[0];
    const uint64_t rows = first < all ? BS_MIN(dataset->chunk_dims[0], all - first) : 0;
    if (!bs_statistics_find(
            tour->statistics, first, rows, chunk->address, chunk->stored_bytes, &found)) {
        return;
    }
    shown->has_statistics = true;
    shown->has_nan = found.has_nan;
    shown->null_count = found.null_count;
    if (found.has_bounds) {
        shown->min = bound_of(found.kind, found.min);
        shown->max = bound_of(found.kind, found.max);
    }
}

static basalt_status show_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    const struct chunk_tour *tour = context;
    basalt_hdf5_chunk shown = {.rank = tour->dataset->space.rank,
        .file_offset = tour->base + chunk->address,
        .stored_bytes = chunk->stored_bytes,
        .filter_mask = chunk->filter_mask};
    memcpy(shown.offset, chunk->offset, sizeof shown.offset);
    show_statistics(tour, chunk, &shown);
    if (tour->each(tour->context, &shown)) return BASALT_OK;
    return bs_fail(err, BASALT_CANCELLED, BASALT_NO_OFFSET, "stopped");
}

basalt_status bs_hdf5_each_chunk(struct bs_hdf5 *file, const char *path, basalt_hdf5_chunk_fn each,
    void *context, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_statistics *statistics = NULL;
    struct bs_bytes found = {0};
    basalt_status status = bs_path_open(file->h5, path, &found, &object, err);
    if (status) goto out;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    struct bs_h5_file *h5 = bs_h5_object_file(object);
    if (!dataset || dataset->layout != BS_H5_CHUNKED) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "\"%.100s\" is not a dataset in chunks", path);
        goto out;
    }
    BS_TRY(bs_family_statistics(file->h5, (const char *)found.data, object, &statistics, err));
    struct chunk_tour tour = {dataset, bs_h5_file_superblock(h5)->base, statistics, each, context};
    status = bs_h5_chunks_each(h5, object, show_chunk, &tour, err);
out:
    bs_statistics_free(statistics);
    bs_bytes_free(&found);
    bs_h5_object_close(object);
    return status == BASALT_CANCELLED ? BASALT_OK : status;
}

/* ---- walk -------------------------------------------------------------------------------------- */

/* Addresses that have been seen: open addressing, a power of two slots, at most half full. */
struct seen {
    uint64_t *slots; /* address + 1, 0: free */
    size_t capacity, count;
};

struct walk {
    struct bs_h5_file *h5; /* a view of the file */
    basalt_hdf5_entry_fn each;
    void *context;
    unsigned depth_max;
    bool stopped;
    struct seen seen;
    struct bs_bytes path; /* of the object at hand, no NUL */
    struct bs_bytes type, filters;
    unsigned depth;
};

static size_t slot_of(const struct seen *seen, uint64_t address)
{
    size_t at = (size_t)(address * 0x9E3779B97F4A7C15u) & (seen->capacity - 1);
    while (seen->slots[at] && seen->slots[at] != address + 1) at = (at + 1) & (seen->capacity - 1);
    return at;
}

static basalt_status seen_grow(struct seen *seen, basalt_error *err)
{
    const struct seen old = *seen;
    seen->capacity = BS_MAX(old.capacity * 2, 64);
    seen->slots = bs_alloc_zeroed(seen->capacity, sizeof *seen->slots);
    if (!seen->slots) {
        *seen = old;
        return bs_fail_memory(err, old.capacity * 2 * sizeof *seen->slots);
    }
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i]) seen->slots[slot_of(seen, old.slots[i] - 1)] = old.slots[i];
    }
    bs_free(old.slots);
    return BASALT_OK;
}

static basalt_status seen_add(struct seen *seen, uint64_t address, bool *out_new, basalt_error *err)
{
    if (seen->count * 2 >= seen->capacity) {
        const basalt_status status = seen_grow(seen, err);
        if (status) return status;
    }
    uint64_t *slot = &seen->slots[slot_of(seen, address)];
    *out_new = *slot == 0;
    if (*slot == 0) seen->count++;
    *slot = address + 1;
    return BASALT_OK;
}

static basalt_status add_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    (void)err;
    *(uint64_t *)context += chunk->stored_bytes;
    return BASALT_OK;
}

static basalt_status stored_bytes(struct walk *walk, const struct bs_h5_object *object,
    const struct bs_h5_dataset *dataset, uint64_t *out_bytes, basalt_error *err)
{
    *out_bytes = 0;
    if (dataset->layout == BS_H5_CHUNKED) {
        return bs_h5_chunks_each(walk->h5, object, add_chunk, out_bytes, err);
    }
    const bool stored = dataset->layout == BS_H5_COMPACT || dataset->address != BS_H5_UNDEFINED;
    if (stored && dataset->layout != BS_H5_VIRTUAL) *out_bytes = dataset->stored_bytes;
    return BASALT_OK;
}

/* "shuffle, deflate 4" */
static void put_filters(struct bs_bytes *out, const struct bs_pipeline *pipeline)
{
    for (unsigned i = 0; i < pipeline->count; i++) {
        const struct bs_filter *filter = &pipeline->filters[i];
        const char *name = bs_filter_name(filter->id);
        bs_bytes_text(out, "%s", i > 0 ? ", " : "");
        if (name) {
            bs_bytes_text(out, "%s", name);
        } else {
            bs_bytes_text(out, "filter %u", filter->id);
        }
        if (filter->id == BS_FILTER_DEFLATE && filter->parameter_count > 0) {
            bs_bytes_text(out, " %" PRIu32, filter->parameters[0]);
        }
    }
}

static basalt_status describe_dataset(struct walk *walk, const struct bs_h5_object *object,
    basalt_hdf5_entry *entry, basalt_error *err)
{
    static const char *const layouts[] = {"compact", "contiguous", "chunked", "virtual"};
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    uint64_t count;
    basalt_status status = bs_h5_space_count(&dataset->space, &count, err);
    if (status) return status;
    entry->rank = dataset->space.rank;
    memcpy(entry->dims, dataset->space.dims, sizeof dataset->space.dims);
    memcpy(entry->max_dims, dataset->space.max_dims, sizeof dataset->space.max_dims);
    entry->layout = layouts[dataset->layout];
    if (dataset->layout == BS_H5_CHUNKED) {
        memcpy(entry->chunk_dims, dataset->chunk_dims, sizeof dataset->chunk_dims);
    }
    walk->filters.count = 0;
    put_filters(&walk->filters, &dataset->pipeline);
    bs_bytes_u8(&walk->filters, 0);
    status = bs_bytes_check(&walk->filters, err);
    if (status) return status;
    entry->filters = (const char *)walk->filters.data;
    entry->raw_bytes = count * dataset->type->size_bytes;
    return stored_bytes(walk, object, dataset, &entry->stored_bytes, err);
}

/* Calls the walker with the path at hand. */
static basalt_status show(struct walk *walk, basalt_hdf5_entry *entry, basalt_error *err)
{
    const size_t bytes = walk->path.count;
    bs_bytes_u8(&walk->path, 0);
    const basalt_status status = bs_bytes_check(&walk->path, err);
    if (status) return status;
    entry->path = (const char *)walk->path.data;
    entry->depth = walk->depth;
    if (!entry->filters) entry->filters = "";
    if (!entry->layout) entry->layout = "";
    if (!entry->type) entry->type = "";
    if (!entry->target) entry->target = "";
    walk->stopped = !walk->each(walk->context, entry);
    walk->path.count = bytes;
    return BASALT_OK;
}

static basalt_status show_object(
    struct walk *walk, const struct bs_h5_object *object, basalt_error *err)
{
    const enum bs_h5_object_kind kind = bs_h5_object_kind(object);
    const struct bs_h5_type *type = bs_h5_object_type(object);
    basalt_hdf5_entry entry = {.attributes = bs_h5_attribute_count(object)};
    basalt_status status = BASALT_OK;
    entry.kind = kind == BS_H5_GROUP ? BASALT_HDF5_GROUP
        : kind == BS_H5_DATASET      ? BASALT_HDF5_DATASET
                                     : BASALT_HDF5_TYPE;
    if (type) {
        walk->type.count = 0;
        status = bs_h5_type_text(type, &walk->type, err);
        bs_bytes_u8(&walk->type, 0);
        if (!status) status = bs_bytes_check(&walk->type, err);
        entry.type = (const char *)walk->type.data;
    }
    if (!status && kind == BS_H5_DATASET) status = describe_dataset(walk, object, &entry, err);
    return status ? status : show(walk, &entry, err);
}

static basalt_status walk_object(struct walk *walk, uint64_t address, basalt_error *err);

/* Puts the link's name behind the path; what it leads to is walked or shown. */
static basalt_status walk_link(struct walk *walk, const struct bs_h5_link *link, basalt_error *err)
{
    const size_t bytes = walk->path.count;
    basalt_status status = BASALT_OK;
    if (bytes != 1) bs_bytes_u8(&walk->path, '/'); /* the root's path ends in one */
    bs_bytes_put(&walk->path, link->name, strlen(link->name));
    walk->depth++;
    if (link->kind == BS_H5_LINK_HARD) {
        status = walk_object(walk, link->address, err);
    } else {
        basalt_hdf5_entry entry = {.target = link->target};
        entry.kind =
            link->kind == BS_H5_LINK_SOFT ? BASALT_HDF5_SOFT_LINK : BASALT_HDF5_EXTERNAL_LINK;
        status = show(walk, &entry, err);
    }
    walk->depth--;
    walk->path.count = bytes;
    return status;
}

/* The links of one group; files keep them in the order of their making, of a hash, or of the name. */
struct links {
    struct bs_h5_link *list; /* name and target are owned */
    size_t count, capacity;
};

static void links_free(struct links *links)
{
    for (size_t i = 0; i < links->count; i++) {
        bs_free((char *)links->list[i].name);
        bs_free((char *)links->list[i].target);
    }
    bs_free(links->list);
}

static basalt_status keep_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct links *links = context;
    if (links->count == links->capacity) {
        const size_t capacity = BS_MAX(links->capacity * 2, 16);
        struct bs_h5_link *larger = bs_realloc(links->list, capacity * sizeof *larger);
        if (!larger) return bs_fail_memory(err, capacity * sizeof *larger);
        links->list = larger;
        links->capacity = capacity;
    }
    struct bs_h5_link *kept = &links->list[links->count++];
    *kept = *link;
    kept->name = bs_copy_string(link->name);
    kept->target = link->target ? bs_copy_string(link->target) : NULL;
    if (kept->name && (kept->target || !link->target)) return BASALT_OK;
    return bs_fail_memory(err, strlen(link->name));
}

static int compare_links(const void *a, const void *b)
{
    return strcmp(((const struct bs_h5_link *)a)->name, ((const struct bs_h5_link *)b)->name);
}

static basalt_status walk_group(
    struct walk *walk, const struct bs_h5_object *group, basalt_error *err)
{
    struct links links = {0};
    basalt_status status = bs_h5_group_each(walk->h5, group, keep_link, &links, err);
    if (!status && links.count) qsort(links.list, links.count, sizeof *links.list, compare_links);
    for (size_t i = 0; !status && !walk->stopped && i < links.count; i++) {
        status = walk_link(walk, &links.list[i], err);
    }
    links_free(&links);
    return status;
}

/* An object that this reader does not know is shown with the reason as its type, so that the others
 * are still listed. */
static basalt_status show_unknown(struct walk *walk, const basalt_error *reason, basalt_error *err)
{
    basalt_hdf5_entry entry = {.kind = BASALT_HDF5_DATASET, .type = reason->message};
    return show(walk, &entry, err);
}

static basalt_status walk_object(struct walk *walk, uint64_t address, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    basalt_error reason = {0};
    bool is_new = false;
    basalt_status status = seen_add(&walk->seen, address, &is_new, err);
    if (status || !is_new) return status;
    status = bs_h5_object_open(walk->h5, address, &object, &reason);
    if (status == BASALT_UNSUPPORTED) return show_unknown(walk, &reason, err);
    if (status) {
        if (err) *err = reason;
        return status;
    }
    BS_TRY(show_object(walk, object, err));
    if (walk->stopped || bs_h5_object_kind(object) != BS_H5_GROUP) goto out;
    if (walk->depth >= walk->depth_max) goto out;
    if (walk->depth >= BS_WALK_DEPTH_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "groups are nested deeper than %d", BS_WALK_DEPTH_MAX);
        goto out;
    }
    BS_TRY(walk_group(walk, object, err));
out:
    bs_h5_object_close(object);
    return status;
}

basalt_status bs_hdf5_walk(struct bs_hdf5 *file, const char *path, unsigned depth_max,
    basalt_hdf5_entry_fn each, void *context, basalt_error *err)
{
    struct walk walk = {.each = each, .context = context, .depth_max = depth_max};
    struct bs_h5_object *object = NULL; /* open until the end: it may be all that holds its file */
    basalt_status status = bs_path_open(file->h5, path, &walk.path, &object, err);
    if (!status) status = bs_h5_view_create(bs_h5_object_file(object), &walk.h5, err);
    if (!status) {
        walk.path.count--; /* its NUL */
        status = walk_object(&walk, bs_h5_object_address(object), err);
    }
    bs_free(walk.seen.slots);
    bs_bytes_free(&walk.path);
    bs_bytes_free(&walk.type);
    bs_bytes_free(&walk.filters);
    bs_h5_view_free(walk.h5);
    bs_h5_object_close(object);
    return status;
}
