/* walk_libhdf5.c - prints what walk_corpus prints of an HDF5 file, as libhdf5 reads it.
 *
 *   walk_libhdf5 FILE [family BYTES | split | multi]
 *
 * For files that h5py cannot be asked about: those in parts, and values with pointers inside. */
#include <hdf5.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 16384

static uint32_t sum;

static void add_bytes(const void *bytes, size_t count)
{
    if (count) sum = (uint32_t)libdeflate_crc32(sum, bytes, count);
}

static void add_count(size_t count)
{
    const uint8_t bytes[4] = {
        (uint8_t)count, (uint8_t)(count >> 8), (uint8_t)(count >> 16), (uint8_t)(count >> 24)};
    add_bytes(bytes, sizeof bytes);
}

static int is_text(hid_t type)
{
    return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0;
}

static int holds_variable(hid_t type)
{
    int found = 0;
    const H5T_class_t kind = H5Tget_class(type);

    if (kind == H5T_VLEN || is_text(type)) return 1;
    if (kind == H5T_ARRAY) {
        hid_t base = H5Tget_super(type);
        found = holds_variable(base);
        H5Tclose(base);
    }
    for (int i = 0; kind == H5T_COMPOUND && !found && i < H5Tget_nmembers(type); i++) {
        hid_t member = H5Tget_member_type(type, (unsigned)i);
        found = holds_variable(member);
        H5Tclose(member);
    }
    return found;
}

static void add_elements(hid_t type, const uint8_t *elements, size_t count);

static void add_sequence(hid_t type, const hvl_t *sequence)
{
    hid_t base = H5Tget_super(type);

    if (holds_variable(base)) {
        add_count(sequence->len);
        add_elements(base, sequence->p, sequence->len);
    } else {
        add_count(sequence->len * H5Tget_size(base));
        add_bytes(sequence->p, sequence->len * H5Tget_size(base));
    }
    H5Tclose(base);
}

static void add_parts(hid_t type, const uint8_t *element)
{
    if (H5Tget_class(type) == H5T_ARRAY) {
        hid_t base = H5Tget_super(type);
        add_elements(base, element, H5Tget_size(type) / H5Tget_size(base));
        H5Tclose(base);
        return;
    }
    for (int i = 0; i < H5Tget_nmembers(type); i++) {
        hid_t member = H5Tget_member_type(type, (unsigned)i);
        add_elements(member, element + H5Tget_member_offset(type, (unsigned)i), 1);
        H5Tclose(member);
    }
}

static void add_elements(hid_t type, const uint8_t *elements, size_t count)
{
    const size_t size = H5Tget_size(type);

    if (!holds_variable(type)) {
        add_bytes(elements, count * size);
        return;
    }
    for (size_t i = 0; i < count; i++, elements += size) {
        if (is_text(type)) {
            const char *text = *(char *const *)(const void *)elements;
            add_count(text ? strlen(text) : 0);
            if (text) add_bytes(text, strlen(text));
        } else if (H5Tget_class(type) == H5T_VLEN) {
            add_sequence(type, (const hvl_t *)(const void *)elements);
        } else {
            add_parts(type, elements);
        }
    }
}

static void print_shape(hid_t type, hid_t space)
{
    hsize_t dims[H5S_MAX_RANK];
    const H5S_class_t kind = H5Sget_simple_extent_type(space);
    const int rank = H5Sget_simple_extent_dims(space, dims, NULL);

    printf("\t%zu\t", holds_variable(type) ? (size_t)0 : H5Tget_size(type));
    if (kind == H5S_NULL) printf("null");
    if (kind == H5S_SCALAR) printf("scalar");
    for (int i = 0; i < rank; i++) printf("%s%" PRIu64, i ? "," : "", (uint64_t)dims[i]);
    printf("\t%08" PRIx32 "\n", sum);
}

