/* arguments.c - options and arguments of a subcommand. */
#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int usage_error(const struct command *command, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "basalt %s: ", command->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see basalt %s --help\n", command->name);
    return EXIT_USAGE;
}

bool parse_number(const char *text, uint64_t *out_number)
{
    char *end = NULL;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *out_number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* How many of argv[at], argv[at + 1] it takes; 0: it is wrong, and that has been said. */
static int take_option(const struct command *command, int argc, char **argv, int at,
    const struct option *options, size_t option_count)
{
    const char *argument = argv[at], *equals = strchr(argument, '=');
    const size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    const struct option *option = NULL;
    for (size_t i = 0; i < option_count; i++) {
        if (strlen(options[i].name) == length && strncmp(options[i].name, argument, length) == 0) {
            option = &options[i];
        }
    }
    if (!option) {
        usage_error(
            command, "there is no option \"%.*s\"", (int)(length < 120 ? length : 120), argument);
        return 0;
    }
    if (option->kind == OPTION_FLAG) {
        if (equals) usage_error(command, "%s takes no value", option->name);
        *(bool *)option->target = true;
        return equals ? 0 : 1;
    }
    const char *value = equals ? equals + 1 : at + 1 < argc ? argv[at + 1] : NULL;
    if (!value) {
        usage_error(command, "%s needs a value", option->name);
        return 0;
    }
    if (option->kind == OPTION_LIST) {
        struct arguments *list = option->target;
        if (list->count == ARGUMENTS_MAX) {
            usage_error(command, "%s is given more than %d times", option->name, ARGUMENTS_MAX);
            return 0;
        }
        list->values[list->count++] = value;
    } else if (option->kind == OPTION_TEXT) {
        *(const char **)option->target = value;
    } else {
        uint64_t *number = option->target;
        if (!parse_number(value, number)) {
            usage_error(command, "%s takes a number, not \"%.120s\"", option->name, value);
            return 0;
        }
        if (option->kind == OPTION_MEBIBYTES) {
            *number = *number > UINT64_MAX >> 20 ? UINT64_MAX : *number << 20;
        }
    }
    return equals ? 1 : 2;
}

/* SQL may begin with one. */
static bool is_comment(const char *argument)
{
    return strncmp(argument, "--", 2) == 0 && strpbrk(argument, " \n") == argument + 2;
}

bool parse_arguments(const struct command *command, int argc, char **argv,
    const struct option *options, size_t option_count, int arguments_min, int arguments_max,
    struct arguments *out_arguments, int *out_exit)
{
    bool options_end = false;
    out_arguments->count = 0;
    *out_exit = EXIT_USAGE;
    for (int at = 0; at < argc;) {
        if (!options_end && (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)) {
            printf("%s", command->help);
            *out_exit = finish_output(EXIT_FINE);
            return false;
        }
        if (!options_end && strcmp(argv[at], "--") == 0) {
            options_end = true;
            at++;
        } else if (!options_end && argv[at][0] == '-' && argv[at][1] && !is_comment(argv[at])) {
            const int taken = take_option(command, argc, argv, at, options, option_count);
            if (!taken) return false;
            at += taken;
        } else if (out_arguments->count == arguments_max || out_arguments->count == ARGUMENTS_MAX) {
            usage_error(command, "\"%.120s\" is one argument too many", argv[at]);
            return false;
        } else {
            out_arguments->values[out_arguments->count++] = argv[at++];
        }
    }
    if (out_arguments->count < arguments_min) {
        usage_error(command, "an argument is missing");
        return false;
    }
    return true;
}
