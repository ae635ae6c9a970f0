/* h5_cache.c - decoded chunks kept between small reads: each is decoded once, however many ask.
 *
 * INVARIANTS (all fields are guarded by `mutex`, but the bytes of a chunk)
 *   (1) A chunk is decoding, ready, or gone. While it decodes only the thread that was told MINE
 *       touches its bytes; once it is ready nobody writes them.
 *   (2) A thread that has a chunk decoding waits for nothing: it reads, decodes, and says so. So who
 *       waits for it waits for a running thread, and no circle can close.
 *   (3) A chunk is freed only when no one has it pinned. `bytes` counts all that are in the table, and
 *       is over `bytes_max` at no time.
 *   (4) The mutex is held for a few pointer moves, never while a chunk is read or decoded. */
#include "h5/read_internal.h"

#define BUCKETS 8192  /* a power of two */
#define CHUNK_SHARE 4 /* a chunk of more than that part of the limit is not kept */

enum state { DECODING, READY, GONE };

struct bs_h5_cached {
    uint64_t dataset, tile, byte_count;
    enum state state;
    unsigned pins;
    struct bs_h5_cached *next_in_bucket;
    struct bs_h5_cached *newer, *older; /* of those in the table */
    uint8_t *bytes;
};

struct bs_h5_cache {
    bs_mutex mutex;
    bs_condition changed; /* a chunk is not decoding any more */
    uint64_t bytes, bytes_max;
    uint64_t chunks, decoded, served;
    struct bs_h5_cached *newest, *oldest;
    struct bs_h5_cached *buckets[BUCKETS];
};

basalt_status bs_h5_cache_create(
    uint64_t bytes_max, struct bs_h5_cache **out_cache, basalt_error *err)
{
    struct bs_h5_cache *cache = bs_alloc_zeroed(1, sizeof *cache);

    *out_cache = cache;
    if (!cache) return bs_fail_memory(err, sizeof *cache);
    bs_mutex_init(&cache->mutex);
    bs_condition_init(&cache->changed);
    cache->bytes_max = bytes_max;
    return BASALT_OK;
}

static void free_chunk(struct bs_h5_cached *cached)
{
    bs_free(cached->bytes);
    bs_free(cached);
}

void bs_h5_cache_free(struct bs_h5_cache *cache)
{
    if (!cache) return;
    while (cache->newest) {
        struct bs_h5_cached *cached = cache->newest;
        assert(!cached->pins);
        cache->newest = cached->older;
        free_chunk(cached);
    }
    bs_condition_destroy(&cache->changed);
    bs_mutex_destroy(&cache->mutex);
    bs_free(cache);
}

uint64_t bs_h5_cache_limit(const struct bs_h5_cache *cache)
{
    return cache->bytes_max;
}

void bs_h5_cache_stats(struct bs_h5_cache *cache, struct bs_h5_cache_stats *out_stats)
{
    bs_mutex_lock(&cache->mutex);
    *out_stats = (struct bs_h5_cache_stats){
        cache->bytes, cache->bytes_max, cache->chunks, cache->decoded, cache->served};
    bs_mutex_unlock(&cache->mutex);
}

/* ---- the table: all under the mutex ------------------------------------------------------------- */

static struct bs_h5_cached **bucket_of(struct bs_h5_cache *cache, uint64_t dataset, uint64_t tile)
{
    const uint64_t mixed = (dataset * 0x9E3779B97F4A7C15u ^ tile) * 0xD6E8FEB86659FD93u;
    return &cache->buckets[(mixed >> 40) & (BUCKETS - 1)];
}

static struct bs_h5_cached *find(struct bs_h5_cache *cache, uint64_t dataset, uint64_t tile)
{
    struct bs_h5_cached *cached = *bucket_of(cache, dataset, tile);
    while (cached && (cached->dataset != dataset || cached->tile != tile))
        cached = cached->next_in_bucket;
    return cached;
}

static void unlink_age(struct bs_h5_cache *cache, struct bs_h5_cached *cached)
{
    *(cached->newer ? &cached->newer->older : &cache->newest) = cached->older;
    *(cached->older ? &cached->older->newer : &cache->oldest) = cached->newer;
}

static void link_newest(struct bs_h5_cache *cache, struct bs_h5_cached *cached)
{
    cached->newer = NULL;
    cached->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = cached;
    cache->newest = cached;
}

static void insert(struct bs_h5_cache *cache, struct bs_h5_cached *cached)
{
    struct bs_h5_cached **bucket = bucket_of(cache, cached->dataset, cached->tile);
    cached->next_in_bucket = *bucket;
    *bucket = cached;
    link_newest(cache, cached);
    cache->bytes += cached->byte_count;
    cache->chunks++;
}

static void take_out(struct bs_h5_cache *cache, struct bs_h5_cached *cached)
{
    struct bs_h5_cached **link = bucket_of(cache, cached->dataset, cached->tile);
    while (*link != cached) link = &(*link)->next_in_bucket;
    *link = cached->next_in_bucket;
    unlink_age(cache, cached);
    cache->bytes -= cached->byte_count;
    cache->chunks--;
    cached->state = GONE;
}

