/* ipc_node.c - the columns of an Arrow schema of any depth, to be written as IPC. */
#include "arrow/ipc_internal.h"

#define MEMBERS_MAX 128 /* of a union */

struct making {
    size_t dictionaries;
    basalt_error *err;
};

static void clear(struct bs_ipc_node *node)
{
    for (size_t i = 0; node->children && i < node->child_count; i++) clear(&node->children[i]);
    if (node->dictionary) clear(node->dictionary);
    bs_free(node->children);
    bs_free(node->dictionary);
    bs_free(node->member_ids);
    bs_field_clear(&node->field);
}

void bs_ipc_node_free(struct bs_ipc_node *root)
{
    if (!root) return;
    clear(root);
    bs_free(root);
}

static basalt_status refuse(const struct bs_ipc_node *node, const char *what, basalt_error *err)
{
    const struct bs_field *field = &node->field;
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "field \"%.*s\" has the type %s (Arrow format \"%.*s\"), which Basalt does not write as IPC",
        bs_shown(field->name), field->name, what, bs_shown(field->format), field->format);
}

/* ---- formats ----------------------------------------------------------------------------------- */

/* The number that `text` begins with, which ends at `*out_rest`; -1: there is none up to INT32_MAX. */
static int32_t parse_number(const char *text, const char **out_rest)
{
    int64_t number = -1;
    const bool negative = text[0] == '-' && text[1];
    for (text += negative; *text >= '0' && *text <= '9'; text++) {
        number = (number < 0 ? 0 : number) * 10 + (*text - '0');
        if (number > INT32_MAX) return -1;
    }
    *out_rest = text;
    return (int32_t)(negative ? -number : number);
}

/* "d:PRECISION,SCALE" or "d:PRECISION,SCALE,BITS". */
static bool parse_decimal(struct bs_ipc_node *node)
{
    const char *rest = "";
    int32_t bits = 128;
    node->precision = parse_number(node->field.format + 2, &rest);
    if (node->precision < 1 || *rest != ',') return false;
    const char *scale = rest + 1;
    node->scale = parse_number(scale, &rest);
    if (rest == scale || (*rest && *rest != ',')) return false;
    if (*rest == ',') bits = parse_number(rest + 1, &rest);
    if (*rest || (bits != 32 && bits != 64 && bits != 128 && bits != 256)) return false;
    node->type = BS_IPC_DECIMAL;
    node->layout = BS_IPC_OF_VALUES;
    node->width_bytes = (uint32_t)bits / 8;
    return true;
}

static bool parse_interval(struct bs_ipc_node *node)
{
    static const char units[] = {'M', 'D', 'n'}; /* months; days and ms; months, days and ns */
    static const uint32_t widths[] = {4, 8, 16};
    for (uint16_t i = 0; i < 3; i++) {
        if (node->field.format[2] != units[i] || node->field.format[3]) continue;
        node->type = BS_IPC_INTERVAL;
        node->layout = BS_IPC_OF_VALUES;
        node->interval_unit = i;
        node->width_bytes = widths[i];
        return true;
    }
    return false;
}

static bool parse_fixed_list(struct bs_ipc_node *node)
{
    const char *rest = "";
    const int32_t size = parse_number(node->field.format + 3, &rest);
    if (size < 0 || *rest) return false;
    node->type = BS_IPC_FIXED_LIST;
    node->layout = BS_IPC_OF_ROWS;
    node->list_size = (uint32_t)size;
    return true;
}

