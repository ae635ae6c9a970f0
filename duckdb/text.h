/* text.h - texts that grow. */
#ifndef BASALT_DUCKDB_TEXT_H
#define BASALT_DUCKDB_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text_buffer { /* starts as zeros; free(bytes) */
    char *bytes;     /* NUL-terminated; NULL: nothing was put */
    size_t count, capacity;
    bool failed; /* no memory */
};
void put_bytes(struct text_buffer *text, const char *bytes, size_t count);
void put_word(struct text_buffer *text, const char *word);
/* As SQL has names ('"') and texts ('\''): between quotes, those in it doubled. */
void put_quoted(struct text_buffer *text, const char *word, char quote);

#endif
