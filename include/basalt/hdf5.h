/* hdf5.h - any HDF5 file, read without libhdf5: list it, read it as Arrow.
 *
 * A file is immutable while it is open here and may be used by any number of threads at once: one that
 * has a writer of Basalt shows the checkpoint that it was opened at, until it is closed. What
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

/* Files name others: parts of themselves, external links, raw data, sources of virtual datasets. A file
 * from a stranger could so make its reader show what only the reader may see. */
typedef enum basalt_hdf5_follow {
    BASALT_HDF5_FOLLOW_BESIDE = 0,  /* those in the folder of the file, and below it (default) */
    BASALT_HDF5_FOLLOW_NOWHERE = 1, /* what is elsewhere is UNSUPPORTED */
    BASALT_HDF5_FOLLOW_ANYWHERE = 2 /* whatever the user may read, as libhdf5 does */
} basalt_hdf5_follow;

typedef struct basalt_hdf5_options {
    size_t struct_bytes; /* set by _init; lets the struct grow without breaking the ABI */
    basalt_env *env; /* whose threads and registered filters the file uses; NULL (default): threads
                          * of its own, once they are needed, and no such filters */
    basalt_hdf5_follow follow;
    uint64_t cache_bytes; /* of decoded chunks kept between small reads; default 256 MiB (at
                           * most 12 MiB and 3 times the file), 0: none */
    uint64_t
        chunk_memory_bytes; /* that one chunk may take, decoded and being decoded, beside 4 times the
                           * size of the file: a chunk that needs more is TOO_LARGE. Default 32 MiB. More
                           * is for files you trust: a few KB can hold a chunk of GiBs that are all alike */
} basalt_hdf5_options;
BASALT_API void basalt_hdf5_options_init(basalt_hdf5_options *options, size_t options_bytes);
/* `options` may be NULL. The environment cannot be closed before the file. */
BASALT_CHECKED basalt_status basalt_hdf5_open_with(const char *path,
    const basalt_hdf5_options *options, basalt_hdf5 **out_file, basalt_error *err);
BASALT_API void basalt_hdf5_close(basalt_hdf5 **file); /* NULL is fine */
/* Lends a sentence about what is read all the same, a file that is marked as open for writing; or NULL.
 * It lives as long as `file`. */
BASALT_API const char *basalt_hdf5_warning(const basalt_hdf5 *file);

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

/* `value` as JSON text; numbers, texts, arrays of them, bytes as hexadecimal text, references as a scan
 * gives them. */
typedef bool (*basalt_hdf5_attribute_fn)(
    void *context, const char *name, const char *type, const char *value);
BASALT_CHECKED basalt_status basalt_hdf5_each_attribute(basalt_hdf5 *file, const char *path,
    basalt_hdf5_attribute_fn each, void *context, basalt_error *err);

typedef enum basalt_hdf5_bound_kind {
    BASALT_HDF5_BOUND_NONE = 0, /* there is none */
    BASALT_HDF5_BOUND_SIGNED = 1,
    BASALT_HDF5_BOUND_UNSIGNED = 2,
    BASALT_HDF5_BOUND_FLOAT = 3
} basalt_hdf5_bound_kind;
typedef struct basalt_hdf5_bound {
    basalt_hdf5_bound_kind kind; /* which of these it is */
    union {
        int64_t as_signed;
        uint64_t as_unsigned;
        double as_float;
    } value;
} basalt_hdf5_bound;
typedef struct basalt_hdf5_chunk {
    unsigned rank;
    uint64_t offset[BASALT_HDF5_RANK_MAX]; /* of its first element, in elements */
    uint64_t file_offset, stored_bytes;
    uint32_t filter_mask; /* bit i: filter i was left out */
    /* Of the values of a column of a Basalt family, as the file says it; false where it does not, of a
     * chunk that grows say, or where another program has written since. An edit in place by another
     * program can't be seen: basalt_verify finds it. */
    bool has_statistics;
    bool has_nan;               /* a value that is not missing is NaN; it is in no bound */
    uint64_t null_count;        /* missing rows */
    basalt_hdf5_bound min, max; /* of the rest, as stored; half and float widened, bool as 0 and 1.
                                 * NONE: there is no rest, or the type has no bounds: text, binary */
} basalt_hdf5_chunk;
typedef bool (*basalt_hdf5_chunk_fn)(void *context, const basalt_hdf5_chunk *chunk);
/* The chunks of a dataset that are stored, in the order of its index. A false return stops. UNSUPPORTED:
 * it is no dataset, or not in chunks. */
