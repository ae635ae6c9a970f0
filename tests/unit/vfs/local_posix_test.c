/* local_posix_test.c - links, locks between processes, full and read-only places. */
#include "tests/unit/vfs/vfs_cases.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITER_BYTE (((uint64_t)1 << 62) - 1)

/* Runs `body` in a forked child; gives its exit code, or minus the signal that ended it. */
static int in_child(int (*body)(struct vfs_case *at), struct vfs_case *at)
{
    int state = 0;
    const pid_t child = fork();
    if (child == 0) _exit(body(at));
    if (child < 0 || waitpid(child, &state, 0) != child) return -1000;
    return WIFEXITED(state) ? WEXITSTATUS(state) : -WTERMSIG(state);
}

/* ---- names --------------------------------------------------------------------------------------- */

TEST_LOCAL(a_path_without_links_is_opened_as_it_is)
{
    const unsigned flags = BS_OPEN_READ | BS_OPEN_NO_LINKS;
    struct bs_file *file = NULL;
    char *real = NULL;
    bs_file_close(case_open(at, "x", CASE_CREATE));
    CHECK_OK(at->vfs->ops->real_path(at->vfs, case_path(at, "x"), &real, err));
    REQUIRE(real);
    CHECK_OK(bs_file_open(at->vfs, real, flags, &file, err));
    bs_file_close(file);
    file = NULL;
    REQUIRE(rename(real, case_path(at, "y")) == 0 && symlink("y", real) == 0);
    CHECK_EQ(bs_file_open(at->vfs, real, flags, &file, NULL), BASALT_UNSUPPORTED);
    CHECK(!file);
    CHECK_OK(bs_file_open(at->vfs, real, BS_OPEN_READ, &file, err));
    bs_file_close(file);
    bs_free(real);
}

TEST_LOCAL(links_lead_to_one_identity)
{
    struct bs_file_info a, b, c;
    char *real = NULL, *expected = NULL;
    bs_file_close(case_open(at, "x", CASE_CREATE));
    REQUIRE(link(case_path(at, "x"), case_path(at, "hard")) == 0);
    REQUIRE(symlink("x", case_path(at, "soft")) == 0);
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "x"), &a, err));
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "hard"), &b, err));
    CHECK_OK(at->vfs->ops->info(at->vfs, case_path(at, "soft"), &c, err));
    CHECK(a.inode == b.inode && a.inode == c.inode && a.device == b.device);
    CHECK_EQ(a.links, 2);
    CHECK_OK(at->vfs->ops->real_path(at->vfs, case_path(at, "soft"), &real, err));
    CHECK_OK(at->vfs->ops->real_path(at->vfs, case_path(at, "x"), &expected, err));
    CHECK_TEXT(real, expected);
    bs_free(real);
    bs_free(expected);
}

TEST_LOCAL(a_link_to_an_absent_file_leads_where_it_will_be_made)
{
    char *real = NULL, *directory = NULL;
    CHECK_OK(at->vfs->ops->make_directory(at->vfs, case_path(at, "d"), err));
    REQUIRE(symlink("d/later", case_path(at, "one")) == 0);
    REQUIRE(symlink(case_path(at, "one"), case_path(at, "two")) == 0);
    REQUIRE(symlink("loop", case_path(at, "loop")) == 0);
    REQUIRE_OK(at->vfs->ops->real_path(at->vfs, case_path(at, "d"), &directory, err));
    CHECK_OK(at->vfs->ops->real_path(at->vfs, case_path(at, "two"), &real, err));
    REQUIRE(real);
    CHECK_EQ(strncmp(real, directory, strlen(directory)), 0);
    CHECK_TEXT(real + strlen(directory), "/later");
    bs_free(real);
    bs_free(directory);
    CHECK_EQ(at->vfs->ops->real_path(at->vfs, case_path(at, "loop"), &real, &at->error),
        BASALT_IO_ERROR);
    CHECK_EQ(at->error.os_errno, ELOOP);
}

TEST_LOCAL(only_regular_files_are_opened)
{
    struct bs_file *file = NULL;
    REQUIRE(mkfifo(case_path(at, "pipe"), 0600) == 0);
    CHECK_EQ(bs_file_open(at->vfs, case_path(at, "pipe"), BS_OPEN_READ, &file, &at->error),
        BASALT_UNSUPPORTED);
    CHECK(strstr(at->error.message, "pipe"));
    CHECK_EQ(bs_file_open(at->vfs, "/dev/null", CASE_CREATE, &file, NULL), BASALT_UNSUPPORTED);
    CHECK(!file);
}

