/*
 * test_grpc_pure - the parts of gRPC that do no I/O: framing, metadata, header check, message check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/grpc/address.h"
#include "common/grpc/framing.h"
#include "common/grpc/header_check.h"
#include "common/grpc/message.h"
#include "common/grpc/metadata.h"
#include "proto/csi.pb-c.h"
#include "proto/provider.pb-c.h"

/* --- framing --- */

static void a_message_arrives_whole_in_pieces_of_any_size(void **state)
{
    const uint8_t stream[] = "\0\0\0\0\x0bhello world";

    (void)state;
    for (size_t step = 1; step <= 16; step++) {
        struct framing_reader reader;

        framing_reader_init(&reader, 100);
        for (size_t at = 0; at < 16; at += step)
            assert_int_equal(framing_reader_feed(&reader, stream + at, at + step < 16 ? step : 16 - at, NULL),
                             0);
        assert_int_equal(framing_reader_end(&reader, NULL), 0);
        assert_int_equal(reader.len, 11);
        assert_memory_equal(reader.data, "hello world", 11);
        framing_reader_finish(&reader);
    }
}

static void defects_of_framing_have_the_codes_of_grpc_go(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum grpc_status code; /* OK: only the end is wrong */
        const char *text;
    } cases[] = {
        {"\1\0\0\0\1x", 6, GRPC_STATUS_INTERNAL, "compressed flag set"},
        {"\2\0\0\0\1x", 6, GRPC_STATUS_INTERNAL, "unexpected payload format 2"},
        {"\0\0\0\0\x65", 5, GRPC_STATUS_RESOURCE_EXHAUSTED,
         "grpc: received message larger than max (101 vs. 100)"},
        {"\0\xff\xff\xff\xff", 5, GRPC_STATUS_RESOURCE_EXHAUSTED,
         "grpc: received message larger than max (4294967295 vs. 100)"},
        {"\0\0\0\0\1xy", 7, GRPC_STATUS_INTERNAL, "more than one message"},
        {"\0\0\0\0\0\0", 6, GRPC_STATUS_INTERNAL, "more than one message"},
        {"", 0, GRPC_STATUS_OK, "no message"},
        {"\0\0\0", 3, GRPC_STATUS_OK, "ended inside a message"},
        {"\0\0\0\0\2x", 6, GRPC_STATUS_OK, "ended inside a message"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct framing_reader reader;
        cleanup_error struct error *err = NULL;
        int rc;

        framing_reader_init(&reader, 100);
        rc = framing_reader_feed(&reader, (const uint8_t *)cases[i].bytes, cases[i].len, &err);
        assert_int_equal(rc, cases[i].code == GRPC_STATUS_OK ? 0 : -1);
        if (rc == 0)
            assert_int_equal(framing_reader_end(&reader, &err), -1);
        assert_int_equal(error_code(err), rc == 0 ? GRPC_STATUS_INTERNAL : cases[i].code);
        assert_non_null(strstr(error_message(err), cases[i].text));
        framing_reader_finish(&reader);
    }
}

/* --- metadata --- */

