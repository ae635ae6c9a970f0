/* ipc_write.c - writes a stream of arrays as an Arrow IPC stream.
 *
 * What comes in may be sliced, lack null counts and hold anything under nulls, so every array goes
 * through a batch, which checks it, and the builder, which gives it offset 0 and right null counts:
 * other readers then find nothing to stumble over. */
#include "arrow/ipc_internal.h"

#define PIECE_BYTES_MAX ((size_t)1 << 30) /* an array that takes more is written in pieces */
#define BUFFERS_MAX 3                     /* of a column */

struct writer {
    basalt_write_fn write;
    void *context;
    struct bs_schema *schema;
    struct bs_ipc_pair *nodes;
    struct bs_ipc_pair *buffers;
    struct bs_bytes message;
    struct bs_bytes block;
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
    const size_t count = writer->schema->field_count + 1;
    writer->nodes = bs_alloc_zeroed(count, sizeof *writer->nodes);
    writer->buffers = bs_alloc_zeroed(count, BUFFERS_MAX * sizeof *writer->buffers);
    if (!writer->nodes || !writer->buffers) {
        return bs_fail_memory(err, count * BUFFERS_MAX * sizeof *writer->buffers);
    }
    const basalt_status status = bs_schema_encode(writer->schema, &writer->message, err);
    return status ? status : put(writer, writer->message.data, writer->message.count, err);
}

static void writer_close(struct writer *writer)
{
    bs_free(writer->nodes);
    bs_free(writer->buffers);
    bs_bytes_free(&writer->message);
    bs_bytes_free(&writer->block);
    bs_schema_release(writer->schema);
}

/* Bytes of a buffer of a column that the builder made. */
static uint64_t buffer_bytes(
    const struct bs_field *field, const struct ArrowArray *column, int index)
{
    const uint64_t rows = (uint64_t)column->length;
    if (index == 0) return column->buffers[0] ? (rows + 7) / 8 : 0;
    if (field->kind == BS_KIND_BOOL) return (rows + 7) / 8;
    if (field->width_bytes > 0) return rows * field->width_bytes;
    const size_t width = field->format[0] == 'u' || field->format[0] == 'z' ? 4 : 8;
    if (index == 1) return (rows + 1) * width;
    return (uint64_t)bs_offset_at(column->buffers[1], width, rows);
}

/* Says where each buffer will be. Gives the bytes of the body. */
static uint64_t lay_out(struct writer *writer, const struct ArrowArray *array, size_t *out_buffers)
{
    uint64_t at = 0;
    size_t count = 0;
    for (size_t i = 0; i < writer->schema->field_count; i++) {
        const struct ArrowArray *column = array->children[i];
        writer->nodes[i] =
            (struct bs_ipc_pair){(uint64_t)column->length, (uint64_t)column->null_count};
        for (int j = 0; j < column->n_buffers; j++) {
            const uint64_t bytes = buffer_bytes(&writer->schema->fields[i], column, j);
            writer->buffers[count++] = (struct bs_ipc_pair){at, bytes};
            at += (bytes + 7) & ~(uint64_t)7;
        }
    }
    *out_buffers = count;
    return at;
}

/* An array that the builder made as one record batch message. */
static basalt_status write_message(
    struct writer *writer, const struct ArrowArray *array, basalt_error *err)
{
    static const uint8_t zeros[8];
    struct bs_ipc_batch batch = {.rows = (uint64_t)array->length,
        .nodes = writer->nodes,
        .node_count = writer->schema->field_count,
        .buffers = writer->buffers};
    batch.body_bytes = lay_out(writer, array, &batch.buffer_count);
    writer->message.count = 0;
    basalt_status status = bs_ipc_encode_batch(&batch, &writer->message, err);
    if (!status) status = put(writer, writer->message.data, writer->message.count, err);
    const struct bs_ipc_pair *place = writer->buffers;
    for (size_t i = 0; !status && i < writer->schema->field_count; i++) {
        const struct ArrowArray *column = array->children[i];
        for (int j = 0; !status && j < column->n_buffers; j++, place++) {
            status = put(writer, column->buffers[j], (size_t)place->second, err);
            if (!status) status = put(writer, zeros, -place->second & 7, err);
        }
    }
    return status;
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

static basalt_status write_flat(
    struct writer *writer, struct ArrowArrayStream *stream, basalt_error *err)
{
    struct ArrowArray array = {0};
    bool end = false;
    basalt_status status = writer_open(writer, err);
    while (!status && !end) {
        status = bs_stream_next(stream, &array, &end, err);
        if (!status && !end) status = write_array(writer, &array, err);
        if (array.release) array.release(&array);
    }
    return status ? status : put(writer, bs_ipc_end_mark, sizeof bs_ipc_end_mark, err);
}

/* Columns that no family can have are written all the same. */
basalt_status bs_ipc_write(
    struct ArrowArrayStream *stream, basalt_write_fn write, void *context, basalt_error *err)
{
    struct writer writer = {.write = write, .context = context};
    struct ArrowSchema schema;
    basalt_error why = {.status = BASALT_OK};
    basalt_status status = bs_stream_arrow_schema(stream, &schema, err);
    if (!status) {
        status = bs_schema_import(&schema, &writer.schema, &why);
        if (status == BASALT_UNSUPPORTED) {
            status = bs_ipc_write_nested(stream, &schema, write, context, err);
        } else if (!status) {
            status = write_flat(&writer, stream, err);
        } else if (err) {
            *err = why;
        }
    }
    if (schema.release) schema.release(&schema);
    writer_close(&writer);
    if (stream && stream->release) stream->release(stream);
    return status;
}
