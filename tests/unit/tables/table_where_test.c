/* table_where_test.c - the rows that a cursor finds are those that a loop over all rows would keep,
 * whatever the types, chunks, blocks and steps; and nothing is read that is ruled out. */
#include "tables/tables_internal.h"
#include "tests/unit/store/store_help.h"
#include "tests/unit/tables/reading_fixture.h"

#include <math.h>

#define ROWS_MANY 60000
#define THREADS 8
#define RANGES 3

/* ---- what a loop would keep -------------------------------------------------------------------- */

static long double half_at(const struct ArrowArray *array, int64_t row)
{
    return (long double)bs_half(((const uint16_t *)array->buffers[1])[row]);
}

/* The number in a row; all of 64 bits fit. */
static long double number_at(const char *format, const struct ArrowArray *array, int64_t row)
{
    const void *data = array->buffers[1];
    const bool time = format[0] == 't';
    switch (time && width_of(format) == 4 ? 'i' : time ? 'l' : format[0]) {
    case 'b': return bit(array, row);
    case 'c': return ((const int8_t *)data)[row];
    case 'C': return ((const uint8_t *)data)[row];
    case 's': return ((const int16_t *)data)[row];
    case 'S': return ((const uint16_t *)data)[row];
    case 'i': return ((const int32_t *)data)[row];
    case 'I': return ((const uint32_t *)data)[row];
    case 'l': return (long double)((const int64_t *)data)[row];
    case 'L': return (long double)((const uint64_t *)data)[row];
    case 'e': return half_at(array, row);
    case 'f': return (long double)((const float *)data)[row];
    default: return (long double)((const double *)data)[row];
    }
}

static long double number_of(const basalt_hdf5_bound *bound)
{
    if (bound->kind == BASALT_HDF5_BOUND_SIGNED) return (long double)bound->value.as_signed;
    if (bound->kind == BASALT_HDF5_BOUND_UNSIGNED) return (long double)bound->value.as_unsigned;
    return (long double)bound->value.as_float;
}

/* NaN is greater than every number, and as great as NaN. */
static bool is_less(long double a, long double b)
{
    return isnan(a) ? false : isnan(b) || a < b;
}

static bool is_in(const basalt_hdf5_range *range, const struct ArrowSchema *schema,
    const struct ArrowArray *all, int64_t row)
{
    const struct ArrowArray *array = all->children[range->column];
    if (!is_valid(array, row)) return false;
    const long double value = number_at(schema->children[range->column]->format, array, row);
    if (range->min.kind && is_less(value, number_of(&range->min))) return false;
    return !range->max.kind || !is_less(number_of(&range->max), value);
}

/* ---- ranges at random -------------------------------------------------------------------------- */

static bool is_number(const struct ArrowSchema *schema)
{
    const basalt_hdf5_range range = {0};
    struct bs_range made;
    return !schema->dictionary && bs_range_of(schema->format, &range, &made);
}

static basalt_hdf5_bound signed_bound(int64_t value)
{
    return (basalt_hdf5_bound){BASALT_HDF5_BOUND_SIGNED, {.as_signed = value}};
}

static basalt_hdf5_bound float_bound(double value)
{
    return (basalt_hdf5_bound){BASALT_HDF5_BOUND_FLOAT, {.as_float = value}};
}

/* Often near a value that is there, sometimes at the ends of what numbers there are. */
static basalt_hdf5_bound random_bound(
    const char *format, const struct ArrowArray *array, uint64_t *seed)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 0.5, -0.5, -1,
        9223372036854775808.0, -9223372036854775808.0, 18446744073709551616.0, 3.4e38, 65504};
    const uint64_t kind = test_random(seed) % 8;
    basalt_hdf5_bound bound = {0};
    if (!kind || !array->length) return bound;
    const int64_t row = (int64_t)(test_random(seed) % (uint64_t)array->length);
    const long double number = number_at(format, array, row);
    if (kind == 1) return float_bound(odd[test_random(seed) % BS_ARRAY_LENGTH(odd)]);
    if (kind == 2) return signed_bound((int64_t)test_random(seed) >> test_random(seed) % 64);
    if (kind == 3) {
        bound.kind = BASALT_HDF5_BOUND_UNSIGNED;
        bound.value.as_unsigned = test_random(seed) >> test_random(seed) % 64;
        return bound;
    }
    if (kind == 4) return float_bound((double)number + 0.5);
    if (kind == 5 && number >= -9e18L && number <= 9e18L) return signed_bound((int64_t)number);
    return float_bound((double)number);
}

