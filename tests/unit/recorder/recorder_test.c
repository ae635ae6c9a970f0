/* recorder_test.c - sessions: where they go, what they leave, how they go on. */
#include "tests/unit/recorder/recorder_cases.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_session(const struct stage *stage, const char *path)
{
    basalt_recorder_options options = default_options();
    struct bs_recorder *recorder = NULL;
    basalt_recorder_stats stats;

    REQUIRE_OK(bs_recorder_start(&stage->parts, path, &options, &recorder, err));
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_OK(send_rows(recorder, "probe", i * 100, 100, NULL, NULL, err));
    }
    CHECK_OK(send_rows(recorder, "other/one", 0, 7, NULL, NULL, err));
    CHECK_OK(bs_recorder_set_metadata(recorder, NULL, "operator", "Ada", err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "unit", "V", err));
    CHECK_OK(bs_recorder_get_stats(recorder, &stats, err));
    CHECK_EQ(stats.batches_written, 4);
    CHECK_EQ(stats.rows_written, 307);
    CHECK_EQ(stats.num_datasets, 6);
    CHECK_EQ(stats.queue_messages, 0);
    CHECK_EQ(stats.queue_bytes, 0);
    CHECK_EQ(stats.errors, 0);
    CHECK(stats.queue_bytes_peak > 0);
    CHECK(stats.bytes_written >= 307 * 16);
    CHECK(stats.file_path && strstr(stats.file_path, bs_path_name(path)));
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK(recorder == NULL);

    CHECK_EQ(rows_in_file(stage, path, "probe"), 300);
    CHECK_EQ(rows_in_file(stage, path, "other/one"), 7);
    CHECK_ATTRIBUTE(stage, path, "probe", "instrument_id", "probe");
    CHECK_ATTRIBUTE(stage, path, "probe", "unit", "V");
    CHECK_ATTRIBUTE(stage, path, NULL, "operator", "Ada");
}

TEST(recorder, records_and_closes)
{
    struct stage stage;
    const int64_t before = test_live_allocations();
    REQUIRE_OK(stage_open(&stage, false, err));
    check_session(&stage, test_path("session.h5"));
    stage_close(&stage);
    CHECK_EQ(test_live_allocations(), before);
}

TEST(recorder, runs_over_memory_files)
{
    struct stage stage;
    REQUIRE_OK(stage_open(&stage, true, err));
    check_session(&stage, "session.h5");
    stage_close(&stage);
}

/* daq_session_YYYYMMDD_HHMMSS, then perhaps _N, then .h5 */
static bool is_session_name(const char *name)
{
    const char *pattern = "daq_session_dddddddd_dddddd";
    for (; *pattern; pattern++, name++) {
        const bool digit = *name >= '0' && *name <= '9';
        if (*pattern == 'd' && pattern[1] != 'a' ? !digit : *name != *pattern) return false;
    }
    if (*name == '_') {
        name++;
        while (*name >= '0' && *name <= '9') name++;
    }
    return strcmp(name, ".h5") == 0;
}

TEST(recorder, gives_every_session_a_file_of_its_own)
{
    struct stage stage;
    struct bs_recorder *recorders[3] = {NULL};
    basalt_recorder_options options = default_options();
    const char *directory = test_path("sessions");
    REQUIRE(mkdir(directory, 0777) == 0);
    REQUIRE_OK(stage_open(&stage, false, err));
    for (size_t i = 0; i < 3; i++) {
        REQUIRE_OK(bs_recorder_start(&stage.parts, directory, &options, &recorders[i], err));
        CHECK_OK(send_rows(recorders[i], "probe", 0, i + 1, NULL, NULL, err));
    }
    for (size_t i = 0; i < 3; i++) CHECK_OK(bs_recorder_stop(&recorders[i], err));

    unsigned files = 0;
    uint64_t rows = 0;
    DIR *dir = opendir(directory);
    REQUIRE(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[1024];
        if (entry->d_name[0] == '.') continue;
        files++;
        CHECK(is_session_name(entry->d_name));
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        rows += rows_in_file(&stage, path, "probe");
    }
    closedir(dir);
    CHECK_EQ(files, 3);
    CHECK_EQ(rows, 6);
    options.resume = true;
    basalt_error error = {0};
    CHECK_EQ(bs_recorder_start(&stage.parts, directory, &options, &recorders[0], &error),
        BASALT_BAD_ARGUMENT);
    stage_close(&stage);
}

