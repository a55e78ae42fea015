/*
 * name_constraints.c - names and subtrees.
 */
#include "common/crypto/name_constraints.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    TAG_OID = 0x06,
    TAG_UTF8 = 0x0c,
    TAG_PRINTABLE = 0x13,
    TAG_IA5 = 0x16,
    /* GeneralName (section 4.2.1.6) */
    TAG_MAIL = 0x81,
    TAG_DNS = 0x82,
    TAG_DIRECTORY = 0xa4,
    TAG_ADDRESS = 0x87,
    /* NameConstraints */
    TAG_PERMITTED = 0xa0,
    TAG_EXCLUDED = 0xa1,
    SHOWN_MAX = 100, /* bytes of a name in an error */
};

/* A name, or the base of a subtree. */
struct name {
    int tag;
    struct der content;
};

enum match { MATCHES, DIFFERS, UNCLEAR };

struct check {
    const struct der *of; /* one CA's constraints */
    struct name_constraints *constraints;
    char *reason;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(check->reason, NAME_CONSTRAINTS_REASON_MAX, format, arguments);
    va_end(arguments);
    return -1;
}

/* --- hosts --- */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

static bool equal_text(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

static bool is_host(struct der name)
{
    for (const uint8_t *at = name.at; at < name.end; at++) {
        if (*at <= ' ' || *at >= 0x7f)
            return false;
    }
    return true;
}

static bool ends_with(struct der name, struct der end)
{
    size_t len = der_len(end);
    return der_len(name) >= len && equal_text(name.end - len, end.at, len);
}

/* Labels may be added in front of `base`; with a dot in front of it (not in the RFC, but in use) at least one
 * must be. */
static bool host_is_below(struct der host, struct der base)
{
    size_t len = der_len(base);
    if (len == 0)
        return true;
    if (!ends_with(host, base))
        return false;
    return *base.at == '.' ? der_len(host) > len
                           : der_len(host) == len || host.end[-(ptrdiff_t)len - 1] == '.';
}

/* Whether "*.example.com" stands for a host in the subtree "x.example.com". */
static bool wildcard_reaches(struct der host, struct der base)
{
    struct der parent = host;
    if (der_len(host) < 2 || memcmp(host.at, "*.", 2) != 0)
        return false;
    parent.at += 1;
    const uint8_t *dot = memchr(base.at, '.', der_len(base));
    return dot != NULL && dot != base.at && der_len(parent) == (size_t)(base.end - dot) &&
           equal_text(parent.at, dot, der_len(parent));
}

static enum match match_host(struct der host, struct der base, bool excluded)
{
    if (!is_host(host) || !is_host(base))
        return UNCLEAR;
    return host_is_below(host, base) || (excluded && wildcard_reaches(host, base)) ? MATCHES : DIFFERS;
}

/* --- addresses: the base is an address and a mask --- */

static bool is_mask(const uint8_t *mask, size_t len)
{
    bool ended = false;
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bool set = mask[bit / 8] >> (7 - bit % 8) & 1;
        if (set && ended)
            return false;
        ended = ended || !set;
    }
    return true;
}

static enum match match_address(struct der address, struct der base)
{
    size_t len = der_len(base) / 2;
    if ((der_len(base) != 8 && der_len(base) != 32) || (der_len(address) != 4 && der_len(address) != 16) ||
        !is_mask(base.at + len, len))
        return UNCLEAR;
    if (der_len(address) != len)
        return DIFFERS;
    for (size_t i = 0; i < len; i++) {
        if (((address.at[i] ^ base.at[i]) & base.at[len + i]) != 0)
            return DIFFERS;
    }
    return MATCHES;
}

/* --- directory names (section 7.1) --- */

/* Takes the next character; runs of blanks are one, and none at the ends. -1: the end. */
static int next_character(struct der *text)
{
    if (text->at == text->end)
        return -1;
    uint8_t c = *text->at++;
    if (c == ' ') {
        while (text->at < text->end && *text->at == ' ')
            text->at++;
        return text->at == text->end ? -1 : c;
    }
    return lower(c);
}

static bool equal_value_text(struct der a, struct der b)
{
    while (a.at < a.end && *a.at == ' ')
        a.at++;
    while (b.at < b.end && *b.at == ' ')
        b.at++;
    for (;;) {
        int c = next_character(&a);
        if (c != next_character(&b))
            return false;
        if (c == -1)
            return true;
    }
}

