/* h5_driver.c - files in parts (FF II.B, IV.A.2.u): what libhdf5's family, multi and split drivers wrote,
 * opened as one file.
 *
 * FAMILY  "NCSAfami", u64 bytes of a member: members of equal size, one after the other. Their names
 *         differ in one number, which counts from 0.
 * MULTI   "NCSAmult", six bytes that say which part has which kind of metadata, 2 reserved, for each
 *         part where its addresses begin and end, then their names, "%s" for what they have in common.
 *         Split is the case of two parts: metadata, and raw data.
 *
 * Opening the member with the superblock opens them all. The file that they make has gaps between its
 * parts; `ranges` says where bytes are. A member that a file names lies beside it. */
#include "h5/h5_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define PARTS_MAX 4096
#define KINDS 6 /* of metadata and data that a multi file tells apart, counted from 1 */
#define NAME_BYTES_MAX 1024
#define ID_BYTES 8
#define DIGITS_MAX 10

struct part {
    uint64_t start, bytes; /* in the file that the parts make */
    struct bs_file *file;
    bool owned; /* else it is the one that was opened */
};

struct parts_file {
    struct bs_file face;
    size_t count, room;
    struct part *parts; /* by start */
};

/* ---- a file over several ---------------------------------------------------------------------- */

static void parts_close(struct bs_file *face)
{
    struct parts_file *file = (struct parts_file *)face;

    for (size_t i = 0; i < file->count; i++)
        if (file->parts[i].owned) bs_file_close(file->parts[i].file);
    bs_free(file->parts);
    bs_free(file->face.path);
    bs_free(file);
}

static basalt_status parts_read(struct bs_file *face, void *out, size_t count, uint64_t offset,
    size_t *out_count, basalt_error *err)
{
    struct parts_file *file = (struct parts_file *)face;
    basalt_status status = BASALT_OK;

    *out_count = 0;
    for (size_t i = 0; !status && i < file->count && count; i++) {
        const struct part *part = &file->parts[i];
        if (offset < part->start || offset - part->start >= part->bytes) continue;
        const uint64_t at = offset - part->start;
        const size_t now = (size_t)BS_MIN(part->bytes - at, count);
        size_t got = 0;
        status = part->file->ops->read_at(part->file, out, now, at, &got, err);
        *out_count += got;
        if (got < now) break;
        out = (uint8_t *)out + now;
        offset += now;
        count -= now;
    }
    return status;
}

static basalt_status parts_info(
    struct bs_file *face, struct bs_file_info *out_info, basalt_error *err)
{
    const struct parts_file *file = (const struct parts_file *)face;
    const struct part *last = &file->parts[file->count - 1];
    basalt_status status = file->parts[0].file->ops->info(file->parts[0].file, out_info, err);

    if (!status) out_info->size_bytes = last->start + last->bytes;
    return status;
}

static const struct bs_file_ops parts_ops = {
    .close = parts_close, .read_at = parts_read, .info = parts_info};

static basalt_status make_parts(
    struct bs_h5_file *h5, struct parts_file **out_file, basalt_error *err)
{
    struct parts_file *file = bs_alloc_zeroed(1, sizeof *file);

    *out_file = NULL;
    if (!file) return bs_fail_memory(err, sizeof *file);
    file->face = (struct bs_file){&parts_ops, h5->file->vfs, bs_copy_string(h5->file->path)};
    if (!file->face.path) {
        bs_free(file);
        return bs_fail_memory(err, 0);
    }
    *out_file = file;
    return BASALT_OK;
}

/* Takes over `opened` if it is not the file that was opened at first. */
static basalt_status add_part(struct bs_h5_file *h5, struct parts_file *file,
    struct bs_file *opened, uint64_t start, basalt_error *err)
{
    uint64_t bytes = 0;
    const bool owned = opened != h5->file;
    basalt_status status = bs_file_size(opened, &bytes, err);

    if (!status && file->count == file->room) {
        const size_t room = file->room ? file->room * 2 : 4;
        void *grown = bs_realloc(file->parts, room * sizeof *file->parts);
        if (grown) {
            file->parts = grown;
            file->room = room;
        } else {
            status = bs_fail_memory(err, room * sizeof *file->parts);
        }
    }
    if (status) {
        if (owned) bs_file_close(opened);
        return status;
    }
    size_t at = file->count++;
    for (; at && file->parts[at - 1].start > start; at--) file->parts[at] = file->parts[at - 1];
    file->parts[at] = (struct part){start, bytes, opened, owned};
    return BASALT_OK;
}

