/* batch.c - rows as one block of bytes: what the log stores and the memtable keeps.
 *
 * BLOCK, little-endian, starts on a multiple of 8 and is a multiple of 8 long
 *    0  u32  magic          "BSB1"
 *    4  u32  columns        as many as the schema has fields
 *    8  u64  rows           0 .. BS_BATCH_ROWS_MAX
 *   16       directory, 8 bytes a column:
 *            u32 null_count, u32 text_bytes (0 for a fixed-width column)
 *            columns in the schema's order, each part padded with zeros to a multiple of 8:
 *            validity       only if null_count > 0: bit i of byte i/8, LSB first, 1 = there
 *            offsets        TEXT and BINARY: (rows + 1) x u32, from 0 to text_bytes
 *            values         rows x width_bytes; bool: a byte each, 0 or 1; or the text, end to end
 *
 * INVARIANTS
 *   (1) The length of a block follows from schema and directory, and nothing comes after it.
 *   (2) What is null is zero bytes, or an empty text: a reader that ignores validity sees no
 *       leftover of the caller's memory, and equal rows are equal bytes.
 *   (3) Offsets never fall, and every text is UTF-8 by itself.
 *   (4) A column that is not nullable has null_count 0.
 * Encode establishes them from an array that somebody else made; decode believes none of them. The
 * schema is not in the block: it is the family's, in the log and the file. */
#include "arrow/arrow_internal.h"

#define BLOCK_MAGIC 0x31425342u /* "BSB1" */
#define HEADER_BYTES 16
#define ENTRY_BYTES 8

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "blocks are copied from Arrow buffers, so this needs a little-endian machine"
#endif

/* The rows of one column of a foreign array. */
struct source {
    const struct bs_field *field;
    const uint8_t *validity; /* NULL: no nulls among these rows */
    const uint8_t *values;
    const uint8_t *offsets; /* TEXT and BINARY */
    size_t offset_width_bytes;
    uint64_t start; /* of the first row, in elements of the buffers */
    uint64_t rows;
    uint64_t null_count;
    uint64_t text_bytes;
};

static bool is_variable(const struct bs_field *field)
{
    return field->width_bytes == 0;
}

static uint64_t padded(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

/* At most 2^31 rows x 2^16 bytes, so it cannot overflow. */
static uint64_t column_bytes(
    const struct bs_field *field, uint64_t rows, uint64_t null_count, uint64_t text_bytes)
{
    const uint64_t validity = null_count ? padded((rows + 7) / 8) : 0;
    if (is_variable(field)) return validity + padded((rows + 1) * 4) + padded(text_bytes);
    return validity + padded(rows * field->width_bytes);
}

/* ---- looking at a foreign array ---------------------------------------------------------------- */

static basalt_status refuse(const struct bs_field *field, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "column \"%.*s\" of the Arrow array %s", bs_shown(field->name), field->name, what);
}

static basalt_status check_shape(const struct bs_schema *schema, const struct ArrowArray *array,
    uint64_t first, uint64_t count, basalt_error *err)
{
    if (!array || !array->release) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the Arrow array is empty");
    }
    if (array->length < 0 || array->offset < 0 || array->length > INT64_MAX - array->offset) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the Arrow array has a wild length (%" PRId64 ") or offset (%" PRId64 ")",
            array->length, array->offset);
    }
    if (array->n_children < 0 || (uint64_t)array->n_children != schema->field_count ||
        (array->n_children > 0 && !array->children)) {
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "the Arrow array has %" PRId64 " columns, its schema %zu", array->n_children,
            schema->field_count);
    }
    if (first > (uint64_t)array->length || count > (uint64_t)array->length - first) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "rows %" PRIu64 " to %" PRIu64 " are not all in an Arrow array of %" PRId64 " rows",
            first, first + count, array->length);
    }
    if (array->n_buffers > 0 && array->buffers && array->buffers[0] && count > 0 &&
        bs_bits_count(array->buffers[0], (uint64_t)array->offset + first, count) != count) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the Arrow array has rows that are null as a whole; only values can be null");
    }
    return BASALT_OK;
}

