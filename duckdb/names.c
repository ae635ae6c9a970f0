/* names.c - names that are told apart, and numbered where they repeat. */
#include "extension.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

static uint64_t hash_of(const struct name_set *set, const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name; name++) {
        const int byte = (unsigned char)*name;
        hash = (hash ^ (uint64_t)(set->by_case ? byte : tolower(byte))) * 0x100000001B3u;
    }
    return hash;
}

static size_t slot_of(const struct name_set *set, const char *name)
{
    size_t at = (size_t)hash_of(set, name) & (set->capacity - 1);
    for (; set->slots[at]; at = (at + 1) & (set->capacity - 1)) {
        const char *other = set->slots[at];
        if (!(set->by_case ? strcmp(other, name) : strcasecmp(other, name))) break;
    }
    return at;
}

static bool grow(struct name_set *set)
{
    struct name_set larger = {.capacity = MAX_OF(set->capacity * 2, 64), .by_case = set->by_case};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots) return false;
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i]) larger.slots[slot_of(&larger, set->slots[i])] = set->slots[i];
    }
    larger.count = set->count;
    free(set->slots);
    *set = larger;
    return true;
}

bool name_set_add(struct name_set *set, const char *name, bool *out_new)
{
    if (set->count * 2 >= set->capacity && !grow(set)) return false;
    const size_t at = slot_of(set, name);
    *out_new = !set->slots[at];
    set->count += *out_new;
    if (*out_new) set->slots[at] = name;
    return true;
}

bool name_set_has(const struct name_set *set, const char *name)
{
    return set->capacity && set->slots[slot_of(set, name)];
}

void name_set_free(struct name_set *set)
{
    free(set->slots);
    *set = (struct name_set){.by_case = set->by_case};
}

char *name_numbered(const struct name_set *set, const char *name)
{
    const size_t room = strlen(name) + 24;
    char *made = malloc(room);
    for (unsigned number = 1; made; number++) {
        snprintf(made, room, "%s_%u", name, number);
        if (!name_set_has(set, made)) break;
    }
    return made;
}

/* ---- labels --------------------------------------------------------------------------------- */

void labels_free(struct labels *labels)
{
    for (size_t i = 0; i < labels->count; i++) free(labels->texts[i]);
    free(labels->texts);
    memset(labels, 0, sizeof *labels);
}

/* Every text of `labels` that was met before gets a number that makes it another than all. */
static bool number_repeats(struct labels *labels, struct name_set *all)
{
    struct name_set met = {.by_case = true};
    bool fine = true;
    for (size_t i = 0; fine && i < labels->count; i++) {
        bool is_new = true;
        fine = name_set_add(&met, labels->texts[i], &is_new);
        if (!fine || is_new) continue;
        char *numbered = name_numbered(all, labels->texts[i]);
        fine = numbered && name_set_add(all, numbered, &is_new);
        if (!fine) {
            free(numbered);
            break;
        }
        free(labels->texts[i]); /* the sets know the text by the one that came first */
        labels->texts[i] = numbered;
    }
    name_set_free(&met);
    return fine;
}

bool labels_finish(struct labels *labels, bool number, struct failure *failure)
{
    struct name_set met = {.by_case = true};
    bool fine = true;
    labels->unique = true;
    for (size_t i = 0; fine && i < labels->count; i++) {
        bool is_new = true;
        if (name_set_has(&met, labels->texts[i])) {
            labels->unique = false;
        } else {
            fine = name_set_add(&met, labels->texts[i], &is_new);
        }
    }
    if (fine && number && !labels->unique) {
        fine = number_repeats(labels, &met);
        labels->unique = fine;
    }
    name_set_free(&met);
    return fine ? true : fail_memory(failure);
}
