/* h5_external.c - other files that a file names: targets of external links, sources of virtual datasets,
 * raw data of datasets that lie outside (external files, FF IV.A.2.h).
 *
 * The file that the caller opened, the first one, keeps what its reads have led to, so that a thousand
 * reads through a link open it once; files that lead further share that list. Its mutex guards the
 * list, and is not held while a file is opened: two threads may open the same one, and one closes it
 * again. A file that nobody uses is closed when there are many.
 *
 * Where to look for a name is libhdf5's rule without its environment variables and properties: in the
 * folder of the file that has the name, then as it is written; of an absolute name that is not there
 * the last part, in that folder. What may be opened at all, the first file's `follow` says: BESIDE
 * compares real paths, so that neither ".." nor a symbolic link leads out. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define OTHERS_KEPT_MAX 64 /* more are closed as soon as nobody uses them */
#define OTHERS_MAX 4096

struct bs_h5_other {
    char *path;
    bool raw;
    struct bs_h5_opened opened;
    unsigned users;
    bool pinned; /* never idle */
};

static void close_opened(struct bs_h5_opened *opened)
{
    bs_h5_file_close(opened->h5);
    bs_file_close(opened->file);
    *opened = (struct bs_h5_opened){0};
}

static void close_other(struct bs_h5_other *other)
{
    close_opened(&other->opened);
    bs_free(other->path);
}

void bs_h5_others_free(struct bs_h5_file *first)
{
    for (size_t i = 0; i < first->other_count; i++) {
        assert(!first->others[i].users);
        /* Led files have no list of their own. */
        close_other(&first->others[i]);
    }
    bs_free(first->others);
    first->others = NULL;
    first->other_count = 0;
}

/* ---- the list --------------------------------------------------------------------------------- */

static bool find_kept(
    struct bs_h5_file *first, const char *path, bool raw, struct bs_h5_opened *out_opened)
{
    for (size_t i = 0; i < first->other_count; i++) {
        struct bs_h5_other *other = &first->others[i];
        if (other->raw != raw || strcmp(other->path, path) != 0) continue;
        other->users++;
        *out_opened = other->opened;
        return true;
    }
    return false;
}

static struct bs_h5_other *find_id(struct bs_h5_file *first, uint64_t id)
{
    for (size_t i = 0; i < first->other_count; i++)
        if (first->others[i].opened.id == id) return &first->others[i];
    return NULL;
}

/* Takes one that nobody uses out of the list, if that is long; the caller closes it. */
static bool take_idle(struct bs_h5_file *first, struct bs_h5_other *out_idle)
{
    if (first->other_count < OTHERS_KEPT_MAX) return false;
    for (size_t i = 0; i < first->other_count; i++) {
        if (first->others[i].users || first->others[i].pinned) continue;
        *out_idle = first->others[i];
        memmove(&first->others[i], &first->others[i + 1],
            (first->other_count - i - 1) * sizeof *first->others);
        first->other_count--;
        return true;
    }
    return false;
}

static basalt_status keep(
    struct bs_h5_file *first, char *path, bool raw, struct bs_h5_opened *opened, basalt_error *err)
{
    const size_t count = first->other_count;
    uint64_t id = 0;

    if (count >= OTHERS_MAX)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "over %d other files are needed at once", OTHERS_MAX);
    if (!(count & (count - 1)) || !first->others) { /* room doubles at powers of two */
        void *grown =
            bs_realloc(first->others, BS_MAX((size_t)1, count * 2) * sizeof *first->others);
        if (!grown) return bs_fail_memory(err, count * 2 * sizeof *first->others);
        first->others = grown;
    }
    for (size_t i = 0; i < count; i++) id = BS_MAX(id, first->others[i].opened.id);
    opened->id = id + 1;
    first->others[first->other_count++] =
        (struct bs_h5_other){.path = path, .raw = raw, .opened = *opened, .users = 1};
    return BASALT_OK;
}

void bs_h5_other_give(struct bs_h5_file *h5, const struct bs_h5_opened *opened)
{
    struct bs_h5_file *first = h5->first;

    if (!opened->id) return;
    bs_mutex_lock(&first->others_mutex);
    struct bs_h5_other *other = find_id(first, opened->id);
    if (other) {
        assert(other->users);
        other->users--;
    }
    bs_mutex_unlock(&first->others_mutex);
}

void bs_h5_other_use(
    struct bs_h5_file *h5, const struct bs_h5_opened *opened, struct bs_h5_opened *out_opened)
{
    struct bs_h5_file *first = h5->first;

