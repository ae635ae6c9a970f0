/* writer_internal.h - what the files of the writing half share; the whole is told in writer.c.
 *
 *   write_space.c      which bytes of the file are free
 *   write_node.c       the tree of groups and datasets in memory
 *   write_attribute.c  their attributes
 *   write_header.c     their object headers, byte by byte
 *   write_symbols.c    groups of more than 1,024 links
 *   write_index.c      the chunk index of a column
 *   write_column.c     rows into chunks and tails
 *   write_array.c      arrays of any rank, committed types, links: what a copy is made of
 *   write_heap.c       their variable-length elements
 *   write_strings.c    variable-length elements
 *   write_free.c       everything that an unlinked object occupied
 *   write_compact.c    what lies high moves down
 *   write_load.c       the tree of a file that is there already */
#ifndef BS_WRITER_INTERNAL_H
#define BS_WRITER_INTERNAL_H

#include "h5/h5_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define BS_INDEX_CHILDREN 64      /* of a chunk index node: 2 x the default K of 32 */
#define BS_INDEX_DEPTH_MAX 11     /* 64^11 is more than 2^64 */
#define BS_LINK_MESSAGES_MAX 1024 /* beyond it a group has a symbol table */
#define BS_LINK_NAME_BYTES_MAX 60000
#define BS_CHUNK_BYTES_MAX ((uint64_t)1 << 28)

/* ---- extents ------------------------------------------------------------------------------- */

struct bs_extents {
    struct bs_h5_extent *items;
    size_t count, capacity;
};

BS_MUST_USE basalt_status bs_extents_add(
    struct bs_extents *extents, uint64_t address, uint64_t bytes, basalt_error *err);
void bs_extents_free(struct bs_extents *extents); /* leaves it empty */

struct bs_retired {
    struct bs_h5_extent extent;
    uint64_t commit; /* the first whose root does not reach it */
};

/* THREADS: every call takes the lock, for a few steps in memory. */
struct bs_space {
    bs_mutex lock;
    struct bs_space_node *free; /* a treap by address, no two neighbours touch */
    uint64_t end;               /* nothing is in use from here on */
    uint64_t free_bytes, retired_bytes;
    bool aligned;               /* every extent in the file starts at a multiple of 8 */
    struct bs_extents pending;  /* given up by the commit that is being built */
    struct bs_retired *retired; /* by rising commit; [retired_first, retired_count) */
    size_t retired_first, retired_count, retired_capacity;
    uint64_t reclaimed; /* highest commit given to bs_space_reclaim */
    uint64_t commit;    /* the one in force */
};

void bs_space_init(struct bs_space *space, uint64_t end);
void bs_space_destroy(struct bs_space *space);
/* Behind everything that was taken; other threads may take more at once. */
uint64_t bs_space_end(struct bs_space *space);
/* Never fails: behind the end there is always room. Address and size are multiples of 8. */
uint64_t bs_space_take(struct bs_space *space, uint64_t bytes);
/* The same, or BS_H5_UNDEFINED if no free extent is large enough. */
uint64_t bs_space_take_free(struct bs_space *space, uint64_t bytes);
/* No committed root reaches it and none of this commit will: free at once. */
void bs_space_untake(struct bs_space *space, uint64_t address, uint64_t bytes);
/* Given up by the commit that is being built. An undefined address is none. */
void bs_space_give_up(struct bs_space *space, uint64_t address, uint64_t bytes);
/* What was given up is retired as of `commit`. */
void bs_space_retire(struct bs_space *space, uint64_t commit);
void bs_space_reclaim(struct bs_space *space, uint64_t commit);
/* Free space at the end is no longer part of the file. Returns the end. */
uint64_t bs_space_trim(struct bs_space *space);

/* ---- the tree ------------------------------------------------------------------------------ */

enum bs_node_kind {
    BS_NODE_GROUP,
    BS_NODE_FIXED, /* a dataset that is not appended to; its layout and dataspace are `kept` */
    BS_NODE_COLUMN,
    BS_NODE_ARRAY,   /* a dataset of any rank, written once */
    BS_NODE_TYPE,    /* a committed datatype; all of it is `kept` */
    BS_NODE_FOREIGN, /* an object that must stay where it is: only its address is known */
    BS_NODE_LINK,    /* a soft or external link */
    BS_NODE_ALIAS    /* one more hard link to another node */
};

