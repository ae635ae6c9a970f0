/* walk_corpus.c - prints every object of an HDF5 file with a sum of its values, for walk_corpus.py to
 * compare with what h5py reads.
 *
 *   walk_corpus FILE
 *
 * One line an object or attribute, fields split by tabs:
 *   G path | T path | D path size dims sum | A path name size dims sum | E path status message
 *   L path kind target | DL path size dims sum: the dataset that a soft or external link leads to
 *   W sentence: a warning about the file | V sentence: what a deep check found
 * A sum is the CRC-32 of the elements as they lie in the file; of variable-length ones, of the length
 * (4 bytes, little-endian) and the bytes of each; where others are inside, of their number and each of
 * them in turn. The size of what holds variable-length ones is told as 0. */
#include "h5/h5.h"

#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 64
#define BATCH_BYTES ((uint64_t)1 << 20)
#define DATASET_BYTES_MAX ((uint64_t)512 << 20)

struct walk {
    struct bs_h5_file *h5;
    unsigned depth;
    char path[1 << 20];
    uint64_t seen[65536];
    size_t seen_count;
};

/* ---- sums ------------------------------------------------------------------------------------- */

static bool holds_variable(const struct bs_h5_type *type)
{
    if (type->kind == BS_H5_VARIABLE) return true;
    if (type->kind == BS_H5_ARRAY) return holds_variable(type->base);
    for (size_t i = 0; type->kind == BS_H5_COMPOUND && i < type->member_count; i++)
        if (holds_variable(type->members[i].type)) return true;
    return false;
}

static void add_bytes(uint32_t *sum, const void *bytes, size_t count)
{
    if (count) *sum = (uint32_t)libdeflate_crc32(*sum, bytes, count);
}

static void add_count(uint32_t *sum, uint64_t count)
{
    uint8_t bytes[4];
    bs_store_u32(bytes, (uint32_t)count);
    add_bytes(sum, bytes, sizeof bytes);
}

struct summer {
    struct bs_h5_file *h5;
    const struct bs_h5_type *type;
    uint32_t *sum;
};

static basalt_status add_elements(struct bs_h5_file *h5, const struct bs_h5_type *type,
    const void *elements, uint64_t count, uint32_t *sum, basalt_error *err);

static basalt_status add_resolved(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    const struct summer *summer = context;
    const struct bs_h5_type *base = summer->type->base;

    (void)index;
    if (summer->type->variable_string) {
        const char *end = count ? memchr(bytes, 0, count) : NULL;
        if (end) count = (size_t)(end - (const char *)bytes);
    } else if (holds_variable(base)) {
        /* The memory is the heap's, which another resolution may move. */
        void *copy = malloc(count + 1);
        if (!copy) return bs_fail_memory(err, count);
        if (count) memcpy(copy, bytes, count);
        add_count(summer->sum, count / base->size_bytes);
        const basalt_status status =
            add_elements(summer->h5, base, copy, count / base->size_bytes, summer->sum, err);
        free(copy);
        return status;
    }
    add_count(summer->sum, count);
    add_bytes(summer->sum, bytes, count);
    return BASALT_OK;
}

static basalt_status add_element(struct bs_h5_file *h5, const struct bs_h5_type *type,
    const uint8_t *element, uint32_t *sum, basalt_error *err)
{
    struct summer summer = {h5, type, sum};
    basalt_status status = BASALT_OK;

    if (type->kind == BS_H5_VARIABLE)
        return bs_h5_resolve(h5, type, element, 1, add_resolved, &summer, err);
    if (type->kind == BS_H5_ARRAY)
        return add_elements(
            h5, type->base, element, type->size_bytes / type->base->size_bytes, sum, err);
    for (size_t i = 0; !status && i < type->member_count; i++)
        status =
            add_elements(h5, type->members[i].type, element + type->members[i].offset, 1, sum, err);
    return status;
}

