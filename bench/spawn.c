/* spawn.c - what a task costs: --tasks empty ones on --threads workers, from outside (spawned by a thread
 * that then waits), from inside (a task spawns them, then its thread and the others run them) and
 * stolen (a task spawns them and holds its thread, so that each is taken by another), beside
 * the same on a pool with one mutex, one condition and one queue. One JSON line: medians of --rounds, in
 * ns a task.
 *
 * spawn: from the first spawn to the return of the last; whole: to the end of the last task. */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the peer: a plain pool ------------------------------------------------------------------- */

struct plain_task {
    struct plain_task *next;
    void (*run)(void *);
    void *argument;
};

struct plain_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work, ended;
    struct plain_task *first, *last;
    uint64_t unfinished;
    int stopping;
    unsigned thread_count;
    pthread_t threads[64];
};

static void *plain_worker(void *argument)
{
    struct plain_pool *pool = argument;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->first && !pool->stopping) pthread_cond_wait(&pool->work, &pool->mutex);
        struct plain_task *task = pool->first;
        if (!task) break;
        pool->first = task->next;
        pthread_mutex_unlock(&pool->mutex);
        task->run(task->argument);
        free(task);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->unfinished == 0) pthread_cond_broadcast(&pool->ended);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static void plain_start(struct plain_pool *pool, unsigned threads)
{
    *pool = (struct plain_pool){.thread_count = threads};
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->ended, NULL);
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&pool->threads[i], NULL, plain_worker, pool)) exit(1);
    }
}

static void plain_spawn(struct plain_pool *pool, void (*run)(void *), void *argument)
{
    struct plain_task *task = malloc(sizeof *task);
    if (!task) exit(1);
    *task = (struct plain_task){NULL, run, argument};
    pthread_mutex_lock(&pool->mutex);
    if (pool->first) {
        pool->last->next = task;
    } else {
        pool->first = task;
    }
    pool->last = task;
    pool->unfinished++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

static void plain_wait(struct plain_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->unfinished) pthread_cond_wait(&pool->ended, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

static void plain_stop(struct plain_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; i++) pthread_join(pool->threads[i], NULL);
}

/* ---- the same work for both -------------------------------------------------------------------- */

/* `plain` or `job` runs it. */
struct run {
    struct plain_pool *plain;
    basalt_job *job;
    uint64_t tasks;
    atomic_ullong done; /* counted only where tasks are to be stolen */
    bool holds;
    double spawn_seconds;
};

static void plain_nothing(void *argument)
{
    (void)argument;
}

static basalt_status nothing(void *argument, basalt_error *err)
{
    (void)argument;
    (void)err;
    return BASALT_OK;
}

static void plain_count(void *argument)
{
    struct run *run = argument;
    atomic_fetch_add_explicit(&run->done, 1, memory_order_relaxed);
}

static basalt_status count(void *argument, basalt_error *err)
{
    (void)err;
    plain_count(argument);
    return BASALT_OK;
}

static void spawn_all(struct run *run)
{
    const double begin = bench_seconds();
    for (uint64_t i = 0; i < run->tasks; i++) {
        if (run->plain) {
            plain_spawn(run->plain, run->holds ? plain_count : plain_nothing, run);
        } else {
            basalt_job_spawn(run->job, run->holds ? count : nothing, run);
        }
    }
    run->spawn_seconds = bench_seconds() - begin;
    while (run->holds && atomic_load(&run->done) < run->tasks) sched_yield();
}

static void plain_inside(void *argument)
{
    spawn_all(argument);
}

static basalt_status inside(void *argument, basalt_error *err)
{
    (void)err;
    spawn_all(argument);
    return BASALT_OK;
}

enum kind { KIND_OUTSIDE, KIND_INSIDE, KIND_STOLEN };

struct cost {
    double spawn_ns, whole_ns;
};

static struct cost measure(
    basalt_scheduler *scheduler, unsigned threads, uint64_t tasks, enum kind kind)
{
    struct plain_pool pool;
    basalt_error error = {0};
    struct run run = {.tasks = tasks, .holds = kind == KIND_STOLEN};
    if (scheduler) {
        bench_check(
            basalt_job_create(scheduler, BASALT_FOREGROUND, NULL, &run.job, &error), &error);
    } else {
        plain_start(&pool, threads);
        run.plain = &pool;
    }
    const double begin = bench_seconds();
    if (kind == KIND_OUTSIDE) {
        spawn_all(&run);
    } else if (scheduler) {
        basalt_job_spawn(run.job, inside, &run);
    } else {
        plain_spawn(&pool, plain_inside, &run);
    }
    if (scheduler) {
        bench_check(basalt_job_wait(run.job, &error), &error);
    } else {
        plain_wait(&pool);
    }
    const double whole = bench_seconds() - begin;
    if (scheduler) {
        basalt_job_free(&run.job);
    } else {
        plain_stop(&pool);
    }
    return (struct cost){run.spawn_seconds * 1e9 / (double)tasks, whole * 1e9 / (double)tasks};
}

#define ROUNDS_MAX 101

/* Both sides in turn, round after round: the median of each. */
static void compare(
    basalt_scheduler *scheduler, unsigned threads, uint64_t tasks, uint64_t rounds, enum kind kind)
{
    static const char *const names[] = {"outside", "inside", "stolen"};
    double spawn[2][ROUNDS_MAX], whole[2][ROUNDS_MAX];
    for (uint64_t round = 0; round < rounds; round++) {
        for (int plain = 0; plain < 2; plain++) {
            const struct cost cost = measure(plain ? NULL : scheduler, threads, tasks, kind);
            spawn[plain][round] = cost.spawn_ns;
            whole[plain][round] = cost.whole_ns;
        }
    }
    for (int plain = 0; plain < 2; plain++) {
        const char *prefix = plain ? "plain_" : "";
        printf(", \"%s%s_spawn_ns\": %.1f, \"%s%s_ns\": %.1f", prefix, names[kind],
            bench_quantile(spawn[plain], rounds, 0.5), prefix, names[kind],
            bench_quantile(whole[plain], rounds, 0.5));
    }
}

int main(int argc, char **argv)
{
    const unsigned threads = (unsigned)bench_number(argc, argv, "--threads", 2);
    const uint64_t tasks = bench_number(argc, argv, "--tasks", 200000);
    const uint64_t rounds = bench_number(argc, argv, "--rounds", 11);
    basalt_scheduler_options options;
    basalt_scheduler *scheduler = NULL;
    basalt_error error = {0};
    if (threads < 2 || threads > 64) return 2; /* one spawns, another steals */
    if (tasks < 1 || rounds < 1 || rounds > ROUNDS_MAX) return 2;
    basalt_scheduler_options_init(&options, sizeof options);
    options.threads = threads;
    bench_check(basalt_scheduler_create(&options, &scheduler, &error), &error);
    printf("{\"threads\": %u", threads);
    for (int kind = KIND_OUTSIDE; kind <= KIND_STOLEN; kind++) {
        compare(scheduler, threads, tasks, rounds, (enum kind)kind);
    }
    printf("}\n");
    bench_check(basalt_scheduler_free(&scheduler, &error), &error);
    return 0;
}
