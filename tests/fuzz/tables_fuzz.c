/* tables_fuzz.c - any bytes as an HDF5 file: every path of it as a table, in each layout. */
#include "tests/fuzz/input_vfs.h"
#include "tests/fuzz/scan_all.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void check(basalt_status status, const basalt_error *fault)
{
    if (status != BASALT_BAD_ARGUMENT && fault->message[0]) return;
    fprintf(stderr, "tables_fuzz: a file gives %d: %s\n", (int)status, fault->message);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_vfs *vfs = input_vfs_make(data, count);
    struct bs_hdf5 *opened = NULL;
    basalt_error fault = {0};

    if (!bs_hdf5_open(vfs, INPUT_PATH, &opened, &fault)) scan_all(opened, check);
    bs_hdf5_close(opened);
    bs_vfs_free(vfs);
    return 0;
}