BASALT_CHECKED basalt_status basalt_hdf5_each_chunk(basalt_hdf5 *file, const char *path,
    basalt_hdf5_chunk_fn each, void *context, basalt_error *err);

/* ---- rows as Arrow -----------------------------------------------------------------------------
 *
 * A path is a table in one of these ways; the first that fits is taken:
 *
 *   dataset of a netCDF variable, or any whose dimensions have scales: a row an element, with a column
 *       for the coordinate along each dimension, then the value
 *   dataset of records (one dimension): a column for each member
 *   any other dataset: one column, named by the last part of the path; further dimensions are a
 *       fixed-size list a row, arrow.fixed_shape_tensor if they are several; a scalar is one row
 *   group that Basalt wrote as a family: the columns and types that were put in
 *   AnnData: dataframe; categorical; nullable-integer, -boolean, -string-array
 *   sparse matrix of AnnData or h5sparse: row, column, value of each entry, in the order of the file
 *   pandas: what to_hdf and HDFStore write, in either format
 *   group of datasets of one dimension and one length: a column for each, in the order of names, or
 *       those of an attribute "column-order"; datasets that do not fit are named in the schema's
 *       metadata, "basalt.left_out"
 *
 * Enumerations are dictionaries of their names (h5py's bool is bool); variable-length sequences lists
 * (of bytes: binary); nested records structs; references the path that they lead to, with the region as
 * NumPy writes an index ("/a[0:10:2, 3]"; "x3" behind a stride: blocks of 3; points in braces) or the
 * attribute ("/a@name"); text utf8.
 * Every stream reads only the chunks that its rows are in and holds one batch in memory. */

typedef enum basalt_hdf5_layout {
    BASALT_HDF5_LAYOUT_AUTO = 0,  /* as above */
    BASALT_HDF5_LAYOUT_PLAIN = 1, /* a dataset as itself, even if its dimensions have scales */
    BASALT_HDF5_LAYOUT_WIDE = 2   /* a dataset of two dimensions: the row's number, as "row", and a
                                   * column for each index of the second: "0", "1", … */
} basalt_hdf5_layout;

/* 64-bit integers whose dataset has an attribute `unit` of "s", "ms", "us" or "ns" may be instants, counted
 * from 1970, or durations. A family of Basalt knows, whatever is asked for here. */
typedef enum basalt_hdf5_units {
    BASALT_HDF5_UNITS_ZONED =
        0, /* instants, if there is an attribute `timezone` too ("": of no zone) */
    BASALT_HDF5_UNITS_ALL = 1, /* all of them are instants */
    BASALT_HDF5_UNITS_NONE = 2 /* none is: they are numbers */
} basalt_hdf5_units;

/* What the values in chunks were found to be, their least and greatest, from one opening of a file to the
 * next: see "rows by their values". It forgets what it knows of a file that was changed, and is not
 * told of one that was changed within the last 2 seconds or that a writer of Basalt has open. */
typedef struct basalt_hdf5_bounds basalt_hdf5_bounds;
/* Creates *out_bounds, for any number of threads and files; 0 bytes: 16 MiB. What is used least goes first.
 */
BASALT_CHECKED basalt_status basalt_hdf5_bounds_create(
    uint64_t bytes_max, basalt_hdf5_bounds **out_bounds, basalt_error *err);
