/* schema_text.c - schemas for people and other programs: type names and JSON. */
#include "arrow/arrow_internal.h"

static const char *simple_name(const struct bs_field *field)
{
    static const char *names[][2] = {
        {"b", "bool"},
        {"c", "int8"},
        {"C", "uint8"},
        {"s", "int16"},
        {"S", "uint16"},
        {"i", "int32"},
        {"I", "uint32"},
        {"l", "int64"},
        {"L", "uint64"},
        {"e", "float16"},
        {"f", "float32"},
        {"g", "float64"},
        {"u", "string"},
        {"U", "large_string"},
        {"z", "binary"},
        {"Z", "large_binary"},
        {"tdD", "date32[day]"},
        {"tdm", "date64[ms]"},
        {"tts", "time32[s]"},
        {"ttm", "time32[ms]"},
        {"ttu", "time64[us]"},
        {"ttn", "time64[ns]"},
    };
    for (size_t i = 0; i < BS_ARRAY_LENGTH(names); i++) {
        if (!strcmp(names[i][0], field->format)) return names[i][1];
    }
    return NULL;
}

basalt_status bs_field_type_name(
    const struct bs_field *field, struct bs_bytes *out, basalt_error *err)
{
    const char *name = simple_name(field);
    if (name) {
        bs_bytes_text(out, "%s", name);
    } else if (field->kind == BS_KIND_FIXED) {
        bs_bytes_text(out, "fixed_size_binary[%" PRIu32 "]", field->width_bytes);
    } else if (field->kind == BS_KIND_DURATION) {
        bs_bytes_text(out, "duration[%s]", field->unit);
    } else {
        assert(field->kind == BS_KIND_TIMESTAMP);
        bs_bytes_text(out, "timestamp[%s", field->unit);
        if (field->zone) bs_bytes_text(out, ", tz=%s", field->zone);
        bs_bytes_text(out, "]");
    }
    return bs_bytes_check(out, err);
}

/* How many bytes the UTF-8 character at `text` has; 0 if it is none. */
static size_t character_bytes(const char *text, size_t left)
{
    const uint8_t lead = (uint8_t)*text;
    const size_t count = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    return count <= left && bs_utf8_valid(text, count) ? count : 0;
}

void bs_json_string(struct bs_bytes *out, const char *text, size_t count)
{
    bs_bytes_u8(out, '"');
    for (size_t at = 0; at < count;) {
        const size_t step = character_bytes(text + at, count - at);
        const uint8_t byte = (uint8_t)text[at];
        if (step == 0) {
            bs_bytes_text(out, "\\ufffd");
        } else if (byte == '"' || byte == '\\') {
            bs_bytes_u8(out, '\\');
            bs_bytes_u8(out, byte);
        } else if (byte < 0x20) {
            bs_bytes_text(out, "\\u%04x", byte);
        } else {
            bs_bytes_put(out, text + at, step);
        }
        at += BS_MAX(step, 1);
    }
    bs_bytes_u8(out, '"');
}

/* The layout was checked when the schema was made. */
static void put_metadata(struct bs_bytes *out, const char *metadata)
{
    int32_t pairs, length;
    memcpy(&pairs, metadata, sizeof pairs);
    metadata += sizeof pairs;
    bs_bytes_text(out, ",\"metadata\":{");
    for (int32_t i = 0; i < pairs; i++) {
        if (i > 0) bs_bytes_u8(out, ',');
        for (int part = 0; part < 2; part++) {
            if (part == 1) bs_bytes_u8(out, ':');
            memcpy(&length, metadata, sizeof length);
            metadata += sizeof length;
            bs_json_string(out, metadata, (size_t)length);
            metadata += length;
        }
    }
    bs_bytes_u8(out, '}');
}

basalt_status bs_schema_json(
    const struct bs_schema *schema, struct bs_bytes *out, basalt_error *err)
{
    struct bs_bytes type = {0};
    basalt_status status = BASALT_OK;
    bs_bytes_text(out, "{\"fields\":[");
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct bs_field *field = &schema->fields[i];
        type.count = 0;
        BS_TRY(bs_field_type_name(field, &type, err));
        bs_bytes_text(out, "%s{\"name\":", i > 0 ? "," : "");
        bs_json_string(out, field->name, strlen(field->name));
        bs_bytes_text(out, ",\"type\":");
        bs_json_string(out, (const char *)type.data, type.count);
        bs_bytes_text(out, ",\"nullable\":%s", field->nullable ? "true" : "false");
        if (field->metadata) put_metadata(out, field->metadata);
        bs_bytes_u8(out, '}');
    }
    bs_bytes_u8(out, ']');
    if (schema->metadata) put_metadata(out, schema->metadata);
    bs_bytes_u8(out, '}');
    BS_TRY(bs_bytes_check(out, err));
out:
    bs_bytes_free(&type);
    return status;
}
