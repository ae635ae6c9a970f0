/* meter.c - what meter.h declares. */
#include "tests/hostile/meter.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static _Atomic int64_t live, peak, base;
static uint64_t begun_ns, spent_ns;
static void (*end_told)(void);

static void count(int64_t bytes)
{
    const int64_t now = atomic_fetch_add(&live, bytes) + bytes;
    int64_t highest = atomic_load(&peak);
    while (now > highest && !atomic_compare_exchange_weak(&peak, &highest, now)) {
    }
}

#ifdef SANITIZED
#include <sanitizer/allocator_interface.h>

static void on_malloc(const volatile void *block, size_t bytes)
{
    (void)block;
    count((int64_t)bytes);
}

static void on_free(const volatile void *block)
{
    if (block) count(-(int64_t)__sanitizer_get_allocated_size((const void *)(uintptr_t)block));
}

void meter_prepare(void)
{
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}
#else
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t items, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *block);

static void *counted(void *block)
{
    if (block) count((int64_t)malloc_usable_size(block));
    return block;
}

void *malloc(size_t bytes)
{
    return counted(__libc_malloc(bytes));
}

void *calloc(size_t items, size_t bytes)
{
    return counted(__libc_calloc(items, bytes));
}

void *realloc(void *old, size_t bytes)
{
    const int64_t before = old ? (int64_t)malloc_usable_size(old) : 0;
    void *block = __libc_realloc(old, bytes);
    if (block || !bytes) count(-before);
    return counted(block);
}

void *memalign(size_t alignment, size_t bytes)
{
    return counted(__libc_memalign(alignment, bytes));
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return memalign(alignment, bytes);
}

int posix_memalign(void **out_block, size_t alignment, size_t bytes)
{
    *out_block = memalign(alignment, bytes);
    return *out_block ? 0 : ENOMEM;
}

void free(void *block)
{
    if (block) count(-(int64_t)malloc_usable_size(block));
    __libc_free(block);
}

void meter_prepare(void)
{
}
#endif

static uint64_t cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000000000u + (uint64_t)spent.tv_nsec;
}

static void on_time(int signal)
{
    (void)signal;
    spent_ns = cpu_ns() - begun_ns;
    if (end_told) end_told();
    _exit(1);
}

static void set_timer(unsigned cpu_ms)
{
    const struct itimerval value = {
        {0, 0}, {(time_t)(cpu_ms / 1000), (suseconds_t)(cpu_ms % 1000) * 1000}};
    setitimer(ITIMER_PROF, &value, NULL);
}

void meter_begin(unsigned cpu_ms, void (*on_end)(void))
{
    struct sigaction action = {.sa_handler = on_time};

    end_told = on_end;
    sigaction(SIGPROF, &action, NULL);
    atomic_store(&base, atomic_load(&live));
    atomic_store(&peak, atomic_load(&live));
    begun_ns = cpu_ns();
    set_timer(cpu_ms);
}

void meter_end(void)
{
    set_timer(0);
    spent_ns = cpu_ns() - begun_ns;
}

uint64_t meter_peak_bytes(void)
{
    return (uint64_t)(atomic_load(&peak) - atomic_load(&base));
}

unsigned meter_cpu_ms(void)
{
    return (unsigned)(spent_ns / 1000000);
}
