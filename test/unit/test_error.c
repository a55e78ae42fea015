/*
 * test_error.c - codes, stories, and what happens to long or broken texts.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/error.h"
#include "common/base/utf8.h"

static void a_wrapped_error_reads_from_intent_to_cause(void **state)
{
    (void)state;
    cleanup_error struct error *err = NULL;
    assert_int_equal(error_set(&err, GRPC_STATUS_UNAVAILABLE, "port %d closed", 443), -1);
    assert_int_equal(error_wrap(&err, "fetch secret '%s'", "db"), -1);
    assert_int_equal(error_wrap(&err, "mount"), -1);
    assert_string_equal(error_message(err), "mount: fetch secret 'db': port 443 closed");
    assert_int_equal(error_code(err), GRPC_STATUS_UNAVAILABLE);
    error_recode(&err, GRPC_STATUS_ABORTED);
    error_set_type(&err, "Kind");
    cleanup_error struct error *copy = error_copy(err);
    assert_string_equal(error_message(copy), error_message(err));
    assert_string_equal(error_type(copy), "Kind");
    assert_int_equal(error_code(copy), GRPC_STATUS_ABORTED);
}

static void a_hint_stands_behind_the_story(void **state)
{
    (void)state;
    cleanup_error struct error *err = NULL;
    error_set(&err, GRPC_STATUS_NOT_FOUND, "no file");
    error_set_type(&err, "Kind");
    assert_int_equal(error_hint(&err, "is %d right?", 5), -1);
    error_wrap(&err, "read");
    assert_string_equal(error_message(err), "read: no file [hint: is 5 right?]");
    assert_int_equal(error_code(err), GRPC_STATUS_NOT_FOUND);
    assert_string_equal(error_type(err), "Kind");
}

static void a_system_error_ends_in_its_text(void **state)
{
    (void)state;
    cleanup_error struct error *err = NULL;
    error_set_errno(&err, GRPC_STATUS_NOT_FOUND, 2, "open %s", "/x");
    assert_string_equal(error_message(err), "open /x: No such file or directory");
}

static void every_function_accepts_no_error_pointer(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, GRPC_STATUS_INTERNAL, "x"), -1);
    assert_int_equal(error_set_errno(NULL, GRPC_STATUS_INTERNAL, 1, "x"), -1);
    assert_int_equal(error_wrap(NULL, "x"), -1);
    assert_int_equal(error_hint(NULL, "x"), -1);
    assert_int_equal(error_recode(NULL, GRPC_STATUS_OK), -1);
    assert_int_equal(error_set_type(NULL, ""), -1);
    error_free(NULL);
}

static void no_error_reads_as_ok(void **state)
{
    (void)state;
    assert_int_equal(error_code(NULL), GRPC_STATUS_OK);
    assert_string_equal(error_message(NULL), "");
    assert_string_equal(error_type(NULL), "");
    assert_null(error_copy(NULL));
}

static void lack_of_memory_names_its_purpose(void **state)
{
    (void)state;
    struct error *err = NULL;
    assert_int_equal(error_no_memory(&err, "a list"), -1);
    assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(error_message(err), "out of memory for a list");
    error_free(steal_ptr(&err));
    assert_int_equal(error_no_memory(&err, /* what= */ NULL), -1);
    assert_string_equal(error_message(err), "out of memory");
    error_free(err);
    assert_int_equal(error_no_memory(NULL, "x"), -1);
}

static void lack_of_memory_takes_the_place_of_a_librarys_guess(void **state)
{
    (void)state;
    for (int lacking = 0; lacking <= 1; lacking++) {
        cleanup_error struct error *err = NULL;
        error_set(&err, GRPC_STATUS_INVALID_ARGUMENT, "not JSON");
        errno = lacking ? ENOMEM : EINTR;
        assert_int_equal(error_check_memory(&err, "the list"), -1);
        assert_int_equal(error_code(err),
                         lacking ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_INVALID_ARGUMENT);
        assert_string_equal(error_message(err), lacking ? "out of memory for the list" : "not JSON");
    }
    errno = ENOMEM;
    assert_int_equal(error_check_memory(NULL, "x"), -1);
}

