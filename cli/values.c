/* values.c - Arrow values as text: CSV cells and JSON.
 *
 * Floats are the shortest decimal that reads back as the same number. JSON has no word for them, so
 * not-a-number and the infinities are the texts "NaN", "Infinity" and "-Infinity" there. Times are
 * ISO 8601, binary is hexadecimal. In CSV a null is an empty cell; an empty text or binary is "". */
#include "command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 16

bool value_is_null(const struct ArrowArray *array, int64_t row)
{
    if (array->n_buffers < 1 || !array->buffers[0] || array->null_count == 0) return false;
    const int64_t at = row + array->offset;
    return !((((const uint8_t *)array->buffers[0])[at / 8] >> (at % 8)) & 1);
}

static bool known(const char *format)
{
    if (strchr("nbcCsSiIlLefguUzZ", format[0]) && format[0] && !format[1]) return true;
    return strncmp(format, "w:", 2) == 0 || strncmp(format, "td", 2) == 0 ||
        strncmp(format, "tt", 2) == 0 || strncmp(format, "ts", 2) == 0 ||
        strncmp(format, "tD", 2) == 0 || strncmp(format, "+w:", 3) == 0 ||
        strcmp(format, "+l") == 0 || strcmp(format, "+L") == 0 || strcmp(format, "+s") == 0;
}

static basalt_status check_depth(const struct ArrowSchema *schema, int depth, basalt_error *err)
{
    const char *name = schema->name ? schema->name : "";
    if (!known(schema->format)) {
        return fail(err, BASALT_UNSUPPORTED,
            "column %s has the Arrow type \"%s\", which has no form "
            "as text here",
            name, schema->format);
    }
    if (depth > NESTING_MAX) {
        return fail(
            err, BASALT_UNSUPPORTED, "column %s is nested deeper than %d", name, NESTING_MAX);
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        const basalt_status status = check_depth(schema->children[i], depth + 1, err);
        if (status) return status;
    }
    return schema->dictionary ? check_depth(schema->dictionary, depth + 1, err) : BASALT_OK;
}

basalt_status values_check(const struct ArrowSchema *schema, basalt_error *err)
{
    return check_depth(schema, 0, err);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static int64_t signed_at(const void *values, char format, int64_t at)
{
    switch (format) {
    case 'c': return ((const int8_t *)values)[at];
    case 's': return ((const int16_t *)values)[at];
    case 'i': return ((const int32_t *)values)[at];
    default: return ((const int64_t *)values)[at];
    }
}

static uint64_t unsigned_at(const void *values, char format, int64_t at)
{
    switch (format) {
    case 'C': return ((const uint8_t *)values)[at];
    case 'S': return ((const uint16_t *)values)[at];
    case 'I': return ((const uint32_t *)values)[at];
    default: return ((const uint64_t *)values)[at];
    }
}

static float half_value(uint16_t bits)
{
    const int exponent = (bits >> 10) & 31;
    const float fraction = (float)(bits & 1023), sign = bits & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction > 0 ? NAN : sign * INFINITY;
    return exponent ? sign * ldexpf(1024 + fraction, exponent - 25) : sign * ldexpf(fraction, -24);
}

static void print_float(FILE *out, double value, bool single, bool json)
{
    char text[40];
    if (isnan(value)) {
        fputs(json ? "\"NaN\"" : "nan", out);
        return;
    }
    if (isinf(value)) {
        fputs(value > 0 ? (json ? "\"Infinity\"" : "inf") : (json ? "\"-Infinity\"" : "-inf"), out);
        return;
    }
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value) break;
    }
    fputs(text, out);
    if (json && value == 0 && signbit(value)) fputs(".0", out); /* the integer -0 loses its sign */
}

/* ---- times ----------------------------------------------------------------------------------- */

/* Days since 1970 to a date of the Gregorian calendar, backwards and forwards without end: years
 * are counted from 1 March, 400 of them are 146,097 days. */
