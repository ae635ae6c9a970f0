/* writer_fuzz.c - any bytes as a file that Basalt made, under its writer: opened, added to, committed. What
 * a writer finds in a file it must not believe either. */
#include "h5/writer_internal.h"

#include <stdlib.h>

#define PATH "/x.h5"
#define ROWS 3
#define FILE_BYTES_MIN ((size_t)1 << 20) /* one that is not closed has room at its end */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

struct use {
    struct bs_h5_writer *writer;
    struct bs_codec_scratch *scratch;
    unsigned left;
};

static basalt_status change_node(
    void *context, const char *name, struct bs_h5_node *node, basalt_error *err)
{
    static const uint32_t offsets[] = {0, 2, 3, 3};
    static const int64_t numbers[ROWS] = {1, 2, 3};
    const struct bs_h5_piece texts = {"xyz", offsets, ROWS}, piece = {numbers, NULL, ROWS};
    struct use *use = context;

    (void)name;
    if (!use->left || !use->left--) return BASALT_OK;
    if (bs_h5_is_group(node)) {
        (void)!bs_h5_set_attribute_u64(use->writer, node, "a", 1, NULL);
        return bs_h5_children(use->writer, node, change_node, use, err);
    }
    if (node->kind != BS_NODE_COLUMN) return BASALT_OK;
    /* Whoever appends knows the type, and looks whether it still is that. */
    if (node->as.column->variable || node->as.column->element_bytes <= sizeof numbers[0])
        (void)!bs_h5_append(
            use->writer, node, use->scratch, node->as.column->variable ? &texts : &piece, 1, NULL);
    (void)!bs_h5_append_fill(use->writer, node, use->scratch, 2, NULL);
    (void)!bs_h5_finish_tail(use->writer, node, use->scratch, NULL);
    (void)!bs_h5_rechunk(
        use->writer, node, use->scratch, 2 * BS_MIN(bs_h5_chunk_rows(node), 99u), NULL);
    return BASALT_OK;
}

static void commit(struct bs_h5_writer *writer)
{
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    const uint64_t number = bs_h5_writer_identity(writer)->commit + 1;

    if (bs_h5_prepare(writer, number, 1000, superblock, NULL)) return;
    if (bs_h5_check_unchanged(writer, NULL) || bs_h5_flip(writer, NULL)) {
        bs_h5_abandon(writer);
        return;
    }
    bs_h5_settle(writer);
    bs_h5_reclaim(writer, number);
    (void)!bs_h5_shorten(writer, NULL);
}

static void use_writer(struct bs_vfs *vfs)
{
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    struct bs_file *file = NULL;
    struct use use = {.left = 40};
    bool worth = false;

    if (bs_file_open(vfs, PATH, BS_OPEN_WRITE, &file, NULL) ||
        bs_codec_scratch_create(&use.scratch, NULL))
        abort();
    if (!bs_file_read_all_at(file, superblock, sizeof superblock, 0, NULL) &&
        !bs_h5_writer_open(file, superblock, &use.writer, NULL)) {
        bs_h5_reclaim(use.writer, UINT64_MAX);
        (void)!bs_h5_children(use.writer, bs_h5_root(use.writer), change_node, &use, NULL);
        commit(use.writer);
        (void)!bs_h5_compact(use.writer, use.scratch, NULL, NULL, &worth, NULL);
        commit(use.writer);
    }
    bs_h5_writer_close(use.writer);
    bs_codec_scratch_free(use.scratch);
    bs_file_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;

    if (bs_vfs_memory_create(&vfs, NULL) ||
        bs_file_open(vfs, PATH, BS_OPEN_WRITE | BS_OPEN_CREATE, &file, NULL) ||
        bs_file_write_at(file, data, count, 0, NULL) ||
        (count < FILE_BYTES_MIN && file->ops->set_size(file, FILE_BYTES_MIN, NULL)))
        abort();
    bs_file_close(file);
    use_writer(vfs);
    bs_vfs_free(vfs);
    return 0;
}
