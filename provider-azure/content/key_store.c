/*
 * key_store.c - PKCS#12 files made out of other files.
 */
#include "provider-azure/content/key_store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/crypto/certificate_chain.h"
#include "common/crypto/certificate_fields.h"
#include "common/crypto/encoding.h"
#include "common/crypto/pem.h"
#include "common/crypto/pkcs12_write.h"
#include "provider-azure/crypto/pkcs8.h"

/* A file that certificates are taken from. */
struct source {
    char *name; /* friendlyName of what is in it */
    struct secret *bytes;
};

struct key_store_recipe {
    bool trust; /* trusted certificates; otherwise a key from the only source */
    enum pkcs12_profile profile;
    struct secret *password;
    struct secret *source_password; /* that opens the source; empty: none */
    struct source *sources;
    size_t n;
};

static int refused(const char *what, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "%s", what);
}

/* --- the recipe --- */

/* *ret is NULL when it is that of an optional object that is not there. */
static int read_reference(const struct reference *reference, const struct compose_source *sources, size_t n,
                          struct secret **ret, struct error **err)
{
    cleanup_buffer struct buffer value = {.ceiling = COMPOSED_MAX};
    bool absent = false;
    *ret = NULL;
    if (compose_resolve(reference, sources, n, &value, &absent, err) < 0)
        return -1;
    if (absent)
        return 0;
    *ret = secret_from_bytes(value.data, value.len);
    return *ret == NULL ? error_no_memory(err, NULL) : 0;
}

static int read_needed(const char *field, const struct reference *reference,
                       const struct compose_source *sources, size_t n, struct secret **ret,
                       struct error **err)
{
    if (read_reference(reference, sources, n, ret, err) < 0)
        return error_wrap(err, "%s", field);
    if (*ret == NULL)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "%s: '%.128s' is an optional object that the vault does not have", field,
                         reference->name);
    return 0;
}

/* A source that is not there is left out. */
static int add_source(const char *name, const struct reference *reference,
                      const struct compose_source *sources, size_t n, struct key_store_recipe *recipe,
                      struct error **err)
{
    struct source *source = &recipe->sources[recipe->n];
    if (read_reference(reference, sources, n, &source->bytes, err) < 0)
        return error_wrap(err, "key '%.128s'", name);
    if (source->bytes == NULL)
        return 0;
    recipe->n++;
    source->name = strdup(name);
    return source->name == NULL ? error_no_memory(err, NULL) : 0;
}

static int fill_trust_store(const struct composed_item *item, const struct compose_source *sources, size_t n,
                            struct key_store_recipe *recipe, struct error **err)
{
    for (size_t i = 0; i < item->n_entries; i++)
        if (add_source(item->entries[i].key, &item->entries[i].reference, sources, n, recipe, err) < 0)
            return -1;
    return recipe->n > 0 ? 0 : refused("there is no certificate: all items are optional and not there", err);
}

static int fill_key_store(const struct composed_item *item, const struct compose_source *sources, size_t n,
                          struct key_store_recipe *recipe, struct error **err)
{
    const struct composed_pkcs12 *fields = &item->pkcs12;
    const char *name = *fields->friendly_name != '\0' ? fields->friendly_name : fields->certificate.name;
    if (read_needed("certificate", &fields->certificate, sources, n, &recipe->sources[0].bytes, err) < 0)
        return -1;
    recipe->n = 1;
    recipe->sources[0].name = strdup(name);
    if (recipe->sources[0].name == NULL)
        return error_no_memory(err, NULL);
    if (fields->certificate_password.name == NULL)
        return 0;
    return read_needed("certificatePassword", &fields->certificate_password, sources, n,
                       &recipe->source_password, err);
}

