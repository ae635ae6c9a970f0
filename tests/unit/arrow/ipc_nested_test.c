/* ipc_nested_test.c - streams of lists, structs and dictionaries that are written: no fault leaks or
 * gives a broken stream as a good one, and arrays that make no sense are refused. That other programs
 * read what is written is shown by tests/interop/arrow_ipc.py. */
#include "tests/unit/arrow/kit.h"

#include "arrow/ipc_internal.h"

#include <errno.h>

#define LEVELS (BS_IPC_NESTING_MAX + 2)

/* A table of three rows: list<int32>, a dictionary of texts, struct<text, int64[2]>. All of it is static
 * but for its copies here, so a test may change any part. */
struct table {
    struct ArrowSchema root, columns[3], item, values, members[2], pair, *column_list[3],
        *item_list[1], *member_list[2], *pair_list[1];
    struct ArrowArray array, arrays[3], items, words, member_arrays[2], pairs, *array_list[3],
        *items_list[1], *member_array_list[2], *pairs_list[1];
    uint8_t validity[1];
    int32_t offsets[4], word_offsets[3], text_offsets[4], numbers[5];
    int8_t codes[3];
    char text[8], words_text[8];
    int64_t long_numbers[6];
    const void *root_buffers[1], *list_buffers[2], *item_buffers[2], *code_buffers[2],
        *word_buffers[3], *struct_buffers[1], *text_buffers[3], *rows_buffers[1], *pair_buffers[2];
};

static void schema_released(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void array_released(struct ArrowArray *array)
{
    array->release = NULL;
}

static struct ArrowSchema field(
    const char *format, const char *name, struct ArrowSchema **children, int64_t count)
{
    return (struct ArrowSchema){.format = format,
        .name = name,
        .flags = ARROW_FLAG_NULLABLE,
        .n_children = count,
        .children = children,
        .release = schema_released};
}

static struct ArrowArray column(int64_t length, const void **buffers, int64_t buffer_count,
    struct ArrowArray **children, int64_t count)
{
    return (struct ArrowArray){.length = length,
        .null_count = -1,
        .n_buffers = buffer_count,
        .n_children = count,
        .buffers = buffers,
        .children = children,
        .release = array_released};
}

static void make_schema(struct table *table)
{
    table->item = field("i", "item", NULL, 0);
    table->item_list[0] = &table->item;
    table->columns[0] = field("+l", "numbers", table->item_list, 1);
    table->values = field("u", "", NULL, 0);
    table->columns[1] = field("c", "word", NULL, 0);
    table->columns[1].dictionary = &table->values;
    table->pair = field("l", "item", NULL, 0);
    table->pair_list[0] = &table->pair;
    table->members[0] = field("u", "text", NULL, 0);
    table->members[1] = field("+w:2", "pair", table->pair_list, 1);
    for (int i = 0; i < 2; i++) table->member_list[i] = &table->members[i];
    table->columns[2] = field("+s", "both", table->member_list, 2);
    for (int i = 0; i < 3; i++) table->column_list[i] = &table->columns[i];
    table->root = field("+s", "", table->column_list, 3);
}

static void set_buffers(struct table *table)
{
    table->list_buffers[0] = table->validity;
    table->list_buffers[1] = table->offsets;
    table->item_buffers[1] = table->numbers;
    table->code_buffers[0] = table->validity;
    table->code_buffers[1] = table->codes;
    table->word_buffers[1] = table->word_offsets;
    table->word_buffers[2] = table->words_text;
    table->text_buffers[0] = table->validity;
    table->text_buffers[1] = table->text_offsets;
    table->text_buffers[2] = table->text;
    table->pair_buffers[1] = table->long_numbers;
}

/* Row 1 is null in all columns but the struct, whose first member is. */
static void make_table(struct table *table)
{
    *table = (struct table){.validity = {5},
        .offsets = {0, 2, 2, 5},
        .word_offsets = {0, 3, 6},
        .text_offsets = {0, 1, 1, 4},
        .numbers = {1, 2, 3, 4, 5},
        .codes = {1, 77, 0},
        .text = "abcd",
        .words_text = "onetwo",
        .long_numbers = {1, 2, 3, 4, 5, 6}};
    make_schema(table);
    set_buffers(table);
    table->items = column(5, table->item_buffers, 2, NULL, 0);
    table->items_list[0] = &table->items;
    table->arrays[0] = column(3, table->list_buffers, 2, table->items_list, 1);
    table->words = column(2, table->word_buffers, 3, NULL, 0);
    table->arrays[1] = column(3, table->code_buffers, 2, NULL, 0);
    table->arrays[1].dictionary = &table->words;
    table->pairs = column(6, table->pair_buffers, 2, NULL, 0);
    table->pairs_list[0] = &table->pairs;
    table->member_arrays[0] = column(3, table->text_buffers, 3, NULL, 0);
    table->member_arrays[1] = column(3, table->rows_buffers, 1, table->pairs_list, 1);
    for (int i = 0; i < 2; i++) table->member_array_list[i] = &table->member_arrays[i];
    table->arrays[2] = column(3, table->struct_buffers, 1, table->member_array_list, 2);
    for (int i = 0; i < 3; i++) table->array_list[i] = &table->arrays[i];
    table->array = column(3, table->root_buffers, 1, table->array_list, 3);
}

struct source {
    const struct table *table;
    unsigned left;
};

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    *out = ((struct source *)stream->private_data)->table->root;
    return 0;
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct source *source = stream->private_data;
    memset(out, 0, sizeof *out);
    if (source->left) *out = source->table->array;
    if (source->left) source->left--;
    return 0;
}

