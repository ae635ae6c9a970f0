/* backup.c - one snapshot of a store, live or dead, as a new store.
 *
 * The source is opened as any reader opens it, log included, and its rows and attributes are written
 * through a draft of their own (draft.c), which becomes the destination only when it is whole. */
#include "store/store_internal.h"

struct backup {
    struct bs_store *from, *to; /* `to` is the draft's */
    struct bs_draft *draft;
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

static basalt_status open_both(const struct bs_env_parts *parts, const char *path,
    const char *destination, struct backup *backup)
{
    basalt_store_options options;
    bs_store_options_fill(&options, NULL);
    options.access = BASALT_READ_FRESH;
    basalt_status status = bs_store_open(parts, path, &options, &backup->from, backup->err);
    if (!status) status = bs_draft_open(parts, destination, NULL, &backup->draft, backup->err);
    if (status) return status;
    backup->to = bs_draft_store(backup->draft);
    backup->rows_all = atomic_load(&backup->from->rows_visible);
    return bs_file_size(backup->from->file, &backup->bytes_all, backup->err);
}

basalt_status bs_store_backup(const struct bs_env_parts *parts, const char *path,
    const char *destination, basalt_progress_fn progress, void *context, basalt_error *err)
{
    struct backup backup = {.progress = progress, .context = context, .err = err};
    basalt_status status = bs_part_target_check(parts->vfs, destination, false, err);
    if (!status) status = open_both(parts, path, destination, &backup);
    if (!status) status = copy_everything(&backup);
    if (!status) status = bs_draft_place(&backup.draft, false, err);
    bs_draft_discard(backup.draft);
    bs_store_abandon(backup.from);
    return status;
}
