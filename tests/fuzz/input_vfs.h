/* input_vfs.h - a file system in which every file is the fuzzer's input.
 *
 * So what an input names elsewhere is there too: members of a family, targets of links, sources of
 * virtual datasets, raw data, and circles of all of them. A quarter of the names are absent, by their
 * hash. */
#ifndef TESTS_FUZZ_INPUT_VFS_H
#define TESTS_FUZZ_INPUT_VFS_H

#include "vfs/vfs.h"

#define INPUT_PATH "/x.h5"

/* The bytes are borrowed. Ends the program if there is no memory. */
struct bs_vfs *input_vfs_make(const uint8_t *bytes, size_t count);

struct input_file {
    const char *name; /* the last part of a path */
    const uint8_t *bytes;
    size_t count;
};
/* One where these files are, in every folder, and no others. Borrowed too. */
struct bs_vfs *input_vfs_of(const struct input_file *files, size_t file_count);

#endif
