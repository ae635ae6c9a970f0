/* table_range.c - which values of a column are in a range.
 *
 * A range is made into two numbers of the column's own type, exactly: the smallest of that type that is in
 * it, and the largest. So the loops over values compare numbers of one type, and a bound that the type
 * does not reach rules out all or nothing.
 *
 * Loops mark rows as bytes, 1 in and 0 out, and go by blocks of BLOCK_ROWS, whose number of turns is known
 * to the compiler: it makes vectors of them. */
#include "tables/tables_internal.h"

#include <math.h>

#define BLOCK_ROWS 64

/* ---- numbers against each other ---------------------------------------------------------------- */

enum side { BELOW = -1, INSIDE = 0, ABOVE = 1 }; /* of the numbers that a type has */

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

/* The bound as a whole number, rounded into the range: up if it is a minimum. */
static enum side signed_of(const basalt_hdf5_bound *bound, bool up, int64_t *out)
{
    const double number = bound->value.as_float;
    *out = bound->value.as_signed;
    if (bound->kind == BASALT_HDF5_BOUND_SIGNED) return INSIDE;
    if (bound->kind == BASALT_HDF5_BOUND_UNSIGNED) {
        if (bound->value.as_unsigned > INT64_MAX) return ABOVE;
        *out = (int64_t)bound->value.as_unsigned;
        return INSIDE;
    }
    if (isnan(number) || number >= TWO_63) return ABOVE;
    if (number < -TWO_63) return BELOW;
    *out = (int64_t)(up ? ceil(number) : floor(number));
    return INSIDE;
}

static enum side unsigned_of(const basalt_hdf5_bound *bound, bool up, uint64_t *out)
{
    const double number = bound->value.as_float;
    *out = bound->value.as_unsigned;
    if (bound->kind == BASALT_HDF5_BOUND_UNSIGNED) return INSIDE;
    if (bound->kind == BASALT_HDF5_BOUND_SIGNED) {
        if (bound->value.as_signed < 0) return BELOW;
        *out = (uint64_t)bound->value.as_signed;
        return INSIDE;
    }
    if (isnan(number) || number >= TWO_64) return ABOVE;
    if (number <= -1) return BELOW;
    const double whole = up ? ceil(number) : floor(number);
    *out = whole > 0 ? (uint64_t)whole : 0;
    return whole < 0 ? BELOW : INSIDE;
}

/* How an integer compares with what it became as a double: that may be 2^63 or 2^64. */
static int against_signed(double rounded, int64_t number)
{
    if (rounded >= TWO_63) return 1;
    const int64_t back = (int64_t)rounded;
    return back > number ? 1 : back < number ? -1 : 0;
}

static int against_unsigned(double rounded, uint64_t number)
{
    if (rounded >= TWO_64) return 1;
    const uint64_t back = (uint64_t)rounded;
    return back > number ? 1 : back < number ? -1 : 0;
}

/* The bound as a double, rounded into the range. */
static double double_of(const basalt_hdf5_bound *bound, bool up)
{
    double rounded;
    int over;
    if (bound->kind == BASALT_HDF5_BOUND_FLOAT) return bound->value.as_float;
    if (bound->kind == BASALT_HDF5_BOUND_SIGNED) {
        rounded = (double)bound->value.as_signed;
        over = against_signed(rounded, bound->value.as_signed);
    } else {
        rounded = (double)bound->value.as_unsigned;
        over = against_unsigned(rounded, bound->value.as_unsigned);
    }
    if (up && over < 0) return nextafter(rounded, INFINITY);
    if (!up && over > 0) return nextafter(rounded, -INFINITY);
    return rounded;
}

static double float_of(const basalt_hdf5_bound *bound, bool up)
{
    const double number = double_of(bound, up);
    const float rounded = (float)number;
    if (up && (double)rounded < number) return (double)nextafterf(rounded, INFINITY);
    if (!up && (double)rounded > number) return (double)nextafterf(rounded, -INFINITY);
    return (double)rounded;
}

/* ---- ranges ------------------------------------------------------------------------------------ */

