/* h5_virtual.c - virtual datasets (FF IV.A.2.i, layout class 3): elements that lie in other datasets.
 *
 * MAPPING  name of a file ("." is the one at hand), name of a dataset, what is selected of that, where
 *          it goes: the k-th element of the one selection is the k-th of the other. They lie in the
 *          global heap.
 *
 * Where the target has no end, the sources say how large the dataset is, when it is opened: either the
 * source has no end too, or its name has a "%b", which stands for 0, 1, 2 … as far as there are such
 * sources, each of which fills one block of the target. What no source gives has the fill value.
 *
 * Sources may be virtual themselves, and a hostile file leads in circles. So they are nested only so
 * deep, and what nested ones cost is paid from the credit of the outermost, which each read of it
 * renews. Sources that were opened stay so with the dataset; its mutex guards which, not their opening. */
#include "h5/h5_virtual.h"
#include "h5/read_internal.h"

#include <inttypes.h>

#define DEPTH_MAX 8
#define SOURCES_KEPT_MAX 256 /* opened with the dataset; those of further mappings each time */
#define BLOCKS_MAX 65536     /* of one name with a number in it */
#define CREDIT                                                                                     \
    ((int64_t)1 << 20) /* mappings looked at and pieces copied, by nested datasets, for a read */
#define OPEN_COST 15   /* and one more for each COST_BYTES of it */
#define COST_BYTES 256
#define MAPPINGS_BYTES_FREE_MAX ((uint64_t)36 << 20) /* of memory, whatever the file */
#define MAPPINGS_TO_FILE_MAX 6
#define ROWS_BYTES_MAX ((uint64_t)12 << 20) /* of all irregular selections, and once the file */
#define PIECES_MAX 256
#define BATCH_BYTES                                                                                \
    ((uint64_t)4 << 20) /* read of a source at once, around pieces that are wanted */
#define OVERLAP_MAX 4
#define MAPPING_BYTES_MIN 18 /* two names, two selections */
#define FLAG_FILE_SHARED 1   /* of a mapping of HDF5 2.0: a number says which one has the name */
#define FLAG_DATASET_SHARED 2
#define FLAG_SAME_FILE 4

struct mapping {
    const char *file, *dataset; /* in the memory of all */
    struct bs_h5_selected source, target;
    bool numbered;               /* a block of the target for each number in the names */
    uint64_t blocks;             /* numbered: how many sources there are */
    struct bs_h5_object *object; /* the opened source, or NULL; guarded */
};

struct bs_h5_virtual {
    struct bs_h5_file *h5;
    const struct bs_h5_dataset *dataset;
    unsigned depth;
    struct bs_h5_virtual *top;
    _Atomic int64_t credit; /* of the top one */
    bs_mutex mutex;
    size_t count;
    struct mapping *mappings;
    uint8_t *memory; /* the heap object */
};

void bs_h5_virtual_free(struct bs_h5_virtual *all)
{
    if (!all) return;
    for (size_t i = 0; i < all->count; i++) {
        bs_h5_selected_free(&all->mappings[i].source);
        bs_h5_selected_free(&all->mappings[i].target);
        bs_h5_object_close(all->mappings[i].object);
    }
    bs_free(all->mappings);
    bs_free(all->memory);
    bs_mutex_destroy(&all->mutex);
    bs_free(all);
}

static basalt_status spend(struct bs_h5_virtual *all, uint64_t amount, basalt_error *err)
{
    const int64_t cost = (int64_t)BS_MIN(amount, (uint64_t)INT64_MAX / 4);

    if (atomic_fetch_sub(&all->top->credit, cost) >= cost) return BASALT_OK;
    atomic_fetch_add(&all->top->credit, cost);
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "virtual datasets lead from one to the next too often");
}

/* ---- decoding --------------------------------------------------------------------------------- */

static bool has_number(const char *text)
{
    for (; (text = strchr(text, '%')) != NULL; text += 2) {
        if (text[1] == 'b') return true;
        if (!text[1]) return false;
    }
    return false;
}

