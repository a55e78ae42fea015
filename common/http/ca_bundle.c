/*
 * ca_bundle.c - puts the certificates of a bundle and of directories together.
 */
#include "common/http/ca_bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "common/base/file.h"
#include "common/crypto/der.h"
#include "common/crypto/digest.h"
#include "common/crypto/pem.h"

enum { HEX = DIGEST_SHA256_HEX_LEN + 1, FIRST_FD = 200, FD_ROUND = 256, ALL_MAX = 16 * 1024 * 1024 };

/* A file in memory. Its number is chosen so that no path comes back soon: libcurl caches by path. */
struct memory_file {
    int fd; /* -1 = none */
    char path[32];
};

struct extra {
    char *name; /* NULL = free */
    struct stat seen;
    unsigned reads; /* of the node's bundle, when this was put together with it */
    struct memory_file file;
    struct memory_file retired; /* as below */
};

struct ca_bundle {
    struct log *log;            /* borrowed, may be NULL */
    char *file;                 /* "" = none */
    char *dirs;                 /* "" = none */
    unsigned reads;             /* of the bundle file so far */
    struct stat seen;           /* the bundle file when it was read */
    uint64_t checked_ms;        /* when `seen` was */
    struct memory_file all;     /* bundle and directories; fd -1: the bundle is all there is */
    struct memory_file retired; /* the former one: a connection that is being made may still read it */
    struct extra extras[CA_BUNDLE_MAX_EXTRA];
    unsigned next_extra;
    unsigned made; /* memory files so far */
};

/* Certificates seen, by digest; sorted on demand. */
struct seen {
    char (*hex)[HEX];
    size_t n;
    size_t cap;
};

/* What a file holds. */
struct content {
    size_t certificates;
    size_t added;   /* of these, to those seen before */
    size_t damaged; /* certificates that cannot be read */
    bool mixed;     /* there is more than certificates and text between them */
};

static const char *system_file(void)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Alpine */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/ssl/cert.pem",                  /* Alpine, OpenBSD */
    };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (access(places[i], R_OK) == 0)
            return places[i];
    }
    return "";
}

/* The value of a variable, or NULL when it is unset or empty. */
static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

struct ca_bundle *ca_bundle_create(const char *file, const char *dirs, struct log *log)
{
    static const char system_dirs[] = "/etc/ssl/certs:/etc/pki/tls/certs";
    struct ca_bundle *bundle = calloc(1, sizeof(*bundle));
    if (bundle == NULL)
        return NULL;
    const char *env_file = file == NULL ? from_environment("SSL_CERT_FILE") : NULL;
    const char *env_dirs = dirs == NULL ? from_environment("SSL_CERT_DIR") : NULL;
    bool only_file = file != NULL || env_file != NULL;
    if (file == NULL)
        file = env_file != NULL ? env_file : system_file();
    if (dirs == NULL)
        dirs = env_dirs != NULL ? env_dirs : only_file ? "" : system_dirs;
    bundle->log = log;
    bundle->all.fd = bundle->retired.fd = -1;
    for (size_t i = 0; i < CA_BUNDLE_MAX_EXTRA; i++)
        bundle->extras[i].file.fd = bundle->extras[i].retired.fd = -1;
    bundle->file = strdup(file);
    bundle->dirs = strdup(dirs);
    if (bundle->file == NULL || bundle->dirs == NULL) {
        ca_bundle_destroy(bundle);
        return NULL;
    }
    return bundle;
}

static void memory_file_finish(struct memory_file *file)
{
    if (file->fd != -1)
        (void)close(file->fd);
    file->fd = -1;
}

void ca_bundle_destroy(struct ca_bundle *bundle)
{
    if (bundle == NULL)
        return;
    memory_file_finish(&bundle->all);
    memory_file_finish(&bundle->retired);
    for (size_t i = 0; i < CA_BUNDLE_MAX_EXTRA; i++) {
        memory_file_finish(&bundle->extras[i].file);
        memory_file_finish(&bundle->extras[i].retired);
        free(bundle->extras[i].name);
    }
    free(bundle->file);
    free(bundle->dirs);
    free(bundle);
}

