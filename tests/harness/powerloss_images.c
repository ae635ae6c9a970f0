/* powerloss_images.c - what every crash would have left, from the trace of powerloss_vfs.c.
 *
 * The trace is played once. Two views are kept: the page cache (what a kill leaves) and the disk
 * (what was synced). A UNIT is an event that the disk need not have yet: a write, a size, permission
 * bits, a directory entry. An image of a power loss is the disk view plus a CHOICE of units.
 *
 * RULES
 *   (1) A sector reaches the disk as the page cache had it at some moment. So a sector that a chosen
 *       write touches holds all earlier writes to it too, chosen or not.
 *   (2) A sync folds the units of its file, or of its directory's entries, into the disk view.
 *   (3) After a sync that failed the units stay free for good: the kernel may have forgotten that
 *       they were never written. Units of later syncs of that file are FORCED: in every image, but
 *       kept in the list, so that the order of writes to one sector is kept.
 *   (4) What was unsynced at some cut and not synced until the next sync is still unsynced there. So
 *       images are made just before each sync: every earlier cut's choices are among them, and what
 *       was acknowledged meanwhile is demanded of them too, rightly. */
#include "tests/harness/powerloss_internal.h"

#include "tests/harness/harness_memory.h"
#include "tests/harness/test.h"

#include <stdlib.h>

#define ALL_SUBSETS_MAX_DEFAULT 5
#define ALL_SUBSETS_MAX_MAX 16
#define EACH_MAX_DEFAULT 24
#define PAGE_BYTES ((size_t)4096)
#define WORD_BYTES ((size_t)8)
#define DEFAULT_MODE ((uint32_t)0644)

struct node {
    struct powerloss_content disk, cache;
    bool doubtful; /* a sync of it failed: see rule 3 */
};

struct unit {
    const struct powerloss_event *event;
    bool forced;
};

/* One choice of units. */
struct choice {
    bool *chosen; /* by unit; forced ones always true */
    size_t torn;  /* unit of which only some sectors arrive; SIZE_MAX: none */
    unsigned torn_how;
    uint64_t torn_seed;
    bool garbage; /* in the first sector of the guarded file */
};

struct enumeration {
    const struct powerloss_vfs *trace;
    struct powerloss_options options;
    powerloss_fn each;
    void *context;
    uint64_t random;

    struct node *nodes;
    struct powerloss_names disk, cache;
    struct unit *units;
    size_t unit_count, unit_capacity;
    uint64_t cut, mark;

    struct choice choice;
    size_t chosen_capacity;
    struct powerloss_names image_names;
    struct powerloss_content *scratch; /* by node: of the image under way */
    uint64_t *seen;                    /* open addressing; 0 is empty */
    size_t seen_count, seen_capacity;
    uint64_t calls;
    bool stopped;
};

/* ---- one image ------------------------------------------------------------------------------- */

/* True the first time. */
static bool note_seen(struct enumeration *self, uint64_t key)
{
    if (2 * self->seen_count >= self->seen_capacity) {
        const size_t old_capacity = self->seen_capacity;
        uint64_t *old = self->seen;
        self->seen_capacity = old_capacity ? 2 * old_capacity : 4096;
        self->seen = harness_zeroed(self->seen_capacity, sizeof self->seen[0]);
        self->seen_count = 0;
        for (size_t i = 0; i < old_capacity; i++) {
            if (old[i]) (void)note_seen(self, old[i]);
        }
        harness_free(old);
    }
    if (key == 0) key = 1;
    size_t at = (size_t)key & (self->seen_capacity - 1);
    while (self->seen[at] && self->seen[at] != key) at = (at + 1) & (self->seen_capacity - 1);
    if (self->seen[at]) return false;
    self->seen[at] = key;
    self->seen_count++;
    return true;
}

static int compare_files(const void *a, const void *b)
{
    const struct powerloss_file *left = a, *right = b;
    if (left->directory != right->directory) return left->directory ? -1 : 1;
    return strcmp(left->path, right->path);
}

