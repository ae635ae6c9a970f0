/* scale.c - the shapes that hurt: many instruments, many small batches, many families, and pairs of
 * families that must never be seen apart. One mode a run; scale.py starts it and looks at the file
 * from outside. Prints one JSON line at the end.
 *
 *   scale instruments PATH SECONDS   100 instruments x 10 float64, 1 row a second, a checkpoint each
 *   scale small PATH BATCHES         batches of 10 rows into 8 instruments of 4 float64
 *   scale families PATH COUNT        COUNT families of one column, one row each, reopened and read
 *   scale pairs PATH SECONDS         transactions over two families, a checkpoint every 20 ms */
#include <basalt/basalt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COLUMNS_MAX 10
#define ROWS_MAX 10

static void check(basalt_status status, const basalt_error *error)
{
    if (!status) return;
    fprintf(stderr, "%s: %s\n", basalt_status_name(status), error->message);
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void pause_until(double when)
{
    const double left = when - seconds();
    if (left > 0) {
        const struct timespec pause = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        nanosleep(&pause, NULL);
    }
}

/* A number out of /proc/self/FILE after `label`; 0 if it is not there. */
static unsigned long long proc_number(const char *file, const char *label)
{
    char line[256];
    unsigned long long value = 0;
    FILE *in = fopen(file, "r");
    while (in && fgets(line, sizeof line, in)) {
        if (!strncmp(line, label, strlen(label))) value = strtoull(line + strlen(label), NULL, 10);
    }
    if (in) fclose(in);
    return value;
}

/* ---- rows of float64, all one value ---------------------------------------------------------- */

struct rows {
    double values[ROWS_MAX];
    const void *buffers[2], *none[1];
    struct ArrowArray columns[COLUMNS_MAX], *pointers[COLUMNS_MAX], array;
};

static void release_array(struct ArrowArray *array)
{
    array->release = NULL;
}

static void rows_make(struct rows *rows, int columns, int count, double value)
{
    memset(rows, 0, sizeof *rows);
    for (int i = 0; i < count; i++) rows->values[i] = value + i;
    rows->buffers[1] = rows->values;
    for (int i = 0; i < columns; i++) {
        rows->columns[i] = (struct ArrowArray){
            .length = count, .n_buffers = 2, .buffers = rows->buffers, .release = release_array};
        rows->pointers[i] = &rows->columns[i];
    }
    rows->array = (struct ArrowArray){.length = count,
        .n_buffers = 1,
        .buffers = rows->none,
        .n_children = columns,
        .children = rows->pointers,
        .release = release_array};
}

struct shape {
    char names[COLUMNS_MAX][8];
    struct ArrowSchema fields[COLUMNS_MAX], *pointers[COLUMNS_MAX], schema;
};

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void shape_make(struct shape *shape, int columns)
{
    memset(shape, 0, sizeof *shape);
    for (int i = 0; i < columns; i++) {
        snprintf(shape->names[i], sizeof shape->names[i], "c%d", i);
        shape->fields[i] =
            (struct ArrowSchema){.format = "g", .name = shape->names[i], .release = release_schema};
        shape->pointers[i] = &shape->fields[i];
    }
    shape->schema = (struct ArrowSchema){.format = "+s",
        .name = "",
        .n_children = columns,
        .children = shape->pointers,
        .release = release_schema};
}

static basalt_store *make_store(
    const char *path, int families, int columns, uint64_t age_ms, uint64_t memtable_bytes)
{
    basalt_error error = {0};
    basalt_store *store = NULL;
    basalt_store_options options;
    struct shape shape;
    char name[32];

    basalt_store_options_init(&options, sizeof options);
    options.access = BASALT_CREATE_NEW;
    options.checkpoint_age_ms = age_ms;
    if (memtable_bytes) options.memtable_bytes_max = memtable_bytes;
    check(basalt_store_open(path, &options, &store, &error), &error);
    shape_make(&shape, columns);
    for (int i = 0; i < families; i++) {
        snprintf(name, sizeof name, "family%d", i);
        check(basalt_family_create(store, name, &shape.schema, NULL, &error), &error);
    }
    return store;
}

static void append(basalt_store *store, int family, int columns, int count, double value)
{
    basalt_error error = {0};
    struct rows rows;
    char name[32];
    snprintf(name, sizeof name, "family%d", family);
    rows_make(&rows, columns, count, value);
    check(basalt_append(store, name, &rows.array, NULL, BASALT_BUFFERED, &error), &error);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the modes --------------------------------------------------------------------------------- */

static void instruments(const char *path, int count)
{
    basalt_error error = {0};
    basalt_store *store = make_store(path, 100, 10, 0, 0);
    double *took = calloc((size_t)count + 1, sizeof *took);
    if (!took) exit(1);
    check(basalt_store_checkpoint(store, &error), &error);
    const unsigned long long device = proc_number("/proc/self/io", "write_bytes: ");
    const double start = seconds();
    for (int second = 0; second < count; second++) {
        for (int family = 0; family < 100; family++) append(store, family, 10, 1, second);
        const double before = seconds();
        check(basalt_store_checkpoint(store, &error), &error);
        took[second] = seconds() - before;
        printf("second %d\n", second);
        fflush(stdout);
        pause_until(start + second + 1);
    }
    const unsigned long long written = proc_number("/proc/self/io", "write_bytes: ") - device;
    check(basalt_store_close(&store, &error), &error);
    qsort(took, (size_t)count, sizeof *took, compare);
    printf(
        "{\"checkpoint_p50_ms\": %.2f, \"checkpoint_max_ms\": %.2f, \"device_bytes_a_checkpoint\": %llu}\n",
        took[count / 2] * 1e3, took[count - 1] * 1e3, written / (unsigned long long)count);
    free(took);
}

/* With a small memtable, so that the run is long beside it. Anonymous memory is what Basalt allocates;
 * the mapped log comes and goes in segments of 64 MiB. */
static void small(const char *path, int count)
{
    basalt_error error = {0};
    basalt_store *store = make_store(path, 8, 4, 1000, 4u << 20);
    unsigned long long early = 0, late = 0;
    for (int i = 0; i < count; i++) {
        append(store, i % 8, 4, 10, i / 8 * 10);
        if (i == count / 4) early = proc_number("/proc/self/status", "RssAnon:");
    }
    late = proc_number("/proc/self/status", "RssAnon:");
    check(basalt_store_close(&store, &error), &error);
    printf("{\"anonymous_kb_at_a_quarter\": %llu, \"anonymous_kb_at_the_end\": %llu, "
           "\"rss_kb_peak\": %llu}\n",
        early, late, proc_number("/proc/self/status", "VmHWM:"));
}

static void families(const char *path, int count)
{
    basalt_error error = {0};
    const double start = seconds();
    basalt_store *store = make_store(path, count, 1, 0, 0);
    for (int i = 0; i < count; i++) append(store, i, 1, 1, i);
    check(basalt_store_close(&store, &error), &error);
    const double made = seconds();
    check(basalt_store_open(path, NULL, &store, &error), &error);
    const double opened = seconds();
    basalt_family_info info;
    for (int i = 0; i < count; i += count / 10 + 1) {
        char name[32];
        snprintf(name, sizeof name, "family%d", i);
        check(basalt_family_get_info(store, name, &info, &error), &error);
        if (info.rows != 1) exit(1);
        append(store, i, 1, 1, -i);
    }
    check(basalt_store_close(&store, &error), &error);
    printf("{\"make_s\": %.2f, \"open_s\": %.2f, \"rss_kb_peak\": %llu}\n", made - start,
        opened - made, proc_number("/proc/self/status", "VmHWM:"));
}

static void pairs(const char *path, int count)
{
    basalt_error error = {0};
    basalt_store *store = make_store(path, 2, 1, 20, 0);
    const double until = seconds() + count;
    struct rows rows;
    double value = 0;
    for (; seconds() < until; value++) {
        basalt_txn *txn = NULL;
        rows_make(&rows, 1, 1, value);
        check(basalt_txn_begin(store, &txn, &error), &error);
        check(basalt_txn_append(txn, "family0", &rows.array, NULL, &error), &error);
        check(basalt_txn_append(txn, "family1", &rows.array, NULL, &error), &error);
        check(basalt_txn_commit(&txn, BASALT_BUFFERED, &error), &error);
        pause_until(seconds() + 0.0002);
    }
    basalt_store_stats stats;
    check(basalt_store_get_stats(store, &stats, &error), &error);
    check(basalt_store_close(&store, &error), &error);
    printf("{\"transactions\": %.0f, \"checkpoints\": %llu}\n", value,
        (unsigned long long)stats.checkpoints);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: scale instruments|small|families|pairs PATH COUNT\n");
        return 2;
    }
    const int count = atoi(argv[3]);
    if (!strcmp(argv[1], "instruments"))
        instruments(argv[2], count);
    else if (!strcmp(argv[1], "small"))
        small(argv[2], count);
    else if (!strcmp(argv[1], "families"))
        families(argv[2], count);
    else if (!strcmp(argv[1], "pairs"))
        pairs(argv[2], count);
    else
        return 2;
    return 0;
}
