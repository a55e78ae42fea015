/*
 * test_azure_select.c - beyond single objects: selections, optional objects, JSON split into files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>
#include <string.h>

#include "provider-azure/content/content.h"
#include "provider-azure/objects/objects.h"
#include "test/unit/content_converter.h"

static void patterns_are_globs_without_case(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"*", "", true},          {"*", "anything", true},       {"app-*", "app-", true},
        {"app-*", "APP-x", true}, {"app-*", "xapp-x", false},    {"*-key", "a-b-key", true},
        {"a?c", "abc", true},     {"a?c", "ac", false},          {"a*b*c", "axxbyybzc", true},
        {"a*b*c", "axxc", false}, {"abc", "abcd", false},        {"abc", "ab", false},
        {"**", "x", true},        {"*a*a*a*b", "aaaaaa", false}, {"[a]", "a", false},
        {"?", "", false},
    };
    const struct string_map no_tags = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct object_select *select = object_select_create(cases[i].pattern, "", NULL);
        assert_non_null(select);
        if (object_select_matches(select, cases[i].name, &no_tags) != cases[i].matches)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].name);
        object_select_unref(select);
    }
}

static void a_hostile_pattern_takes_no_time(void **state)
{
    char pattern[OBJECT_PATTERN_MAX + 1], name[OBJECT_PATTERN_MAX + 1];
    const struct string_map no_tags = {0};
    (void)state;
    for (size_t i = 0; i < OBJECT_PATTERN_MAX; i++) {
        pattern[i] = i % 2 == 0 ? '*' : 'a';
        name[i] = 'a';
    }
    pattern[OBJECT_PATTERN_MAX - 1] = 'b';
    pattern[OBJECT_PATTERN_MAX] = name[OBJECT_PATTERN_MAX] = '\0';
    struct object_select *select = object_select_create(pattern, "", NULL);
    for (int i = 0; i < 10000; i++) /* an exponential matcher would not end before the stars go out */
        assert_false(object_select_matches(select, name, &no_tags));
    object_select_unref(select);
}

static void all_tags_must_be_there_as_they_are_spelled(void **state)
{
    static const struct {
        const char *wanted;
        bool matches;
    } cases[] = {{"env=prod", true},
                 {" env = prod , team=pay ", true},
                 {"env=Prod", false},
                 {"Env=prod", false},
                 {"env=prod,other=x", false},
                 {"empty=", true},
                 {"env=", false},
                 {"eq=a=b", true}};
    struct string_map tags = {0};
    (void)state;
    (void)string_map_set(&tags, "env", "prod", NULL);
    (void)string_map_set(&tags, "team", "pay", NULL);
    (void)string_map_set(&tags, "empty", "", NULL);
    (void)string_map_set(&tags, "eq", "a=b", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct object_select *select = object_select_create("", cases[i].wanted, NULL);
        assert_non_null(select);
        if (object_select_matches(select, "name", &tags) != cases[i].matches)
            fail_msg("'%s'", cases[i].wanted);
        object_select_unref(select);
    }
    string_map_finish(&tags);
    static const char *const bad[] = {"env", "=x", "a=1,a=2", "a=1,,b=2",
                                      "a=,b=,c=,d=,e=,f=,g=,h=,i=,j=,k=,l=,m=,n=,o=,p="};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_null(object_select_create("*", bad[i], NULL));
}

