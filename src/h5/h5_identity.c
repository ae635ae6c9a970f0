/* h5_identity.c - the attributes of /.basalt: who wrote the file, and up to where. */
#include "h5/h5_internal.h"

#include <inttypes.h>

static basalt_status read_number(const struct bs_h5_object *group, const char *name,
    uint64_t value_max, uint64_t *out_value, basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(group, name);

    *out_value = 0;
    if (!attribute)
        return bs_fail(
            err, BASALT_CORRUPT, BASALT_NO_OFFSET, "the group /.basalt has no attribute %s", name);
    basalt_status status = bs_h5_attribute_u64(attribute, out_value, err);
    if (!status && *out_value > value_max)
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the attribute %s of /.basalt is too large: %" PRIu64, name, *out_value);
    return status;
}

static basalt_status read_mask(
    const struct bs_h5_object *group, const char *name, uint32_t *out_value, basalt_error *err)
{
    uint64_t value = 0;
    basalt_status status = read_number(group, name, UINT32_MAX, &value, err);
    *out_value = (uint32_t)value;
    return status;
}

static basalt_status read_uuid(const struct bs_h5_object *group, uint8_t out[16], basalt_error *err)
{
    const struct bs_h5_attribute *attribute = bs_h5_attribute_find(group, "store_uuid");

    if (!attribute || attribute->type->kind != BS_H5_INTEGER || attribute->type->size_bytes != 1 ||
        attribute->byte_count != 16)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the group /.basalt has no attribute store_uuid of 16 bytes");
    memcpy(out, attribute->bytes, 16);
    return BASALT_OK;
}

static basalt_status read_identity(
    const struct bs_h5_object *group, struct bs_h5_identity *identity, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    BS_TRY(read_uuid(group, identity->store_uuid, err));
    BS_TRY(read_mask(group, "format_version", &identity->format_version, err));
    BS_TRY(read_mask(group, "feature_compatible", &identity->feature_compatible, err));
    BS_TRY(read_mask(group, "feature_read_only", &identity->feature_read_only, err));
    BS_TRY(read_mask(group, "feature_refuse", &identity->feature_refuse, err));
    BS_TRY(read_number(group, "commit", UINT64_MAX, &identity->commit, err));
    BS_TRY(read_number(group, "log_position", UINT64_MAX, &identity->log_position, err));
    BS_TRY(read_number(group, "root_address", UINT64_MAX, &identity->root, err));
    BS_TRY(read_number(group, "end_of_file", UINT64_MAX, &identity->end_of_file, err));
    if (identity->feature_compatible & BS_H5_FEATURE_STATISTICS) {
        BS_TRY(
            read_number(group, "statistics_commit", UINT64_MAX, &identity->statistics_commit, err));
        BS_TRY(
            read_number(group, "statistics_since", UINT64_MAX, &identity->statistics_since, err));
    }
    if (identity->feature_read_only & BS_H5_FEATURE_CLOSED_MARK) {
        uint64_t closed;
        BS_TRY(read_number(group, "closed", 1, &closed, err));
        identity->closed = closed != 0;
    }
out:
    return status;
}

basalt_status bs_h5_identity_read(
    struct bs_h5_file *h5, struct bs_h5_identity *out_identity, basalt_error *err)
{
    struct bs_h5_object *group = NULL;
    struct bs_h5_identity identity = {0};

    memset(out_identity, 0, sizeof *out_identity);
    basalt_status status = bs_h5_object_open_path(h5, "/.basalt", &group, err);
    if (status == BASALT_NOT_FOUND)
        return bs_fail(err, status, BASALT_NO_OFFSET,
            "the file has no group /.basalt: it was not made by Basalt");
    if (status) return status;
    status = read_identity(group, &identity, err);
    bs_h5_object_close(group);
    if (!status) *out_identity = identity;
    return status;
}

bool bs_h5_identity_is_last(
    const struct bs_h5_superblock *superblock, const struct bs_h5_identity *identity)
{
    return identity->root == superblock->root && identity->end_of_file == superblock->end_of_file &&
        (identity->feature_compatible & BS_H5_FEATURE_STATISTICS) &&
        identity->statistics_commit == identity->commit;
}
