/* statistics_check.c - statistics against the chunks that they are of: verify, and all of them anew.
 *
 * Both read the file as the last root shows it, one chunk at a time. Another program that edits in place
 * leaves no trace but in the bytes: verify compares the CRC of what is stored with the record's, and what
 * the rows are with what the record says, which tells of a changed mask too. */
#include "store/store_internal.h"

#include <inttypes.h>
#include <stdio.h>

struct touring { /* the chunks of one column */
    struct bs_column_reader reader;
    const struct bs_family *family;
    size_t column;
    uint64_t rows, chunk_rows;
    basalt_status (*each)(struct touring *touring, const struct bs_h5_full_chunk *chunk,
        const struct bs_chunk_statistics *values, basalt_error *err);
    const struct bs_statistics *known; /* verify: only chunks that are in it */
    struct bs_chunk_statistics said;
    bs_statistics_finding_fn finding;
    void *context;
    struct bs_bytes *records; /* rebuild */
    uint64_t count;
};

static basalt_status sum_stored(
    struct touring *touring, const struct bs_h5_chunk *chunk, uint32_t *out_crc, basalt_error *err)
{
    struct bs_h5_file *h5 = touring->reader.h5;
    if (chunk->stored_bytes > bs_h5_file_bytes(h5)) {
        return bs_fail(err, BASALT_CORRUPT, chunk->address, "a chunk is larger than the file");
    }
    uint8_t *stored = bs_alloc((size_t)chunk->stored_bytes);
    if (!stored) return bs_fail_memory(err, (size_t)chunk->stored_bytes);
    const basalt_status status =
        bs_h5_chunk_read_stored(h5, touring->reader.values, chunk, stored, err);
    if (!status) *out_crc = bs_crc32c(0, stored, (size_t)chunk->stored_bytes);
    bs_free(stored);
    return status;
}

static basalt_status tour_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    struct touring *touring = context;
    struct bs_h5_full_chunk full = {chunk->offset[0], chunk->address, chunk->stored_bytes, 0, NULL};
    struct bs_chunk_statistics values;
    if (full.first_row >= touring->rows) return BASALT_OK;
    const uint64_t rows = BS_MIN(touring->chunk_rows, touring->rows - full.first_row);
    if (touring->known &&
        !bs_statistics_find_of(touring->known, touring->column, full.first_row, rows, full.address,
            full.stored_bytes, &touring->said)) {
        return BASALT_OK;
    }
    basalt_status status = sum_stored(touring, chunk, &full.crc32c, err);
    if (!status) {
        status = bs_statistics_of_rows(&touring->reader, full.first_row, rows, &values, err);
    }
    return status ? status : touring->each(touring, &full, &values, err);
}

static basalt_status tour_column(
    struct touring *touring, const struct bs_family_links *links, char *link, basalt_error *err)
{
    basalt_status status = bs_column_reader_open(links->h5, links, touring->family, touring->column,
        link, touring->rows, &touring->reader, err);
    if (status) return status;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(touring->reader.values);
    if (dataset->layout == BS_H5_CHUNKED) {
        touring->chunk_rows = dataset->chunk_dims[0];
        status = bs_h5_chunks_each(links->h5, touring->reader.values, tour_chunk, touring, err);
    }
    bs_column_reader_close(&touring->reader);
    return status;
}

static basalt_status tour_family(struct touring *touring, struct bs_h5_file *h5, basalt_error *err)
{
    const struct bs_schema *schema = touring->family->schema;
    struct bs_family_links links = {0};
    char **names = NULL;
    basalt_status status = BASALT_OK;
    BS_TRY(bs_family_file_rows(h5, touring->family, &touring->rows, err));
    BS_TRY(bs_links_create(schema, &names, err));
    BS_TRY(bs_family_links_open(h5, touring->family, schema->field_count, &links, err));
    for (touring->column = 0; touring->column < schema->field_count; touring->column++) {
        BS_TRY(tour_column(touring, &links, names[touring->column], err));
    }
out:
    bs_family_links_close(&links);
    bs_links_free(names, schema->field_count);
    return status;
}

