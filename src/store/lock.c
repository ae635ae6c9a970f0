/* lock.c - who may write.
 *
 *   byte 2^62 - 1 of the data file   exclusive OFD lock: one writing process, by whatever name
 *   the whole file                   shared flock: keeps libhdf5 writers out, lets its readers in;
 *                                    never more than shared, a refused upgrade would drop it
 *   byte 2^62 - 2                    shared OFD lock of a backup, on the copy that it makes
 *   byte 2^62 + commit               shared OFD lock of a reading process: its pin
 *   write permission bits            cleared while a log exists, because h5py's "w" truncates before
 *                                    it locks; put back by a clean close
 *
 * A file system without locks is a warning, not a refusal. */
#include "store/store_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define WRITE_BITS 0222u
#define OWNER_WRITE 0200u

/* The command as the operating system knows it; Linux has it in a file. */
static void command_name(struct bs_vfs *vfs, char *out, size_t out_bytes)
{
    struct bs_file *file = NULL;
    size_t count = 0;
    snprintf(out, out_bytes, "unknown");
    if (bs_file_open(vfs, "/proc/self/comm", BS_OPEN_READ, &file, NULL)) return;
    if (!file->ops->read_at(file, out, out_bytes - 1, 0, &count, NULL)) {
        out[count] = '\0';
        out[strcspn(out, "\n")] = '\0';
    }
    bs_file_close(file);
}

void bs_holder_text(struct bs_vfs *vfs, char out[BS_WAL_HOLDER_BYTES])
{
    char host[64], command[32];
    memset(out, 0, BS_WAL_HOLDER_BYTES);
    bs_host_name(host, sizeof host);
    command_name(vfs, command, sizeof command);
    snprintf(
        out, BS_WAL_HOLDER_BYTES, "process %" PRIu64 " on %s: %s", bs_process_id(), host, command);
}

/* A file with several names has its log beside the name that it was opened by. */
struct holder_search {
    struct bs_vfs *vfs;
    const char *directory;
    struct bs_file_info file;
    struct bs_wal_inventory log;
    bool found;
};

static basalt_status look_at_name(void *context, const char *name, basalt_error *err)
{
    struct holder_search *search = context;
    struct bs_vfs *vfs = search->vfs;
    struct bs_file_info info;
    struct bs_bytes path = {0};
    const char *end = strstr(name, "-log.");
    (void)err;
    if (search->found || !end) return BASALT_OK;
    bs_bytes_text(&path, "%s/%.*s", search->directory, (int)(end - name), name);
    bs_bytes_u8(&path, 0);
    if (!path.failed && !vfs->ops->info(vfs, (const char *)path.data, &info, NULL) &&
        info.device == search->file.device && info.inode == search->file.inode) {
        search->found = !bs_wal_inspect(vfs, (const char *)path.data, &search->log, NULL);
    }
    bs_bytes_free(&path);
    return BASALT_OK;
}

void bs_lock_holder(struct bs_vfs *vfs, const char *path, char out[BS_WAL_HOLDER_BYTES])
{
    struct holder_search search = {.vfs = vfs};
    memset(out, 0, BS_WAL_HOLDER_BYTES);
    search.found = !bs_wal_inspect(vfs, path, &search.log, NULL);
    if (!search.found && !vfs->ops->info(vfs, path, &search.file, NULL)) {
        char *directory = bs_path_directory(path);
        search.directory = directory;
        if (!directory || vfs->ops->list(vfs, directory, look_at_name, &search, NULL)) {
            search.found = false;
        }
        bs_free(directory);
    }
    if (search.found) snprintf(out, BS_WAL_HOLDER_BYTES, "%s", search.log.holder);
}

static basalt_status busy(struct bs_store *store, basalt_error *err)
{
    char holder[BS_WAL_HOLDER_BYTES];
    bs_lock_holder(store->parts.vfs, store->path, holder);
    if (holder[0]) {
        return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET, "%.80s is open for writing by %.120s",
            store->path, holder);
    }
    return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
        "%.120s is open for writing by another process", store->path);
}

static bool log_exists(struct bs_store *store)
{
    struct bs_wal_inventory log;
    return bs_wal_inspect(store->parts.vfs, store->path, &log, NULL) != BASALT_NOT_FOUND;
}

static bool says_open(struct bs_file *file)
{
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_identity identity;
    if (bs_h5_file_open(file, &h5, NULL)) return false;
    const bool open =
        !bs_h5_identity_read(h5, &identity, NULL) && bs_mark_of(&identity) == BS_MARK_OPEN;
    bs_h5_file_close(h5);
    return open;
}

static basalt_status not_writable(struct bs_store *store, basalt_error *err)
{
    return bs_fail(err, BASALT_READ_ONLY, BASALT_NO_OFFSET,
        "%.120s does not let this user write: open it for reading, or change its permissions",
        store->path);
}

