/* statistics_write.c - what the store says of its chunks, into the file.
 *
 * Tallies (statistics_tally.c) hand over records of chunks that are full; a checkpoint appends those of
 * all columns of a family at once, so that it costs one tail a family. A clean close adds one of each
 * tail. The dataset is made with the number of its commit; one that is not trusted when the family is
 * first written to is unlinked, and begins anew.
 *
 * Chunks that get new places take their records along or lose them: those of a family that is rechunked
 * are dropped and found anew from the rows that pass; a shrinking close that moved chunks writes the
 * dataset again, with the new places. The same is done when most of it is of no chunk any more: tails of
 * earlier closes. */
#include "store/store_internal.h"

#include <stdlib.h>

#define REWRITE_RECORDS_MIN ((uint64_t)1024)
#define BLOCK_RECORDS ((size_t)1024)

/* ---- the dataset ------------------------------------------------------------------------------- */

static basalt_status unlink_old(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    basalt_error why = {0};
    const basalt_status status =
        bs_h5_unlink(work->writer, family->file->own, BS_STATISTICS_NAME, &why);
    family->file->statistics = NULL;
    family->has_statistics = false;
    if (!status || status == BASALT_NOT_FOUND) return BASALT_OK;
    if (err) *err = why;
    return status;
}

static basalt_status make(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    struct bs_h5_column_spec spec = {
        .type = bs_statistics_type(), .chunk_rows = BS_STATISTICS_CHUNK_ROWS};
    struct bs_h5_node *node = NULL;
    const uint64_t commit = bs_h5_writer_identity(work->writer)->commit + 1;
    basalt_status status = BASALT_OK;
    if (!spec.type) return bs_fail_memory(err, sizeof *spec.type);
    spec.pipeline.count = 2;
    spec.pipeline.filters[0] = (struct bs_filter){
        BS_FILTER_SHUFFLE, 1, .parameter_count = 1, .parameters = {BS_STATISTICS_RECORD_BYTES}};
    spec.pipeline.filters[1] =
        (struct bs_filter){BS_FILTER_DEFLATE, 0, .parameter_count = 1, .parameters = {1}};
    BS_TRY(
        bs_h5_make_column(work->writer, family->file->own, BS_STATISTICS_NAME, &spec, &node, err));
    BS_TRY(bs_h5_set_attribute_u64(work->writer, node, "commit", commit, err));
    family->file->statistics = node;
    family->has_statistics = true;
out:
    bs_h5_type_free((struct bs_h5_type *)(uintptr_t)spec.type);
    return status;
}

static basalt_status append(const struct bs_file_work *work, struct bs_h5_node *node,
    const uint8_t *bytes, uint64_t count, basalt_error *err)
{
    struct bs_codec_scratch *scratch = NULL;
    const struct bs_h5_piece piece = {bytes, NULL, count};
    basalt_status status = bs_scratch_take(work->scratches, &scratch, err);
    if (!status) status = bs_h5_append(work->writer, node, scratch, &piece, 1, err);
    bs_scratch_give(work->scratches, scratch);
    return status;
}

static basalt_status finish(
    const struct bs_file_work *work, struct bs_h5_node *node, basalt_error *err)
{
    struct bs_codec_scratch *scratch = NULL;
    basalt_status status = bs_scratch_take(work->scratches, &scratch, err);
    if (!status) status = bs_h5_finish_tail(work->writer, node, scratch, err);
    bs_scratch_give(work->scratches, scratch);
    return status;
}

/* ---- writing it again ------------------------------------------------------------------------------- */

struct rewrite {
    const struct bs_file_work *work;
    struct bs_family *family;
    const struct bs_moves *moves; /* sorted */
    uint64_t moved;
    uint8_t *block; /* NULL: only look */
    size_t in_block;
    uint64_t rows, chunk_rows;
};

/* Of neither a full chunk nor the tail: no chunk will have as many rows again. */
static bool is_dead(const struct rewrite *rewrite, const struct bs_statistics_record *record)
{
    if (record->values.rows == rewrite->chunk_rows) return false;
    return record->first_row + record->values.rows != rewrite->rows;
}

static int compare_moves(const void *left, const void *right)
{
    const uint64_t a = ((const struct bs_h5_moved_chunk *)left)->from;
    const uint64_t b = ((const struct bs_h5_moved_chunk *)right)->from;
    return (a > b) - (a < b);
}

