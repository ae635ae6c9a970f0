/* input_vfs.c - what input_vfs.h declares. */
#include "tests/fuzz/input_vfs.h"

#include <stdlib.h>

struct input_vfs {
    struct bs_vfs face;
    struct input_file input; /* whatever it is called, unless there are `files` */
    const struct input_file *files;
    size_t file_count;
};

struct opened {
    struct bs_file face;
    const struct input_file *input;
};

static void input_close(struct bs_file *file)
{
    bs_free(file->path);
    bs_free(file);
}

static basalt_status input_read_at(struct bs_file *file, void *out, size_t count, uint64_t offset,
    size_t *out_count, basalt_error *err)
{
    const struct input_file *input = ((const struct opened *)file)->input;
    const size_t left = offset < input->count ? input->count - (size_t)offset : 0;

    (void)err;
    *out_count = BS_MIN(count, left);
    if (*out_count) memcpy(out, input->bytes + offset, *out_count);
    return BASALT_OK;
}

static basalt_status input_info(
    struct bs_file *file, struct bs_file_info *out_info, basalt_error *err)
{
    (void)err;
    *out_info = (struct bs_file_info){
        .size_bytes = ((const struct opened *)file)->input->count, .inode = 1, .links = 1};
    return BASALT_OK;
}

static const struct bs_file_ops file_ops = {
    .close = input_close, .read_at = input_read_at, .info = input_info};

static const struct input_file *find_file(const struct input_vfs *vfs, const char *path)
{
    for (size_t i = 0; i < vfs->file_count; i++)
        if (!strcmp(vfs->files[i].name, bs_path_name(path))) return &vfs->files[i];
    const bool there = !strcmp(path, INPUT_PATH) || bs_crc32c(0, path, strlen(path)) % 4;
    return there && !vfs->files ? &vfs->input : NULL;
}

static basalt_status input_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err)
{
    (void)flags;
    *out_file = NULL;
    const struct input_file *input = find_file((const struct input_vfs *)vfs, path);
    if (!input)
        return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "there is no \"%.80s\"", path);
    struct opened *file = bs_alloc_zeroed(1, sizeof *file);
    char *copy = bs_copy_string(path);
    if (!file || !copy) abort();
    *file = (struct opened){{&file_ops, vfs, copy}, input};
    *out_file = &file->face;
    return BASALT_OK;
}

static basalt_status input_real_path(
    struct bs_vfs *vfs, const char *path, char **out_path, basalt_error *err)
{
    const size_t count = strlen(path);
    char *copy = bs_alloc(count + 2);

    (void)vfs, (void)err;
    if (!copy) abort();
    copy[0] = '/';
    memcpy(copy + (*path != '/'), path, count + 1);
    *out_path = copy;
    return BASALT_OK;
}

static void input_free(struct bs_vfs *vfs)
{
    bs_free(vfs);
}

static const struct bs_vfs_ops vfs_ops = {
    .free = input_free, .open = input_open, .real_path = input_real_path};

static struct bs_vfs *make(struct input_vfs with)
{
    struct input_vfs *vfs = bs_alloc_zeroed(1, sizeof *vfs);
    if (!vfs) abort();
    *vfs = with;
    return &vfs->face;
}

struct bs_vfs *input_vfs_make(const uint8_t *bytes, size_t count)
{
    return make((struct input_vfs){{.ops = &vfs_ops}, {"", bytes, count}, NULL, 0});
}

struct bs_vfs *input_vfs_of(const struct input_file *files, size_t file_count)
{
    return make((struct input_vfs){{.ops = &vfs_ops}, {0}, files, file_count});
}