static basalt_status decode_names(struct bs_h5_virtual *all, struct bs_cursor *cursor,
    uint8_t version, size_t index, basalt_error *err)
{
    struct mapping *mapping = &all->mappings[index];
    const uint8_t flags = version ? bs_cursor_u8(cursor) : 0;
    uint64_t shared = 0;

    if (flags & FLAG_SAME_FILE) {
        mapping->file = ".";
    } else if (flags & FLAG_FILE_SHARED) {
        shared = bs_h5_length(all->h5, cursor);
        mapping->file = shared < index ? all->mappings[shared].file : NULL;
    } else {
        mapping->file = bs_cursor_string(cursor);
    }
    if (flags & FLAG_DATASET_SHARED) {
        shared = bs_h5_length(all->h5, cursor);
        mapping->dataset = shared < index ? all->mappings[shared].dataset : NULL;
    } else {
        mapping->dataset = bs_cursor_string(cursor);
    }
    if (mapping->file && mapping->dataset) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor),
        "a mapping of a virtual dataset has no names");
}

static basalt_status decode_mapping(struct bs_h5_virtual *all, struct bs_cursor *cursor,
    uint8_t version, size_t index, basalt_error *err)
{
    struct mapping *mapping = &all->mappings[index];
    basalt_status status = decode_names(all, cursor, version, index, err);

    if (!status) status = bs_h5_selected_decode(cursor, &mapping->source, err);
    if (!status) status = bs_h5_selected_decode(cursor, &mapping->target, err);
    if (status) return status;
    const bool ends = mapping->target.unlimited < 0;
    mapping->numbered = !ends && mapping->source.unlimited < 0 &&
        (has_number(mapping->file) || has_number(mapping->dataset));
    const bool wrong_rank = mapping->target.rank != all->dataset->space.rank;
    if ((wrong_rank && mapping->target.rank) || (ends && mapping->source.unlimited >= 0) ||
        (!ends && mapping->source.unlimited < 0 && !mapping->numbered))
        return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor),
            "a mapping of a virtual dataset has selections that do not fit each other");
    return BASALT_OK;
}

static basalt_status too_many(const struct bs_h5_virtual *all, basalt_error *err)
{
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the mappings of a virtual dataset take more memory than 64 MiB and 8 times the file, "
        "which has %" PRIu64 " bytes",
        all->h5->bytes);
}

static uint64_t row_bytes_of(const struct bs_h5_selected *selected)
{
    return selected->row_count * (uint64_t)bs_h5_selected_row_bytes(selected);
}

static basalt_status decode(struct bs_h5_virtual *all, struct bs_cursor cursor, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    uint64_t row_bytes = 0;
    const size_t bytes = bs_cursor_left(&cursor);
    const uint8_t version = bs_cursor_u8(&cursor);
    const uint64_t count = bs_h5_length(all->h5, &cursor);

    if (!cursor.failed && version > 1)
        return bs_fail(err, BASALT_UNSUPPORTED, cursor.file_offset,
            "virtual datasets of version %u are newer than this reader", version);
    if (bytes < 4 || !bs_lookup3_is(cursor.start, bytes - 4, bs_load_u32(cursor.start + bytes - 4)))
        return bs_fail(err, BASALT_CORRUPT, cursor.file_offset,
            "the checksum of a virtual dataset's mappings does not match");
    if (count > bs_cursor_left(&cursor) / MAPPING_BYTES_MIN)
        return bs_fail(err, BASALT_CORRUPT, cursor.file_offset,
            "a virtual dataset claims more mappings than it holds");
    if (count * sizeof *all->mappings >
        MAPPINGS_BYTES_FREE_MAX + MAPPINGS_TO_FILE_MAX * all->h5->bytes)
        return too_many(all, err);
    all->mappings = bs_alloc_zeroed(BS_MAX((size_t)count, (size_t)1), sizeof *all->mappings);
    if (!all->mappings) return bs_fail_memory(err, (size_t)count * sizeof *all->mappings);
    all->count = (size_t)count;
    for (size_t i = 0; !status && i < all->count; i++) {
        status = decode_mapping(all, &cursor, version, i, err);
        row_bytes +=
            row_bytes_of(&all->mappings[i].source) + row_bytes_of(&all->mappings[i].target);
        if (!status && row_bytes > ROWS_BYTES_MAX + all->h5->bytes) status = too_many(all, err);
    }
    return status;
}

