/* table_bounds.c - what is known of the values of a column, of every so many rows.
 *
 * The least and the greatest value, whether one is NaN, whether one is missing. Known from the file, of
 * families that Basalt wrote (store/statistics.c), and learnt when a cursor with ranges reads a column:
 * each for a unit of rows, a chunk or several. An entry is filled once, by whoever is first, and never
 * changes: who reads it looks whether it is READY, and takes no lock.
 *
 * What is learnt of a table is kept by the table, and with `bounds` of its options for tables that are
 * opened later, of a column that is the same: the same file by device, inode, size, and the times of its
 * last change, which were looked at before it was read and were then older than SETTLED_NS, so that
 * whoever writes to it later gives it another time; in it the same datasets, the same bytes of their
 * elements. Not of data that are in other files (external, virtual, behind links). The list of them is
 * guarded by a mutex that is held for a walk through it, never while a file is read.
 *
 * What a file says of its chunks is STATED: another program may have changed the bytes since, in their
 * place. So before a unit is left out its stored bytes are read, though not decoded, and must have the sum
 * that goes with the statement; if not it is REFUTED, and read as if nothing were known. Where a mask says
 * what is missing, which has no sum, nothing is taken from the file.
 *
 * Nothing here decides what is found, only what need not be read: a unit that is not known is read. */
#include "store/store.h"
#include "tables/tables_internal.h"

#include <math.h>

#define UNITS_MAX ((uint64_t)65536) /* of a column: else several chunks are one */
#define PLAIN_UNIT_ROWS ((uint64_t)16384)
#define REMEMBERED_MAX 4096 /* columns */
#define SETTLED_NS ((uint64_t)2000000000)
#define LANES 8

/* ---- entries ----------------------------------------------------------------------------------- */

enum entry_state { UNKNOWN, BEING_MADE, READY, STATED, REFUTED };

struct values { /* of a unit */
    bool has_bounds, has_nan, has_null;
    union bs_number low, high;
};

struct entry {
    _Atomic unsigned state;
    struct values values; /* once READY or STATED */
};

struct proof { /* of what is STATED */
    uint64_t address, stored_bytes;
    uint32_t crc32c;
};

struct bs_known {
    struct bs_shared shared;
    char code;
    uint64_t rows, unit_rows, count;
    struct proof *proofs; /* one an entry; NULL: nothing is STATED */
    struct entry entries[];
};

static void known_destroy(struct bs_shared *shared)
{
    struct bs_known *known = (struct bs_known *)shared;
    bs_free(known->proofs);
    bs_free(known);
}

void bs_known_release(struct bs_known *known)
{
    if (known) bs_shared_release(&known->shared);
}

static size_t known_bytes(const struct bs_known *known)
{
    const size_t proof_bytes = known->proofs ? sizeof *known->proofs : 0;
    return sizeof *known + (size_t)known->count * (sizeof known->entries[0] + proof_bytes);
}

static void settle(struct entry *entry, const struct values *values, unsigned state)
{
    unsigned expected = UNKNOWN;
    if (!atomic_compare_exchange_strong(&entry->state, &expected, BEING_MADE)) return;
    entry->values = *values;
    atomic_store(&entry->state, state);
}

/* Whether the stored bytes are still those that the statement is of. Threads may do that at once. */
static bool prove(const struct bs_table *table, const struct bs_column_of *column,
    struct bs_known *known, uint64_t unit)
{
    const struct proof *proof = &known->proofs[unit];
    const struct bs_h5_chunk chunk = {
        .address = proof->address, .stored_bytes = proof->stored_bytes};
    const struct bs_h5_object *object = table->blocks[column->block].object;
    uint8_t *stored = proof->stored_bytes <= bs_h5_file_bytes(table->h5)
        ? bs_alloc((size_t)proof->stored_bytes)
        : NULL;
    if (!stored) return false;
    const bool same = !bs_h5_chunk_read_stored(table->h5, object, &chunk, stored, NULL) &&
        bs_crc32c(0, stored, (size_t)proof->stored_bytes) == proof->crc32c;
    bs_free(stored);
    atomic_store(&known->entries[unit].state, same ? READY : REFUTED);
    return same;
}

