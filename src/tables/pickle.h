/* pickle.h - the plain data in a Python pickle; nothing of it is ever run. (pickle.c) */
#ifndef BS_PICKLE_H
#define BS_PICKLE_H

#include "base/base.h"

enum bs_pickle_kind {
    BS_PICKLE_NONE,
    BS_PICKLE_BOOL,
    BS_PICKLE_INTEGER,
    BS_PICKLE_FLOAT,
    BS_PICKLE_TEXT,
    BS_PICKLE_BYTES,
    BS_PICKLE_LIST, /* and tuple */
    BS_PICKLE_DICT,
    BS_PICKLE_OPAQUE /* what the pickle would construct */
};
#define BS_PICKLE_NOTHING SIZE_MAX /* no value: of kind OPAQUE */

struct bs_pickle;
/* UNSUPPORTED: it is not the pickle of plain data, or damaged. */
BS_MUST_USE basalt_status bs_pickle_read(
    const void *bytes, size_t count, struct bs_pickle **out_pickle, basalt_error *err);
void bs_pickle_free(struct bs_pickle *pickle); /* NULL is fine */
size_t bs_pickle_root(const struct bs_pickle *pickle);
enum bs_pickle_kind bs_pickle_kind(const struct bs_pickle *pickle, size_t value);
int64_t bs_pickle_integer(const struct bs_pickle *pickle, size_t value);
/* The items of a list; of a dictionary key, value, key, …: places, 0 at the end. */
size_t bs_pickle_first(const struct bs_pickle *pickle, size_t list);
size_t bs_pickle_next(const struct bs_pickle *pickle, size_t place, size_t *out_value);
bool bs_pickle_is_text(const struct bs_pickle *pickle, size_t value, const char *text);
/* The value of a text among the keys of a dictionary; NOTHING without one. */
size_t bs_pickle_get(const struct bs_pickle *pickle, size_t dict, const char *key);
/* As Python's str(); false: it is no label that a column can have. */
bool bs_pickle_label(const struct bs_pickle *pickle, size_t value, struct bs_bytes *out);

#endif
