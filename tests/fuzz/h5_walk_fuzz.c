/* h5_walk_fuzz.c - any bytes as an HDF5 file are read, or are a clear error. */
#include "tests/fuzz/mend.h"
#include "tests/unit/h5/h5_exercise.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    basalt_error fault = {0};
    uint8_t *bytes = bs_copy_bytes(data, count);

    if (!bytes || bs_vfs_memory_create(&vfs, &fault) ||
        bs_file_open(vfs, "x.h5", BS_OPEN_WRITE | BS_OPEN_CREATE, &file, &fault))
        abort();
    mend_superblock(bytes, count);
    if (bs_file_write_at(file, bytes, count, 0, &fault)) abort();
    fault = (basalt_error){0};
    const basalt_status status = h5_exercise(file, &fault);
    if (status == BASALT_BAD_ARGUMENT || status == BASALT_IO_ERROR ||
        (status == BASALT_NO_MEMORY && count < 1 << 20)) {
        fprintf(stderr, "h5_walk_fuzz: a file gives %d: %s\n", (int)status, fault.message);
        abort();
    }
    bs_file_close(file);
    bs_vfs_free(vfs);
    bs_free(bytes);
    return 0;
}
