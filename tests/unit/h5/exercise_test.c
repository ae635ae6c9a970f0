/* exercise_test.c - what h5_exercise.h declares; the fuzz target builds it too. */
#include "tests/unit/h5/h5_exercise.h"

#define OBJECTS_MAX 300
#define DEPTH_MAX 12
#define READ_BYTES_MAX ((uint64_t)1 << 20)

struct exercise {
    struct bs_h5_file *h5;
    unsigned objects_left, depth;
    basalt_status status; /* the last failure */
    basalt_error *err;
};

static void note(struct exercise *exercise, basalt_status status)
{
    if (status) exercise->status = status;
}

static basalt_status ignore_text(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    uint8_t *sum = context;
    (void)index, (void)err;
    for (size_t i = 0; i < count; i++) *sum ^= ((const uint8_t *)bytes)[i]; /* touches every byte */
    return BASALT_OK;
}

static void resolve(
    struct exercise *exercise, const struct bs_h5_type *type, const void *elements, uint64_t count)
{
    uint8_t sum = 0;
    if (type->kind == BS_H5_VARIABLE)
        note(exercise,
            bs_h5_resolve(exercise->h5, type, elements, count, ignore_text, &sum, exercise->err));
}

static void read_rows(struct exercise *exercise, const struct bs_h5_object *object, uint64_t first,
    uint64_t count, uint64_t row_bytes)
{
    const struct bs_h5_type *type = bs_h5_object_type(object);
    void *memory = bs_alloc((size_t)(count * row_bytes));

    if (!memory) {
        note(exercise, BASALT_NO_MEMORY);
        return;
    }
    basalt_status status = bs_h5_read(exercise->h5, object, first, count, memory, exercise->err);
    note(exercise, status);
    if (!status) {
        resolve(exercise, type, memory, count * (row_bytes / type->size_bytes));
        bs_h5_type_to_little_endian(type, memory, count * (row_bytes / type->size_bytes));
    }
    bs_free(memory);
}

static void read_dataset(struct exercise *exercise, const struct bs_h5_object *object)
{
    const struct bs_h5_space *space = &bs_h5_object_dataset(object)->space;
    uint64_t row_bytes = 0;
    const uint64_t rows = space->null ? 0 : space->rank ? space->dims[0] : 1;
    basalt_status status = bs_h5_row_bytes(object, &row_bytes, exercise->err);

    note(exercise, status);
    if (status || !rows || !row_bytes || row_bytes > READ_BYTES_MAX) return;
    const uint64_t count = BS_MIN(rows, READ_BYTES_MAX / row_bytes);
    read_rows(exercise, object, 0, count, row_bytes);
    read_rows(exercise, object, rows - 1, 1, row_bytes);
    if (rows > 2) read_rows(exercise, object, rows / 2, BS_MIN(count, rows / 2), row_bytes);
}

static void read_attributes(struct exercise *exercise, const struct bs_h5_object *object)
{
    for (size_t i = 0; i < bs_h5_attribute_count(object); i++) {
        const struct bs_h5_attribute *attribute = bs_h5_attribute_at(object, i);
        char *text = NULL;
        uint64_t number = 0;
        struct bs_bytes words = {0};
        resolve(exercise, attribute->type, attribute->bytes,
            attribute->byte_count / attribute->type->size_bytes);
        if (!bs_h5_attribute_text(exercise->h5, attribute, &text, NULL)) bs_free(text);
        if (bs_h5_attribute_u64(attribute, &number, NULL)) number = 0;
        note(exercise, bs_h5_type_text(attribute->type, &words, exercise->err));
        bs_bytes_free(&words);
    }
}

static void visit(struct exercise *exercise, uint64_t address);

struct listing {
    struct exercise *exercise;
    const struct bs_h5_object *group;
};

/* What a soft or external link leads to; that it leads nowhere is no fault. */
static void visit_target(
    struct exercise *exercise, const struct bs_h5_object *group, const struct bs_h5_link *link)
{
    struct bs_h5_object *object = NULL;

    if (link->kind == BS_H5_LINK_HARD || link->kind == BS_H5_LINK_USER) return;
    if (!exercise->objects_left) return;
    exercise->objects_left--;
    const basalt_status status =
        bs_h5_object_open_from(exercise->h5, group, link->name, &object, exercise->err);
    if (status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR) note(exercise, status);
    if (!status && bs_h5_object_dataset(object)) read_dataset(exercise, object);
    bs_h5_object_close(object);
}

static basalt_status visit_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    const struct listing *listing = context;
    struct exercise *exercise = listing->exercise;
    (void)err;
    visit_target(exercise, listing->group, link);
    if (link->kind == BS_H5_LINK_HARD && exercise->depth < DEPTH_MAX) {
        exercise->depth++;
        visit(exercise, link->address);
        exercise->depth--;
    }
    return BASALT_OK;
}

static void visit(struct exercise *exercise, uint64_t address)
{
    struct bs_h5_object *object = NULL;

    if (!exercise->objects_left) return;
    exercise->objects_left--;
    basalt_status status = bs_h5_object_open(exercise->h5, address, &object, exercise->err);
    note(exercise, status);
    if (status) return;
    if (bs_h5_object_address(object) != address) note(exercise, BASALT_BAD_ARGUMENT);
    read_attributes(exercise, object);
    if (bs_h5_object_dataset(object)) read_dataset(exercise, object);
    if (bs_h5_object_kind(object) == BS_H5_GROUP)
        note(exercise,
            bs_h5_group_each(exercise->h5, object, visit_link, &(struct listing){exercise, object},
                exercise->err));
    bs_h5_object_close(object);
}

static basalt_status ignore_extent(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    (void)context, (void)extent, (void)purpose, (void)err;
    return BASALT_OK;
}

basalt_status h5_exercise(struct bs_file *file, basalt_error *err)
{
    struct exercise exercise = {.objects_left = OBJECTS_MAX, .err = err};
    bool complete = false;
    uint64_t faults = 0;
    struct bs_h5_identity identity;

    basalt_status status = bs_h5_file_open(file, &exercise.h5, err);
    if (status) return status;
    visit(&exercise, bs_h5_file_superblock(exercise.h5)->root);
    note(&exercise, bs_h5_walk_extents(exercise.h5, ignore_extent, NULL, &complete, err));
    status = bs_h5_verify(exercise.h5, NULL, NULL, NULL, &faults, err);
    note(&exercise, status ? status : faults ? BASALT_CORRUPT : BASALT_OK);
    status = bs_h5_identity_read(exercise.h5, &identity, err);
    if (status != BASALT_NOT_FOUND) note(&exercise, status);
    bs_h5_file_close(exercise.h5);
    return exercise.status;
}
