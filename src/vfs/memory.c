/* memory.c - a file system that lives in this process and dies with it.
 *
 * A tree of nodes. A node is kept alive by counted references: one from its directory, one from
 * every open file, so a removed file stays readable until it is closed, as on a disk. Failures are
 * those of a POSIX system asked by an ordinary user, permission bits included: what is refused on a
 * disk is refused here.
 *
 * LOCKS
 *   vfs->lock    the tree: names, parents, links, references
 *   node->lock   one file's bytes, size, mode, time, byte-range locks and sharers
 * Order: vfs->lock before node->lock. No callback runs under either. */
#include "vfs/memory_internal.h"

#include <errno.h>

#define NAME_BYTES_MAX ((size_t)255)
#define DEFAULT_MODE ((uint32_t)0644)
#define WRITE_PERMISSION ((uint32_t)0222)
#define READ_PERMISSION ((uint32_t)0444)

static basalt_status fail_path(int reason, const char *what, const char *path, basalt_error *err)
{
    return bs_fail_os(err, reason, BASALT_NO_OFFSET, "cannot %s " SHOWN, what, path);
}

/* ---- nodes ------------------------------------------------------------------------------------- */

static void node_free(struct bs_memory_node *node)
{
    assert(!node->lent && !node->sharers && !node->lock_count);
    bs_mutex_destroy(&node->lock);
    bs_free(node->locks);
    bs_free(node->bytes);
    bs_free(node->name);
    bs_free(node);
}

/* Under vfs->lock. */
void bs_memory_node_release(struct bs_memory_node *node)
{
    assert(node->references > 0);
    if (--node->references == 0) node_free(node);
}

/* Under vfs->lock, or before the file system is shared. Refers to nothing yet; one reference. */
static struct bs_memory_node *node_new(
    struct bs_memory_vfs *self, const char *name, size_t name_bytes, bool directory)
{
    struct bs_memory_node *node = bs_alloc_zeroed(1, sizeof *node);
    if (!node) return NULL;
    if (name) {
        node->name = bs_alloc(name_bytes + 1);
        if (!node->name) {
            bs_free(node);
            return NULL;
        }
        memcpy(node->name, name, name_bytes);
        node->name[name_bytes] = '\0';
    }
    bs_mutex_init(&node->lock);
    node->references = 1;
    node->inode = self->next_inode++;
    node->directory = directory;
    node->mode = directory ? 0755 : DEFAULT_MODE;
    node->modified_ns = bs_wall_ns();
    return node;
}

static void node_link(struct bs_memory_node *parent, struct bs_memory_node *node)
{
    node->parent = parent;
    node->sibling = parent->children;
    parent->children = node;
}

static void node_unlink(struct bs_memory_node *node)
{
    struct bs_memory_node **at = &node->parent->children;
    while (*at != node) at = &(*at)->sibling;
    *at = node->sibling;
    node->sibling = NULL;
    node->parent = NULL;
}

/* ---- paths ------------------------------------------------------------------------------------- */

/* Where a path leads. `node` is NULL if the last name is absent in `directory`. */
struct place {
    struct bs_memory_node *directory; /* NULL if the path names the root, or ends in "." or ".." */
    struct bs_memory_node *node;
    const char *name;
    size_t name_bytes;
};

static struct bs_memory_node *child_of(
    const struct bs_memory_node *directory, const char *name, size_t name_bytes)
{
    struct bs_memory_node *child = directory->children;
    while (child && (strlen(child->name) != name_bytes || memcmp(child->name, name, name_bytes))) {
        child = child->sibling;
    }
    return child;
}

static bool is_dots(const char *name, size_t name_bytes)
{
    return name_bytes <= 2 && !memcmp(name, "..", name_bytes);
}

/* Under vfs->lock. Returns 0 or the reason as an errno value. */
static int place_find(const struct bs_memory_vfs *self, const char *path, struct place *out_place)
{
    struct place at = {.node = self->root};
    if (!path[0]) return ENOENT;
    for (;;) {
        while (*path == '/') path++;
        if (!*path) break;
        const size_t name_bytes = strcspn(path, "/");
        if (!at.node) return ENOENT;
        if (!at.node->directory) return ENOTDIR;
        if (name_bytes > NAME_BYTES_MAX) return ENAMETOOLONG;
        if (is_dots(path, name_bytes)) {
            struct bs_memory_node *up = name_bytes == 2 ? at.node->parent : at.node;
            at = (struct place){.node = up ? up : self->root};
        } else {
            at = (struct place){.directory = at.node,
                .node = child_of(at.node, path, name_bytes),
                .name = path,
                .name_bytes = name_bytes};
        }
        path += name_bytes;
    }
    *out_place = at;
    return 0;
}