static enum powerloss_event_kind event_kind_at(const struct enumeration *self, uint64_t cut)
{
    return cut < self->trace->event_count ? self->trace->events[cut].kind : POWERLOSS_END;
}

/* Hands out the image of `names`, whose contents are contents[node], unless it was seen. */
static void emit(struct enumeration *self, enum powerloss_kind kind,
    const struct powerloss_names *names, struct powerloss_content *const *contents)
{
    if (self->stopped) return;
    struct powerloss_file *files = harness_zeroed(names->count, sizeof files[0]);
    struct powerloss_image image = {.kind = kind,
        .cut = self->cut,
        .cut_at = event_kind_at(self, self->cut),
        .mark = self->mark,
        .files = files};
    for (size_t i = 0; i < names->count; i++) {
        const struct powerloss_entry *entry = &names->entries[i];
        if (!powerloss_is_visible(names, entry->path)) continue;
        struct powerloss_content *content = contents[entry->node];
        files[image.file_count++] = (struct powerloss_file){.path = entry->path,
            .bytes = entry->directory ? NULL : content->bytes,
            .size = entry->directory ? 0 : content->size,
            .mode = content->mode,
            .directory = entry->directory,
            .hash = entry->directory ? 1 : powerloss_content_hash(content)};
    }
    qsort(files, image.file_count, sizeof files[0], compare_files);
    for (size_t i = 0; i < image.file_count; i++) {
        const char *path = files[i].path;
        image.hash = powerloss_hash_bytes(image.hash, (const uint8_t *)path, strlen(path) + 1);
        image.hash = (image.hash ^ files[i].hash) * 0xC4CEB9FE1A85EC53u;
    }
    if (note_seen(self, image.hash ^ self->mark * 0xD6E8FEB86659FD93u)) {
        self->calls++;
        self->stopped = !self->each(self->context, &image);
    }
    harness_free(files);
}

/* ---- images of a kill ------------------------------------------------------------------------ */

static struct powerloss_content **all_caches(struct enumeration *self)
{
    const size_t count = self->trace->node_count;
    struct powerloss_content **contents = harness_zeroed(count, sizeof contents[0]);
    for (size_t i = 0; i < count; i++) contents[i] = &self->nodes[i].cache;
    return contents;
}

/* A process that is killed within a write has written whole pages; within a store, whichever words
 * came first: memcpy may begin at either end. */
static void put_begun(struct enumeration *self, const struct powerloss_event *event, unsigned turn,
    struct powerloss_content *out)
{
    const size_t count = event->count, start = (size_t)event->offset;
    const size_t cut = 1 + test_random(&self->random) % (count - 1);
    if (event->kind == POWERLOSS_WRITE) {
        const size_t page = (start + cut) / PAGE_BYTES * PAGE_BYTES;
        if (page > start) powerloss_content_put(out, event->bytes, page - start, start);
    } else if (turn == 0) {
        powerloss_content_put(out, event->bytes, cut, start);
    } else if (turn == 1) {
        powerloss_content_put(out, event->bytes + cut, count - cut, start + cut);
    } else {
        for (size_t at = 0; at < count; at += WORD_BYTES) {
            if (test_random(&self->random) & 1) continue;
            powerloss_content_put(
                out, event->bytes + at, BS_MIN(count - at, WORD_BYTES), start + at);
        }
    }
}

static void emit_kills(struct enumeration *self)
{
    struct powerloss_content **contents = all_caches(self);
    emit(self, POWERLOSS_KILLED, &self->cache, contents);
    if (self->cut < self->trace->event_count) {
        const struct powerloss_event *event = &self->trace->events[self->cut];
        const bool torn = powerloss_is_of_bytes(event->kind) && event->count > 1;
        for (unsigned turn = 0; torn && turn < 3; turn++) {
            struct powerloss_content *scratch = &self->scratch[event->node];
            powerloss_content_copy(scratch, &self->nodes[event->node].cache);
            put_begun(self, event, turn, scratch);
            contents[event->node] = scratch;
            emit(self, POWERLOSS_KILLED_TORN, &self->cache, contents);
        }
    }
    harness_free(contents);
}

