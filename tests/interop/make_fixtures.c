/* make_fixtures.c - makes, with libhdf5, a file for each part of the format that real files seldom have.
 *
 *   make_fixtures FOLDER
 *
 * One line a file that is to be read: its name, what to call it for libhdf5, and libhdf5's driver, split
 * by tabs. Each file is made in the oldest and in the newest format, where the part exists in both. */
#include <hdf5.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT 60

static int age; /* 0: oldest format, 1: newest */
static int failures;
static int
    few; /* only what libhdf5 keeps outside heaps: those of 2-byte lengths it cannot read itself */

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            fprintf(stderr, "make_fixtures:%d: %s failed\n", __LINE__, #call);                     \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static const char *name_of(const char *what)
{
    static char names[8][80];
    static unsigned next;
    char *name = names[next++ % 8];
    snprintf(name, sizeof names[0], "%s-%s.h5", what, age ? "new" : "old");
    return name;
}

static hid_t access_list(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (age) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    return access;
}

/* Begins a file and tells of it. */
static hid_t begin_with(const char *what, hid_t creation, hid_t access)
{
    hid_t file = H5Fcreate(name_of(what), H5F_ACC_TRUNC, creation, access);
    MUST(file);
    printf("%s\t%s\t\n", name_of(what), name_of(what));
    H5Pclose(access);
    return file;
}

static hid_t begin(const char *what)
{
    return begin_with(what, H5P_DEFAULT, access_list());
}

static hid_t space_of(hsize_t count)
{
    return H5Screate_simple(1, &count, NULL);
}

static void put(hid_t file, const char *name, hid_t type, hid_t memory, hid_t properties,
    hsize_t count, const void *values)
{
    hid_t space = space_of(count);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    MUST(dataset);
    MUST(H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    H5Dclose(dataset);
    H5Sclose(space);
}

static void put_attribute(
    hid_t place, const char *name, hid_t type, hid_t memory, hsize_t count, const void *values)
{
    hid_t space = count ? space_of(count) : H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(place, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    MUST(attribute);
    MUST(H5Awrite(attribute, memory, values));
    H5Aclose(attribute);
    H5Sclose(space);
}

static const int *counting(void)
{
    static int values[5000];
    for (int i = 0; i < 5000; i++) values[i] = i * 7 - 3;
    return values;
}

static hid_t row_type(void)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, 24);
    H5Tinsert(row, "number", 0, H5T_STD_I64LE);
    H5Tinsert(row, "ratio", 8, H5T_IEEE_F64BE);
    H5Tinsert(row, "small", 16, H5T_STD_U16LE);
    return row;
}

/* Groups, chunks with filters and fill values, attributes few and many: what every file may have. */
static void fill_plainly(hid_t file)
{
    const int fill = -9;
    const hsize_t chunk[1] = {16};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), row = row_type();
    uint8_t rows[24 * COUNT];

    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)(i * 31);
    H5Pset_chunk(properties, 1, chunk);
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 4);
    H5Pset_fill_value(properties, H5T_NATIVE_INT, &fill);
    for (int i = 0; i < (few ? 2 : 6); i++) {
        char name[32];
        snprintf(name, sizeof name, "filtered %d", i);
        put(file, name, H5T_STD_I32LE, H5T_NATIVE_INT, properties, COUNT, counting() + i);
        hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
        put_attribute(
            dataset, "unit of measurement", H5T_STD_I32LE, H5T_NATIVE_INT, 12, counting());
        put_attribute(dataset, "one", H5T_STD_I32LE, H5T_NATIVE_INT, 0, counting());
        for (int a = 0; a < (i < 2 && !few ? 14 : 0); a++) {
            snprintf(name, sizeof name, "number %d of many", a);
            put_attribute(dataset, name, H5T_STD_I32BE, H5T_NATIVE_INT, 5, counting());
        }
        H5Dclose(dataset);
        snprintf(name, sizeof name, "rows %d", i);
        put(file, name, row, row, H5P_DEFAULT, COUNT, rows);
        snprintf(name, sizeof name, "group %d", i);
        hid_t group = H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        for (int g = 0; g < i * 5; g++) {
            snprintf(name, sizeof name, "child %d", g);
            H5Gclose(H5Gcreate2(group, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        }
        put_attribute(group, "row", row, row, 2, rows);
        H5Gclose(group);
    }
    H5Tclose(row);
    H5Pclose(properties);
}

/* ---- the superblock and its extension ---------------------------------------------------------- */

static void make_sizes(void)
{
    for (unsigned width = 2; width <= 8; width *= 2) {
        char what[32];
        hid_t creation = H5Pcreate(H5P_FILE_CREATE);
        snprintf(what, sizeof what, "sizes-%u", width);
        H5Pset_sizes(creation, width, width);
        H5Pset_userblock(creation, 1024);
        hid_t file = begin_with(what, creation, access_list());
        few = age && width == 2;
        fill_plainly(file);
        few = 0;
        H5Fclose(file);
        H5Pclose(creation);
    }
}

static void make_extensions(void)
{
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_istore_k(creation, 5);
    H5Pset_sym_k(creation, 3, 2);
    hid_t file = begin_with("k-values", creation, access_list());
    fill_plainly(file);
    H5Fclose(file);
    H5Pclose(creation);
    for (int strategy = H5F_FSPACE_STRATEGY_FSM_AGGR; strategy < H5F_FSPACE_STRATEGY_NTYPES;
         strategy++) {
        char what[32];
        creation = H5Pcreate(H5P_FILE_CREATE);
        snprintf(what, sizeof what, "space-%d", strategy);
        MUST(H5Pset_file_space_strategy(
            creation, (H5F_fspace_strategy_t)strategy, strategy < 2, (hsize_t)1));
        file = begin_with(what, creation, access_list());
        fill_plainly(file);
        H5Ldelete(file, "filtered 0", H5P_DEFAULT);
        H5Fclose(file);
        H5Pclose(creation);
    }
}

static void make_cache_image(void)
{
    H5AC_cache_image_config_t image = {H5AC__CURR_CACHE_IMAGE_CONFIG_VERSION, 1, 0, -1};
    hid_t access = access_list();

    if (!age) {
        H5Pclose(access);
        return;
    }
    MUST(H5Pset_mdc_image_config(access, &image));
    hid_t file = begin_with("cache-image", H5P_DEFAULT, access);
    fill_plainly(file);
    H5Fclose(file);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");

    for (size_t got; in && out && (got = fread(bytes, 1, sizeof bytes, in)) > 0;)
        if (fwrite(bytes, 1, got, out) != got) failures++;
    if (in) fclose(in);
    if (out) fclose(out);
}

/* As it is on disk while it is open; libhdf5 itself reads only the closed one. */
static void make_flagged(void)
{
    if (!age) return;
    hid_t access = access_list();
    hid_t file = H5Fcreate("closed-new.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    fill_plainly(file);
    MUST(H5Fflush(file, H5F_SCOPE_GLOBAL));
    copy_file("closed-new.h5", "flagged-new.h5");
    H5Fclose(file);
    printf("flagged-new.h5\tclosed-new.h5\t\n");
}

/* ---- files in parts ---------------------------------------------------------------------------- */

static void make_parts(void)
{
    char name[64];
    const char *tail = age ? "new" : "old";

    hid_t access = access_list();
    H5Pset_fapl_family(access, 3000, H5P_DEFAULT);
    snprintf(name, sizeof name, "family-%s-%%04d.h5", tail);
    hid_t file = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    MUST(file);
    fill_plainly(file);
    H5Fclose(file);
    H5Pclose(access);
    printf("family-%s-0000.h5\t%s\tfamily 3000\n", tail, name);

    access = access_list();
    H5Pset_fapl_split(access, "-m.h5", H5P_DEFAULT, "-r.h5", H5P_DEFAULT);
    snprintf(name, sizeof name, "split-%s", tail);
    file = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    MUST(file);
    fill_plainly(file);
    H5Fclose(file);
    H5Pclose(access);
    printf("split-%s-m.h5\t%s\tsplit\n", tail, name);

    access = access_list();
    H5Pset_fapl_multi(access, NULL, NULL, NULL, NULL, 1);
    snprintf(name, sizeof name, "multi-%s", tail);
    file = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    MUST(file);
    fill_plainly(file);
    H5Fclose(file);
    H5Pclose(access);
    printf("multi-%s-s.h5\t%s\tmulti\n", tail, name);
}

/* ---- shared messages --------------------------------------------------------------------------- */

static void make_shared(const char *what, unsigned list_max, unsigned message_min)
{
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);

    MUST(H5Pset_shared_mesg_nindexes(creation, 3));
    MUST(H5Pset_shared_mesg_index(
        creation, 0, H5O_SHMESG_DTYPE_FLAG | H5O_SHMESG_SDSPACE_FLAG, message_min));
    MUST(H5Pset_shared_mesg_index(
        creation, 1, H5O_SHMESG_FILL_FLAG | H5O_SHMESG_PLINE_FLAG, message_min));
    MUST(H5Pset_shared_mesg_index(creation, 2, H5O_SHMESG_ATTR_FLAG, message_min));
    MUST(H5Pset_shared_mesg_phase_change(creation, list_max, list_max ? list_max - 1 : 0));
    hid_t file = begin_with(what, creation, access_list());
    fill_plainly(file);
    /* An attribute over what fits a block of the heap, and committed beside shared types. */
    put_attribute(file, "large", H5T_STD_I32LE, H5T_NATIVE_INT, 1500, counting());
    put_attribute(file, "large again", H5T_STD_I32LE, H5T_NATIVE_INT, 1500, counting());
    hid_t row = row_type();
    MUST(H5Tcommit2(file, "committed", row, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    put(file, "of committed", row, H5T_NATIVE_INT == row ? row : row_type(), H5P_DEFAULT, 3,
        counting());
    put_attribute(file, "of committed", row, row_type(), 3, counting());
    H5Tclose(row);
    H5Fclose(file);
    H5Pclose(creation);
}

/* ---- links ------------------------------------------------------------------------------------- */

static ssize_t no_query(const char *name, const void *data, size_t count, void *out, size_t room)
{
    (void)name, (void)data, (void)count, (void)out, (void)room;
    return 0;
}

static hid_t no_traversal(
    const char *name, hid_t group, const void *data, size_t count, hid_t access, hid_t transfer)
{
    (void)name, (void)group, (void)data, (void)count, (void)access, (void)transfer;
    return -1;
}

static void make_links(void)
{
    const H5L_class_t own = {.version = H5L_LINK_CLASS_T_VERS,
        .id = (H5L_type_t)100,
        .comment = "own",
        .trav_func = no_traversal,
        .query_func = no_query};
    char nested[64];

    snprintf(nested, sizeof nested, "folder/%s", name_of("links-target"));
    hid_t access = access_list();
    hid_t target = H5Fcreate(nested, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    MUST(target);
    put(target, "data", H5T_STD_I32LE, H5T_NATIVE_INT, H5P_DEFAULT, COUNT, counting());
    H5Gclose(H5Gcreate2(target, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    put(target, "group/inside", H5T_STD_I32BE, H5T_NATIVE_INT, H5P_DEFAULT, 9, counting());
    H5Lcreate_soft("group/inside", target, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(
        name_of("links-target"), "/data", target, "to itself", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(
        name_of("links-target"), "/circle", target, "circle", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(target);
    H5Pclose(access);

    hid_t file = begin("links");
    H5Lcreate_external(nested, "/data", file, "external", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(nested, "soft", file, "external to soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(
        nested, "/to itself", file, "external to external", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(nested, "/group", file, "group elsewhere", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/group elsewhere/inside", file, "soft to external", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(nested, "/circle", file, "circle", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("missing.h5", "/data", file, "missing file", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(nested, "/missing", file, "missing object", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/round", file, "about", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/about", file, "round", H5P_DEFAULT, H5P_DEFAULT);
    MUST(H5Lregister(&own));
    MUST(H5Lcreate_ud(file, "own", (H5L_type_t)100, "data", 4, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(file);
    H5Lunregister((H5L_type_t)100);
}

/* ---- external raw files ------------------------------------------------------------------------ */

static void make_external(void)
{
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    FILE *raw = fopen("raw-short.bin", "wb");

    for (int i = 0; raw && i < 100; i++) fputc(i, raw);
    if (raw) fclose(raw);
    hid_t file = begin("external");
    MUST(H5Pset_external(properties, name_of("raw-a"), 40, 100));
    MUST(H5Pset_external(properties, name_of("raw-b"), 0, 60));
    MUST(H5Pset_external(properties, name_of("raw-a"), 400, H5F_UNLIMITED));
    put(file, "three pieces", H5T_STD_I32LE, H5T_NATIVE_INT, properties, COUNT, counting());
    H5Pclose(properties);
    properties = H5Pcreate(H5P_DATASET_CREATE);
    MUST(H5Pset_external(properties, "raw-short.bin", 20, COUNT * 4));
    hid_t space = space_of(COUNT);
    H5Dclose(H5Dcreate2(
        file, "file is short", H5T_STD_I32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(properties);
    H5Fclose(file);
}

/* ---- filtered fractal heaps -------------------------------------------------------------------- */

static void make_heaps(void)
{
    hid_t file = begin("heaps");
    for (int filtered = 0; filtered < 2; filtered++)
        for (int count = 1; count <= 3000; count = count < 20 ? 20 : count * 12) {
            char name[6000];
            hid_t properties = H5Pcreate(H5P_GROUP_CREATE);
            MUST(H5Pset_link_phase_change(properties, 0, 0));
            if (filtered) {
                MUST(H5Pset_deflate(properties, 6));
                MUST(H5Pset_fletcher32(properties));
            }
            snprintf(name, sizeof name, "%s %d", filtered ? "filtered" : "plain", count);
            hid_t group = H5Gcreate2(file, name, H5P_DEFAULT, properties, H5P_DEFAULT);
            MUST(group);
            for (int i = 0; i < count; i++) {
                snprintf(name, sizeof name, "%0*d", 10 + i % 90, i);
                MUST(H5Lcreate_soft("/nowhere", group, name, H5P_DEFAULT, H5P_DEFAULT));
            }
            for (int i = 0; i < 3; i++) { /* too large for a block */
                memset(name, 'a' + i, 5000);
                snprintf(name + 4990, 9, "%d", i);
                MUST(H5Lcreate_soft("/nowhere", group, name, H5P_DEFAULT, H5P_DEFAULT));
            }
            H5Gclose(group);
            H5Pclose(properties);
        }
    H5Fclose(file);
}

/* ---- datatypes --------------------------------------------------------------------------------- */

static void put_both(hid_t file, const char *name, hid_t type, hsize_t count, const void *values)
{
    put(file, name, type, type, H5P_DEFAULT, count, values);
    hid_t group = H5Gopen2(file, "as attributes", H5P_DEFAULT);
    put_attribute(group, name, type, type, count, values);
    H5Gclose(group);
    H5Tclose(type);
}

static hid_t odd_float(size_t size, size_t precision, size_t offset, const size_t fields[5],
    size_t bias, H5T_order_t order)
{
    hid_t type = H5Tcopy(H5T_IEEE_F64LE);
    MUST(H5Tset_fields(type, fields[0], fields[1], fields[2], fields[3], fields[4]));
    MUST(H5Tset_offset(type, offset));
    MUST(H5Tset_precision(type, precision));
    MUST(H5Tset_size(type, size));
    MUST(H5Tset_ebias(type, bias));
    MUST(H5Tset_order(type, order));
    return type;
}

static void put_floats(hid_t file, const void *values)
{
    static const size_t half[5] = {15, 10, 5, 0, 10}, brain[5] = {15, 7, 8, 0, 7};
    static const size_t inside[5] = {22, 16, 6, 4, 12}, eight[5] = {7, 3, 4, 0, 3};

    put_both(file, "VAX F", H5Tcopy(H5T_VAX_F32), 8, values);
    put_both(file, "VAX D", H5Tcopy(H5T_VAX_F64), 8, values);
    put_both(file, "half", odd_float(2, 16, 0, half, 15, H5T_ORDER_LE), 8, values);
    put_both(file, "bfloat16", odd_float(2, 16, 0, brain, 127, H5T_ORDER_BE), 8, values);
    put_both(file, "float inside", odd_float(4, 19, 4, inside, 31, H5T_ORDER_LE), 8, values);
    put_both(file, "float of a byte", odd_float(1, 8, 0, eight, 7, H5T_ORDER_LE), 8, values);
    put_both(file, "long double", H5Tcopy(H5T_NATIVE_LDOUBLE), 2, values);
}

static void put_integers(hid_t file, const void *values)
{
    static const char *const orders[] = {"little", "big"};
    char name[64];

    for (size_t size = 1; size <= 16; size = size < 8 ? size + 1 : size * 2)
        for (int big = 0; big < 2; big++) {
            hid_t type = H5Tcopy(big ? H5T_STD_I64BE : H5T_STD_U64LE);
            MUST(H5Tset_size(type, size));
            snprintf(name, sizeof name, "integer of %zu %s", size, orders[big]);
            put_both(file, name, H5Tcopy(type), 4, values);
            if (size > 1) {
                MUST(H5Tset_precision(type, size * 8 - 5));
                MUST(H5Tset_offset(type, 3));
                snprintf(name, sizeof name, "integer of %zu %s inside", size, orders[big]);
                put_both(file, name, H5Tcopy(type), 4, values);
            }
            H5Tclose(type);
            if (size > 8) continue;
            type = H5Tcopy(big ? H5T_STD_I64BE : H5T_STD_U64LE);
            MUST(H5Tset_size(type, size));
            hid_t choice = H5Tenum_create(type);
            const uint8_t zero[16] = {0},
                          other[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
            MUST(H5Tenum_insert(choice, "nothing", zero));
            MUST(H5Tenum_insert(choice, "ones", other));
            snprintf(name, sizeof name, "enum of %zu %s", size, orders[big]);
            put_both(file, name, choice, 4, values);
            H5Tclose(type);
        }
}

static void put_texts(hid_t file, const void *values)
{
    static const H5T_str_t paddings[] = {H5T_STR_NULLTERM, H5T_STR_NULLPAD, H5T_STR_SPACEPAD};
    const char *words[5] = {"one", "", "three \xc3\xa9", "   spaces ", "five"};
    char name[64];

    for (int utf8 = 0; utf8 < 2; utf8++)
        for (int p = 0; p < 3; p++) {
            hid_t text = H5Tcopy(H5T_C_S1);
            MUST(H5Tset_strpad(text, paddings[p]));
            MUST(H5Tset_cset(text, utf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII));
            MUST(H5Tset_size(text, 7));
            snprintf(name, sizeof name, "fixed text %d %d", utf8, p);
            put_both(file, name, H5Tcopy(text), 4, values);
            MUST(H5Tset_size(text, H5T_VARIABLE));
            snprintf(name, sizeof name, "text %d %d", utf8, p);
            put_both(file, name, text, 5, words);
        }
}

static void put_others(hid_t file, const void *values)
{
    hid_t type = H5Tcreate(H5T_OPAQUE, 11);
    MUST(H5Tset_tag(type, "a tag of some length"));
    put_both(file, "opaque", type, 4, values);
    put_both(file, "time", H5Tcopy(H5T_UNIX_D32LE), 4, values);
    put_both(file, "time big", H5Tcopy(H5T_UNIX_D64BE), 4, values);
    put_both(file, "bits 8", H5Tcopy(H5T_STD_B8LE), 4, values);
    put_both(file, "bits 64 big", H5Tcopy(H5T_STD_B64BE), 4, values);
    type = H5Tcopy(H5T_STD_B32LE);
    MUST(H5Tset_precision(type, 11));
    MUST(H5Tset_offset(type, 6));
    put_both(file, "bits inside", type, 4, values);
    const hsize_t dims[3] = {2, 3, 2};
    hid_t row = row_type();
    hid_t array = H5Tarray_create2(row, 3, dims);
    put_both(file, "array of rows", H5Tcopy(array), 2, values);
    hid_t outer = H5Tcreate(H5T_COMPOUND, H5Tget_size(array) + 30);
    MUST(H5Tinsert(outer, "rows", 24, array));
    MUST(H5Tinsert(outer, "row", 0, row));
    put_both(file, "rows of rows", outer, 2, values);
    H5Tclose(array);
    H5Tclose(row);
}

static void put_nested(hid_t file)
{
    static const short numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    hvl_t inner[4] = {{3, (void *)(uintptr_t)numbers}, {0, NULL}, {9, (void *)(uintptr_t)numbers},
        {1, (void *)(uintptr_t)(numbers + 4)}};
    hvl_t outer[3] = {{4, inner}, {0, NULL}, {2, inner + 1}};
    hvl_t outermost[2] = {{3, outer}, {1, outer + 2}};
    hid_t one = H5Tvlen_create(H5T_NATIVE_SHORT), two = H5Tvlen_create(one);
    struct pair {
        hvl_t sequence;
        char *text;
        int number;
        hvl_t pairs[2];
    } pairs[3];
    hid_t text = H5Tcopy(H5T_C_S1);
    hid_t pair = H5Tcreate(H5T_COMPOUND, sizeof *pairs);
    const hsize_t dims[1] = {2};

    memset(pairs, 0, sizeof pairs);
    for (int i = 0; i < 3; i++) {
        pairs[i].sequence = inner[i];
        pairs[i].text = (char *)(uintptr_t)(i ? "a text in a row" : "");
        pairs[i].number = i * 1000;
        pairs[i].pairs[0] = outer[i];
        pairs[i].pairs[1] = outer[2 - i];
    }
    H5Tset_size(text, H5T_VARIABLE);
    hid_t array = H5Tarray_create2(two, 1, dims);
    MUST(H5Tinsert(pair, "sequence", HOFFSET(struct pair, sequence), one));
    MUST(H5Tinsert(pair, "text", HOFFSET(struct pair, text), text));
    MUST(H5Tinsert(pair, "number", HOFFSET(struct pair, number), H5T_NATIVE_INT));
    MUST(H5Tinsert(pair, "pairs", HOFFSET(struct pair, pairs), array));
    hvl_t rows[2] = {{3, pairs}, {0, NULL}};
    hid_t sequence_of_pairs = H5Tvlen_create(pair);
    put_both(file, "sequences", H5Tcopy(one), 4, inner);
    put_both(file, "nested twice", H5Tcopy(two), 3, outer);
    put_both(file, "nested thrice", H5Tvlen_create(two), 2, outermost);
    put_both(file, "rows with sequences", H5Tcopy(pair), 3, pairs);
    put_both(file, "sequences of rows", sequence_of_pairs, 2, rows);
    H5Tclose(array);
    H5Tclose(pair);
    H5Tclose(text);
    H5Tclose(two);
    H5Tclose(one);
}

static void put_references(hid_t file)
{
    hobj_ref_t objects[3] = {0};
    hdset_reg_ref_t regions[3];
    const hsize_t start[1] = {3}, count[1] = {5}, points[3] = {1, 30, 7};
    hid_t space = space_of(COUNT);

    memset(regions, 0, sizeof regions);
    put(file, "target", H5T_STD_I32LE, H5T_NATIVE_INT, H5P_DEFAULT, COUNT, counting());
    MUST(H5Rcreate(&objects[0], file, "/target", H5R_OBJECT, -1));
    MUST(H5Rcreate(&objects[1], file, "/as attributes", H5R_OBJECT, -1));
    MUST(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL));
    MUST(H5Rcreate(&regions[0], file, "/target", H5R_DATASET_REGION, space));
    MUST(H5Sselect_elements(space, H5S_SELECT_SET, 3, points));
    MUST(H5Rcreate(&regions[1], file, "/target", H5R_DATASET_REGION, space));
    put_both(file, "objects", H5Tcopy(H5T_STD_REF_OBJ), 3, objects);
    put_both(file, "regions", H5Tcopy(H5T_STD_REF_DSETREG), 3, regions);
    H5Sclose(space);
}

static void make_types(void)
{
    static uint8_t values[4096];
    for (size_t i = 0; i < sizeof values; i++) values[i] = (uint8_t)(i * 73 + i / 5);
    hid_t file = begin("types");
    H5Gclose(H5Gcreate2(file, "as attributes", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    put_floats(file, values);
    put_integers(file, values);
    put_texts(file, values);
    put_others(file, values);
    put_nested(file);
    put_references(file);
    hid_t null = H5Screate(H5S_NULL);
    H5Dclose(H5Dcreate2(file, "null", H5T_STD_I16LE, null, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(null);
    H5Fclose(file);
}

/* ---- virtual datasets -------------------------------------------------------------------------- */

static void make_source(const char *name, hsize_t rows, hsize_t columns, hsize_t rows_max)
{
    const hsize_t dims[2] = {rows, columns}, max[2] = {rows_max, columns}, chunk[2] = {3, columns};
    hid_t access = access_list(), properties = H5Pcreate(H5P_DATASET_CREATE);
    hid_t file = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    hid_t space = H5Screate_simple(2, dims, max);

    H5Pset_chunk(properties, 2, chunk);
    H5Pset_deflate(properties, 3);
    hid_t dataset =
        H5Dcreate2(file, "data", H5T_STD_I16BE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    MUST(dataset);
    MUST(H5Dwrite(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, counting() + rows));
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(properties);
    H5Fclose(file);
    H5Pclose(access);
}

static void put_virtual(hid_t file, const char *name, hid_t properties, hid_t space)
{
    const int fill = -77;
    MUST(H5Pset_fill_value(properties, H5T_NATIVE_INT, &fill));
    hid_t dataset =
        H5Dcreate2(file, name, H5T_STD_I32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    MUST(dataset);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(properties);
}

/* `sources` blocks of 4 rows and 10 columns, one from each of several files. */
static void put_blocks(hid_t file, const char *name, unsigned sources)
{
    const hsize_t dims[2] = {sources * 5 + 2, 10}, one[2] = {4, 10};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, dims, NULL);
    hid_t from = H5Screate_simple(2, one, NULL);

    for (unsigned i = 0; i < sources; i++) {
        char source[80], what[32];
        const hsize_t start[2] = {i * 5 + 1, 0};
        snprintf(what, sizeof what, "folder/source-%u", i);
        snprintf(source, sizeof source, "%s", name_of(what)); /* the last one is missing */
        MUST(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, one, NULL));
        MUST(H5Pset_virtual(properties, space, source, "data", from));
    }
    H5Sclose(from);
    put_virtual(file, name, properties, space);
}

/* Strided, transposed in blocks, of several slabs at once: 20 x 20 of a source of 4 x 10. */
static void put_scattered(hid_t file, const char *source)
{
    const hsize_t dims[2] = {20, 20}, from_dims[2] = {4, 10};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, dims, NULL);
    hid_t from = H5Screate_simple(2, from_dims, NULL);
    const hsize_t start[2] = {1, 2}, stride[2] = {5, 3}, count[2] = {2, 3}, block[2] = {3, 2};
    const hsize_t from_start[2] = {0, 1}, from_stride[2] = {2, 3}, from_count[2] = {2, 3};
    const hsize_t from_block[2] = {1, 2}, more[2] = {2, 4}, one[2] = {1, 1}, corner[2] = {14, 3};

    (void)count;
    const hsize_t half[2] = {1, 3}, tall[2] = {2, 2};
    MUST(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, stride, half, tall));
    MUST(
        H5Sselect_hyperslab(from, H5S_SELECT_SET, from_start, from_stride, from_count, from_block));
    MUST(H5Pset_virtual(properties, space, source, "data", from));
    (void)block;
    MUST(H5Sselect_hyperslab(space, H5S_SELECT_SET, corner, NULL, more, NULL));
    const hsize_t other[2] = {17, 9}, last[2] = {3, 6};
    MUST(H5Sselect_hyperslab(space, H5S_SELECT_OR, other, NULL, one, NULL));
    const hsize_t three[2] = {1, 9}, wide[2] = {2, 4};
    MUST(H5Sselect_hyperslab(from, H5S_SELECT_SET, from_start, NULL, wide, NULL));
    MUST(H5Sselect_hyperslab(from, H5S_SELECT_OR, last, NULL, one, NULL));
    (void)three;
    MUST(H5Pset_virtual(properties, space, source, "data", from));
    H5Sclose(from);
    put_virtual(file, "scattered", properties, space);
}

static void put_whole(hid_t file, const char *name, const char *source, const char *path)
{
    const hsize_t dims[2] = {4, 10};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, dims, NULL);
    MUST(H5Pset_virtual(properties, space, source, path, space));
    put_virtual(file, name, properties, space);
}

/* Rows without an end, taken in blocks of `block` every `stride`, from a source that may grow. */
static void put_unlimited(
    hid_t file, const char *name, const char *source, hsize_t block, hsize_t stride)
{
    const hsize_t dims[2] = {1, 10}, max[2] = {H5S_UNLIMITED, 10}, start[2] = {2, 0};
    const hsize_t strides[2] = {stride, 10}, count[2] = {H5S_UNLIMITED, 1}, blocks[2] = {block, 10};
    const hsize_t zero[2] = {0, 0}, dense[2] = {1, 10}, every[2] = {1, 10};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, dims, max);
    hid_t from = H5Screate_simple(2, dims, max);

    MUST(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, strides, count, blocks));
    MUST(H5Sselect_hyperslab(from, H5S_SELECT_SET, zero, every, count, dense));
    MUST(H5Pset_virtual(properties, space, source, "data", from));
    H5Sclose(from);
    put_virtual(file, name, properties, space);
}

static void put_numbered(hid_t file, const char *name, const char *source, const char *path)
{
    const hsize_t dims[2] = {4, 10}, max[2] = {H5S_UNLIMITED, 10}, start[2] = {1, 0};
    const hsize_t stride[2] = {6, 10}, count[2] = {H5S_UNLIMITED, 1};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, dims, max);
    hid_t from = H5Screate_simple(2, dims, NULL);

    MUST(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, stride, count, dims));
    MUST(H5Pset_virtual(properties, space, source, path, from));
    H5Sclose(from);
    put_virtual(file, name, properties, space);
}

static void make_virtual(void)
{
    char name[80];

    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "folder/source-%d", i);
        make_source(name_of(name), 4, 10, 4);
    }
    make_source(name_of("folder/growing"), 17, 10, H5S_UNLIMITED);
    hid_t file = begin("virtual");
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "here %d", i);
        const hsize_t dims[2] = {4, 10};
        hid_t space = H5Screate_simple(2, dims, NULL);
        hid_t dataset =
            H5Dcreate2(file, name, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        MUST(H5Dwrite(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, counting() + i));
        H5Dclose(dataset);
        H5Sclose(space);
    }
    put_blocks(file, "blocks", 5);
    put_scattered(file, name_of("folder/source-0"));
    put_whole(file, "same file", ".", "/here 1");
    put_whole(file, "nested", ".", "/same file");
    put_whole(file, "missing", name_of("folder/none"), "data");
    put_unlimited(file, "growing", name_of("folder/growing"), 1, 1);
    put_unlimited(file, "growing in blocks", name_of("folder/growing"), 3, 5);
    snprintf(name, sizeof name, "folder/source-%%b-%s.h5", age ? "new" : "old");
    put_numbered(file, "numbered files", name, "data");
    put_numbered(file, "numbered datasets", ".", "here %b");
    H5Fclose(file);
}

int main(int argc, char **argv)
{
    char folder[1100];

    if (argc != 2) return 2;
    snprintf(folder, sizeof folder, "mkdir -p '%s/folder'", argv[1]);
    if (system(folder) || freopen("/dev/null", "r", stdin) == NULL) return 1;
    if (chdir(argv[1])) return 1;
    for (age = 0; age < 2; age++) {
        make_sizes();
        make_extensions();
        make_cache_image();
        make_flagged();
        make_parts();
        make_shared("shared-list", 50, 1);
        make_shared("shared-tree", 0, 20);
        make_links();
        make_external();
        make_heaps();
        make_virtual();
        make_types();
    }
    return failures ? 1 : 0;
}
