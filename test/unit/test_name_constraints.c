/*
 * test_name_constraints.c - certificates made by OpenSSL's command line, which also judges them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/crypto/server_certificate.h"
#include "test/unit/scratch.h"

#define CA "basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign\\n"

static struct scratch scratch;

static int make_scratch(void **state)
{
    (void)state;
    if (scratch_make(&scratch) < 0)
        return -1;
    return scratch_run(
        &scratch,
        "for name in root middle leaf; do openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $name.key; done");
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

/* NAME.pem and NAME.der for NAME.key. `issuer` NULL: signed by itself. */
static void make(const char *name, const char *issuer, const char *subject, const char *extensions)
{
    char sign[128] = "";
    if (issuer == NULL)
        (void)snprintf(sign, sizeof(sign), "-signkey %s.key", name);
    else
        (void)snprintf(sign, sizeof(sign), "-CA %s.pem -CAkey %s.key -CAcreateserial", issuer, issuer);
    assert_int_equal(
        scratch_run(&scratch,
                    "printf '[req]\\ndistinguished_name=dn\\n[dn]\\n[ext]\\n%s\\n' >%s.cnf && "
                    "openssl req -new -utf8 -key %s.key -config %s.cnf -subj '%s' -out %s.csr && "
                    "openssl x509 -req -in %s.csr %s -extfile %s.cnf -extensions ext -days 2 -out %s.pem && "
                    "openssl x509 -in %s.pem -outform DER -out %s.der",
                    extensions, name, name, name, subject, name, name, sign, name, name, name, name),
        0);
}

static int next(struct server_certificate_check *check, const char *name, unsigned depth, struct buffer *der)
{
    char file[64];
    (void)snprintf(file, sizeof(file), "%s.der", name);
    assert_int_equal(scratch_read(&scratch, file, der), 0);
    return server_certificate_check(check, der_span(der->data, der->len), depth);
}

/* Checks root, middle (when there is one) and leaf. Returns the reason of a refusal, NULL for none. */
static const char *judge(struct server_certificate_check *check, bool with_middle)
{
    cleanup_buffer struct buffer root = {0}, middle = {0}, leaf = {0};
    *check = (struct server_certificate_check){0};
    bool good = next(check, "root", 1 + with_middle, &root) == 0 &&
                (!with_middle || next(check, "middle", 1, &middle) == 0) &&
                next(check, "leaf", 0, &leaf) == 0;
    assert_true(good == (*check->reason == '\0'));
    return good ? NULL : check->reason;
}

static bool openssl_accepts(bool with_middle)
{
    return scratch_run(&scratch, "openssl verify -CAfile root.pem %s leaf.pem",
                       with_middle ? "-untrusted middle.pem" : "") == 0;
}

enum expected { ACCEPTED, REFUSED, STRICTER /* refused by us, not by OpenSSL */ };

/* `constraints`, `names`: as OpenSSL's configuration writes them. SAME: the constraints of the row before. */
#define SAME NULL
struct row {
    enum expected expected;
    const char *constraints, *names, *subject;
};

static void check_rows(const struct row *rows, size_t n)
{
    struct server_certificate_check check;
    char extensions[1024];
    const char *constraints = "";
    for (size_t i = 0; i < n; i++) {
        const struct row *row = &rows[i];
        if (row->constraints != SAME) {
            constraints = row->constraints;
            (void)snprintf(extensions, sizeof(extensions), CA "nameConstraints=critical,%s", constraints);
            make("root", NULL, "/CN=root", extensions);
        }
        (void)snprintf(extensions, sizeof(extensions), "subjectAltName=%s", row->names);
        make("leaf", "root", row->subject != NULL ? row->subject : "/", extensions);
        const char *reason = judge(&check, /* with_middle= */ false);
        if ((reason == NULL) != (row->expected == ACCEPTED))
            fail_msg("%s, %s: %s", constraints, row->names, reason != NULL ? reason : "accepted");
        if (openssl_accepts(/* with_middle= */ false) != (row->expected != REFUSED))
            fail_msg("%s, %s: OpenSSL does not agree", constraints, row->names);
    }
}

