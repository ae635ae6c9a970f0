/* faulty_vfs.h - a file system around another one, whose operations fail when EACH_FAULT says so. */
#ifndef BS_FAULTY_VFS_H
#define BS_FAULTY_VFS_H

#include "vfs/vfs.h"

enum faulty_operation {
    FAULTY_OPEN = 1 << 0,
    FAULTY_READ = 1 << 1,
    FAULTY_WRITE = 1 << 2,
    FAULTY_SYNC = 1 << 3,
    FAULTY_INFO = 1 << 4,
    FAULTY_SET_SIZE = 1 << 5,
    FAULTY_RESERVE = 1 << 6,
    FAULTY_SET_MODE = 1 << 7,
    FAULTY_LEND_LOG = 1 << 8,
    FAULTY_LOCK = 1 << 9,   /* lock and probe */
    FAULTY_SHARE = 1 << 10, /* share and count_sharers */
    FAULTY_REMOVE = 1 << 11,
    FAULTY_RENAME = 1 << 12,
    FAULTY_MAKE_DIRECTORY = 1 << 13,
    FAULTY_LIST = 1 << 14,
    FAULTY_SYNC_DIRECTORY = 1 << 15,
    FAULTY_REAL_PATH = 1 << 16
};

struct faulty_options {
    int os_errno;        /* what a failing operation reports; 0: EIO */
    unsigned operations; /* those that may fail (and count as steps); 0: all */
    bool cut_reads;      /* a failing read gives less instead, as if the file had been cut */
    bool partial_writes; /* a failing write has written its first half */
    bool no_log_memory;  /* lend_log is always UNSUPPORTED */
    bool no_reserve;     /* reserve is always UNSUPPORTED */
};

/* Takes over `inner`: freeing the result frees it. `options` NULL: all defaults. Never fails. */
struct bs_vfs *faulty_create(struct bs_vfs *inner, const struct faulty_options *options);
/* How many operations this file system has failed so far. */
uint64_t faulty_failures(const struct bs_vfs *vfs);

#endif
