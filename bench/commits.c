/* commits.c - `sync` commits of one small row a second, --threads at once, for --seconds; and, in the
 * same directory right before and after, the bare rate of fdatasync after 128-byte writes into a
 * file that is reserved already. One JSON line. */
#include "bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BARE_BYTES (64 << 20)

struct work {
    basalt_store *store;
    double until;
    atomic_ullong commits;
};

static double one_row[BENCH_COLUMNS];
static const void *column_buffers[BENCH_COLUMNS][2];
static const void *no_buffers[1];

static void release_nothing(struct ArrowArray *array)
{
    array->release = NULL;
}

static void *commit_until(void *argument)
{
    struct work *work = argument;
    struct ArrowArray columns[BENCH_COLUMNS], *pointers[BENCH_COLUMNS];
    basalt_error error = {0};

    for (unsigned i = 0; i < BENCH_COLUMNS; i++) {
        columns[i] = (struct ArrowArray){
            .length = 1, .n_buffers = 2, .buffers = column_buffers[i], .release = release_nothing};
        pointers[i] = &columns[i];
    }
    const struct ArrowArray row = {.length = 1,
        .n_buffers = 1,
        .buffers = no_buffers,
        .n_children = BENCH_COLUMNS,
        .children = pointers,
        .release = release_nothing};
    while (bench_seconds() < work->until) {
        bench_check(basalt_append(work->store, "wave", &row, NULL, BASALT_SYNC, &error), &error);
        atomic_fetch_add(&work->commits, 1);
    }
    return NULL;
}

static double bare_rate(const char *path, double seconds)
{
    char block[128], name[4096];
    unsigned long long count = 0;
    snprintf(name, sizeof name, "%s.bare", path);
    const int file = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || posix_fallocate(file, 0, BARE_BYTES) || fdatasync(file)) exit(1);
    memset(block, 1, sizeof block);
    const double until = bench_seconds() + seconds;
    while (bench_seconds() < until) {
        if (pwrite(file, block, sizeof block, (off_t)(count * sizeof block % BARE_BYTES)) < 0)
            exit(1);
        if (fdatasync(file)) exit(1);
        count++;
    }
    close(file);
    unlink(name);
    return (double)count / seconds;
}

int main(int argc, char **argv)
{
    const char *path = bench_text(argc, argv, "--path", "commits.h5");
    const unsigned threads = (unsigned)bench_number(argc, argv, "--threads", 1);
    const double seconds = (double)bench_number(argc, argv, "--seconds", 3);
    pthread_t handles[64];
    basalt_error error = {0};
    basalt_store_stats before, after;
    struct work work = {0};

    if (threads < 1 || threads > 64) return 2;
    for (unsigned i = 0; i < BENCH_COLUMNS; i++) column_buffers[i][1] = &one_row[i];
    const double bare_before = bare_rate(path, seconds / 2);
    work.store = bench_open(path, NULL, 0);
    bench_check(basalt_store_get_stats(work.store, &before, &error), &error);
    work.until = bench_seconds() + seconds;
    for (unsigned i = 0; i < threads; i++) pthread_create(&handles[i], NULL, commit_until, &work);
    for (unsigned i = 0; i < threads; i++) pthread_join(handles[i], NULL);
    bench_check(basalt_store_get_stats(work.store, &after, &error), &error);
    const double commits = (double)atomic_load(&work.commits);
    const double bare = (bare_before + bare_rate(path, seconds / 2)) / 2;
    printf("{\"threads\": %u, \"commits_s\": %.0f, \"bare_s\": %.0f, \"ratio\": %.3f, "
           "\"syncs_a_commit\": %.3f}\n",
        threads, commits / seconds, bare, commits / seconds / bare,
        (double)(after.syncs - before.syncs) / commits);
    bench_check(basalt_store_close(&work.store, &error), &error);
    return 0;
}
