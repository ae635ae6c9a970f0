/* powerloss_state.c - contents of files and tables of names, and what an event does to them. */
#include "tests/harness/powerloss_internal.h"

#include "tests/harness/harness_memory.h"

/* ---- contents -------------------------------------------------------------------------------- */

static void content_resize(struct powerloss_content *content, size_t size)
{
    if (size > content->capacity) {
        const size_t capacity = BS_MAX(size, 2 * content->capacity);
        content->bytes = harness_resize(content->bytes, capacity);
        memset(content->bytes + content->capacity, 0, capacity - content->capacity);
        content->capacity = capacity;
    }
    if (size < content->size) memset(content->bytes + size, 0, content->size - size);
    content->size = size;
    content->hash_known = false;
}

void powerloss_content_put(
    struct powerloss_content *content, const uint8_t *bytes, size_t count, size_t at)
{
    if (at + count > content->size) content_resize(content, at + count);
    memcpy(content->bytes + at, bytes, count);
    content->hash_known = false;
}

void powerloss_content_copy(struct powerloss_content *to, const struct powerloss_content *from)
{
    content_resize(to, from->size);
    if (from->size) memcpy(to->bytes, from->bytes, from->size);
    to->mode = from->mode;
    to->hash_known = false;
}

void powerloss_content_apply(struct powerloss_content *content, const struct powerloss_event *event)
{
    switch (event->kind) {
    case POWERLOSS_WRITE:
    case POWERLOSS_STORE:
        powerloss_content_put(content, event->bytes, event->count, (size_t)event->offset);
        break;
    case POWERLOSS_SET_SIZE: content_resize(content, (size_t)event->offset); break;
    case POWERLOSS_RESERVE:
        if (event->offset > content->size) content_resize(content, (size_t)event->offset);
        break;
    case POWERLOSS_SET_MODE: content->mode = (uint32_t)event->offset; break;
    default: break;
    }
    content->hash_known = false;
}

uint64_t powerloss_hash_bytes(uint64_t hash, const uint8_t *bytes, size_t count)
{
    hash ^= count * 0x9E3779B97F4A7C15u;
    for (; count >= 8; count -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
        hash ^= hash >> 32;
    }
    for (; count > 0; count--, bytes++) hash = (hash ^ *bytes) * 0xFF51AFD7ED558CCDu;
    return hash ^ hash >> 29;
}

uint64_t powerloss_content_hash(struct powerloss_content *content)
{
    if (!content->hash_known) {
        content->hash = powerloss_hash_bytes(content->mode, content->bytes, content->size);
        content->hash_known = true;
    }
    return content->hash;
}

/* ---- names ----------------------------------------------------------------------------------- */

struct powerloss_entry *powerloss_names_find(const struct powerloss_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->entries[i].path, path) == 0) return &names->entries[i];
    }
    return NULL;
}

void powerloss_names_set(
    struct powerloss_names *names, const char *path, size_t node, bool directory)
{
    struct powerloss_entry *entry = powerloss_names_find(names, path);
    if (!entry) {
        if (names->count == names->capacity) {
            names->capacity = names->capacity ? 2 * names->capacity : 16;
            names->entries =
                harness_resize(names->entries, names->capacity * sizeof names->entries[0]);
        }
        entry = &names->entries[names->count++];
    }
    *entry = (struct powerloss_entry){path, node, directory};
}

static void names_drop(struct powerloss_names *names, const char *path)
{
    struct powerloss_entry *entry = powerloss_names_find(names, path);
    if (entry) *entry = names->entries[--names->count];
}

void powerloss_names_copy(struct powerloss_names *to, const struct powerloss_names *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        powerloss_names_set(
            to, from->entries[i].path, from->entries[i].node, from->entries[i].directory);
    }
}

void powerloss_names_apply(struct powerloss_names *names, const struct powerloss_event *event)
{
    switch (event->kind) {
    case POWERLOSS_CREATE: powerloss_names_set(names, event->path, event->node, false); break;
    case POWERLOSS_MAKE_DIRECTORY:
        powerloss_names_set(names, event->path, event->node, true);
        break;
    case POWERLOSS_REMOVE: names_drop(names, event->path); break;
    case POWERLOSS_RENAME: {
        const struct powerloss_entry *from = powerloss_names_find(names, event->path);
        const bool directory = from && from->directory;
        if (from && from->node == event->node) names_drop(names, event->path);
        powerloss_names_set(names, event->to, event->node, directory);
        break;
    }
    default: break;
    }
}

bool powerloss_is_of_names(enum powerloss_event_kind kind)
{
    return kind == POWERLOSS_CREATE || kind == POWERLOSS_RENAME || kind == POWERLOSS_REMOVE ||
        kind == POWERLOSS_MAKE_DIRECTORY;
}

bool powerloss_is_of_bytes(enum powerloss_event_kind kind)
{
    return kind == POWERLOSS_WRITE || kind == POWERLOSS_STORE;
}

bool powerloss_is_of_content(enum powerloss_event_kind kind)
{
    return powerloss_is_of_bytes(kind) || kind == POWERLOSS_SET_SIZE || kind == POWERLOSS_RESERVE ||
        kind == POWERLOSS_SET_MODE;
}

bool powerloss_is_directly_in(const char *path, const char *directory)
{
    const size_t parent = (size_t)(bs_path_name(path) - path) - 1; /* without the slash */
    const size_t count = strcmp(directory, "/") ? strlen(directory) : 0;
    return parent == count && memcmp(path, directory, count) == 0;
}

bool powerloss_is_visible(const struct powerloss_names *names, const char *path)
{
    char parent[1024];
    for (;;) {
        const size_t count = (size_t)(bs_path_name(path) - path) - 1;
        if (count == 0) return true;
        assert(count < sizeof parent);
        memmove(parent, path, count);
        parent[count] = '\0';
        const struct powerloss_entry *entry = powerloss_names_find(names, parent);
        if (!entry || !entry->directory) return false;
        path = parent;
    }
}