static size_t random_ranges(const struct ArrowSchema *schema, const struct ArrowArray *all,
    basalt_hdf5_range *ranges, uint64_t *seed)
{
    size_t count = 0;
    for (unsigned tries = 0; tries < 20 && count < 1 + test_random(seed) % RANGES; tries++) {
        const size_t column = test_random(seed) % (uint64_t)schema->n_children;
        const char *format = schema->children[column]->format;
        if (!is_number(schema->children[column])) continue;
        ranges[count].column = column;
        ranges[count].min = random_bound(format, all->children[column], seed);
        ranges[count++].max = random_bound(format, all->children[column], seed);
    }
    return count;
}

/* ---- found and kept compared ------------------------------------------------------------------- */

struct case_of {
    const struct ArrowSchema *schema;
    const struct ArrowArray *all;
    const basalt_hdf5_range *ranges;
    size_t range_count;
    const size_t *columns;
    size_t column_count;
};

static bool is_kept(const struct case_of *of, uint64_t row)
{
    for (size_t i = 0; i < of->range_count; i++)
        if (!is_in(&of->ranges[i], of->schema, of->all, (int64_t)row)) return false;
    return true;
}

/* The rows found are the next of those a loop would keep, from *row on; *row is then behind them. */
static void check_found(
    const struct case_of *of, const basalt_hdf5_found *found, uint64_t step, uint64_t *row)
{
    int64_t at = 0;
    for (size_t i = 0; i < found->run_count; i++) {
        const basalt_hdf5_run *run = &found->runs[i];
        for (uint64_t k = 0; k < run->row_count; k++, at++, *row += step) {
            while (*row < run->first_row + k && !is_kept(of, *row)) *row += step;
            if (*row != run->first_row + k || !is_kept(of, *row)) {
                test_fail(__FILE__, __LINE__, "row %" PRIu64 " was found, not %" PRIu64,
                    run->first_row + k, *row);
                return;
            }
            for (size_t c = 0; c < of->column_count; c++) {
                const size_t column = of->columns[c];
                if (same_value(of->schema->children[column], found->rows.children[c], at,
                        of->all->children[column], (int64_t)*row))
                    continue;
                test_fail(
                    __FILE__, __LINE__, "row %" PRIu64 " of column %zu is another", *row, column);
                return;
            }
        }
    }
    CHECK_EQ(found->rows.release ? found->rows.length : 0, at);
    for (size_t c = 0; found->rows.release && c < of->column_count; c++)
        CHECK_EQ(found->rows.children[c]->length, at);
}

static void check_search(struct bs_table_cursor *cursor, const struct case_of *of, uint64_t first,
    uint64_t end, uint64_t step)
{
    uint64_t row = first, kept = first;
    while (row < end) {
        basalt_hdf5_found found;
        REQUIRE_OK(bs_cursor_find(cursor, row, end, step, &found, err));
        CHECK_EQ(found.run_count > 0, found.rows.release != NULL);
        REQUIRE(found.next_row > row && found.next_row <= end);
        check_found(of, &found, step, &kept);
        if (found.rows.release) found.rows.release(&found.rows);
        row = found.next_row;
    }
    for (; kept < end; kept += step) CHECK(!is_kept(of, kept));
}

static void check_random(struct bs_hdf5 *file, const struct bs_table *table,
    const struct ArrowSchema *schema, const struct ArrowArray *all, uint64_t *seed)
{
    size_t columns[64], count = 0;
    basalt_hdf5_range ranges[RANGES];
    struct bs_table_cursor *cursor = NULL;
    for (size_t i = 0; i < (size_t)schema->n_children && count < 60; i++)
        if (test_random(seed) % 2) columns[count++] = i;
    if (count && test_random(seed) % 3 == 0) columns[count++] = columns[0]; /* twice */
    struct case_of of = {schema, all, ranges, 0, columns, count};
    REQUIRE_OK(bs_hdf5_cursor_open(file, table, columns, count, &cursor, err));
    for (unsigned turn = 0; turn < 3; turn++) {
        const uint64_t rows = (uint64_t)all->length, first = test_random(seed) % 3 ? 0 : rows / 3;
        const uint64_t step = test_random(seed) % 3 ? 1 : 1 + test_random(seed) % 100;
        of.range_count = random_ranges(schema, all, ranges, seed);
        REQUIRE_OK(bs_cursor_set_ranges(cursor, ranges, of.range_count, err));
        check_search(cursor, &of, first, test_random(seed) % 3 ? rows : rows - rows / 4, step);
    }
    bs_cursor_close(cursor);
}

