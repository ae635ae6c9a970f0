/* write_text.c - a stream of Arrow arrays as CSV (RFC 4180) or as a JSON array of rows. */
#include "command.h"

#include <errno.h>
#include <string.h>

basalt_status stream_schema(
    struct ArrowArrayStream *stream, struct ArrowSchema *out_schema, basalt_error *err)
{
    out_schema->release = NULL;
    const int os_errno = stream->get_schema(stream, out_schema);
    if (!os_errno) return BASALT_OK;
    const char *text = stream->get_last_error(stream);
    return fail(err, BASALT_IO_ERROR, "%s", text ? text : strerror(os_errno));
}

basalt_status stream_next(
    struct ArrowArrayStream *stream, struct ArrowArray *out_array, basalt_error *err)
{
    out_array->release = NULL;
    const int os_errno = stream->get_next(stream, out_array);
    if (!os_errno) return BASALT_OK;
    const char *text = stream->get_last_error(stream);
    return fail(err, BASALT_IO_ERROR, "%s", text ? text : strerror(os_errno));
}

/* Calls `row` for each row of each array. */
typedef void (*row_fn)(FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array,
    int64_t row, uint64_t number);

static basalt_status each_row(struct ArrowArrayStream *stream, const struct ArrowSchema *schema,
    row_fn row, FILE *out, basalt_error *err)
{
    uint64_t number = 0;
    for (;;) {
        struct ArrowArray array;
        const basalt_status status = stream_next(stream, &array, err);
        if (status || !array.release) return status;
        for (int64_t i = 0; i < array.length; i++) row(out, schema, &array, i, number++);
        array.release(&array);
        if (ferror(out)) return fail_write(err);
    }
}

static void csv_row(FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array,
    int64_t row, uint64_t number)
{
    (void)number;
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (i) fputc(',', out);
        value_csv(out, schema->children[i], array->children[i], row + array->offset);
    }
    fputs("\r\n", out);
}

static void csv_header(FILE *out, const struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        const char *name = schema->children[i]->name ? schema->children[i]->name : "";
        if (i) fputc(',', out);
        const bool plain = *name && !strpbrk(name, ",\"\r\n");
        if (!plain) fputc('"', out);
        for (; *name; name++) {
            if (*name == '"') fputc('"', out);
            fputc(*name, out);
        }
        if (!plain) fputc('"', out);
    }
    fputs("\r\n", out);
}

basalt_status write_csv(struct ArrowArrayStream *stream, FILE *out, basalt_error *err)
{
    struct ArrowSchema schema;
    basalt_status status = stream_schema(stream, &schema, err);
    if (!status) status = values_check(&schema, err);
    if (!status) {
        csv_header(out, &schema);
        status = each_row(stream, &schema, csv_row, out, err);
    }
    if (schema.release) schema.release(&schema);
    return status;
}

static void json_row(FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array,
    int64_t row, uint64_t number)
{
    fputs(number ? ",\n " : "", out);
    value_json(out, schema, array, row);
}

basalt_status write_json(struct ArrowArrayStream *stream, FILE *out, basalt_error *err)
{
    struct ArrowSchema schema;
    basalt_status status = stream_schema(stream, &schema, err);
    if (!status) status = values_check(&schema, err);
    if (!status) {
        fputc('[', out);
        status = each_row(stream, &schema, json_row, out, err);
        fputs("]\n", out);
    }
    if (schema.release) schema.release(&schema);
    return status;
}
