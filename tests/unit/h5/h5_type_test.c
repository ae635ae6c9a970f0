/* h5_type_test.c - datatypes and superblocks as bytes: libhdf5 says whether they mean what they should. */
#include "h5/h5.h"
#include "tests/harness/test.h"

#include <hdf5.h>

/* libhdf5's own decoding of our message: H5Tdecode wants a message number and a version before it. */
static hid_t to_libhdf5(const struct bs_h5_type *type)
{
    struct bs_bytes bytes = {0};
    hid_t id = -1;

    bs_bytes_u8(&bytes, 3);
    bs_bytes_u8(&bytes, 0);
    if (!bs_h5_type_encode(type, &bytes, NULL)) {
        bs_bytes_zeros(&bytes, 64); /* H5Tdecode reads a little past the message */
        id = H5Tdecode(bytes.data);
    }
    bs_bytes_free(&bytes);
    return id;
}

static struct bs_h5_type *from_libhdf5(hid_t id)
{
    uint8_t bytes[4096];
    size_t count = sizeof bytes;
    struct bs_h5_type *type = NULL;

    if (H5Tencode(id, bytes, &count) < 0) return NULL;
    struct bs_cursor cursor = bs_cursor_make(bytes + 2, count - 2, 0);
    CHECK_OK(bs_h5_type_decode(&cursor, &type, err));
    return type;
}

static void check_same(struct bs_h5_type *type, hid_t expected)
{
    REQUIRE(type);
    const hid_t ours = to_libhdf5(type);
    CHECK(ours >= 0);
    CHECK(H5Tequal(ours, expected) > 0);
    struct bs_h5_type *theirs = from_libhdf5(expected);
    /* A type that is in no file has the size of a pointer in memory. */
    if (theirs && theirs->variable_string) theirs->size_bytes = 16;
    CHECK(theirs && bs_h5_type_equal(type, theirs));
    struct bs_h5_type *copy = NULL;
    CHECK_OK(bs_h5_type_copy(type, &copy, err));
    CHECK(copy && bs_h5_type_equal(type, copy));
    bs_h5_type_free(copy);
    bs_h5_type_free(theirs);
    bs_h5_type_free(type);
    H5Tclose(ours);
}

TEST(h5_type, makers_mean_what_libhdf5_means)
{
    check_same(bs_h5_type_integer(1, true), H5T_STD_I8LE);
    check_same(bs_h5_type_integer(2, false), H5T_STD_U16LE);
    check_same(bs_h5_type_integer(4, true), H5T_STD_I32LE);
    check_same(bs_h5_type_integer(8, false), H5T_STD_U64LE);
    check_same(bs_h5_type_float(4), H5T_IEEE_F32LE);
    check_same(bs_h5_type_float(8), H5T_IEEE_F64LE);
}

TEST(h5_type, made_strings_and_bytes)
{
    hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, 12);
    H5Tset_strpad(text, H5T_STR_NULLPAD);
    H5Tset_cset(text, H5T_CSET_UTF8);
    check_same(bs_h5_type_string(12), text);
    H5Tset_size(text, H5T_VARIABLE);
    H5Tset_strpad(text, H5T_STR_NULLTERM);
    check_same(bs_h5_type_variable_string(), text);
    H5Tclose(text);

    hid_t bytes = H5Tvlen_create(H5T_STD_U8LE);
    check_same(bs_h5_type_variable_bytes(), bytes);
    H5Tclose(bytes);

    hid_t opaque = H5Tcreate(H5T_OPAQUE, 16);
    H5Tset_tag(opaque, "decimal128");
    check_same(bs_h5_type_opaque(16, "decimal128"), opaque);
    H5Tclose(opaque);

    hid_t boolean = H5Tenum_create(H5T_STD_I8LE);
    int8_t value = 0;
    H5Tenum_insert(boolean, "FALSE", &value);
    value = 1;
    H5Tenum_insert(boolean, "TRUE", &value);
    check_same(bs_h5_type_bool(), boolean);
    H5Tclose(boolean);
}

