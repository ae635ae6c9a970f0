/* schema.c - schemas: taken from the Arrow C data interface, compared, handed out again. */
#include "arrow/arrow_internal.h"

#include <limits.h>

/* ---- names in messages ------------------------------------------------------------------------ */

int bs_shown(const char *text)
{
    int count = 0;
    while (text[count] && count < BS_SHOWN_BYTES_MAX) count++;
    if (!text[count]) return count;
    while (count > 0 && ((uint8_t)text[count] & 0xC0) == 0x80) count--;
    return count;
}

/* ---- types ------------------------------------------------------------------------------------ */

struct simple_format {
    const char *format;
    enum bs_kind kind;
    uint32_t width_bytes;
    const char *unit;
};

static const struct simple_format simple_formats[] = {
    {"b", BS_KIND_BOOL, 1, NULL},
    {"c", BS_KIND_INT, 1, NULL},
    {"C", BS_KIND_UINT, 1, NULL},
    {"s", BS_KIND_INT, 2, NULL},
    {"S", BS_KIND_UINT, 2, NULL},
    {"i", BS_KIND_INT, 4, NULL},
    {"I", BS_KIND_UINT, 4, NULL},
    {"l", BS_KIND_INT, 8, NULL},
    {"L", BS_KIND_UINT, 8, NULL},
    {"e", BS_KIND_FLOAT, 2, NULL},
    {"f", BS_KIND_FLOAT, 4, NULL},
    {"g", BS_KIND_FLOAT, 8, NULL},
    {"u", BS_KIND_TEXT, 0, NULL},
    {"U", BS_KIND_TEXT, 0, NULL},
    {"z", BS_KIND_BINARY, 0, NULL},
    {"Z", BS_KIND_BINARY, 0, NULL},
    {"tdD", BS_KIND_DATE, 4, "D"},
    {"tdm", BS_KIND_DATE, 8, "ms"},
    {"tts", BS_KIND_TIME, 4, "s"},
    {"ttm", BS_KIND_TIME, 4, "ms"},
    {"ttu", BS_KIND_TIME, 8, "us"},
    {"ttn", BS_KIND_TIME, 8, "ns"},
    {"tDs", BS_KIND_DURATION, 8, "s"},
    {"tDm", BS_KIND_DURATION, 8, "ms"},
    {"tDu", BS_KIND_DURATION, 8, "us"},
    {"tDn", BS_KIND_DURATION, 8, "ns"},
};

static const char *foreign_types[][2] = {
    /* prefix of the format, name */
    {"n", "null"},
    {"d:", "decimal"},
    {"vz", "binary_view"},
    {"vu", "string_view"},
    {"ti", "interval"},
    {"+l", "list"},
    {"+L", "large_list"},
    {"+vl", "list_view"},
    {"+vL", "large_list_view"},
    {"+w:", "fixed_size_list"},
    {"+s", "struct"},
    {"+m", "map"},
    {"+ud:", "dense_union"},
    {"+us:", "sparse_union"},
    {"+r", "run_end_encoded"},
};

/* For an Arrow format string that Basalt does not store. */
const char *bs_foreign_type_name(const char *format)
{
    for (size_t i = 0; i < BS_ARRAY_LENGTH(foreign_types); i++) {
        const char *prefix = foreign_types[i][0];
        if (!strncmp(format, prefix, strlen(prefix))) return foreign_types[i][1];
    }
    return "unknown";
}

static const char *time_unit(char code)
{
    switch (code) {
    case 's': return "s";
    case 'm': return "ms";
    case 'u': return "us";
    case 'n': return "ns";
    default: return NULL;
    }
}

/* The decimal number in `text`: 0 if there is none, BS_FIXED_WIDTH_MAX + 1 for all that is more. */
static uint32_t parse_width(const char *text)
{
    uint32_t width = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return 0;
        width = BS_MIN(width * 10 + (uint32_t)(*text - '0'), BS_FIXED_WIDTH_MAX + 1);
    }
    return width;
}

static basalt_status parse_fixed_width(struct bs_field *field, basalt_error *err)
{
    const uint32_t width = parse_width(field->format + 2);
    if (width == 0) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "field \"%.*s\" is a fixed-size binary of no width (Arrow format \"%.*s\"), which "
            "Basalt does not store",
            bs_shown(field->name), field->name, bs_shown(field->format), field->format);
    }
    if (width > BS_FIXED_WIDTH_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "field \"%.*s\" is a fixed-size binary of more than %d bytes; use binary",
            bs_shown(field->name), field->name, BS_FIXED_WIDTH_MAX);
    }
    field->kind = BS_KIND_FIXED;
    field->width_bytes = width;
    return BASALT_OK;
}

