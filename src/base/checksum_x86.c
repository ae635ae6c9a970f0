/* checksum_x86.c - CRC-32C by the instructions of SSE 4.2 and PCLMUL; chosen at run time.
 *
 * One sum at a time waits three cycles for each step. So three neighbouring stretches are summed side
 * by side, and joined: a sum followed by n zero bytes is, as CRCs are linear, its product with
 * x^(8n - 33) modulo the polynomial, which one carry-less multiplication and one more step give. */
#include "base/base_internal.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#include <immintrin.h>

#define STRETCH_BYTES ((size_t)1024)
#define AFTER_ONE 0x170076FAu /* x^(8 * 1024 - 33), bits reflected */
#define AFTER_TWO 0xA51B6135u /* x^(8 * 2048 - 33), bits reflected */

__attribute__((target("sse4.2,pclmul"))) static uint32_t shifted(uint64_t crc, uint32_t factor)
{
    const __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi32_si128((int)factor), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t three_stretches(
    uint32_t crc, const uint8_t *at)
{
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < STRETCH_BYTES; i += 8) {
        a = _mm_crc32_u64(a, bs_load_u64(at + i));
        b = _mm_crc32_u64(b, bs_load_u64(at + STRETCH_BYTES + i));
        c = _mm_crc32_u64(c, bs_load_u64(at + 2 * STRETCH_BYTES + i));
    }
    return shifted(a, AFTER_TWO) ^ shifted(b, AFTER_ONE) ^ (uint32_t)c;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_by_instruction(
    uint32_t crc, const uint8_t *at, size_t count)
{
    for (; count >= 3 * STRETCH_BYTES; count -= 3 * STRETCH_BYTES, at += 3 * STRETCH_BYTES) {
        crc = three_stretches(crc, at);
    }
    uint64_t wide = crc;
    for (; count >= 8; count -= 8, at += 8) wide = _mm_crc32_u64(wide, bs_load_u64(at));
    crc = (uint32_t)wide;
    while (count-- > 0) crc = _mm_crc32_u8(crc, *at++);
    return crc;
}

bool bs_crc32c_by_processor(uint32_t *crc, const uint8_t *at, size_t count)
{
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("pclmul")) return false;
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
