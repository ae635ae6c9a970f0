/* api_internal.h - what the files of this floor share: environments, and missing arguments. */
#ifndef BS_API_INTERNAL_H
#define BS_API_INTERNAL_H

#include "basalt/basalt.h"
#include "store/store.h"

struct basalt_scheduler {
    struct bs_sched *sched;
    atomic_uint environments; /* that it was given to */
};

struct basalt_env {
    struct bs_env_parts parts;
    struct bs_filter_registry *filters;
    basalt_scheduler *scheduler; /* whose parts.sched is; NULL: our own */
    atomic_uint open_stores, open_files;
};

struct basalt_store {
    struct bs_store *store; /* the draft's, if there is one */
    struct bs_draft *draft; /* of a file that is to be replaced; or NULL */
    basalt_env *env;
    bool owns_env;
};

/* Uses `given`, or makes one if that is NULL, and counts one more store in it. */
BS_MUST_USE basalt_status bs_env_enter(
    basalt_env *given, basalt_env **out_env, bool *out_owned, basalt_error *err);
void bs_env_leave(basalt_env *env, bool owned);

/* BAD_ARGUMENT: "FUNCTION needs ARGUMENT". */
basalt_status bs_api_missing(basalt_error *err, const char *function, const char *argument);

/* Returns from the function that it stands in if the pointer is NULL. */
#define BS_API_NEEDS(pointer)                                                                      \
    do {                                                                                           \
        if (!(pointer)) return bs_api_missing(err, __func__, #pointer);                            \
    } while (0)

#endif
