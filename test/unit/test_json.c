/*
 * test_json.c - what the strict reader takes and refuses (RFC 8259), and the typed getters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "common/base/secret.h"

enum { MAX = 1 << 20 };
#define BYTES(text) (text), sizeof(text) - 1

/* Parses from a block of exactly that size, so that the address sanitizer sees a byte read behind it. */
static cJSON *parse_exact(const char *text, size_t len, struct error **err)
{
    cleanup_free char *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, text, len);
    return json_parse(copy, len, MAX, err);
}

static void texts_that_the_rfc_allows_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"{}", "{}"},
        {" \t\r\n[ ] \n", "[]"},
        {"null", "null"},
        {"1", "1"},
        {"-0.5e+1", "-5"},
        {"\"\"", "\"\""},
        {"[0,10,-1,1.5,1E2]", "[0,10,-1,1.5,100]"},
        {"{\"a\":{\"a\":[{\"a\":1}]}}", "{\"a\":{\"a\":[{\"a\":1}]}}"},
        {"{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"", "\"\\\"\\\\/\\b\\f\\n\\r\\tA\""},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
        /* half a pair, as Go reads it */
        {"\"\\ud83d\"", "\"\xef\xbf\xbd\""},
        {"\"a\\uDE00b\"", "\"a\xef\xbf\xbd"
                          "b\""},
        {"\"\\ud83d\\ud83d\\ude00\\ude00\"", "\"\xef\xbf\xbd\xf0\x9f\x98\x80\xef\xbf\xbd\""},
        {"{\"\\ud800\":[\"\\udfff\\n\",\"\\\\ud800\"]}",
         "{\"\xef\xbf\xbd\":[\"\xef\xbf\xbd\\n\",\"\\\\ud800\"]}"},
        {"[true,false,null]", "[true,false,null]"},
        {"\xef\xbb\xbf {}", "{}"}, /* a byte order mark */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *err = NULL;
        cleanup_json cJSON *json = parse_exact(rows[i].text, strlen(rows[i].text), &err);
        if (json == NULL)
            fail_msg("%s: %s", rows[i].text, error_message(err));
        cleanup_secret_free char *printed = json_print(json, &err);
        assert_string_equal(printed, rows[i].printed);
    }
}

static void texts_that_the_rfc_forbids_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *message;
    } rows[] = {
        {BYTES(""), "unexpected end at byte 0"},
        {BYTES("   "), NULL},
        {BYTES("{"), NULL},
        {BYTES("[1"), NULL},
        {BYTES("[1 "), NULL},
        {BYTES("[1}"), NULL},
        {BYTES("]"), "unexpected character at byte 0"},
        {BYTES("{\"a\"}"), NULL},
        {BYTES("{\"a\":}"), NULL},
        {BYTES("{a:1}"), "unexpected character at byte 1"},
        {BYTES("{'a':1}"), NULL},
        {BYTES("[1,]"), NULL},
        {BYTES("{\"a\":1,}"), NULL},
        {BYTES("[1 2]"), NULL},
        {BYTES("{} x"), NULL},
        {BYTES("{}{}"), "something behind the value at byte 2"},
        {BYTES("1 2"), NULL},
        {BYTES("nullnull"), NULL},
        {BYTES("nul"), NULL},
        {BYTES("True"), NULL},
        {BYTES("NaN"), NULL},
        {BYTES("{}\0"), NULL},
        {BYTES("\"a\0b\""), "control character in a string at byte 2"},
        {BYTES("\"a\nb\""), "control character in a string at byte 2"},
        {BYTES("\"\\u0000\""), "NUL in a string at byte 1"},
        {BYTES("{\"a\\u0000b\":1}"), "NUL in a string at byte 3"},
        {BYTES("\"\\uZZZZ\""), "bad escape at byte 1"},
        {BYTES("\"\\u00"), "bad escape at byte 1"},
        {BYTES("\"\\x\""), "bad escape at byte 1"},
        {BYTES("\"\\"), "bad escape at byte 1"},
        {BYTES("\"\\ud83\""), NULL},
        {BYTES("\"abc"), "string without end at byte 4"},
        {BYTES("01"), "bad number at byte 0"},
        {BYTES("-01"), "bad number at byte 1"},
        {BYTES("-"), NULL},
        {BYTES("+1"), NULL},
        {BYTES(".5"), NULL},
        {BYTES("1."), NULL},
        {BYTES("1.e1"), NULL},
        {BYTES("1e"), NULL},
        {BYTES("1e+"), NULL},
        {BYTES("0x10"), NULL},
        {BYTES("[1e999]"), "number out of range"},
        {BYTES("\xef\xbb\xbf\xef\xbb\xbf{}"), NULL}, /* one byte order mark, not two */
        {BYTES("\xef\xbb\xbf"), NULL},
        {BYTES("{\xef\xbb\xbf}"), NULL},
        {BYTES("\"\xff\""), "not UTF-8"},
        {BYTES("\f1"), NULL},
        {BYTES("/**/1"), NULL},
        {BYTES("{\"a\":1,\"b\":2,\"a\":3}"), "key \"a\" is there twice"},
        {BYTES("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"e\":0}"),
         "key \"e\" is there twice"},
        {BYTES("[{\"x\":{\"k\":1,\"k\":1}}]"), "key \"k\" is there twice"},
        {BYTES("{\"a\":1,\"\\u0061\":2}"), "key \"a\" is there twice"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *err = NULL;
        cJSON *json = parse_exact(rows[i].text, rows[i].len, &err);
        if (json != NULL)
            fail_msg("%s was taken", rows[i].text);
        assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(error_message(err), "invalid JSON: "));
        if (rows[i].message != NULL)
            assert_string_equal(error_message(err) + strlen("invalid JSON: "), rows[i].message);
    }
}

