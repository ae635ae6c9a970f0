/* arrow.h - schemas and batches of rows, and Arrow in and out.   floor 5: base, sched, codec, vfs
 *
 * Inside Basalt rows travel as a *batch*: one block of memory that is at once what the log stores
 * and what the memtable keeps, so a row is copied once on its way in. The block's layout is at the
 * top of batch.c. A schema is immutable and counted; batches point to theirs.
 *
 * Column types (the Arrow format string in brackets): bool [b], int8..uint64 [cCsSiIlL], half,
 * float, double [efg], utf8 and large_utf8 [uU], binary and large_binary [zZ], fixed-size binary
 * [w:N], date32/64 [tdD tdm], time32/64 [tts ttm ttu ttn], timestamp [ts?:ZONE], duration [tD?].
 * Any other is UNSUPPORTED, naming the field and the type. */
#ifndef BS_ARROW_H
#define BS_ARROW_H

#include "base/base.h"
#include "basalt/arrow.h"

#define BS_FIELDS_MAX 65536
#define BS_NAME_BYTES_MAX 4096   /* of a column or family */
#define BS_FIXED_WIDTH_MAX 65536 /* bytes of a fixed-size binary */

enum bs_kind {
    BS_KIND_BOOL, /* one byte a row, 0 or 1, in a batch */
    BS_KIND_INT,  /* signed, width_bytes 1 2 4 8 */
    BS_KIND_UINT,
    BS_KIND_FLOAT,     /* width_bytes 2 4 8 */
    BS_KIND_TEXT,      /* UTF-8, variable length */
    BS_KIND_BINARY,    /* variable length */
    BS_KIND_FIXED,     /* fixed-size binary, width_bytes */
    BS_KIND_DATE,      /* int32 days or int64 ms since 1970 */
    BS_KIND_TIME,      /* int32 s, ms or int64 us, ns since midnight */
    BS_KIND_TIMESTAMP, /* int64 since 1970 */
    BS_KIND_DURATION   /* int64 */
};

struct bs_field {
    char *name;     /* as in Arrow, unescaped; may be empty or repeated */
    char *format;   /* Arrow format string */
    char *metadata; /* Arrow key-value metadata, encoded as the C data interface does; or NULL */
    size_t metadata_bytes;
    enum bs_kind kind;
    uint32_t width_bytes; /* of a value in a batch; 0 for TEXT and BINARY */
    bool nullable;
    const char *unit; /* "s" "ms" "us" "ns", "D" for date32; NULL where there is none; lent */
    const char *zone; /* of a timestamp, lent from `format`; NULL if none */
};

struct bs_schema {
    struct bs_shared shared; /* counted: bs_schema_retain, bs_schema_release */
    size_t field_count;
    struct bs_field *fields;
    char *metadata;
    size_t metadata_bytes;
};

/* Deep copy of an Arrow struct schema ("+s"); `arrow` stays the caller's. */
BS_MUST_USE basalt_status bs_schema_import(
    const struct ArrowSchema *arrow, struct bs_schema **out_schema, basalt_error *err);
BS_MUST_USE basalt_status bs_schema_export(
    const struct bs_schema *schema, struct ArrowSchema *out, basalt_error *err);
struct bs_schema *bs_schema_retain(struct bs_schema *schema);
void bs_schema_release(struct bs_schema *schema); /* NULL is fine */
/* Same names, formats and nullability in the same order. SCHEMA_MISMATCH names the first field
 * that differs and how. */
BS_MUST_USE basalt_status bs_schema_match(
    const struct bs_schema *expected, const struct bs_schema *found, basalt_error *err);
/* The schema as an Arrow IPC schema message, and back; what the file and the log keep. */
BS_MUST_USE basalt_status bs_schema_encode(
    const struct bs_schema *schema, struct bs_bytes *out, basalt_error *err);
BS_MUST_USE basalt_status bs_schema_decode(
    const void *bytes, size_t count, struct bs_schema **out_schema, basalt_error *err);
/* {"fields":[{"name":…,"type":"float64","nullable":false,"metadata":{…}},…],"metadata":{…}} for people
 * and other programs. Type names are pyarrow's: "timestamp[ns, tz=UTC]". */
BS_MUST_USE basalt_status bs_schema_json(
    const struct bs_schema *schema, struct bs_bytes *out, basalt_error *err);
BS_MUST_USE basalt_status bs_field_type_name(const struct bs_field *field, struct bs_bytes *out,
    basalt_error *err); /* "timestamp[ns, tz=UTC]" */
/* Appends `text` as a JSON string. JSON is text, so a byte that is not UTF-8 shows as U+FFFD. */
void bs_json_string(struct bs_bytes *out, const char *text, size_t count);
/* Fields `indices[0..count)` of `schema`, in that order. */
BS_MUST_USE basalt_status bs_schema_project(const struct bs_schema *schema, const size_t *indices,
    size_t count, struct bs_schema **out_schema, basalt_error *err);

/* ---- batches ------------------------------------------------------------------------------ */

struct bs_column {
    const uint8_t *validity; /* bit i of byte i/8, LSB first, 1 = there; NULL: no nulls */
    uint64_t null_count;
    const uint8_t *values;   /* rows x width_bytes; or the text of all rows, end to end */
    const uint32_t *offsets; /* TEXT and BINARY: rows + 1, from 0; else NULL */
};

