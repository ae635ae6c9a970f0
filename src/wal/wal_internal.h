/* wal_internal.h - what the sources of the log share. Format: wal_format.c. Invariants and locks:
 * wal_writer.c. */
#ifndef BS_WAL_INTERNAL_H
#define BS_WAL_INTERNAL_H

#include "wal/wal.h"

#define BS_WAL_HEADER_BYTES ((size_t)4096) /* of a segment file; frames follow */
#define BS_WAL_SECTOR_BYTES ((size_t)512)  /* what a disk writes whole or not at all */
#define BS_WAL_IDENTITY_AT ((size_t)0)
#define BS_WAL_ACTIVATION_AT ((size_t)512)
#define BS_WAL_STORY_AT ((size_t)1024) /* two slots */
#define BS_WAL_STORY_SLOTS 2
#define BS_WAL_SECTORS_BYTES (BS_WAL_STORY_AT + BS_WAL_STORY_SLOTS * BS_WAL_SECTOR_BYTES)

#define BS_WAL_FRAME_HEADER_BYTES ((size_t)24)
#define BS_WAL_FRAME_ALIGN_BYTES ((size_t)8)
#define BS_WAL_LSN_MAX ((bs_lsn)1 << 62)
#define BS_WAL_SEGMENTS_MAX ((size_t)65536) /* files of one log */
#define BS_WAL_AHEAD_MAX 256u               /* segments that one append may span */
#define BS_WAL_STAGING_BYTES ((size_t)64 << 10)

/* ---- bytes: wal_format.c ------------------------------------------------------------------ */

struct bs_wal_identity {
    uint8_t store_uuid[16];
    uint32_t epoch;
    uint64_t number;
    uint64_t segment_bytes;
    char holder[BS_WAL_HOLDER_BYTES];
};

struct bs_wal_frame {
    uint32_t record_bytes;
    uint32_t payload_crc;
    bs_lsn lsn;
    uint32_t epoch;
    bool commit;
};

bool bs_wal_sector_blank(const uint8_t *sector);
void bs_wal_identity_encode(const struct bs_wal_identity *identity, uint8_t *out_sector);
/* NOT_FOUND: the sector is blank. CORRUPT, UNSUPPORTED: `path` names the file in the sentence. */
BS_MUST_USE basalt_status bs_wal_identity_decode(const uint8_t *sector, const char *path,
    struct bs_wal_identity *out_identity, basalt_error *err);

void bs_wal_activation_encode(bs_lsn start, uint32_t epoch, uint8_t *out_sector);
/* False: blank, torn, or of another epoch. */
bool bs_wal_activation_decode(const uint8_t *sector, uint32_t epoch, bs_lsn *out_start);

void bs_wal_story_encode(
    const struct bs_wal_story *story, uint64_t sequence, uint32_t epoch, uint8_t *out_sector);
bool bs_wal_story_decode(
    const uint8_t *sector, uint32_t epoch, struct bs_wal_story *out_story, uint64_t *out_sequence);

size_t bs_wal_frame_bytes(size_t record_bytes); /* with header and padding */
void bs_wal_frame_encode(const struct bs_wal_frame *frame, uint8_t *out_header);
/* False: no frame, a torn one, or one of another position or epoch. The payload is not looked at. */
bool bs_wal_frame_decode(
    const uint8_t *header, bs_lsn lsn, uint32_t epoch, struct bs_wal_frame *out_frame);

/* "PATH-log.N"; the caller frees it; NULL if memory is short. */
BS_MUST_USE char *bs_wal_segment_path(const char *data_path, uint64_t number);
/* Is `name` that of a segment of the data file called `data_name`? */
bool bs_wal_segment_number(const char *name, const char *data_name, uint64_t *out_number);

/* ---- segment files that exist: wal_reader.c ------------------------------------------------ */

struct bs_wal_found {
    uint64_t number;
    uint64_t file_bytes;
    bool whole;  /* its identity is; else it was never finished and holds nothing */
    bool active; /* has been given a start: made-ahead segments have not */
    struct bs_wal_identity identity;
    bs_lsn start;
    bool has_story;
    struct bs_wal_story story;
    uint64_t story_sequence;
};

struct bs_wal_found_list {
    struct bs_wal_found *items; /* by number, lowest first */
    size_t count;
};

/* Reads the header of every segment. An empty list is a success. CONFLICT: of two stores. */
BS_MUST_USE basalt_status bs_wal_find_segments(struct bs_vfs *vfs, const char *data_path,
    struct bs_wal_found_list *out_list, basalt_error *err);
void bs_wal_found_list_free(struct bs_wal_found_list *list);

/* ---- the writer ----------------------------------------------------------------------------- */

struct bs_wal_segment {
    struct bs_wal_segment *next; /* the next newer one of its list */
    struct bs_file *file;
    char *path;
    struct bs_log_memory memory; /* bytes NULL: write_at is the way */
    uint64_t number;
    size_t file_bytes;
    bs_lsn start;        /* set when it becomes active, under `lock` */
    unsigned references; /* guarded by `lock`: the list's, and that of a sync under way */
};

