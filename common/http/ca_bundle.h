/*
 * ca_bundle.h - which certificates a TLS server is judged by. Private to the http room.
 *
 * The rules are those of Go programs, so that images and charts keep working: a bundle file
 * ($SSL_CERT_FILE, else the distribution's) and every PEM file in some directories ($SSL_CERT_DIR,
 * separated by colons, else the distribution's), whatever the files are called. Charts mount a company's
 * CA into /etc/ssl/certs just so; OpenSSL would look at hashed names only. One difference: with
 * $SSL_CERT_FILE alone only that file counts, not the directories of the system as well.
 *
 * libcurl is given one file. When the directories hold nothing that the bundle lacks, that is the bundle
 * itself; else bundle and additions are put together in a memory file, and its path below /proc/self/fd is
 * given: libcurl then parses and caches it like any other, with every TLS back end. What is
 * in the directories is read once, at the first use; the bundle (and with it the directories) and an
 * additional file are read again when the file has changed.
 */
#ifndef COMMON_HTTP_CA_BUNDLE_H
#define COMMON_HTTP_CA_BUNDLE_H

#include "common/base/error.h"

struct ca_bundle;

enum {
    CA_BUNDLE_MAX_FILE = 4 * 1024 * 1024, /* the distributions' bundles have 0.2 MiB */
    CA_BUNDLE_MAX_FILES = 2000,           /* looked at per directory; Debian has 300 */
    CA_BUNDLE_MAX_EXTRA = 8               /* additional files at the same time */
};

/* `file` and `dirs` NULL: as the environment and the system say. "" = none. NULL on lack of memory. */
struct ca_bundle *ca_bundle_create(const char *file, const char *dirs);
void ca_bundle_destroy(struct ca_bundle *bundle); /* accepts NULL */

/* The path to give to libcurl; with `extra` also the certificates of that PEM file. Valid until control
 * returns to the loop. NULL: nothing to trust was found on this
 * system (no `extra`), or with err set when `extra` can not be read or holds no certificate. Blocks for the
 * time of reading local files. */
const char *ca_bundle_path(struct ca_bundle *bundle, const char *extra, struct error **err);

#endif
