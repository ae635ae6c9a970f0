/* kill_test.c - a store is killed again and again while it writes, and no acknowledged row is lost.
 *
 * Each round starts kill_writer (4 writer threads, single appends and transactions over several
 * families, buffered and sync), counts from outside what it acknowledges, and ends it with SIGKILL at
 * a random moment: during open and recovery, soon after the first commit, or later. Then
 *   (1) the file as it lies, before anything of ours touches it, is opened by libhdf5 with its
 *       default locking and read: whole commits in order, all families at one cut; some by h5dump;
 *   (2) a reader that writes nothing, or recovery, finds every acknowledged commit, at most the one
 *       commit a writer that was under way besides, each whole in all its families;
 *   (3) what was found once is there for ever: the next round begins from it.
 * After recovery only the file is left, and libhdf5 sees in it what Basalt sees.
 *
 * BASALT_KILLS: how many (200). BASALT_SEED: another history. */
#include "tests/harness/test.h"
#include "tests/kill/rows.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILLS_DEFAULT = 200, KILLS_A_FILE = 10, H5DUMP_EVERY = 16, ARGUMENT_BYTES = 24 };
#define FIRST_COMMIT_NS_MAX ((uint64_t)60 * 1000000000u) /* a hang, not a slow machine */

struct history {
    uint64_t random, seed;
    char path[400];
    uint64_t acknowledged[WRITER_COUNT]; /* in this file, by commit number */
    uint64_t acknowledged_all;           /* commits, all files, this run */
    uint64_t rows_all;
    uint64_t lost;
    bool last_of_file;
    unsigned round, dumps, recoveries, read_only, died_early;
};

/* ---- the writer process -------------------------------------------------------------------------- */

static uint64_t pick(struct history *history, const uint64_t *values, size_t count)
{
    return values[test_random(&history->random) % count];
}

/* Says "test_fail" and gives false, with what is needed to run it again. */
static bool fail_round(struct history *history, const char *what, const char *detail)
{
    test_fail(__FILE__, __LINE__, "seed %" PRIu64 ", round %u, %s: %s: %s", history->seed,
        history->round, history->path, what, detail);
    return false;
}

