/* pickle.c - the plain data in a Python pickle: what PyTables keeps the names of columns in.
 *
 * Lists, tuples, dictionaries, texts, numbers, None, of protocols 0 to 4. A pickle is a program that may
 * call anything: here it calls nothing. What it would construct is a value of which only that is known,
 * BS_PICKLE_OPAQUE; an instruction that is not known ends it with UNSUPPORTED.
 *
 * Every instruction makes at most one value and one cell of a list, so what is made is in proportion to
 * the bytes. A list may hold itself; nothing here walks deeper than one list. */
#include "tables/pickle.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MARK SIZE_MAX
#define LINE_BYTES_MAX 64 /* of a number */
#define PICKLE_BYTES_MAX ((size_t)4 << 20)

struct node {
    enum bs_pickle_kind kind;
    int64_t number;
    double real;
    size_t at, count;   /* text, bytes: in `texts` */
    size_t first, last; /* cells of a list; of a dictionary key, value, key, … */
};

struct cell {
    size_t node, next; /* next: one more than its index; 0: the last */
};

struct bs_pickle {
    struct bs_bytes texts, nodes, cells; /* struct node, struct cell */
    struct bs_bytes stack, memo;         /* size_t: nodes; memo: one more, 0: nothing */
    struct bs_cursor cursor;
    bool bad;
};

static struct node *node_at(const struct bs_pickle *pickle, size_t index)
{
    return (struct node *)(void *)pickle->nodes.data + index;
}

static struct cell *cell_at(const struct bs_pickle *pickle, size_t index)
{
    return (struct cell *)(void *)pickle->cells.data + index;
}

/* ---- the stack ----------------------------------------------------------------------------------- */

static void push(struct bs_pickle *pickle, size_t node)
{
    bs_bytes_put(&pickle->stack, &node, sizeof node);
}

static size_t depth_of(const struct bs_pickle *pickle)
{
    return pickle->stack.count / sizeof(size_t);
}

static size_t peek(struct bs_pickle *pickle, size_t below)
{
    const size_t depth = depth_of(pickle);
    size_t node = MARK;
    if (below < depth) {
        memcpy(&node, pickle->stack.data + (depth - 1 - below) * sizeof node, sizeof node);
    }
    if (node == MARK) pickle->bad = true; /* no value there */
    return node;
}

static size_t pop(struct bs_pickle *pickle)
{
    const size_t node = peek(pickle, 0);
    if (!pickle->bad) pickle->stack.count -= sizeof node;
    return node;
}

static size_t make(struct bs_pickle *pickle, enum bs_pickle_kind kind)
{
    const struct node node = {.kind = kind};
    const size_t index = pickle->nodes.count / sizeof node;
    bs_bytes_put(&pickle->nodes, &node, sizeof node);
    if (pickle->nodes.failed) pickle->bad = true;
    return index;
}

static size_t push_new(struct bs_pickle *pickle, enum bs_pickle_kind kind)
{
    const size_t node = make(pickle, kind);
    push(pickle, node);
    return node;
}

static void push_number(struct bs_pickle *pickle, enum bs_pickle_kind kind, int64_t number)
{
    const size_t node = push_new(pickle, kind);
    if (!pickle->bad) node_at(pickle, node)->number = number;
}

static void push_real(struct bs_pickle *pickle, double real)
{
    const size_t node = push_new(pickle, BS_PICKLE_FLOAT);
    if (!pickle->bad) node_at(pickle, node)->real = real;
}

static void append(struct bs_pickle *pickle, size_t list, size_t node)
{
    const struct cell cell = {.node = node};
    const size_t index = pickle->cells.count / sizeof cell + 1;
    if (pickle->bad) return;
    bs_bytes_put(&pickle->cells, &cell, sizeof cell);
    if (pickle->cells.failed) {
        pickle->bad = true;
        return;
    }
    struct node *into = node_at(pickle, list);
    if (into->last) cell_at(pickle, into->last - 1)->next = index;
    if (!into->first) into->first = index;
    into->last = index;
    into->count++;
}

