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
 *       the rows that it is for, offsets never fall, text is UTF-8, null counts are right.
 *   (3) The arrays of one batch share one body; it goes with the last of them, whatever was moved. */
#include "arrow/ipc_internal.h"

#define BODY_STEP_BYTES ((size_t)64 << 20)
#define FILE_MAGIC 0x4F525241u /* "ARRO": the IPC file format begins with ARROW1 */
/* Of a first message without 0xFFFFFFFF. Read as a length, four characters of any text are more, the
 * last one a line's end or a tab too. */
#define OLD_SCHEMA_BYTES_MAX 0x08000000u

struct reader {
    basalt_read_fn read;
    void *context;
    uint64_t position; /* bytes read so far */
    struct bs_schema *schema;
    bool ended;
    uint8_t first[4]; /* bytes of the stream */
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
        "the Arrow stream is cut short at byte %" PRIu64, reader->position);
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

/* Reads `count` bytes into new memory. Creates *out_memory. */
static basalt_status read_block(
    struct reader *reader, uint64_t count, uint8_t **out_memory, basalt_error *err)
{
    uint8_t *memory = NULL;
    basalt_status status = BASALT_OK;
    uint64_t have = 0;
    *out_memory = NULL;
    do {
        const size_t step = (size_t)BS_MIN(count - have, BODY_STEP_BYTES);
        size_t got = 0;
        uint8_t *larger = bs_realloc(memory, (size_t)have + step);
        if (!larger) {
            status = bs_fail_memory(err, (size_t)have + step);
            goto out;
        }
        memory = larger;
        BS_TRY(read_bytes(reader, memory + have, step, &got, err));
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

/* Only what begins with 0xFFFFFFFF is an Arrow stream beyond doubt. */
static bool doubtful(const struct reader *reader)
{
    return reader->position >= 4 && bs_load_u32(reader->first) != BS_IPC_CONTINUATION;
}

static basalt_status not_arrow(const struct reader *reader, basalt_error *err)
{
    char shown[5];
    for (int i = 0; i < 4; i++) {
        const uint8_t byte = reader->first[i];
        shown[i] = byte >= 0x20 && byte < 0x7f ? (char)byte : '.';
    }
    shown[4] = 0;
    return bs_fail(err, BASALT_CORRUPT, 0,
        "this is not an Arrow IPC stream: it begins with the bytes %02x %02x %02x %02x (\"%s\"), and a "
        "stream with ff ff ff ff",
        reader->first[0], reader->first[1], reader->first[2], reader->first[3], shown);
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
    if (got == sizeof word && reader->position == 4) {
        memcpy(reader->first, word, sizeof word);
        if (bs_load_u32(word) == FILE_MAGIC) {
            return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "this is Arrow's IPC file format (Feather), and a stream is wanted: write it with "
                "pyarrow.ipc.new_stream, or what your library calls the stream writer");
        }
        if (doubtful(reader) && bs_load_u32(word) >= OLD_SCHEMA_BYTES_MAX) {
            return not_arrow(reader, err);
        }
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

/* Reads one message's metadata. Creates *out_message, NULL at the end of the stream. */
static basalt_status read_metadata(
    struct reader *reader, uint8_t **out_message, size_t *out_count, basalt_error *err)
{
    *out_message = NULL;
    const basalt_status status = read_prefix(reader, out_count, err);
    if (status || *out_count == 0) return status;
    return read_block(reader, *out_count, out_message, err);
}

static basalt_status read_schema(struct reader *reader, basalt_error *err)
{
    uint8_t *message = NULL;
    size_t count = 0;
    basalt_status status = read_metadata(reader, &message, &count, err);
    if (status == BASALT_CORRUPT && doubtful(reader)) return not_arrow(reader, err);
    if (status) return status;
    if (!message) {
        return bs_fail(err, BASALT_CORRUPT, 0, "the Arrow stream is empty: it has no schema");
    }
    status = bs_ipc_decode_schema(message, count, &reader->schema, err);
    bs_free(message);
    if (status == BASALT_CORRUPT && doubtful(reader)) return not_arrow(reader, err);
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

/* One column of a record batch, as the message has it. */
struct column {
    const struct bs_field *field;
    uint64_t rows;
    struct bs_ipc_pair node; /* rows, nulls */
    struct buffer {
        const uint8_t *data; /* NULL if there are no bytes */
        uint64_t bytes;
    } buffers[3];
};

/* The buffer lies inside the body, on a multiple of `alignment`. */
static basalt_status find_buffer(struct column *column, const struct body *body, unsigned index,
    struct bs_ipc_pair place, size_t alignment, basalt_error *err)
{
    struct buffer *buffer = &column->buffers[index];
    if (place.second == 0) return BASALT_OK;
    if (place.first > body->count || place.second > body->count - place.first ||
        place.first % alignment != 0) {
        return corrupt(column->field, "has a buffer outside its body", err);
    }
    buffer->data = body->bytes + place.first;
    buffer->bytes = place.second;
    return BASALT_OK;
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

static size_t offset_width(const struct bs_field *field)
{
    return field->format[0] == 'u' || field->format[0] == 'z' ? 4 : 8;
}

static basalt_status check_texts(const struct column *column, basalt_error *err)
{
    const struct bs_field *field = column->field;
    const struct buffer *offsets = &column->buffers[1], *bytes = &column->buffers[2];
    const size_t width = offset_width(field);
    uint64_t bad;
    if (column->rows == 0) return BASALT_OK;
    if (offsets->bytes / width < column->rows + 1) {
        return corrupt(field, "has too few offsets", err);
    }
    if (!bs_offsets_monotone(offsets->data, width, column->rows, &bad)) {
        return corrupt(field, "has offsets that fall", err);
    }
    if ((uint64_t)bs_offset_at(offsets->data, width, column->rows) > bytes->bytes) {
        return corrupt(field, "has offsets beyond its text", err);
    }
    if (field->kind == BS_KIND_TEXT &&
        !texts_valid(bytes->data, offsets->data, width, column->rows, column->buffers[0].data)) {
        return corrupt(field, "is not UTF-8", err);
    }
    return BASALT_OK;
}

static basalt_status check_values(const struct column *column, basalt_error *err)
{
    const struct bs_field *field = column->field;
    const uint64_t bytes = column->buffers[1].bytes;
    const uint64_t held = field->kind == BS_KIND_BOOL ? bytes * 8 : bytes / field->width_bytes;
    return held < column->rows ? corrupt(field, "has too few values", err) : BASALT_OK;
}

/* Everything that the message says about one column is held against its body. */
static basalt_status check_column(const struct column *column, basalt_error *err)
{
    const struct bs_field *field = column->field;
    const struct buffer *validity = &column->buffers[0];
    uint64_t nulls = 0;
    if (column->node.first != column->rows) {
        return corrupt(field, "has another number of rows than the batch", err);
    }
    if (validity->bytes > 0) {
        if (validity->bytes < column->rows / 8 + (column->rows % 8 != 0)) {
            return corrupt(field, "has too short a validity map", err);
        }
        nulls = column->rows - bs_bits_count(validity->data, 0, column->rows);
    }
    if (column->node.second != nulls) return corrupt(field, "has a wrong number of nulls", err);
    return field->width_bytes ? check_values(column, err) : check_texts(column, err);
}

/* Buffers as the C data interface wants them: never NULL but for validity. */
static void hand_out_column(struct body *body, size_t index, const struct column *column)
{
    static const uint64_t nothing[8];
    const int count = column->field->width_bytes ? 2 : 3;
    for (int i = 0; i < count; i++) {
        const void *data = column->buffers[i].data;
        body->buffers[index][i] = data || i == 0 ? data : nothing;
    }
    bs_shared_retain(&body->shared);
    body->pointers[index] = &body->children[index];
    body->children[index] = (struct ArrowArray){
        .length = (int64_t)column->rows,
        .null_count = (int64_t)column->node.second,
        .n_buffers = count,
        .buffers = body->buffers[index],
        .release = release_child,
        .private_data = body,
    };
}

static basalt_status take_column(const struct bs_field *field, const struct body *body,
    const struct bs_ipc_batch *batch, struct bs_ipc_pair node, const struct bs_ipc_pair *places,
    struct column *column, basalt_error *err)
{
    const bool bytes = field->kind == BS_KIND_BOOL || field->kind == BS_KIND_FIXED;
    const size_t width = field->width_bytes;
    *column = (struct column){.field = field, .rows = batch->rows, .node = node};
    basalt_status status = find_buffer(column, body, 0, places[0], 1, err);
    if (status) return status;
    const size_t alignment = width == 0 ? offset_width(field) : bytes ? 1 : width;
    status = find_buffer(column, body, 1, places[1], alignment, err);
    if (!status && width == 0) status = find_buffer(column, body, 2, places[2], 1, err);
    return status ? status : check_column(column, err);
}

/* Hands out nothing unless all columns are right. */
static basalt_status take_batch(const struct bs_schema *schema, struct body *body,
    const struct bs_ipc_batch *batch, struct ArrowArray *out, basalt_error *err)
{
    const struct bs_ipc_pair *places = batch->buffers;
    struct column column;
    basalt_status status = BASALT_OK;
    size_t taken = 0;
    for (; taken < schema->field_count; taken++) {
        const struct bs_field *field = &schema->fields[taken];
        status = take_column(field, body, batch, batch->nodes[taken], places, &column, err);
        if (status) break;
        hand_out_column(body, taken, &column);
        places += column.field->width_bytes ? 2 : 3;
    }
    *out = (struct ArrowArray){
        .length = (int64_t)batch->rows,
        .n_buffers = 1,
        .n_children = (int64_t)taken,
        .buffers = body->buffers[schema->field_count],
        .children = body->pointers,
        .release = release_root,
        .private_data = body,
    };
    if (status) out->release(out);
    return status;
}

static basalt_status next(void *context, struct ArrowArray *out, basalt_error *err)
{
    struct reader *reader = context;
    const size_t columns = reader->schema->field_count;
    struct bs_ipc_batch batch;
    struct body *body = NULL;
    uint8_t *message = NULL, *bytes = NULL;
    size_t count = 0;
    if (reader->ended) return BASALT_OK;
    basalt_status status = read_metadata(reader, &message, &count, err);
    if (status) return status;
    reader->ended = message == NULL;
    if (reader->ended) return BASALT_OK;
    BS_TRY(bs_ipc_decode_batch(message, count, reader->schema, &batch, err));
    BS_TRY(read_block(reader, batch.body_bytes, &bytes, err));
    BS_TRY(make_body(bytes, (size_t)batch.body_bytes, columns, &body, err));
    BS_TRY(take_batch(reader->schema, body, &batch, out, err));
out:
    bs_free(message);
    return status;
}

/* ---- the stream -------------------------------------------------------------------------------- */

static void close_reader(void *context)
{
    struct reader *reader = context;
    bs_schema_release(reader->schema);
    bs_free(reader);
}

basalt_status bs_ipc_read(
    basalt_read_fn read, void *context, struct ArrowArrayStream *out, basalt_error *err)
{
    static const struct bs_stream_source source = {.next = next, .close = close_reader};
    memset(out, 0, sizeof *out);
    struct reader *reader = bs_alloc_zeroed(1, sizeof *reader);
    if (!reader) return bs_fail_memory(err, sizeof *reader);
    reader->read = read;
    reader->context = context;
    const basalt_status status = read_schema(reader, err);
    if (!status) return bs_stream_create(reader->schema, &source, reader, out, err);
    close_reader(reader);
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
    const basalt_status status = bs_stream_next(&memory->inner, out, &end, err);
    if (status || !end || !memory->left) return status;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "%zu bytes lie behind the end of the Arrow stream", memory->left);
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
    static const struct bs_stream_source source = {.next = next_of_memory, .close = close_memory};
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