TEST(h5_type, nested_types_of_libhdf5_come_back)
{
    const hsize_t dims[2] = {3, 5};
    hid_t array = H5Tarray_create2(H5T_IEEE_F32BE, 2, dims);
    hid_t inner = H5Tcreate(H5T_COMPOUND, 300);
    H5Tinsert(inner, "x", 0, H5T_STD_I16BE);
    H5Tinsert(inner, "a name of some length", 280, H5T_IEEE_F64LE);
    hid_t outer = H5Tcreate(H5T_COMPOUND, 400);
    H5Tinsert(outer, "inner", 0, inner);
    H5Tinsert(outer, "array", 300, array);
    hid_t sequence = H5Tvlen_create(inner);
    H5Tinsert(outer, "sequence", 384, sequence);
    struct bs_h5_type *type = from_libhdf5(outer);
    REQUIRE(type);
    CHECK_EQ(type->member_count, 3);
    CHECK_EQ(type->members[1].type->rank, 2);
    CHECK_EQ(type->members[0].type->members[1].offset, 280);
    check_same(type, outer);
    check_same(from_libhdf5(H5T_STD_REF_OBJ), H5T_STD_REF_OBJ);
    check_same(from_libhdf5(H5T_STD_REF_DSETREG), H5T_STD_REF_DSETREG);
    check_same(from_libhdf5(H5T_STD_B32LE), H5T_STD_B32LE);
    check_same(from_libhdf5(H5T_UNIX_D32LE), H5T_UNIX_D32LE);
    H5Tclose(array);
    H5Tclose(inner);
    H5Tclose(outer);
    H5Tclose(sequence);
}

static void check_text(struct bs_h5_type *type, const char *expected)
{
    struct bs_bytes text = {0};
    REQUIRE(type);
    CHECK_OK(bs_h5_type_text(type, &text, err));
    bs_bytes_u8(&text, 0);
    CHECK_TEXT((const char *)text.data, expected);
    bs_bytes_free(&text);
    bs_h5_type_free(type);
}

TEST(h5_type, texts)
{
    const hsize_t dims[1] = {3};
    check_text(bs_h5_type_float(8), "<f8");
    check_text(bs_h5_type_integer(1, false), "|u1");
    check_text(from_libhdf5(H5T_STD_I32BE), ">i4");
    check_text(bs_h5_type_variable_string(), "utf-8 string");
    check_text(bs_h5_type_string(7), "utf-8 string of 7 bytes");
    check_text(bs_h5_type_opaque(16, ""), "|V16");
    check_text(bs_h5_type_bool(), "enum bool");
    hid_t compound = H5Tcreate(H5T_COMPOUND, 16);
    hid_t array = H5Tarray_create2(H5T_STD_I16LE, 1, dims);
    H5Tinsert(compound, "a", 0, H5T_STD_I32LE);
    H5Tinsert(compound, "b", 4, array);
    check_text(from_libhdf5(compound), "compound {a: <i4, b: <i2 (3,)}");
    H5Tclose(compound);
    H5Tclose(array);
}

TEST(h5_type, big_endian_elements_turn_inside_compounds_and_arrays)
{
    const hsize_t dims[1] = {2};
    uint8_t bytes[2][12] = {
        {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32}};
    hid_t array = H5Tarray_create2(H5T_STD_U16BE, 1, dims);
    hid_t compound = H5Tcreate(H5T_COMPOUND, 12);
    H5Tinsert(compound, "big", 0, H5T_STD_U32BE);
    H5Tinsert(compound, "array", 4, array);
    H5Tinsert(compound, "little", 8, H5T_STD_U32LE);
    struct bs_h5_type *type = from_libhdf5(compound);
    REQUIRE(type);
    bs_h5_type_to_little_endian(type, bytes, 2);
    const uint8_t expected[2][12] = {
        {4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12}, {24, 23, 22, 21, 26, 25, 28, 27, 29, 30, 31, 32}};
    CHECK(!memcmp(bytes, expected, sizeof bytes));
    bs_h5_type_free(type);
    H5Tclose(array);
    H5Tclose(compound);
}

TEST(h5_type, every_cut_and_every_flipped_byte_is_survived)
{
    const hsize_t dims[2] = {3, 5};
    uint8_t bytes[1024], changed[1024];
    size_t count = sizeof bytes;
    hid_t array = H5Tarray_create2(H5T_IEEE_F32BE, 2, dims);
    hid_t compound = H5Tcreate(H5T_COMPOUND, 100);
    H5Tinsert(compound, "array", 8, array);
    H5Tinsert(compound, "b", 0, H5T_STD_I64LE);
    REQUIRE(H5Tencode(compound, bytes, &count) >= 0);
    const int64_t live = test_live_allocations();
    struct bs_h5_type *whole = NULL;
    struct bs_cursor all = bs_cursor_make(bytes + 2, count - 2, 0);
    REQUIRE_OK(bs_h5_type_decode(&all, &whole, err));
    bs_h5_type_free(whole);
    count = 2 + (size_t)(all.at - all.start); /* H5Tencode leaves room behind */
    for (size_t i = 0; i < count - 2; i++) {
        struct bs_h5_type *type = NULL;
        struct bs_cursor cursor = bs_cursor_make(bytes + 2, i, 0);
        CHECK(bs_h5_type_decode(&cursor, &type, NULL) != BASALT_OK && !type);
    }
    for (size_t i = 0; i < (count - 2) * 256; i++) {
        struct bs_h5_type *type = NULL;
        memcpy(changed, bytes, count);
        changed[2 + i / 256] = (uint8_t)(i % 256);
        struct bs_cursor cursor = bs_cursor_make(changed + 2, count - 2, 0);
        if (bs_h5_type_decode(&cursor, &type, NULL)) CHECK(!type);
        bs_h5_type_free(type);
    }
    CHECK_EQ(test_live_allocations(), live);
    H5Tclose(array);
    H5Tclose(compound);
}