/* The examples of RFC 5280, section 4.2.1.10, and what lies next to them. */
static void host_names_are_below_or_equal(void **state)
{
    static const struct row rows[] = {
        {ACCEPTED, "permitted;DNS:host.example.com", "DNS:www.host.example.com", NULL},
        {ACCEPTED, SAME, "DNS:a.b.host.example.com", NULL},
        {ACCEPTED, SAME, "DNS:host.example.com", NULL},
        {REFUSED, SAME, "DNS:host1.example.com", NULL},
        {REFUSED, SAME, "DNS:myhost.example.com", NULL},
        {REFUSED, SAME, "DNS:example.com", NULL},
        {REFUSED, SAME, "DNS:host.example.com.evil.example", NULL},
        {ACCEPTED, "permitted;DNS:Host.Example.COM", "DNS:hOST.eXAMPLE.com", NULL},
        {ACCEPTED, "permitted;DNS:example.com", "DNS:*.example.com", NULL},
        {REFUSED, "permitted;DNS:www.example.com", "DNS:*.example.com", NULL},
        {ACCEPTED, "permitted;DNS:.example.com", "DNS:www.example.com", NULL},
        {REFUSED, SAME, "DNS:example.com", NULL},
        {REFUSED, SAME, "DNS:wwwexample.com", NULL},
        {ACCEPTED, "permitted;DNS:a.example,permitted;DNS:b.example", "DNS:x.b.example,DNS:x.a.example",
         NULL},
        {REFUSED, SAME, "DNS:x.a.example,DNS:x.c.example", NULL},
        {REFUSED, "excluded;DNS:example.com", "DNS:www.example.com", NULL},
        {REFUSED, SAME, "DNS:EXAMPLE.com", NULL},
        {ACCEPTED, SAME, "DNS:www.example.net", NULL},
        {ACCEPTED, SAME, "DNS:myexample.com", NULL},
        {REFUSED, "permitted;DNS:example.com,excluded;DNS:secret.example.com", "DNS:a.secret.example.com",
         NULL},
        {ACCEPTED, SAME, "DNS:open.example.com", NULL},
        /* a wildcard that stands for an excluded host as well */
        {STRICTER, "excluded;DNS:secret.example.com", "DNS:*.example.com", NULL},
        {ACCEPTED, "excluded;DNS:a.secret.example.com", "DNS:*.example.com", NULL},
        {REFUSED, "excluded;DNS:example.com", "DNS:*.example.com", NULL},
    };
    (void)state;
    check_rows(rows, ARRAY_SIZE(rows));
}

/* 192.0.2.0/24 is the RFC's. */
static void addresses_are_in_the_network(void **state)
{
    static const struct row rows[] = {
        {ACCEPTED, "permitted;IP:192.0.2.0/255.255.255.0", "IP:192.0.2.1", NULL},
        {REFUSED, SAME, "IP:192.0.3.1", NULL},
        {ACCEPTED, "permitted;IP:10.128.0.0/255.128.0.0", "IP:10.200.1.2", NULL},
        {REFUSED, SAME, "IP:10.127.255.255", NULL},
        {REFUSED, "permitted;IP:192.0.2.0/255.255.255.0", "IP:2001:db8::1", NULL},
        {ACCEPTED, "permitted;IP:2001:db8::/ffff:ffff::", "IP:2001:db8::1", NULL},
        {REFUSED, SAME, "IP:2001:db9::1", NULL},
        {ACCEPTED, "permitted;IP:192.0.2.0/255.255.255.0,permitted;IP:2001:db8::/ffff:ffff::",
         "IP:2001:db8::1,IP:192.0.2.9", NULL},
        {REFUSED, "excluded;IP:192.0.2.0/255.255.255.0", "IP:192.0.2.1", NULL},
        {ACCEPTED, SAME, "IP:198.51.100.1", NULL},
        {REFUSED, "excluded;IP:0.0.0.0/0.0.0.0", "IP:198.51.100.1", NULL},
        /* a mask with holes has no meaning (RFC 4632, section 3.1) */
        {STRICTER, "permitted;IP:192.0.2.0/255.0.255.0", "IP:192.7.2.1", NULL},
        /* kinds do not restrict each other */
        {ACCEPTED, "permitted;DNS:example.com", "DNS:example.com,IP:198.51.100.1", NULL},
        {ACCEPTED, "permitted;IP:192.0.2.0/255.255.255.0", "DNS:example.net", NULL},
    };
    (void)state;
    check_rows(rows, ARRAY_SIZE(rows));
}

