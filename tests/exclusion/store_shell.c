/* store_shell.c - a process that holds a store and does what it is told, line by line.
 *
 *   open ACCESS PATH    ACCESS: rw create new checkpoint fresh; with "+links" hard links are allowed
 *   append N            N more commits (rows.h, writer 0, one family, buffered)
 *   checkpoint | sync | close
 *   found               the commits of each writer that a scan finds
 *   fork PATH           in a forked child: append with the inherited handle, then open PATH
 *   inspect PATH | recover PATH | recover-without-log PATH
 *   kill                ends itself with SIGKILL
 *
 * Every command is answered by one line: "BASALT_OK ..." or the status and its sentence. */
#include "tests/kill/rows.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct shell {
    basalt_store *store;
    uint64_t commits; /* of writer 0 */
    basalt_error err;
    char detail[600];
};

static basalt_status open_store(struct shell *shell, const char *words)
{
    static const char *const accesses[] = {"create", "rw", "new", "checkpoint", "fresh"};
    basalt_store_options options;
    char access[32] = "";
    int path_at = 0;
    if (sscanf(words, "%31s %n", access, &path_at) != 1 || shell->store) return BASALT_BAD_ARGUMENT;
    char *links = strstr(access, "+links");
    basalt_store_options_init(&options, sizeof options);
    options.checkpoint_age_ms = 0; /* only when told */
    options.grace_ms = 0;
    options.log_segment_bytes = 1 << 20;
    options.allow_hard_links = links != NULL;
    if (links) *links = '\0';
    for (int i = 0; i < 5; i++)
        if (!strcmp(access, accesses[i])) options.access = (basalt_access)i;
    return basalt_store_open(words + path_at, &options, &shell->store, &shell->err);
}

static basalt_status find_rows(struct shell *shell)
{
    struct found found;
    found_in_store(shell->store, &found);
    if (found.fault[0]) {
        snprintf(shell->err.message, sizeof shell->err.message, "%s", found.fault);
        return BASALT_CORRUPT;
    }
    shell->commits = found.commits[0];
    snprintf(shell->detail, sizeof shell->detail, "%" PRIu64, found.commits[0]);
    return BASALT_OK;
}

static basalt_status append(struct shell *shell, uint64_t count)
{
    static struct batch batch;
    for (uint64_t i = 0; i < count; i++) {
        batch_make(&batch, 0, shell->commits, 0);
        basalt_status status =
            basalt_family_create(shell->store, family_names[0], &batch.schema, NULL, &shell->err);
        if (status && status != BASALT_EXISTS) return status;
        status = basalt_append(shell->store, family_names[0], &batch.array, &batch.schema,
            BASALT_BUFFERED, &shell->err);
        if (status) return status;
        shell->commits++;
    }
    snprintf(shell->detail, sizeof shell->detail, "%" PRIu64, shell->commits);
    return BASALT_OK;
}

/* What a forked child may do with the store of its parent (nothing), and with its path. */
static basalt_status fork_and_try(struct shell *shell, const char *path)
{
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        struct shell mine = {.commits = shell->commits, .store = shell->store};
        char words[1100];
        const basalt_status inherited = append(&mine, 1);
        printf("%s %s | ", basalt_status_name(inherited), mine.err.message);
        mine = (struct shell){0};
        snprintf(words, sizeof words, "rw %s", path);
        const basalt_status opened = open_store(&mine, words);
        printf("%s %s\n", basalt_status_name(opened), mine.err.message);
        fflush(stdout);
        _exit(0);
    }
    int state = 0;
    if (child < 0 || waitpid(child, &state, 0) != child || state != 0) return BASALT_IO_ERROR;
    shell->detail[0] = '\0';
    return BASALT_OK;
}

static basalt_status inspect(struct shell *shell, const char *path)
{
    basalt_inspection seen;
    const basalt_status status = basalt_inspect(path, &seen, &shell->err);
    if (status) return status;
    snprintf(shell->detail, sizeof shell->detail,
        "basalt=%d writing=%d crashed=%d holder=%.160s missing=%d conflict=%d warning=%.239s",
        seen.is_basalt, seen.writing, seen.crashed, seen.holder, seen.log_missing, seen.conflict,
        seen.warning);
    return BASALT_OK;
}

static basalt_status recover(struct shell *shell, const char *path, bool without_log)
{
    basalt_recovery done;
    const basalt_status status = without_log ? basalt_recover_without_log(path, &done, &shell->err)
                                             : basalt_recover(path, &done, &shell->err);
    if (status) return status;
    snprintf(shell->detail, sizeof shell->detail, "needed=%d", done.needed);
    return BASALT_OK;
}

static basalt_status obey(struct shell *shell, const char *line)
{
    shell->err = (basalt_error){0};
    shell->detail[0] = '\0';
    if (!strncmp(line, "open ", 5)) return open_store(shell, line + 5);
    if (!strncmp(line, "inspect ", 8)) return inspect(shell, line + 8);
    if (!strncmp(line, "recover ", 8)) return recover(shell, line + 8, false);
    if (!strncmp(line, "recover-without-log ", 20)) return recover(shell, line + 20, true);
    if (!strcmp(line, "kill")) kill(getpid(), SIGKILL);
    if (!shell->store) return BASALT_BAD_ARGUMENT;
    if (!strncmp(line, "append ", 7)) return append(shell, strtoull(line + 7, NULL, 10));
    if (!strncmp(line, "fork ", 5)) return fork_and_try(shell, line + 5);
    if (!strcmp(line, "found")) return find_rows(shell);
    if (!strcmp(line, "checkpoint")) return basalt_store_checkpoint(shell->store, &shell->err);
    if (!strcmp(line, "sync")) return basalt_store_sync(shell->store, &shell->err);
    if (!strcmp(line, "close")) return basalt_store_close(&shell->store, &shell->err);
    return BASALT_BAD_ARGUMENT;
}

int main(void)
{
    struct shell shell = {0};
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        const basalt_status status = obey(&shell, line);
        printf("%s %s\n", basalt_status_name(status), status ? shell.err.message : shell.detail);
        fflush(stdout);
    }
    return 0;
}
