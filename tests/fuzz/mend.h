/* mend.h - HDF5 bytes whose sums the fuzzer may change, mended where it would never get past them. */
#ifndef TESTS_FUZZ_MEND_H
#define TESTS_FUZZ_MEND_H

#include "base/base.h"

/* Of the superblock; one that stays wrong would be read again and again. */
static inline void mend_superblock(uint8_t *bytes, size_t count)
{
    if (count < 48 || bytes[8] < 2 || bytes[8] > 3) return;
    bytes[9] = bytes[10] = 8;
    bs_store_u32(bytes + 44, bs_lookup3(bytes, 44, 0));
}

#endif