static void check_file(struct bs_vfs *vfs, const char *path, const char *table_path,
    const basalt_hdf5_scan_options *options, unsigned turns)
{
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    struct ArrowSchema schema;
    struct ArrowArray all;
    basalt_hdf5_table_info info;
    uint64_t seed = 11;
    REQUIRE_OK(bs_hdf5_open(vfs, path, &file, err));
    REQUIRE_OK(bs_hdf5_table_open(file, table_path, options, &table, err));
    REQUIRE_OK(bs_table_schema(table, &schema, err));
    REQUIRE_OK(bs_hdf5_cursor_open(file, table, NULL, 0, &cursor, err));
    bs_table_info(table, &info);
    REQUIRE_OK(bs_cursor_read(cursor, 0, info.rows, &all, err));
    for (unsigned turn = 0; turn < turns; turn++) check_random(file, table, &schema, &all, &seed);
    all.release(&all);
    schema.release(&schema);
    bs_cursor_close(cursor);
    bs_table_free(table);
    bs_hdf5_close(file);
}

/* ---- a file of every type of number -------------------------------------------------------------- */

static void put_column(hid_t parent, const char *name, hid_t type, size_t width, hsize_t chunk,
    uint64_t (*value)(uint64_t row))
{
    const hsize_t rows = ROWS_MANY;
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    uint8_t *data = malloc(ROWS_MANY * width);
    if (chunk) {
        H5Pset_chunk(properties, 1, &chunk);
        H5Pset_fletcher32(properties);
    }
    for (uint64_t i = 0; data && i < ROWS_MANY; i++) {
        const uint64_t bits = value(i);
        memcpy(data + i * width, &bits, width);
    }
    put(parent, name, type, 1, &rows, data, properties);
    free(data);
    H5Pclose(properties);
}

static uint64_t row_number(uint64_t row)
{
    return row;
}

static uint64_t any_bits(uint64_t row)
{
    uint64_t seed = row;
    return test_random(&seed);
}

static uint64_t one_bit(uint64_t row)
{
    return any_bits(row) & 1;
}

