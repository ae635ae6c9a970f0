/* mailbox_test.c - the bounds of the mailbox, and who may wait for whom. The recorder's thread is
 * held in a callback where a test needs a mailbox that nobody empties. */
#include "tests/unit/recorder/recorder_cases.h"

struct held { /* a recorder whose thread stands at the gate */
    struct stage stage;
    struct bs_recorder *recorder;
    struct gate gate;
    const char *path;
};

static basalt_status held_start(
    struct held *held, const basalt_recorder_options *options, const char *path, basalt_error *err)
{
    gate_init(&held->gate);
    held->recorder = NULL;
    held->path = path;
    basalt_status status = stage_open(&held->stage, true, err);
    if (!status) {
        status = bs_recorder_start(&held->stage.parts, path, options, &held->recorder, err);
    }
    if (!status) {
        status = send_rows(held->recorder, "probe", 0, 1, gate_hold, &held->gate, err);
    }
    if (!status) gate_wait_reached(&held->gate);
    return status;
}

static void held_stop(struct held *held, uint64_t rows)
{
    gate_open(&held->gate);
    CHECK_OK(bs_recorder_stop(&held->recorder, err));
    CHECK_EQ(rows_in_file(&held->stage, held->path, "probe"), rows);
    stage_close(&held->stage);
    gate_destroy(&held->gate);
}

TEST(mailbox, drops_the_newest_and_counts_it)
{
    struct held held;
    basalt_recorder_options options = default_options();
    basalt_recorder_stats stats;
    options.overflow = BASALT_OVERFLOW_DROP_NEWEST;
    options.mailbox_messages_max = 2;
    REQUIRE_OK(held_start(&held, &options, "drop.h5", err));
    CHECK_OK(send_rows(held.recorder, "probe", 1, 10, gate_count, &held.gate, err));
    CHECK_OK(send_rows(held.recorder, "probe", 11, 10, gate_count, &held.gate, err));
    basalt_error error = {0};
    CHECK_EQ(
        send_rows(held.recorder, "probe", 0, 7, gate_count, &held.gate, &error), BASALT_DROPPED);
    CHECK(strstr(error.message, "7 rows"));
    CHECK_EQ(send_rows(held.recorder, "never", 0, 5, gate_count, &held.gate, NULL), BASALT_DROPPED);
    CHECK_OK(bs_recorder_get_stats(held.recorder, &stats, err));
    CHECK_EQ(stats.batches_dropped, 2);
    CHECK_EQ(stats.rows_dropped, 12);
    CHECK_EQ(stats.queue_messages, 2);
    struct stage stage = held.stage; /* the file is read before the stage closes */
    gate_open(&held.gate);
    CHECK_OK(bs_recorder_stop(&held.recorder, err));
    CHECK_EQ(held.gate.done, 2); /* a batch that was not accepted has no callback */
    CHECK_EQ(held.gate.failed, 0);
    CHECK_EQ(rows_in_file(&stage, "drop.h5", "probe"), 21);
    CHECK_ATTRIBUTE(&stage, "drop.h5", "probe", "dropped_batches", "1");
    CHECK_ATTRIBUTE(&stage, "drop.h5", "probe", "dropped_rows", "7");
    CHECK_ATTRIBUTE(&stage, "drop.h5", NULL, "dropped_batches", "2");
    CHECK_ATTRIBUTE(&stage, "drop.h5", NULL, "dropped_rows", "12");

    /* The counters of the file go on; those of the stats begin again. */
    options.resume = true;
    gate_destroy(&held.gate);
    gate_init(&held.gate);
    REQUIRE_OK(bs_recorder_start(&stage.parts, "drop.h5", &options, &held.recorder, err));
    CHECK_OK(send_rows(held.recorder, "probe", 0, 1, gate_hold, &held.gate, err));
    gate_wait_reached(&held.gate);
    CHECK_OK(send_rows(held.recorder, "probe", 0, 1, gate_count, &held.gate, err));
    CHECK_OK(send_rows(held.recorder, "probe", 0, 1, gate_count, &held.gate, err));
    CHECK_EQ(send_rows(held.recorder, "probe", 0, 3, gate_count, &held.gate, NULL), BASALT_DROPPED);
    CHECK_OK(bs_recorder_get_stats(held.recorder, &stats, err));
    CHECK_EQ(stats.batches_dropped, 1);
    gate_open(&held.gate);
    CHECK_OK(bs_recorder_stop(&held.recorder, err));
    CHECK_ATTRIBUTE(&stage, "drop.h5", "probe", "dropped_rows", "10");
    CHECK_ATTRIBUTE(&stage, "drop.h5", NULL, "dropped_batches", "3");
    stage_close(&stage);
    gate_destroy(&held.gate);
}

