/* kill_writer.c - the process that is killed: appends until it dies, says what was acknowledged.
 *
 * Arguments: PATH, then numbers: checkpoint age in ms, memtable bytes, log segment bytes, grace in
 * ms, commits that each writer has already made. One thread a writer, and one that asks for
 * checkpoints. For every commit that returned OK, 8 bytes go to descriptor 3: writer, number of
 * commits made (both u32). A pipe takes 8 bytes whole or not at all. */
#include "tests/kill/rows.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REPORT_DESCRIPTOR 3

struct writer {
    basalt_store *store;
    unsigned number;
    uint64_t next_commit;
    struct batch batch;
};

static void stop(const char *what, const basalt_error *err)
{
    fprintf(stderr, "writer process: %s: %s (%s)\n", what, err->message,
        basalt_status_name(err->status));
    _exit(3);
}

static void acknowledge(unsigned writer, uint64_t commits)
{
    const uint32_t report[2] = {writer, (uint32_t)commits};
    ssize_t put;
    do {
        put = write(REPORT_DESCRIPTOR, report, sizeof report);
    } while (put < 0 && errno == EINTR);
    if (put != (ssize_t)sizeof report) _exit(4);
}

static void commit_one(struct writer *self)
{
    const unsigned families = families_of(self->number);
    const basalt_durability durability = durability_of(self->number, self->next_commit);
    basalt_error err = {0};
    basalt_txn *txn = NULL;
    const bool single = (families & (families - 1)) == 0;

    if (!single && basalt_txn_begin(self->store, &txn, &err)) stop("begin", &err);
    for (unsigned family = 0; family < FAMILY_COUNT; family++) {
        if (!(families >> family & 1)) continue;
        struct batch *batch = &self->batch;
        batch_make(batch, self->number, self->next_commit, family);
        const basalt_status status = single
            ? basalt_append(self->store, family_names[family], &batch->array, &batch->schema,
                  durability, &err)
            : basalt_txn_append(txn, family_names[family], &batch->array, &batch->schema, &err);
        if (status) stop("append", &err);
    }
    if (!single && basalt_txn_commit(&txn, durability, &err)) stop("commit", &err);
    self->next_commit++;
    acknowledge(self->number, self->next_commit);
}

static void *write_forever(void *context)
{
    for (;;) commit_one(context);
    return NULL;
}

static void make_families(basalt_store *store)
{
    static struct batch batch;
    basalt_error err = {0};
    for (unsigned family = 0; family < FAMILY_COUNT; family++) {
        basalt_family_options options;
        basalt_family_options_init(&options, sizeof options);
        options.compression_level = family % 2 ? 0 : 1;
        batch_make(&batch, 0, 0, family);
        const basalt_status status =
            basalt_family_create(store, family_names[family], &batch.schema, &options, &err);
        if (status && status != BASALT_EXISTS) stop("create a family", &err);
    }
}

static void checkpoint_forever(basalt_store *store)
{
    basalt_error err = {0};
    for (;;) {
        const struct timespec pause = {.tv_nsec = 7000000};
        nanosleep(&pause, NULL);
        if (basalt_store_checkpoint(store, &err)) stop("checkpoint", &err);
    }
}

int main(int argc, char **argv)
{
    static struct writer writers[WRITER_COUNT];
    basalt_store_options options;
    basalt_store *store = NULL;
    basalt_error err = {0};

    if (argc != 6 + WRITER_COUNT) return 2;
    basalt_store_options_init(&options, sizeof options);
    options.checkpoint_age_ms = strtoull(argv[2], NULL, 10);
    options.memtable_bytes_max = strtoull(argv[3], NULL, 10);
    options.log_segment_bytes = strtoull(argv[4], NULL, 10);
    options.grace_ms = strtoull(argv[5], NULL, 10);
    if (basalt_store_open(argv[1], &options, &store, &err)) stop("open", &err);
    make_families(store);
    for (unsigned i = 0; i < WRITER_COUNT; i++) {
        pthread_t thread;
        writers[i].store = store;
        writers[i].number = i;
        writers[i].next_commit = strtoull(argv[6 + i], NULL, 10);
        if (pthread_create(&thread, NULL, write_forever, &writers[i])) return 5;
    }
    checkpoint_forever(store);
}
