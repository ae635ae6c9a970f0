/* h5_internal.h - what the files of the reading half share.
 *
 * Addresses are as stored: relative to the base (the end of the user block). Every byte of a file
 * goes through bs_h5_read_at or bs_h5_load, which know where the file ends; every parser reads
 * through a cursor. Three rules bound the work that a hostile file can ask for:
 *   - a count is believed only as far as the bytes that must hold its items are there;
 *   - what honest files store once (nodes, blocks, chunks) is refused as soon as it adds up to
 *     more than the file;
 *   - recursion is limited by BS_H5_DEPTH_MAX. */
#ifndef BS_H5_INTERNAL_H
#define BS_H5_INTERNAL_H

#include "h5/h5.h"

#define BS_H5_VARIABLE_BYTES 16 /* length u32, collection address u64, index u32 */

extern const uint8_t bs_h5_signature[8];

struct bs_h5_shared;
struct bs_h5_cache_image;
struct bs_h5_other;
#define BS_H5_RANGES_MAX 6 /* parts of a multi file */

struct bs_h5_meter {
    uint64_t left; /* bytes that may still be read */
};

struct bs_h5_file {
    struct bs_h5_meter *meter;                /* NULL: nobody counts what is read */
    struct bs_file *file;                     /* borrowed, or `parts` */
    const struct bs_filter_registry *filters; /* of the user; borrowed, or NULL */
    struct bs_h5_superblock superblock;
    uint64_t bytes;  /* that there are: from the base to the end, or of all ranges */
    bool free_space; /* the file keeps free-space managers: their extents are not listed */
    _Atomic(struct bs_sched *) sched;    /* of reads that say nothing of it; borrowed or NULL */
    _Atomic(struct bs_h5_cache *) cache; /* likewise */
    unsigned range_count; /* 0: addresses go from 0 to `bytes`; else they lie in `ranges` */
    struct bs_h5_extent ranges[BS_H5_RANGES_MAX];
    struct bs_file *parts;           /* NULL, or a file over several, owned */
    uint64_t family_bytes;           /* of a member; 0: no family */
    struct bs_h5_shared *shared;     /* NULL: no table of shared messages */
    struct bs_h5_cache_image *image; /* NULL: the bytes are those of the file */
    enum bs_h5_follow follow;
    struct bs_h5_file *first; /* the file that led here; itself if it was opened by a caller */
    bs_mutex others_mutex;    /* of the first one; guards the two below, and the users of each */
    struct bs_h5_other *others;
    size_t other_count;
    uint64_t chunk_memory; /* of the first one; see bs_h5_file_set_chunk_memory */
    _Atomic uint64_t bytes_read, bytes_decoded; /* of the first one: by all that it led to */
};

/* ---- bytes (h5_bytes.c) ----------------------------------------------------------------------- */

/* CORRUPT "WHAT at N reaches past the end of the file" unless [address, address + count) lies
 * inside. */
BS_MUST_USE basalt_status bs_h5_check_range(const struct bs_h5_file *h5, uint64_t address,
    uint64_t count, const char *what, basalt_error *err);
/* What was read of files, what filters gave; for bs_h5_file_traffic. */
void bs_h5_count_bytes(struct bs_h5_file *h5, uint64_t read, uint64_t decoded);
BS_MUST_USE basalt_status bs_h5_read_at(struct bs_h5_file *h5, uint64_t address, void *out,
    size_t count, const char *what, basalt_error *err);
/* Bytes from the address to the end of the file or part; 0 if it lies outside. */
uint64_t bs_h5_room_at(const struct bs_h5_file *h5, uint64_t address);
/* Fresh memory, bs_free it. Checked against the file before anything is allocated. */
BS_MUST_USE basalt_status bs_h5_load(struct bs_h5_file *h5, uint64_t address, uint64_t count,
    const char *what, uint8_t **out_bytes, basalt_error *err);
