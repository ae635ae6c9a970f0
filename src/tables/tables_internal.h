/* tables_internal.h - what the files of this floor share. */
#ifndef BS_TABLES_INTERNAL_H
#define BS_TABLES_INTERNAL_H

#include "tables/tables.h"

#include <inttypes.h>

#define BS_TABLE_BATCH_BYTES ((uint64_t)8 << 20) /* of an array that is handed out, about */
#define BS_TABLE_BATCH_ROWS_MAX 65536
#define BS_TABLE_ROW_BYTES_MAX ((uint64_t)1 << 30)         /* of one row of one column */
#define BS_TABLE_TEXT_BYTES_MAX ((uint64_t)256 << 20)      /* of one column of one array */
#define BS_TABLE_CATEGORIES_MAX ((uint64_t)1 << 24)        /* of one categorical column */
#define BS_TABLE_COORDINATE_BYTES_MAX ((uint64_t)64 << 20) /* of one dimension of a variable */
#define BS_VALUE_DEPTH_MAX 32                              /* of types in each other */
#define BS_ENUM_NAMES_MAX 65536                            /* more: the numbers themselves */
#define BS_WALK_DEPTH_MAX 256
#define BS_JSON_BYTES_MAX ((size_t)16 << 20) /* of one attribute */

struct bs_file_identity {
    bool settled; /* whoever changes the file from now on, changes these */
    uint64_t device, inode, size_bytes, modified_ns, changed_ns;
};
struct bs_hdf5 {
    struct bs_file *file;
    struct bs_file_identity identity;
    struct bs_h5_file *h5;
    struct bs_sched *lent; /* of an environment; or NULL */
    uint64_t cache_bytes_max;
    bs_mutex mutex; /* guards that the two are made once */
    _Atomic(struct bs_sched *) sched;
    _Atomic(struct bs_h5_cache *) cache;
    _Atomic(struct bs_paths *) paths; /* to every object; NULL until a reference asks */
};
#define BS_HDF5_ALONE_BYTES ((uint64_t)1 << 20) /* reads up to that are not worth a thread */

/* hdf5_dataset.c. Threads and cache of the file, made when they are asked for. *out_sched is NULL where
 * there is one processor. */
BS_MUST_USE basalt_status bs_hdf5_sched(
    struct bs_hdf5 *file, struct bs_sched **out_sched, basalt_error *err);
uint64_t bs_hdf5_cache_bytes_free(const struct bs_h5_file *h5); /* of a cache, unless it is said */
BS_MUST_USE basalt_status bs_hdf5_cache(
    struct bs_hdf5 *file, struct bs_h5_cache **out_cache, basalt_error *err);

/* ---- Arrow memory (arrow_memory.c) ---- */

/* An array without rows yet, with room for as many buffers, children and, if asked for, a dictionary.
 * Its release frees all that is put in. */
BS_MUST_USE basalt_status bs_array_make(
    struct ArrowArray *out, unsigned buffers, size_t children, bool dictionary, basalt_error *err);
/* Zeroed behind `bytes`, on a multiple of 64; owned by the array. */
BS_MUST_USE basalt_status bs_array_buffer(
    struct ArrowArray *array, unsigned index, size_t bytes, uint8_t **out_data, basalt_error *err);
/* Large blocks of arrays that were released, for the next ones of the same cursor: to be given fresh pages
 * costs more than to read into them. Whoever is last, the cursor or an array, ends it. */
struct bs_block_pool;
BS_MUST_USE basalt_status bs_block_pool_create(struct bs_block_pool **out_pool, basalt_error *err);
void bs_block_pool_release(struct bs_block_pool *pool); /* NULL is fine */
/* That it keeps for the next array. */
uint64_t bs_block_pool_bytes(struct bs_block_pool *pool);
/* As bs_array_buffer for buffer 1, which then stays. */
BS_MUST_USE basalt_status bs_array_buffer_pooled(struct bs_block_pool *pool,
    struct ArrowArray *array, size_t bytes, uint8_t **out_data, basalt_error *err);
