/* main.c - finds the subcommand. */
#include "command.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

static const struct command *const commands[] = {&demo_command, &record_command, &ls_command,
    &cat_command, &stat_command, &verify_command, &recover_command, &backup_command, &copy_command,
    &sql_command};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fprintf(out,
        "basalt %s - an embedded database whose file is plain HDF5\n\n"
        "usage: basalt COMMAND [ARGUMENTS]\n\n",
        basalt_version());
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(out,
        "\nbasalt COMMAND --help says more, with an example. Exit codes: 0 well, 1 the answer is "
        "no or\nfaults were found, 2 the line was not understood, 10 + n a failure with status "
        "n (docs/errors.md).\n");
}

/* Where the caller closed 0, 1 or 2, the next file that is opened would take that number, and what is
 * printed would go into a database. What stands in for them can be neither read nor written. */
static bool hold_standard_streams(void)
{
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) >= 0) continue;
        if (open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY) != descriptor) return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    if (!hold_standard_streams()) return EXIT_BASALT + BASALT_IO_ERROR;
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error like a full disk */
    signal(SIGPIPE, SIG_IGN); /* `basalt cat ... | head` ends by EPIPE, told like any other error */
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return finish_output(EXIT_FINE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("basalt %s\n", basalt_version());
        return finish_output(EXIT_FINE);
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i]->name) == 0) {
            return commands[i]->run(commands[i], argc - 2, argv + 2);
        }
    }
    fprintf(stderr, "basalt: there is no command \"%.120s\"; basalt --help lists them\n", argv[1]);
    return EXIT_USAGE;
}
