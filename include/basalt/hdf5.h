/* hdf5.h - any HDF5 file, read without libhdf5: list it, read it as Arrow.
 *
 * A file is immutable while it is open here and may be used by any number of threads at once. What
 * this reader cannot read is UNSUPPORTED and says what it is (docs/format/coverage.md).
 *
 * A path is one of the file, "/a/b", or made of the plain names of families and columns, which the file
 * has escaped (family.h): "/a/b" is the family "a/b" where no group /a holds a b. */
#ifndef BASALT_HDF5_H
#define BASALT_HDF5_H

#include "basalt/arrow.h"
#include "basalt/environment.h"
#include "basalt/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct basalt_hdf5 basalt_hdf5;

BASALT_CHECKED basalt_status basalt_hdf5_open(
    const char *path, basalt_hdf5 **out_file, basalt_error *err);

typedef struct basalt_hdf5_options {
    size_t struct_bytes; /* set by _init; lets the struct grow without breaking the ABI */
    basalt_env *env;     /* whose registered filters the file may use; NULL (default): none */
} basalt_hdf5_options;
BASALT_API void basalt_hdf5_options_init(basalt_hdf5_options *options, size_t options_bytes);
/* `options` may be NULL. The environment cannot be closed before the file. */
BASALT_CHECKED basalt_status basalt_hdf5_open_with(const char *path,
    const basalt_hdf5_options *options, basalt_hdf5 **out_file, basalt_error *err);
BASALT_API void basalt_hdf5_close(basalt_hdf5 **file); /* NULL is fine */

typedef enum basalt_hdf5_kind {
    BASALT_HDF5_GROUP = 0,
    BASALT_HDF5_DATASET = 1,
    BASALT_HDF5_TYPE = 2,
    BASALT_HDF5_SOFT_LINK = 3,
    BASALT_HDF5_EXTERNAL_LINK = 4
} basalt_hdf5_kind;

#define BASALT_HDF5_RANK_MAX 32

typedef struct basalt_hdf5_entry { /* texts are lent during the call */
    const char *path;              /* from the root: "/a/b" */
    unsigned depth;                /* 0: the object that the walk began at */
    basalt_hdf5_kind kind;
    const char *type;   /* datasets, types: "<f8", "utf-8 string" */
    const char *target; /* soft and external links */
    unsigned rank;
    uint64_t dims[BASALT_HDF5_RANK_MAX], max_dims[BASALT_HDF5_RANK_MAX]; /* UINT64_MAX: unlimited */
    const char *layout; /* "compact", "contiguous", "chunked" */
    uint64_t chunk_dims[BASALT_HDF5_RANK_MAX];
    const char *filters;              /* "shuffle, deflate 4"; "" if none */
    uint64_t raw_bytes, stored_bytes; /* stored: of the data, without metadata */
    uint64_t attributes;
} basalt_hdf5_entry;
typedef bool (*basalt_hdf5_entry_fn)(void *context, const basalt_hdf5_entry *entry);
/* The object at `path` and, to `depth_max` levels below it, everything inside, parents first, in
 * the order of names. Each object is visited once, even if several links reach it. A false return stops. */
BASALT_CHECKED basalt_status basalt_hdf5_walk(basalt_hdf5 *file, const char *path,
    unsigned depth_max, basalt_hdf5_entry_fn each, void *context, basalt_error *err);

/* `value` as JSON text; numbers, texts, arrays of them, bytes as hexadecimal text. */
typedef bool (*basalt_hdf5_attribute_fn)(
    void *context, const char *name, const char *type, const char *value);
BASALT_CHECKED basalt_status basalt_hdf5_each_attribute(basalt_hdf5 *file, const char *path,
    basalt_hdf5_attribute_fn each, void *context, basalt_error *err);

/* Rows [first_row, first_row + row_count) of a dataset (one column named by the last part of the
 * path; an N-D one is a fixed-size list a row; a scalar is one row), or of a group that Basalt or
 * AnnData wrote as a table. Creates *out_stream, which must not outlive `file`. */
BASALT_CHECKED basalt_status basalt_hdf5_scan(basalt_hdf5 *file, const char *path,
    uint64_t first_row, uint64_t row_count, struct ArrowArrayStream *out_stream, basalt_error *err);

#ifdef __cplusplus
}
#endif
#endif