/* `memory` becomes the array's buffer `index`, starting at `data`. */
void bs_array_give(struct ArrowArray *array, unsigned index, void *memory, const void *data);
/* Marks a row as null. */
BS_MUST_USE basalt_status bs_array_null(struct ArrowArray *array, int64_t row, basalt_error *err);
/* A schema of its own memory, with so many children, all empty; texts are copied. */
BS_MUST_USE basalt_status bs_arrow_schema(struct ArrowSchema *out, const char *format,
    const char *name, const struct bs_bytes *metadata, size_t children, bool dictionary,
    basalt_error *err);
/* Metadata as the C data interface lays it out: a count, then the pairs. */
void bs_metadata_put(struct bs_bytes *metadata, const char *key, const void *value, size_t count);

/* ---- values (value.c, value_array.c) ---- */

enum bs_value_kind {
    BS_VALUE_FIXED, /* numbers, opaque bytes */
    BS_VALUE_BOOL,
    BS_VALUE_TEXT,      /* and bytes of variable length */
    BS_VALUE_STRUCT,    /* children: the members */
    BS_VALUE_ARRAY,     /* fixed-size list; child: the item */
    BS_VALUE_LIST,      /* child: the item */
    BS_VALUE_ENUM,      /* dictionary of the names */
    BS_VALUE_REFERENCE, /* the path that it leads to */
    BS_VALUE_NAME       /* of a number, as text */
};

/* How the elements of an HDF5 type become Arrow values. */
struct bs_value {
    enum bs_value_kind kind;
    const struct bs_h5_type *type; /* lent; of an ARRAY the item's */
    char format[32];               /* Arrow's; of an ENUM that of the index */
    uint32_t offset;               /* of a member, in its record, bytes */
    uint64_t element_bytes;        /* in the file */
    uint64_t count;                /* ARRAY: items */
    char *shape;                   /* ARRAY: "[2,3]" if it has several dimensions; else NULL */
    bool large;                    /* TEXT: 64-bit offsets */
    size_t child_count;
    struct bs_value *children;
    char *name; /* of a member */
};

struct bs_value_options {
    bool ascii_as_binary;      /* texts that are not declared UTF-8 */
    bool without_dictionaries; /* names of numbers are texts */
};

/* UNSUPPORTED names the type. Creates *out_value, to be cleared. */
BS_MUST_USE basalt_status bs_value_of(const struct bs_h5_type *type,
    const struct bs_value_options *options, struct bs_value *out_value, basalt_error *err);
/* An array of `dims` of what `type` is. */
BS_MUST_USE basalt_status bs_value_array_of(const struct bs_h5_type *type, const uint64_t *dims,
    unsigned rank, const struct bs_value_options *options, struct bs_value *out_value,
    basalt_error *err);
void bs_value_clear(struct bs_value *value);
bool bs_value_has_nulls(const struct bs_value *value); /* may be null by itself */
/* `format` NULL: the value's own. */
BS_MUST_USE basalt_status bs_value_schema(const struct bs_value *value, const char *name,
    const char *format, bool nullable, const struct bs_bytes *metadata, struct ArrowSchema *out,
    basalt_error *err);

struct bs_paths; /* where the objects of a file are; made when a reference asks */
void bs_paths_free(struct bs_paths *paths);
/* The first path to the object at `address`, lent; NULL if none leads there. */
BS_MUST_USE basalt_status bs_paths_find(struct bs_h5_file *h5, struct bs_paths **paths,
    uint64_t address, const char **out_path, basalt_error *err);

/* Memory that the array at hand may still take. A small file that claims to be large must not take much:
 * what does not fit is TOO_LARGE, and fewer rows are tried. */
struct bs_room {
    uint64_t left;
};
BS_MUST_USE basalt_status bs_room_take(struct bs_room *room, uint64_t bytes, basalt_error *err);

