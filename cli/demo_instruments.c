/* demo_instruments.c - instruments that every Linux machine has, read from /proc, and one waveform
 * that is made up and says so. */
#include "demo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 512
#define FIRST_VALUE 2 /* after time and sequence */

const char *const instrument_names[INSTRUMENTS] = {
    "processor", "memory", "disk", "network", "waveform"};

#define TIME_AND_SEQUENCE                                                                          \
    {"time", "tsn:UTC"},                                                                           \
    {                                                                                              \
        "sequence", "l"                                                                            \
    }
static const struct rows_column processor_columns[] = {TIME_AND_SEQUENCE, {"user", "L"},
    {"nice", "L"}, {"system", "L"}, {"idle", "L"}, {"waiting", "L"}, {"interrupts", "L"},
    {"soft_interrupts", "L"}, {"context_switches", "L"}, {"processes_started", "L"},
    {"processes_running", "L"}};
static const struct rows_column memory_columns[] = {TIME_AND_SEQUENCE, {"total", "L"},
    {"free", "L"}, {"available", "L"}, {"buffers", "L"}, {"cached", "L"}, {"dirty", "L"},
    {"writeback", "L"}};
static const struct rows_column disk_columns[] = {TIME_AND_SEQUENCE, {"device", "u"},
    {"reads", "L"}, {"bytes_read", "L"}, {"writes", "L"}, {"bytes_written", "L"},
    {"in_flight", "L"}, {"busy_ms", "L"}};
static const struct rows_column network_columns[] = {TIME_AND_SEQUENCE, {"interface", "u"},
    {"bytes_received", "L"}, {"packets_received", "L"}, {"errors_received", "L"},
    {"bytes_sent", "L"}, {"packets_sent", "L"}, {"errors_sent", "L"}};
static const struct rows_column waveform_columns[] = {{"volts", "g"}};

/* Row `row` gets the numbers that the text begins with, from column `at` on. */
static void put_numbers(struct rows *rows, size_t row, size_t at, const char *text)
{
    for (; at < rows->column_count; at++) {
        char *end = NULL;
        rows->cells[row][at].natural = strtoull(text, &end, 10);
        text = end;
    }
}

static void read_processor(FILE *source, struct rows *rows)
{
    static const struct {
        const char *word;
        size_t column;
    } counters[] = {{"ctxt ", 9}, {"processes ", 10}, {"procs_running ", 11}};
    char line[LINE_BYTES];
    rows->count = 1;
    while (fgets(line, sizeof line, source)) {
        if (strncmp(line, "cpu ", 4) == 0) put_numbers(rows, 0, FIRST_VALUE, line + 4);
        for (size_t i = 0; i < 3; i++) {
            const size_t length = strlen(counters[i].word);
            if (strncmp(line, counters[i].word, length) != 0) continue;
            rows->cells[0][counters[i].column].natural = strtoull(line + length, NULL, 10);
        }
    }
}

static void read_memory(FILE *source, struct rows *rows)
{
    static const char *const words[] = {
        "MemTotal:", "MemFree:", "MemAvailable:", "Buffers:", "Cached:", "Dirty:", "Writeback:"};
    char line[LINE_BYTES];
    rows->count = 1;
    while (fgets(line, sizeof line, source)) {
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            const size_t length = strlen(words[i]);
            if (strncmp(line, words[i], length) != 0) continue;
            rows->cells[0][FIRST_VALUE + i].natural = strtoull(line + length, NULL, 10) * 1024;
        }
    }
}

static void read_disk(FILE *source, struct rows *rows)
{
    char line[LINE_BYTES];
    while (rows->count < ROWS_MAX && fgets(line, sizeof line, source)) {
        char device[ROWS_TEXT_BYTES];
        uint64_t reads, read_sectors, writes, written_sectors, in_flight, busy_ms;
        const int found = sscanf(line,
            "%*u %*u %31s %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64
            " %" SCNu64,
            device, &reads, &read_sectors, &writes, &written_sectors, &in_flight, &busy_ms);
        if (found != 7 || reads + writes == 0) continue; /* never used: ram0, loop7 */
        size_t at = FIRST_VALUE;
        const size_t row = rows->count++;
        snprintf(rows->cells[row][at++].text, ROWS_TEXT_BYTES, "%s", device);
        rows->cells[row][at++].natural = reads;
        rows->cells[row][at++].natural = read_sectors * 512;
        rows->cells[row][at++].natural = writes;
        rows->cells[row][at++].natural = written_sectors * 512;
        rows->cells[row][at++].natural = in_flight;
        rows->cells[row][at++].natural = busy_ms;
    }
}

static void read_network(FILE *source, struct rows *rows)
{
    char line[LINE_BYTES];
    while (rows->count < ROWS_MAX && fgets(line, sizeof line, source)) {
        char name[ROWS_TEXT_BYTES];
        uint64_t received[3], sent[3];
        const int found = sscanf(line,
            " %31[^:]: %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
            " %" SCNu64,
            name, &received[0], &received[1], &received[2], &sent[0], &sent[1], &sent[2]);
        if (found != 7) continue; /* the two lines of headings */
        const size_t row = rows->count++;
        snprintf(rows->cells[row][FIRST_VALUE].text, ROWS_TEXT_BYTES, "%s", name);
        for (size_t i = 0; i < 3; i++) {
            rows->cells[row][FIRST_VALUE + 1 + i].natural = received[i];
            rows->cells[row][FIRST_VALUE + 4 + i].natural = sent[i];
        }
    }
}

/* 50 Hz with a slow swell, in steps of an analogue-to-digital converter of 16 bits over 20 V. */
double waveform_sample(uint64_t number)
{
    const double t = (double)number / SAMPLES_A_SECOND, turn = 6.283185307179586;
    const double volts = (4 + sin(turn * 0.5 * t)) * sin(turn * 50 * t);
    return nearbyint(volts * 3276.8) / 3276.8;
}

#define COLUMNS(list) list, sizeof list / sizeof list[0]
const struct instrument instruments[INSTRUMENTS] = {
    {COLUMNS(processor_columns), "/proc/stat", "time of all processors, in clock ticks",
        read_processor},
    {COLUMNS(memory_columns), "/proc/meminfo", "memory, in bytes", read_memory},
    {COLUMNS(disk_columns), "/proc/diskstats", "counters of the disks", read_disk},
    {COLUMNS(network_columns), "/proc/net/dev", "counters of the network interfaces", read_network},
    {COLUMNS(waveform_columns), NULL, "SYNTHETIC: computed, 1,000,000 samples a second", NULL},
};
