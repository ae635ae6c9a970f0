/* h5_type.c - datatypes in memory: decoding the message, copies, comparison, the makers. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define TYPE_VERSION_MAX 5    /* from 3 on they differ in the classes they have, not in form */
#define MEMBER_BYTES_MIN 10   /* of a compound: name's NUL, offset, the smallest type */
#define NAME_ALIGN_BYTES 8    /* versions 1 and 2 pad names */
#define CLASS_COMPLEX 11      /* of HDF5 2.0 */
#define OLD_MEMBER_RANK_MAX 4 /* dimensions inside a version-1 compound member */

struct type_head {
    unsigned kind, version;
    uint32_t bits; /* the 24 bits of the class */
    uint32_t size_bytes;
};

static basalt_status decode_nested(
    struct bs_cursor *cursor, unsigned depth, struct bs_h5_type **out_type, basalt_error *err);

static basalt_status wrong(const struct bs_cursor *cursor, basalt_error *err, const char *what)
{
    const uint64_t at = bs_cursor_offset(cursor);
    if (at == BASALT_NO_OFFSET) return bs_fail(err, BASALT_CORRUPT, at, "a datatype %s", what);
    return bs_fail(err, BASALT_CORRUPT, at, "the datatype at %" PRIu64 " %s", at, what);
}

static size_t bytes_of(enum bs_h5_class kind)
{
    return sizeof(struct bs_h5_type) +
        (kind == BS_H5_ARRAY ? BS_H5_RANK_MAX * sizeof(uint32_t) : 0);
}

void bs_h5_type_free(struct bs_h5_type *type)
{
    if (!type) return;
    for (size_t i = 0; type->members && i < type->member_count; i++) {
        bs_free(type->members[i].name);
        bs_h5_type_free(type->members[i].type);
    }
    bs_free(type->members);
    bs_free(type->tag);
    bs_h5_type_free(type->base);
    bs_free(type);
}

/* ---- classes without other types inside ------------------------------------------------------- */

static bool bits_fit(const struct bs_h5_type *type)
{
    return (uint64_t)type->bit_offset + type->bit_precision <= (uint64_t)type->size_bytes * 8;
}

static basalt_status decode_bits(struct bs_cursor *cursor, const struct type_head *head,
    struct bs_h5_type *type, basalt_error *err)
{
    type->big_endian = head->bits & 1;
    type->is_signed = type->kind == BS_H5_INTEGER && (head->bits & 8);
    type->bit_offset = bs_cursor_u16(cursor);
    type->bit_precision = bs_cursor_u16(cursor);
    if (!cursor->failed && (!bits_fit(type) || !type->bit_precision))
        return wrong(cursor, err, "has bits outside its bytes");
    return BASALT_OK;
}

static basalt_status decode_float(struct bs_cursor *cursor, const struct type_head *head,
    struct bs_h5_type *type, basalt_error *err)
{
    const uint64_t bits = (uint64_t)head->size_bytes * 8;

    type->vax = (head->bits & 0x41) == 0x41;
    type->big_endian = (head->bits & 0x41) == 1;
    if ((head->bits & 0x41) == 0x40 || (type->vax && head->size_bytes % 2))
        return wrong(cursor, err, "is a number of an impossible byte order");
    type->normalization = (head->bits >> 4) & 3;
    type->sign_at = (uint8_t)(head->bits >> 8);
    type->bit_offset = bs_cursor_u16(cursor);
    type->bit_precision = bs_cursor_u16(cursor);
    type->exponent_at = bs_cursor_u8(cursor);
    type->exponent_bits = bs_cursor_u8(cursor);
    type->mantissa_at = bs_cursor_u8(cursor);
    type->mantissa_bits = bs_cursor_u8(cursor);
    type->exponent_bias = bs_cursor_u32(cursor);
    if (cursor->failed) return BASALT_OK;
    if (!bits_fit(type) || (uint64_t)type->exponent_at + type->exponent_bits > bits ||
        (uint64_t)type->mantissa_at + type->mantissa_bits > bits || type->sign_at >= bits)
        return wrong(cursor, err, "has bits outside its bytes");
    return BASALT_OK;
}

