/* copy.h - any HDF5 file as a new, plain one.   floor 8: may include store and below
 *
 * The body of basalt_hdf5_copy; what that promises holds here. How it is done: top of copy.c. */
#ifndef BS_COPY_H
#define BS_COPY_H

#include "basalt/hdf5.h"
#include "h5/h5.h"

/* All borrowed. */
struct bs_copy_parts {
    struct bs_vfs *vfs;
    struct bs_sched *sched;                   /* NULL: the calling thread does it all */
    struct bs_budget *budget;                 /* of the chunks that are under way; or NULL */
    const struct bs_filter_registry *filters; /* of the user, or NULL */
    const struct bs_cancel *cancel;           /* or NULL; options->cancel is not looked at */
};

/* `options` are whole: all that the struct has; env is not looked at. */
BS_MUST_USE basalt_status bs_copy(const struct bs_copy_parts *parts, const char *source,
    const char *target, const basalt_hdf5_copy_options *options,
    basalt_hdf5_copy_report *out_report, basalt_error *err);

#endif
