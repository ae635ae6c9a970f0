/* examine.c - what is asked of every image:
 *   by Basalt     opened as after a crash: every acknowledged row is there, no row is that was never
 *                 handed over, every value is right, transactions over two families are whole
 *   by libhdf5    the bytes of the file alone: it opens (unless its first sector is the garbage one),
 *                 shows at least the last acknowledged checkpoint, all families at one cut
 *                 and if it says that it was closed, every row that the log has
 *   samples of it read without recovering (and without a write), closed cleanly, dumped by h5dump, opened
 *                 without their log (refused, unless they say that they were closed),
 *                 and crashed again within the recovery, every image of which must do as well.
 * The work is divided among forked processes by the hash of the image. */
#include "tests/crash/examine.h"

#include "tests/crash/look.h"
#include "tests/harness/harness_memory.h"
#include "tests/harness/test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 8u
#define BUDGET_BYTES ((uint64_t)1 << 30)
#define FAILURES_END 20
#define KNOWN_FILES ((size_t)1 << 14) /* remembered, each in its own place or not at all */
#define KNOWN_IMAGES ((size_t)1 << 15)
#define FRESH_EVERY 16 /* images; of the samples */
#define CLOSE_EVERY 16
#define MOVE_EVERY 16
#define DUMP_EVERY 256
#define DUMPS_MAX 6u

struct known_file {
    uint64_t hash;
    basalt_status status;
    struct seen seen;
};

/* What Basalt saw in an image; it is the same when the image comes again with a higher mark. */
struct known_image {
    uint64_t hash;
    struct seen seen;
};

struct examiner {
    struct history *history;
    const struct plan *plan;
    const uint8_t *stages; /* by event */
    struct bs_budget *budget;
    unsigned part, parts;
    bool until_broken; /* else until enough is broken to be sure */
    struct report report;
    struct known_file *known;
    struct known_image *images;
    const struct promise *second_promise; /* while a recovery is crashed */
    bool second_killed, second_destroyed; /* the crash was a kill; had left a garbage superblock */
    const struct powerloss_image *first;  /* what that crash left */
};

static bool goes_on(const struct examiner *self, const struct crash_tally *tally)
{
    return self->until_broken ? !tally->first_text[0] : tally->failures < FAILURES_END;
}

/* ---- promises against what is seen ----------------------------------------------------------- */

static uint64_t rows_or_none(const struct seen *seen, unsigned family)
{
    return seen->rows[family] == UINT64_MAX ? 0 : seen->rows[family];
}

static bool is_kill(const struct powerloss_image *image)
{
    return image->kind == POWERLOSS_KILLED || image->kind == POWERLOSS_KILLED_TORN;
}

static void check_seen(struct crash_tally *tally, const struct powerloss_image *image,
    const struct promise *promise, bool killed, const struct seen *seen)
{
    for (unsigned f = 0; f < FAMILIES; f++) {
        const uint64_t rows = rows_or_none(seen, f);
        const uint64_t least = killed ? promise->buffered[f] : promise->synced[f];
        const bool made = killed ? promise->made_buffered[f] : promise->made_synced[f];
        const char *name = family_sketches[f].name;
        if (made && seen->rows[f] == UINT64_MAX) crash_fail(tally, image, "%s is not there", name);
        if (seen->rows[f] != UINT64_MAX && !promise->made_attempted[f]) {
            crash_fail(tally, image, "%s is there already", name);
        }
        if (rows < least || rows > promise->attempted[f]) {
            crash_fail(tally, image,
                "%s has %" PRIu64 " rows, %" PRIu64 " were acknowledged, %" PRIu64 " handed over",
                name, rows, least, promise->attempted[f]);
        }
    }
    if (rows_or_none(seen, PAIR_A) != rows_or_none(seen, PAIR_B)) {
        crash_fail(tally, image, "half a transaction: %" PRIu64 " and %" PRIu64 " rows",
            rows_or_none(seen, PAIR_A), rows_or_none(seen, PAIR_B));
    }
    const uint64_t least = killed ? promise->step_buffered : promise->step_synced;
    if (seen->step < least || seen->step > promise->step_attempted) {
        crash_fail(tally, image, "step %" PRIu64 ", acknowledged was %" PRIu64, seen->step, least);
    }
}

