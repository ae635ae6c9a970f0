/* selection_fuzz.c - any selection of any of a dozen datasets, as any type, against element by element.
 *
 * libhdf5 makes the file when the target starts, and gives what is in it; the selection is worked out
 * again here, one element at a time, by rules that know nothing of chunks. The reader must give the same
 * bytes or refuse for the same reason, through its cache or without, on one thread or two.
 *
 * INPUT: u8 dataset, u8 kind, u8 flags, u8 type, then numbers of u8, u16 or u64 as each one's first byte
 * says: of hyperslabs start, stride, count and block of every dimension; else coordinates. */
#include "h5/h5.h"
#include "tests/fuzz/input_vfs.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DATASETS_MAX 16
#define BYTES_MAX ((size_t)1 << 16)   /* of a dataset */
#define COUNT_MAX ((uint64_t)1 << 14) /* elements selected; more are only counted */
#define COORDINATES_MAX 64
#define CACHE_BYTES ((uint64_t)1 << 12)

enum flag { CLIP = 1, CACHED = 2, SHARED = 4, MEMBER = 8 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

struct known { /* a dataset, and all that is in it as libhdf5 gives it */
    char name[16];
    struct bs_h5_object *object;
    const struct bs_h5_space *space;
    uint64_t element_bytes;
    uint8_t *bytes;
};

static struct known known[DATASETS_MAX];
static unsigned known_count;
static struct bs_h5_file *h5;
static struct bs_sched *sched;
static struct bs_h5_cache *cache;

static void require(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "selection_fuzz: %s\n", what);
    abort();
}

/* ---- the file ---------------------------------------------------------------------------------- */

static hid_t record_type(void)
{
    hid_t type = H5Tcreate(H5T_COMPOUND, 12), text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, 3);
    H5Tinsert(type, "a", 0, H5T_STD_I16BE);
    H5Tinsert(type, "b", 2, H5T_IEEE_F64LE);
    H5Tpack(type);
    H5Tset_size(type, 14);
    H5Tinsert(type, "c", 11, text);
    H5Tclose(text);
    return type;
}

static hid_t narrow_type(void)
{
    hid_t type = H5Tcopy(H5T_STD_I32LE);
    H5Tset_precision(type, 13);
    H5Tset_offset(type, 5);
    return type;
}

static void put_values(uint8_t *bytes, size_t count, hid_t type)
{
    uint64_t state = 88172645463325252u;
    const bool numbers = H5Tget_class(type) == H5T_FLOAT && H5Tget_size(type) == 8;
    for (size_t i = 0; i < count; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
    if (!numbers) return;
    for (size_t i = 0; i + 8 <= count; i += 8) { /* some fit into integers */
        static const double few[] = {0, -1, 1e10, 0.5, 1e300, -128, 255, 65536, 0x1p63, -0x1p63};
        const double value = i % 24 ? few[i / 8 % 10] : (double)(i / 8);
        memcpy(bytes + i, &value, 8);
    }
}

/* `layout` 0: contiguous; 1: chunked; 2: compressed; 3: chunked, of which only a part is stored. */
static void put(hid_t file, hid_t type, unsigned rank, const hsize_t *dims, const hsize_t *chunk,
    unsigned layout)
{
    struct known *one = &known[known_count++];
    static uint8_t values[BYTES_MAX];
    hsize_t part[H5S_MAX_RANK] = {0}, at[H5S_MAX_RANK] = {0};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE),
          space = H5Screate_simple((int)rank, dims, NULL);

    snprintf(one->name, sizeof one->name, "/%c", 'a' + (int)known_count);
    if (layout) H5Pset_chunk(properties, (int)rank, chunk);
    if (layout == 2) H5Pset_shuffle(properties);
    if (layout == 2) H5Pset_deflate(properties, 1);
    hid_t dataset = H5Dcreate2(file, one->name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    put_values(values, sizeof values, type);
    for (unsigned d = 0; d < rank; d++) part[d] = layout == 3 ? (dims[d] + 1) / 2 : dims[d];
    hid_t memory = H5Screate_simple((int)rank, part, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, part, NULL);
    require(H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, values) >= 0, "cannot write");
    one->bytes = calloc(1, BYTES_MAX);
    require(one->bytes && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, one->bytes) >= 0,
        "cannot read");
    H5Sclose(memory);
    H5Sclose(space);
    H5Pclose(properties);
    H5Dclose(dataset);
}