/* Texts that grow to `bytes`: their memory, and that which they are copied from when it doubles. */
BS_MUST_USE basalt_status bs_room_check_text(
    const struct bs_room *room, uint64_t bytes, basalt_error *err);

/* hdf5_reference.c. Where a reference leads, as text; *out_found false: nowhere. */
BS_MUST_USE basalt_status bs_reference_text(struct bs_h5_file *h5, struct bs_paths **paths,
    const struct bs_h5_reference *reference, struct bs_bytes *out, bool *out_found,
    basalt_error *err);
struct bs_hdf5_paths { /* of one call; zero: none yet */
    struct bs_paths *paths;
    const struct bs_paths *kept; /* with the file: not freed */
};
/* Those that the file keeps, if `h5` is its own. `file` may be NULL. */
BS_MUST_USE basalt_status bs_hdf5_paths(struct bs_hdf5 *file, struct bs_h5_file *h5,
    struct bs_hdf5_paths *out_paths, basalt_error *err);
void bs_hdf5_paths_end(struct bs_hdf5_paths *paths);
BS_MUST_USE basalt_status bs_hdf5_resolve(struct bs_hdf5 *file, const struct bs_h5_object *dataset,
    const struct bs_h5_type *type, const void *element, basalt_hdf5_target *out_target,
    basalt_error *err);

struct bs_value_source {
    struct bs_h5_file *h5;
    struct bs_paths **paths;
    struct bs_room *room;
};
/* `count` elements as they lie in the file, the first at `bytes`, `stride` bytes apart. */
BS_MUST_USE basalt_status bs_value_array(const struct bs_value_source *source,
    const struct bs_value *value, const uint8_t *bytes, uint64_t stride, uint64_t count,
    struct ArrowArray *out, basalt_error *err);
/* Elements, end to end, as they lie in the file, to little-endian numbers of all their bits, in place. */
void bs_value_convert(const struct bs_h5_type *type, uint8_t *values, uint64_t count);
/* An integer as it lies in the file; UINT64_MAX for what is larger than 64 bits. */
int64_t bs_value_integer(const struct bs_h5_type *type, const uint8_t *bytes);
bool bs_value_is_integer(const struct bs_value *value);
/* Bytes of a fixed-length string without its padding. */
size_t bs_text_bytes(const struct bs_h5_type *type, const uint8_t *bytes);
bool bs_is_bool(const struct bs_h5_type *type); /* the enumeration that h5py writes for bool */
bool bs_is_ieee(const struct bs_h5_type *type); /* a float of 2, 4 or 8 bytes */

/* ---- JSON (value_json.c) ---- */

/* Appends the value of an attribute as JSON text. `file` (or NULL) keeps the paths for references. */
BS_MUST_USE basalt_status bs_attribute_json(struct bs_hdf5 *file, struct bs_h5_file *h5,
    const struct bs_h5_attribute *attribute, struct bs_bytes *out, basalt_error *err);

/* ---- tables (table.c) ---- */

/* A dataset of which the columns are parts. */
struct bs_block {
    struct bs_h5_object *object; /* owned */
    uint64_t row_bytes;          /* of a row of the table */
    uint64_t rows_each;          /* rows of the table that a row of the dataset has; mostly 1 */
    uint64_t rows;               /* of the table */
};

/* The values of a dictionary, lent to every array, which may outlive the file. */
struct bs_dictionary_values {
    struct bs_shared shared;
    uint64_t bytes; /* of memory */
    struct ArrowArray array;
};

struct bs_dictionary {
    struct bs_h5_object *object; /* owned */
    struct bs_value value;
    uint64_t offset;                               /* of a value in an element, bytes */
    _Atomic(struct bs_dictionary_values *) values; /* NULL until one has read them; then for good */
    bool ordered;
};

enum bs_column_kind {
    BS_COLUMN_BLOCK,      /* elements of a block */
    BS_COLUMN_ROW,        /* (row / divide) % modulo */
    BS_COLUMN_COORDINATE, /* element (row / divide) % modulo of `elements` */
    BS_COLUMN_MAJOR       /* the row (CSR) or column (CSC) that an entry belongs to */
};

