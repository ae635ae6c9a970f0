/* local_internal.h - the file object that the local_*_posix.c files share. */
#ifndef BS_LOCAL_INTERNAL_H
#define BS_LOCAL_INTERNAL_H

#include "vfs/vfs_internal.h"

struct bs_local_file {
    struct bs_file file; /* first: a bs_file is cast to this */
    int descriptor;
    bool writable;
    atomic_bool shared; /* holds the whole-file lock */
};

static inline struct bs_local_file *bs_local_file_of(struct bs_file *file)
{
    return (struct bs_local_file *)(void *)file;
}

/* What the kind of file system under a descriptor allows. */
struct bs_local_traits {
    bool local;         /* every lock on its files is taken through this kernel */
    bool plain_devices; /* stat gives the device that /proc/locks shows */
    bool reserves;      /* fallocate keeps its promise: a later store finds its block */
};
struct bs_local_traits bs_local_traits_of(int descriptor);

/* local_log_posix.c */
basalt_status bs_local_reserve(struct bs_file *file, uint64_t bytes, basalt_error *err);
basalt_status bs_local_lend_log(struct bs_file *file, size_t capacity_bytes,
    struct bs_log_memory *out_memory, basalt_error *err);
void bs_local_mark_dirty(
    struct bs_file *file, const struct bs_log_memory *memory, size_t at, size_t count);
void bs_local_return_log(struct bs_file *file, struct bs_log_memory *memory);

/* local_lock_posix.c */
basalt_status bs_local_lock(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, basalt_error *err);
basalt_status bs_local_probe(struct bs_file *file, enum bs_lock_kind kind, uint64_t start,
    uint64_t length, struct bs_lock_holder *out_holder, basalt_error *err);
basalt_status bs_local_share(struct bs_file *file, enum bs_lock_kind kind, basalt_error *err);
basalt_status bs_local_count_sharers(struct bs_file *file, unsigned *out_count, basalt_error *err);

#endif
