/*
 * payload_write.c - publishing a payload into a directory, atomically.
 *
 * Order of a write: sweep leftovers, build a new version directory, prepare the links it needs, switch
 * `..data`, move the prepared links in place, sweep the old version and the links that are not needed any
 * more. A crash at any point leaves the old or the new content, and leftovers that the next write's first
 * sweep removes.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "driver/payload/payload.h"
#include "driver/payload/payload_in_place.h"
#include "driver/payload/payload_steps.h"
#include "driver/payload/payload_tree.h"
#include "driver/payload/payload_version.h"

enum {
    NAME_TRIES = 16
}; /* a random name that exists already is next to impossible; this ends the loop anyway */

struct write {
    struct payload_target target;
    struct payload_version_name old, new;
};

/* Calls `each` for every distinct first component of the payload (files of one directory stay together). */
typedef int each_component(struct write *write, const char *name, void *arg, struct error **err);

static int for_each_component(struct write *write, each_component *each, void *arg, struct error **err)
{
    char last[NAME_MAX + 1] = "", name[NAME_MAX + 1];
    for (size_t i = 0; i < write->target.payload->n; i++) {
        size_t len = payload_version_first_component(write->target.payload->files[i].path, name);
        if (strcmp(name, last) == 0)
            continue;
        memcpy(last, name, len + 1);
        if (each(write, name, arg, err) < 0)
            return -1;
    }
    return 0;
}

static int fail(const struct write *write, int errnum, const char *what, const char *name, struct error **err)
{
    return payload_step_fail(&write->target, errnum, what, name, err);
}

/* --- the new version directory --- */

static int make_version(struct write *write, struct error **err)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        struct payload_version_name name = payload_version_make_name();
        int fd = payload_tree_make_dir(write->target.root_fd, name.text, write->target.gid);
        if (fd >= 0) {
            write->new = name;
            return fd;
        }
        if (errno != EEXIST) {
            int errnum = errno; /* it may have been made, but without its group or mode */
            (void)payload_tree_remove(write->target.root_fd, name.text);
            return fail(write, errnum, "make directory", name.text, err);
        }
    }
    return error_set(err, GRPC_STATUS_INTERNAL, "no free name for a new version directory");
}

static int fill_version(const struct write *write, int version_fd, struct error **err)
{
    for (size_t i = 0; i < write->target.payload->n; i++) {
        if (payload_step_write_file(&write->target, version_fd, &write->target.payload->files[i], err) < 0)
            return -1;
    }
    return 0;
}

/* --- links of first components --- */

static int make_link(struct write *write, int dir_fd, const char *name, struct error **err)
{
    char target[sizeof(PAYLOAD_DATA_LINK "/") + NAME_MAX];
    (void)stpcpy(stpcpy(target, PAYLOAD_DATA_LINK "/"), name);
    return symlinkat(target, dir_fd, name) == 0 ? 0 : fail(write, errno, "make link", name, err);
}

static int prepare_link(struct write *write, const char *name, void *links_fd, struct error **err)
{
    int *fd = links_fd;
    if (payload_version_link_is_right(write->target.root_fd, name))
        return 0;
    if (*fd < 0)
        *fd = payload_tree_make_dir(write->target.root_fd, PAYLOAD_LINKS_NEXT, write->target.gid);
    if (*fd < 0)
        return fail(write, errno, "make directory", PAYLOAD_LINKS_NEXT, err);
    return make_link(write, *fd, name, err);
}

static int make_first_link(struct write *write, const char *name, void *arg, struct error **err)
{
    (void)arg;
    return make_link(write, write->target.root_fd, name, err);
}

/* Takes the place of what is there at once; a directory is swept with the rest. Needs no space. */
static int place_link(struct write *write, const char *name, void *links_fd, struct error **err)
{
    const int *fd = links_fd;
    if (payload_version_link_is_right(write->target.root_fd, name))
        return 0;
    if (renameat(*fd, name, write->target.root_fd, name) == 0)
        return 0;
    if (errno != EISDIR)
        return fail(write, errno, "place link", name, err);
    if (payload_tree_exchange(*fd, write->target.root_fd, name) == 0)
        return 0;
    if ((errno == EINVAL || errno == ENOSYS) && payload_tree_remove(write->target.root_fd, name) == 0 &&
        renameat(*fd, name, write->target.root_fd, name) == 0)
        return 0;
    return fail(write, errno, "place link", name, err);
}

static int check_link(struct write *write, const char *name, void *arg, struct error **err)
{
    (void)arg;
    (void)err;
    return payload_version_link_is_right(write->target.root_fd, name) ? 0 : -1;
}

/* --- the switch --- */