static void print_date(FILE *out, int64_t days)
{
    const int64_t shifted = days + 719468;
    const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    const int64_t of_era = shifted - era * 146097;
    const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month_of_year = (5 * of_year + 2) / 153;
    const int64_t day = of_year - (153 * month_of_year + 2) / 5 + 1;
    const int64_t month = month_of_year < 10 ? month_of_year + 3 : month_of_year - 9;
    const int64_t year = year_of_era + era * 400 + (month <= 2);
    fprintf(out, "%04" PRId64 "-%02d-%02d", year, (int)month, (int)day);
}

static uint64_t units_a_second(char unit)
{
    switch (unit) {
    case 'm': return 1000;
    case 'u': return 1000000;
    case 'n': return 1000000000;
    default: return 1;
    }
}

/* "-00:00:01" for what lies before midnight: Arrow allows no such time, and a file may hold it. */
static void print_clock(FILE *out, int64_t units, char unit)
{
    const uint64_t size = units < 0 ? -(uint64_t)units : (uint64_t)units;
    const uint64_t a_second = units_a_second(unit), seconds = size / a_second;
    const int digits = unit == 'm' ? 3 : unit == 'u' ? 6 : unit == 'n' ? 9 : 0;
    fprintf(out, "%s%02" PRIu64 ":%02u:%02u", units < 0 ? "-" : "", seconds / 3600,
        (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
    if (digits) fprintf(out, ".%0*" PRIu64, digits, size % a_second);
}

static void print_instant(FILE *out, int64_t units, char unit, bool zone)
{
    const int64_t a_day = 86400 * (int64_t)units_a_second(unit);
    const bool before = units % a_day < 0; /* of a day, counted from its midnight */
    print_date(out, units / a_day - (before ? 1 : 0));
    fputc('T', out);
    print_clock(out, units % a_day + (before ? a_day : 0), unit);
    if (zone) fputc('Z', out);
}

/* Formats "tdD", "tdm", "tts" ... "ttn", "tss:ZONE" ... */
static void print_time(FILE *out, const char *format, const void *values, int64_t at)
{
    const bool narrow =
        strcmp(format, "tdD") == 0 || strcmp(format, "tts") == 0 || strcmp(format, "ttm") == 0;
    const int64_t value = narrow ? ((const int32_t *)values)[at] : ((const int64_t *)values)[at];
    if (format[1] == 'd') {
        const int64_t a_day = format[2] == 'D' ? 1 : 86400000;
        print_date(out, value / a_day - (value % a_day < 0 ? 1 : 0));
    } else if (format[1] == 't') {
        print_clock(out, value, format[2]);
    } else if (format[1] == 's') {
        print_instant(out, value, format[2], format[3] == ':' && format[4]);
    } else {
        fprintf(out, "%" PRId64, value); /* a duration, in its unit */
    }
}

/* ---- texts ----------------------------------------------------------------------------------- */

static const char *text_at(
    const char *format, const struct ArrowArray *array, int64_t at, size_t *out_count)
{
    const bool wide = format[0] == 'U' || format[0] == 'Z';
    const int64_t first =
        wide ? ((const int64_t *)array->buffers[1])[at] : ((const int32_t *)array->buffers[1])[at];
    const int64_t end = wide ? ((const int64_t *)array->buffers[1])[at + 1]
                             : ((const int32_t *)array->buffers[1])[at + 1];
    *out_count = (size_t)(end - first);
    return *out_count ? (const char *)array->buffers[2] + first : "";
}

static void print_hexadecimal(FILE *out, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) fprintf(out, "%02x", (unsigned char)bytes[i]);
}

void csv_cell(FILE *out, const char *text, size_t count)
{
    const bool blank = count && (text[0] == ' ' || text[count - 1] == ' ');
    if (count && !blank && !memchr(text, '\n', count) && !memchr(text, ',', count) &&
        !memchr(text, '"', count) && !memchr(text, '\r', count)) {
        fwrite(text, 1, count, out);
        return;
    }
    fputc('"', out);
    for (size_t i = 0; i < count; i++) {
        if (text[i] == '"') fputc('"', out);
        fputc(text[i], out);
    }
    fputc('"', out);
}

static void print_text(
    FILE *out, const char *format, const struct ArrowArray *array, int64_t at, bool json)
{
    size_t count = 0;
    const bool binary = format[0] == 'z' || format[0] == 'Z' || format[0] == 'w';
    const char *text;
    if (format[0] == 'w') {
        count = (size_t)strtoull(format + 2, NULL, 10);
        text = (const char *)array->buffers[1] + (size_t)at * count;
    } else {
        text = text_at(format, array, at, &count);
    }
    if (binary) {
        const bool quoted = json || !count;
        if (quoted) fputc('"', out);
        print_hexadecimal(out, text, count);
        if (quoted) fputc('"', out);
    } else if (json) {
        json_bytes(out, text, count);
    } else {
        csv_cell(out, text, count);
    }
}

/* ---- values ---------------------------------------------------------------------------------- */

static void print_list(
    FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t at)
{
    int64_t first, end;
    if (schema->format[1] == 'w') {
        const int64_t width = strtoll(schema->format + 3, NULL, 10);
        first = at * width;
        end = first + width;
    } else if (schema->format[1] == 'l') {
        first = ((const int32_t *)array->buffers[1])[at];
        end = ((const int32_t *)array->buffers[1])[at + 1];
    } else {
        first = ((const int64_t *)array->buffers[1])[at];
        end = ((const int64_t *)array->buffers[1])[at + 1];
    }
    fputc('[', out);
    for (int64_t i = first; i < end; i++) {
        if (i > first) fputc(',', out);
        value_json(out, schema->children[0], array->children[0], i);
    }
    fputc(']', out);
}

static void print_struct(
    FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t at)
{
    fputc('{', out);
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (i) fputc(',', out);
        json_text(out, schema->children[i]->name ? schema->children[i]->name : "");
        fputc(':', out);
        value_json(out, schema->children[i], array->children[i], at);
    }
    fputc('}', out);
}

