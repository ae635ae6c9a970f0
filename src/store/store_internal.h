/* store_internal.h - what the files of this floor share.
 *
 * WHO HOLDS WHAT
 *   commit_lock   short; nothing waits inside but on its own conditions, no file is touched but by
 *                 the copy into the log. Guards what is marked (C).
 *   roots_lock    the list of roots; innermost.
 *   checkpointer  one thread at a time is "the checkpointer": the opening thread until the
 *                 checkpoint thread starts, that thread, then the closing thread. What is marked (K)
 *                 is its own.
 *   readers       take no lock: a view by bs_published_take, then `visible`; lists grow only at
 *                 their ends, by a release store of `next`. */
#ifndef BS_STORE_INTERNAL_H
#define BS_STORE_INTERNAL_H

#include "h5/h5.h"
#include "store/store.h"
#include "wal/wal.h"

#define BS_FORMAT_VERSION 1u
#define BS_FAMILY_BUCKETS 4096u /* powers of two */
#define BS_PART_BUCKETS 256u
#define BS_LOCK_WRITER ((uint64_t)(((uint64_t)1 << 62) - 1)) /* byte of the data file */
#define BS_LOCK_BACKUP (BS_LOCK_WRITER - 1) /* the copy that a backup makes, until it is in place */
#define BS_CHUNK_ROWS_SMALL ((uint64_t)8192)
#define BS_CHUNK_ROWS_LARGE ((uint64_t)131072)
#define BS_CHUNK_ROWS_MAX ((uint64_t)1 << 24)
#define BS_CHUNKS_BEFORE_GROWTH 64u
#define BS_FLIPS_REMEMBERED 64u
#define BS_READER_TRIES_MAX 100u

struct bs_family_file;
struct bs_part;

/* ---- operations: what a transaction is made of ---------------------------------------------- */

enum bs_op_kind { BS_OP_CREATE = 1, BS_OP_APPEND = 2, BS_OP_ATTRIBUTE = 3 };

/* One operation. Once committed it is a node of one list of its memtable, and immutable but for
 * `next`. */
struct bs_op {
    enum bs_op_kind kind;
    struct bs_family *family; /* ATTRIBUTE: NULL for the root */
    _Atomic(struct bs_op *) next;
    bs_lsn end;                       /* of its transaction: visible from there on */
    uint64_t first_row, rows;         /* APPEND */
    size_t record, offset, bytes;     /* APPEND: where the encoded batch lies in the record */
    size_t name_offset, value_offset; /* ATTRIBUTE: NUL-terminated, in the record */
    const uint8_t *block;             /* APPEND; resolved when the records no longer move */
    const char *name, *value;         /* ATTRIBUTE; likewise */
};

/* The memory of one transaction, handed over to the memtable when it commits. */
struct bs_bundle {
    struct bs_bundle *next;
    struct bs_bytes *records;
    size_t record_count, record_capacity;
    struct bs_op *ops;
    size_t op_count, op_capacity;
    uint64_t rows;
    uint64_t charged_bytes; /* taken from the budget */
};

void bs_bundle_free(struct bs_bundle *bundle, struct bs_budget *budget); /* NULL is fine */
BS_MUST_USE basalt_status bs_bundle_op(struct bs_bundle *bundle, enum bs_op_kind kind,
    struct bs_family *family, struct bs_op **out_op, basalt_error *err); /* lent until the next */
BS_MUST_USE basalt_status bs_bundle_record(struct bs_bundle *bundle, struct bs_bytes **out_record,
    basalt_error *err);                           /* a new one; lent until the next */
void bs_bundle_resolve(struct bs_bundle *bundle); /* sets block, name, value of every op */
uint64_t bs_bundle_memory(const struct bs_bundle *bundle);

/* ---- log records (record.c) ------------------------------------------------------------------ */

#define BS_RECORD_HEADER_BYTES ((size_t)16)

struct bs_record_creation {
    const char *name;
    const uint8_t *schema;
    size_t schema_bytes;
    int compression_level;
    uint64_t chunk_rows;
    bool row_index;
    uint64_t created_wall_ns;
};
struct bs_record_op { /* lent: points into the record */
    enum bs_op_kind kind;
    uint32_t family_id;
    uint64_t first_row, rows;
    const uint8_t *block;
    size_t block_bytes;
    const char *name, *value;
    struct bs_record_creation creation;
};

void bs_record_begin(struct bs_bytes *record);
/* Opens an operation; its body follows; then bs_record_op_end with the same `at`. */
size_t bs_record_op_begin(struct bs_bytes *record, enum bs_op_kind kind, uint32_t family_id);
void bs_record_op_end(struct bs_bytes *record, size_t at);
void bs_record_creation_put(
    struct bs_bytes *record, uint32_t family_id, const struct bs_record_creation *creation);
