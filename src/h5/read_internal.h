/* read_internal.h - what the files share that read selections: h5_read.c (essay), h5_select.c,
 * h5_batch.c, h5_place.c, h5_convert.c, h5_number.c, h5_cache.c. */
#ifndef BS_READ_INTERNAL_H
#define BS_READ_INTERNAL_H

#include "h5/h5_internal.h"

/* ---- what is selected (h5_select.c) ------------------------------------------------------------- */

/* The selected elements of one dimension that lie in one row of tiles: from `first` to the `first` of
 * the next cell. */
struct bs_h5_cell {
    uint64_t tile; /* number of the tile along the dimension */
    uint64_t first;
};

struct bs_h5_axis { /* what is selected along one dimension */
    uint64_t count;
    uint64_t start, stride, block; /* element k lies at start + k / block * stride + k % block */
    const uint64_t *places;        /* or a list: sorted, and where each comes in the output */
    const uint64_t *order;
    size_t cell_count;
    struct bs_h5_cell *cells; /* one more than cell_count: the end */
    struct bs_h5_cell few[2]; /* `cells` of an axis within one tile */
};

struct bs_h5_point {
    uint64_t tile; /* among all tiles of the dataset, C order */
    uint64_t at;   /* element of the tile */
    uint64_t out;  /* element of the output */
};

/* A checked selection over a dataset that is divided into tiles: chunks, or what a linear one is cut
 * into. A scalar has one dimension of one element here. */
struct bs_h5_choice {
    unsigned rank;
    uint64_t count; /* elements */
    uint64_t dims[BS_H5_RANK_MAX], tile_dims[BS_H5_RANK_MAX];
    uint64_t tile_elements;
    uint64_t grid[BS_H5_RANK_MAX]; /* tiles a dimension */
    struct bs_h5_axis axes[BS_H5_RANK_MAX];
    uint64_t out_step[BS_H5_RANK_MAX], tile_step[BS_H5_RANK_MAX]; /* in elements */
    uint64_t tiles;                                               /* that have selected elements */
    struct bs_h5_point *points; /* sorted by tile, or NULL: the axes say it */
    uint64_t *groups;           /* points: index of the first point of each tile, and the end */
    uint64_t *memory;           /* of lists */
};

/* Checks, and counts; no tiles yet. BAD_ARGUMENT if it is not inside the dataset. */
BS_MUST_USE basalt_status bs_h5_choice_begin(const struct bs_h5_object *object,
    const struct bs_h5_selection *selection, struct bs_h5_choice *out_choice, basalt_error *err);
/* Divides it: tile_dims are set. `count` is not 0. */
BS_MUST_USE basalt_status bs_h5_choice_divide(
    struct bs_h5_choice *choice, const struct bs_h5_selection *selection, basalt_error *err);
void bs_h5_choice_end(struct bs_h5_choice *choice);

/* Tile `number` of the choice's tiles: which one of the dataset it is. */
struct bs_h5_tile {
    uint64_t at[BS_H5_RANK_MAX];                    /* tile coordinates */
    uint64_t origin[BS_H5_RANK_MAX];                /* its first element in the dataset */
    const struct bs_h5_cell *cells[BS_H5_RANK_MAX]; /* axes only */
    uint64_t point_first, point_end;                /* points only */
};
void bs_h5_choice_tile(
    const struct bs_h5_choice *choice, uint64_t number, struct bs_h5_tile *out_tile);
/* The number of the tile at these tile coordinates, or UINT64_MAX if nothing of it is selected. */
uint64_t bs_h5_choice_find(const struct bs_h5_choice *choice, const uint64_t *at);
/* Every element of the tile that the dataset has is selected. */
bool bs_h5_tile_is_whole(const struct bs_h5_choice *choice, const struct bs_h5_tile *tile);
uint64_t bs_h5_axis_place(const struct bs_h5_axis *axis, uint64_t element);

