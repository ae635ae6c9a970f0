/* powerloss_vfs_test.c - the images are those that a disk could have: no fewer, no others. */
#include "tests/harness/powerloss_vfs.h"

#include "tests/harness/test.h"

#define IMAGES_MAX 512
#define TEXT_MAX 256

/* What was seen: each image as text, "path=content;" for every file, zeros as dots. */
struct gallery {
    char texts[IMAGES_MAX][TEXT_MAX];
    uint64_t marks[IMAGES_MAX];
    enum powerloss_kind kinds[IMAGES_MAX];
    size_t count;
};

static void describe(const struct powerloss_image *image, char *out)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < image->file_count; i++) {
        const struct powerloss_file *file = &image->files[i];
        at += (size_t)snprintf(out + at, TEXT_MAX - at, "%s=", file->path);
        /* The first byte of each sector, or, of a small file, every byte. */
        for (size_t b = 0; b < file->size && at<TEXT_MAX - 8; b += file->size> 16 ? 512 : 1) {
            const char letter = (char)file->bytes[b];
            out[at++] = letter >= ' ' && letter <= '~' ? letter : letter ? '?' : '.';
        }
        out[at++] = ';';
        out[at] = '\0';
    }
}

static bool collect(void *context, const struct powerloss_image *image)
{
    struct gallery *gallery = context;
    if (gallery->count == IMAGES_MAX) return false;
    describe(image, gallery->texts[gallery->count]);
    gallery->marks[gallery->count] = image->mark;
    gallery->kinds[gallery->count++] = image->kind;
    return true;
}

static bool has(const struct gallery *gallery, const char *text)
{
    for (size_t i = 0; i < gallery->count; i++) {
        if (strcmp(gallery->texts[i], text) == 0) return true;
    }
    return false;
}

static size_t distinct(const struct gallery *gallery)
{
    size_t count = 0;
    for (size_t i = 0; i < gallery->count; i++) {
        bool first = true;
        for (size_t j = 0; j < i; j++) first &= strcmp(gallery->texts[i], gallery->texts[j]) != 0;
        count += first;
    }
    return count;
}

static void gather(struct bs_vfs *vfs, uint64_t from, const struct powerloss_options *options,
    struct gallery *out_gallery)
{
    out_gallery->count = 0;
    powerloss_images(vfs, from, powerloss_event_count(vfs), options, collect, out_gallery);
    CHECK(out_gallery->count < IMAGES_MAX);
}

static const struct powerloss_options power_alone = {.no_kills = true, .all_subsets_max = 8};

static struct bs_file *open_new(struct bs_vfs *vfs, const char *path)
{
    struct bs_file *file = NULL;
    CHECK_OK(bs_file_open(vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE, &file, err));
    return file;
}

/* A file of that content, synced, its name too. */
static struct bs_file *open_synced(struct bs_vfs *vfs, const char *path, const char *text)
{
    struct bs_file *file = open_new(vfs, path);
    CHECK_OK(bs_file_write_at(file, text, strlen(text), 0, err));
    CHECK_OK(bs_file_sync(file, err));
    CHECK_OK(vfs->ops->sync_directory(vfs, "/", err));
    return file;
}

static struct gallery gallery; /* large: not on the stack */