static void directory_names_begin_with_the_base(void **state)
{
#define BASE(dn) "dirName:dn2\\n[dn2]\\n" dn
    static const struct row rows[] = {
        {ACCEPTED, "permitted;" BASE("O=Contoso"), "DNS:a.example", "/O=Contoso/CN=a"},
        {ACCEPTED, SAME, "DNS:a.example", "/O=Contoso"},
        {ACCEPTED, SAME, "DNS:a.example", "/O=CONTOSO/OU=x/CN=a"},
        {ACCEPTED, "permitted;" BASE("O=Con  toso"), "DNS:a.example", "/O= con toso /CN=a"},
        {REFUSED, "permitted;" BASE("O=Contoso"), "DNS:a.example", "/O=Contoso Ltd/CN=a"},
        {REFUSED, SAME, "DNS:a.example", "/CN=a"},
        {REFUSED, SAME, "DNS:a.example", "/CN=a/O=Contoso"},
        {REFUSED, "permitted;" BASE("O=Contoso\\nOU=x"), "DNS:a.example", "/O=Contoso/CN=a"},
        {ACCEPTED, "permitted;" BASE("O=Contoso"), "DNS:a.example", "/"}, /* no name of this kind */
        {REFUSED, "excluded;" BASE("O=Contoso"), "DNS:a.example", "/O=contoso/CN=a"},
        {ACCEPTED, SAME, "DNS:a.example", "/O=Fabrikam/CN=a"},
        {REFUSED, "permitted;" BASE("O=Contoso"), "DNS:a.example,dirName:other\\n[other]\\nO=Fabrikam",
         "/O=Contoso/CN=a"},
    };
    (void)state;
    check_rows(rows, ARRAY_SIZE(rows));
}

static void names_of_other_kinds_are_refused_where_they_are_restricted(void **state)
{
    static const struct row rows[] = {
        {ACCEPTED, "permitted;email:example.com,permitted;DNS:example.com", "DNS:www.example.com", "/CN=a"},
        {STRICTER, "permitted;email:example.com", "DNS:www.example.com,email:me@example.com", "/CN=a"},
        {REFUSED, "excluded;email:example.com", "DNS:www.example.com,email:me@example.com", "/CN=a"},
        {ACCEPTED, "permitted;DNS:example.com", "DNS:www.example.com,email:me@example.net", "/CN=a"},
        {STRICTER, "permitted;URI:example.com", "DNS:www.example.com,URI:https://example.com/", "/CN=a"},
    };
    (void)state;
    check_rows(rows, ARRAY_SIZE(rows));
}

static void every_ca_of_the_chain_counts(void **state)
{
    static const struct {
        bool good;
        const char *root, *middle, *name;
    } rows[] = {
        {true, "nameConstraints=critical,permitted;DNS:example",
         "nameConstraints=critical,permitted;DNS:a.example", "x.a.example"},
        {false, "nameConstraints=critical,permitted;DNS:example",
         "nameConstraints=critical,permitted;DNS:a.example", "x.b.example"},
        {false, "nameConstraints=critical,permitted;DNS:b.example",
         "nameConstraints=critical,permitted;DNS:a.example", "x.a.example"},
        {false, "nameConstraints=critical,permitted;DNS:b.example", "", "x.a.example"},
        {false, "", "nameConstraints=permitted;DNS:b.example", "x.a.example"}, /* not critical */
        {true, "nameConstraints=critical,excluded;DNS:b.example", "nameConstraints=excluded;DNS:c.example",
         "x.a.example"},
        {false, "nameConstraints=critical,excluded;DNS:b.example", "nameConstraints=excluded;DNS:a.example",
         "x.a.example"},
        {true, "", "", "x.a.example"},
    };
    struct server_certificate_check check;
    char extensions[1024];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        (void)snprintf(extensions, sizeof(extensions), CA "%s", rows[i].root);
        make("root", NULL, "/CN=root", extensions);
        (void)snprintf(extensions, sizeof(extensions), CA "%s", rows[i].middle);
        make("middle", "root", "/CN=middle", extensions);
        (void)snprintf(extensions, sizeof(extensions), "subjectAltName=DNS:%s", rows[i].name);
        make("leaf", "middle", "/CN=leaf", extensions);
        const char *reason = judge(&check, /* with_middle= */ true);
        if ((reason == NULL) != rows[i].good || openssl_accepts(/* with_middle= */ true) != rows[i].good)
            fail_msg("row %zu: %s", i, reason != NULL ? reason : "accepted");
    }
}

/* Section 6.1.3: a CA's names must obey, unless it is self-issued (a new key of the same CA). */
static void a_ca_must_obey_unless_it_is_self_issued(void **state)
{
    static const char constrained[] = CA "nameConstraints=critical,permitted;dirName:dn2\\n[dn2]\\nO=Contoso";
    struct server_certificate_check check;
    (void)state;
    make("root", NULL, "/CN=root", constrained);
    make("middle", "root", "/CN=middle", CA);
    make("leaf", "middle", "/O=Contoso/CN=leaf", "subjectAltName=DNS:a.example");
    assert_non_null(judge(&check, /* with_middle= */ true));
    assert_false(openssl_accepts(/* with_middle= */ true));
    make("middle", "root", "/CN=root", CA);
    make("leaf", "middle", "/O=Contoso/CN=leaf", "subjectAltName=DNS:a.example");
    assert_null(judge(&check, /* with_middle= */ true));
    assert_true(openssl_accepts(/* with_middle= */ true));
}

