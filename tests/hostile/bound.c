/* bound.c - files made to do harm, and every file with something changed: all that can be read of them is,
 * and it may take no more than 64 MiB and 8 times the file of memory, and 2 seconds of processor time.
 *
 *   hostile_bound FOLDER...      all files of HDF5 in them and below
 *
 * Memory is that of every library together, above what there was before (meter.h). Files of one folder
 * see each other. Half of the changes are read with every checksum passing: see any_sum.h.
 *
 * BASALT_MUTATIONS changes of each file (3), fewer of large ones; BASALT_SEED; BASALT_KEEP a file for the
 * bytes of what fails; BASALT_BOUND_MIB and BASALT_CPU_MS instead of the limits: a test asks for too little
 * and must fail. */
#include "tables/tables.h"
#include "tests/fuzz/any_sum.h"
#include "tests/fuzz/input_vfs.h"
#include "tests/fuzz/scan_all.h"
#include "tests/hostile/change.h"
#include "tests/hostile/meter.h"
#include "tests/unit/h5/h5_exercise.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 512
#define NAME_BYTES_MAX 1024
#define MIB ((uint64_t)1 << 20)
#define LARGE_BYTES ((size_t)256 << 10) /* files from that size on are changed less often */
#define WALK_DEPTH 20
#define OUTPUT_BYTES ((uint64_t)128 << 20)
#define CPU_MS_A_MIB 300 /* large files may take more, but not much */

static uint8_t *output; /* mapped: the meter does not see it */

static struct {
    unsigned mutations, cpu_ms;
    uint64_t seed, bound_bytes;
    const char *keep;
} options;

static struct { /* what is read just now, for the signal handlers */
    const char *name;
    uint64_t seed; /* 0: as it is */
    const uint8_t *bytes;
    size_t count;
} now;

static struct {
    uint64_t files, runs, refused, over;
    uint64_t peak_bytes, above_bytes; /* most; most above 8 times the file */
    unsigned cpu_ms;
    char peak_name[NAME_BYTES_MAX], cpu_name[NAME_BYTES_MAX];
} found;

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- when it goes wrong ------------------------------------------------------------------------- */

static void keep_bytes(void)
{
    FILE *file = options.keep ? fopen(options.keep, "wb") : NULL;
    if (!file) return;
    fwrite(now.bytes, 1, now.count, file);
    fclose(file);
}

/* In a signal handler the process is about to end: that it might hang there is what ctest is for. */
static void on_hang(void)
{
    fprintf(
        stdout, "%s, change %" PRIu64 ": hangs: over %u ms\n", now.name, now.seed, meter_cpu_ms());
    fflush(stdout);
    keep_bytes();
}

static void on_crash(int signal)
{
    fprintf(stdout, "%s, change %" PRIu64 ": signal %d\n", now.name, now.seed, signal);
    fflush(stdout);
    keep_bytes();
    _exit(1);
}

/* ---- one file ----------------------------------------------------------------------------------- */

static void ignore_failure(basalt_status status, const basalt_error *fault)
{
    (void)status, (void)fault;
}

/* Each dataset into memory that the caller has, which is not counted: as much as there is room for, a
 * column of it as numbers, and one element in the middle. */
static void read_part(const struct bs_hdf5_dataset *dataset, const basalt_hdf5_shape *shape,
    unsigned part, const char *type)
{
    uint64_t start[BASALT_HDF5_RANK_MAX] = {0}, count[BASALT_HDF5_RANK_MAX], total, each;
    basalt_hdf5_read_options how = {.start = start, .count = count, .type = type, .clip = true};

    for (unsigned d = 0; d < shape->rank; d++) {
        count[d] = part == 0 ? shape->dims[d] : part == 1 && !d ? BS_MIN(shape->dims[d], 5000) : 1;
        if (part) start[d] = (shape->dims[d] - BS_MIN(count[d], shape->dims[d])) / 2;
    }
    how.select = shape->rank ? BASALT_HDF5_HYPERSLAB : BASALT_HDF5_ALL;
    if (bs_hdf5_read_size(dataset, &how, &total, &each, NULL)) return;
    if (!each || total > OUTPUT_BYTES / each) return;
    (void)!bs_hdf5_read(dataset, &how, output, total * each, NULL);
}

