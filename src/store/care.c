/* care.c - what can be done with a store that is not open here: look at it, check it, recover it. */
#include "store/store_internal.h"

#include <stdio.h>

/* ---- inspect ----------------------------------------------------------------------------------- */

struct look {
    struct bs_file *file;
    struct bs_bond_file bond_file;
    uint8_t uuid[16];
    struct bs_wal_inventory log;
    enum bs_bond bond;
};

static basalt_status read_superblock(
    struct bs_file *file, uint8_t out[BS_H5_SUPERBLOCK_BYTES], basalt_error *err)
{
    size_t count = 0;
    memset(out, 0, BS_H5_SUPERBLOCK_BYTES);
    return file->ops->read_at(file, out, BS_H5_SUPERBLOCK_BYTES, 0, &count, err);
}

/* What the file itself says. NOT_HDF5 and CORRUPT are for the caller to judge: beside a log. */
static basalt_status look_at_file(struct look *look, basalt_inspection *out, basalt_error *err)
{
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_identity identity;
    struct bs_lock_holder holder = {0};
    struct bs_file *file = look->file;
    basalt_status status = bs_file_size(file, &look->bond_file.bytes, err);
    if (!status) status = read_superblock(file, look->bond_file.superblock, err);
    if (status) return status;
    if (!file->ops->probe(file, BS_LOCK_EXCLUSIVE, BS_LOCK_WRITER, 1, &holder, NULL)) {
        out->writing = holder.held;
    }
    out->file_bytes = look->bond_file.bytes;
    status = bs_h5_file_open(file, &h5, err);
    if (status) return status;
    basalt_error why = {0};
    status = bs_h5_identity_read(h5, &identity, &why);
    if (!status) {
        out->is_basalt = true;
        out->commit_number = identity.commit;
        out->cut = identity.log_position;
        memcpy(look->uuid, identity.store_uuid, sizeof look->uuid);
        look->bond_file.uuid = look->uuid;
        look->bond_file.open = bs_mark_of(&identity) == BS_MARK_OPEN;
    }
    bs_h5_file_close(h5);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    if (status && err) *err = why;
    return status;
}

/* The file, the log, and whether the file's root is the same still. */
static basalt_status look_once(struct bs_vfs *vfs, const char *path, struct look *look,
    basalt_inspection *out, bool *out_moved, basalt_error *err)
{
    uint8_t again[BS_H5_SUPERBLOCK_BYTES];
    basalt_error why = {0};
    *out_moved = false;
    memset(out, 0, sizeof *out);
    look->bond_file = (struct bs_bond_file){0};
    const basalt_status seen = look_at_file(look, out, &why);
    basalt_status status = bs_bond_look(vfs, path, &look->bond_file, &look->log, &look->bond, err);
    if (status) return status;
    status = read_superblock(look->file, again, err);
    if (status) return status;
    *out_moved = memcmp(again, look->bond_file.superblock, sizeof again) != 0;
    if (seen != BASALT_OK && seen != BASALT_NO_MEMORY && seen != BASALT_IO_ERROR &&
        look->log.has_story) {
        out->is_basalt = true; /* its log knows the superblock that is torn */
        return BASALT_OK;
    }
    if (!seen && !out->is_basalt && look->log.has_story) look->bond = BS_BOND_PARTED;
    if (seen && err) *err = why;
    return seen;
}

static void describe_log(const struct look *look, const char *path, basalt_inspection *out)
{
    const struct bs_wal_inventory *log = &look->log;
    basalt_error why = {0};
    out->log_files = (unsigned)log->segment_count;
    out->log_bytes = log->log_bytes;
    out->crashed = log->segment_count && !out->writing;
    out->log_records_bytes = log->last > out->cut ? log->last - BS_MAX(out->cut, log->first) : 0;
    if (log->segment_count) snprintf(out->holder, sizeof out->holder, "%s", log->holder);
    out->log_missing = look->bond == BS_BOND_MISSING && !out->writing;
    out->conflict = look->bond == BS_BOND_STRANGER || look->bond == BS_BOND_PARTED;
    if (!out->log_missing && !out->conflict) return;
    if (bs_bond_fail(look->bond, path, &why)) {
        snprintf(out->warning, sizeof out->warning, "%s", why.message);
    }
}

