/* h5_verify.c - the deep check: walks everything, decodes every chunk, compares every extent. */
#include "h5/h5_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_STEP_BYTES ((uint64_t)1 << 20)
#define SENTENCE_BYTES_MAX 640
#define OVERLAPS_TOLD_MAX 100 /* more tell nothing new; all are counted */

struct place {
    struct bs_h5_extent extent;
    const char *purpose; /* a constant of the walk */
};

struct verifier {
    struct bs_h5_file *h5;
    bs_h5_finding_fn finding;
    bs_h5_progress_fn progress;
    void *context;
    uint64_t faults, done_bytes, told_bytes;
    struct place *places;
    size_t count, room;
    /* Chunks of one dataset that could not be decoded, all for one reason; told together. */
    uint64_t skipped_chunks;
    char skipped_path[SENTENCE_BYTES_MAX / 2], skipped_why[BASALT_ERROR_MESSAGE_BYTES];
};

static void tell(struct verifier *verifier, const char *sentence)
{
    verifier->faults++;
    if (verifier->finding) verifier->finding(verifier->context, true, sentence);
}

static void tell_skipped(struct verifier *verifier)
{
    char sentence[SENTENCE_BYTES_MAX];
    if (!verifier->skipped_chunks) return;
    snprintf(sentence, sizeof sentence, "not checked: %" PRIu64 " chunk%s of %s: %s",
        verifier->skipped_chunks, verifier->skipped_chunks == 1 ? "" : "s", verifier->skipped_path,
        verifier->skipped_why);
    verifier->skipped_chunks = 0;
    if (verifier->finding) verifier->finding(verifier->context, false, sentence);
}

static void skip_chunk(struct verifier *verifier, const char *path, const char *why)
{
    char shown[sizeof verifier->skipped_path];
    snprintf(shown, sizeof shown, "%s", path);
    if (strcmp(shown, verifier->skipped_path) != 0 || strcmp(why, verifier->skipped_why) != 0) {
        tell_skipped(verifier);
        memcpy(verifier->skipped_path, shown, sizeof shown);
        snprintf(verifier->skipped_why, sizeof verifier->skipped_why, "%s", why);
    }
    verifier->skipped_chunks++;
}

static basalt_status on_fault(
    void *context, const char *path, bool in_chunk, const basalt_error *fault, basalt_error *err)
{
    struct verifier *verifier = context;
    char sentence[SENTENCE_BYTES_MAX];

    (void)err;
    if (fault->status != BASALT_UNSUPPORTED) {
        snprintf(sentence, sizeof sentence, "%s: %s", path, fault->message);
        tell(verifier, sentence);
    } else if (in_chunk) {
        skip_chunk(verifier, path, fault->message);
    } else {
        snprintf(sentence, sizeof sentence, "not checked: %s: %s", path, fault->message);
        if (verifier->finding) verifier->finding(verifier->context, false, sentence);
    }
    return BASALT_OK;
}

/* Whether to go on. */
static basalt_status ask(const struct verifier *verifier, basalt_error *err)
{
    if (!verifier->progress ||
        verifier->progress(verifier->context, verifier->done_bytes, verifier->h5->bytes))
        return BASALT_OK;
    return bs_fail(err, BASALT_CANCELLED, BASALT_NO_OFFSET, "the check was cancelled");
}

static basalt_status on_extent(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    struct verifier *verifier = context;

    if (verifier->count == verifier->room) {
        const size_t room = verifier->room ? verifier->room * 2 : 64;
        void *grown = bs_realloc(verifier->places, room * sizeof *verifier->places);
        if (!grown) return bs_fail_memory(err, room * sizeof *verifier->places);
        verifier->places = grown;
        verifier->room = room;
    }
    verifier->places[verifier->count++] = (struct place){extent, purpose};
    verifier->done_bytes += extent.bytes;
    if (verifier->done_bytes - verifier->told_bytes < PROGRESS_STEP_BYTES) return BASALT_OK;
    verifier->told_bytes = verifier->done_bytes;
    return ask(verifier, err);
}

static int compare_places(const void *a, const void *b)
{
    const struct bs_h5_extent left = ((const struct place *)a)->extent;
    const struct bs_h5_extent right = ((const struct place *)b)->extent;
    if (left.address != right.address) return left.address < right.address ? -1 : 1;
    return (left.bytes > right.bytes) - (left.bytes < right.bytes);
}

static void check_overlaps(struct verifier *verifier)
{
    char sentence[SENTENCE_BYTES_MAX];
    uint64_t overlaps = 0;
    const struct place *widest = NULL; /* the one that reaches furthest so far */

    if (verifier->count)
        qsort(verifier->places, verifier->count, sizeof *verifier->places, compare_places);
    for (size_t i = 0; i < verifier->count; i++) {
        const struct place *place = &verifier->places[i];
        const uint64_t end = place->extent.address + place->extent.bytes;
        const uint64_t widest_end = widest ? widest->extent.address + widest->extent.bytes : 0;
        if (place->extent.address < widest_end && overlaps++ < OVERLAPS_TOLD_MAX) {
            snprintf(sentence, sizeof sentence,
                "the %s at %" PRIu64 " (%" PRIu64 " bytes) overlaps the %s at %" PRIu64 " (%" PRIu64
                " bytes)",
                place->purpose, place->extent.address, place->extent.bytes, widest->purpose,
                widest->extent.address, widest->extent.bytes);
            tell(verifier, sentence);
        }
        if (end > widest_end) widest = place;
    }
    if (overlaps > OVERLAPS_TOLD_MAX) verifier->faults += overlaps - OVERLAPS_TOLD_MAX;
}

basalt_status bs_h5_verify(struct bs_h5_file *h5, bs_h5_finding_fn finding,
    bs_h5_progress_fn progress, void *context, uint64_t *out_faults, basalt_error *err)
{
    bool complete = false;
    struct verifier verifier = {
        .h5 = h5, .finding = finding, .progress = progress, .context = context};
    const struct bs_h5_walk_hooks hooks = {on_extent, on_fault, &verifier, true};

    *out_faults = 0;
    basalt_status status = ask(&verifier, err);
    if (!status) status = bs_h5_walk(h5, &hooks, &complete, err);
    if (!status) {
        tell_skipped(&verifier);
        check_overlaps(&verifier);
        *out_faults = verifier.faults;
        if (progress) (void)progress(context, h5->bytes, h5->bytes); /* all is done */
    }
    bs_free(verifier.places);
    return status;
}