/* As place_find, for a node that must be there. */
static int place_find_node(
    const struct bs_memory_vfs *self, const char *path, struct place *out_place)
{
    const int reason = place_find(self, path, out_place);
    if (reason) return reason;
    return out_place->node ? 0 : ENOENT;
}

/* ---- the file system --------------------------------------------------------------------------- */

/* Under vfs->lock: no file is open any more, so every node has one reference, its directory's. */
static void free_tree(struct bs_memory_node *node)
{
    while (node->children) {
        struct bs_memory_node *child = node->children;
        node->children = child->sibling;
        if (child->children) { /* moved up instead of recursing: depth costs no stack */
            struct bs_memory_node *last = child->children;
            while (last->sibling) last = last->sibling;
            last->sibling = node->children;
            node->children = child->children;
            child->children = NULL;
        }
        assert(child->references == 1);
        node_free(child);
    }
    node_free(node);
}

static void memory_free(struct bs_vfs *vfs)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(vfs);
    if (self->root) free_tree(self->root);
    bs_mutex_destroy(&self->lock);
    bs_free(self);
}

/* Under vfs->lock: the file that an open of `path` means, made if asked for. */
static int find_or_create(
    struct bs_memory_vfs *self, const char *path, unsigned flags, struct bs_memory_node **out_node)
{
    struct place place;
    const bool create = (flags & BS_OPEN_CREATE) != 0;
    int reason = place_find(self, path, &place);
    if (reason) return reason;
    if (place.node && create && (flags & BS_OPEN_EXCLUSIVE)) return EEXIST;
    if (!place.node && (!create || place.name[place.name_bytes] == '/')) {
        return create ? EISDIR : ENOENT;
    }
    if (!place.node) {
        place.node = node_new(self, place.name, place.name_bytes, false);
        if (!place.node) return ENOMEM;
        node_link(place.directory, place.node);
        *out_node = place.node;
        return 0;
    }
    if (place.node->directory) return EISDIR;
    bs_mutex_lock(&place.node->lock);
    const uint32_t mode = place.node->mode;
    bs_mutex_unlock(&place.node->lock);
    if (!(mode & READ_PERMISSION)) reason = EACCES;
    if ((flags & BS_OPEN_WRITE) && !(mode & WRITE_PERMISSION)) reason = EACCES;
    *out_node = place.node;
    return reason;
}

static basalt_status memory_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(vfs);
    struct bs_memory_node *node = NULL;

    *out_file = NULL;
    struct bs_memory_file *file = bs_alloc_zeroed(1, sizeof *file);
    char *copy = bs_copy_string(path);
    if (!file || !copy) {
        bs_free(file);
        bs_free(copy);
        return bs_fail_memory(err, sizeof *file + strlen(path) + 1);
    }
    bs_mutex_lock(&self->lock);
    const int reason = find_or_create(self, path, flags, &node);
    if (!reason) node->references++;
    bs_mutex_unlock(&self->lock);
    if (reason) {
        bs_free(file);
        bs_free(copy);
        return bs_vfs_fail_open(reason, flags, path, err);
    }
    *file = (struct bs_memory_file){.file = {&bs_memory_file_ops, vfs, copy},
        .node = node,
        .writable = (flags & BS_OPEN_WRITE) != 0};
    if (flags & BS_OPEN_TRUNCATE) {
        const basalt_status status = file->file.ops->set_size(&file->file, 0, err);
        if (status) {
            bs_file_close(&file->file);
            return status;
        }
    }
    *out_file = &file->file;
    return BASALT_OK;
}

void bs_memory_info_of(
    const struct bs_memory_vfs *self, struct bs_memory_node *node, struct bs_file_info *out_info)
{
    bs_mutex_lock(&node->lock);
    *out_info = (struct bs_file_info){.size_bytes = node->size,
        .device = self->device,
        .inode = node->inode,
        .links = node->parent || node == self->root ? 1 : 0,
        .modified_ns = node->modified_ns,
        .mode = node->mode,
        .directory = node->directory,
        .owned = true};
    bs_mutex_unlock(&node->lock);
}

