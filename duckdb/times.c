/* times.c - netCDF's times: numbers with an attribute "units" such as "days since 1950-01-01 00:00:00",
 * or "unit".
 *
 * The calendars that DuckDB has are "standard", "gregorian" and "proleptic_gregorian" (from 1582-10-15 on
 * they are one); a column in any other, or in units that are not understood, stays a number. */
#include "extension.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

static bool word_is(const char *text, size_t bytes, const char *word)
{
    return bytes == strlen(word) && !strncasecmp(text, word, bytes);
}

/* The words that cftime takes. */
static int64_t unit_us(const char *text, size_t bytes)
{
    static const struct {
        const char *names[7];
        int64_t us;
    } known[] = {{{"microseconds", "microsecond", "microsecs", "microsec", "us"}, 1},
        {{"milliseconds", "millisecond", "millisecs", "millisec", "msecs", "msec", "ms"}, 1000},
        {{"seconds", "second", "secs", "sec", "s"}, 1000000},
        {{"minutes", "minute", "mins", "min"}, 60000000},
        {{"hours", "hour", "hrs", "hr", "h"}, 3600000000}, {{"days", "day", "d"}, 86400000000}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        for (size_t k = 0; k < COUNT_OF(known[i].names) && known[i].names[k]; k++) {
            if (word_is(text, bytes, known[i].names[k])) return known[i].us;
        }
    }
    return 0;
}

/* Days since 1970-01-01 of a day of the Gregorian calendar: years of 400 repeat. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Minutes east of Greenwich: "", "Z", "UTC", "+2", "-03:30"; other zones are not understood. */
static bool parse_zone(const char *text, int64_t *out_minutes)
{
    char sign = 0;
    int hours = 0, minutes = 0, used = 0, more = 0;
    *out_minutes = 0;
    if (!*text || !strcmp(text, "Z") || !strcmp(text, "UTC") || !strcmp(text, "0:00")) return true;
    if (sscanf(text, "%c%2d%n", &sign, &hours, &used) != 2) return false;
    if ((sign != '+' && sign != '-') || text[1] < '0' || text[1] > '9') return false;
    if (sscanf(text + used, ":%2d%n", &minutes, &more) == 1) used += more;
    if (text[used] || hours > 14 || minutes < 0 || minutes > 59) return false;
    *out_minutes = (sign == '-' ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

/* "1950-01-01", "1950-1-1 06:30:00.0", with a zone behind; not before `year_min`. */
static bool parse_start(const char *text, int year_min, int64_t *out_us)
{
    int year, month, day, hour = 0, minute = 0, used = 0, more = 0;
    int64_t zone = 0;
    double second = 0;
    if (sscanf(text, "%d-%d-%d%n", &year, &month, &day, &used) != 3) return false;
    if (month < 1 || month > 12 || day < 1 || day > 31) return false;
    if (year < year_min || year > 9999) return false;
    const char *rest = text + used + strspn(text + used, " T");
    if (sscanf(rest, "%d:%d%n", &hour, &minute, &more) == 2) {
        rest += more;
        more = 0;
        if (*rest == ':' && sscanf(rest, ":%lf%n", &second, &more) == 1) rest += more;
    }
    if (!parse_zone(rest + strspn(rest, " "), &zone)) return false;
    *out_us = days_of(year, month, day) * 86400000000 + hour * 3600000000LL +
        (minute - zone) * 60000000LL + (int64_t)llround(second * 1e6);
    return true;
}

/* The first year of the calendar that is DuckDB's too: until 1582 "standard" is Julius Caesar's, which
 * DuckDB does not have. 0: no year is. */
static int first_year(const struct ArrowSchema *schema)
{
    size_t bytes = 0;
    const char *name = metadata_find(schema->metadata, "calendar", &bytes);
    if (!name || word_is(name, bytes, "standard") || word_is(name, bytes, "gregorian")) return 1583;
    return word_is(name, bytes, "proleptic_gregorian") ? 1 : 0;
}

struct epoch epoch_of(const struct ArrowSchema *schema)
{
    struct epoch epoch = {0};
    char text[128];
    size_t bytes = 0;
    const char *units = metadata_find(schema->metadata, "units", &bytes);
    if (!units) units = metadata_find(schema->metadata, "unit", &bytes);
    if (!units || bytes >= sizeof text || schema->dictionary) return epoch;
    if (schema->format[1] || !strchr("cCsSiIlLfg", schema->format[0])) return epoch;
    memcpy(text, units, bytes);
    text[bytes] = 0;
    const char *since = strstr(text, " since ");
    const int year_min = first_year(schema);
    if (!since || !year_min) return epoch;
    epoch.unit_us = unit_us(text, (size_t)(since - text));
    epoch.known =
        epoch.unit_us && parse_start(since + 7 + strspn(since + 7, " "), year_min, &epoch.start_us);
    return epoch;
}

static double number_at(const struct values *values, uint64_t row)
{
    const void *data = values->array->buffers[1];
    switch (values->schema->format[0]) {
    case 'c': return ((const int8_t *)data)[row];
    case 'C': return ((const uint8_t *)data)[row];
    case 's': return ((const int16_t *)data)[row];
    case 'S': return ((const uint16_t *)data)[row];
    case 'i': return ((const int32_t *)data)[row];
    case 'I': return ((const uint32_t *)data)[row];
    case 'l': return (double)((const int64_t *)data)[row];
    case 'L': return (double)((const uint64_t *)data)[row];
    case 'f': return (double)((const float *)data)[row];
    default: return ((const double *)data)[row];
    }
}

#define INSTANT_US_MAX 9e18

int64_t epoch_instant(const struct epoch *epoch, double number)
{
    const double us = number * (double)epoch->unit_us + (double)epoch->start_us;
    if (us > INSTANT_US_MAX) return INT64_MAX;
    if (us < -INSTANT_US_MAX) return INT64_MIN;
    return epoch->start_us + (int64_t)llround(number * (double)epoch->unit_us);
}

bool epoch_write(const struct epoch *epoch, const struct values *values, uint64_t first,
    uint64_t step, idx_t count, duckdb_vector out, struct failure *failure)
{
    int64_t *instants = duckdb_vector_get_data(out);
    duckdb_vector_ensure_validity_writable(out);
    uint64_t *validity = duckdb_vector_get_validity(out);
    for (idx_t i = 0; i < count; i++) {
        const uint64_t row = first + i * step;
        const double number = array_is_valid(values->array, row) ? number_at(values, row) : NAN;
        const double us = number * (double)epoch->unit_us + (double)epoch->start_us;
        if (isnan(number)) {
            duckdb_validity_set_row_invalid(validity, i);
            continue;
        }
        if (fabs(us) > INSTANT_US_MAX) {
            return fail(failure,
                "the time %g is beyond what a TIMESTAMP holds: ask for numbers (decode_times := false)",
                number);
        }
        instants[i] = epoch_instant(epoch, number);
    }
    return true;
}
