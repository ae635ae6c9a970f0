/* thread_posix.c - threads, mutexes and conditions of POSIX, with the few calls of Linux beside. */
#include "base/base.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#define NAME_BYTES_MAX 16 /* with the NUL; Linux refuses longer ones */
#define BACKGROUND_NICE 10

struct bs_thread {
    pthread_t handle;
    void (*body)(void *);
    void *argument;
    char name[NAME_BYTES_MAX];
};

/* Of these calls only a caller's bug can make one fail (Linux, default attributes). */
static void must(int os_errno)
{
    assert(os_errno == 0);
    (void)os_errno;
}

void bs_mutex_init(bs_mutex *mutex)
{
    must(pthread_mutex_init(mutex, NULL));
}

void bs_mutex_destroy(bs_mutex *mutex)
{
    must(pthread_mutex_destroy(mutex));
}

#ifdef NDEBUG
static void count_held(int change)
{
    (void)change;
}

unsigned bs_mutexes_held(void)
{
    return 0;
}
#else
static _Thread_local unsigned mutexes_held; /* of the thread alone: nobody else ever looks */

static void count_held(int change)
{
    mutexes_held += (unsigned)change;
}

unsigned bs_mutexes_held(void)
{
    return mutexes_held;
}
#endif

void bs_mutex_lock(bs_mutex *mutex)
{
    must(pthread_mutex_lock(mutex));
    count_held(1);
}

void bs_mutex_unlock(bs_mutex *mutex)
{
    count_held(-1);
    must(pthread_mutex_unlock(mutex));
}

void bs_condition_init(bs_condition *condition)
{
    pthread_condattr_t attributes;
    must(pthread_condattr_init(&attributes));
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    must(pthread_cond_init(condition, &attributes));
    must(pthread_condattr_destroy(&attributes));
}

void bs_condition_destroy(bs_condition *condition)
{
    must(pthread_cond_destroy(condition));
}

void bs_condition_wait(bs_condition *condition, bs_mutex *mutex)
{
    must(pthread_cond_wait(condition, mutex));
}

bool bs_condition_wait_until(bs_condition *condition, bs_mutex *mutex, uint64_t deadline_ns)
{
    const struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };
    const int result = pthread_cond_timedwait(condition, mutex, &deadline);
    if (result == ETIMEDOUT) return false;
    must(result);
    return true;
}

void bs_condition_signal(bs_condition *condition)
{
    must(pthread_cond_signal(condition));
}

void bs_condition_broadcast(bs_condition *condition)
{
    must(pthread_cond_broadcast(condition));
}

static void *thread_main(void *argument)
{
    struct bs_thread *thread = argument;
#ifdef __linux__
    (void)pthread_setname_np(pthread_self(), thread->name); /* a help to whoever debugs */
#endif
    thread->body(thread->argument);
    return NULL;
}

/* The program's signals are the program's: they are handled on its own threads, never on ours. Those
 * that a thread raises itself stay open. */
static void block_signals(sigset_t *out_before)
{
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGTRAP);
    must(pthread_sigmask(SIG_SETMASK, &blocked, out_before));
}

basalt_status bs_thread_start(const char *name, void (*body)(void *), void *argument,
    struct bs_thread **out_thread, basalt_error *err)
{
    *out_thread = NULL;
    struct bs_thread *thread = bs_alloc_zeroed(1, sizeof *thread);
    if (!thread) return bs_fail_memory(err, sizeof *thread);
    thread->body = body;
    thread->argument = argument;
    memcpy(thread->name, name, BS_MIN(strlen(name), sizeof thread->name - 1));
    sigset_t before;
    block_signals(&before);
    const int failed = pthread_create(&thread->handle, NULL, thread_main, thread);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL));
    if (failed) {
        bs_free(thread);
        return bs_fail_os(
            err, failed, BASALT_NO_OFFSET, "the thread \"%s\" cannot be started", name);
    }
    *out_thread = thread;
    return BASALT_OK;
}

void bs_thread_join(struct bs_thread *thread)
{
    if (!thread) return;
    must(pthread_join(thread->handle, NULL));
    bs_free(thread);
}

void bs_thread_lower_priority(void)
{
#ifdef __linux__
    /* On Linux the nice value belongs to the thread. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), BACKGROUND_NICE);
#endif
}

void bs_thread_yield(void)
{
    (void)sched_yield();
}

unsigned bs_processor_count(void)
{
#ifdef __linux__
    cpu_set_t allowed; /* what this process may use, which a container or taskset may narrow */
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0) {
        return (unsigned)CPU_COUNT(&allowed);
    }
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}
