/* bench.h - what the benchmark programs share: the data, the clock, the arguments. */
#ifndef BASALT_BENCH_H
#define BASALT_BENCH_H

#include <basalt/basalt.h>

#define BENCH_COLUMNS 8
#define BENCH_BATCH_ROWS 1000
#define BENCH_BATCH_BYTES (sizeof(double) * BENCH_COLUMNS * BENCH_BATCH_ROWS)

double bench_seconds(void);
void bench_sleep_until(double when);
/* The value after `--name`, or `otherwise`. */
const char *bench_text(int argc, char **argv, const char *name, const char *otherwise);
uint64_t bench_number(int argc, char **argv, const char *name, uint64_t otherwise);
/* Prints the message of a failed call and ends the program; OK passes. */
void bench_check(basalt_status status, const basalt_error *error);
/* Memory for a result, in huge pages where there are any, as NumPy has it; free() it. */
void *bench_memory(size_t bytes);
/* Sorts `values` and gives the one at `fraction` of them. */
double bench_quantile(double *values, uint64_t count, double fraction);

/* A schema of BENCH_COLUMNS non-nullable float64 columns c0, c1, ...; release it. */
void bench_schema(struct ArrowSchema *out_schema);
/* Opens a fresh store at `path` with one family "wave" of that schema. */
basalt_store *bench_open(const char *path, const basalt_store_options *options, int level);

/* A ring of batches of slow waves with noise in the low bits, as an instrument gives them: what a
 * compressor meets in practice. The arrays are lent until bench_batches_free. */
struct bench_batches;
struct bench_batches *bench_batches_make(void);
const struct ArrowArray *bench_batch(struct bench_batches *batches, uint64_t index);
const double *bench_column(struct bench_batches *batches, uint64_t index, unsigned column);
void bench_batches_free(struct bench_batches *batches);

#endif
