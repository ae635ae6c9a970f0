/* rows.h - rows that tell by themselves who wrote them, in which commit, and whether one is missing.
 *
 * WRITER_COUNT writers each make a numbered series of commits. Everything about a commit follows
 * from (writer, commit): its families, its rows, every value. So whoever reads a file can say for
 * each writer how many commits are in it, and that they are whole, in order and unchanged, without
 * any record of what was written. */
#ifndef BS_KILL_ROWS_H
#define BS_KILL_ROWS_H

#include <basalt/basalt.h>

enum { WRITER_COUNT = 4, FAMILY_COUNT = 4, ROWS_MAX = 40, TEXT_BYTES_MAX = 48 };

extern const char *const family_names[FAMILY_COUNT];

/* Bits of the families that every commit of the writer goes to; several: one transaction. */
unsigned families_of(unsigned writer);
basalt_durability durability_of(unsigned writer, uint64_t commit);
unsigned rows_of(unsigned writer, uint64_t commit, unsigned family);

/* The columns: writer, commit, row, sum (int64, not null), text (utf8, not null). */
enum { COLUMN_WRITER, COLUMN_COMMIT, COLUMN_ROW, COLUMN_SUM, COLUMN_TEXT, COLUMN_COUNT };
extern const char *const column_names[COLUMN_COUNT];

int64_t sum_of(unsigned writer, uint64_t commit, unsigned family, unsigned row);

/* One commit's rows for one family as an Arrow array. Lives where it is declared: never moved, and
 * its release functions free nothing. */
struct batch {
    struct ArrowSchema schema, fields[COLUMN_COUNT];
    struct ArrowSchema *field_list[COLUMN_COUNT];
    struct ArrowArray array, columns[COLUMN_COUNT];
    struct ArrowArray *column_list[COLUMN_COUNT];
    const void *no_validity[1], *buffers[COLUMN_COUNT][3];
    int64_t numbers[COLUMN_TEXT][ROWS_MAX];
    int32_t text_ends[ROWS_MAX + 1];
    char text[ROWS_MAX * TEXT_BYTES_MAX];
};
void batch_make(struct batch *batch, unsigned writer, uint64_t commit, unsigned family);

/* ---- reading back ------------------------------------------------------------------------------ */

/* What is known of one family while its rows go by. */
struct tally {
    unsigned family;
    uint64_t rows;
    uint64_t commits[WRITER_COUNT];  /* whole ones so far, numbered from 0 without a gap */
    unsigned next_row[WRITER_COUNT]; /* of the commit that is going by; 0: none */
    char fault[200];                 /* the first thing that is wrong; "" while all is right */
};
void tally_begin(struct tally *tally, unsigned family);
void tally_row(struct tally *tally, int64_t writer, int64_t commit, int64_t row, int64_t sum,
    const char *text, size_t text_bytes); /* text NULL: not looked at */
void tally_end(struct tally *tally);      /* a commit that is not whole is a fault */

/* A whole file: for every writer the commits found, the same in all its families. */
struct found {
    uint64_t rows, commits[WRITER_COUNT];
    char fault[200];
};
void found_from_tallies(const struct tally tallies[FAMILY_COUNT], struct found *out_found);

/* Reads every family through the public API. A family that is absent has no rows. */
void found_in_store(basalt_store *store, struct found *out_found);
/* Opens `path` with `access`, reads, closes. */
void found_in_path(const char *path, basalt_access access, struct found *out_found);
/* Through libhdf5, with its default file locking. */
void found_by_libhdf5(const char *path, struct found *out_found);

#endif
