/* ipc_body.c - arrays of any depth as the body of an IPC message.
 *
 * What comes in may be sliced, lack null counts and hold anything under nulls. Offsets, lengths, codes and
 * texts are checked, so that a reader finds nothing to stumble over; sizes of the buffers the C data
 * interface does not say, so those are the maker's word. */
#include "arrow/ipc_internal.h"

void bs_ipc_body_clear(struct bs_ipc_body *body)
{
    body->bytes.count = body->nodes.count = body->buffers.count = 0;
}

void bs_ipc_body_free(struct bs_ipc_body *body)
{
    bs_bytes_free(&body->bytes);
    bs_bytes_free(&body->nodes);
    bs_bytes_free(&body->buffers);
    bs_bytes_free(&body->validity);
}

static basalt_status wrong(const struct bs_ipc_node *node, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "field \"%.*s\" of an Arrow array %s", bs_shown(node->field.name), node->field.name, what);
}

/* ---- shape ------------------------------------------------------------------------------------- */

static int64_t buffers_wanted(const struct bs_ipc_node *node)
{
    switch (node->layout) {
    case BS_IPC_OF_NULLS: return 0;
    case BS_IPC_OF_BITS:
    case BS_IPC_OF_VALUES:
    case BS_IPC_OF_LISTS: return 2;
    case BS_IPC_OF_BYTES: return 3;
    default: return 1;
    }
}

basalt_status bs_ipc_shape_check(
    const struct bs_ipc_node *node, const struct ArrowArray *array, basalt_error *err)
{
    if (!array || !array->release) return wrong(node, "is released", err);
    if (array->length < 0 || array->offset < 0) return wrong(node, "has a negative length", err);
    const int64_t wanted = buffers_wanted(node);
    if ((wanted && array->n_buffers != wanted) || (wanted && !array->buffers)) {
        return wrong(node, "has another number of buffers than its type", err);
    }
    if (array->n_children != (int64_t)node->child_count ||
        (node->child_count && !array->children)) {
        return wrong(node, "has another number of children than its type", err);
    }
    if (!array->dictionary != !node->dictionary) {
        return wrong(node, "has a dictionary where the schema has none, or none", err);
    }
    for (size_t i = 0; i < node->child_count; i++) {
        const basalt_status status =
            bs_ipc_shape_check(&node->children[i], array->children[i], err);
        if (status) return status;
    }
    return node->dictionary ? bs_ipc_shape_check(node->dictionary, array->dictionary, err)
                            : BASALT_OK;
}

/* ---- buffers ----------------------------------------------------------------------------------- */

/* What is appended from here on is the next buffer, `bytes` long. Lends its memory; NULL: there is no
 * room, or nothing to be written. */
static uint8_t *add_buffer(struct bs_ipc_body *body, uint64_t bytes)
{
    bs_bytes_align(&body->bytes, 8);
    bs_bytes_u64(&body->buffers, body->bytes.count);
    bs_bytes_u64(&body->buffers, bytes);
    return bytes ? bs_bytes_grow(&body->bytes, (size_t)bytes) : NULL;
}

/* One column's window on an array. */
struct window {
    const struct bs_ipc_node *node;
    const struct ArrowArray *array;
    uint64_t at, count;      /* in the array's buffers, with its offset */
    const uint8_t *validity; /* NULL: no nulls in the window */
    uint64_t validity_at;    /* its bit for the window's first row */
    uint64_t nulls;
    bool under_nulls; /* something that it lies in has nulls */
};

static bool window_is_null(const struct window *window, uint64_t row)
{
    return window->validity && !bs_bit(window->validity, window->validity_at + row);
}

static void find_nulls(struct window *window)
{
    const struct ArrowArray *array = window->array;
    const enum bs_ipc_layout layout = window->node->layout;
    if (layout == BS_IPC_OF_NULLS) {
        window->nulls = window->count;
    } else if (layout != BS_IPC_OF_MEMBERS && array->buffers[0] && array->null_count != 0) {
        window->nulls = window->count - bs_bits_count(array->buffers[0], window->at, window->count);
        window->validity = window->nulls ? array->buffers[0] : NULL;
        window->validity_at = window->at;
    }
}

static void add_validity(struct bs_ipc_body *body, const struct window *window)
{
    bs_bytes_u64(&body->nodes, window->count);
    bs_bytes_u64(&body->nodes, window->nulls);
    if (window->node->layout == BS_IPC_OF_NULLS) return;
    if (window->node->layout == BS_IPC_OF_MEMBERS) return;
    uint8_t *out = add_buffer(body, window->validity ? (window->count + 7) / 8 : 0);
    if (out) bs_bits_copy(out, window->validity, window->validity_at, window->count);
}

static void add_bits(struct bs_ipc_body *body, const struct window *window)
{
    uint8_t *out = add_buffer(body, (window->count + 7) / 8);
    if (!out) return;
    bs_bits_copy(out, window->array->buffers[1], window->at, window->count);
    for (uint64_t row = 0; window->nulls && row < window->count; row++) {
        if (window_is_null(window, row)) out[row / 8] &= (uint8_t) ~(1u << (row % 8));
    }
}

