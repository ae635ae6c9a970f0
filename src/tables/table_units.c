/* table_units.c - numbers that count time, as the attributes of their dataset say.
 *
 *   unit       "s", "ms", "us" or "ns": of 64-bit integers. Such a number may be an instant, counted from
 *              1970, or a duration: Basalt itself stores both so. An attribute `timezone` decides, which
 *              only instants have ("" for those without a zone); without it the number stays one, unless
 *              the caller says that `unit` is enough.
 *   units      "days since 1950-01-01", as netCDF has them: left to the reader, as metadata of the column,
 *              with `calendar` and with a `unit` that was not understood. */
#include "tables/tables_internal.h"

#include <stdio.h>

#define UNIT_BYTES_MAX 255 /* longer ones are not looked at */

/* *out_text is NULL if there is no such attribute, or it is not a plain text. */
static basalt_status take_text(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const char *name, char **out_text, basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(object, name);
    basalt_error fault = {0};
    *out_text = NULL;
    if (!attribute ||
        (attribute->type->kind != BS_H5_STRING && !attribute->type->variable_string)) {
        return BASALT_OK;
    }
    const basalt_status status = bs_h5_attribute_text(h5, attribute, out_text, &fault);
    if (status == BASALT_NO_MEMORY || status == BASALT_IO_ERROR) {
        if (err) *err = fault;
        return status;
    }
    if (status) return BASALT_OK; /* damaged, or several texts: nobody's word */
    const size_t bytes = strlen(*out_text);
    if (bytes <= UNIT_BYTES_MAX && bs_utf8_valid(*out_text, bytes)) return BASALT_OK;
    bs_free(*out_text);
    *out_text = NULL;
    return BASALT_OK;
}

static char unit_letter(const char *unit)
{
    static const char *const words[] = {"s", "ms", "us", "ns"};
    for (size_t i = 0; unit && i < BS_ARRAY_LENGTH(words); i++) {
        if (!strcmp(unit, words[i])) return words[i][0];
    }
    return 0;
}

static basalt_status set_instant(
    struct bs_column_of *column, char letter, const char *zone, basalt_error *err)
{
    const size_t bytes = sizeof "ts?:" + strlen(zone);
    char *format = bs_alloc(bytes);
    if (!format) return bs_fail_memory(err, bytes);
    snprintf(format, bytes, "ts%c:%s", letter, zone);
    bs_free(column->format);
    column->format = format;
    return BASALT_OK;
}

static basalt_status note(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *object, const char *name, basalt_error *err)
{
    char *text = NULL;
    const basalt_status status = take_text(table->h5, object, name, &text, err);
    if (text) bs_metadata_put(&column->metadata, name, text, strlen(text));
    bs_free(text);
    return status ? status : bs_bytes_check(&column->metadata, err);
}

basalt_status bs_column_set_units(struct bs_table *table, struct bs_column_of *column,
    const struct bs_h5_object *object, basalt_error *err)
{
    static const char *const noted[] = {"unit", "units", "calendar"};
    const basalt_hdf5_units how = table->options.units;
    char *unit = NULL, *zone = NULL;
    basalt_status status = BASALT_OK;
    if (column->value.kind != BS_VALUE_FIXED || column->value.format[1]) return BASALT_OK;
    if (how != BASALT_HDF5_UNITS_NONE && !strcmp(column->value.format, "l")) {
        BS_TRY(take_text(table->h5, object, "unit", &unit, err));
        BS_TRY(take_text(table->h5, object, "timezone", &zone, err));
    }
    const char letter = unit_letter(unit);
    if (letter && (zone || how == BASALT_HDF5_UNITS_ALL)) {
        status = set_instant(column, letter, zone ? zone : "", err);
        goto out;
    }
    for (size_t i = 0; i < BS_ARRAY_LENGTH(noted); i++) {
        BS_TRY(note(table, column, object, noted[i], err));
    }
out:
    bs_free(unit);
    bs_free(zone);
    return status;
}
