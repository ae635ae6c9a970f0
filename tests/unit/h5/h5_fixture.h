/* h5_fixture.h - HDF5 files that libhdf5 makes for one test, opened by Basalt. */
#ifndef BS_H5_FIXTURE_H
#define BS_H5_FIXTURE_H

#include "h5/h5.h"
#include "tests/harness/test.h"

#include <hdf5.h>

enum fixture_age { FIXTURE_EARLIEST, FIXTURE_LATEST, FIXTURE_AGES };

struct fixture {
    const char *path;
    hid_t file; /* while it is being made; -1 afterwards */
    struct bs_vfs *vfs;
    struct bs_file *bytes;
    struct bs_h5_file *h5;
};

/* Begins a file; fixture_open closes it for libhdf5 and opens it here. */
void fixture_begin(struct fixture *fixture, enum fixture_age age);
bool fixture_open(struct fixture *fixture);
/* Opens a file that is there. */
bool fixture_open_path(struct fixture *fixture, const char *path);
void fixture_end(struct fixture *fixture);

/* Opens by path; reports and gives NULL on failure. */
struct bs_h5_object *fixture_object(struct fixture *fixture, const char *path);
/* Creates and writes a dataset of int32 0, 1, 2, … with creation properties `properties`. */
void fixture_count_up(struct fixture *fixture, const char *name, int rank, const hsize_t *dims,
    const hsize_t *max_dims, hid_t properties);
/* All of it as int32 counts up, and so does every range of rows. */
void fixture_check_counts_up(struct fixture *fixture, const char *name);
/* The extents of the file do not overlap, and a deep check finds nothing. */
void fixture_check_sound(struct fixture *fixture, bool complete);

#endif