static void make_datasets(hid_t file)
{
    const hsize_t line[] = {1000}, line_chunk[] = {37}, plane[] = {40, 25}, plane_chunk[] = {7, 9};
    const hsize_t cube[] = {6, 7, 8}, cube_chunk[] = {4, 3, 5}, four[] = {3, 4, 2, 5},
                  four_chunk[] = {2, 2, 2, 2}, one[] = {1}, list[] = {3};
    hid_t record = record_type(), narrow = narrow_type();
    hid_t array = H5Tarray_create2(H5T_STD_U16LE, 1, list);
    hid_t scalar = H5Screate(H5S_SCALAR);

    put(file, H5T_STD_I32LE, 1, line, NULL, 0);
    put(file, H5T_STD_U16BE, 1, line, line_chunk, 1);
    put(file, H5T_IEEE_F64LE, 1, line, line_chunk, 2);
    put(file, H5T_IEEE_F32BE, 2, plane, plane_chunk, 2);
    put(file, H5T_STD_I64LE, 2, plane, plane_chunk, 3);
    put(file, H5T_STD_U8LE, 3, cube, NULL, 0);
    put(file, H5T_STD_I16LE, 3, cube, cube_chunk, 2);
    put(file, H5T_STD_U64BE, 4, four, four_chunk, 1);
    put(file, record, 2, plane, plane_chunk, 2);
    put(file, record, 1, line, NULL, 0);
    put(file, narrow, 1, line, line_chunk, 2);
    put(file, array, 2, plane, plane_chunk, 1);
    put(file, H5T_STD_I8LE, 1, one, one, 1);
    H5Sclose(scalar);
    H5Tclose(array);
    H5Tclose(narrow);
    H5Tclose(record);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    struct bs_file *file = NULL;
    basalt_error fault = {0};

    (void)argc, (void)argv;
    require(H5Pset_fapl_core(access, 1 << 20, 0) >= 0, "no memory file");
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hid_t made = H5Fcreate("selection", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    make_datasets(made);
    H5Fflush(made, H5F_SCOPE_GLOBAL);
    const ssize_t count = H5Fget_file_image(made, NULL, 0);
    uint8_t *image = malloc((size_t)count);
    require(image && H5Fget_file_image(made, image, (size_t)count) == count, "no image");
    H5Fclose(made);
    H5Pclose(access);
    /* libhdf5 takes the mark of an open file out of the image, and leaves the sum as it was. */
    bs_store_u32(image + 44, bs_lookup3(image, 44, 0));
    struct bs_vfs *vfs = input_vfs_make(image, (size_t)count);
    require(!bs_file_open(vfs, INPUT_PATH, BS_OPEN_READ, &file, NULL), "cannot open");
    require(!bs_h5_file_open(file, &h5, &fault), fault.message);
    require(!bs_sched_create(1, &sched, NULL) && !bs_h5_cache_create(CACHE_BYTES, &cache, NULL),
        "no helpers");
    for (unsigned i = 0; i < known_count; i++) {
        struct known *one = &known[i];
        require(!bs_h5_object_open_path(h5, one->name, &one->object, NULL), "no dataset");
        one->space = &bs_h5_object_dataset(one->object)->space;
        one->element_bytes = bs_h5_object_type(one->object)->size_bytes;
    }
    return 0;
}

/* ---- numbers, one at a time -------------------------------------------------------------------- */

struct format {       /* of a plain number */
    const char *word; /* as bs_h5_type_parse has it */
    unsigned bytes;
    bool is_float, is_signed, big_endian;
};

static const struct format formats[] = {{"|i1", 1, false, true, false},
    {"|u1", 1, false, false, false}, {"<i2", 2, false, true, false}, {">u2", 2, false, false, true},
    {">i4", 4, false, true, true}, {"<u4", 4, false, false, false}, {"<i8", 8, false, true, false},
    {">u8", 8, false, false, true}, {"<f4", 4, true, true, false}, {">f4", 4, true, true, true},
    {"<f8", 8, true, true, false}, {">f8", 8, true, true, true}};

/* False: it is no plain number. */
static bool format_of(const struct bs_h5_type *type, struct format *format)
{
    const bool whole = !type->bit_offset && type->bit_precision == type->size_bytes * 8;
    *format = (struct format){NULL, type->size_bytes, type->kind == BS_H5_FLOAT,
        type->is_signed || type->kind == BS_H5_FLOAT, type->big_endian};
    return whole && (type->kind == BS_H5_INTEGER || type->kind == BS_H5_FLOAT) &&
        (!format->is_float || type->size_bytes >= 4);
}

/* All of them fit into the 64 bits that a long double has for digits. */
static long double take(const struct format *format, const uint8_t *bytes)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < format->bytes; i++)
        word = word << 8 | bytes[format->big_endian ? i : format->bytes - 1 - i];
    if (format->is_float && format->bytes == 4) {
        const uint32_t half = (uint32_t)word;
        float value;
        memcpy(&value, &half, 4);
        return (long double)value;
    }
    if (format->is_float) {
        double value;
        memcpy(&value, &word, 8);
        return (long double)value;
    }
    if (!format->is_signed) return (long double)word;
    const unsigned above = 64 - 8 * format->bytes;
    return (long double)((int64_t)(word << above) >> above);
}