static basalt_status memory_info(
    struct bs_vfs *vfs, const char *path, struct bs_file_info *out_info, basalt_error *err)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(vfs);
    struct place place;
    *out_info = (struct bs_file_info){0};
    bs_mutex_lock(&self->lock);
    const int reason = place_find_node(self, path, &place);
    if (!reason) bs_memory_info_of(self, place.node, out_info);
    bs_mutex_unlock(&self->lock);
    return reason ? fail_path(reason, "inspect", path, err) : BASALT_OK;
}

static basalt_status memory_remove(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(vfs);
    struct place place;
    bs_mutex_lock(&self->lock);
    int reason = place_find_node(self, path, &place);
    if (!reason && !place.directory) reason = EBUSY; /* the root, or a path that ends in a dot */
    if (!reason && place.node->children) reason = ENOTEMPTY;
    if (!reason) {
        node_unlink(place.node);
        bs_memory_node_release(place.node);
    }
    bs_mutex_unlock(&self->lock);
    return reason ? fail_path(reason, "remove", path, err) : BASALT_OK;
}

static bool is_within(const struct bs_memory_node *node, const struct bs_memory_node *ancestor)
{
    while (node && node != ancestor) node = node->parent;
    return node != NULL;
}

/* Under vfs->lock: may `from` take the place `to`? 0 or the reason. */
static int check_rename(const struct place *from, const struct place *to, bool replace)
{
    if (!from->directory || !to->directory) return EBUSY;
    if (is_within(to->directory, from->node)) return EINVAL;
    if (!to->node) return 0;
    if (!replace) return EEXIST;
    if (to->node == from->node) return 0;
    if (from->node->directory && !to->node->directory) return ENOTDIR;
    if (!from->node->directory && to->node->directory) return EISDIR;
    return to->node->children ? ENOTEMPTY : 0;
}

static basalt_status memory_rename(
    struct bs_vfs *vfs, const char *from, const char *to, bool replace, basalt_error *err)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(vfs);
    struct place source, target;
    const char *name = bs_path_name(to);
    char *copy = bs_copy_string(name);
    if (!copy) return bs_fail_memory(err, strlen(name) + 1);

    bs_mutex_lock(&self->lock);
    int reason = place_find_node(self, from, &source);
    if (!reason) reason = place_find(self, to, &target);
    if (!reason) reason = check_rename(&source, &target, replace);
    /* A trailing slash asks for a directory; the copy of the name above is then empty. */
    if (!reason && !name[0]) reason = ENOTDIR;
    if (!reason && target.node != source.node) {
        if (target.node) {
            node_unlink(target.node);
            bs_memory_node_release(target.node);
        }
        node_unlink(source.node);
        bs_free(source.node->name);
        source.node->name = copy;
        copy = NULL;
        node_link(target.directory, source.node);
    }
    bs_mutex_unlock(&self->lock);
    bs_free(copy);
    if (!reason) return BASALT_OK;
    return bs_fail_os(
        err, reason, BASALT_NO_OFFSET, "cannot rename \"%.70s\" to \"%.70s\"", from, to);
}

static basalt_status memory_make_directory(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(vfs);
    struct place place;
    bs_mutex_lock(&self->lock);
    int reason = place_find(self, path, &place);
    if (!reason && place.node) reason = EEXIST;
    if (!reason) {
        struct bs_memory_node *node = node_new(self, place.name, place.name_bytes, true);
        if (node) node_link(place.directory, node);
        if (!node) reason = ENOMEM;
    }
    bs_mutex_unlock(&self->lock);
    return reason ? fail_path(reason, "make the directory", path, err) : BASALT_OK;
}

/* The names, each with its NUL, as they are at this moment. */
static basalt_status collect_names(
    struct bs_memory_vfs *self, const char *directory, struct bs_bytes *names, basalt_error *err)
{
    struct place place;
    bs_mutex_lock(&self->lock);
    int reason = place_find_node(self, directory, &place);
    if (!reason && !place.node->directory) reason = ENOTDIR;
    if (!reason) {
        for (const struct bs_memory_node *child = place.node->children; child;
             child = child->sibling) {
            bs_bytes_put(names, child->name, strlen(child->name) + 1);
        }
    }
    bs_mutex_unlock(&self->lock);
    return reason ? fail_path(reason, "list", directory, err) : bs_bytes_check(names, err);
}

