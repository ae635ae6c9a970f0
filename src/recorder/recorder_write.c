/* recorder_write.c - messages are made here: on the caller's thread, all checks done before the
 * mailbox, so that what is wrong with a batch is told to the one who brought it. */
#include "recorder/recorder_internal.h"

#include <inttypes.h>

#define MESSAGE_BYTES ((uint64_t)256) /* what a message costs beside its rows */
#define ATTRIBUTE_NAME_BYTES_MAX ((size_t)4096)

/* ---- checks ---------------------------------------------------------------------------------- */

static basalt_status check_call(struct bs_recorder *recorder, bool blocking, basalt_error *err)
{
    if (recorder->process_id != bs_process_id()) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "this recorder belongs to process %" PRIu64 ", from which this one was forked",
            recorder->process_id);
    }
    if (blocking && bs_recorder_is_worker(recorder)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "a callback can't wait for its own recorder: pass a callback there too");
    }
    return BASALT_OK;
}

static basalt_status check_text(
    const char *text, const char *what, size_t bytes_max, bool may_be_empty, basalt_error *err)
{
    const size_t count = strlen(text);
    if (count > bytes_max) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "%s of %zu bytes is longer than the %zu that are possible", what, count, bytes_max);
    }
    if (!count && !may_be_empty) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%s is empty", what);
    }
    if (!bs_utf8_valid(text, count)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%s is not UTF-8", what);
    }
    return BASALT_OK;
}

/* ---- schemas --------------------------------------------------------------------------------- */

static bool same_field(const struct bs_field *field, const struct ArrowSchema *arrow)
{
    return arrow && arrow->format && !arrow->dictionary &&
        strcmp(field->format, arrow->format) == 0 &&
        strcmp(field->name, arrow->name ? arrow->name : "") == 0 &&
        field->nullable == ((arrow->flags & ARROW_FLAG_NULLABLE) != 0);
}

/* The usual case, batch after batch, without a copy. */
static bool same_schema(const struct bs_schema *schema, const struct ArrowSchema *arrow)
{
    if (!arrow->format || strcmp(arrow->format, "+s") != 0) return false;
    if (arrow->n_children < 0 || (uint64_t)arrow->n_children != schema->field_count) return false;
    for (size_t i = 0; i < schema->field_count; i++) {
        if (!same_field(&schema->fields[i], arrow->children[i])) return false;
    }
    return true;
}

static struct bs_schema *known_schema(struct bs_recorder *recorder, const char *instrument_id)
{
    bs_mutex_lock(&recorder->lock);
    const struct bs_instrument *known = bs_instruments_find(&recorder->instruments, instrument_id);
    struct bs_schema *schema = known && known->schema ? bs_schema_retain(known->schema) : NULL;
    bs_mutex_unlock(&recorder->lock);
    return schema;
}

/* `arrow` NULL: the array has the schema that is known. *out_schema is counted. */
static basalt_status resolve_schema(struct bs_recorder *recorder, const char *instrument_id,
    const struct ArrowSchema *arrow, struct bs_schema **out_schema, basalt_error *err)
{
    struct bs_schema *known = known_schema(recorder, instrument_id), *found = NULL;
    basalt_status status = BASALT_OK;
    *out_schema = NULL;
    if (known && (!arrow || same_schema(known, arrow))) {
        *out_schema = known;
        return BASALT_OK;
    }
    if (!arrow) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the first batch of %s comes without a schema", instrument_id);
    }
    BS_TRY(bs_schema_import(arrow, &found, err));
    if (!found->field_count) {
        BS_TRY(bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "the batch for %s has no columns",
            instrument_id));
    }
    if (known) BS_TRY(bs_schema_match(known, found, err));
    *out_schema = found;
    found = NULL;
out:
    if (status) bs_error_prefix(err, "%.80s", instrument_id);
    bs_schema_release(found);
    bs_schema_release(known);
    return status;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static basalt_status fail_shape(const struct bs_field *field, basalt_error *err)
{
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "the array of column %s does not have the buffers or the rows that its type \"%s\" has",
        field->name, field->format);
}

/* Text of rows [offset, offset + length), by its offsets; they are checked, all of them, when the
 * rows are copied. */
