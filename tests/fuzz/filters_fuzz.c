/* filters_fuzz.c - any bytes as a stored chunk under any filters and parameters: the chunk, or a clear
 * error, in no more memory than the chunk's size allows.
 *
 * INPUT: u8 filters, at most 4; of each u8 which one, u8 parameters, u32 each; u16 bytes of the chunk;
 * the rest is what is stored. */
#include "codec/codec.h"

#include <stdio.h>
#include <stdlib.h>

#define FILTERS_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void read_filter(struct bs_cursor *cursor, struct bs_filter *filter)
{
    static const uint16_t ids[] = {1, 2, 3, 4, 5, 6, 307, 32000, 32001, 32004, 32008, 32015};
    filter->id = ids[bs_cursor_u8(cursor) % BS_ARRAY_LENGTH(ids)];
    filter->parameter_count = bs_cursor_u8(cursor) % (BS_FILTER_PARAMETERS_MAX + 1);
    for (unsigned i = 0; i < filter->parameter_count; i++) {
        filter->parameters[i] = bs_cursor_u32(cursor);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_cursor cursor = bs_cursor_make(data, count, BASALT_NO_OFFSET);
    struct bs_pipeline pipeline = {.count = (uint16_t)(bs_cursor_u8(&cursor) % (FILTERS_MAX + 1))};
    struct bs_codec_scratch *scratch = NULL;
    basalt_error fault = {0};

    for (unsigned i = 0; i < pipeline.count; i++) read_filter(&cursor, &pipeline.filters[i]);
    const size_t raw_bytes = bs_cursor_u16(&cursor);
    if (cursor.failed) return 0;
    const size_t stored_bytes = bs_cursor_left(&cursor);
    uint8_t *stored = bs_copy_bytes(cursor.at, stored_bytes);
    uint8_t *raw = bs_alloc(raw_bytes);
    if (!stored || !raw || bs_codec_scratch_create(&scratch, &fault)) abort();
    const basalt_status status =
        bs_pipeline_decode(&pipeline, 0, scratch, stored, stored_bytes, raw, raw_bytes, &fault);
    if (status && status != BASALT_CORRUPT && status != BASALT_UNSUPPORTED) {
        fprintf(stderr, "filters_fuzz: a chunk gives %d: %s\n", (int)status, fault.message);
        abort();
    }
    bs_codec_scratch_free(scratch);
    bs_free(stored);
    bs_free(raw);
    return 0;
}
