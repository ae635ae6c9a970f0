/* meter.h - the memory and the processor time that one piece of work takes, all libraries' included.
 *
 * In a plain build malloc and its like are these of meter.c; a sanitizer tells it of every block. */
#ifndef TESTS_HOSTILE_METER_H
#define TESTS_HOSTILE_METER_H

#include <stddef.h>
#include <stdint.h>

void meter_prepare(void); /* once, before any thread */
/* From now on: nothing was taken. When the work has used `cpu_ms` of processor time, of all threads,
 * `on_end` is called, in a signal handler, and the process ends with 1. */
void meter_begin(unsigned cpu_ms, void (*on_end)(void));
void meter_end(void);
uint64_t meter_peak_bytes(
    void);                   /* most at any time since the beginning, above what was there then */
unsigned meter_cpu_ms(void); /* between the beginning and the end */

#endif
