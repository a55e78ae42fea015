/*
 * tls.c - see tls.h.
 */
#include "test/emulator/tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <time.h>

#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"
#include "test/emulator/text.h"

enum { BACKDATED_SECONDS = 3600, VALID_SECONDS = 30 * 24 * 3600, RSA_BITS = 2048 };

static const char *const dns_names[] = {
    "localhost",
    "login.localhost",
    DISCOVERY_HOST,
    "vault.localhost",
    "*.vault.localhost",
    "login.emulator.test",
    "*.vault.emulator.test",
    "managedhsm.localhost",
    "*.managedhsm.localhost",
    "kubernetes.default.svc",
    "kubernetes",
    /* what AKS has: the API server's names, and the token proxy in front of it */
    "kubernetes.default.svc.cluster.local",
    "hcp-kubernetes." CLUSTER_ID ".svc.cluster.local",
    "*.ests.aks",
};

/* The same below a domain that the command line names. */
static const char *const domain_names[] = {"login", "vault", "*.vault", "managedhsm", "*.managedhsm"};

/* Remembers the first failure; later steps are skipped by the caller through it. */
static int check(int *failed, int code, const char *what)
{
    if (*failed == 0 && code < 0) {
        (void)fprintf(stderr, "vault-emulator: %s: %s\n", what, gnutls_strerror(code));
        *failed = 1;
    }
    return *failed;
}

static int new_key(gnutls_x509_privkey_t *key)
{
    int failed = 0;
    check(&failed, gnutls_x509_privkey_init(key), "private key");
    check(&failed, gnutls_x509_privkey_generate(*key, GNUTLS_PK_RSA, RSA_BITS, 0), "private key");
    return failed;
}

/* What both certificates have in common. */
static int fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *common_name, int is_ca)
{
    int failed = 0;
    time_t now = unix_now();
    unsigned char serial[16];
    unsigned char key_id[64];
    size_t key_id_len = sizeof(key_id);
    for (size_t i = 0; i < sizeof(serial); i++)
        serial[i] = (unsigned char)random_u64();
    serial[0] = (serial[0] & 0x3f) | 0x40; /* positive, and no leading zero byte */

    check(&failed, gnutls_x509_crt_set_version(crt, 3), "version");
    check(&failed, gnutls_x509_crt_set_serial(crt, serial, sizeof(serial)), "serial");
    check(&failed, gnutls_x509_crt_set_activation_time(crt, now - BACKDATED_SECONDS), "activation time");
    check(&failed, gnutls_x509_crt_set_expiration_time(crt, now + VALID_SECONDS), "expiration time");
    check(&failed,
          gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                        (unsigned)strlen(common_name)),
          "subject");
    check(&failed, gnutls_x509_crt_set_key(crt, key), "public key");
    check(&failed, gnutls_x509_crt_get_key_id(crt, 0, key_id, &key_id_len), "key id");
    check(&failed, gnutls_x509_crt_set_subject_key_id(crt, key_id, key_id_len), "subject key id");
    check(&failed, gnutls_x509_crt_set_basic_constraints(crt, is_ca ? 1 : 0, is_ca ? 0 : -1), "constraints");
    check(&failed,
          gnutls_x509_crt_set_key_usage(crt, is_ca ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
                                                   : GNUTLS_KEY_DIGITAL_SIGNATURE),
          "key usage");
    return failed;
}

static void add_name(gnutls_x509_crt_t crt, const char *name, int *failed)
{
    check(failed,
          gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name),
                                               GNUTLS_FSAN_APPEND),
          "alternative name");
}

static int add_names(gnutls_x509_crt_t crt, const char *domain)
{
    static const unsigned char loopback[] = {127, 0, 0, 1};
    int failed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(dns_names); i++)
        add_name(crt, dns_names[i], &failed);
    for (size_t i = 0; strcmp(domain, "localhost") != 0 && i < ARRAY_SIZE(domain_names); i++) {
        char *name = format_text("%s.%s", domain_names[i], domain);
        add_name(crt, name, &failed);
        free(name);
    }
    check(&failed,
          gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, loopback, sizeof(loopback),
                                               GNUTLS_FSAN_APPEND),
          "alternative name");
    check(&failed, gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0), "key purpose");
    return failed;
}

/* gnutls_free() is not free() everywhere: copy into our own memory. */
static char *own(gnutls_datum_t *datum)
{
    char *copy = xcalloc((size_t)datum->size + 1, 1);
    memcpy(copy, datum->data, datum->size);
    gnutls_free(datum->data);
    datum->data = NULL;
    return copy;
}

int tls_identity_create(struct tls_identity *identity, const char *domain)
{
    gnutls_x509_privkey_t ca_key = NULL;
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t ca = NULL;
    gnutls_x509_crt_t crt = NULL;
    gnutls_datum_t pem = {0};
    unsigned char ca_id[64];
    size_t ca_id_len = sizeof(ca_id);
    int failed = 0;

    *identity = (struct tls_identity){0};
    failed = new_key(&ca_key) != 0 || new_key(&key) != 0;
    check(&failed, gnutls_x509_crt_init(&ca), "certificate");
    check(&failed, gnutls_x509_crt_init(&crt), "certificate");
    if (failed || fill(ca, ca_key, "vault-emulator CA", 1) != 0 || fill(crt, key, "vault-emulator", 0) != 0 ||
        add_names(crt, domain) != 0) {
        failed = 1;
        goto out;
    }
    check(&failed, gnutls_x509_crt_sign2(ca, ca, ca_key, GNUTLS_DIG_SHA256, 0), "sign");
    check(&failed, gnutls_x509_crt_get_subject_key_id(ca, ca_id, &ca_id_len, NULL), "authority key id");
    check(&failed, gnutls_x509_crt_set_authority_key_id(crt, ca_id, ca_id_len), "authority key id");
    check(&failed, gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0), "sign");
    if (!failed && check(&failed, gnutls_x509_crt_export2(ca, GNUTLS_X509_FMT_PEM, &pem), "export") == 0)
        identity->ca_pem = own(&pem);
    if (!failed && check(&failed, gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), "export") == 0)
        identity->certificate_pem = own(&pem);
    if (!failed && check(&failed, gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), "export") == 0)
        identity->key_pem = own(&pem);
out:
    if (crt != NULL)
        gnutls_x509_crt_deinit(crt);
    if (ca != NULL)
        gnutls_x509_crt_deinit(ca);
    if (key != NULL)
        gnutls_x509_privkey_deinit(key);
    if (ca_key != NULL)
        gnutls_x509_privkey_deinit(ca_key);
    if (failed)
        tls_identity_finish(identity);
    return failed ? -1 : 0;
}

void tls_identity_finish(struct tls_identity *identity)
{
    free(identity->ca_pem);
    free(identity->certificate_pem);
    free(identity->key_pem);
    *identity = (struct tls_identity){0};
}

bool tls_server_name_is(void *session, const char *name)
{
    char found[256];
    size_t len = sizeof(found) - 1;
    unsigned type;
    if (gnutls_server_name_get(session, found, &len, &type, 0) < 0)
        return false;
    found[len] = '\0';
    return strcmp(found, name) == 0;
}

bool tls_is_resumed(void *session)
{
    return gnutls_session_is_resumed(session) != 0;
}
