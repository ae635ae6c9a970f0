/* h5.h - the HDF5 file format: read any file, write by copy-on-write.   floor 6: below it arrow,
 * wal (never included here), vfs, codec, sched, base
 *
 * "FF" in comments is the HDF5 File Format Specification, version 3.0. Nothing here is process-wide:
 * a bs_h5_file is immutable after open and shared by any number of threads; a bs_h5_writer belongs
 * to one thread at a time, but for the calls that say otherwise.
 *
 * Reading: h5_bytes.c (bounded reads), h5_file.c (superblock), h5_header.c (object headers), h5_group.c,
 * h5_type.c, h5_dataset.c, h5_read.c (essay), h5_select.c, h5_convert.c, h5_cache.c, h5_storage.c,
 * h5_chunk.c, h5_chunk_index.c, h5_heap.c, h5_variable.c, h5_reference.c,
 * h5_walk.c.
 * Writing: writer.c (essay, commit), write_*.c.
 * Byte by byte: docs/format/file.md. */
#ifndef BS_H5_H
#define BS_H5_H

#include "base/base.h"
#include "codec/codec.h"
#include "sched/sched.h"
#include "vfs/vfs.h"

#define BS_H5_UNDEFINED UINT64_MAX
#define BS_H5_RANK_MAX 32
#define BS_H5_DEPTH_MAX 64 /* nested groups, types, B-tree levels */
#define BS_H5_ATTRIBUTE_BYTES_MAX 64000
#define BS_H5_SUPERBLOCK_BYTES 48     /* version 2 with 8-byte offsets */
#define BS_H5_HEADER_SPACE_BYTES 4096 /* before it lies nothing but the superblock */

/* ---- datatypes (FF IV.A.2.d) --------------------------------------------------------------- */

enum bs_h5_class {
    BS_H5_INTEGER = 0,
    BS_H5_FLOAT = 1,
    BS_H5_TIME = 2,
    BS_H5_STRING = 3,
    BS_H5_BITFIELD = 4,
    BS_H5_OPAQUE = 5,
    BS_H5_COMPOUND = 6,
    BS_H5_REFERENCE = 7,
    BS_H5_ENUM = 8,
    BS_H5_VARIABLE = 9,
    BS_H5_ARRAY = 10
};

struct bs_h5_type;

enum bs_h5_reference_kind {
    BS_H5_REFERENCE_OBJECT = 0,
    BS_H5_REFERENCE_REGION = 1,
    BS_H5_REFERENCE_OBJECT_2 = 2, /* of HDF5 1.12: each may be any of these three */
    BS_H5_REFERENCE_REGION_2 = 3,
    BS_H5_REFERENCE_ATTRIBUTE = 4
};

struct bs_h5_member { /* of a compound or an enumeration */
    char *name;
    uint32_t offset;         /* compound: bytes from the start */
    struct bs_h5_type *type; /* compound */
    uint8_t value[16];       /* enumeration: in the base type's own byte order */
};

/* Immutable once decoded. */
struct bs_h5_type {
    enum bs_h5_class kind;
    uint32_t size_bytes; /* of one element as it lies in the file */
    bool big_endian;
    bool vax;       /* float: 16-bit words in big-endian order, each of them little-endian */
    bool is_signed; /* integer */
    uint16_t bit_offset, bit_precision; /* integer, float, bitfield */
    uint8_t exponent_at, exponent_bits, mantissa_at, mantissa_bits, sign_at; /* float */
    uint8_t normalization; /* float: 0 none, 1 always set, 2 implied */
    uint32_t exponent_bias;
    uint8_t padding;        /* string, variable string: 0 NUL-terminated, 1 NUL pad, 2 space pad */
    bool utf8;              /* string, variable string */
    bool variable_string;   /* class VARIABLE: text, not a sequence */
    uint8_t reference_kind; /* enum bs_h5_reference_kind */
    char *tag;              /* opaque */
    size_t member_count;
    struct bs_h5_member *members;
    struct bs_h5_type *base; /* enumeration, variable, array */
    uint8_t rank;            /* array */
    uint32_t dims[];         /* of arrays alone: a file may have very many of the others */
};

BS_MUST_USE basalt_status bs_h5_type_decode(
    struct bs_cursor *cursor, struct bs_h5_type **out_type, basalt_error *err);