/* ---- questions --------------------------------------------------------------------------------- */

static bool is_float(char code)
{
    return code == 'e' || code == 'f' || code == 'g';
}

static bool is_unsigned(char code)
{
    return code == 'b' || code == 'C' || code == 'S' || code == 'I' || code == 'L';
}

static bool is_less(char code, const union bs_number *a, const union bs_number *b)
{
    if (is_float(code)) return a->as_float < b->as_float;
    return is_unsigned(code) ? a->as_unsigned < b->as_unsigned : a->as_signed < b->as_signed;
}

static enum bs_verdict judge(const struct bs_range *range, const struct values *values)
{
    const char code = range->code;
    const bool numbers = values->has_bounds && !range->nothing &&
        !is_less(code, &values->high, &range->low) && !is_less(code, &range->high, &values->low);
    if (!numbers && !(values->has_nan && range->nan)) return BS_NONE;
    if (values->has_null || (values->has_nan && !range->nan)) return BS_SOME;
    if (!values->has_bounds) return BS_ALL; /* NaN alone */
    return numbers && !is_less(code, &values->low, &range->low) &&
            !is_less(code, &range->high, &values->high)
        ? BS_ALL
        : BS_SOME;
}

static enum bs_verdict ask_unit(const struct bs_table *table, size_t column, struct bs_known *known,
    const struct bs_range *range, uint64_t unit)
{
    if (unit >= known->count) return BS_SOME;
    const struct entry *entry = &known->entries[unit];
    const unsigned state = atomic_load(&entry->state);
    if (state != READY && state != STATED) return BS_SOME;
    const enum bs_verdict verdict = judge(range, &entry->values);
    const bool proven =
        state == READY || verdict == BS_SOME || prove(table, &table->columns[column], known, unit);
    return proven ? verdict : BS_SOME;
}

enum bs_verdict bs_known_ask(const struct bs_table *table, size_t column, struct bs_known *known,
    const struct bs_range *range, uint64_t first, uint64_t end)
{
    if (!known || known->code != range->code || first >= end) return BS_SOME;
    bool none = true, all = true;
    for (uint64_t unit = first / known->unit_rows; unit * known->unit_rows < end; unit++) {
        const enum bs_verdict verdict = ask_unit(table, column, known, range, unit);
        none &= verdict == BS_NONE;
        all &= verdict == BS_ALL;
        if (!none && !all) return BS_SOME;
    }
    return none ? BS_NONE : BS_ALL;
}

/* ---- values looked at -------------------------------------------------------------------------- */

/* The least and the greatest of values without nulls: LANES of each, so that the compiler makes vectors. */
#define EXTREMES(name, type, member, largest, smallest)                                            \
    static void name(const type *values, size_t count, struct values *out)                         \
    {                                                                                              \
        type low[LANES], high[LANES];                                                              \
        size_t i = 0;                                                                              \
        for (size_t k = 0; k < LANES; k++) {                                                       \
            low[k] = largest;                                                                      \
            high[k] = smallest;                                                                    \
        }                                                                                          \
        for (; i + LANES <= count; i += LANES) {                                                   \
            for (size_t k = 0; k < LANES; k++) {                                                   \
                low[k] = values[i + k] < low[k] ? values[i + k] : low[k];                          \
                high[k] = values[i + k] > high[k] ? values[i + k] : high[k];                       \
            }                                                                                      \
        }                                                                                          \
        for (; i < count; i++) {                                                                   \
            low[0] = values[i] < low[0] ? values[i] : low[0];                                      \
            high[0] = values[i] > high[0] ? values[i] : high[0];                                   \
        }                                                                                          \
        for (size_t k = 1; k < LANES; k++) {                                                       \
            low[0] = low[k] < low[0] ? low[k] : low[0];                                            \
            high[0] = high[k] > high[0] ? high[k] : high[0];                                       \
        }                                                                                          \
        out->low.member = low[0];                                                                  \
        out->high.member = high[0];                                                                \
        out->has_bounds = low[0] <= high[0];                                                       \
    }
