/*
 * ca_bundle.h - the CA certificates that the node trusts. Private to common/http.
 *
 * The rules are those of Go programs, so that images and charts keep working: a bundle file ($SSL_CERT_FILE,
 * else the distribution's) and every PEM file in some directories ($SSL_CERT_DIR, separated by colons, else
 * the distribution's), under any file name. Charts mount a company's CA into /etc/ssl/certs like that;
 * OpenSSL would read hashed names only. One difference: with $SSL_CERT_FILE alone only that file counts, not
 * the directories of the system as well.
 *
 * As in Go programs, what cannot be read costs nothing but itself: OpenSSL would refuse the whole file for
 * one damaged certificate or revocation list. It is left out, with a warning that names the file.
 *
 * libcurl gets one file. When the bundle has nothing but certificates and the directories add nothing to it,
 * that is the bundle itself; else the certificates are put together in a memory file, and libcurl gets its
 * path below /proc/self/fd: it parses and caches that like any other file, with every TLS back end. The
 * directories are read once, at the first use; the bundle (and with it the directories) and an additional
 * file are read again when the file has changed. The requests of a mount begin together: the bundle is
 * inspected once a millisecond.
 */
#ifndef COMMON_HTTP_CA_BUNDLE_H
#define COMMON_HTTP_CA_BUNDLE_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/base/log.h"

struct ca_bundle;

enum {
    CA_BUNDLE_MAX_FILE = 4 * 1024 * 1024, /* the distributions' bundles have 0.2 MiB */
    CA_BUNDLE_MAX_FILES = 2000,           /* read per directory; Debian has 300 */
    CA_BUNDLE_MAX_EXTRA = 8               /* additional files at the same time */
};

/* `file` and `dirs` (":" between) NULL: those of the environment or the system. "" = none. `log` is borrowed
 * and may be NULL. NULL on lack of memory. */
struct ca_bundle *ca_bundle_create(const char *file, const char *dirs, struct log *log);

/* Accepts NULL. */
void ca_bundle_destroy(struct ca_bundle *bundle);

/* The path to give to libcurl; with `extra` also the certificates of that PEM file. `now_ms`: loop time.
 * Valid until control returns to the loop. NULL: this system has no CA certificates (no `extra`), or, with
 * err set (FAILED_PRECONDITION), `extra` cannot be read or holds no certificate. Blocks for the time of
 * reading local files. */
const char *ca_bundle_path(struct ca_bundle *bundle, const char *extra, uint64_t now_ms, struct error **err);

#endif
