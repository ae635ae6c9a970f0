/* rows_test.c - the reader of the kill test notices what it is there to notice. */
#include "tests/harness/test.h"
#include "tests/kill/rows.h"

#include <stdlib.h>

static void add(struct tally *tally, const struct batch *batch, unsigned row)
{
    const int32_t start = batch->text_ends[row], end = batch->text_ends[row + 1];
    tally_row(tally, batch->numbers[COLUMN_WRITER][row], batch->numbers[COLUMN_COMMIT][row],
        batch->numbers[COLUMN_ROW][row], batch->numbers[COLUMN_SUM][row], batch->text + start,
        (size_t)(end - start));
}

static void add_commit(struct tally *tally, struct batch *batch, unsigned writer, uint64_t commit)
{
    batch_make(batch, writer, commit, tally->family);
    for (unsigned row = 0; row < rows_of(writer, commit, tally->family); row++)
        add(tally, batch, row);
}

TEST(kill_rows, whole_commits_of_several_writers_are_right)
{
    static struct batch batch;
    struct tally tally;
    tally_begin(&tally, 2);
    for (uint64_t commit = 0; commit < 50; commit++) {
        add_commit(&tally, &batch, 2, commit);
        if (commit < 20) add_commit(&tally, &batch, 3, commit);
    }
    tally_end(&tally);
    CHECK_TEXT(tally.fault, "");
    CHECK_EQ(tally.commits[2], 50);
    CHECK_EQ(tally.commits[3], 20);
}

TEST(kill_rows, what_is_missing_torn_or_changed_is_seen)
{
    static struct batch batch;
    struct tally tally;
    uint64_t long_one = 0;
    while (rows_of(0, long_one, 0) < 3) long_one++;

    tally_begin(&tally, 0); /* a commit skipped */
    add_commit(&tally, &batch, 0, 0);
    add_commit(&tally, &batch, 0, 2);
    CHECK(strstr(tally.fault, "missing, repeated or out of order"));

    tally_begin(&tally, 0); /* a commit twice */
    add_commit(&tally, &batch, 0, 0);
    add_commit(&tally, &batch, 0, 0);
    CHECK(tally.fault[0]);

    tally_begin(&tally, 1); /* somebody who does not write here */
    add_commit(&tally, &batch, 0, 0);
    CHECK(strstr(tally.fault, "no such writer"));

    batch_make(&batch, 0, long_one, 0);
    tally_begin(&tally, 0); /* a commit in part */
    tally.commits[0] = long_one;
    add(&tally, &batch, 0);
    CHECK_TEXT(tally.fault, "");
    tally_end(&tally);
    CHECK(strstr(tally.fault, "in part"));

    tally_begin(&tally, 0); /* a row skipped */
    tally.commits[0] = long_one;
    add(&tally, &batch, 0);
    add(&tally, &batch, 2);
    CHECK(strstr(tally.fault, "row of a commit"));

    tally_begin(&tally, 0); /* a value changed */
    tally.commits[0] = long_one;
    batch.numbers[COLUMN_SUM][0]++;
    add(&tally, &batch, 0);
    CHECK(strstr(tally.fault, "number is wrong"));
}

TEST(kill_rows, a_torn_transaction_is_seen)
{
    static struct batch batch;
    struct tally tallies[FAMILY_COUNT];
    struct found found;
    for (unsigned family = 0; family < FAMILY_COUNT; family++)
        tally_begin(&tallies[family], family);
    add_commit(&tallies[2], &batch, 2, 0);
    add_commit(&tallies[3], &batch, 2, 0);
    found_from_tallies(tallies, &found);
    CHECK_TEXT(found.fault, "");
    CHECK_EQ(found.commits[2], 1);
    add_commit(&tallies[2], &batch, 2, 1);
    found_from_tallies(tallies, &found);
    CHECK(strstr(found.fault, "torn"));
}