/* Takes out the oldest that nobody has until `bytes` more fit; they are given as a list. */
static bool make_room(struct bs_h5_cache *cache, uint64_t bytes, struct bs_h5_cached **out_gone)
{
    struct bs_h5_cached *cached = cache->oldest;
    *out_gone = NULL;
    while (cached && bytes > cache->bytes_max - cache->bytes) {
        struct bs_h5_cached *newer = cached->newer;
        if (!cached->pins) {
            take_out(cache, cached);
            cached->older = *out_gone;
            *out_gone = cached;
        }
        cached = newer;
    }
    return bytes <= cache->bytes_max - cache->bytes;
}

/* ---- entry points ------------------------------------------------------------------------------- */

static struct bs_h5_cached *make_chunk(uint64_t dataset, uint64_t tile, uint64_t bytes)
{
    struct bs_h5_cached *cached = bs_alloc_zeroed(1, sizeof *cached);
    if (!cached) return NULL;
    *cached =
        (struct bs_h5_cached){.dataset = dataset, .tile = tile, .byte_count = bytes, .pins = 1};
    cached->bytes = bs_alloc((size_t)bytes);
    if (cached->bytes) return cached;
    bs_free(cached);
    return NULL;
}

/* The chunk, pinned, if it is there; *out_busy if it is being decoded and `wait` is false. */
static struct bs_h5_cached *pin(
    struct bs_h5_cache *cache, uint64_t dataset, uint64_t tile, bool wait, bool *out_busy)
{
    struct bs_h5_cached *cached = find(cache, dataset, tile);
    while (cached && cached->state == DECODING && wait) {
        bs_condition_wait(&cache->changed, &cache->mutex);
        cached = find(cache, dataset, tile);
    }
    *out_busy = cached && cached->state == DECODING;
    if (!cached || *out_busy) return NULL;
    cached->pins++;
    cache->served++;
    if (cached->newer) {
        unlink_age(cache, cached);
        link_newest(cache, cached);
    }
    return cached;
}

enum bs_h5_cache_answer bs_h5_cache_peek(
    struct bs_h5_cache *cache, uint64_t dataset, uint64_t tile, struct bs_h5_cached **out)
{
    bool busy = false;
    bs_mutex_lock(&cache->mutex);
    *out = pin(cache, dataset, tile, false, &busy);
    bs_mutex_unlock(&cache->mutex);
    return *out ? BS_H5_CACHE_FOUND : BS_H5_CACHE_FULL;
}

enum bs_h5_cache_answer bs_h5_cache_get(struct bs_h5_cache *cache, uint64_t dataset, uint64_t tile,
    uint64_t bytes, bool wait, struct bs_h5_cached **out)
{
    struct bs_h5_cached *fresh = NULL, *gone = NULL;
    enum bs_h5_cache_answer answer = BS_H5_CACHE_FULL;
    bool busy = false;

    if (bytes > cache->bytes_max / CHUNK_SHARE) return BS_H5_CACHE_FULL;
    bs_mutex_lock(&cache->mutex);
    *out = pin(cache, dataset, tile, wait, &busy);
    if (!*out && !busy) { /* memory is asked for without the mutex; somebody may have come first */
        bs_mutex_unlock(&cache->mutex);
        fresh = make_chunk(dataset, tile, bytes);
        bs_mutex_lock(&cache->mutex);
        *out = pin(cache, dataset, tile, wait, &busy);
    }
    if (*out) {
        answer = BS_H5_CACHE_FOUND;
    } else if (busy) {
        answer = BS_H5_CACHE_BUSY;
    } else if (fresh && make_room(cache, bytes, &gone)) {
        insert(cache, fresh);
        *out = fresh;
        fresh = NULL;
        answer = BS_H5_CACHE_MINE;
    }
    bs_mutex_unlock(&cache->mutex);
    if (fresh) free_chunk(fresh);
    while (gone) {
        struct bs_h5_cached *older = gone->older;
        free_chunk(gone);
        gone = older;
    }
    return answer;
}

uint8_t *bs_h5_cached_bytes(struct bs_h5_cached *cached)
{
    return cached->bytes;
}

void bs_h5_cache_decoded(struct bs_h5_cache *cache, struct bs_h5_cached *cached, bool ok)
{
    bs_mutex_lock(&cache->mutex);
    assert(cached->state == DECODING);
    cached->state = READY;
    cache->decoded += ok;
    if (!ok) take_out(cache, cached);
    bs_condition_broadcast(&cache->changed);
    bs_mutex_unlock(&cache->mutex);
}

void bs_h5_cache_release(struct bs_h5_cache *cache, struct bs_h5_cached *cached)
{
    bs_mutex_lock(&cache->mutex);
    cached->pins--;
    const bool last = cached->state == GONE && !cached->pins;
    bs_mutex_unlock(&cache->mutex);
    if (last) free_chunk(cached);
}
