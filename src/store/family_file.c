/* family_file.c - a family as a group of the file: its names, types, attributes and datasets.
 *
 *   /<family>             attributes instrument_id, created_at, the user's own, and with a row index
 *                         those of an AnnData dataframe: encoding-type, encoding-version, _index,
 *                         column-order (links of the 1-D columns that anndata reads)
 *   /<family>/<column>    one dataset; for a nullable integer or boolean a group {values, mask}
 *   /<family>/_index      int64 row numbers; gives way to a column of that name (_row, _row2, ...)
 *   /<family>/schema      the Arrow schema as JSON; left out if a column has that name
 *   /<family>/.basalt     attributes id, compression_level, chunk_rows, row_index, created_ns
 *     ipc_schema          the Arrow IPC schema message
 *     validity:<column>   uint8, 1 = there, from the column's first null on; rows that it does not
 *                         have are there
 *
 * The form of a column follows from its field alone, so no first null ever changes it. */
#include "store/store_internal.h"

#include <stdio.h>

enum bs_form bs_field_form(const struct bs_field *field)
{
    const bool whole =
        field->kind == BS_KIND_INT || field->kind == BS_KIND_UINT || field->kind == BS_KIND_BOOL;
    return field->nullable && whole ? BS_FORM_MASKED : BS_FORM_PLAIN;
}

basalt_status bs_field_type(
    const struct bs_field *field, struct bs_h5_type **out_type, basalt_error *err)
{
    switch (field->kind) {
    case BS_KIND_BOOL: *out_type = bs_h5_type_bool(); break;
    case BS_KIND_UINT: *out_type = bs_h5_type_integer(field->width_bytes, false); break;
    case BS_KIND_FLOAT: *out_type = bs_h5_type_float(field->width_bytes); break;
    case BS_KIND_TEXT: *out_type = bs_h5_type_variable_string(); break;
    case BS_KIND_BINARY: *out_type = bs_h5_type_variable_bytes(); break;
    /* No tag: libhdf5 converts opaque data between equal tags only, and h5py asks for none. */
    case BS_KIND_FIXED: *out_type = bs_h5_type_opaque(field->width_bytes, ""); break;
    default: *out_type = bs_h5_type_integer(field->width_bytes, true); break;
    }
    return *out_type ? BASALT_OK : bs_fail_memory(err, sizeof **out_type);
}

/* ---- names --------------------------------------------------------------------------------- */

basalt_status bs_links_create(const struct bs_schema *schema, char ***out_links, basalt_error *err)
{
    struct bs_name_counts {
        uint32_t hash, next;
    } *nodes = NULL; /* chains of equal hashes */
    const size_t count = schema->field_count;
    size_t buckets = 1;
    uint32_t *heads = NULL;
    char **links = bs_alloc_zeroed(count, sizeof *links);
    basalt_status status = BASALT_OK;
    *out_links = NULL;
    while (buckets < count * 2) buckets *= 2;
    nodes = bs_alloc_zeroed(count, sizeof *nodes);
    heads = bs_alloc_zeroed(buckets, sizeof *heads);
    if (!links || !nodes || !heads) {
        status = bs_fail_memory(err, count * sizeof *links);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        struct bs_bytes link = {0};
        const char *name = schema->fields[i].name;
        uint64_t repeat = 1;
        nodes[i].hash = bs_lookup3(name, strlen(name), 0);
        uint32_t *head = &heads[nodes[i].hash & (buckets - 1)];
        for (uint32_t at = *head; at; at = nodes[at - 1].next) {
            repeat +=
                nodes[at - 1].hash == nodes[i].hash && !strcmp(schema->fields[at - 1].name, name);
        }
        nodes[i].next = *head;
        *head = (uint32_t)i + 1;
        bs_name_escape(name, strlen(name), repeat, &link);
        bs_bytes_u8(&link, 0);
        links[i] = (char *)link.data;
        if (link.failed) bs_bytes_free(&link);
        if (link.failed || !links[i]) {
            links[i] = NULL;
            status = bs_fail_memory(err, strlen(name));
            goto out;
        }
    }
    *out_links = links;
    links = NULL;
out:
    bs_free(heads);
    bs_free(nodes);
    bs_links_free(links, count);
    return status;
}

