/* ingest.c - 8 float64 columns in batches of 1,000 rows, `buffered`, until --megabytes are in, with
 * --level 0 (none, fletcher32) or 1 to 9 (shuffle + deflate); with --rate N only N batches a second.
 * Prints append and whole times and the latency of single appends as one JSON line. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    const char *path = bench_text(argc, argv, "--path", "ingest.h5");
    const uint64_t wanted =
        bench_number(argc, argv, "--megabytes", 1024) * 1000000 / BENCH_BATCH_BYTES;
    const uint64_t rate = bench_number(argc, argv, "--rate", 0);
    basalt_error error = {0};
    basalt_store_stats stats;
    struct bench_batches *batches = bench_batches_make();
    double *latency = calloc(wanted + 1, sizeof *latency);
    basalt_store *store = bench_open(path, NULL, (int)bench_number(argc, argv, "--level", 0));

    if (!latency) return 1;
    const double start = bench_seconds();
    for (uint64_t i = 0; i < wanted; i++) {
        if (rate) bench_sleep_until(start + (double)i / (double)rate);
        const double before = bench_seconds();
        bench_check(
            basalt_append(store, "wave", bench_batch(batches, i), NULL, BASALT_BUFFERED, &error),
            &error);
        latency[i] = bench_seconds() - before;
    }
    const double append = bench_seconds() - start;
    bench_check(basalt_store_get_stats(store, &stats, &error), &error);
    bench_check(basalt_store_close(&store, &error), &error);
    const double whole = bench_seconds() - start;

    const double megabytes = (double)(wanted * BENCH_BATCH_BYTES) / 1e6;
    printf("{\"megabytes\": %.0f, \"append_s\": %.4f, \"whole_s\": %.4f, \"append_mb_s\": %.1f, "
           "\"whole_mb_s\": %.1f, ",
        megabytes, append, whole, megabytes / append, megabytes / whole);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, ",
        bench_quantile(latency, wanted, 0.5) * 1e6, bench_quantile(latency, wanted, 0.99) * 1e6,
        bench_quantile(latency, wanted, 0.999) * 1e6, bench_quantile(latency, wanted, 1.0) * 1e6);
    printf("\"stalls\": %llu, \"checkpoints\": %llu, \"checkpoint_max_ms\": %.1f}\n",
        (unsigned long long)stats.stalls, (unsigned long long)stats.checkpoints,
        (double)stats.checkpoint_max_ns / 1e6);
    bench_batches_free(batches);
    free(latency);
    return 0;
}
