/* copy.c - any HDF5 file as a new, plain one.
 *
 *   1  the source is opened, a store of Basalt pinned as of its last checkpoint, as any reader does
 *   2  every object is made in the writer's tree, and all headers get their places (copy_tree.c)
 *   3  the data of all datasets, on all threads (copy_data.c)
 *   4  one commit; the file is synced before and after it, renamed, and the folder synced
 *
 * Until then the copy is TARGET.part-HEX (16 random digits), which its maker holds the lock of a writer
 * on. After any failure it is removed. A kill leaves it; the next copy to TARGET removes what nobody
 * holds and what begins as such a file does. */
#include "copy/copy_internal.h"
#include "store/store.h"

#include <stdlib.h>

#define PIN_TRIES_MAX 100u
#define SIGNATURE_BYTES 12u

/* ---- the source ---------------------------------------------------------------------------- */

struct source {
    struct bs_file *file;
    struct bs_h5_file *h5;
};

static void source_close(struct source *source)
{
    bs_h5_file_close(source->h5);
    bs_file_close(source->file);
}

/* A writer does not reuse what the pinned commit reaches. If the store has moved on before the pin was
 * seen, the next commit is tried. */
static basalt_status pin(struct source *source, bool *out_done, basalt_error *err)
{
    const struct bs_h5_superblock before = *bs_h5_file_superblock(source->h5);
    struct bs_h5_identity identity;
    struct bs_h5_superblock after;
    uint8_t bytes[BS_H5_SUPERBLOCK_BYTES];
    *out_done = true;
    if (bs_h5_identity_read(source->h5, &identity, NULL)) return BASALT_OK; /* no store */
    basalt_status status = source->file->ops->lock(
        source->file, BS_LOCK_SHARED, bs_store_pin_byte(identity.commit), 1, err);
    if (status == BASALT_UNSUPPORTED) return BASALT_OK; /* nor does a writer reuse anything here */
    if (!status) status = bs_file_read_all_at(source->file, bytes, sizeof bytes, 0, err);
    if (status) return status;
    *out_done = bs_h5_superblock_decode(bytes, sizeof bytes, &after, NULL) == BASALT_OK &&
        after.root == before.root && after.end_of_file == before.end_of_file;
    if (*out_done) return BASALT_OK;
    return source->file->ops->lock(
        source->file, BS_LOCK_NONE, bs_store_pin_byte(identity.commit), 1, err);
}

static basalt_status source_open(const struct bs_copy_parts *parts, const char *path,
    const basalt_hdf5_copy_options *options, struct source *out_source, basalt_error *err)
{
    static const enum bs_h5_follow rules[] = {[BASALT_HDF5_FOLLOW_BESIDE] = BS_H5_FOLLOW_BESIDE,
        [BASALT_HDF5_FOLLOW_NOWHERE] = BS_H5_FOLLOW_NOWHERE,
        [BASALT_HDF5_FOLLOW_ANYWHERE] = BS_H5_FOLLOW_ANYWHERE};
    bool done = false;
    if (options->follow > BASALT_HDF5_FOLLOW_ANYWHERE) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "%d is no rule of what other files to follow", (int)options->follow);
    }
    basalt_status status = bs_file_open(parts->vfs, path, BS_OPEN_READ, &out_source->file, err);
    for (unsigned tries = 0; !status && !done; tries++) {
        if (tries == PIN_TRIES_MAX) {
            return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
                "%.150s changes faster than it can be looked at", path);
        }
        bs_h5_file_close(out_source->h5);
        out_source->h5 = NULL;
        status =
            bs_h5_file_open_with(out_source->file, rules[options->follow], &out_source->h5, err);
        if (!status) status = pin(out_source, &done, err);
    }
    if (!status && parts->filters) bs_h5_file_set_filters(out_source->h5, parts->filters);
    if (!status) bs_h5_file_set_chunk_memory(out_source->h5, options->chunk_memory_bytes);
    return status;
}

/* ---- the target ---------------------------------------------------------------------------- */

/* Does it begin as one of ours, and does nobody hold it? */
static bool is_leftover(struct bs_vfs *vfs, const char *path)
{
    static const uint8_t whole[SIGNATURE_BYTES] = {
        0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 2, 8, 8, 0};
    static const uint8_t none[SIGNATURE_BYTES];
    uint8_t start[SIGNATURE_BYTES] = {0};
    struct bs_file *file = NULL;
    size_t count = 0;
    if (bs_file_open(vfs, path, BS_OPEN_READ, &file, NULL)) return false;
    const bool left = !file->ops->read_at(file, start, sizeof start, 0, &count, NULL) &&
        count == sizeof start &&
        (!memcmp(start, none, sizeof start) || !memcmp(start, whole, sizeof start)) &&
        !bs_part_is_held(file);
    bs_file_close(file);
    return left;
}