/* Fills kind, width, unit and zone from field->format. UNSUPPORTED names field and type. */
static basalt_status parse_format(struct bs_field *field, basalt_error *err)
{
    const char *format = field->format;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(simple_formats); i++) {
        const struct simple_format *simple = &simple_formats[i];
        if (strcmp(simple->format, format) != 0) continue;
        field->kind = simple->kind;
        field->width_bytes = simple->width_bytes;
        field->unit = simple->unit;
        return BASALT_OK;
    }
    if (!strncmp(format, "w:", 2)) return parse_fixed_width(field, err);
    if (!strncmp(format, "ts", 2) && time_unit(format[2]) && format[3] == ':') {
        field->kind = BS_KIND_TIMESTAMP;
        field->width_bytes = 8;
        field->unit = time_unit(format[2]);
        field->zone = format[4] ? format + 4 : NULL;
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "field \"%.*s\" has the type %s (Arrow format \"%.*s\"), which Basalt does not store",
        bs_shown(field->name), field->name, bs_foreign_type_name(format), bs_shown(format), format);
}

/* ---- making and freeing ------------------------------------------------------------------------ */

void bs_field_clear(struct bs_field *field)
{
    bs_free(field->name);
    bs_free(field->format);
    bs_free(field->metadata);
}

static void destroy(struct bs_shared *shared)
{
    struct bs_schema *schema = (struct bs_schema *)shared;
    for (size_t i = 0; schema->fields && i < schema->field_count; i++) {
        bs_field_clear(&schema->fields[i]);
    }
    bs_free(schema->fields);
    bs_free(schema->metadata);
    bs_free(schema);
}

basalt_status bs_schema_make(size_t field_count, struct bs_schema **out_schema, basalt_error *err)
{
    struct bs_schema *schema = bs_alloc_zeroed(1, sizeof *schema);
    if (!schema) return bs_fail_memory(err, sizeof *schema);
    bs_shared_init(&schema->shared, destroy);
    schema->field_count = field_count;
    schema->fields = bs_alloc_zeroed(field_count + 1, sizeof *schema->fields);
    if (!schema->fields) {
        bs_schema_release(schema);
        return bs_fail_memory(err, (field_count + 1) * sizeof *schema->fields);
    }
    *out_schema = schema;
    return BASALT_OK;
}

struct bs_schema *bs_schema_retain(struct bs_schema *schema)
{
    bs_shared_retain(&schema->shared);
    return schema;
}

void bs_schema_release(struct bs_schema *schema)
{
    if (schema) bs_shared_release(&schema->shared);
}

/* Bytes of key-value metadata as the C data interface lays it out. TOO_LARGE, BAD_ARGUMENT. */
static basalt_status metadata_size(const char *metadata, size_t *out_bytes, basalt_error *err)
{
    int32_t pairs, length;
    size_t at = sizeof pairs;
    *out_bytes = 0;
    memcpy(&pairs, metadata, sizeof pairs);
    bool bad = pairs < 0;
    for (int64_t i = 0; !bad && at <= BS_METADATA_BYTES_MAX && i < (int64_t)pairs * 2; i++) {
        memcpy(&length, metadata + at, sizeof length);
        bad = length < 0;
        if (!bad) at += sizeof length + (size_t)length;
    }
    if (bad) {
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "schema metadata has a negative length");
    }
    if (at > BS_METADATA_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "schema metadata is larger than %zu bytes", BS_METADATA_BYTES_MAX);
    }
    *out_bytes = at;
    return BASALT_OK;
}

basalt_status bs_metadata_copy(
    const char *metadata, char **out_copy, size_t *out_bytes, basalt_error *err)
{
    size_t bytes = 0;
    if (!metadata) return BASALT_OK;
    const basalt_status status = metadata_size(metadata, &bytes, err);
    if (status) return status;
    if (bytes == sizeof(int32_t)) return BASALT_OK; /* no pair: as good as absent */
    *out_copy = bs_copy_bytes(metadata, bytes);
    if (!*out_copy) return bs_fail_memory(err, bytes);
    *out_bytes = bytes;
    return BASALT_OK;
}

/* ---- import ------------------------------------------------------------------------------------ */

