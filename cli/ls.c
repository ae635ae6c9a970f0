/* ls.c - what is in an HDF5 file. */
#include "command.h"

#include <string.h>

struct listing {
    basalt_hdf5 *file;
    bool json, attributes, all;
    uint64_t count;
    int width, type_width; /* of the paths and types, text only */
    bool measuring;
    bool datasets;        /* there is one */
    basalt_status status; /* of reading attributes */
    basalt_error *err;
    bool first_attribute;
    basalt_hdf5_table_info table; /* of the group at hand; kind NULL: it is none */
};

static const char *kind_name(basalt_hdf5_kind kind)
{
    static const char *const names[] = {"group", "dataset", "type", "soft link", "external link"};
    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "object";
}

/* Basalt's own part of a file: /.basalt, /FAMILY/.basalt and what is below. */
static bool hidden(const struct listing *listing, const char *path)
{
    const char *found = listing->all ? NULL : strstr(path, "/.basalt");
    return found && (found[8] == '\0' || found[8] == '/');
}

static bool is_link(const basalt_hdf5_entry *entry)
{
    return entry->kind == BASALT_HDF5_SOFT_LINK || entry->kind == BASALT_HDF5_EXTERNAL_LINK;
}

/* What the group is as a table. Why it is none is no failure of a listing. */
static void ask_table(struct listing *listing, const basalt_hdf5_entry *entry)
{
    listing->table = (basalt_hdf5_table_info){.kind = NULL};
    if (entry->kind != BASALT_HDF5_GROUP) return;
    if (basalt_hdf5_describe_table(listing->file, entry->path, &listing->table, NULL)) {
        listing->table.kind = NULL;
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_dims(const char *key, const uint64_t *dims, unsigned rank)
{
    printf(",\"%s\":[", key);
    for (unsigned i = 0; i < rank; i++) {
        if (dims[i] == UINT64_MAX) {
            printf("%snull", i ? "," : "");
        } else {
            printf("%s%" PRIu64, i ? "," : "", dims[i]);
        }
    }
    putchar(']');
}

static void json_field(const char *key, const char *value)
{
    printf(",\"%s\":", key);
    json_text(stdout, value ? value : "");
}

static bool json_attribute(void *context, const char *name, const char *type, const char *value)
{
    struct listing *listing = context;
    (void)type;
    if (!listing->first_attribute) putchar(',');
    listing->first_attribute = false;
    json_text(stdout, name);
    printf(":%s", value);
    return true;
}

static void json_dataset(const basalt_hdf5_entry *entry)
{
    json_field("type", entry->type);
    json_dims("shape", entry->dims, entry->rank);
    json_dims("max_shape", entry->max_dims, entry->rank);
    json_field("layout", entry->layout);
    if (entry->layout && strcmp(entry->layout, "chunked") == 0) {
        json_dims("chunk", entry->chunk_dims, entry->rank);
    }
    json_field("filters", entry->filters);
    printf(",\"raw_bytes\":%" PRIu64 ",\"stored_bytes\":%" PRIu64, entry->raw_bytes,
        entry->stored_bytes);
    if (entry->stored_bytes) {
        printf(",\"ratio\":%.3f", (double)entry->raw_bytes / (double)entry->stored_bytes);
    }
}

static void json_entry(struct listing *listing, const basalt_hdf5_entry *entry)
{
    printf("%s{\"path\":", listing->count ? ",\n " : "[");
    json_text(stdout, entry->path);
    json_field("kind", kind_name(entry->kind));
    if (is_link(entry)) json_field("target", entry->target);
    if (entry->kind == BASALT_HDF5_DATASET) json_dataset(entry);
    if (entry->kind == BASALT_HDF5_TYPE) json_field("type", entry->type);
    if (listing->table.kind) {
        fputs(",\"table\":{\"kind\":", stdout);
        json_text(stdout, listing->table.kind);
        printf(",\"rows\":%" PRIu64 ",\"columns\":%" PRIu64 "}", listing->table.rows,
            listing->table.columns);
    }
    if (listing->attributes && !is_link(entry)) {
        fputs(",\"attributes\":{", stdout);
        listing->first_attribute = true;
        listing->status = basalt_hdf5_each_attribute(
            listing->file, entry->path, json_attribute, listing, listing->err);
        fputs("}}", stdout);
    } else {
        printf(",\"attribute_count\":%" PRIu64 "}", entry->attributes);
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

/* "10 x 20" */
static void dims_text(char *out, size_t out_bytes, const uint64_t *dims, unsigned rank)
{
    size_t at = 0;
    for (unsigned i = 0; i < rank && at + 24 < out_bytes; i++) {
        at += (size_t)snprintf(out + at, out_bytes - at, "%s%" PRIu64, i ? " x " : "", dims[i]);
    }
}

static void text_shape(const struct listing *listing, const basalt_hdf5_entry *entry)
{
    char shape[256] = "scalar", chunk[256] = "";
    const char *layout = entry->layout ? entry->layout : "";
    dims_text(shape, sizeof shape, entry->dims, entry->rank);
    if (strcmp(layout, "chunked") == 0) {
        dims_text(chunk, sizeof chunk, entry->chunk_dims, entry->rank);
        layout = chunk;
    }
    const char *type = entry->type ? entry->type : "";
    const int pad = listing->type_width - shown_columns(type);
    fputs("  ", stdout);
    print_shown(stdout, type);
    printf("%*s %12s  %12s", pad > 0 ? pad : 0, "", shape, layout);
}

static void text_storage(const basalt_hdf5_entry *entry)
{
    struct size_texts texts = {.next = 0};
    printf(
        "  %9s  %9s", size_text(&texts, entry->stored_bytes), size_text(&texts, entry->raw_bytes));
    if (entry->stored_bytes) {
        printf("  %6.2f", (double)entry->raw_bytes / (double)entry->stored_bytes);
    } else {
        printf("  %6s", "");
    }
    if (entry->filters && entry->filters[0]) printf("  %s", entry->filters);
}

static void text_header(const struct listing *listing)
{
    printf("%-*s  %-*s %12s  %12s  %9s  %9s  %6s  %s\n", listing->width, "path",
        listing->type_width, "type", "shape", "chunk", "in file", "unpacked", "ratio", "filters");
}

static int indent(const basalt_hdf5_entry *entry)
{
    return entry->depth < 20 ? 2 * (int)entry->depth : 40;
}

static bool text_attribute(void *context, const char *name, const char *type, const char *value)
{
    (void)context;
    (void)type;
    fputs("    @", stdout);
    print_shown(stdout, name);
    fputs(" = ", stdout);
    print_shown(stdout, value);
    putchar('\n');
    return true;
}

static void text_entry(struct listing *listing, const basalt_hdf5_entry *entry)
{
    const bool plain = entry->kind == BASALT_HDF5_GROUP;
    const int pad = listing->width - shown_columns(entry->path) - indent(entry);
    printf("%*s", indent(entry), "");
    print_shown(stdout, entry->path);
    printf("%*s", pad > 0 ? pad : 0, "");
    if (plain || entry->kind == BASALT_HDF5_TYPE) printf("  %s", kind_name(entry->kind));
    if (is_link(entry)) {
        fputs("  -> ", stdout);
        print_shown(stdout, entry->target);
        printf(" (%s)", kind_name(entry->kind));
    }
    if (entry->kind == BASALT_HDF5_DATASET) {
        text_shape(listing, entry);
        text_storage(entry);
    }
    if (listing->table.kind) {
        printf("  %s: %" PRIu64 " row%s x %" PRIu64 " column%s", listing->table.kind,
            listing->table.rows, plural(listing->table.rows), listing->table.columns,
            plural(listing->table.columns));
    }
    if (plain && entry->attributes) {
        printf("  %" PRIu64 " attribute%s", entry->attributes, plural(entry->attributes));
    }
    putchar('\n');
    if (listing->attributes && !is_link(entry)) {
        listing->status = basalt_hdf5_each_attribute(
            listing->file, entry->path, text_attribute, listing, listing->err);
    }
}

static bool list_entry(void *context, const basalt_hdf5_entry *entry)
{
    struct listing *listing = context;
    if (hidden(listing, entry->path)) return true;
    if (listing->measuring) {
        const int columns = shown_columns(entry->path) + indent(entry);
        const int type_columns = shown_columns(entry->type ? entry->type : "");
        const bool dataset = entry->kind == BASALT_HDF5_DATASET;
        listing->datasets |= dataset;
        if (dataset && type_columns > listing->type_width && type_columns <= 28)
            listing->type_width = type_columns;
        if (columns > listing->width && columns <= 48) listing->width = columns;
        return true;
    }
    ask_table(listing, entry);
    if (listing->json) {
        json_entry(listing, entry);
    } else {
        text_entry(listing, entry);
    }
    listing->count++;
    return !listing->status && !ferror(stdout);
}

static basalt_status list_all(
    struct listing *listing, const char *path, uint64_t depth, basalt_error *err)
{
    const unsigned depth_max = depth > 64 ? 64 : (unsigned)depth;
    basalt_status status = BASALT_OK;
    if (!listing->json) {
        listing->measuring = true;
        status = basalt_hdf5_walk(listing->file, path, depth_max, list_entry, listing, err);
        listing->measuring = false;
        if (!status && listing->datasets) text_header(listing);
    }
    if (!status)
        status = basalt_hdf5_walk(listing->file, path, depth_max, list_entry, listing, err);
    if (!status) status = listing->status;
    if (!status && listing->json) fputs(listing->count ? "]\n" : "[]\n", stdout);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct listing listing = {.width = 8, .type_width = 6};
    uint64_t depth = 64;
    const struct option options[] = {{"--json", OPTION_FLAG, &listing.json},
        {"--attributes", OPTION_FLAG, &listing.attributes},
        {"-a", OPTION_FLAG, &listing.attributes}, {"--all", OPTION_FLAG, &listing.all},
        {"--depth", OPTION_NUMBER, &depth}};
    struct arguments arguments;
    int leave = EXIT_FINE;
    if (!parse_arguments(command, argc, argv, options, 5, 1, 2, &arguments, &leave)) return leave;
    basalt_error error = {.status = BASALT_OK};
    listing.err = &error;
    basalt_status status = basalt_hdf5_open(arguments.values[0], &listing.file, &error);
    if (!status) {
        status = list_all(&listing, arguments.count > 1 ? arguments.values[1] : "/", depth, &error);
    }
    basalt_hdf5_close(&listing.file);
    return finish_output(status ? report_file(arguments.values[0], &error) : EXIT_FINE);
}

const struct command ls_command = {"ls", "list groups, datasets and attributes",
    "usage: basalt ls FILE [PATH] [-a] [--depth N] [--all] [--json]\n\n"
    "Lists what is in any HDF5 file, at PATH and below, as a tree in the order of names: type, shape,\n"
    "chunk or layout, bytes that the data take in the file and in memory, their ratio, filters. A group\n"
    "that cat prints as a table is shown with its kind, rows and columns. What HDF5 does not allow in a\n"
    "name is escaped in the file and so printed (/ is %2F, a leading . %2E, % %25, # %23); PATH may be\n"
    "plain, too.\n\n"
    "  -a, --attributes   with the values of all attributes\n"
    "  --depth N          N levels below PATH\n"
    "  --all              also what is Basalt's own (.basalt)\n"
    "  --json             an array of objects; a byte of a name or text that is not UTF-8 is U+FFFD\n\n"
    "example: basalt ls session.h5 /memory -a\n",
    run};
