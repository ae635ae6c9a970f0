/* arrow_ipc.c - reads an Arrow IPC stream on standard input, takes every array through block, view
 * and builder, and writes it as an Arrow IPC stream on standard output.
 *
 * arrow_ipc          as it is
 * arrow_ipc SEED     every array cut at random places, so that slices are written
 * Exit code: 0, or the basalt_status, with its sentence on standard error. */
#include "arrow/arrow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int read_input(void *context, void *out, size_t capacity, size_t *out_count)
{
    (void)context;
    *out_count = fread(out, 1, capacity, stdin);
    return ferror(stdin) ? EIO : 0;
}

static int write_output(void *context, const void *bytes, size_t count)
{
    (void)context;
    return fwrite(bytes, 1, count, stdout) == count ? 0 : EIO;
}

/* Hands out the arrays of `inner` in pieces: slices of one array, as others make them, with an
 * offset and shared buffers. */
struct slicer {
    struct ArrowArrayStream inner;
    struct ArrowArray whole;
    struct bs_schema *schema;
    int64_t at;
    uint64_t seed;
};

static void release_slice(struct ArrowArray *array)
{
    array->release = NULL; /* the whole is the slicer's */
}

static basalt_status next_slice(void *context, struct ArrowArray *out, basalt_error *err)
{
    struct slicer *slicer = context;
    if (!slicer->whole.release || slicer->at == slicer->whole.length) {
        bool end;
        if (slicer->whole.release) slicer->whole.release(&slicer->whole);
        const basalt_status status = bs_stream_next(&slicer->inner, &slicer->whole, &end, err);
        if (status || end) return status;
        slicer->at = 0;
    }
    const int64_t left = slicer->whole.length - slicer->at;
    slicer->seed = slicer->seed * 6364136223846793005u + 1442695040888963407u;
    *out = slicer->whole;
    out->offset += slicer->at;
    out->length = left ? 1 + (int64_t)((slicer->seed >> 33) % (uint64_t)left) : 0;
    out->release = release_slice;
    slicer->at += out->length;
    return BASALT_OK;
}

static void close_slicer(void *context)
{
    struct slicer *slicer = context;
    if (slicer->whole.release) slicer->whole.release(&slicer->whole);
    slicer->inner.release(&slicer->inner);
    bs_schema_release(slicer->schema);
}

int main(int argc, char **argv)
{
    static const struct bs_stream_source source = {.next = next_slice, .close = close_slicer};
    struct slicer slicer = {.seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0};
    struct ArrowArrayStream stream;
    basalt_error err = {0};
    basalt_status status = bs_ipc_read(read_input, NULL, &stream, &err);
    if (!status && argc > 1) {
        slicer.inner = stream;
        status = bs_stream_schema(&slicer.inner, &slicer.schema, &err);
        if (!status) status = bs_stream_create(slicer.schema, &source, &slicer, &stream, &err);
    }
    if (!status) status = bs_ipc_write(&stream, write_output, NULL, &err);
    if (fflush(stdout) != 0 && !status) status = BASALT_IO_ERROR;
    if (status) fprintf(stderr, "%s: %s\n", basalt_status_name(status), err.message);
    return (int)status;
}
