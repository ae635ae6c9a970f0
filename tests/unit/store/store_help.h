/* store_help.h - environments, schemas, arrays and checks that the tests of this floor share.
 *
 * A schema is written as "name:format" with commas, '?' at the end of one that may be null:
 * "t:l,x:g?,note:u". What a column holds in a row follows from the two numbers alone, so any row can
 * be checked wherever it comes from. */
#ifndef STORE_HELP_H
#define STORE_HELP_H

#include "store/store.h"
#include "tests/harness/test.h"

#include <stdlib.h>

#define HELP_COLUMNS_MAX 64

struct help_env {
    struct bs_env_parts parts;
};

static inline void help_env_open(struct help_env *env, struct bs_vfs *vfs, unsigned threads)
{
    *env = (struct help_env){0};
    env->parts.vfs = vfs;
    if (!vfs) REQUIRE_OK(bs_vfs_memory_create(&env->parts.vfs, err));
    REQUIRE_OK(bs_budget_create(NULL, "test", (uint64_t)1 << 30, &env->parts.budget, err));
    if (threads) REQUIRE_OK(bs_sched_create(threads, &env->parts.sched, err));
}

static inline void help_env_close(struct help_env *env)
{
    bs_sched_free(env->parts.sched);
    if (env->parts.budget) {
        CHECK_EQ(bs_budget_taken(env->parts.budget), 0);
        bs_budget_free(env->parts.budget);
    }
    bs_vfs_free(env->parts.vfs);
}

/* Nothing happens unless a test asks for it. */
static inline basalt_store_options help_options(basalt_access access)
{
    basalt_store_options options;
    bs_store_options_fill(&options, NULL);
    options.access = access;
    options.checkpoint_age_ms = 0;
    options.log_segment_bytes = 1 << 20;
    return options;
}

/* ---- schemas ------------------------------------------------------------------------------- */

struct help_schema {
    struct ArrowSchema root;
    struct ArrowSchema children[HELP_COLUMNS_MAX];
    struct ArrowSchema *pointers[HELP_COLUMNS_MAX];
    char text[4096];
    struct bs_schema *schema;
};