static basalt_status check_child(const struct bs_field *field, const struct ArrowArray *array,
    const struct ArrowArray *child, basalt_error *err)
{
    if (!child || !child->release) return refuse(field, "is empty", err);
    if (child->length < 0 || child->offset < 0 || child->length > INT64_MAX - child->offset) {
        return refuse(field, "has a wild length or offset", err);
    }
    if (child->length < array->offset + array->length) {
        return refuse(field, "has fewer rows than the array", err);
    }
    if (child->dictionary || child->n_children != 0 ||
        child->n_buffers != (is_variable(field) ? 3 : 2)) {
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "column \"%.*s\" of the Arrow array is not of the type that its schema names",
            bs_shown(field->name), field->name);
    }
    if (!child->buffers) return refuse(field, "has no buffers", err);
    return BASALT_OK;
}

static uint64_t first_null(const uint8_t *validity, uint64_t from)
{
    uint64_t at = from;
    while (bs_bit(validity, at)) at++;
    return at - from;
}

static basalt_status count_nulls(
    struct source *source, const struct ArrowArray *child, uint64_t first, basalt_error *err)
{
    const struct bs_field *field = source->field;
    const uint8_t *validity = child->buffers[0];
    if (!validity) {
        if (child->null_count > 0) return refuse(field, "has nulls but no validity buffer", err);
        return BASALT_OK;
    }
    source->null_count = source->rows - bs_bits_count(validity, source->start, source->rows);
    if (source->null_count == 0) return BASALT_OK;
    if (!field->nullable) {
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "column \"%.*s\" is not nullable, but row %" PRIu64 " is null", bs_shown(field->name),
            field->name, first + first_null(validity, source->start));
    }
    source->validity = validity;
    return BASALT_OK;
}

static basalt_status measure_text(
    struct source *source, const struct ArrowArray *child, uint64_t first, basalt_error *err)
{
    const struct bs_field *field = source->field;
    const char code = field->format[0];
    const size_t width = code == 'u' || code == 'z' ? 4 : 8;
    uint64_t bad;
    if (!child->buffers[1]) return refuse(field, "has no offsets", err);
    source->offset_width_bytes = width;
    source->offsets = (const uint8_t *)child->buffers[1] + source->start * width;
    source->values = child->buffers[2];
    if (!bs_offsets_monotone(source->offsets, width, source->rows, &bad)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "column \"%.*s\" of the Arrow array has offsets that fall at row %" PRIu64,
            bs_shown(field->name), field->name, first + bad);
    }
    const int64_t from = bs_offset_at(source->offsets, width, 0);
    const int64_t to = bs_offset_at(source->offsets, width, source->rows);
    if (to > from && !source->values) return refuse(field, "has no values", err);
    if (!source->validity) {
        source->text_bytes = (uint64_t)(to - from);
        return BASALT_OK;
    }
    for (uint64_t i = 0; i < source->rows; i++) {
        if (!bs_bit(source->validity, source->start + i)) continue;
        source->text_bytes += (uint64_t)(bs_offset_at(source->offsets, width, i + 1) -
            bs_offset_at(source->offsets, width, i));
    }
    return BASALT_OK;
}

/* Checks the rows of one column and says how large they are in a block. Text is looked at later,
 * when it has been copied. */
static basalt_status measure_column(const struct bs_field *field, const struct ArrowArray *array,
    const struct ArrowArray *child, uint64_t first, uint64_t count, struct source *source,
    basalt_error *err)
{
    basalt_status status = check_child(field, array, child, err);
    if (status) return status;
    *source = (struct source){
        .field = field,
        .start = (uint64_t)child->offset + (uint64_t)array->offset + first,
        .rows = count,
    };
    if (count == 0) return BASALT_OK;
    status = count_nulls(source, child, first, err);
    if (status) return status;
    if (is_variable(field)) return measure_text(source, child, first, err);
    source->values = child->buffers[1];
    return source->values ? BASALT_OK : refuse(field, "has no values", err);
}