TEST(powerloss, unsynced_writes_arrive_in_any_combination)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "");
    const uint64_t start = powerloss_event_count(vfs);
    CHECK_OK(bs_file_write_at(file, "a", 1, 0, err));
    CHECK_OK(bs_file_write_at(file, "b", 1, 512, err));
    CHECK_OK(bs_file_write_at(file, "c", 1, 1024, err));
    gather(vfs, start, &power_alone, &gallery);
    CHECK_EQ(gallery.count, 8);
    CHECK(has(&gallery, "/x=;"));
    CHECK(has(&gallery, "/x=a;"));
    CHECK(has(&gallery, "/x=.b;"));
    CHECK(has(&gallery, "/x=..c;"));
    CHECK(has(&gallery, "/x=ab;"));
    CHECK(has(&gallery, "/x=a.c;"));
    CHECK(has(&gallery, "/x=.bc;"));
    CHECK(has(&gallery, "/x=abc;"));
    CHECK_OK(bs_file_sync(file, err));
    gather(vfs, powerloss_event_count(vfs), &power_alone, &gallery);
    CHECK_EQ(gallery.count, 1);
    CHECK(has(&gallery, "/x=abc;"));
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, a_sector_has_no_later_write_without_the_earlier)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "------");
    const uint64_t start = powerloss_event_count(vfs);
    CHECK_OK(bs_file_write_at(file, "aa", 2, 0, err));
    CHECK_OK(bs_file_write_at(file, "bb", 2, 3, err));
    CHECK_OK(bs_file_write_at(file, "c", 1, 1, err));
    gather(vfs, start, &power_alone, &gallery);
    CHECK_EQ(gallery.count, 4);
    CHECK(has(&gallery, "/x=------;"));
    CHECK(has(&gallery, "/x=aa----;"));
    CHECK(has(&gallery, "/x=aa-bb-;"));
    CHECK(has(&gallery, "/x=ac-bb-;"));
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, a_long_write_is_torn_between_sectors)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "");
    char long_text[2048];
    const uint64_t start = powerloss_event_count(vfs);
    memset(long_text, 'z', sizeof long_text);
    CHECK_OK(bs_file_write_at(file, long_text, sizeof long_text, 256, err));
    gather(vfs, start, &(struct powerloss_options){.no_kills = true, .each_max = 100}, &gallery);
    CHECK(has(&gallery, "/x=;"));
    CHECK(has(&gallery, "/x=.zzzz;"));
    CHECK(has(&gallery, "/x=.z;") || has(&gallery, "/x=.zz;"));
    CHECK(has(&gallery, "/x=...zz;") || has(&gallery, "/x=..zzz;"));
    CHECK(distinct(&gallery) > 8);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, a_file_is_synced_but_its_name_is_not)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_new(vfs, "/x");
    CHECK_OK(bs_file_write_at(file, "a", 1, 0, err));
    CHECK_OK(bs_file_sync(file, err));
    gather(vfs, powerloss_event_count(vfs), &power_alone, &gallery);
    CHECK_EQ(gallery.count, 2);
    CHECK(has(&gallery, ""));
    CHECK(has(&gallery, "/x=a;"));
    CHECK_OK(vfs->ops->sync_directory(vfs, "/", err));
    gather(vfs, powerloss_event_count(vfs), &power_alone, &gallery);
    CHECK_EQ(gallery.count, 1);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, names_change_or_do_not_each_for_itself)
{
    struct bs_vfs *vfs = powerloss_create();
    bs_file_close(open_synced(vfs, "/old", "o"));
    bs_file_close(open_synced(vfs, "/new", "n"));
    bs_file_close(open_synced(vfs, "/gone", "g"));
    const uint64_t start = powerloss_event_count(vfs);
    CHECK_OK(vfs->ops->rename(vfs, "/new", "/old", true, err));
    CHECK_OK(vfs->ops->remove(vfs, "/gone", err));
    gather(vfs, start, &power_alone, &gallery);
    CHECK_EQ(gallery.count, 4);
    CHECK(has(&gallery, "/gone=g;/new=n;/old=o;"));
    CHECK(has(&gallery, "/gone=g;/old=n;"));
    CHECK(has(&gallery, "/new=n;/old=o;"));
    CHECK(has(&gallery, "/old=n;"));
    CHECK_OK(vfs->ops->sync_directory(vfs, "/", err));
    gather(vfs, powerloss_event_count(vfs), &power_alone, &gallery);
    CHECK_EQ(gallery.count, 1);
    CHECK(has(&gallery, "/old=n;"));
    bs_vfs_free(vfs);
}