/* Offsets of the two texts in the record. */
void bs_record_attribute_put(struct bs_bytes *record, uint32_t family_id, const char *name,
    const char *value, size_t *out_name_offset, size_t *out_value_offset);
/* Fills in the header and makes room for `appends` row numbers at the end. */
void bs_record_finish(struct bs_bytes *record, uint32_t operations, uint32_t appends);
void bs_record_set_first_row(
    struct bs_bytes *record, uint32_t appends, uint32_t index, uint64_t first_row);

typedef basalt_status (*bs_record_fn)(
    void *context, const struct bs_record_op *op, basalt_error *err);
BS_MUST_USE basalt_status bs_record_each(
    const void *bytes, size_t count, bs_record_fn each, void *context, basalt_error *err);

/* ---- families (catalogue.c) ------------------------------------------------------------------ */

struct bs_name_node {
    struct bs_name_node *next;
    char name[];
};
struct bs_name_set { /* attribute names, so that there is a limit; (C) */
    struct bs_name_node *first;
    size_t count;
};
bool bs_name_set_has(const struct bs_name_set *set, const char *name);
BS_MUST_USE basalt_status bs_name_set_add(
    struct bs_name_set *set, const char *name, basalt_error *err);
void bs_name_set_free(struct bs_name_set *set);

/* Lives as long as the store, once it is in the catalogue. */
struct bs_family {
    _Atomic(struct bs_family *) next; /* in order of creation */
    struct bs_family *hash_next;      /* set before it is found */
    char *name;
    uint32_t id; /* from 1; never reused */
    struct bs_schema *schema;
    int compression_level;
    uint64_t chunk_rows; /* as asked; 0: grows by itself */
    bool row_index;
    uint64_t created_wall_ns;
    bs_lsn created;      /* exists from this position on; 0: in the file at open */
    char *fault;         /* why its rows can't be used, or NULL; set at open only */
    bool has_statistics; /* (K) once open: there is such a dataset in the file */

    uint64_t next_row;             /* (C) */
    struct bs_part *part;          /* (C) in the memtable of this number; of an older one it */
    uint64_t part_memtable;        /* (C) may be gone, so the number is looked at first */
    struct bs_name_set attributes; /* (C) the user's */

    _Atomic uint64_t file_commit; /* the flip that last changed file_rows; set first */
    _Atomic uint64_t file_rows;
    _Atomic uint64_t chunk_rows_now;

    struct bs_family_file *file; /* (K) */
    bool raw_tails;              /* (K) a clean close has something to filter */
};

BS_MUST_USE basalt_status bs_family_new(const char *name, uint32_t id, struct bs_schema *schema,
    const basalt_family_options *options, struct bs_family **out_family, basalt_error *err);
void bs_family_free(struct bs_family *family); /* NULL is fine */
/* Of a family that is new: the attributes that it gets by itself count too. */
BS_MUST_USE basalt_status bs_family_count_natural(struct bs_family *family, basalt_error *err);
uint32_t bs_family_width_max(const struct bs_schema *schema); /* bytes of the widest value */
uint64_t bs_family_chunk_rows_first(const struct bs_family *family);
uint64_t bs_family_chunk_rows_grown(const struct bs_family *family);
BS_MUST_USE basalt_status bs_check_name(const char *name, const char *what, basalt_error *err);

struct bs_catalogue {
    _Atomic(struct bs_family *) first;
    struct bs_family *last; /* (C) */
    _Atomic(struct bs_family *) buckets[BS_FAMILY_BUCKETS];
    _Atomic uint64_t count;
    _Atomic uint32_t id_next;
};
/* Attributes that describe the layout and are not the user's. */
bool bs_attribute_is_layout(const char *name);
struct bs_family *bs_catalogue_find(struct bs_catalogue *catalogue, const char *name);
void bs_catalogue_add(struct bs_catalogue *catalogue, struct bs_family *family);
void bs_catalogue_free(struct bs_catalogue *catalogue);
/* Finds every family of the file; `into` must be empty. The user's attributes of the root go into
 * `root_attributes`. */
BS_MUST_USE basalt_status bs_catalogue_load(struct bs_h5_file *h5, struct bs_catalogue *into,
    struct bs_name_set *root_attributes, basalt_error *err);

/* ---- memtable (memtable.c) ------------------------------------------------------------------- */

struct bs_part { /* rows of one family in one memtable */
    struct bs_part *hash_next;
    _Atomic(struct bs_part *) next;
    struct bs_family *family;
    uint64_t first_row;
    _Atomic(struct bs_op *) first;
    struct bs_op *last; /* (C) */
};

struct bs_op_list {
    _Atomic(struct bs_op *) first;
    struct bs_op *last; /* (C) */
};

