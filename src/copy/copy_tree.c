/* copy_tree.c - objects and links of the source, made again.
 *
 * Three passes, since an object may share a committed type that comes later by name, and a link may lead
 * to an object that does:
 *   find     walks the links, makes groups and committed types, notes datasets and further hard links
 *   make     datasets and all attributes
 *   alias    the further hard links
 * Attributes and fill values that name places in the file get zeros, and their values after bs_h5_place,
 * when every object of the copy has its address (bs_copy_late).
 *
 * An object is what its first link, in the order of names, says that it is called. */
#include "copy/copy_internal.h"

#include <stdlib.h>

#define IDENTITY_NAME ".basalt"
#define DEPTH_MAX BS_H5_DEPTH_MAX

/* ---- the map ------------------------------------------------------------------------------- */

static struct bs_copy_place *place_of(const struct bs_copy_map *map, uint64_t address)
{
    size_t at = (size_t)(address * 0x9E3779B97F4A7C15u >> 20) & (map->room - 1);
    while (map->slots[at].address && map->slots[at].address != address + 1) {
        at = (at + 1) & (map->room - 1);
    }
    return &map->slots[at];
}

static basalt_status map_grow(struct bs_copy_map *map, basalt_error *err)
{
    struct bs_copy_map grown = {.room = map->room ? 2 * map->room : 256, .count = map->count};
    grown.slots = bs_alloc_zeroed(grown.room, sizeof *grown.slots);
    if (!grown.slots) return bs_fail_memory(err, grown.room * sizeof *grown.slots);
    for (size_t i = 0; i < map->room; i++) {
        if (map->slots[i].address) {
            *place_of(&grown, map->slots[i].address - 1) = map->slots[i];
        }
    }
    bs_free(map->slots);
    *map = grown;
    return BASALT_OK;
}

basalt_status bs_copy_map_add(struct bs_copy_map *map, uint64_t address,
    struct bs_copy_place **out_place, bool *out_new, basalt_error *err)
{
    if (2 * map->count >= map->room) {
        const basalt_status status = map_grow(map, err);
        if (status) return status;
    }
    *out_place = place_of(map, address);
    *out_new = (*out_place)->address == 0;
    map->count += *out_new;
    (*out_place)->address = address + 1;
    return BASALT_OK;
}

struct bs_h5_node *bs_copy_map_find(const struct bs_copy_map *map, uint64_t address)
{
    return map->room && address != BS_H5_UNDEFINED ? place_of(map, address)->node : NULL;
}

/* ---- the lists ----------------------------------------------------------------------------- */

static basalt_status reserve(
    void **items, size_t count, size_t *capacity, size_t item_bytes, basalt_error *err)
{
    if (count < *capacity) return BASALT_OK;
    const size_t room = BS_MAX(*capacity * 2, (size_t)16);
    void *grown = bs_realloc(*items, room * item_bytes);
    if (!grown) return bs_fail_memory(err, room * item_bytes);
    *items = grown;
    *capacity = room;
    return BASALT_OK;
}

void bs_copy_tree_free(struct bs_copy *copy)
{
    for (size_t i = 0; i < copy->object_count; i++) bs_free(copy->objects[i].path);
    for (size_t i = 0; i < copy->alias_count; i++) bs_free(copy->aliases[i].name);
    bs_free(copy->objects);
    bs_free(copy->aliases);
    bs_free(copy->map.slots);
    copy->objects = NULL;
    copy->aliases = NULL;
    copy->object_count = copy->alias_count = 0;
    copy->map = (struct bs_copy_map){0};
}

struct links { /* of one group, by name */
    struct bs_h5_link *list;
    size_t count, capacity;
};

static void links_free(struct links *links)
{
    for (size_t i = 0; i < links->count; i++) {
        bs_free((char *)(uintptr_t)links->list[i].name);
        bs_free((char *)(uintptr_t)links->list[i].target);
    }
    bs_free(links->list);
}

static basalt_status links_add(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct links *links = context;
    const basalt_status status =
        reserve((void **)&links->list, links->count, &links->capacity, sizeof *links->list, err);
    if (status) return status;
    struct bs_h5_link *kept = &links->list[links->count++];
    *kept = *link;
    kept->name = bs_copy_string(link->name);
    kept->target = link->target ? bs_copy_string(link->target) : NULL;
    if (kept->name && (kept->target || !link->target)) return BASALT_OK;
    return bs_fail_memory(err, strlen(link->name) + 1);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct bs_h5_link *)a)->name, ((const struct bs_h5_link *)b)->name);
}

