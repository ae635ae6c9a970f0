/* base.h - what every floor stands on.   floor 1: may include only <basalt/...>
 *
 * Status and errors, memory, byte cursors over untrusted input, growing byte buffers, checksums,
 * budgets, threads and clocks. No file is opened here; see vfs/. */
#ifndef BS_BASE_H
#define BS_BASE_H

#include "basalt/status.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define BS_MUST_USE __attribute__((warn_unused_result))
#define BS_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define BS_ALWAYS_INLINE __attribute__((always_inline)) /* in front of `static inline` */
#else
#define BS_ALWAYS_INLINE
#define BS_MUST_USE
#define BS_PRINTF(format_at, args_at)
#endif

#define BS_ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define BS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define BS_MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- status ----------------------------------------------------------------------------- */

/* Fills `err` (if not NULL) and returns `status`, so that a failure is one line:
 *   return bs_fail(err, BASALT_CORRUPT, offset, "the chunk at %" PRIu64 " is cut short", at);
 * `file_offset` is BASALT_NO_OFFSET when no file position is to blame. */
basalt_status bs_fail(basalt_error *err, basalt_status status, uint64_t file_offset,
    const char *format, ...) BS_PRINTF(4, 5);

/* As bs_fail, for a refusal of the operating system: maps `os_errno` to a status (ENOSPC,
 * EDQUOT and EFBIG to NO_SPACE, EROFS to READ_ONLY, ENOENT to NOT_FOUND, EEXIST to EXISTS, ENOMEM to
 * NO_MEMORY, else IO_ERROR) and appends ": " and its text to the sentence. */
basalt_status bs_fail_os(
    basalt_error *err, int os_errno, uint64_t file_offset, const char *format, ...) BS_PRINTF(4, 5);

/* Puts "WHAT: " before the message that `err` already holds (cut at the end if too long). */
void bs_error_prefix(basalt_error *err, const char *format, ...) BS_PRINTF(2, 3);

/* Takes `text` out of the message: what a temporary name has more than the one that the caller knows. */
void bs_error_cut(basalt_error *err, const char *text);

/* Runs `call`; on failure goes to `out` with `status` set. For functions that have acquired
 * something; before the first acquisition say `return`. */
#define BS_TRY(call)                                                                               \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status) goto out;                                                                      \
    } while (0)

/* ---- memory ----------------------------------------------------------------------------- */

/* The only callers of malloc and friends. All return NULL when memory is short. */
BS_MUST_USE void *bs_alloc(size_t bytes); /* uninitialised; 0 bytes gives 1 */
BS_MUST_USE void *bs_alloc_zeroed(
    size_t count, size_t bytes);                       /* NULL too if the product overflows */
BS_MUST_USE void *bs_realloc(void *old, size_t bytes); /* on NULL `old` is untouched */
void bs_free(void *memory);                            /* NULL is fine */
BS_MUST_USE char *bs_copy_string(const char *text);
BS_MUST_USE void *bs_copy_bytes(const void *bytes, size_t count);

basalt_status bs_fail_memory(basalt_error *err, size_t bytes); /* NO_MEMORY, naming the size */

/* A tree of byte limits. Taking from a child takes from every ancestor. Any thread may call. */
struct bs_budget;
BS_MUST_USE basalt_status bs_budget_create(struct bs_budget *parent, const char *purpose,
    uint64_t bytes_max, struct bs_budget **out_budget, basalt_error *err);
void bs_budget_free(struct bs_budget *budget); /* asserts that nothing is taken any more */
/* NO_MEMORY, naming the purpose that is over, if any level would pass its limit. */
BS_MUST_USE basalt_status bs_budget_take(
    struct bs_budget *budget, uint64_t bytes, basalt_error *err);
void bs_budget_give(struct bs_budget *budget, uint64_t bytes);
uint64_t bs_budget_taken(const struct bs_budget *budget);
uint64_t bs_budget_peak(const struct bs_budget *budget);
uint64_t bs_budget_limit(const struct bs_budget *budget);

