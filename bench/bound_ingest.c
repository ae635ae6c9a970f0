/* bound_ingest.c - the bound of ingest.c: the same copies, writes and syncs and nothing else. A batch
 * is copied into a block and from there into a mapped log made ahead; two more threads gather 64 MiB
 * of blocks into chunks of 1 MiB a column (shuffled and deflated with --level), write and sync them.
 * What Basalt costs beyond this is overhead of ours. */
#include "bench.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEGMENT ((size_t)64 << 20)
#define CHUNK ((size_t)1 << 20)
#define BLOCKS (SEGMENT / BENCH_BATCH_BYTES)
#define PIECE (BENCH_BATCH_ROWS * sizeof(double))

static char *blocks[2][BLOCKS];
static size_t block_count[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool full[2], finished;
static int data_file, level;
static off_t data_end;

struct half {
    unsigned side, first;
};

static size_t deflate_chunk(struct libdeflate_compressor *compressor, const char *raw, size_t used,
    char *spare, char *packed)
{
    const size_t rows = used / 8;
    for (size_t byte = 0; byte < 8; byte++) {
        for (size_t i = 0; i < rows; i++) spare[byte * rows + i] = raw[i * 8 + byte];
    }
    return libdeflate_zlib_compress(compressor, spare, used, packed, 2 * CHUNK);
}

static void *write_half(void *argument)
{
    const struct half *half = argument;
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(level ? level : 1);
    char *raw = malloc(CHUNK), *spare = malloc(CHUNK), *packed = malloc(2 * CHUNK);
    if (!raw || !spare || !packed || !compressor) abort();
    for (unsigned column = half->first; column < BENCH_COLUMNS; column += 2) {
        size_t used = 0;
        for (size_t i = 0; i <= block_count[half->side]; i++) {
            if (i == block_count[half->side] || used + PIECE > CHUNK) {
                const size_t count =
                    level ? deflate_chunk(compressor, raw, used, spare, packed) : used;
                const off_t at = __atomic_fetch_add(&data_end, (off_t)count, __ATOMIC_RELAXED);
                if (pwrite(data_file, level ? packed : raw, count, at) < 0) abort();
                used = 0;
            }
            if (i == block_count[half->side]) break;
            memcpy(raw + used, blocks[half->side][i] + column * PIECE, PIECE);
            used += PIECE;
        }
    }
    free(raw), free(spare), free(packed);
    libdeflate_free_compressor(compressor);
    return NULL;
}

static void *checkpoint(void *unused)
{
    (void)unused;
    for (unsigned side = 0;; side ^= 1) {
        pthread_mutex_lock(&lock);
        while (!full[side] && !finished) pthread_cond_wait(&changed, &lock);
        const bool work = full[side];
        pthread_mutex_unlock(&lock);
        if (!work) return NULL;
        struct half halves[2] = {{side, 0}, {side, 1}};
        pthread_t other;
        pthread_create(&other, NULL, write_half, &halves[1]);
        write_half(&halves[0]);
        pthread_join(other, NULL);
        if (fdatasync(data_file)) abort();
        for (size_t i = 0; i < block_count[side]; i++) free(blocks[side][i]);
        pthread_mutex_lock(&lock);
        full[side] = false;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
}

static char *make_log(const char *path)
{
    const int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || posix_fallocate(file, 0, SEGMENT)) abort();
    char *memory = mmap(NULL, SEGMENT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (memory == MAP_FAILED || fdatasync(file)) abort();
    close(file);
    unlink(path);
    return memory;
}

/* Hands `side` to the checkpointer and waits until the other one is empty. */
static void switch_side(unsigned side)
{
    pthread_mutex_lock(&lock);
    full[side] = true;
    pthread_cond_broadcast(&changed);
    while (full[side ^ 1]) pthread_cond_wait(&changed, &lock);
    block_count[side ^ 1] = 0;
    pthread_mutex_unlock(&lock);
}

static void append_all(const char *log_path, uint64_t wanted)
{
    struct bench_batches *batches = bench_batches_make();
    char *log = make_log(log_path);
    size_t log_used = 0;
    unsigned side = 0;
    for (uint64_t i = 0; i < wanted; i++) {
        char *block = malloc(BENCH_BATCH_BYTES);
        if (!block) abort();
        for (unsigned c = 0; c < BENCH_COLUMNS; c++)
            memcpy(block + c * PIECE, bench_column(batches, i, c), PIECE);
        if (log_used + BENCH_BATCH_BYTES > SEGMENT) {
            munmap(log, SEGMENT);
            log = make_log(log_path);
            log_used = 0;
        }
        memcpy(log + log_used, block, BENCH_BATCH_BYTES);
        log_used += BENCH_BATCH_BYTES;
        blocks[side][block_count[side]++] = block;
        if (block_count[side] < BLOCKS) continue;
        switch_side(side);
        side ^= 1;
    }
    switch_side(side);
    switch_side(side ^ 1);
    munmap(log, SEGMENT);
    bench_batches_free(batches);
}

int main(int argc, char **argv)
{
    const char *path = bench_text(argc, argv, "--path", "bound.bin");
    const uint64_t wanted =
        bench_number(argc, argv, "--megabytes", 1024) * 1000000 / BENCH_BATCH_BYTES;
    char log_path[4096];
    pthread_t worker;

    level = (int)bench_number(argc, argv, "--level", 0);
    snprintf(log_path, sizeof log_path, "%s-log", path);
    data_file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (data_file < 0) return 1;
    const double start = bench_seconds();
    pthread_create(&worker, NULL, checkpoint, NULL);
    append_all(log_path, wanted);
    pthread_mutex_lock(&lock);
    finished = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(worker, NULL);
    const double whole = bench_seconds() - start;
    printf("{\"whole_s\": %.4f, \"whole_mb_s\": %.1f}\n", whole,
        (double)(wanted * BENCH_BATCH_BYTES) / 1e6 / whole);
    close(data_file);
    unlink(path);
    return 0;
}