static inline void help_release_nothing(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static inline void help_schema_open(struct help_schema *out, const char *spec)
{
    char *save = NULL;
    int64_t count = 0;
    memset(out, 0, sizeof *out);
    snprintf(out->text, sizeof out->text, "%s", spec);
    for (char *part = strtok_r(out->text, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
        struct ArrowSchema *child = &out->children[count];
        const size_t bytes = strlen(part);
        if (part[bytes - 1] == '?') {
            child->flags = ARROW_FLAG_NULLABLE;
            part[bytes - 1] = '\0';
        }
        char *colon = strchr(part, ':');
        *colon = '\0';
        child->name = part;
        child->format = colon + 1;
        child->release = help_release_nothing;
        out->pointers[count++] = child;
    }
    out->root = (struct ArrowSchema){.format = "+s",
        .name = "",
        .n_children = count,
        .children = out->pointers,
        .release = help_release_nothing};
    CHECK_OK(bs_schema_import(&out->root, &out->schema, err));
}

static inline void help_schema_close(struct help_schema *schema)
{
    bs_schema_release(schema->schema);
    schema->schema = NULL;
}

/* ---- values -------------------------------------------------------------------------------- */

static inline bool help_is_null(const struct bs_field *field, size_t column, uint64_t row)
{
    return field->nullable && (row * 7 + column) % 5 == 0;
}

static inline uint64_t help_number(size_t column, uint64_t row)
{
    uint64_t state = row * 1000003u + column;
    return test_random(&state);
}

static inline size_t help_text(size_t column, uint64_t row, char *out)
{
    static const char WORDS[] = "the quick brown fox jumps over the lazy dog; once, twice";
    const size_t count = help_number(column, row) % (sizeof WORDS - 1);
    memcpy(out, WORDS, count);
    return count;
}

/* A fixed-width value, little-endian. */
static inline void help_fixed(
    const struct bs_field *field, size_t column, uint64_t row, uint8_t *out)
{
    for (size_t i = 0; i < field->width_bytes; i += 8) {
        uint8_t bytes[8];
        uint64_t number = help_number(column, row + i * 7919);
        if (field->kind == BS_KIND_BOOL) number &= 1;
        if (field->kind == BS_KIND_FLOAT && field->width_bytes == 8) {
            const double value = (double)(number >> 12) / 1000.0;
            memcpy(&number, &value, 8);
        }
        if (field->kind == BS_KIND_FLOAT && field->width_bytes == 4) {
            const float value = (float)(number >> 44) / 8.0f;
            number = 0;
            memcpy(&number, &value, 4);
        }
        if (field->kind == BS_KIND_FLOAT && field->width_bytes == 2) number &= 0x3BFF;
        bs_store_u64(bytes, number);
        memcpy(out + i, bytes, BS_MIN(8u, field->width_bytes - i));
    }
}

static inline basalt_status help_array(const struct bs_schema *schema, uint64_t first,
    uint64_t rows, struct ArrowArray *out, basalt_error *err)
{
    struct bs_array_builder *builder = NULL;
    basalt_status status = bs_array_builder_create(schema, rows, &builder, err);
    if (status) return status;
    for (size_t c = 0; c < schema->field_count; c++) {
        const struct bs_field *field = &schema->fields[c];
        uint8_t *values = NULL;
        char text[64];
        if (field->width_bytes) {
            void *room;
            BS_TRY(bs_array_builder_reserve(builder, c, rows, &room, err));
            values = room;
        }
        for (uint64_t row = 0; row < rows; row++) {
            if (values) {
                help_fixed(field, c, first + row, values + row * field->width_bytes);
            } else {
                const size_t count = help_text(c, first + row, text);
                BS_TRY(bs_array_builder_put_text(builder, c, text, count, err));
            }
        }
        for (uint64_t row = 0; row < rows; row++) {
            if (!help_is_null(field, c, first + row)) continue;
            BS_TRY(bs_array_builder_set_null(builder, c, row, err));
        }
    }
    BS_TRY(bs_array_builder_finish(&builder, out, err));
out:
    bs_array_builder_free(builder);
    return status;
}

static inline basalt_status help_append(struct bs_store *store, const char *family,
    const struct help_schema *schema, uint64_t first, uint64_t rows, basalt_durability durability,
    basalt_error *err)
{
    struct ArrowArray array = {0};
    basalt_status status = help_array(schema->schema, first, rows, &array, err);
    if (status) return status;
    status = bs_store_append(store, family, &array, &schema->root, durability, err);
    array.release(&array);
    return status;
}

/* ---- checks -------------------------------------------------------------------------------- */

static inline bool help_value_is(const struct bs_field *field, size_t column,
    const struct ArrowArray *array, uint64_t at, uint64_t row)
{
    uint8_t expected[BS_FIXED_WIDTH_MAX < 4096 ? BS_FIXED_WIDTH_MAX : 4096];
    const uint8_t *validity = array->buffers[0];
    const bool valid = !validity || ((validity[at / 8] >> (at % 8)) & 1);
    if (valid == help_is_null(field, column, row)) return false;
    if (!valid) return true;
    if (field->kind == BS_KIND_BOOL) {
        const uint8_t *bits = array->buffers[1];
        help_fixed(field, column, row, expected);
        return ((bits[at / 8] >> (at % 8)) & 1) == expected[0];
    }
    if (field->width_bytes) {
        help_fixed(field, column, row, expected);
        return !memcmp((const uint8_t *)array->buffers[1] + at * field->width_bytes, expected,
            field->width_bytes);
    }
    char text[64];
    const size_t count = help_text(column, row, text);
    const bool large = field->format[0] == 'U' || field->format[0] == 'Z';
    const uint8_t *offsets = array->buffers[1];
    const uint64_t start = large ? bs_load_u64(offsets + at * 8) : bs_load_u32(offsets + at * 4);
    const uint64_t end =
        large ? bs_load_u64(offsets + at * 8 + 8) : bs_load_u32(offsets + at * 4 + 4);
    return end - start == count && !memcmp((const uint8_t *)array->buffers[2] + start, text, count);
}

/* Pulls the stream to its end: it must give `rows` rows from `first` on. `map` says which column of
 * the values each field is; NULL: its own. Releases the stream. */
static inline void help_check_stream(struct ArrowArrayStream *stream,
    const struct bs_schema *schema, const size_t *map, uint64_t first, uint64_t rows)
{
    uint64_t seen = 0, wrong = 0;
    bool end = false;
    while (!end) {
        struct ArrowArray array = {0};
        basalt_error err = {0};
        const basalt_status status = bs_stream_next(stream, &array, &end, &err);
        if (status) {
            test_fail(__FILE__, __LINE__, "the scan gives %d: %s", (int)status, err.message);
            break;
        }
        if (end) break;
        CHECK_EQ(array.n_children, schema->field_count);
        for (size_t c = 0; c < schema->field_count; c++) {
            for (uint64_t at = 0; at < (uint64_t)array.length; at++) {
                const uint64_t row = first + seen + at;
                if (help_value_is(&schema->fields[c], map ? map[c] : c, array.children[c], at, row))
                    continue;
                if (!wrong++) {
                    test_fail(__FILE__, __LINE__, "column %s is wrong in row %" PRIu64,
                        schema->fields[c].name, row);
                }
            }
        }
        seen += (uint64_t)array.length;
        array.release(&array);
    }
    CHECK_EQ(seen, rows);
    stream->release(stream);
}

static inline void help_check_rows(struct bs_store *store, struct bs_snapshot *snapshot,
    const char *family, const struct help_schema *schema, uint64_t rows)
{
    struct ArrowArrayStream stream = {0};
    REQUIRE_OK(bs_store_scan(store, snapshot, family, NULL, &stream, err));
    help_check_stream(&stream, schema->schema, NULL, 0, rows);
}

static inline void help_check_rows_from(struct bs_store *store, const char *family,
    const struct help_schema *schema, uint64_t first, uint64_t rows)
{
    struct ArrowArrayStream stream = {0};
    basalt_scan_options options;
    bs_scan_options_fill(&options, NULL);
    options.first_row = first;
    options.row_count = rows;
    options.batch_rows = 777;
    REQUIRE_OK(bs_store_scan(store, NULL, family, &options, &stream, err));
    help_check_stream(&stream, schema->schema, NULL, first, rows);
}

static inline bool help_exists(struct bs_vfs *vfs, const char *path)
{
    struct bs_file_info info;
    return vfs->ops->info(vfs, path, &info, NULL) == BASALT_OK;
}

#define HELP_ALL_TYPES                                                                             \
    "b:b,i8:c,u8:C,i16:s,u16:S,i32:i,u32:I,i64:l,u64:L,f2:e,f4:f,f8:g,t:u,lt:U,z:z,lz:Z,w:w:5,"    \
    "d32:tdD,d64:tdm,t32:tts,t64:ttn,ts:tsn:UTC,ts2:tsu:,du:tDm,"                                  \
    "nb:b?,ni8:c?,nu64:L?,nf4:f?,nf8:g?,nt:u?,nz:z?,nw:w:3?,nts:tsn:Europe/Berlin?,nd:tdD?"

#endif