/* The file alone: at least the last acknowledged checkpoint, and no more than Basalt knows. */
static void check_shown(struct crash_tally *tally, const struct powerloss_image *image,
    const struct promise *promise, const struct seen *shown, const struct seen *known)
{
    for (unsigned f = 0; f < FAMILIES; f++) {
        const uint64_t rows = rows_or_none(shown, f);
        if (rows < promise->shown[f] || rows > rows_or_none(known, f)) {
            crash_fail(tally, image,
                "libhdf5 sees %" PRIu64 " rows of %s, checkpointed were %" PRIu64
                ", Basalt sees %" PRIu64,
                rows, family_sketches[f].name, promise->shown[f], rows_or_none(known, f));
        }
    }
    if (rows_or_none(shown, PAIR_A) != rows_or_none(shown, PAIR_B)) {
        crash_fail(tally, image, "libhdf5 sees two cuts: %" PRIu64 " and %" PRIu64 " rows",
            rows_or_none(shown, PAIR_A), rows_or_none(shown, PAIR_B));
    }
}

/* A file that says "closed" has all there is. */
static void check_mark(struct examiner *self, struct crash_tally *tally,
    const struct powerloss_image *image, const struct seen *shown, const struct seen *known)
{
    self->report.say_closed += shown->closed;
    self->report.say_open += !shown->closed;
    for (unsigned f = 0; shown->closed && f < FAMILIES; f++) {
        if (shown->rows[f] == known->rows[f]) continue;
        crash_fail(tally, image,
            "the file says that it was closed, with %" PRIu64 " rows of %s: there are %" PRIu64,
            rows_or_none(shown, f), family_sketches[f].name, rows_or_none(known, f));
    }
}

/* ---- libhdf5 --------------------------------------------------------------------------------- */

static basalt_status look_at_file(struct examiner *self, const struct powerloss_file *file,
    struct seen *out_seen, basalt_error *err)
{
    struct known_file *known = &self->known[file->hash % KNOWN_FILES];
    self->report.hdf5_looks++;
    if (known->hash != file->hash || known->status) {
        self->report.hdf5_files++;
        known->hash = file->hash;
        known->status = look_with_libhdf5(file->bytes, file->size, &known->seen, err);
    }
    *out_seen = known->seen;
    return known->status;
}

static void examine_bytes(struct examiner *self, struct crash_tally *tally,
    const struct powerloss_image *image, const struct promise *promise, const struct seen *known)
{
    const struct powerloss_file *file = powerloss_find(image, STORE_PATH);
    struct seen shown;
    basalt_error error = {0};
    if (!file) {
        if (promise->store) crash_fail(tally, image, "the file is gone");
        return;
    }
    if (!superblock_is_whole(file->bytes, file->size)) {
        const bool may =
            image->kind == POWERLOSS_GARBAGE || !promise->store || self->second_destroyed;
        if (!may) crash_fail(tally, image, "the superblock is not whole");
        self->report.restored += image->kind == POWERLOSS_GARBAGE;
        return;
    }
    if (look_at_file(self, file, &shown, &error)) {
        crash_fail(tally, image, "%s: %s", basalt_status_name(error.status), error.message);
        return;
    }
    check_shown(tally, image, promise, &shown, known);
    check_mark(self, tally, image, &shown, known);
}

/* The store's file as it lies in `vfs` now; harness_free it. NULL if it cannot be read. */
static uint8_t *read_file(struct bs_vfs *vfs, size_t *out_count)
{
    struct bs_file *file = NULL;
    uint64_t size = 0;
    uint8_t *bytes = NULL;
    if (bs_file_open(vfs, STORE_PATH, BS_OPEN_READ, &file, NULL)) return NULL;
    if (!bs_file_size(file, &size, NULL)) {
        bytes = harness_zeroed((size_t)size, 1);
        if (bs_file_read_all_at(file, bytes, (size_t)size, 0, NULL)) {
            harness_free(bytes);
            bytes = NULL;
        }
    }
    bs_file_close(file);
    *out_count = (size_t)size;
    return bytes;
}

static void dump(struct examiner *self, struct crash_tally *tally,
    const struct powerloss_image *image, const struct powerloss_file *file)
{
    char command[1200], path[600];
    snprintf(path, sizeof path, "%s/image-%u.h5", test_directory(), self->part);
    FILE *out = fopen(path, "wb");
    if (!out) return;
    const bool written = fwrite(file->bytes, 1, file->size, out) == file->size;
    fclose(out);
    snprintf(command, sizeof command, "'%s' '%s' >/dev/null 2>&1", H5DUMP_COMMAND, path);
    if (!written || system(command)) crash_fail(tally, image, "h5dump does not read it");
    self->report.dumped++;
}