/* NULL is fine. Not before the tables that were opened with it are closed. */
BASALT_API void basalt_hdf5_bounds_free(basalt_hdf5_bounds **bounds);

typedef struct basalt_hdf5_scan_options {
    size_t struct_bytes;           /* set by _init; lets the struct grow without breaking the ABI */
    uint64_t first_row, row_count; /* default: all. What is beyond the end is not an error */
    basalt_hdf5_layout layout;
    bool
        missing_as_null; /* the values that _FillValue and missing_value name are null; default: not */
    bool
        without_dictionaries; /* categories and names of numbers as themselves; default: dictionaries */
    bool ascii_as_binary;     /* texts that are not declared UTF-8 are binary; default: utf8 */
    /* Looked at once a chunk as long as the stream, or the table, lives: what then reads is CANCELLED (of a
     * stream: ECANCELED). Or NULL (default). */
    const basalt_cancel *cancel;
    basalt_hdf5_units units; /* default: BASALT_HDF5_UNITS_ZONED */
    basalt_hdf5_bounds
        *bounds; /* tables: remembered there; or NULL (default): no longer than the table */
} basalt_hdf5_scan_options;
BASALT_API void basalt_hdf5_scan_options_init(
    basalt_hdf5_scan_options *options, size_t options_bytes);

/* Creates *out_stream, which must not outlive `file`. `options` may be NULL. UNSUPPORTED: `path` is no
 * table, or has a type that Arrow has no word for; the message names path and reason. */
BASALT_CHECKED basalt_status basalt_hdf5_scan_with(basalt_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, struct ArrowArrayStream *out_stream,
    basalt_error *err);
/* Rows [first_row, first_row + row_count), all else by default. */
BASALT_CHECKED basalt_status basalt_hdf5_scan(basalt_hdf5 *file, const char *path,
    uint64_t first_row, uint64_t row_count, struct ArrowArrayStream *out_stream, basalt_error *err);

typedef struct basalt_hdf5_table_info {
    const char *kind; /* for people: "family", "AnnData dataframe", "records" …; static */
    uint64_t rows, columns;
} basalt_hdf5_table_info;
/* What a scan of `path` would give, without its rows. UNSUPPORTED: no table. */
BASALT_CHECKED basalt_status basalt_hdf5_describe_table(
    basalt_hdf5 *file, const char *path, basalt_hdf5_table_info *out_info, basalt_error *err);

/* ---- the same from many threads ----------------------------------------------------------------
 *
 * A table is opened once and read by any number of threads at once, each through a cursor of its own, in
 * any order of rows. No lock is between them. A cursor reads on the thread that calls, and no column that
 * it was not asked for. */

typedef struct basalt_hdf5_table basalt_hdf5_table;
typedef struct basalt_hdf5_cursor basalt_hdf5_cursor;

/* Creates *out_table, to be closed before `file`. As basalt_hdf5_scan_with, but for the options' rows,
 * which are not looked at. */
BASALT_CHECKED basalt_status basalt_hdf5_table_open(basalt_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, basalt_hdf5_table **out_table, basalt_error *err);
BASALT_API void basalt_hdf5_table_close(basalt_hdf5_table **table); /* NULL is fine */
/* Creates *out_schema: call its release. Its children are the columns. */
BASALT_CHECKED basalt_status basalt_hdf5_table_schema(
    const basalt_hdf5_table *table, struct ArrowSchema *out_schema, basalt_error *err);
BASALT_API void basalt_hdf5_table_get_info(
    const basalt_hdf5_table *table, basalt_hdf5_table_info *out_info);

/* Columns `columns[0..column_count)` of the table, numbered from 0, in that order; `columns` NULL: all.
 * Creates *out_cursor, to be closed before the table; it serves one thread at a time. */
BASALT_CHECKED basalt_status basalt_hdf5_cursor_open(const basalt_hdf5_table *table,
    const size_t *columns, size_t column_count, basalt_hdf5_cursor **out_cursor, basalt_error *err);
