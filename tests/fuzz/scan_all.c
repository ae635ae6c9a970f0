/* scan_all.c - what scan_all.h declares. */
#include "tests/fuzz/scan_all.h"

#include <stdlib.h>

#define PATHS_MAX 200
#define BATCHES_MAX 8 /* of one table: a chunk that is not stored is as large as it says */
#define ROWS_MAX 100000

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

static void tell(told_fn told, basalt_status status, const basalt_error *fault)
{
    if (status) told(status, fault);
}

static bool ignore_attribute(void *context, const char *name, const char *type, const char *value)
{
    *(size_t *)context += strlen(name) + strlen(type) + strlen(value); /* touches every byte */
    return true;
}

void scan_all(struct bs_hdf5 *file, told_fn told)
{
    struct paths paths = {.count = 0};
    basalt_error fault = {0};
    tell(told, bs_hdf5_walk(file, "/", 20, keep_path, &paths, &fault), &fault);
    for (size_t i = 0; i < paths.count; i++) {
        size_t bytes = 0;
        basalt_hdf5_table_info table;
        tell(told, bs_hdf5_each_attribute(file, paths.list[i], ignore_attribute, &bytes, &fault),
            &fault);
        tell(told, bs_hdf5_describe_table(file, paths.list[i], &table, &fault), &fault);
        for (int layout = BASALT_HDF5_LAYOUT_AUTO; layout <= BASALT_HDF5_LAYOUT_WIDE; layout++) {
            const basalt_hdf5_scan_options options = {.first_row = i % 3,
                .row_count = ROWS_MAX,
                .layout = (basalt_hdf5_layout)layout,
                .missing_as_null = true,
                .ascii_as_binary = i % 2 == 0};
            struct ArrowArrayStream stream;
            basalt_status status = bs_hdf5_scan(file, paths.list[i], &options, &stream, &fault);
            if (!status) status = pull(&stream, &fault);
            tell(told, status, &fault);
        }
        bs_free(paths.list[i]);
    }
}
