/*
 * fuzz_ctl_response.c - a provider's response, whose files secrets-store-ctl writes below a directory.
 *
 * The target stands in for mkdirat(2) and openat(2): every name that they get is one component, so nothing is
 * written elsewhere, and no link is followed.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/grpc/message.h"
#include "ctl/response_files.h"
#include "test/fuzz/fuzz.h"

static size_t n_files;

static void expect_component(const char *name)
{
    EXPECT(name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
}

int mkdirat(int dir_fd, const char *name, mode_t mode)
{
    (void)dir_fd;
    expect_component(name);
    EXPECT(mode == 0700);
    return 0;
}

int openat(int dir_fd, const char *name, int flags, ...)
{
    expect_component(name);
    EXPECT((flags & O_NOFOLLOW) != 0);
    if ((flags & O_DIRECTORY) != 0)
        return dup(dir_fd);
    n_files++;
    return memfd_create("file", MFD_CLOEXEC);
}

static char directory[] = "/tmp/fuzz-ctl-XXXXXX";

static void clean_up(void)
{
    (void)rmdir(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int started;
    cleanup_error struct error *error = NULL;
    ProtobufCMessage *message = message_unpack(&v1alpha1__mount_response__descriptor, data, size, NULL);
    const V1alpha1__MountResponse *response = (const V1alpha1__MountResponse *)message;

    if (!started++)
        EXPECT(mkdtemp(directory) != NULL && atexit(clean_up) == 0);
    if (message == NULL)
        return 0;
    n_files = 0;
    int result = response_files_write(directory, response, &error);
    EXPECT((result == 0) == (error == NULL) && (result < 0 || n_files == response->n_files));
    message_free(message);
    return 0;
}
