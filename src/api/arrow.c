/* arrow.c - basalt/arrow.h: Arrow IPC streams. */
#include "arrow/arrow.h"

static basalt_status need(const void *argument, const char *name, basalt_error *err)
{
    if (argument) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%s is NULL", name);
}

basalt_status basalt_ipc_read(
    basalt_read_fn read, void *context, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    basalt_status status = need(out_stream, "out_stream", err);
    if (status) return status;
    memset(out_stream, 0, sizeof *out_stream);
    if (!read) return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "read is NULL");
    return bs_ipc_read(read, context, out_stream, err);
}

basalt_status basalt_ipc_read_bytes(
    const void *bytes, size_t count, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    basalt_status status = need(out_stream, "out_stream", err);
    if (status) return status;
    memset(out_stream, 0, sizeof *out_stream);
    if (count > 0) status = need(bytes, "bytes", err);
    return status ? status : bs_ipc_read_bytes(bytes, count, out_stream, err);
}

basalt_status basalt_ipc_write(
    struct ArrowArrayStream *stream, basalt_write_fn write, void *context, basalt_error *err)
{
    const basalt_status status = need(stream, "stream", err);
    if (status) return status;
    if (write) return bs_ipc_write(stream, write, context, err);
    if (stream->release) stream->release(stream);
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "write is NULL");
}