struct bs_known;
struct bs_column_of {
    enum bs_column_kind kind;
    char *name;
    struct bs_value value;
    char *format; /* Arrow's, if not the value's own; owned */
    bool nullable;
    struct bs_bytes metadata;
    size_t block;
    uint64_t offset;                  /* bytes from the start of a row */
    struct bs_dictionary *dictionary; /* the elements are codes; or NULL */
    size_t mask;                      /* block of bytes; SIZE_MAX: none */
    bool mask_means_missing;          /* true is null; else false is */
    uint8_t *missing;                 /* elements that are null, end to end; owned */
    size_t missing_count;
    struct bs_h5_object *object; /* COORDINATE, MAJOR: owned */
    uint64_t divide, modulo;     /* MAJOR: modulo are the entries of indptr */
    uint8_t *elements;
    size_t field;                     /* of the family's schema; SIZE_MAX: it is no family's */
    _Atomic(struct bs_known *) known; /* NULL until one has asked; then for good */
};

/* Nothing of it changes once it is open, but that a dictionary gets its values: any number of threads
 * read it at once, each through a cursor of its own. */
struct bs_table {
    struct bs_h5_file *given; /* the file that was asked; its cache is for its own datasets */
    struct bs_h5_file *h5;    /* that the object is in */
    const char *path;         /* while it is opened; lent */
    const char *kind;         /* "dataset", "records", "group" …: a word for people */
    struct bs_paths *paths;   /* while it is opened */
    size_t column_count, column_capacity;
    struct bs_column_of *columns;
    size_t block_count, block_capacity;
    struct bs_block *blocks;
    uint64_t rows;
    bool has_rows; /* rows is set: every further block must have as many */
    struct bs_bytes metadata;
    basalt_hdf5_scan_options options;
    struct bs_h5_object *own;                /* of a family: its .basalt; owned */
    struct bs_schema *schema;                /* of a family; held */
    const struct bs_file_identity *identity; /* of the file that was asked, if what is learnt of it
                                              * may be remembered; else NULL */
};
/* Bytes that an array may take beside the decoding of chunks, the cache, and what the table holds. */
uint64_t bs_table_room(const struct bs_table *table);

/* ---- rows of a table (table_cursor.c, its essay) ---- */

/* The bytes [low, high) of each row of a block, read at once for the columns in them. */
struct bs_piece {
    size_t block;
    uint64_t low, high;
    size_t columns; /* that are in it; masks count */
    uint8_t *bytes; /* of the dataset's rows [first, end); NULL: none are held */
    uint64_t first, end;
};

/* A column that a cursor reads. */
struct bs_taken {
    size_t column;
    size_t piece, mask;    /* SIZE_MAX: none */
    bool direct;           /* its elements are read where the array wants them */
    uint8_t *data;         /* and that is, while they are */
    uint64_t entry, major; /* MAJOR: the entry behind the last batch, and where that ended */
};

struct bs_table_cursor {
    const struct bs_table *table;
    struct bs_h5_read_how how;
    struct bs_paths *paths;
    size_t column_count, piece_count;
    struct bs_taken *columns;
    struct bs_piece *pieces;
    struct bs_block_pool *pool;
    struct bs_room room;              /* of the array at hand, */
    uint64_t first, count;            /* and its rows */
    uint64_t memory_bytes;            /* the most that the last read took */
    _Atomic uint64_t workspace_bytes; /* of that, what chunks were decoded in */
    bool keeps_pieces;                /* until bs_cursor_drop_pieces */
    struct bs_where *where;           /* its ranges; or NULL */
};

/* Rows [first, first + count) of a dataset, as bs_h5_read gives them, in the cursor's way. */
BS_MUST_USE basalt_status bs_cursor_read_rows(const struct bs_table_cursor *cursor,
    const struct bs_h5_object *dataset, uint64_t first, uint64_t count, void *out,
    uint64_t out_bytes, basalt_error *err);

