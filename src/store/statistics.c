/* statistics.c - what a family's file says of its chunks, as it is read.
 *
 * /<family>/.basalt/statistics is a row of records, 72 bytes each (docs/format/families.md), written by
 * statistics_write.c. A record is of one chunk of one column: its rows, nulls, bounds, and the place, size
 * and CRC of its stored bytes. Records are only added; one that is no longer of any chunk stays.
 *
 * A record that is found is right, because
 *   (1) it is of (column, first row, rows), and what a family's rows are never changes: no record of a
 *       chunk that was rechunked, moved, or had fewer rows, is found for one that it is wrong for;
 *   (2) it is in the same root as the chunk: a cut that is lost takes both;
 *   (3) the root is the one that /.basalt describes, so no other program has written a root since, and
 *       /.basalt says that the last writer keeps statistics; the dataset is not older than the last time
 *       that was not so;
 *   (4) place and size are those that the index has now.
 * What (3) and (4) leave open is an edit in place, by another program, of the same size: verify tells by
 * the CRC.
 *
 * Nothing here is an error but memory and the disk: without statistics a reader reads more. */
#include "store/store_internal.h"

#include <stdlib.h>

#define BLOCK_ROWS ((uint64_t)4096)
#define CHUNK_ROWS_MAX ((uint64_t)65536)
#define FLAG_BOUNDS 1u
#define FLAG_NAN 2u
#define SUM_AT 12u

struct entry {
    struct bs_statistics_record record;
    uint64_t number; /* place in the file: of two of the same chunk the later counts */
};

struct bs_statistics {
    struct entry *entries; /* by key, each once */
    size_t count, capacity;
    size_t column; /* the first that it has */
};

enum bs_bounds_kind bs_bounds_kind_of(const struct bs_field *field)
{
    switch (field->kind) {
    case BS_KIND_BOOL:
    case BS_KIND_UINT: return BS_BOUNDS_UNSIGNED;
    case BS_KIND_FLOAT: return BS_BOUNDS_FLOAT;
    case BS_KIND_TEXT:
    case BS_KIND_BINARY:
    case BS_KIND_FIXED: return BS_BOUNDS_NONE;
    default: return BS_BOUNDS_SIGNED;
    }
}

/* ---- one record -------------------------------------------------------------------------------- */

struct bs_h5_type *bs_statistics_type(void)
{
    static const struct bs_h5_unsigned_member members[] = {{"column", 4}, {"kind", 2}, {"flags", 2},
        {"crc32c", 4}, {"record_crc32c", 4}, {"first_row", 8}, {"rows", 8}, {"null_count", 8},
        {"minimum", 8}, {"maximum", 8}, {"address", 8}, {"stored_bytes", 8}};
    return bs_h5_type_record(members, BS_ARRAY_LENGTH(members));
}

static uint32_t sum_of(const uint8_t bytes[BS_STATISTICS_RECORD_BYTES])
{
    const uint32_t head = bs_crc32c(0, bytes, SUM_AT);
    return bs_crc32c(head, bytes + SUM_AT + 4, BS_STATISTICS_RECORD_BYTES - SUM_AT - 4);
}

void bs_statistics_encode(
    const struct bs_statistics_record *record, uint8_t out[BS_STATISTICS_RECORD_BYTES])
{
    const struct bs_chunk_statistics *values = &record->values;
    const uint64_t numbers[] = {record->first_row, values->rows, values->null_count,
        values->has_bounds ? values->min.u : 0, values->has_bounds ? values->max.u : 0,
        record->address, record->stored_bytes};
    bs_store_u32(out, record->column);
    bs_store_u16(out + 4, (uint16_t)values->kind);
    bs_store_u16(out + 6,
        (uint16_t)((values->has_bounds ? FLAG_BOUNDS : 0) | (values->has_nan ? FLAG_NAN : 0)));
    bs_store_u32(out + 8, values->crc32c);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(numbers); i++) {
        bs_store_u64(out + SUM_AT + 4 + i * 8, numbers[i]);
    }
    bs_store_u32(out + SUM_AT, sum_of(out));
}

