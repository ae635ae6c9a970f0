/* read.c - datasets read through basalt/hdf5.h; one JSON object, medians of `--repeat` runs.
 *
 *   --mode whole    --dataset D          seconds of one read of all of it, into memory that was used
 *                                        before, or with --fresh 1 into new memory a time;
 *                                        --type T: converted to it
 *   --mode slab     --dataset D --rows a --columns b    the first a rows and b columns of two dimensions
 *   --mode slices   --dataset D          8 threads x 1,000 slices of 100 elements
 *   --mode element  --dataset D          open the dataset and read one element
 *   --mode columns  --dataset G          each dataset "c0" to "c7" of a group whole, one after the other
 *   --mode scan     --dataset G          the same group as Arrow arrays
 *   --mode list                          open the file and visit every object */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_THREADS 8
#define SLICES 1000
#define SLICE_ELEMENTS 100
#define REPEATS_MAX 1001

static basalt_error error;

/* Of this program alone: what getrusage says may be the peak of the one that started it. */
static uint64_t peak_bytes(void)
{
    char line[256];
    unsigned long long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (!status) return 0;
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1) break;
    fclose(status);
    return kilobytes * 1024;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

struct wanted {
    const char *name, *type;
    uint64_t rows, columns;
    bool fresh;
};

static double whole(basalt_hdf5 *file, const struct wanted *wanted, void **out)
{
    basalt_hdf5_dataset *dataset = NULL;
    basalt_hdf5_read_options options;
    uint64_t count, element;
    const uint64_t start[2] = {0, 0}, counts[2] = {wanted->rows, wanted->columns};

    basalt_hdf5_read_options_init(&options, sizeof options);
    options.type = wanted->type;
    if (wanted->rows) {
        options.select = BASALT_HDF5_HYPERSLAB;
        options.start = start;
        options.count = counts;
    }
    if (wanted->fresh) {
        free(*out);
        *out = NULL;
    }
    const double begin = bench_seconds();
    bench_check(basalt_hdf5_dataset_open(file, wanted->name, &dataset, &error), &error);
    bench_check(basalt_hdf5_read_size(dataset, &options, &count, &element, &error), &error);
    if (!*out) {
        *out = bench_memory(count * element);
        if (!wanted->fresh) memset(*out, 1, count * element);
    }
    bench_check(basalt_hdf5_read(dataset, &options, *out, count * element, &error), &error);
    basalt_hdf5_dataset_close(&dataset);
    return bench_seconds() - begin;
}

static double columns(basalt_hdf5 *file, const char *group, void **out)
{
    char name[256];
    double seconds = 0;

    for (unsigned i = 0; i < BENCH_COLUMNS; i++) {
        const struct wanted column = {.name = name};
        snprintf(name, sizeof name, "%s/c%u", group, i);
        seconds += whole(file, &column, out);
    }
    return seconds;
}

static double scan(basalt_hdf5 *file, const char *group, uint64_t *out_rows)
{
    struct ArrowArrayStream stream;
    struct ArrowArray batch;

    *out_rows = 0;
    const double begin = bench_seconds();
    bench_check(basalt_hdf5_scan_with(file, group, NULL, &stream, &error), &error);
    for (;;) {
        if (stream.get_next(&stream, &batch)) {
            fprintf(stderr, "%s\n", stream.get_last_error(&stream));
            exit(1);
        }
        if (!batch.release) break;
        *out_rows += (uint64_t)batch.length;
        batch.release(&batch);
    }
    stream.release(&stream);
    return bench_seconds() - begin;
}

struct slicer {
    basalt_hdf5_dataset *dataset;
    uint64_t seed, rows, sum;
};

static void *read_slices(void *argument)
{
    struct slicer *slicer = argument;
    basalt_hdf5_read_options options;
    uint64_t out[SLICE_ELEMENTS];
    basalt_error fault;

    basalt_hdf5_read_options_init(&options, sizeof options);
    options.select = BASALT_HDF5_HYPERSLAB;
    for (unsigned i = 0; i < SLICES; i++) {
        const uint64_t start = next_random(&slicer->seed) % (slicer->rows - SLICE_ELEMENTS);
        const uint64_t count = SLICE_ELEMENTS;
        options.start = &start;
        options.count = &count;
        bench_check(basalt_hdf5_read(slicer->dataset, &options, out, sizeof out, &fault), &fault);
        slicer->sum += out[0];
    }
    return NULL;
}