/* table_codes.c: codes of a column with a dictionary, the first at `bytes`, `stride` bytes apart. `first`
 * is the row of that, for messages. */
BS_MUST_USE basalt_status bs_cursor_read_codes(struct bs_table_cursor *cursor,
    const struct bs_column_of *column, const uint8_t *bytes, uint64_t stride, uint64_t first,
    uint64_t count, struct ArrowArray *out, basalt_error *err);

/* Rows of a chunk of a block's dataset; 0 if it has none. */
uint64_t bs_block_chunk_rows(const struct bs_block *block);
/* Pieces are kept only where a row of the dataset is many of the table. */
void bs_cursor_drop_pieces(struct bs_table_cursor *cursor);
/* What `from` read of the blocks that both read, for the next read of `cursor`. */
void bs_cursor_take_pieces(struct bs_table_cursor *cursor, struct bs_table_cursor *from);

/* Column `index` of the table's schema. */
BS_MUST_USE basalt_status bs_column_schema(
    const struct bs_table *table, size_t index, struct ArrowSchema *out, basalt_error *err);
BS_MUST_USE basalt_status bs_table_open(struct bs_h5_file *h5, const char *path,
    const basalt_hdf5_scan_options *options, struct bs_table **out_table, basalt_error *err);
/* `how` is what it reads with; its parts are borrowed. The columns are checked by the caller. */
BS_MUST_USE basalt_status bs_cursor_open(const struct bs_table *table, const size_t *columns,
    size_t column_count, const struct bs_h5_read_how *how, struct bs_table_cursor **out_cursor,
    basalt_error *err);

/* ---- rows by their values ---- */

union bs_number {
    int64_t as_signed;
    uint64_t as_unsigned;
    double as_float;
};
/* table_range.c. A range in numbers of a column's type. */
struct bs_range {
    char code;                 /* the type: Arrow's letter for numbers; times are 'i' and 'l' */
    bool nothing;              /* no number is in it */
    bool nan;                  /* NaN is */
    union bs_number low, high; /* in it, the smallest and the largest */
};
/* False: the column's type (Arrow's `format`) has no numbers to compare. */
bool bs_range_of(const char *format, const basalt_hdf5_range *of, struct bs_range *out);
/* Clears the bytes of the rows that are not in the range; a byte a row, 1 or 0. */
void bs_range_keep(const struct bs_range *range, const struct ArrowArray *array, uint8_t *in);

/* table_compact.c. The array, whose row 0 is row `first`, becomes these of its rows. */
BS_MUST_USE basalt_status bs_array_compact(const struct ArrowSchema *schema,
    struct ArrowArray *array, uint64_t first, const basalt_hdf5_run *runs, size_t run_count,
    basalt_error *err);

enum bs_verdict {
    BS_SOME,
    BS_NONE,
    BS_ALL
}; /* of rows, how many are in a range: at least, for SOME */

/* table_bounds.c. Of every so many rows of a column the least and the greatest value, once somebody has
 * looked. Shared by cursors, tables and their threads. */
struct bs_known;
/* *out_known is lent by the table; NULL: nothing can be known of the column. `code` is a range's. */
BS_MUST_USE basalt_status bs_table_known(const struct bs_table *table, size_t column, char code,
    struct bs_known **out_known, basalt_error *err);
void bs_known_release(struct bs_known *known); /* NULL is fine */
/* Of rows [first, end) of the table's column. NULL is fine: SOME. May read stored bytes to be sure of what
 * the file says of them. */
enum bs_verdict bs_known_ask(const struct bs_table *table, size_t column, struct bs_known *known,
    const struct bs_range *range, uint64_t first, uint64_t end);
/* The array has rows [first, first + length) of the column. NULL is fine. */
void bs_known_learn(struct bs_known *known, const struct ArrowArray *array, uint64_t first);
/* Of a file that is opened, before anything of it is read. */
void bs_file_identify(struct bs_file *file, struct bs_file_identity *out_identity);

