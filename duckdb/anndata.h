/* anndata.h - what the files about AnnData share. */
#ifndef BASALT_DUCKDB_ANNDATA_H
#define BASALT_DUCKDB_ANNDATA_H

#include "extension.h"

enum matrix_kind { MATRIX_NONE, MATRIX_DENSE, MATRIX_CSR, MATRIX_CSC };
struct matrix_shape {
    enum matrix_kind kind; /* NONE: what is there is no matrix */
    uint64_t rows, columns;
};
/* What is at `path`; NOT_FOUND is MATRIX_NONE. */
bool matrix_look(basalt_hdf5 *file, const char *file_name, const char *path,
    struct matrix_shape *out_shape, struct failure *failure);
/* A sparse matrix as a part with a column for each of its columns, called "0", "1" …: zeros are filled in
 * (matrix.c). */
bool matrix_open_wide(struct scan_part *part, const char *path, const struct matrix_shape *shape,
    struct failure *failure);

/* Whether there is something at `path`. */
bool path_exists(basalt_hdf5 *file, const char *path);
/* The one of the two that is there, the first if none is. */
const char *path_of(basalt_hdf5 *file, const char *path, const char *old_path);
/* The text of an attribute without its JSON quotes; false: there is none, or it is no text. */
bool attribute_text(
    basalt_hdf5 *file, const char *path, const char *name, char *out, size_t out_bytes);
/* Names of a frame's rows: its index, or the column `column`. Creates *out_labels; `number` as
 * labels_finish. */
bool labels_load(basalt_hdf5 *file, const char *file_name, const char *frame, const char *column,
    bool number, struct labels *out_labels, struct failure *failure);

#endif
