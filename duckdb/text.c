/* text.c - texts that grow. */
#include "text.h"

#include <stdlib.h>
#include <string.h>

void put_bytes(struct text_buffer *text, const char *bytes, size_t count)
{
    if (text->failed) return;
    if (text->count + count + 1 > text->capacity) {
        const size_t twice = text->capacity * 2, needed = text->count + count + 64;
        const size_t capacity = twice > needed ? twice : needed;
        char *larger = realloc(text->bytes, capacity);
        text->failed = !larger;
        if (!larger) return;
        text->bytes = larger;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
    text->bytes[text->count] = 0;
}

void put_word(struct text_buffer *text, const char *word)
{
    put_bytes(text, word, strlen(word));
}

void put_quoted(struct text_buffer *text, const char *word, char quote)
{
    put_bytes(text, &quote, 1);
    for (; *word; word++) {
        if (*word == quote) put_bytes(text, &quote, 1);
        put_bytes(text, word, 1);
    }
    put_bytes(text, &quote, 1);
}