    bs_mutex_lock(&first->others_mutex);
    struct bs_h5_other *other = find_id(first, opened->id);
    if (other) other->users++;
    bs_mutex_unlock(&first->others_mutex);
    *out_opened = *opened;
}

basalt_status bs_h5_other_pin(
    struct bs_h5_file *h5, const struct bs_h5_opened *opened, basalt_error *err)
{
    struct bs_h5_file *first = h5->first;

    if (opened->id >= (uint64_t)1 << (63 - BS_H5_HEAP_ADDRESS_BITS))
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "too many other files hold elements of variable length of one virtual dataset");
    bs_mutex_lock(&first->others_mutex);
    struct bs_h5_other *other = find_id(first, opened->id);
    assert(other && other->users);
    other->pinned = true;
    bs_mutex_unlock(&first->others_mutex);
    return BASALT_OK;
}

struct bs_h5_file *bs_h5_other_pinned(struct bs_h5_file *h5, uint64_t id)
{
    struct bs_h5_file *first = h5->first, *found = NULL;

    bs_mutex_lock(&first->others_mutex);
    const struct bs_h5_other *other = find_id(first, id);
    if (other && other->pinned) found = other->opened.h5;
    bs_mutex_unlock(&first->others_mutex);
    return found;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static basalt_status open_at(struct bs_h5_file *first, const char *path, bool raw,
    struct bs_h5_opened *out_opened, basalt_error *err)
{
    basalt_status status = bs_file_open(
        first->file->vfs, path, BS_OPEN_READ | BS_OPEN_NO_LINKS, &out_opened->file, err);

    if (!status && !raw)
        status = bs_h5_file_open_led(out_opened->file, first->follow, first, &out_opened->h5, err);
    if (!status) return BASALT_OK;
    close_opened(out_opened);
    if (status != BASALT_NOT_FOUND) bs_error_prefix(err, "%.100s", path);
    return status;
}

/* `path` is that of the list; on success the list owns it. */
static basalt_status take_at(struct bs_h5_file *first, char *path, bool raw,
    struct bs_h5_opened *out_opened, basalt_error *err)
{
    struct bs_h5_opened opened = {0};
    struct bs_h5_other idle = {0};
    bool had = false, kept = false;
    basalt_status status = BASALT_OK;

    bs_mutex_lock(&first->others_mutex);
    had = find_kept(first, path, raw, out_opened);
    if (!had && take_idle(first, &idle)) kept = true;
    bs_mutex_unlock(&first->others_mutex);
    if (kept) close_other(&idle);
    if (!had) status = open_at(first, path, raw, &opened, err);
    if (had) bs_free(path);
    if (had || status) return status;

    bs_mutex_lock(&first->others_mutex);
    had = find_kept(first, path, raw, out_opened);
    if (!had) status = keep(first, path, raw, &opened, err);
    bs_mutex_unlock(&first->others_mutex);
    if (had || status) close_opened(&opened);
    if (had) bs_free(path);
    if (!had && !status) *out_opened = opened;
    return status;
}

/* ---- where to look ---------------------------------------------------------------------------- */

/* The folder of the first file, in which (and below which) files may be followed. */
static basalt_status is_beside(
    struct bs_h5_file *first, const char *real, bool *out_beside, basalt_error *err)
{
    struct bs_vfs *vfs = first->file->vfs;
    char *own = NULL;
    basalt_status status = vfs->ops->real_path(vfs, first->file->path, &own, err);

    *out_beside = false;
    if (status) return status;
    const size_t folder = (size_t)(bs_path_name(own) - own);
    *out_beside = !strncmp(own, real, folder) && real[folder];
    bs_free(own);
    return BASALT_OK;
}

/* Where `path` really is, if it may be followed; what is opened is that, without links, so that nobody
 * who swaps one in between leads elsewhere. */
static basalt_status allow_path(
    struct bs_h5_file *first, const char *path, char **out_real, basalt_error *err)
{
    struct bs_vfs *vfs = first->file->vfs;
    char *real = NULL;
    bool beside = true;
    basalt_status status = vfs->ops->real_path(vfs, path, &real, err);

    *out_real = NULL;
    if (status == BASALT_IO_ERROR) status = BASALT_NOT_FOUND; /* no such folder, say */
    if (status) return status;
    if (first->follow == BS_H5_FOLLOW_BESIDE) status = is_beside(first, real, &beside, err);
    if (!status && !beside)
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "\"%.120s\" lies outside the folder of the file that names it: such files are followed "
            "only when that is asked for",
            path);
    if (status)
        bs_free(real);
    else
        *out_real = real;
    return status;
}