EXTREMES(extremes_i8, int8_t, as_signed, INT8_MAX, INT8_MIN)
EXTREMES(extremes_i16, int16_t, as_signed, INT16_MAX, INT16_MIN)
EXTREMES(extremes_i32, int32_t, as_signed, INT32_MAX, INT32_MIN)
EXTREMES(extremes_i64, int64_t, as_signed, INT64_MAX, INT64_MIN)
EXTREMES(extremes_u8, uint8_t, as_unsigned, UINT8_MAX, 0)
EXTREMES(extremes_u16, uint16_t, as_unsigned, UINT16_MAX, 0)
EXTREMES(extremes_u32, uint32_t, as_unsigned, UINT32_MAX, 0)
EXTREMES(extremes_u64, uint64_t, as_unsigned, UINT64_MAX, 0)
EXTREMES(extremes_float, float, as_float, INFINITY, -INFINITY)
EXTREMES(extremes_double, double, as_float, (double)INFINITY, -(double)INFINITY)

#define HAS_NAN(name, type)                                                                        \
    static bool name(const type *values, size_t count)                                             \
    {                                                                                              \
        unsigned lanes[LANES] = {0};                                                               \
        size_t i = 0;                                                                              \
        for (; i + LANES <= count; i += LANES)                                                     \
            for (size_t k = 0; k < LANES; k++) lanes[k] |= values[i + k] != values[i + k];         \
        for (; i < count; i++) lanes[0] |= values[i] != values[i];                                 \
        for (size_t k = 1; k < LANES; k++) lanes[0] |= lanes[k];                                   \
        return lanes[0] != 0;                                                                      \
    }
HAS_NAN(float_has_nan, float)
HAS_NAN(double_has_nan, double)

