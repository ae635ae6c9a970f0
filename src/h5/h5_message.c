/* h5_message.c - the messages that make a dataset: layout, filters, fill value. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define LAYOUT_VERSION_MAX 5 /* as 4, with chunk sizes of 8 bytes in its indexes */
#define CHUNK_INDEX_MAX 5
#define FILL_DEFINED 0x20

static basalt_status bad(const struct bs_cursor *cursor, basalt_error *err, const char *what)
{
    return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor), "the message at %" PRIu64 " %s",
        cursor->file_offset, what);
}

/* ---- layout ----------------------------------------------------------------------------------- */

static basalt_status copy_compact(
    struct bs_cursor *cursor, size_t count, struct bs_h5_dataset *dataset, basalt_error *err)
{
    const uint8_t *bytes = bs_cursor_bytes(cursor, count);

    if (!bytes) return bs_cursor_check(cursor, "compact data", err);
    dataset->compact = bs_copy_bytes(bytes, count);
    dataset->stored_bytes = count;
    return dataset->compact ? BASALT_OK : bs_fail_memory(err, count);
}

/* `dimensions` counts the size of an element as the last one. */
static basalt_status decode_chunk_dims(struct bs_cursor *cursor, unsigned dimensions,
    size_t width_bytes, struct bs_h5_dataset *dataset, basalt_error *err)
{
    if (dimensions < 2 || dimensions - 1 != dataset->space.rank)
        return bad(cursor, err, "has chunks of another rank than the dataset");
    for (unsigned i = 0; i + 1 < dimensions; i++) {
        dataset->chunk_dims[i] = bs_cursor_uint(cursor, width_bytes);
        if (!cursor->failed && !dataset->chunk_dims[i])
            return bad(cursor, err, "has chunks with a dimension of zero");
    }
    const uint64_t element_bytes = bs_cursor_uint(cursor, width_bytes);
    if (!cursor->failed && element_bytes != dataset->type->size_bytes)
        return bad(cursor, err, "has chunks of elements of another size than the dataset's");
    return BASALT_OK;
}

static basalt_status contiguous_bytes(struct bs_h5_dataset *dataset, basalt_error *err)
{
    uint64_t count = 0;
    basalt_status status = bs_h5_space_count(&dataset->space, &count, err);
    if (status) return status;
    if (count > UINT64_MAX / dataset->type->size_bytes)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a contiguous dataset has more bytes than 64 bits count");
    dataset->stored_bytes = count * dataset->type->size_bytes;
    return BASALT_OK;
}

static basalt_status decode_old_layout(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_h5_dataset *dataset, basalt_error *err)
{
    const uint8_t dimensions = bs_cursor_u8(cursor);
    dataset->layout = (enum bs_h5_layout)bs_cursor_u8(cursor);
    bs_cursor_skip(cursor, 5);
    if (dataset->layout != BS_H5_COMPACT) dataset->address = bs_h5_address(h5, cursor);
    if (dataset->layout == BS_H5_CHUNKED)
        return decode_chunk_dims(cursor, dimensions, 4, dataset, err);
    bs_cursor_skip(cursor, (size_t)4 * dimensions);
    if (dataset->layout == BS_H5_CONTIGUOUS) return contiguous_bytes(dataset, err);
    if (dataset->layout != BS_H5_COMPACT) return bad(cursor, err, "is of an unknown layout");
    return copy_compact(cursor, bs_cursor_u32(cursor), dataset, err);
}

/* Layout version 4 (FF IV.A.2.i): flags, rank, widths, then what each index needs. */
static basalt_status decode_new_chunks(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_h5_dataset *dataset, struct bs_h5_layout_detail *detail, basalt_error *err)
{
    const uint8_t flags = bs_cursor_u8(cursor);
    const uint8_t dimensions = bs_cursor_u8(cursor);
    const uint8_t width_bytes = bs_cursor_u8(cursor);
    if (!cursor->failed && (width_bytes < 1 || width_bytes > 8))
        return bad(cursor, err, "has chunk dimensions of an impossible width");
    basalt_status status = bs_cursor_check(cursor, "a data layout", err);
    if (!status) status = decode_chunk_dims(cursor, dimensions, width_bytes, dataset, err);
    if (status) return status;
    detail->edges_unfiltered = flags & 1;
    dataset->chunk_index = bs_cursor_u8(cursor);
    switch (dataset->chunk_index) {
    case 1:
        if (flags & 2) {
            detail->single_bytes = bs_h5_length(h5, cursor);
            detail->single_mask = bs_cursor_u32(cursor);
        }
        break;
    case 2: break;
    case 3: detail->page_bits = bs_cursor_u8(cursor); break;
    case 4: bs_cursor_skip(cursor, 5); break; /* the array's own header says it again */
    case 5: bs_cursor_skip(cursor, 6); break; /* the tree's own header too */
    default:
        if (!cursor->failed) return bad(cursor, err, "has a chunk index of an unknown kind");
    }
    dataset->address = bs_h5_address(h5, cursor);
    return BASALT_OK;
}