static void add_values(struct bs_ipc_body *body, const struct window *window)
{
    const size_t width = window->node->width_bytes;
    const uint8_t *values = window->array->buffers[1];
    uint8_t *out = add_buffer(body, window->count * width);
    if (!out) return;
    memcpy(out, values + window->at * width, (size_t)window->count * width);
    for (uint64_t row = 0; window->nulls && row < window->count; row++) {
        if (window_is_null(window, row)) memset(out + row * width, 0, width);
    }
}

/* Offsets that begin at 0. *out_first and *out_end are where the window begins and ends in what they
 * point to. */
static basalt_status add_offsets(struct bs_ipc_body *body, const struct window *window,
    uint64_t *out_first, uint64_t *out_end, basalt_error *err)
{
    const size_t width = window->node->width_bytes;
    uint64_t bad;
    *out_first = *out_end = 0;
    if (!window->count) {
        uint8_t *none = add_buffer(body, width);
        if (none) memset(none, 0, width);
        return BASALT_OK;
    }
    const uint8_t *offsets = (const uint8_t *)window->array->buffers[1] + window->at * width;
    if (!bs_offsets_monotone(offsets, width, window->count, &bad)) {
        return wrong(window->node, "has offsets that fall or are negative", err);
    }
    const int64_t first = bs_offset_at(offsets, width, 0);
    uint8_t *out = add_buffer(body, (window->count + 1) * width);
    for (uint64_t row = 0; out && row <= window->count; row++) {
        const uint64_t offset = (uint64_t)(bs_offset_at(offsets, width, row) - first);
        if (width == 4) {
            bs_store_u32(out + row * 4, (uint32_t)offset);
        } else {
            bs_store_u64(out + row * 8, offset);
        }
    }
    *out_first = (uint64_t)first;
    *out_end = (uint64_t)bs_offset_at(offsets, width, window->count);
    return BASALT_OK;
}

/* What lies under a null may be anything. */
static bool texts_valid(const struct window *window, const uint8_t *text)
{
    const size_t width = window->node->width_bytes;
    const uint8_t *offsets = (const uint8_t *)window->array->buffers[1] + window->at * width;
    uint64_t bad = 0;
    if (bs_texts_valid(text, offsets, width, window->count, &bad)) return true;
    for (uint64_t row = bad; row < window->count; row++) {
        const int64_t from = bs_offset_at(offsets, width, row);
        const int64_t to = bs_offset_at(offsets, width, row + 1);
        if (!window_is_null(window, row) &&
            !bs_utf8_valid((const char *)text + from, (size_t)(to - from))) {
            return false;
        }
    }
    return true;
}

static basalt_status add_texts(
    struct bs_ipc_body *body, const struct window *window, basalt_error *err)
{
    uint64_t first = 0, end = 0;
    const uint8_t *text = window->array->buffers[2];
    const basalt_status status = add_offsets(body, window, &first, &end, err);
    if (status) return status;
    if (end > first && !text) return wrong(window->node, "has offsets and no bytes", err);
    if (end > first && window->node->field.kind == BS_KIND_TEXT && !texts_valid(window, text)) {
        return wrong(window->node, "is not UTF-8", err);
    }
    uint8_t *out = add_buffer(body, end - first);
    if (out) memcpy(out, text + first, (size_t)(end - first));
    return BASALT_OK;
}

/* ---- columns ----------------------------------------------------------------------------------- */

static uint64_t code_at(const struct bs_field *field, const uint8_t *codes, uint64_t row)
{
    const uint8_t *at = codes + row * field->width_bytes;
    const bool is_signed = field->kind == BS_KIND_INT;
    switch (field->width_bytes) {
    case 1: return is_signed ? (uint64_t)(int8_t)*at : *at;
    case 2: return is_signed ? (uint64_t)(int16_t)bs_load_u16(at) : bs_load_u16(at);
    case 4: return is_signed ? (uint64_t)(int32_t)bs_load_u32(at) : bs_load_u32(at);
    default: return bs_load_u64(at);
    }
}

static bool code_has_value(const struct window *window, uint64_t row)
{
    const uint64_t code =
        code_at(&window->node->field, window->array->buffers[1], window->at + row);
    return code < (uint64_t)window->array->dictionary->length; /* one below 0 is larger than all */
}

/* Each code has its value. Those in a struct or list that is null may have none: they become null. */
static basalt_status check_codes(struct bs_ipc_body *body, struct window *window, basalt_error *err)
{
    uint64_t bad = 0;
    for (uint64_t row = 0; row < window->count; row++) {
        bad += !window_is_null(window, row) && !code_has_value(window, row);
    }
    if (!bad) return BASALT_OK;
    if (!window->under_nulls) {
        return wrong(window->node, "has a code without a value in its dictionary", err);
    }
    body->validity.count = 0;
    uint8_t *bits = bs_bytes_grow(&body->validity, (size_t)(window->count + 7) / 8);
    if (!bits) return bs_bytes_check(&body->validity, err);
    memset(bits, 0, (size_t)(window->count + 7) / 8);
    for (uint64_t row = 0; row < window->count; row++) {
        if (window_is_null(window, row) || !code_has_value(window, row)) continue;
        bits[row / 8] = (uint8_t)(bits[row / 8] | 1u << (row % 8));
    }
    window->nulls += bad;
    window->validity = bits;
    window->validity_at = 0;
    return BASALT_OK;
}

