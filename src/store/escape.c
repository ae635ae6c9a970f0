/* escape.c - names of columns and families as HDF5 link names, and back.
 *
 *   '/'                    %2F     HDF5 splits paths at it
 *   '.' at the start       %2E     "." and ".." are not names, ".basalt" is our own group
 *   NUL                    %00
 *   '%'                    %25     so that the escape can be undone
 *   '#'                    %23     so that what follows is told apart
 *   the empty name         #empty
 *   the k-th of a name     #k at the end, k = 2, 3, ...
 *
 * Every name with its repeat has one link, and no two have the same. */
#include "store/store.h"

static const char EMPTY[] = "#empty";

static const char *escape_of(char c, bool first)
{
    switch (c) {
    case '/': return "%2F";
    case '\0': return "%00";
    case '%': return "%25";
    case '#': return "%23";
    case '.': return first ? "%2E" : NULL;
    default: return NULL;
    }
}

void bs_name_escape(const char *name, size_t count, uint64_t repeat, struct bs_bytes *out)
{
    if (!count) bs_bytes_put(out, EMPTY, sizeof EMPTY - 1);
    for (size_t i = 0; i < count; i++) {
        const char *escape = escape_of(name[i], i == 0);
        if (escape) {
            bs_bytes_put(out, escape, 3);
        } else {
            bs_bytes_u8(out, (uint8_t)name[i]);
        }
    }
    if (repeat > 1) bs_bytes_text(out, "#%llu", (unsigned long long)repeat);
}

/* "#k" with k >= 2 and no leading zero, up to the end of the text. */
static bool read_repeat(const char *text, uint64_t *out_repeat)
{
    uint64_t repeat = 0;
    size_t digits = 0;
    if (text[0] != '#' || text[1] < '1' || text[1] > '9') return false;
    for (text++; *text >= '0' && *text <= '9' && digits < 19; text++, digits++) {
        repeat = repeat * 10 + (uint64_t)(*text - '0');
    }
    *out_repeat = repeat;
    return !*text && repeat >= 2;
}

/* The character that an escape at `at` stands for. */
static bool read_escape(const char *at, bool first, uint8_t *out_plain)
{
    static const char *const ESCAPES[] = {"%2F", "%00", "%25", "%23", "%2E"};
    static const uint8_t PLAIN[] = {'/', '\0', '%', '#', '.'};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(ESCAPES); i++) {
        if (strncmp(at, ESCAPES[i], 3) != 0) continue;
        *out_plain = PLAIN[i];
        return first || PLAIN[i] != '.';
    }
    return false;
}

/* The name, up to a '#' or the end. */
static bool read_name(const char **at, struct bs_bytes *out)
{
    if (!strncmp(*at, EMPTY, sizeof EMPTY - 1)) {
        *at += sizeof EMPTY - 1;
        return true;
    }
    if (!**at || **at == '#') return false;
    for (bool first = true; **at && **at != '#'; first = false) {
        uint8_t plain = (uint8_t) * *at;
        const bool escaped = plain == '%';
        if (escaped ? !read_escape(*at, first, &plain) : escape_of(**at, first) != NULL) {
            return false;
        }
        bs_bytes_u8(out, plain);
        *at += escaped ? 3 : 1;
    }
    return true;
}

basalt_status bs_name_unescape(
    const char *link, struct bs_bytes *out, uint64_t *out_repeat, basalt_error *err)
{
    const size_t before = out->count;
    const char *at = link;
    *out_repeat = 1;
    if (read_name(&at, out) && (!*at || read_repeat(at, out_repeat))) {
        return bs_bytes_check(out, err);
    }
    if (!out->failed) out->count = before;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "\"%.100s\" is not the escaped form of any name", link);
}
