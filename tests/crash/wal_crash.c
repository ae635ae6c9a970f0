/* wal_crash.c - every crash of the log alone.
 *
 * A writer appends transactions, syncs, tells stories and removes old segments; then it is opened
 * again over what it left. Every image that a kill or a power loss may leave is replayed: what was
 * acknowledged is there, nothing is half there, the story is the newest that was acknowledged. */
#include "tests/crash/wal_crash.h"

#include "tests/harness/test.h"
#include "wal/wal.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATA_PATH "/db/x.h5"
#define STATES_MAX ((size_t)20000)
#define RECORD_BYTES_MAX ((size_t)6000)
#define FIRST_WORD_BYTES ((size_t)16)

/* What holds from a mark on; marks are indexes. */
struct state {
    bs_lsn attempted;      /* end of what was handed to the log */
    bs_lsn appended;       /* acknowledged against a kill */
    bs_lsn synced;         /* acknowledged against power loss */
    bs_lsn cut;            /* below it segments may be gone */
    uint64_t cut_sequence; /* of the first record from `cut` on */
    uint64_t story_attempted, story_synced;
    bool open; /* a log exists for sure */
};

struct history {
    struct bs_vfs *vfs;
    struct bs_wal_writer *writer;
    struct state states[STATES_MAX];
    size_t count;      /* of states; the last one is the present */
    uint64_t sequence; /* of the next record */
    uint64_t random;
    struct crash_tally tally;
    bool until_broken;
    bool never_syncs; /* all is `buffered`: nothing but stories and segments is ever synced */
};

static struct state *present(struct history *history)
{
    return &history->states[history->count - 1];
}

/* Makes the present state, which the caller has just changed, known to the trace. */
static void mark(struct history *history)
{
    assert(history->count < STATES_MAX);
    powerloss_mark(history->vfs, history->count - 1);
    history->states[history->count] = history->states[history->count - 1];
    history->count++;
}

static void fill_record(uint64_t sequence, uint8_t *out, size_t count)
{
    uint64_t random = sequence;
    bs_store_u64(out, sequence);
    bs_store_u64(out + 8, count);
    for (size_t i = FIRST_WORD_BYTES; i < count; i++) out[i] = (uint8_t)test_random(&random);
}

static basalt_status append_some(struct history *history, basalt_error *err)
{
    static uint8_t bytes[3][RECORD_BYTES_MAX];
    struct bs_wal_record records[3];
    size_t total = 0;
    const size_t count = 1 + test_random(&history->random) % 3;
    for (size_t i = 0; i < count; i++) {
        const bool large = test_random(&history->random) % 4 == 0;
        const size_t most = large ? RECORD_BYTES_MAX : 200;
        const size_t size =
            FIRST_WORD_BYTES + test_random(&history->random) % (most - FIRST_WORD_BYTES);
        fill_record(history->sequence++, bytes[i], size);
        records[i] =
            (struct bs_wal_record){bytes[i], size, bs_crc32c(0, bytes[i], size), i + 1 == count};
        total += size + 64;
    }
    bs_lsn end = 0;
    present(history)->attempted = BASALT_NO_OFFSET; /* until the log says where it ends */
    mark(history);
    basalt_status status = bs_wal_append(history->writer, records, count, &end, err);
    while (status == BASALT_BUSY) {
        status = bs_wal_wait_segment(history->writer, total, err);
        if (!status) status = bs_wal_append(history->writer, records, count, &end, err);
    }
    if (status) return status;
    present(history)->attempted = end;
    present(history)->appended = end;
    mark(history);
    return BASALT_OK;
}

static basalt_status sync_all(struct history *history, basalt_error *err)
{
    const bs_lsn end = present(history)->appended;
    const basalt_status status = bs_wal_sync_to(history->writer, end, err);
    if (status) return status;
    present(history)->synced = end;
    mark(history);
    return BASALT_OK;
}

static struct bs_wal_story story_of(uint64_t commit)
{
    struct bs_wal_story story = {.commit = commit};
    memset(story.store_uuid, 7, sizeof story.store_uuid);
    memset(story.current, (int)(commit & 0x7F), sizeof story.current);
    memset(story.next, (int)((commit + 1) & 0x7F), sizeof story.next);
    return story;
}

static basalt_status tell_story(struct history *history, basalt_error *err)
{
    const struct bs_wal_story story = story_of(present(history)->story_attempted + 1);
    present(history)->story_attempted = story.commit;
    mark(history);
    const basalt_status status = bs_wal_write_story(history->writer, &story, err);
    if (status) return status;
    present(history)->story_synced = story.commit;
    mark(history);
    return BASALT_OK;
}

/* As after a checkpoint: what was appended is not needed any more, whether it was synced or not. */
static basalt_status cut_off(struct history *history, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (!history->never_syncs && test_random(&history->random) % 2) status = sync_all(history, err);
    if (!status) status = tell_story(history, err);
    if (status) return status;
    present(history)->cut = present(history)->appended;
    present(history)->cut_sequence = history->sequence;
    mark(history);
    return bs_wal_remove_below(history->writer, present(history)->cut, err);
}

