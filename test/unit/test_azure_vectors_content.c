/*
 * test_azure_vectors_content.c - encodings, secrets and certificates, row by row: responses of Key Vault in,
 * files out.
 *
 * Rows that live elsewhere: chains and other shapes of PFX (test_certificate_chain.c,
 * integration/test_conversion.py); that errors name the object (test_azure_mount.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "provider-azure/content/content.h"
#include "test/unit/content_converter.h"
#include "test/unit/scratch.h"

#define ID  "\"id\":\"https://v/secrets/secret1/v1\""
#define KID "\"kid\":\"https://v/keys/secret1/v1\""

static struct scratch scratch;

static int make_files(void **state)
{
    (void)state;
    if (scratch_make(&scratch) < 0)
        return -1;
    return scratch_run(
        &scratch,
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out key && openssl req -x509 -key key -out cert -subj /CN=leaf -days 2 && "
        "openssl pkcs12 -export -passout pass: -inkey key -in cert | openssl base64 -A >pfx && cat key cert >key_cert && cat cert key >cert_key && openssl ec -in key -out sec1 && "
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa8 && openssl rsa -in rsa8 -traditional -out rsa1 && openssl req -x509 -key key -out int -subj /CN=int -days 2 && "
        "openssl req -x509 -key key -out root -subj /CN=root -days 2 && cat root int cert key >chain_key && cat root int cert >chain");
}

static int remove_files(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

/* A file of the scratch directory as a member of JSON; the caller frees. */
static char *json_value(const char *name)
{
    cleanup_buffer struct buffer text = {0};
    assert_int_equal(scratch_read(&scratch, name, &text), 0);
    cJSON *string = cJSON_CreateString(buffer_str(&text));
    char *printed = cJSON_PrintUnformatted(string);
    cJSON_Delete(string);
    return printed;
}

/* What an object becomes: "suffix=content;" for each file with content named by the file of the scratch
 * directory that it equals, or as it is; or the error's text. The caller frees. */
static char *files_of(const struct object_item *item, const struct content_options *options, const char *json)
{
    static const char *const names[] = {"key",  "cert", "key_cert", "cert_key", "pfx",
                                        "sec1", "rsa1", "rsa8",     "chain"};
    cleanup_error struct error *error = NULL;
    struct content content = {0};
    struct buffer out = {.ceiling = 1 << 20};
    cleanup_vault_object struct vault_object object = {0};

    if (vault_object_parse(item->type, json, strlen(json), &object, &error) < 0 ||
        convert_content(options, item, "", &object, &content, &error) < 0) {
        assert_int_equal(error_code(error), GRPC_STATUS_FAILED_PRECONDITION);
        (void)buffer_append_str(&out, error_message(error), NULL);
    }
    for (size_t i = 0; i < content.files.n; i++) {
        const struct content_file *part = &content.files.at[i];
        const char *same = NULL;
        for (size_t k = 0; k < ARRAY_SIZE(names) && same == NULL; k++) {
            cleanup_buffer struct buffer text = {0};
            assert_int_equal(scratch_read(&scratch, names[k], &text), 0);
            if (text.len == part->len && memcmp(text.data, part->bytes, text.len) == 0)
                same = names[k];
        }
        (void)buffer_printf(&out, NULL, "%s=", part->path);
        if (same != NULL)
            (void)buffer_printf(&out, NULL, "<%s>", same);
        else
            (void)buffer_append(&out, part->bytes, part->len, NULL);
        (void)buffer_append_str(&out, ";", NULL);
    }
    content_finish(&content);
    char *text = strdup(buffer_str(&out));
    buffer_finish(&out);
    return text;
}

