/* sql_watch.c - signals end a query, and a terminal shows how far it is. */
#include "record.h"
#include "sql.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 50000000
#define SHOW_FROM_NS 1000000000u

void watch_hold(struct sql_watch *watch)
{
    pthread_mutex_init(&watch->terminal, NULL);
    signals_hold(&watch->signals, SIGUSR1); /* SIGUSR1: watch_stop */
}

static void wipe_line(struct sql_watch *watch)
{
    if (watch->shown) fputs("\r\033[K", stderr);
    watch->shown = false;
}

static void show_progress(struct sql_watch *watch)
{
    if (!watch->shows_progress) return;
    pthread_mutex_lock(&watch->terminal);
    const uint64_t since_ns = watch->query_ns ? now_ns() - watch->query_ns : 0;
    if (since_ns > SHOW_FROM_NS) {
        const double share = watch->duckdb->query_progress(watch->connections[0]).percentage;
        fprintf(stderr, "\r\033[Ksql: ");
        if (share > 0 && share <= 100) fprintf(stderr, "%.0f %%, ", share);
        fprintf(stderr, "%" PRIu64 " s", since_ns / 1000000000u);
        watch->shown = true;
    }
    pthread_mutex_unlock(&watch->terminal);
}

/* The flag that it sets is cleared when the next query begins, so it is set again and again. */
static void interrupt_all(struct sql_watch *watch)
{
    for (size_t i = 0; i < 2; i++) watch->duckdb->interrupt(watch->connections[i]);
}

static void *watch_main(void *context)
{
    struct sql_watch *watch = context;
    const struct timespec tick = {.tv_nsec = TICK_NS};
    while (!atomic_load(&watch->stopping)) {
        const int number = sigtimedwait(&watch->signals, NULL, &tick);
        if (number > 0 && number != SIGUSR1) {
            if (atomic_load(&watch->interrupted)) {
                wipe_line(watch);
                _exit(EXIT_BASALT + BASALT_CANCELLED);
            }
            atomic_store(&watch->interrupted, true);
        }
        if (atomic_load(&watch->interrupted)) interrupt_all(watch);
        show_progress(watch);
    }
    return NULL;
}

basalt_status watch_start(struct sql_watch *watch, struct sql_failure *failure)
{
    watch->started = pthread_create(&watch->thread, NULL, watch_main, watch) == 0;
    if (watch->started) return BASALT_OK;
    return sql_fail(failure, BASALT_NO_MEMORY, "the system gives no thread");
}

void watch_query(struct sql_watch *watch, bool runs)
{
    pthread_mutex_lock(&watch->terminal);
    watch->query_ns = runs ? now_ns() : 0;
    if (!runs) wipe_line(watch);
    pthread_mutex_unlock(&watch->terminal);
}

void watch_stop(struct sql_watch *watch)
{
    if (!watch->started) return;
    atomic_store(&watch->stopping, true);
    pthread_kill(watch->thread, SIGUSR1);
    pthread_join(watch->thread, NULL);
    watch->started = false;
    wipe_line(watch);
}
