/* stream_test.c - streams that Basalt gives, and streams that others give. */
#include "tests/unit/arrow/kit.h"

#include <errno.h>

struct counter {
    struct bs_schema *schema;
    unsigned left, closed;
    basalt_status failure; /* given instead of the last array */
};

static basalt_status next(void *context, struct ArrowArray *out, basalt_error *error)
{
    struct counter *counter = context;
    struct bs_array_builder *builder = NULL;
    void *room;
    if (counter->left == 0) return BASALT_OK;
    if (--counter->left == 0 && counter->failure) {
        return bs_fail(error, counter->failure, 77, "the source broke");
    }
    basalt_status status = bs_array_builder_create(counter->schema, 1, &builder, error);
    if (!status) status = bs_array_builder_reserve(builder, 0, 1, &room, error);
    if (!status) memset(room, 1, 4);
    if (!status) status = bs_array_builder_finish(&builder, out, error);
    bs_array_builder_free(builder);
    return status;
}

static void closed(void *context)
{
    ((struct counter *)context)->closed++;
}

static const struct bs_stream_source source = {.next = next, .close = closed};
static const char *const formats[] = {"i"};

TEST(stream, gives_schema_arrays_and_an_end)
{
    uint64_t seed = 1;
    struct counter counter = {kit_schema(formats, 1, true, &seed), 3, 0, BASALT_OK};
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    struct bs_schema *schema = NULL;
    bool end = false;
    unsigned count = 0;
    REQUIRE_OK(bs_stream_create(counter.schema, &source, &counter, &stream, err));
    REQUIRE_OK(bs_stream_schema(&stream, &schema, err));
    CHECK_OK(bs_schema_match(counter.schema, schema, err));
    for (;;) {
        REQUIRE_OK(bs_stream_next(&stream, &array, &end, err));
        if (end) break;
        CHECK_EQ(array.length, 1);
        array.release(&array);
        count++;
    }
    CHECK_EQ(count, 3);
    CHECK_OK(bs_stream_next(&stream, &array, &end, err));
    CHECK(end);
    CHECK(stream.get_last_error(&stream) == NULL);
    CHECK_EQ(counter.closed, 0);
    stream.release(&stream);
    CHECK(stream.release == NULL);
    CHECK_EQ(counter.closed, 1);
    bs_schema_release(schema);
    bs_schema_release(counter.schema);
}

TEST(stream, an_error_keeps_its_status_and_place)
{
    uint64_t seed = 2;
    struct counter counter = {kit_schema(formats, 1, true, &seed), 2, 0, BASALT_CORRUPT};
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    basalt_error why = {0};
    bool end;
    REQUIRE_OK(bs_stream_create(counter.schema, &source, &counter, &stream, err));
    REQUIRE_OK(bs_stream_next(&stream, &array, &end, err));
    array.release(&array);
    for (int i = 0; i < 2; i++) { /* and it stays so */
        CHECK_EQ(bs_stream_next(&stream, &array, &end, &why), BASALT_CORRUPT);
        CHECK_EQ(why.file_offset, 77);
        CHECK_TEXT(why.message, "the source broke");
        CHECK(array.release == NULL);
    }
    CHECK_EQ(stream.get_next(&stream, &array), EBADMSG);
    CHECK_TEXT(stream.get_last_error(&stream), "the source broke");
    stream.release(&stream);
    CHECK_EQ(bs_stream_next(&stream, &array, &end, &why), BASALT_BAD_ARGUMENT);
    bs_schema_release(counter.schema);
}

static int foreign_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    memset(out, 0xAA, sizeof *out); /* what a failed call leaves there is undefined */
    return *(int *)stream->private_data;
}
static int foreign_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    (void)out;
    return *(int *)stream->private_data;
}
static const char *foreign_error(struct ArrowArrayStream *stream)
{
    return *(int *)stream->private_data == EINVAL ? "no such colour" : NULL;
}
static void foreign_release(struct ArrowArrayStream *stream)
{
    stream->release = NULL;
}

TEST(stream, the_text_of_a_foreign_stream_is_passed_on)
{
    int code = EINVAL;
    struct ArrowArrayStream stream = {
        foreign_schema, foreign_next, foreign_error, foreign_release, &code};
    struct ArrowArray array;
    struct bs_schema *schema = NULL;
    basalt_error why = {0};
    bool end;
    CHECK_EQ(bs_stream_next(&stream, &array, &end, &why), BASALT_BAD_ARGUMENT);
    CHECK_TEXT(why.message, "the Arrow stream failed: no such colour");
    CHECK(array.release == NULL);
    CHECK_EQ(bs_stream_schema(&stream, &schema, &why), BASALT_BAD_ARGUMENT);
    code = EIO;
    CHECK_EQ(bs_stream_next(&stream, &array, &end, &why), BASALT_IO_ERROR);
    CHECK_EQ(why.os_errno, EIO);
    CHECK(strstr(why.message, "does not say why") != NULL);
    code = ENOMEM;
    CHECK_EQ(bs_stream_next(&stream, &array, &end, NULL), BASALT_NO_MEMORY);
    CHECK_EQ(bs_stream_next(NULL, &array, &end, NULL), BASALT_BAD_ARGUMENT);
}

/* A stream of somebody else's around one of ours passes errno and text on, and no more. */
static int around_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct ArrowArrayStream *inner = stream->private_data;
    return inner->get_next(inner, out);
}
static const char *around_error(struct ArrowArrayStream *stream)
{
    struct ArrowArrayStream *inner = stream->private_data;
    return inner->get_last_error(inner);
}

TEST(stream, every_status_outlives_a_foreign_stream)
{
    for (int status = BASALT_NOT_FOUND; status <= BASALT_NOT_HDF5; status++) {
        uint64_t seed = 4;
        struct counter counter = {kit_schema(formats, 1, true, &seed), 1, 0, (basalt_status)status};
        struct ArrowArrayStream inner;
        struct ArrowArray array;
        basalt_error why = {0};
        bool end;
        REQUIRE_OK(bs_stream_create(counter.schema, &source, &counter, &inner, err));
        struct ArrowArrayStream around = {
            foreign_schema, around_next, around_error, foreign_release, &inner};
        CHECK_EQ(bs_stream_next(&around, &array, &end, &why), status);
        CHECK_EQ(why.status, status);
        CHECK_TEXT(why.message, "the Arrow stream failed: the source broke");
        CHECK_EQ(bs_stream_error(&inner, inner.get_next(&inner, &array), &why), status);
        CHECK_EQ(why.file_offset, 77);
        CHECK_TEXT(why.message, "the source broke");
        inner.release(&inner);
        bs_schema_release(counter.schema);
    }
}

TEST(stream, no_memory_is_no_crash)
{
    uint64_t seed = 3;
    struct bs_schema *schema = kit_schema(formats, 1, true, &seed);
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct counter counter = {schema, 2, 0, BASALT_OK};
        struct ArrowArrayStream stream = {0};
        struct ArrowArray array = {0};
        struct bs_schema *found = NULL;
        basalt_error why = {0};
        bool end = false;
        basalt_status status = bs_stream_create(schema, &source, &counter, &stream, &why);
        if (!status) status = bs_stream_schema(&stream, &found, &why);
        while (!status && !end) {
            status = bs_stream_next(&stream, &array, &end, &why);
            if (array.release) array.release(&array);
        }
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        CHECK_EQ(status, why.status);
        fault_stop();
        if (stream.release) stream.release(&stream);
        CHECK_EQ(counter.closed, 1);
        bs_schema_release(found);
        CHECK_EQ(test_live_allocations(), before);
    }
    bs_schema_release(schema);
}
