/* attach.c - hdf5_attach and anndata_attach: views of all that is in a file.
 *
 * The C API lends a table function no connection, so none can make a view itself; and one that was kept
 * from LOAD on would keep the database open for ever. These functions give the statements instead, to be
 * run one after the other: CREATE SCHEMA, then a view for each table. */
#include "anndata.h"
#include "contents.h"
#include "listing.h"
#include "text.h"

#include <ctype.h>
#include <stdlib.h>

static const struct listing_column columns[] = {
    {"name", CELL_TEXT}, {"path", CELL_TEXT}, {"sql", CELL_TEXT}};

struct attach {
    struct listing *listing;
    basalt_hdf5 *file;
    const char *given; /* the file's name, for errors */
    char *source;      /* its absolute path */
    char *schema;
    char *var_name_column; /* or NULL */
    struct name_set names; /* the texts are the listing's */
    struct failure *failure;
};

/* What SQL can say without quotes, mostly: letters, digits, '_' and all that is not ASCII. */
static void make_plain(char *name)
{
    for (; *name; name++) {
        if ((unsigned char)*name < 128 && !isalnum((unsigned char)*name)) *name = '_';
    }
}

struct view {
    const char *name; /* as it is wished: it is made plain, and another than all */
    const char *path; /* in the file, of what is shown; or NULL */
    const char *function;
    const char *argument; /* behind the file; or NULL */
    bool is_long;         /* format := 'long' */
    bool names_variables; /* takes var_name_column */
};

static void put_view(
    struct text_buffer *sql, const struct attach *attach, const char *name, const struct view *view)
{
    put_word(sql, "CREATE OR REPLACE VIEW ");
    put_quoted(sql, attach->schema, '"');
    put_word(sql, ".");
    put_quoted(sql, name, '"');
    put_word(sql, " AS FROM ");
    put_word(sql, view->function);
    put_word(sql, "(");
    put_quoted(sql, attach->source, '\'');
    if (view->argument) {
        put_word(sql, ", ");
        put_quoted(sql, view->argument, '\'');
    }
    if (view->is_long) put_word(sql, ", format := 'long'");
    if (view->names_variables && attach->var_name_column) {
        put_word(sql, ", var_name_column := ");
        put_quoted(sql, attach->var_name_column, '\'');
    }
    put_word(sql, ");");
}

/* False: no memory, which the listing knows. */
static bool add_view(struct attach *attach, const struct view *view)
{
    struct listing *listing = attach->listing;
    struct text_buffer sql = {0};
    bool is_new = false;
    char *name = copy_text(view->name);
    if (name) make_plain(name);
    if (name && name_set_has(&attach->names, name)) {
        char *numbered = name_numbered(&attach->names, name);
        free(name);
        name = numbered;
    }
    if (name) put_view(&sql, attach, name, view);
    listing->failed |= !name || sql.failed;
    add_text(listing, name);
    if (!listing->failed) {
        const char *known = listing->cells[listing->count - 1].text;
        listing->failed |= !name_set_add(&attach->names, known, &is_new);
    }
    add_text(listing, view->path);
    add_text(listing, sql.bytes);
    free(name);
    free(sql.bytes);
    return !listing->failed;
}

static void add_schema(struct attach *attach)
{
    struct text_buffer sql = {0};
    put_word(&sql, "CREATE SCHEMA IF NOT EXISTS ");
    put_quoted(&sql, attach->schema, '"');
    put_word(&sql, ";");
    attach->listing->failed |= sql.failed;
    add_text(attach->listing, attach->schema);
    add_null(attach->listing);
    add_text(attach->listing, sql.bytes);
    free(sql.bytes);
}

/* ---- any file ------------------------------------------------------------------------------- */

/* Whether there is a table and DuckDB has a type for each column: a view that can't be made would be in
 * the way of all behind it. */
static bool can_be_shown(basalt_hdf5 *file, const char *path)
{
    basalt_hdf5_table *table = NULL;
    struct ArrowSchema schema = {0};
    struct failure failure;
    char text[512];
    bool fine = !basalt_hdf5_table_open(file, path, NULL, &table, NULL) &&
        !basalt_hdf5_table_schema(table, &schema, NULL) && schema.n_children > 0;
    for (int64_t i = 0; fine && i < schema.n_children; i++) {
        fine = type_text(schema.children[i], text, sizeof text, &failure);
    }
    if (schema.release) schema.release(&schema);
    basalt_hdf5_table_close(&table);
    return fine;
}

