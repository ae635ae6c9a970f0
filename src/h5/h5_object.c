/* h5_object.c - groups, datasets and committed types: what a header's messages make of an object. */
#include "h5/h5_internal.h"

#include <inttypes.h>

void bs_h5_object_close(struct bs_h5_object *object)
{
    if (!object) return;
    for (size_t i = 0; i < object->attribute_count; i++)
        bs_h5_attribute_clear(&object->attributes[i]);
    bs_free(object->attributes);
    bs_h5_type_free(object->type);
    if (object->dataset) {
        bs_h5_type_free(object->dataset->type);
        bs_free(object->dataset->compact);
        bs_free(object->dataset->fill);
        bs_pipeline_clear(&object->dataset->pipeline);
        bs_free(object->dataset);
    }
    bs_h5_virtual_free(object->sources);
    bs_h5_slots_free(object->slots);
    bs_bytes_free(&object->committed);
    bs_h5_header_free(object->header);
    bs_h5_other_give(object->h5, &object->opened);
    bs_free(object);
}

/* ---- datasets --------------------------------------------------------------------------------- */

static basalt_status read_fill(
    struct bs_h5_file *h5, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_h5_message *message = bs_h5_header_find(object->header, BS_H5_MESSAGE_FILL);
    const bool old = !message;
    struct bs_h5_body body;

    if (old) message = bs_h5_header_find(object->header, BS_H5_MESSAGE_FILL_OLD);
    if (!message) return BASALT_OK;
    basalt_status status = bs_h5_message_body(h5, message, &body, err);
    if (!status)
        status = bs_h5_fill_decode(
            &body.cursor, old, object->dataset->type->size_bytes, &object->dataset->fill, err);
    bs_h5_body_free(&body);
    return status;
}

static basalt_status read_pipeline(
    struct bs_h5_file *h5, struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_h5_message *message = bs_h5_header_find(object->header, BS_H5_MESSAGE_PIPELINE);
    struct bs_h5_body body;

    if (!message) return BASALT_OK;
    basalt_status status = bs_h5_message_body(h5, message, &body, err);
    if (!status) status = bs_h5_pipeline_decode(&body.cursor, &object->dataset->pipeline, err);
    bs_h5_body_free(&body);
    return status;
}

static basalt_status read_space(struct bs_h5_file *h5, const struct bs_h5_message *message,
    struct bs_h5_space *out_space, basalt_error *err)
{
    struct bs_h5_body body;
    basalt_status status = bs_h5_message_body(h5, message, &body, err);

    if (!status) status = bs_h5_space_decode(h5, &body.cursor, out_space, err);
    bs_h5_body_free(&body);
    return status;
}

static basalt_status read_dataset(struct bs_h5_file *h5, struct bs_h5_object *object,
    struct bs_h5_virtual *parent, const struct bs_h5_message *type,
    const struct bs_h5_message *space, basalt_error *err)
{
    const struct bs_h5_message *layout = bs_h5_header_find(object->header, BS_H5_MESSAGE_LAYOUT);

    object->kind = BS_H5_DATASET;
    if (!layout)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, object->header->address),
            "the dataset at %" PRIu64 " has no data layout", object->header->address);
    object->dataset = bs_alloc_zeroed(1, sizeof *object->dataset);
    if (!object->dataset) return bs_fail_memory(err, sizeof *object->dataset);
    struct bs_cursor cursor = bs_h5_message_cursor(h5, type);
    object->dataset->type_address = BS_H5_UNDEFINED;
    basalt_status status = bs_h5_type_follow(
        h5, &cursor, type->shared, &object->committed, &object->dataset->type, err);
    if (!status && object->committed.count)
        object->dataset->type_address = bs_load_u64(object->committed.data);
    if (!status) status = read_space(h5, space, &object->dataset->space, err);
    cursor = bs_h5_message_cursor(h5, layout);
    if (!status) status = bs_h5_layout_decode(h5, &cursor, object->dataset, &object->detail, err);
    if (!status) status = read_pipeline(h5, object, err);
    if (!status) status = read_fill(h5, object, err);
    const struct bs_h5_message *external =
        bs_h5_header_find(object->header, BS_H5_MESSAGE_EXTERNAL);
    object->detail.external = external && object->dataset->layout == BS_H5_CONTIGUOUS;
    object->dataset->external = object->detail.external;
    if (!status && object->detail.external)
        status = bs_h5_slots_read(h5, external, &object->slots, err);
    if (!status && object->dataset->layout == BS_H5_VIRTUAL)
        status = bs_h5_virtual_open(object, parent, err);
    return status;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static bool is_group(const struct bs_h5_header *header)
{
    return bs_h5_header_find(header, BS_H5_MESSAGE_SYMBOL_TABLE) ||
        bs_h5_header_find(header, BS_H5_MESSAGE_LINK_INFO) ||
        bs_h5_header_find(header, BS_H5_MESSAGE_GROUP_INFO) ||
        bs_h5_header_find(header, BS_H5_MESSAGE_LINK);
}

