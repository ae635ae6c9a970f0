/* instruments.c - the instruments that a recorder knows, by name. */
#include "recorder/recorder_internal.h"

#define BUCKETS_MIN ((size_t)16)

static size_t bucket_of(const struct bs_instruments *instruments, const char *name)
{
    return bs_crc32c(0, name, strlen(name)) & (instruments->bucket_count - 1);
}

struct bs_instrument *bs_instruments_find(
    const struct bs_instruments *instruments, const char *name)
{
    if (!instruments->bucket_count) return NULL;
    struct bs_instrument *at = instruments->buckets[bucket_of(instruments, name)];
    while (at && strcmp(at->name, name) != 0) at = at->next;
    return at;
}

static basalt_status grow(struct bs_instruments *instruments, basalt_error *err)
{
    const size_t count = BS_MAX(BUCKETS_MIN, instruments->bucket_count * 2);
    struct bs_instruments larger = {.bucket_count = count, .count = instruments->count};
    larger.buckets = bs_alloc_zeroed(count, sizeof *larger.buckets);
    if (!larger.buckets) return bs_fail_memory(err, count * sizeof *larger.buckets);
    for (size_t i = 0; i < instruments->bucket_count; i++) {
        struct bs_instrument *at = instruments->buckets[i];
        while (at) {
            struct bs_instrument *next = at->next;
            struct bs_instrument **bucket = &larger.buckets[bucket_of(&larger, at->name)];
            at->next = *bucket;
            *bucket = at;
            at = next;
        }
    }
    bs_free(instruments->buckets);
    *instruments = larger;
    return BASALT_OK;
}

basalt_status bs_instruments_get(struct bs_instruments *instruments, const char *name,
    struct bs_instrument **out_instrument, basalt_error *err)
{
    *out_instrument = bs_instruments_find(instruments, name);
    if (*out_instrument) return BASALT_OK;
    if (instruments->count >= instruments->bucket_count) {
        const basalt_status status = grow(instruments, err);
        if (status) return status;
    }
    struct bs_instrument *instrument = bs_alloc_zeroed(1, sizeof *instrument);
    if (!instrument) return bs_fail_memory(err, sizeof *instrument);
    instrument->name = bs_copy_string(name);
    if (!instrument->name) {
        bs_free(instrument);
        return bs_fail_memory(err, strlen(name));
    }
    struct bs_instrument **bucket = &instruments->buckets[bucket_of(instruments, name)];
    instrument->next = *bucket;
    *bucket = instrument;
    instruments->count++;
    *out_instrument = instrument;
    return BASALT_OK;
}

void bs_instruments_free(struct bs_instruments *instruments)
{
    for (size_t i = 0; i < instruments->bucket_count; i++) {
        struct bs_instrument *at = instruments->buckets[i];
        while (at) {
            struct bs_instrument *next = at->next;
            bs_kept_free(at);
            bs_schema_release(at->schema);
            bs_free(at->name);
            bs_free(at);
            at = next;
        }
    }
    bs_free(instruments->buckets);
    *instruments = (struct bs_instruments){0};
}
