/* test.h - the few words that tests are written in.
 *
 * One program a folder of tests: TEST registers itself, test_main.c runs all or those whose
 * "suite.name" contains an argument. A failed CHECK reports and goes on; REQUIRE leaves the test. The
 * program's exit code is 1 if one failed, 77 if none did and all were skipped. */
#ifndef BS_TEST_H
#define BS_TEST_H

#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct test_case {
    const char *suite, *name;
    void (*run)(void);
    struct test_case *next;
};
void test_register(struct test_case *test);
void test_fail(const char *file, int line, const char *format, ...) BS_PRINTF(3, 4);
/* This machine does not have what the test is about: it counts as skipped, and returns. */
void test_skip(const char *format, ...) BS_PRINTF(1, 2);
/* A fresh empty directory of this test's own, removed when the program ends well; lends. */
const char *test_directory(void);
/* DIRECTORY/NAME; lends until the test ends. */
const char *test_path(const char *name);
uint64_t test_random(uint64_t *state); /* splitmix64: the seed is in the test, so runs repeat */
/* Live blocks from bs_alloc and friends; tests of leaks compare it before and after. */
int64_t test_live_allocations(void);

#define TEST(suite_, name_)                                                                        \
    static void suite_##_##name_(void);                                                            \
    static struct test_case suite_##_##name_##_case = {#suite_, #name_, suite_##_##name_, NULL};   \
    __attribute__((constructor)) static void suite_##_##name_##_register(void)                     \
    {                                                                                              \
        test_register(&suite_##_##name_##_case);                                                   \
    }                                                                                              \
    static void suite_##_##name_(void)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) test_fail(__FILE__, __LINE__, "%s", #condition);                         \
    } while (0)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            test_fail(__FILE__, __LINE__, "%s", #condition);                                       \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        const long long a_ = (long long)(a), b_ = (long long)(b);                                  \
        if (a_ != b_) test_fail(__FILE__, __LINE__, "%s is %lld, %s is %lld", #a, a_, #b, b_);     \
    } while (0)
#define CHECK_TEXT(a, b)                                                                           \
    do {                                                                                           \
        const char *a_ = (a), *b_ = (b);                                                           \
        if (!a_ || !b_ || strcmp(a_, b_) != 0)                                                     \
            test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, a_ ? a_ : "(null)",      \
                b_ ? b_ : "(null)");                                                               \
    } while (0)
/* The call gives OK, or the test reports its message. */
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        basalt_error err_ = {0};                                                                   \
        basalt_error *err = &err_;                                                                 \
        const basalt_status status_ = (call);                                                      \
        if (status_)                                                                               \
            test_fail(__FILE__, __LINE__, "%s gives %d: %s", #call, (int)status_, err_.message);   \
    } while (0)
#define REQUIRE_OK(call)                                                                           \
    do {                                                                                           \
        basalt_error err_ = {0};                                                                   \
        basalt_error *err = &err_;                                                                 \
        const basalt_status status_ = (call);                                                      \
        if (status_) {                                                                             \
            test_fail(__FILE__, __LINE__, "%s gives %d: %s", #call, (int)status_, err_.message);   \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* ---- faults: every fallible step fails in turn -------------------------------------------------
 *
 *   EACH_FAULT(step) { ... the workload ... }
 *
 * runs the workload again and again; in run `step` the step-th allocation (and, through the faulty
 * file system, the step-th file operation) fails; it ends after the run in which no step failed. */
bool fault_run_begin(uint64_t step); /* false when the run before met no fault */
bool fault_point(void);              /* true: the caller must fail now. Any thread may call. */
void fault_stop(void);               /* nothing fails from here to the end of this run */
uint64_t fault_points_seen(void);
#define EACH_FAULT(step)                                                                           \
    for (uint64_t step = 1; fault_run_begin(step); step = fault_step_after(step))
/* The same for a workload that is long in itself: behind the first 200 steps only every `stride`-th, unless
 * the environment has BASALT_FAULTS=all, as `make soak` has it. */
#define EACH_FAULT_BY(step, stride)                                                                \
    for (uint64_t step = 1; fault_run_begin(step); step = fault_step_by(step, stride))
uint64_t fault_step_by(uint64_t step, uint64_t stride);
/* The next step; under the thread sanitizer, which has nothing to say about the rest, only every 19th
 * of a long loop. */
uint64_t fault_step_after(uint64_t step);

#endif
