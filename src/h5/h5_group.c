/* h5_group.c - links: where a group keeps them, listing, looking up, following paths.
 *
 * A group has link messages in its header, or a symbol table, or (dense) links in a fractal heap that
 * a version-2 B-tree indexes. An external link is followed into its file (h5_external.c), which is then
 * the file that the rest of the path is of. User-defined ones are named, never followed. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define LINKS_MAX 16 /* soft and external ones, followed for one path */
#define PATH_PARTS_MAX 4096
#define LINK_SOFT 1 /* kinds in a link message */
#define LINK_EXTERNAL 64
#define LINK_USER_MIN 65

/* ---- where the links are ---------------------------------------------------------------------- */

static basalt_status decode_link_info(const struct bs_h5_file *h5, struct bs_cursor cursor,
    struct bs_h5_group_form *form, basalt_error *err)
{
    const uint8_t version = bs_cursor_u8(&cursor);
    const uint8_t flags = bs_cursor_u8(&cursor);

    if (!cursor.failed && version)
        return bs_fail(err, BASALT_CORRUPT, cursor.file_offset,
            "the link info message at %" PRIu64 " has an unknown version", cursor.file_offset);
    if (flags & 1) bs_cursor_skip(&cursor, 8);
    form->dense_heap = bs_h5_address(h5, &cursor);
    form->dense_names = bs_h5_address(h5, &cursor);
    if (flags & 2) form->dense_order = bs_h5_address(h5, &cursor);
    return bs_cursor_check(&cursor, "a link info message", err);
}

basalt_status bs_h5_group_form_decode(const struct bs_h5_file *h5,
    const struct bs_h5_header *header, struct bs_h5_group_form *out_form, basalt_error *err)
{
    const struct bs_h5_message *table = bs_h5_header_find(header, BS_H5_MESSAGE_SYMBOL_TABLE);
    const struct bs_h5_message *info = bs_h5_header_find(header, BS_H5_MESSAGE_LINK_INFO);

    *out_form = (struct bs_h5_group_form){
        BS_H5_UNDEFINED, BS_H5_UNDEFINED, BS_H5_UNDEFINED, BS_H5_UNDEFINED, BS_H5_UNDEFINED};
    if (table) {
        struct bs_cursor cursor = bs_h5_message_cursor(h5, table);
        out_form->tree = bs_h5_address(h5, &cursor);
        out_form->heap = bs_h5_address(h5, &cursor);
        basalt_status status = bs_cursor_check(&cursor, "a symbol table message", err);
        if (status) return status;
    }
    return info ? decode_link_info(h5, bs_h5_message_cursor(h5, info), out_form, err) : BASALT_OK;
}

/* ---- link messages ---------------------------------------------------------------------------- */

struct link_text { /* of the link that is being decoded */
    struct bs_bytes name, target;
    size_t path_at; /* in the target of an external link */
};

static void link_text_free(struct link_text *text)
{
    bs_bytes_free(&text->name);
    bs_bytes_free(&text->target);
}

static basalt_status keep_text(
    struct bs_bytes *out, struct bs_cursor *cursor, uint64_t count, basalt_error *err)
{
    out->count = 0;
    if (count > bs_cursor_left(cursor))
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor),
            "the link message at %" PRIu64 " is cut short", cursor->file_offset);
    bs_bytes_put(out, bs_cursor_bytes(cursor, (size_t)count), (size_t)count);
    bs_bytes_u8(out, 0);
    return bs_bytes_check(out, err);
}

static basalt_status decode_external(
    struct link_text *text, struct bs_cursor *cursor, basalt_error *err)
{
    const size_t count = bs_cursor_u16(cursor);
    struct bs_cursor value =
        bs_cursor_make(cursor->at, BS_MIN(count, bs_cursor_left(cursor)), bs_cursor_offset(cursor));

    bs_cursor_skip(&value, 1); /* version and flags */
    const char *file = bs_cursor_string(&value);
    const char *path = bs_cursor_string(&value);
    if (!file || !path) return bs_cursor_check(&value, "an external link", err);
    text->target.count = 0;
    bs_bytes_text(&text->target, "%s:", file);
    text->path_at = text->target.count;
    bs_bytes_text(&text->target, "%s", path);
    bs_bytes_u8(&text->target, 0);
    return bs_bytes_check(&text->target, err);
}

