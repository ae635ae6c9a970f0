/* memory.c - the only callers of malloc and friends. */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

void *bs_alloc(size_t bytes)
{
    return malloc(bytes ? bytes : 1);
}

void *bs_alloc_zeroed(size_t count, size_t bytes)
{
    if (bytes && count > SIZE_MAX / bytes) return NULL;
    return count && bytes ? calloc(count, bytes) : calloc(1, 1);
}

void *bs_realloc(void *old, size_t bytes)
{
    return realloc(old, bytes ? bytes : 1);
}

void bs_free(void *memory)
{
    free(memory);
}

char *bs_copy_string(const char *text)
{
    return bs_copy_bytes(text, strlen(text) + 1);
}

void *bs_copy_bytes(const void *bytes, size_t count)
{
    void *copy = bs_alloc(count);
    if (copy && count) memcpy(copy, bytes, count);
    return copy;
}

basalt_status bs_fail_memory(basalt_error *err, size_t bytes)
{
    return bs_fail(err, BASALT_NO_MEMORY, BASALT_NO_OFFSET,
        "the system has no memory left for %zu bytes", bytes);
}