static void set_signed(
    struct bs_range *range, const basalt_hdf5_range *of, int64_t smallest, int64_t largest)
{
    int64_t low = smallest, high = largest;
    enum side low_side = INSIDE, high_side = INSIDE;
    if (of->min.kind != BASALT_HDF5_BOUND_NONE) low_side = signed_of(&of->min, true, &low);
    if (of->max.kind != BASALT_HDF5_BOUND_NONE) high_side = signed_of(&of->max, false, &high);
    if (low_side == BELOW) low = smallest;
    if (high_side == ABOVE) high = largest;
    range->low.as_signed = BS_MAX(low, smallest);
    range->high.as_signed = BS_MIN(high, largest);
    range->nothing =
        low_side == ABOVE || high_side == BELOW || low > largest || high < smallest || low > high;
}

static void set_unsigned(struct bs_range *range, const basalt_hdf5_range *of, uint64_t largest)
{
    uint64_t low = 0, high = largest;
    enum side low_side = INSIDE, high_side = INSIDE;
    if (of->min.kind != BASALT_HDF5_BOUND_NONE) low_side = unsigned_of(&of->min, true, &low);
    if (of->max.kind != BASALT_HDF5_BOUND_NONE) high_side = unsigned_of(&of->max, false, &high);
    if (low_side == BELOW) low = 0;
    if (high_side == ABOVE) high = largest;
    range->low.as_unsigned = low;
    range->high.as_unsigned = BS_MIN(high, largest);
    range->nothing = low_side == ABOVE || high_side == BELOW || low > largest || low > high;
}

static void set_float(struct bs_range *range, const basalt_hdf5_range *of, bool single)
{
    double low = -INFINITY, high = INFINITY;
    range->nan = true;
    if (of->min.kind != BASALT_HDF5_BOUND_NONE)
        low = single ? float_of(&of->min, true) : double_of(&of->min, true);
    if (of->max.kind != BASALT_HDF5_BOUND_NONE)
        high = single ? float_of(&of->max, false) : double_of(&of->max, false);
    if (of->max.kind != BASALT_HDF5_BOUND_NONE) range->nan = isnan(high);
    range->low.as_float = low;
    range->high.as_float = isnan(high) ? (double)INFINITY : high;
    range->nothing = isnan(low) || low > range->high.as_float;
}

bool bs_range_of(const char *format, const basalt_hdf5_range *of, struct bs_range *out)
{
    const bool is_time = format[0] == 't' && format[1] && format[2];
    const bool is_short = is_time &&
        ((format[1] == 'd' && format[2] == 'D') ||
            (format[1] == 't' && (format[2] == 's' || format[2] == 'm')));
    char code = format[0];
    if (is_time) code = is_short ? 'i' : 'l';
    *out = (struct bs_range){.code = code};
    if (!is_time && format[1]) return false;
    switch (code) {
    case 'b': set_unsigned(out, of, 1); return true;
    case 'c': set_signed(out, of, INT8_MIN, INT8_MAX); return true;
    case 's': set_signed(out, of, INT16_MIN, INT16_MAX); return true;
    case 'i': set_signed(out, of, INT32_MIN, INT32_MAX); return true;
    case 'l': set_signed(out, of, INT64_MIN, INT64_MAX); return true;
    case 'C': set_unsigned(out, of, UINT8_MAX); return true;
    case 'S': set_unsigned(out, of, UINT16_MAX); return true;
    case 'I': set_unsigned(out, of, UINT32_MAX); return true;
    case 'L': set_unsigned(out, of, UINT64_MAX); return true;
    case 'e':
    case 'f': set_float(out, of, true); return true;
    case 'g': set_float(out, of, false); return true;
    default: return false;
    }
}

/* ---- rows -------------------------------------------------------------------------------------- */

#define WITHIN(name, type)                                                                         \
    static void name(                                                                              \
        const type *restrict values, size_t count, type low, type high, uint8_t *restrict in)      \
    {                                                                                              \
        size_t i = 0;                                                                              \
        for (; i + BLOCK_ROWS <= count; i += BLOCK_ROWS)                                           \
            for (size_t k = i; k < i + BLOCK_ROWS; k++)                                            \
                in[k] = (uint8_t)(in[k] & (values[k] >= low) & (values[k] <= high));               \
        for (; i < count; i++)                                                                     \
            in[i] = (uint8_t)(in[i] & (values[i] >= low) & (values[i] <= high));                   \
    }
