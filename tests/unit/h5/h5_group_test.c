/* h5_group_test.c - groups of every form and size, links, paths, attributes. */
#include "tests/unit/h5/h5_fixture.h"

#include <stdlib.h>

static void make_group(hid_t parent, const char *name)
{
    H5Gclose(H5Gcreate2(parent, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

struct names {
    size_t count;
    bool seen[20000];
    bool wrong;
};

static basalt_status note_name(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    struct names *names = context;
    unsigned number = 0;
    (void)err;
    names->count++;
    if (sscanf(link->name, "child %u", &number) != 1 || number >= 20000 || names->seen[number] ||
        link->kind != BS_H5_LINK_HARD)
        names->wrong = true;
    else
        names->seen[number] = true;
    return BASALT_OK;
}

static void check_children(struct fixture *fixture, unsigned count)
{
    static struct names names;
    uint64_t address = 0;
    struct bs_h5_object *group = fixture_object(fixture, "/parent");

    REQUIRE(group);
    CHECK_EQ(bs_h5_object_kind(group), BS_H5_GROUP);
    memset(&names, 0, sizeof names);
    CHECK_OK(bs_h5_group_each(fixture->h5, group, note_name, &names, err));
    CHECK_EQ(names.count, count);
    CHECK(!names.wrong);
    for (unsigned i = 0; i < count; i += 1 + count / 200) {
        char name[64];
        snprintf(name, sizeof name, "child %u", i);
        CHECK_OK(bs_h5_group_find(fixture->h5, group, name, &address, err));
        CHECK(address != BS_H5_UNDEFINED);
    }
    CHECK_EQ(bs_h5_group_find(fixture->h5, group, "child", &address, NULL), BASALT_NOT_FOUND);
    CHECK_EQ(bs_h5_group_find(fixture->h5, group, "zebra", &address, NULL), BASALT_NOT_FOUND);
    CHECK_EQ(bs_h5_group_find(fixture->h5, group, "!", &address, NULL), BASALT_NOT_FOUND);
    bs_h5_object_close(group);
}

static basalt_status count_link(void *context, const struct bs_h5_link *link, basalt_error *err)
{
    (void)link;
    (void)err;
    ++*(size_t *)context;
    return BASALT_OK;
}

/* Symbol tables, link messages, dense links; empty, one node, several levels. */
TEST(h5_group, of_every_size)
{
    static const unsigned counts[] = {0, 1, 7, 8, 9, 200, 12000};
    for (int age = 0; age < FIXTURE_AGES; age++)
        for (size_t i = 0; i < BS_ARRAY_LENGTH(counts); i++) {
            struct fixture fixture;
            fixture_begin(&fixture, (enum fixture_age)age);
            make_group(fixture.file, "parent");
            for (unsigned child = 0; child < counts[i]; child++) {
                char name[64];
                snprintf(name, sizeof name, "/parent/child %u", child);
                make_group(fixture.file, name);
            }
            if (fixture_open(&fixture)) {
                check_children(&fixture, counts[i]);
                fixture_check_sound(&fixture, true);
            }
            fixture_end(&fixture);
        }
}

/* ---- what finding costs ----------------------------------------------------------------------- */

struct counted_file {
    struct bs_file face;
    struct bs_file *inner;
    uint64_t bytes;
};

static void counted_close(struct bs_file *file)
{
    (void)file;
}

static basalt_status counted_read(struct bs_file *file, void *out, size_t count, uint64_t offset,
    size_t *out_count, basalt_error *err)
{
    struct counted_file *counted = (struct counted_file *)file;
    counted->bytes += count;
    return counted->inner->ops->read_at(counted->inner, out, count, offset, out_count, err);
}

static basalt_status counted_info(
    struct bs_file *file, struct bs_file_info *out_info, basalt_error *err)
{
    struct counted_file *counted = (struct counted_file *)file;
    return counted->inner->ops->info(counted->inner, out_info, err);
}

/* One link of many is found by what leads to it: whole files of groups are walked by path. */
TEST(h5_group, finding_one_link_reads_little)
{
    static const struct bs_file_ops ops = {
        .close = counted_close, .read_at = counted_read, .info = counted_info};
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        struct bs_h5_file *h5 = NULL;
        struct bs_h5_object *object = NULL;
        fixture_begin(&fixture, (enum fixture_age)age);
        make_group(fixture.file, "parent");
        for (unsigned child = 0; child < 12000; child++) {
            char name[64];
            snprintf(name, sizeof name, "/parent/child %u", child);
            make_group(fixture.file, name);
        }
        if (fixture_open(&fixture)) {
            struct counted_file counted = {
                .face = {&ops, fixture.bytes->vfs, fixture.bytes->path}, .inner = fixture.bytes};
            CHECK_OK(bs_h5_file_open(&counted.face, &h5, err));
            counted.bytes = 0;
            CHECK_OK(bs_h5_object_open_path(h5, "/parent/child 7777", &object, err));
            CHECK(counted.bytes < 100000);
            bs_h5_object_close(object);
            bs_h5_file_close(h5);
        }
        fixture_end(&fixture);
    }
}

/* Names longer than any buffer of a sane size, several with one beginning. */
TEST(h5_group, names_of_70000_bytes)
{
    enum { COUNT = 40, LENGTH = 70000 };
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        char *name = bs_alloc(LENGTH + 1);
        REQUIRE(name);
        memset(name, 'n', LENGTH);
        name[LENGTH] = 0;
        fixture_begin(&fixture, (enum fixture_age)age);
        for (int i = 0; i < COUNT; i++) {
            name[LENGTH - 1] = (char)('A' + i);
            make_group(fixture.file, name);
        }
        if (fixture_open(&fixture)) {
            size_t count = 0;
            struct bs_h5_object *root = fixture_object(&fixture, "/");
            for (int i = 0; i < COUNT; i++) {
                uint64_t address = 0;
                name[LENGTH - 1] = (char)('A' + i);
                CHECK_OK(bs_h5_group_find(fixture.h5, root, name, &address, err));
            }
            CHECK_OK(bs_h5_group_each(fixture.h5, root, count_link, &count, err));
            CHECK_EQ(count, (size_t)COUNT);
            bs_h5_object_close(root);
            fixture_check_sound(&fixture, true);
        }
        fixture_end(&fixture);
        bs_free(name);
    }
}

static void expect_path(
    struct fixture *fixture, const char *path, basalt_status expected, const char *part)
{
    struct bs_h5_object *object = NULL;
    basalt_error fault = {0};
    CHECK_EQ(bs_h5_object_open_path(fixture->h5, path, &object, &fault), expected);
    if (part && !strstr(fault.message, part))
        test_fail(__FILE__, __LINE__, "%s: %s", path, fault.message);
    CHECK(expected ? !object : object != NULL);
    bs_h5_object_close(object);
}

TEST(h5_group, paths_and_soft_links)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        const hsize_t dims[1] = {3};
        fixture_begin(&fixture, (enum fixture_age)age);
        make_group(fixture.file, "a");
        make_group(fixture.file, "a/b");
        fixture_count_up(&fixture, "a/b/data", 1, dims, NULL, H5P_DEFAULT);
        H5Lcreate_soft("/a/b", fixture.file, "absolute", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_soft("b/data", fixture.file, "a/relative", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_soft("/nowhere/at/all", fixture.file, "dangling", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_soft("/circle", fixture.file, "circle", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_external("other.h5", "/x", fixture.file, "outside", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_hard(fixture.file, "a/b", fixture.file, "again", H5P_DEFAULT, H5P_DEFAULT);
        if (fixture_open(&fixture)) {
            expect_path(&fixture, "/", BASALT_OK, NULL);
            expect_path(&fixture, "a//b/./data", BASALT_OK, NULL);
            fixture_check_counts_up(&fixture, "/absolute/data");
            fixture_check_counts_up(&fixture, "/a/relative");
            fixture_check_counts_up(&fixture, "again/data");
            expect_path(&fixture, "/dangling", BASALT_NOT_FOUND, "\"nowhere\"");
            expect_path(&fixture, "/a/c", BASALT_NOT_FOUND, "\"c\"");
            expect_path(&fixture, "/a/b/data/x", BASALT_NOT_FOUND, "\"x\"");
            expect_path(&fixture, "/circle", BASALT_TOO_LARGE, "soft and external links");
            expect_path(&fixture, "/outside", BASALT_NOT_FOUND, "\"other.h5\"");
            struct bs_h5_object *object = fixture_object(&fixture, "again");
            if (object) CHECK_EQ(bs_h5_object_links(object), 2);
            bs_h5_object_close(object);
            fixture_check_sound(&fixture, true);
        }
        fixture_end(&fixture);
    }
}

static void add_attributes(struct fixture *fixture, unsigned count)
{
    hid_t scalar = H5Screate(H5S_SCALAR);
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        const uint64_t value = (uint64_t)i * 1000003;
        snprintf(name, sizeof name, "number %u", i);
        hid_t attribute = H5Acreate2(fixture->file, name, i % 2 ? H5T_STD_U64LE : H5T_STD_U64BE,
            scalar, H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(attribute, H5T_NATIVE_UINT64, &value);
        H5Aclose(attribute);
    }
    H5Sclose(scalar);
}

/* 20 are dense in the newest format; a large one is a huge object of the heap. */
TEST(h5_attribute, few_many_and_huge)
{
    static const unsigned counts[] = {1, 20, 300};
    static uint8_t large[100000];
    for (size_t i = 0; i < sizeof large; i++) large[i] = (uint8_t)(i * 7);
    for (int age = 0; age < FIXTURE_AGES; age++)
        for (size_t i = 0; i < BS_ARRAY_LENGTH(counts); i++) {
            struct fixture fixture;
            const hsize_t dims[1] = {sizeof large};
            fixture_begin(&fixture, (enum fixture_age)age);
            add_attributes(&fixture, counts[i]);
            if (age == FIXTURE_LATEST && counts[i] > 8) {
                hid_t space = H5Screate_simple(1, dims, NULL);
                hid_t attribute = H5Acreate2(
                    fixture.file, "large", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT);
                H5Awrite(attribute, H5T_NATIVE_UINT8, large);
                H5Aclose(attribute);
                H5Sclose(space);
            }
            if (fixture_open(&fixture)) {
                struct bs_h5_object *root = fixture_object(&fixture, "/");
                const bool has_large = age == FIXTURE_LATEST && counts[i] > 8;
                CHECK_EQ(bs_h5_attribute_count(root), counts[i] + has_large);
                for (unsigned n = 0; n < counts[i]; n++) {
                    char name[32];
                    uint64_t value = 0;
                    snprintf(name, sizeof name, "number %u", n);
                    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(root, name);
                    CHECK(attribute);
                    if (attribute) CHECK_OK(bs_h5_attribute_u64(attribute, &value, err));
                    CHECK_EQ(value, (uint64_t)n * 1000003);
                }
                if (has_large) {
                    const struct bs_h5_attribute *found = bs_h5_attribute_find(root, "large");
                    CHECK(found && found->byte_count == sizeof large);
                    if (found) CHECK(!memcmp(found->bytes, large, sizeof large));
                }
                bs_h5_object_close(root);
                fixture_check_sound(&fixture, true);
            }
            fixture_end(&fixture);
        }
}

static void add_text(
    struct fixture *fixture, const char *name, const char *text, size_t size, H5T_str_t padding)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, size);
    H5Tset_strpad(type, padding);
    hid_t attribute = H5Acreate2(fixture->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    char padded[64] = {0};
    snprintf(padded, sizeof padded, "%s", text);
    if (padding == H5T_STR_SPACEPAD) memset(padded + strlen(text), ' ', size - strlen(text));
    H5Awrite(attribute, type, size == H5T_VARIABLE ? (const void *)&text : padded);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

TEST(h5_attribute, texts)
{
    static const char *const names[] = {"variable", "fixed", "null padded", "space padded"};
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        uint64_t number = 0;
        fixture_begin(&fixture, (enum fixture_age)age);
        add_text(&fixture, names[0], "some words", H5T_VARIABLE, H5T_STR_NULLTERM);
        add_text(&fixture, names[1], "some words", 20, H5T_STR_NULLTERM);
        add_text(&fixture, names[2], "some words", 10, H5T_STR_NULLPAD);
        add_text(&fixture, names[3], "some words", 16, H5T_STR_SPACEPAD);
        add_attributes(&fixture, 1);
        if (fixture_open(&fixture)) {
            char *text = NULL;
            struct bs_h5_object *root = fixture_object(&fixture, "/");
            for (size_t i = 0; i < BS_ARRAY_LENGTH(names); i++) {
                const struct bs_h5_attribute *attribute = bs_h5_attribute_find(root, names[i]);
                REQUIRE(attribute);
                CHECK_OK(bs_h5_attribute_text(fixture.h5, attribute, &text, err));
                CHECK_TEXT(text, "some words");
                bs_free(text);
                CHECK_EQ(bs_h5_attribute_u64(attribute, &number, NULL), BASALT_SCHEMA_MISMATCH);
            }
            CHECK_EQ(bs_h5_attribute_text(
                         fixture.h5, bs_h5_attribute_find(root, "number 0"), &text, NULL),
                BASALT_SCHEMA_MISMATCH);
            bs_h5_object_close(root);
            fixture_check_sound(&fixture, true);
        }
        fixture_end(&fixture);
    }
}

TEST(h5_object, committed_types_are_followed)
{
    for (int age = 0; age < FIXTURE_AGES; age++) {
        struct fixture fixture;
        const hsize_t dims[1] = {4};
        const double values[4] = {1, 2, 3, 4};
        double read[4] = {0};
        fixture_begin(&fixture, (enum fixture_age)age);
        hid_t type = H5Tcopy(H5T_IEEE_F64LE), space = H5Screate_simple(1, dims, NULL);
        H5Tcommit2(fixture.file, "type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        hid_t dataset =
            H5Dcreate2(fixture.file, "data", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
        hid_t attribute = H5Acreate2(dataset, "attribute", type, space, H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(attribute, H5T_NATIVE_DOUBLE, values);
        H5Aclose(attribute);
        H5Dclose(dataset);
        H5Tclose(type);
        H5Sclose(space);
        H5Ldelete(fixture.file, "type", H5P_DEFAULT); /* only the dataset refers to it now */
        if (fixture_open(&fixture)) {
            struct bs_h5_object *object = fixture_object(&fixture, "data");
            REQUIRE(object);
            CHECK_EQ(bs_h5_object_type(object)->kind, BS_H5_FLOAT);
            CHECK_OK(bs_h5_read(fixture.h5, object, 0, 4, read, err));
            CHECK(!memcmp(read, values, sizeof read));
            CHECK(bs_h5_attribute_find(object, "attribute") &&
                !memcmp(bs_h5_attribute_find(object, "attribute")->bytes, values, sizeof values));
            bs_h5_object_close(object);
            fixture_check_sound(&fixture, true);
        }
        fixture_end(&fixture);
    }
}