TEST(recorder, never_overwrites_a_file)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_error error = {0};
    basalt_recorder_options options = default_options();
    const char *path = test_path("once.h5");
    REQUIRE_OK(stage_open(&stage, false, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, path, &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "probe", 0, 5, NULL, NULL, err));
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK_EQ(bs_recorder_start(&stage.parts, path, &options, &recorder, &error), BASALT_EXISTS);
    CHECK(recorder == NULL);
    CHECK(error.message[0]);
    CHECK_EQ(rows_in_file(&stage, path, "probe"), 5);
    stage_close(&stage);
}

TEST(recorder, resumes_a_session)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    basalt_error error = {0};
    struct test_schema other;
    struct ArrowArray array;
    const char *path = test_path("resumed.h5");
    REQUIRE_OK(stage_open(&stage, false, err));
    options.resume = true;
    for (uint64_t i = 0; i < 3; i++) {
        REQUIRE_OK(bs_recorder_start(&stage.parts, path, &options, &recorder, err));
        CHECK_OK(send_rows(recorder, "probe", i * 10, 10, NULL, NULL, err));
        CHECK_OK(bs_recorder_stop(&recorder, err));
    }
    CHECK_EQ(rows_in_file(&stage, path, "probe"), 30);

    /* The schema of the file binds the new session. */
    REQUIRE_OK(bs_recorder_start(&stage.parts, path, &options, &recorder, err));
    test_schema_make(&other, true);
    REQUIRE_OK(make_batch(0, 3, false, &array, err));
    CHECK_EQ(bs_recorder_write(recorder, "probe", &array, &other.root, NULL, NULL, &error),
        BASALT_SCHEMA_MISMATCH);
    CHECK(array.release != NULL);
    CHECK(strstr(error.message, "v") && strstr(error.message, "probe"));
    if (array.release) array.release(&array);
    CHECK_OK(bs_recorder_stop(&recorder, err));
    stage_close(&stage);
}

TEST(recorder, refuses_a_schema_that_changes)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_error error = {0};
    struct test_schema other, same;
    struct ArrowArray array;
    basalt_recorder_options options = default_options();
    const char *path = test_path("changes.h5");
    REQUIRE_OK(stage_open(&stage, false, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, path, &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "probe", 0, 5, NULL, NULL, err));
    test_schema_make(&other, true);
    test_schema_make(&same, false);
    REQUIRE_OK(make_batch(5, 5, false, &array, err));
    CHECK_EQ(bs_recorder_write(recorder, "probe", &array, &other.root, NULL, NULL, &error),
        BASALT_SCHEMA_MISMATCH);
    REQUIRE(array.release != NULL);
    CHECK_OK(bs_recorder_write(recorder, "probe", &array, NULL, NULL, NULL, err));
    CHECK(array.release == NULL);
    REQUIRE_OK(make_batch(0, 5, false, &array, err));
    CHECK_EQ(bs_recorder_write(recorder, "stranger", &array, NULL, NULL, NULL, &error),
        BASALT_BAD_ARGUMENT);
    if (array.release) array.release(&array);
    /* What was refused at the door is not an error of the session. */
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK_EQ(rows_in_file(&stage, path, "probe"), 10);
    stage_close(&stage);
}

