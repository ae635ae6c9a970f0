/* kept.c - metadata of instruments whose schema is not known yet.
 *
 * A family can't be made before its first batch, for it can't change its columns later. Metadata that
 * comes before is acknowledged all the same, so it must be stored: in one attribute of the root,
 * BS_KEPT_ATTRIBUTE, JSON of the form
 *
 *      {"INSTRUMENT":{"KEY":"VALUE",...},...}
 *
 * written in the transaction of the metadata itself. The transaction that makes the family moves them
 * to it and takes them out of the JSON. What no batch ever came for stays there, where any reader
 * finds it, and where a resumed session takes it up again. The limit is that of an attribute. */
#include "recorder/recorder_internal.h"

static void pair_free(struct bs_kept *kept)
{
    if (!kept) return;
    bs_free(kept->key);
    bs_free(kept->value);
    bs_free(kept);
}

basalt_status bs_kept_add(struct bs_instrument *instrument, const char *key, const char *value,
    bool committed, basalt_error *err)
{
    struct bs_kept *kept = bs_alloc_zeroed(1, sizeof *kept);
    if (!kept) return bs_fail_memory(err, sizeof *kept);
    kept->key = bs_copy_string(key);
    kept->value = bs_copy_string(value);
    kept->committed = committed;
    if (!kept->key || !kept->value) {
        pair_free(kept);
        return bs_fail_memory(err, strlen(key) + strlen(value));
    }
    kept->next = instrument->kept;
    instrument->kept = kept;
    return BASALT_OK;
}

/* A newer piece of the same key stands before it. */
static bool superseded(const struct bs_instrument *instrument, const struct bs_kept *kept)
{
    for (const struct bs_kept *at = instrument->kept; at != kept; at = at->next) {
        if (strcmp(at->key, kept->key) == 0) return true;
    }
    return false;
}

void bs_kept_settle(struct bs_instrument *instrument, bool committed)
{
    struct bs_kept **at = &instrument->kept;
    while (*at) {
        struct bs_kept *kept = *at;
        const bool goes = committed ? superseded(instrument, kept) : !kept->committed;
        if (goes) {
            *at = kept->next;
            pair_free(kept);
        } else {
            kept->committed = true;
            at = &kept->next;
        }
    }
}

void bs_kept_free(struct bs_instrument *instrument)
{
    while (instrument->kept) {
        struct bs_kept *kept = instrument->kept;
        instrument->kept = kept->next;
        pair_free(kept);
    }
}

basalt_status bs_kept_apply(
    struct bs_txn *txn, const struct bs_instrument *instrument, basalt_error *err)
{
    for (const struct bs_kept *at = instrument->kept; at; at = at->next) {
        if (superseded(instrument, at)) continue;
        const basalt_status status =
            bs_txn_set_attribute(txn, instrument->name, at->key, at->value, err);
        if (status) return status;
    }
    return BASALT_OK;
}

/* ---- JSON out -------------------------------------------------------------------------------- */

static void put_text(struct bs_bytes *out, const char *text)
{
    bs_bytes_u8(out, '"');
    for (; *text; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            bs_bytes_u8(out, '\\');
            bs_bytes_u8(out, byte);
        } else if (byte < 0x20) {
            bs_bytes_text(out, "\\u%04x", byte);
        } else {
            bs_bytes_u8(out, byte);
        }
    }
    bs_bytes_u8(out, '"');
}

static void put_instrument(struct bs_bytes *out, const struct bs_instrument *instrument)
{
    bool first = true;
    if (out->count > 1) bs_bytes_u8(out, ',');
    put_text(out, instrument->name);
    bs_bytes_text(out, ":{");
    for (const struct bs_kept *at = instrument->kept; at; at = at->next) {
        if (superseded(instrument, at)) continue;
        if (!first) bs_bytes_u8(out, ',');
        first = false;
        put_text(out, at->key);
        bs_bytes_u8(out, ':');
        put_text(out, at->value);
    }
    bs_bytes_u8(out, '}');
}

basalt_status bs_kept_write(struct bs_recorder *recorder, struct bs_txn *txn, basalt_error *err)
{
    struct bs_bytes json = {0};
    basalt_status status = BASALT_OK;

    bs_bytes_u8(&json, '{');
    bs_mutex_lock(&recorder->lock); /* senders may add instruments */
    const struct bs_instruments *known = &recorder->instruments;
    for (size_t i = 0; i < known->bucket_count; i++) {
        for (struct bs_instrument *at = known->buckets[i]; at; at = at->next) {
            if (at->kept && !at->making) put_instrument(&json, at);
        }
    }
    bs_mutex_unlock(&recorder->lock);
    bs_bytes_u8(&json, '}');
    bs_bytes_u8(&json, 0);
    BS_TRY(bs_bytes_check(&json, err));
    BS_TRY(bs_txn_set_attribute(txn, NULL, BS_KEPT_ATTRIBUTE, (const char *)json.data, err));
out:
    bs_bytes_free(&json);
    return status;
}