/* A walk about 0, NaN now and then. */
static uint64_t some_double(uint64_t row)
{
    const double value = row % 1000 == 7 ? (double)NAN : sin((double)row / 3000) * 1000;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t some_float(uint64_t row)
{
    const float value = row % 500 == 7 ? NAN : (float)cos((double)row / 700) * 10;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static hid_t bool_type(void)
{
    const int8_t no = 0, yes = 1;
    const hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    H5Tenum_insert(type, "FALSE", &no);
    H5Tenum_insert(type, "TRUE", &yes);
    return type;
}

static hid_t half_type(void)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

static const char *numbers_file(void)
{
    static char path[512];
    if (path[0]) return path;
    snprintf(path, sizeof path, "%s", test_path("numbers.h5"));
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t group = make_group(file, "t", NULL), flag = bool_type(), half = half_type();
    put_column(group, "a_row", H5T_STD_I64LE, 8, 5000, row_number);
    put_column(group, "b_double", H5T_IEEE_F64LE, 8, 700, some_double);
    put_column(group, "c_float", H5T_IEEE_F32LE, 4, 30000, some_float);
    put_column(group, "d_i64", H5T_STD_I64LE, 8, 0, any_bits);
    put_column(group, "e_u64", H5T_STD_U64LE, 8, 9999, any_bits);
    put_column(group, "f_i32", H5T_STD_I32LE, 4, 5000, any_bits);
    put_column(group, "g_u32", H5T_STD_U32BE, 4, 5000, any_bits);
    put_column(group, "h_i16", H5T_STD_I16LE, 2, 64, any_bits);
    put_column(group, "i_u16", H5T_STD_U16LE, 2, 5000, any_bits);
    put_column(group, "j_i8", H5T_STD_I8LE, 1, 60000, any_bits);
    put_column(group, "k_u8", H5T_STD_U8LE, 1, 5000, any_bits);
    put_column(group, "l_flag", flag, 1, 5000, one_bit);
    put_column(group, "m_half", half, 2, 5000, any_bits);
    put_column(group, "n_late", H5T_STD_I64LE, 8, 5000, row_number);
    H5Tclose(flag);
    H5Tclose(half);
    H5Gclose(group);
    H5Fclose(file);
    return path;
}

TEST(table_where, what_is_found_is_what_a_loop_would_keep)
{
    static const char *const paths[] = {"/nested", "/sparse", "/climate/t", "/climate", "/pandas",
        "/chunked", "/texts", "/records", "/frame", "/t"};
    const basalt_hdf5_scan_options plain = {.row_count = UINT64_MAX, .missing_as_null = true};
    const basalt_hdf5_scan_options without = {
        .row_count = UINT64_MAX, .without_dictionaries = true};
    struct bs_vfs *vfs = NULL;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    const int64_t before = test_live_allocations();
    for (size_t i = 0; i < BS_ARRAY_LENGTH(paths); i++) {
        const char *path = i < 5 ? conventions_file() : i < 9 ? foreign_file() : numbers_file();
        check_file(vfs, path, paths[i], &plain, 25);
        if (i < 9) check_file(vfs, path, paths[i], &without, 5);
    }
    check_file(vfs, wide_file(), "/matrix", &wide_options, 10);
    check_file(vfs, wide_file(), "/contiguous", &wide_options, 5);
    CHECK_EQ(test_live_allocations(), before);
    bs_vfs_free(vfs);
}

/* ---- families ------------------------------------------------------------------------------------ */

#define FAMILY_ROWS 40000 /* chunks of 8,192 */

/* Before anything is read the bounds are known, of the last chunk too, since the close was a clean one. */
static void check_known(struct bs_vfs *vfs)
{
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    const basalt_hdf5_range nothing = {
        .min = float_bound((double)INFINITY), .max = float_bound(-(double)INFINITY)};
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    unsigned columns = 0;
    REQUIRE_OK(bs_hdf5_open(vfs, "/a.h5", &file, err));
    REQUIRE_OK(bs_hdf5_table_open(file, "all%2Fof it", &options, &table, err));
    for (size_t i = 0; i < table->column_count; i++) {
        struct bs_known *known = NULL;
        struct bs_range range;
        const char *format = table->columns[i].format;
        if (!bs_range_of(format, &nothing, &range)) continue;
        REQUIRE_OK(bs_table_known(table, i, range.code, &known, err));
        const bool masked = table->columns[i].mask != SIZE_MAX; /* then the file is not believed */
        const enum bs_verdict expected = masked ? BS_SOME : BS_NONE;
        CHECK_EQ(bs_known_ask(table, i, known, &range, 0, FAMILY_ROWS), expected);
        CHECK_EQ(bs_known_ask(table, i, known, &range, 8192, 8193), expected);
        columns += !masked;
    }
    CHECK(columns > 8);
    bs_table_free(table);
    bs_hdf5_close(file);
}

TEST(table_where, a_family_says_itself_what_is_in_its_chunks)
{
    const basalt_store_options options = help_options(BASALT_READ_WRITE_CREATE);
    const basalt_hdf5_scan_options plain = {.row_count = UINT64_MAX};
    struct help_env env;
    struct help_schema schema;
    struct bs_store *store = NULL;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, HELP_ALL_TYPES);
    REQUIRE_OK(bs_store_open(&env.parts, "/a.h5", &options, &store, err));
    CHECK_OK(bs_store_family_create(store, "all/of it", &schema.root, NULL, err));
    CHECK_OK(help_append(store, "all/of it", &schema, 0, FAMILY_ROWS, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_close(&store, err));
    check_known(env.parts.vfs);
    check_file(env.parts.vfs, "/a.h5", "all%2Fof it", &plain, 20);
    help_schema_close(&schema);
    help_env_close(&env);
}

/* ---- what is ruled out is not read --------------------------------------------------------------- */

/* As numbers_file, with a wrong byte in each chunk of column n_late from row 30000 on. */
static const char *late_file(void)
{
    static char path[512];
    const char *sound = numbers_file();
    snprintf(path, sizeof path, "%s", test_path("late.h5"));
    const hid_t file = H5Fopen(sound, H5F_ACC_RDONLY, H5P_DEFAULT);
    const hid_t column = H5Dopen2(file, "t/n_late", H5P_DEFAULT);
    haddr_t places[16];
    unsigned count = 0;
    for (hsize_t row = 30000; row < ROWS_MANY; row += 5000) {
        unsigned mask;
        hsize_t bytes;
        CHECK(H5Dget_chunk_info_by_coord(column, &row, &mask, &places[count++], &bytes) >= 0);
    }
    H5Dclose(column);
    H5Fclose(file);
    copy_with_wrong_bytes(sound, path, places, count);
    return path;
}

static basalt_status find_all(struct bs_hdf5 *file, const size_t *columns, size_t column_count,
    const basalt_hdf5_range *ranges, size_t range_count, int64_t *out_rows, basalt_error *error)
{
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    basalt_hdf5_table_info info = {0};
    *out_rows = 0;
    basalt_status status = bs_hdf5_table_open(file, "t", &options, &table, error);
    if (!status) status = bs_hdf5_cursor_open(file, table, columns, column_count, &cursor, error);
    if (!status) status = bs_cursor_set_ranges(cursor, ranges, range_count, error);
    if (!status) bs_table_info(table, &info);
    for (uint64_t row = 0; !status && row < info.rows;) {
        basalt_hdf5_found found;
        status = bs_cursor_find(cursor, row, info.rows, 1, &found, error);
        *out_rows += found.rows.release ? found.rows.length : 0;
        if (found.rows.release) found.rows.release(&found.rows);
        row = found.next_row;
    }
    bs_cursor_close(cursor);
    bs_table_free(table);
    return status;
}

enum { ROW = 0, DOUBLE = 1, LATE = 13 };

TEST(table_where, what_is_ruled_out_is_not_read)
{
    static const size_t late[] = {LATE}, row[] = {ROW};
    basalt_hdf5_range early = {.column = ROW, .max = signed_bound(14999)};
    basalt_hdf5_range both[] = {early, {.column = LATE, .min = signed_bound(0)}};
    const basalt_hdf5_range none = {
        .column = ROW, .min = signed_bound(10), .max = float_bound(9.5)};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    int64_t rows = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_hdf5_open(vfs, late_file(), &file, err));
    CHECK_OK(find_all(file, late, 1, &early, 1, &rows, err)); /* another column */
    CHECK_EQ(rows, 15000);
    CHECK_OK(find_all(file, row, 1, both, 2, &rows, err)); /* another range */
    CHECK_EQ(rows, 15000);
    CHECK_OK(find_all(file, row, 0, &early, 1, &rows, err)); /* no column at all */
    CHECK_EQ(rows, 15000);
    CHECK_OK(find_all(file, late, 1, &none, 1, &rows, err));
    CHECK_EQ(rows, 0);
    early.max = signed_bound(ROWS_MANY);
    CHECK_EQ(find_all(file, late, 1, &early, 1, &rows, NULL), BASALT_CORRUPT);
    CHECK_EQ(find_all(file, row, 1, &both[1], 1, &rows, NULL), BASALT_CORRUPT);
    CHECK_OK(find_all(file, row, 1, &early, 1, &rows, err));
    CHECK_EQ(rows, ROWS_MANY);
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
}

TEST(table_where, what_cannot_be_is_refused)
{
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    basalt_hdf5_range range = {.column = 99};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    basalt_hdf5_found found;
    basalt_error error = {0};
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_hdf5_open(vfs, foreign_file(), &file, err));
    REQUIRE_OK(bs_hdf5_table_open(file, "frame", &options, &table, err));
    REQUIRE_OK(bs_hdf5_cursor_open(file, table, NULL, 0, &cursor, err));
    CHECK_EQ(bs_cursor_set_ranges(cursor, &range, 1, NULL), BASALT_BAD_ARGUMENT);
    range.column = 1;
    CHECK_EQ(bs_cursor_set_ranges(cursor, &range, 1, &error), BASALT_UNSUPPORTED);
    CHECK(strstr(error.message, "\"colour\"") != NULL);
    CHECK_EQ(bs_cursor_find(cursor, 0, ROWS + 1, 1, &found, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_cursor_find(cursor, 2, 1, 1, &found, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_cursor_find(cursor, 0, 1, 0, &found, NULL), BASALT_BAD_ARGUMENT);
    REQUIRE_OK(bs_cursor_find(cursor, 0, ROWS, 1, &found, err)); /* no ranges: all rows */
    CHECK_EQ(found.rows.length, ROWS);
    CHECK_EQ(found.run_count, 1);
    CHECK_EQ(found.next_row, ROWS);
    found.rows.release(&found.rows);
    bs_cursor_close(cursor);
    bs_table_free(table);
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
}

/* ---- many threads -------------------------------------------------------------------------------- */

struct finder {
    struct bs_hdf5 *file;
    const struct bs_table *table;
    const basalt_hdf5_range *range;
    atomic_uint *next;
    uint64_t found, wrong;
};

#define MORSELS 50

static void find_some(void *argument)
{
    static const size_t columns[] = {ROW, LATE};
    struct finder *finder = argument;
    struct bs_table_cursor *cursor = NULL;
    REQUIRE_OK(bs_hdf5_cursor_open(finder->file, finder->table, columns, 2, &cursor, err));
    REQUIRE_OK(bs_cursor_set_ranges(cursor, finder->range, 1, err));
    for (;;) {
        const uint64_t morsel = atomic_fetch_add(finder->next, 1), each = ROWS_MANY / MORSELS;
        if (morsel >= MORSELS) break;
        for (uint64_t row = morsel * each; row < (morsel + 1) * each;) {
            basalt_hdf5_found found;
            REQUIRE_OK(bs_cursor_find(cursor, row, (morsel + 1) * each, 1, &found, err));
            for (int64_t i = 0; found.rows.release && i < found.rows.length; i++) {
                const int64_t *rows = found.rows.children[0]->buffers[1];
                const int64_t *late = found.rows.children[1]->buffers[1];
                finder->wrong += rows[i] != late[i];
                finder->found++;
            }
            if (found.rows.release) found.rows.release(&found.rows);
            row = found.next_row;
        }
    }
    bs_cursor_close(cursor);
}

TEST(table_where, eight_threads_share_a_table)
{
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    const basalt_hdf5_range range = {.column = DOUBLE, .min = float_bound(0)};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    struct bs_thread *threads[THREADS] = {NULL};
    struct finder finders[THREADS];
    atomic_uint next = 0;
    uint64_t found = 0, expected = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    const int64_t before = test_live_allocations();
    REQUIRE_OK(bs_hdf5_open(vfs, numbers_file(), &file, err));
    REQUIRE_OK(bs_hdf5_table_open(file, "t", &options, &table, err));
    for (unsigned i = 0; i < THREADS; i++) {
        finders[i] = (struct finder){file, table, &range, &next, 0, 0};
        CHECK_OK(bs_thread_start("finder", find_some, &finders[i], &threads[i], err));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        bs_thread_join(threads[i]);
        CHECK_EQ(finders[i].wrong, 0);
        found += finders[i].found;
    }
    for (uint64_t row = 0; row < ROWS_MANY; row++) {
        const uint64_t bits = some_double(row);
        double value;
        memcpy(&value, &bits, sizeof value);
        expected += !(value < 0); /* NaN too */
    }
    CHECK_EQ(found, expected);
    bs_table_free(table);
    bs_hdf5_close(file);
    CHECK_EQ(test_live_allocations(), before);
    bs_vfs_free(vfs);
}

/* ---- faults -------------------------------------------------------------------------------------- */

static basalt_status find_and_close(
    struct bs_vfs *vfs, const char *path, basalt_hdf5_found *out, basalt_error *error)
{
    static const size_t columns[] = {1, 0};
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    const basalt_hdf5_range range = {.column = 0, .min = signed_bound(7), .max = signed_bound(30)};
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    memset(out, 0, sizeof *out);
    basalt_status status = bs_hdf5_open(vfs, foreign_file(), &file, error);
    if (!status) status = bs_hdf5_table_open(file, path, &options, &table, error);
    if (!status) status = bs_hdf5_cursor_open(file, table, columns, 2, &cursor, error);
    if (!status) status = bs_cursor_set_ranges(cursor, &range, 1, error);
    if (!status) status = bs_cursor_find(cursor, 0, ROWS, 1, out, error);
    bs_cursor_close(cursor);
    bs_table_free(table);
    bs_hdf5_close(file);
    return status;
}

TEST(table_where, no_memory_is_no_crash)
{
    static const char *const paths[] = {"/frame", "/records"};
    struct bs_vfs *vfs = NULL;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    (void)foreign_file();
    const int64_t before = test_live_allocations();
    for (size_t i = 0; i < BS_ARRAY_LENGTH(paths); i++) {
        EACH_FAULT (step) {
            basalt_hdf5_found found;
            const basalt_status status = find_and_close(vfs, paths[i], &found, NULL);
            fault_stop();
            CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
            CHECK_EQ(status == BASALT_OK, found.rows.release != NULL);
            if (!status) {
                CHECK_EQ(found.rows.length, 24);
                found.rows.release(&found.rows);
            }
            CHECK_EQ(test_live_allocations(), before);
        }
    }
    bs_vfs_free(vfs);
}