struct bs_node_attribute {
    char *name;
    uint8_t *body; /* the message, without its prefix */
    uint16_t body_bytes;
    struct bs_h5_node *type_node; /* whose type it shares, or NULL */
    uint16_t type_at;             /* in the body: the address of that */
};

struct bs_symbol_node;
struct bs_symbols;
struct bs_column;
struct bs_array;

struct bs_h5_node {
    enum bs_node_kind kind;
    bool dirty;             /* its header must be written; then so must its parent's. By the lock */
    bool attributes_dirty;  /* its continuation block must be written */
    bool attributes_inline; /* no continuation block: they change with every commit, or never */
    bool placed;    /* next_address is where the header will be, whatever is written first */
    uint32_t links; /* hard ones and, of a type, those who share it; 0: one */
    struct bs_h5_writer *writer;
    struct bs_h5_node *parent;
    char *name;
    uint64_t address, next_address; /* of the header: in force, in the prepared commit */
    uint64_t header_bytes, next_header_bytes;
    struct bs_h5_extent block, next_block; /* the attributes' continuation block */
    struct bs_extents old_blocks; /* more blocks of the header in force, from somebody else */
    struct bs_bytes kept;         /* messages that never change, with their prefixes */
    struct bs_node_attribute *attributes;
    size_t attribute_count;
    struct bs_symbol_node *leaf; /* of the parent's symbol table, once it is in it */
    uint64_t name_offset;        /* in the parent's name heap */
    union {
        struct {
            struct bs_h5_node **children; /* by name */
            size_t count, capacity;
            struct bs_symbols *symbols; /* NULL: link messages */
        } group;
        struct bs_h5_extent fixed; /* contiguous data; undefined if it has none */
        struct bs_column *column;
        struct bs_array *array;
        struct bs_h5_node *alias; /* the object itself */
        struct {
            uint8_t type; /* 1 soft, 64 external, as in a link message */
            struct bs_bytes target;
        } link;
    } as;
};

BS_MUST_USE basalt_status bs_node_create(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    enum bs_node_kind kind, const char *name, struct bs_h5_node **out_node, basalt_error *err);
void bs_node_free(struct bs_h5_node *node); /* with all below; NULL is fine */
/* Puts `node` among its parent's children, in name order. EXISTS. */
BS_MUST_USE basalt_status bs_node_attach(struct bs_h5_node *node, basalt_error *err);
void bs_node_detach(struct bs_h5_node *node);
struct bs_h5_node *bs_node_find(const struct bs_h5_node *group, const char *name); /* or NULL */
/* The header and those of all groups above must be written. */
void bs_node_dirty(struct bs_h5_node *node);
/* OK while the writer takes changes: neither abandoned nor between prepare and settle. */
BS_MUST_USE basalt_status bs_writer_check(const struct bs_h5_writer *writer, basalt_error *err);

/* As bs_h5_set_attribute, without asking whether the writer takes changes. */
BS_MUST_USE basalt_status bs_node_set_attribute(struct bs_h5_node *node, const char *name,
    const struct bs_h5_type *type, const struct bs_h5_space *space, const void *data,
    basalt_error *err);
BS_MUST_USE basalt_status bs_node_set_u64(
    struct bs_h5_node *node, const char *name, uint64_t value, basalt_error *err);
/* Changes the last 8 bytes of an attribute that is there, a u64. */
void bs_node_change_u64(struct bs_h5_node *node, const char *name, uint64_t value);
/* Takes over `body` on success. */
BS_MUST_USE basalt_status bs_node_put_attribute(
    struct bs_h5_node *node, const char *name, uint8_t *body, size_t body_bytes, basalt_error *err);