WITHIN(within_i8, int8_t)
WITHIN(within_i16, int16_t)
WITHIN(within_i32, int32_t)
WITHIN(within_i64, int64_t)
WITHIN(within_u8, uint8_t)
WITHIN(within_u16, uint16_t)
WITHIN(within_u32, uint32_t)
WITHIN(within_u64, uint64_t)
WITHIN(within_float, float)
WITHIN(within_double, double)

/* What is not outside: NaN compares false with both. */
#define NOT_OUTSIDE(name, type)                                                                    \
    static void name(                                                                              \
        const type *restrict values, size_t count, type low, type high, uint8_t *restrict in)      \
    {                                                                                              \
        size_t i = 0;                                                                              \
        for (; i + BLOCK_ROWS <= count; i += BLOCK_ROWS)                                           \
            for (size_t k = i; k < i + BLOCK_ROWS; k++)                                            \
                in[k] = (uint8_t)(in[k] & !(values[k] < low) & !(values[k] > high));               \
        for (; i < count; i++)                                                                     \
            in[i] = (uint8_t)(in[i] & !(values[i] < low) & !(values[i] > high));                   \
    }
NOT_OUTSIDE(not_outside_float, float)
NOT_OUTSIDE(not_outside_double, double)

static void keep_halves(
    const struct bs_range *range, const uint16_t *values, size_t count, uint8_t *in)
{
    for (size_t i = 0; i < count; i++) {
        const double value = bs_half(values[i]);
        const bool fits = isnan(value)
            ? range->nan
            : !range->nothing && value >= range->low.as_float && value <= range->high.as_float;
        in[i] = (uint8_t)(in[i] & fits);
    }
}

static void keep_floats(const struct bs_range *range, const void *data, size_t count, uint8_t *in)
{
    const double low = range->low.as_float, high = range->high.as_float;
    if (range->code == 'e') {
        keep_halves(range, data, count, in);
    } else if (range->nothing) { /* NaN alone */
        for (size_t i = 0; i < count; i++) {
            const bool nan = range->code == 'f' ? isnan(((const float *)data)[i])
                                                : isnan(((const double *)data)[i]);
            in[i] = (uint8_t)(in[i] & nan);
        }
    } else if (range->code == 'f') {
        (range->nan ? not_outside_float : within_float)(data, count, (float)low, (float)high, in);
    } else {
        (range->nan ? not_outside_double : within_double)(data, count, low, high, in);
    }
}

static void keep_bits(const struct bs_range *range, const uint8_t *bits, size_t count, uint8_t *in)
{
    const bool with[2] = {range->low.as_unsigned == 0, range->high.as_unsigned == 1};
    for (size_t i = 0; i < count; i++) in[i] = (uint8_t)(in[i] & with[bits[i >> 3] >> (i & 7) & 1]);
}

static void keep_valid(const uint8_t *map, size_t count, uint8_t *in)
{
    for (size_t i = 0; map && i < count; i++) {
        in[i] = (uint8_t)(in[i] & (map[i >> 3] >> (i & 7) & 1));
    }
}

void bs_range_keep(const struct bs_range *range, const struct ArrowArray *array, uint8_t *in)
{
    const size_t count = (size_t)array->length;
    const void *data = array->buffers[1];
    const int64_t low = range->low.as_signed, high = range->high.as_signed;
    const uint64_t from = range->low.as_unsigned, to = range->high.as_unsigned;
    keep_valid(array->buffers[0], count, in);
    if (range->nothing && !range->nan) {
        memset(in, 0, count);
        return;
    }
    switch (range->code) {
    case 'b': keep_bits(range, data, count, in); break;
    case 'c': within_i8(data, count, (int8_t)low, (int8_t)high, in); break;
    case 's': within_i16(data, count, (int16_t)low, (int16_t)high, in); break;
    case 'i': within_i32(data, count, (int32_t)low, (int32_t)high, in); break;
    case 'l': within_i64(data, count, low, high, in); break;
    case 'C': within_u8(data, count, (uint8_t)from, (uint8_t)to, in); break;
    case 'S': within_u16(data, count, (uint16_t)from, (uint16_t)to, in); break;
    case 'I': within_u32(data, count, (uint32_t)from, (uint32_t)to, in); break;
    case 'L': within_u64(data, count, from, to, in); break;
    default: keep_floats(range, data, count, in);
    }
}
