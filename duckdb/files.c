/* files.c - the files that a parameter names, and how things that go wrong are told. */
#include "extension.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FOLDER_DEPTH_MAX 64
#define PATH_BYTES_MAX 4096

bool fail(struct failure *failure, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->message, sizeof failure->message, format, arguments);
    va_end(arguments);
    return false;
}

bool fail_file(struct failure *failure, const char *path, const basalt_error *error)
{
    if (strstr(error->message, path)) return fail(failure, "%s", error->message);
    return fail(failure, "%s: %s", path, error->message);
}

bool fail_memory(struct failure *failure)
{
    return fail(failure, "there is not enough memory");
}

char *copy_text(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = malloc(bytes);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

void files_clear(struct file_list *files)
{
    for (size_t i = 0; i < files->count; i++) free(files->paths[i]);
    free(files->paths);
    *files = (struct file_list){NULL, 0};
}

static bool add_file(struct file_list *files, const char *path, struct failure *failure)
{
    if (files->count >= FILES_MAX) return fail(failure, "more than %d files are named", FILES_MAX);
    if ((files->count & (files->count - 1)) == 0) { /* 0, 1, 2, 4 …: full */
        const size_t capacity = files->count ? files->count * 2 : 1;
        char **larger = realloc(files->paths, capacity * sizeof *larger);
        if (!larger) return fail_memory(failure);
        files->paths = larger;
    }
    files->paths[files->count] = copy_text(path);
    if (!files->paths[files->count]) return fail_memory(failure);
    files->count++;
    return true;
}

/* ---- patterns ------------------------------------------------------------------------------- */

struct finder {
    struct file_list *files;
    struct failure *failure;
    char path[PATH_BYTES_MAX];
};

static bool find(struct finder *finder, const char *pattern, unsigned depth);

static bool is_folder(const char *path)
{
    struct stat found;
    return !stat(path, &found) && S_ISDIR(found.st_mode);
}

/* The rest of the pattern behind the entry `name` of the folder finder->path[0..end). */
static bool enter(
    struct finder *finder, size_t end, const char *name, const char *rest, unsigned depth)
{
    const int bytes = snprintf(finder->path + end, sizeof finder->path - end, "%s", name);
    bool fine = true;
    if (bytes < 0 || (size_t)bytes >= sizeof finder->path - end - 1) return true; /* no such path */
    if (!*rest) {
        struct stat found;
        if (!stat(finder->path, &found) && !S_ISDIR(found.st_mode)) {
            fine = add_file(finder->files, finder->path, finder->failure);
        }
    } else if (is_folder(finder->path)) {
        const size_t count = strlen(finder->path);
        finder->path[count] = '/';
        finder->path[count + 1] = 0;
        fine = find(finder, rest, depth + 1);
    }
    finder->path[end] = 0;
    return fine;
}

bool is_file(const char *path)
{
    struct stat found;
    return !stat(path, &found) && S_ISREG(found.st_mode);
}

bool is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

static bool find_in_folder(
    struct finder *finder, const char *part, const char *rest, unsigned depth)
{
    const size_t end = strlen(finder->path);
    const bool any_depth = !strcmp(part, "**");
    bool fine = true;
    DIR *folder = opendir(end ? finder->path : ".");
    if (!folder) return true;
    for (struct dirent *entry = readdir(folder); fine && entry; entry = readdir(folder)) {
        const bool hidden = entry->d_name[0] == '.';
        if (any_depth) {
            if (!hidden && entry->d_type == DT_DIR) { /* a link could lead back */
                char again[PATH_BYTES_MAX];
                snprintf(again, sizeof again, "**/%s", rest);
                fine = enter(finder, end, entry->d_name, again, depth);
            }
        } else if (!fnmatch(part, entry->d_name, FNM_PERIOD)) {
            fine = enter(finder, end, entry->d_name, rest, depth);
        }
    }
    closedir(folder);
    return fine && any_depth ? find(finder, rest, depth + 1) : fine;
}

/* Files that match `pattern` in the folder finder->path. */
static bool find(struct finder *finder, const char *pattern, unsigned depth)
{
    char part[256];
    const size_t count = strcspn(pattern, "/");
    const size_t end = strlen(finder->path);
    if (depth > FOLDER_DEPTH_MAX || count >= sizeof part || end + 2 >= sizeof finder->path) {
        return true;
    }
    memcpy(part, pattern, count);
    part[count] = 0;
    const char *rest = pattern + count + strspn(pattern + count, "/");
    if (!count && pattern[0] == '/') { /* from the root */
        finder->path[end] = '/';
        finder->path[end + 1] = 0;
        return find(finder, rest, depth + 1);
    }
    if (is_pattern(part)) return find_in_folder(finder, part, rest, depth);
    return enter(finder, end, part, rest, depth);
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_pattern(struct file_list *files, const char *text, struct failure *failure)
{
    struct finder finder = {.files = files, .failure = failure};
    const size_t before = files->count;
    struct stat found;
    if (strstr(text, "://")) {
        return fail(failure,
            "%s: only files of this machine can be read so far; fetch it first (https:// and s3:// "
            "are not supported)",
            text);
    }
    if (!is_pattern(text) || !stat(text, &found)) return add_file(files, text, failure);
    if (!find(&finder, text, 0)) return false;
    if (files->count == before) return fail(failure, "no file matches \"%s\"", text);
    qsort(files->paths + before, files->count - before, sizeof *files->paths, compare_paths);
    return true;
}

/* "~/x.h5" is in the user's home, as for DuckDB's own readers. */
static bool add_text(struct file_list *files, const char *text, struct failure *failure)
{
    char whole[PATH_BYTES_MAX];
    const char *home = getenv("HOME");
    if (strncmp(text, "~/", 2) != 0 || !home) return add_pattern(files, text, failure);
    const int bytes = snprintf(whole, sizeof whole, "%s%s", home, text + 1);
    if (bytes < 0 || (size_t)bytes >= sizeof whole) {
        return fail(failure, "%s: the path is longer than %d bytes", text, PATH_BYTES_MAX - 1);
    }
    return add_pattern(files, whole, failure);
}

static bool add_value(struct file_list *files, duckdb_value value, struct failure *failure)
{
    if (!value || duckdb_is_null_value(value)) return fail(failure, "a file's name is NULL");
    char *text = duckdb_get_varchar(value);
    const bool fine = text ? add_text(files, text, failure) : fail_memory(failure);
    duckdb_free(text);
    return fine;
}

bool files_of(duckdb_value value, struct file_list *out_files, struct failure *failure)
{
    bool fine = true;
    *out_files = (struct file_list){NULL, 0};
    if (!value || duckdb_is_null_value(value)) return fail(failure, "the files are NULL");
    if (duckdb_get_type_id(duckdb_get_value_type(value)) != DUCKDB_TYPE_LIST) {
        fine = add_value(out_files, value, failure);
    } else {
        const idx_t count = duckdb_get_list_size(value);
        if (!count) fine = fail(failure, "the list of files is empty");
        for (idx_t i = 0; fine && i < count; i++) {
            duckdb_value item = duckdb_get_list_child(value, i);
            fine = add_value(out_files, item, failure);
            duckdb_destroy_value(&item);
        }
    }
    if (!fine) files_clear(out_files);
    return fine;
}
