/* crash.c - counting and telling. */
#include "tests/crash/crash.h"

#include "tests/harness/harness_memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool crash_note(struct crash_tally *tally, uint64_t key)
{
    if (2 * tally->seen_count >= tally->seen_capacity) {
        struct crash_tally larger = {.seen_capacity = BS_MAX(2 * tally->seen_capacity, 4096)};
        larger.seen = harness_zeroed(larger.seen_capacity, sizeof larger.seen[0]);
        for (size_t i = 0; i < tally->seen_capacity; i++) {
            if (tally->seen[i]) (void)crash_note(&larger, tally->seen[i]);
        }
        harness_free(tally->seen);
        tally->seen = larger.seen;
        tally->seen_count = larger.seen_count;
        tally->seen_capacity = larger.seen_capacity;
    }
    if (key == 0) key = 1;
    size_t at = (size_t)key & (tally->seen_capacity - 1);
    while (tally->seen[at] && tally->seen[at] != key) at = (at + 1) & (tally->seen_capacity - 1);
    if (tally->seen[at]) return false;
    tally->seen[at] = key;
    tally->seen_count++;
    return true;
}

bool crash_count(struct crash_tally *tally, const struct powerloss_image *image)
{
    tally->checks++;
    if (!crash_note(tally, image->hash)) return false;
    tally->distinct++;
    tally->by_kind[image->kind]++;
    tally->by_cut[image->cut_at]++;
    return true;
}

void crash_count_stages(
    struct crash_tally *tally, const struct powerloss_image *image, uint8_t stages)
{
    const bool killed = image->kind == POWERLOSS_KILLED || image->kind == POWERLOSS_KILLED_TORN;
    if (killed) stages &= (uint8_t) ~(1u << STAGE_FLIP_KILLED); /* it is about the disk */
    for (unsigned i = 0; i < STAGES; i++) tally->by_stage[i] += stages >> i & 1;
}

static bool is_wanted(const char *text, const char *wanted)
{
    while (wanted) {
        char one[100];
        const size_t length = strcspn(wanted, "|");
        snprintf(one, sizeof one, "%.*s", (int)length, wanted);
        if (strstr(text, one)) return true;
        wanted = wanted[length] ? wanted + length + 1 : NULL;
    }
    return false;
}

static void note_first(
    struct crash_tally *tally, const struct powerloss_image *image, const char *text)
{
    if (tally->first_text[0] || (tally->wanted && !is_wanted(text, tally->wanted))) return;
    tally->first = *image;
    tally->first.files = NULL;
    tally->first.file_count = 0;
    snprintf(tally->first_text, sizeof tally->first_text, "%s", text);
}

void crash_fail(
    struct crash_tally *tally, const struct powerloss_image *image, const char *format, ...)
{
    char text[sizeof tally->first_text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    note_first(tally, image, text);
    if (tally->failures++ >= CRASH_FAILURES_SHOWN) return;
    fprintf(stderr, "broken: image %s, cut at event %" PRIu64 " (%s), mark %" PRIu64 ": %s\n",
        powerloss_kind_name(image->kind), image->cut, powerloss_event_name(image->cut_at),
        image->mark, text);
}

static void print_stages(const struct crash_tally *tally, const char *name)
{
    bool any = false;
    for (unsigned i = 0; i < STAGES; i++) any |= tally->by_stage[i] > 0;
    if (!any) return;
    printf("FIGURE %s stopped", name);
    for (unsigned i = 0; i < STAGES; i++) {
        printf("%s %s %" PRIu64, i ? "," : "", stage_name((enum stage)i), tally->by_stage[i]);
    }
    printf("\n");
}

void crash_print(const struct crash_tally *tally, const char *name)
{
    printf("FIGURE %s: %" PRIu64 " distinct images, %" PRIu64 " checks, %" PRIu64 " broken\n", name,
        tally->distinct, tally->checks, tally->failures);
    printf("%s by kind:", name);
    for (int kind = 0; kind < POWERLOSS_KINDS; kind++) {
        printf(
            " %s %" PRIu64, powerloss_kind_name((enum powerloss_kind)kind), tally->by_kind[kind]);
    }
    printf("\n%s by what the machine stopped before:", name);
    for (int kind = 0; kind < POWERLOSS_EVENT_KINDS; kind++) {
        if (!tally->by_cut[kind]) continue;
        printf(" %s %" PRIu64, powerloss_event_name((enum powerloss_event_kind)kind),
            tally->by_cut[kind]);
    }
    printf("\n");
    print_stages(tally, name);
}

void crash_add(struct crash_tally *sum, const struct crash_tally *part)
{
    sum->distinct += part->distinct;
    sum->checks += part->checks;
    sum->failures += part->failures;
    if (!sum->first_text[0]) {
        sum->first = part->first;
        memcpy(sum->first_text, part->first_text, sizeof sum->first_text);
    }
    for (int i = 0; i < STAGES; i++) sum->by_stage[i] += part->by_stage[i];
    for (int i = 0; i < POWERLOSS_KINDS; i++) sum->by_kind[i] += part->by_kind[i];
    for (int i = 0; i < POWERLOSS_EVENT_KINDS; i++) sum->by_cut[i] += part->by_cut[i];
}

void crash_free_seen(struct crash_tally *tally)
{
    harness_free(tally->seen);
    tally->seen = NULL;
    tally->seen_count = tally->seen_capacity = 0;
}

void crash_free(struct crash_tally *tally)
{
    crash_free_seen(tally);
    *tally = (struct crash_tally){0};
}