struct bs_node_attribute *bs_node_attribute(const struct bs_h5_node *node, const char *name);
/* A node that is not yet among its parent's children; then puts it there, or frees it. */
BS_MUST_USE basalt_status bs_node_begin(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    enum bs_node_kind kind, const char *name, struct bs_h5_node **out_node, basalt_error *err);
BS_MUST_USE basalt_status bs_node_end(
    struct bs_h5_node *node, struct bs_h5_node **out_node, basalt_error *err);
void bs_node_attributes_free(struct bs_h5_node *node);

/* ---- headers ------------------------------------------------------------------------------- */

void bs_put_message(
    struct bs_bytes *out, enum bs_h5_message_type type, const void *body, size_t count);
void bs_put_dataspace(struct bs_bytes *out, const struct bs_h5_space *space); /* body alone */
void bs_put_attribute_info(struct bs_bytes *out);
void bs_put_prefix(struct bs_bytes *out, enum bs_h5_message_type type, size_t count, uint8_t flags);
/* The body of a message that is in another object's header; whose address is still undefined. */
void bs_put_shared(struct bs_bytes *out);
#define BS_SHARED_ADDRESS_AT 2u
enum bs_fill_when { BS_FILL_EARLY = 1, BS_FILL_LATE = 2, BS_FILL_INCREMENTAL = 3 }; /* allocation */
void bs_put_fill(struct bs_bytes *out, const void *fill, size_t bytes, enum bs_fill_when when);
void bs_put_pipeline(struct bs_bytes *out, const struct bs_pipeline *pipeline);
BS_MUST_USE basalt_status bs_encode_type(
    const struct bs_h5_type *type, struct bs_bytes *out, basalt_error *err);
void bs_put_contiguous_layout(struct bs_bytes *out, uint64_t address, uint64_t bytes);
/* Type, fill value, filters and attribute info. */
BS_MUST_USE basalt_status bs_put_dataset_messages(struct bs_bytes *out,
    const struct bs_h5_type *type, const struct bs_pipeline *pipeline, const void *fill,
    bool chunked, basalt_error *err);
/* The header as the prepared commit has it; the count does not depend on addresses. */
void bs_header_encode(const struct bs_h5_node *node, struct bs_bytes *out);
void bs_attribute_block_encode(const struct bs_h5_node *node, struct bs_bytes *out);
static inline uint64_t bs_node_next(const struct bs_h5_node *node)
{
    if (node->kind == BS_NODE_ALIAS) node = node->as.alias;
    return node->dirty ? node->next_address : node->address;
}

/* ---- symbol tables ------------------------------------------------------------------------- */

struct bs_symbol_node { /* a leaf (level 0) or a B-tree node above (level 1 ..) */
    struct bs_symbol_node *up;
    uint64_t address, next_address;
    uint32_t count;
    uint8_t level;
    bool dirty;
    union {
        struct bs_h5_node **entries;      /* level 0: in the group's children array */
        struct bs_symbol_node **children; /* above: in the level's array */
    } first;
};

struct bs_symbol_level {
    struct bs_symbol_node **nodes;
    size_t count;
};

struct bs_symbols {
    struct bs_symbol_level levels[BS_H5_DEPTH_MAX];
    size_t depth;                          /* levels in use; the last has one node, the root */
    struct bs_h5_extent heap, next_heap;   /* 32 bytes */
    struct bs_h5_extent names, next_names; /* the segment */
    uint64_t names_used;                   /* bytes of it that a version refers to */
    struct bs_bytes new_names; /* go to names_used, or into next_names after the old ones */
    struct bs_extents old;     /* of the table that the file had when it was opened */
    bool rebuild;              /* the heap is somebody else's or full: all names anew */
};

struct bs_plan;
BS_MUST_USE basalt_status bs_symbols_create(struct bs_h5_node *group, basalt_error *err);
void bs_symbols_free(struct bs_symbols *symbols); /* NULL is fine */
/* Sorts changed children into leaves and plans every block that must be written. */
BS_MUST_USE basalt_status bs_symbols_plan(
    struct bs_h5_node *group, struct bs_plan *plan, basalt_error *err);
