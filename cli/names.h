/* names.h - names of columns for formats in which each has one of its own. */
#ifndef BASALT_CLI_NAMES_H
#define BASALT_CLI_NAMES_H

#include "command.h"

/* `schema` is a view of another one, whose columns are called otherwise. Nothing of it is released. */
struct unique_names {
    struct ArrowSchema schema;
    size_t count;
    char **texts, **made; /* made: while they are */
    struct ArrowSchema *fields, **pointers;
};

/* In UTF-8: a byte that is not so is U+FFFD. `number_empty`: an empty name is f and the number of the
 * column. Creates *out_names; `schema` must outlive it. */
basalt_status unique_names_make(const struct ArrowSchema *schema, bool number_empty,
    struct unique_names *out_names, basalt_error *err);
void unique_names_free(struct unique_names *names);

#endif
