/* filter_text.c - a row of filters as people write it: "shuffle,deflate:6", "bitshuffle:zstd", "none".
 *
 * Filters of a library of their own get the parameters that their plugins for libhdf5 write. */
#include "codec/codec_internal.h"

#include <stdlib.h>

#define WORD_BYTES_MAX 24
#define WORDS_MAX 4 /* of one filter */

enum { FLAG_OPTIONAL = 1 };

struct words {
    char text[WORDS_MAX][WORD_BYTES_MAX];
    unsigned count;
};

struct request { /* for one filter */
    const struct words *words;
    uint64_t element_bytes, chunk_bytes;
    struct bs_filter *out;
};

static basalt_status bad(const char *text, size_t count, const char *why, basalt_error *err)
{
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "\"%.*s\" is no filter: %s",
        (int)BS_MIN(count, (size_t)60), text, why);
}

static void add(struct bs_filter *filter, uint64_t value)
{
    filter->parameters[filter->parameter_count++] = (uint32_t)BS_MIN(value, (uint64_t)UINT32_MAX);
}

/* Word `at` as a number from low to high; absent: `otherwise`. */
static bool number(const struct words *words, unsigned at, unsigned long low, unsigned long high,
    unsigned long otherwise, unsigned long *out)
{
    char *end;
    *out = otherwise;
    if (at >= words->count) return true;
    if (words->text[at][0] < '0' || words->text[at][0] > '9') return false;
    *out = strtoul(words->text[at], &end, 10);
    return *end == 0 && *out >= low && *out <= high;
}

static bool choice(const struct words *words, unsigned at, const char *const *names, size_t count,
    unsigned long otherwise, unsigned long *out)
{
    *out = otherwise;
    if (at >= words->count) return true;
    for (*out = 0; *out < count; (*out)++) {
        if (names[*out] && !strcmp(words->text[at], names[*out])) return true;
    }
    return false;
}

/* ---- one function a kind of parameters --------------------------------------------------------- */

static const char *without(const struct request *request)
{
    return request->words->count > 1 ? "it takes no parameter" : NULL;
}

static const char *make_fletcher32(const struct request *request)
{
    request->out->flags = 0; /* a checksum is never left out */
    return without(request);
}

static const char *make_shuffle(const struct request *request)
{
    add(request->out, request->element_bytes);
    return without(request);
}

static const char *make_level(
    const struct request *request, unsigned long high, unsigned long usual, const char *why)
{
    unsigned long level;
    if (request->words->count > 2 || !number(request->words, 1, 1, high, usual, &level)) return why;
    add(request->out, level);
    return NULL;
}

static const char *make_deflate(const struct request *request)
{
    return make_level(request, 9, 6, "its level is 1 to 9");
}

static const char *make_bzip2(const struct request *request)
{
    return make_level(request, 9, 9, "its level is 1 to 9");
}

static const char *make_zstd(const struct request *request)
{
    return make_level(request, 22, 3, "its level is 1 to 22");
}

static const char *make_lzf(const struct request *request)
{
    add(request->out, 4); /* version of h5py's filter, then of liblzf */
    add(request->out, 0x0105);
    add(request->out, request->chunk_bytes);
    return without(request);
}

static const char *make_bitshuffle(const struct request *request)
{
    static const char *const codecs[] = {"none", NULL, "lz4", "zstd"};
    unsigned long codec, level;
    if (request->words->count > 3 || !choice(request->words, 1, codecs, 4, 2, &codec) ||
        !number(request->words, 2, 1, 22, 3, &level) ||
        (request->words->count == 3 && codec != 3)) {
        return "it takes none, lz4 or zstd, and zstd a level of 1 to 22";
    }
    add(request->out, 0); /* version of the plugin: 0.4 */
    add(request->out, 4);
    add(request->out, request->element_bytes);
    add(request->out, 0); /* the usual block */
    add(request->out, codec);
    if (codec == 3) add(request->out, level);
    return NULL;
}

