/* bench.c - see bench.h. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RING 64 /* 4 MB of distinct rows: more than the caches near a core hold */

double bench_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void bench_sleep_until(double when)
{
    const double left = when - bench_seconds();
    if (left <= 0) return;
    const struct timespec pause = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    nanosleep(&pause, NULL);
}

const char *bench_text(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (!strcmp(argv[i], name)) return argv[i + 1];
    }
    return otherwise;
}

uint64_t bench_number(int argc, char **argv, const char *name, uint64_t otherwise)
{
    const char *text = bench_text(argc, argv, name, NULL);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

void bench_check(basalt_status status, const basalt_error *error)
{
    if (!status) return;
    fprintf(stderr, "%s: %s\n", basalt_status_name(status), error->message);
    exit(1);
}

void *bench_memory(size_t bytes)
{
    const size_t page = (size_t)2 << 20, whole = (bytes + page) / page * page;
    void *memory =
        aligned_alloc(bytes < page ? 64 : page, bytes < page ? (bytes + 64) / 64 * 64 : whole);
    if (!memory) abort();
    if (bytes >= page) madvise(memory, whole, MADV_HUGEPAGE);
    return memory;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *values, uint64_t count, double fraction)
{
    qsort(values, count, sizeof *values, compare);
    const uint64_t at = (uint64_t)((double)count * fraction);
    return values[at < count ? at : count - 1];
}

/* ---- the schema ---------------------------------------------------------------------------- */

struct schema_block {
    struct ArrowSchema children[BENCH_COLUMNS];
    struct ArrowSchema *pointers[BENCH_COLUMNS];
    char names[BENCH_COLUMNS][12];
};

static void release_child(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_schema(struct ArrowSchema *schema)
{
    free(schema->private_data);
    schema->release = NULL;
}

void bench_schema(struct ArrowSchema *out_schema)
{
    struct schema_block *block = calloc(1, sizeof *block);
    if (!block) abort();
    for (unsigned i = 0; i < BENCH_COLUMNS; i++) {
        snprintf(block->names[i], sizeof block->names[i], "c%u", i);
        block->children[i] =
            (struct ArrowSchema){.format = "g", .name = block->names[i], .release = release_child};
        block->pointers[i] = &block->children[i];
    }
    *out_schema = (struct ArrowSchema){.format = "+s",
        .name = "",
        .n_children = BENCH_COLUMNS,
        .children = block->pointers,
        .release = release_schema,
        .private_data = block};
}

basalt_store *bench_open(const char *path, const basalt_store_options *options, int level)
{
    basalt_error error = {0};
    basalt_store *store = NULL;
    basalt_family_options family;
    struct ArrowSchema schema;

    unlink(path);
    bench_schema(&schema);
    basalt_family_options_init(&family, sizeof family);
    family.compression_level = level;
    bench_check(basalt_store_open(path, options, &store, &error), &error);
    bench_check(basalt_family_create(store, "wave", &schema, &family, &error), &error);
    schema.release(&schema);
    return store;
}

/* ---- the batches ---------------------------------------------------------------------------- */

struct one_batch {
    double values[BENCH_COLUMNS][BENCH_BATCH_ROWS];
    const void *buffers[BENCH_COLUMNS][2];
    const void *own_buffers[1];
    struct ArrowArray columns[BENCH_COLUMNS];
    struct ArrowArray *pointers[BENCH_COLUMNS];
    struct ArrowArray array;
};

struct bench_batches {
    struct one_batch ring[RING];
};

static void release_nothing(struct ArrowArray *array)
{
    array->release = NULL;
}

static void fill(struct one_batch *batch, unsigned at, uint64_t *noise)
{
    for (unsigned column = 0; column < BENCH_COLUMNS; column++) {
        for (unsigned row = 0; row < BENCH_BATCH_ROWS; row++) {
            const double when = (double)(at * BENCH_BATCH_ROWS + row) * 1e-3;
            *noise = *noise * 6364136223846793005u + 1442695040888963407u;
            const double grain = (double)(*noise >> 52) / 4096.0; /* a 12-bit converter */
            batch->values[column][row] =
                floor(sin(when * (column + 1)) * 2048.0 + grain * 4.0) / 16.0;
        }
        batch->buffers[column][1] = batch->values[column];
        batch->columns[column] = (struct ArrowArray){.length = BENCH_BATCH_ROWS,
            .n_buffers = 2,
            .buffers = batch->buffers[column],
            .release = release_nothing};
        batch->pointers[column] = &batch->columns[column];
    }
    batch->array = (struct ArrowArray){.length = BENCH_BATCH_ROWS,
        .n_buffers = 1,
        .buffers = batch->own_buffers,
        .n_children = BENCH_COLUMNS,
        .children = batch->pointers,
        .release = release_nothing};
}

struct bench_batches *bench_batches_make(void)
{
    struct bench_batches *batches = calloc(1, sizeof *batches);
    uint64_t noise = 1;
    if (!batches) abort();
    for (unsigned i = 0; i < RING; i++) fill(&batches->ring[i], i, &noise);
    return batches;
}

const struct ArrowArray *bench_batch(struct bench_batches *batches, uint64_t index)
{
    return &batches->ring[index % RING].array;
}

const double *bench_column(struct bench_batches *batches, uint64_t index, unsigned column)
{
    return batches->ring[index % RING].values[column];
}

void bench_batches_free(struct bench_batches *batches)
{
    free(batches);
}