void bs_symbol_node_encode(const struct bs_symbol_node *node, struct bs_bytes *out);
void bs_symbol_heap_encode(const struct bs_symbols *symbols, struct bs_bytes *out);
void bs_symbol_names_encode(const struct bs_symbols *symbols, struct bs_bytes *out);
void bs_symbols_settle(struct bs_symbols *symbols);
void bs_symbols_renew(struct bs_symbols *symbols); /* the next plan writes all of it anew */
void bs_symbols_forget(struct bs_h5_node *child);  /* before it is detached */
BS_MUST_USE basalt_status bs_symbols_extents(
    const struct bs_symbols *symbols, struct bs_extents *out, basalt_error *err);
/* Takes note of a table that is in the file: it is given up by the next plan, which makes a new one.
 * Its names' slack cannot be used: a reader of an older version may be looking at it. */
BS_MUST_USE basalt_status bs_symbols_note_old(struct bs_h5_node *group, struct bs_h5_file *h5,
    const struct bs_h5_group_form *form, basalt_error *err);

/* ---- the chunk index ----------------------------------------------------------------------- */

struct bs_index_entry {
    uint64_t first;   /* row of a column's chunk, number of an array's; above: of the first below */
    uint64_t address; /* of the chunk, or of the node below */
    uint32_t bytes;   /* stored */
    uint32_t mask;
};

struct bs_index_node { /* at the right edge; the rest of the tree is only in the file */
    struct bs_index_entry *entries; /* above the leaves without the child at the right edge */
    unsigned count, capacity;
    uint64_t address, next_address;
    bool dirty;
};

struct bs_index {
    struct bs_index_node levels[BS_INDEX_DEPTH_MAX];
    unsigned depth;       /* 0: no chunk is stored */
    uint64_t last;        /* `first` of the last chunk stored */
    uint64_t loaded_root; /* to be read before the first change; undefined: is in `levels` */
};

size_t bs_index_node_bytes(const struct bs_h5_node *node);
BS_MUST_USE basalt_status bs_index_load(struct bs_h5_node *node, basalt_error *err);
/* The last chunk stored, or NULL. */
struct bs_index_entry *bs_index_last(struct bs_index *index);
BS_MUST_USE basalt_status bs_index_push(struct bs_h5_node *node, struct bs_index *index,
    const struct bs_index_entry *entry, basalt_error *err);
void bs_index_replace_last(struct bs_index *index, const struct bs_index_entry *entry);
BS_MUST_USE basalt_status bs_index_plan(
    struct bs_h5_node *node, struct bs_plan *plan, basalt_error *err);
void bs_index_encode(
    const struct bs_h5_node *node, const struct bs_index_node *at, struct bs_bytes *out);
uint64_t bs_index_root_next(const struct bs_index *index); /* as the prepared commit has it */
void bs_index_settle(struct bs_index *index);
void bs_index_free(struct bs_index *index);
/* Every stored chunk, by row, and every node. Either may be NULL. */
typedef basalt_status (*bs_index_chunk_fn)(
    void *context, const struct bs_index_entry *entry, basalt_error *err);
typedef basalt_status (*bs_index_node_fn)(void *context, uint64_t address, basalt_error *err);
BS_MUST_USE basalt_status bs_index_each(struct bs_h5_node *node, struct bs_index *index,
    bs_index_chunk_fn chunk, bs_index_node_fn each_node, void *context, basalt_error *err);

/* ---- columns ------------------------------------------------------------------------------- */

struct bs_column {
    uint64_t rows, chunk_rows;
    uint32_t element_bytes;
    bool variable;
    bool tail_is_new; /* its extent was taken for the commit being built */
    bool sum_room;    /* the tail's extent has 4 bytes behind the raw chunk */
    bool sum_known;   /* `sum` covers the rows in the tail */
    struct bs_fletcher sum;
    bool crc_known; /* `crc` covers the rows in a tail that is only summed; or is that of */
    uint32_t crc;   /* the chunk just stored. Kept while somebody watches */
    bs_h5_full_chunk_fn watch;
    void *watch_context;
    const struct bs_pipeline *pipeline; /* the writer's; empty if there are no filters */
    uint8_t *fill;                      /* one element; NULL: zeros */
    struct bs_index index;
    struct bs_extents collections; /* of the partial last chunk's strings */
    uint64_t collections_used;     /* bytes of them that strings take, packed */
    bool collections_known;
};