/* The message that a stock library of version 1.6 on reads (versions 1 and, for arrays, 2). */
BS_MUST_USE basalt_status bs_h5_type_encode(
    const struct bs_h5_type *type, struct bs_bytes *out, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_type_copy(
    const struct bs_h5_type *type, struct bs_h5_type **out_type, basalt_error *err);
void bs_h5_type_free(struct bs_h5_type *type); /* NULL is fine */
bool bs_h5_type_equal(const struct bs_h5_type *a, const struct bs_h5_type *b);
/* h5py's word for it: "<f8", "utf-8 string", "|V16", "enum bool", "compound {a: <i4, …}". */
BS_MUST_USE basalt_status bs_h5_type_text(
    const struct bs_h5_type *type, struct bs_bytes *out, basalt_error *err);
/* Swaps `count` elements in place to little-endian, if they are not; nested types too. */
void bs_h5_type_to_little_endian(const struct bs_h5_type *type, void *elements, uint64_t count);

/* By NumPy's name: "<i4", ">u2", "<f2", "f8" (little-endian), "bfloat16", "|S10". BAD_ARGUMENT else. */
BS_MUST_USE basalt_status bs_h5_type_parse(
    const char *text, struct bs_h5_type **out_type, basalt_error *err);

/* Makers of the types that Basalt writes, all little-endian. NULL if no memory. */
struct bs_h5_type *bs_h5_type_integer(uint32_t size_bytes, bool is_signed);
struct bs_h5_type *bs_h5_type_float(uint32_t size_bytes);  /* IEEE 2, 4, 8 */
struct bs_h5_type *bs_h5_type_string(uint32_t size_bytes); /* UTF-8, NUL-padded */
struct bs_h5_type *bs_h5_type_variable_string(void);       /* UTF-8 */
struct bs_h5_type *bs_h5_type_variable_bytes(void);        /* sequence of uint8 */
struct bs_h5_type *bs_h5_type_opaque(uint32_t size_bytes, const char *tag);
struct bs_h5_type *bs_h5_type_bool(void); /* h5py's enum of int8 */
struct bs_h5_unsigned_member {
    const char *name;
    uint32_t size_bytes;
};
/* A compound of unsigned integers, end to end. */
struct bs_h5_type *bs_h5_type_record(const struct bs_h5_unsigned_member *members, size_t count);

struct bs_h5_space { /* dataspace */
    bool null;       /* H5S_NULL: no element at all */
    uint8_t rank;    /* 0: scalar */
    uint64_t dims[BS_H5_RANK_MAX];
    uint64_t max_dims[BS_H5_RANK_MAX]; /* BS_H5_UNDEFINED: unlimited */
};
/* Product of the dimensions; CORRUPT if it overflows. */
BS_MUST_USE basalt_status bs_h5_space_count(
    const struct bs_h5_space *space, uint64_t *out_count, basalt_error *err);

/* ---- superblock (FF II.A) ------------------------------------------------------------------ */

struct bs_h5_superblock {
    uint8_t version; /* 0 .. 3 */
    uint8_t offset_bytes, length_bytes;
    uint8_t flags;        /* version 3: 1 open for writing, 4 for SWMR */
    uint64_t base;        /* file offset that addresses count from (user block) */
    uint64_t end_of_file; /* as stored: absolute */
    uint64_t extension;   /* address or undefined */
    uint64_t driver;      /* versions 0 and 1: address of what its driver needs, or undefined */
    uint64_t root;        /* address of the root group's object header */
    uint16_t group_leaf_k, group_internal_k, chunk_k; /* 4, 16, 32 unless stored otherwise */
};

/* Version 2, sizes 8. */
void bs_h5_superblock_encode(
    const struct bs_h5_superblock *superblock, uint8_t out[BS_H5_SUPERBLOCK_BYTES]);
/* CORRUPT if the checksum differs; NOT_HDF5 without the signature. */
BS_MUST_USE basalt_status bs_h5_superblock_decode(
    const void *bytes, size_t count, struct bs_h5_superblock *out_superblock, basalt_error *err);

/* ---- reading ------------------------------------------------------------------------------- */

struct bs_h5_file;
struct bs_h5_object;

/* Finds the superblock at 0, 512, 1024, 2048 …; meets a bad checksum with 100 more tries, 1 ms
 * apart, before it says CORRUPT (a writer may be at work). NOT_HDF5 names what the file seems to be.
 * A file shorter than its end-of-file address is CORRUPT ("truncated"). `file` is borrowed. */
BS_MUST_USE basalt_status bs_h5_file_open(
    struct bs_file *file, struct bs_h5_file **out_h5, basalt_error *err);
/* Files name others: members of a family, external links, raw data, sources of virtual datasets. A
 * file from a stranger could so make its reader show what only the reader may see. */
enum bs_h5_follow {
    BS_H5_FOLLOW_BESIDE = 0, /* in the folder of the file that was opened, and those below it; as
                              * bs_h5_file_open */
    BS_H5_FOLLOW_NOWHERE,
    BS_H5_FOLLOW_ANYWHERE /* as libhdf5 */
};
BS_MUST_USE basalt_status bs_h5_file_open_with(
    struct bs_file *file, enum bs_h5_follow follow, struct bs_h5_file **out_h5, basalt_error *err);
/* NULL, or a sentence about what is read all the same: a file that is marked as open for writing. */
const char *bs_h5_file_warning(const struct bs_h5_file *h5);
/* The view of `superblock`, which need not be the one on disk. */
BS_MUST_USE basalt_status bs_h5_file_open_at(struct bs_file *file,
    const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES], struct bs_h5_file **out_h5,
    basalt_error *err);
void bs_h5_file_close(struct bs_h5_file *h5); /* NULL is fine; no object may be open */
/* Bytes that were read of the file behind its superblock, and of those that it led to; bytes that its
 * filters gave. Since it was opened. */
void bs_h5_file_traffic(
    const struct bs_h5_file *h5, uint64_t *out_bytes_read, uint64_t *out_bytes_decoded);
/* That the file has for addresses: what limits of memory count from. */
uint64_t bs_h5_file_bytes(const struct bs_h5_file *h5);
/* The same file for one walk over all of it, by one thread: as soon as much more is read than there is,
 * every read is TOO_LARGE. A hostile file's structures lead to the same bytes again and again. Objects that
 * were opened with the view are closed before it; NULL is fine. */
BS_MUST_USE basalt_status bs_h5_view_create(
    struct bs_h5_file *h5, struct bs_h5_file **out_view, basalt_error *err);
void bs_h5_view_free(struct bs_h5_file *view);
const struct bs_h5_superblock *bs_h5_file_superblock(const struct bs_h5_file *h5);
uint64_t bs_h5_file_bytes(
    const struct bs_h5_file *h5); /* that addresses can name, of all its parts */

