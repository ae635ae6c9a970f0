/* stat_any.c - what an HDF5 file of any program holds, and what it costs. */
#include "stat_any.h"

#include <stdlib.h>
#include <string.h>

struct sum { /* of the datasets with one layout, or with the same filters */
    char *label;
    uint64_t datasets, stored_bytes, unpacked_bytes;
};

struct sums {
    struct sum *list;
    size_t count, capacity;
};

struct tally {
    uint64_t file_bytes, groups, datasets, types, links, attributes;
    uint64_t stored_bytes, unpacked_bytes;
    struct sums layouts, filters;
    bool out_of_memory;
};

static struct sum *sum_of(struct sums *sums, const char *label)
{
    for (size_t i = 0; i < sums->count; i++)
        if (!strcmp(sums->list[i].label, label)) return &sums->list[i];
    if (sums->count == sums->capacity) {
        const size_t capacity = sums->capacity ? sums->capacity * 2 : 8;
        struct sum *larger = realloc(sums->list, capacity * sizeof *larger);
        if (!larger) return NULL;
        sums->list = larger;
        sums->capacity = capacity;
    }
    struct sum *sum = &sums->list[sums->count];
    *sum = (struct sum){.label = strdup(label)};
    if (!sum->label) return NULL;
    sums->count++;
    return sum;
}

static void add_to(
    struct tally *tally, struct sums *sums, const char *label, const basalt_hdf5_entry *entry)
{
    struct sum *sum = sum_of(sums, label);
    if (!sum) {
        tally->out_of_memory = true;
        return;
    }
    sum->datasets++;
    sum->stored_bytes += entry->stored_bytes;
    sum->unpacked_bytes += entry->raw_bytes;
}

static bool add_entry(void *context, const basalt_hdf5_entry *entry)
{
    struct tally *tally = context;
    tally->attributes += entry->attributes;
    switch (entry->kind) {
    case BASALT_HDF5_GROUP: tally->groups++; return true;
    case BASALT_HDF5_TYPE: tally->types++; return true;
    case BASALT_HDF5_SOFT_LINK:
    case BASALT_HDF5_EXTERNAL_LINK: tally->links++; return true;
    case BASALT_HDF5_DATASET: break;
    }
    tally->datasets++;
    tally->stored_bytes += entry->stored_bytes;
    tally->unpacked_bytes += entry->raw_bytes;
    add_to(tally, &tally->layouts, entry->layout[0] ? entry->layout : "not readable here", entry);
    if (entry->layout[0])
        add_to(tally, &tally->filters, entry->filters[0] ? entry->filters : "none", entry);
    return !tally->out_of_memory;
}

static void print_sums(const char *what, const struct sums *sums)
{
    struct size_texts texts = {.next = 0};
    if (!sums->count) return;
    printf("\n%-28s %10s %10s %10s\n", what, "datasets", "in file", "unpacked");
    for (size_t i = 0; i < sums->count; i++) {
        const struct sum *sum = &sums->list[i];
        printf("  %-26s %10s %10s %10s\n", sum->label, count_text(&texts, sum->datasets),
            size_text(&texts, sum->stored_bytes), size_text(&texts, sum->unpacked_bytes));
    }
}

static void print_text(const char *path, const char *warning, const struct tally *tally)
{
    struct size_texts texts = {.next = 0};
    print_shown(stdout, path);
    printf(": HDF5, not made by Basalt, %s\n", size_text(&texts, tally->file_bytes));
    if (warning) printf("%s\n", warning);
    printf("%s group%s, %s dataset%s", count_text(&texts, tally->groups), plural(tally->groups),
        count_text(&texts, tally->datasets), plural(tally->datasets));
    if (tally->types) printf(", %s type%s", count_text(&texts, tally->types), plural(tally->types));
    if (tally->links)
        printf(
            ", %s soft or external link%s", count_text(&texts, tally->links), plural(tally->links));
    printf(", %s attribute%s\n", count_text(&texts, tally->attributes), plural(tally->attributes));
    printf("data %s", size_text(&texts, tally->stored_bytes));
    if (tally->stored_bytes) printf(", unpacked %s", size_text(&texts, tally->unpacked_bytes));
    if (tally->file_bytes >= tally->stored_bytes)
        printf("; all else, and what is free, %s",
            size_text(&texts, tally->file_bytes - tally->stored_bytes));
    printf("\n");
    print_sums("layout", &tally->layouts);
    print_sums("filters", &tally->filters);
}

static void json_sums(const char *name, const struct sums *sums)
{
    printf(",\"%s\":{", name);
    for (size_t i = 0; i < sums->count; i++) {
        const struct sum *sum = &sums->list[i];
        if (i) printf(",");
        json_text(stdout, sum->label);
        printf(":{\"datasets\":%" PRIu64 ",\"stored_bytes\":%" PRIu64 ",\"unpacked_bytes\":%" PRIu64
               "}",
            sum->datasets, sum->stored_bytes, sum->unpacked_bytes);
    }
    printf("}");
}

static void print_json(const char *path, const char *warning, const struct tally *tally)
{
    printf("{\"file\":");
    json_text(stdout, path);
    printf(",\"state\":\"foreign\",\"warning\":");
    json_text(stdout, warning ? warning : "");
    printf(",\"file_bytes\":%" PRIu64 ",\"groups\":%" PRIu64 ",\"datasets\":%" PRIu64
           ",\"types\":%" PRIu64 ",\"links\":%" PRIu64 ",\"attributes\":%" PRIu64
           ",\"stored_bytes\":%" PRIu64 ",\"unpacked_bytes\":%" PRIu64,
        tally->file_bytes, tally->groups, tally->datasets, tally->types, tally->links,
        tally->attributes, tally->stored_bytes, tally->unpacked_bytes);
    json_sums("layouts", &tally->layouts);
    json_sums("filters", &tally->filters);
    printf("}\n");
}

static void free_sums(struct sums *sums)
{
    for (size_t i = 0; i < sums->count; i++) free(sums->list[i].label);
    free(sums->list);
}

int stat_any(const char *path, uint64_t file_bytes, bool json)
{
    struct tally tally = {.file_bytes = file_bytes};
    basalt_hdf5 *file = NULL;
    basalt_error error = {.status = BASALT_OK};
    basalt_status status = basalt_hdf5_open(path, &file, &error);
    if (!status) status = basalt_hdf5_walk(file, "/", 1000, add_entry, &tally, &error);
    if (!status && tally.out_of_memory)
        status = fail(&error, BASALT_NO_MEMORY, "no memory for the sums");
    if (!status && json) {
        print_json(path, basalt_hdf5_warning(file), &tally);
    } else if (!status) {
        print_text(path, basalt_hdf5_warning(file), &tally);
    }
    basalt_hdf5_close(&file);
    free_sums(&tally.layouts);
    free_sums(&tally.filters);
    return finish_output(status ? report_file(path, &error) : EXIT_FINE);
}