static basalt_status decode_time(struct bs_cursor *cursor, const struct type_head *head,
    struct bs_h5_type *type, basalt_error *err)
{
    type->big_endian = head->bits & 1;
    type->bit_precision = bs_cursor_u16(cursor);
    if (!cursor->failed && !bits_fit(type)) return wrong(cursor, err, "has bits outside its bytes");
    return BASALT_OK;
}

static basalt_status decode_opaque(struct bs_cursor *cursor, const struct type_head *head,
    struct bs_h5_type *type, basalt_error *err)
{
    const size_t count = head->bits & 0xff;
    const uint8_t *text = bs_cursor_bytes(cursor, count);

    if (!text) return BASALT_OK; /* cut short: the caller's check says so */
    type->tag = bs_alloc(count + 1);
    if (!type->tag) return bs_fail_memory(err, count + 1);
    memcpy(type->tag, text, count);
    type->tag[count] = 0;
    return BASALT_OK;
}

/* ---- classes that hold other types ------------------------------------------------------------ */

/* A name, padded to a multiple of 8 in the old versions. Copies it. */
static basalt_status decode_name(
    struct bs_cursor *cursor, unsigned version, char **out_name, basalt_error *err)
{
    const uint8_t *start = cursor->at;
    const char *name = bs_cursor_string(cursor);

    if (!name) return wrong(cursor, err, "has a name without an end");
    if (version < 3) {
        const size_t used = (size_t)(cursor->at - start) % NAME_ALIGN_BYTES;
        if (used) bs_cursor_skip(cursor, NAME_ALIGN_BYTES - used);
    }
    *out_name = bs_copy_string(name);
    return *out_name ? BASALT_OK : bs_fail_memory(err, strlen(name) + 1);
}

static size_t offset_width(uint32_t size_bytes)
{
    return size_bytes > 0xffffff ? 4 : size_bytes > 0xffff ? 3 : size_bytes > 0xff ? 2 : 1;
}

static basalt_status array_size(const struct bs_cursor *cursor, const struct bs_h5_type *type,
    uint64_t *out_bytes, basalt_error *err)
{
    uint64_t bytes = type->base->size_bytes;
    *out_bytes = 0;
    for (unsigned i = 0; i < type->rank; i++) {
        bytes *= type->dims[i];
        if (bytes > UINT32_MAX || !bytes)
            return wrong(cursor, err, "is an array of an impossible size");
    }
    *out_bytes = bytes;
    return BASALT_OK;
}

/* Version 1 keeps up to four dimensions beside the member: the member is then an array. */
static basalt_status wrap_old_member(const struct bs_cursor *cursor, uint8_t rank,
    const uint32_t *dims, struct bs_h5_type **type, basalt_error *err)
{
    uint64_t bytes = 0;
    struct bs_h5_type *array = NULL;

    if (!rank) return BASALT_OK;
    if (rank > OLD_MEMBER_RANK_MAX) return wrong(cursor, err, "has a member of over 4 dimensions");
    array = bs_alloc_zeroed(1, bytes_of(BS_H5_ARRAY));
    if (!array) return bs_fail_memory(err, bytes_of(BS_H5_ARRAY));
    array->kind = BS_H5_ARRAY;
    array->rank = rank;
    memcpy(array->dims, dims, rank * sizeof *dims);
    array->base = *type;
    *type = array; /* the member owns it either way */
    basalt_status status = array_size(cursor, array, &bytes, err);
    if (!status) array->size_bytes = (uint32_t)bytes;
    return status;
}

static basalt_status decode_member(struct bs_cursor *cursor, const struct type_head *head,
    unsigned depth, struct bs_h5_member *member, basalt_error *err)
{
    uint8_t rank = 0;
    uint32_t dims[OLD_MEMBER_RANK_MAX] = {0};
    basalt_status status = decode_name(cursor, head->version, &member->name, err);

    if (status) return status;
    member->offset =
        (uint32_t)bs_cursor_uint(cursor, head->version < 3 ? 4 : offset_width(head->size_bytes));
    if (head->version == 1) {
        rank = bs_cursor_u8(cursor);
        bs_cursor_skip(cursor, 3 + 4 + 4); /* reserved, permutation, reserved */
        for (unsigned i = 0; i < OLD_MEMBER_RANK_MAX; i++) dims[i] = bs_cursor_u32(cursor);
    }
    status = decode_nested(cursor, depth + 1, &member->type, err);
    if (status) return status;
    status = wrap_old_member(cursor, rank, dims, &member->type, err);
    if (status) return status;
    if ((uint64_t)member->offset + member->type->size_bytes > head->size_bytes)
        return wrong(cursor, err, "has a member that sticks out of it");
    return BASALT_OK;
}

