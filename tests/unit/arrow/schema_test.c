/* schema_test.c - schemas in and out of the Arrow C data interface, compared and shown. */
#include "tests/unit/arrow/kit.h"

static void release_nothing(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static struct ArrowSchema field_of(const char *name, const char *format)
{
    return (struct ArrowSchema){
        .name = name, .format = format, .flags = ARROW_FLAG_NULLABLE, .release = release_nothing};
}

/* Imports one field. */
static basalt_status import_one(
    struct ArrowSchema field, struct bs_schema **out, basalt_error *error)
{
    struct ArrowSchema *children[1] = {&field};
    struct ArrowSchema root = {
        .format = "+s", .n_children = 1, .children = children, .release = release_nothing};
    return bs_schema_import(&root, out, error);
}

TEST(schema, every_type_has_kind_width_and_name)
{
    static const struct {
        const char *format, *name, *unit, *zone;
        enum bs_kind kind;
        uint32_t width_bytes;
    } types[] = {
        {"b", "bool", NULL, NULL, BS_KIND_BOOL, 1},
        {"c", "int8", NULL, NULL, BS_KIND_INT, 1},
        {"C", "uint8", NULL, NULL, BS_KIND_UINT, 1},
        {"s", "int16", NULL, NULL, BS_KIND_INT, 2},
        {"S", "uint16", NULL, NULL, BS_KIND_UINT, 2},
        {"i", "int32", NULL, NULL, BS_KIND_INT, 4},
        {"I", "uint32", NULL, NULL, BS_KIND_UINT, 4},
        {"l", "int64", NULL, NULL, BS_KIND_INT, 8},
        {"L", "uint64", NULL, NULL, BS_KIND_UINT, 8},
        {"e", "float16", NULL, NULL, BS_KIND_FLOAT, 2},
        {"f", "float32", NULL, NULL, BS_KIND_FLOAT, 4},
        {"g", "float64", NULL, NULL, BS_KIND_FLOAT, 8},
        {"u", "string", NULL, NULL, BS_KIND_TEXT, 0},
        {"U", "large_string", NULL, NULL, BS_KIND_TEXT, 0},
        {"z", "binary", NULL, NULL, BS_KIND_BINARY, 0},
        {"Z", "large_binary", NULL, NULL, BS_KIND_BINARY, 0},
        {"w:1", "fixed_size_binary[1]", NULL, NULL, BS_KIND_FIXED, 1},
        {"w:65536", "fixed_size_binary[65536]", NULL, NULL, BS_KIND_FIXED, 65536},
        {"tdD", "date32[day]", "D", NULL, BS_KIND_DATE, 4},
        {"tdm", "date64[ms]", "ms", NULL, BS_KIND_DATE, 8},
        {"tts", "time32[s]", "s", NULL, BS_KIND_TIME, 4},
        {"ttm", "time32[ms]", "ms", NULL, BS_KIND_TIME, 4},
        {"ttu", "time64[us]", "us", NULL, BS_KIND_TIME, 8},
        {"ttn", "time64[ns]", "ns", NULL, BS_KIND_TIME, 8},
        {"tss:", "timestamp[s]", "s", NULL, BS_KIND_TIMESTAMP, 8},
        {"tsm:", "timestamp[ms]", "ms", NULL, BS_KIND_TIMESTAMP, 8},
        {"tsu:+02:00", "timestamp[us, tz=+02:00]", "us", "+02:00", BS_KIND_TIMESTAMP, 8},
        {"tsn:UTC", "timestamp[ns, tz=UTC]", "ns", "UTC", BS_KIND_TIMESTAMP, 8},
        {"tDs", "duration[s]", "s", NULL, BS_KIND_DURATION, 8},
        {"tDm", "duration[ms]", "ms", NULL, BS_KIND_DURATION, 8},
        {"tDu", "duration[us]", "us", NULL, BS_KIND_DURATION, 8},
        {"tDn", "duration[ns]", "ns", NULL, BS_KIND_DURATION, 8},
    };
    for (size_t i = 0; i < BS_ARRAY_LENGTH(types); i++) {
        struct bs_schema *schema = NULL;
        struct bs_bytes name = {0};
        REQUIRE_OK(import_one(field_of("x", types[i].format), &schema, err));
        const struct bs_field *field = &schema->fields[0];
        CHECK_EQ(field->kind, types[i].kind);
        CHECK_EQ(field->width_bytes, types[i].width_bytes);
        CHECK(!types[i].unit == !field->unit && !types[i].zone == !field->zone);
        if (field->unit && types[i].unit) CHECK_TEXT(field->unit, types[i].unit);
        if (field->zone && types[i].zone) CHECK_TEXT(field->zone, types[i].zone);
        CHECK_OK(bs_field_type_name(field, &name, err));
        bs_bytes_u8(&name, 0);
        CHECK_TEXT((const char *)name.data, types[i].name);
        bs_bytes_free(&name);
        bs_schema_release(schema);
    }
}

TEST(schema, other_types_are_unsupported_by_name)
{
    static const char *const others[][2] = {
        {"n", "null"},
        {"d:38,10", "decimal"},
        {"d:10,2,256", "decimal"},
        {"vu", "string_view"},
        {"vz", "binary_view"},
        {"tiM", "interval"},
        {"tiD", "interval"},
        {"tin", "interval"},
        {"+l", "list"},
        {"+L", "large_list"},
        {"+vl", "list_view"},
        {"+vL", "large_list_view"},
        {"+w:3", "fixed_size_list"},
        {"+s", "struct"},
        {"+m", "map"},
        {"+ud:0,1", "dense_union"},
        {"+us:0,1", "sparse_union"},
        {"+r", "run_end_encoded"},
        {"tsx:", "unknown"},
        {"?", "unknown"},
        {"", "unknown"},
        {"ww:1", "unknown"},
        {"ts", "unknown"},
    };
    for (size_t i = 0; i < BS_ARRAY_LENGTH(others); i++) {
        struct bs_schema *schema = NULL;
        basalt_error why = {0};
        char expected[80];
        CHECK_EQ(import_one(field_of("speed", others[i][0]), &schema, &why), BASALT_UNSUPPORTED);
        CHECK(schema == NULL);
        snprintf(expected, sizeof expected, "field \"speed\" has the type %s ", others[i][1]);
        if (!strstr(why.message, expected)) test_fail(__FILE__, __LINE__, "%s", why.message);
    }
    struct ArrowSchema values = field_of("", "u"), coded = field_of("colour", "i");
    struct bs_schema *schema = NULL;
    basalt_error why = {0};
    coded.dictionary = &values;
    CHECK_EQ(import_one(coded, &schema, &why), BASALT_UNSUPPORTED);
    CHECK(strstr(why.message, "field \"colour\" has the type dictionary") != NULL);
}

TEST(schema, limits_and_nonsense_are_refused)
{
    struct bs_schema *schema = NULL;
    basalt_error why = {0};
    static char long_name[BS_NAME_BYTES_MAX + 2], long_format[BS_FORMAT_BYTES_MAX + 2];
    memset(long_name, 'n', BS_NAME_BYTES_MAX + 1);
    memset(long_format, 'Z', BS_FORMAT_BYTES_MAX + 1);
    memcpy(long_format, "tsn:", 4);
    CHECK_EQ(import_one(field_of(long_name, "i"), &schema, &why), BASALT_TOO_LARGE);
    long_name[BS_NAME_BYTES_MAX] = 0;
    CHECK_OK(import_one(field_of(long_name, "i"), &schema, err));
    bs_schema_release(schema);
    CHECK_EQ(import_one(field_of("x", long_format), &schema, &why), BASALT_TOO_LARGE);
    CHECK_EQ(import_one(field_of("\xFF", "i"), &schema, &why), BASALT_BAD_ARGUMENT);
    CHECK(strstr(why.message, "not UTF-8") != NULL);
    CHECK_EQ(import_one(field_of("x", "tsn:\xC3"), &schema, &why), BASALT_BAD_ARGUMENT);
    CHECK_EQ(import_one(field_of("x", "w:0"), &schema, &why), BASALT_UNSUPPORTED);
    CHECK_EQ(import_one(field_of("x", "w:65537"), &schema, &why), BASALT_TOO_LARGE);
    CHECK_EQ(
        import_one(field_of("x", "w:99999999999999999999999"), &schema, &why), BASALT_TOO_LARGE);
    CHECK_EQ(import_one(field_of("x", "w:"), &schema, &why), BASALT_UNSUPPORTED);
    CHECK_EQ(import_one(field_of("x", "w:-1"), &schema, &why), BASALT_UNSUPPORTED);
    CHECK_EQ(import_one(field_of("x", NULL), &schema, &why), BASALT_BAD_ARGUMENT);
    struct ArrowSchema released = field_of("x", "i");
    released.release = NULL;
    CHECK_EQ(import_one(released, &schema, &why), BASALT_BAD_ARGUMENT);
    struct ArrowSchema root = field_of("", "i");
    CHECK_EQ(bs_schema_import(&root, &schema, &why), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_schema_import(NULL, &schema, &why), BASALT_BAD_ARGUMENT);
    root.format = "+s";
    root.n_children = -1;
    CHECK_EQ(bs_schema_import(&root, &schema, &why), BASALT_BAD_ARGUMENT);
    root.n_children = 1;
    CHECK_EQ(bs_schema_import(&root, &schema, &why), BASALT_BAD_ARGUMENT);
    root.children = &(struct ArrowSchema *){&root};
    root.n_children = BS_FIELDS_MAX + 1;
    CHECK_EQ(bs_schema_import(&root, &schema, &why), BASALT_TOO_LARGE);
    CHECK(schema == NULL);
    root.n_children = 0;
    CHECK_OK(bs_schema_import(&root, &schema, err));
    CHECK_EQ(schema->field_count, 0);
    bs_schema_release(schema);
    CHECK_OK(import_one(field_of(NULL, "i"), &schema, err));
    CHECK_TEXT(schema->fields[0].name, "");
    bs_schema_release(schema);
}

/* Key-value metadata as the C data interface lays it out. */
static const char *metadata_of(struct bs_bytes *bytes, const char *const *texts, uint32_t pairs)
{
    bytes->count = 0;
    bs_bytes_u32(bytes, pairs);
    for (uint32_t i = 0; i < pairs * 2; i++) {
        bs_bytes_u32(bytes, (uint32_t)strlen(texts[i]));
        bs_bytes_put(bytes, texts[i], strlen(texts[i]));
    }
    return (const char *)bytes->data;
}

/* A schema with all there is to it: two columns, metadata of both kinds. */
static struct bs_schema *rich_schema(void)
{
    static const char *const of_field[] = {"unit", "m/s", "quote\"\\\n", "\xC3\xA4\xFF"};
    static const char *const of_schema[] = {"k", ""};
    struct bs_bytes field_metadata = {0}, schema_metadata = {0};
    struct ArrowSchema a = field_of("speed", "g"), b = field_of("when", "tsn:UTC");
    struct ArrowSchema *children[] = {&a, &b};
    struct ArrowSchema root = {
        .format = "+s", .n_children = 2, .children = children, .release = release_nothing};
    struct bs_schema *schema = NULL;
    a.metadata = metadata_of(&field_metadata, of_field, 2);
    b.flags = 0;
    root.metadata = metadata_of(&schema_metadata, of_schema, 1);
    CHECK_OK(bs_schema_import(&root, &schema, err));
    bs_bytes_free(&field_metadata);
    bs_bytes_free(&schema_metadata);
    return schema;
}

TEST(schema, json_is_for_people)
{
    struct bs_bytes json = {0};
    struct bs_schema *schema = rich_schema();
    CHECK_OK(bs_schema_json(schema, &json, err));
    bs_bytes_u8(&json, 0);
    CHECK_TEXT((const char *)json.data,
        "{\"fields\":[{\"name\":\"speed\",\"type\":\"float64\",\"nullable\":true,"
        "\"metadata\":{\"unit\":\"m/s\",\"quote\\\"\\\\\\u000a\":\"\xC3\xA4\\ufffd\"}},"
        "{\"name\":\"when\",\"type\":\"timestamp[ns, tz=UTC]\",\"nullable\":false}],"
        "\"metadata\":{\"k\":\"\"}}");
    bs_bytes_free(&json);
    bs_schema_release(schema);
}

TEST(schema, export_gives_back_what_was_imported)
{
    const int64_t before = test_live_allocations();
    struct bs_schema *schema = rich_schema(), *again = NULL;
    struct ArrowSchema out, moved;
    REQUIRE_OK(bs_schema_export(schema, &out, err));
    REQUIRE_OK(bs_schema_import(&out, &again, err));
    CHECK_OK(bs_schema_match(schema, again, err));
    CHECK_EQ(again->fields[0].metadata_bytes, schema->fields[0].metadata_bytes);
    CHECK(!memcmp(
        again->fields[0].metadata, schema->fields[0].metadata, schema->fields[0].metadata_bytes));
    CHECK_EQ(again->metadata_bytes, schema->metadata_bytes);
    CHECK_EQ(out.children[1]->flags, 0);
    CHECK_EQ(out.children[0]->flags, ARROW_FLAG_NULLABLE);
    moved = *out.children[0]; /* a child may be moved out and outlive everything else */
    out.children[0]->release = NULL;
    out.release(&out);
    CHECK(out.release == NULL);
    bs_schema_release(schema);
    bs_schema_release(again);
    CHECK_TEXT(moved.name, "speed");
    moved.release(&moved);
    CHECK_EQ(test_live_allocations(), before);
}

TEST(schema, metadata_is_bounded)
{
    struct bs_schema *schema = NULL;
    struct bs_bytes bytes = {0};
    struct ArrowSchema field = field_of("x", "i");
    bs_bytes_u32(&bytes, 1);
    bs_bytes_u32(&bytes, 0xFFFFFFFF);
    field.metadata = (const char *)bytes.data;
    CHECK_EQ(import_one(field, &schema, NULL), BASALT_BAD_ARGUMENT);
    bytes.count = 4;
    bs_bytes_u32(&bytes, 1u << 30);
    field.metadata = (const char *)bytes.data;
    CHECK_EQ(import_one(field, &schema, NULL), BASALT_TOO_LARGE);
    bytes.count = 0;
    bs_bytes_u32(&bytes, 0x80000000);
    field.metadata = (const char *)bytes.data;
    CHECK_EQ(import_one(field, &schema, NULL), BASALT_BAD_ARGUMENT);
    bytes.count = 0;
    bs_bytes_u32(&bytes, 0);
    field.metadata = (const char *)bytes.data;
    CHECK_OK(import_one(field, &schema, err));
    CHECK(schema->fields[0].metadata == NULL);
    bs_schema_release(schema);
    bs_bytes_free(&bytes);
}

TEST(schema, match_names_the_first_difference)
{
    struct bs_schema *one = NULL, *other = NULL;
    basalt_error why = {0};
    CHECK_OK(import_one(field_of("a", "i"), &one, err));
    CHECK_OK(bs_schema_match(one, one, err));
    CHECK_OK(import_one(field_of("b", "i"), &other, err));
    CHECK_EQ(bs_schema_match(one, other, &why), BASALT_SCHEMA_MISMATCH);
    CHECK_TEXT(why.message, "column 0 is called \"b\", expected \"a\"");
    bs_schema_release(other);
    CHECK_OK(import_one(field_of("a", "l"), &other, err));
    CHECK_EQ(bs_schema_match(one, other, &why), BASALT_SCHEMA_MISMATCH);
    CHECK_TEXT(why.message, "column \"a\" has the Arrow format \"l\", expected \"i\"");
    bs_schema_release(other);
    struct ArrowSchema strict = field_of("a", "i");
    strict.flags = 0;
    CHECK_OK(import_one(strict, &other, err));
    CHECK_EQ(bs_schema_match(one, other, &why), BASALT_SCHEMA_MISMATCH);
    CHECK_TEXT(why.message, "column \"a\" is not nullable, expected nullable");
    bs_schema_release(other);
    CHECK_OK(bs_schema_project(one, NULL, 0, &other, err));
    CHECK_EQ(bs_schema_match(one, other, &why), BASALT_SCHEMA_MISMATCH);
    CHECK_TEXT(why.message, "there are 0 columns, expected 1: \"a\" is missing");
    CHECK_EQ(bs_schema_match(other, one, &why), BASALT_SCHEMA_MISMATCH);
    CHECK_TEXT(why.message, "there is 1 column, expected 0: \"a\" is new");
    bs_schema_release(other);
    bs_schema_release(one);
}

TEST(schema, long_names_are_cut_between_characters)
{
    char name[200] = "";
    struct bs_schema *one = NULL, *other = NULL;
    basalt_error why = {0};
    for (int i = 0; i < 60; i++) memcpy(name + 3 * i, "\xE2\x82\xAC", 4);
    CHECK_OK(import_one(field_of(name, "i"), &one, err));
    CHECK_OK(import_one(field_of("b", "i"), &other, err));
    CHECK_EQ(bs_schema_match(one, other, &why), BASALT_SCHEMA_MISMATCH);
    CHECK(bs_utf8_valid(why.message, strlen(why.message)));
    bs_schema_release(other);
    bs_schema_release(one);
}

TEST(schema, project_takes_columns_in_any_order)
{
    struct bs_schema *schema = rich_schema(), *projected = NULL;
    const size_t indices[] = {1, 0, 1};
    CHECK_OK(bs_schema_project(schema, indices, 3, &projected, err));
    CHECK_EQ(projected->field_count, 3);
    CHECK_TEXT(projected->fields[0].name, "when");
    CHECK_TEXT(projected->fields[0].zone, "UTC");
    CHECK(!projected->fields[2].nullable);
    CHECK_EQ(projected->fields[1].metadata_bytes, schema->fields[0].metadata_bytes);
    bs_schema_release(projected);
    bs_schema_release(schema);
}

TEST(schema, no_memory_is_no_crash)
{
    struct bs_schema *schema = rich_schema();
    struct ArrowSchema arrow;
    REQUIRE_OK(bs_schema_export(schema, &arrow, err));
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_schema *copy = NULL, *projected = NULL;
        struct ArrowSchema out = {0};
        struct bs_bytes json = {0};
        basalt_error why = {0};
        const size_t indices[] = {1, 0};
        basalt_status status = bs_schema_import(&arrow, &copy, &why);
        if (!status) status = bs_schema_project(copy, indices, 2, &projected, &why);
        if (!status) status = bs_schema_export(projected, &out, &why);
        if (!status) status = bs_schema_json(copy, &json, &why);
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        CHECK_EQ(status, why.status);
        fault_stop();
        if (out.release) out.release(&out);
        bs_bytes_free(&json);
        bs_schema_release(copy);
        bs_schema_release(projected);
        CHECK_EQ(test_live_allocations(), before);
    }
    arrow.release(&arrow);
    bs_schema_release(schema);
}
