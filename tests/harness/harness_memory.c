/* harness_memory.c - around the linker's wrapping of malloc and friends. */
#include "tests/harness/harness_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *memory);

static void *must(void *memory)
{
    if (memory) return memory;
    fputs("the test program has no memory left\n", stderr);
    exit(2);
}

void *harness_resize(void *old, size_t bytes)
{
    return must(__real_realloc(old, bytes ? bytes : 1));
}

void *harness_zeroed(size_t count, size_t bytes)
{
    return must(__real_calloc(count ? count : 1, bytes ? bytes : 1));
}

void *harness_copy(const void *bytes, size_t count)
{
    void *copy = must(__real_malloc(count ? count : 1));
    if (count) memcpy(copy, bytes, count);
    return copy;
}

char *harness_text(const char *text)
{
    return harness_copy(text, strlen(text) + 1);
}

void harness_free(void *memory)
{
    __real_free(memory);
}