BASALT_API void basalt_hdf5_cursor_close(basalt_hdf5_cursor **cursor); /* NULL is fine */
/* How many rows from `first_row` on are best read at once: whole chunks, about 8 MiB. */
BASALT_API uint64_t basalt_hdf5_cursor_batch_rows(
    const basalt_hdf5_cursor *cursor, uint64_t first_row);
typedef struct basalt_hdf5_needs {
    /* Memory that a read takes, about: row_bytes * rows + chunk_bytes; texts and sequences of variable
     * length count as 32 bytes. */
    uint64_t row_bytes, chunk_bytes;
    uint64_t chunk_rows; /* of the tallest chunks: fewer rows at once decode them again; 0: none */
    uint64_t memory_bytes; /* that the last read took at most: measured */
} basalt_hdf5_needs;
/* What a cursor needs of memory, besides the chunks that the file keeps (basalt_hdf5_get_stats). */
BASALT_API void basalt_hdf5_cursor_get_needs(
    const basalt_hdf5_cursor *cursor, basalt_hdf5_needs *out_needs);
/* Rows [first_row, first_row + row_count) as a struct array, which may outlive the cursor and the file:
 * call its release. BAD_ARGUMENT: not all in the table. TOO_LARGE: more text than one array may hold; ask
 * for fewer rows. */
BASALT_CHECKED basalt_status basalt_hdf5_cursor_read(basalt_hdf5_cursor *cursor, uint64_t first_row,
    uint64_t row_count, struct ArrowArray *out_array, basalt_error *err);

/* ---- rows by their values ----------------------------------------------------------------------
 *
 * A cursor that is given ranges finds the rows whose values are in all of them, and leaves out what they
 * rule out as early as can be: the columns with ranges are read first, a block of rows (whole chunks) at a
 * time and each only where those before it left a row; the other columns only of blocks with a row that
 * is in all ranges. What is found does not depend on chunks.
 *
 * What a table learns of chunks by that, the least and the greatest value, it keeps for the next cursor,
 * and with basalt_hdf5_bounds for the next table: of chunks that are known to be out of range nothing is
 * read. Of a family of Basalt's the file itself says it, of all chunks that are full.
 *
 * Values compare as numbers, exactly and whatever their types: bool as 0 and 1, dates, times and durations
 * as the numbers that count them. NaN is greater than every number, so it is where there is no max. A null
 * is in no range, not even in one without bounds. */

typedef struct basalt_hdf5_range { /* both ends are in it; min > max: no value is */
    size_t column;                 /* of the table, whether or not the cursor reads it */
    basalt_hdf5_bound min, max;
} basalt_hdf5_range;
/* Ranges for basalt_hdf5_cursor_find, instead of those it had; copied. basalt_hdf5_cursor_batch_rows
 * takes their columns into account, basalt_hdf5_cursor_read does not look at them. BAD_ARGUMENT: there is
 * no such column. UNSUPPORTED: one that is no number, bool, date, time or duration; the message names it.
 */
BASALT_CHECKED basalt_status basalt_hdf5_cursor_set_ranges(basalt_hdf5_cursor *cursor,
    const basalt_hdf5_range *ranges, size_t range_count, basalt_error *err);

typedef struct basalt_hdf5_run {
    uint64_t first_row, row_count;
} basalt_hdf5_run;
typedef struct basalt_hdf5_found {
    struct ArrowArray
        rows; /* the cursor's columns of these rows and no other, if there is one: call
                             * its release; it may outlive the cursor and the file */
    const basalt_hdf5_run
        *runs;         /* which rows they are, rising; lent until the cursor is asked again */
    size_t run_count;  /* 0: no row was found */
    uint64_t next_row; /* where to go on; `end_row`: all is done */
} basalt_hdf5_found;
/* Of rows first_row, first_row + step, … before `end_row` those of the first block that are in the ranges,
 * if there is such a block. BAD_ARGUMENT: the table does not have these rows, or `step` is 0. Errors else
 * as of basalt_hdf5_cursor_read. */
