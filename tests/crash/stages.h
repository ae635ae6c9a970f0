/* stages.h - what the store was in the middle of when the machine stopped: counted, so that nobody has
 * to believe that the enumeration got there. Found in the trace, by what happened to which file. */
#ifndef BS_STAGES_H
#define BS_STAGES_H

#include "tests/harness/powerloss_vfs.h"

enum stage {
    STAGE_RECOVERY,             /* an open after a kill, until it answers */
    STAGE_RECOVERED_CHECKPOINT, /* the checkpoint after it, which runs beside the first commits */
    STAGE_OLD_SEGMENTS,         /* the dead process's segments go */
    STAGE_SEGMENT_GONE, /* a running store removes segments that a checkpoint has made needless */
    STAGE_CLOSE_COMPACTING, /* a clean close moves what lies high down, flip by flip */
    STAGE_CLOSE_TRUNCATED,  /* it has cut the file off */
    STAGE_FLIP_KILLED, /* power loss after a kill between a flip and its sync, in the recovery */
    STAGES
};

/* A life's turning points, as numbers of events. */
enum turn { TURN_KILLED, TURN_KILLED_IN_FLIP, TURN_OPENED, TURN_CLOSING, TURN_CLOSED };

struct turning_point {
    enum turn turn;
    uint64_t event;
};

const char *stage_name(enum stage stage);
/* By event: bit 1 << stage is set if the machine can stop there in that stage. harness_free it. */
uint8_t *stages_find(struct bs_vfs *vfs, const char *data_path, const struct turning_point *points,
    size_t point_count);

#endif
