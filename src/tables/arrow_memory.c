/* arrow_memory.c - arrays and schemas of the Arrow C data interface whose release frees all of it.
 *
 * Everything hangs on one block of memory a node; children are inside it, so that one can be moved out
 * by whoever takes the array, as the interface allows, and live longer. */
#include "tables/tables_internal.h"

#define ALIGN_BYTES ((size_t)64)
#define POOLED_BYTES_MIN ((size_t)64 << 10) /* smaller blocks the allocator keeps itself */
#define POOLED_BYTES_MAX ((size_t)16 << 20) /* that a pool keeps */
#define POOLED_ROUND_BYTES ((size_t)64 << 10)

/* ---- blocks used again -------------------------------------------------------------------------- */

struct pooled { /* at the beginning of a block that nobody uses */
    struct pooled *next;
    size_t bytes;
};

struct bs_block_pool {
    struct bs_shared shared;
    bs_mutex mutex; /* guards the rest */
    struct pooled *first;
    size_t bytes;
};

static void pool_destroy(struct bs_shared *shared)
{
    struct bs_block_pool *pool = (struct bs_block_pool *)shared;
    while (pool->first) {
        struct pooled *block = pool->first;
        pool->first = block->next;
        bs_free(block);
    }
    bs_mutex_destroy(&pool->mutex);
    bs_free(pool);
}

basalt_status bs_block_pool_create(struct bs_block_pool **out_pool, basalt_error *err)
{
    struct bs_block_pool *pool = bs_alloc_zeroed(1, sizeof *pool);
    *out_pool = pool;
    if (!pool) return bs_fail_memory(err, sizeof *pool);
    bs_shared_init(&pool->shared, pool_destroy);
    bs_mutex_init(&pool->mutex);
    return BASALT_OK;
}

void bs_block_pool_release(struct bs_block_pool *pool)
{
    if (pool) bs_shared_release(&pool->shared);
}

uint64_t bs_block_pool_bytes(struct bs_block_pool *pool)
{
    bs_mutex_lock(&pool->mutex);
    const uint64_t bytes = pool->bytes;
    bs_mutex_unlock(&pool->mutex);
    return bytes;
}

/* One of `bytes` or a little more, as *out_bytes says; NULL: no memory. */
static uint8_t *pool_take(struct bs_block_pool *pool, size_t bytes, size_t *out_bytes)
{
    struct pooled *block = NULL;
    bs_mutex_lock(&pool->mutex);
    for (struct pooled **link = &pool->first; *link; link = &(*link)->next) {
        if ((*link)->bytes < bytes || (*link)->bytes / 2 > bytes) continue;
        block = *link;
        *link = block->next;
        pool->bytes -= block->bytes;
        break;
    }
    bs_mutex_unlock(&pool->mutex);
    *out_bytes = block ? block->bytes : bytes;
    return block ? (uint8_t *)block : bs_alloc(bytes);
}

static void pool_give(struct bs_block_pool *pool, void *memory, size_t bytes)
{
    struct pooled *block = memory;
    bs_mutex_lock(&pool->mutex);
    if (bytes <= POOLED_BYTES_MAX - pool->bytes) {
        *block = (struct pooled){pool->first, bytes};
        pool->first = block;
        pool->bytes += bytes;
        block = NULL;
    }
    bs_mutex_unlock(&pool->mutex);
    bs_free(block);
}

/* ---- arrays ------------------------------------------------------------------------------------ */

struct array_memory {
    struct bs_block_pool *pool; /* of block 1, if that is pooled; retained */
    size_t pooled_bytes;
    const void *buffers[3];
    void *blocks[3];
    struct ArrowArray dictionary;
    struct ArrowArray **pointers;
    struct ArrowArray children[];
};

