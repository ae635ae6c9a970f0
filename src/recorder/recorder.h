/* recorder.h - the storage actor: a bounded mailbox in front of a store.   floor 9: may include
 * store and below
 *
 * The bodies of basalt/recorder.h, one for one: what that header promises holds here. The environment
 * is given in parts, so that a recorder also runs over the file systems of the tests.
 * Who waits for whom: mailbox.c. What a turn of the thread does: turn.c. */
#ifndef BS_RECORDER_H
#define BS_RECORDER_H

#include "basalt/recorder.h"
#include "store/store.h"

#define BS_RECORDER_TURN_BYTES_MAX                                                                 \
    ((uint64_t)16 << 20)               /* rows of one transaction; one batch at least */
#define BS_RECORDER_SESSIONS_MAX 10000 /* sessions of one second in one directory */

struct bs_recorder;

/* Fills in the defaults where `options` is NULL. BAD_ARGUMENT if it was not made by _init. */
BS_MUST_USE basalt_status bs_recorder_options_fill(
    basalt_recorder_options *out_filled, const basalt_recorder_options *options, basalt_error *err);

/* `parts` must outlive the recorder. */
BS_MUST_USE basalt_status bs_recorder_start(const struct bs_env_parts *parts, const char *path,
    const basalt_recorder_options *options, struct bs_recorder **out_recorder, basalt_error *err);
BS_MUST_USE basalt_status bs_recorder_stop(struct bs_recorder **recorder, basalt_error *err);

BS_MUST_USE basalt_status bs_recorder_write(struct bs_recorder *recorder, const char *instrument_id,
    struct ArrowArray *array, const struct ArrowSchema *schema, basalt_done_fn done, void *context,
    basalt_error *err);
BS_MUST_USE basalt_status bs_recorder_write_ipc(struct bs_recorder *recorder,
    const char *instrument_id, const void *bytes, size_t count, basalt_done_fn done, void *context,
    basalt_error *err);
/* `instrument_id` NULL: of the root. */
BS_MUST_USE basalt_status bs_recorder_set_metadata(struct bs_recorder *recorder,
    const char *instrument_id, const char *key, const char *value, basalt_error *err);
BS_MUST_USE basalt_status bs_recorder_flush(struct bs_recorder *recorder, basalt_error *err);
BS_MUST_USE basalt_status bs_recorder_get_stats(
    struct bs_recorder *recorder, basalt_recorder_stats *out_stats, basalt_error *err);

#endif
