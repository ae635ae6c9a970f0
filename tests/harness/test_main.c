/* test_main.c - registry, report, temporary directories and fault counting of the tests. */
#include "tests/harness/test.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct test_case *tests;
static atomic_uint failures; /* of the test that runs */
static bool skips;           /* the test that runs */
static char directory[256];
static char paths[64][512];
static unsigned path_count;

void test_register(struct test_case *test)
{
    struct test_case **at = &tests;
    while (*at &&
        (strcmp((*at)->suite, test->suite) < 0 ||
            (!strcmp((*at)->suite, test->suite) && strcmp((*at)->name, test->name) < 0))) {
        at = &(*at)->next;
    }
    test->next = *at;
    *at = test;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    if (atomic_fetch_add(&failures, 1) > 20) return; /* the first ones tell */
    fprintf(stderr, "    %s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void test_skip(const char *format, ...)
{
    va_list args;
    skips = true;
    va_start(args, format);
    fputs("skipped: ", stdout);
    vprintf(format, args);
    va_end(args);
    fputc('\n', stdout);
}

static void remove_tree(const char *path)
{
    char child[1024];
    DIR *dir = opendir(path);
    if (dir) {
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
            snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
            remove_tree(child);
        }
        closedir(dir);
        rmdir(path);
        return;
    }
    unlink(path);
}

const char *test_directory(void)
{
    if (!directory[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(directory, sizeof directory, "%s/basalt-test-XXXXXX", base ? base : "/tmp");
        if (!mkdtemp(directory)) {
            perror("mkdtemp");
            exit(2);
        }
    }
    return directory;
}

const char *test_path(const char *name)
{
    char *path = paths[path_count++ % BS_ARRAY_LENGTH(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", test_directory(), name);
    return path;
}

uint64_t test_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* ---- faults ------------------------------------------------------------------------------------ */

static atomic_uint_least64_t points_seen, fail_at;

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FAULT_STRIDE 19u
#endif
#endif
#ifndef FAULT_STRIDE
#define FAULT_STRIDE 1u
#endif
#define FAULT_DENSE_STEPS 200u

static uint64_t fault_step; /* of the run under way */
static uint64_t fault_loops, fault_runs;

uint64_t fault_step_after(uint64_t step)
{
    return step + (step < FAULT_DENSE_STEPS ? 1 : FAULT_STRIDE);
}

uint64_t fault_step_by(uint64_t step, uint64_t stride)
{
    const char *wish = getenv("BASALT_FAULTS");
    const bool all = wish && !strcmp(wish, "all");
    const uint64_t next = fault_step_after(step);
    return all || step < FAULT_DENSE_STEPS || next > step + stride ? next : step + stride;
}

bool fault_run_begin(uint64_t step)
{
    const bool first = step == 1;
    fault_loops += first;
    fault_runs++;
    const bool reached =
        atomic_load(&points_seen) >= fault_step && atomic_load(&fail_at) == fault_step;
    if (!first && !reached) {
        atomic_store(&fail_at, 0);
        return false;
    }
    fault_step = step;
    atomic_store(&points_seen, 0);
    atomic_store(&fail_at, step);
    return true;
}

bool fault_point(void)
{
    const uint64_t at = atomic_load(&fail_at);
    return at && atomic_fetch_add(&points_seen, 1) + 1 == at;
}

void fault_stop(void)
{
    const uint64_t at = atomic_load(&fail_at);
    /* Past the step, so that the loop still knows whether it was met. */
    if (at && atomic_load(&points_seen) < at) atomic_store(&fail_at, UINT64_MAX);
}

uint64_t fault_points_seen(void)
{
    return atomic_load(&points_seen);
}

/* The linker sends the library's allocations here (-Wl,--wrap). */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void __wrap_free(void *memory);
static atomic_llong live;

void *__wrap_malloc(size_t bytes)
{
    void *memory = fault_point() ? NULL : __real_malloc(bytes);
    if (memory) atomic_fetch_add(&live, 1);
    return memory;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    void *memory = fault_point() ? NULL : __real_calloc(count, bytes);
    if (memory) atomic_fetch_add(&live, 1);
    return memory;
}

void *__wrap_realloc(void *old, size_t bytes)
{
    void *memory = fault_point() ? NULL : __real_realloc(old, bytes);
    if (memory && !old) atomic_fetch_add(&live, 1);
    return memory;
}

void __wrap_free(void *memory)
{
    if (memory) atomic_fetch_sub(&live, 1);
    __real_free(memory);
}

int64_t test_live_allocations(void)
{
    return atomic_load(&live);
}

/* ------------------------------------------------------------------------------------------------ */

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0, skipped = 0;
    const char *slash = strrchr(argv[0], '/'), *program = slash ? slash + 1 : argv[0];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct test_case *test = tests; test; test = test->next) {
        char full[256];
        snprintf(full, sizeof full, "%s.%s", test->suite, test->name);
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++) wanted |= strstr(full, argv[i]) != NULL;
        if (!wanted) continue;
        atomic_store(&failures, 0);
        skips = false;
        test->run();
        if (atomic_load(&failures)) {
            failed++;
            printf("FAILED %s\n", full);
        } else if (skips) {
            skipped++;
            printf("SKIPPED %s\n", full);
        } else {
            passed++;
        }
    }
    if (directory[0] && !failed) remove_tree(directory);
    if (fault_loops) {
        printf("FIGURE fault loops of %s: %" PRIu64 ", %" PRIu64 " runs", program, fault_loops,
            fault_runs);
        if (FAULT_STRIDE > 1) {
            printf(", every %uth step after the first %u", FAULT_STRIDE, FAULT_DENSE_STEPS);
        }
        printf("\n");
    }
    printf("%u passed, %u failed", passed, failed);
    if (skipped) printf(", %u skipped", skipped);
    printf("\n");
    if (!failed && !passed && skipped) return 77;
    return failed || !passed ? 1 : 0;
}
