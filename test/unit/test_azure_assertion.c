/*
 * test_azure_assertion.c - the certificate of a service principal: every way to write it, and the assertions
 * made with it. Keys, certificates and files come from OpenSSL's command line, which also verifies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "common/base/json.h"
#include "common/crypto/encoding.h"
#include "provider-azure/identity/assertion.h"
#include "test/unit/scratch.h"

static struct scratch scratch;

#define RUN(...) assert_int_equal(scratch_run(&scratch, __VA_ARGS__), 0)

static int make_keys(void **state)
{
    (void)state;
    if (scratch_make(&scratch) != 0)
        return -1;
    return scratch_run(
        &scratch,
        "set -e; for n in app other; do openssl req -x509 -newkey rsa:2048 -nodes -keyout $n.key -out $n.pem -subj /CN=$n -days 2; openssl x509 -in $n.pem -outform DER -out $n.der; openssl x509 -in $n.pem "
        "-noout -pubkey >$n.pub; done; openssl rsa -in app.key -traditional -out app.pkcs1; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ec.key -out ec.pem -subj "
        "/CN=ec -days 2; openssl req -x509 -newkey rsa:1024 -nodes -keyout weak.key -out weak.pem -subj /CN=weak -days 2");
}

static int remove_keys(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

static int read_file(const char *name, const char *password, struct app_certificate *ret, struct error **err)
{
    cleanup_buffer struct buffer file = {0};
    assert_int_equal(scratch_read(&scratch, name, &file), 0);
    return app_certificate_read(file.data, file.len, password, strlen(password), NULL, ret, err);
}

static void assert_file_equals(const struct secret *der, const char *name)
{
    cleanup_buffer struct buffer file = {0};
    assert_int_equal(scratch_read(&scratch, name, &file), 0);
    assert_int_equal(secret_len(der), file.len);
    assert_memory_equal(secret_bytes(der), file.data, file.len);
}

static void every_way_to_write_key_and_certificate_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *make; /* writes `out` */
        const char *password;
    } ways[] = {
        {"cat app.key app.pem >out", ""},
        {"cat app.pem app.key >out", ""},
        {"cat app.pkcs1 app.pem >out", ""},
        {"cat other.pem ec.pem app.pem app.key >out", ""}, /* a chain around it, in any order */
        {"{ echo 'Bag Attributes: x'; cat app.key; echo; cat app.pem; echo tail; } >out", ""},
        {"sed 's/$/\\r/' app.key app.pem >out", ""},
        {"{ openssl pkcs8 -topk8 -in app.key -passout pass:geheim; cat app.pem; } >out", "geheim"},
        {"{ openssl pkcs8 -topk8 -in app.key -passout pass:geheim -v1 PBE-SHA1-3DES; cat app.pem; } >out",
         "geheim"},
        {"openssl pkcs12 -export -passout pass: -inkey app.key -in app.pem -out p; base64 p >out", ""},
        {"openssl pkcs12 -export -passout pass: -inkey app.key -in app.pem -out p; base64 -w0 p >out", ""},
        {"openssl pkcs12 -export -passout pass:geheim -inkey app.key -in app.pem -out p; base64 p >out",
         "geheim"},
        {"openssl pkcs12 -export -legacy -passout pass:geheim -inkey app.key -in app.pem -certfile other.pem -out p; base64 p >out",
         "geheim"},
        {"openssl pkcs12 -export -passout pass:geheim -inkey app.key -in app.pem -out out", "geheim"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        cleanup_app_certificate struct app_certificate found = {0};
        cleanup_error struct error *error = NULL;
        RUN("rm -f out; %s", ways[i].make);
        if (read_file("out", ways[i].password, &found, &error) < 0) {
            RUN("cp out log /tmp/idt/");
            fail_msg("%s: %s", ways[i].make, error_message(error));
        }
        assert_file_equals(found.certificate, "app.der");
    }
}