/* ---- sources ---------------------------------------------------------------------------------- */

static basalt_status expand(
    const char *name, uint64_t number, struct bs_bytes *out, basalt_error *err)
{
    out->count = 0;
    for (; *name; name++) {
        if (name[0] == '%' && name[1] == 'b')
            bs_bytes_text(out, "%" PRIu64, number);
        else if (name[0] != '%' || name[1] != '%')
            bs_bytes_u8(out, (uint8_t)*name);
        else
            bs_bytes_u8(out, '%');
        if (name[0] == '%' && (name[1] == 'b' || name[1] == '%')) name++;
    }
    bs_bytes_u8(out, 0);
    return bs_bytes_check(out, err);
}

static basalt_status open_named(struct bs_h5_virtual *all, const char *file, const char *dataset,
    struct bs_h5_object **out_object, basalt_error *err)
{
    struct bs_h5_opened opened = {.h5 = all->h5};
    basalt_status status = BASALT_OK;

    if (strcmp(file, ".") != 0) status = bs_h5_other_take(all->h5, file, false, &opened, err);
    if (!status) status = bs_h5_object_open_under(opened.h5, dataset, all, out_object, err);
    if (status || (*out_object)->opened.id)
        bs_h5_other_give(all->h5, &opened);
    else if (opened.id)
        (*out_object)->opened = opened;
    return status;
}

/* NOT_FOUND if the source is missing, or is no dataset. */
static basalt_status open_source(struct bs_h5_virtual *all, const struct mapping *mapping,
    uint64_t number, struct bs_h5_object **out_object, basalt_error *err)
{
    struct bs_bytes file = {0}, dataset = {0};

    *out_object = NULL;
    if (all->depth >= DEPTH_MAX)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "virtual datasets are nested more than %d deep: a cycle?", DEPTH_MAX);
    basalt_status status = spend(all, OPEN_COST, err);
    if (!status) status = expand(mapping->file, number, &file, err);
    if (!status) status = expand(mapping->dataset, number, &dataset, err);
    if (!status)
        status =
            open_named(all, (const char *)file.data, (const char *)dataset.data, out_object, err);
    bs_bytes_free(&file);
    bs_bytes_free(&dataset);
    if (!status) status = spend(all, bs_h5_object_bytes(*out_object) / COST_BYTES, err);
    if (!status && !(*out_object)->dataset)
        status = bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "a source is no dataset");
    if (status) bs_h5_object_close(*out_object);
    if (status) *out_object = NULL;
    return status;
}

/* The source of a mapping; *out_kept says that the mapping owns it. */
static basalt_status take_source(struct bs_h5_virtual *all, struct mapping *mapping,
    uint64_t number, struct bs_h5_object **out_object, bool *out_kept, basalt_error *err)
{
    const bool keep = !mapping->numbered && (size_t)(mapping - all->mappings) < SOURCES_KEPT_MAX;

    *out_kept = keep;
    bs_mutex_lock(&all->mutex);
    *out_object = keep ? mapping->object : NULL;
    bs_mutex_unlock(&all->mutex);
    if (*out_object) return BASALT_OK;
    basalt_status status = open_source(all, mapping, number, out_object, err);
    if (status || !keep) return status;

    bs_mutex_lock(&all->mutex);
    struct bs_h5_object *mine = *out_object;
    if (mapping->object)
        *out_object = mapping->object;
    else
        mapping->object = mine;
    bs_mutex_unlock(&all->mutex);
    if (mine != *out_object) bs_h5_object_close(mine);
    return BASALT_OK;
}

/* ---- the extent ------------------------------------------------------------------------------- */

/* Of a source that is there, but more than this reader follows, the dataset cannot do without. */
static bool is_missing(basalt_status status)
{
    return status && status != BASALT_NO_MEMORY && status != BASALT_IO_ERROR &&
        status != BASALT_TOO_LARGE && status != BASALT_UNSUPPORTED;
}