/* One thread in bs_wal_sync_to, on its stack. */
struct bs_wal_waiter {
    struct bs_wal_waiter *previous, *next;
    bs_lsn end; /* what must be durable */
    bs_condition wake;
};

struct bs_wal_writer {
    /* Constant after open. */
    struct bs_vfs *vfs;
    char *data_path, *directory;
    size_t segment_bytes;
    uint32_t mode;
    struct bs_wal_identity identity; /* `number` apart */
    bs_lsn start;

    /* The appender's alone: the caller serialises appends. */
    uint8_t *staging; /* BS_WAL_STAGING_BYTES; used where no memory is lent */
    size_t run_at;    /* file offset in the active segment of bytes not yet handed over */
    size_t run_bytes;

    _Atomic bs_lsn written; /* the appender stores, with release; all load */
    _Atomic bs_lsn durable; /* the leader stores, with release; all load */
    _Atomic uint64_t appends;

    /* Segments. Never held across I/O. */
    bs_mutex lock;
    bs_condition maker_wake;                /* there is something to make, or to stop */
    bs_condition made;                      /* a segment is ready, or making one failed */
    struct bs_wal_segment *oldest, *active; /* a list that ends with the active one */
    struct bs_wal_segment *ready, *ready_last;
    unsigned ready_count, wanted_count; /* made ahead; how many should be now */
    unsigned ahead_count;               /* and after the next rotation */
    uint64_t next_number;
    uint64_t make_failures;    /* how many times making one failed */
    basalt_error make_failure; /* the last of them */
    bool make_retry;           /* somebody waits: try again after a failure */
    bool stopping;
    struct bs_thread *maker;

    /* The story (wal_story.c): one caller at a time, see wal.h. */
    struct bs_file *story_file;
    char *story_path;
    uint64_t story_sequence;

    /* Waiting. Never held across I/O, never together with `lock`. */
    bs_mutex sync_lock;
    bool leading;
    struct bs_wal_waiter *first_waiter, *last_waiter;
    atomic_bool syncs_asked;   /* somebody ever waited for the device */
    _Atomic uint64_t arrivals; /* calls that had to wait or lead, ever */
    uint64_t arrivals_then;    /* at the end of the last sync */
    uint64_t released_count;   /* threads that the last sync let go */
    uint64_t syncs, sync_waits, last_sync_ns, last_sync_at_ns;
    atomic_bool poisoned;
    basalt_error first_failure; /* set before `poisoned`, then constant */
};

/* wal_segment.c */
/* Creates, reserves, maps, writes the identity, syncs the directory, and the file if `sync`. Leaves
 * nothing behind if it fails. */
BS_MUST_USE basalt_status bs_wal_segment_make(struct bs_wal_writer *writer, uint64_t number,
    bool sync, struct bs_wal_segment **out_segment, basalt_error *err);
/* Stores bytes that are seen by readers at once; not durable. */
BS_MUST_USE basalt_status bs_wal_segment_store(
    struct bs_wal_segment *segment, size_t at, const void *bytes, size_t count, basalt_error *err);
BS_MUST_USE basalt_status bs_wal_segment_activate(
    struct bs_wal_writer *writer, struct bs_wal_segment *segment, bs_lsn start, basalt_error *err);
void bs_wal_segment_free(struct bs_wal_segment *segment); /* NULL is fine */
/* Drops a reference; the last one frees. */
void bs_wal_segment_release(struct bs_wal_writer *writer, struct bs_wal_segment *segment);
/* The oldest segment with frames in [from, target), retained, or NULL. *out_end: where it ends. */
struct bs_wal_segment *bs_wal_segment_take(
    struct bs_wal_writer *writer, bs_lsn from, bs_lsn target, bs_lsn *out_end);
/* The oldest of the segments made ahead becomes the active one, from `start` on. Appender only. */
struct bs_wal_segment *bs_wal_segment_rotate(struct bs_wal_writer *writer, bs_lsn start);
/* Are `count` made ahead? If not asks for them, without waiting. */
bool bs_wal_segments_ready(struct bs_wal_writer *writer, unsigned count);
BS_MUST_USE basalt_status bs_wal_maker_start(struct bs_wal_writer *writer, basalt_error *err);
void bs_wal_maker_stop(struct bs_wal_writer *writer);

/* wal_story.c */
/* Creates the story's file with `story` in it and syncs it; its name is durable with the directory's
 * next sync. What a failure leaves is the caller's to remove. */
BS_MUST_USE basalt_status bs_wal_story_open(struct bs_wal_writer *writer, uint64_t number,
    const struct bs_wal_story *story, basalt_error *err);
void bs_wal_story_close(struct bs_wal_writer *writer);

/* wal_sync.c */
/* Nothing after this is promised any more; wakes everybody. The first failure stays. */
void bs_wal_poison(struct bs_wal_writer *writer, const basalt_error *failure);

#endif
