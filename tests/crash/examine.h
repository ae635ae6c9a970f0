/* examine.h - every image that a history may have left, looked at by Basalt and by libhdf5. */
#ifndef BS_EXAMINE_H
#define BS_EXAMINE_H

#include "tests/crash/store_history.h"

/* Which images, and how much of each. */
struct plan {
    const char *name;
    uint64_t seed;
    uint64_t second_every; /* images: of one in so many the recovery is crashed too; 0: of none */
    struct powerloss_options options;
};

struct report {
    struct crash_tally tally, second; /* `second`: crashes within recoveries */
    uint64_t hdf5_looks, hdf5_files;  /* images, and distinct files, that libhdf5 read */
    uint64_t fresh, closed, dumped, restored;
    uint64_t say_closed, say_open; /* images whose file says so */
    uint64_t moved, refused;       /* opened without their log; refused for it */
};

/* By as many forked processes as there are processors. False: one of them did not end well. Nothing of
 * Basalt is open in this process. */
bool examine_all(struct history *history, const struct plan *plan, struct report *out_report);
/* In this process, until a promise is broken with one of the complaints (`wanted` of a crash_tally). */
void examine_until_broken(struct history *history, const struct plan *plan, const char *wanted,
    struct report *out_report);
void examine_print(const struct report *report, const char *name, uint64_t ns);

#endif