/* ---- samples --------------------------------------------------------------------------------- */

static basalt_status ignore_logs(void *context, const char *name, basalt_error *err)
{
    (void)err;
    *(unsigned *)context += strstr(name, "-log") != NULL;
    return BASALT_OK;
}

/* After a clean close the file alone is left, and shows everything. */
static void examine_closed(struct examiner *self, const struct powerloss_image *image,
    struct bs_vfs *vfs, const struct seen *seen)
{
    struct crash_tally *tally = &self->report.tally;
    unsigned logs = 0;
    size_t count = 0;
    struct seen shown;
    basalt_error error = {0};
    self->report.closed++;
    (void)!vfs->ops->list(vfs, STORE_DIRECTORY, ignore_logs, &logs, NULL);
    if (logs) crash_fail(tally, image, "%u logs are left after a clean close", logs);
    uint8_t *bytes = read_file(vfs, &count);
    if (!bytes || look_with_libhdf5(bytes, count, &shown, &error)) {
        crash_fail(tally, image, "after a clean close: %s", error.message);
    } else {
        for (unsigned f = 0; f < FAMILIES; f++) {
            if (rows_or_none(&shown, f) != rows_or_none(seen, f)) {
                crash_fail(tally, image, "a clean close shows %" PRIu64 " rows of %s, not %" PRIu64,
                    rows_or_none(&shown, f), family_sketches[f].name, rows_or_none(seen, f));
            }
        }
        if (!shown.closed) crash_fail(tally, image, "a clean close does not say so");
    }
    harness_free(bytes);
}

/* The file alone, as if it had been moved away from its log: either it says that nothing is missing and
 * is right, or it is refused until its user gives the log up. */
static void examine_moved(
    struct examiner *self, const struct powerloss_image *image, const struct powerloss_file *file)
{
    struct crash_tally *tally = &self->report.tally;
    struct bs_vfs *vfs = powerloss_create_from(image);
    struct seen shown, seen = {0};
    basalt_error error = {0};
    if (look_at_file(self, file, &shown, &error)) goto out; /* is told elsewhere */
    self->report.moved++;
    basalt_status status = look_without_log(vfs, self->budget, false, &seen, &error);
    if (!shown.closed) {
        self->report.refused++;
        if (status != BASALT_CONFLICT) {
            crash_fail(tally, image, "a file without its log is not refused: %s %s",
                basalt_status_name(status), error.message);
            goto out;
        }
        status = look_without_log(vfs, self->budget, true, &seen, &error);
    } else if (status == BASALT_READ_ONLY) {
        /* Closed, and killed before its permission bits were given back: they may be its user's
         * wish. */
        status = look_with_basalt(vfs, self->budget, true, false, &seen, &error);
    }
    if (status) {
        crash_fail(tally, image, "without its log: %s", error.message);
        goto out;
    }
    for (unsigned f = 0; f < FAMILIES; f++) {
        if (seen.rows[f] == shown.rows[f]) continue;
        crash_fail(tally, image, "without its log there are %" PRIu64 " rows of %s, not %" PRIu64,
            rows_or_none(&seen, f), family_sketches[f].name, rows_or_none(&shown, f));
    }
out:
    bs_vfs_free(vfs);
}

/* Reading without recovering gives the same rows and changes nothing. */
static void examine_fresh(
    struct examiner *self, const struct powerloss_image *image, const struct seen *seen)
{
    struct crash_tally *tally = &self->report.tally;
    struct bs_vfs *vfs = powerloss_create_from(image);
    struct seen fresh;
    basalt_error error = {0};
    self->report.fresh++;
    if (look_with_basalt(vfs, self->budget, true, false, &fresh, &error)) {
        crash_fail(tally, image, "%s: %s", basalt_status_name(error.status), error.message);
    } else {
        for (unsigned f = 0; f < FAMILIES; f++) {
            if (fresh.rows[f] != seen->rows[f]) {
                crash_fail(tally, image, "a reader sees %" PRIu64 " rows of %s, recovery %" PRIu64,
                    fresh.rows[f], family_sketches[f].name, seen->rows[f]);
            }
        }
    }
    if (powerloss_event_count(vfs)) {
        crash_fail(tally, image, "a reader changed something on the disk");
    }
    bs_vfs_free(vfs);
}

