/* any_sum.h - every checksum of HDF5's metadata passes: the linker puts this in the place of the reader's
 * question. Who makes a hostile file makes its sums right; a fuzzer would never get past them. */
#ifndef TESTS_FUZZ_ANY_SUM_H
#define TESTS_FUZZ_ANY_SUM_H

#include "base/base.h"

extern bool every_sum_passes; /* true at first; not while somebody reads */

#endif