static basalt_status check_texts(
    size_t index, const char *name, const char *format, basalt_error *err)
{
    const size_t name_bytes = strnlen(name, BS_NAME_BYTES_MAX + 1);
    if (name_bytes > BS_NAME_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the name of field %zu is longer than %d bytes", index, BS_NAME_BYTES_MAX);
    }
    if (!bs_utf8_valid(name, name_bytes)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the name of field %zu is not UTF-8", index);
    }
    const size_t format_bytes = strnlen(format, BS_FORMAT_BYTES_MAX + 1);
    if (format_bytes > BS_FORMAT_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the Arrow format of field \"%.*s\" is longer than %d bytes", bs_shown(name), name,
            BS_FORMAT_BYTES_MAX);
    }
    if (!bs_utf8_valid(format, format_bytes)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the Arrow format of field \"%.*s\" is not UTF-8", bs_shown(name), name);
    }
    return BASALT_OK;
}

basalt_status bs_field_name(struct bs_field *field, size_t index, const char *name,
    const char *format, bool nullable, basalt_error *err)
{
    const basalt_status status = check_texts(index, name, format, err);
    if (status) return status;
    field->name = bs_copy_string(name);
    field->format = bs_copy_string(format);
    field->nullable = nullable;
    return field->name && field->format ? BASALT_OK : bs_fail_memory(err, strlen(name));
}

basalt_status bs_field_make(struct bs_field *field, size_t index, const char *name,
    const char *format, bool nullable, basalt_error *err)
{
    const basalt_status status = bs_field_name(field, index, name, format, nullable, err);
    return status ? status : parse_format(field, err);
}

static basalt_status import_field(
    const struct ArrowSchema *arrow, size_t index, struct bs_field *field, basalt_error *err)
{
    if (!arrow || !arrow->release || !arrow->format) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "field %zu of the Arrow schema is empty", index);
    }
    const char *name = arrow->name ? arrow->name : "";
    if (arrow->dictionary) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "field \"%.*s\" has the type dictionary, which Basalt does not store: decode it first",
            bs_shown(name), name);
    }
    const bool nullable = (arrow->flags & ARROW_FLAG_NULLABLE) != 0;
    const basalt_status status = bs_field_make(field, index, name, arrow->format, nullable, err);
    if (status) return status;
    return bs_metadata_copy(arrow->metadata, &field->metadata, &field->metadata_bytes, err);
}

basalt_status bs_schema_import(
    const struct ArrowSchema *arrow, struct bs_schema **out_schema, basalt_error *err)
{
    struct bs_schema *schema = NULL;
    *out_schema = NULL;
    if (!arrow || !arrow->release || !arrow->format || strcmp(arrow->format, "+s") != 0) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the Arrow schema must be a struct whose children are the columns");
    }
    if (arrow->n_children < 0 || (arrow->n_children > 0 && !arrow->children)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the Arrow schema says %" PRId64 " columns but has none", arrow->n_children);
    }
    if (arrow->n_children > BS_FIELDS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the schema has %" PRId64 " columns; at most %d are possible", arrow->n_children,
            BS_FIELDS_MAX);
    }
    basalt_status status = bs_schema_make((size_t)arrow->n_children, &schema, err);
    if (status) return status;
    for (size_t i = 0; i < schema->field_count; i++) {
        BS_TRY(import_field(arrow->children[i], i, &schema->fields[i], err));
    }
    BS_TRY(bs_metadata_copy(arrow->metadata, &schema->metadata, &schema->metadata_bytes, err));
    *out_schema = schema;
    schema = NULL;
out:
    bs_schema_release(schema);
    return status;
}

static basalt_status copy_field(
    const struct bs_field *from, size_t index, struct bs_field *to, basalt_error *err)
{
    const basalt_status status =
        bs_field_make(to, index, from->name, from->format, from->nullable, err);
    if (status) return status;
    return bs_metadata_copy(from->metadata, &to->metadata, &to->metadata_bytes, err);
}

basalt_status bs_schema_project(const struct bs_schema *schema, const size_t *indices, size_t count,
    struct bs_schema **out_schema, basalt_error *err)
{
    struct bs_schema *projected = NULL;
    *out_schema = NULL;
    basalt_status status = bs_schema_make(count, &projected, err);
    if (status) return status;
    for (size_t i = 0; i < count; i++) {
        assert(indices[i] < schema->field_count);
        BS_TRY(copy_field(&schema->fields[indices[i]], i, &projected->fields[i], err));
    }
    BS_TRY(
        bs_metadata_copy(schema->metadata, &projected->metadata, &projected->metadata_bytes, err));
    *out_schema = projected;
    projected = NULL;
out:
    bs_schema_release(projected);
    return status;
}

