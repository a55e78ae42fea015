/*
 * test_options.c - Go's flag rules; expected texts and numbers are those of Go's flag and time packages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdbool.h>

#include "common/process/options.h"

struct settings {
    bool flag, on;
    int64_t number, port, interval;
    const char *text;
};

#define AT(member) offsetof(struct settings, member)
static const struct option_row rows[] = {
    {"text", OPTION_STRING, AT(text), "dflt", 0, 0, "a `word` to keep"},
    {"flag", OPTION_BOOL, AT(flag), NULL, 0, 0, "a switch"},
    {"on", OPTION_BOOL, AT(on), "true", 0, 0, "a switch that is on"},
    {"v", OPTION_INT, AT(number), NULL, 0, 0, "verbosity"},
    {"port", OPTION_INT, AT(port), "8080", 1, 65535, "where to listen"},
    {"interval", OPTION_DURATION, AT(interval), "2m", 1000000000, 3600000000000, "how often"},
    {"old", OPTION_IGNORED, 0, NULL, 0, 0, NULL},
    {"oldbool", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},
};

enum { MAX_WORDS = 8 };

static enum options_result parse(const char *const words[MAX_WORDS], struct settings *settings, int *rest,
                                 struct error **err)
{
    char *argv[MAX_WORDS + 2] = {(char *)(uintptr_t) "program"};
    int argc = 1;
    while (argc <= MAX_WORDS && words[argc - 1] != NULL) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argc++;
    }
    return options_parse(rows, ARRAY_SIZE(rows), argc, argv, settings, rest, err);
}

static void without_words_the_defaults_hold(void **state)
{
    (void)state;
    struct settings s;
    int rest = 0;
    const char *const none[MAX_WORDS] = {NULL};
    assert_int_equal(parse(none, &s, &rest, NULL), OPTIONS_RUN);
    assert_false(s.flag);
    assert_true(s.on);
    assert_int_equal(s.number, 0);
    assert_int_equal(s.port, 8080);
    assert_int_equal(s.interval, 120000000000);
    assert_string_equal(s.text, "dflt");
    assert_int_equal(rest, 1);
}

static void values_are_taken_as_go_takes_them(void **state)
{
    (void)state;
    static const struct {
        const char *words[MAX_WORDS];
        struct settings expected;
        int rest;
    } cases[] = {
        {{"-text", "x"}, {false, true, 0, 8080, 120000000000, "x"}, 3},
        {{"--text=x=y"}, {false, true, 0, 8080, 120000000000, "x=y"}, 2},
        {{"--text="}, {false, true, 0, 8080, 120000000000, ""}, 2},
        {{"--text", "-flag"}, {false, true, 0, 8080, 120000000000, "-flag"}, 3},
        {{"--text", "--", "-flag"}, {true, true, 0, 8080, 120000000000, "--"}, 4},
        {{"-flag", "-on=false"}, {true, false, 0, 8080, 120000000000, "dflt"}, 3},
        {{"--flag=T", "--on=0"}, {true, false, 0, 8080, 120000000000, "dflt"}, 3},
        {{"-flag", "false"},
         {true, true, 0, 8080, 120000000000, "dflt"},
         2}, /* "false" is a word, not its value */
        {{"-v=5", "--port", "0x1F90"}, {false, true, 5, 8080, 120000000000, "dflt"}, 4},
        {{"-v", "017", "-port=6_5_5"}, {false, true, 15, 655, 120000000000, "dflt"}, 4},
        {{"-v=0b101", "-port=0o17"}, {false, true, 5, 15, 120000000000, "dflt"}, 3},
        {{"-v=9223372036854775807"}, {false, true, INT64_MAX, 8080, 120000000000, "dflt"}, 2},
        {{"-interval=1m30.5s"}, {false, true, 0, 8080, 90500000000, "dflt"}, 2},
        {{"-v=1", "-v=2"}, {false, true, 2, 8080, 120000000000, "dflt"}, 3},
        {{"-v=1", "--", "-v=2"}, {false, true, 1, 8080, 120000000000, "dflt"}, 3},
        {{"-v=1", "word", "-v=2"}, {false, true, 1, 8080, 120000000000, "dflt"}, 2},
        {{"-v=1", "-", "-v=2"}, {false, true, 1, 8080, 120000000000, "dflt"}, 2},
        {{"", "-v=2"}, {false, true, 0, 8080, 120000000000, "dflt"}, 1},
        {{"-old", "-v", "-oldbool", "-old=", "-oldbool=x", "-v=3"},
         {false, true, 3, 8080, 120000000000, "dflt"},
         7},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings s;
        int rest = 0;
        cleanup_error struct error *err = NULL;
        if (parse(cases[i].words, &s, &rest, &err) != OPTIONS_RUN)
            fail_msg("case %zu: %s", i, error_message(err));
        const struct settings *e = &cases[i].expected;
        if (s.flag != e->flag || s.on != e->on || s.number != e->number || s.port != e->port ||
            s.interval != e->interval || strcmp(s.text, e->text) != 0 || rest != cases[i].rest)
            fail_msg("case %zu: %d %d %lld %lld %lld %s, rest %d", i, s.flag, s.on, (long long)s.number,
                     (long long)s.port, (long long)s.interval, s.text, rest);
    }
}