static basalt_status decode_target(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    unsigned kind, struct link_text *text, struct bs_h5_link *link, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    link->address = BS_H5_UNDEFINED;
    if (kind == 0) {
        link->kind = BS_H5_LINK_HARD;
        link->address = bs_h5_address(h5, cursor);
    } else if (kind == LINK_SOFT) {
        link->kind = BS_H5_LINK_SOFT;
        const size_t count = bs_cursor_u16(cursor);
        status = keep_text(&text->target, cursor, count, err);
    } else if (kind == LINK_EXTERNAL) {
        link->kind = BS_H5_LINK_EXTERNAL;
        status = decode_external(text, cursor, err);
    } else if (kind >= LINK_USER_MIN) {
        link->kind = BS_H5_LINK_USER;
        text->target.count = 0;
        bs_bytes_text(&text->target, "kind %u", kind);
        bs_bytes_u8(&text->target, 0);
        bs_cursor_skip(cursor, bs_cursor_u16(cursor));
        status = bs_bytes_check(&text->target, err);
    } else {
        status = bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor),
            "the link \"%.60s\" is of the kind %u, which is kept for later versions", link->name,
            kind);
    }
    if (!status && kind) link->target = (const char *)text->target.data;
    link->path_at = text->path_at;
    return status ? status : bs_cursor_check(cursor, "a link message", err);
}

static basalt_status decode_link(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct link_text *text, struct bs_h5_link *out_link, basalt_error *err)
{
    unsigned kind = 0;
    const uint8_t version = bs_cursor_u8(cursor);
    const uint8_t flags = bs_cursor_u8(cursor);

    memset(out_link, 0, sizeof *out_link);
    if (!cursor->failed && version != 1)
        return bs_fail(err, BASALT_CORRUPT, cursor->file_offset,
            "the link message at %" PRIu64 " has an unknown version", cursor->file_offset);
    if (flags & 0x08) kind = bs_cursor_u8(cursor);
    if (flags & 0x04) bs_cursor_skip(cursor, 8); /* creation order */
    if (flags & 0x10) bs_cursor_skip(cursor, 1); /* character set */
    const uint64_t name_bytes = bs_cursor_uint(cursor, (size_t)1 << (flags & 3));
    basalt_status status = keep_text(&text->name, cursor, name_bytes, err);
    if (status) return status;
    out_link->name = (const char *)text->name.data;
    return decode_target(h5, cursor, kind, text, out_link, err);
}

/* ---- listing ---------------------------------------------------------------------------------- */

struct lister {
    const struct bs_h5_file *h5;
    struct link_text text;
    bs_h5_link_fn each;
    void *context;
};

static basalt_status list_message(void *context, struct bs_cursor cursor, basalt_error *err)
{
    struct lister *lister = context;
    struct bs_h5_link link;

    basalt_status status = decode_link(lister->h5, &cursor, &lister->text, &link, err);
    return status ? status : lister->each(lister->context, &link, err);
}

static basalt_status each_link(struct bs_h5_file *h5, const struct bs_h5_header *header,
    const struct bs_h5_group_form *form, bs_h5_link_fn each, void *context, basalt_error *err)
{
    struct lister lister = {.h5 = h5, .each = each, .context = context};
    basalt_status status = BASALT_OK;

    if (form->tree != BS_H5_UNDEFINED)
        status = bs_h5_symbol_table_each(h5, form, each, context, err);
    for (size_t i = 0; !status && i < header->message_count; i++)
        if (header->messages[i].type == BS_H5_MESSAGE_LINK)
            status = list_message(&lister, bs_h5_message_cursor(h5, &header->messages[i]), err);
    if (!status && form->dense_heap != BS_H5_UNDEFINED)
        status =
            bs_h5_dense_each(h5, form->dense_heap, form->dense_names, list_message, &lister, err);
    link_text_free(&lister.text);
    return status;
}

basalt_status bs_h5_group_each(struct bs_h5_file *h5, const struct bs_h5_object *group,
    bs_h5_link_fn each, void *context, basalt_error *err)
{
    if (group->kind != BS_H5_GROUP)
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "only a group has links: the object at %" PRIu64 " is none", group->header->address);
    (void)h5;
    return each_link(group->h5, group->header, &group->form, each, context, err);
}

