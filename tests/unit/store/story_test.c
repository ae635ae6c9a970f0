/* story_test.c - what a file says of itself, and what is said of a file and a log that do not belong
 * together. */
#include "store/store_internal.h"
#include "tests/harness/faulty_vfs.h"
#include "tests/unit/store/store_help.h"

struct place {
    struct help_env env;
    struct help_schema schema;
};

static void open_place(struct place *place)
{
    help_env_open(&place->env, NULL, 0);
    help_schema_open(&place->schema, "t:l,x:g?");
}

static void close_place(struct place *place)
{
    help_schema_close(&place->schema);
    help_env_close(&place->env);
}

static struct bs_store *open_store(struct place *place, const char *path, basalt_access access)
{
    const basalt_store_options options = help_options(access);
    struct bs_store *store = NULL;
    CHECK_OK(bs_store_open(&place->env.parts, path, &options, &store, err));
    return store;
}

static basalt_status refusal(
    struct place *place, const char *path, basalt_access access, basalt_error *out_err)
{
    const basalt_store_options options = help_options(access);
    struct bs_store *store = NULL;
    const basalt_status status = bs_store_open(&place->env.parts, path, &options, &store, out_err);
    if (!status) bs_store_abandon(store);
    return status;
}

static struct bs_store *make(struct place *place, const char *path, uint64_t rows)
{
    struct bs_store *store = open_store(place, path, BASALT_CREATE_NEW);
    if (!store) return NULL;
    CHECK_OK(bs_store_family_create(store, "a", &place->schema.root, NULL, err));
    CHECK_OK(help_append(store, "a", &place->schema, 0, rows, BASALT_BUFFERED, err));
    return store;
}

static uint8_t *read_bytes(struct place *place, const char *path, size_t *out_count)
{
    struct bs_file *file = NULL;
    uint64_t size = 0;
    CHECK_OK(bs_file_open(place->env.parts.vfs, path, BS_OPEN_READ, &file, err));
    CHECK_OK(bs_file_size(file, &size, err));
    uint8_t *bytes = calloc(1, size + 1);
    CHECK_OK(bs_file_read_all_at(file, bytes, size, 0, err));
    bs_file_close(file);
    *out_count = size;
    return bytes;
}

static enum bs_mark mark_of(struct place *place, const char *path)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_identity identity = {0};
    CHECK_OK(bs_file_open(place->env.parts.vfs, path, BS_OPEN_READ, &file, err));
    CHECK_OK(bs_h5_file_open(file, &h5, err));
    CHECK_OK(bs_h5_identity_read(h5, &identity, err));
    bs_h5_file_close(h5);
    bs_file_close(file);
    return bs_mark_of(&identity);
}

static basalt_inspection inspect(struct place *place, const char *path)
{
    basalt_inspection found;
    CHECK_OK(bs_store_inspect(place->env.parts.vfs, path, &found, err));
    return found;
}

static void rename_file(struct place *place, const char *from, const char *to)
{
    CHECK_OK(place->env.parts.vfs->ops->rename(place->env.parts.vfs, from, to, false, err));
}

/* A dead writer left it protected; whoever does this has taken that away. */
static struct bs_file *open_to_write(struct place *place, const char *path)
{
    struct bs_file *file = NULL;
    CHECK_OK(bs_file_open(place->env.parts.vfs, path, BS_OPEN_READ, &file, err));
    CHECK_OK(file->ops->set_mode(file, 0644, err));
    bs_file_close(file);
    CHECK_OK(bs_file_open(place->env.parts.vfs, path, BS_OPEN_WRITE, &file, err));
    return file;
}

static void note_sentence(void *context, basalt_finding finding, const char *sentence)
{
    CHECK_EQ(finding, BASALT_FINDING_FAULT);
    snprintf(context, BASALT_ERROR_MESSAGE_BYTES, "%s", sentence);
}

static uint64_t faults_of(
    struct place *place, const char *path, char out_last[BASALT_ERROR_MESSAGE_BYTES])
{
    uint64_t faults = 0;
    out_last[0] = '\0';
    CHECK_OK(bs_store_verify(&place->env.parts, path, note_sentence, NULL, out_last, &faults, err));
    return faults;
}

static void check_rows(struct place *place, const char *path, basalt_access access, uint64_t rows)
{
    struct bs_store *store = open_store(place, path, access);
    REQUIRE(store);
    help_check_rows(store, NULL, "a", &place->schema, rows);
    CHECK_OK(bs_store_close(&store, err));
}