/* ---- bounded cursors over bytes that somebody else wrote --------------------------------- */

/* Reads little-endian values and never past `end`. The first read that does not fit makes the
 * cursor `failed`; from then on every read gives 0 or NULL, so a parser checks once at the end.
 * Plain data: copy it freely. */
struct bs_cursor {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    uint64_t file_offset; /* of `start`, for error messages; BASALT_NO_OFFSET if there is none */
    bool failed;
};

struct bs_cursor bs_cursor_make(const void *bytes, size_t count, uint64_t file_offset);
uint8_t bs_cursor_u8(struct bs_cursor *cursor);
uint16_t bs_cursor_u16(struct bs_cursor *cursor);
uint32_t bs_cursor_u32(struct bs_cursor *cursor);
uint64_t bs_cursor_u64(struct bs_cursor *cursor);
uint64_t bs_cursor_uint(struct bs_cursor *cursor, size_t width_bytes);  /* width 1 to 8 */
const uint8_t *bs_cursor_bytes(struct bs_cursor *cursor, size_t count); /* lends; NULL on failure */
void bs_cursor_skip(struct bs_cursor *cursor, size_t count);
void bs_cursor_align(struct bs_cursor *cursor, size_t alignment); /* relative to `start` */
/* A NUL-terminated string inside the cursor; the cursor moves past the NUL. NULL on failure. */
const char *bs_cursor_string(struct bs_cursor *cursor);
size_t bs_cursor_left(const struct bs_cursor *cursor);
uint64_t bs_cursor_offset(const struct bs_cursor *cursor); /* file offset of `at` */
/* OK, or CORRUPT "WHAT at offset N is cut short". */
BS_MUST_USE basalt_status bs_cursor_check(
    const struct bs_cursor *cursor, const char *what, basalt_error *err);

uint16_t bs_load_u16(const void *bytes);
uint32_t bs_load_u32(const void *bytes);
uint64_t bs_load_u64(const void *bytes);
double bs_half(uint16_t bits); /* IEEE half precision, widened: C11 has no type for it */
void bs_store_u16(void *bytes, uint16_t value);
void bs_store_u32(void *bytes, uint32_t value);
void bs_store_u64(void *bytes, uint64_t value);

/* ---- growing byte buffers ---------------------------------------------------------------- */

/* Appends little-endian values. The first allocation that fails makes it `failed`; later appends
 * do nothing, so a builder checks once, with bs_bytes_check. Zero-initialised is empty. */
struct bs_bytes {
    uint8_t *data;
    size_t count;
    size_t capacity;
    bool failed;
};

void bs_bytes_free(struct bs_bytes *bytes);                   /* leaves it empty */
uint8_t *bs_bytes_grow(struct bs_bytes *bytes, size_t count); /* lends `count` new bytes or NULL */
void bs_bytes_put(struct bs_bytes *bytes, const void *data, size_t count);
void bs_bytes_u8(struct bs_bytes *bytes, uint8_t value);
void bs_bytes_u16(struct bs_bytes *bytes, uint16_t value);
void bs_bytes_u32(struct bs_bytes *bytes, uint32_t value);
void bs_bytes_u64(struct bs_bytes *bytes, uint64_t value);
void bs_bytes_uint(struct bs_bytes *bytes, uint64_t value, size_t width_bytes);
void bs_bytes_zeros(struct bs_bytes *bytes, size_t count);
void bs_bytes_align(struct bs_bytes *bytes, size_t alignment); /* with zeros */
void bs_bytes_text(struct bs_bytes *bytes, const char *format, ...) BS_PRINTF(2, 3); /* no NUL */
BS_MUST_USE basalt_status bs_bytes_check(const struct bs_bytes *bytes, basalt_error *err);

/* ---- checksums --------------------------------------------------------------------------- */