static basalt_status allocate_members(struct bs_cursor *cursor, size_t count, size_t bytes_min,
    struct bs_h5_type *type, basalt_error *err)
{
    /* The count is believed only as far as the message could hold so many. */
    if (count > bs_cursor_left(cursor) / bytes_min)
        return wrong(cursor, err, "claims more members than its message holds");
    if (!count) return BASALT_OK;
    type->members = bs_alloc_zeroed(count, sizeof *type->members);
    if (!type->members) return bs_fail_memory(err, count * sizeof *type->members);
    type->member_count = count;
    return BASALT_OK;
}

static basalt_status decode_compound(struct bs_cursor *cursor, const struct type_head *head,
    unsigned depth, struct bs_h5_type *type, basalt_error *err)
{
    basalt_status status =
        allocate_members(cursor, head->bits & 0xffff, MEMBER_BYTES_MIN, type, err);
    for (size_t i = 0; !status && i < type->member_count; i++)
        status = decode_member(cursor, head, depth, &type->members[i], err);
    return status;
}

static basalt_status decode_enumeration(struct bs_cursor *cursor, const struct type_head *head,
    unsigned depth, struct bs_h5_type *type, basalt_error *err)
{
    basalt_status status = decode_nested(cursor, depth + 1, &type->base, err);
    if (status) return status;
    if (type->base->kind != BS_H5_INTEGER || type->base->size_bytes != head->size_bytes ||
        head->size_bytes > sizeof type->members->value)
        return wrong(cursor, err, "is an enumeration that does not fit its base type");
    status = allocate_members(cursor, head->bits & 0xffff, 1 + (size_t)head->size_bytes, type, err);
    for (size_t i = 0; !status && i < type->member_count; i++)
        status = decode_name(cursor, head->version, &type->members[i].name, err);
    for (size_t i = 0; !status && i < type->member_count; i++) {
        const uint8_t *value = bs_cursor_bytes(cursor, head->size_bytes);
        if (!value) return wrong(cursor, err, "is an enumeration without all its values");
        memcpy(type->members[i].value, value, head->size_bytes);
    }
    return status;
}

static basalt_status decode_variable(struct bs_cursor *cursor, const struct type_head *head,
    unsigned depth, struct bs_h5_type *type, basalt_error *err)
{
    const unsigned form = head->bits & 0xf;

    if (form > 1) return wrong(cursor, err, "is of an unknown variable-length kind");
    type->variable_string = form == 1;
    if (type->variable_string) {
        type->padding = (head->bits >> 4) & 0xf;
        type->utf8 = ((head->bits >> 8) & 0xf) == 1;
    }
    return decode_nested(cursor, depth + 1, &type->base, err);
}

static basalt_status decode_array(struct bs_cursor *cursor, const struct type_head *head,
    unsigned depth, struct bs_h5_type *type, basalt_error *err)
{
    uint64_t bytes = 0;

    type->rank = bs_cursor_u8(cursor);
    if (type->rank > BS_H5_RANK_MAX || !type->rank)
        return wrong(cursor, err, "is an array of an impossible rank");
    if (head->version < 3) bs_cursor_skip(cursor, 3); /* old writers say 1 where 2 is meant */
    for (unsigned i = 0; i < type->rank; i++) type->dims[i] = bs_cursor_u32(cursor);
    if (head->version < 3) bs_cursor_skip(cursor, (size_t)4 * type->rank);
    basalt_status status = decode_nested(cursor, depth + 1, &type->base, err);
    if (!status) status = array_size(cursor, type, &bytes, err);
    if (!status && bytes != head->size_bytes)
        status = wrong(cursor, err, "is an array whose size is not that of its elements");
    return status;
}

/* The complex numbers of HDF5 2.0 are given as what h5py wrote before there were any: a compound of a
 * real and an imaginary part. */
