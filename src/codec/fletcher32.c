/* fletcher32.c - the checksum of HDF5's filter 3.
 *
 * The input is read as big-endian 16-bit words, an odd last byte as the high half of one. Two sums
 * are kept modulo 65,535, with 65,535 instead of 0 for whatever is not all zeros (HDF5 folds
 * carries back in, and folding never turns something into nothing). 64-bit sums need that only once
 * a block: 2^20 words give at most 2^20 * 2^16 + 2^16 and 2^39 * 2^16 + 2^36. */
#include "codec/codec.h"

#define BLOCK_WORDS ((size_t)1 << 20)

static uint64_t reduce(uint64_t sum)
{
    return sum ? (sum - 1) % 65535 + 1 : 0;
}

static void add_words(struct bs_fletcher *state, const uint8_t *bytes, size_t words)
{
    while (words > 0) {
        const size_t block = BS_MIN(words, BLOCK_WORDS);
        uint64_t sum = state->sum, sum_of_sums = state->sum_of_sums;
        for (size_t i = 0; i < block; i++) {
            sum += (uint64_t)bytes[2 * i] << 8 | bytes[2 * i + 1];
            sum_of_sums += sum;
        }
        state->sum = reduce(sum);
        state->sum_of_sums = reduce(sum_of_sums);
        bytes += 2 * block;
        words -= block;
    }
}

void bs_fletcher_update(struct bs_fletcher *state, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    if (count == 0) return;
    if (state->count % 2) {
        const uint8_t word[2] = {state->odd, at[0]};
        add_words(state, word, 1);
        state->count++;
        at++;
        count--;
    }
    add_words(state, at, count / 2);
    state->count += count;
    if (count % 2) state->odd = at[count - 1];
}

uint32_t bs_fletcher_value(const struct bs_fletcher *state)
{
    struct bs_fletcher end = *state;
    if (end.count % 2) {
        const uint8_t word[2] = {end.odd, 0};
        add_words(&end, word, 1);
    }
    return (uint32_t)end.sum_of_sums << 16 | (uint32_t)end.sum;
}

uint32_t bs_fletcher32(const void *bytes, size_t count)
{
    struct bs_fletcher state = {0};
    bs_fletcher_update(&state, bytes, count);
    return bs_fletcher_value(&state);
}
