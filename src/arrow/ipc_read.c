/* ipc_read.c - reads an Arrow IPC stream, message by message, as it is pulled.
 *
 * STREAM   messages, each: u32 0xFFFFFFFF, i32 length of the metadata (a multiple of 8), metadata
 *          (flatbuffers), body. The first is the schema, the others are record batches; a length of 0
 *          or the end of the bytes ends it. Before Arrow 0.15 there was no 0xFFFFFFFF.
 *
 * INVARIANTS
 *   (1) Memory is taken for what a message says in steps of BODY_STEP_BYTES, each after the one before
 *       has been filled: a wild length costs one step.
 *   (2) Nothing of a record batch is handed out unchecked: every buffer lies inside the body and holds
 *       the rows that it is for, offsets never fall, text is UTF-8, null counts are right. (The
 *       decoder's own check of a buffer's place overflows for wild positions, so it is not relied on.)
 *   (3) The arrays of one batch share one body; it goes with the last of them, whatever was moved. */
#include "arrow/ipc_internal.h"

#define BODY_STEP_BYTES ((size_t)64 << 20)
#define FILE_MAGIC 0x4F525241u /* "ARRO": the IPC file format begins with ARROW1 */

struct reader {
    basalt_read_fn read;
    void *context;
    uint64_t position; /* bytes read so far */
    struct bs_schema *schema;
    struct ArrowIpcDecoder decoder;
    bool decoder_made;
    bool ended;
};

/* What the arrays of one batch share. */
struct body {
    struct bs_shared shared;
    uint8_t *bytes;
    size_t count;
    struct ArrowArray *children;
    struct ArrowArray **pointers;
    const void *(*buffers)[3]; /* of each child; the last one is the root's */
};

/* ---- bytes ------------------------------------------------------------------------------------- */

static basalt_status cut_short(const struct reader *reader, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, reader->position,
        "the Arrow stream is cut short after %" PRIu64 " bytes", reader->position);
}

/* *out_got is less than `count` only at the end of the stream. */
static basalt_status read_bytes(
    struct reader *reader, uint8_t *out, size_t count, size_t *out_got, basalt_error *err)
{
    size_t got = 0;
    while (got < count) {
        size_t step = 0;
        const int code = reader->read(reader->context, out + got, count - got, &step);
        if (code) {
            return bs_fail_os(err, code, BASALT_NO_OFFSET, "reading the Arrow stream failed");
        }
        assert(step <= count - got);
        if (step == 0) break;
        got += step;
        reader->position += step;
    }
    *out_got = got;
    return BASALT_OK;
}

/* Reads `count` bytes into new memory behind `room` free ones. Creates *out_memory. */
static basalt_status read_block(
    struct reader *reader, size_t room, uint64_t count, uint8_t **out_memory, basalt_error *err)
{
    uint8_t *memory = NULL;
    basalt_status status = BASALT_OK;
    uint64_t have = 0;
    *out_memory = NULL;
    do {
        const size_t step = (size_t)BS_MIN(count - have, BODY_STEP_BYTES);
        size_t got = 0;
        uint8_t *larger = bs_realloc(memory, room + (size_t)have + step);
        if (!larger) {
            status = bs_fail_memory(err, room + (size_t)have + step);
            goto out;
        }
        memory = larger;
        BS_TRY(read_bytes(reader, memory + room + have, step, &got, err));
        if (got < step) {
            status = cut_short(reader, err);
            goto out;
        }
        have += step;
    } while (have < count);
    *out_memory = memory;
    memory = NULL;
out:
    bs_free(memory);
    return status;
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* Reads the prefix. *out_bytes 0: the stream ends here. */
static basalt_status read_prefix(struct reader *reader, size_t *out_bytes, basalt_error *err)
{
    uint8_t word[4];
    size_t got = 0;
    *out_bytes = 0;
    basalt_status status = read_bytes(reader, word, sizeof word, &got, err);
    if (status || got == 0) return status;
    if (got == sizeof word && bs_load_u32(word) == FILE_MAGIC && reader->position == 4) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "this is an Arrow IPC file, not an Arrow IPC stream: write it as a stream");
    }
    if (got == sizeof word && bs_load_u32(word) == BS_IPC_CONTINUATION) {
        status = read_bytes(reader, word, sizeof word, &got, err);
        if (status) return status;
    }
    if (got < sizeof word) return cut_short(reader, err);
    const uint32_t bytes = bs_load_u32(word);
    if (bytes > INT32_MAX) {
        return bs_fail(err, BASALT_CORRUPT, reader->position - 4,
            "no Arrow message begins at byte %" PRIu64 " of the stream", reader->position - 4);
    }
    if (bytes > BS_IPC_METADATA_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "an Arrow message has %" PRIu32 " bytes of metadata; at most %zu are possible", bytes,
            BS_IPC_METADATA_BYTES_MAX);
    }
    *out_bytes = bytes;
    return BASALT_OK;
}