static bool examine_second(void *context, const struct powerloss_image *image)
{
    struct examiner *self = context;
    struct crash_tally *tally = &self->report.second;
    struct bs_vfs *vfs = powerloss_create_from(image);
    struct seen seen;
    basalt_error error = {0};
    (void)crash_count(tally, image);
    if (look_with_basalt(vfs, self->budget, false, false, &seen, &error)) {
        crash_fail(tally, image, "in the recovery of %s, cut at event %" PRIu64 " (%s): %s",
            powerloss_kind_name(self->first->kind), self->first->cut,
            powerloss_event_name(self->first->cut_at), error.message);
    } else {
        check_seen(tally, image, self->second_promise, self->second_killed, &seen);
        examine_bytes(self, tally, image, self->second_promise, &seen);
    }
    bs_vfs_free(vfs);
    return goes_on(self, tally);
}

/* ---- every image ----------------------------------------------------------------------------- */

static void examine_recovery(struct examiner *self, const struct powerloss_image *image,
    const struct promise *promise, struct bs_vfs *vfs)
{
    const struct powerloss_options options = {.all_subsets_max = 3,
        .each_max = 3,
        .seed = image->hash,
        .guarded_path = promise->store ? STORE_PATH : NULL};
    self->second_promise = promise;
    self->first = image;
    self->second_killed = is_kill(image);
    self->second_destroyed = image->kind == POWERLOSS_GARBAGE;
    (void)powerloss_images(vfs, 0, powerloss_event_count(vfs), &options, examine_second, self);
    self->second_destroyed = false;
}

/* `vfs` is the image after Basalt has recovered it, and has closed it where the lot says so. */
static void examine_sample(struct examiner *self, const struct powerloss_image *image,
    const struct promise *promise, struct bs_vfs *vfs, const struct seen *seen)
{
    const uint64_t lot = image->hash >> 20;
    const bool readable = promise->store && image->kind != POWERLOSS_GARBAGE;
    const struct powerloss_file *file = powerloss_find(image, STORE_PATH);
    if (lot % CLOSE_EVERY == 0) examine_closed(self, image, vfs, seen);
    const uint64_t second_every = self->plan->second_every;
    if (second_every && lot % second_every == 1) examine_recovery(self, image, promise, vfs);
    if (readable && lot % FRESH_EVERY == 2) examine_fresh(self, image, seen);
    if (readable && file && lot % MOVE_EVERY == 4 && superblock_is_whole(file->bytes, file->size)) {
        examine_moved(self, image, file);
    }
    if (readable && file && self->report.dumped < DUMPS_MAX && lot % DUMP_EVERY == 3) {
        dump(self, &self->report.tally, image, file);
    }
}

static bool examine(void *context, const struct powerloss_image *image)
{
    struct examiner *self = context;
    struct crash_tally *tally = &self->report.tally;
    const struct promise *promise = &self->history->promises[image->mark];
    const uint64_t lot = image->hash >> 20;
    if ((image->hash >> 8) % self->parts != self->part) return true;

    struct known_image *known = &self->images[image->hash % KNOWN_IMAGES];
    const bool is_new = crash_count(tally, image);
    if (is_new) crash_count_stages(tally, image, self->stages[image->cut]);
    if (!is_new && known->hash == image->hash) {
        check_seen(tally, image, promise, is_kill(image), &known->seen);
        examine_bytes(self, tally, image, promise, &known->seen);
        return goes_on(self, tally);
    }
    struct seen seen;
    basalt_error error = {0};
    const bool close = lot % CLOSE_EVERY == 0;
    struct bs_vfs *vfs = powerloss_create_from(image);
    if (look_with_basalt(vfs, self->budget, false, close, &seen, &error)) {
        crash_fail(tally, image, "%s: %s", basalt_status_name(error.status), error.message);
    } else {
        *known = (struct known_image){image->hash, seen};
        check_seen(tally, image, promise, is_kill(image), &seen);
        examine_bytes(self, tally, image, promise, &seen);
        examine_sample(self, image, promise, vfs, &seen);
    }
    bs_vfs_free(vfs);
    return goes_on(self, tally);
}

static struct examiner *examiner_create(
    struct history *history, const struct plan *plan, const uint8_t *stages)
{
    struct examiner *self = harness_zeroed(1, sizeof *self);
    self->history = history;
    self->plan = plan;
    self->stages = stages;
    self->parts = 1;
    self->known = harness_zeroed(KNOWN_FILES, sizeof self->known[0]);
    self->images = harness_zeroed(KNOWN_IMAGES, sizeof self->images[0]);
    if (bs_budget_create(NULL, "examiner", BUDGET_BYTES, &self->budget, NULL)) exit(3);
    return self;
}

