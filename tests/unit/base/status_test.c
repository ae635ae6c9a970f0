/* status_test.c - messages that say what happened, cut where they must be and never inside a
 * character. */
#include "tests/harness/test.h"

#include <errno.h>

TEST(status, every_status_has_its_own_name)
{
    for (int a = BASALT_OK; a <= BASALT_NOT_HDF5; a++) {
        const char *name = basalt_status_name((basalt_status)a);
        CHECK(strncmp(name, "BASALT_", 7) == 0);
        for (int b = BASALT_OK; b < a; b++) {
            CHECK(strcmp(name, basalt_status_name((basalt_status)b)) != 0);
        }
    }
    CHECK(strncmp(basalt_status_name((basalt_status)999), "BASALT_", 7) != 0);
    CHECK(strlen(basalt_version()) >= 5);
}

TEST(status, fail_fills_the_error)
{
    basalt_error err = {.os_errno = 5};
    CHECK_EQ(bs_fail(&err, BASALT_CORRUPT, 77, "chunk %d is bad", 3), BASALT_CORRUPT);
    CHECK_EQ(err.status, BASALT_CORRUPT);
    CHECK_EQ(err.os_errno, 0);
    CHECK_EQ(err.file_offset, 77);
    CHECK_TEXT(err.message, "chunk 3 is bad");
    CHECK_EQ(bs_fail(NULL, BASALT_BUSY, 0, "nobody reads this"), BASALT_BUSY);
    bs_fail(&err, BASALT_CORRUPT, 0, "again: %s", err.message); /* an argument inside the error */
    CHECK_TEXT(err.message, "again: chunk 3 is bad");
}

TEST(status, the_operating_system_is_mapped)
{
    static const struct {
        int os_errno;
        basalt_status status;
    } cases[] = {{ENOSPC, BASALT_NO_SPACE}, {EDQUOT, BASALT_NO_SPACE}, {EROFS, BASALT_READ_ONLY},
        {ENOENT, BASALT_NOT_FOUND}, {EEXIST, BASALT_EXISTS}, {ENOMEM, BASALT_NO_MEMORY},
        {EFBIG, BASALT_NO_SPACE}, {EIO, BASALT_IO_ERROR}, {EACCES, BASALT_IO_ERROR}};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(cases); i++) {
        basalt_error err = {0};
        char expected[128];
        snprintf(expected, sizeof expected, "cannot open \"x\": %s", strerror(cases[i].os_errno));
        CHECK_EQ(bs_fail_os(&err, cases[i].os_errno, BASALT_NO_OFFSET, "cannot open \"%s\"", "x"),
            cases[i].status);
        CHECK_EQ(err.os_errno, cases[i].os_errno);
        CHECK_TEXT(err.message, expected);
        CHECK_EQ(bs_fail_os(NULL, cases[i].os_errno, 0, "x"), cases[i].status);
    }
}

TEST(status, a_long_sentence_keeps_the_reason_and_whole_characters)
{
    char long_text[600];
    memset(long_text, 'x', sizeof long_text);
    for (size_t i = 0; i + 2 < sizeof long_text; i += 3) memcpy(long_text + i, "\xE2\x82\xAC", 3);
    for (size_t cut = 560; cut < 580; cut++) {
        basalt_error err = {0};
        long_text[cut] = '\0';
        const char *from = long_text + (cut % 7) * 3; /* each time another remainder */
        bs_fail(&err, BASALT_CORRUPT, 0, "%.*s%s", (int)(cut % 3), "aaa", from);
        CHECK(bs_utf8_valid(err.message, strlen(err.message)));
        CHECK(strlen(err.message) >= BASALT_ERROR_MESSAGE_BYTES - 4);
        bs_fail_os(&err, EIO, 0, "%.*s%s", (int)(cut % 3), "aaa", from);
        CHECK(bs_utf8_valid(err.message, strlen(err.message)));
        CHECK(strstr(err.message, strerror(EIO)) != NULL);
        bs_fail(&err, BASALT_CORRUPT, 0, "%.*s%s", (int)(cut % 3), "aaa", from);
        bs_error_prefix(&err, "%s", "/family/column");
        CHECK(strncmp(err.message, "/family/column: a", cut % 3 ? 17 : 16) == 0);
        CHECK(bs_utf8_valid(err.message, strlen(err.message)));
        long_text[cut] = 'x';
    }
}

TEST(status, a_prefix_comes_first)
{
    basalt_error err = {0};
    bs_fail(&err, BASALT_CORRUPT, 9, "cut short");
    bs_error_prefix(&err, "column \"%s\"", "a");
    CHECK_TEXT(err.message, "column \"a\": cut short");
    CHECK_EQ(err.file_offset, 9);
    bs_error_prefix(NULL, "x");
    memset(err.message, 'm', sizeof err.message); /* without a NUL */
    bs_error_prefix(&err, "p");
    CHECK(strncmp(err.message, "p: mmm", 6) == 0);
    CHECK_EQ(strlen(err.message), sizeof err.message - 1);
}

TEST(status, a_part_can_be_taken_out)
{
    basalt_error err = {0};
    bs_fail(&err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "cannot create \"/a/b.part-12\"");
    bs_error_cut(&err, ".part-12");
    CHECK_TEXT(err.message, "cannot create \"/a/b\"");
    bs_error_cut(&err, ".part-12");
    bs_error_cut(&err, "");
    CHECK_TEXT(err.message, "cannot create \"/a/b\"");
    bs_error_cut(&err, "cannot create \"/a/b\"");
    CHECK_TEXT(err.message, "");
    bs_error_cut(NULL, "x");
}