/* What lies above the last mark goes, in order, to the end of a list; the mark goes too. Where: NULL a new
 * list of `kind`, else what is below the mark. */
static void collect(struct bs_pickle *pickle, enum bs_pickle_kind kind, bool is_new)
{
    const size_t depth = depth_of(pickle);
    size_t at = depth, node;
    while (at > 0) {
        memcpy(&node, pickle->stack.data + (at - 1) * sizeof node, sizeof node);
        if (node == MARK) break;
        at--;
    }
    if (!at || (!is_new && at < 2)) {
        pickle->bad = true;
        return;
    }
    size_t list = 0;
    if (is_new) {
        list = make(pickle, kind);
    } else {
        memcpy(&list, pickle->stack.data + (at - 2) * sizeof list, sizeof list);
        pickle->bad |= list == MARK;
    }
    if (!pickle->bad && node_at(pickle, list)->kind != kind) {
        pickle->bad |= node_at(pickle, list)->kind != BS_PICKLE_OPAQUE;
    }
    for (size_t i = at; !pickle->bad && i < depth; i++) {
        memcpy(&node, pickle->stack.data + i * sizeof node, sizeof node);
        append(pickle, list, node);
    }
    pickle->stack.count = (at - 1) * sizeof node;
    if (is_new) push(pickle, list);
}

/* ---- literals ------------------------------------------------------------------------------------ */

/* A line without its end; false if there is none. */
static bool take_line(struct bs_pickle *pickle, const char **out_line, size_t *out_count)
{
    struct bs_cursor *cursor = &pickle->cursor;
    const uint8_t *end = memchr(cursor->at, '\n', bs_cursor_left(cursor));
    *out_line = (const char *)cursor->at;
    if (!end) {
        pickle->bad = true;
        return false;
    }
    *out_count = (size_t)(end - cursor->at);
    bs_cursor_skip(cursor, *out_count + 1);
    return true;
}

static bool take_number_line(struct bs_pickle *pickle, char out[LINE_BYTES_MAX])
{
    const char *line;
    size_t count = 0;
    if (!take_line(pickle, &line, &count) || count >= LINE_BYTES_MAX) {
        pickle->bad = true;
        return false;
    }
    memcpy(out, line, count);
    out[count] = 0;
    return true;
}

static void push_text(
    struct bs_pickle *pickle, enum bs_pickle_kind kind, const void *bytes, size_t count)
{
    const size_t node = push_new(pickle, kind);
    if (pickle->bad || (count && !bytes)) {
        pickle->bad = true;
        return;
    }
    node_at(pickle, node)->at = pickle->texts.count;
    node_at(pickle, node)->count = count;
    bs_bytes_put(&pickle->texts, bytes, count);
}

static void put_utf8(struct bs_bytes *out, uint32_t rune)
{
    if (rune < 0x80) {
        bs_bytes_u8(out, (uint8_t)rune);
    } else if (rune < 0x800) {
        bs_bytes_u8(out, (uint8_t)(0xC0 | rune >> 6));
        bs_bytes_u8(out, (uint8_t)(0x80 | (rune & 63)));
    } else if (rune < 0x10000) {
        bs_bytes_u8(out, (uint8_t)(0xE0 | rune >> 12));
        bs_bytes_u8(out, (uint8_t)(0x80 | (rune >> 6 & 63)));
        bs_bytes_u8(out, (uint8_t)(0x80 | (rune & 63)));
    } else {
        bs_bytes_u8(out, (uint8_t)(0xF0 | rune >> 18));
        bs_bytes_u8(out, (uint8_t)(0x80 | (rune >> 12 & 63)));
        bs_bytes_u8(out, (uint8_t)(0x80 | (rune >> 6 & 63)));
        bs_bytes_u8(out, (uint8_t)(0x80 | (rune & 63)));
    }
}

