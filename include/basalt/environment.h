/* environment.h - what several stores may share: worker threads and a memory limit.
 *
 * Filters of HDF5 that a user brings are registered here too. Nothing else is shared, and there is no
 * process-wide state. A store that is opened without an environment makes one for itself. Any thread
 * may call. */
#ifndef BASALT_ENVIRONMENT_H
#define BASALT_ENVIRONMENT_H

#include "basalt/scheduler.h"
#include "basalt/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct basalt_env basalt_env;

typedef struct basalt_env_options {
    size_t struct_bytes;       /* set by _init; lets the struct grow without breaking the ABI */
    unsigned threads;          /* workers; 0 (default): one a processor; as in scheduler.h */
    uint64_t memory_bytes_max; /* default 1 GiB; over it writers wait, then NO_MEMORY */
    /* NULL (default): the environment makes its own. Else it works with this one, which stays the caller's
     * and must outlive the environment; `threads` is then not looked at. */
    basalt_scheduler *scheduler;
} basalt_env_options;

BASALT_API void basalt_env_options_init(basalt_env_options *options, size_t options_bytes);

/* Creates *out_env. */
BASALT_CHECKED basalt_status basalt_env_create(
    const basalt_env_options *options, basalt_env **out_env, basalt_error *err);

/* BUSY, naming the number of stores and HDF5 files still open in it, and *env stays; else frees it,
 * sets NULL. */
BASALT_CHECKED basalt_status basalt_env_close(basalt_env **env, basalt_error *err);

/* One direction of a filter: `input` becomes at most `out_bytes_max` bytes at `out`. All memory is the
 * caller's and lent during the call; input and out do not overlap. `parameters` are as the file has
 * them, NULL if there are none. *out_bytes says how many were written. An encoder that would need more
 * than `out_bytes_max` gives OK with *out_bytes 0: a chunk for which an optional filter does so is
 * stored without it. On failure give a status (a decoder: CORRUPT for bytes that are wrong) and, best,
 * a sentence in err->message; `err` is never NULL.
 *
 * Filters run on worker threads, several chunks at once, with no lock held. So one must be pure (the
 * same input gives the same output) and safe to call from several threads; `context` is shared by all
 * calls. It must trust no byte of `input` and no parameter, call nothing of Basalt, and not throw. */
typedef basalt_status (*basalt_filter_fn)(void *context, const uint32_t *parameters,
    size_t parameter_count, const void *input, size_t input_bytes, void *out, size_t out_bytes_max,
    size_t *out_bytes, basalt_error *err);

/* Teaches the environment a filter of HDF5 that is not built in, by its registered number: files and
 * stores that are opened with it, before or later, can then be read. `encode` must be NULL: nothing is
 * written with filters of the user (UNSUPPORTED).
 * `name` is copied; `context` must live as long as `env`. It stays until the environment is closed.
 * EXISTS: `id` is built in, or registered already. TOO_LARGE: over 64. */
BASALT_CHECKED basalt_status basalt_env_register_filter(basalt_env *env, uint16_t id,
    const char *name, basalt_filter_fn decode, basalt_filter_fn encode, void *context,
    basalt_error *err);

typedef struct basalt_env_stats {
    uint64_t memory_bytes, memory_bytes_peak, memory_bytes_max;
    unsigned threads; /* that run foreground tasks, lent ones among them */
    unsigned open_stores;
} basalt_env_stats;
BASALT_API void basalt_env_get_stats(const basalt_env *env, basalt_env_stats *out_stats);

#ifdef __cplusplus
}
#endif
#endif
