/* hello.c - three rows, made by hand, through a recorder into a file that h5py opens. */
#include <basalt/basalt.h>
#include <stdio.h>

static void keep(struct ArrowArray *array)
{
    array->release = NULL; /* the memory is ours, on the stack */
}

static void keep_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

int main(int argc, char **argv)
{
    double volts[] = {1.5, 2.5, 3.5};
    const void *buffers[] = {NULL, volts}, *none[] = {NULL};
    struct ArrowSchema field = {.format = "g", .name = "volts", .release = keep_schema};
    struct ArrowSchema *fields[] = {&field};
    struct ArrowSchema schema = {
        .format = "+s", .n_children = 1, .children = fields, .release = keep_schema};
    struct ArrowArray column = {.length = 3, .n_buffers = 2, .buffers = buffers, .release = keep};
    struct ArrowArray *columns[] = {&column};
    struct ArrowArray rows = {.length = 3,
        .n_buffers = 1,
        .buffers = none,
        .n_children = 1,
        .children = columns,
        .release = keep};
    basalt_recorder *recorder = NULL;
    basalt_error error;

    if (basalt_recorder_start(argc > 1 ? argv[1] : "hello.h5", NULL, &recorder, &error) ||
        basalt_recorder_write(recorder, "probe", &rows, &schema, NULL, NULL, &error) ||
        basalt_recorder_stop(&recorder, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    return 0;
}