/* ---- find ---------------------------------------------------------------------------------- */

struct finder {
    struct bs_copy *copy;
    struct bs_bytes path; /* of the object at hand, no NUL; the root's is empty */
    unsigned depth;
    bool *found; /* of options->paths */
    bool is_store;
};

/* Is the object at this path wanted, or only on the way to one that is? */
enum want { WANT_NOTHING, WANT_WAY, WANT_ALL };
static enum want want_path(struct finder *finder)
{
    const basalt_hdf5_copy_options *options = finder->copy->options;
    const char *path = finder->path.count ? (const char *)finder->path.data : "";
    const size_t length = finder->path.count;
    enum want want = options->path_count ? WANT_NOTHING : WANT_ALL;
    for (size_t i = 0; i < options->path_count; i++) {
        const char *wanted = options->paths[i];
        size_t count = strlen(wanted);
        while (count > 0 && wanted[count - 1] == '/') count--;
        const bool slash = count > 0 && wanted[0] == '/';
        const char *below = path + (slash || length == 0 ? 0 : 1); /* without its slash */
        const size_t below_length = length - (size_t)(below - path);
        const size_t common = BS_MIN(count, below_length);
        if (memcmp(below, wanted, common) != 0) continue;
        if (below_length >= count && (below_length == count || count == 0 || below[count] == '/')) {
            finder->found[i] |= below_length == count;
            want = WANT_ALL;
        } else if (below_length < count && (below_length == 0 || wanted[below_length] == '/')) {
            want = BS_MAX(want, WANT_WAY);
        }
    }
    return want;
}

static basalt_status copy_path(struct finder *finder, char **out_path, basalt_error *err)
{
    const size_t count = finder->path.count;
    *out_path = bs_alloc(count + 2);
    if (!*out_path) return bs_fail_memory(err, count + 2);
    if (count) memcpy(*out_path, finder->path.data, count);
    if (!count) (*out_path)[0] = '/';
    (*out_path)[BS_MAX(count, (size_t)1)] = 0;
    return BASALT_OK;
}

static basalt_status find_object(struct finder *finder, struct bs_h5_node *parent, const char *name,
    uint64_t address, enum want want, basalt_error *err);

static basalt_status find_link(struct finder *finder, struct bs_h5_node *group,
    const struct bs_h5_link *link, basalt_error *err)
{
    struct bs_copy *copy = finder->copy;
    const size_t before = finder->path.count;
    basalt_status status = BASALT_OK;
    bs_bytes_u8(&finder->path, '/');
    bs_bytes_put(&finder->path, link->name, strlen(link->name));
    BS_TRY(bs_bytes_check(&finder->path, err));
    const enum want want = want_path(finder);
    if (want == WANT_NOTHING) goto out;
    if (link->kind == BS_H5_LINK_HARD) {
        if (finder->is_store && finder->depth == 0 && !strcmp(link->name, IDENTITY_NAME)) {
            goto out;
        }
        finder->depth++;
        status = find_object(finder, group, link->name, link->address, want, err);
        finder->depth--;
        goto out;
    }
    if (want != WANT_ALL) goto out;
    if (link->kind == BS_H5_LINK_USER) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the link \"%.100s\" is user-defined (%.20s), which only its makers can copy",
            link->name, link->target);
        goto out;
    }
    BS_TRY(bs_h5_make_link(copy->to, group, link, err));
    copy->report->links++;
out:
    finder->path.count = before;
    return status;
}

static basalt_status find_links(struct finder *finder, const struct bs_h5_object *object,
    struct bs_h5_node *group, basalt_error *err)
{
    struct links links = {0};
    basalt_status status = BASALT_OK;
    if (finder->depth >= DEPTH_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "groups are nested more than %d deep", DEPTH_MAX);
    }
    status = bs_h5_group_each(finder->copy->from, object, links_add, &links, err);
    if (!status && links.count) qsort(links.list, links.count, sizeof *links.list, by_name);
    for (size_t i = 0; !status && i < links.count; i++) {
        status = bs_cancel_check(finder->copy->parts->cancel, err);
        if (!status) status = find_link(finder, group, &links.list[i], err);
    }
    links_free(&links);
    return status;
}

