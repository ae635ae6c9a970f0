/* writer_space_test.c - the allocator against a map with one entry for each 8 bytes. */
#include "h5/writer_internal.h"
#include "tests/harness/test.h"

#define UNITS 2000u
#define START 4096u

enum unit { FREE, TAKEN, GIVEN_UP };

struct taken {
    uint64_t address, bytes;
    uint64_t commit; /* that retires it */
};

static void mark(uint8_t *units, uint64_t address, uint64_t bytes, enum unit from, enum unit to)
{
    for (uint64_t at = address; at < address + bytes; at += 8) {
        if (units[(at - START) / 8] != from)
            test_fail(__FILE__, __LINE__, "the 8 bytes at %" PRIu64 " are %d", at,
                units[(at - START) / 8]);
        units[(at - START) / 8] = (uint8_t)to;
    }
}

TEST(writer_space, agrees_with_a_map)
{
    struct bs_space space;
    uint8_t units[UNITS * 4] = {0};
    struct taken taken[300], pending[300];
    size_t count = 0, pending_count = 0;
    uint64_t seed = 3, commit = 1;
    bs_space_init(&space, START);
    for (unsigned step = 0; step < 20000; step++) {
        const uint64_t dice = test_random(&seed) % 100;
        if (dice < 50 && count < 300) {
            const uint64_t bytes = 1 + test_random(&seed) % 200;
            const uint64_t address =
                dice < 40 ? bs_space_take(&space, bytes) : bs_space_take_free(&space, bytes);
            if (address == BS_H5_UNDEFINED) continue;
            if (address + bytes > START + sizeof units * 8) break;
            mark(units, address, bytes, FREE, TAKEN);
            taken[count++] = (struct taken){address, bytes, 0};
        } else if (dice < 95 && count > 0) {
            const size_t at = (size_t)(test_random(&seed) % count);
            const struct taken one = taken[at];
            taken[at] = taken[--count];
            if (dice < 60 || pending_count == 300) {
                bs_space_untake(&space, one.address, one.bytes);
                mark(units, one.address, one.bytes, TAKEN, FREE);
            } else {
                bs_space_give_up(&space, one.address, one.bytes);
                mark(units, one.address, one.bytes, TAKEN, GIVEN_UP);
                pending[pending_count++] = (struct taken){one.address, one.bytes, commit + 1};
            }
        } else {
            bs_space_retire(&space, ++commit);
            const uint64_t limit = commit - step % 3;
            bs_space_reclaim(&space, limit);
            (void)bs_space_trim(&space);
            size_t kept = 0;
            for (size_t i = 0; i < pending_count; i++) {
                if (pending[i].commit <= limit) {
                    mark(units, pending[i].address, pending[i].bytes, GIVEN_UP, FREE);
                } else {
                    pending[kept++] = pending[i];
                }
            }
            pending_count = kept;
        }
        if (step % 97) continue;
        uint64_t free_bytes = 0;
        for (uint64_t at = START; at < space.end; at += 8) {
            free_bytes += units[(at - START) / 8] == FREE ? 8 : 0;
        }
        CHECK_EQ(space.free_bytes, free_bytes);
    }
    bs_space_destroy(&space);
}

/* What a damaged file names twice is given back once. */
TEST(writer_space, a_double_gift_is_taken_once)
{
    struct bs_space space;
    bs_space_init(&space, START);
    const uint64_t a = bs_space_take(&space, 800), b = bs_space_take(&space, 800);
    for (unsigned i = 0; i < 3; i++) bs_space_give_up(&space, a, 800);
    bs_space_give_up(&space, a + 400, 800);
    bs_space_give_up(&space, b + 8000, 800);
    bs_space_retire(&space, 2);
    bs_space_reclaim(&space, 2);
    CHECK_EQ(space.free_bytes, 800);
    CHECK_EQ(bs_space_take(&space, 800), a);
    CHECK_EQ(bs_space_take_free(&space, 8), BS_H5_UNDEFINED);
    bs_space_destroy(&space);
}

/* Only what was retired by the commit, or before, comes back. */
TEST(writer_space, waits_for_its_commit)
{
    struct bs_space space;
    bs_space_init(&space, START);
    const uint64_t a = bs_space_take(&space, 80), b = bs_space_take(&space, 80);
    bs_space_give_up(&space, a, 80);
    bs_space_reclaim(&space, 100);
    CHECK_EQ(space.free_bytes, 0);
    bs_space_retire(&space, 101);
    bs_space_give_up(&space, b, 80);
    bs_space_retire(&space, 102);
    bs_space_reclaim(&space, 100);
    CHECK_EQ(space.free_bytes, 0);
    bs_space_reclaim(&space, 101);
    CHECK_EQ(space.free_bytes, 80);
    bs_space_reclaim(&space, 102);
    CHECK_EQ(space.free_bytes, 160);
    CHECK_EQ(bs_space_trim(&space), START);
    bs_space_destroy(&space);
}