static void a_string_with_nul_is_kept_where_it_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
        size_t len;
    } rows[] = {
        {"{\"v\":\"a\\u0000b\",\"n\":1}", BYTES("a\0b")},         {"{\"v\":\"\\u0000\"}", BYTES("\0")},
        {"{\"v\":\"\\u0000\\u0000x\\u0000\"}", BYTES("\0\0x\0")}, {"{\"v\":\"\"}", BYTES("")},
        {"{\"v\":\"\\u0001\\\\u0000\"}", BYTES("\1\\u0000")},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_json cJSON *json =
            json_parse_with(rows[i].text, strlen(rows[i].text), 1000, JSON_KEEP_NUL, NULL);
        cleanup_error struct error *error = NULL;
        const char *text = NULL;
        size_t len = 0;
        assert_non_null(json);
        bool has_nul = memchr(rows[i].bytes, 0, rows[i].len) != NULL;
        assert_int_equal(json_opt_string(json, "v", &text, &error), has_nul ? -1 : 0);
        if (has_nul)
            assert_string_equal(error_message(error), "JSON member 'v' contains a NUL character");
        assert_int_equal(json_opt_bytes(json, "v", &text, &len, NULL), 0);
        assert_int_equal(len, rows[i].len);
        assert_memory_equal(text, rows[i].bytes, len);
    }
}

/* A text with more values than allowed is read without what is not needed. */
static void only_what_is_needed_is_read_of_a_large_text(void **state)
{
    (void)state;
    static const char *const members[] = {"value", "id", NULL};
    static const struct {
        const char *text;
        unsigned flags;
        const char *printed; /* or the error */
    } rows[] = {
        {"{\"a\":[1,2,3,{\"b\":[]}],\"value\":\"x\\u00e9\",\"c\":{\"id\":5,\"d\":[0,0]},\"id\":\"i\"}", 0,
         "{\"value\":\"x\xc3\xa9\",\"id\":\"i\"}"},
        {" { \"id\" : \"i\" , \"a\" : [ 1 , 2 , 3 , 4 , 5 ] , \"value\" : [ \"}\" ] } ", 0,
         "{\"id\":\"i\",\"value\":[\"}\"]}"},
        {"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}", 0, "{}"},
        {"{\"\\u0076alue\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}", 0, "{\"value\":1}"},
        {"{\"value\":[1,2,3,4],\"b\":[]}", 0, "invalid JSON: more than 5 values"},
        {"[1,2,3,4,5]", 0, "invalid JSON: more than 5 values"},
        {"{\"a\":[1,2,3,,4],\"value\":\"x\"}", 0, "invalid JSON: more than 5 values"},
        {"{\"a\":[1,2,3,4,\"value\":\"x\"}", 0, "invalid JSON: more than 5 values"},
        {"{\"value\":[1,2,[3,4],5],\"id\":{\"a\":7}}", JSON_SHALLOW, "{\"value\":[],\"id\":{}}"},
        {"{\"value\":1,\"value\":[1,2,3,4]}", JSON_SHALLOW, "invalid JSON: key \"value\" is there twice"},
        /* one that is not large is read as it is */
        {"{\"a\":1,\"value\":2,\"b\":[]}", 0, "{\"a\":1,\"value\":2,\"b\":[]}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct json_options options = {
            .max_len = 1000, .max_values = 5, .flags = rows[i].flags, .members = members};
        cleanup_error struct error *error = NULL;
        cleanup_json cJSON *json = json_parse_options(rows[i].text, strlen(rows[i].text), &options, &error);
        cleanup_secret_free char *printed = json != NULL ? json_print(json, NULL) : NULL;
        const char *got = json != NULL ? printed : error_message(error);
        if (strcmp(got, rows[i].printed) != 0)
            fail_msg("row %zu: %s", i, got);
    }
}

