/* harness_memory.h - memory of the harness itself: never made to fail, never counted as the library's.
 * The tests' own allocations go through the same linker trick; these go around it. */
#ifndef BS_HARNESS_MEMORY_H
#define BS_HARNESS_MEMORY_H

#include <stddef.h>

/* Never NULL: without memory the test program ends. `old` NULL allocates. */
void *harness_resize(void *old, size_t bytes);
void *harness_zeroed(size_t count, size_t bytes);
void *harness_copy(const void *bytes, size_t count);
char *harness_text(const char *text);
void harness_free(void *memory);

#endif
