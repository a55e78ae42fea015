/*
 * mount_response.h - from the objects that were read to the response of a mount: converts them one by one,
 * checks all paths together, then emits files and versions, or reports all that failed.
 *
 * A PFX is opened in another thread, one at a time for each mount (pem_cache.h): that may take a second and
 * more.
 */
#ifndef PROVIDER_AZURE_MOUNT_RESPONSE_H
#define PROVIDER_AZURE_MOUNT_RESPONSE_H

#include "provider-azure/content/content.h"
#include "provider-azure/content/pem_cache.h"
#include "provider-azure/vault/fetch.h"

/* Receives the response. Files come in item order. */
struct response_writer {
    int (*add_file)(void *arg, const char *path, mode_t mode, const void *bytes, size_t len,
                    struct error **err);
    /* An id that was given before gets the new version: two items may name the same object. */
    int (*add_version)(void *arg, const char *id, const char *version, struct error **err);
    /* One line that the user has to know although the mount succeeds. */
    int (*add_warning)(void *arg, const char *text, struct error **err);
};

struct mount_response;

struct response_input {
    const struct fetch *fetch;
    const struct object_list *objects; /* of the mount; its composed files are made last */
    const struct content_options *options;
    struct pem_cache *pems;
    const struct vault *own_vault; /* the class's; NULL: it names none */
};

/* Takes the fetch's outputs as they are now: what has not been read yet counts as failed. All of `input` is
 * borrowed until the end. NULL with err set on lack of memory. */
struct mount_response *mount_response_create(const struct response_input *input, struct error **err);

/* Everything is converted. */
typedef void response_callback(void *arg);

/* Converts all objects, then calls back, perhaps before this returns. */
void mount_response_convert(struct mount_response *response, response_callback *callback, void *arg);

/* Converts nothing more. If everything was converted and no object failed, all is written and the result is
 * 0; otherwise nothing is, and *err reports all failures. */
int mount_response_emit(struct mount_response *response, const struct response_writer *writer, void *arg,
                        struct error **err);

/* Ends a conversion without a callback, frees files and outputs. Accepts NULL. */
void mount_response_destroy(struct mount_response *response);

#endif