static basalt_status open_member(
    struct bs_h5_file *h5, const char *path, struct bs_file **out_file, basalt_error *err)
{
    *out_file = NULL;
    if (h5->follow == BS_H5_FOLLOW_NOWHERE)
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the file is one of several parts, and opening other files was forbidden");
    basalt_status status = bs_h5_part_open(h5, path, out_file, err);
    if (status) bs_error_prefix(err, "a part of the file");
    return status;
}

/* ---- family ----------------------------------------------------------------------------------- */

/* The path with the number at `at`, which has `digits` digits in the first member's, set. */
static basalt_status open_numbered(struct bs_h5_file *h5, size_t at, size_t digits, uint64_t number,
    struct bs_file **out_file, basalt_error *err)
{
    struct bs_bytes path = {0};
    const char *first = h5->file->path;

    *out_file = NULL;
    bs_bytes_text(
        &path, "%.*s%0*" PRIu64 "%s", (int)at, first, (int)digits, number, first + at + digits);
    bs_bytes_u8(&path, 0);
    basalt_status status = bs_bytes_check(&path, err);
    if (!status) status = open_member(h5, (const char *)path.data, out_file, err);
    bs_bytes_free(&path);
    return status;
}

/* Where in the first member's path the number is: the last zeros with which a second member exists. */
static basalt_status find_number(struct bs_h5_file *h5, size_t *out_at, size_t *out_digits,
    struct bs_file **out_second, basalt_error *err)
{
    const char *path = h5->file->path, *name = bs_path_name(path);
    size_t end = strlen(path);
    const size_t first = (size_t)(name - path);

    *out_second = NULL;
    while (end > first) {
        size_t at = end;
        while (at > first && path[at - 1] == '0') at--;
        const bool is_number = end > at && (at == first || !strchr("123456789", path[at - 1])) &&
            (!path[end] || !strchr("0123456789", path[end])) && end - at <= DIGITS_MAX;
        if (is_number) {
            *out_at = at;
            *out_digits = end - at;
            basalt_status status = open_numbered(h5, at, end - at, 1, out_second, err);
            if (status != BASALT_NOT_FOUND) return status;
        }
        end = at == end ? end - 1 : at;
    }
    return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET,
        "the file \"%.100s\" is the first of a family, of which there is no second one: it would "
        "have a 1 where this name has a 0",
        path);
}

basalt_status bs_h5_family_open(struct bs_h5_file *h5, uint64_t member_bytes, basalt_error *err)
{
    struct parts_file *file = NULL;
    struct bs_file *next = NULL;
    size_t at = 0, digits = 0;
    basalt_status status = BASALT_OK;
    const uint64_t end = h5->superblock.end_of_file;

    if (!member_bytes || end / member_bytes >= PARTS_MAX)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the file is a family of %" PRIu64 " bytes a member, over %d members are not read",
            member_bytes, PARTS_MAX);
    status = make_parts(h5, &file, err);
    if (status) return status;
    BS_TRY(add_part(h5, file, h5->file, 0, err));
    BS_TRY(find_number(h5, &at, &digits, &next, err));
    for (uint64_t i = 1; i * member_bytes < end; i++) {
        if (!next) BS_TRY(open_numbered(h5, at, digits, i, &next, err));
        struct bs_file *opened = next;
        next = NULL;
        BS_TRY(add_part(h5, file, opened, i * member_bytes, err));
    }
    for (size_t i = 0; i + 1 < file->count; i++)
        file->parts[i].bytes = BS_MIN(file->parts[i].bytes, member_bytes);
    for (size_t i = 0; i < file->count; i++)
        if (file->parts[i].bytes < BS_MIN(member_bytes, end - file->parts[i].start)) {
            status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "member %zu of the family of \"%.100s\" is truncated", i, h5->file->path);
            goto out;
        }
    h5->parts = &file->face;
    h5->file = h5->parts;
    h5->family_bytes = member_bytes;
    h5->bytes = end - h5->superblock.base;
    file = NULL;
out:
    bs_file_close(next);
    if (file) parts_close(&file->face);
    return status;
}

