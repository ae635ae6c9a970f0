/* write.c - basalt/write.h. A basalt_txn is a struct bs_txn under its public name. */
#include "api/api_internal.h"

static basalt_status check_durability(basalt_durability durability, basalt_error *err)
{
    if ((unsigned)durability <= BASALT_SYNC) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the durability %d is unknown",
        (int)durability);
}

static struct bs_txn *inner(basalt_txn *txn)
{
    return (struct bs_txn *)(void *)txn;
}

basalt_status basalt_append(basalt_store *store, const char *family, const struct ArrowArray *array,
    const struct ArrowSchema *schema, basalt_durability durability, basalt_error *err)
{
    BS_API_NEEDS(store);
    BS_API_NEEDS(family);
    BS_API_NEEDS(array);
    const basalt_status status = check_durability(durability, err);
    return status ? status : bs_store_append(store->store, family, array, schema, durability, err);
}

basalt_status basalt_append_stream(basalt_store *store, const char *family,
    struct ArrowArrayStream *stream, const basalt_family_options *options,
    basalt_durability durability, uint64_t *out_rows, basalt_error *err)
{
    uint64_t rows = 0;
    BS_API_NEEDS(store);
    BS_API_NEEDS(family);
    BS_API_NEEDS(stream);
    if (!stream->release) {
        return bs_fail(
            err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the stream is released already");
    }
    basalt_status status = check_durability(durability, err);
    if (!status) {
        status =
            bs_store_append_stream(store->store, family, stream, options, durability, &rows, err);
    } else {
        stream->release(stream);
    }
    if (out_rows) *out_rows = rows;
    return status;
}

basalt_status basalt_txn_begin(basalt_store *store, basalt_txn **out_txn, basalt_error *err)
{
    struct bs_txn *txn = NULL;
    BS_API_NEEDS(out_txn);
    *out_txn = NULL;
    BS_API_NEEDS(store);
    const basalt_status status = bs_txn_begin(store->store, &txn, err);
    *out_txn = (basalt_txn *)(void *)txn;
    return status;
}

basalt_status basalt_txn_append(basalt_txn *txn, const char *family, const struct ArrowArray *array,
    const struct ArrowSchema *schema, basalt_error *err)
{
    BS_API_NEEDS(txn);
    BS_API_NEEDS(family);
    BS_API_NEEDS(array);
    return bs_txn_append(inner(txn), family, array, schema, err);
}

basalt_status basalt_txn_commit(basalt_txn **txn, basalt_durability durability, basalt_error *err)
{
    BS_API_NEEDS(txn);
    BS_API_NEEDS(*txn);
    struct bs_txn *gone = inner(*txn);
    *txn = NULL;
    basalt_status status = check_durability(durability, err);
    if (!status) status = bs_txn_commit(&gone, durability, err);
    bs_txn_rollback(&gone);
    return status;
}

void basalt_txn_rollback(basalt_txn **txn)
{
    if (!txn || !*txn) return;
    struct bs_txn *gone = inner(*txn);
    *txn = NULL;
    bs_txn_rollback(&gone);
}