static int open_descriptors_with_close_on_exec(struct vfs_case *at)
{
    (void)at;
    for (int descriptor = 3; descriptor < 64; descriptor++) {
        const int flags = fcntl(descriptor, F_GETFD);
        char name[64], target[512] = "";
        snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
        if (flags < 0 || readlink(name, target, sizeof target - 1) < 0) continue;
        if (strstr(target, "kept_from_children") && !(flags & FD_CLOEXEC)) return 1;
    }
    return 0;
}

TEST_LOCAL(kept_from_children)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    CHECK_EQ(in_child(open_descriptors_with_close_on_exec, at), 0);
    bs_file_close(file);
}

static int write_as_nobody(struct vfs_case *at)
{
    struct bs_file *file = NULL;
    basalt_error error = {0};
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 10;
    if (bs_file_open(at->vfs, case_path(at, "new"), CASE_CREATE, &file, &error) != BASALT_READ_ONLY)
        return 11;
    if (error.os_errno != EACCES || !strstr(error.message, "new")) return 12;
    if (bs_file_open(at->vfs, case_path(at, "x"), BS_OPEN_WRITE, &file, &error) != BASALT_IO_ERROR)
        return 13;
    if (at->vfs->ops->remove(at->vfs, case_path(at, "x"), NULL) != BASALT_IO_ERROR) return 14;
    if (bs_file_open(at->vfs, case_path(at, "x"), BS_OPEN_READ, &file, &error)) return 15;
    bs_file_close(file);
    return 0;
}

TEST_LOCAL(a_read_only_directory_is_readable_and_says_no)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_OK(file->ops->set_mode(file, 0444, err));
    bs_file_close(file);
    REQUIRE(chmod(test_directory(), 0755) == 0);
    REQUIRE(chmod(at->directory, 0555) == 0);
    CHECK_EQ(in_child(write_as_nobody, at), 0);
    CHECK(chmod(at->directory, 0755) == 0);
}

/* ---- locks between processes --------------------------------------------------------------------- */

static int try_to_write(struct vfs_case *at)
{
    struct bs_file *file = NULL;
    struct bs_lock_holder holder = {0};
    if (bs_file_open(at->vfs, case_path(at, "x"), BS_OPEN_WRITE, &file, NULL)) return 20;
    if (file->ops->probe(file, BS_LOCK_EXCLUSIVE, WRITER_BYTE, 1, &holder, NULL)) return 21;
    const basalt_status status = file->ops->lock(file, BS_LOCK_EXCLUSIVE, WRITER_BYTE, 1, NULL);
    if (holder.held != (status == BASALT_BUSY)) return 22;
    bs_file_close(file);
    return (int)status;
}

TEST_LOCAL(a_second_process_is_shut_out_until_the_first_lets_go)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_OK(file->ops->lock(file, BS_LOCK_EXCLUSIVE, WRITER_BYTE, 1, err));
    CHECK_EQ(in_child(try_to_write, at), BASALT_BUSY);
    /* A classic lock would be lost with the close of any other descriptor of the file. */
    bs_file_close(case_open(at, "x", BS_OPEN_READ));
    CHECK_EQ(in_child(try_to_write, at), BASALT_BUSY);
    bs_file_close(file);
    CHECK_EQ(in_child(try_to_write, at), BASALT_OK);
}

static int lock_and_die(struct vfs_case *at)
{
    struct bs_file *file = NULL;
    if (bs_file_open(at->vfs, case_path(at, "x"), BS_OPEN_WRITE, &file, NULL)) return 30;
    if (file->ops->lock(file, BS_LOCK_EXCLUSIVE, WRITER_BYTE, 1, NULL)) return 31;
    kill(getpid(), SIGKILL);
    return 32;
}

TEST_LOCAL(a_lock_dies_with_its_process)
{
    bs_file_close(case_open(at, "x", CASE_CREATE));
    CHECK_EQ(in_child(lock_and_die, at), -SIGKILL);
    CHECK_EQ(in_child(try_to_write, at), BASALT_OK);
}

/* What libhdf5 does to read and to write: a shared and an exclusive whole-file lock. */
static int read_and_write_as_libhdf5(struct vfs_case *at)
{
    const int reader = open(case_path(at, "x"), O_RDONLY | O_CLOEXEC);
    const int writer = open(case_path(at, "x"), O_RDWR | O_CLOEXEC);
    if (reader < 0 || writer < 0) return 40;
    if (flock(reader, LOCK_SH | LOCK_NB) != 0) return 41;
    if (flock(writer, LOCK_EX | LOCK_NB) == 0) return 42;
    if (flock(reader, LOCK_UN) != 0) return 43;
    if (flock(writer, LOCK_EX | LOCK_NB) == 0) return 44; /* our own shared lock still stands */
    close(reader);
    close(writer);
    return 0;
}