static void a_moved_error_has_one_owner(void **state)
{
    (void)state;
    struct error *from = NULL;
    cleanup_error struct error *to = NULL;
    error_set(&from, GRPC_STATUS_ABORTED, "x");
    assert_int_equal(error_move(&to, &from), -1);
    assert_null(from);
    assert_string_equal(error_message(to), "x");
    error_set(&from, GRPC_STATUS_ABORTED, "y");
    error_move(NULL, &from); /* dropped: the leak checker watches */
    assert_null(from);
}

/* Every split point of a multi-byte character is met by shifting the text by one byte at a time. */
static void a_long_message_keeps_its_two_ends_and_stays_utf8(void **state)
{
    (void)state;
    for (int shift = 0; shift < 4; shift++) {
        char text[8192] = "intent";
        size_t len = strlen(text);
        for (int i = 0; i < shift; i++)
            text[len++] = '.';
        while (len < 8000) {
            memcpy(text + len, "\xF0\x9F\x98\x80", 4);
            len += 4;
        }
        memcpy(text + len, "cause", 6);
        cleanup_error struct error *err = NULL;
        error_set(&err, GRPC_STATUS_INTERNAL, "%s", text);
        error_wrap(&err, "outer");
        const char *message = error_message(err);
        len = strlen(message);
        assert_true(len <= ERROR_MESSAGE_MAX && len > ERROR_MESSAGE_MAX - 32);
        assert_true(utf8_valid(message, len));
        assert_memory_equal(message, "outer: intent", 13);
        assert_string_equal(message + len - 5, "cause");
        assert_non_null(strstr(message, " [...] "));
    }
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    cleanup_error struct error *err = NULL;
    error_set(&err, GRPC_STATUS_INTERNAL, "a%sb", "\xff\xc3\xa9");
    error_wrap(&err, "%s", "\xc3");
    assert_string_equal(error_message(err), "?: a?\xc3\xa9"
                                            "b");
}

static void hidden_characters_are_shown(void **state)
{
    (void)state;
    cleanup_error struct error *err = NULL;
    error_set(&err, GRPC_STATUS_INTERNAL, "object '%s'", "a\xe2\x80\xae\x1b[1m\nb");
    error_wrap(&err, "%s", "\xc2\x9b");
    assert_string_equal(error_message(err), "\\u009b: object 'a\\u202e\\u001b[1m\nb'");
}

static void status_names_are_those_of_grpc(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *name, *go;
    } rows[] = {
        {0, "OK", "OK"},
        {1, "CANCELLED", "Canceled"},
        {2, "UNKNOWN", "Unknown"},
        {3, "INVALID_ARGUMENT", "InvalidArgument"},
        {4, "DEADLINE_EXCEEDED", "DeadlineExceeded"},
        {5, "NOT_FOUND", "NotFound"},
        {6, "ALREADY_EXISTS", "AlreadyExists"},
        {7, "PERMISSION_DENIED", "PermissionDenied"},
        {8, "RESOURCE_EXHAUSTED", "ResourceExhausted"},
        {9, "FAILED_PRECONDITION", "FailedPrecondition"},
        {10, "ABORTED", "Aborted"},
        {11, "OUT_OF_RANGE", "OutOfRange"},
        {12, "UNIMPLEMENTED", "Unimplemented"},
        {13, "INTERNAL", "Internal"},
        {14, "UNAVAILABLE", "Unavailable"},
        {15, "DATA_LOSS", "DataLoss"},
        {16, "UNAUTHENTICATED", "Unauthenticated"},
        {17, "UNKNOWN", "Unknown"},
        {999999, "UNKNOWN", "Unknown"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_string_equal(grpc_status_name((enum grpc_status)rows[i].number), rows[i].name);
        assert_string_equal(grpc_status_go_name((enum grpc_status)rows[i].number), rows[i].go);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrapped_error_reads_from_intent_to_cause),
        cmocka_unit_test(a_hint_stands_behind_the_story),
        cmocka_unit_test(a_system_error_ends_in_its_text),
        cmocka_unit_test(every_function_accepts_no_error_pointer),
        cmocka_unit_test(no_error_reads_as_ok),
        cmocka_unit_test(lack_of_memory_names_its_purpose),
        cmocka_unit_test(lack_of_memory_takes_the_place_of_a_librarys_guess),
        cmocka_unit_test(a_moved_error_has_one_owner),
        cmocka_unit_test(a_long_message_keeps_its_two_ends_and_stays_utf8),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(hidden_characters_are_shown),
        cmocka_unit_test(status_names_are_those_of_grpc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
