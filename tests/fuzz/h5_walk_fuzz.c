/* h5_walk_fuzz.c - any bytes as an HDF5 file are read, or are a clear error. */
#include "tests/fuzz/input_vfs.h"
#include "tests/unit/h5/h5_exercise.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_vfs *vfs = input_vfs_make(data, count);
    struct bs_file *file = NULL;
    basalt_error fault = {0};

    if (bs_file_open(vfs, INPUT_PATH, BS_OPEN_READ, &file, &fault)) abort();
    fault = (basalt_error){0};
    const basalt_status status = h5_exercise(file, &fault);
    /* IO_ERROR says that raw data are in a file that is not there. */
    if (status == BASALT_BAD_ARGUMENT || status == BASALT_NO_MEMORY ||
        (status && !fault.message[0])) {
        fprintf(stderr, "h5_walk_fuzz: a file gives %d: %s\n", (int)status, fault.message);
        abort();
    }
    bs_file_close(file);
    bs_vfs_free(vfs);
    return 0;
}
