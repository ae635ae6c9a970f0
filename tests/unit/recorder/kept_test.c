/* kept_test.c - metadata that comes before an instrument's first batch. */
#include "tests/unit/recorder/recorder_cases.h"

#define KEPT "pending_instrument_metadata"

TEST(kept, metadata_before_the_first_batch_goes_to_the_group)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "k.h5", &options, &recorder, err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "unit", "mV", err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "unit", "V", err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "place", "roof", err));
    CHECK_OK(send_rows(recorder, "probe", 0, 5, NULL, NULL, err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "late", "yes", err));
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK_ATTRIBUTE(&stage, "k.h5", "probe", "unit", "V");
    CHECK_ATTRIBUTE(&stage, "k.h5", "probe", "place", "roof");
    CHECK_ATTRIBUTE(&stage, "k.h5", "probe", "late", "yes");
    CHECK_ATTRIBUTE(&stage, "k.h5", NULL, KEPT, "{}");
    stage_close(&stage);
}

TEST(kept, metadata_survives_a_session_without_batches)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    const char *odd = "quote \" slash \\ line\nbell\a end";
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "k.h5", &options, &recorder, err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "note", odd, err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "unit", "V", err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "lamp", "unit", "cd", err));
    CHECK_OK(bs_recorder_stop(&recorder, err));
    char *kept = attribute_in_file(&stage, "k.h5", NULL, KEPT);
    CHECK(kept && strstr(kept, "\"lamp\":{\"unit\":\"cd\"}"));
    bs_free(kept);

    options.resume = true;
    REQUIRE_OK(bs_recorder_start(&stage.parts, "k.h5", &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "probe", 0, 5, NULL, NULL, err));
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK_ATTRIBUTE(&stage, "k.h5", "probe", "note", odd);
    CHECK_ATTRIBUTE(&stage, "k.h5", "probe", "unit", "V");
    CHECK_ATTRIBUTE(&stage, "k.h5", NULL, KEPT, "{\"lamp\":{\"unit\":\"cd\"}}");
    stage_close(&stage);
}

TEST(kept, is_bounded)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    static char value[40001];
    memset(value, 'v', sizeof value - 1);
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "k.h5", &options, &recorder, err));
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "one", value, err));
    CHECK_EQ(bs_recorder_set_metadata(recorder, "probe", "two", value, NULL), BASALT_TOO_LARGE);
    CHECK_OK(bs_recorder_set_metadata(recorder, "probe", "three", "3", err));
    CHECK_OK(send_rows(recorder, "probe", 0, 1, NULL, NULL, err));
    CHECK_EQ(
        bs_recorder_stop(&recorder, NULL), BASALT_TOO_LARGE); /* the first error of the session */
    CHECK_ATTRIBUTE(&stage, "k.h5", "probe", "one", value);
    CHECK_ATTRIBUTE(&stage, "k.h5", "probe", "three", "3");
    CHECK(!attribute_in_file(&stage, "k.h5", "probe", "two"));
    stage_close(&stage);
}

TEST(kept, json_that_somebody_spoiled_is_refused)
{
    static const char *const texts[] = {"", "[]", "{\"a\"", "{\"a\":{\"b\":1}}",
        "{\"a\":{\"b\":\"c\"}", "{\"a\":{\"b\":\"\\u12\"}}", "{\"a\":{}} x",
        "{\"a\":{\"b\":\"c\\q\"}}"};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(texts); i++) {
        struct stage stage;
        struct bs_recorder *recorder = NULL;
        basalt_recorder_options options = default_options();
        basalt_error error = {0};
        REQUIRE_OK(stage_open(&stage, true, err));
        REQUIRE_OK(bs_recorder_start(&stage.parts, "k.h5", &options, &recorder, err));
        CHECK_OK(bs_recorder_set_metadata(recorder, NULL, KEPT, texts[i], err));
        CHECK_OK(bs_recorder_stop(&recorder, err));
        options.resume = true;
        CHECK_EQ(
            bs_recorder_start(&stage.parts, "k.h5", &options, &recorder, &error), BASALT_CORRUPT);
        CHECK(strstr(error.message, KEPT));
        CHECK(recorder == NULL);
        stage_close(&stage);
    }
}
