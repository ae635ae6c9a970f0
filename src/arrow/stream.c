/* stream.c - the Arrow C stream interface, given and taken.
 *
 * The interface carries an errno and a text; Basalt's own streams keep the whole basalt_error, and
 * bs_stream_error takes it from them unchanged. */
#include "arrow/arrow_internal.h"

#include <errno.h>

struct stream {
    struct bs_schema *schema;
    struct bs_stream_source source;
    void *context;
    basalt_error err; /* of the last call that failed; status OK before that */
};

/* One errno a status, and back: so a status outlives a stream of somebody else's around ours. */
static const struct {
    basalt_status status;
    int code;
} codes[] = {
    {BASALT_NOT_FOUND, ENOENT},
    {BASALT_BUSY, EBUSY},
    {BASALT_BAD_ARGUMENT, EINVAL},
    {BASALT_NO_MEMORY, ENOMEM},
    {BASALT_IO_ERROR, EIO},
    {BASALT_CORRUPT, EBADMSG},
    {BASALT_EXISTS, EEXIST},
    {BASALT_UNSUPPORTED, ENOTSUP},
    {BASALT_TIMED_OUT, ETIMEDOUT},
    {BASALT_DROPPED, ENOBUFS},
    {BASALT_OUTCOME_UNKNOWN, ENOTRECOVERABLE},
    {BASALT_CANCELLED, ECANCELED},
    {BASALT_READ_ONLY, EROFS},
    {BASALT_NO_SPACE, ENOSPC},
    {BASALT_SCHEMA_MISMATCH, EPROTOTYPE},
    {BASALT_CONFLICT, ESTALE},
    {BASALT_TOO_LARGE, EOVERFLOW},
    {BASALT_NOT_HDF5, ENOEXEC},
};

static int errno_of(basalt_status status)
{
    if (!status) return 0;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(codes); i++) {
        if (codes[i].status == status) return codes[i].code;
    }
    return EIO;
}

static basalt_status status_of(int code)
{
    if (code == ENOSYS) return BASALT_UNSUPPORTED; /* how Arrow C++ refuses */
    if (code == EDQUOT) return BASALT_NO_SPACE;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(codes); i++) {
        if (codes[i].code == code) return codes[i].status;
    }
    return BASALT_IO_ERROR;
}

static int get_schema(struct ArrowArrayStream *arrow, struct ArrowSchema *out)
{
    struct stream *stream = arrow->private_data;
    basalt_status status = bs_schema_export(stream->schema, out, &stream->err);
    if (!status && stream->source.shape_schema) {
        status = stream->source.shape_schema(stream->context, out, &stream->err);
        if (status && out->release) out->release(out);
    }
    if (status) memset(out, 0, sizeof *out);
    return errno_of(status);
}

/* After a failure every further pull fails the same way: the source's place is unknown. */
static int get_next(struct ArrowArrayStream *arrow, struct ArrowArray *out)
{
    struct stream *stream = arrow->private_data;
    memset(out, 0, sizeof *out);
    if (stream->err.status) return errno_of(stream->err.status);
    const basalt_status status = stream->source.next(stream->context, out, &stream->err);
    if (status) {
        stream->err.status = status;
        memset(out, 0, sizeof *out);
    }
    return errno_of(status);
}

static const char *get_last_error(struct ArrowArrayStream *arrow)
{
    const struct stream *stream = arrow->private_data;
    return stream->err.status ? stream->err.message : NULL;
}

static void release(struct ArrowArrayStream *arrow)
{
    struct stream *stream = arrow->private_data;
    if (stream->source.close) stream->source.close(stream->context);
    bs_schema_release(stream->schema);
    bs_free(stream);
    arrow->release = NULL;
}

basalt_status bs_stream_create(const struct bs_schema *schema,
    const struct bs_stream_source *source, void *context, struct ArrowArrayStream *out,
    basalt_error *err)
{
    memset(out, 0, sizeof *out);
    struct stream *stream = bs_alloc_zeroed(1, sizeof *stream);
    if (!stream) {
        if (source->close) source->close(context);
        return bs_fail_memory(err, sizeof *stream);
    }
    stream->schema = bs_schema_retain((struct bs_schema *)schema);
    stream->source = *source;
    stream->context = context;
    *out = (struct ArrowArrayStream){
        .get_schema = get_schema,
        .get_next = get_next,
        .get_last_error = get_last_error,
        .release = release,
        .private_data = stream,
    };
    return BASALT_OK;
}

/* ---- somebody else's stream -------------------------------------------------------------------- */

basalt_status bs_stream_error(struct ArrowArrayStream *arrow, int code, basalt_error *err)
{
    if (!code) return BASALT_OK;
    if (arrow->get_next == get_next) {
        const struct stream *stream = arrow->private_data;
        if (err) *err = stream->err;
        return stream->err.status;
    }
    const char *text = arrow->get_last_error ? arrow->get_last_error(arrow) : NULL;
    if (!text || !*text) text = "it does not say why";
    const basalt_status status =
        bs_fail(err, status_of(code), BASALT_NO_OFFSET, "the Arrow stream failed: %s", text);
    if (err) err->os_errno = code;
    return status;
}

static basalt_status check_open(const struct ArrowArrayStream *arrow, basalt_error *err)
{
    if (arrow && arrow->release) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the Arrow stream is released");
}

basalt_status bs_stream_arrow_schema(
    struct ArrowArrayStream *arrow, struct ArrowSchema *out_schema, basalt_error *err)
{
    memset(out_schema, 0, sizeof *out_schema);
    const basalt_status status = check_open(arrow, err);
    if (status) return status;
    const int code = arrow->get_schema(arrow, out_schema);
    if (!code) return BASALT_OK;
    memset(out_schema, 0, sizeof *out_schema);
    return bs_stream_error(arrow, code, err);
}

basalt_status bs_stream_schema(
    struct ArrowArrayStream *arrow, struct bs_schema **out_schema, basalt_error *err)
{
    struct ArrowSchema schema;
    *out_schema = NULL;
    basalt_status status = bs_stream_arrow_schema(arrow, &schema, err);
    if (status) return status;
    status = bs_schema_import(&schema, out_schema, err);
    if (schema.release) schema.release(&schema);
    return status;
}

basalt_status bs_stream_next(
    struct ArrowArrayStream *arrow, struct ArrowArray *out, bool *out_end, basalt_error *err)
{
    memset(out, 0, sizeof *out);
    *out_end = false;
    const basalt_status status = check_open(arrow, err);
    if (status) return status;
    const int code = arrow->get_next(arrow, out);
    if (code) {
        memset(out, 0, sizeof *out);
        return bs_stream_error(arrow, code, err);
    }
    *out_end = out->release == NULL;
    return BASALT_OK;
}
