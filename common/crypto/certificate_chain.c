/*
 * certificate_chain.c - leaf first, then issuer after issuer.
 */
#include "common/crypto/certificate_chain.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "common/crypto/certificate_fields.h"
#include "common/crypto/key_match.h"

enum { NONE = CERTIFICATE_CHAIN_MAX, BUSY = CERTIFICATE_CHAIN_MAX + 1 };

/* How sure it is that one certificate issued another. */
enum issued {
    ISSUED_NOT,
    ISSUED_BY_KEY_ID, /* the name differs, perhaps only in its encoding */
    ISSUED_BY_NAME,   /* one of the two has no key identifier */
    ISSUED,
};

struct graph {
    const struct chain_part *parts;
    struct certificate_fields fields[CERTIFICATE_CHAIN_MAX];
    bool readable[CERTIFICATE_CHAIN_MAX];
    bool used[CERTIFICATE_CHAIN_MAX];       /* is in the chain */
    unsigned height[CERTIFICATE_CHAIN_MAX]; /* certificates from here upwards; 0: not known yet */
    size_t n;
    size_t leaf;
};

static bool same(struct der a, struct der b)
{
    return der_len(a) == der_len(b) && memcmp(a.at, b.at, der_len(a)) == 0;
}

static bool both(struct der a, struct der b)
{
    return der_len(a) > 0 && der_len(b) > 0;
}

static enum issued issued(const struct certificate_fields *issuer, const struct certificate_fields *subject)
{
    bool name = der_len(subject->issuer) > 0 && same(issuer->subject, subject->issuer);
    bool ids = both(issuer->subject_key_id, subject->authority_key_id);
    if (ids && !same(issuer->subject_key_id, subject->authority_key_id))
        return ISSUED_NOT;
    if (der_len(subject->authority_serial) > 0 && !same(issuer->serial, subject->authority_serial))
        return ISSUED_NOT;
    if (!name)
        return ids ? ISSUED_BY_KEY_ID : ISSUED_NOT;
    return ids ? ISSUED : ISSUED_BY_NAME;
}

static enum issued edge(const struct graph *graph, size_t issuer, size_t subject)
{
    if (issuer == subject || !graph->readable[issuer] || !graph->readable[subject])
        return ISSUED_NOT;
    return issued(&graph->fields[issuer], &graph->fields[subject]);
}

static bool is_self_signed(const struct graph *graph, size_t i)
{
    return issued(&graph->fields[i], &graph->fields[i]) >= ISSUED_BY_NAME;
}

/* Recursion ends: a certificate that is in progress counts as nothing. */
static unsigned height(struct graph *graph, size_t i)
{
    if (graph->height[i] != 0)
        return graph->height[i] == BUSY ? 0 : graph->height[i];
    graph->height[i] = BUSY;
    unsigned above = 0;
    for (size_t j = 0; j < graph->n && !is_self_signed(graph, i); j++) {
        unsigned through = edge(graph, j, i) != ISSUED_NOT ? height(graph, j) : 0;
        above = through > above ? through : above;
    }
    graph->height[i] = above + 1;
    return graph->height[i];
}

/* Comparisons: above 0 when a is better. */
static int by_number(unsigned a, unsigned b)
{
    return (a > b) - (a < b);
}

/* --- issuers --- */

/* True when there is a time at which both are valid; also when that is not known. */
static bool valid_with_leaf(const struct graph *graph, size_t i)
{
    const struct certificate_fields *leaf = &graph->fields[graph->leaf], *issuer = &graph->fields[i];
    if (*leaf->not_after == '\0' || *issuer->not_after == '\0')
        return true;
    return strcmp(issuer->not_before, leaf->not_after) <= 0 &&
           strcmp(leaf->not_before, issuer->not_after) <= 0;
}

static int compare_issuers(struct graph *graph, size_t subject, size_t a, size_t b)
{
    int order = by_number(edge(graph, a, subject), edge(graph, b, subject));
    if (order == 0)
        order = by_number(valid_with_leaf(graph, a), valid_with_leaf(graph, b));
    if (order == 0)
        order = by_number(height(graph, a), height(graph, b));
    if (order == 0)
        order = by_number(is_self_signed(graph, b), is_self_signed(graph, a));
    return order != 0 ? order : strcmp(graph->fields[a].not_after, graph->fields[b].not_after);
}

