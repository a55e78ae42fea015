/*
 * test_ca_bundle.c - which certificates are trusted: bundle, directories, additional files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/http/ca_bundle.h"

/* Certificates to tell apart, which have the frame of one and nothing in it. */
#define A                 "MAowAwIBATAAAwEA"
#define B                 "MAowAwIBAjAAAwEA"
#define C                 "MAowAwIBAzAAAwEA"
#define D                 "MAowAwIBBDAAAwEA"
#define E                 "MAowAwIBBTAAAwEA"
#define F                 "MAowAwIBBjAAAwEA"
#define CERTIFICATE(body) "-----BEGIN CERTIFICATE-----\n" body "\n-----END CERTIFICATE-----\n"

static char root[] = "/tmp/test_ca_bundle.XXXXXX";
static char path[512];

static const char *at(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static int setup(void **state)
{
    (void)state;
    memcpy(root, "/tmp/test_ca_bundle.XXXXXX", sizeof(root));
    assert_non_null(mkdtemp(root));
    assert_int_equal(mkdir(at("one"), 0755), 0);
    assert_int_equal(mkdir(at("two"), 0755), 0);
    put("bundle.pem", "a comment\n" CERTIFICATE(A) CERTIFICATE(B));
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command); /* NOLINT(cert-env33-c): a fixed path of this test */
}