static void nesting_ends_exactly_at_the_limit(void **state)
{
    (void)state;
    for (size_t depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        char text[2 * JSON_MAX_DEPTH + 2];
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        cleanup_json cJSON *json = parse_exact(text, 2 * depth, NULL);
        assert_int_equal(json != NULL, depth == JSON_MAX_DEPTH);
    }
    /* Far too deep is refused before any recursion starts; brackets in strings do not count. */
    static char deep[MAX];
    memset(deep, '[', sizeof(deep));
    assert_null(json_parse(deep, sizeof(deep), MAX, NULL));
    deep[0] = deep[sizeof(deep) - 1] = '"';
    cleanup_json cJSON *json = json_parse(deep, sizeof(deep), MAX, NULL);
    assert_non_null(json);
}

static void a_text_longer_than_allowed_is_refused(void **state)
{
    (void)state;
    cleanup_error struct error *err = NULL;
    assert_null(json_parse("[1,2]", 5, 4, &err));
    assert_string_equal(error_message(err), "invalid JSON: 5 bytes, at most 4 are allowed");
}

static void an_error_shows_no_content(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"password\":\"hunter2\"", "\"hunter2", "[\"hunter2\" \"hunter2\"]",
                                        "{\"p\":\"hunter2\",\"p\":\"hunter2\"}", "hunter2"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_error struct error *err = NULL;
        assert_null(json_parse(texts[i], strlen(texts[i]), MAX, &err));
        assert_null(strstr(error_message(err), "hunter"));
    }
}

static void duplicates_are_kept_when_the_caller_allows_them(void **state)
{
    (void)state;
    cleanup_json cJSON *json = json_parse_with(BYTES("{\"a\":1,\"a\":2}"), MAX, JSON_ALLOW_DUPLICATES, NULL);
    assert_non_null(json);
    assert_int_equal(cJSON_GetArraySize(json), 2);
}

static cJSON *sample(void)
{
    return json_parse(BYTES("{\"s\":\"x\",\"n\":7,\"o\":{},\"a\":[],\"b\":true,\"z\":null}"), MAX, NULL);
}

static void members_of_the_right_type_are_found(void **state)
{
    (void)state;
    cleanup_json cJSON *json = sample();
    const char *string = NULL;
    const cJSON *member = NULL;
    bool truth = false;
    int64_t number = 0;
    assert_int_equal(json_get_string(json, "s", &string, NULL), 0);
    assert_string_equal(string, "x");
    assert_int_equal(json_opt_string(json, "s", &string, NULL), 0);
    assert_int_equal(json_get_object(json, "o", &member, NULL), 0);
    assert_true(cJSON_IsObject(member));
    assert_int_equal(json_opt_array(json, "a", &member, NULL), 0);
    assert_true(cJSON_IsArray(member));
    assert_int_equal(json_opt_bool(json, "b", false, &truth, NULL), 0);
    assert_true(truth);
    assert_int_equal(json_opt_int(json, "n", 0, &number, NULL), 0);
    assert_int_equal(number, 7);
}