static void print_values(hid_t object, int is_attribute, const char *head)
{
    hid_t type = is_attribute ? H5Aget_type(object) : H5Dget_type(object);
    hid_t space = is_attribute ? H5Aget_space(object) : H5Dget_space(object);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    const size_t size = H5Tget_size(type);
    uint8_t *memory = calloc((size_t)(count > 0 ? count : 0) + 1, size);

    sum = 0;
    herr_t failed = 0;
    if (count > 0)
        failed = is_attribute ? H5Aread(object, type, memory)
                              : H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, memory);
    if (failed < 0) {
        printf("E\t%s\n", head);
    } else {
        if (count > 0) add_elements(type, memory, (size_t)count);
        printf("%s", head);
        print_shape(type, space);
        if (count > 0 && holds_variable(type)) H5Dvlen_reclaim(type, space, H5P_DEFAULT, memory);
    }
    free(memory);
    H5Sclose(space);
    H5Tclose(type);
}

static herr_t each_attribute(hid_t place, const char *name, const H5A_info_t *info, void *context)
{
    char head[PATH_BYTES + 600];
    hid_t attribute = H5Aopen(place, name, H5P_DEFAULT);

    (void)info;
    snprintf(head, sizeof head, "A\t%s\t%s", (const char *)context, name);
    print_values(attribute, 1, head);
    H5Aclose(attribute);
    return 0;
}

static void print_object(hid_t place, const char *name, const char *path);

static void print_target(hid_t group, const char *name, const char *path, const H5L_info_t *info)
{
    char head[PATH_BYTES + 4];
    char *value = calloc(1, info->u.val_size + 1);
    const char *file = NULL, *target = NULL;
    unsigned flags = 0;

    H5Lget_val(group, name, value, info->u.val_size, H5P_DEFAULT);
    if (info->type == H5L_TYPE_SOFT)
        printf("L\t%s\tsoft\t%s\n", path, value);
    else if (info->type == H5L_TYPE_EXTERNAL &&
        H5Lunpack_elink_val(value, info->u.val_size, &flags, &file, &target) >= 0)
        printf("L\t%s\texternal\t%s:%s\n", path, file, target);
    else
        printf("L\t%s\tuser\tkind %d\n", path, (int)info->type);
    free(value);
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    snprintf(head, sizeof head, "DL\t%s", path);
    if (object >= 0 && H5Iget_type(object) == H5I_DATASET) print_values(object, 0, head);
    if (object >= 0) H5Oclose(object);
}

static herr_t each_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    const char *parent = context;
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s%s%s", parent, parent[1] ? "/" : "", name);
    if (info->type == H5L_TYPE_HARD)
        print_object(group, name, path);
    else
        print_target(group, name, path, info);
    return 0;
}

static void print_object(hid_t place, const char *name, const char *path)
{
    char head[PATH_BYTES + 4];
    hid_t object = H5Oopen(place, name, H5P_DEFAULT);
    const H5I_type_t kind = H5Iget_type(object);

    if (object < 0) {
        printf("E\t%s\n", path);
        return;
    }
    snprintf(head, sizeof head, "D\t%s", path);
    if (kind == H5I_GROUP) printf("G\t%s\n", path);
    if (kind == H5I_DATATYPE) printf("T\t%s\n", path);
    if (kind == H5I_DATASET) print_values(object, 0, head);
    char *lent = strdup(path);
    H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, each_attribute, lent);
    if (kind == H5I_GROUP &&
        H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, NULL, each_link, lent) < 0)
        printf("E\t%s\n", path);
    free(lent);
    H5Oclose(object);
}

int main(int argc, char **argv)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    const char *driver = argc > 2 ? argv[2] : "";

    if (argc < 2) return 2;
    if (!strcmp(driver, "family") && argc > 3)
        H5Pset_fapl_family(access, strtoull(argv[3], NULL, 10), H5P_DEFAULT);
    if (!strcmp(driver, "split"))
        H5Pset_fapl_split(access, "-m.h5", H5P_DEFAULT, "-r.h5", H5P_DEFAULT);
    if (!strcmp(driver, "multi")) H5Pset_fapl_multi(access, NULL, NULL, NULL, NULL, 1);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(argv[1], H5F_ACC_RDONLY, access);
    if (file < 0) {
        fprintf(stderr, "walk_libhdf5: %s cannot be opened\n", argv[1]);
        return 1;
    }
    print_object(file, "/", "/");
    H5Fclose(file);
    H5Pclose(access);
    return 0;
}