static basalt_status decode_complex(struct bs_cursor *cursor, const struct type_head *head,
    unsigned depth, struct bs_h5_type *type, basalt_error *err)
{
    static const char *const names[2] = {"r", "i"};
    struct bs_h5_type *part = NULL;

    if ((head->bits & 7) != 1)
        return bs_fail(err, BASALT_UNSUPPORTED, bs_cursor_offset(cursor),
            "complex numbers whose parts differ, or that are not of a real and an imaginary part, "
            "are not read");
    basalt_status status = decode_nested(cursor, depth + 1, &part, err);
    if (status) return status;
    BS_TRY(part->kind == BS_H5_FLOAT && (uint64_t)part->size_bytes * 2 == head->size_bytes
            ? BASALT_OK
            : wrong(cursor, err, "is complex and not of two floating-point numbers"));
    type->kind = BS_H5_COMPOUND;
    type->members = bs_alloc_zeroed(2, sizeof *type->members);
    BS_TRY(type->members ? BASALT_OK : bs_fail_memory(err, 2 * sizeof *type->members));
    type->member_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        type->members[i].offset = i * part->size_bytes;
        type->members[i].name = bs_copy_string(names[i]);
        BS_TRY(type->members[i].name ? BASALT_OK : bs_fail_memory(err, 2));
        BS_TRY(bs_h5_type_copy(part, &type->members[i].type, err));
    }
out:
    bs_h5_type_free(part);
    return status;
}

/* ---- the message ------------------------------------------------------------------------------ */

static basalt_status decode_class(struct bs_cursor *cursor, const struct type_head *head,
    unsigned depth, struct bs_h5_type *type, basalt_error *err)
{
    switch (head->kind) {
    case BS_H5_INTEGER:
    case BS_H5_BITFIELD: return decode_bits(cursor, head, type, err);
    case BS_H5_FLOAT: return decode_float(cursor, head, type, err);
    case BS_H5_TIME: return decode_time(cursor, head, type, err);
    case BS_H5_STRING:
        type->padding = head->bits & 0xf;
        type->utf8 = ((head->bits >> 4) & 0xf) == 1;
        return BASALT_OK;
    case BS_H5_OPAQUE: return decode_opaque(cursor, head, type, err);
    case BS_H5_COMPOUND: return decode_compound(cursor, head, depth, type, err);
    case BS_H5_REFERENCE: type->reference_kind = head->bits & 0xf; return BASALT_OK;
    case BS_H5_ENUM: return decode_enumeration(cursor, head, depth, type, err);
    case BS_H5_VARIABLE: return decode_variable(cursor, head, depth, type, err);
    case BS_H5_ARRAY: return decode_array(cursor, head, depth, type, err);
    case CLASS_COMPLEX: return decode_complex(cursor, head, depth, type, err);
    default: break;
    }
    return bs_fail(err, BASALT_UNSUPPORTED, bs_cursor_offset(cursor),
        "datatype class %u is unknown to this version", head->kind);
}

static basalt_status decode_nested(
    struct bs_cursor *cursor, unsigned depth, struct bs_h5_type **out_type, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_h5_type *type = NULL;
    const uint8_t first = bs_cursor_u8(cursor);
    struct type_head head = {.kind = first & 0xf, .version = first >> 4};

    *out_type = NULL;
    if (depth >= BS_H5_DEPTH_MAX) return wrong(cursor, err, "is nested too deeply");
    head.bits = (uint32_t)bs_cursor_uint(cursor, 3);
    head.size_bytes = bs_cursor_u32(cursor);
    if (cursor->failed) return bs_cursor_check(cursor, "a datatype", err);
    if (!head.version) return wrong(cursor, err, "has version 0, which does not exist");
    if (head.version > TYPE_VERSION_MAX)
        return bs_fail(err, BASALT_UNSUPPORTED, bs_cursor_offset(cursor),
            "datatype messages of version %u are newer than this reader", head.version);
    if (!head.size_bytes) return wrong(cursor, err, "has a size of zero bytes");
    type = bs_alloc_zeroed(1, bytes_of((enum bs_h5_class)head.kind));
    if (!type) return bs_fail_memory(err, sizeof *type);
    type->kind = (enum bs_h5_class)head.kind;
    type->size_bytes = head.size_bytes;
    BS_TRY(decode_class(cursor, &head, depth, type, err));
    BS_TRY(bs_cursor_check(cursor, "a datatype", err));
    *out_type = type;
    type = NULL;
out:
    bs_h5_type_free(type);
    return status;
}

basalt_status bs_h5_type_decode(
    struct bs_cursor *cursor, struct bs_h5_type **out_type, basalt_error *err)
{
    return decode_nested(cursor, 0, out_type, err);
}