/* File offset of an address, for messages. */
uint64_t bs_h5_offset(const struct bs_h5_file *h5, uint64_t address);
struct bs_cursor bs_h5_cursor(
    const struct bs_h5_file *h5, const void *bytes, size_t count, uint64_t address);
/* An address or length of `width_bytes`; all ones becomes BS_H5_UNDEFINED. */
uint64_t bs_h5_cursor_address(struct bs_cursor *cursor, size_t width_bytes);
uint64_t bs_h5_address(const struct bs_h5_file *h5, struct bs_cursor *cursor);
uint64_t bs_h5_length(const struct bs_h5_file *h5, struct bs_cursor *cursor);
/* Consumes four bytes; CORRUPT "there is no WHAT at N" if they are others. */
BS_MUST_USE basalt_status bs_h5_expect(
    struct bs_cursor *cursor, const char signature[4], const char *what, basalt_error *err);
/* CORRUPT unless the last 4 of `count` bytes are the sum of those before. */
BS_MUST_USE basalt_status bs_h5_check_sum(const struct bs_h5_file *h5, const void *bytes,
    size_t count, uint64_t address, const char *what, basalt_error *err);

/* As bs_h5_superblock_decode; the cursor knows where in the file its bytes are from. */
BS_MUST_USE basalt_status bs_h5_superblock_decode_at(
    struct bs_cursor cursor, struct bs_h5_superblock *out_superblock, basalt_error *err);

/* As bs_h5_file_open_with; `first` is the file that names this one, or NULL. */
BS_MUST_USE basalt_status bs_h5_file_open_led(struct bs_file *file, enum bs_h5_follow follow,
    struct bs_h5_file *first, struct bs_h5_file **out_h5, basalt_error *err);

/* ---- files in parts, metadata cache image (h5_driver.c, h5_cache_image.c) ---------------------- */

/* `info`: the driver's name and what follows. Opens the parts that the file needs beyond itself. */
BS_MUST_USE basalt_status bs_h5_driver_open(
    struct bs_h5_file *h5, struct bs_cursor info, uint64_t size_bytes, basalt_error *err);
/* Before the driver information can be read: a family of members of this size; the parts of a multi
 * file if the names are libhdf5's usual ones, else nothing. */
BS_MUST_USE basalt_status bs_h5_family_open(
    struct bs_h5_file *h5, uint64_t member_bytes, basalt_error *err);
/* The same of a file that says nothing of parts and is shorter than it should be: OK, and no parts, unless
 * files beside it complete it. */
