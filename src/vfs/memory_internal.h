/* memory_internal.h - nodes and open files of the file system in memory.
 * The invariants and the order of the locks: top of memory.c. */
#ifndef BS_MEMORY_INTERNAL_H
#define BS_MEMORY_INTERNAL_H

#include "vfs/vfs_internal.h"

#define BS_MEMORY_PERMISSIONS ((uint32_t)07777)

struct bs_memory_lock {
    const struct bs_file *owner;
    enum bs_lock_kind kind;
    uint64_t start, end; /* [start, end) */
};

struct bs_memory_node {
    struct bs_memory_node *parent;   /* NULL at the root and after removal */
    char *name;                      /* NULL at the root */
    struct bs_memory_node *sibling;  /* next in the parent's list */
    struct bs_memory_node *children; /* of a directory */
    unsigned references;
    uint64_t inode;
    bool directory;

    bs_mutex lock;
    uint8_t *bytes;
    size_t size, capacity; /* bytes from `size` to `capacity` are zero */
    unsigned lent;         /* log memories out; the buffer is pinned meanwhile */
    unsigned sharers;
    uint32_t mode;
    uint64_t modified_ns;
    struct bs_memory_lock *locks;
    size_t lock_count, lock_capacity;
};

struct bs_memory_vfs {
    struct bs_vfs vfs; /* first: a bs_vfs is cast to this */
    bs_mutex lock;
    struct bs_memory_node *root;
    uint64_t next_inode;
    uint64_t device; /* by chance, so that files of two file systems never seem the same */
};

struct bs_memory_file {
    struct bs_file file; /* first: a bs_file is cast to this */
    struct bs_memory_node *node;
    bool writable;
    bool shared; /* guarded by node->lock */
};

static inline struct bs_memory_vfs *bs_memory_vfs_of(struct bs_vfs *vfs)
{
    return (struct bs_memory_vfs *)(void *)vfs;
}

static inline struct bs_memory_file *bs_memory_file_of(struct bs_file *file)
{
    return (struct bs_memory_file *)(void *)file;
}

extern const struct bs_file_ops bs_memory_file_ops; /* memory_file.c */

/* memory.c; both under vfs->lock. */
void bs_memory_node_release(struct bs_memory_node *node);
void bs_memory_info_of(
    const struct bs_memory_vfs *self, struct bs_memory_node *node, struct bs_file_info *out_info);

#endif