/* *out_bytes is the length of the block, or UINT64_MAX if it is beyond every limit. */
static basalt_status measure(const struct bs_schema *schema, const struct ArrowArray *array,
    uint64_t first, uint64_t count, struct source *sources, uint64_t *out_bytes, basalt_error *err)
{
    uint64_t bytes = HEADER_BYTES + ENTRY_BYTES * (uint64_t)schema->field_count;
    bool beyond = count > BS_BATCH_ROWS_MAX;
    basalt_status status = check_shape(schema, array, first, count, err);
    if (status) return status;
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct bs_field *field = &schema->fields[i];
        status = measure_column(field, array, array->children[i], first, count, &sources[i], err);
        if (status) return status;
        if (beyond || sources[i].text_bytes > UINT32_MAX) {
            beyond = true;
            continue;
        }
        bytes += column_bytes(field, count, sources[i].null_count, sources[i].text_bytes);
        beyond |= bytes > BS_BATCH_BYTES_MAX;
    }
    *out_bytes = beyond ? UINT64_MAX : bytes;
    return BASALT_OK;
}

/* ---- encode ------------------------------------------------------------------------------------ */

/* Writes the parts of a block one after the other. */
struct pen {
    uint8_t *at;
};

static uint8_t *pen_part(struct pen *pen, uint64_t bytes)
{
    uint8_t *part = pen->at;
    memset(part + bytes, 0, padded(bytes) - bytes);
    pen->at += padded(bytes);
    return part;
}

static void unpack_bools(uint8_t *out, const uint8_t *bits, uint64_t from, uint64_t count)
{
    uint64_t i = 0;
    for (; i < count && ((from + i) & 7); i++) out[i] = bs_bit(bits, from + i);
    for (; i + 8 <= count; i += 8) {
        const unsigned byte = bits[(from + i) >> 3];
        for (unsigned bit = 0; bit < 8; bit++) out[i + bit] = byte >> bit & 1;
    }
    for (; i < count; i++) out[i] = bs_bit(bits, from + i);
}

static void zero_nulls(uint8_t *values, size_t width, const uint8_t *validity, uint64_t rows)
{
    for (uint64_t i = 0; i < rows; i++) {
        if ((i & 7) == 0 && validity[i >> 3] == 0xFF) {
            i += 7;
            continue;
        }
        if (!bs_bit(validity, i)) memset(values + i * width, 0, width);
    }
}

static void copy_fixed(const struct source *source, const uint8_t *validity, struct pen *pen)
{
    const size_t width = source->field->width_bytes;
    uint8_t *values = pen_part(pen, source->rows * width);
    if (source->rows == 0) return;
    if (source->field->kind == BS_KIND_BOOL) {
        unpack_bools(values, source->values, source->start, source->rows);
    } else {
        memcpy(values, source->values + source->start * width, source->rows * width);
    }
    if (validity) zero_nulls(values, width, validity, source->rows);
}

static void copy_valid_texts(
    const struct source *source, const uint8_t *validity, uint8_t *offsets, uint8_t *text)
{
    const size_t width = source->offset_width_bytes;
    uint32_t end = 0;
    for (uint64_t i = 0; i < source->rows; i++) {
        const int64_t from = bs_offset_at(source->offsets, width, i);
        const int64_t to = bs_offset_at(source->offsets, width, i + 1);
        if (bs_bit(validity, i) && to > from) {
            memcpy(text + end, source->values + from, (size_t)(to - from));
            end += (uint32_t)(to - from);
        }
        memcpy(offsets + (i + 1) * 4, &end, sizeof end);
    }
}

