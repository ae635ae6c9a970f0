/* family.c - basalt/family.h. */
#include "api/api_internal.h"

void basalt_family_options_init(basalt_family_options *options, size_t options_bytes)
{
    basalt_family_options defaults;
    bs_family_options_fill(&defaults, NULL);
    defaults.struct_bytes = options_bytes;
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

basalt_status basalt_family_create(basalt_store *store, const char *name,
    const struct ArrowSchema *schema, const basalt_family_options *options, basalt_error *err)
{
    BS_API_NEEDS(store);
    BS_API_NEEDS(name);
    BS_API_NEEDS(schema);
    return bs_store_family_create(store->store, name, schema, options, err);
}

basalt_status basalt_family_schema(
    basalt_store *store, const char *name, struct ArrowSchema *out_schema, basalt_error *err)
{
    BS_API_NEEDS(out_schema);
    memset(out_schema, 0, sizeof *out_schema);
    BS_API_NEEDS(store);
    BS_API_NEEDS(name);
    return bs_store_family_schema(store->store, name, out_schema, err);
}

basalt_status basalt_each_family(
    basalt_store *store, basalt_family_fn each, void *context, basalt_error *err)
{
    BS_API_NEEDS(store);
    BS_API_NEEDS(each);
    return bs_store_each_family(store->store, each, context, err);
}

basalt_status basalt_family_get_info(
    basalt_store *store, const char *name, basalt_family_info *out_info, basalt_error *err)
{
    BS_API_NEEDS(out_info);
    memset(out_info, 0, sizeof *out_info);
    BS_API_NEEDS(store);
    BS_API_NEEDS(name);
    return bs_store_family_info(store->store, name, out_info, err);
}

/* Gives the text to the caller, with its NUL. */
static basalt_status hand_out(struct bs_bytes *text, char **out, basalt_error *err)
{
    bs_bytes_u8(text, 0);
    const basalt_status status = bs_bytes_check(text, err);
    if (!status) *out = bs_copy_string((const char *)text->data);
    bs_bytes_free(text);
    if (status) return status;
    return *out ? BASALT_OK : bs_fail_memory(err, 1);
}

basalt_status basalt_name_escape(const char *name, char **out_link, basalt_error *err)
{
    struct bs_bytes text = {0};
    BS_API_NEEDS(out_link);
    *out_link = NULL;
    BS_API_NEEDS(name);
    bs_name_escape(name, strlen(name), 1, &text);
    return hand_out(&text, out_link, err);
}

basalt_status basalt_name_unescape(const char *link, char **out_name, basalt_error *err)
{
    struct bs_bytes text = {0};
    uint64_t repeat;
    BS_API_NEEDS(out_name);
    *out_name = NULL;
    BS_API_NEEDS(link);
    const basalt_status status = bs_name_unescape(link, &text, &repeat, err);
    if (!status && !memchr(text.data ? text.data : (const uint8_t *)"", 0, text.count)) {
        return hand_out(&text, out_name, err);
    }
    bs_bytes_free(&text);
    if (status) return status;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "the name of \"%.100s\" has a NUL in it, which a C text cannot hold", link);
}