static size_t find_issuer(struct graph *graph, size_t subject)
{
    size_t best = NONE;
    if (!graph->readable[subject] || is_self_signed(graph, subject))
        return NONE;
    for (size_t i = 0; i < graph->n; i++) {
        if (graph->used[i] || edge(graph, i, subject) == ISSUED_NOT)
            continue;
        if (best == NONE || compare_issuers(graph, subject, i, best) > 0)
            best = i;
    }
    return best;
}

/* --- the leaf --- */

static bool issued_any(const struct graph *graph, size_t issuer)
{
    for (size_t i = 0; i < graph->n; i++) {
        if (edge(graph, issuer, i) != ISSUED_NOT)
            return true;
    }
    return false;
}

/* Without a key. */
static int compare_leaves(struct graph *graph, size_t a, size_t b)
{
    int order = by_number(issued_any(graph, b), issued_any(graph, a));
    if (order == 0)
        order = by_number(graph->fields[b].is_ca, graph->fields[a].is_ca);
    return order != 0 ? order : by_number(height(graph, a), height(graph, b));
}

/* Certificates that match the key equally well. */
static int compare_of_key(struct graph *graph, const struct chain_part *key, size_t a, size_t b)
{
    int order = 0;
    if (der_len(key->local_key_id) > 0)
        order = by_number(same(graph->parts[a].local_key_id, key->local_key_id),
                          same(graph->parts[b].local_key_id, key->local_key_id));
    if (order == 0)
        order = by_number(graph->fields[b].is_ca, graph->fields[a].is_ca);
    if (order == 0)
        order = by_number(issued_any(graph, b), issued_any(graph, a));
    return order != 0 ? order : strcmp(graph->fields[a].not_after, graph->fields[b].not_after);
}

static size_t find_leaf_of_key(struct graph *graph, const struct chain_part *key)
{
    struct key_public public;
    enum key_match best_match = KEY_MATCH_NO;
    size_t best = NONE;

    key_public_read(key->der, &public);
    for (size_t i = 0; i < graph->n; i++) {
        enum key_match match =
            graph->readable[i] ? key_public_match(&public, graph->fields[i].spki) : KEY_MATCH_NO;
        if (match == KEY_MATCH_NO || match < best_match)
            continue;
        if (match > best_match || compare_of_key(graph, key, i, best) > 0) {
            best_match = match;
            best = i;
        }
    }
    return best;
}

static size_t find_leaf(struct graph *graph)
{
    size_t best = NONE;
    for (size_t i = 0; i < graph->n; i++) {
        if (graph->readable[i] && (best == NONE || compare_leaves(graph, i, best) > 0))
            best = i;
    }
    return best;
}

/* --- the order --- */

/* Takes all certificates into the graph. False when one is not readable. */
static bool build(struct graph *graph, const struct chain_part *certificates, size_t n)
{
    bool all = true;
    *graph = (struct graph){.parts = certificates, .n = n, .leaf = NONE};
    for (size_t i = 0; i < n; i++) {
        graph->readable[i] = certificate_fields_read(certificates[i].der, &graph->fields[i]) == 0;
        all = all && graph->readable[i];
    }
    return all;
}

/* True when all that are not in the chain issued one of it, as a second root did. */
static bool others_are_issuers(const struct graph *graph)
{
    for (size_t i = 0; i < graph->n; i++) {
        bool found = graph->used[i];
        for (size_t j = 0; j < graph->n && !found; j++)
            found = graph->used[j] && edge(graph, i, j) != ISSUED_NOT;
        if (!found)
            return false;
    }
    return true;
}

static void walk(struct graph *graph, size_t *ret_order)
{
    size_t n = 0;
    for (size_t at = graph->leaf; at != NONE; at = find_issuer(graph, at)) {
        graph->used[at] = true;
        ret_order[n++] = at;
    }
    for (size_t i = 0; i < graph->n; i++) {
        if (!graph->used[i])
            ret_order[n++] = i;
    }
}