static bool read_entry(void *context, const basalt_hdf5_entry *entry)
{
    struct bs_hdf5_dataset *dataset = NULL;
    basalt_hdf5_shape shape;

    if (entry->kind != BASALT_HDF5_DATASET) return true;
    if (bs_hdf5_dataset_open(context, entry->path, &dataset, NULL)) return true;
    bs_hdf5_dataset_info(dataset, &shape);
    for (unsigned part = 0; part < 3; part++) {
        read_part(dataset, &shape, part, NULL);
        read_part(dataset, &shape, part, "<f8");
    }
    bs_hdf5_dataset_close(dataset);
    return true;
}

static bool ignore_entry(void *context, const basalt_hdf5_entry *entry)
{
    (void)context, (void)entry;
    return true;
}

/* One call each that goes over all of a file. */
static basalt_status walk_all(struct bs_vfs *vfs, const char *path)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_hdf5 *hdf5 = NULL;
    uint64_t faults = 0;

    basalt_status status = bs_file_open(vfs, path, BS_OPEN_READ, &file, NULL);
    if (!status) status = bs_h5_file_open(file, &h5, NULL);
    if (!status) status = bs_h5_verify(h5, NULL, NULL, NULL, &faults, NULL);
    bs_h5_file_close(h5);
    bs_file_close(file);
    if (!status) status = bs_hdf5_open(vfs, path, &hdf5, NULL);
    if (!status) status = bs_hdf5_walk(hdf5, "/", WALK_DEPTH, ignore_entry, NULL, NULL);
    bs_hdf5_close(hdf5);
    return status;
}

static basalt_status read_all(struct bs_vfs *vfs, const char *path)
{
    struct bs_file *file = NULL;
    struct bs_hdf5 *hdf5 = NULL;
    basalt_error fault = {0};

    if (!strncmp(bs_path_name(path), "walk-", 5)) return walk_all(vfs, path);

    basalt_status status = bs_file_open(vfs, path, BS_OPEN_READ, &file, &fault);
    if (!status) status = h5_exercise(file, &fault);
    bs_file_close(file);
    if (!bs_hdf5_open(vfs, path, &hdf5, &fault)) {
        scan_all(hdf5, ignore_failure);
        (void)!bs_hdf5_walk(hdf5, "/", WALK_DEPTH, read_entry, hdf5, NULL);
    }
    bs_hdf5_close(hdf5);
    return status;
}

static void note_run(basalt_status status, uint64_t all_bytes)
{
    const uint64_t peak = meter_peak_bytes();
    const uint64_t above = peak > 8 * all_bytes ? peak - 8 * all_bytes : 0;

    found.runs++;
    found.refused += status != BASALT_OK;
    found.above_bytes = BS_MAX(found.above_bytes, above);
    if (peak > found.peak_bytes) snprintf(found.peak_name, NAME_BYTES_MAX, "%s", now.name);
    found.peak_bytes = BS_MAX(found.peak_bytes, peak);
    if (meter_cpu_ms() > found.cpu_ms) snprintf(found.cpu_name, NAME_BYTES_MAX, "%s", now.name);
    found.cpu_ms = BS_MAX(found.cpu_ms, meter_cpu_ms());
    if (above <= options.bound_bytes) return;
    printf("%s, change %" PRIu64 ": over the bound: %" PRIu64 " bytes for a file of %" PRIu64 "\n",
        now.name, now.seed, peak, all_bytes);
    if (!found.over++) keep_bytes();
    if (getenv("BASALT_BOUND_MIB")) exit(1); /* one is enough to show that it can be found */
}

/* Reads files[which], with the others around it. */
static void run(struct input_file *files, size_t count, size_t which, uint64_t seed)
{
    char path[NAME_BYTES_MAX];
    uint64_t all_bytes = 0;
    struct bs_vfs *vfs = input_vfs_of(files, count);

    for (size_t i = 0; i < count; i++) all_bytes += files[i].count;
    snprintf(path, sizeof path, "/%s", files[which].name);
    now.seed = seed;
    now.bytes = files[which].bytes;
    now.count = files[which].count;
    meter_begin(options.cpu_ms + (unsigned)(all_bytes / MIB) * CPU_MS_A_MIB, on_hang);
    const basalt_status status = read_all(vfs, path);
    meter_end();
    note_run(status, all_bytes);
    bs_vfs_free(vfs);
}