static void copy_all_texts(const struct source *source, uint8_t *offsets, uint8_t *text)
{
    const size_t width = source->offset_width_bytes;
    const int64_t first = bs_offset_at(source->offsets, width, 0);
    for (uint64_t i = 1; i <= source->rows; i++) {
        const uint32_t end = (uint32_t)(bs_offset_at(source->offsets, width, i) - first);
        memcpy(offsets + i * 4, &end, sizeof end);
    }
    if (source->text_bytes) memcpy(text, source->values + first, source->text_bytes);
}

static basalt_status copy_texts(const struct source *source, const uint8_t *validity,
    uint64_t first, struct pen *pen, basalt_error *err)
{
    uint64_t bad;
    uint8_t *offsets = pen_part(pen, (source->rows + 1) * 4);
    uint8_t *text = pen_part(pen, source->text_bytes);
    memset(offsets, 0, 4);
    if (source->rows == 0) return BASALT_OK;
    if (validity) {
        copy_valid_texts(source, validity, offsets, text);
    } else {
        copy_all_texts(source, offsets, text);
    }
    if (source->field->kind != BS_KIND_TEXT) return BASALT_OK;
    if (bs_texts_valid(text, offsets, 4, source->rows, &bad)) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "column \"%.*s\" is not UTF-8 at row %" PRIu64 "; bytes belong into a binary column",
        bs_shown(source->field->name), source->field->name, first + bad);
}

static basalt_status copy_column(
    const struct source *source, uint64_t first, struct pen *pen, basalt_error *err)
{
    uint8_t *validity = NULL;
    if (source->null_count > 0) {
        validity = pen_part(pen, (source->rows + 7) / 8);
        bs_bits_copy(validity, source->validity, source->start, source->rows);
    }
    if (is_variable(source->field)) return copy_texts(source, validity, first, pen, err);
    copy_fixed(source, validity, pen);
    return BASALT_OK;
}

static void put_header(
    uint8_t *block, const struct bs_schema *schema, uint64_t rows, const struct source *sources)
{
    bs_store_u32(block, BLOCK_MAGIC);
    bs_store_u32(block + 4, (uint32_t)schema->field_count);
    bs_store_u64(block + 8, rows);
    for (size_t i = 0; i < schema->field_count; i++) {
        uint8_t *entry = block + HEADER_BYTES + i * ENTRY_BYTES;
        bs_store_u32(entry, (uint32_t)sources[i].null_count);
        bs_store_u32(entry + 4, (uint32_t)sources[i].text_bytes);
    }
}

static basalt_status make_sources(
    const struct bs_schema *schema, struct source **out_sources, basalt_error *err)
{
    *out_sources = bs_alloc_zeroed(schema->field_count + 1, sizeof **out_sources);
    if (*out_sources) return BASALT_OK;
    return bs_fail_memory(err, (schema->field_count + 1) * sizeof **out_sources);
}

basalt_status bs_batch_encode(const struct bs_schema *schema, const struct ArrowArray *array,
    uint64_t first, uint64_t count, struct bs_bytes *out, basalt_error *err)
{
    struct source *sources = NULL;
    uint64_t bytes = 0;
    const size_t before = out->count;
    basalt_status status = make_sources(schema, &sources, err);
    if (status) return status;
    BS_TRY(measure(schema, array, first, count, sources, &bytes, err));
    if (bytes == UINT64_MAX) {
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "%" PRIu64 " rows are more than one batch can be: %" PRIu64 " bytes, %" PRIu64 " rows",
            count, BS_BATCH_BYTES_MAX, BS_BATCH_ROWS_MAX);
        goto out;
    }
    bs_bytes_align(out, 8);
    uint8_t *block = bs_bytes_grow(out, (size_t)bytes);
    if (!block) {
        status = bs_fail_memory(err, (size_t)bytes);
        goto out;
    }
    put_header(block, schema, count, sources);
    struct pen pen = {block + HEADER_BYTES + ENTRY_BYTES * schema->field_count};
    for (size_t i = 0; i < schema->field_count; i++) {
        BS_TRY(copy_column(&sources[i], first, &pen, err));
    }
    assert(pen.at == block + bytes);
