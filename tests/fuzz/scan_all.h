/* scan_all.h - every path of a file as a table, in each layout, with its attributes as JSON. */
#ifndef TESTS_FUZZ_SCAN_ALL_H
#define TESTS_FUZZ_SCAN_ALL_H

#include "tables/tables.h"

/* `told` gets every failure, and what it was about; it decides which are allowed. */
typedef void (*told_fn)(basalt_status status, const basalt_error *fault);
void scan_all(struct bs_hdf5 *file, told_fn told);

#endif
