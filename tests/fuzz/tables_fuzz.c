/* tables_fuzz.c - any bytes as an HDF5 file: every path of it as a table, in each layout. */
#include "tables/tables.h"
#include "tests/fuzz/mend.h"

#include <stdio.h>
#include <stdlib.h>

#define PATHS_MAX 200
#define BATCHES_MAX 8 /* of one table: a chunk that is not stored is as large as it says */
#define ROWS_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

struct paths {
    char *list[PATHS_MAX];
    size_t count;
};

static bool keep_path(void *context, const basalt_hdf5_entry *entry)
{
    struct paths *paths = context;
    paths->list[paths->count] = bs_copy_string(entry->path);
    if (!paths->list[paths->count]) abort();
    return ++paths->count < PATHS_MAX;
}

static basalt_status pull(struct ArrowArrayStream *stream, basalt_error *err)
{
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    bool end = false;
    basalt_status status = BASALT_OK;
    if (!stream->get_schema(stream, &schema)) schema.release(&schema);
    for (unsigned i = 0; !status && !end && i < BATCHES_MAX; i++) {
        status = bs_stream_next(stream, &array, &end, err);
        if (!status && array.release) array.release(&array);
    }
    stream->release(stream);
    return status;
}

static void check(basalt_status status, const basalt_error *fault)
{
    if (status != BASALT_BAD_ARGUMENT)
        return; /* a file of which it is a part may well be missing */
    fprintf(stderr, "tables_fuzz: a file gives %d: %s\n", (int)status, fault->message);
    abort();
}

static void scan_all(struct bs_hdf5 *file)
{
    struct paths paths = {.count = 0};
    basalt_error fault = {0};
    check(bs_hdf5_walk(file, "/", 20, keep_path, &paths, &fault), &fault);
    for (size_t i = 0; i < paths.count; i++) {
        for (int layout = BASALT_HDF5_LAYOUT_AUTO; layout <= BASALT_HDF5_LAYOUT_WIDE; layout++) {
            const basalt_hdf5_scan_options options = {.first_row = i % 3,
                .row_count = ROWS_MAX,
                .layout = (basalt_hdf5_layout)layout,
                .missing_as_null = true,
                .ascii_as_binary = i % 2 == 0};
            struct ArrowArrayStream stream;
            basalt_status status = bs_hdf5_scan(file, paths.list[i], &options, &stream, &fault);
            if (!status) status = pull(&stream, &fault);
            check(status, &fault);
        }
        bs_free(paths.list[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    struct bs_hdf5 *opened = NULL;
    basalt_error fault = {0};
    uint8_t *bytes = bs_copy_bytes(data, count);

    if (!bytes || bs_vfs_memory_create(&vfs, &fault) ||
        bs_file_open(vfs, "/x.h5", BS_OPEN_WRITE | BS_OPEN_CREATE, &file, &fault)) {
        abort();
    }
    mend_superblock(bytes, count);
    if (bs_file_write_at(file, bytes, count, 0, &fault)) abort();
    bs_file_close(file);
    if (!bs_hdf5_open(vfs, "/x.h5", &opened, &fault)) scan_all(opened);
    bs_hdf5_close(opened);
    bs_vfs_free(vfs);
    bs_free(bytes);
    return 0;
}