static uint64_t end_of(const struct bs_h5_strip *axis, uint64_t places)
{
    return places ? bs_h5_strip_place(axis, places - 1) + 1 : 0;
}

/* How far the sources of a mapping without an end reach. What cannot be opened now has no say. */
static basalt_status find_end(
    struct bs_h5_virtual *all, struct mapping *mapping, uint64_t *out_end, basalt_error *err)
{
    const struct bs_h5_strip *target = &mapping->target.axes[mapping->target.unlimited];
    struct bs_h5_object *object = NULL;
    bool kept = false;
    basalt_status status = BASALT_OK;

    *out_end = 0;
    if (!mapping->numbered) {
        status = take_source(all, mapping, 0, &object, &kept, err);
        if (is_missing(status)) return BASALT_OK;
        if (status) return status;
        const int axis = mapping->source.unlimited;
        if ((unsigned)axis < object->dataset->space.rank)
            *out_end = end_of(target,
                bs_h5_strip_clip(&mapping->source.axes[axis], object->dataset->space.dims[axis]));
        if (!kept) bs_h5_object_close(object);
        return BASALT_OK;
    }
    for (mapping->blocks = 0; mapping->blocks < BLOCKS_MAX; mapping->blocks++) {
        status = open_source(all, mapping, mapping->blocks, &object, err);
        if (status) break;
        bs_h5_object_close(object);
    }
    if (!status)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a virtual dataset has over %d numbered sources, \"%.80s\"", BLOCKS_MAX, mapping->file);
    *out_end = end_of(target, mapping->blocks * BS_MIN(target->block, UINT64_MAX / BLOCKS_MAX));
    return is_missing(status) ? BASALT_OK : status;
}

static void grow_to_rows(const struct bs_h5_selected *target, unsigned axis, uint64_t *end)
{
    for (size_t i = 0; i < target->row_count; i++) {
        const struct bs_h5_listed_row *row = bs_h5_selected_row(target, i);
        *end = BS_MAX(*end, row->at[axis] + (axis + 1 == target->rank ? row->length : 1));
    }
}

static basalt_status set_extent(
    struct bs_h5_virtual *all, struct bs_h5_space *space, basalt_error *err)
{
    uint64_t ends[BS_H5_RANK_MAX] = {0};
    bool open_ended[BS_H5_RANK_MAX] = {false};
    basalt_status status = BASALT_OK;

    for (size_t i = 0; !status && i < all->count; i++) {
        const struct bs_h5_selected *target = &all->mappings[i].target;
        for (unsigned d = 0; !target->listed && d < target->rank; d++)
            if ((int)d != target->unlimited)
                ends[d] = BS_MAX(ends[d], end_of(&target->axes[d], target->axes[d].length));
        for (unsigned d = 0; target->listed && d < target->rank; d++)
            grow_to_rows(target, d, &ends[d]);
        if (target->unlimited < 0) continue;
        uint64_t end = 0;
        status = find_end(all, &all->mappings[i], &end, err);
        ends[target->unlimited] = BS_MAX(ends[target->unlimited], end);
        open_ended[target->unlimited] = true;
    }
    for (unsigned d = 0; !status && d < space->rank; d++)
        if (open_ended[d]) space->dims[d] = BS_MIN(ends[d], space->max_dims[d]);
    return status;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static basalt_status load(struct bs_h5_virtual *all, uint32_t index, basalt_error *err)
{
    struct bs_h5_heap *heap = NULL;
    struct bs_cursor object = {0};

    basalt_status status = bs_h5_heap_open(all->h5, &heap, err);
    if (!status) status = bs_h5_heap_object(heap, all->dataset->address, index, &object, err);
    if (!status) {
        const size_t count = bs_cursor_left(&object);
        all->memory = bs_copy_bytes(object.at, count);
        status = all->memory
            ? decode(all, bs_cursor_make(all->memory, count, object.file_offset), err)
            : bs_fail_memory(err, count);
    }
    bs_h5_heap_close(heap);
    return status;
}

basalt_status bs_h5_virtual_open(
    struct bs_h5_object *object, struct bs_h5_virtual *parent, basalt_error *err)
{
    struct bs_h5_virtual *all = bs_alloc_zeroed(1, sizeof *all);
    basalt_status status = BASALT_OK;

