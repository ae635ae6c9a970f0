/* h5_writer.c - makes and changes files through the writer, for h5_writer.py to look at.
 *
 * h5_writer make FILE COLUMNS ROWS   group "f": float64 columns c0, c1 ... of all pipelines, a text column
 * h5_writer append FILE ROWS         ROWS more to every column; names those that are refused
 * h5_writer finish FILE              filters the tails, as a clean close does
 * h5_writer replace FILE             unlinks "f" and reuses its space for other numbers
 * h5_writer verify FILE              one line a fault
 * Column K has K * 1000 + row in row `row`, the text column "row". Exit code: 0 or the basalt_status. */
#include "h5/h5.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_ROWS 1000u

struct session {
    struct bs_vfs *vfs;
    struct bs_file *file;
    struct bs_h5_writer *writer;
    struct bs_codec_scratch *scratch;
    uint64_t commit, rows; /* rows: to append */
    uint64_t columns;
};

static basalt_status commit(struct session *session, basalt_error *err)
{
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    basalt_status status = bs_h5_prepare(session->writer, session->commit + 1, 0, superblock, err);
    if (!status) status = bs_h5_check_unchanged(session->writer, err);
    if (!status) status = bs_h5_flip(session->writer, err);
    if (status) return status;
    bs_h5_settle(session->writer);
    bs_h5_reclaim(session->writer, ++session->commit);
    return BASALT_OK;
}

static struct bs_pipeline pipeline_of(uint64_t column, uint32_t element_bytes)
{
    static const struct bs_filter deflate = {BS_FILTER_DEFLATE, 1, 1, {{4}}};
    static const struct bs_filter fletcher = {BS_FILTER_FLETCHER32, 0, 0, {{0}}};
    const struct bs_filter shuffle = {BS_FILTER_SHUFFLE, 1, 1, {{element_bytes}}};
    struct bs_pipeline pipeline = {0};
    if (column % 4 == 1 || column % 4 == 2) {
        pipeline.filters[pipeline.count++] = shuffle;
        pipeline.filters[pipeline.count++] = deflate;
    }
    if (column % 4 == 2 || column % 4 == 3) pipeline.filters[pipeline.count++] = fletcher;
    return pipeline;
}

static basalt_status append_numbers(
    struct session *session, struct bs_h5_node *column, uint64_t number, basalt_error *err)
{
    const uint64_t first = bs_h5_rows(column);
    double *values = bs_alloc((size_t)session->rows * sizeof *values);
    if (!values) return bs_fail_memory(err, (size_t)session->rows * sizeof *values);
    for (uint64_t i = 0; i < session->rows; i++) values[i] = (double)(number * 1000 + first + i);
    const struct bs_h5_piece piece = {values, NULL, session->rows};
    const basalt_status status =
        bs_h5_append(session->writer, column, session->scratch, &piece, 1, err);
    bs_free(values);
    return status;
}

static basalt_status append_texts(
    struct session *session, struct bs_h5_node *column, basalt_error *err)
{
    const uint64_t first = bs_h5_rows(column);
    struct bs_bytes text = {0}, offsets = {0};
    bs_bytes_u32(&offsets, 0);
    for (uint64_t i = 0; i < session->rows; i++) {
        bs_bytes_text(&text, "%" PRIu64, first + i);
        bs_bytes_u32(&offsets, (uint32_t)text.count);
    }
    basalt_status status = bs_bytes_check(&text, err);
    if (!status) status = bs_bytes_check(&offsets, err);
    const struct bs_h5_piece piece = {
        text.data, (const uint32_t *)(const void *)offsets.data, session->rows};
    if (!status) status = bs_h5_append(session->writer, column, session->scratch, &piece, 1, err);
    bs_bytes_free(&text);
    bs_bytes_free(&offsets);
    return status;
}

static basalt_status make_column(struct session *session, struct bs_h5_node *group,
    const char *name, struct bs_h5_type *type, uint64_t number, basalt_error *err)
{
    struct bs_h5_node *column = NULL;
    if (!type) return bs_fail_memory(err, 1);
    const struct bs_h5_column_spec spec = {
        .type = type, .chunk_rows = CHUNK_ROWS, .pipeline = pipeline_of(number, type->size_bytes)};
    basalt_status status = bs_h5_make_column(session->writer, group, name, &spec, &column, err);
    if (!status) {
        status = bs_h5_set_attribute_u64(session->writer, column, "number", number, err);
    }
    bs_h5_type_free(type);
    return status;
}

static basalt_status append_each(
    void *context, const char *name, struct bs_h5_node *node, basalt_error *err)
{
    struct session *session = context;
    if (name[0] == 'c') {
        return append_numbers(session, node, (uint64_t)strtoull(name + 1, NULL, 10), err);
    }
    return strcmp(name, "text") == 0 ? append_texts(session, node, err) : BASALT_OK;
}

static basalt_status finish_each(
    void *context, const char *name, struct bs_h5_node *node, basalt_error *err)
{
    struct session *session = context;
    if (name[0] != 'c' && strcmp(name, "text") != 0) return BASALT_OK;
    return bs_h5_finish_tail(session->writer, node, session->scratch, err);
}