static void run_file(struct input_file *files, size_t count, size_t which)
{
    const struct input_file whole = files[which];
    static struct places places;
    const size_t size = whole.count;
    const unsigned mutations = size < LARGE_BYTES ? options.mutations : (options.mutations + 3) / 4;
    uint8_t *changed = malloc(size + 1);

    if (!changed) exit(2);
    found.files++;
    every_sum_passes = false;
    run(files, count, which, 0);
    find_places(whole.bytes, size, &places);
    for (unsigned i = 1; size && i <= mutations; i++) {
        const uint64_t seed = (options.seed << 20) +
            ((uint64_t)bs_crc32c(0, whole.name, strlen(whole.name)) << 24) + i;
        memcpy(changed, whole.bytes, size);
        files[which].bytes = changed;
        files[which].count = size;
        change_file(changed, &files[which].count, &places, seed);
        every_sum_passes = true;
        /* A superblock's sum that differs would be waited for. */
        if (i % 4 == 0 && size > 48 && !memcmp(changed, whole.bytes, 48)) every_sum_passes = false;
        run(files, count, which, seed);
    }
    files[which] = whole;
    free(changed);
}

/* ---- folders ------------------------------------------------------------------------------------ */

static bool is_hdf5(const char *name)
{
    static const char *const ends[] = {".h5", ".hdf5", ".h5ad", ".nc", ".nc4"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < BS_ARRAY_LENGTH(ends); i++)
        if (!strcmp(dot, ends[i])) return true;
    return false;
}

static void load(const char *path, const char *name, struct input_file *file)
{
    FILE *in = fopen(path, "rb");
    if (!in || fseek(in, 0, SEEK_END)) exit(2);
    file->count = (size_t)ftell(in);
    rewind(in);
    uint8_t *bytes = malloc(file->count + 1);
    file->name = bs_copy_string(name);
    if (!bytes || !file->name || fread(bytes, 1, file->count, in) != file->count) exit(2);
    file->bytes = bytes;
    fclose(in);
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct input_file *)a)->name, ((const struct input_file *)b)->name);
}

/* Files that need each other are all there; a folder of files that do not gives each its own. */
static void run_folder(const char *folder, bool together)
{
    struct input_file *files = calloc(FILES_MAX, sizeof *files);
    size_t count = 0;
    char path[NAME_BYTES_MAX * 2];
    struct stat info;
    DIR *listing = opendir(folder);

    if (!listing || !files) {
        printf("cannot read %s\n", folder);
        exit(2);
    }
    for (struct dirent *entry; (entry = readdir(listing));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || stat(path, &info)) continue;
        if (S_ISDIR(info.st_mode) && !together) run_folder(path, false);
        if (S_ISREG(info.st_mode) && is_hdf5(entry->d_name) && count < FILES_MAX)
            load(path, entry->d_name, &files[count++]);
    }
    closedir(listing);
    qsort(files, count, sizeof *files, compare_files);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        now.name = path;
        run_file(together ? files : &files[i], together ? count : 1, together ? i : 0);
    }
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)files[i].bytes);
        free((void *)(uintptr_t)files[i].name);
    }
    free(files);
}

int main(int argc, char **argv)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct stat info;

    meter_prepare();
    output = mmap(NULL, OUTPUT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (output == MAP_FAILED) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    options.mutations = (unsigned)number_of("BASALT_MUTATIONS", 3);
    options.seed = number_of("BASALT_SEED", 1);
    options.keep = getenv("BASALT_KEEP");
    options.bound_bytes = number_of("BASALT_BOUND_MIB", 64) * MIB;
    options.cpu_ms = (unsigned)number_of("BASALT_CPU_MS", 2000);
    for (size_t i = 0; i < BS_ARRAY_LENGTH(fatal); i++) signal(fatal[i], on_crash);
    for (int i = 1; i < argc; i++) {
        const bool together = argv[i][0] == '+';
        if (!stat(argv[i] + together, &info)) run_folder(argv[i] + together, together);
    }
    printf("FIGURE files made to do harm: %" PRIu64 " files, %" PRIu64 " read, %" PRIu64
           " with an error; at most %" PRIu64 " MiB (%s), %" PRIu64
           " MiB above 8 times the file; at most %u ms (%s)\n",
        found.files, found.runs, found.refused, found.peak_bytes / MIB, found.peak_name,
        found.above_bytes / MIB, found.cpu_ms, found.cpu_name);
    return found.over || !found.files;
}