struct bs_memtable {
    struct bs_shared shared;
    struct bs_budget *budget;
    uint64_t number;           /* from 1; no two of a store have the same */
    struct bs_bundle *bundles; /* (C) owned */
    _Atomic(struct bs_part *) buckets[BS_PART_BUCKETS];
    _Atomic(struct bs_part *) parts;
    struct bs_part *last_part; /* (C) */
    struct bs_op_list attributes, creations;
    _Atomic uint64_t bytes;
    _Atomic bs_lsn sealed; /* what is behind this is in a younger memtable */
    bs_lsn last_end;       /* (C) end of the last transaction in it; 0: empty */
    uint64_t oldest_ns;    /* (C) when its first transaction came */
};

BS_MUST_USE basalt_status bs_memtable_create(struct bs_budget *budget, uint64_t number,
    struct bs_memtable **out_memtable, basalt_error *err);
void bs_memtable_release(struct bs_memtable *memtable); /* NULL is fine */
struct bs_part *bs_memtable_part(struct bs_memtable *memtable, const struct bs_family *family);
/* Makes family->part one of `memtable`. */
BS_MUST_USE basalt_status bs_memtable_touch(
    struct bs_memtable *memtable, struct bs_family *family, basalt_error *err);
/* Takes the bundle over; its rows are numbered, its families touched. Cannot fail. */
void bs_memtable_insert(struct bs_memtable *memtable, struct bs_bundle *bundle, bs_lsn end);
struct bs_op *bs_op_next(const struct bs_op *op, bs_lsn position); /* NULL: none at `position` */
struct bs_op *bs_op_first(const _Atomic(struct bs_op *) *first, bs_lsn position);

/* ---- views and snapshots (view.c) ------------------------------------------------------------- */

struct bs_root { /* one checkpoint of the file, as readers use it */
    struct bs_shared shared;
    struct bs_store *store;
    struct bs_root *older, *younger; /* roots_lock */
    struct bs_h5_file *h5;
    uint64_t commit;
    bs_lsn cut;
};
struct bs_view {
    struct bs_shared shared;
    struct bs_root *root;
    struct bs_memtable *frozen; /* or NULL: behind root->cut */
    struct bs_memtable *active; /* behind `frozen` */
};
struct bs_snapshot {
    struct bs_store *store;
    struct bs_view *view;
    bs_lsn position;
};

/* Takes over `h5`, also on failure. */
BS_MUST_USE basalt_status bs_root_create(struct bs_store *store, struct bs_h5_file *h5,
    uint64_t commit, bs_lsn cut, struct bs_root **out_root, basalt_error *err);
/* Retains what it gets. */
BS_MUST_USE basalt_status bs_view_create(struct bs_root *root, struct bs_memtable *frozen,
    struct bs_memtable *active, struct bs_view **out_view, basalt_error *err);
struct bs_view *bs_view_current(struct bs_store *store); /* retained */
void bs_view_take(struct bs_store *store, struct bs_view **out_view, bs_lsn *out_position);
void bs_view_release(struct bs_view *view);
uint64_t bs_roots_oldest(struct bs_store *store); /* commit of the oldest root that is in use */
/* NOT_FOUND if the family does not exist at `position`. */
BS_MUST_USE basalt_status bs_view_family(struct bs_store *store, bs_lsn position, const char *name,
    struct bs_family **out_family, basalt_error *err);
BS_MUST_USE basalt_status bs_view_rows(struct bs_view *view, bs_lsn position,
    struct bs_family *family, uint64_t *out_rows, basalt_error *err);

/* ---- families in the file (family_file.c, family_write.c, family_read.c) ----------------------- */

enum bs_form {
    BS_FORM_PLAIN, /* one dataset; if the field is nullable, validity in .basalt from the first
                       * null on */
    BS_FORM_MASKED /* group {values, mask}: nullable integers and booleans */
};
enum bs_form bs_field_form(const struct bs_field *field);
bool bs_link_taken(char *const *links, size_t count, const char *link);
BS_MUST_USE basalt_status bs_field_type(
    const struct bs_field *field, struct bs_h5_type **out_type, basalt_error *err);

struct bs_scratch_pool { /* compressor memory for as many threads as ask */
    bs_mutex lock;
    struct bs_codec_scratch **idle;
    size_t count, capacity;
};
void bs_scratch_pool_init(struct bs_scratch_pool *pool);
void bs_scratch_pool_destroy(struct bs_scratch_pool *pool);
BS_MUST_USE basalt_status bs_scratch_take(
    struct bs_scratch_pool *pool, struct bs_codec_scratch **out_scratch, basalt_error *err);
void bs_scratch_give(struct bs_scratch_pool *pool, struct bs_codec_scratch *scratch);