/* A second file that is one by itself is no member: files are numbered for other reasons too. */
static basalt_status check_member(struct bs_h5_file *h5, basalt_error *err)
{
    uint8_t start[sizeof bs_h5_signature] = {0};
    struct bs_file *second = NULL;
    size_t at = 0, digits = 0, got = 0;
    basalt_status status = find_number(h5, &at, &digits, &second, err);

    if (!status) status = second->ops->read_at(second, start, sizeof start, 0, &got, err);
    if (!status && !memcmp(start, bs_h5_signature, sizeof start))
        status = bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "the file is no family");
    bs_file_close(second);
    return status;
}

basalt_status bs_h5_family_guess(struct bs_h5_file *h5, uint64_t member_bytes, basalt_error *err)
{
    basalt_status status = check_member(h5, err);
    if (!status) status = bs_h5_family_open(h5, member_bytes, err);
    const bool is_none = status == BASALT_NOT_FOUND || status == BASALT_TOO_LARGE ||
        (status == BASALT_UNSUPPORTED && h5->follow == BS_H5_FOLLOW_NOWHERE);
    return is_none ? BASALT_OK : status;
}

static basalt_status decode_family(
    struct bs_h5_file *h5, struct bs_cursor *info, uint64_t size_bytes, basalt_error *err)
{
    const uint64_t member_bytes = bs_cursor_u64(info);
    basalt_status status = bs_cursor_check(info, "the driver information", err);

    if (status || h5->superblock.end_of_file <= size_bytes) return status;
    if (!h5->parts) return bs_h5_family_open(h5, member_bytes, err);
    if (member_bytes == h5->family_bytes) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the members of the family should have %" PRIu64 " bytes and have %" PRIu64, member_bytes,
        h5->family_bytes);
}

/* ---- multi and split -------------------------------------------------------------------------- */

struct multi {
    uint8_t map[KINDS + 1]; /* which part has a kind; by kind */
    unsigned count;         /* of parts */
    uint8_t order[KINDS];   /* their numbers */
    uint64_t start[KINDS];
    const char *name[KINDS];
};

/* The part of a path that "%s" of the template stands for; false if it is not of the template. */
static bool match_template(
    const char *name, const char *template, const char **out_common, size_t *out_count)
{
    const char *hole = strstr(template, "%s");

    *out_common = name;
    *out_count = 0;
    if (!hole) return !strcmp(name, template);
    const size_t before = (size_t)(hole - template), after = strlen(hole + 2), all = strlen(name);
    if (all < before + after || memcmp(name, template, before) != 0) return false;
    if (strcmp(name + all - after, hole + 2) != 0) return false;
    *out_common = name + before;
    *out_count = all - before - after;
    return true;
}

static basalt_status open_templated(struct bs_h5_file *h5, const char *template, const char *common,
    size_t common_bytes, struct bs_file **out_file, basalt_error *err)
{
    struct bs_bytes path = {0};
    const char *first = h5->file->path;
    const char *hole = strstr(template, "%s");
    const size_t before = hole ? (size_t)(hole - template) : strlen(template);

    *out_file = NULL;
    if (strchr(template, '/'))
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the file names a part of it, \"%.80s\", in another folder, which is not followed",
            template);
    bs_bytes_put(&path, first, (size_t)(bs_path_name(first) - first));
    bs_bytes_put(&path, template, before);
    if (hole) {
        bs_bytes_put(&path, common, common_bytes);
        bs_bytes_text(&path, "%s", hole + 2);
    }
    bs_bytes_u8(&path, 0);
    basalt_status status = bs_bytes_check(&path, err);
    if (!status) status = open_member(h5, (const char *)path.data, out_file, err);
    bs_bytes_free(&path);
    return status;
}

static basalt_status set_ranges(
    struct bs_h5_file *h5, const struct parts_file *file, basalt_error *err)
{
    h5->bytes = 0;
    h5->range_count = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct part *part = &file->parts[i];
        if (i && part[-1].bytes > part->start - part[-1].start)
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "the addresses of the parts of the file overlap");
        h5->ranges[h5->range_count++] = (struct bs_h5_extent){part->start, part->bytes};
        h5->bytes += part->bytes;
    }
    return BASALT_OK;
}

