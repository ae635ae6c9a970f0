/* ipc_schema.c - a schema as an Arrow IPC message, and back. */
#include "arrow/ipc_internal.h"

#include <errno.h>

basalt_status bs_ipc_fail(
    basalt_error *err, int code, const struct ArrowError *error, const char *what)
{
    const char *text = error && error->message[0] ? error->message : "it is not valid";
    if (code == ENOMEM)
        return bs_fail(err, BASALT_NO_MEMORY, BASALT_NO_OFFSET, "%s: no memory", what);
    return bs_fail(err, code == ENOTSUP ? BASALT_UNSUPPORTED : BASALT_CORRUPT, BASALT_NO_OFFSET,
        "%s: %s", what, text);
}

basalt_status bs_schema_encode(
    const struct bs_schema *schema, struct bs_bytes *out, basalt_error *err)
{
    struct ArrowSchema arrow = {0};
    struct ArrowIpcEncoder encoder;
    struct ArrowBuffer message;
    struct ArrowError error = {""};
    ArrowBufferInit(&message);
    basalt_status status = bs_schema_export(schema, &arrow, err);
    if (status) return status;
    int code = ArrowIpcEncoderInit(&encoder); /* after a failure there is nothing to reset */
    if (!code) {
        code = ArrowIpcEncoderEncodeSchema(&encoder, &arrow, &error);
        if (!code) code = ArrowIpcEncoderFinalizeBuffer(&encoder, 1, &message);
        ArrowIpcEncoderReset(&encoder);
    }
    if (code) status = bs_ipc_fail(err, code, &error, "the schema could not be encoded");
    if (!status) {
        bs_bytes_put(out, message.data, (size_t)message.size_bytes);
        status = bs_bytes_check(out, err);
    }
    ArrowBufferReset(&message);
    arrow.release(&arrow);
    return status;
}

static basalt_status take_schema(
    struct ArrowIpcDecoder *decoder, struct bs_schema **out_schema, basalt_error *err)
{
    struct ArrowSchema arrow = {0};
    struct ArrowError error = {""};
    if (decoder->endianness == NANOARROW_IPC_ENDIANNESS_BIG) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the Arrow data is big-endian, which Basalt does not read: write it on, or for, a "
            "little-endian machine");
    }
    const int code = ArrowIpcDecoderDecodeSchema(decoder, &arrow, &error);
    if (code) return bs_ipc_fail(err, code, &error, "the Arrow schema can't be read");
    const basalt_status status = bs_schema_import(&arrow, out_schema, err);
    if (arrow.release) arrow.release(&arrow);
    return status;
}

basalt_status bs_ipc_decode_schema(struct ArrowIpcDecoder *decoder, const uint8_t *message,
    size_t count, struct bs_schema **out_schema, basalt_error *err)
{
    const struct ArrowBufferView view = {{message}, (int64_t)count};
    struct ArrowError error = {""};
    const basalt_status status =
        bs_ipc_check_message(message + BS_IPC_PREFIX_BYTES, count - BS_IPC_PREFIX_BYTES, err);
    if (status) return status;
    int code = ArrowIpcDecoderVerifyHeader(decoder, view, &error);
    if (!code && decoder->message_type != NANOARROW_IPC_MESSAGE_TYPE_SCHEMA) {
        return bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the Arrow stream does not begin with a schema");
    }
    if (!code) code = ArrowIpcDecoderDecodeHeader(decoder, view, &error);
    if (code) return bs_ipc_fail(err, code, &error, "the Arrow schema can't be read");
    if (decoder->body_size_bytes != 0) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the Arrow schema message has a body, which it must not");
    }
    return take_schema(decoder, out_schema, err);
}

basalt_status bs_schema_decode(
    const void *bytes, size_t count, struct bs_schema **out_schema, basalt_error *err)
{
    struct ArrowIpcDecoder decoder;
    basalt_status status = BASALT_OK;
    *out_schema = NULL;
    if (count < BS_IPC_PREFIX_BYTES || count > BS_IPC_METADATA_BYTES_MAX ||
        bs_load_u32(bytes) != BS_IPC_CONTINUATION ||
        bs_load_u32((const uint8_t *)bytes + 4) > count - BS_IPC_PREFIX_BYTES) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the stored schema is not a whole Arrow IPC message");
    }
    uint8_t *message = bs_copy_bytes(bytes, count); /* flatbuffers must be aligned */
    if (!message) return bs_fail_memory(err, count);
    const int code = ArrowIpcDecoderInit(&decoder);
    if (code) {
        status = bs_ipc_fail(err, code, NULL, "the schema can't be read");
    } else {
        status = bs_ipc_decode_schema(&decoder, message, count, out_schema, err);
        ArrowIpcDecoderReset(&decoder);
    }
    bs_free(message);
    return status;
}