static void give(const struct format *format, uint64_t word, uint8_t *out)
{
    for (unsigned i = 0; i < format->bytes; i++)
        out[format->big_endian ? format->bytes - 1 - i : i] = (uint8_t)(word >> 8 * i);
}

/* False: it does not fit; the nearest is given. */
static bool give_float(const struct format *format, long double value, uint8_t *out)
{
    uint64_t word = 0;
    bool fits = true;
    if (format->bytes == 4) {
        const float narrow = (float)value;
        uint32_t half;
        memcpy(&half, &narrow, 4);
        word = half;
        fits = !isinf(narrow) || isinf(value);
    } else {
        const double narrow = (double)value;
        memcpy(&word, &narrow, 8);
    }
    give(format, word, out);
    return fits;
}

static bool give_number(const struct format *format, long double value, uint8_t *out)
{
    const int bits = (int)format->bytes * 8 - (format->is_signed ? 1 : 0);
    const long double high = ldexpl(1, bits) - 1, low = format->is_signed ? -ldexpl(1, bits) : 0;

    if (format->is_float) return give_float(format, value, out);
    const bool nothing = isnan(value);
    const long double whole = nothing ? 0 : truncl(value);
    const long double near = whole < low ? low : whole > high ? high : whole;
    give(format, near < 0 ? (uint64_t)(int64_t)near : (uint64_t)near, out);
    return !nothing && near == value;
}

/* ---- the selection, one element at a time ------------------------------------------------------ */

struct wanted {
    struct known *from;
    struct bs_h5_selection selection;
    uint64_t coordinates[COORDINATES_MAX * BS_H5_RANK_MAX];
    uint64_t count; /* elements */
    bool inside;
};

/* A dimension of a hyperslab, without a number that could overflow. */
static bool slab_fits(const struct bs_h5_selection *selection, unsigned d, uint64_t dim)
{
    __extension__ typedef unsigned __int128 wide;
    const wide count = selection->count[d], block = selection->block[d];
    if (!count || !block) return true;
    if (count > 1 && selection->stride[d] < selection->block[d]) return false;
    return (wide)selection->start[d] + (count - 1) * selection->stride[d] + block <= dim;
}