    if (!all) return bs_fail_memory(err, sizeof *all);
    all->h5 = object->h5;
    all->dataset = object->dataset;
    all->depth = parent ? parent->depth + 1 : 0;
    all->top = parent ? parent->top : all;
    atomic_init(&all->credit, CREDIT);
    bs_mutex_init(&all->mutex);
    object->sources = all;
    if (object->dataset->address != BS_H5_UNDEFINED && object->detail.heap_index)
        status = load(all, object->detail.heap_index, err);
    return status ? status : set_extent(all, &object->dataset->space, err);
}

/* ---- reading ---------------------------------------------------------------------------------- */

struct piece { /* elements that lie side by side in the source and in the box */
    uint64_t at[BS_H5_RANK_MAX], length, to;
};

struct gatherer {
    struct bs_h5_virtual *all;
    const struct bs_h5_read_how *how;
    const uint64_t *start, *count; /* the box that is wanted */
    uint8_t *out;
    uint64_t element, placed, wanted; /* bytes of one; elements so far, in the box */
    const struct bs_h5_object *object;
    struct bs_h5_selected source, target; /* of the mapping at hand, with ends */
    struct piece pieces[PIECES_MAX];
    size_t piece_count;
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX]; /* around the pieces */
    uint64_t pieces_elements;
    uint8_t *memory;
    uint64_t memory_bytes;
};

static uint64_t volume_of(const uint64_t *low, const uint64_t *high, unsigned rank)
{
    uint64_t volume = 1;
    for (unsigned i = 0; i < rank; i++) {
        if (volume > BATCH_BYTES) return UINT64_MAX;
        volume *= BS_MIN(high[i] - low[i], BATCH_BYTES + 1);
    }
    return volume;
}

static void copy_pieces(const struct gatherer *gatherer)
{
    const unsigned rank = gatherer->source.rank;

    for (size_t p = 0; p < gatherer->piece_count; p++) {
        const struct piece *piece = &gatherer->pieces[p];
        uint64_t from = 0;
        for (unsigned i = 0; i < rank; i++)
            from = from * (gatherer->high[i] - gatherer->low[i]) + piece->at[i] - gatherer->low[i];
        memcpy(gatherer->out + piece->to * gatherer->element,
            gatherer->memory + from * gatherer->element,
            (size_t)(piece->length * gatherer->element));
    }
}

static basalt_status flush(struct gatherer *gatherer, basalt_error *err)
{
    struct bs_h5_selection box = {.kind = BS_H5_SELECT_HYPERSLAB, .rank = gatherer->source.rank};
    struct bs_h5_read_how how = {.sched = gatherer->how->sched, .cancel = gatherer->how->cancel};
    const bool direct = gatherer->piece_count == 1;
    uint64_t bytes = gatherer->element;

    if (!gatherer->piece_count) return BASALT_OK;
    for (unsigned i = 0; i < box.rank; i++) {
        box.start[i] = gatherer->low[i];
        box.count[i] = 1;
        box.stride[i] = box.block[i] = gatherer->high[i] - gatherer->low[i];
        bytes *= box.block[i];
    }
    if (!bs_h5_type_equal(gatherer->object->dataset->type, gatherer->all->dataset->type))
        how.as = gatherer->all->dataset->type;
    if (!direct && bytes > gatherer->memory_bytes) {
        bs_free(gatherer->memory);
        gatherer->memory = bs_alloc((size_t)bytes);
        gatherer->memory_bytes = gatherer->memory ? bytes : 0;
        if (!gatherer->memory) return bs_fail_memory(err, (size_t)bytes);
    }
    uint8_t *to =
        direct ? gatherer->out + gatherer->pieces[0].to * gatherer->element : gatherer->memory;
    basalt_status status =
        bs_h5_read_selection(gatherer->object->h5, gatherer->object, &box, &how, to, bytes, err);
    if (!status && gatherer->object->h5 != gatherer->all->h5)
        bs_h5_heap_mark(gatherer->all->dataset->type, to, bytes / gatherer->element,
            gatherer->object->opened.id);
    if (!status && !direct) copy_pieces(gatherer);
    gatherer->piece_count = 0;
    gatherer->pieces_elements = 0;
    return status;
}