static bool bounds_are_sound(const struct bs_chunk_statistics *values)
{
    if (!values->has_bounds) return true;
    switch (values->kind) {
    case BS_BOUNDS_SIGNED: return values->min.i <= values->max.i;
    case BS_BOUNDS_UNSIGNED: return values->min.u <= values->max.u;
    case BS_BOUNDS_FLOAT: return values->min.f <= values->max.f; /* false for NaN */
    default: return false;
    }
}

bool bs_statistics_decode(
    const uint8_t bytes[BS_STATISTICS_RECORD_BYTES], struct bs_statistics_record *out_record)
{
    const uint8_t *numbers = bytes + SUM_AT + 4;
    struct bs_chunk_statistics *values = &out_record->values;
    const unsigned kind = bs_load_u16(bytes + 4), flags = bs_load_u16(bytes + 6);
    *out_record = (struct bs_statistics_record){.column = bs_load_u32(bytes)};
    if (bs_load_u32(bytes + SUM_AT) != sum_of(bytes) || kind > BS_BOUNDS_FLOAT ||
        flags > (FLAG_BOUNDS | FLAG_NAN)) {
        return false;
    }
    values->kind = (enum bs_bounds_kind)kind;
    values->has_bounds = (flags & FLAG_BOUNDS) != 0;
    values->has_nan = (flags & FLAG_NAN) != 0;
    values->crc32c = bs_load_u32(bytes + 8);
    out_record->first_row = bs_load_u64(numbers);
    values->rows = bs_load_u64(numbers + 8);
    values->null_count = bs_load_u64(numbers + 16);
    values->min.u = bs_load_u64(numbers + 24);
    values->max.u = bs_load_u64(numbers + 32);
    out_record->address = bs_load_u64(numbers + 40);
    out_record->stored_bytes = bs_load_u64(numbers + 48);
    if (values->has_nan && values->kind != BS_BOUNDS_FLOAT) return false;
    const uint64_t known = (values->has_bounds ? 1u : 0u) + (values->has_nan ? 1u : 0u);
    if (values->null_count > values->rows || known > values->rows - values->null_count) {
        return false; /* a bound and a NaN are a value each */
    }
    return bounds_are_sound(values);
}

/* ---- all records of a family -------------------------------------------------------------------- */

/* Reason (3) of the essay. */
static basalt_status is_trusted(
    struct bs_h5_file *h5, const struct bs_h5_object *object, bool *out_trusted, basalt_error *err)
{
    struct bs_h5_identity identity;
    uint64_t commit = 0;
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(object, "commit");
    *out_trusted = false;
    if (!attribute) return BASALT_OK;
    basalt_status status = bs_h5_attribute_u64(attribute, &commit, err);
    if (!status) status = bs_h5_identity_read(h5, &identity, err);
    if (status) return status;
    *out_trusted = bs_h5_identity_is_last(bs_h5_file_superblock(h5), &identity) &&
        commit >= identity.statistics_since && commit <= identity.commit;
    return BASALT_OK;
}

static basalt_status has_form(const struct bs_h5_object *object, bool *out_right, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    *out_right = false;
    if (!dataset || dataset->layout != BS_H5_CHUNKED || dataset->space.null ||
        dataset->space.rank != 1 || dataset->chunk_dims[0] > CHUNK_ROWS_MAX ||
        dataset->space.dims[0] > BS_STATISTICS_RECORDS_MAX) {
        return BASALT_OK;
    }
    struct bs_h5_type *type = bs_statistics_type();
    if (!type) return bs_fail_memory(err, sizeof *type);
    *out_right = bs_h5_type_equal(dataset->type, type);
    bs_h5_type_free(type);
    return BASALT_OK;
}

