/* enums.h - the values of an ENUM, out of the dictionaries or labels of one file or more. */
#ifndef BASALT_DUCKDB_ENUMS_H
#define BASALT_DUCKDB_ENUMS_H

#include "extension.h"

#define ENUM_VALUES_MAX 65536   /* of dictionaries; more: texts */
#define ENUM_LABELS_MAX 1000000 /* of labels; more: texts */

/* Texts, each once, in the order in which they came; value i is the text that has the code i. */
struct enum_values {
    char *bytes; /* all of them, NUL-terminated, one behind the other */
    size_t byte_count, byte_capacity;
    size_t *starts; /* of each in `bytes` */
    size_t count, capacity;
    uint32_t *slots; /* 1 + code, by hash; 0: free */
    size_t slot_count;
};
void enum_values_free(struct enum_values *values);
const char *enum_text(const struct enum_values *values, size_t code);
/* UINT32_MAX: there is no such text. */
uint32_t enum_code(const struct enum_values *values, const char *text, size_t bytes);
/* The code of the text, which is put behind the others if it is new. False: no memory. */
bool enum_add(struct enum_values *values, const char *text, size_t bytes, uint32_t *out_code);
/* NULL: no memory. */
duckdb_logical_type enum_type(const struct enum_values *values);

/* What the codes of one file are in the ENUM. */
struct enum_map {
    size_t count;
    uint32_t *codes; /* NULL: the same */
};
/* Where an ENUM gets its values from: a dictionary, or labels. */
struct enum_source {
    const struct ArrowSchema *schema; /* of the texts */
    const struct ArrowArray *array;
    const struct labels *labels; /* if it is not NULL */
};
/* Whether these can be values of an ENUM: texts, each once, and not too many. None at all is fine. */
bool enum_source_fits(const struct enum_source *source);
enum enum_join {
    ENUM_JOINED,
    ENUM_TOO_MANY, /* they are too many together */
    ENUM_UNKNOWN,  /* one is not among `values`, and may not be added */
    ENUM_NO_MEMORY
};
/* Adds the source's texts to `values`, or finds them there. Creates what `out_map` has. */
enum enum_join enum_join(struct enum_values *values, const struct enum_source *source, bool may_add,
    struct enum_map *out_map);
void enum_map_free(struct enum_map *map);

#endif