/* The digits of an escape, "u" 4 or "U" 8; 0: it is none. */
static size_t escape_of(const char *line, size_t left, uint32_t *out_rune)
{
    const size_t digits = left > 1 && line[1] == 'u' ? 4 : left > 1 && line[1] == 'U' ? 8 : 0;
    *out_rune = 0;
    if (line[0] != '\\' || !digits || left < 2 + digits) return 0;
    for (size_t i = 0; i < digits; i++) {
        const char digit = line[2 + i];
        const uint32_t value = digit >= '0' && digit <= '9' ? (uint32_t)(digit - '0')
            : digit >= 'a' && digit <= 'f'                  ? (uint32_t)(digit - 'a' + 10)
            : digit >= 'A' && digit <= 'F'                  ? (uint32_t)(digit - 'A' + 10)
                                                            : 16;
        if (value == 16) return 0;
        *out_rune = *out_rune << 4 | value;
    }
    return *out_rune <= 0x10FFFF ? 2 + digits : 0;
}

/* Latin-1 with escapes. */
static void push_unicode_line(struct bs_pickle *pickle)
{
    struct bs_bytes text = {0};
    const char *line;
    size_t count = 0;
    if (!take_line(pickle, &line, &count)) return;
    for (size_t i = 0; i < count;) {
        uint32_t rune;
        const size_t escape = escape_of(line + i, count - i, &rune);
        put_utf8(&text, escape ? rune : (uint8_t)line[i]);
        i += escape ? escape : 1;
    }
    if (text.failed) pickle->bad = true;
    push_text(pickle, BS_PICKLE_TEXT, text.data, text.count);
    bs_bytes_free(&text);
}

/* Quoted, of Python 2; one with escapes is not read. */
static void push_string_line(struct bs_pickle *pickle)
{
    const char *line;
    size_t count = 0;
    if (!take_line(pickle, &line, &count)) return;
    if (count < 2 || line[0] != line[count - 1] || (line[0] != '\'' && line[0] != '"') ||
        memchr(line, '\\', count)) {
        pickle->bad = true;
        return;
    }
    push_text(pickle, BS_PICKLE_TEXT, line + 1, count - 2);
}

static void push_integer_line(struct bs_pickle *pickle)
{
    char line[LINE_BYTES_MAX], *end;
    if (!take_number_line(pickle, line)) return;
    if (!strcmp(line, "00") || !strcmp(line, "01")) {
        push_number(pickle, BS_PICKLE_BOOL, line[1] == '1');
        return;
    }
    const long long value = strtoll(line, &end, 10);
    if (end == line || (*end && strcmp(end, "L") != 0)) pickle->bad = true;
    push_number(pickle, BS_PICKLE_INTEGER, value);
}

static void push_float_line(struct bs_pickle *pickle)
{
    char line[LINE_BYTES_MAX], *end;
    if (!take_number_line(pickle, line)) return;
    const double value = strtod(line, &end);
    if (end == line || *end) pickle->bad = true;
    push_real(pickle, value);
}

static void push_double(struct bs_pickle *pickle)
{
    const uint8_t *bytes = bs_cursor_bytes(&pickle->cursor, 8);
    uint64_t bits = 0;
    double value;
    for (unsigned i = 0; bytes && i < 8; i++) bits = bits << 8 | bytes[i];
    memcpy(&value, &bits, sizeof value);
    push_real(pickle, value);
}

static void push_long(struct bs_pickle *pickle)
{
    const size_t count = bs_cursor_u8(&pickle->cursor);
    const uint8_t *bytes = bs_cursor_bytes(&pickle->cursor, count);
    uint64_t value = 0;
    if (count > 8 || !bytes) {
        pickle->bad |= count > 0;
    } else {
        if (count && bytes[count - 1] & 0x80) value = UINT64_MAX;
        for (size_t i = count; i-- > 0;) value = value << 8 | bytes[i];
    }
    push_number(pickle, BS_PICKLE_INTEGER, (int64_t)value);
}

static void push_counted(struct bs_pickle *pickle, enum bs_pickle_kind kind, size_t count)
{
    push_text(pickle, kind, bs_cursor_bytes(&pickle->cursor, count), count);
}

