/* text_test.c - what is UTF-8 and what only looks like it. */
#include "tests/harness/test.h"

#include "base/base_internal.h"

static bool valid(const char *text)
{
    return bs_utf8_valid(text, strlen(text));
}

TEST(text, well_formed)
{
    CHECK(valid(""));
    CHECK(valid("plain"));
    CHECK(valid("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"));
    CHECK(valid("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
    CHECK(bs_utf8_valid("a\0b", 3));
}

TEST(text, ill_formed)
{
    static const char *const bad[] = {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41",
        "\xE0\x80\x80", "\xE0\x9F\xBF", "\xE2\x82", "\xE2\x82\x41", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98", "\xF0\x9F\x98\x41",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(bad); i++) CHECK(!valid(bad[i]));
}

/* Against the definition: every code point is encoded, and no other three bytes pass. */
TEST(text, every_code_point)
{
    unsigned wrong = 0;
    for (uint32_t point = 0x80; point <= 0x10FFFF; point++) {
        char text[4];
        size_t length = 0;
        if (point >= 0x10000) {
            text[length++] = (char)(0xF0 | point >> 18);
            text[length++] = (char)(0x80 | (point >> 12 & 0x3F));
            text[length++] = (char)(0x80 | (point >> 6 & 0x3F));
        } else if (point >= 0x800) {
            text[length++] = (char)(0xE0 | point >> 12);
            text[length++] = (char)(0x80 | (point >> 6 & 0x3F));
        } else {
            text[length++] = (char)(0xC0 | point >> 6);
        }
        text[length++] = (char)(0x80 | (point & 0x3F));
        const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
        wrong += bs_utf8_valid(text, length) == surrogate;
        wrong += bs_utf8_valid(text, length - 1);
        wrong += bs_utf8_whole(text, length - 1) != 0 && !surrogate;
        wrong += bs_utf8_whole(text, length) != length;
    }
    CHECK_EQ(wrong, 0);
}

TEST(text, cuts_between_characters)
{
    const char *text = "ab\xE2\x82\xAC";
    CHECK_EQ(bs_utf8_whole(text, 5), 5);
    CHECK_EQ(bs_utf8_whole(text, 4), 2);
    CHECK_EQ(bs_utf8_whole(text, 3), 2);
    CHECK_EQ(bs_utf8_whole(text, 2), 2);
    CHECK_EQ(bs_utf8_whole(text, 0), 0);
    CHECK_EQ(bs_utf8_whole("\x80\x80\x80\x80\x80", 5), 5);
}
