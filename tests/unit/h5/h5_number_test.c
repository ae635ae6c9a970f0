/* h5_number_test.c - numbers that go bit by bit, against libhdf5's conversion. The common ones:
 * tests/fuzz/selection_fuzz.c, tests/interop/selections.py. */
#include "h5/read_internal.h"
#include "tests/harness/test.h"

#include <hdf5.h>

static const struct bs_h5_type vax_4 = {.kind = BS_H5_FLOAT,
    .size_bytes = 4,
    .vax = true,
    .bit_precision = 32,
    .exponent_at = 23,
    .exponent_bits = 8,
    .mantissa_bits = 23,
    .sign_at = 31,
    .normalization = 2,
    .exponent_bias = 0x81};
static const struct bs_h5_type vax_8 = {.kind = BS_H5_FLOAT,
    .size_bytes = 8,
    .vax = true,
    .bit_precision = 64,
    .exponent_at = 52,
    .exponent_bits = 11,
    .mantissa_bits = 52,
    .sign_at = 63,
    .normalization = 2,
    .exponent_bias = 0x401};

TEST(h5_number, the_words_of_a_vax_lie_the_other_way_round)
{
    static const double values[] = {0, 1, -1, 0.1, 3.5e10, -7e-20, 123456.789};
    struct bs_h5_type *ieee = bs_h5_type_float(8);
    REQUIRE(ieee);
    for (unsigned wide = 0; wide < 2; wide++) {
        const struct bs_h5_type *type = wide ? &vax_8 : &vax_4;
        for (size_t i = 0; i < BS_ARRAY_LENGTH(values); i++) {
            uint8_t theirs[8], ours[8];
            double back = 0, expected = 0;
            memcpy(theirs, &values[i], 8);
            const hid_t stored = wide ? H5T_VAX_F64 : H5T_VAX_F32;
            REQUIRE(H5Tconvert(H5T_NATIVE_DOUBLE, stored, 1, theirs, NULL, H5P_DEFAULT) >= 0);
            CHECK_EQ(bs_h5_number_convert(ieee, (const uint8_t *)&values[i], type, ours, false),
                BS_H5_FITS);
            CHECK(!memcmp(ours, theirs, type->size_bytes));
            CHECK_EQ(bs_h5_number_convert(type, theirs, ieee, (uint8_t *)&back, false), BS_H5_FITS);
            memcpy(&expected, theirs, type->size_bytes);
            REQUIRE(H5Tconvert(stored, H5T_NATIVE_DOUBLE, 1, theirs, NULL, H5P_DEFAULT) >= 0);
            memcpy(&expected, theirs, 8);
            CHECK(!memcmp(&back, &expected, 8));
        }
    }
    bs_h5_type_free(ieee);
}