TEST_LOCAL(libhdf5_readers_come_in_and_its_writers_do_not)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    REQUIRE(file);
    CHECK_OK(file->ops->share(file, BS_LOCK_SHARED, err));
    CHECK_OK(file->ops->lock(file, BS_LOCK_EXCLUSIVE, WRITER_BYTE, 1, err));
    CHECK_EQ(in_child(read_and_write_as_libhdf5, at), 0);
    CHECK_EQ(in_child(try_to_write, at), BASALT_BUSY);
    bs_file_close(file);
}

TEST_LOCAL(a_libhdf5_reader_stops_no_writer_of_ours_and_its_writer_does)
{
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    const int other = open(case_path(at, "x"), O_RDWR | O_CLOEXEC);
    unsigned count = 0;
    REQUIRE(file && other >= 0);
    CHECK(flock(other, LOCK_SH | LOCK_NB) == 0);
    CHECK_OK(file->ops->share(file, BS_LOCK_SHARED, err));
    CHECK_OK(file->ops->lock(file, BS_LOCK_EXCLUSIVE, WRITER_BYTE, 1, err));
    if (file->ops->count_sharers(file, &count, &at->error) == BASALT_OK) {
        CHECK_EQ(count, 1);
    } else {
        CHECK_EQ(at->error.status, BASALT_UNSUPPORTED);
    }
    CHECK_OK(file->ops->share(file, BS_LOCK_NONE, err));
    CHECK(flock(other, LOCK_EX | LOCK_NB) == 0);
    CHECK_EQ(file->ops->share(file, BS_LOCK_SHARED, &at->error), BASALT_BUSY);
    CHECK(strstr(at->error.message, "open for writing"));
    close(other);
    bs_file_close(file);
}

TEST_LOCAL(many_locks_of_others_do_not_hide_a_sharer)
{
    enum { OTHERS = 200 };
    struct bs_file *others[OTHERS] = {0};
    struct bs_file *file = case_open(at, "x", CASE_CREATE);
    unsigned count = 0;
    REQUIRE(file);
    for (unsigned i = 0; i < OTHERS; i++) {
        others[i] = case_open(at, "x", BS_OPEN_READ);
        REQUIRE(others[i]);
        CHECK_OK(others[i]->ops->share(others[i], BS_LOCK_SHARED, err));
    }
    if (file->ops->count_sharers(file, &count, &at->error) == BASALT_OK) CHECK_EQ(count, OTHERS);
    for (unsigned i = 0; i < OTHERS; i++) bs_file_close(others[i]);
    bs_file_close(file);
}

static int count_in_another_pid_namespace(struct vfs_case *at)
{
    struct bs_file *file = NULL;
    unsigned count = 7;
    int state = 0;
    if (unshare(CLONE_NEWPID) != 0) return 77; /* not permitted here */
    const pid_t child = fork();
    if (child < 0) return 50;
    if (child > 0) return waitpid(child, &state, 0) == child ? WEXITSTATUS(state) : 51;
    if (bs_file_open(at->vfs, case_path(at, "x"), BS_OPEN_READ, &file, NULL)) _exit(52);
    const basalt_status status = file->ops->count_sharers(file, &count, NULL);
    bs_file_close(file);
    _exit(status == BASALT_UNSUPPORTED && count == 0 ? 0 : 53);
}

TEST_LOCAL(in_a_container_nobody_is_counted)
{
    bs_file_close(case_open(at, "x", CASE_CREATE));
    const int result = in_child(count_in_another_pid_namespace, at);
    if (result == 77) printf("    no right to make a pid namespace: not tried\n");
    CHECK(result == 0 || result == 77);
}

/* ---- full disks ---------------------------------------------------------------------------------- */

static int reserve_past_the_limit(struct vfs_case *at)
{
    const struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    struct bs_file *file = NULL;
    struct bs_log_memory memory;
    uint64_t size = 9;
    basalt_error error = {0};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 60;
    if (bs_file_open(at->vfs, case_path(at, "x"), CASE_CREATE, &file, NULL)) return 61;
    if (file->ops->reserve(file, 2 << 20, &error) != BASALT_NO_SPACE) return 62;
    if (error.os_errno != EFBIG) return 63;
    if (bs_file_size(file, &size, NULL) || size != 0) return 64;
    if (file->ops->lend_log(file, 2 << 20, &memory, &error) != BASALT_UNSUPPORTED) return 65;
    if (bs_file_write_at(file, "a", 1, 2 << 20, &error) != BASALT_NO_SPACE) return 66;
    bs_file_close(file);
    return 0;
}