static void a_certificate_without_a_host_or_address_as_alternative_name_is_refused(void **state)
{
    struct server_certificate_check check;
    (void)state;
    make("root", NULL, "/CN=root", CA);
    make("leaf", "root", "/CN=vault.example", "basicConstraints=CA:FALSE");
    assert_string_equal(
        judge(&check, false),
        "the certificate has no subjectAltName with a host name or an address (a common name does not count)");
    make("leaf", "root", "/CN=vault.example", "subjectAltName=email:me@example.com");
    assert_non_null(judge(&check, false));
    make("leaf", "root", "/CN=vault.example", "subjectAltName=IP:192.0.2.1");
    assert_null(judge(&check, false));
}

static void a_refusal_names_the_host_and_the_reason(void **state)
{
    struct server_certificate_check check;
    (void)state;
    make("root", NULL, "/CN=root", CA "nameConstraints=critical,permitted;DNS:example.com");
    make("leaf", "root", "/CN=leaf", "subjectAltName=DNS:vault.example.net");
    assert_string_equal(
        judge(&check, false),
        "a host name in the certificate, 'vault.example.net', is not permitted by the name constraints of a CA above it");
}

/* DER by hand: what OpenSSL does not write. */
static void damaged_constraints_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
#define BYTES(text) {text, sizeof(text) - 1}
        BYTES("\xa0\x02\x30\x00"),                                         /* a subtree without a name */
        BYTES("\xa0\x04\x30\x03\x82\x01\x61"),                             /* longer inside */
        BYTES("\xa0\x08\x30\x06\x82\x01\x61\x80\x01\x01"),                 /* a minimum */
        BYTES("\xa0\x05\x30\x03\x82\x01\x61\x05\x00"),                     /* something behind */
        BYTES("\xa1\x05\x30\x03\x82\x01\x62\xa0\x05\x30\x03\x82\x01\x61"), /* the wrong order */
        BYTES("\xa0\x05\x30\x03\x82\x01\x00"),                             /* a base that is no host */
    };
    static const uint8_t names[] = {0x82, 0x01, 'a'}, none[1] = {0};
    char reason[NAME_CONSTRAINTS_REASON_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct name_constraints constraints = {.n = 1};
        constraints.of[0] = der_span((const uint8_t *)rows[i].bytes, rows[i].len);
        const struct certificate_fields certificate = {.subject = der_span(none, 0),
                                                       .issuer = der_span(none, 0),
                                                       .alternative_names = der_span(names, sizeof(names))};
        if (name_constraints_check(&constraints, &certificate, /* is_last= */ true, reason) == 0)
            fail_msg("row %zu is accepted", i);
    }
}

static void the_number_of_comparisons_is_bounded(void **state)
{
    static uint8_t names[3 * 2000], subtrees[4 + 5 * 2000];
    static const uint8_t none[1] = {0};
    char reason[NAME_CONSTRAINTS_REASON_MAX];
    struct name_constraints constraints = {.n = 1};
    (void)state;
    memcpy(subtrees, "\xa1\x82\x27\x10", 4); /* 10,000 bytes */
    for (size_t i = 0; i < 2000; i++) {
        memcpy(names + 3 * i, "\x82\x01\x61", 3);
        memcpy(subtrees + 4 + 5 * i, "\x30\x03\x82\x01\x62", 5);
    }
    constraints.of[0] = der_span(subtrees, sizeof(subtrees));
    const struct certificate_fields certificate = {.subject = der_span(none, 0),
                                                   .issuer = der_span(none, 0),
                                                   .alternative_names = der_span(names, sizeof(names))};
    assert_int_equal(name_constraints_check(&constraints, &certificate, true, reason), -1);
    assert_string_equal(reason, "the certificates have too many names and name constraints");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_names_are_below_or_equal),
        cmocka_unit_test(addresses_are_in_the_network),
        cmocka_unit_test(directory_names_begin_with_the_base),
        cmocka_unit_test(names_of_other_kinds_are_refused_where_they_are_restricted),
        cmocka_unit_test(every_ca_of_the_chain_counts),
        cmocka_unit_test(a_ca_must_obey_unless_it_is_self_issued),
        cmocka_unit_test(a_certificate_without_a_host_or_address_as_alternative_name_is_refused),
        cmocka_unit_test(a_refusal_names_the_host_and_the_reason),
        cmocka_unit_test(damaged_constraints_are_refused),
        cmocka_unit_test(the_number_of_comparisons_is_bounded),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