static void encodings_of_a_secret(void **state)
{
    static const struct {
        enum object_encoding encoding;
        const char *value; /* as JSON string */
        const char *expected;
    } rows[] = {
        {OBJECT_UTF8, "abcdefg", "=abcdefg;"},
        {OBJECT_UTF8, "TestSecret1", "=TestSecret1;"},
        {OBJECT_UTF8, " \\n x \\n", "= \n x \n;"},
        {OBJECT_BASE64, "QmFzZTY0RW5jb2RlZFN0cmluZw==", "=Base64EncodedString;"},
        {OBJECT_HEX, "486578456E636F646564537472696E67", "=HexEncodedString;"},
        {OBJECT_BASE64, "YQ==", "=a;"},
        {OBJECT_BASE64, "YQ==\\n", "=a;"},
        {OBJECT_BASE64, "YW\\nJj", "=abc;"},
        {OBJECT_BASE64, "YW\\r\\nJj\\r\\n", "=abc;"},
        {OBJECT_BASE64, "YQ", "illegal base64 data at input byte 0"},
        {OBJECT_BASE64, "Y Q==", "illegal base64 data at input byte 1"},
        {OBJECT_BASE64, "-_-_", "illegal base64 data at input byte 0"},
        {OBJECT_BASE64, "YQ==YQ==", "illegal base64 data at input byte 4"},
        {OBJECT_HEX, "4a4B", "=JK;"},
        {OBJECT_HEX, "abc", "encoding/hex: odd length hex string"},
        {OBJECT_HEX, "zz", "encoding/hex: invalid byte at offset 0"},
        {OBJECT_HEX, "4a\\n", "encoding/hex: invalid byte at offset 2"},
        {OBJECT_BASE64, "", "=;"},
        {OBJECT_HEX, "", "=;"},
    };
    const struct content_options options = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct object_item item = {
            .name = (char[]){"secret1"}, .type = OBJECT_SECRET, .encoding = rows[i].encoding};
        cleanup_free char *json = NULL;
        assert_true(asprintf(&json, "{\"value\":\"%s\"," ID "}", rows[i].value) > 0);
        cleanup_free char *got = files_of(&item, &options, json);
        if (strcmp(got, rows[i].expected) != 0)
            fail_msg("row %zu: '%s'", i, got);
    }
}