static basalt_status note_alias(struct bs_copy *copy, struct bs_h5_node *parent, const char *name,
    uint64_t address, basalt_error *err)
{
    basalt_status status = reserve((void **)&copy->aliases, copy->alias_count,
        &copy->alias_capacity, sizeof *copy->aliases, err);
    if (status) return status;
    char *copied = bs_copy_string(name);
    if (!copied) return bs_fail_memory(err, strlen(name) + 1);
    copy->aliases[copy->alias_count++] = (struct bs_copy_alias){parent, address, copied};
    return BASALT_OK;
}

/* Of the root `parent` is NULL. */
static basalt_status note_object(struct finder *finder, struct bs_h5_node *parent, const char *name,
    const struct bs_h5_object *object, struct bs_h5_node **out_node, basalt_error *err)
{
    struct bs_copy *copy = finder->copy;
    struct bs_h5_type *type = NULL;
    struct bs_copy_object found = {.kind = bs_h5_object_kind(object),
        .address = bs_h5_object_address(object),
        .parent = parent};
    basalt_status status = BASALT_OK;
    BS_TRY(reserve((void **)&copy->objects, copy->object_count, &copy->object_capacity,
        sizeof *copy->objects, err));
    BS_TRY(copy_path(finder, &found.path, err));
    found.name_at = strlen(found.path) - strlen(name);
    switch (found.kind) {
    case BS_H5_GROUP:
        found.node = bs_h5_root(copy->to);
        if (parent) BS_TRY(bs_h5_make_group(copy->to, parent, name, &found.node, err));
        copy->report->groups++;
        break;
    case BS_H5_COMMITTED_TYPE:
        BS_TRY(bs_copy_type(copy, bs_h5_object_type(object), &type, err));
        BS_TRY(bs_h5_make_type(copy->to, parent, name, type, &found.node, err));
        copy->report->types++;
        break;
    case BS_H5_DATASET: copy->report->datasets++; break;
    }
    *out_node = found.node;
    copy->objects[copy->object_count++] = found;
    found.path = NULL;
out:
    bs_h5_type_free(type);
    bs_free(found.path);
    return status;
}

static void say_where(struct finder *finder, basalt_error *err)
{
    char *path = NULL;
    if (err && !copy_path(finder, &path, NULL)) bs_error_prefix(err, "%.120s", path);
    bs_free(path);
}

static basalt_status find_object(struct finder *finder, struct bs_h5_node *parent, const char *name,
    uint64_t address, enum want want, basalt_error *err)
{
    struct bs_copy *copy = finder->copy;
    struct bs_h5_object *object = NULL;
    struct bs_h5_node *node = NULL;
    struct bs_copy_place *place = NULL;
    bool is_new = false, told = false;
    basalt_status status = bs_h5_object_open(copy->from, address, &object, err);
    if (status) goto out;
    /* What is only on the way is not copied unless it is a group. */
    if (want != WANT_ALL && bs_h5_object_kind(object) != BS_H5_GROUP) goto out;
    BS_TRY(bs_copy_map_add(&copy->map, address, &place, &is_new, err));
    if (!is_new) {
        status = note_alias(copy, parent, name, address, err);
        goto out;
    }
    BS_TRY(note_object(finder, parent, name, object, &node, err));
    place->node = node;
    told = true; /* what is inside says itself where it is */
    if (bs_h5_object_kind(object) == BS_H5_GROUP) BS_TRY(find_links(finder, object, node, err));
    told = false;
out:
    if (status && !told) say_where(finder, err);
    bs_h5_object_close(object);
    return status;
}

/* ---- make ---------------------------------------------------------------------------------- */

static basalt_status make_attribute(struct bs_copy *copy, struct bs_copy_object *owner,
    const struct bs_h5_attribute *attribute, basalt_error *err)
{
    struct bs_h5_type *type = NULL;
    uint8_t *zeros = NULL;
    uint64_t count = 0;
    const bool refers = bs_copy_refers(attribute->type);
    basalt_status status = bs_copy_type(copy, attribute->type, &type, err);
    if (status) goto out;
    BS_TRY(bs_h5_space_count(&attribute->space, &count, err));
    if (refers && count <= BS_H5_ATTRIBUTE_BYTES_MAX / type->size_bytes) {
        zeros = bs_alloc_zeroed((size_t)count + 1, type->size_bytes);
        if (!zeros) BS_TRY(bs_fail_memory(err, (size_t)count * type->size_bytes));
    }
    owner->refers |= refers;
    BS_TRY(bs_h5_make_attribute(copy->to, owner->node, attribute->name, type,
        bs_copy_map_find(&copy->map, attribute->type_address), &attribute->space,
        refers ? zeros : attribute->bytes, err));
out:
    if (status) bs_error_prefix(err, "attribute %.60s", attribute->name);
    bs_free(zeros);
    bs_h5_type_free(type);
    return status;
}