static void release_array(struct ArrowArray *array)
{
    struct array_memory *memory = array->private_data;
    if (memory->pool) {
        pool_give(memory->pool, memory->blocks[1], memory->pooled_bytes);
        bs_shared_release(&memory->pool->shared);
        memory->blocks[1] = NULL;
    }
    for (size_t i = 0; i < BS_ARRAY_LENGTH(memory->blocks); i++) bs_free(memory->blocks[i]);
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children[i];
        if (child->release) child->release(child);
    }
    if (array->dictionary && array->dictionary->release) {
        array->dictionary->release(array->dictionary);
    }
    bs_free(memory->pointers);
    bs_free(memory);
    array->release = NULL;
}

basalt_status bs_array_make(
    struct ArrowArray *out, unsigned buffers, size_t children, bool dictionary, basalt_error *err)
{
    const size_t bytes = sizeof(struct array_memory) + children * sizeof(struct ArrowArray);
    memset(out, 0, sizeof *out);
    struct array_memory *memory = bs_alloc_zeroed(1, bytes);
    if (!memory) return bs_fail_memory(err, bytes);
    memory->pointers = bs_alloc_zeroed(children + 1, sizeof *memory->pointers);
    if (!memory->pointers) {
        bs_free(memory);
        return bs_fail_memory(err, children * sizeof *memory->pointers);
    }
    for (size_t i = 0; i < children; i++) memory->pointers[i] = &memory->children[i];
    *out = (struct ArrowArray){
        .n_buffers = buffers,
        .n_children = (int64_t)children,
        .buffers = memory->buffers,
        .children = children ? memory->pointers : NULL,
        .dictionary = dictionary ? &memory->dictionary : NULL,
        .release = release_array,
        .private_data = memory,
    };
    return BASALT_OK;
}

void bs_array_give(struct ArrowArray *array, unsigned index, void *block, const void *data)
{
    struct array_memory *memory = array->private_data;
    assert(index != 1 || !memory->pool);
    bs_free(memory->blocks[index]);
    memory->blocks[index] = block;
    memory->buffers[index] = data;
}

/* The data of a block with room for them and what is added to align them. */
static uint8_t *align(uint8_t *block, size_t bytes, size_t whole)
{
    uint8_t *data = block + (ALIGN_BYTES - (uintptr_t)block % ALIGN_BYTES);
    memset(data + bytes, 0, whole - bytes);
    return data;
}

