/*
 * vault_set.h - the vaults that one mount reads, each host once, and for each object which of them, in which
 * order.
 *
 * An object belongs to a vault: the one that its item names, or the class's. Fallback vaults take the place
 * of that one, in their order, when it cannot answer (vault_failure.h): the item's, or for objects of the
 * class's vault the class's. Every host is checked as that of the class's vault is (vault.h): all vaults lie
 * in one cloud, and tokens for them do not leave it.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_SET_H
#define PROVIDER_AZURE_VAULT_VAULT_SET_H

#include <stddef.h>
#include <stdint.h>

#include "provider-azure/vault/vault.h"

/* Each vault of a mount costs connections, and each fallback vault of an object time. */
enum { VAULTS_MAX = 32, FALLBACK_VAULTS_MAX = 4, VAULT_ORDER_MAX = 1 + FALLBACK_VAULTS_MAX };
/* Audiences of tokens: Key Vaults have one, Managed HSMs another. */
enum { VAULT_AUDIENCES_MAX = 2 };
/* An index that is none. */
enum { VAULT_NONE = UINT8_MAX };

/* The vaults of one object, as indexes into the set; the first one is its own. Unused places are 0. */
struct vault_order {
    uint8_t at[VAULT_ORDER_MAX];
    uint8_t n;
};

struct vault_set {
    struct vault *at;
    size_t n;
    const char *audiences[VAULT_AUDIENCES_MAX]; /* of all orders; borrowed from the vaults */
    bool is_needed[VAULT_AUDIENCES_MAX];        /* an object's own vault has it, not only fallback vaults */
    size_t n_audiences;
    struct vault_order of_class; /* n is 0: the class names no vault */
};

/* What a class, or an item, says about its vault; "" or NULL where it says nothing. Borrowed. */
struct vault_texts {
    const char *name;      /* keyvaultName */
    const char *url;       /* keyvaultURL; not together with a name */
    const char *fallbacks; /* fallbackKeyvaults: names and URLs, separated by commas */
};

/* Takes the class's vault and its fallback vaults. Without a vault the class may have no fallback vaults.
 * INVALID_ARGUMENT. The caller finishes the set in any case. */
int vault_set_add_class(struct vault_set *set, const struct vault_texts *texts, const struct cloud *cloud,
                        struct error **err);

/* The order for an item. Without a vault of its own it has the class's, and without fallback vaults of its
 * own those of the class. INVALID_ARGUMENT. */
int vault_set_add_item(struct vault_set *set, const struct vault_texts *texts, const struct cloud *cloud,
                       struct vault_order *ret_order, struct error **err);

/* The index of the vault's audience in the set; n_audiences for a vault that is in no order. */
size_t vault_set_audience(const struct vault_set *set, size_t vault);

/* Whether one of them is a Managed HSM. */
bool vault_order_has_hsm(const struct vault_set *set, const struct vault_order *order);

/* Frees the vaults. */
void vault_set_finish(struct vault_set *set);

#endif