/* ---- memory of what was made --------------------------------------------------------------------- */

static void remember(struct bs_pickle *pickle, uint64_t key)
{
    const size_t node = peek(pickle, 0), entry = node + 1;
    struct bs_bytes *memo = &pickle->memo;
    if (pickle->bad || key > pickle->nodes.count / sizeof(struct node)) { /* they are numbered */
        pickle->bad = true;
        return;
    }
    while (!memo->failed && memo->count / sizeof entry <= key) {
        const size_t nothing = 0;
        bs_bytes_put(memo, &nothing, sizeof nothing);
    }
    if (memo->failed) {
        pickle->bad = true;
        return;
    }
    memcpy(memo->data + key * sizeof entry, &entry, sizeof entry);
}

static void recall(struct bs_pickle *pickle, uint64_t key)
{
    size_t entry = 0;
    if (key < pickle->memo.count / sizeof entry) {
        memcpy(&entry, pickle->memo.data + key * sizeof entry, sizeof entry);
    }
    if (entry) {
        push(pickle, entry - 1);
    } else {
        pickle->bad = true;
    }
}

static uint64_t take_key(struct bs_pickle *pickle)
{
    char line[LINE_BYTES_MAX], *end;
    if (!take_number_line(pickle, line)) return 0;
    const unsigned long long key = strtoull(line, &end, 10);
    if (end == line || *end || line[0] == '-') pickle->bad = true;
    return key;
}

/* ---- instructions -------------------------------------------------------------------------------- */

/* So many values become one of which nothing is known. */
static void construct(struct bs_pickle *pickle, unsigned from)
{
    while (from-- > 0 && !pickle->bad) (void)pop(pickle);
    (void)push_new(pickle, BS_PICKLE_OPAQUE);
}

static void make_tuple(struct bs_pickle *pickle, unsigned count)
{
    const size_t list = make(pickle, BS_PICKLE_LIST);
    for (unsigned i = count; i-- > 0;) append(pickle, list, peek(pickle, i));
    for (unsigned i = 0; i < count && !pickle->bad; i++) (void)pop(pickle);
    push(pickle, list);
}

/* The last `count` values go into what is below them. */
static void put_into(struct bs_pickle *pickle, unsigned count, enum bs_pickle_kind kind)
{
    const size_t list = peek(pickle, count);
    if (pickle->bad) return;
    const enum bs_pickle_kind is = node_at(pickle, list)->kind;
    pickle->bad |= is != kind && is != BS_PICKLE_OPAQUE;
    for (unsigned i = count; i-- > 0;) append(pickle, list, peek(pickle, i));
    for (unsigned i = 0; i < count && !pickle->bad; i++) (void)pop(pickle);
}

static void skip_global(struct bs_pickle *pickle)
{
    const char *line;
    size_t count = 0;
    if (take_line(pickle, &line, &count)) (void)take_line(pickle, &line, &count);
    (void)push_new(pickle, BS_PICKLE_OPAQUE);
}

/* False: it is none of these. */
static bool run_literal(struct bs_pickle *pickle, uint8_t code)
{
    struct bs_cursor *cursor = &pickle->cursor;
    switch (code) {
    case 'N': (void)push_new(pickle, BS_PICKLE_NONE); return true;
    case 'I':
    case 'L': push_integer_line(pickle); return true;
    case 'F': push_float_line(pickle); return true;
    case 'V': push_unicode_line(pickle); return true;
    case 'S': push_string_line(pickle); return true;
    case 'J': push_number(pickle, BS_PICKLE_INTEGER, (int32_t)bs_cursor_u32(cursor)); return true;
    case 'K': push_number(pickle, BS_PICKLE_INTEGER, bs_cursor_u8(cursor)); return true;
    case 'M': push_number(pickle, BS_PICKLE_INTEGER, bs_cursor_u16(cursor)); return true;
    case 'G': push_double(pickle); return true;
    case 0x8A: push_long(pickle); return true;
    case 0x88:
    case 0x89: push_number(pickle, BS_PICKLE_BOOL, code == 0x88); return true;
    case 'X':
    case 'T': push_counted(pickle, BS_PICKLE_TEXT, bs_cursor_u32(cursor)); return true;
    case 'U':
    case 0x8C: push_counted(pickle, BS_PICKLE_TEXT, bs_cursor_u8(cursor)); return true;
    case 'B': push_counted(pickle, BS_PICKLE_BYTES, bs_cursor_u32(cursor)); return true;
    case 'C': push_counted(pickle, BS_PICKLE_BYTES, bs_cursor_u8(cursor)); return true;
    default: return false;
    }
}