static void timeouts_are_parsed_as_the_protocol_says(void **state)
{
    static const struct {
        const char *text;
        int rc;
        uint64_t ns;
    } cases[] = {
        {"1H", 0, 3600000000000},
        {"2M", 0, 120000000000},
        {"3S", 0, 3000000000},
        {"4m", 0, 4000000},
        {"999987u", 0, 999987000},
        {"0n", 0, 0},
        {"00000005n", 0, 5},
        {"99999999H", 0, UINT64_MAX},
        {"", -1, 0},
        {"S", -1, 0},
        {"1", -1, 0},
        {"1s", -1, 0},
        {"123456789n", -1, 0},
        {"-1S", -1, 0},
        {"+1S", -1, 0},
        {" 1S", -1, 0},
        {"1 S", -1, 0},
        {"1.5S", -1, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t ns = 0;

        assert_int_equal(metadata_parse_timeout(cases[i].text, strlen(cases[i].text), &ns), cases[i].rc);
        assert_true(ns == cases[i].ns);
    }
}

static void a_formatted_timeout_is_never_shorter_and_fits_eight_digits(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        {0, "0m"},
        {1, "1m"},
        {99999999, "99999999m"},
        {100000000, "100000S"},
        {100000001, "100001S"},
        {UINT64_MAX, "99999999H"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char out[METADATA_TIMEOUT_MAX];

        metadata_format_timeout(cases[i].ms, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void a_pushback_is_a_signed_number_and_everything_else_forbids_a_retry(void **state)
{
    static const struct {
        const char *text;
        uint32_t pause_ms;
    } pauses[] = {{"0", 0}, {"1", 1}, {"10", 10}, {"1500", 1500}, {"2147483647", 2147483647}};
    static const char *const forbid[] = {"-1", "-2147483648", "2147483648", "99999999999", "",   "-",  "007",
                                         "00", "+5",          " 5",         "5 ",          "5x", "1.5"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
        struct grpc_pushback pushback = metadata_parse_pushback(pauses[i].text, strlen(pauses[i].text));

        assert_int_equal(pushback.kind, GRPC_PUSHBACK_AFTER);
        assert_int_equal(pushback.pause_ms, pauses[i].pause_ms);
    }
    for (size_t i = 0; i < ARRAY_SIZE(forbid); i++)
        assert_int_equal(metadata_parse_pushback(forbid[i], strlen(forbid[i])).kind, GRPC_PUSHBACK_NO_RETRY);
}

static void messages_are_percent_encoded_and_decoded_leniently(void **state)
{
    static const struct {
        const char *plain, *encoded;
    } both[] = {{"", ""},          {"simple text ~", "simple text ~"}, {"100%", "100%25"},
                {"a\nb", "a%0Ab"}, {"b\xc3\xb6se", "b%C3%B6se"},       {"\x7f", "%7F"}};
    static const struct {
        const char *encoded, *plain;
    } lenient[] = {
        {"50%", "50%"}, {"%zz%4", "%zz%4"}, {"%c3%b6", "\xc3\xb6"}, {"a%00b", "a?b"}, {"%FF", "?"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        char *encoded = metadata_encode_message(both[i].plain);
        char *decoded = metadata_decode_message(both[i].encoded, strlen(both[i].encoded));

        assert_string_equal(encoded, both[i].encoded);
        assert_string_equal(decoded, both[i].plain);
        free(encoded);
        free(decoded);
    }
    for (size_t i = 0; i < ARRAY_SIZE(lenient); i++) {
        char *decoded = metadata_decode_message(lenient[i].encoded, strlen(lenient[i].encoded));

        assert_string_equal(decoded, lenient[i].plain);
        free(decoded);
    }
}

static void a_long_message_is_cut_between_characters(void **state)
{
    char *text = malloc(9001);
    char *encoded;

    (void)state;
    for (size_t i = 0; i < 9000; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    text[9000] = '\0';
    encoded = metadata_encode_message(text);
    assert_in_range(strlen(encoded), METADATA_MESSAGE_MAX - 9, METADATA_MESSAGE_MAX);
    assert_int_equal(strlen(encoded) % 9, 0);
    free(encoded);
    free(text);
}

static void content_types_are_checked_as_in_grpc_go(void **state)
{
    static const char *const good[] = {"application/grpc", "application/grpc+proto",
                                       "application/grpc;charset=x", "Application/GRPC"};
    static const char *const bad[] = {"", "application/grp", "application/grpc-web", "application/grpcx",
                                      "text/plain"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(metadata_content_type_is_grpc(good[i], strlen(good[i])));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(metadata_content_type_is_grpc(bad[i], strlen(bad[i])));
}

static void statuses_are_decimal_numbers(void **state)
{
    enum grpc_status status = GRPC_STATUS_OK;

    (void)state;
    assert_int_equal(metadata_parse_status("16", 2, &status), 0);
    assert_int_equal(status, GRPC_STATUS_UNAUTHENTICATED);
    assert_int_equal(metadata_parse_status("99", 2, &status), 0);
    assert_int_equal(status, GRPC_STATUS_UNKNOWN);
    assert_int_equal(metadata_parse_status("abc", 3, &status), -1);
    assert_int_equal(metadata_parse_status("", 0, &status), -1);
    assert_int_equal(metadata_parse_status("-1", 2, &status), -1);
}

/* --- header fields --- */

static void blocks_of_header_fields_are_checked_as_rfc_9113_says(void **state)
{
    static const struct {
        const char *what;
        bool good;
        const char *fields[12]; /* name, value, ... */
    } cases[] = {
        {"usual",
         true,
         {":method", "POST", ":scheme", "http", ":path", "/a/b", ":authority", "localhost", "te",
          "trailers"}},
        {"no authority", true, {":method", "POST", ":path", "/a/b"}},
        {"authority is a path", true, {":method", "POST", ":path", "/a", ":authority", "/var/x.sock"}},
        {"empty authority", true, {":method", "POST", ":path", "/a", ":authority", ""}},
        {"no path", false, {":method", "POST", ":scheme", "http"}},
        {"no method", false, {":path", "/a"}},
        {"pseudo after regular", false, {":method", "POST", "a", "b", ":path", "/a"}},
        {"twice", false, {":method", "POST", ":path", "/a", ":path", "/b"}},
        {"unknown pseudo", false, {":method", "POST", ":path", "/a", ":x", "y"}},
        {"response pseudo", false, {":method", "POST", ":path", "/a", ":status", "200"}},
        {"upper case", false, {":method", "POST", ":path", "/a", "Abc", "d"}},
        {"connection", false, {":method", "POST", ":path", "/a", "connection", "close"}},
        {"transfer-encoding", false, {":method", "POST", ":path", "/a", "transfer-encoding", "chunked"}},
        {"te", false, {":method", "POST", ":path", "/a", "te", "gzip"}},
        {"newline", false, {":method", "POST", ":path", "/a", "x", "a\nb"}},
        {"content-length", true, {":method", "POST", ":path", "/a", "content-length", "5"}},
        {"bad content-length", false, {":method", "POST", ":path", "/a", "content-length", "-5"}},
        {"two content-lengths",
         false,
         {":method", "POST", ":path", "/a", "content-length", "5", "content-length", "6"}},
        {"empty name", false, {":method", "POST", ":path", "/a", "", "x"}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct header_check check;

        header_check_init(&check, HEADER_BLOCK_REQUEST, HEADER_LIST_MAX_REQUEST);
        for (size_t f = 0; f < 12 && cases[i].fields[f] != NULL; f += 2)
            (void)header_check_field(&check, cases[i].fields[f], strlen(cases[i].fields[f]),
                                     cases[i].fields[f + 1], strlen(cases[i].fields[f + 1]));
        if (header_check_complete(&check) != cases[i].good)
            fail_msg("case '%s'", cases[i].what);
    }
}

static void the_size_of_a_block_counts_32_bytes_per_field(void **state)
{
    struct header_check check;

    (void)state;
    header_check_init(&check, HEADER_BLOCK_TRAILERS, 100);
    assert_true(header_check_field(&check, "abc", 3, "0123456789", 10)); /* 45 */
    assert_true(header_check_field(&check, "abc", 3, "0123456789", 10)); /* 90 */
    assert_false(header_check_too_large(&check));
    assert_false(header_check_field(&check, "a", 1, "", 0)); /* 123 */
    assert_true(header_check_too_large(&check));
}

/* --- addresses --- */

static void tcp_addresses_have_a_numeric_host_and_a_port(void **state)
{
    static const struct {
        const char *text;
        int family; /* 0: refused */
    } cases[] = {
        {"127.0.0.1:80", AF_INET},
        {"localhost:8080", AF_INET},
        {":9000", AF_INET6},
        {"[::1]:1", AF_INET6},
        {"host.example:80", 0},
        {"127.0.0.1", 0},
        {"127.0.0.1:", 0},
        {"127.0.0.1:65536", 0},
        {"127.0.0.1:8x", 0},
        {"::1:80", 0},
        {"[::1:80", 0},
        {"", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
        cleanup_error struct error *err = NULL;

        assert_int_equal(address_tcp(cases[i].text, &address, &err), cases[i].family == 0 ? -1 : 0);
        assert_int_equal(address.ss_family, cases[i].family);
        assert_int_equal(error_code(err),
                         cases[i].family == 0 ? GRPC_STATUS_INVALID_ARGUMENT : GRPC_STATUS_OK);
    }
}

/* --- messages --- */

static void strings_with_nul_or_bad_utf8_are_refused_by_name(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text; /* NULL: fine */
    } cases[] = {
        {"\x0a\x02id\x22\x02/t", 8, NULL},
        {"\x0a\x03i\0d", 5, "field volume_id of NodePublishVolumeRequest contains a NUL"},
        {"\x0a\x01\xff", 3, "field volume_id of NodePublishVolumeRequest is not valid UTF-8"},
        {"\x42\x08\x0a\x01k\x12\x03v\0v", 10, "field value of VolumeContextEntry contains a NUL"},
        {"\x42\x08\x0a\x01k\x12\x03v\0v", 10,
         "field value of VolumeContextEntry contains a NUL character (key \"k\")"},
        {"\x3a\x13\x0a\x0c"
         "clientsecret\x12\x03"
         "a\0b",
         21, "field value of SecretsEntry contains a NUL character (key \"clientsecret\")"},
        {"\x3a\x07\x0a\x01k\x12\x02v\xff", 9, "field value of SecretsEntry is not valid UTF-8 (key \"k\")"},
        {"\x2a\x05\x12\x03\x0a\x01\xc0", 7, "field fs_type of MountVolume is not valid UTF-8"},
        {"\xfa\x01\x03\0\xff\0", 6, NULL}, /* unknown field 31: bytes for all we know */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *err = NULL;
        ProtobufCMessage *message = message_unpack(&csi__v1__node_publish_volume_request__descriptor,
                                                   (const uint8_t *)cases[i].bytes, cases[i].len, &err);

        if (cases[i].text == NULL) {
            assert_non_null(message);
        } else {
            assert_null(message);
            assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
            if (strstr(error_message(err), cases[i].text) == NULL)
                fail_msg("got: %s", error_message(err));
        }
        message_free(message);
    }
}

static void undecodable_bytes_are_an_internal_error(void **state)
{
    static const char *const cases[] = {"\xff", "\x0a\x05z", "\x0b", "\x0a"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *err = NULL;

        assert_null(message_unpack(&v1alpha1__mount_request__descriptor, (const uint8_t *)cases[i],
                                   strlen(cases[i]), &err));
        assert_int_equal(error_code(err), GRPC_STATUS_INTERNAL);
    }
}

static void a_message_of_very_many_fields_is_refused_before_it_eats_memory(void **state)
{
    size_t len = 2 * ((size_t)MESSAGE_FIELDS_MAX + 1);
    uint8_t *bytes = malloc(len);
    cleanup_error struct error *err = NULL;

    (void)state;
    for (size_t i = 0; i < len; i += 2)
        memcpy(bytes + i, "\x1a\x00", 2); /* an empty File */
    assert_null(message_unpack(&v1alpha1__mount_response__descriptor, bytes, len, &err));
    assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
    free(bytes);
}

static void a_packed_message_has_its_prefix_in_front(void **state)
{
    V1alpha1__VersionRequest request;
    size_t len = 0;
    uint8_t *bytes;

    (void)state;
    v1alpha1__version_request__init(&request);
    bytes = message_pack_framed(&request.base, &len, NULL);
    assert_int_equal(len, 5);
    assert_memory_equal(bytes, "\0\0\0\0\0", 5);
    secret_free(bytes);
    request.version = (char *)(uintptr_t) "v1alpha1";
    bytes = message_pack_framed(&request.base, &len, NULL);
    assert_int_equal(len, 15);
    assert_memory_equal(bytes, "\0\0\0\0\x0a\x0a\x08v1alpha1", 15);
    secret_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_arrives_whole_in_pieces_of_any_size),
        cmocka_unit_test(defects_of_framing_have_the_codes_of_grpc_go),
        cmocka_unit_test(timeouts_are_parsed_as_the_protocol_says),
        cmocka_unit_test(a_formatted_timeout_is_never_shorter_and_fits_eight_digits),
        cmocka_unit_test(a_pushback_is_a_signed_number_and_everything_else_forbids_a_retry),
        cmocka_unit_test(messages_are_percent_encoded_and_decoded_leniently),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(content_types_are_checked_as_in_grpc_go),
        cmocka_unit_test(statuses_are_decimal_numbers),
        cmocka_unit_test(blocks_of_header_fields_are_checked_as_rfc_9113_says),
        cmocka_unit_test(the_size_of_a_block_counts_32_bytes_per_field),
        cmocka_unit_test(tcp_addresses_have_a_numeric_host_and_a_port),
        cmocka_unit_test(strings_with_nul_or_bad_utf8_are_refused_by_name),
        cmocka_unit_test(undecodable_bytes_are_an_internal_error),
        cmocka_unit_test(a_message_of_very_many_fields_is_refused_before_it_eats_memory),
        cmocka_unit_test(a_packed_message_has_its_prefix_in_front),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