static int memory_file_make(struct ca_bundle *bundle, const struct buffer *content, struct memory_file *ret)
{
    int fd = memfd_create("certificates", MFD_CLOEXEC);
    if (fd == -1)
        return -1;
    int chosen = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + (int)(bundle->made++ % FD_ROUND));
    if (chosen != -1) {
        (void)close(fd);
        fd = chosen;
    }
    for (size_t done = 0; done < content->len;) {
        ssize_t n = write(fd, content->data + done, content->len - done);
        if (n == -1 && errno != EINTR) {
            (void)close(fd);
            return -1;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    struct memory_file made = {.fd = fd};
    (void)snprintf(made.path, sizeof(made.path), "/proc/self/fd/%d", fd);
    if (access(made.path, R_OK) == -1) { /* no /proc */
        (void)close(fd);
        return -1;
    }
    *ret = made;
    return 0;
}

/* Adds a certificate to `seen`; false when it is there already, or memory lacks. */
static bool add_seen(struct seen *seen, const struct secret *der)
{
    char hex[HEX];
    if (digest_sha256_hex(secret_bytes(der), secret_len(der), hex) < 0)
        return false;
    for (size_t i = 0; i < seen->n; i++) {
        if (memcmp(seen->hex[i], hex, HEX) == 0)
            return false;
    }
    if (seen->n == seen->cap) {
        size_t cap = seen->cap > 0 ? seen->cap * 2 : 256;
        char(*grown)[HEX] = reallocarray(seen->hex, cap, HEX);
        if (grown == NULL)
            return false;
        seen->hex = grown;
        seen->cap = cap;
    }
    memcpy(seen->hex[seen->n++], hex, HEX);
    return true;
}

/* The frame of a certificate (RFC 5280, section 4.1); what is in it is the TLS library's affair. */
static bool is_certificate(const struct secret *der)
{
    struct der whole = der_span(secret_bytes(der), secret_len(der)), body, part;
    return der_take(&whole, DER_SEQUENCE, &body) == 0 && der_len(whole) == 0 &&
           der_take(&body, DER_SEQUENCE, &part) == 0 && der_take(&body, DER_SEQUENCE, &part) == 0 &&
           der_take(&body, DER_BIT_STRING, &part) == 0 && der_len(body) == 0;
}

static size_t count_text(const char *at, const char *end, const char *wanted)
{
    size_t n = 0, len = strlen(wanted);
    for (; (at = memmem(at, (size_t)(end - at), wanted, len)) != NULL; at += len)
        n++;
    return n;
}

/* Appends the certificates of a text that are not in `seen`. */
static struct content add_text(const struct buffer *text, struct seen *seen, struct buffer *out)
{
    static const char label[] = "CERTIFICATE";
    const char *at = buffer_str(text), *end = at + text->len;
    struct content content = {0};
    struct pem_block block;
    size_t begun = count_text(at, end, "-----BEGIN CERTIFICATE-----"),
           blocks = count_text(at, end, "-----BEGIN ");

    while (pem_next(&at, end, &block)) {
        if (block.label_len != sizeof(label) - 1 || memcmp(block.label, label, block.label_len) != 0)
            continue;
        cleanup_secret struct secret *der = pem_decode(block.body, block.body_len, NULL);
        if (der == NULL || !is_certificate(der))
            continue;
        content.certificates++;
        content.mixed = content.mixed || pem_lines_lost(&block);
        if (add_seen(seen, der) && pem_append(out, label, secret_bytes(der), secret_len(der), NULL) == 0)
            content.added++;
    }
    content.damaged = begun - content.certificates;
    content.mixed = content.mixed || blocks != content.certificates;
    return content;
}

/* `log` may be NULL. */
static struct content add_file(struct log *log, const char *path, struct seen *seen, struct buffer *out)
{
    struct content content = {0};
    cleanup_buffer struct buffer text;
    buffer_init(&text, CA_BUNDLE_MAX_FILE);
    struct stat st;
    if (stat(path, &st) == -1 || !S_ISREG(st.st_mode) || file_read(path, CA_BUNDLE_MAX_FILE, &text, NULL) < 0)
        return content;
    content = add_text(&text, seen, out);
    if (content.damaged > 0 && log != NULL)
        log_warning(log, "CA certificates are damaged, continuing without them", LOG_STR("file", path),
                    LOG_UINT("damaged", content.damaged), LOG_UINT("certificates", content.certificates));
    return content;
}

/* Hashed names are links to other files of the same directory: those are read under their own name. */
static bool is_link_within(int dir_fd, const char *name)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(dir_fd, name, target, sizeof(target) - 1);
    return len > 0 && memchr(target, '/', (size_t)len) == NULL;
}

