/* family_links.c - where the columns of a family lie.
 *
 * Each way from a group to one of its members reads the group anew. Who wants many columns lists the
 * group once instead, and finds them in the list. What the list cannot tell (another kind of link,
 * another file) is gone the ordinary way. */
#include "store/store_internal.h"

#include <stdlib.h>

#define LISTED_MIN ((size_t)8) /* columns; fewer are sought one by one */

struct bs_link_at {
    char *name;
    uint64_t address;
};

static void list_clear(struct bs_link_list *list)
{
    for (size_t i = 0; i < list->count; i++) bs_free(list->links[i].name);
    bs_free(list->links);
    *list = (struct bs_link_list){0};
}

static basalt_status note_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct bs_link_list *list = context;
    if (link->kind != BS_H5_LINK_HARD) return BASALT_OK;
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? list->capacity * 2 : 64;
        void *grown = bs_realloc(list->links, capacity * sizeof *list->links);
        if (!grown) return bs_fail_memory(err, capacity * sizeof *list->links);
        list->links = grown;
        list->capacity = capacity;
    }
    const size_t bytes = strlen(link->name) + 1;
    char *name = bs_alloc(bytes);
    if (!name) return bs_fail_memory(err, bytes);
    memcpy(name, link->name, bytes);
    list->links[list->count++] = (struct bs_link_at){name, link->address};
    return BASALT_OK;
}

static int compare_links(const void *left, const void *right)
{
    const struct bs_link_at *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static basalt_status list_group(struct bs_h5_file *h5, const struct bs_h5_object *group,
    struct bs_link_list *list, basalt_error *err)
{
    if (bs_h5_object_file(group) != h5) return BASALT_OK;
    const basalt_status status = bs_h5_group_each(h5, group, note_link, list, err);
    if (!status && list->count) {
        qsort(list->links, list->count, sizeof *list->links, compare_links);
    }
    return status;
}

static const struct bs_link_at *list_find(const struct bs_link_list *list, const char *name)
{
    struct bs_link_at wanted = {.address = 0};
    wanted.name = (char *)(uintptr_t)name; /* compared only */
    if (!list->count) return NULL;
    return bsearch(&wanted, list->links, list->count, sizeof *list->links, compare_links);
}

basalt_status bs_family_links_open(struct bs_h5_file *h5, const struct bs_family *family,
    size_t columns, struct bs_family_links *out_links, basalt_error *err)
{
    char *path = NULL;
    const struct bs_link_at *hidden = NULL;
    *out_links = (struct bs_family_links){.h5 = h5};
    basalt_status status = bs_family_path(family->name, NULL, &path, err);
    if (status) return status;
    BS_TRY(bs_h5_object_open_path(h5, path, &out_links->group, err));
    if (columns < LISTED_MIN) goto out;
    BS_TRY(list_group(h5, out_links->group, &out_links->columns, err));
    hidden = list_find(&out_links->columns, ".basalt");
    if (!hidden) goto out;
    BS_TRY(bs_h5_object_open(h5, hidden->address, &out_links->hidden, err));
    BS_TRY(list_group(h5, out_links->hidden, &out_links->validities, err));
out:
    bs_free(path);
    if (status) bs_family_links_close(out_links);
    return status;
}

void bs_family_links_close(struct bs_family_links *links)
{
    list_clear(&links->columns);
    list_clear(&links->validities);
    bs_h5_object_close(links->hidden);
    bs_h5_object_close(links->group);
    *links = (struct bs_family_links){0};
}

static basalt_status open_listed(const struct bs_family_links *links,
    const struct bs_link_list *list, const struct bs_h5_object *group, const char *name,
    struct bs_h5_object **out_object, basalt_error *err)
{
    const struct bs_link_at *at = list_find(list, name);
    if (at) return bs_h5_object_open(links->h5, at->address, out_object, err);
    return bs_h5_object_open_from(links->h5, group, name, out_object, err);
}

static basalt_status open_part(const struct bs_family_links *links, const char *link,
    const char *part, struct bs_h5_object **out_object, basalt_error *err)
{
    const struct bs_link_at *at = list_find(&links->columns, link);
    struct bs_h5_object *pair = NULL;
    struct bs_bytes path = {0};
    basalt_status status = BASALT_OK;
    if (at) {
        BS_TRY(bs_h5_object_open(links->h5, at->address, &pair, err));
        BS_TRY(bs_h5_object_open_from(links->h5, pair, part, out_object, err));
        goto out;
    }
    bs_bytes_text(&path, "%s/%s", link, part);
    bs_bytes_u8(&path, 0);
    BS_TRY(bs_bytes_check(&path, err));
    BS_TRY(
        bs_h5_object_open_from(links->h5, links->group, (const char *)path.data, out_object, err));
out:
    bs_bytes_free(&path);
    bs_h5_object_close(pair);
    return status;
}

basalt_status bs_family_links_column(const struct bs_family_links *links, const char *link,
    const char *part, struct bs_h5_object **out_object, basalt_error *err)
{
    if (part) return open_part(links, link, part, out_object, err);
    return open_listed(links, &links->columns, links->group, link, out_object, err);
}

basalt_status bs_family_links_validity(const struct bs_family_links *links, const char *link,
    struct bs_h5_object **out_object, basalt_error *err)
{
    struct bs_bytes name = {0};
    basalt_status status = BASALT_OK;
    bs_bytes_text(&name, "%svalidity:%s", links->hidden ? "" : ".basalt/", link);
    bs_bytes_u8(&name, 0);
    BS_TRY(bs_bytes_check(&name, err));
    BS_TRY(open_listed(links, &links->validities, links->hidden ? links->hidden : links->group,
        (const char *)name.data, out_object, err));
out:
    bs_bytes_free(&name);
    return status;
}