static void look_at_halves(const uint16_t *halves, size_t count, struct values *out)
{
    double low = (double)INFINITY, high = -(double)INFINITY;
    for (size_t i = 0; i < count; i++) {
        const double value = bs_half(halves[i]);
        out->has_nan |= isnan(value);
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    out->low.as_float = low;
    out->high.as_float = high;
    out->has_bounds = low <= high;
}

static void look_at_bits(const uint8_t *bits, size_t first, size_t count, struct values *out)
{
    bool met[2] = {false, false};
    for (size_t i = first; i < first + count; i++) met[bits[i >> 3] >> (i & 7) & 1] = true;
    out->low.as_unsigned = met[0] ? 0 : 1;
    out->high.as_unsigned = met[1] ? 1 : 0;
    out->has_bounds = count > 0;
}

/* Values that are all there. */
static void look_at(char code, const void *data, size_t first, size_t count, struct values *out)
{
    switch (code) {
    case 'b': look_at_bits(data, first, count, out); break;
    case 'c': extremes_i8((const int8_t *)data + first, count, out); break;
    case 's': extremes_i16((const int16_t *)data + first, count, out); break;
    case 'i': extremes_i32((const int32_t *)data + first, count, out); break;
    case 'l': extremes_i64((const int64_t *)data + first, count, out); break;
    case 'C': extremes_u8((const uint8_t *)data + first, count, out); break;
    case 'S': extremes_u16((const uint16_t *)data + first, count, out); break;
    case 'I': extremes_u32((const uint32_t *)data + first, count, out); break;
    case 'L': extremes_u64((const uint64_t *)data + first, count, out); break;
    case 'e': look_at_halves((const uint16_t *)data + first, count, out); break;
    case 'f':
        extremes_float((const float *)data + first, count, out);
        out->has_nan = float_has_nan((const float *)data + first, count);
        break;
    default:
        extremes_double((const double *)data + first, count, out);
        out->has_nan = double_has_nan((const double *)data + first, count);
    }
}

static void join(char code, const struct values *more, struct values *all)
{
    all->has_nan |= more->has_nan;
    if (!more->has_bounds) return;
    if (!all->has_bounds || is_less(code, &more->low, &all->low)) all->low = more->low;
    if (!all->has_bounds || is_less(code, &all->high, &more->high)) all->high = more->high;
    all->has_bounds = true;
}

/* The same, where some may be missing: between those. */
static void look_between(
    char code, const struct ArrowArray *array, size_t first, size_t count, struct values *out)
{
    const uint8_t *map = array->buffers[0];
    for (size_t i = first, from = first; i <= first + count; i++) {
        if (i < first + count && (!map || map[i >> 3] >> (i & 7) & 1)) continue;
        struct values some = {0};
        look_at(code, array->buffers[1], from, i - from, &some);
        join(code, &some, out);
        out->has_null |= i < first + count;
        from = i + 1;
    }
}

void bs_known_learn(struct bs_known *known, const struct ArrowArray *array, uint64_t first)
{
    if (!known) return;
    const uint64_t end = first + (uint64_t)array->length;
    for (uint64_t unit = (first + known->unit_rows - 1) / known->unit_rows; unit < known->count;
         unit++) {
        const uint64_t from = unit * known->unit_rows;
        const uint64_t to = BS_MIN(from + known->unit_rows, known->rows);
        struct values values = {0};
        if (to > end) break;
        if (atomic_load(&known->entries[unit].state) != UNKNOWN) continue;
        if (array->buffers[0] && array->null_count)
            look_between(known->code, array, (size_t)(from - first), (size_t)(to - from), &values);
        else
            look_at(known->code, array->buffers[1], (size_t)(from - first), (size_t)(to - from),
                &values);
        settle(&known->entries[unit], &values, READY);
    }
}

/* ---- what is remembered ------------------------------------------------------------------------ */

struct key { /* compared as bytes: made of zeros */
    uint64_t device, inode, size_bytes, modified_ns, changed_ns;
    uint64_t dataset, offset, mask; /* addresses of objects; bytes in a row */
    uint64_t rows, unit_rows, flags;
};

struct remembered {
    struct remembered *next;
    struct key key;
    struct bs_known *known; /* held */
};

struct basalt_hdf5_bounds {
    bs_mutex mutex; /* guards the rest */
    uint64_t bytes, bytes_max;
    unsigned count;
    struct remembered *first; /* the one that was asked for last */
};

basalt_status bs_bounds_create(
    uint64_t bytes_max, struct basalt_hdf5_bounds **out_bounds, basalt_error *err)
{
    struct basalt_hdf5_bounds *bounds = bs_alloc_zeroed(1, sizeof *bounds);
    *out_bounds = bounds;
    if (!bounds) return bs_fail_memory(err, sizeof *bounds);
    bs_mutex_init(&bounds->mutex);
    bounds->bytes_max = bytes_max;
    return BASALT_OK;
}

static void forget(struct remembered *entry)
{
    bs_known_release(entry->known);
    bs_free(entry);
}

void bs_bounds_free(struct basalt_hdf5_bounds *bounds)
{
    if (!bounds) return;
    while (bounds->first) {
        struct remembered *entry = bounds->first;
        bounds->first = entry->next;
        forget(entry);
    }
    bs_mutex_destroy(&bounds->mutex);
    bs_free(bounds);
}

/* With the mutex: moved to the front, and held for the caller. */
static struct bs_known *recall(struct basalt_hdf5_bounds *bounds, const struct key *key)
{
    for (struct remembered **link = &bounds->first; *link; link = &(*link)->next) {
        struct remembered *entry = *link;
        if (memcmp(&entry->key, key, sizeof *key) != 0) continue;
        *link = entry->next;
        entry->next = bounds->first;
        bounds->first = entry;
        bs_shared_retain(&entry->known->shared);
        return entry->known;
    }
    return NULL;
}

/* With the mutex. */
static void shrink(struct basalt_hdf5_bounds *bounds)
{
    while (bounds->first && (bounds->bytes > bounds->bytes_max || bounds->count > REMEMBERED_MAX)) {
        struct remembered **link = &bounds->first;
        while ((*link)->next) link = &(*link)->next;
        bounds->bytes -= known_bytes((*link)->known);
        bounds->count--;
        forget(*link);
        *link = NULL;
    }
}

/* What is remembered of the key takes the place of *known, or *known is remembered; without memory neither.
 */
static void remember(
    struct basalt_hdf5_bounds *bounds, const struct key *key, struct bs_known **known)
{
    struct remembered *entry = bs_alloc_zeroed(1, sizeof *entry);
    bs_mutex_lock(&bounds->mutex);
    struct bs_known *found = recall(bounds, key);
    if (!found && entry) {
        bs_shared_retain(&(*known)->shared);
        *entry = (struct remembered){bounds->first, *key, *known};
        bounds->first = entry;
        bounds->bytes += known_bytes(*known);
        bounds->count++;
        entry = NULL;
        shrink(bounds);
    }
    bs_mutex_unlock(&bounds->mutex);
    bs_free(entry);
    if (!found) return;
    bs_known_release(*known);
    *known = found;
}

void bs_file_identify(struct bs_file *file, struct bs_file_identity *out_identity)
{
    struct bs_file_info info;
    const uint64_t now = bs_wall_ns();
    *out_identity = (struct bs_file_identity){0};
    if (file->ops->info(file, &info, NULL) || !info.changed_ns) return;
    const uint64_t last = BS_MAX(info.modified_ns, info.changed_ns);
    *out_identity = (struct bs_file_identity){last < now && now - last >= SETTLED_NS, info.device,
        info.inode, info.size_bytes, info.modified_ns, info.changed_ns};
}

/* ---- columns ----------------------------------------------------------------------------------- */

/* Whether the bytes of the block are in the file that was opened, and nowhere else. */
static bool is_inside(const struct bs_table *table, size_t index)
{
    const struct bs_block *block = &table->blocks[index];
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(block->object);
    return bs_h5_object_file(block->object) == table->given && dataset->layout != BS_H5_VIRTUAL &&
        !dataset->external;
}

static bool make_key(const struct bs_table *table, const struct bs_column_of *column,
    const struct bs_known *known, struct key *out)
{
    const struct bs_file_identity *of = table->identity;
    const bool masked = column->mask != SIZE_MAX;
    memset(out, 0, sizeof *out);
    if (!of || !is_inside(table, column->block)) return false;
    if (masked && !is_inside(table, column->mask)) return false;
    out->device = of->device;
    out->inode = of->inode;
    out->size_bytes = of->size_bytes;
    out->modified_ns = of->modified_ns;
    out->changed_ns = of->changed_ns;
    out->dataset = bs_h5_object_address(table->blocks[column->block].object);
    out->offset = column->offset;
    out->mask = masked ? bs_h5_object_address(table->blocks[column->mask].object) : 0;
    out->rows = known->rows;
    out->unit_rows = known->unit_rows;
    out->flags = (uint64_t)(unsigned char)known->code << 8 | (masked ? 1u : 0u) |
        (column->mask_means_missing ? 2u : 0u) | (table->options.missing_as_null ? 4u : 0u);
    return true;
}

struct filling {
    struct bs_known *known;
    const struct bs_statistics *statistics;
    enum bs_bounds_kind kind;
};

static basalt_status fill_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    const struct filling *filling = context;
    struct bs_known *known = filling->known;
    struct bs_chunk_statistics found;
    const uint64_t first = chunk->offset[0], unit = first / known->unit_rows;
    (void)err;
    if (first >= known->rows || unit >= known->count) return BASALT_OK;
    const uint64_t rows = BS_MIN(known->unit_rows, known->rows - first);
    if (!bs_statistics_find(
            filling->statistics, first, rows, chunk->address, chunk->stored_bytes, &found) ||
        found.kind != filling->kind) {
        return BASALT_OK;
    }
    const struct values values = {.has_bounds = found.has_bounds,
        .has_nan = found.has_nan,
        .has_null = found.null_count > 0,
        .low.as_unsigned = found.min.u,
        .high.as_unsigned = found.max.u};
    known->proofs[unit] = (struct proof){chunk->address, chunk->stored_bytes, found.crc32c};
    settle(&known->entries[unit], &values, STATED);
    return BASALT_OK;
}