static void a_missing_member_is_an_error_only_where_it_is_needed(void **state)
{
    (void)state;
    cleanup_json cJSON *json = sample();
    static const char *const absent[] = {"nope", "z", "S"};
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
        cleanup_error struct error *err = NULL;
        const char *string = "untouched";
        const cJSON *member = json;
        bool truth = false;
        int64_t number = 0;
        assert_int_equal(json_get_string(json, absent[i], &string, &err), -1);
        assert_string_equal(string, "untouched");
        assert_non_null(strstr(error_message(err), absent[i]));
        assert_non_null(strstr(error_message(err), "missing"));
        assert_int_equal(json_get_object(json, absent[i], &member, NULL), -1);
        assert_ptr_equal(member, json);
        assert_int_equal(json_opt_string(json, absent[i], &string, NULL), 0);
        assert_null(string);
        assert_int_equal(json_opt_object(json, absent[i], &member, NULL), 0);
        assert_null(member);
        member = json;
        assert_int_equal(json_opt_array(json, absent[i], &member, NULL), 0);
        assert_null(member);
        assert_int_equal(json_opt_bool(json, absent[i], true, &truth, NULL), 0);
        assert_true(truth);
        assert_int_equal(json_opt_int(json, absent[i], 42, &number, NULL), 0);
        assert_int_equal(number, 42);
    }
    const char *string = NULL;
    assert_int_equal(json_get_string(NULL, "s", &string, NULL), -1);
    assert_int_equal(json_get_string(cJSON_GetObjectItem(json, "a"), "s", &string, NULL), -1);
}

static void a_member_of_another_type_is_an_error_that_names_both(void **state)
{
    (void)state;
    cleanup_json cJSON *json = sample();
    cleanup_error struct error *err = NULL;
    const char *string = NULL;
    const cJSON *member = NULL;
    bool truth = false;
    int64_t number = 0;
    assert_int_equal(json_get_string(json, "n", &string, &err), -1);
    assert_string_equal(error_message(err), "JSON member 'n' is of type number, not string");
    assert_int_equal(json_opt_string(json, "b", &string, NULL), -1);
    assert_int_equal(json_get_object(json, "a", &member, NULL), -1);
    assert_int_equal(json_opt_object(json, "s", &member, NULL), -1);
    assert_int_equal(json_opt_array(json, "o", &member, NULL), -1);
    assert_int_equal(json_opt_array(json, "n", &member, NULL), -1);
    assert_int_equal(json_opt_bool(json, "n", false, &truth, NULL), -1);
    assert_int_equal(json_opt_int(json, "o", 0, &number, NULL), -1);
}

static void integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-5", true, -5},
        {"3599", true, 3599},
        {"\"3599\"", true, 3599},
        {"\"-1\"", true, -1},
        {"1e3", true, 1000},
        {"2.0", true, 2},
        {"9007199254740991", true, 9007199254740991},
        {"-9007199254740991", true, -9007199254740991},
        {"9007199254740992", false, 0},
        {"9007199254740993", false, 0}, /* a double cannot be distinguished from the one above */
        {"\"9223372036854775807\"", true, INT64_MAX},
        {"\"-9223372036854775808\"", true, INT64_MIN},
        {"\"9223372036854775808\"", false, 0},
        {"1.5", false, 0},
        {"1e300", false, 0},
        {"\"\"", false, 0},
        {"\"-\"", false, 0},
        {"\" 1\"", false, 0},
        {"\"+1\"", false, 0},
        {"\"1 \"", false, 0},
        {"\"0x10\"", false, 0},
        {"\"1.0\"", false, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[64];
        int len = snprintf(text, sizeof(text), "{\"n\":%s}", rows[i].text);
        cleanup_json cJSON *json = json_parse(text, (size_t)len, MAX, NULL);
        int64_t value = 99;
        cleanup_error struct error *err = NULL;
        int status = json_opt_int(json, "n", 0, &value, &err);
        if ((status == 0) != rows[i].ok || value != (rows[i].ok ? rows[i].value : 99))
            fail_msg("%s: %d %lld", rows[i].text, status, (long long)value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_the_rfc_allows_are_accepted),
        cmocka_unit_test(texts_that_the_rfc_forbids_are_refused),
        cmocka_unit_test(a_string_with_nul_is_kept_where_it_is_allowed),
        cmocka_unit_test(only_what_is_needed_is_read_of_a_large_text),
        cmocka_unit_test(nesting_ends_exactly_at_the_limit),
        cmocka_unit_test(a_text_longer_than_allowed_is_refused),
        cmocka_unit_test(an_error_shows_no_content),
        cmocka_unit_test(duplicates_are_kept_when_the_caller_allows_them),
        cmocka_unit_test(members_of_the_right_type_are_found),
        cmocka_unit_test(a_missing_member_is_an_error_only_where_it_is_needed),
        cmocka_unit_test(a_member_of_another_type_is_an_error_that_names_both),
        cmocka_unit_test(integers_are_exact_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