static void print_scalar(
    FILE *out, const char *format, const struct ArrowArray *array, int64_t at, bool json)
{
    const void *values = array->buffers[1];
    switch (format[0]) {
    case 'b':
        fputs(((const uint8_t *)values)[at / 8] >> (at % 8) & 1 ? "true" : "false", out);
        break;
    case 'c':
    case 's':
    case 'i':
    case 'l': fprintf(out, "%" PRId64, signed_at(values, format[0], at)); break;
    case 'C':
    case 'S':
    case 'I':
    case 'L': fprintf(out, "%" PRIu64, unsigned_at(values, format[0], at)); break;
    case 'e': print_float(out, half_value(((const uint16_t *)values)[at]), true, json); break;
    case 'f': print_float(out, ((const float *)values)[at], true, json); break;
    case 'g': print_float(out, ((const double *)values)[at], false, json); break;
    case 't':
        if (json && format[1] != 'D') fputc('"', out);
        print_time(out, format, values, at);
        if (json && format[1] != 'D') fputc('"', out);
        break;
    default: print_text(out, format, array, at, json);
    }
}

static void print_value(FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array,
    int64_t row, bool json)
{
    const char *format = schema->format;
    const int64_t at = row + array->offset;
    if (format[0] == 'n' || value_is_null(array, row)) {
        if (json) fputs("null", out);
    } else if (schema->dictionary) {
        const bool is_signed = strchr("csil", format[0]) != NULL;
        const int64_t code = is_signed ? signed_at(array->buffers[1], format[0], at)
                                       : (int64_t)unsigned_at(array->buffers[1], format[0], at);
        if (code >= 0 && code < array->dictionary->length) {
            print_value(out, schema->dictionary, array->dictionary, code, json);
        } else if (json) {
            fputs("null", out);
        }
    } else if (format[0] == '+' && format[1] == 's') {
        print_struct(out, schema, array, at);
    } else if (format[0] == '+') {
        print_list(out, schema, array, at);
    } else {
        print_scalar(out, format, array, at, json);
    }
}

void value_json(
    FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t row)
{
    print_value(out, schema, array, row, true);
}

void value_csv(
    FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t row)
{
    if (schema->format[0] != '+' || value_is_null(array, row)) {
        print_value(out, schema, array, row, false);
        return;
    }
    char *text = NULL; /* lists and structs: JSON in a quoted cell */
    size_t count = 0;
    FILE *memory = open_memstream(&text, &count);
    if (!memory) return;
    print_value(memory, schema, array, row, true);
    if (fclose(memory) == 0) csv_cell(out, text, count);
    free(text);
}
