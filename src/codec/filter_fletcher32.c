/* filter_fletcher32.c - the checksum of HDF5's filter 3.
 *
 * The input is read as big-endian 16-bit words, an odd last byte as the high half of one. Two sums
 * are kept modulo 65,535, with 65,535 instead of 0 for whatever is not all zeros (HDF5 folds
 * carries back in, and folding never turns something into nothing). */
#include "codec/codec_internal.h"

/* Lanes are summed side by side, which compilers turn into vector instructions: lane j takes the words
 * j, j + LANES, ... With s the sum of a lane and t the sum of its sums after each step, over K steps
 *   sum of words = sum over j of s(j)
 *   sum of sums  = LANES * sum over j of t(j) - sum over j of j * s(j) + LANES * K * (sum before)
 * t stays below 2^32 for K (K + 1) / 2 * 65535 < 2^32, so K < 362. */
#define LANES 16
#define STEPS_MAX ((size_t)360)

typedef uint16_t word_lanes __attribute__((vector_size(2 * LANES)));
typedef uint32_t sum_lanes __attribute__((vector_size(4 * LANES)));

static uint64_t reduce(uint64_t sum)
{
    return sum ? (sum - 1) % 65535 + 1 : 0;
}

static void add_lanes(struct bs_fletcher *state, const uint8_t *bytes, size_t steps)
{
    sum_lanes s = {0}, t = {0};
    uint64_t sum = 0, sum_of_sums = 0, weighted = 0;
    for (size_t k = 0; k < steps; k++, bytes += 2 * LANES) {
        word_lanes w;
        memcpy(&w, bytes, sizeof w);
        s += __builtin_convertvector((word_lanes)(w << 8 | w >> 8), sum_lanes);
        t += s;
    }
    for (size_t j = 0; j < LANES; j++) {
        sum += s[j];
        sum_of_sums += t[j];
        weighted += j * s[j];
    }
    state->sum_of_sums =
        reduce(state->sum_of_sums + LANES * sum_of_sums - weighted + LANES * steps * state->sum);
    state->sum = reduce(state->sum + sum);
}

static void add_words(struct bs_fletcher *state, const uint8_t *bytes, size_t words)
{
    while (words >= LANES) {
        const size_t steps = BS_MIN(words / LANES, STEPS_MAX);
        add_lanes(state, bytes, steps);
        bytes += 2 * LANES * steps;
        words -= LANES * steps;
    }
    for (; words > 0; words--, bytes += 2) {
        state->sum = reduce(state->sum + ((uint64_t)bytes[0] << 8 | bytes[1]));
        state->sum_of_sums = reduce(state->sum_of_sums + state->sum);
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

/* ---- the filter ----------------------------------------------------------------------------- */

#define CHECKSUM_BYTES ((size_t)4)

static size_t sum_bound(const struct bs_filter *filter, size_t raw_bytes)
{
    (void)filter;
    return raw_bytes + CHECKSUM_BYTES;
}

static basalt_status sum_append(struct bs_filter_job *job, basalt_error *err)
{
    (void)err;
    memcpy(job->out, job->input, job->input_bytes);
    bs_store_u32(job->out + job->input_bytes, bs_fletcher32(job->input, job->input_bytes));
    job->out_bytes = job->input_bytes + CHECKSUM_BYTES;
    return BASALT_OK;
}

/* Sums written by a big-endian library before 1.6.3 have their bytes swapped in pairs. */
static bool sum_fits(uint32_t stored, uint32_t sum)
{
    const uint32_t swapped = (sum & 0x00FF00FFu) << 8 | (sum >> 8 & 0x00FF00FFu);
    return stored == sum || stored == swapped;
}

static basalt_status sum_check(struct bs_filter_job *job, basalt_error *err)
{
    if (job->input_bytes < CHECKSUM_BYTES) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a chunk with fletcher32 has only %zu bytes", job->input_bytes);
    }
    const size_t count = job->input_bytes - CHECKSUM_BYTES;
    if (!sum_fits(bs_load_u32(job->input + count), bs_fletcher32(job->input, count))) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the chunk's fletcher32 checksum does not fit its bytes");
    }
    job->out_bytes = count;
    return BASALT_OK;
}

const struct bs_filter_kind bs_filter_fletcher32 = {
    .id = BS_FILTER_FLETCHER32,
    .name = "fletcher32",
    .decodes_in_place = true,
    .bound = sum_bound,
    .decode = sum_check,
    .encode = sum_append,
};