/* The bodies of a bundle in order, separated by blanks. */
static const char *bodies(const char *file)
{
    static char text[4096];
    cleanup_buffer struct buffer content;
    buffer_init(&content, 0);
    assert_non_null(file);
    assert_int_equal(file_read(file, 1 << 20, &content, NULL), 0);
    text[0] = '\0';
    for (char *line = strtok(content.data != NULL ? (char *)content.data : text, "\n"); line != NULL;
         line = strtok(NULL, "\n")) {
        if (strncmp(line, "-----", 5) != 0)
            (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", line);
    }
    return text;
}

/* Each call is in another millisecond. */
static uint64_t later(void)
{
    static uint64_t now_ms;
    return ++now_ms;
}

static struct ca_bundle *make(const char *dirs)
{
    char file[512];
    (void)snprintf(file, sizeof(file), "%s", at("bundle.pem"));
    struct ca_bundle *bundle = ca_bundle_create(file, dirs, NULL);
    assert_non_null(bundle);
    return bundle;
}

static void a_bundle_alone_is_used_as_it_is(void **state)
{
    (void)state;
    struct ca_bundle *bundle = make("");
    assert_string_equal(ca_bundle_path(bundle, NULL, later(), NULL), at("bundle.pem"));
    ca_bundle_destroy(bundle);
}

static void directories_that_add_nothing_change_nothing(void **state)
{
    (void)state;
    char dirs[512];
    put("one/same.pem", CERTIFICATE("MAowAwIB\nAjAAAwEA"));
    put("one/key.pem", "-----BEGIN PRIVATE KEY-----\nCCCC\n-----END PRIVATE KEY-----\n");
    put("one/README", "no certificate");
    (void)snprintf(dirs, sizeof(dirs), "%s", at("one"));
    struct ca_bundle *bundle = make(dirs);
    assert_string_equal(ca_bundle_path(bundle, NULL, later(), NULL), at("bundle.pem"));
    ca_bundle_destroy(bundle);
}

static void directories_add_missing_certificates_under_any_name_and_once(void **state)
{
    (void)state;
    char dirs[1024];
    put("one/corporate proxy", CERTIFICATE(C) CERTIFICATE(A));
    put("two/x.crt", CERTIFICATE(C));
    put("two/y.crt", CERTIFICATE(D));
    put("two/.hidden", CERTIFICATE(E));
    assert_int_equal(symlink("y.crt", at("two/12345678.0")), 0);
    (void)snprintf(dirs, sizeof(dirs), "%s/one:/no/such/directory::%s/two", root, root);
    struct ca_bundle *bundle = make(dirs);
    assert_string_equal(bodies(ca_bundle_path(bundle, NULL, later(), NULL)), A " " B " " C " " D " ");
    ca_bundle_destroy(bundle);
}

static void the_environment_decides_when_nothing_is_given(void **state)
{
    (void)state;
    setenv("SSL_CERT_FILE", at("bundle.pem"), 1);
    struct ca_bundle *bundle = ca_bundle_create(NULL, NULL, NULL);
    assert_string_equal(ca_bundle_path(bundle, NULL, later(), NULL),
                        at("bundle.pem")); /* not the system's directories */
    ca_bundle_destroy(bundle);
    put("two/x.crt", CERTIFICATE(C));
    setenv("SSL_CERT_DIR", at("two"), 1);
    bundle = ca_bundle_create(NULL, NULL, NULL);
    assert_string_equal(bodies(ca_bundle_path(bundle, NULL, later(), NULL)), A " " B " " C " ");
    ca_bundle_destroy(bundle);
}

static void what_is_no_certificate_is_left_out(void **state)
{
    (void)state;
#define CRL "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
    static const char *const texts[] = {
        CERTIFICATE("MIIBAAA=") CERTIFICATE(A) CERTIFICATE(B), /* another length than it says */
        CERTIFICATE(A) CERTIFICATE("!!") CERTIFICATE(B),
        "-----BEGIN CERTIFICATE-----\nMAow\n" CERTIFICATE(A) CERTIFICATE(B),
        CERTIFICATE(A) CERTIFICATE(B) "-----BEGIN CERTIFICATE-----\nMAow\n",
        CRL CERTIFICATE(A) CERTIFICATE(B),
        CERTIFICATE(A) "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" CERTIFICATE(B),
        "-----BEGIN CERTIFICATE-----\n" A "\n-----END CERTIFICATE----------BEGIN CERTIFICATE-----\n" B
        "\n-----END CERTIFICATE-----",
        "  -----BEGIN CERTIFICATE-----  " A "  -----END CERTIFICATE-----\\n" CERTIFICATE(B),
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        put("bundle.pem", texts[i]);
        struct ca_bundle *bundle = make("");
        assert_string_equal(bodies(ca_bundle_path(bundle, NULL, later(), NULL)), A " " B " ");
        ca_bundle_destroy(bundle);
    }
}

static void a_damaged_certificate_is_reported_with_its_file(void **state)
{
    (void)state;
    FILE *file = fopen(at("log"), "w+");
    assert_non_null(file);
    struct log *log = log_create(fileno(file), LOG_FORMAT_TEXT, 0);
    put("bundle.pem", CERTIFICATE(A) CERTIFICATE("!!"));
    struct ca_bundle *bundle = ca_bundle_create(at("bundle.pem"), "", log);
    put("extra.crt", CERTIFICATE(C));
    assert_non_null(ca_bundle_path(bundle, NULL, later(), NULL));
    assert_non_null(ca_bundle_path(bundle, at("extra.crt"), later(), NULL));
    ca_bundle_destroy(bundle);
    log_destroy(log);
    cleanup_buffer struct buffer text;
    buffer_init(&text, 0);
    assert_int_equal(file_read(at("log"), 1 << 20, &text, NULL), 0);
    const char *line = strstr(buffer_str(&text), "CA certificates are damaged, continuing without them");
    assert_non_null(line);
    assert_non_null(strstr(line, "bundle.pem\" damaged=1 certificates=1"));
    assert_null(strstr(line + 1, "CA certificates are damaged")); /* once */
    (void)fclose(file);
}

static void an_additional_file_is_trusted_besides_and_read_again_when_it_changes(void **state)
{
    (void)state;
    struct ca_bundle *bundle = make("");
    char extra[512];
    (void)snprintf(extra, sizeof(extra), "%s", at("extra.crt"));
    put("extra.crt", CERTIFICATE(E) CERTIFICATE(A));
    const char *first = ca_bundle_path(bundle, extra, later(), NULL);
    assert_string_equal(bodies(first), E " " A " " B " ");
    assert_ptr_equal(ca_bundle_path(bundle, extra, later(), NULL), first);
    char before[64];
    (void)snprintf(before, sizeof(before), "%s", first);
    put("new.crt", CERTIFICATE(F));
    char new_name[512];
    (void)snprintf(new_name, sizeof(new_name), "%s", at("new.crt"));
    assert_int_equal(rename(new_name, extra), 0);
    const char *second = ca_bundle_path(bundle, extra, later(), NULL);
    assert_string_equal(bodies(second), F " " A " " B " ");
    assert_string_not_equal(second, before); /* libcurl caches by path */
    assert_string_equal(bodies(before), E " " A " " B " ");
    assert_string_equal(ca_bundle_path(bundle, NULL, later(), NULL), at("bundle.pem"));
    ca_bundle_destroy(bundle);
}

static void replace_bundle(const char *text)
{
    char file[512];
    (void)snprintf(file, sizeof(file), "%s", at("bundle.pem"));
    put("bundle.new", text);
    assert_int_equal(rename(at("bundle.new"), file), 0);
}

static void a_bundle_that_changes_is_read_again_under_another_path(void **state)
{
    (void)state;
    struct ca_bundle *bundle = make("");
    char extra[512];
    char before[64];
    (void)snprintf(extra, sizeof(extra), "%s", at("extra.crt"));
    put("extra.crt", CERTIFICATE(E));
    assert_string_equal(ca_bundle_path(bundle, NULL, later(), NULL), at("bundle.pem"));
    assert_string_equal(bodies(ca_bundle_path(bundle, extra, later(), NULL)), E " " A " " B " ");
    replace_bundle(CERTIFICATE(C));
    (void)snprintf(before, sizeof(before), "%s", ca_bundle_path(bundle, NULL, later(), NULL));
    assert_string_not_equal(before, at("bundle.pem")); /* libcurl caches by path */
    assert_string_equal(bodies(before), C " ");
    assert_string_equal(bodies(ca_bundle_path(bundle, extra, later(), NULL)), E " " C " ");
    replace_bundle("half a file\n");
    assert_string_equal(ca_bundle_path(bundle, NULL, later(), NULL), before);
    replace_bundle(CERTIFICATE(D));
    assert_string_not_equal(ca_bundle_path(bundle, NULL, later(), NULL), before);
    assert_string_equal(bodies(ca_bundle_path(bundle, NULL, later(), NULL)), D " ");
    ca_bundle_destroy(bundle);
}

static void a_bundle_is_inspected_once_for_the_requests_of_a_millisecond(void **state)
{
    (void)state;
    struct ca_bundle *bundle = make("");
    uint64_t now_ms = later();
    assert_string_equal(ca_bundle_path(bundle, NULL, now_ms, NULL), at("bundle.pem"));
    replace_bundle(CERTIFICATE(C));
    assert_string_equal(ca_bundle_path(bundle, NULL, now_ms, NULL), at("bundle.pem"));
    assert_string_equal(bodies(ca_bundle_path(bundle, NULL, later(), NULL)), C " ");
    ca_bundle_destroy(bundle);
}

static void an_additional_file_without_certificates_is_an_error(void **state)
{
    (void)state;
    struct ca_bundle *bundle = make("");
    struct error *error = NULL;
    put("empty.crt", "nothing\n");
    assert_null(ca_bundle_path(bundle, at("empty.crt"), later(), &error));
    assert_non_null(strstr(error_message(error), "holds no certificate"));
    error_free(error);
    error = NULL;
    assert_null(ca_bundle_path(bundle, at("missing.crt"), later(), &error));
    assert_non_null(strstr(error_message(error), "missing.crt"));
    error_free(error);
    ca_bundle_destroy(bundle);
}

static void many_additional_files_take_turns(void **state)
{
    (void)state;
    struct ca_bundle *bundle = make("");
    for (int round = 0; round < 40; round++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "x%d.crt", round % 12);
        put(name, CERTIFICATE(E));
        assert_string_equal(bodies(ca_bundle_path(bundle, at(name), later(), NULL)), E " " A " " B " ");
    }
    ca_bundle_destroy(bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(a_bundle_alone_is_used_as_it_is),
        CASE(directories_that_add_nothing_change_nothing),
        CASE(directories_add_missing_certificates_under_any_name_and_once),
        CASE(the_environment_decides_when_nothing_is_given),
        CASE(what_is_no_certificate_is_left_out),
        CASE(a_damaged_certificate_is_reported_with_its_file),
        CASE(an_additional_file_is_trusted_besides_and_read_again_when_it_changes),
        CASE(a_bundle_that_changes_is_read_again_under_another_path),
        CASE(a_bundle_is_inspected_once_for_the_requests_of_a_millisecond),
        CASE(an_additional_file_without_certificates_is_an_error),
        CASE(many_additional_files_take_turns),
    };
    return cmocka_run_group_tests_name("CA bundle", tests, NULL, NULL);
}