BS_MUST_USE basalt_status bs_h5_family_guess(
    struct bs_h5_file *h5, uint64_t member_bytes, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_multi_guess(struct bs_h5_file *h5, basalt_error *err);

struct bs_h5_message;
struct bs_h5_image_entry {
    uint64_t address, bytes;
    const uint8_t *data; /* in the image */
};
struct bs_h5_cache_image {
    uint64_t address, bytes; /* of the block */
    uint8_t *data;
    size_t count;
    struct bs_h5_image_entry
        *entries; /* by address; none overlap: they stand for the file's bytes */
};
BS_MUST_USE basalt_status bs_h5_cache_image_open(
    struct bs_h5_file *h5, const struct bs_h5_message *message, basalt_error *err);
void bs_h5_cache_image_free(struct bs_h5_cache_image *image); /* NULL is fine */
BS_MUST_USE basalt_status bs_h5_cache_image_extent(
    struct bs_h5_file *h5, bs_h5_extent_fn each, void *context, basalt_error *err);

/* ---- other files that a file names (h5_external.c) -------------------------------------------- */

/* An opened file, shared by all who need it until the first file is closed. */
struct bs_h5_opened {
    struct bs_file *file;
    struct bs_h5_file *h5; /* NULL: raw bytes */
    uint64_t id;           /* to give it back with */
};
/* Beside `h5`, then as written. NOT_FOUND if there is none; UNSUPPORTED if it is not to be followed. */
BS_MUST_USE basalt_status bs_h5_other_take(struct bs_h5_file *h5, const char *name, bool raw,
    struct bs_h5_opened *out_opened, basalt_error *err);
void bs_h5_other_give(struct bs_h5_file *h5, const struct bs_h5_opened *opened);
/* A part of a file in parts, by the rule for other files. */
BS_MUST_USE basalt_status bs_h5_part_open(
    struct bs_h5_file *h5, const char *path, struct bs_file **out_file, basalt_error *err);
/* One more user of what is in use. */
void bs_h5_other_use(
    struct bs_h5_file *h5, const struct bs_h5_opened *opened, struct bs_h5_opened *out_opened);
void bs_h5_others_free(struct bs_h5_file *first);
/* Keeps what is in use open until the first file is closed: its number stands in addresses. */
BS_MUST_USE basalt_status bs_h5_other_pin(
    struct bs_h5_file *h5, const struct bs_h5_opened *opened, basalt_error *err);
/* The file of that number, which was pinned; NULL: there is none. */
struct bs_h5_file *bs_h5_other_pinned(struct bs_h5_file *h5, uint64_t id);

struct bs_h5_object;
struct bs_h5_slots;                               /* the external files of a dataset */
void bs_h5_slots_free(struct bs_h5_slots *slots); /* NULL is fine */
BS_MUST_USE basalt_status bs_h5_slots_read(struct bs_h5_file *h5,
    const struct bs_h5_message *message, struct bs_h5_slots **out_slots, basalt_error *err);
/* Bytes [at, at + count) of all of them end to end; what a file is short of is zero. */
BS_MUST_USE basalt_status bs_h5_external_read(struct bs_h5_file *h5,
    const struct bs_h5_object *object, uint64_t at, uint64_t count, void *out, basalt_error *err);

/* ---- object headers (h5_header.c) ------------------------------------------------------------- */

enum bs_h5_message_type {
    BS_H5_MESSAGE_NIL = 0x00,
    BS_H5_MESSAGE_SPACE = 0x01,
    BS_H5_MESSAGE_LINK_INFO = 0x02,
    BS_H5_MESSAGE_TYPE = 0x03,
    BS_H5_MESSAGE_FILL_OLD = 0x04,
    BS_H5_MESSAGE_FILL = 0x05,
    BS_H5_MESSAGE_LINK = 0x06,
    BS_H5_MESSAGE_EXTERNAL = 0x07,
    BS_H5_MESSAGE_LAYOUT = 0x08,
    BS_H5_MESSAGE_GROUP_INFO = 0x0a,
    BS_H5_MESSAGE_PIPELINE = 0x0b,
    BS_H5_MESSAGE_ATTRIBUTE = 0x0c,
    BS_H5_MESSAGE_SHARED_TABLE = 0x0f,
    BS_H5_MESSAGE_CONTINUATION = 0x10,
    BS_H5_MESSAGE_SYMBOL_TABLE = 0x11,
    BS_H5_MESSAGE_K_VALUES = 0x13,
    BS_H5_MESSAGE_DRIVER = 0x14,
    BS_H5_MESSAGE_ATTRIBUTE_INFO = 0x15,
    BS_H5_MESSAGE_LINK_COUNT = 0x16,
    BS_H5_MESSAGE_FREE_SPACE = 0x17,
    BS_H5_MESSAGE_CACHE_IMAGE = 0x18
};

struct bs_h5_message {
    uint16_t type;
    uint8_t flags;
    bool shared; /* the body says where the message is */
    uint32_t size_bytes;
    const uint8_t *data; /* in a block of the header */
    uint64_t address;    /* of `data` in the file */
};

struct bs_h5_block { /* the header's first piece, then its continuations */
    uint64_t address, bytes;
    uint8_t *data;
};

struct bs_h5_header {
    uint64_t address;
    uint8_t version;
    uint32_t links;
    size_t block_count, message_count;
    struct bs_h5_block *blocks;
    struct bs_h5_message *messages; /* NIL and continuation ones left out */
};

BS_MUST_USE basalt_status bs_h5_header_load(
    struct bs_h5_file *h5, uint64_t address, struct bs_h5_header **out_header, basalt_error *err);
void bs_h5_header_free(struct bs_h5_header *header); /* NULL is fine */
/* The first message of a type, or NULL. */
const struct bs_h5_message *bs_h5_header_find(
    const struct bs_h5_header *header, enum bs_h5_message_type type);
struct bs_cursor bs_h5_message_cursor(
    const struct bs_h5_file *h5, const struct bs_h5_message *message);

/* ---- messages (h5_message.c) ------------------------------------------------------------------ */

BS_MUST_USE basalt_status bs_h5_space_decode(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_h5_space *out_space, basalt_error *err);
/* ---- shared messages (h5_shared.c) */

BS_MUST_USE basalt_status bs_h5_shared_open(
    struct bs_h5_file *h5, const struct bs_h5_message *message, basalt_error *err);
void bs_h5_shared_free(struct bs_h5_shared *shared); /* NULL is fine */
BS_MUST_USE basalt_status bs_h5_shared_extents(
    struct bs_h5_file *h5, bs_h5_extent_fn each, void *context, basalt_error *err);
/* What a message says, wherever it lies: in its header, in another one, in a heap of shared messages. */
struct bs_h5_body {
    struct bs_cursor cursor;
    uint64_t committed;          /* address of the header that has it, or undefined */
    struct bs_h5_header *header; /* what the cursor may point into */
    struct bs_bytes memory;
};
BS_MUST_USE basalt_status bs_h5_body_find(struct bs_h5_file *h5, enum bs_h5_message_type type,
    struct bs_cursor cursor, bool shared, struct bs_h5_body *out_body, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_message_body(struct bs_h5_file *h5,
    const struct bs_h5_message *message, struct bs_h5_body *out_body, basalt_error *err);
/* The message of a heap ID in the table of shared messages. */
BS_MUST_USE basalt_status bs_h5_shared_object(struct bs_h5_file *h5, enum bs_h5_message_type type,
    struct bs_cursor id, struct bs_h5_body *out_body, basalt_error *err);
void bs_h5_body_free(struct bs_h5_body *body); /* zero is fine */
/* Datatype of a message or a part of one that may be shared: the address of a committed type is
 * appended to `committed` as a u64. */
BS_MUST_USE basalt_status bs_h5_type_follow(struct bs_h5_file *h5, struct bs_cursor *cursor,
    bool shared, struct bs_bytes *committed, struct bs_h5_type **out_type, basalt_error *err);
/* What the face's struct cannot say. */
struct bs_h5_layout_detail {
    uint64_t single_bytes; /* chunk index 1 with filters: stored size */
    uint32_t single_mask;
    bool edges_unfiltered; /* layout version 4: partial edge chunks are stored raw */
    uint8_t page_bits;     /* chunk index 3 */
    bool external;         /* the data lie in other files */
    uint32_t heap_index;   /* virtual: of the mappings, in the global heap */
};
BS_MUST_USE basalt_status bs_h5_layout_decode(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_h5_dataset *dataset, struct bs_h5_layout_detail *detail, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_pipeline_decode(
    struct bs_cursor *cursor, struct bs_pipeline *out_pipeline, basalt_error *err);
/* *out_fill is one element of `type_bytes`, or NULL if none is defined. */
BS_MUST_USE basalt_status bs_h5_fill_decode(
    struct bs_cursor *cursor, bool old, uint32_t type_bytes, uint8_t **out_fill, basalt_error *err);

/* ---- objects (h5_object.c, h5_attribute.c) ---------------------------------------------------- */

/* How a group keeps its links; all undefined: none but link messages. */
struct bs_h5_group_form {
    uint64_t tree, heap;              /* symbol table */
    uint64_t dense_heap, dense_names; /* fractal heap, B-tree version 2 by name */
    uint64_t dense_order;             /* B-tree version 2 by creation order; for its extents */
};

struct bs_h5_object {
    enum bs_h5_object_kind kind;
    struct bs_h5_file *h5;         /* that it lies in */
    struct bs_h5_opened opened;    /* of which the object is a user; zero: the caller's own file */
    struct bs_h5_slots *slots;     /* external files of a dataset, or NULL */
    struct bs_h5_virtual *sources; /* of a virtual dataset, or NULL */
    struct bs_h5_header *header;
    struct bs_h5_group_form form;
    struct bs_h5_dataset *dataset;
    struct bs_h5_layout_detail detail;
    struct bs_h5_type *type; /* committed */
    size_t attribute_count;
    struct bs_h5_attribute *attributes;
    uint64_t attribute_heap, attribute_names, attribute_order; /* dense; undefined if none */
    struct bs_bytes committed; /* u64 addresses of the types that it and its attributes share */
};

BS_MUST_USE basalt_status bs_h5_attributes_load(
    struct bs_h5_file *h5, struct bs_h5_object *object, basalt_error *err);
/* One attribute message, wherever it lies. */
BS_MUST_USE basalt_status bs_h5_attribute_decode(struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_bytes *committed, struct bs_h5_attribute *out_attribute, basalt_error *err);
void bs_h5_attribute_clear(struct bs_h5_attribute *attribute);

/* ---- groups (h5_group.c, h5_symbol_table.c) --------------------------------------------------- */

BS_MUST_USE basalt_status bs_h5_group_form_decode(const struct bs_h5_file *h5,
    const struct bs_h5_header *header, struct bs_h5_group_form *out_form, basalt_error *err);
/* A link found by name; `target` is bs_free'd by the caller. */
struct bs_h5_found {
    enum bs_h5_link_kind kind;
    uint64_t address;
    char *target;
    size_t path_at; /* external: in the target */
};

/* NOT_FOUND without a message if the table has no such name. */
BS_MUST_USE basalt_status bs_h5_symbol_table_find(struct bs_h5_file *h5,
    const struct bs_h5_group_form *form, const char *name, struct bs_h5_found *out_found,
    basalt_error *err);
BS_MUST_USE basalt_status bs_h5_symbol_table_each(struct bs_h5_file *h5,
    const struct bs_h5_group_form *form, bs_h5_link_fn each, void *context, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_symbol_table_extents(struct bs_h5_file *h5,
    const struct bs_h5_group_form *form, bs_h5_extent_fn each, void *context, basalt_error *err);

/* Where the data segment of a local heap is. */
BS_MUST_USE basalt_status bs_h5_local_heap_find(
    struct bs_h5_file *h5, uint64_t address, struct bs_h5_extent *out_data, basalt_error *err);

/* ---- version-1 B-trees (h5_btree.c) ----------------------------------------------------------- */

struct bs_h5_node_key { /* of a chunk tree */
    uint32_t stored_bytes, filter_mask;
    uint64_t offset[BS_H5_RANK_MAX];
};
struct bs_h5_btree {
    uint8_t kind; /* 0: group, 1: chunks */
    size_t key_bytes;
    uint64_t entries_max; /* 2K */
    uint64_t visits_left; /* nodes that the walk may still read */
};
struct bs_h5_btree_node {
    uint64_t address;
    unsigned level, count;
    uint8_t *bytes; /* whole node, as many entries as are used */
};
void bs_h5_btree_init(
    const struct bs_h5_file *h5, struct bs_h5_btree *tree, uint8_t kind, unsigned rank);
uint64_t bs_h5_btree_node_bytes(const struct bs_h5_file *h5, const struct bs_h5_btree *tree);
/* `level` of the parent minus one, or -1 for the root. */
BS_MUST_USE basalt_status bs_h5_btree_load(struct bs_h5_file *h5, struct bs_h5_btree *tree,
    uint64_t address, int level, struct bs_h5_btree_node *out_node, basalt_error *err);
void bs_h5_btree_unload(struct bs_h5_btree_node *node);
struct bs_cursor bs_h5_btree_key(const struct bs_h5_file *h5, const struct bs_h5_btree *tree,
    const struct bs_h5_btree_node *node, unsigned index);
uint64_t bs_h5_btree_child(const struct bs_h5_file *h5, const struct bs_h5_btree *tree,
    const struct bs_h5_btree_node *node, unsigned index);

/* ---- chunks (h5_chunk.c, h5_chunk_index.c) ---------------------------------------------------- */

/* False, and *value as it was, if the product has more than 64 bits. */
static inline bool bs_h5_multiply(uint64_t *value, uint64_t by)
{
    if (by && *value > UINT64_MAX / by) return false;
    *value *= by;
    return true;
}

/* Which chunks: those whose first elements lie within, all bounds included. */
struct bs_h5_box {
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX];
};
/* The stored chunks of a box, in index order; of the index only what leads to them is read. */
BS_MUST_USE basalt_status bs_h5_chunks_in_box(struct bs_h5_file *h5,
    const struct bs_h5_object *object, const struct bs_h5_box *box, bs_h5_chunk_fn each,
    void *context, basalt_error *err);
/* The blocks of the index itself. */
BS_MUST_USE basalt_status bs_h5_chunk_index_extents(struct bs_h5_file *h5,
    const struct bs_h5_object *object, bs_h5_extent_fn each, void *context, basalt_error *err);
/* How many chunks each dimension has at its largest, for indexes that number chunks in that order;
 * an unlimited dimension comes first. */
struct bs_h5_grid {
    unsigned rank;
    unsigned order[BS_H5_RANK_MAX]; /* dimensions, the slowest first */
    uint64_t count[BS_H5_RANK_MAX], chunks;
};
BS_MUST_USE basalt_status bs_h5_chunk_grid(
    const struct bs_h5_object *object, struct bs_h5_grid *out_grid, basalt_error *err);
/* Sets the offset of the index-th chunk of the grid; false if there is no such chunk. */
bool bs_h5_chunk_place(const struct bs_h5_object *object, const struct bs_h5_grid *grid,
    uint64_t index, struct bs_h5_chunk *chunk);
struct bs_h5_chunk_walk {
    struct bs_h5_file *h5;
    const struct bs_h5_object *object;
    const struct bs_h5_box *box;
    bs_h5_chunk_fn each;   /* or NULL */
    bs_h5_extent_fn block; /* of the index, or NULL */
    void *context;
};
/* The numbers, in the grid's order, between which those of the chunks of a box lie; false: of none. */
bool bs_h5_chunk_span(const struct bs_h5_object *object, const struct bs_h5_grid *grid,
    const struct bs_h5_box *box, uint64_t *out_first, uint64_t *out_last);
/* Checks a chunk against the file, and gives it if it is in the box. */
BS_MUST_USE basalt_status bs_h5_chunk_give(
    const struct bs_h5_chunk_walk *walk, const struct bs_h5_chunk *chunk, basalt_error *err);
/* Fixed and extensible arrays (h5_chunk_array.c). */
BS_MUST_USE basalt_status bs_h5_fixed_array_walk(
    const struct bs_h5_chunk_walk *walk, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_extensible_array_walk(
    const struct bs_h5_chunk_walk *walk, basalt_error *err);
/* TOO_LARGE if decoding a chunk takes more memory than such a file may cost; `beside_bytes` more are taken
 * at the same time. */
BS_MUST_USE basalt_status bs_h5_chunk_check_work(const struct bs_h5_object *object, uint32_t mask,
    uint64_t raw_bytes, uint64_t beside_bytes, basalt_error *err);
/* Whether so many threads and the caller may each decode a chunk at the same time. */
bool bs_h5_may_share_work(const struct bs_h5_object *object, uint64_t raw_bytes, unsigned threads);
/* The same of a filtered chunk that has been read already. */
BS_MUST_USE basalt_status bs_h5_chunk_decode(struct bs_h5_file *h5,
    const struct bs_h5_object *object, uint64_t address, uint32_t mask,
    struct bs_codec_scratch **scratch, const uint8_t *stored, uint64_t stored_bytes, uint8_t *out,
    size_t raw_bytes, basalt_error *err);
/* CORRUPT unless an unfiltered chunk has the bytes that it must have. */
BS_MUST_USE basalt_status bs_h5_chunk_check_raw(const struct bs_h5_file *h5, uint64_t address,
    uint64_t stored_bytes, uint64_t raw_bytes, basalt_error *err);

/* ---- storage (h5_storage.c) ------------------------------------------------------------------- */

/* Where elements come from, one entry a kind of layout, in h5_storage.c. Exactly one of the two is set for
 * what is not chunked; any thread may call either, several at once. */
struct bs_h5_storage {
    /* The raw data are one row of bytes (compact, contiguous, external): bytes [at, at + count). */
    basalt_status (*read_bytes)(struct bs_h5_file *h5, const struct bs_h5_object *object,
        uint64_t at, uint64_t count, void *out, basalt_error *err);
    /* Anything else (virtual): the box of count[i] elements from start[i] on, in C order, as elements
     * of the dataset's type. It lies inside the dataset and is not empty. `how` has only sched, cancel
     * and path; what it reads of other datasets goes through bs_h5_read_selection with `as` the
     * dataset's type. */
    basalt_status (*read_box)(struct bs_h5_file *h5, const struct bs_h5_object *object,
        const uint64_t *start, const uint64_t *count, const struct bs_h5_read_how *how, void *out,
        basalt_error *err);
};

/* ---- virtual datasets (h5_virtual.c) ------------------------------------------------------------ */

struct bs_h5_virtual;
/* Sets the object's `sources`, and its extent as they are now. `parent`: the virtual dataset that it is
 * a source of, or NULL. */
BS_MUST_USE basalt_status bs_h5_virtual_open(
    struct bs_h5_object *object, struct bs_h5_virtual *parent, basalt_error *err);
void bs_h5_virtual_free(struct bs_h5_virtual *all); /* NULL is fine */
BS_MUST_USE basalt_status bs_h5_virtual_read(struct bs_h5_file *h5,
    const struct bs_h5_object *object, const uint64_t *start, const uint64_t *count,
    const struct bs_h5_read_how *how, void *out, basalt_error *err);
/* As bs_h5_object_open and bs_h5_object_open_path, of a source of `parent`. */
BS_MUST_USE basalt_status bs_h5_object_open_at(struct bs_h5_file *h5, uint64_t address,
    struct bs_h5_virtual *parent, struct bs_h5_object **out_object, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_object_open_under(struct bs_h5_file *h5, const char *path,
    struct bs_h5_virtual *parent, struct bs_h5_object **out_object, basalt_error *err);

/* ---- global heap (h5_heap.c) ------------------------------------------------------------------ */

/* bs_h5_resolve over several calls, without reading anything again. */
BS_MUST_USE basalt_status bs_h5_heap_resolve(struct bs_h5_heap *heap, const struct bs_h5_type *type,
    const void *elements, uint64_t count, bs_h5_text_fn each, void *context, basalt_error *err);
/* Elements of the type name places in the global heap. */
bool bs_h5_refers_to_heap(const struct bs_h5_type *type);
/* Bytes of the collection at `address`, after its header was checked. */
BS_MUST_USE basalt_status bs_h5_collection_bytes(
    struct bs_h5_file *h5, uint64_t address, uint64_t *out_bytes, basalt_error *err);

/* ---- version-2 B-trees (h5_btree2.c) ---------------------------------------------------------- */

struct bs_h5_btree2_visit {
    uint8_t kind; /* type of the records that the tree must have */
    /* Each record in key order; may be NULL. */
    basalt_status (*record)(void *context, struct bs_cursor record, basalt_error *err);
    /* Negative for a record before those wanted, positive behind: subtrees without any are not
     * read. NULL: all are wanted. */
    int (*side)(void *context, struct bs_cursor record);
    bs_h5_extent_fn block; /* the tree's header and nodes; may be NULL */
    void *context;
};
BS_MUST_USE basalt_status bs_h5_btree2_each(struct bs_h5_file *h5, uint64_t address,
    const struct bs_h5_btree2_visit *visit, basalt_error *err);
/* Bytes that hold any number up to `limit`. */
size_t bs_h5_width_of(uint64_t limit);

/* ---- dense storage (h5_dense.c, h5_fractal_heap.c) -------------------------------------------- */

struct bs_h5_fractal_heap;
/* Loads the heap's blocks, checked. */
BS_MUST_USE basalt_status bs_h5_fractal_heap_open(struct bs_h5_file *h5, uint64_t address,
    struct bs_h5_fractal_heap **out_heap, basalt_error *err);
/* A heap of which only the way to one object is loaded, time and again: by one thread. */
BS_MUST_USE basalt_status bs_h5_fractal_heap_peek(struct bs_h5_file *h5, uint64_t address,
    struct bs_h5_fractal_heap **out_heap, basalt_error *err);
/* Loads what the object needs, and lets go of what was there. */
BS_MUST_USE basalt_status bs_h5_fractal_heap_look_at(
    struct bs_h5_fractal_heap *heap, struct bs_cursor id, basalt_error *err);
void bs_h5_fractal_heap_close(struct bs_h5_fractal_heap *heap); /* NULL is fine */
size_t bs_h5_fractal_heap_id_bytes(const struct bs_h5_fractal_heap *heap);
/* The object that `id` names. It lives in the heap, in `id`, or in `memory`, which the caller frees. */
BS_MUST_USE basalt_status bs_h5_fractal_heap_object(const struct bs_h5_fractal_heap *heap,
    struct bs_cursor id, struct bs_bytes *memory, struct bs_cursor *out_object, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_fractal_heap_extents(
    struct bs_h5_fractal_heap *heap, bs_h5_extent_fn each, void *context, basalt_error *err);

/* Calls `each` with every object that the tree (links or attributes by name) refers to in the heap. */
typedef basalt_status (*bs_h5_dense_fn)(void *context, struct bs_cursor object, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_dense_each(struct bs_h5_file *h5, uint64_t heap, uint64_t names,
    bs_h5_dense_fn each, void *context, basalt_error *err);
/* The same of the links alone that have the hash of `name`: that link, if it is there, and seldom others.
 * Only what leads to them is read. */
BS_MUST_USE basalt_status bs_h5_dense_find(struct bs_h5_file *h5, uint64_t heap, uint64_t names,
    const char *name, bs_h5_dense_fn each, void *context, basalt_error *err);
/* The blocks of the heap and of both trees (`order` may be undefined). */
BS_MUST_USE basalt_status bs_h5_dense_extents(struct bs_h5_file *h5, uint64_t heap, uint64_t names,
    uint64_t order, bs_h5_extent_fn each, void *context, basalt_error *err);

/* ---- everything (h5_walk.c) ------------------------------------------------------------------- */

struct bs_h5_walk_hooks {
    bs_h5_extent_fn extent;
    /* NULL: the first failure ends the walk. Else gets each one, and the walk goes on. */
    basalt_status (*fault)(void *context, const char *path, bool in_chunk,
        const basalt_error *fault, basalt_error *err);
    void *context;
    bool deep; /* read and decode all data */
};
BS_MUST_USE basalt_status bs_h5_walk(struct bs_h5_file *h5, const struct bs_h5_walk_hooks *hooks,
    bool *out_complete, basalt_error *err);

#endif
