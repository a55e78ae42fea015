/*
 * copy_command.c - the command copy: copies this program to where other containers of a pod find it.
 *
 * For an init container: the image holds nothing but this program, so there is no cp in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/command.h"

enum { COPY_MODE = 0755 };

static int copy_all(int from, int to)
{
    struct stat info;

    if (fstat(from, &info) < 0)
        return -1;
    for (off_t at = 0; at < info.st_size;)
        if (sendfile(to, from, &at, (size_t)(info.st_size - at)) <= 0)
            return -1;
    return fchmod(to, COPY_MODE); /* whatever the umask is */
}

/* Under another name first: a program that is started meanwhile is whole. */
static int copy_program(const char *path, const char *temporary, struct error **err)
{
    cleanup_close int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    cleanup_close int to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, COPY_MODE);

    if (to < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "create '%s'", temporary);
    if (from < 0 || copy_all(from, to) < 0 || close(steal_fd(&to)) < 0 || rename(temporary, path) < 0) {
        (void)error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "copy this program to '%s'", path);
        (void)unlink(temporary);
        return -1;
    }
    return 0;
}

static int run_copy(const struct ctl_options *options, struct error **err)
{
    char temporary[PATH_MAX];

    if (*options->copy_to == '\0')
        return error_unusable_input(err, "--to names no file");
    int len = snprintf(temporary, sizeof(temporary), "%s.%d", options->copy_to, (int)getpid());
    if (len < 0 || (size_t)len >= sizeof(temporary))
        return error_unusable_input(err, "--to is too long");
    return copy_program(options->copy_to, temporary, err);
}

static const struct option_row copy_rows[] = {
    CTL_STRING_ROW("to", copy_to, NULL, "`path` of the copy; a file that is there is replaced"),
};

const struct ctl_command ctl_command_copy = {"copy", "copy this program, for an init container", copy_rows,
                                             ARRAY_SIZE(copy_rows), run_copy};