static basalt_status each(struct session *session, bs_h5_child_fn call, basalt_error *err)
{
    struct bs_h5_node *group = NULL;
    basalt_status status =
        bs_h5_child(session->writer, bs_h5_root(session->writer), "f", &group, err);
    if (!status) status = bs_h5_children(session->writer, group, call, session, err);
    return status ? status : commit(session, err);
}

static basalt_status make(struct session *session, basalt_error *err)
{
    static const char schema[] = "{\"fields\": []}";
    const struct bs_h5_space scalar = {0};
    struct bs_h5_node *group = NULL, *fixed = NULL;
    struct bs_h5_type *text = bs_h5_type_string(sizeof schema - 1);
    const uint64_t rows = session->rows;
    char name[32];
    basalt_status status = text ? BASALT_OK : bs_fail_memory(err, 1);
    if (status) return status;
    BS_TRY(bs_h5_make_group(session->writer, bs_h5_root(session->writer), "f", &group, err));
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "attribute %u", i);
        BS_TRY(bs_h5_set_attribute_text(session->writer, group, name, name, err));
    }
    BS_TRY(bs_h5_make_fixed(session->writer, group, "schema", text, &scalar, schema, &fixed, err));
    for (uint64_t i = 0; i < session->columns; i++) {
        snprintf(name, sizeof name, "c%" PRIu64, i);
        BS_TRY(make_column(session, group, name, bs_h5_type_float(8), i, err));
    }
    BS_TRY(make_column(session, group, "text", bs_h5_type_variable_string(), 0, err));
    BS_TRY(commit(session, err));
    for (unsigned part = 0; part < 3; part++) { /* so that tails begin, grow and end */
        session->rows = part < 2 ? rows / 3 : rows - 2 * (rows / 3);
        BS_TRY(each(session, append_each, err));
    }
out:
    bs_h5_type_free(text);
    return status;
}

static basalt_status replace(struct session *session, basalt_error *err)
{
    struct bs_h5_node *group = NULL;
    char name[32];
    basalt_status status = bs_h5_unlink(session->writer, bs_h5_root(session->writer), "f", err);
    if (!status) status = commit(session, err);
    for (unsigned round = 0; !status && round < 4; round++) {
        snprintf(name, sizeof name, "other%u", round);
        status = bs_h5_make_group(session->writer, bs_h5_root(session->writer), name, &group, err);
        for (unsigned i = 0; !status && i < 8; i++) {
            snprintf(name, sizeof name, "c%u", 900000 + i);
            status = make_column(session, group, name, bs_h5_type_float(8), i, err);
        }
        session->rows = 1700;
        if (!status) status = bs_h5_children(session->writer, group, append_each, session, err);
        if (!status) status = commit(session, err);
    }
    return status;
}

static void print_fault(void *context, bool fault, const char *sentence)
{
    (void)fault;
    (void)context;
    printf("%s\n", sentence);
}

static basalt_status verify(struct session *session, basalt_error *err)
{
    struct bs_h5_file *h5 = NULL;
    uint64_t faults = 0;
    basalt_status status = bs_h5_file_open(session->file, &h5, err);
    if (!status) status = bs_h5_verify(h5, print_fault, NULL, NULL, &faults, err);
    bs_h5_file_close(h5);
    return status ? status : faults ? BASALT_CORRUPT : BASALT_OK;
}

static basalt_status open_writer(struct session *session, bool is_new, basalt_error *err)
{
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    const struct bs_h5_identity identity = {.store_uuid = {42}};
    if (is_new) return bs_h5_writer_create(session->file, &identity, &session->writer, err);
    basalt_status status =
        bs_file_read_all_at(session->file, superblock, sizeof superblock, 0, err);
    if (!status) status = bs_h5_writer_open(session->file, superblock, &session->writer, err);
    if (!status) session->commit = bs_h5_writer_identity(session->writer)->commit;
    return status;
}

static basalt_status run(
    struct session *session, const char *word, const char *path, basalt_error *err)
{
    const bool is_new = strcmp(word, "make") == 0;
    const unsigned flags =
        is_new ? BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_TRUNCATE : BS_OPEN_WRITE;
    basalt_status status = bs_vfs_local_create(&session->vfs, err);
    if (!status) status = bs_file_open(session->vfs, path, flags, &session->file, err);
    if (!status) status = bs_codec_scratch_create(&session->scratch, err);
    if (!status && strcmp(word, "verify") == 0) return verify(session, err);
    if (!status) status = open_writer(session, is_new, err);
    if (status) return status;
    if (is_new) return make(session, err);
    if (strcmp(word, "append") == 0) return each(session, append_each, err);
    if (strcmp(word, "finish") == 0) return each(session, finish_each, err);
    if (strcmp(word, "replace") == 0) return replace(session, err);
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%s is no word of mine", word);
}

int main(int argc, char **argv)
{
    struct session session = {0};
    basalt_error err = {0};
    if (argc < 3) return BASALT_BAD_ARGUMENT;
    const bool make_it = argc > 4;
    session.columns = make_it ? strtoull(argv[3], NULL, 10) : 0;
    session.rows = argc > 3 ? strtoull(argv[argc - 1], NULL, 10) : 0;
    const basalt_status status = run(&session, argv[1], argv[2], &err);
    if (status) fprintf(stderr, "%s\n", err.message);
    bs_h5_writer_close(session.writer);
    bs_codec_scratch_free(session.scratch);
    bs_file_close(session.file);
    bs_vfs_free(session.vfs);
    return (int)status;
}