TEST(powerloss, a_directory_must_itself_be_there)
{
    struct bs_vfs *vfs = powerloss_create();
    CHECK_OK(vfs->ops->make_directory(vfs, "/d", err));
    struct bs_file *file = open_new(vfs, "/d/x");
    CHECK_OK(vfs->ops->sync_directory(vfs, "/d", err));
    gather(vfs, powerloss_event_count(vfs), &power_alone, &gallery);
    CHECK_EQ(gallery.count, 2);
    CHECK(has(&gallery, ""));
    CHECK(has(&gallery, "/d=;/d/x=;"));
    CHECK_OK(vfs->ops->sync_directory(vfs, "/", err));
    gather(vfs, powerloss_event_count(vfs), &power_alone, &gallery);
    CHECK_EQ(gallery.count, 1);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, sizes_and_permissions_are_unsynced_too)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "abcd");
    const uint64_t start = powerloss_event_count(vfs);
    CHECK_OK(file->ops->set_size(file, 2, err));
    CHECK_OK(file->ops->reserve(file, 3, err));
    gather(vfs, start, &power_alone, &gallery);
    CHECK_EQ(gallery.count, 3);
    CHECK(has(&gallery, "/x=abcd;")); /* also with the reservation alone, which never shrinks */
    CHECK(has(&gallery, "/x=ab;"));
    CHECK(has(&gallery, "/x=ab.;"));
    CHECK_OK(bs_file_sync(file, err));
    const uint64_t then = powerloss_event_count(vfs);
    CHECK_OK(file->ops->set_mode(file, 0444, err));
    gather(vfs, then, &power_alone, &gallery);
    CHECK_EQ(gallery.count, 2); /* by their hashes: the text does not show the bits */
    CHECK_EQ(distinct(&gallery), 1);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, a_kill_leaves_the_page_cache_and_whole_pages)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "----");
    const uint64_t start = powerloss_event_count(vfs);
    static char pages[3 * 4096];
    memset(pages, 'p', sizeof pages);
    CHECK_OK(bs_file_write_at(file, "ab", 2, 0, err));
    CHECK_OK(bs_file_write_at(file, pages, sizeof pages, 4096, err));
    gather(vfs, start, &(struct powerloss_options){.no_power = true}, &gallery);
    bool in_pages = true;
    for (size_t i = 0; i < gallery.count; i++) {
        const size_t letters = strlen(gallery.texts[i]) - strlen("/x=;"); /* one a sector */
        in_pages &= letters == 4 || letters == 16 || letters == 24 || letters == 32;
    }
    CHECK(in_pages);
    CHECK(has(&gallery, "/x=----;"));
    CHECK(has(&gallery, "/x=ab--;"));
    CHECK(!has(&gallery, "/x=a---;"));
    CHECK(has(&gallery, "/x=a.......pppppppppppppppppppppppp;"));
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, a_kill_within_a_store_leaves_any_of_its_words)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/log", "");
    struct bs_log_memory memory = {0};
    CHECK_OK(file->ops->reserve(file, 16, err));
    CHECK_OK(file->ops->lend_log(file, 16, &memory, err));
    const uint64_t start = powerloss_event_count(vfs);
    memcpy(memory.bytes, "ab", 2);
    file->ops->mark_dirty(file, &memory, 0, 2);
    gather(vfs, start, &(struct powerloss_options){.no_power = true}, &gallery);
    CHECK(has(&gallery, "/log=................;"));
    CHECK(has(&gallery, "/log=a...............;"));
    CHECK(has(&gallery, "/log=.b..............;"));
    CHECK(has(&gallery, "/log=ab..............;"));
    CHECK_EQ(distinct(&gallery), 4);
    file->ops->return_log(file, &memory);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, stores_into_lent_memory_are_recorded)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/log", "");
    struct bs_log_memory memory = {0};
    CHECK_OK(file->ops->reserve(file, 1024, err));
    CHECK_OK(file->ops->lend_log(file, 1024, &memory, err));
    CHECK_OK(bs_file_sync(file, err));
    const uint64_t start = powerloss_event_count(vfs);
    memcpy(memory.bytes + 512, "m", 1);
    file->ops->mark_dirty(file, &memory, 512, 1);
    memcpy(memory.bytes, "l", 1); /* never marked: as if it had not happened */
    gather(vfs, start, &power_alone, &gallery);
    CHECK_EQ(gallery.count, 2);
    CHECK(has(&gallery, "/log=..;"));
    CHECK(has(&gallery, "/log=.m;"));
    file->ops->return_log(file, &memory);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, marks_tell_what_was_promised)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "");
    const uint64_t start = powerloss_event_count(vfs);
    CHECK_OK(bs_file_write_at(file, "a", 1, 0, err));
    CHECK_OK(bs_file_sync(file, err));
    powerloss_mark(vfs, 1);
    CHECK_OK(bs_file_write_at(file, "b", 1, 512, err));
    powerloss_mark(vfs, 2); /* a promise that no sync has kept */
    gather(vfs, start, &power_alone, &gallery);
    bool kept = true, broken = false;
    for (size_t i = 0; i < gallery.count; i++) {
        if (gallery.marks[i] >= 1) kept &= strncmp(gallery.texts[i], "/x=a", 4) == 0;
        if (gallery.marks[i] >= 2) broken |= strcmp(gallery.texts[i], "/x=a;") == 0;
    }
    CHECK(kept);
    CHECK(broken);
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, a_failed_sync_is_never_made_good)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "");
    CHECK_OK(bs_file_write_at(file, "a", 1, 0, err));
    powerloss_fail_sync(vfs, 1);
    CHECK_EQ(bs_file_sync(file, NULL), BASALT_IO_ERROR);
    CHECK_OK(bs_file_write_at(file, "b", 1, 512, err));
    CHECK_OK(bs_file_sync(file, err));
    gather(vfs, powerloss_event_count(vfs), &power_alone, &gallery);
    CHECK_EQ(gallery.count, 2);
    CHECK(has(&gallery, "/x=ab;"));
    CHECK(has(&gallery, "/x=.b;"));
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, no_garbage_where_a_later_write_was_synced)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *guarded = open_synced(vfs, "/guarded", "old");
    const struct powerloss_options options = {.no_kills = true, .guarded_path = "/guarded"};
    CHECK_OK(bs_file_write_at(guarded, "new", 3, 0, err));
    powerloss_fail_sync(vfs, 1);
    CHECK_EQ(bs_file_sync(guarded, NULL), BASALT_IO_ERROR);
    for (unsigned rewritten = 0; rewritten < 2; rewritten++) {
        bool garbage = false;
        gather(vfs, powerloss_event_count(vfs), &options, &gallery);
        for (size_t i = 0; i < gallery.count; i++) {
            garbage |= gallery.kinds[i] == POWERLOSS_GARBAGE;
        }
        CHECK(garbage == !rewritten);
        CHECK_OK(bs_file_write_at(guarded, "mended", 6, 0, err));
        CHECK_OK(bs_file_sync(guarded, err));
    }
    bs_file_close(guarded);
    bs_vfs_free(vfs);
}

