/* catalogue.c - the families of a store, found by name.
 *
 * Families are added, never removed, while a store is open, and live as long as it does: so a
 * lookup follows lists that only grow at their heads (buckets) or ends (order of creation), without
 * a lock. Adding is under the commit lock. */
#include "store/store_internal.h"

/* ---- sets of names ------------------------------------------------------------------------- */

bool bs_name_set_has(const struct bs_name_set *set, const char *name)
{
    for (const struct bs_name_node *node = set->first; node; node = node->next) {
        if (!strcmp(node->name, name)) return true;
    }
    return false;
}

basalt_status bs_name_set_add(struct bs_name_set *set, const char *name, basalt_error *err)
{
    const size_t bytes = strlen(name) + 1;
    struct bs_name_node *node = bs_alloc(sizeof *node + bytes);
    if (!node) return bs_fail_memory(err, sizeof *node + bytes);
    memcpy(node->name, name, bytes);
    node->next = set->first;
    set->first = node;
    set->count++;
    return BASALT_OK;
}

void bs_name_set_free(struct bs_name_set *set)
{
    for (struct bs_name_node *node = set->first, *next; node; node = next) {
        next = node->next;
        bs_free(node);
    }
    *set = (struct bs_name_set){0};
}

/* ---- families ------------------------------------------------------------------------------ */

basalt_status bs_check_name(const char *name, const char *what, basalt_error *err)
{
    const size_t bytes = strlen(name);
    if (!bytes) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the name of %s is empty", what);
    }
    if (bytes > BS_NAME_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the name of %s has %zu bytes, at most %d are allowed", what, bytes, BS_NAME_BYTES_MAX);
    }
    if (!bs_utf8_valid(name, bytes)) {
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the name of %s is not UTF-8", what);
    }
    return BASALT_OK;
}

uint32_t bs_family_width_max(const struct bs_schema *schema)
{
    uint32_t widest = 8; /* the row numbers */
    for (size_t i = 0; i < schema->field_count; i++) {
        const uint32_t width = schema->fields[i].width_bytes;
        widest = BS_MAX(widest, width ? width : 16u); /* a text takes a 16-byte reference */
    }
    return widest;
}

/* The largest power of two up to `rows` for which a chunk of the widest column has at most 16 MiB. */
static uint64_t rows_within(const struct bs_family *family, uint64_t rows)
{
    const uint64_t width = bs_family_width_max(family->schema);
    while (rows > 1 && rows * width > (uint64_t)16 << 20) rows /= 2;
    return rows;
}

uint64_t bs_family_chunk_rows_first(const struct bs_family *family)
{
    return family->chunk_rows ? family->chunk_rows : rows_within(family, BS_CHUNK_ROWS_SMALL);
}

uint64_t bs_family_chunk_rows_grown(const struct bs_family *family)
{
    return family->chunk_rows ? family->chunk_rows : rows_within(family, BS_CHUNK_ROWS_LARGE);
}

static basalt_status check_family(const char *name, const struct bs_schema *schema,
    const basalt_family_options *options, basalt_error *err)
{
    const basalt_status status = bs_check_name(name, "the family", err);
    if (status) return status;
    if (!schema->field_count) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the family \"%.80s\" needs at least one column", name);
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        const char *column = schema->fields[i].name;
        if (strlen(column) > BS_NAME_BYTES_MAX) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "the name of column %zu has over %d bytes", i, BS_NAME_BYTES_MAX);
        }
        if (!bs_utf8_valid(column, strlen(column))) {
            return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
                "the name of column %zu is not UTF-8", i);
        }
    }
    if (options->compression_level < 0 || options->compression_level > 9) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the compression level %d is not one of 0 to 9", options->compression_level);
    }
    if (options->chunk_rows > BS_CHUNK_ROWS_MAX ||
        options->chunk_rows * bs_family_width_max(schema) > (uint64_t)256 << 20) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "chunks of %llu rows are too large: at most 16,777,216 rows and 256 MiB a column",
            (unsigned long long)options->chunk_rows);
    }
    return BASALT_OK;
}

basalt_status bs_family_new(const char *name, uint32_t id, struct bs_schema *schema,
    const basalt_family_options *options, struct bs_family **out_family, basalt_error *err)
{
    struct bs_family *family = NULL;
    basalt_status status = check_family(name, schema, options, err);
    *out_family = NULL;
    if (status) return status;
    family = bs_alloc_zeroed(1, sizeof *family);
    if (!family) return bs_fail_memory(err, sizeof *family);
    family->name = bs_copy_string(name);
    if (!family->name) {
        bs_free(family);
        return bs_fail_memory(err, strlen(name) + 1);
    }
    family->id = id;
    family->schema = bs_schema_retain(schema);
    family->compression_level = options->compression_level;
    family->chunk_rows = options->chunk_rows;
    family->row_index = options->row_index;
    atomic_init(&family->chunk_rows_now, bs_family_chunk_rows_first(family));
    *out_family = family;
    return BASALT_OK;
}

basalt_status bs_family_count_natural(struct bs_family *family, basalt_error *err)
{
    const basalt_status status = bs_name_set_add(&family->attributes, "instrument_id", err);
    return status ? status : bs_name_set_add(&family->attributes, "created_at", err);
}

void bs_family_free(struct bs_family *family)
{
    if (!family) return;
    bs_family_file_free(family->file);
    bs_name_set_free(&family->attributes);
    bs_schema_release(family->schema);
    bs_free(family->fault);
    bs_free(family->name);
    bs_free(family);
}

/* ---- the catalogue ----------------------------------------------------------------------------- */

static _Atomic(struct bs_family *) *bucket_of(struct bs_catalogue *catalogue, const char *name)
{
    return &catalogue->buckets[bs_lookup3(name, strlen(name), 0) % BS_FAMILY_BUCKETS];
}

struct bs_family *bs_catalogue_find(struct bs_catalogue *catalogue, const char *name)
{
    struct bs_family *family =
        atomic_load_explicit(bucket_of(catalogue, name), memory_order_acquire);
    while (family && strcmp(family->name, name) != 0) family = family->hash_next;
    return family;
}

void bs_catalogue_add(struct bs_catalogue *catalogue, struct bs_family *family)
{
    _Atomic(struct bs_family *) *bucket = bucket_of(catalogue, family->name);
    family->hash_next = atomic_load_explicit(bucket, memory_order_relaxed);
    atomic_store_explicit(bucket, family, memory_order_release);
    if (catalogue->last) {
        atomic_store_explicit(&catalogue->last->next, family, memory_order_release);
    } else {
        atomic_store_explicit(&catalogue->first, family, memory_order_release);
    }
    catalogue->last = family;
    atomic_fetch_add_explicit(&catalogue->count, 1, memory_order_relaxed);
    if (atomic_load_explicit(&catalogue->id_next, memory_order_relaxed) <= family->id) {
        atomic_store_explicit(&catalogue->id_next, family->id + 1, memory_order_relaxed);
    }
}

void bs_catalogue_free(struct bs_catalogue *catalogue)
{
    for (struct bs_family *family = atomic_load(&catalogue->first), *next; family; family = next) {
        next = atomic_load(&family->next);
        bs_family_free(family);
    }
    atomic_store(&catalogue->first, NULL);
    catalogue->last = NULL;
}