static const struct bs_h5_moved_chunk *find_move(const struct bs_moves *moves, uint64_t from)
{
    const struct bs_h5_moved_chunk key = {.from = from};
    if (!moves || !moves->count) return NULL;
    return bsearch(&key, moves->items, moves->count, sizeof key, compare_moves);
}

static basalt_status write_block(struct rewrite *rewrite, basalt_error *err)
{
    const uint64_t count = rewrite->in_block;
    rewrite->in_block = 0;
    if (!count) return BASALT_OK;
    return append(rewrite->work, rewrite->family->file->statistics, rewrite->block, count, err);
}

static basalt_status rewrite_record(
    void *context, const struct bs_statistics_record *record, basalt_error *err)
{
    struct rewrite *rewrite = context;
    const struct bs_h5_moved_chunk *move = find_move(rewrite->moves, record->address);
    struct bs_statistics_record now = *record;
    rewrite->moved += move != NULL;
    if (!rewrite->block || is_dead(rewrite, record)) return BASALT_OK;
    for (unsigned i = 0; move && i < 2; i++) { /* rewritten, then moved */
        now.address = move->to;
        if (move->rewritten) {
            now.stored_bytes = move->stored_bytes;
            now.values.crc32c = move->crc32c;
        }
        move = find_move(rewrite->moves, now.address);
    }
    bs_statistics_encode(&now, rewrite->block + rewrite->in_block++ * BS_STATISTICS_RECORD_BYTES);
    return rewrite->in_block == BLOCK_RECORDS ? write_block(rewrite, err) : BASALT_OK;
}

static basalt_status write_again(
    struct rewrite *rewrite, const struct bs_h5_object *own, basalt_error *err)
{
    const struct bs_file_work *work = rewrite->work;
    struct bs_family *family = rewrite->family;
    basalt_status status = BASALT_OK;
    rewrite->block = bs_alloc(BLOCK_RECORDS * BS_STATISTICS_RECORD_BYTES);
    if (!rewrite->block) return bs_fail_memory(err, BLOCK_RECORDS * BS_STATISTICS_RECORD_BYTES);
    BS_TRY(bs_family_file_open(work, family, err));
    rewrite->rows = atomic_load(&family->file_rows); /* of that root */
    rewrite->chunk_rows = bs_h5_chunk_rows(family->file->columns[0].values);
    BS_TRY(unlink_old(work, family, err));
    BS_TRY(make(work, family, err));
    BS_TRY(bs_statistics_each(work->committed, own, rewrite_record, rewrite, err));
    BS_TRY(write_block(rewrite, err));
out:
    bs_free(rewrite->block);
    rewrite->block = NULL;
    return status;
}

/* Another program may have made it something that is not appended to. */
static void find_column(const struct bs_file_work *work, struct bs_family *family)
{
    struct bs_h5_node *node = NULL;
    if (bs_h5_child(work->writer, family->file->own, BS_STATISTICS_NAME, &node, NULL)) return;
    if (bs_h5_chunk_rows(node)) family->file->statistics = node;
}

static uint64_t live_records(const struct bs_family *family)
{
    const struct bs_family_file *file = family->file;
    return (file->rows / bs_h5_chunk_rows(file->columns[0].values) + 1) * file->column_count;
}

/* The node to append to: what the last root has, if that is trusted, else a new one. */
static basalt_status need(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    struct bs_family_file *file = family->file;
    struct rewrite rewrite = {.work = work, .family = family};
    struct bs_h5_object *own = NULL;
    bool trusted = false;
    basalt_status status = BASALT_OK;
    if (file->statistics) return BASALT_OK;
    if (family->has_statistics) {
        basalt_error why = {0};
        status = bs_family_own(work->committed, family, &own, &why);
        if (!status) status = bs_statistics_trusted(work->committed, own, &trusted, &why);
        if (status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR) {
            if (err) *err = why;
            goto out;
        }
        status = BASALT_OK;
    }
    if (trusted) find_column(work, family);
    if (!file->statistics) {
        BS_TRY(unlink_old(work, family, err));
        BS_TRY(make(work, family, err));
    } else if (bs_h5_rows(file->statistics) > 2 * live_records(family) + REWRITE_RECORDS_MIN) {
        BS_TRY(write_again(&rewrite, own, err));
    }
out:
    bs_h5_object_close(own);
    return status;
}

/* ---- what tallies have ------------------------------------------------------------------------------ */