/* ---- the mark ---------------------------------------------------------------------------------- */

TEST(story, the_mark_follows_the_life_of_the_store)
{
    struct place place;
    open_place(&place);
    struct bs_store *store = open_store(&place, "/a.h5", BASALT_CREATE_NEW);
    REQUIRE(store);
    CHECK_EQ(mark_of(&place, "/a.h5"), BS_MARK_CLOSED); /* a kill here leaves nothing behind */
    CHECK_OK(bs_store_family_create(store, "a", &place.schema.root, NULL, err));
    CHECK_EQ(mark_of(&place, "/a.h5"), BS_MARK_OPEN);
    CHECK_OK(help_append(store, "a", &place.schema, 0, 10, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_checkpoint(store, err));
    CHECK_EQ(mark_of(&place, "/a.h5"), BS_MARK_OPEN);
    CHECK(!inspect(&place, "/a.h5").warning[0]);
    CHECK_OK(bs_store_close(&store, err));
    CHECK_EQ(mark_of(&place, "/a.h5"), BS_MARK_CLOSED);
    store = open_store(&place, "/a.h5", BASALT_READ_WRITE);
    REQUIRE(store);
    CHECK_EQ(mark_of(&place, "/a.h5"), BS_MARK_CLOSED);
    CHECK_OK(bs_store_set_attribute(store, NULL, "k", "v", err));
    CHECK_EQ(mark_of(&place, "/a.h5"), BS_MARK_OPEN);
    bs_store_abandon(store);
    store = open_store(&place, "/a.h5", BASALT_READ_WRITE); /* recovers */
    REQUIRE(store);
    CHECK_EQ(mark_of(&place, "/a.h5"), BS_MARK_OPEN);
    CHECK_OK(bs_store_close(&store, err));
    CHECK_EQ(mark_of(&place, "/a.h5"), BS_MARK_CLOSED);
    close_place(&place);
}

TEST(story, an_open_that_writes_nothing_changes_no_byte)
{
    struct place place;
    size_t count = 0, count_after = 0;
    open_place(&place);
    struct bs_store *store = make(&place, "/a.h5", 1000);
    REQUIRE(store);
    CHECK_OK(bs_store_close(&store, err));
    uint8_t *before = read_bytes(&place, "/a.h5", &count);
    store = open_store(&place, "/a.h5", BASALT_READ_WRITE);
    REQUIRE(store);
    CHECK_OK(bs_store_checkpoint(store, err));
    CHECK_OK(bs_store_close(&store, err));
    uint8_t *after = read_bytes(&place, "/a.h5", &count_after);
    CHECK_EQ(count, count_after);
    CHECK(!memcmp(before, after, count));
    free(before);
    free(after);
    close_place(&place);
}

/* ---- a file without its log ---------------------------------------------------------------------- */

/* How the killed store came to have rows that only its log has. */
enum life { NO_CHECKPOINT, AFTER_A_CHECKPOINT, AFTER_A_CLOSE, LIVES };

static void kill_one(struct place *place, enum life life)
{
    struct bs_store *store = make(place, "/a.h5", 10);
    REQUIRE(store);
    if (life == AFTER_A_CHECKPOINT) CHECK_OK(bs_store_checkpoint(store, err));
    if (life == AFTER_A_CLOSE) {
        CHECK_OK(bs_store_close(&store, err));
        store = open_store(place, "/a.h5", BASALT_READ_WRITE);
        REQUIRE(store);
    }
    if (life != NO_CHECKPOINT) {
        CHECK_OK(help_append(store, "a", &place->schema, 10, 5, BASALT_BUFFERED, err));
    }
    bs_store_abandon(store);
}

static void check_missing(struct place *place, const char *path, enum life life)
{
    char sentence[BASALT_ERROR_MESSAGE_BYTES];
    basalt_error why = {0};
    basalt_recovery recovery;
    const basalt_inspection found = inspect(place, path);
    CHECK(found.is_basalt && found.log_missing && !found.conflict && !found.crashed);
    CHECK(strstr(found.warning, "b.h5-log.*") && strstr(found.warning, "--without-log"));
    CHECK_EQ(refusal(place, path, BASALT_READ_WRITE, &why), BASALT_CONFLICT);
    CHECK_TEXT(why.message, found.warning);
    CHECK_EQ(refusal(place, path, BASALT_READ_WRITE_CREATE, &why), BASALT_CONFLICT);
    CHECK_EQ(refusal(place, path, BASALT_READ_FRESH, &why), BASALT_CONFLICT);
    CHECK_EQ(
        bs_store_backup(&place->env.parts, path, "/copy.h5", NULL, NULL, &why), BASALT_CONFLICT);
    CHECK_EQ(bs_store_recover(&place->env.parts, path, false, &recovery, &why), BASALT_CONFLICT);
    CHECK_EQ(faults_of(place, path, sentence), 1);
    CHECK_TEXT(sentence, found.warning);
    CHECK_EQ(refusal(place, path, BASALT_READ_CHECKPOINT, &why), BASALT_OK);
    if (life != NO_CHECKPOINT) check_rows(place, path, BASALT_READ_CHECKPOINT, 10);
}

TEST(story, a_killed_store_without_its_log_says_so)
{
    for (enum life life = NO_CHECKPOINT; life < LIVES; life++) {
        struct place place;
        basalt_recovery recovery;
        char sentence[BASALT_ERROR_MESSAGE_BYTES];
        size_t count = 0, count_after = 0;
        open_place(&place);
        kill_one(&place, life);
        rename_file(&place, "/a.h5", "/b.h5");
        uint8_t *before = read_bytes(&place, "/b.h5", &count);
        check_missing(&place, "/b.h5", life);
        uint8_t *after = read_bytes(&place, "/b.h5", &count_after);
        CHECK_EQ(count, count_after);
        CHECK(!memcmp(before, after, count)); /* whatever was refused changed nothing */
        free(before);
        free(after);
        if (life == AFTER_A_CHECKPOINT) { /* put back */
            rename_file(&place, "/b.h5", "/a.h5");
            check_rows(&place, "/a.h5", BASALT_READ_WRITE, 15);
        } else { /* given up */
            CHECK_OK(bs_store_recover(&place.env.parts, "/b.h5", true, &recovery, err));
            CHECK_EQ(mark_of(&place, "/b.h5"), BS_MARK_CLOSED);
            CHECK_EQ(faults_of(&place, "/b.h5", sentence), 0);
            CHECK(!inspect(&place, "/b.h5").log_missing);
            if (life == AFTER_A_CLOSE) check_rows(&place, "/b.h5", BASALT_READ_WRITE, 10);
        }
        close_place(&place);
    }
}

TEST(story, giving_the_log_up_is_refused_where_it_is)
{
    struct place place;
    basalt_recovery recovery;
    basalt_error why = {0};
    open_place(&place);
    kill_one(&place, AFTER_A_CHECKPOINT);
    CHECK_EQ(bs_store_recover(&place.env.parts, "/a.h5", true, &recovery, &why), BASALT_CONFLICT);
    CHECK(strstr(why.message, "a log lies beside"));
    check_rows(&place, "/a.h5", BASALT_READ_WRITE, 15);
    CHECK_OK(bs_store_recover(&place.env.parts, "/a.h5", true, &recovery, err)); /* nothing to do */
    close_place(&place);
}

/* Every step of looking at such a file, and of giving its log up, fails in turn. */
TEST(story, no_fault_makes_a_file_without_its_log_look_closed)
{
    struct place place = {0};
    struct bs_vfs *memory = NULL;
    size_t count = 0;
    uint64_t failed = 0;
    REQUIRE_OK(bs_vfs_memory_create(&memory, err));
    help_env_open(&place.env, faulty_create(memory, NULL), 0);
    help_schema_open(&place.schema, "t:l,x:g?");
    kill_one(&place, AFTER_A_CHECKPOINT);
    CHECK_OK(bs_wal_remove_all(memory, "/a.h5", 0, err));
    uint8_t *bytes = read_bytes(&place, "/a.h5", &count);
    EACH_FAULT (step) {
        const int64_t before = test_live_allocations();
        basalt_inspection found;
        basalt_recovery recovery;
        basalt_error why = {0};
        basalt_status status = bs_store_inspect(place.env.parts.vfs, "/a.h5", &found, &why);
        if (status) CHECK_EQ(status, why.status);
        if (!status) CHECK(found.log_missing || found.writing);
        if (!status) {
            status = bs_store_recover(&place.env.parts, "/a.h5", true, &recovery, &why);
            if (status) CHECK_EQ(status, why.status);
        }
        failed += status != BASALT_OK;
        fault_stop();
        /* A fault after the closing flip leaves a log, and then there is nothing to give up. */
        status = bs_store_recover(&place.env.parts, "/a.h5", true, &recovery, &why);
        if (status == BASALT_CONFLICT) {
            CHECK_OK(bs_store_recover(&place.env.parts, "/a.h5", false, &recovery, err));
        } else {
            CHECK_EQ(status, BASALT_OK);
        }
        check_rows(&place, "/a.h5", BASALT_READ_WRITE, 10);
        struct bs_file *file = open_to_write(&place, "/a.h5");
        CHECK_OK(file->ops->set_size(file, count, err));
        CHECK_OK(bs_file_write_at(file, bytes, count, 0, err));
        bs_file_close(file);
        CHECK_EQ(test_live_allocations(), before);
    }
    CHECK(failed > 20);
    free(bytes);
    close_place(&place);
}

/* ---- files from before the mark -------------------------------------------------------------------- */

/* Sets the value of every u64 attribute of that name, and the sum of the header that it is in. */
static unsigned patch_attribute(uint8_t *bytes, size_t count, const char *name, uint64_t value)
{
    const size_t length = strlen(name) + 1;
    unsigned patched = 0;
    for (size_t at = 16; at + length + 64 < count; at++) {
        if (memcmp(bytes + at, name, length) != 0 || bytes[at - 9] != 3) continue;
        size_t header = at;
        while (header && memcmp(bytes + header, "OHDR", 4) != 0) header--;
        const size_t width = (size_t)1 << (bytes[header + 5] & 3);
        uint64_t size = 0;
        for (size_t i = 0; i < width; i++) size |= (uint64_t)bytes[header + 10 + i] << (8 * i);
        const size_t sum_at = header + 10 + width + size;
        if (!header || sum_at < at || sum_at + 4 > count ||
            bs_load_u32(bytes + sum_at) != bs_lookup3(bytes + header, sum_at - header, 0)) {
            continue; /* left over, and half overwritten */
        }
        const size_t parts = bs_load_u16(bytes + at - 5) + (size_t)bs_load_u16(bytes + at - 3);
        bs_store_u64(bytes + at + length + parts, value);
        bs_store_u32(bytes + sum_at, bs_lookup3(bytes + header, sum_at - header, 0));
        patched++;
    }
    return patched;
}

static void forget_mark(struct place *place, const char *path)
{
    struct bs_file *file = NULL;
    size_t count = 0;
    uint8_t *bytes = read_bytes(place, path, &count);
    CHECK(patch_attribute(bytes, count, "feature_read_only", 0) > 0);
    file = open_to_write(place, path);
    CHECK_OK(bs_file_write_at(file, bytes, count, 0, err));
    bs_file_close(file);
    free(bytes);
    CHECK_EQ(mark_of(place, path), BS_MARK_NONE);
}

TEST(story, a_file_from_before_the_mark_is_taken_as_it_was)
{
    struct place place;
    char sentence[BASALT_ERROR_MESSAGE_BYTES];
    open_place(&place);
    kill_one(&place, AFTER_A_CHECKPOINT);
    forget_mark(&place, "/a.h5");
    rename_file(&place, "/a.h5", "/b.h5");
    CHECK(!inspect(&place, "/b.h5").log_missing);
    CHECK_EQ(faults_of(&place, "/b.h5", sentence), 0);
    check_rows(&place, "/b.h5", BASALT_READ_FRESH, 10);
    check_rows(&place, "/b.h5", BASALT_READ_WRITE, 10);
    rename_file(&place, "/b.h5", "/c.h5");
    struct bs_store *store = open_store(&place, "/c.h5", BASALT_READ_WRITE);
    REQUIRE(store);
    CHECK_OK(help_append(store, "a", &place.schema, 10, 1, BASALT_BUFFERED, err));
    CHECK_EQ(mark_of(&place, "/c.h5"), BS_MARK_OPEN); /* it has one from now on */
    CHECK_OK(bs_store_close(&store, err));
    CHECK_EQ(mark_of(&place, "/c.h5"), BS_MARK_CLOSED);
    check_rows(&place, "/c.h5", BASALT_READ_WRITE, 11);
    close_place(&place);
}

TEST(story, a_mark_that_nobody_wrote_is_corrupt)
{
    struct place place;
    struct bs_file *file = NULL;
    size_t count = 0;
    basalt_error why = {0};
    open_place(&place);
    struct bs_store *store = make(&place, "/a.h5", 10);
    REQUIRE(store);
    CHECK_OK(bs_store_close(&store, err));
    uint8_t *bytes = read_bytes(&place, "/a.h5", &count);
    CHECK(patch_attribute(bytes, count, "closed", 7) > 0);
    file = open_to_write(&place, "/a.h5");
    CHECK_OK(bs_file_write_at(file, bytes, count, 0, err));
    bs_file_close(file);
    free(bytes);
    CHECK_EQ(refusal(&place, "/a.h5", BASALT_READ_WRITE, &why), BASALT_CORRUPT);
    CHECK(strstr(why.message, "closed"));
    close_place(&place);
}

/* ---- a file and a log of two stories -------------------------------------------------------------- */

static void check_parted(struct place *place, const char *path)
{
    char sentence[BASALT_ERROR_MESSAGE_BYTES];
    basalt_error why = {0};
    basalt_recovery recovery;
    const basalt_inspection found = inspect(place, path);
    CHECK(found.conflict && !found.log_missing);
    CHECK(strstr(found.warning, "basalt cat") && strstr(found.warning, "a.h5-log.*"));
    CHECK_EQ(refusal(place, path, BASALT_READ_FRESH, &why), BASALT_CONFLICT);
    CHECK_TEXT(why.message, found.warning);
    CHECK_EQ(refusal(place, path, BASALT_READ_WRITE, &why), BASALT_CONFLICT);
    CHECK_TEXT(why.message, found.warning);
    CHECK_EQ(
        bs_store_backup(&place->env.parts, path, "/copy.h5", NULL, NULL, &why), BASALT_CONFLICT);
    CHECK_EQ(bs_store_recover(&place->env.parts, path, false, &recovery, &why), BASALT_CONFLICT);
    CHECK_EQ(bs_store_recover(&place->env.parts, path, true, &recovery, &why), BASALT_CONFLICT);
    CHECK_EQ(faults_of(place, path, sentence), 1);
    CHECK_TEXT(sentence, found.warning);
}

TEST(story, a_file_that_went_on_elsewhere_is_not_the_logs)
{
    struct place place;
    basalt_recovery recovery;
    open_place(&place);
    kill_one(&place, AFTER_A_CHECKPOINT);
    rename_file(&place, "/a.h5", "/b.h5");
    CHECK_OK(bs_store_recover(&place.env.parts, "/b.h5", true, &recovery, err));
    struct bs_store *store = open_store(&place, "/b.h5", BASALT_READ_WRITE);
    REQUIRE(store);
    CHECK_OK(help_append(store, "a", &place.schema, 10, 90, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_close(&store, err));
    rename_file(&place, "/b.h5", "/a.h5");
    check_parted(&place, "/a.h5");
    check_rows(&place, "/a.h5", BASALT_READ_CHECKPOINT, 100);
    CHECK_OK(bs_wal_remove_all(place.env.parts.vfs, "/a.h5", 0, err)); /* "move it away" */
    check_rows(&place, "/a.h5", BASALT_READ_WRITE, 100);
    close_place(&place);
}

/* Cut short, or written over from the first byte: not what a torn write leaves. */
TEST(story, a_file_cut_short_beside_its_log_is_a_conflict)
{
    for (unsigned way = 0; way < 3; way++) {
        static const uint8_t old[96] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 0};
        static const uint8_t zeros[96];
        struct place place;
        struct bs_file *file = NULL;
        basalt_error why = {0};
        open_place(&place);
        kill_one(&place, AFTER_A_CHECKPOINT);
        file = open_to_write(&place, "/a.h5");
        if (way != 2) CHECK_OK(file->ops->set_size(file, 0, err));
        if (way == 1) CHECK_OK(bs_file_write_at(file, zeros, sizeof zeros, 0, err));
        if (way == 2) CHECK_OK(bs_file_write_at(file, old, sizeof old, 0, err));
        bs_file_close(file);
        CHECK_EQ(refusal(&place, "/a.h5", BASALT_READ_WRITE, &why), BASALT_CONFLICT);
        CHECK(strstr(why.message, "a.h5-log.*"));
        if (way != 2) CHECK_EQ(refusal(&place, "/a.h5", BASALT_READ_FRESH, &why), BASALT_CONFLICT);
        CHECK(inspect(&place, "/a.h5").conflict);
        close_place(&place);
    }
}

/* In all of its calls, and by its own name. */
TEST(story, a_live_store_that_was_cut_short_says_conflict)
{
    for (unsigned way = 0; way < 2; way++) {
        struct place place;
        struct bs_file *file = NULL;
        basalt_error why = {0};
        open_place(&place);
        struct bs_store *store = make(&place, "/a.h5", 10);
        REQUIRE(store);
        CHECK_OK(bs_store_checkpoint(store, err));
        CHECK_OK(help_append(store, "a", &place.schema, 10, 10, BASALT_BUFFERED, err));
        file = open_to_write(&place, "/a.h5");
        CHECK_OK(file->ops->set_size(file, way ? 60 : 0, err));
        for (unsigned i = 0; i < 2; i++) {
            CHECK_EQ(bs_store_checkpoint(store, &why), BASALT_CONFLICT);
            CHECK(strstr(why.message, "/a.h5 ") && !strstr(why.message, ".new-"));
        }
        uint64_t size = 0;
        CHECK_OK(bs_file_size(file, &size, err));
        CHECK_EQ(size, way ? 60 : 0); /* nothing was written to what is not ours any more */
        bs_file_close(file);
        CHECK_EQ(
            help_append(store, "a", &place.schema, 20, 1, BASALT_BUFFERED, &why), BASALT_CONFLICT);
        CHECK_EQ(bs_store_close(&store, &why), BASALT_CONFLICT);
        CHECK(help_exists(place.env.parts.vfs, "/a.h5-log.1"));
        close_place(&place);
    }
}

/* ---- beside a live writer -------------------------------------------------------------------------- */

#define SESSIONS 12
#define ROUNDS 12

struct beside {
    struct place place;
    struct bs_thread *threads[2];
    atomic_bool over;
    atomic_uint looks;
};

/* Whatever the writer is at, a reader never says that file and log do not belong together. */
static void look_body(void *argument)
{
    struct beside *beside = argument;
    struct bs_vfs *vfs = beside->place.env.parts.vfs;
    while (!atomic_load(&beside->over)) {
        basalt_inspection found;
        basalt_error why = {0};
        CHECK_OK(bs_store_inspect(vfs, "/a.h5", &found, err));
        CHECK_TEXT(found.warning, "");
        const basalt_status status = refusal(&beside->place, "/a.h5", BASALT_READ_FRESH, &why);
        if (status && status != BASALT_BUSY && status != BASALT_NOT_FOUND) {
            test_fail(__FILE__, __LINE__, "a reader beside a writer: %s", why.message);
        }
        atomic_fetch_add(&beside->looks, 1);
    }
}

static void write_session(struct place *place, uint64_t *rows)
{
    basalt_store_options options = help_options(BASALT_READ_WRITE);
    struct bs_store *store = NULL;
    options.log_segment_bytes = 64 << 10; /* a few are filled and removed */
    options.grace_ms = 0;
    REQUIRE_OK(bs_store_open(&place->env.parts, "/a.h5", &options, &store, err));
    for (unsigned i = 0; i < ROUNDS; i++) {
        CHECK_OK(help_append(store, "a", &place->schema, *rows, 1500, BASALT_BUFFERED, err));
        *rows += 1500;
        if (i % 2) CHECK_OK(bs_store_checkpoint(store, err));
    }
    CHECK_OK(bs_store_close(&store, err));
}

TEST(story, readers_beside_a_writer_see_one_story)
{
    static struct beside beside;
    uint64_t rows = 10;
    open_place(&beside.place);
    struct bs_store *store = make(&beside.place, "/a.h5", rows);
    REQUIRE(store);
    CHECK_OK(bs_store_close(&store, err));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(beside.threads); i++) {
        REQUIRE_OK(bs_thread_start("look", look_body, &beside, &beside.threads[i], err));
    }
    for (unsigned i = 0; i < SESSIONS; i++) write_session(&beside.place, &rows);
    atomic_store(&beside.over, true);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(beside.threads); i++) bs_thread_join(beside.threads[i]);
    CHECK(atomic_load(&beside.looks) > 0);
    check_rows(&beside.place, "/a.h5", BASALT_READ_WRITE, rows);
    close_place(&beside.place);
}