static void count_elements(struct wanted *wanted)
{
    const struct bs_h5_space *space = wanted->from->space;
    const struct bs_h5_selection *selection = &wanted->selection;

    wanted->inside = true;
    wanted->count = 1;
    if (selection->kind == BS_H5_SELECT_POINTS || selection->kind == BS_H5_SELECT_ROWS) {
        const unsigned each = selection->kind == BS_H5_SELECT_POINTS ? space->rank : 1;
        wanted->count = selection->coordinate_count;
        for (uint64_t i = 0; i < selection->coordinate_count * each; i++)
            wanted->inside = wanted->inside && selection->coordinates[i] < space->dims[i % each];
        for (unsigned d = 1; each == 1 && space->rank > 1 && d < space->rank; d++)
            if (selection->kind == BS_H5_SELECT_ROWS) wanted->count *= space->dims[d];
        return;
    }
    for (unsigned d = 0; d < space->rank; d++) {
        const bool all = selection->kind == BS_H5_SELECT_ALL;
        if (!all && !slab_fits(selection, d, space->dims[d])) wanted->inside = false;
        if (wanted->inside)
            wanted->count *= all ? space->dims[d] : selection->count[d] * selection->block[d];
    }
}

/* Where the element number `index` of the selection is in the dataset. */
static uint64_t place_of(const struct wanted *wanted, uint64_t index)
{
    const struct bs_h5_space *space = wanted->from->space;
    const struct bs_h5_selection *selection = &wanted->selection;
    uint64_t at[BS_H5_RANK_MAX], place = 0;

    for (unsigned d = space->rank; d-- > 0;) {
        const bool listed = selection->kind == BS_H5_SELECT_ROWS && d == 0;
        uint64_t each = space->dims[d];
        if (selection->kind == BS_H5_SELECT_HYPERSLAB)
            each = selection->count[d] * selection->block[d];
        if (listed) each = selection->coordinate_count;
        const uint64_t here = index % each;
        index /= each;
        at[d] = here;
        if (listed) at[d] = selection->coordinates[here];
        if (selection->kind == BS_H5_SELECT_HYPERSLAB)
            at[d] = selection->start[d] + here / selection->block[d] * selection->stride[d] +
                here % selection->block[d];
    }
    for (unsigned d = 0; d < space->rank; d++) place = place * space->dims[d] + at[d];
    return place;
}

static uint64_t point_of(const struct wanted *wanted, uint64_t index)
{
    const struct bs_h5_space *space = wanted->from->space;
    uint64_t place = 0;
    for (unsigned d = 0; d < space->rank; d++)
        place = place * space->dims[d] + wanted->coordinates[index * space->rank + d];
    return place;
}

/* ---- one input --------------------------------------------------------------------------------- */

static uint64_t number(struct bs_cursor *cursor)
{
    const uint8_t first = bs_cursor_u8(cursor);
    if (first < 0xF0) return first;
    return first < 0xFE ? bs_cursor_u16(cursor) % 1024 : bs_cursor_u64(cursor);
}

static void decode(struct bs_cursor *cursor, uint8_t kind, struct wanted *wanted)
{
    struct bs_h5_selection *selection = &wanted->selection;
    const unsigned rank = wanted->from->space->rank;

    *selection =
        (struct bs_h5_selection){.kind = (enum bs_h5_selection_kind)(kind % 4), .rank = rank};
    if (selection->kind == BS_H5_SELECT_HYPERSLAB)
        for (unsigned d = 0; d < rank; d++) {
            selection->start[d] = number(cursor);
            selection->stride[d] = number(cursor);
            selection->count[d] = number(cursor);
            selection->block[d] = number(cursor);
        }
    if (selection->kind < BS_H5_SELECT_POINTS) return;
    selection->coordinates = wanted->coordinates;
    const unsigned each = selection->kind == BS_H5_SELECT_POINTS ? rank : 1;
    while (bs_cursor_left(cursor) >= each && selection->coordinate_count < COORDINATES_MAX) {
        for (unsigned d = 0; d < each; d++)
            wanted->coordinates[selection->coordinate_count * each + d] = number(cursor);
        selection->coordinate_count++;
    }
}