static const char *make_blosc(const struct request *request)
{
    static const char *const codecs[] = {"blosclz", "lz4", "lz4hc", NULL, "zlib", "zstd"};
    unsigned long codec, level;
    if (request->words->count > 3 || !choice(request->words, 1, codecs, 6, 1, &codec) ||
        !number(request->words, 2, 0, 9, 5, &level)) {
        return "it takes blosclz, lz4, lz4hc, zlib or zstd, and a level of 0 to 9";
    }
    add(request->out, 2); /* versions of the filter and of Blosc's format */
    add(request->out, 2);
    add(request->out, request->element_bytes);
    add(request->out, request->chunk_bytes);
    add(request->out, level);
    add(request->out, 1); /* shuffled by bytes */
    add(request->out, codec);
    return NULL;
}

static const struct {
    const char *name;
    uint16_t id;
    const char *(*make)(const struct request *request); /* what is wrong, or NULL */
} makers[] = {
    {"shuffle", BS_FILTER_SHUFFLE, make_shuffle},
    {"deflate", BS_FILTER_DEFLATE, make_deflate},
    {"gzip", BS_FILTER_DEFLATE, make_deflate},
    {"zstd", BS_FILTER_ZSTD, make_zstd},
    {"lz4", BS_FILTER_LZ4, without},
    {"lzf", BS_FILTER_LZF, make_lzf},
    {"bzip2", BS_FILTER_BZIP2, make_bzip2},
    {"bitshuffle", BS_FILTER_BITSHUFFLE, make_bitshuffle},
    {"blosc", BS_FILTER_BLOSC, make_blosc},
    {"fletcher32", BS_FILTER_FLETCHER32, make_fletcher32},
};

static bool split(const char *text, size_t count, struct words *out)
{
    size_t length = 0;
    *out = (struct words){.count = 1};
    for (size_t i = 0; i < count; i++) {
        if (text[i] == ':') {
            if (out->count++ == WORDS_MAX) return false;
            length = 0;
        } else {
            if (length + 1 == WORD_BYTES_MAX) return false;
            out->text[out->count - 1][length++] = text[i];
        }
    }
    return true;
}

static basalt_status parse_one(
    const char *text, size_t count, struct request *request, basalt_error *err)
{
    struct words words;
    request->words = &words;
    if (!split(text, count, &words)) return bad(text, count, "it is too long", err);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(makers); i++) {
        if (strcmp(words.text[0], makers[i].name) != 0) continue;
        request->out->id = makers[i].id;
        request->out->flags = FLAG_OPTIONAL;
        const char *wrong = makers[i].make(request);
        return wrong ? bad(text, count, wrong, err) : BASALT_OK;
    }
    return bad(text, count,
        "there are shuffle, deflate, zstd, lz4, lzf, bzip2, bitshuffle, blosc and fletcher32", err);
}

basalt_status bs_pipeline_parse(const char *text, uint64_t element_bytes, uint64_t chunk_bytes,
    struct bs_pipeline *out_pipeline, basalt_error *err)
{
    struct request request = {.element_bytes = element_bytes, .chunk_bytes = chunk_bytes};
    memset(out_pipeline, 0, sizeof *out_pipeline);
    if (!strcmp(text, "none")) return BASALT_OK;
    while (true) {
        const size_t count = strcspn(text, ",");
        if (out_pipeline->count == BS_FILTERS_MAX) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "a dataset has at most %d filters", BS_FILTERS_MAX);
        }
        request.out = &out_pipeline->filters[out_pipeline->count];
        const basalt_status status = parse_one(text, count, &request, err);
        if (status) {
            memset(out_pipeline, 0, sizeof *out_pipeline);
            return status;
        }
        out_pipeline->count++;
        if (!text[count]) return BASALT_OK;
        text += count + 1;
    }
}