enum bs_h5_object_kind { BS_H5_GROUP, BS_H5_DATASET, BS_H5_COMMITTED_TYPE };
enum bs_h5_layout { BS_H5_COMPACT = 0, BS_H5_CONTIGUOUS = 1, BS_H5_CHUNKED = 2, BS_H5_VIRTUAL = 3 };

struct bs_h5_attribute {
    char *name;
    struct bs_h5_type *type;
    struct bs_h5_space space;
    uint8_t *bytes; /* as they lie in the file; variable ones are references */
    size_t byte_count;
    uint64_t type_address; /* of the committed type that it shares, or undefined */
};

struct bs_h5_dataset { /* what an object of kind DATASET has; immutable */
    struct bs_h5_type *type;
    struct bs_h5_space space;
    enum bs_h5_layout layout;
    uint64_t address;      /* contiguous data, chunk index; undefined: nothing is stored */
    uint64_t stored_bytes; /* contiguous: size; compact: of `compact` */
    uint8_t *compact;
    uint8_t chunk_index; /* 0: version-1 B-tree; 1 .. 5 as in layout version 4 */
    uint64_t chunk_dims[BS_H5_RANK_MAX];
    struct bs_pipeline pipeline;
    uint8_t *fill;         /* one element, or NULL: zero bytes */
    uint64_t type_address; /* of the committed type that it shares, or undefined */
    bool external;         /* contiguous: the data lie in other files */
};

/* Parses the header at `address`. The result is immutable: share it, then close it once. */
BS_MUST_USE basalt_status bs_h5_object_open(
    struct bs_h5_file *h5, uint64_t address, struct bs_h5_object **out_object, basalt_error *err);
/* "/a/b", "a/b" or "/", soft and external links followed (together at most 16). NOT_FOUND names the
 * missing part. An external link is looked for in the folder of the file that has it, then as it is
 * written; the environment (HDF5_EXT_PREFIX) is not asked. The object belongs to another file then:
 * see bs_h5_object_file. It must be closed before `h5`. */
BS_MUST_USE basalt_status bs_h5_object_open_path(
    struct bs_h5_file *h5, const char *path, struct bs_h5_object **out_object, basalt_error *err);
/* As bs_h5_object_open_path, from a group of `h5` on. */
BS_MUST_USE basalt_status bs_h5_object_open_from(struct bs_h5_file *h5,
    const struct bs_h5_object *group, const char *path, struct bs_h5_object **out_object,
    basalt_error *err);
void bs_h5_object_close(struct bs_h5_object *object); /* NULL is fine */
/* The file that it lies in: to resolve its elements and attributes with. Functions that take a file and
 * an object read the object's own file, whichever is given. */
struct bs_h5_file *bs_h5_object_file(const struct bs_h5_object *object);
enum bs_h5_object_kind bs_h5_object_kind(const struct bs_h5_object *object);
uint64_t bs_h5_object_address(const struct bs_h5_object *object);
/* Bytes of the file that it was read from, with its attributes. */
uint64_t bs_h5_object_bytes(const struct bs_h5_object *object);
uint32_t bs_h5_object_links(const struct bs_h5_object *object); /* hard links to it */
const struct bs_h5_dataset *bs_h5_object_dataset(const struct bs_h5_object *object); /* or NULL */
const struct bs_h5_type *bs_h5_object_type(
    const struct bs_h5_object *object); /* dataset, committed */
size_t bs_h5_attribute_count(const struct bs_h5_object *object);
const struct bs_h5_attribute *bs_h5_attribute_at(const struct bs_h5_object *object, size_t index);
const struct bs_h5_attribute *bs_h5_attribute_find(
    const struct bs_h5_object *object, const char *name); /* NULL if absent */
/* Text of a string attribute (fixed or variable, scalar), NUL-terminated; bs_free it. */
BS_MUST_USE basalt_status bs_h5_attribute_text(struct bs_h5_file *h5,
    const struct bs_h5_attribute *attribute, char **out_text, basalt_error *err);
/* Value of an integer attribute (scalar or one element, any size). */
BS_MUST_USE basalt_status bs_h5_attribute_u64(
    const struct bs_h5_attribute *attribute, uint64_t *out_value, basalt_error *err);

enum bs_h5_link_kind { BS_H5_LINK_HARD, BS_H5_LINK_SOFT, BS_H5_LINK_EXTERNAL, BS_H5_LINK_USER };
struct bs_h5_link {
    const char *name; /* lent during the call */
    enum bs_h5_link_kind kind;
    uint64_t address;   /* hard */
    const char *target; /* soft: path; external: "file:path"; user-defined: "kind N" */
    size_t path_at;     /* external: where the path begins in the target */
};
typedef basalt_status (*bs_h5_link_fn)(
    void *context, const struct bs_h5_link *link, basalt_error *err);
/* Calls `each` for every link of a group, in name order where the group is indexed by name, else in
 * stored order. */
