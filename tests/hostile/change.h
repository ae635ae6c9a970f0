/* change.h - what somebody who knows the format would change in a file. */
#ifndef TESTS_HOSTILE_CHANGE_H
#define TESTS_HOSTILE_CHANGE_H

#include <stddef.h>
#include <stdint.h>

#define PLACES_MAX 4096

/* Where a file has something worth changing. */
struct places {
    size_t structures[PLACES_MAX], structure_count; /* they begin with a signature */
    size_t addresses[PLACES_MAX], address_count;    /* aligned words that point into the file */
};
void find_places(const uint8_t *bytes, size_t count, struct places *out_places);

/* Change number `seed` of the file: bits, numbers to their extremes, addresses to other structures and
 * to themselves, structures in each other's place, an early end. *count may become less. */
void change_file(uint8_t *bytes, size_t *count, const struct places *places, uint64_t seed);

#endif