TEST(powerloss, a_process_that_died_changes_nothing_until_it_is_revived)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", ""), *made = NULL;
    powerloss_die_at_sync(vfs, "/x", 2);
    CHECK_OK(bs_file_sync(file, err));
    CHECK_OK(bs_file_write_at(file, "a", 1, 0, err));
    const uint64_t events = powerloss_event_count(vfs);
    CHECK(!powerloss_is_dead(vfs));
    CHECK_EQ(bs_file_sync(file, NULL), BASALT_IO_ERROR);
    CHECK(powerloss_is_dead(vfs));
    CHECK_EQ(bs_file_write_at(file, "b", 1, 0, NULL), BASALT_IO_ERROR);
    CHECK_EQ(file->ops->set_size(file, 9, NULL), BASALT_IO_ERROR);
    CHECK_EQ(vfs->ops->remove(vfs, "/x", NULL), BASALT_IO_ERROR);
    CHECK_EQ(vfs->ops->rename(vfs, "/x", "/y", true, NULL), BASALT_IO_ERROR);
    CHECK_EQ(vfs->ops->make_directory(vfs, "/d", NULL), BASALT_IO_ERROR);
    CHECK_EQ(vfs->ops->sync_directory(vfs, "/", NULL), BASALT_IO_ERROR);
    CHECK_EQ(bs_file_open(vfs, "/z", BS_OPEN_WRITE | BS_OPEN_CREATE, &made, NULL), BASALT_IO_ERROR);
    CHECK_EQ(powerloss_event_count(vfs), events);
    powerloss_revive(vfs);
    CHECK_OK(bs_file_write_at(file, "c", 1, 1, err));
    const struct powerloss_step step = powerloss_step_at(vfs, events, "/x");
    CHECK(step.kind == POWERLOSS_WRITE && step.of_this_file && step.offset == 1);
    gather(vfs, powerloss_event_count(vfs), &power_alone, &gallery);
    CHECK(has(&gallery, "/x=;")); /* what the dead process wrote was not synced */
    CHECK(has(&gallery, "/x=ac;"));
    CHECK(!has(&gallery, "/x=bc;"));
    bs_file_close(file);
    bs_vfs_free(vfs);
}