/* Reads one message's metadata behind a prefix, as the decoder wants it. Creates *out_message, NULL
 * at the end of the stream. */
static basalt_status read_metadata(
    struct reader *reader, uint8_t **out_message, size_t *out_count, basalt_error *err)
{
    size_t bytes = 0;
    *out_message = NULL;
    *out_count = 0;
    basalt_status status = read_prefix(reader, &bytes, err);
    if (status || bytes == 0) return status;
    status = read_block(reader, BS_IPC_PREFIX_BYTES, bytes, out_message, err);
    if (status) return status;
    bs_store_u32(*out_message, BS_IPC_CONTINUATION);
    bs_store_u32(*out_message + 4, (uint32_t)bytes);
    *out_count = BS_IPC_PREFIX_BYTES + bytes;
    return BASALT_OK;
}

static basalt_status read_schema(struct reader *reader, basalt_error *err)
{
    uint8_t *message = NULL;
    size_t count = 0;
    struct ArrowSchema arrow = {0};
    struct ArrowError error = {""};
    basalt_status status = read_metadata(reader, &message, &count, err);
    if (status) return status;
    if (!message) {
        return bs_fail(err, BASALT_CORRUPT, 0, "the Arrow stream is empty: it has no schema");
    }
    BS_TRY(bs_ipc_decode_schema(&reader->decoder, message, count, &reader->schema, err));
    BS_TRY(bs_schema_export(reader->schema, &arrow, err));
    const int code = ArrowIpcDecoderSetSchema(&reader->decoder, &arrow, &error);
    if (code) status = bs_ipc_fail(err, code, &error, "the Arrow schema can't be read");
out:
    if (arrow.release) arrow.release(&arrow);
    bs_free(message);
    return status;
}

/* ---- record batches ---------------------------------------------------------------------------- */

static void destroy_body(struct bs_shared *shared)
{
    struct body *body = (struct body *)shared;
    bs_free(body->bytes);
    bs_free(body->children);
    bs_free(body->pointers);
    bs_free(body->buffers);
    bs_free(body);
}

static void release_child(struct ArrowArray *array)
{
    struct body *body = array->private_data;
    array->release = NULL;
    bs_shared_release(&body->shared);
}

static void release_root(struct ArrowArray *array)
{
    struct body *body = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children[i];
        if (child->release) child->release(child);
    }
    array->release = NULL;
    bs_shared_release(&body->shared);
}

/* Takes over `bytes`, also when it fails. */
static basalt_status make_body(
    uint8_t *bytes, size_t count, size_t columns, struct body **out_body, basalt_error *err)
{
    struct body *body = bs_alloc_zeroed(1, sizeof *body);
    if (!body) {
        bs_free(bytes);
        return bs_fail_memory(err, sizeof *body);
    }
    bs_shared_init(&body->shared, destroy_body);
    body->bytes = bytes;
    body->count = count;
    body->children = bs_alloc_zeroed(columns + 1, sizeof *body->children);
    body->pointers = bs_alloc_zeroed(columns + 1, sizeof *body->pointers);
    body->buffers = bs_alloc_zeroed(columns + 1, sizeof *body->buffers);
    if (!body->children || !body->pointers || !body->buffers) {
        bs_shared_release(&body->shared);
        return bs_fail_memory(err, columns * sizeof *body->children);
    }
    *out_body = body;
    return BASALT_OK;
}