/* ---- images of a power loss ------------------------------------------------------------------ */

/* Does sector number `sector` of the torn write's `sectors` arrive? */
static bool torn_keeps(const struct choice *choice, size_t sector, size_t sectors)
{
    uint64_t random = choice->torn_seed + sector;
    switch (choice->torn_how % 5) {
    case 0: return sector < (sectors + 1) / 2;
    case 1: return sector >= sectors / 2;
    case 2: return sector == 0;
    case 3: return sector > 0;
    default: return test_random(&random) & 1;
    }
}

static size_t first_sector(const struct powerloss_event *event)
{
    return (size_t)event->offset / SECTOR_BYTES;
}

static size_t sector_count(const struct powerloss_event *event)
{
    return (size_t)(event->offset + event->count - 1) / SECTOR_BYTES - first_sector(event) + 1;
}

/* Rule 1: limits[s] is 1 + the last chosen unit that touches sector s; 0 for none. */
static size_t *sector_limits(const struct enumeration *self, size_t node, size_t sectors)
{
    size_t *limits = harness_zeroed(sectors, sizeof limits[0]);
    for (size_t i = 0; i < self->unit_count; i++) {
        const struct powerloss_event *event = self->units[i].event;
        if (event->node != node || !powerloss_is_of_bytes(event->kind) || !self->choice.chosen[i])
            continue;
        const size_t first = first_sector(event), count = sector_count(event);
        for (size_t s = 0; s < count; s++) {
            if (i != self->choice.torn || torn_keeps(&self->choice, s, count)) {
                limits[first + s] = i + 1;
            }
        }
    }
    return limits;
}

static void apply_sectors(struct powerloss_content *content, const struct powerloss_event *event,
    size_t unit, const size_t *limits)
{
    const size_t start = (size_t)event->offset, end = start + event->count;
    for (size_t at = start; at < end;) {
        const size_t next = BS_MIN(end, (at / SECTOR_BYTES + 1) * SECTOR_BYTES);
        if (unit < limits[at / SECTOR_BYTES]) {
            powerloss_content_put(content, event->bytes + (at - start), next - at, at);
        }
        at = next;
    }
}

static void build_content(struct enumeration *self, size_t node, struct powerloss_content *out)
{
    powerloss_content_copy(out, &self->nodes[node].disk);
    size_t sectors = 0;
    for (size_t i = 0; i < self->unit_count; i++) {
        const struct powerloss_event *event = self->units[i].event;
        if (event->node != node || !powerloss_is_of_bytes(event->kind)) continue;
        sectors = BS_MAX(sectors, first_sector(event) + sector_count(event));
    }
    size_t *limits = sector_limits(self, node, sectors);
    for (size_t i = 0; i < self->unit_count; i++) {
        const struct powerloss_event *event = self->units[i].event;
        if (event->node != node || !powerloss_is_of_content(event->kind)) continue;
        if (powerloss_is_of_bytes(event->kind)) {
            apply_sectors(out, event, i, limits);
        } else if (self->choice.chosen[i]) {
            powerloss_content_apply(out, event);
        }
    }
    harness_free(limits);
}

/* The content that the choice gives a node: the disk's, the page cache's, or one built for it. */
static struct powerloss_content *content_of(struct enumeration *self, size_t node)
{
    size_t units = 0, chosen = 0;
    for (size_t i = 0; i < self->unit_count; i++) {
        const struct powerloss_event *event = self->units[i].event;
        if (!powerloss_is_of_content(event->kind) || event->node != node) continue;
        units++;
        chosen += self->choice.chosen[i] && i != self->choice.torn;
    }
    const bool torn =
        self->choice.torn != SIZE_MAX && self->units[self->choice.torn].event->node == node;
    if (chosen == 0 && !torn) return &self->nodes[node].disk;
    if (chosen == units) return &self->nodes[node].cache;
    build_content(self, node, &self->scratch[node]);
    return &self->scratch[node];
}