/* ---- export ------------------------------------------------------------------------------------ */

/* The texts are the schema's own: every ArrowSchema keeps it alive, so a child may be moved out and
 * outlive its parent, as the C data interface allows. */
struct exported {
    struct bs_schema *schema;
    struct ArrowSchema **pointers;
    struct ArrowSchema children[];
};

static void release_child(struct ArrowSchema *child)
{
    bs_schema_release(child->private_data);
    child->release = NULL;
}

static void release_root(struct ArrowSchema *root)
{
    struct exported *exported = root->private_data;
    for (int64_t i = 0; i < root->n_children; i++) {
        struct ArrowSchema *child = root->children[i];
        if (child->release) child->release(child);
    }
    bs_schema_release(exported->schema);
    bs_free(exported->pointers);
    bs_free(exported);
    root->release = NULL;
}

basalt_status bs_schema_export(
    const struct bs_schema *schema, struct ArrowSchema *out, basalt_error *err)
{
    const size_t count = schema->field_count;
    struct bs_schema *kept = (struct bs_schema *)schema; /* only its count of users changes */
    memset(out, 0, sizeof *out);
    struct exported *exported =
        bs_alloc_zeroed(1, sizeof *exported + count * sizeof exported->children[0]);
    struct ArrowSchema **pointers = bs_alloc_zeroed(count + 1, sizeof *pointers);
    if (!exported || !pointers) {
        bs_free(exported);
        bs_free(pointers);
        return bs_fail_memory(err, sizeof *exported + count * sizeof exported->children[0]);
    }
    exported->schema = bs_schema_retain(kept);
    exported->pointers = pointers;
    for (size_t i = 0; i < count; i++) {
        const struct bs_field *field = &schema->fields[i];
        pointers[i] = &exported->children[i];
        *pointers[i] = (struct ArrowSchema){
            .format = field->format,
            .name = field->name,
            .metadata = field->metadata,
            .flags = field->nullable ? ARROW_FLAG_NULLABLE : 0,
            .release = release_child,
            .private_data = bs_schema_retain(kept),
        };
    }
    *out = (struct ArrowSchema){
        .format = "+s",
        .name = "",
        .metadata = schema->metadata,
        .n_children = (int64_t)count,
        .children = pointers,
        .release = release_root,
        .private_data = exported,
    };
    return BASALT_OK;
}

/* ---- match ------------------------------------------------------------------------------------- */

static basalt_status match_field(
    const struct bs_field *expected, const struct bs_field *found, size_t index, basalt_error *err)
{
    if (strcmp(expected->name, found->name) != 0) {
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "column %zu is called \"%.*s\", expected \"%.*s\"", index, bs_shown(found->name),
            found->name, bs_shown(expected->name), expected->name);
    }
    if (strcmp(expected->format, found->format) != 0) {
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "column \"%.*s\" has the Arrow format \"%.40s\", expected \"%.40s\"",
            bs_shown(expected->name), expected->name, found->format, expected->format);
    }
    if (expected->nullable != found->nullable) {
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "column \"%.*s\" is %s, expected %s", bs_shown(expected->name), expected->name,
            found->nullable ? "nullable" : "not nullable",
            expected->nullable ? "nullable" : "not nullable");
    }
    return BASALT_OK;
}

basalt_status bs_schema_match(
    const struct bs_schema *expected, const struct bs_schema *found, basalt_error *err)
{
    const size_t common = BS_MIN(expected->field_count, found->field_count);
    for (size_t i = 0; i < common; i++) {
        const basalt_status status = match_field(&expected->fields[i], &found->fields[i], i, err);
        if (status) return status;
    }
    if (expected->field_count != found->field_count) {
        const bool more = found->field_count > common;
        const char *name = more ? found->fields[common].name : expected->fields[common].name;
        return bs_fail(err, BASALT_SCHEMA_MISMATCH, BASALT_NO_OFFSET,
            "there %s %zu column%s, expected %zu: \"%.*s\" is %s",
            found->field_count == 1 ? "is" : "are", found->field_count,
            found->field_count == 1 ? "" : "s", expected->field_count, bs_shown(name), name,
            more ? "new" : "missing");
    }
    return BASALT_OK;
}
