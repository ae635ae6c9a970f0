/* tables_internal.h - what the files of this floor share. */
#ifndef BS_TABLES_INTERNAL_H
#define BS_TABLES_INTERNAL_H

#include "tables/tables.h"

#include <inttypes.h>

#define BS_TABLE_BATCH_BYTES ((uint64_t)8 << 20) /* of an array that is handed out, about */
#define BS_TABLE_BATCH_ROWS_MAX 65536
#define BS_TABLE_ROW_BYTES_MAX ((uint64_t)1 << 30)    /* of one row of one column */
#define BS_TABLE_TEXT_BYTES_MAX ((uint64_t)256 << 20) /* of one column of one array */
#define BS_TABLE_CATEGORIES_MAX ((uint64_t)1 << 24)   /* of one categorical column */
#define BS_WALK_DEPTH_MAX 256
#define BS_JSON_BYTES_MAX ((size_t)16 << 20) /* of one attribute */

struct bs_hdf5 {
    struct bs_file *file;
    struct bs_h5_file *h5;
    struct bs_sched *lent; /* of an environment; or NULL */
    uint64_t cache_bytes_max;
    bs_mutex mutex; /* guards that the two are made once */
    _Atomic(struct bs_sched *) sched;
    _Atomic(struct bs_h5_cache *) cache;
};
#define BS_HDF5_ALONE_BYTES ((uint64_t)1 << 20) /* reads up to that are not worth a thread */

/* hdf5_dataset.c. Threads and cache of the file, made when they are asked for. *out_sched is NULL where
 * there is one processor. */
BS_MUST_USE basalt_status bs_hdf5_sched(
    struct bs_hdf5 *file, struct bs_sched **out_sched, basalt_error *err);
BS_MUST_USE basalt_status bs_hdf5_cache(
    struct bs_hdf5 *file, struct bs_h5_cache **out_cache, basalt_error *err);

/* ---- elements (element.c) ---- */

/* How the elements of an HDF5 type become Arrow values. */
struct bs_element {
    const struct bs_h5_type *type; /* lent: of one element, array types taken apart */
    uint64_t array_count;          /* elements that the array types around it hold; 1 if none */
    char format[32];               /* Arrow's */
    uint32_t width_bytes;          /* of a fixed-width value in an Arrow array; 0: text, binary */
};

/* UNSUPPORTED names the type. */
BS_MUST_USE basalt_status bs_element_find(
    const struct bs_h5_type *type, struct bs_element *out_element, basalt_error *err);
/* Appends elements [first, first + count) of the rows of a dataset to a field of a builder: whole rows,
 * `per_row` elements each. */
BS_MUST_USE basalt_status bs_element_read(struct bs_h5_file *h5, const struct bs_element *element,
    const struct bs_h5_object *dataset, uint64_t first, uint64_t count, uint64_t per_row,
    struct bs_array_builder *builder, size_t field, basalt_error *err);
/* Texts or bytes as bs_h5_read gave them. */
BS_MUST_USE basalt_status bs_element_put_texts(struct bs_h5_file *h5,
    const struct bs_element *element, const uint8_t *bytes, uint64_t count,
    struct bs_array_builder *builder, size_t field, basalt_error *err);
/* As bs_h5_read gave them, to little-endian integers of all their bits, in place. */
void bs_element_convert(const struct bs_element *element, uint8_t *values, uint64_t count);
/* Bytes of a fixed-length string without its padding. */
size_t bs_text_bytes(const struct bs_h5_type *type, const uint8_t *bytes);
bool bs_is_bool(const struct bs_h5_type *type); /* the enumeration that h5py writes for bool */

/* ---- JSON (value_json.c) ---- */

/* Appends the value of an attribute as JSON text. */
BS_MUST_USE basalt_status bs_attribute_json(struct bs_h5_file *h5,
    const struct bs_h5_attribute *attribute, struct bs_bytes *out, basalt_error *err);

/* ---- tables ---- */

struct bs_table_column {
    struct bs_h5_object *values;  /* owned; of a categorical column the codes */
    struct bs_element element;    /* of the values; of a categorical column of the categories */
    uint64_t list_count;          /* elements a row */
    uint32_t member_offset;       /* of a member of records: bytes from their start */
    struct ArrowArray categories; /* their values, one column; released: the column is not so */
    struct bs_element code;
    struct bs_h5_object *mask; /* owned; NULL: no nulls */
    bool mask_means_missing;   /* true is null; else false is */
};

