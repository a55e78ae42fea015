/*
 * landlock.h - the files that this process may reach, and the ports (landlock(7), Linux 5.13 and later).
 *
 * Rules come on top of the file modes and can only take away. A rule for a directory holds for everything
 * below it, also what is created or renamed there later; one for a file holds for that file and not for
 * another that takes its name. Ports of TCP are known to Landlock from Linux 6.7 on; addresses are not, nor
 * is UDP. What a kernel does not know stays allowed.
 */
#ifndef COMMON_PROCESS_LANDLOCK_H
#define COMMON_PROCESS_LANDLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

enum landlock_use {
    LANDLOCK_LIST,    /* lists of directories below, no files */
    LANDLOCK_READ,    /* files below, and lists of directories */
    LANDLOCK_SOCKETS, /* also: create, rename and remove sockets below */
};

struct landlock_path {
    const char *path; /* NULL and "" are skipped, and so is what does not exist */
    enum landlock_use use;
};

struct landlock_rules {
    const struct landlock_path *paths;
    size_t n_paths;
    const uint16_t *connect_ports; /* TCP; NULL = any */
    size_t n_connect_ports;
    const uint16_t *bind_ports;
    size_t n_bind_ports;
};

/* The kernel's version of Landlock; 0 = it has none. */
int landlock_version(void);

/* Applies the rules for good, for this thread and those it starts: call before there is another thread. Needs
 * no_new_privs or CAP_SYS_ADMIN. -1 with err set: UNIMPLEMENTED if the kernel has no Landlock, else INTERNAL.
 */
int landlock_enter(const struct landlock_rules *rules, struct error **err);

/* Whether this kernel can bound ports. */
static inline int landlock_bounds_ports(int version)
{
    return version >= 4;
}

#endif