/* The last part of a file's name, without its ending. To be freed; NULL: no memory. */
static char *stem_of(const char *file_name)
{
    const char *last = strrchr(file_name, '/');
    char *stem = copy_text(last ? last + 1 : file_name);
    char *dot = stem ? strrchr(stem, '.') : NULL;
    if (dot && dot > stem) *dot = 0;
    return stem;
}

/* "/a/b" is a_b, a family of Basalt's has its own name, the root that of the file. */
static bool add_path(void *context, const char *path)
{
    struct attach *attach = context;
    char *stem = NULL, *family = NULL;
    if (!can_be_shown(attach->file, path)) return true;
    struct view view = {path + 1, path, "read_hdf5", path, false, false};
    if (!path[1]) {
        view.name = stem = stem_of(attach->given);
    } else if (!strchr(path + 1, '/') && !basalt_name_unescape(path + 1, &family, NULL)) {
        view.name = family;
    }
    const bool fine = view.name && add_view(attach, &view);
    attach->listing->failed |= !fine;
    basalt_free(family);
    free(stem);
    return fine;
}

static bool add_tables(struct attach *attach)
{
    return each_table(attach->file, attach->given, add_path, attach, attach->failure);
}

/* ---- AnnData -------------------------------------------------------------------------------- */

static bool is_matrix(const struct attach *attach, const char *path)
{
    struct matrix_shape shape;
    struct failure failure;
    return matrix_look(attach->file, attach->given, path, &shape, &failure) &&
        shape.kind != MATRIX_NONE;
}

/* In wide form and in long. */
static bool add_matrix(struct attach *attach, const char *name, const char *path,
    const char *function, const char *argument)
{
    char longer[1100];
    const struct view wide = {name, path, function, argument, false, true};
    const struct view entries = {longer, path, function, argument, true, true};
    snprintf(longer, sizeof longer, "%s_long", name);
    return add_view(attach, &wide) && add_view(attach, &entries);
}

struct members { /* of a group of an AnnData file */
    const char *path, *old_path;
    const char *name; /* of the views, before the member's */
    const char *function;
    enum { MEMBERS_LAYERS, MEMBERS_PAIRS, MEMBERS_FRAMES } kind;
    struct attach *attach;
};

static bool add_member(void *context, const basalt_hdf5_entry *entry)
{
    const struct members *members = context;
    struct attach *attach = members->attach;
    const char *member = strrchr(entry->path, '/') + 1;
    char name[1024];
    if (entry->depth != 1) return true;
    const bool matrix = is_matrix(attach, entry->path);
    if (!matrix && members->kind != MEMBERS_FRAMES) return true;
    if (!matrix && !can_be_shown(attach->file, entry->path)) return true;
    snprintf(name, sizeof name, "%s_%s", members->name, member);
    if (members->kind == MEMBERS_LAYERS) {
        return add_matrix(attach, name, entry->path, members->function, member);
    }
    const struct view view = {name, entry->path, members->function, member, false, false};
    return add_view(attach, &view);
}

/* Of files before 0.7: the members of records. */
static bool add_record_members(const struct members *members, const char *path)
{
    struct attach *attach = members->attach;
    basalt_hdf5_table *table = NULL;
    struct ArrowSchema schema = {0};
    bool fine = true;
    if (!basalt_hdf5_table_open(attach->file, path, NULL, &table, NULL) &&
        !basalt_hdf5_table_schema(table, &schema, NULL)) {
        for (int64_t i = 0; fine && i < schema.n_children; i++) {
            char name[1024];
            const char *member = schema.children[i]->name;
            const struct view view = {name, path, members->function, member, false, false};
            snprintf(name, sizeof name, "%s_%s", members->name, member);
            fine = add_view(attach, &view);
        }
    }
    if (schema.release) schema.release(&schema);
    basalt_hdf5_table_close(&table);
    return fine;
}

static bool add_members(struct attach *attach, const struct members *which)
{
    struct members members = *which;
    basalt_hdf5_dataset *records = NULL;
    basalt_error error = {0};
    const char *path = path_of(attach->file, members.path, members.old_path);
    members.attach = attach;
    if (!path_exists(attach->file, path)) return true;
    if (!basalt_hdf5_dataset_open(attach->file, path, &records, NULL)) {
        basalt_hdf5_dataset_close(&records);
        return add_record_members(&members, path);
    }
    if (!basalt_hdf5_walk(attach->file, path, 1, add_member, &members, &error)) return true;
    return fail_file(attach->failure, attach->given, &error);
}

static bool add_plain(
    struct attach *attach, const char *name, const char *path, const char *function)
{
    const struct view view = {name, path, function, NULL, false, false};
    return add_view(attach, &view);
}

