/*
 * app_certificate.c - reading key and certificate of a service principal.
 */
#include "provider-azure/identity/app_certificate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/encoding.h"
#include "common/crypto/pem.h"
#include "common/crypto/pkcs12.h"

static int bad(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "%s", text);
}

/* The password, and how far derivations from it may go (NULL: to the end). */
struct password {
    const char *text;
    size_t len;
    struct pkcs12_run *run;
};

/* The content of the Secret: one key, and the certificates, its own among them. */
struct found {
    struct secret *key; /* DER */
    struct secret *certificates[APP_CERTIFICATE_MAX_BLOCKS];
    size_t n_certificates;
};

static void found_finish(struct found *found)
{
    secret_destroy(found->key);
    for (size_t i = 0; i < found->n_certificates; i++)
        secret_destroy(found->certificates[i]);
}
#define cleanup_found CLEANUP(found_finish)

static int set_key(struct found *found, struct secret *key, struct error **err)
{
    if (found->key != NULL) {
        secret_destroy(key);
        return bad(err, "there is more than one private key");
    }
    found->key = key;
    return 0;
}

static int add_certificate(struct found *found, struct secret *der, struct error **err)
{
    if (found->n_certificates == APP_CERTIFICATE_MAX_BLOCKS) {
        secret_destroy(der);
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "there are more than %d certificates",
                         APP_CERTIFICATE_MAX_BLOCKS);
    }
    found->certificates[found->n_certificates++] = der;
    return 0;
}

/* --- PEM --- */

static bool labelled(const struct pem_block *block, const char *label)
{
    return block->label_len == strlen(label) && memcmp(block->label, label, block->label_len) == 0;
}

static int add_block(struct found *found, const struct pem_block *block, struct password password,
                     struct error **err)
{
    bool certificate = labelled(block, "CERTIFICATE");
    bool encrypted = labelled(block, "ENCRYPTED PRIVATE KEY");
    bool key = encrypted || labelled(block, "PRIVATE KEY") || labelled(block, "RSA PRIVATE KEY") ||
               labelled(block, "EC PRIVATE KEY");
    if (!certificate && !key)
        return 0; /* parameters, requests and the like are ignored */
    if (pem_lines_lost(block) && memchr(block->body, '\n', block->body_len) == NULL &&
        (memchr(block->body, ' ', block->body_len) != NULL ||
         memchr(block->body, '\\', block->body_len) != NULL))
        return bad(err, "a PEM block is not base64: its line breaks are lost");
    cleanup_secret struct secret *der = pem_decode(block->body, block->body_len, /* err= */ NULL);
    if (der == NULL && memmem(block->body, block->body_len, "Proc-Type", strlen("Proc-Type")) != NULL)
        return bad(
            err,
            "the private key is encrypted in OpenSSL's old format; convert it with `openssl pkcs8 -topk8`");
    if (der == NULL)
        return bad(err, "a PEM block is not base64");
    if (certificate)
        return add_certificate(found, steal_ptr(&der), err);
    if (!encrypted)
        return set_key(found, steal_ptr(&der), err);
    if (password.len == 0)
        return bad(err, "the private key is encrypted and there is no clientcertificatepassword");
    struct secret *plain =
        pkcs8_decrypt(secret_bytes(der), secret_len(der), password.text, password.len, password.run, err);
    if (plain == NULL)
        return error_wrap(err, "the encrypted private key (is clientcertificatepassword right?)");
    return set_key(found, plain, err);
}

static int read_pem(const char *text, size_t len, struct password password, struct found *found,
                    struct error **err)
{
    const char *at = text;
    struct pem_block block;
    while (pem_next(&at, text + len, &block)) {
        if (add_block(found, &block, password, err) < 0)
            return -1;
    }
    return 0;
}

/* --- PKCS#12 --- */

static int read_pfx(const uint8_t *der, size_t len, struct password password, struct found *found,
                    struct error **err)
{
    cleanup_pkcs12 struct pkcs12 pfx = {0};
    if (pkcs12_read_with_password(der, len, password.text, password.len, password.run, &pfx, err) < 0)
        return -1;
    for (size_t i = 0; i < pfx.n_keys; i++) {
        if (set_key(found, steal_ptr(&pfx.keys[i]), err) < 0)
            return -1;
    }
    for (size_t i = 0; i < pfx.n_certificates; i++) {
        if (add_certificate(found, steal_ptr(&pfx.certificates[i]), err) < 0)
            return -1;
    }
    return 0;
}

static int read_any(const uint8_t *bytes, size_t len, struct password password, struct found *found,
                    struct error **err)
{
    static const char begin[] = "-----BEGIN ";
    /* A SEQUENCE of more than 127 bytes; base64 of one begins with 'M'. */
    if (len > 1 && bytes[0] == 0x30 && bytes[1] >= 0x80) {
        if (len >= 4 && memcmp(bytes + 1, "\xef\xbf\xbd", 3) == 0)
            return bad(err, "the kubelet damages binary PKCS#12: store its base64 text");
        return read_pfx(bytes, len, password, found, err);
    }
    if (memmem(bytes, len, begin, sizeof(begin) - 1) != NULL)
        return read_pem((const char *)bytes, len, password, found, err);
    cleanup_secret struct secret *der = base64_decode((const char *)bytes, len, /* err= */ NULL);
    if (der == NULL)
        return bad(err, "it is neither PEM nor PKCS#12 in base64");
    if (secret_len(der) > 0 && memmem(secret_bytes(der), secret_len(der), begin, sizeof(begin) - 1) != NULL)
        return read_pem((const char *)secret_bytes(der), secret_len(der), password, found, err);
    return read_pfx(secret_bytes(der), secret_len(der), password, found, err);
}

static int read_all(const void *bytes, size_t len, struct password password, struct app_certificate *ret,
                    struct error **err)
{
    cleanup_found struct found found = {0};
    cleanup_app_certificate struct app_certificate made = {0};

    if (len > APP_CERTIFICATE_MAX_BYTES)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "it has %zu bytes, at most %d are accepted",
                         len, APP_CERTIFICATE_MAX_BYTES);
    if (read_any(bytes, len, password, &found, err) < 0)
        return -1;
    if (found.key == NULL)
        return bad(err, "there is no private key in it");
    if (found.n_certificates == 0)
        return bad(err, "there is no certificate in it");
    made.key = signing_key_read(secret_bytes(found.key), secret_len(found.key), err);
    if (made.key == NULL)
        return -1;
    for (size_t i = 0; i < found.n_certificates && made.certificate == NULL; i++) {
        const struct secret *der = found.certificates[i];
        if (signing_key_matches(made.key, secret_bytes(der), secret_len(der)))
            made.certificate = steal_ptr(&found.certificates[i]);
    }
    if (made.certificate == NULL)
        return bad(err, "no certificate in it belongs to the private key");
    *ret = made;
    made = (struct app_certificate){0};
    return 0;
}

int app_certificate_read(const void *bytes, size_t len, const char *password, size_t password_len,
                         struct pkcs12_run *run, struct app_certificate *ret, struct error **err)
{
    errno = 0;
    if (read_all(bytes, len, (struct password){password, password_len, run}, ret, err) < 0)
        return error_check_memory(err, "the certificate");
    return 0;
}

void app_certificate_finish(struct app_certificate *certificate)
{
    signing_key_destroy(certificate->key);
    secret_destroy(certificate->certificate);
    *certificate = (struct app_certificate){0};
}
