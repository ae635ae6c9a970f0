/* append.c - an Arrow IPC stream from standard input into a table of an HDF5 file. */
#include <basalt/basalt.h>
#include <stdio.h>

static int read_input(void *file, void *out, size_t capacity, size_t *out_count)
{
    *out_count = fread(out, 1, capacity, file);
    return ferror((FILE *)file) ? 5 : 0;
}

int main(void)
{
    basalt_store *store = NULL;
    struct ArrowArrayStream rows;
    basalt_error error;
    uint64_t count = 0;
    if (basalt_ipc_read(read_input, stdin, &rows, &error) ||
        basalt_store_open("probe.h5", NULL, &store, &error) ||
        basalt_append_stream(store, "probe", &rows, NULL, BASALT_SYNC, &count, &error) ||
        basalt_store_close(&store, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    printf("%llu rows survive a power cut\n", (unsigned long long)count);
    return 0;
}
