/* ipc_internal.h - what reading and writing of Arrow IPC messages share.
 *
 * The messages' metadata is flatbuffers, which nanoarrow reads and writes; framing, limits and all
 * checks of what it gives are ours. */
#ifndef BS_ARROW_IPC_INTERNAL_H
#define BS_ARROW_IPC_INTERNAL_H

#include "arrow/arrow_internal.h"

#include "nanoarrow/nanoarrow.h"
#include "nanoarrow/nanoarrow_ipc.h"

#define BS_IPC_CONTINUATION 0xFFFFFFFFu
#define BS_IPC_PREFIX_BYTES 8 /* continuation, length of the metadata */
#define BS_IPC_METADATA_BYTES_MAX ((size_t)256 << 20)

/* A failure of nanoarrow (`code` an errno) as ours; "WHAT: its sentence". */
basalt_status bs_ipc_fail(
    basalt_error *err, int code, const struct ArrowError *error, const char *what);

/* Looks at a message before nanoarrow does. UNSUPPORTED names what Basalt does not read (field and
 * type, dictionaries, tensors); CORRUPT what would cost more time or memory than the message is
 * long. `message` is the metadata without its prefix. */
BS_MUST_USE basalt_status bs_ipc_check_message(
    const uint8_t *message, size_t count, basalt_error *err);

/* Schema of a message that begins with its 8-byte prefix and that `decoder` has not seen yet. */
BS_MUST_USE basalt_status bs_ipc_decode_schema(struct ArrowIpcDecoder *decoder,
    const uint8_t *message, size_t count, struct bs_schema **out_schema, basalt_error *err);

#endif