/* ---- copies and comparison -------------------------------------------------------------------- */

static basalt_status copy_members(
    const struct bs_h5_type *from, struct bs_h5_type *to, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    if (!from->member_count) return BASALT_OK;
    to->members = bs_alloc_zeroed(from->member_count, sizeof *to->members);
    if (!to->members) return bs_fail_memory(err, from->member_count * sizeof *to->members);
    to->member_count = from->member_count;
    for (size_t i = 0; !status && i < from->member_count; i++) {
        const struct bs_h5_member *source = &from->members[i];
        struct bs_h5_member *member = &to->members[i];
        member->offset = source->offset;
        memcpy(member->value, source->value, sizeof member->value);
        member->name = bs_copy_string(source->name);
        if (!member->name) return bs_fail_memory(err, strlen(source->name) + 1);
        if (source->type) status = bs_h5_type_copy(source->type, &member->type, err);
    }
    return status;
}

basalt_status bs_h5_type_copy(
    const struct bs_h5_type *type, struct bs_h5_type **out_type, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_h5_type *copy = bs_copy_bytes(type, bytes_of(type->kind));

    *out_type = NULL;
    if (!copy) return bs_fail_memory(err, sizeof *copy);
    copy->tag = NULL;
    copy->members = NULL;
    copy->member_count = 0;
    copy->base = NULL;
    if (type->tag && !(copy->tag = bs_copy_string(type->tag))) {
        status = bs_fail_memory(err, strlen(type->tag) + 1);
        goto out;
    }
    BS_TRY(copy_members(type, copy, err));
    if (type->base) BS_TRY(bs_h5_type_copy(type->base, &copy->base, err));
    *out_type = copy;
    copy = NULL;
out:
    bs_h5_type_free(copy);
    return status;
}

static bool members_equal(const struct bs_h5_member *a, const struct bs_h5_member *b)
{
    if (a->offset != b->offset || strcmp(a->name, b->name) != 0) return false;
    if (memcmp(a->value, b->value, sizeof a->value) != 0) return false;
    if (!a->type || !b->type) return a->type == b->type;
    return bs_h5_type_equal(a->type, b->type);
}

static bool scalars_equal(const struct bs_h5_type *a, const struct bs_h5_type *b)
{
    return a->kind == b->kind && a->size_bytes == b->size_bytes && a->big_endian == b->big_endian &&
        a->is_signed == b->is_signed && a->bit_offset == b->bit_offset &&
        a->bit_precision == b->bit_precision && a->exponent_at == b->exponent_at &&
        a->exponent_bits == b->exponent_bits && a->mantissa_at == b->mantissa_at &&
        a->mantissa_bits == b->mantissa_bits && a->sign_at == b->sign_at &&
        a->normalization == b->normalization && a->vax == b->vax &&
        a->exponent_bias == b->exponent_bias && a->padding == b->padding && a->utf8 == b->utf8 &&
        a->variable_string == b->variable_string && a->reference_kind == b->reference_kind;
}

bool bs_h5_type_equal(const struct bs_h5_type *a, const struct bs_h5_type *b)
{
    if (!scalars_equal(a, b) || a->member_count != b->member_count || a->rank != b->rank)
        return false;
    if (strcmp(a->tag ? a->tag : "", b->tag ? b->tag : "") != 0) return false;
    if (memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) != 0) return false;
    for (size_t i = 0; i < a->member_count; i++)
        if (!members_equal(&a->members[i], &b->members[i])) return false;
    if (!a->base || !b->base) return a->base == b->base;
    return bs_h5_type_equal(a->base, b->base);
}

/* ---- makers ----------------------------------------------------------------------------------- */

static struct bs_h5_type *make(enum bs_h5_class kind, uint32_t size_bytes)
{
    struct bs_h5_type *type = bs_alloc_zeroed(1, sizeof *type);
    assert(size_bytes > 0);
    if (!type) return NULL;
    type->kind = kind;
    type->size_bytes = size_bytes;
    return type;
}

struct bs_h5_type *bs_h5_type_integer(uint32_t size_bytes, bool is_signed)
{
    struct bs_h5_type *type = make(BS_H5_INTEGER, size_bytes);
    if (!type) return NULL;
    type->is_signed = is_signed;
    type->bit_precision = (uint16_t)(size_bytes * 8);
    return type;
}