static bool equal_bytes(struct der a, struct der b)
{
    return der_len(a) == der_len(b) && memcmp(a.at, b.at, der_len(a)) == 0;
}

static bool is_text(int tag)
{
    return tag == TAG_UTF8 || tag == TAG_PRINTABLE || tag == TAG_IA5;
}

/* AttributeTypeAndValue: an OID and a value of any type. */
static enum match match_attribute(struct der a, struct der b)
{
    struct der a_type, b_type, a_value, b_value;
    if (der_take(&a, DER_OID, &a_type) < 0 || der_take(&b, DER_OID, &b_type) < 0 || der_len(a) == 0 ||
        der_len(b) == 0)
        return UNCLEAR;
    if (!equal_bytes(a_type, b_type))
        return DIFFERS;
    if (equal_bytes(a, b))
        return MATCHES;
    int a_tag = *a.at, b_tag = *b.at;
    if (!is_text(a_tag) || !is_text(b_tag) || der_take(&a, a_tag, &a_value) < 0 ||
        der_take(&b, b_tag, &b_value) < 0)
        return UNCLEAR;
    return equal_value_text(a_value, b_value) ? MATCHES : DIFFERS;
}

/* RelativeDistinguishedName: a set of attributes, in DER's order. */
static enum match match_rdn(struct der a, struct der b)
{
    struct der a_attribute, b_attribute;
    while (der_len(a) > 0 && der_len(b) > 0) {
        if (der_take(&a, DER_SEQUENCE, &a_attribute) < 0 || der_take(&b, DER_SEQUENCE, &b_attribute) < 0)
            return UNCLEAR;
        enum match match = match_attribute(a_attribute, b_attribute);
        if (match != MATCHES)
            return match;
    }
    return der_len(a) == der_len(b) ? MATCHES : DIFFERS;
}

/* The base is the beginning of the name. Both are contents of a Name. */
static enum match match_directory(struct der name, struct der base)
{
    struct der name_rdn, base_rdn;
    while (der_len(base) > 0) {
        if (der_len(name) == 0)
            return DIFFERS;
        if (der_take(&base, DER_SET, &base_rdn) < 0 || der_take(&name, DER_SET, &name_rdn) < 0)
            return UNCLEAR;
        enum match match = match_rdn(name_rdn, base_rdn);
        if (match != MATCHES)
            return match;
    }
    return MATCHES;
}

/* --- a name and the subtrees of one CA --- */

static enum match match_name(const struct name *name, const struct name *base, bool excluded)
{
    switch (name->tag) {
    case TAG_DNS:
        return match_host(name->content, base->content, excluded);
    case TAG_ADDRESS:
        return match_address(name->content, base->content);
    case TAG_DIRECTORY:
        return match_directory(name->content, base->content);
    default:
        return UNCLEAR;
    }
}

/* GeneralName. The one of a directory name contains the whole Name, for a CHOICE is tagged explicitly. */
static int take_name(struct der *names, struct name *ret)
{
    struct der inner;
    if (der_len(*names) == 0)
        return -1;
    ret->tag = *names->at;
    if (der_take(names, ret->tag, &ret->content) < 0)
        return -1;
    if (ret->tag != TAG_DIRECTORY)
        return 0;
    inner = ret->content;
    return der_take(&inner, DER_SEQUENCE, &ret->content) < 0 || der_len(inner) > 0 ? -1 : 0;
}

/* GeneralSubtree: a name; `minimum` is 0 and not written, `maximum` absent (section 4.2.1.10). */
static int take_subtree(struct der *subtrees, struct name *ret)
{
    struct der subtree;
    return der_take(subtrees, DER_SEQUENCE, &subtree) < 0 || take_name(&subtree, ret) < 0 ||
                   der_len(subtree) > 0
               ? -1
               : 0;
}

static const char *kind_of(int tag)
{
    return tag == TAG_DNS         ? "a host name"
           : tag == TAG_ADDRESS   ? "an address"
           : tag == TAG_DIRECTORY ? "a directory name"
           : tag == TAG_MAIL      ? "a mail address"
                                  : "a name of another kind";
}

static int refuse_name(const struct check *check, const struct name *name, const char *why)
{
    int shown = name->tag == TAG_DNS && is_host(name->content) ? (int)der_len(name->content) : 0;
    bool quoted = shown > 0;
    if (shown > SHOWN_MAX)
        shown = SHOWN_MAX;
    return refuse(check, "%s in the certificate%s%.*s%s %s by the name constraints of a CA above it",
                  kind_of(name->tag), quoted ? ", '" : "", shown, (const char *)name->content.at,
                  quoted ? "'," : "", why);
}

