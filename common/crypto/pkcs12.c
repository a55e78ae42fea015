/*
 * pkcs12.c - reading a PFX. Section numbers are RFC 7292's.
 */
#include "common/crypto/pkcs12.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/crypto/ber.h"
#include "common/crypto/der.h"
#include "common/crypto/pkcs12_cost.h"
#include "common/crypto/pkcs12_crypt.h"
#include "common/crypto/pkcs12_kdf.h"

enum { NESTING_MAX = 4, DER_HEADER_MAX = 1 + 1 + sizeof(size_t) };

struct reader {
    struct pkcs12 *out;
    struct pkcs12_work work;
    size_t n_items;              /* content items and bags so far */
    struct pkcs12_key_id key_id; /* of the bag that is read */
};

static int damaged(const char *part, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: damaged %s", part);
}

static int count_item(struct reader *reader, struct error **err)
{
    if (++reader->n_items > PKCS12_ITEMS_MAX)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: more than %d items",
                         PKCS12_ITEMS_MAX);
    return 0;
}

/* The text in DER: itself, or what *ret_made holds. */
static int as_der(struct der ber, struct der *ret_der, struct secret **ret_made, struct error **err)
{
    if (ber_to_der(ber, ret_made, err) < 0)
        return -1;
    *ret_der = *ret_made != NULL ? der_span(secret_bytes(*ret_made), secret_len(*ret_made)) : ber;
    return 0;
}

/* --- results --- */

static int add_certificate(struct reader *reader, struct der der, struct error **err)
{
    struct secret *copy = secret_from_bytes(der.at, der_len(der));
    if (copy == NULL)
        return error_no_memory(err, "PKCS#12");
    reader->out->certificate_ids[reader->out->n_certificates] = reader->key_id;
    reader->out->certificates[reader->out->n_certificates++] = copy; /* n_items bounds it */
    return 0;
}

/* The DER header of a SEQUENCE with `len` bytes of content. Returns its length. */
static size_t sequence_header(size_t len, uint8_t header[DER_HEADER_MAX])
{
    header[0] = DER_SEQUENCE;
    if (len < 0x80) {
        header[1] = (uint8_t)len;
        return 2;
    }
    size_t n = 0;
    for (size_t rest = len; rest > 0; rest >>= 8)
        n++;
    header[1] = (uint8_t)(0x80U | n);
    for (size_t i = 0; i < n; i++)
        header[2 + i] = (uint8_t)(len >> (8 * (n - 1 - i)));
    return 2 + n;
}

/* Keeps version, algorithm and key of a PrivateKeyInfo (RFC 5208, section 5); attributes that Windows adds
 * are dropped. */
static int add_key(struct reader *reader, struct der der, struct error **err)
{
    struct der info, part, body;
    unsigned version = 0;
    if (der_take(&der, DER_SEQUENCE, &info) < 0 || der_len(der) != 0)
        return damaged("private key", err);
    body = info;
    if (der_take_uint(&body, 1, &version) < 0 || der_take(&body, DER_SEQUENCE, &part) < 0 ||
        der_take(&body, DER_OCTET_STRING, &part) < 0)
        return damaged("private key", err);

    size_t len = (size_t)(body.at - info.at);
    uint8_t header[DER_HEADER_MAX];
    size_t header_len = sequence_header(len, header);
    struct secret *key = secret_create(header_len + len);
    if (key == NULL)
        return error_no_memory(err, "PKCS#12");
    memcpy(secret_data(key), header, header_len);
    memcpy(secret_data(key) + header_len, info.at, len);
    reader->out->key_ids[reader->out->n_keys] = reader->key_id;
    reader->out->keys[reader->out->n_keys++] = key;
    return 0;
}

/* --- bags (section 4.2) --- */