static basalt_status read_committed(struct bs_h5_file *h5, struct bs_h5_object *object,
    const struct bs_h5_message *type, basalt_error *err)
{
    struct bs_cursor cursor = bs_h5_message_cursor(h5, type);

    object->kind = BS_H5_COMMITTED_TYPE;
    return bs_h5_type_follow(h5, &cursor, type->shared, &object->committed, &object->type, err);
}

static basalt_status read_object(struct bs_h5_file *h5, struct bs_h5_object *object,
    struct bs_h5_virtual *parent, basalt_error *err)
{
    const struct bs_h5_header *header = object->header;
    const struct bs_h5_message *type = bs_h5_header_find(header, BS_H5_MESSAGE_TYPE);
    const struct bs_h5_message *space = bs_h5_header_find(header, BS_H5_MESSAGE_SPACE);
    basalt_status status = BASALT_OK;

    if (is_group(header)) {
        object->kind = BS_H5_GROUP;
        status = bs_h5_group_form_decode(h5, header, &object->form, err);
    } else if (type && space) {
        status = read_dataset(h5, object, parent, type, space, err);
    } else if (type) {
        status = read_committed(h5, object, type, err);
    } else {
        status = bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, header->address),
            "the object at %" PRIu64 " is no group, no dataset and no datatype", header->address);
    }
    return status ? status : bs_h5_attributes_load(h5, object, err);
}

basalt_status bs_h5_object_open(
    struct bs_h5_file *h5, uint64_t address, struct bs_h5_object **out_object, basalt_error *err)
{
    return bs_h5_object_open_at(h5, address, NULL, out_object, err);
}

basalt_status bs_h5_object_open_at(struct bs_h5_file *h5, uint64_t address,
    struct bs_h5_virtual *parent, struct bs_h5_object **out_object, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_h5_object *object = bs_alloc_zeroed(1, sizeof *object);

    *out_object = NULL;
    if (!object) return bs_fail_memory(err, sizeof *object);
    object->h5 = h5;
    BS_TRY(bs_h5_header_load(h5, address, &object->header, err));
    BS_TRY(read_object(h5, object, parent, err));
    *out_object = object;
    object = NULL;
out:
    bs_h5_object_close(object);
    return status;
}

/* ---- what it is ------------------------------------------------------------------------------- */

enum bs_h5_object_kind bs_h5_object_kind(const struct bs_h5_object *object)
{
    return object->kind;
}

uint64_t bs_h5_object_address(const struct bs_h5_object *object)
{
    return object->header->address;
}

struct bs_h5_file *bs_h5_object_file(const struct bs_h5_object *object)
{
    return object->h5;
}

uint64_t bs_h5_object_bytes(const struct bs_h5_object *object)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < object->header->block_count; i++)
        bytes += object->header->blocks[i].bytes;
    for (size_t i = 0; i < object->attribute_count; i++) bytes += object->attributes[i].byte_count;
    return bytes;
}

uint32_t bs_h5_object_links(const struct bs_h5_object *object)
{
    return object->header->links;
}

const struct bs_h5_dataset *bs_h5_object_dataset(const struct bs_h5_object *object)
{
    return object->dataset;
}

const struct bs_h5_type *bs_h5_object_type(const struct bs_h5_object *object)
{
    return object->dataset ? object->dataset->type : object->type;
}