/* A writer that died left the file without write permission: gives the owner's back. */
static basalt_status give_back_permission(struct bs_store *store, basalt_error *err)
{
    struct bs_file *file = NULL;
    struct bs_file_info info;
    struct bs_lock_holder holder = {0};
    basalt_status status = bs_file_open(store->parts.vfs, store->path, BS_OPEN_READ, &file, err);
    if (status) return status;
    BS_TRY(file->ops->info(file, &info, err));
    if (!file->ops->probe(file, BS_LOCK_EXCLUSIVE, BS_LOCK_WRITER, 1, &holder, NULL) &&
        holder.held) {
        status = busy(store, err);
        goto out;
    }
    const bool dead = !(info.mode & WRITE_BITS) && (log_exists(store) || says_open(file));
    if (!dead) {
        status = not_writable(store, err);
        goto out;
    }
    if (!log_exists(store) && !store->without_log) {
        status = bs_bond_fail(BS_BOND_MISSING, store->path, err);
        goto out;
    }
    if (!info.owned) {
        status = bs_fail(err, BASALT_READ_ONLY, BASALT_NO_OFFSET,
            "a writer of %.80s died and left it write-protected: let its owner run `basalt recover`"
            " on it",
            store->path);
        goto out;
    }
    BS_TRY(file->ops->set_mode(file, info.mode | OWNER_WRITE, err));
out:
    bs_file_close(file);
    return status;
}

basalt_status bs_lock_open(struct bs_store *store, basalt_error *err)
{
    basalt_error why = {0};
    struct bs_vfs *vfs = store->parts.vfs;
    basalt_status status = bs_file_open(vfs, store->path, BS_OPEN_WRITE, &store->file, &why);
    if (status && (why.os_errno == EACCES || why.os_errno == EPERM)) {
        status = give_back_permission(store, err);
        if (status) return status;
        status = bs_file_open(vfs, store->path, BS_OPEN_WRITE, &store->file, &why);
    }
    if (status) {
        if (err) *err = why;
        return status;
    }
    return bs_lock_take(store, err);
}

static basalt_status take_share(struct bs_store *store, basalt_error *err)
{
    const basalt_status status = store->file->ops->share(store->file, BS_LOCK_SHARED, err);
    if (status == BASALT_UNSUPPORTED) {
        atomic_fetch_add(&store->warnings, 1);
        return BASALT_OK;
    }
    if (status != BASALT_BUSY) return status;
    return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
        "another HDF5 program has %.120s open for writing", store->path);
}

basalt_status bs_lock_take(struct bs_store *store, basalt_error *err)
{
    struct bs_file *file = store->file;
    struct bs_file_info info;
    basalt_status status = file->ops->lock(file, BS_LOCK_EXCLUSIVE, BS_LOCK_WRITER, 1, err);
    if (status == BASALT_BUSY) return busy(store, err);
    if (status == BASALT_UNSUPPORTED) {
        atomic_fetch_add(&store->warnings, 1);
        status = BASALT_OK;
    }
    if (!status) status = take_share(store, err);
    if (!status) status = file->ops->info(file, &info, err);
    if (status) return status;
    store->locked = true;
    store->device = info.device;
    store->inode = info.inode;
    return BASALT_OK;
}

basalt_status bs_lock_check_path(struct bs_store *store, basalt_error *err)
{
    struct bs_file_info info;
    const basalt_status status =
        store->parts.vfs->ops->info(store->parts.vfs, store->path, &info, err);
    if (status && status != BASALT_NOT_FOUND) return status;
    if (status == BASALT_NOT_FOUND || info.device != store->device || info.inode != store->inode) {
        return bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
            "%.120s was moved, removed or replaced while it is open here", store->path);
    }
    return BASALT_OK;
}

void bs_lock_protect(struct bs_store *store)
{
    struct bs_file_info info;
    struct bs_file *file = store->file;
    if (!store->options.protect || file->ops->info(file, &info, NULL)) return;
    if (!(info.mode & WRITE_BITS)) {
        store->mode_before = info.mode | OWNER_WRITE; /* left so by a writer that died */
        return;
    }
    if (!info.owned || file->ops->set_mode(file, info.mode & ~WRITE_BITS, NULL)) {
        atomic_fetch_add(&store->warnings, 1);
        return;
    }
    store->mode_before = info.mode;
}

basalt_status bs_lock_unprotect(struct bs_store *store, basalt_error *err)
{
    const uint32_t mode = store->mode_before;
    store->mode_before = 0;
    if (!mode) return BASALT_OK;
    const basalt_status status = store->file->ops->set_mode(store->file, mode, err);
    return status ? status : bs_file_sync(store->file, err);
}
