/* output.c - errors, JSON texts, sizes and progress. */
#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void print_shown(FILE *out, const char *text)
{
    for (; *text; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '\n' || byte == '\r' || byte == '\t') {
            fputs(byte == '\n' ? "\\n" : byte == '\r' ? "\\r" : "\\t", out);
        } else if (byte < 0x20 || byte == 0x7f) {
            fprintf(out, "\\x%02x", byte);
        } else {
            fputc(byte, out);
        }
    }
}

int shown_columns(const char *text)
{
    int columns = 0;
    for (; *text; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '\n' || byte == '\r' || byte == '\t') {
            columns += 2;
        } else if (byte < 0x20 || byte == 0x7f) {
            columns += 4;
        } else {
            columns += (byte & 0xc0) != 0x80;
        }
    }
    return columns;
}

#define SUBJECT_BYTES_MAX 120 /* of a name before what is wrong with it */

static int report_with(const char *subject, const basalt_error *error)
{
    fflush(stdout);
    fputs("basalt: ", stderr);
    if (subject && *subject) {
        char shown[SUBJECT_BYTES_MAX + 1];
        size_t length = (size_t)snprintf(shown, sizeof shown, "%s", subject);
        const bool cut = length >= sizeof shown;
        if (cut) { /* not within a character */
            length = sizeof shown - 1;
            while (length && ((unsigned char)subject[length] & 0xc0) == 0x80) length--;
            shown[length] = '\0';
        }
        print_shown(stderr, shown);
        fputs(cut ? "...: " : ": ", stderr);
    }
    print_shown(stderr, error->message[0] ? error->message : basalt_status_name(error->status));
    fputc('\n', stderr);
    return EXIT_BASALT + (int)error->status;
}

int report(const basalt_error *error)
{
    return report_with(NULL, error);
}

int report_about(const char *subject, const basalt_error *error)
{
    const size_t length = strlen(subject), colon = strcspn(error->message, ":");
    const bool named = error->message[colon] &&
        (length <= SUBJECT_BYTES_MAX
                ? strncmp(error->message, subject, length) == 0 && error->message[length] == ':'
                : colon >= 40 && !strncmp(error->message, subject, colon));
    return report_with(named ? NULL : subject, error);
}

int report_file(const char *path, const basalt_error *error)
{
    return report_with(strstr(error->message, path) ? NULL : path, error);
}

int report_sentence(int exit_code, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fputs("basalt: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return exit_code;
}

basalt_status fail(basalt_error *err, basalt_status status, const char *format, ...)
{
    va_list args;
    if (!err) return status;
    *err = (basalt_error){.status = status, .file_offset = BASALT_NO_OFFSET};
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

basalt_status fail_write(basalt_error *err)
{
    const int os_errno = errno;
    const bool full = os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EFBIG;
    const basalt_status status = fail(err, full ? BASALT_NO_SPACE : BASALT_IO_ERROR,
        "standard output could not be written: %s", strerror(os_errno));
    if (err) err->os_errno = os_errno;
    return status;
}

int finish_output(int exit_code)
{
    basalt_error error = {.status = BASALT_OK};
    errno = EIO;
    if (fflush(stdout) == 0 && !ferror(stdout)) return exit_code;
    fail_write(&error);
    return exit_code ? exit_code : report(&error);
}

/* Bytes of the character that `text` begins with; 0: it begins with none of UTF-8. */
static size_t character_bytes(const char *text, size_t count)
{
    const unsigned char *bytes = (const unsigned char *)text, lead = bytes[0];
    if (lead < 0x80) return 1;
    const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (!length || length > count) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) return 0;
    }
    /* Longer than need be, a surrogate, beyond U+10FFFF. */
    if ((lead == 0xe0 && bytes[1] < 0xa0) || (lead == 0xed && bytes[1] > 0x9f)) return 0;
    if ((lead == 0xf0 && bytes[1] < 0x90) || (lead == 0xf4 && bytes[1] > 0x8f)) return 0;
    return length;
}

char *utf8_text(const char *text)
{
    const size_t count = strlen(text);
    char *copy = malloc(count * 3 + 1), *to = copy;
    if (!copy) return NULL;
    for (size_t i = 0; i < count;) {
        const size_t length = character_bytes(text + i, count - i);
        memcpy(to, length ? text + i : UTF8_REPLACEMENT, length ? length : 3);
        to += length ? length : 3;
        i += length ? length : 1;
    }
    *to = '\0';
    return copy;
}

void json_bytes(FILE *out, const char *text, size_t count)
{
    fputc('"', out);
    for (size_t i = 0; i < count; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x80) {
            const size_t length = character_bytes(text + i, count - i);
            fwrite(length ? text + i : UTF8_REPLACEMENT, 1, length ? length : 3, out);
            i += length ? length - 1 : 0;
            continue;
        }
        switch (byte) {
        case '"': fputs("\\\"", out); break;
        case '\\': fputs("\\\\", out); break;
        case '\n': fputs("\\n", out); break;
        case '\r': fputs("\\r", out); break;
        case '\t': fputs("\\t", out); break;
        default:
            if (byte < 0x20 || byte == 0x7f) {
                fprintf(out, "\\u%04x", byte);
            } else {
                fputc(byte, out);
            }
        }
    }
    fputc('"', out);
}

void json_text(FILE *out, const char *text)
{
    json_bytes(out, text, strlen(text));
}

static char *next_text(struct size_texts *texts)
{
    return texts->text[texts->next++ % (sizeof texts->text / sizeof texts->text[0])];
}

const char *size_text(struct size_texts *texts, uint64_t bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    char *text = next_text(texts);
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    const int digits = unit == 0 || value >= 99.95 ? 0 : 1;
    snprintf(text, sizeof texts->text[0], "%.*f %s", digits, value, units[unit]);
    return text;
}

const char *count_text(struct size_texts *texts, uint64_t count)
{
    char digits[24], *text = next_text(texts), *to = text;
    const int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void progress_begin(struct progress *progress, const char *what)
{
    *progress = (struct progress){.what = what, .started_ns = now_ns()};
}

bool progress_show(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct progress *progress = context;
    const uint64_t now = now_ns();
    if (now - progress->started_ns < 1000000000 || now - progress->shown_ns < 100000000)
        return true;
    if (!isatty(STDERR_FILENO)) return true;
    struct size_texts texts = {.next = 0};
    const double share = all_bytes ? 100.0 * (double)done_bytes / (double)all_bytes : 0;
    fprintf(stderr, "\r\033[K%s: %s of %s, %.0f %%", progress->what, size_text(&texts, done_bytes),
        size_text(&texts, all_bytes), share > 100 ? 100 : share);
    progress->shown_ns = now;
    return true;
}

void progress_end(struct progress *progress)
{
    if (progress->shown_ns) fputs("\r\033[K", stderr);
}