TEST(recorder, refuses_bad_names_and_options)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    static char long_name[5000], long_value[64002];
    memset(long_name, 'n', sizeof long_name - 1);
    memset(long_value, 'v', sizeof long_value - 1);
    REQUIRE_OK(stage_open(&stage, true, err));
    options.struct_bytes--;
    CHECK_EQ(
        bs_recorder_start(&stage.parts, "a.h5", &options, &recorder, NULL), BASALT_BAD_ARGUMENT);
    options = default_options();
    options.mailbox_messages_max = 0;
    CHECK_EQ(
        bs_recorder_start(&stage.parts, "a.h5", &options, &recorder, NULL), BASALT_BAD_ARGUMENT);
    options = default_options();
    REQUIRE_OK(bs_recorder_start(&stage.parts, "a.h5", &options, &recorder, err));
    CHECK_EQ(send_rows(recorder, "", 0, 1, NULL, NULL, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(send_rows(recorder, "\xff", 0, 1, NULL, NULL, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(send_rows(recorder, long_name, 0, 1, NULL, NULL, NULL), BASALT_TOO_LARGE);
    CHECK_EQ(bs_recorder_set_metadata(recorder, NULL, "", "x", NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_recorder_set_metadata(recorder, NULL, "k", "\xc0", NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_recorder_set_metadata(recorder, NULL, "k", long_value, NULL), BASALT_TOO_LARGE);
    CHECK_OK(bs_recorder_set_metadata(recorder, NULL, "k", "", err));
    CHECK_OK(bs_recorder_stop(&recorder, err));
    stage_close(&stage);
}

static void record_until_killed(const struct stage *stage, const char *path, int acknowledge)
{
    basalt_recorder_options options = default_options();
    struct bs_recorder *recorder = NULL;
    if (bs_recorder_start(&stage->parts, path, &options, &recorder, NULL)) _exit(3);
    for (uint64_t row = 0;; row += 10) {
        if (send_rows(recorder, "probe", row, 10, NULL, NULL, NULL)) _exit(4);
        if (write(acknowledge, "x", 1) != 1) _exit(5);
    }
}

TEST(recorder, loses_nothing_when_it_is_killed)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    const char *path = test_path("killed.h5");
    uint64_t acknowledged = 0;
    char byte;
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    REQUIRE_OK(stage_open(&stage, false, err));
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) record_until_killed(&stage, path, pipe_ends[1]);
    close(pipe_ends[1]);
    while (acknowledged < 50 && read(pipe_ends[0], &byte, 1) == 1) acknowledged++;
    kill(child, SIGKILL);
    while (read(pipe_ends[0], &byte, 1) == 1) acknowledged++;
    close(pipe_ends[0]);
    int outcome = 0;
    CHECK(waitpid(child, &outcome, 0) == child && WIFSIGNALED(outcome));
    CHECK(acknowledged >= 50);

    options.resume = true;
    REQUIRE_OK(bs_recorder_start(&stage.parts, path, &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "probe", 0, 1, NULL, NULL, err));
    CHECK_OK(bs_recorder_stop(&recorder, err));
    const uint64_t rows = rows_in_file(&stage, path, "probe");
    CHECK(rows >= acknowledged * 10 + 1);
    CHECK(rows <= acknowledged * 10 + 11); /* the one that was committed and not acknowledged */
    CHECK_EQ(rows % 10, 1);
    stage_close(&stage);
}

TEST(recorder, is_inert_in_a_forked_child)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    REQUIRE_OK(stage_open(&stage, false, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, test_path("forked.h5"), &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "probe", 0, 1, NULL, NULL, err));
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool inert =
            send_rows(recorder, "probe", 0, 1, NULL, NULL, NULL) == BASALT_BAD_ARGUMENT &&
            bs_recorder_flush(recorder, NULL) == BASALT_BAD_ARGUMENT;
        _exit(inert ? 0 : 1);
    }
    int outcome = 0;
    CHECK(waitpid(child, &outcome, 0) == child);
    CHECK(WIFEXITED(outcome) && WEXITSTATUS(outcome) == 0);
    CHECK_OK(bs_recorder_stop(&recorder, err));
    stage_close(&stage);
}

/* A whole session in which the step-th allocation fails. The threads share the count, so which call
 * meets the fault may differ from run to run; what must hold does not. */
TEST(recorder, no_fault_leaks_or_hangs)
{
    EACH_FAULT (step) {
        struct stage stage;
        struct bs_recorder *recorder = NULL;
        basalt_recorder_options options = default_options();
        basalt_error error = {0};
        uint64_t acknowledged = 0;
        const int64_t before = test_live_allocations();
        options.store.log_segment_bytes = 65536;
        options.store.checkpoint_age_ms = 0;
        basalt_status status = stage_open(&stage, true, &error);
        if (!status) status = bs_recorder_start(&stage.parts, "f.h5", &options, &recorder, &error);
        if (recorder) {
            status = bs_recorder_set_metadata(recorder, "probe", "unit", "V", &error);
            if (!send_rows(recorder, "probe", 0, 4, NULL, NULL, NULL)) acknowledged = 4;
            if (!send_rows(recorder, "probe", 4, 4, NULL, NULL, NULL)) acknowledged += 4;
            const basalt_status stopped = bs_recorder_stop(&recorder, &error);
            if (!status) status = stopped;
        }
        fault_stop();
        if (!status && stage.vfs) CHECK_EQ(rows_in_file(&stage, "f.h5", "probe"), acknowledged);
        if (status) CHECK(error.status != BASALT_OK && error.message[0]);
        stage_close(&stage);
        CHECK_EQ(test_live_allocations(), before);
    }
}