/* ---- one link --------------------------------------------------------------------------------- */

struct search {
    const char *name;
    struct bs_h5_found *found;
    bool hit;
};

static basalt_status match(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct search *search = context;

    if (search->hit || strcmp(link->name, search->name) != 0) return BASALT_OK;
    search->found->kind = link->kind;
    search->found->address = link->address;
    if (link->kind != BS_H5_LINK_HARD) {
        if (link->kind == BS_H5_LINK_EXTERNAL) search->found->path_at = link->path_at;
        search->found->target = bs_copy_string(link->target);
        if (!search->found->target) return bs_fail_memory(err, strlen(link->target) + 1);
    }
    search->hit = true;
    return BASALT_OK;
}

static basalt_status no_such(basalt_error *err, const char *name)
{
    return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "there is no \"%.100s\"", name);
}

static basalt_status find_dense(struct bs_h5_file *h5, const struct bs_h5_group_form *form,
    struct search *search, basalt_error *err)
{
    struct lister lister = {.h5 = h5, .each = match, .context = search};

    if (form->dense_heap == BS_H5_UNDEFINED) return BASALT_OK;
    basalt_status status = bs_h5_dense_find(
        h5, form->dense_heap, form->dense_names, search->name, list_message, &lister, err);
    link_text_free(&lister.text);
    return status;
}

/* A missing symbol table name gives NOT_FOUND at once; link messages are listed. */
static basalt_status find_link(struct bs_h5_file *h5, const struct bs_h5_header *header,
    const char *name, struct bs_h5_found *out_found, basalt_error *err)
{
    struct bs_h5_group_form form;
    struct search search = {name, out_found, false};

    memset(out_found, 0, sizeof *out_found);
    basalt_status status = bs_h5_group_form_decode(h5, header, &form, err);
    if (status) return status;
    if (form.tree != BS_H5_UNDEFINED) {
        status = bs_h5_symbol_table_find(h5, &form, name, out_found, err);
        if (status != BASALT_NOT_FOUND) return status;
        form.tree = BS_H5_UNDEFINED;
    }
    status = find_dense(h5, &form, &search, err);
    form.dense_heap = BS_H5_UNDEFINED;
    if (!status && !search.hit) status = each_link(h5, header, &form, match, &search, err);
    if (status) {
        bs_free(out_found->target);
        out_found->target = NULL;
        return status;
    }
    return search.hit ? BASALT_OK : no_such(err, name);
}

/* ---- paths ------------------------------------------------------------------------------------ */

struct walk { /* `h5` changes where an external link is followed */
    struct bs_h5_file *h5;
    struct bs_h5_opened opened; /* the file that `h5` is, unless it is the caller's */
    unsigned links_left, parts_left;
};

static basalt_status follow(
    struct walk *walk, uint64_t from, const char *path, uint64_t *out_address, basalt_error *err);

/* `target` is "file:path", split at the colon that `path_at` says. */
static basalt_status follow_external(struct walk *walk, const char *name,
    const struct bs_h5_found *found, uint64_t *out_address, basalt_error *err)
{
    struct bs_h5_opened opened;
    char *file = bs_copy_string(found->target);

    if (!file) return bs_fail_memory(err, strlen(found->target) + 1);
    file[found->path_at - 1] = 0;
    basalt_status status = bs_h5_other_take(walk->h5, file, false, &opened, err);
    if (!status) {
        bs_h5_other_give(walk->h5, &walk->opened);
        walk->opened = opened;
        walk->h5 = opened.h5;
        status = follow(
            walk, walk->h5->superblock.root, found->target + found->path_at, out_address, err);
    }
    if (status) bs_error_prefix(err, "the link \"%.60s\"", name);
    bs_free(file);
    return status;
}

static basalt_status follow_link(
    struct walk *walk, uint64_t group, const char *name, uint64_t *out_address, basalt_error *err)
{
    struct bs_h5_header *header = NULL;
    struct bs_h5_found found = {0};

