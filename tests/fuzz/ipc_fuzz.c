/* ipc_fuzz.c - libFuzzer target: any bytes as an Arrow IPC stream. What is read must be rows that a
 * batch takes, and a batch that was encoded must be one that decodes. */
#include "arrow/arrow.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(const struct bs_schema *schema, const struct ArrowArray *array)
{
    struct bs_bytes block = {0};
    struct bs_batch batch;
    const uint64_t rows =
        BS_MIN((uint64_t)array->length, 1 << 20); /* without columns: any number */
    const basalt_status status = bs_batch_encode(schema, array, 0, rows, &block, NULL);
    if (status && status != BASALT_SCHEMA_MISMATCH) abort(); /* a null in a column without nulls */
    if (!status) {
        if (bs_batch_decode(schema, block.data, block.count, &batch, NULL)) abort();
        bs_batch_clear(&batch);
    }
    bs_bytes_free(&block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    struct bs_schema *schema = NULL;
    struct bs_bytes encoded = {0};
    bool end = false;
    if (bs_ipc_read_bytes(data, size, &stream, NULL)) return 0;
    if (bs_stream_schema(&stream, &schema, NULL)) abort();
    while (!bs_stream_next(&stream, &array, &end, NULL) && !end) {
        take(schema, &array);
        array.release(&array);
    }
    struct bs_schema *again = NULL;
    if (bs_schema_encode(schema, &encoded, NULL)) abort();
    if (bs_schema_decode(encoded.data, encoded.count, &again, NULL)) abort();
    if (bs_schema_match(schema, again, NULL)) abort();
    bs_schema_release(again);
    bs_bytes_free(&encoded);
    bs_schema_release(schema);
    stream.release(&stream);
    return 0;
}
