/* any_sum.c - what any_sum.h declares. */
#include "tests/fuzz/any_sum.h"

bool every_sum_passes = true;

bool __real_bs_lookup3_is(const void *data, size_t count, uint32_t sum);
bool __wrap_bs_lookup3_is(const void *data, size_t count, uint32_t sum);

bool __wrap_bs_lookup3_is(const void *data, size_t count, uint32_t sum)
{
    return every_sum_passes || __real_bs_lookup3_is(data, count, sum);
}
