/* environment.h - what several stores may share: worker threads and a memory limit.
 *
 * Nothing else is shared, and there is no process-wide state. A store that is opened without an
 * environment makes one for itself. Any thread may call. */
#ifndef BASALT_ENVIRONMENT_H
#define BASALT_ENVIRONMENT_H

#include "basalt/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct basalt_env basalt_env;

typedef struct basalt_env_options {
    size_t struct_bytes;       /* set by _init; lets the struct grow without breaking the ABI */
    unsigned threads;          /* workers; 0 (default): one a processor */
    uint64_t memory_bytes_max; /* default 1 GiB; over it writers wait, then NO_MEMORY */
} basalt_env_options;

BASALT_API void basalt_env_options_init(basalt_env_options *options, size_t options_bytes);

/* Creates *out_env. */
BASALT_CHECKED basalt_status basalt_env_create(
    const basalt_env_options *options, basalt_env **out_env, basalt_error *err);

/* BUSY, naming the number of stores still open in it, and *env stays; else frees it, sets NULL. */
BASALT_CHECKED basalt_status basalt_env_close(basalt_env **env, basalt_error *err);

typedef struct basalt_env_stats {
    uint64_t memory_bytes, memory_bytes_peak, memory_bytes_max;
    unsigned threads;
    unsigned open_stores;
} basalt_env_stats;
BASALT_API void basalt_env_get_stats(const basalt_env *env, basalt_env_stats *out_stats);

#ifdef __cplusplus
}
#endif
#endif
