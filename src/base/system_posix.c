/* system_posix.c - clocks, chance and names of this machine, asked of a POSIX system. */
#include "base/base_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define NS_IN_SECOND 1000000000u

void bs_os_error_text(int os_errno, char *out, size_t out_bytes)
{
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    const char *text = strerror_r(os_errno, out, out_bytes); /* GNU's: may lend a constant */
    if (text != out) snprintf(out, out_bytes, "%s", text);
#else
    if (strerror_r(os_errno, out, out_bytes)) snprintf(out, out_bytes, "error %d", os_errno);
#endif
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now); /* fails for clocks that do not exist alone */
    return (uint64_t)now.tv_sec * NS_IN_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t bs_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bs_wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void bs_sleep_ns(uint64_t ns)
{
    struct timespec left = {
        .tv_sec = (time_t)(ns / NS_IN_SECOND), .tv_nsec = (long)(ns % NS_IN_SECOND)};
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
}

/* Without the system's chance (a kernel or a sandbox that refuses it): what differs between any two
 * calls and processes. UUIDs and epochs must be distinct, not secret. */
static void random_from_circumstances(uint8_t *out, size_t count)
{
    uint64_t state = bs_wall_ns() ^ bs_process_id() << 32 ^ (uint64_t)(uintptr_t)out;
    for (size_t i = 0; i < count; i++) {
        state = (state ^ bs_now_ns()) * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(state >> 56);
    }
}

void bs_random_bytes(void *out, size_t count)
{
    uint8_t *at = out;
    while (count > 0) {
        const ssize_t got = getrandom(at, count, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            random_from_circumstances(at, count);
            return;
        }
        at += got;
        count -= (size_t)got;
    }
}

uint64_t bs_process_id(void)
{
    return (uint64_t)getpid();
}

void bs_host_name(char *out, size_t out_bytes)
{
    assert(out_bytes > 0);
    if (gethostname(out, out_bytes)) snprintf(out, out_bytes, "unknown");
    out[out_bytes - 1] = '\0'; /* POSIX leaves a name that was cut without one */
}

void bs_format_time(uint64_t wall_ns, char *out, size_t out_bytes)
{
    const time_t seconds = (time_t)(wall_ns / NS_IN_SECOND);
    struct tm utc = {0};
    char date[32] = "";
    (void)gmtime_r(&seconds, &utc); /* 64 bits of nanoseconds end in the year 2554 */
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out, out_bytes, "%s.%09uZ", date, (unsigned)(wall_ns % NS_IN_SECOND));
}
