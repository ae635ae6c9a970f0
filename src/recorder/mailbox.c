/* mailbox.c - the bounded queue between instruments and the thread that stores.
 *
 * INVARIANTS
 *   (1) queue_messages and queue_bytes count a batch from its acceptance to its end, the turn in
 *       which it is committed included, and never pass the limits. Metadata and Flush are never
 *       refused for want of room: each is bounded by a thread that waits for it.
 *   (2) A message that was accepted ends exactly once: its callback is called, or its waiter woken.
 *       One that was not accepted is the caller's, unchanged.
 *   (3) Who waits for room, or for the end of a message, waits only for the recorder's thread,
 *       which never waits for a sender. So a call that would wait is refused on that very thread.
 *   (4) A sender waits with a deadline until the thread has taken its message, and then to its end,
 *       since what is being committed can't be called back. Metadata and Flush wait without one.
 *   (5) The first batch that is *accepted* fixes the schema of an instrument that has none. Schemas
 *       are compared under the lock, after the wait for room, so that two first batches agree.
 *
 * Callbacks, and the release functions of arrays, are called with no lock held. */
#include "recorder/recorder_internal.h"

#include <inttypes.h>

void bs_message_free(struct bs_message *message, bool release_arrays)
{
    if (!message) return;
    for (size_t i = 0; release_arrays && i < message->array_count; i++) {
        if (message->arrays[i].release) message->arrays[i].release(&message->arrays[i]);
    }
    bs_free(message->arrays);
    bs_schema_release(message->schema);
    bs_free(message->instrument);
    bs_free(message->key);
    bs_free(message->value);
    bs_free(message);
}

bool bs_recorder_is_worker(struct bs_recorder *recorder)
{
    bs_mutex_lock(&recorder->lock);
    const bool is = recorder->worker_known && pthread_equal(recorder->worker, pthread_self());
    bs_mutex_unlock(&recorder->lock);
    return is;
}

/* ---- sending; everything down to bs_mailbox_send is called with the lock held ---------------- */

static bool has_room(const struct bs_recorder *recorder, const struct bs_message *message)
{
    if (message->kind != BS_MESSAGE_BATCH) return true;
    return recorder->queue_messages < recorder->options.mailbox_messages_max &&
        recorder->queue_bytes <= recorder->options.mailbox_bytes_max - message->bytes;
}

static basalt_status drop(
    struct bs_recorder *recorder, const struct bs_message *message, basalt_error *err)
{
    struct bs_instrument *instrument = NULL;
    const basalt_status status =
        bs_instruments_get(&recorder->instruments, message->instrument, &instrument, err);
    if (!status) {
        instrument->batches_dropped += message->array_count;
        instrument->rows_dropped += message->rows;
    }
    recorder->batches_dropped += message->array_count;
    recorder->rows_dropped += message->rows;
    recorder->file_batches_dropped += message->array_count;
    recorder->file_rows_dropped += message->rows;
    recorder->drops_untold = true;
    bs_condition_signal(&recorder->work);
    return bs_fail(err, BASALT_DROPPED, BASALT_NO_OFFSET,
        "%" PRIu64 " rows of %s were dropped: the mailbox of %s is full", message->rows,
        message->instrument, bs_store_path(recorder->store));
}

static basalt_status wait_for_room(struct bs_recorder *recorder, const struct bs_message *message,
    uint64_t deadline_ns, basalt_error *err)
{
    const bool worker = recorder->worker_known && pthread_equal(recorder->worker, pthread_self());
    while (!has_room(recorder, message)) {
        if (recorder->options.overflow == BASALT_OVERFLOW_DROP_NEWEST) {
            return drop(recorder, message, err);
        }
        if (worker || !bs_condition_wait_until(&recorder->room, &recorder->lock, deadline_ns)) {
            if (has_room(recorder, message)) break;
            return bs_fail(err, BASALT_TIMED_OUT, BASALT_NO_OFFSET,
                "the mailbox of %s stayed full for %" PRIu64 " ms: %" PRIu64 " messages, %" PRIu64
                " bytes wait",
                bs_store_path(recorder->store), worker ? 0 : recorder->options.block_timeout_ms,
                recorder->queue_messages, recorder->queue_bytes);
        }
    }
    return BASALT_OK;
}

/* Invariant 5. */
static basalt_status agree_on_schema(
    struct bs_recorder *recorder, struct bs_message *message, basalt_error *err)
{
    struct bs_instrument *instrument = NULL;
    basalt_status status =
        bs_instruments_get(&recorder->instruments, message->instrument, &instrument, err);
    if (status) return status;
    if (!instrument->schema) {
        instrument->schema = bs_schema_retain(message->schema);
        recorder->columns += message->schema->field_count;
    } else if (instrument->schema != message->schema) {
        status = bs_schema_match(instrument->schema, message->schema, err);
        if (status) bs_error_prefix(err, "%s", message->instrument);
    }
    return status;
}

static void unlink_message(struct bs_recorder *recorder, struct bs_message *message)
{
    struct bs_message **at = &recorder->first;
    while (*at != message) at = &(*at)->next;
    *at = message->next;
    if (!message->next) recorder->last = at;
    message->next = NULL;
}

static void give_room(struct bs_recorder *recorder, const struct bs_message *message)
{
    if (message->kind != BS_MESSAGE_BATCH) return;
    recorder->queue_messages--;
    recorder->queue_bytes -= message->bytes;
}

