/* paths.c - where in a file the objects are: a path to each, for references, which hold an address. */
#include "tables/tables_internal.h"

#include <stdlib.h>

#define PATHS_BYTES_MAX ((uint64_t)64 << 20)
#define PATHS_BYTES_FREE_MAX ((uint64_t)8 << 20) /* whatever the file */
#define PATHS_TO_FILE_MAX 2

struct place {
    uint64_t address;
    size_t text; /* where its path begins in `texts` */
};

struct bs_paths {
    struct bs_h5_file *h5;
    struct bs_bytes texts;  /* each path with its NUL */
    struct bs_bytes places; /* struct place, in the order in which they are met, then sorted */
};

void bs_paths_free(struct bs_paths *paths)
{
    if (!paths) return;
    bs_bytes_free(&paths->texts);
    bs_bytes_free(&paths->places);
    bs_free(paths);
}

static size_t place_count(const struct bs_paths *paths)
{
    return paths->places.count / sizeof(struct place);
}

static struct place place_at(const struct bs_paths *paths, size_t index)
{
    struct place place;
    memcpy(&place, paths->places.data + index * sizeof place, sizeof place);
    return place;
}

struct group { /* whose links are being listed */
    struct bs_paths *paths;
    size_t path; /* of the group, in `texts` */
};

static basalt_status add_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    const struct group *group = context;
    struct bs_paths *paths = group->paths;
    if (link->kind != BS_H5_LINK_HARD) return BASALT_OK;
    const struct place place = {link->address, paths->texts.count};
    const size_t parent = strlen((const char *)paths->texts.data + group->path);
    uint8_t *room = bs_bytes_grow(&paths->texts, parent + 1 + strlen(link->name) + 1);
    if (room) {
        const bool is_root = parent == 1;
        memcpy(room, paths->texts.data + group->path, parent);
        if (!is_root) room[parent] = '/';
        memcpy(room + parent + !is_root, link->name, strlen(link->name) + 1);
        if (is_root) paths->texts.count--;
    }
    bs_bytes_put(&paths->places, &place, sizeof place);
    const uint64_t bytes_max = BS_MIN(
        PATHS_BYTES_MAX, PATHS_BYTES_FREE_MAX + PATHS_TO_FILE_MAX * bs_h5_file_bytes(paths->h5));
    if (paths->texts.count + paths->places.count > bytes_max) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the paths that references could lead to are more than %" PRIu64 " bytes", bytes_max);
    }
    const basalt_status status = bs_bytes_check(&paths->texts, err);
    return status ? status : bs_bytes_check(&paths->places, err);
}

/* Open addressing over addresses: whether a group was listed already. */
struct seen {
    uint64_t *slots; /* address + 1 */
    size_t capacity, count;
};

static bool seen_put(struct seen *seen, uint64_t address)
{
    size_t at = (size_t)(address * 0x9E3779B97F4A7C15u) & (seen->capacity - 1);
    while (seen->slots[at] && seen->slots[at] != address + 1) at = (at + 1) & (seen->capacity - 1);
    const bool is_new = !seen->slots[at];
    seen->count += is_new;
    seen->slots[at] = address + 1;
    return is_new;
}

static basalt_status seen_grow(struct seen *seen, basalt_error *err)
{
    struct seen larger = {.capacity = BS_MAX(seen->capacity * 2, 64)};
    if (seen->count * 2 < seen->capacity) return BASALT_OK;
    larger.slots = bs_alloc_zeroed(larger.capacity, sizeof *larger.slots);
    if (!larger.slots) return bs_fail_memory(err, larger.capacity * sizeof *larger.slots);
    for (size_t i = 0; i < seen->capacity; i++) {
        if (seen->slots[i]) (void)seen_put(&larger, seen->slots[i] - 1);
    }
    bs_free(seen->slots);
    *seen = larger;
    return BASALT_OK;
}

/* What can't be opened has no links to follow; its own path is known from its parent. */
static basalt_status list_group(struct bs_paths *paths, size_t index, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    const struct place place = place_at(paths, index);
    struct group group = {paths, place.text};
    basalt_status status = bs_h5_object_open(paths->h5, place.address, &object, err);
    if (status) return status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR ? status : BASALT_OK;
    if (bs_h5_object_kind(object) == BS_H5_GROUP) {
        status = bs_h5_group_each(paths->h5, object, add_link, &group, err);
    }
    bs_h5_object_close(object);
    return status;
}

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    if (left->address != right->address) return left->address < right->address ? -1 : 1;
    return left->text < right->text ? -1 : left->text > right->text;
}

static basalt_status list_all(struct bs_paths *paths, basalt_error *err)
{
    struct seen seen = {0};
    const struct place root = {bs_h5_file_superblock(paths->h5)->root, 0};
    bs_bytes_put(&paths->texts, "/", 2);
    bs_bytes_put(&paths->places, &root, sizeof root);
    basalt_status status = bs_bytes_check(&paths->texts, err);
    if (!status) status = bs_bytes_check(&paths->places, err);
    for (size_t i = 0; !status && i < place_count(paths); i++) {
        status = seen_grow(&seen, err);
        if (!status && seen_put(&seen, place_at(paths, i).address)) {
            status = list_group(paths, i, err);
        }
    }
    bs_free(seen.slots);
    if (!status && paths->places.count) {
        qsort(paths->places.data, place_count(paths), sizeof(struct place), compare_places);
    }
    return status;
}

basalt_status bs_paths_find(struct bs_h5_file *h5, struct bs_paths **paths_at, uint64_t address,
    const char **out_path, basalt_error *err)
{
    *out_path = NULL;
    if (*paths_at && (*paths_at)->h5 != h5) { /* a link led to another file */
        bs_paths_free(*paths_at);
        *paths_at = NULL;
    }
    if (!*paths_at) {
        struct bs_paths *made = bs_alloc_zeroed(1, sizeof *made);
        if (!made) return bs_fail_memory(err, sizeof *made);
        basalt_status status = bs_h5_view_create(h5, &made->h5, err);
        if (!status) status = list_all(made, err);
        bs_h5_view_free(made->h5);
        made->h5 = h5;
        if (status) {
            bs_paths_free(made);
            return status;
        }
        *paths_at = made;
    }
    const struct bs_paths *paths = *paths_at;
    size_t low = 0, high = place_count(paths);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (place_at(paths, middle).address < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < place_count(paths) && place_at(paths, low).address == address) {
        *out_path = (const char *)paths->texts.data + place_at(paths, low).text;
    }
    return BASALT_OK;
}