BASALT_CHECKED basalt_status basalt_hdf5_cursor_find(basalt_hdf5_cursor *cursor, uint64_t first_row,
    uint64_t end_row, uint64_t step, basalt_hdf5_found *out_found, basalt_error *err);

/* ---- elements into memory ----------------------------------------------------------------------
 *
 * Any part of a dataset as an array. A read is spread over the threads of an environment, or of the
 * file, straight into the caller's memory; nothing is held between calls, and any number of threads may
 * read at once. Chunks of which a read wants only a part are kept decoded, within a limit, and shared
 * by all who read the file. */

typedef struct basalt_hdf5_dataset basalt_hdf5_dataset;

/* Creates *out_dataset, to be closed before `file`. NOT_FOUND; BAD_ARGUMENT if it is no dataset. */
BASALT_CHECKED basalt_status basalt_hdf5_dataset_open(
    basalt_hdf5 *file, const char *path, basalt_hdf5_dataset **out_dataset, basalt_error *err);
BASALT_API void basalt_hdf5_dataset_close(basalt_hdf5_dataset **dataset); /* NULL is fine */

typedef struct basalt_hdf5_shape {
    const char *type;       /* "<f8", "compound {a: <i4, …}"; lent until the dataset is closed */
    uint64_t element_bytes; /* of one element as it lies in the file */
    unsigned rank;          /* 0: a scalar */
    uint64_t dims[BASALT_HDF5_RANK_MAX], max_dims[BASALT_HDF5_RANK_MAX]; /* UINT64_MAX: unlimited */
    uint64_t chunk_dims[BASALT_HDF5_RANK_MAX]; /* all 0: it is not chunked */
} basalt_hdf5_shape;
BASALT_API void basalt_hdf5_dataset_info(
    const basalt_hdf5_dataset *dataset, basalt_hdf5_shape *out_shape);

typedef enum basalt_hdf5_select {
    BASALT_HDF5_ALL = 0,
    BASALT_HDF5_HYPERSLAB = 1, /* start, count, stride, block */
    BASALT_HDF5_POINTS = 2,    /* coordinates: coordinate_count x rank, in any order */
    BASALT_HDF5_ROWS = 3       /* coordinates: places along the first dimension, in any order */
} basalt_hdf5_select;

typedef struct basalt_hdf5_read_options {
    size_t struct_bytes;       /* set by _init */
    basalt_hdf5_select select; /* default: all */
    /* Hyperslab: `rank` values each. Dimension i gives count[i] blocks of block[i] elements, the first
     * at start[i], stride[i] apart. stride and block NULL: 1 everywhere. */
    const uint64_t *start, *count, *stride, *block;
    const uint64_t *coordinates; /* points, rows */
    uint64_t coordinate_count;
    const char *const
        *members; /* of records: a member, a member of that, …; NULL: whole elements */
    size_t member_count;
    /* What each element becomes: "<f8", ">i4", "<u2", "<f2", "bfloat16", "|S10"; any number as any
     * other, floats rounded to the nearest. NULL: as it lies in the file, in its byte order. */
    const char *type;
    bool clip;  /* what does not fit `type` becomes the nearest value; default: TOO_LARGE */
    bool alone; /* on the calling thread only; default: shared with others */
    const basalt_cancel *cancel; /* looked at once a chunk: CANCELLED; or NULL (default) */
} basalt_hdf5_read_options;
BASALT_API void basalt_hdf5_read_options_init(
    basalt_hdf5_read_options *options, size_t options_bytes);

/* How many elements these options select, and the bytes of one: the product is what basalt_hdf5_read
 * needs. BAD_ARGUMENT as that. */
BASALT_CHECKED basalt_status basalt_hdf5_read_size(const basalt_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, uint64_t *out_count, uint64_t *out_element_bytes,
    basalt_error *err);
