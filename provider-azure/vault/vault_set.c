/*
 * vault_set.c - the vaults of a mount, and their orders.
 */
#include "provider-azure/vault/vault_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "provider-azure/base/parameter_text.h"

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

static void add_audience(struct vault_set *set, const char *audience)
{
    for (size_t i = 0; i < set->n_audiences; i++) {
        if (strcmp(set->audiences[i], audience) == 0)
            return;
    }
    assert(set->n_audiences < VAULT_AUDIENCES_MAX); /* a cloud has no more */
    set->audiences[set->n_audiences++] = audience;
}

/* Takes over *vault, unless its host is known. */
static int add(struct vault_set *set, struct vault *vault, uint8_t *ret_index, struct error **err)
{
    for (size_t i = 0; i < set->n; i++) {
        if (strcmp(set->at[i].host, vault->host) == 0) {
            vault_finish(vault);
            *ret_index = (uint8_t)i;
            return 0;
        }
    }
    struct vault *grown = set->n < VAULTS_MAX ? reallocarray(set->at, set->n + 1, sizeof(*set->at)) : NULL;
    int result = set->n == VAULTS_MAX ? error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                                                  "a class can name at most %d vaults", VAULTS_MAX)
                 : grown == NULL      ? error_no_memory(err, NULL)
                                      : 0;
    if (grown != NULL)
        set->at = grown;
    if (result < 0) {
        vault_finish(vault);
        return -1;
    }
    *ret_index = (uint8_t)set->n;
    set->at[set->n++] = *vault;
    return 0;
}

static int add_own(struct vault_set *set, const struct vault_texts *texts, const struct cloud *cloud,
                   struct vault_order *order, struct error **err)
{
    struct vault vault;
    int result = is_given(texts->url) ? vault_init_url(&vault, texts->url, cloud, err)
                                      : vault_init(&vault, texts->name, cloud, err);
    *order = (struct vault_order){.n = 1};
    return result < 0 ? -1 : add(set, &vault, &order->at[0], err);
}

static bool is_url(const char *text)
{
    static const char scheme[] = "https://";
    return strncasecmp(text, scheme, sizeof(scheme) - 1) == 0;
}

static int add_fallback(struct vault_set *set, const char *text, const struct cloud *cloud,
                        struct vault_order *order, struct error **err)
{
    struct vault vault;
    uint8_t index = 0;

    if (order->n == VAULT_ORDER_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "at most %d fallback vaults are allowed",
                         FALLBACK_VAULTS_MAX);
    if ((is_url(text) ? vault_init_url(&vault, text, cloud, err) : vault_init(&vault, text, cloud, err)) <
            0 ||
        add(set, &vault, &index, err) < 0)
        return -1;
    if (memchr(order->at, index, order->n) != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "vault %s is given twice", set->at[index].host);
    order->at[order->n++] = index;
    return 0;
}

/* Adds the list to an order that begins with its vault. */
static int add_fallbacks(struct vault_set *set, const char *list, const struct cloud *cloud,
                         struct vault_order *order, struct error **err)
{
    for (const char *rest = list; rest != NULL;) {
        size_t len = strcspn(rest, ",");
        cleanup_free char *entry = strndup(rest, len);
        cleanup_free char *text = entry != NULL ? parameter_text_trim(entry) : NULL;
        if (text == NULL)
            return error_no_memory(err, NULL);
        if (add_fallback(set, text, cloud, order, err) < 0)
            return error_wrap(err, "fallbackKeyvaults");
        rest = rest[len] == ',' ? rest + len + 1 : NULL;
    }
    return 0;
}

int vault_set_add_class(struct vault_set *set, const struct vault_texts *texts, const struct cloud *cloud,
                        struct error **err)
{
    if (!is_given(texts->name) && !is_given(texts->url))
        return is_given(texts->fallbacks)
                   ? error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                               "fallbackKeyvaults of a class needs its keyvaultName or keyvaultURL")
                   : 0;
    struct vault_order order;
    if (add_own(set, texts, cloud, &order, err) < 0 ||
        (is_given(texts->fallbacks) && add_fallbacks(set, texts->fallbacks, cloud, &order, err) < 0))
        return -1;
    set->of_class = order;
    return 0;
}

int vault_set_add_item(struct vault_set *set, const struct vault_texts *texts, const struct cloud *cloud,
                       struct vault_order *ret_order, struct error **err)
{
    struct vault_order order = set->of_class;

    if (is_given(texts->name) || is_given(texts->url)) {
        if (add_own(set, texts, cloud, &order, err) < 0)
            return -1;
    } else if (order.n == 0) {
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "keyvaultName is not provided: neither the class nor the object has one");
    }
    if (is_given(texts->fallbacks)) {
        order = (struct vault_order){.at = {order.at[0]}, .n = 1};
        if (add_fallbacks(set, texts->fallbacks, cloud, &order, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < order.n; i++)
        add_audience(set, set->at[order.at[i]].audience);
    set->is_needed[vault_set_audience(set, order.at[0])] = true;
    *ret_order = order;
    return 0;
}

size_t vault_set_audience(const struct vault_set *set, size_t vault)
{
    size_t i = 0;
    while (i < set->n_audiences && strcmp(set->audiences[i], set->at[vault].audience) != 0)
        i++;
    return i;
}

bool vault_order_has_hsm(const struct vault_set *set, const struct vault_order *order)
{
    for (size_t i = 0; i < order->n; i++) {
        if (set->at[order->at[i]].hsm)
            return true;
    }
    return false;
}

void vault_set_finish(struct vault_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        vault_finish(&set->at[i]);
    free(set->at);
    *set = (struct vault_set){0};
}