static bool run_list(struct bs_pickle *pickle, uint8_t code)
{
    switch (code) {
    case '(': push(pickle, MARK); return true;
    case ']':
    case ')': (void)push_new(pickle, BS_PICKLE_LIST); return true;
    case '}': (void)push_new(pickle, BS_PICKLE_DICT); return true;
    case 'l':
    case 't': collect(pickle, BS_PICKLE_LIST, true); return true;
    case 'd': collect(pickle, BS_PICKLE_DICT, true); return true;
    case 'e': collect(pickle, BS_PICKLE_LIST, false); return true;
    case 'u': collect(pickle, BS_PICKLE_DICT, false); return true;
    case 'a': put_into(pickle, 1, BS_PICKLE_LIST); return true;
    case 's': put_into(pickle, 2, BS_PICKLE_DICT); return true;
    case 0x85:
    case 0x86:
    case 0x87: make_tuple(pickle, code - 0x84u); return true;
    default: return false;
    }
}

static bool run_other(struct bs_pickle *pickle, uint8_t code)
{
    struct bs_cursor *cursor = &pickle->cursor;
    switch (code) {
    case 'p': remember(pickle, take_key(pickle)); return true;
    case 'q': remember(pickle, bs_cursor_u8(cursor)); return true;
    case 'r': remember(pickle, bs_cursor_u32(cursor)); return true;
    case 0x94: remember(pickle, pickle->memo.count / sizeof(size_t)); return true;
    case 'g': recall(pickle, take_key(pickle)); return true;
    case 'h': recall(pickle, bs_cursor_u8(cursor)); return true;
    case 'j': recall(pickle, bs_cursor_u32(cursor)); return true;
    case 'c': skip_global(pickle); return true;
    case 'R':
    case 'b':
    case 0x81:
    case 0x93: construct(pickle, 2); return true;
    case '0': (void)pop(pickle); return true;
    case 0x80: bs_cursor_skip(cursor, 1); return true;
    case 0x95: bs_cursor_skip(cursor, 8); return true;
    default: return false;
    }
}

static void run(struct bs_pickle *pickle)
{
    while (!pickle->bad && !pickle->cursor.failed) {
        const uint8_t code = bs_cursor_u8(&pickle->cursor);
        if (pickle->cursor.failed || code == '.') break;
        if (!run_literal(pickle, code) && !run_list(pickle, code) && !run_other(pickle, code)) {
            pickle->bad = true;
        }
    }
}

/* ---- entry points -------------------------------------------------------------------------------- */

basalt_status bs_pickle_read(
    const void *bytes, size_t count, struct bs_pickle **out_pickle, basalt_error *err)
{
    *out_pickle = NULL;
    struct bs_pickle *pickle = bs_alloc_zeroed(1, sizeof *pickle);
    if (!pickle) return bs_fail_memory(err, sizeof *pickle);
    pickle->cursor = bs_cursor_make(bytes, count, BASALT_NO_OFFSET);
    if (count > PICKLE_BYTES_MAX) pickle->bad = true;
    run(pickle);
    basalt_status status = bs_bytes_check(&pickle->texts, err);
    if (!status) status = bs_bytes_check(&pickle->nodes, err);
    if (!status) status = bs_bytes_check(&pickle->cells, err);
    if (!status) status = bs_bytes_check(&pickle->stack, err);
    if (!status) status = bs_bytes_check(&pickle->memo, err);
    if (!status && (pickle->bad || pickle->cursor.failed || depth_of(pickle) != 1)) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "a pickle holds more than plain data, or is damaged");
    }
    if (status) {
        bs_pickle_free(pickle);
        return status;
    }
    *out_pickle = pickle;
    return BASALT_OK;
}