TEST_LOCAL(a_size_limit_is_an_error_and_no_signal)
{
    CHECK_EQ(in_child(reserve_past_the_limit, at), 0);
}

/* In a mount namespace of its own: a disk of one megabyte, filled. */
static int fill_a_disk(struct vfs_case *at)
{
    struct bs_file *file = NULL, *log = NULL;
    struct bs_log_memory memory;
    uint64_t size = 9;
    basalt_error error = {0};
    if (unshare(CLONE_NEWNS) != 0) return 77;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return 77;
    if (mount("basalt", at->directory, "tmpfs", 0, "size=1m") != 0) return 77;
    if (bs_file_open(at->vfs, case_path(at, "log"), CASE_CREATE, &log, NULL)) return 70;
    if (log->ops->reserve(log, 512 << 10, NULL)) return 71;
    if (log->ops->lend_log(log, 512 << 10, &memory, NULL)) return 72;
    if (bs_file_open(at->vfs, case_path(at, "x"), CASE_CREATE, &file, NULL)) return 73;
    if (file->ops->reserve(file, 4 << 20, &error) != BASALT_NO_SPACE) return 74;
    if (bs_file_size(file, &size, NULL) || size != 0) return 75;
    /* A sparse file of that size must not be lent: its first store would be the SIGBUS. */
    if (file->ops->set_size(file, 4 << 20, NULL)) return 76;
    struct bs_log_memory sparse;
    if (file->ops->lend_log(file, 4 << 20, &sparse, NULL) != BASALT_UNSUPPORTED) return 78;
    for (uint64_t at_byte = 0; at_byte < 4 << 20; at_byte += 4096) {
        if (bs_file_write_at(file, "a", 1, at_byte, &error)) break;
    }
    if (error.status != BASALT_NO_SPACE) return 79;
    if (at->vfs->ops->free_bytes(at->vfs, at->directory) != 0) return 80;
    memset(memory.bytes, 1, memory.capacity_bytes); /* reserved: no SIGBUS on the full disk */
    if (bs_file_sync(log, NULL)) return 81;
    return 0;
}

TEST_LOCAL(a_full_disk_is_no_space_and_never_a_signal)
{
    const int result = in_child(fill_a_disk, at);
    if (result == 77) printf("    no right to mount a small disk: not tried\n");
    CHECK(result == 0 || result == 77);
}

static int write_to_a_read_only_disk(struct vfs_case *at)
{
    struct bs_file *file = NULL;
    basalt_error error = {0};
    if (unshare(CLONE_NEWNS) != 0) return 77;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return 77;
    if (mount("basalt", at->directory, "tmpfs", MS_RDONLY, "size=1m") != 0) return 77;
    if (bs_file_open(at->vfs, case_path(at, "x"), CASE_CREATE, &file, &error) != BASALT_READ_ONLY)
        return 90;
    return strstr(error.message, "x") ? 0 : 91;
}

TEST_LOCAL(a_read_only_disk_is_read_only)
{
    const int result = in_child(write_to_a_read_only_disk, at);
    if (result == 77) printf("    no right to mount a read-only disk: not tried\n");
    CHECK(result == 0 || result == 77);
}

TEST_LOCAL(free_bytes_of_a_place)
{
    const uint64_t free_bytes = at->vfs->ops->free_bytes(at->vfs, at->directory);
    CHECK(free_bytes > 0 && free_bytes < UINT64_MAX);
    CHECK(at->vfs->ops->free_bytes(at->vfs, case_path(at, "no")) == UINT64_MAX);
}

TEST_LOCAL(log_memory_survives_the_death_of_its_writer)
{
    enum { CAPACITY = 1 << 20 };
    uint8_t out[5];
    struct bs_log_memory memory;
    int state = 0;
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct bs_file *log = NULL;
        if (bs_file_open(at->vfs, case_path(at, "log"), CASE_CREATE, &log, NULL)) _exit(1);
        if (log->ops->reserve(log, CAPACITY, NULL)) _exit(2);
        if (log->ops->lend_log(log, CAPACITY, &memory, NULL)) _exit(3);
        memcpy(memory.bytes + CAPACITY - 5, "alive", 5);
        log->ops->mark_dirty(log, &memory, CAPACITY - 5, 5);
        kill(getpid(), SIGKILL);
    }
    CHECK_EQ(waitpid(child, &state, 0), child);
    CHECK(WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL);
    struct bs_file *log = case_open(at, "log", BS_OPEN_READ);
    REQUIRE(log);
    CHECK_OK(bs_file_read_all_at(log, out, 5, CAPACITY - 5, err));
    CHECK(!memcmp(out, "alive", 5));
    bs_file_close(log);
}