void bs_column_free(struct bs_column *column); /* NULL is fine */
static inline uint64_t bs_column_chunk_bytes(const struct bs_column *column)
{
    return column->chunk_rows * column->element_bytes;
}
/* The whole chunk, decoded, into `out`; without an entry fill values. */
BS_MUST_USE basalt_status bs_column_read_chunk(struct bs_h5_node *node,
    const struct bs_index_entry *entry, struct bs_codec_scratch *scratch, uint8_t *out,
    basalt_error *err);
/* Bytes that the extent of a stored chunk has. */
uint64_t bs_column_extent_bytes(const struct bs_column *column, const struct bs_index_entry *entry);
/* Moves the strings of the partial last chunk that reach beyond `line` down. If that chunk was not raw,
 * *out_chunk says what became of it. */
BS_MUST_USE basalt_status bs_column_lower_strings(struct bs_h5_node *node,
    struct bs_codec_scratch *scratch, uint64_t line, uint64_t *out_moved_bytes,
    struct bs_h5_moved_chunk *out_chunk, basalt_error *err);
/* Copies what an extent stores to the lowest free place that has room, if that is lower; else
 * *out_address is undefined. The old place is left alone. */
BS_MUST_USE basalt_status bs_extent_lower(struct bs_h5_writer *writer, uint64_t address,
    uint64_t stored_bytes, uint64_t extent_bytes, uint64_t *out_address, basalt_error *err);
void bs_column_fill(const struct bs_column *column, uint8_t *out, uint64_t rows);

/* ---- arrays -------------------------------------------------------------------------------- */

struct bs_array {
    enum bs_h5_layout layout;
    unsigned rank;
    uint32_t element_bytes;
    uint64_t chunk_dims[BS_H5_RANK_MAX];
    uint64_t grid[BS_H5_RANK_MAX]; /* chunks along each dimension as it is now */
    uint64_t chunks;
    struct bs_index index;      /* chunked */
    struct bs_h5_extent extent; /* contiguous; undefined: nothing is stored */
    struct bs_bytes compact;
    struct bs_h5_node *type_node; /* whose type it shares, or NULL */
    size_t type_at, fill_at;      /* in `kept`: the address of that; the fill value */
    size_t fill_bytes;
};

void bs_array_free(struct bs_array *array); /* NULL is fine */
void bs_node_add_link(struct bs_h5_node *node);
void bs_array_put_layout(const struct bs_array *array, struct bs_bytes *out);

/* ---- strings ------------------------------------------------------------------------------- */

/* One collection of the global heap, in memory: begin, objects by rising index, end. */
void bs_collection_begin(struct bs_bytes *out);
void bs_collection_put(struct bs_bytes *out, unsigned index, const void *bytes, size_t count);
void bs_collection_end(struct bs_bytes *out);
uint64_t bs_collection_object_bytes(
    uint64_t bytes); /* with its head; of 0 bytes: also of the start */

struct bs_row_source { /* walks the pieces of an append */
    const struct bs_h5_piece *pieces;
    size_t count, piece;
    uint64_t row; /* within the piece */
};

/* Stores the next `rows` elements in collections of their own; `out` gets their references. */
BS_MUST_USE basalt_status bs_strings_put(struct bs_h5_node *node, struct bs_row_source *source,
    uint64_t rows, uint8_t *out, basalt_error *err);
/* Do the collections of the partial chunk waste enough space to be packed? */
bool bs_strings_wasteful(const struct bs_column *column);
/* Stores the strings that `references` name in new, full collections and changes the references.
 * What the column has is left alone; after a failure *out_collections lists what was taken. */
BS_MUST_USE basalt_status bs_strings_repack(struct bs_h5_node *node, uint8_t *references,
    uint64_t rows, struct bs_extents *out_collections, uint64_t *out_used, basalt_error *err);
