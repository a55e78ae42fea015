/*
 * trust.c - CA bundles for curl's TLS library.
 */
#include "common/http/trust.h"

#include <stdlib.h>

static int leave_to_curl(CURL *easy, const struct trust_source *source, struct error **err)
{
    union {
        const void *in;
        void *out;
    } data = {.in = source->blob}; /* curl's struct is not const-correct */
    struct curl_blob blob = {.data = data.out, .len = source->blob_len, .flags = CURL_BLOB_COPY};
    bool ok = true;

    if (source->blob != NULL)
        ok = curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK;
    /* NULL too is set: compiled-in defaults must not widen what the caller narrowed. */
    ok = curl_easy_setopt(easy, CURLOPT_CAINFO, source->blob == NULL ? source->file : NULL) == CURLE_OK && ok;
    (void)curl_easy_setopt(easy, CURLOPT_CAPATH, source->blob == NULL ? source->directory : NULL);
    return ok ? 0 : error_set(err, GRPC_STATUS_INTERNAL, "this libcurl lacks an option, or memory");
}

#ifdef HTTP_TLS_MBEDTLS

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/list.h"
#include "common/crypto/ca_chain.h"
#include "common/crypto/digest.h"

struct trust {
    struct list link;
    unsigned refs; /* the store's and the calls' */
    /* Of the source in its present state: path and stamp, or digest. curl keeps connections apart by it. */
    char *name;
    struct ca_chain *chain;
};

struct trust_store {
    struct list kept; /* most recently used first */
    unsigned n_kept;
};

struct trust_store *trust_store_create(void)
{
    struct trust_store *store = calloc(1, sizeof(*store));

    if (store != NULL)
        list_init(&store->kept);
    return store;
}

void trust_release(struct trust *trust)
{
    if (trust == NULL || --trust->refs > 0)
        return;
    ca_chain_destroy(trust->chain);
    free(trust->name);
    free(trust);
}

static void forget(struct trust_store *store, struct trust *trust)
{
    list_remove(&trust->link);
    store->n_kept--;
    trust_release(trust);
}

void trust_store_destroy(struct trust_store *store)
{
    if (store == NULL)
        return;
    while (!list_empty(&store->kept))
        forget(store, container_of(store->kept.next, struct trust, link));
    free(store);
}

/* The path, and a stamp that changes with the content: bundles are replaced by renaming, or rewritten. */
static int name_path(struct buffer *name, const char *path, struct error **err)
{
    struct stat status;

    if (stat(path, &status) < 0)
        return error_set_errno(err, GRPC_STATUS_UNAVAILABLE, errno, "CA certificates '%s'", path);
    return buffer_printf(name, err, "%s:%" PRIuMAX ":%" PRIuMAX ":%" PRIdMAX ":%" PRIdMAX ".%09ld;", path,
                         (uintmax_t)status.st_dev, (uintmax_t)status.st_ino, (intmax_t)status.st_size,
                         (intmax_t)status.st_mtim.tv_sec, (long)status.st_mtim.tv_nsec);
}

static int name_source(struct buffer *name, const struct trust_source *source, struct error **err)
{
    char hex[DIGEST_SHA256_HEX_LEN + 1];

    if (buffer_printf(name, err, "/trust/") < 0)
        return -1;
    if (source->blob != NULL) {
        if (digest_sha256_hex(source->blob, source->blob_len, hex) < 0)
            return error_set(err, GRPC_STATUS_INTERNAL, "SHA-256 failed");
        return buffer_printf(name, err, "%s", hex);
    }
    if (source->file != NULL && name_path(name, source->file, err) < 0)
        return -1;
    return source->directory != NULL ? name_path(name, source->directory, err) : 0;
}

static int parse_pem(struct trust *trust, const void *pem, size_t len, const char *origin, struct error **err)
{
    if (ca_chain_add_pem(trust->chain, pem, len) < 0)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "no certificate can be read from %s", origin);
    return 0;
}