static basalt_status wait_for_end(struct bs_recorder *recorder, struct bs_message *message,
    uint64_t deadline_ns, basalt_error *err)
{
    while (!message->ended) {
        if (message->kind != BS_MESSAGE_BATCH || message->taken) {
            bs_condition_wait(&recorder->finished, &recorder->lock);
        } else if (!bs_condition_wait_until(&recorder->finished, &recorder->lock, deadline_ns) &&
            !message->taken && !message->ended) {
            unlink_message(recorder, message);
            give_room(recorder, message);
            bs_condition_broadcast(&recorder->room);
            return bs_fail(err, BASALT_TIMED_OUT, BASALT_NO_OFFSET,
                "the batch for %s waited %" PRIu64 " ms in the mailbox and was taken back",
                message->instrument, recorder->options.block_timeout_ms);
        }
    }
    if (message->error.status && err) *err = message->error;
    return message->error.status;
}

static void push(struct bs_recorder *recorder, struct bs_message *message)
{
    message->next = NULL;
    *recorder->last = message;
    recorder->last = &message->next;
    if (message->kind == BS_MESSAGE_BATCH) {
        recorder->queue_messages++;
        recorder->queue_bytes += message->bytes;
        recorder->queue_bytes_peak = BS_MAX(recorder->queue_bytes_peak, recorder->queue_bytes);
    }
    bs_condition_signal(&recorder->work);
}

static uint64_t deadline_of(const struct bs_recorder *recorder)
{
    const uint64_t now_ns = bs_now_ns(), wait_ms = recorder->options.block_timeout_ms;
    return wait_ms > (UINT64_MAX - now_ns) / 1000000 ? UINT64_MAX : now_ns + wait_ms * 1000000;
}

basalt_status bs_mailbox_send(
    struct bs_recorder *recorder, struct bs_message *message, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    const uint64_t deadline_ns = deadline_of(recorder);
    const bool waited = message->done == NULL;
    const bool batch = message->kind == BS_MESSAGE_BATCH;

    if (batch && message->bytes > recorder->options.mailbox_bytes_max) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a batch of %" PRIu64 " bytes for %.60s does not fit into a mailbox of %" PRIu64
            " bytes: write fewer rows at once (or, in C, raise mailbox_bytes_max)",
            message->bytes, message->instrument, recorder->options.mailbox_bytes_max);
    }
    bs_mutex_lock(&recorder->lock);
    BS_TRY(wait_for_room(recorder, message, deadline_ns, err));
    if (batch) BS_TRY(agree_on_schema(recorder, message, err));
    push(recorder, message);
    if (waited) BS_TRY(wait_for_end(recorder, message, deadline_ns, err));
out:
    bs_mutex_unlock(&recorder->lock);
    return status;
}

/* ---- taking and ending: on the recorder's thread --------------------------------------------- */

/* When the thread has something to do although nobody sends; UINT64_MAX: never. Lock held. */
static uint64_t due_ns(const struct bs_recorder *recorder)
{
    uint64_t due = UINT64_MAX;
    const uint64_t interval_ms = recorder->options.auto_flush_interval_ms;
    if (recorder->drops_untold) due = recorder->drops_told_at_ns + BS_DROPS_TELL_NS;
    if (interval_ms && recorder->unflushed && interval_ms < (UINT64_MAX / 4) / 1000000) {
        due = BS_MIN(due, recorder->flushed_at_ns + interval_ms * 1000000);
    }
    return due;
}

struct bs_message *bs_mailbox_take(struct bs_recorder *recorder, bool *out_stopping)
{
    uint64_t bytes = 0;
    bs_mutex_lock(&recorder->lock);
    while (!recorder->first && !recorder->stopping) {
        const uint64_t due = due_ns(recorder);
        if (due == UINT64_MAX) {
            bs_condition_wait(&recorder->work, &recorder->lock);
        } else if (!bs_condition_wait_until(&recorder->work, &recorder->lock, due)) {
            break;
        }
    }
    struct bs_message *chain = recorder->first, **at = &recorder->first;
    while (*at && (at == &recorder->first || bytes + (*at)->bytes <= BS_RECORDER_TURN_BYTES_MAX)) {
        (*at)->taken = true;
        bytes += (*at)->bytes;
        at = &(*at)->next;
    }
    if (chain) {
        recorder->first = *at;
        *at = NULL;
        if (!recorder->first) recorder->last = &recorder->first;
    }
    *out_stopping = recorder->stopping && !chain; /* a callback of the last turn may have sent */
    bs_mutex_unlock(&recorder->lock);
    return chain;
}

static void count_end(struct bs_recorder *recorder, struct bs_message *message)
{
    give_room(recorder, message);
    if (!message->error.status) {
        recorder->flushes += message->kind == BS_MESSAGE_FLUSH;
        recorder->batches_written += message->array_count;
        recorder->rows_written += message->rows;
        recorder->bytes_written += message->encoded_bytes;
        return;
    }
    recorder->errors++;
    if (!message->done && !recorder->first_error.status) recorder->first_error = message->error;
}

/* In the order of the messages: when a Flush returns, the callbacks before it have been called. */
void bs_mailbox_end(struct bs_recorder *recorder, struct bs_message *chain)
{
    bs_mutex_lock(&recorder->lock);
    for (struct bs_message *at = chain; at; at = at->next) count_end(recorder, at);
    bs_condition_broadcast(&recorder->room);
    bs_mutex_unlock(&recorder->lock);
    while (chain) {
        struct bs_message *message = chain;
        chain = message->next;
        if (message->done) {
            message->done(message->context, &message->error);
            bs_message_free(message, true);
        } else {
            bs_mutex_lock(&recorder->lock);
            message->next = NULL;
            message->ended = true; /* from here on it is its waiter's */
            bs_condition_broadcast(&recorder->finished);
            bs_mutex_unlock(&recorder->lock);
        }
    }
}
