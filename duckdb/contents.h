/* contents.h - which tables a file has. */
#ifndef BASALT_DUCKDB_CONTENTS_H
#define BASALT_DUCKDB_CONTENTS_H

#include "extension.h"

/* A table at `path`, lent during the call. A false return stops. */
typedef bool table_fn(void *context, const char *path);
/* Each table of the file once, in the order of names. What is inside a table is none of its own, and a
 * plain group is one only if each of its datasets is a column: else these are tables. */
bool each_table(basalt_hdf5 *file, const char *file_name, table_fn *each, void *context,
    struct failure *failure);

#endif