static uint64_t text_bytes(const struct bs_field *field, const struct ArrowArray *array)
{
    const bool wide = field->format[0] == 'U' || field->format[0] == 'Z';
    const int64_t first = array->offset, end = array->offset + array->length;
    if (!array->length || !array->buffers[1]) return 0;
    const int64_t bytes = wide
        ? ((const int64_t *)array->buffers[1])[end] - ((const int64_t *)array->buffers[1])[first]
        : (int64_t)((const int32_t *)array->buffers[1])[end] -
            ((const int32_t *)array->buffers[1])[first];
    return bytes > 0 ? (uint64_t)bytes : 0;
}

static basalt_status column_bytes(const struct bs_field *field, const struct ArrowArray *array,
    int64_t rows, uint64_t *out_bytes, basalt_error *err)
{
    const bool text = field->kind == BS_KIND_TEXT || field->kind == BS_KIND_BINARY;
    if (!array || array->length < rows || array->offset < 0 || array->n_buffers != (text ? 3 : 2) ||
        array->length > INT64_MAX / 65536 - array->offset) {
        return fail_shape(field, err);
    }
    const uint64_t a_row = text ? sizeof(uint32_t) : field->width_bytes;
    *out_bytes = (uint64_t)rows * a_row + (text ? text_bytes(field, array) : 0);
    return BASALT_OK;
}

/* What the rows of the array take, near enough to bound a mailbox by. */
static basalt_status array_bytes(const struct bs_schema *schema, const struct ArrowArray *array,
    uint64_t *out_bytes, basalt_error *err)
{
    *out_bytes = 0;
    if (!array->release || array->length < 0 || array->offset < 0 || array->n_children < 0 ||
        (uint64_t)array->n_children != schema->field_count) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the batch is empty-handed (released) or has not the %zu columns of its schema",
            schema->field_count);
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        uint64_t bytes = 0;
        const basalt_status status =
            column_bytes(&schema->fields[i], array->children[i], array->length, &bytes, err);
        if (status) return status;
        if (bytes > UINT64_MAX / 2 - *out_bytes) return fail_shape(&schema->fields[i], err);
        *out_bytes += bytes;
    }
    return BASALT_OK;
}

/* ---- batches --------------------------------------------------------------------------------- */

static basalt_status message_create(enum bs_message_kind kind, const char *instrument_id,
    struct bs_message **out_message, basalt_error *err)
{
    struct bs_message *message = bs_alloc_zeroed(1, sizeof *message);
    *out_message = NULL;
    if (!message) return bs_fail_memory(err, sizeof *message);
    message->kind = kind;
    message->bytes = MESSAGE_BYTES;
    if (instrument_id) {
        message->instrument = bs_copy_string(instrument_id);
        if (!message->instrument) {
            bs_free(message);
            return bs_fail_memory(err, strlen(instrument_id));
        }
    }
    *out_message = message;
    return BASALT_OK;
}

/* Puts `array` into the message; whose it is, is settled by how the sending ends. */
static basalt_status message_add(
    struct bs_message *message, const struct ArrowArray *array, basalt_error *err)
{
    uint64_t bytes = 0;
    const basalt_status status = array_bytes(message->schema, array, &bytes, err);
    if (status) return status;
    const size_t size = (message->array_count + 1) * sizeof *message->arrays;
    struct ArrowArray *larger = bs_realloc(message->arrays, size);
    if (!larger) return bs_fail_memory(err, size);
    message->arrays = larger;
    message->arrays[message->array_count++] = *array;
    message->rows += (uint64_t)array->length;
    message->bytes += bytes;
    return BASALT_OK;
}

/* What both ways to write a batch begin with. Creates *out_message. */
static basalt_status begin_batch(struct bs_recorder *recorder, const char *instrument_id,
    basalt_done_fn done, void *context, struct bs_message **out_message, basalt_error *err)
{
    *out_message = NULL;
    basalt_status status = check_call(recorder, !done, err);
    if (!status)
        status = check_text(instrument_id, "the instrument's name", BS_NAME_BYTES_MAX, false, err);
    if (!status) status = message_create(BS_MESSAGE_BATCH, instrument_id, out_message, err);
    if (status) return status;
    (*out_message)->done = done;
    (*out_message)->context = context;
    return BASALT_OK;
}

