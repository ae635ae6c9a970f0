/* status.c - errors and their texts. */
#include "base/base_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define OS_TEXT_BYTES 100 /* of a message, at most, are the operating system's own words */

const char *basalt_version(void)
{
    return BASALT_VERSION;
}

const char *basalt_status_name(basalt_status status)
{
    switch (status) {
    case BASALT_OK: return "BASALT_OK";
    case BASALT_NOT_FOUND: return "BASALT_NOT_FOUND";
    case BASALT_BUSY: return "BASALT_BUSY";
    case BASALT_BAD_ARGUMENT: return "BASALT_BAD_ARGUMENT";
    case BASALT_NO_MEMORY: return "BASALT_NO_MEMORY";
    case BASALT_IO_ERROR: return "BASALT_IO_ERROR";
    case BASALT_CORRUPT: return "BASALT_CORRUPT";
    case BASALT_EXISTS: return "BASALT_EXISTS";
    case BASALT_UNSUPPORTED: return "BASALT_UNSUPPORTED";
    case BASALT_TIMED_OUT: return "BASALT_TIMED_OUT";
    case BASALT_DROPPED: return "BASALT_DROPPED";
    case BASALT_OUTCOME_UNKNOWN: return "BASALT_OUTCOME_UNKNOWN";
    case BASALT_CANCELLED: return "BASALT_CANCELLED";
    case BASALT_READ_ONLY: return "BASALT_READ_ONLY";
    case BASALT_NO_SPACE: return "BASALT_NO_SPACE";
    case BASALT_SCHEMA_MISMATCH: return "BASALT_SCHEMA_MISMATCH";
    case BASALT_CONFLICT: return "BASALT_CONFLICT";
    case BASALT_TOO_LARGE: return "BASALT_TOO_LARGE";
    case BASALT_NOT_HDF5: return "BASALT_NOT_HDF5";
    }
    return "a status that this version does not know";
}

/* Formats into `out` and cuts between characters. Returns the length. */
static size_t format_text(char *out, size_t out_bytes, const char *format, va_list args)
{
    const int wanted = vsnprintf(out, out_bytes, format, args);
    if (wanted < 0) out[0] = '\0';
    size_t length = strlen(out);
    if (wanted > 0 && (size_t)wanted > length) {
        length = bs_utf8_whole(out, length);
        out[length] = '\0';
    }
    return length;
}

static void error_fill(basalt_error *err, basalt_status status, int os_errno, uint64_t file_offset)
{
    err->status = status;
    err->os_errno = os_errno;
    err->file_offset = file_offset;
}

basalt_status bs_fail(
    basalt_error *err, basalt_status status, uint64_t file_offset, const char *format, ...)
{
    assert(status != BASALT_OK);
    if (!err) return status;
    va_list args;
    va_start(args, format);
    char text[BASALT_ERROR_MESSAGE_BYTES]; /* an argument may point into err->message */
    const size_t length = format_text(text, sizeof text, format, args);
    va_end(args);
    memcpy(err->message, text, length + 1);
    error_fill(err, status, 0, file_offset);
    return status;
}

static basalt_status status_of_errno(int os_errno)
{
    switch (os_errno) {
    case ENOSPC: return BASALT_NO_SPACE;
    case EFBIG: return BASALT_NO_SPACE;
#ifdef EDQUOT
    case EDQUOT: return BASALT_NO_SPACE;
#endif
    case EROFS: return BASALT_READ_ONLY;
    case ENOENT: return BASALT_NOT_FOUND;
    case EEXIST: return BASALT_EXISTS;
    case ENOMEM: return BASALT_NO_MEMORY;
    default: return BASALT_IO_ERROR;
    }
}

basalt_status bs_fail_os(
    basalt_error *err, int os_errno, uint64_t file_offset, const char *format, ...)
{
    const basalt_status status = status_of_errno(os_errno);
    if (!err) return status;
    char why[OS_TEXT_BYTES], text[BASALT_ERROR_MESSAGE_BYTES];
    bs_os_error_text(os_errno, why, sizeof why);
    const size_t why_bytes = strlen(why) + 1;
    va_list args;
    va_start(args, format);
    size_t length = format_text(text, sizeof text - why_bytes - 1, format, args);
    va_end(args);
    text[length++] = ':';
    text[length++] = ' ';
    memcpy(text + length, why, why_bytes);
    memcpy(err->message, text, length + why_bytes);
    error_fill(err, status, os_errno, file_offset);
    return status;
}

void bs_error_prefix(basalt_error *err, const char *format, ...)
{
    if (!err) return;
    char text[BASALT_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    size_t length = format_text(text, sizeof text - 2, format, args);
    va_end(args);
    text[length++] = ':';
    text[length++] = ' ';
    err->message[sizeof err->message - 1] = '\0'; /* the caller's memory: bound it */
    const size_t old = strlen(err->message), room = sizeof text - length - 1;
    const size_t kept = old <= room ? old : bs_utf8_whole(err->message, room);
    memcpy(text + length, err->message, kept);
    text[length + kept] = '\0';
    memcpy(err->message, text, length + kept + 1);
}

void bs_error_cut(basalt_error *err, const char *text)
{
    if (!err || !*text) return;
    err->message[sizeof err->message - 1] = '\0';
    char *at = strstr(err->message, text);
    if (!at) return;
    const char *rest = at + strlen(text);
    memmove(at, rest, strlen(rest) + 1);
}