/* What the file says of the chunks of a family's column. */
static basalt_status fill_from_file(const struct bs_table *table, const struct bs_column_of *column,
    struct bs_known *known, basalt_error *err)
{
    const struct bs_block *block = &table->blocks[column->block];
    struct bs_statistics *statistics = NULL;
    const char code = known->code;
    struct filling filling = {known, NULL,
        is_float(code)          ? BS_BOUNDS_FLOAT
            : is_unsigned(code) ? BS_BOUNDS_UNSIGNED
                                : BS_BOUNDS_SIGNED};
    if (!table->own || column->field == SIZE_MAX || column->mask != SIZE_MAX ||
        bs_block_chunk_rows(block) != known->unit_rows) {
        return BASALT_OK;
    }
    basalt_status status = bs_statistics_open(table->h5, table->own, column->field,
        &table->schema->fields[column->field], &statistics, err);
    if (status || !statistics) return status;
    filling.statistics = statistics;
    known->proofs = bs_alloc_zeroed((size_t)known->count, sizeof *known->proofs);
    status = known->proofs ? BASALT_OK : bs_fail_memory(err, (size_t)known->count);
    if (!status) status = bs_h5_chunks_each(table->h5, block->object, fill_chunk, &filling, err);
    bs_statistics_free(statistics);
    return status;
}