/* Returns how many certificates that were not seen before the files of a directory have. */
static size_t add_dir(struct log *log, const char *path, struct seen *seen, struct buffer *out)
{
    DIR *dir = opendir(path);
    const struct dirent *entry = NULL;
    unsigned n = 0;
    size_t added = 0;

    while (dir != NULL && n++ < CA_BUNDLE_MAX_FILES && (entry = readdir(dir)) != NULL) {
        cleanup_free char *name = NULL;
        if (entry->d_name[0] == '.' || (entry->d_type == DT_LNK && is_link_within(dirfd(dir), entry->d_name)))
            continue;
        if (asprintf(&name, "%s/%s", path, entry->d_name) < 0) {
            name = NULL;
            continue;
        }
        added += add_file(log, name, seen, out).added;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return added;
}

/* Everything the node trusts, into `out`. Returns whether that is something else than the bundle's file. */
static bool collect(const struct ca_bundle *bundle, struct log *log, struct seen *seen, struct buffer *out)
{
    struct content content = {0};
    size_t added = 0;

    if (*bundle->file != '\0')
        content = add_file(log, bundle->file, seen, out);
    for (const char *p = bundle->dirs; *p != '\0';) {
        size_t len = strcspn(p, ":");
        cleanup_free char *dir = strndup(p, len);
        if (dir != NULL && len > 0)
            added += add_dir(log, dir, seen, out);
        p += len + (p[len] == ':');
    }
    return added > 0 || content.mixed;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Puts the node's certificates into a memory file if it has to be one. A file without a certificate, as while
 * it is replaced, changes nothing. */
static void node_read(struct ca_bundle *bundle, bool again)
{
    struct seen seen = {0};
    struct memory_file made;
    cleanup_buffer struct buffer all;
    buffer_init(&all, ALL_MAX);
    /* When there is nothing to leave out and nothing to add, the bundle is used as it is: until it changes.
     * libcurl caches the certificates of a path for a day, so that new certificates need a new path. */
    if ((collect(bundle, bundle->log, &seen, &all) || again) && all.len > 0 &&
        memory_file_make(bundle, &all, &made) == 0) {
        memory_file_finish(&bundle->retired);
        bundle->retired = bundle->all;
        bundle->all = made;
    }
    free(seen.hex);
}

/* Reads the bundle if it was not read yet, and again if it has changed. */
static void node_refresh(struct ca_bundle *bundle)
{
    struct stat now = {0};
    bool there = *bundle->file != '\0' && stat(bundle->file, &now) == 0;
    bool changed = bundle->reads > 0 && there && !same_file(&bundle->seen, &now);
    if (there)
        bundle->seen = now;
    if (bundle->reads == 0 || changed) {
        bundle->reads++;
        node_read(bundle, changed);
    }
}

static const char *node_path(struct ca_bundle *bundle, uint64_t now_ms)
{
    if (bundle->reads == 0 || bundle->checked_ms != now_ms)
        node_refresh(bundle);
    bundle->checked_ms = now_ms;
    if (bundle->all.fd != -1)
        return bundle->all.path;
    return *bundle->file != '\0' ? bundle->file : NULL;
}

static int extra_make(struct ca_bundle *bundle, const char *name, const struct stat *st, struct extra *slot,
                      struct error **err)
{
    struct seen seen = {0};
    cleanup_buffer struct buffer all;
    buffer_init(&all, ALL_MAX);
    size_t found = add_file(bundle->log, name, &seen, &all).certificates;
    if (found > 0)
        (void)collect(bundle, /* log= */ NULL, &seen, &all); /* its damage is known */
    free(seen.hex);
    if (found == 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "CA file '%s' holds no certificate", name);

    struct extra made = {.name = strdup(name), .seen = *st, .reads = bundle->reads, .file = {.fd = -1}};
    if (made.name == NULL || memory_file_make(bundle, &all, &made.file) < 0) {
        free(made.name);
        return error_set(err, GRPC_STATUS_INTERNAL, "CA file '%s' cannot be used: no memory file", name);
    }
    memory_file_finish(&slot->retired);
    made.retired = slot->file;
    free(slot->name);
    *slot = made;
    return 0;
}

const char *ca_bundle_path(struct ca_bundle *bundle, const char *extra, uint64_t now_ms, struct error **err)
{
    struct stat st;
    struct extra *slot = NULL;

    const char *node = node_path(bundle, now_ms); /* for a change of it, too */
    if (extra == NULL)
        return node;
    if (stat(extra, &st) == -1) {
        (void)error_set_errno(err, GRPC_STATUS_FAILED_PRECONDITION, errno, "CA file '%s'", extra);
        return NULL;
    }
    for (size_t i = 0; i < CA_BUNDLE_MAX_EXTRA; i++) {
        if (bundle->extras[i].name != NULL && strcmp(bundle->extras[i].name, extra) == 0)
            slot = &bundle->extras[i];
    }
    if (slot != NULL && same_file(&slot->seen, &st) && slot->reads == bundle->reads)
        return slot->file.path;
    if (slot == NULL)
        slot = &bundle->extras[bundle->next_extra++ % CA_BUNDLE_MAX_EXTRA];
    return extra_make(bundle, extra, &st, slot, err) < 0 ? NULL : slot->file.path;
}
