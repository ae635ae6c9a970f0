/* vfs_internal.h - what the file systems of this floor share; nobody else includes it. */
#ifndef BS_VFS_INTERNAL_H
#define BS_VFS_INTERNAL_H

#include "vfs/vfs.h"

#include <inttypes.h>

/* A path inside a message: cut, so that the reason after it still fits. */
#define SHOWN "\"%.120s\""

/* As the kernel counts file positions. */
#define BS_FILE_OFFSET_MAX ((uint64_t)INT64_MAX)

/* READ_ONLY: the file was opened without BS_OPEN_WRITE. */
basalt_status bs_vfs_fail_read_only(const struct bs_file *file, basalt_error *err);
/* BUSY: somebody else's lock overlaps the range. */
basalt_status bs_vfs_fail_locked(
    const struct bs_file *file, uint64_t start, uint64_t length, basalt_error *err);
/* BAD_ARGUMENT: share() was asked for an exclusive lock, which would shut libhdf5 readers out. */
basalt_status bs_vfs_fail_share(const struct bs_file *file, basalt_error *err);
/* Why a path could not be opened. BAD_ARGUMENT: it is a directory. READ_ONLY: a file may not be made. */
basalt_status bs_vfs_fail_open(int os_errno, unsigned flags, const char *path, basalt_error *err);

#endif