static void secrets_and_the_certificates_behind_them(void **state)
{
    enum { SEPARATE = 1, PFX = 2, AS_BASE64 = 4 };
    static const struct {
        const char *file; /* the value; NULL: see `json` */
        const char *rest; /* of the response, before its end */
        unsigned flags;
        const char *expected;
    } rows[] = {
        {"key", ID, 0, "=<key>;"},
        /* a content type alone converts nothing */
        {"pfx", ID ",\"contentType\":\"application/x-pkcs12\"", 0, "=<pfx>;"},
        {"pfx", ID ",\"kid\":\"\",\"contentType\":\"application/x-pkcs12\"", 0, "=<pfx>;"},
        {"cert_key", ID "," KID ",\"contentType\":\"application/x-pem-file\"", 0, "=<cert_key>;"},
        {"cert_key", ID "," KID ",\"contentType\":\"application/x-pem-file\"", PFX, "=<cert_key>;"},
        {"pfx", ID "," KID ",\"contentType\":\"application/x-pkcs12\"", PFX, "=<pfx>;"},
        {"pfx", ID "," KID ",\"contentType\":\"application/x-pkcs12\"", 0, "=<key_cert>;"},
        {"pfx", ID "," KID ",\"contentType\":\"application/x-pkcs12\"", SEPARATE,
         ".crt=<cert>;.key=<key>;=<key_cert>;"},
        {"cert_key", ID "," KID ",\"contentType\":\"application/x-pem-file\"", SEPARATE,
         ".crt=<cert>;.key=<key>;=<cert_key>;"},
        /* there is nothing to separate in a PFX */
        {"pfx", ID "," KID ",\"contentType\":\"application/x-pkcs12\"", SEPARATE | PFX, "=<pfx>;"},
        /* PEM is no base64 */
        {"pfx", ID "," KID ",\"contentType\":\"application/x-pkcs12\"", AS_BASE64,
         "illegal base64 data at input byte 0 [hint: it is PEM, no base64]"},
        {"pfx", ID "," KID ",\"contentType\":\"application/x-pkcs12\"", AS_BASE64 | SEPARATE,
         "illegal base64 data at input byte 0 [hint: it is PEM, no base64]"},
        {"cert_key", ID "," KID ",\"contentType\":\"application/x-pem-file\"", PFX | AS_BASE64,
         "illegal base64 data at input byte 0 [hint: it is PEM, no base64] [hint: the certificate was imported as PEM; an item with format: pkcs12 writes PKCS#12]"},
        {"key", ID "," KID, 0, "failed to get certificate. unknown content type ''"},
        {"key", ID "," KID ",\"contentType\":\"text/plain\"", 0,
         "failed to get certificate. unknown content type 'text/plain'"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct content_options options = {.order = CERTIFICATE_ORDER_CHAIN,
                                                .separate_files = (rows[i].flags & SEPARATE) != 0};
        const struct object_item item = {.name = (char[]){"secret1"},
                                         .type = OBJECT_SECRET,
                                         .format = (rows[i].flags & PFX) != 0 ? OBJECT_PFX : OBJECT_PEM,
                                         .encoding =
                                             (rows[i].flags & AS_BASE64) != 0 ? OBJECT_BASE64 : OBJECT_UTF8};
        cleanup_free char *value = json_value(rows[i].file);
        cleanup_free char *json = NULL;
        assert_true(asprintf(&json, "{\"value\":%s,%s}", value, rows[i].rest) > 0);
        cleanup_free char *got = files_of(&item, &options, json);
        if (strcmp(got, rows[i].expected) != 0)
            fail_msg("row %zu: '%s'", i, got);
    }
}

static void responses_that_lack_a_member(void **state)
{
    static const struct {
        enum object_type type;
        const char *json;
        const char *expected;
    } rows[] = {
        {OBJECT_SECRET, "{\"value\":\"secret1value\"," ID "}", "=secret1value;"},
        {OBJECT_SECRET, "{" ID "}", "secret value is nil"},
        {OBJECT_SECRET, "{\"value\":null," ID "}", "secret value is nil"},
        {OBJECT_SECRET, "{\"value\":\"x\"}", "secret id is nil"},
        {OBJECT_SECRET, "{\"value\":\"invalid\"," ID "," KID ",\"contentType\":\"application/x-pkcs12\"}",
         "illegal base64 data at input byte 4"},
        {OBJECT_KEY, "{}", "key value is nil"},
        {OBJECT_KEY, "{\"key\":{\"kty\":\"RSA\"}}", "key id is nil"},
        {OBJECT_CERT, "{" ID "}", "certificate value is nil"},
        {OBJECT_CERT, "{\"cer\":\"dGVzdA==\"}", "certificate id is nil"},
        {OBJECT_CERT, "{\"cer\":\"dGVzdA==\",\"id\":\"https://v/certificates/c/v1\"}",
         "=-----BEGIN CERTIFICATE-----\ndGVzdA==\n-----END CERTIFICATE-----\n;"},
        {OBJECT_CERT, "{\"cer\":\"***\",\"id\":\"i\"}", "illegal base64 data at input byte 0"},
    };
    const struct content_options options = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct object_item item = {.name = (char[]){"o"}, .type = rows[i].type};
        cleanup_free char *got = files_of(&item, &options, rows[i].json);
        if (strcmp(got, rows[i].expected) != 0)
            fail_msg("row %zu: '%s'", i, got);
    }
}