static basalt_status memory_list(struct bs_vfs *vfs, const char *directory,
    basalt_status (*each)(void *context, const char *name, basalt_error *err), void *context,
    basalt_error *err)
{
    struct bs_bytes names = {0};
    basalt_status status = collect_names(bs_memory_vfs_of(vfs), directory, &names, err);
    for (size_t at = 0; !status && at < names.count;) {
        const char *name = (const char *)names.data + at;
        at += strlen(name) + 1;
        status = each(context, name, err);
    }
    bs_bytes_free(&names);
    return status;
}

static basalt_status memory_sync_directory(
    struct bs_vfs *vfs, const char *directory, basalt_error *err)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(vfs);
    struct place place;
    bs_mutex_lock(&self->lock);
    int reason = place_find_node(self, directory, &place);
    if (!reason && !place.node->directory) reason = ENOTDIR;
    bs_mutex_unlock(&self->lock);
    return reason ? fail_path(reason, "sync the directory", directory, err) : BASALT_OK;
}

/* Under vfs->lock. Room for the path of `node`, a slash and `name_bytes` more; *out_at is where
 * the name goes. NULL if memory is short. */
static char *path_of(const struct bs_memory_node *node, size_t name_bytes, size_t *out_at)
{
    size_t count = 0;
    for (const struct bs_memory_node *at = node; at->name; at = at->parent)
        count += strlen(at->name) + 1;
    char *path = bs_alloc(count + name_bytes + 2);
    if (!path) return NULL;
    *out_at = count;
    path[count] = '\0';
    for (const struct bs_memory_node *at = node; at->name; at = at->parent) {
        const size_t part = strlen(at->name);
        count -= part + 1;
        path[count] = '/';
        memcpy(path + count + 1, at->name, part);
    }
    return path;
}

static basalt_status memory_real_path(
    struct bs_vfs *vfs, const char *path, char **out_path, basalt_error *err)
{
    struct bs_memory_vfs *self = bs_memory_vfs_of(vfs);
    struct place place;
    *out_path = NULL;
    bs_mutex_lock(&self->lock);
    int reason = place_find(self, path, &place);
    if (!reason) {
        const size_t name_bytes = place.directory ? place.name_bytes : 0;
        size_t at = 0;
        char *found = path_of(place.directory ? place.directory : place.node, name_bytes, &at);
        if (found && (name_bytes || !at)) {
            found[at] = '/';
            memcpy(found + at + 1, place.name ? place.name : "", name_bytes);
            found[at + 1 + name_bytes] = '\0';
        }
        if (!found) reason = ENOMEM;
        *out_path = found;
    }
    bs_mutex_unlock(&self->lock);
    return reason ? fail_path(reason, "find", path, err) : BASALT_OK;
}

static uint64_t memory_free_bytes(struct bs_vfs *vfs, const char *directory)
{
    (void)vfs;
    (void)directory;
    return UINT64_MAX;
}

static const struct bs_vfs_ops memory_ops = {
    .free = memory_free,
    .open = memory_open,
    .info = memory_info,
    .remove = memory_remove,
    .rename = memory_rename,
    .make_directory = memory_make_directory,
    .list = memory_list,
    .sync_directory = memory_sync_directory,
    .real_path = memory_real_path,
    .free_bytes = memory_free_bytes,
};

basalt_status bs_vfs_memory_create(struct bs_vfs **out_vfs, basalt_error *err)
{
    *out_vfs = NULL;
    struct bs_memory_vfs *self = bs_alloc_zeroed(1, sizeof *self);
    if (!self) return bs_fail_memory(err, sizeof *self);
    self->vfs.ops = &memory_ops;
    self->vfs.traits = (struct bs_vfs_traits){.locks = true, .log_memory = true};
    bs_mutex_init(&self->lock);
    bs_random_bytes(&self->device, sizeof self->device);
    self->next_inode = 1;
    self->root = node_new(self, NULL, 0, true);
    if (!self->root) {
        memory_free(&self->vfs);
        return bs_fail_memory(err, sizeof *self->root);
    }
    *out_vfs = &self->vfs;
    return BASALT_OK;
}
