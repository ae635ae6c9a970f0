/* read.c FILE DATASET - the mean of numbers of any kind in any HDF5 file, read on every core. */
#include <basalt/basalt.h>
#include <stdio.h>
#include <stdlib.h>

static int mean(const basalt_hdf5_dataset *dataset, basalt_error *error)
{
    basalt_hdf5_read_options options;
    uint64_t count = 0, element_bytes = 0;
    double *values = NULL, sum = 0;

    basalt_hdf5_read_options_init(&options, sizeof options);
    options.type = "<f8"; /* whatever the file has */
    if (basalt_hdf5_read_size(dataset, &options, &count, &element_bytes, error)) return 1;
    values = malloc(count * element_bytes + 1);
    if (!values) return 1;
    const basalt_status status =
        basalt_hdf5_read(dataset, &options, values, count * element_bytes, error);
    for (uint64_t i = 0; !status && i < count; i++) sum += values[i];
    if (!status) printf("%llu values, mean %g\n", (unsigned long long)count, sum / (double)count);
    free(values);
    return status != BASALT_OK;
}

int main(int argc, char **argv)
{
    basalt_hdf5 *file = NULL;
    basalt_hdf5_dataset *dataset = NULL;
    basalt_error error = {0};

    const int failed = argc != 3 || basalt_hdf5_open(argv[1], &file, &error) ||
        basalt_hdf5_dataset_open(file, argv[2], &dataset, &error) || mean(dataset, &error);
    if (failed) fprintf(stderr, "%s\n", argc == 3 ? error.message : "usage: read FILE DATASET");
    basalt_hdf5_dataset_close(&dataset);
    basalt_hdf5_close(&file);
    return failed;
}