/* What must come out; false: an element does not fit. */
static bool expect(const struct wanted *wanted, const struct bs_h5_type *from, uint64_t offset,
    const struct format *to, uint8_t *out)
{
    struct format format = {0};
    bool fits = true;

    if (to) require(format_of(from, &format), "the target converts what it does not know");
    for (uint64_t i = 0; i < wanted->count; i++) {
        const uint64_t place = wanted->selection.kind == BS_H5_SELECT_POINTS ? point_of(wanted, i)
                                                                             : place_of(wanted, i);
        const uint8_t *at = wanted->from->bytes + place * wanted->from->element_bytes + offset;
        if (!to)
            memcpy(out + i * from->size_bytes, at, from->size_bytes);
        else if (!give_number(to, take(&format, at), out + i * to->bytes))
            fits = false;
    }
    return fits;
}

static bool same(const struct format *to, const uint8_t *a, const uint8_t *b, uint64_t bytes)
{
    if (!to || !to->is_float) return !memcmp(a, b, (size_t)bytes);
    for (uint64_t i = 0; i < bytes; i += to->bytes) { /* which NaN it is, nobody promises */
        if (!memcmp(a + i, b + i, to->bytes)) continue;
        if (!isnan(take(to, a + i)) || !isnan(take(to, b + i))) return false;
    }
    return true;
}

static void compare(struct wanted *wanted, const struct bs_h5_read_how *how,
    const struct bs_h5_type *from, uint64_t offset, const struct format *to)
{
    const uint64_t each = to ? to->bytes : from->size_bytes, bytes = wanted->count * each;
    uint8_t *expected = malloc((size_t)bytes + 1), *read = malloc((size_t)bytes + 1);
    basalt_error fault = {0};
    uint64_t element_bytes = 0;

    require(expected && read, "no memory");
    require(!bs_h5_element_bytes(wanted->from->object, how, &element_bytes, NULL) &&
            element_bytes == each,
        "an element has another size");
    const bool fits = expect(wanted, from, offset, to, expected);
    const basalt_status status = bs_h5_read_selection(
        h5, wanted->from->object, &wanted->selection, how, read, bytes, &fault);
    if (fits || how->clip) {
        if (status) fprintf(stderr, "%s\n", fault.message);
        require(status == BASALT_OK, "what fits is not read");
        require(same(to, expected, read, bytes), "other elements are read");
    } else {
        require(status == BASALT_TOO_LARGE && fault.message[0], "what does not fit is read");
    }
    free(expected);
    free(read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bs_cursor cursor = bs_cursor_make(data, count, BASALT_NO_OFFSET);
    static const char *const members[] = {"a", "b", "c"};
    static struct wanted wanted; /* large, and one at a time */
    struct bs_h5_type *as = NULL;
    struct format format;
    uint64_t selected = 0;

    wanted.from = &known[bs_cursor_u8(&cursor) % known_count];
    const uint8_t kind = bs_cursor_u8(&cursor), flags = bs_cursor_u8(&cursor);
    const uint8_t type = bs_cursor_u8(&cursor);
    const struct bs_h5_type *from = bs_h5_object_type(wanted.from->object);
    uint64_t offset = 0;
    struct bs_h5_read_how how = {.clip = flags & CLIP,
        .cache = flags & CACHED ? cache : NULL,
        .sched = flags & SHARED ? sched : NULL};

    decode(&cursor, kind, &wanted);
    if (from->kind == BS_H5_COMPOUND && flags & MEMBER) {
        how.members = &members[type % from->member_count];
        how.member_count = 1;
        offset = from->members[type % from->member_count].offset;
        from = from->members[type % from->member_count].type;
    }
    const struct format *to =
        type / 4 < BS_ARRAY_LENGTH(formats) && format_of(from, &format) ? &formats[type / 4] : NULL;
    if (to) require(!bs_h5_type_parse(to->word, &as, NULL), "a word is not understood");
    how.as = as;
    count_elements(&wanted);
    const basalt_status status =
        bs_h5_selection_count(wanted.from->object, &wanted.selection, &selected, NULL);
    require(wanted.inside == !status, "inside or not?");
    require(!wanted.inside || selected == wanted.count, "the number of elements differs");
    if (wanted.inside && wanted.count <= COUNT_MAX) compare(&wanted, &how, from, offset, to);
    bs_h5_type_free(as);
    return 0;
}
