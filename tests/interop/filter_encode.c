/* filter_encode.c - applies filters to a chunk, for filters.py to hand it to others.
 *
 *   filter_encode NUMBER[:PARAMETER,...]... < RAW > STORED */
#include "codec/codec.h"

#include <stdio.h>
#include <stdlib.h>

#define RAW_BYTES_MAX ((size_t)1 << 24)

static void read_filter(char *text, struct bs_filter *filter)
{
    char *at = text;
    filter->id = (uint16_t)strtoul(at, &at, 10);
    while ((*at == ':' || *at == ',') && filter->parameter_count < BS_FILTER_PARAMETERS_MAX) {
        filter->parameters[filter->parameter_count++] = (uint32_t)strtoul(at + 1, &at, 10);
    }
}

int main(int argc, char **argv)
{
    struct bs_pipeline pipeline = {0};
    struct bs_codec_scratch *scratch = NULL;
    uint8_t *raw = malloc(RAW_BYTES_MAX);
    basalt_error fault = {0};
    const void *stored;
    size_t count;
    uint32_t mask;
    int result = 1;

    if (!raw || argc < 2 || argc > BS_FILTERS_MAX) return 2;
    for (int i = 1; i < argc; i++) read_filter(argv[i], &pipeline.filters[pipeline.count++]);
    const size_t raw_bytes = fread(raw, 1, RAW_BYTES_MAX, stdin);
    if (bs_codec_scratch_create(&scratch, &fault) ||
        bs_pipeline_encode(&pipeline, scratch, raw, raw_bytes, &stored, &count, &mask, &fault)) {
        fprintf(stderr, "%s\n", fault.message);
    } else {
        result = mask || fwrite(stored, 1, count, stdout) != count || fflush(stdout);
    }
    bs_codec_scratch_free(scratch);
    free(raw);
    return result;
}