struct key_store_recipe *key_store_prepare(const struct composed_item *item,
                                           const struct compose_source *sources, size_t n, struct error **err)
{
    struct key_store_recipe *recipe = calloc(1, sizeof(*recipe));
    if (recipe != NULL)
        recipe->sources = calloc(item->n_entries + 1, sizeof(*recipe->sources));
    if (recipe == NULL || recipe->sources == NULL) {
        key_store_recipe_free(recipe);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    recipe->trust = item->format == COMPOSED_TRUST_STORE;
    recipe->profile = item->pkcs12.legacy ? PKCS12_LEGACY : PKCS12_MODERN;
    if (read_needed("password", &item->pkcs12.password, sources, n, &recipe->password, err) < 0 ||
        (recipe->trust ? fill_trust_store(item, sources, n, recipe, err)
                       : fill_key_store(item, sources, n, recipe, err)) < 0) {
        key_store_recipe_free(recipe);
        return NULL;
    }
    return recipe;
}

void key_store_recipe_free(struct key_store_recipe *recipe)
{
    if (recipe == NULL)
        return;
    for (size_t i = 0; recipe->sources != NULL && i < recipe->n; i++) {
        free(recipe->sources[i].name);
        secret_destroy(recipe->sources[i].bytes);
    }
    free(recipe->sources);
    secret_destroy(recipe->password);
    secret_destroy(recipe->source_password);
    free(recipe);
}

static struct digest_field field_of(const struct secret *secret)
{
    return (struct digest_field){secret != NULL ? secret_bytes(secret) : NULL,
                                 secret != NULL ? secret_len(secret) : 0};
}

void key_store_digest(const struct key_store_recipe *recipe, const uint8_t principal[DIGEST_SHA256_LEN],
                      uint8_t ret[DIGEST_SHA256_LEN])
{
    const uint8_t kind[] = {'p', '1', '2', recipe->trust, (uint8_t)recipe->profile};
    const struct digest_field whole[] = {{principal, DIGEST_SHA256_LEN},
                                         {kind, sizeof(kind)},
                                         field_of(recipe->password),
                                         field_of(recipe->source_password)};
    digest_fields(whole, ARRAY_SIZE(whole), ret);
    for (size_t i = 0; i < recipe->n; i++) {
        const struct digest_field fields[] = {{ret, DIGEST_SHA256_LEN},
                                              {recipe->sources[i].name, strlen(recipe->sources[i].name)},
                                              field_of(recipe->sources[i].bytes)};
        digest_fields(fields, ARRAY_SIZE(fields), ret);
    }
}

/* --- reading a source --- */

static bool has_label(const struct pem_block *block, const char *label)
{
    return block->label_len == strlen(label) && memcmp(block->label, label, block->label_len) == 0;
}

/* Sources that are read. */
struct reading {
    const struct secret *password; /* may be NULL */
    bool without_keys;
    uint64_t cost_now; /* of a run; UINT64_MAX: no limit */
    const atomic_bool *stop;
    struct pkcs12 found; /* with the cost of all */
    bool later;          /* as pkcs12_run has it */
    uint64_t later_cost;
};

static void reading_finish(struct reading *reading)
{
    pkcs12_finish(&reading->found);
}
#define cleanup_reading CLEANUP(reading_finish)

static const char *password_text(const struct reading *reading)
{
    return reading->password != NULL ? (const char *)secret_bytes(reading->password) : "";
}

static size_t password_len(const struct reading *reading)
{
    return reading->password != NULL ? secret_len(reading->password) : 0;
}

/* What one derivation more may cost. All sources together may cost as much as one file, and what the last one
 * costs on top. */
static int begin_run(const struct reading *reading, struct pkcs12_run *ret, struct error **err)
{
    uint64_t used = reading->found.cost;
    *ret = (struct pkcs12_run){.cost_now = used < reading->cost_now ? reading->cost_now - used : 0,
                               .stop = reading->stop};
    return used <= PKCS12_COST_MAX ? 0 : refused("the sources need too many iterations together", err);
}

static void end_run(struct reading *reading, const struct pkcs12_run *run)
{
    if (!run->later)
        return;
    reading->later = true;
    reading->later_cost = reading->found.cost + run->cost;
}

/* Adds a certificate or a private key, which is taken over. */
static int add_part(struct secret **parts, size_t *n, struct secret *part, struct error **err)
{
    cleanup_secret struct secret *taken = part;
    if (taken == NULL)
        return -1;
    if (*n == PKCS12_ITEMS_MAX)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "more than %d certificates or keys",
                         PKCS12_ITEMS_MAX);
    parts[(*n)++] = steal_ptr(&taken);
    return 0;
}

