/* store_fuzz.c - any bytes as a file that Basalt made, and its log: opened for writing, recovered, read,
 * checkpointed, closed, verified, its statistics found anew.
 *
 * INPUT: u8 MiB that the file has at least; u16 bytes of each of three segments of the log, the first
 * numbered 1; these; the rest is the file. Both end in zeros that are not written out. */
#include "store/store.h"
#include "wal/wal_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH "/x.h5"
#define SEGMENTS 3
#define SEGMENT_BYTES ((size_t)1 << 16)
#define HEADER_BYTES (1 + 2 * SEGMENTS)
#define FILE_MIB_MAX 2
#define BUDGET_BYTES ((uint64_t)256 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void put_file(
    struct bs_vfs *vfs, const char *path, const uint8_t *bytes, size_t count, uint64_t bytes_min)
{
    struct bs_file *file = NULL;
    if (bs_file_open(vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE, &file, NULL) ||
        bs_file_write_at(file, bytes, count, 0, NULL) ||
        (count < bytes_min && file->ops->set_size(file, bytes_min, NULL)))
        abort();
    bs_file_close(file);
}

static bool read_family(void *context, const basalt_family_info *info)
{
    struct ArrowArrayStream stream;
    struct ArrowArray array = {0};
    basalt_scan_options options;
    bool end = false;

    bs_scan_options_fill(&options, NULL);
    if (bs_store_scan(context, NULL, info->name, &options, &stream, NULL)) return true;
    while (!end && !bs_stream_next(&stream, &array, &end, NULL) && !end) array.release(&array);
    stream.release(&stream);
    return true;
}

static void use_store(struct bs_vfs *vfs)
{
    struct bs_env_parts parts = {.vfs = vfs};
    struct bs_store *store = NULL;
    basalt_store_options options;
    basalt_error fault = {0};
    uint64_t faults = 0;

    if (bs_budget_create(NULL, "fuzz", BUDGET_BYTES, &parts.budget, NULL)) abort();
    bs_store_options_fill(&options, NULL);
    options.checkpoint_age_ms = 0;
    options.log_segment_bytes = 1 << 16;
    options.grace_ms = 0;
    if (!bs_store_open(&parts, PATH, &options, &store, &fault)) {
        (void)!bs_store_each_family(store, read_family, store, NULL);
        (void)!bs_store_set_attribute(store, NULL, "fuzz", "1", NULL);
        (void)!bs_store_checkpoint(store, NULL);
        if (bs_store_close(&store, NULL)) bs_store_abandon(store);
        (void)!bs_store_verify(&parts, PATH, NULL, NULL, NULL, &faults, NULL);
        (void)!bs_store_rebuild_statistics(&parts, PATH, &faults, NULL);
    } else if (!fault.message[0]) {
        fprintf(stderr, "store_fuzz: a refusal without a sentence\n");
        abort();
    }
    bs_budget_free(parts.budget);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_vfs *vfs = NULL;
    size_t at = HEADER_BYTES;

    if (count < HEADER_BYTES) return 0;
    if (bs_vfs_memory_create(&vfs, NULL)) abort();
    for (unsigned i = 0; i < SEGMENTS; i++) {
        const size_t bytes = BS_MIN((size_t)bs_load_u16(data + 1 + 2 * i), count - at);
        char *path = bs_wal_segment_path(PATH, i + 1);
        if (!path) abort();
        if (bytes) put_file(vfs, path, data + at, bytes, SEGMENT_BYTES);
        bs_free(path);
        at += bytes;
    }
    put_file(vfs, PATH, data + at, count - at, (uint64_t)(data[0] % (FILE_MIB_MAX + 1)) << 20);
    use_store(vfs);
    bs_vfs_free(vfs);
    return 0;
}