static pid_t start_writer(struct history *history, int *out_pipe)
{
    static const uint64_t ages_ms[] = {1, 5, 20, 100},
                          memtables[] = {64 << 10, 512 << 10, 64 << 20};
    static const uint64_t segments[] = {64 << 10, 256 << 10, 4 << 20}, graces_ms[] = {0, 3, 5000};
    char arguments[4 + WRITER_COUNT][ARGUMENT_BYTES];
    char *argv[7 + WRITER_COUNT] = {(char *)KILL_WRITER, history->path};
    const uint64_t options[4] = {pick(history, ages_ms, BS_ARRAY_LENGTH(ages_ms)),
        pick(history, memtables, BS_ARRAY_LENGTH(memtables)),
        pick(history, segments, BS_ARRAY_LENGTH(segments)),
        pick(history, graces_ms, BS_ARRAY_LENGTH(graces_ms))};
    const bool mapped = test_random(&history->random) % 4 != 0;
    int ends[2];

    for (unsigned i = 0; i < 4 + WRITER_COUNT; i++) {
        const uint64_t value = i < 4 ? options[i] : history->acknowledged[i - 4];
        snprintf(arguments[i], ARGUMENT_BYTES, "%" PRIu64, value);
        argv[2 + i] = arguments[i];
    }
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    const pid_t child = fork();
    if (child == 0) {
        if (ends[1] == 3) {
            fcntl(3, F_SETFD, 0);
        } else {
            dup2(ends[1], 3);
        }
        setenv("BASALT_LOG", mapped ? "map" : "write", 1);
        execv(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    *out_pipe = ends[0];
    return child;
}

/* Takes what has been acknowledged so far. False at the end of the pipe. */
static bool take_reports(struct history *history, int pipe_end, uint64_t *out_count)
{
    uint32_t reports[2 * 512];
    ssize_t got;
    do {
        got = read(pipe_end, reports, sizeof reports);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return false;
    for (size_t i = 0; i + 2 <= (size_t)got / sizeof reports[0]; i += 2) {
        const uint32_t writer = reports[i];
        if (writer >= WRITER_COUNT || reports[i + 1] != history->acknowledged[writer] + 1)
            return fail_round(history, "the reports", "are out of order");
        history->acknowledged[writer]++;
        ++*out_count;
    }
    return true;
}

/* Waits and counts until `deadline_ns`, or, with `first`, only until the first report. */
static bool count_until(
    struct history *history, int pipe_end, uint64_t deadline_ns, bool first, uint64_t *out_count)
{
    for (;;) {
        const uint64_t now = bs_now_ns();
        struct pollfd wait = {.fd = pipe_end, .events = POLLIN};
        if (now >= deadline_ns || (first && *out_count)) return true;
        const uint64_t left_ms = (deadline_ns - now) / 1000000;
        if (left_ms == 0) bs_sleep_ns(deadline_ns - now);
        if (poll(&wait, 1, (int)left_ms) > 0 && !take_reports(history, pipe_end, out_count))
            return false;
    }
}

/* One life of the writer. *out_count commits were acknowledged before it was killed. */
static bool run_and_kill(struct history *history, uint64_t *out_count)
{
    int pipe_end = -1, state = 0;
    const uint64_t kind = test_random(&history->random) % 20;
    const uint64_t chance = test_random(&history->random);
    const bool early = kind < 4;
    const uint64_t delay_ns =
        early ? chance % 9000000 : chance % (kind < 17 ? 40000000 : 120000000);
    const pid_t child = start_writer(history, &pipe_end);
    if (child < 0) return fail_round(history, "the writer", "does not start");

    bool alive =
        early || count_until(history, pipe_end, bs_now_ns() + FIRST_COMMIT_NS_MAX, true, out_count);
    const bool hangs = alive && !early && *out_count == 0;
    if (alive && !hangs)
        alive = count_until(history, pipe_end, bs_now_ns() + delay_ns, false, out_count);
    kill(child, SIGKILL);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
    while (take_reports(history, pipe_end, out_count)) continue;
    close(pipe_end);
    if (*out_count == 0) history->died_early++;
    if (hangs) return fail_round(history, "the writer", "acknowledges nothing");
    if (!WIFSIGNALED(state) || WTERMSIG(state) != SIGKILL)
        return fail_round(history, "the writer", "ended by itself (its message is above)");
    return true;
}

/* ---- what is there after the kill ------------------------------------------------------------------- */

static bool has_log(const char *path)
{
    char prefix[500];
    const char *slash = strrchr(path, '/');
    bool found = false;
    snprintf(prefix, sizeof prefix, "%s-log.", slash + 1);
    DIR *directory = opendir(test_directory());
    if (!directory) return true;
    for (struct dirent *entry; (entry = readdir(directory));)
        found |= strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(directory);
    return found;
}

static bool dump(struct history *history)
{
    int state = 0;
    const pid_t child = fork();
    if (child == 0) {
        const int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, 1);
        execlp("h5dump", "h5dump", history->path, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &state, 0) != child || !WIFEXITED(state))
        return fail_round(history, "h5dump", "did not run to its end");
    history->dumps++;
    return WEXITSTATUS(state) == 0 || fail_round(history, "h5dump", "refuses the file");
}

/* (1) */
static bool check_as_it_lies(struct history *history, struct found *out_seen)
{
    struct stat info;
    *out_seen = (struct found){0};
    if (stat(history->path, &info) != 0) { /* killed before the file had its name */
        for (unsigned i = 0; i < WRITER_COUNT; i++)
            if (history->acknowledged[i]) return fail_round(history, "the file", "is gone");
        return true;
    }
    found_by_libhdf5(history->path, out_seen);
    if (out_seen->fault[0]) return fail_round(history, "libhdf5, before recovery", out_seen->fault);
    return history->round % H5DUMP_EVERY || dump(history);
}

/* (2) `seen` is what the file alone showed: never more than there is. */
static bool check_found(
    struct history *history, const struct found *found, const struct found *seen, const char *how)
{
    char detail[200];
    if (found->fault[0]) return fail_round(history, how, found->fault);
    bool good = true;
    for (unsigned i = 0; i < WRITER_COUNT; i++) {
        const uint64_t least = BS_MAX(history->acknowledged[i], seen->commits[i]);
        if (found->commits[i] >= least && found->commits[i] <= history->acknowledged[i] + 1)
            continue;
        if (found->commits[i] < history->acknowledged[i])
            history->lost += history->acknowledged[i] - found->commits[i];
        snprintf(detail, sizeof detail,
            "writer %u: %" PRIu64 " commits acknowledged, %" PRIu64 " in the file alone, %" PRIu64
            " found",
            i, history->acknowledged[i], seen->commits[i], found->commits[i]);
        good = fail_round(history, how, detail);
    }
    return good;
}

static bool check_clean(struct history *history, const struct found *found)
{
    struct found seen;
    if (has_log(history->path)) return fail_round(history, "after a clean close", "a log is left");
    found_by_libhdf5(history->path, &seen);
    if (seen.fault[0]) return fail_round(history, "libhdf5, after recovery", seen.fault);
    for (unsigned i = 0; i < WRITER_COUNT; i++)
        if (seen.commits[i] != found->commits[i])
            return fail_round(history, "libhdf5, after recovery", "sees other rows than Basalt");
    return true;
}

static bool recover(struct history *history, struct found *out_found)
{
    basalt_recovery recovery;
    basalt_error err = {0};
    if (basalt_recover(history->path, &recovery, &err))
        return fail_round(history, "recovery", err.message);
    found_in_path(history->path, BASALT_READ_CHECKPOINT, out_found);
    return true;
}

static bool check_after_kill(struct history *history)
{
    struct found seen, found;
    struct stat info;
    uint64_t way = test_random(&history->random) % 3;
    if (way == 0 && history->last_of_file) way = 2; /* a file's story ends with a clean close */
    if (!check_as_it_lies(history, &seen)) return false;
    if (stat(history->path, &info) != 0) return true;
    if (way == 0 &&
        has_log(history->path)) { /* the next writer recovers, and may be killed at it */
        history->read_only++;
        found_in_path(history->path, BASALT_READ_FRESH, &found);
        if (!check_found(history, &found, &seen, "a reader of the crashed store")) return false;
    } else {
        history->recoveries++;
        if (way == 1) {
            found_in_path(history->path, BASALT_READ_WRITE, &found);
        } else if (!recover(history, &found)) {
            return false;
        }
        if (!check_found(history, &found, &seen, "recovery")) return false;
        if (!check_clean(history, &found)) return false;
    }
    memcpy(history->acknowledged, found.commits, sizeof history->acknowledged); /* (3) */
    history->rows_all += found.rows - BS_MIN(found.rows, seen.rows);
    return true;
}

/* ------------------------------------------------------------------------------------------------ */

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && text[0] ? strtoull(text, NULL, 10) : otherwise;
}

static void next_file(struct history *history)
{
    char name[32];
    if (history->path[0]) unlink(history->path);
    snprintf(name, sizeof name, "killed-%u.h5", history->round);
    snprintf(history->path, sizeof history->path, "%s/%s", test_directory(), name);
    memset(history->acknowledged, 0, sizeof history->acknowledged);
}

TEST(kill, no_acknowledged_row_is_lost)
{
    struct history history = {0};
    const uint64_t kills = number_from_environment("BASALT_KILLS", KILLS_DEFAULT);
    history.seed = history.random = number_from_environment("BASALT_SEED", 20240229);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    printf("    seed %" PRIu64 ", %" PRIu64 " kills\n", history.seed, kills);
    bool good = true;
    for (history.round = 0; good && history.round < kills; history.round++) {
        uint64_t count = 0;
        if (history.round % KILLS_A_FILE == 0) next_file(&history);
        history.last_of_file =
            (history.round + 1) % KILLS_A_FILE == 0 || history.round + 1 == kills;
        good = run_and_kill(&history, &count) && check_after_kill(&history);
        history.acknowledged_all += count;
    }
    printf("FIGURE %u kills, %" PRIu64 " acknowledged, %" PRIu64 " lost\n", history.round,
        history.acknowledged_all, history.lost);
    printf(
        "    %u recoveries, %u read as they lay, %u h5dumps, %u killed before their first commit\n",
        history.recoveries, history.read_only, history.dumps, history.died_early);
    CHECK_EQ(history.lost, 0);
    CHECK(history.acknowledged_all > kills);
}