struct bs_statistics_record {
    uint32_t column;
    uint64_t first_row, address, stored_bytes;
    struct bs_chunk_statistics values;
};
struct bs_tally {       /* of a column that is being written */
    uint64_t first_row; /* of the rows in `running`, which end where the column ends */
    struct bs_chunk_statistics running; /* of its last, growing chunk */
    struct bs_statistics_record *done;  /* of chunks that are full; not in the file yet */
    size_t done_count, done_capacity;
};
struct bs_column_file {
    struct bs_h5_node *values;
    struct bs_h5_node *mask; /* MASKED: the dataset `mask`; PLAIN: validity, once there is one */
    struct bs_tally tally;
};
struct bs_family_file {
    struct bs_h5_node *group, *own; /* own: .basalt */
    struct bs_h5_node *index;       /* row numbers, or NULL */
    size_t column_count;
    struct bs_column_file *columns;
    char **links;
    uint64_t rows;
    struct bs_h5_node *statistics; /* NULL: not sought yet */
};
struct bs_file_work { /* what writing a family needs */
    struct bs_h5_writer *writer;
    struct bs_h5_file *committed; /* the last root */
    struct bs_sched *sched;
    struct bs_scratch_pool *scratches;
};
BS_MUST_USE basalt_status bs_family_file_create(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err);
BS_MUST_USE basalt_status bs_family_file_open(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err);
void bs_family_file_free(struct bs_family_file *file); /* NULL is fine */
/* Makes the validity dataset of a column that meets its first null. */
BS_MUST_USE basalt_status bs_family_file_validity(const struct bs_file_work *work,
    const struct bs_family *family, size_t field, basalt_error *err);
/* Appends the rows of a part up to `cut`. */
BS_MUST_USE basalt_status bs_family_file_append(const struct bs_file_work *work,
    struct bs_family *family, const struct bs_part *part, bs_lsn cut, basalt_error *err);
BS_MUST_USE basalt_status bs_family_file_grow(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err);
BS_MUST_USE basalt_status bs_family_file_finish(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err);

/* Where the columns of a family lie in one root (family_links.c). */
struct bs_link_at;
struct bs_link_list { /* hard links of a group, by name */
    struct bs_link_at *links;
    size_t count, capacity;
};
struct bs_family_links {
    struct bs_h5_file *h5;
    struct bs_h5_object *group, *hidden; /* hidden: its ".basalt", or NULL: not looked for */
    struct bs_link_list columns, validities;
};
/* For somebody who wants so many columns of it. */
BS_MUST_USE basalt_status bs_family_links_open(struct bs_h5_file *h5,
    const struct bs_family *family, size_t columns, struct bs_family_links *out_links,
    basalt_error *err);
void bs_family_links_close(struct bs_family_links *links); /* zeroed is fine */
/* `part`: "values" or "mask" of a column that is a group; else NULL. */
BS_MUST_USE basalt_status bs_family_links_column(const struct bs_family_links *links,
    const char *link, const char *part, struct bs_h5_object **out_object, basalt_error *err);
BS_MUST_USE basalt_status bs_family_links_validity(const struct bs_family_links *links,
    const char *link, struct bs_h5_object **out_object, basalt_error *err); /* or NOT_FOUND */

struct bs_column_reader { /* one column of one root; one thread at a time */
    struct bs_h5_file *h5;
    const struct bs_family_links *links; /* lent while it is being opened */
    const struct bs_field *field;
    struct bs_h5_object *values, *mask;
    uint64_t mask_rows;
    bool mask_means_missing;
    uint8_t *buffer; /* text references, mask bytes */
    size_t buffer_bytes;
};
BS_MUST_USE basalt_status bs_column_reader_open(struct bs_h5_file *h5,
    const struct bs_family_links *links, const struct bs_family *family, size_t field,
    const char *link, uint64_t rows, struct bs_column_reader *out_reader, basalt_error *err);
void bs_column_reader_close(struct bs_column_reader *reader);
/* Appends rows [first, first + count) as rows [at, ..) of field `to` of the array being built. */
BS_MUST_USE basalt_status bs_column_reader_read(struct bs_column_reader *reader, uint64_t first,
    uint64_t count, struct bs_array_builder *builder, size_t to, uint64_t at, basalt_error *err);
/* "/<family>" as a path of the file; bs_free it. */
BS_MUST_USE basalt_status bs_family_path(
    const char *name, const char *below, char **out_path, basalt_error *err);
/* Rows of the family as the file says. */
BS_MUST_USE basalt_status bs_family_file_rows(
    struct bs_h5_file *h5, const struct bs_family *family, uint64_t *out_rows, basalt_error *err);

/* ---- statistics of chunks (statistics.c) ------------------------------------------------------- */

