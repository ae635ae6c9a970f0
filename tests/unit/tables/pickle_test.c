/* pickle_test.c - plain data out of pickles of every protocol; what else they say is not done. That names
 * of pandas are right is shown by tests/interop/tables.py. */
#include "tables/pickle.h"
#include "tests/harness/test.h"

struct sample {
    const char *bytes;
    size_t count;
    const char *labels; /* of its items, each with a comma behind it; NULL: refused */
};
#define SAMPLE(bytes_, labels_)                                                                    \
    {                                                                                              \
        bytes_, sizeof(bytes_) - 1, labels_                                                        \
    }

static const struct sample samples[] = {
    SAMPLE("(lp0\nVa\np1\naV\\u00e4\np2\na.", "a,\xC3\xA4,"),
    SAMPLE("(lp0\nI3\naI01\naNaF1.5\naF2\naS'b c'\np1\nag1\na.", "3,True,None,1.5,2.0,b c,b c,"),
    SAMPLE("(I0\nVindex\np1\ntp2\n.", "0,index,"),
    SAMPLE(
        "\x80\x02]q\x00(X\x01\x00\x00\x00xq\x01K\x07M\x00\x01J\xff\xff\xff\xff\x88\x8a\x01\xfeh\x01"
        "e.",
        "x,7,256,-1,True,-2,x,"),
    SAMPLE(
        "\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x01y\x94G?\xe0\x00\x00\x00\x00\x00"
        "\x00\x86"
        "e.",
        "?,"),
    SAMPLE("\x80\x04]\x94(\x8c\x01y\x94G?\xe0\x00\x00\x00\x00\x00\x00"
           "e.",
        "y,0.5,"),
    SAMPLE("cos\nsystem\n(Vrm\ntR.", ""), /* something built: of no kind, without items */
    SAMPLE("(lp0\ncos\nsystem\na.", "?,"),
    SAMPLE("", NULL),
    SAMPLE("a.", NULL),
    SAMPLE("(.", ""),
    SAMPLE("I1\nI2\n.", NULL),
    SAMPLE("S'a\\n'\n.", NULL),
    SAMPLE("g7\n.", NULL),
    SAMPLE("p999999999\n.", NULL),
    SAMPLE("X\xff\xff\xff\xff.", NULL),
    SAMPLE("(lg", NULL),
};

static void put_labels(const struct bs_pickle *pickle, struct bs_bytes *out)
{
    size_t value, left = 1000; /* a list may hold itself */
    for (size_t at = bs_pickle_first(pickle, bs_pickle_root(pickle)); at && left--;) {
        at = bs_pickle_next(pickle, at, &value);
        if (!bs_pickle_label(pickle, value, out)) bs_bytes_text(out, "?");
        bs_bytes_u8(out, ',');
    }
}

TEST(pickle, plain_data_of_every_protocol)
{
    for (size_t i = 0; i < BS_ARRAY_LENGTH(samples); i++) {
        struct bs_pickle *pickle = NULL;
        struct bs_bytes labels = {0};
        const basalt_status status =
            bs_pickle_read(samples[i].bytes, samples[i].count, &pickle, NULL);
        if (!samples[i].labels) {
            if (status != BASALT_UNSUPPORTED)
                test_fail(__FILE__, __LINE__, "sample %zu is not refused", i);
        } else if (status) {
            test_fail(__FILE__, __LINE__, "sample %zu is refused", i);
        } else {
            put_labels(pickle, &labels);
            bs_bytes_u8(&labels, 0);
            if (strcmp((const char *)labels.data, samples[i].labels) != 0)
                test_fail(__FILE__, __LINE__, "sample %zu: %s", i, (const char *)labels.data);
        }
        bs_bytes_free(&labels);
        bs_pickle_free(pickle);
    }
}

TEST(pickle, a_dictionary_is_asked_by_its_keys)
{
    static const char bytes[] =
        "(dp0\nI1\n(dp1\nsVindex\np2\n(dp3\nVtz\np4\nVUTC\np5\nssVindex\nNs.";
    struct bs_pickle *pickle = NULL;
    REQUIRE_OK(bs_pickle_read(bytes, sizeof bytes - 1, &pickle, err));
    const size_t root = bs_pickle_root(pickle);
    CHECK_EQ(bs_pickle_kind(pickle, root), BS_PICKLE_DICT);
    CHECK_EQ(bs_pickle_kind(pickle, bs_pickle_get(pickle, root, "index")), BS_PICKLE_NONE);
    CHECK_EQ(bs_pickle_get(pickle, root, "other"), BS_PICKLE_NOTHING);
    CHECK_EQ(bs_pickle_get(pickle, BS_PICKLE_NOTHING, "other"), BS_PICKLE_NOTHING);
    bs_pickle_free(pickle);
}

TEST(pickle, no_memory_is_no_crash)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        basalt_error err = {0};
        struct pair {
            struct bs_pickle *pickle;
        } made = {0};
        const basalt_status status =
            bs_pickle_read(samples[1].bytes, samples[1].count, &made.pickle, &err);
        CHECK(!status || status == BASALT_NO_MEMORY);
        CHECK_EQ(status, err.status);
        bs_pickle_free(made.pickle);
        CHECK_EQ(test_live_allocations(), before);
    }
}

TEST(pickle, any_bytes_are_data_or_refused)
{
    const int64_t before = test_live_allocations();
    uint64_t random = 11, read = 0;
    for (unsigned run = 0; run < 20000; run++) {
        const struct sample *sample = &samples[test_random(&random) % BS_ARRAY_LENGTH(samples)];
        static const char codes[] = "(.0NIFVSJKMGXTUBC])}ltdeuasgphqrjcRb\x85\x86\x88\x94\n1";
        char bytes[128];
        size_t count = sample->count;
        struct bs_pickle *pickle = NULL;
        struct bs_bytes labels = {0};
        memcpy(bytes, sample->bytes, count);
        if (!count) bytes[count++] = ']';
        for (unsigned i = 0; i < 4; i++)
            bytes[test_random(&random) % count] = codes[test_random(&random) % (sizeof codes - 1)];
        if (!bs_pickle_read(bytes, count, &pickle, NULL)) {
            put_labels(pickle, &labels);
            (void)bs_pickle_get(pickle, bs_pickle_root(pickle), "a");
            read++;
        }
        bs_bytes_free(&labels);
        bs_pickle_free(pickle);
    }
    CHECK(read > 100);
    CHECK_EQ(test_live_allocations(), before);
}
