/* store.h - families, transactions, snapshots and checkpoints.   floor 7: may include h5, arrow, wal
 * and below
 *
 * The public functions of basalt/store.h, family.h, write.h and read.h, one for one: what those
 * headers promise holds here. What differs: the environment is given in parts, so that a store also
 * runs over the file systems of the tests; the arguments are taken to be there (api/ checks that),
 * but names and schemas are checked here; `options->env` is not looked at.
 *
 * Any thread may call on a store; a bs_txn serves one thread at a time. Life of a row: store_commit.c.
 * Views and snapshots: view.c. Checkpoint: checkpoint.c. After a crash: recovery.c. What a family is
 * in the file: family_file.c. What a log record holds: record.c. */
#ifndef BS_STORE_H
#define BS_STORE_H

#include "arrow/arrow.h"
#include "basalt/read.h"
#include "h5/h5.h"
#include "sched/sched.h"
#include "vfs/vfs.h"

#define BS_STORE_ATTRIBUTE_BYTES_MAX 64000 /* of a value */
#define BS_STORE_ATTRIBUTES_MAX 1000       /* set by the user on one family, or on the root */
#define BS_STORE_FAMILIES_MAX ((size_t)1 << 20)
/* A reader of the file at a commit holds a shared lock on this byte + the commit's number: the writer
 * does not reuse what that commit can see. */
#define BS_LOCK_PIN ((uint64_t)1 << 62)

/* All borrowed, and must outlive the store. */
struct bs_env_parts {
    struct bs_sched *sched; /* NULL: the checkpoint thread does all the work itself */
    struct bs_budget *budget;
    struct bs_vfs *vfs;
    const struct bs_filter_registry *filters; /* of the user, to read with; or NULL */
};

struct bs_store;
struct bs_txn;
struct bs_snapshot;

/* ---- open and close ------------------------------------------------------------------------ */

/* `options` NULL: all defaults. */
BS_MUST_USE basalt_status bs_store_open(const struct bs_env_parts *parts, const char *path,
    const basalt_store_options *options, struct bs_store **out_store, basalt_error *err);
/* BUSY leaves *store open; else it is gone and NULL, whatever the outcome. */
BS_MUST_USE basalt_status bs_store_close(struct bs_store **store, basalt_error *err);
/* BUSY while snapshots, scans or transactions are open. */
BS_MUST_USE basalt_status bs_store_may_close(struct bs_store *store, basalt_error *err);
/* As if the process had been killed: stops the threads and frees everything, moves no row, removes no
 * log, restores no permission. No snapshot or scan may be open. NULL is fine. */
void bs_store_abandon(struct bs_store *store);

/* Lends the resolved path, until close. */
const char *bs_store_path(const struct bs_store *store);

BS_MUST_USE basalt_status bs_store_checkpoint(struct bs_store *store, basalt_error *err);
BS_MUST_USE basalt_status bs_store_sync(struct bs_store *store, basalt_error *err);
BS_MUST_USE basalt_status bs_store_get_stats(
    struct bs_store *store, basalt_store_stats *out_stats, basalt_error *err);

/* ---- attributes ---------------------------------------------------------------------------- */

/* `family` NULL: the root. */
BS_MUST_USE basalt_status bs_store_set_attribute(struct bs_store *store, const char *family,
    const char *name, const char *value, basalt_error *err);
/* *out_value: bs_free it. */
BS_MUST_USE basalt_status bs_store_get_attribute(struct bs_store *store, const char *family,
    const char *name, char **out_value, basalt_error *err);
BS_MUST_USE basalt_status bs_store_each_attribute(struct bs_store *store, const char *family,
    basalt_attribute_fn each, void *context, basalt_error *err);

/* ---- families ------------------------------------------------------------------------------ */

BS_MUST_USE basalt_status bs_store_family_create(struct bs_store *store, const char *name,
    const struct ArrowSchema *schema, const basalt_family_options *options, basalt_error *err);
BS_MUST_USE basalt_status bs_store_family_schema(
    struct bs_store *store, const char *name, struct ArrowSchema *out_schema, basalt_error *err);
BS_MUST_USE basalt_status bs_store_each_family(
    struct bs_store *store, basalt_family_fn each, void *context, basalt_error *err);
BS_MUST_USE basalt_status bs_store_family_info(
    struct bs_store *store, const char *name, basalt_family_info *out_info, basalt_error *err);

/* ---- rows in ------------------------------------------------------------------------------- */

BS_MUST_USE basalt_status bs_store_append(struct bs_store *store, const char *family,
    const struct ArrowArray *array, const struct ArrowSchema *schema, basalt_durability durability,
    basalt_error *err);
BS_MUST_USE basalt_status bs_store_append_stream(struct bs_store *store, const char *family,
    struct ArrowArrayStream *stream, const basalt_family_options *options,
    basalt_durability durability, uint64_t *out_rows, basalt_error *err);

BS_MUST_USE basalt_status bs_txn_begin(
    struct bs_store *store, struct bs_txn **out_txn, basalt_error *err);