static bool add_anndata(struct attach *attach)
{
    static const struct members groups[] = {
        {"/layers", "/layers", "layers", "anndata_scan_layers", MEMBERS_LAYERS, NULL},
        {"/obsm", "/obsm", "obsm", "anndata_scan_obsm", MEMBERS_FRAMES, NULL},
        {"/varm", "/varm", "varm", "anndata_scan_varm", MEMBERS_FRAMES, NULL},
        {"/obsp", "/obsp", "obsp", "anndata_scan_obsp", MEMBERS_PAIRS, NULL},
        {"/varp", "/varp", "varp", "anndata_scan_varp", MEMBERS_PAIRS, NULL},
        {"/raw/varm", "/raw.varm", "raw_varm", "anndata_scan_raw_varm", MEMBERS_FRAMES, NULL}};
    const char *raw_x = path_of(attach->file, "/raw/X", "/raw.X");
    const char *raw_var = path_of(attach->file, "/raw/var", "/raw.var");
    if (!path_exists(attach->file, "/obs") || !path_exists(attach->file, "/var")) {
        return fail(
            attach->failure, "%s is no AnnData: it has no \"/obs\" and \"/var\"", attach->given);
    }
    bool fine = add_plain(attach, "info", NULL, "anndata_info") &&
        add_plain(attach, "obs", "/obs", "anndata_scan_obs") &&
        add_plain(attach, "var", "/var", "anndata_scan_var");
    if (fine && is_matrix(attach, "/X")) {
        fine = add_matrix(attach, "X", "/X", "anndata_scan_x", NULL);
    }
    if (fine && is_matrix(attach, raw_x)) {
        fine = add_matrix(attach, "raw_X", raw_x, "anndata_scan_raw_x", NULL);
    }
    if (fine && path_exists(attach->file, raw_var)) {
        fine = add_plain(attach, "raw_var", raw_var, "anndata_scan_raw_var");
    }
    for (size_t i = 0; fine && i < COUNT_OF(groups); i++) fine = add_members(attach, &groups[i]);
    return fine && add_plain(attach, "uns", "/uns", "anndata_scan_uns");
}

/* ---- functions ------------------------------------------------------------------------------ */

typedef bool add_all_fn(struct attach *attach);

static bool attach_file(struct attach *attach, const char *path, add_all_fn *add_all)
{
    basalt_error error = {0};
    attach->given = path;
    attach->source = realpath(path, NULL);
    if (basalt_hdf5_open(path, &attach->file, &error)) {
        return fail_file(attach->failure, path, &error);
    }
    if (!attach->source) return fail_memory(attach->failure);
    add_schema(attach);
    return add_all(attach) && !attach->listing->failed;
}

static bool take_files(duckdb_bind_info info, struct file_list *files, struct failure *failure)
{
    duckdb_value value = duckdb_bind_get_parameter(info, 0);
    const bool fine = files_of(value, files, failure);
    duckdb_destroy_value(&value);
    if (!fine || files->count == 1) return fine;
    return fail(failure, "%zu files are named: attach each of them by itself", files->count);
}

static void bind_attach(duckdb_bind_info info, add_all_fn *add_all, bool names_variables)
{
    struct failure failure = {""};
    struct file_list files = {NULL, 0};
    struct attach attach = {.failure = &failure};
    if (!request_place(info, 1, &attach.schema)) return;
    if (names_variables && !request_text(info, "var_name_column", &attach.var_name_column)) {
        free(attach.schema);
        return;
    }
    attach.listing = listing_new(columns, COUNT_OF(columns));
    bool fine = attach.listing != NULL;
    if (!fine) (void)fail_memory(&failure);
    fine =
        fine && take_files(info, &files, &failure) && attach_file(&attach, files.paths[0], add_all);
    if (!fine && !failure.message[0]) (void)fail_memory(&failure);
    name_set_free(&attach.names);
    basalt_hdf5_close(&attach.file);
    files_clear(&files);
    free(attach.source);
    free(attach.schema);
    free(attach.var_name_column);
    listing_bind(info, attach.listing, fine, &failure);
}

static void bind_hdf5(duckdb_bind_info info)
{
    bind_attach(info, add_tables, false);
}

static void bind_anndata(duckdb_bind_info info)
{
    bind_attach(info, add_anndata, true);
}

bool register_attach(duckdb_connection connection)
{
    duckdb_table_function anndata = listing_function("anndata_attach", 2, bind_anndata);
    add_named_parameter(anndata, "var_name_column", DUCKDB_TYPE_VARCHAR);
    return register_and_free(connection, listing_function("hdf5_attach", 2, bind_hdf5)) &&
        register_and_free(connection, anndata);
}