static basalt_status corrupt(const struct bs_field *field, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "column \"%.*s\" of a record batch of the Arrow stream %s", bs_shown(field->name),
        field->name, what);
}

/* The buffer lies inside the body, on a multiple of `alignment`. */
static bool is_inside(const struct body *body, const struct ArrowBufferView *view, size_t alignment)
{
    if (view->size_bytes == 0) return true;
    const uintptr_t start = (uintptr_t)body->bytes, at = (uintptr_t)view->data.as_uint8;
    return view->size_bytes > 0 && at >= start && at - start <= body->count &&
        (uint64_t)view->size_bytes <= body->count - (at - start) && at % alignment == 0;
}

/* A text under a null may be anything. */
static bool texts_valid(const uint8_t *text, const uint8_t *offsets, size_t width, uint64_t rows,
    const uint8_t *validity)
{
    uint64_t bad;
    if (bs_texts_valid(text, offsets, width, rows, &bad)) return true;
    if (!validity) return false;
    for (uint64_t i = bad; i < rows; i++) {
        const int64_t from = bs_offset_at(offsets, width, i);
        const int64_t to = bs_offset_at(offsets, width, i + 1);
        if (bs_bit(validity, i) && !bs_utf8_valid((const char *)text + from, (size_t)(to - from))) {
            return false;
        }
    }
    return true;
}

static basalt_status check_texts(const struct bs_field *field, const struct body *body,
    const struct ArrowArrayView *view, uint64_t rows, basalt_error *err)
{
    const char code = field->format[0];
    const size_t width = code == 'u' || code == 'z' ? 4 : 8;
    const struct ArrowBufferView *offsets = &view->buffer_views[1];
    const struct ArrowBufferView *text = &view->buffer_views[2];
    uint64_t bad;
    if (!is_inside(body, offsets, width) || !is_inside(body, text, 1)) {
        return corrupt(field, "has a buffer outside its body", err);
    }
    if (rows == 0) return BASALT_OK;
    if ((uint64_t)offsets->size_bytes / width < rows + 1) {
        return corrupt(field, "has too few offsets", err);
    }
    if (!bs_offsets_monotone(offsets->data.data, width, rows, &bad)) {
        return corrupt(field, "has offsets that fall", err);
    }
    if (bs_offset_at(offsets->data.data, width, rows) > text->size_bytes) {
        return corrupt(field, "has offsets beyond its text", err);
    }
    const uint8_t *validity =
        view->buffer_views[0].size_bytes ? view->buffer_views[0].data.as_uint8 : NULL;
    if (field->kind == BS_KIND_TEXT &&
        !texts_valid(text->data.as_uint8, offsets->data.as_uint8, width, rows, validity)) {
        return corrupt(field, "is not UTF-8", err);
    }
    return BASALT_OK;
}

static basalt_status check_values(const struct bs_field *field, const struct body *body,
    const struct ArrowArrayView *view, uint64_t rows, basalt_error *err)
{
    const struct ArrowBufferView *values = &view->buffer_views[1];
    const bool bytes = field->kind == BS_KIND_BOOL || field->kind == BS_KIND_FIXED;
    if (!is_inside(body, values, bytes ? 1 : field->width_bytes)) {
        return corrupt(field, "has a buffer outside its body", err);
    }
    const uint64_t held = field->kind == BS_KIND_BOOL
        ? (uint64_t)values->size_bytes * 8
        : (uint64_t)values->size_bytes / field->width_bytes;
    return held < rows ? corrupt(field, "has too few values", err) : BASALT_OK;
}

/* Everything that the decoder says about one column is held against its body. */
static basalt_status check_column(const struct bs_field *field, const struct body *body,
    const struct ArrowArrayView *view, uint64_t rows, basalt_error *err)
{
    const struct ArrowBufferView *validity = &view->buffer_views[0];
    if (view->length < 0 || (uint64_t)view->length != rows) {
        return corrupt(field, "has another number of rows than the batch", err);
    }
    if (!is_inside(body, validity, 1)) return corrupt(field, "has a buffer outside its body", err);
    uint64_t nulls = 0;
    if (validity->size_bytes > 0) {
        if ((uint64_t)validity->size_bytes < rows / 8 + (rows % 8 != 0)) {
            return corrupt(field, "has too short a validity map", err);
        }
        nulls = rows - bs_bits_count(validity->data.as_uint8, 0, rows);
    }
    if (view->null_count < 0 || (uint64_t)view->null_count != nulls) {
        return corrupt(field, "has a wrong number of nulls", err);
    }
    if (field->width_bytes == 0) return check_texts(field, body, view, rows, err);
    return check_values(field, body, view, rows, err);
}

