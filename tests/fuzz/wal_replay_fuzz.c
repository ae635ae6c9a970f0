/* wal_replay_fuzz.c - any bytes as a log give records or a clear error.
 *
 * The input is cut into up to three segment files of x.h5: two bytes of length, then that many
 * bytes, the rest in the last. Sums are mended first (byte 0 says where), or the fuzzer would never
 * get past them. What replay hands out must be inside its own limits and in order. */
#include "wal/wal_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define FILES_MAX 3
#define DATA_PATH "/x.h5"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void require(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "wal_replay_fuzz: %s\n", what);
    abort();
}

struct heard {
    bs_lsn last;
    bs_lsn commit_end;
    size_t total;
};

static basalt_status hear(void *context, bs_lsn start, bs_lsn end, const void *bytes, size_t count,
    bool commit, basalt_error *err)
{
    struct heard *heard = context;
    (void)err;
    require(start == heard->last, "records do not follow one another");
    require(end > start && end - start >= count, "a record is longer than its frame");
    require(count > 0 && count <= BS_WAL_RECORD_BYTES_MAX, "a record is out of bounds");
    heard->total += bs_crc32c(0, bytes, count) != 0; /* reads every byte */
    heard->last = end;
    if (commit) heard->commit_end = end;
    return BASALT_OK;
}

static void mend_sector(uint8_t *sector)
{
    bs_store_u32(sector + BS_WAL_SECTOR_BYTES - 4, bs_crc32c(0, sector, BS_WAL_SECTOR_BYTES - 4));
}

/* Frames one after another, each as long as it says while that fits. */
static void mend_frames(uint8_t *bytes, size_t count)
{
    size_t at = BS_WAL_HEADER_BYTES;
    while (at < count && count - at > BS_WAL_FRAME_HEADER_BYTES) {
        uint8_t *frame = bytes + at;
        const size_t left = count - at - BS_WAL_FRAME_HEADER_BYTES;
        const size_t said = bs_load_u32(frame) & 0x7fffffffu;
        if (said && said <= left) {
            bs_store_u32(frame + 4, bs_crc32c(0, frame + BS_WAL_FRAME_HEADER_BYTES, said));
        }
        bs_store_u32(frame + 20, bs_crc32c(0, frame, 20));
        if (!said || said > left) break;
        at += bs_wal_frame_bytes(said);
    }
}

static void mend(uint8_t *bytes, size_t count, uint8_t how)
{
    for (unsigned i = 0; i < 4; i++) {
        if (!(how >> i & 1) || (i + 1) * BS_WAL_SECTOR_BYTES > count) continue;
        mend_sector(bytes + i * BS_WAL_SECTOR_BYTES);
    }
    if (how >> 4 & 1) mend_frames(bytes, count);
}

static bool put_file(
    struct bs_vfs *vfs, unsigned number, const uint8_t *data, size_t count, uint8_t how)
{
    struct bs_file *file = NULL;
    char *path = bs_wal_segment_path(DATA_PATH, number);
    uint8_t *bytes = bs_copy_bytes(data, count);
    basalt_status status = path && bytes ? BASALT_OK : BASALT_NO_MEMORY;
    if (!status) mend(bytes, count, how);
    if (!status) status = bs_file_open(vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE, &file, NULL);
    if (!status) status = bs_file_write_at(file, bytes, count, 0, NULL);
    bs_file_close(file);
    bs_free(bytes);
    bs_free(path);
    return !status;
}

static void ask(struct bs_vfs *vfs)
{
    struct bs_wal_inventory inventory;
    basalt_error err = {0};
    bs_lsn end = 0;
    if (bs_wal_inspect(vfs, DATA_PATH, &inventory, &err)) {
        require(err.status != BASALT_OK && err.message[0], "an error without a sentence");
        return;
    }
    require(inventory.first <= inventory.last, "the log ends before it begins");
    struct heard heard = {inventory.first, inventory.first, 0};
    const basalt_status status =
        bs_wal_replay(vfs, DATA_PATH, inventory.first, hear, &heard, &end, &err);
    require(status == BASALT_OK || err.message[0], "an error without a sentence");
    if (!status) require(end == heard.commit_end, "the end is not that of the last commit");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_vfs *vfs = NULL;
    if (count < 2 || bs_vfs_memory_create(&vfs, NULL)) return 0;
    const uint8_t how = data[0];
    data++;
    count--;
    bool put = true;
    for (unsigned i = 1; i <= FILES_MAX && count > 2 && put; i++) {
        size_t size = bs_load_u16(data);
        data += 2;
        count -= 2;
        if (size > count || i == FILES_MAX) size = count;
        put = put_file(vfs, i, data, size, how);
        data += size;
        count -= size;
    }
    if (put) ask(vfs);
    bs_vfs_free(vfs);
    return 0;
}
