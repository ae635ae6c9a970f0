/* attribute.c - text attributes: what a memtable has of one hides what is in the file. */
#include "store/store_internal.h"

/* The newest value that the snapshot sees in the memtables, or NULL. */
static const char *in_memory(
    const struct bs_snapshot *snapshot, const struct bs_family *family, const char *name)
{
    struct bs_memtable *const memtables[] = {snapshot->view->active, snapshot->view->frozen};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(memtables); i++) {
        const char *value = NULL;
        if (!memtables[i]) continue;
        for (const struct bs_op *op =
                 bs_op_first(&memtables[i]->attributes.first, snapshot->position);
             op; op = bs_op_next(op, snapshot->position)) {
            if (op->family == family && !strcmp(op->name, name)) value = op->value;
        }
        if (value) return value;
    }
    return NULL;
}

/* *out_object stays NULL if the family is not in this root of the file. */
static basalt_status open_group(const struct bs_snapshot *snapshot, const struct bs_family *family,
    struct bs_h5_object **out_object, basalt_error *err)
{
    const struct bs_root *root = snapshot->view->root;
    char *path = NULL;
    *out_object = NULL;
    if (!family) return bs_h5_object_open_path(root->h5, "/", out_object, err);
    if (family->created > root->cut) return BASALT_OK;
    basalt_status status = bs_family_path(family->name, NULL, &path, err);
    if (!status) status = bs_h5_object_open_path(root->h5, path, out_object, err);
    bs_free(path);
    return status;
}

static basalt_status find_target(struct bs_snapshot *snapshot, const char *name,
    struct bs_family **out_family, basalt_error *err)
{
    *out_family = NULL;
    return name ? bs_view_family(snapshot->store, snapshot->position, name, out_family, err)
                : BASALT_OK;
}

/* What a family has before its first checkpoint, as make_own of family_file.c will write it. */
static bool by_nature(const struct bs_family *family, const char *name, char *out, size_t out_bytes,
    const char **out_value)
{
    if (!family) return false;
    if (!strcmp(name, "instrument_id")) {
        *out_value = family->name;
        return true;
    }
    if (strcmp(name, "created_at") != 0) return false;
    bs_format_time(family->created_wall_ns, out, out_bytes);
    *out_value = out;
    return true;
}

static basalt_status copy_out(const char *value, char **out_value, basalt_error *err)
{
    *out_value = bs_copy_string(value);
    return *out_value ? BASALT_OK : bs_fail_memory(err, strlen(value) + 1);
}

basalt_status bs_store_get_attribute(struct bs_store *store, const char *family_name,
    const char *name, char **out_value, basalt_error *err)
{
    struct bs_snapshot *snapshot = NULL;
    struct bs_family *family;
    struct bs_h5_object *object = NULL;
    const struct bs_h5_attribute *attribute = NULL;
    char time[64];
    const char *value;
    *out_value = NULL;
    basalt_status status = bs_snapshot_create(store, &snapshot, err);
    if (status) return status;
    BS_TRY(find_target(snapshot, family_name, &family, err));
    value = in_memory(snapshot, family, name);
    if (!value) {
        BS_TRY(open_group(snapshot, family, &object, err));
        if (object) attribute = bs_h5_attribute_find(object, name);
    }
    if (value || (!object && by_nature(family, name, time, sizeof time, &value))) {
        status = copy_out(value, out_value, err);
    } else if (!attribute) {
        status = bs_fail(
            err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "there is no attribute \"%.100s\"", name);
    } else {
        status = bs_h5_attribute_text(snapshot->view->root->h5, attribute, out_value, err);
    }
out:
    bs_h5_object_close(object);
    bs_snapshot_close(&snapshot);
    return status;
}

/* ---- all of them --------------------------------------------------------------------------------- */

struct listing {
    struct bs_snapshot *snapshot;
    struct bs_family *family;
    basalt_attribute_fn each;
    void *context;
    bool stopped;
};

static basalt_status list_file(
    struct listing *listing, const struct bs_h5_object *object, basalt_error *err)
{
    for (size_t i = 0; i < bs_h5_attribute_count(object) && !listing->stopped; i++) {
        const struct bs_h5_attribute *attribute = bs_h5_attribute_at(object, i);
        char *text = NULL;
        const bool is_text =
            attribute->type->kind == BS_H5_STRING || attribute->type->variable_string;
        if (!is_text || bs_attribute_is_layout(attribute->name) || attribute->space.rank) continue;
        if (in_memory(listing->snapshot, listing->family, attribute->name)) continue;
        const basalt_status status =
            bs_h5_attribute_text(listing->snapshot->view->root->h5, attribute, &text, err);
        if (status) return status;
        listing->stopped = !listing->each(listing->context, attribute->name, text);
        bs_free(text);
    }
    return BASALT_OK;
}

static void list_nature(struct listing *listing)
{
    static const char *const NAMES[] = {"instrument_id", "created_at"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(NAMES) && !listing->stopped; i++) {
        char time[64];
        const char *value;
        if (in_memory(listing->snapshot, listing->family, NAMES[i])) continue;
        if (by_nature(listing->family, NAMES[i], time, sizeof time, &value)) {
            listing->stopped = !listing->each(listing->context, NAMES[i], value);
        }
    }
}

/* Each name once, with its newest value: where its last operation stands. */
static void list_memory(struct listing *listing, struct bs_memtable *memtable)
{
    const bs_lsn position = listing->snapshot->position;
    if (!memtable) return;
    for (const struct bs_op *op = bs_op_first(&memtable->attributes.first, position);
         op && !listing->stopped; op = bs_op_next(op, position)) {
        if (op->family != listing->family) continue;
        if (in_memory(listing->snapshot, listing->family, op->name) != op->value) continue;
        listing->stopped = !listing->each(listing->context, op->name, op->value);
    }
}

basalt_status bs_store_each_attribute(struct bs_store *store, const char *family_name,
    basalt_attribute_fn each, void *context, basalt_error *err)
{
    struct listing listing = {.each = each, .context = context};
    struct bs_h5_object *object = NULL;
    basalt_status status = bs_snapshot_create(store, &listing.snapshot, err);
    if (status) return status;
    BS_TRY(find_target(listing.snapshot, family_name, &listing.family, err));
    BS_TRY(open_group(listing.snapshot, listing.family, &object, err));
    if (object) {
        BS_TRY(list_file(&listing, object, err));
    } else {
        list_nature(&listing);
    }
    list_memory(&listing, listing.snapshot->view->frozen);
    list_memory(&listing, listing.snapshot->view->active);
out:
    bs_h5_object_close(object);
    bs_snapshot_close(&listing.snapshot);
    return status;
}