enum certificate_chain certificate_chain_order(const struct chain_part *certificates, size_t n,
                                               const struct chain_part *key, size_t *ret_order)
{
    struct graph graph;
    assert(n <= CERTIFICATE_CHAIN_MAX);
    bool readable = build(&graph, certificates, n);
    bool has_key = der_len(key->der) > 0;

    if (has_key)
        graph.leaf = find_leaf_of_key(&graph, key);
    bool belongs = !has_key || graph.leaf != NONE || n == 0;
    if (graph.leaf == NONE)
        graph.leaf = find_leaf(&graph);
    walk(&graph, ret_order);
    if (!readable)
        return CERTIFICATE_CHAIN_UNREADABLE;
    if (!belongs)
        return CERTIFICATE_CHAIN_OTHER_KEY;
    return others_are_issuers(&graph) ? CERTIFICATE_CHAIN_ORDERED : CERTIFICATE_CHAIN_INCOMPLETE;
}

/* --- PKCS#12 --- */

static void drop_repeated(struct pkcs12 *pfx)
{
    size_t kept = 0;
    for (size_t i = 0; i < pfx->n_certificates; i++) {
        bool repeated = false;
        for (size_t j = 0; j < kept && !repeated; j++)
            repeated = secret_equal(pfx->certificates[i], pfx->certificates[j]);
        if (repeated) {
            secret_destroy(pfx->certificates[i]);
            continue;
        }
        pfx->certificate_ids[kept] = pfx->certificate_ids[i];
        pfx->certificates[kept++] = pfx->certificates[i];
    }
    pfx->n_certificates = kept;
}

static struct chain_part part_of(const struct secret *der, const struct pkcs12_key_id *id)
{
    return (struct chain_part){
        .der = der_span(secret_bytes(der), secret_len(der)),
        .local_key_id = der_span(id->bytes, id->len),
    };
}

static void apply_order(struct pkcs12 *pfx, const size_t *order)
{
    struct secret *certificates[CERTIFICATE_CHAIN_MAX];
    struct pkcs12_key_id ids[CERTIFICATE_CHAIN_MAX];
    memcpy(certificates, pfx->certificates, sizeof(certificates));
    memcpy(ids, pfx->certificate_ids, sizeof(ids));
    for (size_t i = 0; i < pfx->n_certificates; i++) {
        pfx->certificates[i] = certificates[order[i]];
        pfx->certificate_ids[i] = ids[order[i]];
    }
}

static void key_to_front(struct pkcs12 *pfx, size_t i)
{
    struct secret *key = pfx->keys[i];
    struct pkcs12_key_id id = pfx->key_ids[i];
    memmove(pfx->keys + 1, pfx->keys, i * sizeof(pfx->keys[0]));
    memmove(pfx->key_ids + 1, pfx->key_ids, i * sizeof(pfx->key_ids[0]));
    pfx->keys[0] = key;
    pfx->key_ids[0] = id;
}

enum certificate_chain certificate_chain_order_pfx(struct pkcs12 *pfx)
{
    struct chain_part certificates[CERTIFICATE_CHAIN_MAX];
    struct chain_part key = {.der = der_span((const uint8_t *)"", 0)};
    size_t order[CERTIFICATE_CHAIN_MAX] = {0};

    drop_repeated(pfx);
    size_t n = pfx->n_certificates;
    for (size_t i = 0; i < n; i++)
        certificates[i] = part_of(pfx->certificates[i], &pfx->certificate_ids[i]);
    enum certificate_chain outcome = CERTIFICATE_CHAIN_OTHER_KEY;
    for (size_t i = 0; i < pfx->n_keys && outcome == CERTIFICATE_CHAIN_OTHER_KEY; i++) {
        key = part_of(pfx->keys[i], &pfx->key_ids[i]);
        outcome = certificate_chain_order(certificates, n, &key, order);
        if (outcome != CERTIFICATE_CHAIN_OTHER_KEY)
            key_to_front(pfx, i);
    }
    if (pfx->n_keys == 0)
        outcome = certificate_chain_order(certificates, n, &key, order);
    apply_order(pfx, order);
    return outcome;
}