basalt_status bs_array_buffer(
    struct ArrowArray *array, unsigned index, size_t bytes, uint8_t **out_data, basalt_error *err)
{
    *out_data = NULL;
    if (bytes > SIZE_MAX / 2) return bs_fail_memory(err, bytes);
    const size_t whole = (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    uint8_t *block = bs_alloc(whole + ALIGN_BYTES);
    if (!block) return bs_fail_memory(err, whole + ALIGN_BYTES);
    *out_data = align(block, bytes, whole);
    bs_array_give(array, index, block, *out_data);
    return BASALT_OK;
}

basalt_status bs_array_buffer_pooled(struct bs_block_pool *pool, struct ArrowArray *array,
    size_t bytes, uint8_t **out_data, basalt_error *err)
{
    struct array_memory *memory = array->private_data;
    const size_t whole = (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    size_t block_bytes = 0;
    if (bytes < POOLED_BYTES_MIN || bytes > POOLED_BYTES_MAX / 2)
        return bs_array_buffer(array, 1, bytes, out_data, err);
    block_bytes =
        (whole + ALIGN_BYTES + POOLED_ROUND_BYTES - 1) / POOLED_ROUND_BYTES * POOLED_ROUND_BYTES;
    *out_data = NULL;
    uint8_t *block = pool_take(pool, block_bytes, &block_bytes);
    if (!block) return bs_fail_memory(err, whole);
    *out_data = align(block, bytes, whole);
    bs_array_give(array, 1, block, *out_data);
    bs_shared_retain(&pool->shared);
    memory->pool = pool;
    memory->pooled_bytes = block_bytes;
    return BASALT_OK;
}

basalt_status bs_array_null(struct ArrowArray *array, int64_t row, basalt_error *err)
{
    struct array_memory *memory = array->private_data;
    assert(row < array->length);
    if (!memory->buffers[0]) {
        uint8_t *map;
        const size_t bytes = (size_t)(array->length + 7) / 8;
        const basalt_status status = bs_array_buffer(array, 0, bytes, &map, err);
        if (status) return status;
        memset(map, 0xFF, bytes);
        if (array->length & 7) map[bytes - 1] = (uint8_t)((1u << (array->length & 7)) - 1);
    }
    uint8_t *byte = (uint8_t *)memory->blocks[0] +
        ((const uint8_t *)memory->buffers[0] - (const uint8_t *)memory->blocks[0]) + (row >> 3);
    const uint8_t bit = (uint8_t)(1u << (row & 7));
    array->null_count += (*byte & bit) != 0;
    *byte = (uint8_t)(*byte & ~bit);
    return BASALT_OK;
}

/* ---- schemas ----------------------------------------------------------------------------------- */

struct schema_memory {
    char *format, *name, *metadata;
    struct ArrowSchema dictionary;
    struct ArrowSchema **pointers;
    struct ArrowSchema children[];
};

static void release_schema(struct ArrowSchema *schema)
{
    struct schema_memory *memory = schema->private_data;
    for (int64_t i = 0; i < schema->n_children; i++) {
        struct ArrowSchema *child = schema->children[i];
        if (child->release) child->release(child);
    }
    if (schema->dictionary && schema->dictionary->release) {
        schema->dictionary->release(schema->dictionary);
    }
    bs_free(memory->format);
    bs_free(memory->name);
    bs_free(memory->metadata);
    bs_free(memory->pointers);
    bs_free(memory);
    schema->release = NULL;
}

basalt_status bs_arrow_schema(struct ArrowSchema *out, const char *format, const char *name,
    const struct bs_bytes *metadata, size_t children, bool dictionary, basalt_error *err)
{
    const size_t bytes = sizeof(struct schema_memory) + children * sizeof(struct ArrowSchema);
    const bool has_metadata = metadata && metadata->count > 0;
    memset(out, 0, sizeof *out);
    struct schema_memory *memory = bs_alloc_zeroed(1, bytes);
    if (!memory) return bs_fail_memory(err, bytes);
    struct ArrowSchema made = {.release = release_schema, .private_data = memory};
    memory->pointers = bs_alloc_zeroed(children + 1, sizeof *memory->pointers);
    memory->format = bs_copy_string(format);
    memory->name = bs_copy_string(name);
    if (has_metadata) memory->metadata = bs_copy_bytes(metadata->data, metadata->count);
    if (!memory->pointers || !memory->format || !memory->name ||
        (has_metadata && !memory->metadata)) {
        release_schema(&made);
        return bs_fail_memory(err, bytes);
    }
    for (size_t i = 0; i < children; i++) memory->pointers[i] = &memory->children[i];
    made.format = memory->format;
    made.name = memory->name;
    made.metadata = memory->metadata;
    made.n_children = (int64_t)children;
    made.children = children ? memory->pointers : NULL;
    made.dictionary = dictionary ? &memory->dictionary : NULL;
    *out = made;
    return BASALT_OK;
}

void bs_metadata_put(struct bs_bytes *metadata, const char *key, const void *value, size_t count)
{
    if (metadata->count == 0) bs_bytes_u32(metadata, 0);
    bs_bytes_u32(metadata, (uint32_t)strlen(key));
    bs_bytes_put(metadata, key, strlen(key));
    bs_bytes_u32(metadata, (uint32_t)count);
    bs_bytes_put(metadata, value, count);
    if (metadata->failed) return;
    bs_store_u32(metadata->data, bs_load_u32(metadata->data) + 1);
}
