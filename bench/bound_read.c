/* bound_read.c - what a reader cannot beat by much: a pool of threads that takes chunk after chunk with
 * pread, the codec's own library and a shuffle undone, knowing beforehand where each lies.
 *
 *   --chunks FILE   lines "offset stored_bytes", in the order of the output
 *   --raw N         bytes of a chunk; --shuffle N: element bytes, 0 none
 *   --codec C       none, gzip, lzf, lz4, zstd or blosc */
#include "bench.h"

#include <blosc.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <lz4.h>
#include <lzf.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define REPEATS_MAX 1001

struct chunk {
    unsigned long long offset, bytes;
};

struct state { /* of a thread */
    struct libdeflate_decompressor *inflater;
    ZSTD_DCtx *zstd;
};

typedef bool (*decode_fn)(struct state *state, const uint8_t *stored, size_t bytes, uint8_t *to);

static struct chunk *chunks;
static size_t chunk_count, raw_bytes, shuffle_bytes;
static decode_fn decode;
static int fd;
static uint8_t *out;
static atomic_size_t next_chunk;

/* ---- codecs ------------------------------------------------------------------------------------- */

static bool gzip(struct state *state, const uint8_t *stored, size_t bytes, uint8_t *to)
{
    return !libdeflate_zlib_decompress(state->inflater, stored, bytes, to, raw_bytes, NULL);
}

static bool lzf(struct state *state, const uint8_t *stored, size_t bytes, uint8_t *to)
{
    (void)state;
    return lzf_decompress(stored, (unsigned)bytes, to, (unsigned)raw_bytes) == raw_bytes;
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Eight bytes of size and four of block size, then blocks behind their sizes. */
static bool lz4(struct state *state, const uint8_t *stored, size_t bytes, uint8_t *to)
{
    const size_t block = big_endian(stored + 8);
    size_t made = 0;
    (void)state;
    for (size_t at = 12; made < raw_bytes && at + 4 <= bytes;) {
        const size_t size = big_endian(stored + at);
        const size_t room = block < raw_bytes - made ? block : raw_bytes - made;
        at += 4;
        if (size == room)
            memcpy(to + made, stored + at, size);
        else if (LZ4_decompress_safe((const char *)stored + at, (char *)to + made, (int)size,
                     (int)room) != (int)room)
            return false;
        made += room;
        at += size;
    }
    return made == raw_bytes;
}

static bool zstd(struct state *state, const uint8_t *stored, size_t bytes, uint8_t *to)
{
    return ZSTD_decompressDCtx(state->zstd, to, raw_bytes, stored, bytes) == raw_bytes;
}

static bool blosc(struct state *state, const uint8_t *stored, size_t bytes, uint8_t *to)
{
    (void)state;
    (void)bytes;
    return blosc_decompress_ctx(stored, to, raw_bytes, 1) == (int)raw_bytes;
}

static decode_fn codec_of(const char *name)
{
    static const struct {
        const char *name;
        decode_fn decode;
    } codecs[] = {{"gzip", gzip}, {"lzf", lzf}, {"lz4", lz4}, {"zstd", zstd}, {"blosc", blosc}};
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (!strcmp(name, codecs[i].name)) return codecs[i].decode;
    if (!strcmp(name, "none")) return NULL;
    fprintf(stderr, "codec %s is not known\n", name);
    exit(2);
}

/* ---- the pool ----------------------------------------------------------------------------------- */

static void unshuffle(const uint8_t *from, uint8_t *to)
{
    const size_t count = raw_bytes / shuffle_bytes;
    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < shuffle_bytes; b++) to[i * shuffle_bytes + b] = from[b * count + i];
}

static void *work(void *argument)
{
    struct state state = {libdeflate_alloc_decompressor(), ZSTD_createDCtx()};
    uint8_t *stored = malloc(raw_bytes * 2 + 4096), *planes = malloc(raw_bytes);
    (void)argument;
    if (!state.inflater || !state.zstd || !stored || !planes) abort();
    for (size_t i; (i = atomic_fetch_add(&next_chunk, 1)) < chunk_count;) {
        uint8_t *to = out + i * raw_bytes;
        uint8_t *in = decode ? stored : to;
        if (pread(fd, in, chunks[i].bytes, (off_t)chunks[i].offset) != (ssize_t)chunks[i].bytes)
            abort();
        if (!decode) continue;
        if (!decode(&state, stored, chunks[i].bytes, shuffle_bytes ? planes : to)) abort();
        if (shuffle_bytes) unshuffle(planes, to);
    }
    libdeflate_free_decompressor(state.inflater);
    ZSTD_freeDCtx(state.zstd);
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

static void read_list(const char *path)
{
    struct chunk chunk;
    FILE *list = fopen(path, "r");
    if (!list) exit(2);
    while (fscanf(list, "%llu %llu", &chunk.offset, &chunk.bytes) == 2) {
        if (!(chunk_count & (chunk_count - 1)))
            chunks = realloc(chunks, (chunk_count ? chunk_count * 2 : 1) * sizeof *chunks);
        if (!chunks) abort();
        chunks[chunk_count++] = chunk;
    }
    fclose(list);
}

int main(int argc, char **argv)
{
    const uint64_t repeats = bench_number(argc, argv, "--repeat", 5);
    static double seconds[REPEATS_MAX];
    long threads = sysconf(_SC_NPROCESSORS_ONLN);

    raw_bytes = bench_number(argc, argv, "--raw", 0);
    shuffle_bytes = bench_number(argc, argv, "--shuffle", 0);
    decode = codec_of(bench_text(argc, argv, "--codec", "none"));
    fd = open(bench_text(argc, argv, "--path", ""), O_RDONLY);
    read_list(bench_text(argc, argv, "--chunks", ""));
    if (fd < 0 || !raw_bytes || repeats < 1 || repeats >= REPEATS_MAX) return 2;
    if (threads > 64) threads = 64;
    out = bench_memory(chunk_count * raw_bytes);
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
