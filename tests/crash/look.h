/* look.h - what Basalt and what libhdf5 see in the files that a crash has left. */
#ifndef BS_LOOK_H
#define BS_LOOK_H

#include "tests/crash/store_history.h"

/* Rows of each family; UINT64_MAX where the family is not there. */
struct seen {
    uint64_t rows[FAMILIES];
    uint64_t step;
    bool closed; /* libhdf5: the file says that it was closed cleanly */
};

/* The same of a file that was moved away from its log: refused, unless it says that it was closed or
 * `without_log` is set. Leaves it closed. */
BS_MUST_USE basalt_status look_without_log(struct bs_vfs *vfs, struct bs_budget *budget,
    bool without_log, struct seen *out_seen, basalt_error *err);

/* Opens the store in `vfs` (recovering it, unless `fresh`), reads every row of every family, checks
 * each value, and leaves without closing. OK, or what is wrong. */
BS_MUST_USE basalt_status look_with_basalt(struct bs_vfs *vfs, struct bs_budget *budget, bool fresh,
    bool close, struct seen *out_seen, basalt_error *err);

/* Is the superblock (version 2) whole? */
bool superblock_is_whole(const uint8_t *bytes, size_t count);
/* The same rows through libhdf5, from the bytes of the file alone. */
BS_MUST_USE basalt_status look_with_libhdf5(
    const uint8_t *bytes, size_t count, struct seen *out_seen, basalt_error *err);

#endif