static void keys_and_certificates_become_pem(void **state)
{
    static const struct {
        enum object_type type;
        const char *json;
        const char *pem; /* body lines, NULL: error */
        const char *error;
    } cases[] = {
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"https://v/keys/k/1\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MSgMZZKzCaeMZNuTeGOiIdEOf7mdhtVh5IZEFIs4nOo\",\"y\":\"hvX-cUq3_8K5pHx4NNGyE3kT3W6TcMcbRit9JjblIDc\"}}",
         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMSgMZZKzCaeMZNuTeGOiIdEOf7md\nhtVh5IZEFIs4nOqG9f5xSrf/wrmkfHg00bITeRPdbpNwxxtGK30mNuUgNw==\n",
         NULL},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"EC-HSM\",\"crv\":\"P-256\",\"x\":\"xQ6ZtnR_dFMmd4nrSItxkk9zj0bUmUkne1YuaX_tzQ\",\"y\":\"VVc2YmlpPjx8439O2iFCbcDJajfDjHPn9SFQz5vfOsE\"}}",
         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAMUOmbZ0f3RTJneJ60iLcZJPc49G\n1JlJJ3tWLml/7c1VVzZiaWk+PHzjf07aIUJtwMlqN8OMc+f1IVDPm986wQ==\n",
         NULL},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"fFfmp3jFed5Q08xHOMuIEf1I0TwzyG4Sdo3V_OcZ6RMZBv4GQDxGb50QCQASe_xg\",\"y\":"
         "\"qYXPQVXLM6kZdLtISxdvD5SRJf6POFq2fO_Iv368OrtADrgVdSSli5qHDOJZsDIh\"}}",
         "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEfFfmp3jFed5Q08xHOMuIEf1I0TwzyG4S\ndo3V/OcZ6RMZBv4GQDxGb50QCQASe/xgqYXPQVXLM6kZdLtISxdvD5SRJf6POFq2\nfO/Iv368OrtADrgVdSSli5qHDOJZsDIh\n",
         NULL},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AM3iQG-GgjgvEdxgtwSa6XsFUzfJRCIaWmrrQH1DGigZVGMNAL8Uuz0zlP6EDjnfagH5B5cjEeajAPZxEGXkbzaV\",\"y\":"
         "\"AMPHWPrvYq-4wlKZbQmogXt4Q8ikrzBpx-c_I_i88SkePo5S_L1LdVkXNiJkgJ0eCPEbPIhdoRzwfZKfiOsXNVT3\"}}",
         "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAzeJAb4aCOC8R3GC3BJrpewVTN8lE\nIhpaautAfUMaKBlUYw0AvxS7PTOU/oQOOd9qAfkHlyMR5qMA9nEQZeRvNpUAw8dY\n+u9ir7jCUpltCaiBe3hDyKSvMGnH5z8j+LzxKR4+"
         "jlL8vUt1WRc2ImSAnR4I8Rs8\niF2hHPB9kp+I6xc1VPc=\n",
         NULL},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"mXyMDHSXmP3YCeEPxJFGwY1om2xQf5KjVx1Jo_w_6XLqtzxRGNU4UoL8aJSs9x3J3n8NP0BRuac49cRpdH9-oGGNNHFXlqW-"
         "tt4MX0I6OhvcHqHc0llTKyrflnKFurngyHXow_CfraRpbUvAJAd9viIVm9KpX2iyTWj0w5enIwzY--AqUcklJ4ZlOrXLMPCCg_hlT0CgbZJpQIrotIQY7PG2oIjy6sWXyg8z1x5DoMfgXFAglhy8UQ8WjeX3C5ut1XAi89h0vKTz533ADEaI3-"
         "7GkUbgECe17Qc2Owc2HvaDX1TSGac5RwmdZ4A02DuMXTFyfrDt38Q9WOKkMv-KvQ\"}}",
         "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmXyMDHSXmP3YCeEPxJFG\nwY1om2xQf5KjVx1Jo/w/6XLqtzxRGNU4UoL8aJSs9x3J3n8NP0BRuac49cRpdH9+\noGGNNHFXlqW+tt4MX0I6OhvcHqHc0llTKyrflnKFurngyHXow/"
         "CfraRpbUvAJAd9\nviIVm9KpX2iyTWj0w5enIwzY++AqUcklJ4ZlOrXLMPCCg/hlT0CgbZJpQIrotIQY\n7PG2oIjy6sWXyg8z1x5DoMfgXFAglhy8UQ8WjeX3C5ut1XAi89h0vKTz533ADEaI\n3+"
         "7GkUbgECe17Qc2Owc2HvaDX1TSGac5RwmdZ4A02DuMXTFyfrDt38Q9WOKkMv+K\nvQIDAQAB\n",
         NULL},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-256K\",\"x\":\"AA\",\"y\":\"AA\"}}",
         NULL, "the key is not a point on curve P-256K"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}}",
         NULL, "not a point on curve"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"RSA\",\"n\":\"AAAA\",\"e\":\"AQAB\"}}", NULL,
         "modulus or exponent is zero"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"\"}}", NULL,
         "modulus or exponent is zero"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"\",\"y\":\"AQ\"}}",
         NULL, "a coordinate of the P-384 key has a bad length"},
        {OBJECT_KEY,
         "{\"key\":{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}}", NULL,
         "not a point on curve P-256"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\"}}", NULL, "key type '' currently not supported"},
        {OBJECT_KEY, "{\"key\":{\"kid\":\"k\",\"kty\":\"oct\"}}", NULL,
         "key type 'oct' currently not supported"},
        {OBJECT_CERT, "{\"id\":\"i\",\"cer\":\"dGVzdA==\"}", "dGVzdA==\n", NULL},
        {OBJECT_CERT, "{\"id\":\"i\"}", NULL, "certificate value is nil"},
        {OBJECT_CERT, "{\"cer\":\"dGVzdA==\"}", NULL, "certificate id is nil"},
    };
    const struct content_options options = {.order = CERTIFICATE_ORDER_CHAIN};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *error = NULL;
        struct content content = {0};
        const struct object_item item = {.type = cases[i].type};
        cleanup_vault_object struct vault_object object = {0};
        int result = vault_object_parse(cases[i].type, cases[i].json, strlen(cases[i].json), &object, &error);
        if (result == 0)
            result = convert_content(&options, &item, "", &object, &content, &error);
        if (cases[i].pem == NULL) {
            assert_int_equal(result, -1);
            assert_non_null(strstr(error_message(error), cases[i].error));
        } else {
            char expected[2048];
            const char *label = cases[i].type == OBJECT_KEY ? "PUBLIC KEY" : "CERTIFICATE";
            (void)snprintf(expected, sizeof(expected), "-----BEGIN %s-----\n%s-----END %s-----\n", label,
                           cases[i].pem, label);
            assert_int_equal(result, 0);
            assert_int_equal(content.files.n, 1);
            assert_int_equal(content.files.at[0].len, strlen(expected));
            assert_memory_equal(content.files.at[0].bytes, expected, content.files.at[0].len);
        }
        content_finish(&content);
    }
}

