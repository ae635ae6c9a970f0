/* names.c - names of columns for formats in which each has one of its own.
 *
 * The second column called "a" is a_1, the next a_2; a number is left out where a column has that name
 * already. The number stands behind the last '_', so what is made of two names never meets. */
#include "names.h"

#include <stdlib.h>
#include <string.h>

struct named {
    const char *name;
    int64_t index;
};

static int compare(const void *a, const void *b)
{
    const struct named *one = a, *other = b;
    const int order = strcmp(one->name, other->name);
    return order ? order : one->index < other->index ? -1 : one->index > other->index;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static bool number_name(const struct named *sorted, size_t count, struct unique_names *names,
    int64_t index, uint64_t *number)
{
    const char *name = names->texts[index];
    const size_t bytes = strlen(name) + 24;
    char *text = malloc(bytes);
    if (!text) return false;
    struct named wanted = {.name = text};
    do {
        snprintf(text, bytes, "%s_%" PRIu64, name, ++*number);
    } while (bsearch(&wanted, sorted, count, sizeof wanted, compare_names));
    names->made[index] = text;
    return true;
}

/* The first of equal names keeps it. */
static bool number_names(struct unique_names *names, struct named *sorted, size_t count)
{
    uint64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (struct named){names->texts[i], (int64_t)i};
    }
    qsort(sorted, count, sizeof *sorted, compare);
    for (size_t i = 1; i < count; i++) {
        const bool again = strcmp(sorted[i].name, sorted[i - 1].name) == 0;
        if (!again) number = 0;
        if (again && !number_name(sorted, count, names, sorted[i].index, &number)) return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!names->made[i]) continue;
        free(names->texts[i]);
        names->texts[i] = names->made[i];
        names->made[i] = NULL;
    }
    return true;
}

static bool fill(struct unique_names *names, const struct ArrowSchema *schema, bool number_empty)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        const char *name = schema->children[i]->name ? schema->children[i]->name : "";
        char text[24];
        snprintf(text, sizeof text, "f%" PRId64, i);
        names->texts[i] = utf8_text(*name || !number_empty ? name : text);
        if (!names->texts[i]) return false;
        names->fields[i] = *schema->children[i];
        names->pointers[i] = &names->fields[i];
    }
    return true;
}

basalt_status unique_names_make(const struct ArrowSchema *schema, bool number_empty,
    struct unique_names *out_names, basalt_error *err)
{
    const size_t count = (size_t)schema->n_children;
    struct named *sorted = calloc(count + 1, sizeof *sorted);
    *out_names = (struct unique_names){.schema = *schema,
        .count = count,
        .texts = calloc(count + 1, sizeof(char *)),
        .made = calloc(count + 1, sizeof(char *)),
        .fields = calloc(count + 1, sizeof(struct ArrowSchema)),
        .pointers = calloc(count + 1, sizeof(struct ArrowSchema *))};
    const bool room =
        sorted && out_names->texts && out_names->made && out_names->fields && out_names->pointers;
    const bool made =
        room && fill(out_names, schema, number_empty) && number_names(out_names, sorted, count);
    free(sorted);
    if (!made) {
        unique_names_free(out_names);
        return fail(err, BASALT_NO_MEMORY, "no memory for the names of %zu columns", count);
    }
    for (size_t i = 0; i < count; i++) out_names->fields[i].name = out_names->texts[i];
    out_names->schema.children = out_names->pointers;
    return BASALT_OK;
}

void unique_names_free(struct unique_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->texts) free(names->texts[i]);
        if (names->made) free(names->made[i]);
    }
    free(names->texts);
    free(names->made);
    free(names->fields);
    free(names->pointers);
    *names = (struct unique_names){.count = 0};
}
