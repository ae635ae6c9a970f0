/* copy_internal.h - what the files of this floor share; the whole is told in copy.c.
 *
 *   copy.c         the file: opened, made, put in its place
 *   copy_tree.c    objects and links
 *   copy_plan.c    which chunks and filters a dataset gets
 *   copy_values.c  elements that name places in the file
 *   copy_data.c    datasets, chunk by chunk, on all threads */
#ifndef BS_COPY_INTERNAL_H
#define BS_COPY_INTERNAL_H

#include "copy/copy.h"

#include <inttypes.h>

#define BS_COPY_CHUNKS_MAX ((uint64_t)1 << 26) /* of one dataset; their list is in memory */

/* ---- where objects went -------------------------------------------------------------------- */

struct bs_copy_place {
    uint64_t address;        /* in the source, plus 1; 0: a free slot */
    struct bs_h5_node *node; /* NULL: found, not made yet */
};
struct bs_copy_map { /* open addressing, a power of two slots, at most half full */
    struct bs_copy_place *slots;
    size_t room, count;
};
BS_MUST_USE basalt_status bs_copy_map_add(struct bs_copy_map *map, uint64_t address,
    struct bs_copy_place **out_place, bool *out_new, basalt_error *err);
struct bs_h5_node *bs_copy_map_find(const struct bs_copy_map *map, uint64_t address); /* or NULL */

/* ---- objects ------------------------------------------------------------------------------- */

struct bs_copy_object { /* in the order in which they were found */
    enum bs_h5_object_kind kind;
    bool refers; /* attributes or fill value name places in the file */
    uint64_t address;
    struct bs_h5_node *parent, *node;
    char *path;             /* in the source */
    size_t name_at;         /* of its name, in `path` */
    uint64_t item_bytes;    /* dataset: memory that a part of it under way takes, about */
    uint64_t element_bytes; /* dataset: all elements */
};

struct bs_copy_alias {
    struct bs_h5_node *parent;
    uint64_t address;
    char *name;
};

struct bs_copy {
    const struct bs_copy_parts *parts;
    const basalt_hdf5_copy_options *options;
    basalt_hdf5_copy_report *report;
    struct bs_h5_file *from;
    uint64_t from_bytes;
    struct bs_h5_writer *to;
    struct bs_copy_map map;
    struct bs_copy_object *objects;
    size_t object_count, object_capacity;
    struct bs_copy_alias *aliases;
    size_t alias_count, alias_capacity;
    _Atomic uint64_t nulled;     /* references */
    _Atomic uint64_t heap_bytes; /* of variable-length elements so far */
    uint64_t done_bytes;         /* by the sink */
};

/* copy_tree.c: makes every object, with its attributes, as far as they name no places. */
BS_MUST_USE basalt_status bs_copy_tree(struct bs_copy *copy, basalt_error *err);
/* The rest of attributes and fill values, once all objects have their places. */
BS_MUST_USE basalt_status bs_copy_late(struct bs_copy *copy, basalt_error *err);
void bs_copy_tree_free(struct bs_copy *copy);

/* ---- plans --------------------------------------------------------------------------------- */

struct bs_copy_plan {
    enum bs_h5_layout layout;
    bool stored;    /* there are elements to copy */
    bool refers;    /* elements name places in the file */
    bool as_is;     /* chunks are copied as they are stored */
    bool same_grid; /* a chunk of the copy is one of the source */
    uint64_t element_bytes;
    /* Of chunks; of a contiguous array: parts that are one row of bytes each. Rank 1 for a scalar. */
    unsigned rank;
    uint64_t dims[BS_H5_RANK_MAX], tile_dims[BS_H5_RANK_MAX], grid[BS_H5_RANK_MAX];
    uint64_t tile_elements, tiles;
    struct bs_h5_type *type;     /* in the copy; owned */
    struct bs_pipeline pipeline; /* long parameters are the source's */
};
/* BAD_ARGUMENT for options that say nothing. */
BS_MUST_USE basalt_status bs_copy_options_check(
    const basalt_hdf5_copy_options *options, basalt_error *err);
BS_MUST_USE basalt_status bs_copy_plan_make(const struct bs_copy *copy, const char *path,
    const struct bs_h5_dataset *dataset, struct bs_copy_plan *out_plan, basalt_error *err);
void bs_copy_plan_free(struct bs_copy_plan *plan);
/* Where tile `number` begins, and how far it reaches into the dataset. */
void bs_copy_tile(
    const struct bs_copy_plan *plan, uint64_t number, uint64_t *out_start, uint64_t *out_count);

/* ---- values -------------------------------------------------------------------------------- */

/* Elements of it name places in the file: variable-length ones, references. */
bool bs_copy_refers(const struct bs_h5_type *type);
/* The type as the copy has it: addresses take 8 bytes there. UNSUPPORTED: newer references. */
BS_MUST_USE basalt_status bs_copy_type(const struct bs_copy *copy, const struct bs_h5_type *type,
    struct bs_h5_type **out_type, basalt_error *err);
struct bs_copy_values { /* of one thread at a time */
    struct bs_copy *copy;
    struct bs_h5_heap *heap;
    struct bs_h5_packer *packer;
};
BS_MUST_USE basalt_status bs_copy_values_open(
    struct bs_copy *copy, struct bs_copy_values *out_values, basalt_error *err);
void bs_copy_values_close(struct bs_copy_values *values);
/* `count` elements of `from` as elements of `to`, its bs_copy_type. What they name is in the file once
 * the packer has been flushed. */
BS_MUST_USE basalt_status bs_copy_elements(struct bs_copy_values *values,
    const struct bs_h5_type *from_type, const struct bs_h5_type *to_type, const uint8_t *from,
    uint8_t *to, uint64_t count, basalt_error *err);

/* ---- data ---------------------------------------------------------------------------------- */

BS_MUST_USE basalt_status bs_copy_data(struct bs_copy *copy, basalt_error *err);

#endif
