/* path.c - paths as people write them: an object by its path in the file, or by plain names.
 *
 * What HDF5 does not allow in a name is escaped in the file: a family "a/b" is the group /a%2Fb. Both
 * are taken. A path that is in the file as it stands is that object; only where there is none, parts of
 * the path are tried as plain names, of which '/' may be a part. */
#include "store/store.h"
#include "tables/tables_internal.h"

#define LOOKUPS_MAX 4096 /* of one path: its parts can be put together in 2^parts ways */

struct finder {
    struct bs_h5_file *h5;
    struct bs_bytes path; /* of the group at hand, no NUL */
    unsigned lookups_left;
};

static basalt_status find_below(struct finder *finder, const struct bs_h5_object *group,
    const char *rest, struct bs_h5_object **out_object, basalt_error *err);

static basalt_status nothing(basalt_error *err)
{
    return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "there is no such name");
}

/* The link `link` of the group, and what `rest` names below it. */
static basalt_status find_link(struct finder *finder, const struct bs_h5_object *group,
    const char *link, const char *rest, struct bs_h5_object **out_object, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    const size_t before = finder->path.count;
    if (!finder->lookups_left) return nothing(err);
    finder->lookups_left--;
    basalt_status status = bs_h5_object_open_from(finder->h5, group, link, &object, err);
    if (status) return status;
    if (before > 1) bs_bytes_u8(&finder->path, '/');
    bs_bytes_put(&finder->path, link, strlen(link));
    rest += strspn(rest, "/");
    if (!*rest) {
        *out_object = object;
        object = NULL;
    } else if (bs_h5_object_kind(object) == BS_H5_GROUP) {
        status = find_below(finder, object, rest, out_object, err);
    } else {
        status = nothing(err);
    }
    bs_h5_object_close(object);
    if (status && !finder->path.failed) finder->path.count = before;
    return status;
}

/* The first `count` characters of `rest` as one name: as a link, then as a plain name. */
static basalt_status find_name(struct finder *finder, const struct bs_h5_object *group,
    const char *rest, size_t count, struct bs_h5_object **out_object, basalt_error *err)
{
    struct bs_bytes raw = {0}, escaped = {0};
    bs_bytes_put(&raw, rest, count);
    bs_bytes_u8(&raw, 0);
    bs_name_escape(rest, count, 1, &escaped);
    bs_bytes_u8(&escaped, 0);
    basalt_status status = bs_bytes_check(&raw, err);
    if (!status) status = bs_bytes_check(&escaped, err);
    if (!status) {
        const char *link = (const char *)raw.data, *plain = (const char *)escaped.data;
        status = memchr(rest, '/', count)
            ? nothing(err)
            : find_link(finder, group, link, rest + count, out_object, err);
        if (status == BASALT_NOT_FOUND && strcmp(link, plain) != 0) {
            status = find_link(finder, group, plain, rest + count, out_object, err);
        }
    }
    bs_bytes_free(&raw);
    bs_bytes_free(&escaped);
    return status;
}

static basalt_status find_below(struct finder *finder, const struct bs_h5_object *group,
    const char *rest, struct bs_h5_object **out_object, basalt_error *err)
{
    basalt_status status = nothing(err);
    size_t count = strcspn(rest, "/");
    while (status == BASALT_NOT_FOUND && count > 0) {
        status = find_name(finder, group, rest, count, out_object, err);
        if (!rest[count]) break;
        count += 1 + strcspn(rest + count + 1, "/");
    }
    return status;
}

static basalt_status find_plain(
    struct finder *finder, const char *path, struct bs_h5_object **out_object, basalt_error *err)
{
    struct bs_h5_object *root = NULL;
    finder->lookups_left = LOOKUPS_MAX;
    finder->path.count = 0;
    bs_bytes_u8(&finder->path, '/');
    basalt_status status = bs_h5_object_open_path(finder->h5, "/", &root, err);
    if (!status) {
        status = find_below(finder, root, path + strspn(path, "/"), out_object, err);
    }
    bs_h5_object_close(root);
    return status;
}

/* "/a/b" of "a/b/", "/" of "". */
static void put_normal_path(struct bs_bytes *out, const char *path)
{
    bs_bytes_u8(out, '/');
    while (*path) {
        const size_t count = strcspn(path, "/");
        if (count > 0 && out->count > 1) bs_bytes_u8(out, '/');
        bs_bytes_put(out, path, count);
        path += count;
        path += strspn(path, "/");
    }
}

basalt_status bs_path_open(struct bs_h5_file *h5, const char *path, struct bs_bytes *out_path,
    struct bs_h5_object **out_object, basalt_error *err)
{
    struct finder finder = {.h5 = h5};
    basalt_error why = {0};
    *out_object = NULL;
    basalt_status status = bs_h5_object_open_path(h5, path, out_object, err);
    if (!status) {
        put_normal_path(&finder.path, path);
    } else if (status == BASALT_NOT_FOUND) {
        status = find_plain(&finder, path, out_object, &why);
        if (status && status != BASALT_NOT_FOUND && err) *err = why; /* else it is said already */
    }
    bs_bytes_u8(&finder.path, 0);
    if (!status) status = bs_bytes_check(&finder.path, err);
    if (!status) bs_bytes_put(out_path, finder.path.data, finder.path.count);
    if (!status) status = bs_bytes_check(out_path, err);
    if (status) {
        bs_h5_object_close(*out_object);
        *out_object = NULL;
    }
    bs_bytes_free(&finder.path);
    return status;
}
