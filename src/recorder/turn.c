/* turn.c - what the recorder's thread does: take all that waits, commit it as one, tell everybody.
 *
 * A turn is one transaction with one commit for every message in it, metadata and the families that
 * first batches make included, so a family, its attributes and its rows appear together. If the
 * transaction fails, nothing of it happened; then each message gets one of its own, in order, and
 * only those that are at fault fail. After OUTCOME_UNKNOWN nothing is tried again: the log is
 * broken, and a second try could store rows twice. And where the first of its own fails for want of
 * something that all of them need, a disk that is full, say, the rest is not tried: each try would
 * wait for a whole checkpoint to fail.
 *
 * A Flush, and the automatic one, is a checkpoint after the commit. The counters of what was dropped
 * go into the file as attributes, at most once a second, with every Flush, and at the stop. */
#include "recorder/recorder_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- one message into a transaction ---------------------------------------------------------- */

static void look_up(struct bs_recorder *recorder, const char *name,
    struct bs_instrument **out_instrument, struct bs_schema **out_schema)
{
    bs_mutex_lock(&recorder->lock);
    *out_instrument = bs_instruments_find(&recorder->instruments, name);
    *out_schema = *out_instrument && (*out_instrument)->schema
        ? bs_schema_retain((*out_instrument)->schema)
        : NULL;
    bs_mutex_unlock(&recorder->lock);
}

/* *out_made: the family is there, or made by this transaction; else its schema is not known yet. */
static basalt_status ensure_family(struct bs_recorder *recorder, struct bs_txn *txn,
    const char *name, struct bs_instrument **out_instrument, bool *out_made, basalt_error *err)
{
    struct bs_schema *schema = NULL;
    struct ArrowSchema exported = {.release = NULL};
    basalt_status status = BASALT_OK;

    look_up(recorder, name, out_instrument, &schema);
    struct bs_instrument *instrument = *out_instrument;
    assert(instrument); /* made when the message was accepted */
    *out_made = instrument->made || instrument->making || schema;
    if (instrument->made || instrument->making || !schema) goto out;
    BS_TRY(bs_schema_export(schema, &exported, err));
    BS_TRY(bs_txn_create_family(txn, name, &exported, &recorder->options.family, err));
    instrument->making = true;
    recorder->kept_changed |= instrument->kept != NULL;
    BS_TRY(bs_kept_apply(txn, instrument, err));
out:
    if (exported.release) exported.release(&exported);
    bs_schema_release(schema);
    return status;
}

static basalt_status add_batch(
    struct bs_recorder *recorder, struct bs_txn *txn, struct bs_message *message, basalt_error *err)
{
    struct bs_instrument *instrument = NULL;
    bool made = false;
    basalt_status status =
        ensure_family(recorder, txn, message->instrument, &instrument, &made, err);
    assert(status || made);
    const uint64_t before = bs_txn_bytes(txn);
    for (size_t i = 0; !status && i < message->array_count; i++) {
        status = bs_txn_append(txn, message->instrument, &message->arrays[i], NULL, err);
    }
    message->encoded_bytes = bs_txn_bytes(txn) - before;
    return status;
}

static basalt_status add_instrument_metadata(struct bs_recorder *recorder, struct bs_txn *txn,
    const struct bs_message *message, basalt_error *err)
{
    struct bs_instrument *instrument = NULL;
    bool made = false;
    const basalt_status status =
        ensure_family(recorder, txn, message->instrument, &instrument, &made, err);
    if (status) return status;
    if (made)
        return bs_txn_set_attribute(txn, message->instrument, message->key, message->value, err);
    recorder->kept_changed = true;
    return bs_kept_add(instrument, message->key, message->value, false, err);
}

static basalt_status add_message(
    struct bs_recorder *recorder, struct bs_txn *txn, struct bs_message *message, basalt_error *err)
{
    switch (message->kind) {
    case BS_MESSAGE_BATCH: return add_batch(recorder, txn, message, err);
    case BS_MESSAGE_METADATA:
        if (message->instrument) return add_instrument_metadata(recorder, txn, message, err);
        return bs_txn_set_attribute(txn, NULL, message->key, message->value, err);
    case BS_MESSAGE_FLUSH: break;
    }
    return BASALT_OK;
}

/* ---- a transaction --------------------------------------------------------------------------- */