#define BS_STATISTICS_NAME "statistics" /* in a family's .basalt */
#define BS_STATISTICS_RECORD_BYTES ((size_t)72)
#define BS_STATISTICS_CHUNK_ROWS ((uint64_t)512)

struct bs_h5_type *bs_statistics_type(void); /* NULL if no memory */
void bs_statistics_encode(
    const struct bs_statistics_record *record, uint8_t out[BS_STATISTICS_RECORD_BYTES]);
/* False: it is none. */
bool bs_statistics_decode(
    const uint8_t bytes[BS_STATISTICS_RECORD_BYTES], struct bs_statistics_record *out_record);
typedef basalt_status (*bs_statistics_fn)(
    void *context, const struct bs_statistics_record *record, basalt_error *err);
/* The records of all columns, in the order of the file, if they are to be trusted. What is damaged is
 * passed over. */
BS_MUST_USE basalt_status bs_statistics_each(struct bs_h5_file *h5, const struct bs_h5_object *own,
    bs_statistics_fn each, void *context, basalt_error *err);

/* Would they be used? */
BS_MUST_USE basalt_status bs_statistics_trusted(
    struct bs_h5_file *h5, const struct bs_h5_object *own, bool *out_trusted, basalt_error *err);
/* As bs_statistics_open, of columns [first, first + count), whose fields these are. */
BS_MUST_USE basalt_status bs_statistics_load(struct bs_h5_file *h5, const struct bs_h5_object *own,
    const struct bs_field *fields, size_t first, size_t count,
    struct bs_statistics **out_statistics, basalt_error *err);
bool bs_statistics_find_of(const struct bs_statistics *statistics, size_t column,
    uint64_t first_row, uint64_t rows, uint64_t address, uint64_t stored_bytes,
    struct bs_chunk_statistics *out_found);

/* statistics_tally.c */
/* Adds rows: `values` of fixed width as they lie in a batch or in a chunk, not looked at in a field without
 * bounds; row i is there if bit first + i of `validity` (NULL: all are) is set. */
void bs_statistics_add(struct bs_chunk_statistics *into, const struct bs_field *field,
    const uint8_t *values, const uint8_t *validity, uint64_t first, uint64_t count);
void bs_statistics_merge(struct bs_chunk_statistics *into, const struct bs_chunk_statistics *from);
BS_MUST_USE basalt_status bs_statistics_of_rows(struct bs_column_reader *reader, uint64_t first,
    uint64_t count, struct bs_chunk_statistics *out, basalt_error *err);
void bs_tally_begin(struct bs_tally *tally, uint64_t row);
void bs_tally_free(struct bs_tally *tally);
BS_MUST_USE basalt_status bs_tally_put(struct bs_tally *tally, size_t column,
    const struct bs_h5_full_chunk *chunk, const struct bs_chunk_statistics *values,
    basalt_error *err);
/* The chunk has all rows up to the end of the tally; what it had before that is read through `links`,
 * which may be NULL: then nothing is said of such a chunk. */
BS_MUST_USE basalt_status bs_tally_end_chunk(const struct bs_family *family, size_t column,
    const struct bs_family_links *links, const struct bs_h5_full_chunk *chunk, basalt_error *err);

/* statistics_write.c: as the checkpointer, before a flip */
/* What tallies have ready goes into the family's dataset, which is made anew if that in the file is not
 * to be trusted. */
BS_MUST_USE basalt_status bs_statistics_flush(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err);
/* All chunks of the family are about to change. */
BS_MUST_USE basalt_status bs_statistics_drop(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err);
/* At a clean close: the dataset's own tail, and records that are of no chunk any more. */
BS_MUST_USE basalt_status bs_statistics_finish(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err);
/* All that the last root has of the family, from its rows. */
BS_MUST_USE basalt_status bs_statistics_rebuild(const struct bs_file_work *work,
    struct bs_family *family, uint64_t *out_records, basalt_error *err);
struct bs_moves { /* chunks that bs_h5_compact has moved */
    struct bs_h5_moved_chunk *items;
    size_t count, capacity;
};
BS_MUST_USE basalt_status bs_moves_add(
    void *moves, const struct bs_h5_moved_chunk *chunk, basalt_error *err); /* a bs_h5_moved_fn */
/* What the last root says of chunks that have moved is said of where they are now. */
BS_MUST_USE basalt_status bs_statistics_follow(struct bs_store *store,
    const struct bs_file_work *work, struct bs_moves *moves, basalt_error *err);

/* statistics_check.c */
BS_MUST_USE basalt_status bs_family_own(struct bs_h5_file *h5, const struct bs_family *family,
    struct bs_h5_object **out_own, basalt_error *err); /* the group .basalt of the family */
typedef void (*bs_statistics_finding_fn)(void *context, const char *sentence);
/* A sentence for every chunk that is not what its record says. */
BS_MUST_USE basalt_status bs_statistics_verify(struct bs_h5_file *h5,
    const struct bs_family *family, bs_statistics_finding_fn finding, void *context,
    basalt_error *err);
