/* arrow_internal.h - what the files of this floor share. */
#ifndef BS_ARROW_INTERNAL_H
#define BS_ARROW_INTERNAL_H

#include "arrow/arrow.h"

#include <inttypes.h>

#define BS_METADATA_BYTES_MAX ((size_t)16 << 20) /* key-value metadata of one field or schema */
#define BS_FORMAT_BYTES_MAX 4096                 /* of an Arrow format string: a long time zone */
#define BS_BATCH_BYTES_MAX ((uint64_t)1 << 31)   /* one encoded block */
#define BS_BATCH_ROWS_MAX ((uint64_t)INT32_MAX)
#define BS_SHOWN_BYTES_MAX 80 /* of a name inside an error message */

/* How much of `text` an error message shows: at most BS_SHOWN_BYTES_MAX, cut between characters.
 * For "%.*s". */
int bs_shown(const char *text);

/* An empty schema of `field_count` fields, to be filled by bs_field_make. */
BS_MUST_USE basalt_status bs_schema_make(
    size_t field_count, struct bs_schema **out_schema, basalt_error *err);
/* Checks and copies; metadata apart. `index` is for messages. */
BS_MUST_USE basalt_status bs_field_make(struct bs_field *field, size_t index, const char *name,
    const char *format, bool nullable, basalt_error *err);
/* The first part of that, for any type: names and formats are checked and copied. */
BS_MUST_USE basalt_status bs_field_name(struct bs_field *field, size_t index, const char *name,
    const char *format, bool nullable, basalt_error *err);
void bs_field_clear(struct bs_field *field);
/* Key-value metadata as the C data interface has it; nothing for NULL or no pair. */
BS_MUST_USE basalt_status bs_metadata_copy(
    const char *metadata, char **out_copy, size_t *out_bytes, basalt_error *err);
/* Of an Arrow format string that no column of Basalt's has: "list", "union" ... */
const char *bs_foreign_type_name(const char *format);
/* The schema of somebody else's stream as it stands. The caller releases it. */
BS_MUST_USE basalt_status bs_stream_arrow_schema(
    struct ArrowArrayStream *stream, struct ArrowSchema *out_schema, basalt_error *err);

/* ---- bits ---- */

static inline bool bs_bit(const uint8_t *bits, uint64_t at)
{
    return bits[at >> 3] >> (at & 7) & 1;
}
/* Copies `count` bits from position `from` of `bits` to position 0 of `out`; the last byte's spare
 * bits become 0. Returns how many of them are 1. */
uint64_t bs_bits_copy(uint8_t *out, const uint8_t *bits, uint64_t from, uint64_t count);
uint64_t bs_bits_count(const uint8_t *bits, uint64_t from, uint64_t count); /* ones */

/* ---- checks of columns that somebody else made ---- */

/* Positions `offsets[0..count]` (width 4 or 8 bytes, any alignment) never fall and start at 0 or
 * above. *out_bad is the first row that breaks this, or `count`. */
bool bs_offsets_monotone(
    const void *offsets, size_t width_bytes, uint64_t count, uint64_t *out_bad);
int64_t bs_offset_at(const void *offsets, size_t width_bytes, uint64_t index);
/* Every value is UTF-8 by itself. `offsets` are `count` + 1 positions in `text`, monotone. *out_bad
 * is the first row that is not. */
bool bs_texts_valid(const uint8_t *text, const void *offsets, size_t width_bytes, uint64_t count,
    uint64_t *out_bad);

#endif