TEST(mailbox, blocks_until_the_timeout)
{
    struct held held;
    basalt_recorder_options options = default_options();
    basalt_error error = {0};
    options.mailbox_messages_max = 1;
    options.block_timeout_ms = 30;
    REQUIRE_OK(held_start(&held, &options, "block.h5", err));
    CHECK_OK(send_rows(held.recorder, "probe", 1, 10, gate_count, &held.gate, err));
    CHECK_EQ(
        send_rows(held.recorder, "probe", 0, 7, gate_count, &held.gate, &error), BASALT_TIMED_OUT);
    CHECK(strstr(error.message, "30 ms"));
    held_stop(&held, 11);
}

TEST(mailbox, takes_a_waiting_batch_back_after_the_timeout)
{
    struct held held;
    basalt_recorder_options options = default_options();
    basalt_recorder_stats stats;
    options.block_timeout_ms = 30;
    REQUIRE_OK(held_start(&held, &options, "back.h5", err));
    CHECK_EQ(send_rows(held.recorder, "probe", 0, 7, NULL, NULL, NULL), BASALT_TIMED_OUT);
    CHECK_OK(bs_recorder_get_stats(held.recorder, &stats, err));
    CHECK_EQ(stats.queue_messages, 0);
    CHECK_EQ(stats.queue_bytes, 0);
    CHECK_OK(send_rows(held.recorder, "probe", 1, 2, gate_count, &held.gate, err));
    held_stop(&held, 3);
}

TEST(mailbox, is_bounded_in_bytes)
{
    struct held held;
    basalt_recorder_options options = default_options();
    basalt_recorder_stats stats;
    basalt_error error = {0};
    options.overflow = BASALT_OVERFLOW_DROP_NEWEST;
    options.mailbox_bytes_max = 20000;
    REQUIRE_OK(held_start(&held, &options, "bytes.h5", err));
    CHECK_EQ(send_rows(held.recorder, "probe", 0, 2000, gate_count, &held.gate, &error),
        BASALT_TOO_LARGE);
    CHECK(strstr(error.message, "mailbox_bytes_max"));
    uint64_t rows = 1, dropped = 0;
    for (int i = 0; i < 20; i++) {
        const basalt_status status =
            send_rows(held.recorder, "probe", rows, 100, gate_count, &held.gate, NULL);
        CHECK(status == BASALT_OK || status == BASALT_DROPPED);
        if (status) dropped++;
        if (!status) rows += 100;
    }
    CHECK_OK(bs_recorder_get_stats(held.recorder, &stats, err));
    CHECK(dropped > 0 && dropped < 20);
    CHECK_EQ(stats.batches_dropped, dropped);
    CHECK(stats.queue_bytes_peak <= options.mailbox_bytes_max);
    CHECK(stats.queue_bytes_peak >= options.mailbox_bytes_max / 2);
    held_stop(&held, rows);
}

/* ---- calls from a callback ------------------------------------------------------------------- */

struct nested {
    struct bs_recorder *recorder;
    struct gate *gate;
    unsigned refused, right;
};