static struct secret *decrypt_key(struct der der, struct reading *reading, struct error **err)
{
    struct pkcs12_run run;
    if (begin_run(reading, &run, err) < 0)
        return NULL;
    struct secret *key =
        pkcs8_decrypt(der.at, der_len(der), password_text(reading), password_len(reading), &run, err);
    end_run(reading, &run);
    reading->found.cost += run.cost;
    if (key == NULL && reading->password == NULL && !run.later)
        (void)error_hint(err, "the private key is encrypted, and the item has no certificatePassword");
    return key;
}

static int add_block(const struct pem_block *block, struct reading *reading, struct error **err)
{
    struct pkcs12 *found = &reading->found;
    bool certificate = has_label(block, "CERTIFICATE"), encrypted = has_label(block, "ENCRYPTED PRIVATE KEY"),
         key = encrypted || has_label(block, "PRIVATE KEY") || has_label(block, "RSA PRIVATE KEY") ||
               has_label(block, "EC PRIVATE KEY");
    if (!certificate && (!key || reading->without_keys))
        return 0;
    cleanup_secret struct secret *der = pem_decode(block->body, block->body_len, err);
    if (der == NULL && memmem(block->body, block->body_len, "Proc-Type", strlen("Proc-Type")) != NULL)
        return error_hint(
            err, "the private key is encrypted in OpenSSL's old format: openssl pkcs8 -topk8 converts it");
    if (der == NULL)
        return error_wrap(err, "a block of the PEM cannot be read");
    struct der span = der_span(secret_bytes(der), secret_len(der));
    if (certificate)
        return add_part(found->certificates, &found->n_certificates, steal_ptr(&der), err);
    return add_part(found->keys, &found->n_keys,
                    encrypted ? decrypt_key(span, reading, err) : pkcs8_from_key(span, err), err);
}

static int read_pem(const struct secret *text, struct reading *reading, struct error **err)
{
    const char *at = (const char *)secret_bytes(text), *end = at + secret_len(text);
    struct pem_block block;
    while (pem_next(&at, end, &block))
        if (add_block(&block, reading, err) < 0)
            return -1;
    return 0;
}

/* Moves what was read behind what is there. */
static int take_all(struct pkcs12 *from, struct pkcs12 *to, struct error **err)
{
    for (size_t i = 0; i < from->n_keys; i++)
        if (add_part(to->keys, &to->n_keys, steal_ptr(&from->keys[i]), err) < 0)
            return -1;
    for (size_t i = 0; i < from->n_certificates; i++)
        if (add_part(to->certificates, &to->n_certificates, steal_ptr(&from->certificates[i]), err) < 0)
            return -1;
    return 0;
}

static int read_pfx(const struct secret *der, struct reading *reading, struct error **err)
{
    cleanup_pkcs12 struct pkcs12 found = {0};
    struct pkcs12_run run;
    if (begin_run(reading, &run, err) < 0)
        return -1;
    int result = pkcs12_read_with_password(secret_bytes(der), secret_len(der), password_text(reading),
                                           password_len(reading), &run, &found, err);
    end_run(reading, &run);
    reading->found.cost += found.cost;
    return result < 0 ? -1 : take_all(&found, &reading->found, err);
}

/* A certificate, as authorities hand it out (.cer, .der), begins with another sequence, and PKCS#12 with a
 * number. */