static void add_garbage(struct enumeration *self, struct powerloss_content **contents)
{
    const struct powerloss_entry *guarded =
        powerloss_names_find(&self->image_names, self->options.guarded_path);
    if (!guarded) return;
    struct powerloss_content *scratch = &self->scratch[guarded->node];
    if (contents[guarded->node] != scratch) {
        powerloss_content_copy(scratch, contents[guarded->node]);
        contents[guarded->node] = scratch;
    }
    uint8_t sector[SECTOR_BYTES];
    const uint64_t random = test_random(&self->random);
    memset(sector, random & 4 ? 0xFF : 0, sizeof sector);
    for (size_t i = 0; random & 3 && i < sizeof sector; i++) {
        sector[i] = (uint8_t)test_random(&self->random);
    }
    powerloss_content_put(scratch, sector, BS_MIN(sizeof sector, scratch->size), 0);
}

static void emit_choice(struct enumeration *self, enum powerloss_kind kind)
{
    const size_t count = self->trace->node_count;
    struct powerloss_content **contents = harness_zeroed(count, sizeof contents[0]);
    powerloss_names_copy(&self->image_names, &self->disk);
    for (size_t i = 0; i < self->unit_count; i++) {
        if (self->units[i].forced) self->choice.chosen[i] = true;
        if (self->choice.chosen[i]) powerloss_names_apply(&self->image_names, self->units[i].event);
    }
    for (size_t i = 0; i < self->image_names.count; i++) {
        const size_t node = self->image_names.entries[i].node;
        if (!contents[node]) contents[node] = content_of(self, node);
    }
    if (self->choice.garbage) add_garbage(self, contents);
    emit(self, kind, &self->image_names, contents);
    harness_free(contents);
}

static void choose_none(struct enumeration *self)
{
    for (size_t i = 0; i < self->unit_count; i++) self->choice.chosen[i] = false;
    self->choice.torn = SIZE_MAX;
    self->choice.garbage = false;
}

static void choose_prefix(struct enumeration *self, size_t count)
{
    choose_none(self);
    for (size_t i = 0; i < count; i++) self->choice.chosen[i] = true;
}

/* By chance: each unit for itself; of each file a prefix; the last ones alone, as if the disk went
 * backwards; or each file wholly or not at all. A name is always for itself. */
static void choose_some(struct enumeration *self)
{
    choose_none(self);
    const uint64_t seed = test_random(&self->random);
    const size_t count = self->unit_count, start = (size_t)(seed >> 16) % count;
    const unsigned often = 1 + (unsigned)(seed >> 8) % 7; /* of 8 */
    for (size_t i = 0; i < count; i++) {
        const struct powerloss_event *event = self->units[i].event;
        const bool name = powerloss_is_of_names(event->kind);
        uint64_t of_node = seed + (name ? i : 7919 * event->node);
        bool *chosen = &self->choice.chosen[i];
        switch (seed % 4) {
        case 0: *chosen = test_random(&self->random) % 8 < often; break;
        case 1: *chosen = i < test_random(&of_node) % (count + 1); break;
        case 2: *chosen = i >= start; break;
        default: *chosen = test_random(&of_node) % 8 < often; break;
        }
    }
}

/* The `turn`-th of `turns` out of `count`: each in turn if they are few, else by chance. */
static size_t pick(struct enumeration *self, size_t turn, size_t count)
{
    if (count <= self->options.each_max) return turn;
    return (size_t)(test_random(&self->random) % count);
}

static void emit_all_subsets(struct enumeration *self)
{
    for (uint64_t mask = 1; mask + 1 < (uint64_t)1 << self->unit_count; mask++) {
        choose_none(self);
        for (size_t i = 0; i < self->unit_count; i++) self->choice.chosen[i] = mask >> i & 1;
        emit_choice(self, POWERLOSS_SUBSET);
    }
}