static void call_from_callback(void *context, const basalt_error *error)
{
    struct nested *nested = context;
    struct bs_recorder *same = nested->recorder;
    basalt_recorder_stats stats;
    CHECK_EQ(error->status, BASALT_OK);
    nested->refused +=
        send_rows(nested->recorder, "probe", 0, 1, NULL, NULL, NULL) == BASALT_BAD_ARGUMENT;
    nested->refused += bs_recorder_flush(nested->recorder, NULL) == BASALT_BAD_ARGUMENT;
    nested->refused +=
        bs_recorder_set_metadata(nested->recorder, NULL, "k", "v", NULL) == BASALT_BAD_ARGUMENT;
    nested->refused += bs_recorder_stop(&same, NULL) == BASALT_BAD_ARGUMENT && same;
    nested->right += bs_recorder_get_stats(nested->recorder, &stats, NULL) == BASALT_OK;
    nested->right +=
        send_rows(nested->recorder, "probe", 1, 1, gate_count, nested->gate, NULL) == BASALT_OK;
    /* The mailbox of one message is full now, and only this thread could empty it. */
    nested->refused += send_rows(nested->recorder, "probe", 1, 1, gate_count, nested->gate, NULL) ==
        BASALT_TIMED_OUT;
}

TEST(mailbox, a_callback_may_send_and_never_wait)
{
    struct stage stage;
    struct gate gate;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    options.mailbox_messages_max = 1;
    gate_init(&gate);
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "nested.h5", &options, &recorder, err));
    struct nested nested = {.recorder = recorder, .gate = &gate};
    CHECK_OK(send_rows(recorder, "probe", 0, 1, call_from_callback, &nested, err));
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK_EQ(nested.refused, 5);
    CHECK_EQ(nested.right, 2);
    CHECK_EQ(gate.done, 1);
    CHECK_EQ(rows_in_file(&stage, "nested.h5", "probe"), 2);
    stage_close(&stage);
    gate_destroy(&gate);
}

/* ---- many senders ---------------------------------------------------------------------------- */

struct sender {
    struct bs_recorder *recorder;
    struct gate *gate;
    char name[16];
    unsigned sent;
};

static void send_many(void *argument)
{
    struct sender *sender = argument;
    for (uint64_t i = 0; i < 200; i++) {
        const bool wait = i % 50 == 49;
        basalt_error error = {0};
        const basalt_status status = send_rows(sender->recorder, sender->name, i * 3, 3,
            wait ? NULL : gate_count, wait ? NULL : sender->gate, &error);
        if (status) test_fail(__FILE__, __LINE__, "%s", error.message);
        sender->sent += !status;
        if (i == 100 &&
            bs_recorder_set_metadata(sender->recorder, sender->name, "k", "v", &error)) {
            test_fail(__FILE__, __LINE__, "%s", error.message);
        }
    }
}

TEST(mailbox, many_senders_lose_nothing)
{
    struct stage stage;
    struct gate gate;
    struct bs_recorder *recorder = NULL;
    struct sender senders[4];
    struct bs_thread *threads[4];
    basalt_recorder_options options = default_options();
    basalt_recorder_stats stats;
    options.mailbox_messages_max = 8;
    options.block_timeout_ms = 60000;
    gate_init(&gate);
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "many.h5", &options, &recorder, err));
    for (size_t i = 0; i < 4; i++) {
        senders[i] = (struct sender){.recorder = recorder, .gate = &gate};
        snprintf(senders[i].name, sizeof senders[i].name, "s%zu", i / 2);
        REQUIRE_OK(bs_thread_start("sender", send_many, &senders[i], &threads[i], err));
    }
    for (size_t i = 0; i < 4; i++) bs_thread_join(threads[i]);
    CHECK_OK(bs_recorder_flush(recorder, err));
    CHECK_OK(bs_recorder_get_stats(recorder, &stats, err));
    CHECK_EQ(stats.rows_written, 4 * 600);
    CHECK_EQ(stats.batches_written, 4 * 200);
    CHECK_EQ(stats.flushes, 1);
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK_EQ(gate.done, 4 * 196);
    CHECK_EQ(gate.failed, 0);
    CHECK_EQ(rows_in_file(&stage, "many.h5", "s0") + rows_in_file(&stage, "many.h5", "s1"), 2400);
    stage_close(&stage);
    gate_destroy(&gate);
}