struct bs_h5_type *bs_h5_type_float(uint32_t size_bytes)
{
    struct bs_h5_type *type = make(BS_H5_FLOAT, size_bytes);
    assert(size_bytes == 2 || size_bytes == 4 || size_bytes == 8);
    if (!type) return NULL;
    const unsigned exponent_bits = size_bytes == 2 ? 5 : size_bytes == 4 ? 8 : 11;
    const unsigned bits = (unsigned)size_bytes * 8;
    type->bit_precision = (uint16_t)bits;
    type->normalization = 2;
    type->sign_at = (uint8_t)(bits - 1);
    type->exponent_bits = (uint8_t)exponent_bits;
    type->mantissa_bits = (uint8_t)(bits - 1 - exponent_bits);
    type->exponent_at = type->mantissa_bits;
    type->exponent_bias = (1u << (exponent_bits - 1)) - 1;
    return type;
}

struct bs_h5_type *bs_h5_type_string(uint32_t size_bytes)
{
    struct bs_h5_type *type = make(BS_H5_STRING, size_bytes);
    if (!type) return NULL;
    type->padding = 1;
    type->utf8 = true;
    return type;
}

static struct bs_h5_type *make_with_base(
    enum bs_h5_class kind, uint32_t size_bytes, struct bs_h5_type *base)
{
    struct bs_h5_type *type = base ? make(kind, size_bytes) : NULL;
    if (type)
        type->base = base;
    else
        bs_h5_type_free(base);
    return type;
}

struct bs_h5_type *bs_h5_type_variable_string(void)
{
    /* The base is a byte, as in every file of libhdf5. */
    struct bs_h5_type *type =
        make_with_base(BS_H5_VARIABLE, BS_H5_VARIABLE_BYTES, bs_h5_type_integer(1, false));
    if (!type) return NULL;
    type->variable_string = true;
    type->utf8 = true;
    return type;
}

struct bs_h5_type *bs_h5_type_variable_bytes(void)
{
    return make_with_base(BS_H5_VARIABLE, BS_H5_VARIABLE_BYTES, bs_h5_type_integer(1, false));
}

struct bs_h5_type *bs_h5_type_opaque(uint32_t size_bytes, const char *tag)
{
    struct bs_h5_type *type = make(BS_H5_OPAQUE, size_bytes);
    if (!type) return NULL;
    type->tag = bs_copy_string(tag ? tag : "");
    if (type->tag) return type;
    bs_h5_type_free(type);
    return NULL;
}

static bool add_record_member(
    struct bs_h5_type *type, const struct bs_h5_unsigned_member *member, uint32_t offset)
{
    struct bs_h5_member *added = &type->members[type->member_count++];
    added->offset = offset;
    added->name = bs_copy_string(member->name);
    added->type = bs_h5_type_integer(member->size_bytes, false);
    return added->name && added->type;
}

struct bs_h5_type *bs_h5_type_record(const struct bs_h5_unsigned_member *members, size_t count)
{
    uint32_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += members[i].size_bytes;
    struct bs_h5_type *type = make(BS_H5_COMPOUND, bytes);
    if (!type) return NULL;
    bool made = (type->members = bs_alloc_zeroed(count, sizeof *type->members)) != NULL;
    bytes = 0;
    for (size_t i = 0; made && i < count; i++) {
        made = add_record_member(type, &members[i], bytes);
        bytes += members[i].size_bytes;
    }
    if (made) return type;
    bs_h5_type_free(type);
    return NULL;
}

static bool add_bool_members(struct bs_h5_type *type)
{
    static const char *const names[2] = {"FALSE", "TRUE"};

    type->members = bs_alloc_zeroed(2, sizeof *type->members);
    if (!type->members) return false;
    type->member_count = 2;
    for (size_t i = 0; i < 2; i++) {
        type->members[i].value[0] = (uint8_t)i;
        type->members[i].name = bs_copy_string(names[i]);
        if (!type->members[i].name) return false;
    }
    return true;
}

struct bs_h5_type *bs_h5_type_bool(void)
{
    struct bs_h5_type *type = make_with_base(BS_H5_ENUM, 1, bs_h5_type_integer(1, true));

    if (!type || add_bool_members(type)) return type;
    bs_h5_type_free(type);
    return NULL;
}