void bs_pickle_free(struct bs_pickle *pickle)
{
    if (!pickle) return;
    bs_bytes_free(&pickle->texts);
    bs_bytes_free(&pickle->nodes);
    bs_bytes_free(&pickle->cells);
    bs_bytes_free(&pickle->stack);
    bs_bytes_free(&pickle->memo);
    bs_free(pickle);
}

size_t bs_pickle_root(const struct bs_pickle *pickle)
{
    size_t root;
    memcpy(&root, pickle->stack.data, sizeof root);
    return root == MARK ? BS_PICKLE_NOTHING : root;
}

enum bs_pickle_kind bs_pickle_kind(const struct bs_pickle *pickle, size_t value)
{
    return value == BS_PICKLE_NOTHING ? BS_PICKLE_OPAQUE : node_at(pickle, value)->kind;
}

int64_t bs_pickle_integer(const struct bs_pickle *pickle, size_t value)
{
    return node_at(pickle, value)->number;
}

size_t bs_pickle_first(const struct bs_pickle *pickle, size_t list)
{
    const enum bs_pickle_kind kind = bs_pickle_kind(pickle, list);
    return kind == BS_PICKLE_LIST || kind == BS_PICKLE_DICT ? node_at(pickle, list)->first : 0;
}

size_t bs_pickle_next(const struct bs_pickle *pickle, size_t place, size_t *out_value)
{
    *out_value = cell_at(pickle, place - 1)->node;
    return cell_at(pickle, place - 1)->next;
}

bool bs_pickle_is_text(const struct bs_pickle *pickle, size_t value, const char *text)
{
    if (bs_pickle_kind(pickle, value) != BS_PICKLE_TEXT) return false;
    const struct node *node = node_at(pickle, value);
    return node->count == strlen(text) && !memcmp(pickle->texts.data + node->at, text, node->count);
}

size_t bs_pickle_get(const struct bs_pickle *pickle, size_t dict, const char *key)
{
    size_t name, value, found = BS_PICKLE_NOTHING;
    if (bs_pickle_kind(pickle, dict) != BS_PICKLE_DICT) return found;
    for (size_t at = bs_pickle_first(pickle, dict); at;) {
        at = bs_pickle_next(pickle, at, &name);
        if (!at) break;
        at = bs_pickle_next(pickle, at, &value);
        if (bs_pickle_is_text(pickle, name, key)) found = value;
    }
    return found;
}

static void put_real(struct bs_bytes *out, double value)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    const bool whole = isfinite(value) && !strpbrk(text, ".e");
    bs_bytes_text(out, "%s%s", text, whole ? ".0" : "");
}

bool bs_pickle_label(const struct bs_pickle *pickle, size_t value, struct bs_bytes *out)
{
    const struct node *node = value == BS_PICKLE_NOTHING ? NULL : node_at(pickle, value);
    switch (bs_pickle_kind(pickle, value)) {
    case BS_PICKLE_NONE: bs_bytes_text(out, "None"); return true;
    case BS_PICKLE_BOOL: bs_bytes_text(out, "%s", node->number ? "True" : "False"); return true;
    case BS_PICKLE_INTEGER: bs_bytes_text(out, "%" PRId64, node->number); return true;
    case BS_PICKLE_FLOAT: put_real(out, node->real); return true;
    case BS_PICKLE_TEXT:
    case BS_PICKLE_BYTES:
        bs_bytes_put(out, pickle->texts.data + node->at, node->count);
        return bs_utf8_valid((const char *)pickle->texts.data + node->at, node->count) &&
            !memchr(pickle->texts.data + node->at, 0, node->count);
    case BS_PICKLE_LIST:
    case BS_PICKLE_DICT:
    case BS_PICKLE_OPAQUE: break;
    }
    return false;
}
