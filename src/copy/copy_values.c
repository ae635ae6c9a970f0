/* copy_values.c - elements that name places in the file: variable-length sequences and texts, references
 * to objects and regions, and whatever holds them.
 *
 * What an element names is copied before the element: a sequence, its own elements first, into a
 * collection of the copy; a reference becomes the address that the object has there, or null.
 *
 * An honest file stores what its elements name once. A made-up one could have sequences of sequences
 * that name the same bytes again and again: together they may be so many times the file. */
#include "copy/copy_internal.h"

#define HEAP_BYTES_FREE ((uint64_t)64 << 20)
#define HEAP_TO_FILE_MAX 16u
#define VARIABLE_BYTES 16u /* length u32, collection u64, index u32 */
#define OBJECT_REFERENCE_BYTES 8u
#define REGION_REFERENCE_BYTES 12u

static const uint8_t nothing[BS_H5_SUPERBLOCK_BYTES];

bool bs_copy_refers(const struct bs_h5_type *type)
{
    switch (type->kind) {
    case BS_H5_VARIABLE:
    case BS_H5_REFERENCE: return true;
    case BS_H5_ARRAY: return bs_copy_refers(type->base);
    case BS_H5_COMPOUND:
        for (size_t i = 0; i < type->member_count; i++) {
            if (bs_copy_refers(type->members[i].type)) return true;
        }
        return false;
    default: return false;
    }
}

/* ---- types --------------------------------------------------------------------------------- */

/* What elements are read by below is what the type says, so it must say what the format does. */
static basalt_status type_check(const struct bs_h5_type *type, uint32_t address, basalt_error *err)
{
    const uint32_t region = address + 4, variable = address + 8;
    basalt_status status = BASALT_OK;
    if (type->kind == BS_H5_REFERENCE && type->reference_kind > 1) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "references of the kind that HDF5 1.12 brought cannot be copied");
    }
    if ((type->kind == BS_H5_VARIABLE && type->size_bytes != variable) ||
        (type->kind == BS_H5_REFERENCE &&
            type->size_bytes != (type->reference_kind ? region : address))) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "elements that name places in the file cannot have %u bytes there",
            (unsigned)type->size_bytes);
    }
    if (type->base) status = type_check(type->base, address, err);
    for (size_t i = 0; !status && type->kind == BS_H5_COMPOUND && i < type->member_count; i++) {
        status = type_check(type->members[i].type, address, err);
    }
    return status;
}

static bool widen(struct bs_h5_type *type);

/* What lies behind a member that grows moves. */
static bool widen_members(struct bs_h5_type *type)
{
    uint64_t bytes = type->size_bytes;
    for (size_t i = 0; i < type->member_count; i++) {
        struct bs_h5_type *member = type->members[i].type;
        const uint32_t before = member->size_bytes;
        if (!widen(member)) return false;
        const uint32_t growth = member->size_bytes - before;
        bytes += growth;
        if (bytes > UINT32_MAX) return false;
        for (size_t k = 0; growth && k < type->member_count; k++) {
            if (type->members[k].offset > type->members[i].offset)
                type->members[k].offset += growth;
        }
    }
    type->size_bytes = (uint32_t)bytes;
    return true;
}

/* Addresses get 8 bytes; false: the type has 4 GiB and more then. */
static bool widen(struct bs_h5_type *type)
{
    const uint32_t base_before = type->base ? type->base->size_bytes : 1;
    if (type->base && !widen(type->base)) return false;
    if (type->kind == BS_H5_VARIABLE) type->size_bytes = VARIABLE_BYTES;
    if (type->kind == BS_H5_REFERENCE) {
        type->size_bytes = type->reference_kind ? REGION_REFERENCE_BYTES : OBJECT_REFERENCE_BYTES;
    }
    if (type->kind == BS_H5_ARRAY) {
        const uint64_t bytes = (uint64_t)(type->size_bytes / base_before) * type->base->size_bytes;
        if (bytes > UINT32_MAX) return false;
        type->size_bytes = (uint32_t)bytes;
    }
    return type->kind != BS_H5_COMPOUND || widen_members(type);
}

basalt_status bs_copy_type(const struct bs_copy *copy, const struct bs_h5_type *type,
    struct bs_h5_type **out_type, basalt_error *err)
{
    const uint32_t address_bytes = bs_h5_file_superblock(copy->from)->offset_bytes;
    *out_type = NULL;
    basalt_status status = type_check(type, address_bytes, err);
    if (!status) status = bs_h5_type_copy(type, out_type, err);
    if (status || address_bytes == OBJECT_REFERENCE_BYTES || widen(*out_type)) return status;
    bs_h5_type_free(*out_type);
    *out_type = NULL;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "a type would have 4 GiB or more");
}

