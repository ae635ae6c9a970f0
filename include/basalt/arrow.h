/* arrow.h - the Arrow C data and C stream interfaces, and IPC bytes in and out.
 *
 * The structs are the ABI of the Arrow project (C Data Interface, C Stream Interface): a pointer to
 * one made by any Arrow library fits here without a copy. `release == NULL` means empty. */
#ifndef BASALT_ARROW_H
#define BASALT_ARROW_H

#include "basalt/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};
#endif

/* Gives bytes: fewer than `capacity` only at the end, then 0. Returns 0 or an errno. */
typedef int (*basalt_read_fn)(void *context, void *out, size_t capacity, size_t *out_count);
/* Takes all `count` bytes. Returns 0 or an errno. */
typedef int (*basalt_write_fn)(void *context, const void *bytes, size_t count);

/* Why a call of `stream` returned `code`, not 0: the interface has but an errno and a text. A stream
 * that Basalt made gives the whole error; of another's the status is what the errno means. Ask before
 * the stream is released. Returns the status. */
BASALT_CHECKED basalt_status basalt_stream_error(
    struct ArrowArrayStream *stream, int code, basalt_error *err);

/* Reads an Arrow IPC stream from `read` as it is pulled. Creates *out_stream: call its release. Takes
 * nothing behind the stream's end mark: another call reads the next stream. UNSUPPORTED: the IPC file
 * format. CORRUPT: not Arrow IPC at all. */
BASALT_CHECKED basalt_status basalt_ipc_read(
    basalt_read_fn read, void *context, struct ArrowArrayStream *out_stream, basalt_error *err);

/* The same over bytes in memory, which must live until the stream is released. CORRUPT if there are
 * bytes behind the end mark. */
BASALT_CHECKED basalt_status basalt_ipc_read_bytes(
    const void *bytes, size_t count, struct ArrowArrayStream *out_stream, basalt_error *err);

/* Pulls `stream` to its end and writes it as an Arrow IPC stream. Releases `stream`. Columns may be
 * lists, structs, maps, sparse unions and dictionaries, which families have not. UNSUPPORTED, before a
 * byte is written: dense unions, views, run ends, dictionaries in dictionaries. BAD_ARGUMENT: an array
 * that makes no sense. */
BASALT_CHECKED basalt_status basalt_ipc_write(
    struct ArrowArrayStream *stream, basalt_write_fn write, void *context, basalt_error *err);

#ifdef __cplusplus
}
#endif
#endif
