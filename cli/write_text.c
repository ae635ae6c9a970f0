/* write_text.c - a stream of Arrow arrays as CSV (RFC 4180) or as a JSON array of rows. */
#include "names.h"

#include <string.h>

basalt_status stream_schema(
    struct ArrowArrayStream *stream, struct ArrowSchema *out_schema, basalt_error *err)
{
    out_schema->release = NULL;
    const int code = stream->get_schema(stream, out_schema);
    return code ? basalt_stream_error(stream, code, err) : BASALT_OK;
}

basalt_status stream_next(
    struct ArrowArrayStream *stream, struct ArrowArray *out_array, basalt_error *err)
{
    out_array->release = NULL;
    const int code = stream->get_next(stream, out_array);
    return code ? basalt_stream_error(stream, code, err) : BASALT_OK;
}

/* A format: what comes before the first row, before a row, and after the last one. */
struct text_format {
    void (*begin)(FILE *out, const struct ArrowSchema *schema);
    void (*row)(FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array,
        int64_t row, uint64_t number);
    const char *end;
    bool unique; /* no two columns have one name */
};

/* Nothing is printed before the first array has come, and no end after a failure: what is printed of a
 * file that cannot be read does not look like a whole answer. */
static basalt_status print_rows(struct ArrowArrayStream *stream, const struct ArrowSchema *schema,
    const struct text_format *format, FILE *out, basalt_error *err)
{
    uint64_t number = 0;
    bool begun = false;
    for (;;) {
        struct ArrowArray array;
        const basalt_status status = stream_next(stream, &array, err);
        if (status) return status;
        if (!begun) format->begin(out, schema);
        begun = true;
        if (!array.release) break;
        for (int64_t i = 0; i < array.length; i++) format->row(out, schema, &array, i, number++);
        array.release(&array);
        if (ferror(out)) return fail_write(err);
    }
    fputs(format->end, out);
    return BASALT_OK;
}

static basalt_status write_text(
    struct ArrowArrayStream *stream, const struct text_format *format, FILE *out, basalt_error *err)
{
    struct ArrowSchema schema;
    basalt_status status = stream_schema(stream, &schema, err);
    if (!status) status = values_check(&schema, err);
    if (!status && format->unique) {
        struct unique_names names;
        status = unique_names_make(&schema, false, &names, err);
        if (!status) status = print_rows(stream, &names.schema, format, out, err);
        unique_names_free(&names);
    } else if (!status) {
        status = print_rows(stream, &schema, format, out, err);
    }
    if (schema.release) schema.release(&schema);
    return status;
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
    static const struct text_format csv = {csv_header, csv_row, "", false};
    return write_text(stream, &csv, out, err);
}

static void json_header(FILE *out, const struct ArrowSchema *schema)
{
    (void)schema;
    fputc('[', out);
}

static void json_row(FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array,
    int64_t row, uint64_t number)
{
    fputs(number ? ",\n " : "", out);
    value_json(out, schema, array, row);
}

basalt_status write_json(struct ArrowArrayStream *stream, FILE *out, basalt_error *err)
{
    static const struct text_format json = {json_header, json_row, "]\n", true};
    return write_text(stream, &json, out, err);
}