static void errors_read_as_those_of_go(void **state)
{
    (void)state;
    static const struct {
        const char *words[MAX_WORDS];
        const char *message;
    } cases[] = {
        {{"-nope"}, "flag provided but not defined: -nope"},
        {{"--nope=3"}, "flag provided but not defined: -nope"},
        {{"--text"}, "flag needs an argument: -text"},
        {{"-old"}, "flag needs an argument: -old"},
        {{"---v"}, "bad flag syntax: ---v"},
        {{"-=v"}, "bad flag syntax: -=v"},
        {{"--=v"}, "bad flag syntax: --=v"},
        {{"-flag=yes"}, "invalid boolean value \"yes\" for -flag: parse error"},
        {{"-flag="}, "invalid boolean value \"\" for -flag: parse error"},
        {{"-v", "x"}, "invalid value \"x\" for flag -v: parse error"},
        {{"-v="}, "invalid value \"\" for flag -v: parse error"},
        {{"-v= 1"}, "invalid value \" 1\" for flag -v: parse error"},
        {{"-v=1.5"}, "invalid value \"1.5\" for flag -v: parse error"},
        {{"-v=08"}, "invalid value \"08\" for flag -v: parse error"},
        {{"-v=0x"}, "invalid value \"0x\" for flag -v: parse error"},
        {{"-v=1__0"}, "invalid value \"1__0\" for flag -v: parse error"},
        {{"-v=_1"}, "invalid value \"_1\" for flag -v: parse error"},
        {{"-v=1_"}, "invalid value \"1_\" for flag -v: parse error"},
        {{"-v=9223372036854775808"}, "invalid value \"9223372036854775808\" for flag -v: value out of range"},
        {{"-v=99999999999999999999"},
         "invalid value \"99999999999999999999\" for flag -v: value out of range"},
        {{"-v=-1"}, "invalid value \"-1\" for flag -v: must be at least 0"},
        {{"-port=0"}, "invalid value \"0\" for flag -port: must be between 1 and 65535"},
        {{"-port=65536"}, "invalid value \"65536\" for flag -port: must be between 1 and 65535"},
        {{"-interval=5"}, "invalid value \"5\" for flag -interval: parse error"},
        {{"-interval=999ms"}, "invalid value \"999ms\" for flag -interval: must be between 1s and 3600s"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings s;
        int rest = 0;
        cleanup_error struct error *err = NULL;
        assert_int_equal(parse(cases[i].words, &s, &rest, &err), OPTIONS_ERROR);
        assert_string_equal(error_message(err), cases[i].message);
        assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
    }
}

static void help_has_three_spellings(void **state)
{
    (void)state;
    static const char *const asks[] = {"-h", "--h", "-help", "--help"};
    for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
        struct settings s;
        int rest = 0;
        const char *const words[MAX_WORDS] = {"-v=1", asks[i], "-nope"};
        assert_int_equal(parse(words, &s, &rest, NULL), OPTIONS_HELP);
    }
}