/* Appends an encoded record of every chunk that is stored, the last one as it is now. */
BS_MUST_USE basalt_status bs_statistics_compute(struct bs_h5_file *h5,
    const struct bs_family *family, struct bs_bytes *records, basalt_error *err);

/* ---- locks (lock.c) --------------------------------------------------------------------------- */

void bs_holder_text(struct bs_vfs *vfs, char out[BS_WAL_HOLDER_BYTES]);
/* What the log of whoever writes `path` says of him, by whatever name of the same directory he opened
 * it; "" if nothing does. */
void bs_lock_holder(struct bs_vfs *vfs, const char *path, char out[BS_WAL_HOLDER_BYTES]);
/* Opens `path` for writing and takes the writer's locks. */
BS_MUST_USE basalt_status bs_lock_open(struct bs_store *store, basalt_error *err);
BS_MUST_USE basalt_status bs_lock_take(struct bs_store *store, basalt_error *err);
BS_MUST_USE basalt_status bs_lock_check_path(struct bs_store *store, basalt_error *err);
void bs_lock_protect(struct bs_store *store); /* failing is a warning: counted */
/* Before the log goes: only beside a log is a file without write permission known as ours. */
BS_MUST_USE basalt_status bs_lock_unprotect(struct bs_store *store, basalt_error *err);

/* ---- do file and log belong together? (story.c) ------------------------------------------------ */

enum bs_mark {     /* what the root in force says */
    BS_MARK_NONE,  /* written before there was a mark */
    BS_MARK_OPEN,  /* rows may be in the log alone */
    BS_MARK_CLOSED /* the file is all there is */
};
enum bs_bond {
    BS_BOND_NONE, /* no log with a story, and none is missed */
    BS_BOND_FITS,
    BS_BOND_MISSING,  /* the file was not closed, and there is no log */
    BS_BOND_STRANGER, /* the log is of another store */
    BS_BOND_PARTED    /* the file has a superblock that the log does not know */
};
struct bs_bond_file {
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES]; /* as read; zeros where the file ends */
    uint64_t bytes;                             /* size of the file */
    const uint8_t *uuid;                        /* of the store; NULL: not known */
    bool open;                                  /* BS_MARK_OPEN */
};
enum bs_mark bs_mark_of(const struct bs_h5_identity *identity);
/* No log is a success with zeros. */
BS_MUST_USE basalt_status bs_log_look(
    struct bs_vfs *vfs, const char *path, struct bs_wal_inventory *out_log, basalt_error *err);
enum bs_bond bs_bond_of(const struct bs_bond_file *file, const struct bs_wal_inventory *log);
/* Looks at the log, more than once if they do not belong together. If the file's superblock has moved
 * after that, the answer is void. */
BS_MUST_USE basalt_status bs_bond_look(struct bs_vfs *vfs, const char *path,
    const struct bs_bond_file *file, struct bs_wal_inventory *out_log, enum bs_bond *out_bond,
    basalt_error *err);
/* OK, or CONFLICT and what to do. */
BS_MUST_USE basalt_status bs_bond_fail(enum bs_bond bond, const char *path, basalt_error *err);
/* May a file of this size have had one of the two superblocks, torn now? */
bool bs_story_allows_torn(const struct bs_wal_story *story, uint64_t file_bytes);

/* ---- the store ---------------------------------------------------------------------------------*/

struct bs_pending { /* a sync commit that is not known to be durable; on its thread's stack */
    struct bs_pending *next;
    bs_lsn start, end;
    uint64_t rows_before;
};
struct bs_flip_time {
    uint64_t commit, at_ns;
};

struct bs_pace {
    uint64_t frozen_at_ns; /* when the memtable that is being written was frozen */
    uint64_t ns_per_mib;   /* of the last checkpoint with at least a MiB; 0: none yet */
    uint64_t debt_ns;      /* delays too short to sleep, until they are not */
    bool pressed;          /* somebody was slowed since the last freeze */
};

struct bs_store {
    struct bs_env_parts parts;
    basalt_store_options options;
    char *application;
    char *path, *directory;
    bool read_only;
    uint64_t process_id;
    struct bs_file *file;
    uint64_t device, inode;
    bool locked;               /* the writer's lock is held */
    uint32_t mode_before;      /* permission bits before protect; 0: not changed */
    _Atomic uint64_t warnings; /* things that went wrong and harmed nothing */
    uint8_t uuid[16];
    struct bs_wal_writer *wal;
    size_t record_bytes_max;

    struct bs_catalogue catalogue;
    struct bs_name_set root_attributes; /* (C) */