/* ---- elements ------------------------------------------------------------------------------ */

basalt_status bs_copy_values_open(
    struct bs_copy *copy, struct bs_copy_values *out_values, basalt_error *err)
{
    *out_values = (struct bs_copy_values){.copy = copy};
    basalt_status status = bs_h5_heap_open(copy->from, &out_values->heap, err);
    if (!status) status = bs_h5_packer_create(copy->to, &out_values->packer, err);
    if (status) bs_copy_values_close(out_values);
    return status;
}

void bs_copy_values_close(struct bs_copy_values *values)
{
    bs_h5_heap_close(values->heap);
    bs_h5_packer_free(values->packer);
    *values = (struct bs_copy_values){0};
}

static bool is_null(const uint8_t *bytes, size_t count)
{
    return count <= sizeof nothing && !memcmp(bytes, nothing, count);
}

/* The object's address in the copy; 0 if it is not there. */
static uint64_t address_of(struct bs_copy *copy, uint64_t address)
{
    const struct bs_h5_node *node = bs_copy_map_find(&copy->map, address);
    if (node) return bs_h5_node_address(node);
    atomic_fetch_add(&copy->nulled, 1);
    return 0;
}

static size_t offset_bytes(const struct bs_copy_values *values)
{
    return bs_h5_file_superblock(values->copy->from)->offset_bytes;
}

static basalt_status account(struct bs_copy *copy, uint64_t bytes, basalt_error *err)
{
    const uint64_t sum = atomic_fetch_add(&copy->heap_bytes, bytes) + bytes;
    if (sum <= HEAP_BYTES_FREE || sum / HEAP_TO_FILE_MAX <= copy->from_bytes) return BASALT_OK;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "variable-length elements name the same bytes over and over, over %u times the file",
        HEAP_TO_FILE_MAX);
}

/* What the bytes at `place` (a collection's address, an index) name, all of it or the first `bytes`. */
static basalt_status heap_object(struct bs_copy_values *values, struct bs_cursor *place,
    uint64_t bytes, bool all, struct bs_cursor *out_object, basalt_error *err)
{
    const uint64_t address = bs_cursor_uint(place, offset_bytes(values));
    const uint32_t index = bs_cursor_u32(place);
    basalt_status status = bs_cursor_check(place, "an element", err);
    if (!status) status = bs_h5_heap_object(values->heap, address, index, out_object, err);
    if (status) return status;
    const size_t there = bs_cursor_left(out_object);
    if (there < bytes) {
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(out_object),
            "object %" PRIu32 " of the global heap collection at %" PRIu64 " is shorter than the "
            "element that refers to it",
            index, address);
    }
    return account(values->copy, all ? there : bytes, err);
}

static basalt_status copy_element(struct bs_copy_values *values, const struct bs_h5_type *from_type,
    const struct bs_h5_type *to_type, const uint8_t *from, uint8_t *to, basalt_error *err);

static basalt_status copy_variable(struct bs_copy_values *values,
    const struct bs_h5_type *from_type, const struct bs_h5_type *to_type, const uint8_t *from,
    uint8_t *to, basalt_error *err)
{
    const struct bs_h5_type *from_base = from_type->base, *to_base = to_type->base;
    struct bs_cursor place = bs_cursor_make(from, from_type->size_bytes, BASALT_NO_OFFSET);
    struct bs_cursor object;
    uint8_t *elements = NULL, *copied = NULL;
    const uint32_t length = bs_cursor_u32(&place);
    const uint64_t bytes = (uint64_t)length * from_base->size_bytes;
    basalt_status status = BASALT_OK;
    memset(to, 0, VARIABLE_BYTES);
    if (length == 0) return BASALT_OK;
    BS_TRY(heap_object(values, &place, bytes, false, &object, err));
    bs_store_u32(to, length);
    if (!bs_copy_refers(from_base)) {
        status = bs_h5_pack(values->packer, object.at, (size_t)bytes, to + 4, err);
        goto out;
    }
    /* The object lives until the next one is asked for. */
    const size_t copied_bytes = (size_t)length * to_base->size_bytes;
    elements = bs_copy_bytes(object.at, (size_t)bytes);
    copied = bs_alloc(copied_bytes);
    if (!elements || !copied) BS_TRY(bs_fail_memory(err, copied_bytes));
    if (from_type->size_bytes >= VARIABLE_BYTES) /* of a source in another file: so are they */
        bs_h5_heap_mark(
            from_base, elements, length, bs_load_u64(from + 4) >> BS_H5_HEAP_ADDRESS_BITS);
    BS_TRY(bs_copy_elements(values, from_base, to_base, elements, copied, length, err));
    BS_TRY(bs_h5_pack(values->packer, copied, copied_bytes, to + 4, err));
out:
    bs_free(elements);
    bs_free(copied);
    return status;
}