BS_MUST_USE basalt_status bs_h5_group_each(struct bs_h5_file *h5, const struct bs_h5_object *group,
    bs_h5_link_fn each, void *context, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_group_find(struct bs_h5_file *h5, const struct bs_h5_object *group,
    const char *name, uint64_t *out_address, basalt_error *err); /* hard and soft links: a link into
                                                                  * another file is UNSUPPORTED */

/* Which elements of a dataset; plain data, `coordinates` is borrowed during the call. The elements
 * come in the order of the selection: C order of the product of what each dimension selects, or the
 * order of the coordinates. */
enum bs_h5_selection_kind {
    BS_H5_SELECT_ALL,
    BS_H5_SELECT_HYPERSLAB, /* start, stride, count, block of every dimension; stride >= block */
    BS_H5_SELECT_POINTS, /* coordinates: coordinate_count x rank, in any order, repeats allowed */
    BS_H5_SELECT_ROWS /* coordinates: places along dimension 0, likewise; all of the other ones */
};
struct bs_h5_selection {
    enum bs_h5_selection_kind kind;
    unsigned rank; /* hyperslab and points: must be the dataset's */
    uint64_t start[BS_H5_RANK_MAX], stride[BS_H5_RANK_MAX], count[BS_H5_RANK_MAX],
        block[BS_H5_RANK_MAX];
    const uint64_t *coordinates;
    uint64_t coordinate_count;
};

/* Decoded chunks that are worth keeping between reads of a few elements each. Any thread may use it;
 * a chunk that several ask for at once is decoded once. No lock is held while one is decoded. */
struct bs_h5_cache;
BS_MUST_USE basalt_status bs_h5_cache_create(
    uint64_t bytes_max, struct bs_h5_cache **out_cache, basalt_error *err);
void bs_h5_cache_free(struct bs_h5_cache *cache); /* NULL is fine; no read may be under way */
struct bs_h5_cache_stats {
    uint64_t bytes, bytes_max;
    uint64_t chunks;          /* held now */
    uint64_t decoded, served; /* chunks since it was made: put in, found there */
};
void bs_h5_cache_stats(struct bs_h5_cache *cache, struct bs_h5_cache_stats *out_stats);

/* How to read. All zero: on the calling thread, whole elements as they lie in the file. */
struct bs_h5_read_how {
    struct bs_sched *sched;         /* shares the work; the caller does its part. NULL: all of it */
    const struct bs_cancel *cancel; /* looked at once a chunk; or NULL */
    struct bs_h5_cache *cache;      /* of this file; used where a chunk is not wanted whole */
    const char *const *members;     /* names: the member of a compound, of that one's, … */
    size_t member_count;
    const struct bs_h5_type *as; /* elements to give; NULL: the file's */
    bool clip;        /* what does not fit `as` becomes the nearest value, not TOO_LARGE */
    const char *path; /* of the dataset, for messages; or NULL: its address says which it is */
    /* The most memory that one read needed for itself, to decode in, is put here; or NULL. */
    _Atomic uint64_t *workspace_bytes_max;
};

/* How many elements are selected. BAD_ARGUMENT if they are not all inside the dataset. */
BS_MUST_USE basalt_status bs_h5_selection_count(const struct bs_h5_object *dataset,
    const struct bs_h5_selection *selection, uint64_t *out_count, basalt_error *err);
/* Bytes of one element as `how` asks for it. BAD_ARGUMENT for a member that is not there, UNSUPPORTED
 * for a conversion that is not possible. */
BS_MUST_USE basalt_status bs_h5_element_bytes(const struct bs_h5_object *dataset,
    const struct bs_h5_read_how *how, uint64_t *out_bytes, basalt_error *err);
/* The elements selected, end to end. `out_bytes` must be their number times the bytes of one. What is
 * not stored has the fill value. `how` may be NULL. TOO_LARGE names the first element (of those of one
 * chunk) that does not fit the type asked for. After a failure `out` holds anything. */
BS_MUST_USE basalt_status bs_h5_read_selection(struct bs_h5_file *h5,
    const struct bs_h5_object *dataset, const struct bs_h5_selection *selection,
    const struct bs_h5_read_how *how, void *out, uint64_t out_bytes, basalt_error *err);
/* All bytes of a contiguous dataset as they lie in the file, without a copy; bs_file_unmap them, with
 * the file that bs_h5_file_open was given, before that is closed. UNSUPPORTED: there are no such bytes. */
BS_MUST_USE basalt_status bs_h5_map(struct bs_h5_file *h5, const struct bs_h5_object *dataset,
    struct bs_file_map *out_map, basalt_error *err);
/* How reads that say nothing of it (bs_h5_read) share work and keep chunks, from now on. Borrowed: both
 * outlive the file. Either may be NULL. Any thread may call. */
void bs_h5_file_set_helpers(
    struct bs_h5_file *h5, struct bs_sched *sched, struct bs_h5_cache *cache);

/* Filters of the user, for chunks read from now on: borrowed, must outlive the file. Not while somebody
 * reads. */
void bs_h5_file_set_filters(struct bs_h5_file *h5, const struct bs_filter_registry *filters);
/* How many bytes one chunk may have, and decoding it may take, whatever the file's size: that a small file
 * does not fill the memory. BS_H5_CHUNK_MEMORY unless it is said; less than that is as that. Likewise. */
#define BS_H5_CHUNK_MEMORY ((uint64_t)32 << 20)
void bs_h5_file_set_chunk_memory(struct bs_h5_file *h5, uint64_t bytes);
uint64_t bs_h5_file_chunk_memory(const struct bs_h5_file *h5); /* at most UINT64_MAX / 2 */

/* Rows [first, first + count) along the first dimension (a scalar has one row), as elements of the
 * file's type in the file's byte order. `out` holds count x row bytes. */
BS_MUST_USE basalt_status bs_h5_read(struct bs_h5_file *h5, const struct bs_h5_object *dataset,
    uint64_t first, uint64_t count, void *out, basalt_error *err);
/* Memory that reading a part of the dataset takes at most, beside the output. */
uint64_t bs_h5_work_bytes(const struct bs_h5_object *dataset);
/* Bytes of one row; TOO_LARGE if that overflows. */
BS_MUST_USE basalt_status bs_h5_row_bytes(
    const struct bs_h5_object *dataset, uint64_t *out_bytes, basalt_error *err);
typedef basalt_status (*bs_h5_text_fn)(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err);
/* Resolves `count` variable-length elements (16 bytes each, as bs_h5_read gives them): `each` gets
 * their bytes in order. For a sequence, bytes = length x base size. */
BS_MUST_USE basalt_status bs_h5_resolve(struct bs_h5_file *h5, const struct bs_h5_type *type,
    const void *elements, uint64_t count, bs_h5_text_fn each, void *context, basalt_error *err);

/* Each selected element (of `how` without `as`) in its flat form: h5_variable.c. Lent during the call. */
BS_MUST_USE basalt_status bs_h5_read_variable(struct bs_h5_file *h5,
    const struct bs_h5_object *dataset, const struct bs_h5_selection *selection,
    const struct bs_h5_read_how *how, bs_h5_text_fn each, void *context, basalt_error *err);

struct bs_h5_reference { /* where one leads, in the file that it lies in */
    uint64_t address;    /* of the object; undefined: nowhere */
    char *attribute;     /* of the object, or NULL; owned */
    bool has_region;
    struct bs_h5_selection region; /* of the dataset */
    uint64_t *coordinates;         /* of the region; owned */
};
typedef basalt_status (*bs_h5_reference_fn)(
    void *context, uint64_t index, struct bs_h5_reference *reference, basalt_error *err);
/* `count` references of any kind as they lie in the file, `stride` bytes apart; each is lent, what it owns
 * may be taken out of it. UNSUPPORTED for one into another file. */
BS_MUST_USE basalt_status bs_h5_references_each(struct bs_h5_file *h5,
    const struct bs_h5_type *type, const void *elements, uint64_t stride, uint64_t count,
    bs_h5_reference_fn each, void *context, basalt_error *err);
void bs_h5_reference_clear(struct bs_h5_reference *reference);
/* As NumPy writes an index, "[0:10:2, 3]", and "[0:7:4x3]" for blocks of 3, "{[0, 1:3], [5, 5]}" for
 * points, "[...]" for all. */
void bs_h5_region_text(const struct bs_h5_selection *region, struct bs_bytes *out);

struct bs_h5_chunk {
    uint64_t offset[BS_H5_RANK_MAX]; /* element coordinates of its first element */
    uint64_t address;
    uint64_t stored_bytes;
    uint32_t filter_mask;
};
typedef basalt_status (*bs_h5_chunk_fn)(
    void *context, const struct bs_h5_chunk *chunk, basalt_error *err);
/* The stored chunks in index order. The index is walked lazily. */
BS_MUST_USE basalt_status bs_h5_chunks_each(struct bs_h5_file *h5,
    const struct bs_h5_object *dataset, bs_h5_chunk_fn each, void *context, basalt_error *err);

/* Bytes of one unfiltered chunk; TOO_LARGE beyond what the file makes plausible. */
BS_MUST_USE basalt_status bs_h5_chunk_raw_bytes(const struct bs_h5_file *h5,
    const struct bs_h5_object *object, size_t *out_bytes, basalt_error *err);
/* The pipeline's mask for a chunk: as stored, or all filters where a rule of the layout says so. */
uint32_t bs_h5_chunk_mask(const struct bs_h5_object *object, const struct bs_h5_chunk *chunk);
/* Reads and decodes one chunk into `out`. *scratch is made when it is needed; the caller frees. */
BS_MUST_USE basalt_status bs_h5_chunk_read(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const struct bs_h5_chunk *chunk, struct bs_codec_scratch **scratch, uint8_t *out,
    size_t raw_bytes, basalt_error *err);
/* Its stored bytes, `chunk->stored_bytes` of them. */
BS_MUST_USE basalt_status bs_h5_chunk_read_stored(struct bs_h5_file *h5,
    const struct bs_h5_object *object, const struct bs_h5_chunk *chunk, uint8_t *out,
    basalt_error *err);

/* The global heap, as far as one caller meets it: nothing is read twice. */
struct bs_h5_heap;
BS_MUST_USE basalt_status bs_h5_heap_open(
    struct bs_h5_file *h5, struct bs_h5_heap **out_heap, basalt_error *err);
void bs_h5_heap_close(struct bs_h5_heap *heap); /* NULL is fine */
/* The object of a number in the collection at `address`; it lives until the next call. */
BS_MUST_USE basalt_status bs_h5_heap_object(struct bs_h5_heap *heap, uint64_t address,
    uint32_t index, struct bs_cursor *out_object, basalt_error *err);
/* Elements that a virtual dataset took from another file: their places in the heap get the number of that
 * file that they are in, unless they have one (h5_heap.c). */
#define BS_H5_HEAP_ADDRESS_BITS 48
void bs_h5_heap_mark(
    const struct bs_h5_type *type, uint8_t *elements, uint64_t count, uint64_t file_id);

/* Every extent that the root reaches, metadata included. *out_complete is false if there are
 * structures whose extents this reader cannot list: then nothing of the file may be called free.
 * The superblock's own space is not reported. */
struct bs_h5_extent {
    uint64_t address, bytes;
};
typedef basalt_status (*bs_h5_extent_fn)(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_walk_extents(struct bs_h5_file *h5, bs_h5_extent_fn each,
    void *context, bool *out_complete, basalt_error *err);

/* Deep check: every structure, checksum and chunk of the file, and that no two extents overlap.
 * `finding` gets one sentence for each fault, and for what this reader could not check, a filter that is
 * not built in, say; *out_faults counts the faults. `finding` and `progress` may be NULL; a false return of
 * `progress`, asked first and about once a mebibyte, ends it: CANCELLED. */
typedef void (*bs_h5_finding_fn)(void *context, bool fault, const char *sentence);
typedef bool (*bs_h5_progress_fn)(void *context, uint64_t done_bytes, uint64_t all_bytes);
BS_MUST_USE basalt_status bs_h5_verify(struct bs_h5_file *h5, bs_h5_finding_fn finding,
    bs_h5_progress_fn progress, void *context, uint64_t *out_faults, basalt_error *err);

/* ---- writing ------------------------------------------------------------------------------- */

struct bs_h5_writer;
struct bs_h5_node; /* a group or dataset of the writer's tree; lives as long as the writer, or until
                    * it is unlinked */

struct bs_h5_identity { /* attributes of /.basalt */
    uint8_t store_uuid[16];
    uint32_t format_version;
    uint32_t feature_compatible, feature_read_only, feature_refuse; /* masks */
    uint64_t commit;            /* number of the checkpoint; 1 is the one that makes the file */
    uint64_t log_position;      /* the cut */
    uint64_t root, end_of_file; /* as the writer left them: differ from the superblock if somebody
                                 * else wrote since */
    bool closed;                /* with BS_H5_FEATURE_CLOSED_MARK: nothing but the file is needed */
    /* With BS_H5_FEATURE_STATISTICS; else 0. */
    uint64_t
        statistics_commit;     /* the last commit by a writer that keeps them: differs from `commit`
                                 * if one that does not has written since */
    uint64_t statistics_since; /* what an earlier commit said of chunks is void */
};
#define BS_H5_FEATURE_STATISTICS 1u  /* of feature_compatible; every commit sets it */
#define BS_H5_FEATURE_CLOSED_MARK 1u /* of feature_read_only; every commit sets it */
#define BS_H5_FEATURES_READ_ONLY BS_H5_FEATURE_CLOSED_MARK /* those that are known here */
/* NOT_FOUND if the file has no /.basalt, i.e. Basalt did not make it. */
BS_MUST_USE basalt_status bs_h5_identity_read(
    struct bs_h5_file *h5, struct bs_h5_identity *out_identity, basalt_error *err);
/* Whether nobody has written to the file, as `h5` shows it, since the commit of `identity`. In-place
 * edits by other programs that leave root and end-of-file address alone can't be seen. */
bool bs_h5_identity_is_last(
    const struct bs_h5_superblock *superblock, const struct bs_h5_identity *identity);

/* The writer of an empty file (`file` has size 0): its first commit makes it valid HDF5. `identity` NULL:
 * a plain file, see "arrays" below. */
BS_MUST_USE basalt_status bs_h5_writer_create(struct bs_file *file,
    const struct bs_h5_identity *identity, struct bs_h5_writer **out_writer, basalt_error *err);
/* The writer of a file that Basalt made, at the root that is in force: loads the tree, finds what is
 * free. UNSUPPORTED, by name, for what it must not write to. `superblock` as bs_h5_file_open_at. */
BS_MUST_USE basalt_status bs_h5_writer_open(struct bs_file *file,
    const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES], struct bs_h5_writer **out_writer,
    basalt_error *err);
void bs_h5_writer_close(struct bs_h5_writer *writer); /* NULL is fine; commits nothing */
const struct bs_h5_identity *bs_h5_writer_identity(const struct bs_h5_writer *writer);

/* What the commits from now on say of the file; a new writer says that it is not closed. */
void bs_h5_set_closed(struct bs_h5_writer *writer, bool closed);

struct bs_h5_node *bs_h5_root(struct bs_h5_writer *writer);
bool bs_h5_is_group(const struct bs_h5_node *node);
/* NOT_FOUND if there is none, UNSUPPORTED if it is an object that must keep its place. `name` is one
 * link name as it is in the file (already escaped). */
BS_MUST_USE basalt_status bs_h5_child(struct bs_h5_writer *writer, struct bs_h5_node *group,
    const char *name, struct bs_h5_node **out_node, basalt_error *err);
typedef basalt_status (*bs_h5_child_fn)(
    void *context, const char *name, struct bs_h5_node *node, basalt_error *err);
/* Without links and objects that keep their place because another program made or linked them. */
BS_MUST_USE basalt_status bs_h5_children(struct bs_h5_writer *writer, struct bs_h5_node *group,
    bs_h5_child_fn each, void *context, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_make_group(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, struct bs_h5_node **out_group, basalt_error *err); /* EXISTS */
/* A fixed dataset, written once, contiguous: `data` is copied. `type` is copied. */
BS_MUST_USE basalt_status bs_h5_make_fixed(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, const struct bs_h5_type *type, const struct bs_h5_space *space,
    const void *data, struct bs_h5_node **out_dataset, basalt_error *err);

struct bs_h5_column_spec {
    const struct bs_h5_type *type; /* copied; VARIABLE ones get their own string collections */
    uint64_t chunk_rows;
    struct bs_pipeline pipeline; /* of full chunks; tails are raw by chunk filter mask */
    const void *fill;            /* one element or NULL (zeros); copied */
};
/* A 1-D chunked dataset of zero rows, unlimited. */
BS_MUST_USE basalt_status bs_h5_make_column(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, const struct bs_h5_column_spec *spec, struct bs_h5_node **out_dataset,
    basalt_error *err);
/* Sets or replaces. TOO_LARGE over BS_H5_ATTRIBUTE_BYTES_MAX. Rank 0 to 1. */
BS_MUST_USE basalt_status bs_h5_set_attribute(struct bs_h5_writer *writer, struct bs_h5_node *node,
    const char *name, const struct bs_h5_type *type, const struct bs_h5_space *space,
    const void *data, basalt_error *err);
/* Scalar fixed-length UTF-8 string (an empty text takes one NUL byte). */
BS_MUST_USE basalt_status bs_h5_set_attribute_text(struct bs_h5_writer *writer,
    struct bs_h5_node *node, const char *name, const char *text, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_set_attribute_u64(struct bs_h5_writer *writer,
    struct bs_h5_node *node, const char *name, uint64_t value, basalt_error *err);
/* Removes the link; everything below it becomes free with the next commit. */
BS_MUST_USE basalt_status bs_h5_unlink(
    struct bs_h5_writer *writer, struct bs_h5_node *parent, const char *name, basalt_error *err);

uint64_t bs_h5_rows(const struct bs_h5_node *column);
uint64_t bs_h5_chunk_rows(const struct bs_h5_node *column);

struct bs_h5_piece {         /* consecutive new rows; the memory lives until the call returns */
    const void *values;      /* rows x element bytes; VARIABLE: the bytes of all rows, end to end */
    const uint32_t *offsets; /* VARIABLE: rows + 1 byte positions in `values`; else NULL */
    uint64_t rows;
};
/* Appends the pieces in order. Full chunks are filtered and written, the rest goes raw into the tail
 * past the committed rows. Nothing is synced, nothing is visible before the flip.
 * THREADS: calls for different nodes may run at once, each with a scratch of its own. */
BS_MUST_USE basalt_status bs_h5_append(struct bs_h5_writer *writer, struct bs_h5_node *column,
    struct bs_codec_scratch *scratch, const struct bs_h5_piece *pieces, size_t count,
    basalt_error *err);
/* Appends `rows` fill values; chunks of nothing else stay absent. THREADS: as bs_h5_append. */
BS_MUST_USE basalt_status bs_h5_append_fill(struct bs_h5_writer *writer, struct bs_h5_node *column,
    struct bs_codec_scratch *scratch, uint64_t rows, basalt_error *err);
/* Filters the raw tail (a clean close does). THREADS: as bs_h5_append. */
BS_MUST_USE basalt_status bs_h5_finish_tail(struct bs_h5_writer *writer, struct bs_h5_node *column,
    struct bs_codec_scratch *scratch, basalt_error *err);
/* Who wants to know of every chunk that the calls above and below fill to its last row, and of the tail
 * that bs_h5_finish_tail filters, once it has its place and its stored bytes: called on the thread of
 * the call, in the order of the rows. `each` NULL: nobody any more. A chunk without any filter, filled
 * in more than one call, is not told of. */
struct bs_h5_full_chunk {
    uint64_t first_row, address, stored_bytes;
    uint32_t crc32c;  /* of the stored bytes */
    const void *rows; /* all of them as elements, or NULL: not at hand; lent during the call */
};
typedef void (*bs_h5_full_chunk_fn)(void *context, const struct bs_h5_full_chunk *chunk);
void bs_h5_watch(struct bs_h5_node *column, bs_h5_full_chunk_fn each, void *context);
/* Rewrites the column with chunks of `chunk_rows`; the old extents become free with the next commit.
 * THREADS: as bs_h5_append. */
BS_MUST_USE basalt_status bs_h5_rechunk(struct bs_h5_writer *writer, struct bs_h5_node *column,
    struct bs_codec_scratch *scratch, uint64_t chunk_rows, basalt_error *err);

/* ---- writing a whole file at once -----------------------------------------------------------
 *
 * What a copy of any HDF5 file is made of, in a writer without identity. Such a file has no /.basalt and
 * one commit. First the tree: groups, arrays, committed types, links, attributes. Then bs_h5_place, which
 * says where every header will be; from then on only data, fill values and the values of attributes
 * change. Then the data, in any order of datasets, and the commit. */

struct bs_h5_array_spec {
    const struct bs_h5_type *type; /* copied */
    struct bs_h5_node *type_node;  /* the committed type that `type` is, or NULL */
    struct bs_h5_space space;
    enum bs_h5_layout layout; /* compact, contiguous or chunked */
    uint64_t chunk_dims[BS_H5_RANK_MAX];
    struct bs_pipeline pipeline;
    const void *fill; /* one element or NULL (zeros); copied */
    bool stored;      /* contiguous: there are data; else all elements are the fill value */
};
/* TOO_LARGE: chunks of 4 GiB or more. A resizable array must be chunked. */
BS_MUST_USE basalt_status bs_h5_make_array(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, const struct bs_h5_array_spec *spec, struct bs_h5_node **out_dataset,
    basalt_error *err);
BS_MUST_USE basalt_status bs_h5_make_type(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, const struct bs_h5_type *type, struct bs_h5_node **out_type,
    basalt_error *err);
/* `target` as in struct bs_h5_link: soft or external. */
BS_MUST_USE basalt_status bs_h5_make_link(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const struct bs_h5_link *link, basalt_error *err);
/* One more hard link to an object of the tree. */
BS_MUST_USE basalt_status bs_h5_make_alias(struct bs_h5_writer *writer, struct bs_h5_node *parent,
    const char *name, struct bs_h5_node *object, basalt_error *err);
/* Any type and rank; in a file that is not plain TOO_LARGE and UNSUPPORTED as bs_h5_set_attribute. */
BS_MUST_USE basalt_status bs_h5_make_attribute(struct bs_h5_writer *writer, struct bs_h5_node *node,
    const char *name, const struct bs_h5_type *type, struct bs_h5_node *type_node,
    const struct bs_h5_space *space, const void *data, basalt_error *err);

BS_MUST_USE basalt_status bs_h5_place(struct bs_h5_writer *writer, basalt_error *err);
/* Of an object that has been placed: what a reference to it holds. */
uint64_t bs_h5_node_address(const struct bs_h5_node *node);
/* New bytes for the value of an attribute, as many as it has; and for a fill value. */
void bs_h5_change_attribute(
    struct bs_h5_node *node, const char *name, const void *data, size_t bytes);
void bs_h5_change_fill(struct bs_h5_node *array, const void *fill);
/* An encoded chunk; `number` counts the chunks in C order and rises from call to call. One thread at a
 * time for one array. */
BS_MUST_USE basalt_status bs_h5_put_chunk(struct bs_h5_writer *writer, struct bs_h5_node *array,
    uint64_t number, const void *stored, size_t count, uint32_t mask, basalt_error *err);
/* Bytes [at, at + count) of a compact or contiguous array. THREADS: any, on parts that do not overlap. */
BS_MUST_USE basalt_status bs_h5_put_bytes(struct bs_h5_writer *writer, struct bs_h5_node *array,
    uint64_t at, const void *bytes, size_t count, basalt_error *err);

/* Objects of the global heap: what variable-length elements and region references name. A packer is one
 * thread's; several may work on one writer. */
struct bs_h5_packer;
BS_MUST_USE basalt_status bs_h5_packer_create(
    struct bs_h5_writer *writer, struct bs_h5_packer **out_packer, basalt_error *err);
void bs_h5_packer_free(
    struct bs_h5_packer *packer); /* NULL is fine; what was not flushed is lost */
/* The object's address is final: 12 bytes, collection u64 and index u32, at `out_place`. */
BS_MUST_USE basalt_status bs_h5_pack(struct bs_h5_packer *packer, const void *bytes, size_t count,
    uint8_t *out_place, basalt_error *err);
BS_MUST_USE basalt_status bs_h5_packer_flush(struct bs_h5_packer *packer, basalt_error *err);

/* The commit, in the order in which the store calls (design section 4, "The commit point"):
 *   prepare   writes every changed header, index node and /.basalt into free space and grows the
 *             file; gives the superblock that would show it                 -- the caller syncs
 *   flip      writes the 20 bytes of the superblock that change             -- the caller syncs
 *   settle    the flip is durable: what it freed is retired, to be reclaimed later
 *   abandon   instead of flip or settle, after a failed sync. Before flip: the extents of the commit
 *             are never used again in this session and the writer is unusable for appends.
 *             After flip: both roots stay alive. */
BS_MUST_USE basalt_status bs_h5_prepare(struct bs_h5_writer *writer, uint64_t commit,
    uint64_t log_position, uint8_t out_superblock[BS_H5_SUPERBLOCK_BYTES], basalt_error *err);
BS_MUST_USE basalt_status bs_h5_flip(struct bs_h5_writer *writer, basalt_error *err);
void bs_h5_settle(struct bs_h5_writer *writer);
void bs_h5_abandon(struct bs_h5_writer *writer);
/* The superblock last flipped, and whether the one on disk still is that (CONFLICT if not: somebody
 * else wrote, or the file is shorter than its end-of-file address). */
void bs_h5_current(const struct bs_h5_writer *writer, uint8_t out[BS_H5_SUPERBLOCK_BYTES]);
BS_MUST_USE basalt_status bs_h5_check_unchanged(struct bs_h5_writer *writer, basalt_error *err);
/* The same of a file without its writer: `superblock` is the one that it must have. */
BS_MUST_USE basalt_status bs_h5_check_superblock(
    struct bs_file *file, const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES], basalt_error *err);

/* Extents retired by commits up to and including `commit` may be reused from now on. */
void bs_h5_reclaim(struct bs_h5_writer *writer, uint64_t commit);
struct bs_h5_moved_chunk {
    uint64_t from, to; /* addresses */
    bool rewritten;    /* its strings moved too, so its stored bytes are others: */
    uint64_t stored_bytes;
    uint32_t crc32c;
};
typedef basalt_status (*bs_h5_moved_fn)(
    void *context, const struct bs_h5_moved_chunk *chunk, basalt_error *err);
/* Moves what lies high into free space, so that the commit after the next can end the file lower: what
 * is reclaimed decides how much. Says whether a commit is worth its syncs now. After a failure the
 * writer is unusable for more (close it). Strings of full chunks stay where they are. `moved`, unless
 * NULL, is told of every chunk that moved; of one that was rewritten and then moved, in that order. */
BS_MUST_USE basalt_status bs_h5_compact(struct bs_h5_writer *writer,
    struct bs_codec_scratch *scratch, bs_h5_moved_fn moved, void *context, bool *out_worth_a_commit,
    basalt_error *err);
/* Every prepare lowers the end-of-file address by what is free at the end. This cuts the file there, if
 * nothing was appended since the last settle; under the same conditions as a reclaim, for a reader of
 * an older root reads zeros behind the end. Unless it is closed the file keeps some room, see file_grow. */
BS_MUST_USE basalt_status bs_h5_shorten(struct bs_h5_writer *writer, basalt_error *err);
struct bs_h5_space_stats {
    uint64_t file_bytes, live_bytes, free_bytes, retired_bytes; /* live: reached by the root */
    uint64_t oldest_retired; /* lowest commit with retired extents; 0: none */
};
void bs_h5_space_stats(const struct bs_h5_writer *writer, struct bs_h5_space_stats *out_stats);

#endif