static basalt_status decode_layout(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    uint8_t version, struct bs_h5_dataset *dataset, struct bs_h5_layout_detail *detail,
    basalt_error *err)
{
    dataset->layout = (enum bs_h5_layout)bs_cursor_u8(cursor);
    if (cursor->failed) return BASALT_OK;
    switch (dataset->layout) {
    case BS_H5_COMPACT: return copy_compact(cursor, bs_cursor_u16(cursor), dataset, err);
    case BS_H5_CONTIGUOUS:
        dataset->address = bs_h5_address(h5, cursor);
        dataset->stored_bytes = bs_h5_length(h5, cursor);
        return BASALT_OK;
    case BS_H5_CHUNKED: break;
    case BS_H5_VIRTUAL:
        if (version < 4) return bad(cursor, err, "is virtual in a version without that");
        dataset->address = bs_h5_address(h5, cursor);
        detail->heap_index = bs_cursor_u32(cursor);
        return BASALT_OK;
    default: return bad(cursor, err, "is of an unknown layout");
    }
    if (version >= 4) return decode_new_chunks(h5, cursor, dataset, detail, err);
    const uint8_t dimensions = bs_cursor_u8(cursor);
    dataset->address = bs_h5_address(h5, cursor);
    return decode_chunk_dims(cursor, dimensions, 4, dataset, err);
}

basalt_status bs_h5_layout_decode(const struct bs_h5_file *h5, struct bs_cursor *cursor,
    struct bs_h5_dataset *dataset, struct bs_h5_layout_detail *detail, basalt_error *err)
{
    const uint8_t version = bs_cursor_u8(cursor);

    dataset->address = BS_H5_UNDEFINED;
    if (!cursor->failed && !version) return bad(cursor, err, "has version 0, which does not exist");
    if (version > LAYOUT_VERSION_MAX)
        return bs_fail(err, BASALT_UNSUPPORTED, bs_cursor_offset(cursor),
            "data layouts of version %u are newer than this reader", version);
    basalt_status status = version < 3 ? decode_old_layout(h5, cursor, dataset, err)
                                       : decode_layout(h5, cursor, version, dataset, detail, err);
    return status ? status : bs_cursor_check(cursor, "a data layout", err);
}

/* ---- filters ---------------------------------------------------------------------------------- */

static basalt_status decode_filter(
    struct bs_cursor *cursor, uint8_t version, struct bs_filter *filter, basalt_error *err)
{
    size_t name_bytes = 0;
    uint32_t *parameters = filter->parameters;

    filter->id = bs_cursor_u16(cursor);
    if (version == 1 || filter->id >= 256) name_bytes = bs_cursor_u16(cursor);
    filter->flags = bs_cursor_u16(cursor);
    filter->parameter_count = bs_cursor_u16(cursor);
    if (version == 1) name_bytes = (name_bytes + 7) & ~(size_t)7;
    bs_cursor_skip(cursor, name_bytes);
    if (cursor->failed) return bs_cursor_check(cursor, "a filter pipeline", err);
    if (filter->parameter_count > BS_FILTER_PARAMETERS_MAX) {
        if (bs_cursor_left(cursor) / 4 < filter->parameter_count)
            return bad(cursor, err, "has a filter whose parameters are cut short");
        parameters = filter->long_parameters = bs_alloc(filter->parameter_count * (size_t)4);
        if (!parameters) return bs_fail_memory(err, filter->parameter_count * (size_t)4);
    }
    for (unsigned i = 0; i < filter->parameter_count; i++) parameters[i] = bs_cursor_u32(cursor);
    if (version == 1 && filter->parameter_count % 2) bs_cursor_skip(cursor, 4);
    return bs_cursor_check(cursor, "a filter pipeline", err);
}

basalt_status bs_h5_pipeline_decode(
    struct bs_cursor *cursor, struct bs_pipeline *out_pipeline, basalt_error *err)
{
    memset(out_pipeline, 0, sizeof *out_pipeline);
    const uint8_t version = bs_cursor_u8(cursor);
    const uint8_t count = bs_cursor_u8(cursor);
    if (version == 1) bs_cursor_skip(cursor, 6);
    basalt_status status = bs_cursor_check(cursor, "a filter pipeline", err);
    if (status) return status;
    if (version != 1 && version != 2) return bad(cursor, err, "has filters of an unknown version");
    if (count > BS_FILTERS_MAX) return bad(cursor, err, "has over 32 filters");
    for (unsigned i = 0; !status && i < count; i++)
        status = decode_filter(cursor, version, &out_pipeline->filters[i], err);
    if (status)
        bs_pipeline_clear(out_pipeline);
    else
        out_pipeline->count = count;
    return status;
}

/* ---- fill value ------------------------------------------------------------------------------- */

basalt_status bs_h5_fill_decode(
    struct bs_cursor *cursor, bool old, uint32_t type_bytes, uint8_t **out_fill, basalt_error *err)
{
    bool defined = true;
    uint32_t count = 0;

    *out_fill = NULL;
    if (!old) {
        const uint8_t version = bs_cursor_u8(cursor);
        if (version == 3) {
            defined = bs_cursor_u8(cursor) & FILL_DEFINED;
        } else {
            bs_cursor_skip(cursor, 2); /* when space is allocated, when the value is written */
            defined = bs_cursor_u8(cursor) != 0;
        }
        if (!cursor->failed && (version < 1 || version > 3))
            return bad(cursor, err, "has a fill value of an unknown version");
    }
    if (defined) count = bs_cursor_u32(cursor);
    basalt_status status = bs_cursor_check(cursor, "a fill value", err);
    if (status || !count || count == UINT32_MAX) return status; /* all ones: the library's zero */
    if (count != type_bytes) return bad(cursor, err, "has a fill value of another size");
    const uint8_t *bytes = bs_cursor_bytes(cursor, count);
    if (!bytes) return bs_cursor_check(cursor, "a fill value", err);
    *out_fill = bs_copy_bytes(bytes, count);
    return *out_fill ? BASALT_OK : bs_fail_memory(err, count);
}
