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
};

#endif