static void stream_released(struct ArrowArrayStream *stream)
{
    stream->release = NULL;
}

static int append(void *context, const void *bytes, size_t count)
{
    bs_bytes_put(context, bytes, count);
    return ((struct bs_bytes *)context)->failed ? ENOMEM : 0;
}

static basalt_status write_table(
    const struct table *table, unsigned arrays, struct bs_bytes *out, basalt_error *error)
{
    struct source source = {table, arrays};
    struct ArrowArrayStream stream = {.get_schema = get_schema,
        .get_next = get_next,
        .release = stream_released,
        .private_data = &source};
    return bs_ipc_write(&stream, append, out, error);
}

TEST(ipc_nested, a_dictionary_goes_out_again_only_if_it_differs)
{
    static struct table table;
    struct bs_bytes none = {0}, one = {0}, two = {0};
    make_table(&table);
    REQUIRE_OK(write_table(&table, 0, &none, err));
    REQUIRE_OK(write_table(&table, 1, &one, err));
    REQUIRE_OK(write_table(&table, 2, &two, err));
    CHECK(none.count < one.count);
    CHECK(two.count - one.count < one.count - none.count); /* a batch, and no dictionary */
    bs_bytes_free(&none);
    bs_bytes_free(&one);
    bs_bytes_free(&two);
}

TEST(ipc_nested, no_fault_leaks_or_gives_a_broken_stream)
{
    static struct table table;
    struct bs_bytes good = {0};
    const int64_t before = test_live_allocations();
    make_table(&table);
    REQUIRE_OK(write_table(&table, 2, &good, err));
    EACH_FAULT (step) {
        struct bs_bytes written = {0};
        basalt_error why = {0};
        const basalt_status status = write_table(&table, 2, &written, &why);
        fault_stop();
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        CHECK_EQ(status, why.status);
        if (!status) CHECK(written.count == good.count);
        if (!status) CHECK(memcmp(written.data, good.data, good.count) == 0);
        bs_bytes_free(&written);
    }
    bs_bytes_free(&good);
    CHECK_EQ(test_live_allocations(), before);
}

/* ---- arrays that make no sense ------------------------------------------------------------------ */

static void fall(struct table *table)
{
    table->offsets[2] = 1;
}
static void begin_below_0(struct table *table)
{
    table->offsets[0] = -1;
}
static void reach_beyond(struct table *table)
{
    table->offsets[3] = 6;
}
static void code_too_large(struct table *table)
{
    table->codes[0] = 2;
}
static void code_below_0(struct table *table)
{
    table->codes[2] = -1;
}
static void no_utf8(struct table *table)
{
    table->text[0] = (char)0xff;
}
static void no_utf8_in_dictionary(struct table *table)
{
    table->words_text[4] = (char)0xff;
}
static void child_too_short(struct table *table)
{
    table->member_arrays[0].length = 2;
}
static void rows_too_few(struct table *table)
{
    table->pairs.length = 5;
}
static void no_values(struct table *table)
{
    table->pair_buffers[1] = NULL;
}
static void no_offsets(struct table *table)
{
    table->list_buffers[1] = NULL;
}
static void no_text(struct table *table)
{
    table->text_buffers[2] = NULL;
}
static void buffer_missing(struct table *table)
{
    table->items.n_buffers = 1;
}
static void child_missing(struct table *table)
{
    table->arrays[2].n_children = 1;
}
static void child_released(struct table *table)
{
    table->pairs.release = NULL;
}
static void dictionary_missing(struct table *table)
{
    table->arrays[1].dictionary = NULL;
}
static void dictionary_too_many(struct table *table)
{
    table->arrays[0].dictionary = &table->words;
}
static void null_rows(struct table *table)
{
    table->array.null_count = 1;
}
static void length_below_0(struct table *table)
{
    table->items.length = -1;
}
static void offset_below_0(struct table *table)
{
    table->items.offset = -1;
}
static void offset_without_end(struct table *table)
{
    table->items.offset = INT64_MAX - 1;
}