    bs_mutex commit_lock;
    bs_condition visible_changed, room, work, done; /* all with commit_lock */
    struct bs_memtable *active;                     /* (C) */
    struct bs_memtable *frozen;                     /* (C) for writing; (K) may read it */
    uint64_t memtables_made;                        /* (K) */
    bs_lsn appended;                                /* (C) */
    bs_lsn visible_max;     /* (C) start of the first sync commit that failed */
    uint64_t rows_appended; /* (C) all families */
    struct bs_pending *pending_first, *pending_last; /* (C) */
    basalt_error poison;                             /* (C) status OK while healthy */
    bool closing;                                    /* (C) */
    uint64_t requested, completed;    /* (C) checkpoints asked for, and those that have ended */
    basalt_error checkpoint_error;    /* (C) of the last one */
    uint64_t checkpoint_failures;     /* (C) */
    uint64_t checkpoint_failed_at_ns; /* (C) */
    bool stop;                        /* (C) */
    struct bs_pace pace;              /* (C) */
    struct bs_thread *thread;

    _Atomic bs_lsn visible;
    _Atomic uint64_t rows_visible;
    struct bs_published view;
    bs_mutex roots_lock;
    struct bs_root *roots_oldest, *roots_youngest;
    _Atomic uint64_t handles; /* snapshots, scans, transactions */

    struct bs_h5_writer *writer; /* (K) NULL after a failed attempt: opened again */
    struct bs_scratch_pool scratches;
    uint64_t commit;               /* (K) of the last flip */
    _Atomic uint64_t commit_shown; /* the same, for the stats */
    _Atomic bs_lsn cut;
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES]; /* (K) */
    _Atomic int mark;                           /* enum bs_mark of that root; (K) sets it */
    bool finishing;     /* (K) no record comes after the next flip: it says "closed" */
    bool open_wanted;   /* (C) a commit waits for BS_MARK_OPEN */
    bool without_log;   /* open it though its log is missing; constant */
    bool tails_pending; /* (K) some family has raw tails */
    bool old_log;       /* (K) segments of an older epoch lie there until the cut is behind them */
    bs_lsn recovered_end;                           /* where they end; constant once open */
    struct bs_flip_time flips[BS_FLIPS_REMEMBERED]; /* (K) */
    _Atomic bool readers_known;

    _Atomic uint64_t batches, bytes, commits, checkpoints, checkpoint_last_ns, checkpoint_max_ns,
        stalls, stall_max_ns, file_bytes, live_bytes, free_bytes, retired_bytes;

    uint64_t *rebuilt_chunks; /* unless NULL: a clean close finds all statistics anew, and counts */
    basalt_recovery recovery; /* what opening did */
};

BS_MUST_USE basalt_status bs_store_check(struct bs_store *store, bool writing, basalt_error *err);
/* story.c. Before the first record: the file says, durably, that it is not closed. */
BS_MUST_USE basalt_status bs_store_mark_open(struct bs_store *store, basalt_error *err);
/* store.c: bs_store_open, for who knows that the log is lost. */
BS_MUST_USE basalt_status bs_store_open_without_log(const struct bs_env_parts *parts,
    const char *path, const basalt_store_options *options, struct bs_store **out_store,
    basalt_error *err);
/* Under commit_lock. The first call stays. */
void bs_store_poison(struct bs_store *store, const basalt_error *why);
BS_MUST_USE basalt_status bs_store_fail_poisoned(const struct bs_store *store, basalt_error *err);
void bs_store_settle_pending(struct bs_store *store, bs_lsn durable); /* under commit_lock */
uint64_t bs_store_memtable_bytes(const struct bs_store *store);       /* under commit_lock */
void bs_store_note_stall(struct bs_store *store, uint64_t began_ns);
void bs_atomic_max(_Atomic uint64_t *at, uint64_t value);

/* store_parts.c: making and freeing the struct, shared by writers and readers. */
BS_MUST_USE basalt_status bs_store_new(const struct bs_env_parts *parts, const char *path,
    const basalt_store_options *options, struct bs_store **out_store, basalt_error *err);
void bs_store_free(struct bs_store *store); /* NULL is fine; half-built ones too */
/* Publishes the first view: `h5` is taken over. */
BS_MUST_USE basalt_status bs_store_first_view(struct bs_store *store, struct bs_h5_file *h5,
    const struct bs_h5_identity *identity, basalt_error *err);
BS_MUST_USE basalt_status bs_identity_check(
    const struct bs_h5_identity *identity, bool writing, const char *path, basalt_error *err);

/* txn.c */
struct bs_txn {
    struct bs_store *store;
    struct bs_bundle *bundle;
    struct bs_family **created; /* owned until they are in the catalogue */
    size_t created_count, created_capacity;
    struct bs_txn_fill {
        uint32_t operations, appends;
    } * fills; /* a record each */
    size_t fill_capacity;
};