basalt_status bs_store_inspect(
    struct bs_vfs *vfs, const char *path, basalt_inspection *out_inspection, basalt_error *err)
{
    struct look look = {0};
    char *real = NULL;
    bool moved = true;
    basalt_inspection *out = out_inspection;
    memset(out, 0, sizeof *out);
    basalt_status status = vfs->ops->real_path(vfs, path, &real, err);
    if (status) return status;
    BS_TRY(bs_file_open(vfs, real, BS_OPEN_READ, &look.file, err));
    for (unsigned tries = 0; tries < BS_READER_TRIES_MAX && moved; tries++) {
        status = look_once(vfs, real, &look, out, &moved, err);
        if (status && !moved) break;
    }
    if (status) goto out;
    describe_log(&look, path, out);
    if (out->writing && !out->holder[0]) { /* open by another of its names */
        char holder[BS_WAL_HOLDER_BYTES];
        bs_lock_holder(vfs, real, holder);
        snprintf(out->holder, sizeof out->holder, "%s", holder);
    }
out:
    if (status) memset(out, 0, sizeof *out);
    bs_file_close(look.file);
    bs_free(real);
    return status;
}

/* ---- recover ------------------------------------------------------------------------------------- */

basalt_status bs_store_recover(const struct bs_env_parts *parts, const char *path, bool without_log,
    basalt_recovery *out_recovery, basalt_error *err)
{
    struct bs_store *store = NULL;
    basalt_store_options options;
    basalt_inspection found;
    memset(out_recovery, 0, sizeof *out_recovery);
    bs_store_options_fill(&options, NULL);
    /* Without a log there is nothing to do, and then nothing is done: the log of a file that was
     * moved away from it still builds on what the file is. */
    basalt_status status = bs_store_inspect(parts->vfs, path, &found, err);
    if (status || (found.is_basalt && !found.writing && !found.log_files && !found.log_missing)) {
        return status;
    }
    if (without_log && !found.log_missing && !found.writing) {
        return bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
            "a log lies beside %.100s: recover with it, or move it away first", path);
    }
    options.access = BASALT_READ_WRITE;
    options.checkpoint_age_ms = 0;
    options.log_segment_bytes = BS_WAL_SEGMENT_BYTES_MIN; /* no row will be appended */
    status = without_log ? bs_store_open_without_log(parts, path, &options, &store, err)
                         : bs_store_open(parts, path, &options, &store, err);
    if (status) return status;
    const basalt_recovery recovery = store->recovery;
    status = bs_store_close(&store, err);
    if (!status) *out_recovery = recovery;
    return status;
}

basalt_status bs_store_rebuild_statistics(
    const struct bs_env_parts *parts, const char *path, uint64_t *out_chunks, basalt_error *err)
{
    struct bs_store *store = NULL;
    basalt_store_options options;
    uint64_t chunks = 0;
    *out_chunks = 0;
    bs_store_options_fill(&options, NULL);
    options.access = BASALT_READ_WRITE;
    options.checkpoint_age_ms = 0;
    options.log_segment_bytes = BS_WAL_SEGMENT_BYTES_MIN; /* no row will be appended */
    basalt_status status = bs_store_open(parts, path, &options, &store, err);
    if (status) return status;
    store->rebuilt_chunks = &chunks;
    status = bs_store_close(&store, err);
    if (!status) *out_chunks = chunks;
    return status;
}

/* ---- verify -------------------------------------------------------------------------------------- */

struct verifying {
    basalt_finding_fn finding;
    basalt_progress_fn progress;
    void *context;
    uint64_t faults;
};

static void report(struct verifying *verifying, const char *sentence)
{
    verifying->faults++;
    if (verifying->finding) verifying->finding(verifying->context, BASALT_FINDING_FAULT, sentence);
}

static void report_finding(void *context, bool fault, const char *sentence)
{
    struct verifying *verifying = context;
    if (fault) {
        report(verifying, sentence);
    } else if (verifying->finding) {
        verifying->finding(verifying->context, BASALT_FINDING_NOT_CHECKED, sentence);
    }
}

static bool report_progress(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    const struct verifying *verifying = context;
    return !verifying->progress || verifying->progress(verifying->context, done_bytes, all_bytes);
}

static basalt_status ignore_operation(
    void *context, const struct bs_record_op *op, basalt_error *err)
{
    (void)context;
    (void)op;
    (void)err;
    return BASALT_OK;
}

static basalt_status check_record(void *context, bs_lsn start, bs_lsn end, const void *bytes,
    size_t count, bool commit, basalt_error *err)
{
    char sentence[160];
    (void)end;
    (void)commit;
    (void)err;
    if (bs_record_each(bytes, count, ignore_operation, NULL, NULL)) {
        snprintf(sentence, sizeof sentence,
            "the record at position %llu of the log does not hold what a record must",
            (unsigned long long)start);
        report(context, sentence);
    }
    return BASALT_OK;
}

