/* crash.h - what the crash programs share: counting of distinct images, and the first failures. */
#ifndef BS_CRASH_H
#define BS_CRASH_H

#include "tests/crash/stages.h"

#define CRASH_FAILURES_SHOWN 10

struct crash_tally {
    uint64_t distinct;                      /* by hash */
    uint64_t checks;                        /* an image is checked again for a higher mark */
    uint64_t by_kind[POWERLOSS_KINDS];      /* distinct ones */
    uint64_t by_cut[POWERLOSS_EVENT_KINDS]; /* distinct ones */
    uint64_t by_stage[STAGES];              /* distinct ones; one may be of several or none */
    uint64_t failures;
    const char *wanted;           /* complaints, separated by |, one of which is; NULL: any */
    struct powerloss_image first; /* that failed with a wanted one, without its files */
    char first_text[300];         /* "": none did */
    uint64_t *seen;               /* open addressing; 0 is empty */
    size_t seen_count, seen_capacity;
};

/* Counts the image; true if its bytes were not seen before. */
bool crash_count(struct crash_tally *tally, const struct powerloss_image *image);
/* Counts an image that crash_count said is new. `stages` is one bit a stage. */
void crash_count_stages(
    struct crash_tally *tally, const struct powerloss_image *image, uint8_t stages);
/* A promise that is broken in this image: one line on stderr for the first ones. */
void crash_fail(struct crash_tally *tally, const struct powerloss_image *image, const char *format,
    ...) BS_PRINTF(3, 4);
/* "FIGURE NAME: ..." on stdout, by kind and by the operation at which the machine stopped. */
void crash_print(const struct crash_tally *tally, const char *name);
/* Adds the counts of images that are others than those of `sum`. */
void crash_add(struct crash_tally *sum, const struct crash_tally *part);
void crash_free(struct crash_tally *tally);
void crash_free_seen(struct crash_tally *tally); /* the counts stay */

/* True the first time that `key` is put in. */
bool crash_note(struct crash_tally *tally, uint64_t key);

#endif
