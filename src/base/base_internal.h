/* base_internal.h - what the sources of base share with each other alone. */
#ifndef BS_BASE_INTERNAL_H
#define BS_BASE_INTERNAL_H

#include "base/base.h"

/* The operating system's text for `os_errno`, into `out`; always NUL-terminated. */
void bs_os_error_text(int os_errno, char *out, size_t out_bytes);

/* The longest prefix of the first `count` bytes that does not end inside a UTF-8 character. */
size_t bs_utf8_whole(const char *text, size_t count);

/* CRC-32C with the processor's instruction; false, with nothing done, where it has none. */
bool bs_crc32c_by_processor(uint32_t *crc, const uint8_t *at, size_t count);

/* bs_crc32c without that instruction: tests hold the two against each other. */
uint32_t bs_crc32c_by_table(uint32_t seed, const void *data, size_t count);

#endif