static void an_alias_is_a_directory_or_a_template(void **state)
{
    static const struct {
        const char *alias, *path;
    } cases[] = {{"", "n"}, {"d", "d/n"}, {"d/e", "d/e/n"}, {"*.txt", "n.txt"}, {"d/*/*.pem", "d/n/n.pem"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *path = object_select_path(cases[i].alias, "n");
        assert_string_equal(path, cases[i].path);
    }
}

/* The error of one item, or NULL. */
static struct error *parse_item(const char *fields, struct object_list *ret_list)
{
    char text[1024];
    struct error *error = NULL;
    (void)snprintf(text, sizeof(text), "array:\n - '{%s}'\n", fields);
    (void)objects_parse(text, &(struct object_defaults){.mode = 0644}, ret_list, &error);
    return error;
}

static void new_fields_are_checked_before_any_request(void **state)
{
    static const struct {
        const char *fields;
        const char *expected; /* NULL: accepted */
    } cases[] = {
        {"objectNamePattern: a*, objectType: secret", NULL},
        {"objectTags: a=b, objectType: key, objectAlias: x/*", NULL},
        {"objectName: a, objectType: secret, objectOptional: true", NULL},
        {"objectName: a, objectType: secret, objectOptional: \"False\"", NULL},
        {"objectName: a, objectType: secret, objectSplit: JSON", NULL},
        {"objectNamePattern: a*, objectName: a, objectType: secret", "objectName cannot be given together"},
        {"objectNamePattern: a*, objectVersion: v1, objectType: secret",
         "objectVersion and objectVersionHistory cannot be given"},
        {"objectNamePattern: a*, objectVersionHistory: 2, objectType: secret",
         "objectVersion and objectVersionHistory cannot be given"},
        {"objectNamePattern: a*, objectVersion: latest, objectType: secret", NULL},
        {"objectNamePattern: a*, objectType: secret, objectAlias: ../*", "must not contain '..'"},
        {"objectNamePattern: a*, objectType: secret, objectAlias: /a", "must be a relative path"},
        {"objectNamePattern: a*, objectType: secret, objectAlias: a//*", "must be clean"},
        {"objectNamePattern: a*, objectType: secrets",
         "objectName:a*, objectVersion:: Invalid vaultObjectTypes"},
        {"objectTags: a, objectType: secret", "invalid objectTags: a, should be name=value, name=value"},
        {"objectName: a, objectType: secret, objectOptional: maybe", "invalid objectOptional: maybe"},
        {"objectName: a, objectType: secret, objectSplit: yaml", "invalid objectSplit: yaml, should be json"},
        {"objectName: a, objectType: cert, objectSplit: json",
         "objectSplit only supported for objectType: secret"},
        {"objectName: a, objectType: secret, objectFormat: pfx, objectSplit: json",
         "objectSplit only supported for objectType: secret"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct object_list list = {0};
        cleanup_error struct error *error = parse_item(cases[i].fields, &list);
        if (cases[i].expected == NULL ? error != NULL
                                      : strstr(error_message(error), cases[i].expected) == NULL)
            fail_msg("%s: got '%s'", cases[i].fields, error_message(error));
        object_list_finish(&list);
    }
}

/* Converts a secret with this value; returns "suffix=bytes;" per file, or the error's text. */
static const char *split(const char *json, enum object_encoding encoding)
{
    static char result[4096];
    const struct content_options options = {0};
    const struct object_item item = {
        .name = (char[]){"n"}, .type = OBJECT_SECRET, .encoding = encoding, .split = OBJECT_SPLIT_JSON};
    cleanup_error struct error *error = NULL;
    struct content content = {0};
    struct vault_object object = {.content_type = (char[]){""}};

    object.value = secret_from_bytes(json, strlen(json));
    size_t used = 0;
    result[0] = '\0';
    if (convert_content(&options, &item, "", &object, &content, &error) < 0) {
        (void)snprintf(result, sizeof(result), "%s", error_message(error));
        assert_int_equal(error_code(error), GRPC_STATUS_FAILED_PRECONDITION);
    }
    for (size_t i = 0; i < content.files.n; i++)
        used += (size_t)snprintf(result + used, sizeof(result) - used, "%s=%.*s;", content.files.at[i].path,
                                 (int)content.files.at[i].len, (const char *)content.files.at[i].bytes);
    content_finish(&content);
    secret_destroy(object.value);
    return result;
}

static void members_of_a_json_secret_become_files(void **state)
{
    static const struct {
        const char *json;
        const char *files;
    } cases[] = {
        {"{\"user\":\"me\",\"password\":\"p w\"}", "/user=me;/password=p w;"},
        {" { \"a\" : \"x\\n\\u00e9\\ud83d\\ude00\" , \"b\":\"\" } ", "/a=x\n\xc3\xa9\xf0\x9f\x98\x80;/b=;"},
        {"{\"port\":5432,\"big\":12345678901234567890123,\"f\":1.50,\"e\":1E+2}",
         "/port=5432;/big=12345678901234567890123;/f=1.50;/e=1E+2;"},
        {"{\"t\":true,\"n\":null,\"o\":{ \"x\": [1, \"}\"] },\"l\":[],\"z\":\"\\\"\"}",
         "/t=true;/n=null;/o={ \"x\": [1, \"}\"] };/l=[];/z=\";"},
        {"{\"with\\\"quote: {\":1,\"dir/file\":\"x\"}", "/with\"quote: {=1;/dir/file=x;"},
        {"{}", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(split(cases[i].json, OBJECT_UTF8), cases[i].files);
    assert_string_equal(split("eyJhIjoiYiJ9", OBJECT_BASE64), "/a=b;");
}

static void a_secret_that_cannot_be_split_is_reported_without_its_content(void **state)
{
    static const struct {
        const char *json;
        const char *expected;
    } cases[] = {
        {"hunter2", "objectSplit: json: invalid JSON"},
        {"", "objectSplit: json: invalid JSON"},
        {"\"hunter2\"", "not a JSON object"},
        {"[\"hunter2\"]", "not a JSON object"},
        {"{\"a\":\"hunter2\"} hunter2", "invalid JSON"},
        {"{\"a\":\"hunter2\",\"a\":1}", "is there twice"},
        {"{\"a\":\"hunter2\",}", "invalid JSON"},
        {"{'a':'hunter2'}", "invalid JSON"},
        {"{\"a\\u0000b\":\"hunter2\"}", "the name of member 0 has a control character"},
        {"{\"..\":\"hunter2\"}", "member \"..\": file name must not contain '..'"},
        {"{\"../up\":\"hunter2\"}", "file name must not contain '..'"},
        {"{\"\":\"hunter2\"}", "file name must not be empty"},
        {"{\"/etc\":\"hunter2\"}", "must be a relative path"},
        {"{\"a/\":\"hunter2\"}", "must be clean"},
        {"{\"a\\nb\":\"hunter2\"}", "the name of member 0 has a control character"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *text = split(cases[i].json, OBJECT_UTF8);
        if (strstr(text, cases[i].expected) == NULL || strstr(text, "hunter2") != NULL)
            fail_msg("%s: got '%s'", cases[i].json, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_globs_without_case),
        cmocka_unit_test(a_hostile_pattern_takes_no_time),
        cmocka_unit_test(all_tags_must_be_there_as_they_are_spelled),
        cmocka_unit_test(an_alias_is_a_directory_or_a_template),
        cmocka_unit_test(new_fields_are_checked_before_any_request),
        cmocka_unit_test(members_of_a_json_secret_become_files),
        cmocka_unit_test(a_secret_that_cannot_be_split_is_reported_without_its_content),
    };
    return cmocka_run_group_tests_name("azure select", tests, NULL, NULL);
}
