/* sql_box.c - a result as a table of lines, as DuckDB's shell draws it.
 *
 * Only the first and the last rows of a long result are kept while it is read, as chunks; of those the rows
 * that are shown are cast to text. Columns are narrowed, then left out in the middle, until a line fits the
 * terminal. */
#include "sql.h"

#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define WIDTH_OF_A_FILE 80
#define CELL_WIDTH_MIN 20 /* a column is not narrowed beyond it before others are left out */
#define TYPE_WIDTH_MAX 30
#define ROWS_WITHOUT_COUNT_MAX 9

struct column {
    char *name, *type;
    char **cells; /* of the shown rows; NULL: null */
    bool right;   /* numbers */
    bool shown;
    int width;
};

struct box {
    struct sql_session *session;
    struct sql_result *result;
    struct column *columns;
    size_t column_count, columns_shown, types_done;
    uint64_t rows;              /* of the result */
    uint64_t rows_kept;         /* in `chunks`: the first and the last ones */
    uint64_t head_rows;         /* shown ones before the dots */
    uint64_t shown, cells_done; /* rows */
    duckdb_data_chunk *chunks;
    size_t chunk_count, chunk_capacity, head_chunks;
    locale_t utf8; /* to ask how wide characters are; 0: there is none */
};

static basalt_status no_memory(struct box *box)
{
    return sql_fail(&box->session->failure, BASALT_NO_MEMORY, "no memory for a table");
}

/* ---- rows to keep ---------------------------------------------------------------------------- */

static uint64_t chunk_rows(const struct box *box, size_t index)
{
    return box->session->duckdb.data_chunk_get_size(box->chunks[index]);
}

/* Of the chunks behind the head, the oldest ones go that the last `edge` rows do not need. */
static void drop_middle(struct box *box, uint64_t edge)
{
    size_t drop = 0;
    uint64_t tail_rows = 0;
    for (size_t i = box->head_chunks; i < box->chunk_count; i++) tail_rows += chunk_rows(box, i);
    while (box->head_chunks + drop < box->chunk_count &&
        tail_rows - chunk_rows(box, box->head_chunks + drop) >= edge) {
        tail_rows -= chunk_rows(box, box->head_chunks + drop);
        box->rows_kept -= chunk_rows(box, box->head_chunks + drop);
        box->session->duckdb.destroy_data_chunk(&box->chunks[box->head_chunks + drop]);
        drop++;
    }
    box->chunk_count -= drop;
    memmove(box->chunks + box->head_chunks, box->chunks + box->head_chunks + drop,
        (box->chunk_count - box->head_chunks) * sizeof *box->chunks);
}

/* Takes over `chunk`. */
static basalt_status keep(struct box *box, duckdb_data_chunk chunk)
{
    const uint64_t limit = box->session->options->rows_shown;
    const uint64_t rows = box->session->duckdb.data_chunk_get_size(chunk);
    if (box->chunk_count == box->chunk_capacity) {
        const size_t capacity = box->chunk_capacity ? 2 * box->chunk_capacity : 16;
        duckdb_data_chunk *larger = realloc(box->chunks, capacity * sizeof *larger);
        if (!larger) {
            box->session->duckdb.destroy_data_chunk(&chunk);
            return no_memory(box);
        }
        box->chunks = larger;
        box->chunk_capacity = capacity;
    }
    const bool head = box->rows < limit;
    box->chunks[box->chunk_count++] = chunk;
    box->rows += rows;
    box->rows_kept += rows;
    if (head) {
        box->head_chunks = box->chunk_count;
    } else {
        drop_middle(box, limit / 2);
    }
    return BASALT_OK;
}