void bs_links_free(char **links, size_t count)
{
    for (size_t i = 0; links && i < count; i++) bs_free(links[i]);
    bs_free(links);
}

bool bs_link_taken(char *const *links, size_t count, const char *link)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(links[i], link)) return true;
    }
    return false;
}

static void index_link(char *const *links, size_t count, char out[32])
{
    snprintf(out, 32, "_index");
    for (unsigned k = 1; bs_link_taken(links, count, out); k++) {
        snprintf(out, 32, k == 1 ? "_row" : "_row%u", k);
    }
}

basalt_status bs_family_path(
    const char *name, const char *below, char **out_path, basalt_error *err)
{
    struct bs_bytes path = {0};
    *out_path = NULL;
    bs_bytes_u8(&path, '/');
    bs_name_escape(name, strlen(name), 1, &path);
    if (below) {
        bs_bytes_u8(&path, '/');
        bs_bytes_put(&path, below, strlen(below));
    }
    bs_bytes_u8(&path, 0);
    const basalt_status status = bs_bytes_check(&path, err);
    if (status) {
        bs_bytes_free(&path);
        return status;
    }
    *out_path = (char *)path.data;
    return BASALT_OK;
}

/* "validity:<link>" */
static basalt_status validity_name(const char *link, struct bs_bytes *out, basalt_error *err)
{
    bs_bytes_text(out, "validity:%s", link);
    bs_bytes_u8(out, 0);
    return bs_bytes_check(out, err);
}

/* ---- making a column --------------------------------------------------------------------------- */

static void add_filter(struct bs_pipeline *pipeline, uint16_t id, uint16_t flags,
    bool has_parameter, uint32_t parameter)
{
    struct bs_filter *filter = &pipeline->filters[pipeline->count++];
    *filter = (struct bs_filter){.id = id, .flags = flags, .parameter_count = has_parameter};
    filter->parameters[0] = parameter;
}

static void make_pipeline(int level, uint32_t element_bytes, struct bs_pipeline *out)
{
    memset(out, 0, sizeof *out);
    if (!level) {
        add_filter(out, BS_FILTER_FLETCHER32, 0, false, 0);
        return;
    }
    if (element_bytes > 1) add_filter(out, BS_FILTER_SHUFFLE, 1, true, element_bytes);
    /* Not optional: left out where it does not shrink, a chunk would have no checksum at all. */
    add_filter(out, BS_FILTER_DEFLATE, 0, true, (uint32_t)level);
}

static basalt_status make_dataset(const struct bs_file_work *work, const struct bs_family *family,
    struct bs_h5_node *parent, const char *link, const struct bs_h5_type *type, const void *fill,
    struct bs_h5_node **out_node, basalt_error *err)
{
    struct bs_h5_column_spec spec = {.type = type, .fill = fill};
    spec.chunk_rows = atomic_load_explicit(&family->chunk_rows_now, memory_order_relaxed);
    make_pipeline(family->compression_level, type->size_bytes, &spec.pipeline);
    return bs_h5_make_column(work->writer, parent, link, &spec, out_node, err);
}

static basalt_status set_encoding(const struct bs_file_work *work, struct bs_h5_node *node,
    const char *type, const char *version, basalt_error *err)
{
    basalt_status status = bs_h5_set_attribute_text(work->writer, node, "encoding-type", type, err);
    if (!status) {
        status = bs_h5_set_attribute_text(work->writer, node, "encoding-version", version, err);
    }
    return status;
}

static basalt_status make_masked(const struct bs_file_work *work, const struct bs_family *family,
    const struct bs_field *field, const char *link, const struct bs_h5_type *type,
    struct bs_column_file *out, basalt_error *err)
{
    struct bs_h5_node *group = NULL;
    struct bs_h5_type *mask = bs_h5_type_bool();
    basalt_status status = BASALT_OK;
    if (!mask) return bs_fail_memory(err, sizeof *mask);
    BS_TRY(bs_h5_make_group(work->writer, family->file->group, link, &group, err));
    BS_TRY(set_encoding(work, group,
        field->kind == BS_KIND_BOOL ? "nullable-boolean" : "nullable-integer", "0.1.0", err));
    BS_TRY(make_dataset(work, family, group, "values", type, NULL, &out->values, err));
    BS_TRY(make_dataset(work, family, group, "mask", mask, NULL, &out->mask, err));
out:
    bs_h5_type_free(mask);
    return status;
}

