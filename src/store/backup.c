/* backup.c - one snapshot of a store, live or dead, as a new store.
 *
 * The source is opened as any reader opens it, log included, and its rows and attributes are written
 * through a store of their own, under another name that becomes the destination's only after the
 * clean close: a crash leaves nothing that looks like a backup. A kill leaves DEST.part-HEX (16 random
 * digits) and its log, which the next backup to DEST removes: unless somebody holds its writer's lock,
 * or the lock of the backup, which spans the time from the first one's release to the rename. */
#include "store/store_internal.h"

struct backup {
    struct bs_store *from, *to;
    struct bs_file *guard; /* of what is being made; holds the lock of the backup */
    basalt_progress_fn progress;
    void *context;
    uint64_t rows_done, rows_all, bytes_all;
    const char *family; /* the attributes that are being copied are its; NULL: the root's */
    basalt_status status;
    basalt_error *err;
};

static basalt_status tell(struct backup *backup)
{
    const double part =
        backup->rows_all ? (double)backup->rows_done / (double)backup->rows_all : 1.0;
    if (!backup->progress) return BASALT_OK;
    const uint64_t done = (uint64_t)((double)backup->bytes_all * part);
    if (backup->progress(backup->context, BS_MIN(done, backup->bytes_all), backup->bytes_all)) {
        return BASALT_OK;
    }
    return bs_fail(backup->err, BASALT_CANCELLED, BASALT_NO_OFFSET, "the backup was cancelled");
}

static bool copy_attribute(void *context, const char *name, const char *value)
{
    struct backup *backup = context;
    backup->status = bs_store_set_attribute(backup->to, backup->family, name, value, backup->err);
    return backup->status == BASALT_OK;
}

static basalt_status copy_attributes(struct backup *backup, const char *family)
{
    backup->family = family;
    backup->status = BASALT_OK;
    const basalt_status status =
        bs_store_each_attribute(backup->from, family, copy_attribute, backup, backup->err);
    return status ? status : backup->status;
}

static basalt_status copy_rows(struct backup *backup, const char *family)
{
    struct ArrowArrayStream stream = {0};
    bool end = false;
    basalt_status status = bs_store_scan(backup->from, NULL, family, NULL, &stream, backup->err);
    while (!status && !end) {
        struct ArrowArray array = {0};
        status = bs_stream_next(&stream, &array, &end, backup->err);
        if (!status && !end) {
            status =
                bs_store_append(backup->to, family, &array, NULL, BASALT_VOLATILE, backup->err);
            backup->rows_done += (uint64_t)array.length;
        }
        if (array.release) array.release(&array);
        if (!status) status = tell(backup);
    }
    if (stream.release) stream.release(&stream);
    return status;
}

static basalt_status copy_family(struct backup *backup, const struct bs_family *family)
{
    struct ArrowSchema schema = {0};
    const basalt_family_options options = {.struct_bytes = sizeof options,
        .compression_level = family->compression_level,
        .chunk_rows = family->chunk_rows,
        .row_index = family->row_index};
    basalt_status status = bs_schema_export(family->schema, &schema, backup->err);
    if (!status) {
        status = bs_store_family_create(backup->to, family->name, &schema, &options, backup->err);
    }
    if (schema.release) schema.release(&schema);
    if (!status) status = copy_attributes(backup, family->name);
    if (!status) status = copy_rows(backup, family->name);
    return status;
}

static basalt_status copy_everything(struct backup *backup)
{
    basalt_status status = copy_attributes(backup, NULL);
    for (struct bs_family *family = atomic_load(&backup->from->catalogue.first); family && !status;
         family = atomic_load(&family->next)) {
        status = copy_family(backup, family);
    }
    return status;
}

static void remove_partial(struct bs_vfs *vfs, const char *path)
{
    basalt_status ignored = bs_wal_remove_all(vfs, path, 0, NULL);
    (void)ignored; /* the failure that led here counts; the name says what is left over */
    ignored = vfs->ops->remove(vfs, path, NULL);
    (void)ignored;
}

static bool is_dead(struct bs_vfs *vfs, const char *path)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_identity identity;
    if (bs_file_open(vfs, path, BS_OPEN_READ, &file, NULL)) return false;
    const bool dead = !bs_h5_file_open(file, &h5, NULL) &&
        !bs_h5_identity_read(h5, &identity, NULL) && !bs_part_is_held(file);
    bs_h5_file_close(h5);
    bs_file_close(file);
    return dead;
}

static bool remove_dead(struct bs_vfs *vfs, const char *path)
{
    if (is_dead(vfs, path)) remove_partial(vfs, path);
    return true;
}

static basalt_status guard_part(struct bs_vfs *vfs, const char *part, struct backup *backup)
{
    basalt_status status = bs_file_open(vfs, part, BS_OPEN_READ, &backup->guard, backup->err);
    if (status) return status;
    status =
        backup->guard->ops->lock(backup->guard, BS_LOCK_SHARED, BS_LOCK_BACKUP, 1, backup->err);
    return status == BASALT_UNSUPPORTED ? BASALT_OK : status; /* nor can anybody probe it then */
}

static basalt_status open_both(const struct bs_env_parts *parts, const char *path, const char *part,
    struct backup *backup, basalt_error *err)
{
    basalt_store_options options;
    bs_store_options_fill(&options, NULL);
    options.access = BASALT_READ_FRESH;
    basalt_status status = bs_store_open(parts, path, &options, &backup->from, err);
    if (status) return status;
    options.access = BASALT_CREATE_NEW;
    options.checkpoint_age_ms = 0;
    options.grace_ms = 0; /* nobody knows the file yet */
    status = bs_store_open(parts, part, &options, &backup->to, err);
    if (!status) status = guard_part(parts->vfs, part, backup);
    backup->rows_all = atomic_load(&backup->from->rows_visible);
    if (!status) status = bs_file_size(backup->from->file, &backup->bytes_all, err);
    return status;
}

basalt_status bs_store_backup(const struct bs_env_parts *parts, const char *path,
    const char *destination, basalt_progress_fn progress, void *context, basalt_error *err)
{
    struct backup backup = {.progress = progress, .context = context, .err = err};
    struct bs_bytes part = {0};
    struct bs_file_info info;
    basalt_status status = bs_part_path(destination, &part, err);
    if (status) goto out;
    const char *part_name = (const char *)part.data;
    status = parts->vfs->ops->info(parts->vfs, destination, &info, err);
    if (status != BASALT_NOT_FOUND) {
        if (!status) {
            status = bs_fail(
                err, BASALT_EXISTS, BASALT_NO_OFFSET, "%.150s is there already", destination);
        }
        goto out;
    }
    const unsigned left = bs_part_leftovers_remove(parts->vfs, destination, remove_dead);
    (void)left; /* what stays has a name that says what it is */
    status = open_both(parts, path, part_name, &backup, err);
    if (!status) status = copy_everything(&backup);
    if (!status) status = bs_store_close(&backup.to, err);
    if (!status) status = bs_part_place(parts->vfs, part_name, destination, false, err);
    bs_store_abandon(backup.to);
    if (status) {
        remove_partial(parts->vfs, part_name);
        bs_error_cut(err, part_name + strlen(destination));
    }
out:
    bs_file_close(backup.guard);
    bs_store_abandon(backup.from);
    bs_bytes_free(&part);
    return status;
}