/* A buffer as the C data interface wants it: never NULL but for validity. */
static const void *buffer_of(const struct ArrowArrayView *view, int index)
{
    static const uint64_t nothing[8];
    const struct ArrowBufferView *buffer = &view->buffer_views[index];
    if (buffer->size_bytes > 0) return buffer->data.data;
    return index == 0 ? NULL : nothing;
}

static void hand_out(struct body *body, const struct bs_schema *schema,
    struct ArrowArrayView *const *views, uint64_t rows, struct ArrowArray *out)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const bool text = schema->fields[i].width_bytes == 0;
        for (int j = 0; j < (text ? 3 : 2); j++) body->buffers[i][j] = buffer_of(views[i], j);
        bs_shared_retain(&body->shared);
        body->pointers[i] = &body->children[i];
        body->children[i] = (struct ArrowArray){
            .length = (int64_t)rows,
            .null_count = views[i]->null_count,
            .n_buffers = text ? 3 : 2,
            .buffers = body->buffers[i],
            .release = release_child,
            .private_data = body,
        };
    }
    *out = (struct ArrowArray){
        .length = (int64_t)rows,
        .n_buffers = 1,
        .n_children = (int64_t)schema->field_count,
        .buffers = body->buffers[schema->field_count],
        .children = body->pointers,
        .release = release_root,
        .private_data = body,
    };
}

static basalt_status check_batch(
    struct reader *reader, struct body *body, struct ArrowArray *out, basalt_error *err)
{
    const struct ArrowBufferView view = {{body->bytes}, (int64_t)body->count};
    struct ArrowArrayView *batch = NULL;
    struct ArrowError error = {""};
    const int code = ArrowIpcDecoderDecodeArrayView(&reader->decoder, view, -1, &batch, &error);
    if (code) return bs_ipc_fail(err, code, &error, "a record batch of the Arrow stream is broken");
    if (batch->length < 0 || batch->n_children != (int64_t)reader->schema->field_count) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a record batch of the Arrow stream says that it has %" PRId64 " rows", batch->length);
    }
    const uint64_t rows = (uint64_t)batch->length;
    for (size_t i = 0; i < reader->schema->field_count; i++) {
        const basalt_status status =
            check_column(&reader->schema->fields[i], body, batch->children[i], rows, err);
        if (status) return status;
    }
    hand_out(body, reader->schema, batch->children, rows, out);
    return BASALT_OK;
}

/* The decoder keeps pointing into `message` until the batch is made. */
static basalt_status decode_metadata(
    struct reader *reader, const uint8_t *message, size_t count, basalt_error *err)
{
    const struct ArrowBufferView view = {{message}, (int64_t)count};
    struct ArrowError error = {""};
    const basalt_status status =
        bs_ipc_check_message(message + BS_IPC_PREFIX_BYTES, count - BS_IPC_PREFIX_BYTES, err);
    if (status) return status;
    int code = ArrowIpcDecoderVerifyHeader(&reader->decoder, view, &error);
    if (!code && reader->decoder.message_type != NANOARROW_IPC_MESSAGE_TYPE_RECORD_BATCH) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the Arrow stream has a second schema; a stream has one");
    }
    if (!code) code = ArrowIpcDecoderDecodeHeader(&reader->decoder, view, &error);
    if (code) return bs_ipc_fail(err, code, &error, "a message of the Arrow stream is broken");
    if (reader->decoder.codec != NANOARROW_IPC_COMPRESSION_TYPE_NONE) {
        const bool zstd = reader->decoder.codec == NANOARROW_IPC_COMPRESSION_TYPE_ZSTD;
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow stream is compressed (%s), which Basalt does not read: write it without",
            zstd ? "zstd" : "lz4");
    }
    if (reader->decoder.body_size_bytes < 0) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a record batch of the Arrow stream has a negative length");
    }
    return BASALT_OK;
}