static basalt_status add_column(struct bs_ipc_body *body, const struct bs_ipc_node *node,
    const struct ArrowArray *array, uint64_t first, uint64_t count, bool under_nulls,
    basalt_error *err);

static bool nulls_above(const struct window *window)
{
    return window->under_nulls || window->nulls;
}

static basalt_status add_lists(
    struct bs_ipc_body *body, const struct window *window, basalt_error *err)
{
    uint64_t first = 0, end = 0;
    const basalt_status status = add_offsets(body, window, &first, &end, err);
    if (status) return status;
    return add_column(body, window->node->children, window->array->children[0], first, end - first,
        nulls_above(window), err);
}

static basalt_status add_rows(
    struct bs_ipc_body *body, const struct window *window, basalt_error *err)
{
    const uint64_t size = window->node->list_size;
    if (size && window->at + window->count > INT64_MAX / size) {
        return wrong(window->node, "has more values than there can be", err);
    }
    return add_column(body, window->node->children, window->array->children[0], window->at * size,
        window->count * size, nulls_above(window), err);
}

static basalt_status add_members(
    struct bs_ipc_body *body, const struct window *window, basalt_error *err)
{
    for (size_t i = 0; i < window->node->child_count; i++) {
        const basalt_status status = add_column(body, &window->node->children[i],
            window->array->children[i], window->at, window->count, nulls_above(window), err);
        if (status) return status;
    }
    return BASALT_OK;
}

/* A union: whose value each row is, then all members. */
static basalt_status add_union(
    struct bs_ipc_body *body, const struct window *window, basalt_error *err)
{
    const struct bs_ipc_node *node = window->node;
    const uint8_t *ids = window->count ? window->array->buffers[0] : NULL;
    if (window->count && !ids) return wrong(node, "has no values", err);
    for (uint64_t row = 0; row < window->count; row++) {
        if (!node->child_count ||
            !memchr(node->member_ids, ids[window->at + row], node->child_count)) {
            return wrong(node, "has a value of a member that its type does not have", err);
        }
    }
    uint8_t *out = add_buffer(body, window->count);
    if (out) memcpy(out, ids + window->at, (size_t)window->count);
    return add_members(body, window, err);
}

/* Behind its validity. */
static basalt_status add_parts(
    struct bs_ipc_body *body, const struct window *window, basalt_error *err)
{
    switch (window->node->layout) {
    case BS_IPC_OF_NULLS: return BASALT_OK;
    case BS_IPC_OF_BITS: add_bits(body, window); return BASALT_OK;
    case BS_IPC_OF_VALUES: add_values(body, window); return BASALT_OK;
    case BS_IPC_OF_BYTES: return add_texts(body, window, err);
    case BS_IPC_OF_LISTS: return add_lists(body, window, err);
    case BS_IPC_OF_ROWS: return add_rows(body, window, err);
    case BS_IPC_OF_CHILDREN: return add_members(body, window, err);
    case BS_IPC_OF_MEMBERS: return add_union(body, window, err);
    }
    return BASALT_OK;
}

static basalt_status add_column(struct bs_ipc_body *body, const struct bs_ipc_node *node,
    const struct ArrowArray *array, uint64_t first, uint64_t count, bool under_nulls,
    basalt_error *err)
{
    struct window window = {.node = node,
        .array = array,
        .at = first + (uint64_t)array->offset,
        .count = count,
        .under_nulls = under_nulls};
    if (first > (uint64_t)array->length || count > (uint64_t)array->length - first) {
        return wrong(node, "is shorter than what it belongs to", err);
    }
    if (window.at + count > INT64_MAX) return wrong(node, "ends beyond all memory", err);
    if (count && buffers_wanted(node) > 1 && !array->buffers[1]) {
        return wrong(node, "has no values", err);
    }
    find_nulls(&window);
    basalt_status status = node->dictionary ? check_codes(body, &window, err) : BASALT_OK;
    if (status) return status;
    add_validity(body, &window);
    status = add_parts(body, &window, err);
    return status ? status : bs_bytes_check(&body->bytes, err);
}

basalt_status bs_ipc_body_add(struct bs_ipc_body *body, const struct bs_ipc_node *node,
    const struct ArrowArray *array, uint64_t first, uint64_t count, basalt_error *err)
{
    basalt_status status = add_column(body, node, array, first, count, false, err);
    if (!status) status = bs_bytes_check(&body->nodes, err);
    return status ? status : bs_bytes_check(&body->buffers, err);
}