out:
    if (status) out->count = before;
    bs_free(sources);
    return status;
}

basalt_status bs_batch_fit(const struct bs_schema *schema, const struct ArrowArray *array,
    uint64_t first, size_t bytes_max, uint64_t *out_rows, basalt_error *err)
{
    struct source *sources = NULL;
    uint64_t bytes = 0;
    *out_rows = 0;
    basalt_status status = make_sources(schema, &sources, err);
    if (status) return status;
    BS_TRY(check_shape(schema, array, first, 0, err));
    uint64_t fits = 0, tried = (uint64_t)array->length - first;
    uint64_t too_many = tried + 1;
    if (tried == 0) goto out;
    while (too_many - fits > 1) { /* fits rows fit, too_many do not */
        BS_TRY(measure(schema, array, first, tried, sources, &bytes, err));
        if (bytes <= bytes_max) {
            fits = tried;
        } else {
            too_many = tried;
        }
        tried = fits + (too_many - fits) / 2;
    }
    if (fits == 0) {
        BS_TRY(measure(schema, array, first, 1, sources, &bytes, err));
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "row %" PRIu64 " takes %" PRIu64 " bytes; at most %zu are possible", first, bytes,
            bytes_max);
        goto out;
    }
    *out_rows = fits;
out:
    bs_free(sources);
    return status;
}

/* ---- decode ------------------------------------------------------------------------------------ */

static basalt_status corrupt(const struct bs_field *field, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "column \"%.*s\" of a stored batch %s",
        bs_shown(field->name), field->name, what);
}

static const uint8_t *take_part(struct bs_cursor *cursor, uint64_t bytes)
{
    return bs_cursor_bytes(cursor, (size_t)padded(bytes));
}

static bool nulls_are_zero(
    const struct bs_field *field, const struct bs_column *column, uint64_t rows)
{
    static const uint8_t zeros[64];
    for (uint64_t i = 0; i < rows; i++) {
        if (bs_bit(column->validity, i)) continue;
        if (column->offsets) {
            if (column->offsets[i] != column->offsets[i + 1]) return false;
            continue;
        }
        const uint8_t *value = column->values + i * field->width_bytes;
        for (size_t at = 0; at < field->width_bytes; at += sizeof zeros) {
            const size_t step = BS_MIN(sizeof zeros, field->width_bytes - at);
            if (memcmp(value + at, zeros, step) != 0) return false;
        }
    }
    return true;
}

static basalt_status check_texts(const struct bs_field *field, const struct bs_column *column,
    uint64_t rows, uint32_t text_bytes, basalt_error *err)
{
    uint32_t before = 0;
    uint64_t bad;
    for (uint64_t i = 0; i <= rows; i++) {
        const uint32_t at = column->offsets[i];
        if (at < before || (i == 0 && at != 0)) return corrupt(field, "has offsets that fall", err);
        before = at;
    }
    if (before != text_bytes) return corrupt(field, "has offsets beyond its text", err);
    if (field->kind == BS_KIND_TEXT &&
        !bs_texts_valid(column->values, column->offsets, 4, rows, &bad)) {
        return corrupt(field, "is not UTF-8", err);
    }
    return BASALT_OK;
}

static basalt_status check_bools(
    const struct bs_field *field, const uint8_t *values, uint64_t rows, basalt_error *err)
{
    uint8_t seen = 0;
    for (uint64_t i = 0; i < rows; i++) seen |= values[i];
    return seen > 1 ? corrupt(field, "has a bool that is neither 0 nor 1", err) : BASALT_OK;
}