BS_MUST_USE basalt_status bs_txn_append(struct bs_txn *txn, const char *family,
    const struct ArrowArray *array, const struct ArrowSchema *schema, basalt_error *err);
/* Beyond the public calls, for the recorder: a family and attributes that appear with the rows of
 * the same transaction. EXISTS if the family is there already, or is made earlier in `txn`. If another
 * thread makes it before this commits, the commit is EXISTS and nothing happened. */
BS_MUST_USE basalt_status bs_txn_create_family(struct bs_txn *txn, const char *name,
    const struct ArrowSchema *schema, const basalt_family_options *options, basalt_error *err);
BS_MUST_USE basalt_status bs_txn_set_attribute(
    struct bs_txn *txn, const char *family, const char *name, const char *value, basalt_error *err);
/* Bytes that its rows take in the log so far. */
uint64_t bs_txn_bytes(const struct bs_txn *txn);
BS_MUST_USE basalt_status bs_txn_commit(
    struct bs_txn **txn, basalt_durability durability, basalt_error *err);
void bs_txn_rollback(struct bs_txn **txn); /* NULL is fine */

/* ---- rows out ------------------------------------------------------------------------------ */

BS_MUST_USE basalt_status bs_snapshot_create(
    struct bs_store *store, struct bs_snapshot **out_snapshot, basalt_error *err);
void bs_snapshot_close(struct bs_snapshot **snapshot); /* NULL is fine */
const struct bs_store *bs_snapshot_store(const struct bs_snapshot *snapshot);
BS_MUST_USE basalt_status bs_snapshot_rows(
    struct bs_snapshot *snapshot, const char *family, uint64_t *out_rows, basalt_error *err);
BS_MUST_USE basalt_status bs_store_scan(struct bs_store *store, struct bs_snapshot *snapshot,
    const char *family, const basalt_scan_options *options, struct ArrowArrayStream *out_stream,
    basalt_error *err);

/* ---- care of files that are not open here --------------------------------------------------- */

BS_MUST_USE basalt_status bs_store_inspect(
    struct bs_vfs *vfs, const char *path, basalt_inspection *out_inspection, basalt_error *err);
BS_MUST_USE basalt_status bs_store_recover(const struct bs_env_parts *parts, const char *path,
    bool without_log, basalt_recovery *out_recovery, basalt_error *err);
BS_MUST_USE basalt_status bs_store_verify(const struct bs_env_parts *parts, const char *path,
    basalt_finding_fn finding, basalt_progress_fn progress, void *context, uint64_t *out_faults,
    basalt_error *err);
BS_MUST_USE basalt_status bs_store_rebuild_statistics(
    const struct bs_env_parts *parts, const char *path, uint64_t *out_chunks, basalt_error *err);
BS_MUST_USE basalt_status bs_store_backup(const struct bs_env_parts *parts, const char *path,
    const char *destination, basalt_progress_fn progress, void *context, basalt_error *err);

/* Defaults of the public option structs, and the members that a caller compiled against an older
 * header did not have. `options` NULL: all defaults. */
void bs_store_options_fill(basalt_store_options *out_filled, const basalt_store_options *options);
void bs_family_options_fill(
    basalt_family_options *out_filled, const basalt_family_options *options);
void bs_scan_options_fill(basalt_scan_options *out_filled, const basalt_scan_options *options);

/* ---- names in the file (escape.c), for every reader of a Basalt family ------------------------ */

/* The HDF5 link name of a column or family called `name`: '/' is %2F, a leading '.' is %2E, NUL is
 * %00, '%' is %25, '#' is %23; the k-th (k >= 2) column of the same name ends in "#k"; the
 * empty name is "#empty", `repeat` is 1 for the first of its name. Appended to `out`, no NUL. */
void bs_name_escape(const char *name, size_t count, uint64_t repeat, struct bs_bytes *out);
/* Undoes it; appended to `out`, no NUL. BAD_ARGUMENT if `link` is not the escape of any name. */
BS_MUST_USE basalt_status bs_name_unescape(
    const char *link, struct bs_bytes *out, uint64_t *out_repeat, basalt_error *err);
/* The links of a family's columns, one a field of its schema, in one pass. bs_links_free. */
BS_MUST_USE basalt_status bs_links_create(
    const struct bs_schema *schema, char ***out_links, basalt_error *err);
void bs_links_free(char **links, size_t count); /* NULL is fine */

/* ---- statistics of chunks (statistics.c), for every reader of a Basalt family ------------------ */

enum bs_bounds_kind {     /* by the column's field alone; the numbers are in the file */
    BS_BOUNDS_NONE = 0,   /* text, binary, fixed-size binary */
    BS_BOUNDS_SIGNED = 1, /* signed integers; date, time, timestamp, duration as they are stored */
    BS_BOUNDS_UNSIGNED = 2, /* unsigned integers; bool as 0 and 1 */
    BS_BOUNDS_FLOAT = 3     /* half and float widened to double */
};
union bs_bound {
    int64_t i;
    uint64_t u;
    double f;
};
struct bs_chunk_statistics {
    uint64_t rows;       /* that the chunk has of the column */
    uint64_t null_count; /* missing among them */
    enum bs_bounds_kind kind;
    bool has_nan; /* FLOAT: a value that is not missing is NaN. It is in no bound */
    bool
        has_bounds; /* false: none of the values can be compared (all missing or NaN), or kind NONE */
    union bs_bound min, max; /* of what is neither missing nor NaN; both are values of the chunk */
    uint32_t crc32c;         /* of its stored bytes when this was written */
};
enum bs_bounds_kind bs_bounds_kind_of(const struct bs_field *field);