static void emit_some_subsets(struct enumeration *self)
{
    const size_t count = self->unit_count;
    const size_t turns = BS_MIN(count, (size_t)self->options.each_max);
    for (size_t turn = 0; turn < turns; turn++) {
        choose_prefix(self, pick(self, turn, count));
        emit_choice(self, POWERLOSS_PREFIX);
        choose_prefix(self, count);
        self->choice.chosen[pick(self, turn, count)] = false;
        emit_choice(self, POWERLOSS_MISSING);
        choose_none(self);
        self->choice.chosen[pick(self, turn, count)] = true;
        emit_choice(self, POWERLOSS_ALONE);
    }
    for (size_t turn = 0; turn < self->options.each_max; turn++) {
        choose_some(self);
        emit_choice(self, POWERLOSS_SUBSET);
    }
}

/* Before the unit `at`, with it, or whatever else: the surroundings of a torn or garbled write. */
static void choose_around(struct enumeration *self, size_t at, size_t turn)
{
    switch (turn % 4) {
    case 0: choose_prefix(self, at); break;
    case 1: choose_prefix(self, self->unit_count); break;
    case 2: choose_none(self); break;
    default: choose_some(self); break;
    }
    self->choice.chosen[at] = true;
}

static void emit_torn(struct enumeration *self)
{
    size_t *candidates = harness_zeroed(self->unit_count, sizeof candidates[0]);
    size_t count = 0;
    for (size_t i = 0; i < self->unit_count; i++) {
        const struct unit *unit = &self->units[i];
        if (unit->forced || !powerloss_is_of_bytes(unit->event->kind)) continue;
        if (sector_count(unit->event) > 1) candidates[count++] = i;
    }
    for (size_t turn = 0; count && turn < self->options.each_max; turn++) {
        const size_t at = candidates[(turn / 4 + turn) % count];
        choose_around(self, at, turn);
        self->choice.torn = at;
        self->choice.torn_how = (unsigned)(turn / 4);
        self->choice.torn_seed = test_random(&self->random);
        emit_choice(self, POWERLOSS_TORN);
    }
    harness_free(candidates);
}

/* A sync that succeeded has put a later write of the unit's first sector on the disk: whatever became of
 * the unit, no write of that sector is under way any more. */
static bool is_overwritten(const struct enumeration *self, size_t unit)
{
    const struct powerloss_event *event = self->units[unit].event;
    for (size_t i = unit + 1; i < self->unit_count; i++) {
        const struct powerloss_event *later = self->units[i].event;
        if (!self->units[i].forced || !powerloss_is_of_bytes(later->kind)) continue;
        if (later->node == event->node && first_sector(later) == first_sector(event)) return true;
    }
    return false;
}

static void emit_garbage(struct enumeration *self)
{
    const char *path = self->options.guarded_path;
    const struct powerloss_entry *guarded = path ? powerloss_names_find(&self->cache, path) : NULL;
    for (size_t i = 0; guarded && i < self->unit_count; i++) {
        const struct powerloss_event *event = self->units[i].event;
        if (self->units[i].forced || !powerloss_is_of_bytes(event->kind)) continue;
        if (event->node != guarded->node || event->offset >= SECTOR_BYTES) continue;
        if (is_overwritten(self, i)) continue;
        for (size_t turn = 0; turn < 4; turn++) {
            choose_around(self, i, turn);
            self->choice.garbage = true;
            emit_choice(self, POWERLOSS_GARBAGE);
        }
    }
}

static void emit_power_losses(struct enumeration *self)
{
    if (self->unit_count > self->chosen_capacity) {
        self->chosen_capacity = 2 * self->unit_count;
        self->choice.chosen = harness_resize(
            self->choice.chosen, self->chosen_capacity * sizeof self->choice.chosen[0]);
    }
    choose_none(self);
    emit_choice(self, POWERLOSS_NONE);
    if (self->unit_count == 0) return;
    choose_prefix(self, self->unit_count);
    emit_choice(self, POWERLOSS_ALL);
    if (self->unit_count <= self->options.all_subsets_max) {
        emit_all_subsets(self);
    } else {
        emit_some_subsets(self);
    }
    emit_torn(self);
    emit_garbage(self);
}