static void an_unusable_certificate_is_refused_with_its_cause(void **state)
{
    (void)state;
    static const struct {
        const char *make;
        const char *password;
        const char *message;
    } ways[] = {
        {"cat app.pem >out", "", "there is no private key in it"},
        {"cat app.key >out", "", "there is no certificate in it"},
        {"cat app.key other.key app.pem >out", "", "there is more than one private key"},
        {"cat app.key other.pem >out", "", "no certificate in it belongs to the private key"},
        {"cat ec.key ec.pem >out", "",
         "the private key is not an RSA key; Entra ID takes certificates with RSA keys only"},
        {"cat weak.key weak.pem >out", "", "the RSA key has 1024 bits, 2048 to 4096 are accepted"},
        {"echo hello, fixture >out", "", "it is neither PEM nor PKCS#12 in base64"},
        {"echo aGVsbG8K >out", "", "pkcs12: damaged file, or not a PKCS#12 file in DER"},
        {"{ openssl pkcs8 -topk8 -in app.key -passout pass:geheim; cat app.pem; } >out", "",
         "the private key is encrypted and there is no clientcertificatepassword"},
        {"openssl pkcs12 -export -passout pass:geheim -inkey app.key -in app.pem -out p; base64 p >out",
         "falsch", "pkcs12: decryption password incorrect"},
        {"openssl pkcs12 -export -passout pass:geheim -inkey app.key -in app.pem -out p; base64 p >out", "",
         "pkcs12: decryption password incorrect"},
        {"{ openssl rsa -aes128 -traditional -in app.key -passout pass:geheim; cat app.pem; } >out", "geheim",
         "the private key is encrypted in OpenSSL's old format; convert it with `openssl pkcs8 -topk8`"},
        {"cat app.key app.pem | tr '\\n' ' ' >out", "",
         "a PEM block is not base64: its line breaks are lost"},
        {"cat app.key app.pem | awk '{printf \"%s\\\\n\", $0}' >out", "",
         "a PEM block is not base64: its line breaks are lost"},
        {"sed '2s/^/*/' app.key >out; cat app.pem >>out", "", "a PEM block is not base64"},
        {"printf '0\\357\\277\\275\\357\\277\\275' >out", "",
         "the kubelet damages binary PKCS#12: store its base64 text"},
        {"head -c 70000 /dev/zero >out", "", "it has 70000 bytes, at most 65536 are accepted"},
        {"for i in $(seq 40); do cat app.pem; done >out", "", "there are more than 32 certificates"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        cleanup_app_certificate struct app_certificate found = {0};
        cleanup_error struct error *error = NULL;
        RUN("rm -f out; %s", ways[i].make);
        if (read_file("out", ways[i].password, &found, &error) == 0)
            fail_msg("accepted: %s", ways[i].make);
        if (strcmp(error_message(error), ways[i].message) != 0)
            fail_msg("%s: %s", ways[i].make, error_message(error));
        assert_int_equal(error_code(error), GRPC_STATUS_FAILED_PRECONDITION);
        assert_null(found.key);
    }
}

static cJSON *decode_part(const char *text, size_t len)
{
    cleanup_secret struct secret *plain = base64url_decode(text, len, NULL);
    assert_non_null(plain);
    cJSON *json = json_parse((const char *)secret_bytes(plain), secret_len(plain), 8192, NULL);
    assert_non_null(json);
    return json;
}

static void write_file(const char *name, const void *bytes, size_t len)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", scratch.dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void assert_text(const cJSON *json, const char *name, const char *value)
{
    const char *found = NULL;
    assert_int_equal(json_get_string(json, name, &found, NULL), 0);
    assert_string_equal(found, value);
}

/* Makes an assertion, lets OpenSSL verify it, and returns header and claims. */
static void make_and_verify(enum signature_scheme scheme, cJSON **ret_header, cJSON **ret_claims)
{
    cleanup_app_certificate struct app_certificate certificate = {0};
    cleanup_buffer struct buffer text;
    cleanup_error struct error *error = NULL;
    const struct assertion_input input = {.audience = "https://login.example/t/oauth2/v2.0/token",
                                          .client_id = "app-1",
                                          .scheme = scheme,
                                          .now_unix = 1800000000};
    buffer_init(&text, ASSERTION_MAX_BYTES);
    RUN("cat app.key app.pem >out");
    assert_int_equal(read_file("out", "", &certificate, NULL), 0);
    if (assertion_make(&certificate, &input, &text, &error) < 0)
        fail_msg("%s", error_message(error));

    const char *header = buffer_str(&text);
    const char *claims = strchr(header, '.');
    assert_non_null(claims);
    const char *signature = strchr(claims + 1, '.');
    assert_non_null(signature);
    assert_null(strchr(signature + 1, '.'));
    assert_null(strpbrk(header, "=+/ \n"));
    *ret_header = decode_part(header, (size_t)(claims - header));
    *ret_claims = decode_part(claims + 1, (size_t)(signature - claims - 1));
    cleanup_secret struct secret *bytes = base64url_decode(signature + 1, strlen(signature + 1), NULL);
    assert_int_equal(secret_len(bytes), 256);
    write_file("signed", header, (size_t)(signature - header));
    write_file("signature", secret_bytes(bytes), secret_len(bytes));
    RUN("openssl dgst -sha256 %s -verify app.pub -signature signature signed",
        scheme == SIGNATURE_PS256 ? "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32" : "");
    assert_int_not_equal(scratch_run(&scratch,
                                     "openssl dgst -sha256 %s -verify other.pub -signature signature signed",
                                     scheme == SIGNATURE_PS256 ? "-sigopt rsa_padding_mode:pss" : ""),
                         0);
}

static void an_assertion_for_entra_is_ps256_with_the_sha_256_thumbprint(void **state)
{
    (void)state;
    cleanup_json cJSON *header = NULL, *claims = NULL;
    make_and_verify(SIGNATURE_PS256, &header, &claims);

    cleanup_buffer struct buffer thumbprint = {0};
    RUN("openssl dgst -sha256 -binary app.der | base64 -w0 | tr '+/' '-_' | tr -d '=' >x5t");
    assert_int_equal(scratch_read(&scratch, "x5t", &thumbprint), 0);
    assert_text(header, "alg", "PS256");
    assert_text(header, "typ", "JWT");
    assert_text(header, "x5t#S256", buffer_str(&thumbprint));
    assert_int_equal(cJSON_GetArraySize(header), 3);

    int64_t nbf = 0, iat = 0, exp = 0;
    assert_text(claims, "aud", "https://login.example/t/oauth2/v2.0/token");
    assert_text(claims, "iss", "app-1");
    assert_text(claims, "sub", "app-1");
    assert_int_equal(json_opt_int(claims, "nbf", 0, &nbf, NULL), 0);
    assert_int_equal(json_opt_int(claims, "iat", 0, &iat, NULL), 0);
    assert_int_equal(json_opt_int(claims, "exp", 0, &exp, NULL), 0);
    assert_true(nbf <= 1800000000 && nbf >= 1800000000 - 120);
    assert_int_equal(iat, nbf);
    assert_true(exp > 1800000000 + 60 && exp - nbf <= 600);
}

static void an_assertion_for_ad_fs_is_rs256_with_the_sha_1_thumbprint(void **state)
{
    (void)state;
    cleanup_json cJSON *header = NULL, *claims = NULL;
    make_and_verify(SIGNATURE_RS256, &header, &claims);
    cleanup_buffer struct buffer thumbprint = {0};
    RUN("openssl dgst -sha1 -binary app.der | base64 -w0 | tr '+/' '-_' | tr -d '=' >x5t");
    assert_int_equal(scratch_read(&scratch, "x5t", &thumbprint), 0);
    assert_text(header, "alg", "RS256");
    assert_text(header, "x5t", buffer_str(&thumbprint));
    assert_null(cJSON_GetObjectItemCaseSensitive(header, "x5t#S256"));
}

static void each_assertion_has_an_id_of_its_own(void **state)
{
    (void)state;
    cleanup_json cJSON *header = NULL, *claims = NULL, *other_header = NULL, *other_claims = NULL;
    make_and_verify(SIGNATURE_PS256, &header, &claims);
    make_and_verify(SIGNATURE_PS256, &other_header, &other_claims);
    const char *first = NULL, *second = NULL;
    assert_int_equal(json_get_string(claims, "jti", &first, NULL), 0);
    assert_int_equal(json_get_string(other_claims, "jti", &second, NULL), 0);
    assert_int_equal(strlen(first), 36);
    assert_string_not_equal(first, second);
}

static void base64url_agrees_with_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buffer struct buffer text;
        buffer_init(&text, 64);
        assert_int_equal(base64url_append(&text, rows[i][0], strlen(rows[i][0]), NULL), 0);
        assert_string_equal(buffer_str(&text), rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_write_key_and_certificate_is_read),
        cmocka_unit_test(an_unusable_certificate_is_refused_with_its_cause),
        cmocka_unit_test(an_assertion_for_entra_is_ps256_with_the_sha_256_thumbprint),
        cmocka_unit_test(an_assertion_for_ad_fs_is_rs256_with_the_sha_1_thumbprint),
        cmocka_unit_test(each_assertion_has_an_id_of_its_own),
        cmocka_unit_test(base64url_agrees_with_the_vectors_of_rfc_4648),
    };
    return cmocka_run_group_tests_name("azure_assertion", tests, make_keys, remove_keys);
}
