/* system_posix_test.c - clocks that go on, chance that differs, and how times are written. */
#include "tests/harness/test.h"

#include <unistd.h>

TEST(system, times_are_written_in_utc)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {{0, "1970-01-01T00:00:00.000000000Z"},
        {951782399999999999u, "2000-02-28T23:59:59.999999999Z"},
        {951782400000000000u, "2000-02-29T00:00:00.000000000Z"},
        {1769862896123456789u, "2026-01-31T12:34:56.123456789Z"},
        {UINT64_MAX, "2554-07-21T23:34:33.709551615Z"}};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(cases); i++) {
        char text[32];
        bs_format_time(cases[i].ns, text, sizeof text);
        CHECK_TEXT(text, cases[i].text);
    }
    char cut[8];
    bs_format_time(0, cut, sizeof cut);
    CHECK_TEXT(cut, "1970-01");
}

TEST(system, clocks_go_on)
{
    const uint64_t before = bs_now_ns();
    bs_sleep_ns(1000000);
    CHECK(bs_now_ns() - before >= 1000000);
    CHECK(bs_wall_ns() > 1700000000000000000u); /* after the year 2023 */
}

TEST(system, chance_differs)
{
    uint8_t a[64] = {0}, b[64] = {0};
    unsigned zeros = 0;
    bs_random_bytes(a, sizeof a);
    bs_random_bytes(b, sizeof b);
    bs_random_bytes(NULL, 0);
    CHECK(memcmp(a, b, sizeof a) != 0);
    for (size_t i = 0; i < sizeof a; i++) zeros += a[i] == 0;
    CHECK(zeros < 16);
}

TEST(system, names)
{
    char whole[256], expected[256] = "", cut[2];
    gethostname(expected, sizeof expected - 1);
    bs_host_name(whole, sizeof whole);
    CHECK_TEXT(whole, expected);
    bs_host_name(cut, sizeof cut);
    CHECK(strlen(cut) <= 1);
    CHECK_EQ(bs_process_id(), getpid());
}