static void the_usage_lists_the_flags_by_name(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    options_usage(rows, ARRAY_SIZE(rows), "program", out);
    fclose(out);
    assert_string_equal(text, "Usage of program:\n"
                              "  --flag\n        a switch\n"
                              "  --interval duration\n        how often (default 2m)\n"
                              "  --on\n        a switch that is on (default true)\n"
                              "  --port int\n        where to listen (default 8080)\n"
                              "  --text word\n        a word to keep (default \"dflt\")\n"
                              "  --v int\n        verbosity\n"
                              "Accepted and ignored: --old --oldbool\n");
    free(text);
}

static void durations_are_those_of_go(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"0", 0},
        {"+0", 0},
        {"-0", 0},
        {"5s", 5000000000},
        {"30s", 30000000000},
        {"1478s", 1478000000000},
        {"-5s", -5000000000},
        {"+5s", 5000000000},
        {"5.0s", 5000000000},
        {"5.6s", 5600000000},
        {"5.s", 5000000000},
        {".5s", 500000000},
        {"-.5s", -500000000},
        {"1.004s", 1004000000},
        {"1.0040s", 1004000000},
        {"100.00100s", 100001000000},
        {"10ns", 10},
        {"11us", 11000},
        {"12\xc2\xb5s", 12000},
        {"12\xce\xbcs", 12000},
        {"13ms", 13000000},
        {"15m", 900000000000},
        {"16h", 57600000000000},
        {"3h30m", 12600000000000},
        {"10.5s4m", 250500000000},
        {"-2m3.4s", -123400000000},
        {"1h2m3s4ms5us6ns", 3723004005006},
        {"39h9m14.425s", 140954425000000},
        {"52763797000ns", 52763797000},
        {"0.3333333333333333333h", 1200000000000},
        {"9007199254740993ns", 9007199254740993},
        {"9223372036854775807ns", INT64_MAX},
        {"9223372036854775.807us", INT64_MAX},
        {"9223372036s854ms775us807ns", INT64_MAX},
        {"-9223372036854775808ns", INT64_MIN},
        {"0.100000000000000000000h", 360000000000},
        {"0.830103483285477580700h", 2988372539827},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t ns = -1;
        cleanup_error struct error *err = NULL;
        if (duration_parse(cases[i].text, &ns, &err) != 0 || ns != cases[i].ns)
            fail_msg("%s: %lld %s", cases[i].text, (long long)ns, error_message(err));
    }
}

static void text_that_is_no_duration_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "3",
                                      "-",
                                      "s",
                                      ".",
                                      "-.",
                                      ".s",
                                      "+.s",
                                      "1d",
                                      " 1s",
                                      "1s ",
                                      "1 s",
                                      "1s-",
                                      "--1s",
                                      "1.2.3s",
                                      "1e3s",
                                      "\x85\x85",
                                      "3000000h",
                                      "9223372036854775808ns",
                                      "9223372036854775.808us",
                                      "9223372036854ms775us808ns",
                                      "-9223372036854775809ns",
                                      "99999999999999999999s"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int64_t ns = 77;
        cleanup_error struct error *err = NULL;
        if (duration_parse(bad[i], &ns, &err) != -1)
            fail_msg("'%s' was taken as %lld", bad[i], (long long)ns);
        assert_int_equal(ns, 77);
        assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
    }
    cleanup_error struct error *err = NULL;
    int64_t ns = 0;
    assert_int_equal(duration_parse("5x", &ns, &err), -1);
    assert_string_equal(error_message(err), "invalid duration \"5x\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_words_the_defaults_hold),
        cmocka_unit_test(values_are_taken_as_go_takes_them),
        cmocka_unit_test(errors_read_as_those_of_go),
        cmocka_unit_test(help_has_three_spellings),
        cmocka_unit_test(the_usage_lists_the_flags_by_name),
        cmocka_unit_test(durations_are_those_of_go),
        cmocka_unit_test(text_that_is_no_duration_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