static int parse(struct trust *trust, const struct trust_source *source, struct error **err)
{
    if (source->blob != NULL)
        return parse_pem(trust, source->blob, source->blob_len, "the CA certificates", err);
    if (source->file != NULL) {
        cleanup_buffer struct buffer text = {0};

        if (file_read(source->file, CA_CHAIN_MAX_BYTES, &text, err) < 0 ||
            parse_pem(trust, buffer_str(&text), text.len, source->file, err) < 0)
            return error_wrap(err, "CA certificates");
    }
    if (source->directory != NULL)
        ca_chain_add_directory(trust->chain, source->directory);
    return 0;
}

static struct trust *find(struct trust_store *store, const char *name)
{
    for (struct list *link = store->kept.next; link != &store->kept; link = link->next) {
        struct trust *trust = container_of(link, struct trust, link);

        if (strcmp(trust->name, name) == 0) {
            list_remove(&trust->link);
            list_insert_before(store->kept.next, &trust->link);
            return trust;
        }
    }
    return NULL;
}

static struct trust *load(struct trust_store *store, const char *name, const struct trust_source *source,
                          struct error **err)
{
    struct trust *trust = calloc(1, sizeof(*trust));

    if (trust == NULL) {
        (void)error_no_memory(err, "CA certificates");
        return NULL;
    }
    trust->refs = 1;
    trust->name = strdup(name);
    trust->chain = ca_chain_create();
    if (trust->name == NULL || trust->chain == NULL)
        (void)error_no_memory(err, "CA certificates");
    if (trust->name == NULL || trust->chain == NULL || parse(trust, source, err) < 0) {
        trust_release(trust);
        return NULL;
    }
    while (store->n_kept >= TRUST_MAX_KEPT)
        forget(store, container_of(store->kept.prev, struct trust, link));
    list_insert_before(store->kept.next, &trust->link);
    store->n_kept++;
    return trust;
}

/* curl has filled in everything else, with an empty chain. The call that makes a connection holds `arg` until
 * the handshake is over; the chain is not used after that. */
static CURLcode on_tls_config(CURL *easy, void *config, void *arg)
{
    const struct trust *trust = arg;

    (void)easy;
    ca_chain_configure(trust->chain, config);
    return CURLE_OK;
}

int trust_apply(struct trust_store *store, CURL *easy, const struct trust_source *source, bool tls_proxy,
                struct trust **ret_trust, struct error **err)
{
    cleanup_buffer struct buffer name;

    *ret_trust = NULL;
    if (tls_proxy)
        return leave_to_curl(easy, source, err);
    buffer_init(&name, (size_t)16 * 1024);
    if (name_source(&name, source, err) < 0)
        return -1;
    struct trust *trust = find(store, buffer_str(&name));
    if (trust == NULL)
        trust = load(store, buffer_str(&name), source, err);
    if (trust == NULL)
        return -1;
    /* Of the options by which curl keeps connections and sessions apart, the mbedTLS back end does not use
     * ISSUERCERT: without it a connection made under other CAs would be reused. */
    if (curl_easy_setopt(easy, CURLOPT_CAINFO, NULL) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_ISSUERCERT, trust->name) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_config) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, trust) != CURLE_OK)
        return error_set(err, GRPC_STATUS_INTERNAL, "this libcurl does not expose its TLS configuration");
    trust->refs++;
    *ret_trust = trust;
    return 0;
}

#else

struct trust_store {
    char unused;
};

struct trust_store *trust_store_create(void)
{
    return calloc(1, sizeof(struct trust_store));
}

void trust_store_destroy(struct trust_store *store)
{
    free(store);
}

void trust_release(struct trust *trust)
{
    (void)trust;
}

int trust_apply(struct trust_store *store, CURL *easy, const struct trust_source *source, bool tls_proxy,
                struct trust **ret_trust, struct error **err)
{
    (void)store;
    (void)tls_proxy;
    *ret_trust = NULL;
    return leave_to_curl(easy, source, err);
}

#endif