static bool is_certificate(const struct secret *der)
{
    struct der whole = der_span(secret_bytes(der), secret_len(der)), body;
    return der_take(&whole, DER_SEQUENCE, &body) == 0 && der_len(whole) == 0 && der_is(body, DER_SEQUENCE);
}

static int read_binary(const struct secret *der, struct reading *reading, struct error **err)
{
    if (!is_certificate(der))
        return read_pfx(der, reading, err);
    return add_part(reading->found.certificates, &reading->found.n_certificates,
                    secret_from_bytes(secret_bytes(der), secret_len(der)), err);
}

static bool is_binary(const uint8_t *bytes, size_t len)
{
    return len > 0 && (bytes[0] == DER_SEQUENCE || pkcs12_is_java_store(bytes, len));
}

static int read_source(const struct source *source, struct reading *reading, struct error **err)
{
    static const char begin[] = "-----BEGIN ";
    const uint8_t *bytes = secret_bytes(source->bytes);
    size_t len = secret_len(source->bytes);
    if (len > 0 && memmem(bytes, len, begin, sizeof(begin) - 1) != NULL)
        return read_pem(source->bytes, reading, err);
    if (is_binary(bytes, len))
        return read_binary(source->bytes, reading, err);
    cleanup_secret struct secret *der = base64_decode((const char *)bytes, len, /* err= */ NULL);
    if (der != NULL && is_binary(secret_bytes(der), secret_len(der)))
        return read_binary(der, reading, err);
    (void)refused("it is neither PEM nor PKCS#12", err);
    if (der != NULL && secret_len(der) > 0 &&
        memmem(secret_bytes(der), secret_len(der), begin, sizeof(begin) - 1) != NULL)
        return error_hint(err, "it is base64 of PEM: objectEncoding: base64");
    return -1;
}

/* --- what is written --- */

static struct der span_of(const struct secret *secret)
{
    return der_span(secret_bytes(secret), secret_len(secret));
}

/* A key and its chain: `certificates` has space for all. */
static int collect_key_store(const struct key_store_recipe *recipe, struct pkcs12 *read,
                             struct pkcs12_certificate *certificates, struct pkcs12_contents *ret,
                             struct error **err)
{
    const char *name = recipe->sources[0].name;
    if (read->n_keys == 0)
        return refused("it has no private key", err);
    if (read->n_certificates == 0)
        return refused("it has no certificate", err);
    enum certificate_chain chain = certificate_chain_order_pfx(read);
    if (chain == CERTIFICATE_CHAIN_OTHER_KEY)
        return refused("no certificate belongs to the private key", err);
    if (chain == CERTIFICATE_CHAIN_UNREADABLE)
        return refused("a certificate in it cannot be read", err);
    for (size_t i = 0; i < read->n_certificates; i++)
        certificates[i] =
            (struct pkcs12_certificate){.der = span_of(read->certificates[i]), .name = i == 0 ? name : NULL};
    *ret = (struct pkcs12_contents){.key = span_of(read->keys[0]),
                                    .key_name = name,
                                    .certificates = certificates,
                                    .n = read->n_certificates};
    return 0;
}

/* Names of trusted certificates, freed by the last one. */
struct aliases {
    char *list[PKCS12_ITEMS_MAX];
    size_t n;
};

static void aliases_finish(struct aliases *aliases)
{
    for (size_t i = 0; i < aliases->n; i++)
        free(aliases->list[i]);
}
#define cleanup_aliases CLEANUP(aliases_finish)

/* "name", "name-2", ... Java compares them without regard to case. */
static int add_alias(struct aliases *aliases, const char *name, size_t number, struct error **err)
{
    char *alias = NULL;
    if ((number == 1 ? asprintf(&alias, "%s", name) : asprintf(&alias, "%s-%zu", name, number)) < 0)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < aliases->n; i++) {
        if (strcasecmp(aliases->list[i], alias) != 0)
            continue;
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "two certificates have the name '%.128s' in the trust store", alias);
        free(alias);
        return -1;
    }
    aliases->list[aliases->n++] = alias;
    return 0;
}