basalt_status bs_family_own(struct bs_h5_file *h5, const struct bs_family *family,
    struct bs_h5_object **out_own, basalt_error *err)
{
    char *path = NULL;
    *out_own = NULL;
    basalt_status status = bs_family_path(family->name, ".basalt", &path, err);
    if (!status) status = bs_h5_object_open_path(h5, path, out_own, err);
    bs_free(path);
    return status;
}

/* ---- verify ------------------------------------------------------------------------------------ */

static bool same_bound(enum bs_bounds_kind kind, union bs_bound a, union bs_bound b)
{
    return kind == BS_BOUNDS_FLOAT ? a.f == b.f : a.u == b.u; /* 0.0 and -0.0 are one bound */
}

static bool same(const struct bs_chunk_statistics *a, const struct bs_chunk_statistics *b)
{
    return a->rows == b->rows && a->null_count == b->null_count && a->has_nan == b->has_nan &&
        a->has_bounds == b->has_bounds &&
        (!a->has_bounds ||
            (same_bound(a->kind, a->min, b->min) && same_bound(a->kind, a->max, b->max)));
}

static basalt_status compare(struct touring *touring, const struct bs_h5_full_chunk *chunk,
    const struct bs_chunk_statistics *values, basalt_error *err)
{
    char sentence[512];
    const char *field = touring->family->schema->fields[touring->column].name;
    const bool edited = chunk->crc32c != touring->said.crc32c;
    (void)err;
    if (!edited && same(values, &touring->said)) return BASALT_OK;
    snprintf(sentence, sizeof sentence,
        "family \"%.60s\", column \"%.60s\": the chunk at row %" PRIu64
        " %s: its statistics are wrong, verify --rebuild-statistics mends them",
        touring->family->name, field, chunk->first_row,
        edited ? "was changed in place by another program"
               : "does not have the values or nulls that were counted");
    touring->finding(touring->context, sentence);
    return BASALT_OK;
}

basalt_status bs_statistics_verify(struct bs_h5_file *h5, const struct bs_family *family,
    bs_statistics_finding_fn finding, void *context, basalt_error *err)
{
    struct touring touring = {
        .family = family, .each = compare, .finding = finding, .context = context};
    struct bs_h5_object *own = NULL;
    struct bs_statistics *known = NULL;
    basalt_status status = bs_family_own(h5, family, &own, err);
    if (!status) {
        status = bs_statistics_load(
            h5, own, family->schema->fields, 0, family->schema->field_count, &known, err);
    }
    touring.known = known;
    if (!status && known) status = tour_family(&touring, h5, err);
    bs_statistics_free(known);
    bs_h5_object_close(own);
    return status;
}

/* ---- all anew ---------------------------------------------------------------------------------- */

static basalt_status add_record(struct touring *touring, const struct bs_h5_full_chunk *chunk,
    const struct bs_chunk_statistics *values, basalt_error *err)
{
    struct bs_statistics_record record = {.column = (uint32_t)touring->column,
        .first_row = chunk->first_row,
        .address = chunk->address,
        .stored_bytes = chunk->stored_bytes,
        .values = *values};
    uint8_t bytes[BS_STATISTICS_RECORD_BYTES];
    record.values.crc32c = chunk->crc32c;
    if (++touring->count > BS_STATISTICS_RECORDS_MAX) return BASALT_OK;
    bs_statistics_encode(&record, bytes);
    bs_bytes_put(touring->records, bytes, sizeof bytes);
    return bs_bytes_check(touring->records, err);
}

basalt_status bs_statistics_compute(struct bs_h5_file *h5, const struct bs_family *family,
    struct bs_bytes *records, basalt_error *err)
{
    struct touring touring = {.family = family, .each = add_record, .records = records};
    return tour_family(&touring, h5, err);
}
