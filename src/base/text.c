/* text.c - UTF-8 (RFC 3629). */
#include "base/base_internal.h"

/* Bytes of the character that begins with `first`: 0 if none does. */
static size_t character_bytes(uint8_t first)
{
    if (first < 0x80) return 1;
    if (first < 0xC2) return 0; /* a continuation, or a longer form of an ASCII character */
    if (first < 0xE0) return 2;
    if (first < 0xF0) return 3;
    return first < 0xF5 ? 4 : 0;
}

/* The range of the second byte keeps out longer forms, surrogates and what is past U+10FFFF. */
static bool second_fits(uint8_t first, uint8_t second)
{
    const uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return second >= low && second <= high;
}

bool bs_utf8_valid(const char *text, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t at = 0;
    while (at < count) {
        const size_t length = character_bytes(bytes[at]);
        if (length == 0 || length > count - at) return false;
        if (length > 1 && !second_fits(bytes[at], bytes[at + 1])) return false;
        for (size_t i = 2; i < length; i++) {
            if ((bytes[at + i] & 0xC0) != 0x80) return false;
        }
        at += length;
    }
    return true;
}

size_t bs_utf8_whole(const char *text, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t start = count;
    for (size_t back = 0; back < 4 && start > 0; back++) {
        start--;
        if ((bytes[start] & 0xC0) != 0x80) { /* the last character begins here */
            const size_t length = character_bytes(bytes[start]);
            return length > count - start ? start : count;
        }
    }
    return count; /* not UTF-8: nothing to keep whole */
}