static basalt_status make_column(const struct bs_file_work *work, const struct bs_family *family,
    size_t index, basalt_error *err)
{
    const struct bs_field *field = &family->schema->fields[index];
    struct bs_column_file *column = &family->file->columns[index];
    const char *link = family->file->links[index];
    struct bs_h5_type *type = NULL;
    basalt_status status = bs_field_type(field, &type, err);
    if (status) return status;
    if (bs_field_form(field) == BS_FORM_MASKED) {
        status = make_masked(work, family, field, link, type, column, err);
        goto out;
    }
    BS_TRY(make_dataset(work, family, family->file->group, link, type, NULL, &column->values, err));
    if (field->kind == BS_KIND_TEXT) {
        BS_TRY(set_encoding(work, column->values, "string-array", "0.2.0", err));
    }
    if (field->unit) {
        BS_TRY(bs_h5_set_attribute_text(work->writer, column->values, "unit", field->unit, err));
    }
    if (field->zone && *field->zone) {
        BS_TRY(
            bs_h5_set_attribute_text(work->writer, column->values, "timezone", field->zone, err));
    }
out:
    bs_h5_type_free(type);
    return status;
}

basalt_status bs_family_file_validity(const struct bs_file_work *work,
    const struct bs_family *family, size_t field, basalt_error *err)
{
    const uint8_t there = 1;
    struct bs_bytes name = {0};
    struct bs_h5_type *type = bs_h5_type_integer(1, false);
    basalt_status status = BASALT_OK;
    if (!type) return bs_fail_memory(err, sizeof *type);
    BS_TRY(validity_name(family->file->links[field], &name, err));
    BS_TRY(make_dataset(work, family, family->file->own, (const char *)name.data, type, &there,
        &family->file->columns[field].mask, err));
out:
    bs_bytes_free(&name);
    bs_h5_type_free(type);
    return status;
}

/* ---- making a family ------------------------------------------------------------------------- */

static bool anndata_reads(const struct bs_field *field)
{
    return field->kind != BS_KIND_BINARY && field->kind != BS_KIND_FIXED;
}

/* The links of the columns that anndata reads, as one array of fixed-length texts; left out if it
 * would be over what an attribute may hold. */
static basalt_status set_column_order(
    const struct bs_file_work *work, const struct bs_family *family, basalt_error *err)
{
    const struct bs_schema *schema = family->schema;
    struct bs_h5_space space = {.rank = 1};
    struct bs_h5_type *type = NULL;
    struct bs_bytes texts = {0};
    size_t longest = 1;
    basalt_status status = BASALT_OK;
    for (size_t i = 0; i < schema->field_count; i++) {
        if (!anndata_reads(&schema->fields[i])) continue;
        longest = BS_MAX(longest, strlen(family->file->links[i]));
        space.dims[0]++;
    }
    space.max_dims[0] = space.dims[0];
    if (!space.dims[0] || space.dims[0] * longest > BS_H5_ATTRIBUTE_BYTES_MAX) return BASALT_OK;
    for (size_t i = 0; i < schema->field_count; i++) {
        const char *link = family->file->links[i];
        if (!anndata_reads(&schema->fields[i])) continue;
        bs_bytes_put(&texts, link, strlen(link));
        bs_bytes_zeros(&texts, longest - strlen(link));
    }
    BS_TRY(bs_bytes_check(&texts, err));
    type = bs_h5_type_string((uint32_t)longest);
    if (!type) {
        status = bs_fail_memory(err, sizeof *type);
        goto out;
    }
    BS_TRY(bs_h5_set_attribute(
        work->writer, family->file->group, "column-order", type, &space, texts.data, err));
out:
    bs_h5_type_free(type);
    bs_bytes_free(&texts);
    return status;
}

