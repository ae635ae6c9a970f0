/* hello.c - three rows into a file that h5py opens. The lines that the README shows. */
#include <basalt/basalt.h>
#include <stdio.h>

static void keep(struct ArrowArray *array) { array->release = NULL; }
static void keep_schema(struct ArrowSchema *schema) { schema->release = NULL; }

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "hello.h5";
    basalt_recorder *recorder = NULL;
    basalt_error error = {.message = ""};

    /* [README */
    double volts[] = {1.5, 2.5, 3.5};
    const void *buffers[] = {NULL, volts}, *none[] = {NULL};
    struct ArrowSchema field = {.format = "g", .name = "volts", .release = keep_schema}, *fields[] = {&field};
    struct ArrowSchema schema = {.format = "+s", .n_children = 1, .children = fields, .release = keep_schema};
    struct ArrowArray column = {.length = 3, .n_buffers = 2, .buffers = buffers, .release = keep}, *columns[] = {&column};
    struct ArrowArray rows = {.length = 3, .n_buffers = 1, .buffers = none, .n_children = 1, .children = columns, .release = keep};

    if (basalt_recorder_start(path, NULL, &recorder, &error) ||
        basalt_recorder_write(recorder, "probe", &rows, &schema, NULL, NULL, &error) || /* survives kill -9 */
        basalt_recorder_stop(&recorder, &error)) fprintf(stderr, "%s\n", error.message);
    /* README] */
    return error.message[0] ? 1 : 0;
}