/* ---- JSON in: what is written above, and blanks ---------------------------------------------- */

/* The next byte that is no blank, not taken; 0 at the end. */
static uint8_t peek(struct bs_cursor *in)
{
    while (bs_cursor_left(in) && (*in->at == ' ' || (*in->at >= '\t' && *in->at <= '\r'))) in->at++;
    return bs_cursor_left(in) ? *in->at : 0;
}

static bool take(struct bs_cursor *in, uint8_t byte)
{
    if (peek(in) != byte) return false;
    in->at++;
    return true;
}

/* \uXXXX of a control character, or \" \\ \/; others are not written by us. */
static bool take_escape(struct bs_cursor *in, struct bs_bytes *out)
{
    const uint8_t kind = bs_cursor_u8(in);
    if (kind == '"' || kind == '\\' || kind == '/') {
        bs_bytes_u8(out, kind);
        return true;
    }
    const uint8_t *digits = kind == 'u' ? bs_cursor_bytes(in, 4) : NULL;
    unsigned value = 0;
    for (int i = 0; digits && i < 4; i++) {
        const char *hexadecimal = "0123456789abcdef", *found = strchr(hexadecimal, digits[i]);
        if (!digits[i] || !found) return false;
        value = value * 16 + (unsigned)(found - hexadecimal);
    }
    if (!digits || value == 0 || value >= 0x20) return false;
    bs_bytes_u8(out, (uint8_t)value);
    return true;
}

/* Into `out`, emptied first, with a NUL. */
static bool take_text(struct bs_cursor *in, struct bs_bytes *out)
{
    out->count = 0;
    if (!take(in, '"')) return false;
    while (bs_cursor_left(in)) {
        const uint8_t byte = bs_cursor_u8(in);
        if (byte == '"') {
            bs_bytes_u8(out, 0);
            return !out->failed;
        }
        if (byte != '\\') {
            bs_bytes_u8(out, byte);
        } else if (!take_escape(in, out)) {
            return false;
        }
    }
    return false;
}

static basalt_status fail_json(basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the attribute " BS_KEPT_ATTRIBUTE " of the file is not what a recorder writes; delete it "
        "to go on without the metadata in it");
}

static basalt_status read_instrument(
    struct bs_cursor *in, struct bs_instrument *instrument, basalt_error *err)
{
    struct bs_bytes key = {0}, value = {0};
    basalt_status status = BASALT_OK;
    if (!take(in, '{')) return fail_json(err);
    while (peek(in) != '}') {
        if (!take_text(in, &key) || !take(in, ':') || !take_text(in, &value)) {
            BS_TRY(fail_json(err));
        }
        BS_TRY(bs_kept_add(instrument, (char *)key.data, (char *)value.data, true, err));
        if (!take(in, ',')) break;
    }
    if (!take(in, '}')) BS_TRY(fail_json(err));
out:
    bs_bytes_free(&key);
    bs_bytes_free(&value);
    return status;
}

basalt_status bs_kept_read(struct bs_recorder *recorder, basalt_error *err)
{
    char *text = NULL;
    struct bs_bytes name = {0};
    basalt_status status =
        bs_store_get_attribute(recorder->store, NULL, BS_KEPT_ATTRIBUTE, &text, err);
    if (status) return status == BASALT_NOT_FOUND ? BASALT_OK : status;

    struct bs_cursor in = bs_cursor_make(text, strlen(text), BASALT_NO_OFFSET);
    if (!take(&in, '{')) BS_TRY(fail_json(err));
    while (peek(&in) != '}') {
        struct bs_instrument *instrument = NULL;
        if (!take_text(&in, &name) || !take(&in, ':')) BS_TRY(fail_json(err));
        BS_TRY(bs_instruments_get(&recorder->instruments, (char *)name.data, &instrument, err));
        BS_TRY(read_instrument(&in, instrument, err));
        if (!take(&in, ',')) break;
    }
    if (!take(&in, '}') || peek(&in)) BS_TRY(fail_json(err));
out:
    bs_bytes_free(&name);
    bs_free(text);
    return status;
}