static void end_making(struct bs_recorder *recorder, struct bs_message *from,
    const struct bs_message *end, bool committed)
{
    bs_mutex_lock(&recorder->lock);
    for (struct bs_message *at = from; at != end; at = at->next) {
        struct bs_instrument *instrument =
            at->instrument ? bs_instruments_find(&recorder->instruments, at->instrument) : NULL;
        if (!instrument) continue;
        bs_kept_settle(instrument, committed);
        if (!instrument->making) continue;
        instrument->making = false;
        if (!committed) continue;
        instrument->made = true;
        bs_kept_free(instrument);
        if (instrument->batches_dropped != instrument->batches_told) recorder->drops_untold = true;
    }
    bs_mutex_unlock(&recorder->lock);
}

/* Messages [from, end) as one transaction. */
static basalt_status commit_messages(struct bs_recorder *recorder, struct bs_message *from,
    const struct bs_message *end, basalt_error *err)
{
    struct bs_txn *txn = NULL;
    bool anything = false;
    basalt_status status = BASALT_OK;

    for (struct bs_message *at = from; at != end; at = at->next) {
        anything |= at->kind != BS_MESSAGE_FLUSH;
    }
    if (!anything) return BASALT_OK;
    recorder->kept_changed = false;
    BS_TRY(bs_txn_begin(recorder->store, &txn, err));
    for (struct bs_message *at = from; at != end; at = at->next) {
        BS_TRY(add_message(recorder, txn, at, err));
    }
    if (recorder->kept_changed) BS_TRY(bs_kept_write(recorder, txn, err));
    BS_TRY(bs_txn_commit(&txn, recorder->options.durability, err));
    recorder->unflushed = true;
out:
    bs_txn_rollback(&txn);
    end_making(recorder, from, end, !status);
    return status;
}

/* Not the message's fault, and not over with the next one. */
static bool is_of_all(basalt_status status)
{
    return status == BASALT_OUTCOME_UNKNOWN || status == BASALT_NO_SPACE ||
        status == BASALT_IO_ERROR || status == BASALT_CONFLICT || status == BASALT_READ_ONLY;
}

static void commit_chain(struct bs_recorder *recorder, struct bs_message *chain)
{
    basalt_error error = {0};
    error.status = commit_messages(recorder, chain, NULL, &error);
    if (!error.status) return;
    bool final = error.status == BASALT_OUTCOME_UNKNOWN || !chain->next;
    for (struct bs_message *at = chain; at; at = at->next) {
        if (at->kind == BS_MESSAGE_FLUSH) continue; /* it speaks for the checkpoint */
        if (final) {
            at->error = error;
        } else {
            at->error.status = commit_messages(recorder, at, at->next, &at->error);
            error = at->error;
            final = is_of_all(error.status);
        }
    }
}

/* ---- counters in the file -------------------------------------------------------------------- */

struct drop_count { /* of one instrument */
    struct bs_instrument *instrument;
    uint64_t batches, rows;
};

static basalt_status set_count(
    struct bs_txn *txn, const char *family, const char *name, uint64_t count, basalt_error *err)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, count);
    return bs_txn_set_attribute(txn, family, name, text, err);
}

static basalt_status set_counts(
    struct bs_txn *txn, const char *family, uint64_t batches, uint64_t rows, basalt_error *err)
{
    const basalt_status status = set_count(txn, family, "dropped_batches", batches, err);
    return status ? status : set_count(txn, family, "dropped_rows", rows, err);
}

/* What the file does not say yet, as one array; its length in *out_count. */
static basalt_status collect_drops(struct bs_recorder *recorder, struct drop_count **out_drops,
    size_t *out_count, uint64_t *out_batches, uint64_t *out_rows, basalt_error *err)
{
    bs_mutex_lock(&recorder->lock);
    const struct bs_instruments *known = &recorder->instruments;
    struct drop_count *drops = bs_alloc_zeroed(known->count + 1, sizeof *drops);
    size_t count = 0;
    for (size_t i = 0; drops && i < known->bucket_count; i++) {
        for (struct bs_instrument *at = known->buckets[i]; at; at = at->next) {
            if (!at->made || at->batches_dropped == at->batches_told) continue;
            drops[count++] = (struct drop_count){at, at->batches_dropped, at->rows_dropped};
        }
    }
    *out_batches = recorder->file_batches_dropped;
    *out_rows = recorder->file_rows_dropped;
    if (drops) recorder->drops_untold = false;
    bs_mutex_unlock(&recorder->lock);
    *out_drops = drops;
    *out_count = count;
    return drops ? BASALT_OK : bs_fail_memory(err, sizeof *drops);
}

