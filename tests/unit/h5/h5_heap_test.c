/* h5_heap_test.c - objects that lie in the names of a fractal heap, which libhdf5 writes only where names
 * are short: headers of heaps made by hand, in the place of a dataset's data. */
#include "h5/h5_internal.h"
#include "tests/unit/h5/h5_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#define HEADER_BYTES 146
#define OBJECT_BYTES_MAX 40

static void make_header(uint8_t out[HEADER_BYTES], uint16_t id_bytes)
{
    struct bs_bytes bytes = {0};

    bs_bytes_put(&bytes, "FRHP", 4);
    bs_bytes_u8(&bytes, 0);
    bs_bytes_u16(&bytes, id_bytes);
    bs_bytes_u16(&bytes, 0);   /* filters */
    bs_bytes_u8(&bytes, 0);    /* flags */
    bs_bytes_u32(&bytes, 512); /* largest managed object */
    bs_bytes_u64(&bytes, 0);
    bs_bytes_u64(&bytes, BS_H5_UNDEFINED); /* huge objects */
    bs_bytes_u64(&bytes, 0);
    bs_bytes_u64(&bytes, BS_H5_UNDEFINED); /* free space */
    bs_bytes_zeros(&bytes, 64);
    bs_bytes_u16(&bytes, 4);
    bs_bytes_u64(&bytes, 512);
    bs_bytes_u64(&bytes, 4096);
    bs_bytes_u16(&bytes, 32);
    bs_bytes_u16(&bytes, 1);
    bs_bytes_u64(&bytes, BS_H5_UNDEFINED); /* root */
    bs_bytes_u16(&bytes, 0);
    CHECK_EQ(bytes.count, HEADER_BYTES - 4);
    bs_bytes_u32(&bytes, bs_lookup3(bytes.data, bytes.count, 0));
    memcpy(out, bytes.data, HEADER_BYTES);
    bs_bytes_free(&bytes);
}

/* `extended`: a second byte of the length, which names of 19 bytes and more have. */
static void check_object(const struct bs_h5_fractal_heap *heap, size_t count, bool extended)
{
    uint8_t id[2 + OBJECT_BYTES_MAX] = {
        (uint8_t)(0x20 | (extended ? 0 : count - 1)), (uint8_t)(count - 1)};
    const size_t id_bytes = bs_h5_fractal_heap_id_bytes(heap), at = extended ? 2 : 1;
    struct bs_cursor object = {0};
    struct bs_bytes memory = {0};

    for (size_t i = 0; i < count; i++) id[at + i] = (uint8_t)(i + 100);
    CHECK_OK(
        bs_h5_fractal_heap_object(heap, bs_cursor_make(id, id_bytes, 0), &memory, &object, err));
    CHECK_EQ(bs_cursor_left(&object), count);
    CHECK(!memcmp(object.at, id + at, count));
    if (extended) { /* one that is longer than its name can hold */
        id[1] = (uint8_t)(id_bytes - 2);
        CHECK_EQ(bs_h5_fractal_heap_object(
                     heap, bs_cursor_make(id, id_bytes, 0), &memory, &object, NULL),
            BASALT_CORRUPT);
    }
    bs_bytes_free(&memory);
}

static void check_heap(uint16_t id_bytes, bool extended)
{
    struct fixture fixture;
    struct bs_h5_fractal_heap *heap = NULL;
    uint8_t header[HEADER_BYTES];
    const hsize_t dims[1] = {1000};

    fixture_begin(&fixture, FIXTURE_EARLIEST);
    fixture_count_up(&fixture, "data", 1, dims, NULL, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(fixture.file, "data", H5P_DEFAULT);
    const haddr_t address = H5Dget_offset(dataset);
    H5Dclose(dataset);
    H5Fflush(fixture.file, H5F_SCOPE_GLOBAL);
    make_header(header, id_bytes);
    const int file = open(fixture.path, O_WRONLY);
    CHECK(pwrite(file, header, sizeof header, (off_t)address) == (ssize_t)sizeof header);
    close(file);
    if (fixture_open(&fixture)) {
        CHECK_OK(bs_h5_fractal_heap_open(fixture.h5, address, &heap, err));
        const size_t largest = extended ? id_bytes - 2u : BS_MIN(id_bytes - 1u, 16u);
        for (size_t count = 1; heap && count <= largest; count++)
            check_object(heap, count, extended);
        bs_h5_fractal_heap_close(heap);
    }
    fixture_end(&fixture);
}

TEST(h5_heap, tiny_objects_of_every_length_of_name)
{
    const int64_t live = test_live_allocations();
    check_heap(8, false);
    check_heap(17, false);
    check_heap(18, false); /* a second byte for the length would gain nothing */
    check_heap(19, true);
    check_heap(40, true);
    CHECK_EQ(test_live_allocations(), live);
}