/* The localKeyId among a bag's attributes; none when they cannot be read: it only helps. */
static struct pkcs12_key_id find_key_id(struct der bag)
{
    struct pkcs12_key_id id = {0};
    struct der attributes, attribute, type, values, value;
    if (der_take(&bag, DER_SET, &attributes) < 0)
        return id;
    while (der_take(&attributes, DER_SEQUENCE, &attribute) == 0) {
        if (der_take(&attribute, DER_OID, &type) < 0 || der_take(&attribute, DER_SET, &values) < 0 ||
            !DER_OID_IS(type, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x15"))
            continue;
        if (der_take(&values, DER_OCTET_STRING, &value) < 0 || der_len(value) > sizeof(id.bytes))
            continue;
        id.len = (uint8_t)der_len(value);
        memcpy(id.bytes, value.at, der_len(value));
    }
    return id;
}

static int read_shrouded_key(struct reader *reader, struct der value, struct error **err)
{
    struct der info, algorithm, content;
    if (der_take(&value, DER_SEQUENCE, &info) < 0 || der_take(&info, DER_SEQUENCE, &algorithm) < 0 ||
        der_take(&info, DER_OCTET_STRING, &content) < 0)
        return damaged("shrouded key bag", err);
    cleanup_secret struct secret *plain = pkcs12_decrypt(&reader->work, algorithm, content, err);
    if (plain == NULL)
        return -1;
    if (reader->work.later)
        return 0;
    return add_key(reader, der_span(secret_bytes(plain), secret_len(plain)), err);
}

static int read_certificate(struct reader *reader, struct der value, struct error **err)
{
    struct der bag, type, wrapped, certificate;
    if (der_take(&value, DER_SEQUENCE, &bag) < 0 || der_take(&bag, DER_OID, &type) < 0 ||
        der_take(&bag, DER_CONTEXT_0_CONSTRUCTED, &wrapped) < 0)
        return damaged("certificate bag", err);
    if (!DER_OID_IS(type, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x16\x01"))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "pkcs12: only X.509 certificates are supported");
    if (der_take(&wrapped, DER_OCTET_STRING, &certificate) < 0)
        return damaged("certificate bag", err);
    return add_certificate(reader, certificate, err);
}

static int read_safe_contents(struct reader *reader, struct der der, unsigned depth, struct error **err);

static int read_bag(struct reader *reader, struct der bag, unsigned depth, struct error **err)
{
    static const char prefix[] = "\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01"; /* 1.2.840.113549.1.12.10.1.x */
    enum {
        BAG_KEY = 1,
        BAG_SHROUDED_KEY = 2,
        BAG_CERTIFICATE = 3,
        BAG_CRL = 4,
        BAG_SECRET = 5,
        BAG_SAFE_CONTENTS = 6
    };
    struct der type, value;
    size_t prefix_len = sizeof(prefix) - 1;

    if (count_item(reader, err) < 0)
        return -1;
    if (der_take(&bag, DER_OID, &type) < 0 || der_take(&bag, DER_CONTEXT_0_CONSTRUCTED, &value) < 0)
        return damaged("safe bag", err);
    reader->key_id = find_key_id(bag);
    int kind =
        der_len(type) == prefix_len + 1 && memcmp(type.at, prefix, prefix_len) == 0 ? type.at[prefix_len] : 0;
    switch (kind) {
    case BAG_KEY:
        return add_key(reader, value, err);
    case BAG_SHROUDED_KEY:
        return read_shrouded_key(reader, value, err);
    case BAG_CERTIFICATE:
        return read_certificate(reader, value, err);
    case BAG_SAFE_CONTENTS:
        return read_safe_contents(reader, value, depth + 1, err);
    default: {
        char text[96];
        der_oid_text(type, text, sizeof(text));
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "pkcs12: don't know how to convert a safe bag of type %s", text);
    }
    }
}

static int read_safe_contents(struct reader *reader, struct der der, unsigned depth, struct error **err)
{
    struct der contents, bag;
    if (depth > NESTING_MAX || der_take(&der, DER_SEQUENCE, &contents) < 0)
        return damaged("safe contents", err);
    while (der_len(contents) > 0) {
        if (der_take(&contents, DER_SEQUENCE, &bag) < 0)
            return damaged("safe bag", err);
        if (read_bag(reader, bag, depth, err) < 0)
            return -1;
    }
    return 0;
}

/* --- content items (section 4.1) --- */

static int read_contents(struct reader *reader, struct der ber, struct error **err)
{
    cleanup_secret struct secret *made = NULL;
    struct der contents;
    if (as_der(ber, &contents, &made, err) < 0)
        return -1;
    return read_safe_contents(reader, contents, 0, err);
}

static bool is_data(struct der type)
{
    return DER_OID_IS(type, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01");
}

/* EncryptedData (RFC 5652, section 8). */
static int read_encrypted(struct reader *reader, struct der value, struct error **err)
{
    struct der data, info, type, algorithm, content;
    unsigned version = 0;
    if (der_take(&value, DER_SEQUENCE, &data) < 0 || der_take_uint(&data, 2, &version) < 0 ||
        der_take(&data, DER_SEQUENCE, &info) < 0 || der_take(&info, DER_OID, &type) < 0 || !is_data(type) ||
        der_take(&info, DER_SEQUENCE, &algorithm) < 0)
        return damaged("encrypted data", err);
    cleanup_secret struct secret *joined = NULL;
    if (der_take(&info, DER_CONTEXT_0_CONSTRUCTED, &content) == 0) { /* in segments */
        joined = ber_join_octets(content, err);
        if (joined == NULL)
            return -1;
        content = der_span(secret_bytes(joined), secret_len(joined));
    } else if (der_take(&info, DER_CONTEXT_0, &content) < 0) {
        return damaged("encrypted data", err);
    }
    cleanup_secret struct secret *plain = pkcs12_decrypt(&reader->work, algorithm, content, err);
    if (plain == NULL)
        return -1;
    if (reader->work.later)
        return 0;
    return read_contents(reader, der_span(secret_bytes(plain), secret_len(plain)), err);
}

static int read_content_item(struct reader *reader, struct der item, struct error **err)
{
    struct der type, value, octets;
    if (count_item(reader, err) < 0)
        return -1;
    if (der_take(&item, DER_OID, &type) < 0 || der_take(&item, DER_CONTEXT_0_CONSTRUCTED, &value) < 0)
        return damaged("content item", err);
    if (is_data(type)) {
        if (der_take(&value, DER_OCTET_STRING, &octets) < 0)
            return damaged("content item", err);
        return read_contents(reader, octets, err);
    }
    if (DER_OID_IS(type, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06"))
        return read_encrypted(reader, value, err);
    char text[96];
    der_oid_text(type, text, sizeof(text));
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                     "pkcs12: only password-protected content is supported, not %s", text);
}

static int read_authenticated_safe(struct reader *reader, struct der ber, struct error **err)
{
    cleanup_secret struct secret *made = NULL;
    struct der safe, items, item;
    if (as_der(ber, &safe, &made, err) < 0)
        return -1;
    if (der_take(&safe, DER_SEQUENCE, &items) < 0)
        return damaged("authenticated safe", err);
    while (der_len(items) > 0) {
        if (der_take(&items, DER_SEQUENCE, &item) < 0)
            return damaged("content item", err);
        if (read_content_item(reader, item, err) < 0)
            return -1;
    }
    return 0;
}

/* --- the file (section 4) --- */

/* The other empty password: no bytes at all. */
static void take_no_password(struct pkcs12_work *work)
{
    work->bmp = NULL;
    work->bmp_len = 0;
}

/* Verifies the MAC, which also decides between the two empty passwords. MacData: DigestInfo, salt, iterations
 * (default 1). */
static int check_mac(struct reader *reader, struct der data, struct der safe, struct error **err)
{
    struct der digest_info;
    struct pkcs12_mac mac = {.iterations = 1};
    if (der_take(&data, DER_SEQUENCE, &digest_info) < 0 ||
        der_take(&digest_info, DER_SEQUENCE, &mac.algorithm) < 0 ||
        der_take(&digest_info, DER_OCTET_STRING, &mac.expected) < 0 ||
        der_take(&data, DER_OCTET_STRING, &mac.salt) < 0 ||
        (der_len(data) > 0 && der_take_uint64(&data, &mac.iterations) < 0))
        return damaged("MAC", err);

    int right = pkcs12_verify_mac(&reader->work, &mac, safe, err);
    if (right >= 0 && reader->work.later)
        return 0;
    if (right == 0 && reader->work.utf8_len == 0) {
        take_no_password(&reader->work);
        right = pkcs12_verify_mac(&reader->work, &mac, safe, err);
    }
    if (right != 0)
        return right < 0 ? -1 : 0;
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: decryption password incorrect");
}

/* What decrypts well decides between the two empty passwords. */
static int read_without_mac(struct reader *reader, struct der safe, struct error **err)
{
    cleanup_error struct error *first = NULL;
    if (read_authenticated_safe(reader, safe, &first) == 0)
        return 0;
    if (reader->work.utf8_len > 0 || error_code(first) == GRPC_STATUS_RESOURCE_EXHAUSTED)
        return error_move(err, &first);
    pkcs12_finish(reader->out);
    reader->n_items = 0;
    take_no_password(&reader->work);
    return read_authenticated_safe(reader, safe, /* err= */ NULL) == 0 ? 0 : error_move(err, &first);
}

static int read_pfx(struct reader *reader, struct der file, struct error **err)
{
    struct der pfx, content_info, type, value, safe, mac;
    unsigned version = 0;
    if (der_take(&file, DER_SEQUENCE, &pfx) < 0 || der_take_uint(&pfx, 3, &version) < 0 || version != 3 ||
        der_take(&pfx, DER_SEQUENCE, &content_info) < 0 || der_take(&content_info, DER_OID, &type) < 0)
        return damaged("file, or not a PKCS#12 file in DER", err);
    if (der_len(file) != 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: trailing data behind the file");
    if (!is_data(type))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "pkcs12: only password-protected PFX is supported");
    if (der_take(&content_info, DER_CONTEXT_0_CONSTRUCTED, &value) < 0 || der_len(content_info) != 0 ||
        der_take(&value, DER_OCTET_STRING, &safe) < 0)
        return damaged("authenticated safe", err);
    if (der_len(pfx) == 0)
        return read_without_mac(reader, safe, err);
    if (der_take(&pfx, DER_SEQUENCE, &mac) < 0)
        return damaged("MAC", err);
    if (check_mac(reader, mac, safe, err) < 0)
        return -1;
    return read_authenticated_safe(reader, safe, err);
}

static int read_file(struct reader *reader, struct der ber, struct error **err)
{
    cleanup_secret struct secret *made = NULL;
    struct der file;
    if (as_der(ber, &file, &made, err) < 0)
        return -1;
    return read_pfx(reader, file, err);
}

bool pkcs12_is_java_store(const uint8_t *bytes, size_t len)
{
    return len >= 4 &&
           (memcmp(bytes, "\xfe\xed\xfe\xed", 4) == 0 || memcmp(bytes, "\xce\xce\xce\xce", 4) == 0);
}

static int check_size(size_t len, struct error **err)
{
    if (len > PKCS12_SIZE_MAX)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: %zu bytes are more than %d", len,
                         PKCS12_SIZE_MAX);
    return 0;
}

static struct pkcs12_work work_with(const struct secret *bmp, const char *password, size_t len,
                                    const struct pkcs12_run *run)
{
    return (struct pkcs12_work){
        .bmp = secret_bytes(bmp),
        .bmp_len = secret_len(bmp),
        .utf8 = password,
        .utf8_len = len,
        .cost_left = PKCS12_COST_MAX,
        .now_left = run != NULL ? run->cost_now : UINT64_MAX,
        .stop = run != NULL ? run->stop : NULL,
    };
}

/* A file that is good as far as it was read, but was not read to its end, is for another run. */
static int end_run(const struct reader *reader, struct pkcs12_run *run, int result, struct error **err)
{
    if (result < 0 || run == NULL || !reader->work.later) /* without a run there is no limit */
        return result;
    run->later = true;
    run->cost = PKCS12_COST_MAX - reader->work.cost_left;
    return error_set(err, GRPC_STATUS_ABORTED, "pkcs12: left for another run");
}

int pkcs12_read_with_password(const uint8_t *der, size_t len, const char *password, size_t password_len,
                              struct pkcs12_run *run, struct pkcs12 *ret, struct error **err)
{
    *ret = (struct pkcs12){0};
    if (check_size(len, err) < 0)
        return -1;
    if (pkcs12_is_java_store(der, len))
        return error_set(
            err, GRPC_STATUS_FAILED_PRECONDITION,
            "pkcs12: it is a Java key store (JKS or JCEKS), not PKCS#12: keytool -importkeystore converts it");
    cleanup_secret struct secret *bmp = pkcs12_bmp_password(password, password_len, err);
    if (bmp == NULL)
        return -1;
    struct reader reader = {.out = ret, .work = work_with(bmp, password, password_len, run)};
    errno = 0;
    int result = end_run(&reader, run, read_file(&reader, der_span(der, len), err), err);
    if (result < 0) {
        pkcs12_finish(ret);
        result = error_check_memory(err, "a PKCS#12 file");
    }
    ret->cost = PKCS12_COST_MAX - reader.work.cost_left;
    return result;
}

int pkcs12_read(const uint8_t *der, size_t len, struct pkcs12 *ret, struct error **err)
{
    return pkcs12_read_with_password(der, len, "", 0, /* run= */ NULL, ret, err);
}

struct secret *pkcs8_decrypt(const uint8_t *der, size_t len, const char *password, size_t password_len,
                             struct pkcs12_run *run, struct error **err)
{
    if (check_size(len, err) < 0)
        return NULL;
    cleanup_secret struct secret *bmp = pkcs12_bmp_password(password, password_len, err);
    if (bmp == NULL)
        return NULL;
    cleanup_pkcs12 struct pkcs12 found = {0};
    struct reader reader = {.out = &found, .work = work_with(bmp, password, password_len, run)};
    errno = 0;
    int result = end_run(&reader, run, read_shrouded_key(&reader, der_span(der, len), err), err);
    if (run != NULL)
        run->cost = PKCS12_COST_MAX - reader.work.cost_left;
    if (result < 0) {
        (void)error_check_memory(err, "a private key");
        return NULL;
    }
    found.n_keys--;
    return steal_ptr(&found.keys[found.n_keys]);
}

void pkcs12_finish(struct pkcs12 *pkcs12)
{
    for (size_t i = 0; i < pkcs12->n_keys; i++)
        secret_destroy(pkcs12->keys[i]);
    for (size_t i = 0; i < pkcs12->n_certificates; i++)
        secret_destroy(pkcs12->certificates[i]);
    *pkcs12 = (struct pkcs12){0};
}