static double slices(const char *path, const char *name, uint64_t *out_decoded)
{
    basalt_hdf5 *file = NULL;
    basalt_hdf5_dataset *dataset = NULL;
    basalt_hdf5_shape shape;
    basalt_hdf5_stats stats;
    pthread_t threads[SLICE_THREADS];
    struct slicer slicers[SLICE_THREADS];

    const double begin = bench_seconds();
    bench_check(basalt_hdf5_open(path, &file, &error), &error);
    bench_check(basalt_hdf5_dataset_open(file, name, &dataset, &error), &error);
    basalt_hdf5_dataset_info(dataset, &shape);
    for (unsigned i = 0; i < SLICE_THREADS; i++) {
        slicers[i] = (struct slicer){dataset, i + 1, shape.dims[0], 0};
        pthread_create(&threads[i], NULL, read_slices, &slicers[i]);
    }
    for (unsigned i = 0; i < SLICE_THREADS; i++) pthread_join(threads[i], NULL);
    const double seconds = bench_seconds() - begin;
    basalt_hdf5_get_stats(file, &stats);
    *out_decoded = stats.chunks_decoded;
    basalt_hdf5_dataset_close(&dataset);
    basalt_hdf5_close(&file);
    return seconds;
}

static double element(basalt_hdf5 *file, const char *name, uint64_t *state)
{
    basalt_hdf5_dataset *dataset = NULL;
    basalt_hdf5_read_options options;
    basalt_hdf5_shape shape;
    uint64_t out;

    basalt_hdf5_read_options_init(&options, sizeof options);
    options.select = BASALT_HDF5_ROWS;
    const double begin = bench_seconds();
    bench_check(basalt_hdf5_dataset_open(file, name, &dataset, &error), &error);
    basalt_hdf5_dataset_info(dataset, &shape);
    const uint64_t at = next_random(state) * 65537 % shape.dims[0];
    options.coordinates = &at;
    options.coordinate_count = 1;
    bench_check(basalt_hdf5_read(dataset, &options, &out, shape.element_bytes, &error), &error);
    basalt_hdf5_dataset_close(&dataset);
    return bench_seconds() - begin;
}

static bool count_entry(void *context, const basalt_hdf5_entry *entry)
{
    *(uint64_t *)context += entry->kind == BASALT_HDF5_DATASET;
    return true;
}

static double list(const char *path, uint64_t *out_datasets)
{
    basalt_hdf5 *file = NULL;

    *out_datasets = 0;
    const double begin = bench_seconds();
    bench_check(basalt_hdf5_open(path, &file, &error), &error);
    bench_check(basalt_hdf5_walk(file, "/", 64, count_entry, out_datasets, &error), &error);
    basalt_hdf5_close(&file);
    return bench_seconds() - begin;
}

int main(int argc, char **argv)
{
    const char *path = bench_text(argc, argv, "--path", "");
    const char *mode = bench_text(argc, argv, "--mode", "whole");
    const char *name = bench_text(argc, argv, "--dataset", "/d");
    const struct wanted wanted = {name, bench_text(argc, argv, "--type", NULL),
        bench_number(argc, argv, "--rows", 0), bench_number(argc, argv, "--columns", 0),
        bench_number(argc, argv, "--fresh", 0) != 0};
    const uint64_t repeats = bench_number(argc, argv, "--repeat", 5);
    const uint64_t before = peak_bytes();
    static double seconds[REPEATS_MAX];
    uint64_t extra = 0, state = 1;
    basalt_hdf5 *file = NULL;
    void *out = NULL;

    if (repeats < 1 || repeats >= REPEATS_MAX) return 2;
    bench_check(basalt_hdf5_open(path, &file, &error), &error);
    for (uint64_t i = 0; i <= repeats; i++) { /* the first one warms up */
        double now;
        if (!strcmp(mode, "slices"))
            now = slices(path, name, &extra);
        else if (!strcmp(mode, "element"))
            now = element(file, name, &state);
        else if (!strcmp(mode, "columns"))
            now = columns(file, name, &out);
        else if (!strcmp(mode, "scan"))
            now = scan(file, name, &extra);
        else if (!strcmp(mode, "list"))
            now = list(path, &extra);
        else
            now = whole(file, &wanted, &out);
        if (i > 0) seconds[i - 1] = now;
    }
    printf("{\"seconds\": %.9f, \"extra\": %llu, \"memory_bytes\": %llu}\n",
        bench_quantile(seconds, repeats, 0.5), (unsigned long long)extra,
        (unsigned long long)(peak_bytes() - before));
    basalt_hdf5_close(&file);
    free(out);
    return 0;
}