static basalt_status add_piece(
    struct gatherer *gatherer, const uint64_t *at, uint64_t length, uint64_t to, basalt_error *err)
{
    const struct bs_h5_dataset *from = gatherer->object->dataset;
    const unsigned rank = gatherer->source.rank, last = rank - 1;
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX];
    basalt_status status = BASALT_OK;

    for (unsigned i = 0; i < rank; i++)
        if (at[i] >= from->space.dims[i]) return BASALT_OK; /* the source has shrunk */
    length = BS_MIN(length, from->space.dims[last] - at[last]);
    for (unsigned i = 0; i < rank; i++) {
        const uint64_t end = at[i] + (i == last ? length : 1);
        low[i] = gatherer->piece_count ? BS_MIN(gatherer->low[i], at[i]) : at[i];
        high[i] = gatherer->piece_count ? BS_MAX(gatherer->high[i], end) : end;
    }
    /* A nested dataset is asked for nothing that is not wanted: its cost would multiply. */
    const uint64_t volume = volume_of(low, high, rank);
    const bool apart = from->layout == BS_H5_VIRTUAL && volume > gatherer->pieces_elements + length;
    if (gatherer->piece_count == PIECES_MAX ||
        (gatherer->piece_count && (apart || volume > BATCH_BYTES / gatherer->element))) {
        status = flush(gatherer, err);
        return status ? status : add_piece(gatherer, at, length, to, err);
    }
    struct piece *piece = &gatherer->pieces[gatherer->piece_count++];
    memcpy(piece->at, at, rank * sizeof *at);
    piece->length = length;
    piece->to = to;
    memcpy(gatherer->low, low, rank * sizeof *low);
    memcpy(gatherer->high, high, rank * sizeof *high);
    gatherer->pieces_elements += length;
    return BASALT_OK;
}

/* The elements from number `index` on, which go to `at` in the dataset: all inside the box. */
static basalt_status add_run(struct gatherer *gatherer, uint64_t index, const uint64_t *at,
    uint64_t length, basalt_error *err)
{
    const unsigned rank = gatherer->target.rank;
    uint64_t to = 0, from[BS_H5_RANK_MAX];
    basalt_status status = BASALT_OK;

    for (unsigned i = 0; i < rank; i++) to = to * gatherer->count[i] + (at[i] - gatherer->start[i]);
    gatherer->placed += length;
    if (gatherer->placed / OVERLAP_MAX > gatherer->wanted)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the mappings of a virtual dataset overlap each other");
    while (!status && length) {
        const uint64_t run = BS_MIN(length, bs_h5_selected_find(&gatherer->source, index, from));
        if (gatherer->all->depth) status = spend(gatherer->all, 1 + run / 64, err);
        if (!status) status = add_piece(gatherer, from, run, to, err);
        index += run;
        to += run;
        length -= run;
    }
    return status;
}

static basalt_status gather_listed(struct gatherer *gatherer, basalt_error *err)
{
    const struct bs_h5_selected *target = &gatherer->target;
    const unsigned last = target->rank - 1;
    basalt_status status = BASALT_OK;

    for (size_t r = 0; !status && r < target->row_count; r++) {
        const struct bs_h5_listed_row *row = bs_h5_selected_row(target, r);
        uint64_t at[BS_H5_RANK_MAX];
        bool inside = true;
        for (unsigned i = 0; i < last; i++)
            inside = inside && row->at[i] >= gatherer->start[i] &&
                row->at[i] - gatherer->start[i] < gatherer->count[i];
        const uint64_t low = BS_MAX(row->at[last], gatherer->start[last]);
        const uint64_t high =
            BS_MIN(row->at[last] + row->length, gatherer->start[last] + gatherer->count[last]);
        if (!inside || low >= high) continue;
        memcpy(at, row->at, target->rank * sizeof *at);
        at[last] = low;
        const uint64_t first = target->ends[r] - row->length;
        status = add_run(gatherer, first + (low - row->at[last]), at, high - low, err);
    }
    return status;
}