static bool parse_foreign(struct bs_ipc_node *node)
{
    static const struct {
        const char *format;
        uint8_t type;
        enum bs_ipc_layout layout;
        uint32_t width_bytes;
    } formats[] = {{"n", BS_IPC_NULL, BS_IPC_OF_NULLS, 0}, {"+l", BS_IPC_LIST, BS_IPC_OF_LISTS, 4},
        {"+L", BS_IPC_LARGE_LIST, BS_IPC_OF_LISTS, 8}, {"+m", BS_IPC_MAP, BS_IPC_OF_LISTS, 4},
        {"+s", BS_IPC_STRUCT, BS_IPC_OF_CHILDREN, 0}};
    const char *format = node->field.format;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(formats); i++) {
        if (strcmp(format, formats[i].format) != 0) continue;
        node->type = formats[i].type;
        node->layout = formats[i].layout;
        node->width_bytes = formats[i].width_bytes;
        return true;
    }
    if (!strncmp(format, "+us:", 4)) {
        node->type = BS_IPC_UNION;
        node->layout = BS_IPC_OF_MEMBERS;
        return true;
    }
    if (!strncmp(format, "+w:", 3)) return parse_fixed_list(node);
    if (!strncmp(format, "ti", 2)) return parse_interval(node);
    return !strncmp(format, "d:", 2) && parse_decimal(node);
}

/* Types that a bs_schema has as well. */
static void take_plain(struct bs_ipc_node *node)
{
    const struct bs_field *field = &node->field;
    const bool wide = field->format[0] == 'U' || field->format[0] == 'Z';
    node->type = bs_ipc_type_number(field);
    node->layout = field->kind == BS_KIND_BOOL ? BS_IPC_OF_BITS
        : field->width_bytes                   ? BS_IPC_OF_VALUES
                                               : BS_IPC_OF_BYTES;
    node->width_bytes = field->width_bytes ? field->width_bytes : wide ? 8 : 4;
}

static bool is_plain(const char *format)
{
    return format[0] && (!strchr("n+dv", format[0])) && strncmp(format, "ti", 2) != 0;
}

static basalt_status take_type(
    struct bs_ipc_node *node, const struct ArrowSchema *arrow, size_t index, basalt_error *err)
{
    const char *name = arrow->name ? arrow->name : "";
    const bool nullable = (arrow->flags & ARROW_FLAG_NULLABLE) != 0;
    basalt_status status;
    if (is_plain(arrow->format)) {
        status = bs_field_make(&node->field, index, name, arrow->format, nullable, err);
        if (!status) take_plain(node);
    } else {
        status = bs_field_name(&node->field, index, name, arrow->format, nullable, err);
        if (!status && !parse_foreign(node)) {
            status = refuse(node, bs_foreign_type_name(arrow->format), err);
        }
    }
    if (status) return status;
    return bs_metadata_copy(
        arrow->metadata, &node->field.metadata, &node->field.metadata_bytes, err);
}

/* ---- trees ------------------------------------------------------------------------------------- */

/* How many children a column with this layout has; -1: any number. */
static int64_t children_wanted(const struct bs_ipc_node *node)
{
    switch (node->layout) {
    case BS_IPC_OF_LISTS:
    case BS_IPC_OF_ROWS: return 1;
    case BS_IPC_OF_CHILDREN:
    case BS_IPC_OF_MEMBERS: return -1;
    default: return 0;
    }
}

/* "+us:0,1,5": an id from 0 to 127 for each child, no two the same. */
static basalt_status take_member_ids(struct bs_ipc_node *node, basalt_error *err)
{
    bool taken[MEMBERS_MAX] = {false};
    const char *rest = node->field.format + 4;
    node->member_ids = bs_alloc_zeroed(node->child_count + 1, 1);
    if (!node->member_ids) return bs_fail_memory(err, node->child_count);
    for (size_t i = 0; i < node->child_count; i++) {
        const char *text = rest + (i > 0);
        if (i && *rest != ',') return refuse(node, "sparse_union, of other members", err);
        const int32_t id = parse_number(text, &rest);
        if (rest == text || id < 0 || id >= MEMBERS_MAX || taken[id]) {
            return refuse(node, "sparse_union, of other members", err);
        }
        taken[id] = true;
        node->member_ids[i] = (uint8_t)id;
    }
    return *rest ? refuse(node, "sparse_union, of other members", err) : BASALT_OK;
}