struct reading {
    struct bs_h5_file *h5;
    bs_statistics_fn each;
    void *context;
    bool stopped; /* by `each` */
};

static basalt_status read_records(
    struct reading *reading, const struct bs_h5_object *object, basalt_error *err)
{
    const uint64_t rows = bs_h5_object_dataset(object)->space.dims[0];
    const size_t room = (size_t)BS_MIN(rows, BLOCK_ROWS) * BS_STATISTICS_RECORD_BYTES;
    uint8_t *block = bs_alloc(room);
    basalt_status status = BASALT_OK;
    if (!block) return bs_fail_memory(err, room);
    for (uint64_t first = 0; first < rows; first += BLOCK_ROWS) {
        const uint64_t count = BS_MIN(rows - first, BLOCK_ROWS);
        BS_TRY(bs_h5_read(reading->h5, object, first, count, block, err));
        for (uint64_t i = 0; i < count && !reading->stopped; i++) {
            struct bs_statistics_record record;
            if (!bs_statistics_decode(block + i * BS_STATISTICS_RECORD_BYTES, &record)) continue;
            status = reading->each(reading->context, &record, err);
            reading->stopped = status != BASALT_OK;
        }
        if (status) goto out;
    }
out:
    bs_free(block);
    return status;
}

static bool is_fatal(basalt_status status)
{
    return status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR;
}

/* The dataset, or NULL. */
static basalt_status open_trusted(struct bs_h5_file *h5, const struct bs_h5_object *own,
    struct bs_h5_object **out_object, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    uint64_t address;
    bool use = false;
    basalt_error why = {0};
    basalt_status status = bs_h5_group_find(h5, own, BS_STATISTICS_NAME, &address, &why);
    if (!status) status = bs_h5_object_open(h5, address, &object, &why);
    if (!status) status = has_form(object, &use, &why);
    if (!status && use) status = is_trusted(h5, object, &use, &why);
    *out_object = !status && use ? object : NULL;
    if (!*out_object) bs_h5_object_close(object);
    if (!is_fatal(status)) return BASALT_OK;
    if (err) *err = why;
    return status;
}

basalt_status bs_statistics_trusted(
    struct bs_h5_file *h5, const struct bs_h5_object *own, bool *out_trusted, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    const basalt_status status = open_trusted(h5, own, &object, err);
    *out_trusted = object != NULL;
    bs_h5_object_close(object);
    return status;
}

basalt_status bs_statistics_each(struct bs_h5_file *h5, const struct bs_h5_object *own,
    bs_statistics_fn each, void *context, basalt_error *err)
{
    struct reading reading = {.h5 = h5, .each = each, .context = context};
    struct bs_h5_object *object = NULL;
    basalt_error why = {0};
    basalt_status status = open_trusted(h5, own, &object, err);
    if (status || !object) return status;
    status = read_records(&reading, object, &why);
    bs_h5_object_close(object);
    if (!reading.stopped && !is_fatal(status)) return BASALT_OK;
    if (err) *err = why;
    return status;
}

/* ---- to look them up --------------------------------------------------------------------------- */

struct collecting {
    struct bs_statistics *into;
    const struct bs_field *fields; /* of columns from `first` on */
    size_t first, count;
    uint64_t number;
};