basalt_status bs_recorder_write(struct bs_recorder *recorder, const char *instrument_id,
    struct ArrowArray *array, const struct ArrowSchema *schema, basalt_done_fn done, void *context,
    basalt_error *err)
{
    struct bs_message *message = NULL;
    basalt_status status = begin_batch(recorder, instrument_id, done, context, &message, err);
    if (status) return status;
    BS_TRY(resolve_schema(recorder, instrument_id, schema, &message->schema, err));
    BS_TRY(message_add(message, array, err));
    BS_TRY(bs_mailbox_send(recorder, message, err));
    array->release = NULL;    /* moved: the message has it */
    if (done) message = NULL; /* and the recorder has the message */
out:
    bs_message_free(message, !status);
    return status;
}

/* Every array of the stream into the message. */
static basalt_status message_pull(
    struct bs_message *message, struct ArrowArrayStream *stream, basalt_error *err)
{
    for (;;) {
        struct ArrowArray array = {.release = NULL};
        bool end = false;
        basalt_status status = bs_stream_next(stream, &array, &end, err);
        if (status || end) return status;
        status = message_add(message, &array, err);
        if (status) {
            array.release(&array);
            return status;
        }
    }
}

static basalt_status stream_schema(
    struct ArrowArrayStream *stream, struct ArrowSchema *out_schema, basalt_error *err)
{
    return bs_stream_error(stream, stream->get_schema(stream, out_schema), err);
}

basalt_status bs_recorder_write_ipc(struct bs_recorder *recorder, const char *instrument_id,
    const void *bytes, size_t count, basalt_done_fn done, void *context, basalt_error *err)
{
    struct bs_message *message = NULL;
    struct ArrowArrayStream stream = {.release = NULL};
    struct ArrowSchema schema = {.release = NULL};
    basalt_status status = begin_batch(recorder, instrument_id, done, context, &message, err);
    if (status) return status;
    BS_TRY(bs_ipc_read_bytes(bytes, count, &stream, err));
    BS_TRY(stream_schema(&stream, &schema, err));
    BS_TRY(resolve_schema(recorder, instrument_id, &schema, &message->schema, err));
    BS_TRY(message_pull(message, &stream, err));
    BS_TRY(bs_mailbox_send(recorder, message, err));
    if (done) message = NULL; /* the recorder's now */
out:
    if (schema.release) schema.release(&schema);
    if (stream.release) stream.release(&stream);
    bs_message_free(message, true);
    return status;
}

/* ---- metadata and Flush ---------------------------------------------------------------------- */

/* The instrument is known from here on, so that the thread finds it. */
static basalt_status know_instrument(
    struct bs_recorder *recorder, const char *name, basalt_error *err)
{
    struct bs_instrument *instrument = NULL;
    bs_mutex_lock(&recorder->lock);
    const basalt_status status = bs_instruments_get(&recorder->instruments, name, &instrument, err);
    bs_mutex_unlock(&recorder->lock);
    return status;
}

static basalt_status check_metadata(
    const char *instrument_id, const char *key, const char *value, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (instrument_id) {
        status = check_text(instrument_id, "the instrument's name", BS_NAME_BYTES_MAX, false, err);
    }
    if (!status)
        status = check_text(key, "the metadata's key", ATTRIBUTE_NAME_BYTES_MAX, false, err);
    if (!status) {
        status = check_text(value, "the metadata's value", BS_STORE_ATTRIBUTE_BYTES_MAX, true, err);
    }
    return status;
}

basalt_status bs_recorder_set_metadata(struct bs_recorder *recorder, const char *instrument_id,
    const char *key, const char *value, basalt_error *err)
{
    struct bs_message *message = NULL;
    basalt_status status = check_call(recorder, true, err);
    if (!status) status = check_metadata(instrument_id, key, value, err);
    if (status) return status;

    BS_TRY(message_create(BS_MESSAGE_METADATA, instrument_id, &message, err));
    message->key = bs_copy_string(key);
    message->value = bs_copy_string(value);
    if (!message->key || !message->value) BS_TRY(bs_fail_memory(err, strlen(value)));
    if (instrument_id) BS_TRY(know_instrument(recorder, instrument_id, err));
    BS_TRY(bs_mailbox_send(recorder, message, err));
out:
    bs_message_free(message, false);
    return status;
}

basalt_status bs_recorder_flush(struct bs_recorder *recorder, basalt_error *err)
{
    struct bs_message *message = NULL;
    basalt_status status = check_call(recorder, true, err);
    if (status) return status;
    BS_TRY(message_create(BS_MESSAGE_FLUSH, NULL, &message, err));
    BS_TRY(bs_mailbox_send(recorder, message, err));
out:
    bs_message_free(message, false);
    return status;
}
