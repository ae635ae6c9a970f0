/* ipc_write_nested.c - writes a stream with lists, structs or dictionaries as an Arrow IPC stream.
 *
 * A dictionary goes out before the first batch that uses it, and again where it differs from the one that
 * went out last: each array of the C data interface carries its own. */
#include "arrow/ipc_internal.h"

struct nested {
    basalt_write_fn write;
    void *context;
    struct bs_ipc_node *root;
    struct bs_ipc_body *written; /* each dictionary, as it went out last */
    bool *known;                 /* whether it has gone out at all */
    size_t dictionary_count;
    struct bs_ipc_body body;
    struct bs_bytes message;
};

static basalt_status put(
    const struct nested *nested, const void *bytes, size_t count, basalt_error *err)
{
    if (count == 0) return BASALT_OK;
    const int code = nested->write(nested->context, bytes, count);
    if (!code) return BASALT_OK;
    return bs_fail_os(err, code, BASALT_NO_OFFSET, "writing the Arrow stream failed");
}

/* Lends from the body, which ends on a multiple of 8 from now on. */
static struct bs_ipc_batch describe(struct bs_ipc_body *body, uint64_t rows)
{
    bs_bytes_align(&body->bytes, 8);
    return (struct bs_ipc_batch){.rows = rows,
        .body_bytes = body->bytes.count,
        .nodes = (const struct bs_ipc_pair *)(const void *)body->nodes.data,
        .node_count = body->nodes.count / sizeof(struct bs_ipc_pair),
        .buffers = (const struct bs_ipc_pair *)(const void *)body->buffers.data,
        .buffer_count = body->buffers.count / sizeof(struct bs_ipc_pair)};
}

static basalt_status put_message(struct nested *nested, basalt_error *err)
{
    const struct bs_ipc_body *body = &nested->body;
    const basalt_status status = put(nested, nested->message.data, nested->message.count, err);
    return status ? status : put(nested, body->bytes.data, body->bytes.count, err);
}

static bool same(const struct bs_bytes *a, const struct bs_bytes *b)
{
    return a->count == b->count && (!a->count || memcmp(a->data, b->data, a->count) == 0);
}

static basalt_status write_dictionary(struct nested *nested, const struct bs_ipc_node *node,
    const struct ArrowArray *values, basalt_error *err)
{
    const uint64_t count = (uint64_t)values->length;
    struct bs_ipc_body *last = &nested->written[node->dictionary_id];
    bs_ipc_body_clear(&nested->body);
    basalt_status status = bs_ipc_body_add(&nested->body, node->dictionary, values, 0, count, err);
    if (status) return status;
    const struct bs_ipc_batch batch = describe(&nested->body, count);
    status = bs_bytes_check(&nested->body.bytes, err);
    if (status) return status;
    if (nested->known[node->dictionary_id] && same(&last->bytes, &nested->body.bytes) &&
        same(&last->nodes, &nested->body.nodes) && same(&last->buffers, &nested->body.buffers)) {
        return BASALT_OK;
    }
    nested->message.count = 0;
    status = bs_ipc_encode_dictionary(node->dictionary_id, &batch, &nested->message, err);
    if (!status) status = put_message(nested, err);
    if (status) return status;
    const struct bs_ipc_body kept = *last;
    *last = nested->body;
    nested->body = kept;
    nested->known[node->dictionary_id] = true;
    return BASALT_OK;
}

static basalt_status write_dictionaries(struct nested *nested, const struct bs_ipc_node *node,
    const struct ArrowArray *array, basalt_error *err)
{
    for (size_t i = 0; i < node->child_count; i++) {
        const basalt_status status =
            write_dictionaries(nested, &node->children[i], array->children[i], err);
        if (status) return status;
    }
    return node->dictionary ? write_dictionary(nested, node, array->dictionary, err) : BASALT_OK;
}

static basalt_status write_array(
    struct nested *nested, const struct ArrowArray *array, basalt_error *err)
{
    const struct bs_ipc_node *root = nested->root;
    const uint64_t rows = (uint64_t)array->length;
    basalt_status status = bs_ipc_shape_check(root, array, err);
    if (status) return status;
    if (array->null_count > 0) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "an Arrow array has rows that are null as a whole, which no table has");
    }
    status = write_dictionaries(nested, root, array, err);
    bs_ipc_body_clear(&nested->body);
    for (size_t i = 0; !status && i < root->child_count; i++) {
        status = bs_ipc_body_add(&nested->body, &root->children[i], array->children[i],
            (uint64_t)array->offset, rows, err);
    }
    if (status) return status;
    const struct bs_ipc_batch batch = describe(&nested->body, rows);
    status = bs_bytes_check(&nested->body.bytes, err);
    nested->message.count = 0;
    if (!status) status = bs_ipc_encode_batch(&batch, &nested->message, err);
    return status ? status : put_message(nested, err);
}

static basalt_status open_nested(
    struct nested *nested, const struct ArrowSchema *schema, basalt_error *err)
{
    basalt_status status =
        bs_ipc_node_create(schema, &nested->root, &nested->dictionary_count, err);
    if (status) return status;
    const size_t count = nested->dictionary_count + 1;
    nested->written = bs_alloc_zeroed(count, sizeof *nested->written);
    nested->known = bs_alloc_zeroed(count, sizeof *nested->known);
    if (!nested->written || !nested->known) {
        return bs_fail_memory(err, count * sizeof *nested->written);
    }
    status = bs_ipc_encode_nodes(nested->root, &nested->message, err);
    return status ? status : put(nested, nested->message.data, nested->message.count, err);
}

static void close_nested(struct nested *nested)
{
    for (size_t i = 0; nested->written && i < nested->dictionary_count; i++) {
        bs_ipc_body_free(&nested->written[i]);
    }
    bs_free(nested->written);
    bs_free(nested->known);
    bs_ipc_body_free(&nested->body);
    bs_bytes_free(&nested->message);
    bs_ipc_node_free(nested->root);
}

basalt_status bs_ipc_write_nested(struct ArrowArrayStream *stream, const struct ArrowSchema *schema,
    basalt_write_fn write, void *context, basalt_error *err)
{
    struct nested nested = {.write = write, .context = context};
    struct ArrowArray array = {0};
    bool end = false;
    basalt_status status = open_nested(&nested, schema, err);
    while (!status && !end) {
        status = bs_stream_next(stream, &array, &end, err);
        if (!status && !end) status = write_array(&nested, &array, err);
        if (array.release) array.release(&array);
    }
    if (!status) status = put(&nested, bs_ipc_end_mark, sizeof bs_ipc_end_mark, err);
    close_nested(&nested);
    return status;
}