/* CRC-32C (Castagnoli, RFC 3720 B.4); `seed` 0 starts, the result of one call continues it. */
uint32_t bs_crc32c(uint32_t seed, const void *data, size_t count);
/* Jenkins lookup3 hashlittle, as HDF5 sums its metadata (File Format Specification 3.0, "checksum"). */
uint32_t bs_lookup3(const void *data, size_t count, uint32_t seed);
/* Whether `sum` is that of the bytes, as bs_lookup3 with seed 0 counts it. Readers ask here, in one place:
 * tests that change files let every sum pass. */
bool bs_lookup3_is(const void *data, size_t count, uint32_t sum);

/* ---- text -------------------------------------------------------------------------------- */

bool bs_utf8_valid(const char *text, size_t count);

/* ---- threads, clocks, chance -------------------------------------------------------------- */

typedef pthread_mutex_t bs_mutex;
typedef pthread_cond_t bs_condition;

void bs_mutex_init(bs_mutex *mutex);
void bs_mutex_destroy(bs_mutex *mutex);
void bs_mutex_lock(bs_mutex *mutex);
void bs_mutex_unlock(bs_mutex *mutex);
/* How many the calling thread holds, for assertions: always 0 in a build without them. */
unsigned bs_mutexes_held(void);
void bs_condition_init(bs_condition *condition); /* on the monotonic clock */
void bs_condition_destroy(bs_condition *condition);
void bs_condition_wait(bs_condition *condition, bs_mutex *mutex);
/* False if `deadline_ns` of bs_now_ns() passed first. */
bool bs_condition_wait_until(bs_condition *condition, bs_mutex *mutex, uint64_t deadline_ns);
void bs_condition_signal(bs_condition *condition);
void bs_condition_broadcast(bs_condition *condition);

struct bs_thread;
/* Starts a thread called `name` (at most 15 bytes are shown by the operating system). */
BS_MUST_USE basalt_status bs_thread_start(const char *name, void (*body)(void *), void *argument,
    struct bs_thread **out_thread, basalt_error *err);
void bs_thread_join(struct bs_thread *thread); /* frees it; NULL is fine */
void bs_thread_lower_priority(void);           /* of the calling thread; best effort */
void bs_thread_yield(void);
unsigned bs_processor_count(void); /* at least 1 */

uint64_t bs_now_ns(void);  /* monotonic */
uint64_t bs_wall_ns(void); /* since 1970-01-01 UTC */
void bs_sleep_ns(uint64_t ns);
void bs_random_bytes(void *out, size_t count); /* from the operating system; for UUIDs and epochs */
uint64_t bs_process_id(void);
void bs_host_name(char *out, size_t out_bytes); /* NUL-terminated, cut if need be */
/* "2026-01-31T12:34:56.123456789Z" into at least 32 bytes. */
void bs_format_time(uint64_t wall_ns, char *out, size_t out_bytes);

/* ---- a pointer that many read and one replaces ------------------------------------------- */

/* Readers take a counted reference without a lock; the publisher swaps the pointer, waits for the
 * readers that are between "load" and "count" (a few instructions), then drops its own reference.
 * A plain load-then-count is a use after free. Publishers must be serialised by the caller. */
struct bs_shared {
    _Atomic uint64_t references; /* first member of every object that is published */
    void (*destroy)(struct bs_shared *);
};
struct bs_published { /* all zero is empty */
    _Atomic uint64_t phase;
    _Atomic uint64_t readers[2];
    _Atomic(struct bs_shared *) current;
};

void bs_shared_init(struct bs_shared *shared, void (*destroy)(struct bs_shared *)); /* count 1 */
void bs_shared_retain(struct bs_shared *shared);
void bs_shared_release(struct bs_shared *shared); /* NULL is fine; the last one destroys */
struct bs_shared *bs_published_take(struct bs_published *published); /* retained, or NULL */
/* Takes over the caller's reference to `next` (may be NULL). */
void bs_published_set(struct bs_published *published, struct bs_shared *next);

#endif