    *out_address = BS_H5_UNDEFINED;
    basalt_status status = bs_h5_header_load(walk->h5, group, &header, err);
    if (status) return status;
    BS_TRY(find_link(walk->h5, header, name, &found, err));
    if (found.kind == BS_H5_LINK_HARD) {
        *out_address = found.address;
    } else if (found.kind == BS_H5_LINK_USER) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "\"%.60s\" is a user-defined link (%.20s): where it leads, only its maker knows", name,
            found.target);
    } else if (!walk->links_left--) {
        walk->links_left = 0;
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "over %d soft and external links lie on one path, the last is \"%.60s\": a cycle?",
            LINKS_MAX, name);
    } else if (found.kind == BS_H5_LINK_EXTERNAL) {
        status = follow_external(walk, name, &found, out_address, err);
    } else {
        status = follow(walk, group, found.target, out_address, err);
    }
out:
    bs_free(found.target);
    bs_h5_header_free(header);
    return status;
}

static basalt_status follow(
    struct walk *walk, uint64_t from, const char *path, uint64_t *out_address, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    uint64_t address = *path == '/' ? walk->h5->superblock.root : from;
    char *name = bs_alloc(strlen(path) + 1);

    *out_address = BS_H5_UNDEFINED;
    if (!name) return bs_fail_memory(err, strlen(path) + 1);
    while (!status) {
        path += strspn(path, "/");
        const size_t count = strcspn(path, "/");
        if (!count) break;
        memcpy(name, path, count);
        name[count] = 0;
        path += count;
        if (!strcmp(name, ".")) continue;
        if (!walk->parts_left--) {
            walk->parts_left = 0;
            status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "a path has over %d parts",
                PATH_PARTS_MAX);
        } else {
            const uint64_t group = address;
            status = follow_link(walk, group, name, &address, err);
        }
    }
    if (!status) *out_address = address;
    bs_free(name);
    return status;
}

basalt_status bs_h5_group_find(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *name, uint64_t *out_address, basalt_error *err)
{
    struct walk walk = {.h5 = group->h5, .links_left = LINKS_MAX, .parts_left = PATH_PARTS_MAX};
    basalt_status status = follow_link(&walk, group->header->address, name, out_address, err);

    (void)h5;
    if (!status && walk.h5 != group->h5)
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "\"%.60s\" is in another file, \"%.100s\": it has no address in this one", name,
            walk.h5->file->path);
    if (status) *out_address = BS_H5_UNDEFINED;
    bs_h5_other_give(group->h5, &walk.opened);
    return status;
}

static basalt_status open_path(struct bs_h5_file *h5, uint64_t from, const char *path,
    struct bs_h5_virtual *parent, struct bs_h5_object **out_object, basalt_error *err)
{
    struct walk walk = {.h5 = h5, .links_left = LINKS_MAX, .parts_left = PATH_PARTS_MAX};
    uint64_t address = 0;

    *out_object = NULL;
    basalt_status status = follow(&walk, from, path, &address, err);
    if (!status) status = bs_h5_object_open_at(walk.h5, address, parent, out_object, err);
    if (status)
        bs_h5_other_give(h5, &walk.opened);
    else
        (*out_object)->opened = walk.opened;
    return status;
}

basalt_status bs_h5_object_open_path(
    struct bs_h5_file *h5, const char *path, struct bs_h5_object **out_object, basalt_error *err)
{
    return open_path(h5, h5->superblock.root, path, NULL, out_object, err);
}

basalt_status bs_h5_object_open_under(struct bs_h5_file *h5, const char *path,
    struct bs_h5_virtual *parent, struct bs_h5_object **out_object, basalt_error *err)
{
    return open_path(h5, h5->superblock.root, path, parent, out_object, err);
}

basalt_status bs_h5_object_open_from(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *path, struct bs_h5_object **out_object, basalt_error *err)
{
    struct bs_h5_object *object = NULL;

    (void)h5;
    *out_object = NULL;
    basalt_status status = open_path(group->h5, group->header->address, path, NULL, &object, err);
    if (status) return status;
    if (!object->opened.id && group->opened.id) /* it lies in the group's file, which must stay */
        bs_h5_other_use(group->h5, &group->opened, &object->opened);
    *out_object = object;
    return BASALT_OK;
}