static basalt_status gather_row(
    struct gatherer *gatherer, const uint64_t *index, uint64_t end, basalt_error *err)
{
    const struct bs_h5_selected *target = &gatherer->target;
    const unsigned last = target->rank - 1;
    uint64_t number = 0, at[BS_H5_RANK_MAX];
    basalt_status status = BASALT_OK;

    for (unsigned i = 0; i < target->rank; i++) number = number * target->axes[i].length + index[i];
    for (uint64_t here = index[last]; !status && here < end;) {
        const uint64_t found = bs_h5_selected_find(target, number, at);
        const uint64_t run = BS_MIN(end - here, found);
        status = add_run(gatherer, number, at, run, err);
        number += run;
        here += run;
    }
    return status;
}

static basalt_status gather_slab(struct gatherer *gatherer, basalt_error *err)
{
    const struct bs_h5_selected *target = &gatherer->target;
    const unsigned last = target->rank - 1;
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX], index[BS_H5_RANK_MAX];

    for (unsigned i = 0; i < target->rank; i++) {
        low[i] = bs_h5_strip_clip(&target->axes[i], gatherer->start[i]);
        high[i] = bs_h5_strip_clip(&target->axes[i], gatherer->start[i] + gatherer->count[i]);
        if (low[i] >= high[i]) return BASALT_OK;
        index[i] = low[i];
    }
    for (;;) {
        basalt_status status = gather_row(gatherer, index, high[last], err);
        if (status) return status;
        unsigned i = last;
        while (i > 0 && ++index[i - 1] == high[i - 1]) {
            index[i - 1] = low[i - 1];
            i--;
        }
        if (!i) return BASALT_OK;
    }
}

static bool reaches(const struct gatherer *gatherer, const struct bs_h5_selected *target)
{
    for (unsigned i = 0; !target->listed && i < target->rank; i++)
        if (bs_h5_strip_clip(&target->axes[i], gatherer->start[i]) >=
            bs_h5_strip_clip(&target->axes[i], gatherer->start[i] + gatherer->count[i]))
            return false;
    return true;
}

static bool has_references(const struct bs_h5_type *type)
{
    if (type->kind == BS_H5_REFERENCE) return type->reference_kind != BS_H5_REFERENCE_OBJECT;
    if (type->base) return has_references(type->base);
    for (size_t i = 0; type->kind == BS_H5_COMPOUND && i < type->member_count; i++)
        if (has_references(type->members[i].type)) return true;
    return false;
}

/* Elements that refer to the heap of another file say of which one: that file stays open. */
static basalt_status check_elsewhere(
    const struct gatherer *gatherer, const struct mapping *mapping, basalt_error *err)
{
    const struct bs_h5_object *object = gatherer->object;
    const struct bs_h5_file *own = gatherer->all->h5;

    if (object->h5 == own || !bs_h5_refers_to_heap(object->dataset->type)) return BASALT_OK;
    if (has_references(object->dataset->type))
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "references in the source of a virtual dataset, \"%.80s\", lead into that file: read "
            "the source",
            mapping->file);
    if (object->h5->superblock.offset_bytes == 8 && own->superblock.offset_bytes == 8 &&
        object->h5->bytes >> BS_H5_HEAP_ADDRESS_BITS == 0 &&
        own->bytes >> BS_H5_HEAP_ADDRESS_BITS == 0)
        return bs_h5_other_pin(object->h5, &object->opened, err);
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "elements of variable length in the source of a virtual dataset, \"%.80s\", are read only "
        "where addresses have 8 bytes and files less than 256 TiB",
        mapping->file);
}

/* Gives both selections their ends, now that the source is known. */
static basalt_status fit(
    struct gatherer *gatherer, const struct mapping *mapping, uint64_t number, basalt_error *err)
{
    const struct bs_h5_space *space = &gatherer->object->dataset->space;
    struct bs_h5_selected *source = &gatherer->source, *target = &gatherer->target;