/* What the file says of the chunks of one column. Immutable: any thread, no reference to `h5`. */
struct bs_statistics;
/* `own`: the group ".basalt" of the family in `h5`; `column`: index of `field` in the family's schema.
 * *out_statistics is NULL, and that is a success, if there are none or they are not to be trusted:
 * another program, or a Basalt that does not keep them, wrote to the file since; damaged; too many.
 * Fails with NO_MEMORY, IO_ERROR. Reads the records of all columns once (72 bytes a chunk of data,
 * before compression), keeps those of this one (about 80 bytes each, at most BS_STATISTICS_KEPT_MAX).
 * An edit in place by another program that changes neither size nor place of a chunk can't be seen
 * here: verify finds it. */
#define BS_STATISTICS_RECORDS_MAX ((uint64_t)1 << 22)
#define BS_STATISTICS_KEPT_MAX ((size_t)1 << 20)
BS_MUST_USE basalt_status bs_statistics_open(struct bs_h5_file *h5, const struct bs_h5_object *own,
    size_t column, const struct bs_field *field, struct bs_statistics **out_statistics,
    basalt_error *err);
void bs_statistics_free(struct bs_statistics *statistics); /* NULL is fine */
/* Of the chunk of the column's values (of a nullable integer or bool: of `values`, not of `mask`) that
 * begins at `first_row`, has `rows` rows of the dataset (fewer than a chunk's at the end), and lies at
 * `address` with `stored_bytes`, as bs_h5_chunks_each gives them. False: nothing is known of it, as
 * of the last, growing chunk. `statistics` NULL is fine. */
bool bs_statistics_find(const struct bs_statistics *statistics, uint64_t first_row, uint64_t rows,
    uint64_t address, uint64_t stored_bytes, struct bs_chunk_statistics *out_found);

/* ---- files that get their name when they are whole (part.c) ---------------------------------- */

/* TARGET.part-HEX, NUL-terminated. */
BS_MUST_USE basalt_status bs_part_path(const char *target, struct bs_bytes *out, basalt_error *err);
/* Of the files of such a name, at most 16: calls `remove`, which removes one if it is a dead process's,
 * and is false if that failed. How many times anything failed. */
typedef bool (*bs_leftover_fn)(struct bs_vfs *vfs, const char *path);
unsigned bs_part_leftovers_remove(struct bs_vfs *vfs, const char *target, bs_leftover_fn remove);
/* Until `file` is closed others see that it is being made. */
BS_MUST_USE basalt_status bs_part_hold(struct bs_file *file, basalt_error *err);
/* Somebody else makes it, or it is a store and somebody writes to it; or that cannot be known. */
bool bs_part_is_held(struct bs_file *file);
/* The rename, durable. Without `replace` EXISTS if `target` is there. */
BS_MUST_USE basalt_status bs_part_place(
    struct bs_vfs *vfs, const char *part, const char *target, bool replace, basalt_error *err);

/* Whether a new file may take the place of `target`. Without `replace` EXISTS if it is there; BUSY if
 * somebody writes to it, CONFLICT if it has a log; BAD_ARGUMENT if it is no regular file. */
BS_MUST_USE basalt_status bs_part_target_check(
    struct bs_vfs *vfs, const char *target, bool replace, basalt_error *err);

/* draft.c: a new store, under such a name. `options` as for bs_store_open; the access is not looked at.
 * Creates *out_draft. Whether `target` may be made or replaced is not looked at here. */
struct bs_draft;
BS_MUST_USE basalt_status bs_draft_open(const struct bs_env_parts *parts, const char *target,
    const basalt_store_options *options, struct bs_draft **out_draft, basalt_error *err);
struct bs_store *bs_draft_store(const struct bs_draft *draft); /* lends it */
/* Closes the store and gives it its name. BUSY leaves *draft; else it is gone and NULL, and after a failure
 * so is what it wrote. */
BS_MUST_USE basalt_status bs_draft_place(struct bs_draft **draft, bool replace, basalt_error *err);
/* Removes what it wrote. No snapshot, scan or transaction may be open. NULL is fine. */
void bs_draft_discard(struct bs_draft *draft);

/* The byte of a store's file on which a reader of this commit has a shared lock. */
uint64_t bs_store_pin_byte(uint64_t commit);
/* CONFLICT if the file has a log beside it: its rows would lose the file that they belong to. */
BS_MUST_USE basalt_status bs_store_refuse_log(
    struct bs_vfs *vfs, const char *path, basalt_error *err);

#endif