static basalt_status verify_log(
    struct bs_store *store, struct verifying *verifying, basalt_error *err)
{
    struct bs_wal_inventory log;
    basalt_inspection found;
    basalt_error why = {0};
    bs_lsn end;
    const bs_lsn cut = atomic_load(&store->cut);
    basalt_status status = bs_store_inspect(store->parts.vfs, store->path, &found, &why);
    if (!status && found.warning[0]) {
        report(verifying, found.warning);
        return BASALT_OK;
    }
    if (!status) status = bs_log_look(store->parts.vfs, store->path, &log, &why);
    if (!status && log.last > cut) {
        status =
            bs_wal_replay(store->parts.vfs, store->path, cut, check_record, verifying, &end, &why);
    }
    if (status == BASALT_CORRUPT || status == BASALT_CONFLICT) {
        report(verifying, why.message);
        return BASALT_OK;
    }
    if (status && err) *err = why;
    return status;
}

static void verify_families(struct bs_store *store, struct verifying *verifying)
{
    char sentence[BASALT_ERROR_MESSAGE_BYTES];
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family;
         family = atomic_load(&family->next)) {
        if (!family->fault) continue;
        snprintf(sentence, sizeof sentence, "family \"%.60s\": %s", family->name, family->fault);
        report(verifying, sentence);
    }
}

static void report_statistics(void *context, const char *sentence)
{
    report(context, sentence);
}

/* What can't be read has been told of already. */
static basalt_status verify_statistics(
    struct bs_store *store, struct bs_h5_file *h5, struct verifying *verifying, basalt_error *err)
{
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family;
         family = atomic_load(&family->next)) {
        basalt_error why = {0};
        if (family->fault || !family->has_statistics) continue;
        const basalt_status status =
            bs_statistics_verify(h5, family, report_statistics, verifying, &why);
        if (status != BASALT_NO_MEMORY && status != BASALT_IO_ERROR) continue;
        if (err) *err = why;
        return status;
    }
    return BASALT_OK;
}

/* The root stays pinned while a reading store is open on it. */
static basalt_status verify_store(
    struct bs_store *store, struct verifying *verifying, basalt_error *err)
{
    uint64_t faults = 0;
    struct bs_view *view;
    bs_lsn position;
    bs_view_take(store, &view, &position);
    struct bs_h5_file *h5 = view->root->h5;
    basalt_status status =
        bs_h5_verify(h5, report_finding, report_progress, verifying, &faults, err);
    if (!status) {
        verify_families(store, verifying);
        status = verify_statistics(store, h5, verifying, err);
    }
    if (!status) {
        status = verify_log(store, verifying, err);
    }
    bs_view_release(view);
    return status;
}

/* A log beside a file that is not Basalt's was written for another, which is gone. */
static void verify_place(struct bs_vfs *vfs, const char *path, struct verifying *verifying)
{
    basalt_inspection found;
    if (bs_store_inspect(vfs, path, &found, NULL) || !found.warning[0]) return;
    report(verifying, found.warning);
}

/* Any other HDF5 file. */
static basalt_status verify_plain(
    struct bs_vfs *vfs, const char *path, struct verifying *verifying, basalt_error *err)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    basalt_error why = {0};
    uint64_t faults = 0;
    basalt_status status = bs_file_open(vfs, path, BS_OPEN_READ, &file, err);
    if (status) return status;
    status = bs_h5_file_open(file, &h5, &why);
    if (status == BASALT_CORRUPT) {
        report(verifying, why.message);
        status = BASALT_OK;
    } else if (status) {
        if (err) *err = why;
    } else {
        status = bs_h5_verify(h5, report_finding, report_progress, verifying, &faults, err);
    }
    bs_h5_file_close(h5);
    bs_file_close(file);
    return status;
}

basalt_status bs_store_verify(const struct bs_env_parts *parts, const char *path,
    basalt_finding_fn finding, basalt_progress_fn progress, void *context, uint64_t *out_faults,
    basalt_error *err)
{
    struct verifying verifying = {.finding = finding, .progress = progress, .context = context};
    struct bs_store *store = NULL;
    basalt_store_options options;
    basalt_error why = {0};
    *out_faults = 0;
    bs_store_options_fill(&options, NULL);
    options.access = BASALT_READ_CHECKPOINT;
    basalt_status status = bs_store_open(parts, path, &options, &store, &why);
    if (!status) {
        status = verify_store(store, &verifying, err);
        bs_store_abandon(store);
    } else if (status == BASALT_UNSUPPORTED) {
        status = verify_plain(parts->vfs, path, &verifying, err);
        if (!status) verify_place(parts->vfs, path, &verifying);
    } else if (status == BASALT_CORRUPT || status == BASALT_CONFLICT) {
        report(&verifying, why.message);
        status = verify_plain(parts->vfs, path, &verifying, err);
    } else if (err) {
        *err = why;
    }
    *out_faults = status ? 0 : verifying.faults;
    return status;
}
