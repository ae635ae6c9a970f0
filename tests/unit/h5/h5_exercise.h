/* h5_exercise.h - everything that can be read of a file, read: for hostile files, faults and fuzzing. */
#ifndef BS_H5_EXERCISE_H
#define BS_H5_EXERCISE_H

#include "h5/h5.h"

/* Opens the file, visits every object by its links, reads rows of every dataset, resolves texts, and
 * runs walk and verify. The first failure of each kind of step is kept in `err`; the status is that of
 * the last failing step. Uses nothing of the test harness. */
basalt_status h5_exercise(struct bs_file *file, basalt_error *err);

#endif
