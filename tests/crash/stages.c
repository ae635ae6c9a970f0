/* stages.c - reads the trace between two turning points. "Stopped at N" is: before event number N. */
#include "tests/crash/stages.h"

#include "tests/harness/harness_memory.h"
#include "tests/harness/test.h"

#define SUPERBLOCK_BYTES ((uint64_t)512)
#define METADATA_START ((uint64_t)4096)
#define NONE UINT64_MAX

struct trace {
    struct bs_vfs *vfs;
    const char *data_path;
    uint8_t *stages;
};

typedef bool (*step_fn)(const struct powerloss_step *step);

static bool is_flip(const struct powerloss_step *step)
{
    return step->of_this_file && step->kind == POWERLOSS_WRITE && step->offset < SUPERBLOCK_BYTES;
}

static bool is_data(const struct powerloss_step *step)
{
    return step->of_this_file && step->kind == POWERLOSS_WRITE && step->offset >= METADATA_START;
}

static bool is_sync(const struct powerloss_step *step)
{
    return step->of_this_file && step->kind == POWERLOSS_SYNC;
}

static bool is_size(const struct powerloss_step *step)
{
    return step->of_this_file && step->kind == POWERLOSS_SET_SIZE;
}

static bool is_removal(const struct powerloss_step *step)
{
    return step->kind == POWERLOSS_REMOVE;
}

static bool is_directory_sync(const struct powerloss_step *step)
{
    return step->kind == POWERLOSS_SYNC_DIRECTORY;
}

static struct powerloss_step step_at(const struct trace *trace, uint64_t event)
{
    return powerloss_step_at(trace->vfs, event, trace->data_path);
}

/* The first such event in [from, to); NONE if there is none. */
static uint64_t first(const struct trace *trace, step_fn is, uint64_t from, uint64_t to)
{
    for (uint64_t event = from; event < to; event++) {
        const struct powerloss_step step = step_at(trace, event);
        if (is(&step)) return event;
    }
    return NONE;
}

static uint64_t last(const struct trace *trace, step_fn is, uint64_t from, uint64_t to)
{
    uint64_t found = NONE;
    for (uint64_t event = from; event < to; event++) {
        const struct powerloss_step step = step_at(trace, event);
        if (is(&step)) found = event;
    }
    return found;
}

/* Stopped after event `from` and before or at event `to`. */
static void set(struct trace *trace, enum stage stage, uint64_t from, uint64_t to)
{
    if (from == NONE || to == NONE) return;
    for (uint64_t event = from + 1; event <= to; event++) {
        trace->stages[event] |= (uint8_t)(1u << stage);
    }
}

/* Was there a file at `path` when event `event` was to come? */
static bool was_there(const struct trace *trace, const char *path, uint64_t event)
{
    bool there = false;
    for (uint64_t i = 0; i < event; i++) {
        const struct powerloss_step step = step_at(trace, i);
        if (!step.path) continue;
        if (step.kind == POWERLOSS_RENAME && !strcmp(step.to, path)) there = true;
        if (strcmp(step.path, path) != 0) continue;
        if (step.kind == POWERLOSS_CREATE) there = true;
        if (step.kind == POWERLOSS_REMOVE || step.kind == POWERLOSS_RENAME) there = false;
    }
    return there;
}

/* From a kill at `killed` through the recovery that ended at `opened`, and on until `end`. */
static void find_recovery(
    struct trace *trace, uint64_t killed, bool in_flip, uint64_t opened, uint64_t end)
{
    uint64_t first_gone = NONE, last_gone = NONE;
    set(trace, STAGE_RECOVERY, killed, opened);
    if (in_flip) set(trace, STAGE_FLIP_KILLED, killed, first(trace, is_sync, killed, end));
    for (uint64_t at = killed; (at = first(trace, is_removal, at, end)) != NONE; at++) {
        if (!was_there(trace, step_at(trace, at).path, killed)) continue;
        if (first_gone == NONE) first_gone = at;
        last_gone = at;
    }
    if (first_gone == NONE) return;
    set(trace, STAGE_RECOVERED_CHECKPOINT, first(trace, is_data, killed, first_gone), first_gone);
    set(trace, STAGE_OLD_SEGMENTS, first_gone, BS_MIN(last_gone + 1, end));
}

/* A store that runs removes segments only after a checkpoint; until their directory is synced. Those
 * that a kill has left are none of them. */
static void find_rotation(struct trace *trace, uint64_t killed, uint64_t opened, uint64_t end)
{
    for (uint64_t at = opened; (at = first(trace, is_removal, at, end)) != NONE; at++) {
        if (was_there(trace, step_at(trace, at).path, killed)) continue;
        set(trace, STAGE_SEGMENT_GONE, at, first(trace, is_directory_sync, at, end));
    }
}

/* The first flip of a close is its checkpoint. Those of a compaction follow, then the cut. */
static void find_close(struct trace *trace, uint64_t closing, uint64_t closed)
{
    const uint64_t checkpoint = first(trace, is_flip, closing, closed);
    if (checkpoint == NONE) return;
    const uint64_t settled = first(trace, is_sync, checkpoint, closed);
    const uint64_t flip = last(trace, is_flip, checkpoint + 1, closed);
    if (flip == NONE || settled == NONE) return;
    set(trace, STAGE_CLOSE_COMPACTING, settled, first(trace, is_sync, flip, closed));
    set(trace, STAGE_CLOSE_TRUNCATED, last(trace, is_size, flip, closed), closed);
}

const char *stage_name(enum stage stage)
{
    static const char *const names[STAGES] = {"in a recovery", "in its checkpoint",
        "while its old segments go", "while segments go", "in a compacting close",
        "after its truncation", "after flip, kill and recovery by power loss"};
    return names[stage];
}

uint8_t *stages_find(struct bs_vfs *vfs, const char *data_path, const struct turning_point *points,
    size_t point_count)
{
    const uint64_t events = powerloss_event_count(vfs);
    struct trace trace = {vfs, data_path, harness_zeroed((size_t)events + 1, 1)};
    for (size_t i = 0; i + 1 < point_count; i++) {
        const struct turning_point *at = &points[i], *next = &points[i + 1];
        const uint64_t end = i + 2 < point_count ? points[i + 2].event : events;
        const bool in_flip = at->turn == TURN_KILLED_IN_FLIP;
        if ((in_flip || at->turn == TURN_KILLED) && next->turn == TURN_OPENED) {
            find_recovery(&trace, at->event, in_flip, next->event, end);
        } else if (at->turn == TURN_OPENED) {
            const bool after_kill = i > 0 && at[-1].turn <= TURN_KILLED_IN_FLIP;
            find_rotation(&trace, after_kill ? at[-1].event : 0, at->event, next->event);
        } else if (at->turn == TURN_CLOSING && next->turn == TURN_CLOSED) {
            find_close(&trace, at->event, next->event);
        }
    }
    return trace.stages;
}
