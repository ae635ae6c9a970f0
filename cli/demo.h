/* demo.h - the parts of `basalt demo`: a process that directs and counts, a process that records. */
#ifndef BASALT_CLI_DEMO_H
#define BASALT_CLI_DEMO_H

#include "rows.h"

enum { PROCESSOR, MEMORY, DISK, NETWORK, WAVEFORM, INSTRUMENTS };
#define SAMPLES_A_SECOND 1000000
#define TICKS_A_SECOND 100
#define SAMPLES_A_TICK (SAMPLES_A_SECOND / TICKS_A_SECOND)

extern const char *const instrument_names[INSTRUMENTS];

/* ---- demo_instruments.c ---------------------------------------------------------------------- */

struct instrument {
    const struct rows_column *columns;
    size_t column_count;
    const char *source, *description;
    /* Reads the source into rows; columns 0 (time) and 1 (sequence) are filled in by the caller. */
    void (*read)(FILE *source, struct rows *rows);
};
extern const struct instrument instruments[INSTRUMENTS];
/* Sample `number` of the synthetic waveform: any reader can compute it again. */
double waveform_sample(uint64_t number);

/* ---- demo_recorder.c: the recording process -------------------------------------------------- */

/* What it tells the directing process through a pipe. One write each, so they never mix. */
struct demo_message {
    enum { DEMO_ACKNOWLEDGED = 1, DEMO_STATUS = 2, DEMO_FAILED = 3 } kind;
    uint32_t instrument;
    uint64_t rows;
    basalt_recorder_stats stats; /* without file_path */
    char text[BASALT_ERROR_MESSAGE_BYTES];
};
int demo_record(const char *path, int pipe_descriptor);

/* ---- demo_script.c: what Python is asked to do through h5py ---------------------------------- */

extern const char demo_script_probe[], demo_script_look[], demo_script_count[], demo_script_plot[];

#endif