static void examiner_free(struct examiner *self)
{
    harness_free(self->known);
    harness_free(self->images);
    bs_budget_free(self->budget);
    harness_free(self);
}

static void run(struct examiner *self)
{
    struct bs_vfs *vfs = self->history->vfs;
    (void)powerloss_images(vfs, self->history->first_event, powerloss_event_count(vfs),
        &self->plan->options, examine, self);
    crash_free_seen(&self->report.tally);
    crash_free_seen(&self->report.second);
}

static uint8_t *stages_of(const struct history *history)
{
    return stages_find(history->vfs, STORE_PATH, history->turns, history->turn_count);
}

void examine_until_broken(
    struct history *history, const struct plan *plan, const char *wanted, struct report *out_report)
{
    uint8_t *stages = stages_of(history);
    struct examiner *self = examiner_create(history, plan, stages);
    self->until_broken = true;
    self->report.tally.wanted = wanted;
    run(self);
    *out_report = self->report;
    examiner_free(self);
    harness_free(stages);
}

static void examine_part(struct examiner *self, unsigned part, unsigned parts, int out)
{
    self->part = part;
    self->parts = parts;
    run(self);
    const ssize_t written = write(out, &self->report, sizeof self->report);
    _exit(written == (ssize_t)sizeof self->report ? 0 : 3);
}

static bool gather_report(int from, struct report *sum)
{
    struct report part;
    size_t got = 0;
    while (got < sizeof part) {
        const ssize_t count = read(from, (char *)&part + got, sizeof part - got);
        if (count <= 0) return false;
        got += (size_t)count;
    }
    crash_add(&sum->tally, &part.tally);
    crash_add(&sum->second, &part.second);
    sum->hdf5_looks += part.hdf5_looks;
    sum->hdf5_files += part.hdf5_files;
    sum->fresh += part.fresh;
    sum->closed += part.closed;
    sum->dumped += part.dumped;
    sum->restored += part.restored;
    sum->say_closed += part.say_closed;
    sum->say_open += part.say_open;
    sum->moved += part.moved;
    sum->refused += part.refused;
    return true;
}

bool examine_all(struct history *history, const struct plan *plan, struct report *out_report)
{
    const unsigned parts = BS_MIN(bs_processor_count(), PROCESSES_MAX);
    int pipes[PROCESSES_MAX][2];
    pid_t children[PROCESSES_MAX];
    uint8_t *stages = stages_of(history);
    struct examiner *self = examiner_create(history, plan, stages);
    unsigned begun = 0;
    bool good = true;
    (void)test_directory(); /* one for all */
    fflush(NULL);
    while (good && begun < parts) {
        good = pipe(pipes[begun]) == 0;
        if (!good) break;
        children[begun] = fork();
        if (children[begun] == 0) examine_part(self, begun, parts, pipes[begun][1]);
        close(pipes[begun][1]);
        good = children[begun] > 0;
        begun += good;
    }
    for (unsigned i = 0; i < begun; i++) {
        int ended = 0;
        good &= gather_report(pipes[i][0], out_report);
        close(pipes[i][0]);
        good &= waitpid(children[i], &ended, 0) == children[i] && ended == 0;
    }
    examiner_free(self);
    harness_free(stages);
    return good;
}

void examine_print(const struct report *report, const char *name, uint64_t ns)
{
    char second[100];
    crash_print(&report->tally, name);
    snprintf(second, sizeof second, "%s, within recoveries", name);
    crash_print(&report->second, second);
    printf("%s: libhdf5 read %" PRIu64 " images of %" PRIu64 " distinct files; %" PRIu64
           " with a destroyed superblock, %" PRIu64 " closed cleanly, %" PRIu64
           " read without recovery, %" PRIu64 " dumped by h5dump, in %.1f s\n",
        name, report->hdf5_looks, report->hdf5_files, report->restored, report->closed,
        report->fresh, report->dumped, (double)ns / 1e9);
    printf("%s: %" PRIu64 " files say closed, %" PRIu64 " open; %" PRIu64
           " opened without their log, %" PRIu64 " refused for it\n",
        name, report->say_closed, report->say_open, report->moved, report->refused);
}