TEST(powerloss, the_first_sector_of_the_guarded_file_alone_becomes_garbage)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *guarded = open_synced(vfs, "/guarded", "old"),
                   *other = open_synced(vfs, "/x", "");
    const uint64_t start = powerloss_event_count(vfs);
    CHECK_OK(bs_file_write_at(guarded, "new", 3, 0, err));
    CHECK_OK(bs_file_write_at(guarded, "far", 3, 5000, err));
    CHECK_OK(bs_file_write_at(other, "o", 1, 0, err));
    gather(vfs, start, &(struct powerloss_options){.no_kills = true, .guarded_path = "/guarded"},
        &gallery);
    size_t garbage = 0;
    for (size_t i = 0; i < gallery.count; i++) {
        const bool is_new = strncmp(gallery.texts[i], "/guarded=n", 10) == 0;
        const bool is_old = strncmp(gallery.texts[i], "/guarded=o", 10) == 0;
        garbage += gallery.kinds[i] == POWERLOSS_GARBAGE;
        if (gallery.kinds[i] != POWERLOSS_GARBAGE) CHECK(is_new || is_old);
    }
    CHECK(garbage >= 2);
    bs_file_close(guarded);
    bs_file_close(other);
    bs_vfs_free(vfs);
}

static bool make_again(void *context, const struct powerloss_image *image)
{
    struct gallery *seen = context;
    struct bs_vfs *vfs = powerloss_create_from(image);
    struct gallery *again = &gallery;
    again->count = 0;
    powerloss_images(vfs, 0, 0, NULL, collect, again);
    CHECK_EQ(again->count, 1); /* nothing is unsynced */
    char text[TEXT_MAX];
    describe(image, text);
    CHECK_TEXT(again->texts[0], text);
    struct bs_file *file = NULL;
    const struct powerloss_file *expected = powerloss_find(image, "/x");
    CHECK_EQ(bs_file_open(vfs, "/x", BS_OPEN_READ, &file, NULL),
        expected ? BASALT_OK : BASALT_NOT_FOUND);
    if (file && expected->size > 0) {
        char byte = 0;
        CHECK_OK(bs_file_read_all_at(file, &byte, 1, 0, err));
        CHECK_EQ(byte, expected->bytes[0]);
        seen->count++;
    }
    bs_file_close(file);
    bs_vfs_free(vfs);
    return true;
}

