/* bound_read.c - what a reader cannot beat by much: a pool of threads that takes chunk after chunk with
 * pread, libdeflate and a shuffle undone, knowing beforehand where each lies.
 *
 *   --chunks FILE   lines "offset stored_bytes", in the order of the output
 *   --raw N         bytes of a chunk; --shuffle N: element bytes, 0 none; --gzip 0 or 1 */
#include "bench.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPEATS_MAX 1001

struct chunk {
    unsigned long long offset, bytes;
};

static struct chunk *chunks;
static size_t chunk_count, raw_bytes, shuffle_bytes;
static bool gzip;
static int fd;
static uint8_t *out;
static atomic_size_t next_chunk;

static void unshuffle(const uint8_t *from, uint8_t *to)
{
    const size_t count = raw_bytes / shuffle_bytes;
    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < shuffle_bytes; b++) to[i * shuffle_bytes + b] = from[b * count + i];
}

static void *work(void *argument)
{
    struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
    uint8_t *stored = malloc(raw_bytes * 2 + 4096), *planes = malloc(raw_bytes);
    (void)argument;
    if (!inflater || !stored || !planes) abort();
    for (size_t i; (i = atomic_fetch_add(&next_chunk, 1)) < chunk_count;) {
        uint8_t *to = out + i * raw_bytes;
        uint8_t *in = gzip ? stored : to;
        if (pread(fd, in, chunks[i].bytes, (off_t)chunks[i].offset) != (ssize_t)chunks[i].bytes)
            abort();
        if (!gzip) continue;
        uint8_t *inflated = shuffle_bytes ? planes : to;
        if (libdeflate_zlib_decompress(
                inflater, stored, chunks[i].bytes, inflated, raw_bytes, NULL))
            abort();
        if (shuffle_bytes) unshuffle(planes, to);
    }
    libdeflate_free_decompressor(inflater);
    free(stored);
    free(planes);
    return NULL;
}

static double run(long threads)
{
    pthread_t pool[64];
    const double begin = bench_seconds();
    atomic_store(&next_chunk, 0);
    for (long i = 1; i < threads; i++) pthread_create(&pool[i], NULL, work, NULL);
    work(NULL);
    for (long i = 1; i < threads; i++) pthread_join(pool[i], NULL);
    return bench_seconds() - begin;
}

int main(int argc, char **argv)
{
    const uint64_t repeats = bench_number(argc, argv, "--repeat", 5);
    static double seconds[REPEATS_MAX];
    struct chunk chunk;
    long threads = sysconf(_SC_NPROCESSORS_ONLN);
    FILE *list = fopen(bench_text(argc, argv, "--chunks", ""), "r");

    raw_bytes = bench_number(argc, argv, "--raw", 0);
    shuffle_bytes = bench_number(argc, argv, "--shuffle", 0);
    gzip = bench_number(argc, argv, "--gzip", 0);
    fd = open(bench_text(argc, argv, "--path", ""), O_RDONLY);
    if (!list || fd < 0 || repeats < 1 || repeats >= REPEATS_MAX) return 2;
    if (threads > 64) threads = 64;
    while (fscanf(list, "%llu %llu", &chunk.offset, &chunk.bytes) == 2) {
        if (!(chunk_count & (chunk_count - 1)))
            chunks = realloc(chunks, (chunk_count ? chunk_count * 2 : 1) * sizeof *chunks);
        if (!chunks) abort();
        chunks[chunk_count++] = chunk;
    }
    fclose(list);
    out = malloc(chunk_count * raw_bytes);
    if (!out) abort();
    memset(out, 1, chunk_count * raw_bytes);
    for (uint64_t i = 0; i <= repeats; i++) {
        const double now = run(threads);
        if (i > 0) seconds[i - 1] = now;
    }
    printf("{\"seconds\": %.9f, \"extra\": 0, \"memory_bytes\": 0}\n",
        bench_quantile(seconds, repeats, 0.5));
    free(out);
    free(chunks);
    close(fd);
    return 0;
}
