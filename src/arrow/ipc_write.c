/* ipc_write.c - writes a stream of arrays as an Arrow IPC stream.
 *
 * What comes in may be sliced, lack null counts and hold anything under nulls, so every array goes
 * through a batch, which checks it, and the builder, which gives it offset 0 and right null counts:
 * other readers then find nothing to stumble over. */
#include "arrow/ipc_internal.h"

#define PIECE_BYTES_MAX ((size_t)1 << 30) /* an array that takes more is written in pieces */

struct writer {
    basalt_write_fn write;
    void *context;
    struct bs_schema *schema;
    struct ArrowIpcEncoder encoder;
    struct ArrowArrayView view;
    struct ArrowBuffer metadata;
    struct ArrowBuffer body;
    struct bs_bytes block;
    bool encoder_made;
};

static basalt_status put(
    const struct writer *writer, const void *bytes, size_t count, basalt_error *err)
{
    if (count == 0) return BASALT_OK;
    const int code = writer->write(writer->context, bytes, count);
    if (!code) return BASALT_OK;
    return bs_fail_os(err, code, BASALT_NO_OFFSET, "writing the Arrow stream failed");
}

static basalt_status writer_open(struct writer *writer, basalt_error *err)
{
    struct ArrowSchema arrow = {0};
    struct ArrowError error = {""};
    struct bs_bytes message = {0};
    basalt_status status = bs_schema_export(writer->schema, &arrow, err);
    if (status) return status;
    int code =
        ArrowIpcEncoderInit(&writer->encoder); /* after a failure there is nothing to reset */
    writer->encoder_made = code == 0;
    if (!code) code = ArrowArrayViewInitFromSchema(&writer->view, &arrow, &error);
    if (code) {
        status = bs_ipc_fail(err, code, &error, "the Arrow stream can't be written");
        goto out;
    }
    BS_TRY(bs_schema_encode(writer->schema, &message, err));
    BS_TRY(put(writer, message.data, message.count, err));
out:
    bs_bytes_free(&message);
    arrow.release(&arrow);
    return status;
}

static void writer_close(struct writer *writer)
{
    if (writer->encoder_made) ArrowIpcEncoderReset(&writer->encoder);
    ArrowArrayViewReset(&writer->view);
    ArrowBufferReset(&writer->metadata);
    ArrowBufferReset(&writer->body);
    bs_bytes_free(&writer->block);
    bs_schema_release(writer->schema);
}

/* An array of Basalt's own as one record batch message. */
static basalt_status write_message(
    struct writer *writer, const struct ArrowArray *array, basalt_error *err)
{
    struct ArrowError error = {""};
    writer->metadata.size_bytes = 0;
    writer->body.size_bytes = 0;
    int code = ArrowArrayViewSetArray(&writer->view, array, &error);
    if (!code) {
        code = ArrowIpcEncoderEncodeSimpleRecordBatch(
            &writer->encoder, &writer->view, &writer->body, &error);
    }
    if (!code) code = ArrowIpcEncoderFinalizeBuffer(&writer->encoder, 1, &writer->metadata);
    if (code) return bs_ipc_fail(err, code, &error, "a batch can't be written");
    const basalt_status status =
        put(writer, writer->metadata.data, (size_t)writer->metadata.size_bytes, err);
    if (status) return status;
    return put(writer, writer->body.data, (size_t)writer->body.size_bytes, err);
}

/* Rows [first, first + count) of somebody's array as one record batch. */
static basalt_status write_rows(struct writer *writer, const struct ArrowArray *array,
    uint64_t first, uint64_t count, basalt_error *err)
{
    struct bs_batch batch = {0};
    struct bs_array_builder *builder = NULL;
    struct ArrowArray clean = {0};
    writer->block.count = 0;
    basalt_status status =
        bs_batch_encode(writer->schema, array, first, count, &writer->block, err);
    if (status) return status;
    BS_TRY(bs_batch_decode(writer->schema, writer->block.data, writer->block.count, &batch, err));
    BS_TRY(bs_array_builder_create(writer->schema, count, &builder, err));
    for (size_t i = 0; i < writer->schema->field_count; i++) {
        BS_TRY(bs_array_builder_put(builder, i, &batch.columns[i], 0, count, err));
    }
    BS_TRY(bs_array_builder_finish(&builder, &clean, err));
    BS_TRY(write_message(writer, &clean, err));
out:
    if (clean.release) clean.release(&clean);
    bs_array_builder_free(builder);
    bs_batch_clear(&batch);
    return status;
}

static basalt_status write_array(
    struct writer *writer, const struct ArrowArray *array, basalt_error *err)
{
    uint64_t first = 0;
    do {
        uint64_t count = 0;
        basalt_status status =
            bs_batch_fit(writer->schema, array, first, PIECE_BYTES_MAX, &count, err);
        if (!status) status = write_rows(writer, array, first, count, err);
        if (status) return status;
        first += count;
    } while (first < (uint64_t)array->length);
    return BASALT_OK;
}

basalt_status bs_ipc_write(
    struct ArrowArrayStream *stream, basalt_write_fn write, void *context, basalt_error *err)
{
    static const uint8_t end_mark[8] = {0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0};
    struct writer writer = {.write = write, .context = context};
    struct ArrowArray array = {0};
    bool end = false;
    ArrowArrayViewInitFromType(&writer.view, NANOARROW_TYPE_UNINITIALIZED);
    ArrowBufferInit(&writer.metadata);
    ArrowBufferInit(&writer.body);
    basalt_status status = bs_stream_schema(stream, &writer.schema, err);
    if (!status) status = writer_open(&writer, err);
    while (!status && !end) {
        status = bs_stream_next(stream, &array, &end, err);
        if (!status && !end) status = write_array(&writer, &array, err);
        if (array.release) array.release(&array);
    }
    if (!status) status = put(&writer, end_mark, sizeof end_mark, err);
    writer_close(&writer);
    if (stream && stream->release) stream->release(stream);
    return status;
}