static void versions_are_the_third_segment_of_an_id(void **state)
{
    static const char *const rows[][2] = {
        {"https://v.vault.azure.net/secrets/s/v1", "v1"},
        {"https://v.vault.azure.net:443/secrets/s/v1", "v1"},
        {"https://v/secrets/s/v1?x=y", "v1"},
        {"https://v/secrets/s/v1/more", "v1"},
        {"https://v/secrets/s", ""},
        {"https://v/secrets/s/", ""},
        {"https://v", ""},
        {"i", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *json = NULL;
        assert_true(asprintf(&json, "{\"value\":\"x\",\"id\":\"%s\"}", rows[i][0]) > 0);
        cleanup_vault_object struct vault_object object = {0};
        assert_int_equal(vault_object_parse(OBJECT_SECRET, json, strlen(json), &object, NULL), 0);
        assert_string_equal(object.version, rows[i][1]);
    }
}

static void pem_is_split_into_certificates_and_keys(void **state)
{
    static const char *const rows[][3] = {
        {"cert_key", "cert", "key"}, {"key_cert", "cert", "key"}, {"chain_key", "chain", "key"},
        {"sec1", "", "sec1"},        {"rsa1", "", "rsa1"},        {"rsa8", "", "rsa8"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buffer struct buffer text = {0}, certificates = {.ceiling = 1 << 20},
                                     keys = {.ceiling = 1 << 20}, wanted = {0}, wanted_keys = {0};
        assert_int_equal(scratch_read(&scratch, rows[i][0], &text), 0);
        if (*rows[i][1] != '\0')
            assert_int_equal(scratch_read(&scratch, rows[i][1], &wanted), 0);
        assert_int_equal(scratch_read(&scratch, rows[i][2], &wanted_keys), 0);
        assert_int_equal(certificate_split_pem(buffer_str(&text), text.len, &certificates, &keys, NULL), 0);
        assert_string_equal(buffer_str(&certificates), buffer_str(&wanted));
        assert_string_equal(buffer_str(&keys), buffer_str(&wanted_keys));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodings_of_a_secret),
        cmocka_unit_test(secrets_and_the_certificates_behind_them),
        cmocka_unit_test(responses_that_lack_a_member),
        cmocka_unit_test(keys_and_certificates_become_pem),
        cmocka_unit_test(versions_are_the_third_segment_of_an_id),
        cmocka_unit_test(pem_is_split_into_certificates_and_keys),
    };
    return cmocka_run_group_tests_name("azure vectors content", tests, make_files, remove_files);
}