static basalt_status next(void *context, struct ArrowArray *out, basalt_error *err)
{
    struct reader *reader = context;
    struct body *body = NULL;
    uint8_t *message = NULL, *bytes = NULL;
    size_t count = 0;
    if (reader->ended) return BASALT_OK;
    basalt_status status = read_metadata(reader, &message, &count, err);
    if (status) return status;
    reader->ended = message == NULL;
    if (reader->ended) return BASALT_OK;
    BS_TRY(decode_metadata(reader, message, count, err));
    const uint64_t body_bytes = (uint64_t)reader->decoder.body_size_bytes;
    BS_TRY(read_block(reader, 0, body_bytes, &bytes, err));
    BS_TRY(make_body(bytes, (size_t)body_bytes, reader->schema->field_count, &body, err));
    BS_TRY(check_batch(reader, body, out, err));
    body = NULL;
out:
    if (body) bs_shared_release(&body->shared);
    bs_free(message);
    return status;
}

/* ---- the stream -------------------------------------------------------------------------------- */

static void close_reader(void *context)
{
    struct reader *reader = context;
    if (reader->decoder_made) ArrowIpcDecoderReset(&reader->decoder);
    bs_schema_release(reader->schema);
    bs_free(reader);
}

basalt_status bs_ipc_read(
    basalt_read_fn read, void *context, struct ArrowArrayStream *out, basalt_error *err)
{
    static const struct bs_stream_source source = {next, close_reader};
    basalt_status status = BASALT_OK;
    memset(out, 0, sizeof *out);
    struct reader *reader = bs_alloc_zeroed(1, sizeof *reader);
    if (!reader) return bs_fail_memory(err, sizeof *reader);
    reader->read = read;
    reader->context = context;
    const int code = ArrowIpcDecoderInit(&reader->decoder);
    if (code) {
        status = bs_ipc_fail(err, code, NULL, "the Arrow stream can't be read");
        goto out;
    }
    reader->decoder_made = true;
    BS_TRY(read_schema(reader, err));
    status = bs_stream_create(reader->schema, &source, reader, out, err);
    reader = NULL; /* the stream's, or closed */
out:
    if (reader) close_reader(reader);
    return status;
}

/* ---- bytes in memory --------------------------------------------------------------------------- */

struct memory_reader {
    const uint8_t *at;
    size_t left;
    struct ArrowArrayStream inner;
};

static int read_memory(void *context, void *out, size_t capacity, size_t *out_count)
{
    struct memory_reader *memory = context;
    const size_t step = BS_MIN(capacity, memory->left);
    if (step) memcpy(out, memory->at, step);
    memory->at += step;
    memory->left -= step;
    *out_count = step;
    return 0;
}

static basalt_status next_of_memory(void *context, struct ArrowArray *out, basalt_error *err)
{
    struct memory_reader *memory = context;
    bool end;
    return bs_stream_next(&memory->inner, out, &end, err);
}

static void close_memory(void *context)
{
    struct memory_reader *memory = context;
    if (memory->inner.release) memory->inner.release(&memory->inner);
    bs_free(memory);
}

basalt_status bs_ipc_read_bytes(
    const void *bytes, size_t count, struct ArrowArrayStream *out, basalt_error *err)
{
    static const struct bs_stream_source source = {next_of_memory, close_memory};
    struct bs_schema *schema = NULL;
    memset(out, 0, sizeof *out);
    struct memory_reader *memory = bs_alloc_zeroed(1, sizeof *memory);
    if (!memory) return bs_fail_memory(err, sizeof *memory);
    memory->at = bytes;
    memory->left = count;
    basalt_status status = bs_ipc_read(read_memory, memory, &memory->inner, err);
    if (!status) status = bs_stream_schema(&memory->inner, &schema, err);
    if (!status) {
        status = bs_stream_create(schema, &source, memory, out, err);
    } else {
        close_memory(memory);
    }
    bs_schema_release(schema);
    return status;
}
