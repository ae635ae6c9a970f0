/* powerloss_internal.h - the trace that powerloss_vfs.c records and powerloss_images.c reads. */
#ifndef BS_POWERLOSS_INTERNAL_H
#define BS_POWERLOSS_INTERNAL_H

#include "tests/harness/powerloss_vfs.h"

#define SECTOR_BYTES ((size_t)512)
#define NO_NODE SIZE_MAX /* of removals, marks and syncs of directories */

/* What of it is used depends on `kind`. Paths are resolved. */
struct powerloss_event {
    enum powerloss_event_kind kind;
    size_t node;     /* index of the file, or of the directory entry's file */
    uint64_t offset; /* of a write or store; new size; permission bits; mark */
    size_t count;
    uint8_t *bytes;
    char *path; /* of the directory entry, or the directory synced */
    char *to;   /* of a rename */
};

/* What the trace begins with. */
struct powerloss_base {
    char *path;
    uint8_t *bytes;
    size_t size;
    uint32_t mode;
    bool directory;
    size_t node;
};

struct powerloss_vfs {
    struct bs_vfs vfs; /* first: a bs_vfs is cast to this */
    struct bs_vfs *inner;
    bs_mutex lock; /* held over a change and its event, so that the trace has their order */
    struct powerloss_event *events;
    size_t event_count, event_capacity;
    struct powerloss_base *base;
    size_t base_count;
    uint64_t *inodes; /* of `inner`, by node index */
    size_t node_count;
    uint64_t sync_fails_in; /* 0: none */
    size_t dying_node;      /* at the dies_in-th sync of it */
    uint64_t dies_in;       /* 0: it lives on */
    bool dead;              /* nothing changes any more */
    _Atomic uint64_t sync_ns;
};

/* ---- powerloss_state.c ---- */

struct powerloss_content {
    uint8_t *bytes;
    size_t size, capacity; /* bytes from `size` to `capacity` are zero */
    uint32_t mode;
    uint64_t hash;
    bool hash_known;
};

struct powerloss_entry {
    const char *path; /* lent by the trace */
    size_t node;
    bool directory;
};

struct powerloss_names {
    struct powerloss_entry *entries;
    size_t count, capacity;
};

void powerloss_content_put(
    struct powerloss_content *content, const uint8_t *bytes, size_t count, size_t at);
void powerloss_content_copy(struct powerloss_content *to, const struct powerloss_content *from);
/* All of the event: of a write, every sector. */
void powerloss_content_apply(
    struct powerloss_content *content, const struct powerloss_event *event);
uint64_t powerloss_hash_bytes(uint64_t hash, const uint8_t *bytes, size_t count);
uint64_t powerloss_content_hash(struct powerloss_content *content);
/* NULL if there is none. */
struct powerloss_entry *powerloss_names_find(const struct powerloss_names *names, const char *path);
void powerloss_names_set(
    struct powerloss_names *names, const char *path, size_t node, bool directory);
void powerloss_names_copy(struct powerloss_names *to, const struct powerloss_names *from);
void powerloss_names_apply(struct powerloss_names *names, const struct powerloss_event *event);
bool powerloss_is_of_names(enum powerloss_event_kind kind);
bool powerloss_is_of_bytes(enum powerloss_event_kind kind);
bool powerloss_is_of_content(enum powerloss_event_kind kind);
/* Is `path` a name in `directory`? Both are resolved. */
bool powerloss_is_directly_in(const char *path, const char *directory);
/* A name can be seen if every directory above it can. */
bool powerloss_is_visible(const struct powerloss_names *names, const char *path);

#endif