static basalt_status add_elements(struct bs_h5_file *h5, const struct bs_h5_type *type,
    const void *elements, uint64_t count, uint32_t *sum, basalt_error *err)
{
    struct summer summer = {h5, type, sum};
    basalt_status status = BASALT_OK;

    if (!holds_variable(type)) {
        add_bytes(sum, elements, (size_t)(count * type->size_bytes));
        return BASALT_OK;
    }
    if (type->kind == BS_H5_VARIABLE)
        return bs_h5_resolve(h5, type, elements, count, add_resolved, &summer, err);
    for (uint64_t i = 0; !status && i < count; i++)
        status = add_element(h5, type, (const uint8_t *)elements + i * type->size_bytes, sum, err);
    return status;
}

/* ---- lines ------------------------------------------------------------------------------------ */

static void print_shape(const struct bs_h5_type *type, const struct bs_h5_space *space)
{
    printf("\t%" PRIu32 "\t", holds_variable(type) ? 0 : type->size_bytes);
    if (space->null)
        printf("null");
    else if (!space->rank)
        printf("scalar");
    for (unsigned i = 0; i < space->rank; i++) printf("%s%" PRIu64, i ? "," : "", space->dims[i]);
}

static void print_failure(const char *path, const char *name, const basalt_error *fault)
{
    printf("E\t%s%s%s\t%s\t%s\n", path, name ? "@" : "", name ? name : "",
        basalt_status_name(fault->status), fault->message);
}

static basalt_status sum_rows(
    struct walk *walk, const struct bs_h5_object *object, uint32_t *sum, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    uint64_t row_bytes = 0, rows = dataset->space.rank ? dataset->space.dims[0] : 1;
    basalt_status status = bs_h5_row_bytes(object, &row_bytes, err);

    if (status) return status;
    if (dataset->space.null || !row_bytes) rows = 0;
    if (rows && row_bytes > DATASET_BYTES_MAX / rows)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "too large for this program");
    const uint64_t batch = BS_MAX((uint64_t)1, BATCH_BYTES / (row_bytes ? row_bytes : 1));
    void *memory = malloc(BS_MAX((size_t)1, (size_t)(BS_MIN(batch, rows) * row_bytes)));
    if (!memory) return bs_fail_memory(err, 0);
    for (uint64_t at = 0; !status && at < rows; at += batch) {
        const uint64_t now = BS_MIN(batch, rows - at);
        status = bs_h5_read(walk->h5, object, at, now, memory, err);
        if (!status)
            status = add_elements(bs_h5_object_file(object), dataset->type, memory,
                now * (row_bytes / dataset->type->size_bytes), sum, err);
    }
    free(memory);
    return status;
}

static void print_dataset(struct walk *walk, const struct bs_h5_object *object, const char *tag)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    uint32_t sum = 0;
    basalt_error fault = {0};

    if (sum_rows(walk, object, &sum, &fault)) {
        print_failure(walk->path, NULL, &fault);
        return;
    }
    printf("%s\t%s", tag, walk->path);
    print_shape(dataset->type, &dataset->space);
    printf("\t%08" PRIx32 "\n", sum);
}

static void print_attributes(struct walk *walk, const struct bs_h5_object *object)
{
    for (size_t i = 0; i < bs_h5_attribute_count(object); i++) {
        const struct bs_h5_attribute *attribute = bs_h5_attribute_at(object, i);
        uint32_t sum = 0;
        basalt_error fault = {0};
        if (add_elements(walk->h5, attribute->type, attribute->bytes,
                attribute->byte_count / attribute->type->size_bytes, &sum, &fault)) {
            print_failure(walk->path, attribute->name, &fault);
            continue;
        }
        printf("A\t%s\t%s", walk->path, attribute->name);
        print_shape(attribute->type, &attribute->space);
        printf("\t%08" PRIx32 "\n", sum);
    }
}

static void print_object(struct walk *walk, uint64_t address);

/* The dataset that a link leads to, in this file or another. */
static void print_target(
    struct walk *walk, const struct bs_h5_object *group, const struct bs_h5_link *link)
{
    static const char *const kinds[] = {"hard", "soft", "external", "user"};
    struct bs_h5_object *object = NULL;
    basalt_error fault = {0};