    *source = mapping->source;
    if (source->all) bs_h5_selected_all(space, source);
    if (mapping->numbered) {
        struct bs_h5_strip *axis = &target->axes[target->unlimited];
        axis->start = bs_h5_strip_place(axis, number * axis->block);
        axis->stride = axis->length = axis->block;
    } else if (target->unlimited >= 0 && (unsigned)source->unlimited < space->rank) {
        struct bs_h5_strip *from = &source->axes[source->unlimited];
        struct bs_h5_strip *to = &target->axes[target->unlimited];
        from->length = to->length = BS_MIN(bs_h5_strip_clip(from, space->dims[source->unlimited]),
            bs_h5_strip_clip(to, gatherer->all->dataset->space.dims[target->unlimited]));
    }
    if (source->listed && !source->rank) return BASALT_OK;
    if (source->rank == space->rank && source->rank &&
        bs_h5_selected_count(source) == bs_h5_selected_count(target))
        return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "a mapping of a virtual dataset has selections of different sizes");
}

static basalt_status gather_source(
    struct gatherer *gatherer, struct mapping *mapping, uint64_t number, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    bool kept = false;
    basalt_status status = take_source(gatherer->all, mapping, number, &object, &kept, err);

    if (status == BASALT_NOT_FOUND) return BASALT_OK; /* the fill value is there already */
    if (status) return status;
    gatherer->object = object;
    gatherer->target = mapping->target;
    if (gatherer->target.all) bs_h5_selected_all(&gatherer->all->dataset->space, &gatherer->target);
    status = fit(gatherer, mapping, number, err);
    if (!status) status = check_elsewhere(gatherer, mapping, err);
    if (!status && bs_h5_selected_count(&gatherer->source))
        status =
            gatherer->target.listed ? gather_listed(gatherer, err) : gather_slab(gatherer, err);
    if (!status) status = flush(gatherer, err);
    gatherer->piece_count = 0;
    if (!kept) bs_h5_object_close(object);
    return status;
}

static basalt_status gather_mapping(
    struct gatherer *gatherer, struct mapping *mapping, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    if (gatherer->all->depth) status = spend(gatherer->all, 1, err);
    if (status || (!mapping->target.all && !reaches(gatherer, &mapping->target))) return status;
    if (!mapping->numbered) return gather_source(gatherer, mapping, 0, err);
    const unsigned d = (unsigned)mapping->target.unlimited;
    const struct bs_h5_strip *axis = &mapping->target.axes[d];
    uint64_t block = bs_h5_strip_clip(axis, gatherer->start[d]) / axis->block;
    const uint64_t end =
        (bs_h5_strip_clip(axis, gatherer->start[d] + gatherer->count[d]) + axis->block - 1) /
        axis->block;
    for (; !status && block < BS_MIN(end, mapping->blocks); block++)
        status = gather_source(gatherer, mapping, block, err);
    return status;
}

basalt_status bs_h5_virtual_read(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const uint64_t *start, const uint64_t *count, const struct bs_h5_read_how *how, void *out,
    basalt_error *err)
{
    struct bs_h5_virtual *all = object->sources;
    struct gatherer *gatherer = bs_alloc_zeroed(1, sizeof *gatherer);
    basalt_status status = BASALT_OK;

    (void)h5;
    if (!gatherer) return bs_fail_memory(err, sizeof *gatherer);
    gatherer->all = all;
    gatherer->how = how;
    gatherer->start = start;
    gatherer->count = count;
    gatherer->out = out;
    gatherer->element = object->dataset->type->size_bytes;
    gatherer->wanted = 1;
    for (unsigned i = 0; i < object->dataset->space.rank; i++) gatherer->wanted *= count[i];
    bs_h5_put_fill(object->dataset, out, gatherer->wanted * gatherer->element);
    if (!all->depth)
        atomic_store(&all->credit, CREDIT + (int64_t)BS_MIN(gatherer->wanted, (uint64_t)1 << 40));
    for (size_t i = 0; !status && i < all->count; i++)
        status = gather_mapping(gatherer, &all->mappings[i], err);
    bs_free(gatherer->memory);
    bs_free(gatherer);
    return status;
}