static basalt_status read_all(struct box *box)
{
    for (;;) {
        duckdb_data_chunk chunk = NULL;
        basalt_status status = result_next(box->session, box->result, &chunk);
        if (status || !chunk) return status;
        status = keep(box, chunk);
        if (status) return status;
    }
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* On one line: control characters as print_shown has them. To be freed; NULL: no memory. */
static char *shown_text(const char *text, size_t count)
{
    char *copy = strndup(text, count), *shown = NULL;
    size_t bytes = 0;
    FILE *out = copy ? open_memstream(&shown, &bytes) : NULL;
    if (out) {
        print_shown(out, copy);
        if (fclose(out) != 0) {
            free(shown);
            shown = NULL;
        }
    }
    free(copy);
    return shown;
}

/* Bytes and columns of the character at `text`; of what is none, a byte and a column. */
static size_t character(const char *text, int *out_columns)
{
    wchar_t wide = 0;
    mbstate_t state;
    memset(&state, 0, sizeof state);
    const size_t bytes = mbrtowc(&wide, text, strlen(text), &state);
    *out_columns = 1;
    if (bytes == 0 || bytes > MB_LEN_MAX) return 1;
    const int columns = wcwidth(wide);
    *out_columns = columns < 0 ? 1 : columns;
    return bytes;
}

static int text_width(const char *text)
{
    int width = 0, columns;
    while (*text) {
        text += character(text, &columns);
        width += columns;
    }
    return width;
}

/* How many bytes of `text` fit in `width` columns; combining characters stay with theirs. */
static size_t fitting_bytes(const char *text, int width, int *out_columns)
{
    size_t bytes = 0;
    int columns;
    *out_columns = 0;
    while (text[bytes]) {
        const size_t next = character(text + bytes, &columns);
        if (*out_columns + columns > width) break;
        bytes += next;
        *out_columns += columns;
    }
    return bytes;
}

static basalt_status take_cells(struct sql_session *session, void *context, duckdb_data_chunk texts)
{
    struct box *box = context;
    const struct duckdb *duckdb = &session->duckdb;
    const uint64_t rows = duckdb->data_chunk_get_size(texts);
    for (size_t i = 0; i < box->column_count; i++) {
        duckdb_vector vector = duckdb->data_chunk_get_vector(texts, i);
        for (uint64_t row = 0; row < rows && box->cells_done + row < box->shown; row++) {
            size_t count = 0;
            if (vector_is_null(duckdb, vector, row)) continue;
            const char *text = vector_text(duckdb, vector, row, &count);
            char *cell = shown_text(text, count);
            if (!cell) return no_memory(box);
            box->columns[i].cells[box->cells_done + row] = cell;
        }
    }
    box->cells_done += rows;
    return BASALT_OK;
}

/* Lower case but for what is in quotes; integers by their bits, as DuckDB's shell has them. */
static void shorten_type(char *type, size_t bytes_max)
{
    static const char *const names[][2] = {{"tinyint", "int8"}, {"smallint", "int16"},
        {"integer", "int32"}, {"bigint", "int64"}, {"hugeint", "int128"}, {"utinyint", "uint8"},
        {"usmallint", "uint16"}, {"uinteger", "uint32"}, {"ubigint", "uint64"},
        {"uhugeint", "uint128"}};
    char quote = '\0';
    for (char *at = type; *at; at++) {
        if (quote ? *at == quote : *at == '\'' || *at == '"') {
            quote = quote ? '\0' : *at;
        } else if (!quote && *at >= 'A' && *at <= 'Z') {
            *at = (char)(*at - 'A' + 'a');
        }
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const size_t length = strlen(names[i][0]);
        if (strncmp(type, names[i][0], length) || (type[length] && type[length] != '[')) continue;
        char *rest = strdup(type + length);
        if (rest) snprintf(type, bytes_max, "%s%s", names[i][1], rest);
        free(rest);
        return;
    }
}

static basalt_status take_types(struct sql_session *session, void *context, duckdb_data_chunk texts)
{
    struct box *box = context;
    const struct duckdb *duckdb = &session->duckdb;
    duckdb_vector vector = duckdb->data_chunk_get_vector(texts, 0);
    const uint64_t rows = duckdb->data_chunk_get_size(texts);
    for (uint64_t row = 0; row < rows && box->types_done < box->column_count; row++) {
        size_t count = 0;
        const char *text = vector_text(duckdb, vector, row, &count);
        char *type = shown_text(text, count);
        if (!type) return no_memory(box);
        shorten_type(type, strlen(type) + 1);
        box->columns[box->types_done++].type = type;
    }
    return BASALT_OK;
}

static basalt_status make_columns(struct box *box)
{
    const struct sql_result *result = box->result;
    const uint64_t limit = box->session->options->rows_shown;
    box->shown = box->rows < limit ? box->rows : limit;
    box->head_rows = box->rows <= limit ? box->rows : limit - limit / 2;
    box->column_count = result->column_count;
    box->columns = calloc(box->column_count + 1, sizeof *box->columns);
    if (!box->columns) return no_memory(box);
    for (size_t i = 0; i < box->column_count; i++) {
        struct column *column = &box->columns[i];
        column->name = shown_text(result->names[i], strlen(result->names[i]));
        column->cells = calloc(box->shown + 1, sizeof *column->cells);
        column->right = type_is_number(box->session->duckdb.get_type_id(result->types[i]));
        if (!column->name || !column->cells) return no_memory(box);
    }
    basalt_status status = text_begin(box->session, result, false);
    if (!status) status = text_types(box->session, take_types, box);
    if (!status && box->shown) {
        const uint64_t tail = box->shown - box->head_rows;
        status = text_of_edges(box->session, box->chunks, box->chunk_count, box->head_rows,
            box->rows_kept - tail, take_cells, box);
    }
    text_end(box->session);
    return status;
}

static void clear(struct box *box)
{
    for (size_t i = 0; i < box->chunk_count; i++) {
        box->session->duckdb.destroy_data_chunk(&box->chunks[i]);
    }
    for (size_t i = 0; box->columns && i < box->column_count; i++) {
        struct column *column = &box->columns[i];
        for (uint64_t row = 0; column->cells && row < box->shown; row++) free(column->cells[row]);
        free(column->cells);
        free(column->name);
        free(column->type);
    }
    free(box->chunks);
    free(box->columns);
}

/* ---- widths ---------------------------------------------------------------------------------- */

static void widen(int *width, int other)
{
    if (*width < other) *width = other;
}

static void measure(struct box *box)
{
    for (size_t i = 0; i < box->column_count; i++) {
        struct column *column = &box->columns[i];
        int type = text_width(column->type);
        widen(&column->width, text_width(column->name));
        widen(&column->width, type < TYPE_WIDTH_MAX ? type : TYPE_WIDTH_MAX);
        for (uint64_t row = 0; row < box->shown; row++) {
            widen(&column->width, column->cells[row] ? text_width(column->cells[row]) : 4);
        }
        column->shown = true;
    }
    box->columns_shown = box->column_count;
}

/* Of the shown columns and their lines, none wider than `cap`; more than `limit` is not counted. */
static int line_width(const struct box *box, int cap, int limit)
{
    int width = 1;
    for (size_t i = 0; i < box->column_count && width <= limit; i++) {
        if (!box->columns[i].shown) continue;
        width += 3 + (box->columns[i].width < cap ? box->columns[i].width : cap);
    }
    return box->columns_shown < box->column_count ? width + 4 : width;
}

static void narrow(struct box *box, int limit)
{
    int low = CELL_WIDTH_MIN, high = limit;
    if (line_width(box, limit, limit) <= limit) low = limit;
    while (low + 1 < high) { /* the widest that fits */
        const int middle = low + (high - low) / 2;
        if (line_width(box, middle, limit) <= limit) {
            low = middle;
        } else {
            high = middle;
        }
    }
    for (size_t i = 0; i < box->column_count; i++) {
        if (box->columns[i].width > low) box->columns[i].width = low;
    }
}

/* From the middle outwards; one always stays. */
static void leave_out(struct box *box, int limit)
{
    size_t left = 0, right = box->column_count; /* shown: before `left`, and from `right` on */
    int width = 1 + 4;
    while (left < right) {
        const bool from_left = left <= box->column_count - right;
        const int more = 3 + box->columns[from_left ? left : right - 1].width;
        if (width + more > limit && left) break;
        width += more;
        if (from_left) {
            left++;
        } else {
            right--;
        }
    }
    for (size_t i = left; i < right; i++) box->columns[i].shown = false;
    box->columns_shown = box->column_count - (right - left);
}

static int terminal_width(const struct sql_session *session)
{
    struct winsize window = {.ws_col = 0};
    uint64_t width = session->options->width;
    const char *columns = getenv("COLUMNS");
    if (!width && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0) width = window.ws_col;
    if (!width && (!columns || !parse_number(columns, &width))) width = WIDTH_OF_A_FILE;
    return width < 10 ? 10 : width > INT32_MAX / 2 ? INT32_MAX / 2 : (int)width;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static void repeat(const char *text, int count)
{
    for (int i = 0; i < count; i++) fputs(text, stdout);
}

enum side { SIDE_LEFT, SIDE_RIGHT, SIDE_MIDDLE };

static void draw_cell(const char *text, int width, enum side side)
{
    int columns = 0;
    size_t bytes = fitting_bytes(text, width, &columns);
    const bool cut = text[bytes] != '\0';
    if (cut) bytes = fitting_bytes(text, width - 1, &columns);
    const int spare = width - columns - cut;
    const int before = side == SIDE_LEFT ? 0 : side == SIDE_RIGHT ? spare : spare / 2;
    repeat(" ", 1 + before);
    fwrite(text, 1, bytes, stdout);
    if (cut) fputs("\u2026", stdout);
    repeat(" ", spare - before + 1);
}

static void draw_line(
    const struct box *box, const char *left, const char *middle, const char *right)
{
    bool first = true, gap = false;
    fputs(left, stdout);
    for (size_t i = 0; i < box->column_count; i++) {
        if (!box->columns[i].shown && gap) continue;
        if (!first) fputs(middle, stdout);
        first = false;
        gap = !box->columns[i].shown;
        repeat("\u2500", gap ? 3 : box->columns[i].width + 2);
    }
    fputs(right, stdout);
    fputc('\n', stdout);
}

/* What one row has in a column. */
typedef const char *(*cell_fn)(const struct column *column, uint64_t row);

static const char *name_cell(const struct column *column, uint64_t row)
{
    (void)row;
    return column->name;
}

static const char *type_cell(const struct column *column, uint64_t row)
{
    (void)row;
    return column->type;
}

static const char *dot_cell(const struct column *column, uint64_t row)
{
    (void)column;
    (void)row;
    return "\u00b7";
}

static const char *value_cell(const struct column *column, uint64_t row)
{
    return column->cells[row] ? column->cells[row] : "NULL";
}

static void draw_row(const struct box *box, cell_fn cell, uint64_t row, bool centred)
{
    bool gap = false;
    for (size_t i = 0; i < box->column_count; i++) {
        const struct column *column = &box->columns[i];
        if (!column->shown && gap) continue;
        fputs("\u2502", stdout);
        gap = !column->shown;
        if (gap) {
            draw_cell(cell == type_cell ? ""
                    : cell == dot_cell  ? "\u00b7"
                                        : "\u2026",
                1, SIDE_LEFT);
        } else {
            const enum side side = centred ? SIDE_MIDDLE : column->right ? SIDE_RIGHT : SIDE_LEFT;
            draw_cell(cell(column, row), column->width, side);
        }
    }
    fputs("\u2502\n", stdout);
}

/* "1000 rows (40 shown)" and "30 columns (5 shown)". */
static void count_words(char *out, size_t out_bytes, const char *what, uint64_t all, uint64_t shown)
{
    size_t length = (size_t)snprintf(out, out_bytes, "%" PRIu64 " %s%s", all, what, plural(all));
    if (shown < all) snprintf(out + length, out_bytes - length, " (%" PRIu64 " shown)", shown);
}

struct footer {
    char rows[64], columns[64];
    bool wanted;
};

static void make_footer(struct box *box, struct footer *footer)
{
    footer->wanted = !box->rows || box->rows > ROWS_WITHOUT_COUNT_MAX || box->shown < box->rows ||
        box->columns_shown < box->column_count;
    count_words(footer->rows, sizeof footer->rows, "row", box->rows, box->shown);
    count_words(
        footer->columns, sizeof footer->columns, "column", box->column_count, box->columns_shown);
    if (!footer->wanted) return;
    const int words = text_width(footer->rows), others = text_width(footer->columns);
    const int inner = line_width(box, INT32_MAX / 4, INT32_MAX / 2) - 4;
    const int missing = (words > others ? words : others) - inner;
    for (size_t i = box->column_count; missing > 0 && i-- > 0;) { /* the last one takes it */
        if (!box->columns[i].shown) continue;
        box->columns[i].width += missing;
        break;
    }
}

static void draw_footer(const struct box *box, const struct footer *footer)
{
    const int inner = line_width(box, INT32_MAX / 4, INT32_MAX / 2) - 4;
    const int spare = inner - text_width(footer->rows) - text_width(footer->columns);
    draw_line(box, "\u251c", "\u2534", "\u2524");
    if (spare >= 2) {
        printf("\u2502 %s%*s%s \u2502\n", footer->rows, spare, "", footer->columns);
    } else {
        fputs("\u2502", stdout);
        draw_cell(footer->rows, inner, SIDE_MIDDLE);
        fputs("\u2502\n\u2502", stdout);
        draw_cell(footer->columns, inner, SIDE_MIDDLE);
        fputs("\u2502\n", stdout);
    }
    fputs("\u2514", stdout);
    repeat("\u2500", inner + 2);
    fputs("\u2518\n", stdout);
}

static void draw(struct box *box, const struct footer *footer)
{
    draw_line(box, "\u250c", "\u252c", "\u2510");
    draw_row(box, name_cell, 0, true);
    draw_row(box, type_cell, 0, true);
    if (box->rows) draw_line(box, "\u251c", "\u253c", "\u2524");
    for (uint64_t row = 0; row < box->shown; row++) {
        if (row == box->head_rows) {
            for (int i = 0; i < 3; i++) draw_row(box, dot_cell, 0, false);
        }
        draw_row(box, value_cell, row, false);
    }
    if (footer->wanted) {
        draw_footer(box, footer);
    } else {
        draw_line(box, "\u2514", "\u2534", "\u2518");
    }
}

static void draw_in(struct box *box)
{
    const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    const locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
    const int limit = terminal_width(box->session);
    struct footer footer;
    measure(box);
    narrow(box, limit);
    if (line_width(box, limit, limit) > limit) leave_out(box, limit);
    make_footer(box, &footer);
    draw(box, &footer);
    if (!utf8) return;
    uselocale(before);
    freelocale(utf8);
}

/* ---- EXPLAIN --------------------------------------------------------------------------------- */

/* Its second column is a drawing of several lines. */
static basalt_status print_explanation(
    struct sql_session *session, void *context, duckdb_data_chunk texts)
{
    (void)context;
    const struct duckdb *duckdb = &session->duckdb;
    const uint64_t rows = duckdb->data_chunk_get_size(texts);
    duckdb_vector vector = duckdb->data_chunk_get_vector(texts, 1);
    for (uint64_t row = 0; row < rows; row++) {
        size_t count = 0;
        const char *text = vector_text(duckdb, vector, row, &count);
        fwrite(text, 1, count, stdout);
        if (count && text[count - 1] != '\n') fputc('\n', stdout);
    }
    return BASALT_OK;
}

basalt_status print_box(struct sql_session *session, struct sql_result *result)
{
    struct box box = {.session = session, .result = result};
    basalt_status status = read_all(&box);
    if (!status && result->explains && result->column_count == 2) {
        status = text_begin(session, result, false);
        if (!status) {
            status = text_of(session, box.chunks, box.chunk_count, print_explanation, NULL);
        }
        text_end(session);
    } else {
        if (!status) status = make_columns(&box);
        watch_query(&session->watch, false);
        if (!status) draw_in(&box);
    }
    clear(&box);
    return status ? status : session_check(session);
}