/* table_where.c */
struct bs_where;
void bs_where_free(struct bs_where *where); /* NULL is fine */
uint64_t bs_where_batch_rows(const struct bs_where *where, uint64_t first);
void bs_where_needs(const struct bs_where *where, basalt_hdf5_needs *out_needs);

/* ---- building a table (table_build.c) ---- */

uint64_t bs_dataset_rows(const struct bs_h5_dataset *dataset); /* 1 for a scalar */
BS_MUST_USE basalt_status bs_open_child(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *name, struct bs_h5_object **out_child, basalt_error *err);
/* As that; NOT_FOUND is OK and NULL. */
BS_MUST_USE basalt_status bs_find_child(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *name, struct bs_h5_object **out_child, basalt_error *err);
/* Whether a scalar text attribute, which may be NULL, begins with the first `count` bytes of `value`. Only
 * what says nothing of the text fails: NO_MEMORY, IO_ERROR. */
BS_MUST_USE basalt_status bs_text_begins(struct bs_h5_file *h5,
    const struct bs_h5_attribute *attribute, const char *value, size_t count, bool *out_begins,
    basalt_error *err);
/* As that, for all of an object's attribute. */
BS_MUST_USE basalt_status bs_has_text(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const char *attribute, const char *value, bool *out_has, basalt_error *err);
/* Takes over `object`, a dataset, also when it fails. CORRUPT if it has other rows than the table. */
BS_MUST_USE basalt_status bs_table_add_block(
    struct bs_table *table, struct bs_h5_object *object, size_t *out_block, basalt_error *err);
/* A column of `value`, which is taken over, of a block. *out_column is lent until the next is added. */
BS_MUST_USE basalt_status bs_table_add_column(struct bs_table *table, const char *name,
    struct bs_value *value, size_t block, uint64_t offset, struct bs_column_of **out_column,
    basalt_error *err);
/* A dataset as one column. Takes over `object`, also when it fails. */
BS_MUST_USE basalt_status bs_table_add_dataset(struct bs_table *table, const char *name,
    struct bs_h5_object *object, struct bs_column_of **out_column, basalt_error *err);
BS_MUST_USE basalt_status bs_table_add_number(
    struct bs_table *table, const char *name, enum bs_column_kind kind, basalt_error *err);
/* A dataset, or a group with AnnData's encoding of a column (table_anndata.c). Takes over `object`. */
BS_MUST_USE basalt_status bs_table_add_encoded(
    struct bs_table *table, const char *name, struct bs_h5_object *object, basalt_error *err);
/* `categories` are the values of a column of codes. Takes them over, also when it fails. */
BS_MUST_USE basalt_status bs_column_set_dictionary(struct bs_table *table,
    struct bs_column_of *column, struct bs_h5_object *categories, bool ordered, basalt_error *err);
/* The same, where they are a member of records. */
BS_MUST_USE basalt_status bs_column_set_dictionary_member(struct bs_table *table,
    struct bs_column_of *column, struct bs_h5_object *categories, const char *member, bool ordered,
    basalt_error *err);
void bs_dictionary_free(struct bs_dictionary *dictionary); /* NULL is fine */
BS_MUST_USE basalt_status bs_column_set_mask(struct bs_table *table, size_t column,
    struct bs_h5_object *mask, bool means_missing, basalt_error *err);
/* A number column holds instants or durations: its format from NumPy's word ("datetime64[ns]"). */
BS_MUST_USE basalt_status bs_column_set_time(
    struct bs_column_of *column, const char *numpy_word, basalt_error *err);

/* What the attributes of a column's dataset say of its numbers: instants, or metadata (table_units.c). */
BS_MUST_USE basalt_status bs_column_set_units(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *object, basalt_error *err);

