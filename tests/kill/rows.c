/* rows.c - commits made from their numbers, and checked against them. */
#include "tests/kill/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const family_names[FAMILY_COUNT] = {"fast", "safe", "left", "right"};
const char *const column_names[COLUMN_COUNT] = {"writer", "commit", "row", "sum", "text"};

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 33)) * 0xFF51AFD7ED558CCDu;
    z = (z ^ (z >> 33)) * 0xC4CEB9FE1A85EC53u;
    return z ^ (z >> 33);
}

static uint64_t mix_of(unsigned writer, uint64_t commit, unsigned family, unsigned row)
{
    return mix(mix(mix(commit * 8 + writer) + family) + row + 1);
}

unsigned families_of(unsigned writer)
{
    static const unsigned families[WRITER_COUNT] = {
        1u << 0, 1u << 1, 1u << 2 | 1u << 3, 1u << 0 | 1u << 2 | 1u << 3};
    return families[writer];
}

basalt_durability durability_of(unsigned writer, uint64_t commit)
{
    if (writer == 0) return BASALT_BUFFERED;
    if (writer == 1) return BASALT_SYNC;
    return commit % 8 == writer ? BASALT_SYNC : BASALT_BUFFERED;
}

unsigned rows_of(unsigned writer, uint64_t commit, unsigned family)
{
    return 1 + (unsigned)(mix_of(writer, commit, family, 1000) % ROWS_MAX);
}

int64_t sum_of(unsigned writer, uint64_t commit, unsigned family, unsigned row)
{
    return (int64_t)mix_of(writer, commit, family, row);
}

static size_t text_of(unsigned writer, uint64_t commit, unsigned family, unsigned row, char *out)
{
    static const char tail[] = "................";
    const uint64_t chance = mix_of(writer, commit, family, row + 2000);
    if (chance % 7 == 0) return 0; /* empty texts too */
    const int count = snprintf(out, TEXT_BYTES_MAX, "w%u c%" PRIu64 " r%u%.*s", writer, commit, row,
        (int)(chance % sizeof tail), tail);
    return count > 0 ? (size_t)count : 0;
}

/* ---- batches ------------------------------------------------------------------------------------ */

static void schema_release(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void array_release(struct ArrowArray *array)
{
    array->release = NULL;
}

static void batch_schema(struct batch *batch)
{
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        batch->fields[i] = (struct ArrowSchema){.format = i == COLUMN_TEXT ? "u" : "l",
            .name = column_names[i],
            .release = schema_release};
        batch->field_list[i] = &batch->fields[i];
    }
    batch->schema = (struct ArrowSchema){.format = "+s",
        .name = "",
        .n_children = COLUMN_COUNT,
        .children = batch->field_list,
        .release = schema_release};
}

static void batch_array(struct batch *batch, int64_t rows)
{
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        const bool text = i == COLUMN_TEXT;
        batch->buffers[i][0] = NULL;
        batch->buffers[i][1] =
            text ? (const void *)batch->text_ends : (const void *)batch->numbers[i];
        batch->buffers[i][2] = batch->text;
        batch->columns[i] = (struct ArrowArray){.length = rows,
            .n_buffers = text ? 3 : 2,
            .buffers = batch->buffers[i],
            .release = array_release};
        batch->column_list[i] = &batch->columns[i];
    }
    batch->no_validity[0] = NULL;
    batch->array = (struct ArrowArray){.length = rows,
        .n_buffers = 1,
        .buffers = batch->no_validity,
        .n_children = COLUMN_COUNT,
        .children = batch->column_list,
        .release = array_release};
}