static int check_subtrees(const struct check *check, const struct name *name, struct der subtrees,
                          bool excluded)
{
    struct name base;
    bool restricted = false, found = false, unclear = false;
    while (der_len(subtrees) > 0) {
        if (take_subtree(&subtrees, &base) < 0)
            return refuse(check, "the name constraints of a CA cannot be read");
        if (base.tag != name->tag)
            continue;
        if (++check->constraints->comparisons > NAME_CONSTRAINTS_COMPARISONS_MAX)
            return refuse(check, "the certificates have too many names and name constraints");
        restricted = true;
        enum match match = match_name(name, &base, excluded);
        found = found || match == MATCHES;
        unclear = unclear || match == UNCLEAR;
    }
    if (excluded && found)
        return refuse_name(check, name, "is excluded");
    if (unclear && !(found && !excluded))
        return refuse_name(check, name, "cannot be compared with what is allowed");
    if (!excluded && restricted && !found)
        return refuse_name(check, name, "is not permitted");
    return 0;
}

static int check_name(const struct check *check, const struct name *name)
{
    struct der content = *check->of, subtrees;
    if (der_is(content, TAG_PERMITTED) && (der_take(&content, TAG_PERMITTED, &subtrees) < 0 ||
                                           check_subtrees(check, name, subtrees, /* excluded= */ false) < 0))
        return *check->reason != '\0' ? -1 : refuse(check, "the name constraints of a CA cannot be read");
    if (der_is(content, TAG_EXCLUDED) && (der_take(&content, TAG_EXCLUDED, &subtrees) < 0 ||
                                          check_subtrees(check, name, subtrees, /* excluded= */ true) < 0))
        return *check->reason != '\0' ? -1 : refuse(check, "the name constraints of a CA cannot be read");
    return der_len(content) > 0 ? refuse(check, "the name constraints of a CA cannot be read") : 0;
}

/* --- the names of a certificate --- */

/* A mail address in the subject counts where there are no alternative names (section 4.2.1.10). */
static int check_subject_mail(const struct check *check, struct der subject)
{
    static const char mail[] = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"; /* emailAddress, PKCS #9 */
    struct der rdn, attribute, type;
    while (der_len(subject) > 0) {
        if (der_take(&subject, DER_SET, &rdn) < 0)
            return refuse(check, "the subject of a certificate cannot be read");
        while (der_len(rdn) > 0) {
            if (der_take(&rdn, DER_SEQUENCE, &attribute) < 0 || der_take(&attribute, DER_OID, &type) < 0)
                return refuse(check, "the subject of a certificate cannot be read");
            const struct name name = {.tag = TAG_MAIL, .content = attribute};
            if (der_oid_equal(type, mail, sizeof(mail) - 1) && check_name(check, &name) < 0)
                return -1;
        }
    }
    return 0;
}

static int check_names(const struct check *check, const struct certificate_fields *certificate)
{
    const struct name subject = {.tag = TAG_DIRECTORY, .content = certificate->subject};
    struct der names = certificate->alternative_names;
    struct name name;
    if (der_len(names) == 0 && check_subject_mail(check, certificate->subject) < 0)
        return -1;
    if (der_len(subject.content) > 0 && check_name(check, &subject) < 0)
        return -1;
    while (der_len(names) > 0) {
        if (take_name(&names, &name) < 0)
            return refuse(check, "the alternative names of a certificate cannot be read");
        if (check_name(check, &name) < 0)
            return -1;
    }
    return 0;
}

int name_constraints_check(struct name_constraints *constraints, const struct certificate_fields *certificate,
                           bool is_last, char reason[NAME_CONSTRAINTS_REASON_MAX])
{
    *reason = '\0';
    if (!is_last && equal_bytes(certificate->issuer, certificate->subject))
        return 0;
    for (size_t i = 0; i < constraints->n; i++) {
        const struct check check = {.of = &constraints->of[i], .constraints = constraints, .reason = reason};
        if (check_names(&check, certificate) < 0)
            return -1;
    }
    return 0;
}

int name_constraints_add(struct name_constraints *constraints, const struct certificate_fields *certificate)
{
    if (der_len(certificate->name_constraints) == 0)
        return 0;
    if (constraints->n == NAME_CONSTRAINTS_CAS_MAX)
        return -1;
    constraints->of[constraints->n++] = certificate->name_constraints;
    return 0;
}