static basalt_status open_writer(struct history *history, basalt_error *err)
{
    const struct bs_wal_options options = {
        .segment_bytes = BS_WAL_SEGMENT_BYTES_MIN, .holder = "the crash test"};
    const struct bs_wal_story story = story_of(present(history)->story_attempted);
    basalt_status status = bs_wal_writer_open(history->vfs, DATA_PATH, &options, &story,
        present(history)->appended, &history->writer, err);
    if (status) return status;
    present(history)->open = true;
    present(history)->story_synced = story.commit;
    mark(history);
    return BASALT_OK;
}

/* ---- several threads at once ----------------------------------------------------------------- */

#define CROWDS 20
#define LOOK_NS 50000000
#define IDLE_LOOKS_MAX 200u /* ten seconds; a commit takes less than a thousandth of that */
#define COMMITTERS 3
#define COMMITS_EACH 60
#define SYNC_NS 200000 /* long enough for the others to append and wait meanwhile */

struct crowd {
    struct history *history;
    bs_mutex lock;         /* appends are serialised; guards the history too */
    atomic_uint *progress; /* counts commits where somebody watches; else NULL */
    atomic_uint failed;
};

static void commit_often(void *argument)
{
    struct crowd *crowd = argument;
    struct history *history = crowd->history;
    for (unsigned i = 0; i < COMMITS_EACH; i++) {
        bs_mutex_lock(&crowd->lock);
        basalt_status status = append_some(history, NULL);
        const bs_lsn end = present(history)->appended;
        bs_mutex_unlock(&crowd->lock);
        if (!status) status = bs_wal_sync_to(history->writer, end, NULL);
        if (status) {
            atomic_fetch_add(&crowd->failed, 1);
            return;
        }
        if (crowd->progress) atomic_fetch_add(crowd->progress, 1);
        bs_mutex_lock(&crowd->lock);
        if (end > present(history)->synced) present(history)->synced = end;
        mark(history);
        bs_mutex_unlock(&crowd->lock);
    }
}

static basalt_status live_in_a_crowd(
    struct history *history, atomic_uint *progress, basalt_error *err)
{
    struct crowd crowd = {.history = history, .progress = progress};
    struct bs_thread *threads[COMMITTERS] = {0};
    basalt_status status = open_writer(history, err);
    if (status) return status;
    bs_mutex_init(&crowd.lock);
    powerloss_slow_sync(history->vfs, SYNC_NS);
    for (unsigned i = 0; i < COMMITTERS; i++) {
        if (!status) status = bs_thread_start("crowd", commit_often, &crowd, &threads[i], err);
    }
    for (unsigned i = 0; i < COMMITTERS; i++) bs_thread_join(threads[i]);
    powerloss_slow_sync(history->vfs, 0);
    bs_mutex_destroy(&crowd.lock);
    bs_wal_writer_close(history->writer);
    history->writer = NULL;
    if (!status && atomic_load(&crowd.failed)) status = BASALT_IO_ERROR;
    return status;
}

static basalt_status live(struct history *history, unsigned steps, basalt_error *err)
{
    basalt_status status = open_writer(history, err);
    for (unsigned i = 0; !status && i < steps; i++) {
        const uint64_t what = test_random(&history->random) % 40;
        if (what == 0) {
            status = cut_off(history, err);
        } else if (what == 1) {
            status = tell_story(history, err);
        } else if (what < 10 && !history->never_syncs) {
            status = sync_all(history, err);
        } else {
            status = append_some(history, err);
        }
    }
    bs_wal_writer_close(history->writer);
    history->writer = NULL;
    return status;
}

/* ---- looking at an image --------------------------------------------------------------------- */

struct replay {
    struct history *history;
    const struct powerloss_image *image;
    uint64_t sequence;
    bs_lsn end;
    bool good;
};

static basalt_status check_record(void *context, bs_lsn start, bs_lsn end, const void *bytes,
    size_t count, bool commit, basalt_error *err)
{
    static uint8_t expected[RECORD_BYTES_MAX];
    struct replay *replay = context;
    (void)err;
    (void)commit;
    (void)start;
    fill_record(replay->sequence, expected, BS_MIN(count, RECORD_BYTES_MAX));
    if (count > RECORD_BYTES_MAX || memcmp(bytes, expected, count) != 0) {
        crash_fail(&replay->history->tally, replay->image, "record %" PRIu64 " is another one",
            replay->sequence);
        replay->good = false;
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "stop");
    }
    replay->sequence++;
    replay->end = end;
    return BASALT_OK;
}