struct bs_table {
    struct bs_h5_file *h5;
    struct bs_schema *schema; /* a column of lists has that of its values */
    size_t column_count;
    struct bs_table_column *columns; /* as many as the schema has fields */
    uint64_t rows;
    struct bs_h5_object *compound; /* owned; NULL, or the records whose members the columns are */
    uint64_t list_count;           /* 0, or the only column has that many values a row */
    char *shape; /* "[2,3]", the dimensions of a row if they are several; or NULL */
};

BS_MUST_USE basalt_status bs_table_open(
    struct bs_h5_file *h5, const char *path, struct bs_table **out_table, basalt_error *err);
void bs_table_free(struct bs_table *table); /* NULL is fine */
/* Rows [first, first + count) as one array of the table's schema. */
BS_MUST_USE basalt_status bs_table_read(struct bs_table *table, uint64_t first, uint64_t count,
    struct ArrowArray *out, basalt_error *err);
/* How many rows from `first` on one array should have: whole chunks, BS_TABLE_BATCH_BYTES or so. */
uint64_t bs_table_batch_rows(const struct bs_table *table, uint64_t first);
/* Room for `count` columns, empty. */
BS_MUST_USE basalt_status bs_table_reserve(struct bs_table *table, size_t count, basalt_error *err);
/* A schema of these columns, of which name, format and flags are set. */
BS_MUST_USE basalt_status bs_schema_of(
    struct ArrowSchema *children, size_t count, struct bs_schema **out_schema, basalt_error *err);
/* table_group.c: the columns of a group. *out_found is false if it is no table. */
BS_MUST_USE basalt_status bs_table_open_group(
    struct bs_table *table, const struct bs_h5_object *group, bool *out_found, basalt_error *err);

/* path.c. The object at `path`, which is a path of the file or made of plain names ("a/b" for the group
 * "/a%2Fb"); *out_path gets the one of the file, with its NUL. */
BS_MUST_USE basalt_status bs_path_open(struct bs_h5_file *h5, const char *path,
    struct bs_bytes *out_path, struct bs_h5_object **out_object, basalt_error *err);

/* table_compound.c. Takes over `object`, a dataset of records, also when it fails. */
BS_MUST_USE basalt_status bs_table_open_compound(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err);
BS_MUST_USE basalt_status bs_table_read_compound(struct bs_table *table, uint64_t first,
    uint64_t count, struct bs_array_builder *builder, basalt_error *err);

/* ---- columns (table_column.c) ---- */

uint64_t bs_dataset_rows(const struct bs_h5_dataset *dataset); /* 1 for a scalar */
/* From a dataset, or from a group with AnnData's encoding. Takes over `object`, also when it fails. */
BS_MUST_USE basalt_status bs_column_open(struct bs_h5_file *h5, struct bs_h5_object *object,
    struct bs_table_column *column, basalt_error *err);
/* A mask that `column` did not have. Takes over `mask`, also when it fails. */
BS_MUST_USE basalt_status bs_column_set_mask(struct bs_table_column *column,
    struct bs_h5_object *mask, bool means_missing, basalt_error *err);
void bs_column_close(struct bs_table_column *column);
uint64_t bs_column_rows(const struct bs_table_column *column);
bool bs_column_nullable(const struct bs_table_column *column);
BS_MUST_USE basalt_status bs_column_read(struct bs_h5_file *h5,
    const struct bs_table_column *column, uint64_t first, uint64_t count,
    struct bs_array_builder *builder, size_t field, basalt_error *err);
BS_MUST_USE basalt_status bs_open_child(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *name, struct bs_h5_object **out_child, basalt_error *err);
/* AnnData's word for what a group is. */
enum bs_encoding {
    BS_ENCODING_NONE,
    BS_ENCODING_FRAME,
    BS_ENCODING_CATEGORICAL, /* a column: codes and categories */
    BS_ENCODING_MASKED       /* a column: values and mask */
};
BS_MUST_USE basalt_status bs_group_encoding(struct bs_h5_file *h5, const struct bs_h5_object *group,
    enum bs_encoding *out_encoding, basalt_error *err);

#endif