/* Elements that follow each other in the output; `step` elements apart in the tile. */
struct bs_h5_run {
    uint64_t at, step, count; /* in the tile */
    uint64_t out;             /* element of the output */
};
typedef basalt_status (*bs_h5_run_fn)(
    void *context, const struct bs_h5_run *run, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_tile_runs(const struct bs_h5_choice *choice,
    const struct bs_h5_tile *tile, bs_h5_run_fn each, void *context, basalt_error *err);
/* Does the tile give one run of step 1? */
bool bs_h5_tile_one_run(
    const struct bs_h5_choice *choice, const struct bs_h5_tile *tile, struct bs_h5_run *out_run);
/* The first and one past the last element of the tile that are selected, and how many are. */
void bs_h5_tile_span(const struct bs_h5_choice *choice, const struct bs_h5_tile *tile,
    uint64_t *out_first, uint64_t *out_end, uint64_t *out_count);

/* ---- conversion (h5_convert.c, h5_number.c) ----------------------------------------------------- */

enum bs_h5_lane { /* plain numbers, little-endian once they are swapped */
    BS_H5_LANE_NONE,
    BS_H5_LANE_I8,
    BS_H5_LANE_I16,
    BS_H5_LANE_I32,
    BS_H5_LANE_I64,
    BS_H5_LANE_U8,
    BS_H5_LANE_U16,
    BS_H5_LANE_U32,
    BS_H5_LANE_U64,
    BS_H5_LANE_F32,
    BS_H5_LANE_F64
};

/* How an element as stored becomes one of the output; types are borrowed. */
struct bs_h5_conversion {
    uint64_t stored_bytes;         /* of a whole element in the tile */
    uint64_t offset, source_bytes; /* of the part of it that is wanted */
    uint64_t target_bytes;
    bool identity; /* bytes as they are */
    bool clip;
    const struct bs_h5_type *from, *to; /* scalars: arrays and enumerations are taken apart */
    uint64_t repeat;                    /* scalars in an element */
    enum bs_h5_lane from_lane, to_lane;
};
/* What the members of `how` lead to: its type, and where it is in an element. */
BS_MUST_USE basalt_status bs_h5_member_find(const struct bs_h5_object *dataset,
    const struct bs_h5_read_how *how, const struct bs_h5_type **out_type, uint64_t *out_offset,
    basalt_error *err);
BS_MUST_USE basalt_status bs_h5_conversion_plan(const struct bs_h5_object *dataset,
    const struct bs_h5_read_how *how, struct bs_h5_conversion *out_conversion, basalt_error *err);
/* `count` elements, `step_bytes` apart, to `out`, where they are `first` of the output; from the first
 * byte of the whole element. */
BS_MUST_USE basalt_status bs_h5_convert(const struct bs_h5_conversion *conversion,
    const uint8_t *from, uint64_t step_bytes, uint64_t count, uint8_t *out, uint64_t first,
    basalt_error *err);

enum bs_h5_fit { BS_H5_FITS, BS_H5_RANGE, BS_H5_FRACTION };
/* Any two scalar number types of at most 16 bytes. With `clip` always gives something. */
enum bs_h5_fit bs_h5_number_convert(const struct bs_h5_type *from, const uint8_t *bytes,
    const struct bs_h5_type *to, uint8_t *out, bool clip);
bool bs_h5_is_number(const struct bs_h5_type *type); /* that bs_h5_number_convert takes */

/* ---- storage kinds (h5_storage.c) --------------------------------------------------------------- */

const struct bs_h5_storage *bs_h5_storage_of(const struct bs_h5_object *object);
bool bs_h5_chunk_is_raw(const struct bs_h5_dataset *dataset, uint32_t mask);
/* One fill value, as it is stored, into `out`. */
void bs_h5_put_fill(const struct bs_h5_dataset *dataset, uint8_t *out, uint64_t bytes);

/* ---- cache (h5_cache.c) ------------------------------------------------------------------------- */

struct bs_h5_cached; /* a chunk in it; pinned by who has it */
enum bs_h5_cache_answer {
    BS_H5_CACHE_FOUND, /* *out is pinned and whole */
    BS_H5_CACHE_MINE,  /* *out is pinned: decode into it, then say how it went */
    BS_H5_CACHE_BUSY,  /* somebody decodes it just now */
    BS_H5_CACHE_FULL   /* no room: do without */
};
/* Only what is there already: FOUND or FULL. */
enum bs_h5_cache_answer bs_h5_cache_peek(
    struct bs_h5_cache *cache, uint64_t dataset, uint64_t tile, struct bs_h5_cached **out);
/* With `wait` never BUSY. Only a thread that decodes nothing for the cache may wait (invariant 2). */
enum bs_h5_cache_answer bs_h5_cache_get(struct bs_h5_cache *cache, uint64_t dataset, uint64_t tile,
    uint64_t bytes, bool wait, struct bs_h5_cached **out);
uint8_t *bs_h5_cached_bytes(struct bs_h5_cached *cached);
void bs_h5_cache_decoded(struct bs_h5_cache *cache, struct bs_h5_cached *cached, bool ok);
void bs_h5_cache_release(struct bs_h5_cache *cache, struct bs_h5_cached *cached); /* unpins */
uint64_t bs_h5_cache_limit(const struct bs_h5_cache *cache);

/* ---- one read (h5_read.c, h5_batch.c) ----------------------------------------------------------- */

#define BS_H5_BATCH_TILES_MAX 64

struct bs_h5_entry { /* a tile to be read */
    uint64_t number;
    uint64_t address; /* of a chunk; else byte of the row of bytes; undefined: fill values */
    uint64_t stored_bytes;
    uint32_t mask;
};

struct bs_h5_batch {
    struct bs_h5_reader *reader;
    struct bs_h5_batch *next; /* of those that were given to other threads */
    uint64_t bytes;
    unsigned count;
    struct bs_h5_entry entries[BS_H5_BATCH_TILES_MAX];
};

struct bs_h5_workspace { /* of one task at a time */
    struct bs_h5_workspace *next;
    struct bs_codec_scratch *scratch;
    uint8_t *stored, *tile;
    size_t stored_capacity, tile_capacity;
    uint64_t window_at, window_bytes; /* of the file, in `stored` */
};

struct bs_h5_reader {
    struct bs_h5_file *h5;
    const struct bs_h5_object *object;
    const struct bs_h5_dataset *dataset;
    const struct bs_h5_read_how *how;
    const struct bs_h5_selection *selection;
    const struct bs_h5_storage *storage;
    struct bs_h5_cache *cache; /* NULL: not for this read */
    struct bs_h5_conversion plan;
    struct bs_h5_choice choice;
    uint8_t *out;
    uint64_t tile_bytes;
    bool as_stored;        /* elements go to the output byte by byte */
    uint8_t *fill;         /* one element of the output; NULL until it is needed */
    uint64_t stored_bytes; /* so far; over the file's size the chunks overlap */
    uint64_t *seen;        /* a bit a tile */
    uint64_t few_seen[1];
    struct bs_job *job;
    bool alone;                  /* chunks are too large for several at the same time */
    struct bs_h5_batch *batches; /* given away; main thread only */
    unsigned batch_count;        /* of them */
    bs_mutex mutex;              /* guards `idle` */
    struct bs_h5_workspace *idle;
    struct bs_h5_batch first; /* being filled */
};

/* A bs_task_fn; its argument is a struct bs_h5_batch. */
BS_MUST_USE basalt_status bs_h5_batch_run(void *argument, basalt_error *err);
/* The selected elements of a tile, whose memory begins with element `skipped`, to the output. */
BS_MUST_USE basalt_status bs_h5_tile_place(const struct bs_h5_reader *reader,
    const struct bs_h5_tile *tile, const uint8_t *bytes, uint64_t skipped, basalt_error *err);
/* reader->fill, of the output's type. */
BS_MUST_USE basalt_status bs_h5_make_fill(struct bs_h5_reader *reader, basalt_error *err);
/* Number of the tile among all of the dataset. */
uint64_t bs_h5_tile_key(const struct bs_h5_reader *reader, const struct bs_h5_tile *tile);
void bs_h5_free_workspaces(struct bs_h5_reader *reader);

#endif