static void check_replay(struct history *history, const struct powerloss_image *image,
    const struct state *state, struct bs_vfs *vfs)
{
    const bool killed = image->kind == POWERLOSS_KILLED || image->kind == POWERLOSS_KILLED_TORN;
    const bs_lsn wanted = killed ? state->appended : state->synced;
    struct replay replay = {history, image, state->cut_sequence, 0, true};
    basalt_error error = {0};
    bs_lsn end = 0;
    const basalt_status status =
        bs_wal_replay(vfs, DATA_PATH, state->cut, check_record, &replay, &end, &error);
    if (status) {
        if (replay.good) crash_fail(&history->tally, image, "replay: %s", error.message);
        return;
    }
    if (end < wanted) {
        crash_fail(&history->tally, image, "the log ends at %" PRIu64 ", acknowledged was %" PRIu64,
            end, wanted);
    }
    if (end > state->attempted) {
        crash_fail(&history->tally, image, "the log ends at %" PRIu64 ", written was %" PRIu64, end,
            state->attempted);
    }
}

static bool check_image(void *context, const struct powerloss_image *image)
{
    struct history *history = context;
    const struct state *state = &history->states[image->mark];
    struct bs_wal_inventory inventory;
    basalt_error error = {0};
    (void)crash_count(&history->tally, image);
    struct bs_vfs *vfs = powerloss_create_from(image);
    const basalt_status status = bs_wal_inspect(vfs, DATA_PATH, &inventory, &error);
    if (status && (state->open || status != BASALT_NOT_FOUND)) {
        crash_fail(&history->tally, image, "inspect: %s", error.message);
    } else if (!status && state->open) {
        if (!inventory.has_story || inventory.story.commit < state->story_synced ||
            inventory.story.commit > state->story_attempted) {
            crash_fail(&history->tally, image,
                "the story is %" PRIu64 ", acknowledged was %" PRIu64, inventory.story.commit,
                state->story_synced);
        }
        check_replay(history, image, state, vfs);
    }
    bs_vfs_free(vfs);
    return !history->until_broken || !history->tally.first_text[0];
}

static basalt_status begin(struct history *history, basalt_error *err)
{
    history->vfs = powerloss_create();
    history->random = 11;
    history->count = 1;
    basalt_status status = history->vfs->ops->make_directory(history->vfs, "/db", err);
    if (!status) status = history->vfs->ops->sync_directory(history->vfs, "/", err);
    if (!status) mark(history);
    return status;
}

static void examine(struct history *history)
{
    powerloss_images(history->vfs, 0, powerloss_event_count(history->vfs),
        &(struct powerloss_options){.each_max = 10}, check_image, history);
}

basalt_status wal_crash_until_broken(
    const char *wanted, struct crash_tally *out_tally, basalt_error *err)
{
    static struct history history;
    basalt_status status = begin(&history, err);
    if (!status) status = live_in_a_crowd(&history, NULL, err);
    if (status) return status;
    history.until_broken = true;
    history.tally.wanted = wanted;
    examine(&history);
    bs_vfs_free(history.vfs);
    *out_tally = history.tally;
    return BASALT_OK;
}

/* In a child: what cannot end can be killed there. */
static void crowd_again_and_again(atomic_uint *progress)
{
    static struct history history;
    for (unsigned i = 0; i < CROWDS; i++) {
        memset(&history, 0, sizeof history);
        basalt_status status = begin(&history, NULL);
        if (!status) status = live_in_a_crowd(&history, progress, NULL);
        if (status) _exit(3);
        bs_vfs_free(history.vfs);
    }
    _exit(0);
}

bool wal_crash_crowd_stops(void)
{
    const int flags = MAP_SHARED | MAP_ANONYMOUS;
    atomic_uint *progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, flags, -1, 0);
    unsigned before = 0, idle_looks = 0;
    int ended = 0;
    if (progress == MAP_FAILED) return false;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) crowd_again_and_again(progress);
    while (child > 0 && waitpid(child, &ended, WNOHANG) == 0 && idle_looks < IDLE_LOOKS_MAX) {
        bs_sleep_ns(LOOK_NS);
        const unsigned now = atomic_load(progress);
        idle_looks = now == before ? idle_looks + 1 : 0;
        before = now;
    }
    const bool stopped = idle_looks == IDLE_LOOKS_MAX;
    if (stopped) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, &ended, 0);
    }
    CHECK(child > 0);
    CHECK(stopped || ended == 0);
    (void)munmap(progress, sizeof *progress);
    return stopped;
}

TEST(wal_crash, every_image_keeps_what_was_acknowledged)
{
    static struct history history;
    REQUIRE_OK(begin(&history, err));
    REQUIRE_OK(live(&history, 300, err));
    REQUIRE_OK(live_in_a_crowd(&history, NULL, err));
    REQUIRE_OK(live(&history, 300, err));
    history.never_syncs = true;
    REQUIRE_OK(live(&history, 200, err));
    examine(&history);
    crash_print(&history.tally, "crashes of the log");
    CHECK(history.tally.distinct > 4000);
    CHECK_EQ(history.tally.failures, 0);
    crash_free(&history.tally);
    bs_vfs_free(history.vfs);
}
