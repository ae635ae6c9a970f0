/* ipc_internal.h - what reading and writing of Arrow IPC messages share. */
#ifndef BS_ARROW_IPC_INTERNAL_H
#define BS_ARROW_IPC_INTERNAL_H

#include "arrow/arrow_internal.h"

#define BS_IPC_CONTINUATION 0xFFFFFFFFu
#define BS_IPC_PREFIX_BYTES 8 /* continuation, length of the metadata */
#define BS_IPC_METADATA_BYTES_MAX ((size_t)256 << 20)

/* Of MessageHeader, MetadataVersion and Type in Arrow's Message.fbs and Schema.fbs: what is written. */
enum { BS_IPC_HEADER_SCHEMA = 1, BS_IPC_HEADER_BATCH = 3, BS_IPC_VERSION_5 = 4 };
enum {
    BS_IPC_INT = 2,
    BS_IPC_FLOAT = 3,
    BS_IPC_BINARY = 4,
    BS_IPC_UTF8 = 5,
    BS_IPC_BOOL = 6,
    BS_IPC_DATE = 8,
    BS_IPC_TIME = 9,
    BS_IPC_TIMESTAMP = 10,
    BS_IPC_FIXED = 15,
    BS_IPC_DURATION = 18,
    BS_IPC_LARGE_BINARY = 19,
    BS_IPC_LARGE_UTF8 = 20
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

/* Appends the message without its body, a multiple of 8 bytes long. */
BS_MUST_USE basalt_status bs_ipc_encode_batch(
    const struct bs_ipc_batch *batch, struct bs_bytes *out, basalt_error *err);

/* Both take the metadata of a message, without its prefix and 8-byte aligned, and read nothing outside
 * it. UNSUPPORTED names what Basalt does not read: field and type, dictionaries, compression … */
BS_MUST_USE basalt_status bs_ipc_decode_schema(
    const uint8_t *message, size_t count, struct bs_schema **out_schema, basalt_error *err);
/* Numbers as they are in the message, unchecked but for how many there are. Lends from `message`. */
BS_MUST_USE basalt_status bs_ipc_decode_batch(const uint8_t *message, size_t count,
    const struct bs_schema *schema, struct bs_ipc_batch *out_batch, basalt_error *err);

#endif