/* The fill value as the copy has it, until bs_copy_late: zeros where it names places. */
static basalt_status make_fill(const struct bs_h5_dataset *dataset, const struct bs_copy_plan *plan,
    uint8_t **out_fill, basalt_error *err)
{
    *out_fill = NULL;
    if (!dataset->fill) return BASALT_OK;
    *out_fill = plan->refers ? bs_alloc_zeroed(1, plan->element_bytes)
                             : bs_copy_bytes(dataset->fill, plan->element_bytes);
    return *out_fill ? BASALT_OK : bs_fail_memory(err, plan->element_bytes);
}

static basalt_status make_dataset(struct bs_copy *copy, struct bs_copy_object *found,
    const struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    struct bs_h5_array_spec *spec = NULL;
    struct bs_copy_plan *plan = bs_alloc_zeroed(1, sizeof *plan); /* with 32 filters it is large */
    uint8_t *fill = NULL;
    uint64_t count = 0;
    basalt_status status = BASALT_OK;
    spec = bs_alloc_zeroed(1, sizeof *spec);
    if (!plan || !spec) BS_TRY(bs_fail_memory(err, sizeof *plan));
    BS_TRY(bs_copy_plan_make(copy, found->path, dataset, plan, err));
    BS_TRY(make_fill(dataset, plan, &fill, err));
    *spec = (struct bs_h5_array_spec){.type = plan->type,
        .type_node = bs_copy_map_find(&copy->map, dataset->type_address),
        .space = dataset->space,
        .layout = plan->layout,
        .pipeline = plan->pipeline,
        .fill = fill,
        .stored = plan->stored};
    memcpy(spec->chunk_dims, plan->tile_dims, sizeof spec->chunk_dims);
    BS_TRY(bs_h5_make_array(
        copy->to, found->parent, found->path + found->name_at, spec, &found->node, err));
    BS_TRY(bs_h5_space_count(&dataset->space, &count, err));
    found->element_bytes =
        count > UINT64_MAX / plan->element_bytes ? UINT64_MAX : count * plan->element_bytes;
    found->item_bytes = plan->tile_elements * plan->element_bytes;
    found->refers |= plan->refers && dataset->fill;
    copy->report->element_bytes +=
        BS_MIN(found->element_bytes, UINT64_MAX - copy->report->element_bytes);
    copy->report->brought_in += dataset->external || dataset->layout == BS_H5_VIRTUAL;
out:
    if (plan) bs_copy_plan_free(plan);
    bs_free(plan);
    bs_free(spec);
    bs_free(fill);
    return status;
}

static basalt_status make_object(
    struct bs_copy *copy, struct bs_copy_object *found, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_copy_place *place;
    bool is_new;
    basalt_status status = bs_h5_object_open(copy->from, found->address, &object, err);
    if (status) goto out;
    if (found->kind == BS_H5_DATASET) {
        BS_TRY(make_dataset(copy, found, object, err));
        BS_TRY(bs_copy_map_add(&copy->map, found->address, &place, &is_new, err));
        place->node = found->node;
    }
    for (size_t i = 0; i < bs_h5_attribute_count(object); i++) {
        BS_TRY(make_attribute(copy, found, bs_h5_attribute_at(object, i), err));
    }
out:
    if (status) bs_error_prefix(err, "%.120s", found->path);
    bs_h5_object_close(object);
    return status;
}

static basalt_status check_found(const struct finder *finder, basalt_error *err)
{
    const basalt_hdf5_copy_options *options = finder->copy->options;
    for (size_t i = 0; i < options->path_count; i++) {
        if (finder->found[i]) continue;
        return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET,
            "\"%.150s\" is not in the file, or only behind a soft link", options->paths[i]);
    }
    return BASALT_OK;
}