/* The certificates of `read` from number `first` on come from `source`. */
static int name_certificates(const struct source *source, const struct pkcs12 *read, size_t first,
                             struct aliases *aliases, struct error **err)
{
    struct certificate_fields fields;
    if (read->n_certificates == first)
        return refused("it has no certificate", err);
    for (size_t i = first; i < read->n_certificates; i++) {
        if (certificate_fields_read(span_of(read->certificates[i]), &fields) < 0)
            return refused("a certificate in it cannot be read", err);
        if (add_alias(aliases, source->name, i - first + 1, err) < 0)
            return -1;
    }
    return 0;
}

static int read_sources(const struct key_store_recipe *recipe, struct reading *reading,
                        struct aliases *aliases, struct error **err)
{
    for (size_t i = 0; i < recipe->n; i++) {
        size_t first = reading->found.n_certificates;
        if (read_source(&recipe->sources[i], reading, err) < 0 ||
            (recipe->trust &&
             name_certificates(&recipe->sources[i], &reading->found, first, aliases, err) < 0))
            return error_wrap(err, "'%.128s'", recipe->sources[i].name);
    }
    return 0;
}

static struct secret *make_file(const struct key_store_recipe *recipe, struct reading *reading,
                                struct error **err)
{
    static const uint8_t no_key[1];
    cleanup_aliases struct aliases aliases = {.n = 0};
    struct pkcs12_certificate certificates[PKCS12_ITEMS_MAX];
    struct pkcs12 *found = &reading->found;
    struct pkcs12_contents contents = {.key = der_span(no_key, 0), .certificates = certificates};

    if (read_sources(recipe, reading, &aliases, err) < 0)
        return NULL;
    for (size_t i = 0; recipe->trust && i < found->n_certificates; i++)
        certificates[i] =
            (struct pkcs12_certificate){.der = span_of(found->certificates[i]), .name = aliases.list[i]};
    contents.n = found->n_certificates;
    if (!recipe->trust && collect_key_store(recipe, found, certificates, &contents, err) < 0) {
        (void)error_wrap(err, "'%.128s'", recipe->sources[0].name);
        return NULL;
    }
    return pkcs12_write(&contents, recipe->profile, (const char *)secret_bytes(recipe->password),
                        secret_len(recipe->password), reading->stop, err);
}

static uint64_t write_cost(const struct key_store_recipe *recipe)
{
    static const uint8_t some_key[1];
    const struct pkcs12_contents contents = {.key = der_span(some_key, recipe->trust ? 0 : 1)};
    return pkcs12_write_cost(&contents, recipe->profile);
}

/* Not in this run. */
static void put_off(struct pkcs12_run *run, uint64_t cost)
{
    run->later = true;
    run->cost = cost;
}

struct pem_conversion *key_store_make(const struct key_store_recipe *recipe, struct pkcs12_run *run)
{
    struct pem_conversion *made = pem_conversion_create();
    uint64_t cost = write_cost(recipe);

    if (made == NULL)
        return NULL;
    if (run != NULL && run->cost_now < cost) {
        put_off(run, cost);
        return made;
    }
    cleanup_reading struct reading reading = {.password = recipe->source_password,
                                              .without_keys = recipe->trust,
                                              .cost_now = run != NULL ? run->cost_now - cost : UINT64_MAX,
                                              .stop = run != NULL ? run->stop : NULL};
    cleanup_secret struct secret *file = make_file(recipe, &reading, &made->error);
    made->cost = reading.found.cost + cost;
    if (run != NULL && reading.later)
        put_off(run, reading.later_cost + cost);
    if (file != NULL)
        (void)buffer_append(&made->text, secret_bytes(file), secret_len(file), &made->error);
    return made;
}
