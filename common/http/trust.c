/*
 * trust.c - CA bundles for curl's TLS library.
 */
#include "common/http/trust.h"

#include <stdlib.h>

#include "common/crypto/server_certificate.h"

struct bundle;

struct trust {
    struct bundle *bundle;                  /* NULL: left to curl */
    struct server_certificate_check *check; /* NULL until a handshake: most requests have a kept connection */
};

const char *trust_refusal(const struct trust *trust)
{
    bool is_refused = trust != NULL && trust->check != NULL && *trust->check->reason != '\0';
    return is_refused ? trust->check->reason : NULL;
}

/* For the handshake that begins. */
static CURLcode make_check(struct trust *trust)
{
    if (trust->check == NULL)
        trust->check = calloc(1, sizeof(*trust->check));
    return trust->check != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

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

struct bundle {
    struct list link;
    unsigned refs; /* the store's, and one for each struct trust */
    /* Of the source in its present state: path and stamp, or digest. curl keeps connections apart by it. */
    char *name;
    struct ca_chain *chain;
    /* Of a source that is a file alone, as most are: what `name` says, to be compared without writing it. */
    char *file; /* NULL: another source */
    struct stat status;
    uint64_t checked_ms; /* when the file had that status; loop time */
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

static void bundle_release(struct bundle *bundle)
{
    if (bundle == NULL || --bundle->refs > 0)
        return;
    ca_chain_destroy(bundle->chain);
    free(bundle->name);
    free(bundle->file);
    free(bundle);
}

static void forget(struct trust_store *store, struct bundle *bundle)
{
    list_remove(&bundle->link);
    store->n_kept--;
    bundle_release(bundle);
}

void trust_store_destroy(struct trust_store *store)
{
    if (store == NULL)
        return;
    while (!list_empty(&store->kept))
        forget(store, container_of(store->kept.next, struct bundle, link));
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

static int parse_pem(struct bundle *bundle, const void *pem, size_t len, const char *origin,
                     struct error **err)
{
    if (ca_chain_add_pem(bundle->chain, pem, len) < 0)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "no certificate can be read from %s", origin);
    return 0;
}

static int parse(struct bundle *bundle, const struct trust_source *source, struct error **err)
{
    if (source->blob != NULL)
        return parse_pem(bundle, source->blob, source->blob_len, "the CA certificates", err);
    if (source->file != NULL) {
        cleanup_buffer struct buffer text = {0};

        if (file_read(source->file, CA_CHAIN_MAX_BYTES, &text, err) < 0 ||
            parse_pem(bundle, buffer_str(&text), text.len, source->file, err) < 0)
            return error_wrap(err, "CA certificates");
    }
    if (source->directory != NULL)
        ca_chain_add_directory(bundle->chain, source->directory);
    return 0;
}

static bool same_state(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The file in its present state, without its name. */
static struct bundle *find_file(const struct trust_store *store, const char *file, const struct stat *status)
{
    for (struct list *link = store->kept.next; link != &store->kept; link = link->next) {
        struct bundle *bundle = container_of(link, struct bundle, link);

        if (bundle->file != NULL && same_state(&bundle->status, status) && strcmp(bundle->file, file) == 0)
            return bundle;
    }
    return NULL;
}

static struct bundle *find(const struct trust_store *store, const char *name)
{
    for (struct list *link = store->kept.next; link != &store->kept; link = link->next) {
        struct bundle *bundle = container_of(link, struct bundle, link);

        if (strcmp(bundle->name, name) == 0)
            return bundle;
    }
    return NULL;
}

static struct bundle *load(struct trust_store *store, const char *name, const struct trust_source *source,
                           struct error **err)
{
    struct bundle *bundle = calloc(1, sizeof(*bundle));

    if (bundle == NULL) {
        (void)error_no_memory(err, "CA certificates");
        return NULL;
    }
    bundle->refs = 1;
    bundle->name = strdup(name);
    bundle->chain = ca_chain_create();
    if (bundle->name == NULL || bundle->chain == NULL)
        (void)error_no_memory(err, "CA certificates");
    if (bundle->name == NULL || bundle->chain == NULL || parse(bundle, source, err) < 0) {
        bundle_release(bundle);
        return NULL;
    }
    while (store->n_kept >= TRUST_MAX_KEPT)
        forget(store, container_of(store->kept.prev, struct bundle, link));
    list_insert_before(store->kept.next, &bundle->link);
    store->n_kept++;
    return bundle;
}

/* curl has filled in everything else, with an empty chain. The call that makes a connection holds `arg` until
 * the handshake is over; neither chain nor check is used after that. */
static CURLcode on_tls_config(CURL *easy, void *config, void *arg)
{
    struct trust *trust = arg;

    (void)easy;
    if (make_check(trust) != CURLE_OK)
        return CURLE_OUT_OF_MEMORY;
    if (trust->bundle != NULL)
        ca_chain_configure(trust->bundle->chain, config);
    server_certificate_configure(trust->check, config);
    return CURLE_OK;
}

/* The bundle with the name of the source; it is loaded if there is none. */
static struct bundle *find_or_load(struct trust_store *store, const struct trust_source *source,
                                   struct error **err)
{
    cleanup_buffer struct buffer name;

    buffer_init(&name, (size_t)16 * 1024);
    if (name_source(&name, source, err) < 0)
        return NULL;
    struct bundle *bundle = find(store, buffer_str(&name));
    return bundle != NULL ? bundle : load(store, buffer_str(&name), source, err);
}

/* The bundle that was used last, if it is of this file and was found to be up to date in this millisecond. */
static struct bundle *find_checked(const struct trust_store *store, const char *file, uint64_t now_ms)
{
    if (list_empty(&store->kept))
        return NULL;
    struct bundle *last = container_of(store->kept.next, struct bundle, link);
    return last->file != NULL && last->checked_ms == now_ms && strcmp(last->file, file) == 0 ? last : NULL;
}

/* The bundle of the source in its present state. The state of a file is asked for before the file is read. */
static struct bundle *get_bundle(struct trust_store *store, const struct trust_source *source,
                                 uint64_t now_ms, struct error **err)
{
    struct stat status;
    bool may_be_file = source->blob == NULL && source->directory == NULL && source->file != NULL;
    struct bundle *bundle = may_be_file ? find_checked(store, source->file, now_ms) : NULL;
    if (bundle != NULL)
        return bundle;

    bool is_file = may_be_file && stat(source->file, &status) == 0;
    bundle = is_file ? find_file(store, source->file, &status) : NULL;

    if (bundle == NULL)
        bundle = find_or_load(store, source, err);
    if (bundle == NULL)
        return NULL;
    list_remove(&bundle->link);
    list_insert_before(store->kept.next, &bundle->link);
    if (is_file && bundle->file == NULL) {
        bundle->file = strdup(source->file); /* without memory it goes by its name */
        bundle->status = status;
    }
    bundle->checked_ms = now_ms;
    return bundle;
}

static int use_bundle(struct trust_store *store, CURL *easy, const struct trust_source *source,
                      struct trust *trust, uint64_t now_ms, struct error **err)
{
    struct bundle *bundle = get_bundle(store, source, now_ms, err);

    if (bundle == NULL)
        return -1;
    bundle->refs++;
    trust->bundle = bundle;
    /* Of the options by which curl keeps connections and sessions apart, the mbedTLS back end does not use
     * ISSUERCERT: without it a connection made under other CAs would be reused. */
    if (curl_easy_setopt(easy, CURLOPT_CAINFO, NULL) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_ISSUERCERT, bundle->name) != CURLE_OK)
        return error_set(err, GRPC_STATUS_INTERNAL, "this libcurl lacks an option, or memory");
    return 0;
}

#else

#include <openssl/ssl.h>

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

static void bundle_release(struct bundle *bundle)
{
    (void)bundle;
}

static int use_bundle(struct trust_store *store, CURL *easy, const struct trust_source *source,
                      struct trust *trust, uint64_t now_ms, struct error **err)
{
    (void)store;
    (void)trust;
    (void)now_ms;
    return leave_to_curl(easy, source, err);
}

/* OpenSSL has verified the chain, with its name constraints. */
static int check_server(struct trust *trust, X509 *certificate)
{
    unsigned char *der = NULL;
    int len = i2d_X509(certificate, &der);
    if (len < 0)
        return -1;
    int result = server_certificate_check(trust->check, der_span(der, (size_t)len), /* depth= */ 0);
    OPENSSL_free(der);
    return result;
}

static int on_verify(X509_STORE_CTX *chain, void *arg)
{
    struct trust *trust = arg;
    X509 *certificate = X509_STORE_CTX_get0_cert(chain);

    *trust->check = (struct server_certificate_check){0};
    int verified = X509_verify_cert(chain);
    if (verified <= 0 || (certificate != NULL && check_server(trust, certificate) == 0))
        return verified;
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* The call that makes a connection holds `arg` until the handshake is over. OpenSSL wipes what it has
 * decrypted only on request; mbedTLS always does. */
static CURLcode on_tls_config(CURL *easy, void *context, void *arg)
{
    (void)easy;
    (void)SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_cert_verify_callback(context, on_verify, arg);
    return make_check(arg);
}

#endif

void trust_release(struct trust *trust)
{
    if (trust == NULL)
        return;
    bundle_release(trust->bundle);
    free(trust->check);
    free(trust);
}

int trust_apply(struct trust_store *store, CURL *easy, const struct trust_source *source, bool tls_proxy,
                uint64_t now_ms, struct trust **ret_trust, struct error **err)
{
    struct trust *trust = calloc(1, sizeof(*trust));

    *ret_trust = trust;
    if (trust == NULL)
        return error_no_memory(err, "CA certificates");
    if ((tls_proxy ? leave_to_curl(easy, source, err) : use_bundle(store, easy, source, trust, now_ms, err)) <
        0)
        return -1;
    if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_config) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, trust) != CURLE_OK)
        return error_set(err, GRPC_STATUS_INTERNAL, "this libcurl does not expose its TLS configuration");
    return 0;
}
