/* vfs_cases.h - runs one test over every file system of the floor. */
#ifndef BS_VFS_CASES_H
#define BS_VFS_CASES_H

#include "tests/harness/test.h"
#include "vfs/vfs.h"

#include <stdlib.h>

/* One test's file system and the empty directory in it that is the test's own. */
struct vfs_case {
    struct bs_vfs *vfs;
    char directory[300];
    char paths[16][700];
    unsigned next_path;
    basalt_error error;
};

/* DIRECTORY/NAME; lends until 16 more were asked for. */
static inline const char *case_path(struct vfs_case *at, const char *name)
{
    char *path = at->paths[at->next_path++ % BS_ARRAY_LENGTH(at->paths)];
    snprintf(path, sizeof at->paths[0], "%s/%s", at->directory, name);
    return path;
}

static inline bool case_begin(struct vfs_case *at, bool local, const char *name)
{
    memset(at, 0, sizeof *at);
    basalt_status status =
        local ? bs_vfs_local_create(&at->vfs, NULL) : bs_vfs_memory_create(&at->vfs, NULL);
    if (status) return false;
    snprintf(at->directory, sizeof at->directory, "%s/%s", local ? test_directory() : "", name);
    return at->vfs->ops->make_directory(at->vfs, at->directory, NULL) == BASALT_OK;
}

#define TEST_LOCAL(name_)                                                                          \
    static void name_##_in(struct vfs_case *at);                                                   \
    TEST(vfs_local, name_)                                                                         \
    {                                                                                              \
        struct vfs_case at;                                                                        \
        const int64_t live = test_live_allocations();                                              \
        REQUIRE(case_begin(&at, true, #name_));                                                    \
        name_##_in(&at);                                                                           \
        bs_vfs_free(at.vfs);                                                                       \
        CHECK_EQ(test_live_allocations(), live);                                                   \
    }                                                                                              \
    static void name_##_in(struct vfs_case *at)

#define TEST_BOTH(name_)                                                                           \
    static void name_##_in(struct vfs_case *at);                                                   \
    TEST(vfs_memory, name_)                                                                        \
    {                                                                                              \
        struct vfs_case at;                                                                        \
        const int64_t live = test_live_allocations();                                              \
        REQUIRE(case_begin(&at, false, #name_));                                                   \
        name_##_in(&at);                                                                           \
        bs_vfs_free(at.vfs);                                                                       \
        CHECK_EQ(test_live_allocations(), live);                                                   \
    }                                                                                              \
    TEST_LOCAL(name_)

#define CASE_CREATE (BS_OPEN_WRITE | BS_OPEN_CREATE)

/* Opens or reports; NULL on failure. */
static inline struct bs_file *case_open(struct vfs_case *at, const char *name, unsigned flags)
{
    struct bs_file *file = NULL;
    CHECK_OK(bs_file_open(at->vfs, case_path(at, name), flags, &file, err));
    return file;
}

#endif