TEST(h5_type, nesting_has_a_limit)
{
    struct bs_bytes bytes = {0};
    struct bs_h5_type *type = NULL;
    basalt_error fault = {0};
    for (int i = 0; i < 100; i++) { /* sequences of sequences of … */
        bs_bytes_u8(&bytes, 0x19);
        bs_bytes_zeros(&bytes, 3);
        bs_bytes_u32(&bytes, 16);
    }
    struct bs_cursor cursor = bs_cursor_make(bytes.data, bytes.count, 0);
    CHECK_EQ(bs_h5_type_decode(&cursor, &type, &fault), BASALT_CORRUPT);
    CHECK(strstr(fault.message, "nested too deeply"));
    bs_bytes_free(&bytes);
}

TEST(h5_type, no_fault_leaks)
{
    EACH_FAULT (step) {
        const int64_t live = test_live_allocations();
        struct bs_h5_type *type = bs_h5_type_bool(), *copy = NULL, *decoded = NULL;
        struct bs_bytes bytes = {0};
        basalt_status status = type ? BASALT_OK : BASALT_NO_MEMORY;
        if (!status) status = bs_h5_type_copy(type, &copy, NULL);
        if (!status) status = bs_h5_type_encode(copy, &bytes, NULL);
        struct bs_cursor cursor = bs_cursor_make(bytes.data, bytes.count, 0);
        if (!status) status = bs_h5_type_decode(&cursor, &decoded, NULL);
        CHECK(!status || status == BASALT_NO_MEMORY);
        if (!status) CHECK(bs_h5_type_equal(type, decoded));
        bs_h5_type_free(type);
        bs_h5_type_free(copy);
        bs_h5_type_free(decoded);
        bs_bytes_free(&bytes);
        CHECK_EQ(test_live_allocations(), live);
    }
}

TEST(h5_superblock, comes_back_as_it_was)
{
    uint8_t bytes[BS_H5_SUPERBLOCK_BYTES];
    struct bs_h5_superblock out;
    const struct bs_h5_superblock in = {
        .base = 512, .end_of_file = 123456, .root = 4096, .extension = BS_H5_UNDEFINED};

    bs_h5_superblock_encode(&in, bytes);
    REQUIRE_OK(bs_h5_superblock_decode(bytes, sizeof bytes, &out, err));
    CHECK_EQ(out.version, 2);
    CHECK_EQ(out.base, 512);
    CHECK_EQ(out.root, 4096);
    CHECK_EQ(out.end_of_file, 123456);
    CHECK(out.extension == BS_H5_UNDEFINED);
    CHECK_EQ(out.chunk_k, 32);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0x10;
        const basalt_status status = bs_h5_superblock_decode(bytes, sizeof bytes, &out, NULL);
        CHECK_EQ(status, i < 8 ? BASALT_NOT_HDF5 : i == 8 ? BASALT_UNSUPPORTED : BASALT_CORRUPT);
        bytes[i] ^= 0x10;
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        CHECK(bs_h5_superblock_decode(bytes, i, &out, NULL) != BASALT_OK);
}

TEST(h5_type, arrays_of_version_1_are_those_of_version_2)
{
    static const uint8_t message[] = {0x1a, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        0x10, 8, 0, 0, 4, 0, 0, 0, 0, 0, 32, 0};
    struct bs_cursor cursor = bs_cursor_make(message, sizeof message, BASALT_NO_OFFSET);
    struct bs_h5_type *type = NULL;

    CHECK_OK(bs_h5_type_decode(&cursor, &type, err));
    REQUIRE(type);
    CHECK_EQ(type->kind, BS_H5_ARRAY);
    CHECK_EQ(type->dims[0], 2);
    CHECK_EQ(type->base->size_bytes, 4);
    bs_h5_type_free(type);
}