TEST(ipc_nested, arrays_that_make_no_sense_are_refused)
{
    static void (*const damages[])(struct table *) = {fall, begin_below_0, reach_beyond,
        code_too_large, code_below_0, no_utf8, no_utf8_in_dictionary, child_too_short, rows_too_few,
        no_values, no_offsets, no_text, buffer_missing, child_missing, child_released,
        dictionary_missing, dictionary_too_many, null_rows, length_below_0, offset_below_0,
        offset_without_end};
    static struct table table;
    const int64_t before = test_live_allocations();
    for (size_t i = 0; i < BS_ARRAY_LENGTH(damages); i++) {
        struct bs_bytes written = {0};
        basalt_error why = {0};
        make_table(&table);
        damages[i](&table);
        const basalt_status status = write_table(&table, 1, &written, &why);
        if (status != BASALT_BAD_ARGUMENT) {
            test_fail(__FILE__, __LINE__, "damage %zu: %d %s", i, status, why.message);
        }
        CHECK(why.message[0] != '\0');
        bs_bytes_free(&written);
    }
    CHECK_EQ(test_live_allocations(), before);
}

TEST(ipc_nested, what_lies_under_a_null_may_be_anything)
{
    static struct table table;
    struct bs_bytes written = {0};
    make_table(&table);
    table.codes[1] = -5; /* null itself */
    REQUIRE_OK(write_table(&table, 1, &written, err));
    table.struct_buffers[0] = table.validity; /* and in a row that is null as a whole */
    table.members[0] = field("c", "text", NULL, 0);
    table.members[0].dictionary = &table.values;
    table.code_buffers[0] = NULL;
    table.arrays[1].null_count = 0;
    table.codes[1] = 0;
    table.member_arrays[0] = table.arrays[1];
    REQUIRE_OK(write_table(&table, 1, &written, err));
    static const void *other_codes[2];
    static const int8_t wild[3] = {0, 99, 1};
    other_codes[1] = wild;
    table.member_arrays[0].buffers = other_codes;
    REQUIRE_OK(write_table(&table, 1, &written, err));
    table.struct_buffers[0] = NULL;
    CHECK_EQ(write_table(&table, 1, &written, NULL), BASALT_BAD_ARGUMENT);
    bs_bytes_free(&written);
}

/* ---- schemas ------------------------------------------------------------------------------------ */

static basalt_status try_format(const char *format, basalt_error *error)
{
    static struct table table;
    struct bs_bytes written = {0};
    make_table(&table);
    table.item.format = format;
    const basalt_status status = write_table(&table, 0, &written, error);
    if (status) CHECK(written.count == 0);
    bs_bytes_free(&written);
    return status;
}

TEST(ipc_nested, formats)
{
    static const char *const good[] = {
        "n", "d:9,2", "d:38,-3", "d:76,0,256", "d:9,2,32", "tiM", "tiD", "tin", "w:3", "tsu:UTC"};
    static const char *const bad[] = {"d:", "d:9", "d:x,2", "d:0,2", "d:9,2,129", "d:9,2,128,1",
        "d:99999999999,2", "ti", "tix", "tinn", "+ud:0,1", "+us:0", "+us:0,", "+us:128", "+us:-1",
        "+us:x", "vu", "vz", "+vl", "+r", "w:0", "?", "", "+w:", "+w:-1", "+w:x", "+w:99999999999"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(good); i++) CHECK_OK(try_format(good[i], err));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(bad); i++) {
        basalt_error why = {0};
        if (try_format(bad[i], &why) != BASALT_UNSUPPORTED || !strstr(why.message, "\"item\"")) {
            test_fail(__FILE__, __LINE__, "format \"%s\": %d %s", bad[i], why.status, why.message);
        }
    }
    CHECK_EQ(try_format("+l", NULL), BASALT_BAD_ARGUMENT); /* a list of nothing */
}

TEST(ipc_nested, schemas_that_make_no_sense_are_refused)
{
    static struct table table;
    static struct ArrowSchema levels[LEVELS], *lists[LEVELS];
    struct bs_bytes written = {0};
    make_table(&table);
    table.columns[1].format = "f";
    CHECK_EQ(write_table(&table, 0, &written, NULL), BASALT_UNSUPPORTED);
    make_table(&table);
    table.values.dictionary = &table.item;
    table.values.format = "i";
    CHECK_EQ(write_table(&table, 0, &written, NULL), BASALT_UNSUPPORTED);
    make_table(&table);
    table.columns[0].n_children = -1;
    CHECK_EQ(write_table(&table, 0, &written, NULL), BASALT_BAD_ARGUMENT);
    make_table(&table);
    table.item.release = NULL;
    CHECK_EQ(write_table(&table, 0, &written, NULL), BASALT_BAD_ARGUMENT);
    make_table(&table);
    levels[LEVELS - 1] = field("i", "leaf", NULL, 0);
    for (int i = LEVELS - 1; i-- > 0;) {
        lists[i] = &levels[i + 1];
        levels[i] = field("+l", "level", &lists[i], 1);
    }
    table.column_list[0] = &levels[1]; /* with the root one level more than there may be */
    CHECK_EQ(write_table(&table, 0, &written, NULL), BASALT_TOO_LARGE);
    table.column_list[0] = &levels[2];
    CHECK_OK(write_table(&table, 0, &written, err));
    bs_bytes_free(&written);
}