/* The selected elements into `out`, end to end, in C order or that of the coordinates. What is not
 * stored is the fill value. BAD_ARGUMENT for what is not in the dataset and for another `out_bytes`
 * than is needed; TOO_LARGE names the element that does not fit `type` (an integer out of range, a
 * fraction or NaN as an integer, a float that would be infinite, a text that would be cut); UNSUPPORTED
 * for elements of variable length, which basalt_hdf5_read_variable gives; CORRUPT names dataset and chunk.
 * After a failure `out` holds anything. */
BASALT_CHECKED basalt_status basalt_hdf5_read(const basalt_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, void *out, uint64_t out_bytes, basalt_error *err);

/* Element `index` of a selection; `bytes` are lent during the call. A false return stops, which is no
 * failure. */
typedef bool (*basalt_hdf5_element_fn)(
    void *context, uint64_t index, const void *bytes, uint64_t byte_count);
/* The selected elements, one after the other, in the order of basalt_hdf5_read, on the calling thread; of
 * any type, but made for those of variable length. `options` as there, but `type` must be NULL.
 *
 * A text is its bytes, as they are stored; a sequence its items, end to end. Inside of those, and of
 * records, a text or sequence begins with the number of its items, 8 bytes in this machine's order; the
 * members of a record follow each other without padding, and so do the elements of an array. All else is
 * as it lies in the file, in its byte order.
 * TOO_LARGE: one element with parts inside parts of more than 64 MiB or 8 times the file. */
BASALT_CHECKED basalt_status basalt_hdf5_read_variable(const basalt_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, basalt_hdf5_element_fn each, void *context,
    basalt_error *err);

/* Where a reference leads. All of it is lent until the target is released. */
typedef struct basalt_hdf5_target {
    const char *path;      /* NULL: nowhere, or to what no path leads to */
    const char *attribute; /* of the object there, or NULL */
    bool has_region;
    basalt_hdf5_read_options region; /* with has_region: the part of the dataset, to read it with */
    const char *text;   /* as a scan gives it: "/a", "/a[0:10:2, 3]", "/a@name"; NULL as `path` */
    void *private_data; /* ours */
} basalt_hdf5_target;
/* `element` is one that basalt_hdf5_read gave with these `options`, of which `members` are looked at: a
 * reference to an object, a region or an attribute, of any version of HDF5. Creates *out_target.
 * UNSUPPORTED: it leads into another file. */
BASALT_CHECKED basalt_status basalt_hdf5_resolve(const basalt_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, const void *element, basalt_hdf5_target *out_target,
    basalt_error *err);
BASALT_API void basalt_hdf5_target_release(basalt_hdf5_target *target); /* NULL, empty are fine */

typedef struct basalt_hdf5_mapping {
    const void *bytes; /* NULL: none; aligned only as the file has them */
    uint64_t byte_count;
    void *private_data[2]; /* ours */
} basalt_hdf5_mapping;
/* All elements of a contiguous, unfiltered dataset where they lie in the file, with no copy. Creates
 * *out_mapping, to be ended before the dataset is closed. UNSUPPORTED for every other kind of dataset.
 * DANGER: if any process shortens the file meanwhile, touching what was cut off kills this process
 * (SIGBUS); and what another process writes shows through. Only for files that nobody changes. */
BASALT_CHECKED basalt_status basalt_hdf5_map(
    const basalt_hdf5_dataset *dataset, basalt_hdf5_mapping *out_mapping, basalt_error *err);
BASALT_API void basalt_hdf5_unmap(
    const basalt_hdf5_dataset *dataset, basalt_hdf5_mapping *mapping); /* an empty one is fine */

