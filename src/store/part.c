/* part.c - files that are made under another name, TARGET.part-HEX (16 random digits), and get their own
 * when they are whole: backups and copies.
 *
 * Whoever makes one holds a lock on it, so that who comes next can tell what a kill has left. */
#include "store/store_internal.h"

#include <inttypes.h>

static const char infix[] = ".part-";

basalt_status bs_part_path(const char *target, struct bs_bytes *out, basalt_error *err)
{
    uint64_t chance;
    bs_random_bytes(&chance, sizeof chance);
    bs_bytes_text(out, "%s%s%016" PRIx64, target, infix, chance);
    bs_bytes_u8(out, 0);
    return bs_bytes_check(out, err);
}

unsigned bs_part_leftovers_remove(struct bs_vfs *vfs, const char *target, bs_leftover_fn remove)
{
    return bs_leftovers_remove(vfs, target, infix, remove);
}

basalt_status bs_part_hold(struct bs_file *file, basalt_error *err)
{
    const basalt_status status = file->ops->lock(file, BS_LOCK_EXCLUSIVE, BS_LOCK_WRITER, 1, err);
    return status == BASALT_UNSUPPORTED ? BASALT_OK : status; /* nor can anybody probe it then */
}

bool bs_part_is_held(struct bs_file *file)
{
    static const uint64_t locks[] = {BS_LOCK_BACKUP, BS_LOCK_WRITER};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(locks); i++) {
        struct bs_lock_holder holder = {0};
        if (file->ops->probe(file, BS_LOCK_EXCLUSIVE, locks[i], 1, &holder, NULL) || holder.held) {
            return true;
        }
    }
    return false;
}

basalt_status bs_part_place(
    struct bs_vfs *vfs, const char *part, const char *target, bool replace, basalt_error *err)
{
    char *directory = bs_path_directory(target);
    basalt_status status = BASALT_OK;
    if (!directory) return bs_fail_memory(err, strlen(target));
    BS_TRY(vfs->ops->rename(vfs, part, target, replace, err));
    status = vfs->ops->sync_directory(vfs, directory, err);
out:
    bs_free(directory);
    return status;
}

uint64_t bs_store_pin_byte(uint64_t commit)
{
    return BS_LOCK_PIN + commit;
}

basalt_status bs_store_refuse_log(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    struct bs_wal_inventory log;
    if (bs_wal_inspect(vfs, path, &log, NULL) == BASALT_NOT_FOUND) return BASALT_OK;
    return bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
        "%.150s is a store with a log beside it: it is not replaced", path);
}

basalt_status bs_part_target_check(
    struct bs_vfs *vfs, const char *target, bool replace, basalt_error *err)
{
    struct bs_file_info info;
    struct bs_file *file = NULL;
    basalt_error fault = {0};
    basalt_status status = vfs->ops->info(vfs, target, &info, &fault);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    if (status) {
        if (err) *err = fault;
        return status;
    }
    if (!replace) {
        return bs_fail(err, BASALT_EXISTS, BASALT_NO_OFFSET, "%.150s is there already", target);
    }
    if (info.directory) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%.150s is a directory", target);
    }
    status = bs_file_open(vfs, target, BS_OPEN_READ, &file, err);
    if (!status && bs_part_is_held(file)) {
        status = bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
            "%.150s is a store that somebody writes to: it is not replaced", target);
    }
    bs_file_close(file);
    return status ? status : bs_store_refuse_log(vfs, target, err);
}