/* Opens `path` if that is allowed and there. */
static basalt_status try_path(struct bs_h5_file *first, const char *path, bool raw,
    struct bs_h5_opened *out_opened, basalt_error *err)
{
    char *real = NULL;
    basalt_status status = allow_path(first, path, &real, err);

    if (!status) status = take_at(first, real, raw, out_opened, err);
    if (status) bs_free(real);
    return status;
}

basalt_status bs_h5_part_open(
    struct bs_h5_file *h5, const char *path, struct bs_file **out_file, basalt_error *err)
{
    struct bs_vfs *vfs = h5->first->file->vfs;
    char *real = NULL;
    basalt_status status = allow_path(h5->first, path, &real, err);

    *out_file = NULL;
    if (!status) status = bs_file_open(vfs, real, BS_OPEN_READ | BS_OPEN_NO_LINKS, out_file, err);
    bs_free(real);
    return status;
}

static char *join(const char *folder, const char *name)
{
    const size_t count = strlen(folder), more = strlen(name);
    char *path = bs_alloc(count + 1 + more + 1);

    if (!path) return NULL;
    memcpy(path, folder, count);
    path[count] = '/';
    memcpy(path + count + 1, name, more + 1);
    return path;
}

basalt_status bs_h5_other_take(struct bs_h5_file *h5, const char *name, bool raw,
    struct bs_h5_opened *out_opened, basalt_error *err)
{
    struct bs_h5_file *first = h5->first;
    basalt_error refusal = {0};
    char *folder = NULL, *beside = NULL;
    basalt_status status = BASALT_OK, refused = BASALT_OK;

    *out_opened = (struct bs_h5_opened){0};
    if (first->follow == BS_H5_FOLLOW_NOWHERE)
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the data are in another file, \"%.120s\", and opening other files was forbidden",
            name);
    if (!*name) return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "another file has no name");
    if (*name == '/') {
        status = try_path(first, name, raw, out_opened, &refusal);
        if (status == BASALT_UNSUPPORTED) refused = status;
        if (status != BASALT_NOT_FOUND && status != BASALT_UNSUPPORTED) goto out;
    }
    folder = bs_path_directory(h5->file->path);
    beside = folder ? join(folder, *name == '/' ? bs_path_name(name) : name) : NULL;
    if (!beside) {
        status = bs_fail_memory(&refusal, strlen(name));
        goto out;
    }
    status = try_path(first, beside, raw, out_opened, &refusal);
    if (status == BASALT_NOT_FOUND && refused) {
        status = try_path(first, name, raw, out_opened, &refusal); /* says it again */
    } else if (status == BASALT_NOT_FOUND && *name != '/') {
        status = try_path(first, name, raw, out_opened, &refusal);
        if (status == BASALT_UNSUPPORTED)
            status = BASALT_NOT_FOUND; /* not the place that is meant */
    }
    if (status == BASALT_NOT_FOUND)
        bs_fail(&refusal, status, BASALT_NO_OFFSET,
            "there is no file \"%.120s\" where \"%.80s\" is", name, h5->file->path);
out:
    bs_free(folder);
    bs_free(beside);
    if (status && err) *err = refusal;
    return status;
}

/* ---- raw data in external files ---------------------------------------------------------------- */

struct slot {
    const char *name; /* in `names` */
    uint64_t offset, bytes;
};

struct bs_h5_slots {
    size_t count;
    struct slot *slots;
    char *names; /* the local heap's data, and a NUL */
};

void bs_h5_slots_free(struct bs_h5_slots *slots)
{
    if (!slots) return;
    bs_free(slots->slots);
    bs_free(slots->names);
    bs_free(slots);
}

static basalt_status load_names(struct bs_h5_file *h5, uint64_t heap, struct bs_h5_slots *slots,
    uint64_t *out_bytes, basalt_error *err)
{
    struct bs_h5_extent data;
    uint8_t *bytes = NULL;

    *out_bytes = 0;
    basalt_status status = bs_h5_local_heap_find(h5, heap, &data, err);
    if (!status)
        status = bs_h5_load(h5, data.address, data.bytes, "names of external files", &bytes, err);
    if (status) return status;
    slots->names = bs_realloc(bytes, (size_t)data.bytes + 1);
    if (!slots->names) {
        bs_free(bytes);
        return bs_fail_memory(err, (size_t)data.bytes + 1);
    }
    slots->names[data.bytes] = 0;
    *out_bytes = data.bytes;
    return BASALT_OK;
}