static basalt_status make_index(
    const struct bs_file_work *work, const struct bs_family *family, basalt_error *err)
{
    char link[32];
    struct bs_h5_type *type = bs_h5_type_integer(8, true);
    basalt_status status = BASALT_OK;
    if (!type) return bs_fail_memory(err, sizeof *type);
    struct bs_h5_column_spec spec = {.type = type};
    index_link(family->file->links, family->schema->field_count, link);
    spec.chunk_rows = atomic_load_explicit(&family->chunk_rows_now, memory_order_relaxed);
    make_pipeline(1, 8, &spec.pipeline);
    BS_TRY(bs_h5_make_column(
        work->writer, family->file->group, link, &spec, &family->file->index, err));
    BS_TRY(set_encoding(work, family->file->group, "dataframe", "0.2.0", err));
    BS_TRY(bs_h5_set_attribute_text(work->writer, family->file->group, "_index", link, err));
    BS_TRY(set_column_order(work, family, err));
out:
    bs_h5_type_free(type);
    return status;
}

static basalt_status make_fixed(const struct bs_file_work *work, struct bs_h5_node *parent,
    const char *name, struct bs_h5_type *type, const struct bs_h5_space *space, const void *data,
    basalt_error *err)
{
    struct bs_h5_node *node;
    if (!type) return bs_fail_memory(err, sizeof *type);
    const basalt_status status =
        bs_h5_make_fixed(work->writer, parent, name, type, space, data, &node, err);
    bs_h5_type_free(type);
    return status;
}

static basalt_status make_schemas(
    const struct bs_file_work *work, const struct bs_family *family, basalt_error *err)
{
    struct bs_bytes text = {0}, ipc = {0};
    basalt_status status = BASALT_OK;
    struct bs_h5_space space = {.rank = 1};
    BS_TRY(bs_schema_encode(family->schema, &ipc, err));
    space.dims[0] = space.max_dims[0] = ipc.count;
    BS_TRY(make_fixed(work, family->file->own, "ipc_schema", bs_h5_type_integer(1, false), &space,
        ipc.data, err));
    if (bs_link_taken(family->file->links, family->schema->field_count, "schema")) goto out;
    BS_TRY(bs_schema_json(family->schema, &text, err));
    BS_TRY(bs_bytes_check(&text, err));
    space = (struct bs_h5_space){.rank = 0};
    BS_TRY(make_fixed(work, family->file->group, "schema", bs_h5_type_string((uint32_t)text.count),
        &space, text.data, err));
out:
    bs_bytes_free(&text);
    bs_bytes_free(&ipc);
    return status;
}

static basalt_status make_own(
    const struct bs_file_work *work, const struct bs_family *family, basalt_error *err)
{
    char time[64];
    struct bs_h5_writer *writer = work->writer;
    struct bs_family_file *file = family->file;
    basalt_status status = BASALT_OK;
    bs_format_time(family->created_wall_ns, time, sizeof time);
    BS_TRY(bs_h5_set_attribute_text(writer, file->group, "instrument_id", family->name, err));
    BS_TRY(bs_h5_set_attribute_text(writer, file->group, "created_at", time, err));
    BS_TRY(bs_h5_make_group(writer, file->group, ".basalt", &file->own, err));
    BS_TRY(bs_h5_set_attribute_u64(writer, file->own, "id", family->id, err));
    BS_TRY(bs_h5_set_attribute_u64(
        writer, file->own, "compression_level", (uint64_t)family->compression_level, err));
    BS_TRY(bs_h5_set_attribute_u64(writer, file->own, "chunk_rows", family->chunk_rows, err));
    BS_TRY(bs_h5_set_attribute_u64(writer, file->own, "row_index", family->row_index, err));
    BS_TRY(bs_h5_set_attribute_u64(writer, file->own, "created_ns", family->created_wall_ns, err));
out:
    return status;
}

static basalt_status file_new(
    const struct bs_family *family, struct bs_family_file **out_file, basalt_error *err)
{
    struct bs_family_file *file = bs_alloc_zeroed(1, sizeof *file);
    basalt_status status = BASALT_OK;
    *out_file = NULL;
    if (!file) return bs_fail_memory(err, sizeof *file);
    file->column_count = family->schema->field_count;
    file->columns = bs_alloc_zeroed(file->column_count, sizeof *file->columns);
    if (!file->columns) {
        status = bs_fail_memory(err, file->column_count * sizeof *file->columns);
        goto out;
    }
    BS_TRY(bs_links_create(family->schema, &file->links, err));
    *out_file = file;
    file = NULL;
out:
    bs_family_file_free(file);
    return status;
}

