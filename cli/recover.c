/* recover.c - brings a file and its log together after a crash. */
#include "command.h"

#include <dirent.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct log_numbers {
    uint64_t *values;
    size_t count, capacity;
};

/* N of the files "NAME-log.N"; anything else of that beginning is not a log. */
static void note_log(struct log_numbers *numbers, const char *digits)
{
    char *end;
    const unsigned long long value = strtoull(digits, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || *end) return;
    if (numbers->count == numbers->capacity) {
        const size_t capacity = numbers->capacity ? numbers->capacity * 2 : 64;
        uint64_t *larger = realloc(numbers->values, capacity * sizeof *larger);
        if (!larger) return;
        numbers->values = larger;
        numbers->capacity = capacity;
    }
    numbers->values[numbers->count++] = value;
}

static int compare_numbers(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Prints what belongs to the file: the logs beside it, "NAME-log.N", the oldest first. */
static void print_logs(const char *path, bool json)
{
    char *for_directory = strdup(path), *for_name = strdup(path);
    struct log_numbers numbers = {.count = 0};
    if (for_directory && for_name) {
        const char *directory = dirname(for_directory), *name = basename(for_name);
        DIR *dir = opendir(directory);
        const size_t length = strlen(name);
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
            if (strncmp(entry->d_name, name, length) != 0 ||
                strncmp(entry->d_name + length, "-log.", 5) != 0) {
                continue;
            }
            note_log(&numbers, entry->d_name + length + 5);
        }
        if (dir) closedir(dir);
        if (numbers.count) {
            qsort(numbers.values, numbers.count, sizeof *numbers.values, compare_numbers);
        }
        for (size_t i = 0; i < numbers.count; i++) {
            char full[4096];
            snprintf(full, sizeof full, "%s/%s-log.%" PRIu64, directory, name, numbers.values[i]);
            if (json) {
                fputs(i ? "," : "", stdout);
                json_text(stdout, full);
            } else {
                printf("  log   %s\n", full);
            }
        }
    }
    free(numbers.values);
    free(for_directory);
    free(for_name);
}

static void print_plan(const char *path, const basalt_inspection *found, bool json)
{
    struct size_texts texts = {.next = 0};
    if (json) {
        fputs("{\"file\":", stdout);
        json_text(stdout, path);
        fputs(",\"logs\":[", stdout);
        print_logs(path, true);
        printf("],\"replayable_bytes\":%" PRIu64, found->log_records_bytes);
        return;
    }
    printf("these belong together: keep, copy and move them together until they are recovered\n");
    printf("  file  %s, %s, checkpoint %" PRIu64 "\n", path, size_text(&texts, found->file_bytes),
        found->commit_number);
    print_logs(path, false);
    if (found->log_files) {
        printf("  %s to replay; written by %s\n", size_text(&texts, found->log_records_bytes),
            found->holder[0] ? found->holder : "an unknown process");
    }
}

static void print_recovery(const basalt_recovery *done, const basalt_inspection *found, bool json)
{
    struct size_texts texts = {.next = 0};
    if (json) {
        printf(",\"needed\":%s,\"superblock_restored\":%s,\"rows_replayed\":%" PRIu64
               ",\"transactions_replayed\":%" PRIu64 ",\"bytes_replayed\":%" PRIu64 "}\n",
            done->needed ? "true" : "false", done->superblock_restored ? "true" : "false",
            done->rows_replayed, done->transactions_replayed, done->bytes_replayed);
    } else if (found->log_missing) {
        printf("went on without the log: the file is closed, with the rows of checkpoint %" PRIu64
               "\n",
            found->commit_number);
    } else if (!done->needed) {
        printf("there is no log: nothing to recover\n");
    } else {
        printf("recovered: %s row%s in %s transaction%s (%s) moved from the log into the file%s\n",
            count_text(&texts, done->rows_replayed), plural(done->rows_replayed),
            count_text(&texts, done->transactions_replayed), plural(done->transactions_replayed),
            size_text(&texts, done->bytes_replayed),
            done->superblock_restored ? "; the file's first sector was torn and is restored" : "");
    }
}

static int run(const struct command *command, int argc, char **argv)
{
    bool json = false, dry_run = false, without_log = false;
    const struct option options[] = {{"--json", OPTION_FLAG, &json},
        {"--dry-run", OPTION_FLAG, &dry_run}, {"--without-log", OPTION_FLAG, &without_log}};
    struct arguments arguments;
    int leave = EXIT_FINE;
    if (!parse_arguments(command, argc, argv, options, 3, 1, 1, &arguments, &leave)) return leave;

    basalt_error error = {.status = BASALT_OK};
    basalt_inspection found;
    basalt_recovery done = {.needed = false};
    basalt_status status = basalt_inspect(arguments.values[0], &found, &error);
    if (status) return report_file(arguments.values[0], &error);
    if (found.writing) {
        return report_sentence(EXIT_BASALT + BASALT_BUSY,
            "%s is in use: %s has it open for writing, and a file in use needs no recovery. To read the "
            "rows in its log: basalt cat --fresh; to copy it: basalt backup; else end that process first",
            arguments.values[0], found.holder[0] ? found.holder : "another process");
    }
    if (json || found.log_files) print_plan(arguments.values[0], &found, json);
    if (dry_run && found.warning[0] && !(without_log && found.log_missing)) {
        if (json) fputs("}\n", stdout);
        fflush(stdout);
        return report_sentence(EXIT_BASALT + BASALT_CONFLICT, "%s", found.warning);
    }
    if (dry_run) {
        if (json) fputs("}\n", stdout);
        if (!json && found.log_missing) {
            printf("would give up the rows since checkpoint %" PRIu64 "\n", found.commit_number);
        } else if (!json && !found.log_files) {
            print_recovery(&done, &found, false);
        }
        return finish_output(EXIT_FINE);
    }
    fflush(stdout);
    status = without_log ? basalt_recover_without_log(arguments.values[0], &done, &error)
                         : basalt_recover(arguments.values[0], &done, &error);
    if (status) {
        if (json) {
            fputs(",\"error\":", stdout);
            json_text(stdout, error.message);
            fputs("}\n", stdout);
        }
        return finish_output(report_file(arguments.values[0], &error));
    }
    print_recovery(&done, &found, json);
    return finish_output(EXIT_FINE);
}

const struct command recover_command = {"recover", "bring file and log together after a crash",
    "usage: basalt recover FILE [--dry-run] [--without-log] [--json]\n\n"
    "Says which files belong together, moves what the log has and the file has not into the file, and\n"
    "removes the log. Opening the file for writing does the same by itself.\n\n"
    "  --dry-run       only says what belongs together, or that file and log do not (exit code 26)\n"
    "  --without-log   for a file that was not closed and whose log is lost for good: gives up the\n"
    "                  rows since its last checkpoint; refused while a log is there\n"
    "  --json          one object; \"error\" in it says why it failed\n\n"
    "example: basalt recover session.h5\n",
    run};