/* ---- playing the trace ----------------------------------------------------------------------- */

static void add_unit(struct enumeration *self, const struct powerloss_event *event)
{
    if (self->unit_count == self->unit_capacity) {
        self->unit_capacity = self->unit_capacity ? 2 * self->unit_capacity : 64;
        self->units = harness_resize(self->units, self->unit_capacity * sizeof self->units[0]);
    }
    self->units[self->unit_count++] = (struct unit){event, false};
}

static bool is_synced_by(const struct powerloss_event *unit, const struct powerloss_event *sync)
{
    if (sync->kind == POWERLOSS_SYNC_DIRECTORY) {
        const char *path = unit->kind == POWERLOSS_RENAME ? unit->to : unit->path;
        return powerloss_is_of_names(unit->kind) && powerloss_is_directly_in(path, sync->path);
    }
    return powerloss_is_of_content(unit->kind) && unit->node == sync->node;
}

/* Can the node still be found, on the disk, in the page cache, or by an entry that may yet arrive? */
static bool is_reachable(const struct enumeration *self, size_t node)
{
    for (size_t i = 0; i < self->disk.count; i++) {
        if (self->disk.entries[i].node == node) return true;
    }
    for (size_t i = 0; i < self->cache.count; i++) {
        if (self->cache.entries[i].node == node) return true;
    }
    for (size_t i = 0; i < self->unit_count; i++) {
        const struct powerloss_event *event = self->units[i].event;
        if (powerloss_is_of_names(event->kind) && event->node == node) return true;
    }
    return false;
}

/* What was written to files that are gone for good concerns no image any more. */
static void forget_unreachable(struct enumeration *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->unit_count; i++) {
        const struct unit unit = self->units[i];
        if (powerloss_is_of_names(unit.event->kind) || is_reachable(self, unit.event->node)) {
            self->units[kept++] = unit;
        }
    }
    self->unit_count = kept;
}

/* Rule 2; rule 3 for a file of which a sync failed. */
static void fold(struct enumeration *self, const struct powerloss_event *sync)
{
    const bool of_names = sync->kind == POWERLOSS_SYNC_DIRECTORY;
    size_t kept = 0;
    for (size_t i = 0; i < self->unit_count; i++) {
        struct unit unit = self->units[i];
        const bool synced = is_synced_by(unit.event, sync);
        if (synced && of_names) {
            powerloss_names_apply(&self->disk, unit.event);
        } else if (synced && !self->nodes[sync->node].doubtful) {
            powerloss_content_apply(&self->nodes[sync->node].disk, unit.event);
        } else {
            self->units[kept++] = unit;
        }
    }
    self->unit_count = kept;
    if (of_names) forget_unreachable(self);
}

/* After a failed sync its units are free for good; those that a later, good sync covers are forced. */
static void doubt(
    struct enumeration *self, const struct powerloss_event *sync, uint64_t *doubted_at)
{
    struct node *node = &self->nodes[sync->node];
    if (sync->kind == POWERLOSS_SYNC_FAILED) {
        node->doubtful = true;
        doubted_at[sync->node] = self->cut;
        return;
    }
    const struct powerloss_event *events = self->trace->events;
    for (size_t i = 0; node->doubtful && i < self->unit_count; i++) {
        const struct powerloss_event *event = self->units[i].event;
        const uint64_t when = (uint64_t)(event - events);
        if (is_synced_by(event, sync) && when > doubted_at[sync->node])
            self->units[i].forced = true;
    }
}