basalt_status bs_copy_tree(struct bs_copy *copy, basalt_error *err)
{
    struct bs_h5_identity identity;
    struct finder finder = {
        .copy = copy, .is_store = !bs_h5_identity_read(copy->from, &identity, NULL)};
    basalt_status status = BASALT_OK;
    finder.found = bs_alloc_zeroed(copy->options->path_count + 1, sizeof *finder.found);
    if (!finder.found) return bs_fail_memory(err, copy->options->path_count + 1);
    BS_TRY(find_object(&finder, NULL, "/", bs_h5_file_superblock(copy->from)->root,
        BS_MAX(want_path(&finder), WANT_WAY), err));
    BS_TRY(check_found(&finder, err));
    for (size_t i = 0; i < copy->object_count; i++) {
        BS_TRY(bs_cancel_check(copy->parts->cancel, err));
        BS_TRY(make_object(copy, &copy->objects[i], err));
    }
    for (size_t i = 0; i < copy->alias_count; i++) {
        const struct bs_copy_alias *alias = &copy->aliases[i];
        struct bs_h5_node *node = bs_copy_map_find(&copy->map, alias->address);
        assert(node); /* all that was found has been made */
        BS_TRY(bs_h5_make_alias(copy->to, alias->parent, alias->name, node, err));
    }
out:
    bs_bytes_free(&finder.path);
    bs_free(finder.found);
    return status;
}

/* ---- late ---------------------------------------------------------------------------------- */

static basalt_status late_attribute(struct bs_copy_values *values, struct bs_h5_node *node,
    const struct bs_h5_attribute *attribute, basalt_error *err)
{
    struct bs_h5_type *type = NULL;
    uint8_t *elements = NULL;
    uint64_t count = 0;
    basalt_status status = bs_copy_type(values->copy, attribute->type, &type, err);
    if (status) goto out;
    BS_TRY(bs_h5_space_count(&attribute->space, &count, err));
    const size_t bytes = (size_t)count * type->size_bytes;
    elements = bs_alloc(bytes);
    if (!elements) BS_TRY(bs_fail_memory(err, bytes));
    BS_TRY(bs_copy_elements(values, attribute->type, type, attribute->bytes, elements, count, err));
    bs_h5_change_attribute(node, attribute->name, elements, bytes);
out:
    if (status) bs_error_prefix(err, "attribute %.60s", attribute->name);
    bs_free(elements);
    bs_h5_type_free(type);
    return status;
}

static basalt_status late_fill(struct bs_copy_values *values, struct bs_h5_node *node,
    const struct bs_h5_dataset *dataset, basalt_error *err)
{
    struct bs_h5_type *type = NULL;
    uint8_t *fill = NULL;
    basalt_status status = bs_copy_type(values->copy, dataset->type, &type, err);
    if (status) return status;
    fill = bs_alloc(type->size_bytes);
    if (!fill) BS_TRY(bs_fail_memory(err, type->size_bytes));
    BS_TRY(bs_copy_elements(values, dataset->type, type, dataset->fill, fill, 1, err));
    bs_h5_change_fill(node, fill);
out:
    bs_free(fill);
    bs_h5_type_free(type);
    return status;
}

static basalt_status late_object(
    struct bs_copy_values *values, const struct bs_copy_object *found, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    basalt_status status = bs_h5_object_open(values->copy->from, found->address, &object, err);
    if (status) goto out;
    for (size_t i = 0; i < bs_h5_attribute_count(object); i++) {
        const struct bs_h5_attribute *attribute = bs_h5_attribute_at(object, i);
        if (!bs_copy_refers(attribute->type)) continue;
        BS_TRY(late_attribute(values, found->node, attribute, err));
    }
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    if (dataset && dataset->fill && bs_copy_refers(dataset->type)) {
        BS_TRY(late_fill(values, found->node, dataset, err));
    }
out:
    if (status) bs_error_prefix(err, "%.120s", found->path);
    bs_h5_object_close(object);
    return status;
}

basalt_status bs_copy_late(struct bs_copy *copy, basalt_error *err)
{
    struct bs_copy_values values;
    basalt_status status = bs_copy_values_open(copy, &values, err);
    if (status) return status;
    for (size_t i = 0; i < copy->object_count; i++) {
        if (!copy->objects[i].refers) continue;
        BS_TRY(bs_cancel_check(copy->parts->cancel, err));
        BS_TRY(late_object(&values, &copy->objects[i], err));
    }
    BS_TRY(bs_h5_packer_flush(values.packer, err));
out:
    bs_copy_values_close(&values);
    return status;
}
