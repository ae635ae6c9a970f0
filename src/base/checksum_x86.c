/* checksum_x86.c - CRC-32C by the instruction that SSE 4.2 has; chosen at run time. */
#include "base/base_internal.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(
    uint32_t crc, const uint8_t *at, size_t count)
{
    uint64_t wide = crc;
    for (; count >= 8; count -= 8, at += 8) wide = _mm_crc32_u64(wide, bs_load_u64(at));
    crc = (uint32_t)wide;
    while (count-- > 0) crc = _mm_crc32_u8(crc, *at++);
    return crc;
}

bool bs_crc32c_by_processor(uint32_t *crc, const uint8_t *at, size_t count)
{
    if (!__builtin_cpu_supports("sse4.2")) return false;
    *crc = crc_by_instruction(*crc, at, count);
    return true;
}

#else

bool bs_crc32c_by_processor(uint32_t *crc, const uint8_t *at, size_t count)
{
    (void)crc;
    (void)at;
    (void)count;
    return false;
}

#endif
