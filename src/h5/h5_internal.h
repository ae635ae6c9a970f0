/* h5_internal.h - what the files of the reading half share. */
#ifndef BS_H5_INTERNAL_H
#define BS_H5_INTERNAL_H

#include "h5/h5.h"

#define BS_H5_VARIABLE_BYTES 16 /* length u32, collection address u64, index u32 */

extern const uint8_t bs_h5_signature[8];

/* An address or length of `width_bytes`; all ones becomes BS_H5_UNDEFINED. */
uint64_t bs_h5_cursor_address(struct bs_cursor *cursor, size_t width_bytes);

/* As bs_h5_superblock_decode; the cursor knows where in the file its bytes are from. */
BS_MUST_USE basalt_status bs_h5_superblock_decode_at(struct bs_cursor cursor,
    struct bs_h5_superblock *out_superblock, basalt_error *err);

#endif