TEST(powerloss, an_image_is_a_file_system_again)
{
    static struct gallery seen;
    const int64_t before = test_live_allocations();
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "abc");
    CHECK_OK(vfs->ops->make_directory(vfs, "/d", err));
    bs_file_close(open_synced(vfs, "/d/y", "in a directory"));
    CHECK_OK(bs_file_write_at(file, "d", 1, 0, err));
    CHECK(powerloss_images(vfs, 0, powerloss_event_count(vfs), NULL, make_again, &seen) >= 8);
    CHECK(seen.count >= 4);
    bs_file_close(file);
    bs_vfs_free(vfs);
    CHECK_EQ(test_live_allocations(), before);
}

TEST(powerloss, locks_hold_between_two_opens)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *a = open_new(vfs, "/x"), *b = open_new(vfs, "/x");
    struct bs_lock_holder holder = {0};
    unsigned sharers = 0;
    CHECK_OK(a->ops->lock(a, BS_LOCK_EXCLUSIVE, 10, 5, err));
    CHECK_OK(a->ops->lock(a, BS_LOCK_EXCLUSIVE, 12, 1, err)); /* its own is no obstacle */
    CHECK_EQ(b->ops->lock(b, BS_LOCK_SHARED, 14, 1, NULL), BASALT_BUSY);
    CHECK_OK(b->ops->lock(b, BS_LOCK_SHARED, 15, 1, err));
    CHECK_OK(b->ops->probe(b, BS_LOCK_EXCLUSIVE, 0, 100, &holder, err));
    CHECK(holder.held && holder.kind == BS_LOCK_EXCLUSIVE);
    CHECK_OK(a->ops->share(a, BS_LOCK_SHARED, err));
    CHECK_OK(b->ops->count_sharers(b, &sharers, err));
    CHECK_EQ(sharers, 1);
    bs_file_close(a); /* drops its locks */
    CHECK_OK(b->ops->lock(b, BS_LOCK_EXCLUSIVE, 0, 100, err));
    bs_file_close(b);
    bs_vfs_free(vfs);
}

struct whole {
    uint8_t bytes[16384];
    size_t count;
    bool compared;
};

static bool compare_whole(void *context, const struct powerloss_image *image)
{
    struct whole *whole = context;
    const struct powerloss_file *file = powerloss_find(image, "/x");
    whole->compared =
        file && file->size == whole->count && memcmp(file->bytes, whole->bytes, whole->count) == 0;
    return true;
}

/* The page cache view, which the harness builds from events, against what the files say. */
TEST(powerloss, the_end_of_a_long_trace_is_the_file_itself)
{
    struct bs_vfs *vfs = powerloss_create();
    struct bs_file *file = open_synced(vfs, "/x", "start");
    uint64_t random = 3;
    for (unsigned i = 0; i < 400; i++) {
        uint8_t bytes[3000];
        const uint64_t what = test_random(&random) % 20, at = test_random(&random) % 9000;
        const size_t count = 1 + test_random(&random) % sizeof bytes;
        for (size_t b = 0; b < count; b++) bytes[b] = (uint8_t)test_random(&random);
        if (what == 0) {
            CHECK_OK(file->ops->set_size(file, at, err));
        } else if (what == 1) {
            CHECK_OK(bs_file_sync(file, err));
        } else if (what == 2) {
            CHECK_OK(file->ops->reserve(file, at, err));
        } else {
            CHECK_OK(bs_file_write_at(file, bytes, count, at, err));
        }
    }
    static struct whole whole;
    CHECK_OK(file->ops->read_at(file, whole.bytes, sizeof whole.bytes, 0, &whole.count, err));
    CHECK_OK(bs_file_sync(file, err));
    const uint64_t end = powerloss_event_count(vfs);
    CHECK_EQ(powerloss_images(vfs, end, end, NULL, compare_whole, &whole), 1);
    CHECK(whole.compared); /* the disk after the sync, and the page cache, are one image */
    bs_file_close(file);
    bs_vfs_free(vfs);
}