void bs_family_file_free(struct bs_family_file *file)
{
    if (!file) return;
    bs_links_free(file->links, file->column_count);
    for (size_t i = 0; file->columns && i < file->column_count; i++) {
        bs_tally_free(&file->columns[i].tally);
    }
    bs_free(file->columns);
    bs_free(file);
}

/* The link of the family in the root, with its NUL. */
static basalt_status family_link(
    const struct bs_family *family, struct bs_bytes *out, basalt_error *err)
{
    bs_name_escape(family->name, strlen(family->name), 1, out);
    bs_bytes_u8(out, 0);
    return bs_bytes_check(out, err);
}

basalt_status bs_family_file_create(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    struct bs_bytes link = {0};
    basalt_status status = BASALT_OK;
    assert(!family->file);
    BS_TRY(family_link(family, &link, err));
    BS_TRY(file_new(family, &family->file, err));
    BS_TRY(bs_h5_make_group(work->writer, bs_h5_root(work->writer), (const char *)link.data,
        &family->file->group, err));
    BS_TRY(make_own(work, family, err));
    for (size_t i = 0; i < family->schema->field_count; i++) {
        BS_TRY(make_column(work, family, i, err));
    }
    if (family->row_index) BS_TRY(make_index(work, family, err));
    BS_TRY(make_schemas(work, family, err));
out:
    bs_bytes_free(&link);
    return status;
}

/* ---- finding what an earlier session made ------------------------------------------------------- */

static basalt_status open_column(
    const struct bs_file_work *work, struct bs_family *family, size_t index, basalt_error *err)
{
    struct bs_column_file *column = &family->file->columns[index];
    struct bs_h5_node *node;
    struct bs_bytes name = {0};
    basalt_status status =
        bs_h5_child(work->writer, family->file->group, family->file->links[index], &node, err);
    if (status) return status;
    if (bs_field_form(&family->schema->fields[index]) == BS_FORM_MASKED) {
        status = bs_h5_child(work->writer, node, "values", &column->values, err);
        if (!status) status = bs_h5_child(work->writer, node, "mask", &column->mask, err);
        return status;
    }
    column->values = node;
    BS_TRY(validity_name(family->file->links[index], &name, err));
    status =
        bs_h5_child(work->writer, family->file->own, (const char *)name.data, &column->mask, NULL);
    if (status == BASALT_NOT_FOUND) {
        column->mask = NULL;
        status = BASALT_OK;
    } else if (status) {
        status = bs_fail(err, status, BASALT_NO_OFFSET,
            "the validity of column \"%.80s\" can't be read", family->file->links[index]);
    }
out:
    bs_bytes_free(&name);
    return status;
}

basalt_status bs_family_file_open(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    struct bs_bytes link = {0};
    char index[32];
    struct bs_family_file *file = NULL;
    basalt_status status = BASALT_OK;
    if (family->file) return BASALT_OK;
    BS_TRY(family_link(family, &link, err));
    BS_TRY(file_new(family, &family->file, err));
    file = family->file;
    BS_TRY(bs_h5_child(
        work->writer, bs_h5_root(work->writer), (const char *)link.data, &file->group, err));
    BS_TRY(bs_h5_child(work->writer, file->group, ".basalt", &file->own, err));
    for (size_t i = 0; i < file->column_count; i++) BS_TRY(open_column(work, family, i, err));
    if (family->row_index) {
        index_link(file->links, file->column_count, index);
        BS_TRY(bs_h5_child(work->writer, file->group, index, &file->index, err));
    }
    file->rows = bs_h5_rows(file->columns[0].values);
    for (size_t i = 0; i < file->column_count; i++) {
        bs_tally_begin(&file->columns[i].tally, bs_h5_rows(file->columns[i].values));
    }
    atomic_store_explicit(
        &family->chunk_rows_now, bs_h5_chunk_rows(file->columns[0].values), memory_order_relaxed);
out:
    if (status) {
        bs_family_file_free(family->file);
        family->file = NULL;
        bs_error_prefix(err, "the family \"%.80s\" of the file", family->name);
    }
    bs_bytes_free(&link);
    return status;
}