static basalt_status open_multi(struct bs_h5_file *h5, const struct multi *multi, basalt_error *err)
{
    struct parts_file *file = NULL;
    const char *common = NULL;
    size_t common_bytes = 0;
    unsigned own = 0; /* the part with the superblock */

    while (own < multi->count && multi->order[own] != multi->map[1]) own++;
    if (own == multi->count || multi->start[own] || h5->superblock.base)
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "a file in parts whose superblock is not at its beginning is not read");
    if (!match_template(bs_path_name(h5->file->path), multi->name[own], &common, &common_bytes))
        return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET,
            "the file is a part of one whose names are like \"%.80s\": the others cannot be found "
            "under its name now",
            multi->name[own]);
    basalt_status status = make_parts(h5, &file, err);
    if (status) return status;
    for (unsigned i = 0; i < multi->count; i++) {
        struct bs_file *opened = h5->file;
        if (i != own)
            BS_TRY(open_templated(h5, multi->name[i], common, common_bytes, &opened, err));
        BS_TRY(add_part(h5, file, opened, multi->start[i], err));
    }
    BS_TRY(set_ranges(h5, file, err));
    h5->parts = &file->face;
    h5->file = h5->parts;
    file = NULL;
out:
    if (file) parts_close(&file->face);
    return status;
}

static void add_member(struct multi *multi, uint8_t number)
{
    for (unsigned i = 0; i < multi->count; i++)
        if (multi->order[i] == number) return;
    multi->order[multi->count++] = number;
}

static basalt_status decode_multi(struct bs_h5_file *h5, struct bs_cursor *info, basalt_error *err)
{
    struct multi multi = {0};

    if (h5->parts) return BASALT_OK; /* found by the usual names, before this could be read */
    for (unsigned i = 1; i <= KINDS; i++) {
        multi.map[i] = bs_cursor_u8(info);
        if (!multi.map[i]) multi.map[i] = (uint8_t)i;
        if (multi.map[i] > KINDS)
            return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(info),
                "the driver information names a part that cannot be");
        add_member(&multi, multi.map[i]);
    }
    bs_cursor_skip(info, 2);
    for (unsigned i = 0; i < multi.count; i++) {
        multi.start[i] = bs_cursor_u64(info);
        bs_cursor_skip(info, 8); /* end */
    }
    for (unsigned i = 0; i < multi.count; i++) {
        const uint8_t *start = info->at;
        multi.name[i] = bs_cursor_string(info);
        if (!multi.name[i] || strlen(multi.name[i]) > NAME_BYTES_MAX)
            return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(info),
                "the driver information has a name without an end");
        const size_t used = (size_t)(info->at - start) % 8;
        if (used) bs_cursor_skip(info, BS_MIN(8 - used, bs_cursor_left(info)));
    }
    return open_multi(h5, &multi, err);
}

basalt_status bs_h5_multi_guess(struct bs_h5_file *h5, basalt_error *err)
{
    static const char *const names[KINDS] = {
        "%s-s.h5", "%s-b.h5", "%s-r.h5", "%s-g.h5", "%s-l.h5", "%s-o.h5"};
    struct multi multi = {.count = KINDS};
    const char *common = NULL;
    size_t common_bytes = 0;

    if (!match_template(bs_path_name(h5->file->path), names[0], &common, &common_bytes))
        return BASALT_OK;
    for (uint8_t i = 0; i < KINDS; i++) {
        multi.map[i + 1] = multi.order[i] = (uint8_t)(i + 1);
        multi.start[i] = i * ((UINT64_MAX - 1) / KINDS);
        multi.name[i] = names[i];
    }
    basalt_status status = open_multi(h5, &multi, err);
    return status == BASALT_NOT_FOUND ? BASALT_OK : status;
}

/* ---- entry point ------------------------------------------------------------------------------ */

basalt_status bs_h5_driver_open(
    struct bs_h5_file *h5, struct bs_cursor info, uint64_t size_bytes, basalt_error *err)
{
    const uint64_t at = bs_cursor_offset(&info);
    const char *id = (const char *)bs_cursor_bytes(&info, ID_BYTES);

    if (!id) return bs_cursor_check(&info, "the driver information", err);
    if (!memcmp(id, "NCSAfami", ID_BYTES)) return decode_family(h5, &info, size_bytes, err);
    if (!memcmp(id, "NCSAmult", ID_BYTES)) return decode_multi(h5, &info, err);
    return bs_fail(err, BASALT_UNSUPPORTED, at,
        "the file was written by the driver \"%.8s\": of those with information of their own, only "
        "family, multi and split are read",
        id);
}