struct bs_names { /* each with its NUL */
    struct bs_bytes texts;
    uint64_t count;
};
/* Texts of an attribute, or of a dataset of texts. */
BS_MUST_USE basalt_status bs_names_of_attribute(struct bs_h5_file *h5,
    const struct bs_h5_attribute *attribute, struct bs_names *names, basalt_error *err);
BS_MUST_USE basalt_status bs_names_of_dataset(struct bs_h5_file *h5,
    const struct bs_h5_object *dataset, struct bs_names *names, basalt_error *err);
BS_MUST_USE basalt_status bs_names_add(
    struct bs_names *names, const void *text, size_t count, basalt_error *err);

/* ---- what a path is as a table ---- */

enum bs_encoding { /* AnnData's word for what a group is */
    BS_ENCODING_NONE,
    BS_ENCODING_FRAME,
    BS_ENCODING_CATEGORICAL, /* a column: codes and categories */
    BS_ENCODING_MASKED,      /* a column: values and mask */
    BS_ENCODING_CSR,
    BS_ENCODING_CSC
};
BS_MUST_USE basalt_status bs_group_encoding(struct bs_h5_file *h5, const struct bs_h5_object *group,
    enum bs_encoding *out_encoding, basalt_error *err);

/* Each: *out_found is false, and the table as it was, if the object is not one of its kind. The order
 * in which they are asked is in table.c. */
typedef basalt_status bs_table_open_fn(
    struct bs_table *table, const struct bs_h5_object *object, bool *out_found, basalt_error *err);
bs_table_open_fn bs_table_open_family, bs_table_open_anndata, bs_table_open_sparse,
    bs_table_open_pandas, bs_table_open_group;
/* The object at `path`, of the file at hand: as the one column of a Basalt family that it is. *out_found is
 * false, and the table as it was, if it is none. */
BS_MUST_USE basalt_status bs_table_open_family_column(struct bs_table *table, const char *path,
    const struct bs_h5_object *object, bool *out_found, basalt_error *err);
/* These take over `object`, a dataset, also when they fail. */
BS_MUST_USE basalt_status bs_table_open_compound(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err);
BS_MUST_USE basalt_status bs_table_open_dataset(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err);
BS_MUST_USE basalt_status bs_table_open_variable(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err);
/* The members of records as columns. Takes over `object`, also when it fails. */
BS_MUST_USE basalt_status bs_table_add_members(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err);
/* table_sparse.c: a column of kind MAJOR. */
BS_MUST_USE basalt_status bs_sparse_read_major(const struct bs_table_cursor *cursor,
    struct bs_taken *taken, uint64_t first, uint64_t count, struct ArrowArray *out,
    basalt_error *err);
/* What _FillValue and missing_value say is null, if that is asked for. */
BS_MUST_USE basalt_status bs_column_set_missing(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *dataset, basalt_error *err);
bool bs_is_variable(const struct bs_h5_object *dataset); /* of netCDF: its dimensions have scales */
/* A dimension of netCDF without values, which needs a dataset all the same. */
BS_MUST_USE basalt_status bs_is_bare_dimension(
    struct bs_h5_file *h5, const struct bs_h5_object *scale, bool *out_bare, basalt_error *err);
bool bs_netcdf_hides(const char *attribute);

struct bs_statistics; /* store/store.h */
/* table_family.c. What a family says of the chunks of the dataset at `path` of the file, a column of it or
 * its "values"; NULL: nothing, or it is no such dataset. */
BS_MUST_USE basalt_status bs_family_statistics(struct bs_h5_file *h5, const char *path,
    const struct bs_h5_object *dataset, struct bs_statistics **out_statistics, basalt_error *err);

/* path.c. The object at `path`, which is a path of the file or made of plain names ("a/b" for the group
 * "/a%2Fb"); *out_path gets the one of the file, with its NUL. */
BS_MUST_USE basalt_status bs_path_open(struct bs_h5_file *h5, const char *path,
    struct bs_bytes *out_path, struct bs_h5_object **out_object, basalt_error *err);

#endif