    printf("L\t%s\t%s\t%s\n", walk->path, kinds[link->kind], link->target);
    if (link->kind == BS_H5_LINK_USER) return;
    const basalt_status status =
        bs_h5_object_open_from(walk->h5, group, link->name, &object, &fault);
    if (status && status != BASALT_NOT_FOUND && status != BASALT_TOO_LARGE)
        print_failure(walk->path, NULL, &fault);
    if (!status && bs_h5_object_kind(object) == BS_H5_DATASET) print_dataset(walk, object, "DL");
    bs_h5_object_close(object);
}

struct listing {
    struct walk *walk;
    const struct bs_h5_object *group;
};

static basalt_status each_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    const struct listing *listing = context;
    struct walk *walk = listing->walk;
    const size_t before = strlen(walk->path);

    (void)err;
    if (walk->depth >= DEPTH_MAX || before + strlen(link->name) + 2 > sizeof walk->path) {
        printf("V\t%s: what is below is too deep for this program\n", walk->path);
        return BASALT_OK;
    }
    snprintf(
        walk->path + before, sizeof walk->path - before, "%s%s", before > 1 ? "/" : "", link->name);
    walk->depth++;
    if (link->kind == BS_H5_LINK_HARD)
        print_object(walk, link->address);
    else
        print_target(walk, listing->group, link);
    walk->depth--;
    walk->path[before] = 0;
    return BASALT_OK;
}

static bool seen_before(struct walk *walk, uint64_t address)
{
    for (size_t i = 0; i < walk->seen_count; i++)
        if (walk->seen[i] == address) return true;
    if (walk->seen_count == BS_ARRAY_LENGTH(walk->seen)) {
        printf("V\t%s: the file has too many objects for this program\n", walk->path);
        return true;
    }
    walk->seen[walk->seen_count++] = address;
    return false;
}

static void print_object(struct walk *walk, uint64_t address)
{
    struct bs_h5_object *object = NULL;
    basalt_error fault = {0};

    if (seen_before(walk, address)) return;
    if (bs_h5_object_open(walk->h5, address, &object, &fault)) {
        print_failure(walk->path, NULL, &fault);
        return;
    }
    switch (bs_h5_object_kind(object)) {
    case BS_H5_GROUP:
        printf("G\t%s\n", walk->path);
        print_attributes(walk, object);
        if (bs_h5_group_each(walk->h5, object, each_link, &(struct listing){walk, object}, &fault))
            print_failure(walk->path, NULL, &fault);
        break;
    case BS_H5_DATASET:
        print_dataset(walk, object, "D");
        print_attributes(walk, object);
        break;
    case BS_H5_COMMITTED_TYPE:
        printf("T\t%s\n", walk->path);
        print_attributes(walk, object);
        break;
    }
    bs_h5_object_close(object);
}

static void print_sentence(void *context, bool fault, const char *sentence)
{
    (void)context;
    if (fault) printf("V\t%s\n", sentence); /* what is not built in, the datasets say */
}

int main(int argc, char **argv)
{
    static struct walk walk = {.path = "/"};
    struct bs_vfs *vfs = NULL;
    struct bs_file *file = NULL;
    basalt_error fault = {0};
    uint64_t faults = 0;
    int result = 2;

    if (argc != 2) {
        fprintf(stderr, "usage: walk_corpus FILE\n");
        return 2;
    }
    if (bs_vfs_local_create(&vfs, &fault) ||
        bs_file_open(vfs, argv[1], BS_OPEN_READ, &file, &fault) ||
        bs_h5_file_open(file, &walk.h5, &fault)) {
        printf("E\t\t%s\t%s\n", basalt_status_name(fault.status), fault.message);
        result = 1;
    } else {
        if (bs_h5_file_warning(walk.h5)) printf("W\t%s\n", bs_h5_file_warning(walk.h5));
        print_object(&walk, bs_h5_file_superblock(walk.h5)->root);
        if (bs_h5_verify(walk.h5, print_sentence, NULL, NULL, &faults, &fault))
            printf("V\t%s\n", fault.message);
        result = 0;
    }
    bs_h5_file_close(walk.h5);
    bs_file_close(file);
    bs_vfs_free(vfs);
    return result;
}