static basalt_status take(struct making *making, struct bs_ipc_node *node,
    const struct ArrowSchema *arrow, size_t index, int depth);

static basalt_status take_children(
    struct making *making, struct bs_ipc_node *node, const struct ArrowSchema *arrow, int depth)
{
    const int64_t wanted = children_wanted(node);
    if (arrow->n_children < 0 || arrow->n_children > BS_FIELDS_MAX ||
        (wanted >= 0 && arrow->n_children != wanted) || (arrow->n_children && !arrow->children)) {
        return bs_fail(making->err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "field \"%.*s\" of the Arrow schema has %" PRId64 " children, which its type does not",
            bs_shown(node->field.name), node->field.name, arrow->n_children);
    }
    if (!arrow->n_children) return BASALT_OK;
    node->child_count = (size_t)arrow->n_children;
    node->children = bs_alloc_zeroed(node->child_count, sizeof *node->children);
    if (!node->children) {
        return bs_fail_memory(making->err, node->child_count * sizeof *node->children);
    }
    for (size_t i = 0; i < node->child_count; i++) {
        const basalt_status status =
            take(making, &node->children[i], arrow->children[i], i, depth + 1);
        if (status) return status;
    }
    return BASALT_OK;
}

static basalt_status take_dictionary(
    struct making *making, struct bs_ipc_node *node, const struct ArrowSchema *arrow, int depth)
{
    const size_t before = making->dictionaries;
    if (node->field.kind != BS_KIND_INT && node->field.kind != BS_KIND_UINT) {
        return refuse(node, "dictionary, with codes that are no integers", making->err);
    }
    node->dictionary = bs_alloc_zeroed(1, sizeof *node->dictionary);
    if (!node->dictionary) return bs_fail_memory(making->err, sizeof *node->dictionary);
    node->ordered = (arrow->flags & ARROW_FLAG_DICTIONARY_ORDERED) != 0;
    const basalt_status status = take(making, node->dictionary, arrow->dictionary, 0, depth + 1);
    if (status) return status;
    if (making->dictionaries != before) {
        return refuse(node, "dictionary of dictionaries", making->err);
    }
    node->dictionary_id = (int64_t)making->dictionaries++;
    return BASALT_OK;
}

static basalt_status take(struct making *making, struct bs_ipc_node *node,
    const struct ArrowSchema *arrow, size_t index, int depth)
{
    if (!arrow || !arrow->release || !arrow->format) {
        return bs_fail(making->err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "field %zu of the Arrow schema is empty", index);
    }
    if (depth > BS_IPC_NESTING_MAX) {
        return bs_fail(making->err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the Arrow schema is nested deeper than %d levels", BS_IPC_NESTING_MAX);
    }
    basalt_status status = take_type(node, arrow, index, making->err);
    if (status) return status;
    node->keys_sorted = (arrow->flags & ARROW_FLAG_MAP_KEYS_SORTED) != 0;
    status = take_children(making, node, arrow, depth);
    if (!status && node->layout == BS_IPC_OF_MEMBERS) {
        status = take_member_ids(node, making->err);
    }
    if (status || !arrow->dictionary) return status;
    return take_dictionary(making, node, arrow, depth);
}

basalt_status bs_ipc_node_create(const struct ArrowSchema *arrow, struct bs_ipc_node **out_root,
    size_t *out_dictionaries, basalt_error *err)
{
    struct making making = {0, err};
    *out_root = NULL;
    *out_dictionaries = 0;
    struct bs_ipc_node *root = bs_alloc_zeroed(1, sizeof *root);
    if (!root) return bs_fail_memory(err, sizeof *root);
    basalt_status status = take(&making, root, arrow, 0, 0);
    if (!status && (root->type != BS_IPC_STRUCT || root->dictionary)) {
        status = bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the Arrow schema must be a struct whose children are the columns");
    }
    if (status) {
        bs_ipc_node_free(root);
        return status;
    }
    *out_root = root;
    *out_dictionaries = making.dictionaries;
    return BASALT_OK;
}
