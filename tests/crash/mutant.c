/* mutant.c - is a known defect found? Two short histories, their images until the one that shows it.
 *
 * Linked once with the library as it is, and once with each defect (BASALT_MUTANT_*) built in; the
 * environment's BASALT_MUTANT says which. Found means: by a crash of the kind that the defect is about,
 * with the complaint that it must cause; and nothing is found where there is no defect. */
#include "tests/crash/examine.h"
#include "tests/crash/wal_crash.h"
#include "tests/harness/test.h"

#include <stdlib.h>

#define ROUNDS 3

enum { BY_STORE = 1, BY_LOG = 2, BY_WAITING = 4 };

struct defect {
    const char *name;
    unsigned by;            /* what is looked at */
    bool by_kill;           /* a kill may show it; else only power loss */
    const char *complaints; /* separated by |, of which one it must cause; NULL: no defect */
};

static const struct defect defects[] = {
    {"none", BY_STORE | BY_LOG | BY_WAITING, false, NULL},
    {"no_data_sync", BY_STORE, false, "open: |libhdf5"},
    {"flip_before_sync", BY_STORE, false, "open: |libhdf5"},
    {"log_deleted_early", BY_STORE, false, "segment is missing|were acknowledged"},
    {"cut_off_by_one", BY_STORE, true, "checkpointed were"},
    {"reuse_one_commit_early", BY_STORE, true, "open: |libhdf5"},
    {"no_open_mark", BY_STORE, true, "says that it was closed"},
    {"no_directory_sync", BY_STORE, false, "were acknowledged"},
    {"acknowledged_before_sync", BY_LOG, false, "acknowledged was"},
    {"notify_before_clear", BY_WAITING, false, "sleep for good"},
};

static const struct defect *find_defect(void)
{
    const char *name = getenv("BASALT_MUTANT");
    for (size_t i = 0; name && i < BS_ARRAY_LENGTH(defects); i++) {
        if (!strcmp(defects[i].name, name)) return &defects[i];
    }
    return NULL;
}

/* Segments fill up, checkpoints come, segments go. */
static basalt_status live(struct history *history, basalt_error *err)
{
    basalt_status status = history_open(history, err);
    if (!status) status = history_rotate(history, ROUNDS, err);
    return status ? status : history_close(history, err);
}

static void print(const struct defect *defect, const struct crash_tally *tally)
{
    printf("FIGURE mutant %s: %s", defect->name, tally->first_text[0] ? "found" : "nothing found");
    if (tally->distinct) printf(" after %" PRIu64 " images", tally->distinct);
    if (tally->first_text[0] && tally->distinct) {
        printf(", by %s, before a %s", powerloss_kind_name(tally->first.kind),
            powerloss_event_name(tally->first.cut_at));
    }
    if (tally->first_text[0]) printf(": %s", tally->first_text);
    printf("\n");
}

/* A defect may end the history early; what it has left is looked at all the same. */
static void look_at_store(const struct defect *defect, struct crash_tally *sum)
{
    const struct plan plan = {
        "a mutant's history", 1, 0, {.each_max = 16, .seed = 1, .guarded_path = STORE_PATH}};
    static struct report report;
    struct history *history = NULL;
    basalt_error error = {0};
    REQUIRE_OK((history = history_create(plan.seed, err)) ? BASALT_OK : err->status);
    if (live(history, &error)) {
        printf("the history ended: %s\n", error.message);
        if (!defect->complaints) CHECK_EQ(error.status, BASALT_OK);
        if (history->store) history_kill(history);
    }
    examine_until_broken(history, &plan, defect->complaints, &report);
    history_free(history);
    crash_add(sum, &report.tally);
}

static void look_at_log(const struct defect *defect, struct crash_tally *sum)
{
    struct crash_tally tally;
    REQUIRE_OK(wal_crash_until_broken(defect->complaints, &tally, err));
    crash_add(sum, &tally);
    crash_free(&tally);
}

static void look_at_waiting(struct crash_tally *sum)
{
    const struct powerloss_image live = {.kind = POWERLOSS_ALL, .cut_at = POWERLOSS_END};
    struct crash_tally tally = {0};
    if (wal_crash_crowd_stops()) {
        crash_fail(&tally, &live, "the threads that wait for a sync sleep for good");
    }
    crash_add(sum, &tally);
}

TEST(mutant, is_found)
{
    const struct defect *defect = find_defect();
    struct crash_tally tally = {0};
    REQUIRE(defect);
    if (defect->by & BY_STORE) look_at_store(defect, &tally);
    if (defect->by & BY_LOG) look_at_log(defect, &tally);
    if (defect->by & BY_WAITING) look_at_waiting(&tally);
    const bool killed =
        tally.first.kind == POWERLOSS_KILLED || tally.first.kind == POWERLOSS_KILLED_TORN;
    print(defect, &tally);
    if (!defect->complaints) {
        CHECK_EQ(tally.failures, 0);
        return;
    }
    CHECK(tally.first_text[0]);
    CHECK(defect->by_kill || !killed);
}