static int switch_version(struct write *write, struct error **err)
{
    int root_fd = write->target.root_fd;
    if (symlinkat(write->new.text, root_fd, PAYLOAD_DATA_NEXT) < 0)
        return fail(write, errno, "make link", PAYLOAD_DATA_NEXT, err);
    int moved = renameat(root_fd, PAYLOAD_DATA_NEXT, root_fd, PAYLOAD_DATA_LINK);
    if (moved < 0 && errno == EISDIR) { /* a directory called ..data: nothing that was ever published */
        (void)payload_tree_remove(root_fd, PAYLOAD_DATA_LINK);
        moved = renameat(root_fd, PAYLOAD_DATA_NEXT, root_fd, PAYLOAD_DATA_LINK);
    }
    return moved == 0 ? 0 : fail(write, errno, "switch", PAYLOAD_DATA_LINK, err);
}

/* --- sweeping --- */

static int compare_component(const void *key, const void *element)
{
    const char *name = key;
    const struct payload_file *file = element;
    char component[NAME_MAX + 1];
    (void)payload_version_first_component(file->path, component);
    return strcmp(name, component);
}

static bool is_first_component(const struct payload *payload, const char *name)
{
    return payload->n > 0 &&
           bsearch(name, payload->files, payload->n, sizeof(*payload->files), compare_component) != NULL;
}

enum sweep {
    SWEEP_INTERNAL, /* entries of the driver ("..") except `..data` and the version to keep */
    SWEEP_ALL,      /* also everything that is no first component of the payload */
};

/* Failures are passed over: on a tmpfs a removal fails only below a mount point, and the next write tries
 * again. The content that is served is right in any case. */
static void sweep(const struct write *write, const char *keep, enum sweep what)
{
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    const char *name = NULL;
    (void)payload_tree_list_open(&list, write->target.root_fd);
    while ((name = payload_tree_next(&list)) != NULL) {
        bool internal = payload_version_is_internal(name);
        if (internal ? strcmp(name, PAYLOAD_DATA_LINK) == 0 || strcmp(name, keep) == 0
                     : what == SWEEP_INTERNAL || is_first_component(write->target.payload, name))
            continue;
        (void)payload_tree_remove(write->target.root_fd, name);
    }
}

static bool is_unchanged(struct write *write)
{
    if (write->old.text[0] == '\0' || payload_in_place_is_writing(write->target.root_fd))
        return false;
    cleanup_close int version_fd = payload_tree_open_dir(write->target.root_fd, write->old.text);
    return version_fd >= 0 && payload_version_matches(version_fd, write->target.payload, write->target.gid) &&
           for_each_component(write, check_link, /* arg= */ NULL, /* err= */ NULL) == 0;
}

static int build(struct write *write, int *ret_links_fd, struct error **err)
{
    cleanup_close int version_fd = make_version(write, err);
    if (version_fd < 0 || fill_version(write, version_fd, err) < 0)
        return -1;
    return for_each_component(write, prepare_link, ret_links_fd, err);
}

int payload_write(int root_fd, const struct payload *payload, const struct payload_write_options *options,
                  bool *ret_changed, struct error **err)
{
    if (options->in_place)
        return payload_in_place_write(root_fd, payload, options, ret_changed, err);
    struct write write = {
        .target = {.root_fd = root_fd, .payload = payload, .gid = options->gid},
        .old = payload_version_current(root_fd),
    };
    sweep(&write, write.old.text, SWEEP_INTERNAL);
    if (is_unchanged(&write)) {
        sweep(&write, write.old.text, SWEEP_ALL);
        *ret_changed = false;
        return 0;
    }
    cleanup_close int links_fd = -1;
    if (build(&write, &links_fd, err) < 0 || switch_version(&write, err) < 0) {
        sweep(&write, write.old.text, SWEEP_INTERNAL);
        return -1;
    }
    if (for_each_component(&write, place_link, &links_fd, err) < 0)
        return -1;
    payload_in_place_clear(root_fd); /* files that were written in place are leftovers */
    sweep(&write, write.new.text, SWEEP_ALL);
    *ret_changed = true;
    return 0;
}

int payload_write_new(int root_fd, const struct payload *payload, const struct payload_write_options *options,
                      struct error **err)
{
    if (options->in_place)
        return payload_in_place_write(root_fd, payload, options, &(bool){false}, err);
    struct write write = {.target = {.root_fd = root_fd, .payload = payload, .gid = options->gid}};
    cleanup_close int version_fd = make_version(&write, err);
    if (version_fd < 0 || fill_version(&write, version_fd, err) < 0)
        return -1;
    if (symlinkat(write.new.text, root_fd, PAYLOAD_DATA_LINK) < 0)
        return fail(&write, errno, "make link", PAYLOAD_DATA_LINK, err);
    return for_each_component(&write, make_first_link, /* arg= */ NULL, err);
}

void payload_remove(int root_fd)
{
    payload_in_place_clear(root_fd);
    (void)payload_tree_remove(root_fd, PAYLOAD_DATA_LINK);
    (void)payload_tree_empty(root_fd);
}