static void play(
    struct enumeration *self, const struct powerloss_event *event, uint64_t *doubted_at)
{
    switch (event->kind) {
    case POWERLOSS_MARK: self->mark = event->offset; break;
    case POWERLOSS_SYNC:
    case POWERLOSS_SYNC_FAILED:
        doubt(self, event, doubted_at);
        if (event->kind == POWERLOSS_SYNC) fold(self, event);
        break;
    case POWERLOSS_SYNC_DIRECTORY: fold(self, event); break;
    default:
        if (powerloss_is_of_names(event->kind)) {
            powerloss_names_apply(&self->cache, event);
            if (event->kind == POWERLOSS_CREATE) {
                self->nodes[event->node].disk.mode = DEFAULT_MODE;
                self->nodes[event->node].cache.mode = DEFAULT_MODE;
            }
        } else {
            powerloss_content_apply(&self->nodes[event->node].cache, event);
        }
        add_unit(self, event);
        break;
    }
}

static void play_base(struct enumeration *self)
{
    for (size_t i = 0; i < self->trace->base_count; i++) {
        const struct powerloss_base *base = &self->trace->base[i];
        struct node *node = &self->nodes[base->node];
        powerloss_names_set(&self->disk, base->path, base->node, base->directory);
        node->disk.mode = base->mode;
        if (base->size) powerloss_content_put(&node->disk, base->bytes, base->size, 0);
        powerloss_content_copy(&node->cache, &node->disk);
    }
    powerloss_names_copy(&self->cache, &self->disk);
}

static void options_fill(struct powerloss_options *options, const struct powerloss_options *given)
{
    if (given) *options = *given;
    if (!options->all_subsets_max) options->all_subsets_max = ALL_SUBSETS_MAX_DEFAULT;
    if (!options->each_max) options->each_max = EACH_MAX_DEFAULT;
    assert(options->all_subsets_max <= ALL_SUBSETS_MAX_MAX);
}

static void enumeration_free(struct enumeration *self)
{
    for (size_t i = 0; i < self->trace->node_count; i++) {
        harness_free(self->nodes[i].disk.bytes);
        harness_free(self->nodes[i].cache.bytes);
        harness_free(self->scratch[i].bytes);
    }
    harness_free(self->nodes);
    harness_free(self->scratch);
    harness_free(self->disk.entries);
    harness_free(self->cache.entries);
    harness_free(self->image_names.entries);
    harness_free(self->units);
    harness_free(self->choice.chosen);
    harness_free(self->seen);
}

uint64_t powerloss_images(struct bs_vfs *vfs, uint64_t from, uint64_t to,
    const struct powerloss_options *options, powerloss_fn each, void *context)
{
    struct enumeration self = {.trace = (struct powerloss_vfs *)(void *)vfs};
    const struct powerloss_vfs *trace = self.trace;
    assert(from <= to && to <= trace->event_count);
    options_fill(&self.options, options);
    self.each = each;
    self.context = context;
    self.random = self.options.seed;
    self.nodes = harness_zeroed(trace->node_count, sizeof self.nodes[0]);
    self.scratch = harness_zeroed(trace->node_count, sizeof self.scratch[0]);
    uint64_t *doubted_at = harness_zeroed(trace->node_count, sizeof doubted_at[0]);
    play_base(&self);
    for (self.cut = 0; self.cut <= to && !self.stopped; self.cut++) {
        const enum powerloss_event_kind kind = event_kind_at(&self, self.cut);
        const bool sync = kind == POWERLOSS_SYNC || kind == POWERLOSS_SYNC_FAILED ||
            kind == POWERLOSS_SYNC_DIRECTORY || self.cut == to;
        if (self.cut >= from && !self.options.no_kills) emit_kills(&self);
        if (self.cut >= from && sync && !self.options.no_power) emit_power_losses(&self);
        if (self.cut < to) play(&self, &trace->events[self.cut], doubted_at);
    }
    harness_free(doubted_at);
    enumeration_free(&self);
    return self.calls;
}

const struct powerloss_file *powerloss_find(const struct powerloss_image *image, const char *path)
{
    for (size_t i = 0; i < image->file_count; i++) {
        if (strcmp(image->files[i].path, path) == 0) return &image->files[i];
    }
    return NULL;
}