typedef struct basalt_hdf5_stats {
    uint64_t cache_bytes, cache_bytes_max; /* of decoded chunks */
    uint64_t chunks_cached;
    uint64_t chunks_decoded,
        chunks_served; /* for the cache, and out of it, since the file was opened */
    uint64_t
        bytes_read; /* of the file behind its superblock, and of files that it led to, since then */
    uint64_t bytes_decoded; /* that filters gave, since then */
} basalt_hdf5_stats;
BASALT_API void basalt_hdf5_get_stats(basalt_hdf5 *file, basalt_hdf5_stats *out_stats);

/* ---- copies -----------------------------------------------------------------------------------
 *
 * Any HDF5 file, or parts of one, as a new, plain HDF5 file: with the chunks and filters that are asked
 * for, without what the old one had unused. Links, several hard links to one object, committed types,
 * attributes and references stay what they are; a reference to what is not copied becomes null. Chunks
 * whose form does not change are copied as they are stored, without being decoded. The data of virtual
 * datasets and of datasets in other files come into the file. A store of Basalt, live or not, is copied
 * as of its last checkpoint, without what makes it a store: families stay readable, by everybody.
 *
 * The copy is made under another name beside the target, synced, and renamed: the target is absent (or
 * as it was) or whole, and after a failure nothing is left. Not copied: times, comments, creation order. */

typedef struct basalt_hdf5_copy_rule {
    const char *path;             /* of an object; the rule is for it and all below it */
    const char *chunks, *filters; /* as in the options; NULL: as they say */
} basalt_hdf5_copy_rule;

typedef struct basalt_hdf5_copy_options {
    size_t struct_bytes; /* set by _init; lets the struct grow without breaking the ABI */
    basalt_env *env;     /* whose threads, memory and registered filters; NULL (default): its own */
    basalt_hdf5_follow follow;
    /* What to copy, with all below it; groups above come along. Default: everything. */
    const char *const *paths;
    size_t path_count;
    /* "keep" (default); "auto": about 1 MiB; "64Ki", "4Mi": about so many bytes; "64,1000": these, for
     * datasets of as many dimensions; "contiguous": none, where a dataset cannot grow. */
    const char *chunks;
    /* "keep" (default), "none", or names: "shuffle,deflate:6", "bitshuffle:zstd", "blosc:lz4:5",
     * "zstd:3,fletcher32"; lzf, lz4, bzip2 too. What was not chunked and has 4 KiB or more becomes so. */
    const char *filters;
    const basalt_hdf5_copy_rule *rules; /* of those that fit, the last one counts */
    size_t rule_count;
    bool
        check; /* chunks that are copied as they are stored are decoded too: a damaged one is CORRUPT */
    bool overwrite;              /* a target that is there is replaced; default: EXISTS */
    const basalt_cancel *cancel; /* or NULL */
    /* By one thread at a time, any; with no lock held. The bytes are those of the elements. */
    basalt_progress_fn progress;
    void *context;
    uint64_t chunk_memory_bytes; /* as in basalt_hdf5_options */
} basalt_hdf5_copy_options;
BASALT_API void basalt_hdf5_copy_options_init(
    basalt_hdf5_copy_options *options, size_t options_bytes);

typedef struct basalt_hdf5_copy_report {
    uint64_t groups, datasets, types, links; /* objects; links: soft and external ones */
    uint64_t source_bytes, target_bytes;     /* of the files */
    uint64_t element_bytes;                  /* of all elements that the datasets could hold */
    uint64_t chunks, chunks_as_stored;       /* written; of them copied without being decoded */
    uint64_t brought_in;                     /* datasets whose data lay in other files */
    uint64_t references_nulled;
} basalt_hdf5_copy_report;

/* `options` and `out_report` may be NULL. EXISTS; CANCELLED; UNSUPPORTED and TOO_LARGE name the object
 * that cannot be copied so; NOT_FOUND: one of the paths. */
BASALT_CHECKED basalt_status basalt_hdf5_copy(const char *source, const char *target,
    const basalt_hdf5_copy_options *options, basalt_hdf5_copy_report *out_report,
    basalt_error *err);

#ifdef __cplusplus
}
#endif
#endif
