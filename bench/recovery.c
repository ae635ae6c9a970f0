/* recovery.c - a child fills the log with --megabytes and is killed; the time until the store is open
 * again, per megabyte of log replayed. One JSON line. */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void fill_and_die(const char *path, uint64_t count)
{
    basalt_error error = {0};
    basalt_store_options options;
    basalt_env_options limits;
    struct bench_batches *batches = bench_batches_make();

    basalt_env_options_init(&limits, sizeof limits);
    limits.memory_bytes_max = 8ull << 30;
    basalt_store_options_init(&options, sizeof options);
    bench_check(basalt_env_create(&limits, &options.env, &error), &error);
    options.memtable_bytes_max = 4ull << 30; /* nothing is checkpointed: all of it is in the log */
    options.checkpoint_log_bytes = 8ull << 30;
    options.checkpoint_age_ms = 0;
    basalt_store *store = bench_open(path, &options, 0);
    for (uint64_t i = 0; i < count; i++) {
        bench_check(
            basalt_append(store, "wave", bench_batch(batches, i), NULL, BASALT_BUFFERED, &error),
            &error);
    }
    kill(getpid(), SIGKILL);
}

int main(int argc, char **argv)
{
    const char *path = bench_text(argc, argv, "--path", "recovery.h5");
    const uint64_t count =
        bench_number(argc, argv, "--megabytes", 512) * 1000000 / BENCH_BATCH_BYTES;
    basalt_error error = {0};
    basalt_store *store = NULL;
    basalt_store_stats stats;
    basalt_inspection left;

    const pid_t child = fork();
    if (child == 0) fill_and_die(path, count);
    waitpid(child, NULL, 0);
    bench_check(basalt_inspect(path, &left, &error), &error);
    const double start = bench_seconds();
    bench_check(basalt_store_open(path, NULL, &store, &error), &error);
    const double open_s = bench_seconds() - start;
    bench_check(basalt_store_get_stats(store, &stats, &error), &error);
    const double megabytes = (double)left.log_records_bytes / 1e6;
    printf("{\"log_mb\": %.1f, \"open_s\": %.3f, \"mb_s\": %.1f, \"rows_lost\": %llu}\n", megabytes,
        open_s, megabytes / open_s, (unsigned long long)(count * BENCH_BATCH_ROWS - stats.rows));
    bench_check(basalt_store_close(&store, &error), &error);
    return stats.rows == count * BENCH_BATCH_ROWS ? 0 : 1;
}