static uint64_t count_done(const struct bs_family_file *file)
{
    uint64_t count = 0;
    for (size_t i = 0; i < file->column_count; i++) count += file->columns[i].tally.done_count;
    return count;
}

static void forget_done(struct bs_family_file *file)
{
    for (size_t i = 0; i < file->column_count; i++) file->columns[i].tally.done_count = 0;
}

basalt_status bs_statistics_flush(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    struct bs_family_file *file = family->file;
    const uint64_t count = count_done(file);
    uint8_t *bytes = NULL, *at;
    basalt_status status = BASALT_OK;
    if (!count) return BASALT_OK;
    BS_TRY(need(work, family, err));
    if (count > BS_STATISTICS_RECORDS_MAX - bs_h5_rows(file->statistics)) goto out; /* no more */
    at = bytes = bs_alloc((size_t)count * BS_STATISTICS_RECORD_BYTES);
    if (!bytes) {
        status = bs_fail_memory(err, (size_t)count * BS_STATISTICS_RECORD_BYTES);
        goto out;
    }
    for (size_t i = 0; i < file->column_count; i++) {
        const struct bs_tally *tally = &file->columns[i].tally;
        for (size_t k = 0; k < tally->done_count; k++, at += BS_STATISTICS_RECORD_BYTES) {
            bs_statistics_encode(&tally->done[k], at);
        }
    }
    BS_TRY(append(work, file->statistics, bytes, count, err));
out:
    forget_done(file);
    bs_free(bytes);
    return status;
}

basalt_status bs_statistics_drop(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    forget_done(family->file);
    return unlink_old(work, family, err);
}

basalt_status bs_statistics_finish(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    (void)work;
    if (!family->file->statistics) return BASALT_OK;
    return finish(work, family->file->statistics, err);
}

basalt_status bs_moves_add(void *moves, const struct bs_h5_moved_chunk *chunk, basalt_error *err)
{
    struct bs_moves *into = moves;
    if (into->count == into->capacity) {
        const size_t capacity = into->capacity ? into->capacity * 2 : 64;
        void *grown = bs_realloc(into->items, capacity * sizeof *into->items);
        if (!grown) return bs_fail_memory(err, capacity * sizeof *into->items);
        into->items = grown;
        into->capacity = capacity;
    }
    into->items[into->count++] = *chunk;
    return BASALT_OK;
}

/* Looks first: most families have nothing that moved. */
static basalt_status follow_family(struct rewrite *rewrite, basalt_error *err)
{
    struct bs_h5_object *own = NULL;
    basalt_status status = bs_family_own(rewrite->work->committed, rewrite->family, &own, err);
    if (status) return status;
    BS_TRY(bs_statistics_each(rewrite->work->committed, own, rewrite_record, rewrite, err));
    if (rewrite->moved) {
        BS_TRY(write_again(rewrite, own, err));
        BS_TRY(finish(rewrite->work, rewrite->family->file->statistics, err));
    }
out:
    bs_h5_object_close(own);
    return status;
}

basalt_status bs_statistics_follow(struct bs_store *store, const struct bs_file_work *work,
    struct bs_moves *moves, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (!moves->count) return BASALT_OK;
    qsort(moves->items, moves->count, sizeof *moves->items, compare_moves);
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family && !status;
         family = atomic_load(&family->next)) {
        struct rewrite rewrite = {.work = work, .family = family, .moves = moves};
        if (!family->has_statistics || family->fault) continue;
        status = follow_family(&rewrite, err);
    }
    return status;
}

/* ---- all anew ---------------------------------------------------------------------------------- */

basalt_status bs_statistics_rebuild(const struct bs_file_work *work, struct bs_family *family,
    uint64_t *out_records, basalt_error *err)
{
    struct bs_bytes records = {0};
    basalt_status status = BASALT_OK;
    BS_TRY(bs_statistics_compute(work->committed, family, &records, err));
    BS_TRY(bs_family_file_open(work, family, err));
    BS_TRY(unlink_old(work, family, err));
    *out_records = records.count / BS_STATISTICS_RECORD_BYTES;
    if (!*out_records) goto out;
    BS_TRY(make(work, family, err));
    BS_TRY(append(work, family->file->statistics, records.data, *out_records, err));
    BS_TRY(finish(work, family->file->statistics, err));
out:
    bs_bytes_free(&records);
    return status;
}
