/* sql_library.c - finds libduckdb and the extension, and takes what DuckDB says for a status. */
#include "sql.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION_MAJOR_MIN 1
#define VERSION_MINOR_MIN 3

#ifdef __APPLE__
#define LIBRARY_NAME "libduckdb.dylib"
#else
#define LIBRARY_NAME "libduckdb.so"
#endif
#define EXTENSION_NAME "basalt.duckdb_extension"

/* ---- failures -------------------------------------------------------------------------------- */

basalt_status sql_fail(struct sql_failure *failure, basalt_status status, const char *format, ...)
{
    va_list args;
    if (failure->status) return failure->status;
    failure->status = status;
    va_start(args, format);
    if (vasprintf(&failure->text, format, args) < 0) failure->text = NULL;
    va_end(args);
    return status;
}

static basalt_status status_of(const char *message)
{
    static const struct {
        const char *words;
        basalt_status status;
    } kinds[] = {{"Out of Memory Error", BASALT_NO_MEMORY}, {"IO Error", BASALT_IO_ERROR},
        {"HTTP Error", BASALT_IO_ERROR}, {"Permission Error", BASALT_READ_ONLY},
        {"Not implemented Error", BASALT_UNSUPPORTED}, {"INTERRUPT Error", BASALT_CANCELLED},
        {"INTERNAL Error", BASALT_CORRUPT}, {"FATAL Error", BASALT_CORRUPT}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strncmp(message, kinds[i].words, strlen(kinds[i].words)) == 0) return kinds[i].status;
    }
    return BASALT_BAD_ARGUMENT;
}

basalt_status sql_fail_duckdb(struct sql_failure *failure, const char *message)
{
    if (!message) message = "DuckDB does not say what is wrong";
    const basalt_status status = status_of(message);
    if (status == BASALT_CANCELLED) return sql_fail(failure, status, "interrupted");
    return sql_fail(failure, status, "%s", message);
}

/* ---- where things are ------------------------------------------------------------------------ */

/* `name` in the folder of the command, or in `folder` seen from there. To be freed; NULL: not there. */
static char *beside_command(const char *folder, const char *name)
{
    char command[4096], *path = NULL;
    const ssize_t length = readlink("/proc/self/exe", command, sizeof command - 1);
    if (length <= 0) return NULL;
    command[length] = '\0';
    char *slash = strrchr(command, '/');
    if (!slash) return NULL;
    *slash = '\0';
    if (asprintf(&path, "%s/%s%s", command, folder, name) < 0) return NULL;
    if (access(path, R_OK) == 0) return path;
    free(path);
    return NULL;
}

basalt_status extension_find(char **out_path, const char *path, struct sql_failure *failure)
{
    if (!path) path = getenv("BASALT_DUCKDB_EXTENSION");
    if (path && *path) {
        *out_path = strdup(path);
        if (!*out_path) return sql_fail(failure, BASALT_NO_MEMORY, "no memory for a path");
        if (access(path, R_OK) == 0) return BASALT_OK;
        return sql_fail(
            failure, BASALT_NOT_FOUND, "the extension \"%s\" is not there or not readable", path);
    }
    *out_path = beside_command("", EXTENSION_NAME);
    if (!*out_path) *out_path = beside_command(BASALT_EXTENSION_FOLDER "/", EXTENSION_NAME);
    if (*out_path) return BASALT_OK;
    return sql_fail(failure, BASALT_NOT_FOUND,
        EXTENSION_NAME
        " is neither beside the command nor where `make install` puts it: name it by "
        "--extension PATH or BASALT_DUCKDB_EXTENSION (it is built where DuckDB's C "
        "header is: tools/setup test fetches that)");
}

/* Where the linker looks, then beside the command. */
static void *open_library(void)
{
    void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
    static const char *const folders[] = {"", "../lib/", BASALT_EXTENSION_FOLDER "/"};
    for (size_t i = 0; !handle && i < sizeof folders / sizeof folders[0]; i++) {
        char *path = beside_command(folders[i], LIBRARY_NAME);
        if (path) handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        free(path);
    }
    return handle;
}

/* ---- the library ----------------------------------------------------------------------------- */

static basalt_status check_version(void *handle, struct sql_failure *failure)
{
    __typeof__(duckdb_library_version) *version = NULL;
    *(void **)&version = dlsym(handle, "duckdb_library_version");
    if (!version) {
        return sql_fail(failure, BASALT_UNSUPPORTED,
            "the library is not DuckDB's: it does not say "
            "its version");
    }
    unsigned major = 0, minor = 0;
    const char *text = version();
    if (sscanf(text, "v%u.%u", &major, &minor) == 2 &&
        (major > VERSION_MAJOR_MIN || (major == VERSION_MAJOR_MIN && minor >= VERSION_MINOR_MIN))) {
        return BASALT_OK;
    }
    return sql_fail(failure, BASALT_UNSUPPORTED,
        "libduckdb is of version %s: basalt sql needs %d.%d or newer", text, VERSION_MAJOR_MIN,
        VERSION_MINOR_MIN);
}

struct symbol {
    const char *name;
    size_t offset;
    bool optional;
};

static basalt_status take_functions(
    struct duckdb *duckdb, void *handle, struct sql_failure *failure)
{
#define NEEDED(name) {"duckdb_" #name, offsetof(struct duckdb, name), false},
#define OPTIONAL(name) {"duckdb_" #name, offsetof(struct duckdb, name), true},
    static const struct symbol symbols[] = {
        DUCKDB_FUNCTIONS(NEEDED) DUCKDB_ARROW_FUNCTIONS(OPTIONAL)};
#undef NEEDED
#undef OPTIONAL
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *function = dlsym(handle, symbols[i].name);
        if (!function && !symbols[i].optional) {
            return sql_fail(failure, BASALT_UNSUPPORTED,
                "libduckdb has no function %s: take DuckDB's own libduckdb, 1.3 or newer",
                symbols[i].name);
        }
        memcpy((char *)duckdb + symbols[i].offset, &function, sizeof function);
    }
    return BASALT_OK;
}

basalt_status duckdb_load(struct duckdb *out_duckdb, const char *path, struct sql_failure *failure)
{
    void *handle;
    memset(out_duckdb, 0, sizeof *out_duckdb);
    if (!path) path = getenv("BASALT_DUCKDB_LIBRARY");
    if (path && *path) {
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!handle) {
            return sql_fail(
                failure, BASALT_NOT_FOUND, "libduckdb could not be loaded: %s", dlerror());
        }
    } else {
        handle = open_library();
        if (!handle) {
            return sql_fail(failure, BASALT_NOT_FOUND,
                "basalt sql runs DuckDB, and " LIBRARY_NAME " is not there: install DuckDB's C/C++ "
                "library (its release archive libduckdb, or `npm install @duckdb/node-api`, which "
                "brings it), and name it by --duckdb PATH or BASALT_DUCKDB_LIBRARY");
        }
    }
    const basalt_status status = check_version(handle, failure);
    return status ? status : take_functions(out_duckdb, handle, failure);
}
