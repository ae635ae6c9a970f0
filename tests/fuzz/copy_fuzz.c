/* copy_fuzz.c - any bytes as an HDF5 file are copied into a sound one, or refused with a clear error. */
#include "copy/copy.h"
#include "tests/fuzz/any_sum.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

#define TARGET_BYTES_MAX ((uint64_t)256 << 20)

/* By the last byte, which no reader looks at. */
static const char *const settings[][2] = {
    {NULL, NULL}, {"auto", "shuffle,deflate:1"}, {"64Ki", "none"}, {"3,5", "fletcher32,lz4"}};

static void die(const char *what, const basalt_error *fault)
{
    fprintf(stderr, "copy_fuzz: %s: %d: %s\n", what, (int)fault->status, fault->message);
    abort();
}

static void say(void *context, bool is_fault, const char *sentence)
{
    (void)context;
    if (is_fault) fprintf(stderr, "copy_fuzz: %s\n", sentence);
}

static void check_target(struct bs_vfs *vfs)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    basalt_error fault = {0};
    uint64_t faults = 0;
    every_sum_passes = false;
    if (bs_file_open(vfs, "copy.h5", BS_OPEN_READ, &file, &fault) ||
        bs_h5_file_open(file, &h5, &fault)) {
        die("the copy cannot be opened", &fault);
    }
    if (bs_h5_file_bytes(h5) <= TARGET_BYTES_MAX &&
        (bs_h5_verify(h5, say, NULL, NULL, &faults, &fault) || faults)) {
        die("the copy is not sound", &fault);
    }
    bs_h5_file_close(h5);
    bs_file_close(file);
    every_sum_passes = true;
}

/* Some hostile files would be copied for hours, honestly. */
struct patience {
    unsigned calls;
};
static bool go_on(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct patience *patience = context;
    (void)done_bytes;
    (void)all_bytes;
    return ++patience->calls < 64;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    struct patience patience = {0};
    basalt_error fault = {0};
    uint8_t *bytes = bs_copy_bytes(data, count);
    const size_t chosen = count ? data[count - 1] % BS_ARRAY_LENGTH(settings) : 0;
    const basalt_hdf5_copy_options options = {.struct_bytes = sizeof options,
        .chunks = settings[chosen][0],
        .filters = settings[chosen][1],
        .check = true, /* or damage comes along */
        .progress = go_on,
        .context = &patience};

    if (!bytes || bs_vfs_memory_create(&vfs, &fault) ||
        bs_file_open(vfs, "x.h5", BS_OPEN_WRITE | BS_OPEN_CREATE, &file, &fault)) {
        abort();
    }
    if (bs_file_write_at(file, bytes, count, 0, &fault)) abort();
    bs_file_close(file);
    const struct bs_copy_parts parts = {.vfs = vfs};
    const basalt_status status = bs_copy(&parts, "x.h5", "copy.h5", &options, NULL, &fault);
    if (status == BASALT_OK) check_target(vfs);
    if (status == BASALT_CONFLICT || (status && !fault.message[0])) die("a failure", &fault);
    bs_vfs_free(vfs);
    bs_free(bytes);
    return 0;
}
