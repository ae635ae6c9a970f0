/* h5_space.c - dataspaces (FF IV.A.2.b), and numbers of the widths that the superblock names. */
#include "h5/h5_internal.h"

#include <inttypes.h>

basalt_status bs_h5_space_count(
    const struct bs_h5_space *space, uint64_t *out_count, basalt_error *err)
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

static basalt_status bad_space(const struct bs_cursor *cursor, basalt_error *err, const char *what)
{
    return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor),
        "the dataspace message at %" PRIu64 " %s", cursor->file_offset, what);
}

basalt_status bs_h5_space_decode(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_h5_space *out_space, basalt_error *err)
{
    memset(out_space, 0, sizeof *out_space);
    const uint8_t version = bs_cursor_u8(cursor);
    const uint8_t rank = bs_cursor_u8(cursor);
    const uint8_t flags = bs_cursor_u8(cursor);
    const uint8_t form = bs_cursor_u8(cursor); /* reserved in version 1 */
    if (version == 1) bs_cursor_skip(cursor, 4);
    basalt_status status = bs_cursor_check(cursor, "a dataspace", err);
    if (status) return status;
    if (version != 1 && version != 2) return bad_space(cursor, err, "has an unknown version");
    if (rank > BS_H5_RANK_MAX) return bad_space(cursor, err, "has over 32 dimensions");
    if (version == 2 && (form > 2 || (form != 1 && rank)))
        return bad_space(cursor, err, "has an impossible type");

    struct bs_h5_space space = {.null = version == 2 && form == 2, .rank = rank};
    for (unsigned i = 0; i < rank; i++) space.dims[i] = bs_h5_length(h5, cursor);
    for (unsigned i = 0; i < rank; i++)
        space.max_dims[i] = flags & 1 ? bs_h5_length(h5, cursor) : space.dims[i];
    status = bs_cursor_check(cursor, "a dataspace", err);
    if (status) return status;
    for (unsigned i = 0; i < rank; i++)
        if (space.dims[i] > space.max_dims[i] || space.dims[i] == BS_H5_UNDEFINED)
            return bad_space(cursor, err, "is larger than its own maximum");
    *out_space = space;
    return BASALT_OK;
}