static basalt_status decode_column(const struct bs_field *field, uint64_t rows, uint32_t null_count,
    uint32_t text_bytes, struct bs_cursor *cursor, struct bs_column *column, basalt_error *err)
{
    if (null_count > rows || (null_count > 0 && !field->nullable)) {
        return corrupt(field, "has more nulls than it may", err);
    }
    if (text_bytes > 0 && !is_variable(field)) return corrupt(field, "has text", err);
    column->null_count = null_count;
    if (null_count > 0) column->validity = take_part(cursor, (rows + 7) / 8);
    if (is_variable(field)) {
        column->offsets = (const void *)take_part(cursor, (rows + 1) * 4);
        column->values = take_part(cursor, text_bytes);
    } else {
        column->values = take_part(cursor, rows * field->width_bytes);
    }
    if (cursor->failed) return corrupt(field, "is cut short", err);
    if (null_count > 0 && bs_bits_count(column->validity, 0, rows) != rows - null_count) {
        return corrupt(field, "has a wrong number of nulls", err);
    }
    basalt_status status = BASALT_OK;
    if (is_variable(field)) status = check_texts(field, column, rows, text_bytes, err);
    if (field->kind == BS_KIND_BOOL) status = check_bools(field, column->values, rows, err);
    if (status) return status;
    if (null_count > 0 && !nulls_are_zero(field, column, rows)) {
        return corrupt(field, "has a null that is not empty", err);
    }
    return BASALT_OK;
}

static basalt_status decode_header(
    const struct bs_schema *schema, struct bs_cursor *cursor, uint64_t *out_rows, basalt_error *err)
{
    const uint32_t magic = bs_cursor_u32(cursor);
    const uint32_t columns = bs_cursor_u32(cursor);
    *out_rows = bs_cursor_u64(cursor);
    if (cursor->failed || magic != BLOCK_MAGIC) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "a stored batch has no header");
    }
    if (columns != schema->field_count) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a stored batch has %" PRIu32 " columns, its schema %zu", columns, schema->field_count);
    }
    if (*out_rows > BS_BATCH_ROWS_MAX) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a stored batch says that it has %" PRIu64 " rows", *out_rows);
    }
    return BASALT_OK;
}

basalt_status bs_batch_decode(const struct bs_schema *schema, const void *bytes, size_t count,
    struct bs_batch *out_batch, basalt_error *err)
{
    struct bs_cursor cursor = bs_cursor_make(bytes, count, BASALT_NO_OFFSET);
    struct bs_batch batch = {.schema = schema};
    assert(((uintptr_t)bytes & 7) == 0);
    memset(out_batch, 0, sizeof *out_batch);
    basalt_status status = decode_header(schema, &cursor, &batch.rows, err);
    if (status) return status;
    struct bs_cursor directory = cursor;
    bs_cursor_skip(&cursor, ENTRY_BYTES * schema->field_count);
    if (cursor.failed) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "a stored batch is cut short");
    }
    batch.columns = bs_alloc_zeroed(schema->field_count + 1, sizeof *batch.columns);
    if (!batch.columns) return bs_fail_memory(err, schema->field_count * sizeof *batch.columns);
    for (size_t i = 0; i < schema->field_count; i++) {
        const uint32_t null_count = bs_cursor_u32(&directory);
        const uint32_t text_bytes = bs_cursor_u32(&directory);
        BS_TRY(decode_column(&schema->fields[i], batch.rows, null_count, text_bytes, &cursor,
            &batch.columns[i], err));
    }
    if (bs_cursor_left(&cursor) > 0) {
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a stored batch is followed by %zu bytes that are not its own",
            bs_cursor_left(&cursor));
        goto out;
    }
    *out_batch = batch;
    batch.columns = NULL;
out:
    bs_batch_clear(&batch);
    return status;
}

void bs_batch_clear(struct bs_batch *batch)
{
    bs_free(batch->columns);
    memset(batch, 0, sizeof *batch);
}
