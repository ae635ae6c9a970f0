/* ipc_internal.h - what reading and writing of Arrow IPC messages share. */
#ifndef BS_ARROW_IPC_INTERNAL_H
#define BS_ARROW_IPC_INTERNAL_H

#include "arrow/arrow_internal.h"

#define BS_IPC_CONTINUATION 0xFFFFFFFFu
#define BS_IPC_PREFIX_BYTES 8 /* continuation, length of the metadata */
#define BS_IPC_METADATA_BYTES_MAX ((size_t)256 << 20)

static const uint8_t bs_ipc_end_mark[BS_IPC_PREFIX_BYTES] = {0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0};

/* Of MessageHeader, MetadataVersion and Type in Arrow's Message.fbs and Schema.fbs: what is written. */
enum {
    BS_IPC_HEADER_SCHEMA = 1,
    BS_IPC_HEADER_DICTIONARY = 2,
    BS_IPC_HEADER_BATCH = 3,
    BS_IPC_VERSION_5 = 4
};
enum {
    BS_IPC_NULL = 1,
    BS_IPC_INT = 2,
    BS_IPC_FLOAT = 3,
    BS_IPC_BINARY = 4,
    BS_IPC_UTF8 = 5,
    BS_IPC_BOOL = 6,
    BS_IPC_DECIMAL = 7,
    BS_IPC_DATE = 8,
    BS_IPC_TIME = 9,
    BS_IPC_TIMESTAMP = 10,
    BS_IPC_INTERVAL = 11,
    BS_IPC_LIST = 12,
    BS_IPC_STRUCT = 13,
    BS_IPC_UNION = 14,
    BS_IPC_FIXED = 15,
    BS_IPC_FIXED_LIST = 16,
    BS_IPC_MAP = 17,
    BS_IPC_DURATION = 18,
    BS_IPC_LARGE_BINARY = 19,
    BS_IPC_LARGE_UTF8 = 20,
    BS_IPC_LARGE_LIST = 21
};

struct bs_ipc_pair {
    uint64_t first, second;
};

struct bs_ipc_batch { /* what a record batch message says */
    uint64_t rows, body_bytes;
    const struct bs_ipc_pair *nodes; /* of each column: rows, nulls */
    size_t node_count;
    const struct bs_ipc_pair *buffers; /* of each column in turn: place in the body, bytes */
    size_t buffer_count;
};

uint8_t bs_ipc_type_number(const struct bs_field *field);

/* Appends the message without its body, a multiple of 8 bytes long. */
BS_MUST_USE basalt_status bs_ipc_encode_batch(
    const struct bs_ipc_batch *batch, struct bs_bytes *out, basalt_error *err);

/* ---- columns that a bs_schema has no word for, to be written --------------------------------- */

#define BS_IPC_NESTING_MAX 64

enum bs_ipc_layout {    /* which buffers a column has behind its validity */
    BS_IPC_OF_NULLS,    /* none, nor validity */
    BS_IPC_OF_BITS,     /* a bit a value */
    BS_IPC_OF_VALUES,   /* width_bytes a value */
    BS_IPC_OF_BYTES,    /* offsets of width_bytes, bytes */
    BS_IPC_OF_LISTS,    /* offsets of width_bytes; one child */
    BS_IPC_OF_ROWS,     /* none; one child with `list_size` values a row */
    BS_IPC_OF_CHILDREN, /* none; children with a value a row */
    BS_IPC_OF_MEMBERS,  /* no validity; a byte a row says which child's value it is */
};

/* A column, or what lies in one. Of a dictionary the codes; its values are in `dictionary`. */
struct bs_ipc_node {
    struct bs_field field; /* kind, unit and zone only of types that a bs_schema has */
    enum bs_ipc_layout layout;
    uint8_t type; /* BS_IPC_INT ... */
    uint32_t width_bytes, list_size;
    int32_t precision, scale; /* of a decimal */
    uint16_t interval_unit;
    bool keys_sorted, ordered; /* of a map; of a dictionary */
    size_t child_count;
    struct bs_ipc_node *children, *dictionary;
    uint8_t *member_ids; /* of a union: of each child */
    int64_t dictionary_id;
};

/* Of an Arrow struct schema: the root, whose children are the columns; *out_dictionaries is how many
 * there are, with the ids from 0 on. UNSUPPORTED names field and type. Creates *out_root. */
BS_MUST_USE basalt_status bs_ipc_node_create(const struct ArrowSchema *arrow,
    struct bs_ipc_node **out_root, size_t *out_dictionaries, basalt_error *err);
void bs_ipc_node_free(struct bs_ipc_node *root); /* NULL is fine */
BS_MUST_USE basalt_status bs_ipc_encode_nodes(
    const struct bs_ipc_node *root, struct bs_bytes *out, basalt_error *err);

/* A message's body and what its metadata says of it. Zero-initialised is empty. */
struct bs_ipc_body {
    struct bs_bytes bytes, nodes, buffers; /* the latter two of struct bs_ipc_pair */
    struct bs_bytes validity;              /* in the making */
};
void bs_ipc_body_clear(struct bs_ipc_body *body); /* empty, and keeps its memory */
void bs_ipc_body_free(struct bs_ipc_body *body);
/* Whether the parts that `node` wants are there in `array` at all, to the leaves. To be asked before
 * the following. */
BS_MUST_USE basalt_status bs_ipc_shape_check(
    const struct bs_ipc_node *node, const struct ArrowArray *array, basalt_error *err);
/* Checks values [first, first + count) of `array` (counted without its offset) and appends them, with
 * offset 0, right null counts, and zeros under the nulls of fixed-width values. */
BS_MUST_USE basalt_status bs_ipc_body_add(struct bs_ipc_body *body, const struct bs_ipc_node *node,
    const struct ArrowArray *array, uint64_t first, uint64_t count, basalt_error *err);
BS_MUST_USE basalt_status bs_ipc_encode_dictionary(
    int64_t id, const struct bs_ipc_batch *batch, struct bs_bytes *out, basalt_error *err);

/* Writes all of `stream`, whose schema is `schema`, and the end mark. Releases neither. */
BS_MUST_USE basalt_status bs_ipc_write_nested(struct ArrowArrayStream *stream,
    const struct ArrowSchema *schema, basalt_write_fn write, void *context, basalt_error *err);

/* ---- reading --------------------------------------------------------------------------------- */

/* Both take the metadata of a message, without its prefix and 8-byte aligned, and read nothing outside
 * it. UNSUPPORTED names what Basalt does not read: field and type, dictionaries, compression … */
BS_MUST_USE basalt_status bs_ipc_decode_schema(
    const uint8_t *message, size_t count, struct bs_schema **out_schema, basalt_error *err);
/* Numbers as they are in the message, unchecked but for how many there are. Lends from `message`. */
BS_MUST_USE basalt_status bs_ipc_decode_batch(const uint8_t *message, size_t count,
    const struct bs_schema *schema, struct bs_ipc_batch *out_batch, basalt_error *err);

#endif
