/* arrow.c - basalt/arrow.h: Arrow IPC streams. */
#include "api/api_internal.h"

basalt_status basalt_stream_error(struct ArrowArrayStream *stream, int code, basalt_error *err)
{
    BS_API_NEEDS(stream);
    if (!stream->release) {
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the stream is released already");
    }
    return bs_stream_error(stream, code, err);
}

basalt_status basalt_ipc_read(
    basalt_read_fn read, void *context, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    BS_API_NEEDS(out_stream);
    memset(out_stream, 0, sizeof *out_stream);
    BS_API_NEEDS(read);
    return bs_ipc_read(read, context, out_stream, err);
}

basalt_status basalt_ipc_read_bytes(
    const void *bytes, size_t count, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    BS_API_NEEDS(out_stream);
    memset(out_stream, 0, sizeof *out_stream);
    if (count > 0) BS_API_NEEDS(bytes);
    return bs_ipc_read_bytes(bytes, count, out_stream, err);
}

basalt_status basalt_ipc_write(
    struct ArrowArrayStream *stream, basalt_write_fn write, void *context, basalt_error *err)
{
    BS_API_NEEDS(stream);
    if (!write && stream->release) stream->release(stream);
    BS_API_NEEDS(write);
    return bs_ipc_write(stream, write, context, err);
}