void batch_make(struct batch *batch, unsigned writer, uint64_t commit, unsigned family)
{
    const unsigned rows = rows_of(writer, commit, family);
    size_t text_bytes = 0;
    batch->text_ends[0] = 0;
    for (unsigned row = 0; row < rows; row++) {
        batch->numbers[COLUMN_WRITER][row] = writer;
        batch->numbers[COLUMN_COMMIT][row] = (int64_t)commit;
        batch->numbers[COLUMN_ROW][row] = row;
        batch->numbers[COLUMN_SUM][row] = sum_of(writer, commit, family, row);
        text_bytes += text_of(writer, commit, family, row, batch->text + text_bytes);
        batch->text_ends[row + 1] = (int32_t)text_bytes;
    }
    batch_schema(batch);
    batch_array(batch, rows);
}

/* ---- tallies ------------------------------------------------------------------------------------ */

void tally_begin(struct tally *tally, unsigned family)
{
    *tally = (struct tally){.family = family};
}

static void tally_fault(
    struct tally *tally, const char *what, int64_t writer, int64_t commit, int64_t row)
{
    if (tally->fault[0]) return;
    snprintf(tally->fault, sizeof tally->fault,
        "family %s, row %" PRIu64 ": %s (writer %" PRId64 ", commit %" PRId64 ", row %" PRId64 ")",
        family_names[tally->family], tally->rows, what, writer, commit, row);
}

void tally_row(struct tally *tally, int64_t writer, int64_t commit, int64_t row, int64_t sum,
    const char *text, size_t text_bytes)
{
    char expected[TEXT_BYTES_MAX];
    if (writer < 0 || writer >= WRITER_COUNT ||
        !(families_of((unsigned)writer) >> tally->family & 1)) {
        tally_fault(tally, "no such writer writes here", writer, commit, row);
        return;
    }
    const unsigned by = (unsigned)writer;
    const uint64_t number = tally->commits[by];
    if (commit < 0 || (uint64_t)commit != number) {
        tally_fault(tally, "a commit is missing, repeated or out of order", writer, commit, row);
    } else if (row != (int64_t)tally->next_row[by]) {
        tally_fault(tally, "a row of a commit is missing or repeated", writer, commit, row);
    } else if (sum != sum_of(by, number, tally->family, (unsigned)row)) {
        tally_fault(tally, "a number is wrong", writer, commit, row);
    } else if (text) {
        const size_t count = text_of(by, number, tally->family, (unsigned)row, expected);
        if (count != text_bytes || (count && memcmp(expected, text, count)))
            tally_fault(tally, "a text is wrong", writer, commit, row);
    }
    tally->rows++;
    if (++tally->next_row[by] < rows_of(by, number, tally->family)) return;
    tally->next_row[by] = 0;
    tally->commits[by]++;
}

void tally_end(struct tally *tally)
{
    for (unsigned writer = 0; writer < WRITER_COUNT; writer++) {
        if (!tally->next_row[writer]) continue;
        tally_fault(tally, "a commit is there in part", writer, (int64_t)tally->commits[writer],
            tally->next_row[writer]);
    }
}

void found_from_tallies(const struct tally tallies[FAMILY_COUNT], struct found *out_found)
{
    *out_found = (struct found){0};
    for (unsigned family = 0; family < FAMILY_COUNT; family++) {
        out_found->rows += tallies[family].rows;
        if (tallies[family].fault[0] && !out_found->fault[0])
            memcpy(out_found->fault, tallies[family].fault, sizeof out_found->fault);
    }
    for (unsigned writer = 0; writer < WRITER_COUNT; writer++) {
        bool first = true;
        for (unsigned family = 0; family < FAMILY_COUNT; family++) {
            const uint64_t commits = tallies[family].commits[writer];
            if (!(families_of(writer) >> family & 1)) continue;
            if (first) out_found->commits[writer] = commits;
            if (commits != out_found->commits[writer] && !out_found->fault[0])
                snprintf(out_found->fault, sizeof out_found->fault,
                    "a transaction is torn: writer %u has %" PRIu64
                    " commits in one family, %" PRIu64 " in %s",
                    writer, out_found->commits[writer], commits, family_names[family]);
            first = false;
        }
    }
}
