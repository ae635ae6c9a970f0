/* basalt.h - an embedded database whose file is plain HDF5: the whole public API, in the order in
 * which it is best read. */
#ifndef BASALT_BASALT_H
#define BASALT_BASALT_H

#include "basalt/status.h"      /* how calls fail, and what is true of all of them */
#include "basalt/scheduler.h"   /* threads, jobs, cancel tokens */
#include "basalt/environment.h" /* what stores share: a scheduler and memory */
#include "basalt/store.h"       /* open, close, checkpoint; inspect, recover, verify, backup */
#include "basalt/family.h"      /* tables */
#include "basalt/write.h"       /* rows in */
#include "basalt/read.h"        /* rows out */
#include "basalt/arrow.h"       /* Arrow structs and IPC bytes */
#include "basalt/hdf5.h"        /* any HDF5 file */
#include "basalt/recorder.h"    /* the storage actor for instruments */

#endif
