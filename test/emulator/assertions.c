/*
 * assertions.c - see assertions.h.
 */
#include "test/emulator/assertions.h"

#include <stdarg.h>
#include <stdio.h>

#include "test/emulator/base64.h"
#include "test/emulator/jwt.h"
#include "test/emulator/map.h"
#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"

enum {
    CLOCK_SKEW_S = 0,        /* Entra grants 5 minutes; tests want to see the edge */
    CERTIFICATE_MAX_S = 600, /* longest life of an assertion made with a certificate, as documented */
    MAX_SEEN = 100000,
};

struct assertions {
    struct map issuers; /* issuer -> cJSON array of {kid, pem} */
    struct map seen;    /* jti -> itself */
};

static void delete_json(void *value)
{
    cJSON_Delete(value);
}

struct assertions *assertions_create(void)
{
    return xcalloc(1, sizeof(struct assertions));
}

void assertions_destroy(struct assertions *assertions)
{
    map_finish(&assertions->issuers, delete_json);
    map_finish(&assertions->seen, NULL);
    free(assertions);
}

static const char *string_of(const cJSON *json, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

const char *assertions_put_issuer(struct assertions *assertions, const cJSON *json)
{
    const char *issuer = string_of(json, "issuer");
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(json, "keys");
    const cJSON *key;
    if (issuer == NULL || !cJSON_IsArray(keys))
        return "'issuer' and 'keys' are needed";
    cJSON_ArrayForEach(key, keys)
    {
        if (string_of(key, "kid") == NULL || string_of(key, "pem") == NULL)
            return "a key has no 'kid' or no 'pem'";
    }
    if (cJSON_GetArraySize(keys) == 0)
        cJSON_Delete(map_remove(&assertions->issuers, issuer));
    else
        cJSON_Delete(map_set(&assertions->issuers, issuer, cJSON_Duplicate(keys, 1)));
    return NULL;
}

static bool refuse(struct assertion_fault *fault, unsigned aadsts, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool refuse(struct assertion_fault *fault, unsigned aadsts, const char *format, ...)
{
    va_list args;
    fault->aadsts = aadsts;
    va_start(args, format);
    (void)vsnprintf(fault->text, sizeof(fault->text), format, args);
    va_end(args);
    return false;
}

static bool check_times(const struct jwt *jwt, struct assertion_fault *fault)
{
    double now = (double)unix_now();
    double nbf = jwt_number(jwt, "nbf", 0);
    double exp = jwt_number(jwt, "exp", 0);
    if (exp + CLOCK_SKEW_S > now && nbf - CLOCK_SKEW_S <= now)
        return true;
    return refuse(
        fault, 700024,
        "Client assertion is not within its valid time range. Current time: %.0f, assertion valid from %.0f, expiry time of assertion %.0f.",
        now, nbf, exp);
}

/* ---- certificates ---- */

/* Clients write thumbprints in either alphabet, with and without padding: Entra takes them all. */
static char *in_base64url(const char *text)
{
    size_t len = 0;
    char *bytes = base64_decode(text, &len);
    char *made = bytes != NULL ? base64url_encode(bytes, len) : NULL;
    free(bytes);
    return made;
}

/* The registered certificate that the header names. */
static const char *find_certificate(const struct assertion_subject *subject, const struct jwt *jwt)
{
    bool sha256 = *jwt_header(jwt, "x5t#S256") != '\0';
    char *named = in_base64url(jwt_header(jwt, sha256 ? "x5t#S256" : "x5t"));
    const char *found = NULL;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, subject->certificates)
    {
        const char *pem = cJSON_GetStringValue(entry);
        char *thumbprint = pem != NULL ? certificate_thumbprint(pem, sha256) : NULL;
        if (found == NULL && named != NULL && thumbprint != NULL && strcmp(thumbprint, named) == 0)
            found = pem;
        free(thumbprint);
    }
    free(named);
    return found;
}

static bool check_certificate(struct assertions *assertions, const struct assertion_subject *subject,
                              const struct jwt *jwt, struct assertion_fault *fault)
{
    const char *id = jwt_claim(jwt, "jti");
    const char *pem = find_certificate(subject, jwt);
    if (pem == NULL)
        return refuse(
            fault, 700030,
            "The certificate with identifier used to sign the client assertion is not registered on application '%s'.",
            subject->client_id);
    /* PS256 goes with the new thumbprint; RS256 with either. */
    if (!jwt_verify(jwt, pem, *jwt_header(jwt, "x5t#S256") != '\0' ? "PS256 RS256" : "RS256"))
        return refuse(fault, 700027, "Client assertion failed signature validation.");
    if (strcmp(jwt_claim(jwt, "aud"), subject->token_url) != 0)
        return refuse(fault, 700023, "Client assertion audience claim does not match Realm issuer ('%s').",
                      subject->token_url);
    if (strcmp(jwt_claim(jwt, "sub"), subject->client_id) != 0)
        return refuse(fault, 700021,
                      "Client assertion application identifier doesn't match 'client_id' parameter.");
    if (!check_times(jwt, fault))
        return false;
    double life = jwt_number(jwt, "exp", 0) - jwt_number(jwt, "nbf", jwt_number(jwt, "iat", 0));
    if (life > CERTIFICATE_MAX_S)
        return refuse(fault, 700024, "Client assertion lives for %.0f seconds, longer than allowed.", life);
    if (*id == '\0' || map_get(&assertions->seen, id) != NULL)
        return refuse(fault, 50013, "Assertion is not valid: its 'jti' is missing or was used before.");
    if (assertions->seen.count >= MAX_SEEN)
        map_finish(&assertions->seen, NULL);
    (void)map_set(&assertions->seen, id, assertions);
    return true;
}

/* ---- federation ---- */

static bool verify_by_issuer(const struct assertions *assertions, const struct jwt *jwt)
{
    const cJSON *keys = map_get(&assertions->issuers, jwt_claim(jwt, "iss"));
    const char *kid = jwt_header(jwt, "kid");
    const cJSON *key;
    cJSON_ArrayForEach(key, keys)
    {
        if (strcmp(string_of(key, "kid"), kid) == 0)
            return jwt_verify(jwt, string_of(key, "pem"), "RS256 PS256 ES256");
    }
    return false;
}

static bool equals(const cJSON *credential, const char *name, const char *value)
{
    const char *wanted = string_of(credential, name);
    return wanted != NULL && strcmp(wanted, value) == 0;
}

static bool check_federation(const struct assertions *assertions, const struct assertion_subject *subject,
                             const struct jwt *jwt, struct assertion_fault *fault)
{
    const char *issuer = jwt_claim(jwt, "iss");
    const char *sub = jwt_claim(jwt, "sub");
    const char *audience = jwt_claim(jwt, "aud");
    const cJSON *credential;
    bool issuer_known = false;
    bool subject_known = false;
    bool audience_known = false;

    if (cJSON_GetArraySize(subject->federated) == 0)
        return refuse(
            fault, 70021,
            "No matching federated identity record found for presented assertion. Assertion Issuer: '%s'. Assertion Subject: '%s'. Assertion Audience: '%s'.",
            issuer, sub, audience);
    cJSON_ArrayForEach(credential, subject->federated)
    {
        if (!equals(credential, "issuer", issuer))
            continue;
        issuer_known = true;
        if (!equals(credential, "subject", sub))
            continue;
        subject_known = true;
        audience_known = audience_known || equals(credential, "audience", audience);
    }
    if (!issuer_known)
        return refuse(fault, 700211,
                      "No matching federated identity record found for presented assertion issuer '%s'.",
                      issuer);
    if (!subject_known)
        return refuse(fault, 700213,
                      "No matching federated identity record found for presented assertion subject '%s'.",
                      sub);
    /* Tokens of identity bindings are good through AKS' token proxy only, and nothing else is there. */
    if (!audience_known || (strcmp(audience, BINDING_AUDIENCE) == 0) != subject->token_proxy)
        return refuse(fault, 700212,
                      "No matching federated identity record found for presented assertion audience '%s'.",
                      audience);
    if (!verify_by_issuer(assertions, jwt))
        return refuse(fault, 50013,
                      "Assertion failed signature validation. [Reason - The key was not found.]");
    return check_times(jwt, fault);
}

bool assertions_check(struct assertions *assertions, const struct assertion_subject *subject,
                      const char *assertion, struct assertion_fault *ret_fault)
{
    struct jwt jwt;
    bool good = jwt_parse(&jwt, assertion);
    if (!good)
        (void)refuse(ret_fault, 50027, "JWT token is invalid or malformed.");
    else if (strcmp(jwt_claim(&jwt, "iss"), subject->client_id) == 0 && !subject->token_proxy)
        good = check_certificate(assertions, subject, &jwt, ret_fault);
    else
        good = check_federation(assertions, subject, &jwt, ret_fault);
    jwt_finish(&jwt);
    return good;
}