static basalt_status collect(
    void *context, const struct bs_statistics_record *record, basalt_error *err)
{
    struct collecting *collecting = context;
    struct bs_statistics *into = collecting->into;
    const uint64_t number = collecting->number++;
    if (record->column < collecting->first ||
        record->column - collecting->first >= collecting->count ||
        record->values.kind !=
            bs_bounds_kind_of(&collecting->fields[record->column - collecting->first])) {
        return BASALT_OK;
    }
    if (into->count == into->capacity) {
        const size_t capacity = into->capacity ? into->capacity * 2 : 64;
        if (capacity > BS_STATISTICS_KEPT_MAX) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "there are statistics of over %zu chunks", BS_STATISTICS_KEPT_MAX);
        }
        void *grown = bs_realloc(into->entries, capacity * sizeof *into->entries);
        if (!grown) return bs_fail_memory(err, capacity * sizeof *into->entries);
        into->entries = grown;
        into->capacity = capacity;
    }
    into->entries[into->count++] = (struct entry){*record, number};
    return BASALT_OK;
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_keys(const void *left, const void *right)
{
    const struct bs_statistics_record *a = &((const struct entry *)left)->record;
    const struct bs_statistics_record *b = &((const struct entry *)right)->record;
    int order = compare(a->column, b->column);
    if (!order) order = compare(a->first_row, b->first_row);
    if (!order) order = compare(a->values.rows, b->values.rows);
    if (!order) order = compare(a->address, b->address);
    return order ? order : compare(a->stored_bytes, b->stored_bytes);
}

static int compare_entries(const void *left, const void *right)
{
    const int order = compare_keys(left, right);
    if (order) return order;
    return compare(((const struct entry *)left)->number, ((const struct entry *)right)->number);
}

static void sort(struct bs_statistics *statistics)
{
    size_t kept = 0;
    struct entry *entries = statistics->entries;
    qsort(entries, statistics->count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < statistics->count; i++) {
        if (i + 1 < statistics->count && !compare_keys(&entries[i], &entries[i + 1])) continue;
        entries[kept++] = entries[i];
    }
    statistics->count = kept;
}

basalt_status bs_statistics_load(struct bs_h5_file *h5, const struct bs_h5_object *own,
    const struct bs_field *fields, size_t first, size_t count,
    struct bs_statistics **out_statistics, basalt_error *err)
{
    struct bs_statistics *statistics = bs_alloc_zeroed(1, sizeof *statistics);
    struct collecting collecting = {statistics, fields, first, count, 0};
    basalt_error why = {0};
    *out_statistics = NULL;
    if (!statistics) return bs_fail_memory(err, sizeof *statistics);
    statistics->column = first;
    const basalt_status status = bs_statistics_each(h5, own, collect, &collecting, &why);
    if (status || !statistics->count) {
        bs_statistics_free(statistics);
        if (!is_fatal(status)) return BASALT_OK; /* none, or too many */
        if (err) *err = why;
        return status;
    }
    sort(statistics);
    *out_statistics = statistics;
    return BASALT_OK;
}

basalt_status bs_statistics_open(struct bs_h5_file *h5, const struct bs_h5_object *own,
    size_t column, const struct bs_field *field, struct bs_statistics **out_statistics,
    basalt_error *err)
{
    return bs_statistics_load(h5, own, field, column, 1, out_statistics, err);
}

void bs_statistics_free(struct bs_statistics *statistics)
{
    if (!statistics) return;
    bs_free(statistics->entries);
    bs_free(statistics);
}

bool bs_statistics_find_of(const struct bs_statistics *statistics, size_t column,
    uint64_t first_row, uint64_t rows, uint64_t address, uint64_t stored_bytes,
    struct bs_chunk_statistics *out_found)
{
    const struct entry key = {.record = {.column = (uint32_t)column,
                                  .first_row = first_row,
                                  .address = address,
                                  .stored_bytes = stored_bytes,
                                  .values = {.rows = rows}}};
    *out_found = (struct bs_chunk_statistics){0};
    if (!statistics || !statistics->count) return false;
    const struct entry *found =
        bsearch(&key, statistics->entries, statistics->count, sizeof key, compare_keys);
    if (!found) return false;
    *out_found = found->record.values;
    return true;
}

bool bs_statistics_find(const struct bs_statistics *statistics, uint64_t first_row, uint64_t rows,
    uint64_t address, uint64_t stored_bytes, struct bs_chunk_statistics *out_found)
{
    return bs_statistics_find_of(statistics, statistics ? statistics->column : 0, first_row, rows,
        address, stored_bytes, out_found);
}
