/* status.h - how every call of Basalt reports failure.
 *
 * True of every function of the public API, so not repeated in the other headers:
 *   errors     BASALT_OK is 0. `err` is last, may be NULL, and is written only on failure.
 *   outputs    named out_*, follow the inputs, and are NULL or 0 after a failure.
 *   ownership  what a call "creates" the caller must close; what it "lends" stays ours and lives
 *              until the event named there.
 *   units      are in the name: _bytes, _rows, _ns, _ms. Paths and names are UTF-8.
 *   options    are filled in by their _init function first; NULL means all defaults.
 *   fork       in a forked child a store is inert: calls fail with one sentence. */
#ifndef BASALT_STATUS_H
#define BASALT_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define BASALT_API __attribute__((visibility("default")))
#define BASALT_CHECKED __attribute__((visibility("default"), warn_unused_result))
#else
#define BASALT_API
#define BASALT_CHECKED
#endif

/* Values are part of the ABI: append, never renumber. */
typedef enum basalt_status {
    BASALT_OK = 0,
    BASALT_NOT_FOUND = 1,        /* expected: the caller decides what it means */
    BASALT_BUSY = 2,             /* somebody else holds it: a retry may succeed */
    BASALT_BAD_ARGUMENT = 3,     /* the caller's bug; a directory for a file */
    BASALT_NO_MEMORY = 4,        /* the allocator or the budget refused */
    BASALT_IO_ERROR = 5,         /* basalt_error.os_errno says which */
    BASALT_CORRUPT = 6,          /* basalt_error.file_offset says where */
    BASALT_EXISTS = 7,           /* expected: the name is taken */
    BASALT_UNSUPPORTED = 8,      /* valid, but not built (yet) or not built in */
    BASALT_TIMED_OUT = 9,        /* nothing happened, the caller still owns what it passed */
    BASALT_DROPPED = 10,         /* dropped by policy; counted in the stats and in the file */
    BASALT_OUTCOME_UNKNOWN = 11, /* the log failed during the commit: reopen to know */
    BASALT_CANCELLED = 12,       /* by the caller's token; no partial state */
    BASALT_READ_ONLY = 13,       /* file, directory, file system or store takes no writes */
    BASALT_NO_SPACE = 14,        /* disk full or quota reached, or a limit on file sizes */
    BASALT_SCHEMA_MISMATCH = 15, /* the batch does not fit the family's schema */
    BASALT_CONFLICT = 16,        /* file and log are of different stories; nothing was changed */
    BASALT_TOO_LARGE = 17,       /* a documented limit; the message names it */
    BASALT_NOT_HDF5 = 18         /* the file is something else */
} basalt_status;

#define BASALT_ERROR_MESSAGE_BYTES 240
#define BASALT_NO_OFFSET UINT64_MAX

/* Why a call failed. Caller-owned plain data: put it on the stack, never free it. */
typedef struct basalt_error {
    basalt_status status;
    int os_errno;         /* 0 unless the operating system refused */
    uint64_t file_offset; /* bytes; BASALT_NO_OFFSET when no file position is to blame */
    char message[BASALT_ERROR_MESSAGE_BYTES]; /* one English sentence, NUL-terminated */
} basalt_error;

/* "BASALT_CORRUPT" for BASALT_CORRUPT; lends a constant. */
BASALT_API const char *basalt_status_name(basalt_status status);

/* "0.1.0"; lends a constant. */
BASALT_API const char *basalt_version(void);

#ifdef __cplusplus
}
#endif
#endif
