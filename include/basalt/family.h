/* family.h - column families: named tables inside a store.
 *
 * A family is a group of the file, one dataset a column. It is known by its name (UTF-8, 1 to 4096
 * bytes). What HDF5 does not allow in a name is escaped in the file: '/' is %2F, '.' at the start
 * %2E, '%' %25, '#' %23, NUL %00; the second column of a name ends in "#2", an empty name is "#empty". */
#ifndef BASALT_FAMILY_H
#define BASALT_FAMILY_H

#include "basalt/arrow.h"
#include "basalt/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct basalt_family_options {
    size_t struct_bytes;   /* set by _init */
    int compression_level; /* deflate 1 to 9 after shuffle; 0: fletcher32 alone; default 4 */
    uint64_t chunk_rows;   /* 0 (default): 8,192, and 131,072 once there are 64 chunks */
    bool row_index;        /* default true: the _index dataset that makes it an AnnData dataframe */
} basalt_family_options;
BASALT_API void basalt_family_options_init(basalt_family_options *options, size_t options_bytes);

/* Makes an empty append family. The schema is copied. EXISTS; UNSUPPORTED names the field whose type
 * cannot be stored without loss. Commits like a row, `buffered`. */
BASALT_CHECKED basalt_status basalt_family_create(basalt_store *store, const char *name,
    const struct ArrowSchema *schema, const basalt_family_options *options, basalt_error *err);

/* The name of a family or column as the file has it, "a%2Fb" for "a/b", and back, which is BAD_ARGUMENT
 * for what is no such name. Create *out_…: free it with basalt_free. */
BASALT_CHECKED basalt_status basalt_name_escape(
    const char *name, char **out_link, basalt_error *err);
BASALT_CHECKED basalt_status basalt_name_unescape(
    const char *link, char **out_name, basalt_error *err);

/* Creates *out_schema: call its release. */
BASALT_CHECKED basalt_status basalt_family_schema(
    basalt_store *store, const char *name, struct ArrowSchema *out_schema, basalt_error *err);

typedef struct basalt_family_info {
    const char *name; /* lent during the call */
    uint64_t rows;    /* visible */
    uint64_t columns;
    uint64_t chunk_rows;
    int compression_level;
} basalt_family_info;
/* In order of creation; a false return stops. */
typedef bool (*basalt_family_fn)(void *context, const basalt_family_info *info);
BASALT_CHECKED basalt_status basalt_each_family(
    basalt_store *store, basalt_family_fn each, void *context, basalt_error *err);
BASALT_CHECKED basalt_status basalt_family_get_info(basalt_store *store, const char *name,
    basalt_family_info *out_info, basalt_error *err); /* out_info->name is `name` */

#ifdef __cplusplus
}
#endif
#endif
