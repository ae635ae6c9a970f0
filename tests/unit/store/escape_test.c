/* escape_test.c - every name has one link, every link one name. */
#include "tests/unit/store/store_help.h"

static void check_round(const char *name, size_t count, uint64_t repeat, const char *expected)
{
    struct bs_bytes link = {0}, back = {0};
    uint64_t got = 0;
    bs_name_escape(name, count, repeat, &link);
    bs_bytes_u8(&link, 0);
    CHECK(!strchr((const char *)link.data, '/'));
    CHECK(link.data[0] != '.');
    if (expected) CHECK_TEXT((const char *)link.data, expected);
    CHECK_OK(bs_name_unescape((const char *)link.data, &back, &got, err));
    CHECK_EQ(got, repeat);
    CHECK_EQ(back.count, count);
    CHECK(!count || !memcmp(back.data, name, count));
    bs_bytes_free(&link);
    bs_bytes_free(&back);
}

TEST(escape, known_names)
{
    check_round("temperature", 11, 1, "temperature");
    check_round("a/b", 3, 1, "a%2Fb");
    check_round(".", 1, 1, "%2E");
    check_round("..", 2, 1, "%2E.");
    check_round(".basalt", 7, 1, "%2Ebasalt");
    check_round("a.b", 3, 1, "a.b");
    check_round("100%", 4, 1, "100%25");
    check_round("#2", 2, 1, "%232");
    check_round("x", 1, 2, "x#2");
    check_round("x", 1, 10, "x#10");
    check_round("", 0, 1, "#empty");
    check_round("", 0, 3, "#empty#3");
    check_round("a\0b", 3, 1, "a%00b");
    check_round("gr\xC3\xBC\xC3\x9F", 6, 1, "gr\xC3\xBC\xC3\x9F");
}

TEST(escape, any_bytes_come_back)
{
    static const char ALPHABET[] = "ab/.%#02EF\0\xC3\xA4";
    uint64_t state = 42;
    for (unsigned i = 0; i < 20000; i++) {
        char name[24];
        const size_t count = test_random(&state) % sizeof name;
        for (size_t k = 0; k < count; k++) {
            name[k] = ALPHABET[test_random(&state) % (sizeof ALPHABET - 1)];
        }
        check_round(name, count, 1 + test_random(&state) % 3, NULL);
    }
}

/* A text that unescapes is the escape of what comes out: so no two links have one name. */
TEST(escape, a_link_is_the_escape_of_what_it_says)
{
    static const char ALPHABET[] = "a/.%#0123EFempty";
    uint64_t state = 7;
    unsigned accepted = 0;
    for (unsigned i = 0; i < 200000; i++) {
        char link[10];
        const size_t count = test_random(&state) % (sizeof link - 1);
        struct bs_bytes name = {0}, again = {0};
        uint64_t repeat;
        for (size_t k = 0; k < count; k++) {
            link[k] = ALPHABET[test_random(&state) % (sizeof ALPHABET - 1)];
        }
        link[count] = '\0';
        if (!bs_name_unescape(link, &name, &repeat, NULL)) {
            accepted++;
            bs_name_escape((const char *)name.data, name.count, repeat, &again);
            bs_bytes_u8(&again, 0);
            CHECK_TEXT((const char *)again.data, link);
        }
        bs_bytes_free(&name);
        bs_bytes_free(&again);
    }
    CHECK(accepted > 100);
}

TEST(escape, what_is_no_link_is_refused)
{
    static const char *const WRONG[] = {"", ".", ".a", "a/b", "%", "%2", "%2G", "a%2E", "a#", "a#1",
        "a#02", "a#2x", "#2", "#", "%41"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(WRONG); i++) {
        struct bs_bytes name = {0};
        uint64_t repeat;
        CHECK_EQ(bs_name_unescape(WRONG[i], &name, &repeat, NULL), BASALT_BAD_ARGUMENT);
        bs_bytes_free(&name);
    }
}