static bool remove_leftover(struct bs_vfs *vfs, const char *path)
{
    return !is_leftover(vfs, path) || !vfs->ops->remove(vfs, path, NULL);
}

static basalt_status part_create(
    struct bs_vfs *vfs, const char *part, struct bs_file **out_file, basalt_error *err)
{
    basalt_status status =
        bs_file_open(vfs, part, BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_EXCLUSIVE, out_file, err);
    return status ? status : bs_part_hold(*out_file, err);
}

/* ---- the copy ------------------------------------------------------------------------------ */

static basalt_status write_commit(struct bs_copy *copy, struct bs_file *file, basalt_error *err)
{
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    basalt_status status = bs_h5_prepare(copy->to, 1, 0, superblock, err);
    if (!status) status = bs_cancel_check(copy->parts->cancel, err);
    if (!status) status = bs_file_sync(file, err);
    if (!status) status = bs_h5_flip(copy->to, err);
    if (!status) status = bs_file_sync(file, err);
    if (!status) bs_h5_settle(copy->to);
    return status;
}

static basalt_status copy_into(struct bs_copy *copy, struct bs_file *file, basalt_error *err)
{
    const basalt_hdf5_copy_options *options = copy->options;
    basalt_status status = bs_h5_writer_create(file, NULL, &copy->to, err);
    if (status) return status;
    BS_TRY(bs_copy_tree(copy, err));
    BS_TRY(bs_h5_place(copy->to, err));
    BS_TRY(bs_copy_late(copy, err));
    BS_TRY(bs_copy_data(copy, err));
    BS_TRY(write_commit(copy, file, err));
    BS_TRY(bs_file_size(file, &copy->report->target_bytes, err));
    copy->report->references_nulled = atomic_load(&copy->nulled);
    if (options->progress) {
        const uint64_t all = copy->report->element_bytes;
        if (!options->progress(options->context, all, all)) {
            status = bs_fail(err, BASALT_CANCELLED, BASALT_NO_OFFSET, "the copy was cancelled");
        }
    }
out:
    bs_copy_tree_free(copy);
    bs_h5_writer_close(copy->to);
    return status;
}

static basalt_status copy_to(struct bs_copy *copy, const char *target, basalt_error *err)
{
    struct bs_vfs *vfs = copy->parts->vfs;
    struct bs_bytes part = {0};
    struct bs_file *file = NULL;
    bool made = false;
    basalt_status status = bs_part_path(target, &part, err);
    if (status) goto out;
    const char *part_name = (const char *)part.data;
    const unsigned left = bs_part_leftovers_remove(vfs, target, remove_leftover);
    (void)left; /* what stays has a name that says what it is */
    BS_TRY(part_create(vfs, part_name, &file, err));
    made = true;
    BS_TRY(copy_into(copy, file, err));
    BS_TRY(bs_part_place(vfs, part_name, target, copy->options->overwrite, err));
    made = false;
out:
    if (made || (status && file)) {
        basalt_status ignored = vfs->ops->remove(vfs, (const char *)part.data, NULL);
        (void)ignored; /* the first failure counts; what stays has a name that says what it is */
    }
    bs_file_close(file);
    if (status && part.data && !part.failed) {
        bs_error_cut(err, (const char *)part.data + strlen(target));
    }
    bs_bytes_free(&part);
    return status;
}

basalt_status bs_copy(const struct bs_copy_parts *parts, const char *source_path,
    const char *target, const basalt_hdf5_copy_options *options,
    basalt_hdf5_copy_report *out_report, basalt_error *err)
{
    struct source source = {0};
    basalt_hdf5_copy_report report = {0};
    struct bs_copy copy = {.parts = parts, .options = options, .report = &report};
    if (out_report) *out_report = report;
    basalt_status status = bs_copy_options_check(options, err);
    if (!status) status = bs_part_target_check(parts->vfs, target, options->overwrite, err);
    if (status) return status;
    BS_TRY(source_open(parts, source_path, options, &source, err));
    copy.from = source.h5;
    copy.from_bytes = bs_h5_file_bytes(source.h5);
    BS_TRY(bs_file_size(source.file, &report.source_bytes, err));
    BS_TRY(copy_to(&copy, target, err));
    if (out_report) *out_report = report;
out:
    source_close(&source);
    return status;
}