static basalt_status decode_slots(
    struct bs_h5_file *h5, struct bs_cursor *cursor, struct bs_h5_slots *slots, basalt_error *err)
{
    uint64_t names_bytes = 0;

    const uint8_t version = bs_cursor_u8(cursor);
    bs_cursor_skip(cursor, 3 + 2); /* reserved, allocated slots */
    const uint16_t count = bs_cursor_u16(cursor);
    const uint64_t heap = bs_h5_address(h5, cursor);
    basalt_status status = bs_cursor_check(cursor, "an external file list", err);
    if (status) return status;
    if (version != 1)
        return bs_fail(err, BASALT_CORRUPT, cursor->file_offset,
            "the external file list at %" PRIu64 " has an unknown version", cursor->file_offset);
    status = load_names(h5, heap, slots, &names_bytes, err);
    if (status) return status;
    slots->slots = bs_alloc_zeroed(BS_MAX(count, 1), sizeof *slots->slots);
    if (!slots->slots) return bs_fail_memory(err, count * sizeof *slots->slots);
    for (slots->count = 0; slots->count < count; slots->count++) {
        struct slot *slot = &slots->slots[slots->count];
        const uint64_t name_at = bs_h5_length(h5, cursor);
        slot->offset = bs_h5_length(h5, cursor);
        slot->bytes = bs_h5_length(h5, cursor);
        if (!cursor->failed && name_at >= names_bytes)
            return bs_fail(err, BASALT_CORRUPT, cursor->file_offset,
                "the external file list at %" PRIu64 " names a file outside its heap",
                cursor->file_offset);
        slot->name = slots->names + (cursor->failed ? 0 : name_at);
    }
    return bs_cursor_check(cursor, "an external file list", err);
}

basalt_status bs_h5_slots_read(struct bs_h5_file *h5, const struct bs_h5_message *message,
    struct bs_h5_slots **out_slots, basalt_error *err)
{
    struct bs_h5_body body;

    *out_slots = NULL;
    basalt_status status = bs_h5_message_body(h5, message, &body, err);
    if (status) return status;
    struct bs_h5_slots *slots = bs_alloc_zeroed(1, sizeof *slots);
    status =
        slots ? decode_slots(h5, &body.cursor, slots, err) : bs_fail_memory(err, sizeof *slots);
    bs_h5_body_free(&body);
    if (status)
        bs_h5_slots_free(slots);
    else
        *out_slots = slots;
    return status;
}

static basalt_status read_slot(struct bs_h5_file *h5, const struct slot *slot, uint64_t at,
    uint64_t count, uint8_t *out, basalt_error *err)
{
    struct bs_h5_opened opened;
    size_t got = 0;

    basalt_status status = bs_h5_other_take(h5, slot->name, true, &opened, err);
    if (status == BASALT_NOT_FOUND) /* libhdf5 fails as well: nothing says what the data were */
        return bs_fail(err, BASALT_IO_ERROR, BASALT_NO_OFFSET,
            "the data are in another file, \"%.120s\", which is not there", slot->name);
    if (status) return status;
    if (at > UINT64_MAX - slot->offset)
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "an external file is too long");
    else
        status = opened.file->ops->read_at(
            opened.file, out, (size_t)count, slot->offset + at, &got, err);
    bs_h5_count_bytes(h5, got, 0);
    if (!status) memset(out + got, 0, (size_t)count - got);
    bs_h5_other_give(h5, &opened);
    return status;
}

basalt_status bs_h5_external_read(struct bs_h5_file *h5, const struct bs_h5_object *object,
    uint64_t at, uint64_t count, void *out, basalt_error *err)
{
    const struct bs_h5_slots *slots = object->slots;
    basalt_status status = BASALT_OK;
    uint8_t *to = out;

    for (size_t i = 0; !status && count && slots && i < slots->count; i++) {
        const struct slot *slot = &slots->slots[i];
        if (at >= slot->bytes) {
            at -= slot->bytes;
            continue;
        }
        const uint64_t now = BS_MIN(count, slot->bytes - at);
        status = read_slot(h5, slot, at, now, to, err);
        to += now;
        count -= now;
        at = 0;
    }
    if (status || !count) return status;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the external files of the dataset at %" PRIu64 " have fewer bytes than its shape needs",
        object->header->address);
}