static basalt_status make_known(const struct bs_table *table, const struct bs_column_of *column,
    char code, struct bs_known **out_known, basalt_error *err)
{
    const uint64_t rows = table->rows;
    uint64_t unit = bs_block_chunk_rows(&table->blocks[column->block]);
    if (!unit) unit = PLAIN_UNIT_ROWS;
    const uint64_t chunks = rows / unit + (rows % unit != 0);
    unit *= BS_MAX((chunks + UNITS_MAX - 1) / UNITS_MAX, 1);
    const uint64_t count = rows / unit + (rows % unit != 0);
    const size_t bytes = sizeof(struct bs_known) + (size_t)count * sizeof(struct entry);
    struct bs_known *known = bs_alloc_zeroed(1, bytes);
    if (!known) return bs_fail_memory(err, bytes);
    bs_shared_init(&known->shared, known_destroy);
    known->code = code;
    known->rows = rows;
    known->unit_rows = unit;
    known->count = count;
    const basalt_status status = fill_from_file(table, column, known, err);
    if (status) {
        bs_known_release(known);
        return status;
    }
    *out_known = known;
    return BASALT_OK;
}

basalt_status bs_table_known(const struct bs_table *table, size_t index, char code,
    struct bs_known **out_known, basalt_error *err)
{
    struct bs_column_of *column = &table->columns[index];
    struct bs_known *known = atomic_load(&column->known), *other = NULL;
    struct key key;
    *out_known = known;
    if (known || column->kind != BS_COLUMN_BLOCK || !table->rows) return BASALT_OK;
    if (table->blocks[column->block].rows_each != 1 || column->dictionary) return BASALT_OK;
    const basalt_status status = make_known(table, column, code, &known, err);
    if (status) return status;
    if (make_key(table, column, known, &key)) remember(table->options.bounds, &key, &known);
    if (!atomic_compare_exchange_strong(&column->known, &other, known)) {
        bs_known_release(known);
        known = other;
    }
    *out_known = known;
    return BASALT_OK;
}