/* pace.c: all with commit_lock */
/* How many bytes in the active memtable start a checkpoint. */
uint64_t bs_pace_threshold(const struct bs_store *store);
/* Must a commit wait? What recovery froze may be larger than a memtable and does not count. */
bool bs_pace_is_full(const struct bs_store *store);
/* A memtable was frozen; what is in one went into the file. */
void bs_pace_frozen(struct bs_store *store);
void bs_pace_note(struct bs_store *store, uint64_t bytes, uint64_t took_ns);
/* How long a commit of `bytes` is to sleep, without the lock, before it is placed; mostly 0. */
uint64_t bs_pace_delay_ns(struct bs_store *store, uint64_t bytes);

/* checkpoint.c */
/* As the checkpointer: everything committed before the call goes into the file. */
BS_MUST_USE basalt_status bs_checkpoint_run(
    struct bs_store *store, bool closing, basalt_error *err);
/* Flips to what the writer has, with this cut, and publishes the view of it. */
BS_MUST_USE basalt_status bs_checkpoint_show(struct bs_store *store, bs_lsn cut, basalt_error *err);
/* The statistics of all families, from their rows, in a flip of their own. Before a clean close ends. */
BS_MUST_USE basalt_status bs_checkpoint_rebuild(struct bs_store *store, basalt_error *err);
BS_MUST_USE basalt_status bs_checkpoint_start(struct bs_store *store, basalt_error *err);
void bs_checkpoint_stop(struct bs_store *store);
BS_MUST_USE basalt_status bs_checkpoint_request(struct bs_store *store, basalt_error *err);

/* file_flip.c: the commit point. */
BS_MUST_USE basalt_status bs_file_flip(
    struct bs_store *store, bs_lsn cut, struct bs_h5_file **out_h5, basalt_error *err);
void bs_file_reclaim(struct bs_store *store);
/* CONFLICT, and the store is poisoned, if the file on disk is not as the last flip left it. */
BS_MUST_USE basalt_status bs_file_check_ours(struct bs_store *store, basalt_error *err);
/* All that is retired, grace time or not, if it is known that nobody can be looking. */
bool bs_file_reclaim_at_close(struct bs_store *store);
void bs_file_note_open(struct bs_store *store); /* the grace time of what is free begins */
void bs_file_note_space(struct bs_store *store);

/* shrink.c: after the last checkpoint of a clean close. Fails only if the store is poisoned. */
BS_MUST_USE basalt_status bs_store_shrink(struct bs_store *store, basalt_error *err);

/* recovery.c */
BS_MUST_USE basalt_status bs_recovery_open(struct bs_store *store, basalt_error *err);
/* create.c */
BS_MUST_USE basalt_status bs_create_file(struct bs_store *store, basalt_error *err);
/* Removes what creations of this file that were killed have left. Failing is a warning: counted. */
void bs_create_clean_up(struct bs_store *store);
/* Of the files called `path`, `infix` and 16 digits, at most BS_LEFTOVERS_MAX: calls `remove`, which
 * removes one if it is a dead process's, and is false if that failed. How many times anything failed. */
#define BS_LEFTOVERS_MAX 16u
unsigned bs_leftovers_remove(
    struct bs_vfs *vfs, const char *path, const char *infix, bs_leftover_fn remove);
/* UNSUPPORTED for superblock versions that Basalt never wrote; says nothing about damage. */
BS_MUST_USE basalt_status bs_superblock_check_ours(
    const struct bs_store *store, const uint8_t *superblock, size_t count, basalt_error *err);
BS_MUST_USE basalt_status bs_superblock_choose(struct bs_store *store,
    const struct bs_wal_inventory *log, uint8_t out[BS_H5_SUPERBLOCK_BYTES], bool *out_restored,
    basalt_error *err);
/* As the checkpointer: what lies there of a dead session's log goes, if the file has its rows. */
BS_MUST_USE basalt_status bs_log_remove_old(struct bs_store *store, basalt_error *err);
/* Until what a dead session logged, and need not have synced, is in the file. */
BS_MUST_USE basalt_status bs_store_wait_recovered(struct bs_store *store, basalt_error *err);
/* replay.c: puts the transactions after `from` into the active memtable; `full`, unless NULL, is called
 * when that has `bytes_max`, or the budget has no more. */
typedef basalt_status (*bs_replay_full_fn)(struct bs_store *store, basalt_error *err);
BS_MUST_USE basalt_status bs_replay(struct bs_store *store, bs_lsn from, uint64_t bytes_max,
    bs_replay_full_fn full, bs_lsn *out_end, basalt_error *err);

/* reader.c */
BS_MUST_USE basalt_status bs_reader_open(struct bs_store *store, basalt_error *err);

#endif
