/* h5_space.c - dataspaces (FF IV.A.2.b), and numbers of the widths that the superblock names. */
#include "h5/h5_internal.h"

#include <inttypes.h>

uint64_t bs_h5_cursor_address(struct bs_cursor *cursor, size_t width_bytes)
{
    const uint64_t value = bs_cursor_uint(cursor, width_bytes);
    if (width_bytes < 8 && value == ((uint64_t)1 << (8 * width_bytes)) - 1) return BS_H5_UNDEFINED;
    return value;
}

basalt_status bs_h5_space_count(const struct bs_h5_space *space, uint64_t *out_count,
    basalt_error *err)
{
    uint64_t count = space->null ? 0 : 1;
    bool empty = space->null;

    *out_count = 0;
    for (unsigned i = 0; i < space->rank; i++) empty |= space->dims[i] == 0;
    if (empty) return BASALT_OK;
    for (unsigned i = 0; i < space->rank; i++) {
        if (count > UINT64_MAX / space->dims[i])
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "a dataspace of %u dimensions has more elements than 64 bits count", space->rank);
        count *= space->dims[i];
    }
    *out_count = count;
    return BASALT_OK;
}