/* In the heap: the object's address, then the selection, which names no places. */
static basalt_status copy_region(
    struct bs_copy_values *values, struct bs_cursor place, uint8_t *to, basalt_error *err)
{
    struct bs_cursor object;
    struct bs_bytes copied = {0};
    memset(to, 0, REGION_REFERENCE_BYTES);
    basalt_status status = heap_object(values, &place, offset_bytes(values), true, &object, err);
    if (status) return status;
    const uint64_t address =
        address_of(values->copy, bs_cursor_uint(&object, offset_bytes(values)));
    if (address == 0) return BASALT_OK;
    bs_bytes_u64(&copied, address);
    bs_bytes_put(&copied, object.at, bs_cursor_left(&object));
    status = bs_bytes_check(&copied, err);
    if (!status) status = bs_h5_pack(values->packer, copied.data, copied.count, to, err);
    bs_bytes_free(&copied);
    return status;
}

static basalt_status copy_reference(struct bs_copy_values *values, const struct bs_h5_type *type,
    const uint8_t *from, uint8_t *to, basalt_error *err)
{
    struct bs_cursor place = bs_cursor_make(from, type->size_bytes, BASALT_NO_OFFSET);
    if (is_null(from, type->size_bytes)) {
        memset(to, 0, type->reference_kind ? REGION_REFERENCE_BYTES : OBJECT_REFERENCE_BYTES);
        return BASALT_OK;
    }
    if (type->reference_kind) return copy_region(values, place, to, err);
    const uint64_t address = bs_cursor_uint(&place, offset_bytes(values));
    const basalt_status status = bs_cursor_check(&place, "a reference", err);
    if (!status) bs_store_u64(to, address_of(values->copy, address));
    return status;
}

static basalt_status copy_compound(struct bs_copy_values *values,
    const struct bs_h5_type *from_type, const struct bs_h5_type *to_type, const uint8_t *from,
    uint8_t *to, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (from_type->size_bytes == to_type->size_bytes) { /* what lies between members too */
        memcpy(to, from, from_type->size_bytes);
    } else {
        memset(to, 0, to_type->size_bytes);
    }
    for (size_t i = 0; !status && i < from_type->member_count; i++) {
        const struct bs_h5_member *member = &from_type->members[i], *there = &to_type->members[i];
        status = copy_element(
            values, member->type, there->type, from + member->offset, to + there->offset, err);
    }
    return status;
}

/* Recursion is as deep as the type: BS_H5_DEPTH_MAX. */
static basalt_status copy_element(struct bs_copy_values *values, const struct bs_h5_type *from_type,
    const struct bs_h5_type *to_type, const uint8_t *from, uint8_t *to, basalt_error *err)
{
    switch (from_type->kind) {
    case BS_H5_VARIABLE: return copy_variable(values, from_type, to_type, from, to, err);
    case BS_H5_REFERENCE: return copy_reference(values, from_type, from, to, err);
    case BS_H5_COMPOUND: return copy_compound(values, from_type, to_type, from, to, err);
    case BS_H5_ARRAY:
        return bs_copy_elements(values, from_type->base, to_type->base, from, to,
            from_type->base->size_bytes ? from_type->size_bytes / from_type->base->size_bytes : 0,
            err);
    default: memcpy(to, from, from_type->size_bytes); return BASALT_OK;
    }
}

basalt_status bs_copy_elements(struct bs_copy_values *values, const struct bs_h5_type *from_type,
    const struct bs_h5_type *to_type, const uint8_t *from, uint8_t *to, uint64_t count,
    basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (!bs_copy_refers(from_type)) {
        memcpy(to, from, (size_t)(count * from_type->size_bytes));
        return BASALT_OK;
    }
    for (uint64_t i = 0; !status && i < count; i++) {
        status = copy_element(values, from_type, to_type, from, to, err);
        from += from_type->size_bytes;
        to += to_type->size_bytes;
    }
    return status;
}