static void note_error(struct bs_recorder *recorder, const basalt_error *error)
{
    bs_mutex_lock(&recorder->lock);
    recorder->errors++;
    if (!recorder->first_error.status) recorder->first_error = *error;
    bs_mutex_unlock(&recorder->lock);
}

static basalt_status tell_drops(struct bs_recorder *recorder, basalt_error *err)
{
    struct bs_txn *txn = NULL;
    struct drop_count *drops = NULL;
    size_t count = 0;
    uint64_t batches = 0, rows = 0;
    basalt_status status = BASALT_OK;

    recorder->drops_told_at_ns = bs_now_ns();
    BS_TRY(collect_drops(recorder, &drops, &count, &batches, &rows, err));
    BS_TRY(bs_txn_begin(recorder->store, &txn, err));
    for (size_t i = 0; i < count; i++) {
        BS_TRY(set_counts(txn, drops[i].instrument->name, drops[i].batches, drops[i].rows, err));
    }
    BS_TRY(set_counts(txn, NULL, batches, rows, err));
    BS_TRY(bs_txn_commit(&txn, recorder->options.durability, err));
    for (size_t i = 0; i < count; i++) drops[i].instrument->batches_told = drops[i].batches;
out:
    bs_txn_rollback(&txn);
    bs_free(drops);
    if (status && status != BASALT_OUTCOME_UNKNOWN) { /* again in a second */
        bs_mutex_lock(&recorder->lock);
        recorder->drops_untold = true;
        bs_mutex_unlock(&recorder->lock);
    }
    return status;
}

static void tell_drops_if_due(struct bs_recorder *recorder, bool now)
{
    basalt_error error = {0};
    bs_mutex_lock(&recorder->lock);
    const bool untold = recorder->drops_untold;
    bs_mutex_unlock(&recorder->lock);
    if (!untold) return;
    if (!now && bs_now_ns() < recorder->drops_told_at_ns + BS_DROPS_TELL_NS) return;
    if (tell_drops(recorder, &error)) note_error(recorder, &error);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static bool flush_is_due(const struct bs_recorder *recorder)
{
    const uint64_t interval_ms = recorder->options.auto_flush_interval_ms;
    return interval_ms && recorder->unflushed &&
        (bs_now_ns() - recorder->flushed_at_ns) / 1000000 >= interval_ms;
}

static void flush(struct bs_recorder *recorder, struct bs_message *chain, bool asked)
{
    basalt_error error = {0};
    const basalt_status status = bs_store_checkpoint(recorder->store, &error);
    recorder->flushed_at_ns = bs_now_ns();
    if (!status) recorder->unflushed = false;
    for (struct bs_message *at = chain; status && at; at = at->next) {
        if (at->kind == BS_MESSAGE_FLUSH) at->error = error;
    }
    if (asked) return;
    if (status) note_error(recorder, &error);
    bs_mutex_lock(&recorder->lock);
    if (!status) recorder->flushes++;
    bs_mutex_unlock(&recorder->lock);
}

static void run_turn(struct bs_recorder *recorder, struct bs_message *chain, bool stopping)
{
    bool asked = false;
    for (const struct bs_message *at = chain; at; at = at->next) {
        asked |= at->kind == BS_MESSAGE_FLUSH;
    }
    if (chain) commit_chain(recorder, chain);
    tell_drops_if_due(recorder, asked || stopping);
    if (asked || flush_is_due(recorder)) flush(recorder, chain, asked);
    if (chain) bs_mailbox_end(recorder, chain);
}

void bs_recorder_run(void *argument)
{
    struct bs_recorder *recorder = argument;
    bool stopping = false;
    bs_mutex_lock(&recorder->lock);
    recorder->worker = pthread_self();
    recorder->worker_known = true;
    bs_mutex_unlock(&recorder->lock);
    while (!stopping) {
        struct bs_message *chain = bs_mailbox_take(recorder, &stopping);
        run_turn(recorder, chain, stopping);
    }
}
