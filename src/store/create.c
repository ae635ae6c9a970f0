/* create.c - a new file, and what a process that died while it made one left.
 *
 * The file is made as PATH.new-HEX (16 random digits), locked as any store's is, written, synced,
 * and renamed to PATH if nobody else was faster. A kill before that leaves PATH.new-HEX. Who has PATH
 * open for writing removes such files: the rename of whoever may still be at work on one would be
 * refused (PATH is there), and one that somebody has locked is left to him. */
#include "store/store_internal.h"

#include <inttypes.h>

#define CHANCE_DIGITS 16u
#define NEW_FILE_BYTES_MAX ((uint64_t)64 << 10) /* a file without a family is far smaller */

static const char infix[] = ".new-";

static basalt_status set_root_attributes(
    struct bs_store *store, struct bs_h5_writer *writer, basalt_error *err)
{
    char time[64];
    const uint64_t now = bs_wall_ns();
    basalt_status status = BASALT_OK;
    bs_format_time(now, time, sizeof time);
    BS_TRY(bs_h5_set_attribute_text(writer, bs_h5_root(writer), "created_at", time, err));
    BS_TRY(bs_h5_set_attribute_u64(writer, bs_h5_root(writer), "created_timestamp_ns", now, err));
    BS_TRY(bs_h5_set_attribute_text(
        writer, bs_h5_root(writer), "application", store->application, err));
out:
    return status;
}

/* The first commit, in a file that nobody knows by name yet. Its writer is the store's. */
static basalt_status write_first_commit(struct bs_store *store, basalt_error *err)
{
    struct bs_h5_identity identity = {.format_version = BS_FORMAT_VERSION, .commit = 1};
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    struct bs_h5_writer *writer;
    basalt_status status = BASALT_OK;
    bs_random_bytes(identity.store_uuid, sizeof identity.store_uuid);
    BS_TRY(bs_h5_writer_create(store->file, &identity, &store->writer, err));
    writer = store->writer;
    bs_h5_set_closed(writer, true); /* no log is needed yet, and a kill may leave none */
    BS_TRY(set_root_attributes(store, writer, err));
    BS_TRY(bs_h5_prepare(writer, 1, 0, superblock, err));
    BS_TRY(bs_file_sync(store->file, err));
    BS_TRY(bs_h5_flip(writer, err));
    BS_TRY(bs_file_sync(store->file, err));
    bs_h5_settle(writer);
out:
    return status;
}

/* The file's own name from now on, in messages: it is the beginning of the one that it has. */
static void call_it_by_its_name(struct bs_store *store)
{
    assert(!strncmp(store->file->path, store->path, strlen(store->path)));
    store->file->path[strlen(store->path)] = '\0';
}

basalt_status bs_create_file(struct bs_store *store, basalt_error *err)
{
    struct bs_vfs *vfs = store->parts.vfs;
    struct bs_bytes temporary = {0};
    uint64_t chance;
    bool made = false;
    basalt_status status = BASALT_OK;
    bs_random_bytes(&chance, sizeof chance);
    bs_bytes_text(&temporary, "%s%s%016" PRIx64, store->path, infix, chance);
    bs_bytes_u8(&temporary, 0);
    BS_TRY(bs_bytes_check(&temporary, err));
    const char *path = (const char *)temporary.data;
    BS_TRY(bs_file_open(
        vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_EXCLUSIVE, &store->file, err));
    made = true;
    call_it_by_its_name(store);
    BS_TRY(bs_lock_take(store, err));
    BS_TRY(write_first_commit(store, err));
    BS_TRY(vfs->ops->rename(vfs, path, store->path, false, err));
    made = false;
    BS_TRY(vfs->ops->sync_directory(vfs, store->directory, err));
out:
    if (made) {
        basalt_status ignored = vfs->ops->remove(vfs, (const char *)temporary.data, NULL);
        (void)ignored; /* the first failure counts; what stays has a name that says what it is */
    }
    if (status && !temporary.failed)
        bs_error_cut(err, (const char *)temporary.data + strlen(store->path));
    bs_bytes_free(&temporary);
    return status;
}

/* ---- leftovers ----------------------------------------------------------------------------------- */

struct leftovers {
    const char *name, *infix; /* of the file that was to be made */
    char chances[BS_LEFTOVERS_MAX][CHANCE_DIGITS + 1];
    size_t count;
};

static basalt_status note_leftover(void *context, const char *name, basalt_error *err)
{
    struct leftovers *left = context;
    const size_t length = strlen(left->name), infix_length = strlen(left->infix);
    (void)err;
    if (strncmp(name, left->name, length) != 0) return BASALT_OK;
    if (strncmp(name + length, left->infix, infix_length) != 0) return BASALT_OK;
    const char *digits = name + length + infix_length;
    if (strlen(digits) != CHANCE_DIGITS || strspn(digits, "0123456789abcdef") != CHANCE_DIGITS ||
        left->count == BS_LEFTOVERS_MAX) {
        return BASALT_OK;
    }
    memcpy(left->chances[left->count++], digits, CHANCE_DIGITS + 1);
    return BASALT_OK;
}

/* Does it look like something that write_first_commit began, and does nobody hold it? */
static bool is_leftover(struct bs_vfs *vfs, const char *path)
{
    static const uint8_t whole[12] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 2, 8, 8, 0};
    static const uint8_t nothing[sizeof whole];
    struct bs_file *file = NULL;
    struct bs_lock_holder holder = {0};
    uint8_t start[sizeof whole] = {0};
    uint64_t size = 0;
    size_t count = 0;
    if (bs_file_open(vfs, path, BS_OPEN_READ, &file, NULL)) return false;
    const bool left = !bs_file_size(file, &size, NULL) && size <= NEW_FILE_BYTES_MAX &&
        !file->ops->read_at(file, start, sizeof start, 0, &count, NULL) &&
        (!memcmp(start, nothing, sizeof start) || !memcmp(start, whole, sizeof start)) &&
        !file->ops->probe(file, BS_LOCK_EXCLUSIVE, BS_LOCK_WRITER, 1, &holder, NULL) &&
        !holder.held;
    bs_file_close(file);
    return left;
}

unsigned bs_leftovers_remove(
    struct bs_vfs *vfs, const char *path, const char *between, bs_leftover_fn remove)
{
    struct leftovers left = {.name = bs_path_name(path), .infix = between};
    char *directory = bs_path_directory(path);
    unsigned failures = 0;
    if (!directory || vfs->ops->list(vfs, directory, note_leftover, &left, NULL)) {
        bs_free(directory);
        return 1;
    }
    bs_free(directory);
    for (size_t i = 0; i < left.count; i++) {
        struct bs_bytes full = {0};
        bs_bytes_text(&full, "%s%s%s", path, between, left.chances[i]);
        bs_bytes_u8(&full, 0);
        failures += bs_bytes_check(&full, NULL) || !remove(vfs, (const char *)full.data);
        bs_bytes_free(&full);
    }
    return failures;
}

static bool remove_leftover(struct bs_vfs *vfs, const char *path)
{
    return !is_leftover(vfs, path) || !vfs->ops->remove(vfs, path, NULL);
}

void bs_create_clean_up(struct bs_store *store)
{
    atomic_fetch_add(&store->warnings,
        bs_leftovers_remove(store->parts.vfs, store->path, infix, remove_leftover));
}
