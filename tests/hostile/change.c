/* change.c - what change.h declares. */
#include "tests/hostile/change.h"

#include <stdbool.h>
#include <string.h>

#define NEAR 96 /* bytes behind a signature, most of which mean something */

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint64_t below(uint64_t *state, uint64_t limit)
{
    return limit ? next_random(state) % limit : 0;
}

static uint64_t load(const uint8_t *bytes, size_t width)
{
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

static void store(uint8_t *bytes, size_t width, uint64_t value)
{
    for (size_t i = 0; i < width; i++) bytes[i] = (uint8_t)(value >> 8 * i);
}

static bool is_signature(const uint8_t *bytes)
{
    static const char *const all[] = {"OHDR", "OCHK", "TREE", "SNOD", "HEAP", "GCOL", "FRHP",
        "FHDB", "FHIB", "BTHD", "BTLF", "BTIN", "FAHD", "FADB", "EAHD", "EAIB", "EASB", "EADB",
        "SMTB", "SMLI", "FSHD", "FSSE"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!memcmp(bytes, all[i], 4)) return true;
    return false;
}

void find_places(const uint8_t *bytes, size_t count, struct places *out_places)
{
    out_places->structure_count = out_places->address_count = 0;
    for (size_t at = 0; at + 8 <= count; at++) {
        if (out_places->structure_count < PLACES_MAX && bytes[at] >= 'B' && bytes[at] <= 'T' &&
            is_signature(bytes + at))
            out_places->structures[out_places->structure_count++] = at;
        if (at % 4 || out_places->address_count == PLACES_MAX) continue;
        const uint64_t value = load(bytes + at, 8);
        if (value >= 48 && value < count) out_places->addresses[out_places->address_count++] = at;
    }
}

/* A number that somebody forgot to think of. */
static uint64_t extreme(
    uint64_t *state, const struct places *places, size_t at, size_t count, uint64_t old)
{
    switch (below(state, 14)) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return UINT64_MAX - 1 - below(state, 8);
    case 3: return count;
    case 4: return count - 1 - below(state, count);
    case 5: return old + 1;
    case 6: return old - 1;
    case 7: return old * 2;
    case 8: return at; /* itself */
    case 9: return (uint64_t)1 << below(state, 64);
    case 10: return ((uint64_t)1 << below(state, 64)) - 1;
    case 11:
        return places->structure_count ? places->structures[below(state, places->structure_count)]
                                       : 1;
    case 12: return below(state, 256);
    default: return next_random(state);
    }
}

static size_t place(uint64_t *state, const struct places *places, size_t count)
{
    const uint64_t kind = below(state, 8);
    size_t at = below(state, count);
    if (kind < 4 && places->structure_count)
        at = places->structures[below(state, places->structure_count)] + below(state, NEAR);
    else if (kind < 7 && places->address_count)
        at = places->addresses[below(state, places->address_count)] + below(state, 3) * 4;
    return at < count ? at : count - 1;
}

static void set_number(uint8_t *bytes, size_t count, const struct places *places, uint64_t *state)
{
    static const size_t widths[] = {1, 1, 2, 2, 4, 8, 8};
    const size_t at = place(state, places, count);
    const size_t width = widths[below(state, sizeof widths / sizeof *widths)];
    if (at + width > count) return;
    store(bytes + at, width, extreme(state, places, at, count, load(bytes + at, width)));
}

static void move_structure(
    uint8_t *bytes, size_t count, const struct places *places, uint64_t *state, bool swap)
{
    uint8_t kept[512];
    if (places->structure_count < 2) return;
    const size_t from = places->structures[below(state, places->structure_count)];
    const size_t to = places->structures[below(state, places->structure_count)];
    const size_t size = 8 + below(state, sizeof kept - 8);
    if (from + size > count || to + size > count) return;
    memcpy(kept, bytes + to, size);
    memmove(bytes + to, bytes + from, size);
    if (swap) memcpy(bytes + from, kept, size);
}

void change_file(uint8_t *bytes, size_t *count, const struct places *places, uint64_t seed)
{
    uint64_t state = seed;
    const unsigned changes = 1 + (unsigned)below(&state, 4);

    for (unsigned i = 0; i < changes; i++) {
        switch (below(&state, 12)) {
        case 0: bytes[below(&state, *count)] ^= (uint8_t)(1u << below(&state, 8)); break;
        case 1: bytes[place(&state, places, *count)] = (uint8_t)next_random(&state); break;
        case 2: move_structure(bytes, *count, places, &state, false); break;
        case 3: move_structure(bytes, *count, places, &state, true); break;
        case 4:
            if (below(&state, 8) == 0) *count -= below(&state, *count);
            break;
        default: set_number(bytes, *count, places, &state);
        }
    }
}
