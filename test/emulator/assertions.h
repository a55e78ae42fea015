/*
 * assertions.h - client assertions (RFC 7523) as Entra checks them: signed by a registered certificate of the
 * application, or by an issuer the application trusts (workload identity federation).
 */
#ifndef EMULATOR_ASSERTIONS_H
#define EMULATOR_ASSERTIONS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Issuers with their keys, and the ids of assertions seen so far. */
struct assertions;
struct assertions *assertions_create(void);
void assertions_destroy(struct assertions *assertions);

/* Sets an issuer's keys: {issuer, keys: [{kid, pem}]}; no keys = unknown from then on. NULL, or what is
 * wrong. */
const char *assertions_put_issuer(struct assertions *assertions, const cJSON *json);

/* What an application may prove itself with. Borrowed. */
struct assertion_subject {
    const char *client_id;
    const cJSON *certificates; /* array of PEM; may be NULL */
    const cJSON *federated;    /* array of {issuer, subject, audience}; may be NULL */
    const char *token_url;     /* the audience of an assertion made with a certificate */
    bool token_proxy;          /* it came through AKS' token proxy */
};

#define WORKLOAD_AUDIENCE "api://AzureADTokenExchange"
#define BINDING_AUDIENCE  "api://AKSIdentityBinding"

/* Why an assertion is refused. */
struct assertion_fault {
    unsigned aadsts;
    char text[700];
};

/* True, or false with *ret_fault filled in. */
bool assertions_check(struct assertions *assertions, const struct assertion_subject *subject,
                      const char *assertion, struct assertion_fault *ret_fault);

#endif