/* A view of one encoded block. Null fixed values are zero bytes; null texts are empty. */
struct bs_batch {
    const struct bs_schema *schema; /* borrowed: whoever keeps a batch keeps the schema */
    uint64_t rows;
    struct bs_column *columns; /* schema->field_count; owned, bs_batch_clear frees it */
};

/* Checks `array` against `schema` (offset, lengths, buffers, offsets monotone, UTF-8) and appends
 * rows [first, first + count) to `out` as one encoded block, 8-byte aligned relative to the start
 * of `out`. The bytes are all a reader needs but for the schema. */
BS_MUST_USE basalt_status bs_batch_encode(const struct bs_schema *schema,
    const struct ArrowArray *array, uint64_t first, uint64_t count, struct bs_bytes *out,
    basalt_error *err);
/* How many rows from `first` on fit in `bytes_max` encoded bytes; TOO_LARGE if not even one. */
BS_MUST_USE basalt_status bs_batch_fit(const struct bs_schema *schema,
    const struct ArrowArray *array, uint64_t first, size_t bytes_max, uint64_t *out_rows,
    basalt_error *err);
/* A view of a block that may come from a disk: everything is checked. `bytes` (8-byte aligned) must
 * outlive the view. */
BS_MUST_USE basalt_status bs_batch_decode(const struct bs_schema *schema, const void *bytes,
    size_t count, struct bs_batch *out_batch, basalt_error *err);
void bs_batch_clear(struct bs_batch *batch);

/* ---- building arrays to hand out ---------------------------------------------------------- */

/* Grows one Arrow struct array column by column; buffers are 64-byte aligned and owned by the
 * result. Columns may be filled by different threads at once. */
struct bs_array_builder;
BS_MUST_USE basalt_status bs_array_builder_create(const struct bs_schema *schema, uint64_t rows_max,
    struct bs_array_builder **out_builder, basalt_error *err);
void bs_array_builder_free(struct bs_array_builder *builder); /* NULL is fine */
/* Appends rows [first, first + count) of a batch's column. */
BS_MUST_USE basalt_status bs_array_builder_put(struct bs_array_builder *builder, size_t field,
    const struct bs_column *column, uint64_t first, uint64_t count, basalt_error *err);
/* Room for `count` fixed-width values to be written in place (bool: a byte each), all valid until
 * marked otherwise. Lent until the next call for the field. */
BS_MUST_USE basalt_status bs_array_builder_reserve(struct bs_array_builder *builder, size_t field,
    uint64_t count, void **out_values, basalt_error *err);
BS_MUST_USE basalt_status bs_array_builder_put_text(struct bs_array_builder *builder, size_t field,
    const void *bytes, size_t count, basalt_error *err);
/* Marks row `row` (from the start of the array) of the field as null. */
BS_MUST_USE basalt_status bs_array_builder_set_null(
    struct bs_array_builder *builder, size_t field, uint64_t row, basalt_error *err);
/* Ends the array: every field must have the same number of rows; without fields it has rows_max.
 * Frees the builder either way. */
BS_MUST_USE basalt_status bs_array_builder_finish(
    struct bs_array_builder **builder, struct ArrowArray *out_array, basalt_error *err);

/* ---- streams ------------------------------------------------------------------------------ */

/* A source that `out` pulls from: `next` fills an array or leaves it released at the end. `close`
 * is called once, by release or after a failure to make the stream. Takes over `context`. */
struct bs_stream_source {
    basalt_status (*next)(void *context, struct ArrowArray *out, basalt_error *err);
    void (*close)(void *context);
    /* May be NULL. Else changes the schema that is handed out into what the arrays of `next` are: the
     * lists that a bs_schema has no word for. The schema is released if it fails. */
    basalt_status (*shape_schema)(void *context, struct ArrowSchema *schema, basalt_error *err);
};
BS_MUST_USE basalt_status bs_stream_create(const struct bs_schema *schema,
    const struct bs_stream_source *source, void *context, struct ArrowArrayStream *out,
    basalt_error *err);
/* Why a call of a stream gave `code`: the body of basalt_stream_error. */
BS_MUST_USE basalt_status bs_stream_error(
    struct ArrowArrayStream *stream, int code, basalt_error *err);
/* The schema of somebody else's stream. Creates *out_schema. */
BS_MUST_USE basalt_status bs_stream_schema(
    struct ArrowArrayStream *stream, struct bs_schema **out_schema, basalt_error *err);
/* Pulls one array of somebody else's stream; *out_end says that there is no more. The stream's own
 * text goes into `err`. */
BS_MUST_USE basalt_status bs_stream_next(
    struct ArrowArrayStream *stream, struct ArrowArray *out, bool *out_end, basalt_error *err);

/* IPC: the bodies of the public functions of basalt/arrow.h. What is written may be nested and coded,
 * as no schema here is. */
BS_MUST_USE basalt_status bs_ipc_read(
    basalt_read_fn read, void *context, struct ArrowArrayStream *out, basalt_error *err);
BS_MUST_USE basalt_status bs_ipc_read_bytes(
    const void *bytes, size_t count, struct ArrowArrayStream *out, basalt_error *err);
BS_MUST_USE basalt_status bs_ipc_write(
    struct ArrowArrayStream *stream, basalt_write_fn write, void *context, basalt_error *err);

#endif