/* The collections that `references` name, once each, are added to `out`. */
BS_MUST_USE basalt_status bs_strings_collections(struct bs_h5_writer *writer,
    const uint8_t *references, uint64_t rows, struct bs_extents *out, uint64_t *out_used,
    basalt_error *err);

/* ---- writer -------------------------------------------------------------------------------- */

enum bs_block_kind {
    BS_BLOCK_HEADER,     /* owner: bs_h5_node */
    BS_BLOCK_ATTRIBUTES, /* bs_h5_node */
    BS_BLOCK_INDEX,      /* bs_index_node, of `node` */
    BS_BLOCK_SYMBOLS,    /* bs_symbol_node */
    BS_BLOCK_HEAP,       /* bs_h5_node, a group */
    BS_BLOCK_NAMES,      /* bs_h5_node, a group */
    BS_BLOCK_NEW_NAMES   /* bs_h5_node, a group: in the slack of the segment in force */
};

struct bs_block { /* metadata that the commit being prepared writes */
    enum bs_block_kind kind;
    void *owner;
    struct bs_h5_node *node;
    uint64_t address, bytes;
    bool to_place; /* in new space; else it lies in the slack of an extent in force */
};

struct bs_plan {
    struct bs_block *blocks;
    size_t count, capacity;
    struct bs_extents given_up; /* by the commit, once it is settled */
};

/* `address` undefined: to be placed. */
BS_MUST_USE basalt_status bs_plan_add(struct bs_plan *plan, enum bs_block_kind kind, void *owner,
    struct bs_h5_node *node, uint64_t address, uint64_t bytes, basalt_error *err);
BS_MUST_USE basalt_status bs_plan_give_up(
    struct bs_plan *plan, uint64_t address, uint64_t bytes, basalt_error *err);

struct bs_pipeline_shared {
    struct bs_pipeline pipeline;
    struct bs_pipeline_shared *next;
};

enum bs_writer_state {
    BS_WRITER_READY,
    BS_WRITER_PREPARED,
    BS_WRITER_FLIPPED,
    BS_WRITER_ABANDONED
};

struct bs_h5_writer {
    struct bs_file *file;
    struct bs_space space;
    bs_mutex lock; /* guards `dirty` of every node; held for no I/O */
    struct bs_h5_node *root;
    struct bs_h5_node *identity_node;
    struct bs_h5_identity identity;      /* of the commit in force */
    struct bs_h5_identity next_identity; /* of the prepared one */
    bool closed;                         /* what the next ones say */
    bool plain; /* a file of one commit, without /.basalt: no identity, no room behind its end */
    struct bs_pipeline_shared *pipelines;
    struct bs_plan plan;
    enum bs_writer_state state;
    bool compacting;                         /* the next commit's blocks go as low as they can */
    bool is_new;                             /* no commit yet: the first block is not written */
    uint8_t current[BS_H5_SUPERBLOCK_BYTES]; /* in force; zeros if is_new */
    uint8_t next[BS_H5_SUPERBLOCK_BYTES];
};

/* One copy for all columns that have it. */
BS_MUST_USE basalt_status bs_writer_pipeline(struct bs_h5_writer *writer,
    const struct bs_pipeline *pipeline, const struct bs_pipeline **out_shared, basalt_error *err);
/* Everything below `node` and itself is given up. */
BS_MUST_USE basalt_status bs_node_give_up(struct bs_h5_node *node, basalt_error *err);
/* Adds the extents of a column's chunks, strings and index, as far as they are in the file. */
BS_MUST_USE basalt_status bs_column_extents(
    struct bs_h5_node *node, struct bs_extents *out, basalt_error *err);
/* The tree of the file at the root that `h5` shows. */
BS_MUST_USE basalt_status bs_writer_load(
    struct bs_h5_writer *writer, struct bs_h5_file *h5, basalt_error *err);
/* What the root does not reach; nothing, if not all that it reaches can be listed. */
BS_MUST_USE basalt_status bs_writer_find_free(
    struct bs_h5_writer *writer, struct bs_h5_file *h5, basalt_error *err);

#endif
